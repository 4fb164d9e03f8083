"""The picture of an answer that failed: what the student's code gave, beside what is right."""

from typing import Any

import torch
from torch import Tensor

from autograder.drawing import Sketch
from autograder.exercises.exercise import Exercise

__all__ = ["RIGHT", "YOURS", "bars", "furthest", "histogram", "picture_of"]

# Apart for the color-blind (Okabe and Ito 2008).
YOURS, RIGHT = "#0072b2", "#d55e00"


def picture_of(exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any] | None:
    """What is to be drawn, and the same in words, ``{"steps", "alt"}``; None where there is nothing to be seen."""
    if exercise.picture is None:
        return None
    sketch = Sketch()
    try:
        alt = exercise.picture(sketch, inputs, outputs)
    except Exception:  # values of another shape, NaN, nothing at all: then words have to do
        return None
    return {"steps": sketch.steps, "alt": alt}


def bars(ax: Any, got: Tensor, right: Tensor, across: str, up: str) -> None:
    """Yours beside what is right, numbered from 1."""
    if got.shape != right.shape or not got.isfinite().all():
        raise ValueError("nothing to draw")
    numbers = range(1, len(got) + 1)
    ax.bar([n - 0.2 for n in numbers], got, 0.4, color=YOURS, label="yours")
    ax.bar([n + 0.2 for n in numbers], right, 0.4, color=RIGHT, label="right")
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set(xticks=numbers, xlabel=across, ylabel=up)
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)  # above, where no bar is


def furthest(ax: Any, got: Tensor, right: Tensor, across: str, up: str) -> str:
    """Bars of the row, along the last dimension, that is furthest off; the same in words."""
    if got.shape != right.shape:
        raise ValueError("nothing to draw")
    got, right = got.double().reshape(-1, got.shape[-1]), right.double().reshape(-1, right.shape[-1])
    row = int((got - right).abs().sum(-1).argmax())
    bars(ax, got[row], right[row], across, up)
    numbers = [", ".join(f"{float(v):.3g}" for v in values[row]) for values in (got, right)]
    return f"{up[0].upper()}{up[1:]}, by {across}. Yours: {numbers[0]}. Right: {numbers[1]}."


def histogram(ax: Any, got: Tensor, right: Tensor, across: str) -> str:
    """How yours are spread, beside how the right ones are; the same in words."""
    if got.numel() < 2 or not got.isfinite().all():
        raise ValueError("nothing to draw")
    got, right = got.double().flatten(), right.double().flatten()
    ends = torch.cat([got, right]).quantile(torch.tensor([0.005, 0.995], dtype=torch.float64))
    bins = torch.linspace(*ends.tolist(), 60).tolist()
    ax.hist(right, bins, density=True, color=RIGHT, alpha=0.5, label="right")
    ax.hist(got, bins, density=True, histtype="step", color=YOURS, label="yours")
    ax.set(xlabel=across, ylabel="density")
    ax.legend(fontsize=7, loc="upper right")
    said = [f"mean {float(values.mean()):.3f} and standard deviation {float(values.std()):.3f}" for values in (got, right)]
    return f"Yours have {said[0]}; right are {said[1]}."
