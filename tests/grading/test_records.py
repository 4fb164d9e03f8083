"""What grading remembers survives kills, and changes exactly when what it depends on changes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from autograder.grading import records
from autograder.grading.intake import Template
from autograder.grading.records import Record
from autograder.grading.sandbox import Limits

CELL = {"id": "a", "name": "check_a", "cell_type": "code", "source": "check()", "nbgrader": {"points": 2}}


def test_the_seed_stays_while_the_submission_does(tmp_path):
    first = records.seed_for(tmp_path, "01", "anna", "digest")
    assert first == records.seed_for(tmp_path, "01", "anna", "digest") and 0 <= first < 2**62
    assert first != records.seed_for(tmp_path, "01", "bert", "digest")
    assert first != records.seed_for(tmp_path, "01", "anna", "another")


def test_asking_for_the_seed_of_a_graded_submission_changes_nothing(tmp_path):
    graded = Record("digest", 7, tests="t", executed=True, recorded=True, points={"nb": {"check_a": [1.5, 2.0]}})
    records.save(tmp_path, "01", "anna", graded)
    assert records.seed_for(tmp_path, "01", "anna", "digest") == 7
    assert records.load(tmp_path, "01", "anna") == graded


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b'{"submission": "d"}', b"\xff"])
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path, content):
    path = records.folder_of(tmp_path, "01", "anna") / "record.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert records.load(tmp_path, "01", "anna") is None


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path):
    records.save(tmp_path, "01", "anna", Record("digest", 7))
    path = records.folder_of(tmp_path, "01", "anna") / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert records.load(tmp_path, "01", "anna") == Record("digest", 7)


def test_a_write_that_fails_leaves_the_old_content_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "file"
    records.write_atomic(path, b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        records.write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_tests_digest_covers_tests_files_and_limits():
    def digest(cell=CELL, files=None, limits=None):
        return records.tests_digest({"nb": Template((cell,))}, files or {}, limits or Limits())

    assert digest() == digest()
    others = [digest({**CELL, "source": "check(1)"}), digest({**CELL, "nbgrader": {"points": 3}}), digest(files={"data.csv": b"1"}),
              digest(files={"data.csv": b"2"}), digest(limits=Limits(cell_seconds=1))]
    assert len({digest(), *others}) == 6


def test_only_one_grader_at_a_time_holds_the_lock(tmp_path):
    with records.lock(tmp_path, "01"):
        with pytest.raises(records.Locked, match="Another `elbolab grade` is at work on 01"):
            with records.lock(tmp_path, "01"):
                pass
        with records.lock(tmp_path, "02"):
            pass
    with records.lock(tmp_path, "01"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_killed_grader_lets_go_of_the_lock_and_its_half_written_files_are_removed(tmp_path):
    code = ("import sys, time; from pathlib import Path; from autograder.grading import records\n"
            "with records.lock(Path(sys.argv[1]), '01'):\n    print('held', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(records.Locked), records.lock(tmp_path, "01"):
            pass
        other.send_signal(signal.SIGKILL)
    stale = records.folder_of(tmp_path, "01", "anna") / ".record.json.123.new"
    stale.parent.mkdir()
    stale.write_text("{")
    time.sleep(0.1)
    with records.lock(tmp_path, "01"):
        assert not stale.exists()


def test_a_remark_on_right_code_is_no_mistake():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    from autograder.grading.recording import summarize
    from autograder.written import VERDICT_MIME

    mark = {"grade": True, "solution": False, "locked": True, "points": 3, "grade_id": "check_it", "schema_version": 3}
    said = [{"check": "a", "passed": passed, "points": 1, "misconception": name} for passed, name in ((True, "remark"), (False, "mistake"))]
    outputs = [new_output("display_data", data={VERDICT_MIME: record}) for record in said]
    outputs.append(new_output("execute_result", data={"text/plain": "2.0"}))
    record = records.Record("", 0)
    summarize(record, "exercises", new_notebook(cells=[new_code_cell("", outputs=outputs, metadata={"nbgrader": mark})]))
    assert record.mistakes == {"exercises": {"check_it": ["mistake"]}} and record.points == {"exercises": {"check_it": [2.0, 3.0]}}
