"""Unusual solutions of unit 04 that are right: relaxed samples, objectives and measurements."""

from __future__ import annotations

__all__ = ["ELBOS", "MEASURES", "RELAXEDS", "STRAIGHTS", "VIMCOS", "function"]


def function(head: str, *lines: str) -> str:
    """The source of a function with these lines in its body."""
    return f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)


RELAXED = "relaxed_sample(logits, temperature, num_samples)"
RELAXEDS = {
    "torch's gumbel_softmax": function(
        RELAXED, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=temperature, dim=-1)"
    ),
    "RelaxedOneHotCategorical": function(
        RELAXED,
        "q = torch.distributions.RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits)",
        "return q.rsample((num_samples,))",
    ),
    "exponential noise": function(
        RELAXED,
        "g = -torch.empty(num_samples, *logits.shape).exponential_().log()",
        "y = (g + logits.log_softmax(-1)) / temperature",
        "return (y - y.logsumexp(-1, keepdim=True)).exp()",
    ),
    "torch's Gumbel": function(
        RELAXED,
        "g = torch.distributions.Gumbel(torch.zeros_like(logits), torch.ones_like(logits)).sample((num_samples,))",
        "return nn.functional.softmax((logits + g).div(temperature), -1)",
    ),
    "small numbers against the logarithm of zero": function(
        RELAXED,
        "u = torch.rand(num_samples, *logits.shape)",
        "g = -torch.log(-torch.log(u + 1e-10) + 1e-10)",
        "return torch.softmax((logits + g) / temperature, -1)",
    ),
    "a loop over samples": function(
        RELAXED,
        "draws = [torch.softmax((logits - torch.log(-torch.log(torch.rand_like(logits)))) / temperature, -1) for _ in range(num_samples)]",
        "return torch.stack(draws)",
    ),
}

STRAIGHT = "straight_through(soft)"
STRAIGHTS = {
    "the difference detached": function(
        STRAIGHT, "hard = nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]).float()", "return (hard - soft).detach() + soft"
    ),
    "scatter": function(
        STRAIGHT,
        "hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)",
        "return hard.detach() - soft.detach() + soft",
    ),
    "the largest entry": function(
        STRAIGHT, "hard = (soft == soft.max(-1, keepdim=True).values).to(soft)", "return soft + (hard - soft.detach())"
    ),
    "a function of its own": function(
        STRAIGHT,
        "class Hard(torch.autograd.Function):",
        "    @staticmethod",
        "    def forward(ctx, given):",
        "        return nn.functional.one_hot(given.argmax(-1), given.shape[-1]).to(given)",
        "    @staticmethod",
        "    def backward(ctx, slope):",
        "        return slope",
        "return Hard.apply(soft)",
    ),
}

ELBO = "negative_elbo(model, x, estimator)"
ELBOS = {
    "another KL": function(
        ELBO,
        "logits = model.logits(x)",
        "cost = estimator(model.cost(x), logits)",
        "kl = logits.shape[1] * math.log(logits.shape[2]) - OneHotCategorical(logits=logits).entropy().sum(-1)",
        "elbo = -cost - kl",
        "return -elbo, {'elbo': elbo.detach(), 'log_px': -cost.detach(), 'kl': kl.detach()}",
    ),
    "its own cost": function(
        ELBO,
        "logits = model.logits(x)",
        "cost = estimator(lambda z: -model.log_px(x, z), logits)",
        "kl = categorical_kl(logits)",
        "with torch.no_grad():",
        "    told = {'elbo': -(cost + kl), 'log_px': -cost, 'kl': kl.clone()}",
        "told = {k: v.detach() for k, v in told.items()}",
        "return cost + kl, told",
    ),
    "the KL sampled within the cost": function(
        ELBO,
        "logits, f = model.logits(x), model.cost(x)",
        "constant = logits.shape[1] * math.log(logits.shape[2])",
        "whole = lambda z: f(z) + (z * logits.log_softmax(-1)).sum((-2, -1)) + constant",
        "loss = estimator(whole, logits)",
        "kl = categorical_kl(logits).detach()",
        "log_px = -estimator(f, logits).detach()",
        "return loss, {'elbo': log_px - kl, 'log_px': log_px, 'kl': kl}",
    ),
    "a list, and more diagnostics": function(
        ELBO,
        "logits = model.logits(x)",
        "cost, kl = estimator(model.cost(x), logits), categorical_kl(logits)",
        "return [cost + kl, {'elbo': (-cost - kl).detach(), 'log_px': -cost.detach(), 'kl': kl.detach(), 'logits': logits}]",
    ),
}

MEASURE = "bias_and_variance(draws, exact)"
MEASURES = {
    "by hand": function(
        MEASURE,
        "n, mean = draws.shape[0], draws.mean(0)",
        "variance = ((draws - mean) ** 2).sum() / (n - 1)",
        "return ((mean - exact) ** 2).sum() - variance / n, variance",
    ),
    "with standard deviations": function(
        MEASURE,
        "spread, n = draws.flatten(1).std(0), len(draws)",
        "bias = draws.flatten(1).mean(0) - exact.flatten()",
        "return (bias**2 - spread**2 / n).sum(), (spread**2).sum()",
    ),
    "plain numbers": function(
        MEASURE,
        "d, e = draws.double().flatten(1), exact.double().flatten()",
        "variance = d.var(0).sum().item()",
        "return (d.mean(0) - e).pow(2).sum().item() - variance / len(d), variance",
    ),
    "from pairs of draws": function(
        MEASURE,
        "d = (draws - exact).flatten(1)",
        "products, n = d @ d.T, len(d)",
        "squared_bias = (products.sum() - products.trace()) / (n * (n - 1))",
        "return [squared_bias, draws.var(0).sum()]",
    ),
}

VIMCO = "vimco(log_w, log_q)"
VIMCOS = {
    "a loop": function(
        VIMCO,
        "s = log_w.shape[0]",
        "bound = torch.logsumexp(log_w, 0) - math.log(s)",
        "total = bound",
        "for j in range(s):",
        "    rest = torch.cat([log_w[:j], log_w[j + 1:]]).detach()",
        "    without = torch.cat([rest, rest.mean(0, keepdim=True)]).logsumexp(0) - math.log(s)",
        "    total = total + (bound.detach() - without) * (log_q[j] - log_q[j].detach())",
        "return total",
    ),
    "the arithmetic mean of the others": function(
        VIMCO,
        "s = len(log_w)",
        "bound = log_w.logsumexp(0) - math.log(s)",
        "rest = torch.stack([torch.cat([log_w[:j], log_w[j + 1:]]).logsumexp(0) - math.log(s - 1) for j in range(s)])",
        "return bound + ((bound - rest).detach() * (log_q - log_q.detach())).sum(0)",
    ),
    "in two parts": function(
        VIMCO,
        "s = log_w.shape[0]",
        "with torch.no_grad():",
        "    others = (log_w.sum(0, keepdim=True) - log_w) / (s - 1)",
        "    table = log_w.repeat(s, 1, 1)",
        "    table[range(s), range(s)] = others",
        "    signal = log_w.logsumexp(0) - table.logsumexp(1)",
        "score = (signal * log_q).sum(0)",
        "return log_w.logsumexp(0) - math.log(s) + score - score.detach()",
    ),
    "float64 inside": function(
        VIMCO,
        "w, q, s = log_w.double(), log_q.double(), len(log_w)",
        "bound = w.logsumexp(0) - math.log(s)",
        "mine = torch.eye(s, dtype=torch.double)[..., None]",
        "swapped = w * (1 - mine) + mine * (w.sum(0) - w) / (s - 1)",
        "signal = (bound - swapped.logsumexp(1) + math.log(s)).detach()",
        "return (bound + (signal * (q - q.detach())).sum(0)).to(log_w.dtype)",
    ),
}
