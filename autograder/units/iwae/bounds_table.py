"""Exercise 2f: a table of bounds for growing K. What must be true of honest numbers, whatever they are.

L_K grows with K (Burda et al. 2016, theorem 1). The means over some hundred images of two evaluations differ by noise, so a fall of
SLACK is forgiven; the room is several times what twenty seeds of the shortest training (ELBOLAB_FAST=1) gave.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from autograder.exercises import results
from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, failed, passed
from autograder.exercises.results import BATCH_SUM, PIXEL_MEAN, UNTRAINED
from autograder.exercises.tables import columns, probe

SOLUTION = '''\
bound_results = pd.DataFrame({
    "num_samples": [1, 5, 50, 500],
    "bound": [-112.1, -109.4, -107.9, -107.2],
    "ess": [1.0, 2.4, 9.3, 31.8],
})
'''
FEWEST, LARGEST = 4, 500  # rows, and the K that at least one row has
SLACK = 0.5  # nats: the noise of a mean over a hundred images or more, when another K is drawn
GROWTH = 0.4  # nats from K = 1 to the largest; a model after 100 steps gave 1.5 to 4
ROUNDING = 0.051  # of an ESS

Rows = list[tuple[float, float, float]]  # num_samples, bound, ess; by num_samples


def law(name: str, points: int, judge: Callable[[Rows], Finding]) -> Behavior:
    def whole(columns: results.Columns) -> Finding:
        rows = sorted(zip(*columns.values()))
        if not all(math.isfinite(value) for row in rows for value in row):
            return failed(name, "Some entries are not finite numbers.", "diverged", "finite numbers", "NaN or infinity")
        return judge(rows)

    return results.law(name, points, whole)


def first(**signs: bool) -> str | None:
    """The first fault whose sign is there."""
    return next((name for name, there in signs.items() if there), None)


def repeated(rows: Rows) -> bool:
    return any(a[1] == b[1] and a[0] != b[0] for a in rows for b in rows)


def scale_fault(rows: Rows) -> str | None:
    bounds = [bound for _, bound, _ in rows]
    return first(loss_recorded=max(bounds) > 0, mean_over_pixels=min(bounds) > -PIXEL_MEAN, sum_over_batch=min(bounds) < -BATCH_SUM,
                 untrained=min(bounds) < -UNTRAINED)


def judge_table(rows: Rows) -> Finding:
    """Enough numbers of samples, each with an evaluation of its own."""
    sizes = [k for k, *_ in rows]
    if repeated(rows):
        return failed("table", "Rows with different num_samples hold exactly the same bound.", "same_evaluation_twice")
    expected = f"at least {FEWEST} different num_samples, 1 among them and one of {LARGEST} or more"
    if len(set(sizes)) < FEWEST or sizes[0] != 1 or sizes[-1] < LARGEST or any(k != round(k) for k in sizes):
        return failed("table", f"The table needs {expected}.", None, expected, ", ".join(f"{k:g}" for k in sizes))
    return passed("table", "All numbers of samples are there, each with an evaluation of its own.")


def judge_values(rows: Rows) -> Finding:
    """Nats an image, with the right sign, and an ESS between 1 and K."""
    # 1 / ESS and ESS / K both lie below one, and are 1 at K = 1.
    ess_fault = first(ess_is_a_fraction=any(ess < 1 - ROUNDING for *_, ess in rows),
                      ess_out_of_range=any(ess > k + ROUNDING for k, _, ess in rows))
    faults = tuple(name for name in (scale_fault(rows), ess_fault) if name)
    if not faults:
        return passed("values", "Nats an image, and an effective number of samples between 1 and K.")
    message = "In nats an image bounds lie some 70 to 220 below zero, and an effective sample size lies between 1 and num_samples."
    got = ", ".join(f"{bound:.4g} and {ess:.3g} of {k:g}" for k, bound, ess in rows)
    return Finding("values", False, message, faults, "bounds below zero, 1 <= ess <= num_samples", got)


def judge_growth(rows: Rows) -> Finding:
    """L_K <= L_(K+1): never lower than before, higher at the end, and not by log K."""
    if scale := scale_fault(rows):
        return failed("growth", "Judged once the bounds are in nats an image.", scale)
    if len(rows) < 2:
        return failed("growth", "One row cannot show how the bound grows.")
    steps = [(later[1] - earlier[1], math.log(later[0] / earlier[0])) for earlier, later in pairwise(rows) if 0 < earlier[0] < later[0]]
    last = steps[-2:] if len(steps) > 1 else []
    name = first(
        log_k_counted_twice=last and all(-1.1 * ratio < growth < -0.3 * ratio for growth, ratio in last),
        bound_falls=any(growth < -SLACK for growth, _ in steps),
        log_k_missing=last and all(growth > 0.9 * ratio for growth, ratio in last),
        mean_of_logs=rows[-1][1] - rows[0][1] < GROWTH)
    if name:
        got = ", ".join(f"{bound:.1f} at {k:g}" for k, bound, _ in rows)
        return failed("growth", "The bound has to grow with the number of samples, ever more slowly.",
                      "same_evaluation_twice" if repeated(rows) else name, "never lower than before, and higher at the end", got)
    return passed("growth", "The bound grows with the number of samples, as L_K must.")


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
    "rounded, in another order": "TARGET = TARGET.round(0)[::-1].reset_index(drop=True)",
    "a noisy step": "TARGET['bound'] = [-112.1, -109.4, -107.2, -107.4]",
}

HINTS = (
    "One row for each num_samples, all from the same trained model and the same images.",
    "With log_w = log_weights(model, x, K): the means over images of logsumexp(log_w, 0) - log K and of effective_sample_size(log_w).",
    'for K in (1, 5, 50, 500): log_w = log_weights(vae, images, K); rows.append({"num_samples": K, "bound": (logsumexp - log '
    'K).mean().item(), "ess": effective_sample_size(log_w).mean().item()})',
)

EXERCISES = (
    Exercise(name="iwae.bounds_table", target="bound_results", title="A table of bounds for growing K",
        read_on="Lecture 02, a tighter bound", solution=SOLUTION, preamble="import pandas as pd\n\n", probe=probe,
        draw=lambda rng: columns("bound_results", (), ("num_samples", "bound", "ess")),
        laws=(law("table", 1, judge_table), law("values", 1, judge_values), law("growth", 2, judge_growth)), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS),
)
