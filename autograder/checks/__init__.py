"""Checks: draw, judge, hints and the mistakes that each can name. One module a topic; `CHECKS` lists its checks."""

# The order of the exercises, unit by unit.
ORDER = (
    "vae.gaussian_rsample",
    "vae.gaussian_log_prob",
    "vae.bernoulli",
    "vae.elbo",
    "vae.beta_elbo",
    "vae.gaussian_kl",
    "vae.pathwise_gradient",
    "vae.score_gradient",
    "vae.depth",
    "vae.classes",
    "vae.latents",
    "vae.autoencoder",
    "vae.beta_sweep",
    "iwae.importance_estimate",
    "iwae.normalized_weights",
    "iwae.effective_sample_size",
    "iwae.over_samples",
    "iwae.log_weights",
    "iwae.bound",
    "iwae.bounds_table",
    "iwae.log_likelihood",
    "iwae.active_units",
    "iwae.resample",
    "iwae.dreg",
)
