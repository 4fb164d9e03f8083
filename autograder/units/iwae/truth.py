"""The linear VAE that unit 02's probes call student code with, in closed form and float64."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Truth", "draw_model", "draw_sampled", "log_mean_exp"]

PIXELS, LATENTS, EXAMPLES, AGAIN = 784, 4, 6, 20


def draw_model(rng: torch.Generator) -> dict[str, Any]:
    """A linear VAE and six images that it likes to very different degrees: log p(x|z) from some -250 to below -900 nats.

    So exp(log w) is 0 for every image in float32 and for the last one in float64, too. The means of q lie 9 apart in the first
    two latents, six standard deviations and more from where two q meet: they tell of any z which example it was drawn for. For
    the first example q is near the prior, and log q(z|x) - log p(z) often below zero.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    bias = 2.2 * normal(PIXELS) - 0.8
    likes = torch.linspace(0.95, 0.2, EXAMPLES)[:, None]  # how often a pixel is what the decoder's bias says
    x = ((torch.rand(EXAMPLES, PIXELS, generator=rng) < likes) == (bias > 0)).float()
    means = 1.2 * normal(EXAMPLES, LATENTS)
    means[0] *= 0.1
    means[:, :2] = 9.0 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    log_sigma = -torch.tensor([0.3, 0.25, 0.05, 0.25]) + 0.05 * normal(EXAMPLES, LATENTS)
    log_sigma[1:, :2] -= 0.75
    weights = {
        "encoder.weight": (torch.linalg.pinv(x) @ torch.cat([means, log_sigma], 1)).T, "encoder.bias": torch.zeros(2 * LATENTS),
        "decoder.weight": 0.12 * normal(PIXELS, LATENTS) * torch.tensor([0.3, 0.3, 1.0, 1.0]), "decoder.bias": bias,
    }
    return {"weights": weights, "x": x}


def draw_sampled(rng: torch.Generator, signature: str, sample_dimension: bool, slopes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Few samples; one; those of one example; of a model whose logits saturate; many; and the first call again and again.

    The numbers of samples, examples and latents are all different, so that an axis taken for another shows in the shape.
    """
    inputs = draw_model(rng)
    bias = inputs["weights"]["decoder.bias"].clone()
    bias[::40] = 40.0 * bias[::40].sign()  # 20 pixels; some examples are right about one, and some are not
    everyone = torch.arange(EXAMPLES)

    def case(num_samples: int, rows: Tensor, **more: Any) -> dict[str, Any]:
        shape = [num_samples, len(rows)] if sample_dimension else [len(rows)]
        return {"arguments": [num_samples], "rows": rows, "shape": shape} | more

    cases = {
        "usual": case(7, everyone), "one sample": case(1, everyone), "one example": case(19, everyone[:1]),
        "saturated": case(7, everyone, weights={"decoder.bias": bias}), "many samples": case(260, everyone[:2]),
        **{f"again {n}": case(7, everyone) for n in range(1, AGAIN + 1)},
    }
    for name in slopes:
        cases[name]["slopes"] = True
    return inputs | {"signature": signature, "cases": cases}


def log_mean_exp(log_w: Tensor) -> Tensor:
    """L_K of log-weights (K, batch) (Burda et al. 2016, equation 8)."""
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


class Truth:
    """The probe's model in float64, for a batch x of shape (batch, pixels).

    Attributes:
        mu, log_sigma: (batch, M) of q(z|x).
    """

    def __init__(self, weights: dict[str, Tensor], x: Tensor):
        self.weights, self.x = {name: w.double() for name, w in weights.items()}, x.double()
        encoded = F.linear(self.x, self.weights["encoder.weight"], self.weights["encoder.bias"])
        self.mu, self.log_sigma = encoded.chunk(2, dim=-1)

    def noise(self, z: Tensor) -> Tensor:
        """epsilon of z = mu + sigma epsilon, the shape of z, (..., batch, M)."""
        return (z - self.mu) * (-self.log_sigma).exp()

    def kl(self, z: Tensor) -> Tensor:
        """log q(z|x) - log p(z) at z of shape (K, batch, M); shape (K, batch). The log(2 pi) of p and q cancel."""
        return (0.5 * z.square() - 0.5 * self.noise(z).square() - self.log_sigma).sum(-1)

    def log_w(self, z: Tensor) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x), (K, batch)."""
        logits = F.linear(z, self.weights["decoder.weight"], self.weights["decoder.bias"])
        return (self.x * logits - F.softplus(logits)).sum(-1) - self.kl(z)
