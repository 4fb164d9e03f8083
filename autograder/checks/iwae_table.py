"""The check of the recorded bounds: what must be true of an honest table of L_K and ESS, whatever its numbers are.

No number of ours is compared with a student's. L_K grows with K (Burda et al. 2016, theorem 1). The means over some hundred
images of two evaluations differ by noise, so a fall of SLACK is forgiven; the room is several times what twenty seeds of the shortest
training (ELBOLAB_FAST=1) gave.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch

from autograder.checks.iwae_functions import exercise
from autograder.probes.iwae_functions import probe_bounds_table
from autograder.verdict import Finding, failed, passed

__all__ = ["CHECKS"]

COLUMNS = ("num_samples", "bound", "ess")
FEWEST, LARGEST = 4, 500  # rows, and the K that at least one row has
SLACK = 0.5  # nats: the noise of a mean over a hundred images or more, when another K is drawn
GROWTH = 0.4  # nats from K = 1 to the largest; a model after 100 steps gave 1.5 to 4
ROUNDING = 0.051  # of an ESS
UNTRAINED, BATCH_SUM, PIXEL_MEAN = -400.0, -700.0, -3.0  # as in unit 01: an untrained network has -543


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Nothing is random about reading a table."""
    return {}


def judge_bounds(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    columns = [outputs.get(name) for name in COLUMNS]
    if not all(isinstance(c, list) and c and len(c) == len(columns[0]) and all(isinstance(v, (int, float)) for v in c) for c in columns):
        return [failed("table", "`bound_results` could not be read as a table of numbers.")]
    rows = sorted(zip(*columns, strict=True))
    table = judge_table(rows)
    if table.misconception == "diverged":
        return [table]
    values = judge_values(rows)
    if not values.passed and values.misconception not in ("ess_out_of_range", "ess_is_a_fraction"):
        return [table, values]
    return [table, values, judge_growth(rows)] if len(rows) > 1 else [table, values]


def judge_table(rows: list[tuple[float, ...]]) -> Finding:
    if not all(math.isfinite(v) for row in rows for v in row):
        return failed("table", "Some entries are not finite numbers.", "diverged", "finite numbers", "NaN or infinity")
    sizes = [k for k, *_ in rows]
    got = ", ".join(f"{k:g}" for k in sizes)
    expected = f"at least {FEWEST} different num_samples, 1 among them and one of {LARGEST} or more"
    if any(k < 1 or k != round(k) for k in sizes):
        return failed("table", "num_samples counts samples: whole numbers from 1.", None, expected, got)
    if any(a[1] == b[1] and a[0] != b[0] for a in rows for b in rows):
        return failed("table", "Rows with different num_samples hold exactly the same bound.", "same_evaluation_twice",
                      "an evaluation for each row",
                      "the same number again")
    if len(set(sizes)) < FEWEST or sizes[0] != 1 or sizes[-1] < LARGEST:
        return failed("table", f"The table needs {expected}; yours has {got}.", None, expected, got)
    return passed("table", "All numbers of samples are there, each with an evaluation of its own.")


def judge_values(rows: list[tuple[float, ...]]) -> Finding:
    """Nats an image, with the right sign, and an ESS between 1 and K."""
    bounds = [bound for _, bound, _ in rows]
    expected, got = "bounds in nats an image: some 70 to 220 below zero", f"between {min(bounds):.4g} and {max(bounds):.4g}"
    if max(bounds) > 0:
        return failed("values", "A bound on the log-probability of a binary image is never positive.", "loss_recorded", expected, got)
    if max(map(abs, bounds)) < -PIXEL_MEAN:
        return failed("values", "These are values of one pixel, not of an image.", "mean_over_pixels", expected, got)
    if min(bounds) < BATCH_SUM:
        return failed("values", "These values are too large for one image.", "sum_over_batch", expected, got)
    if min(bounds) < UNTRAINED:
        return failed("values", "A row looks like a network that has not been trained.", "untrained", expected, got)
    return judge_ess(rows)


def judge_ess(rows: list[tuple[float, ...]]) -> Finding:
    expected = "an effective sample size between 1 and num_samples, and 1 for one sample"
    got = ", ".join(f"{ess:.3g} of {k:g}" for k, _, ess in rows)
    if any(ess < 1 - ROUNDING for _, _, ess in rows):
        # 1 / ESS and ESS / K both lie below one, and are 1 at K = 1.
        return failed("values", "An effective sample size is below 1.", "ess_is_a_fraction", expected, got)
    if any(ess > k + ROUNDING for k, _, ess in rows):
        return failed("values", "An effective sample size is above the number of samples.", "ess_out_of_range", expected, got)
    return passed("values", "Nats an image, and an effective number of samples between 1 and K.")


def judge_growth(rows: list[tuple[float, ...]]) -> Finding:
    """L_K <= L_(K+1): never lower than before, higher at the end, and not by log K."""
    got = ", ".join(f"{bound:.1f} at {k:g}" for k, bound, _ in rows)
    expected = "a bound that grows with the number of samples, ever more slowly"
    steps = [(later[1] - earlier[1], math.log(later[0] / earlier[0])) for earlier, later in pairwise(rows) if later[0] > earlier[0]]
    if len(steps) > 1 and all(-1.1 * log_ratio < growth < -0.3 * log_ratio for growth, log_ratio in steps[-2:]):
        return failed("growth", "The bound falls by log K.", "log_k_counted_twice", expected, got)
    if any(growth < -SLACK for growth, _ in steps):
        return failed("growth", "The bound falls with the number of samples.", "bound_falls", expected, got)
    if len(steps) > 1 and all(growth > 0.9 * log_ratio for growth, log_ratio in steps[-2:]):
        return failed("growth", "The bound goes on growing by log K.", "log_k_missing", expected, got)
    if rows[-1][1] - rows[0][1] < GROWTH:
        return failed("growth", "The bound does not grow with the number of samples.", "mean_of_logs", expected, got)
    return passed("growth", "The bound grows with the number of samples, as L_K must.")


CHECKS = (
    exercise("bounds_table", "A table of bounds for growing K", {"table": 1, "values": 1, "growth": 2}, draw, probe_bounds_table,
             judge_bounds, "a tighter bound", target="bound_results"),
)
