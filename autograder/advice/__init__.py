"""What the checks of unit 01 say: the mistakes by name, and three levels of hints."""

from __future__ import annotations

from autograder.advice.functions import BERNOULLI, GAUSSIAN_KL, PATHWISE, SCORE
from autograder.advice.gaussian import DENSITY, SAMPLING, SHARED
from autograder.advice.inference import INFERENCE
from autograder.verdict import Misconception

__all__ = ["HINTS", "misconceptions"]

RSAMPLE, LOG_PROB = "vae.gaussian_rsample", "vae.gaussian_log_prob"
ELBO, BETA = "vae.elbo", "vae.beta_elbo"

TABLES = {
    RSAMPLE: SHARED | SAMPLING,
    LOG_PROB: SHARED | DENSITY,
    ELBO: INFERENCE,
    BETA: INFERENCE,
    "vae.bernoulli": BERNOULLI,
    "vae.gaussian_kl": GAUSSIAN_KL,
    "vae.pathwise_gradient": PATHWISE,
    "vae.score_gradient": SCORE,
}

HINTS = {
    RSAMPLE: (
        "Write a sample of N(mu, sigma^2) as a function of mu, sigma and a random number that depends on neither.",
        "If epsilon ~ N(0, 1), then sigma * epsilon has standard deviation sigma, and adding mu moves its mean. "
        "`self.sample_epsilon()` draws epsilon with the shape of mu.",
        "return self.mu + self.sigma * self.sample_epsilon(), with self.sigma = log_sigma.exp().",
    ),
    LOG_PROB: (
        "Take the logarithm of the Gaussian density on paper first; the exponential cancels.",
        "There are three terms: the squared distance in units of sigma, log sigma, and a constant. Keep them elementwise.",
        "-0.5 * ((z - mu) / sigma) ** 2 - log sigma - 0.5 * log(2 pi), or torch.distributions.Normal(mu, sigma).log_prob(z).",
    ),
    ELBO: (
        "The model's outputs hold everything: how well z explains x, and how far q(z|x) is from the prior.",
        "log_px = log p(x|z) and kl = log q(z|x) - log p(z), each summed over all dimensions but the first: "
        "one number for each example.",
        "log_px = reduce(px.log_prob(x)); kl = reduce(qz.log_prob(z) - pz.log_prob(z)); elbo = log_px - kl.",
    ),
    BETA: (
        "Which of the two terms does beta weight? And does an optimizer go up or down?",
        "beta_elbo = log_px - beta * kl for each example; the loss is one number that has to become small.",
        "loss = -(log_px - self.beta * kl).mean()",
    ),
    "vae.bernoulli": (
        "The Bernoulli log-probability of a pixel has a name in classification: it is a loss, up to its sign.",
        "torch.nn.functional.binary_cross_entropy_with_logits takes logits and targets. Look at its argument `reduction`.",
        "-F.binary_cross_entropy_with_logits(logits, x, reduction='none').flatten(1).sum(1)",
    ),
    "vae.gaussian_kl": (
        "Write E_q[log q(z) - log p(z)] for one dimension; you need E_q[(z - mu_q)^2] and E_q[(z - mu_p)^2].",
        "E_q[(z - mu_p)^2] = sigma_q^2 + (mu_q - mu_p)^2; the log(2 pi) terms cancel. Then sum over latents.",
        "(log_sigma_p - log_sigma_q + 0.5 * (exp(2 log_sigma_q) + (mu_q - mu_p)^2) * exp(-2 log_sigma_p) - 0.5).sum(-1)",
    ),
    "vae.pathwise_gradient": (
        "How does f(z) change when mu moves and epsilon stays where it is?",
        "d/dmu f(mu + sigma epsilon) = f'(z). torch.autograd.grad(f(z).sum(), z) gives f' at every sample at once.",
        "z = (mu + log_sigma.exp() * torch.randn(num_samples)).detach().requires_grad_(); "
        "return torch.autograd.grad(f(z).sum(), z)[0]",
    ),
    "vae.score_gradient": (
        "Move the derivative inside the integral of q(z) f(z), and use grad q = q grad log q.",
        "The estimate is f(z) times d/dmu log q(z); for a Gaussian the latter is (z - mu) / sigma^2.",
        "epsilon = torch.randn(num_samples); sigma = log_sigma.exp(); return f(mu + sigma * epsilon) * epsilon / sigma",
    ),
}


def misconceptions(check: str) -> tuple[Misconception, ...]:
    """The mistakes that `check` can name."""
    return tuple(Misconception(name, *entry) for name, entry in TABLES[check].items())
