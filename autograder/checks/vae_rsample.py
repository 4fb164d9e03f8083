"""The check of `rsample`: distribution, fresh noise and gradient, judged by epsilon = (z - mu) / sigma."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.probes.gaussian import probe_rsample
from autograder.verdict import Check, Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS", "draw_parameters"]

# One level per column: narrow enough for sigma + 1e-3 to show, and inside any clamp at +-10.
LEVELS = torch.tensor([-4.5, -3.0, -1.5, -0.7, 0.6, 1.4])

# What a mistaken reading of log_sigma makes of the standard deviation.
SCALES = {
    "log_variance_for_log_sigma": lambda s: (s / 2).exp(),
    "variance_for_standard_deviation": lambda s: (2 * s).exp(),
    "log_sigma_for_sigma": lambda s: s,
    "sigma_plus_constant": lambda s: s.exp() + 1e-3,
    "sigma_left_out": torch.ones_like,
    "softplus_for_exp": lambda s: s.exp().log1p(),
    "precision_for_sigma": lambda s: (-s).exp(),
}


def draw_parameters(rng: torch.Generator, rows: int, repeat: int) -> tuple[Tensor, Tensor]:
    """mu (rows, columns) and log_sigma of the same shape, which cycles through the levels along the columns."""
    mu = 2 * torch.randn(rows, repeat * len(LEVELS), generator=rng)
    levels = LEVELS + 0.2 * torch.rand(len(LEVELS), generator=rng) - 0.1
    return mu, levels.repeat(repeat).expand(rows, -1).clone()


def draw_rsample(rng: torch.Generator) -> dict[str, Any]:
    mu, log_sigma = draw_parameters(rng, rows=128, repeat=4)
    return {"mu": mu, "log_sigma": log_sigma, "weights": 1 + torch.rand(mu.shape, generator=rng), "calls": 6}


def judge_rsample(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    mu, draws = inputs["mu"], outputs["draws"]
    form = judge_form(inputs, outputs)
    if len(draws) != 2 * inputs["calls"] or any(d.numel() != mu.numel() for d in draws):
        return [form or failed("distribution", "Some of your samples have another shape.", "wrong_shape")]
    # Of another shape they are no answer, but their noise and gradient can be judged.
    deviation = torch.stack([d.double().reshape(mu.shape) for d in draws]) - mu.double()
    if not deviation.isfinite().all():
        return [failed("distribution", "Some of your samples are not finite numbers (NaN or infinity).", None,
                       "finite numbers", "NaN or infinity")]
    fresh = judge_noise(deviation, deviation * (-inputs["log_sigma"].double()).exp())
    distribution = judge_distribution(inputs, deviation, fresh.passed)
    gradient = judge_rsample_gradient(inputs, outputs, distribution.passed)
    first = form or distribution
    return [first, fresh, (gradient.passed and unjudged("gradient", first)) or gradient]


def judge_form(inputs: dict[str, Any], outputs: dict[str, Any]) -> Finding | None:
    """What is wrong with the samples before one looks at their values."""
    shape = list(inputs["mu"].shape)
    for other in [list(d.shape) for d in outputs["draws"] if list(d.shape) != shape][:1]:
        return failed("distribution", f"A sample must have the shape of mu, {shape}; yours has {other}.",
                      "wrong_shape", str(shape), str(other))
    shapes = [list(value.shape) for value in outputs["of_size_one"]]
    if shapes != [[1, 3], [3, 1]]:
        return failed("distribution", "Dimensions of size one are lost.", "wrong_shape", "shapes [1, 3] and [3, 1]", f"shapes {shapes}")
    if not untouched(inputs, outputs["after"]):
        return failed("distribution", "Your code changes mu or log_sigma in place.", "changes_its_inputs")
    dtype = outputs["draws"][0].dtype
    if dtype != torch.float32:
        return failed("distribution", f"For float32 parameters a sample is float32; yours is {dtype}.",
                      "wrong_dtype", "torch.float32", str(dtype))
    return None


def by_level(values: Tensor) -> Tensor:
    """(calls, rows, columns) -> (levels, n): what was drawn with the same log_sigma."""
    return values.unflatten(2, (-1, len(LEVELS))).movedim(3, 0).flatten(1)


def judge_noise(deviation: Tensor, noise: Tensor) -> Finding:
    """Is epsilon drawn anew for each element, each row and each call?

    Both arguments are (calls, rows, columns): z - mu, and that over sigma. Judged in units of the
    student's own mean and spread, so that a wrong sigma is not taken for wrong noise. Exact
    repetitions have a name; anything subtler shows in the mean squares of averages over rows or
    columns, which are chi-squared for independent noise (6.5 standard deviations of their normal
    approximation by Wilson and Hilferty 1931: a false alarm in less than 1e-7 of the checks).
    """
    differs = deviation.std(0) > 1e-4 * deviation.abs().mean(0)
    if not differs.any():
        if float(noise.std()) < 1e-3 or float(deviation.abs().max()) < 1e-6:
            return failed("noise", "Your samples have no noise in them.", "constant_epsilon",
                          "a new epsilon for each element", "the same value everywhere")
        return failed("noise", "Calling `rsample()` again gives the same values again.", "seeded_epsilon",
                      "different samples from call to call", "the same sample each time")
    own = deviation - deviation.mean(0)
    own = own / by_level(own).std(1).clamp_min(1e-12).repeat(own.shape[2] // len(LEVELS))
    if float(own.std(1).median()) < 0.02:
        return failed("noise", "All rows of the batch share one epsilon.", "one_epsilon_for_the_batch",
                      "a new epsilon for each row", "the same epsilon in each row")
    if float(own.std(2).median()) < 0.02:
        return failed("noise", "All latent dimensions of an example share one epsilon.", "one_epsilon_for_all_dimensions",
                      "a new epsilon for each dimension", "the same epsilon in each column")
    distances = (own[:, None] - own[None]).abs().flatten(2).mean(-1)
    if float((distances + 9 * torch.eye(len(own), dtype=own.dtype)).min()) < 0.02:
        return failed("noise", "Another call, or another instance, repeats samples that were drawn before.", "seeded_epsilon",
                      "different samples from call to call", "a repeated sample")
    for dim, what in ((1, "rows of the batch"), (2, "latent dimensions")):
        if chi_squared_score(own.mean(dim) * math.sqrt(own.shape[dim]) / own.std()) > 6.5:
            return failed("noise", f"The noise of different {what} is correlated; it must be independent.", None,
                          "independent noise", f"noise shared between {what}")
    return passed("noise", "Each element has noise of its own, new in each call.")


def chi_squared_score(values: Tensor) -> float:
    """How many standard deviations the mean square of standard normal `values` is too large."""
    n = values.numel()
    return float((values.square().mean() ** (1 / 3) - (1 - 2 / (9 * n))) / math.sqrt(2 / (9 * n)))


def judge_distribution(inputs: dict[str, Any], deviation: Tensor, fresh: bool) -> Finding:
    """Mean, standard deviation and shape of epsilon, level of sigma by level."""
    noise = by_level(deviation * (-inputs["log_sigma"].double()).exp())
    n = noise.shape[1]
    mean, spread = noise.mean(1), noise.std(1)
    expected = "mean of (z - mu)/sigma 0, standard deviation 1"
    got = f"mean {float(noise.mean()):+.2f}, standard deviation {float(noise.std()):.2f}"
    if float(noise.std()) < 1e-3:
        return failed("distribution", "Your samples have no spread.", "constant_epsilon", expected, got)
    if not fresh:
        # Shared or repeated noise leaves few draws to average: only a gross mistake is sure.
        wrong = float(spread.max()) > 3 or float(spread.min()) < 1 / 3
        return name_scale(inputs, deviation, expected, got) if wrong else passed("distribution")
    if float((spread - 1).abs().max()) > 6.5 / math.sqrt(2 * n):
        return name_scale(inputs, deviation, expected, got)
    if float(mean.abs().max()) > 6.5 / math.sqrt(n):
        return failed("distribution", "Your samples are not centered on mu.", "wrong_mean", expected, got)
    # Kolmogorov and Smirnov: the bound is exceeded with probability 2 exp(-2 n D^2) = 2e-8.
    ordered = noise.flatten().sort().values
    cdf = 0.5 * torch.erfc(-ordered / math.sqrt(2))
    steps = torch.arange(1, len(ordered) + 1, dtype=torch.float64) / len(ordered)
    if float((cdf - steps).abs().max()) > math.sqrt(9.2 / len(ordered)) + 1 / len(ordered):
        largest = float(noise.abs().max())
        return failed("distribution", "The noise has the right mean and spread but is not Gaussian.",
                      "uniform_epsilon" if 1.6 < largest < 1.8 else "not_gaussian", "epsilon ~ N(0, 1)", f"largest |epsilon| {largest:.2f}")
    return passed("distribution", "Your samples follow N(mu, sigma^2).")


def name_scale(inputs: dict[str, Any], deviation: Tensor, expected: str, got: str) -> Finding:
    """Which mistake gives samples this spread, level by level?"""
    log_sigma = inputs["log_sigma"].double()
    for name, sigma in SCALES.items():
        wrong = by_level(deviation / sigma(log_sigma))
        if float((wrong.std(1) - 1).abs().max()) < 0.05 and float(wrong.mean(1).abs().max()) < 0.08:
            return failed("distribution", "The spread of your samples is not sigma.", name, expected, got)
    noise = by_level(deviation * (-log_sigma).exp())
    center, spread = noise.mean(1, keepdim=True), noise.std(1)
    if float(((noise.std(1) / spread.mean()) - 1).abs().max()) < 0.05:
        # One factor for every sigma: epsilon itself has the wrong spread. A uniform one has light tails.
        uniform = float((noise - center).abs().max() / spread.mean()) < 1.8
        return failed("distribution", "Your epsilon does not have mean 0 and standard deviation 1.",
                      "uniform_epsilon" if uniform else "wrong_epsilon", expected, got)
    centered = by_level(deviation + inputs["mu"].double()) * (-by_level(log_sigma.expand_as(deviation))).exp()
    if float((centered.std(1) - 1).abs().max()) < 0.05 and float(centered.mean(1).abs().max()) < 0.08:
        return failed("distribution", "mu is missing from your samples.", "wrong_mean", expected, got)
    measured = by_level(deviation).var(1)
    sigma = by_level(log_sigma.expand_as(deviation)).exp().mean(1)
    for power in (1, 2):  # sigma + c, or sqrt(sigma^2 + c)
        c = float((measured.sqrt() ** power - sigma**power)[:3].mean())
        floored = (sigma**power + c).clamp_min(1e-9) ** (1 / power)
        if c > 3e-4 and float((measured.sqrt() / floored - 1).abs().max()) < 0.06:
            return failed("distribution", "The spread of your samples has a floor.", "sigma_plus_constant", expected, got)
    return failed("distribution", "The spread of your samples is not sigma = exp(log_sigma).", None, expected, got)


def judge_rsample_gradient(inputs: dict[str, Any], outputs: dict[str, Any], exact: bool) -> Finding:
    """dz/dmu = 1 and dz/dlog_sigma = sigma * epsilon = z - mu."""
    expected = "dz/dmu = 1, dz/dlog_sigma = z - mu"
    if outputs.get("unattached"):
        return failed("gradient", "Your sample carries no gradient.", "sample_without_gradient", expected, "no gradient at all")
    if "gradient_trouble" in outputs:
        return failed("gradient", outputs["gradient_trouble"])
    if "grad_mu" not in outputs:
        return failed("gradient", "The gradient could not be judged, because the sample has the wrong shape.")
    missing = [k for k in ("mu", "log_sigma") if outputs[f"grad_{k}"] is None or not outputs[f"grad_{k}"].any()]
    if missing:
        return failed("gradient", f"No gradient reaches {' and '.join(missing)}.", "gradient_cut_off", expected,
                      f"no gradient for {' and '.join(missing)}")
    weights, mu = inputs["weights"].double(), inputs["mu"].double()
    dz_dmu = outputs["grad_mu"].double() / weights
    dz_ds = outputs["grad_log_sigma"].double() / weights
    want = outputs["z"].double() - mu
    wrong_mu = float((dz_dmu - 1).abs().max()) > 2e-3
    off = (dz_ds - want).abs() > 2e-3 * want.abs() + 2e-3 * inputs["log_sigma"].double().exp()
    if exact and (wrong_mu or bool(off.any())):
        return failed("gradient", "The gradient of your sample is not that of mu + sigma * epsilon.", None, expected,
                      f"dz/dmu about {float(dz_dmu.median()):.3f}")
    finite = bool(dz_dmu.isfinite().all() and dz_ds.isfinite().all())
    return passed("gradient", "The gradient reaches mu and log_sigma.") if finite else failed(
        "gradient", "The gradient of your sample is not finite.", None, expected, "NaN or infinity")


CHECKS = (
    Check(
        name="vae.gaussian_rsample",
        target="ReparameterizedDiagonalGaussian",
        title="Samples of a diagonal Gaussian that carry gradients",
        behaviors={"distribution": 2, "noise": 1, "gradient": 1},
        draw=draw_rsample,
        probe=probe_rsample,
        judge=judge_rsample,
        hints=HINTS["vae.gaussian_rsample"],
        misconceptions=misconceptions("vae.gaussian_rsample"),
        read_on="Lecture 01, the reparameterization trick",
    ),
)
