"""Mistakes in the reparameterized Gaussian: name, (title, advice, the points it costs)."""

__all__ = ["DENSITY", "SAMPLING", "SHARED"]

RSAMPLE, LOG_PROB = "vae.gaussian_rsample", "vae.gaussian_log_prob"

SHARED = {
    "log_variance_for_log_sigma": (
        "log_sigma is read as a log-variance.",
        "The second argument is log sigma, so sigma = exp(log_sigma), without a factor 1/2.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "variance_for_standard_deviation": (
        "The variance stands where the standard deviation belongs.",
        "Noise is scaled by sigma, not sigma squared; torch's Normal takes the standard deviation, too.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "log_sigma_for_sigma": (
        "log_sigma is used as if it were sigma.",
        "Take the exponential first: sigma = exp(log_sigma). A standard deviation is never negative.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "sigma_plus_constant": (
        "A constant is added to sigma.",
        "exp(log_sigma) is positive already. An added 1e-3 puts a floor under sigma and makes every small variance wrong.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "sigma_left_out": (
        "sigma is left out.",
        "The noise has to be scaled by sigma before mu is added, and the density depends on sigma, too.",
        (f"{RSAMPLE}:distribution", f"{RSAMPLE}:gradient", f"{LOG_PROB}:value"),
    ),
    "softplus_for_exp": (
        "sigma is made with softplus where the exercise says exp.",
        "The second argument is the logarithm of sigma; its inverse is exp.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "precision_for_sigma": (
        "1 / sigma stands where sigma belongs.",
        "Multiply the noise by sigma = exp(log_sigma); do not divide. The density divides the distance by it.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "wrong_mean": (
        "The mean is not mu.",
        "z = mu + sigma * epsilon: mu is added once, as it is.",
        (f"{RSAMPLE}:distribution", f"{RSAMPLE}:gradient", f"{LOG_PROB}:value"),
    ),
    "changes_its_inputs": (
        "The parameters that were handed in are changed in place.",
        "Methods ending in an underscore (exp_, mul_) and += overwrite their tensor. Use exp() and make a new tensor.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "wrong_shape": (
        "The result has the wrong shape.",
        "Work elementwise and keep the shape of mu; let no reduction or unsqueeze slip in.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
    "wrong_dtype": (
        "The result has another dtype than the parameters.",
        "Stay in torch: NumPy makes float64. torch.randn_like(mu) has the dtype and device of mu.",
        (f"{RSAMPLE}:distribution", f"{LOG_PROB}:value"),
    ),
}

SAMPLING = {
    "constant_epsilon": (
        "There is no random noise in the sample.",
        "epsilon is a fresh draw from N(0, 1) for each element; a constant makes the model an ordinary autoencoder.",
        (f"{RSAMPLE}:distribution", f"{RSAMPLE}:noise"),
    ),
    "seeded_epsilon": (
        "The same noise comes again in every call.",
        "Draw epsilon inside rsample, and set no seed there: a seed belongs at the top of an experiment, once.",
        (f"{RSAMPLE}:noise",),
    ),
    "one_epsilon_for_the_batch": (
        "One epsilon is shared by the whole batch.",
        "Draw epsilon with the full shape of mu (torch.randn_like(mu)): shared noise makes the examples' samples move together.",
        (f"{RSAMPLE}:noise",),
    ),
    "one_epsilon_for_all_dimensions": (
        "One epsilon is shared by all latent dimensions of an example.",
        "Draw epsilon with the full shape of mu; shared noise makes the dimensions correlated, and q is no longer diagonal.",
        (f"{RSAMPLE}:noise",),
    ),
    "uniform_epsilon": (
        "epsilon is uniform where a Gaussian is needed.",
        "torch.rand is uniform on [0, 1]; torch.randn is the standard normal.",
        (f"{RSAMPLE}:distribution",),
    ),
    "not_gaussian": (
        "epsilon is not Gaussian.",
        "Use torch.randn_like(mu), or the given sample_epsilon().",
        (f"{RSAMPLE}:distribution",),
    ),
    "wrong_epsilon": (
        "epsilon does not have mean 0 and standard deviation 1.",
        "Use torch.randn_like(mu), or the given sample_epsilon(), without scaling it.",
        (f"{RSAMPLE}:distribution",),
    ),
    "sample_without_gradient": (
        "The sample is cut off from mu and log_sigma: rsample runs under no_grad or detaches.",
        "rsample must stay in the graph. Only `sample` may use torch.no_grad(); torch's Normal has rsample beside sample.",
        (f"{RSAMPLE}:gradient",),
    ),
    "gradient_cut_off": (
        "Only one of mu and log_sigma receives a gradient.",
        "Neither may be detached or turned into a new tensor: z = mu + exp(log_sigma) * epsilon, and nothing else.",
        (f"{RSAMPLE}:gradient",),
    ),
}

DENSITY = {
    "log_prob_summed": (
        "log_prob sums over dimensions.",
        "Keep one value for each element, as torch's Normal does; the ELBO sums later, for all its terms in the same way.",
        (f"{LOG_PROB}:value",),
    ),
    "log_prob_averaged": (
        "log_prob averages over dimensions.",
        "Keep one value for each element; independent dimensions add up, and never average.",
        (f"{LOG_PROB}:value",),
    ),
    "missing_half": (
        "The factor 1/2 before the squared distance is missing.",
        "log N(z; mu, sigma^2) = -(z - mu)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2.",
        (f"{LOG_PROB}:value",),
    ),
    "missing_log_2pi": (
        "The constant -log(2 pi) / 2 is missing.",
        "It does not change gradients, but without it the value is no log-density, and the ELBO no bound.",
        (f"{LOG_PROB}:value",),
    ),
    "log_2pi_not_halved": (
        "log(2 pi) stands without its factor 1/2.",
        "The density has (2 pi)^(-1/2) for each dimension, so its logarithm has -log(2 pi) / 2.",
        (f"{LOG_PROB}:value",),
    ),
    "missing_normalizer": (
        "The normalizing terms -log sigma - log(2 pi) / 2 are missing.",
        "Without -log sigma nothing stops sigma from growing: the exponent alone always prefers a larger one.",
        (f"{LOG_PROB}:value",),
    ),
    "missing_log_sigma": (
        "The term -log sigma is missing.",
        "The density is divided by sigma, so its logarithm has -log sigma; log_sigma is given.",
        (f"{LOG_PROB}:value",),
    ),
    "log_sigma_halved": (
        "The term -log sigma has a factor 1/2 that belongs to a log-variance.",
        "log sqrt(sigma^2) = log sigma: with log_sigma given, subtract it whole.",
        (f"{LOG_PROB}:value",),
    ),
    "log_sigma_doubled": (
        "The term -log sigma is counted twice.",
        "-log(sigma^2) / 2 = -log sigma: either halve the log-variance or subtract log_sigma once.",
        (f"{LOG_PROB}:value",),
    ),
    "wrong_sign": (
        "A sign in the log-density is wrong.",
        "All three terms are subtracted: -(z - mu)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2.",
        (f"{LOG_PROB}:value",),
    ),
    "density_negated": (
        "The sign of the whole log-density is flipped.",
        "Return log p, not -log p; the loss takes its minus sign at the very end.",
        (f"{LOG_PROB}:value",),
    ),
    "density_for_log_density": (
        "The density is returned in place of its logarithm.",
        "Write the logarithm directly; a product of 784 densities is zero in floating point.",
        (f"{LOG_PROB}:value",),
    ),
    "density_underflows": (
        "The logarithm of an exponential underflows far from the mean.",
        "exp(-k^2 / 2) is 0 in float32 from k = 15 on, and its logarithm -infinity. Simplify log(exp(a)) to a on paper.",
        (f"{LOG_PROB}:extremes",),
    ),
    "sigma_not_squared": (
        "The squared distance is divided by sigma in place of sigma squared.",
        "The exponent is ((z - mu) / sigma)^2 / 2.",
        (f"{LOG_PROB}:value",),
    ),
    "difference_not_squared": (
        "The distance z - mu is not squared.",
        "The exponent is ((z - mu) / sigma)^2 / 2.",
        (f"{LOG_PROB}:value",),
    ),
    "standard_normal_density": (
        "The density of N(0, 1) is returned, whatever mu and sigma are.",
        "Use this distribution's own mu and sigma.",
        (f"{LOG_PROB}:value",),
    ),
    "log_base_ten": (
        "The logarithm has the wrong base.",
        "Nats use the natural logarithm: torch.log, math.log.",
        (f"{LOG_PROB}:value",),
    ),
    "wrong_constant": (
        "The constant term is wrong.",
        "For each dimension it is -log(2 pi) / 2 with the natural logarithm, about -0.9189.",
        (f"{LOG_PROB}:value",),
    ),
    "imprecise_constant": (
        "pi is rounded too much.",
        "Use math.pi or torch.pi: over 784 dimensions the third decimal adds up.",
        (f"{LOG_PROB}:value",),
    ),
    "state_drifts": (
        "The result changes from call to call.",
        "Calls must not change the object: compute everything from the arguments and leave attributes alone.",
        (f"{LOG_PROB}:value",),
    ),
    "log_prob_without_gradient": (
        "log_prob is cut off from its inputs.",
        "Training needs gradients with respect to z, mu and log_sigma: no detach, no no_grad, no .item().",
        (f"{LOG_PROB}:gradient",),
    ),
}
