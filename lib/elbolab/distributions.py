"""The two distributions that a first variational autoencoder is made of."""

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal, constraints, register_kl

__all__ = ["Bernoulli", "ReparameterizedDiagonalGaussian"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class ReparameterizedDiagonalGaussian(Distribution):
    r"""A Gaussian with independent coordinates, N(mu, sigma^2), written with log sigma.

    .. math:: z = \mu + \sigma \odot \epsilon, \qquad \epsilon \sim N(0, I)

    A sample is a differentiable function of mu and log sigma: the reparameterization trick.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), section 2.4 and appendix B
        https://arxiv.org/abs/1312.6114

    Arguments:
        mu: mean, `(*batch)`, a floating-point tensor.
        log_sigma: natural logarithm of the standard deviation, `(*batch)`, the same dtype as mu.
        validate_args: look for NaN and infinity in the parameters and in the values given to
            `log_prob`. As in torch, None means yes unless Python runs with -O. Shapes and dtypes
            are looked at always (that takes about a microsecond); the search reads every number,
            so the models of this library, which build one Gaussian a step, switch it off.

    Every coordinate counts as one event: `batch_shape` is the shape of mu, `event_shape` is `()`,
    and `log_prob` is elementwise like that of `torch.distributions.Normal`.

    >>> _ = torch.manual_seed(0)
    >>> q = ReparameterizedDiagonalGaussian(torch.zeros(3, 2), torch.full((3, 2), -1.0))
    >>> q.rsample().shape, q.rsample((5,)).shape, q.log_prob(q.mean).shape
    (torch.Size([3, 2]), torch.Size([5, 3, 2]), torch.Size([3, 2]))
    """

    arg_constraints = {"mu": constraints.real, "log_sigma": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, mu: Tensor, log_sigma: Tensor, validate_args: bool | None = None):
        _check_types_and_shapes(mu, log_sigma)
        self.mu, self.log_sigma, self.sigma = mu, log_sigma, log_sigma.exp()
        if self._validate_args if validate_args is None else validate_args:
            _check_finite(mu, "mu")
            _check_finite(log_sigma, "log_sigma")
        # The checks above are ours, so torch need not repeat them ...
        super().__init__(batch_shape=mu.shape, validate_args=False)
        if validate_args is None:
            del self._validate_args  # ... but log_prob follows torch's default again.
        else:
            self._validate_args = validate_args

    @property
    def mean(self) -> Tensor:
        return self.mu

    @property
    def mode(self) -> Tensor:
        return self.mu

    @property
    def stddev(self) -> Tensor:
        return self.sigma

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_sigma).exp()

    def sample_epsilon(self, sample_shape=()) -> Tensor:
        """Standard normal noise, `(*sample_shape, *batch)`: one draw for every number in mu."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return torch.randn(shape, dtype=self.mu.dtype, device=self.mu.device)

    def rsample(self, sample_shape=()) -> Tensor:
        """z = mu + sigma * epsilon, `(*sample_shape, *batch)`; gradients flow to mu and log_sigma."""
        return self.mu + self.sigma * self.sample_epsilon(sample_shape)

    def sample(self, sample_shape=()) -> Tensor:
        """The same draw without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """log N(z; mu, sigma^2) for each coordinate, in nats, the broadcast shape of z and mu."""
        if self._validate_args:
            self._validate_sample(z)
        # First divide, then square: sigma**2 would leave the range of float32 long before sigma does.
        # And log sigma stays as it came; log(exp(...)) would be -inf where exp has become 0.
        standardized = (z - self.mu) / self.sigma
        return -0.5 * standardized.square() - (self.log_sigma + HALF_LOG_2PI)

    def entropy(self) -> Tensor:
        """Differential entropy of each coordinate, 1/2 + log sigma + 1/2 log(2 pi), in nats."""
        return 0.5 + self.log_sigma + HALF_LOG_2PI

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(ReparameterizedDiagonalGaussian, _instance)
        for name in ("mu", "log_sigma", "sigma"):
            setattr(new, name, getattr(self, name).expand(batch_shape))
        super(ReparameterizedDiagonalGaussian, new).__init__(new.mu.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new


def _gaussian_kl(mu_q: Tensor, log_sigma_q: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL(q || p) of each coordinate, in nats (Kingma and Welling, 2014, appendix B)."""
    log_ratio = log_sigma_q - log_sigma_p
    standardized = (mu_q - mu_p) * (-log_sigma_p).exp()
    # expm1 keeps the digits that exp(...) - 1 loses where q is almost p.
    return 0.5 * (torch.expm1(2 * log_ratio) - 2 * log_ratio + standardized.square())


@register_kl(ReparameterizedDiagonalGaussian, ReparameterizedDiagonalGaussian)
def _kl_diagonal_diagonal(q, p):
    return _gaussian_kl(q.mu, q.log_sigma, p.mu, p.log_sigma)


@register_kl(ReparameterizedDiagonalGaussian, Normal)
def _kl_diagonal_normal(q, p):
    return _gaussian_kl(q.mu, q.log_sigma, p.loc, p.scale.log())


@register_kl(Normal, ReparameterizedDiagonalGaussian)
def _kl_normal_diagonal(q, p):
    return _gaussian_kl(q.loc, q.scale.log(), p.mu, p.log_sigma)


def _check_types_and_shapes(mu, log_sigma) -> None:
    where = "ReparameterizedDiagonalGaussian"
    for name, value in (("mu", mu), ("log_sigma", log_sigma)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{where}: {name} is a {type(value).__name__}; give a tensor, e.g. torch.zeros(2).")
        if not value.is_floating_point():
            raise TypeError(f"{where}: {name} holds {value.dtype}; give floating-point numbers, e.g. {name}.float().")
    if mu.dtype != log_sigma.dtype:
        raise TypeError(f"{where}: mu is {mu.dtype} and log_sigma is {log_sigma.dtype}; convert one of them.")
    if mu.shape != log_sigma.shape:
        raise ValueError(
            f"{where}: mu has shape {tuple(mu.shape)} and log_sigma {tuple(log_sigma.shape)}; they must be equal. "
            f"Write log_sigma.expand_as(mu) if one row is meant for the whole batch."
        )


def _check_finite(value: Tensor, name: str) -> None:
    bad = ~torch.isfinite(value)
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"ReparameterizedDiagonalGaussian: {name} holds {int(bad.sum())} NaN or infinite of {value.numel()} "
            f"numbers, the first at index {first}. Look for a learning rate that is too high, or for the "
            f"logarithm or division that made it."
        )
