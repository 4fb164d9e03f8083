"""The checks of the recorded experiments: what must be true of an honest table, whatever its numbers are.

No number of ours is compared with a student's. Trainings are short and random, so each demand has room:
the differences between settings that are demanded here are several times smaller than what twenty seeds
of the shortest training (ELBOLAB_FAST=1) gave.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import torch

from autograder.advice.experiments import HINTS, misconceptions
from autograder.probes.experiments import (
    probe_autoencoder,
    probe_beta_sweep,
    probe_classes,
    probe_depth,
    probe_latents,
)
from autograder.verdict import Check, Finding, failed, passed

__all__ = ["CHECKS"]

MEASURED = ("elbo", "log_px", "kl")
BETAS = (0.1, 1.0, 10.0, 50.0)

# Nats an image. Room for rounded entries, and for a row whose numbers come from two evaluations.
ROUNDING = 0.5
# A network that answers 1/2 for each pixel has log p(x|z) = -784 log 2 = -543; a few steps of training bring it
# above -500, a hundred above -230. A sum over 10 images is below -700; a mean over 784 pixels is above -0.7.
UNTRAINED, BATCH_SUM, PIXEL_MEAN = -500.0, -700.0, -3.0
# The KL is a one-sample estimate: its mean over 500 images can fall below zero by a few hundredths.
NEGATIVE_KL = -0.5


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Nothing is random about reading a table."""
    return {}


def judge_depth(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    networks = set(zip(outputs["hidden"], outputs["activation"], strict=True))
    enough = len(networks) >= 3
    table = judge_table(outputs, ("hidden", "activation"), enough, "at least 3 different networks", f"{len(networks)} different")
    return [table, *judge_values(outputs)[0]]


def judge_classes(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    enough = {2.0, 4.0, 10.0} <= set(outputs["classes"])
    table = judge_table(outputs, ("classes",), enough, "rows for 2, 4 and 10 classes", f"rows for {show(outputs['classes'])}")
    return [table, *judge_values(outputs)[0]]


def judge_latents(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    widths = {latents for latents in outputs["latents"] if latents >= 1 and latents == round(latents)}
    enough = len(widths) >= 4 and min(widths) <= 2 and max(widths) >= 20
    expected = "at least 4 numbers of latents, from 1 or 2 up to 20 or more"
    table = judge_table(outputs, ("latents",), enough, expected, f"rows for {show(outputs['latents'])}")
    return [table, *judge_values(outputs)[0], judge_active_units(outputs)]


def judge_autoencoder(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    enough = {0.0, 1.0} <= set(outputs["beta"])
    table = judge_table(outputs, ("beta",), enough, "rows for beta = 0 and beta = 1", f"rows for {show(outputs['beta'])}")
    if not table.passed:
        return [replace(table, behavior="values")]
    values, sound = judge_values(outputs)
    if not sound:
        return values
    zero = judge_beta_zero(outputs)
    if values[0].passed:
        values = [judge_loss(outputs)]
    if zero.misconception == "beta_not_used" and not values[0].passed:
        # One cause, one name: two models trained with the same beta cannot have the losses of two.
        values = [replace(values[0], misconception="beta_not_used")]
    return [*values, zero]


def judge_beta_sweep(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    enough = set(BETAS) <= {round(beta, 6) for beta in outputs["beta"]}
    table = judge_table(outputs, ("beta",), enough, "rows for beta = 0.1, 1, 10 and 50", f"rows for {show(outputs['beta'])}")
    values, sound = judge_values(outputs)
    trend = [judge_trend(outputs)] if table.passed and sound else []
    return [table, *values, *trend]


def judge_table(outputs: dict[str, Any], settings: tuple[str, ...], enough: bool, expected: str, got: str) -> Finding:
    """Finite numbers, all the settings, and each row from a training of its own."""
    columns = [name for name in outputs if name not in settings]
    bad = [name for name in columns if not all(math.isfinite(value) for value in outputs[name])]
    if bad:
        return failed("table", f"Some entries of {', '.join(bad)} are not finite numbers.", "diverged",
                      "finite numbers", "NaN or infinity")
    if any(isinstance(value, float) and not math.isfinite(value) for name in settings for value in outputs[name]):
        return failed("table", f"Some entries of {', '.join(settings)} are missing.", None, "a setting in each row", "NaN")
    rows = list(zip(*(outputs[name] for name in settings), strict=True))
    results = list(zip(*(outputs[name] for name in MEASURED), strict=True))
    for first in range(len(rows)):
        for second in range(first):
            if results[first] == results[second] and rows[first] != rows[second]:
                return failed("table", f"Rows {second} and {first} hold exactly the same numbers for different settings.",
                              "same_run_twice", "a training of its own for each row", "the same numbers again")
    if not enough:
        return failed("table", f"The table needs {expected}; yours has {got}.", None, expected, got)
    return passed("table", "All settings are there, each with numbers of its own.")


def judge_values(outputs: dict[str, Any]) -> tuple[list[Finding], bool]:
    """Each row by itself: nats an image, with the right signs, and elbo = log_px - kl.

    Also whether log_px and kl are sound enough to compare rows. Silent where numbers are not finite.
    """
    rows = list(zip(outputs.get("beta", [1.0] * len(outputs["elbo"])), *(outputs[name] for name in MEASURED), strict=True))
    if not all(math.isfinite(value) for row in rows for value in row):
        return [], False
    unsound = judge_scale(rows) or judge_signs(rows)
    if unsound:
        return [unsound], False
    wrong_sum = judge_sum(rows)
    return [wrong_sum or passed("values", "Nats an image, and elbo = log_px - kl in each row.")], True


def judge_scale(rows: list[tuple[float, ...]]) -> Finding | None:
    """Are these nats an image, of a network that has learned something?"""
    sizes = [abs(log_px) for _, _, log_px, _ in rows]
    got = f"log_px between {min(r[2] for r in rows):.4g} and {max(r[2] for r in rows):.4g}"
    expected = "log_px in nats an image: some 70 to 220 below zero"
    if max(sizes) < -PIXEL_MEAN:
        return failed("values", "These are values of one pixel, not of an image.", "mean_over_pixels", expected, got)
    if max(sizes) > -BATCH_SUM:
        return failed("values", "These values are too large for one image.", "sum_over_batch", expected, got)
    if max(sizes) > -UNTRAINED:
        return failed("values", "A row looks like a network that has not been trained.", "untrained", expected, got)
    return None


def judge_signs(rows: list[tuple[float, ...]]) -> Finding | None:
    """log_px <= 0 and kl >= 0."""
    for _, _, log_px, kl in rows:
        if log_px > 0:
            return failed("values", "log_px is positive, but each pixel is 0 or 1 and has a probability below 1.",
                          "reconstruction_error_as_log_px", "log_px <= 0", f"log_px = {log_px:.4g}")
        if kl < NEGATIVE_KL:
            return failed("values", "The KL divergence is never negative (beyond sampling noise).", "kl_negated",
                          "kl >= 0", f"kl = {kl:.4g}")
    return None


# What people record as the ELBO in its place: name -> value from beta, log_px, kl.
TAKEN_FOR_ELBO = {
    "beta_elbo_as_elbo": lambda beta, log_px, kl: log_px - beta * kl,
    "loss_as_elbo": lambda beta, log_px, kl: kl - log_px,
    "beta_loss_as_elbo": lambda beta, log_px, kl: beta * kl - log_px,
    "log_px_as_elbo": lambda beta, log_px, kl: log_px,
    "kl_added": lambda beta, log_px, kl: log_px + kl,
}


def judge_sum(rows: list[tuple[float, ...]]) -> Finding | None:
    """elbo = log_px - kl; and if not, what is it?"""
    wrong = [row for row in rows if abs(row[1] - (row[2] - row[3])) > ROUNDING]
    if not wrong:
        return None
    _, elbo, log_px, kl = max(wrong, key=lambda row: abs(row[1] - (row[2] - row[3])))
    expected, got = f"elbo = {log_px:.2f} - {kl:.2f} = {log_px - kl:.2f}", f"elbo = {elbo:.2f}"
    for name, formula in TAKEN_FOR_ELBO.items():
        if all(abs(row[1] - formula(row[0], *row[2:])) <= ROUNDING for row in rows):
            return failed("values", "In each row elbo must be log_px - kl.", name.replace("beta_loss", "loss"), expected, got)
    return failed("values", "In each row elbo must be log_px - kl, all three from the same evaluation.", None, expected, got)


def judge_active_units(outputs: dict[str, Any]) -> Finding:
    """Whole numbers between 0 and latents, and not 0 where the code carries nats."""
    expected = "a whole number between 0 and latents"
    for latents, kl, active in zip(outputs["latents"], outputs["kl"], outputs["active_units"], strict=True):
        got = f"active_units = {active:g} with {latents:g} latents"
        if not math.isfinite(active):
            return failed("active_units", "A number of active units is not finite.", None, expected, got)
        if active != round(active):
            return failed("active_units", "active_units counts latents, so it is a whole number.", "variances_not_counted", expected, got)
        if active > latents:
            return failed("active_units", "There are more active units than latents.", "active_units_over_images", expected, got)
        if active < 0 or (active == 0 and kl > 3):
            return failed("active_units", f"The KL is {kl:.1f} nats, so some latent must be active.", None,
                          "at least 1 active unit", got)
    return passed("active_units", "Whole numbers, none above the number of latents.")


def by_beta(outputs: dict[str, Any]) -> dict[float, dict[str, float]]:
    """The rows by beta; the last one where a beta stands twice."""
    names = [name for name in outputs if name != "beta"]
    rows = zip(outputs["beta"], *(outputs[name] for name in names), strict=True)
    return {round(beta, 6): dict(zip(names, row, strict=True)) for beta, *row in rows}


def judge_loss(outputs: dict[str, Any]) -> Finding:
    """loss = -(log_px - beta kl): at beta = 0 it is -log_px."""
    rows = by_beta(outputs)
    off = {beta: row for beta, row in rows.items() if abs(row["loss"] + row["log_px"] - beta * row["kl"]) > ROUNDING}
    if not off:
        return passed("values", "The loss is the negative beta-ELBO: at beta = 0 it is -log_px.")
    beta, row = min(off.items())
    expected, got = f"loss = {beta * row['kl'] - row['log_px']:.2f} at beta = {beta:g}", f"loss = {row['loss']:.2f}"
    if all(abs(row["loss"] - row["log_px"] + beta * row["kl"]) <= ROUNDING for beta, row in rows.items()):
        return failed("values", "The loss has the wrong sign.", "loss_not_negated", expected, got)
    if all(abs(row["loss"] + row["elbo"]) <= ROUNDING for row in rows.values()):
        return failed("values", "The loss of beta = 0 contains the KL.", "loss_with_the_wrong_beta", expected, got)
    return failed("values", "loss must be -(log_px - beta kl), from the same evaluation as the rest of its row.", None, expected, got)


def judge_beta_zero(outputs: dict[str, Any]) -> Finding:
    """Without its price the code grows: a larger KL, and an ELBO that is not better.

    After the shortest training (100 steps) the KL at beta = 0 was 1.7 to 10 times that at beta = 1, 5 times in the
    median; after 1,500 steps far more. Little is demanded here, because the loss of the row shows a wrong beta exactly.
    """
    rows = by_beta(outputs)
    free, paid = rows[0.0], rows[1.0]
    expected, got = "a much larger kl at beta = 0 than at beta = 1", f"kl {free['kl']:.2f} at 0, {paid['kl']:.2f} at 1"
    if paid["kl"] > 1.5 * free["kl"] and paid["kl"] > free["kl"] + 1:
        return failed("beta_zero", "The two rows seem to be swapped.", "betas_swapped", expected, got)
    if free["kl"] < 1.1 * paid["kl"] + 0.2:
        return failed("beta_zero", "The two models have about the same KL.", "beta_not_used", expected, got)
    free_elbo, paid_elbo = free["log_px"] - free["kl"], paid["log_px"] - paid["kl"]
    if free_elbo > paid_elbo + 10:
        return failed("beta_zero", "The ELBO is what beta = 1 trains; beta = 0 cannot be far above it.", None,
                      "a lower elbo at beta = 0", f"elbo {free_elbo:.1f} at 0, {paid_elbo:.1f} at 1")
    return passed("beta_zero", "Without the KL term the KL grows, and the ELBO pays for it.")


def judge_trend(outputs: dict[str, Any]) -> Finding:
    """KL falls with beta, and so does log_px: demanded from end to end, with room between neighbors.

    After the shortest training the KL was 5 to 10 nats at beta = 0.1 and 0.0 at 50, and log_px 14 to 34 nats apart;
    1 nat, 2.5 times and 3 nats are demanded. Models that all had beta = 1 have KLs within 2.5 times of each other.
    """
    rows = by_beta(outputs)
    cheap, dear = rows[0.1], rows[50.0]
    kls = [rows[beta]["kl"] for beta in BETAS]
    got = "kl " + ", ".join(f"{kl:.2f} at {beta:g}" for beta, kl in zip(BETAS, kls, strict=True))
    expected = "kl falls and log_px falls as beta grows"
    if dear["kl"] > cheap["kl"] + 1:
        return failed("trend", "The KL grows with beta in your table.", "betas_swapped", expected, got)
    if cheap["kl"] - dear["kl"] < 1 or cheap["kl"] < 2.5 * dear["kl"]:
        return failed("trend", "The KL does not change with beta.", "beta_not_used", expected, got)
    if any(later > 1.1 * earlier + 0.5 for earlier, later in itertools.pairwise(kls)):
        return failed("trend", "The KL must fall as beta grows.", None, expected, got)
    if cheap["log_px"] < dear["log_px"] + 3:
        return failed("trend", "A cheap code must reconstruct better than a dear one.", None, expected,
                      f"log_px {cheap['log_px']:.1f} at 0.1, {dear['log_px']:.1f} at 50")
    return passed("trend", "A dearer code is shorter and reconstructs worse.")


def show(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(set(values)))


def well_formed(outputs: dict[str, Any], texts: tuple[str, ...], numeric: tuple[str, ...]) -> bool:
    """Are these the columns that the probe promises? What crosses the border to the grader need not be."""
    columns = [outputs.get(name) for name in (*texts, *numeric)]
    if not all(isinstance(column, list) and column and len(column) == len(columns[0]) for column in columns):
        return False
    numbers = all(isinstance(value, (int, float)) for name in numeric for value in outputs[name])
    return numbers and all(isinstance(value, str) for name in texts for value in outputs[name])


def experiment(name: str, target: str, title: str, behaviors: dict[str, int], probe, judge_rows, settings, texts=()) -> Check:
    """The check of one table; `settings` are its further columns of numbers, `texts` those of text."""

    def judge(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        if not well_formed(outputs, texts, (*settings, *MEASURED)):
            return [failed(next(iter(behaviors)), f"`{target}` could not be read as a table of numbers.")]
        return judge_rows(inputs, outputs)

    return Check(
        name=name, target=target, title=title, behaviors=behaviors, draw=draw, probe=probe, judge=judge,
        hints=HINTS[name], misconceptions=misconceptions(name), read_on="Lecture 01, what the KL does",
    )


CHECKS = (
    experiment("vae.depth", "depth_results", "A table of networks of different depth", {"table": 1, "values": 2},
               probe_depth, judge_depth, settings=(), texts=("hidden", "activation")),
    experiment("vae.classes", "class_results", "A table for 2, 4 and 10 classes", {"table": 1, "values": 1},
               probe_classes, judge_classes, settings=("classes",)),
    experiment("vae.latents", "latent_results", "A table of numbers of latents", {"table": 1, "values": 1, "active_units": 1},
               probe_latents, judge_latents, settings=("latents", "active_units")),
    experiment("vae.autoencoder", "autoencoder_results", "A table of beta = 0 and beta = 1", {"values": 1, "beta_zero": 1},
               probe_autoencoder, judge_autoencoder, settings=("beta", "loss")),
    experiment("vae.beta_sweep", "beta_results", "A table of four betas", {"table": 1, "values": 1, "trend": 1},
               probe_beta_sweep, judge_beta_sweep, settings=("beta",)),
)
