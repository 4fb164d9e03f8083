"""`VariationalInference`, exercise 1d: the class, the truth about the probe's model, and unusual classes that are right.

Its two checks, of the diagnostics and of the loss, stand in `elbo` and `beta_elbo`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import Edit, Finding, Seen, failed
from autograder.exercises.laws import SIGMAS, close

__all__ = ["FORMS", "SOLUTION", "Call", "Calls", "brief", "draw", "forward", "over_calls", "replay"]

PIXELS, LATENTS, EXAMPLES = 784, 4, 8

SOLUTION = '''\
class VariationalInference(nn.Module):
    """Turns a model and a batch into the loss to minimize and the numbers to look at."""

    def __init__(self, beta: float = 1.0):
        super().__init__()
        self.beta = beta

    def forward(self, model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor], dict]:
        """x: (batch, *image). Returns loss (), diagnostics with values (batch,), and the model's outputs."""
        outputs = model(x)
        px, pz, qz, z = outputs["px"], outputs["pz"], outputs["qz"], outputs["z"]
        log_px = reduce(px.log_prob(x))  # (batch,)
        kl = reduce(qz.log_prob(z) - pz.log_prob(z))  # (batch,)
        elbo = log_px - kl
        beta_elbo = log_px - self.beta * kl
        loss = -beta_elbo.mean()
        diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach(), "kl": kl.detach()}
        return loss, diagnostics, outputs
'''
TERMS, CLOSED = "qz.log_prob(z) - pz.log_prob(z)", "0.5 * (qz.sigma**2 + qz.mu**2 - 1) - qz.log_sigma"
FORMS = (((TERMS, CLOSED),),)


def forward(*lines: str) -> Edit:
    """The edit that gives `forward` these lines behind the model's outputs."""
    return SOLUTION[SOLUTION.index("        log_px =") :], "".join(f"        {line}\n" for line in lines)


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Random binary images, a linear VAE whose KL is some ten nats (near zero for two), and betas to call with."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    x = (torch.rand(EXAMPLES, PIXELS, generator=rng) < 0.3).float()
    x[:2] *= (torch.rand(2, PIXELS, generator=rng) < 0.01).float()  # nearly blank: q is close to the prior there
    scale = torch.tensor([1.5] * LATENTS + [0.35] * LATENTS) / (0.3 * PIXELS) ** 0.5
    shift = torch.tensor([0.0] * LATENTS + [-0.8] * LATENTS) / (0.3 * PIXELS)
    bias = 0.1 * normal(2 * LATENTS)
    weights = {
        "encoder.weight": normal(2 * LATENTS, PIXELS) * scale[:, None] + shift[:, None],
        "encoder.bias": bias,
        "decoder.weight": 0.2 * normal(PIXELS, LATENTS),
        "decoder.bias": normal(PIXELS) - 0.8,
    }
    beta = 2.25 + 0.5 * float(torch.rand((), generator=rng)) + int(torch.randint(3, (), generator=rng))  # never near a whole number
    return {"weights": weights, "x": x, "betas": [beta, 1.0, 0.0], "tile": 32, "tiled_calls": 8}


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """The same calls, of the repeated examples only one, with the noise of the latents that the student's code decoded."""
    half, tiled = len(inputs["betas"]), outputs["tiled"][:1]
    records = [*outputs["calls"][:half], *tiled, *outputs["calls"][half:]]
    noise = [Call(inputs, r, inputs["tile"] if i == half and tiled else 1).noise[0].float() for i, r in enumerate(records)]
    return inputs | {"tiled_calls": len(tiled), "noise": noise}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first call alone."""
    return inputs | {"betas": inputs["betas"][:1], "tiled_calls": 0, "rounds": 1}, {"calls": outputs["calls"][:1], "tiled": []}


class Truth:
    """The probe's model in closed form and float64, for one batch.

    Attributes:
        x: (batch, pixels). mu, log_sigma: (batch, M) of q(z|x).
    """

    def __init__(self, weights: dict[str, Tensor], x: Tensor):
        self.weights, self.x = weights, x
        self.mu, self.log_sigma = F.linear(x, weights["encoder.weight"], weights["encoder.bias"]).chunk(2, dim=-1)

    def log_px(self, z: Tensor) -> Tensor:
        """log p(x|z) of Bernoulli pixels, (batch,)."""
        logits = F.linear(z, self.weights["decoder.weight"], self.weights["decoder.bias"])
        return -F.binary_cross_entropy_with_logits(logits, self.x, reduction="none").sum(-1)

    def kl_at(self, z: Tensor) -> Tensor:
        """log q(z|x) - log p(z), (batch,): the one-sample estimate; the constants log 2 pi cancel."""
        return (0.5 * z.square() - 0.5 * self.noise(z).square() - self.log_sigma).sum(-1)

    def noise(self, z: Tensor) -> Tensor:
        """epsilon of z = mu + sigma epsilon."""
        return (z - self.mu) * (-self.log_sigma).exp()

    def kl(self) -> Tensor:
        """KL(q||p) in closed form (Kingma & Welling 2014, appendix B), (batch,)."""
        return (0.5 * ((2 * self.log_sigma).exp() + self.mu.square() - 1) - self.log_sigma).sum(-1)

    def gradient(self, noise: Tensor, kl: str, beta: float) -> dict[str, Tensor]:
        """Gradient of mean(-log_px + beta * KL) with respect to the model, with the KL "closed" or of the "sample"; noise (batch, M)."""
        with torch.enable_grad():
            leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
            model = Truth(leaves, self.x)
            z = model.mu + model.log_sigma.exp() * noise
            loss = (beta * (model.kl() if kl == "closed" else model.kl_at(z)) - model.log_px(z)).mean()
            return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))


class Call:
    """One recorded call beside the truth about it.

    Attributes:
        z, noise: the latents that were decoded and are samples of q, and their epsilon, (decoded, batch, M); its mean if none is.
        tile: how often each example stands in the batch.
    """

    def __init__(self, inputs: dict[str, Any], record: dict[str, Any], tile: int = 1):
        weights = {name: w.double() for name, w in inputs["weights"].items()}
        self.truth, self.tile = Truth(weights, inputs["x"].double().repeat(tile, 1)), tile
        self.beta, self.record = record["beta"], record
        self.loss, self.elbo, self.log_px, self.kl = (record[k].double() for k in ("loss", "elbo", "log_px", "kl"))
        shape = self.truth.mu.shape
        decoded = [z.double().reshape(-1, *shape) for z in record["decoded"] if z.numel() % shape.numel() == 0 and z.numel()]
        # More than 64 samples of one latent change nothing that is judged here.
        z = torch.cat(decoded)[:64] if decoded else self.truth.mu[:0].expand(0, *shape)
        # What was decoded must be samples of q: the mean of q, say, is none (32 draws have this spread but for 1e-6).
        samples = z[[bool(0.35 < n.square().mean().sqrt() < 1.75) for n in self.truth.noise(z)]]
        self.sampled = len(samples) > 0
        self.z = samples if self.sampled else self.truth.mu[None]
        self.noise = self.truth.noise(self.z)

    @cached_property
    def log_px_each(self) -> Tensor:
        """log p(x|z) at each latent that was decoded, (decoded, batch)."""
        return torch.stack([self.truth.log_px(z) for z in self.z])

    @cached_property
    def kl_each(self) -> Tensor:
        """log q(z|x) - log p(z) at each latent that was decoded, (decoded, batch)."""
        return torch.stack([self.truth.kl_at(z) for z in self.z])

    def right_log_px(self) -> list[Tensor]:
        """log p(x|z) at the first, the last and the mean of the decoded samples, with and without the model's own."""
        return means(self.log_px_each) if self.sampled else []

    def right_kl(self) -> list[Tensor]:
        """KL(q||p) in closed form, and estimated at the decoded samples."""
        return [self.truth.kl(), *(means(self.kl_each) if self.sampled else [])]

    def right_losses(self) -> list[Tensor]:
        return [-(lp - self.beta * k).mean() for lp in self.right_log_px() for k in self.right_kl()]


def means(each: Tensor) -> list[Tensor]:
    """What people take of several samples: the first, the last, the mean of all, and of all but the model's own."""
    return [each[0], each[-1], each.mean(0), *([each[1:].mean(0)] if len(each) > 2 else [])]


class Calls:
    """All records of one kind of input.

    Attributes:
        calls: of each beta, twice. tiled: of the first beta with every example many times. every: the calls, and one tiled one.
    """

    def __init__(self, seen: Seen):
        inputs, outputs = seen.inputs, seen.outputs
        self.calls = [Call(inputs, r) for r in outputs["calls"]]
        self.tiled = [Call(inputs, r, inputs["tile"]) for r in outputs["tiled"]]
        self.changed_x = any(not torch.equal(r["x_after"].flatten(1), inputs["x"]) for r in outputs["calls"])
        if self.changed_x and not any(close(c.log_px, want, atol=3e-3) for c in self.calls for want in c.right_log_px()):
            # It was changed first, so the values are those of the x that it became.
            self.calls = [Call(inputs | {"x": r["x_after"].reshape(inputs["x"].shape)}, r) for r in outputs["calls"]]
            self.tiled = []
        self.truth = self.calls[0].truth
        # Many examples at once show what happens to few of them, such as a KL that is cut off at zero.
        self.every = [*self.calls, *self.tiled[:1]]
        self.later_trouble = outputs.get("later_trouble")

    @classmethod
    def of(cls, seen: Seen) -> Calls:
        """Read once for all laws."""
        if not hasattr(seen, "calls"):
            seen.calls = cls(seen)
        return seen.calls

    def every_value(self, name: str) -> bool:
        """Whether the repeated examples have a diagnostic each."""
        found = [(getattr(c, name), c.truth.x.shape[:1]) for c in self.tiled]
        return bool(found) and all(value.shape == shape and bool(value.isfinite().all()) for value, shape in found)

    def averages_to(self, name: str, want: Tensor, noisy: Tensor | float = 0.0) -> bool:
        """Whether the mean of a diagnostic over the repeated examples is `want`, (examples,), within Monte Carlo error.

        `noisy` is a variance of the mean of `want` itself. Something that does not vary has to be exact.
        """
        samples = torch.cat([getattr(c, name).unflatten(0, (c.tile, -1)) for c in self.tiled])
        error = (samples.var(0) / len(samples) + noisy).sqrt()
        return bool(((samples.mean(0) - want).abs() <= SIGMAS * error + 1e-3 + 1e-4 * want.abs()).all())

    @cached_property
    def expected_log_px(self) -> tuple[Tensor, Tensor]:
        """E_q log p(x|z) of each example by Monte Carlo, and the variance of that mean."""
        truth, draws = self.truth, 1500
        noise = torch.randn(draws, *truth.mu.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        each = torch.stack([truth.log_px(truth.mu + truth.log_sigma.exp() * e) for e in noise])
        return each.mean(0), each.var(0) / draws


def over_calls(calls: Calls, find: Callable[[Call], Finding]) -> Finding:
    """Judge every call; one that was right at first and is wrong later has drifted."""
    findings = [find(c) for c in calls.every]
    finding = next((f for f in findings if not f.passed), findings[-1])
    if finding.passed and calls.later_trouble:
        message = f"The first calls worked, then a batch of another size did not. {calls.later_trouble}"
        return failed(finding.behavior, message, "state_drifts")
    half = len(calls.calls) // 2
    if half and all(f.passed for f in findings[:half]) and any(not f.passed for f in findings[half : len(calls.calls)]):
        return failed(finding.behavior, "Right in the first calls, wrong later: something changes from call to call.",
                      "state_drifts", finding.expected, finding.got)
    return finding
