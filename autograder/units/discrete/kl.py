"""Exercise 1a: the KL to a uniform prior in closed form."""

from typing import Any

import torch

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
    Mistake("kl_sign_flipped", "The sign is wrong: a KL is never negative.",
            "KL(q || uniform) = sum over latents of log C minus the entropy.", wrapped("-value")),
    Mistake("log_c_missing", "The prior is left out: this is the entropy, or its negative.",
            "The uniform prior gives each class 1/C, so each latent adds log C.", (LOG_C, ""), ((LOG_C, ""), (LOG_RATIO, "* (-log_q"))),
    Mistake("entropy_sign_flipped", "The entropy has the wrong sign.",
            "KL = log C - H(q) for each latent: the more certain q is, the more it costs. Try a uniform q, whose KL is zero.",
            (LOG_RATIO, "* (-log_q")),
    Mistake("log_c_once", "log C is counted once, whatever the number of latents.", "Each latent has its own prior: L latents add L log C.",
            ((LOG_C, ""), (SUM, SUM + LOG_C))),
    Mistake("kl_reversed", "This is KL(uniform || q), and KL(q || uniform) is asked for.",
            "The expectation is over q: weight each class by q.",
            (WEIGHT, "-(1 / logits.shape[-1]"), ((WEIGHT, "(-1"), (LOG_C, LOG_C + " / logits.shape[-1]"))),
    Mistake("mean_over_latents", "The latents are averaged where they have to be summed.", "The KL of independent latents adds up.",
            (SUM, ".sum(dim=-1).mean(dim=-1)")),
    Mistake("mean_over_classes", "The classes are averaged where they have to be summed.",
            "An expectation over classes is a sum weighted by q; q holds the weights already.",
            (SUM, ".mean(dim=-1).sum(dim=-1)"), (SUM, ".mean(dim=(-2, -1))"),
            ((LOG_C, ""), (SUM, ".mean(dim=-1).sum(dim=-1) + logits.shape[-2] * math.log(logits.shape[-1])"))),
    Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.",
            "Classes are the last axis: log_softmax(dim=-1). Print q.sum(-1): every entry must be one.",
            (LOG_SOFTMAX, "logits.log_softmax(dim=1)"), (LOG_SOFTMAX, "logits.log_softmax(dim=0)"),
            (LOG_SOFTMAX, "logits.flatten(1).log_softmax(dim=-1).view_as(logits)"),
            ((LOG_SOFTMAX, "logits.flatten(1).log_softmax(dim=-1).view_as(logits)"), (CLASSES, "logits[0].numel()"))),
    Mistake("wrong_number_of_classes", "log of the wrong number: C is the size of the last axis.",
            "logits has shape (batch, L, C), so C is logits.shape[-1].", (CLASSES, "logits.shape[1]"), (CLASSES, "logits[0].numel()")),
    Mistake("logits_not_normalized", "The logits are used as log-probabilities without being normalized.",
            "log q = logits.log_softmax(-1): an encoder's logits may have any sum.", (LOG_RATIO, "* (logits")),
    *general("bits_for_nats"),
    Mistake("not_summed", "Dimensions are left that have to be summed.",
            "Sum over classes and over latents: one number for each example, shape (batch,).", (SUM, ".sum(dim=-1)"), (SUM, "")),
    Mistake("summed_over_the_batch", "The batch is summed or averaged, too.", "Return one value for each example, shape (batch,).",
            wrapped("value.sum()"), wrapped("value.mean()"), (SUM, ".sum(dim=-1).sum(dim=0)")),
    Mistake("monte_carlo_for_closed_form", "This is a Monte Carlo estimate; the closed form is asked for.",
            "Two calls with the same logits must agree: no sample is needed.",
            body(SOLUTION, "q = OneHotCategorical(logits=logits)", "log_q = q.log_prob(q.sample((2_000,)))",
                 "magic = (log_q - log_q.detach()).exp()", "return (magic * (log_q + math.log(logits.shape[-1]))).mean(dim=0).sum(dim=-1)"),
            body(SOLUTION, "q = OneHotCategorical(logits=logits)", "log_q = q.log_prob(q.sample((2_000,)))",
                 "return (log_q + math.log(logits.shape[-1])).mean(dim=0).sum(dim=-1)")),
    Mistake("zero_times_log_zero", "A class of probability zero makes the result NaN: 0 times log 0.",
            "Take log_softmax of the logits, and the probabilities as its exp: 0 times a large number is 0.",
            (LOG_SOFTMAX, "logits.softmax(dim=-1).log()")),
    *general("changes_its_inputs", "without_gradient"),
)

VARIANTS = {
    "torch's kl_divergence": body(
        SOLUTION, "q = torch.distributions.Categorical(logits=logits)",
        "p = torch.distributions.Categorical(logits=torch.zeros_like(logits))",
        "return torch.distributions.kl_divergence(q, p).sum(dim=-1)"),
    "xlogy": body(SOLUTION, "q = torch.softmax(logits, -1)", "return (torch.xlogy(q, q).sum(-1) + math.log(q.size(-1))).sum(1)"),
    "a small number in the logarithm": body(
        SOLUTION, "q = logits.softmax(-1)", "return torch.sum(q * torch.log(q * logits.shape[-1] + 1e-12), dim=[1, 2])"),
    "a loop over latents": body(
        SOLUTION, "total = 0", "for latent in logits.unbind(1):", "    log_q = latent - latent.logsumexp(-1, keepdim=True)",
        "    total = total + (log_q.exp() * log_q).sum(-1) + math.log(latent.shape[-1])", "return total"),
}

HINTS = (
    "Write E_q[log q - log p] for one latent as a sum over its classes. What is log p?",
    "For each latent it is log C plus the sum of q log q. `logits.log_softmax(-1)` is log q, its exp is q.",
    "log_q = logits.log_softmax(-1); return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-2, -1))",
)

EXERCISES = (
    Exercise(name="discrete.kl", target="categorical_kl", title="The KL to a uniform prior in closed form", read_on="Lecture 04, section 1",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(value(2, "usual", what="The KL", random="monte_carlo_for_closed_form"),
              extremes(1, "far", "probabilities of zero", "zero_times_log_zero"), gradient(1, "usual")), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS),
)
