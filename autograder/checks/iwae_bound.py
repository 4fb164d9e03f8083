"""The checks of the log-weights and of the importance-weighted bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.checks.iwae_calls import NO_DRAWS_OF_Q, Calls, Sampled, find_samples, samples_fault
from autograder.checks.iwae_candidates import kl_clamped
from autograder.checks.iwae_functions import exercise
from autograder.checks.iwae_gradients import find_gradient
from autograder.checks.iwae_naming import name_bound, name_weights
from autograder.checks.iwae_truth import draw_sampled, log_mean_exp
from autograder.checks.vae_calls import shown
from autograder.probes.iwae import probe_bound, probe_log_weights
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

BOUND = {"value": 3, "samples": 2, "gradient": 2}
WEIGHTS = {"value": 3, "samples": 1}
# What a call shows that the first one does not, and where it was made.
LATER = (
    ("one_sample_loses_its_dimension", "with one sample"),
    ("one_example_loses_its_dimension", "with one example"),
    ("wrong_with_many_samples", "with many samples"),
    ("state_drifts", "when it is called again"),
)
Right = Callable[[Tensor], Tensor]  # log-weights (K, batch) -> the value that is asked for


def judge_either(judge: Callable[[Calls], list[Finding]], behaviors: dict[str, int]):
    """Judge images; where they fail, accept code that is right on flat pixels, with a remark."""

    def judged(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        said = []
        for kind, part in outputs.items():
            findings = [failed(next(iter(behaviors)), str(part["trouble"]))] if "trouble" in part else judge(Calls(inputs, part))
            if len(findings) == len(behaviors) and all(f.passed for f in findings):
                if kind == "flat":
                    remark = "Right on flat pixels. Images of shape (batch, 1, 28, 28) need a sum over all the pixels' dimensions."
                    findings[0] = passed(findings[0].behavior, remark, "flat_pixels_only")
                return findings
            said.append(findings)
        # An exception on images tells less than values on flat pixels do.
        return said[-1] if "trouble" in outputs["images"] and "trouble" not in outputs["flat"] else said[0]

    return judged


def stands_on(call: Sampled, right: Right) -> Tensor | None:
    """The decoded latents (K, batch, M) at which the value is right, if there are any."""
    return next((z for z in call.candidates() if call.agrees(z, right)), None)


def find_value(calls: Calls, right: Right, name_wrong: Callable[[Calls, Tensor | None], Finding], what: str) -> Finding:
    """The value in every call, at the latents of that call; `name_wrong` says which mistake a wrong one looks like."""
    first = calls.first
    if any(call is not None and call.changed_x() for call in calls.calls):
        return failed("value", "Your code changes x in place.", "changes_its_inputs", "x as it was", "another x")
    if fault := draws_fault(calls):
        return failed("value", f"{what} does not stand on K draws of q(z|x).", fault, "K independent draws of q(z|x)", "other latents")
    if stands_on(first, right) is None:
        return name_wrong(calls, first.candidates()[0] if first.candidates() else first.z)
    here = f"{what} is right for {first.num_samples} samples of {first.batch} examples"
    for call, record, (name, where) in zip(calls.calls[1:], calls.records[1:], LATER, strict=True):
        if call is None:
            return failed("value", f"{here}, and stops {where}. {record['trouble']}", name)
        if stands_on(call, right) is None:
            expected = f"shape {list(right(torch.zeros(call.num_samples, call.batch)).shape)}"
            return failed("value", f"{here}, and wrong {where}.", clamped(call, right) or name, expected, shown(call.value))
    if calls.trouble:
        return failed("value", f"{here}, and stops with a larger batch. {calls.trouble}")
    if calls.many is not None and stands_on(calls.many, right) is None:
        where = f"{calls.many.num_samples} samples of {calls.many.batch} examples"
        return failed("value", f"{here}, and wrong for {where}.", clamped(calls.many, right))
    return passed("value", f"{what} is right at the samples that your code drew, for each example.")


def clamped(call: Sampled, right: Right) -> str | None:
    """The one mistake that not every call shows: in the first there may be nothing to cut off."""
    return "kl_clamped" if any(call.agrees(z, right, kl_clamped) for z in call.candidates()) else None


def draws_fault(calls: Calls) -> str | None:
    """The mistake by which the latents are not K draws of q(z|x) at all."""
    told = (c for c in (calls.many, calls.first) if c is not None and c.z is not None and len(c.z) >= c.num_samples)
    seen = next(told, None)
    fault = samples_fault(seen) if seen else None
    return fault if fault in NO_DRAWS_OF_Q else None


def judge_bound(calls: Calls) -> list[Finding]:
    first = calls.first
    value = find_value(calls, log_mean_exp, name_bound, "The bound")
    z = stands_on(first, log_mean_exp)
    if z is None and first.candidates():
        z = first.candidates()[0]
    if value.misconception in (*NO_DRAWS_OF_Q, "kl_clamped"):
        z = None
    return [value, find_samples(first, calls.again, calls.many, value), find_gradient(first, z, value)]


def judge_log_weights(calls: Calls) -> list[Finding]:
    value = find_value(calls, lambda log_w: log_w, name_weights, "log w")
    return [value, find_samples(calls.first, calls.again, calls.many, value)]


CHECKS = (
    exercise("log_weights", "The log-weights of K samples, in one batch", WEIGHTS, draw_sampled, probe_log_weights,
             judge_either(judge_log_weights, WEIGHTS), "the log-weights"),
    exercise("bound", "The importance-weighted bound", BOUND, draw_sampled, probe_bound, judge_either(judge_bound, BOUND),
             "a tighter bound", target="importance_weighted_bound"),
)
