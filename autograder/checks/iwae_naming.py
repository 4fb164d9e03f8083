"""Which mistake wrong log-weights, or a wrong bound, look like."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from autograder.checks.iwae_average import different_samples
from autograder.checks.iwae_calls import Calls, Sampled
from autograder.checks.iwae_candidates import wrong_bounds, wrong_weights
from autograder.checks.iwae_truth import log_mean_exp
from autograder.checks.vae_calls import close, shown
from autograder.verdict import Finding, failed

__all__ = ["name_bound", "name_weights"]


def name_weights(calls: Calls, z: Tensor | None) -> Finding:
    """A failed finding for log-weights that are wrong at the latents z, (K, batch, M), or None where these cannot be told."""
    call = calls.first
    k, batch, got = call.num_samples, call.batch, call.value
    right = call.truth.pieces(z).log_w if z is not None else None
    expected = shown(right) if right is not None and len(right) == k else f"shape [{k}, {batch}]"
    say = partial(failed, "value", expected=expected, got=shown(got))
    if right is not None:
        reduced = (log_mean_exp(right), right.mean(0), torch.logsumexp(right, 0))
        if len(right) == k and close(got, right.T):
            return say("log w has its samples last.", "samples_last")
        if any(close(got, value) for value in reduced):
            return say("log w is reduced over the samples.", "already_reduced")
        if close(got, right.exp()) and not got.any():
            return say("These are weights, not their logarithms: all zero.", "weights_without_log")
        for name, wrong in {**wrong_weights(call, z), "weights_normalized": torch.log_softmax(right, 0)}.items():
            if close(got, wrong) or close(got, wrong.T):
                return say("log w is wrong.", name.split("#")[0])
        if len(right) < k and (close(got, right) or close(got, right.expand(k, batch))):
            return say(f"There are {len(right)} samples where num_samples is {k}.", "num_samples_ignored")
    if got.shape == (k * batch,):
        return say("Samples and examples are still folded together.", "not_unmerged")
    if got.dim() > 2 and set(got.shape) >= {k, batch}:
        return say("Pixels or latents are left that have to be summed.", "not_summed")
    if got.shape != (k, batch):
        return say(f"log w must have shape [{k}, {batch}]; yours has {list(got.shape)}.")
    if z is not None and different_samples(calls):
        return say("log w mixes several samples.", "different_samples_in_one_weight")
    return say("log w has the wrong values.")


def name_bound(calls: Calls, z: Tensor | None) -> Finding:
    """A failed finding for a bound that is wrong at the latents z, (K, batch, M), or None where these cannot be told."""
    call = calls.first
    k, batch, got = call.num_samples, call.batch, call.value
    right = log_mean_exp(call.truth.pieces(z).log_w) if z is not None else None
    expected = shown(right) if right is not None and len(z) == k else f"shape [{batch}]"
    say = partial(failed, "value", expected=expected, got=shown(got))
    if got.shape != (batch,):
        return name_shape(call, say)
    if not got.isfinite().all() or cut_off(got, right):
        return say("The bound is not finite, or cut off at the logarithm of a small number.", "exp_underflows")
    if not got.any():
        return say("The bound is 0 for each example: a weight, whose logarithm is asked for.", "bound_without_log")
    if right is None:
        return say("The bound has the wrong values.")
    if name := next((name for name, wrong in wrong_bounds(call, z).items() if close(got, wrong)), None):
        return say("The bound is wrong.", "num_samples_ignored" if len(z) < k else name.split("#")[0])
    own = log_mean_exp(call.truth.pieces(call.z).log_w)  # of as many samples as were decoded
    if len(call.z) != k and (close(got, own) or close(got, own + math.log(len(call.z) / k))):
        return say(f"There are {len(call.z)} samples where num_samples is {k}.", "num_samples_ignored")
    if different_samples(calls):
        return say("The bound mixes several samples in one weight.", "different_samples_in_one_weight")
    return say("The bound has the wrong values.")


def cut_off(got: Tensor, right: Tensor | None) -> bool:
    """One number for all examples: the logarithm of something like 1e-8, put in so that no log 0 arises, or what stands for -inf."""
    same = len(got) > 1 and len(set(got.tolist())) == 1 and (-110 < float(got[0]) < -2 or float(got[0]) < -5000)
    return same and not (right is not None and close(got.mean(), right.mean()))


def name_shape(call: Sampled, say: Callable[..., Finding]) -> Finding:
    """What a wrong shape tells."""
    k, batch, got = call.num_samples, call.batch, call.value
    message = f"The bound must have one value for each example, shape [{batch}]; yours has {list(got.shape)}."
    events = (call.truth.mu.shape[-1:], call.truth.x.shape[-1:])
    if got.numel() == 1:
        return say(message, "averaged_over_the_batch")
    if got.shape in ((k, batch), (batch, k), (k * batch,)):
        return say(message, "not_reduced_over_samples")
    if got.shape in ((batch, batch), (batch, k, batch), (k, batch, batch)):
        return say(message, "silent_broadcasting")
    if got.shape in ((1, batch), (batch, 1)):
        return say(message, "wrong_shape")
    if got.dim() >= 2 and got.shape[0] == batch:
        return say(message, "not_summed")
    if got.shape in ((k,), *events) or (got.dim() >= 2 and got.shape[0] == k):
        return say(message, "logsumexp_over_the_wrong_axis")
    return say(message)
