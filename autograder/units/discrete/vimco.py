"""Exercise 6a: VIMCO's bound and its learning signals."""

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import extremes, general, gradient, value
from autograder.units.discrete import PREAMBLE
from autograder.units.discrete.laws import joined, pictured

SOLUTION = '''\
def vimco(log_w: Tensor, log_q: Tensor) -> Tensor:
    """The bound log (1/S) sum_s w_s with VIMCO's gradient; log_w and log_q (S, batch); shape (batch,)."""
    num_samples = len(log_w)
    bound = log_w.logsumexp(dim=0) - math.log(num_samples)  # (batch,)
    others = (log_w.sum(dim=0) - log_w) / (num_samples - 1)  # (S, batch): the mean of the other log-weights
    own = torch.eye(num_samples, dtype=torch.bool).unsqueeze(-1)  # (S, S, 1)
    without = torch.where(own, others, log_w).logsumexp(dim=1) - math.log(num_samples)  # (S, batch)
    signals = (bound - without).detach()
    return bound + (signals * (log_q - log_q.detach())).sum(dim=0)
'''
LOGSUMEXP, LOG_S, OTHERS = "log_w.logsumexp(dim=0)", " - math.log(num_samples)", "(log_w.sum(dim=0) - log_w) / (num_samples - 1)"
SIGNALS, RETURN, HIDDEN, SUM = "(bound - without).detach()", "return bound", "(log_q - log_q.detach())", ").sum(dim=0)"
# The arithmetic mean of the others in place of the geometric one is right, too.
ARITHMETIC = ((OTHERS, "torch.stack([torch.cat([log_w[:j], log_w[j + 1:]]).logsumexp(dim=0) for j in range(num_samples)]) "
                       "- math.log(num_samples - 1)"),)


def draw(rng: torch.Generator) -> dict[str, Any]:
    log_w = 1.5 * torch.randn(4, 5, generator=rng) - 3 * torch.rand(1, 5, generator=rng)
    log_q = -1 - 3 * torch.rand(4, 5, generator=rng)
    usual, far = ({"log_w": log_w - down, "log_q": log_q} for down in (0, 2000))
    return cases("vimco(log_w, log_q)", ("log_w", "log_q"), usual=usual, far=far)


def varies(got: Tensor | None) -> bool:
    """Whether a gradient differs from sample to sample."""
    return got is not None and float(got.std(0).max()) > 1e-3


def weighs(view: Any) -> bool:
    """Whether a gradient weighs the samples of each example: whatever bound it is of, all weights have one sign.

    Equal ones come of no bound where the samples have no signals of their own either.
    """
    dimensions, got, signals = view
    return dimensions == 1 and got is not None and float(got.min() * got.max()) >= 0 and (signals or varies(got))


def slope(outputs: dict[str, Any], name: str) -> Tensor | None:
    return outputs["usual"]["slopes"].get(name)


SLOPES = gradient(1, "usual", atol=5e-5, sign="")
LAWS = (
    joined("bound", 1, value(1, "usual", what="The bound"), extremes(1, "far", "log-weights of -2000", "weights_underflow"),
           view=lambda outputs: [outputs[name]["value"] for name in ("usual", "far")]),
    joined("path", 1, SLOPES, inputs={"slopes": ["log_w"]}, after="bound", sound=weighs, rtol=1e-3,
           view=lambda outputs: (outputs["usual"]["value"].dim(), slope(outputs, "log_w"), varies(slope(outputs, "log_q")))),
    joined("signals", 2, SLOPES, inputs={"slopes": ["log_q"]}, view=lambda outputs: [slope(outputs, "log_q")], rtol=1e-3),
)

MISTAKES = (
    Mistake("elbo_for_the_bound", "This is the mean of the log-weights: the ELBO.",
            "The bound is the logarithm of the mean weight: logsumexp, minus log S.", (RETURN, "return log_w.mean(dim=0)")),
    Mistake("log_s_missing", "log S is missing.", "The mean over S weights is their sum over S: subtract log S.", (LOG_S, "")),
    Mistake("bound_negated", "The sign is wrong.", "VIMCO's function returns the bound, to be maximized.", wrapped("-value")),
    Mistake("logsumexp_over_the_batch", "The logsumexp runs over the batch.", "Samples are the first axis: logsumexp(dim=0).",
            body(SOLUTION, "bound = (log_w.logsumexp(dim=1) - math.log(len(log_w))).mean()",
                 "return bound + 0 * log_w[0] + (bound.detach() * (log_q - log_q.detach())).sum(dim=0)"),
            (LOGSUMEXP, "log_w.logsumexp(dim=1).mean().expand(log_w.shape[1])")),
    Mistake("weights_underflow", "Tiny weights underflow.", "Never leave the log scale: logsumexp takes the largest weight out first.",
            (LOGSUMEXP, "log_w.exp().sum(dim=0).log()")),
    Mistake("averaged_over_the_batch", "The batch is averaged.", "One bound for each example, shape (batch,).",
            wrapped("value.mean()"), wrapped("value.sum()")),
    Mistake("not_reduced", "There is a number for each sample; one bound for each example is asked for.", "logsumexp over the first axis.",
            ((RETURN, "return log_w"), (SUM, ")"))),
    Mistake("value_is_a_surrogate", "The gradient is right, but the value is that of a surrogate.",
            "Write log_q - log_q.detach(): zero as a number.", (HIDDEN, "log_q"), ((RETURN + " + ", "return "), (HIDDEN, "log_q"))),
    Mistake("signals_not_detached", "The learning signals are not detached: they send a second gradient through log_w.",
            "A signal is a weight, a number. Detach it.", ((SIGNALS, "bound - without"), (HIDDEN, "log_q")),
            ((SIGNALS, "bound - without"), (RETURN + " + ", "return "), (HIDDEN, "log_q"))),
    Mistake("path_missing", "The bound is detached: no gradient reaches log_w, so the decoder learns nothing.",
            "The bound's own gradient is one of the two parts: keep it.", (LOGSUMEXP, "log_w.detach().logsumexp(dim=0)")),
    Mistake("log_prob_detached", "log_q carries no gradient: the encoder gets no signal.",
            "signals.detach() * log_q, and log_q as it came.", (HIDDEN, "(log_q - log_q).detach()")),
    Mistake("no_baseline", "All samples get the whole bound as their signal: there is no baseline.",
            "Very noisy. Subtract L with w_j replaced by the others' geometric mean.", (SIGNALS, "bound.detach().expand_as(log_w)")),
    Mistake("baseline_contains_its_own_sample", "The baseline contains the sample itself, and so the estimate is biased.",
            "Replace log w_j by the mean of the *others*, (log_w.sum(0) - log_w) / (S - 1).", (OTHERS, "log_w.mean(dim=0)"),
            (OTHERS, "log_w.sum(dim=0) / (num_samples - 1)"), (SIGNALS, "(bound - log_w.mean(dim=0)).detach()")),
    Mistake("signals_averaged", "The signals are averaged over the samples where they have to be summed.",
            "All S samples make one bound: sum log q over them. (RLOO's cost is a mean: there it is the mean.)", (SUM, ").mean(dim=0)")),
    Mistake("signals_of_the_log_weights", "The signals come from single log-weights: that is the leave-one-out gradient of the ELBO.",
            "Sample j's signal is L minus L without j.", (SIGNALS, "(log_w - others).detach()"), (SIGNALS, "(bound - others).detach()")),
    Mistake("sign_flipped", "The signals have the wrong sign.", "signal_j = L - L without j.", ("(bound - without)", "(without - bound)")),
    Mistake("weights_for_signals", "The normalized weights stand where the signals belong.",
            "They are the gradient through log_w; log_q needs L minus L without j.", (SIGNALS, "log_w.softmax(dim=0).detach()")),
    *general("changes_its_inputs"),
)

VARIANTS = {
    "the arithmetic mean of the others": ARITHMETIC,
    "in two parts": body(
        SOLUTION, "s = log_w.shape[0]", "with torch.no_grad():", "    others = (log_w.sum(0, keepdim=True) - log_w) / (s - 1)",
        "    table = log_w.repeat(s, 1, 1)", "    table[range(s), range(s)] = others",
        "    signal = log_w.logsumexp(0) - table.logsumexp(1)", "score = (signal * log_q).sum(0)",
        "return log_w.logsumexp(0) - math.log(s) + score - score.detach()"),
}

HINTS = (
    "The bound you know from unit 02. Now ask for each sample: what would the bound be without what this sample found?",
    "Replace log w_j by the mean of the other log-weights and compute the bound again: L_j. The signal for log q(z_j) is "
    "L - L_j, detached.",
    "others = (log_w.sum(0) - log_w) / (S - 1); for each j take a copy of log_w with others[j] in row j, and its bound. "
    "Return bound + (signals.detach() * (log_q - log_q.detach())).sum(0).",
)

EXERCISES = (
    pictured(
        (("usual", "value"), "example", "bound"), (("usual", "slopes", "log_q"), "example", "gradient of a sample's log_q"),
        (("usual", "slopes", "log_w"), "example", "gradient of a sample's log_w"),
        name="discrete.vimco", target="vimco", title="VIMCO's bound and its learning signals",
        read_on="Lecture 04, section 9, several samples, one bound", solution=SOLUTION, preamble=PREAMBLE, draw=draw, laws=LAWS,
        forms=(ARITHMETIC,), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
