"""Mistakes in the small functions of unit 01: name, (title, advice, the points it costs)."""

__all__ = ["BERNOULLI", "GAUSSIAN_KL", "PATHWISE", "SCORE"]

BERNOULLI = {
    "bernoulli_negated": (
        "The sign is wrong: this is the cross-entropy, and its negative is asked for.",
        "Binary cross-entropy is minus the Bernoulli log-probability: log p(x) = -BCE.",
        ("vae.bernoulli:value",),
    ),
    "mean_over_pixels": (
        "The pixels are averaged where they have to be summed.",
        "Independent pixels multiply, so their log-probabilities add up. Mind `reduction`: its default is the mean.",
        ("vae.bernoulli:value",),
    ),
    "summed_over_the_batch": (
        "The batch is summed or averaged, too.",
        "Return one value for each example: sum over all dimensions but the first.",
        ("vae.bernoulli:value",),
    ),
    "not_summed": (
        "Dimensions are left that have to be summed.",
        "Sum over all dimensions but the first, for example with flatten(1).sum(1).",
        ("vae.bernoulli:value",),
    ),
    "logits_for_probabilities": (
        "The logits are used as if they were probabilities, or are passed through the sigmoid twice.",
        "binary_cross_entropy wants probabilities; binary_cross_entropy_with_logits wants logits.",
        ("vae.bernoulli:value",),
    ),
    "only_the_ones": (
        "Only the pixels that are one are counted.",
        "log p(x) = sum of x log p + (1 - x) log(1 - p): the dark pixels carry information, too.",
        ("vae.bernoulli:value",),
    ),
    "arguments_swapped": (
        "The arguments are swapped: the prediction comes first, the target second.",
        "binary_cross_entropy_with_logits(logits, x).",
        ("vae.bernoulli:value",),
    ),
    "sigmoid_saturates": (
        "With large logits the sigmoid is exactly 0 or 1, and its logarithm is lost.",
        "Stay with logits: binary_cross_entropy_with_logits, or Bernoulli(logits=logits).log_prob(x).",
        ("vae.bernoulli:extremes",),
    ),
    "changes_its_inputs": (
        "An argument is changed in place.",
        "Methods ending in an underscore and += overwrite their tensor; make a new one.",
        ("vae.bernoulli:value",),
    ),
    "without_gradient": (
        "The result carries no gradient for the logits.",
        "Nothing may be detached or under no_grad.",
        ("vae.bernoulli:gradient",),
    ),
}

GAUSSIAN_KL = {
    "kl_reversed": (
        "This is KL(p||q), and KL(q||p) is asked for.",
        "q is divided by p under an expectation over q: sigma_q stands in the numerator of the trace term.",
        ("vae.gaussian_kl:value",),
    ),
    "kl_sign_flipped": (
        "The sign is wrong: a KL is never negative.",
        "log sigma_p - log sigma_q + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2.",
        ("vae.gaussian_kl:value",),
    ),
    "prior_ignored": (
        "This is the KL to N(0, 1), whatever p is.",
        "Use mu_p and log_sigma_p: the exercise asks for any two diagonal Gaussians.",
        ("vae.gaussian_kl:value",),
    ),
    "mean_over_latents": (
        "The latents are averaged where they have to be summed.",
        "The KL of independent dimensions adds up.",
        ("vae.gaussian_kl:value",),
    ),
    "summed_over_the_batch": (
        "The batch is summed or averaged, too.",
        "Return one value for each example, shape (batch,).",
        ("vae.gaussian_kl:value",),
    ),
    "not_summed": (
        "The latents are not summed.",
        "Sum over the last dimension: one value for each example.",
        ("vae.gaussian_kl:value",),
    ),
    "log_variance_for_log_sigma": (
        "log_sigma is read as a log-variance.",
        "With log_sigma given, sigma^2 = exp(2 log_sigma).",
        ("vae.gaussian_kl:value",),
    ),
    "variance_for_standard_deviation": (
        "Standard deviations stand where variances belong.",
        "The quadratic terms have sigma_q^2 and sigma_p^2.",
        ("vae.gaussian_kl:value",),
    ),
    "missing_half_in_kl": (
        "A factor 1/2 is missing.",
        "log sigma_p - log sigma_q + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2.",
        ("vae.gaussian_kl:value",),
    ),
    "constant_in_kl": (
        "The constant -1/2 for each dimension is missing or wrong.",
        "The KL of a distribution with itself must be zero: try it.",
        ("vae.gaussian_kl:value",),
    ),
    "monte_carlo_for_closed_form": (
        "This is a Monte Carlo estimate; the closed form is asked for.",
        "Two calls with the same arguments must agree: no sample is needed.",
        ("vae.gaussian_kl:value",),
    ),
    "changes_its_inputs": (
        "An argument is changed in place.",
        "Methods ending in an underscore and += overwrite their tensor; make a new one.",
        ("vae.gaussian_kl:value",),
    ),
    "without_gradient": (
        "The result does not carry gradients to all four parameters.",
        "Nothing may be detached or under no_grad.",
        ("vae.gaussian_kl:gradient",),
    ),
}

BOTH = ("unbiased", "estimator")

ESTIMATORS = {
    "already_averaged": (
        "The samples are averaged; one estimate for each sample is asked for.",
        "Return the num_samples single-sample estimates, so that their spread can be seen.",
        BOTH,
    ),
    "divided_by_num_samples": (
        "Each estimate is divided by the number of samples.",
        "A single-sample estimate is f's own gradient at one sample; averaging comes later.",
        BOTH,
    ),
    "sign_flipped": (
        "The sign of the gradient is wrong.",
        "d/dmu log q(z) = (z - mu) / sigma^2, and dz/dmu = 1.",
        ("unbiased",),
    ),
    "gradient_of_log_sigma": (
        "This is the gradient with respect to log_sigma.",
        "The derivative with respect to mu is asked for.",
        BOTH,
    ),
    "no_randomness": (
        "All estimates are the same: no sample is drawn for each.",
        "Draw num_samples values of epsilon.",
        BOTH,
    ),
}


def charged(check: str, table: dict[str, tuple[str, str, tuple[str, ...]]]) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The table with its behaviors as points of `check`."""
    return {name: (title, advice, tuple(f"{check}:{b}" for b in behaviors)) for name, (title, advice, behaviors) in table.items()}


PATHWISE = charged("vae.pathwise_gradient", ESTIMATORS | {
    "score_for_pathwise": (
        "This is the score-function estimator; the reparameterized one is asked for.",
        "Write z = mu + sigma * epsilon and differentiate f(z) through z.",
        ("estimator",),
    ),
    "derivative_at_mu": (
        "The derivative is taken at mu, not at the samples.",
        "Differentiate f at z = mu + sigma * epsilon.",
        BOTH,
    ),
    "wrong_sigma": (
        "The samples have the wrong spread.",
        "sigma = exp(log_sigma).",
        BOTH,
    ),
})

SCORE = charged("vae.score_gradient", ESTIMATORS | {
    "pathwise_for_score": (
        "This is the reparameterized estimator; the score function is asked for.",
        "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2; f itself is not differentiated.",
        ("estimator",),
    ),
    "f_left_out": (
        "f is left out: this is the score alone, whose mean is zero.",
        "Multiply the score with f(z).",
        BOTH,
    ),
    "score_without_square": (
        "The score is divided by sigma once; it needs sigma squared.",
        "d/dmu log q(z) = (z - mu) / sigma^2.",
        BOTH,
    ),
    "score_is_zero": (
        "The gradient of log q is zero, because z moved along with mu.",
        "Differentiate log q(z) with z held fixed: sample z without gradient.",
        BOTH,
    ),
    "f_without_score": (
        "f(z) is returned without the score.",
        "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2.",
        BOTH,
    ),
})
