"""Mistakes in the log-weights and in the importance-weighted bound."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake, apply

__all__ = ["MISTAKES", "SOLUTIONS"]

WEIGHTS, BOUND = "log_weights", "importance_weighted_bound"

# The same lines stand in the cell of the log-weights; mistakes in them are made in the bound by writing them out there.
ENCODE = "qz = model.posterior(x)"
SAMPLE = "z = qz.rsample((num_samples,))  # (K, batch, M)"
LOG_PX = "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)  # (K, batch)"
LOG_PZ = "log_pz = model.prior(len(x)).log_prob(z).sum(-1)"
LOG_QZ = "log_qz = qz.log_prob(z).sum(-1)"
RESULT = "return log_px + log_pz - log_qz"
BODY = "\n    ".join((ENCODE, SAMPLE, LOG_PX, LOG_PZ, LOG_QZ, RESULT))

CALL = "log_w = log_weights(model, x, num_samples)  # (K, batch)"
RETURN = "return torch.logsumexp(log_w, dim=0) - math.log(num_samples)"
INLINE = BODY.replace(RESULT, "log_w = log_px + log_pz - log_qz")

SOLUTIONS = {
    WEIGHTS: f'''\
def log_weights(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """log w = log p(x|z) + log p(z) - log q(z|x) at num_samples fresh z ~ q(z|x) for each example; shape (num_samples, batch)."""
    {BODY}
''',
    BOUND: f'''\
def importance_weighted_bound(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """L_K = log (1/K) sum_k w_k for each example, K = num_samples; shape (batch,), in nats."""
    {CALL}
    {RETURN}
''',
}


def bound(name: str, *lines: str) -> Mistake:
    """A mistake between the log-weights and the bound: these lines in place of the last one."""
    return Mistake(name, BOUND, ((RETURN, "\n    ".join(lines)),), ("iwae.bound",))


def whole(name: str, *lines: str) -> Mistake:
    """These lines in place of all of the bound."""
    return Mistake(name, BOUND, ((CALL, lines[0]), (RETURN, "\n    ".join(lines[1:]))), ("iwae.bound",))


def inline(name: str, *edits: Edit) -> Mistake:
    """A mistake in the making of the log-weights, made in the bound."""
    return Mistake(name, BOUND, ((CALL, apply(INLINE, edits)),), ("iwae.bound",))


def weights(name: str, *edits: Edit) -> Mistake:
    """A mistake in the making of the log-weights, made there."""
    return Mistake(name, WEIGHTS, edits, ("iwae.log_weights",))


def both(name: str, *edits: Edit) -> tuple[Mistake, Mistake]:
    in_bound = [(old, new.replace("return ", "log_w = ") if old == RESULT else new) for old, new in edits]
    in_bound = [("log_w = log_px + log_pz - log_qz", new) if old == RESULT else (old, new) for old, new in in_bound]
    return weights(name, *edits), inline(name, *in_bound)


def drawn(*lines: str) -> Edit:
    return SAMPLE, "\n    ".join(lines)


# In the log-weights, and so in the bound.
INTERLEAVED = "x.repeat_interleave(num_samples, dim=0)"
FLAT_Z = "flat = z.flatten(0, 1)"

IN_WEIGHTS = (
    both("closed_form_kl_in_the_weights", (RESULT, "return log_px - 0.5 * (qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma).sum(-1)")),
    both("only_log_px", (RESULT, "return log_px")),
    both("prior_left_out", (RESULT, "return log_px - log_qz")),
    both("posterior_left_out", (RESULT, "return log_px + log_pz")),
    both("log_px_left_out", (RESULT, "return log_pz - log_qz")),
    both("term_with_the_wrong_sign", (RESULT, "return log_px - log_pz + log_qz")),
    both("term_with_the_wrong_sign", (RESULT, "return log_px - log_pz - log_qz")),
    both("term_with_the_wrong_sign", (RESULT, "return log_px + log_pz + log_qz")),
    both("term_with_the_wrong_sign", (RESULT, "return -log_px + log_pz - log_qz")),
    both("kl_weighted", (RESULT, "return log_px + 0.5 * (log_pz - log_qz)")),
    both("weights_inverted", (RESULT, "return log_qz - log_pz - log_px")),
    both("prior_counted_twice", (RESULT, "return log_px + log_pz - (log_qz - log_pz)")),
    both("kl_clamped", (RESULT, "return log_px - (log_qz - log_pz).clamp(min=0)")),
    both("squared_error_for_log_px", (LOG_PX, "log_px = -(x - model.observation_model(z).mean).square().flatten(2).sum(-1)")),
    both("sigmoid_twice",
         (LOG_PX, "probs = model.observation_model(z).probs\n    log_px = Bernoulli(logits=probs).log_prob(x).flatten(2).sum(-1)")),
    both("log_px_of_the_whole_batch", (LOG_PX, "log_px = model.observation_model(z).log_prob(x).flatten(1).sum(-1, keepdim=True)")),
    both("log_px_of_the_whole_batch", (LOG_PX, "logits = model.decoder(z)\n    target = x.flatten(1).expand_as(logits)\n    "
         "log_px = -nn.functional.binary_cross_entropy_with_logits(logits, target)")),
    both("mean_over_pixels", (LOG_PX, "log_px = model.observation_model(z).log_prob(x).flatten(2).mean(-1)")),
    both("mean_over_latents", (LOG_PZ, LOG_PZ.replace("sum", "mean")), (LOG_QZ, LOG_QZ.replace("sum", "mean"))),
    both("bits_for_nats", (RESULT, "return (log_px + log_pz - log_qz) / math.log(2)")),
    both("posterior_at_unit_variance", (LOG_QZ, "log_qz = Normal(qz.mu, 1.0).log_prob(z).sum(-1)"),
         (LOG_PZ, "log_pz = Normal(0.0, 1.0).log_prob(z).sum(-1)")),
    both("part_of_the_density_left_out", (LOG_QZ, "log_qz = (-0.5 * ((z - qz.mu) / qz.sigma) ** 2).sum(-1)"),
         (LOG_PZ, "log_pz = (-0.5 * z**2).sum(-1)")),
    both("part_of_the_density_left_out", (LOG_QZ, "log_qz = (-0.5 * ((z - qz.mu) / qz.sigma) ** 2 - qz.log_sigma).sum(-1)")),
    both("variance_for_standard_deviation", (LOG_QZ, "log_qz = Normal(qz.mu, qz.sigma**2).log_prob(z).sum(-1)")),
    both("different_samples_in_one_weight", (LOG_PX, f"{LOG_PX}\n    z = qz.rsample((num_samples,))")),
    both("different_samples_in_one_weight", (LOG_PX, "log_px = model(x, num_samples=num_samples)['px'].log_prob(x).flatten(2).sum(-1)")),
    both("merge_permutes_the_batch", (LOG_PX, "logits = model.decoder(z.flatten(0, 1)).view(len(x), num_samples, -1).transpose(0, 1)\n"
         "    log_px = Bernoulli(logits=logits).log_prob(x.flatten(1)).sum(-1)")),
    both("merge_permutes_the_batch",
         (LOG_PX, f"{FLAT_Z}\n    copies = {INTERLEAVED}\n    terms = model.observation_model(flat).log_prob(copies)\n"
         "    log_px = terms.flatten(1).sum(-1).view(num_samples, len(x))")),
    both("merge_permutes_the_batch", (ENCODE, f"copies = {INTERLEAVED}\n    qz = model.posterior(copies)"), drawn("z = qz.rsample()"),
         (LOG_PX, "log_px = model.observation_model(z).log_prob(copies).flatten(1).sum(-1)"), ("model.prior(len(x))",
             "model.prior(len(z))"),
         (RESULT, "return (log_px + log_pz - log_qz).view(num_samples, len(x))")),
    both("num_samples_ignored", drawn("z = qz.rsample((1,))"), (RESULT, "return (log_px + log_pz - log_qz).expand(num_samples, -1)")),
    both("decodes_the_mean", drawn("z = qz.mean.expand(num_samples, *qz.mean.shape)")),
    both("samples_from_the_prior", drawn("z = torch.randn(num_samples, *qz.mu.shape)")),
    both("samples_from_the_prior", drawn("z = model.prior(len(x)).rsample((num_samples,))"), (RESULT, "return log_px")),
    both("averages_the_latents", drawn("z = qz.rsample((num_samples, num_samples)).mean(dim=0)")),
    both("wrong_spread", drawn("z = qz.mu + qz.sigma**2 * torch.randn(num_samples, *qz.mu.shape)")),
    both("wrong_spread", drawn("z = qz.mu + (0.5 * qz.log_sigma).exp() * torch.randn(num_samples, *qz.mu.shape)")),
    both("wrong_spread", drawn("z = qz.mu + torch.randn(num_samples, *qz.mu.shape)")),
    both("one_sample_repeated", drawn("z = qz.rsample().expand(num_samples, *qz.mu.shape)")),
    both("samples_shared_across_the_batch", drawn("z = qz.mu + qz.sigma * torch.randn(num_samples, 1, qz.mu.shape[1])")),
    both("one_z_for_the_batch", drawn("z = Normal(qz.mu[:1], qz.sigma[:1]).rsample((num_samples,)).expand(-1, len(x), -1)")),
    both("one_epsilon_for_all_latents", drawn("z = qz.mu + qz.sigma * torch.randn(num_samples, len(x), 1)")),
    both("antithetic_samples", drawn("half = torch.randn((num_samples + 1) // 2, *qz.mu.shape)",
                                     "z = qz.mu + qz.sigma * torch.cat([half, -half])[:num_samples]")),
    both("antithetic_samples", drawn("u = torch.rand(2, num_samples, *qz.mu.shape)",
                                     "u = ((u[0].argsort(0) + u[1]) / num_samples).clamp(1e-6, 1 - 1e-6)",
                                     "z = qz.mu + qz.sigma * Normal(0.0, 1.0).icdf(u)")),
    both("same_samples_in_every_call", drawn("torch.manual_seed(0)", "z = qz.rsample((num_samples,))")),
    both("changes_its_inputs", (ENCODE, "x.data.clamp_(0.01, 0.99)\n    qz = model.posterior(x)")),
    both("flat_pixels_only", (LOG_PX, "log_px = model.observation_model(z).log_prob(x).sum(-1)")),
    both("one_sample_loses_its_dimension", (ENCODE, "outputs = model(x, num_samples=num_samples)\n    qz = outputs['qz']"),
         drawn("z = outputs['z']"),
         (LOG_PX, "log_px = outputs['px'].log_prob(x).flatten(z.dim() - 1).sum(-1)")),
    both("one_example_loses_its_dimension", (RESULT, "return (log_px + log_pz - log_qz).squeeze(-1)")),
    both("wrong_with_many_samples", drawn("z = qz.rsample((min(num_samples, 100),))")),
    both("state_drifts", (ENCODE, "calls = vars(model).setdefault('calls', [])\n    calls.append(1)\n    qz = model.posterior(x)"),
         (RESULT, "return log_px + log_pz - log_qz + 0.5 * (len(calls) > 4)")),
)
ONLY_WEIGHTS = (
    weights("mean_kl_in_the_weights", (RESULT, "return log_px - (log_qz - log_pz).mean(dim=0)")),
    weights("samples_last", (RESULT, "return (log_px + log_pz - log_qz).T")),
    weights("already_reduced", (RESULT, "return torch.logsumexp(log_px + log_pz - log_qz, dim=0) - math.log(num_samples)")),
    weights("already_reduced", (RESULT, "return (log_px + log_pz - log_qz).mean(dim=0)")),
    weights("weights_without_log", (RESULT, "return (log_px + log_pz - log_qz).exp()")),
    weights("weights_normalized", (RESULT, "return torch.log_softmax(log_px + log_pz - log_qz, dim=0)")),
    weights("not_unmerged", (RESULT, "return (log_px + log_pz - log_qz).flatten()")),
    weights("not_summed", (LOG_PZ, LOG_PZ.replace(".sum(-1)", "")), (LOG_QZ, LOG_QZ.replace(".sum(-1)", "")),
            (RESULT, "return log_px[..., None] + log_pz - log_qz")),
)
PIECES = "qz = model.posterior(x)\n    z = qz.rsample((num_samples,))\n    px, pz = model.observation_model(z), model.prior(len(x))"
FACTORS = f"{PIECES}\n    log_px = px.log_prob(x).flatten(2).sum(-1)\n    log_kl = (qz.log_prob(z) - pz.log_prob(z)).sum(-1)"
MEAN_EXP = "torch.logsumexp({0}, dim=0) - math.log(num_samples)"

IN_BOUND = (
    bound("mean_of_logs", "return log_w.mean(dim=0)"),
    bound("mean_of_logs", "return -log_w.mean(dim=0)"),
    bound("sum_of_logs", "return log_w.sum(dim=0)"),
    bound("log_k_missing", "return torch.logsumexp(log_w, dim=0)"),
    bound("log_k_missing", "return -torch.logsumexp(log_w, dim=0)"),
    bound("log_k_added", "return torch.logsumexp(log_w, dim=0) + math.log(num_samples)"),
    bound("log_k_twice", "return torch.logsumexp(log_w - math.log(num_samples), dim=0) - math.log(num_samples)"),
    bound("k_for_log_k", "return torch.logsumexp(log_w, dim=0) - num_samples"),
    bound("divided_by_k", "return torch.logsumexp(log_w, dim=0) / num_samples"),
    bound("log_k_in_another_base", "return torch.logsumexp(log_w, dim=0) - math.log2(num_samples)"),
    bound("log_k_in_another_base", "return torch.logsumexp(log_w, dim=0) - math.log10(num_samples)"),
    bound("log_of_the_wrong_number", "return torch.logsumexp(log_w, dim=0) - math.log(len(x))"),
    bound("log_of_the_wrong_number", "return torch.logsumexp(log_w, dim=0) - math.log(log_w.numel())"),
    bound("log_of_the_wrong_number", "return torch.logsumexp(log_w, dim=0) - math.log(num_samples + 1)"),
    bound("bits_for_nats", "return (torch.logsumexp(log_w, dim=0) - math.log(num_samples)) / math.log(2)"),
    bound("wrong_with_many_samples", "parts = [torch.logsumexp(part, dim=0) - math.log(len(part)) for part in log_w.split(64)]",
          "return torch.stack(parts).mean(dim=0)"),
    bound("samples_left_out", "return torch.logsumexp(log_w[1:], dim=0) - math.log(max(num_samples - 1, 1))"),
    bound("samples_left_out", "return log_w[0]"),
    bound("best_sample_only", "return log_w.max(dim=0).values - math.log(num_samples)"),
    bound("best_sample_only", "return log_w.amax(dim=0)"),
    bound("median_of_logs", "return log_w.median(dim=0).values"),
    bound("weighted_mean_of_logs", "return (torch.softmax(log_w, dim=0) * log_w).sum(dim=0)"),
    bound("weighted_mean_of_logs", "return (torch.softmax(log_w, dim=0).detach() * log_w).sum(dim=0)"),
    bound("weights_normalized", "return torch.logsumexp(torch.log_softmax(log_w, dim=0), dim=0) - math.log(num_samples)"),
    bound("weights_over_the_batch", "return (torch.softmax(log_w, dim=1) * log_w).sum(dim=0)"),
    bound("weights_over_the_batch", "return torch.logsumexp(torch.log_softmax(log_w, dim=1), dim=0) - math.log(num_samples)"),
    bound("chunks_averaged", "parts = [torch.logsumexp(part, dim=0) - math.log(len(part)) for part in log_w.split(5)]",
          "return torch.stack(parts).mean(dim=0)"),
    whole("factors_averaged_apart", FACTORS, f"return {MEAN_EXP.format('log_px')} - log_kl.mean(dim=0)"),
    whole("factors_averaged_apart", FACTORS, f"return {MEAN_EXP.format('log_px')} - ({MEAN_EXP.format('log_kl')})"),
    whole("dimensions_averaged_apart", PIECES, f"log_px = {MEAN_EXP.format('px.log_prob(x).flatten(2)')}",
          f"return (log_px).sum(-1) + ({MEAN_EXP.format('pz.log_prob(z) - qz.log_prob(z)')}).sum(-1)"),
    whole("dimensions_averaged_apart", PIECES, "log_px = Bernoulli(probs=px.probs.mean(dim=0)).log_prob(x).flatten(1).sum(-1)",
          "return log_px - (qz.log_prob(z) - pz.log_prob(z)).sum(-1).mean(dim=0)"),
    bound("maximum_not_added_back", "largest = log_w.max(dim=0).values", "return (log_w - largest).exp().mean(dim=0).log()"),
    bound("exp_underflows", "return log_w.exp().mean(dim=0).log()"),
    bound("exp_underflows", "return torch.log(torch.mean(torch.exp(log_w), dim=0) + 1e-8)"),
    bound("exp_underflows", "return log_w.exp().mean(dim=0).clamp(min=1e-30).log()"),
    bound("exp_underflows", "return log_w.double().exp().mean(dim=0).log().float()"),
    bound("exp_underflows", "return (log_w - log_w.max()).exp().mean(dim=0).log() + log_w.max()"),
    bound("exp_underflows", "return torch.nan_to_num(log_w.exp().mean(dim=0).log())"),
    bound("bound_without_log", "return log_w.exp().mean(dim=0)"),
    bound("logsumexp_over_the_wrong_axis", "return torch.logsumexp(log_w, dim=1) - math.log(num_samples)"),
    bound("logsumexp_over_the_wrong_axis", "return torch.logsumexp(log_w, dim=-1) - math.log(len(x))"),
    whole("logsumexp_over_the_wrong_axis", PIECES, "log_px = torch.logsumexp(px.log_prob(x).flatten(2), dim=-1)",
          "log_w = log_px + (pz.log_prob(z) - qz.log_prob(z)).sum(-1)", RETURN),
    whole("not_summed", PIECES, "log_w = px.log_prob(x).flatten(2).sum(-1, keepdim=True) + pz.log_prob(z) - qz.log_prob(z)", RETURN),
    bound("not_reduced_over_samples", "return log_w"),
    whole("not_reduced_over_samples", PIECES, "log_w = (pz.log_prob(z) - qz.log_prob(z)).sum(-1, keepdim=True) + px.log_prob(x).flatten(2)",
          "return torch.logsumexp(log_w, dim=-1) - math.log(num_samples)"),
    bound("not_reduced_over_samples", "return torch.logsumexp(log_w, dim=0) - math.log(num_samples) + 0 * log_w"),
    bound("averaged_over_the_batch", "return (torch.logsumexp(log_w, dim=0) - math.log(num_samples)).mean()"),
    bound("averaged_over_the_batch", "return (torch.logsumexp(log_w, dim=0) - math.log(num_samples)).mean().expand(len(x))"),
    bound("bound_negated", "return math.log(num_samples) - torch.logsumexp(log_w, dim=0)"),
    whole("silent_broadcasting", FACTORS, "log_w = log_px.unsqueeze(-1) - log_kl.unsqueeze(1)", RETURN),
    bound("wrong_shape", "return torch.logsumexp(log_w, dim=0, keepdim=True) - math.log(num_samples)"),
    bound("bound_without_graph", "return (torch.logsumexp(log_w, dim=0) - math.log(num_samples)).detach()"),
    Mistake("bound_without_graph", BOUND, ((CALL, "with torch.no_grad():\n        log_w = log_weights(model, x, num_samples)"),),
            ("iwae.bound",)),
    inline("factors_averaged_apart", ("log_w = log_px + log_pz - log_qz", "log_w = log_px - (log_qz - log_pz).mean(dim=0)")),
    inline("sample_without_gradient", drawn("z = qz.sample((num_samples,))")),
    bound("gradient_through_the_weights", f"value = {RETURN[7:]}", "weighted = (torch.softmax(log_w, dim=0) * log_w).sum(dim=0)",
          "return value.detach() + weighted - weighted.detach()"),
    inline("encoder_without_gradient", (ENCODE, "with torch.no_grad():\n        qz = model.posterior(x)")),
    inline("posterior_without_gradient", (LOG_QZ, "log_qz = Normal(qz.mu.detach(), qz.sigma.detach()).log_prob(z).sum(-1)")),
    bound("gradient_of_the_mean_of_logs", f"value = {RETURN[7:]}", "elbo = log_w.mean(dim=0)",
          "return value.detach() + elbo - elbo.detach()"),
    inline("prior_and_posterior_without_gradient", ("log_w = log_px + log_pz - log_qz", "log_w = log_px + (log_pz - log_qz).detach()")),
    inline("log_px_without_gradient", ("log_w = log_px + log_pz - log_qz", "log_w = log_px.detach() + log_pz - log_qz")),
)
MISTAKES = (*(first for first, _ in IN_WEIGHTS), *ONLY_WEIGHTS, *(second for _, second in IN_WEIGHTS), *IN_BOUND)
