"""A recorded call beside the truth: which latents the student's code decoded for which example, and whether they are draws of q.

Nothing prescribes how samples are folded into a batch. So the rows that the decoder was asked for are read in every sensible
order (sample by sample, example by example, in chunks), and the order in which they are draws of q is the student's. The wrong
orders put rows beside the wrong example, standard deviations away from its mean.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.checks.iwae_truth import Truth
from autograder.checks.vae_calls import close
from autograder.verdict import Finding, failed, passed

__all__ = ["NO_DRAWS_OF_Q", "Calls", "Sampled", "find_samples", "layouts", "samples_fault"]

# Each statistic is the mean of n nearly normal numbers and is compared at 6.5 standard errors: a false alarm in fewer than one
# of 1e9 right submissions. Shared noise moves the statistics by a factor, and so is found always.
SIGMAS = 6.5
# With these the bound does not stand on K draws of q, so the value is not that of L_K either.
NO_DRAWS_OF_Q = ("decodes_the_mean", "samples_from_the_prior", "averages_the_latents", "wrong_spread", "one_sample_repeated")


def layouts(rows: Tensor, sizes: list[int], batch: int) -> dict[str, Tensor]:
    """Rows (N, M) as (samples, batch, M), in the orders that people use."""
    found: dict[str, Tensor] = {}
    if not len(rows) or len(rows) % batch:
        return found
    found["sample by sample"] = rows.reshape(-1, batch, rows.shape[-1])
    found["example by example"] = rows.reshape(batch, -1, rows.shape[-1]).transpose(0, 1)
    if len(sizes) > 1 and all(size % batch == 0 for size in sizes):
        parts = [part.reshape(batch, -1, rows.shape[-1]).transpose(0, 1) for part in rows.split(sizes)]
        found["example by example, in chunks"] = torch.cat(parts)
    per_example = len(rows) // batch
    if len(sizes) > 1 and all(size % per_example == 0 for size in sizes):
        parts = [part.reshape(per_example, -1, rows.shape[-1]) for part in rows.split(sizes)]
        found["sample by sample, in chunks of examples"] = torch.cat(parts, dim=1)
    return found


class Sampled:
    """One call's record, read.

    Attributes:
        truth: of its examples. num_samples: what was asked for. value: what came back, float64.
        z: (samples, batch, M), the decoded latents in the student's order; None when they cannot be read.
        order: the name of that order.
    """

    def __init__(self, inputs: dict[str, Any], record: dict[str, Any], num_samples: int, x: Tensor):
        self.truth, self.num_samples, self.record = Truth(inputs["weights"], x), num_samples, record
        self.value, self.gradients = record["value"].double(), record["gradients"]
        self.rows = record["rows"].double()
        self.batch = len(x)
        right_width = self.rows.dim() == 2 and self.rows.shape[-1] == self.truth.mu.shape[-1] and bool(self.rows.isfinite().all())
        self.found = layouts(self.rows, record["sizes"], self.batch) if right_width else {}
        sizes = {name: self.truth.noise(z).square().mean() for name, z in self.found.items()}
        self.order = min(sizes, key=lambda name: sizes[name]) if sizes else ""
        self.z = self.found.get(self.order)

    @cached_property
    def noise(self) -> Tensor:
        """epsilon of the decoded latents, (samples, batch, M)."""
        return self.truth.noise(self.z)

    def candidates(self) -> list[Tensor]:
        """The decoded latents that the value may stand on: all, the last and the first K, each (K, batch, M)."""
        if self.z is None or len(self.z) < self.num_samples:
            return []
        k = self.num_samples
        return [self.z] if len(self.z) == k else [self.z[-k:], self.z[:k]]

    def changed_x(self) -> bool:
        given = self.record["x"].double().flatten(1)
        return given.shape != self.truth.x.shape or not torch.equal(given, self.truth.x)


class Calls:
    """The records of one kind of pixels: K samples of a batch, one sample, one example, many samples, the first again, many copies."""

    def __init__(self, inputs: dict[str, Any], part: dict[str, Any]):
        x = inputs["x"]
        self.records = part["calls"]
        self.calls = [None if "trouble" in r else Sampled(inputs, r, k, x[:b]) for (k, b), r
                      in zip(inputs["cases"], self.records, strict=True)]
        self.first, self.again = self.calls[0], self.calls[-1]
        self.many = Sampled(inputs, part["tiled"], inputs["tiled_samples"], x.repeat(inputs["tile"], 1)) if "tiled" in part else None
        self.tile, self.trouble = inputs["tile"], part.get("tiled_trouble")


def spread(noise: Tensor, dim: int) -> tuple[float, float]:
    """Mean of (sum over dim)^2 / size: 1 for independent standard normals, the size where the noise is shared; and its error."""
    sums = noise.sum(dim).square() / noise.shape[dim]
    return float(sums.mean()), SIGMAS * (2 / sums.numel()) ** 0.5


def samples_fault(call: Sampled) -> str | None:
    """The mistake that the noise of a call on many examples shows."""
    noise, z, k = call.noise[: call.num_samples], call.z[: call.num_samples], call.num_samples
    size, error = float(noise.square().mean()), SIGMAS / noise.numel() ** 0.5
    if size < 1e-4:
        return "decodes_the_mean"
    mu = call.truth.mu.expand_as(z)
    if float((z * mu).sum() / mu.square().sum()) < 0.5:  # draws of q move with its mean
        return "samples_from_the_prior"
    shared = {}
    for dim, name in enumerate(("one_sample_repeated", "samples_shared_across_the_batch", "one_epsilon_for_all_latents")):
        value, chance = spread(noise, dim)
        if noise.shape[dim] > 1 and value > size * (1 + 1.5 * chance + 0.02):
            shared[name] = value / noise.shape[dim]  # noise shared along one dimension is little noise along the others, too
    if shared:
        return max(shared, key=shared.__getitem__)
    if abs(size - 1) <= 1.5 * error and abs(float(noise.mean())) <= error:
        return None
    each = noise.square().mean((0, 1)) * k  # averages of K draws have 1/K of the variance, in each latent
    return "averages_the_latents" if bool(((each - 1).abs() < 0.27).all()) else "wrong_spread"


def repeats(first: Sampled, again: Sampled | None) -> bool:
    """Whether two calls with the same arguments drew the same noise: a seed inside the function."""
    if again is None or first.z is None or again.z is None or first.z.shape != again.z.shape:
        return False
    return close(first.noise, again.noise, rtol=1e-4, atol=1e-4)


def find_samples(first: Sampled, again: Sampled | None, many: Sampled | None) -> Finding:
    """K draws of q(z|x) for each example, independent, and fresh in every call."""
    expected = "independent draws of q(z|x): for each sample, each example, each latent, each call"
    seen = many if many is not None and many.z is not None else first
    if seen.z is None:
        return failed("samples", "The latents that were decoded cannot be told: not a whole number for each example.", None, expected,
                      f"{len(first.rows)} latents for {first.batch} examples")
    if len(first.z) < first.num_samples:
        got = f"{len(first.z)} for each example where num_samples is {first.num_samples}"
        return failed("samples", "Fewer latents were decoded than num_samples asks for.", "num_samples_ignored", expected, got)
    if fault := samples_fault(seen):
        return failed("samples", "The latents are not independent draws of q(z|x).", fault, expected, "see the mistake's name")
    if repeats(first, again):
        return failed("samples", "Two calls drew exactly the same samples.", "same_samples_in_every_call", expected, "the same again")
    return passed("samples", "The latents are independent draws of q(z|x), fresh in every call.")
