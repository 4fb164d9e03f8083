"""A small VAE for student code to be called with. It keeps what went through it, and draws what it was given to draw.

It runs beside the student's code: nothing is judged here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from autograder.exercises.functions import attempt
from elbolab.distributions import Bernoulli, ReparameterizedDiagonalGaussian

__all__ = ["RecordingVAE", "of_each_kind"]

KINDS = {"images": (1, 28, 28), "flat": (784,)}


def of_each_kind(inputs: dict[str, Any], call: Callable[[tuple[int, ...]], Any], well_shaped: Callable[[Any], bool]) -> dict[str, Any]:
    """What ``call(event_shape)`` gives, or ``{"trouble"}``, with images and, where that is not well shaped, with flat pixels."""
    outputs: dict[str, Any] = {}
    for kind, event_shape in KINDS.items():
        if inputs.get("kind", kind) == kind:
            outputs[kind] = attempt(lambda event_shape=event_shape: call(event_shape))
            if well_shaped(outputs[kind]):
                break  # flat pixels can tell nothing more
    return outputs


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

    model: "RecordingVAE | None" = None  # copies, as `expand` makes them, have none

    def sample_epsilon(self, sample_shape: Any = ()) -> Tensor:
        fresh = super().sample_epsilon(sample_shape)
        return fresh if self.model is None else self.model.given_back(fresh, self.mu)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        z = super().rsample(sample_shape)
        return z if self.model is None else Keep.apply(z, self.model.drawn.append, z.shape[-1])


class Given(nn.Linear):
    """A linear layer of these weights; it is made often, so none are drawn first."""

    def __init__(self, weight: Tensor, bias: Tensor):
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())


class RecordingVAE(nn.Module):
    """A VAE with one linear layer each way, Bernoulli pixels, and the interface of the course's models.

    It keeps the rows that go into the decoder, whichever way they get there, the first pixel of those that go into the
    encoder, and what its posterior draws.
    """

    def __init__(self, weights: dict[str, Tensor], event_shape: tuple[int, ...]):
        super().__init__()
        self.input_shape = torch.Size(event_shape)
        self.encoder, self.decoder = (Given(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("encoder", "decoder"))
        self.latent_features = self.decoder.in_features
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
