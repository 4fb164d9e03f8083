"""On a Dask cluster of two worker processes: the same grades as here, and a killed worker loses nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import grading_course
import pytest
from grading_course import REPOSITORY, UNIT, log_of, new_course, scripted
from ports import free_port

from autograder.grading import pipeline
from autograder.grading.executors import ClusterPool, PoolLost
from autograder.grading.table import results

pytest.importorskip("distributed", reason="needs the package distributed")
pytestmark = pytest.mark.slow
CLASS = {f"s{number}": {"double": f"def double(n): return {'-' * (number % 2)}n\n# SLEEP 0.3 "} for number in range(10)}


@contextlib.contextmanager
def cluster(folder, workers, log=None):
    """(address, processes of the workers)."""
    address = f"tcp://127.0.0.1:{free_port()}"
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "grading"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", grading_course.LOG: str(log or "")}
    running = []

    def start(*arguments):
        with (folder / f"{len(running)}.log").open("w") as output:
            running.append(subprocess.Popen([sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]], cwd=folder, env=environment,
                                            stdout=output, stderr=subprocess.STDOUT, start_new_session=True))

    start("dask_scheduler", "--host", address, "--no-dashboard", "--no-show")
    for number in range(workers):
        start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--name", str(number),
              "--local-directory", str(folder))
    try:
        wait_for(address, workers)
        yield address, running[1:]
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(address, workers):
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        if workers:
            client.wait_for_workers(workers, timeout=60)


def totals(course):
    return {row.student: row.total for row in results(course, UNIT)}


def test_the_same_grades_as_here(tmp_path):
    course, here = new_course(tmp_path, **CLASS), new_course(tmp_path / "here", **CLASS)
    grading_course.grade(here)
    with cluster(tmp_path, 2, tmp_path / "log") as (address, _):
        (summary,) = pipeline.grade_class(course, cluster=address, execute=scripted)
    assert summary.exit_code == 0 and sorted(summary.graded) == sorted(CLASS)
    assert totals(course) == totals(here) and sorted(log_of(tmp_path / "log")) == sorted(CLASS)


def test_a_worker_that_is_killed_loses_nothing(tmp_path):
    course = new_course(tmp_path, **CLASS)

    class Killing:
        def begin(self, *_):
            self.done = 0

        def advance(self):
            self.done += 1
            if self.done == 3:
                os.killpg(workers[0].pid, signal.SIGKILL)

        close = say = lambda *_: None

    with cluster(tmp_path, 2) as (address, workers):
        (summary,) = pipeline.grade_class(course, cluster=address, execute=scripted, progress=Killing())
    assert summary.exit_code == 0 and sorted(summary.graded) == sorted(CLASS)
    assert totals(course) == {student: 2 if int(student[1:]) % 2 else 3 for student in CLASS}


def test_a_submission_that_kills_every_worker_is_found_out(tmp_path):
    course = new_course(tmp_path, anna={}, killer={"double": "# KILL "}, zoe={})
    with cluster(tmp_path, 6) as (address, _):
        (summary,) = pipeline.grade_class(course, cluster=address, execute=scripted)
    assert sorted(summary.graded) == ["anna", "killer", "zoe"] and list(summary.problems) == ["killer"]


def test_all_workers_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("autograder.grading.executors.NO_WORKERS", 1.0)
    course = new_course(tmp_path, anna={"double": "# KILL "})
    with cluster(tmp_path, 1) as (address, _):
        (summary,) = pipeline.grade_class(course, cluster=address, execute=scripted)
    assert "has no workers left" in summary.stopped and summary.exit_code == 2


def test_no_scheduler_and_no_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("autograder.grading.executors.CONNECT", 1)
    began = time.monotonic()
    with pytest.raises(PoolLost, match="no Dask scheduler at tcp://127.0.0.1"):
        ClusterPool(f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(PoolLost, match="no Dask scheduler at nonsense"):
        ClusterPool("nonsense:://")
    with cluster(tmp_path, 0) as (address, _):
        with pytest.raises(PoolLost, match="has no workers"):
            ClusterPool(address)
    assert time.monotonic() - began < 120


def test_without_dask_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PoolLost, match="pip install"):
        ClusterPool("tcp://127.0.0.1:8786")
