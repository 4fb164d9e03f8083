"""The check of `log_prob`: value, numerical care and gradients against the closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.checks.vae_rsample import draw_parameters
from autograder.probes.gaussian import probe_log_prob
from autograder.verdict import Check, Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS", "close"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def draw_log_prob(rng: torch.Generator) -> dict[str, Any]:
    mu, log_sigma = draw_parameters(rng, rows=7, repeat=2)
    z = mu + log_sigma.exp() * 2 * torch.randn(mu.shape, generator=rng)
    far_mu, far_log_sigma = torch.randn(2, 784, generator=rng), torch.rand(2, 784, generator=rng) - 2.5
    sign = torch.where(torch.rand(2, 784, generator=rng) < 0.5, -1.0, 1.0)
    distance = sign * (20 + 30 * torch.rand(2, 784, generator=rng))  # exp(-20^2 / 2) is 0 in float32
    return {
        "mu": mu, "log_sigma": log_sigma, "z": z, "weights": torch.randn(mu.shape, generator=rng),
        "far_mu": far_mu, "far_log_sigma": far_log_sigma, "far_z": far_mu + far_log_sigma.exp() * distance,
    }


def log_density(z: Tensor, mu: Tensor, log_sigma: Tensor) -> Tensor:
    """log N(z; mu, sigma^2), elementwise, in float64 (Kingma & Welling 2014, appendix B)."""
    z, mu, log_sigma = z.double(), mu.double(), log_sigma.double()
    return -0.5 * ((z - mu) * (-log_sigma).exp()).square() - log_sigma - HALF_LOG_2PI


def mistaken_densities(z: Tensor, mu: Tensor, log_sigma: Tensor) -> dict[str, Tensor]:
    """What the values look like when one thing is wrong."""
    z, mu, s = z.double(), mu.double(), log_sigma.double()
    k2 = ((z - mu) * (-s).exp()).square()
    right = -0.5 * k2 - s - HALF_LOG_2PI
    table = {
        "missing_half": -k2 - s - HALF_LOG_2PI,
        "missing_log_2pi": -0.5 * k2 - s,
        "log_2pi_not_halved": -0.5 * k2 - s - 2 * HALF_LOG_2PI,
        "missing_normalizer": -0.5 * k2,
        "missing_log_sigma": -0.5 * k2 - HALF_LOG_2PI,
        "log_variance_for_log_sigma": -0.5 * (z - mu).square() * (-s).exp() - 0.5 * s - HALF_LOG_2PI,
        "variance_for_standard_deviation": -0.5 * (z - mu).square() * (-4 * s).exp() - 2 * s - HALF_LOG_2PI,
        "density_for_log_density": right.exp(),
        "density_negated": -right,
        "wrong_sign": 0.5 * k2 - s - HALF_LOG_2PI,
        "wrong_sign#log_sigma": -0.5 * k2 + s - HALF_LOG_2PI,
        "wrong_sign#log_2pi": -0.5 * k2 - s + HALF_LOG_2PI,
        "wrong_sign#both": -0.5 * k2 + s + HALF_LOG_2PI,
        "sigma_not_squared": -0.5 * (z - mu).square() * (-s).exp() - s - HALF_LOG_2PI,
        "difference_not_squared": -0.5 * (z - mu) * (-2 * s).exp() - s - HALF_LOG_2PI,
        "sigma_left_out": -0.5 * (z - mu).square() - HALF_LOG_2PI,
        "sigma_left_out#quadratic": -0.5 * (z - mu).square() - s - HALF_LOG_2PI,
        "log_sigma_halved": -0.5 * k2 - 0.5 * s - HALF_LOG_2PI,
        "log_sigma_doubled": -0.5 * k2 - 2 * s - HALF_LOG_2PI,
        "variance_for_standard_deviation#quadratic": -0.5 * (z - mu).square() * (-4 * s).exp() - s - HALF_LOG_2PI,
        "standard_normal_density": -0.5 * z.square() - HALF_LOG_2PI,
        "wrong_mean": -0.5 * (z * (-s).exp()).square() - s - HALF_LOG_2PI,
        "log_base_ten": right / math.log(10),
        "log_base_ten#two": right / math.log(2),
        "imprecise_constant": -0.5 * k2 - s - 0.5 * math.log(2 * 3.14),
        "missing_half#all": 2 * right,
    }
    for name, sigma in (("softplus_for_exp", s.exp().log1p()), ("precision_for_sigma", (-s).exp())):
        quadratic = -0.5 * ((z - mu) / sigma).square() - HALF_LOG_2PI
        table |= {name: quadratic - sigma.log(), f"{name}#quadratic": quadratic - s}
    jitter = s.exp() + 1e-3
    table["sigma_plus_constant"] = -0.5 * ((z - mu) / jitter).square() - jitter.log() - HALF_LOG_2PI
    sigma = torch.where(s > 0, s, torch.nan)
    table["log_sigma_for_sigma"] = -0.5 * ((z - mu) / sigma).square() - sigma.log() - HALF_LOG_2PI
    table["log_sigma_for_sigma#quadratic"] = -0.5 * ((z - mu) / s).square() - s - HALF_LOG_2PI
    table["log_sigma_for_sigma#abs"] = -0.5 * ((z - mu) / s).square() - s.abs().log() - HALF_LOG_2PI
    return table


def close(got: Tensor, want: Tensor, rtol: float = 1e-4, atol: float = 5e-5) -> bool:
    """Equal up to rounding wherever `want` is finite, which it has to be somewhere."""
    finite = want.isfinite()
    return bool(finite.any()) and bool(((got.double() - want).abs() <= atol + rtol * want.abs())[finite].all())


def judge_log_prob(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    if "positive" in outputs:
        # It fails where log_sigma < 0; its values where log_sigma > 0 may tell why.
        inputs = inputs | {"log_sigma": inputs["log_sigma"].abs()}
        want = log_density(inputs["z"], inputs["mu"], inputs["log_sigma"])
        finding = name_value(inputs, outputs["positive"], want) if outputs["positive"].shape == want.shape else None
        name = finding.misconception if finding else None
        return [failed("value", outputs["value_trouble"], name, "a value for every log_sigma", "an error where log_sigma < 0")]
    value, z = outputs["value"], inputs["z"]
    want = log_density(z, inputs["mu"], inputs["log_sigma"])
    shapes = [list(one.shape) for one in outputs["of_size_one"]]
    if not untouched(inputs, outputs["after"]):
        finding = failed("value", "Your code changes mu, log_sigma or z in place.", "changes_its_inputs")
    elif value.shape != z.shape:
        finding = name_shape(value, want)
    elif shapes != [[1, 3], [3, 1]]:
        finding = failed("value", "Dimensions of size one are lost.", "wrong_shape", "shapes [1, 3] and [3, 1]", f"shapes {shapes}")
    elif value.dtype != torch.float32:
        finding = failed("value", f"For float32 inputs the value is float32; yours is {value.dtype}.", "wrong_dtype")
    else:
        finding = name_value(inputs, value, want)
        if finding.passed and not close(outputs["again"], value.double()):
            finding = failed("value", "The second call with the same z gives another value.", "state_drifts")
    rest = [judge(inputs, outputs, finding.passed) for judge in (judge_far, judge_log_prob_gradient)]
    return [finding, *((f.passed and unjudged(f.behavior, finding)) or f for f in rest)]


def floors_that_fit(inputs: dict[str, Any], value: Tensor) -> list[float]:
    """Constants c for which the values are those of sigma + c or sqrt(sigma^2 + c), or of that in the quadratic term only."""
    z, mu, s = (inputs[k].double() for k in ("z", "mu", "log_sigma"))
    fits = []
    for c in (1e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0):
        for sigma in (s.exp() + c, ((2 * s).exp() + c).sqrt()):
            whole = log_density(z, mu, sigma.log())
            if close(value, whole) or close(value, whole + sigma.log() - s):
                fits.append(float(sigma.min()))
    return fits


def has_tiny_floor(inputs: dict[str, Any], value: Tensor) -> bool:
    """A stabilizer of at most 1e-5 on sigma, or 1e-6 on its square, is as good as rounding."""
    sigma = inputs["log_sigma"].double().exp()
    floors = [sigma + f for f in (1e-5, 1e-6, 1e-7)] + [(sigma.square() + f).sqrt() for f in (1e-6, 1e-7, 1e-8)]
    return any(close(value, log_density(inputs["z"], inputs["mu"], floor.log())) for floor in floors)


def name_shape(value: Tensor, want: Tensor) -> Finding:
    expected, got = f"shape {list(want.shape)}", f"shape {list(value.shape)}"
    names = {"log_prob_summed": want.sum(-1), "log_prob_averaged": want.mean(-1)}
    names |= {"log_prob_summed#all": want.sum(), "log_prob_averaged#all": want.mean(), "log_prob_summed#keep": want.sum(-1, keepdim=True)}
    names |= {"log_prob_summed#batch": want.sum(0), "log_prob_averaged#batch": want.mean(0)}
    for name, candidate in names.items():
        if value.shape == candidate.shape and close(value, candidate, rtol=1e-3):
            return failed("value", "log_prob must keep the shape of z.", name.split("#")[0], expected, got)
    name = "log_prob_summed" if value.dim() < want.dim() else "wrong_shape"
    return failed("value", f"log_prob must have the shape of z, {list(want.shape)}; yours has {list(value.shape)}.", name, expected, got)


def name_value(inputs: dict[str, Any], value: Tensor, want: Tensor) -> Finding:
    if close(value, want) or has_tiny_floor(inputs, value):
        return passed("value", "The log-density agrees with the closed form, element by element.")
    at = (value.double() - want).abs().nan_to_num(torch.inf).argmax()
    expected, got = f"log N(z) = {float(want.flatten()[at]):.4f}", f"{float(value.flatten()[at]):.4f}"
    for name, candidate in mistaken_densities(inputs["z"], inputs["mu"], inputs["log_sigma"]).items():
        if close(value, candidate):
            return failed("value", "The value is not the log-density.", name.split("#")[0], expected, got)
    offset = value.double() - want
    if float(offset.std()) < 1e-4 and float(offset.abs().mean()) > 1e-3:
        return failed("value", "Your value differs from the log-density by a constant.", "wrong_constant", expected, got)
    for floor in floors_that_fit(inputs, value):
        message = f"Your values are those of a larger sigma (about {floor:.2g} at its smallest)."
        return failed("value", message, "sigma_plus_constant", expected, got)
    near = want > log_density(inputs["mu"], inputs["mu"], inputs["log_sigma"]) - 4.5  # within three sigmas
    if bool(near.any()) and close(value[near], want[near], rtol=1e-3, atol=1e-3):
        return failed("value", "Your value is right near mu only.", "density_underflows", expected, got)
    if not value.isfinite().all():
        return failed("value", "Some of your values are NaN or infinite. Is a logarithm taken of something negative?", None, expected, got)
    return failed("value", "The value is not log N(z; mu, sigma^2).", None, expected, got)


def judge_far(inputs: dict[str, Any], outputs: dict[str, Any], exact: bool) -> Finding:
    want = log_density(inputs["far_z"], inputs["far_mu"], inputs["far_log_sigma"])
    if "far_trouble" in outputs:
        return failed("extremes", f"With 784 dimensions and z far from mu: {outputs['far_trouble']}")
    far = outputs["far"]
    expected, got = f"about {float(want.mean()):.0f} nats an element", f"about {float(far.double().mean()):.0f}"
    if exact and (far.shape != want.shape or not close(far, want)):
        return failed("extremes", "Far from mu your value is not the log-density.", "density_underflows", expected, got)
    # With a wrong formula only its numerical care is judged here.
    if not exact and not far.isfinite().all() and not outputs["value"].isnan().any():
        return failed("extremes", "Far from mu your value is infinite.", "density_underflows", expected, got)
    return passed("extremes", "It holds far from the mean, too.")


def judge_log_prob_gradient(inputs: dict[str, Any], outputs: dict[str, Any], exact: bool) -> Finding:
    expected = "gradients with respect to z, mu and log_sigma"
    if outputs.get("unattached"):
        return failed("gradient", "log_prob carries no gradient.", "log_prob_without_gradient", expected, "no gradient at all")
    if "gradient_trouble" in outputs:
        return failed("gradient", outputs["gradient_trouble"])
    names = ("mu", "log_sigma", "z")
    missing = [k for k in names if outputs[f"grad_{k}"] is None]
    if missing and (exact or len(missing) == 3):
        return failed("gradient", f"No gradient reaches {' and '.join(missing)}.", "log_prob_without_gradient", expected,
                      f"none for {' and '.join(missing)}")
    if exact:
        z, mu, s = (inputs[k].double() for k in ("z", "mu", "log_sigma"))
        k = (z - mu) * (-s).exp()
        slope = -k * (-s).exp()
        want = {"mu": -slope, "log_sigma": k.square() - 1, "z": slope}
        for name in names:
            if not close(outputs[f"grad_{name}"], inputs["weights"].double() * want[name], rtol=2e-3, atol=2e-3):
                return failed("gradient", f"The gradient with respect to {name} is not that of the log-density.", None)
    return passed("gradient", "The gradients are right.")

CHECKS = (
    Check(
        name="vae.gaussian_log_prob",
        target="ReparameterizedDiagonalGaussian",
        title="The log-density of a diagonal Gaussian, element by element",
        behaviors={"value": 2, "extremes": 1, "gradient": 1},
        draw=draw_log_prob,
        probe=probe_log_prob,
        judge=judge_log_prob,
        hints=HINTS["vae.gaussian_log_prob"],
        misconceptions=misconceptions("vae.gaussian_log_prob"),
        read_on="Lecture 01, the building blocks of the ELBO",
    ),
)
