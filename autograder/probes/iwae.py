"""Probes of unit 02: a small linear VAE that takes several samples, and records of what was asked of it and what came back.

Only calls are made here. What is kept are tensors as they came: results, arguments after the call, gradients, and the rows that
encoder and decoder were asked for, so that whoever judges can redo the arithmetic at the student's own samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.probes.gaussian import as_tensor, differentiate, need_callable
from autograder.probes.inference import LinearVAE
from autograder.probing import OutOfTime, Trouble, describe, time_limit

__all__ = ["SampledVAE", "probe_active_units", "probe_bound", "probe_dreg", "probe_likelihood", "probe_log_weights"]

TILED_SECONDS = 6.0
EVENT_SHAPES = (("images", (1, 28, 28)), ("flat", (784,)))


class SampledVAE(LinearVAE):
    """The linear VAE of unit 01 with `num_samples`, as the library's models have it.

    It keeps the rows that go into encoder and decoder, whichever way they get there.
    """

    def __init__(self, weights: dict[str, Tensor], event_shape: tuple[int, ...]):
        super().__init__(weights, event_shape)
        self.encoded: list[Tensor] = []
        # Closures over the lists: a deep copy of the model, too, writes into these.
        for layer, kept in ((self.encoder, self.encoded), (self.decoder, self.decoded)):
            layer.register_forward_pre_hook(lambda layer, args, kept=kept: keep(kept, args[0]))

    def observation_model(self, z: Tensor) -> Any:
        px = super().observation_model(z)
        self.decoded.pop(-2)  # LinearVAE notes z before it decodes, the hook while it does; once is enough
        return px

    def forward(self, x: Tensor, num_samples: int = 1) -> dict[str, Any]:
        qz = self.posterior(x)
        z = qz.rsample() if num_samples == 1 else qz.rsample((num_samples,))
        return {"px": self.observation_model(z), "pz": self.prior(x.shape[0]), "qz": qz, "z": z}


def keep(kept: list[Tensor], rows: Tensor) -> None:
    """Copy rows of shape (..., features) to the end of a list."""
    try:
        kept.append(torch.empty(rows.shape).copy_(rows.detach()).reshape(-1, rows.shape[-1]))
    except RuntimeError:  # inside torch.vmap a tensor has no values of its own; the result is then judged on average
        kept.append(torch.empty(0, rows.shape[-1]))


def joined(kept: list[Tensor]) -> dict[str, Any]:
    """All rows, and how many came in each call."""
    return {"rows": torch.cat(kept) if kept else torch.zeros(0, 1), "sizes": [len(rows) for rows in kept]}


def record(call: Callable[..., Any], said: str, model: SampledVAE, x: Tensor, *arguments: int) -> dict[str, Any]:
    """One call: its value, x afterwards, what was decoded, how many rows were encoded, and the gradients of the value's sum."""
    model.decoded.clear()
    model.encoded.clear()
    given = x.clone()
    value = as_tensor(call(model, given, *arguments), said)
    found = {"value": value.detach().clone(), "x": given.detach(), "encoded": [len(rows) for rows in model.encoded]} | joined(model.decoded)
    names, parameters = zip(*model.named_parameters())
    return found | {"gradients": differentiate(value.sum(), dict(zip(names, parameters)))}


def probe_sampled(student: Any, inputs: dict[str, Any], said: str) -> dict[str, Any]:
    """The cases (num_samples, examples) on images and on flat pixels, and one call on a batch of many copies.

    Each kind gives ``{"calls": records, "tiled": record}`` or ``{"trouble": sentence}``.
    """
    need_callable(student, said)
    outputs: dict[str, Any] = {}
    for kind, event_shape in EVENT_SHAPES:
        try:
            outputs[kind] = probe_kind(student, inputs, event_shape, said)
        except Trouble as trouble:
            outputs[kind] = {"trouble": str(trouble)}
        except Exception as error:
            outputs[kind] = {"trouble": describe(error)}
    return outputs


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...], said: str) -> dict[str, Any]:
    model = SampledVAE(inputs["weights"], event_shape)
    x = inputs["x"].unflatten(1, event_shape)
    calls: list[dict[str, Any]] = []
    for number, (num_samples, examples) in enumerate(inputs["cases"]):
        try:
            calls.append(record(student, said, model, x[:examples], num_samples))
        except Exception as error:
            if number == 0:
                raise
            calls.append({"trouble": str(error) if isinstance(error, Trouble) else describe(error)})
    outputs: dict[str, Any] = {"calls": calls}
    try:
        with time_limit(TILED_SECONDS):
            tiled = x.repeat(inputs["tile"], *[1] * len(event_shape))
            outputs["tiled"] = record(student, said, model, tiled, inputs["tiled_samples"])
    except OutOfTime:
        pass  # slow is not wrong; the other calls still tell
    except Exception as error:
        outputs["tiled_trouble"] = describe(error)
    return outputs


def probe_bound(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return probe_sampled(student, inputs, "importance_weighted_bound(model, x, num_samples)")


def probe_log_weights(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return probe_sampled(student, inputs, "log_weights(model, x, num_samples)")


def probe_dreg(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """One call on images."""
    said = "dreg_surrogate(model, x, num_samples)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], EVENT_SHAPES[0][1])
    return record(student, said, model, inputs["x"].unflatten(1, EVENT_SHAPES[0][1]), inputs["num_samples"])


def probe_likelihood(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Two calls that differ in their chunks."""
    said = "log_likelihood(model, x, num_samples, chunk)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], EVENT_SHAPES[0][1])
    x = inputs["x"].unflatten(1, EVENT_SHAPES[0][1])
    return {"calls": [record(student, said, model, x, *case) for case in inputs["cases"]]}


def probe_active_units(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The count and the variances, on images."""
    said = "active_units(model, x)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], EVENT_SHAPES[0][1])
    given = inputs["x"].clone().unflatten(1, EVENT_SHAPES[0][1])
    result = student(model, given)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Trouble(f"`{said}` must return two things, the count and the variances; yours returned {type(result).__name__}.")
    count, variances = result
    try:
        count = float(count)
    except (TypeError, ValueError, RuntimeError):
        raise Trouble(f"The count that `{said}` returned is no single number but {type(count).__name__}.") from None
    return {"count": count, "variances": as_tensor(variances, f"{said}[1]").detach(), "x": given}
