"""The picture of an answer that failed: what the student's code gave, beside what is right."""

from __future__ import annotations

import base64
import io
from typing import Any

from autograder.exercises.exercise import Exercise

__all__ = ["RIGHT", "YOURS", "picture_of"]

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

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.4), dpi=100, facecolor="white", layout="constrained")
        try:
            alt = exercise.picture(figure.add_subplot(), inputs, outputs)
            file = io.BytesIO()
            FigureCanvasAgg(figure).print_png(file)
        except Exception:  # values of another shape, NaN, nothing at all: then words have to do
            return None
    return {"png": base64.b64encode(file.getvalue()).decode(), "alt": alt}
