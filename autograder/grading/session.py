"""A process that runs one submission's cells, as the grader sees it."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from autograder import own
from autograder.channel import Channel, Closed, Late, Malformed
from autograder.grading.sandbox import Limits, Sandbox

__all__ = ["CellSession", "Lost", "ParentDied", "Session", "close", "warm_sandbox"]

MOST_AT_ONCE = 12 << 20  # bytes of one output


class Lost(Exception):
    """The process of a submission is gone; the text is a key of `run.WORDS`."""


class ParentDied(Exception):
    """The warm parent is gone, and this submission's process with it."""


class Session(Protocol):
    """A process that runs one submission's cells."""

    def run(self, source: str, seconds: float) -> list[Any]:
        """What the cell reported. Raises Lost."""

    def probe(self, request: dict[str, Any], inputs: bytes) -> bytes:
        """What the probe's process sent. Raises Lost."""

    def close(self) -> None:
        """End it."""


_warm: dict[tuple[Any, ...], Sandbox] = {}


def warm_sandbox(kind: str, limits: Limits) -> Sandbox:
    """This process's warm parent, started when there is none that can be used."""
    key = (kind, limits.disk, *((name, path, path.stat().st_mtime_ns) for name, path in own.probes().items()))
    if key not in _warm or not _warm[key].reusable:
        if key in _warm:
            _warm.pop(key).close()
        for other in list(_warm):
            _warm.pop(other).close()
        _warm[key] = Sandbox(kind, limits)
    return _warm[key]


def close() -> None:
    """End this process's warm sandbox."""
    while _warm:
        _warm.popitem()[1].close()


atexit.register(close)


class CellSession:
    """Cells in a forked child, without Jupyter's sockets."""

    def __init__(self, seed: int, limits: Limits, sandbox: str, files: dict[str, bytes]):
        self.limits = limits
        try:
            self.job = warm_sandbox(sandbox, limits).start(seed, limits=limits)
        except OSError:  # the parent died since the last submission
            close()
            self.job = warm_sandbox(sandbox, limits).start(seed, limits=limits)
        self.channel = Channel(self.job.read, self.job.write)
        try:
            self.send_files(files)
        except (Closed, Late, Malformed):  # before any of its code ran
            self.job.stop()
            raise ParentDied from None

    def run(self, source: str, seconds: float) -> list[Any]:
        return self.guarded(self._run, source, seconds)

    def probe(self, request: dict[str, Any], inputs: bytes) -> bytes:
        return self.guarded(self._probe, request, inputs)

    def close(self) -> None:
        if self.job.sandbox.reusable:
            self.job.leave()
        else:
            self.job.stop()
            close()

    def send_files(self, files: dict[str, bytes]) -> None:
        deadline = time.monotonic() + 30
        self.channel.send_json({"files": len(files)}, deadline)
        for name, content in files.items():
            self.channel.send_json({"name": name}, deadline)
            self.channel.send(content, deadline)
        self.channel.receive(deadline)

    def _run(self, source: str, seconds: float) -> list[Any]:
        deadline = time.monotonic() + seconds + self.limits.grace
        self.channel.send_json({"do": "run", "source": source, "seconds": seconds}, deadline)
        reported: list[Any] = []
        left = self.limits.output
        while True:
            data = self.channel.receive(deadline)
            left -= len(data)
            if left < 0 or len(data) > MOST_AT_ONCE:
                raise Lost("output")
            try:
                message = json.loads(data)
            except (ValueError, RecursionError):
                continue  # not from the shell: code that writes into every descriptor
            if isinstance(message, dict) and "done" in message:
                return reported
            if isinstance(message, dict) and len(reported) < 10_000:
                reported.append(message.get("output"))

    def _probe(self, request: dict[str, Any], inputs: bytes) -> bytes:
        deadline = time.monotonic() + request["seconds"] + self.limits.grace
        self.channel.send_json(request, deadline)
        self.channel.send(inputs, deadline)
        return self.channel.receive(deadline)

    def guarded(self, step: Callable, *arguments: Any) -> Any:
        """Take the step; whatever ends it early is a loss of the process."""
        try:
            return step(*arguments)
        except Closed:
            end = self.job.stop()
            if "ended" not in end:
                raise ParentDied from None
            raise Lost("memory" if end["reason"] == "memory" else "ended") from None
        except Late:
            raise Lost("late") from None
        except Malformed:
            raise Lost("output") from None
