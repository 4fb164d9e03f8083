"""The checks of ELBO Lab: `check` an exercise, open a `hint`, see your `progress`."""

from autograder.notebook import check, hint, progress

__all__ = ["check", "hint", "progress"]
