"""What is recorded is what `nbgrader autograde` would have left, all of it or nothing, and nbgrader goes on from there."""

import csv
import shutil
import sqlite3
import stat

import nbformat
import pytest
from grading_course import UNIT, grade, hand_in, nbgrader, new_course, working
from nbgrader.api import Gradebook
from sqlalchemy.orm import Session

from autograder.grading import gradebook, records
from autograder.grading.gradebook import Book, Busy, GradebookError, course_settings
from autograder.grading.recording import points_of, read_document
from autograder.grading.table import results

# Every table with names in place of its random ids; a course's "default_course" stands in none of them.
TABLES = {
    "student": "SELECT id, first_name, last_name, email, lms_user_id FROM student",
    "submission": """SELECT s.student_id, a.name, s.timestamp, s.extension FROM submitted_assignment s JOIN assignment a ON a.id = s.assignment_id""",
    "notebook": """SELECT s.student_id, n.name, m.flagged, m.late_submission_penalty FROM submitted_notebook m
        JOIN submitted_assignment s ON s.id = m.assignment_id JOIN notebook n ON n.id = m.notebook_id""",
    "grade": """SELECT s.student_id, c.name, g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade FROM grade g
        JOIN submitted_notebook m ON m.id = g.notebook_id JOIN submitted_assignment s ON s.id = m.assignment_id JOIN base_cell c ON c.id = g.cell_id""",
    "comment": """SELECT s.student_id, c.name, k.auto_comment, k.manual_comment FROM comment k
        JOIN submitted_notebook m ON m.id = k.notebook_id JOIN submitted_assignment s ON s.id = m.assignment_id JOIN base_cell c ON c.id = k.cell_id""",
    "course": "SELECT id FROM course", "assignment": "SELECT name, duedate, course_id FROM assignment",
    "cells": "SELECT name, type FROM base_cell", "version": "SELECT version_num FROM alembic_version",
}


def tables(course):
    with sqlite3.connect(course / "gradebook.db") as connection:
        return {name: sorted(map(repr, connection.execute(query))) for name, query in TABLES.items()}


def files(course):
    """{path: (permissions, content)} of the autograded folder; notebooks without what they say about this run."""
    found = {}
    for path in sorted((course / "autograded").rglob("*")):
        content = path.read_bytes() if path.is_file() else None
        if path.suffix == ".ipynb":
            content = nbformat.reads(content.decode(), as_version=4)
            content.metadata.pop("elbolab")
        found[path.relative_to(course).as_posix()] = (stat.S_IMODE(path.stat().st_mode), content)
    return found


def grade_by_hand(course, student, **scores):
    """What a person does in the formgrader."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for cell, score in scores.items():
            found = book.find_grade(cell, "exercises", UNIT, student)
            found.manual_score, found.needs_manual_grade = score, False
        book.find_comment("answer_why", "exercises", UNIT, student).manual_comment = "Well said."
        book.db.commit()


def set_duedate(course, when):
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        book.update_or_create_assignment(UNIT, duedate=when)


@pytest.mark.slow
def test_tables_and_files_are_what_nbgrader_itself_leaves(tmp_path):
    """One course is graded by us; in a copy, stock autograde records the same executed notebooks."""
    ours = new_course(tmp_path)
    with (ours / "nbgrader_config.py").open("a") as config:
        config.write("c.LateSubmissionPlugin.penalty_method = 'zero'\n")
    set_duedate(ours, "2026-01-02 00:00:00")
    hand_in(ours, "on_time", working(ours), timestamp="2026-01-01 10:00:00 CET")
    hand_in(ours, "late", working(ours), timestamp="2026-01-03 10:00:00.123456 UTC")
    hand_in(ours, "no_time", working(ours, double="def double(n): return -n"))
    hand_in(ours, "no_answer", working(ours, answer_why="*Your answer here.*"), timestamp="2026-01-01 10:00:00 +0100")
    (hand_in(ours, "more_files", working(ours)) / "data").mkdir()
    hand_in(ours, "more_files", "1,2", name="data/own.csv")
    stock = tmp_path / "stock"
    shutil.copytree(ours, stock)
    for again in (False, True):
        if again:
            for course in (ours, stock):
                grade_by_hand(course, "on_time", check_double=0.5, answer_why=1.0)
        grade(ours, force=again)
        for path in (ours / "autograded").rglob("*.ipynb"):
            target = stock / "submitted" / path.relative_to(ours / "autograded")
            target.unlink(missing_ok=True)
            shutil.copy(path, target)
        nbgrader(stock, "autograde", UNIT, "--force", "--Autograde.exporter_class=nbconvert.exporters.NotebookExporter",
                 "--Autograde.sanitize_preprocessors=[]",
                 "--Autograde.autograde_preprocessors=nbgrader.preprocessors.SaveAutoGrades",
                 "--Autograde.autograde_preprocessors=nbgrader.preprocessors.AssignLatePenalties")
        theirs = tables(stock)
        theirs["course"].remove("('default_course',)") if "('default_course',)" not in tables(ours)["course"] else None
        assert tables(ours) == theirs
        assert files(ours) == files(stock)
    assert any("'late', 'exercises', 0, 3.0" in row for row in tables(ours)["notebook"])


def test_points_grades_and_comments(tmp_path):
    course = new_course(tmp_path, anna={}, bert={"double": "def double(n): return -n", "answer_why": "*Your answer here.*"})
    grade(course)
    assert tables(course)["grade"] == sorted([
        "('anna', 'check_double', 2.0, None, None, 0)", "('anna', 'check_square', 1.0, None, None, 0)", "('anna', 'answer_why', None, None, None, 1)",
        "('bert', 'check_double', 1.0, None, None, 0)", "('bert', 'check_square', 1.0, None, None, 0)", "('bert', 'answer_why', 0.0, None, None, 0)"])
    assert "('bert', 'answer_why', 'No response.', None)" in tables(course)["comment"]


def test_a_test_that_nothing_judged_waits_for_a_person(tmp_path):
    course = new_course(tmp_path, anna={"double": "UNSCORED"})
    grade(course)
    assert "('anna', 'check_double', None, None, None, 1)" in tables(course)["grade"]


def test_manual_grades_are_kept(tmp_path):
    course = new_course(tmp_path, anna={})
    grade(course)
    grade_by_hand(course, "anna", check_double=0.5, answer_why=1.0)
    hand_in(course, "anna", working(course, double="def double(n): return -n"))
    assert grade(course).graded == ["anna"]
    assert "('anna', 'check_double', 1.0, 0.5, None, 1)" in tables(course)["grade"]
    assert "('anna', 'answer_why', None, 1.0, None, 1)" in tables(course)["grade"]
    assert "('anna', 'answer_why', None, 'Well said.')" in tables(course)["comment"]
    (row,) = results(course, UNIT)
    assert row.points["exercises", "check_double"] == (0.5, 2.0) and row.total == 2.5


def test_an_unreadable_file_is_a_zero_with_a_reason(tmp_path):
    course = new_course(tmp_path)
    hand_in(course, "anna", "no notebook")
    summary = grade(course)
    assert summary.graded == ["anna"] and summary.exit_code == 0 and "cannot be graded" in summary.problems["anna"][0]
    assert all(", 0.0, None, None, 0)" in row for row in tables(course)["grade"])
    assert "cannot be graded" in (course / "autograded" / "anna" / UNIT / "exercises.ipynb").read_text()


@pytest.mark.parametrize("failing", range(1, 6))
def test_a_failure_in_the_middle_leaves_nothing_in_the_gradebook(tmp_path, monkeypatch, failing):
    course = new_course(tmp_path, anna={})
    before, calls = tables(course), []
    flush = Session.flush

    def fail(self, *arguments, **options):
        if self.new or self.dirty:
            calls.append(self)
        if len(calls) == failing:
            raise GradebookError("pulled the plug")
        return flush(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(gradebook._Held, "flush", fail, raising=False)
        summary = grade(course)
    if len(calls) >= failing:
        assert "pulled the plug" in summary.failed["anna"] and summary.exit_code == 1
        assert tables(course)["grade"] == before["grade"] == [] and tables(course)["student"] == []
        assert not (course / "autograded" / "anna" / UNIT).exists()
    assert grade(course).exit_code == 0 and len(tables(course)["grade"]) == 3


def test_a_locked_gradebook_is_busy(tmp_path):
    course = new_course(tmp_path)
    settings = course_settings(course)
    with Book(settings) as book, sqlite3.connect(course / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="locked by another program"):
            book.record(UNIT, "anna", "", {})
        other.execute("ROLLBACK")
        book.record(UNIT, "anna", "", {})
    assert [row.student for row in results(course, UNIT)] == ["anna"]


def test_without_a_gradebook_none_is_made(tmp_path):
    course = new_course(tmp_path)
    (course / "gradebook.db").unlink()
    with pytest.raises(GradebookError, match="nbgrader generate_assignment"):
        Book(course_settings(course))
    assert not (course / "gradebook.db").exists()


def test_reading_writes_nothing(tmp_path):
    course = new_course(tmp_path)
    before = (course / "gradebook.db").read_bytes()
    with Book(course_settings(course), read_only=True) as book:
        book.grades_of(UNIT)
    assert (course / "gradebook.db").read_bytes() == before


def test_settings_are_those_of_nbgrader(tmp_path):
    course = new_course(tmp_path)
    (course / "my_plugin.py").write_text(
        "from nbgrader.plugins import LateSubmissionPlugin\n"
        "class Hourly(LateSubmissionPlugin):\n"
        "    def late_submission_penalty(self, student_id, score, seconds):\n        return seconds / 3600\n")
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.CourseDirectory.submitted_directory = 'in'\nc.CourseDirectory.autograded_directory = 'out'\n"
                     "c.CourseDirectory.directory_structure = '{assignment_id}/{nbgrader_step}/{student_id}'\n"
                     "c.CourseDirectory.db_url = 'sqlite:///grades/book.db'\nc.Autograde.permissions = 640\n"
                     "c.AssignLatePenalties.plugin_class = 'my_plugin.Hourly'\n")
    (course / "grades").mkdir()
    set_duedate(course, "2026-01-01 00:00:00")
    (course / "gradebook.db").rename(course / "grades" / "book.db")
    folder = course / UNIT / "in" / "anna"
    folder.mkdir(parents=True)
    nbformat.write(working(course), folder / "exercises.ipynb")
    (folder / "timestamp.txt").write_text("2026-01-01 02:00:00 UTC")
    assert grade(course).graded == ["anna"]
    (course / "grades" / "book.db").rename(course / "gradebook.db")
    assert tables(course)["notebook"] == ["('anna', 'exercises', 0, 2.0)"]
    place = course / UNIT / "out" / "anna" / "exercises.ipynb"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert not list(place.parent.parent.glob(".*"))


def test_students_are_not_made_where_nbgrader_would_not(tmp_path):
    course = new_course(tmp_path, anna={})
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.Autograde.create_student = False\n")
    assert "nbgrader db student add anna" in grade(course).failed["anna"]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        book.add_student("anna")
    assert grade(course).graded == ["anna"]


def test_settings_that_are_broken_are_named(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.root = 1 / 0\n")
    with pytest.raises(GradebookError, match="nbgrader_config.py.*division"):
        course_settings(tmp_path)


def test_the_instructors_files_take_the_place_of_students(tmp_path):
    course = new_course(tmp_path)
    figure = (course / "solutions" / UNIT / "figures" / "double.svg").read_text()
    folder = hand_in(course, "anna", working(course))
    (folder / "figures").mkdir()
    (folder / "figures" / "double.svg").write_text("<svg onload='alert(1)'/>")
    (folder / "secret").symlink_to(course / "gradebook.db")
    grade(course)
    place = course / "autograded" / "anna" / UNIT
    assert (place / "figures" / "double.svg").read_text() == figure and not (place / "secret").exists()
    assert stat.S_IMODE((place / "exercises.ipynb").stat().st_mode) == 0o444


def test_the_record_tells_the_points(tmp_path):
    course = new_course(tmp_path, anna={"square": "def square(n): return -n"})
    grade(course)
    record = records.load(course, UNIT, "anna")
    assert record.points == {"exercises": {"check_double": [2.0, 2.0], "check_square": [0.5, 1.0], "answer_why": [None, 2.0]}}
    assert record.mistakes == {"exercises": {"check_square": ["the sign is wrong"]}}
    notebook = read_document((course / "autograded" / "anna" / UNIT / "exercises.ipynb").read_text())
    assert points_of(notebook) == record.points["exercises"] and notebook.metadata.elbolab.seed == record.seed
    assert list(records.folder_of(course, UNIT, "anna").iterdir()) == [records.folder_of(course, UNIT, "anna") / "record.json"]


@pytest.mark.slow
def test_feedback_and_export_go_on_from_there(tmp_path):
    course = new_course(tmp_path, anna={}, bert={"double": "def double(n): return -n"})
    hand_in(course, "carl", b"\xff no notebook")
    grade(course)
    nbgrader(course, "generate_feedback", UNIT)
    for student in ("anna", "bert", "carl"):
        page = (course / "feedback" / student / UNIT / "exercises.html").read_text()
        assert "double" in page and "Exemplar" not in page
    nbgrader(course, "export", f"--to={tmp_path / 'grades.csv'}")
    with (tmp_path / "grades.csv").open() as file:
        assert {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)} == {"anna": 3.0, "bert": 2.0, "carl": 0.0}
    printed = nbgrader(course, "autograde", UNIT)  # has nothing to do
    assert "Converting" not in printed and grade(course).kept == ["anna", "bert", "carl"]


@pytest.mark.slow
def test_without_our_settings_it_is_a_course_of_nbgraders(tmp_path):
    course = new_course(tmp_path, anna={}, bert={"double": "def double(n): return -n"})
    grade(course)
    (course / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'elbolab'\n"
                                               "c.CourseDirectory.source_directory = 'solutions'\nc.CourseDirectory.release_directory = 'assignments'\n")
    nbgrader(course, "generate_feedback", UNIT)
    page = (course / "feedback" / "bert" / UNIT / "exercises.html").read_text()
    assert "check_double" in page and "(Score: 2.0 / 5.0)" in page
    nbgrader(course, "export", f"--to={tmp_path / 'grades.csv'}")




def test_times_for_a_submission_are_nbgrader_s_settings(tmp_path):
    course = new_course(tmp_path / "timed")
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.ExecuteSubmission.timeout = 7\nc.ExecuteSubmission.notebook_timeout = 70\n")
    limits = course_settings(course).limits
    assert (limits.cell_seconds, limits.notebook_seconds) == (7, 70)


def test_a_folder_named_like_the_notebook_keeps_nobody_s_points_away(tmp_path):
    course = new_course(tmp_path / "odd", anna={})
    folder = course / "submitted" / "anna" / UNIT / "exercises.ipynb"
    folder.unlink()
    folder.mkdir()
    (folder / "data.txt").write_text("x")
    summary = grade(course, UNIT)
    assert summary.graded == ["anna"] and summary.exit_code == 0
    assert (course / "autograded" / "anna" / UNIT / "exercises.ipynb").is_file()
