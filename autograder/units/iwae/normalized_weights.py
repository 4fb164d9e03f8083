"""Exercise 2b: weights that sum to one over the samples of an example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, general, shown, value
from autograder.exercises.pictures import furthest
from autograder.units.iwae import PREAMBLE

SOLUTION = '''\
def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one over the samples: (K, batch) -> (K, batch)."""
    return torch.softmax(log_w, dim=0)
'''


def draw_log_weights(rng: torch.Generator, signature: str) -> dict[str, Any]:
    """Log-weights (K, batch): of usual size, of a single sample, and of 784 pixels."""

    def log_w(samples: int, batch: int, level: float, spread: float) -> dict[str, Tensor]:
        # Examples a tenth of the level apart, in any order: what is small beside another example's weights is not small beside its own.
        levels = level * (1 + 0.1 * torch.randperm(batch, generator=rng))
        return {"log_w": levels + spread * torch.randn(samples, batch, generator=rng)}

    return cases(signature, usual=log_w(7, 5, -2.0, 1.2), one=log_w(1, 3, -3.0, 1.0), far=log_w(9, 4, -900.0, 1.5))


def draw(rng: torch.Generator) -> dict[str, Any]:
    return draw_log_weights(rng, "normalized_weights(log_w)")


def far_weights(points: int) -> Behavior:
    """The right value for log-weights whose exponentials are 0. What is wrong for others is not right for these by chance."""

    def judge(seen: Seen) -> Finding:
        got, right = seen.outputs["far"], seen.right["far"]["value"]
        if "trouble" in got:
            return failed("extremes", f"With log-weights near -900: {got['trouble']}", "exp_underflows")
        got = got["value"]
        if close(got, right, rtol=1e-3, atol=2e-4):
            return passed("extremes", "Log-weights of 784 pixels are no trouble.")
        message = f"With log-weights near -900, as 784 pixels give them, it is {'wrong' if got.isfinite().all() else 'not finite'}."
        usual = close(seen.outputs["usual"]["value"], seen.right["usual"]["value"])
        return failed("extremes", message, "exp_underflows" if usual else None, shown(right), shown(got))

    return Behavior("extremes", points, judge, lambda outputs: outputs["far"]["value"], after="value", sound=lambda view: False,
                    rtol=1e-3, atol=2e-4)


UNDERFLOWS = ("With small log-weights exp(log_w) is 0, and 0 / 0 is no number.",
              "Subtract each example's largest log-weight first, or let torch.softmax do it.")
SOFTMAX = "torch.softmax(log_w, dim=0)"

MISTAKES = (
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

VARIANTS = {
    "by the maximum": body(SOLUTION, "w = (log_w - log_w.max(dim=0, keepdim=True).values).exp()", "return w / w.sum(0, keepdim=True)"),
    "exp of log_softmax": body(SOLUTION, "return torch.exp(log_w - torch.logsumexp(log_w, 0))"),
    "K last inside": body(SOLUTION, "return nn.functional.softmax(log_w.T, dim=-1).T"),
    "in float64": body(SOLUTION, "return log_w.double().softmax(0)"),
}

HINTS = (
    "Which function makes positive numbers that sum to one out of any real numbers, and does not mind their size?",
    "It is the softmax; the only question is over which dimension. The samples of one example share the weight 1.",
    "return torch.softmax(log_w, dim=0)",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The weights of the example that is furthest off; where the usual ones are right, of one whose exponentials are 0."""
    right = {name: torch.softmax(given["log_w"].double(), 0) for name, given in inputs["cases"].items()}
    case = "far" if close(outputs["usual"]["value"], right["usual"]) else "usual"
    return furthest(ax, outputs[case]["value"].T, right[case].T, "sample", "normalized weight")


EXERCISES = (
    Exercise(name="iwae.normalized_weights", target="normalized_weights", title="Weights that sum to one over the samples",
        read_on="Lecture 02, how many samples are left", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(value(1, "usual", "one", what="The tensor of weights", shape="the shape of log_w", atol=1e-5), far_weights(1)),
        mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture),
)
