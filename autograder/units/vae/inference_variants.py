"""Unusual `VariationalInference` classes that are right."""

from __future__ import annotations

from autograder.exercises.exercise import Edit
from autograder.units.vae.inference import forward

__all__ = ["VARIANTS"]


def usual(*lines: str) -> Edit:
    """These lines, and then what the solution does with log_px and kl."""
    return forward(
        *lines, "elbo = log_px - kl", "loss = -(log_px - self.beta * kl).mean()",
        'diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach(), "kl": kl.detach()}', "return loss, diagnostics, outputs")


LOG_PX = "log_px = reduce(px.log_prob(x))"
CLOSED = "kl = 0.5 * (qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma).sum(dim=-1)"
ONE_SAMPLE = "kl = reduce(qz.log_prob(z) - pz.log_prob(z))"
OF_SAMPLES = "kl = torch.stack([reduce(qz.log_prob(s) - pz.log_prob(s)) for s in samples]).mean(0)"

VARIANTS = {
    "torch's kl_divergence": usual(
        LOG_PX, "q = torch.distributions.Normal(qz.mu, qz.sigma)",
        "p = torch.distributions.Normal(torch.zeros_like(qz.mu), torch.ones_like(qz.mu))",
        "kl = torch.distributions.kl_divergence(q, p).sum(-1)"),
    "KL of a fresh sample": usual(LOG_PX, "other = qz.rsample()", "kl = reduce(qz.log_prob(other) - pz.log_prob(other))"),
    "KL of ten samples": usual(LOG_PX, "samples = [qz.rsample() for _ in range(10)]", OF_SAMPLES),
    "KL of noise of its own": usual(
        LOG_PX, "epsilon = torch.randn(len(x), qz.mu.shape[1])", "other = qz.mu + qz.sigma * epsilon",
        "kl = (0.5 * other**2 - 0.5 * epsilon**2 - qz.log_sigma).sum(-1)"),
    "several samples for both terms": usual(
        "samples = [qz.rsample() for _ in range(4)]",
        "log_px = torch.stack([reduce(model.observation_model(s).log_prob(x)) for s in samples]).mean(0)", OF_SAMPLES),
    "samples and decodes by itself": usual(
        "z = qz.mu + qz.sigma * torch.randn_like(qz.mu)", "px = model.observation_model(z)", LOG_PX, ONE_SAMPLE),
    "an image drawn on the way": usual("outputs['x_hat'] = px.sample()  # shifts the random state", LOG_PX, ONE_SAMPLE),
    "cross-entropy": usual(
        "log_px = -nn.functional.binary_cross_entropy_with_logits(px.logits, x, reduction='none').flatten(1).sum(1)", ONE_SAMPLE),
    "log p(x, z) - log q(z|x)": forward(
        "log_qz, log_pz, log_px = reduce(qz.log_prob(z)), reduce(pz.log_prob(z)), reduce(px.log_prob(x))",
        "elbo = log_px + log_pz - log_qz", "kl = log_qz - log_pz", "loss = -torch.mean(elbo + (1 - self.beta) * kl)",
        'return loss, {k: v.detach() for k, v in {"elbo": elbo, "log_px": log_px, "kl": kl}.items()}, outputs'),
    "namedtuples": forward(
        "from collections import namedtuple", "Result = namedtuple('Result', 'loss diagnostics outputs')",
        "Diagnostics = namedtuple('Diagnostics', 'elbo log_px kl')", LOG_PX, CLOSED,
        "return Result((self.beta * kl - log_px).mean(), Diagnostics((log_px - kl).detach(), log_px.detach(), kl.detach()), outputs)"),
    "a list, NumPy arrays, and more diagnostics": forward(
        LOG_PX, ONE_SAMPLE, "loss = (self.beta * kl - log_px).sum() / x.shape[0]",
        "arrays = {'elbo': (log_px - kl).detach().numpy(), 'log_px': log_px.detach().numpy(), 'kl': kl.detach().numpy()}",
        "return [loss, arrays | {'beta': self.beta, 'bits': (log_px - kl).detach() / math.log(2)}, outputs]"),
    "diagnostics in float64": forward(
        LOG_PX, ONE_SAMPLE, "elbo, loss = log_px.double() - kl.double(), -log_px.mean() + self.beta * kl.mean()",
        "return loss, {'elbo': elbo.detach(), 'log_px': log_px.double().detach(), 'kl': kl.double().detach()}, outputs"),
    "sigma clamped at exp(10)": usual(
        LOG_PX, "log_sigma = qz.log_sigma.clamp(-10, 10)",
        "kl = torch.sum(-log_sigma + 0.5 * (torch.exp(2 * log_sigma) + qz.mu.pow(2)) - 0.5, dim=1)"),
    "in chunks of the batch": usual(
        "log_px = torch.cat([reduce(c) for c in px.log_prob(x).split(3)])",
        "kl = torch.einsum('bm->b', qz.log_prob(z) - pz.log_prob(z))"),
    "counts its calls": usual(LOG_PX, ONE_SAMPLE, "self.calls = getattr(self, 'calls', 0) + 1"),
    "beta as a buffer": (
        usual(LOG_PX, CLOSED), ("        self.beta = beta\n", "        self.register_buffer('beta', torch.tensor(float(beta)))\n")),
    "more arguments": (
        ("beta: float = 1.0):", "beta: float = 1.0, reduction='mean', **options):"),
        ("x: Tensor) ->", "x: Tensor, step=None, **options) ->")),
    "a class without a base": """\
class VariationalInference:
    def __init__(self, beta=1.0):
        self.beta = beta

    def __call__(self, model, x):
        outputs = model(x)
        log_px = outputs["px"].log_prob(x).flatten(1).sum(1)
        kl = (outputs["qz"].log_prob(outputs["z"]) - outputs["pz"].log_prob(outputs["z"])).sum(1)
        return -(log_px - self.beta * kl).mean(), {"elbo": (log_px - kl).detach(), "log_px": log_px.detach(), "kl": kl.detach()}, outputs
""",
    "a function that returns a function": """\
def VariationalInference(beta=1.0):
    def inference(model, x):
        outputs = model(x)
        log_px = reduce(outputs["px"].log_prob(x))
        kl = reduce(outputs["qz"].log_prob(outputs["z"])) - reduce(outputs["pz"].log_prob(outputs["z"]))
        with torch.no_grad():
            diagnostics = {"elbo": log_px - kl, "log_px": log_px.detach(), "kl": kl.detach()}
        return (-log_px + beta * kl).mean(), diagnostics, outputs

    return inference
""",
}
