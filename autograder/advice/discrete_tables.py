"""What the checks of unit 04's recorded tables say: the mistakes by name, and three levels of hints."""

from __future__ import annotations

from autograder.advice.experiments import MISTAKES as SHARED
from autograder.advice.experiments import TABLE, TOGETHER, VALUES

__all__ = ["RACE", "TABLE_HINTS", "TWENTY"]

# The mistakes of any table of trained models, in the words of unit 01.
TRAINED = (
    "diverged",
    "same_run_twice",
    "mean_over_pixels",
    "sum_over_batch",
    "untrained",
    "reconstruction_error_as_log_px",
    "kl_negated",
    "loss_as_elbo",
    "log_px_as_elbo",
    "kl_added",
)
KINDS = {TABLE: "table", VALUES: "values"}

RACE = {
    "not_finite": ("A row holds NaN or infinity.", "Look at that estimator's draws: is there a logarithm of zero?", ("table", "truth")),
    "same_run_twice": (
        "Two estimators have exactly the same numbers.",
        "Hand the estimator of the loop to `gradient_draws`, and append a new dictionary for each.",
        ("table",),
    ),
    "negative_variance": (
        "A variance is negative.",
        "Are the two results of `bias_and_variance` in their columns? The squared bias comes first.",
        ("table",),
    ),
    "enumeration_varies": (
        "Enumeration has a variance or a bias: it is compared with something else than itself.",
        "The exact gradient is one draw of the enumeration, for the same f and logits.",
        ("truth",),
    ),
    "bias_where_there_is_none": (
        "An unbiased estimator has a squared bias far above its sampling noise.",
        "Compare with the exact gradient of the same f, logits and `wrt`, averaged over at least 200 draws; then look at 2a and 2b again.",
        ("truth",),
    ),
    "no_bias_where_there_is_one": (
        "The relaxed estimators show no bias, and they have one.",
        "Compare with the exact gradient of the discrete problem, not with the mean of the draws.",
        ("truth",),
    ),
}

TWENTY = {name: (*SHARED[name][:2], tuple(KINDS[k] for k in SHARED[name][3] if k != TOGETHER)) for name in TRAINED} | {
    "kl_above_its_largest_value": (
        "The KL is above 20 log 10 = 46.05 nats, and it cannot be.",
        "No q is further from the uniform prior than one that is certain of all latents: L log C. Use the closed form of 1a.",
        ("values",),
    ),
}

TABLE_HINTS = {
    "discrete.race": (
        "Every row of the table is one estimator of the same gradient. What differs between the rows is the estimator; f, logits "
        "and the exact gradient stay.",
        "Start with `rows = []`. In the loop over `estimators.items()`: `draws = gradient_draws(estimator, f_16, logits_16, "
        'draws=400, wrt="logits")`, then `bias_and_variance(draws, exact)`.',
        'rows.append({"estimator": name, "squared_bias": float(squared_bias), "variance": float(variance)}); after the loop '
        "race_results = pd.DataFrame(rows).",
    ),
    "discrete.twenty": (
        "Every row is one trained model with 20 latents. What differs between the rows is the estimator of the gradient that it "
        "was trained with.",
        "Two estimators are enough, for example leave-one-out and straight-through. `train_and_measure(estimator)` makes a new model, "
        "trains it, and returns it together with what it measured.",
        'twenty_models[name], measured = train_and_measure(estimators[name]); rows.append({"estimator": name, **measured})',
    ),
}
