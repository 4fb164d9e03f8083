"""`VariationalInference`, exercise 1d: the class, and what right code may give at the latents that were drawn.

Its two checks stand in `elbo`. The KL may be a closed form or an estimate, and whoever wants to may draw more latents than the model
does. All of them are known, so every right value is known exactly.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import Seen

PIXELS, LATENTS, EXAMPLES, BLANK = 784, 4, 24, 12
RTOL, ATOL = 2e-5, 3e-3  # sums over 784 pixels in float32
MOST = 24  # samples of which every mean of some is looked at

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


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Random binary images, a linear VAE whose KL is some ten nats (near zero for the first half), and betas to call with."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    x = (torch.rand(EXAMPLES, PIXELS, generator=rng) < 0.3).float()
    x[:BLANK] *= (torch.rand(BLANK, PIXELS, generator=rng) < 0.01).float()  # q is close to the prior there: estimates of the KL
    x[:BLANK, :BLANK] = torch.eye(BLANK)  # are negative as often as not
    scale = torch.tensor([1.5] * LATENTS + [0.35] * LATENTS) / (0.3 * PIXELS) ** 0.5
    shift = torch.tensor([0.0] * LATENTS + [-0.8] * LATENTS) / (0.3 * PIXELS)
    weights = {
        "encoder.weight": normal(2 * LATENTS, PIXELS) * scale[:, None] + shift[:, None],
        "encoder.bias": 0.1 * normal(2 * LATENTS),
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
        log_px, kl, elbo, loss: the values that are right, (ways, batch) or (ways,).
        own: those of elbo and loss in terms of the student's own log_px and kl, whose mistakes are not charged twice.
        noise: epsilon of the samples that were decoded, (decoded, batch, M).
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
            kl = self.kl if self.beta else self.kl[:1]
            self.loss = -(self.log_px[:, None] - self.beta * kl).mean(-1).flatten()
        self.elbo = (self.log_px[:, None] - self.kl).flatten(0, 1)
        log_px, kl = record["log_px"].double(), record["kl"].double()
        fit = {log_px.numel(), kl.numel()} <= {1, self.batch}
        self.own = {"elbo": log_px - kl if fit else None, "loss": -(log_px.mean() - self.beta * kl.mean())}

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) at the decoded latents, (ways, batch), and the KL(q||p) in closed form and at all latents."""
        mu, log_sigma = F.linear(x, self.weights["encoder.weight"], self.weights["encoder.bias"]).chunk(2, dim=-1)

        def rows(name: str, by_example: bool) -> Tensor:
            """What was recorded, (samples, batch, M); of several samples at once those of one example may stand side by side."""
            parts = [part.double() for part in self.record[name] if part.numel() and part.numel() % mu.numel() == 0]
            whole = [p.reshape(len(mu), -1, LATENTS).transpose(0, 1) if by_example else p.reshape(-1, *mu.shape) for p in parts]
            return torch.cat([torch.zeros(0, *mu.shape), *whole])

        def estimates(noise: Tensor) -> Tensor:
            """log q(z|x) - log p(z); the constants log 2 pi cancel."""
            return means((0.5 * (mu + log_sigma.exp() * noise).square() - 0.5 * noise.square() - log_sigma).sum(-1))

        log_px, kl = [], [(0.5 * ((2 * log_sigma).exp() + mu.square() - 1) - log_sigma).sum(-1)[None]]
        for by_example in (True, False):
            noise = ((rows("decoded", by_example) - mu) * (-log_sigma).exp()).detach()
            # The mean of q, say, is no sample of it (68 numbers have this spread but for 1e-6).
            self.noise = noise[[bool(0.5 < one.square().mean().sqrt() < 1.5) for one in noise]]
            logits = F.linear(mu + log_sigma.exp() * self.noise, self.weights["decoder.weight"], self.weights["decoder.bias"])
            log_px.append(means((x * logits - F.softplus(logits)).sum(-1)))
            kl += [estimates(self.noise), estimates(rows("drawn", by_example))]
        return torch.cat(log_px), torch.cat(kl)

    def gradients(self) -> Iterator[dict[str, Tensor]]:
        """Of right losses that this one equals, the closest first."""
        if self.record["loss"].numel() != 1:
            return
        got = self.record["loss"].double().flatten()
        same = near(got, self.loss).nonzero().flatten()
        for number in same[(self.loss[same].detach() - got).abs().argsort()][:MOST]:
            with torch.enable_grad():
                slopes = torch.autograd.grad(self.loss[number], list(self.weights.values()), retain_graph=True)
            yield dict(zip(self.weights, slopes))


def means(each: Tensor) -> Tensor:
    """What people take of several samples, (draws, batch): the mean of the first of them, or of the last; be it one, or all."""
    n, count = len(each), torch.arange(1, len(each) + 1)[:, None]
    found = torch.cat([each.cumsum(0) / count, each.flip(0).cumsum(0) / count])
    return found if n <= MOST else found[[0, n - 1, n, 2 * n - 2, 2 * n - 1]]


def near(got: Tensor, wanted: Tensor) -> Tensor:
    """Which of those that are right, (ways, *shape), it is, up to rounding."""
    return (wanted.detach() - got.double()).abs() <= ATOL + RTOL * wanted.detach().abs()


def among(got: Tensor, wanted: Tensor) -> bool:
    """Whether it is one of those that are right, (ways, *shape)."""
    return got.shape == wanted.shape[1:] and any(part.all() for part in near(got, wanted))


def calls_of(seen: Seen) -> list[Call]:
    """All calls, with the second round; read once for all laws."""
    if not hasattr(seen, "calls"):
        seen.calls = [Call(seen.inputs, case, record) for name in seen.inputs["rounds"]
                      for case, record in zip(seen.inputs["calls"], seen.outputs[name])]
    return seen.calls


VARIANTS = {  # unusual classes that are right
    "several samples for both terms": (
        ("log_px = reduce(px.log_prob(x))", "samples = [qz.rsample() for _ in range(4)]\n"
         "        log_px = torch.stack([reduce(model.observation_model(s).log_prob(x)) for s in samples]).mean(0)"),
        (f"reduce({TERMS})", "torch.stack([reduce(qz.log_prob(s) - pz.log_prob(s)) for s in samples]).mean(0)")),
    "beta as a buffer, and namedtuples": (
        ("self.beta = beta\n", "self.register_buffer('beta', torch.tensor(float(beta)))\n"), (TERMS, CLOSED),
        ("x: Tensor) ->", "x: Tensor, step=None, **options) ->"),
        ("return loss, diagnostics, outputs", "from collections import namedtuple\n"
         "        diagnostics = namedtuple('Diagnostics', diagnostics)(**diagnostics)\n"
         "        return namedtuple('Result', 'loss diagnostics outputs')(loss, diagnostics, outputs)")),
}
