"""Exercises 2a and 2b: the gradient d/dmu E[f(z)], z ~ N(mu, sigma^2), with the reparameterization trick and with the score function."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Edit, Exercise, Finding, Mistake, Seen, body, failed, passed, run, wrapped
from autograder.exercises.laws import Summary, agree
from autograder.exercises.pictures import histogram
from autograder.units.vae import PREAMBLE
from autograder.units.vae.probes import probe_estimator

PATHWISE = '''\
def pathwise_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of d/dmu E[f(z)], z ~ N(mu, sigma^2), from each sample, by the trick; shape (num_samples,)."""
    epsilon = torch.randn(num_samples, dtype=mu.dtype)
    z = (mu + log_sigma.exp() * epsilon).detach().requires_grad_()  # dz/dmu = 1, so df/dmu = df/dz
    return torch.autograd.grad(f(z).sum(), z)[0]
'''
SCORE = '''\
def score_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of the same gradient from each sample, by the score function; shape (num_samples,)."""
    sigma = log_sigma.detach().exp()
    z = mu.detach() + sigma * torch.randn(num_samples, dtype=mu.dtype)
    return f(z) * (z - mu.detach()) / sigma**2
'''


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Three settings (a, b, c, mu, log_sigma) of f(z) = a z^2 + b sin(2 z) + c."""
    low, width = torch.tensor([0.5, 0.5, 0.5, 0.7, 0.0]), torch.tensor([1.0, 1.0, 1.5, 1.1, 0.15])
    settings = low + width * torch.rand(3, 5, generator=rng)
    settings[:, 4] += torch.tensor([-0.8, -0.4, 0.25])
    seed = int(torch.randint(2**31, (), generator=rng))
    return {"settings": [tuple(row) for row in settings.tolist()], "num_samples": 20_000, "seed": seed}


def law(name: str, statistic: Callable[[Tensor], Tensor], good: str, bad: str) -> Behavior:
    """In each setting a statistic of the estimates is on average what it is of the solution's, but for chance."""

    def summaries(estimates: list[Tensor]) -> list[Summary]:
        found = [statistic(e.double()) for e in estimates]
        return [Summary(each.mean(), each.std() / math.sqrt(len(each))) for each in found]

    def judge(seen: Seen) -> Finding:
        got, right = seen.outputs["estimates"], seen.right["estimates"]
        message = bad
        if any(e.shape != right[0].shape for e in got):
            message = f"One estimate for each sample is asked for, shape [num_samples]; yours has shape {list(got[0].shape)}."
        elif agree(summaries(got), summaries(right)):
            return passed(name, good)
        said = [f"mean {float(e.mean()):.3f}, standard deviation {float(e.std(correction=0)):.3f}" for e in (right[0], got[0])]
        return failed(name, message, None, *said)

    return Behavior(name, 1, judge, lambda outputs: outputs["estimates"], rtol=1e-3, atol=1e-5)


LAWS = (
    law("unbiased", lambda e: e, "The mean of your estimates is the gradient.", "The mean of your estimates is not the gradient."),
    law("estimator", lambda e: (e - e.mean()).square(), "Each entry is a single-sample estimate of the right kind.",
        "The spread of your estimates is not that of this estimator."),
)

EPSILON = "torch.randn(num_samples, dtype=mu.dtype)"
COMMON = (
    Mistake("no_randomness", "All estimates are the same: no sample is drawn for each.", "Draw num_samples values of epsilon.",
            (EPSILON, "torch.randn(()).repeat(num_samples)")),
    Mistake("already_averaged", "The samples are averaged; one estimate for each sample is asked for.",
            "Return all num_samples estimates: their spread matters.", wrapped("value.mean()"), wrapped("value.mean().expand(given[3])")),
    Mistake("divided_by_num_samples", "Each estimate is divided by the number of samples.",
            "A single-sample estimate is f's own gradient at one sample; averaging comes later.", wrapped("value / given[3]")),
    Mistake("sign_flipped", "The sign of the gradient is wrong.", "d/dmu log q(z) = (z - mu) / sigma^2, and dz/dmu = 1.",
            wrapped("-value")),
)
OF_LOG_SIGMA = ("gradient_of_log_sigma", "This is the gradient with respect to log_sigma.", "The one with respect to mu is asked for.")

SIGMA, SLOPE = "log_sigma.exp()", "torch.autograd.grad(f(z).sum(), z)[0]"
OF_PATHWISE = (
    Mistake("derivative_at_mu", "The derivative is taken at mu, not at the samples.", "Differentiate f at z = mu + sigma * epsilon.",
            (f"{SIGMA} * epsilon", "0 * epsilon")),
    Mistake("wrong_sigma", "The samples have the wrong spread.", "sigma = exp(log_sigma).",
            (SIGMA, "log_sigma"), (SIGMA, "log_sigma.exp() ** 2"), (SIGMA, "1.0"), (SIGMA, "(0.5 * log_sigma).exp()")),
    Mistake(*OF_LOG_SIGMA, (SLOPE, f"{SLOPE} * log_sigma.exp() * epsilon"), (SLOPE, "f(z).detach() * (epsilon**2 - 1)")),
    Mistake("score_for_pathwise", "This is the score-function estimator; the reparameterized one is asked for.",
            "Write z = mu + sigma * epsilon and differentiate f(z) through z.", (SLOPE, "f(z).detach() * epsilon / log_sigma.exp()")),
)
F, SCORE_OF_Q = "f(z) * ", "(z - mu.detach()) / sigma**2"
OF_SCORE = (
    Mistake("pathwise_for_score", "This is the reparameterized estimator; the score function is asked for.",
            "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2; f itself is not differentiated.",
            (F + SCORE_OF_Q, "torch.autograd.grad(f(z.requires_grad_()).sum(), z)[0]")),
    Mistake("score_is_zero", "The gradient of log q is zero, because z moved along with mu.",
            "Differentiate log q(z) with z held fixed: sample z without gradient.", (SCORE_OF_Q, "(z - z)")),
    Mistake("f_left_out", "f is left out: this is the score alone, whose mean is zero.", "Multiply the score with f(z).",
            (F, ""), (F, "0 * f(z) + ")),
    Mistake("score_without_square", "The score is divided by sigma once; it needs sigma squared.", "d/dmu log q(z) = (z - mu) / sigma^2.",
            (SCORE_OF_Q, "(z - mu.detach()) / sigma"), (SCORE_OF_Q, "(z - mu.detach())")),
    Mistake("f_without_score", "f(z) is returned without the score.", "Multiply f(z) with d/dmu log q(z) = (z - mu) / sigma^2.",
            (f" * {SCORE_OF_Q}", "")),
    Mistake(*OF_LOG_SIGMA, (SCORE_OF_Q, "(((z - mu.detach()) / sigma) ** 2 - 1)"),
            (F + SCORE_OF_Q, "torch.autograd.grad(f(z.requires_grad_()).sum(), z)[0] * (z - mu).detach()")),
)


def exercise(target: str, title: str, solution: str, mistakes: tuple[Mistake, ...], variants: dict[str, Edit],
             hints: tuple[str, str, str]) -> Exercise:
    def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        """Single-sample estimates of the first setting."""
        right = run(made, solution, inputs)
        return histogram(ax, outputs["estimates"][0], right["estimates"][0], "estimate from one sample")

    made = Exercise(
        name=f"vae.{target}", target=target, title=title, read_on="Lecture 01, the reparameterization trick", solution=solution,
        preamble=PREAMBLE, draw=draw, probe=probe_estimator, laws=LAWS, mistakes=(*COMMON, *mistakes), variants=variants, hints=hints,
        picture=picture)
    return made


EXERCISES = (
    exercise("pathwise_gradient", "The gradient of an expectation, with the trick", PATHWISE, OF_PATHWISE, {
        "torch's Normal": body(PATHWISE, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                               "q = torch.distributions.Normal(mus, log_sigma.detach().exp())", "f(q.rsample()).sum().backward()",
                               "return mus.grad"),
        "keeps the graph": body(PATHWISE, "m = mu.expand(num_samples) + torch.zeros(num_samples, requires_grad=True)",
                                "z = m + log_sigma.exp() * torch.randn_like(m)",
                                "return torch.autograd.grad(f(z).sum(), m, create_graph=True)[0]"),
    }, (
        "How does f(z) change when mu moves and epsilon stays where it is?",
        "d/dmu f(mu + sigma epsilon) = f'(z). torch.autograd.grad(f(z).sum(), z) gives f' at every sample at once.",
        "z = (mu + log_sigma.exp() * torch.randn(num_samples)).detach().requires_grad_(); return torch.autograd.grad(f(z).sum(), z)[0]",
    )),
    exercise("score_gradient", "The gradient of an expectation, without the trick", SCORE, OF_SCORE, {
        "f times epsilon over sigma": body(SCORE, "epsilon, sigma = torch.randn(num_samples), torch.exp(log_sigma)",
                                           "return f(mu + sigma * epsilon) * epsilon / sigma"),
        "gradient of f times log q": body(SCORE, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                                          "q = torch.distributions.Normal(mus, log_sigma.detach().exp())", "z = q.sample()",
                                          "return torch.autograd.grad((f(z) * q.log_prob(z)).sum(), mus)[0]"),
    }, (
        "Move the derivative inside the integral of q(z) f(z), and use grad q = q grad log q.",
        "The estimate is f(z) times d/dmu log q(z); for a Gaussian the latter is (z - mu) / sigma^2.",
        "epsilon = torch.randn(num_samples); sigma = log_sigma.exp(); return f(mu + sigma * epsilon) * epsilon / sigma",
    )),
)
