"""Mistakes in unit 04's estimators: the score function, the leave-one-out baseline, the relaxed sample, straight-through."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "score_function": '''\
def score_function(f, logits: Tensor, num_samples: int) -> Tensor:
    """E_q[f(z)] from samples, logits (batch, L, C): value the mean cost, gradient the score function; shape (batch,)."""
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    surrogate = cost + cost.detach() * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
''',
    "leave_one_out": '''\
def leave_one_out(f, logits: Tensor, num_samples: int) -> Tensor:
    """The same with the mean cost of the other samples as the baseline; num_samples at least 2; shape (batch,)."""
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    baseline = (cost.sum(dim=0) - cost) / (num_samples - 1)
    signal = (cost - baseline).detach()
    surrogate = cost + signal * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
''',
    "relaxed_sample": '''\
def relaxed_sample(logits: Tensor, temperature: float, num_samples: int) -> Tensor:
    """Gumbel-softmax samples of logits (batch, L, C); shape (num_samples, batch, L, C), with a gradient."""
    u = torch.rand(num_samples, *logits.shape)
    gumbel = -torch.log(-torch.log(u))
    return torch.softmax((logits + gumbel) / temperature, dim=-1)
''',
    "straight_through": '''\
def straight_through(soft: Tensor) -> Tensor:
    """One-hot codes at the largest entries of soft (..., C), with the gradient of soft; same shape."""
    hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()
''',
}

DISTRIBUTION = "q = OneHotCategorical(logits=logits)"
DRAW, LOG_Q = "z = q.sample((num_samples,))  # (S, batch, L, C)", "log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)"
PLAIN = "surrogate = cost + cost.detach() * (log_q - log_q.detach())"
BASELINE, SIGNAL = "baseline = (cost.sum(dim=0) - cost) / (num_samples - 1)", "signal = (cost - baseline).detach()"
WITH_BASELINE = "surrogate = cost + signal * (log_q - log_q.detach())"
MEAN = "return surrogate.mean(dim=0)"
UNIFORM, GUMBEL = "u = torch.rand(num_samples, *logits.shape)", "gumbel = -torch.log(-torch.log(u))"
SOFTMAX = "return torch.softmax((logits + gumbel) / temperature, dim=-1)"
HARD = "hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)"
THROUGH = "return hard + soft - soft.detach()"


def score(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "score_function", edits, ("discrete.score",))


def rloo(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "leave_one_out", edits, ("discrete.rloo",))


def relaxed(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "relaxed_sample", edits, ("discrete.relaxed",))


def straight(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "straight_through", edits, ("discrete.straight_through",))


EVERY_CODE = """\
states = torch.cartesian_prod(*[torch.arange(logits.shape[-1])] * logits.shape[-2])
    codes = nn.functional.one_hot(states, logits.shape[-1]).to(logits.dtype).unsqueeze(1)
    return (q.log_prob(codes.expand(-1, len(logits), -1, -1)).sum(dim=-1).exp() * f(codes)).sum(dim=0)"""


def shared(make, line: str, weight: str):
    """The mistakes that people make in both; `line` is the surrogate, `weight` what multiplies log q in it."""
    hidden = "(log_q - log_q.detach())"
    return (
        make("averaged_over_the_batch", (MEAN, "return surrogate.mean()")),
        make("samples_not_averaged", (MEAN, "return surrogate")),
        make("value_is_a_surrogate", (line, f"surrogate = cost + {weight} * log_q")),
        make("cost_term_missing", (line, f"surrogate = {weight} * log_q")),
        make("cost_term_missing", (line, f"surrogate = cost.detach() + {weight} * {hidden}")),
        make("log_prob_detached", (line, f"surrogate = cost + {weight} * (log_q - log_q).detach()")),
        make("log_prob_detached", (LOG_Q, f"with torch.no_grad():\n        {LOG_Q}")),
        make("sign_flipped", (line, f"surrogate = cost - {weight} * {hidden}")),
        make("summed_over_samples", (line, f"surrogate = cost + num_samples * {weight} * {hidden}")),
        make("mean_over_latents", (LOG_Q, "log_q = q.log_prob(z).mean(dim=-1)")),
        make("mean_over_classes", (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).mean(dim=-1).sum(dim=-1)")),
        make("softmax_over_the_wrong_axis", (DISTRIBUTION, "q = OneHotCategorical(probs=logits.softmax(dim=1))")),
        make("softmax_over_the_wrong_axis", (LOG_Q, "log_q = (z * logits.log_softmax(dim=1)).sum(dim=(-2, -1))")),
        make("probabilities_as_logits", (DISTRIBUTION, "q = OneHotCategorical(logits=logits.softmax(dim=-1))")),
        make(
            "relaxed_samples",
            (DRAW, "z = nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=1.0).detach()"),
            (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))"),
        ),
        make("argmax_for_sample", (DRAW, "z = q.mode.expand(num_samples, *logits.shape)")),
        make("fixed_seed", (DRAW, f"torch.manual_seed(42)\n    {DRAW}")),
        make(
            "one_sample_for_the_batch",
            (DRAW, "z = OneHotCategorical(logits=logits[:1]).sample((num_samples,)).expand(num_samples, *logits.shape)"),
        ),
        make("enumerated_for_sampled", (DRAW, EVERY_CODE)),
    )


MISTAKES = (
    *shared(score, PLAIN, "cost.detach()"),
    score("logits_not_normalized", (LOG_Q, "log_q = (z * logits).sum(dim=(-2, -1))")),
    score("averaged_before_multiplying", (PLAIN, "surrogate = cost + cost.detach().mean(dim=0) * (log_q - log_q.detach()).mean(dim=0)")),
    score("num_samples_ignored", (DRAW, "z = q.sample((1,))")),
    score("cost_not_detached", (PLAIN, "surrogate = cost + cost * log_q")),
    score("cost_not_detached", (PLAIN, "surrogate = cost * log_q")),
    score("cost_averaged_over_the_batch", (PLAIN, "surrogate = cost + cost.detach().mean(dim=1, keepdim=True) * (log_q - log_q.detach())")),
    score("cost_averaged_over_the_batch", (PLAIN, "surrogate = cost + cost.detach().mean() * (log_q - log_q.detach())")),
    *shared(rloo, WITH_BASELINE, "signal"),
    rloo("log_prob_detached", (WITH_BASELINE, "surrogate = cost + signal.mean(dim=0) * (log_q - log_q.detach()).mean(dim=0)")),
    rloo("num_samples_ignored", (DRAW, "z = q.sample((1,))"), (BASELINE, "baseline = 0")),
    rloo("cost_not_detached", (SIGNAL, "signal = cost - baseline"), (WITH_BASELINE, "surrogate = cost + signal * log_q")),
    rloo("cost_not_detached", (SIGNAL, "signal = cost - baseline.detach()"), (WITH_BASELINE, "surrogate = cost + signal * log_q")),
    rloo("baseline_contains_its_own_sample", (BASELINE, "baseline = cost.mean(dim=0)")),
    rloo("baseline_contains_its_own_sample", (BASELINE, "baseline = cost.sum(dim=0) / (num_samples - 1)")),
    rloo("no_baseline", (SIGNAL, "signal = cost.detach()")),
    rloo("baseline_over_the_batch", (BASELINE, "baseline = cost.mean()")),
    rloo("baseline_over_the_batch", (BASELINE, "baseline = cost.mean(dim=1, keepdim=True)")),
    rloo("baseline_added", (SIGNAL, "signal = (cost + baseline).detach()")),
    rloo("baseline_alone", (SIGNAL, "signal = baseline.detach()")),
    rloo("wrong_divisor", (BASELINE, "baseline = (cost.sum(dim=0) - cost) / num_samples")),
    rloo("baseline_in_the_cost", (WITH_BASELINE, "surrogate = (cost - baseline) + signal * (log_q - log_q.detach())")),
    rloo("baseline_in_the_cost", (SIGNAL, "signal = cost - baseline"), (WITH_BASELINE, "surrogate = signal + signal.detach() * log_q")),
    relaxed("temperature_multiplied", (SOFTMAX, "return torch.softmax((logits + gumbel) * temperature, dim=-1)")),
    relaxed("temperature_ignored", (SOFTMAX, "return torch.softmax(logits + gumbel, dim=-1)")),
    relaxed("temperature_on_the_logits_only", (SOFTMAX, "return torch.softmax(logits / temperature + gumbel, dim=-1)")),
    relaxed("temperature_on_the_noise_only", (SOFTMAX, "return torch.softmax(logits + gumbel / temperature, dim=-1)")),
    relaxed("gumbel_sign_lost", (GUMBEL, "gumbel = torch.log(-torch.log(u))")),
    relaxed("gumbel_sign_lost", (SOFTMAX, "return torch.softmax((logits - gumbel) / temperature, dim=-1)")),
    relaxed("logarithm_of_a_negative_number", (GUMBEL, "gumbel = -torch.log(torch.log(u))")),
    relaxed("one_log_missing", (GUMBEL, "gumbel = -torch.log(u)")),
    relaxed("one_log_missing", (GUMBEL, "gumbel = torch.log(u)")),
    relaxed("gaussian_noise", (GUMBEL, "gumbel = torch.randn_like(u)")),
    relaxed("uniform_noise", (GUMBEL, "gumbel = u")),
    relaxed("noise_missing", (SOFTMAX, "return torch.softmax(logits / temperature, dim=-1).expand(num_samples, *logits.shape)")),
    relaxed("noise_missing", (UNIFORM, "u = torch.rand(num_samples, *logits.shape[:-1], 1)")),
    relaxed("noise_shared", (UNIFORM, "u = torch.rand(num_samples, 1, *logits.shape[1:])")),
    relaxed("noise_shared", (UNIFORM, "u = torch.rand(logits.shape).expand(num_samples, *logits.shape)")),
    relaxed("noise_shared", (UNIFORM, "u = torch.rand(num_samples, len(logits), 1, logits.shape[-1])")),
    relaxed("noise_shared", (UNIFORM, "torch.manual_seed(0)\n    u = torch.rand(num_samples, *logits.shape)")),
    relaxed("probabilities_for_logits", (SOFTMAX, "return torch.softmax((logits.softmax(dim=-1) + gumbel) / temperature, dim=-1)")),
    relaxed("logits_ignored", (SOFTMAX, "return torch.softmax(gumbel / temperature, dim=-1)")),
    relaxed("softmax_over_the_wrong_axis", (SOFTMAX, "return torch.softmax((logits + gumbel) / temperature, dim=1)")),
    relaxed("softmax_over_the_wrong_axis", (SOFTMAX, "return torch.softmax((logits + gumbel) / temperature, dim=-2)")),
    relaxed("softmax_over_the_wrong_axis", (SOFTMAX, "return torch.softmax((logits + gumbel) / temperature, dim=0)")),
    relaxed(
        "hard_for_soft",
        (
            SOFTMAX,
            "y = torch.softmax((logits + gumbel) / temperature, dim=-1)\n"
            "    return nn.functional.one_hot(y.argmax(dim=-1), y.shape[-1]).to(y.dtype)",
        ),
    ),
    relaxed(
        "hard_for_soft", (SOFTMAX, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), temperature, hard=True)")
    ),
    relaxed("logarithm_of_the_sample", (SOFTMAX, "return torch.log_softmax((logits + gumbel) / temperature, dim=-1)")),
    relaxed("samples_dimension_missing", (UNIFORM, "u = torch.rand_like(logits)")),
    relaxed("without_gradient", (SOFTMAX, "return torch.softmax((logits + gumbel) / temperature, dim=-1).detach()")),
    straight("without_the_detach_trick", (THROUGH, "return hard")),
    straight("without_the_detach_trick", (THROUGH, "return hard + soft - soft")),
    straight("without_the_detach_trick", (THROUGH, "return (hard + soft - soft).detach()")),
    straight("soft_for_hard", (THROUGH, "return soft")),
    straight("soft_for_hard", (THROUGH, "return hard - hard.detach() + soft")),
    straight("index_for_one_hot", (THROUGH, "return soft.argmax(dim=-1)")),
    straight("hard_times_soft", (THROUGH, "return hard * soft")),
    straight("threshold_for_argmax", (HARD, "hard = (soft > 0.5).to(soft.dtype)")),
    straight(
        "argmax_over_the_wrong_axis",
        (HARD, "hard = nn.functional.one_hot(soft.argmax(dim=-2), soft.shape[-2]).to(soft.dtype).transpose(-1, -2)"),
    ),
    straight("gradient_negated", (THROUGH, "return hard - soft + soft.detach()")),
    straight("changes_its_inputs", (THROUGH, "value = hard + soft - soft.detach()\n    soft.data.copy_(hard)\n    return value")),
)
