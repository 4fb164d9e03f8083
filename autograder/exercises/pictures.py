"""The picture of an answer that failed: what the student's code gave, beside what is right."""

import base64
import io
import warnings
from typing import Any

from torch import Tensor

from autograder.exercises.exercise import Exercise

__all__ = ["RIGHT", "YOURS", "bars", "furthest", "picture_of"]

# Apart for the color-blind (Okabe and Ito 2008).
YOURS, RIGHT = "#0072b2", "#d55e00"
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.5}


def picture_of(exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, str] | None:
    """A PNG as base64 with its text alternative, ``{"png", "alt"}``; None where there is nothing to be seen.

    It has a white ground of its own, so that it reads on light and on dark pages.
    """
    if exercise.picture is None:
        return None
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that were not asked for; a warning in a test cell costs its points
        figure = Figure(figsize=(4.4, 2.4), dpi=100, facecolor="white", layout="constrained")
        try:
            alt = exercise.picture(figure.add_subplot(), inputs, outputs)
            file = io.BytesIO()
            FigureCanvasAgg(figure).print_png(file)
        except Exception:  # values of another shape, NaN, nothing at all: then words have to do
            return None
    return {"png": base64.b64encode(file.getvalue()).decode(), "alt": alt}


def bars(ax: Any, got: Tensor, right: Tensor, across: str, up: str) -> None:
    """Yours beside what is right, numbered from 1."""
    if got.shape != right.shape or not got.isfinite().all():
        raise ValueError("nothing to draw")
    numbers = range(1, len(got) + 1)
    ax.bar([n - 0.2 for n in numbers], got.tolist(), 0.4, color=YOURS, label="yours")
    ax.bar([n + 0.2 for n in numbers], right.tolist(), 0.4, color=RIGHT, label="right")
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(numbers)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
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
