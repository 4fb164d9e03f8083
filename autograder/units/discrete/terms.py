"""Exercises 1a and 1b: the KL to a uniform prior in closed form, and log p(x|z) of every image under every code, decoded once."""

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import extremes, general, gradient, value
from autograder.units.discrete import PREAMBLE

SOLUTION = '''\
def categorical_kl(logits: Tensor) -> Tensor:
    """KL(q || uniform) of L categorical latents, logits (batch, L, C), in nats; shape (batch,)."""
    log_q = logits.log_softmax(dim=-1)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1))
'''
LOG_SOFTMAX, WEIGHT, LOG_RATIO, CLASSES = "logits.log_softmax(dim=-1)", "(log_q.exp()", "* (log_q", "logits.shape[-1]"
LOG_C, SUM = " + math.log(logits.shape[-1])", ".sum(dim=(-2, -1))"


def draw(rng: torch.Generator) -> dict[str, Any]:
    logits = 1.5 * torch.randn(6, 3, 5, generator=rng) + 2 * torch.randn(6, 3, 1, generator=rng)
    far = 150.0 * torch.rand(4, 3, 5, generator=rng)
    far[..., 2] -= 400  # its probability is zero in float32
    return cases("categorical_kl(logits)", ("logits",), usual={"logits": logits}, far={"logits": far})


MISTAKES = (
    Mistake("kl_sign_flipped", "The sign is wrong: a KL is never negative.", "KL(q || uniform) = L log C - H(q).", wrapped("-value")),
    Mistake("log_c_missing", "The prior is left out: this is the entropy, or its negative.",
            "The uniform prior gives each class 1/C, so each latent adds log C.", (LOG_C, ""), ((LOG_C, ""), (LOG_RATIO, "* (-log_q"))),
    Mistake("entropy_sign_flipped", "The entropy has the wrong sign.",
            "KL = log C - H(q) for each latent: the more certain q is, the more it costs.", (LOG_RATIO, "* (-log_q")),
    Mistake("log_c_once", "log C is counted once, whatever the number of latents.", "Each latent has its own prior: add L log C.",
            ((LOG_C, ""), (SUM, SUM + LOG_C))),
    Mistake("kl_reversed", "This is KL(uniform || q), and KL(q || uniform) is asked for.", "Weight each class by q.",
            (WEIGHT, "-(1 / logits.shape[-1]"), ((WEIGHT, "(-1"), (LOG_C, LOG_C + " / logits.shape[-1]"))),
    Mistake("mean_over_latents", "The latents are averaged where they have to be summed.", "The KL of independent latents adds up.",
            (SUM, ".sum(dim=-1).mean(dim=-1)")),
    Mistake("mean_over_classes", "The classes are averaged where they have to be summed.", "The weights of q add up to one already: sum.",
            (SUM, ".mean(dim=-1).sum(dim=-1)"), (SUM, ".mean(dim=(-2, -1))"),
            ((LOG_C, ""), (SUM, ".mean(dim=-1).sum(dim=-1) + logits.shape[-2] * math.log(logits.shape[-1])"))),
    Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.", "Classes are the last axis. Print q.sum(-1).",
            (LOG_SOFTMAX, "logits.log_softmax(dim=1)"), (LOG_SOFTMAX, "logits.log_softmax(dim=0)"),
            (LOG_SOFTMAX, "logits.flatten(1).log_softmax(dim=-1).view_as(logits)"),
            ((LOG_SOFTMAX, "logits.flatten(1).log_softmax(dim=-1).view_as(logits)"), (CLASSES, "logits[0].numel()"))),
    Mistake("wrong_number_of_classes", "log of the wrong number: C is the size of the last axis.",
            "logits has shape (batch, L, C), so C is logits.shape[-1].", (CLASSES, "logits.shape[1]"), (CLASSES, "logits[0].numel()")),
    Mistake("logits_not_normalized", "The logits are used as log-probabilities without being normalized.",
            "log q = logits.log_softmax(-1): an encoder's logits may have any sum.", (LOG_RATIO, "* (logits")),
    Mistake("not_summed", "Dimensions are left that have to be summed.",
            "Sum over classes and over latents: one number for each example, shape (batch,).", (SUM, ".sum(dim=-1)"), (SUM, "")),
    Mistake("monte_carlo_for_closed_form", "This is a Monte Carlo estimate; the closed form is asked for.", "Two calls must agree.",
            body(SOLUTION, "q = OneHotCategorical(logits=logits)", "log_q = q.log_prob(q.sample((2_000,)))",
                 "magic = (log_q - log_q.detach()).exp()", "return (magic * (log_q + math.log(logits.shape[-1]))).mean(0).sum(-1)")),
    Mistake("zero_times_log_zero", "A class of probability zero makes the result NaN: 0 times log 0.",
            "Take log_softmax, and its exp for q: 0 times a finite number is 0.", (LOG_SOFTMAX, "logits.softmax(dim=-1).log()")),
    *general("bits_for_nats", "summed_over_the_batch", "changes_its_inputs", "without_gradient"),
)

VARIANTS = {
    "xlogy": body(SOLUTION, "q = torch.softmax(logits, -1)", "return (torch.xlogy(q, q).sum(-1) + math.log(q.size(-1))).sum(1)"),
    "a small number in the logarithm": body(
        SOLUTION, "q = logits.softmax(-1)", "return torch.sum(q * torch.log(q * logits.shape[-1] + 1e-12), dim=[1, 2])"),
}

HINTS = (
    "Write E_q[log q - log p] for one latent as a sum over its classes. What is log p?",
    "For each latent it is log C plus the sum of q log q. `logits.log_softmax(-1)` is log q, its exp is q.",
    "log_q = logits.log_softmax(-1); return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-2, -1))",
)

LIKELIHOOD_SOLUTION = '''\
def code_log_likelihood(pixel_logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of binary images x (batch, D) under each code's pixel logits (codes, D), in nats; shape (codes, batch)."""
    normalizer = nn.functional.softplus(pixel_logits).sum(dim=-1, keepdim=True)  # (codes, 1)
    return pixel_logits @ x.T - normalizer
'''
PRODUCT, NORMALIZER = "pixel_logits @ x.T", " - normalizer"


def draw_likelihood(rng: torch.Generator) -> dict[str, Any]:
    def problem(codes: int, batch: int, pixels: int, scale: float) -> dict[str, Tensor]:
        logits = scale * torch.randn(codes, pixels, generator=rng)
        return {"pixel_logits": logits, "x": (torch.rand(batch, pixels, generator=rng) < 0.4).float()}

    return cases("code_log_likelihood(pixel_logits, x)", ("pixel_logits",), usual=problem(7, 5, 30, 1.5), far=problem(4, 3, 784, 120.0))


LIKELIHOOD_MISTAKES = (
    Mistake("cross_entropy_not_negated", "The sign is wrong: this is the cross-entropy, and its negative is asked for.",
            "log p(x|z) is minus the binary cross-entropy.", wrapped("-value")),
    Mistake("mean_over_pixels", "The pixels are averaged where they have to be summed.",
            "Sum: a mean makes the KL 784 times too important, and training collapses.", wrapped("value / given[0].shape[-1]")),
    Mistake("codes_and_images_swapped", "Codes and images are swapped.", "The shape is (codes, batch).", wrapped("value.transpose(0, 1)")),
    Mistake("not_summed", "The pixels are not summed.", "One number for each pair of code and image: shape (codes, batch).",
            ((PRODUCT, "x * pixel_logits.unsqueeze(1)"), (".sum(dim=-1, keepdim=True)", ".unsqueeze(1)"))),
    Mistake("normalizer_left_out", "Only x . logits is there; the normalizer is missing.",
            "log p = x logit - log(1 + exp(logit)). The second term does not depend on x, but it does on the code.", (NORMALIZER, "")),
    Mistake("only_the_ones", "Only the pixels that are one are counted.", "The dark pixels count, too: x log p + (1 - x) log(1 - p).",
            (NORMALIZER, " - nn.functional.softplus(pixel_logits) @ x.T")),
    Mistake("logits_for_probabilities", "The logits are passed through the sigmoid before they are used as logits.",
            "What takes logits, such as Bernoulli(logits=...), takes them as they are.", wrapped("right(given[0].sigmoid(), given[1])")),
    Mistake("summed_over_the_batch", "Images or codes are summed or averaged.", "Every code with every image: shape (codes, batch).",
            *map(wrapped, ("value.sum(1)", "value.mean(1)", "value.sum(0)", "value.sum()", "value.mean()"))),
    Mistake("sigmoid_saturates", "With large logits the sigmoid is exactly 0 or 1, and its logarithm is lost.",
            "Stay with logits: softplus(logit) is log(1 + exp(logit)) without overflow.",
            body(LIKELIHOOD_SOLUTION, "p = pixel_logits.sigmoid()", "return torch.log(p) @ x.T + torch.log(1 - p) @ (1 - x).T"),
            ("nn.functional.softplus(pixel_logits)", "torch.log(1 + pixel_logits.exp())")),
    *general("changes_its_inputs", "without_gradient"),
)

LIKELIHOOD_VARIANTS = {
    "torch's Bernoulli": body(
        LIKELIHOOD_SOLUTION, "return torch.distributions.Bernoulli(logits=pixel_logits.unsqueeze(1)).log_prob(x).sum(-1)"),
    "the other way round": body(
        LIKELIHOOD_SOLUTION, "return torch.transpose(x @ pixel_logits.T + nn.functional.logsigmoid(-pixel_logits).sum(-1), 0, 1)"),
}

LIKELIHOOD_HINTS = (
    "Write the log-probability of one pixel as x times something, plus something without x.",
    "log p = x logit - log(1 + exp(logit)). Summed over pixels, the first is a matrix product, and the second depends on the code only.",
    "pixel_logits @ x.T - nn.functional.softplus(pixel_logits).sum(-1, keepdim=True)",
)

EXERCISES = (
    Exercise(name="discrete.kl", target="categorical_kl", title="The KL to a uniform prior in closed form", read_on="Lecture 04, section 1",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw, mistakes=MISTAKES, variants=VARIANTS, hints=HINTS,
        laws=(value(2, "usual", what="The KL", random="monte_carlo_for_closed_form"),
              extremes(1, "far", "probabilities of zero", "zero_times_log_zero"), gradient(1, "usual"))),
    Exercise(name="discrete.log_likelihood", target="code_log_likelihood", title="log p(x|z) of every image under every code",
        read_on="Lecture 04, section 2, decode once", solution=LIKELIHOOD_SOLUTION, preamble=PREAMBLE, draw=draw_likelihood,
        mistakes=LIKELIHOOD_MISTAKES, variants=LIKELIHOOD_VARIANTS, hints=LIKELIHOOD_HINTS,
        laws=(value(2, "usual", what="log p(x|z)", shape="one value for each code and each image"),
              extremes(1, "far", "large logits", "sigmoid_saturates"), gradient(1, "usual"))),
)
