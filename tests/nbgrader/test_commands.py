"""Every nbgrader command, run in the root of a course as its manual says: from generate to the teacher's table."""

import csv
import getpass
import os
import shutil

import nbformat
import pytest
from judged_course import KL, RIGHT, UNIT, write_course
from lab_server import lab
from small_course import nbgrader, read, scores, submission

from autograder.masters import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A teacher's course folder with notebooks, an empty gradebook and an exchange folder beside it."""
    base = tmp_path_factory.mktemp("commands")
    exchange = base / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)  # nbgrader demands that everybody may write there
    root = base / "teacher"
    root.mkdir()
    write_course(root)
    with (root / "nbgrader_config.py").open("a") as settings:
        settings.write(f"c.Exchange.root = {str(exchange)!r}\nc.Exchange.cache = {str(base / 'cache')!r}\n")
    build(root)
    return root


@pytest.fixture(scope="module")
def generated(course):
    before = (course / "assignments" / UNIT / "exercises.ipynb").read_bytes()
    # The first command of all, and with an environment that is not activated: the gradebook is made all the same.
    nbgrader(course, "generate_assignment", UNIT, PATH=os.pathsep.join(["/usr/bin", "/bin"]))
    return course, before


@pytest.fixture(scope="module")
def student(generated, tmp_path_factory):
    """A student's folder after fetch, work and submit."""
    course, _ = generated
    nbgrader(course, "release_assignment", UNIT)
    folder = tmp_path_factory.mktemp("student")
    shutil.copy(course / "nbgrader_config.py", folder)
    assert UNIT in nbgrader(folder, "list")
    nbgrader(folder, "fetch_assignment", UNIT)
    path = folder / UNIT / "exercises.ipynb"
    assert path.read_bytes() == (course / "assignments" / UNIT / "exercises.ipynb").read_bytes()
    nbformat.write(submission(read(path), **RIGHT), path)
    nbgrader(folder, "submit", UNIT)
    return folder


@pytest.fixture(scope="module")
def graded(course, student):
    nbgrader(course, "collect", UNIT)
    nbgrader(course, "autograde", UNIT)
    nbgrader(course, "generate_feedback", UNIT)
    return course


def test_generate_assignment_writes_the_same_bytes_as_our_build(generated):
    course, before = generated
    assert (course / "assignments" / UNIT / "exercises.ipynb").read_bytes() == before
    assert (course / "assignments" / UNIT / "figures" / "double.svg").exists()
    assert (course / "gradebook.db").exists()


def test_validate_passes_the_solved_notebook_and_explains_the_student_version(course):
    assert "Success!" in nbgrader(course, "validate", f"solutions/{UNIT}/exercises.ipynb")
    printed = nbgrader(course, "validate", f"assignments/{UNIT}/exercises.ipynb")
    assert "VALIDATION FAILED ON 3 CELL(S)" in printed
    assert "still to be done" in printed and 'check("vae.gaussian_kl", gaussian_kl)' in printed


def test_validate_trains_short_but_checks_as_a_student_does(course, tmp_path):
    notebook = submission(read(course / "assignments" / UNIT / "exercises.ipynb"), **RIGHT)
    notebook.cells[1].source += """
assert os.environ["ELBOLAB_FAST"] == "1" and "ELBOLAB_GRADING" not in os.environ"""
    nbformat.write(notebook, tmp_path / "exercises.ipynb")
    assert "Success!" in nbgrader(course, "validate", str(tmp_path / "exercises.ipynb"))


def test_exchange_release_fetch_submit_collect(graded):
    collected = graded / "submitted" / getpass.getuser() / UNIT
    assert (collected / "timestamp.txt").exists()
    assert KL.split("\n")[-2] in (collected / "exercises.ipynb").read_text(encoding="utf-8")


def test_autograde_records_the_points(graded):
    assert scores(graded) == {getpass.getuser(): {"check_double": 3, "check_square": 3, "answer_why": None}}


def test_feedback_shows_points_and_keeps_the_mark_scheme(graded):
    page = (graded / "feedback" / getpass.getuser() / UNIT / "exercises.html").read_text(encoding="utf-8")
    assert "vae.gaussian_kl" in page or "The KL of two diagonal Gaussians" in page
    assert "not marked yet" in page and "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "Exemplar" not in page and "MARK SCHEME" not in page and "<script" not in page


def test_export_writes_the_table(graded, tmp_path):
    nbgrader(graded, "export", f"--to={tmp_path / 'grades.csv'}")
    with (tmp_path / "grades.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["assignment"], row["student_id"]) == (UNIT, getpass.getuser())
    assert (float(row["score"]), float(row["max_score"])) == (6, 8)


@pytest.fixture(scope="module")
def server(graded, tmp_path_factory):
    with lab(graded, tmp_path_factory.mktemp("server")) as server:
        yield server


def test_formgrader_serves_its_page_and_the_assignments(server):
    assert "formgrader" in server.get("formgrader").text.lower()
    (assignment,) = server.get("formgrader/api/assignments").json()
    assert assignment["name"] == UNIT and assignment["num_submissions"] == 1
    (notebook,) = server.get(f"formgrader/api/notebooks/{UNIT}").json()
    assert notebook["name"] == "exercises" and notebook["max_score"] == 8


def test_the_formgrader_s_button_grades_in_the_sandbox(graded, server):
    me = getpass.getuser()
    path = graded / "autograded" / me / UNIT / "exercises.ipynb"
    before = read(path)
    for _ in range(2):  # the second time the sandbox is warm
        said = server.ask("POST", f"formgrader/api/submission/{UNIT}/{me}/autograde").json()
        assert said["success"], said
    after = read(path)
    assert after.metadata.elbolab.pop("seconds") != before.metadata.elbolab.pop("seconds")
    assert after == before and after.metadata.elbolab["sandbox"] == "bubblewrap"
    assert scores(graded)[me]["check_double"] == 3
