"""The categorical variational autoencoder, whose truth can be enumerated, and its objectives."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical
from torch.nn import functional as F

from .distributions import Bernoulli
from .gradients import all_codes, enumeration, kl_to_uniform, log_prob_one_hot, rloo, sample_one_hot, vimco
from .gradients.categorical import MOST_CODES
from .models import mlp

__all__ = ["CategoricalVAE", "DiscreteInference", "VimcoInference"]


class CategoricalVAE(nn.Module):
    r"""A variational autoencoder with L independent categorical latents of C classes.

    .. math:: p(z_l) = 1/C, \quad p_\theta(x|z) = \prod_d Bernoulli(x_d | \pi_d(z)),
              \quad q_\phi(z|x) = \prod_l Categorical(z_l | \pi_l(x))

    Where C**L is small (100 for two latents of ten classes) the bound and log p(x) are sums that can be done. The
    decoder does not know x, so the codes are decoded once for the whole batch, and

    .. math:: \log p(x|z) = \sum_d x_d l_d(z) - \log(1 + e^{l_d(z)})

    is one matrix product of the images with the logits l of all codes.

    References:
        Storchastic: A Framework for General Stochastic Automatic Differentiation (van Krieken et al., 2021), the
        discrete VAE of its tutorial https://arxiv.org/abs/2104.00428

    Arguments:
        input_shape: shape of one observation, e.g. `(1, 28, 28)`.
        latents, classes: L and C.
        hidden: widths of the encoder's hidden layers; the decoder has them mirrored.
        pixel_means: `input_shape`, the mean image of the training split. The decoder's last bias starts at its logits,
            so that training starts from the best independent pixels. Otherwise the first thing to learn is that most
            pixels are dark, and whichever code is ahead by then may take all examples for itself.

    >>> _ = torch.manual_seed(0)
    >>> model = CategoricalVAE((1, 28, 28), latents=2, classes=10)
    >>> x = torch.rand(5, 1, 28, 28).round()
    >>> model.logits(x).shape, model.log_px(x, sample_one_hot(model.logits(x), num_samples=3)).shape
    (torch.Size([5, 2, 10]), torch.Size([3, 5]))
    >>> bool((model.exact_elbo(x) <= model.exact_log_px(x)).all())
    True
    """

    def __init__(self, input_shape: Sequence[int], latents: int = 2, classes: int = 10, hidden: Sequence[int] = (512, 256),
                 activation=nn.ReLU, pixel_means: Tensor | None = None):
        super().__init__()
        self.input_shape = torch.Size(input_shape)
        self.latents, self.classes = latents, classes
        pixels = math.prod(self.input_shape)
        self.encoder = mlp(pixels, *hidden, latents * classes, activation=activation)
        self.decoder = mlp(latents * classes, *reversed(hidden), pixels, activation=activation)
        with torch.no_grad():
            # Linear's default is made for L * C inputs of size 1. Of a code's only L are not 0, and the codes would begin all alike.
            self.decoder[0].weight.mul_(classes**0.5)
            if pixel_means is not None:  # clamped: the logit of a pixel that is always dark is minus infinity
                self.decoder[-1].bias.copy_(pixel_means.flatten().clamp(1e-3, 1 - 1e-3).logit())

    @property
    def enumerable(self) -> bool:
        """Are the C**L joint states few enough to visit them all?"""
        return self.classes**self.latents <= MOST_CODES

    def codes(self) -> Tensor:
        """All joint states, one-hot: `(C**L, L, C)`."""
        weight = self.decoder[0].weight
        return all_codes(self.latents, self.classes, weight.dtype, weight.device)

    def logits(self, x: Tensor) -> Tensor:
        """The unnormalized log-probabilities of q(z|x): `(batch, *input_shape)` -> `(batch, L, C)`."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"CategoricalVAE takes batches (batch, {', '.join(map(str, self.input_shape))}) and got {tuple(x.shape)}.")
        return self.encoder(x.flatten(1)).unflatten(-1, (self.latents, self.classes))

    def posterior(self, x: Tensor) -> OneHotCategorical:
        """q(z|x): batch shape `(batch, L)`, event shape `(C,)`."""
        return OneHotCategorical(logits=self.logits(x), validate_args=False)

    def prior(self, batch_size: int = 1) -> OneHotCategorical:
        """p(z), uniform: batch shape `(batch, L)`, event shape `(C,)`."""
        zeros = self.decoder[0].weight.new_zeros(batch_size, self.latents, self.classes)
        return OneHotCategorical(logits=zeros, validate_args=False)

    def decode(self, z: Tensor) -> Tensor:
        """The logits of p(x|z), flat: z `(..., L, C)`, one-hot or relaxed -> `(..., D)`."""
        return self.decoder(z.flatten(-2))

    def observation_model(self, z: Tensor) -> Bernoulli:
        """p(x|z) for z `(..., L, C)`; batch shape `(..., *input_shape)`."""
        return Bernoulli(logits=self.decode(z).unflatten(-1, self.input_shape), validate_args=False)

    def log_px(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), summed over the pixels: z `(S, batch, L, C)` -> `(S, batch)`; codes `(N, 1, L, C)` -> `(N, batch)`, nats.

        Grey pixels are taken too, as in the reference's log; what comes then is no log-probability.
        """
        x, pixels = x.flatten(1), self.decode(z)
        if z.shape[1] == 1:
            pixels = pixels[:, 0]
            return pixels @ x.T + F.logsigmoid(-pixels).sum(-1, keepdim=True)
        return -F.binary_cross_entropy_with_logits(pixels, x.expand_as(pixels), reduction="none").sum(-1)

    def cost(self, x: Tensor) -> "ReconstructionCost":
        """The function z -> -log p(x|z) that the estimators take; it knows its x."""
        return ReconstructionCost(self, x)

    def forward(self, x: Tensor, num_samples: int = 1) -> dict:
        """Encode x and decode S samples.

        Returns a dict:
            "px": p(x|z), batch shape `(S, batch, *input_shape)`,
            "pz": p(z), batch shape `(batch, L)`,
            "qz": q(z|x), batch shape `(batch, L)`,
            "z": the samples, `(S, batch, L, C)`, one-hot, without gradient.
        """
        qz = self.posterior(x)
        z = sample_one_hot(qz.logits, num_samples)
        return {"px": self.observation_model(z), "pz": self.prior(len(x)), "qz": qz, "z": z}

    def sample_from_prior(self, batch_size: int) -> dict:
        """Draw z ~ p(z) and return "px" `(batch, *input_shape)`, "pz" `(batch, L)`, "z" `(batch, L, C)`."""
        pz = self.prior(batch_size)
        z = pz.sample()
        return {"px": self.observation_model(z), "pz": pz, "z": z}

    def exact_elbo(self, x: Tensor) -> Tensor:
        """E_q[log p(x|z)] - KL(q || p) without any sampling, `(batch,)`, in nats."""
        logits = self.logits(x)
        return -enumeration(self.cost(x), logits) - kl_to_uniform(logits)

    def exact_log_px(self, x: Tensor) -> Tensor:
        """log p(x) = log of the mean over the codes of p(x|z), `(batch,)`, in nats."""
        log_px = self.log_px(x, self.codes().unsqueeze(1))
        return torch.logsumexp(log_px, dim=0) - self.latents * math.log(self.classes)

    @torch.no_grad()
    def information(self, x: Tensor) -> float:
        """I(x; z) over these images: the mean KL from q(z|x) to the mean of all q(z|x), between 0 and log C**L nats.

        KL(q(z|x) || p) on average is this plus KL(mean of q(z|x) || p). So a large KL may hide a collapse: where every
        image is given the same code, the KL is log C**L and the information 0.
        (ELBO surgery, Hoffman and Johnson, 2016, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf)
        """
        log_q = log_prob_one_hot(self.logits(x), self.codes().unsqueeze(1))
        log_mean = torch.logsumexp(log_q, dim=1, keepdim=True) - math.log(len(x))
        return float((log_q.exp() * (log_q - log_mean)).sum(0).mean())


class ReconstructionCost:
    """f(z) = -log p(x|z), `(S, batch)`, in nats; `.x` are the examples."""

    def __init__(self, model: CategoricalVAE, x: Tensor):
        self.model, self.x = model, x

    def __call__(self, z: Tensor) -> Tensor:
        return -self.model.log_px(self.x, z)


class DiscreteInference(nn.Module):
    """The objective -E_q[log p(x|z)] + beta KL(q || p), the first term by an estimator of `gradients`, the KL in closed form.

    Without gradients (as in `training.evaluate`), where the codes are few enough to enumerate, all values are exact.

    Arguments:
        estimator: `estimator(f, logits) -> (batch,)`; settings by `functools.partial(rloo, num_samples=10)`.
        beta: weight of the KL, a number or a function of the training step (`linear_schedule`).
        temperature: passed on to the estimator if it is not None; a number or a function of the training step.

    >>> _ = torch.manual_seed(0)
    >>> model, x = CategoricalVAE((4,)), torch.ones(3, 4)
    >>> loss, diagnostics, _ = DiscreteInference(enumeration)(model, x)
    >>> bool(torch.isclose(-loss, model.exact_elbo(x).mean()))
    True
    """

    def __init__(self, estimator=rloo, beta=1.0, temperature=None):
        super().__init__()
        self.estimator, self.beta, self.temperature, self.step = estimator, beta, temperature, 0

    def forward(self, model: CategoricalVAE, x: Tensor) -> tuple[Tensor, dict, dict]:
        """Evaluate the objective on a batch x `(batch, *input_shape)`.

        Returns:
            loss: scalar, the batch mean, in nats.
            diagnostics: for each example, in nats, without gradients:
                "elbo": `(batch,)`, the ELBO whatever beta is (of relaxed samples, no bound, if the estimator relaxes),
                "log_px": `(batch,)`, E_q[log p(x|z)],
                "kl": `(batch,)`, KL(q || p).
            outputs: {"logits": `(batch, L, C)` of q(z|x)}.
        """
        logits = model.logits(x)
        if torch.is_grad_enabled() or not model.enumerable:
            settings = {} if self.temperature is None else {"temperature": self._now(self.temperature)}
            cost = self.estimator(model.cost(x), logits, **settings)
        else:
            cost = enumeration(model.cost(x), logits)
        kl = kl_to_uniform(logits)
        loss = (cost + self._now(self.beta) * kl).mean()
        if torch.is_grad_enabled():
            self.step += 1
        diagnostics = {"elbo": (-cost - kl).detach(), "log_px": -cost.detach(), "kl": kl.detach()}
        return loss, diagnostics, {"logits": logits}

    def get_extra_state(self) -> dict:
        """Part of `state_dict`: the step, on which schedules depend."""
        return {"step": self.step}

    def set_extra_state(self, state: dict) -> None:
        self.step = state["step"]

    def _now(self, setting):
        return setting(self.step) if callable(setting) else setting


class VimcoInference(nn.Module):
    """The objective -L_S, the importance-weighted bound of S samples, with VIMCO's gradient.

    Diagnostics as `DiscreteInference`; its "elbo" is the mean log-weight of the samples, or exact without gradients.
    """

    def __init__(self, num_samples: int = 10):
        super().__init__()
        self.num_samples = num_samples

    def forward(self, model: CategoricalVAE, x: Tensor) -> tuple[Tensor, dict, dict]:
        if not torch.is_grad_enabled() and model.enumerable:
            return DiscreteInference(enumeration)(model, x)
        logits = model.logits(x)
        z = sample_one_hot(logits, self.num_samples)
        log_q, log_px = log_prob_one_hot(logits, z), model.log_px(x, z)
        log_w = log_px - model.latents * math.log(model.classes) - log_q
        diagnostics = {"elbo": log_w.detach().mean(0), "log_px": log_px.detach().mean(0), "kl": kl_to_uniform(logits).detach()}
        return -vimco(log_w, log_q).mean(), diagnostics, {"logits": logits}
