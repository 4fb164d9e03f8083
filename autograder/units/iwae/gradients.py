"""The gradient of L_K at the student's own samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autograder.exercises.exercise import Behavior, Edit, Finding, Seen, double, failed, passed, run
from autograder.units.iwae.laws import LATER, NO_DRAWS_OF_Q, draws_fault
from autograder.units.iwae.sampled import calls_of
from autograder.units.iwae.truth import log_mean_exp

__all__ = ["CLOSE", "directions", "distance", "gradient"]

CLOSE = 4e-3  # relative, Frobenius norm; float32 gives some 1e-5


def gradient(points: int, dreg: Edit) -> Behavior:
    """The gradient of L_K for encoder and decoder, at the student's own samples; up to a factor where the value is wrong.

    Arguments:
        dreg: the edit of the solution that gives the value the doubly reparameterized gradient, which is right on average.
    """

    def judge(seen: Seen) -> Finding:
        cases = [name for name, case in seen.inputs["cases"].items() if case.get("slopes")]
        expected, got = "the gradient of L_K: the samples' gradients with the normalized weights", seen.outputs["usual"]["slopes"]
        if any(call.changed_x for call in calls_of(seen).values()):
            return failed("gradient", "The gradient is that of another x.", "changes_its_inputs", expected)
        if "trouble" in got:
            return failed("gradient", got["trouble"], None, expected)
        right_value = calls_of(seen)["usual"].stands_on(log_mean_exp) is not None
        if not any(slope.any() for slope in got.values()):  # that of weights that underflow is zero, too
            sign = "bound_without_graph" if right_value or not got else None
            return failed("gradient", "The bound carries no gradient, so nothing can be trained on it.", sign, expected)
        if (fault := draws_fault(seen)) in NO_DRAWS_OF_Q:
            return failed("gradient", "The gradient does not stand on K draws of q(z|x).", fault, expected)
        other = None
        for name in cases:
            where = "" if name == "usual" else f" {LATER[name][0]}"
            got, want = (outputs[name].get("slopes") for outputs in (seen.outputs, seen.right))
            if not got or "trouble" in got or not all(slope.isfinite().all() for slope in got.values()):
                return failed("gradient", f"The gradient of the bound is not finite{where}.", None, expected, "NaN or infinity")
            factor = 1.0 if right_value else scale(got, want)
            if distance(got, {n: factor * g for n, g in want.items()}) < CLOSE:
                continue
            other = other or run(seen.exercise, seen.exercise.source(dreg), double(seen.replayed))
            if distance(got, other[name]["slopes"]) >= CLOSE:
                return failed("gradient", f"This is not the gradient of the bound{where}.", None, expected, "another gradient")
        if other:
            return passed("gradient", "The gradient is the doubly reparameterized one, which agrees with that of L_K on average.")
        return passed("gradient", "The gradient is that of L_K, for encoder and decoder.")

    def view(outputs: dict) -> list:
        return [directions(outputs[name]["slopes"]) for name in ("usual", "saturated") if name in outputs]

    return Behavior("gradient", points, judge, view, after="value", own=True, rtol=1e-3, atol=3e-4)


def scale(got: dict, want: dict) -> float:
    """The factor that brings a gradient nearest to another."""
    return sum(float((got[n].double() * w).sum()) for n, w in want.items()) / sum(float(w.square().sum()) for w in want.values())


def distance(got: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    """Relative distance of two gradients (Frobenius norm over all of their parameters)."""
    left = sum(float((got[n].double() - want[n].double()).square().sum()) for n in want)
    return (left / max(sum(float(w.double().square().sum()) for w in want.values()), 1e-30)) ** 0.5


def directions(slopes: dict[str, Tensor]) -> dict[str, Any]:
    """By parameter the direction and the length of a gradient: what two of them that are the same have in common."""
    if "trouble" in slopes:
        return slopes
    return {name: (slope / slope.norm().clamp(min=1e-2), float(slope.norm())) for name, slope in slopes.items()}
