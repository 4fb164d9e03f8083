"""Exercises 3 and 4: recorded experiments in five tables.

Trainings are short and random, so each demand has room: the differences between settings that are demanded here are several times
smaller than what twenty seeds of the shortest training (ELBOLAB_FAST=1) gave.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from autograder.exercises.exercise import Exercise, Finding, Mistake, failed, passed
from autograder.exercises.results import MEASURED, MISTAKES, PREAMBLE, ROUNDING, VARIANTS, Columns, judge_table, judge_values, law, unsound
from autograder.exercises.tables import columns, probe

BETAS = (0.1, 1.0, 10.0, 50.0)
Judge = Callable[[Columns], Finding]


def needs(expected: str, enough: Callable[..., bool], *settings: str) -> Judge:
    """Whether the settings' values are enough: ``enough(*values)``, one list for each setting."""

    def judge(table: Columns) -> Finding:
        found = [table[name] for name in settings]
        shown = [" ".join(f"{v:g}" if isinstance(v, float) else v for v in row) for row in sorted(set(zip(*found)))]
        return judge_table(table, settings, enough(*found), expected, f"rows for {', '.join(shown)}")

    return judge


def widths(latents: list[float]) -> bool:
    whole = {width for width in latents if width >= 1 and width == round(width)}
    return len(whole) >= 4 and min(whole) <= 2 and max(whole) >= 20


NETWORKS = needs("at least 3 different networks", lambda hidden, activation: len(set(zip(hidden, activation))) >= 3, "hidden", "activation")
CLASSES = needs("rows for 2, 4 and 10 classes", lambda classes: {2, 4, 10} <= set(classes), "classes")
WIDTHS = needs("at least 4 numbers of latents, from 1 or 2 up to 20 or more", widths, "latents")
TWO_BETAS = needs("rows for beta = 0 and beta = 1", lambda beta: {0, 1} <= set(beta), "beta")
FOUR_BETAS = needs("rows for beta = 0.1, 1, 10 and 50", lambda beta: set(BETAS) <= {round(b, 6) for b in beta}, "beta")


def by_beta(table: Columns) -> dict[float, dict[str, float]]:
    """The rows by beta; the last one where it stands twice."""
    return {round(row["beta"], 6): row for row in (dict(zip(table, values)) for values in zip(*table.values()))}


def fault_in(table: Columns, behavior: str, *judges: Callable[[Columns], Finding | None]) -> Finding | None:
    """The first that does not hold of what a behavior stands on."""
    return next((replace(found, behavior=behavior) for found in (judge(table) for judge in judges) if found and not found.passed), None)


def active_units(table: Columns) -> Finding:
    """Whole numbers between 0 and latents, and not 0 where the code carries nats."""
    for latents, kl, active in zip(table["latents"], table["kl"], table["active_units"]):
        for wrong, mistake, message in (
            (not math.isfinite(active), None, "A number of active units is not finite."),
            (active % 1 != 0, "variances_not_counted", "active_units counts latents, so it is a whole number."),
            (active > latents, "active_units_over_images", "There are more active units than latents."),
            (active < 0 or (active == 0 and kl > 3), None, f"The KL is {kl:.1f} nats, so some latent must be active."),
        ):
            if wrong:
                expected, got = "a whole number from 0 to latents, above 0 for a large KL", f"{active:g} with {latents:g} latents"
                return failed("active_units", message, mistake, expected, got)
    return passed("active_units", "Whole numbers, none above the number of latents.")


def autoencoder_values(table: Columns) -> Finding:
    """A whole table with sound rows, and loss = -(log_px - beta kl): at beta = 0 it is -log_px."""
    if fault := fault_in(table, "values", TWO_BETAS, judge_values):
        return fault
    rows = by_beta(table)
    off = {beta: row for beta, row in rows.items() if abs(row["loss"] + row["log_px"] - beta * row["kl"]) > ROUNDING}
    if not off:
        return passed("values", "The loss is the negative beta-ELBO: at beta = 0 it is -log_px.")
    beta, row = min(off.items())
    name, message = None, "loss must be -(log_px - beta kl), from the same evaluation as the rest of its row."
    if beta_zero(table).misconception == "beta_not_used":  # two models trained with the same beta cannot have the losses of two
        name = "beta_not_used"
    elif all(abs(row["loss"] - row["log_px"] + beta * row["kl"]) <= ROUNDING for beta, row in rows.items()):
        name, message = "loss_not_negated", "The loss has the wrong sign."
    elif all(abs(row["loss"] + row["elbo"]) <= ROUNDING for row in rows.values()):
        name, message = "loss_with_the_wrong_beta", "The loss of beta = 0 contains the KL."
    return failed("values", message, name, f"loss = {beta * row['kl'] - row['log_px']:.2f} at beta = {beta:g}", f"loss = {row['loss']:.2f}")


def falls(name: str, needed: Judge, betas: Sequence[float], ratio: float, gap: float, better: float, above: float) -> Judge:
    """The KL falls as beta grows, and log_px with it: demanded from end to end, with room between neighbors.

    Arguments:
        ratio, gap: by how much the first KL is larger than the last, at least. better: the same of log_px.
        above: how far the first ELBO may be above the last.
    """

    def judge(table: Columns) -> Finding:
        if fault := fault_in(table, name, needed, unsound):
            return fault
        rows = [by_beta(table)[beta] for beta in betas]
        kls, log_px = ([row[column] for row in rows] for column in ("kl", "log_px"))
        for wrong, mistake, message in (
            (kls[-1] > kls[0] + 1, "betas_swapped", "The KL grows with beta in your table."),
            (kls[0] < max(ratio * kls[-1], kls[-1] + gap), "beta_not_used", "The KL does not change with beta."),
            (any(b > 1.1 * a + 0.5 for a, b in itertools.pairwise(kls)), None, "The KL must fall as beta grows."),
            (log_px[0] < log_px[-1] + better, None, "A cheap code must reconstruct better than a dear one."),
            (log_px[0] - kls[0] > log_px[-1] - kls[-1] + above, None, "The ELBO is what beta = 1 trains; beta = 0 cannot be far above it."),
        ):
            if wrong:
                got = "; ".join(f"kl {kl:.2f}, log_px {lp:.1f} at beta = {beta:g}" for kl, lp, beta in zip(kls, log_px, betas))
                return failed(name, message, mistake, "kl and log_px fall as beta grows", got)
        return passed(name, "A dearer code is shorter and reconstructs worse.")

    return judge


# After the shortest training (100 steps) the KL at beta = 0 was 1.7 to 10 times that at beta = 1, 5 times in the median; after 1,500
# steps far more. Little is demanded here, because the loss of the row shows a wrong beta exactly.
beta_zero = falls("beta_zero", TWO_BETAS, (0, 1), 1.1, 0.2, -math.inf, 10.0)
# The KL was 5 to 10 nats at beta = 0.1 and 0.0 at 50, and log_px 14 to 34 nats apart. Models that all had beta = 1 have KLs within 2.5
# times of each other.
trend = falls("trend", FOUR_BETAS, BETAS, 2.5, 1.0, 3.0, math.inf)

UNITS = (
    Mistake("variances_not_counted", "Variances are recorded where latents should be counted.",
            "Count the latents whose mean varies: `(means.var(dim=0) > 0.01).sum()`.", "TARGET['active_units'] = [0.5, 0.3, 0.2, 0.1]"),
    Mistake("active_units_over_images", "More units are active than there are latents: images were counted.",
            "Take the means' variance over the images, dim=0: one number for each latent.", "TARGET['active_units'] = 400"),
)
BETA = (
    Mistake("beta_elbo_as_elbo", "The beta-ELBO is recorded as the ELBO.",
            "The ELBO is log_px - kl whatever beta was trained with.", "TARGET['elbo'] = TARGET.log_px - TARGET.beta * TARGET.kl"),
    Mistake("beta_not_used", "All models seem to be trained with the same beta.",
            "Hand the beta of the loop to the training: `train_and_measure(model, beta=beta)`, with a new model for each.",
            "TARGET['kl'] = [5.0, 5.1, 4.8, 5.2][: len(TARGET)]\nTARGET['log_px'] = -160.3\n"
            "TARGET['elbo'] = TARGET.log_px - TARGET.kl\nTARGET['loss'] = -TARGET.elbo"),
    Mistake("betas_swapped", "The rows are labelled with the wrong beta: a larger one makes the KL smaller.",
            "Write each row in the pass of the loop that trains its model.", "TARGET['beta'] = TARGET.beta.to_numpy()[::-1]"),
)
LOSS = (
    Mistake("loss_not_negated", "The loss has the wrong sign.", "loss = -(log_px - beta * kl): what an optimizer makes small.",
            "TARGET['loss'] = -TARGET.loss"),
    Mistake("loss_with_the_wrong_beta", "The loss at beta = 0 contains the KL.",
            "Evaluate with the beta that the model was trained with: at beta = 0 the loss is -log_px.", "TARGET['loss'] = -TARGET.elbo"),
)

LOOP = (
    "Every row of the table is one trained model. What differs between the rows is what the exercise changes; the rest stays.",
    "Start with `rows = []`. In the loop: build a new model, call `train_and_measure`, and append a dictionary with the "
    "setting and the numbers. After the loop: `pd.DataFrame(rows)`.",
)


def experiment(name, target, title, rows, laws, hints, settings=(), texts=(), mistakes=(), variants=None) -> Exercise:
    """One table's exercise: its right rows as source, its columns of text, and its columns of numbers besides the measured ones."""
    return Exercise(
        name=name, target=target, title=title, read_on="Lecture 01, what the KL does", probe=probe, preamble=PREAMBLE,
        solution=f"{target} = pd.DataFrame([{', '.join(f'row({r})' for r in rows)}])\n",
        draw=lambda rng: columns(target, texts, (*settings, *MEASURED)), laws=laws, mistakes=(*MISTAKES, *mistakes),
        variants=VARIANTS | (variants or {}), hints=hints,
    )


EXERCISES = (
    experiment(
        "vae.depth", "depth_results", "A table of networks of different depth",
        ('-170.1, 4.0, hidden="128", activation="ReLU"', '-168.3, 4.2, hidden="256-128", activation="ReLU"',
         '-165.2, 5.1, hidden="256-128", activation="Tanh"'),
        (law("table", 1, NETWORKS), law("values", 2, judge_values)),
        (*LOOP, "for hidden, activation in [((256, 128), nn.ReLU), ((256, 128), nn.Tanh), ((128,), nn.ReLU)]: "
         "model = VariationalAutoencoder(IMAGE, latent_features=2, hidden=hidden, activation=activation); then "
         'rows.append({"hidden": "-".join(map(str, hidden)), "activation": activation.__name__, **train_and_measure(model)}).'),
        texts=("hidden", "activation"),
        variants={"tuples and classes": "from torch import nn\nTARGET['hidden'] = [(128,), (256, 128), (256, 128)]\n"
                                        "TARGET['activation'] = [nn.ReLU, nn.ReLU, nn.Tanh]"},
    ),
    experiment(
        "vae.classes", "class_results", "A table for 2, 4 and 10 classes",
        ("-120.4, 5.2, classes=2", "-130.9, 4.3, classes=4", "-160.2, 4.1, classes=10"),
        (law("table", 1, CLASSES), law("values", 1, judge_values)),
        (*LOOP, "for classes in ([3, 7], [0, 1, 4, 9], list(range(10))): load the data with classes=classes, build a new model, and "
         'rows.append({"classes": len(classes), **train_and_measure(model, data=data)}).'),
        settings=("classes",),
    ),
    experiment(
        "vae.latents", "latent_results", "A table of numbers of latents",
        ("-180.2, 3.0, latents=1, active_units=1", "-160.8, 5.1, latents=2, active_units=2",
         "-110.3, 14.2, latents=10, active_units=10", "-109.7, 15.3, latents=20, active_units=13"),
        (law("table", 1, WIDTHS), law("values", 1, judge_values), law("active_units", 1, active_units)),
        (*LOOP, "After the training: means = model.posterior(digits.validation.images).mean, of shape (images, latents); then "
         'int((means.var(dim=0) > 0.01).sum()) is "active_units".'),
        settings=("latents", "active_units"), mistakes=UNITS,
    ),
    experiment(
        "vae.autoencoder", "autoencoder_results", "A table of beta = 0 and beta = 1", ("-150.3, 30.1, beta=0", "-160.4, 5.2, beta=1"),
        (law("values", 1, autoencoder_values), law("beta_zero", 1, beta_zero)),
        ("Look at the beta-ELBO and put beta = 0 into it. Which term of the loss is left, and who keeps the code small then?",
         "Loop over beta in (0, 1) with a new model for each, and hand beta to `train_and_measure`: it returns all columns but `beta`.",
         "autoencoder_models[beta] = VariationalAutoencoder(IMAGE, latent_features=2); then "
         'rows.append({"beta": beta, **train_and_measure(autoencoder_models[beta], beta=beta)}).'),
        settings=("beta", "loss"), mistakes=(*BETA, *LOSS),
    ),
    experiment(
        "vae.beta_sweep", "beta_results", "A table of four betas",
        ("-155.2, 9.3, beta=0.1", "-160.4, 5.2, beta=1", "-190.1, 1.1, beta=10", "-206.3, 0.01, beta=50"),
        (law("table", 1, FOUR_BETAS), law("values", 1, judge_values), law("trend", 1, trend)),
        ("The same loop as in 4a with other betas. Which number is the ELBO, and does it know about beta?",
         "Take `elbo`, `log_px` and `kl` as `train_and_measure(model, beta=beta)` returns them; do not compute the ELBO from the loss.",
         'for beta in (0.1, 1, 10, 50): a new model, then rows.append({"beta": beta, **train_and_measure(model, beta=beta)}).'),
        settings=("beta",), mistakes=BETA, variants={"setting as index": "TARGET = TARGET.set_index('beta')"},
    ),
)
