"""Estimators from probabilities: enumeration, the score function with baselines, leave-one-out, VIMCO.

Written with terms of value 0 (`zero_valued`), so that what is returned is the estimate itself and not a surrogate
whose value means nothing (the idea of DiCE, Foerster et al., 2018, https://arxiv.org/abs/1802.05098).
"""

import math

import torch
from torch import Tensor

from .baselines import leave_one_out
from .categorical import all_codes, check_cost, log_prob_one_hot, sample_one_hot, zero_valued

__all__ = ["enumeration", "expectation", "rloo", "score_function", "score_surrogate", "vimco"]


def expectation(cost: Tensor, log_q: Tensor) -> Tensor:
    """sum over ALL states n of q(n) cost(n): `(N, batch)` twice -> `(batch,)`; its gradient is exact.

    >>> expectation(torch.tensor([[1.0], [5.0]]), torch.tensor([[0.75], [0.25]]).log())
    tensor([2.])
    """
    check_cost(cost, *log_q.shape)
    return (log_q.exp() * cost).sum(0)


def enumeration(f, logits: Tensor) -> Tensor:
    """E_q[f(z)] and its gradient, exactly, by visiting all N = C**L codes once for the whole batch: `(batch,)`.

    f is asked about `(N, 1, L, C)` and answers `(N, batch)`, or `(N, 1)` if it is the same for every example.

    >>> enumeration(lambda z: z[..., 1].sum(-1), torch.zeros(3, 2, 10))  # how many of the two latents are of class 1
    tensor([0.2000, 0.2000, 0.2000])
    """
    codes = all_codes(*logits.shape[1:], dtype=logits.dtype, device=logits.device).unsqueeze(1)
    cost, log_q = f(codes), log_prob_one_hot(logits, codes)
    return expectation(cost.expand_as(log_q) if cost.shape == (len(codes), 1) else cost, log_q)


def score_surrogate(cost: Tensor, log_q: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    r"""The score-function estimator from costs and log-probabilities of samples, `(S, batch)` each -> `(batch,)`.

    .. math:: \frac{1}{S} \sum_s (f(z_s) - b_s) \nabla \log q(z_s) + \nabla f(z_s)

    Unbiased if b_s does not depend on z_s. It asks nothing of the distribution but log q and samples.

    References:
        Simple Statistical Gradient-Following Algorithms (Williams, 1992) https://doi.org/10.1007/BF00992696

    >>> logit = torch.tensor(0.0, requires_grad=True)
    >>> log_q = torch.nn.functional.logsigmoid(logit).expand(1, 1)          # z = 1 was drawn, f(1) = 3
    >>> score_surrogate(torch.full((1, 1), 3.0), log_q).sum().backward()
    >>> logit.grad                                                          # 3 * (1 - 1/2)
    tensor(1.5000)
    """
    check_cost(cost, *log_q.shape)
    if isinstance(baseline, Tensor) and torch.broadcast_shapes(baseline.shape, cost.shape) != cost.shape:
        raise ValueError(f"score_surrogate: the baseline's shape {tuple(baseline.shape)} does not fit the cost's {tuple(cost.shape)}.")
    advantage = (cost - baseline).detach()
    return (cost + advantage * zero_valued(log_q)).mean(0)


def score_function(f, logits: Tensor, num_samples: int = 1, baseline=None) -> Tensor:
    """The score-function estimator (REINFORCE) with samples of q: `(batch,)`. Unbiased, and of large variance.

    Arguments:
        baseline: None, or a function `baseline(cost, x)`: `leave_one_out`, a `MovingAverage`, a `LearnedBaseline`.
            x is what f knows as `f.x`, else None.
    """
    z = sample_one_hot(logits, num_samples)
    cost, log_q = f(z), log_prob_one_hot(logits, z)
    check_cost(cost, *log_q.shape)
    subtracted = 0.0 if baseline is None else baseline(cost, getattr(f, "x", None))
    return score_surrogate(cost, log_q, subtracted)


def rloo(f, logits: Tensor, num_samples: int = 2) -> Tensor:
    """REINFORCE with the leave-one-out baseline: `(batch,)`. Unbiased, and the same for f and f + c.

    Its variance is often below that of `score_function` with as many samples, but that is no law: with two samples
    the baseline is one noisy cost, and where costs average about zero no baseline was better than a noisy one.
    """
    return score_function(f, logits, num_samples, leave_one_out)


def vimco(log_w: Tensor, log_q: Tensor) -> Tensor:
    r"""The importance-weighted bound L_S of discrete samples, to be *maximized*: `(S, batch)` twice -> `(batch,)`, nats.

    .. math:: L_S = \log \frac1S \sum_s w_s, \qquad
              \nabla L_S \approx \sum_s (L_S - L_S^{(-s)}) \nabla \log q(z_s) + \nabla \log \frac1S \sum_s w_s

    In L^(-s) the weight of sample s is replaced by the geometric mean of the others: a baseline that does not look at
    z_s. Unbiased for the gradient of L_S (which is not that of the ELBO). A sum over s and no mean: every sample
    shares the one bound.

    References:
        Variational Inference for Monte Carlo Objectives (Mnih and Rezende, 2016), equations 8 to 10
        https://arxiv.org/abs/1602.06725

    Arguments:
        log_w: log p(x, z_s) - log q(z_s|x), with its gradient.
        log_q: log q(z_s|x), with its gradient.
    """
    samples = log_w.shape[0]
    check_cost(log_w, *log_q.shape, name="log_w")
    if samples < 2:
        raise ValueError("vimco: with one sample there is no other sample to take the baseline from; use two or more.")
    bound = torch.logsumexp(log_w, dim=0) - math.log(samples)
    fixed = log_w.detach()
    others = (fixed.sum(0) - fixed) / (samples - 1)
    own = torch.eye(samples, dtype=torch.bool, device=log_w.device).unsqueeze(-1)
    replaced = torch.where(own, others, fixed)  # (S, S, batch): in row s the weight of sample s is not its own
    without = torch.logsumexp(replaced, dim=1) - math.log(samples)
    return bound + ((bound.detach() - without) * zero_valued(log_q)).sum(0)
