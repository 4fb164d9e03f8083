"""Small problems with categorical latents, drawn afresh, and the truth about them by enumeration in float64."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from autograder.exercises.exercise import double
from autograder.units.discrete.probes import Cost

__all__ = ["Truth", "draw_problem"]

HIDDEN = 3
LEAST_PROBABILITY, LEAST_GRADIENT, LEAST_SPREAD = 0.02, 0.25, 0.35


def draw_problem(rng: torch.Generator, latents: int, classes: int, num_samples: int = 1, examples: int = 2) -> dict[str, Any]:
    """A problem for `probes.Cost` whose answer can be told from wrong ones: no code is rare, the gradient is no speck, the cost varies.

    Each of `examples` has its own logits and its own cost.
    """

    def normal(*shape: int) -> torch.Tensor:
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
        slope = truth.gradient.flatten(1).norm(dim=1)
        if truth.probabilities.min() > LEAST_PROBABILITY and spread.min() > LEAST_SPREAD and slope.min() > LEAST_GRADIENT:
            return problem


class Truth:
    """One problem's expectation and its gradient, exactly.

    Attributes:
        codes: every joint state, one-hot (N, 1, L, C). probabilities, costs: of the codes, (N, batch).
        scores: d log q(code) / d logits, (N, batch, L, C). value: the expectation, (batch,). gradient: d value / d logits, (batch, L, C).
    """

    def __init__(self, problem: dict[str, Any]):
        problem = double(problem)
        logits, (latents, classes) = problem["logits"], problem["logits"].shape[1:]
        states = torch.cartesian_prod(*[torch.arange(classes)] * latents).reshape(-1, latents)
        self.codes = F.one_hot(states, classes).double()[:, None]
        self.probabilities = (self.codes * logits.log_softmax(-1)).sum((-2, -1)).exp()
        self.costs, self.scores = Cost(problem, problem["theta"])(self.codes), self.codes - logits.softmax(-1)
        self.value = (self.probabilities * self.costs).sum(0)
        self.gradient = ((self.probabilities * self.costs)[..., None, None] * self.scores).sum(0)
