"""No honest failure: right code passes every check of every unit for 200 seeds with DEEP=1 (30 without), and so do
right solutions of other shapes, for some each.

The outputs take the way that they take when a class is graded: encoded beside the student's code, decoded by the grader.
"""

import pytest
import torch
from checking import VARIANTS, made
from depth import repetitions

from autograder.border import decode, encode
from autograder.catalogue import all_checks
from autograder.probing import run_probe
from autograder.verdict import draw_inputs, judge_outputs

SEEDS = repetitions(30, 200)
# Of solutions of other shapes there are many, some slow; each has seeds of its own, so that together they are thousands.
VARIANT_SEEDS, SLOW_VARIANT_SEEDS = repetitions(6, 50), repetitions(4, 20)
SLOW = ("ReparameterizedDiagonalGaussian", "VariationalInference", "importance_weighted_bound", "log_weights", "score_function", "leave_one_out")

EVERY = [pytest.param(c, id=c.name) for c in all_checks().values()]
UNUSUAL = [pytest.param(c, number, id=f"{c.name}-{label}") for c in all_checks().values()
           for number, label in enumerate(VARIANTS[c.target])]


def judged(check, student, seed):
    """The verdict when inputs and outputs cross the border."""
    inputs = draw_inputs(check, seed)
    outputs = run_probe(check.probe, student, decode(encode(inputs)), seed + 1, 60.0)
    return judge_outputs(check, inputs, decode(encode(outputs)))


def honest(check):
    """An object that answers the check rightly."""
    return check.object(check.solution)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("check", EVERY)
def test_right_code_passes_with_every_seed(check):
    student = honest(check)
    for seed in range(10_000, 10_000 + SEEDS):
        verdict = judged(check, student, seed)
        assert verdict.passed and verdict.points == check.max_points, (seed, verdict)
        assert verdict.misconception is None, (seed, verdict)


# Draws that right code once failed on.
FAILED_ONCE = {"vae.gaussian_rsample": (4058339598300902675,)}  # a weight of the gradient was exactly zero


@pytest.mark.parametrize("name, seed", [(name, seed) for name, seeds in FAILED_ONCE.items() for seed in seeds])
def test_right_code_passes_where_it_once_failed(name, seed):
    check = all_checks()[name]
    verdict = judged(check, honest(check), seed)
    assert verdict.passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize("check, number", UNUSUAL)
def test_right_code_of_another_shape_passes_with_every_seed(check, number):
    source = list(VARIANTS[check.target].values())[number]
    student, count = made(check.target, source), SLOW_VARIANT_SEEDS if check.target in SLOW else VARIANT_SEEDS
    for seed in range(20_000 + count * number, 20_000 + count * (number + 1)):
        verdict = judged(check, student, seed)
        assert verdict.passed and verdict.points == check.max_points, (seed, verdict)
