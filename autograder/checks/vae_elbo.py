"""The check of the diagnostics that `VariationalInference` returns: log p(x|z), the KL and the ELBO of each example."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.checks.vae_calls import Call, Calls, close, judge_either, over_calls, shown
from autograder.checks.vae_truth import draw_inference
from autograder.probes.inference import probe_inference
from autograder.verdict import Check, Finding, failed, passed

__all__ = ["CHECKS", "find_elbo", "find_kl", "find_log_px"]

UNKNOWN = "Judged once log_px or kl is right."
BEHAVIORS = {"log_px": 1, "kl": 1, "elbo": 2, "detached": 1}


def name_from(behavior: str, what: str, got: Tensor, want: Tensor, candidates: dict[str, Tensor]) -> Finding:
    """A failed finding, with the name of the first candidate that the values agree with."""
    expected = shown(want)
    for name, candidate in candidates.items():
        if close(got, candidate):
            return failed(behavior, f"{what} is not what it should be.", name.split("#")[0], expected, shown(got))
    return failed(behavior, name_shape_message(what, got, want), shape_name(got, want), expected, shown(got))


def name_shape_message(what: str, got: Tensor, want: Tensor) -> str:
    if got.shape != want.shape:
        return f"{what} must have one value for each example, shape {list(want.shape)}; yours has {list(got.shape)}."
    if not got.isfinite().all():
        return f"{what} is not finite (NaN or infinity)."
    return f"{what} has the wrong values."


def shape_name(got: Tensor, want: Tensor) -> str | None:
    batch = len(want)
    if got.numel() == 1:
        return "scalar_diagnostics"
    if got.shape == (batch, batch):
        return "silent_broadcasting"
    if got.dim() > 1 and got.shape[0] == batch:
        return "not_summed"
    return "wrong_shape" if got.shape != want.shape else None


def log_px_candidates(call: Call) -> dict[str, Tensor]:
    right = call.log_px_each[0]
    logits = call.truth.logits(call.z[0])
    pixels = call.truth.x.shape[1]
    alone = call.elbo.numel() == 1  # all diagnostics are single numbers, so the ELBO's shape shows no broadcasting
    table = {
        "mean_over_pixels": right / pixels,
        "log_px_negated": -right,
        "mean_over_pixels#negated": -right / pixels,
        "batch_mean_of_log_px": right.mean().expand_as(right),
        "batch_sum": right.sum().expand_as(right),
        f"{'scalar_diagnostics' if alone else 'batch_mean_of_log_px'}#scalar": right.mean(),
        f"{'scalar_diagnostics' if alone else 'batch_sum'}#scalar_sum": right.sum(),
        "scalar_diagnostics#negated": -right.mean(),
        "squared_error_for_log_px": -(call.truth.x - logits.sigmoid()).square().sum(-1),
        "squared_error_for_log_px#half": -0.5 * (call.truth.x - logits.sigmoid()).square().sum(-1),
        "squared_error_for_log_px#positive": (call.truth.x - logits.sigmoid()).square().sum(-1),
        "probability_for_log_px": right.exp(),
        "decodes_the_mean": call.truth.log_px(call.truth.mu),
        "bits_for_nats": right / math.log(2),
        "log_px_and_kl_swapped": call.kl_each[0],
        "log_px_and_kl_swapped#closed": call.truth.kl(),
    }
    if call.beta not in (0.0, 1.0):
        table["beta_on_reconstruction"] = call.beta * right
        table["beta_on_reconstruction#inverse"] = right / call.beta
    return table


def find_log_px(calls: Calls, call: Call) -> Finding:
    if any(close(call.log_px, right) for right in call.right_log_px()):
        return passed("log_px", "log p(x|z) is right for each example.")
    finding = name_from("log_px", "diagnostics['log_px']", call.log_px, call.log_px_each[0], log_px_candidates(call))
    if bool(torch.isneginf(call.log_px).any()) and call.log_px.shape == call.log_px_each[0].shape:
        return failed("log_px", finding.message, "density_underflows", finding.expected, finding.got)
    if finding.misconception is None and call.log_px.shape == call.log_px_each[0].shape:
        mean, error = calls.expected_log_px
        if calls.averages_to(calls.samples("log_px"), mean, error):
            return passed("log_px", "log p(x|z) is right on average over its samples.")
    return finding


def kl_candidates(call: Call) -> dict[str, Tensor]:
    """Wrong KLs by name, from the one-sample estimate and from the closed form."""
    truth, z = call.truth, call.z[0]
    latents = truth.mu.shape[1]
    noise = (z - truth.mu) * (-truth.log_sigma).exp()
    constant = 0.5 * latents * math.log(2 * math.pi)
    log_q = (-0.5 * noise.square() - truth.log_sigma).sum(-1) - constant
    log_p = -0.5 * z.square().sum(-1) - constant
    alone = call.elbo.numel() == 1
    table: dict[str, Tensor] = {}
    for suffix, kl in (("", call.kl_each[0]), ("#closed", truth.kl())):
        table |= {
            f"kl_sign_flipped{suffix}": -kl,
            f"mean_over_latents{suffix}": kl / latents,
            f"mean_over_latents#negated{suffix}": -kl / latents,
            f"batch_mean_of_kl{suffix}": kl.mean().expand_as(kl),
            f"batch_sum{suffix}": kl.sum().expand_as(kl),
            f"{'scalar_diagnostics' if alone else 'batch_mean_of_kl'}#scalar{suffix}": kl.mean(),
            f"{'scalar_diagnostics' if alone else 'batch_sum'}#scalar_sum{suffix}": kl.sum(),
            f"missing_half_in_kl{suffix}": 2 * kl,
            f"bits_for_nats{suffix}": kl / math.log(2),
        }
        if call.beta not in (0.0, 1.0):
            table[f"beta_inside_kl{suffix}"] = call.beta * kl
    table |= {
        "log_px_and_kl_swapped": call.log_px_each[0],
        "kl_reversed": truth.kl_reversed(),
        "kl_reversed#negated": -truth.kl_reversed(),
        "log_variance_for_log_sigma": 0.5 * (truth.log_sigma.exp() + truth.mu.square() - 1 - truth.log_sigma).sum(-1),
        "variance_for_standard_deviation": 0.5 * (truth.log_sigma.exp() + truth.mu.square() - 1 - 2 * truth.log_sigma).sum(-1),
        "prior_missing_in_kl": log_q,
        "posterior_missing_in_kl": -log_p,
        "posterior_missing_in_kl#positive": log_p,
        "prior_missing_in_kl#negated": -log_q,
        "kl_without_log_sigma": 0.5 * ((2 * truth.log_sigma).exp() + truth.mu.square() - 1).sum(-1),
        "kl_terms_added": log_q + log_p,
        "kl_clamped": call.kl_each[0].clamp_min(0),
        "kl_clamped#abs": call.kl_each[0].abs(),
        "kl_clamped#batch": call.kl_each[0].mean().abs(),
        "constant_in_kl": truth.kl() + 0.5 * latents,
        "constant_in_kl#two": truth.kl() - constant,
        "constant_in_kl#three": truth.kl() + constant,
        "sigma_for_log_sigma": 0.5 * (truth.log_sigma.exp().exp() + truth.mu.square() - 1 - truth.log_sigma.exp()).sum(-1),
    }
    return table


def find_kl(calls: Calls, call: Call) -> Finding:
    if any(close(call.kl, right) for right in call.right_kl()):
        return passed("kl", "The KL is right for each example.")
    finding = name_from("kl", "diagnostics['kl']", call.kl, call.truth.kl(), kl_candidates(call))
    if finding.misconception is None and call.kl.shape == call.truth.kl().shape:
        truth, samples, beta = calls.truth, calls.samples("kl"), calls.calls[0].beta
        if calls.averages_to(samples, truth.kl()):
            return passed("kl", "The KL is right on average over its samples.")
        means = {
            "kl_sign_flipped": -truth.kl(), "mean_over_latents": truth.kl() / truth.mu.shape[1],
            "kl_reversed": truth.kl_reversed(), "kl_reversed#negated": -truth.kl_reversed(),
            "beta_inside_kl": beta * truth.kl(), "missing_half_in_kl": 2 * truth.kl(),
        }
        for name, mean in means.items():
            if calls.averages_to(samples, mean):
                return failed("kl", "The KL is wrong on average over its samples.", name.split("#")[0], finding.expected, finding.got)
    return finding


def find_elbo(calls: Calls, call: Call) -> Finding:
    """elbo = log_px - kl, in terms of the student's own two, so that their mistakes are not charged twice."""
    want, elbo = call.log_px_each[0] - call.kl_each[0], call.elbo
    log_px, kl = call.log_px, call.kl
    if elbo.shape == want.shape:
        # One of the two may be a single number: that is charged to it.
        own = log_px - kl if want.shape in (log_px.shape, kl.shape) and {log_px.numel(), kl.numel()} <= {1, len(want)} else None
        if own is not None and own.shape == want.shape and (close(elbo, own) or torch.equal(elbo, own)):
            return passed("elbo", "elbo = log_px - kl for each example, whatever beta is.")
        if any(close(elbo, lp - k) for lp in call.right_log_px() for k in call.right_kl()):
            return passed("elbo", "elbo = log_px - kl for each example, whatever beta is.")
    if log_px.shape != want.shape or kl.shape != want.shape:
        if elbo.shape != want.shape and log_px.numel() == kl.numel() == elbo.numel() == 1:
            # Only averages are left; the mistake is charged to them. Is the difference right?
            if close(elbo.reshape(()), log_px.reshape(()) - kl.reshape(())):
                return failed("elbo", "diagnostics['elbo'] is a single number.", "scalar_diagnostics", shown(want), shown(elbo))
        log_px = call.log_px_each[0] if log_px.shape != want.shape else log_px
        kl = call.kl_each[0] if kl.shape != want.shape else kl
    finding = name_from("elbo", "diagnostics['elbo']", elbo, want, elbo_candidates(call, log_px, kl))
    if finding.misconception is None and elbo.shape == want.shape:
        mean, error = calls.expected_log_px
        if calls.averages_to(calls.samples("elbo"), mean - calls.truth.kl(), error):
            return passed("elbo", "The ELBO is right on average over its samples.")
    return finding


def elbo_candidates(call: Call, log_px: Tensor, kl: Tensor) -> dict[str, Tensor]:
    beta, loss = call.beta, call.loss
    table = {
        "batch_mean_before_subtracting": log_px.mean() - kl,
        "batch_mean_before_subtracting#kl": log_px - kl.mean(),
        "batch_mean_of_elbo": (log_px - kl).mean().expand_as(log_px),
        "elbo_is_log_px": log_px,
        "kl_added": log_px + kl,
        "elbo_negated": kl - log_px,
        "scalar_diagnostics" if call.log_px.numel() == 1 else "batch_mean_of_elbo#scalar": (log_px - kl).mean(),
        "scalar_diagnostics#sum": (log_px - kl).sum(),
        "silent_broadcasting": log_px[:, None] - kl,
        "silent_broadcasting#other": log_px - kl[:, None],
        "prior_counted_twice": log_px - kl - 0.5 * call.z[0].square().sum(-1) - 0.5 * call.z.shape[-1] * math.log(2 * math.pi),
        "elbo_is_kl": -kl,
        "elbo_is_kl#positive": kl,
    }
    if beta != 1.0:
        swapped = loss.numel() == 1 and close(loss.reshape(()), -(log_px - kl).mean())
        table |= {
            "elbo_and_beta_elbo_swapped" if swapped else "beta_in_elbo": log_px - beta * kl,
            "beta_in_elbo#added": log_px + beta * kl,
            "beta_on_reconstruction": beta * log_px - kl,
            "beta_on_everything": beta * (log_px - kl),
        }
    return {name: value for name, value in table.items() if value.shape == call.elbo.shape}


def judge_elbo(calls: Calls) -> list[Finding]:
    trouble = calls.calls[0].record.get("diagnostics_trouble")
    if trouble:
        return [failed("log_px", trouble)]
    findings = [
        over_calls(calls, lambda call: find_log_px(calls, call)),
        over_calls(calls, lambda call: find_kl(calls, call)),
        over_calls(calls, lambda call: find_elbo(calls, call)),
    ]
    findings.append(find_detached(calls))
    if not any(f.passed or f.misconception for f in findings[:2]):  # then the others are about numbers of no meaning
        findings[2:] = [failed(f.behavior, UNKNOWN) if f.passed else f for f in findings[2:]]
    batch = len(calls.truth.mu)
    if calls.calls[0].elbo.shape == (batch, batch):
        findings = [replace(f, misconception="silent_broadcasting") if f.misconception == "not_summed" else f for f in findings]
    if calls.changed_x:
        findings[0] = failed("log_px", "Your code changes x in place.", "changes_its_inputs")
    return findings


def find_detached(calls: Calls) -> Finding:
    first = calls.calls[0].record
    if not first["with_graph"]:
        return passed("detached", "The diagnostics carry no graph.")
    if first["no_grad_used"]:
        # Meant to be detached, as in the well-known notebook: said, and not charged.
        return passed("detached", "The diagnostics were meant to be detached, but still carry the graph.", "no_grad_does_not_detach")
    return failed("detached", f"{', '.join(first['with_graph'])} still carry the graph of the whole forward pass.",
                  "diagnostics_carry_the_graph", "detached tensors", "requires_grad=True")


CHECKS = (
    Check(
        name="vae.elbo",
        target="VariationalInference",
        title="The ELBO and its two parts, for each example",
        behaviors=BEHAVIORS,
        draw=draw_inference,
        probe=probe_inference,
        judge=judge_either(judge_elbo, tuple(BEHAVIORS)),
        hints=HINTS["vae.elbo"],
        misconceptions=misconceptions("vae.elbo"),
        read_on="Lecture 01, the evidence lower bound",
    ),
)
