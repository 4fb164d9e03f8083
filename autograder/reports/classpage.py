"""The page about a class: one file for the teacher, without script, with nothing to load.

It shows what was found and leaves the judging to people: notes about edited cells and alike
submissions are lists to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from statistics import median
from typing import Any

from markupsafe import Markup

from autograder.reports.charts import Entry, histogram
from autograder.reports.feedback import environment, render
from autograder.reports.items import FEWEST, CheckSummary, Work, discrimination, mistakes, summaries
from autograder.reports.safe import clean

__all__ = ["class_page", "similarity_section"]

MOST_MISTAKES, SLOWEST = 10, 5


def class_page(
    assignment: str,
    works: Sequence[Work],
    ungraded: Iterable[str] = (),
    similar: Sequence[Mapping[str, Any]] | str | None = None,
    anonymous: bool = False,
    written: datetime | None = None,
) -> str:
    """The whole page.

    Arguments:
        assignment: its name.
        works: the graded work of each student.
        ungraded: students whose submission is there and not graded.
        similar: pairs as `similarity_section` takes them, or a sentence that says why there are none; None if nobody has compared.
        anonymous: leave out names, and with them the lists about single students.
        written: the moment that the page states.
    """
    works = sorted(works, key=lambda w: (w.name.casefold(), w.student))
    checks = summaries(works)
    counted, looked_at, weak = discrimination(works)
    links = {w.student: (w.name, w.pages[0] if w.pages else "") for w in works}
    return render(
        "classpage.html", assignment=assignment, works=works, ungraded=sorted(ungraded), anonymous=anonymous, checks=checks,
        letters=letters(checks), common=mistakes(checks, MOST_MISTAKES), points_chart=points_chart(works, anonymous),
        counted=counted, looked_at=looked_at, weak=weak, fewest=FEWEST, titles={c.name: c.title for c in checks},
        time_chart=time_chart(works, anonymous), slowest=sorted((w for w in works if w.seconds), key=lambda w: -w.seconds)[:SLOWEST],
        median_seconds=median([w.seconds for w in works if w.seconds] or [0]), cell=cell_of,
        orders={"name": works, "points": sorted(works, key=lambda w: -w.total)},
        unsafe=[w for w in works if "none" in w.sandboxes], unknown=[w for w in works if not w.sandboxes],
        look=[(w, n) for w in works for n in w.notes if not n.get("honest")],
        accidents=[(w, n) for w in works for n in w.notes if n.get("honest")],
        similarity=None if similar is None else similarity_section(similar, links),
        median_total=median([w.total for w in works] or [0]), written=written or datetime.now(timezone.utc),
    )  # fmt: skip


def points_chart(works: Sequence[Work], anonymous: bool) -> Markup:
    """The distribution of totals; of what the checks mark as long as a person has not marked everything."""
    if not works:
        return Markup("")
    complete = not any(w.unmarked[0] for w in works)
    values = [w.total if complete else w.points(by_hand=False)[0] for w in works]
    most = max(w.max_points if complete else w.points(by_hand=False)[1] for w in works)
    axis = f"{'points' if complete else 'points of the automatic checks'}, of {most:g}"
    entries = [Entry(max(0.0, v), *(("", "") if anonymous else (w.name, page(w)))) for v, w in zip(values, works)]
    return histogram(entries, most or 1.0, axis, f"How many students have how many {axis}; median {median(values):g}.")


def time_chart(works: Sequence[Work], anonymous: bool) -> Markup:
    entries = [Entry(w.seconds, *(("", "") if anonymous else (w.name, page(w)))) for w in works if w.seconds]
    if not entries:
        return Markup("")
    what = f"How long the submissions took; median {median(e.value for e in entries):.3g} seconds."
    return histogram(entries, None, "seconds to run a submission", what)


def page(work: Work) -> str:
    return work.pages[0] if work.pages else ""


def letters(checks: Sequence[CheckSummary]) -> dict[str, str]:
    """A short name for each check's column: a, b, ..., z, aa, ab, ..."""
    names = [chr(97 + i) for i in range(26)]
    names += [a + b for a in names for b in names]
    return dict(zip((c.name for c in checks), names))


def cell_of(work: Work, check: str) -> tuple[str, float | None]:
    """(state, points) of a student at a check, for the table."""
    found = next((r for r in work.records if r["check"] == check), None)
    if found is None:
        return "waiting", None
    if found["passed"] or found["points"] >= found["max_points"] > 0:
        return "right", found["points"]
    return ("partly" if found["points"] > 0 else "wrong"), found["points"]


def similarity_section(pairs: Sequence[Mapping[str, Any]] | str, links: Mapping[str, tuple[str, str]] | None = None) -> Markup:
    """The list of submissions that are alike, for a person to look at.

    Arguments:
        pairs: as `autograder.reports.similarity.similar_pairs` returns them, or a sentence that says why there are none.
        links: (name, address of the feedback page) by student.
    """
    links, remark = links or {}, pairs if isinstance(pairs, str) else ""

    def who(student: Any) -> tuple[str, str]:
        return links.get(str(student), (clean(student), ""))

    found = [] if remark else pairs
    shown = [{"score": 0.0, "cells": [], **p, "who": [who(p["a"]), who(p["b"])], "odds": odds(p.get("expected"))} for p in found]
    return Markup(environment().get_template("similarity.html").render(pairs=shown, remark=remark))


def odds(expected: Any) -> str:
    """How often chance alone makes such a pair, in words: 0.004 pairs a class is one in 250 classes."""
    if not isinstance(expected, (int, float)) or expected < 0:
        return ""
    rarity = min(1 / expected, 1e6) if expected else 1e6
    if rarity < 2:
        return "in every class"
    rounded = round(rarity, 2 - len(str(int(rarity)))) if rarity >= 20 else round(rarity)
    return f"in less than one of {rounded:,.0f} classes" if rarity >= 1e6 else f"in one of {rounded:,.0f} classes"
