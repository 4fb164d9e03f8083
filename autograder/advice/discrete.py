"""What the checks of unit 04 say: the mistakes by name, and three levels of hints."""

from __future__ import annotations

from autograder.advice.discrete_blocks import ENUMERATION, KL, LOG_LIKELIHOOD
from autograder.advice.discrete_estimators import RELAXED, RLOO, SCORE, STRAIGHT_THROUGH
from autograder.advice.discrete_objectives import BIAS_VARIANCE, NEGATIVE_ELBO, VIMCO
from autograder.advice.discrete_tables import RACE, TABLE_HINTS, TWENTY
from autograder.verdict import Misconception

__all__ = ["HINTS", "misconceptions"]

TABLES = {
    "discrete.kl": KL,
    "discrete.log_likelihood": LOG_LIKELIHOOD,
    "discrete.enumeration": ENUMERATION,
    "discrete.score": SCORE,
    "discrete.rloo": RLOO,
    "discrete.negative_elbo": NEGATIVE_ELBO,
    "discrete.relaxed": RELAXED,
    "discrete.straight_through": STRAIGHT_THROUGH,
    "discrete.bias_variance": BIAS_VARIANCE,
    "discrete.race": RACE,
    "discrete.twenty": TWENTY,
    "discrete.vimco": VIMCO,
}

HINTS = TABLE_HINTS | {
    "discrete.kl": (
        "Write E_q[log q - log p] for one latent as a sum over its classes. What is log p?",
        "For each latent it is log C plus the sum of q log q. `logits.log_softmax(-1)` is log q, its exp is q.",
        "log_q = logits.log_softmax(-1); return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-2, -1))",
    ),
    "discrete.log_likelihood": (
        "Write the log-probability of one pixel as x times something, plus something without x.",
        "log p = x logit - log(1 + exp(logit)). Summed over pixels, the first term is a matrix product, and the second depends "
        "on the code only.",
        "pixel_logits @ x.T - nn.functional.softplus(pixel_logits).sum(-1, keepdim=True)",
    ),
    "discrete.enumeration": (
        "How many different codes are there with L latents of C classes? Each has a probability and a cost.",
        "torch.cartesian_prod(*[torch.arange(C)] * L) lists the joint states. Make them one-hot, of shape (C^L, 1, L, C), and "
        "hand all of them to f at once.",
        "log_q = (codes * logits.log_softmax(-1)).sum((-2, -1)), of shape (C^L, batch); return (log_q.exp() * f(codes)).sum(0)",
    ),
    "discrete.score": (
        "You need a number that has the right *gradient*. For the encoder that is the cost times grad log q(z), with z and the "
        "cost held fixed.",
        "q = OneHotCategorical(logits=logits); z = q.sample((num_samples,)); log_q = q.log_prob(z).sum(-1). "
        "cost.detach() * log_q gives the encoder's gradient; the decoder needs the cost itself, too.",
        "(cost + cost.detach() * (log_q - log_q.detach())).mean(0): the difference is zero as a number, so the value is the mean cost.",
    ),
    "discrete.rloo": (
        "Which number could you subtract from the cost of sample s that does not know sample s, but is close to it?",
        "The mean of the other samples' costs: the sum over all, minus the own one, divided by how many others there are.",
        "baseline = (cost.sum(0) - cost) / (num_samples - 1); (cost + (cost - baseline).detach() * (log_q - log_q.detach())).mean(0)",
    ),
    "discrete.negative_elbo": (
        "-ELBO has two parts. One is an expectation over codes, which the estimator takes care of; the other has a closed form.",
        "logits = model.logits(x); estimator(model.cost(x), logits) is the first part, categorical_kl(logits) the second, each (batch,).",
        'loss = cost + kl; diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}',
    ),
    "discrete.relaxed": (
        "First the noise: how does a uniform number become a Gumbel one? Then: where does the temperature stand?",
        "g = -log(-log u) with u uniform of shape (num_samples, batch, L, C). Add it to the logits, divide by the temperature, "
        "softmax over classes.",
        "u = torch.rand(num_samples, *logits.shape); return ((logits - (-u.log()).log()) / temperature).softmax(-1)",
    ),
    "discrete.straight_through": (
        "You want the value of one tensor and the gradient of another. What is soft - soft.detach() as a number, and what is its gradient?",
        "hard = nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]) has no gradient. Add something that is zero and has "
        "soft's gradient.",
        "return hard + soft - soft.detach()",
    ),
    "discrete.bias_variance": (
        "The variance is a sum over entries of the variance over draws. For the bias: is the mean of N draws exact?",
        "|mean - exact|^2 is on average the squared bias plus the variance of the mean, which is variance / N.",
        "variance = draws.var(0).sum(); squared_bias = (draws.mean(0) - exact).square().sum() - variance / len(draws)",
    ),
    "discrete.vimco": (
        "The bound you know from unit 02. Now ask for each sample: what would the bound be without what this sample found?",
        "Replace log w_j by the mean of the other log-weights and compute the bound again: L_j. The signal for log q(z_j) is L - "
        "L_j, detached.",
        "others = (log_w.sum(0) - log_w) / (S - 1); for each j take a copy of log_w with others[j] in row j, and its bound. "
        "Return bound + (signals.detach() * (log_q - log_q.detach())).sum(0).",
    ),
}


def misconceptions(check: str) -> tuple[Misconception, ...]:
    """The mistakes that `check` can name."""
    return tuple(
        Misconception(name, title, advice, tuple(f"{check}:{behavior}" for behavior in behaviors))
        for name, (title, advice, behaviors) in TABLES[check].items()
    )
