"""A demo class: submissions made out of the solved notebook, graded through nbgrader, with feedback and a table."""

from __future__ import annotations

import copy
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from autograder import masters
from autograder.checks import ORDER
from autograder.mistakes.vae import MISTAKES

__all__ = ["grade", "make_class", "run"]

UNIT, NAME = "01_vae", "exercises"
# The mistakes that the demo class makes, in the order of the exercises.
MADE = (
    "log_variance_for_log_sigma",
    "one_epsilon_for_the_batch",
    "sample_without_gradient",
    "missing_half",
    "density_underflows",
    "bernoulli_negated",
    "elbo_is_log_px",
    "elbo_and_beta_elbo_swapped",
    "kl_sign_flipped",
    "beta_on_reconstruction",
    "loss_not_negated",
    "score_for_pathwise",
)


def run(root: Path) -> int:
    """Build the notebooks, make and grade the class in `root`/demo, print the table; returns the exit code."""
    started = time.monotonic()
    print("1. Notebooks from the masters")
    masters.build(root, say=lambda line: print(f"   {line}"))
    course = root / "demo"
    print(f"2. A demo class in {course.name}/submitted")
    names = make_class(root, course)
    print(f"   {len(names)} submissions: one perfect, one untouched, {len(MADE)} with one mistake each, and some broken ones")
    print("3. nbgrader grades them (some cells in there fail on purpose)")
    grade(course, names)
    rows = list(results(course, names))
    print_table(rows)
    print(f"\nGradebook: {course.name}/gradebook.db. Feedback: {course.name}/feedback/STUDENT/{UNIT}/{NAME}.html")
    print("Points are those of the automatic checks; answers in words wait for a person.")
    print(f"Took {time.monotonic() - started:.0f} s.")
    ungraded = [r["student"] for r in rows if r["total"] is None]
    if ungraded:
        print(f"Not graded: {', '.join(ungraded)}. See {course.name}/.nbgrader.log.")
    return 1 if ungraded else 0


# --- the submissions -----------------------------------------------------------------------------


def make_class(root: Path, course: Path) -> list[str]:
    """Write the demo course and its submissions; returns the students' names."""
    shutil.rmtree(course, ignore_errors=True)
    course.mkdir()
    shutil.copy(root / "nbgrader_config.py", course)
    shutil.copytree(root / "solutions" / UNIT, course / "solutions" / UNIT)
    released = nbformat.read(root / "assignments" / UNIT / f"{NAME}.ipynb", as_version=4)
    solved = nbformat.read(root / "solutions" / UNIT / f"{NAME}.ipynb", as_version=4)
    names = []
    for name, notebook in submissions(released, solved):
        folder = course / "submitted" / name / UNIT
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{NAME}.ipynb")
        names.append(name)
    return names


def submissions(released: Any, solved: Any) -> Iterator[tuple[str, Any]]:
    """(student, notebook) for the whole class."""
    perfect = fill_in(released, solved)
    yield "perfect", perfect
    yield "untouched", copy.deepcopy(released)
    mistakes = {m.name: m for m in reversed(MISTAKES)}
    for name in MADE:
        yield name, with_edits(perfect, mistakes[name].target, mistakes[name].edits)
    yield "syntax_error", edited(perfect, "bernoulli", lambda source: source.replace("return reduce(", "return reduce(("))
    deleted = copy.deepcopy(perfect)
    deleted.cells = [c for c in deleted.cells if grade_id(c) not in ("gaussian_kl", "check_elbo")]
    yield "cells_deleted", deleted
    diverges = copy.deepcopy(perfect)
    for cell in diverges.cells:
        cell.source = cell.source.replace("lr=2e-3", "lr=1e9")
    yield "training_diverges", diverges


def fill_in(released: Any, solved: Any) -> Any:
    """The student version with every solution cell's answer in it."""
    answers = {grade_id(c): without_markers(c.source) for c in solved.cells if c.metadata.get("nbgrader", {}).get("solution")}
    notebook = copy.deepcopy(released)
    for cell in notebook.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    return notebook


def without_markers(source: str) -> str:
    """A solution as a student would have written it."""
    return "\n".join(line for line in source.split("\n") if line.strip() not in ("### BEGIN SOLUTION", "### END SOLUTION"))


def grade_id(cell: Any) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def edited(notebook: Any, grade: str, change: Any) -> Any:
    """A copy with one solution cell changed."""
    notebook = copy.deepcopy(notebook)
    cell = next(c for c in notebook.cells if grade_id(c) == grade)
    before, cell.source = cell.source, change(cell.source)
    if cell.source == before:
        raise ValueError(f"The edit of cell {grade} changes nothing.")
    return notebook


def with_edits(notebook: Any, target: str, edits: Any) -> Any:
    """A copy with text replaced in the solution cell that defines `target`."""

    def change(source: str) -> str:
        for old, new in edits:
            if old not in source:
                raise ValueError(f"The solution of {target} has no line {old!r}.")
            source = source.replace(old, new)
        return source

    defines = (f"class {target}", f"def {target}")
    cell = next(c for c in notebook.cells if grade_id(c) and any(d in c.source for d in defines))
    return edited(notebook, grade_id(cell), change)


# --- grading -------------------------------------------------------------------------------------


def grade(course: Path, students: list[str]) -> None:
    """nbgrader: register the assignment, grade the class in two halves at once, write the feedback."""
    nbgrader(course, "generate_assignment", UNIT).wait()
    halves = [students[0::2], students[1::2]]
    # One nbgrader for many students: its start alone takes seconds. Each half leaves the other out.
    running = [
        nbgrader(course, "autograde", UNIT, f"--CourseDirectory.student_id_exclude={','.join(other)}")
        for half, other in (halves, halves[::-1])
        if half
    ]
    shown: set[str] = set()
    while True:
        ended = all(process.poll() is not None for process in running)
        # nbgrader makes the folder of a student when it begins and writes the notebook when it is done.
        done = [s for s in students if (course / "autograded" / s / UNIT / f"{NAME}.ipynb").exists()]
        for student in done:
            if student not in shown:
                shown.add(student)
                print(f"   {len(shown):2d}/{len(students)} {student}", flush=True)
        if ended:
            break
        time.sleep(0.5)
    nbgrader(course, "generate_feedback", UNIT).wait()


def nbgrader(course: Path, *arguments: str) -> subprocess.Popen:
    """Start one nbgrader command in the demo course. What it says goes to the log; a failure shows in the table."""
    with open(course / ".nbgrader.log", "a", encoding="utf-8") as log:
        return subprocess.Popen([sys.executable, "-m", "nbgrader", *arguments], cwd=course, stdout=log, stderr=log)


# --- the table -----------------------------------------------------------------------------------


def results(course: Path, students: list[str]) -> Iterator[dict[str, Any]]:
    """Points for each check, the total and the named mistakes, student by student."""
    from nbgrader.api import Gradebook, MissingEntry

    from autograder.nbgrader_ext import verdicts

    logging.getLogger("alembic").setLevel(logging.ERROR)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for student in students:
            row: dict[str, Any] = {"student": student, "points": {}, "total": None, "mistakes": []}
            try:
                submission = gradebook.find_submission_notebook(NAME, UNIT, student)
            except MissingEntry:
                yield row
                continue
            grades = [g for g in submission.grades if g.name.startswith("check_")]
            row["points"] = {g.name.removeprefix("check_"): (g.auto_score or 0.0, g.max_score) for g in grades}
            row["total"] = sum(score for score, _ in row["points"].values())
            notebook = course / "autograded" / student / UNIT / f"{NAME}.ipynb"
            if notebook.exists():
                said = verdicts(nbformat.read(notebook, as_version=4))
                row["mistakes"] = list(dict.fromkeys(v["misconception"] for v in said if v.get("misconception") and not v.get("passed")))
            yield row


def print_table(rows: list[dict[str, Any]]) -> None:
    """Student, points for each exercise, total, the mistakes found."""
    exercises: dict[str, float] = {}
    for row in rows:
        exercises |= {name: most for name, (_, most) in row["points"].items()}
    order = [n.split(".")[1] for n in ORDER if n.split(".")[1] in exercises]
    width = max(len(r["student"]) for r in rows)
    for number, name in enumerate(order):
        ends_line = number % 3 == 2 or number == len(order) - 1
        print(f"   {chr(ord('a') + number)} = {name} ({exercises[name]:g})", end="\n" if ends_line else "")
    heads = "".join(f"{chr(ord('a') + i):>3}" for i in range(len(order)))
    print(f"\n{'student':<{width}} {heads}  total  mistake found")
    for row in rows:
        if row["total"] is None:
            print(f"{row['student']:<{width}} {'not graded':>{len(heads)}}")
            continue
        cells = "".join(f"{row['points'].get(n, (0, 0))[0]:>3g}" for n in order)
        print(f"{row['student']:<{width}} {cells}  {row['total']:>5g}  {', '.join(row['mistakes']) or '-'}")
