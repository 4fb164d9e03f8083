"""Exercise 2c: K samples through a network that knows a batch only, in one call."""

from dataclasses import replace
from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import value
from autograder.units.iwae import PREAMBLE
from autograder.units.iwae.probes import probe_over_samples

SOLUTION = '''\
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
MERGED, UNMERGED, FOLDED = "x.flatten(0, 1)", "x.unflatten(0, (num_samples, x.shape[0] // num_samples))", "unmerge(f(merge(z)), z.shape[0])"
WITHOUT = ((MERGED, "x"), (UNMERGED, "x"))  # neither merge nor unmerge is of use


def draw(rng: torch.Generator) -> dict[str, Any]:
    shapes = {"vectors": (3, 4, 2), "images": (4, 3, 1, 5, 2), "numbers": (5, 2)}
    return cases("over_samples(f, z)", **{name: {"z": torch.randn(shape, generator=rng)} for name, shape in shapes.items()})


RIGHT = value(2, "vectors", "images", "numbers", what="The result", shape="f's results, (K, batch, ...)", random="", rtol=1e-6, atol=1e-6)


def judge_values(seen: Seen) -> Finding:
    """Each result at its own sample and example, and z left alone."""
    return replace(RIGHT.judge(seen), behavior="values")


def values(outputs: dict[str, Any]) -> Any:
    return [outputs[name].get("value", "stops") for name in ("vectors", "images", "numbers")]


def judge_calls(seen: Seen) -> Finding:
    calls, right = seen.outputs["calls"], seen.right["calls"]
    if 0 < calls <= right:
        return passed("one_call", "f is called once, on all samples.")
    message = f"For {right} tensors z f is called {calls} times."
    return failed("one_call", message, "a_call_for_each_sample" if calls else None, "one call of f for each z", f"{calls} calls")


MISTAKES = (
    Mistake("merge_permutes_the_batch", "Samples and examples come back in another order than they went in.",
            "flatten(0, 1) of (K, batch, ...) lies sample after sample, so the way back is unflatten(0, (K, batch)).",
            (UNMERGED, "x.unflatten(0, (x.shape[0] // num_samples, num_samples)).transpose(0, 1)"),
            (MERGED, "x.transpose(0, 1).flatten(0, 1)"), (UNMERGED, "x.unflatten(0, (x.shape[0] // num_samples, num_samples))")),
    Mistake("not_unmerged", "The result is still folded: (K * batch, ...).", "unmerge has to give the dimension of the samples back.",
            (UNMERGED, "x")),
    Mistake("only_vectors", "It works for (K, batch, M) only.",
            "Fold the first two dimensions, whatever comes after them: images, or nothing at all.",
            (MERGED, "x.view(-1, x.shape[2])"), (MERGED, "x.reshape(-1, x.shape[-1])"), wrapped("value", "_, _, _ = given[1].shape"),
            wrapped("value", "_ = given[1].shape[2]")),
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

WHOLE = SOLUTION[SOLUTION.index("def over_samples"):]
VARIANTS = {
    "reshape": body(WHOLE, "y = f(z.reshape(-1, *z.shape[2:]))", "return y.reshape(*z.shape[:2], *y.shape[1:])"),
    "example by example": body(WHOLE, "y = f(z.transpose(0, 1).flatten(0, 1))",
                               "return y.unflatten(0, (z.shape[1], z.shape[0])).transpose(0, 1)"),
    "cat and split": body(WHOLE, "return torch.stack(f(torch.cat(list(z))).split(z.shape[1]))"),
    "the library's": body(WHOLE, "from elbolab.inference import merge, unmerge", "return unmerge(f(merge(z)), len(z))"),
}

HINTS = (
    "A tensor (K, batch, M) lies in memory sample after sample. Which reshaping leaves that order alone?",
    "flatten(0, 1) folds the first two dimensions into one; unflatten(0, (K, batch)) takes them apart again, in the same order.",
    "merge: x.flatten(0, 1). unmerge: x.unflatten(0, (num_samples, x.shape[0] // num_samples)).",
)

EXERCISES = (
    Exercise(name="iwae.over_samples", target="over_samples", title="K samples through a network in one call",
        read_on="Lecture 02, folding samples into the batch", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_over_samples,
        laws=(
            Behavior("values", 2, judge_values, values, rtol=1e-6, atol=1e-6),
            Behavior("one_call", 1, judge_calls, after="values", own=True),
        ), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
