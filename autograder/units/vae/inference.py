"""`VariationalInference`, exercise 1d: the class, and what right code may give at the latents that were drawn.

Its two checks, of the diagnostics and of the loss, stand in `elbo` and `beta_elbo`. The KL may be a closed form or an estimate, and
whoever wants to may draw more latents than the model does. All of them are known, so every right value is known exactly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import Edit, Seen
from autograder.exercises.laws import close

__all__ = ["ATOL", "FORMS", "RTOL", "SOLUTION", "TERMS", "Call", "among", "brief", "calls_of", "draw", "forward", "replay"]

PIXELS, LATENTS, EXAMPLES, BLANK = 784, 4, 24, 12
RTOL, ATOL = 2e-5, 3e-3  # sums over 784 pixels in float32
MOST = 256  # latents of one call that are looked at

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
    """Random binary images, a linear VAE whose KL is some ten nats (near zero for the first half), and betas to call with."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    x = (torch.rand(EXAMPLES, PIXELS, generator=rng) < 0.3).float()
    x[:BLANK] *= (torch.rand(BLANK, PIXELS, generator=rng) < 0.01).float()  # q is close to the prior there: estimates of the KL
    x[:BLANK, :BLANK] = torch.eye(BLANK)  # are negative as often as not
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
    calls = [{"beta": beta, "examples": EXAMPLES}, {"beta": 1.0, "examples": EXAMPLES - 5}, {"beta": 0.0, "examples": EXAMPLES - 7}]
    seed = int(torch.randint(2**31, (), generator=rng))
    return {"weights": weights, "x": x, "calls": calls, "rounds": ["calls", "again"], "seed": seed}


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """The same calls, with the noise of the last latents that the student's code decoded."""
    cases = zip(inputs["calls"], outputs["calls"])
    return inputs | {"calls": [case | {"noise": Call(inputs, case, record).noise[-1:]} for case, record in cases]}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first call alone."""
    return inputs | {"calls": inputs["calls"][:1], "rounds": ["calls"]}, {"calls": outputs["calls"][:1]}


class Call:
    """One recorded call, and what right code may give at the latents that were drawn, in float64 and with the graph of the weights.

    Attributes:
        log_px, kl: the values that are right, (ways, batch). noise: epsilon of the samples that were decoded, (decoded, batch, M).
    """

    def __init__(self, inputs: dict[str, Any], case: dict[str, Any], record: dict[str, Any]):
        self.record, self.beta, self.batch = record, case["beta"], case["examples"]
        self.weights = {name: w.detach().double().requires_grad_() for name, w in inputs["weights"].items()}
        given, after = inputs["x"][: self.batch].double(), record["after"].double().flatten(1)
        self.changed_x = not torch.equal(given, after)
        with torch.enable_grad():
            # Where x was changed in place, the values may be those of the x that it became.
            found = [self.terms(x) for x in (given, after)[: 1 + self.changed_x]]
            self.log_px, self.kl = (torch.cat(part) for part in zip(*found))
            self.losses = -(self.log_px[:, None] - self.beta * self.kl).mean(-1).flatten()
        self.elbo = (self.log_px[:, None] - self.kl).flatten(0, 1)

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) at the decoded latents, (ways, batch), and the KL(q||p) in closed form and at all latents."""
        mu, log_sigma = F.linear(x, self.weights["encoder.weight"], self.weights["encoder.bias"]).chunk(2, dim=-1)

        def rows(parts: list[Tensor]) -> Tensor:
            whole = [part.double().reshape(-1, *mu.shape) for part in parts if part.numel() and part.numel() % mu.numel() == 0]
            return torch.cat([torch.zeros(0, *mu.shape), *whole])[:MOST]

        def estimates(noise: Tensor) -> Tensor:
            """log q(z|x) - log p(z); the constants log 2 pi cancel."""
            return means((0.5 * (mu + log_sigma.exp() * noise).square() - 0.5 * noise.square() - log_sigma).sum(-1))

        noise = ((rows(self.record["decoded"]) - mu) * (-log_sigma).exp()).detach()
        # The mean of q, say, is no sample of it (68 numbers have this spread but for 1e-6).
        self.noise = noise[[bool(0.5 < one.square().mean().sqrt() < 1.5) for one in noise]]
        logits = F.linear(mu + log_sigma.exp() * self.noise, self.weights["decoder.weight"], self.weights["decoder.bias"])
        log_px = (x * logits - F.softplus(logits)).sum(-1)
        closed = (0.5 * ((2 * log_sigma).exp() + mu.square() - 1) - log_sigma).sum(-1)
        return means(log_px), torch.cat([closed[None], estimates(self.noise), estimates(rows(self.record["drawn"]))])

    def gradients(self) -> list[dict[str, Tensor]]:
        """Of each right loss that this one equals."""
        if self.record["loss"].numel() != 1:
            return []
        loss, weights = self.record["loss"].reshape(()), list(self.weights.values())
        with torch.enable_grad():
            matching = [right for right in self.losses if close(loss, right.detach(), RTOL, ATOL)]
        return [dict(zip(self.weights, torch.autograd.grad(right, weights, retain_graph=True))) for right in matching]


def means(each: Tensor) -> Tensor:
    """What people take of several samples, (draws, batch): the mean of the first of them, or of the last; be it one, or all."""
    count = torch.arange(1, len(each) + 1)[:, None]
    return torch.cat([each.cumsum(0) / count, each.flip(0).cumsum(0) / count])


def among(got: Tensor, wanted: Tensor) -> bool:
    """Whether it is one of those that are right, (ways, *shape)."""
    return got.shape == wanted.shape[1:] and any(close(got, want, RTOL, ATOL) for want in wanted.detach())


def calls_of(seen: Seen) -> list[Call]:
    """All calls, with the second round; read once for all laws."""
    if not hasattr(seen, "calls"):
        seen.calls = [Call(seen.inputs, case, record) for name in seen.inputs["rounds"]
                      for case, record in zip(seen.inputs["calls"], seen.outputs[name])]
    return seen.calls
