"""Mistakes in the small functions: the Bernoulli log-likelihood, the Gaussian KL, two gradient estimators."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "bernoulli_log_likelihood": '''\
def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of binary x, (batch, *event), under independent Bernoullis with these logits; shape (batch,)."""
    return reduce(Bernoulli(logits=logits).log_prob(x))
''',
    "gaussian_kl": '''\
def gaussian_kl(mu_q: Tensor, log_sigma_q: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL(q || p) of diagonal Gaussians, arguments (batch, M), in nats; shape (batch,)."""
    log_ratio = log_sigma_q - log_sigma_p
    distance = (mu_q - mu_p) / log_sigma_p.exp()
    return (0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio).sum(dim=-1)
''',
    "pathwise_gradient": '''\
def pathwise_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of d/dmu E[f(z)], z ~ N(mu, sigma^2), from each sample, by the trick; shape (num_samples,)."""
    epsilon = torch.randn(num_samples, dtype=mu.dtype)
    z = (mu + log_sigma.exp() * epsilon).detach().requires_grad_()  # dz/dmu = 1, so df/dmu = df/dz
    return torch.autograd.grad(f(z).sum(), z)[0]
''',
    "score_gradient": '''\
def score_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of the same gradient from each sample, by the score function; shape (num_samples,)."""
    sigma = log_sigma.detach().exp()
    z = mu.detach() + sigma * torch.randn(num_samples, dtype=mu.dtype)
    return f(z) * (z - mu.detach()) / sigma**2
''',
}

LIKELIHOOD = "return reduce(Bernoulli(logits=logits).log_prob(x))"
CROSS_ENTROPY = "nn.functional.binary_cross_entropy_with_logits"
RATIO, DISTANCE = "log_ratio = log_sigma_q - log_sigma_p", "distance = (mu_q - mu_p) / log_sigma_p.exp()"
TERMS = "0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio"
DIVERGENCE = f"return ({TERMS}).sum(dim=-1)"
SHIFTED, SLOPE = "z = (mu + log_sigma.exp() * epsilon)", "return torch.autograd.grad(f(z).sum(), z)[0]"
DRAWN = "z = mu.detach() + sigma * torch.randn(num_samples, dtype=mu.dtype)"
SCORE = "return f(z) * (z - mu.detach()) / sigma**2"


def bernoulli(name: str, line: str) -> Mistake:
    return Mistake(name, "bernoulli_log_likelihood", ((LIKELIHOOD, line),), ("vae.bernoulli",))


def divergence(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "gaussian_kl", edits, ("vae.gaussian_kl",))


def pathwise(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "pathwise_gradient", edits, ("vae.pathwise_gradient",))


def score(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "score_gradient", edits, ("vae.score_gradient",))


MISTAKES = (
    bernoulli("bernoulli_negated", f'return reduce({CROSS_ENTROPY}(logits, x, reduction="none"))'),
    bernoulli("mean_over_pixels", "return Bernoulli(logits=logits).log_prob(x).flatten(1).mean(dim=1)"),
    bernoulli("summed_over_the_batch", "return Bernoulli(logits=logits).log_prob(x).sum()"),
    bernoulli("summed_over_the_batch", f'return -{CROSS_ENTROPY}(logits, x, reduction="sum")'),
    bernoulli("not_summed", "return Bernoulli(logits=logits).log_prob(x)"),
    bernoulli("logits_for_probabilities", "return reduce(Bernoulli(logits=torch.sigmoid(logits)).log_prob(x))"),
    bernoulli("only_the_ones", "return reduce(x * nn.functional.logsigmoid(logits))"),
    bernoulli("arguments_swapped", f'return -reduce({CROSS_ENTROPY}(x, logits, reduction="none"))'),
    bernoulli("sigmoid_saturates", "p = torch.sigmoid(logits)\n    return reduce(x * torch.log(p) + (1 - x) * torch.log(1 - p))"),
    bernoulli("sigmoid_saturates", "return reduce(Bernoulli(probs=torch.sigmoid(logits)).log_prob(x))"),
    bernoulli("changes_its_inputs", "value = reduce(Bernoulli(logits=logits).log_prob(x))\n    x.data.zero_()\n    return value"),
    bernoulli("without_gradient", "return reduce(Bernoulli(logits=logits).log_prob(x)).detach()"),
    divergence("changes_its_inputs", (DIVERGENCE, f"value = ({TERMS}).sum(dim=-1)\n    mu_q.data.sub_(mu_p)\n    return value")),
    divergence("kl_reversed", (RATIO, "log_ratio = log_sigma_p - log_sigma_q"), (DISTANCE, "distance = (mu_p - mu_q) / log_sigma_q.exp()")),
    divergence("kl_sign_flipped", (DIVERGENCE, f"return -({TERMS}).sum(dim=-1)")),
    divergence("prior_ignored", (RATIO, "log_ratio = log_sigma_q"), (DISTANCE, "distance = mu_q")),
    divergence("mean_over_latents", (DIVERGENCE, f"return ({TERMS}).mean(dim=-1)")),
    divergence("summed_over_the_batch", (DIVERGENCE, f"return ({TERMS}).sum()")),
    divergence("not_summed", (DIVERGENCE, f"return {TERMS}")),
    divergence("log_variance_for_log_sigma", (RATIO, "log_ratio = 0.5 * (log_sigma_q - log_sigma_p)"),
               (DISTANCE, "distance = (mu_q - mu_p) / (0.5 * log_sigma_p).exp()")),
    divergence("variance_for_standard_deviation",
               (DIVERGENCE, "return (0.5 * (torch.exp(log_ratio) + (mu_q - mu_p)**2 / log_sigma_p.exp() - 1) - log_ratio).sum(dim=-1)")),
    divergence("missing_half_in_kl", (DIVERGENCE, "return (torch.exp(2 * log_ratio) + distance**2 - 1 - log_ratio).sum(dim=-1)")),
    divergence("missing_half_in_kl", (DIVERGENCE, "return (torch.exp(2 * log_ratio) + distance**2 - 1 - 2 * log_ratio).sum(dim=-1)")),
    divergence("constant_in_kl", (DIVERGENCE, "return (0.5 * (torch.exp(2 * log_ratio) + distance**2) - log_ratio).sum(dim=-1)")),
    divergence("monte_carlo_for_closed_form",
               (DIVERGENCE, "q = torch.distributions.Normal(mu_q, log_sigma_q.exp())\n"
                            "    p = torch.distributions.Normal(mu_p, log_sigma_p.exp())\n"
                            "    z = q.rsample((10_000,))\n    return (q.log_prob(z) - p.log_prob(z)).mean(dim=0).sum(dim=-1)")),
    divergence("without_gradient", (DIVERGENCE, f"return ({TERMS}).sum(dim=-1).detach()")),
    pathwise("already_averaged", (SLOPE, f"{SLOPE}.mean()")),
    pathwise("divided_by_num_samples", (SLOPE, "return torch.autograd.grad(f(z).mean(), z)[0]")),
    pathwise("sign_flipped", (SLOPE, "return -torch.autograd.grad(f(z).sum(), z)[0]")),
    pathwise("gradient_of_log_sigma", (SLOPE, f"{SLOPE} * log_sigma.exp() * epsilon")),
    pathwise("no_randomness", ("epsilon = torch.randn(num_samples, dtype=mu.dtype)", "epsilon = torch.randn(()).repeat(num_samples)")),
    pathwise("score_for_pathwise", (SLOPE, "return f(z).detach() * epsilon / log_sigma.exp()")),
    pathwise("derivative_at_mu", (SHIFTED, "z = mu.repeat(num_samples)")),
    pathwise("wrong_sigma", (SHIFTED, "z = (mu + log_sigma * epsilon)")),
    score("already_averaged", (SCORE, "return (f(z) * (z - mu.detach()) / sigma**2).mean()")),
    score("divided_by_num_samples", (SCORE, "return f(z) * (z - mu.detach()) / sigma**2 / num_samples")),
    score("sign_flipped", (SCORE, "return f(z) * (mu.detach() - z) / sigma**2")),
    score("gradient_of_log_sigma", (SCORE, "return f(z) * (((z - mu.detach()) / sigma) ** 2 - 1)")),
    score("no_randomness", (DRAWN, "z = mu.detach() + sigma * torch.randn(()).repeat(num_samples)")),
    score("pathwise_for_score", (SCORE, "z.requires_grad_()\n    return torch.autograd.grad(f(z).sum(), z)[0]")),
    score("f_left_out", (SCORE, "return (z - mu.detach()) / sigma**2")),
    score("score_without_square", (SCORE, "return f(z) * (z - mu.detach()) / sigma")),
    score("score_is_zero", (DRAWN, "mu = mu.detach().repeat(num_samples).requires_grad_()\n    z = mu + sigma * torch.randn(num_samples)"),
          (SCORE, "log_q = -0.5 * ((z - mu) / sigma) ** 2\n    return f(z).detach() * torch.autograd.grad(log_q.sum(), mu)[0]")),
    score("f_without_score", (SCORE, "return f(z)")),
)
