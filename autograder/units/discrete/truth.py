"""Small problems with categorical latents, drawn afresh, and the truth about them by enumeration in float64."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import double
from autograder.units.discrete.probes import Cost

__all__ = ["Truth", "draw_problem"]

HIDDEN = 3


def draw_problem(rng: torch.Generator, latents: int, classes: int, num_samples: int = 1, examples: int = 2) -> dict[str, Any]:
    """A problem for `probes.Cost` whose answer can be told from wrong ones; each of `examples` has its own logits and its own cost."""

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
        if Truth(problem).telling(estimated=num_samples > 1):
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
        self.value, self.gradient = self.mean(self.costs), self.mean(self.costs[..., None, None] * self.scores)

    def mean(self, of_codes: Tensor) -> Tensor:
        return torch.einsum("nb,nb...->b...", self.probabilities, of_codes)

    def telling(self, estimated: bool) -> bool:
        """No code is rare, the cost varies, the gradient is no speck; a surrogate is told from estimates of the cost by its mean, too."""
        off = self.costs - self.value
        surrogate = off * self.probabilities.log()
        apart = self.mean(surrogate).abs() / self.mean(surrogate**2).sqrt()
        slope, spread = self.gradient.flatten(1).norm(dim=1), self.mean(off**2).sqrt()
        clear = self.probabilities.min() > 0.02 and spread.min() > 0.35 and slope.min() > 0.25
        return bool(clear and (apart.max() > 0.25 or not estimated))
