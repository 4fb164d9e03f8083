"""The switch for short runs: with the environment variable ELBOLAB_FAST=1 every training is short, and nothing is downloaded.

Grading and tests set it.
"""

import os

__all__ = ["budget", "fast"]

FAST_EPOCHS, FAST_STEPS = 4, 100


def fast() -> bool:
    """Is the environment variable ELBOLAB_FAST set (to anything but 0)?"""
    return os.environ.get("ELBOLAB_FAST", "0") not in ("", "0")


def budget(epochs: int) -> int:
    """The epochs that `training.fit` really trains: as asked, or at most FAST_EPOCHS under ELBOLAB_FAST=1."""
    return min(epochs, FAST_EPOCHS) if fast() else epochs
