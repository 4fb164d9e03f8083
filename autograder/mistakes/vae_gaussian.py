"""Mistakes in `ReparameterizedDiagonalGaussian`."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTION"]

TARGET = "ReparameterizedDiagonalGaussian"
RSAMPLE, LOG_PROB = "vae.gaussian_rsample", "vae.gaussian_log_prob"

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
SAMPLE = "return self.mu + self.sigma * self.sample_epsilon()"
NOISE = "return torch.empty_like(self.mu).normal_()"
DISTANCE = "standardized = (z - self.mu) / self.sigma"
DENSITY = "-0.5 * math.log(2 * math.pi) - self.log_sigma - 0.5 * standardized**2"
VALUE = f"return {DENSITY}"


def both(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, TARGET, edits, (RSAMPLE, LOG_PROB))


def sampling(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, TARGET, edits, (RSAMPLE,))


def density(name: str, value: str) -> Mistake:
    """A wrong last line of log_prob."""
    return Mistake(name, TARGET, ((VALUE, value),), (LOG_PROB,))


MISTAKES = (
    both("log_variance_for_log_sigma", (LOG_SIGMA, "self.log_sigma = 0.5 * log_sigma\n"), (SIGMA, "self.sigma = self.log_sigma.exp()")),
    both("variance_for_standard_deviation", (SIGMA, "self.sigma = log_sigma.exp() ** 2")),
    both("log_sigma_for_sigma", (SIGMA, "self.sigma = log_sigma")),
    both("sigma_plus_constant", (SIGMA, "self.sigma = log_sigma.exp() + 1e-3")),
    both("sigma_left_out", (SAMPLE, "return self.mu + self.sample_epsilon()"), (DISTANCE, "standardized = z - self.mu")),
    both("softplus_for_exp", (SIGMA, "self.sigma = nn.functional.softplus(log_sigma)")),
    both("precision_for_sigma", (SIGMA, "self.sigma = 1 / log_sigma.exp()")),
    both("wrong_mean", (SAMPLE, "return self.sigma * self.sample_epsilon()"), (DISTANCE, "standardized = z / self.sigma")),
    both("changes_its_inputs", (SIGMA, "self.sigma = log_sigma.exp_()")),
    both("wrong_shape", (MU, "self.mu = mu.squeeze()\n"), (SIGMA, "self.sigma = log_sigma.exp().squeeze()")),
    both("wrong_dtype", (MU, "self.mu = mu.double()\n"), (SIGMA, "self.sigma = log_sigma.double().exp()")),
    # rsample
    sampling("constant_epsilon", (NOISE, "return torch.ones_like(self.mu)")),
    sampling("seeded_epsilon", (SAMPLE, f"torch.manual_seed(42)\n        {SAMPLE}")),
    sampling("one_epsilon_for_the_batch", (NOISE, "return torch.randn(self.mu.shape[-1])")),
    sampling("one_epsilon_for_all_dimensions", (NOISE, "return torch.randn(*self.mu.shape[:-1], 1)")),
    sampling("uniform_epsilon", (NOISE, "return torch.rand_like(self.mu)")),
    sampling("uniform_epsilon", (NOISE, "return math.sqrt(12) * (torch.rand_like(self.mu) - 0.5)")),
    sampling("not_gaussian", (NOISE, "return torch.distributions.Laplace(0.0, math.sqrt(0.5)).sample(self.mu.shape)")),
    sampling("not_gaussian", (NOISE, "return torch.randn_like(self.mu).sign()")),
    sampling("wrong_epsilon", (NOISE, "return 0.1 * torch.randn_like(self.mu)")),
    sampling("sample_without_gradient", (SAMPLE, "return (self.mu + self.sigma * self.sample_epsilon()).detach()")),
    sampling("sample_without_gradient", (SAMPLE, "return torch.distributions.Normal(self.mu, self.sigma).sample()")),
    sampling("gradient_cut_off", (SAMPLE, "return self.mu + self.sigma.detach() * self.sample_epsilon()")),
    sampling("gradient_cut_off", (SAMPLE, "return torch.tensor(self.mu.tolist()) + self.sigma * self.sample_epsilon()")),
    # log_prob
    density("log_prob_summed", f"return ({DENSITY}).sum(dim=-1)"),
    density("log_prob_summed", f"return ({DENSITY}).sum()"),
    density("log_prob_averaged", f"return ({DENSITY}).mean(dim=-1)"),
    density("missing_half", "return -0.5 * math.log(2 * math.pi) - self.log_sigma - standardized**2"),
    density("missing_log_2pi", "return -self.log_sigma - 0.5 * standardized**2"),
    density("log_2pi_not_halved", "return -math.log(2 * math.pi) - self.log_sigma - 0.5 * standardized**2"),
    density("missing_normalizer", "return -0.5 * standardized**2"),
    density("missing_log_sigma", "return -0.5 * math.log(2 * math.pi) - 0.5 * standardized**2"),
    density("log_sigma_halved", "return -0.5 * (math.log(2 * math.pi) + self.log_sigma + standardized**2)"),
    density("log_sigma_doubled", "return -0.5 * math.log(2 * math.pi) - 2 * self.log_sigma - 0.5 * standardized**2"),
    density("wrong_sign", "return -0.5 * math.log(2 * math.pi) - self.log_sigma + 0.5 * standardized**2"),
    density("wrong_sign", "return -0.5 * math.log(2 * math.pi) + self.log_sigma - 0.5 * standardized**2"),
    density("density_negated", f"return -({DENSITY})"),
    density("density_for_log_density", f"return torch.exp({DENSITY})"),
    density("density_underflows", f"return torch.log(torch.exp({DENSITY}))"),
    density("density_underflows", "return torch.log(torch.exp(-0.5 * standardized**2) / (self.sigma * math.sqrt(2 * math.pi)))"),
    density("sigma_not_squared", "return -0.5 * math.log(2 * math.pi) - self.log_sigma - 0.5 * (z - self.mu) ** 2 / self.sigma"),
    density("difference_not_squared", "return -0.5 * math.log(2 * math.pi) - self.log_sigma - 0.5 * (z - self.mu) / self.sigma**2"),
    density("standard_normal_density", "return -0.5 * math.log(2 * math.pi) - 0.5 * z**2"),
    density("log_base_ten", f"return ({DENSITY}) / math.log(10)"),
    density("wrong_constant", "return -0.5 * math.log10(2 * math.pi) - self.log_sigma - 0.5 * standardized**2"),
    density("imprecise_constant", "return -0.5 * math.log(2 * 3.14) - self.log_sigma - 0.5 * standardized**2"),
    density("state_drifts", f"value = {DENSITY}\n        self.sigma = self.sigma * 1.01\n        return value"),
    density("log_prob_without_gradient", f"return ({DENSITY}).detach()"),
)
