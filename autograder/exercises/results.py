"""Tables of trained models with elbo, log_px and kl in nats an image: what must be true of honest ones, whatever their numbers are.

No number of ours is compared with a student's, so no mistake is run: the laws themselves tell them.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from autograder.exercises.exercise import Behavior, Finding, Mistake, Seen, failed, passed

__all__ = ["MEASURED", "MISTAKES", "PREAMBLE", "ROUNDING", "VARIANTS", "judge_table", "judge_values", "law", "unsound"]

MEASURED = ("elbo", "log_px", "kl")

# Nats an image. Room for rounded entries, and for a row whose numbers come from two evaluations.
ROUNDING = 0.5
# A network that answers 1/2 for each pixel has log p(x|z) = -784 log 2 = -543; a few steps of training bring it above -500, a
# hundred above -230. A sum over 10 images is below -700; a mean over 784 pixels is above -3.
UNTRAINED, BATCH_SUM, PIXEL_MEAN = 500.0, 700.0, 3.0
NEGATIVE_KL = -0.5  # a mean of one-sample estimates over 500 images can fall below zero by a few hundredths

Columns = dict[str, list[Any]]


def law(name: str, points: int, judge: Callable[[Columns], Finding]) -> Behavior:
    """A behavior of a table that is judged by its columns, if they are what the probe promises."""

    def whole(seen: Seen) -> Finding:
        columns, texts, numeric = seen.outputs, seen.inputs["texts"], seen.inputs["numeric"]
        lists = [columns.get(column) for column in (*texts, *numeric)]
        good = all(isinstance(values, list) and values and len(values) == len(lists[0]) for values in lists)
        good = good and all(isinstance(v, (int, float)) for column in numeric for v in columns[column])
        if not good or not all(isinstance(v, str) for column in texts for v in columns[column]):
            return failed(name, f"`{seen.exercise.target}` could not be read as a table of numbers.")
        return judge(columns)

    return Behavior(name, points, whole)


def judge_table(columns: Columns, settings: Sequence[str], enough: bool, expected: str, got: str) -> Finding:
    """Finite numbers, all the settings, and each row from a training of its own."""
    if not all(math.isfinite(value) for name in columns if name not in settings for value in columns[name]):
        return failed("table", "Some entries are not finite numbers.", "diverged", "finite numbers", "NaN or infinity")
    if any(isinstance(value, float) and not math.isfinite(value) for name in settings for value in columns[name]):
        return failed("table", f"Some entries of {', '.join(settings)} are missing.", None, "a setting in each row", "NaN")
    rows = [list(zip(*(columns[name] for name in names))) for names in (settings, MEASURED)]
    for (i, a), (j, b) in itertools.combinations(enumerate(zip(*rows)), 2):
        if a[1] == b[1] and a[0] != b[0]:
            return failed("table", f"Rows {i} and {j} hold exactly the same numbers for different settings.", "same_run_twice",
                          "a training of its own for each row", "the same numbers again")
    if not enough:
        return failed("table", f"The table needs {expected}; yours has {got}.", None, expected, got)
    return passed("table", "All settings are there, each with numbers of its own.")


def unsound(columns: Columns) -> Finding | None:
    """What keeps log_px and kl from being nats of an image, with the right signs, of a network that has learned something."""
    log_px, kl = columns["log_px"], columns["kl"]
    if not all(math.isfinite(value) for name in MEASURED for value in columns[name]):
        return failed("values", "Judged once all entries are finite numbers.", "diverged")
    largest = max(map(abs, log_px))
    for beyond, name, message in (
        (largest < PIXEL_MEAN, "mean_over_pixels", "These are values of one pixel, not of an image."),
        (largest > BATCH_SUM, "sum_over_batch", "These values are too large for one image."),
        (largest > UNTRAINED, "untrained", "A row looks like a network that has not been trained."),
    ):
        if beyond:
            return failed("values", message, name, "log_px in nats an image: some 70 to 220 below zero",
                          f"log_px between {min(log_px):.4g} and {max(log_px):.4g}")
    if max(log_px) > 0:
        return failed("values", "log_px is positive, but each pixel is 0 or 1 and has a probability below 1.",
                      "reconstruction_error_as_log_px", "log_px <= 0", f"log_px = {max(log_px):.4g}")
    if min(kl) < NEGATIVE_KL:
        return failed("values", "The KL is never negative (beyond sampling noise).", "kl_negated", "kl >= 0", f"kl = {min(kl):.4g}")
    return None


# What people record as the ELBO in its place.
TAKEN_FOR_ELBO = {
    "beta_elbo_as_elbo": lambda beta, log_px, kl: log_px - beta * kl,
    "loss_as_elbo": lambda beta, log_px, kl: kl - log_px,
    "loss_as_elbo#beta": lambda beta, log_px, kl: beta * kl - log_px,
    "log_px_as_elbo": lambda beta, log_px, kl: log_px,
    "kl_added": lambda beta, log_px, kl: log_px + kl,
}


def judge_values(columns: Columns) -> Finding:
    """Each row by itself: sound numbers, and elbo = log_px - kl; and if not, what is it?"""
    if fault := unsound(columns):
        return fault
    rows = list(zip(columns.get("beta", [1.0] * len(columns["kl"])), *(columns[name] for name in MEASURED)))

    def is_it(formula: Callable[[float, float, float], float]) -> bool:
        return all(abs(elbo - formula(beta, log_px, kl)) <= ROUNDING for beta, elbo, log_px, kl in rows)

    if is_it(lambda beta, log_px, kl: log_px - kl):
        return passed("values", "Nats an image, and elbo = log_px - kl in each row.")
    _, elbo, log_px, kl = max(rows, key=lambda row: abs(row[1] - (row[2] - row[3])))
    name = next((name.split("#")[0] for name, formula in TAKEN_FOR_ELBO.items() if is_it(formula)), None)
    return failed("values", "In each row elbo must be log_px - kl, all three from the same evaluation.", name,
                  f"elbo = {log_px:.2f} - {kl:.2f} = {log_px - kl:.2f}", f"elbo = {elbo:.2f}")


# --- tables, right and wrong ---------------------------------------------------------------------

PREAMBLE = '''\
import pandas as pd


def row(log_px, kl, **setting):
    return {**setting, "loss": setting.get("beta", 1) * kl - log_px, "elbo": log_px - kl, "log_px": log_px, "kl": kl}


'''
NUMBERS = '["loss", "elbo", "log_px", "kl"]'
MISTAKES = (
    Mistake("diverged", "A training diverged: its numbers are NaN or infinite.",
            "Lower the learning rate, look for exp of large numbers, and train a new model.", f"TARGET.loc[0, {NUMBERS}] = float('nan')"),
    Mistake("same_run_twice", "The same run is recorded under different settings.", "Train a new model, and make a new row, in each turn.",
            f"TARGET[{NUMBERS}] = TARGET.loc[0, {NUMBERS}].to_numpy()"),
    Mistake("mean_over_pixels", "Values are averaged over the pixels.",
            "Sum over the 784 pixels of an image, then average over images, as `evaluate` does.", f"TARGET[{NUMBERS}] /= 784"),
    Mistake("sum_over_batch", "Values are summed over the images.",
            "Record means over the validation images: a sum depends on how many there are.", f"TARGET[{NUMBERS}] *= 500"),
    Mistake("untrained", "A row was measured on a network that has not been trained.",
            "Its log p(x|z) is about -543 nats. Measure after the training, and look whether `fit` stopped at a loss that is not finite.",
            "TARGET['log_px'] = -543.4\nTARGET['elbo'] = TARGET.log_px - TARGET.kl\nTARGET['loss'] = -TARGET.elbo"),
    Mistake("reconstruction_error_as_log_px", "The reconstruction error stands where log_px belongs: its sign is turned.",
            "log p(x|z) is the logarithm of a probability: negative. Record it without a minus.", "TARGET['log_px'] = -TARGET.log_px"),
    Mistake("kl_negated", "The KL has the wrong sign.", "E[log q(z|x) - log p(z)] is never negative.", "TARGET['kl'] = -TARGET.kl - 1"),
    Mistake("loss_as_elbo", "The loss is recorded as the ELBO: its sign is turned.",
            "The loss is minus the objective. Record diagnostics' `elbo`, which is negative here.", "TARGET['elbo'] = -TARGET.elbo"),
    Mistake("log_px_as_elbo", "log_px is recorded as the ELBO: the KL is left out.",
            "ELBO = log_px - kl. Without the KL it is the reconstruction term only.", "TARGET['elbo'] = TARGET.log_px"),
    Mistake("kl_added", "The KL is added where it should be subtracted.", "ELBO = log_px - kl: information in the code costs.",
            "TARGET['elbo'] = TARGET.log_px + TARGET.kl"),
)
VARIANTS = {
    "rounded": "TARGET = TARGET.round(1)",
    "tensors": "import torch\nTARGET['elbo'] = [torch.tensor(v) for v in TARGET.elbo]",
    "extra columns": "TARGET['seconds'] = 3.2",
    "another order": "TARGET = TARGET[::-1].reset_index(drop=True)",
}
