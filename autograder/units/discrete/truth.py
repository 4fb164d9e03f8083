"""Small problems with categorical latents, drawn afresh, and the truth about them by enumeration in float64."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Truth", "draw_problem"]

HIDDEN = 3
LEAST_PROBABILITY, LEAST_GRADIENT, LEAST_SPREAD = 0.02, 0.25, 0.35


def draw_problem(
    rng: torch.Generator, latents: int, classes: int, num_samples: int = 1, examples: int = 2, tile: int = 1
) -> dict[str, Any]:
    """A problem for `probes.Cost` whose answer can be told from wrong ones: no code is rare, the gradient is no speck, the cost varies.

    Each of `examples` has its own logits and its own cost; the batch holds them `tile` times over.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    while True:
        problem = {
            "logits": 0.7 * normal(examples, latents, classes) + normal(examples, latents, 1),  # logits need not be normalized
            "hidden": 1.2 * normal(latents * classes, HIDDEN),
            "bias": 0.5 * normal(examples, HIDDEN),
            "theta": normal(examples, HIDDEN),
            "offset": 2 + float(torch.rand((), generator=rng)),
            "num_samples": num_samples,
        }
        truth = Truth(problem)
        spread = (truth.probabilities * (truth.costs - truth.value) ** 2).sum(0).sqrt()
        slope = truth.gradient().flatten(1).norm(dim=1)
        if truth.probabilities.min() > LEAST_PROBABILITY and spread.min() > LEAST_SPREAD and slope.min() > LEAST_GRADIENT:
            return problem | {name: problem[name].repeat(tile, *[1] * (problem[name].dim() - 1)) for name in ("logits", "bias", "theta")}


class Truth:
    """One problem's expectation and gradients, exactly.

    Attributes:
        logits (batch, L, C), bias and theta (batch, H). codes: every joint state, one-hot (N, 1, L, C), the last latent fastest.
        probabilities, costs: of the codes, (N, batch). value: the expectation, (batch,).
    """

    def __init__(self, problem: dict[str, Any], rows: slice = slice(None)):
        self.problem, self.offset = problem, problem["offset"]
        self.logits, self.bias, self.theta = (problem[name].double()[rows] for name in ("logits", "bias", "theta"))
        latents, classes = self.logits.shape[1:]
        states = torch.tensor(list(itertools.product(range(classes), repeat=latents)))
        self.codes = F.one_hot(states, classes).double()[:, None]
        self.probabilities, self.costs = self.log_q(self.codes).exp(), self.cost(self.codes)

    def log_q(self, z: Tensor) -> Tensor:
        """(samples, batch)."""
        return (z * self.logits.log_softmax(-1)).sum((-2, -1))

    def activations(self, z: Tensor) -> Tensor:
        """The cost's derivative with respect to theta, (samples, batch, H)."""
        return torch.tanh(z.flatten(-2) @ self.problem["hidden"].double() + self.bias)

    def cost(self, z: Tensor) -> Tensor:
        """(samples, batch)."""
        return self.offset + (self.activations(z) * self.theta).sum(-1)

    def score(self, z: Tensor) -> Tensor:
        """d log q(z) / d logits, (samples, batch, L, C)."""
        return z - self.logits.softmax(-1)

    @cached_property
    def value(self) -> Tensor:
        return (self.probabilities * self.costs).sum(0)

    def gradient(self) -> Tensor:
        """d value / d logits, (batch, L, C)."""
        return ((self.probabilities * self.costs)[..., None, None] * self.score(self.codes)).sum(0)

    def theta_gradient(self) -> Tensor:
        """d value / d theta, (batch, H)."""
        return (self.probabilities[..., None] * self.activations(self.codes)).sum(0)
