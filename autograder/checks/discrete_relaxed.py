"""The checks of the Gumbel-softmax sample and of its straight-through form.

A relaxed sample y = softmax((logits + g) / temperature) tells its own noise: w = softmax(logits - temperature log y) is the
vector exp(-g) / sum exp(-g), which is uniform on the simplex, so each entry is Beta(1, C - 1). That is tested by Kolmogorov and Smirnov
with the bound of Dvoretzky, Kiefer, Wolfowitz and Massart (a false alarm below 1e-8 for each of 22 entries, and for each of 8 classes with
all examples and latents together), and independence by correlations at 6.5 standard errors. The gradient follows from y exactly:
dy/dlogits = (diag(y) - y y') / temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.checks.discrete_findings import UNJUDGED, changed, check, fail, first_name, judge_gradient, near
from autograder.checks.vae_calls import shown
from autograder.probes.discrete import probe_relaxed_sample, probe_straight_through
from autograder.probing import Trouble
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

TILE, SAMPLES, CALLS = 200, 3, 8
FALSE_ALARM, SIGMAS = 1e-8, 6.5
TELL_NO_GRADIENT = (
    "softmax_over_the_wrong_axis",
    "hard_for_soft",
    "logits_ignored",
    "logarithm_of_a_negative_number",
    "samples_dimension_missing",
)


def draw_relaxed(rng: torch.Generator) -> dict[str, Any]:
    """Two examples with two latents of three classes, and one latent of five; a temperature below one and one above."""

    def problem(latents: int, classes: int, low: float) -> dict[str, Any]:
        logits = torch.randn(2, latents, classes, generator=rng) + torch.randn(2, latents, 1, generator=rng)
        return {
            "logits": logits.repeat(TILE, 1, 1),
            "temperature": low + 0.2 * float(torch.rand((), generator=rng)),
            "num_samples": SAMPLES,
            "weights": torch.randn(SAMPLES, 2, latents, classes, generator=rng),
        }

    return {"problems": [problem(2, 3, 0.55), problem(1, 5, 1.6)], "calls": CALLS, "weights": torch.rand(1, generator=rng)}


def distance(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> float:
    """Kolmogorov's largest distance between the empirical and the given distribution function."""
    ordered = cdf(values.flatten().sort().values)
    n = len(ordered)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps[1:] - ordered).abs(), (ordered - steps[:-1]).abs()).max())


def looks_like(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> bool:
    """A test whose false alarm is below FALSE_ALARM whatever n is (Massart 1990)."""
    return distance(values, cdf) <= math.sqrt(math.log(2 / FALSE_ALARM) / (2 * values.numel()))


def columns(w: Tensor) -> list[Tensor]:
    """The entries of w (n, ..., C), each by itself and, since one law holds for all, those of each class together."""
    return [*w.flatten(1).T, *w.flatten(0, -2).T]


def on_the_simplex(w: Tensor) -> bool:
    """Whether every entry of w (n, ..., C) has the marginal of a uniform point of the simplex."""
    classes = w.shape[-1]
    return bool(w.isfinite().all()) and all(looks_like(column, lambda v: 1 - (1 - v) ** (classes - 1)) for column in columns(w))


def independent(w: Tensor) -> bool:
    """Whether entries in neighboring calls, samples, rows and latents are uncorrelated; w is (calls, S, rows, examples, L, C)."""
    first = w[..., 0]
    first = first - first.mean((0, 1, 2), keepdim=True)
    for dim in range(first.dim()):
        if first.shape[dim] < 2:
            continue
        a, b = first.narrow(dim, 0, first.shape[dim] - 1), first.narrow(dim, 1, first.shape[dim] - 1)
        if abs(float((a * b).mean() / first.square().mean())) > SIGMAS / math.sqrt(a.numel()):
            return False
    return True


def repeated(w: Tensor) -> bool:
    """Whether neighboring calls, samples, rows, examples or latents have the same noise."""
    return any(w.shape[dim] > 1 and float(w.diff(dim=dim).abs().max()) < 1e-3 for dim in range(w.dim() - 1))


def readings(y: Tensor, logits: Tensor, t: float) -> dict[str, Tensor]:
    """What would be uniform on the simplex if y had been made in this way."""
    # u = 0, one draw in 16 million, is an honest zero.
    log_y, p = y.clamp_min(1e-40).log(), logits.softmax(-1)
    return {
        "right": (logits - t * log_y).softmax(-1),
        "temperature_multiplied": (logits - log_y / t).softmax(-1),
        "temperature_ignored": (logits - log_y).softmax(-1),
        "temperature_on_the_logits_only": (logits / t - log_y).softmax(-1),
        "temperature_on_the_noise_only": (t * logits - t * log_y).softmax(-1),
        "gumbel_sign_lost": (t * log_y - logits).softmax(-1),
        "probabilities_for_logits": (p - t * log_y).softmax(-1),
        "logits_ignored": (-t * log_y).softmax(-1),
    }


def other_noise(difference: Tensor) -> str | None:
    """The kind of noise of which this, (n, ...), is the difference of two, one for each class."""
    kinds = {
        "one_log_missing": lambda v: torch.where(v < 0, 0.5 * v.exp(), 1 - 0.5 * (-v).exp()),  # exponential: Laplace
        "gaussian_noise": lambda v: 0.5 * (1 + torch.erf(v / 2)),
        "uniform_noise": lambda v: torch.where(v < 0, 0.5 * (1 + v.clamp(-1, 1)) ** 2, 1 - 0.5 * (1 - v.clamp(-1, 1)) ** 2),
    }
    return next((name for name, cdf in kinds.items() if all(looks_like(column, cdf) for column in difference.flatten(1).T)), None)


def name_sample(y: Tensor, logits: Tensor, t: float) -> str | None:
    """The mistake behind samples y (calls, S, rows, examples, L, C) of logits (examples, L, C)."""
    if y.isnan().all():
        return "logarithm_of_a_negative_number"
    if not y.isfinite().all():
        return None
    ones = torch.ones(y.shape[:-1], dtype=y.dtype)
    if near(y.exp().sum(-1), ones, 1e-3):
        return "logarithm_of_the_sample"
    if not near(y.sum(-1), ones, 1e-3):
        sums = [y.sum(-2), y.sum(1), y.sum((2, 3)), y.sum((-2, -1))]  # latents, samples, batch, everything at once
        return "softmax_over_the_wrong_axis" if any(near(s, torch.ones_like(s), 1e-3) for s in sums) else None
    if near(y.amax(-1), ones, 1e-6):
        return "hard_for_soft"
    w = readings(y, logits, t)
    noise = (t * y.log() - logits).flatten(0, 2)
    if float(noise.diff(dim=-1).std(0).max()) < 1e-3:
        return "noise_missing"
    if repeated(w["right"]):
        return "noise_shared"
    flat = {name: value.flatten(0, 2) for name, value in w.items()}
    found = next((name for name, value in flat.items() if on_the_simplex(value)), None)
    if found == "right":
        return None if independent(w["right"]) else "noise_shared"
    if found:
        return found if independent(w[found]) else None
    return other_noise(noise[..., 0] - noise[..., 1])


def judge_draws(problem: dict[str, Any], draws: list[Tensor]) -> Finding:
    logits, t, samples = problem["logits"].double(), problem["temperature"], problem["num_samples"]
    shape, expected = (samples, *logits.shape), f"shape {[samples, *logits.shape]}, rows that sum to one"
    got = f"shape {list(draws[0].shape)}"
    if any(d.shape != draws[0].shape for d in draws) or draws[0].shape != shape:
        label = "samples_dimension_missing" if draws[0].shape == logits.shape else None
        return failed("distribution", "The result must have shape (num_samples, batch, L, C).", label, expected, got)
    y = torch.stack(draws).double().unflatten(2, (TILE, 2))
    one = logits[:2]
    if y.isfinite().all() and near(y.sum(-1), torch.ones(y.shape[:-1], dtype=y.dtype), 1e-3):
        w = readings(y, one, t)["right"]
        if on_the_simplex(w.flatten(0, 2)) and independent(w):
            return passed("distribution", "The samples have the distribution of Gumbel-softmax at that temperature.")
    return failed(
        "distribution",
        "The samples do not have the distribution of Gumbel-softmax at that temperature.",
        name_sample(y, one, t),
        expected,
        shown(y),
    )


def judge_relaxed(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    if len(outputs["problems"]) != len(inputs["problems"]):
        raise Trouble("Your function gave nothing that could be judged.")
    judged = []
    for problem, record in zip(inputs["problems"], outputs["problems"], strict=True):
        value = judge_draws(problem, record["draws"])
        y, weights = record["y"].double(), problem["weights"].double()
        want = torch.zeros_like(problem["logits"][:2]).double()
        if y.shape == weights.shape:
            want = ((y * weights - y * (y * weights).sum(-1, keepdim=True)) / problem["temperature"]).sum(0)
        slope = failed("gradient", UNJUDGED) if value.misconception in TELL_NO_GRADIENT else judge_gradient(record, "logits", want, value)
        judged.append((value, slope))
    value = next((v for v, _ in judged if not v.passed), judged[0][0])
    slope = next((g for _, g in judged if not g.passed), judged[0][1])
    return [value, slope]


# --- straight-through -----------------------------------------------------------------------------


def draw_straight(rng: torch.Generator) -> dict[str, Any]:
    soft = (1.2 * torch.randn(2, 5, 3, 4, generator=rng)).softmax(-1)
    return {"soft": soft, "weights": torch.randn(soft.shape, generator=rng)}


def judge_straight(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    soft, got = inputs["soft"].double(), outputs["value"]
    hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).double()
    if changed(outputs["after"], [inputs["soft"]]):
        value = failed("value", "Your code changes soft in place.", "changes_its_inputs")
    elif near(got, hard):
        value = passed("value", "One-hot, with the one at the largest entry.")
    else:
        other = {
            f"argmax_over_the_wrong_axis#{dim}": F.one_hot(soft.argmax(dim), soft.shape[dim]).double().movedim(-1, dim) for dim in (0, 1, 2)
        }
        value = fail(
            "value",
            "The value must be the one-hot vector of the largest entry.",
            got,
            hard,
            first_name(
                got,
                {
                    "soft_for_hard": soft,
                    "index_for_one_hot": soft.argmax(-1).double(),
                    "hard_times_soft": hard * soft,
                    "threshold_for_argmax": (soft > 0.5).double(),
                    **other,
                },
            ),
        )
    weights = inputs["weights"].double()
    return [
        value,
        judge_gradient(outputs, "soft", weights, value, candidates={"gradient_negated": -weights}, missing="without_the_detach_trick"),
    ]


CHECKS = (
    check(
        "discrete.relaxed",
        "relaxed_sample",
        "A Gumbel-softmax sample",
        {"distribution": 2, "gradient": 1},
        draw_relaxed,
        probe_relaxed_sample,
        judge_relaxed,
        "section 7, relaxation",
    ),
    check(
        "discrete.straight_through",
        "straight_through",
        "Hard forward, soft backward",
        {"value": 1, "gradient": 1},
        draw_straight,
        probe_straight_through,
        judge_straight,
        "section 7, straight-through",
    ),
)
