"""The child's side of the conversation with the grader: run this cell, call this probe.

Nothing here is secret or trusted. Code that tampers with it, or speaks in its place, reaches nothing
that it could not reach by returning the same values from the functions that are probed.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from autograder.border import decode, encode
from autograder.channel import Channel, Closed
from autograder.probing import describe, run_probe

__all__ = ["answer", "serve_cells", "serve_one"]

channel: Channel | None = None  # in a Jupyter kernel: how `serve_one` reaches the grader


def serve_cells(channel: Channel, shell: Any) -> None:
    """Answer the grader's requests until it hangs up."""
    descriptors, own = (1, 2), os.getpid()

    def report(output: dict[str, Any]) -> None:
        if os.getpid() == own:  # a fork of this process has the same pipes
            channel.send_json({"output": output})

    seen = dict.fromkeys(descriptors, 0)
    while True:
        try:
            request = channel.receive_json()
        except Closed:
            return
        if request["do"] == "run":
            good = shell.run(request["source"], request["seconds"], report)
            if os.getpid() != own:
                os._exit(0)
            for fd in descriptors:
                if text := written(fd, seen):
                    channel.send_json({"output": {"output_type": "stream", "name": "stdout" if fd == 1 else "stderr", "text": text}})
            channel.send_json({"done": good})
        else:
            reply = answer(request, channel.receive(), shell.user_ns)
            if os.getpid() != own:
                os._exit(0)
            channel.send(reply)


def written(fd: int, seen: dict[int, int]) -> str:
    """What went to the descriptor itself since the last look: from C code, from programs that the cell started."""
    try:
        size = os.fstat(fd).st_size
        start = seen[fd] if size >= seen[fd] else 0
        text = os.pread(fd, min(size - start, 200_000), start)
        seen[fd] = size
        return text.decode(errors="replace")
    except OSError:  # the cell closed it
        return ""


def serve_one() -> None:
    """Answer one request of the grader, in a Jupyter kernel whose cell calls this."""
    from IPython import get_ipython

    request = channel.receive_json()
    channel.send(answer(request, channel.receive(), get_ipython().user_ns))


def answer(request: dict[str, Any], inputs: bytes, names: dict[str, Any]) -> bytes:
    """The encoded outputs of a probe, called on what an expression means among the student's names."""
    import torch

    module, _, name = request["probe"].partition(":")
    try:
        # A cell may have left inference mode on; tensors that are made in it carry no gradient.
        with torch.inference_mode(False):
            try:
                probe = getattr(importlib.import_module(module), name)
            except Exception as error:
                why = f"{module} cannot be imported: {type(error).__name__}: {error}"
                return encode({"trouble": f"This check is broken, not your code ({why}). Tell your teacher."})
            try:
                student = eval(request["expression"], names)
            except NameError as error:
                return encode({"trouble": missing(request["expression"], error)})
            return encode(run_probe(probe, student, decode(inputs), request["seed"], request["seconds"]))
    except BaseException as error:  # whatever the student's code did to get here
        return encode({"trouble": describe(error)})


def missing(expression: str, error: NameError) -> str:
    if str(error) == f"name '{expression}' is not defined":
        return f"There is no `{expression}`: the cell that defines it is missing, or stopped with an error."
    return describe(error)


def quiet_descriptors() -> None:
    """Standard input is empty; standard output and error are files that `written` looks at."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd in (1, 2):
        os.dup2(os.memfd_create("output") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_WRONLY), fd)
    sys.stdin = open(0, closefd=False)
