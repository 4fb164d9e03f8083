"""The checks on plain Python files: one process imports everything once and forks a child for each file."""

from __future__ import annotations

import difflib
import importlib
import linecache
import math
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autograder.border import Malformed, decode, encode
from autograder.exercises.exercise import Exercise
from autograder.probing import OutOfTime, run_probe, time_limit
from autograder.verdict import Verdict, draw_inputs, judge_outputs
from elbolab.inference import reduce

__all__ = ["check_files"]

FILE_SECONDS = 30.0  # to run the file itself
PROBE_SECONDS = 20.0  # for each check
HEAVY = ("matplotlib.pyplot", "seaborn", "pandas", "torchvision")


def check_files(checks: Sequence[Exercise], files: Sequence[str], seed: int | None = None) -> Iterator[tuple[str, Verdict]]:
    """Each check on each file, in order.

    A file runs in a child process: one that crashes, exits or never ends is its own trouble only.
    Whatever it defined before it failed is judged. Fresh inputs are drawn for each file unless `seed` is given.
    """
    torch.set_num_threads(1)  # children inherit no thread pool, which would not survive the fork
    preload(files)
    for file in files:
        file_seed = secrets.randbits(62) if seed is None else seed
        inputs = {check.name: draw_inputs(check, file_seed) for check in checks}
        replies = run_apart(checks, inputs, file, file_seed)
        for check in checks:
            reply = replies.get(check.name, {"trouble": "This file's process ended before the check was reached."})
            yield file, judge_outputs(check, inputs[check.name], reply)


def preload(files: Sequence[str]) -> None:
    """Import once what the files will import, where it takes seconds."""
    text = "".join(Path(f).read_text(errors="ignore") for f in files if Path(f).is_file())
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in HEAVY:
        if name.split(".")[0] in text:
            try:
                if name == "torchvision":
                    importlib.import_module("elbolab.sources").import_torchvision_datasets()
                importlib.import_module(name)
            except Exception:
                continue  # the file that needs it will say so


# --- the parent's side ---------------------------------------------------------------------------


def run_apart(checks: Sequence[Exercise], inputs: dict[str, Any], file: str, seed: int) -> dict[str, Any]:
    """Run `file` and the checks' probes in a process of their own; outputs by check."""
    limit = FILE_SECONDS + PROBE_SECONDS * len(checks) + 5
    if not hasattr(os, "fork"):
        return run_without_fork(checks, file, seed, limit)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        child(write_end, checks, inputs, file, seed)  # does not return
    os.close(write_end)
    data, ended = receive(read_end, time.monotonic() + limit)
    os.close(read_end)
    stop(pid)
    status = os.waitpid(pid, 0)[1]
    return read_reply(data, checks, ended, status)


def receive(fd: int, deadline: float) -> tuple[bytes, bool]:
    """One length-prefixed message, and whether the sender ended in time."""
    data, size = bytearray(), None
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return bytes(data[8:]), False
        if not select.select([fd], [], [], min(left, 1.0))[0]:
            continue
        chunk = os.read(fd, 2**20)
        if not chunk:
            return bytes(data[8:]), True
        data += chunk
        if size is None and len(data) >= 8:
            size = struct.unpack("<Q", data[:8])[0]
        if size is not None and (len(data) >= 8 + size or len(data) > 2**29):
            return bytes(data[8:]), True


def stop(pid: int) -> None:
    """End the child and what it started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def read_reply(data: bytes, checks: Sequence[Exercise], ended: bool, status: int) -> dict[str, Any]:
    if data:
        try:
            return decode(data)
        except Malformed as error:
            why = f"What came back from this file's process is malformed: {error}."
    elif not ended:
        why = "This file was still running after its time limit and was stopped. Is there a loop that never ends?"
    elif os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        why = f"The process that ran this file died ({signal.Signals(os.WTERMSIG(status)).name})."
    else:
        why = "The process that ran this file ended by itself. Does the code call exit()?"
    return {check.name: {"trouble": why} for check in checks}


def run_without_fork(checks: Sequence[Exercise], file: str, seed: int, limit: float) -> dict[str, Any]:
    """Where there is no fork (Windows): a new interpreter for each file."""
    with tempfile.TemporaryDirectory() as folder:
        reply = Path(folder) / "reply"
        command = [sys.executable, "-m", "autograder.files", str(reply), str(seed), file, *(c.name for c in checks)]
        try:
            subprocess.run(command, timeout=limit + 20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            return read_reply(b"", checks, ended=False, status=0)
        return read_reply(reply.read_bytes()[8:] if reply.exists() else b"", checks, ended=True, status=0)


# --- the child's side ----------------------------------------------------------------------------


def child(write_end: int, checks: Sequence[Exercise], inputs: dict[str, Any], file: str, seed: int) -> None:
    """Run the file, probe, send the outputs, end. Nothing that the file does gets past here."""
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(silence, fd)
        send(write_end, probe_file(checks, inputs, file, seed))
    except BaseException:
        os._exit(1)
    os._exit(0)


def send(fd: int, replies: dict[str, Any]) -> None:
    data = encode(replies)
    data = struct.pack("<Q", len(data)) + data
    while data:
        data = data[os.write(fd, data[: 2**20]) :]


def probe_file(checks: Sequence[Exercise], inputs: dict[str, Any], file: str, seed: int) -> dict[str, Any]:
    """Outputs of each check's probe on the objects that `file` defines."""
    module, stopped = run_file(Path(file))
    replies: dict[str, Any] = {}
    for check in checks:
        if not hasattr(module, check.target):
            replies[check.name] = {"trouble": missing(module, check.target, stopped)}
        else:
            replies[check.name] = run_probe(check.probe, getattr(module, check.target), inputs[check.name], seed, PROBE_SECONDS)
    return replies


def missing(module: types.ModuleType, target: str, stopped: str) -> str:
    own = [n for n in vars(module) if n not in notebook_names() and not n.startswith("_")]
    near = difflib.get_close_matches(target, own, n=1)
    also = f" It has `{near[0]}`: is the name spelled right?" if near else ""
    return f"{stopped or 'The file ran to its end.'} It defines no `{target}`.{also}"


def run_file(path: Path) -> tuple[types.ModuleType, str]:
    """The module that the file made, as far as it came, and a sentence about where it stopped (or "")."""
    module = types.ModuleType("submission")
    vars(module).update(notebook_names(), __file__=str(path))
    sys.modules["submission"] = module  # dataclasses and pickling look it up there
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return module, f"The file cannot be read ({type(error).__name__}: {getattr(error, 'strerror', None) or 'not UTF-8 text'})."
    path = path.absolute()
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    try:
        with tempfile.TemporaryDirectory() as scratch, time_limit(FILE_SECONDS):
            os.chdir(scratch)  # what the file writes goes away with it
            exec(compile(readable(source, path), str(path), "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        return module, f"Line {error.lineno} of the file is not valid Python ({error.msg})."
    except OutOfTime:
        return module, f"The file was still running after {FILE_SECONDS:g} seconds and was stopped."
    except BaseException as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(path)), "?")
        return module, f"The file stopped at line {line} with {type(error).__name__}: {' '.join(str(error).split())[:200]}."
    return module, ""


def readable(source: str, path: Path) -> str:
    """The source without notebook magics (`%matplotlib inline`, `!pip install ...`), if it has any."""
    try:
        compile(source, str(path), "exec", dont_inherit=True)
        return source
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        changed = TransformerManager().transform_cell(source)
        linecache.cache[str(path)] = (len(changed), None, changed.splitlines(keepends=True), str(path))
        return changed


class _Shell:
    """Stands for IPython in exported notebooks: magics and shell commands do nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def notebook_names() -> dict[str, Any]:
    """The names that the exercise notebook's first cell provides, for code copied out of its cells."""
    names: dict[str, Any] = {
        "torch": torch, "nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor, "math": math, "np": np,
        "distributions": torch.distributions, "get_ipython": lambda: _Shell(), "reduce": reduce,
    }
    names |= {n: getattr(torch.distributions, n) for n in ("Distribution", "Normal", "Bernoulli", "kl_divergence")}
    names |= {n: getattr(typing, n) for n in ("Any", "Callable", "Dict", "List", "Optional", "Tuple", "Union")}
    return names


if __name__ == "__main__":  # the child of `run_without_fork`
    _reply, _seed, _file, *_names = sys.argv[1:]
    from autograder.catalogue import find_check

    torch.set_num_threads(1)
    _checks = [find_check(name) for name in _names]
    _inputs = {c.name: draw_inputs(c, int(_seed)) for c in _checks}
    with open(_reply, "wb") as _out:
        send(_out.fileno(), probe_file(_checks, _inputs, _file, int(_seed)))
