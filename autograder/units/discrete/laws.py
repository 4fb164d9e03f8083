"""What exercises of unit 04 share: small problems and the truth about them, laws that hold in any right form, a picture."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, double, passed, run
from autograder.exercises.laws import close
from autograder.exercises.pictures import furthest
from autograder.units.discrete.probes import Cost

HIDDEN = 3


def draw_problem(rng: torch.Generator, latents: int, classes: int, num_samples: int = 1, examples: int = 2) -> dict[str, Any]:
    """A problem for `probes.Cost` whose answer can be told from wrong ones; each of `examples` has its own logits and its own cost."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    while True:
        problem = {
            "logits": 0.7 * normal(examples, latents, classes) + normal(examples, latents, 1),  # logits need not be normalized
            "hidden": 1.2 * normal(latents * classes, HIDDEN), "bias": 0.5 * normal(examples, HIDDEN), "theta": normal(examples, HIDDEN),
            "offset": 2 + float(torch.rand((), generator=rng)), "num_samples": num_samples,
        }
        if Truth(problem).telling(estimated=num_samples > 1):
            return problem


class Truth:
    """One problem's expectation, `value` (batch,), and its `gradient` for the logits (batch, L, C), exactly; `codes` are (N, 1, L, C)."""

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


def joined(name: str, points: int, *laws: Behavior, inputs: dict[str, Any] | None = None, **settings: Any) -> Behavior:
    """Right if all these laws hold, in the solution or another form of it; else what is wrong in the first. `inputs` say what they see."""

    def judge(seen: Seen) -> Finding:
        faults = []
        for form in ((), *seen.exercise.forms):
            exercise = replace(seen.exercise, solution=seen.exercise.source(*form))
            here = Seen(exercise, seen.inputs | (inputs or {}), seen.outputs)
            faults.append(next((f for f in (law.judge(here) for law in laws) if not f.passed), None))
            if faults[-1] is None:
                return passed(name, "All of it is right.")
        return replace(faults[0], behavior=name)

    return Behavior(name, points, judge, **settings)


Part = tuple[Sequence[str], str, str]  # its path in the outputs, and words for what is across and what is up


def pictured(*parts: Part, **asked: Any) -> Exercise:
    """An exercise whose picture is the first of these parts that is wrong, beside what is right; no gradient is drawn as zeros."""

    def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        right = run(exercise, exercise.solution, double(inputs))
        for path, across, up in parts:
            got, want = (reduce(lambda found, key: found.get(key), path, found) for found in (outputs, right))
            got = torch.zeros_like(want) if got is None else got
            if not close(got, want, 1e-3):
                return furthest(ax, got, want, across, up)
        raise ValueError("nothing to draw")

    exercise = Exercise(**asked, picture=picture)
    return exercise
