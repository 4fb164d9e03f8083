"""DisARM: an unbiased estimator for Bernoulli latents from pairs of opposite samples."""

import torch
from torch import Tensor

from .categorical import check_cost, zero_valued

__all__ = ["disarm"]


def disarm(f, logits: Tensor, num_samples: int = 1) -> Tensor:
    r"""DisARM (also found as U2G) for M independent Bernoulli latents: `(batch,)`. Unbiased.

    One uniform u gives a pair: b = [u < sigma(phi)] and, from 1 - u, b~ = [1 - u < sigma(phi)]. Where the two agree, a
    coordinate tells nothing and gets no gradient; elsewhere

    .. math:: \hat g_m = \tfrac12 (f(b) - f(\tilde b)) (-1)^{\tilde b_m} \sigma(|\phi_m|) [b_m \ne \tilde b_m]

    which is ARM with its last uniform noise integrated out. f is called with two codes for each of the S pairs.

    References:
        DisARM: An Antithetic Gradient Estimator for Binary Latent Variables (Dong, Mnih and Tucker, 2020), equation 6
        https://arxiv.org/abs/2006.10680
        ARM: Augment-REINFORCE-Merge Gradient (Yin and Zhou, 2019) https://arxiv.org/abs/1807.11143

    Arguments:
        f: a cost of b `(2 S, batch, M)`, of 0 and 1 -> `(2 S, batch)`.
        logits: phi, `(batch, M)`.
        num_samples: S, the number of pairs.
    """
    u = torch.rand(num_samples, *logits.shape, dtype=logits.dtype, device=logits.device)
    p = logits.detach().sigmoid()
    b, opposite = (u < p).to(p.dtype), (1 - u < p).to(p.dtype)
    cost = f(torch.cat([b, opposite]))
    check_cost(cost, 2 * num_samples, len(logits))
    difference = 0.5 * (cost[:num_samples] - cost[num_samples:]).detach().unsqueeze(-1)
    slope = difference * (b - opposite) * logits.detach().abs().sigmoid()  # b - b~ is (-1)^b~ where they differ, else 0
    return cost.mean(0) + (slope * zero_valued(logits)).sum(-1).mean(0)
