"""The checks of ELBO Lab: `check` an exercise, open a `hint`, see your `progress`."""

import os
from typing import Any

__all__ = ["check", "hint", "progress"]


def __getattr__(name: str) -> Any:
    # torch is imported with the first use: building notebooks and nbgrader's own commands need none of it.
    if name in ("check", "hint", "progress"):
        if os.environ.get("ELBOLAB_GRADING") == "sandbox":  # the grader judges from outside
            from autograder.inside import silent as notebook
        else:
            from autograder import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
