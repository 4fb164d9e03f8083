"""Unit 04: solutions, mistakes and unusual solutions that are right, gathered from the modules beside this one."""

from __future__ import annotations

from autograder.mistakes import apply, discrete_blocks, discrete_estimators, discrete_objectives
from autograder.mistakes.discrete_variants import VARIANTS

__all__ = ["MISTAKES", "PREAMBLE", "SOLUTIONS", "VARIANTS", "apply"]

SOLUTIONS = discrete_blocks.SOLUTIONS | discrete_estimators.SOLUTIONS | discrete_objectives.SOLUTIONS

# What a file of its own needs before any of these sources; in the notebook the first cell and exercise 1a provide it.
PREAMBLE = f"""\
import math

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical


{SOLUTIONS["categorical_kl"]}

"""

# In the order of the exercises.
MISTAKES = (*discrete_blocks.MISTAKES, *discrete_estimators.MISTAKES, *discrete_objectives.MISTAKES)
