"""The laws of what stands on K samples: its value at those that were decoded, its gradient, and that they are draws of q(z|x)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Edit, Finding, Seen, double, failed, passed, run
from autograder.exercises.laws import SIGMAS, differs, shown
from autograder.units.iwae.sampled import ATOL, REPLAYED, RTOL, Right, Sampled, calls_of, is_constant, log_mean_exp

__all__ = ["directions", "flat", "gradient", "near", "no_draws_of_q", "samples", "samples_fault", "value"]

# With these the bound does not stand on K draws of q, so the value is not that of L_K either.
NO_DRAWS_OF_Q = ("decodes_the_mean", "samples_from_the_prior", "averages_the_latents", "wrong_spread", "one_sample_repeated",
                 "one_z_for_the_batch")
# Calls that show what the first one does not, and the mistake of which a value that is wrong there in any way is the sign.
LATER = {
    "one sample": ("with one sample", None),
    "one example": ("with one example", None),
    "saturated": ("where the decoder's logits are as large as 40", None),
    "many samples": ("with many samples", "wrong_with_many_samples"),
    "one chunk": ("where one chunk could hold all samples", "fewer_samples_than_a_chunk"),
    "again": ("when it is called again", "state_drifts"),
}
CLOSE = 4e-3  # of gradients: relative, Frobenius norm; float32 gives some 1e-5


# --- the value -----------------------------------------------------------------------------------


def no_draws_of_q(seen: Seen) -> str | None:
    fault = draws_fault(seen)
    return fault if fault in NO_DRAWS_OF_Q else None


def value(points: int, what: str, shape: str, right: Right, draws: Callable[[Seen], str | None] = no_draws_of_q) -> Behavior:
    """The value in every call, at the latents that were decoded in that call.

    Arguments:
        what: its name. shape: in words. right: of log-weights.
        draws: the mistake by which the latents are no draws on which the value could stand.
    """

    def judge(seen: Seen) -> Finding:
        calls, fault = calls_of(seen), draws(seen)
        if any(call.changed_x for call in calls.values()):
            return failed("value", "Your code changes x in place.", "changes_its_inputs", "x as it was", "another x")
        # With draws of the prior p(x|z) alone is a right weight: then its mistake would be named, too.
        prior = fault == "samples_from_the_prior" and seen.exercise.mistake("only_log_px")
        if wrong := None if prior else at_first(calls["usual"]) or later(seen, calls):
            return replace(wrong, also=(fault,) if fault else ())
        if fault:
            return failed("value", f"{what} does not stand on K draws of q(z|x).", fault, "K independent draws of q(z|x)", "other latents")
        return passed("value", f"{what} is right at the samples that your code drew, for each example.")

    def at_first(call: Sampled) -> Finding | None:
        """A wrong value in plain numbers."""
        z = call.z
        if call.stands_on(right) is not None:
            return None
        if z is None or (len(z) != call.num_samples and call.agrees(z, right)):
            count = f"{len(call.rows)} for {call.batch} examples" if z is None else f"{len(z)} for each example"
            return failed("value", f"num_samples is {call.num_samples}, and the latents that your code decodes are {count}.")
        return differs(call.value, right(call.log_w(z)), what, shape, RTOL, ATOL)

    def later(seen: Seen, calls: dict[str, Sampled]) -> Finding | None:
        for name, found in seen.outputs.items():
            where, sign = LATER.get(name.rstrip("0123456789 "), (None, None))
            if where and ("trouble" in found or calls[name].stands_on(right) is None):
                message = f"{what} is right for the first call, and not {where}. {found.get('trouble', 'There it is wrong.')}"
                got = shown(found["value"]) if "value" in found else "an exception"
                return failed("value", message, sign, f"shape {seen.inputs['cases'][name]['shape']}", got)
        return None

    def view(outputs: dict[str, Any]) -> Any:
        return [outputs[name].get("value", "stops") for name in REPLAYED if name in outputs]

    return Behavior("value", points, judge, view, rtol=RTOL, atol=ATOL)


# --- the samples ---------------------------------------------------------------------------------
# Each statistic is the mean of n nearly normal numbers and is compared at 6.5 standard errors: a false alarm in fewer than one
# of 1e9 right submissions. Shared noise moves the statistics by a factor, and so is found always.


def samples(points: int) -> Behavior:
    """K draws of q(z|x) for each example, independent, and fresh in every call."""

    def judge(seen: Seen) -> Finding:
        call, expected = calls_of(seen)["usual"], "independent draws of q(z|x): for each sample, each example, each latent, each call"
        if call.z is None or len(call.z) < call.num_samples:
            got, sign = f"{len(call.rows)} for {call.batch} examples", None if call.z is None else "num_samples_ignored"
            return failed("samples", f"The decoded latents are not {call.num_samples} for each example.", sign, expected, got)
        if is_constant(seen):
            return failed("samples", "The value is the same whatever was drawn, so it does not stand on the samples.")
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
    first = calls["usual"]
    return samples_fault(torch.stack([c.z[: first.num_samples] for c in calls.values()]), first)


def samples_fault(z: Tensor, truth: Sampled) -> str | None:
    """The mistake that latents (calls, K, batch, M) show, if they are not independent draws of q."""
    noise, mu = truth.noise(z), truth.mu
    if z.shape[2] > 1 and bool((z == z[:, :, :1]).all()):
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


# --- the gradient --------------------------------------------------------------------------------


def gradient(points: int, dreg: Edit) -> Behavior:
    """The gradient of L_K for encoder and decoder, at the student's own samples; up to a factor where the value is wrong.

    Arguments:
        dreg: the edit of the solution that gives the value the doubly reparameterized gradient, which is right on average.
    """

    def judge(seen: Seen) -> Finding:
        call, got = calls_of(seen)["usual"], seen.outputs["usual"].get("slopes", {})
        expected = "the samples' gradients with the normalized weights"
        asked = [name for name, case in seen.inputs["cases"].items() if case.get("slopes")]
        if call.changed_x:
            return failed("gradient", "The gradient is that of another x.", "changes_its_inputs", expected)
        if "trouble" in got:
            return failed("gradient", got["trouble"], None, expected)
        right_value = call.stands_on(log_mean_exp) is not None
        if asked and not any(slope.any() for slope in got.values()):  # that of weights that underflow is zero, too
            sign = "bound_without_graph" if right_value or not got else None
            return failed("gradient", "The bound carries no gradient, so nothing can be trained on it.", sign, expected)
        if fault := no_draws_of_q(seen):
            return failed("gradient", "The gradient does not stand on K draws of q(z|x).", fault, expected)
        wrong = [name for name in asked if not right(seen.outputs[name], seen.right[name], right_value)]
        other = run(seen.exercise, seen.exercise.source(dreg), double(seen.replayed)) if wrong else {}
        wrong = [name for name in wrong if not right(seen.outputs[name], other[name], right_value)]
        if wrong:
            where = "" if wrong[0] == "usual" else f" {LATER[wrong[0]][0]}"
            return failed("gradient", f"This is not the gradient of the bound{where}.", None, expected, "another gradient")
        return passed("gradient", "The gradient is that of L_K, or one that agrees with it on average, for encoder and decoder.")

    def right(got: dict[str, Any], want: dict[str, Any], right_value: bool) -> bool:
        if got.get("slopes", {}).keys() != want["slopes"].keys():
            return False
        got, want = flat(got["slopes"]), flat(want["slopes"])
        return near(got, want if right_value else want * (got @ want) / (want @ want))

    def view(outputs: dict[str, Any]) -> list[Any]:
        return [directions(found["slopes"]) for found in outputs.values() if "slopes" in found]

    return Behavior("gradient", points, judge, view, after="value", own=True, rtol=1e-3, atol=3e-4)


def flat(slopes: dict[str, Tensor]) -> Tensor:
    """A gradient for all parameters in one row."""
    return torch.cat([slope.double().flatten() for slope in slopes.values()])


def near(got: Tensor, want: Tensor) -> bool:
    """Whether two gradients, each in one row, are the same."""
    return float((got - want).norm()) < CLOSE * float(want.norm())


def directions(slopes: dict[str, Tensor]) -> dict[str, Any]:
    """By parameter the direction and the length of a gradient: what two of them that are the same have in common."""
    if "trouble" in slopes:
        return slopes
    return {name: (slope / slope.norm().clamp(min=1e-2), float(slope.norm())) for name, slope in slopes.items()}
