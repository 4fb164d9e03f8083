"""What the probe's linear VAE must give for several samples: log-weights, L_K and its gradients, in closed form and float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["EXAMPLES", "HALF_LOG_2PI", "LATENTS", "PIXELS", "Pieces", "Truth", "draw_sampled", "log_mean_exp"]

PIXELS, LATENTS, EXAMPLES, COPIES = 784, 4, 6, 24
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def draw_sampled(rng: torch.Generator) -> dict[str, Any]:
    """A linear VAE and six images that it likes to very different degrees: log p(x|z) from some -250 to below -900 nats.

    So exp(log w) is 0 for every image in float32 and for the last one in float64, too. The numbers of samples, examples and
    latents are all different, so that an axis taken for another shows in the shape.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    bias = 2.2 * normal(PIXELS) - 0.8
    likes = torch.linspace(0.95, 0.2, EXAMPLES)[:, None]  # how often a pixel is what the decoder's bias says
    agrees = torch.rand(EXAMPLES, PIXELS, generator=rng) < likes
    x = (agrees == (bias > 0)).float()
    scale = torch.tensor([1.3] * LATENTS + [0.15] * LATENTS) / (0.5 * PIXELS) ** 0.5
    weights = {
        "encoder.weight": normal(2 * LATENTS, PIXELS) * scale[:, None],
        "encoder.bias": 0.2 * normal(2 * LATENTS) - torch.tensor([0.0] * LATENTS + [0.7] * LATENTS),
        "decoder.weight": 0.12 * normal(PIXELS, LATENTS),
        "decoder.bias": bias,
    }
    cases = [[7, EXAMPLES], [1, EXAMPLES], [5, 1], [260, 2], [7, EXAMPLES]]
    copies = torch.randperm(COPIES * EXAMPLES, generator=rng) % EXAMPLES
    return {"weights": weights, "x": x, "cases": cases, "copies": copies, "tiled_samples": 9}


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """log of the mean of the exponentials over one dimension: L_K of log-weights (Burda et al. 2016, equation 8)."""
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


@dataclass
class Pieces:
    """What log w is made of, at latents z.

    Attributes:
        logits, pixels: of p(x_d = 1|z), and log p(x_d|z), (K, batch, pixels). prior, posterior: log p(z_m) and log q(z_m|x), (K, batch, M).
    """

    logits: Tensor
    pixels: Tensor
    prior: Tensor
    posterior: Tensor

    @cached_property
    def log_px(self) -> Tensor:
        return self.pixels.sum(-1)

    @cached_property
    def log_pz(self) -> Tensor:
        return self.prior.sum(-1)

    @cached_property
    def log_qz(self) -> Tensor:
        return self.posterior.sum(-1)

    @cached_property
    def log_w(self) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x), (K, batch)."""
        return self.log_px + self.log_pz - self.log_qz


class Truth:
    """The probe's model in float64, for a batch x of shape (batch, pixels)."""

    def __init__(self, weights: dict[str, Tensor], x: Tensor):
        self.weights = {name: w.double() for name, w in weights.items()}
        self.x = x.double()
        self.mu, self.log_sigma = self.encode(self.weights)

    def encode(self, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return F.linear(self.x, weights["encoder.weight"], weights["encoder.bias"]).chunk(2, dim=-1)

    def noise(self, z: Tensor) -> Tensor:
        """epsilon of z = mu + sigma epsilon, the shape of z, (..., batch, M)."""
        return (z - self.mu) * (-self.log_sigma).exp()

    def pieces(self, z: Tensor, weights: dict[str, Tensor] | None = None, q: tuple[Tensor, Tensor] | None = None) -> Pieces:
        """At z of shape (K, batch, M); with other weights or another (mu, log_sigma) than the model's where they are given."""
        weights, (mu, log_sigma) = weights or self.weights, q or (self.mu, self.log_sigma)
        logits = F.linear(z, weights["decoder.weight"], weights["decoder.bias"])
        pixels = self.x * logits - F.softplus(logits)
        posterior = -0.5 * ((z - mu) * (-log_sigma).exp()).square() - log_sigma - HALF_LOG_2PI
        return Pieces(logits, pixels, -0.5 * z.square() - HALF_LOG_2PI, posterior)

    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)) in closed form, (batch,) (Kingma & Welling 2014, appendix B)."""
        return (0.5 * ((2 * self.log_sigma).exp() + self.mu.square() - 1) - self.log_sigma).sum(-1)

    def draw(self, num_samples: int, rng: torch.Generator) -> Tensor:
        """z ~ q(z|x), (num_samples, batch, M)."""
        noise = torch.randn(num_samples, *self.mu.shape, generator=rng, dtype=torch.float64)
        return self.mu + self.log_sigma.exp() * noise

    def gradient(self, noise: Tensor, objective: Callable[[Pieces, Pieces], Tensor], stop_z: bool = False) -> dict[str, Tensor]:
        """Gradient of the sum of objective(pieces, pieces with q's parameters stopped), at z = mu + sigma noise.

        Arguments:
            noise: (K, batch, M). stop_z: z is a constant, as `sample()` would give it.
        """
        with torch.enable_grad():
            leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
            mu, log_sigma = self.encode(leaves)
            z = mu + log_sigma.exp() * noise
            z = z.detach() if stop_z else z
            value = objective(self.pieces(z, leaves, (mu, log_sigma)), self.pieces(z, leaves, (mu.detach(), log_sigma.detach())))
            grads = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return {n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(leaves.items(), grads)}
