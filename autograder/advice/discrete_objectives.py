"""Mistakes in unit 04's objectives and measurements: name, (title, advice, the behaviors it costs)."""

__all__ = ["BIAS_VARIANCE", "NEGATIVE_ELBO", "VIMCO"]

LOSS, TOLD = ("loss",), ("diagnostics",)

NEGATIVE_ELBO = {
    "kl_counted_twice": (
        "The KL is counted twice: within the cost, and in closed form.",
        "Either f(z) = -log p(x|z) and the closed form beside it, or log q - log p within f, and nothing beside it.",
        LOSS,
    ),
    "kl_forgotten": ("The KL is left out: this trains an autoencoder.", "-ELBO = E[-log p(x|z)] + KL(q || p).", LOSS),
    "kl_sign_flipped": ("The KL has the wrong sign.", "-ELBO = E[-log p(x|z)] + KL(q || p): information in the code costs.", LOSS),
    "elbo_for_the_loss": ("The loss has the wrong sign: this is the ELBO, and optimizers minimize.", "loss = cost + kl.", LOSS),
    "cost_sign_flipped": ("The cost has the wrong sign.", "model.cost(x) is -log p(x|z) already: do not negate it again.", LOSS),
    "kl_averaged_over_the_batch": ("The KL is averaged over the batch.", "Each example has its own KL: shape (batch,).", LOSS),
    "kl_detached": ("The KL carries no gradient.", "Detach in the diagnostics only. The KL is what keeps q near the prior.", LOSS),
    "averaged_over_the_batch": (
        "The loss is a single number.",
        "Return one number for each example, shape (batch,); the training step takes the mean.",
        LOSS,
    ),
    "without_gradient": ("The loss carries no gradient.", "Detach in the diagnostics only.", LOSS),
    "cost_for_log_px": ("log_px has the wrong sign: that is the cost.", "log_px = -cost.", TOLD),
    "loss_for_log_px": ("log_px contains the KL.", "log_px = -cost; elbo = log_px - kl.", TOLD),
    "kl_negated": ("The KL in the diagnostics has the wrong sign.", "A KL is never negative.", TOLD),
    "loss_for_elbo": ("The loss is recorded as the ELBO: its sign is turned.", "elbo = log_px - kl.", TOLD),
    "kl_added_to_elbo": ("The KL is added to the ELBO.", "elbo = log_px - kl.", TOLD),
    "elbo_is_log_px": ("The ELBO lacks the KL.", "elbo = log_px - kl.", TOLD),
    "scalar_diagnostics": ("The diagnostics are single numbers.", "One value for each example, shape (batch,).", TOLD),
    "diagnostics_carry_the_graph": (
        "The diagnostics still carry the graph.",
        "Detach them: a list of them would hold every graph in memory.",
        TOLD,
    ),
}

VIMCO = {
    "elbo_for_the_bound": (
        "This is the mean of the log-weights: the ELBO.",
        "The bound is the logarithm of the mean weight: logsumexp, minus log S.",
        ("bound",),
    ),
    "log_s_missing": ("log S is missing.", "The mean over S weights is their sum over S: subtract log S.", ("bound",)),
    "bound_negated": (
        "The sign is wrong: the bound itself is asked for.",
        "VIMCO's function returns what is to be maximized.",
        ("bound", "signals"),
    ),
    "logsumexp_over_the_batch": (
        "The logsumexp runs over the batch.",
        "Samples are the first axis: logsumexp(dim=0).",
        ("bound", "signals"),
    ),
    "weights_underflow": (
        "Tiny weights underflow.",
        "Never leave the log scale: logsumexp takes the largest weight out first.",
        ("bound",),
    ),
    "averaged_over_the_batch": ("The batch is averaged.", "One bound for each example, shape (batch,).", ("bound", "path", "signals")),
    "not_reduced": (
        "There is a number for each sample; one bound for each example is asked for.",
        "logsumexp over the first axis.",
        ("bound", "path", "signals"),
    ),
    "changes_its_inputs": ("An argument is changed in place.", "Make a new tensor.", ("bound",)),
    "value_is_a_surrogate": (
        "The gradient is right, but the value is that of a surrogate.",
        "Write log_q - log_q.detach() where log_q stands: zero as a number, with log_q's gradient.",
        ("bound",),
    ),
    "signals_not_detached": (
        "The learning signals are not detached: they send a second gradient through log_w.",
        "A signal is a weight, a number. Detach it.",
        ("bound", "path"),
    ),
    "path_missing": (
        "The bound is detached: no gradient reaches log_w, so the decoder learns nothing.",
        "The gradient has two parts: the signals times grad log q, and the gradient of the bound itself.",
        ("path",),
    ),
    "log_prob_detached": (
        "log_q carries no gradient: the encoder gets no signal.",
        "signals.detach() * log_q, and log_q as it came.",
        ("signals",),
    ),
    "no_baseline": (
        "All samples get the whole bound as their signal: there is no baseline.",
        "Unbiased, but very noisy. Subtract the bound in which w_j is replaced by the geometric mean of the others.",
        ("signals",),
    ),
    "baseline_contains_its_own_sample": (
        "The baseline contains the sample itself, and so the estimate is biased.",
        "Replace log w_j by the mean of the *other* log-weights, (log_w.sum(0) - log_w) / (S - 1).",
        ("signals",),
    ),
    "signals_averaged": (
        "The signals are averaged over the samples where they have to be summed.",
        "All S samples make one bound, so log q of all of them is a sum. (In RLOO the cost itself is a mean: there it is the mean.)",
        ("signals",),
    ),
    "signals_of_the_log_weights": (
        "The signals come from single log-weights: that is the leave-one-out gradient of the ELBO.",
        "What sample j changes is the bound: L minus the L in which log w_j is replaced.",
        ("signals",),
    ),
    "sign_flipped": ("The signals have the wrong sign.", "signal_j = L - L without j.", ("signals",)),
    "weights_for_signals": (
        "The normalized weights stand where the signals belong.",
        "They are the gradient through log_w; log_q needs L minus L without j.",
        ("signals",),
    ),
}

BIAS_VARIANCE = {
    "noise_not_subtracted": (
        "The squared bias contains sampling noise: even an unbiased estimator would get a positive one.",
        "The mean of N draws still wobbles; its square is variance / N too large on average. Subtract that.",
        ("bias",),
    ),
    "noise_subtracted_n_times": ("The whole variance is subtracted.", "The mean of N draws has variance / N.", ("bias",)),
    "noise_added": (
        "The noise is added where it has to be subtracted.",
        "The naive square is too large by variance / N: subtract it.",
        ("bias",),
    ),
    "bias_not_squared": (
        "This is the bias, or its length; the squared length is asked for.",
        "Sum the squares of mean - exact, and take no root.",
        ("bias",),
    ),
    "error_for_bias": (
        "This is the mean squared error: bias squared plus variance.",
        "Average the draws first, then compare with the exact gradient, then square.",
        ("bias",),
    ),
    "error_for_variance": (
        "The spread is taken around the exact gradient.",
        "The variance is the spread around the draws' own mean; around the truth it contains the bias.",
        ("variance",),
    ),
    "divided_by_n": (
        "The variance is divided by N.",
        "Divide by N - 1: draws.var(dim=0) does. Otherwise it is too small on average.",
        ("variance",),
    ),
    "variance_of_the_mean": ("This is the variance of the mean; that of a single draw is asked for.", "Do not divide by N.", ("variance",)),
    "variance_over_the_entries": (
        "The variance runs over the entries of the gradient.",
        "Draws are the first axis: var(dim=0), then sum over entries.",
        ("variance",),
    ),
    "standard_deviation_for_variance": ("This is a standard deviation.", "Do not take the root.", ("variance",)),
    "entries_averaged": (
        "The entries are averaged where they have to be summed.",
        "Both numbers are for the whole vector: sum over its entries.",
        ("variance", "bias"),
    ),
    "entries_not_summed": (
        "The entries are not summed.",
        "Both numbers are for the whole vector: sum over its entries.",
        ("variance", "bias"),
    ),
    "changes_its_inputs": ("An argument is changed in place.", "Make a new tensor.", ("variance", "bias")),
}
