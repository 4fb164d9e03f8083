"""Exercise 5: models with 20 latents in a table. What must be true of honest numbers, whatever they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.tables import columns, probe

SOLUTION = '''\
twenty_results = pd.DataFrame({
    "estimator": ["leave-one-out", "straight-through", "Gumbel-softmax"],
    "elbo": [-120.5, -123.5, -120.5],
    "log_px": [-80.3, -85.1, -90.3],
    "kl": [40.2, 38.4, 30.2],
})
'''
LARGEST = 20 * math.log(10)  # the KL of a code that is certain of 20 latents of ten classes
# Nats an image. Room for rounded entries, and for a row whose numbers come from two evaluations.
ROUNDING = 0.5
# A network that answers 1/2 for each pixel has log p(x|z) = -784 log 2 = -543; a few steps of training bring it above -500. A sum over
# 10 images is below -700; a mean over 784 pixels is above -3.
UNTRAINED, BATCH_SUM, PIXEL_MEAN = 500.0, 700.0, 3.0
NEGATIVE_KL = -0.5  # beyond sampling noise

# What people record as the ELBO in its place.
TAKEN_FOR_ELBO = {
    "loss_as_elbo": lambda log_px, kl: kl - log_px,
    "log_px_as_elbo": lambda log_px, kl: log_px,
    "kl_added": lambda log_px, kl: log_px + kl,
}

Rows = list[tuple[str, float, float, float]]  # estimator, elbo, log_px, kl


def rows_of(outputs: dict[str, Any]) -> Rows | None:
    """The table's rows; None if these are not the columns that the probe promises."""
    found = [outputs.get(name) for name in ("estimator", "elbo", "log_px", "kl")]
    if not all(isinstance(column, list) and column and len(column) == len(found[0] or ()) for column in found):
        return None
    rows = list(zip(*found))
    return rows if all(isinstance(n, str) and all(isinstance(v, (int, float)) for v in values) for n, *values in rows) else None


def judge_table(rows: Rows) -> Finding:
    """Finite numbers, two estimators or more, and each row from a training of its own."""
    if not all(math.isfinite(value) for _, *values in rows for value in values):
        return failed("table", "Some entries are not finite numbers.", "diverged", "finite numbers", "NaN or infinity")
    for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2):
        if a[1:] == b[1:] and a[0] != b[0]:
            return failed("table", f"Rows {i} and {j} hold exactly the same numbers for different settings.", "same_run_twice",
                          "a training of its own for each row", "the same numbers again")
    number = len({name for name, *_ in rows})
    if number < 2:
        expected = "two different estimators or more"
        return failed("table", f"The table needs {expected}; yours has {number}.", None, expected, str(number))
    return passed("table", "All settings are there, each with numbers of its own.")


def judge_values(rows: Rows) -> Finding:
    """Each row by itself: nats an image, with the right signs, elbo = log_px - kl, and a KL that 20 latents can hold."""
    if not all(math.isfinite(value) for _, *values in rows for value in values):
        return failed("values", "Judged once all entries are finite numbers.", "diverged")
    fault = judge_scale(rows) or judge_signs(rows) or judge_sum(rows)
    return fault or passed("values", "Nats an image, and elbo = log_px - kl in each row.")


def judge_scale(rows: Rows) -> Finding | None:
    """Are these nats an image, of a network that has learned something?"""
    largest = max(abs(log_px) for _, _, log_px, _ in rows)
    for beyond, name, message in (
        (largest < PIXEL_MEAN, "mean_over_pixels", "These are values of one pixel, not of an image."),
        (largest > BATCH_SUM, "sum_over_batch", "These values are too large for one image."),
        (largest > UNTRAINED, "untrained", "A row looks like a network that has not been trained."),
    ):
        if beyond:
            got = f"log_px between {min(r[2] for r in rows):.4g} and {max(r[2] for r in rows):.4g}"
            return failed("values", message, name, "log_px in nats an image: some 70 to 220 below zero", got)
    return None


def judge_signs(rows: Rows) -> Finding | None:
    for _, _, log_px, kl in rows:
        if log_px > 0:
            return failed("values", "log_px is positive, but each pixel is 0 or 1 and has a probability below 1.",
                          "reconstruction_error_as_log_px", "log_px <= 0", f"log_px = {log_px:.4g}")
        if kl < NEGATIVE_KL:
            return failed("values", "The KL divergence is never negative (beyond sampling noise).", "kl_negated", "kl >= 0",
                          f"kl = {kl:.4g}")
    largest = max(kl for *_, kl in rows)
    if largest > LARGEST + ROUNDING:
        return failed("values", f"A KL of {largest:.1f} nats: 20 latents of 10 classes hold {LARGEST:.2f} at most.",
                      "kl_above_its_largest_value", f"kl <= {LARGEST:.2f}", f"{largest:.2f}")
    return None


def judge_sum(rows: Rows) -> Finding | None:
    """elbo = log_px - kl; and if not, what is it?"""

    def is_it(formula: Callable[[float, float], float]) -> bool:
        return all(abs(elbo - formula(log_px, kl)) <= ROUNDING for _, elbo, log_px, kl in rows)

    if is_it(lambda log_px, kl: log_px - kl):
        return None
    _, elbo, log_px, kl = max(rows, key=lambda row: abs(row[1] - (row[2] - row[3])))
    name = next((name for name, formula in TAKEN_FOR_ELBO.items() if is_it(formula)), None)
    return failed("values", "In each row elbo must be log_px - kl, all three from the same evaluation.", name,
                  f"elbo = {log_px:.2f} - {kl:.2f} = {log_px - kl:.2f}", f"elbo = {elbo:.2f}")


def law(name: str, points: int, judge: Callable[[Rows], Finding]) -> Behavior:
    def whole(seen: Seen) -> Finding:
        rows = rows_of(seen.outputs)
        return failed(name, "`twenty_results` could not be read as a table of numbers.") if rows is None else judge(rows)

    return Behavior(name, points, whole)


MEASURED = "['elbo', 'log_px', 'kl']"
MISTAKES = (
    Mistake("diverged", "A training diverged: its numbers are NaN or infinite.",
            "Such a row measures nothing. Lower the learning rate, look for an exp of large numbers, and train a new model.",
            f"TARGET.loc[0, {MEASURED}] = float('nan')"),
    Mistake("same_run_twice", "The same run is recorded under different settings.",
            "Two trainings never give the same digits. Build and train a new model inside the loop, and append a new dictionary for each.",
            f"TARGET[{MEASURED}] = TARGET.loc[0, {MEASURED}].to_numpy()"),
    Mistake("mean_over_pixels", "Values are averaged over the pixels.",
            "The log-likelihood of an image is the sum over its 784 pixels. Sum over pixels, then average over images; `evaluate` does "
            "that.",
            f"TARGET[{MEASURED}] /= 784"),
    Mistake("sum_over_batch", "Values are summed over the images.",
            "Record means over the validation images, in nats an image; otherwise the numbers depend on how many images there are.",
            f"TARGET[{MEASURED}] *= 500"),
    Mistake("untrained", "A row was measured on a network that has not been trained.",
            "An untrained network has log p(x|z) of about -543 nats (each pixel at one half). Measure the model that was trained, after "
            "its training, and look whether `fit` stopped early because the loss was not finite.",
            "TARGET['log_px'] = -543.4\nTARGET['elbo'] = TARGET.log_px - TARGET.kl"),
    Mistake("reconstruction_error_as_log_px", "The reconstruction error stands where log_px belongs: its sign is turned.",
            "log p(x|z) is the logarithm of a probability, so it is negative. Record it as it is, without a minus.",
            "TARGET['log_px'] = -TARGET.log_px"),
    Mistake("kl_negated", "The KL has the wrong sign.", "KL = E[log q(z|x) - log p(z)] is never negative.",
            "TARGET['kl'] = -TARGET.kl - 1"),
    Mistake("loss_as_elbo", "The loss is recorded as the ELBO: its sign is turned.",
            "The loss is minus the objective. Record diagnostics' `elbo`, which is negative here.", "TARGET['elbo'] = -TARGET.elbo"),
    Mistake("log_px_as_elbo", "log_px is recorded as the ELBO: the KL is left out.",
            "ELBO = log_px - kl. Without the KL it is the reconstruction term only.", "TARGET['elbo'] = TARGET.log_px"),
    Mistake("kl_added", "The KL is added where it should be subtracted.", "ELBO = log_px - kl: information in the code costs.",
            "TARGET['elbo'] = TARGET.log_px + TARGET.kl"),
    Mistake("kl_above_its_largest_value", "The KL is above 20 log 10 = 46.05 nats, and it cannot be.",
            "No q is further from the uniform prior than one that is certain of all latents: L log C. Use the closed form of 1a.",
            "TARGET['kl'] = 60.0\nTARGET['elbo'] = TARGET.log_px - TARGET.kl"),
)

VARIANTS = {
    "rounded": "TARGET = TARGET.round(1)",
    "tensors": "import torch\nTARGET['elbo'] = [torch.tensor(v) for v in TARGET.elbo]",
    "extra columns": "TARGET['seconds'] = 3.2",
    "another order": "TARGET = TARGET[::-1].reset_index(drop=True)",
}

HINTS = (
    "Every row is one trained model with 20 latents. What differs between the rows is the estimator of the gradient that it was trained "
    "with.",
    "Two estimators are enough, for example leave-one-out and straight-through. `train_and_measure(estimator)` makes a new model, trains "
    "it, and returns it together with what it measured.",
    'twenty_models[name], measured = train_and_measure(estimators[name]); rows.append({"estimator": name, **measured})',
)

EXERCISES = (
    Exercise(
        name="discrete.twenty",
        target="twenty_results",
        title="A table of models with 20 latents",
        read_on="Lecture 04, section 10",
        solution=SOLUTION, preamble="import pandas as pd\n\n", probe=probe,
        draw=lambda rng: columns("twenty_results", ("estimator",), ("elbo", "log_px", "kl")),
        laws=(law("table", 1, judge_table), law("values", 2, judge_values)), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS,
    ),
)
