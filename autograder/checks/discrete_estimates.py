"""What a student's estimator of a gradient gave, beside the truth, and the mistakes that it betrays.

The codes that the cost was asked for are known, so each mistake can be told exactly from the gradients of a single call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.checks.discrete_findings import first_name, near
from autograder.checks.discrete_truth import Truth, codes_of, leave_one_out_mean

__all__ = ["CALLS", "TILE", "Estimates", "name_sampling", "name_slope", "name_theta_slope", "rloo_estimate", "score_estimate"]

SIGMAS, TILE, CALLS = 6.5, 400, 25


def weighted_score(truth: Truth, z: Tensor, signal: Tensor) -> Tensor:
    """The mean over samples of signal times score, (batch, L, C)."""
    return (signal[..., None, None] * truth.score(z)).mean(0)


def score_estimate(truth: Truth, z: Tensor, cost: Tensor) -> Tensor:
    """f(z) grad log q(z), averaged over samples (Williams 1992)."""
    return weighted_score(truth, z, cost)


def rloo_estimate(truth: Truth, z: Tensor, cost: Tensor) -> Tensor:
    """The same with the mean of the other samples subtracted (Kool, van Hoof and Welling 2019)."""
    return weighted_score(truth, z, cost - leave_one_out_mean(cost))


class Estimates:
    """What came for one problem: n estimates for each distinct example."""

    def __init__(self, problem: dict[str, Any], calls: list[dict[str, Any]], right: Callable[[Truth, Tensor, Tensor], Tensor]):
        self.examples, self.calls, self.right = len(problem["logits"]) // TILE, calls, right
        self.truth, self.batch = Truth(problem, self.examples), Truth(problem)  # the distinct examples, and every row
        self.num_samples, self.first = problem["num_samples"], calls[0]
        self.values = self.stack("value")
        self.slopes, self.theta_slopes = self.stack("grad_logits"), self.stack("grad_theta")

    def stack(self, name: str) -> Tensor | None:
        """(n, examples, ...), or None where a call has no such tensor."""
        parts = [call.get(name) for call in self.calls]
        if not all(isinstance(p, Tensor) and p.dim() and p.shape == parts[0].shape and len(p) == TILE * self.examples for p in parts):
            return None
        return torch.cat([p.double().unflatten(0, (TILE, self.examples)) for p in parts])

    def codes(self, call: int = 0) -> Tensor | None:
        """The codes of one call that its estimates are made of, (num_samples, batch, L, C)."""
        z = codes_of(self.calls[call]["codes"], TILE * self.examples, self.num_samples)
        return None if z is None or len(z) < self.num_samples else z[: self.num_samples]

    @property
    def constant(self) -> bool:
        return self.slopes is not None and float(self.slopes.std(0).max()) < 1e-5

    @property
    def too_few_samples(self) -> bool:
        """Whether fewer codes were looked at than num_samples."""
        z = codes_of(self.first["codes"], TILE * self.examples, 1)
        return z is not None and len(z) < self.num_samples

    def unbiased(self, estimates: Tensor | None, want: Tensor) -> bool:
        """Whether the mean of the estimates is `want`, within Monte Carlo error."""
        if estimates is None or not estimates.isfinite().all():
            return False
        error = estimates.std(0) / len(estimates) ** 0.5
        return bool(((estimates.mean(0) - want).abs() <= SIGMAS * error + 1e-5).all())

    def spread_is_right(self) -> bool:
        """Exactly, from the codes of the recorded calls; where those do not tell, by the variance of each entry."""
        z = self.codes()
        if z is not None and near(self.first["grad_logits"], self.right(self.batch, z, self.batch.cost(z)), 1e-3):
            return True
        variance, n = self.slopes.var(0), len(self.slopes)
        fourth = (self.slopes - self.slopes.mean(0)).pow(4).mean(0)
        error = ((fourth - variance**2).clamp_min(0) / n).sqrt()
        # A variance has heavier tails than a mean: eight standard errors keep false alarms below 1e-6.
        return bool(((variance - self.truth.variance(self.right)).abs() <= 8 * error + 1e-6).all())


def log_q_candidates(truth: Truth, z: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """Wrong log-probabilities of the codes z as functions of the logits, each (samples, batch)."""

    def weigh(log_p: Tensor) -> Tensor:
        return (z * log_p).sum((-2, -1))

    latents, classes = z.shape[-2:]
    return {
        "mean_over_latents": lambda g: weigh(g.log_softmax(-1)) / latents,
        "mean_over_classes": lambda g: weigh(g.log_softmax(-1)) / classes,
        "mean_over_classes#both": lambda g: weigh(g.log_softmax(-1)) / (latents * classes),
        "softmax_over_the_wrong_axis": lambda g: weigh(g.log_softmax(-2)),
        "softmax_over_the_wrong_axis#batch": lambda g: weigh(g.log_softmax(0)),
        "softmax_over_the_wrong_axis#normalized": lambda g: weigh(g.softmax(-2).log().log_softmax(-1)),
        "softmax_over_the_wrong_axis#flat": lambda g: weigh(g.flatten(1).log_softmax(-1).unflatten(1, (latents, classes))),
        "probabilities_as_logits": lambda g: weigh(g.softmax(-1).log_softmax(-1)),
        "logits_not_normalized": lambda g: weigh(g),
    }


def slope_of(log_q: Callable[[Tensor], Tensor], logits: Tensor, signal: Tensor) -> Tensor:
    """The gradient of mean_s signal log_q with respect to the logits, summed over the batch as the probe does."""
    with torch.enable_grad():
        leaf = logits.clone().requires_grad_()
        return torch.autograd.grad((signal * log_q(leaf)).mean(0).sum(), leaf)[0]


def signals(cost: Tensor, baseline: bool) -> dict[str, Tensor]:
    """What people multiply the score with in place of what was asked for, (samples, batch)."""
    others, samples = leave_one_out_mean(cost), len(cost)
    if not baseline:
        return {
            "cost_averaged_over_the_batch": cost.mean(1, keepdim=True).expand_as(cost),
            "cost_averaged_over_the_batch#all": cost.mean().expand_as(cost),
        }
    total = cost.sum(0)
    return {
        "baseline_contains_its_own_sample": cost - cost.mean(0),
        "baseline_contains_its_own_sample#divisor": cost - total / (samples - 1),
        "no_baseline": cost,
        "baseline_over_the_batch": cost - cost.mean(),
        "baseline_over_the_batch#rows": cost - cost.mean(1, keepdim=True),
        "baseline_added": cost + others,
        "wrong_divisor": cost - (total - cost) / samples,
        "baseline_alone": others,
        "baseline_alone#minus": -others,
    }


def name_slope(e: Estimates, baseline: bool) -> str | None:
    """The mistake behind the gradient with respect to the logits, from the codes of the first call."""
    z, got = e.codes(), e.first["grad_logits"].double()
    if z is None:
        return "num_samples_ignored" if e.too_few_samples else None
    cost = e.batch.cost(z)
    right_signal = cost - leave_one_out_mean(cost) if baseline else cost
    right, score = weighted_score(e.batch, z, right_signal), e.batch.score(z)
    table = {
        "log_prob_detached": torch.zeros_like(right),
        "sign_flipped": -right,
        "summed_over_samples": right * e.num_samples,
        **{name: weighted_score(e.batch, z, signal) for name, signal in signals(cost, baseline).items()},
        "averaged_before_multiplying": right_signal.mean(0)[..., None, None] * score.mean(0),
    }
    for name, log_q in log_q_candidates(e.batch, z).items():
        table[name] = slope_of(log_q, e.batch.logits, right_signal)
    return next((name.split("#")[0] for name, value in table.items() if near(got, value, 1e-3)), None)


def name_sampling(e: Estimates) -> str | None:
    """A mistake in how the codes are drawn, whatever is done with them."""
    z = e.codes()
    if z is None:
        return None
    if not near(z.amax(-1), torch.ones(z.shape[:-1], dtype=z.dtype)) or not near(z.sum(-1), torch.ones(z.shape[:-1], dtype=z.dtype)):
        return "relaxed_samples"
    if near(z, F.one_hot(e.batch.logits.argmax(-1), z.shape[-1]).double().expand_as(z)):
        return "argmax_for_sample"
    later = e.codes(1) if len(e.calls) > 1 else None
    if later is not None and torch.equal(z, later):
        return "fixed_seed"
    rows = z.unflatten(1, (TILE, e.examples))
    if bool((rows == rows[:, :1]).all()):
        return "one_sample_for_the_batch"
    return None


def name_theta_slope(e: Estimates, baseline: bool) -> str | None:
    z = e.codes()
    if z is None:
        return "num_samples_ignored" if e.too_few_samples else None
    h, log_q = e.batch.activations(z), e.batch.log_q(z)[..., None]
    others = (h.sum(0) - h) / max(len(h) - 1, 1)
    mean = h.mean(0)
    return first_name(
        e.first["grad_theta"].double(),
        {
            "cost_not_detached": (h * (1 + log_q)).mean(0),
            "cost_not_detached#alone": (h * log_q).mean(0),
            "cost_not_detached#baseline": (h + (h - others) * log_q).mean(0),
            "cost_not_detached#baseline alone": ((h - others) * log_q).mean(0),
            "cost_not_detached#signal": (h + h * log_q - others * log_q).mean(0),
            "baseline_in_the_cost": torch.zeros_like(mean),
            "summed_over_samples": h.sum(0),
            "sign_flipped": -mean,
        },
    )
