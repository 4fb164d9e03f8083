"""Where tasks are executed: in worker processes on this machine, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.util import Finalize
from typing import Any

__all__ = ["ClusterPool", "LocalPool", "PoolLost"]

CONNECT = 20  # seconds to wait for a cluster's scheduler
NO_WORKERS = 60.0  # seconds to wait for a cluster that has lost all its workers


class PoolLost(Exception):
    """Nothing more can be executed. The text says why and what to do."""


# --- on this machine -----------------------------------------------------------------------------


class LocalPool:
    """`jobs` worker processes; each starts a sandbox of the kind and limits `warm` before it is asked to."""

    def __init__(self, jobs: int, warm: tuple[str, Any] | None = None):
        self.jobs, self.warm = jobs, warm
        self.room = jobs + 2  # enough that no worker waits for its next task
        self.executor: Executor | None = None
        self.used = False

    def submit(self, execute: Callable, task: Any) -> Future:
        """May raise BrokenExecutor."""
        self.used = self.used or execute is not idle
        if self.executor is None:
            context = multiprocessing.get_context("spawn")
            self.executor = ProcessPoolExecutor(self.jobs, mp_context=context, initializer=start_worker, initargs=(self.warm,))
        # A process starts here as long as there are too few. While it does, Ctrl-C is for this one: it ends them as it sees fit.
        with ignored_interrupts():
            return self.executor.submit(execute, task)

    def start(self) -> None:
        """Start the processes before there is anything to do: that takes them seconds."""
        self.submit(idle, None)

    def renew(self) -> None:
        """Forget the processes; the next task starts new ones."""
        self.stop()

    def check(self) -> None:
        """Nothing to check: a process that dies makes itself known."""

    def stop(self) -> None:
        """End the processes now."""
        executor, self.executor = self.executor, None
        if executor is not None:
            processes = list((getattr(executor, "_processes", None) or {}).values())
            executor.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(10)

    def close(self) -> None:
        """End the processes when they are done; at once if they had nothing to do and are still starting."""
        if self.executor is not None and self.used:
            self.executor.shutdown(wait=True, cancel_futures=True)
            self.executor = None


class ignored_interrupts:
    """Processes that are started meanwhile ignore Ctrl-C until they say otherwise."""

    def __enter__(self) -> None:
        self.main = threading.current_thread() is threading.main_thread()
        self.before = signal.signal(signal.SIGINT, signal.SIG_IGN) if self.main else None

    def __exit__(self, *error: Any) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)


def idle(_: Any) -> None:
    """A task that does nothing."""


def start_worker(warm: tuple[str, Any] | None) -> None:
    """What a worker process does first."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # one process for each core is what there is
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    Finalize(None, close_engine, exitpriority=10)
    try:  # this takes seconds, in which the grader opens the gradebook
        from autograder.grading.session import warm_sandbox

        if warm:
            warm_sandbox(*warm)
        # What the judge needs is loaded while the sandbox warms up.
        from autograder.catalogue import all_checks
        from autograder.grading import engine  # noqa: F401

        all_checks()
    except Exception:  # the first task says what is wrong
        pass


def end_with_parent() -> None:
    """A grader that is killed must leave no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        close_engine()
        os._exit(1)


def close_engine() -> None:
    engine = sys.modules.get("autograder.grading.engine")
    if engine is not None:
        engine.close()


# --- on a cluster --------------------------------------------------------------------------------


class ClusterPool:
    """The workers of a Dask cluster.

    Raises:
        PoolLost: it cannot be used; the text says why.
    """

    def __init__(self, address: str):
        try:
            from distributed import Client
        except ImportError:
            raise PoolLost('--cluster needs the package distributed. Install it with: pip install "distributed"') from None
        try:
            self.client = Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise PoolLost(f"There is no Dask scheduler at {address} ({' '.join(str(error).split())[:200]}). "
                           "Start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`.") from None
        self.address = address
        self.since: float | None = None
        try:
            self.compare()
        except PoolLost:
            self.client.close()
            raise
        self.executor = self.client.get_executor()

    def compare(self) -> None:
        """Whether there are workers, and all would judge as this machine does."""
        from autograder import own
        from autograder.grading.records import source_digest

        digests = self.client.run(source_digest, on_error="return")
        if not digests:
            raise PoolLost(f"The cluster at {self.address} has no workers. Start some with: dask worker {self.address} --nthreads 1")
        other = [worker for worker, digest in digests.items() if digest != source_digest()]
        if other:
            raise PoolLost(f"Workers have no elbolab, or not this version: {', '.join(other[:5])}. Install the same on all machines.")
        checks = own.digest()
        other = [worker for worker, digest in self.client.run(own.digest, on_error="return").items() if digest != checks]
        if other:
            there = ", ".join(own.files_of()) or "none"
            raise PoolLost(f"Workers have not this course's own checks ({there}): {', '.join(other[:5])}. "
                           f"Start them in a copy of the course, or say where it is: {own.COURSE}=FOLDER dask worker ...")

    @property
    def room(self) -> int:
        """Tasks to have under way: each worker has its next one at hand."""
        return 2 * max(1, sum(self.client.nthreads().values()))

    def submit(self, execute: Callable, task: Any) -> Future:
        return self.executor.submit(execute, task)

    def start(self) -> None:
        """They run already."""

    def renew(self) -> None:
        """The cluster replaces its own workers."""

    def check(self) -> None:
        """Raises PoolLost when the workers have been gone for long."""
        if self.client.nthreads():
            self.since = None
            return
        self.since = self.since or time.monotonic()
        if time.monotonic() - self.since > NO_WORKERS:
            raise PoolLost(f"The cluster at {self.address} has no workers left. Start some, then run the same command again: it goes on.")

    def stop(self) -> None:
        self.close()

    def close(self) -> None:
        self.client.close(timeout=10)
