"""The checks of the Bernoulli log-likelihood and of the closed-form KL of two diagonal Gaussians."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.checks.vae_calls import close, shown
from autograder.probes.functions import probe_bernoulli, probe_gaussian_kl
from autograder.verdict import Check, Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS"]


def name(behavior: str, what: str, got: Tensor, want: Tensor, candidates: dict[str, Tensor]) -> Finding:
    """A failed finding with the name of the first candidate that agrees."""
    expected = shown(want)
    for label, candidate in candidates.items():
        if close(got, candidate):
            return failed(behavior, f"{what} is wrong.", label.split("#")[0], expected, shown(got))
    label = None
    if got.shape != want.shape:
        label = "summed_over_the_batch" if got.numel() == 1 else "not_summed" if got.shape[:1] == want.shape[:1] else None
        return failed(behavior, f"{what} must have one value for each example.", label, expected, shown(got))
    return failed(behavior, f"{what} is wrong.", label, expected, shown(got))


def judge_gradients(outputs: dict[str, Any], want: dict[str, Tensor], value: Finding) -> Finding:
    """Gradients of the sum over examples; of a value with a known mistake, only that there are some."""
    exact = value.passed
    expected = f"gradients for {', '.join(want)}"
    if "gradient_trouble" in outputs:
        return failed("gradient", outputs["gradient_trouble"])
    if outputs.get("unattached"):
        return failed("gradient", "The result carries no gradient.", "without_gradient", expected, "none")
    missing = [n for n in want if outputs[f"grad_{n}"] is None]
    if missing and (exact or len(missing) == len(want)):
        return failed("gradient", f"No gradient reaches {', '.join(missing)}.", "without_gradient", expected, "none for these")
    if exact and not all(close(outputs[f"grad_{n}"], w, rtol=1e-3) for n, w in want.items()):
        return failed("gradient", "The value is right but its gradient is not.", "without_gradient", expected, "another gradient")
    return unjudged("gradient", value) or passed("gradient", "The gradients are right." if exact else "It carries gradients.")


# --- Bernoulli -----------------------------------------------------------------------------------


def draw_bernoulli(rng: torch.Generator) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for kind, shape, scale in (("images", (5, 1, 28, 28), 2.0), ("flat", (6, 784), 2.0), ("far", (4, 784), 120.0)):
        inputs[f"{kind}_logits"] = scale * torch.randn(shape, generator=rng)
        inputs[f"{kind}_x"] = (torch.rand(shape, generator=rng) < 0.4).float()
    return inputs


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x), (batch,): minus the binary cross-entropy, summed over all dimensions but the first."""
    return -F.binary_cross_entropy_with_logits(logits.double(), x.double(), reduction="none").flatten(1).sum(1)


def judge_bernoulli(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    value = judge_bernoulli_value(inputs, outputs, "flat")
    if value.passed:
        value = judge_bernoulli_value(inputs, outputs, "images")
    if value.passed and not untouched(inputs, outputs["after"]):
        value = failed("value", "Your code changes logits or x in place.", "changes_its_inputs")
    want = bernoulli(inputs["far_logits"], inputs["far_x"])
    if "far_trouble" in outputs:
        far = failed("extremes", outputs["far_trouble"])
    elif value.passed and not close(outputs["far"], want):
        far = failed("extremes", "With large logits the value is wrong.", "sigmoid_saturates", shown(want), shown(outputs["far"]))
    elif not outputs["far"].isfinite().all():
        far = failed("extremes", "With large logits the value is not finite.", "sigmoid_saturates", shown(want), shown(outputs["far"]))
    else:
        far = unjudged("extremes", value) or passed("extremes", "Large logits are no trouble.")
    logits, x = inputs["flat_logits"].double(), inputs["flat_x"].double()
    return [value, far, judge_gradients(outputs, {"logits": x - logits.sigmoid()}, value)]


def judge_bernoulli_value(inputs: dict[str, Any], outputs: dict[str, Any], kind: str) -> Finding:
    if f"{kind}_trouble" in outputs:
        where = "With images of shape (batch, 1, 28, 28): " if kind == "images" else ""
        return failed("value", where + outputs[f"{kind}_trouble"])
    logits, x = inputs[f"{kind}_logits"].double(), inputs[f"{kind}_x"].double()
    got, want = outputs[kind], bernoulli(logits, x)
    if close(got, want):
        return passed("value", "log p(x) is right for each example, for images and for flat pixels.")
    pixels = x[0].numel()
    return name("value", "log p(x)", got, want, {
        "bernoulli_negated": -want, "mean_over_pixels": want / pixels, "mean_over_pixels#negated": -want / pixels,
        "summed_over_the_batch": want.sum(), "summed_over_the_batch#mean": want.mean(),
        "summed_over_the_batch#negated": -want.sum(), "mean_over_pixels#all": want.mean() / pixels,
        "mean_over_pixels#both": -want.mean() / pixels,
        "logits_for_probabilities": bernoulli(logits.sigmoid(), x), "logits_for_probabilities#negated": -bernoulli(logits.sigmoid(), x),
        "only_the_ones": (x * F.logsigmoid(logits)).flatten(1).sum(1),
        "arguments_swapped": bernoulli(x, logits), "arguments_swapped#probabilities": bernoulli(x, logits.sigmoid()),
    })


# --- the KL --------------------------------------------------------------------------------------


def draw_gaussian_kl(rng: torch.Generator) -> dict[str, Any]:
    def normal(scale: float) -> Tensor:
        return scale * torch.randn(6, 5, generator=rng)

    return {"mu_q": normal(1.5), "log_sigma_q": normal(0.5) - 0.3, "mu_p": normal(0.8), "log_sigma_p": normal(0.4) + 0.2}


def gaussian_kl_terms(mu_q: Tensor, log_sigma_q: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL(q||p) for each latent: E_q[log q - log p] with E_q[(z - mu_p)^2] = sigma_q^2 + (mu_q - mu_p)^2."""
    return log_sigma_p - log_sigma_q + 0.5 * ((2 * log_sigma_q).exp() + (mu_q - mu_p).square()) * (-2 * log_sigma_p).exp() - 0.5


def judge_gaussian_kl(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    mq, sq, mp, sp = (inputs[n].double() for n in ("mu_q", "log_sigma_q", "mu_p", "log_sigma_p"))
    terms = gaussian_kl_terms(mq, sq, mp, sp)
    want, got, zero = terms.sum(-1), outputs["value"], torch.zeros_like(mq)
    if not untouched(inputs, outputs["after"]):
        value = failed("value", "Your code changes its arguments in place.", "changes_its_inputs")
    elif close(got, want):
        value = passed("value", "The KL agrees with the closed form for each example.")
    elif got.shape == outputs["again"].shape and not torch.equal(got, outputs["again"]):
        value = failed("value", "Two calls with the same arguments differ.", "monte_carlo_for_closed_form", shown(want), shown(got))
    else:
        half = gaussian_kl_terms(mq, sq / 2, mp, sp / 2)
        table = {
            "kl_reversed": gaussian_kl_terms(mp, sp, mq, sq).sum(-1), "kl_sign_flipped": -want,
            "prior_ignored": gaussian_kl_terms(mq, sq, zero, zero).sum(-1), "mean_over_latents": terms.mean(-1),
            "summed_over_the_batch": want.sum(), "summed_over_the_batch#mean": want.mean(), "mean_over_latents#all": terms.mean(),
            "not_summed": terms, "log_variance_for_log_sigma": half.sum(-1),
            "variance_for_standard_deviation": (sp - sq + 0.5 * (sq.exp() + (mq - mp).square()) * (-sp).exp() - 0.5).sum(-1),
            "missing_half_in_kl": 2 * want, "missing_half_in_kl#quadratic": (2 * terms - (sp - sq) + 0.5).sum(-1),
            "missing_half_in_kl#all": (2 * terms - (sp - sq)).sum(-1), "missing_half_in_kl#two": (terms + sp - sq).sum(-1),
            "constant_in_kl": (terms + 0.5).sum(-1), "constant_in_kl#one": (terms - 0.5).sum(-1), "constant_in_kl#once": want + 2.0,
            "summed_over_the_batch#columns": terms.sum(0),
        }
        value = name("value", "The KL", got, want, table)
    slope_mu = (mq - mp) * (-2 * sp).exp()
    ratio = (2 * (sq - sp)).exp()
    slope_p = 1 - ratio - (mq - mp).square() * (-2 * sp).exp()
    wanted = {"mu_q": slope_mu, "log_sigma_q": ratio - 1, "mu_p": -slope_mu, "log_sigma_p": slope_p}
    return [value, judge_gradients(outputs, wanted, value)]


CHECKS = (
    Check(
        name="vae.bernoulli",
        target="bernoulli_log_likelihood",
        title="The Bernoulli log-likelihood through binary cross-entropy",
        behaviors={"value": 1, "extremes": 1, "gradient": 1},
        draw=draw_bernoulli,
        probe=probe_bernoulli,
        judge=judge_bernoulli,
        hints=HINTS["vae.bernoulli"],
        misconceptions=misconceptions("vae.bernoulli"),
        read_on="Lecture 01, Bernoulli pixels",
    ),
    Check(
        name="vae.gaussian_kl",
        target="gaussian_kl",
        title="The KL of two diagonal Gaussians in closed form",
        behaviors={"value": 2, "gradient": 1},
        draw=draw_gaussian_kl,
        probe=probe_gaussian_kl,
        judge=judge_gaussian_kl,
        hints=HINTS["vae.gaussian_kl"],
        misconceptions=misconceptions("vae.gaussian_kl"),
        read_on="Lecture 01, what the KL term does",
    ),
)
