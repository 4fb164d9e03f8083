"""The laws of what stands on K samples: the value at those that were decoded, and that they are independent draws of q(z|x)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Finding, Seen, failed, passed
from autograder.exercises.laws import constant, shown
from autograder.units.iwae.sampled import ATOL, REPLAYED, RTOL, Right, Sampled, calls_of

__all__ = ["LATER", "NO_DRAWS_OF_Q", "draws_fault", "off", "samples", "samples_fault", "value"]

# Each statistic is the mean of n nearly normal numbers and is compared at 6.5 standard errors: a false alarm in fewer than one
# of 1e9 right submissions. Shared noise moves the statistics by a factor, and so is found always.
SIGMAS = 6.5
# With these the bound does not stand on K draws of q, so the value is not that of L_K either.
NO_DRAWS_OF_Q = ("decodes_the_mean", "samples_from_the_prior", "averages_the_latents", "wrong_spread", "one_sample_repeated",
                 "one_z_for_the_batch")
# Calls that show what the first one does not: where they were made; the mistake of which a value that is wrong there in any way is
# the sign, or one that is wrong in its shape.
LATER = {
    "one sample": ("with one sample", "", "one_sample_loses_its_dimension"),
    "one example": ("with one example", "", "one_example_loses_its_dimension"),
    "saturated": ("where the decoder's logits are as large as 40", "", ""),
    "many samples": ("with many samples", "wrong_with_many_samples", ""),
    "again": ("when it is called again", "state_drifts", ""),
}


# --- the value -----------------------------------------------------------------------------------


def value(points: int, what: str, shape: str, right: Right) -> Behavior:
    """The value in every call, at the latents that were decoded in that call.

    Arguments:
        what: its name. shape: in words. right: of log-weights.
    """

    def judge(seen: Seen) -> Finding:
        calls, fault = calls_of(seen), draws_fault(seen)
        first, also = calls["usual"], (fault,) if fault in NO_DRAWS_OF_Q else ()
        if any(call.changed_x for call in calls.values()):
            return failed("value", "Your code changes x in place.", "changes_its_inputs", "x as it was", "another x")
        if fault == "samples_from_the_prior" and first.stands_on(lambda log_w: right(log_w + first.truth.kl(first.z))) is not None:
            return failed("value", f"{what} stands on draws of p(z), and is that of p(x|z) alone.", fault)
        wrong = at_first(first) or later(seen, calls)
        if wrong:
            return replace(wrong, also=also)
        if also:
            return failed("value", f"{what} does not stand on K draws of q(z|x).", fault, "K independent draws of q(z|x)", "other latents")
        return passed("value", f"{what} is right at the samples that your code drew, for each example.")

    def at_first(call: Sampled) -> Finding | None:
        if call.stands_on(right) is not None:
            return None
        if call.z is not None and len(call.z) != call.num_samples and call.agrees(call.z, right):
            return failed("value", f"There are {len(call.z)} samples where num_samples is {call.num_samples}.", "num_samples_ignored")
        z = next(iter(call.candidates()), None)
        return off(what, shape, call.value, None if z is None else right(call.truth.log_w(z)))

    def later(seen: Seen, calls: dict[str, Sampled]) -> Finding | None:
        here = f"{what} is right for {calls['usual'].num_samples} samples of {calls['usual'].batch} examples"
        for name, found in seen.outputs.items():
            where, sign, lost = LATER.get(name.rstrip("0123456789 "), ("", "", ""))
            if where and "trouble" in found:
                return failed("value", f"{here}, and stops {where}. {found['trouble']}", sign or lost or None)
            if where and calls[name].stands_on(right) is None:
                wanted, got = seen.inputs["cases"][name]["shape"], calls[name].value
                how = "wrong" if got.isfinite().all() else "not finite"
                sign = sign or (lost if list(got.shape) != wanted else "")
                return failed("value", f"{here}, and {how} {where}.", sign or None, f"shape {wanted}", shown(got))
        return None

    def view(outputs: dict[str, Any]) -> Any:
        return [outputs[name].get("value", "stops") for name in REPLAYED if name in outputs]

    return Behavior("value", points, judge, view, rtol=RTOL, atol=ATOL)


def off(what: str, shape: str, got: Tensor, want: Tensor | None) -> Finding:
    """A wrong value in plain numbers."""
    if want is None:
        return failed("value", f"{what} is not that of K latents that your code decodes for each example.", None, "", shown(got))
    if got.shape != want.shape:
        message = f"{what} must have {shape}, shape {list(want.shape)}; yours has shape {list(got.shape)}."
    elif not got.isfinite().all():
        message = f"{what} is not finite everywhere: there is NaN or infinity in it."
    elif constant(got, want):
        by = float((got - want).mean())
        message = f"{what} is off by the same number everywhere: all too {'high' if by > 0 else 'low'} by {abs(by):.4g} nats."
    else:
        message = f"{what} is wrong."
    return failed("value", message, None, shown(want), shown(got))


# --- the samples ---------------------------------------------------------------------------------


def samples(points: int) -> Behavior:
    """K draws of q(z|x) for each example, independent, and fresh in every call."""

    def judge(seen: Seen) -> Finding:
        call, expected = calls_of(seen)["usual"], "independent draws of q(z|x): for each sample, each example, each latent, each call"
        if call.z is None:
            got = f"{len(call.rows)} latents for {call.batch} examples"
            return failed("samples", "The decoded latents cannot be told: not a whole number for each example.", None, expected, got)
        if len(call.z) < call.num_samples:
            got = f"{len(call.z)} for each example where num_samples is {call.num_samples}"
            return failed("samples", "Fewer latents were decoded than num_samples asks for.", "num_samples_ignored", expected, got)
        if fault := draws_fault(seen):
            return failed("samples", "The latents are not independent draws of q(z|x).", fault, expected, "draws that are not")
        return passed("samples", "The latents are independent draws of q(z|x), fresh in every call.")

    def enough(outputs: dict[str, Any]) -> bool:
        """Whether K different latents were decoded for each example."""
        found = outputs["usual"]
        first = torch.cat([part[..., 0].flatten() for part in found["decoded"]])
        return len(first.unique()) >= found["arguments"][0] * len(found["after"])

    return Behavior("samples", points, judge, enough, after="value", own=True)


def draws_fault(seen: Seen) -> str | None:
    """The mistake that the noise of the first call and its repetitions shows."""
    calls = {name: c for name, c in calls_of(seen).items() if name.split()[0] in ("usual", "again") and c.candidates()}
    if "usual" not in calls or any(c.changed_x for c in calls.values()):  # draws for another x tell nothing
        return None
    mu, k = calls["usual"].truth.mu, calls["usual"].num_samples
    return samples_fault(torch.stack([c.z[:k] for c in calls.values()]), mu, calls["usual"].truth.log_sigma)


def samples_fault(z: Tensor, mu: Tensor, log_sigma: Tensor) -> str | None:
    """The mistake that latents (calls, K, batch, M) show, if they are not independent draws of q."""
    noise = (z - mu) * (-log_sigma).exp()
    if bool((z == z[:, :, :1]).all()):
        return "one_z_for_the_batch"
    size, error = float(noise.square().mean()), SIGMAS / noise.numel() ** 0.5
    if size < 1e-4:
        return "decodes_the_mean"
    if float((z * mu).sum() / mu.square().expand_as(z).sum()) < 0.5:  # draws of q move with its mean
        return "samples_from_the_prior"
    common, spreads = {}, [spread(noise, dim) for dim in range(4)]
    names = ("same_samples_in_every_call", "one_sample_repeated", "samples_shared_across_the_batch", "one_epsilon_for_all_latents")
    for dim, (name, (of_sum, chance)) in enumerate(zip(names, spreads)):
        if noise.shape[dim] > 1 and of_sum > size * (1 + 1.5 * chance + 0.02):
            common[name] = of_sum / noise.shape[dim]  # noise shared along one dimension is little noise along the others, too
    if common:
        return max(common, key=common.__getitem__)
    if noise.shape[1] > 1 and spreads[1][0] < size * (1 - 1.5 * spreads[1][1]):
        return "antithetic_samples"
    if abs(size - 1) <= 1.5 * error and abs(float(noise.mean())) <= error:
        return None
    each = noise.square().mean((0, 1, 2)) * noise.shape[1]  # averages of K draws have 1/K of the variance, in each latent
    return "averages_the_latents" if bool(((each - 1).abs() < 0.27).all()) else "wrong_spread"


def spread(noise: Tensor, dim: int) -> tuple[float, float]:
    """Mean of (sum over dim)^2 / size, and its error: 1 for independent standard normals, the size where shared, 0 where they cancel."""
    sums = noise.sum(dim).square() / noise.shape[dim]
    return float(sums.mean()), SIGMAS * (2 / sums.numel()) ** 0.5
