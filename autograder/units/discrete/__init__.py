"""Unit 04: discrete latents. The one list of its exercises, in their order."""

NUMBER = 4
TITLE = "Discrete latents"
MODULES = ("terms", "enumeration", "score", "negative_elbo", "relaxed", "measured", "vimco")

# What the solutions use; the exercise notebook's first cell provides it there. One that calls an earlier exercise's adds that.
PREAMBLE = """\
import math

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical


"""
