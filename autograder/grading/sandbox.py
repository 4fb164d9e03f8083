"""The sandbox: bubblewrap around a warm parent that forks a child for each submission.

Inside there is no network, the system is read-only, and of the course only what a notebook imports is to be seen.
Source: bwrap(1).
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.inside.isolate import HOME, PRIVATE

__all__ = ["Job", "Limits", "Mode", "Sandbox", "SandboxError", "find_mode"]

START_SECONDS = 120.0
KERNELS = "/run/kernels"  # in a sandbox: the folder of its Jupyter kernels' sockets


class SandboxError(Exception):
    """This machine's trouble, never a submission's. The text says what to do."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Arguments:
        cell_seconds, notebook_seconds, probe_seconds: wall time.
        memory: bytes for all its processes together, beyond what the warm parent has loaded.
        processes: processes and threads at a time.
        disk: bytes in its private folders, which are memory.
        output: bytes of output that a cell may send.
        restarts: how many times a submission that ends its own process is started again.
    """

    cell_seconds: float = 120.0
    notebook_seconds: float = 900.0
    probe_seconds: float = 20.0
    memory: int = 4 << 30
    processes: int = 64
    disk: int = 256 << 20
    output: int = 64 << 20
    restarts: int = 3


@dataclass(frozen=True)
class Mode:
    """How bubblewrap works on this machine.

    Arguments:
        user: "namespace" (a user namespace of its own) or "nobody" (started by root, goes on as nobody).
        proc: "own" (a /proc of its own) or "none" (an empty one).
    """

    user: str
    proc: str


# --- what a sandbox sees -------------------------------------------------------------------------


@functools.cache
def visible_paths() -> tuple[tuple[str, str], ...]:
    """(option, path) of what is shown read-only, besides what `bwrap_command` writes out."""
    system = ["/usr", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/fonts", "/etc/localtime", "/etc/alternatives"]
    system += [p for p in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store") if os.path.isdir(p)]
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sysconfig.get_path("stdlib")}
    python |= {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    python |= {os.path.realpath(p) for p in list(python)}
    # An environment may be a link, or its interpreter one to somewhere else.
    python |= {str(Path(os.path.realpath(sys.executable)).parent.parent)}
    library = {str(Path(importlib.util.find_spec("elbolab").origin).parent)}
    paths = [p for p in [*system, *sorted(python | library)] if os.path.lexists(p)]
    return tuple(("--ro-bind", p) for p in paths if p not in ("/", os.path.expanduser("~")))


def own_files() -> list[str]:
    """The files of this package that student code runs beside."""
    package = Path(__file__).parent.parent
    return [str(package / name) for name in ("__init__.py", "border.py", "probing.py", "inside", "probes")]


def parents_of(paths: list[str]) -> list[str]:
    """Every folder above these paths, outermost first."""
    above = {str(parent) for path in paths for parent in Path(path).parents if str(parent) != "/"}
    return sorted(above, key=lambda p: (p.count("/"), p))


def bwrap_command(mode: Mode, disk: int) -> list[str]:
    """bubblewrap's command line up to the program."""
    package = str(Path(__file__).parent.parent)
    command = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent",
               "--new-session", "--hostname", "elbolab", "--clearenv"]
    if mode.user == "namespace":
        command += ["--unshare-user"]
        if mode.proc == "none":  # to give each child its namespaces; it is dropped there
            command += ["--cap-add", "CAP_SYS_ADMIN"]
    else:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    shown = [path for _, path in visible_paths()]
    # bwrap makes missing parents for their owner alone, which nobody could pass.
    for folder in parents_of([*shown, *own_files(), HOME, PRIVATE, KERNELS, "/tmp/x", "/var/tmp/x"]):
        if not any(folder == p or folder.startswith(p + "/") for p in shown) and not os.path.islink(folder):
            command += ["--perms", "0755", "--dir", folder]
    for option, path in visible_paths():
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += [option, path, path]
    command += ["--perms", "0755", "--tmpfs", package]
    for path in own_files():
        command += ["--ro-bind", path, path]
    command += ["--remount-ro", package]
    command += ["--proc", "/proc"] if mode.proc == "own" else ["--perms", "0555", "--dir", "/proc"]
    command += ["--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm", HOME):
        command += ["--size", str(disk), "--perms", "1777", "--tmpfs", folder]
    command += ["--perms", "0755", "--dir", PRIVATE, "--size", str(1 << 20), "--perms", "1777", "--tmpfs", KERNELS]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    if mode.user == "nobody":
        command += ["--setenv", "ELBOLAB_BECOME_NOBODY", "1"]
    return [*command, "--chdir", HOME]


def environment() -> dict[str, str]:
    """All environment variables of student code."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")}
    return {
        **threads, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": HOME, "USER": "student", "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "/tmp/matplotlib", "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "IPYTHONDIR": "/tmp/ipython", "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",
        "ELBOLAB_FAST": "1", "ELBOLAB_GRADING": "sandbox",
    }


# --- which kind of sandbox works here ------------------------------------------------------------


@functools.cache
def find_mode() -> Mode:
    """The strictest mode that works on this machine.

    Raises:
        SandboxError: none does.
    """
    if sys.platform != "linux":
        raise SandboxError(f"There is no sandbox on {sys.platform}: it needs Linux and bubblewrap. {ACCEPT}")
    if shutil.which("bwrap") is None:
        raise SandboxError(f"There is no sandbox: bubblewrap is not installed. {INSTALL} {ACCEPT}")
    said = ""
    users = ("nobody", "namespace") if os.getuid() == 0 else ("namespace",)
    for proc in ("own", "none"):
        for user in users if proc == "own" else users[::-1]:
            said = try_mode(Mode(user, proc))
            if not said:
                return Mode(user, proc)
    raise SandboxError(f"There is no sandbox: bubblewrap does not start here ({said}). {WHY_NOT} {ACCEPT}")


INSTALL = "Debian, Ubuntu: apt install bubblewrap. Fedora: dnf install bubblewrap."
ACCEPT = "`elbolab doctor` says more. To run submissions with your own rights all the same: --no-sandbox."
WHY_NOT = "It needs unprivileged user namespaces: allow them (in Docker: --security-opt seccomp=unconfined), or grade outside it."


def try_mode(mode: Mode) -> str:
    """Start this Python in a sandbox of this mode; what went wrong, or ""."""
    code = "from autograder.inside import isolate; isolate.become_nobody(); open('/tmp/x', 'w').close()"
    try:
        command = [*bwrap_command(mode, 1 << 20), sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"


# --- a warm parent -------------------------------------------------------------------------------


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
        ours.send(json.dumps({"isolate": bool(wrap), "preload": preload}).encode())
        self.facts = self._hear(time.monotonic() + START_SECONDS)
        with open(info) as stream:
            self.pid = int(re.findall(r'"child-pid": (\d+)', stream.read())[0]) if self.facts and self.mode else self.process.pid
        if not self.facts.get("ready"):
            why = self._said()
            self.close()
            raise SandboxError(f"The process that runs submissions did not start: {why or 'no word from it'}. `elbolab doctor` says more.")

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
        return f"/proc/{self.pid}/root{KERNELS}" if self.mode else self.folder

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self, seed: int, kind: str = "cells", limits: Limits | None = None, **more: Any) -> Job:
        """Fork a child for one submission; the grader's ends of its pipes. Raises OSError if the parent has died."""
        limits = limits or self.limits
        child_read, our_write = os.pipe()
        our_read, child_write = os.pipe()
        allowed = asdict(limits) | {"cpu_seconds": int(limits.notebook_seconds * 4) + 60}
        folder = tempfile.mkdtemp(dir=self.folder) if self.folder else None
        job = {"kind": kind, "seed": seed, "limits": allowed, "folder": folder, "sandboxed": self.mode is not None, **more}
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

    def stop(self, seconds: float = 20.0) -> dict[str, Any]:
        """End the child and all that it started; how it ended: {"ended": exit code, "reason": "" or "memory"}, {} if the parent died."""
        if self.end is None:
            for fd in (self.read, self.write):
                os.close(fd)
            try:
                self.sandbox.control.send(b'{"stop": true}')
            except OSError:
                pass
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
