"""Exercise 1a: samples of a diagonal Gaussian that carry gradients. Is their noise N(0, 1), and new for each element and each call?"""

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.laws import SIGMAS, Summary, close, untouched
from autograder.exercises.pictures import histogram
from autograder.units.vae import PREAMBLE
from autograder.units.vae.gaussian import EPSILON, SHARED, SOLUTION, VARIANTS, draw_parameters
from autograder.units.vae.probes import probe_rsample

# One level of log_sigma for each column: narrow enough for sigma + 1e-3 to show, and inside any clamp at +-10.
LEVELS = (-5.3, -3.0, -1.5, -0.7, 0.6, 1.4)
CALLS, FEW = 48, 12  # of each of two instances; the fewer rule out most of the mistakes that it is not


def draw(rng: torch.Generator) -> dict[str, Any]:
    mu, log_sigma = draw_parameters(rng, LEVELS, rows=32, repeat=4)
    return {"mu": mu, "log_sigma": log_sigma, "weights": 1 + torch.rand(mu.shape, generator=rng), "calls": CALLS,
            "seed": int(torch.randint(2**31, (), generator=rng))}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first calls of both instances."""
    draws = torch.cat([outputs["draws"][:FEW], outputs["draws"][CALLS : CALLS + FEW]])
    return inputs | {"calls": FEW}, {name: value for name, value in outputs.items() if name != "noise"} | {"draws": draws}


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


def form(outputs: dict[str, Any]) -> list[Any]:
    return [list(outputs["draws"].shape[1:]), outputs["of_size_one"], str(outputs["draws"].dtype)]


def drawn(outputs: dict[str, Any]) -> list[Any]:
    """A view: the form and, where there is a number for each element, the noise."""
    whole = outputs["draws"][0].numel() == outputs["given"]["mu"].numel()
    return [form(outputs), noise(outputs).summary if whole else None]


def judge_distribution(seen: Seen) -> Finding:
    finding = judge_samples(seen)
    if untouched(seen.inputs, seen.outputs["after"]):
        return finding
    if finding.passed:
        return failed("distribution", "Your code changes mu or log_sigma in place.", "changes_its_inputs")
    return replace(finding, also=("changes_its_inputs",))


def judge_samples(seen: Seen) -> Finding:
    wanted, got = [list(seen.inputs["mu"].shape), [[1, 3], [3, 1]], "torch.float32"], form(seen.outputs)
    if got != wanted:
        return failed("distribution", "A sample must have the shape of mu, dimensions of size one too, and its dtype.", None,
                      ", ".join(map(str, wanted)), ", ".join(map(str, got)))
    if not seen.outputs["draws"].isfinite().all():
        return failed("distribution", "Some of your samples are not finite numbers (NaN or infinity).")
    e = noise(seen.outputs)
    if not e.fault:
        return passed("distribution", "Your samples follow N(mu, sigma^2).")
    messages = {"no spread": "Your samples have no spread.", "spread": "The spread of your samples is not sigma = exp(log_sigma).",
                "mean": "Your samples are not centered on mu.", "shape": "The noise has the right mean and spread but is not Gaussian."}
    return failed("distribution", messages[e.fault], None, "mean of (z - mu)/sigma 0, standard deviation 1",
                  f"mean {float(e.values.mean()):+.2f}, standard deviation {float(e.values.std()):.2f}")


def judge_noise(seen: Seen) -> Finding:
    if seen.outputs["draws"][0].numel() != seen.inputs["mu"].numel():
        return failed("noise", "Judged once the samples have the shape of mu.")
    expected, sharing = "a new epsilon for each element, in each call", noise(seen.outputs).sharing
    if noise(seen.outputs).n == 1:
        return failed("noise", "Your samples have no noise in them.", None, expected, "the same value everywhere")
    for name, message in (("calls", "Another call, or another instance, gives samples that were drawn before."),
                          ("rows", "The rows of the batch share their noise; it must be independent."),
                          ("columns", "The latent dimensions of an example share their noise; it must be independent.")):
        if sharing[name]:
            return failed("noise", message, None, expected, f"the same noise in different {name}")
    return passed("noise", "Each element has noise of its own, new in each call.")


def slopes(outputs: dict[str, Any]) -> dict[str, str]:
    """Of each parameter whether no gradient reaches it, that of mu + sigma * epsilon, or another one."""
    got = outputs["gradient"]
    if "z" not in got:
        return dict.fromkeys(outputs["given"], "none")
    distance = got["z"] - outputs["given"]["mu"]

    def said(slope: Tensor | None, right: Tensor) -> str:
        return "none" if slope is None or not slope.any() else "right" if close(slope, right, 2e-3, 2e-5) else "another"

    return {"mu": said(got["mu"], torch.ones_like(distance)), "log_sigma": said(got["log_sigma"], distance)}


def judge_gradient(seen: Seen) -> Finding:
    expected = "dz/dmu = 1, dz/dlog_sigma = z - mu"
    if "trouble" in seen.outputs["gradient"]:
        return failed("gradient", seen.outputs["gradient"]["trouble"], None, expected)
    for name, found in slopes(seen.outputs).items():
        if found != "right":
            message = f"No gradient reaches {name}." if found == "none" else f"The gradient for {name} is not that of mu + sigma * epsilon."
            return failed("gradient", message, None, expected, found)
    return passed("gradient", "The gradient reaches mu and log_sigma.")


START, BEGIN = "super().__init__(batch_shape=mu.shape, validate_args=False)\n", 'to mu and log_sigma, shape of mu."""\n'

MISTAKES = (
    *SHARED,
    Mistake("constant_epsilon", "There is no random noise in the sample.",
            "epsilon is a fresh draw from N(0, 1) for each element; a constant makes the model an ordinary autoencoder.",
            (EPSILON, "torch.ones_like(self.mu)"), (EPSILON, "torch.zeros_like(self.mu)")),
    Mistake("seeded_epsilon", "The same noise comes again in every call.",
            "Draw epsilon inside rsample, and set no seed there: a seed belongs at the top of an experiment, once.",
            (BEGIN, f"{BEGIN}        torch.manual_seed(42)\n"), (START, f"{START}        torch.manual_seed(42)\n"),
            ((START, f"{START}        self.epsilon = torch.randn_like(mu)\n"), (EPSILON, "self.epsilon"))),
    Mistake("one_epsilon_for_the_batch", "One epsilon is shared by the whole batch.",
            "Draw epsilon with the full shape of mu: torch.randn_like(mu).", (EPSILON, "torch.randn(self.mu.shape[-1])")),
    Mistake("one_epsilon_for_all_dimensions", "One epsilon is shared by all latent dimensions of an example.",
            "Draw epsilon with the full shape of mu: q is diagonal.", (EPSILON, "torch.randn(*self.mu.shape[:-1], 1)")),
    Mistake("uniform_epsilon", "epsilon is uniform where a Gaussian is needed.", "torch.rand is uniform; torch.randn is standard normal.",
            *((EPSILON, f"{width} * (torch.rand_like(self.mu) - {shift})") for width, shift in ((1, 0), (12**0.5, 0.5), (2, 0.5)))),
    Mistake("not_gaussian", "epsilon is not Gaussian.", "Use torch.randn_like(mu), or the given sample_epsilon().",
            (EPSILON, "torch.distributions.Laplace(0.0, math.sqrt(0.5)).sample(self.mu.shape)"),
            (EPSILON, "torch.randn_like(self.mu).sign()")),
    Mistake("wrong_epsilon", "epsilon does not have mean 0 and standard deviation 1.",
            "Use torch.randn_like(mu), or the given sample_epsilon(), without scaling it.",
            *((EPSILON, f"torch.randn_like(self.mu){change}") for change in (" * 0.1", " * 0.5", " * 2", ".abs()"))),
    Mistake("sample_without_gradient", "The sample is cut off from mu and log_sigma: rsample runs under no_grad or detaches.",
            "Only `sample` may use torch.no_grad(): rsample needs a graph.", ("    def rsample", "    @torch.no_grad()\n    def rsample")),
    Mistake("gradient_cut_off", "Only one of mu and log_sigma receives a gradient.",
            "Neither may be detached or turned into a new tensor: z = mu + exp(log_sigma) * epsilon, and nothing else.",
            ("+ self.sigma *", "+ self.sigma.detach() *"), ("self.mu + self", "self.mu.detach() + self")),
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The noise at the level of sigma where it is furthest off."""
    e = noise(outputs)
    if not e.fault:
        raise ValueError("nothing is wrong that could be seen")
    level = int(((e.size - 1).abs() + e.mean.abs()).argmax())
    sigma = float(inputs["log_sigma"][0, level].exp())
    right = torch.randn(len(e.levels[level]), generator=torch.Generator().manual_seed(0))
    return histogram(ax, e.levels[level], right, f"(z - mu) / sigma, where sigma is {sigma:.2g}")


EXERCISES = (
    Exercise(name="vae.gaussian_rsample", target="ReparameterizedDiagonalGaussian",
        title="Samples of a diagonal Gaussian that carry gradients", read_on="Lecture 01, the reparameterization trick", solution=SOLUTION,
        preamble=PREAMBLE, draw=draw, probe=probe_rsample, brief=brief,
        laws=(
            Behavior("distribution", 2, judge_distribution, drawn),
            Behavior("noise", 1, judge_noise, lambda outputs: [noise(outputs).fault, noise(outputs).sharing], after="distribution",
                     sound=lambda view: not any(view[1].values())),
            Behavior("gradient", 1, judge_gradient, slopes, after="distribution", sound=lambda view: "none" not in view.values()),
        ), mistakes=MISTAKES, variants=VARIANTS, picture=picture,
        hints=(
            "Write a sample of N(mu, sigma^2) as a function of mu, sigma and a random number that depends on neither.",
            "If epsilon ~ N(0, 1), sigma * epsilon has standard deviation sigma. `self.sample_epsilon()` draws it with the shape of mu.",
            "return self.mu + self.sigma * self.sample_epsilon(), with self.sigma = log_sigma.exp().",
        )),
)
