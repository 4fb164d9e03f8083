"""What a class's verdicts say about each check: who fails what, by which mistake, and whether it tells anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from autograder.reports.gather import Marks

__all__ = ["CheckSummary", "Item", "Mistake", "Work", "discrimination", "mistakes", "summaries"]

FEWEST, FEWEST_APART = 20, 4  # students at all, and on the smaller side of an item, before anything is said of it
LOW = 0.1


@dataclass(frozen=True, eq=False)
class Work:
    """One student's graded work on an assignment: all of its notebooks."""

    student: str
    name: str
    marks: Sequence[Marks]
    records: Sequence[dict[str, Any]] = ()
    pages: Sequence[str] = ()
    seconds: float | None = None
    sandboxes: Sequence[str] = ()
    problems: Sequence[str] = ()
    notes: Sequence[dict[str, Any]] = ()

    @property
    def total(self) -> float:
        return sum(m.total for m in self.marks)

    @property
    def max_points(self) -> float:
        return sum(m.max_points for m in self.marks)

    @property
    def unmarked(self) -> tuple[int, float]:
        counts = [m.unmarked for m in self.marks]
        return sum(c for c, _ in counts), sum(p for _, p in counts)

    def points(self, by_hand: bool) -> tuple[float, float]:
        pairs = [m.points(by_hand) for m in self.marks]
        return sum(p for p, _ in pairs), sum(m for _, m in pairs)


@dataclass
class Mistake:
    """A misconception, who has it, and in which checks (name, title)."""

    checks: list[tuple[str, str]]
    name: str
    title: str
    advice: str
    read_on: str
    students: list[Work] = field(default_factory=list)


@dataclass
class CheckSummary:
    """One check over the class. `behaviors` counts, for each behavior, the students that fail it."""

    name: str
    title: str
    max_points: float
    read_on: str
    full: int = 0
    partial: int = 0
    none: int = 0
    behaviors: dict[str, int] = field(default_factory=dict)
    mistakes: dict[str, Mistake] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.full + self.partial + self.none

    @property
    def failure(self) -> float:
        """The share of students that lose points here."""
        return 1 - self.full / self.number


def summaries(works: Iterable[Work]) -> list[CheckSummary]:
    """Each check, in the order in which the notebooks have them."""
    found: dict[str, CheckSummary] = {}
    for work in works:
        for record in work.records:
            name = record["check"]
            check = found.setdefault(name, CheckSummary(name, record["title"] or name, record["max_points"], record["read_on"]))
            if record["passed"] or record["points"] >= record["max_points"] > 0:
                check.full += 1
            elif record["points"] > 0:
                check.partial += 1
            else:
                check.none += 1
            for finding in record["findings"]:
                check.behaviors[finding["behavior"]] = check.behaviors.get(finding["behavior"], 0) + (not finding["passed"])
            for told in mistakes_of(record):
                mistake = Mistake([(name, check.title)], told["name"], told["title"] or told["name"].replace("_", " "), told["advice"],
                                  record["read_on"])
                check.mistakes.setdefault(told["name"], mistake).students.append(work)
    for check in found.values():
        check.mistakes = dict(sorted(check.mistakes.items(), key=lambda m: (-len(m[1].students), m[0])))
    return list(found.values())


def mistakes_of(record: dict[str, Any]) -> list[dict[str, str]]:
    """The mistakes of an answer that failed."""
    if record["passed"] or not record["misconception"]:
        return []
    return [{"name": record["misconception"], "title": record["misconception_title"], "advice": record["advice"]}, *record["more_mistakes"]]


def mistakes(checks: Iterable[CheckSummary], most: int) -> list[Mistake]:
    """The most common mistakes of the class, the most common first; one that several checks name is one mistake."""
    found: dict[tuple[str, str], Mistake] = {}
    for one in (m for check in checks for m in check.mistakes.values()):
        whole = found.setdefault((one.name, one.title), Mistake([], one.name, one.title, one.advice, one.read_on))
        whole.checks += one.checks
        whole.students += [w for w in one.students if w not in whole.students]
    return sorted(found.values(), key=lambda m: -len(m.students))[:most]


# --- which items tell stronger students from weaker ones -----------------------------------------


@dataclass(frozen=True)
class Item:
    """One behavior: how those who get it right do on the other checks.

    `r` is the point-biserial correlation of passing it with the points of all *other* checks
    (the corrected item-rest correlation), `low` and `high` its 95 % interval by Fisher's transformation.
    """

    check: str
    behavior: str
    number: int
    right: int
    r: float
    low: float
    high: float

    @property
    def reading(self) -> str:
        """What the number means, in plain words."""
        if self.high < 0:
            return "Students who do well elsewhere tend to get this wrong. Look at the question and the check first."
        if self.r < 0:
            return "Students who get this right do slightly worse elsewhere, within what chance does."
        return "Getting this right hardly goes with anything else: the students who do are no stronger, or little, on the other checks."


def discrimination(works: Iterable[Work]) -> tuple[int, int, list[Item]]:
    """(students counted, items looked at, items that do not discriminate).

    Students without a single point are left out, since a notebook handed in empty makes every
    item look telling; items that nearly all get right, or nearly all wrong, cannot tell anybody apart.
    """
    counted = [w for w in works if any(r["points"] > 0 for r in w.records)]
    if len(counted) < FEWEST:
        return len(counted), 0, []
    seen: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for work in counted:
        total = sum(r["points"] for r in work.records)
        for record in work.records:
            for finding in record["findings"]:
                seen.setdefault((record["check"], finding["behavior"]), []).append((finding["passed"], total - record["points"]))
    items = [item for key, pairs in seen.items() if (item := item_of(*key, pairs))]
    return len(counted), len(items), sorted((i for i in items if i.r < LOW), key=lambda i: i.r)


def item_of(check: str, behavior: str, pairs: list[tuple[bool, float]]) -> Item | None:
    """The item, or None if there is too little to say something."""
    number, right = len(pairs), sum(passed for passed, _ in pairs)
    rest = [points for _, points in pairs]
    mean = sum(rest) / number
    spread = math.sqrt(sum((points - mean) ** 2 for points in rest) / number)
    if number < FEWEST or min(right, number - right) < FEWEST_APART or spread == 0:
        return None
    share = right / number
    above = sum(points for passed, points in pairs if passed) / right - mean
    r = max(-0.999, min(0.999, above * math.sqrt(share / (1 - share)) / spread))
    margin = NormalDist().inv_cdf(0.975) / math.sqrt(number - 3)
    return Item(check, behavior, number, right, r, math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin))
