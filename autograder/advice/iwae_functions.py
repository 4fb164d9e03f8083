"""Mistakes in unit 02's functions on plain tensors: name, (title, advice, the behaviors that it costs)."""

__all__ = ["ESS", "ESTIMATE", "NORMALIZED", "OVER_SAMPLES", "RESAMPLE"]

VALUE, FAR = ("value",), ("extremes",)
BOTH = VALUE + FAR

ESTIMATE = {
    "weights_left_out": (
        "The samples of q are averaged without weights.",
        "That is the mean of f under q. Each sample has to count with w = p(z) / q(z).", VALUE,
    ),
    "weights_inverted": (
        "The weights are upside down: q over p.",
        "w = p(z) / q(z): where q draws too rarely a sample counts more.", VALUE,
    ),
    "self_normalized": (
        "The weights are divided by their sum.",
        "Both densities are normalized here, so the plain mean of w f(z) is unbiased. Dividing by the sum is for densities known up to a "
        "constant, "
        "and is biased.", VALUE,
    ),
    "log_weights_for_weights": (
        "f is multiplied with log w; it has to be w.",
        "log_prob gives logarithms: exp(log p(z) - log q(z)).", VALUE,
    ),
    "sum_for_mean": ("The terms are summed; the mean is asked for.", "Divide by num_samples.", VALUE),
    "q_left_out": ("q is missing: f is weighted with p(z).", "w = p(z) / q(z). Samples come with the density q already.", VALUE),
    "p_left_out": ("p is missing: f is weighted with 1 / q(z).", "w = p(z) / q(z).", VALUE),
    "weights_multiplied": ("The densities are multiplied.", "The weight is their ratio: subtract the logarithms.", VALUE),
    "averages_multiplied": ("The mean of w is multiplied with the mean of f.", "Multiply sample by sample, then take the mean.", VALUE),
    "not_averaged": ("The terms are not averaged.", "Return one number, the mean over the samples.", VALUE),
    "f_not_used": ("f is never called.", "Evaluate f at your samples: f(z).", ("value", "samples")),
    "num_samples_ignored": ("The number of samples is not the one asked for.", "Draw q.sample((num_samples,)).", ("value", "samples")),
    "samples_from_p": ("The samples come from p.", "In real problems nobody can sample from p. Draw from q.", ("samples",)),
    "not_from_q": ("The samples are not draws of q.", "Draw q.sample((num_samples,)).", ("samples",)),
    "same_samples_in_every_call": ("Every call draws the same samples.", "Set no seed inside the function.", ("samples",)),
}

CHANGES = {"changes_its_inputs": ("An argument is changed in place.",
                                  "Methods ending in an underscore and += overwrite their tensor; make a new one.", VALUE)}
UNDERFLOWS = {
    "exp_underflows": (
        "With small log-weights exp(log_w) is 0, and 0 / 0 is no number.",
        "Subtract each example's largest log-weight first, or let torch.softmax do it.", FAR,
    )
}

NORMALIZED = CHANGES | UNDERFLOWS | {
    "normalized_over_the_batch": (
        "The weights are normalized over the batch.",
        "The K samples of one example share the weight 1: normalize over dim=0 of (K, batch).", BOTH,
    ),
    "normalized_over_everything": (
        "The weights are normalized over samples and batch together.",
        "Each example's K weights sum to one: dim=0.", BOTH,
    ),
    "weights_not_normalized": ("The weights are not normalized.", "Divide by their sum over the samples: softmax does.", BOTH),
    "largest_weight_is_one": (
        "The weights are divided by the largest; their sum is asked to be one.",
        "Divide by the sum over the samples.", BOTH,
    ),
    "log_weights_normalized": ("The log-weights are divided by their sum.", "The weights are exp(log_w): normalize these.", BOTH),
    "logarithms_returned": ("These are the logarithms of the normalized weights.", "softmax, not log_softmax.", BOTH),
    "mean_for_sum": ("The weights have mean one; their sum has to be one.", "Divide by the sum, not by the mean.", BOTH),
    "weights_inverted": ("The smallest log-weight has the largest weight.", "softmax(log_w), without a minus.", BOTH),
    "samples_last": ("Samples and batch have changed places.", "Return the shape that came in, (K, batch).", BOTH),
}

ESS = CHANGES | UNDERFLOWS | {
    "sum_of_squares": (
        "This is the sum of the squared weights, and the effective sample size is its reciprocal.",
        "With K equal weights the sum of squares is 1/K; that many samples are K.", BOTH,
    ),
    "ess_over_the_batch": ("The sum goes over the batch.", "Each example has an effective sample size of its own: sum over dim=0.", BOTH),
    "weights_not_normalized": (
        "The weights are not normalized.",
        "1 / sum of squares counts samples only if the weights sum to one. Or use (sum w)^2 / sum w^2.", BOTH,
    ),
    "without_square": ("The squares are missing.", "The normalized weights themselves always sum to one. Sum their squares.", BOTH),
    "fraction_for_number": ("This is a fraction of the samples; their number is asked for.", "Do not divide by K.", BOTH),
    "perplexity_for_ess": (
        "This is the exponential of the entropy of the weights.",
        "It also counts samples, in another way. Asked for is 1 / sum of squares.", BOTH,
    ),
    "largest_weight_for_ess": ("This is one over the largest weight.", "Asked for is 1 / sum of squares.", BOTH),
    "mean_of_squares": ("The squares are averaged; they have to be summed.", "1 / sum of squares of the normalized weights.", BOTH),
    "averaged_over_the_batch": ("The batch is averaged or summed, too.", "Return one number for each example, shape (batch,).", BOTH),
    "logarithms_returned": ("This is a logarithm.", "Return the number of samples itself.", BOTH),
    "square_root_of_ess": ("This is the square root.", "No root: 1 / sum of squares.", BOTH),
}

OVER_SAMPLES = {
    "merge_permutes_the_batch": (
        "Samples and examples come back in another order than they went in.",
        "flatten(0, 1) of (K, batch, ...) lies sample after sample, so the way back is unflatten(0, (K, batch)).", ("values",),
    ),
    "samples_and_batch_swapped": (
        "Samples and batch have changed places.",
        "The result starts with K, then batch, as z does.", ("values",),
    ),
    "not_unmerged": (
        "The result is still folded: (K * batch, ...).",
        "unmerge has to give the dimension of the samples back.", ("values",),
    ),
    "averaged_over_the_samples": ("The samples are averaged.", "Every sample's result is asked for.", ("values",)),
    "one_sample_only": ("Only one sample went through.", "All K samples are asked for.", ("values",)),
    "only_vectors": (
        "It works for (K, batch, M) only.",
        "Fold the first two dimensions, whatever comes after them: images, or nothing at all.", ("values",),
    ),
    "a_call_for_each_sample": (
        "f is called for each sample by itself.",
        "Fold the samples into the batch and call f once: a network takes a large batch far faster than many small ones.", ("one_call",),
    ),
    "changes_its_inputs": (
        "z is changed in place.",
        "Methods ending in an underscore and += overwrite their tensor; make a new one.", ("values",),
    ),
}

RESAMPLE = {
    "samples_not_weighted": (
        "All candidates are drawn alike.",
        "Draw candidate k with its normalized weight as the probability.", ("weights",),
    ),
    "weights_inverted": (
        "The least probable candidates are drawn most.",
        "The probabilities are softmax(log_w, 0), without a minus.", ("weights",),
    ),
    "weights_over_the_batch": (
        "The weights are normalized over the batch.",
        "The K candidates of one example share the probability 1. Categorical wants them in its last dimension: log_w.T.", ("weights",),
    ),
    "best_sample_only": (
        "The largest weight is taken every time.",
        "That is a maximum, and no sample of the posterior. Draw with the weights.", ("weights",),
    ),
    "log_weights_for_weights": (
        "Log-weights are used as if they were weights.",
        "Categorical(logits=log_w.T), or probs=softmax(log_w, 0).T.", ("weights",),
    ),
    "weights_squared": ("The weights are squared.", "The probabilities are the normalized weights themselves.", ("weights",)),
    "one_pick_for_all_examples": (
        "All examples draw the same index.",
        "Each example has weights of its own, and draws for itself.", ("weights",),
    ),
    "same_samples_in_every_call": ("Every call draws the same.", "Set no seed inside the function.", ("weights",)),
    "picks_of_another_example": (
        "A draw is another example's candidate.",
        "Index samples and batch together: z[index, torch.arange(batch)], with index of shape (num_draws, batch).", ("picks", "weights",
            "extremes"),
    ),
    "latents_apart": (
        "Each latent is drawn by itself.",
        "A draw is a whole candidate: the same index k for all its M latents.", ("picks", "weights", "extremes"),
    ),
    "averaged_over_the_samples": (
        "The candidates are averaged.",
        "A sample of the posterior is one of the candidates; their mean need not be a probable z.", ("picks", "weights", "extremes"),
    ),
    "samples_and_batch_swapped": (
        "The batch stands first.", "The result has shape (num_draws, batch, M).", ("picks", "weights", "extremes"),
    ),
    "exp_underflows": (
        "With log-weights of 784 pixels exp(log_w) is 0.",
        "Hand over logarithms, Categorical(logits=...), or normalize with softmax.", FAR,
    ),
    "changes_its_inputs": ("An argument is changed in place.", "Make a new tensor.", ("picks", "weights", "extremes")),
}
