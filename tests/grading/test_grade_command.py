"""`elbolab grade` as it is typed, with the engine and its sandbox, on a light notebook of two exercises of unit 01."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from grading_course import REPOSITORY, hand_in, nbgrader, read, submission, tree_digest

from autograder.grading import records
from autograder.grading.sandbox import SandboxError, find_mode
from autograder.grading.table import results

pytestmark = pytest.mark.slow
UNIT = "01_light"
KEPT = ("gaussian_kl", "check_gaussian_kl", "bernoulli", "check_bernoulli", "question_reparameterize", "answer_why_reparameterize")


def grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


@pytest.fixture(scope="module")
def solved():
    notebook = read(REPOSITORY / "solutions" / "01_vae" / "exercises.ipynb")
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    notebook.cells = [first, *(cell for cell in notebook.cells if grade_id(cell) in KEPT)]
    return notebook


@pytest.fixture(scope="module")
def course(tmp_path_factory, solved):
    try:
        find_mode()
    except SandboxError as error:
        pytest.skip(str(error))
    course = tmp_path_factory.mktemp("light")
    shutil.copy(REPOSITORY / "nbgrader_config.py", course)
    (course / "course").mkdir()
    (course / "solutions" / UNIT).mkdir(parents=True)
    nbformat.write(solved, course / "solutions" / UNIT / "exercises.ipynb")
    nbgrader(course, "generate_assignment", UNIT)
    released = read(course / "assignments" / UNIT / "exercises.ipynb")
    right = {grade_id(c): re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", c.source) for c in solved.cells if grade_id(c) in ("gaussian_kl", "bernoulli")}
    wrong = re.sub(r"return (.*)", r"return -(\1)", right["gaussian_kl"], flags=re.S)
    for student, sources in {"right": right, "untouched": {}, "half": {**right, "gaussian_kl": "import os\nos._exit(0)"},
                             "sign": {**right, "gaussian_kl": wrong}}.items():
        hand_in(course, student, submission(released, **sources), unit=UNIT)
    hand_in(course, "empty", "", unit=UNIT)
    return course


def elbolab(course, *arguments, code=0):
    done = subprocess.run([sys.executable, "-m", "autograder.cli", "grade", *arguments], cwd=course, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def points(course):
    return {row.student: [score for score, _ in row.points.values()] for row in results(course, UNIT)}


def test_graded_once_the_same_again_and_in_another_order(course):
    said = elbolab(course, UNIT, "--jobs", "2")
    first = points(course)
    assert first["right"][:2] in ([3, 3], [3.0, 3.0]) and first["untouched"][:2] == first["empty"][:2] == [0, 0]
    assert first["half"].count(3) == 1 and 0 in first["half"] and first["sign"].count(3) == 1
    assert "half: Cell" in said and "5 graded" in said
    before = tree_digest(course)
    assert "0 graded, 5 were graded before" in elbolab(course) and tree_digest(course) == before
    assert "nothing would change" in elbolab(course, "--dry-run") and tree_digest(course) == before
    seeds = {student: records.load(course, UNIT, student).seed for student in first}
    elbolab(course, UNIT, "--jobs", "1", "--force", "--resume")
    assert points(course) == first and {student: records.load(course, UNIT, student).seed for student in first} == seeds


def test_without_a_sandbox_only_when_asked_for_and_the_record_says_so(course):
    elbolab(course, UNIT, "--students", "right", "--force", "--no-sandbox")
    assert records.load(course, UNIT, "right").sandbox == "none" and points(course)["right"][:2] == [3, 3]


def test_the_help_is_there_at_once():
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "autograder.cli", "grade", "--help"], capture_output=True, text=True,
                          cwd=Path(REPOSITORY), check=True)
    assert "--dry-run" in done.stdout and "torch" not in done.stderr and "nbgrader" not in done.stderr
