"""`elbolab grade --dry-run`: what grading now would change, and why. Writes nothing at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autograder.grading import records
from autograder.grading.executors import PoolLost
from autograder.grading.pipeline import Stopped, ready
from autograder.grading.recording import points_of, read_document, verdicts_in
from autograder.grading.running import Died, run_all
from autograder.grading.sandbox import SandboxError
from autograder.grading.table import plain

__all__ = ["changes", "compare_class"]


def compare_class(root: Path, assignment: str | None = None, *, progress: Any = None, execute: Callable | None = None,
                  print: Callable = print, limits: Any = None, **options: Any) -> int:
    """Execute as `grade_class` would, with the recorded seeds, and print the differences; returns the exit code."""
    with ready(root, assignment, options.get("students"), options.get("jobs"), options.get("cluster"),
               options.get("sandbox", "bubblewrap"), limits, execute) as (assignments, pool, stop):
        return max(_compare(each, pool, execute, progress, stop, print) for each in assignments)


def _compare(assignment: Any, pool: Any, execute: Callable | None, progress: Any, stop: Any, print: Callable) -> int:
    from autograder.grading.gradebook import Book

    if assignment.refusal:
        print(f"{assignment.name}: {plain(assignment.refusal, 1000)}")
        return 2
    if execute is None:
        from autograder.grading.engine import execute
    with Book(assignment.settings, read_only=True) as book:
        grades = book.grades_of(assignment.name)
    failed: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    if progress:
        progress.begin(len(assignment.students) * len(assignment.templates), assignment.name)
    try:
        for task, result in run_all(pool, execute, _tasks(assignment, failed, stop), stop.is_set):
            if isinstance(result, BaseException):
                said = f"{type(result).__name__}: {result}"
                failed[task.student] = "it ends every process that grades it" if isinstance(result, Died) else said
            else:
                now = {cell: grade["auto"] for (name, cell), grade in grades.get(task.student, {}).items() if name == task.notebook}
                lines.setdefault(task.student, []).extend(changes(now if task.student in grades else None, read_document(result.document)))
            if progress:
                progress.advance()
    except (SandboxError, PoolLost) as error:
        raise Stopped(str(error)) from error
    finally:
        if progress:
            progress.close()
    report(assignment.name, grades, lines, failed, print)
    if stop.is_set():
        print("Interrupted; this is not the whole class.")
        return 130
    return 1 if failed else 0


def _tasks(assignment: Any, failed: dict[str, str], stop: Any) -> Iterator[Any]:
    for student in assignment.students:
        if stop.is_set():
            return
        try:
            handed_in = assignment.read(student)
        except (OSError, UnicodeEncodeError) as error:
            failed[student] = f"what was handed in cannot be read: {error}"
            continue
        record = records.load(assignment.settings.root, assignment.name, student)
        same = record is not None and record.submission == handed_in.digest
        yield from assignment.tasks(student, handed_in, record.seed if same else secrets.randbits(62))


def changes(now: dict[str, float | None] | None, notebook: Any) -> list[str]:
    """One line for each cell whose points would differ from `now` ({cell: automatic points}, None: never graded)."""
    said = {cell: " ".join(str(verdict.get("message", "")) for verdict in found) for cell, found in verdicts_in(notebook).items()}
    lines = []
    for cell, (points, most) in points_of(notebook).items():
        why = said.get(cell) or problem(notebook)
        if now is None:
            lines.append(f"{cell}: {shown(points)} of {most:g}. {why}")
        elif now.get(cell) != points:
            lines.append(f"{cell}: {shown(now.get(cell))} -> {shown(points)} of {most:g}. {why}")
    return lines


def problem(notebook: Any) -> str:
    return " ".join(notebook.metadata.get("elbolab", {}).get("problems", []))


def shown(points: float | None) -> str:
    return "a person" if points is None else f"{points:g}"


def report(name: str, grades: dict[str, Any], lines: dict[str, list[str]], failed: dict[str, str], print: Callable) -> None:
    """Students whose points would change, those who would be graded for the first time, and the number of the others."""
    same = [student for student in lines if student in grades and not lines[student]]
    for student in sorted(set(lines) - set(same)):
        print(f"{plain(student)}: {'would change' if student in grades else 'not graded yet; would get'}")
        for line in lines[student]:
            print(f"   {plain(line, 400)}")
    for student, sentence in sorted(failed.items()):
        print(f"{plain(student)}: {plain(sentence)}")
    if same:
        print(f"For {len(same)} of {len(lines)} submissions of {name} nothing would change.")
    print("Nothing was recorded.")
