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
from elbolab.distributions import Bernoulli

__all__ = ["SampledVAE", "probe_active_units", "probe_bound", "probe_dreg", "probe_likelihood", "probe_log_weights"]

TILED_SECONDS = 6.0
IMAGES, FLAT = (1, 28, 28), (784,)


class Keep(torch.autograd.Function):
    """The identity, which keeps its rows; in torch.vmap, too, where a tensor that is asked for its values has none."""

    @staticmethod
    def forward(rows: Tensor, keep: Callable[[Tensor], None], width: int) -> Tensor:
        keep(rows.detach()[..., :width].clone())
        return rows.view_as(rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing is saved."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], rows: Tensor, keep: Callable[[Tensor], None], width: int) -> tuple[Tensor, int]:
        return Keep.apply(rows.movedim(in_dims[0], 0), keep, width), 0


class SampledVAE(LinearVAE):
    """The linear VAE of unit 01 with `num_samples`, as the library's models have it.

    It keeps the rows that go into the decoder, whichever way they get there, and the first pixel of those that go into the encoder.
    """

    def __init__(self, weights: dict[str, Tensor], event_shape: tuple[int, ...]):
        super().__init__(weights, event_shape)
        self.encoded: list[Tensor] = []
        # Closures over the lists: a deep copy of the model, too, writes into these.
        for layer, kept, width in ((self.encoder, self.encoded, 1), (self.decoder, self.decoded, self.latent_features)):
            layer.register_forward_pre_hook(lambda layer, args, kept=kept, width=width: Keep.apply(args[0], kept.append, width))

    def observation_model(self, z: Tensor) -> Bernoulli:
        return Bernoulli(logits=self.decoder(z).unflatten(-1, self.input_shape), validate_args=False)

    def forward(self, x: Tensor, num_samples: int = 1) -> dict[str, Any]:
        qz = self.posterior(x)
        z = qz.rsample() if num_samples == 1 else qz.rsample((num_samples,))
        return {"px": self.observation_model(z), "pz": self.prior(x.shape[0]), "qz": qz, "z": z}


def record(call: Callable[..., Any], said: str, model: SampledVAE, x: Tensor, *arguments: int, gradients: bool = False) -> dict[str, Any]:
    """One call: its value, x afterwards, what was decoded and encoded, and the gradients of the value's sum where they are wanted."""
    model.decoded.clear()
    model.encoded.clear()
    given = x.clone()
    value = as_tensor(call(model, given, *arguments), said)
    found = {"value": value.detach().clone(), "x": given.detach(), "decoded": list(model.decoded), "encoded": list(model.encoded)}
    if gradients:
        names, parameters = zip(*model.named_parameters())
        found["gradients"] = differentiate(value.sum(), dict(zip(names, parameters)))
    return found


def probe_sampled(student: Any, inputs: dict[str, Any], said: str, shape: Callable[[int, int], tuple[int, ...]],
                  gradients: bool) -> dict[str, Any]:
    """Call it on images and, where they are trouble, on flat pixels. `shape` is that of a result, of num_samples and examples.

    Each kind gives ``{"calls": records, "tiled": record}`` or ``{"trouble": sentence}``.
    """
    need_callable(student, said)
    outputs: dict[str, Any] = {}
    for kind, event_shape in (("images", IMAGES), ("flat", FLAT)):
        try:
            outputs[kind] = probe_kind(student, inputs, event_shape, said, gradients)
        except Trouble as trouble:
            outputs[kind] = {"trouble": str(trouble)}
        except Exception as error:
            outputs[kind] = {"trouble": describe(error)}
        values = [r.get("value") for r in outputs[kind].get("calls", ())]
        if values and all(v is not None and v.shape == shape(*case) for v, case in zip(values, inputs["cases"])):
            break  # flat pixels can tell nothing more
    return outputs


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...], said: str, gradients: bool) -> dict[str, Any]:
    """The cases (num_samples, examples), the first with gradients if they are wanted; and one call on a batch of many copies."""
    model = SampledVAE(inputs["weights"], event_shape)
    x = inputs["x"].unflatten(1, event_shape)
    calls: list[dict[str, Any]] = []
    for number, (num_samples, examples) in enumerate(inputs["cases"]):
        try:
            calls.append(record(student, said, model, x[:examples], num_samples, gradients=gradients and number == 0))
        except Exception as error:
            if number == 0:
                raise
            calls.append({"trouble": str(error) if isinstance(error, Trouble) else describe(error)})
    outputs: dict[str, Any] = {"calls": calls}
    try:
        with time_limit(TILED_SECONDS):
            outputs["tiled"] = record(student, said, model, x[inputs["copies"]], inputs["tiled_samples"])
            del outputs["tiled"]["x"]  # large, and the single calls tell
    except OutOfTime:
        pass  # slow is not wrong; the other calls still tell
    except Exception as error:
        outputs["tiled_trouble"] = describe(error)
    return outputs


def probe_bound(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return probe_sampled(student, inputs, "importance_weighted_bound(model, x, num_samples)", lambda k, batch: (batch,), gradients=True)


def probe_log_weights(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return probe_sampled(student, inputs, "log_weights(model, x, num_samples)", lambda k, batch: (k, batch), gradients=False)


def probe_dreg(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """One call on images."""
    said = "dreg_surrogate(model, x, num_samples)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], IMAGES)
    return record(student, said, model, inputs["x"].unflatten(1, IMAGES), inputs["num_samples"], gradients=True)


def probe_likelihood(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Two calls that differ in their chunks."""
    said = "log_likelihood(model, x, num_samples, chunk)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], IMAGES)
    x = inputs["x"].unflatten(1, IMAGES)
    calls: list[dict[str, Any]] = []
    for case in inputs["cases"]:
        try:
            calls.append(record(student, said, model, x, *case, gradients=True))
        except Exception as error:
            if not calls:
                raise
            calls.append({"trouble": str(error) if isinstance(error, Trouble) else describe(error)})
    return {"calls": calls}


def probe_active_units(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The count and the variances, on images."""
    said = "active_units(model, x)"
    need_callable(student, said)
    model = SampledVAE(inputs["weights"], IMAGES)
    given = inputs["x"].clone().unflatten(1, IMAGES)
    result = student(model, given)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Trouble(f"`{said}` must return two things, the count and the variances; yours returned {type(result).__name__}.")
    count, variances = result
    try:
        count = float(count)
    except (TypeError, ValueError, RuntimeError):
        raise Trouble(f"The count that `{said}` returned is no single number but {type(count).__name__}.") from None
    return {"count": count, "variances": as_tensor(variances, f"{said}[1]").detach(), "x": given}
