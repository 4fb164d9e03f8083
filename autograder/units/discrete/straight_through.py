"""Exercise 3b: hard forward, soft backward."""

from dataclasses import replace
from typing import Any

import torch

from autograder.exercises.exercise import Mistake, body
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, general, gradient, value
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.laws import pictured

SOLUTION = '''\
def straight_through(soft: Tensor) -> Tensor:
    """One-hot codes at the largest entries of soft (..., C), with the gradient of soft; same shape."""
    hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()
'''
HARD, RESULT = "nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)", "return hard + soft - soft.detach()"


def draw(rng: torch.Generator) -> dict[str, Any]:
    soft = (1.2 * torch.randn(2, 5, 3, 4, generator=rng)).softmax(-1)
    return cases("straight_through(soft)", ("soft",), usual={"soft": soft})


def sound(view: Any) -> bool:
    """A gradient comes through, and not because soft itself, which has its own, is returned."""
    values, slopes = view
    returned = close(values.sum(-1), torch.ones(values.shape[:-1])) and float(values.max()) < 1
    return slopes.get("soft") is not None and not returned


GRADIENT = replace(gradient(1, "usual", sign=""), view=lambda outputs: (outputs["usual"]["value"], outputs["usual"]["slopes"]), sound=sound)

MISTAKES = (
    Mistake("without_the_detach_trick", "The code is hard, but no gradient passes: argmax has none.",
            "Add the soft sample and take its value away again: hard + soft - soft.detach().",
            (RESULT, "return hard"), (RESULT, "return hard + soft - soft")),
    Mistake("soft_for_hard", "The soft sample comes back; a one-hot code is asked for.",
            "hard + soft - soft.detach() has the value of hard. Are all three there?",
            body(SOLUTION, f"hard = {HARD}", "return hard - hard.detach() + soft")),
    Mistake("index_for_one_hot", "This is the index of the largest entry; its one-hot vector is asked for.",
            "nn.functional.one_hot(index, C), as floating point.", body(SOLUTION, "return soft.argmax(dim=-1)")),
    Mistake("hard_times_soft", "The one-hot vector is multiplied with the soft sample: its entry is not one.",
            "Add and take away: hard + soft - soft.detach().", (RESULT, "return hard * soft")),
    Mistake("threshold_for_argmax", "Entries above one half are taken, and with several classes there may be none.",
            "Take the largest entry: soft.argmax(-1).", (HARD, "(soft > 0.5).to(soft.dtype)")),
    Mistake("argmax_over_the_wrong_axis", "The argmax runs over the wrong axis.", "Classes are the last axis: soft.argmax(-1).",
            *((HARD, f"nn.functional.one_hot(soft.argmax(dim={d}), soft.shape[{d}]).to(soft.dtype).movedim(-1, {d})") for d in (1, 0))),
    Mistake("gradient_negated", "The gradient has the wrong sign.",
            "hard + soft - soft.detach(): the soft sample that keeps its gradient has the plus.",
            (RESULT, "return hard - soft + soft.detach()")),
    *general("changes_its_inputs"),
)

VARIANTS = {
    "scatter": body(
        SOLUTION, "hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)",
        "return hard.detach() - soft.detach() + soft"),
    "a function of its own": body(
        SOLUTION, "class Hard(torch.autograd.Function):", "    @staticmethod", "    def forward(ctx, given):",
        "        return nn.functional.one_hot(given.argmax(-1), given.shape[-1]).to(given)", "    @staticmethod",
        "    def backward(ctx, slope):", "        return slope", "return Hard.apply(soft)"),
}

HINTS = (
    "You want the value of one tensor and the gradient of another. What is soft - soft.detach() as a number, and what is its gradient?",
    "hard = nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]) has no gradient. Add something that is zero and has soft's gradient.",
    "return hard + soft - soft.detach()",
)

EXERCISES = (
    pictured(
        (("usual", "value"), "class", "code"), (("usual", "slopes", "soft"), "class", "gradient"),
        name="discrete.straight_through", target="straight_through", title="Hard forward, soft backward",
        read_on="Lecture 04, section 7, straight-through", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.straight_through,
        laws=(value(1, "usual", what="The code", shape="the shape of soft", random=""), GRADIENT),
        mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
