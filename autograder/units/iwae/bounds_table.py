"""Exercise 2f: a table of bounds for growing K. What must be true of honest numbers, whatever they are.

L_K grows with K (Burda et al. 2016, theorem 1). The means over some hundred images of two evaluations differ by noise, so a fall of
SLACK is forgiven; the room is several times what twenty seeds of the shortest training (ELBOLAB_FAST=1) gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.tables import columns, probe

SOLUTION = '''\
bound_results = pd.DataFrame({
    "num_samples": [1, 5, 50, 500],
    "bound": [-112.1, -109.4, -107.9, -107.2],
    "ess": [1.0, 2.4, 9.3, 31.8],
})
'''
COLUMNS = ("num_samples", "bound", "ess")
FEWEST, LARGEST = 4, 500  # rows, and the K that at least one row has
SLACK = 0.5  # nats: the noise of a mean over a hundred images or more, when another K is drawn
GROWTH = 0.4  # nats from K = 1 to the largest; a model after 100 steps gave 1.5 to 4
ROUNDING = 0.051  # of an ESS
UNTRAINED, BATCH_SUM, PIXEL_MEAN = -400.0, -700.0, -3.0  # as in unit 01: an untrained network has -543

Rows = list[tuple[float, float, float]]  # num_samples, bound, ess; by num_samples


def rows_of(outputs: dict[str, Any]) -> Rows | None:
    """The table's rows; None if these are not the columns that the probe promises."""
    found = [outputs.get(name) for name in COLUMNS]
    if not all(isinstance(c, list) and c and len(c) == len(found[0] or ()) and all(isinstance(v, (int, float)) for v in c) for c in found):
        return None
    return sorted(zip(*found))


# --- laws ----------------------------------------------------------------------------------------


def judge_table(rows: Rows) -> Finding:
    """Enough numbers of samples, each with an evaluation of its own."""
    sizes = [k for k, *_ in rows]
    got = ", ".join(f"{k:g}" for k in sizes)
    expected = f"at least {FEWEST} different num_samples, 1 among them and one of {LARGEST} or more"
    if any(k < 1 or k != round(k) for k in sizes):
        return failed("table", "num_samples counts samples: whole numbers from 1.", None, expected, got)
    if repeated(rows):
        return failed("table", "Rows with different num_samples hold exactly the same bound.", "same_evaluation_twice",
                      "an evaluation for each row", "the same number again")
    if len(set(sizes)) < FEWEST or sizes[0] != 1 or sizes[-1] < LARGEST:
        return failed("table", f"The table needs {expected}; yours has {got}.", None, expected, got)
    return passed("table", "All numbers of samples are there, each with an evaluation of its own.")


def repeated(rows: Rows) -> bool:
    return any(a[1] == b[1] and a[0] != b[0] for a in rows for b in rows)


def judge_values(rows: Rows) -> Finding:
    """Nats an image, with the right sign, and an ESS between 1 and K."""
    scale, ess = judge_scale(rows), judge_ess(rows)
    if scale and ess:
        return replace(scale, also=ess.mistakes)
    return scale or ess or passed("values", "Nats an image, and an effective number of samples between 1 and K.")


def judge_scale(rows: Rows) -> Finding | None:
    bounds = [bound for _, bound, _ in rows]
    for beyond, name, message in (
        (max(bounds) > 0, "loss_recorded", "A bound on the log-probability of a binary image is never positive."),
        (min(bounds) > PIXEL_MEAN, "mean_over_pixels", "These are values of one pixel, not of an image."),
        (min(bounds) < BATCH_SUM, "sum_over_batch", "These values are too large for one image."),
        (min(bounds) < UNTRAINED, "untrained", "A row looks like a network that has not been trained."),
    ):
        if beyond:
            got = f"between {min(bounds):.4g} and {max(bounds):.4g}"
            return failed("values", message, name, "bounds in nats an image: some 70 to 220 below zero", got)
    return None


def judge_ess(rows: Rows) -> Finding | None:
    expected = "an effective sample size between 1 and num_samples, and 1 for one sample"
    got = ", ".join(f"{ess:.3g} of {k:g}" for k, _, ess in rows)
    if any(ess < 1 - ROUNDING for _, _, ess in rows):
        # 1 / ESS and ESS / K both lie below one, and are 1 at K = 1.
        return failed("values", "An effective sample size is below 1.", "ess_is_a_fraction", expected, got)
    if any(ess > k + ROUNDING for k, _, ess in rows):
        return failed("values", "An effective sample size is above the number of samples.", "ess_out_of_range", expected, got)
    return None


def judge_growth(rows: Rows) -> Finding:
    """L_K <= L_(K+1): never lower than before, higher at the end, and not by log K."""
    if scale := judge_scale(rows):
        return failed("growth", "Judged once the bounds are in nats an image.", *scale.mistakes)
    if len(rows) < 2:
        return failed("growth", "One row cannot show how the bound grows.")
    steps = [(later[1] - earlier[1], math.log(later[0] / earlier[0])) for earlier, later in pairwise(rows) if 0 < earlier[0] < later[0]]
    last = steps[-2:] if len(steps) > 1 else []
    for wrong, name, message in (
        (last and all(-1.1 * ratio < growth < -0.3 * ratio for growth, ratio in last), "log_k_counted_twice", "falls by log K"),
        (any(growth < -SLACK for growth, _ in steps), "bound_falls", "falls with the number of samples"),
        (last and all(growth > 0.9 * ratio for growth, ratio in last), "log_k_missing", "goes on growing by log K"),
        (rows[-1][1] - rows[0][1] < GROWTH, "mean_of_logs", "does not grow with the number of samples"),
    ):
        if wrong:
            got = ", ".join(f"{bound:.1f} at {k:g}" for k, bound, _ in rows)
            return failed("growth", f"The bound {message}.", "same_evaluation_twice" if repeated(rows) else name,
                          "a bound that grows with the number of samples, ever more slowly", got)
    return passed("growth", "The bound grows with the number of samples, as L_K must.")


def law(name: str, points: int, judge: Callable[[Rows], Finding]) -> Behavior:
    def whole(seen: Seen) -> Finding:
        rows = rows_of(seen.outputs)
        if rows is None:
            return failed(name, "`bound_results` could not be read as a table of numbers.")
        if not all(math.isfinite(value) for row in rows for value in row):
            return failed(name, "Some entries are not finite numbers.", "diverged", "finite numbers", "NaN or infinity")
        return judge(rows)

    return Behavior(name, points, whole)


MISTAKES = (
    Mistake("diverged", "Some entries are NaN or infinite.", "Look at the model's training, or for an exp of large numbers.",
            "TARGET.loc[1, 'bound'] = float('nan')"),
    Mistake("same_evaluation_twice", "The same number is recorded for different numbers of samples.",
            "Evaluate anew inside the loop, with that row's num_samples.", "TARGET['bound'] = -112.1"),
    Mistake("loss_recorded", "The bound has the wrong sign.", "Record the bound, which is negative, not the loss.",
            "TARGET['bound'] = -TARGET.bound"),
    Mistake("mean_over_pixels", "Values are averaged over the pixels.", "Sum over the 784 pixels, average over the images.",
            "TARGET['bound'] /= 784"),
    Mistake("sum_over_batch", "Values are summed over the images.", "Record the mean over the images.", "TARGET['bound'] *= 100"),
    Mistake("untrained", "The bounds are those of a network that has not been trained.", "Evaluate the model that was trained above.",
            "TARGET['bound'] -= 430"),
    Mistake("ess_is_a_fraction", "An effective sample size lies below 1.",
            "One sample always counts as one: 1 / sum of squared normalized weights lies between 1 and K.",
            "TARGET['ess'] = 1 / TARGET.ess", "TARGET['ess'] /= TARGET.num_samples"),
    Mistake("ess_out_of_range", "An effective sample size is larger than the number of samples.",
            "Take the mean over the images, not the sum, and normalize the weights over the samples.", "TARGET['ess'] *= 100"),
    Mistake("mean_of_logs", "The bound does not grow with the number of samples: this is the ELBO.",
            "L_K is the logarithm of the mean weight. The mean of the log-weights is the same for every K.",
            "TARGET['bound'] = [-112.1, -112.2, -112.0, -112.1001]"),
    Mistake("log_k_missing", "The bound goes on growing by log K.", "Subtract log K: the weights are averaged, not summed.",
            "import numpy\nTARGET['bound'] += numpy.log(TARGET.num_samples)"),
    Mistake("log_k_counted_twice", "The bound falls by log K.", "Subtract log K once.",
            "import numpy\nTARGET['bound'] -= numpy.log(TARGET.num_samples)"),
    Mistake("bound_falls", "The bound falls with the number of samples.",
            "L_K grows with K. Use the same model and the same images in every row, and enough of them.",
            "TARGET['bound'] = TARGET.bound.to_numpy()[::-1]"),
)

VARIANTS = {
    "rounded": "TARGET = TARGET.round(0)",
    "tensors": "import torch\nTARGET['ess'] = [torch.tensor(v) for v in TARGET.ess]",
    "extra columns": "TARGET['seconds'] = 3.2",
    "another order": "TARGET = TARGET[::-1].reset_index(drop=True)",
    "setting as index": "TARGET = TARGET.set_index('num_samples')",
    "a model after 100 steps": "TARGET['bound'] = [-205.3, -204.6, -204.5, -204.4]",
    "a noisy step": "TARGET['bound'] = [-112.1, -109.4, -107.2, -107.4]",
}

HINTS = (
    "One row for each num_samples, all from the same trained model and the same images.",
    "With log_w = log_weights(model, x, K): the bound is the mean over images of logsumexp(log_w, 0) - log K, the ESS that of "
    "effective_sample_size(log_w). No gradients are needed.",
    'for K in (1, 5, 50, 500): log_w = log_weights(vae, images, K); rows.append({"num_samples": K, "bound": (logsumexp - log '
    'K).mean().item(), "ess": effective_sample_size(log_w).mean().item()})',
)

EXERCISES = (
    Exercise(name="iwae.bounds_table", target="bound_results", title="A table of bounds for growing K",
        read_on="Lecture 02, a tighter bound", solution=SOLUTION, preamble="import pandas as pd\n\n", probe=probe,
        draw=lambda rng: columns("bound_results", (), COLUMNS),
        laws=(law("table", 1, judge_table), law("values", 1, judge_values), law("growth", 2, judge_growth)), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS),
)
