"""What unit 04's probes hand to a student's code: costs of codes, and a small model. They know no expectation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Cost", "CostModel", "combine"]


class Cost:
    """f(z) = offset + theta_b . tanh(W z + bias_b), z (samples, batch or 1, L, C) -> (samples, batch).

    It keeps the codes that it is asked for, so that whoever judges can redo the arithmetic.
    """

    def __init__(self, problem: dict[str, Any], theta: Tensor):
        self.problem, self.theta = problem, theta
        self.codes: list[Tensor] = []
        self.x = problem["bias"]

    def __call__(self, z: Tensor) -> Tensor:
        latents, classes = self.problem["logits"].shape[-2:]
        examples = len(self.theta)
        if not isinstance(z, Tensor) or z.dim() < 3 or z.shape[-2:] != (latents, classes) or z.shape[-3] not in (1, examples):
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"f takes one-hot codes of shape (samples, batch, {latents}, {classes}); it was given {shape}")
        self.codes.append(z.detach().clone())
        z = z.to(self.theta.dtype)
        hidden = torch.tanh(z.flatten(-2) @ self.problem["hidden"] + self.problem["bias"])
        return self.problem["offset"] + (hidden * self.theta).sum(-1)


class CostModel:
    """A model with the course's interface: logits(x), cost(x) and log_px(x, z). Both of its layers are linear."""

    def __init__(self, encoder: Tensor, decoder: Tensor):
        self.encoder, self.decoder = encoder, decoder  # (D, L, C) and (L * C, D)
        self.latents, self.classes = encoder.shape[1:]

    def logits(self, x: Tensor) -> Tensor:
        return torch.einsum("bd,dlc->blc", x, self.encoder)

    def log_px(self, x: Tensor, z: Tensor) -> Tensor:
        pixels = z.to(x.dtype).flatten(-2) @ self.decoder
        return (x * pixels - torch.nn.functional.softplus(pixels)).sum(-1)

    def cost(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda z: -self.log_px(x, z)


def combine(f: Callable[[Tensor], Tensor], logits: Tensor, codes: Tensor, shares: Tensor) -> Tensor:
    """Any function of f and logits will do to see how the parts are put together: the costs of a few codes, in given shares."""
    return (shares * f(codes)).sum(0) + 0.1 * logits.square().flatten(1).sum(1)
