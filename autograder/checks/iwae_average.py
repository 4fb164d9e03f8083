"""Code that is right on average: for samples that cannot be read off the decoder, and for samples that do not belong together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autograder.checks.iwae_calls import Calls
from autograder.checks.iwae_truth import Truth, log_mean_exp
from autograder.verdict import Finding, passed

__all__ = ["judge_on_average", "on_average"]

SIGMAS = 7.0  # of the means of some 20 values of L_K, which are skewed to the left; a false alarm in fewer than one of 1e6


def on_average(calls: Calls, kind: str) -> bool:
    """Whether the mean of the values over many copies of each example is the expectation of L_K.

    Arguments:
        kind: "right", or "different": log p(x|z_k) and log q(z'_k|x) - log p(z'_k) from different draws.
    """
    many = calls.many
    if many is None or not many.value.isfinite().all() or many.value.shape[-1:] != (many.batch,):
        return False
    value = log_mean_exp(many.value) if many.value.dim() == 2 and len(many.value) == many.num_samples else many.value
    if value.shape != (many.batch,):
        return False
    value = value.view(calls.tile, -1)
    mean, error = expectation(calls.first.truth, many.num_samples, kind)
    error = (error.square() + value.var(0) / len(value)).sqrt()
    return bool(((value.mean(0) - mean).abs() <= SIGMAS * error + 1e-2).all())


def expectation(truth: Truth, num_samples: int, kind: str, draws: int = 1200) -> tuple[Tensor, Tensor]:
    """E[L_K] for each example and its standard error, by draws of ours."""
    rng, parts = torch.Generator().manual_seed(0), []
    for _ in range(draws // 200):
        p = truth.pieces(truth.draw(num_samples * 200, rng))
        kl = p.log_qz - p.log_pz
        if kind == "different":
            kl = kl.roll(1, 0)
        parts.append(log_mean_exp((p.log_px - kl).unflatten(0, (num_samples, 200))))
    values = torch.cat(parts)
    return values.mean(0), values.std(0) / len(values) ** 0.5


def shared_copies(calls: Calls) -> bool:
    """Whether copies of an example in one batch got the same value: then their noise is shared."""
    value = calls.many.value
    value = (log_mean_exp(value) if value.dim() == 2 else value).view(calls.tile, -1)
    return bool((value[0] - value[1:]).abs().amin() < 1e-6)


def judge_on_average(calls: Calls, shape: Callable[[int, int], tuple[int, ...]]) -> list[Finding] | None:
    """Value and samples passed, for code that is right but whose latents cannot be read (decoded inside torch.vmap, say).

    None for all other code. `shape` is that of the value, of num_samples and examples.
    """
    if calls.first.z is not None or calls.many is None or calls.many.z is not None or calls.first.changed_x():
        return None
    shapes = all(c is not None and c.value.shape == shape(c.num_samples, c.batch) and bool(c.value.isfinite().all()) for c in calls.calls)
    if not shapes or shared_copies(calls) or not on_average(calls, "right"):
        return None
    value = passed("value", "Right on average over its samples.")
    return [value, passed("samples", "Copies of an example got samples of their own.")]
