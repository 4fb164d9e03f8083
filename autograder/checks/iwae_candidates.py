"""Wrong log-weights and wrong bounds by name, computed at the student's own samples."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.checks.iwae_calls import Sampled
from autograder.checks.iwae_truth import HALF_LOG_2PI, Pieces, log_mean_exp

__all__ = ["kl_clamped", "wrong_bounds", "wrong_weights"]


def wrong_weights(call: Sampled, z: Tensor) -> dict[str, Tensor]:
    """Log-weights (K, batch) with a mistake in their making. A name goes as far as its `#`."""
    p: Pieces = call.truth.pieces(z)
    pixels, latents, kl = p.pixels.shape[-1], p.prior.shape[-1], call.truth.kl()
    log_px, log_pz, log_qz = p.log_px, p.log_pz, p.log_qz
    squared = (call.truth.x - p.logits.sigmoid()).square()
    table = {
        "squared_error_for_log_px": -squared.sum(-1) + log_pz - log_qz,
        "squared_error_for_log_px#half": -0.5 * squared.sum(-1) + log_pz - log_qz,
        "sigmoid_twice": log_bernoulli(p.logits.sigmoid(), call.truth.x) + log_pz - log_qz,
        "log_px_of_the_whole_batch": log_px.sum(1, keepdim=True) + log_pz - log_qz,
        "log_px_of_the_whole_batch#mean": log_px.mean(1, keepdim=True) + log_pz - log_qz,
        "log_px_of_the_whole_batch#all": log_px.sum() + log_pz - log_qz,
        "log_px_of_the_whole_batch#mean_of_all": log_px.mean() + log_pz - log_qz,
        "log_px_of_the_whole_batch#pixels": log_px.mean() / pixels + log_pz - log_qz,
        "closed_form_kl_in_the_weights": log_px - kl,
        "closed_form_kl_in_the_weights#added": log_px + kl,
        "only_log_px": log_px,
        "prior_left_out": log_px - log_qz,
        "posterior_left_out": log_px + log_pz,
        "log_px_left_out": log_pz - log_qz,
        "term_with_the_wrong_sign": log_px - log_pz + log_qz,
        "term_with_the_wrong_sign#prior": log_px - log_pz - log_qz,
        "term_with_the_wrong_sign#posterior": log_px + log_pz + log_qz,
        "term_with_the_wrong_sign#log_px": -log_px + log_pz - log_qz,
        "weights_inverted": -p.log_w,
        "prior_counted_twice": p.log_w + log_pz,
        "kl_clamped": kl_clamped(p),
        "kl_clamped#absolute": log_px - (log_qz - log_pz).abs(),
        "mean_over_pixels": log_px / pixels + log_pz - log_qz,
        "mean_over_pixels#all": log_px / pixels + (log_pz - log_qz) / latents,
        "mean_over_latents": log_px + (log_pz - log_qz) / latents,
        "bits_for_nats": p.log_w / math.log(2),
        "mean_kl_in_the_weights": log_px + (log_pz - log_qz).mean(0),
        "posterior_at_unit_variance": log_px + log_pz + (0.5 * (z - call.truth.mu).square() + HALF_LOG_2PI).sum(-1),
    }
    for name, sigma in (("", 2 * call.truth.log_sigma), ("#root", 0.5 * call.truth.log_sigma), ("#log", call.truth.log_sigma.log())):
        other = call.truth.pieces(z, q=(call.truth.mu, sigma)).log_qz
        table[f"variance_for_standard_deviation{name}"] = log_px + log_pz - other
    table |= {
        "part_of_the_density_left_out": p.log_w - call.truth.log_sigma.sum(-1),
        "part_of_the_density_left_out#two_pi": p.log_w - latents * HALF_LOG_2PI,
        "part_of_the_density_left_out#two_pi_of_p": p.log_w + latents * HALF_LOG_2PI,
        "part_of_the_density_left_out#both": p.log_w - (call.truth.log_sigma + HALF_LOG_2PI).sum(-1),
    }
    for beta in (0.01, 0.1, 0.2, 0.25, 0.5, 1.5, 2.0, 4.0, 5.0, 10.0):
        table[f"kl_weighted#{beta}"] = log_px + beta * (log_pz - log_qz)
    return table | {f"merge_permutes_the_batch#{n}": w for n, w in enumerate(permuted(call, z))}


def kl_clamped(p: Pieces) -> Tensor:
    """Log-weights in which log q(z|x) - log p(z) is never below zero."""
    return p.log_px - (p.log_qz - p.log_pz).clamp_min(0)


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum(-1)


def permuted(call: Sampled, z: Tensor) -> list[Tensor]:
    """Log-weights whose parts stand beside the wrong example: rows folded in one order and unfolded, or paired, in the other.

    Each half of log w is paired with the examples, and put in its place, sample by sample or example by example; of these
    sixteen ways one is right.
    """
    k, batch = z.shape[:2]
    if k < 2 or batch < 2:
        return []
    right = "sample" if call.order.startswith("sample") else "example"
    rows = z.flatten(0, 1) if right == "sample" else z.transpose(0, 1).flatten(0, 1)
    likelihoods, kls = {}, {}
    for pairing in ("sample", "example"):  # the example that each row is read beside
        p = call.truth.pieces(unfold(rows, pairing, k, batch))
        for half, kept in ((p.log_px, likelihoods), (p.log_pz - p.log_qz, kls)):
            by_row = half.flatten() if pairing == "sample" else half.T.flatten()
            for place in ("sample", "example"):
                kept[pairing, place] = unfold(by_row, place, k, batch)
    return [first + second for (n, first), (m, second) in itertools.product(likelihoods.items(), kls.items()) if {*n, *m} != {right}]


def unfold(rows: Tensor, order: str, k: int, batch: int) -> Tensor:
    """Rows (k * batch, ...) as (k, batch, ...), read in one order or the other."""
    return rows.unflatten(0, (k, batch)) if order == "sample" else rows.unflatten(0, (batch, k)).transpose(0, 1)


def wrong_bounds(call: Sampled, z: Tensor) -> dict[str, Tensor]:
    """Bounds (batch,) with a mistake in them, from right log-weights first, then from wrong ones."""
    p = call.truth.pieces(z)
    log_w, k = p.log_w, len(z)
    table = bounds_of(log_w, call) | parts_apart(p, call)
    if k == 1:
        table = {}
    for name, wrong in wrong_weights(call, z).items():
        table[name] = log_mean_exp(wrong)
        if name.split("#")[0] in ("closed_form_kl_in_the_weights", "only_log_px", "prior_left_out", "posterior_left_out") and k > 1:
            table[f"mean_of_logs#{name}"] = wrong.mean(0)
            table[f"log_k_missing#{name}"] = torch.logsumexp(wrong, 0)
    table["weights_inverted#negated"] = -log_mean_exp(-log_w)
    right = log_mean_exp(log_w)
    table["bound_negated"] = -right
    negated = {f"{name}#negated": -value for name, value in table.items() if name != "bound_negated"}
    return table | {"averaged_over_the_batch": right.mean().expand_as(right),
                    "averaged_over_the_batch#negated": -right.mean().expand_as(right),
                    "bits_for_nats#bound": right / math.log(2)} | negated


def bounds_of(log_w: Tensor, call: Sampled) -> dict[str, Tensor]:
    """Mistakes between right log-weights (K, batch) and the bound."""
    k, batch = log_w.shape
    total, right = torch.logsumexp(log_w, 0), log_mean_exp(log_w)
    normalized = torch.softmax(log_w, 0)
    largest = log_w.amax(0)
    table = {
        "mean_of_logs": log_w.mean(0),
        "sum_of_logs": log_w.sum(0),
        "log_k_missing": total,
        "log_k_added": total + math.log(k),
        "log_k_twice": total - 2 * math.log(k),
        "divided_by_k": total / k,
        "divided_by_k#both": right / k,
        "log_k_in_another_base": total - math.log2(k),
        "log_k_in_another_base#ten": total - math.log10(k),
        "k_for_log_k": total - k,
        "best_sample_only": largest,
        "best_sample_only#minus": largest - math.log(k),
        "weighted_mean_of_logs": (normalized * log_w).sum(0),
        "weighted_mean_of_logs#mean": (normalized * log_w).mean(0),
        "weighted_mean_of_logs#largest": ((log_w - largest).exp() * log_w).sum(0),
        "weighted_mean_of_logs#largest_mean": ((log_w - largest).exp() * log_w).mean(0),
        "weights_over_the_batch": (torch.softmax(log_w, 1) * log_w).sum(0),
        "weights_over_the_batch#mean": (torch.softmax(log_w, 1) * log_w).mean(0),
        "weights_over_the_batch#normalized": log_mean_exp(torch.log_softmax(log_w, 1)),
        "weights_over_the_batch#summed": torch.logsumexp(torch.log_softmax(log_w, 1), 0),
        "maximum_not_added_back": right - largest,
        "maximum_not_added_back#missing": total - largest,
        "weights_normalized": torch.full_like(right, -math.log(k)),
        "samples_left_out": log_mean_exp(log_w[:-1]) if k > 1 else right,
        "samples_left_out#first": log_mean_exp(log_w[1:]) if k > 1 else right,
        "samples_left_out#one": log_w[0],
        "samples_left_out#last": log_w[-1],
        "median_of_logs": log_w.median(0).values,
    }
    table |= {f"chunks_averaged#{n}": torch.stack([log_mean_exp(part) for part in log_w.split(n)]).mean(0) for n in range(2, k)}
    sizes = (batch, k * batch, k - 1, k + 1, call.truth.mu.shape[-1], call.truth.x.shape[-1])
    return table | {f"log_of_the_wrong_number#{n}": total - math.log(n) for n in sizes if n > 0 and n != k}


def parts_apart(p: Pieces, call: Sampled) -> dict[str, Tensor]:
    """The log-mean-exp taken of parts of log w, each by itself."""
    kl = p.log_qz - p.log_pz
    return {
        "factors_averaged_apart": log_mean_exp(p.log_px) - kl.mean(0),
        "factors_averaged_apart#exp": log_mean_exp(p.log_px) - log_mean_exp(kl),
        "factors_averaged_apart#inverse": log_mean_exp(p.log_px) + log_mean_exp(-kl),
        "factors_averaged_apart#three": log_mean_exp(p.log_px) + log_mean_exp(p.log_pz) - log_mean_exp(p.log_qz),
        "factors_averaged_apart#mean_px": p.log_px.mean(0) + log_mean_exp(-kl),
        "dimensions_averaged_apart": log_mean_exp(p.pixels).sum(-1) + log_mean_exp(p.prior - p.posterior).sum(-1),
        "dimensions_averaged_apart#mean": log_mean_exp(p.pixels).sum(-1) - kl.mean(0),
        "dimensions_averaged_apart#closed": log_mean_exp(p.pixels).sum(-1) - call.truth.kl(),
        "dimensions_averaged_apart#images": log_mean_exp(p.pixels).sum(-1),
        "dimensions_averaged_apart#latents": log_mean_exp(p.log_px[..., None] + p.prior - p.posterior).sum(-1),
        "logsumexp_over_the_wrong_axis#pixels": log_mean_exp(torch.logsumexp(p.pixels, -1) - kl),
        "dimensions_averaged_apart#logits": log_bernoulli(p.logits.mean(0), call.truth.x) - kl.mean(0),
        "dimensions_averaged_apart#logits_closed": log_bernoulli(p.logits.mean(0), call.truth.x) - call.truth.kl(),
        "mean_of_logs#closed": p.log_px.mean(0) - call.truth.kl(),
    }
