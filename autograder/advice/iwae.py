"""What the checks of unit 02 say: the mistakes by name, and three levels of hints."""

from __future__ import annotations

from autograder.advice.iwae_bound import BOUND
from autograder.advice.iwae_functions import ESS, ESTIMATE, NORMALIZED, OVER_SAMPLES, RESAMPLE
from autograder.advice.iwae_likelihood import ACTIVE_UNITS, DREG, LIKELIHOOD, TABLE
from autograder.advice.iwae_weights import LOG_WEIGHTS
from autograder.verdict import Misconception

__all__ = ["HINTS", "misconceptions"]

TABLES = {
    "iwae.importance_estimate": ESTIMATE,
    "iwae.normalized_weights": NORMALIZED,
    "iwae.effective_sample_size": ESS,
    "iwae.over_samples": OVER_SAMPLES,
    "iwae.log_weights": LOG_WEIGHTS,
    "iwae.bound": BOUND,
    "iwae.bounds_table": TABLE,
    "iwae.log_likelihood": LIKELIHOOD,
    "iwae.active_units": ACTIVE_UNITS,
    "iwae.resample": RESAMPLE,
    "iwae.dreg": DREG,
}

HINTS = {
    "iwae.importance_estimate": (
        "You may sample from q only. Which factor turns an average under q into an average under p?",
        "w(z) = p(z) / q(z) = exp(log p(z) - log q(z)). Draw num_samples values of z from q, and average w(z) f(z).",
        "z = q.sample((num_samples,)); w = (p.log_prob(z) - q.log_prob(z)).exp(); return (w * f(z)).mean()",
    ),
    "iwae.normalized_weights": (
        "Which function makes positive numbers that sum to one out of any real numbers, and does not mind their size?",
        "It is the softmax; the only question is over which dimension. The samples of one example share the weight 1.",
        "return torch.softmax(log_w, dim=0)",
    ),
    "iwae.effective_sample_size": (
        "Start from normalized weights. What is the sum of their squares when they are all equal, and when one of them is 1?",
        "All equal: K (1/K)^2 = 1/K. One for all: 1. So the reciprocal of that sum counts samples.",
        "return 1 / normalized_weights(log_w).square().sum(dim=0)",
    ),
    "iwae.over_samples": (
        "A tensor (K, batch, M) lies in memory sample after sample. Which reshaping leaves that order alone?",
        "flatten(0, 1) folds the first two dimensions into one; unflatten(0, (K, batch)) takes them apart again, in the same order.",
        "merge: x.flatten(0, 1). unmerge: x.unflatten(0, (num_samples, x.shape[0] // num_samples)).",
    ),
    "iwae.log_weights": (
        "Draw all K samples at once: q.rsample takes a sample shape. Then everything else works on (K, batch, ...).",
        "log w = log p(x|z) + log p(z) - log q(z|x). Sum each over all its dimensions but the first two: pixels, or latents.",
        "z = qz.rsample((num_samples,)); log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1); "
        "return log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)",
    ),
    "iwae.bound": (
        "The bound is the logarithm of a mean, and not the mean of logarithms. Which of the two is the ELBO?",
        "log (1/K) sum_k exp(log w_k) = logsumexp over the samples, minus log K. exp by itself is 0 for 784 pixels.",
        "return torch.logsumexp(log_weights(model, x, num_samples), dim=0) - math.log(num_samples)",
    ),
    "iwae.bounds_table": (
        "One row for each num_samples, all from the same trained model and the same images.",
        "With log_w = log_weights(model, x, K): the bound is the mean over images of logsumexp(log_w, 0) - log K, the ESS that of "
        "effective_sample_size(log_w). No gradients are needed.",
        'for K in (1, 5, 50, 500): log_w = log_weights(vae, images, K); rows.append({"num_samples": K, "bound": (logsumexp - log '
        'K).mean().item(), '
        '"ess": effective_sample_size(log_w).mean().item()})',
    ),
    "iwae.log_likelihood": (
        "The sum over 5,000 weights can be taken in pieces. What do you have to remember from one piece to the next?",
        "One number for each example: the logsumexp of all weights so far. torch.logaddexp adds the next piece to it. Subtract log K "
        "once, at the end.",
        "Encode once. For each piece: z = qz.sample((size,)), log_w (size, batch), piece = logsumexp(log_w, 0); "
        "total = piece, then logaddexp(total, piece). The last piece may be smaller. All under torch.no_grad().",
    ),
    "iwae.active_units": (
        "A latent is active if its posterior mean moves from image to image. Which object holds these means, and in which shape?",
        "model.posterior(x).mean has shape (images, M). The variance over images is one number for each latent.",
        "variances = model.posterior(x).mean.var(dim=0); return int((variances > 0.01).sum()), variances",
    ),
    "iwae.resample": (
        "Each example has K candidates with normalized weights. Draw an index for it with these probabilities, as often as asked.",
        "torch.distributions.Categorical(logits=...) takes log-weights as they are, with the K candidates in the last dimension: log_w.T.",
        "index = Categorical(logits=log_w.T).sample((num_draws,)); return z[index, torch.arange(z.shape[1])]",
    ),
    "iwae.dreg": (
        "Two things are stopped: the parameters of q inside log q, and the weights. What is left is the path through z.",
        "Build q anew from qz.mu.detach() and qz.log_sigma.detach() for log q(z|x), but sample z from the q that has its gradient.",
        "weights = softmax(log_w, 0).detach() with log_w from the stopped q; return (weights.square() * log_w).sum(0)",
    ),
}


def misconceptions(check: str) -> tuple[Misconception, ...]:
    """The mistakes that `check` can name. A table's entry: (title, advice, the behaviors that it costs)."""
    return tuple(
        Misconception(name, title, advice, tuple(f"{check}:{behavior}" for behavior in behaviors))
        for name, (title, advice, behaviors) in TABLES[check].items()
    )
