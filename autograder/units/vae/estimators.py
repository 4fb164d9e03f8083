"""Exercises 2a and 2b: the gradient d/dmu E[f(z)], z ~ N(mu, sigma^2), with the reparameterization trick and with the score function."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Edit, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.laws import SIGMAS
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.vae import PREAMBLE
from autograder.units.vae.probes import example, probe_estimator

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
SAMPLES = 20_000
NODES, WEIGHTS = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(80))


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Three settings (a, b, c, mu, log_sigma) of f(z) = a z^2 + b sin(2 z) + c."""
    low, width = torch.tensor([0.5, 0.5, 0.5, 0.7, 0.0]), torch.tensor([1.0, 1.0, 1.5, 1.1, 0.15])
    settings = low + width * torch.rand(3, 5, generator=rng)
    settings[:, 4] += torch.tensor([-0.8, -0.4, 0.25])
    seed = int(torch.randint(2**31, (), generator=rng))
    return {"settings": [tuple(row) for row in settings.tolist()], "num_samples": SAMPLES, "seed": seed}


class Setting:
    """f, its slope, and the exact moments of an estimator g(setting, epsilon) by Gauss-Hermite quadrature."""

    def __init__(self, a: float, b: float, c: float, mu: float, log_sigma: float):
        self.f, self.mu, self.sigma = example(a, b, c), mu, math.exp(log_sigma)
        self.slope = lambda z: 2 * a * z + 2 * b * torch.cos(2 * z)

    def moments(self, estimator: "Estimator") -> tuple[float, float, float]:
        """Mean, variance and fourth central moment."""
        g, weights = estimator(self, NODES), WEIGHTS / WEIGHTS.sum()
        mean = (weights * g).sum()
        return float(mean), float((weights * (g - mean) ** 2).sum()), float((weights * (g - mean) ** 4).sum())


Estimator = Callable[[Setting, Tensor], Tensor]


def pathwise(setting: Setting, epsilon: Tensor) -> Tensor:
    """f'(mu + sigma epsilon) (Kingma and Welling 2014, section 2.4)."""
    return setting.slope(setting.mu + setting.sigma * epsilon)


def score(setting: Setting, epsilon: Tensor) -> Tensor:
    """f(z) (z - mu) / sigma^2 (Williams 1992)."""
    return setting.f(setting.mu + setting.sigma * epsilon) * epsilon / setting.sigma


# --- the laws ------------------------------------------------------------------------------------


def law(name: str, right: Estimator, holds: Callable[..., bool], good: str, bad: str) -> Behavior:
    """What holds of the estimates in each setting, given the moments of the estimator `right`."""

    def judge(seen: Seen) -> Finding:
        estimates = [e.double() for e in seen.outputs["estimates"]]
        moments = [Setting(*setting).moments(right) for setting in seen.inputs["settings"]]
        first, shape, message = estimates[0], list(estimates[0].shape), bad
        if any(e.shape != (SAMPLES,) for e in estimates):
            message = f"One estimate for each sample is asked for, shape [num_samples]; yours has shape {shape}."
        elif not all(e.isfinite().all() for e in estimates):
            message = "Some estimates are not finite."
        elif all(map(holds, estimates, *zip(*moments))):
            return passed(name, good)
        return failed(name, message, None, f"shape [{SAMPLES}], mean {moments[0][0]:.3f}, variance {moments[0][1]:.3f}",
                      f"shape {shape}, mean {float(first.mean()):.3f}, variance {float(first.var()) if first.numel() > 1 else 0.0:.3f}")

    return Behavior(name, 1, judge, lambda outputs: outputs["estimates"], rtol=1e-3, atol=1e-5)


def same_mean(estimates: Tensor, mean: float, variance: float, fourth: float) -> bool:
    # An unbiased estimator of another kind may spread more: that is judged apart.
    error = math.sqrt(max(variance, float(estimates.var())) / SAMPLES)
    return abs(float(estimates.mean()) - mean) <= SIGMAS * error + 1e-6 * abs(mean)


def same_variance(estimates: Tensor, mean: float, variance: float, fourth: float) -> bool:
    # The fourth moment of the score function is heavy: 8 standard errors keep false alarms below 1e-6.
    error = math.sqrt(max(fourth - variance**2, 0) / SAMPLES)
    return abs(float(estimates.var()) - variance) <= 8 * error + 1e-6 * variance


# --- two exercises -------------------------------------------------------------------------------

EPSILON = "torch.randn(num_samples, dtype=mu.dtype)"
COMMON = (
    Mistake("no_randomness", "All estimates are the same: no sample is drawn for each.", "Draw num_samples values of epsilon.",
            (EPSILON, "torch.randn(()).repeat(num_samples)")),
    Mistake("already_averaged", "The samples are averaged; one estimate for each sample is asked for.",
            "Return the num_samples single-sample estimates, so that their spread can be seen.",
            wrapped("value.mean()"), wrapped("value.mean().expand(given[3])")),
    Mistake("divided_by_num_samples", "Each estimate is divided by the number of samples.",
            "A single-sample estimate is f's own gradient at one sample; averaging comes later.", wrapped("value / given[3]")),
    Mistake("sign_flipped", "The sign of the gradient is wrong.", "d/dmu log q(z) = (z - mu) / sigma^2, and dz/dmu = 1.",
            wrapped("-value")),
)
OF_LOG_SIGMA = ("gradient_of_log_sigma", "This is the gradient with respect to log_sigma.",
                "The derivative with respect to mu is asked for.")

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


def picture_of(right: Estimator) -> Callable[..., str]:
    """The picture of single-sample estimates of the first setting beside those of the estimator `right`."""

    def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        setting, got = Setting(*inputs["settings"][0]), outputs["estimates"][0].double().flatten()
        if got.numel() < 2 or not got.isfinite().all():
            raise ValueError("no estimates")
        mean, variance, _ = setting.moments(right)
        want = right(setting, torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0)).double())
        ends = torch.cat([got, want]).quantile(torch.tensor([0.005, 0.995], dtype=torch.float64))
        bins = torch.linspace(*ends.tolist(), 60).tolist()
        ax.hist(want, bins, density=True, color=RIGHT, alpha=0.5, label="right")
        ax.hist(got, bins, density=True, histtype="step", color=YOURS, label="yours")
        ax.set(xlabel="estimate from one sample", ylabel="density")
        ax.legend(fontsize=7, loc="upper right")
        return (f"Your estimates have mean {float(got.mean()):.3f} and standard deviation {float(got.std()):.3f}; "
                f"right are {mean:.3f} and {math.sqrt(variance):.3f}.")

    return picture


def exercise(target: str, title: str, right: Estimator, solution: str, mistakes: tuple[Mistake, ...], variants: dict[str, Edit],
             hints: tuple[str, str, str]) -> Exercise:
    return Exercise(
        name=f"vae.{target}", target=target, title=title, read_on="Lecture 01, the reparameterization trick", solution=solution,
        preamble=PREAMBLE, draw=draw, probe=probe_estimator,
        laws=(law("unbiased", right, same_mean, "The mean of your estimates is the gradient.",
                  "The mean of your estimates is not the gradient."),
              law("estimator", right, same_variance, "Each entry is a single-sample estimate of the right kind.",
                  "The spread of your estimates is not that of this estimator.")),
        mistakes=(*COMMON, *mistakes), variants=variants, hints=hints, picture=picture_of(right))


EXERCISES = (
    exercise("pathwise_gradient", "The gradient of an expectation, with the trick", pathwise, PATHWISE, OF_PATHWISE, {
        "expanded mu": body(PATHWISE, "mus = mu.detach().expand(num_samples).clone().requires_grad_(True)",
                            "z = mus + log_sigma.detach().exp() * torch.randn(num_samples)",
                            "return torch.autograd.grad(f(z).sum(), mus)[0]"),
        "torch's Normal": body(PATHWISE, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                               "q = torch.distributions.Normal(mus, log_sigma.detach().exp())", "f(q.rsample()).sum().backward()",
                               "return mus.grad"),
        "keeps the graph": body(PATHWISE, "m = mu.expand(num_samples) + torch.zeros(num_samples, requires_grad=True)",
                                "z = m + log_sigma.exp() * torch.randn_like(m)",
                                "(gradient,) = torch.autograd.grad(f(z).sum(), m, create_graph=True)", "return gradient"),
    }, (
        "How does f(z) change when mu moves and epsilon stays where it is?",
        "d/dmu f(mu + sigma epsilon) = f'(z). torch.autograd.grad(f(z).sum(), z) gives f' at every sample at once.",
        "z = (mu + log_sigma.exp() * torch.randn(num_samples)).detach().requires_grad_(); "
        "return torch.autograd.grad(f(z).sum(), z)[0]",
    )),
    exercise("score_gradient", "The gradient of an expectation, without the trick", score, SCORE, OF_SCORE, {
        "f times epsilon over sigma": body(SCORE, "epsilon, sigma = torch.randn(num_samples), torch.exp(log_sigma)",
                                           "return f(mu + sigma * epsilon) * epsilon / sigma"),
        "autograd of log q": body(SCORE, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                                  "q = torch.distributions.Normal(mus, log_sigma.detach().exp())", "z = q.sample()",
                                  "(score,) = torch.autograd.grad(q.log_prob(z).sum(), mus)", "return f(z) * score"),
        "gradient of f times log q": body(SCORE, "mus = mu.detach().repeat(num_samples).requires_grad_()",
                                          "z = (mus + log_sigma.exp() * torch.randn(num_samples)).detach()",
                                          "log_q = -0.5 * (z - mus) ** 2 * torch.exp(-2 * log_sigma.detach())",
                                          "return torch.autograd.grad((f(z).detach() * log_q).sum(), mus)[0]"),
    }, (
        "Move the derivative inside the integral of q(z) f(z), and use grad q = q grad log q.",
        "The estimate is f(z) times d/dmu log q(z); for a Gaussian the latter is (z - mu) / sigma^2.",
        "epsilon = torch.randn(num_samples); sigma = log_sigma.exp(); return f(mu + sigma * epsilon) * epsilon / sigma",
    )),
)
