"""Mistakes in the log-weights: name, (title, advice, the behaviors that it costs)."""

__all__ = ["ALL", "BOTH", "GRADIENT", "LOG_WEIGHTS", "VALUE", "WEIGHTS"]

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
    "part_of_the_density_left_out": (
        "A part of a Gaussian's log-density is left out.",
        "log q(z|x) has - log sigma in it for each latent, and - log(2 pi) / 2, which cancels only where p and q both lack it. Use "
        "qz.log_prob(z).", BOTH, VALUE,
    ),
    "variance_for_standard_deviation": (
        "log q(z|x) is taken with another scale than q has.",
        "torch's Normal wants the standard deviation, exp(log_sigma): neither the variance nor log_sigma itself. Use qz.log_prob(z).",
        BOTH, VALUE,
    ),
    "kl_clamped": (
        "log q(z|x) - log p(z) is cut off at zero.",
        "A KL is never negative, but that is its mean: at one sample the difference can be, and has to stay so.", BOTH, VALUE,
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
    "one_z_for_the_batch": (
        "All examples of the batch get the same latents.",
        "Each x has a q(z|x) of its own: draw from it, shape (K, batch, M). qz.rsample((num_samples,)) does.", ALL, DRAWS,
    ),
    "samples_shared_across_the_batch": (
        "All examples of the batch share the same noise.",
        "Draw noise of shape (K, batch, M): qz.rsample((num_samples,)) does.", SAMPLES, SAMPLES,
    ),
    "one_epsilon_for_all_latents": (
        "All latents of a sample share the same noise.",
        "Draw noise of shape (K, batch, M).", SAMPLES, SAMPLES,
    ),
    "antithetic_samples": (
        "The samples of an example are not independent: they balance each other.",
        "Mirrored or stratified noise gives a bound, too, but another one than L_K: draw all num_samples with qz.rsample((num_samples,)).",
        SAMPLES, SAMPLES,
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
