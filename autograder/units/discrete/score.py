"""Exercise 2a: the score-function estimator."""

from __future__ import annotations

from functools import partial

from autograder.exercises.exercise import Edit, Exercise, Mistake, body
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.estimates import draw, laws, picture, replay

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
EVERY_CODE = (
    "states = torch.cartesian_prod(*[torch.arange(logits.shape[-1])] * logits.shape[-2])",
    "codes = nn.functional.one_hot(states, logits.shape[-1]).to(logits.dtype).unsqueeze(1)",
    "log_q = OneHotCategorical(logits=logits).log_prob(codes.expand(-1, len(logits), -1, -1)).sum(dim=-1)",
    "return (log_q.exp() * f(codes)).sum(dim=0)",
)


def shared(solution: str, surrogate: str, weight: str) -> tuple[Mistake, ...]:
    """The mistakes that people make with any baseline; `surrogate` is the line that has it, `weight` what multiplies log q there."""

    def instead(text: str) -> Edit:
        return surrogate, f"surrogate = {text}"

    return (
        Mistake("averaged_over_the_batch", "The batch is averaged.",
                "Return one number for each example, shape (batch,); the training step takes the mean.", (MEAN, "surrogate.mean()")),
        Mistake("samples_not_averaged", "The samples are not averaged.", "Take the mean over the first axis: shape (batch,).",
                (MEAN, "surrogate")),
        Mistake("value_is_a_surrogate", "The gradient is right, but the value is that of a surrogate and means nothing.",
                "Write log_q - log_q.detach() where log_q stands: it is zero as a number and has log_q's gradient, so the value is the "
                "cost.", instead(f"cost + {weight} * log_q"), instead(f"cost - cost.detach() + {weight} * log_q")),
        Mistake("cost_term_missing", "The decoder learns nothing: the cost stands in the surrogate only as a detached weight.",
                "The gradient has two terms: f(z) grad log q for the encoder, and grad f(z) itself for the decoder. Add the cost.",
                instead(f"{weight} * log_q"), instead(f"cost.detach() + {weight} * {HIDDEN}")),
        Mistake("sign_flipped", "The sign of the gradient is wrong.",
                "Increase log q where the cost is high, and descend: cost times log q, without a minus.",
                instead(f"cost - {weight} * {HIDDEN}")),
        Mistake("summed_over_samples", "The samples are summed where they have to be averaged.", "Take the mean over samples.",
                instead(f"cost + num_samples * {weight} * {HIDDEN}"), (MEAN, "surrogate.sum(dim=0)")),
        Mistake("mean_over_latents", "log q is averaged over the latents where it has to be summed.",
                "Latents are independent: log q(z) is the sum over them.", (LOG_Q, "log_q = q.log_prob(z).mean(dim=-1)")),
        Mistake("mean_over_classes", "log q is averaged over the classes where one of them has to be picked.",
                "A one-hot z picks its class: (z * log_q).sum(-1), or OneHotCategorical.log_prob.",
                (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).mean(dim=-1).sum(dim=-1)"),
                (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).mean(dim=(-2, -1))")),
        Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.", "Classes are the last axis: log_softmax(dim=-1).",
                (DISTRIBUTION, "OneHotCategorical(probs=logits.softmax(dim=1))"),
                (LOG_Q, "log_q = (z * logits.log_softmax(dim=1)).sum(dim=(-2, -1))"),
                (LOG_Q, "log_q = (z * logits.log_softmax(dim=0)).sum(dim=(-2, -1))")),
        Mistake("probabilities_as_logits", "Probabilities are handed over as logits.",
                "OneHotCategorical(logits=logits), or OneHotCategorical(probs=logits.softmax(-1)).",
                (DISTRIBUTION, "OneHotCategorical(logits=logits.softmax(dim=-1))")),
        Mistake("relaxed_samples", "f is asked for relaxed codes: these are no samples of q.",
                "Draw one-hot codes, for example with OneHotCategorical(logits=logits).sample.",
                ((DRAW, "z = nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=1.0).detach()"),
                 (LOG_Q, "log_q = (z * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))"))),
        Mistake("argmax_for_sample", "The most probable code is taken in place of a sample.",
                "Draw from q: OneHotCategorical(logits=logits).sample((num_samples,)).",
                (DRAW, "z = q.mode.expand(num_samples, *logits.shape)")),
        Mistake("fixed_seed", "Every call draws the same codes.",
                "Do not set a seed inside: estimates must be fresh, or their errors never average out.",
                (DRAW, f"torch.manual_seed(42)\n    {DRAW}")),
        Mistake("one_sample_for_the_batch", "All examples share one draw.",
                "Each example has its own q: draw a code for each, shape (num_samples, batch, L, C).",
                (DRAW, "z = OneHotCategorical(logits=logits[:1]).sample((num_samples,)).expand(num_samples, *logits.shape)")),
        Mistake("enumerated_for_sampled", "Nothing is sampled: this is the exact expectation.",
                "That is exercise 1c. With 20 latents it would need 10^20 codes: sample.", body(solution, *EVERY_CODE)),
    )


NUM_SAMPLES_IGNORED = ("num_samples_ignored", "Not num_samples codes are drawn, but one.", "Draw with sample((num_samples,)), and average.")
COST_NOT_DETACHED = ("cost_not_detached", "The cost is not detached where it multiplies log q: the decoder gets a wrong gradient.",
                     "There the cost is a weight, a number: cost.detach(). The decoder learns through the other term.")
UNDETACHED = ((LOG_Q, f"with torch.no_grad():\n        {LOG_Q}"),)

MISTAKES = (
    *shared(SOLUTION, SURROGATE, "cost.detach()"),
    Mistake("log_prob_detached", "The log-probability carries no gradient: the encoder learns nothing.",
            "The samples and the cost are numbers, log q(z) is not: its gradient is the estimator. Look for no_grad and detach.",
            (SURROGATE, "surrogate = cost + cost.detach() * (log_q - log_q).detach()"), *UNDETACHED),
    Mistake("logits_not_normalized", "The logits are taken for log-probabilities.",
            "log q = logits.log_softmax(-1); the normalizer has a gradient, too.", (LOG_Q, "log_q = (z * logits).sum(dim=(-2, -1))")),
    Mistake("averaged_before_multiplying", "Cost and log q are averaged over the samples before they are multiplied.",
            "Each sample's cost multiplies its own log q; average the products.",
            (SURROGATE, f"surrogate = cost + cost.detach().mean(dim=0) * {HIDDEN}.mean(dim=0)")),
    Mistake(*NUM_SAMPLES_IGNORED, (DRAW, "z = q.sample((1,))")),
    Mistake(*COST_NOT_DETACHED, (SURROGATE, "surrogate = cost + cost * log_q"), (SURROGATE, "surrogate = cost * log_q")),
    Mistake("cost_averaged_over_the_batch", "The cost is averaged over the batch before it multiplies log q.",
            "Each example's cost says how good its own code was; the average says nothing about it.",
            (SURROGATE, f"surrogate = cost + cost.detach().mean(dim=1, keepdim=True) * {HIDDEN}"),
            (SURROGATE, f"surrogate = cost + cost.detach().mean() * {HIDDEN}")),
)

HEAD = ("q = OneHotCategorical(logits=logits)", "z = q.sample((num_samples,))", "log_q = q.log_prob(z).sum(-1)", "cost = f(z)")
END = "return (cost + cost.detach() * (log_q - log_q.detach())).mean(0)"
VARIANTS = {
    "the magic box": body(
        SOLUTION, *HEAD, "magic = torch.exp(log_q - log_q.detach())", "return (cost.detach() * magic + cost - cost.detach()).mean(0)"),
    "cost times the magic box": body(SOLUTION, *HEAD, "return (cost * torch.exp(log_q - log_q.detach())).mean(0)"),
    "undetached, with the difference": body(SOLUTION, *HEAD, "return (cost + cost * (log_q - log_q.detach())).mean(0)"),
    "a loop over samples": body(
        SOLUTION, "q, total = OneHotCategorical(logits=logits), 0",
        "for _ in range(num_samples):",
        "    z = q.sample()",
        "    log_q, cost = q.log_prob(z).sum(-1), f(z.unsqueeze(0)).squeeze(0)",
        "    total = total + cost + cost.detach() * (log_q - log_q.detach())",
        "return total / num_samples"),
    "a loop with codes of three dimensions": body(
        SOLUTION, "q, parts = OneHotCategorical(logits=logits), []",
        "for _ in range(num_samples):",
        "    z = q.sample()",
        "    log_q, cost = q.log_prob(z).sum(-1), f(z)",
        "    parts.append(cost + cost.detach() * (log_q - log_q.detach()))",
        "return torch.stack(parts).mean(0)"),
    "Categorical and one_hot": body(
        SOLUTION, "q = torch.distributions.Categorical(logits=logits)",
        "states = q.sample([num_samples])",
        "z = nn.functional.one_hot(states, logits.size(-1)).float()",
        "log_q, cost = q.log_prob(states).sum(-1), f(z)",
        "surrogate = (cost.detach() * log_q).mean(0)",
        "return surrogate - surrogate.detach() + cost.mean(0)"),
    "multinomial": body(
        SOLUTION, "batch, latents, classes = logits.shape",
        "log_p = logits.log_softmax(-1)",
        "states = torch.multinomial(log_p.detach().exp().flatten(0, 1), num_samples, replacement=True)",
        "z = nn.functional.one_hot(states.T.reshape(num_samples, batch, latents), classes)",
        "log_q, cost = (z * log_p).sum((-2, -1)), f(z.float())", END),
    "the Gumbel-max trick": body(
        SOLUTION, "noise = -torch.empty(num_samples, *logits.shape).exponential_().log()",
        "z = nn.functional.one_hot((logits.detach() + noise).argmax(-1), logits.shape[-1]).to(logits)",
        "log_q, cost = (z * logits.log_softmax(-1)).sum((-2, -1)), f(z)", END),
    "f asked twice": body(
        SOLUTION, *HEAD, "with torch.no_grad():", "    weight = f(z)", "return (cost + weight * (log_q - log_q.detach())).mean(0)"),
    "torch's Independent": body(
        SOLUTION, "q = torch.distributions.Independent(OneHotCategorical(logits=logits), 1)",
        "z = q.sample((num_samples,))", "cost, log_q = f(z), q.log_prob(z)", END),
}

HINTS = (
    "You need a number that has the right *gradient*. For the encoder that is the cost times grad log q(z), with z and the cost "
    "held fixed.",
    "q = OneHotCategorical(logits=logits); z = q.sample((num_samples,)); log_q = q.log_prob(z).sum(-1). cost.detach() * log_q gives the "
    "encoder's gradient; the decoder needs the cost itself, too.",
    "(cost + cost.detach() * (log_q - log_q.detach())).mean(0): the difference is zero as a number, so the value is the mean cost.",
)

EXERCISES = (
    Exercise(name="discrete.score", target="score_function", title="The score-function estimator",
        read_on="Lecture 04, section 4, the score function", solution=SOLUTION, preamble=PREAMBLE,
        draw=partial(draw, signature="score_function(f, logits, num_samples)"), probe=probes.estimates, replay=replay,
        laws=laws(SOLUTION, "score_function", "the plain score function"), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS,
        picture=partial(picture, solution=SOLUTION, target="score_function")),
)
