"""Models p(x, z) with an encoder q(z|x): the variational autoencoder, and one whose truth is known."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from .distributions import HALF_LOG_2PI, Bernoulli, ReparameterizedDiagonalGaussian
from .inference import merge, unmerge

__all__ = ["LinearGaussianVAE", "VariationalAutoencoder", "mlp"]


def mlp(*sizes: int, activation=nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between them (none after the last).

    >>> [type(layer).__name__ for layer in mlp(784, 256, 4)]
    ['Linear', 'ReLU', 'Linear']
    """
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


class VariationalAutoencoder(nn.Module):
    r"""A latent-variable model of binary images with amortized inference.

    .. math:: p(z) = N(0, I), \quad p_\theta(x|z) = \prod_d Bernoulli(x_d | \pi_d(z)),
              \quad q_\phi(z|x) = N(\mu(x), diag\,\sigma^2(x))

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014) https://arxiv.org/abs/1312.6114

    Arguments:
        input_shape: shape of one observation, e.g. `(1, 28, 28)`.
        latent_features: M, the number of latent coordinates.
        hidden: widths of the encoder's hidden layers; the decoder has them mirrored.
        activation: the layer class between them.

    Its distributions are built with `validate_args=False`: no search for NaN in each training step
    (`training.fit` watches the loss instead), and `px.log_prob` takes grey values too. They are no
    outcome of a Bernoulli, and what comes then is not a log-probability.

    >>> _ = torch.manual_seed(0)
    >>> model = VariationalAutoencoder((1, 28, 28), latent_features=2)
    >>> outputs = model(torch.zeros(5, 1, 28, 28))
    >>> outputs["px"].batch_shape, outputs["z"].shape
    (torch.Size([5, 1, 28, 28]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        latent_features: int,
        hidden: Sequence[int] = (256, 128),
        activation=nn.ReLU,
    ):
        super().__init__()
        self.input_shape = torch.Size(input_shape)
        self.latent_features = latent_features
        pixels = math.prod(self.input_shape)
        self.encoder = mlp(pixels, *hidden, 2 * latent_features, activation=activation)
        self.decoder = mlp(latent_features, *reversed(hidden), pixels, activation=activation)
        # A buffer moves with the model to another device or dtype; nothing is learned here.
        self.register_buffer("prior_parameters", torch.zeros(2, latent_features))

    @torch.no_grad()
    def start_at_pixel_means(self, images: Tensor) -> None:
        """Set the decoder's last bias to the logits of the images' means, `(N, *input_shape)` -> nothing.

        Training then starts from the best independent pixels instead of having to find them first.
        """
        # Half a count for either outcome: a pixel that is never 1 would ask for a bias of minus infinity.
        mean = (images.double().sum(0) + 0.5) / (len(images) + 1)
        self.decoder[-1].bias.copy_(mean.logit().flatten())

    def posterior(self, x: Tensor) -> ReparameterizedDiagonalGaussian:
        """q(z|x) for x of shape `(batch, *input_shape)`; batch shape `(batch, M)`."""
        _check_input(x, self.input_shape)
        mu, log_sigma = self.encoder(x.flatten(1)).chunk(2, dim=-1)
        return ReparameterizedDiagonalGaussian(mu, log_sigma, validate_args=False)

    def prior(self, batch_size: int = 1) -> ReparameterizedDiagonalGaussian:
        """p(z) = N(0, I), the same for each example; batch shape `(batch, M)`."""
        mu, log_sigma = self.prior_parameters.unsqueeze(1).expand(2, batch_size, -1)
        return ReparameterizedDiagonalGaussian(mu, log_sigma, validate_args=False)

    def observation_model(self, z: Tensor) -> Bernoulli:
        """p(x|z) for z of shape `(batch, M)` or `(K, batch, M)`; batch shape `(..., *input_shape)`."""
        samples = z.shape[:-2]
        logits = unmerge(self.decoder(merge(z, len(samples))), *samples)
        return Bernoulli(logits=logits.unflatten(-1, self.input_shape), validate_args=False)

    def forward(self, x: Tensor, num_samples: int = 1) -> dict:
        """Encode x once, draw K = `num_samples` latents for each example, decode them all at once.

        Returns a dict; with K = 1 the shapes have no K:
            "px": p(x|z), batch shape `(K, batch, *input_shape)`,
            "pz": p(z), batch shape `(batch, M)`,
            "qz": q(z|x), batch shape `(batch, M)`,
            "z": the samples, `(K, batch, M)`.
        """
        qz = self.posterior(x)
        z = qz.rsample() if num_samples == 1 else qz.rsample((num_samples,))
        return {"px": self.observation_model(z), "pz": self.prior(len(x)), "qz": qz, "z": z}

    def sample_from_prior(self, batch_size: int) -> dict:
        """Draw z ~ p(z) and return "px" `(batch, *input_shape)`, "pz" `(batch, M)`, "z" `(batch, M)`."""
        pz = self.prior(batch_size)
        z = pz.rsample()
        return {"px": self.observation_model(z), "pz": pz, "z": z}


class LinearGaussianVAE(nn.Module):
    r"""A variational autoencoder whose every integral is known: the ground truth of the course.

    .. math:: z \sim N(0, I), \quad x = W z + b + \sigma_x \epsilon, \quad
              q(z|x) = N(A x + c, diag\,\sigma^2)

    Then x ~ N(b, W W' + sigma_x^2 I), and z|x is Gaussian with precision I + W'W / sigma_x^2. The
    posterior is diagonal, so that q can reach it, exactly when the columns of W are orthogonal.

    References:
        Probabilistic Principal Component Analysis (Tipping and Bishop, 1999), equations 2 to 7
        https://doi.org/10.1111/1467-9868.00196

    Arguments:
        weight: W, `(D, M)`.
        bias: b, `(D,)`; zeros if None.
        noise: sigma_x, the standard deviation of each observed coordinate.

    >>> _ = torch.manual_seed(0)
    >>> model = LinearGaussianVAE(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), noise=0.5)
    >>> model.use_best_encoder()
    >>> x = torch.randn(4, 3)
    >>> bool(torch.allclose(model.exact_elbo(x), model.log_px(x), atol=1e-4))
    True
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, noise: float = 0.1):
        super().__init__()
        features, latents = weight.shape
        self.input_shape, self.latent_features = torch.Size([features]), latents
        bias = weight.new_zeros(features) if bias is None else bias
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.log_noise = nn.Parameter(torch.tensor(math.log(noise), dtype=weight.dtype))
        self.encoder = nn.Linear(features, latents, dtype=weight.dtype)
        self.encoder_log_sigma = nn.Parameter(weight.new_zeros(latents))

    def posterior(self, x: Tensor) -> ReparameterizedDiagonalGaussian:
        """q(z|x) of the encoder, batch shape `(batch, M)`; not the true posterior unless it learned it."""
        mu = self.encoder(x)
        return ReparameterizedDiagonalGaussian(mu, self.encoder_log_sigma.expand_as(mu))

    def prior(self, batch_size: int = 1) -> ReparameterizedDiagonalGaussian:
        zeros = self.weight.new_zeros(batch_size, self.latent_features)
        return ReparameterizedDiagonalGaussian(zeros, zeros)

    def observation_model(self, z: Tensor) -> ReparameterizedDiagonalGaussian:
        """p(x|z) for z of shape `(..., M)`; batch shape `(..., D)`."""
        mean = z @ self.weight.T + self.bias
        return ReparameterizedDiagonalGaussian(mean, self.log_noise.expand_as(mean))

    forward = VariationalAutoencoder.forward
    sample_from_prior = VariationalAutoencoder.sample_from_prior

    def log_px(self, x: Tensor) -> Tensor:
        """The exact log p(x) = log N(x; b, W W' + sigma_x^2 I), `(batch,)`, in nats."""
        noise = self._noise_variance() * torch.eye(len(self.bias), dtype=self.bias.dtype)
        covariance = self.weight @ self.weight.T + noise
        return MultivariateNormal(self.bias, covariance, validate_args=False).log_prob(x)

    def true_posterior(self, x: Tensor) -> MultivariateNormal:
        """The exact p(z|x): batch shape `(batch,)`, event shape `(M,)`."""
        gain, precision = self._posterior_gain_and_precision()
        return MultivariateNormal((x - self.bias) @ gain.T, precision_matrix=precision)

    def exact_elbo(self, x: Tensor) -> Tensor:
        """E_q[log p(x|z)] - KL(q || p) without any sampling, `(batch,)`, in nats.

        Under q the squared error |x - W z - b|^2 has mean |x - W mu - b|^2 + sum_m sigma_m^2 |w_m|^2.
        """
        qz, variance = self.posterior(x), self._noise_variance()
        error = (x - qz.mu @ self.weight.T - self.bias).square().sum(-1)
        error = error + qz.variance @ self.weight.square().sum(0)
        log_px = -0.5 * error / variance - len(self.bias) * (self.log_noise + HALF_LOG_2PI)
        return log_px - kl_divergence(qz, self.prior(len(x))).sum(-1)

    @torch.no_grad()
    def use_best_encoder(self) -> None:
        """Set q(z|x) to the diagonal Gaussian nearest to p(z|x) in KL(q || p): its mean, 1 / its precision.

        (Pattern Recognition and Machine Learning, Bishop, 2006, section 10.1.2)
        """
        gain, precision = self._posterior_gain_and_precision()
        self.encoder.weight.copy_(gain)
        self.encoder.bias.copy_(-gain @ self.bias)
        self.encoder_log_sigma.copy_(-0.5 * precision.diagonal().log())

    def _noise_variance(self) -> Tensor:
        return (2 * self.log_noise).exp()

    def _posterior_gain_and_precision(self) -> tuple[Tensor, Tensor]:
        """G `(M, D)` and P `(M, M)` of p(z|x) = N(G (x - b), P^-1): P = I + W'W / s^2, G = P^-1 W' / s^2."""
        scaled = self.weight.T / self._noise_variance()
        precision = torch.eye(self.latent_features, dtype=scaled.dtype) + scaled @ self.weight
        return torch.linalg.solve(precision, scaled), precision


def _check_input(x: Tensor, input_shape: torch.Size) -> None:
    if x.shape[1:] != input_shape:
        raise ValueError(
            f"The model takes batches of shape (batch, {', '.join(map(str, input_shape))}) and got "
            f"{tuple(x.shape)}; add the missing dimension (x.unsqueeze(0)) or build the model with this input_shape."
        )
