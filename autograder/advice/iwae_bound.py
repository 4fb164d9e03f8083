"""Mistakes in the log-weights and in the importance-weighted bound: name, (title, advice, the behaviors that it costs)."""

__all__ = ["BOUND", "LOG_WEIGHTS"]

VALUE, SAMPLES, GRADIENT = ("value",), ("samples",), ("gradient",)
BOTH, ALL, DRAWS = ("value", "gradient"), ("value", "samples", "gradient"), ("value", "samples")

# name: (title, advice, costs in the bound, costs in the log-weights)
WEIGHTS = {
    "closed_form_kl_in_the_weights": (
        "The KL in closed form stands in the weights.",
        "A weight belongs to one sample: log p(z_k) - log q(z_k|x) at that sample.", BOTH, VALUE,
    ),
    "only_log_px": (
        "The weights are p(x|z) alone.",
        "Samples come from q, so each weight is p(x|z) p(z) / q(z|x): add log p(z), subtract log q(z|x).", BOTH, VALUE,
    ),
    "prior_left_out": (
        "log p(z) is missing in the weights.",
        "The joint density is p(x, z) = p(x|z) p(z).", BOTH, VALUE,
    ),
    "posterior_left_out": (
        "log q(z|x) is missing in the weights.",
        "Dividing by the density that the samples come from is what makes it importance sampling.", BOTH, VALUE,
    ),
    "log_px_left_out": (
        "log p(x|z) is missing in the weights.",
        "log w = log p(x|z) + log p(z) - log q(z|x).", BOTH, VALUE,
    ),
    "term_with_the_wrong_sign": (
        "A term of log w has the wrong sign.",
        "log w = log p(x|z) + log p(z) - log q(z|x): what generates stands above, what samples stands below.", BOTH, VALUE,
    ),
    "kl_weighted": (
        "log p(z) - log q(z|x) is multiplied with a number, a beta.",
        "A beta has no place in the weights: with it their mean is no estimate of p(x).", BOTH, VALUE,
    ),
    "weights_inverted": (
        "The weights are upside down: q over p.",
        "w = p(x, z) / q(z|x): a sample that q draws too rarely has to count more.", BOTH, VALUE,
    ),
    "prior_counted_twice": (
        "log p(z) is counted twice.",
        "log p(x, z) = log p(x|z) + log p(z), and the KL term has a log p(z) of its own.", BOTH, VALUE,
    ),
    "squared_error_for_log_px": (
        "A squared error stands where log p(x|z) belongs.",
        "The pixels are Bernoulli: use the log_prob of model.observation_model(z).", BOTH, VALUE,
    ),
    "sigmoid_twice": (
        "The decoder's output goes through the sigmoid twice.",
        "It gives logits: Bernoulli(logits=...) and cross-entropy with logits take them as they are.", BOTH, VALUE,
    ),
    "log_px_of_the_whole_batch": (
        "log p(x|z) is summed or averaged over the batch.",
        "Each sample of each example has one of its own, shape (K, batch). Mind `reduction`, whose default is a mean.", BOTH, VALUE,
    ),
    "mean_over_pixels": (
        "The pixels are averaged where they have to be summed.",
        "Independent pixels multiply, so their log-probabilities add up.", BOTH, VALUE,
    ),
    "mean_over_latents": (
        "The latents are averaged where they have to be summed.",
        "Independent latents multiply, so their log-densities add up.", BOTH, VALUE,
    ),
    "bits_for_nats": (
        "The result is in bits; nats are asked for.",
        "Do not divide by log 2.", BOTH, VALUE,
    ),
    "posterior_at_unit_variance": (
        "log q(z|x) is taken with unit variance.",
        "q has its own sigma for each latent: use qz.log_prob(z), with all its terms.", BOTH, VALUE,
    ),
    "merge_permutes_the_batch": (
        "Samples and examples are folded in one order and taken apart in the other.",
        "A weight then mixes one example's z with another's x. flatten(0, 1) of (K, batch, ...) lies sample after sample: the way back "
        "is view(K, batch), and x has to be repeated in that order, too.", BOTH, VALUE,
    ),
    "different_samples_in_one_weight": (
        "One weight holds several samples: log p(x|z) at one, log q(z|x) at another.",
        "Draw z once, and evaluate all three densities at that z.", BOTH, VALUE,
    ),
    "num_samples_ignored": (
        "The number of samples is not the one that was asked for.",
        "Draw num_samples latents for each example: qz.rsample((num_samples,)).", ALL, DRAWS,
    ),
    "decodes_the_mean": (
        "The mean of q is decoded in place of samples.",
        "Importance sampling needs draws of the q whose density stands in the weights: qz.rsample((num_samples,)).", ALL, DRAWS,
    ),
    "samples_from_the_prior": (
        "The samples come from the prior.",
        "Draw them from q(z|x), which knows where the x was made, and divide by its density.", ALL, DRAWS,
    ),
    "averages_the_latents": (
        "The samples are averaged before they are decoded.",
        "Decode each sample. The mean is taken at the very end, of the weights.", ALL, DRAWS,
    ),
    "wrong_spread": (
        "The samples do not have the spread of q(z|x).",
        "Draw them with qz.rsample((num_samples,)): mean qz.mu, standard deviation exp(qz.log_sigma).", ALL, DRAWS,
    ),
    "one_sample_repeated": (
        "One sample is used K times.",
        "The K samples of an example have to be independent; repeating one gives the ELBO again.", ALL, DRAWS,
    ),
    "samples_shared_across_the_batch": (
        "All examples of the batch share the same noise.",
        "Draw noise of shape (K, batch, M): qz.rsample((num_samples,)) does.", SAMPLES, SAMPLES,
    ),
    "one_epsilon_for_all_latents": (
        "All latents of a sample share the same noise.",
        "Draw noise of shape (K, batch, M).", SAMPLES, SAMPLES,
    ),
    "same_samples_in_every_call": (
        "Every call draws the same samples.",
        "Set no seed inside the function: each call has to draw afresh.", SAMPLES, SAMPLES,
    ),
    "changes_its_inputs": (
        "x is changed in place.",
        "Methods ending in an underscore and += overwrite their tensor; make a new one.", BOTH, VALUE,
    ),
    "flat_pixels_only": (
        "It works on flat pixels; images of shape (batch, 1, 28, 28) come out wrong.",
        "Sum over all dimensions but the first two: flatten(2).sum(-1).", (), (),
    ),
    "one_sample_loses_its_dimension": (
        "With num_samples = 1 a dimension gets lost.",
        "model(x, num_samples=1) returns z of shape (batch, M), without K. Draw qz.rsample((num_samples,)).", VALUE, VALUE,
    ),
    "one_example_loses_its_dimension": (
        "With a batch of one example a dimension gets lost.",
        "squeeze() takes away every dimension of size one, the batch, too.", VALUE, VALUE,
    ),
    "wrong_with_many_samples": (
        "It is right for a few samples and wrong for hundreds.",
        "Are there chunks? Add up the weights of all of them before the one logarithm, and mind the last, shorter one.", VALUE, VALUE,
    ),
    "state_drifts": (
        "It is right at first and wrong when it is called again.",
        "The result may depend on model, x and num_samples only: keep nothing from call to call.", VALUE, VALUE,
    ),
}

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
        "- log K is missing: the weights are summed and not averaged.",
        "log (1/K) sum_k w_k = logsumexp(log_w, dim=0) - log K. Without it the number grows with K by itself and bounds nothing.", VALUE,
    ),
    "log_k_added": ("log K is added; it has to be subtracted.", "log (1/K) = - log K.", VALUE),
    "log_k_twice": ("log K is subtracted twice.", "Either average inside, or subtract log K outside.", VALUE),
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

# What a wrong bound is made of cannot be seen in log-weights.
LOG_WEIGHTS = {name: (title, advice, costs) for name, (title, advice, _, costs) in WEIGHTS.items()} | {
    "mean_kl_in_the_weights": (
        "log p(z) - log q(z|x) is averaged over the samples before it goes into the weights.",
        "Keep it for each sample: averaging may come after the exponential only.", VALUE,
    ),
    "samples_last": (
        "The samples stand last: (batch, K).",
        "In this course samples come first, (K, batch): then sums and means over samples are always over dim=0.", VALUE,
    ),
    "already_reduced": (
        "The samples are already averaged.",
        "Return one log-weight for each sample and each example, shape (K, batch). The reduction is the next exercise.", VALUE,
    ),
    "weights_without_log": (
        "These are the weights; their logarithms are asked for.",
        "exp(-500) is 0 in floating point. Stay in logarithms.", VALUE,
    ),
    "weights_normalized": (
        "The log-weights are normalized over the samples.",
        "Return log w as it is: its size is what bounds log p(x).", VALUE,
    ),
    "not_unmerged": (
        "Samples and examples are still folded together.",
        "Take them apart again: (K * batch,) to (K, batch).", VALUE,
    ),
    "not_summed": (
        "Pixels or latents are left that have to be summed.",
        "Sum over all dimensions but the first two: (K, batch, ...) to (K, batch).", VALUE,
    ),
}
