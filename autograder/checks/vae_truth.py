"""What the probe's linear VAE must give: log p(x|z), the KL and the loss's gradient, in closed form and float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Truth", "draw_inference"]

PIXELS, LATENTS, EXAMPLES = 784, 4, 8


def draw_inference(rng: torch.Generator) -> dict[str, Any]:
    """Random binary images, a linear VAE whose KL is some ten nats (near zero for two), and betas to call with."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    x = (torch.rand(EXAMPLES, PIXELS, generator=rng) < 0.3).float()
    x[:2] *= (torch.rand(2, PIXELS, generator=rng) < 0.01).float()  # nearly blank: q is close to the prior there
    scale = torch.tensor([1.5] * LATENTS + [0.35] * LATENTS) / (0.3 * PIXELS) ** 0.5
    shift = torch.tensor([0.0] * LATENTS + [-0.8] * LATENTS) / (0.3 * PIXELS)
    bias = 0.1 * normal(2 * LATENTS)
    weights = {
        "encoder.weight": normal(2 * LATENTS, PIXELS) * scale[:, None] + shift[:, None],
        "encoder.bias": bias,
        "decoder.weight": 0.2 * normal(PIXELS, LATENTS),
        "decoder.bias": normal(PIXELS) - 0.8,
    }
    beta = 2.25 + 0.5 * float(torch.rand((), generator=rng)) + int(torch.randint(3, (), generator=rng))  # never near a whole number
    return {"weights": weights, "x": x, "betas": [beta, 1.0, 0.0], "tile": 32, "tiled_calls": 8}


@dataclass
class Truth:
    """The closed forms for one batch.

    Attributes:
        x: (batch, pixels). mu, log_sigma: (batch, M) of q(z|x).
    """

    weights: dict[str, Tensor]
    x: Tensor
    mu: Tensor
    log_sigma: Tensor

    @classmethod
    def of(cls, inputs: dict[str, Any], repeats: int = 1) -> Truth:
        weights = {name: w.double() for name, w in inputs["weights"].items()}
        x = inputs["x"].double().repeat(repeats, 1)
        mu, log_sigma = F.linear(x, weights["encoder.weight"], weights["encoder.bias"]).chunk(2, dim=-1)
        return cls(weights, x, mu, log_sigma)

    def logits(self, z: Tensor) -> Tensor:
        return F.linear(z, self.weights["decoder.weight"], self.weights["decoder.bias"])

    def log_px(self, z: Tensor) -> Tensor:
        """log p(x|z) of Bernoulli pixels, (batch,)."""
        return -F.binary_cross_entropy_with_logits(self.logits(z), self.x, reduction="none").sum(-1)

    def kl_at(self, z: Tensor) -> Tensor:
        """log q(z|x) - log p(z), (batch,): the one-sample estimate; the constants log 2 pi cancel."""
        noise = (z - self.mu) * (-self.log_sigma).exp()
        return (0.5 * z.square() - 0.5 * noise.square() - self.log_sigma).sum(-1)

    def kl_terms(self) -> Tensor:
        """KL(q||p) in closed form for each latent (Kingma & Welling 2014, appendix B), (batch, M)."""
        return 0.5 * ((2 * self.log_sigma).exp() + self.mu.square() - 1) - self.log_sigma

    def kl(self) -> Tensor:
        return self.kl_terms().sum(-1)

    def kl_reversed(self) -> Tensor:
        """KL(p||q), (batch,)."""
        return (0.5 * ((1 + self.mu.square()) * (-2 * self.log_sigma).exp() - 1) + self.log_sigma).sum(-1)

    def gradient(self, z: Tensor, kl: str | None, beta: float, log_px: float = 1.0) -> dict[str, Tensor]:
        """Gradient of mean(-log_px + beta * KL) with respect to the model, z = mu + sigma * epsilon.

        Arguments:
            z: (batch, M). kl: "sample" (at z), "closed" or None (left out).
            log_px: factor of the reconstruction.
        """
        batch = len(self.x)
        noise = (z - self.mu) * (-self.log_sigma).exp()
        dlogits = log_px * (self.logits(z).sigmoid() - self.x) / batch
        dz = dlogits @ self.weights["decoder.weight"]
        if kl == "sample":  # log q(z(epsilon)) depends on log_sigma only: -epsilon^2 / 2 - log_sigma
            dz = dz + beta * z / batch
        dmu, dlog_sigma = dz, dz * noise * self.log_sigma.exp()
        if kl == "sample":
            dlog_sigma = dlog_sigma - beta / batch
        if kl == "closed":
            dmu = dmu + beta * self.mu / batch
            dlog_sigma = dlog_sigma + beta * ((2 * self.log_sigma).exp() - 1) / batch
        dencoder = torch.cat([dmu, dlog_sigma], dim=-1)
        return {
            "encoder.weight": dencoder.T @ self.x,
            "encoder.bias": dencoder.sum(0),
            "decoder.weight": dlogits.T @ z,
            "decoder.bias": dlogits.sum(0),
        }
