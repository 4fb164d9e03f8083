"""What the two estimators of d/dmu E[f(z)], z ~ N(mu, sigma^2), have in common: draw, laws, and how mistakes are told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Finding, Mistake, Seen, failed, passed, wrapped
from autograder.exercises.laws import SIGMAS, Summary
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.vae.probes import example

__all__ = ["COMMON", "Setting", "draw", "laws", "picture_of", "replay"]

SAMPLES = 5_000
NODES, WEIGHTS = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(80))


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Three settings (a, b, c, mu, log_sigma) of f(z) = a z^2 + b sin(2 z) + c."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    settings = [
        (uniform(0.5, 1.5), uniform(0.5, 1.5), uniform(0.5, 2), uniform(0.7, 1.8), level + uniform(0, 0.15))
        for level in (-0.8, -0.4, 0.25)
    ]
    return {"settings": settings, "num_samples": SAMPLES}


class Setting:
    """f, its slope, and the exact moments of an estimator g(setting, epsilon) by Gauss-Hermite quadrature."""

    def __init__(self, a: float, b: float, c: float, mu: float, log_sigma: float):
        self.f, self.mu, self.sigma = example(a, b, c), mu, math.exp(log_sigma)
        self.slope = lambda z: 2 * a * z + 2 * b * torch.cos(2 * z)

    def moments(self, estimator: Estimator) -> tuple[float, float, float]:
        """Mean, variance and fourth central moment."""
        g = estimator(self, NODES)
        weights = WEIGHTS / WEIGHTS.sum()
        mean = float((weights * g).sum())
        return mean, float((weights * (g - mean) ** 2).sum()), float((weights * (g - mean) ** 4).sum())


Estimator = Callable[[Setting, Tensor], Tensor]


def laws(right: Estimator) -> tuple[Behavior, Behavior]:
    """Mean and variance of the estimates are those of the estimator `right`, in each setting."""

    def malformed(seen: Seen) -> tuple[str, str] | None:
        estimates = seen.outputs["estimates"]
        if any(e.shape != (SAMPLES,) for e in estimates):
            shape = f"shape {list(estimates[0].shape)}"
            return f"One estimate for each sample is asked for, shape [num_samples]; yours has {shape}.", shape
        return None if all(e.isfinite().all() for e in estimates) else ("Some estimates are not finite.", "NaN or infinity")

    def judge(behavior: str, holds: Callable[[Setting, Tensor], bool], good: str, bad: str) -> Callable[[Seen], Finding]:
        def judged(seen: Seen) -> Finding:
            settings, estimates = [Setting(*s) for s in seen.inputs["settings"]], [e.double() for e in seen.outputs["estimates"]]
            mean, variance, _ = settings[0].moments(right)
            expected = f"shape [{SAMPLES}], mean {mean:.3f}, variance {variance:.3f}"
            if fault := malformed(seen):
                return failed(behavior, fault[0], None, expected, fault[1])
            if all(map(holds, settings, estimates)):
                return passed(behavior, good)
            return failed(behavior, bad, None, expected, f"mean {float(estimates[0].mean()):.3f}, variance {float(estimates[0].var()):.3f}")

        return judged

    def same_mean(setting: Setting, estimates: Tensor) -> bool:
        mean, variance, _ = setting.moments(right)
        # An unbiased estimator of another kind may spread more: that is judged apart.
        error = math.sqrt(max(variance, float(estimates.var())) / SAMPLES)
        return abs(float(estimates.mean()) - mean) <= SIGMAS * error + 1e-6 * abs(mean)

    def same_variance(setting: Setting, estimates: Tensor) -> bool:
        _, variance, fourth = setting.moments(right)
        # The fourth moment of the score function is heavy: 8 standard errors keep false alarms below 1e-6.
        error = math.sqrt(max(fourth - variance**2, 0) / SAMPLES)
        return abs(float(estimates.var()) - variance) <= 8 * error + 1e-6 * variance

    def view(outputs: dict[str, Any]) -> list[Any]:
        """The estimates, one by one where the samples are known, and that epsilon is standard normal then."""
        return [[list(g.shape), summary(g.double())] if noise is None else [g, STANDARD if epsilon is None else summary(epsilon)]
                for g, noise, epsilon in zip(*(outputs[name] for name in ("estimates", "noise", "epsilon")))]

    return (
        Behavior("unbiased", 1, judge("unbiased", same_mean, "The mean of your estimates is the gradient.",
                                      "The mean of your estimates is not the gradient."), view, rtol=1e-3, atol=1e-5),
        Behavior("estimator", 1, judge("estimator", same_variance, "Each entry is a single-sample estimate of the right kind.",
                                       "The spread of your estimates is not that of this estimator."), view, rtol=1e-3, atol=1e-5),
    )


def summary(values: Tensor) -> Summary:
    """Mean and root mean square of more than one number."""
    if values.numel() < 2:
        raise ValueError("no summary of one number")
    size = values.square().mean().sqrt().clamp_min(1e-12)
    errors = torch.stack([size, values.pow(4).mean().sqrt() / (2 * size)]) / math.sqrt(values.numel())
    return Summary(torch.stack([values.mean(), size]), errors)


STANDARD = Summary(torch.tensor([0.0, 1.0]), torch.zeros(2))


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """With the samples of the student's code, where they are known."""

    def wanted(noise: Tensor) -> Tensor:
        if float(noise.std()) > 1e-6:
            return noise
        # No draw for each sample: then only its first draw counts, or none.
        first = noise[:1] if float(noise.abs().max()) > 1e-5 else torch.ones(1)
        return torch.cat([first, torch.randn(len(noise) - 1, generator=torch.Generator().manual_seed(0))])

    noise = outputs["noise"]
    return inputs if any(e is None for e in noise) else inputs | {"noise": [wanted(e) for e in noise]}


# --- mistakes in either --------------------------------------------------------------------------

COMMON = (
    Mistake("already_averaged", "The samples are averaged; one estimate for each sample is asked for.",
            "Return the num_samples single-sample estimates, so that their spread can be seen.",
            wrapped("value.mean()"), wrapped("value.mean().expand(given[3])")),
    Mistake("divided_by_num_samples", "Each estimate is divided by the number of samples.",
            "A single-sample estimate is f's own gradient at one sample; averaging comes later.", wrapped("value / given[3]")),
    Mistake("sign_flipped", "The sign of the gradient is wrong.", "d/dmu log q(z) = (z - mu) / sigma^2, and dz/dmu = 1.",
            wrapped("-value")),
)
NO_RANDOMNESS = ("no_randomness", "All estimates are the same: no sample is drawn for each.", "Draw num_samples values of epsilon.")
OF_LOG_SIGMA = ("gradient_of_log_sigma", "This is the gradient with respect to log_sigma.",
                "The derivative with respect to mu is asked for.")


def picture_of(right: Estimator) -> Callable[..., str]:
    """The picture of single-sample estimates of the first setting beside those of the estimator `right`."""

    def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        setting, got = Setting(*inputs["settings"][0]), outputs["estimates"][0].double().flatten()
        if not got.numel() or not got.isfinite().all():
            raise ValueError("no estimates")
        mean, variance, _ = setting.moments(right)
        want = right(setting, torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0)).double())
        ends = torch.cat([got, want]).quantile(torch.tensor([0.005, 0.995], dtype=torch.float64))
        bins = torch.linspace(*ends.tolist(), 60).tolist()
        ax.hist(want, bins, density=True, color=RIGHT, alpha=0.5, label="right")
        ax.hist(got, bins, density=True, histtype="step", lw=1.5, color=YOURS, label="yours")
        ax.axvline(mean, color=RIGHT, ls=":", label="the gradient")
        ax.axvline(float(got.mean()), color=YOURS, ls="--", lw=1, label="your mean")
        ax.set(xlabel="estimate from one sample", ylabel="density")
        ax.legend(fontsize=7, loc="upper right")
        spread = float(got.std()) if got.numel() > 1 else 0.0
        return (f"Your estimates have mean {float(got.mean()):.3f} and standard deviation {spread:.3f}; "
                f"right are {mean:.3f} and {math.sqrt(variance):.3f}.")

    return picture
