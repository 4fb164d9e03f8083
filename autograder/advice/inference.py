"""Mistakes in `VariationalInference`, one table for both of its checks: name, (title, advice, the points it costs)."""

__all__ = ["INFERENCE"]

ELBO, BETA = "vae.elbo", "vae.beta_elbo"

INFERENCE = {
    "mean_over_pixels": (
        "log p(x|z) is averaged over pixels where it has to be summed.",
        "Independent pixels multiply, so their log-probabilities add up. An average makes the KL 784 times too heavy.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "mean_over_latents": (
        "The KL is averaged over latents where it has to be summed.",
        "The latents of a diagonal Gaussian are independent: their KLs add up.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "log_px_negated": (
        "log_px has the wrong sign.",
        "px.log_prob(x) is the log-probability already, below zero for binary pixels; binary cross-entropy is its negative.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "batch_mean_of_log_px": (
        "log_px is averaged over the batch before anything else.",
        "Keep one value for each example; only the loss takes the mean over the batch.",
        (f"{ELBO}:log_px",),
    ),
    "batch_mean_of_kl": (
        "The KL is averaged over the batch before anything else.",
        "Keep one value for each example; only the loss takes the mean over the batch.",
        (f"{ELBO}:kl",),
    ),
    "batch_sum": (
        "A diagnostic is summed over the batch.",
        "Sum over pixels or latents and keep the batch dimension.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "squared_error_for_log_px": (
        "A squared error stands where log p(x|z) belongs.",
        "The pixels are Bernoulli: use px.log_prob(x).",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "probability_for_log_px": (
        "p(x|z) stands where its logarithm belongs.",
        "Stay with logarithms: the probability of 784 pixels is zero in floating point.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "density_underflows": (
        "The product over 784 pixels underflows to zero before the logarithm is taken.",
        "Add up log-probabilities in place of multiplying probabilities.",
        (f"{ELBO}:log_px", f"{BETA}:objective", f"{BETA}:gradient"),
    ),
    "decodes_the_mean": (
        "log p(x|z) is taken at the mean of q(z|x), not at a sample.",
        "The ELBO is an expectation over z ~ q(z|x): use the px that the model made from the sample z.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "bits_for_nats": (
        "These are bits, and nats are asked for.",
        "All logarithms in this course are natural: do not divide by log 2.",
        (f"{ELBO}:log_px", f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "log_px_and_kl_swapped": (
        "log_px and kl have changed places in the diagnostics.",
        "Each value belongs under its own name.",
        (f"{ELBO}:log_px", f"{ELBO}:kl"),
    ),
    "beta_on_reconstruction": (
        "beta multiplies the reconstruction where it belongs to the KL.",
        "beta-ELBO = log_px - beta * kl (Higgins et al. 2017).",
        (f"{BETA}:objective",),
    ),
    "beta_on_everything": (
        "beta multiplies both terms.",
        "beta-ELBO = log_px - beta * kl: only the KL is weighted.",
        (f"{BETA}:objective",),
    ),
    "beta_inside_kl": (
        "The diagnostic kl contains beta.",
        "kl is the KL itself, whatever beta is; beta appears in the loss alone.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "beta_in_elbo": (
        "elbo contains beta.",
        "The ELBO is log_px - kl, a bound on log p(x) for any beta; beta appears in the loss alone.",
        (f"{ELBO}:elbo",),
    ),
    "elbo_and_beta_elbo_swapped": (
        "elbo and beta_elbo are swapped.",
        "The loss takes beta_elbo = log_px - beta * kl; the diagnostic elbo = log_px - kl has no beta.",
        (f"{ELBO}:elbo", f"{BETA}:objective"),
    ),
    "elbo_is_log_px": (
        "elbo is log_px alone; the KL is missing.",
        "elbo = log_px - kl.",
        (f"{ELBO}:elbo",),
    ),
    "elbo_is_kl": (
        "elbo is the KL alone; log_px is missing.",
        "elbo = log_px - kl.",
        (f"{ELBO}:elbo",),
    ),
    "elbo_negated": (
        "elbo has the wrong sign.",
        "elbo = log_px - kl; only the loss takes a minus sign.",
        (f"{ELBO}:elbo",),
    ),
    "kl_added": (
        "The KL is added where it has to be subtracted.",
        "ELBO = log_px - kl: the KL is the price of an approximate posterior away from the prior.",
        (f"{ELBO}:elbo", f"{BETA}:objective"),
    ),
    "kl_sign_flipped": (
        "The KL has the wrong sign.",
        "kl = log q(z|x) - log p(z), q first, and its mean is never negative.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "kl_reversed": (
        "This is KL(p||q), and KL(q||p) is asked for.",
        "The expectation is over z ~ q(z|x), and q stands first: kl_divergence(qz, pz).",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "log_variance_for_log_sigma": (
        "The closed-form KL reads log_sigma as a log-variance.",
        "With log_sigma given, sigma^2 = exp(2 log_sigma) and log sigma^2 = 2 log_sigma.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "variance_for_standard_deviation": (
        "The closed-form KL has sigma where it needs sigma squared.",
        "KL = sum of (sigma^2 + mu^2 - 1) / 2 - log sigma.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "missing_half_in_kl": (
        "The KL is twice what it should be: a factor 1/2 is missing.",
        "KL = sum of (sigma^2 + mu^2 - 1 - log sigma^2) / 2.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "kl_without_log_sigma": (
        "The closed-form KL lacks its term -log sigma.",
        "KL = sum of (sigma^2 + mu^2 - 1) / 2 - log sigma.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "prior_missing_in_kl": (
        "The KL lacks the prior.",
        "kl = log q(z|x) - log p(z).",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "posterior_missing_in_kl": (
        "The KL lacks the approximate posterior.",
        "kl = log q(z|x) - log p(z).",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "kl_terms_added": (
        "log q(z|x) and log p(z) are added where their difference is needed.",
        "kl = log q(z|x) - log p(z).",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "kl_clamped": (
        "The KL's estimate is cut off at zero.",
        "One sample of log q - log p may be negative; cutting it off makes the estimate too large on average.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "constant_in_kl": (
        "The KL is off by a constant.",
        "KL = sum of (sigma^2 + mu^2 - 1) / 2 - log sigma: the -1 belongs to each latent, and log 2 pi cancels.",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "sigma_for_log_sigma": (
        "The closed-form KL takes sigma where log sigma belongs.",
        "With sigma given, the terms are sigma^2 and -log(sigma^2).",
        (f"{ELBO}:kl", f"{BETA}:gradient"),
    ),
    "prior_counted_twice": (
        "log p(z) is counted twice.",
        "The KL contains log p(z) already: elbo = log_px - kl.",
        (f"{ELBO}:elbo",),
    ),
    "no_grad_does_not_detach": (
        "`with torch.no_grad():` does not detach tensors that are finished already.",
        "Nothing is lost here. To drop the graph of a finished tensor call .detach() on it.",
        (),
    ),
    "batch_mean_before_subtracting": (
        "One of the two terms is averaged over the batch before the subtraction.",
        "Subtract example by example, log_px - kl, both of shape (batch,); the loss takes the mean afterwards.",
        (f"{ELBO}:elbo",),
    ),
    "batch_mean_of_elbo": (
        "elbo is averaged over the batch.",
        "The diagnostics keep one value for each example; the loss takes the mean.",
        (f"{ELBO}:elbo",),
    ),
    "silent_broadcasting": (
        "A (batch,) and a (batch, 1) tensor broadcast to (batch, batch).",
        "Both terms must have shape (batch,): each sums over all dimensions but the first, without keepdim.",
        (f"{ELBO}:kl", f"{ELBO}:elbo"),
    ),
    "scalar_diagnostics": (
        "The diagnostics are single numbers.",
        "Return one value for each example, shape (batch,); plots and averages are made from them later.",
        (f"{ELBO}:log_px", f"{ELBO}:kl", f"{ELBO}:elbo"),
    ),
    "not_summed": (
        "Dimensions are left that have to be summed.",
        "Sum over all dimensions but the first: `reduce` does.",
        (f"{ELBO}:log_px", f"{ELBO}:kl"),
    ),
    "wrong_shape": (
        "A diagnostic has the wrong shape.",
        "Each has the shape (batch,).",
        (f"{ELBO}:log_px",),
    ),
    "loss_not_negated": (
        "The loss is not negated: minimizing it makes the bound worse.",
        "Optimizers go downhill: loss = -beta_elbo.mean().",
        (f"{BETA}:objective",),
    ),
    "loss_summed": (
        "The loss is summed over the batch.",
        "Take the mean over examples, so that the step size does not depend on the batch size.",
        (f"{BETA}:objective",),
    ),
    "loss_not_reduced": (
        "The loss has a value for each example.",
        "backward() needs a single number: loss = -beta_elbo.mean().",
        (f"{BETA}:objective",),
    ),
    "wrong_loss_shape": (
        "The loss is not a single number.",
        "Reduce over pixels and latents by a sum, over the batch by a mean.",
        (f"{BETA}:objective",),
    ),
    "kl_left_out": (
        "The KL is left out of the loss.",
        "loss = -(log_px - beta * kl).mean(). Without the KL this is an autoencoder.",
        (f"{BETA}:objective",),
    ),
    "log_px_left_out": (
        "log_px is left out of the loss.",
        "loss = -(log_px - beta * kl).mean().",
        (f"{BETA}:objective",),
    ),
    "beta_ignored": (
        "beta is ignored in the loss.",
        "loss = -(log_px - beta * kl).mean(), with the beta that the object was made with.",
        (f"{BETA}:objective",),
    ),
    "beta_squared": (
        "beta enters the loss twice, as beta squared.",
        "Weight the KL with beta once.",
        (f"{BETA}:objective",),
    ),
    "beta_twice": (
        "The KL is subtracted twice, once with and once without beta.",
        "loss = -(log_px - beta * kl).mean(); do not start from elbo.",
        (f"{BETA}:objective",),
    ),
    "beta_divides": (
        "The KL is divided by beta.",
        "beta-ELBO = log_px - beta * kl.",
        (f"{BETA}:objective",),
    ),
    "loss_without_graph": (
        "The loss carries no gradient.",
        "Nothing on the way to the loss may be detached, under no_grad, or turned into a number by .item().",
        (f"{BETA}:gradient",),
    ),
    "kl_without_gradient": (
        "The KL in the loss carries no gradient, or a wrong one.",
        "Nothing in the KL may be detached; a fresh sample for it needs rsample(), not sample().",
        (f"{BETA}:gradient",),
    ),
    "log_px_without_gradient": (
        "log_px in the loss does not train both encoder and decoder.",
        "Do not detach log_px, and decode the sample as the model returns it.",
        (f"{BETA}:gradient",),
    ),
    "diagnostics_carry_the_graph": (
        "The diagnostics still carry the graph.",
        "Append .detach(): values that are kept for plots would hold the memory of every batch's forward pass.",
        (f"{ELBO}:detached",),
    ),
    "state_drifts": (
        "The result changes from call to call.",
        "forward must not change the object: leave self.beta and other attributes alone.",
        (f"{ELBO}:elbo", f"{BETA}:objective"),
    ),
    "changes_its_inputs": (
        "x is changed in place.",
        "Methods ending in an underscore and += overwrite their tensor; make a new one.",
        (f"{ELBO}:log_px", f"{BETA}:gradient"),
    ),
    "flat_pixels_only": (
        "This sums over one dimension only.",
        "Images have shape (batch, 1, 28, 28): sum over all dimensions but the first, as `reduce` does.",
        (),
    ),
}
