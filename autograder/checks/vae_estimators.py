"""The checks of two estimators of d/dmu E[f(z)], z ~ N(mu, sigma^2): reparameterized and score function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.probes.functions import probe_estimator
from autograder.verdict import Check, Finding, failed, passed

__all__ = ["CHECKS"]

SAMPLES = 5_000
SIGMAS = 6.5  # false alarm below 1e-9 for each mean


def draw_estimator(rng: torch.Generator) -> dict[str, Any]:
    """Three settings (a, b, c, mu, log_sigma) of f(z) = a z^2 + b sin(2 z) + c."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    settings = [
        (uniform(0.5, 1.5), uniform(0.5, 1.5), uniform(0.5, 2), uniform(0.7, 1.8), level + uniform(0, 0.15))
        for level in (-0.8, -0.4, 0.25)
    ]
    return {"settings": settings, "num_samples": SAMPLES}


class Setting:
    """Exact moments of any estimator g(epsilon) by Gauss-Hermite quadrature."""

    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(80))

    def __init__(self, a: float, b: float, c: float, mu: float, log_sigma: float):
        self.a, self.b, self.c, self.mu, self.sigma = a, b, c, mu, math.exp(log_sigma)

    def f(self, z: Tensor) -> Tensor:
        return self.a * z.square() + self.b * torch.sin(2 * z) + self.c

    def slope(self, z: Tensor) -> Tensor:
        return 2 * self.a * z + 2 * self.b * torch.cos(2 * z)

    def moments(self, estimator: Callable[[Setting, Tensor], Tensor]) -> tuple[float, float, float]:
        """Mean, variance and fourth central moment of estimator(self, epsilon)."""
        g = estimator(self, self.nodes)
        weights = self.weights / self.weights.sum()
        mean = float((weights * g).sum())
        return mean, float((weights * (g - mean) ** 2).sum()), float((weights * (g - mean) ** 4).sum())


def pathwise(s: Setting, e: Tensor) -> Tensor:
    """f'(mu + sigma epsilon) (Kingma & Welling 2014, section 2.4)."""
    return s.slope(s.mu + s.sigma * e)


def score(s: Setting, e: Tensor) -> Tensor:
    """f(z) (z - mu) / sigma^2 (Williams 1992)."""
    return s.f(s.mu + s.sigma * e) * e / s.sigma


COMMON = {
    "gradient_of_log_sigma": lambda s, e: pathwise(s, e) * s.sigma * e,
    "gradient_of_log_sigma#score": lambda s, e: s.f(s.mu + s.sigma * e) * (e.square() - 1),
    "divided_by_num_samples": lambda s, e: pathwise(s, e) / SAMPLES,
    "divided_by_num_samples#score": lambda s, e: score(s, e) / SAMPLES,
}
WRONG_PATHWISE = {
    "score_for_pathwise": score,
    "sign_flipped": lambda s, e: -pathwise(s, e),
    "wrong_sigma": lambda s, e: s.slope(s.mu + s.sigma**2 * e),
    "wrong_sigma#one": lambda s, e: s.slope(s.mu + e),
    "wrong_sigma#log": lambda s, e: s.slope(s.mu + math.log(s.sigma) * e),
    "wrong_sigma#log_variance": lambda s, e: s.slope(s.mu + s.sigma**0.5 * e),
} | COMMON
WRONG_SCORE = {
    "pathwise_for_score": pathwise,
    "sign_flipped": lambda s, e: -score(s, e),
    "f_left_out": lambda s, e: e / s.sigma,
    "score_without_square": lambda s, e: s.f(s.mu + s.sigma * e) * e,
    "score_without_square#product": lambda s, e: s.f(s.mu + s.sigma * e) * e * s.sigma,
    "f_without_score": lambda s, e: s.f(s.mu + s.sigma * e),
} | COMMON


def agrees(setting: Setting, estimates: Tensor, estimator: Callable[[Setting, Tensor], Tensor]) -> tuple[bool, bool]:
    """Whether mean and variance of the estimates are those of `estimator`."""
    mean, variance, fourth = setting.moments(estimator)
    n = len(estimates)
    # An unbiased estimator of another kind may spread more: that is judged apart.
    error = math.sqrt(max(variance, float(estimates.var())) / n)
    same_mean = abs(float(estimates.mean()) - mean) <= SIGMAS * error + 1e-6 * abs(mean)
    error = math.sqrt(max(fourth - variance**2, 0) / n)
    # The fourth moment of the score function is heavy: 8 standard errors keep false alarms below 1e-6.
    return same_mean, abs(float(estimates.var()) - variance) <= 8 * error + 1e-6 * variance


def judge_with(right: Callable[[Setting, Tensor], Tensor], wrong: dict[str, Callable[[Setting, Tensor], Tensor]]):
    """A judge for the estimator `right` that can name those in `wrong`."""

    def judge(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        settings = [Setting(*s) for s in inputs["settings"]]
        estimates = [e.double() for e in outputs["estimates"]]
        expected = f"shape [{SAMPLES}], mean {settings[0].moments(right)[0]:.3f}, variance {settings[0].moments(right)[1]:.3f}"
        if any(e.shape != (SAMPLES,) for e in estimates):
            shape = list(estimates[0].shape)
            label = "already_averaged" if estimates[0].numel() == 1 else None
            return [failed("unbiased", f"One estimate for each sample is asked for, shape [num_samples]; yours has {shape}.", label,
                           expected, f"shape {shape}")]
        got = f"mean {float(estimates[0].mean()):.3f}, variance {float(estimates[0].var()):.3f}"
        if not all(e.isfinite().all() for e in estimates):
            return [failed("unbiased", "Some estimates are not finite.", None, expected, got)]
        verdicts = [agrees(s, e, right) for s, e in zip(settings, estimates)]
        label = name_estimator(settings, estimates, right, wrong) if not all(m and v for m, v in verdicts) else None
        unbiased = all(m for m, _ in verdicts)
        first = passed("unbiased", "The mean of your estimates is the gradient.") if unbiased else failed(
            "unbiased", "The mean of your estimates is not the gradient.", label, expected, got)
        if all(v for _, v in verdicts):
            return [first, passed("estimator", "Each entry is a single-sample estimate of the right kind.")]
        return [first, failed("estimator", "The spread of your estimates is not that of this estimator.", label, expected, got)]

    return judge


def name_constant(settings: list[Setting], values: list[float], right: Callable[[Setting, Tensor], Tensor]) -> str:
    """The mistake behind estimates that are all the same."""
    if right is score and all(v == 0 for v in values):
        return "score_is_zero"
    if right is pathwise and all(abs(v - float(s.slope(torch.tensor(s.mu)))) < 1e-3 for s, v in zip(settings, values)):
        return "derivative_at_mu"
    moments = [s.moments(right) for s in settings]
    averages = all(abs(v - mean) <= SIGMAS * math.sqrt(variance / SAMPLES) for v, (mean, variance, _) in zip(values, moments))
    return "already_averaged" if averages else "no_randomness"


def name_estimator(settings: list[Setting], estimates: list[Tensor], right: Callable, wrong: dict[str, Callable]) -> str | None:
    """The mistake whose mean and variance the estimates have, in every setting."""
    if all(float(e.std()) < 1e-9 for e in estimates):
        return name_constant(settings, [float(e[0]) for e in estimates], right)
    for label, estimator in wrong.items():
        if all(all(agrees(s, e, estimator)) for s, e in zip(settings, estimates)):
            return label.split("#")[0]
    return None


CHECKS = (
    Check(
        name="vae.pathwise_gradient",
        target="pathwise_gradient",
        title="The gradient of an expectation, with the trick",
        behaviors={"unbiased": 1, "estimator": 1},
        draw=draw_estimator,
        probe=probe_estimator,
        judge=judge_with(pathwise, WRONG_PATHWISE),
        hints=HINTS["vae.pathwise_gradient"],
        misconceptions=misconceptions("vae.pathwise_gradient"),
        read_on="Lecture 01, the reparameterization trick",
    ),
    Check(
        name="vae.score_gradient",
        target="score_gradient",
        title="The gradient of an expectation, without the trick",
        behaviors={"unbiased": 1, "estimator": 1},
        draw=draw_estimator,
        probe=probe_estimator,
        judge=judge_with(score, WRONG_SCORE),
        hints=HINTS["vae.score_gradient"],
        misconceptions=misconceptions("vae.score_gradient"),
        read_on="Lecture 01, the reparameterization trick",
    ),
)
