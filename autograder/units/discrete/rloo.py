"""Exercise 2b: the score function with the leave-one-out baseline."""

from __future__ import annotations

from functools import partial

from autograder.exercises.exercise import Exercise, Mistake, body
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.estimates import draw, laws, picture, replay
from autograder.units.discrete.score import COST_NOT_DETACHED, DRAW, HEAD, HIDDEN, NUM_SAMPLES_IGNORED, UNDETACHED, shared

SOLUTION = '''\
def leave_one_out(f, logits: Tensor, num_samples: int) -> Tensor:
    """The same with the mean cost of the other samples as the baseline; num_samples at least 2; shape (batch,)."""
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    baseline = (cost.sum(dim=0) - cost) / (num_samples - 1)
    signal = (cost - baseline).detach()
    surrogate = cost + signal * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
'''
BASELINE, SIGNAL = "baseline = (cost.sum(dim=0) - cost) / (num_samples - 1)", "signal = (cost - baseline).detach()"
SURROGATE = "surrogate = cost + signal * (log_q - log_q.detach())"

MISTAKES = (
    *shared(SOLUTION, SURROGATE, "signal"),
    Mistake("log_prob_detached",
            "No learning signal reaches the logits: log q is detached, or the signals were averaged, to zero, before they multiplied it.",
            "Each sample's signal, detached, multiplies its own log q, which keeps its gradient; then average.",
            (SURROGATE, "surrogate = cost + signal * (log_q - log_q).detach()"), *UNDETACHED,
            (SURROGATE, f"surrogate = cost + signal.mean(dim=0) * {HIDDEN}.mean(dim=0)")),
    Mistake(*NUM_SAMPLES_IGNORED, ((DRAW, "z = q.sample((1,))"), (BASELINE, "baseline = 0"))),
    Mistake(*COST_NOT_DETACHED, ((SIGNAL, "signal = cost - baseline"), (SURROGATE, "surrogate = cost + signal * log_q")),
            ((SIGNAL, "signal = cost - baseline.detach()"), (SURROGATE, "surrogate = cost + signal * log_q")),
            ((SIGNAL, "signal = cost - baseline"), (SURROGATE, "surrogate = signal * log_q"))),
    Mistake("baseline_contains_its_own_sample", "The baseline contains the sample itself, and so the estimate is biased.",
            "A baseline must not depend on the sample that it corrects: use the mean of the *other* costs, (cost.sum(0) - cost) / (S - 1).",
            (BASELINE, "baseline = cost.mean(dim=0)"), (BASELINE, "baseline = cost.sum(dim=0) / (num_samples - 1)")),
    Mistake("no_baseline", "There is no baseline: this is the plain score function.", "Subtract the mean of the other samples' costs.",
            (SIGNAL, "signal = cost.detach()")),
    Mistake("baseline_over_the_batch", "The baseline is averaged over the batch, too.",
            "Examples differ more than samples do. For each example use the mean of its own other samples: the first axis only.",
            (BASELINE, "baseline = cost.mean()"), (BASELINE, "baseline = cost.mean(dim=1, keepdim=True)")),
    Mistake("baseline_added", "The baseline is added where it has to be subtracted.",
            "The signal is how much worse than the others this sample was: cost - baseline.",
            (SIGNAL, "signal = (cost + baseline).detach()")),
    Mistake("baseline_alone", "The baseline stands in place of the cost.",
            "The signal is cost - baseline. The baseline alone has nothing to do with its sample.",
            (SIGNAL, "signal = baseline.detach()"), (SIGNAL, "signal = -baseline.detach()")),
    Mistake("wrong_divisor", "The sum of the others is divided by S; there are S - 1 of them.",
            "baseline = (cost.sum(0) - cost) / (num_samples - 1).", (BASELINE, "baseline = (cost.sum(dim=0) - cost) / num_samples")),
    Mistake("baseline_in_the_cost", "The baseline is subtracted in the cost's own gradient, too: the decoder's gradient cancels.",
            "The baseline belongs into the detached weight of log q only; the term for the decoder is the cost as it is.",
            (SURROGATE, f"surrogate = (cost - baseline) + signal * {HIDDEN}"),
            ((SIGNAL, "signal = cost - baseline"), (SURROGATE, "surrogate = signal + signal.detach() * log_q"))),
)

END = "return (cost + signal * (log_q - log_q.detach())).mean(0)"
VARIANTS = {
    "scaled distance from the mean": body(
        SOLUTION, *HEAD, "signal = ((cost - cost.mean(0)) * num_samples / (num_samples - 1)).detach()", END),
    "a mask": body(
        SOLUTION, *HEAD, "others = 1 - torch.eye(num_samples)", "signal = (cost - others @ cost / (num_samples - 1)).detach()", END),
    "a loop over the left out": body(
        SOLUTION, *HEAD, "rows = [torch.cat([cost[:s], cost[s + 1:]]).mean(0) for s in range(num_samples)]",
        "signal = (cost - torch.stack(rows)).detach()", END),
    "all pairs": body(
        SOLUTION, *HEAD, "pairs = (cost[:, None] - cost[None]).detach()", "signal = pairs.sum(1) / (num_samples - 1)", END),
    "the difference undetached": body(SOLUTION, *HEAD, "signal = cost - (cost.sum(0) - cost) / (num_samples - 1)", END),
    "with an assertion": body(
        SOLUTION, "assert num_samples > 1", *HEAD,
        "signal = cost.detach() - (cost.detach().sum(0) - cost.detach()) / (num_samples - 1)", END),
    "logits not normalized, which cancels": body(
        SOLUTION, "z = OneHotCategorical(logits=logits).sample((num_samples,))",
        "log_q, cost = (z * logits).sum((-2, -1)), f(z)",
        "signal = (cost - (cost.sum(0) - cost) / (num_samples - 1)).detach()", END),
    "samples one by one": body(
        SOLUTION, "q = OneHotCategorical(logits=logits)",
        "zs = [q.sample() for _ in range(num_samples)]",
        "cost = torch.stack([f(z[None])[0] for z in zs])",
        "log_q = torch.stack([q.log_prob(z).sum(-1) for z in zs])",
        "signal = (cost - (cost.sum(0) - cost) / (num_samples - 1)).detach()", END),
}

HINTS = (
    "Which number could you subtract from the cost of sample s that does not know sample s, but is close to it?",
    "The mean of the other samples' costs: the sum over all, minus the own one, divided by how many others there are.",
    "baseline = (cost.sum(0) - cost) / (num_samples - 1); (cost + (cost - baseline).detach() * (log_q - log_q.detach())).mean(0)",
)

EXERCISES = (
    Exercise(name="discrete.rloo", target="leave_one_out", title="The leave-one-out baseline",
        read_on="Lecture 04, section 5, control variates", solution=SOLUTION, preamble=PREAMBLE,
        draw=partial(draw, signature="leave_one_out(f, logits, num_samples)"), probe=probes.estimates, replay=replay,
        laws=laws(SOLUTION, "leave_one_out", "the leave-one-out baseline"), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS,
        picture=partial(picture, solution=SOLUTION, target="leave_one_out")),
)
