"""The picture of an answer that failed: what the student's code gave, beside what is right.

The grader keeps what an exercise's `picture` draws as plain values; it becomes a picture where somebody looks at it.
"""

import base64
import io
import json
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # feedback pages draw without torch
    from torch import Tensor

    from autograder.exercises.exercise import Exercise

__all__ = ["RIGHT", "YOURS", "bars", "drawn", "furthest", "picture_of"]

# Apart for the color-blind (Okabe and Ito 2008).
YOURS, RIGHT = "#0072b2", "#d55e00"
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.5}
METHODS = ("axhline", "axhspan", "bar", "legend", "plot", "set", "set_xlabel", "set_xticks", "set_ylabel", "set_yscale", "stairs")
MOST = 200_000  # characters of one picture


class Sketch:
    """Stands in for the axes that a picture is drawn on: keeps what is drawn, in numbers and words."""

    def __init__(self):
        self.steps: list[list[Any]] = []

    def __getattr__(self, method: str) -> Any:
        if method not in METHODS:
            raise AttributeError(f"A picture is drawn with hist, {', '.join(METHODS)}; there is no `{method}`.")
        return lambda *values, **named: self.steps.append([method, plain(values), plain(named)])

    def hist(self, values: Any, bins: Any = 60, range: Any = None, density: bool = False, histtype: str = "bar", **style: Any) -> None:
        """Of a histogram the bins' heights are kept."""
        heights, edges = np.histogram(np.asarray(values), bins, range, density)
        self.stairs(heights, edges, fill=histtype == "bar", **style)


def plain(value: Any) -> Any:
    """The same as lists, numbers to five digits, and words."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("nothing to draw")
        return float(f"{value:.5g}")
    return value


def picture_of(exercise: "Exercise", inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any] | None:
    """What is to be drawn, and the same in words, ``{"steps", "alt"}``; None where there is nothing to be seen."""
    sketch = Sketch()
    try:
        alt = exercise.picture(sketch, inputs, outputs)
    except Exception:  # there is none; values of another shape, NaN, nothing at all: then words have to do
        return None
    return {"steps": sketch.steps, "alt": alt}


def drawn(picture: dict[str, Any]) -> str | None:
    """The picture as a PNG in base64, on a white ground of its own, so that it reads on light and on dark pages.

    None where it is none: it may come from a file that anybody could write.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that were not asked for; a warning in a test cell costs its points
        figure = Figure(figsize=(4.4, 2.4), dpi=100, facecolor="white", layout="constrained")
        ax, file = figure.add_subplot(), io.BytesIO()
        try:
            steps = json.dumps(picture["steps"]).replace("$", r"\\$")  # words, no formulas
            if len(steps) > MOST or not all(method in METHODS for method, *_ in picture["steps"]):
                return None
            for method, values, named in json.loads(steps):
                getattr(ax, method)(*values, **named)
            FigureCanvasAgg(figure).print_png(file)
        except Exception:
            return None
    return base64.b64encode(file.getvalue()).decode()


def bars(ax: Any, got: "Tensor", right: "Tensor", across: str, up: str) -> None:
    """Yours beside what is right, numbered from 1."""
    if got.shape != right.shape or not got.isfinite().all():
        raise ValueError("nothing to draw")
    numbers = range(1, len(got) + 1)
    ax.bar([n - 0.2 for n in numbers], got, 0.4, color=YOURS, label="yours")
    ax.bar([n + 0.2 for n in numbers], right, 0.4, color=RIGHT, label="right")
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set(xticks=numbers, xlabel=across, ylabel=up)
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)  # above, where no bar is


def furthest(ax: Any, got: "Tensor", right: "Tensor", across: str, up: str) -> str:
    """Bars of the row, along the last dimension, that is furthest off; the same in words."""
    if got.shape != right.shape:
        raise ValueError("nothing to draw")
    got, right = got.double().reshape(-1, got.shape[-1]), right.double().reshape(-1, right.shape[-1])
    row = int((got - right).abs().sum(-1).argmax())
    bars(ax, got[row], right[row], across, up)
    numbers = [", ".join(f"{float(v):.3g}" for v in values[row]) for values in (got, right)]
    return f"{up[0].upper()}{up[1:]}, by {across}. Yours: {numbers[0]}. Right: {numbers[1]}."
