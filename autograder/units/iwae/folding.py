"""Right ways to make log-weights and bounds that do not look like ours: other orders, loops, chunks, other libraries."""

__all__ = ["LOG_W", "REDUCED"]

PX = "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)"
KL = "(model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)"
DRAWN = ("qz = model.posterior(x)", "z = qz.rsample((num_samples,))")
FORWARD = "out['px'].log_prob({0}).flatten(1).sum(1) + (out['pz'].log_prob(out['z']) - out['qz'].log_prob(out['z'])).sum(1)"

# Lines that end with log_w, (K, batch).
LOG_W = {
    "a loop over K": ("parts = []", "for _ in range(num_samples):", "    out = model(x)", f"    parts.append({FORWARD.format('x')})",
                      "log_w = torch.stack(parts)"),
    "x repeated, example by example": (
        "copies = x.repeat_interleave(num_samples, dim=0)", "out = model(copies)",
        f"log_w = ({FORWARD.format('copies')}).view(len(x), num_samples).T"),
    "K behind the batch, with noise of its own": (
        "qz = model.posterior(x)", "mu, sigma = qz.mu.unsqueeze(1), qz.sigma.unsqueeze(1)",
        "z = mu + sigma * torch.randn(len(x), num_samples, qz.mu.shape[1])",
        "log_px = model.observation_model(z).log_prob(x.unsqueeze(1)).flatten(2).sum(-1)",
        "log_w = (log_px + (Normal(0.0, 1.0).log_prob(z) - Normal(mu, sigma).log_prob(z)).sum(-1)).T"),
    "two loops, over chunks of samples and of examples": (
        "columns, whole = [], x", "for x in whole.split(4):", "    qz, parts = model.posterior(x), []",
        "    for done in range(0, num_samples, 3):", "        z = qz.rsample((min(3, num_samples - done),))", f"        {PX}",
        f"        parts.append(log_px + {KL})", "    columns.append(torch.cat(parts))", "log_w = torch.cat(columns, dim=1)"),
    "torch's Normal and Independent": (
        "from torch.distributions import Independent, MultivariateNormal", "posterior = model.posterior(x)",
        "q = Independent(Normal(posterior.mean, posterior.stddev), 1)",
        "p = MultivariateNormal(torch.zeros(posterior.mean.shape[1]), torch.eye(posterior.mean.shape[1]))",
        "z = q.rsample(torch.Size([num_samples]))", "px = model.observation_model(z)",
        "log_w = Independent(Bernoulli(logits=px.logits), x.dim() - 1).log_prob(x) + p.log_prob(z) - q.log_prob(z)"),
    "float64 inside, without the constants that cancel": (
        *DRAWN, "logits, target = model.observation_model(z).logits.double().flatten(2), x.double().flatten(1)",
        "log_px = (target * logits - nn.functional.softplus(logits)).sum(-1)",
        "z, mu, s = z.double(), qz.mu.double(), qz.log_sigma.double()",
        "log_w = log_px + (-0.5 * z**2 + 0.5 * ((z - mu) / s.exp()) ** 2 + s).sum(-1)"),
    "x repeated, sample by sample, and the decoder's logits": (
        "qz = model.posterior(x)", "z = qz.rsample((num_samples,)).reshape(num_samples * len(x), -1)",
        "target = x.flatten(1).repeat(num_samples, 1)",
        "log_px = -nn.functional.binary_cross_entropy_with_logits(model.decoder(z), target, reduction='none').sum(1)",
        "z = z.view(num_samples, len(x), -1)",
        "log_w = log_px.view(num_samples, len(x)) + (model.prior(1).log_prob(z) - qz.log_prob(z)).sum(-1)"),
    "the library's": ("log_w = elbolab.inference.log_weights(model, x, num_samples).reshape(num_samples, len(x))",),
    "an expanded q, and an image on the way": (
        "qz = model.posterior(x).expand((num_samples, len(x), model.latent_features))", "z = qz.rsample()",
        "px = model.observation_model(z)", "px.sample()", f"log_w = px.log_prob(x).flatten(2).sum(2) + {KL}"),
    "a forward pass before it": ("out = model(x)", "qz = out['qz']", "z = qz.rsample((num_samples,))", PX, f"log_w = log_px + {KL}"),
    "vmap over the samples": (
        *DRAWN, "log_px = torch.vmap(lambda sample: -nn.functional.binary_cross_entropy_with_logits("
        "model.decoder(sample), x.flatten(1), reduction='none').sum(1))(z)", f"log_w = log_px + {KL}"),
}

# What makes L_K of log_w: the last line is what is returned.
REDUCED = {
    "the maximum by hand": ("m = log_w.max(dim=0).values.detach()", "m + (log_w - m).exp().mean(dim=0).log()"),
    "log K inside": ("torch.logsumexp(log_w - math.log(num_samples), dim=0)",),
    "logcumsumexp, in float64": ("torch.logcumsumexp(log_w.double(), dim=0)[-1] - math.log(num_samples)",),
    "logaddexp, sample by sample": (
        "total = log_w[0]", "for row in log_w[1:]:", "    total = torch.logaddexp(total, row)", "total - math.log(num_samples)"),
    "through log_softmax": ("(log_w - torch.log_softmax(log_w, dim=0)).mean(dim=0) - math.log(num_samples)",),
    "the library's": ("elbolab.inference.importance_weighted_bound(log_w)",),
    "a surrogate with the bound's value": (
        "weighted = (torch.softmax(log_w, dim=0).detach() * log_w).sum(dim=0)",
        "(torch.logsumexp(log_w, dim=0) - math.log(num_samples)).detach() + weighted - weighted.detach()"),
}
