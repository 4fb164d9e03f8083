"""`ReparameterizedDiagonalGaussian`: the class and the mistakes that exercises 1a and 1b share; and 1b, its log-density."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Edit, Exercise, Finding, Mistake, Seen, edits_of, failed
from autograder.exercises.functions import cases
from autograder.exercises.laws import extremes, gradient, value
from autograder.exercises.pictures import furthest
from autograder.units.vae import PREAMBLE
from autograder.units.vae.probes import probe_log_prob

SOLUTION = '''\
class ReparameterizedDiagonalGaussian(Distribution):
    """A Gaussian with independent dimensions, N(z | mu, diag(sigma^2)), that can be sampled with gradients."""

    def __init__(self, mu: Tensor, log_sigma: Tensor):
        assert mu.shape == log_sigma.shape, f"mu has shape {tuple(mu.shape)}, log_sigma {tuple(log_sigma.shape)}"
        super().__init__(batch_shape=mu.shape, validate_args=False)
        self.mu = mu
        self.log_sigma = log_sigma
        self.sigma = log_sigma.exp()

    def sample_epsilon(self) -> Tensor:
        """Noise from N(0, I), shape and dtype of mu."""
        return torch.empty_like(self.mu).normal_()

    def sample(self) -> Tensor:
        """A sample without gradients, shape of mu."""
        with torch.no_grad():
            return self.rsample()

    def rsample(self) -> Tensor:
        """Exercise 1a: a sample that carries gradients to mu and log_sigma, shape of mu."""
        return self.mu + self.sigma * self.sample_epsilon()

    def log_prob(self, z: Tensor) -> Tensor:
        """Exercise 1b: the log-density of each entry of z, shape of z."""
        standardized = (z - self.mu) / self.sigma
        return -0.5 * math.log(2 * math.pi) - self.log_sigma - 0.5 * standardized**2
'''
MU, LOG_SIGMA, SIGMA = "self.mu = mu\n", "self.log_sigma = log_sigma\n", "self.sigma = log_sigma.exp()"
EPSILON = "torch.empty_like(self.mu).normal_()"


def draw_parameters(rng: torch.Generator, levels: Sequence[float], rows: int, repeat: int) -> tuple[Tensor, Tensor]:
    """mu (rows, columns) and log_sigma of the same shape, which cycles through the levels along the columns."""
    mu = 2 * torch.randn(rows, repeat * len(levels), generator=rng)
    shifted = torch.tensor(levels) + 0.2 * torch.rand(len(levels), generator=rng) - 0.1
    return mu, shifted.repeat(repeat).expand(rows, -1).clone()


def sigma(expression: str) -> Edit:
    return SIGMA, f"self.sigma = {expression}"


def both(sample: str, standardized: str) -> tuple[Edit, Edit]:
    """Edits of `rsample` and of `log_prob`."""
    return ("self.mu + self.sigma * self.sample_epsilon()", sample), ("(z - self.mu) / self.sigma", standardized)


SHARED = (
    Mistake("log_variance_for_log_sigma", "log_sigma is read as a log-variance.",
            "sigma = exp(log_sigma), no factor 1/2.", ((LOG_SIGMA, "self.log_sigma = 0.5 * log_sigma\n"), sigma("self.log_sigma.exp()"))),
    Mistake("variance_for_standard_deviation", "The variance stands where the standard deviation belongs.",
            "Noise is scaled by sigma, not sigma squared.", sigma("log_sigma.exp() ** 2")),
    Mistake("log_sigma_for_sigma", "log_sigma is used as if it were sigma.",
            "Take the exponential first: sigma = exp(log_sigma). A standard deviation is never negative.", sigma("log_sigma")),
    Mistake("sigma_plus_constant", "A constant is added to sigma.",
            "exp(log_sigma) is positive already. An added 1e-3 puts a floor under sigma and makes every small variance wrong.",
            sigma("log_sigma.exp() + 1e-3"), sigma("log_sigma.exp() + 1e-2"), sigma("(log_sigma.exp() ** 2 + 1e-3).sqrt()")),
    Mistake("sigma_left_out", "sigma is left out.", "Scale the noise by sigma before mu is added.",
            both("self.mu + self.sample_epsilon()", "z - self.mu")),
    Mistake("softplus_for_exp", "sigma is made with softplus where the exercise says exp.",
            "The second argument is the logarithm of sigma; its inverse is exp.", sigma("nn.functional.softplus(log_sigma)")),
    Mistake("precision_for_sigma", "1 / sigma stands where sigma belongs.", "Multiply the noise by sigma = exp(log_sigma).",
            sigma("1 / log_sigma.exp()")),
    Mistake("wrong_mean", "The mean is not mu.", "z = mu + sigma * epsilon: mu is added once, as it is.",
            both("self.sigma * self.sample_epsilon()", "z / self.sigma")),
    Mistake("changes_its_inputs", "The parameters that were handed in are changed in place.",
            "Methods ending in an underscore, as exp_, overwrite their tensor. Use exp().", sigma("log_sigma.exp_()")),
    Mistake("wrong_shape", "The result has the wrong shape.", "Work elementwise and keep the shape of mu: no reduction, no unsqueeze.",
            *((MU, f"mu, log_sigma = mu{to}, log_sigma{to}\n        {MU}") for to in (".squeeze()", "[None]"))),
    Mistake("wrong_dtype", "The result has another dtype than the parameters.",
            "Stay in torch: NumPy makes float64. torch.randn_like(mu) has the dtype and device of mu.", (MU, "self.mu = mu.double()\n"),
            ("return self.mu + self.sigma * self.sample_epsilon()", "return (self.mu + self.sigma * self.sample_epsilon()).double()")),
)

VARIANTS = {  # unusual solutions that are right
    "torch's Normal": """\
class ReparameterizedDiagonalGaussian(torch.distributions.Normal):
    def __init__(self, mu, log_sigma):
        super().__init__(mu, torch.exp(log_sigma))
""",
    "Box and Muller, and float64 inside": (
        (EPSILON, "torch.sqrt(-2 * torch.log(1 - torch.rand_like(self.mu))) * torch.cos(2 * math.pi * torch.rand_like(self.mu))"),
        ("(z - self.mu) / self.sigma", "((z.double() - self.mu.double()) / self.sigma.double()).to(z.dtype)")),
}

# --- exercise 1b: the log-density, element by element ----------------------------------------------

# Exact values need no narrow sigma, and a stabilizer of 1e-5 is as good as rounding here.
LEVELS = (-1.0, -0.6, -0.2, 0.3, 0.8, 1.4)
CURVE = torch.linspace(-4, 4, 41)[None]  # z of one distribution, in units of sigma; a row, whose shape is easily lost


def draw(rng: torch.Generator) -> dict[str, Any]:
    mu, log_sigma = draw_parameters(rng, LEVELS, rows=7, repeat=2)
    z = mu + log_sigma.exp() * 2 * torch.randn(mu.shape, generator=rng)
    centre, scale = 2 * torch.randn((), generator=rng), 0.6 + 0.3 * torch.rand((), generator=rng)
    row = {"mu": centre.expand_as(CURVE), "log_sigma": scale.expand_as(CURVE), "z": centre + scale.exp() * CURVE}
    far_mu, far_log_sigma = torch.randn(2, 784, generator=rng), torch.rand(2, 784, generator=rng) - 2.5
    sign = torch.where(torch.rand(2, 784, generator=rng) < 0.5, -1.0, 1.0)
    distance = sign * (20 + 30 * torch.rand(2, 784, generator=rng))  # exp(-20^2 / 2) is 0 in float32
    far = {"mu": far_mu, "log_sigma": far_log_sigma, "z": far_mu + far_log_sigma.exp() * distance}
    return cases("ReparameterizedDiagonalGaussian(mu, log_sigma).log_prob(z)", ("mu", "log_sigma", "z"),
                 usual={"mu": mu, "log_sigma": log_sigma, "z": z}, row=row, column={n: v.T for n, v in row.items()}, far=far)


VALUE = value(2, "usual", "row", "column", what="The log-density", shape="the shape of z")


def judge_value(seen: Seen) -> Finding:
    finding, dtype = VALUE.judge(seen), str(seen.outputs["usual"]["value"].dtype)
    if finding.passed and dtype != "torch.float32":
        return failed("value", f"For float32 inputs the value is float32; yours is {dtype}.", None, "torch.float32", dtype)
    return finding


CONSTANT, LOG_TERM, QUADRATIC = "-0.5 * math.log(2 * math.pi)", " - self.log_sigma", " - 0.5 * standardized**2"
STANDARDIZED = "(z - self.mu) / self.sigma"


def afterwards(expression: str) -> str:
    """The way to change the value that `log_prob` returns, whatever it is."""
    return (f"class Changed(TARGET):\n    def log_prob(self, z):\n        value = super().log_prob(z)\n        return {expression}\n\n\n"
            "TARGET = Changed\n")


def in_both_terms(mistake: Mistake) -> Mistake:
    """A mistake in sigma with further ways: its logarithm is that of the wrong sigma, as torch's Normal would take it."""
    ways = [(*edits_of(way), (LOG_TERM, " - self.sigma.log()")) for way in mistake.ways if edits_of(way)[0][0] == SIGMA]
    return Mistake(mistake.name, mistake.title, mistake.advice, *mistake.ways, *ways) if ways else mistake


MISTAKES = (
    *map(in_both_terms, SHARED),
    Mistake("missing_half", "The factor 1/2 before the squared distance is missing.", "The exponent is -(z - mu)^2 / (2 sigma^2).",
            (QUADRATIC, " - standardized**2"), afterwards("2 * value")),
    Mistake("missing_log_2pi", "The constant -log(2 pi) / 2 is missing.",
            "It does not change gradients, but without it the value is no log-density, and the ELBO no bound.", (CONSTANT, "0.0")),
    Mistake("log_2pi_not_halved", "log(2 pi) stands without its factor 1/2.",
            "The density has (2 pi)^(-1/2) for each dimension, so its logarithm has -log(2 pi) / 2.", (CONSTANT, "-math.log(2 * math.pi)")),
    Mistake("missing_normalizer", "The normalizing terms -log sigma - log(2 pi) / 2 are missing.",
            "Without -log sigma nothing stops sigma from growing.", ((CONSTANT + LOG_TERM, ""))),
    Mistake("missing_log_sigma", "The term -log sigma is missing.",
            "The density is divided by sigma, so its logarithm has -log sigma; log_sigma is given.", (LOG_TERM, "")),
    Mistake("log_sigma_halved", "The term -log sigma has a factor 1/2 that belongs to a log-variance.",
            "log sqrt(sigma^2) = log sigma: with log_sigma given, subtract it whole.", (LOG_TERM, " - 0.5 * self.log_sigma")),
    Mistake("log_sigma_doubled", "The term -log sigma is counted twice.", "-log(sigma^2) / 2 = -log sigma: subtract log_sigma once.",
            (LOG_TERM, " - 2 * self.log_sigma")),
    Mistake("wrong_sign", "A sign in the log-density is wrong.",
            "All three terms are subtracted: -(z - mu)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2.",
            (QUADRATIC, " + 0.5 * standardized**2"), (LOG_TERM, " + self.log_sigma"), (CONSTANT, CONSTANT[1:]),
            (CONSTANT + LOG_TERM, CONSTANT[1:] + " + self.log_sigma")),
    Mistake("sigma_not_squared", "The squared distance is divided by sigma in place of sigma squared.",
            "The exponent is ((z - mu) / sigma)^2 / 2.", (QUADRATIC, " - 0.5 * (z - self.mu) ** 2 / self.sigma")),
    Mistake("difference_not_squared", "The distance z - mu is not squared.", "The exponent is ((z - mu) / sigma)^2 / 2.",
            (QUADRATIC, " - 0.5 * (z - self.mu) / self.sigma**2"), (QUADRATIC, " - 0.5 * standardized")),
    Mistake("standard_normal_density", "The density of N(0, 1) is returned, whatever mu and sigma are.",
            "Use this distribution's own mu and sigma.", ((STANDARDIZED, "z"), (LOG_TERM, ""))),
    Mistake("wrong_constant", "The constant term is wrong.", "It is -log(2 pi) / 2, with the natural logarithm: about -0.9189.",
            *((CONSTANT, wrong) for wrong in ("-0.5 * math.log10(2 * math.pi)", "-0.5 * math.log2(2 * math.pi)", "-0.5 * math.log(math.pi)",
                                              "-math.log(math.pi)", "-0.5 * 2 * math.pi"))),
    Mistake("imprecise_constant", "pi is rounded too much.", "Use math.pi or torch.pi: over 784 dimensions the third decimal adds up.",
            (CONSTANT, "-0.5 * math.log(2 * 3.14)")),
    Mistake("density_for_log_density", "The density is returned in place of its logarithm.",
            "Write the logarithm directly; a product of 784 densities is zero in floating point.", afterwards("value.exp()")),
    Mistake("density_underflows", "The logarithm of an exponential underflows far from the mean.",
            "exp(-k^2 / 2) is 0 in float32 from k = 15 on. Simplify log(exp(a)) to a on paper.", afterwards("value.exp().log()")),
    Mistake("density_negated", "The sign of the whole log-density is flipped.",
            "Return log p, not -log p; the loss takes its minus sign at the very end.", afterwards("-value")),
    Mistake("log_base_ten", "The logarithm has the wrong base.", "Nats use the natural logarithm: torch.log, math.log.",
            afterwards("value / math.log(10)"), afterwards("value / math.log(2)")),
    Mistake("log_prob_summed", "log_prob sums over dimensions.", "Keep one value for each element; the ELBO sums later, all terms alike.",
            *map(afterwards, ("value.sum(-1)", "value.sum()", "value.sum(-1, keepdim=True)", "value.sum(0)"))),
    Mistake("log_prob_averaged", "log_prob averages over dimensions.", "Keep one value for each element; independent dimensions add up.",
            *map(afterwards, ("value.mean(-1)", "value.mean()", "value.mean(0)"))),
    Mistake("state_drifts", "The result changes from call to call.", "Compute from the arguments; leave attributes alone.",
            afterwards("(value, setattr(self, 'sigma', 1.01 * self.sigma))[0]")),
    Mistake("log_prob_without_gradient", "log_prob is cut off from its inputs.",
            "Training needs gradients for z, mu and log_sigma: no detach, no no_grad, no .item().", afterwards("value.detach()")),
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The log-density of one Gaussian, beside the right one."""
    mu, log_sigma, z = inputs["cases"]["row"].values()
    right = torch.distributions.Normal(mu, log_sigma.exp()).log_prob(z)
    return furthest(ax, outputs["row"]["value"][..., ::5], right[..., ::5], "place, from mu - 4 sigma to mu + 4 sigma", "log-density")


EXERCISES = (
    Exercise(name="vae.gaussian_log_prob", target="ReparameterizedDiagonalGaussian",
        title="The log-density of a diagonal Gaussian, element by element", read_on="Lecture 01, the building blocks of the ELBO",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_log_prob,
        laws=(
            replace(VALUE, judge=judge_value, view=lambda outputs: [VALUE.view(outputs), str(outputs["usual"]["value"].dtype)]),
            extremes(1, "far", "784 dimensions and z far from mu", "density_underflows", rtol=1e-3),
            gradient(1, "usual", sign="log_prob_without_gradient"),
        ), mistakes=MISTAKES, variants=VARIANTS, picture=picture,
        hints=(
            "Take the logarithm of the Gaussian density on paper first; the exponential cancels.",
            "There are three terms: the squared distance in units of sigma, log sigma, and a constant. Keep them elementwise.",
            "-0.5 * ((z - mu) / sigma) ** 2 - log sigma - 0.5 * log(2 pi), or torch.distributions.Normal(mu, sigma).log_prob(z).",
        )),
)
