"""A demo class: submissions made out of the solved notebook, graded, with a table, feedback pages and a class page."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from autograder import masters
from autograder.grading.sandbox import SandboxError, find_mode

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
    print("3. Grading (some cells in there fail on purpose)")
    code = grade(course)
    print("4. Pages to read")
    code = max(code, elbolab(course, "report", UNIT))
    print(f"\nGradebook: {course.name}/gradebook.db. Points are those of the automatic checks; answers in words wait for a person (?).")
    print(f"Took {time.monotonic() - started:.0f} s.")
    return code


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
    from autograder.catalogue import all_checks  # here, because it loads torch

    exercises = [exercise for exercise in all_checks().values() if exercise.name.startswith("vae.")]
    for name in MADE:
        exercise = next(e for e in exercises if e.mistake(name))
        yield name, with_mistake(perfect, exercise.target, exercise.mistake(name).ways[0])
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


def with_mistake(notebook: Any, target: str, way: Any) -> Any:
    """A copy with a mistake in the solution cell that defines `target`."""
    from autograder.exercises.exercise import applied

    defines = (f"class {target}", f"def {target}")
    cell = next(c for c in notebook.cells if grade_id(c) and any(d in c.source for d in defines))
    return edited(notebook, grade_id(cell), lambda source: applied(source, way, target))


# --- grading -------------------------------------------------------------------------------------


def grade(course: Path) -> int:
    """Register the assignment with nbgrader, then grade the class as a teacher would; returns the exit code."""
    with open(course / ".nbgrader.log", "w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", UNIT]
        if subprocess.run(command, cwd=course, stdout=log, stderr=log, check=False).returncode:
            print(f"   nbgrader generate_assignment failed: see {course.name}/.nbgrader.log")
            return 1
    try:
        find_mode()
        return elbolab(course, "grade", UNIT)
    except SandboxError as error:  # these submissions are our own: nothing in them is a danger
        print(f"   Without a sandbox, as this class is made up. {error}")
        return elbolab(course, "grade", UNIT, "--no-sandbox")


def elbolab(course: Path, *arguments: str) -> int:
    """Run one of our own commands in the demo course."""
    return subprocess.run([sys.executable, "-m", "autograder.cli", *arguments], cwd=course, check=False).returncode
