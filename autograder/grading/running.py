"""Runs tasks in a pool of workers; what happens when a worker dies is decided here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any

from autograder.grading.executors import PoolLost
from autograder.grading.sandbox import SandboxError

__all__ = ["Died", "run_all"]

STRIKES = 2  # a task that was under way this often when a worker died is run alone


class Died(Exception):
    """The worker process of a task died with it, again and again, also when it ran alone."""


def run_all(pool: Any, execute: Callable, tasks: Iterable[Any], stopping: Callable[[], bool]) -> Iterator[tuple[Any, Any]]:
    """(task, result or exception) as they end; `tasks` is asked for the next one only when there is room for it.

    A task whose worker dies is run again, in the end alone; if it dies then, too, it comes with `Died`.

    Raises:
        SandboxError: the machine cannot run submissions.
        PoolLost: no worker stays alive.
    """
    return _Running(pool, execute, iter(tasks), stopping).go()


class _Running:
    def __init__(self, pool: Any, execute: Callable, source: Iterator[Any], stopping: Callable[[], bool]):
        self.pool, self.execute, self.source, self.stopping = pool, execute, source, stopping
        self.running: dict[Future, Any] = {}
        self.again: deque[Any] = deque()
        self.suspects: deque[Any] = deque()
        self.strikes: Counter[tuple[str, str]] = Counter()
        self.alone = False  # whether the one task under way is a suspect
        self.successes, self.dead = 0, []

    def go(self) -> Iterator[tuple[Any, Any]]:
        while True:
            self.alone = self.alone and bool(self.running)
            if not self.alone:
                self.fill()
            if not self.running:
                if not self.suspects or self.stopping():
                    break
                self.alone = True
                self.put(self.suspects.popleft())
            yield from self.collect()
            if self.stopping():
                yield from self.results(f for f in list(self.running) if f.done())
                break
        if len(self.dead) > 1 and not self.successes and not self.stopping():
            raise PoolLost("Every worker process died before it had graded anything. Is there enough memory? `elbolab doctor` says more.")
        yield from ((task, Died()) for task in self.dead)

    def fill(self) -> None:
        """Put tasks under way while there is room."""
        while not self.stopping() and len(self.running) < self.pool.room:
            task = self.again.popleft() if self.again else next(self.source, None)
            if task is None or not self.put(task):
                return

    def put(self, task: Any) -> bool:
        """Put a task under way; into a new pool if this one has broken and nothing is left in it. False: not now."""
        try:
            self.running[self.pool.submit(self.execute, task)] = task
        except BrokenExecutor:
            if self.running:  # `collect` will find it broken
                self.again.appendleft(task)
                return False
            self.pool.renew()
            self.running[self.pool.submit(self.execute, task)] = task
        return True

    def collect(self) -> Iterator[tuple[Any, Any]]:
        """Wait a little; what has ended comes out, and a broken pool is replaced."""
        done, _ = wait(self.running, timeout=0.5, return_when=FIRST_COMPLETED)
        self.pool.check()
        if any(isinstance(failure(f), BrokenExecutor) for f in done):
            done, _ = wait(self.running, timeout=30)  # all that was under way has ended with it, for good or ill
            broken = [f for f in list(self.running) if not f.done() or isinstance(failure(f), BrokenExecutor)]
            lost = [self.running.pop(f) for f in broken]
            self.pool.renew()
            self.strike(lost)
        yield from self.results(done)

    def strike(self, lost: list[Any]) -> None:
        """One of these tasks ended its worker; which one is not known unless it was alone."""
        for task in lost:
            key = (task.student, task.notebook)
            self.strikes[key] += 1
            if self.alone:
                self.dead.append(task)
            elif self.strikes[key] >= STRIKES:
                self.suspects.append(task)
            else:
                self.again.append(task)

    def results(self, done: Iterable[Future]) -> Iterator[tuple[Any, Any]]:
        for future in done:
            if future not in self.running:
                continue
            task, error = self.running.pop(future), failure(future)
            if error is None:
                self.successes += 1
                yield task, future.result()
            elif isinstance(error, SandboxError):
                raise error
            elif isinstance(error, CancelledError):
                raise PoolLost("The connection to the cluster was lost. Run the same command again: it goes on from here.")
            elif type(error).__name__ == "KilledWorker":  # Dask has tried it on several workers by then
                self.dead.append(task)
            else:
                yield task, error


def failure(future: Future) -> BaseException | None:
    """The exception of a future that is done."""
    return CancelledError() if future.cancelled() else future.exception()
