"""Pictures as numbers and words, noted while a class is graded and drawn where somebody looks at them."""

import base64
import io
import json
import math
import warnings
from typing import Any

import numpy as np

__all__ = ["METHODS", "CannotDraw", "Sketch", "drawn"]

# Of matplotlib's axes. With `hist`, they are what pictures are drawn with.
METHODS = ("axhline", "axhspan", "bar", "legend", "plot", "set", "set_xlabel", "set_xticks", "set_ylabel", "set_yscale", "stairs")
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.5}
MOST = 200_000  # characters of one picture


class CannotDraw(Exception):
    """An exercise's picture asks for more than there is to draw with."""


class Sketch:
    """Stands in for the axes that a picture is drawn on: keeps what is drawn, in numbers and words."""

    def __init__(self):
        self.steps: list[list[Any]] = []

    def __getattr__(self, method: str) -> Any:
        if method not in METHODS:
            raise CannotDraw(f"a picture is drawn with hist, {', '.join(METHODS)}; there is no `{method}`.")
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
