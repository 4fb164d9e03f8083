"""What unit 02's exercises with a model share: recorded calls beside the truth, replay, the laws of the value and of the samples.

Nothing prescribes how samples are folded into a batch, in which order, in how many calls of the decoder. So each decoded row is
read beside the example whose q it was drawn from, which the first latent tells; the samples of an example come in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Finding, Seen, failed, passed
from autograder.exercises.laws import close, constant, shown
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.iwae.truth import Truth, log_mean_exp

__all__ = ["ATOL", "LATER", "NO_DRAWS_OF_Q", "RTOL", "Sampled", "brief", "calls_of", "directions", "distance", "draws_fault", "off",
           "picture", "replay", "samples", "samples_fault", "value"]

RTOL, ATOL = 2e-5, 3e-3  # of sums over 784 pixels in float32
# Each statistic is the mean of n nearly normal numbers and is compared at 6.5 standard errors: a false alarm in fewer than one
# of 1e9 right submissions. Shared noise moves the statistics by a factor, and so is found always.
SIGMAS = 6.5
# With these the bound does not stand on K draws of q, so the value is not that of L_K either.
NO_DRAWS_OF_Q = ("decodes_the_mean", "samples_from_the_prior", "averages_the_latents", "wrong_spread", "one_sample_repeated",
                 "one_z_for_the_batch")
REPLAYED = ("usual", "one sample", "one example", "saturated")
# Calls that show what the first one does not: where they were made; the mistake of which a value that is wrong there in any way is
# the sign, or one that is wrong in its shape.
LATER = {
    "one sample": ("with one sample", "", "one_sample_loses_its_dimension"),
    "one example": ("with one example", "", "one_example_loses_its_dimension"),
    "saturated": ("where the decoder's logits are as large as 40", "", ""),
    "many samples": ("with many samples", "wrong_with_many_samples", ""),
    "again": ("when it is called again", "state_drifts", ""),
}
Right = Callable[[Tensor], Tensor]  # log-weights (K, batch) -> the value that is asked for


# --- a recorded call -----------------------------------------------------------------------------


class Sampled:
    """One call's record, read.

    Attributes:
        truth: of its examples. num_samples: what was asked for. value: what came back, float64.
        sizes: how many rows were decoded in each call of the network.
        z: (samples, batch, M), the decoded latents; None where they are not as many for each example.
        unused: latents that were drawn and never decoded, each (samples, batch, M).
    """

    def __init__(self, inputs: dict[str, Any], case: dict[str, Any], record: dict[str, Any]):
        self.truth = Truth(inputs["weights"] | case.get("weights", {}), inputs["x"][case["rows"]])
        self.num_samples, self.record, self.value = case["arguments"][0], record, record["value"].double()
        self.batch, latents = self.truth.mu.shape
        decoded, drawn = ([part.double().reshape(-1, latents) for part in record[name]] for name in ("decoded", "drawn"))
        self.rows, self.sizes = torch.cat([self.truth.mu[:0], *decoded]), [len(part) for part in decoded]
        self.z = self.read(self.rows)
        unused = (self.read(part) for part in drawn if not (part[:1] == self.rows).all(-1).any())
        self.unused = [z for z in unused if z is not None]
        self.changed_x = not torch.equal(record["after"].double().flatten(1), self.truth.x)

    def read(self, rows: Tensor) -> Tensor | None:
        """Rows (N, M) as (samples, batch, M), each beside the example that it was drawn for; sample by sample where that is not told."""
        if not len(rows) or len(rows) % self.batch or not rows.isfinite().all():
            return None
        example = self.truth.noise(rows.unsqueeze(1)).square().sum(-1).argmin(1)
        if bool((torch.bincount(example, minlength=self.batch) == len(rows) // self.batch).all()):
            return rows[example.argsort(stable=True)].unflatten(0, (self.batch, -1)).transpose(0, 1)
        return rows.unflatten(0, (-1, self.batch))

    def candidates(self) -> list[Tensor]:
        """The decoded latents that the value may stand on: all, the last and the first K, each (K, batch, M)."""
        k = self.num_samples
        if self.z is None or len(self.z) < k:
            return []
        return [self.z] if len(self.z) == k else [self.z[-k:], self.z[:k]]

    def agrees(self, z: Tensor, right: Right) -> bool:
        return close(self.value, right(self.truth.log_w(z)), RTOL, ATOL)

    def stands_on(self, *rights: Right) -> Tensor | None:
        """The latents at which the value is one of these, if there are any."""
        return next((z for z in self.candidates() if any(self.agrees(z, right) for right in rights)), None)

    def noise(self, whole: bool) -> Tensor | None:
        """epsilon of what was drawn, (samples, batch, M): of all that was decoded, or what the value stands on; then of the unused."""
        first = self.stands_on(log_mean_exp, torch.clone)
        latents = [z for z in (self.z if whole else first, *self.candidates(), self.z, *self.unused) if z is not None]
        return self.truth.noise(torch.cat(latents[:1] + self.unused)).float() if latents else None


def read_calls(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Sampled]:
    return {name: Sampled(inputs, inputs["cases"][name], found) for name, found in outputs.items() if "trouble" not in found}


def calls_of(seen: Seen) -> dict[str, Sampled]:
    """The calls that came back, by case; read once for all laws."""
    if not hasattr(seen, "calls"):
        seen.calls = read_calls(seen.inputs, seen.outputs)
    return seen.calls


def replay(inputs: dict[str, Any], outputs: dict[str, Any], names: tuple[str, ...] = REPLAYED, whole: bool = False) -> dict[str, Any]:
    """The small cases, with the noise of the latents that the student's code decoded."""
    calls = read_calls(inputs, {name: found for name, found in outputs.items() if name in names})
    cases = {n: c | {"noise": calls[n].noise(whole) if n in calls else None} for n, c in inputs["cases"].items() if n in names}
    return inputs | {"cases": cases}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first call alone."""
    return inputs | {"cases": {"usual": inputs["cases"]["usual"]}}, {"usual": outputs["usual"]}


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
    if "usual" not in calls:
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


# --- gradients, and a picture --------------------------------------------------------------------


def distance(got: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    """Relative distance of two gradients (Frobenius norm over all of their parameters)."""
    left = sum(float((got[n].double() - want[n].double()).square().sum()) for n in want)
    return (left / max(sum(float(w.double().square().sum()) for w in want.values()), 1e-30)) ** 0.5


def directions(slopes: dict[str, Tensor]) -> dict[str, Any]:
    """By parameter the direction and the length of a gradient: what two of them that are the same have in common."""
    if "trouble" in slopes:
        return slopes
    return {name: (slope / slope.norm().clamp(min=1e-2), float(slope.norm())) for name, slope in slopes.items()}


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], right: Right, what: str) -> str:
    """What came for each example beside what is right, in nats above the mean of the right log-weights."""
    found = outputs.get("images", outputs)["usual"]
    call = Sampled(inputs, inputs["cases"]["usual"], found)
    if not call.candidates():
        raise ValueError("The samples cannot be told.")
    log_w = call.truth.log_w(call.candidates()[0])
    yours, truth = (values - log_w.mean(0) for values in (call.value, right(log_w)))
    if yours.shape != truth.shape or not yours.isfinite().all():
        raise ValueError("Values of another shape, or not finite.")
    place = torch.arange(1, call.batch + 1).expand_as(truth)
    ax.axhline(0, color="gray", linewidth=0.8, label="ELBO: mean of log w")
    ax.plot((place - 0.1).flatten(), truth.flatten(), "o", color=RIGHT, markersize=4, label="right")
    ax.plot((place + 0.1).flatten(), yours.flatten(), "o", color=YOURS, markersize=4, label="yours")
    ax.set_xlabel("example")
    ax.set_ylabel("nats above the ELBO")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    gap = (yours - truth).flatten()
    return (f"{what} of {call.batch} examples, yours beside the right one at your samples: yours lies {float(gap.min()):.3g} to "
            f"{float(gap.max()):.3g} nats above it.")
