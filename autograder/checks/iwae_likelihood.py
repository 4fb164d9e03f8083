"""The checks of the test log-likelihood in bounded memory, of the active units, and of the DReG surrogate."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import torch
from torch import Tensor

from autograder.checks.iwae_calls import Sampled, samples_fault
from autograder.checks.iwae_functions import exercise
from autograder.checks.iwae_gradients import CLOSE, bound, distance, dreg_gradient
from autograder.checks.iwae_truth import Truth, draw_sampled, log_mean_exp
from autograder.checks.vae_calls import close, shown
from autograder.probes.iwae import probe_active_units, probe_dreg, probe_likelihood
from autograder.verdict import Finding, failed, passed, unjudged, untouched

__all__ = ["CHECKS"]

# --- log p(x) by many samples --------------------------------------------------------------------

LIKELIHOOD_FAULTS = ("decodes_the_mean", "samples_from_the_prior", "one_z_for_the_batch", "samples_shared_across_the_batch")


def draw_likelihood(rng: torch.Generator) -> dict[str, Any]:
    """151 samples in chunks of 32 (the last one is short), 61 samples in one chunk of at most 200."""
    return draw_sampled(rng) | {"cases": [[151, 32], [61, 200]]}


def judge_likelihood(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    records = outputs["calls"]
    first, chunk = Sampled(inputs, records[0], inputs["cases"][0][0], inputs["x"]), inputs["cases"][0][1]
    value = likelihood_value(first, chunk)
    (again, size), record = inputs["cases"][1], records[1]
    if value.passed and "trouble" in record:
        value = failed("value", f"With {again} samples and chunk = {size}: {record['trouble']}", "fewer_samples_than_a_chunk")
    elif value.passed:
        value = likelihood_value(Sampled(inputs, record, again, inputs["x"]), size)
    value = passed("value", "The estimate is that of all your samples together, in every chunking.") if value.passed else value
    if unknown := [unjudged(behavior, value) for behavior in ("memory", "encoder", "graph") if unjudged(behavior, value)]:
        return [value, *unknown]
    largest, batch = max(first.sizes, default=0), first.batch
    if largest > chunk * batch:
        got = f"{largest // batch} samples of each example at once"
        memory = failed("memory", "More samples are decoded at once than chunk allows.", "chunk_ignored", f"at most {chunk} at once", got)
    elif not largest:
        memory = failed("memory", "Your code never decodes anything.", None)
    else:
        memory = passed("memory", f"At most {chunk} samples of each example are decoded at once.")
    encoded = sum(first.encoded)
    once = passed("encoder", "Each example is encoded once.")
    if encoded > batch:
        once = failed("encoder", "An example is encoded again and again.", "encodes_for_each_chunk", f"{batch} rows", f"{encoded} rows")
    elif encoded < batch:
        once = failed("encoder", "There are examples that your code never encodes.", None, f"{batch} rows", f"{encoded} rows")
    graph = passed("graph", "No graph is kept.") if first.gradients.get("unattached") else failed(
        "graph", "The result carries a graph, so every chunk's activations stay in memory.", "keeps_the_graph", "no graph", "a graph")
    return [value, memory, once, graph]


def likelihood_value(call: Sampled, chunk: int) -> Finding:
    got, k = call.value, call.num_samples
    expected = f"one value for each of {call.batch} examples"
    if call.changed_x():
        return failed("value", "Your code changes x in place.", "changes_its_inputs", "x as it was", "another x")
    if got.numel() == 1 and call.batch > 1:
        return failed("value", "The estimate must have one value for each example.", "averaged_over_the_batch", expected, shown(got))
    if got.shape != (call.batch,):
        return failed("value", f"The estimate must have shape [{call.batch}]; yours has {list(got.shape)}.", None, expected, shown(got))
    if call.z is None:
        return failed("value", "The latents that were decoded cannot be told apart by example.", None, expected, shown(got))
    if fault := drawn_badly(call):
        return failed("value", "The samples are not independent draws of q(z|x).", fault, "K independent draws for each example",
                      shown(got))
    log_w = call.truth.pieces(call.z).log_w
    want, count = log_mean_exp(log_w), len(log_w)
    if close(got, want) and count == k:
        return passed("value", "Right at the samples that your code drew.")
    if not got.isfinite().all() or (len(set(got.tolist())) == 1 and -110 < float(got[0]) < -1
                                    and not close(got, torch.full_like(got, -math.log(k)))):
        return failed("value", "The estimate is not finite, or cut off.", "exp_underflows", shown(want), shown(got))
    name = next((n.split("#")[0] for n, wrong in wrong_likelihoods(log_w, k, chunk).items() if close(got, wrong)), None)
    if name is None and count < k:
        name = "last_chunk_left_out" if count == k - k % chunk else "num_samples_ignored"
    if name is None and count > k:
        name = "more_samples_than_asked"
    return failed("value", "The estimate is not log (1/K) of the sum of all weights.", name, shown(want), shown(got))


def drawn_badly(call: Sampled) -> str | None:
    """The mistake by which the samples of all chunks together are not K independent draws of q for each example."""
    noise = call.noise[:, 0]
    if len(torch.unique(noise.mul(1e4).round(), dim=0)) < 0.9 * len(noise) and float(noise.square().mean()) > 1e-4:
        return "same_samples_in_every_chunk"
    whole = copy(call)
    whole.num_samples = len(call.z)  # all that was decoded, however many were asked for
    fault = samples_fault(whole)
    return fault if fault in LIKELIHOOD_FAULTS else None


def wrong_likelihoods(log_w: Tensor, k: int, chunk: int) -> dict[str, Tensor]:
    """Estimates with a mistake, of the log-weights (samples, batch) in the order in which they were decoded."""
    total, count = torch.logsumexp(log_w, 0), len(log_w)
    parts = log_w.split(chunk)
    bounds = torch.stack([log_mean_exp(part) for part in parts])
    table = {
        "mean_of_logs": log_w.mean(0),
        "log_k_missing": total,
        "log_of_the_chunk": total - math.log(chunk),
        "log_of_the_chunk#last": total - math.log(len(parts[-1])),
        "log_of_the_chunk#number": total - math.log(len(parts)),
        "log_of_the_chunk#all_full": total - math.log(len(parts) * chunk),
        "chunks_averaged": bounds.mean(0),
        "chunks_averaged#weighted": sum(b * len(p) for b, p in zip(bounds, parts)) / count,
        "chunks_averaged#sums": torch.stack([torch.logsumexp(p, 0) for p in parts]).mean(0),
        "chunks_averaged#chunk": torch.stack([torch.logsumexp(p, 0) for p in parts]).mean(0) - math.log(chunk),
        "chunks_averaged#minus": torch.stack([torch.logsumexp(p, 0) for p in parts]).mean(0) - math.log(k),
        "chunks_equally_weighted": log_mean_exp(bounds),
        "last_chunk_only": torch.logsumexp(parts[-1], 0) - math.log(k),
        "last_chunk_only#own": bounds[-1],
        "starts_from_zero": torch.full_like(total, -math.log(k)),
        "starts_from_zero#sum": torch.zeros_like(total),
        "best_sample_only": log_w.amax(0),
        "sum_of_chunks": sum(torch.logsumexp(p, 0) for p in parts) - math.log(k),
        "sum_of_chunks#bounds": bounds.sum(0),
        "bound_negated": -log_mean_exp(log_w),
    }
    if count != k:
        short = "last_chunk_left_out" if count == k - k % chunk else "num_samples_ignored"
        name = short if count < k else "more_samples_than_asked"
        table = {f"{name}#": total - math.log(k), f"{name}#own": total - math.log(count)} | table
    if len(parts) == 1:  # then chunks cannot be mistaken
        table = {n: v for n, v in table.items() if "chunk" not in n}
    return table


# --- active units --------------------------------------------------------------------------------

UNITS, IMAGES, THRESHOLD = 8, 150, 0.01


def draw_active_units(rng: torch.Generator) -> dict[str, Any]:
    """An encoder whose means move with variances from 0 to 1, none within a factor of two of 0.01; the means are far from 0."""
    x = (torch.rand(IMAGES, 784, generator=rng) < 0.4).float()
    levels = torch.tensor([0.0, 0.0004, 0.003, 0.03, 0.06, 0.08, 0.2, 0.9])[torch.randperm(UNITS, generator=rng)]
    direction = torch.randn(UNITS, 784, generator=rng)
    slope = direction * (levels / (x @ direction.T).var(0))[:, None].sqrt()
    bias = 0.5 + torch.rand(UNITS, generator=rng) - (x @ slope.T).mean(0)
    log_sigma = 0.02 * torch.randn(UNITS, 784, generator=rng)
    weights = {
        "encoder.weight": torch.cat([slope, log_sigma]), "encoder.bias": torch.cat([bias, -1.0 - 0.1 * torch.rand(UNITS, generator=rng)]),
        "decoder.weight": 0.1 * torch.randn(784, UNITS, generator=rng), "decoder.bias": torch.zeros(784),
    }
    return {"weights": weights, "x": x}


def judge_active_units(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    truth = Truth(inputs["weights"], inputs["x"])
    got, count = outputs["variances"].double(), outputs["count"]
    want = truth.mu.var(0)
    if not untouched(inputs, {"x": outputs["x"].flatten(1)}):
        return [failed("variances", "Your code changes x in place.", "changes_its_inputs", "x as it was", "another x")]
    if close(got, want, 1e-3, 1e-5) or close(got, truth.mu.var(0, unbiased=False), 1e-3, 1e-5):
        variances = passed("variances", "The variances over images of the posterior means are right.")
    else:
        variances = failed("variances", "These are not the variances of the posterior means over images.", name_variances(truth, got),
                           shown(want), shown(got))
    if unknown := unjudged("count", variances):
        return [variances, unknown]
    mine = got if got.shape == want.shape else want
    right = int((mine > THRESHOLD).sum())
    if count == right or count == int((want > THRESHOLD).sum()):
        return [variances, passed("count", "The count is that of the variances above 0.01.")]
    name = {UNITS - right: "inactive_counted", right / UNITS: "fraction_for_count"}.get(count)
    if name is None and count in {int((mine > other).sum()) for other in (0.1, 0.001, 0.05, 0.005, 0.0)}:
        name = "another_threshold"
    if name is None and count > UNITS:
        name = "images_counted"
    got_count = f"{count:g} where {right} of your variances are above 0.01"
    return [variances, failed("count", "The count is not that of the variances above 0.01.", name, f"{right}", got_count)]


def name_variances(truth: Truth, got: Tensor) -> str | None:
    mu, sigma = truth.mu, truth.log_sigma.exp()
    table = {
        "standard_deviation": mu.std(0),
        "standard_deviation#biased": mu.std(0, unbiased=False),
        "variance_of_the_posterior": sigma.square().mean(0),
        "variance_of_the_posterior#sigma": sigma.mean(0),
        "second_moment": mu.square().mean(0),
        "variance_over_the_latents": mu.var(1),
        "variance_over_the_latents#biased": mu.var(1, unbiased=False),
        "mean_of_the_means": mu.mean(0),
        "mean_of_the_means#size": mu.abs().mean(0),
        "one_variance_for_all": mu.var(),
        "one_variance_for_all#mean": mu.var(0).mean(),
        "log_sigma_for_mean": truth.log_sigma.var(0),
        "sigma_for_mean": sigma.var(0),
    }
    name = next((n.split("#")[0] for n, wrong in table.items() if close(got, wrong, 1e-3, 1e-5)), None)
    if name or got.shape != mu.shape[1:]:
        return name or ("one_variance_for_all" if got.numel() == 1 else "variance_over_the_latents" if len(got.shape)
                        and len(got) == len(mu) else None)
    # A sample z has the variance of the mean plus that of q: right within 8 standard errors of a variance of IMAGES numbers.
    total = mu.var(0) + sigma.square().mean(0)
    return "samples_for_means" if bool(((got - total).abs() < 8 * total * math.sqrt(2 / IMAGES)).all()) else None


# --- DReG ----------------------------------------------------------------------------------------


def draw_dreg(rng: torch.Generator) -> dict[str, Any]:
    return draw_sampled(rng) | {"num_samples": 7}


def judge_dreg(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    """The gradient of the sum over examples, for the encoder; what the decoder gets is another matter."""
    call = Sampled(inputs, outputs, inputs["num_samples"], inputs["x"])
    expected, grads = "squared normalized weights on the path through z", call.gradients
    if call.value.shape not in ((call.batch,), ()):
        return [failed("gradient", f"The surrogate must have shape [{call.batch}] or be a scalar.", None, f"[{call.batch}]",
                       shown(call.value))]
    if grads.get("unattached") or "gradient_trouble" in grads or not call.candidates():
        message = str(grads.get("gradient_trouble", "No gradient at K samples of each example comes out of it."))
        return [failed("gradient", message, "bound_without_graph" if grads.get("unattached") else None, expected, "none")]
    got = {name.removeprefix("grad_"): torch.zeros(1) if g is None else g for name, g in grads.items()}
    noise = call.truth.noise(call.candidates()[0])
    for scale in (1.0, 1.0 / call.batch):
        wanted = {n: scale * g for n, g in dreg_gradient(call.truth, noise).items()}
        if distance(got, wanted, "encoder") < CLOSE:
            return [passed("gradient", "The encoder gets the doubly reparameterized gradient.")]
        if distance(got, {n: -g for n, g in wanted.items()}, "encoder") < CLOSE:
            return [failed("gradient", "The gradient points the wrong way.", "sign_flipped", expected, "its negative")]
        for name, objective in WRONG_SURROGATES.items():
            if distance(got, {n: scale * g for n, g in call.truth.gradient(noise, objective).items()}, "encoder") < CLOSE:
                return [failed("gradient", "The encoder gets another gradient.", name, expected, "another gradient")]
    return [failed("gradient", "The encoder gets another gradient.", None, expected, "another gradient")]


WRONG_SURROGATES = {
    "gradient_of_the_bound": bound,
    "weights_not_squared": lambda p, stopped: (torch.softmax(p.log_w, 0).detach() * stopped.log_w).sum(0),
    "weights_carry_gradient": lambda p, stopped: (torch.softmax(p.log_w, 0).square() * stopped.log_w).sum(0),
    "posterior_not_stopped": lambda p, stopped: (torch.softmax(p.log_w, 0).detach().square() * p.log_w).sum(0),
}


CHECKS = (
    exercise("log_likelihood", "log p(x) from many samples, in bounded memory", {"value": 2, "memory": 1, "encoder": 1, "graph": 1},
             draw_likelihood, probe_likelihood, judge_likelihood, "the test log-likelihood"),
    exercise("active_units", "How many latents say something", {"variances": 2, "count": 1}, draw_active_units, probe_active_units,
             judge_active_units, "active units"),
    exercise("dreg", "A surrogate with the doubly reparameterized gradient", {"gradient": 2}, draw_dreg, probe_dreg, judge_dreg,
             "the encoder's gradient", target="dreg_surrogate", bonus=True),
)
