"""The guard in which student code runs: a known start, silence, a time limit, and no exception past it."""

from __future__ import annotations

import contextlib
import io
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from autograder.timing import OutOfTime, time_limit

__all__ = ["OutOfTime", "Trouble", "known_state", "run_probe", "time_limit"]


class Trouble(Exception):
    """Student code that cannot be judged. The text is the message that its author reads."""


@contextlib.contextmanager
def known_state(seed: int) -> Iterator[None]:
    """Start from torch's defaults and a seed; give back every global setting as it was.

    The body can neither shift the notebook's random stream nor inherit a grad mode
    or default dtype that an earlier cell left changed.
    """
    grad, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    torch_rng, numpy_rng, python_rng = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for other devices, and takes longer than most probes
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        with torch.inference_mode(False):
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_rng_state(torch_rng)
        np.random.set_state(numpy_rng)
        random.setstate(python_rng)


def describe(error: BaseException) -> str:
    """What an exception in the student's code was and where, in one sentence."""
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        own = "/autograder/" in frame.filename.replace("\\", "/")
        if not own and "site-packages" not in frame.filename and frame.line:
            where = f" at `{frame.line.strip()}`"
    if isinstance(error, NotImplementedError):
        return "This exercise is still to be done: your code raises NotImplementedError."
    if isinstance(error, RecursionError):
        return "Your code calls itself without end (RecursionError)."
    text = " ".join(str(error).split())
    return f"Your code raised {type(error).__name__}{where}: {text[:300] or 'no message'}"


def run_probe(
    probe: Callable[[Any, dict[str, Any]], dict[str, Any]],
    student: Any,
    inputs: dict[str, Any],
    seed: int,
    seconds: float,
    printed: io.StringIO | None = None,
) -> dict[str, Any]:
    """Call `probe` and return its outputs, or ``{"trouble": sentence}``; never raises for what the student wrote.

    What the student's code prints goes to `printed`, and nowhere else.
    """
    silence = printed or io.StringIO()
    try:
        with (
            known_state(seed),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
            time_limit(seconds),
        ):
            warnings.simplefilter("ignore")
            return probe(student, inputs)
    except Trouble as trouble:
        return {"trouble": str(trouble)}
    except OutOfTime:
        return {"trouble": f"Your code was still running after {seconds:g} seconds and was stopped. Is there a loop that never ends?"}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and friends: one submission's trouble only
        return {"trouble": describe(error)}
