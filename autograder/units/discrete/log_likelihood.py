"""Exercise 1b: log p(x|z) of every image under every code, decoded once."""

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import extremes, general, gradient, value
from autograder.units.discrete import PREAMBLE

SOLUTION = '''\
def code_log_likelihood(pixel_logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of binary images x (batch, D) under each code's pixel logits (codes, D), in nats; shape (codes, batch)."""
    normalizer = nn.functional.softplus(pixel_logits).sum(dim=-1, keepdim=True)  # (codes, 1)
    return pixel_logits @ x.T - normalizer
'''
SOFTPLUS, PRODUCT, NORMALIZER = "nn.functional.softplus(pixel_logits)", "pixel_logits @ x.T", " - normalizer"


def draw(rng: torch.Generator) -> dict[str, Any]:
    def problem(codes: int, batch: int, pixels: int, scale: float) -> dict[str, Tensor]:
        logits = scale * torch.randn(codes, pixels, generator=rng)
        return {"pixel_logits": logits, "x": (torch.rand(batch, pixels, generator=rng) < 0.4).float()}

    return cases("code_log_likelihood(pixel_logits, x)", ("pixel_logits",), usual=problem(7, 5, 30, 1.5), far=problem(4, 3, 784, 120.0))


MISTAKES = (
    Mistake("cross_entropy_not_negated", "The sign is wrong: this is the cross-entropy, and its negative is asked for.",
            "log p(x|z) is minus the binary cross-entropy.", wrapped("-value")),
    Mistake("mean_over_pixels", "The pixels are averaged where they have to be summed.",
            "Pixels are independent given z, so their log-probabilities add up. A mean makes the KL 784 times too important, and training "
            "collapses.", wrapped("value / given[0].shape[-1]")),
    Mistake("codes_and_images_swapped", "Codes and images are swapped.",
            "The first axis is the code, the second the image: shape (codes, batch).", wrapped("value.transpose(0, 1)")),
    Mistake("not_summed", "The pixels are not summed.", "One number for each pair of code and image: shape (codes, batch).",
            ((PRODUCT, "x * pixel_logits.unsqueeze(1)"), (".sum(dim=-1, keepdim=True)", ".unsqueeze(1)"))),
    Mistake("normalizer_left_out", "Only x . logits is there; the normalizer is missing.",
            "log p = x logit - log(1 + exp(logit)) for each pixel. The second term does not depend on x, but it does on the code.",
            (NORMALIZER, "")),
    Mistake("only_the_ones", "Only the pixels that are one are counted.",
            "log p(x) = sum of x log p + (1 - x) log(1 - p): the dark pixels carry information, too.",
            (NORMALIZER, " - nn.functional.softplus(pixel_logits) @ x.T")),
    Mistake("logits_for_probabilities", "The logits are passed through the sigmoid before they are used as logits.",
            "Bernoulli(logits=...) and binary_cross_entropy_with_logits take the decoder's output as it is.",
            wrapped("right(given[0].sigmoid(), given[1])")),
    Mistake("summed_over_the_batch", "Images or codes are summed or averaged.", "Every code with every image: shape (codes, batch).",
            *map(wrapped, ("value.sum(1)", "value.mean(1)", "value.sum(0)", "value.sum()", "value.mean()"))),
    Mistake("sigmoid_saturates", "With large logits the sigmoid is exactly 0 or 1, and its logarithm is lost.",
            "Stay with logits: softplus(logit) is log(1 + exp(logit)) without overflow.",
            body(SOLUTION, "p = pixel_logits.sigmoid()", "return torch.log(p) @ x.T + torch.log(1 - p) @ (1 - x).T"),
            (SOFTPLUS, "torch.log(1 + pixel_logits.exp())")),
    *general("changes_its_inputs", "without_gradient"),
)

VARIANTS = {
    "cross-entropy": body(
        SOLUTION, "logits, target = torch.broadcast_tensors(pixel_logits[:, None], x[None])",
        "return -nn.functional.binary_cross_entropy_with_logits(logits, target, reduction='none').sum(-1)"),
    "torch's Bernoulli": body(SOLUTION, "return torch.distributions.Bernoulli(logits=pixel_logits.unsqueeze(1)).log_prob(x).sum(-1)"),
    "both halves with logsigmoid": body(
        SOLUTION, "return nn.functional.logsigmoid(pixel_logits) @ x.T + nn.functional.logsigmoid(-pixel_logits) @ (1 - x).T"),
    "the other way round": body(
        SOLUTION, "return torch.transpose(x @ pixel_logits.T + nn.functional.logsigmoid(-pixel_logits).sum(-1), 0, 1)"),
}

HINTS = (
    "Write the log-probability of one pixel as x times something, plus something without x.",
    "log p = x logit - log(1 + exp(logit)). Summed over pixels, the first term is a matrix product, and the second depends on the code "
    "only.",
    "pixel_logits @ x.T - nn.functional.softplus(pixel_logits).sum(-1, keepdim=True)",
)

EXERCISES = (
    Exercise(name="discrete.log_likelihood", target="code_log_likelihood", title="log p(x|z) of every image under every code",
        read_on="Lecture 04, section 2, decode once", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(value(2, "usual", what="log p(x|z)", shape="one value for each code and each image"),
              extremes(1, "far", "large logits", "sigmoid_saturates"), gradient(1, "usual")), mistakes=MISTAKES, variants=VARIANTS,
        hints=HINTS),
)
