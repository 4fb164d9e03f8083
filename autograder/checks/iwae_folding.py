"""The checks of folding samples into the batch, and of sampling-importance-resampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.checks.iwae_functions import exercise, name_of
from autograder.checks.vae_calls import close, shown
from autograder.probes.iwae_functions import probe_over_samples, probe_resample
from autograder.verdict import Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS"]


# --- folding samples into the batch --------------------------------------------------------------


def draw_over_samples(rng: torch.Generator) -> dict[str, Any]:
    shapes = {"vectors": (3, 4, 2), "images": (4, 3, 1, 5, 2), "numbers": (5, 2)}
    return {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def judge_over_samples(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    values = [judge_folded(inputs[name], outputs[name]) for name in inputs]
    value = next((v for v in values if not v.passed), values[0])
    if values[0].passed and not value.passed and value.misconception is None:
        value = replace(value, misconception="only_vectors")
    seen = [len(outputs[name]["seen"]) for name in inputs if "seen" in outputs[name]]
    one = passed("one_call", "f is called once, on all samples.")
    if any(n != 1 for n in seen):
        name = "a_call_for_each_sample" if min(seen) > 1 else None
        one = failed("one_call", f"f is called {seen[0]} times for {len(inputs['vectors'])} samples.", name, "one call of f",
                     f"{seen[0]} calls")
    return [value, unjudged("one_call", value) or one]


def judge_folded(z: Tensor, record: dict[str, Any]) -> Finding:
    """The value beside f of z, applied row by row."""
    if "trouble" in record:
        return failed("values", f"With z of shape {list(z.shape)}: {record['trouble']}")
    if not untouched({"z": z}, {"z": record["z"]}):
        return failed("values", "Your code changes z in place.", "changes_its_inputs", "z as it was", "another z")
    want = torch.stack([z * 2 + 1, z.square()], dim=-1)
    got, (k, batch) = record["value"], z.shape[:2]
    if close(got, want, 1e-6, 1e-6):
        return passed("values", "Each result stands at its own sample and example.")
    wrong = {
        "not_unmerged": want.flatten(0, 1), "not_unmerged#other": want.transpose(0, 1).flatten(0, 1),
        "samples_and_batch_swapped": want.transpose(0, 1),
        "merge_permutes_the_batch": want.transpose(0, 1).reshape(want.shape),
        "merge_permutes_the_batch#other": want.reshape(batch, k, *want.shape[2:]).transpose(0, 1),
        "merge_permutes_the_batch#swapped": want.reshape(batch, k, *want.shape[2:]),
        "merge_permutes_the_batch#back": want.transpose(0, 1).reshape(want.shape).transpose(0, 1),
        "averaged_over_the_samples": want.mean(0), "one_sample_only": want[0], "one_sample_only#one": want[:1],
    }
    name = name_of(got, wrong, 1e-6, 1e-6)
    return failed("values", f"With z of shape {list(z.shape)} results stand in the wrong place.", name, shown(want), shown(got))


# --- sampling-importance-resampling --------------------------------------------------------------

DRAWS = 3_000


def draw_resample(rng: torch.Generator) -> dict[str, Any]:
    """Candidates (K, batch, M), and log-weights none of which is hopeless: each is drawn some five times or more."""
    return {"z": torch.randn(8, 5, 3, generator=rng), "log_w": -1.0 - 4.8 * torch.rand(8, 5, generator=rng), "num_draws": DRAWS}


def judge_resample(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    z, log_w = inputs["z"].double(), inputs["log_w"].double()
    usual = outputs["usual"]
    after = {name: usual[name] for name in ("z", "log_w")}
    if not untouched(inputs, after):
        return [failed("picks", "Your code changes z or log_w in place.", "changes_its_inputs", "arguments as they were", "others")]
    picks, counts = judge_picks(z, usual["value"].double())
    if counts is None:
        return [picks]
    weights = judge_counts(log_w, counts, usual["value"].double(), z)
    again = outputs["again"]
    if weights.passed and "trouble" not in again and again["value"].shape == usual["value"].shape and torch.equal(again["value"],
        usual["value"]):
        weights = failed("weights", "Two calls drew exactly the same.", "same_samples_in_every_call", "fresh draws", "the same again")
    far = outputs["far"]
    if unknown := unjudged("extremes", weights):
        return [picks, weights, unknown]
    if "trouble" in far:
        return [picks, weights, failed("extremes", f"With log-weights near -900: {far['trouble']}", "exp_underflows")]
    far_picks, far_counts = judge_picks(z, far["value"].double())
    right = far_counts is not None and judge_counts(log_w, far_counts, far["value"].double(), z).passed
    if weights.passed and not right:
        return [picks, weights, failed("extremes", "With log-weights near -900 the draws do not follow the weights.", "exp_underflows")]
    # Where the usual weights are wrong already, the far ones are not charged for it.
    sound = far_counts is not None
    return [picks, weights, passed("extremes", "Log-weights of 784 pixels are no trouble.") if sound
            else failed("extremes", far_picks.message, "exp_underflows")]


def judge_picks(z: Tensor, got: Tensor) -> tuple[Finding, Tensor | None]:
    """Is each draw one of its own example's candidates? And how often was each drawn, (K, batch)?"""
    expected = f"shape {[DRAWS, *z.shape[1:]]}, each entry one of its example's candidates"
    if got.shape != (DRAWS, *z.shape[1:]):
        name = "samples_and_batch_swapped" if got.shape == (z.shape[1], DRAWS, z.shape[2]) else None
        name = "latents_apart" if got.shape == z.shape else name
        return failed("picks", f"The draws have shape {list(got.shape)}.", name, expected, shown(got)), None
    distance = (got[:, None] - z).abs().amax(-1)  # (draws, K, batch)
    nearest, which = distance.min(1)
    if not float(nearest.max()) <= 1e-5:  # NaN is far from everything
        across = (got[:, :, None] - z.flatten(0, 1)).abs().amax(-1).amin(-1)
        apart = (got[:, None] - z).abs().amin(1).amax()
        one_by_one = "latents_apart" if float(apart) < 1e-5 else "averaged_over_the_samples"
        name = "picks_of_another_example" if float(across.max()) < 1e-5 else one_by_one
        return failed("picks", "A draw is none of its example's candidates.", name, expected, shown(got)), None
    counts = torch.stack([(which == k).sum(0) for k in range(len(z))]).double()
    return passed("picks", "Each draw is one of its own example's candidates."), counts


def judge_counts(log_w: Tensor, counts: Tensor, got: Tensor, z: Tensor) -> Finding:
    """Counts against normalized weights by Pearson's statistic: 35 degrees of freedom, above 110 with probability 1e-9."""
    expected, seen = "draws in proportion to the normalized weights", "other proportions"
    if chi_square(counts, torch.softmax(log_w, 0)) < 110 and not shared(got, z, log_w):
        return passed("weights", "Each candidate is drawn as often as its weight says.")
    if shared(got, z, log_w):
        return failed("weights", "All examples draw the same indices.", "one_pick_for_all_examples", expected, seen)
    table = {
        "samples_not_weighted": torch.full_like(log_w, 1 / len(log_w)), "weights_inverted": torch.softmax(-log_w, 0),
        "weights_over_the_batch": torch.softmax(log_w, 1) / torch.softmax(log_w, 1).sum(0),
        "log_weights_for_weights": log_w.abs() / log_w.abs().sum(0), "weights_squared": torch.softmax(2 * log_w, 0),
    }
    best = counts.gather(0, log_w.argmax(0, keepdim=True)) == DRAWS
    name = "best_sample_only" if bool(best.all()) else next((n for n, w in table.items() if chi_square(counts, w) < 110), None)
    return failed("weights", "The draws do not follow the normalized weights.", name, expected, seen)


def chi_square(counts: Tensor, weights: Tensor) -> float:
    want = DRAWS * weights
    return float(((counts - want).square() / want).sum())


def shared(got: Tensor, z: Tensor, log_w: Tensor) -> bool:
    """Whether every draw takes the same k for all examples; by chance a draw does so once in hundreds."""
    which = (got[:, None] - z).abs().amax(-1).argmin(1)  # (draws, batch)
    return float((which == which[:, :1]).all(-1).double().mean()) > 0.9 and not bool((which == which[:1]).all())


CHECKS = (
    exercise("over_samples", "K samples through a network in one call", {"values": 2, "one_call": 1}, draw_over_samples,
             probe_over_samples, judge_over_samples, "folding samples into the batch"),
    exercise("resample", "A posterior sample by resampling", {"picks": 1, "weights": 2, "extremes": 1}, draw_resample, probe_resample,
             judge_resample, "the posterior that the weights know"),
)
