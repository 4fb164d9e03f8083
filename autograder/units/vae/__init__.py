"""Unit 01: the variational autoencoder. The one list of its exercises, in their order."""

NUMBER = 1
TITLE = "The variational autoencoder"
MODULES = (
    "gaussian_rsample",
    "gaussian",
    "bernoulli",
    "elbo",
    "gaussian_kl",
    "estimators",
    "experiments",
)

# What the solutions use; the exercise notebook's first cell provides it there.
PREAMBLE = """\
import math

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution


def reduce(x: Tensor) -> Tensor:
    return x.flatten(1).sum(dim=1)


"""
