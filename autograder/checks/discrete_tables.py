"""The checks of unit 04's recorded tables: what must be true of honest numbers, whatever they are."""

from __future__ import annotations

import math
from typing import Any

import torch

from autograder.checks.discrete_findings import check
from autograder.checks.vae_experiments import judge_table, judge_values, well_formed
from autograder.probes.discrete_tables import probe_race, probe_twenty
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

UNBIASED = ("score function", "leave-one-out")
RELAXED = ("Gumbel-softmax", "straight-through")
ESTIMATORS = ("enumeration", *UNBIASED, *RELAXED)
LATENTS, CLASSES = 20, 10
# The estimate of a squared bias that is not there, from N draws, is at worst (chi-squared with one degree of freedom - 1) variance / N,
# namely where all variance lies in one direction. With N = 200 it passes an eighth of the variance with probability 3.5e-7.
NOISE = 0.125
NOTHING = 1e-3  # of the largest variance, for enumeration: rounding, with room


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Nothing is random about reading a table."""
    return {}


def judge_race(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    if not well_formed(outputs, ("estimator",), ("squared_bias", "variance")):
        return [failed("table", "`race_results` could not be read as a table of numbers.")]
    rows = list(zip(outputs["estimator"], outputs["squared_bias"], outputs["variance"], strict=True))
    if not all(math.isfinite(value) for _, *values in rows for value in values):
        return [failed("table", "Some entries are not finite numbers.", "not_finite", "finite numbers", "NaN or infinity")]
    found = {name: (bias, variance) for name, bias, variance in rows}
    missing = [name for name in ESTIMATORS if name not in found]
    if missing:
        return [failed("table", f"The table needs a row for {', '.join(missing)}.", None, ", ".join(ESTIMATORS), ", ".join(found))]
    return [judge_race_rows(found), judge_race_truth(found)]


def judge_race_rows(found: dict[str, tuple[float, float]]) -> Finding:
    names = list(found)
    for second in range(len(names)):
        if found[names[second]][1] < 0:
            return failed(
                "table",
                f"The variance of {names[second]} is negative.",
                "negative_variance",
                "a variance",
                f"{found[names[second]][1]:.3g}",
            )
        for first in range(second):
            if found[names[first]] == found[names[second]]:
                return failed("table", f"{names[first]} and {names[second]} have exactly the same numbers.", "same_run_twice")
    return passed("table", "All five estimators are there, each with numbers of its own.")


def judge_race_truth(found: dict[str, tuple[float, float]]) -> Finding:
    """Enumeration does not vary, the unbiased ones have no bias beyond noise, and the relaxed ones have one.

    Nothing is demanded of the order of variances: none holds for every problem.
    """
    largest = max(variance for _, variance in found.values())
    bias, variance = found["enumeration"]
    got = "; ".join(f"{name}: squared bias {b:.3g}, variance {v:.3g}" for name, (b, v) in found.items())
    if max(abs(bias), variance) > NOTHING * largest:
        return failed("truth", "Enumeration is exact: it has neither bias nor variance.", "enumeration_varies", "0 and 0", got)
    for name in UNBIASED:
        bias, variance = found[name]
        if abs(bias) > NOISE * variance:
            return failed(
                "truth",
                f"The squared bias of {name} is above its sampling noise.",
                "bias_where_there_is_none",
                f"|squared bias| below {NOISE * variance:.3g}",
                got,
            )
    if all(found[name][0] <= 0 for name in RELAXED):
        return failed("truth", "The relaxed estimators show no bias.", "no_bias_where_there_is_one", "a squared bias above 0", got)
    return passed("truth", "Exact, unbiased within noise, biased: each as it has to be.")


def judge_twenty(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    if not well_formed(outputs, ("estimator",), ("elbo", "log_px", "kl")):
        return [failed("table", "`twenty_results` could not be read as a table of numbers.")]
    estimators = set(outputs["estimator"])
    table = judge_table(outputs, ("estimator",), len(estimators) >= 2, "two different estimators or more", f"{len(estimators)}")
    values, sound = judge_values(outputs)
    largest = LATENTS * math.log(CLASSES)
    if sound and max(outputs["kl"]) > largest + 0.5:
        message = f"A KL of {max(outputs['kl']):.1f} nats: {LATENTS} latents of {CLASSES} classes hold {largest:.2f} at most."
        values = [failed("values", message, "kl_above_its_largest_value", f"kl <= {largest:.2f}", f"{max(outputs['kl']):.2f}")]
    return [table, *values]


CHECKS = (
    check(
        "discrete.race",
        "race_results",
        "A table of five estimators",
        {"table": 1, "truth": 2},
        draw,
        probe_race,
        judge_race,
        "section 8",
    ),
    check(
        "discrete.twenty",
        "twenty_results",
        "A table of models with 20 latents",
        {"table": 1, "values": 2},
        draw,
        probe_twenty,
        judge_twenty,
        "section 10",
    ),
)
