"""What runs beside the student's code in unit 01, where the general probe of a function does not serve."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from autograder.exercises import functions
from autograder.exercises.functions import as_tensor, attempt, differentiate, need_callable
from autograder.probing import OutOfTime, Trouble, describe, time_limit
from elbolab.distributions import Bernoulli, ReparameterizedDiagonalGaussian

__all__ = ["LinearVAE", "example", "probe_estimator", "probe_inference", "probe_log_prob", "probe_rsample"]

# --- VariationalInference ------------------------------------------------------------------------

DIAGNOSTICS = ("elbo", "log_px", "kl")
TILED_SECONDS = 5.0


class GradModeWatch(TorchFunctionMode):
    """Notes whether the code inside turned gradients off (`torch.no_grad`)."""

    def __init__(self):
        super().__init__()
        self.turned_off = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch._C._set_grad_enabled and args and args[0] is False:
            self.turned_off = True
        return func(*args, **(kwargs or {}))


class Replayed(ReparameterizedDiagonalGaussian):
    """The library's Gaussian, with samples that are made of given noise."""

    def __init__(self, mu: Tensor, log_sigma: Tensor, noise: Tensor):
        super().__init__(mu, log_sigma)
        self.noise = noise

    def sample_epsilon(self, sample_shape=()) -> Tensor:
        return self.noise.to(self.mu.dtype)


class LinearVAE(nn.Module):
    """A VAE with one linear layer each way, Bernoulli pixels and the interface of the course's models.

    It keeps the latents that it decodes, so that whoever judges can redo the arithmetic. `noise` is that of its next samples, if given.
    """

    def __init__(self, weights: dict[str, Tensor], event_shape: tuple[int, ...]):
        super().__init__()
        self.noise: Tensor | None = None
        self.input_shape = torch.Size(event_shape)
        pixels, self.latent_features = weights["decoder.weight"].shape
        self.encoder = nn.Linear(pixels, 2 * self.latent_features)
        self.decoder = nn.Linear(self.latent_features, pixels)
        self.load_state_dict(weights)
        self.decoded: list[Tensor] = []

    def posterior(self, x: Tensor) -> ReparameterizedDiagonalGaussian:
        mu, log_sigma = self.encoder(x.flatten(1)).chunk(2, dim=-1)
        return ReparameterizedDiagonalGaussian(mu, log_sigma) if self.noise is None else Replayed(mu, log_sigma, self.noise)

    def prior(self, batch_size: int = 1) -> ReparameterizedDiagonalGaussian:
        zeros = torch.zeros(batch_size, self.latent_features)
        return ReparameterizedDiagonalGaussian(zeros, zeros.clone())

    def observation_model(self, z: Tensor) -> Bernoulli:
        self.decoded.append(z.detach().clone())
        return Bernoulli(logits=self.decoder(z).unflatten(-1, self.input_shape), validate_args=False)

    def forward(self, x: Tensor) -> dict[str, Any]:
        qz = self.posterior(x)
        z = qz.rsample()
        return {"px": self.observation_model(z), "pz": self.prior(x.shape[0]), "qz": qz, "z": z}


def probe_inference(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call it on images and, where they are trouble, on flat pixels.

    Each kind gives ``{"calls": records, "tiled": records}`` or ``{"trouble": sentence}``.
    """
    need_callable(student, "VariationalInference(beta)")
    outputs = {}
    for kind, event_shape in (("images", (1, 28, 28)), ("flat", (784,))):
        if inputs.get("kind", kind) != kind:
            continue
        try:
            outputs[kind] = probe_kind(student, inputs, event_shape)
        except Trouble as trouble:
            outputs[kind] = {"trouble": str(trouble)}
        except Exception as error:
            outputs[kind] = {"trouble": describe(error)}
        if well_shaped(outputs[kind], len(inputs["x"])):
            break
    return outputs


def well_shaped(part: dict[str, Any], batch: int) -> bool:
    """Whether every call gave one loss and diagnostics of shape (batch,): then flat pixels can tell nothing more."""
    if "trouble" in part or "later_trouble" in part:
        return False
    calls = part["calls"]
    return all(c["loss"].numel() == 1 and all(c[name].shape == (batch,) for name in DIAGNOSTICS) for c in calls)


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...]) -> dict[str, Any]:
    """Each beta on distinct examples; then the first beta on tiled ones, and each once more on the distinct ones."""
    model, noise = LinearVAE(inputs["weights"], event_shape), iter(inputs.get("noise", ()))
    x = inputs["x"].unflatten(1, event_shape)
    tiled = x.repeat(inputs["tile"], *[1] * len(event_shape))
    objects = [with_beta(student, beta) for beta in inputs["betas"]]
    outputs: dict[str, Any] = {"calls": [], "tiled": []}

    def call_each() -> None:
        outputs["calls"] += [record(vi, model, x, beta, next(noise, None)) for vi, beta in zip(objects, inputs["betas"])]

    call_each()
    try:
        with time_limit(TILED_SECONDS):
            for _ in range(inputs["tiled_calls"]):
                outputs["tiled"].append(record(objects[0], model, tiled, inputs["betas"][0], next(noise, None)))
                del outputs["tiled"][-1]["x_after"]  # large, and the single calls tell
    except OutOfTime:
        pass  # slow is not wrong; the single calls still tell
    except Exception as error:
        return outputs | {"later_trouble": describe(error)}
    if inputs.get("rounds", 2) == 2:
        call_each()
    return outputs


def with_beta(student: Any, beta: float) -> Any:
    try:
        return student(beta)
    except TypeError:
        return student(beta=beta)


def record(vi: Any, model: LinearVAE, x: Tensor, beta: float, noise: Tensor | None) -> dict[str, Any]:
    """One call's loss, diagnostics, gradients and the latents it decoded, as plain values."""
    model.decoded.clear()
    model.noise = noise
    model.train()
    given = x.clone()
    call = vi if callable(vi) else getattr(vi, "forward", None)
    if call is None:
        raise Trouble("`VariationalInference(beta)` cannot be called with `(model, x)`: it has no `forward`.")
    with GradModeWatch() as watch:
        loss, diagnostics = unpack(call(model, given))
    result: dict[str, Any] = {"beta": beta, "loss": loss.detach().clone(), "x_after": given}
    try:
        values = {name: diagnostic(diagnostics, name) for name in DIAGNOSTICS}
    except Trouble as trouble:  # the loss can be judged all the same
        result["diagnostics_trouble"] = str(trouble)
        values = {name: torch.zeros(0) for name in DIAGNOSTICS}
    result["with_graph"] = [name for name, value in values.items() if value.requires_grad]
    result["no_grad_used"] = watch.turned_off
    result |= {name: value.detach().clone() for name, value in values.items()}
    result["decoded"] = list(model.decoded)
    if loss.requires_grad:
        try:
            names, parameters = zip(*model.named_parameters())
            grads = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
            result["grads"] = {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, grads)}
        except RuntimeError as error:
            result["gradient_trouble"] = describe(error)
    return result


def unpack(result: Any) -> tuple[Tensor, Any]:
    """The loss and the diagnostics out of ``loss, diagnostics, outputs`` (a tuple, a namedtuple, or by name)."""
    if result is None:
        raise Trouble("`vi(model, x)` returned None. End with `return loss, diagnostics, outputs`.")
    if isinstance(result, Mapping) and "loss" in result and "diagnostics" in result:
        loss, diagnostics = result["loss"], result["diagnostics"]
    elif isinstance(result, (tuple, list)) and len(result) >= 3:
        loss, diagnostics = result[0], result[1]
    elif hasattr(result, "loss") and hasattr(result, "diagnostics"):
        loss, diagnostics = result.loss, result.diagnostics
    else:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise Trouble(f"`vi(model, x)` must return three things, `loss, diagnostics, outputs`; yours returned {what}.")
    if isinstance(loss, (int, float)):
        loss = torch.tensor(float(loss))
    return as_tensor(loss, "vi(model, x)[0], the loss"), diagnostics


def diagnostic(diagnostics: Any, name: str) -> Tensor:
    """One diagnostic, from a dict or by attribute; plain numbers and arrays are taken as tensors."""
    if isinstance(diagnostics, Mapping):
        value = diagnostics.get(name)
        has = ", ".join(map(str, diagnostics))
    else:
        value = getattr(diagnostics, name, None)
        has = type(diagnostics).__name__
    if value is None:
        raise Trouble(f'The diagnostics have no entry "{name}". They need "elbo", "log_px" and "kl"; yours: {has or "none"}.')
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(value, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError):
            raise Trouble(f'The diagnostic "{name}" is {type(value).__name__} where a tensor of shape (batch,) was expected.') from None
    return as_tensor(value, f'diagnostics["{name}"]')


# --- ReparameterizedDiagonalGaussian -------------------------------------------------------------


def probe_rsample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Samples of two instances, of shapes with a one in them, and one that is differentiated by its parameters.

    Returns:
        "draws" (2 * calls, *shape), "of_size_one": two shapes, the parameters "given" and as they were "after",
        "gradient": "z" and, by parameter, dz/d...
    """
    need_callable(student, "ReparameterizedDiagonalGaussian(mu, log_sigma)")

    def sample(mu: Tensor, log_sigma: Tensor, calls: int) -> list[Tensor]:
        rsample = method(student(mu, log_sigma), "rsample")
        return [as_tensor(rsample(), "rsample()") for _ in range(calls)]

    draws: list[Tensor] = []
    given = {name: inputs[name] for name in ("mu", "log_sigma")}
    for _ in range(2):
        after = {name: value.clone() for name, value in given.items()}
        draws += [z.detach().clone() for z in sample(*after.values(), inputs["calls"])]
    if any(z.shape != draws[0].shape for z in draws):
        raise Trouble("Two calls of `rsample()` gave samples of different shapes.")
    small = [sample(torch.zeros(shape), torch.full(shape, 0.5), 1)[0] for shape in ((1, 3), (3, 1))]

    def gradient() -> dict[str, Any]:
        leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
        z = sample(*(leaf * 1 for leaf in leaves.values()), 1)[0].reshape(inputs["mu"].shape)  # `* 1`: no leaves, as of a network
        slopes = differentiate((z * inputs["weights"]).sum(), leaves)
        return {"z": z.detach()} | {n: None if s is None else s / inputs["weights"] for n, s in slopes.items()} if slopes else {}

    return {"draws": torch.stack(draws), "of_size_one": [list(z.shape) for z in small], "given": given, "after": after,
            "gradient": attempt(gradient)}


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


# --- estimators of d/dmu E[f(z)] -----------------------------------------------------------------


def example(a: float, b: float, c: float) -> Callable[[Tensor], Tensor]:
    """f(z) = a z^2 + b sin(2 z) + c."""
    return lambda z: a * z.square() + b * torch.sin(2 * z) + c


class ReplayedDraws(TorchFunctionMode):
    """`torch.randn` gives these draws back."""

    def __init__(self, draws: Tensor):
        super().__init__()
        self.draws = draws.float()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.randn:
            return self.draws if args[0] else self.draws[0]
        return function(*args, **(kwargs or {}))


def probe_estimator(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """By setting the "estimates"; of the samples at which f was evaluated the "noise" (z - mu) / sigma, None without any.

    With "noise" in the inputs the samples are those of that noise, and "epsilon" is what `torch.randn` had to give for it.
    """
    need_callable(student, "the function(f, mu, log_sigma, num_samples)")
    outputs: dict[str, list[Any]] = {"estimates": [], "noise": [], "epsilon": []}
    for setting, wanted in zip(inputs["settings"], inputs.get("noise", [None] * len(inputs["settings"]))):
        value, noise = estimate(student, setting, inputs["num_samples"], wanted)
        if wanted is not None and noise is not None and abs(float(noise[0])) > 1e-5:
            wanted = wanted * (wanted[0] / noise[0])
            value, noise = estimate(student, setting, inputs["num_samples"], wanted)
        for name, one in (("estimates", value), ("noise", noise), ("epsilon", wanted)):
            outputs[name].append(one)
    return outputs


def estimate(student: Any, setting: tuple[float, ...], n: int, draws: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The estimates of one call, and the noise in the samples at which f was evaluated."""
    *coefficients, mu, log_sigma = setting
    f, seen = example(*coefficients), []

    def watched(z: Tensor) -> Tensor:
        seen.append(z.detach().clone())
        return f(z)

    with contextlib.nullcontext() if draws is None else ReplayedDraws(draws):
        try:
            value = student(watched, torch.tensor(mu), torch.tensor(log_sigma), n)
        except RuntimeError:  # it may want parameters that carry gradients
            seen.clear()
            value = student(watched, torch.tensor(mu, requires_grad=True), torch.tensor(log_sigma, requires_grad=True), n)
    samples = [z for z in seen if z.shape == (n,)]
    noise = (samples[-1].double() - mu) / math.exp(log_sigma) if samples else None
    return as_tensor(value, "the function(f, mu, log_sigma, num_samples)").detach(), noise
