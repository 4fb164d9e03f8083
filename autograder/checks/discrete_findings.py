"""What unit 04's checks share: how they are put together, how they compare, and how they find a mistake's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from autograder.advice.discrete import HINTS, misconceptions
from autograder.checks.vae_calls import shown
from autograder.verdict import Check, Finding, failed, passed

__all__ = ["UNJUDGED", "changed", "check", "fail", "first_name", "judge_gradient", "near", "slopes"]

UNJUDGED = "Judged once the value is right."


def check(name: str, target: str, title: str, behaviors: dict[str, int], draw, probe, judge, read_on: str) -> Check:
    """A check of unit 04, with what the advice says to its name; `read_on` names the lecture's section."""
    return Check(
        name=name,
        target=target,
        title=title,
        behaviors=behaviors,
        draw=draw,
        probe=probe,
        judge=judge,
        hints=HINTS[name],
        misconceptions=misconceptions(name),
        read_on=f"Lecture 04, {read_on}",
    )


def near(got: Tensor | None, want: Tensor, tolerance: float = 1e-4) -> bool:
    """The same shape and, up to rounding in float32, the same finite numbers."""
    if not isinstance(got, Tensor) or got.shape != want.shape:
        return False
    return bool((want.isfinite() & ((got.double() - want).abs() <= tolerance * (1 + want.abs()))).all())


def first_name(got: Tensor, candidates: Mapping[str, Tensor]) -> str | None:
    """The name of the first candidate that agrees; what stands behind a # tells ways to make one mistake apart."""
    return next((label.split("#")[0] for label, value in candidates.items() if near(got, value)), None)


def fail(behavior: str, message: str, got: Tensor, want: Tensor, label: str | None) -> Finding:
    return failed(behavior, message, label, shown(want), shown(got))


def changed(after: Any, before: list[Tensor]) -> bool:
    """Whether a call left its arguments as they were."""
    same = isinstance(after, list) and len(after) == len(before)
    return not (same and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(after, before)))


def slopes(function: Callable[..., Tensor], weights: Tensor | None, *leaves: Tensor) -> list[Tensor]:
    """Gradients in float64 of the weighted sum of `function` with respect to its arguments."""
    with torch.enable_grad():
        given = [leaf.detach().double().clone().requires_grad_() for leaf in leaves]
        value = function(*given)
        total = (value if weights is None else value * weights).sum()
        return [torch.zeros_like(g) if s is None else s for g, s in zip(given, torch.autograd.grad(total, given, allow_unused=True))]


def judge_gradient(
    outputs: Mapping[str, Any],
    name: str,
    want: Tensor,
    value: Finding,
    behavior: str = "gradient",
    candidates: Mapping[str, Tensor] | None = None,
    missing: str = "without_gradient",
) -> Finding:
    """The gradient with respect to `name`: exactly, where the value is right; whether there is one, where its mistake has a name."""
    if not value.passed and value.misconception is None:
        return failed(behavior, UNJUDGED)
    if "gradient_trouble" in outputs:
        return failed(behavior, str(outputs["gradient_trouble"]))
    got = outputs.get(f"grad_{name}")
    if not isinstance(got, Tensor) or not got.any():
        return failed(behavior, f"No gradient reaches {name}.", missing, shown(want), "none")
    if near(got, want, 1e-3) or (not value.passed and bool(got.isfinite().all())):
        return passed(behavior, "The gradient is right." if value.passed else "It carries a gradient.")
    return fail(behavior, f"The gradient with respect to {name} is wrong.", got, want, first_name(got, candidates or {}))
