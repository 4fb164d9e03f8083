"""Exercise 1c: an expectation over all joint states, exactly."""

from dataclasses import replace
from typing import Any

import torch

from autograder.exercises.exercise import Edit, Mistake, body
from autograder.exercises.functions import cases
from autograder.exercises.laws import general, gradient, value
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.laws import draw_problem, pictured

SOLUTION = '''\
def expected_cost(f, logits: Tensor) -> Tensor:
    """E_q[f(z)] over all joint states of the latents, logits (batch, L, C); shape (batch,), exact."""
    latents, classes = logits.shape[-2:]
    states = torch.cartesian_prod(*[torch.arange(classes)] * latents).reshape(-1, latents)  # (C^L, L)
    codes = nn.functional.one_hot(states, classes).to(logits.dtype).unsqueeze(1)  # (C^L, 1, L, C)
    log_q = (codes * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))  # (C^L, batch)
    return (log_q.exp() * f(codes)).sum(dim=0)
'''
STATES, LOG_SOFTMAX, WEIGHTS = "torch.cartesian_prod(*[torch.arange(classes)] * latents)", "logits.log_softmax(dim=-1)", "log_q.exp()"
COSTS, SUM = "* f(codes)", ").sum(dim=0)"


def marginals(rest: str, divided: str) -> Edit:
    """Each latent's classes by themselves, with the rest of the code as it is in `rest`."""
    return body(
        SOLUTION, "q, classes, total = logits.softmax(dim=-1), logits.shape[-1], 0", "for latent in range(logits.shape[1]):",
        "    for state in range(classes):", f"        z = {rest}",
        "        z[..., latent, :] = nn.functional.one_hot(torch.tensor(state), classes).to(logits.dtype)",
        "        total = total + q[:, latent, state] * f(z.unsqueeze(0)).squeeze(0)", f"return total{divided}")


def draw(rng: torch.Generator) -> dict[str, Any]:
    def problem(latents: int, classes: int) -> dict[str, Any]:
        drawn = draw_problem(rng, latents, classes, examples=3)
        return {"logits": drawn["logits"], "theta": drawn["theta"], "problem": drawn}

    return cases("expected_cost(f, logits)", ("logits", "theta"), two=problem(2, 3), three=problem(3, 2), one=problem(1, 4))


def sound(view: Any) -> bool:
    """Whether a gradient comes through the probabilities and through the costs. What is not one number for each example has none."""
    dimensions, slopes = view[0], [view[1].get(name) for name in ("logits", "theta")]
    return dimensions == 1 and all(slope is not None and bool(slope.any()) for slope in slopes)


LAWS = (
    replace(value(2, "two", "three", "one", what="The expectation", random="sampled_not_enumerated"),  # an exception is a result, too
            view=lambda outputs: [outputs[name].get("value", "raises") for name in ("two", "three", "one")]),
    replace(gradient(2, "two", sign=""), view=lambda outputs: (outputs["two"]["value"].dim(), outputs["two"]["slopes"]), sound=sound),
)

MISTAKES = (
    Mistake("marginals_for_joint_states",
            "The classes of each latent are enumerated by themselves: L x C marginal states, where there are C^L joint ones.",
            "f looks at all latents at once. With two latents of ten classes sum over 100 pairs (i, j), each with weight q(i) q(j).",
            *(marginals(rest, divided) for divided in ("", " / logits.shape[1]")
              for rest in ("torch.zeros_like(logits)", "q.clone()", "nn.functional.one_hot(q.argmax(dim=-1), classes).to(q.dtype)"))),
    Mistake("cost_of_the_mean_code", "This is the cost of the mean code, f(E[z]), and E[f(z)] is asked for.",
            "f is not linear: average costs of the codes.", body(SOLUTION, "return f(logits.softmax(dim=-1).unsqueeze(0)).squeeze(0)")),
    Mistake("probabilities_left_out", "All codes count the same.",
            "Weight the cost of a code by its probability.", (WEIGHTS, "(0 * log_q + 1 / len(codes))"), (WEIGHTS, "(0 * log_q + 1)")),
    Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.", "Classes are the last axis: log_softmax(dim=-1).",
            (LOG_SOFTMAX, "logits.log_softmax(dim=1)"), ((LOG_SOFTMAX, "logits.log_softmax(dim=1)"), (WEIGHTS, "log_q.softmax(dim=0)"))),
    Mistake("log_probabilities_as_weights", "Log-probabilities serve as weights.", "Take exp of log q first.", (WEIGHTS, "log_q")),
    Mistake("averaged_over_codes", "The weighted costs are averaged over the codes where they have to be summed.",
            "The weights sum to one already: sum.", (SUM, ").mean(dim=0)")),
    Mistake("probabilities_added", "The probabilities of the latents are added where they have to be multiplied.",
            "Latents are independent: q(code) is the product, log q(code) the sum of log-probabilities.",
            *(((LOG_SOFTMAX, "logits.softmax(dim=-1)"), (WEIGHTS, weight)) for weight in ("log_q", "log_q / latents"))),
    Mistake("codes_and_weights_out_of_order", "Codes and weights are in different orders.",
            "Compute the weights from the codes: (codes * q).sum(-1).prod(-1).", ("(codes *", "(codes.flip(-2) *")),
    Mistake("first_example_for_all", "The first example's probabilities are used for all.",
            "Each example has its own weights: shape (codes, batch).", (WEIGHTS, "log_q[:, :1].exp()")),
    Mistake("sampled_not_enumerated", "This samples; enumeration looks at every code once.", "Two calls must agree.",
            body(SOLUTION, "q = OneHotCategorical(logits=logits)", "codes = q.sample((4000,))",
                 "log_q, cost = q.log_prob(codes).sum(dim=-1), f(codes)",
                 "return (cost + (cost - cost.mean(dim=0)).detach() * (log_q - log_q.detach())).mean(dim=0)")),
    Mistake("two_latents_only", "Right for two latents only.", "itertools.product(range(C), repeat=L) lists the states of any number L.",
            (STATES, "torch.cartesian_prod(torch.arange(classes), torch.arange(classes))"),
            ("latents, classes = logits.shape[-2:]", "_, latents, classes = logits.shape\n    assert latents == 2")),
    Mistake("not_summed", "The codes are not summed.", "Sum over the codes: one number for each example, shape (batch,).", (SUM, ")")),
    Mistake("probabilities_detached", "No gradient reaches the logits.",
            "It flows through the probabilities of the codes: do not detach them.", ("(dim=(-2, -1))", "(dim=(-2, -1)).detach()")),
    Mistake("cost_detached", "No gradient reaches the parameters of f.", "The decoder learns through f(z): do not detach it.",
            (COSTS, "* f(codes).detach()")),
    *general("summed_over_the_batch", "without_gradient"),
)

VARIANTS = {
    "itertools": body(
        SOLUTION, "import itertools", "batch, latents, classes = logits.shape", "q, total = logits.softmax(-1), 0",
        "for state in itertools.product(range(classes), repeat=latents):",
        "    z = torch.eye(classes)[list(state)].expand(1, batch, latents, classes)",
        "    weight = torch.stack([q[:, l, c] for l, c in enumerate(state)]).prod(0)",
        "    total = total + weight * f(z)[0]", "return total"),
    "first latent fastest": body(
        SOLUTION, "latents, classes = logits.shape[1:]", "n = torch.arange(classes**latents)",
        "states = torch.stack([n // classes**l % classes for l in range(latents)], -1)",
        "codes = nn.functional.one_hot(states, classes).float()[:, None].repeat(1, len(logits), 1, 1)",
        "weight = (codes * logits.softmax(-1)).sum(-1).prod(-1)", "return (f(codes) * weight).sum(0)"),
}

HINTS = (
    "How many different codes are there with L latents of C classes? Each has a probability and a cost.",
    "torch.cartesian_prod(*[torch.arange(C)] * L) lists the joint states. Make them one-hot, of shape (C^L, 1, L, C), and hand them to f.",
    "log_q = (codes * logits.log_softmax(-1)).sum((-2, -1)), of shape (C^L, batch); return (log_q.exp() * f(codes)).sum(0)",
)

EXERCISES = (
    pictured(
        *(((name, "value"), f"example, latents: {name}", "E[f(z)]") for name in ("two", "three", "one")),
        *((("two", "slopes", name), "entry", f"gradient of {name}") for name in ("logits", "theta")),
        name="discrete.enumeration", target="expected_cost", title="An expectation over all joint states",
        read_on="Lecture 04, section 2", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.expected_cost,
        laws=LAWS, mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
