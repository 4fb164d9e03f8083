"""Exercise 2b: weights that sum to one over the samples of an example, and how many samples they leave."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, extremes, general, value
from autograder.exercises.pictures import furthest
from autograder.units.iwae import PREAMBLE

WEIGHTS_SOLUTION = '''\
def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one over the samples: (K, batch) -> (K, batch)."""
    return torch.softmax(log_w, dim=0)
'''
SIZE_SOLUTION = '''\
def effective_sample_size(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights: (K, batch) -> (batch,), between 1 and K."""
    return 1 / normalized_weights(log_w).square().sum(dim=0)
'''


def draw(rng: torch.Generator, signature: str) -> dict[str, Any]:
    """Log-weights (K, batch): of usual size, of a single sample, and of 784 pixels."""

    def log_w(samples: int, batch: int, level: float, spread: float) -> dict[str, Tensor]:
        # Examples a tenth of the level apart, in any order: what is small beside another example's weights is not small beside its own.
        levels = level * (1 + 0.1 * torch.randperm(batch, generator=rng))
        return {"log_w": levels + spread * torch.randn(samples, batch, generator=rng)}

    return cases(signature, usual=log_w(7, 5, -2.0, 1.2), one=log_w(1, 3, -3.0, 1.0), far=log_w(9, 4, -900.0, 1.5))


# Log-weights whose exponentials are 0. What is wrong for others is not right for these by chance.
FAR = replace(extremes(1, "far", "log-weights near -900, as 784 pixels give them", "exp_underflows", 1e-3, 2e-4), sound=lambda view: False)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], right: Any, across: str, up: str) -> str:
    """The example that is furthest off, or the size of each; where the usual ones are right, of log-weights whose exponentials are 0."""
    wanted = {name: right(torch.softmax(given["log_w"].double(), 0)).movedim(0, -1) for name, given in inputs["cases"].items()}
    got = {name: outputs[name]["value"].movedim(0, -1) for name in ("usual", "far")}
    case = "far" if close(got["usual"], wanted["usual"]) else "usual"
    return furthest(ax, got[case], wanted[case], across, up)


UNDERFLOWS = ("With small log-weights exp(log_w) is 0, and 0 / 0 is no number.",
              "Subtract each example's largest log-weight first, or let torch.softmax do it.")
SOFTMAX, CALL, SUM = "torch.softmax(log_w, dim=0)", "normalized_weights(log_w)", ".sum(dim=0)"

WEIGHTS_MISTAKES = (
    Mistake("normalized_over_the_batch", "The weights are normalized over the batch.",
            "The K samples of one example share the weight 1: normalize over dim=0 of (K, batch).", ("dim=0", "dim=1")),
    Mistake("normalized_over_everything", "The weights are normalized over samples and batch together.",
            "Each example's K weights sum to one: dim=0.", (SOFTMAX, "torch.softmax(log_w.flatten(), dim=0).view(log_w.shape)")),
    Mistake("weights_not_normalized", "The weights are not normalized.", "Divide by their sum over the samples: softmax does.",
            (SOFTMAX, "log_w.exp()"), (SOFTMAX, "log_w.exp() / len(log_w)")),
    Mistake("log_weights_normalized", "The log-weights are divided by their sum.", "The weights are exp(log_w): normalize these.",
            (SOFTMAX, "log_w / log_w.sum(dim=0)")),
    Mistake("exp_underflows", *UNDERFLOWS, (SOFTMAX, "log_w.exp() / log_w.exp().sum(dim=0)")),
    Mistake("weights_inverted", "The smallest log-weight has the largest weight.", "softmax(log_w), without a minus.",
            wrapped("value", "given = (-given[0],)")),
    Mistake("largest_weight_is_one", "The weights are divided by the largest; their sum is asked to be one.",
            "Divide by the sum over the samples.", wrapped("value / value.amax(0)"), (SOFTMAX, "(log_w - log_w.max()).exp()")),
    Mistake("mean_for_sum", "The weights have mean one; their sum has to be one.", "Divide by the sum, not by the mean.",
            wrapped("value * len(value)")),
    Mistake("logarithms_returned", "These are the logarithms of the normalized weights.", "softmax, not log_softmax.",
            (SOFTMAX, "torch.log_softmax(log_w, dim=0)")),
    Mistake("samples_last", "Samples and batch have changed places.", "Return the shape that came in, (K, batch).", wrapped("value.T")),
    *general("changes_its_inputs"),
)

WEIGHTS_VARIANTS = {
    "by the maximum": body(WEIGHTS_SOLUTION, "w = (log_w - log_w.amax(dim=0)).exp()", "return w / w.sum(0, keepdim=True)"),
    "exp of log_softmax": body(WEIGHTS_SOLUTION, "return torch.exp(log_w - torch.logsumexp(log_w, 0))"),
    "K last inside": body(WEIGHTS_SOLUTION, "return nn.functional.softmax(log_w.T, dim=-1).T"),
    "in float64": body(WEIGHTS_SOLUTION, "return log_w.double().softmax(0)"),
}
WEIGHTS_HINTS = (
    "Which function makes positive numbers that sum to one out of any real numbers, and does not mind their size?",
    "It is the softmax; the only question is over which dimension. The samples of one example share the weight 1.",
    "return torch.softmax(log_w, dim=0)",
)

SIZE_MISTAKES = (
    Mistake("sum_of_squares", "This is the sum of the squared weights, and the effective sample size is its reciprocal.",
            "With K equal weights the sum of squares is 1/K; that many samples are K.", ("1 / ", ""), ("1 / ", "len(log_w) * ")),
    Mistake("ess_over_the_batch", "The sum goes over the batch.", "Each example has an effective sample size of its own: sum over dim=0.",
            ((CALL, "torch.softmax(log_w, dim=1)"), (SUM, ".sum(dim=1)")), (SUM, ".sum(dim=1)"), (CALL, "torch.softmax(log_w, dim=1)")),
    Mistake("weights_not_normalized", "The weights are not normalized.",
            "1 / sum of squares counts samples only if the weights sum to one. Or use (sum w)^2 / sum w^2.",
            (CALL, "log_w.exp()"), body(SIZE_SOLUTION, "w = log_w.exp()", "return w.sum(dim=0) / w.square().sum(dim=0)"),
            body(SIZE_SOLUTION, "return log_w.exp().sum(dim=0).square()")),
    Mistake("without_square", "The squares are missing.", "The normalized weights themselves always sum to one. Sum their squares.",
            (".square()", ""), (("1 / ", "len(log_w) / "), (".square()", ""))),
    Mistake("fraction_for_number", "This is a fraction of the samples; their number is asked for.", "Do not divide by K.",
            wrapped("value / len(given[0])")),
    Mistake("perplexity_for_ess", "This is the exponential of the entropy of the weights.",
            "It also counts samples, in another way. Asked for is 1 / sum of squares.",
            body(SIZE_SOLUTION, "w = normalized_weights(log_w)", "return torch.exp(-(w * w.log()).sum(dim=0))")),
    Mistake("largest_weight_for_ess", "This is one over the largest weight.", "Asked for is 1 / sum of squares.",
            (".square().sum(dim=0)", ".amax(dim=0)")),
    Mistake("mean_of_squares", "The squares are averaged; they have to be summed.", "1 / sum of squares of the normalized weights.",
            (SUM, ".mean(dim=0)")),
    Mistake("exp_underflows", *UNDERFLOWS, (CALL, "(log_w.exp() / log_w.exp().sum(dim=0))")),
    Mistake("logarithms_returned", "This is a logarithm.", "Return the number of samples itself.", wrapped("value.log()")),
    Mistake("square_root_of_ess", "This is the square root.", "No root: 1 / sum of squares.", wrapped("value.sqrt()")),
    Mistake("averaged_over_the_batch", "The batch is averaged or summed, too.", "Return one number for each example, shape (batch,).",
            wrapped("value.mean()"), (SUM, ".sum()"), wrapped("value.sum()")),
    *general("changes_its_inputs"),
)

SIZE_VARIANTS = {
    "sum squared over sum of squares": body(SIZE_SOLUTION, "w = (log_w - log_w.amax(0)).exp()", "return w.sum(0) ** 2 / (w**2).sum(0)"),
    "in logarithms": body(SIZE_SOLUTION, "return (2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)).exp()"),
    "by the spread of the weights": body(SIZE_SOLUTION, "w = normalized_weights(log_w) * len(log_w)",
                                         "return len(log_w) / (1 + w.var(dim=0, unbiased=False))"),
    "einsum": body(SIZE_SOLUTION, "w = log_w.softmax(0)", "return torch.einsum('kb,kb->b', w, w).reciprocal()"),
}
SIZE_HINTS = (
    "Start from normalized weights. What is the sum of their squares when they are all equal, and when one of them is 1?",
    "All equal: K (1/K)^2 = 1/K. One for all: 1. So the reciprocal of that sum counts samples.",
    "return 1 / normalized_weights(log_w).square().sum(dim=0)",
)

EXERCISES = (
    Exercise(name="iwae.normalized_weights", target="normalized_weights", title="Weights that sum to one over the samples",
        read_on="Lecture 02, how many samples are left", solution=WEIGHTS_SOLUTION, preamble=PREAMBLE,
        draw=partial(draw, signature="normalized_weights(log_w)"),
        laws=(value(1, "usual", "one", what="The tensor of weights", shape="the shape of log_w", atol=1e-5), FAR),
        mistakes=WEIGHTS_MISTAKES, variants=WEIGHTS_VARIANTS, hints=WEIGHTS_HINTS,
        picture=partial(picture, right=lambda w: w, across="sample", up="normalized weight")),
    Exercise(name="iwae.effective_sample_size", target="effective_sample_size", title="How many samples the weights leave",
        read_on="Lecture 02, how many samples are left", solution=SIZE_SOLUTION, preamble=PREAMBLE + WEIGHTS_SOLUTION + "\n\n",
        draw=partial(draw, signature="effective_sample_size(log_w)"),
        laws=(value(1, "usual", "one", what="The effective sample size", atol=1e-5), FAR),
        mistakes=SIZE_MISTAKES, variants=SIZE_VARIANTS, hints=SIZE_HINTS,
        picture=partial(picture, right=lambda w: 1 / w.square().sum(0), across="example", up="effective sample size")),
)
