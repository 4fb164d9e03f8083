"""Unit 02: importance sampling. The one list of its exercises, in their order."""

NUMBER = 2
TITLE = "Importance sampling"
MODULES = (
    "importance_estimate",
    "weights",
    "log_weights",
    "bound",
    "bounds_table",
    "log_likelihood",
    "active_units",
    "resample",
    "dreg",
)

# What the solutions use; the exercise notebook's first cell provides it there. One that calls an earlier exercise's adds that.
PREAMBLE = """\
import math

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal

import elbolab.inference


"""
