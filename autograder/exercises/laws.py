"""Behaviors that many exercises have, and the mistakes that no value shows.

Each law decides by what is right: the solution's own values in float64, at the student's inputs. It knows no mistake but those
that it is itself the sign of: an argument changed in place, a graph that is cut, a result that changes from call to call.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Finding, Mistake, Seen, failed, passed, wrapped

__all__ = ["Summary", "agree", "close", "differs", "extremes", "general", "gradient", "shown", "untouched", "value"]

SIGMAS = 6.5  # of a mean: a false alarm in less than one of 1e9


# --- when two results are the same ---------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """Numbers that came by chance, each with its standard error."""

    values: Tensor
    errors: Tensor


def close(got: Tensor, want: Tensor, rtol: float = 1e-4, atol: float = 5e-5) -> bool:
    """The same shape and, up to rounding in float32, the same finite values."""
    # An infinite `want` would have an infinite tolerance, and agree with everything.
    got, want = got.double(), want.double()
    return got.shape == want.shape and bool((want.isfinite() & ((got - want).abs() <= atol + rtol * want.abs())).all())


def agree(a: Any, b: Any, rtol: float = 1e-4, atol: float = 5e-5) -> bool:
    """Whether two parts of outputs are the same: nested values, tensors up to rounding, summaries up to chance."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            return False
        a, b = a.double(), b.double()
        same = (a == b) | (a.isnan() & b.isnan())
        return bool((same | (b.isfinite() & ((a - b).abs() <= atol + rtol * b.abs()))).all())
    if isinstance(a, Summary) and isinstance(b, Summary):
        if a.values.shape != b.values.shape:
            return False
        error = SIGMAS * (a.errors**2 + b.errors**2).sqrt()
        return bool(((a.values - b.values).abs() <= error + atol + rtol * b.values.abs()).all())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(agree(a[k], b[k], rtol, atol) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(agree(x, y, rtol, atol) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= atol + rtol * abs(b)
    return type(a) is type(b) and bool(a == b)


def untouched(given: dict[str, Any], after: dict[str, Tensor]) -> bool:
    """Whether the arguments are after the call what they were before."""
    return all(torch.equal(given[name], value) for name, value in after.items())


def shown(values: Tensor) -> str:
    """The first entries of a tensor, for people."""
    flat = values.flatten()
    text = ", ".join(f"{float(v):.4g}" for v in flat[:3])
    return f"shape {list(values.shape)}: {text}{', ...' if flat.numel() > 3 else ''}"


# --- laws of a function --------------------------------------------------------------------------


def value(points: int, *names: str, what: str = "The value", shape: str = "one value for each example",
          random: str = "state_drifts", rtol: float = 1e-4, atol: float = 5e-5) -> Behavior:
    """The right value in each of these cases, twice the same, with the arguments left alone.

    Arguments:
        names: the cases, the first of the inputs first.
        what: the value's name. shape: which shape it has, in words.
        random: the mistake whose sign is that two calls differ.
    """

    def judge(seen: Seen) -> Finding:
        for name in names:
            got, given = seen.outputs[name], seen.inputs["cases"][name]
            if "trouble" in got:
                shapes = ", ".join(f"{n} of shape {list(v.shape)}" for n, v in given.items() if isinstance(v, Tensor))
                return failed("value", got["trouble"] if name == names[0] else f"With {shapes}: {got['trouble']}")
            if name == names[0] and varies(seen, name):
                return failed("value", "Two calls with the same arguments differ.", random, shown(got["value"]), shown(got["again"]))
            if fault := differs(got["value"], seen.right[name]["value"], what, shape, rtol, atol):
                return fault if untouched(given, got["after"]) else replace(fault, also=("changes_its_inputs",))
            if not untouched(given, got["after"]):
                return failed("value", "Your code changes its arguments in place.", "changes_its_inputs")
        return passed("value", f"{what} is right for each example.")

    return Behavior("value", points, judge, lambda outputs: [outputs[name]["value"] for name in names], rtol=rtol, atol=atol)


def differs(got: Tensor, want: Tensor, what: str, shape: str, rtol: float, atol: float) -> Finding | None:
    """How a value is wrong, in plain numbers."""
    if close(got, want, rtol, atol):
        return None
    if got.shape != want.shape:
        message = f"{what} must have {shape}, shape {list(want.shape)}; yours has shape {list(got.shape)}."
    elif not got.isfinite().all():
        message = f"{what} is not finite everywhere: there is NaN or infinity in it."
    elif constant(got, want):
        by = float((got.double() - want).mean())
        message = f"{what} is off by the same number everywhere: {abs(by):.4g} too {'high' if by > 0 else 'low'}."
    else:
        message = f"{what} is wrong."
    return failed("value", message, None, shown(want), shown(got))


def varies(seen: Seen, case: str) -> bool:
    """Whether two calls with the same arguments gave different values."""
    got = seen.outputs[case]
    return got["value"].shape == got["again"].shape and not agree(got["value"], got["again"])


def near(got: Tensor, want: Tensor) -> bool:
    """Whether an estimate is right to a fifth of its length."""
    return got.shape == want.shape and float((got - want).norm()) <= 0.2 * float(want.norm())


def constant(got: Tensor, want: Tensor) -> bool:
    """Whether every entry is off by one and the same number."""
    off = got.double() - want
    return off.numel() > 1 and float(off.max() - off.min()) <= 1e-4 * float(1 + off.abs().mean())


def extremes(points: int, name: str, what: str, sign: str, rtol: float = 1e-4, atol: float = 1e-3) -> Behavior:
    """The right value in a case where careless arithmetic overflows, underflows or saturates.

    Arguments:
        what: how the arguments are, in words that go behind "With".
        sign: the mistake whose sign is that this fails.
    """

    def judge(seen: Seen) -> Finding:
        got, want = seen.outputs[name], seen.right[name]["value"]
        if "trouble" in got:
            return failed("extremes", f"With {what}: {got['trouble']}", sign)
        usual = next(iter(seen.inputs["cases"]))
        estimate = varies(seen, usual) and near(got["value"], want)
        if estimate or close(got["value"], want, rtol, atol):
            return passed("extremes", f"{what[0].upper()}{what[1:]} are no trouble.")
        finite = bool(got["value"].isfinite().all())
        # What is finite and wrong where the usual value is wrong, too, is no sign of careless arithmetic.
        careless = not finite or close(seen.outputs[usual]["value"], seen.right[usual]["value"], rtol)
        said = f"With {what} the value is {'wrong' if finite else 'not finite'}."
        return failed("extremes", said, sign if careless else None, shown(want), shown(got["value"]))

    def sound(view: Any) -> bool:
        return isinstance(view, Tensor) and bool(view.isfinite().all())

    return Behavior("extremes", points, judge, lambda outputs: outputs[name]["value"], after="value", sound=sound, rtol=rtol, atol=atol)


def gradient(points: int, case: str, rtol: float = 1e-3, atol: float = 3e-3, sign: str = "without_gradient") -> Behavior:
    """The gradient of the first case's value with respect to the arguments that the inputs name.

    Arguments:
        sign: the mistake whose sign is that there is none.
    """

    def judge(seen: Seen) -> Finding:
        got, want = seen.outputs[case]["slopes"], seen.right[case]["slopes"]
        expected = f"gradients for {', '.join(want)}"
        if "trouble" in got:
            return failed("gradient", got["trouble"], None, expected)
        if not got:
            return failed("gradient", "The result carries no gradient.", sign, expected, "none")
        missing = [name for name in want if got[name] is None]
        if missing:
            return failed("gradient", f"No gradient reaches {', '.join(missing)}.", sign, expected, "none for these")
        if not untouched(seen.inputs["cases"][case], seen.outputs[case]["after"]):  # the gradient is that of other arguments
            return passed("gradient", "It carries gradients.")
        # An estimate has the gradient of an estimate: to a fifth of its length.
        right = near if varies(seen, case) else (lambda a, b: close(a, b, rtol, atol))
        wrong = [name for name, slope in want.items() if not right(got[name], slope)]
        if wrong:
            return failed("gradient", f"The gradient for {', '.join(wrong)} is not that of the right value.", None, expected, "another")
        return passed("gradient", "The gradients are right.")

    def sound(view: Any) -> bool:
        return bool(view) and "trouble" not in view

    return Behavior("gradient", points, judge, lambda outputs: outputs[case]["slopes"], after="value", sound=sound, rtol=rtol, atol=atol)


# --- mistakes that every exercise may have -------------------------------------------------------

GENERAL = {mistake.name: mistake for mistake in (
    Mistake("changes_its_inputs", "An argument is changed in place.",
            "Methods ending in an underscore, and +=, overwrite: make a new tensor.", wrapped("(value, given[0].data.mul_(0.5))[0]")),
    Mistake("without_gradient", "The result carries no gradient.",
            "Training needs the graph: no detach, no no_grad, no .item(), no NumPy on the way.", wrapped("value.detach()")),
    Mistake("state_drifts", "The result changes from call to call.", "Calls must not change anything: compute from the arguments alone.",
            wrapped("value * len(calls)", "calls.append(1)").replace("def wrap(right):", "def wrap(right, calls=[0]):")),
    Mistake("summed_over_the_batch", "The examples of the batch are added up or averaged.",
            "Keep one value for each example; only a loss takes the mean over the batch.", wrapped("value.sum()"), wrapped("value.mean()")),
    Mistake("bits_for_nats", "The value is in bits.", "Nats use the natural logarithm.", wrapped("value / 0.6931471805599453")),
)}


def general(*names: str) -> tuple[Mistake, ...]:
    """General mistakes by their names."""
    return tuple(GENERAL[name] for name in names)

