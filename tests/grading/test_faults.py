"""Whatever befalls the grader, running it again finishes the rest: nothing lost, nothing doubled, nothing half-written."""

import contextlib
import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import grading_course
import pytest
from depth import repetitions
from grading_course import REPOSITORY, UNIT, grade, hand_in, log_of, new_course, scripted, working

from autograder.grading import executors, pipeline, recording, records, running
from autograder.grading.table import results

GRADER = """
import sys
from pathlib import Path
from autograder.grading import pipeline
from autograder.grading.table import Progress
from grading_course import scripted
if __name__ == "__main__":
    (summary,) = pipeline.grade_class(Path(sys.argv[1]), jobs=2, execute=scripted, progress=Progress(sys.stdout))
    sys.exit(summary.exit_code)
"""


def start(course, log, **options):
    """A grader in a process (group) of its own."""
    script = course.parent / "grader.py"
    script.write_text(GRADER)
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "grading"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, grading_course.LOG: str(log), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(script), str(course)], env=environment, start_new_session=True, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def members(group):
    """The living processes of a process group."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if int(line.split()[1]) == group and not line.split()[2].startswith("Z")]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def consistent(course, students):
    """The gradebook is sound, and has each of its submissions complete or not at all."""
    with contextlib.closing(sqlite3.connect(course / "gradebook.db", isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN")  # a grader may be writing: all of this is read as of one moment
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = connection.execute("""SELECT s.student_id, count(*), count(g.auto_score), sum(g.needs_manual_grade) FROM submitted_assignment s
            JOIN submitted_notebook n ON n.assignment_id = s.id JOIN grade g ON g.notebook_id = n.id GROUP BY s.id""").fetchall()
        (number,) = connection.execute("SELECT count(*) FROM submitted_assignment").fetchone()
    assert len(rows) == number and {row[1:] for row in rows} <= {(3, 2, 1)}
    assert {row[0] for row in rows} <= set(students)
    return {row[0] for row in rows}


def kill(grader, log, seconds, at_work):
    """SIGKILL, so many seconds after it has started, or has begun to execute."""
    before = len(log_of(log))
    assert until(lambda: len(log_of(log)) > before or not at_work or grader.poll() is not None)
    time.sleep(seconds)
    grader.kill()
    grader.communicate()
    assert until(lambda: not members(grader.pid), 20), "its workers live on"


KILLS = repetitions(3, 10)


@pytest.mark.slow
def test_killed_at_some_moments_and_started_again(tmp_path):
    students = {f"s{number:02d}": {"double": "def double(n): return -n\n# SLEEP 0.15"} for number in range(24)}
    course, log, chance = new_course(tmp_path, **students), tmp_path / "log", random.Random(7)
    known = set()
    for round_ in range(KILLS):
        kill(start(course, log), log, chance.uniform(0, 0.5), at_work=round_ > 0)
        assert known <= (known := consistent(course, students))
    grader = start(course, log)
    said, _ = grader.communicate(timeout=120)
    assert grader.returncode == 0, said
    assert consistent(course, students) == set(students)
    assert {row.student: row.total for row in results(course, UNIT)} == dict.fromkeys(students, 2)
    times = Counter(log_of(log))
    assert set(times) == set(students) and sum(times.values()) <= len(students) + KILLS * (2 + 2)
    assert all(records.load(course, UNIT, student).recorded for student in students)
    left = [p.name for p in [*course.rglob(".*.new"), *course.rglob(".*.old")]]
    assert left == []
    before = grading_course.tree_digest(course)
    assert grade(course).kept == sorted(students) and grading_course.tree_digest(course) == before


STEPS = ["autograder.grading.records.write_atomic", "autograder.grading.recording.Recorder.prepare", "autograder.grading.recording.replace",
         "autograder.grading.gradebook.Book.record", "autograder.grading.records.drop_documents", "autograder.grading.records.save"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_killed_before_or_after_any_step_of_recording(tmp_path, monkeypatch, step, after):
    """The second time that each step is taken is the last thing that the grader does; the next one repairs it."""
    course, owner = new_course(tmp_path, anna={}, bert={}), step.rsplit(".", 1)
    target = {"Recorder": recording.Recorder, "Book": recording.Book}.get(owner[0].split(".")[-1]) or sys.modules[owner[0]]
    original, calls = getattr(target, owner[1]), []

    def fatal(*arguments, **options):
        calls.append(1)
        if len(calls) == 2 and not after:
            raise Killed
        value = original(*arguments, **options)
        if len(calls) == 2:
            raise Killed
        return value

    with monkeypatch.context() as patch:
        patch.setattr(target, owner[1], fatal)
        with pytest.raises(Killed):
            grade(course)
    consistent(course, ["anna", "bert"])
    summary = grade(course)
    assert summary.exit_code == 0 and sorted(summary.graded + summary.kept) == ["anna", "bert"]
    assert consistent(course, ["anna", "bert"]) == {"anna", "bert"}
    assert not [*course.rglob(".*.new"), *course.rglob(".*.old"), *(course / ".elbolab").rglob("*.ipynb")]


def test_a_replaced_folder_that_was_caught_between_two_renames_comes_back(tmp_path, monkeypatch):
    course = new_course(tmp_path, anna={})
    grade(course)
    rename, calls = os.rename, []

    def fatal(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        rename(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fatal)
        with pytest.raises(Killed):
            grade(course, force=True)
    assert not (course / "autograded" / "anna" / UNIT).exists()
    grade(course)
    assert sorted(p.name for p in (course / "autograded" / "anna").iterdir()) == [UNIT]


# --- the gradebook and the disk ------------------------------------------------------------------


def test_a_gradebook_locked_by_another_process_is_waited_for(tmp_path):
    course = new_course(tmp_path, anna={}, bert={})
    code = ("import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "sys.stdin.readline(); c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.readline(); c.execute('ROLLBACK')")
    lines = []

    class Telling:
        def say(self, line):
            lines.append(line)
            self.go_on()

        def go_on(self):
            other.stdin.write("\n")
            other.stdin.flush()

        def begin(self, *_):  # the grader has opened it by now; a formgrader gets to work
            self.go_on()
            assert other.stdout.readline() == "locked\n"

        advance = close = lambda self: None

    with subprocess.Popen([sys.executable, "-c", code, str(course / "gradebook.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        summary = grade(course, progress=Telling())
    assert summary.graded == ["anna", "bert"] and summary.exit_code == 0
    assert "Waiting up to 60 s: the gradebook is locked by another program" in lines[0]


def test_a_gradebook_locked_for_good_does_not_stop_executing(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE", 0.1)
    course, done = new_course(tmp_path, anna={}, bert={}, carl={}), []
    other = sqlite3.connect(course / "gradebook.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    summary = grade(course, execute=lambda task: done.append(task.student) or scripted(task))
    other.close()
    assert done == summary.unrecorded == ["anna", "bert", "carl"] and summary.exit_code == 1
    assert grade(course, execute=scripted).graded == ["anna", "bert", "carl"] and len(done) == 3


@pytest.mark.parametrize("where", ["document", "autograded", "gradebook"])
def test_a_full_disk_stops_cleanly_and_is_gone_on_from(tmp_path, monkeypatch, where):
    course = new_course(tmp_path, anna={}, bert={}, carl={})
    full = OSError(errno.ENOSPC, "No space left on device")
    calls = []

    def failing(original):
        def fail(*arguments, **options):
            calls.append(1)
            if len(calls) == 2:
                raise full
            return original(*arguments, **options)
        return fail

    with monkeypatch.context() as patch:
        target, name = {"document": (recording.Recorder, "keep"), "autograded": (recording, "copy"), "gradebook": (recording.Book, "record")}[where]
        if where == "autograded":
            for student in ("anna", "bert"):
                hand_in(course, student, "1", name="data.csv")
        patch.setattr(target, name, failing(getattr(target, name)))
        if where == "document":
            patch.undo()
            patch.setattr(records.os, "fsync", failing(os.fsync))
        summary = grade(course)
    assert "is full. Make room, then run the same command again" in summary.stopped
    assert summary.exit_code == (1 if summary.graded else 2)
    consistent(course, ["anna", "bert", "carl"])
    again = grade(course)
    assert sorted([*summary.graded, *again.graded]) == ["anna", "bert", "carl"] and again.exit_code == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        course = new_course(disk)
        for number in range(12):
            hand_in(course, f"s{number:02d}", working(course))
            (course / "submitted" / f"s{number:02d}" / UNIT / "data.bin").write_bytes(b"x" * 150_000)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "ballast").write_bytes(b"x" * max(0, free - 900_000))
        summary = grade(course)
        assert "is full" in summary.stopped and 0 < len(summary.graded) < 12
        (disk / "ballast").unlink()
        again = grade(course)
        assert again.exit_code == 0 and again.graded[-1] == "s11"
        assert consistent(course, [f"s{n:02d}" for n in range(12)]) == {f"s{n:02d}" for n in range(12)}
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    course, now = new_course(tmp_path, anna={}, bert={}), [2e9]

    def backwards():
        now[0] -= 86_400
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    assert grade(course).graded == ["anna", "bert"]
    hand_in(course, "anna", working(course, double="def double(n): return -n"))
    assert grade(course).graded == ["anna"] and grade(course).kept == ["anna", "bert"]


# --- workers and other graders -------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing(tmp_path, monkeypatch):
    """One submission kills its worker always, one only once: the others and the second one are graded."""
    log = tmp_path / "log"
    monkeypatch.setenv(grading_course.LOG, str(log))
    students = {f"s{number}": {} for number in range(5)}
    course = new_course(tmp_path, killer={"double": "# KILL "}, unlucky={"double": f"def double(n): return n\n# KILLONCE {tmp_path / 'once'} ."}, **students)
    (summary,) = pipeline.grade_class(course, jobs=2, execute=scripted)
    assert sorted(summary.graded) == sorted([*students, "killer", "unlucky"])
    assert {row.student: row.total for row in results(course, UNIT)} == {**dict.fromkeys([*students, "unlucky"], 3), "killer": 0}
    assert "also when nothing else ran" in summary.problems["killer"][0] and list(summary.problems) == ["killer"]
    assert 2 <= Counter(log_of(log))["killer"] <= running.STRIKES + 1


@pytest.mark.slow
def test_workers_that_all_die_are_not_blamed_on_the_students(tmp_path):
    course = new_course(tmp_path, anna={"double": "# KILL "}, bert={"double": "# KILL "})
    (summary,) = pipeline.grade_class(course, jobs=1, execute=scripted)
    assert "Every worker process died" in summary.stopped and summary.exit_code == 2 and not results(course, UNIT)


@pytest.mark.slow
def test_two_graders_at_once(tmp_path):
    course = new_course(tmp_path, anna={"double": "# SLEEP 3 "})
    grader = start(course, tmp_path / "log")
    assert until(lambda: log_of(tmp_path / "log"))
    with pytest.raises(pipeline.Stopped, match="Another `elbolab grade` is at work on 01_demo"):
        grade(course)
    assert grader.communicate(timeout=60) and grader.returncode == 0


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_keeps_what_is_done(tmp_path):
    course = new_course(tmp_path, anna={}, bert={}, slow1={"double": "# SLEEP 600 "}, slow2={"double": "# SLEEP 600 "}, zoe={})
    grader = start(course, tmp_path / "log")
    assert until(lambda: consistent(course, ["anna", "bert"]) == {"anna", "bert"})
    os.killpg(grader.pid, signal.SIGINT)  # as a terminal does: to all of them
    said, _ = grader.communicate(timeout=30)
    assert grader.returncode == 130 and "Traceback" not in said, said
    assert until(lambda: not members(grader.pid), 20)
    for student in ("slow1", "slow2"):
        hand_in(course, student, working(course))
    assert sorted(grade(course).graded) == ["slow1", "slow2", "zoe"]


def test_what_is_under_way_is_bounded():
    """A thousand tasks are asked for one by one, as there is room."""
    asked, most = [0], [0]

    class Pool(grading_course.InlinePool):
        room = 3

    def tasks():
        for number in range(1000):
            asked[0] += 1
            yield type("Task", (), {"student": str(number), "notebook": "nb"})()

    ended = 0
    for _ in running.run_all(Pool(), lambda task: task.student, tasks(), lambda: False):
        ended += 1
        most[0] = max(most[0], asked[0] - ended)
    assert ended == 1000 and most[0] <= 3


def test_interruptible_only_where_signals_arrive():
    stop, seen, before = threading.Event(), [], signal.getsignal(signal.SIGINT)

    def elsewhere():
        with pipeline.interruptible(stop):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before] and executors.LocalPool(3).room >= 3
