"""What the checks of the recorded experiments say: the mistakes by name, and three levels of hints."""

from __future__ import annotations

from autograder.verdict import Misconception

__all__ = ["HINTS", "misconceptions"]

TABLES = ("vae.depth", "vae.classes", "vae.latents", "vae.autoencoder", "vae.beta_sweep")
WITH_BETA = ("vae.autoencoder", "vae.beta_sweep")

# Each check's behaviors: (the table as a whole, each row by itself, what the rows say together).
BEHAVIORS = {
    "vae.depth": ("table", "values", None),
    "vae.classes": ("table", "values", None),
    "vae.latents": ("table", "values", None),
    "vae.autoencoder": ("values", "values", "beta_zero"),
    "vae.beta_sweep": ("table", "values", "trend"),
}
TABLE, VALUES, TOGETHER = range(3)

# name: (title, advice, the checks that can name it, the kinds of behaviors that it costs)
MISTAKES = {
    "diverged": (
        "A training diverged: its numbers are NaN or infinite.",
        "Such a row measures nothing. Lower the learning rate, look for an exp of large numbers, and train a new model.",
        TABLES, (TABLE, VALUES, TOGETHER),
    ),
    "same_run_twice": (
        "The same run is recorded under different settings.",
        "Two trainings never give the same digits. Build and train a new model inside the loop, and append a new dictionary for each.",
        TABLES, (TABLE, TOGETHER),
    ),
    "mean_over_pixels": (
        "Values are averaged over the pixels.",
        "The log-likelihood of an image is the sum over its 784 pixels. Sum over pixels, then average over images; `evaluate` does that.",
        TABLES, (VALUES, TOGETHER),
    ),
    "sum_over_batch": (
        "Values are summed over the images.",
        "Record means over the validation images, in nats an image; otherwise the numbers depend on how many images there are.",
        TABLES, (VALUES, TOGETHER),
    ),
    "untrained": (
        "A row was measured on a network that has not been trained.",
        "An untrained network has log p(x|z) of about -543 nats (each pixel at one half). Measure the model that was trained, "
        "after its training, and look whether `fit` stopped early because the loss was not finite.",
        TABLES, (VALUES, TOGETHER),
    ),
    "reconstruction_error_as_log_px": (
        "The reconstruction error stands where log_px belongs: its sign is turned.",
        "log p(x|z) is the logarithm of a probability, so it is negative. Record it as it is, without a minus.",
        TABLES, (VALUES, TOGETHER),
    ),
    "kl_negated": (
        "The KL has the wrong sign.",
        "KL = E[log q(z|x) - log p(z)] is never negative.",
        TABLES, (VALUES, TOGETHER),
    ),
    "beta_elbo_as_elbo": (
        "The beta-ELBO is recorded as the ELBO.",
        "The ELBO is log_px - kl whatever beta was trained with. The beta-ELBO of different betas cannot be compared.",
        WITH_BETA, (VALUES,),
    ),
    "loss_as_elbo": (
        "The loss is recorded as the ELBO: its sign is turned.",
        "The loss is minus the objective. Record diagnostics' `elbo`, which is negative here.",
        TABLES, (VALUES,),
    ),
    "log_px_as_elbo": (
        "log_px is recorded as the ELBO: the KL is left out.",
        "ELBO = log_px - kl. Without the KL it is the reconstruction term only.",
        TABLES, (VALUES,),
    ),
    "kl_added": (
        "The KL is added where it should be subtracted.",
        "ELBO = log_px - kl: information in the code costs.",
        TABLES, (VALUES,),
    ),
    "variances_not_counted": (
        "Variances are recorded where latents should be counted.",
        "Compare the variance of each latent's posterior mean with 0.01 and count how many are larger: `(means.var(dim=0) > 0.01).sum()`.",
        ("vae.latents",), ("active_units",),
    ),
    "active_units_over_images": (
        "More units are active than there are latents: images were counted.",
        "The posterior means have shape (images, latents). Take their variance over the images, dim=0: one number for each latent.",
        ("vae.latents",), ("active_units",),
    ),
    "loss_not_negated": (
        "The loss has the wrong sign.",
        "loss = -(log_px - beta * kl): what an optimizer makes small.",
        ("vae.autoencoder",), (VALUES,),
    ),
    "loss_with_the_wrong_beta": (
        "The loss at beta = 0 contains the KL.",
        "Evaluate with the beta that the model was trained with: at beta = 0 the loss is -log_px.",
        ("vae.autoencoder",), (VALUES,),
    ),
    "beta_not_used": (
        "All models seem to be trained with the same beta.",
        "Hand the beta of the loop to the training: `train_and_measure(model, beta=beta)`, with a new model for each.",
        WITH_BETA, (TOGETHER,),
    ),
    "betas_swapped": (
        "The rows are labelled with the wrong beta.",
        "A larger beta makes the KL smaller. Write each row in the same pass of the loop in which its model is trained.",
        WITH_BETA, (TOGETHER,),
    ),
}

LOOP = (
    "Every row of the table is one trained model. What differs between the rows is what the exercise changes; the rest stays.",
    (
        "Start with `rows = []`. In the loop: build a new model, call `train_and_measure`, and append a dictionary with the "
        "setting and the numbers. After the loop: `pd.DataFrame(rows)`."
    ),
)
HINTS = {
    "vae.depth": (
        *LOOP,
        (
            "for hidden, activation in [((256, 128), nn.ReLU), ((256, 128), nn.Tanh), ((128,), nn.ReLU)]: "
            "model = VariationalAutoencoder(IMAGE, latent_features=2, hidden=hidden, activation=activation); then "
            'rows.append({"hidden": "-".join(map(str, hidden)), "activation": activation.__name__, **train_and_measure(model)}).'
        ),
    ),
    "vae.classes": (
        *LOOP,
        (
            "for classes in ([3, 7], [0, 1, 4, 9], list(range(10))): load the data with classes=classes, build a new model, and "
            'rows.append({"classes": len(classes), **train_and_measure(model, data=data)}).'
        ),
    ),
    "vae.latents": (
        *LOOP,
        (
            "After the training: means = model.posterior(digits.validation.images).mean, of shape (images, latents); then "
            'int((means.var(dim=0) > 0.01).sum()) is "active_units".'
        ),
    ),
    "vae.autoencoder": (
        "Look at the beta-ELBO and put beta = 0 into it. Which term of the loss is left, and who keeps the code small then?",
        "Loop over beta in (0, 1) with a new model for each, and hand beta to `train_and_measure`: it returns all columns but `beta`.",
        (
            "autoencoder_models[beta] = VariationalAutoencoder(IMAGE, latent_features=2); then "
            'rows.append({"beta": beta, **train_and_measure(autoencoder_models[beta], beta=beta)}).'
        ),
    ),
    "vae.beta_sweep": (
        "The same loop as in 4a with other betas. Which number is the ELBO, and does it know about beta?",
        "Take `elbo`, `log_px` and `kl` as `train_and_measure(model, beta=beta)` returns them; do not compute the ELBO from the loss.",
        'for beta in (0.1, 1, 10, 50): a new model, then rows.append({"beta": beta, **train_and_measure(model, beta=beta)}).',
    ),
}


def misconceptions(check: str) -> tuple[Misconception, ...]:
    """The mistakes that `check` can name."""
    return tuple(
        Misconception(name, title, advice, losses(check, kinds))
        for name, (title, advice, checks, kinds) in MISTAKES.items()
        if check in checks
    )


def losses(check: str, kinds: tuple) -> tuple[str, ...]:
    """The behaviors of `check` that a mistake costs, as ``check:behavior``, each once."""
    if kinds == (TOGETHER,) and check == "vae.autoencoder":
        kinds = (VALUES, TOGETHER)  # there the row's loss shows the wrong beta, too
    behaviors = [BEHAVIORS[check][kind] if isinstance(kind, int) else kind for kind in kinds]
    return tuple(dict.fromkeys(f"{check}:{behavior}" for behavior in behaviors if behavior))
