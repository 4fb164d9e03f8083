"""`ReparameterizedDiagonalGaussian`, exercises 1a and 1b: the class, its parameters drawn, the mistakes that both share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autograder.exercises.exercise import Edit, Mistake

__all__ = ["SHARED", "SIGMA", "SOLUTION", "VARIANTS", "draw_parameters"]

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
            "Noise is scaled by sigma, not sigma squared; torch's Normal takes the standard deviation, too.",
            sigma("log_sigma.exp() ** 2")),
    Mistake("log_sigma_for_sigma", "log_sigma is used as if it were sigma.",
            "Take the exponential first: sigma = exp(log_sigma). A standard deviation is never negative.", sigma("log_sigma")),
    Mistake("sigma_plus_constant", "A constant is added to sigma.",
            "exp(log_sigma) is positive already. An added 1e-3 puts a floor under sigma and makes every small variance wrong.",
            sigma("log_sigma.exp() + 1e-3"), sigma("log_sigma.exp() + 1e-2"), sigma("(log_sigma.exp() ** 2 + 1e-3).sqrt()")),
    Mistake("sigma_left_out", "sigma is left out.",
            "The noise has to be scaled by sigma before mu is added, and the density depends on sigma, too.",
            both("self.mu + self.sample_epsilon()", "z - self.mu")),
    Mistake("softplus_for_exp", "sigma is made with softplus where the exercise says exp.",
            "The second argument is the logarithm of sigma; its inverse is exp.", sigma("nn.functional.softplus(log_sigma)")),
    Mistake("precision_for_sigma", "1 / sigma stands where sigma belongs.",
            "Multiply the noise by sigma = exp(log_sigma); do not divide. The density divides the distance by it.",
            sigma("1 / log_sigma.exp()")),
    Mistake("wrong_mean", "The mean is not mu.", "z = mu + sigma * epsilon: mu is added once, as it is.",
            both("self.sigma * self.sample_epsilon()", "z / self.sigma")),
    Mistake("changes_its_inputs", "The parameters that were handed in are changed in place.",
            "Methods ending in an underscore (exp_, mul_) and += overwrite their tensor. Use exp() and make a new tensor.",
            sigma("log_sigma.exp_()")),
    Mistake("wrong_shape", "The result has the wrong shape.",
            "Work elementwise and keep the shape of mu; let no reduction or unsqueeze slip in.",
            ((MU, "self.mu = mu.squeeze()\n"), (LOG_SIGMA, "self.log_sigma = log_sigma = log_sigma.squeeze()\n")),
            ((MU, "self.mu = mu[None]\n"), (LOG_SIGMA, "self.log_sigma = log_sigma = log_sigma[None]\n"))),
    Mistake("wrong_dtype", "The result has another dtype than the parameters.",
            "Stay in torch: NumPy makes float64. torch.randn_like(mu) has the dtype and device of mu.", (MU, "self.mu = mu.double()\n"),
            ("return self.mu + self.sigma * self.sample_epsilon()", "return (self.mu + self.sigma * self.sample_epsilon()).double()")),
)


# --- unusual solutions that are right ------------------------------------------------------------

NORMAL = "torch.distributions.Normal(self.mu, self.log_sigma.exp())"
SAMPLE = "return self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)"
DENSITY = "return -0.5 * ((z - self.mu) / self.log_sigma.exp()) ** 2 - self.log_sigma - 0.5 * math.log(2 * math.pi)"


def gaussian(rsample: str = SAMPLE, log_prob: str = DENSITY, init: str = "self.mu, self.log_sigma = mu, log_sigma") -> str:
    """A class around these bodies of its methods, one statement a line."""

    def body(lines: str) -> str:
        return "".join(f"        {line}\n" for line in lines.splitlines())

    return (f"class ReparameterizedDiagonalGaussian:\n    def __init__(self, mu, log_sigma):\n{body(init)}\n"
            f"    def rsample(self):\n{body(rsample)}\n    def log_prob(self, z):\n{body(log_prob)}")


VARIANTS = {
    "torch's Normal": gaussian(f"return {NORMAL}.rsample()", f"return {NORMAL}.log_prob(z)"),
    "is a Normal": """\
class ReparameterizedDiagonalGaussian(torch.distributions.Normal):
    def __init__(self, mu, log_sigma):
        super().__init__(mu, torch.exp(log_sigma))
""",
    "torch.normal for the noise": gaussian("noise = torch.normal(torch.zeros_like(self.mu), torch.ones_like(self.mu))\n"
                                           "return torch.addcmul(self.mu, self.log_sigma.exp(), noise)"),
    "log-sigma clamped at 10": gaussian(init="self.mu = mu\nself.log_sigma = log_sigma.clamp(-10, 10)"),
    "minus epsilon": gaussian("return self.mu - self.log_sigma.exp() * torch.randn_like(self.mu)"),
    "Box and Muller": gaussian("radius = torch.sqrt(-2 * torch.log(1 - torch.rand_like(self.mu)))\n"
                               "noise = radius * torch.cos(2 * math.pi * torch.rand_like(self.mu))\n"
                               "return self.mu + self.log_sigma.exp() * noise"),
    "through gaussian_nll_loss": gaussian(
        log_prob="variance = torch.exp(2 * self.log_sigma)\n"
        "return -nn.functional.gaussian_nll_loss(self.mu.expand_as(z), z, variance, full=True, reduction='none', eps=1e-12)"),
    "constants as float32 tensors": gaussian(
        log_prob="pi, sigma = torch.tensor(3.1415927), self.log_sigma.exp()\n"
        "return -0.5 * torch.log(2 * pi) - torch.log(sigma) - (z - self.mu) ** 2 / (2 * sigma ** 2)"),
    "float64 inside": gaussian(
        log_prob="mu, s = self.mu.double(), self.log_sigma.double()\n"
        "return (-0.5 * (z.double() - mu) ** 2 * torch.exp(-2 * s) - s - 0.5 * math.log(2 * math.pi)).to(z.dtype)"),
    "a stabilizer as small as rounding": gaussian("return self.mu + (self.log_sigma.exp() + 1e-6) * torch.randn_like(self.mu)",
                                                  DENSITY.replace("self.log_sigma.exp()", "(self.log_sigma.exp() + 1e-5)")),
    "more arguments and a leftover comment": """\
class ReparameterizedDiagonalGaussian(Distribution):
    # YOUR CODE HERE (left over)
    arg_constraints = {}

    def __init__(self, mu, log_sigma, device=None, validate_args=False, **options):
        super().__init__(batch_shape=mu.shape, validate_args=validate_args)
        self.loc, self.rho = mu, log_sigma
        self.noise = None

    scale = property(lambda self: self.rho.exp())

    def rsample(self, sample_shape=torch.Size()):
        self.noise = torch.randn(torch.Size(sample_shape) + self.loc.shape, dtype=self.loc.dtype)
        return self.loc + self.scale * self.noise

    def log_prob(self, value):
        self.rsample()  # shifts the random stream, which is no crime
        return -0.5 * ((value - self.loc) / self.scale).square() - self.rho - 0.9189385332046727
""",
    "a transformed distribution": gaussian(
        "return self.transformed.rsample()", "return self.transformed.log_prob(z)",
        "noise = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))\n"
        "shift = torch.distributions.AffineTransform(mu, log_sigma.exp())\n"
        "self.transformed = torch.distributions.TransformedDistribution(noise, [shift])"),
}
