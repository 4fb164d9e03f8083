"""`ReparameterizedDiagonalGaussian`, exercises 1a and 1b: the class, its parameters drawn, the mistakes that both share."""

import textwrap
from collections.abc import Sequence

import torch
from torch import Tensor

from autograder.exercises.exercise import Edit, Mistake

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
            "The second argument is log sigma, so sigma = exp(log_sigma), without a factor 1/2.",
            ((LOG_SIGMA, "self.log_sigma = 0.5 * log_sigma\n"), sigma("self.log_sigma.exp()"))),
    Mistake("variance_for_standard_deviation", "The variance stands where the standard deviation belongs.",
            "Noise is scaled by sigma, not sigma squared.", sigma("log_sigma.exp() ** 2")),
    Mistake("log_sigma_for_sigma", "log_sigma is used as if it were sigma.",
            "Take the exponential first: sigma = exp(log_sigma). A standard deviation is never negative.", sigma("log_sigma")),
    Mistake("sigma_plus_constant", "A constant is added to sigma.",
            "exp(log_sigma) is positive already. An added 1e-3 puts a floor under sigma and makes every small variance wrong.",
            sigma("log_sigma.exp() + 1e-3"), sigma("log_sigma.exp() + 1e-2"), sigma("(log_sigma.exp() ** 2 + 1e-3).sqrt()")),
    Mistake("sigma_left_out", "sigma is left out.",
            "Scale the noise by sigma before mu is added.", both("self.mu + self.sample_epsilon()", "z - self.mu")),
    Mistake("softplus_for_exp", "sigma is made with softplus where the exercise says exp.",
            "The second argument is the logarithm of sigma; its inverse is exp.", sigma("nn.functional.softplus(log_sigma)")),
    Mistake("precision_for_sigma", "1 / sigma stands where sigma belongs.", "Multiply the noise by sigma = exp(log_sigma).",
            sigma("1 / log_sigma.exp()")),
    Mistake("wrong_mean", "The mean is not mu.", "z = mu + sigma * epsilon: mu is added once, as it is.",
            both("self.sigma * self.sample_epsilon()", "z / self.sigma")),
    Mistake("changes_its_inputs", "The parameters that were handed in are changed in place.",
            "Methods ending in an underscore, as exp_, overwrite their tensor. Use exp().", sigma("log_sigma.exp_()")),
    Mistake("wrong_shape", "The result has the wrong shape.",
            "Work elementwise and keep the shape of mu; let no reduction or unsqueeze slip in.",
            ((MU, "self.mu = mu.squeeze()\n"), (LOG_SIGMA, "self.log_sigma = log_sigma = log_sigma.squeeze()\n")),
            ((MU, "self.mu = mu[None]\n"), (LOG_SIGMA, "self.log_sigma = log_sigma = log_sigma[None]\n"))),
    Mistake("wrong_dtype", "The result has another dtype than the parameters.",
            "Stay in torch: NumPy makes float64. torch.randn_like(mu) has the dtype and device of mu.", (MU, "self.mu = mu.double()\n"),
            ("return self.mu + self.sigma * self.sample_epsilon()", "return (self.mu + self.sigma * self.sample_epsilon()).double()")),
)


# --- unusual solutions that are right ------------------------------------------------------------


def gaussian(rsample: str, log_prob: str) -> str:
    """A class around these bodies of its methods, one statement a line."""
    init = "self.mu, self.log_sigma = mu, log_sigma.clamp(-10, 10)"
    methods = {"__init__(self, mu, log_sigma)": init, "rsample(self)": rsample, "log_prob(self, z)": log_prob}
    return "class ReparameterizedDiagonalGaussian:\n" + "".join(
        f"    def {name}:\n{textwrap.indent(lines, 8 * ' ')}\n\n" for name, lines in methods.items())


VARIANTS = {
    "torch's Normal": """\
class ReparameterizedDiagonalGaussian(torch.distributions.Normal):
    def __init__(self, mu, log_sigma):
        super().__init__(mu, torch.exp(log_sigma))
""",
    "Box and Muller, and float64 inside": gaussian(
        "radius = torch.sqrt(-2 * torch.log(1 - torch.rand_like(self.mu)))\n"
        "return self.mu - self.log_sigma.exp() * radius * torch.cos(2 * math.pi * torch.rand_like(self.mu))",
        "mu, s = self.mu.double(), self.log_sigma.double()\n"
        "return (-0.5 * (z.double() - mu) ** 2 * torch.exp(-2 * s) - s - 0.5 * math.log(2 * math.pi)).to(z.dtype)"),
    "a stabilizer as small as rounding": gaussian(
        "return self.mu + (self.log_sigma.exp() + 1e-6) * torch.randn_like(self.mu)",
        "return -0.5 * ((z - self.mu) / (self.log_sigma.exp() + 1e-5)) ** 2 - self.log_sigma - 0.5 * math.log(2 * math.pi)"),
    "more arguments and a leftover comment": """\
class ReparameterizedDiagonalGaussian(Distribution):
    # YOUR CODE HERE (left over)
    arg_constraints = {}

    def __init__(self, mu, log_sigma, device=None, validate_args=False, **options):
        super().__init__(batch_shape=mu.shape, validate_args=validate_args)
        self.loc, self.rho = mu, log_sigma

    scale = property(lambda self: self.rho.exp())

    def rsample(self, sample_shape=torch.Size()):
        self.noise = torch.randn(torch.Size(sample_shape) + self.loc.shape, dtype=self.loc.dtype)
        return self.loc + self.scale * self.noise

    def log_prob(self, value):
        self.rsample()  # shifts the random stream, which is no crime
        return -0.5 * ((value - self.loc) / self.scale).square() - self.rho - 0.9189385332046727
""",
}
