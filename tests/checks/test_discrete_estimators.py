"""Unit 04's checks hold estimators against enumeration: what they accept, what they refuse, and how surely.

Stated: right code fails with probability below 1e-6 a check (means at 6.5 standard errors of 10,000 estimates, variances at 8);
the listed mistakes are found with probability above 0.99, which `test_discrete_power.py` computes. tests/honest runs right code
with many seeds.
"""

from functools import partial

import pytest
import torch

from autograder.catalogue import all_checks, find_check
from autograder.exercises.exercise import double
from autograder.units.discrete.estimates import CALLS, TILE, Exact, averages, rows
from autograder.units.discrete.laws import Truth, draw_problem
from autograder.units.discrete.probes import Cost
from autograder.units.discrete.relaxed import waves
from autograder.verdict import draw_inputs, evaluate
from elbolab import gradients


def findings(check, student, seed=5):
    return {f.behavior: f for f in evaluate(find_check(check), student, seed=seed).findings}


def problem(seed=0, **settings):
    return draw_problem(torch.Generator().manual_seed(seed), **({"latents": 2, "classes": 3, "num_samples": 3} | settings))


def exact(check, drawn):
    return Exact(find_check(check).solution, find_check(check).target, drawn)


def test_points():
    points = {name: check.max_points for name, check in all_checks().items() if name.startswith("discrete.")}
    assert points == {
        "discrete.kl": 4, "discrete.log_likelihood": 4, "discrete.enumeration": 4, "discrete.score": 4, "discrete.rloo": 4, "discrete.negative_elbo": 3,
        "discrete.relaxed": 3, "discrete.straight_through": 2, "discrete.bias_variance": 3, "discrete.race": 3, "discrete.twenty": 3, "discrete.vimco": 4,
    }
    assert list(points) == ["discrete." + n for n in ("kl", "log_likelihood", "enumeration", "score", "rloo", "negative_elbo", "relaxed",
                                                      "straight_through", "bias_variance", "race", "twenty", "vimco")]


def enumerated(drawn):
    """The expectation of a problem's first two examples, and its gradients for the logits and for the cost's parameters, by autograd."""
    drawn = double(rows(drawn, lambda x: x[:2]))
    logits, theta = (drawn[name].requires_grad_() for name in ("logits", "theta"))
    value = gradients.enumeration(Cost(drawn, theta), logits)
    return value.detach(), *torch.autograd.grad(value.sum(), (logits, theta))


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_is_what_autograd_makes_of_the_sum(seed):
    truth, (value, slope, _) = Truth(problem(seed)), enumerated(problem(seed))
    assert torch.allclose(value, truth.value, atol=1e-12) and torch.allclose(slope, truth.gradient, atol=1e-12)


@pytest.mark.parametrize("check", ["discrete.score", "discrete.rloo"])
def test_the_solution_over_every_tuple_of_codes_has_the_enumerated_mean(check):
    for drawn in draw_inputs(find_check(check), 3)["problems"]:
        mean = exact(check, drawn).mean
        assert all(map(torch.allclose, (mean["value"], mean["logits"], mean["theta"]), enumerated(drawn)))


def test_the_variance_over_tuples_is_the_textbook_one():
    """Without a baseline the samples are independent: the variance of one sample's estimate, divided by their number."""
    drawn = problem()
    truth = Truth(drawn)
    single = truth.costs[..., None, None] * truth.scores
    q = truth.probabilities[..., None, None]
    one = (q * single**2).sum(0) - (q * single).sum(0) ** 2
    tiled = rows(drawn, lambda x: x.repeat(TILE, *[1] * (x.dim() - 1)))
    assert torch.allclose(exact("discrete.score", tiled).variance["logits"], one / 3, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_baseline_with_its_own_sample_is_far_enough_away(seed):
    """Its bias, gradient / S, is at least 10 standard errors of the 10,000 estimates, in every problem that is drawn."""
    for drawn in draw_inputs(find_check("discrete.rloo"), seed)["problems"]:
        truth = exact("discrete.rloo", drawn)
        error = (truth.variance["logits"] / (TILE * CALLS)).sqrt()
        assert (truth.mean["logits"].abs() / drawn["num_samples"] / error).amax() > 10


BIASED_ESTIMATORS = {
    "Gumbel-softmax": partial(gradients.gumbel_softmax, temperature=1.0),
    "straight-through": partial(gradients.straight_through_gumbel, temperature=1.0),
    "own sample in the baseline": lambda f, logits, n: gradients.score_function(f, logits, n, lambda cost, x: cost.mean(0)),
}
UNBIASED_ESTIMATORS = {
    "REBAR": gradients.rebar,
    "a constant baseline": lambda f, logits, n: gradients.score_function(f, logits, n, lambda cost, x: 3.0),
    "enumeration": lambda f, logits, n: gradients.enumeration(f, logits),
}


@pytest.mark.parametrize("check", ["discrete.score", "discrete.rloo"])
@pytest.mark.parametrize("name", BIASED_ESTIMATORS)
def test_biased_estimators_are_found_to_be_biased(check, name):
    for seed in range(5):
        assert not findings(check, BIASED_ESTIMATORS[name], seed)["encoder"].passed, seed


@pytest.mark.parametrize("check", ["discrete.score", "discrete.rloo"])
@pytest.mark.parametrize("name", UNBIASED_ESTIMATORS)
def test_other_unbiased_estimators_are_unbiased_and_of_another_spread(check, name):
    found = findings(check, UNBIASED_ESTIMATORS[name])
    assert found["encoder"].passed and found["value"].passed and found["decoder"].passed and not found["estimator"].passed


def test_the_librarys_own_estimators_get_every_point():
    assert evaluate(find_check("discrete.score"), gradients.score_function, seed=5).passed
    assert evaluate(find_check("discrete.rloo"), gradients.rloo, seed=5).passed
    assert evaluate(find_check("discrete.vimco"), gradients.vimco, seed=5).passed
    assert evaluate(find_check("discrete.kl"), gradients.kl_to_uniform, seed=5).passed
    assert evaluate(find_check("discrete.enumeration"), gradients.enumeration, seed=5).passed
    assert evaluate(find_check("discrete.relaxed"), gradients.relaxed_one_hot, seed=5).passed
    assert evaluate(find_check("discrete.straight_through"), gradients.straight_through, seed=5).passed


def test_uniform_numbers_are_told_by_their_cosines():
    """None of 2,000 uniform samples is refused; one whose values are shifted by 0.06 always is."""
    samples = torch.rand(2000, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert all(averages(waves(row), torch.zeros(())) for row in samples)
    assert not any(averages(waves((row + 0.06).clamp(0, 1)), torch.zeros(())) for row in samples[:200])


def test_a_slow_solution_is_judged_from_fewer_calls(monkeypatch):
    from autograder.units.discrete import probes

    monkeypatch.setattr(probes, "SECONDS", 0.2)

    def slow(f, logits, num_samples):
        import time

        time.sleep(0.05)
        return gradients.score_function(f, logits, num_samples)

    assert evaluate(find_check("discrete.score"), slow, seed=3).passed
