"""Gradients of L_K at the student's own samples, and of what is taken for it."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder.checks.iwae_calls import Sampled
from autograder.checks.iwae_truth import Pieces, Truth, log_mean_exp
from autograder.verdict import Finding, failed, passed, unjudged

__all__ = ["distance", "dreg_gradient", "find_gradient"]

LATER = "Judged once the value is right."
CLOSE = 4e-3  # relative, Frobenius norm; float32 gives some 1e-5


def distance(got: dict[str, Tensor | None], want: dict[str, Tensor], part: str = "") -> float:
    """Relative distance over the parameters whose names start with `part`; a gradient that is missing is zero."""
    names = [n for n in want if n.startswith(part)]
    off = sum(float(((0.0 if got[n] is None else got[n].double()) - want[n]).square().sum()) for n in names)
    size = sum(float(want[n].square().sum()) for n in names)
    return (off / max(size, 1e-30)) ** 0.5


def bound(p: Pieces, stopped: Pieces) -> Tensor:
    return log_mean_exp(p.log_w)


def dreg(p: Pieces, stopped: Pieces) -> Tensor:
    """Squared normalized weights on the path through z alone (Tucker et al. 2019, equation 8)."""
    return (torch.softmax(p.log_w, 0).detach().square() * stopped.log_w).sum(0)


def dreg_gradient(truth: Truth, noise: Tensor) -> dict[str, Tensor]:
    """The doubly reparameterized gradient for the encoder, that of L_K for the decoder."""
    encoder, decoder = truth.gradient(noise, dreg), truth.gradient(noise, bound)
    return {n: (encoder if n.startswith("encoder") else decoder)[n] for n in decoder}


WRONG = {
    "sample_without_gradient": (bound, True),
    "gradient_through_the_weights": (lambda p, stopped: (torch.softmax(p.log_w, 0) * p.log_w).sum(0), False),
    "posterior_without_gradient": (lambda p, stopped: log_mean_exp(stopped.log_w), False),
    "gradient_of_the_mean_of_logs": (lambda p, stopped: p.log_w.mean(0), False),
    "prior_and_posterior_without_gradient": (lambda p, stopped: log_mean_exp(p.log_px + (p.log_pz - p.log_qz).detach()), False),
    "log_px_without_gradient": (lambda p, stopped: log_mean_exp(p.log_px.detach() + p.log_pz - p.log_qz), False),
}


def find_gradient(call: Sampled, z: Tensor | None, value: Finding) -> Finding:
    """The gradient of the bound's sum with respect to encoder and decoder, at the latents z that the value stands on."""
    expected = "the gradient of L_K for encoder and decoder: the samples' gradients with the normalized weights"
    got = call.gradients
    if unknown := unjudged("gradient", value):
        return unknown
    if got.get("unattached"):
        return failed("gradient", "The bound carries no graph, so nothing can be trained on it.", "bound_without_graph", expected, "none")
    if "gradient_trouble" in got:
        return failed("gradient", str(got["gradient_trouble"]), None, expected)
    got = {name.removeprefix("grad_"): g for name, g in got.items()}
    if not all(g is None or bool(g.isfinite().all()) for g in got.values()):
        return failed("gradient", "The gradient of the bound is not finite.", None, expected, "NaN or infinity")
    if z is None:
        return failed("gradient", LATER, value.misconception, expected)
    noise = call.truth.noise(z)
    if distance(got, call.truth.gradient(noise, bound)) < CLOSE:
        return passed("gradient", "The gradient is that of L_K, for encoder and decoder.")
    if not value.passed:
        if same_direction(got, call.truth.gradient(noise, bound)):
            return passed("gradient", "The gradient is that of L_K but for a factor; the value is judged above.")
        return failed("gradient", LATER, value.misconception, expected)
    if distance(got, dreg_gradient(call.truth, noise)) < CLOSE:
        return passed("gradient", "The gradient is the doubly reparameterized one, which agrees with that of L_K on average.")
    for name, (objective, stop_z) in WRONG.items():
        if distance(got, call.truth.gradient(noise, objective, stop_z)) < CLOSE:
            return failed("gradient", "The bound has the right value but the wrong gradient.", name, expected, "another gradient")
    if not any(g is not None and bool(g.any()) for g in got.values()):
        return failed("gradient", "The gradient of the bound is zero everywhere.", "bound_without_graph", expected, "zero")
    encoder = any(g is not None and bool(g.any()) for name, g in got.items() if name.startswith("encoder"))
    name = None if encoder else "encoder_without_gradient"
    return failed("gradient", "The bound has the right value but the wrong gradient.", name, expected, "another gradient")


def same_direction(got: dict[str, Tensor | None], want: dict[str, Tensor]) -> bool:
    """Whether `got` is `want` times a number other than zero."""
    if any(g is None for g in got.values()):
        return False
    factor = sum(float((got[n] * want[n]).sum()) for n in want) / sum(float(w.square().sum()) for w in want.values())
    return factor != 0 and distance(got, {n: factor * w for n, w in want.items()}) < CLOSE
