"""`elbolab grade` from the teacher's chair: what is graded, what is left alone, what is said, and the exit code."""

import argparse
import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import grading_course
import pytest
from grading_course import UNIT, generous, grade, hand_in, inline, log_of, nbgrader, new_course, read, tree_digest, working

from autograder.grading import command as grade_command
from autograder.grading import pipeline, records
from autograder.grading.dryrun import compare_class
from autograder.grading.grader import Summary
from autograder.grading.table import Progress, Row, plain, print_summary, print_table, results

NEGATIVE = {"double": "def double(n): return -n"}


def totals(course):
    return {row.student: row.total for row in results(course, UNIT)}


def command(course, *, execute=grading_course.scripted, **options):
    """Runs `elbolab grade` as the command line does, with the stand-in; returns its exit code."""
    args = argparse.Namespace(assignment=None, students=None, jobs=None, cluster=None, dry_run=False, resume=False, force=False, no_sandbox=False)
    vars(args).update(options)
    each = pipeline.grade_each
    pipeline.grade_each = lambda *a, **o: each(*a, **o, execute=execute)
    try:
        with inline():
            return grade_command.run(args, course)
    finally:
        pipeline.grade_each = each


def printed_dry_run(course, execute=generous, **options):
    lines = []
    with inline():
        code = compare_class(course, execute=execute, print=lines.append, **options)
    return code, "\n".join(lines)


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv(grading_course.LOG, str(tmp_path / "log"))
    return tmp_path / "log"


# --- what is graded ------------------------------------------------------------------------------


def test_a_class_is_graded_once(tmp_path, log):
    course = new_course(tmp_path, anna={}, bert=NEGATIVE)
    first = grade(course)
    assert (first.graded, first.kept, first.exit_code) == (["anna", "bert"], [], 0)
    assert totals(course) == {"anna": 3, "bert": 2}
    before = tree_digest(course)
    again = grade(course)
    assert (again.graded, again.kept, again.exit_code) == ([], ["anna", "bert"], 0)
    assert log_of(log) == ["anna", "bert"] and tree_digest(course) == before


def test_a_new_version_of_a_submission_is_graded_with_a_new_seed(tmp_path, log):
    course = new_course(tmp_path, anna={}, bert={})
    grade(course)
    before = {s: records.load(course, UNIT, s).seed for s in ("anna", "bert")}
    hand_in(course, "anna", working(course, **NEGATIVE))
    assert grade(course).graded == ["anna"] and log_of(log) == ["anna", "bert", "anna"]
    assert records.load(course, UNIT, "anna").seed != before["anna"] and records.load(course, UNIT, "bert").seed == before["bert"]
    assert totals(course)["anna"] == 2


def test_changed_tests_grade_everybody_anew_with_the_same_seeds(tmp_path):
    course = new_course(tmp_path, anna={}, bert={})
    grade(course)
    before = {s: records.load(course, UNIT, s).seed for s in ("anna", "bert")}
    source = course / "solutions" / UNIT / "exercises.ipynb"
    source.write_text(source.read_text().replace("demo.square", "demo.squared"))
    nbgrader(course, "generate_assignment", UNIT)
    summary = grade(course)
    assert summary.graded == summary.anew == ["anna", "bert"]
    assert {s: records.load(course, UNIT, s).seed for s in ("anna", "bert")} == before


def test_force_grades_anew_with_the_same_seeds(tmp_path, log):
    course = new_course(tmp_path, anna={}, bert={})
    grade(course)
    seed = records.load(course, UNIT, "anna").seed
    assert grade(course, force=True, students=["anna"]).graded == ["anna"]
    assert records.load(course, UNIT, "anna").seed == seed and log_of(log) == ["anna", "bert", "anna"]


@pytest.mark.parametrize("lost", ["gradebook.db", "autograded", "autograded/anna/01_demo/exercises.ipynb"])
def test_what_got_lost_is_graded_again_with_the_same_seed(tmp_path, lost):
    course = new_course(tmp_path, anna={})
    empty = (course / "gradebook.db").read_bytes()
    grade(course)
    seed = records.load(course, UNIT, "anna").seed
    if lost == "gradebook.db":
        (course / lost).write_bytes(empty)
    else:
        path = course / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert grade(course).graded == ["anna"] and totals(course) == {"anna": 3}
    assert records.load(course, UNIT, "anna").seed == seed


def test_executed_submissions_are_only_recorded(tmp_path, log, monkeypatch):
    """As a grader leaves them that was killed between executing and recording, or whose gradebook was locked."""
    course = new_course(tmp_path, anna={})
    monkeypatch.setattr("autograder.grading.recording.PATIENCE", 0.0)
    with sqlite3.connect(course / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        summary = grade(course)
        assert (summary.unrecorded, summary.graded, summary.exit_code) == (["anna"], [], 1)
        other.execute("ROLLBACK")
    assert grade(course).graded == ["anna"] and log_of(log) == ["anna"] and totals(course) == {"anna": 3}


def test_a_locked_gradebook_that_is_let_go_in_the_end_costs_nothing(tmp_path, monkeypatch):
    course = new_course(tmp_path, anna={}, bert={})
    monkeypatch.setattr("autograder.grading.recording.PATIENCE", 0.0)
    other = sqlite3.connect(course / "gradebook.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    class Letting(Progress):
        def advance(self):
            super().advance()
            if self.done == 2 and other.in_transaction:
                other.execute("ROLLBACK")

    summary = grade(course, progress=Letting(io.StringIO()))
    other.close()
    assert sorted(summary.graded) == ["anna", "bert"] and not summary.unrecorded and summary.exit_code == 0


def test_an_assignment_with_two_notebooks(tmp_path):
    course = new_course(tmp_path)
    shutil.copy(course / "solutions" / UNIT / "exercises.ipynb", course / "solutions" / UNIT / "more.ipynb")
    nbgrader(course, "generate_assignment", UNIT)
    hand_in(course, "anna", working(course))
    hand_in(course, "anna", working(course, **NEGATIVE), name="more.ipynb")
    hand_in(course, "bert", working(course))
    assert grade(course).graded == ["anna", "bert"]
    assert totals(course) == {"anna": 5, "bert": 3}
    assert "There is no more.ipynb" in str(records.load(course, UNIT, "bert").notes)


def test_a_name_that_is_no_text_is_that_folders_trouble_only(tmp_path):
    course = new_course(tmp_path, anna={})
    try:
        shutil.copytree(os.fsencode(course / "submitted" / "anna"), os.fsencode(course / "submitted") + b"/\xff")
    except OSError:
        pytest.skip("this file system keeps such names out")
    summary = grade(course)
    assert summary.graded == ["anna"] and "no text" in str(summary.failed) and summary.exit_code == 1
    out = io.StringIO()
    print_summary(course, summary, lambda line: print(line.encode().decode(), file=out))


@pytest.mark.parametrize("name", ["Zoë Müller", "学生", "o'brien; drop table", "a b", "x" * 120])
def test_any_name_will_do(tmp_path, name):
    course = new_course(tmp_path)
    hand_in(course, name, working(course))
    assert grade(course).graded == [name] and totals(course) == {name: 3}


def test_a_linked_submission_is_not_followed(tmp_path):
    course = new_course(tmp_path, anna={})
    (course / "submitted" / "mallory").mkdir()
    (course / "submitted" / "mallory" / UNIT).symlink_to(course / "submitted" / "anna" / UNIT)
    summary = grade(course)
    assert summary.graded == ["anna"] and "link" in summary.failed["mallory"]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_bug_in_the_engine_is_one_submissions_trouble_and_is_tried_again(tmp_path):
    course = new_course(tmp_path, anna={}, bert={"double": "RAISE"})
    summary = grade(course)
    assert summary.graded == ["anna"] and "a bug in the engine" in summary.failed["bert"] and summary.exit_code == 1
    hand_in(course, "bert", working(course))
    assert grade(course).graded == ["bert"]


def test_without_a_sandbox_nothing_is_graded(tmp_path, capsys):
    course = new_course(tmp_path, anna={}, bert={})
    assert command(course, execute=grading_course.no_sandbox_here) == 2
    assert "apt install bubblewrap" in capsys.readouterr().out
    assert totals(course) == {} and not (course / "autograded").exists()
    assert command(course) == 0 and totals(course) == {"anna": 3, "bert": 3}


@pytest.mark.parametrize("options, words", [
    ({"assignment": "01_dmo"}, "knows no assignment 01_dmo. Did you mean 01_demo? Put it there with: nbgrader generate_assignment 01_dmo"),
    ({"students": "ana"}, "no submission of 01_demo from ana. Did you mean anna?"),
    ({"students": "anna,zoe"}, "no submission of 01_demo from zoe"),
])
def test_what_is_not_there_is_said_with_what_to_do(tmp_path, capsys, options, words):
    course = new_course(tmp_path, anna={})
    assert command(course, **options) == 2
    assert words in capsys.readouterr().err


def test_no_submissions_and_no_gradebook(tmp_path, capsys):
    course = new_course(tmp_path)
    assert command(course) == 2 and "There are no submissions in" in capsys.readouterr().err
    assert command(course, assignment=UNIT) == 2 and f"nbgrader collect {UNIT}" in capsys.readouterr().err
    hand_in(course, "anna", read(course / "assignments" / UNIT / "exercises.ipynb"))
    (course / "gradebook.db").unlink()
    assert command(course) == 2 and "nbgrader generate_assignment" in capsys.readouterr().err


def test_a_submission_of_an_assignment_that_is_not_generated(tmp_path, capsys):
    course = new_course(tmp_path)
    hand_in(course, "anna", working(course), unit="02_next")
    assert command(course) == 2
    assert "no assignment 02_next. It knows 01_demo. Put it there with: nbgrader generate_assignment 02_next" in capsys.readouterr().err


def test_interrupted_it_keeps_what_is_done_and_goes_on_from_there(tmp_path, log, capsys):
    course, before = new_course(tmp_path, anna={}, bert={}, carl={}), signal.getsignal(signal.SIGINT)

    class Impatient(Progress):
        def advance(self):
            os.kill(os.getpid(), signal.SIGINT)

    summary = grade(course, progress=Impatient(io.StringIO()))
    assert summary.graded == ["anna"] and summary.interrupted and summary.exit_code == 130
    print_summary(course, summary)
    assert "run the same command again" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    assert grade(course).graded == ["bert", "carl"] and log_of(log) == ["anna", "bert", "carl"]


# --- --dry-run -----------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_says_what_would(tmp_path):
    course = new_course(tmp_path, anna={}, bert=NEGATIVE)
    grade(course)
    seed = records.load(course, UNIT, "bert").seed
    hand_in(course, "new", working(course))
    before = tree_digest(course)
    code, said = printed_dry_run(course)
    assert code == 0 and tree_digest(course) == before
    assert f"bert: would change\n   check_double: 1 -> 2 of 2. seed {seed}" in said
    assert "new: not graded yet; would get\n   check_double: 2 of 2." in said
    assert "For 1 of 3 submissions of 01_demo nothing would change.\nNothing was recorded." in said


def test_a_dry_run_of_a_class_that_was_never_graded(tmp_path):
    course = new_course(tmp_path, anna={})
    before = tree_digest(course)
    assert printed_dry_run(course, students=["anna"])[0] == 0 and tree_digest(course) == before


def test_a_dry_run_compares_with_the_automatic_points_not_with_a_persons(tmp_path):
    course = new_course(tmp_path, anna={})
    grade(course)
    with sqlite3.connect(course / "gradebook.db") as connection:
        connection.execute("UPDATE grade SET manual_score = 0.5")
    assert "nothing would change" in printed_dry_run(course)[1]


# --- what is said --------------------------------------------------------------------------------


def test_the_command_prints_problems_the_table_and_what_to_do_next(tmp_path, capsys):
    course = new_course(tmp_path, anna={}, bert={"square": "TROUBLE"})
    hand_in(course, "carl", "")
    assert command(course, resume=True) == 0
    said = capsys.readouterr().out
    assert "bert: Cell 3 ran longer than 120 s and was stopped." in said and "carl: " in said
    assert re.search(r"^anna +2 +1 +\? +3/5  -$", said, re.M)
    assert re.search(r"^bert +2 +0 +\? +2/5  the sign is wrong; Cell 3 ran longer", said, re.M)
    assert "01_demo: 3 graded." in said and "nbgrader generate_feedback 01_demo" in said
    assert command(course) == 0 and "0 graded, 3 were graded before." in capsys.readouterr().out


def test_a_large_class_is_summed_up():
    rows = [Row(f"s{n}", {("nb", "check_a"): (n % 5, 4), ("nb", "check_b"): (None, 1)}, n % 5, 5, ["the sign is wrong"] * (n % 5 == 0)) for n in range(300)]
    lines = []
    print_table(rows, lines.append)
    assert len(lines) < 30 and "300 students; of 5 points: mean 2.0, median 2.0" in lines[0]
    assert any("check_a" in line and "2.00 of 4" in line and "20%" in line for line in lines)
    assert any("60  the sign is wrong" in line for line in lines)


def test_nothing_from_a_submission_reaches_the_terminal_as_a_command():
    assert plain("a\x1b[2Jb\nc\u202ed") == "a?[2Jb c?d" and len(plain("x" * 5000)) == 300


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_and_elsewhere(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("autograder.grading.table.time.monotonic", lambda: clock[0])
    for out, wanted in ((Terminal(), "1/4, 60 s left"), (io.StringIO(), "1/4, 60 s left")):
        progress = Progress(out)
        progress.begin(4, "01")
        clock[0] += 20
        progress.advance()
        progress.say("a problem")
        for _ in range(3):
            progress.advance()
        progress.close()
        assert wanted in out.getvalue() and "a problem\n" in out.getvalue() and "4/4" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("summary, code", [
    (Summary("a", graded=["x"]), 0), (Summary("a", kept=["x"]), 0), (Summary("a", graded=["x"], failed={"y": ""}), 1),
    (Summary("a", unrecorded=["x"]), 1), (Summary("a", stopped="no sandbox"), 2), (Summary("a", graded=["x"], stopped="disk full"), 1),
    (Summary("a", graded=["x"], stopped="Interrupted.", interrupted=True), 130),
])
def test_exit_codes(summary, code):
    assert summary.exit_code == code


def test_starting_is_quick():
    """The command's own process never imports torch, and its help not even nbgrader."""
    code = ("import sys; from autograder.grading import command; assert 'nbgrader' not in sys.modules\n"
            "from autograder.grading import assignment, dryrun, grader, table\nassert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=grading_course.REPOSITORY)


