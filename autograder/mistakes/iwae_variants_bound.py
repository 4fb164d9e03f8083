"""Right log-weights and right bounds that do not look like ours. They have to pass: a check judges what code does, not how it is "
  "written."""

from __future__ import annotations

__all__ = ["BOUNDS", "LOG_WEIGHTS", "function"]


def function(head: str, *lines: str) -> str:
    return f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)


def bound(*lines: str) -> str:
    return function("importance_weighted_bound(model, x, num_samples)", *lines)


def weights(*lines: str) -> str:
    return function("log_weights(model, x, num_samples)", *lines)


# How log-weights can be made: lines that end with log_w, (K, batch).
LOG_W = {
    "a loop over K": (
        "parts = []",
        "for _ in range(num_samples):",
        "    out = model(x)",
        "    log_px = out['px'].log_prob(x).flatten(1).sum(1)",
        "    parts.append(log_px + (out['pz'].log_prob(out['z']) - out['qz'].log_prob(out['z'])).sum(1))",
        "log_w = torch.stack(parts)",
    ),
    "x repeated, sample by sample": (
        "copies = x.repeat(num_samples, *[1] * (x.dim() - 1))",
        "out = model(copies)",
        "log_w = out['px'].log_prob(copies).flatten(1).sum(1) + (out['pz'].log_prob(out['z']) - out['qz'].log_prob(out['z'])).sum(1)",
        "log_w = log_w.view(num_samples, len(x))",
    ),
    "x repeated, example by example": (
        "copies = x.repeat_interleave(num_samples, dim=0)",
        "out = model(copies)",
        "log_w = out['px'].log_prob(copies).flatten(1).sum(1) + (out['pz'].log_prob(out['z']) - out['qz'].log_prob(out['z'])).sum(1)",
        "log_w = log_w.view(len(x), num_samples).T",
    ),
    "K behind the batch": (
        "qz = model.posterior(x)",
        "mu, sigma = qz.mu.unsqueeze(1), qz.sigma.unsqueeze(1)",
        "z = mu + sigma * torch.randn(len(x), num_samples, qz.mu.shape[1])",
        "log_px = model.observation_model(z).log_prob(x.unsqueeze(1)).flatten(2).sum(-1)",
        "log_w = (log_px + (Normal(0.0, 1.0).log_prob(z) - Normal(mu, sigma).log_prob(z)).sum(-1)).T",
    ),
    "in chunks of samples": (
        "qz, parts, left = model.posterior(x), [], num_samples",
        "while left > 0:",
        "    z = qz.rsample((min(3, left),))",
        "    left -= len(z)",
        "    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
        "    parts.append(log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1))",
        "log_w = torch.cat(parts)",
    ),
    "in chunks of examples": (
        "parts = []",
        "for part in x.split(4):",
        "    qz = model.posterior(part)",
        "    z = qz.rsample((num_samples,))",
        "    log_px = model.observation_model(z).log_prob(part).flatten(2).sum(-1)",
        "    parts.append(log_px + (model.prior(len(part)).log_prob(z) - qz.log_prob(z)).sum(-1))",
        "log_w = torch.cat(parts, dim=1)",
    ),
    "two loops, over chunks of samples and of examples": (
        "columns = []",
        "for part in x.split(4):",
        "    qz, parts = model.posterior(part), []",
        "    for done in range(0, num_samples, 3):",
        "        z = qz.rsample((min(3, num_samples - done),))",
        "        log_px = model.observation_model(z).log_prob(part).flatten(2).sum(-1)",
        "        parts.append(log_px + (model.prior(len(part)).log_prob(z) - qz.log_prob(z)).sum(-1))",
        "    columns.append(torch.cat(parts))",
        "log_w = torch.cat(columns, dim=1)",
    ),
    "torch's Normal and Independent": (
        "from torch.distributions import Independent, MultivariateNormal",
        "posterior = model.posterior(x)",
        "q = Independent(Normal(posterior.mean, posterior.stddev), 1)",
        "p = MultivariateNormal(torch.zeros(posterior.mean.shape[1]), torch.eye(posterior.mean.shape[1]))",
        "z = q.rsample(torch.Size([num_samples]))",
        "px = model.observation_model(z)",
        "log_px = Independent(Bernoulli(logits=px.logits), x.dim() - 1).log_prob(x)",
        "log_w = log_px + p.log_prob(z) - q.log_prob(z)",
    ),
    "float64 inside": (
        "qz = model.posterior(x)",
        "z = qz.rsample((num_samples,))",
        "logits, target = model.observation_model(z).logits.double().flatten(2), x.double().flatten(1)",
        "log_px = (target * logits - nn.functional.softplus(logits)).sum(-1)",
        "z, mu, s = z.double(), qz.mu.double(), qz.log_sigma.double()",
        "log_w = log_px + (-0.5 * z**2 + 0.5 * ((z - mu) / s.exp()) ** 2 + s).sum(-1)",
    ),
    "cross-entropy of the decoder's logits": (
        "qz = model.posterior(x)",
        "z = qz.rsample((num_samples,)).reshape(num_samples * len(x), -1)",
        "logits = model.decoder(z)",
        "target = x.flatten(1).repeat(num_samples, 1)",
        "log_px = -nn.functional.binary_cross_entropy_with_logits(logits, target, reduction='none').sum(1)",
        "z = z.view(num_samples, len(x), -1)",
        "log_w = log_px.view(num_samples, len(x)) + (model.prior(1).log_prob(z) - qz.log_prob(z)).sum(-1)",
    ),
    "the library's": ("log_w = elbolab.inference.log_weights(model, x, num_samples).reshape(num_samples, len(x))",),
    "an expanded q, a seedless generator and an image on the way": (
        "qz = model.posterior(x).expand((num_samples, len(x), model.latent_features))",
        "z = qz.rsample()",
        "px = model.observation_model(z)",
        "px.sample()",
        "log_w = px.log_prob(x).flatten(2).sum(2) + model.prior(len(x)).log_prob(z).sum(2) - qz.log_prob(z).sum(2)",
    ),
    "a forward pass before it": (
        "out = model(x)",
        "z = out['qz'].rsample((num_samples,))",
        "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
        "log_w = log_px - (out['qz'].log_prob(z) - out['pz'].log_prob(z)).sum(-1)",
    ),
    "log q from the noise": (
        "qz = model.posterior(x)",
        "epsilon = torch.randn(num_samples, *qz.mu.shape)",
        "z = qz.mu + qz.log_sigma.exp() * epsilon",
        "log_q = (-0.5 * epsilon**2 - qz.log_sigma).sum(-1)  # the constants of p and q cancel",
        "log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) - 0.5 * z.square().sum(-1) - log_q",
    ),
    "a loop over the examples": (
        "columns = []",
        "for one in x:",
        "    qz = model.posterior(one.unsqueeze(0))",
        "    z = qz.rsample((num_samples,))",
        "    log_px = model.observation_model(z).log_prob(one.unsqueeze(0)).flatten(1).sum(1)",
        "    columns.append(log_px + (model.prior(1).log_prob(z) - qz.log_prob(z)).sum((1, 2)))",
        "log_w = torch.stack(columns, dim=1)",
    ),
    "vmap over the samples": (
        "qz = model.posterior(x)",
        "z = qz.rsample((num_samples,))",
        "log_px = torch.vmap(lambda sample: -nn.functional.binary_cross_entropy_with_logits("
        "model.decoder(sample), x.flatten(1), reduction='none').sum(1))(z)",
        "log_w = log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)",
    ),
}

# What makes L_K of log_w, (K, batch).
REDUCED = {
    "the maximum by hand": ("m = log_w.max(dim=0).values.detach()", "return m + (log_w - m).exp().mean(dim=0).log()"),
    "log K inside": ("return torch.logsumexp(log_w - math.log(num_samples), dim=0)",),
    "K last": ("return torch.logsumexp(log_w.T, dim=-1) - torch.log(torch.tensor(float(num_samples)))",),
    "logcumsumexp": ("return torch.logcumsumexp(log_w, dim=0)[-1] - math.log(num_samples)",),
    "a running maximum": (
        "m, total = torch.full((len(x),), -math.inf), torch.zeros(len(x))",
        "for row in log_w:",
        "    larger = torch.maximum(m, row.detach())",
        "    m, total = larger, total * (m - larger).exp() + (row - larger).exp()",
        "return m + total.log() - math.log(num_samples)",
    ),
    "logaddexp, sample by sample": (
        "total = log_w[0]", "for row in log_w[1:]:", "    total = torch.logaddexp(total, row)", "return total - math.log(num_samples)",
    ),
    "float64": ("return torch.logsumexp(log_w.double(), dim=0) - math.log(num_samples)",),
    "float64 and back": ("return (log_w.double().logsumexp(0) - math.log(num_samples)).float()",),
    "through log_softmax": ("return (log_w - torch.log_softmax(log_w, dim=0)).mean(dim=0) - math.log(num_samples)",),
    "the ELBO and what is above it": ("elbo = log_w.mean(dim=0)", "return elbo + (log_w - elbo).logsumexp(0) - math.log(num_samples)"),
    "the library's": ("return elbolab.inference.importance_weighted_bound(log_w)",),
    "NumPy's name": ("return torch.special.logsumexp(log_w, 0).sub(math.log(len(log_w)))",),
    "a surrogate with the bound's value": (
        "value = torch.logsumexp(log_w, dim=0) - math.log(num_samples)",
        "weighted = (torch.softmax(log_w, dim=0).detach() * log_w).sum(dim=0)",
        "return value.detach() + weighted - weighted.detach()",
    ),
}
CALL = "log_w = log_weights(model, x, num_samples)"

RETURN = "return torch.logsumexp(log_w, dim=0) - math.log(num_samples)"

BOUNDS = {f"{name} (log-weights)": bound(*lines, RETURN) for name, lines in LOG_W.items()}
BOUNDS |= {f"{name} (reduction)": bound(CALL, *lines) for name, lines in REDUCED.items()}
BOUNDS |= {
    "more arguments": function("importance_weighted_bound(model, x, num_samples=5, beta=1.0, **options)", CALL, RETURN),
    "a running sum over chunks": bound(
        "qz, total, done = model.posterior(x), None, 0",
        "while done < num_samples:",
        "    z = qz.rsample((min(2, num_samples - done),))",
        "    done += len(z)",
        "    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
        "    log_w = log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)",
        "    part = torch.logsumexp(log_w, dim=0)",
        "    total = part if total is None else torch.logaddexp(total, part)",
        "return total - math.log(num_samples)",
    ),
    "vmap over the examples, and over nothing else": bound(
        "def one(image):",
        "    mu, log_sigma = model.encoder(image.flatten()).chunk(2)",
        "    epsilon = torch.randn(num_samples, len(mu))",
        "    z = mu + log_sigma.exp() * epsilon",
        "    logits = model.decoder(z)",
        "    log_px = (image.flatten() * logits - nn.functional.softplus(logits)).sum(1)",
        "    return torch.logsumexp(log_px + (0.5 * epsilon**2 - 0.5 * z**2 + log_sigma).sum(1), 0) - math.log(num_samples)",
        "return torch.vmap(one, randomness='different')(x)",
    ),
    "the DReG gradient with the bound's value": bound(
        "qz = model.posterior(x)",
        "z = qz.rsample((num_samples,))",
        "stopped = Normal(qz.mu.detach(), qz.sigma.detach())",
        "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
        "log_w = log_px + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)",
        "weights = torch.softmax(log_w, dim=0).detach()",
        "if z.requires_grad:",
        "    z.register_hook(lambda grad: weights.unsqueeze(-1) * grad)",
        "weighted = (weights * log_w).sum(dim=0)",
        "value = torch.logsumexp(log_w, dim=0) - math.log(num_samples)",
        "return value.detach() + weighted - weighted.detach()",
    ),
    "the library's objective, one example at a time": bound(
        "vi = elbolab.inference.VariationalInference(num_samples=num_samples)",
        "return torch.stack([-vi(model, one.unsqueeze(0))[0] for one in x])",
    ),
}

LOG_WEIGHTS = {name: weights(*lines, "return log_w") for name, lines in LOG_W.items()}
