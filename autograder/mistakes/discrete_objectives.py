"""Mistakes in unit 04's objectives and measurements: the negative ELBO, bias and variance, VIMCO."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "negative_elbo": '''\
def negative_elbo(model, x: Tensor, estimator) -> tuple[Tensor, dict[str, Tensor]]:
    """-ELBO of images x: loss (batch,) with gradients, and diagnostics elbo, log_px, kl, each (batch,), detached."""
    logits = model.logits(x)  # (batch, L, C)
    cost = estimator(model.cost(x), logits)  # (batch,)
    kl = categorical_kl(logits)  # (batch,)
    loss = cost + kl
    diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}
    return loss, diagnostics
''',
    "bias_and_variance": '''\
def bias_and_variance(draws: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Squared length of the bias (unbiased estimate) and total variance of gradient estimates, draws (N, ...), exact (...)."""
    variance = draws.var(dim=0).sum()
    squared_bias = (draws.mean(dim=0) - exact).square().sum() - variance / len(draws)
    return squared_bias, variance
''',
    "vimco": '''\
def vimco(log_w: Tensor, log_q: Tensor) -> Tensor:
    """The bound log (1/S) sum_s w_s with VIMCO's gradient; log_w and log_q (S, batch); shape (batch,)."""
    num_samples = len(log_w)
    bound = log_w.logsumexp(dim=0) - math.log(num_samples)  # (batch,)
    others = (log_w.sum(dim=0) - log_w) / (num_samples - 1)  # (S, batch): the mean of the other log-weights
    own = torch.eye(num_samples, dtype=torch.bool).unsqueeze(-1)  # (S, S, 1)
    without = torch.where(own, others, log_w).logsumexp(dim=1) - math.log(num_samples)  # (S, batch)
    signals = (bound - without).detach()
    return bound + (signals * (log_q - log_q.detach())).sum(dim=0)
''',
}

COST, KL, LOSS = "cost = estimator(model.cost(x), logits)  # (batch,)", "kl = categorical_kl(logits)  # (batch,)", "loss = cost + kl"
TOLD = 'diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}'
SAMPLED = """\
f = model.cost(x)

    def cost_and_kl(z):
        return f(z) + (z * logits.log_softmax(dim=-1)).sum(dim=(-2, -1)) + logits.shape[1] * math.log(logits.shape[2])

    kl = categorical_kl(logits)"""
VARIANCE = "variance = draws.var(dim=0).sum()"
BIAS = "squared_bias = (draws.mean(dim=0) - exact).square().sum() - variance / len(draws)"
BOUND, OTHERS = (
    "bound = log_w.logsumexp(dim=0) - math.log(num_samples)  # (batch,)",
    "others = (log_w.sum(dim=0) - log_w) / (num_samples - 1)",
)
SIGNALS, RESULT = "signals = (bound - without).detach()", "return bound + (signals * (log_q - log_q.detach())).sum(dim=0)"


def elbo(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "negative_elbo", edits, ("discrete.negative_elbo",))


def told(name: str, entry: str, right: str) -> Mistake:
    return elbo(name, (TOLD, TOLD.replace(right, entry)))


def measure(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "bias_and_variance", edits, ("discrete.bias_variance",))


def vimco(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "vimco", edits, ("discrete.vimco",))


MISTAKES = (
    elbo(
        "kl_counted_twice",
        (COST, SAMPLED),
        (KL, "cost = estimator(model.cost(x), logits)"),
        (LOSS, "loss = estimator(cost_and_kl, logits) + kl"),
        (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()")),
    ),
    elbo("kl_counted_twice", (LOSS, "loss = cost + kl + kl"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("kl_forgotten", (LOSS, "loss = cost"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("kl_sign_flipped", (LOSS, "loss = cost - kl"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("elbo_for_the_loss", (LOSS, "loss = -(cost + kl)"), (TOLD, TOLD.replace("-loss.detach()", "loss.detach()"))),
    elbo("cost_sign_flipped", (LOSS, "loss = kl - cost"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("kl_averaged_over_the_batch", (LOSS, "loss = cost + kl.mean()"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("kl_detached", (LOSS, "loss = cost + kl.detach()")),
    elbo("averaged_over_the_batch", (LOSS, "loss = (cost + kl).mean()"), (TOLD, TOLD.replace("-loss.detach()", "-(cost + kl).detach()"))),
    elbo("without_gradient", (LOSS, "loss = (cost + kl).detach()")),
    told("cost_for_log_px", '"elbo": -(cost + kl).detach(), "log_px": cost.detach()', '"elbo": -loss.detach(), "log_px": -cost.detach()'),
    told("loss_for_log_px", '"log_px": -loss.detach()', '"log_px": -cost.detach()'),
    told("kl_negated", '"kl": -kl.detach()', '"kl": kl.detach()'),
    told("loss_for_elbo", '"elbo": loss.detach()', '"elbo": -loss.detach()'),
    told("kl_added_to_elbo", '"elbo": (kl - cost).detach()', '"elbo": -loss.detach()'),
    told("elbo_is_log_px", '"elbo": -cost.detach()', '"elbo": -loss.detach()'),
    elbo("scalar_diagnostics", (TOLD, TOLD.replace("detach()", "detach().mean()"))),
    elbo("diagnostics_carry_the_graph", (TOLD, TOLD.replace(".detach()", ""))),
    measure("noise_not_subtracted", (BIAS, "squared_bias = (draws.mean(dim=0) - exact).square().sum()")),
    measure("noise_subtracted_n_times", (BIAS, BIAS.replace(" / len(draws)", ""))),
    measure("noise_added", (BIAS, BIAS.replace("- variance", "+ variance"))),
    measure("bias_not_squared", (BIAS, "squared_bias = (draws.mean(dim=0) - exact).norm()")),
    measure("bias_not_squared", (BIAS, "squared_bias = (draws.mean(dim=0) - exact).abs().sum()")),
    measure("error_for_bias", (BIAS, "squared_bias = (draws - exact).square().flatten(1).sum(dim=1).mean()")),
    measure(
        "error_for_variance",
        (VARIANCE, "variance = (draws - exact).square().sum() / len(draws)"),
        (BIAS, BIAS.replace("variance /", "draws.var(dim=0).sum() /")),
    ),
    measure("divided_by_n", (VARIANCE, "variance = draws.var(dim=0, unbiased=False).sum()")),
    measure(
        "variance_of_the_mean", (VARIANCE, "variance = draws.var(dim=0).sum() / len(draws)"), (BIAS, BIAS.replace(" / len(draws)", ""))
    ),
    measure("variance_over_the_entries", (VARIANCE, "variance = draws.var()")),
    measure(
        "standard_deviation_for_variance",
        (VARIANCE, "variance = draws.var(dim=0).sum().sqrt()"),
        (BIAS, BIAS.replace("variance /", "variance**2 /")),
    ),
    measure("entries_averaged", (VARIANCE, "variance = draws.var(dim=0).mean()"), (BIAS, BIAS.replace(".sum()", ".mean()"))),
    measure("entries_not_summed", (VARIANCE, "variance = draws.var(dim=0)"), (BIAS, BIAS.replace(".sum()", ""))),
    measure(
        "changes_its_inputs", (VARIANCE, "draws -= exact\n    variance = draws.var(dim=0).sum()"), (BIAS, BIAS.replace(" - exact", ""))
    ),
    vimco("elbo_for_the_bound", (RESULT, RESULT.replace("return bound", "return log_w.mean(dim=0)"))),
    vimco("log_s_missing", (RESULT, RESULT.replace("return bound", "return bound + math.log(num_samples)"))),
    vimco("log_s_missing", (BOUND, "bound = log_w.logsumexp(dim=0)"), (") - math.log(num_samples)  # (S, batch)", ")")),
    vimco("bound_negated", (RESULT, "return -(bound + (signals * (log_q - log_q.detach())).sum(dim=0))")),
    vimco(
        "logsumexp_over_the_batch",
        (
            RESULT,
            "bound = (log_w.logsumexp(dim=1) - math.log(num_samples)).mean()\n"
            "    return bound + 0 * log_w[0] + ((bound.detach() * (log_q - log_q.detach())).sum(dim=0))",
        ),
    ),
    vimco("weights_underflow", (BOUND, "bound = log_w.exp().mean(dim=0).log()")),
    vimco("averaged_over_the_batch", (RESULT, "return (bound + (signals * (log_q - log_q.detach())).sum(dim=0)).mean()")),
    vimco("not_reduced", (RESULT, "return log_w + signals * (log_q - log_q.detach())")),
    vimco(
        "changes_its_inputs",
        (RESULT, "value = bound + (signals * (log_q - log_q.detach())).sum(dim=0)\n    log_q.data.zero_()\n    return value"),
    ),
    vimco("value_is_a_surrogate", (RESULT, "return bound + (signals * log_q).sum(dim=0)")),
    vimco("signals_not_detached", (SIGNALS, "signals = bound - without"), (RESULT, "return bound + (signals * log_q).sum(dim=0)")),
    vimco("path_missing", (RESULT, RESULT.replace("return bound", "return bound.detach()"))),
    vimco("log_prob_detached", (RESULT, "return bound + (signals * (log_q - log_q).detach()).sum(dim=0)")),
    vimco("no_baseline", (SIGNALS, "signals = bound.detach().expand_as(log_w)")),
    vimco("baseline_contains_its_own_sample", (OTHERS, "others = log_w.mean(dim=0).expand_as(log_w)")),
    vimco("baseline_contains_its_own_sample", (SIGNALS, "signals = (bound - log_w.mean(dim=0)).detach().expand_as(log_w)")),
    vimco("signals_averaged", (RESULT, RESULT.replace(".sum(dim=0)", ".mean(dim=0)"))),
    vimco("signals_of_the_log_weights", (SIGNALS, "signals = (log_w - others).detach()")),
    vimco("signals_of_the_log_weights", (SIGNALS, "signals = (bound - others).detach()")),
    vimco("sign_flipped", (SIGNALS, "signals = (without - bound).detach()")),
    vimco("weights_for_signals", (SIGNALS, "signals = log_w.softmax(dim=0).detach()")),
)
