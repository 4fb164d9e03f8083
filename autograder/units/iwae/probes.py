"""What runs beside the student's code in unit 02, where the general probe of a function does not serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from autograder.exercises.functions import as_tensor, attempt, differentiate, need_callable
from autograder.probing import Trouble
from elbolab.distributions import Bernoulli, ReparameterizedDiagonalGaussian

# --- a model that takes several samples ----------------------------------------------------------


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


class Posterior(ReparameterizedDiagonalGaussian):
    """A Gaussian that keeps what it draws with its model; and draws what was recorded, where the model was given that."""

    model: SampledVAE | None = None  # copies, as `expand` makes them, have none

    def sample_epsilon(self, sample_shape: Any = ()) -> Tensor:
        fresh = super().sample_epsilon(sample_shape)
        return fresh if self.model is None else self.model.given_back(fresh, self.mu)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        z = super().rsample(sample_shape)
        return z if self.model is None else Keep.apply(z, self.model.drawn.append, z.shape[-1])


class SampledVAE(nn.Module):
    """A VAE with one linear layer each way, Bernoulli pixels, and the interface of the course's models.

    It keeps the rows that go into the decoder, whichever way they get there, the first pixel of those that go into the
    encoder, and what its posterior draws.
    """

    def __init__(self, weights: dict[str, Tensor], event_shape: tuple[int, ...]):
        super().__init__()
        self.input_shape = torch.Size(event_shape)
        pixels, self.latent_features = weights["decoder.weight"].shape
        sizes = ((pixels, 2 * self.latent_features), (self.latent_features, pixels))
        self.encoder, self.decoder = (nn.utils.skip_init(nn.Linear, *size) for size in sizes)
        self.to(weights["decoder.weight"].dtype).load_state_dict(weights)
        self.decoded: list[Tensor] = []
        self.encoded: list[Tensor] = []
        self.drawn: list[Tensor] = []
        self.noise: list[Tensor] = []
        # Closures over the lists: a deep copy of the model, too, writes into these.
        for layer, kept, width in ((self.encoder, self.encoded, 1), (self.decoder, self.decoded, self.latent_features)):
            layer.register_forward_pre_hook(lambda layer, args, kept=kept, width=width: Keep.apply(args[0], kept.append, width))

    def start(self, x: Tensor, noise: Tensor | None) -> None:
        """Forget what was kept. `noise`, (samples, batch, M), is what the posterior is to draw for the examples x."""
        self.noise = [] if noise is None else list(noise.unbind(1))
        if self.noise:
            self.means = self.encoder(x.flatten(1)).detach()[:, : self.latent_features]
        for kept in (self.decoded, self.encoded, self.drawn):
            kept.clear()

    def given_back(self, fresh: Tensor, mu: Tensor) -> Tensor:
        """The next recorded noise of the example that each row of mu, (rows, M), is of; fresh noise where there is no more."""
        if not self.noise:
            return fresh
        epsilon = fresh.reshape(-1, *mu.shape)
        for row, example in enumerate(torch.cdist(mu.detach(), self.means).argmin(1).tolist()):
            given, self.noise[example] = self.noise[example].tensor_split([len(epsilon)])
            epsilon[: len(given), row] = given
        return epsilon.reshape(fresh.shape)

    def posterior(self, x: Tensor) -> ReparameterizedDiagonalGaussian:
        q = Posterior(*self.encoder(x.flatten(1)).chunk(2, dim=-1))
        q.model = self
        return q

    def prior(self, batch_size: int = 1) -> ReparameterizedDiagonalGaussian:
        zeros = torch.zeros(batch_size, self.latent_features)
        return ReparameterizedDiagonalGaussian(zeros, zeros.clone())

    def observation_model(self, z: Tensor) -> Bernoulli:
        return Bernoulli(logits=self.decoder(z).unflatten(-1, self.input_shape), validate_args=False)

    def forward(self, x: Tensor, num_samples: int = 1) -> dict[str, Any]:
        qz = self.posterior(x)
        z = qz.rsample() if num_samples == 1 else qz.rsample((num_samples,))
        return {"px": self.observation_model(z), "pz": self.prior(x.shape[0]), "qz": qz, "z": z}


# --- log-weights, the bound, log p(x), DReG ------------------------------------------------------

KINDS = {"images": (1, 28, 28), "flat": (784,)}


def probe_sampled(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call it with the model in every case: with images and, where these come back in other shapes than asked for, with flat pixels.

    A case has the rows of x, the "arguments" behind it and the "shape" of the result; perhaps "weights" in which the model differs,
    "slopes" to differentiate, "noise" for the posterior to draw. Each kind gives, by case, a record or ``{"trouble"}``.
    """
    need_callable(student, inputs["signature"])
    outputs: dict[str, Any] = {}
    for kind, event_shape in KINDS.items():
        if inputs.get("kind", kind) == kind:
            outputs[kind] = attempt(lambda event_shape=event_shape: probe_kind(student, inputs, event_shape))
            values = [found.get("value") for found in outputs[kind].values() if isinstance(found, dict)]
            if values and all(v is not None and list(v.shape) == c["shape"] for v, c in zip(values, inputs["cases"].values())):
                break  # flat pixels can tell nothing more
    return outputs


def probe_kind(student: Any, inputs: dict[str, Any], event_shape: tuple[int, ...]) -> dict[str, Any]:
    weights, x = inputs["weights"], inputs["x"].unflatten(1, event_shape)
    usual, outputs = SampledVAE(weights, event_shape), {}
    for name, case in inputs["cases"].items():
        model = SampledVAE(weights | case["weights"], event_shape) if "weights" in case else usual
        outputs[name] = attempt(lambda case=case, model=model: record(student, inputs["signature"], model, x[case["rows"]], case))
        if "trouble" in outputs[name] and len(outputs) == 1:
            raise Trouble(outputs[name]["trouble"])
    return outputs


def record(call: Callable[..., Any], signature: str, model: SampledVAE, x: Tensor, case: dict[str, Any]) -> dict[str, Any]:
    """One call: its value, x afterwards, what was decoded, encoded and drawn, and the gradients of the value's sum."""
    given = x.clone()
    model.start(given, case.get("noise"))
    value = as_tensor(call(model, given, *case["arguments"]), signature)
    kept = {name: list(getattr(model, name)) for name in ("decoded", "encoded", "drawn")}
    found = {"value": value.detach().clone(), "after": given.detach(), **kept, "graph": value.requires_grad, "arguments": case["arguments"]}
    if case.get("slopes"):
        leaves = dict(model.named_parameters())
        slopes = attempt(lambda: differentiate(value.sum(), leaves))
        found["slopes"] = {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in slopes.items()}
    return found


# --- functions on plain tensors ------------------------------------------------------------------


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
    """Tensors of several shapes, folded through a function; how many times that was called, and z afterwards."""
    said = "over_samples(f, z)"
    need_callable(student, said)

    def call(z: Tensor) -> dict[str, Any]:
        calls: list[int] = []

        def f(rows: Tensor) -> Tensor:
            calls.append(1)
            return torch.stack([rows * 2 + 1, rows.square()], dim=-1)

        given = z.clone()
        return {"value": as_tensor(student(f, given), said).detach().clone(), "calls": len(calls), "z": given}

    return each(call, inputs)


def probe_resample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Draws with moderate log-weights, the same once more, and with log-weights of some -900."""
    said = "resample(z, log_w, num_draws)"
    need_callable(student, said)

    def call(log_w: Tensor) -> dict[str, Any]:
        z, given = inputs["z"].clone(), log_w.clone()
        value = as_tensor(student(z, given, inputs["num_draws"]), said)
        return {"value": value.detach().clone(), "z": inputs["z"], "after": {"z": z, "log_w": given}}

    return each(call, {"usual": inputs["log_w"], "again": inputs["log_w"], "far": inputs["log_w"] - 900.0})


def each(call: Callable[[Any], dict[str, Any]], cases: dict[str, Any]) -> dict[str, Any]:
    """By case what the call gives or ``{"trouble"}``; trouble in the first is all there is."""
    outputs: dict[str, Any] = {}
    for name, given in cases.items():
        outputs[name] = attempt(lambda given=given: call(given))
        if "trouble" in outputs[name] and len(outputs) == 1:
            raise Trouble(outputs[name]["trouble"])
    return outputs


def probe_active_units(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The count and the variances, on images; what the posterior drew."""
    said = "active_units(model, x)"
    need_callable(student, said)
    model, given = SampledVAE(inputs["weights"], KINDS["images"]), inputs["x"].unflatten(1, KINDS["images"]).clone()
    model.start(given, inputs.get("noise"))
    result = student(model, given)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Trouble(f"`{said}` must return two things, the count and the variances; yours returned {type(result).__name__}.")
    count, variances = result
    try:
        count = float(count)
    except (TypeError, ValueError, RuntimeError):
        raise Trouble(f"The count that `{said}` returned is no single number but {type(count).__name__}.") from None
    return {"count": count, "variances": as_tensor(variances, f"{said}[1]").detach(), "x": given.flatten(1), "drawn": list(model.drawn)}
