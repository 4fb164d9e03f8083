"""Unit 02: solutions, mistakes and unusual solutions that are right, gathered from the modules beside this one."""

from __future__ import annotations

from autograder.mistakes import apply, iwae_bound, iwae_functions, iwae_likelihood
from autograder.mistakes.iwae_variants import VARIANTS

__all__ = ["MISTAKES", "PREAMBLE", "SOLUTIONS", "VARIANTS", "apply"]

SOLUTIONS = iwae_functions.SOLUTIONS | iwae_bound.SOLUTIONS | iwae_likelihood.SOLUTIONS

# What the exercise notebook holds before each of these cells: imports, and the functions of earlier exercises.
PREAMBLE = f"""\
import math

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal

import elbolab.inference


{SOLUTIONS["normalized_weights"]}

{SOLUTIONS["log_weights"]}

"""

# In the order of the exercises.
MISTAKES = (*iwae_functions.MISTAKES, *iwae_bound.MISTAKES, *iwae_likelihood.MISTAKES)
