"""What runs beside the student's code in unit 04, where the general probe of a function does not serve."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# --- what a student's code is handed --------------------------------------------------------------


class Cost:
    """f(z) = offset + theta_b . tanh(W z + bias_b), z (samples, batch or 1, L, C) -> (samples, batch). It keeps the codes asked for."""

    def __init__(self, problem: dict[str, Any], theta: Tensor):
        self.problem, self.theta = problem, theta
        self.codes: list[Tensor] = []
        self.x = problem["bias"]

    def __call__(self, z: Tensor) -> Tensor:
        (latents, classes), examples = self.problem["logits"].shape[-2:], len(self.theta)
        if not isinstance(z, Tensor) or z.dim() < 3 or z.shape[-2:] != (latents, classes) or z.shape[-3] not in (1, examples):
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"f takes one-hot codes of shape (samples, batch, {latents}, {classes}); it was given {shape}")
        self.codes.append(z.detach().clone())
        hidden = torch.tanh(z.to(self.theta.dtype).flatten(-2) @ self.problem["hidden"] + self.problem["bias"])
        return self.problem["offset"] + (hidden * self.theta).sum(-1)
