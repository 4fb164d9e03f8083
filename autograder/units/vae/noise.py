"""The noise in samples of a Gaussian: is it N(0, 1), and is it new for each element and in each call?"""

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.laws import SIGMAS, Summary

# One level of log_sigma for each column: narrow enough for sigma + 1e-3 to show, and inside any clamp at +-10.
LEVELS = (-5.3, -3.0, -1.5, -0.7, 0.6, 1.4)


class Noise:
    """epsilon = (z - mu) / sigma of the samples in outputs, and what is wrong with it, if anything.

    Attributes:
        values: epsilon, (calls, rows, columns). levels: the same by level of sigma, (levels, draws). mean, size: of each level.
        n: how many of the draws of one level are independent.
    """

    POINTS = torch.arange(-2.5, 2.6, 0.5, dtype=torch.float64)

    def __init__(self, draws: Tensor, mu: Tensor, log_sigma: Tensor):
        self.deviation = draws.double().reshape(len(draws), *mu.shape) - mu.double()
        self.values = self.deviation * (-log_sigma.double()).exp()
        self.levels = self.by_level(self.values)
        self.mean = self.levels.mean(1)
        self.size = self.levels.square().mean(1).sqrt().clamp_min(1e-12)  # the root of the mean square
        self.first = sorted({call.numpy().tobytes(): number for number, call in enumerate(self.deviation)}.values())
        self.calls = len(self.first)
        self.rows, self.columns = (float(self.own.std(dim).median()) > 0.02 for dim in (1, 2))
        repeats = mu.shape[1] // len(LEVELS)
        self.n = self.calls * (len(mu) if self.rows else 1) * (repeats if self.columns else 1)
        self.n_of_all = self.n * (len(LEVELS) if self.columns else 1)

    @staticmethod
    def by_level(values: Tensor) -> Tensor:
        return values.unflatten(2, (-1, len(LEVELS))).movedim(3, 0).flatten(1)

    @cached_property
    def own(self) -> Tensor:
        """The noise in units of its own mean and size, so that a wrong sigma is not taken for wrong noise."""
        own = self.deviation - self.deviation.mean(0) if self.calls > 1 else self.deviation
        return own / self.by_level(own).square().mean(1).sqrt().clamp_min(1e-12).repeat(own.shape[2] // len(LEVELS))

    @cached_property
    def below(self) -> Tensor:
        """Which part of it, in units of its own size, is below each of the points."""
        scaled = (self.levels / self.size[:, None]).flatten().contiguous()
        counts = torch.bincount(torch.bucketize(scaled, self.POINTS), minlength=len(self.POINTS) + 1)
        return counts.cumsum(0)[:-1].double() / len(scaled)

    @property
    def summary(self) -> Summary:
        """What two ways to draw the same noise have in common, however the numbers came about."""
        variances = [self.levels.var(1) / self.n, self.levels.square().var(1) / (4 * self.size**2 * self.n),
                     self.below * (1 - self.below) / self.n_of_all]
        return Summary(torch.cat([self.mean, self.size, self.below]), torch.cat(variances).sqrt())

    @cached_property
    def fault(self) -> str:
        """What the law N(0, 1) finds wrong first. Each of 23 numbers is held to 6.5 standard errors."""
        normal = 0.5 * torch.erfc(-self.POINTS / math.sqrt(2))
        off = {"spread": (self.size - 1) * math.sqrt(2 * self.n), "mean": self.mean * math.sqrt(self.n),
               "shape": (self.below - normal) / (normal * (1 - normal) / self.n_of_all).sqrt()}
        return "no spread" if self.n == 1 else next((name for name, errors in off.items() if float(errors.abs().max()) > SIGMAS), "")

    @cached_property
    def sharing(self) -> dict[str, int | bool]:
        """Which draws are no new ones: how many calls are repeated exactly, whether rows or columns share their noise. Anything subtler
        than one noise for all of them shows in averages, whose squares are chi-squared (6.5 standard deviations: a false alarm in 1e7)."""

        def score(values: Tensor) -> float:
            """How many standard deviations the mean square of standard normals is too large (Wilson and Hilferty 1931)."""
            n = values.numel()
            return float((values.square().mean() ** (1 / 3) - (1 - 2 / (9 * n))) / math.sqrt(2 / (9 * n)))

        new = self.own[self.first][:, : None if self.rows else 1, : None if self.columns else 1]
        scores = [score(new.mean(dim) * math.sqrt(new.shape[dim]) / new.square().mean().sqrt()) for dim in (1, 2)]
        return {"calls": len(self.values) - self.calls, "rows": not self.rows or scores[0] > SIGMAS,
                "columns": not self.columns or scores[1] > SIGMAS}


def noise(outputs: dict[str, Any]) -> Noise:
    """The noise, computed once for all laws."""
    if "noise" not in outputs:
        outputs["noise"] = Noise(outputs["draws"], *outputs["given"].values())
    return outputs["noise"]
