"""A class at once: executes submissions in parallel and records them one after another."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.grading import records
from autograder.grading.executors import ClusterPool, LocalPool, PoolLost
from autograder.grading.records import Locked
from autograder.grading.sandbox import Limits, SandboxError, find_mode
from autograder.own import course_at

if TYPE_CHECKING:
    from autograder.grading.grader import Summary

__all__ = ["Stopped", "grade_class", "grade_each", "interruptible", "open_pool", "ready"]


class Stopped(Exception):
    """Nothing was graded, and nothing can be before something is done. The text says what."""


def grade_class(root: Path, assignment: str | None = None, **options: Any) -> list[Summary]:
    """Grade an assignment of the course in `root`, or all that have submissions; `options` as `grade_each` has them.

    Raises:
        Stopped: an assignment cannot be graded.
    """
    return list(grade_each(root, assignment, **options))


def grade_each(root: Path, assignment: str | None = None, *, students: Sequence[str] | None = None, jobs: int | None = None,
               cluster: str | None = None, sandbox: str = "bubblewrap", limits: Limits | None = None, force: bool = False,
               progress: Any = None, execute: Callable | None = None) -> Iterator[Summary]:
    """Execute and record, assignment by assignment.

    Arguments:
        students: these only.
        jobs: worker processes; default: one for each core.
        cluster: a Dask scheduler's address instead.
        force: grade anew what is graded already, with the same seeds.
        progress: hears of each submission, see `table.Progress`; default: silence.
        execute: stands in for `engine.execute` in tests.
    """
    with ready(root, assignment, students, jobs, cluster, sandbox, limits, execute) as (assignments, pool, stop):
        from autograder.grading.grader import REFUSED, Grader, Summary

        for each in assignments:
            if each.refusal:
                yield Summary(each.name, stopped=each.refusal)
                continue
            with stopped_by(Locked, *REFUSED), records.lock(each.settings.root, each.name):
                summary = Grader(each, pool, execute, force, progress, stop).grade()
            yield summary
            if summary.stopped:
                return


@contextlib.contextmanager
def ready(root: Path, assignment: str | None, students: Sequence[str] | None, jobs: int | None, cluster: str | None, sandbox: str,
          limits: Limits | None, execute: Callable | None) -> Iterator[tuple[list[Any], Any, threading.Event]]:
    """(assignments, pool, event that Ctrl-C sets); ends the pool afterwards. Raises Stopped."""
    with stopped_by(SandboxError, PoolLost), course_at(root):
        if sandbox == "bubblewrap" and cluster is None and execute is None:
            find_mode()
        pool = open_pool(jobs, cluster, None if execute else (sandbox, limits or Limits()))
    stop = threading.Event()
    try:
        with interruptible(stop), course_at(root):
            pool.start()  # its processes take seconds to start, and so does nbgrader
            from autograder.grading import assignment as assignments
            from autograder.grading.gradebook import GradebookError, course_settings

            with stopped_by(assignments.NothingToGrade, GradebookError):
                settings = course_settings(root)
                found = assignments.find(settings, assignment, students, limits or settings.limits, sandbox)
            yield found, pool, stop
            if not stop.is_set():
                pool.close()
    finally:
        pool.stop()


@contextlib.contextmanager
def stopped_by(*kinds: type[Exception]) -> Iterator[None]:
    """Turns these exceptions into Stopped."""
    try:
        yield
    except kinds as error:
        raise Stopped(str(error)) from error


def open_pool(jobs: int | None, cluster: str | None, warm: tuple[str, Limits] | None = None) -> Any:
    """Worker processes here, or a cluster's. Raises PoolLost."""
    if cluster is not None:
        return ClusterPool(cluster)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return LocalPool(max(1, jobs or cores), warm)


@contextlib.contextmanager
def interruptible(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C (or request to end) sets `stop`; the second one ends everything at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
