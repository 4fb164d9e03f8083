"""Probes of unit 02's functions on plain tensors. Results and arguments come back as they are; nothing is compared here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from autograder.probes.experiments import read_table
from autograder.probes.gaussian import as_tensor, need_callable
from autograder.probing import Trouble, describe

__all__ = [
    "probe_bounds_table",
    "probe_effective_sample_size",
    "probe_importance_estimate",
    "probe_normalized_weights",
    "probe_over_samples",
    "probe_resample",
]


def probe_importance_estimate(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Two calls, with a function f(z) = a z^2 + b sin(2 z) + c that keeps the z it is called with."""
    said = "importance_estimate(f, p, q, num_samples)"
    need_callable(student, said)
    a, b, c = inputs["f"]
    calls = []
    for _ in range(2):
        seen: list[Tensor] = []

        def f(z: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(z.detach().clone().reshape(-1))
            return a * z**2 + b * torch.sin(2 * z) + c

        value = student(f, Normal(*inputs["p"]), Normal(*inputs["q"]), inputs["num_samples"])
        value = torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value  # a single number was asked for
        calls.append({"value": as_tensor(value, said).detach(), "z": torch.cat(seen) if seen else torch.zeros(0)})
    return {"calls": calls}


def probe_over_samples(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """A batch of vectors, of images and of numbers, folded through a function that keeps what it is called with."""
    said = "over_samples(f, z)"
    need_callable(student, said)
    outputs: dict[str, Any] = {}
    for name, z in inputs.items():
        seen: list[Tensor] = []

        def f(rows: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(rows.detach().clone())
            return torch.stack([rows * 2 + 1, rows.square()], dim=-1)

        try:
            given = z.clone()
            outputs[name] = {"value": as_tensor(student(f, given), said).detach().clone(), "seen": seen, "z": given}
        except Exception as error:
            if not outputs:
                raise
            outputs[name] = {"trouble": str(error) if isinstance(error, Trouble) else describe(error)}
    return outputs


def probe_normalized_weights(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return on_log_weights(student, inputs, "normalized_weights(log_w)")


def probe_effective_sample_size(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return on_log_weights(student, inputs, "effective_sample_size(log_w)")


def on_log_weights(student: Any, inputs: dict[str, Any], said: str) -> dict[str, Any]:
    """The function on each of the log-weights drawn."""
    need_callable(student, said)
    outputs: dict[str, Any] = {}
    for name, log_w in inputs.items():
        try:
            given = log_w.clone()
            outputs[name] = {"value": as_tensor(student(given), said).detach().clone(), "log_w": given}
        except Exception as error:
            if not outputs:
                raise
            outputs[name] = {"trouble": str(error) if isinstance(error, Trouble) else describe(error)}
    return outputs


def probe_resample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Draws with moderate log-weights, the same once more, and with log-weights of some -900."""
    said = "resample(z, log_w, num_draws)"
    need_callable(student, said)
    outputs: dict[str, Any] = {}
    for name, log_w in (("usual", inputs["log_w"]), ("again", inputs["log_w"]), ("far", inputs["log_w"] - 900.0)):
        z, given = inputs["z"].clone(), log_w.clone()
        try:
            outputs[name] = {"value": as_tensor(student(z, given, inputs["num_draws"]), said).detach().clone(), "z": z, "log_w": given}
        except Exception as error:
            if not outputs:
                raise
            outputs[name] = {"trouble": str(error) if isinstance(error, Trouble) else describe(error)}
    return outputs


def probe_bounds_table(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Columns num_samples, bound and ess, as lists."""
    return read_table(student, "bound_results", (), ("num_samples", "bound", "ess"))
