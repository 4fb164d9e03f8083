"""The recorded calls of a `VariationalInference` beside the truth, and how its two checks read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.checks.vae_truth import Truth
from autograder.verdict import Finding, failed, passed

__all__ = ["Call", "Calls", "close", "expected_log_px", "judge_either", "over_calls", "shown"]

SIGMAS = 6.5  # of the mean of many samples: a false alarm in less than 1e-9 of them


def close(got: Tensor, want: Tensor, rtol: float = 2e-5, atol: float = 3e-3) -> bool:
    """The same shape and, up to rounding in float32, the same finite values."""
    # An infinite `want` would have an infinite tolerance, and agree with everything.
    return got.shape == want.shape and bool((want.isfinite() & ((got.double() - want).abs() <= atol + rtol * want.abs())).all())


def shown(values: Tensor) -> str:
    """The first entries of a tensor, for people."""
    flat = values.flatten()
    text = ", ".join(f"{float(v):.2f}" for v in flat[:3])
    return f"shape {list(values.shape)}: {text}{', ...' if flat.numel() > 3 else ''}"


class Call:
    """One recorded call beside the truth about it."""

    def __init__(self, inputs: dict[str, Any], record: dict[str, Any], tile: int = 1):
        self.truth = Truth.of(inputs, tile)
        self.examples, self.tile = len(inputs["x"]), tile
        self.beta, self.record = record["beta"], record
        self.loss, self.elbo, self.log_px, self.kl = (record[k].double() for k in ("loss", "elbo", "log_px", "kl"))
        shape = self.truth.mu.shape
        decoded = [z.double().reshape(-1, *shape) for z in record["decoded"] if z.numel() % shape.numel() == 0 and z.numel()]
        # More than 64 samples of one latent change nothing that is judged here.
        z = torch.cat(decoded)[:64] if decoded else self.truth.mu[:0][None]
        noise = (z - self.truth.mu) * (-self.truth.log_sigma).exp() if len(z[0]) else z
        # What was decoded must be samples of q: the mean of q, say, is none (32 draws have this spread but for 1e-6).
        samples = z[[bool(0.35 < n.square().mean().sqrt() < 1.75) for n in noise] if len(z[0]) else []]
        self.z = samples if len(samples) else self.truth.mu[None]
        self.sampled = len(samples) > 0

    @cached_property
    def log_px_each(self) -> Tensor:
        """log p(x|z) at each latent that was decoded, (decoded, batch)."""
        return torch.stack([self.truth.log_px(z) for z in self.z])

    @cached_property
    def kl_each(self) -> Tensor:
        """log q(z|x) - log p(z) at each latent that was decoded, (decoded, batch)."""
        return torch.stack([self.truth.kl_at(z) for z in self.z])

    def right_log_px(self) -> list[Tensor]:
        """log p(x|z) at the first, the last and the mean of the decoded samples, with and without the model's own."""
        if not self.sampled:
            return []
        each = self.log_px_each
        return [each[0], each[-1], each.mean(0), *([each[1:].mean(0)] if len(each) > 2 else [])]

    def right_kl(self) -> list[Tensor]:
        """KL(q||p) in closed form, and estimated at the decoded samples."""
        if not self.sampled:
            return [self.truth.kl()]
        each = self.kl_each
        return [each[0], self.truth.kl(), each[-1], each.mean(0), *([each[1:].mean(0)] if len(each) > 2 else [])]

    def per_example(self, values: Tensor) -> Tensor:
        """(tile * examples,) -> (tile, examples)."""
        return values.unflatten(0, (self.tile, self.examples))


class Calls:
    """All records of one kind of input."""

    def __init__(self, inputs: dict[str, Any], outputs: dict[str, Any]):
        self.calls = [Call(inputs, r) for r in outputs["calls"]]
        self.tiled = [Call(inputs, r, inputs["tile"]) for r in outputs["tiled"]]
        self.truth = self.calls[0].truth
        # Many examples at once show what happens to few of them, such as a KL that is cut off at zero.
        self.every = [*self.calls, *self.tiled[:1]]
        self.later_trouble = outputs.get("later_trouble")
        self.changed_x = any(not torch.equal(r["x_after"].flatten(1), inputs["x"]) for r in outputs["calls"])

    @cached_property
    def expected_log_px(self) -> tuple[Tensor, Tensor]:
        """`expected_log_px` of the distinct examples."""
        return expected_log_px(self.truth)

    def samples(self, name: str) -> Tensor | None:
        """What the repeated examples gave, (draws, examples), when each has a value."""
        if not self.tiled:
            return None
        values = [getattr(c, name) for c in self.tiled]
        if any(v.shape != (c.tile * c.examples,) or not v.isfinite().all() for v, c in zip(values, self.tiled)):
            return None
        return torch.cat([c.per_example(v) for v, c in zip(values, self.tiled)])

    def averages_to(self, samples: Tensor | None, want: Tensor, noisy: Tensor | float = 0.0) -> bool:
        """Whether the mean of `samples` over draws is `want`, within Monte Carlo error.

        `noisy` is a variance of the mean of `want` itself. Something that does not vary has to be exact.
        """
        if samples is None:
            return False
        error = (samples.var(0) / len(samples) + noisy).sqrt()
        return bool(((samples.mean(0) - want).abs() <= SIGMAS * error + 1e-3 + 1e-4 * want.abs()).all())


def expected_log_px(truth: Truth, draws: int = 1500) -> tuple[Tensor, Tensor]:
    """E_q log p(x|z) of each example by Monte Carlo, and the variance of that mean."""
    rng = torch.Generator().manual_seed(0)
    total = torch.stack([
        truth.log_px(truth.mu + truth.log_sigma.exp() * torch.randn(truth.mu.shape, generator=rng, dtype=torch.float64))
        for _ in range(draws)
    ])
    return total.mean(0), total.var(0) / draws


def judge_either(
    judge: Callable[[Calls], list[Finding]], behaviors: tuple[str, ...]
) -> Callable[[dict[str, Any], dict[str, Any]], list[Finding]]:
    """Judge images; where they fail, accept code that is right on flat pixels, with a remark."""

    def judged(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
        first = None
        for kind in [k for k in ("images", "flat") if k in outputs]:
            part = outputs[kind]
            if "trouble" in part:
                findings = [failed(behaviors[0], part["trouble"])]
            else:
                findings = judge(Calls(inputs, part))
            if all(f.passed for f in findings) and len(findings) == len(behaviors):
                if kind == "flat":
                    remark = "Right on flat pixels. Images of shape (batch, 1, 28, 28) need a sum over all dimensions but the first."
                    findings[0] = passed(findings[0].behavior, remark, "flat_pixels_only")
                return findings
            # An exception on images tells less than values on flat pixels do.
            if first is None or ("trouble" in outputs["images"] and "trouble" not in part):
                first = findings
        return first

    return judged


def first_failure(findings: Iterable[Finding]) -> Finding:
    """The first failed finding, else the last one."""
    last = None
    for last in findings:
        if not last.passed:
            return last
    return last


def over_calls(calls: Calls, find: Callable[[Call], Finding]) -> Finding:
    """Judge every call; one that was right at first and is wrong later has drifted."""
    findings = [find(c) for c in calls.calls]
    finding = first_failure([*findings, *(find(c) for c in calls.every[len(findings) :])])
    if finding.passed and calls.later_trouble:
        message = f"The first calls worked, then a batch of another size did not. {calls.later_trouble}"
        return failed(finding.behavior, message, "state_drifts")
    half = len(findings) // 2
    if not finding.passed and finding.misconception is None and len(findings) % 2 == 0 and all(f.passed for f in findings[:half]):
        return failed(finding.behavior, "Right in the first calls, wrong later: something changes from call to call.",
                      "state_drifts", finding.expected, finding.got)
    return finding
