"""What `elbolab grade` shows: progress while it works, and a table of points at the end."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from autograder.grading import records

__all__ = ["Progress", "Row", "plain", "print_summary", "print_table", "results"]

ROWS = 60  # students in a full table; a larger class is summed up
EVERY = 10.0  # seconds between lines of progress where there is no terminal
Cell = tuple[str, str]  # (notebook, grade_id)


def plain(text: Any, most: int = 300) -> str:
    """One line that no terminal reads as a command: names and messages come from submissions."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= most else line[: most - 3] + "..."


# --- progress ------------------------------------------------------------------------------------


class Progress:
    """A bar with the time left on a terminal; elsewhere a line now and then."""

    def __init__(self, out: TextIO):
        self.out, self.terminal = out, out.isatty()
        self.total = self.done = 0
        self.what, self.started, self.shown = "", time.monotonic(), 0.0

    def begin(self, total: int, what: str) -> None:
        self.total, self.done, self.what = total, 0, what
        self.started, self.shown = time.monotonic(), time.monotonic() if not self.terminal else 0.0
        self.draw()

    def advance(self) -> None:
        self.done += 1
        self.draw()

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        print(("\r\x1b[K" if self.terminal else "") + plain(line), file=self.out, flush=True)
        self.shown = 0.0 if self.terminal else self.shown
        self.draw()

    def draw(self) -> None:
        now = time.monotonic()
        if not self.total or (now - self.shown < (0.1 if self.terminal else EVERY) and self.done < self.total):
            return
        self.shown = now
        text = f"{self.what}: {self.done}/{self.total}{self.left(now)}"
        if self.terminal:
            full = 30 * self.done // self.total
            print(f"\r\x1b[K[{'█' * full}{'·' * (30 - full)}] {text}", end="", file=self.out, flush=True)
        else:
            print(text, file=self.out, flush=True)

    def left(self, now: float) -> str:
        """How long the rest takes if it goes on like that."""
        if not self.done or self.done == self.total:
            return ""
        seconds = (now - self.started) / self.done * (self.total - self.done)
        return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"

    def close(self) -> None:
        if self.terminal and self.total:
            print("\r\x1b[K", end="", file=self.out, flush=True)
        self.total = 0


# --- the table -----------------------------------------------------------------------------------


@dataclass
class Row:
    """One submission in the table.

    Arguments:
        points: {(notebook, cell): (points, maximum)}; None where a person has yet to grade.
        total, most: of those that are graded, and of all; None if the gradebook has no submission.
        mistakes: titles of the misconceptions found.
        remarks: problems, and notes that a person should look at.
    """

    student: str
    points: dict[Cell, tuple[float | None, float]] = field(default_factory=dict)
    total: float | None = None
    most: float = 0.0
    mistakes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def results(root: Path, assignment: str, students: Iterable[str] | None = None) -> list[Row]:
    """The rows of these students, or of all in the gradebook; manual grades count where there are some."""
    from autograder.grading.gradebook import Book, course_settings

    settings = course_settings(root)
    with Book(settings, read_only=True) as book:
        grades = book.grades_of(assignment)
    return [row_of(settings.root, assignment, student, grades.get(student)) for student in sorted(grades if students is None else students)]


def row_of(root: Path, assignment: str, student: str, grades: dict[Cell, dict[str, Any]] | None) -> Row:
    row = Row(student)
    record = records.load(root, assignment, student) or records.Record("", 0)
    if grades is not None:
        order = [(notebook, cell) for notebook, cells in record.points.items() for cell in cells if (notebook, cell) in grades]
        for cell in [*order, *(c for c in sorted(grades) if c not in order)]:
            grade = grades[cell]
            score = grade["auto"] if grade["manual"] is None else grade["manual"]
            row.points[cell] = (None if score is None else score + (grade["extra"] or 0.0), grade["max"])
        row.total = sum(score or 0.0 for score, _ in row.points.values())
        row.most = sum(most for _, most in row.points.values())
    found = [title for cells in record.mistakes.values() for titles in cells.values() for title in titles]
    row.mistakes = list(dict.fromkeys(found))
    row.remarks = record.problems + [note["sentence"] for note in record.notes if not note.get("honest", True)]
    return row


def print_summary(root: Path, summary: Any, print: Any = print) -> None:
    """The table of one run's submissions, what is not graded, and what to do next."""
    done = [*summary.graded, *summary.kept]
    rows = results(root, summary.assignment, done) if done else []
    if rows:
        print_table(rows, print)
    kept = f", {len(summary.kept)} were graded before" if summary.kept else ""
    anew = f" {len(summary.anew)} of them had been graded already: the tests have changed since." if summary.anew else ""
    print(f"\n{summary.assignment}: {len(summary.graded)} graded{kept}.{anew}")
    for student, sentence in summary.failed.items():
        print(f"Not graded: {plain(student)}: {plain(sentence)}")
    if summary.unrecorded:
        print(f"Executed, but not recorded, because the gradebook was locked: {plain(', '.join(summary.unrecorded))}. "
              "Close what uses the gradebook, then run the same command again: it records them.")
    if summary.interrupted:
        print("Interrupted. What was done is recorded; run the same command again, and it goes on from here.")
    elif summary.stopped:
        print(f"Stopped: {plain(summary.stopped, 1000)}")
    elif rows:
        if any(score is None for row in rows for score, _ in row.points.values()):
            print("Cells marked ? wait for a person: nbgrader's formgrader.")
        print(f"For the students: nbgrader generate_feedback {summary.assignment}. For you: elbolab report {summary.assignment}")


def print_table(rows: Sequence[Row], print: Any = print) -> None:
    """Student by student, or for more than ROWS students summed up."""
    cells: dict[Cell, float] = {}
    for row in rows:
        cells |= {cell: most for cell, (_, most) in row.points.items()}
    if len(rows) > ROWS:
        print_overview(rows, cells, print)
    else:
        print_rows(rows, cells, print)


def print_rows(rows: Sequence[Row], cells: dict[Cell, float], print: Any) -> None:
    names = dict(zip(cells, letters()))
    several = len({notebook for notebook, _ in cells}) > 1
    titles = [f"{names[c]} = {f'{c[0]}/' if several else ''}{c[1].removeprefix('check_')} ({most:g})" for c, most in cells.items()]
    wide = shutil.get_terminal_size((120, 24)).columns
    per_line = max(1, min(4, (wide - 3) // (max(map(len, titles), default=1) + 3)))
    for start in range(0, len(titles), per_line):
        print("   " + "".join(f"{t:<{max(map(len, titles)) + 3}}" for t in titles[start:start + per_line]).rstrip())
    width = max(len("student"), *(len(plain(row.student, 30)) for row in rows))
    columns = {c: max(3, *(len(shown(row.points.get(c))) for row in rows)) + 1 for c in cells}
    print(f"{'student':<{width}}{''.join(f'{names[c]:>{w}}' for c, w in columns.items())}  {'total':>9}  mistakes and remarks")
    for row in rows:
        line = f"{plain(row.student, 30):<{width}}"
        if row.total is None:
            print(f"{line}  not graded")
            continue
        line += "".join(f"{shown(row.points.get(c)):>{w}}" for c, w in columns.items()) + f"  {f'{row.total:.4g}/{row.most:g}':>9}  "
        print(line + plain("; ".join([*row.mistakes, *row.remarks]) or "-", max(40, wide - len(line))))


def letters() -> Iterable[str]:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    yield from (first + second for first in alphabet for second in alphabet)


def shown(points: tuple[float | None, float] | None) -> str:
    if points is None:
        return "-"
    return "?" if points[0] is None else f"{points[0]:.3g}"


def print_overview(rows: Sequence[Row], cells: dict[Cell, float], print: Any) -> None:
    """The distribution, each cell's mean, and the most frequent mistakes."""
    graded = [row for row in rows if row.total is not None]
    most = max((row.most for row in graded), default=0.0) or 1.0
    totals = [row.total or 0.0 for row in graded]
    bins = Counter(min(9, int(10 * total / most)) for total in totals)
    mean, median = statistics.fmean(totals or [0]), statistics.median(totals or [0])
    print(f"{len(graded)} students; of {most:g} points: mean {mean:.1f}, median {median:.1f}")
    for number in range(9, -1, -1):
        bar = "█" * round(40 * bins[number] / max(bins.values(), default=1))
        print(f"  {10 * number:>3}-{10 * number + 10:<3} %  {bins[number]:>4}  {bar}")
    print("cell, mean points, share with all of them")
    for cell, maximum in cells.items():
        scores = [score for row in graded if (score := row.points.get(cell, (None, 0))[0]) is not None]
        full = sum(score >= maximum for score in scores) / max(1, len(scores))
        print(f"  {cell[1]:<40} {statistics.fmean(scores or [0]):>5.2f} of {maximum:g}   {full:>4.0%}")
    found = Counter(title for row in graded for title in row.mistakes)
    if found:
        print("most frequent mistakes")
        for title, number in found.most_common(8):
            print(f"  {number:>4}  {plain(title, 100)}")
