"""Exercises 4a, 4b, 5: bias and variance of an estimator; what is true of honest tables of estimators and of models with 20 latents."""

import math
from collections.abc import Callable
from typing import Any

import torch

from autograder.exercises import results
from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, double, failed, passed, run
from autograder.exercises.laws import close, general, shown, untouched
from autograder.exercises.pictures import furthest
from autograder.exercises.results import Columns, law
from autograder.exercises.tables import columns, probe
from autograder.units.discrete import PREAMBLE, probes

BIAS_SOLUTION = '''\
def bias_and_variance(draws: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Squared length of the bias (unbiased estimate) and total variance of gradient estimates, draws (N, ...), exact (...)."""
    variance = draws.var(dim=0).sum()
    squared_bias = (draws.mean(dim=0) - exact).square().sum() - variance / len(draws)
    return squared_bias, variance
'''
VARIANCE, NAIVE, CORRECTION = "draws.var(dim=0).sum()", "(draws.mean(dim=0) - exact).square().sum()", " - variance / len(draws)"


def draw(rng: torch.Generator) -> dict[str, Any]:
    exact = torch.randn(3, 4, generator=rng)
    draws = exact + 0.3 * torch.randn(3, 4, generator=rng) + 0.8 * torch.randn(6, 3, 4, generator=rng)
    return {"signature": "bias_and_variance(draws, exact)", "draws": draws, "exact": exact}


def number(name: str, points: int, words: str) -> Behavior:
    """One of the numbers. A squared bias is right for the student's own variance, too."""

    def judge(seen: Seen) -> Finding:
        got, right = seen.outputs, seen.right
        wanted = [right[name]]
        if name == "bias":
            wanted.append(right["bias"] + (right["variance"] - got["variance"].double().mean()) / len(seen.inputs["draws"]))
        if not untouched(seen.inputs, got["after"]):
            return failed(name, "Your code changes its arguments in place.", "changes_its_inputs")
        if any(close(got[name], want, atol=1e-4) for want in wanted):
            return passed(name, f"The {words} is right.")
        return failed(name, f"The {words} is wrong.", None, shown(right[name]), shown(got[name]))

    return Behavior(name, points, judge, lambda outputs: outputs[name])


def with_right_noise(variance: str) -> tuple[tuple[str, str], ...]:
    """The edits that make another variance of it, and leave the squared bias as it is."""
    return (f"variance = {VARIANCE}", f"variance = {variance}"), (CORRECTION, f" - {VARIANCE} / len(draws)")


BIAS_MISTAKES = (
    Mistake("noise_not_subtracted", "The squared bias contains sampling noise: even an unbiased estimator would get a positive one.",
            "The mean of N draws still wobbles; its square is variance / N too large on average. Subtract that.", (CORRECTION, "")),
    Mistake("noise_subtracted_n_times", "The whole variance is subtracted.", "Subtract variance / N.", (CORRECTION, " - variance")),
    Mistake("noise_added", "The noise is added where it has to be subtracted.",
            "The naive square is too large by variance / N: subtract it.", (CORRECTION, " + variance / len(draws)")),
    Mistake("bias_not_squared", "This is the bias, or its length; the squared length is asked for.", "Sum squares, take no root.",
            *(((NAIVE, f"(draws.mean(dim=0) - exact).{wrong}"), (CORRECTION, "")) for wrong in ("norm()", "abs().sum()", "sum()")),
            (NAIVE, "(draws.mean(dim=0) - exact).norm()")),
    Mistake("error_for_bias", "This is the mean squared error: bias squared plus variance.", "Average the draws before you square.",
            ((NAIVE, "(draws - exact).square().flatten(1).sum(dim=1).mean()"), (CORRECTION, ""))),
    Mistake("error_for_variance", "The spread is taken around the exact gradient.", "Take it around the draws' own mean: no bias is in it.",
            with_right_noise("(draws - exact).square().sum() / len(draws)"),
            (VARIANCE, "(draws - exact).square().sum() / len(draws)"), (VARIANCE, "(draws - exact).square().sum() / (len(draws) - 1)")),
    Mistake("divided_by_n", "The variance is divided by N.",
            "Divide by N - 1, or it is too small on average: draws.var(dim=0) does.", (VARIANCE, "draws.var(dim=0, unbiased=False).sum()")),
    Mistake("variance_of_the_mean", "This is the variance of the mean; that of a single draw is asked for.", "Do not divide by N.",
            with_right_noise(f"{VARIANCE} / len(draws)")),
    Mistake("variance_over_the_entries", "The variance runs over the entries of the gradient.", "Draws are the first axis: var(dim=0).",
            (VARIANCE, "draws.var()"), (VARIANCE, "draws.flatten(1).var(dim=1).mean()")),
    Mistake("standard_deviation_for_variance", "This is a standard deviation.", "Do not take the root.",
            with_right_noise(f"{VARIANCE}.sqrt()"), with_right_noise("draws.std(dim=0).sum()"), (VARIANCE, "draws.std(dim=0).sum()")),
    Mistake("entries_averaged", "The entries are averaged where they have to be summed.", "Both numbers are for the whole vector.",
            ((VARIANCE, "draws.var(dim=0).mean()"), (NAIVE, NAIVE.replace(".sum()", ".mean()"))),
            (VARIANCE, "draws.var(dim=0).mean()"), (NAIVE, NAIVE.replace(".sum()", ".mean()"))),
    Mistake("entries_not_summed", "The entries are not summed.", "Both numbers are for the whole vector: sum over its entries.",
            ((VARIANCE, "draws.var(dim=0)"), (NAIVE, NAIVE.replace(".sum()", "")))),
    *general("changes_its_inputs"),
)

BIAS_VARIANTS = {
    "plain numbers": body(
        BIAS_SOLUTION, "d, e = draws.double().flatten(1), exact.double().flatten()", "variance = d.var(0).sum().item()",
        "return (d.mean(0) - e).pow(2).sum().item() - variance / len(d), variance"),
    "from pairs of draws": body(
        BIAS_SOLUTION, "d = (draws - exact).flatten(1)", "products, n = d @ d.T, len(d)",
        "squared_bias = (products.sum() - products.trace()) / (n * (n - 1))", "return [squared_bias, draws.var(0).sum()]"),
}

BIAS_HINTS = (
    "The variance is a sum over entries of the variance over draws. For the bias: is the mean of N draws exact?",
    "|mean - exact|^2 is on average the squared bias plus the variance of the mean, which is variance / N.",
    "variance = draws.var(0).sum(); squared_bias = (draws.mean(0) - exact).square().sum() - variance / len(draws)",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    both = [torch.stack((found["bias"], found["variance"])) for found in (outputs, run(EXERCISES[0], BIAS_SOLUTION, double(inputs)))]
    return furthest(ax, *both, "squared bias, variance", "nats squared")


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
    Mistake("same_run_twice", "Two estimators have exactly the same numbers.", "Hand the loop's own estimator to `gradient_draws`.",
            "TARGET.loc[4, ['squared_bias', 'variance']] = TARGET.loc[3, ['squared_bias', 'variance']]"),
    Mistake("negative_variance", "A variance is negative.", "The squared bias comes first, then the variance: are their columns swapped?",
            "TARGET.loc[4, 'variance'] = -2.0"),
    Mistake("enumeration_varies", "Enumeration has a variance or a bias: it is compared with something else than itself.",
            "The exact gradient is one draw of the enumeration, for the same f and logits.", "TARGET.loc[0, 'variance'] = 12.0"),
    Mistake("bias_where_there_is_none", "An unbiased estimator has a squared bias far above its sampling noise.",
            "Are f, logits and `wrt` the same, and the draws 200 or more? Then see 2a and 2b.", "TARGET.loc[2, 'squared_bias'] = 6.0"),
    Mistake("no_bias_where_there_is_one", "The relaxed estimators show no bias, and they have one.",
            "Compare with the exact gradient, not with the mean of the draws.", "TARGET.loc[3:, 'squared_bias'] = [-0.001, -0.002]"),
)
KL_ABOVE = Mistake("kl_above_its_largest_value", "The KL is above 20 log 10 = 46.05 nats, and it cannot be.",
    "No q is further from the uniform prior than one that is certain of all latents: L log C. Use the closed form of 1a.",
    "TARGET['kl'] = 60.0\nTARGET['elbo'] = TARGET.log_px - TARGET.kl")

VARIANTS = {
    "another order": "TARGET = TARGET[::-1].reset_index(drop=True)",
    "the estimator as the index": "TARGET = TARGET.set_index('estimator')",
    "more rows": "TARGET.loc[5] = ['REBAR', -0.001, 3.0]",
    "a larger variance of leave-one-out": "TARGET.loc[2, 'variance'] = 300.0",
}

HINTS = (
    "Every row of the table is one estimator of the same gradient: the estimator differs; f, logits and the exact gradient stay.",
    'For each: `draws = gradient_draws(estimator, f_16, logits_16, draws=400, wrt="logits")`, then `bias_and_variance(draws, exact)`.',
    'rows.append({"estimator": name, "squared_bias": float(squared_bias), "variance": float(variance)}); at the end pd.DataFrame(rows).',
)
TWENTY_HINTS = (
    "Every row is one trained model with 20 latents. What differs is the estimator of the gradient that it was trained with.",
    "Two estimators are enough. `train_and_measure(estimator)` trains a new model, and returns it together with what it measured.",
    'twenty_models[name], measured = train_and_measure(estimators[name]); rows.append({"estimator": name, **measured})',
)

EXERCISES = (
    Exercise(name="discrete.bias_variance", target="bias_and_variance", title="Squared bias and variance of an estimator",
        read_on="Lecture 04, section 6, measuring an estimator", solution=BIAS_SOLUTION, preamble=PREAMBLE, draw=draw,
        probe=probes.bias_and_variance, laws=(number("variance", 1, "variance"), number("bias", 2, "squared bias")),
        mistakes=BIAS_MISTAKES, variants=BIAS_VARIANTS, hints=BIAS_HINTS, picture=picture),
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
