"""Exercise 2a: the gradient of an expectation, with the reparameterization trick."""

from __future__ import annotations

from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body
from autograder.units.vae import PREAMBLE
from autograder.units.vae.estimators import COMMON, NO_RANDOMNESS, OF_LOG_SIGMA, Setting, draw, laws, picture_of, replay
from autograder.units.vae.probes import probe_estimator

SOLUTION = '''\
def pathwise_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of d/dmu E[f(z)], z ~ N(mu, sigma^2), from each sample, by the trick; shape (num_samples,)."""
    epsilon = torch.randn(num_samples, dtype=mu.dtype)
    z = (mu + log_sigma.exp() * epsilon).detach().requires_grad_()  # dz/dmu = 1, so df/dmu = df/dz
    return torch.autograd.grad(f(z).sum(), z)[0]
'''
EPSILON, SIGMA, SLOPE = "torch.randn(num_samples, dtype=mu.dtype)", "log_sigma.exp()", "torch.autograd.grad(f(z).sum(), z)[0]"


def pathwise(setting: Setting, epsilon: Tensor) -> Tensor:
    """f'(mu + sigma epsilon) (Kingma and Welling 2014, section 2.4)."""
    return setting.slope(setting.mu + setting.sigma * epsilon)


MISTAKES = (
    Mistake(*NO_RANDOMNESS, (EPSILON, "torch.randn(()).repeat(num_samples)")),
    Mistake("derivative_at_mu", "The derivative is taken at mu, not at the samples.", "Differentiate f at z = mu + sigma * epsilon.",
            (f"{SIGMA} * epsilon", "0 * epsilon")),
    Mistake("wrong_sigma", "The samples have the wrong spread.", "sigma = exp(log_sigma).",
            (SIGMA, "log_sigma"), (SIGMA, "log_sigma.exp() ** 2"), (SIGMA, "1.0"), (SIGMA, "(0.5 * log_sigma).exp()")),
    Mistake(*OF_LOG_SIGMA, (SLOPE, f"{SLOPE} * log_sigma.exp() * epsilon"), (SLOPE, "f(z).detach() * (epsilon**2 - 1)")),
    Mistake("score_for_pathwise", "This is the score-function estimator; the reparameterized one is asked for.",
            "Write z = mu + sigma * epsilon and differentiate f(z) through z.", (SLOPE, "f(z).detach() * epsilon / log_sigma.exp()")),
    *COMMON,
)

VARIANTS = {
    "expanded mu": body(SOLUTION, "mus = mu.detach().expand(num_samples).clone().requires_grad_(True)",
                        "z = mus + log_sigma.detach().exp() * torch.randn(num_samples)", "return torch.autograd.grad(f(z).sum(), mus)[0]"),
    "torch's Normal": body(SOLUTION, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                           "f(torch.distributions.Normal(mus, log_sigma.detach().exp()).rsample()).sum().backward()", "return mus.grad"),
    "keeps the graph": body(SOLUTION, "m = mu.expand(num_samples) + torch.zeros(num_samples, requires_grad=True)",
                            "z = m + log_sigma.exp() * torch.randn_like(m)",
                            "(gradient,) = torch.autograd.grad(f(z).sum(), m, create_graph=True)", "return gradient"),
}

HINTS = (
    "How does f(z) change when mu moves and epsilon stays where it is?",
    "d/dmu f(mu + sigma epsilon) = f'(z). torch.autograd.grad(f(z).sum(), z) gives f' at every sample at once.",
    "z = (mu + log_sigma.exp() * torch.randn(num_samples)).detach().requires_grad_(); "
    "return torch.autograd.grad(f(z).sum(), z)[0]",
)

EXERCISES = (
    Exercise(name="vae.pathwise_gradient", target="pathwise_gradient", title="The gradient of an expectation, with the trick",
        read_on="Lecture 01, the reparameterization trick", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_estimator,
        replay=replay, laws=laws(pathwise), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture_of(pathwise)),
)
