"""Exercise 2b: the gradient of an expectation, with the score function."""

from __future__ import annotations

from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body
from autograder.units.vae import PREAMBLE
from autograder.units.vae.estimators import COMMON, NO_RANDOMNESS, OF_LOG_SIGMA, Setting, draw, laws, picture_of, replay
from autograder.units.vae.probes import probe_estimator

SOLUTION = '''\
def score_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of the same gradient from each sample, by the score function; shape (num_samples,)."""
    sigma = log_sigma.detach().exp()
    z = mu.detach() + sigma * torch.randn(num_samples, dtype=mu.dtype)
    return f(z) * (z - mu.detach()) / sigma**2
'''
EPSILON, F, SCORE = "torch.randn(num_samples, dtype=mu.dtype)", "f(z) * ", "(z - mu.detach()) / sigma**2"


def score(setting: Setting, epsilon: Tensor) -> Tensor:
    """f(z) (z - mu) / sigma^2 (Williams 1992)."""
    return setting.f(setting.mu + setting.sigma * epsilon) * epsilon / setting.sigma


MISTAKES = (
    Mistake(*NO_RANDOMNESS, (EPSILON, "torch.randn(()).repeat(num_samples)")),
    Mistake("pathwise_for_score", "This is the reparameterized estimator; the score function is asked for.",
            "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2; f itself is not differentiated.",
            (F + SCORE, "torch.autograd.grad(f(z.requires_grad_()).sum(), z)[0]")),
    Mistake("score_is_zero", "The gradient of log q is zero, because z moved along with mu.",
            "Differentiate log q(z) with z held fixed: sample z without gradient.", (SCORE, "(z - z)")),
    Mistake("f_left_out", "f is left out: this is the score alone, whose mean is zero.", "Multiply the score with f(z).",
            (F, ""), (F, "0 * f(z) + ")),
    Mistake("score_without_square", "The score is divided by sigma once; it needs sigma squared.", "d/dmu log q(z) = (z - mu) / sigma^2.",
            (SCORE, "(z - mu.detach()) / sigma"), (SCORE, "(z - mu.detach())")),
    Mistake("f_without_score", "f(z) is returned without the score.", "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2.",
            (f" * {SCORE}", "")),
    Mistake(*OF_LOG_SIGMA, (SCORE, "(((z - mu.detach()) / sigma) ** 2 - 1)"),
            (F + SCORE, "torch.autograd.grad(f(z.requires_grad_()).sum(), z)[0] * (z - mu).detach()")),
    *COMMON,
)

VARIANTS = {
    "f times epsilon over sigma": body(SOLUTION, "epsilon, sigma = torch.randn(num_samples), torch.exp(log_sigma)",
                                       "return f(mu + sigma * epsilon) * epsilon / sigma"),
    "autograd of log q": body(SOLUTION, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                              "q = torch.distributions.Normal(mus, log_sigma.detach().exp())", "z = q.sample()",
                              "(score,) = torch.autograd.grad(q.log_prob(z).sum(), mus)", "return f(z) * score"),
    "gradient of f times log q": body(SOLUTION, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                                      "z = (mus + log_sigma.exp() * torch.randn(num_samples)).detach()",
                                      "log_q = -0.5 * (z - mus) ** 2 * torch.exp(-2 * log_sigma.detach())",
                                      "return torch.autograd.grad((f(z).detach() * log_q).sum(), mus)[0]"),
}

HINTS = (
    "Move the derivative inside the integral of q(z) f(z), and use grad q = q grad log q.",
    "The estimate is f(z) times d/dmu log q(z); for a Gaussian the latter is (z - mu) / sigma^2.",
    "epsilon = torch.randn(num_samples); sigma = log_sigma.exp(); return f(mu + sigma * epsilon) * epsilon / sigma",
)

EXERCISES = (
    Exercise(name="vae.score_gradient", target="score_gradient", title="The gradient of an expectation, without the trick",
        read_on="Lecture 01, the reparameterization trick", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_estimator,
        replay=replay, laws=laws(score), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture_of(score)),
)
