"""Exercises 2b and 2c: weights that sum to one over the samples, how many samples they leave; K samples in one call of a network."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, extremes, general, value
from autograder.exercises.pictures import furthest
from autograder.units.iwae import PREAMBLE
from autograder.units.iwae.probes import probe_over_samples

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
FOLD_SOLUTION = '''\
def merge(x: Tensor) -> Tensor:
    """Fold the samples into the batch: (K, batch, ...) -> (K * batch, ...)."""
    return x.flatten(0, 1)


def unmerge(x: Tensor, num_samples: int) -> Tensor:
    """Undo merge: (K * batch, ...) -> (K, batch, ...)."""
    return x.unflatten(0, (num_samples, x.shape[0] // num_samples))


def over_samples(f, z: Tensor) -> Tensor:
    """f, which knows a batch only, on all samples at once: z (K, batch, ...) -> f's results (K, batch, ...)."""
    return unmerge(f(merge(z)), z.shape[0])
'''


def draw_weights(rng: torch.Generator, signature: str) -> dict[str, Any]:
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
    "K last inside": body(WEIGHTS_SOLUTION, "return nn.functional.softmax(log_w.T, dim=-1).T"),
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
}
SIZE_HINTS = (
    "Start from normalized weights. What is the sum of their squares when they are all equal, and when one of them is 1?",
    "All equal: K (1/K)^2 = 1/K. One for all: 1. So the reciprocal of that sum counts samples.",
    "return 1 / normalized_weights(log_w).square().sum(dim=0)",
)

# --- K samples in one call -----------------------------------------------------------------------

MERGED, UNMERGED, FOLDED = "x.flatten(0, 1)", "x.unflatten(0, (num_samples, x.shape[0] // num_samples))", "unmerge(f(merge(z)), z.shape[0])"
WITHOUT = ((MERGED, "x"), (UNMERGED, "x"))  # neither merge nor unmerge is of use
SHAPES = {"vectors": (3, 4, 2), "images": (4, 3, 1, 5, 2), "numbers": (5, 2)}
RIGHT = value(2, *SHAPES, what="The result", shape="f's results, (K, batch, ...)", random="", rtol=1e-6, atol=1e-6)


def draw_samples(rng: torch.Generator) -> dict[str, Any]:
    return cases("over_samples(f, z)", **{name: {"z": torch.randn(shape, generator=rng)} for name, shape in SHAPES.items()})


def judge_calls(seen: Seen) -> Finding:
    calls, right = seen.outputs["calls"], seen.right["calls"]
    if 0 < calls <= right:
        return passed("one_call", "f is called once, on all samples.")
    message = f"For {right} tensors z f is called {calls} times."
    return failed("one_call", message, "a_call_for_each_sample" if calls else None, "one call of f for each z", f"{calls} calls")


FOLD_LAWS = (
    replace(RIGHT, name="values", judge=lambda seen: replace(RIGHT.judge(seen), behavior="values"),
            view=lambda outputs: [outputs[name].get("value", "stops") for name in SHAPES]),
    Behavior("one_call", 1, judge_calls, after="values", own=True),
)

FOLD_MISTAKES = (
    Mistake("merge_permutes_the_batch", "Samples and examples come back in another order than they went in.",
            "flatten(0, 1) of (K, batch, ...) lies sample after sample, so the way back is unflatten(0, (K, batch)).",
            (UNMERGED, "x.unflatten(0, (x.shape[0] // num_samples, num_samples)).transpose(0, 1)"),
            (MERGED, "x.transpose(0, 1).flatten(0, 1)"), (UNMERGED, "x.unflatten(0, (x.shape[0] // num_samples, num_samples))")),
    Mistake("not_unmerged", "The result is still folded: (K * batch, ...).", "unmerge has to give the dimension of the samples back.",
            (UNMERGED, "x")),
    Mistake("only_vectors", "It works for (K, batch, M) only.", "Fold the first two dimensions, whatever follows: even nothing at all.",
            (MERGED, "x.view(-1, x.shape[2])"), (MERGED, "x.reshape(-1, x.shape[-1])"),
            *(wrapped("value", taken) for taken in ("_, _, _ = given[1].shape", "_ = given[1].shape[2]"))),
    Mistake("one_sample_only", "Only one sample went through.", "All K samples are asked for.",
            (*WITHOUT, (FOLDED, "f(z[0])")), wrapped("value[:1]")),
    Mistake("samples_and_batch_swapped", "Samples and batch have changed places.", "The result starts with K, then batch, as z does.",
            wrapped("value.transpose(0, 1)")),
    Mistake("averaged_over_the_samples", "The samples are averaged.", "Every sample's result is asked for.", wrapped("value.mean(dim=0)")),
    Mistake("a_call_for_each_sample", "f is called for each sample by itself.",
            "Fold the samples into the batch and call f once: a network takes a large batch far faster than many small ones.",
            (*WITHOUT, (FOLDED, "torch.stack([f(sample) for sample in z])")),
            (*WITHOUT, (FOLDED, "torch.stack([f(example) for example in z.unbind(1)], dim=1)"))),
    Mistake("changes_its_inputs", "z is changed in place.",
            "Methods ending in an underscore and += overwrite their tensor; make a new one.", wrapped("(value, given[1].mul_(2))[0]")),
)

WHOLE = FOLD_SOLUTION[FOLD_SOLUTION.index("def over_samples"):]
FOLD_VARIANTS = {
    "example by example": body(WHOLE, "y = f(z.transpose(0, 1).flatten(0, 1))",
                               "return y.unflatten(0, (z.shape[1], z.shape[0])).transpose(0, 1)"),
    "cat and split": body(WHOLE, "return torch.stack(f(torch.cat(list(z))).split(z.shape[1]))"),
}
FOLD_HINTS = (
    "A tensor (K, batch, M) lies in memory sample after sample. Which reshaping leaves that order alone?",
    "flatten(0, 1) folds the first two dimensions into one; unflatten(0, (K, batch)) takes them apart again, in the same order.",
    "merge: x.flatten(0, 1). unmerge: x.unflatten(0, (num_samples, x.shape[0] // num_samples)).",
)

EXERCISES = (
    Exercise(name="iwae.normalized_weights", target="normalized_weights", title="Weights that sum to one over the samples",
        read_on="Lecture 02, how many samples are left", solution=WEIGHTS_SOLUTION, preamble=PREAMBLE,
        draw=partial(draw_weights, signature="normalized_weights(log_w)"),
        laws=(value(1, "usual", "one", what="The tensor of weights", shape="the shape of log_w", atol=1e-5), FAR),
        mistakes=WEIGHTS_MISTAKES, variants=WEIGHTS_VARIANTS, hints=WEIGHTS_HINTS,
        picture=partial(picture, right=lambda w: w, across="sample", up="normalized weight")),
    Exercise(name="iwae.effective_sample_size", target="effective_sample_size", title="How many samples the weights leave",
        read_on="Lecture 02, how many samples are left", solution=SIZE_SOLUTION, preamble=PREAMBLE + WEIGHTS_SOLUTION + "\n\n",
        draw=partial(draw_weights, signature="effective_sample_size(log_w)"),
        laws=(value(1, "usual", "one", what="The effective sample size", atol=1e-5), FAR),
        mistakes=SIZE_MISTAKES, variants=SIZE_VARIANTS, hints=SIZE_HINTS,
        picture=partial(picture, right=lambda w: 1 / w.square().sum(0), across="example", up="effective sample size")),
    Exercise(name="iwae.over_samples", target="over_samples", title="K samples through a network in one call",
        read_on="Lecture 02, folding samples into the batch", solution=FOLD_SOLUTION, preamble=PREAMBLE, draw=draw_samples,
        probe=probe_over_samples, laws=FOLD_LAWS, mistakes=FOLD_MISTAKES, variants=FOLD_VARIANTS, hints=FOLD_HINTS),
)
