"""The warm parent: imports everything once, then forks a child for each submission.

    python -m autograder.inside.warm CONTROL

CONTROL is the descriptor of a socket pair. The grader sends a job (JSON) with the two pipes of its conversation; the
child gets these pipes and nothing else. What is forked has one thread, no open socket and no secret.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.inside import isolate
from autograder.inside.rehearsal import warm_up
from autograder.inside.syscalls import refuse_calls

__all__ = ["main"]

PAUSE = 0.25  # seconds between two looks at the memory that a submission takes


def main(control_fd: int) -> None:
    """Warm up, say so, then serve jobs until the grader hangs up."""
    isolate.become_nobody()
    control = socket.socket(fileno=control_fd)
    settings = json.loads(control.recv(1 << 16))
    for number in (signal.SIGINT, signal.SIGTERM):  # the grader's business; a child puts them back
        signal.signal(number, signal.SIG_IGN)
    isolated = next((how for how in ("user", "plain") if can_isolate(how)), "") if settings["isolate"] else ""
    if isolated == "user":
        go_on_as_leader(control)
    shell = warm_up(settings["preload"], settings["own"])
    gc.collect()
    gc.freeze()
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    control.send(json.dumps({"ready": True, "isolated": bool(isolated), "threads": threads}).encode())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 2)
        if not message:
            return
        job = json.loads(message)
        if len(descriptors) == 2:
            serve_job(control, job, descriptors, shell, isolated)
        else:
            for fd in descriptors:
                os.close(fd)


def can_isolate(how: str) -> bool:
    """Whether children can have namespaces of their own in that way; tried in processes that end at once."""

    def attempt(step: Callable[[], None]) -> bool:
        pid = os.fork()
        if pid == 0:
            try:
                step()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0

    def child() -> None:
        pid = isolate.fork_leader()
        if pid == 0:
            try:
                isolate.enter_namespaces(user=how == "user")
                isolate.private_folders(1 << 20)
                os._exit(0)
            finally:
                os._exit(1)
        os._exit(int(os.waitpid(pid, 0)[1] != 0))

    def parent() -> None:
        if how == "user":
            isolate.lead_namespaces()
        os._exit(int(not attempt(child)))

    return attempt(parent)


def go_on_as_leader(control: socket.socket) -> None:
    """Go on in a child that leads a process namespace in which it may make others; this process waits for its end."""
    isolate.lead_namespaces()
    pid = os.fork()
    if pid:
        control.close()
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
    isolate.tie_to_parent()


def serve_job(control: socket.socket, job: dict[str, Any], pipes: list[int], shell: Any, isolated: str) -> None:
    """Fork the job's first process and wait for its end, or for the grader to ask for it."""
    if "shared" in job:
        empty_folder(job["shared"], isolated)
    ours = processes()
    pid = isolate.fork_leader() if isolated else os.fork()
    if pid == 0:
        try:
            control.close()
            confine(job, isolated)
            run_student(job, pipes, shell)
        finally:
            os._exit(70)
    for fd in pipes:
        os.close(fd)
    watch = job["sandboxed"] and os.path.isdir("/proc/1")  # else the other processes are none of ours
    reason, stopping, ended = "", False, os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    floor = memory_of("self")
    while True:
        ready = select.select([control, *([ended] if ended is not None else [])], [], [], PAUSE)[0]
        if control in ready:
            stopping = True
            if not control.recv(1 << 16):
                stop(pid, isolated)
                os._exit(0)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if watch and not stopping and too_much_memory(processes() - ours, floor, job["limits"]["memory"]):
            reason, stopping = "memory", True
        if stopping:
            stop(pid, isolated)
    if ended is not None:
        os.close(ended)
    control.send(json.dumps({"ended": os.waitstatus_to_exitcode(status), "reason": reason}).encode())


def empty_folder(path: str, isolated: str) -> None:
    """The folder of a kernel's sockets; what the kernel before left is taken away."""
    if isolated:
        for old in Path(path).parent.iterdir():
            shutil.rmtree(old, ignore_errors=True)
    os.mkdir(path)


def stop(pid: int, isolated: str) -> None:
    """End a job. In a process namespace its first process takes all others with it."""
    os.kill(pid, signal.SIGKILL)
    if not isolated:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass


def processes() -> set[str]:
    return {name for name in os.listdir("/proc") if name.isdigit()} if os.path.isdir("/proc") else set()


def too_much_memory(pids: set[str], floor: int, limit: int) -> bool:
    """Whether these processes together hold more than `limit` bytes beyond the `floor` that each was born with."""
    held = sum(max(0, memory_of(pid) - floor) for pid in pids)
    return held > limit or len(pids) > 1 and held + mapped_together(pids) > limit


def memory_of(pid: str) -> int:
    """Bytes of private and shared memory that a process holds; 0 if it is gone."""
    return sum(int(line.split()[1]) << 10 for line in lines_of(pid, "status") if line.startswith(("RssAnon:", "RssShmem:")))


def mapped_together(pids: set[str]) -> int:
    """Bytes of anonymous shared memory that some of these processes map; each piece counts once.

    It exists as long as anybody maps it, though none of those that do need ever have touched it.
    """
    pieces: dict[str, int] = {}
    for pid in pids:
        for line in lines_of(pid, "maps"):
            if line.endswith("/dev/zero (deleted)"):
                (start, end), inode = line.split()[0].split("-"), line.split()[4]
                pieces[inode] = max(pieces.get(inode, 0), int(end, 16) - int(start, 16))
    return sum(pieces.values())


def lines_of(pid: str, name: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/{name}").read_text().split("\n")
    except OSError:
        return []  # it is gone


# --- the child's side ----------------------------------------------------------------------------


def confine(job: dict[str, Any], isolated: str) -> None:
    """Namespaces, private folders, limits; no way back."""
    if sys.platform == "linux":
        isolate.tie_to_parent()
    os.setsid()
    if isolated:
        isolate.enter_namespaces(user=isolated == "user")
        isolate.private_folders(job["limits"]["disk"], job.get("shared"), job["kept"])
    isolate.set_limits(job["limits"], processes=bool(isolated))
    if isolated:
        isolate.drop_capabilities()


def run_student(job: dict[str, Any], pipes: list[int], shell: Any) -> None:
    """In the forked child: everything that the submission asks for; does not return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from autograder.channel import Channel
    from autograder.inside import serve
    from autograder.inside.shell import Stream

    serve.quiet_descriptors()
    close_others(pipes)
    home = job["folder"] or isolate.HOME
    os.environ["HOME"] = home
    os.chdir(home)
    sys.path.insert(0, "")
    seed_everything(job["seed"])
    channel = Channel(*pipes)
    write_files(channel)
    if job["sandboxed"]:
        refuse_calls()
    if job["kind"] == "kernel":
        run_kernel(job, channel)
    else:
        sys.stdout, sys.stderr = Stream("stdout", 1), Stream("stderr", 2)
        channel.send_json({"ready": True})
        serve.serve_cells(channel, shell)
    os._exit(0)


def close_others(kept: list[int]) -> None:
    """Close every descriptor but the standard ones and `kept`."""
    low, high = 3, os.sysconf("SC_OPEN_MAX")
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, min(high, 1 << 16))


def write_files(channel: Any) -> None:
    """The files that were handed in beside the notebook, into the working folder."""
    for _ in range(channel.receive_json()["files"]):
        name, content = channel.receive_json()["name"], channel.receive()
        try:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (OSError, ValueError):  # a name that this system does not take: the code that needs the file will say so
            continue


def seed_everything(seed: int) -> None:
    """Global generators start from the submission's seed, so that a second run is like the first."""
    import numpy
    import torch

    torch.manual_seed(seed)
    numpy.random.seed(seed % 2**32)
    random.seed(seed)


def run_kernel(job: dict[str, Any], channel: Any) -> None:
    """A Jupyter kernel on the connection file of the job."""
    from ipykernel.kernelapp import IPKernelApp
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib_inline.backend_inline import configure_inline_support
    from matplotlib_inline.config import InlineBackend
    from traitlets.config import Config

    from autograder.inside import serve

    shell_class = type(InteractiveShell._instance)
    shell_class.clear_instance()  # the kernel has a shell of its own kind
    serve.channel = channel
    connection = Path(tempfile.gettempdir()) / "connection.json"
    connection.write_text(json.dumps(job["connection"]))
    app = IPKernelApp.instance(log_level="ERROR", config=Config({"ZMQInteractiveShell": {"colors": "nocolor"}}))
    app.initialize(["-f", str(connection)])
    InlineBackend.clear_instance()
    configure_inline_support.current_backend = "none"  # else the new shell would get no image formats
    configure_inline_support(app.shell, "inline")
    app.start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
