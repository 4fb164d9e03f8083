"""Samples that do not belong together show on average only: which were put into one weight cannot be told."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder.checks.iwae_calls import Calls
from autograder.checks.iwae_truth import Truth, log_mean_exp

__all__ = ["different_samples", "expectation"]

SIGMAS = 5.5  # of the means of some 20 values of L_K: for a name only, so that neither a miss nor a wrong one costs a point


def different_samples(calls: Calls) -> bool:
    """Whether values that are wrong are on average what log p(x|z_k) and log q(z'_k|x) - log p(z'_k) of different draws give."""
    many, one = calls.many, calls.calls[1]
    if one is not None and one.z is not None and any(one.agrees(one.z, right) for right in (log_mean_exp, torch.clone)):
        return False  # one sample belongs together
    if many is None or not many.value.isfinite().all() or many.value.shape[-1:] != (many.batch,):
        return False
    value = log_mean_exp(many.value) if many.value.dim() == 2 and len(many.value) == many.num_samples else many.value
    if value.shape != (many.batch,):
        return False
    value = value[torch.argsort(calls.copies, stable=True)].view(len(calls.first.truth.x), -1).T  # (copies, examples)
    mean, error = expectation(calls.first.truth, many.num_samples, "different")
    error = (error.square() + value.var(0) / len(value)).sqrt()
    return bool(((value.mean(0) - mean).abs() <= SIGMAS * error + 1e-2).all())


def expectation(truth: Truth, num_samples: int, kind: str, draws: int = 200) -> tuple[Tensor, Tensor]:
    """E[L_K] for each example and its standard error, by draws of ours.

    Arguments:
        kind: "right", or "different": log p(x|z_k) and log q(z'_k|x) - log p(z'_k) from different draws.
    """
    rng, parts = torch.Generator().manual_seed(0), []
    for _ in range(draws // 50):
        p = truth.pieces(truth.draw(num_samples * 50, rng))
        kl = p.log_qz - p.log_pz
        if kind == "different":
            kl = kl.roll(1, 0)
        parts.append(log_mean_exp((p.log_px - kl).unflatten(0, (num_samples, 50))))
    values = torch.cat(parts)
    return values.mean(0), values.std(0) / len(values) ** 0.5
