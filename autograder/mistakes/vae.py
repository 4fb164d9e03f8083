"""Unit 01: solutions, mistakes and unusual solutions that are right, gathered from the modules beside this one."""

from __future__ import annotations

from autograder.mistakes import apply, vae_functions, vae_gaussian, vae_inference
from autograder.mistakes.vae_variants import VARIANTS

__all__ = ["MISTAKES", "PREAMBLE", "SOLUTIONS", "VARIANTS", "apply"]

# What a file of its own needs before any of these sources; the exercise notebook's first cell provides it there.
PREAMBLE = """\
import math

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution


def reduce(x: Tensor) -> Tensor:
    return x.flatten(1).sum(dim=1)


"""

SOLUTIONS = {
    vae_gaussian.TARGET: vae_gaussian.SOLUTION,
    vae_inference.TARGET: vae_inference.SOLUTION,
} | vae_functions.SOLUTIONS

# In the order of the exercises.
MISTAKES = (*vae_gaussian.MISTAKES, *vae_inference.MISTAKES, *vae_functions.MISTAKES)
