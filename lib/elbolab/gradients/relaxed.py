"""Estimators from relaxed samples: Gumbel-softmax and straight-through (biased), and REBAR (unbiased)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .categorical import check_cost, gumbel_noise, one_hot, zero_valued

__all__ = [
    "exponential_schedule",
    "gumbel_softmax",
    "linear_schedule",
    "rebar",
    "relaxed_one_hot",
    "straight_through",
    "straight_through_gumbel",
]


def relaxed_one_hot(logits: Tensor, temperature: float, num_samples: int = 1, hard: bool = False) -> Tensor:
    r"""Gumbel-softmax samples, reparameterized: `(batch, L, C)` -> `(S, batch, L, C)`, each summing to 1 over the classes.

    .. math:: z = softmax((\log p + g) / \tau), \quad g \sim Gumbel(0, 1)

    With `hard` they are one-hot going forward and keep the soft gradient (`straight_through`).

    References:
        Categorical Reparameterization with Gumbel-Softmax (Jang, Gu and Poole, 2017) https://arxiv.org/abs/1611.01144
        The Concrete Distribution (Maddison, Mnih and Teh, 2017) https://arxiv.org/abs/1611.00712

    >>> _ = torch.manual_seed(0)
    >>> z = relaxed_one_hot(torch.zeros(5, 2, 10), temperature=0.5, num_samples=3)
    >>> z.shape, bool(torch.allclose(z.sum(-1), torch.ones(3, 5, 2)))
    (torch.Size([3, 5, 2, 10]), True)
    """
    if not temperature > 0:
        raise ValueError(f"relaxed_one_hot: the temperature is {temperature}; it must be above 0 (0 is the limit of one-hot samples).")
    noise = gumbel_noise((num_samples, *logits.shape), logits.dtype, logits.device)
    soft = ((F.log_softmax(logits, dim=-1) + noise) / temperature).softmax(-1)
    return straight_through(soft) if hard else soft


def straight_through(soft: Tensor) -> Tensor:
    """One-hot of the largest entry, with the gradient of `soft`: hard + (soft - soft), the second soft detached.

    >>> soft = torch.tensor([0.2, 0.8], requires_grad=True)
    >>> straight_through(soft).tolist()
    [0.0, 1.0]
    """
    return one_hot(soft.argmax(-1), soft.shape[-1], soft.dtype) + zero_valued(soft)


def gumbel_softmax(f, logits: Tensor, num_samples: int = 1, temperature: float = 0.5) -> Tensor:
    """Differentiate f at relaxed samples: `(batch,)`. BIASED, in value and gradient: f is asked about mixtures of codes.

    The bias falls with the temperature, and the variance grows. Small variance alone says nothing: where the
    posterior has collapsed onto the prior, f does not depend on z and the variance is all but zero.
    """
    z = relaxed_one_hot(logits, temperature, num_samples)
    return _mean(f(z), z)


def straight_through_gumbel(f, logits: Tensor, num_samples: int = 1, temperature: float = 0.5) -> Tensor:
    """f at one-hot samples, with the gradient of the relaxed ones: `(batch,)`. Value unbiased, gradient BIASED."""
    z = relaxed_one_hot(logits, temperature, num_samples, hard=True)
    return _mean(f(z), z)


def rebar(f, logits: Tensor, num_samples: int = 1, temperature: float = 0.5, eta: float = 1.0) -> Tensor:
    r"""The score function with the relaxation as its control variate: `(batch,)`. Unbiased for every temperature and eta.

    .. math:: [f(b) - \eta f(\tilde z)] \nabla \log q(b) + \eta \nabla f(z) - \eta \nabla f(\tilde z)

    with z the relaxed sample, b = one-hot of its argmax, and z~ a relaxed sample given b. A sample given b that is at
    hand is z itself (the coupling of the paper's appendix), so z~ = z in value and the two differ in their gradients
    alone. Think of Gumbels as a race: class k arrives at the time t_k = E_k / p_k, E_k exponential, and
    log p + g = -log t. Without b, d(-log t_k) / d log p_k = 1. Given that b came first, t_b = E_b and
    t_k = t_b + E_k / p_k, so that it is 0 for b and 1 - t_b / t_k for the others. The difference is t_b / t_k for all.

    References:
        REBAR (Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein, 2017) https://arxiv.org/abs/1703.07370
        Backpropagation through the Void (Grathwohl et al., 2018), appendix B https://arxiv.org/abs/1711.00123

    Arguments:
        eta: weight of the control variate; 0 is the plain score function.
    """
    log_p = F.log_softmax(logits, dim=-1)
    perturbed = log_p.detach() + gumbel_noise((num_samples, *logits.shape), logits.dtype, logits.device)  # -log t
    b = one_hot(perturbed.argmax(-1), logits.shape[-1], logits.dtype)
    first = (perturbed - perturbed.amax(-1, keepdim=True)).exp()  # t_b / t_k
    z = ((perturbed + first * zero_valued(log_p)) / temperature).softmax(-1)

    hard, log_q = f(b), (b * log_p).sum((-2, -1))
    check_cost(hard, *log_q.shape)
    soft, slope = _value_and_slope(f, z)
    correction = (slope * zero_valued(z)).sum((-2, -1))
    return (hard + (hard.detach() - eta * soft) * zero_valued(log_q) + eta * correction).mean(0)


def exponential_schedule(start: float = 1.0, end: float = 0.5, rate: float = 3e-4):
    """A function step -> temperature: start * exp(-rate * step), never below end (Jang et al., 2017, section 4.2).

    >>> temperature = exponential_schedule(1.0, 0.5, rate=1e-3)
    >>> [round(temperature(step), 2) for step in (0, 100, 10_000)]
    [1.0, 0.9, 0.5]
    """
    return lambda step: max(end, start * math.exp(-rate * step))


def linear_schedule(start: float, end: float, steps: int):
    """A function step -> value: from start to end in a straight line over `steps`, then end. For KL warm-up, too.

    >>> beta = linear_schedule(0.0, 1.0, steps=4)
    >>> [beta(step) for step in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return lambda step: start + (end - start) * min(1.0, step / steps)


def _mean(cost: Tensor, z: Tensor) -> Tensor:
    check_cost(cost, *z.shape[:2])
    return cost.mean(0)


def _value_and_slope(f, z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) and df/dz, both without graph: what f's own parameters get comes from f(b) alone, without added noise."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        value = f(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]
