"""The check of VIMCO: the bound, the learning signals, and the gradient through the weights. Nothing is random in it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from autograder.checks.discrete_findings import UNJUDGED, changed, check, fail, first_name, near, slopes
from autograder.checks.discrete_truth import leave_one_out_mean
from autograder.checks.vae_calls import shown
from autograder.probes.discrete import probe_vimco
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]


def draw_vimco(rng: torch.Generator) -> dict[str, Any]:
    log_w = 1.5 * torch.randn(4, 5, generator=rng) - 3 * torch.rand(1, 5, generator=rng)
    return {"log_w": log_w, "log_q": -0.5 - torch.rand(4, 5, generator=rng), "weights": 0.5 + torch.rand(5, generator=rng)}


def bound(log_w: Tensor) -> Tensor:
    """L_S = log (1/S) sum_s w_s, (batch,)."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def vimco_signals(log_w: Tensor) -> Tensor:
    """L_S minus L_S with log w_j replaced by the mean of the others (Mnih and Rezende 2016, equation 8), (S, batch)."""
    replaced = torch.where(torch.eye(len(log_w), dtype=torch.bool)[..., None], leave_one_out_mean(log_w), log_w)  # (j, s, batch)
    return bound(log_w) - torch.stack([bound(r) for r in replaced])


def arithmetic_signals(log_w: Tensor) -> Tensor:
    """The same with w_j replaced by the mean of the other weights: their own bound."""
    rows = [torch.cat([log_w[:j], log_w[j + 1 :]]) for j in range(len(log_w))]
    return bound(log_w) - torch.stack([bound(r) for r in rows])


def signal_candidates(log_w: Tensor) -> dict[str, Tensor]:
    whole, samples = bound(log_w), len(log_w)
    right = vimco_signals(log_w)
    with_own = log_w.mean(0)
    own = torch.stack([bound(torch.cat([log_w[:j], with_own[None], log_w[j + 1 :]])) for j in range(samples)])
    own_sum = torch.stack([bound(torch.cat([log_w[:j], (log_w.sum(0) / (samples - 1))[None], log_w[j + 1 :]])) for j in range(samples)])
    return {
        "log_prob_detached": torch.zeros_like(right),
        "no_baseline": whole.expand_as(right),
        "signals_averaged": right / samples,
        "baseline_contains_its_own_sample": whole - own,
        "baseline_contains_its_own_sample#divisor": whole - own_sum,
        "baseline_contains_its_own_sample#mean": whole - with_own.expand_as(right),
        "signals_of_the_log_weights": log_w - leave_one_out_mean(log_w),
        "signals_of_the_log_weights#mean": (log_w - leave_one_out_mean(log_w)) / samples,
        "signals_of_the_log_weights#bound": whole - leave_one_out_mean(log_w),
        "sign_flipped": -right,
        "weights_for_signals": log_w.softmax(0),
    }


def judge_vimco(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    log_w, log_q, weights = (inputs[name].double() for name in ("log_w", "log_q", "weights"))
    want, got, right = bound(log_w), outputs["value"], vimco_signals(log_w)
    value = judge_bound(inputs, outputs, want)
    if got.shape != want.shape:
        return [value]
    path = judge_path(outputs, weights, log_w, log_q, value)
    if path.misconception == "signals_not_detached" and not value.passed:  # it explains the value, too
        value = fail("bound", value.message, got, want, path.misconception)
    signals = outputs.get("grad_log_q")
    if not isinstance(signals, Tensor):
        return [value, path, failed("signals", "No gradient reaches log_q.", "log_prob_detached", shown(right), "none")]
    signals = signals.double() / weights
    if near(signals, right, 1e-3) or near(signals, arithmetic_signals(log_w), 1e-3):
        return [value, path, passed("signals", "Each sample has its own learning signal.")]
    label = first_name(signals, signal_candidates(log_w))
    return [value, path, fail("signals", "The learning signals, the gradient with respect to log_q, are wrong.", signals, right, label)]


def judge_bound(inputs: dict[str, Any], outputs: dict[str, Any], want: Tensor) -> Finding:
    log_w, log_q, got, right = inputs["log_w"].double(), inputs["log_q"].double(), outputs["value"], vimco_signals(inputs["log_w"].double())
    if got.shape != want.shape:
        label = "averaged_over_the_batch" if got.numel() == 1 else "not_reduced" if got.shape == log_w.shape else None
        return failed("bound", "One bound for each example is asked for, shape [batch].", label, shown(want), shown(got))
    if changed(outputs["after"], [inputs["log_w"], inputs["log_q"]]):
        return failed("bound", "Your code changes its arguments in place.", "changes_its_inputs")
    if not near(got, want):
        return fail(
            "bound",
            "The value is not the bound.",
            got,
            want,
            first_name(
                got,
                {
                    "elbo_for_the_bound": log_w.mean(0),
                    "log_s_missing": log_w.logsumexp(0),
                    "bound_negated": -want,
                    "logsumexp_over_the_batch": (log_w.logsumexp(1) - math.log(len(log_w))).mean().expand_as(want),
                    "value_is_a_surrogate": want + (right * log_q).sum(0),
                    "value_is_a_surrogate#alone": (right * log_q).sum(0),
                },
            ),
        )
    if "far_trouble" in outputs or not near(outputs["far"], want - 2000):
        return failed(
            "bound",
            "With log-weights of -2000 the bound is wrong.",
            "weights_underflow",
            shown(want - 2000),
            shown(outputs.get("far", got)),
        )
    return passed("bound", "The value is the bound, for tiny weights, too.")


def judge_path(outputs: dict[str, Any], weights: Tensor, log_w: Tensor, log_q: Tensor, value: Finding) -> Finding:
    want, got = weights * log_w.softmax(0), outputs.get("grad_log_w")
    if near(got, want, 1e-3):
        return passed("path", "The gradient with respect to log_w is the normalized weights.")
    if not isinstance(got, Tensor):
        return failed("path", "No gradient reaches log_w.", "path_missing", shown(want), "none")
    if not value.passed and value.misconception not in (None, "value_is_a_surrogate"):
        return passed("path", "A gradient reaches log_w.")
    (whole,) = slopes(lambda w: bound(w) + (vimco_signals(w) * log_q).sum(0), weights, log_w)
    (alone,) = slopes(lambda w: (vimco_signals(w) * log_q).sum(0), weights, log_w)
    label = first_name(got, {"signals_not_detached": whole, "signals_not_detached#alone": alone, "path_missing": torch.zeros_like(want)})
    return (
        fail("path", "The gradient with respect to log_w must be the normalized weights.", got, want, label)
        if label
        else failed("path", UNJUDGED)
    )


CHECKS = (
    check(
        "discrete.vimco",
        "vimco",
        "VIMCO's bound and its learning signals",
        {"bound": 1, "path": 1, "signals": 2},
        draw_vimco,
        probe_vimco,
        judge_vimco,
        "section 9, several samples, one bound",
    ),
)
