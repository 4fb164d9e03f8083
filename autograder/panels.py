"""The panels that notebooks show, as HTML. Every text from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from autograder.drawing import drawn
from autograder.exercises.exercise import Exercise, Finding
from autograder.verdict import Verdict

__all__ = ["hint_panel", "progress_panel", "verdict_panel"]

# For marks and frames, at least 3 : 1 on light and on dark pages, and apart for the color-blind (Okabe and Ito 2008). No color has
# the 4.5 : 1 that text needs on both, so text has the page's own.
GOOD, BAD, ASIDE = "#009e73", "#d55e00", "#0072b2"
FONT = "font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:14px;line-height:1.5"


def code(text: str) -> str:
    """Escaped text with `backticks` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def box(color: str, body: str) -> str:
    frame = f"border:1px solid {color}55;border-left:5px solid {color};border-radius:6px"
    return f'<div style="{FONT};{frame};padding:10px 14px;margin:6px 0;max-width:52em">{body}</div>'


def verdict_panel(check: Exercise, verdict: Verdict, draw: bool = True, note: str = "") -> str:
    """✓ or ✗, each behavior, the likely mistake, and hints on request; without `draw` the picture in words only.

    Above all of it stands a `note`, if there is one.
    """
    color = GOOD if verdict.passed else BAD
    mark = "✓" if verdict.passed else "✗"
    parts = [f'<div style="margin:0 0 6px"><b>{code(note)}</b></div>'] if note else []
    parts += [
        '<div style="display:flex;justify-content:space-between;gap:1em">'
        f'<b style="font-size:16px"><span style="color:{color}">{mark}</span> {code(check.title)}</b>'
        f'<span style="white-space:nowrap;opacity:.75">{verdict.points:g} of {verdict.max_points} points</span></div>'
    ]
    if not verdict.passed and not verdict.mistakes:
        parts.append(f'<div style="margin:4px 0 6px">{code(verdict.message)}</div>')
    for number, mistake in enumerate(verdict.mistakes):
        label = "A remark" if verdict.passed else "And another" if number else "The likely mistake"
        title, advice = code(mistake.title), code(mistake.advice)
        parts.append(f'<div style="margin:6px 0"><b>{label}:</b> {title}<br><span style="opacity:.85">{advice}</span></div>')
    if verdict.picture:
        parts.append(picture(verdict.picture, draw))
    parts.append('<table style="border-collapse:collapse;margin:4px 0;font-size:13px">')
    parts += [finding_row(check, f, said=verdict.message) for f in verdict.findings]
    parts.append("</table>")
    if not verdict.passed:
        parts += [printed(verdict), hint_details(check), again(check, verdict), read_on(check)]
    return box(color, "".join(parts))


def printed(verdict: Verdict) -> str:
    """What the student's code printed while it was checked."""
    if not verdict.printed:
        return ""
    style = "margin:4px 0 0 1em;max-height:15em;overflow:auto;font-size:12px"
    return unfolding("What your code printed", f'<pre style="{style}">{escape(verdict.printed)}</pre>', opened=True)


def again(check: Exercise, verdict: Verdict) -> str:
    """The line that checks with the same random inputs."""
    if verdict.seed is None:
        return ""
    line = f'check("{check.name}", {check.target}, seed={verdict.seed})'
    return f'<div style="opacity:.75;margin-top:4px">The same random inputs again: <code>{escape(line)}</code></div>'


def unfolding(title: str, body: str, opened: bool = False) -> str:
    summary = f'<summary style="cursor:pointer;text-decoration:underline">{title}</summary>'
    return f'<details{" open" if opened else ""} style="margin-top:4px">{summary}{body}</details>'


def picture(found: Mapping[str, Any], draw: bool) -> str:
    alt, png = escape(found["alt"]), drawn(found) if draw else None
    if png is None:
        return f'<div style="margin:6px 0;opacity:.85">{alt}</div>'
    return (f'<img src="data:image/png;base64,{png}" alt="{alt}" title="{alt}" '
            'style="display:block;max-width:100%;margin:6px 0;background:#fff;border-radius:4px">')


def finding_row(check: Exercise, finding: Finding, said: str) -> str:
    """A row for one behavior; what the panel has said above is not repeated."""
    color, mark = (GOOD, "✓") if finding.passed else (BAD, "✗")
    cell = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;border:none;background:none"
    count = check.behaviors[finding.behavior]
    points = f"{count} point" + ("s" if count != 1 else "")
    text = "" if finding.message == said else code(finding.message)
    for label, shown in (("expected", finding.expected), ("got", finding.got)):
        text += f'<div style="opacity:.8">{label} <code>{escape(shown)}</code></div>' if shown else ""
    return (
        f'<tr style="background:none"><td style="{cell};color:{color}"><b>{mark}</b></td>'
        f'<td style="{cell};white-space:nowrap"><b>{escape(finding.behavior.replace("_", " "))}</b></td>'
        f'<td style="{cell};white-space:nowrap;opacity:.7">{points}</td><td style="{cell}">{text}</td></tr>'
    )


def hint_details(check: Exercise) -> str:
    more = f'<span style="opacity:.75">More: <code>hint(&quot;{escape(check.name)}&quot;)</code></span>'
    return unfolding("Show a hint", f'<div style="margin:4px 0 0 1em">{code(check.hints[0])}<br>{more}</div>')


def read_on(check: Exercise) -> str:
    return f'<div style="opacity:.75;margin-top:4px">Read on: {code(check.read_on)}</div>' if check.read_on else ""


def hint_panel(check: Exercise, level: int, solution: bool = False) -> str:
    """The first `level` hints, and the solution if it is asked for."""
    rows = "".join(f'<li style="margin:3px 0;white-space:pre-wrap">{code(h)}</li>' for h in check.hints[:level])
    left = len(check.hints) - level
    request = f"<code>hint(&quot;{escape(check.name)}&quot;, solution=True)</code>"
    more = f"{left} more: run this cell again." if left else f"This was the last hint. The whole solution: {request}."
    if solution:
        more = f"<b>The solution</b><pre style='margin:4px 0;overflow-x:auto'>{escape(check.solution)}</pre>"
    hints = f"<ol style='margin:4px 0'>{rows}</ol>" if rows else "<br>"
    return box(ASIDE, f"<b>Hints for {code(check.title)}</b>{hints}<span style='opacity:.75'>{more}</span>")


def progress_panel(checks: Sequence[Exercise], state: Mapping[str, Mapping[str, Any]]) -> str:
    """A bar of points and a row for each check; a bonus has a row, and no part of the bar."""
    counted = [c for c in checks if not c.bonus]
    total = sum(c.max_points for c in counted)

    def points(check: Exercise) -> float:
        value = state.get(check.name, {}).get("points", 0)
        return min(float(value), check.max_points) if isinstance(value, (int, float)) else 0.0

    have = sum(map(points, counted))
    share = 100 * have / total if total else 0
    bar = (
        f'<div style="background:{GOOD}22;border-radius:5px;height:10px;margin:6px 0;overflow:hidden">'
        f'<div style="background:{GOOD};height:10px;width:{share:.1f}%"></div></div>'
    )
    cell = "text-align:left;padding:2px 12px 2px 0;border:none;background:none"
    rows = []
    for check in checks:
        entry = state.get(check.name, {})
        tried = "points" in entry
        color, mark = (GOOD, "✓") if entry.get("passed") else (BAD, "✗") if tried else ("inherit", "·")
        rows.append(
            f'<tr style="background:none"><td style="{cell};color:{color}"><b>{mark}</b></td>'
            f'<td style="{cell}"><code>{escape(check.name)}</code></td><td style="{cell}">{code(check.title)}</td>'
            f'<td style="{cell};text-align:right;white-space:nowrap">{points(check):g} of {check.max_points}'
            f'{" (bonus)" if check.bonus else ""}{", solution seen" if entry.get("solution") else ""}</td></tr>'
        )
    head = f"<b>{have:g} of {total} points</b> checked so far"
    return box(ASIDE, f"{head}{bar}<table style='border-collapse:collapse;font-size:13px'>{''.join(rows)}</table>")
