"""What students call in their notebook: `check`, `hint` and `progress`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from autograder.catalogue import all_checks, find_check
from autograder.own import problem_of
from autograder.panels import hint_panel, progress_panel, verdict_panel
from autograder.probing import Trouble
from autograder.verdict import Verdict, evaluate
from autograder.written import VERDICT_MIME

__all__ = ["CheckFailed", "check", "hint", "progress"]

PROGRESS_FILE = ".elbolab_progress.json"
latest: str | None = None  # the check that was run last


class CheckFailed(AssertionError):
    """A check that did not pass. In a notebook it shows as one line: the panel above says the rest."""

    def _render_traceback_(self) -> list[str]:
        return [f"AssertionError: {self}"]


def check(name: str, student: Any, seed: int | None = None) -> float | None:
    """Check an exercise and show what holds and what does not.

    Arguments:
        name: the check, for example ``"vae.gaussian_rsample"``.
        student: your object, for example the class ``ReparameterizedDiagonalGaussian``.
        seed: seed of the random inputs; fresh ones when left out.

    Returns:
        The points, while grading; else None.

    Raises:
        AssertionError: the check did not pass (not while grading).
    """
    grading = os.environ.get("ELBOLAB_GRADING") == "1"
    try:
        found = find_check(name)
        verdict = evaluate(found, student, seed)
    except Trouble as trouble:
        if grading:
            return 0.0
        raise CheckFailed(str(trouble)) from None
    note = stale(found.target, student)
    text = "\n".join(filter(None, [note, plain(verdict)]))
    show(verdict_panel(found, verdict, note=note), text, {VERDICT_MIME: verdict.record()})
    if grading:
        return float(verdict.points)
    global latest
    latest = name
    remember(name, verdict)
    if not verdict.passed:
        # nbgrader's Validate shows one line of it, which is cut at about a hundred characters.
        raise CheckFailed(textwrap.shorten(f"{name}: {verdict.message}", 82, placeholder=" ..."))
    return None


def hint(name: str | None = None, solution: bool = False) -> None:
    """Open the next of three hints for a check, the earlier ones above it.

    Arguments:
        name: the check; the one that was run last when left out.
        solution: show the whole solution. There has to be an attempt of your own first, and `progress()` says that you have seen it.
    """
    if name is None and latest is None:
        print('Which check? For example hint("vae.elbo"); progress() lists them.')
        return
    try:
        found = find_check(name or latest)
    except Trouble as trouble:
        print(trouble)
        return
    state = recall()
    entry = state.setdefault(found.name, {})
    if solution and not count(entry, "tries"):
        print(f'Try it yourself first: the solution is there once check("{found.name}", {found.target}) has looked at an answer of yours. '
              f'Hints are there at once: hint("{found.name}").')
        return
    level = min(count(entry, "hints") + (not solution), len(found.hints))
    entry["hints"] = level
    if solution:
        entry["solution"] = True
    save(state)
    text = [f"Hint {i + 1} of {len(found.hints)}: {h}" for i, h in enumerate(found.hints[:level])]
    show(hint_panel(found, level, solution), "\n".join(text + [found.solution] * solution))


def progress(unit: str = "vae") -> None:
    """Show which checks of a unit have passed and what is left."""
    checks = [c for n, c in all_checks().items() if n.startswith(f"{unit}.")]
    if not checks:
        units = sorted({n.split(".")[0] for n in all_checks()})
        print(problem_of(unit) or f'There is no unit "{unit}". There are: {", ".join(units)}.')
        return
    state = recall()
    rows = [f"{'✓' if state.get(c.name, {}).get('passed') else '·'} {c.name}: {c.title}" for c in checks]
    show(progress_panel(checks, state), "\n".join(rows))


# --- what is kept beside the notebook ------------------------------------------------------------


def recall() -> dict[str, dict[str, Any]]:
    """What earlier checks and hints left here; nothing when the file is missing or damaged."""
    try:
        state = json.loads(Path(PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in state.items() if isinstance(v, dict)} if isinstance(state, dict) else {}


def count(entry: dict[str, Any], key: str) -> int:
    """A number that an earlier call left; 0 when it is missing or damaged."""
    value = entry.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def save(state: dict[str, dict[str, Any]]) -> None:
    """Write all of it or nothing. A folder that cannot be written to costs the progress, never the check."""
    temporary = Path(f"{PROGRESS_FILE}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(PROGRESS_FILE)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remember(name: str, verdict: Verdict) -> None:
    state = recall()
    entry = state.setdefault(name, {})
    entry["tries"] = count(entry, "tries") + 1
    entry["points"] = verdict.points
    entry["passed"] = verdict.passed
    save(state)


# --- cells that stopped --------------------------------------------------------------------------

left: dict[str, Any] = {}  # by name, what an earlier run of its cell made, where the last run stopped before it came to it


class Watch:
    """Sees, cell by cell, which classes and functions a cell was to define and did not."""

    def __init__(self, shell: Any):
        self.names, self.before = shell.user_ns, {}
        shell.events.register("pre_run_cell", self.begin)
        shell.events.register("post_run_cell", self.end)

    def begin(self, info: Any) -> None:
        defined = re.findall(r"^(?:class|def)\s+(\w+)", info.raw_cell or "", re.MULTILINE)  # of no Python, too
        self.before = {name: self.names.get(name) for name in defined}

    def end(self, result: Any) -> None:
        for name, made in self.before.items():
            left.pop(name, None)
            if made is not None and self.names.get(name) is made:
                left[name] = made


def stale(target: str, student: Any) -> str:
    """What to say where the object is of an earlier run than its cell's last one; else ""."""
    if student is None or left.get(target) is not student:
        return ""
    return (f"The last run of the cell that defines `{target}` stopped before it got there, so this is the `{target}` of an earlier run. "
            "Put that cell right and run it again.")


if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
    Watch(shell)


# --- showing -------------------------------------------------------------------------------------


def plain(verdict: Verdict) -> str:
    """The verdict as text, for terminals and for readers of the raw notebook."""
    lines = [f"{'✓' if verdict.passed else '✗'} {verdict.check}: {verdict.points:g} of {verdict.max_points} points. {verdict.message}"]
    for finding in verdict.findings:
        if not finding.passed:
            lines.append(f"  ✗ {finding.behavior}: {finding.message}")
            if finding.expected:
                lines.append(f"    expected {finding.expected}; got {finding.got}")
    lines += [f"  {mistake.advice}" for mistake in verdict.mistakes]
    if verdict.picture:
        lines.append(f"  In a picture: {verdict.picture['alt']}")
    if verdict.printed and not verdict.passed:
        lines += ["  Your code printed:", textwrap.indent(verdict.printed, "    ")]
    return "\n".join(lines)


def show(html: str, text: str, more: dict[str, Any] | None = None) -> None:
    """Display in a notebook; print elsewhere."""
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display({"text/html": html, "text/plain": text} | (more or {}), raw=True)
    else:
        print(text)
