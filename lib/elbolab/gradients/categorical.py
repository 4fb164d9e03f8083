"""Categorical latents as one-hot codes: all of them, samples, log-probabilities, the KL to the uniform prior."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["all_codes", "check_cost", "gumbel_noise", "kl_to_uniform", "log_prob_one_hot", "sample_one_hot"]

MOST_CODES = 100_000


def all_codes(latents: int, classes: int, dtype=None, device=None) -> Tensor:
    """Every joint state of L latents of C classes, one-hot: `(C**L, L, C)`, the last latent changing fastest.

    The states of two latents of ten classes are 100 pairs, not 20 classes: f sees both latents at once.

    >>> all_codes(2, 3).argmax(-1).tolist()
    [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    """
    if classes**latents > MOST_CODES:
        raise ValueError(
            f"all_codes: {latents} latents of {classes} classes have {float(classes**latents):.0e} joint states, too many to "
            f"enumerate (the limit is {MOST_CODES:,}). Sample instead, for example with rloo."
        )
    numbers = torch.arange(classes**latents, device=device)
    places = classes ** torch.arange(latents - 1, -1, -1, device=device)
    return one_hot(numbers.unsqueeze(-1) // places % classes, classes, dtype or torch.get_default_dtype())


def one_hot(index: Tensor, classes: int, dtype) -> Tensor:
    """`(...)` integers -> `(..., classes)` of 0 and 1."""
    return torch.zeros(*index.shape, classes, dtype=dtype, device=index.device).scatter_(-1, index.unsqueeze(-1), 1)


def gumbel_noise(shape, dtype=None, device=None) -> Tensor:
    """Standard Gumbel noise, -log of an exponential variable (which is -log of a uniform one): two logs, two signs.

    >>> _ = torch.manual_seed(0)
    >>> round(gumbel_noise((100_000,)).mean().item(), 1)  # Euler's constant, 0.577...
    0.6
    """
    # exponential_ never returns 0; -log(-log(u)) would be infinite when the uniform number is 0.
    return -torch.empty(shape, dtype=dtype, device=device).exponential_().log()


def sample_one_hot(logits: Tensor, num_samples: int = 1) -> Tensor:
    """Draw z ~ q by the Gumbel-max trick: `(batch, L, C)` -> `(S, batch, L, C)`, one-hot, without gradient.

    >>> sample_one_hot(torch.tensor([[[0.0, 1000.0, 0.0]]]), num_samples=2).tolist()
    [[[[0.0, 1.0, 0.0]]], [[[0.0, 1.0, 0.0]]]]
    """
    noise = gumbel_noise((num_samples, *logits.shape), logits.dtype, logits.device)
    return one_hot((logits.detach() + noise).argmax(-1), logits.shape[-1], logits.dtype)


def log_prob_one_hot(logits: Tensor, z: Tensor) -> Tensor:
    """log q(z), summed over the latents: `(S, batch)` for z `(S, batch, L, C)`, `(N, batch)` for codes `(N, 1, L, C)`.

    >>> log_prob_one_hot(torch.zeros(5, 2, 10), all_codes(2, 10).unsqueeze(1)).exp().sum(0)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    """
    log_p = F.log_softmax(logits, dim=-1)
    if z.shape[1] == 1:
        return z.flatten(1) @ log_p.flatten(1).T
    return (z * log_p).sum((-2, -1))


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(q || uniform) = sum over the latents of log C - H(q_l), in closed form: `(batch, L, C)` -> `(batch,)`, nats.

    >>> kl_to_uniform(torch.zeros(3, 2, 10)).abs().max() < 1e-5
    tensor(True)
    """
    log_p = F.log_softmax(logits, dim=-1)
    return (log_p.exp() * (log_p + math.log(logits.shape[-1]))).sum((-2, -1))


def check_cost(cost: Tensor, num_samples: int, batch_size: int, name: str = "the cost") -> None:
    """Refuse a cost that is not `(samples, batch)`, and say which reduction probably lost or kept a dimension.

    Broadcasting would accept it, and train on a wrong gradient without a word.

    >>> check_cost(torch.zeros(64), num_samples=10, batch_size=64)
    Traceback (most recent call last):
    ...
    ValueError: the cost has shape (64,), and (samples, batch) = (10, 64) is needed. The samples' dimension is lost: \
probably a .mean(0) or .sum(0) over the samples. Leave it to the estimator.
    """
    shape, wanted = tuple(cost.shape), (num_samples, batch_size)
    if shape == wanted:
        return
    if shape == ():
        why = "Both dimensions are lost: probably a .mean() or .sum() without a dim. Sum over the pixels alone, .sum(-1)."
    elif shape == (batch_size,):
        why = "The samples' dimension is lost: probably a .mean(0) or .sum(0) over the samples. Leave it to the estimator."
    elif shape == (num_samples,):
        why = "The batch dimension is lost: probably a .mean(1), .mean(-1) too many, or .flatten(1).sum(1) on (samples, batch, pixels)."
    elif shape == (batch_size, num_samples):
        why = "The dimensions have changed places: samples come first."
    elif shape[:2] == wanted and set(shape[2:]) == {1}:
        why = "A dimension of 1 is left over: probably keepdim=True. Use .squeeze(-1)."
    elif shape[:2] == wanted:
        why = f"It is not summed over its last dimensions {shape[2:]}: sum over the pixels (or the latents), .flatten(2).sum(-1)."
    elif len(shape) == 2 and 1 in shape:
        why = "A dimension was reduced with keepdim=True: probably .mean(..., keepdim=True) over the samples or the batch."
    else:
        why = "Compute it for each sample of each example: f(z) for z (samples, batch, latents, classes)."
    raise ValueError(f"{name} has shape {shape}, and (samples, batch) = {wanted} is needed. {why}")


def zero_valued(x: Tensor) -> Tensor:
    """x - x: of value 0, and with the gradient of x. A term times this changes a gradient and not a value."""
    return x - x.detach()
