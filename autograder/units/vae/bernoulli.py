"""Exercise 1c: the Bernoulli log-likelihood of binary images."""

from typing import Any

import torch

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import extremes, general, gradient, value
from autograder.units.vae import PREAMBLE

SOLUTION = '''\
def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of binary x, (batch, *event), under independent Bernoullis with these logits; shape (batch,)."""
    return reduce(Bernoulli(logits=logits).log_prob(x))
'''
LOGITS, PIXELS = "logits=logits", "Bernoulli(logits=logits).log_prob(x)"


def draw(rng: torch.Generator) -> dict[str, Any]:
    def case(*shape: int, scale: float = 2.0) -> dict[str, Any]:
        return {"logits": scale * torch.randn(shape, generator=rng), "x": (torch.rand(shape, generator=rng) < 0.4).float()}

    return cases("bernoulli_log_likelihood(logits, x)", ("logits",),
                 flat=case(6, 784), images=case(5, 1, 28, 28), far=case(4, 784, scale=120.0))


MISTAKES = (
    Mistake("logits_for_probabilities", "The logits are used as if they were probabilities, or are passed through the sigmoid twice.",
            "binary_cross_entropy_with_logits wants logits.", (LOGITS, "logits=torch.sigmoid(logits)")),
    Mistake("only_the_ones", "Only the pixels that are one are counted.",
            "The dark pixels carry information, too: (1 - x) log(1 - p).", (PIXELS, "x * nn.functional.logsigmoid(logits)")),
    Mistake("arguments_swapped", "The arguments are swapped.", "The prediction comes first: binary_cross_entropy_with_logits(logits, x).",
            *((PIXELS, f"-nn.BCEWithLogitsLoss(reduction='none')(x, {given})") for given in ("logits", "logits.sigmoid()"))),
    Mistake("sigmoid_saturates", "With large logits the sigmoid is exactly 0 or 1, and its logarithm is lost.",
            "Stay with logits: binary_cross_entropy_with_logits, or Bernoulli(logits=logits).log_prob(x).",
            (LOGITS, "probs=torch.sigmoid(logits)"), (PIXELS, "(x * logits.sigmoid().log() + (1 - x) * (1 - logits.sigmoid()).log())")),
    Mistake("not_summed", "Dimensions are left that have to be summed.", "Sum over all but the first, as flatten(1).sum(1) does.",
            ("reduce(", "("), ("reduce(", "(lambda v: v.sum(-1))("), ("reduce(", "(lambda v: v.sum(1))(")),
    Mistake("bernoulli_negated", "The sign is wrong: this is the cross-entropy, and its negative is asked for.",
            "Binary cross-entropy is minus the Bernoulli log-probability: log p(x) = -BCE.", wrapped("-value")),
    Mistake("mean_over_pixels", "The pixels are averaged where they have to be summed.",
            "Independent pixels multiply, so their log-probabilities add up. Mind `reduction`: its default is the mean.",
            wrapped("value / given[0][0].numel()"), wrapped("value.mean() / given[0][0].numel()")),
    *general("summed_over_the_batch", "without_gradient", "changes_its_inputs", "state_drifts"),
)

VARIANTS = {
    "logsigmoid both ways": body(
        SOLUTION, "on, off = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)",
        "return torch.where(x > 0.5, on, off).reshape(len(x), -1).sum(dim=1)"),
    "a loop over the batch": body(
        SOLUTION, "loss = nn.BCEWithLogitsLoss(reduction='sum')", "return torch.stack([-loss(l, t) for l, t in zip(logits, x)])"),
}

EXERCISES = (
    Exercise(name="vae.bernoulli", target="bernoulli_log_likelihood", title="The Bernoulli log-likelihood through binary cross-entropy",
        read_on="Lecture 01, Bernoulli pixels", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(value(1, "flat", "images", what="log p(x)"), extremes(1, "far", "large logits", "sigmoid_saturates"),
              gradient(1, "flat", atol=1e-4)), mistakes=MISTAKES, variants=VARIANTS,
        hints=(
            "The Bernoulli log-probability of a pixel has a name in classification: it is a loss, up to its sign.",
            "torch.nn.functional.binary_cross_entropy_with_logits takes logits and targets. Look at its argument `reduction`.",
            "-F.binary_cross_entropy_with_logits(logits, x, reduction='none').flatten(1).sum(1)",
        )),
)
