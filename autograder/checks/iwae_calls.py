"""A recorded call beside the truth: which latents the student's code decoded for which example, and whether they are draws of q.

Nothing prescribes how samples are folded into a batch. So the rows that the decoder was asked for are read in every sensible
order (sample by sample, example by example, in chunks), and the order in which they are draws of q is the student's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from autograder.checks.iwae_layouts import layouts, nested
from autograder.checks.iwae_truth import Pieces, Truth
from autograder.checks.vae_calls import close
from autograder.verdict import Finding, failed, passed, unjudged, untouched

__all__ = ["NO_DRAWS_OF_Q", "Calls", "Sampled", "find_samples", "samples_fault"]

# Each statistic is the mean of n nearly normal numbers and is compared at 6.5 standard errors: a false alarm in fewer than one
# of 1e9 right submissions. Shared noise moves the statistics by a factor, and so is found always.
SIGMAS = 6.5
MANY = 50  # examples
# With these the bound does not stand on K draws of q, so the value is not that of L_K either.
NO_DRAWS_OF_Q = ("decodes_the_mean", "samples_from_the_prior", "averages_the_latents", "wrong_spread", "one_sample_repeated",
                 "one_z_for_the_batch")


class Sampled:
    """One call's record, read.

    Attributes:
        truth: of its examples. num_samples: what was asked for. value: what came back, float64.
        sizes, encoded: how many rows were decoded, and encoded, in each call of the network.
        z: (samples, batch, M), the decoded latents in the student's order; None when they cannot be read.
        order: the name of that order.
    """

    def __init__(self, inputs: dict[str, Any], record: dict[str, Any], num_samples: int, x: Tensor):
        self.truth, self.num_samples, self.record = Truth(inputs["weights"], x), num_samples, record
        self.value, self.gradients = record["value"].double(), record.get("gradients", {})
        self.batch, latents = len(x), self.truth.mu.shape[-1]
        decoded = [part.double().reshape(-1, latents) for part in record["decoded"]]
        self.rows, self.sizes = torch.cat(decoded) if decoded else self.truth.mu[:0], [len(part) for part in decoded]
        self.encoded = [part.numel() for part in record["encoded"]]  # one pixel of each row was kept
        found = layouts(self.rows, self.sizes, self.batch) if bool(self.rows.isfinite().all()) else {}
        self.order = min(found, key=lambda name: self.size_of_noise(found[name])) if found else ""
        if found and shared(found["sample by sample"]):  # then no order makes them draws of q
            self.order = "sample by sample"
        self.z = found.get(self.order)
        if self.z is not None and len(self.sizes) > 1 and not self.plausible(self.z):
            self.z = min(filter(self.plausible, nested(self.rows, self.sizes, self.batch)), key=self.size_of_noise, default=self.z)

    def size_of_noise(self, z: Tensor) -> float:
        """The mean square of epsilon, 1 on average for draws of q."""
        return float(self.truth.noise(z).square().mean())

    def plausible(self, z: Tensor) -> bool:
        return self.size_of_noise(z) < 1 + SIGMAS * (2 / z.numel()) ** 0.5

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

    def agrees(self, z: Tensor, right: Callable[[Tensor], Tensor], log_w: Callable[[Pieces], Tensor] = attrgetter("log_w")) -> bool:
        """Whether the value is right(log-weights at z). Of very many examples every fourth is compared: they are copies."""
        some = slice(None, None, 4 if self.batch > MANY else 1)
        want = right(log_w(Truth(self.truth.weights, self.truth.x[some]).pieces(z[:, some])))
        return self.value.shape[-1:] == (self.batch,) and close(self.value[..., some], want)

    def changed_x(self) -> bool:
        return not untouched({"x": self.truth.x}, {"x": self.record["x"].double().flatten(1)})


class Calls:
    """The records of one kind of pixels: K samples of a batch, one sample, one example, many samples, the first again, many copies.

    Attributes:
        copies: the example that each one of the many copies is of. They lie in no order: in one, a wrong order of the rows would
            put each beside a copy of its own example, and could not be told from the right one.
    """

    def __init__(self, inputs: dict[str, Any], part: dict[str, Any]):
        x = inputs["x"]
        self.records = part["calls"]
        self.calls = [None if "trouble" in r else Sampled(inputs, r, k, x[:b]) for (k, b), r
                      in zip(inputs["cases"], self.records, strict=True)]
        self.first, self.again, self.copies = self.calls[0], self.calls[-1], inputs["copies"]
        self.many = Sampled(inputs, part["tiled"], inputs["tiled_samples"], x[self.copies]) if "tiled" in part else None
        self.trouble = part.get("tiled_trouble")


def shared(z: Tensor) -> bool:
    """Whether all examples of a batch have the very same latents."""
    return z.shape[1] > 1 and bool((z == z[:, :1]).all())


def spread(noise: Tensor, dim: int) -> tuple[float, float]:
    """Mean of (sum over dim)^2 / size, and its error: 1 for independent standard normals, the size where shared, 0 where they cancel."""
    sums = noise.sum(dim).square() / noise.shape[dim]
    return float(sums.mean()), SIGMAS * (2 / sums.numel()) ** 0.5


def samples_fault(call: Sampled) -> str | None:
    """The mistake that the noise of a call on many examples shows."""
    noise, z, k = call.noise[: call.num_samples], call.z[: call.num_samples], call.num_samples
    if shared(z):
        return "one_z_for_the_batch"
    size, error = float(noise.square().mean()), SIGMAS / noise.numel() ** 0.5
    if size < 1e-4:
        return "decodes_the_mean"
    mu = call.truth.mu.expand_as(z)
    if float((z * mu).sum() / mu.square().sum()) < 0.5:  # draws of q move with its mean
        return "samples_from_the_prior"
    common, spreads = {}, [spread(noise, dim) for dim in range(3)]
    names = ("one_sample_repeated", "samples_shared_across_the_batch", "one_epsilon_for_all_latents")
    for dim, (name, (value, chance)) in enumerate(zip(names, spreads)):
        if noise.shape[dim] > 1 and value > size * (1 + 1.5 * chance + 0.02):
            common[name] = value / noise.shape[dim]  # noise shared along one dimension is little noise along the others, too
    if common:
        return max(common, key=common.__getitem__)
    value, chance = spreads[0]
    if k > 1 and value < size * (1 - 1.5 * chance):
        return "antithetic_samples"
    if abs(size - 1) <= 1.5 * error and abs(float(noise.mean())) <= error:
        return None
    each = noise.square().mean((0, 1)) * k  # averages of K draws have 1/K of the variance, in each latent
    return "averages_the_latents" if bool(((each - 1).abs() < 0.27).all()) else "wrong_spread"


def repeats(first: Sampled, again: Sampled | None) -> bool:
    """Whether two calls with the same arguments drew the same noise: a seed inside the function."""
    if again is None or first.z is None or again.z is None or first.z.shape != again.z.shape:
        return False
    return close(first.noise, again.noise, rtol=1e-4, atol=1e-4)


def find_samples(first: Sampled, again: Sampled | None, many: Sampled | None, value: Finding) -> Finding:
    """K draws of q(z|x) for each example, independent, and fresh in every call."""
    if unknown := unjudged("samples", value):
        return unknown
    expected = "independent draws of q(z|x): for each sample, each example, each latent, each call"
    seen = many if many is not None and many.z is not None else first
    if seen.z is None:
        return failed("samples", "The latents that were decoded cannot be told: not a whole number for each example.", None, expected,
                      f"{len(first.rows)} latents for {first.batch} examples")
    if len(first.z) < first.num_samples:
        got = f"{len(first.z)} for each example where num_samples is {first.num_samples}"
        return failed("samples", "Fewer latents were decoded than num_samples asks for.", "num_samples_ignored", expected, got)
    if fault := samples_fault(seen):
        return failed("samples", "The latents are not independent draws of q(z|x).", fault, expected, "draws that are not")
    if repeats(first, again):
        return failed("samples", "Two calls drew exactly the same samples.", "same_samples_in_every_call", expected, "the same again")
    return passed("samples", "The latents are independent draws of q(z|x), fresh in every call.")
