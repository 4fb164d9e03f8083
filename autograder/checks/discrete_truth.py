"""Small problems with categorical latents, drawn afresh, and the truth about them by enumeration in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Truth", "codes_of", "draw_problem", "every_code", "leave_one_out_mean"]

HIDDEN = 3
LEAST_PROBABILITY, LEAST_GRADIENT, LEAST_SPREAD = 0.02, 0.25, 0.35


def draw_problem(
    rng: torch.Generator, latents: int, classes: int, num_samples: int = 1, examples: int = 2, tile: int = 1
) -> dict[str, Any]:
    """A problem whose answer can be told from the wrong ones: no code is rare, the gradient is no speck, the cost varies.

    Each of `examples` has its own logits and its own cost; the batch holds them `tile` times over.
    """
    normal = lambda *shape: torch.randn(shape, generator=rng)  # noqa: E731
    while True:
        problem = {
            "logits": 0.7 * normal(examples, latents, classes) + normal(examples, latents, 1),  # logits need not be normalized
            "hidden": 1.2 * normal(latents * classes, HIDDEN),
            "bias": 0.5 * normal(examples, HIDDEN),
            "theta": normal(examples, HIDDEN),
            "offset": 2 + float(torch.rand((), generator=rng)),
            "weights": 0.5 + torch.rand(examples, generator=rng),
            "num_samples": num_samples,
        }
        truth = Truth(problem)
        spread = (truth.probabilities * (truth.costs - truth.value) ** 2).sum(0).sqrt()
        if (
            truth.probabilities.min() > LEAST_PROBABILITY
            and spread.min() > LEAST_SPREAD
            and truth.gradient().flatten(1).norm(dim=1).min() > LEAST_GRADIENT
        ):
            break
    return problem | {name: problem[name].repeat(tile, *[1] * (problem[name].dim() - 1)) for name in ("logits", "bias", "theta", "weights")}


def every_code(latents: int, classes: int) -> Tensor:
    """All joint states, (C^L, L, C), float64 one-hot, the last latent fastest."""
    states = torch.tensor(list(itertools.product(range(classes), repeat=latents)))
    return F.one_hot(states, classes).double()


def codes_of(recorded: list[Tensor], examples: int, num_samples: int) -> Tensor | None:
    """What a cost was asked for in one call, as (num_samples, examples, L, C); None where it was something else."""
    parts = [z.double() if z.dim() == 4 else z.double()[None] for z in recorded]
    if not parts or any(z.dim() != 4 or z.shape[1] != examples for z in parts):
        return None
    return parts[0] if len(parts[0]) == num_samples else torch.cat(parts)


def leave_one_out_mean(cost: Tensor) -> Tensor:
    """(S, batch) -> (S, batch): the mean of the others (Kool, van Hoof and Welling 2019)."""
    return (cost.sum(0) - cost) / max(len(cost) - 1, 1)


class Truth:
    """One problem's expectation and gradients, exactly."""

    def __init__(self, problem: dict[str, Any], examples: int | None = None):
        take = slice(examples)
        self.logits, self.bias, self.theta = (problem[name].double()[take] for name in ("logits", "bias", "theta"))
        self.hidden, self.offset, self.num_samples = problem["hidden"].double(), problem["offset"], problem["num_samples"]
        self.codes = every_code(*self.logits.shape[1:])[:, None]  # (K, 1, L, C)
        self.log_probabilities = self.log_q(self.codes)

    def log_q(self, z: Tensor) -> Tensor:
        """(samples, batch)."""
        return (z * self.logits.log_softmax(-1)).sum((-2, -1))

    @property
    def probabilities(self) -> Tensor:
        return self.log_probabilities.exp()

    def activations(self, z: Tensor) -> Tensor:
        """The cost's derivative with respect to theta, (samples, batch, H)."""
        return torch.tanh(z.flatten(-2) @ self.hidden + self.bias)

    def cost(self, z: Tensor) -> Tensor:
        return self.offset + (self.activations(z) * self.theta).sum(-1)

    def score(self, z: Tensor) -> Tensor:
        """d log q(z) / d logits = z - softmax(logits), (samples, batch, L, C)."""
        return z - self.logits.softmax(-1)

    @cached_property
    def costs(self) -> Tensor:
        return self.cost(self.codes)

    @cached_property
    def value(self) -> Tensor:
        return (self.probabilities * self.costs).sum(0)

    def gradient(self) -> Tensor:
        """d value / d logits, (batch, L, C)."""
        return ((self.probabilities * self.costs)[..., None, None] * self.score(self.codes)).sum(0)

    def theta_gradient(self) -> Tensor:
        """d value / d theta, (batch, H)."""
        return (self.probabilities[..., None] * self.activations(self.codes)).sum(0)

    def variance(self, estimator: Callable[[Truth, Tensor, Tensor], Tensor]) -> Tensor:
        """The variance of each entry of an estimator of the gradient, by enumerating all tuples of samples, (batch, L, C)."""
        tuples = list(itertools.product(range(len(self.codes)), repeat=self.num_samples))
        examples = self.logits.shape[0]
        mean = square = torch.zeros_like(self.logits)
        for chosen in torch.tensor(tuples).split(2000):  # (tuples, S)
            z = self.codes[chosen, 0].transpose(0, 1)  # (S, tuples, L, C)
            for example in range(examples):
                one = self.only(example)
                estimate = estimator(one, z, one.cost(z))  # (tuples, L, C)
                weight = self.probabilities[chosen, example].prod(1)[:, None, None]
                pick = F.one_hot(torch.tensor(example), examples)[:, None, None].double()
                mean = mean + pick * (weight * estimate).sum(0)
                square = square + pick * (weight * estimate**2).sum(0)
        return square - mean**2

    def only(self, example: int) -> Truth:
        """The same problem with one example."""
        problem = {"logits": self.logits, "bias": self.bias, "theta": self.theta}
        one = {name: value[example : example + 1] for name, value in problem.items()}
        return Truth(one | {"hidden": self.hidden, "offset": self.offset, "num_samples": self.num_samples})
