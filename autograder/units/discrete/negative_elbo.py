"""Exercise 1d: the negative ELBO with any estimator in it. Model and estimator are the grader's: how the parts are joined is judged."""

from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Finding, Mistake, Seen, Way, body, failed, passed, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, gradient, shown, value
from autograder.units.discrete import PREAMBLE, probes, terms
from autograder.units.discrete.laws import joined, pictured

SOLUTION = '''\
def negative_elbo(model, x: Tensor, estimator) -> tuple[Tensor, dict[str, Tensor]]:
    """-ELBO of images x: loss (batch,) with gradients, and diagnostics elbo, log_px, kl, each (batch,), detached."""
    logits = model.logits(x)  # (batch, L, C)
    cost = estimator(model.cost(x), logits)  # (batch,)
    kl = categorical_kl(logits)  # (batch,)
    loss = cost + kl
    diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}
    return loss, diagnostics
'''
KL, LOSS = "categorical_kl(logits)", "loss = cost + kl"
ELBO, LOG_PX, TOLD_KL = '"elbo": -loss.detach()', '"log_px": -cost.detach()', '"kl": kl.detach()'
BOTH = ("estimator(lambda z: model.cost(x)(z) + (z * logits.log_softmax(dim=-1)).sum(dim=(-2, -1)) "
        "+ logits.shape[1] * math.log(logits.shape[2]), logits)")
SAMPLED = ((KL, f"{BOTH} - cost"),)  # the KL within the estimator's f is right, too
TOLD = ("log_px", "kl", "elbo")


def draw(rng: torch.Generator) -> dict[str, Any]:
    batch, pixels, latents, classes = 5, 12, 2, 3
    chosen = torch.randint(classes, (4, batch, latents), generator=rng)
    return cases("negative_elbo(model, x, estimator)", ("encoder", "decoder"), usual={
        "encoder": 0.6 * torch.randn(pixels, latents, classes, generator=rng),
        "decoder": torch.randn(latents * classes, pixels, generator=rng),
        "x": (torch.rand(batch, pixels, generator=rng) < 0.5).float(),
        "codes": torch.nn.functional.one_hot(chosen, classes).float(),
        "shares": (torch.rand(4, batch, generator=rng) + 0.2) / 2,
    })


def judge_told(seen: Seen) -> Finding:
    told, right = seen.outputs["told"], seen.right["told"]
    if "trouble" in told:
        return failed("diagnostics", told["trouble"])
    for name in TOLD:
        got, want = told[name], right[name]
        if not close(got["value"], want["value"]):
            first = " It is the KL of exercise 1a: put that right first." if name == "kl" else ""
            return failed("diagnostics", f'diagnostics["{name}"] is wrong.{first}', None, shown(want["value"]), shown(got["value"]))
        if got["attached"]:
            return failed("diagnostics", "The diagnostics still carry the graph.", None, "detached tensors", "requires_grad=True")
    return passed("diagnostics")


LAWS = (
    joined("loss", 2, value(2, "usual", what="The loss", random=""), gradient(2, "usual", sign=""), rtol=1e-3, atol=1e-3,
           view=lambda outputs: (outputs["usual"]["value"], outputs["usual"]["slopes"])),
    joined("diagnostics", 1, Behavior("diagnostics", 1, judge_told), view=lambda outputs: [outputs["told"][name] for name in TOLD]),
)


def loss(text: str, elbo: str = "-(cost + kl).detach()") -> tuple[Way, ...]:
    """Another loss, with the right diagnostics beside it, and with those that follow from it."""
    return ((LOSS, f"loss = {text}"), (ELBO, f'"elbo": {elbo}')), (LOSS, f"loss = {text}")


MISTAKES = (
    Mistake("kl_counted_twice", "The KL is counted twice: within the cost, and in closed form.",
            "Take the closed form, or log q - log p within f: one of them.", *loss(f"{BOTH} + kl"), *loss("cost + 2 * kl")),
    Mistake("kl_forgotten", "The KL is left out: this trains an autoencoder.", "-ELBO = E[-log p(x|z)] + KL(q || p).", *loss("cost")),
    Mistake("kl_sign_flipped", "The KL has the wrong sign.", "-ELBO = E[-log p(x|z)] + KL(q || p).", *loss("cost - kl")),
    Mistake("elbo_for_the_loss", "The loss has the wrong sign: this is the ELBO, and optimizers minimize.", "loss = cost + kl.",
            *loss("-(cost + kl)", "loss.detach()")),
    Mistake("cost_sign_flipped", "The cost has the wrong sign.", "model.cost(x) is -log p(x|z) already.", *loss("kl - cost")),
    Mistake("kl_averaged_over_the_batch", "The KL is averaged over the batch.", "Each example has its own.", *loss("cost + kl.mean()")),
    Mistake("kl_detached", "The KL carries no gradient.", "Detach in the diagnostics only.", (LOSS, "loss = cost + kl.detach()")),
    Mistake("averaged_over_the_batch", "The loss is a single number.", "Return one for each example.", *loss("(cost + kl).mean()")),
    Mistake("without_gradient", "The loss carries no gradient.", "Detach in the diagnostics only.", (LOSS, "loss = (cost + kl).detach()")),
    Mistake("cost_for_log_px", "log_px has the wrong sign: that is the cost.", "log_px = -cost.", (LOG_PX, '"log_px": cost.detach()')),
    Mistake("loss_for_log_px", "log_px contains the KL.", "log_px = -cost; elbo = log_px - kl.", (LOG_PX, '"log_px": -loss.detach()')),
    Mistake("kl_negated", "The KL in the diagnostics has the wrong sign.", "A KL is never negative.", (TOLD_KL, '"kl": -kl.detach()')),
    Mistake("loss_for_elbo", "The ELBO has the wrong sign: that is the loss.", "elbo = log_px - kl.", (ELBO, '"elbo": loss.detach()')),
    Mistake("kl_added_to_elbo", "The KL is added to the ELBO.", "elbo = log_px - kl.", (ELBO, '"elbo": (kl - cost).detach()')),
    Mistake("elbo_is_log_px", "The ELBO lacks the KL.", "elbo = log_px - kl.", (ELBO, '"elbo": -cost.detach()')),
    Mistake("scalar_diagnostics", "The diagnostics are single numbers.", "One value for each example, shape (batch,).",
            *(wrapped(f"(value[0], {{name: entry.{how}() for name, entry in value[1].items()}})") for how in ("mean", "sum"))),
    Mistake("diagnostics_carry_the_graph", "The diagnostics still carry the graph.", "Detach them: graphs need memory.", (".detach()", "")),
)

VARIANTS = {
    "its own cost": body(
        SOLUTION, "logits = model.logits(x)", "cost = estimator(lambda z: -model.log_px(x, z), logits)", "kl = categorical_kl(logits)",
        "with torch.no_grad():", "    told = {'elbo': -(cost + kl), 'log_px': -cost, 'kl': kl.clone()}",
        "told = {k: v.detach() for k, v in told.items()}", "return cost + kl, told"),
    "a sampled KL in the diagnostics, too": SAMPLED,
}

HINTS = (
    "-ELBO has two parts. One is an expectation over codes, which the estimator takes care of; the other has a closed form.",
    "logits = model.logits(x); estimator(model.cost(x), logits) is the first part, categorical_kl(logits) the second, each (batch,).",
    'loss = cost + kl; diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}',
)

EXERCISES = (
    pictured(
        (("usual", "value"), "image", "loss"), (("usual", "slopes", "encoder"), "class", "gradient of a pixel's weights for a latent"),
        *((("told", name, "value"), "image", name) for name in TOLD),
        name="discrete.negative_elbo", target="negative_elbo", title="The negative ELBO with any estimator in it",
        read_on="Lecture 04, section 1", solution=SOLUTION, preamble=f"{PREAMBLE}{terms.SOLUTION}\n\n", draw=draw, laws=LAWS,
        probe=probes.negative_elbo, forms=(SAMPLED,), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
