"""The sandbox: bubblewrap around a warm parent that forks a child for each submission.

Inside there is no network, the system is read-only, and of the course only what a notebook imports is to be seen.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any

from autograder import own
from autograder.grading.bubblewrap import KERNELS, SandboxError, bwrap_command, environment, find_mode, kept_folders

__all__ = ["Job", "Limits", "Sandbox", "SandboxError", "find_mode"]

START_SECONDS = 120.0


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Arguments:
        cell_seconds, notebook_seconds, probe_seconds: wall time.
        grace: wall time for it to report that a step was stopped, before its process is ended.
        memory: bytes for all its processes together, beyond what the warm parent has loaded.
        processes: processes and threads at a time.
        disk: bytes in its private folders, which are memory.
        output: bytes of output that a cell may send.
    """

    cell_seconds: float = 120.0
    notebook_seconds: float = 900.0
    probe_seconds: float = 20.0
    grace: float = 5.0
    memory: int = 4 << 30
    processes: int = 64
    disk: int = 256 << 20
    output: int = 64 << 20


class Sandbox:
    """A warm parent, in a sandbox or (kind "none") without one.

    Arguments:
        kind: "bubblewrap" or "none".
        limits: of a submission, unless `start` is told others; the size of its own folders.
        preload: import what notebooks import (seconds, once).
    """

    def __init__(self, kind: str, limits: Limits, preload: bool = True):
        self.kind, self.limits = kind, limits
        self.mode = find_mode() if kind == "bubblewrap" else None
        self.folder = None if self.mode else tempfile.mkdtemp(prefix="elbolab-")
        ours, theirs = socket.socketpair(socket.AF_UNIX, getattr(socket, "SOCK_SEQPACKET", socket.SOCK_STREAM))
        program = [sys.executable, "-s", "-m", "autograder.inside.warm", str(theirs.fileno())]
        info, told = os.pipe()
        wrap = [*bwrap_command(self.mode, limits.disk), "--info-fd", str(told)] if self.mode else []
        self.log = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                [*wrap, *program], pass_fds=[theirs.fileno(), told], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                env=None if wrap else {**environment(), "HOME": self.folder, "TMPDIR": self.folder}, cwd="/" if wrap else self.folder,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(told)
        self.control = ours
        atexit.register(self.close)
        # Without a sandbox a teacher's own probes are where they lie; in it they are shown among the others.
        beside = {} if wrap else {name: str(path.parent) for name, path in own.probes().items()}
        ours.send(json.dumps({"isolate": bool(wrap), "preload": preload, "own": beside}).encode())
        self.info, self.ending = open(info), False

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What it says when it is warm, which takes seconds.

        Raises:
            SandboxError: it does not start.
        """
        facts = self._hear(time.monotonic() + START_SECONDS)
        with self.info:
            self.pid = int(re.findall(r'"child-pid": (\d+)', self.info.read())[0]) if facts and self.mode else self.process.pid
        if not facts.get("ready"):
            why = self._said()
            self.close()
            raise SandboxError(f"The process that runs submissions did not start: {why or 'no word from it'}. `elbolab doctor` says more.")
        return facts

    @property
    def reusable(self) -> bool:
        """Whether it may serve more than one submission: only where each has namespaces of its own, or no sandbox is wanted."""
        return self.alive and (self.facts["isolated"] or self.kind == "none")

    @property
    def kernels_inside(self) -> str:
        """The folder of its kernels' sockets, as they see it."""
        return KERNELS if self.mode else self.folder

    @property
    def kernels_outside(self) -> str:
        """The same folder as the grader sees it: in no file system but the sandbox's own, so that it has a size."""
        return f"/proc/{self.facts and self.pid}/root{KERNELS}" if self.mode else self.folder

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self, seed: int, kind: str = "cells", limits: Limits | None = None, **more: Any) -> Job:
        """Fork a child for one submission; the grader's ends of its pipes. Raises OSError if the parent has died."""
        limits, _ = limits or self.limits, self.facts
        self.settle()
        child_read, our_write = os.pipe()
        our_read, child_write = os.pipe()
        allowed = asdict(limits) | {"cpu_seconds": int(limits.notebook_seconds * 4) + 60}
        folder = tempfile.mkdtemp(dir=self.folder) if self.folder else None
        job = {"kind": kind, "seed": seed, "limits": allowed, "folder": folder, "sandboxed": self.mode is not None, "kept": kept_folders(),
               **more}
        try:
            socket.send_fds(self.control, [json.dumps(job).encode()], [child_read, child_write])
        except OSError:
            for fd in (our_write, our_read):
                os.close(fd)
            raise
        finally:
            for fd in (child_read, child_write):
                os.close(fd)
        return Job(self, our_read, our_write, folder)

    def settle(self, seconds: float = 20.0) -> None:
        """Wait for the end of a job that was told to stop without waiting."""
        if self.ending:
            self.ending = False
            if "ended" not in self._hear(time.monotonic() + seconds):
                self.close()
                raise BrokenPipeError("the warm parent does not answer")

    def close(self) -> None:
        """End it and all that runs in it."""
        atexit.unregister(self.close)
        self.control.close()
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except OSError:
                self.process.kill()
        self.process.wait()
        self.log.close()
        self.info.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _hear(self, deadline: float) -> dict[str, Any]:
        """The parent's next message; {} if it hangs up or says nothing in time."""
        if not select.select([self.control], [], [], max(0, deadline - time.monotonic()))[0]:
            return {}
        try:
            message = self.control.recv(1 << 16)
            return json.loads(message) if message else {}
        except (OSError, ValueError):
            return {}

    def _said(self) -> str:
        self.log.seek(0)
        return " ".join(self.log.read()[-2000:].decode(errors="replace").split())[-400:]


class Job:
    """One submission's child: two pipes to it, and how it ended."""

    def __init__(self, sandbox: Sandbox, read: int, write: int, folder: str | None):
        self.sandbox, self.read, self.write, self.folder = sandbox, read, write, folder
        self.end: dict[str, Any] | None = None

    def leave(self) -> None:
        """End the child without waiting for it: the next job does."""
        if self.end is None and not self.folder:
            self._ask()
            self.end, self.sandbox.ending = {}, True
        else:
            self.stop()

    def _ask(self) -> None:
        for fd in (self.read, self.write):
            os.close(fd)
        try:
            self.sandbox.control.send(b'{"stop": true}')
        except OSError:
            pass

    def stop(self, seconds: float = 20.0) -> dict[str, Any]:
        """End the child and all that it started; how it ended: {"ended": exit code, "reason": "" or "memory"}, {} if the parent died."""
        if self.end is None:
            self._ask()
            self.end = self.sandbox._hear(time.monotonic() + seconds)
            if "ended" not in self.end:  # a parent that does not answer is of no more use
                self.sandbox.close()
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
        return self.end

    def finished(self) -> bool:
        """Whether it ended by itself."""
        if self.end is None and select.select([self.sandbox.control], [], [], 0)[0]:
            self.end = self.sandbox._hear(time.monotonic() + 1)
            for fd in (self.read, self.write):
                os.close(fd)
        return self.end is not None
