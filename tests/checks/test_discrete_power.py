"""How surely unit 04's statistical checks find what is wrong: their power, from the measured bias and its standard error.

Statistical are four of the twelve: discrete.score, discrete.rloo, discrete.relaxed, and discrete.race, whose table holds the student's own
random numbers. In the others nothing is random, and the mistakes named there are told exactly (`test_mistakes.py`).

- score, rloo: a mean that is off by 6.5 + 2.33 standard errors passes with a probability of 1 %, and so does a variance that is off by
  8 + 2.33. What is *seen* 4.75 further off than that is truly as far off, but for one in a million. So each mistake has to be seen 7.1
  beyond what is allowed. Mistakes told from the recorded codes, or from a shape, without any chance in it are in EXACT.
- relaxed: the mean of a cosine is held against 0 in the same way, in every entry. It is measured here in more samples than the check has.
- race: the estimate of a squared bias that is not there is at worst (chi-squared with one degree of freedom - 1) variance / N.
"""

import math

import pytest
import torch

from autograder.catalogue import find_check
from autograder.probing import run_probe
from autograder.units.discrete.estimates import CALLS as TIMES
from autograder.units.discrete.estimates import SIGMAS, SPREAD_SIGMAS, TILE, Estimates, Exact
from autograder.units.discrete.measured import NOISE, judge_truth
from autograder.units.discrete.relaxed import CALLS, SAMPLES, noise, waves
from autograder.verdict import draw_inputs

MISSED, UNLUCKY, MANY = 2.33, 4.75, 50_000
ESTIMATORS = ("discrete.score", "discrete.rloo")
# Told from shapes, from repeated or impossible codes, or from gradients that are all the same: nothing is left to chance.
EXACT = {"averaged_over_the_batch", "samples_not_averaged", "fixed_seed", "one_sample_for_the_batch", "argmax_for_sample", "relaxed_samples",
         "enumerated_for_sampled"}
# Mistakes in the distribution of a relaxed sample; the others are told from shapes, sums, hard values and repeated noise.
DISTRIBUTIONS = {"temperature_multiplied", "temperature_ignored", "temperature_on_the_logits_only", "temperature_on_the_noise_only",
                 "gumbel_sign_lost", "one_log_missing", "gaussian_noise", "uniform_noise", "probabilities_for_logits", "logits_ignored"}


def ways(checks, wanted):
    """Every way to make the mistakes that are wanted, as a check and a source."""
    found = [(c, m.name, way) for c in checks for m in find_check(c).mistakes if wanted(m.name) for way in m.ways]
    return pytest.mark.parametrize(("check", "source"), [
        pytest.param(c, find_check(c).source(way), id=f"{c}-{name}") for c, name, way in found])


def beyond_what_is_allowed(e, exact):
    """The most telling number: standard errors that a mean or a variance is off, minus those that are allowed."""
    telling = []
    for name, estimates in e.numbers.items():
        if estimates is None:
            return math.inf  # no gradient at all
        error = (estimates.std(0) / len(estimates) ** 0.5).clamp_min(1e-9)
        telling.append((((estimates.mean(0) - exact.mean[name]).abs() - 1e-5) / error).max() - SIGMAS)
    slopes = e.numbers["logits"]
    variance, fourth = slopes.var(0), (slopes - slopes.mean(0)).pow(4).mean(0)
    error = ((fourth - variance**2).clamp_min(0) / len(slopes)).sqrt().clamp_min(1e-9)
    telling.append((((variance - exact.variance["logits"]).abs() - 1e-6) / error).max() - SPREAD_SIGMAS)
    return float(max(telling))


def measured(check, source, seed):
    """The larger of the two problems' numbers: the check fails what fails in one of them."""
    exercise = find_check(check)
    inputs = draw_inputs(exercise, seed)
    outputs = run_probe(exercise.probe, exercise.object(source), inputs, seed, 60.0)
    return max(beyond_what_is_allowed(Estimates(problem, record), Exact(exercise.solution, exercise.target, problem))
               for problem, record in zip(inputs["problems"], outputs["problems"], strict=True))


@pytest.mark.parametrize("check", ESTIMATORS)
def test_right_code_is_within_what_is_allowed(check):
    assert all(measured(check, find_check(check).solution, seed) < 0 for seed in range(5))


@pytest.mark.slow
@ways(ESTIMATORS, lambda name: name not in EXACT)
def test_wrong_estimators_are_found_with_power_above_99_per_cent(check, source):
    for seed in (1, 2):
        assert measured(check, source, seed) > MISSED + UNLUCKY, seed


@pytest.mark.slow
@ways(["discrete.relaxed"], lambda name: name in DISTRIBUTIONS)
def test_wrong_relaxed_samples_are_found_with_power_above_99_per_cent(check, source):
    student = find_check(check).object(source)
    for seed in range(5):
        beyond = []
        for problem in draw_inputs(find_check(check), seed)["problems"]:
            logits, temperature = problem["few"], problem["temperature"]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                y = student(logits, temperature, MANY).double()
            y = y[y.isfinite().flatten(1).all(1)]  # u = 0, one draw in 16 million, is found without a test
            found = waves(noise(y, logits.double(), temperature))
            error = found.std(0) / math.sqrt(CALLS * SAMPLES * TILE)  # of the mean in the check
            beyond.append(float((found.mean(0).abs() / error.clamp_min(1e-9)).max()) - SIGMAS)
        assert max(beyond) > MISSED + UNLUCKY, seed


def test_the_race_s_false_alarm():
    """From 200 draws, the fewest that the exercise allows, of the worst covariance: all variance in one direction, twice."""
    largest = NOISE * 200 + 1  # (chi-squared - 1) / 200 above NOISE
    assert 2 * math.erfc(math.sqrt(largest / 2)) <= 1e-6


def test_the_race_finds_draws_held_against_another_gradient():
    """The exercise's leave-one-out has a variance of 2.3 ||g||^2 or so. Held against 0, or against 2 g, it seems to have a squared bias of
    ||g||^2, whose estimate from 200 draws has a standard deviation of 2 sqrt(2.3 / 200) ||g||^2 at most: three of them above an eighth of the variance."""
    others = {"enumeration": (0.0, 0.0), "score function": (0.4, 4800.0), "Gumbel-softmax": (0.1, 3.0), "straight-through": (0.12, 6.7)}
    assert (1 - NOISE * 2.3) / (2 * math.sqrt(2.3 / 200) + math.sqrt(2) * 2.3 / 200) > MISSED
    assert judge_truth(others | {"leave-one-out": (0.01, 2.3)}).passed
    assert judge_truth(others | {"leave-one-out": (1.0, 2.3)}).misconception == "bias_where_there_is_none"


def test_as_many_estimates_as_the_check_says():
    check = find_check("discrete.score")
    inputs = draw_inputs(check, 0)
    assert all(len(p["logits"]) // 2 * TIMES == 10_000 for p in inputs["problems"])
