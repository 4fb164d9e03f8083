"""Mistakes in the importance-weighted bound: name, (title, advice, the behaviors that it costs)."""

from autograder.advice.iwae_weights import BOTH, GRADIENT, VALUE, WEIGHTS

__all__ = ["BOUND"]

BOUND = {name: (title, advice, costs) for name, (title, advice, costs, _) in WEIGHTS.items()} | {
    "mean_of_logs": (
        "This is the mean of the logarithms, which is the ELBO; the logarithm of the mean is asked for.",
        "L_K = log (1/K) sum_k w_k. The logarithm comes last: logsumexp(log_w, dim=0) - log K.", BOTH,
    ),
    "sum_of_logs": (
        "The log-weights are summed.",
        "That is the logarithm of a product. The weights themselves have to be averaged: logsumexp(log_w, dim=0) - log K.", BOTH,
    ),
    "log_k_missing": (
        "log K is not subtracted: the weights are summed and not averaged.",
        "log (1/K) sum_k w_k = logsumexp(log_w, dim=0) - log K. Without it the number grows with K by itself and bounds nothing.", VALUE,
    ),
    "log_k_added": ("log K is added; it has to be subtracted.", "log (1/K) = - log K.", VALUE),
    "log_k_twice": ("log K is subtracted twice.", "Either average inside, or subtract log K outside.", VALUE),
    "k_for_log_k": ("K is subtracted, and not its logarithm.", "log (1/K) = - log K.", VALUE),
    "divided_by_k": (
        "The logarithm is divided by K.",
        "The 1/K stands inside the logarithm, where it is - log K.", VALUE,
    ),
    "log_k_in_another_base": (
        "log K is taken to another base.",
        "logsumexp is in nats: use math.log, not log2 or log10.", VALUE,
    ),
    "log_of_the_wrong_number": (
        "The logarithm of another number than K is subtracted.",
        "Subtract the logarithm of the number of samples, not of the batch size or of anything else that a shape holds.", VALUE,
    ),
    "samples_left_out": (
        "Some of the samples are left out.",
        "All K weights go into the mean.", BOTH,
    ),
    "best_sample_only": (
        "Only the largest weight counts.",
        "The maximum keeps floats in range; the other weights have to be added: logsumexp does both.", BOTH,
    ),
    "median_of_logs": ("The median of the log-weights is taken.", "The bound is the logarithm of the mean weight.", BOTH),
    "weighted_mean_of_logs": (
        "This is the mean of log w under the normalized weights.",
        "That sum has to do with the gradient; as a value it bounds nothing. The bound is logsumexp(log_w, dim=0) - log K.", BOTH,
    ),
    "weights_over_the_batch": (
        "The weights are normalized over the batch.",
        "Each example has weights of its own: what is summed over is the samples, dim=0 of (K, batch). And the bound needs no normalized "
        "weights: it is logsumexp(log_w, dim=0) - log K.", BOTH,
    ),
    "chunks_averaged": (
        "The bounds of chunks of samples are averaged.",
        "The mean over the weights of all chunks comes before the one logarithm: keep the log-weights, or their logsumexp, and join those.",
        BOTH,
    ),
    "weights_normalized": (
        "The weights are normalized before their mean is taken.",
        "Normalized weights sum to one, always. The bound needs the weights as they are.", BOTH,
    ),
    "factors_averaged_apart": (
        "The log-mean-exp is taken of the factors of the weight, each by itself.",
        "The mean of a product is not the product of means. Put log w together for each sample first.", BOTH,
    ),
    "dimensions_averaged_apart": (
        "The mean over samples is taken pixel by pixel.",
        "A weight belongs to a whole image: sum over pixels and latents first, average over samples then.", BOTH,
    ),
    "maximum_not_added_back": (
        "The maximum that was subtracted is not added back.",
        "log sum exp(a) = m + log sum exp(a - m). torch.logsumexp does all of it.", BOTH,
    ),
    "exp_underflows": (
        "exp(log w) is 0 in floating point, and its logarithm is lost.",
        "784 pixels have log w of some -100 to -1500; even float64 ends at -745. torch.logsumexp(log_w, dim=0) takes out each example's "
        "own "
        "largest weight first. A small number inside the logarithm only hides it.", BOTH,
    ),
    "bound_without_log": (
        "The weights are averaged, and the logarithm is missing.",
        "The mean weight estimates p(x), which is 0 in floating point. Return its logarithm, by logsumexp.", BOTH,
    ),
    "logsumexp_over_the_wrong_axis": (
        "The logsumexp goes over another dimension than the samples.",
        "One value for each example is asked for: reduce the dimension of size K, dim=0 of (K, batch).", BOTH,
    ),
    "not_reduced_over_samples": (
        "The samples are still there: these are log-weights.",
        "Reduce them: logsumexp over the samples, minus log K.", BOTH,
    ),
    "not_summed": (
        "Pixels or latents are left that have to be summed.",
        "A weight belongs to a whole image and a whole z: sum each of the three log-densities to (K, batch) first.", BOTH,
    ),
    "averaged_over_the_batch": (
        "The batch is averaged or summed, too.",
        "Return one bound for each example, shape (batch,). The loss takes the mean later.", VALUE,
    ),
    "bound_negated": (
        "The sign is turned: this is a loss.",
        "Return the bound itself; it is negative for binary images, and larger is better.", VALUE,
    ),
    "silent_broadcasting": (
        "A (batch,) and a (batch, 1) have become a (batch, batch).",
        "Look at the shapes of log p(x|z), log p(z) and log q(z|x): each must be (K, batch).", BOTH,
    ),
    "wrong_shape": (
        "A dimension of size one is left.",
        "Return shape (batch,): no keepdim.", VALUE,
    ),
    "bound_without_graph": (
        "The bound carries no gradient.",
        "Take away no_grad, detach and item: the bound is what a model is trained on.", GRADIENT,
    ),
    "encoder_without_gradient": (
        "The encoder gets no gradient.",
        "model.posterior(x) must not stand under no_grad: mu and sigma carry the gradient into z and into log q(z|x).", GRADIENT,
    ),
    "sample_without_gradient": (
        "The samples carry no gradient.",
        "Draw with rsample, not sample: the encoder learns through z.", GRADIENT,
    ),
    "gradient_through_the_weights": (
        "The gradient also goes through the normalized weights.",
        "If you write the gradient as a weighted sum, the weights have to be stopped: softmax(log_w, 0).detach(). logsumexp does it right "
        "by itself.",
        GRADIENT,
    ),
    "posterior_without_gradient": (
        "The parameters of q are stopped in log q(z|x).",
        "The bound's own gradient goes through them, too. (Stopped, and with squared weights, it is the DReG estimator: the optional "
        "exercise.)",
        GRADIENT,
    ),
    "gradient_of_the_mean_of_logs": (
        "The gradient is that of the ELBO: every sample counts alike.",
        "In the gradient of L_K sample k counts with its normalized weight.", GRADIENT,
    ),
    "prior_and_posterior_without_gradient": (
        "log p(z) - log q(z|x) carries no gradient.",
        "Detach nothing: all three parts of log w teach the encoder.", GRADIENT,
    ),
    "log_px_without_gradient": (
        "log p(x|z) carries no gradient, so the decoder learns nothing.",
        "Detach nothing: all three parts of log w count.", GRADIENT,
    ),
}
