"""The checks of the negative ELBO with any estimator in it and of measuring bias and variance. Nothing is random in them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autograder.checks.discrete_blocks import kl
from autograder.checks.discrete_findings import changed, check, fail, first_name, near, slopes
from autograder.checks.vae_calls import shown
from autograder.probes.discrete import probe_bias_and_variance, probe_negative_elbo
from autograder.probes.discrete_costs import CostModel, combine
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

# --- the negative ELBO ----------------------------------------------------------------------------


def draw_negative_elbo(rng: torch.Generator) -> dict[str, Any]:
    """A linear model, and an estimator that reads f at a few codes in given shares: only how the parts are joined is judged."""
    batch, pixels, latents, classes = 5, 12, 2, 3
    chosen = torch.randint(classes, (4, batch, latents), generator=rng)
    return {
        "x": (torch.rand(batch, pixels, generator=rng) < 0.5).float(),
        "encoder": 0.6 * torch.randn(pixels, latents, classes, generator=rng),
        "decoder": torch.randn(latents * classes, pixels, generator=rng),
        "codes": torch.nn.functional.one_hot(chosen, classes).float(),
        "shares": (torch.rand(4, batch, generator=rng) + 0.2) / 2,
        "weights": 0.5 + torch.rand(batch, generator=rng),
    }


def parts_of(inputs: dict[str, Any], encoder: Tensor, decoder: Tensor) -> dict[str, Tensor]:
    """The estimated cost, the KL, and what the estimator makes of a sampled KL, each (batch,)."""
    x, codes, shares = (inputs[name].double() for name in ("x", "codes", "shares"))
    model = CostModel(encoder, decoder)
    logits = model.logits(x)

    def sampled(z: Tensor) -> Tensor:
        return model.cost(x)(z) + (z * logits.log_softmax(-1)).sum((-2, -1)) + logits.shape[1] * math.log(logits.shape[2])

    cost, both = combine(model.cost(x), logits, codes, shares), combine(sampled, logits, codes, shares)
    return {"cost": cost, "kl": kl(logits), "both": both}


def judge_loss(inputs: dict[str, Any], outputs: dict[str, Any]) -> Finding:
    encoder, decoder, weights = inputs["encoder"].double(), inputs["decoder"].double(), inputs["weights"].double()
    part, got = parts_of(inputs, encoder, decoder), outputs["loss"]
    cost, divergence, both = part["cost"], part["kl"], part["both"]
    want = cost + divergence
    if got.shape != want.shape:
        label = "averaged_over_the_batch" if got.numel() == 1 else None
        return failed("loss", "One number for each example is asked for, shape [batch].", label, shown(want), shown(got))
    if not near(got, want) and not near(got, both):
        return fail(
            "loss",
            "The loss is not the estimated cost plus the KL.",
            got,
            want,
            first_name(
                got,
                {
                    "kl_counted_twice": both + divergence,
                    "kl_counted_twice#closed": cost + 2 * divergence,
                    "kl_forgotten": cost,
                    "kl_sign_flipped": cost - divergence,
                    "elbo_for_the_loss": -want,
                    "cost_sign_flipped": divergence - cost,
                    "kl_averaged_over_the_batch": cost + divergence.mean(),
                },
            ),
        )
    if "gradient_trouble" in outputs:
        return failed("loss", str(outputs["gradient_trouble"]))
    slope = slopes(lambda e, d: parts_of(inputs, e, d)["cost"] + parts_of(inputs, e, d)["kl"], weights, encoder, decoder)
    other = slopes(lambda e, d: parts_of(inputs, e, d)["both"], weights, encoder, decoder)
    grads = [outputs.get("grad_encoder"), outputs.get("grad_decoder")]
    if any(all(near(g, w, 1e-3) for g, w in zip(grads, wanted)) for wanted in (slope, other)):
        return passed("loss", "The loss is the estimated cost plus the KL, with the right gradients.")
    only_cost = slopes(lambda e, d: parts_of(inputs, e, d)["cost"], weights, encoder, decoder)
    label = "kl_detached" if near(grads[0], only_cost[0], 1e-3) else "without_gradient" if grads[0] is None else None
    return failed("loss", "The value of the loss is right, and its gradient is not.", label)


def judge_diagnostics(inputs: dict[str, Any], outputs: dict[str, Any]) -> Finding:
    if "diagnostics_trouble" in outputs:
        return failed("diagnostics", str(outputs["diagnostics_trouble"]))
    part = parts_of(inputs, inputs["encoder"].double(), inputs["decoder"].double())
    log_px, divergence = -part["cost"], part["kl"]
    found = {name: outputs[name].double() for name in ("elbo", "log_px", "kl")}
    for name, want in (("log_px", log_px), ("kl", divergence), ("elbo", found["log_px"] - found["kl"])):
        if found[name].numel() == 1:
            return fail("diagnostics", f'diagnostics["{name}"] is a single number.', found[name], want, "scalar_diagnostics")
        if near(found[name], want) or (name == "kl" and near(found[name], part["both"] - part["cost"])):
            continue
        wrong = {
            "log_px": {"cost_for_log_px": part["cost"], "loss_for_log_px": -part["cost"] - divergence},
            "kl": {"kl_negated": -divergence},
            "elbo": {"loss_for_elbo": divergence - log_px, "kl_added_to_elbo": log_px + divergence, "elbo_is_log_px": log_px},
        }[name]
        message = " It is the KL of exercise 1a: put that right first." if name == "kl" else ""
        return fail("diagnostics", f'diagnostics["{name}"] is wrong.{message}', found[name], want, first_name(found[name], wrong))
    if any(outputs[f"{name}_attached"] for name in ("elbo", "log_px", "kl")):
        return failed(
            "diagnostics", "The diagnostics still carry the graph.", "diagnostics_carry_the_graph", "detached tensors", "requires_grad=True"
        )
    return passed("diagnostics", "elbo = log_px - kl for each example, detached.")


def judge_negative_elbo(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    return [judge_loss(inputs, outputs), judge_diagnostics(inputs, outputs)]


# --- bias and variance ----------------------------------------------------------------------------


def draw_bias_and_variance(rng: torch.Generator) -> dict[str, Any]:
    exact = torch.randn(3, 4, generator=rng)
    return {"draws": exact + 0.3 * torch.randn(3, 4, generator=rng) + 0.8 * torch.randn(6, 3, 4, generator=rng), "exact": exact}


def judge_bias_and_variance(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    draws, exact = inputs["draws"].double(), inputs["exact"].double()
    n, each, bias = len(draws), draws.var(0), draws.mean(0) - exact
    variance, naive = each.sum(), bias.square().sum()
    want = naive - variance / n
    got_variance, got_bias = (
        outputs["variance"].reshape(()) if outputs["variance"].numel() == 1 else outputs["variance"],
        outputs["squared_bias"],
    )
    got_bias = got_bias.reshape(()) if got_bias.numel() == 1 else got_bias
    mse = (draws - exact).square().flatten(1).sum(1).mean()
    if changed(outputs["after"], [inputs["draws"], inputs["exact"]]):
        return [failed("variance", "Your code changes its arguments in place.", "changes_its_inputs")]
    if near(got_variance, variance):
        first = passed("variance", "The variance is right.")
    else:
        first = fail(
            "variance",
            "The variance is wrong.",
            got_variance,
            variance,
            first_name(
                got_variance,
                {
                    "divided_by_n": variance * (n - 1) / n,
                    "entries_averaged": each.mean(),
                    "entries_not_summed": each,
                    "variance_over_the_entries": draws.flatten(1).var(1).mean(),
                    "variance_over_the_entries#all": draws.var(),
                    "variance_of_the_mean": variance / n,
                    "standard_deviation_for_variance": variance.sqrt(),
                    "standard_deviation_for_variance#sum": draws.std(0).sum(),
                    "error_for_variance": mse,
                    "error_for_variance#n-1": mse * n / (n - 1),
                },
            ),
        )
    if near(got_bias, want):
        second = passed("bias", "The squared bias is right, without what sampling noise adds to it.")
    else:
        own = naive - got_variance.double() / n if got_variance.numel() == 1 else want
        second = fail(
            "bias",
            "The squared bias is wrong.",
            got_bias,
            want,
            first_name(
                got_bias,
                {
                    "noise_not_subtracted": naive,
                    "bias_not_squared": naive.sqrt(),
                    "bias_not_squared#entries": bias.abs().sum(),
                    "bias_not_squared#signed": bias.sum(),
                    "noise_subtracted_n_times": naive - variance,
                    "entries_averaged": naive / bias.numel(),
                    "entries_averaged#noise": want / bias.numel(),
                    "entries_not_summed": bias.square() - each / n,
                    "error_for_bias": mse,
                    "noise_added": naive + variance / n,
                },
            ),
        )
        if not first.passed and near(got_bias, own):
            second = passed("bias", "The squared bias follows from your variance.")
    return [first, second]


CHECKS = (
    check(
        "discrete.negative_elbo",
        "negative_elbo",
        "The negative ELBO with any estimator in it",
        {"loss": 2, "diagnostics": 1},
        draw_negative_elbo,
        probe_negative_elbo,
        judge_negative_elbo,
        "section 1",
    ),
    check(
        "discrete.bias_variance",
        "bias_and_variance",
        "Squared bias and variance of an estimator",
        {"variance": 1, "bias": 2},
        draw_bias_and_variance,
        probe_bias_and_variance,
        judge_bias_and_variance,
        "section 6, measuring an estimator",
    ),
)
