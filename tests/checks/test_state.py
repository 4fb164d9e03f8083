"""A check leaves the notebook as it was, and is not led astray by what the notebook had set."""

import random
import sys
import warnings

import numpy as np
import pytest
import torch
from checking import CODE_CHECKS, SOLUTIONS, made

from autograder.verdict import evaluate

BY_NAME = pytest.mark.parametrize("check", CODE_CHECKS, ids=lambda c: c.name)
MEDDLING = """\
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
torch.set_num_threads(2)
import random, sys, warnings
import numpy
numpy.random.seed(0)
random.seed(0)
warnings.simplefilter("error")
print("said by the student")
print("complained by the student", file=sys.stderr)
warnings.warn("a warning of the student", UserWarning)
"""


def state():
    numpy_state = np.random.get_state()
    return {
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": (numpy_state[0], numpy_state[1].tolist(), *numpy_state[2:]),
        "random": random.getstate(),
        "filters": list(warnings.filters),
        "stdout": sys.stdout,
        "stderr": sys.stderr,
    }


def meddler(target):
    """An object whose construction and every call change global settings."""
    names = {"torch": torch}

    def meddle(*arguments, **more):
        exec(MEDDLING, names)

    if not isinstance(made(target, SOLUTIONS[target]), type):
        return meddle
    methods = dict.fromkeys(("rsample", "log_prob", "__call__"), meddle)
    return type("Meddler", (), {"__init__": meddle} | methods)


@BY_NAME
@pytest.mark.parametrize("kind", ["right", "meddler", "None"])
def test_everything_is_as_before(check, kind, capfd):
    student = {"right": made(check.target, SOLUTIONS[check.target]), "meddler": meddler(check.target), "None": None}[kind]
    before = state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        verdict = evaluate(check, student, seed=5)
        assert list(warnings.filters) == inside
    assert state() == before
    assert verdict.passed == (kind == "right")
    assert [str(w.message) for w in caught] == []
    assert capfd.readouterr() == ("", "")


@BY_NAME
def test_output_of_right_code_is_muted(check, capfd):
    source = SOLUTIONS[check.target].replace(" return ", " print('noise'); return ")
    assert "noise" in source
    assert evaluate(check, made(check.target, source), seed=5).passed
    assert capfd.readouterr() == ("", "")


@BY_NAME
@pytest.mark.parametrize("setting", ["grad mode off", "float64 by default"])
def test_settings_of_the_notebook_do_not_matter(check, setting):
    student = made(check.target, SOLUTIONS[check.target])
    try:
        if setting == "grad mode off":
            torch.set_grad_enabled(False)
        if setting == "float64 by default":
            torch.set_default_dtype(torch.float64)
        verdict = evaluate(check, student, seed=5)
        after = torch.is_grad_enabled(), torch.get_default_dtype()
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
    assert verdict.passed, verdict
    assert after == (setting != "grad mode off", torch.float64 if setting == "float64 by default" else torch.float32)


@BY_NAME
def test_same_seed_same_verdict(check):
    student = made(check.target, SOLUTIONS[check.target])
    first = evaluate(check, student, seed=9)
    torch.randn(100)
    assert evaluate(check, student, seed=9) == first
    assert evaluate(check, student).passed  # and fresh inputs without a seed
