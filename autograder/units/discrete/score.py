"""Exercises 2a and 2b: the score-function estimator, and its leave-one-out baseline."""

from autograder.exercises.exercise import Edit, Mistake, body
from autograder.units.discrete import enumeration
from autograder.units.discrete.estimates import exercise

SOLUTION = '''\
def score_function(f, logits: Tensor, num_samples: int) -> Tensor:
    """E_q[f(z)] from samples, logits (batch, L, C): value the mean cost, gradient the score function; shape (batch,)."""
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    surrogate = cost + cost.detach() * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
'''
DISTRIBUTION, DRAW, LOG_Q = "OneHotCategorical(logits=logits)", "z = q.sample((num_samples,))", "log_q = q.log_prob(z).sum(dim=-1)"
SURROGATE, MEAN, HIDDEN = "surrogate = cost + cost.detach() * (log_q - log_q.detach())", "surrogate.mean(dim=0)", "(log_q - log_q.detach())"
RLOO_SOLUTION = '''\
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
RLOO_SURROGATE = "surrogate = cost + signal * (log_q - log_q.detach())"


def shared(solution: str, surrogate: str, weight: str) -> tuple[Mistake, ...]:
    """The mistakes that people make with any baseline; `surrogate` is the line that has it, `weight` what multiplies log q there."""

    def instead(text: str) -> Edit:
        return surrogate, f"surrogate = {text}"

    return (
        Mistake("averaged_over_the_batch", "The batch is averaged.",
                "Return one number for each example, shape (batch,); the training step takes the mean.", (MEAN, "surrogate.mean()")),
        Mistake("samples_not_averaged", "The samples are not averaged.", "Take the mean over the first axis.", (MEAN, "surrogate")),
        Mistake("value_is_a_surrogate", "The gradient is right, but the value is that of a surrogate and means nothing.",
                "Write log_q - log_q.detach() where log_q stands: zero as a number, with log_q's gradient. So the value is the cost.",
                instead(f"cost + {weight} * log_q"), instead(f"cost - cost.detach() + {weight} * log_q")),
        Mistake("cost_term_missing", "The decoder learns nothing: the cost stands in the surrogate only as a detached weight.",
                "The gradient has two terms: f(z) grad log q for the encoder, and grad f(z) itself for the decoder. Add the cost.",
                instead(f"{weight} * log_q"), instead(f"cost.detach() + {weight} * {HIDDEN}")),
        Mistake("sign_flipped", "The sign of the gradient is wrong.", "The surrogate is descended: cost times log q, without a minus.",
                instead(f"cost - {weight} * {HIDDEN}")),
        Mistake("summed_over_samples", "The samples are summed where they have to be averaged.", "Take the mean over samples.",
                instead(f"cost + num_samples * {weight} * {HIDDEN}"), (MEAN, "surrogate.sum(dim=0)")),
        Mistake("mean_over_latents", "log q is averaged over the latents where it has to be summed.",
                "Latents are independent: log q(z) is the sum over them.", (LOG_Q, "log_q = q.log_prob(z).mean(dim=-1)")),
        Mistake("mean_over_classes", "log q is averaged over the classes where one of them has to be picked.",
                "A one-hot z picks its class: (z * log_q).sum(-1), or OneHotCategorical.log_prob.",
                *((LOG_Q, f"log_q = (z * logits.log_softmax(dim=-1)).{mean}") for mean in ("mean(-1).sum(-1)", "mean((-2, -1))"))),
        Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.", "Classes are the last axis: log_softmax(dim=-1).",
                (DISTRIBUTION, "OneHotCategorical(probs=logits.softmax(dim=1))"),
                *((LOG_Q, f"log_q = (z * logits.log_softmax(dim={axis})).sum(dim=(-2, -1))") for axis in (1, 0))),
        Mistake("probabilities_as_logits", "Probabilities are handed over as logits.", "OneHotCategorical(logits=logits).",
                (DISTRIBUTION, "OneHotCategorical(logits=logits.softmax(dim=-1))")),
        Mistake("relaxed_samples", "f is asked for relaxed codes: these are no samples of q.", "Draw one-hot codes: q.sample.",
                ((DRAW, "z = nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=1.0).detach()"),
                 (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))"))),
        Mistake("argmax_for_sample", "The most probable code is taken in place of a sample.", "Draw from q: q.sample((num_samples,)).",
                (DRAW, "z = q.mode.expand(num_samples, *logits.shape)")),
        Mistake("fixed_seed", "Every call draws the same codes.",
                "Set no seed inside: only errors of fresh estimates average out.", (DRAW, f"torch.manual_seed(42)\n    {DRAW}")),
        Mistake("one_sample_for_the_batch", "All examples share one draw.", "Each example has its own q: draw a code for each.",
                (DRAW, "z = OneHotCategorical(logits=logits[:1]).sample((num_samples,)).expand(num_samples, *logits.shape)")),
        Mistake("enumerated_for_sampled", "Nothing is sampled: this is the exact expectation.", "Sample: 20 latents have 10^20 codes.",
                body(solution, *map(str.strip, enumeration.SOLUTION.splitlines()[2:]))),
    )


NUM_SAMPLES_IGNORED = ("num_samples_ignored", "Not num_samples codes are drawn, but one.", "Draw with sample((num_samples,)), and average.")
COST_NOT_DETACHED = ("cost_not_detached", "The cost is not detached where it multiplies log q: the decoder gets a wrong gradient.",
                     "There the cost is a weight, a number: cost.detach(). The decoder learns through the other term.")
UNDETACHED = (LOG_Q, f"with torch.no_grad():\n        {LOG_Q}")

MISTAKES = (
    *shared(SOLUTION, SURROGATE, "cost.detach()"),
    Mistake("log_prob_detached", "The log-probability carries no gradient: the encoder learns nothing.",
            "Keep its graph: look for no_grad and detach.",
            (SURROGATE, "surrogate = cost + cost.detach() * (log_q - log_q).detach()"), UNDETACHED),
    Mistake("logits_not_normalized", "The logits are taken for log-probabilities.",
            "log q = logits.log_softmax(-1); the normalizer has a gradient, too.", (LOG_Q, "log_q = (z * logits).sum(dim=(-2, -1))")),
    Mistake("averaged_before_multiplying", "Cost and log q are averaged over the samples before they are multiplied.",
            "Average the products, sample by sample.", (SURROGATE, f"surrogate = cost + cost.detach().mean(dim=0) * {HIDDEN}.mean(dim=0)")),
    Mistake(*NUM_SAMPLES_IGNORED, (DRAW, "z = q.sample((1,))")),
    Mistake(*COST_NOT_DETACHED, (SURROGATE, "surrogate = cost + cost * log_q"), (SURROGATE, "surrogate = cost * log_q")),
    Mistake("cost_averaged_over_the_batch", "The cost is averaged over the batch before it multiplies log q.",
            "Each example's cost says how good its own code was; the average says nothing about it.",
            *((SURROGATE, f"surrogate = cost + cost.detach().{mean} * {HIDDEN}") for mean in ("mean(dim=1, keepdim=True)", "mean()"))),
)

RLOO_MISTAKES = (
    *shared(RLOO_SOLUTION, RLOO_SURROGATE, "signal"),
    Mistake("log_prob_detached",
            "No learning signal reaches the logits: log q is detached, or the signals were averaged, to zero, before they multiplied it.",
            "Each sample's signal, detached, multiplies its own log q, which keeps its gradient; then average.",
            (RLOO_SURROGATE, "surrogate = cost + signal * (log_q - log_q).detach()"), UNDETACHED,
            (RLOO_SURROGATE, f"surrogate = cost + signal.mean(dim=0) * {HIDDEN}.mean(dim=0)")),
    Mistake(*NUM_SAMPLES_IGNORED, ((DRAW, "z = q.sample((1,))"), (BASELINE, "baseline = 0"))),
    Mistake(*COST_NOT_DETACHED, ((SIGNAL, "signal = cost - baseline"), (RLOO_SURROGATE, "surrogate = cost + signal * log_q")),
            ((SIGNAL, "signal = cost - baseline.detach()"), (RLOO_SURROGATE, "surrogate = cost + signal * log_q")),
            ((SIGNAL, "signal = cost - baseline"), (RLOO_SURROGATE, "surrogate = signal * log_q"))),
    Mistake("baseline_contains_its_own_sample", "The baseline contains the sample itself, and so the estimate is biased.",
            "A baseline must not depend on the sample that it corrects: use the mean of the *other* costs, (cost.sum(0) - cost) / (S - 1).",
            (BASELINE, "baseline = cost.mean(dim=0)"), (BASELINE, "baseline = cost.sum(dim=0) / (num_samples - 1)")),
    Mistake("no_baseline", "There is no baseline: this is the plain score function.", "Subtract the mean of the other samples' costs.",
            (SIGNAL, "signal = cost.detach()")),
    Mistake("baseline_over_the_batch", "The baseline is averaged over the batch, too.", "Average each example's own other samples.",
            (BASELINE, "baseline = cost.mean()"), (BASELINE, "baseline = cost.mean(dim=1, keepdim=True)")),
    Mistake("baseline_added", "The baseline is added where it has to be subtracted.",
            "The signal is how much worse than the others it was: cost - baseline.", (SIGNAL, "signal = (cost + baseline).detach()")),
    Mistake("baseline_alone", "The baseline stands in place of the cost.", "Alone it has nothing to do with its sample: cost - baseline.",
            (SIGNAL, "signal = baseline.detach()"), (SIGNAL, "signal = -baseline.detach()")),
    Mistake("wrong_divisor", "The sum of the others is divided by S; there are S - 1 of them.",
            "baseline = (cost.sum(0) - cost) / (num_samples - 1).", (BASELINE, "baseline = (cost.sum(dim=0) - cost) / num_samples")),
    Mistake("baseline_in_the_cost", "The baseline is subtracted in the cost's own gradient, too: the decoder's gradient cancels.",
            "Only the detached weight of log q has a baseline.", (RLOO_SURROGATE, f"surrogate = (cost - baseline) + signal * {HIDDEN}"),
            ((SIGNAL, "signal = cost - baseline"), (RLOO_SURROGATE, "surrogate = signal + signal.detach() * log_q"))),
)

HEAD = ("q = OneHotCategorical(logits=logits)", "z = q.sample((num_samples,))", "log_q = q.log_prob(z).sum(-1)", "cost = f(z)")
VARIANTS = {
    "cost times the magic box": body(SOLUTION, *HEAD, "return (cost * torch.exp(log_q - log_q.detach())).mean(0)"),
    "a loop with codes of three dimensions": body(
        SOLUTION, "q, parts = OneHotCategorical(logits=logits), []", "for _ in range(num_samples):",
        "    z = q.sample()", "    log_q, cost = q.log_prob(z).sum(-1), f(z)",
        "    parts.append(cost + cost.detach() * (log_q - log_q.detach()))",
        "return torch.stack(parts).mean(0)"),
}

RLOO_END = "return (cost + signal * (log_q - log_q.detach())).mean(0)"
RLOO_VARIANTS = {
    "scaled distance from the mean": body(
        RLOO_SOLUTION, *HEAD, "signal = ((cost - cost.mean(0)) * num_samples / (num_samples - 1)).detach()", RLOO_END),
    "logits not normalized, which cancels": body(
        RLOO_SOLUTION, "z = OneHotCategorical(logits=logits).sample((num_samples,))", "log_q, cost = (z * logits).sum((-2, -1)), f(z)",
        "signal = (cost - (cost.sum(0) - cost) / (num_samples - 1)).detach()", RLOO_END),
}

HINTS = (
    "You need a number that has the right *gradient*: for the encoder the cost times grad log q(z), with z and the cost held fixed.",
    "z = q.sample((num_samples,)); log_q = q.log_prob(z).sum(-1). cost.detach() * log_q is the encoder's; the decoder needs the cost.",
    "(cost + cost.detach() * (log_q - log_q.detach())).mean(0): the difference is zero as a number, so the value is the mean cost.",
)

RLOO_HINTS = (
    "Which number could you subtract from the cost of sample s that does not know sample s, but is close to it?",
    "The mean of the other samples' costs: the sum over all, minus the own one, divided by how many others there are.",
    "baseline = (cost.sum(0) - cost) / (num_samples - 1); (cost + (cost - baseline).detach() * (log_q - log_q.detach())).mean(0)",
)

EXERCISES = (
    exercise(SOLUTION, "score_function", "the plain score function", name="discrete.score", title="The score-function estimator",
        read_on="Lecture 04, section 4, the score function", mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
    exercise(RLOO_SOLUTION, "leave_one_out", "the leave-one-out baseline", name="discrete.rloo", title="The leave-one-out baseline",
        read_on="Lecture 04, section 5, control variates", mistakes=RLOO_MISTAKES, variants=RLOO_VARIANTS, hints=RLOO_HINTS),
)
