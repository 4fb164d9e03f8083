"""The checks of the score function and of its leave-one-out baseline: unbiased against enumeration, and of the right spread.

Error rates. The mean over n estimates (about 10,000 for each distinct example) is compared with the enumerated gradient at
6.5 standard errors; with 2 examples in 2 problems there are 24 + 12 + 4 such comparisons, so right code of any spread fails
with probability below 4e-9 (estimates are bounded; Berry-Esseen keeps the tail below 1e-6). Mistakes that leave a bias are 10 standard
errors and more away (`draw_problem` throws problems away in which they would not be), and are named from the codes that the
cost was asked for, which is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.checks.discrete_estimates import (
    CALLS,
    TILE,
    Estimates,
    name_sampling,
    name_slope,
    name_theta_slope,
    rloo_estimate,
    score_estimate,
)
from autograder.checks.discrete_findings import check, fail, first_name, near
from autograder.checks.discrete_truth import Truth, draw_problem, leave_one_out_mean
from autograder.checks.vae_calls import shown
from autograder.probes.discrete import probe_estimates
from autograder.probing import Trouble
from autograder.verdict import Check, Finding, failed, passed

__all__ = ["CHECKS"]

REPEATS = ("fixed_seed", "one_sample_for_the_batch")
IN_THE_VALUE = ("cost_not_detached", "cost_term_missing", "baseline_in_the_cost")  # they explain a wrong value, too
BEHAVIORS = ("value", "encoder", "decoder", "estimator")


def draw_estimates(rng: torch.Generator) -> dict[str, Any]:
    problems = [draw_problem(rng, 2, 3, num_samples=3, tile=TILE), draw_problem(rng, 3, 2, num_samples=2, tile=TILE)]
    return {"problems": problems, "calls": CALLS, "weights": torch.rand(1, generator=rng)}


def judge_value(e: Estimates) -> Finding:
    """mean_s f(z_s): on average the expectation, and at the recorded codes exactly."""
    want = e.truth.value
    if e.values is None:
        return failed("value", "One number for each example is asked for.")
    z, got = e.codes(), e.first["value"].double()
    if z is not None:
        cost, log_q = e.batch.cost(z), e.batch.log_q(z)
        signal = cost - leave_one_out_mean(cost)
        if not near(got, cost.mean(0), 1e-3):
            label = first_name(
                got,
                {
                    "value_is_a_surrogate": (cost * log_q).mean(0),
                    "value_is_a_surrogate#sum": (cost + cost * log_q).mean(0),
                    "value_is_a_surrogate#baseline": (signal * log_q).mean(0),
                    "value_is_a_surrogate#both": (cost + signal * log_q).mean(0),
                },
            )
            if label:
                return fail("value", "The value is not the estimate of the cost.", got, cost.mean(0), label)
    if e.unbiased(e.values, want):
        return passed("value", "The value estimates the expected cost.")
    mean = e.values.mean(0)
    return failed("value", "The mean of the values is not the expected cost.", None, shown(want), shown(mean))


def judge_encoder(e: Estimates, baseline: bool) -> Finding:
    want = e.truth.gradient()
    if e.slopes is None or "unattached" in e.first:
        return failed("encoder", "No gradient reaches the logits.", "log_prob_detached", shown(want), "none")
    if e.unbiased(e.slopes, want):
        return passed("encoder", "The mean of the estimates is the enumerated gradient of the logits.")
    label = name_slope(e, baseline)
    return failed("encoder", "The mean of the estimates is not the gradient of the logits.", label, shown(want), shown(e.slopes.mean(0)))


def judge_decoder(e: Estimates, baseline: bool) -> Finding:
    want = e.truth.theta_gradient()
    if e.theta_slopes is None or not e.theta_slopes.any():
        label = "baseline_in_the_cost" if baseline and e.theta_slopes is not None else "cost_term_missing"
        return failed("decoder", "No gradient reaches the parameters of the cost.", label, shown(want), "none")
    if e.unbiased(e.theta_slopes, want):
        return passed("decoder", "The mean of the estimates is the enumerated gradient of the cost's parameters.")
    return failed(
        "decoder",
        "The mean of the estimates is not the gradient of the cost's parameters.",
        name_theta_slope(e, baseline),
        shown(want),
        shown(e.theta_slopes.mean(0)),
    )


def judge_estimator(e: Estimates, encoder: Finding, baseline: bool) -> Finding:
    """The spread, where the mean is right."""
    if e.slopes is None or not e.slopes.isfinite().all():
        return failed("estimator", "Judged once gradients reach the logits.", encoder.misconception)
    what = "the leave-one-out baseline" if baseline else "the plain score function"
    if not encoder.passed:
        return failed("estimator", "Judged once the mean of the estimates is right.", encoder.misconception)
    if e.constant:
        return failed("estimator", "All estimates are the same: nothing is sampled.", "enumerated_for_sampled")
    if e.spread_is_right():
        return passed("estimator", f"The spread is that of {what}.")
    label = "num_samples_ignored" if e.too_few_samples else name_slope(e, baseline)
    variance = f"variance {float(e.truth.variance(e.right).sum()):.3f}"
    return failed(
        "estimator", f"The spread of the estimates is not that of {what}.", label, variance, f"variance {float(e.slopes.var(0).sum()):.3f}"
    )


def wrong_shape(e: Estimates) -> Finding | None:
    value, batch = e.first["value"], TILE * e.examples
    if value.shape == (batch,):
        return None
    if value.dim() == 2 and batch in value.shape:
        label = "samples_not_averaged"
    else:
        label = "averaged_over_the_batch" if value.numel() == 1 else None
    return failed(
        "value", "One number for each example is asked for, shape [batch].", label, f"shape [{batch}]", f"shape {list(value.shape)}"
    )


def judge_problem(e: Estimates, baseline: bool) -> list[Finding]:
    if finding := wrong_shape(e):
        return [finding]
    value, encoder = judge_value(e), judge_encoder(e, baseline)
    if label := name_sampling(e):
        # Estimates that repeat each other would pass or fail by chance: they are not judged as if they were many.
        if label in REPEATS and not (encoder.passed and e.constant) or not (encoder.passed and value.passed):
            return [failed(behavior, "The codes are not fresh samples from q for each row and each call.", label) for behavior in BEHAVIORS]
    findings = [value, encoder, judge_decoder(e, baseline), judge_estimator(e, encoder, baseline)]
    decoder = findings[2].misconception
    cause = decoder if decoder in IN_THE_VALUE else None if value.misconception else encoder.misconception or decoder
    if not value.passed and cause:
        findings[0] = failed("value", value.message, cause, value.expected, value.got)
    return findings


def judge_with(right: Callable[[Truth, Tensor, Tensor], Tensor], baseline: bool):
    """Of each behavior, the first problem in which it fails."""

    def judge(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        if not outputs["problems"] or not all(outputs["problems"]):
            raise Trouble("Your function gave nothing that could be judged.")
        each = [
            judge_problem(Estimates(p, calls, right), baseline) for p, calls in zip(inputs["problems"], outputs["problems"], strict=True)
        ]
        found = []
        for behavior in BEHAVIORS:
            findings = [f for findings in each for f in findings if f.behavior == behavior]
            found += [next((f for f in findings if not f.passed), findings[0])] if findings else []
        return found

    return judge


def estimator(name: str, target: str, title: str, right, baseline: bool, read_on: str) -> Check:
    return check(name, target, title, dict.fromkeys(BEHAVIORS, 1), draw_estimates, probe_estimates, judge_with(right, baseline), read_on)


CHECKS = (
    estimator("discrete.score", "score_function", "The score-function estimator", score_estimate, False, "section 4, the score function"),
    estimator("discrete.rloo", "leave_one_out", "The leave-one-out baseline", rloo_estimate, True, "section 5, control variates"),
)
