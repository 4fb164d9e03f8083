"""What runs beside the student's code in unit 02, where the general probe of a function does not serve."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from autograder.exercises import functions
from autograder.exercises.functions import as_tensor, attempt, differentiate, need_callable
from autograder.exercises.recording import KINDS, RecordingVAE, of_each_kind
from autograder.probing import Trouble


def probe_sampled(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call it with the model in every case: with images and, where these come back in other shapes than asked for, with flat pixels.

    A case has the rows of x, the "arguments" behind it and the "shape" of the result; perhaps "weights" in which the model differs,
    "slopes" to differentiate, "noise" for the posterior to draw. Each kind gives, by case, a record or ``{"trouble"}``.
    """
    need_callable(student, inputs["signature"])

    def well_shaped(found: dict[str, Any]) -> bool:
        return all("value" in found.get(name, ()) and list(found[name]["value"].shape) == c["shape"] for name, c in inputs["cases"].items())

    return of_each_kind(inputs, lambda event_shape: probe_kind(student, inputs, event_shape), well_shaped)


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...]) -> dict[str, Any]:
    weights, x = inputs["weights"], inputs["x"].unflatten(1, event_shape)
    usual, outputs = RecordingVAE(weights, event_shape), {}
    for name, case in inputs["cases"].items():
        model = RecordingVAE(weights | case["weights"], event_shape) if case.get("weights") else usual
        outputs[name] = attempt(lambda case=case, model=model: record(student, inputs["signature"], model, x[case["rows"]], case))
        if "trouble" in outputs[name] and len(outputs) == 1:
            raise Trouble(outputs[name]["trouble"])
    return outputs


def record(student: Any, signature: str, model: RecordingVAE, x: Tensor, case: dict[str, Any]) -> dict[str, Any]:
    """One call: its value, x afterwards, what the model kept, and the gradients of the value's sum."""
    model.start(x, case.get("noise"))
    value = as_tensor(student(model, x, *case["arguments"]), signature)
    kept = {name: list(getattr(model, name)) for name in ("decoded", "encoded", "drawn")}
    found = {"value": value.detach().clone(), "after": x.detach(), **kept, "graph": value.requires_grad, "arguments": case["arguments"]}
    if case.get("slopes"):
        leaves = dict(model.named_parameters())
        slopes = attempt(lambda: differentiate(value.sum(), leaves))
        found["slopes"] = {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in slopes.items()}
    return found


def probe_active_units(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The count and the variances, on images; what the posterior drew."""
    said = "active_units(model, x)"
    need_callable(student, said)
    model, given = RecordingVAE(inputs["weights"], KINDS["images"]), inputs["x"].unflatten(1, KINDS["images"]).clone()
    model.start(given, inputs.get("noise"))
    result = student(model, given)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Trouble(f"`{said}` must return two things, the count and the variances; yours returned {type(result).__name__}.")
    count, variances = result
    try:
        count = float(count)
    except (TypeError, ValueError, RuntimeError):
        raise Trouble(f"The count that `{said}` returned is no single number but {type(count).__name__}.") from None
    return {"count": count, "variances": as_tensor(variances, f"{said}[1]").detach(), "x": given.flatten(1), "drawn": model.drawn}


def probe_estimate(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Two calls, with a function f(z) = a z^2 + b sin(2 z) + c that keeps the z it is called with."""
    said = "importance_estimate(f, p, q, num_samples)"
    need_callable(student, said)
    a, b, c = inputs["f"]
    calls = []
    for normal in inputs.get("normals", (Normal, Normal)):
        kept: list[Tensor] = []

        def f(z: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(z.detach().clone().reshape(-1))
            return a * z**2 + b * torch.sin(2 * z) + c

        value = student(f, normal(*inputs["p"]), normal(*inputs["q"]), inputs["num_samples"])
        value = torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value  # a single number was asked for
        calls.append({"value": as_tensor(value, said).detach(), "z": torch.cat([torch.zeros(0), *kept])})
    return {"calls": calls}


def probe_over_samples(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the general probe records of z -> over_samples(f, z), and how many "calls" of f that took."""
    need_callable(student, inputs["signature"])
    calls: list[int] = []

    def f(rows: Tensor) -> Tensor:
        calls.append(1)
        return torch.stack([rows * 2 + 1, rows.square()], dim=-1)

    return functions.probe(lambda z: student(f, z), inputs) | {"calls": len(calls)}
