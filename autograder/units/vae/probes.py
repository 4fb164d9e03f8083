"""What runs beside the student's code in unit 01, where the general probe of a function does not serve."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from autograder.exercises import functions
from autograder.exercises.functions import as_tensor, attempt, differentiate, need_callable
from autograder.exercises.recording import RecordingVAE, of_each_kind
from autograder.probing import Trouble, known_state

DIAGNOSTICS = ("elbo", "log_px", "kl")
DRAWS = (torch.randn, torch.randn_like, torch.normal, torch.Tensor.normal_)


class Watch(TorchFunctionMode):
    """Notes whether the code inside turned gradients off (`torch.no_grad`), and the standard normal numbers that it drew."""

    def __init__(self):
        super().__init__()
        self.turned_off, self.drawn = False, []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch._C._set_grad_enabled and args and args[0] is False:
            self.turned_off = True
        elif function in DRAWS:
            scaled = function is torch.normal and all(isinstance(parameter, Tensor) for parameter in args[:2])
            self.drawn.append(((result - args[0]) / args[1] if scaled else result).detach().clone())
        return result


def probe_inference(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call it on images and, where they are trouble, on flat pixels.

    Each kind gives the records of the "calls", and of the same with the same random numbers "again"; or ``{"trouble"}``.
    """
    need_callable(student, "VariationalInference(beta)")
    return of_each_kind(inputs, lambda event_shape: probe_kind(student, inputs, event_shape), well_shaped)


def well_shaped(found: dict[str, Any]) -> bool:
    """Whether every call gave one loss and diagnostics of shape (batch,)."""
    return "trouble" not in found and all(
        c["loss"].numel() == 1 and all(c[name].shape == c["after"].shape[:1] for name in DIAGNOSTICS) for c in found["calls"])


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...]) -> dict[str, Any]:
    model, x = RecordingVAE(inputs["weights"], event_shape), inputs["x"].unflatten(1, event_shape)
    objects = [with_beta(student, case["beta"]) for case in inputs["calls"]]
    outputs = {}
    for name in inputs["rounds"]:
        with known_state(inputs["seed"]):
            outputs[name] = [record(vi, model, x[: case["examples"]], case) for vi, case in zip(objects, inputs["calls"])]
    return outputs


def with_beta(student: Any, beta: float) -> Any:
    try:
        return student(beta)
    except TypeError:
        return student(beta=beta)


def record(vi: Any, model: RecordingVAE, x: Tensor, case: dict[str, Any]) -> dict[str, Any]:
    """One call's loss, diagnostics, gradients, x afterwards, the latents that were decoded and the noise that was drawn."""
    given = x.clone()
    model.start(given, case.get("noise"))
    model.train()
    call = vi if callable(vi) else getattr(vi, "forward", None)
    if call is None:
        raise Trouble("`VariationalInference(beta)` cannot be called with `(model, x)`: it has no `forward`.")
    watch = Watch()
    with watch if "noise" not in case else contextlib.nullcontext():  # code of ours draws what it is given
        loss, diagnostics = unpack(call(model, given))
    leaves = dict(model.named_parameters())
    found: dict[str, Any] = {"loss": loss.detach().clone().squeeze(), "after": given, "decoded": list(model.decoded)}
    found |= {"drawn": watch.drawn[:64], "no_grad_used": watch.turned_off}
    found["slopes"] = attempt(lambda: {name: torch.zeros_like(leaves[name]) if slope is None else slope
                                       for name, slope in differentiate(loss.sum(), leaves).items()})
    try:
        values = {name: diagnostic(diagnostics, name) for name in DIAGNOSTICS}
    except Trouble as trouble:  # the loss can be judged all the same
        found["diagnostics_trouble"] = str(trouble)
        values = {name: torch.zeros(0) for name in DIAGNOSTICS}
    found["with_graph"] = [name for name, value in values.items() if value.requires_grad]
    return found | {name: value.detach().clone() for name, value in values.items()}


def unpack(result: Any) -> tuple[Tensor, Any]:
    """The loss and the diagnostics out of ``loss, diagnostics, outputs`` (a tuple, a namedtuple, or by name)."""
    if isinstance(result, (tuple, list)) and len(result) >= 3:
        loss, diagnostics = result[:2]
    elif (loss := entry(result, "loss")) is None or (diagnostics := entry(result, "diagnostics")) is None:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise Trouble(f"`vi(model, x)` must return three things, `loss, diagnostics, outputs`; yours returned {what}.")
    return as_tensor(torch.tensor(float(loss)) if isinstance(loss, (int, float)) else loss, "vi(model, x)[0], the loss"), diagnostics


def entry(holder: Any, name: str) -> Any:
    """From a dict or by attribute; None where there is none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def diagnostic(diagnostics: Any, name: str) -> Tensor:
    """One diagnostic; plain numbers and arrays are taken as tensors."""
    value = entry(diagnostics, name)
    if value is None:
        raise Trouble(f'The diagnostics have no entry "{name}". They need "elbo", "log_px" and "kl".')
    if not isinstance(value, Tensor):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            value = torch.as_tensor(value, dtype=torch.float32)
    return as_tensor(value, f'diagnostics["{name}"]')


def probe_rsample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Samples of two instances, of shapes with a one in them, and one that is differentiated; all from one random state.

    Returns:
        "draws" (2 * calls, *shape), "of_size_one": two shapes, the parameters "given" and as they were "after",
        "gradient": "z" and, by parameter, dz/d...
    """
    need_callable(student, "ReparameterizedDiagonalGaussian(mu, log_sigma)")

    def sample(mu: Tensor, log_sigma: Tensor, calls: int) -> list[Tensor]:
        rsample = method(student(mu, log_sigma), "rsample")
        return [as_tensor(rsample(), "rsample()") for _ in range(calls)]

    def gradient() -> dict[str, Any]:
        leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
        z = sample(*(leaf * 1 for leaf in leaves.values()), 1)[0].reshape(inputs["mu"].shape)  # `* 1`: no leaves, as of a network
        slopes = differentiate((z * inputs["weights"]).sum(), leaves)
        return {"z": z.detach()} | {n: None if s is None else s / inputs["weights"] for n, s in slopes.items()} if slopes else {}

    draws: list[Tensor] = []
    given = {name: inputs[name] for name in ("mu", "log_sigma")}
    with known_state(inputs["seed"]):
        found = attempt(gradient)
        for _ in range(2):
            after = {name: value.clone() for name, value in given.items()}
            draws += [z.detach().clone() for z in sample(*after.values(), inputs["calls"])]
    if any(z.shape != draws[0].shape for z in draws):
        raise Trouble("Two calls of `rsample()` gave samples of different shapes.")
    small = [sample(torch.zeros(shape), torch.full(shape, 0.5), 1)[0] for shape in ((1, 3), (3, 1))]
    return {"draws": torch.stack(draws), "of_size_one": [list(z.shape) for z in small], "given": given, "after": after, "gradient": found}


def probe_log_prob(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the general probe records of log_prob(z) as a function of mu, log_sigma and z; "again" is of the same instance."""
    need_callable(student, inputs["signature"])
    outputs = functions.probe(lambda mu, log_sigma, z: method(student(mu, log_sigma), "log_prob")(z), inputs)
    name, given = next(iter(inputs["cases"].items()))
    gaussian = student(given["mu"].clone(), given["log_sigma"].clone())
    gaussian.log_prob(given["z"].clone())
    outputs[name]["again"] = as_tensor(gaussian.log_prob(given["z"].clone()), "log_prob(z)").detach().clone()
    return outputs


def method(instance: Any, name: str) -> Callable[..., Any]:
    """A method of the student's object, or what there is in its place."""
    if not callable(getattr(instance, name, None)):
        raise Trouble(f"The object {type(instance).__name__} has no method `{name}`.")
    return getattr(instance, name)


def probe_estimator(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The "estimates" of each setting, drawn from one random state, so that all code that draws alike has the same samples."""
    need_callable(student, "the function(f, mu, log_sigma, num_samples)")

    def estimate(setting: tuple[float, ...], gradients: bool = False) -> Tensor:
        a, b, c, *parameters = setting
        parameters = [torch.tensor(value, requires_grad=gradients) for value in parameters]
        try:
            with known_state(inputs["seed"]):
                value = student(lambda z: a * z.square() + b * torch.sin(2 * z) + c, *parameters, inputs["num_samples"])
        except RuntimeError:  # it may want parameters that carry gradients
            if gradients:
                raise
            return estimate(setting, gradients=True)
        return as_tensor(value, "the function(f, mu, log_sigma, num_samples)").detach()

    return {"estimates": [estimate(setting) for setting in inputs["settings"]]}
