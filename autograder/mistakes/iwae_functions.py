"""Mistakes in unit 02's functions on plain tensors."""

from __future__ import annotations

from autograder.mistakes import Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "importance_estimate": '''\
def importance_estimate(f, p, q, num_samples: int) -> Tensor:
    """The mean of f(z) under p, estimated from num_samples draws of q; p and q are distributions of one number. Shape ()."""
    z = q.sample((num_samples,))
    w = (p.log_prob(z) - q.log_prob(z)).exp()
    return (w * f(z)).mean()
''',
    "normalized_weights": '''\
def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one over the samples: (K, batch) -> (K, batch)."""
    return torch.softmax(log_w, dim=0)
''',
    "effective_sample_size": '''\
def effective_sample_size(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights: (K, batch) -> (batch,), between 1 and K."""
    return 1 / normalized_weights(log_w).square().sum(dim=0)
''',
    "over_samples": '''\
def merge(x: Tensor) -> Tensor:
    """Fold the samples into the batch: (K, batch, ...) -> (K * batch, ...)."""
    return x.flatten(0, 1)


def unmerge(x: Tensor, num_samples: int) -> Tensor:
    """Undo merge: (K * batch, ...) -> (K, batch, ...)."""
    return x.unflatten(0, (num_samples, x.shape[0] // num_samples))


def over_samples(f, z: Tensor) -> Tensor:
    """f, which knows a batch only, on all samples at once: z (K, batch, ...) -> f's results (K, batch, ...)."""
    return unmerge(f(merge(z)), z.shape[0])
''',
    "resample": '''\
def resample(z: Tensor, log_w: Tensor, num_draws: int) -> Tensor:
    """Draws from the candidates z (K, batch, M) of each example by their weights, log_w (K, batch); shape (num_draws, batch, M)."""
    index = Categorical(logits=log_w.T).sample((num_draws,))  # (num_draws, batch)
    return z[index, torch.arange(z.shape[1])]
''',
}


def made(target: str, old: str):
    """A maker of mistakes: name and the lines that stand in place of `old`."""

    def mistake(name: str, *lines: str) -> Mistake:
        return Mistake(name, target, ((old, "\n    ".join(lines)),), (f"iwae.{target}",))

    return mistake


DRAW, RATIO = "z = q.sample((num_samples,))", "w = (p.log_prob(z) - q.log_prob(z)).exp()"
average, draw = made("importance_estimate", "return (w * f(z)).mean()"), made("importance_estimate", DRAW)
ratio = made("importance_estimate", RATIO)
normalized = made("normalized_weights", "return torch.softmax(log_w, dim=0)")
ess = made("effective_sample_size", "return 1 / normalized_weights(log_w).square().sum(dim=0)")
merge = made("over_samples", "return x.flatten(0, 1)")
unmerge = made("over_samples", "return x.unflatten(0, (num_samples, x.shape[0] // num_samples))")
folded = made("over_samples", "return unmerge(f(merge(z)), z.shape[0])")
pick = made("resample", "index = Categorical(logits=log_w.T).sample((num_draws,))  # (num_draws, batch)")
take = made("resample", "return z[index, torch.arange(z.shape[1])]")
W = "w = normalized_weights(log_w)"

MISTAKES = (
    average("weights_left_out", "return f(z).mean()"),
    ratio("weights_inverted", "w = (q.log_prob(z) - p.log_prob(z)).exp()"),
    average("self_normalized", "return (w * f(z)).sum() / w.sum()"),
    average("self_normalized", "return (torch.softmax(w.log(), dim=0) * f(z)).mean()"),
    ratio("log_weights_for_weights", "w = p.log_prob(z) - q.log_prob(z)"),
    average("sum_for_mean", "return (w * f(z)).sum()"),
    ratio("q_left_out", "w = p.log_prob(z).exp()"),
    ratio("p_left_out", "w = (-q.log_prob(z)).exp()"),
    ratio("weights_multiplied", "w = (p.log_prob(z) + q.log_prob(z)).exp()"),
    average("averages_multiplied", "return w.mean() * f(z).mean()"),
    average("not_averaged", "return w * f(z)"),
    average("f_not_used", "return (w * z).mean()"),
    draw("num_samples_ignored", "z = q.sample((100,))"),
    draw("samples_from_p", "z = p.sample((num_samples,))"),
    draw("not_from_q", "z = q.mean + q.stddev**2 * torch.randn(num_samples)"),
    draw("same_samples_in_every_call", "torch.manual_seed(1)", DRAW),
    normalized("normalized_over_the_batch", "return torch.softmax(log_w, dim=1)"),
    normalized("normalized_over_everything", "return torch.softmax(log_w.flatten(), dim=0).view(log_w.shape)"),
    normalized("weights_not_normalized", "return log_w.exp()"),
    normalized("largest_weight_is_one", "return (log_w - log_w.max(dim=0).values).exp()"),
    normalized("log_weights_normalized", "return log_w / log_w.sum(dim=0)"),
    normalized("logarithms_returned", "return torch.log_softmax(log_w, dim=0)"),
    normalized("mean_for_sum", "w = torch.softmax(log_w, dim=0)", "return w / w.mean(dim=0)"),
    normalized("weights_inverted", "return torch.softmax(-log_w, dim=0)"),
    normalized("samples_last", "return torch.softmax(log_w, dim=0).T"),
    normalized("exp_underflows", "w = log_w.exp()", "return w / w.sum(dim=0)"),
    normalized("changes_its_inputs", "log_w -= torch.logsumexp(log_w, dim=0)", "return log_w.exp()"),
    ess("sum_of_squares", "return normalized_weights(log_w).square().sum(dim=0)"),
    ess("ess_over_the_batch", "return 1 / torch.softmax(log_w, dim=1).square().sum(dim=1)"),
    ess("ess_over_the_batch", "return 1 / normalized_weights(log_w).square().sum(dim=1)"),
    ess("weights_not_normalized", "return 1 / log_w.exp().square().sum(dim=0)"),
    ess("without_square", "return 1 / normalized_weights(log_w).sum(dim=0)"),
    ess("fraction_for_number", "return 1 / normalized_weights(log_w).square().sum(dim=0) / len(log_w)"),
    ess("perplexity_for_ess", W, "return torch.exp(-(w * w.log()).sum(dim=0))"),
    ess("largest_weight_for_ess", "return 1 / normalized_weights(log_w).max(dim=0).values"),
    ess("mean_of_squares", "return 1 / normalized_weights(log_w).square().mean(dim=0)"),
    ess("averaged_over_the_batch", "return (1 / normalized_weights(log_w).square().sum(dim=0)).mean()"),
    ess("averaged_over_the_batch", "return 1 / normalized_weights(log_w).square().sum()"),
    ess("logarithms_returned", "return -normalized_weights(log_w).square().sum(dim=0).log()"),
    ess("square_root_of_ess", "return 1 / normalized_weights(log_w).square().sum(dim=0).sqrt()"),
    ess("exp_underflows", "w = log_w.exp()", "return w.sum(dim=0).square() / w.square().sum(dim=0)"),
    ess("changes_its_inputs", "w = log_w.softmax(dim=0)", "log_w.zero_()", "return 1 / w.square().sum(dim=0)"),
    unmerge("merge_permutes_the_batch", "return x.unflatten(0, (x.shape[0] // num_samples, num_samples)).transpose(0, 1)"),
    merge("merge_permutes_the_batch", "return x.transpose(0, 1).flatten(0, 1)"),
    unmerge("samples_and_batch_swapped", "return x.unflatten(0, (num_samples, x.shape[0] // num_samples)).transpose(0, 1)"),
    folded("not_unmerged", "return f(merge(z))"),
    folded("averaged_over_the_samples", "return unmerge(f(merge(z)), z.shape[0]).mean(dim=0)"),
    folded("one_sample_only", "return f(z[0])"),
    merge("only_vectors", "return x.view(-1, x.shape[2])"),
    folded("a_call_for_each_sample", "return torch.stack([f(sample) for sample in z])"),
    folded("changes_its_inputs", "result = unmerge(f(merge(z)), z.shape[0])", "z.mul_(2)", "return result"),
    pick("samples_not_weighted", "index = torch.randint(len(z), (num_draws, z.shape[1]))"),
    pick("weights_inverted", "index = Categorical(logits=-log_w.T).sample((num_draws,))"),
    pick("weights_over_the_batch", "index = Categorical(probs=torch.softmax(log_w, dim=1).T).sample((num_draws,))"),
    pick("best_sample_only", "index = log_w.argmax(dim=0).expand(num_draws, -1)"),
    pick("log_weights_for_weights", "index = Categorical(probs=-log_w.T).sample((num_draws,))"),
    pick("weights_squared", "index = Categorical(logits=2 * log_w.T).sample((num_draws,))"),
    pick("one_pick_for_all_examples", "index = Categorical(logits=log_w[:, 0]).sample((num_draws, 1)).expand(-1, z.shape[1])"),
    pick("same_samples_in_every_call", "torch.manual_seed(0)", "index = Categorical(logits=log_w.T).sample((num_draws,))"),
    take("picks_of_another_example", "return z.flatten(0, 1)[index]"),
    take("latents_apart", "index = Categorical(logits=log_w.T).sample((num_draws, z.shape[2])).transpose(1, 2)",
         "return torch.stack([z[index[..., m], torch.arange(z.shape[1]), m] for m in range(z.shape[2])], dim=-1)"),
    take("averaged_over_the_samples", "return (normalized_weights(log_w).unsqueeze(-1) * z).sum(dim=0).expand(num_draws, -1, -1)"),
    take("samples_and_batch_swapped", "return z[index, torch.arange(z.shape[1])].transpose(0, 1)"),
    pick("exp_underflows", "w = log_w.exp()", "w = w / w.sum(dim=0) if w.sum() > 0 else torch.ones_like(w)",
         "index = Categorical(probs=w.T).sample((num_draws,))"),
    pick("exp_underflows", "index = torch.multinomial(log_w.exp().T, num_draws, replacement=True).T"),
    take("changes_its_inputs", "z[:1] = 0", "return z[index, torch.arange(z.shape[1])]"),
)
