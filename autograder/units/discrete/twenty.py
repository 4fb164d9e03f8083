"""Exercise 5: models with 20 latents in a table. What must be true of honest numbers, whatever they are."""

from __future__ import annotations

import math

from autograder.exercises.exercise import Exercise, Finding, Mistake, failed
from autograder.exercises.results import MEASURED, MISTAKES, PREAMBLE, ROUNDING, VARIANTS, Columns, judge_table, judge_values, law, unsound
from autograder.exercises.tables import columns, probe

SOLUTION = '''\
twenty_results = pd.DataFrame([
    row(-80.3, 40.2, estimator="leave-one-out"), row(-85.1, 38.4, estimator="straight-through"),
    row(-90.3, 30.2, estimator="Gumbel-softmax"),
])
'''
LARGEST = 20 * math.log(10)  # the KL of a code that is certain of 20 latents of ten classes


def table(found: Columns) -> Finding:
    """Two estimators or more, and each row from a training of its own."""
    number = len(set(found["estimator"]))
    return judge_table(found, ("estimator",), number >= 2, "two different estimators or more", str(number))


def values(found: Columns) -> Finding:
    """Sound rows, and a KL that 20 latents can hold."""
    largest = max(found["kl"])
    if not unsound(found) and largest > LARGEST + ROUNDING:
        return failed("values", f"A KL of {largest:.1f} nats: 20 latents of 10 classes hold {LARGEST:.2f} at most.",
                      "kl_above_its_largest_value", f"kl <= {LARGEST:.2f}", f"{largest:.2f}")
    return judge_values(found)


EXERCISES = (
    Exercise(name="discrete.twenty", target="twenty_results", title="A table of models with 20 latents", read_on="Lecture 04, section 10",
        solution=SOLUTION, preamble=PREAMBLE, probe=probe, draw=lambda rng: columns("twenty_results", ("estimator",), MEASURED),
        laws=(law("table", 1, table), law("values", 2, values)),
        mistakes=(
            *MISTAKES,
            Mistake("kl_above_its_largest_value", "The KL is above 20 log 10 = 46.05 nats, and it cannot be.",
                    "No q is further from the uniform prior than one that is certain of all latents: L log C. Use the closed form of 1a.",
                    "TARGET['kl'] = 60.0\nTARGET['elbo'] = TARGET.log_px - TARGET.kl"),
        ), variants=VARIANTS,
        hints=(
            "Every row is one trained model with 20 latents. What differs between the rows is the estimator of the gradient that it was "
            "trained with.",
            "Two estimators are enough, for example leave-one-out and straight-through. `train_and_measure(estimator)` makes a new model, "
            "trains it, and returns it together with what it measured.",
            'twenty_models[name], measured = train_and_measure(estimators[name]); rows.append({"estimator": name, **measured})',
        )),
)
