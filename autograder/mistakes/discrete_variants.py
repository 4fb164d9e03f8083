"""Unusual solutions of unit 04 that are right, and have to pass every check."""

from __future__ import annotations

from autograder.mistakes.discrete_variants_objectives import ELBOS, MEASURES, RELAXEDS, STRAIGHTS, VIMCOS, function

__all__ = ["VARIANTS"]


KL = "categorical_kl(logits)"
KLS = {
    "torch's kl_divergence": function(
        KL,
        "q = torch.distributions.Categorical(logits=logits)",
        "p = torch.distributions.Categorical(logits=torch.zeros_like(logits))",
        "return torch.distributions.kl_divergence(q, p).sum(dim=-1)",
    ),
    "log C minus the entropy": function(
        KL, "entropy = OneHotCategorical(logits=logits).entropy()", "return logits.shape[1] * math.log(logits.shape[2]) - entropy.sum(-1)"
    ),
    "xlogy": function(KL, "q = torch.softmax(logits, -1)", "return (torch.xlogy(q, q).sum(-1) + math.log(q.size(-1))).sum(1)"),
    "a small number in the logarithm": function(
        KL, "q = logits.softmax(-1)", "return torch.sum(q * torch.log(q * logits.shape[-1] + 1e-12), dim=[1, 2])"
    ),
    "float64 inside": function(
        KL,
        "log_q = logits.double().log_softmax(-1)",
        "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((1, 2)).to(logits.dtype)",
    ),
    "a loop over latents": function(
        KL,
        "total = 0",
        "for latent in logits.unbind(1):",
        "    log_q = latent - latent.logsumexp(-1, keepdim=True)",
        "    total = total + (log_q.exp() * log_q).sum(-1) + math.log(latent.shape[-1])",
        "return total",
    ),
}

LIKELIHOOD = "code_log_likelihood(pixel_logits, x)"
LIKELIHOODS = {
    "cross-entropy": function(
        LIKELIHOOD,
        "logits, target = torch.broadcast_tensors(pixel_logits[:, None], x[None])",
        "return -nn.functional.binary_cross_entropy_with_logits(logits, target, reduction='none').sum(-1)",
    ),
    "torch's Bernoulli": function(LIKELIHOOD, "return torch.distributions.Bernoulli(logits=pixel_logits.unsqueeze(1)).log_prob(x).sum(-1)"),
    "both halves with logsigmoid": function(
        LIKELIHOOD, "return nn.functional.logsigmoid(pixel_logits) @ x.T + nn.functional.logsigmoid(-pixel_logits) @ (1 - x).T"
    ),
    "the other way round": function(
        LIKELIHOOD, "return torch.transpose(x @ pixel_logits.T + nn.functional.logsigmoid(-pixel_logits).sum(-1), 0, 1)"
    ),
    "a loop over codes": function(
        LIKELIHOOD, "rows = [(l * x - nn.functional.softplus(l)).sum(1) for l in pixel_logits]", "return torch.stack(rows)"
    ),
}

EXPECTED = "expected_cost(f, logits)"
EXPECTEDS = {
    "itertools": function(
        EXPECTED,
        "import itertools",
        "batch, latents, classes = logits.shape",
        "q, total = logits.softmax(-1), 0",
        "for state in itertools.product(range(classes), repeat=latents):",
        "    z = torch.eye(classes)[list(state)].expand(1, batch, latents, classes)",
        "    weight = torch.stack([q[:, l, c] for l, c in enumerate(state)]).prod(0)",
        "    total = total + weight * f(z)[0]",
        "return total",
    ),
    "OneHotCategorical.enumerate_support": function(
        EXPECTED,
        "import itertools",
        "batch, latents, classes = logits.shape",
        "eye = torch.eye(classes, dtype=logits.dtype)",
        "codes = torch.stack([eye[list(s)] for s in itertools.product(range(classes), repeat=latents)])[:, None]",
        "q = OneHotCategorical(logits=logits)",
        "log_q = q.log_prob(codes.expand(-1, batch, -1, -1)).sum(-1)",
        "return torch.einsum('nb,nb->b', log_q.exp(), f(codes))",
    ),
    "first latent fastest": function(
        EXPECTED,
        "latents, classes = logits.shape[1:]",
        "n = torch.arange(classes**latents)",
        "states = torch.stack([n // classes**l % classes for l in range(latents)], -1)",
        "codes = nn.functional.one_hot(states, classes).float()[:, None].repeat(1, len(logits), 1, 1)",
        "weight = (codes * logits.softmax(-1)).sum(-1).prod(-1)",
        "return (f(codes) * weight).sum(0)",
    ),
    "in chunks": function(
        EXPECTED,
        "latents, classes = logits.shape[-2:]",
        "states = torch.cartesian_prod(*[torch.arange(classes)] * latents).view(-1, latents)",
        "total = 0",
        "for part in nn.functional.one_hot(states, classes).unsqueeze(1).split(4):",
        "    total = total + ((part * logits.log_softmax(-1)).sum((-2, -1)).exp() * f(part)).sum(0)",
        "return total",
    ),
}

SCORE = "score_function(f, logits, num_samples)"
HEAD = ("q = OneHotCategorical(logits=logits)", "z = q.sample((num_samples,))", "log_q = q.log_prob(z).sum(-1)", "cost = f(z)")
SCORES = {
    "the magic box": function(
        SCORE, *HEAD, "magic = torch.exp(log_q - log_q.detach())", "return (cost.detach() * magic + cost - cost.detach()).mean(0)"
    ),
    "cost times the magic box": function(SCORE, *HEAD, "return (cost * torch.exp(log_q - log_q.detach())).mean(0)"),
    "undetached, with the difference": function(SCORE, *HEAD, "return (cost + cost * (log_q - log_q.detach())).mean(0)"),
    "a loop over samples": function(
        SCORE,
        "q, total = OneHotCategorical(logits=logits), 0",
        "for _ in range(num_samples):",
        "    z = q.sample()",
        "    log_q, cost = q.log_prob(z).sum(-1), f(z.unsqueeze(0)).squeeze(0)",
        "    total = total + cost + cost.detach() * (log_q - log_q.detach())",
        "return total / num_samples",
    ),
    "a loop with codes of three dimensions": function(
        SCORE,
        "q, parts = OneHotCategorical(logits=logits), []",
        "for _ in range(num_samples):",
        "    z = q.sample()",
        "    log_q, cost = q.log_prob(z).sum(-1), f(z)",
        "    parts.append(cost + cost.detach() * (log_q - log_q.detach()))",
        "return torch.stack(parts).mean(0)",
    ),
    "Categorical and one_hot": function(
        SCORE,
        "q = torch.distributions.Categorical(logits=logits)",
        "states = q.sample([num_samples])",
        "z = nn.functional.one_hot(states, logits.size(-1)).float()",
        "log_q, cost = q.log_prob(states).sum(-1), f(z)",
        "surrogate = (cost.detach() * log_q).mean(0)",
        "return surrogate - surrogate.detach() + cost.mean(0)",
    ),
    "multinomial": function(
        SCORE,
        "batch, latents, classes = logits.shape",
        "log_p = logits.log_softmax(-1)",
        "states = torch.multinomial(log_p.detach().exp().flatten(0, 1), num_samples, replacement=True).T.reshape(num_samples, "
        "batch, latents)",
        "z = nn.functional.one_hot(states, classes)",
        "log_q, cost = (z * log_p).sum((-2, -1)), f(z.float())",
        "return (cost + cost.detach() * (log_q - log_q.detach())).mean(0)",
    ),
    "the Gumbel-max trick": function(
        SCORE,
        "with torch.no_grad():",
        "    noise = -torch.empty(num_samples, *logits.shape).exponential_().log()",
        "    z = nn.functional.one_hot((logits + noise).argmax(-1), logits.shape[-1]).to(logits)",
        "log_q, cost = (z * logits.log_softmax(-1)).sum((-2, -1)), f(z)",
        "return (cost + cost.detach() * (log_q - log_q.detach())).mean(0)",
    ),
    "f asked twice": function(
        SCORE, *HEAD, "with torch.no_grad():", "    weight = f(z)", "return (cost + weight * (log_q - log_q.detach())).mean(0)"
    ),
    "torch's Independent": function(
        SCORE,
        "q = torch.distributions.Independent(OneHotCategorical(logits=logits), 1)",
        "z = q.sample((num_samples,))",
        "cost, log_q = f(z), q.log_prob(z)",
        "return (cost + cost.detach() * (log_q - log_q.detach())).mean(0)",
    ),
}

RLOO = "leave_one_out(f, logits, num_samples)"
END = "return (cost + signal * (log_q - log_q.detach())).mean(0)"
RLOOS = {
    "scaled distance from the mean": function(
        RLOO, *HEAD, "signal = ((cost - cost.mean(0)) * num_samples / (num_samples - 1)).detach()", END
    ),
    "a mask": function(
        RLOO, *HEAD, "others = 1 - torch.eye(num_samples)", "signal = (cost - others @ cost / (num_samples - 1)).detach()", END
    ),
    "a loop over the left out": function(
        RLOO,
        *HEAD,
        "rows = [torch.cat([cost[:s], cost[s + 1:]]).mean(0) for s in range(num_samples)]",
        "signal = (cost - torch.stack(rows)).detach()",
        END,
    ),
    "all pairs": function(RLOO, *HEAD, "pairs = (cost[:, None] - cost[None]).detach()", "signal = pairs.sum(1) / (num_samples - 1)", END),
    "the difference undetached": function(
        RLOO, *HEAD, "signal = cost - (cost.sum(0) - cost) / (num_samples - 1)", "return (cost + signal * (log_q - log_q.detach())).mean(0)"
    ),
    "with an assertion": function(
        RLOO, "assert num_samples > 1", *HEAD, "signal = cost.detach() - (cost.detach().sum(0) - cost.detach()) / (num_samples - 1)", END
    ),
    "logits not normalized, which cancels": function(
        RLOO,
        "z = OneHotCategorical(logits=logits).sample((num_samples,))",
        "log_q, cost = (z * logits).sum((-2, -1)), f(z)",
        "signal = (cost - (cost.sum(0) - cost) / (num_samples - 1)).detach()",
        END,
    ),
    "samples one by one": function(
        RLOO,
        "q = OneHotCategorical(logits=logits)",
        "zs = [q.sample() for _ in range(num_samples)]",
        "cost = torch.stack([f(z[None])[0] for z in zs])",
        "log_q = torch.stack([q.log_prob(z).sum(-1) for z in zs])",
        "signal = (cost - (cost.sum(0) - cost) / (num_samples - 1)).detach()",
        END,
    ),
}

VARIANTS = {
    "categorical_kl": KLS,
    "code_log_likelihood": LIKELIHOODS,
    "expected_cost": EXPECTEDS,
    "score_function": SCORES,
    "leave_one_out": RLOOS,
    "negative_elbo": ELBOS,
    "relaxed_sample": RELAXEDS,
    "straight_through": STRAIGHTS,
    "bias_and_variance": MEASURES,
    "vimco": VIMCOS,
}
