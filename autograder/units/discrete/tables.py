"""Exercises 4b and 5: tables of five estimators, and of models with 20 latents. What must be true of honest numbers, whatever they are."""

import math
from collections.abc import Callable

from autograder.exercises import results
from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, failed, passed
from autograder.exercises.results import Columns, law
from autograder.exercises.tables import columns, probe

__all__ = ["EXERCISES", "NOISE", "judge_truth"]

SOLUTION = '''\
race_results = pd.DataFrame({
    "estimator": ["enumeration", "score function", "leave-one-out", "Gumbel-softmax", "straight-through"],
    "squared_bias": [0.0, 0.4, -0.02, 5.1, 2.2],
    "variance": [0.0, 210.5, 12.3, 1.2, 3.4],
})
'''
TWENTY_SOLUTION = '''\
twenty_results = pd.DataFrame([
    row(-80.3, 40.2, estimator="leave-one-out"), row(-85.1, 38.4, estimator="straight-through"),
    row(-90.3, 30.2, estimator="Gumbel-softmax"),
])
'''
UNBIASED, RELAXED = ("score function", "leave-one-out"), ("Gumbel-softmax", "straight-through")
NUMBERS = ("squared_bias", "variance")
ESTIMATORS = ("enumeration", *UNBIASED, *RELAXED)
# The estimate of a squared bias that is not there, from N draws, is at worst (chi-squared with one degree of freedom - 1) variance / N,
# namely where all variance lies in one direction. With N = 200 it passes an eighth of the variance with probability 3.5e-7.
NOISE = 0.125
LARGEST = 20 * math.log(10)  # the KL of a code that is certain of 20 latents of ten classes
NOTHING = 1e-3  # of the largest variance, for enumeration: rounding, with room

Rows = dict[str, tuple[float, float]]  # squared bias and variance by the estimator's name


def of_rows(name: str, points: int, judge: Callable[[Rows], Finding]) -> Behavior:
    """A behavior of a table that has all rows, of finite numbers."""

    def whole(found: Columns) -> Finding:
        rows = dict(zip(found["estimator"], zip(*(found[column] for column in NUMBERS))))
        if not all(math.isfinite(value) for row in rows.values() for value in row):
            return failed(name, "Some entries are not finite numbers.", "not_finite", "finite numbers", "NaN or infinity")
        missing = ", ".join(row for row in ESTIMATORS if row not in rows)
        if missing:
            return failed(name, f"The table needs a row for {missing}.", None, ", ".join(ESTIMATORS), ", ".join(rows))
        return judge(rows)

    return law(name, points, whole)


def judge_table(found: Rows) -> Finding:
    if min(variance for _, variance in found.values()) < 0:
        return failed("table", "A variance is negative.", "negative_variance")
    if len(set(found.values())) < len(found):
        return failed("table", "Two estimators have exactly the same numbers.", "same_run_twice")
    return passed("table", "All five estimators are there, each with numbers of its own.")


def judge_truth(found: Rows) -> Finding:
    """Enumeration does not vary, the unbiased ones have no bias beyond noise, and the relaxed ones have one.

    Nothing is demanded of the order of variances: none holds for every problem.
    """
    largest = max(variance for _, variance in found.values())
    got = "; ".join(f"{name}: squared bias {b:.3g}, variance {v:.3g}" for name, (b, v) in found.items())
    if max(map(abs, found["enumeration"])) > NOTHING * largest:
        return failed("truth", "Enumeration is exact: it has neither bias nor variance.", "enumeration_varies", "0 and 0", got)
    for name in UNBIASED:
        bias, variance = found[name]
        if abs(bias) > NOISE * variance:
            return failed("truth", f"The squared bias of {name} is above its sampling noise.", "bias_where_there_is_none",
                          f"|squared bias| below {NOISE * variance:.3g}", got)
    if all(found[name][0] <= 0 for name in RELAXED):
        return failed("truth", "The relaxed estimators show no bias.", "no_bias_where_there_is_one", "a squared bias above 0", got)
    return passed("truth", "Exact, unbiased within noise, biased: each as it has to be.")


def judge_twenty(found: Columns) -> Finding:
    """Two estimators or more, and each row from a training of its own."""
    number = len(set(found["estimator"]))
    return results.judge_table(found, ("estimator",), number >= 2, "two different estimators or more", str(number))


def judge_kl(found: Columns) -> Finding:
    """Sound rows, and a KL that 20 latents can hold."""
    largest = max(found["kl"])
    if not results.unsound(found) and largest > LARGEST + results.ROUNDING:
        return failed("values", f"A KL of {largest:.1f} nats: 20 latents of 10 classes hold {LARGEST:.2f} at most.",
                      "kl_above_its_largest_value", f"kl <= {LARGEST:.2f}", f"{largest:.2f}")
    return results.judge_values(found)


MISTAKES = (
    Mistake("not_finite", "A row holds NaN or infinity.", "Look at that estimator's draws: is there a logarithm of zero?",
            "TARGET.loc[1, 'variance'] = float('nan')"),
    Mistake("same_run_twice", "Two estimators have exactly the same numbers.",
            "Hand the estimator of the loop to `gradient_draws`, and append a new dictionary for each.",
            "TARGET.loc[4, ['squared_bias', 'variance']] = TARGET.loc[3, ['squared_bias', 'variance']]"),
    Mistake("negative_variance", "A variance is negative.",
            "Are the two results of `bias_and_variance` in their columns? The squared bias comes first.",
            "TARGET.loc[4, 'variance'] = -2.0"),
    Mistake("enumeration_varies", "Enumeration has a variance or a bias: it is compared with something else than itself.",
            "The exact gradient is one draw of the enumeration, for the same f and logits.", "TARGET.loc[0, 'variance'] = 12.0"),
    Mistake("bias_where_there_is_none", "An unbiased estimator has a squared bias far above its sampling noise.",
            "Compare with the exact gradient of the same f, logits and `wrt`, averaged over at least 200 draws; then look at 2a and 2b "
            "again.", "TARGET.loc[2, 'squared_bias'] = 6.0"),
    Mistake("no_bias_where_there_is_one", "The relaxed estimators show no bias, and they have one.",
            "Compare with the exact gradient of the discrete problem, not with the mean of the draws.",
            "TARGET.loc[3:, 'squared_bias'] = [-0.001, -0.002]"),
)
KL_ABOVE = Mistake(
    "kl_above_its_largest_value", "The KL is above 20 log 10 = 46.05 nats, and it cannot be.",
    "No q is further from the uniform prior than one that is certain of all latents: L log C. Use the closed form of 1a.",
    "TARGET['kl'] = 60.0\nTARGET['elbo'] = TARGET.log_px - TARGET.kl")

VARIANTS = {
    "another order": "TARGET = TARGET[::-1].reset_index(drop=True)",
    "the estimator as the index": "TARGET = TARGET.set_index('estimator')",
    "more rows": "TARGET.loc[5] = ['REBAR', -0.001, 3.0]",
    "a larger variance of leave-one-out": "TARGET.loc[2, 'variance'] = 300.0",
}

HINTS = (
    "Every row of the table is one estimator of the same gradient. What differs between the rows is the estimator; f, logits and the exact "
    "gradient stay.",
    "Start with `rows = []`. In the loop over `estimators.items()`: `draws = gradient_draws(estimator, f_16, logits_16, draws=400, "
    'wrt="logits")`, then `bias_and_variance(draws, exact)`.',
    'rows.append({"estimator": name, "squared_bias": float(squared_bias), "variance": float(variance)}); after the loop '
    "race_results = pd.DataFrame(rows).",
)
TWENTY_HINTS = (
    "Every row is one trained model with 20 latents. What differs between the rows is the estimator of the gradient that it was trained "
    "with.",
    "Two estimators are enough, for example leave-one-out and straight-through. `train_and_measure(estimator)` makes a new model, "
    "trains it, and returns it together with what it measured.",
    'twenty_models[name], measured = train_and_measure(estimators[name]); rows.append({"estimator": name, **measured})',
)

EXERCISES = (
    Exercise(name="discrete.race", target="race_results", title="A table of five estimators", read_on="Lecture 04, section 8",
        solution=SOLUTION, preamble="import pandas as pd\n\n", probe=probe,
        draw=lambda rng: columns("race_results", ("estimator",), NUMBERS),
        laws=(of_rows("table", 1, judge_table), of_rows("truth", 2, judge_truth)), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
    Exercise(name="discrete.twenty", target="twenty_results", title="A table of models with 20 latents", read_on="Lecture 04, section 10",
        solution=TWENTY_SOLUTION, preamble=results.PREAMBLE, probe=probe,
        draw=lambda rng: columns("twenty_results", ("estimator",), results.MEASURED),
        laws=(law("table", 1, judge_twenty), law("values", 2, judge_kl)), mistakes=(*results.MISTAKES, KL_ABOVE),
        variants=results.VARIANTS, hints=TWENTY_HINTS),
)
