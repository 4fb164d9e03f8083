"""Mistakes in the test log-likelihood, in the count of active units and in the DReG surrogate."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "log_likelihood": '''\
@torch.no_grad()
def log_likelihood(model: nn.Module, x: Tensor, num_samples: int = 5000, chunk: int = 100) -> Tensor:
    """log p(x) of each example, L_K with K = num_samples, at most chunk samples of each decoded at a time; shape (batch,)."""
    qz, pz = model.posterior(x), model.prior(len(x))
    total = torch.full((len(x),), -math.inf)  # log of the sum of the weights so far
    for start in range(0, num_samples, chunk):
        z = qz.sample((min(chunk, num_samples - start),))
        log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (pz.log_prob(z) - qz.log_prob(z)).sum(-1)
        total = torch.logaddexp(total, torch.logsumexp(log_w, dim=0))
    return total - math.log(num_samples)
''',
    "active_units": '''\
@torch.no_grad()
def active_units(model: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """How many latents' posterior means have a variance over the images above 0.01; and these variances, (M,)."""
    variances = model.posterior(x).mean.var(dim=0)
    return int((variances > 0.01).sum()), variances
''',
    "dreg_surrogate": '''\
def dreg_surrogate(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """Its gradient with respect to the encoder is the doubly reparameterized one of L_K; its value means nothing. Shape (batch,)."""
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)
    weights = torch.softmax(log_w, dim=0).detach()
    return (weights.square() * log_w).sum(dim=0)
''',
}

START = "total = torch.full((len(x),), -math.inf)  # log of the sum of the weights so far"
LOOP = "for start in range(0, num_samples, chunk):"
DRAW = "z = qz.sample((min(chunk, num_samples - start),))"
ADD = "total = torch.logaddexp(total, torch.logsumexp(log_w, dim=0))"
END = "return total - math.log(num_samples)"
VARIANCES = "variances = model.posterior(x).mean.var(dim=0)"
COUNT = "return int((variances > 0.01).sum()), variances"


def likelihood(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "log_likelihood", edits, ("iwae.log_likelihood",))


def units(name: str, old: str, new: str) -> Mistake:
    return Mistake(name, "active_units", ((old, new),), ("iwae.active_units",))


def surrogate(name: str, old: str, new: str) -> Mistake:
    return Mistake(name, "dreg_surrogate", ((old, new),), ("iwae.dreg",))


def listed(name: str, part: str, end: str) -> Mistake:
    """A list of what each chunk gives, and what is made of it."""
    return likelihood(name, (START, "parts = []"), (ADD, f"parts.append({part})"), (END, end))


SUM, BOUND = "torch.logsumexp(log_w, dim=0)", "torch.logsumexp(log_w, dim=0) - math.log(len(log_w))"

MISTAKES = (
    listed("chunks_averaged", BOUND, "return torch.stack(parts).mean(dim=0)"),
    listed("chunks_averaged", SUM, "return torch.stack(parts).mean(dim=0) - math.log(chunk)"),
    listed("chunks_equally_weighted", BOUND, "return torch.logsumexp(torch.stack(parts), dim=0) - math.log(len(parts))"),
    listed("mean_of_logs", "log_w", "return torch.cat(parts).mean(dim=0)"),
    likelihood("log_k_missing", (END, "return total")),
    likelihood("log_of_the_chunk", (END, "return total - math.log(chunk)")),
    likelihood("last_chunk_only", (ADD, f"total = {SUM}")),
    likelihood("last_chunk_left_out", (LOOP, "for _ in range(max(1, num_samples // chunk)):"),
               (DRAW, "z = qz.sample((min(chunk, num_samples),))")),
    likelihood("fewer_samples_than_a_chunk", (START, "parts = []"),
               (LOOP, "for size in [chunk] * (num_samples // chunk) + [num_samples % chunk] * (num_samples > chunk):"),
               (DRAW, "z = qz.sample((size,))"), (ADD, f"parts.append({SUM})"),
               (END, "return torch.logsumexp(torch.stack(parts), dim=0) - math.log(num_samples)")),
    likelihood("more_samples_than_asked", (DRAW, "z = qz.sample((chunk,))")),
    likelihood("starts_from_zero", (START, "total = torch.zeros(len(x))")),
    likelihood("sum_of_chunks", (START, "total = torch.zeros(len(x))"), (ADD, f"total = total + {SUM}")),
    likelihood("best_sample_only", (ADD, "total = torch.maximum(total, log_w.max(dim=0).values)"), (END, "return total")),
    likelihood("bound_negated", (END, "return math.log(num_samples) - total")),
    likelihood("exp_underflows", (START, "total = torch.zeros(len(x))"), (ADD, "total = total + log_w.exp().sum(dim=0)"),
               (END, "return torch.log(total / num_samples)")),
    likelihood("averaged_over_the_batch", (END, "return (total - math.log(num_samples)).mean()")),
    likelihood("num_samples_ignored", (LOOP, "for start in range(0, min(num_samples, 50), chunk):"),
               (DRAW, "z = qz.sample((min(chunk, 50 - start),))"),
               (END, "return total - math.log(min(num_samples, 50))")),
    likelihood("decodes_the_mean", (DRAW, "z = qz.mean.expand(min(chunk, num_samples - start), -1, -1)")),
    likelihood("samples_from_the_prior", (DRAW, "z = pz.sample((min(chunk, num_samples - start),))")),
    likelihood("same_samples_in_every_chunk", (DRAW, f"torch.manual_seed(0)\n        {DRAW}")),
    likelihood("samples_shared_across_the_batch",
               (DRAW, "z = qz.mean + qz.stddev * torch.randn(min(chunk, num_samples - start), 1, qz.mean.shape[1])")),
    likelihood("one_z_for_the_batch",
               (DRAW, "z = qz.sample((min(chunk, num_samples - start),))[:, :1].expand(-1, len(x), -1)")),
    likelihood("changes_its_inputs", (START, f"x.clamp_(0.01, 0.99)\n    {START}")),
    likelihood("chunk_ignored", (LOOP, "for start in range(1):"), (DRAW, "z = qz.sample((num_samples,))")),
    likelihood("encodes_for_each_chunk", (DRAW, f"qz = model.posterior(x)\n        {DRAW}")),
    likelihood("keeps_the_graph", ("@torch.no_grad()\n", "")),
    units("samples_for_means", VARIANCES, "variances = model.posterior(x).sample().var(dim=0)"),
    units("variance_of_the_posterior", VARIANCES, "variances = model.posterior(x).variance.mean(dim=0)"),
    units("variance_over_the_latents", VARIANCES, "variances = model.posterior(x).mean.var(dim=1)"),
    units("one_variance_for_all", VARIANCES, "variances = model.posterior(x).mean.var()"),
    units("standard_deviation", VARIANCES, "variances = model.posterior(x).mean.std(dim=0)"),
    units("second_moment", VARIANCES, "variances = model.posterior(x).mean.square().mean(dim=0)"),
    units("mean_of_the_means", VARIANCES, "variances = model.posterior(x).mean.abs().mean(dim=0)"),
    units("log_sigma_for_mean", VARIANCES, "variances = model.posterior(x).log_sigma.var(dim=0)"),
    units("sigma_for_mean", VARIANCES, "variances = model.posterior(x).sigma.var(dim=0)"),
    units("another_threshold", COUNT, "return int((variances > 0.1).sum()), variances"),
    units("inactive_counted", COUNT, "return int((variances <= 0.01).sum()), variances"),
    units("fraction_for_count", COUNT, "return float((variances > 0.01).float().mean()), variances"),
    units("images_counted", COUNT, "return int((model.posterior(x).mean > 0.01).sum()), variances"),
    units("changes_its_inputs", VARIANCES, f"x.clamp_(0.1, 0.9)\n    {VARIANCES}"),
    surrogate("gradient_of_the_bound", "return (weights.square() * log_w).sum(dim=0)",
              "log_w = log_w + (stopped.log_prob(z) - qz.log_prob(z)).sum(-1)\n"
              "    return torch.logsumexp(log_w, dim=0) - math.log(num_samples)"),
    surrogate("weights_not_squared", "weights.square()", "weights"),
    surrogate("weights_carry_gradient", "weights = torch.softmax(log_w, dim=0).detach()",
              "weights = torch.softmax(log_w + (stopped.log_prob(z) - qz.log_prob(z)).sum(-1), dim=0)"),
    surrogate("posterior_not_stopped", "stopped = Normal(qz.mu.detach(), qz.sigma.detach())", "stopped = qz"),
    surrogate("sign_flipped", "return (weights.square() * log_w).sum(dim=0)", "return -(weights.square() * log_w).sum(dim=0)"),
    surrogate("bound_without_graph", "z = qz.rsample((num_samples,))",
              "z = qz.sample((num_samples,))\n    model = model.requires_grad_(False)"),
)
