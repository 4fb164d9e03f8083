"""The checks of an importance-sampling estimate, of normalized weights and of their effective number."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autograder.advice.iwae import HINTS, misconceptions
from autograder.checks.vae_calls import close, shown
from autograder.probes.iwae_functions import (
    probe_effective_sample_size,
    probe_importance_estimate,
    probe_normalized_weights,
)
from autograder.verdict import Check, Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS", "exercise", "name_of"]


def name_of(got: Tensor, table: dict[str, Tensor], rtol: float = 1e-4, atol: float = 1e-5) -> str | None:
    """The first name in the table whose value agrees; a name goes as far as its `#`."""
    return next((name.split("#")[0] for name, wrong in table.items() if close(got, wrong, rtol, atol)), None)


# --- an expectation by importance sampling -------------------------------------------------------

SAMPLES = 4_000


def draw_estimate(rng: torch.Generator) -> dict[str, Any]:
    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    return {"f": [uniform(0.5, 1.5), uniform(0.5, 1.5), uniform(1.0, 2.0)], "p": [uniform(2.0, 3.0), uniform(1.1, 1.3)],
            "q": [uniform(0.5, 1.0), uniform(2.2, 2.8)], "num_samples": SAMPLES}


def log_normal(z: Tensor, mean: float, sigma: float) -> Tensor:
    return -0.5 * ((z - mean) / sigma).square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)


def judge_estimate(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    first, second = outputs["calls"]
    got, z = first["value"].double(), first["z"].double()
    if not len(z):
        return [failed("value", "Your code never calls f.", "f_not_used", "f at each sample", "no call of f")]
    parts = [z] if len(z) == SAMPLES else [z[-SAMPLES:], z[:SAMPLES]] if len(z) > SAMPLES else []
    sampled = judge_drawn(inputs, z, second["z"].double())
    for part in parts:
        if close(got, estimate_of(inputs, part), rtol=1e-4, atol=1e-5):
            return [passed("value", "The estimate is the mean of w f(z) over your samples."), sampled]
    part = parts[0] if parts else z
    want = estimate_of(inputs, part)
    wrong = name_of(got, wrong_estimates(inputs, part))
    if got.numel() > 1:
        wrong = "not_averaged" if got.shape == z.shape else None
    if not parts and (wrong is None or not sampled.passed):
        wrong = "num_samples_ignored"
    value = failed("value", "The estimate is not the mean of w f(z) over your samples.", wrong, shown(want), shown(got))
    return [value, unjudged("samples", value) or sampled]


def estimate_of(inputs: dict[str, Any], z: Tensor) -> Tensor:
    """mean of p(z) / q(z) f(z), a scalar."""
    return ((log_normal(z, *inputs["p"]) - log_normal(z, *inputs["q"])).exp() * f_of(inputs, z)).mean()


def f_of(inputs: dict[str, Any], z: Tensor) -> Tensor:
    a, b, c = inputs["f"]
    return a * z.square() + b * torch.sin(2 * z) + c


def wrong_estimates(inputs: dict[str, Any], z: Tensor) -> dict[str, Tensor]:
    f, p, q = f_of(inputs, z), log_normal(z, *inputs["p"]).exp(), log_normal(z, *inputs["q"]).exp()
    w = p / q
    return {
        "weights_left_out": f.mean(),
        "weights_inverted": (f / w).mean(),
        "self_normalized": (w * f).sum() / w.sum(),
        "self_normalized#averaged": (w / w.sum() * f).mean(),
        "log_weights_for_weights": (w.log() * f).mean(),
        "sum_for_mean": (w * f).sum(),
        "q_left_out": (p * f).mean(),
        "p_left_out": (f / q).mean(),
        "weights_multiplied": (p * q * f).mean(),
        "averages_multiplied": w.mean() * f.mean(),
        "sum_for_mean#unweighted": f.sum(),
        "not_averaged": w * f,
    }


def judge_drawn(inputs: dict[str, Any], z: Tensor, again: Tensor) -> Finding:
    """Mean and spread of z at 6.5 standard errors (false alarm below 1e-9), and another z in another call."""
    expected = f"{SAMPLES} draws of q in each call"
    mean, sigma = inputs["q"]
    error = 6.5 * sigma / math.sqrt(len(z))
    if len(z) < SAMPLES:
        return failed("samples", "f was called on fewer samples than asked for.", "num_samples_ignored", expected, f"{len(z)}")
    got = f"{len(z)} with mean {float(z.mean()):.2f} and standard deviation {float(z.std()):.2f}"
    if not (abs(float(z.mean()) - mean) <= error and abs(float(z.std()) - sigma) <= error):  # NaN is neither
        p_mean, p_sigma = inputs["p"]
        from_p = abs(float(z.mean()) - p_mean) <= error and abs(float(z.std()) - p_sigma) <= error
        return failed("samples", "The samples are not draws of q.", "samples_from_p" if from_p else "not_from_q", expected, got)
    if z.shape == again.shape and torch.equal(z, again):
        return failed("samples", "Two calls drew exactly the same samples.", "same_samples_in_every_call", expected, "the same again")
    return passed("samples", "The samples are draws of q, fresh in every call.")


# --- weights and their effective number ----------------------------------------------------------


def draw_log_weights(rng: torch.Generator) -> dict[str, Any]:
    """Log-weights (K, batch): of usual size, of 784 pixels, and of a single sample."""

    def log_w(samples: int, batch: int, level: float, spread: float) -> Tensor:
        # Examples a third of the level apart, in any order: what is small beside another example's weights is not small beside its own.
        levels = level * (1 + 0.1 * torch.randperm(batch, generator=rng))
        return levels + spread * torch.randn(samples, batch, generator=rng)

    return {"usual": log_w(7, 5, -2.0, 1.2), "far": log_w(9, 4, -900.0, 1.5), "one": log_w(1, 3, -3.0, 1.0)}


def judge_on_log_weights(right, wrong, what: str):
    """A judge for right(log_w), which can name what is in wrong(log_w)."""

    def judge(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        value = judge_size(inputs, outputs, "usual")
        if value.passed:
            value = judge_size(inputs, outputs, "one")
        if value.passed and not all(untouched({"log_w": inputs[size]}, {"log_w": record["log_w"]})
                                    for size, record in outputs.items() if "log_w" in record):
            value = failed("value", "Your code changes log_w in place.", "changes_its_inputs", "log_w as it was", "another log_w")
        far = judge_size(inputs, outputs, "far")
        if not far.passed:
            bad = "trouble" in outputs["far"] or not outputs["far"]["value"].isfinite().all() or not outputs["far"]["value"].any()
            name = "exp_underflows" if value.passed or bad and value.misconception is None else value.misconception
            far = failed("extremes", f"With log-weights near -900, as 784 pixels give them: {far.message}", name, far.expected, far.got)
        else:
            far = passed("extremes", "Log-weights of 784 pixels are no trouble.")
        return [value, unjudged("extremes", value) or far]

    def judge_size(inputs: dict[str, Any], outputs: dict[str, Any], size: str) -> Finding:
        log_w, record = inputs[size].double(), outputs[size]
        if "trouble" in record:
            return failed("value", str(record["trouble"]))
        got, want = record["value"].double(), right(log_w)
        if close(got, want, rtol=1e-3 if size == "far" else 1e-4, atol=2e-4 if size == "far" else 1e-5):
            return passed("value", f"{what} right.")
        name = name_of(got, wrong(log_w))
        if name is None and got.shape != want.shape and got.numel() == 1:
            name = "averaged_over_the_batch" if "averaged_over_the_batch" in wrong(log_w) else None
        return failed("value", f"{what} wrong.", name, shown(want), shown(got))

    return judge


def wrong_normalized(log_w: Tensor) -> dict[str, Tensor]:
    w = torch.softmax(log_w, 0)
    return {
        "normalized_over_the_batch": torch.softmax(log_w, 1),
        "normalized_over_everything": torch.softmax(log_w.flatten(), 0).view_as(log_w),
        "weights_not_normalized": log_w.exp(),
        "weights_not_normalized#mean": log_w.exp() / len(log_w),
        "largest_weight_is_one": w / w.amax(0),
        "largest_weight_is_one#all": (log_w - log_w.max()).exp(),
        "log_weights_normalized": log_w / log_w.sum(0),
        "logarithms_returned": torch.log_softmax(log_w, 0),
        "mean_for_sum": w * len(w),
        "weights_inverted": torch.softmax(-log_w, 0),
        "samples_last": w.T,
    }


def ess(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights, (batch,) (Kong 1992)."""
    return torch.softmax(log_w, 0).square().sum(0).reciprocal()


def wrong_ess(log_w: Tensor) -> dict[str, Tensor]:
    w, raw, right = torch.softmax(log_w, 0), log_w.exp(), ess(log_w)
    return {
        "sum_of_squares": 1 / right,
        "sum_of_squares#times_k": len(w) / right,
        "ess_over_the_batch": 1 / torch.softmax(log_w, 1).square().sum(1),
        "ess_over_the_batch#mixed": 1 / w.square().sum(1),
        "ess_over_the_batch#other": 1 / torch.softmax(log_w, 1).square().sum(0),
        "weights_not_normalized": 1 / raw.square().sum(0),
        "weights_not_normalized#ratio": raw.sum(0) / raw.square().sum(0),
        "weights_not_normalized#sum": raw.sum(0).square(),
        "without_square": torch.ones_like(right),
        "without_square#k": torch.full_like(right, len(w)),
        "fraction_for_number": right / len(w),
        "perplexity_for_ess": (-(w * torch.log_softmax(log_w, 0)).sum(0)).exp(),
        "largest_weight_for_ess": 1 / w.amax(0),
        "mean_of_squares": 1 / w.square().mean(0),
        "averaged_over_the_batch": right.mean(),
        "averaged_over_the_batch#sum": right.sum(),
        "averaged_over_the_batch#all": 1 / torch.softmax(log_w.flatten(), 0).square().sum(),
        "logarithms_returned": right.log(),
        "square_root_of_ess": right.sqrt(),
    }


def exercise(name: str, title: str, behaviors: dict[str, int], draw, probe, judge, read_on: str, **more: Any) -> Check:
    """A check of unit 02, with what the advice says to its name; `read_on` names the lecture's section."""
    key, more = f"iwae.{name}", {"target": name} | more
    return Check(name=key, title=title, behaviors=behaviors, draw=draw, probe=probe, judge=judge, hints=HINTS[key],
                 misconceptions=misconceptions(key), read_on=f"Lecture 02, {read_on}", **more)


CHECKS = (
    exercise("importance_estimate", "An expectation under p from samples of q", {"value": 2, "samples": 1}, draw_estimate,
             probe_importance_estimate, judge_estimate, "importance sampling"),
    exercise("normalized_weights", "Weights that sum to one over the samples", {"value": 1, "extremes": 1}, draw_log_weights,
             probe_normalized_weights, judge_on_log_weights(lambda t: torch.softmax(t, 0), wrong_normalized, "The normalized weights are"),
             "how many samples are left"),
    exercise("effective_sample_size", "How many samples the weights leave", {"value": 1, "extremes": 1}, draw_log_weights,
             probe_effective_sample_size, judge_on_log_weights(ess, wrong_ess, "The effective sample size is"),
             "how many samples are left"),
)
