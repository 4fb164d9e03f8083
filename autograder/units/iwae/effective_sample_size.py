"""Exercise 2b: how many samples the weights leave."""

from __future__ import annotations

from typing import Any

import torch

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.laws import close, general, value
from autograder.exercises.pictures import furthest
from autograder.units.iwae import PREAMBLE, normalized_weights
from autograder.units.iwae.normalized_weights import UNDERFLOWS, draw_log_weights, far_weights

SOLUTION = '''\
def effective_sample_size(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights: (K, batch) -> (batch,), between 1 and K."""
    return 1 / normalized_weights(log_w).square().sum(dim=0)
'''
WEIGHTS, SUM = "normalized_weights(log_w)", ".sum(dim=0)"


def draw(rng: torch.Generator) -> dict[str, Any]:
    return draw_log_weights(rng, "effective_sample_size(log_w)")


MISTAKES = (
    Mistake("sum_of_squares", "This is the sum of the squared weights, and the effective sample size is its reciprocal.",
            "With K equal weights the sum of squares is 1/K; that many samples are K.", ("1 / ", ""), ("1 / ", "len(log_w) * ")),
    Mistake("ess_over_the_batch", "The sum goes over the batch.", "Each example has an effective sample size of its own: sum over dim=0.",
            ((WEIGHTS, "torch.softmax(log_w, dim=1)"), (SUM, ".sum(dim=1)")), (SUM, ".sum(dim=1)"),
            (WEIGHTS, "torch.softmax(log_w, dim=1)")),
    Mistake("weights_not_normalized", "The weights are not normalized.",
            "1 / sum of squares counts samples only if the weights sum to one. Or use (sum w)^2 / sum w^2.",
            (WEIGHTS, "log_w.exp()"), body(SOLUTION, "w = log_w.exp()", "return w.sum(dim=0) / w.square().sum(dim=0)"),
            body(SOLUTION, "return log_w.exp().sum(dim=0).square()")),
    Mistake("without_square", "The squares are missing.", "The normalized weights themselves always sum to one. Sum their squares.",
            (".square()", ""), (("1 / ", "len(log_w) / "), (".square()", ""))),
    Mistake("fraction_for_number", "This is a fraction of the samples; their number is asked for.", "Do not divide by K.",
            wrapped("value / len(given[0])")),
    Mistake("perplexity_for_ess", "This is the exponential of the entropy of the weights.",
            "It also counts samples, in another way. Asked for is 1 / sum of squares.",
            body(SOLUTION, "w = normalized_weights(log_w)", "return torch.exp(-(w * w.log()).sum(dim=0))")),
    Mistake("largest_weight_for_ess", "This is one over the largest weight.", "Asked for is 1 / sum of squares.",
            (".square().sum(dim=0)", ".amax(dim=0)")),
    Mistake("mean_of_squares", "The squares are averaged; they have to be summed.", "1 / sum of squares of the normalized weights.",
            (SUM, ".mean(dim=0)")),
    Mistake("exp_underflows", *UNDERFLOWS, (WEIGHTS, "(log_w.exp() / log_w.exp().sum(dim=0))")),
    Mistake("logarithms_returned", "This is a logarithm.", "Return the number of samples itself.", wrapped("value.log()")),
    Mistake("square_root_of_ess", "This is the square root.", "No root: 1 / sum of squares.", wrapped("value.sqrt()")),
    Mistake("averaged_over_the_batch", "The batch is averaged or summed, too.", "Return one number for each example, shape (batch,).",
            wrapped("value.mean()"), (SUM, ".sum()"), wrapped("value.sum()")),
    *general("changes_its_inputs"),
)

VARIANTS = {
    "sum squared over sum of squares": body(SOLUTION, "w = (log_w - log_w.amax(0)).exp()", "return w.sum(0) ** 2 / (w**2).sum(0)"),
    "in logarithms": body(SOLUTION, "return (2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)).exp()"),
    "by the spread of the weights": body(SOLUTION, "w = normalized_weights(log_w) * len(log_w)",
                                         "return len(log_w) / (1 + w.var(dim=0, unbiased=False))"),
    "einsum": body(SOLUTION, "w = log_w.softmax(0)", "return torch.einsum('kb,kb->b', w, w).reciprocal()"),
}

HINTS = (
    "Start from normalized weights. What is the sum of their squares when they are all equal, and when one of them is 1?",
    "All equal: K (1/K)^2 = 1/K. One for all: 1. So the reciprocal of that sum counts samples.",
    "return 1 / normalized_weights(log_w).square().sum(dim=0)",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The number of each example."""
    right = {name: 1 / torch.softmax(given["log_w"].double(), 0).square().sum(0) for name, given in inputs["cases"].items()}
    case = "far" if close(outputs["usual"]["value"], right["usual"]) else "usual"
    return furthest(ax, outputs[case]["value"], right[case], "example", "effective sample size")


EXERCISES = (
    Exercise(name="iwae.effective_sample_size", target="effective_sample_size", title="How many samples the weights leave",
        read_on="Lecture 02, how many samples are left", solution=SOLUTION, preamble=PREAMBLE + normalized_weights.SOLUTION + "\n\n",
        draw=draw, laws=(value(1, "usual", "one", what="The effective sample size", atol=1e-5), far_weights(1)), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS, picture=picture),
)
