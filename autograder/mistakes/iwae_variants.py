"""Right solutions of unit 02 that do not look like ours. Every one of them has to pass: a check judges what code does."""

from __future__ import annotations

from autograder.mistakes.iwae_variants_bound import BOUNDS, LOG_WEIGHTS

__all__ = ["VARIANTS"]

ESTIMATES = {
    "rsample and numbers": """\
def importance_estimate(f, p, q, num_samples):
    z = q.rsample(torch.Size([num_samples]))
    return torch.mean(torch.exp(p.log_prob(z)) / torch.exp(q.log_prob(z)) * f(z))
""",
    "a loop": """\
def importance_estimate(f, p, q, num_samples):
    total = torch.zeros(())
    for z in q.sample((num_samples,)).split(500):
        total = total + (f(z) * torch.exp(p.log_prob(z) - q.log_prob(z))).sum()
    return total / num_samples
""",
    "a column": """\
def importance_estimate(f, p, q, num_samples):
    z = q.sample((num_samples, 1))
    return ((p.log_prob(z) - q.log_prob(z)).exp() * f(z)).sum(dim=0).squeeze() / num_samples
""",
    "log-mean-exp with the sign of f apart": """\
def importance_estimate(f, p, q, num_samples):
    z = q.sample((num_samples,)).double()
    value = f(z)
    log_terms = p.log_prob(z) - q.log_prob(z) + value.abs().log()
    return (value.sign() * log_terms.exp()).mean()
""",
}

NORMALIZED = {
    "by the maximum": """\
def normalized_weights(log_w):
    w = (log_w - log_w.max(dim=0, keepdim=True).values).exp()
    return w / w.sum(0, keepdim=True)
""",
    "exp of log_softmax": """\
def normalized_weights(log_w):
    return torch.exp(log_w - torch.logsumexp(log_w, 0))
""",
    "K last inside": """\
def normalized_weights(log_w):
    return nn.functional.softmax(log_w.T, dim=-1).T
""",
    "in float64": """\
def normalized_weights(log_w):
    return log_w.double().softmax(0)
""",
}

SIZES = {
    "sum squared over sum of squares": """\
def effective_sample_size(log_w):
    w = (log_w - log_w.amax(0)).exp()
    return w.sum(0) ** 2 / (w**2).sum(0)
""",
    "in logarithms": """\
def effective_sample_size(log_w):
    return (2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)).exp()
""",
    "by the spread of the weights": """\
def effective_sample_size(log_w):
    w = normalized_weights(log_w) * len(log_w)
    return len(log_w) / (1 + w.var(dim=0, unbiased=False))
""",
    "einsum": """\
def effective_sample_size(log_w):
    w = log_w.softmax(0)
    return torch.einsum('kb,kb->b', w, w).reciprocal()
""",
}

FOLDED = {
    "reshape": """\
def over_samples(f, z):
    k, batch = z.shape[:2]
    y = f(z.reshape(k * batch, *z.shape[2:]))
    return y.reshape(k, batch, *y.shape[1:])
""",
    "example by example": """\
def over_samples(f, z):
    rows = z.transpose(0, 1).flatten(0, 1)
    y = f(rows)
    return y.unflatten(0, (z.shape[1], z.shape[0])).transpose(0, 1)
""",
    "cat and split": """\
def over_samples(f, z):
    return torch.stack(f(torch.cat(list(z))).split(z.shape[1]))
""",
    "the library's": """\
def over_samples(f, z):
    from elbolab.inference import merge, unmerge
    return unmerge(f(merge(z)), len(z))
""",
}

LIKELIHOODS = {
    "a list of logarithms": """\
def log_likelihood(model, x, num_samples=5000, chunk=100):
    parts, done = [], 0
    with torch.no_grad():
        qz = model.posterior(x)
        while done < num_samples:
            z = qz.sample((min(chunk, num_samples - done),))
            done += len(z)
            log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
            parts.append(torch.logsumexp(log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1), 0))
    return torch.logsumexp(torch.stack(parts), 0) - math.log(num_samples)
""",
    "all latents first, log-weights kept": """\
def log_likelihood(model, x, num_samples=5000, chunk=100):
    with torch.inference_mode():
        qz = model.posterior(x)
        zs = qz.rsample((num_samples,))
        parts = []
        for z in zs.split(chunk):
            log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
            parts.append(log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1))
        log_w = torch.cat(parts)
        result = log_w.logsumexp(0) - math.log(num_samples)
    return result.clone()
""",
    "example by example": """\
def log_likelihood(model, x, num_samples=5000, chunk=100):
    values = []
    with torch.no_grad():
        for one in x:
            qz = model.posterior(one[None])
            z = qz.sample((num_samples,))
            log_px = [model.observation_model(c).log_prob(one[None]).flatten(1).sum(1) for c in z.split(chunk)]
            log_w = torch.cat(log_px) + (model.prior(1).log_prob(z) - qz.log_prob(z)).sum((1, 2))
            values.append(log_w.logsumexp(0) - math.log(num_samples))
    return torch.stack(values)
""",
    "detached at the end of each chunk": """\
def log_likelihood(model, x, num_samples=5000, chunk=100):
    qz = model.posterior(x)
    total = torch.full((len(x),), float('-inf'))
    for size in [chunk] * (num_samples // chunk) + [num_samples % chunk]:
        if size:
            z = qz.sample((size,))
            log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
            log_w = (log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)).detach()
            total = torch.logaddexp(total, torch.logsumexp(log_w, 0))
    return (total - math.log(num_samples)).double()
""",
}

UNITS = {
    "biased variance": """\
def active_units(model, x):
    means = model.posterior(x).mu
    v = ((means - means.mean(0)) ** 2).mean(0)
    return (v > 0.01).sum().item(), v
""",
    "a tensor as count": """\
def active_units(model, x):
    v = torch.var(model.posterior(x).mean, dim=0)
    return (v > 1e-2).sum(), v
""",
    "in parts, with the diagonal of the covariance": """\
def active_units(model, x):
    with torch.no_grad():
        means = torch.cat([model.posterior(part).mean for part in x.split(64)])
    v = torch.cov(means.T).diagonal()
    return [len(v[v > 0.01]), v]
""",
    "square of the standard deviation": """\
def active_units(model, x):
    v = model.posterior(x).mean.detach().std(0) ** 2
    return torch.count_nonzero(v > 0.01), v
""",
}

RESAMPLED = {
    "multinomial": """\
def resample(z, log_w, num_draws):
    index = torch.multinomial(log_w.softmax(0).T, num_draws, replacement=True)
    return torch.stack([z[index[b], b] for b in range(z.shape[1])], dim=1)
""",
    "Gumbel's maximum": """\
def resample(z, log_w, num_draws):
    noise = -torch.log(-torch.log(torch.rand(num_draws, *log_w.shape)))
    index = (log_w + noise).argmax(1)
    return torch.gather(z, 0, index.unsqueeze(-1).expand(-1, -1, z.shape[2]))
""",
    "systematic": """\
def resample(z, log_w, num_draws):
    steps = (torch.arange(num_draws)[:, None] + torch.rand(1, z.shape[1])) / num_draws
    edges = log_w.softmax(0).cumsum(0)
    index = (steps[:, None] > edges[:-1]).sum(1)
    index = torch.stack([column[torch.randperm(num_draws)] for column in index.T], dim=1)
    return z[index, torch.arange(z.shape[1])]
""",
    "a loop over examples": """\
def resample(z, log_w, num_draws):
    picks = [z[Categorical(logits=log_w[:, b]).sample((num_draws,)), b] for b in range(z.shape[1])]
    return torch.stack(picks, dim=1)
""",
}

SURROGATES = {
    "a hook on z": """\
def dreg_surrogate(model, x, num_samples):
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
    log_w = log_px + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)
    weights = log_w.softmax(0).detach()
    z.register_hook(lambda grad: weights.unsqueeze(-1) * grad)
    return (weights * log_w).sum(0)
""",
    "the mean over the batch": """\
def dreg_surrogate(model, x, num_samples):
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
    log_w = log_px + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)
    return (log_w.softmax(0).detach() ** 2 * log_w).sum(0).mean()
""",
    "weights from another pass without graph": """\
def dreg_surrogate(model, x, num_samples):
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    with torch.no_grad():
        log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)
        log_w = log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)
        weights = log_w.softmax(0)
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_p = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + model.prior(len(x)).log_prob(z).sum(-1)
    return (weights**2 * (log_p - stopped.log_prob(z).sum(-1))).sum(0)
""",
}

VARIANTS = {
    "importance_estimate": ESTIMATES,
    "normalized_weights": NORMALIZED,
    "effective_sample_size": SIZES,
    "over_samples": FOLDED,
    "log_weights": LOG_WEIGHTS,
    "importance_weighted_bound": BOUNDS,
    "log_likelihood": LIKELIHOODS,
    "active_units": UNITS,
    "resample": RESAMPLED,
    "dreg_surrogate": SURROGATES,
}
