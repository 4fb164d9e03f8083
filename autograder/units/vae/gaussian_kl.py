"""Exercise 1e: the KL of two diagonal Gaussians in closed form."""

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Exercise, Mistake, body, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import general, gradient, value
from autograder.units.vae import PREAMBLE

SOLUTION = '''\
def gaussian_kl(mu_q: Tensor, log_sigma_q: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL(q || p) of diagonal Gaussians, arguments (batch, M), in nats; shape (batch,)."""
    log_ratio = log_sigma_q - log_sigma_p
    distance = (mu_q - mu_p) / log_sigma_p.exp()
    return (0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio).sum(dim=-1)
'''
RATIO, DISTANCE = "log_sigma_q - log_sigma_p", "(mu_q - mu_p) / log_sigma_p.exp()"
VARIANCES, QUADRATIC, HALF, ONE = "torch.exp(2 * log_ratio)", "distance**2", "0.5 * (", " - 1)"
NORMALS = [f"{name} = torch.distributions.Normal(mu_{name}, log_sigma_{name}.exp())" for name in "qp"]


def draw(rng: torch.Generator) -> dict[str, Any]:
    def normal(scale: float, shift: float = 0.0) -> Tensor:
        return scale * torch.randn(6, 5, generator=rng) + shift

    usual = {"mu_q": normal(1.5), "log_sigma_q": normal(0.5, -0.3), "mu_p": normal(0.8), "log_sigma_p": normal(0.4, 0.2)}
    return cases("gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p)", tuple(usual), usual=usual)


MISTAKES = (
    Mistake("kl_reversed", "This is KL(p||q), and KL(q||p) is asked for.",
            "q is divided by p under an expectation over q: sigma_q stands in the numerator of the trace term.",
            ((RATIO, "log_sigma_p - log_sigma_q"), (DISTANCE, "(mu_p - mu_q) / log_sigma_q.exp()"))),
    Mistake("kl_sign_flipped", "The sign is wrong: a KL is never negative.",
            "log sigma_p - log sigma_q + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2.", wrapped("-value")),
    Mistake("prior_ignored", "This is the KL to N(0, 1), whatever p is.",
            "Use mu_p and log_sigma_p: the exercise asks for any two diagonal Gaussians.", ((RATIO, "log_sigma_q"), (DISTANCE, "mu_q"))),
    Mistake("mean_over_latents", "The latents are averaged where they have to be summed.", "The KL of independent dimensions adds up.",
            (".sum(dim=-1)", ".mean(dim=-1)")),
    *general("summed_over_the_batch"),
    Mistake("not_summed", "The latents are not summed.", "Sum over the last dimension: one value for each example.", (".sum(dim=-1)", "")),
    Mistake("log_variance_for_log_sigma", "log_sigma is read as a log-variance.", "With log_sigma given, sigma^2 = exp(2 log_sigma).",
            ((RATIO, "0.5 * (log_sigma_q - log_sigma_p)"), (DISTANCE, "(mu_q - mu_p) / (0.5 * log_sigma_p).exp()"))),
    Mistake("variance_for_standard_deviation", "Standard deviations stand where variances belong.",
            "The squares need sigma_q^2 and sigma_p^2.", ((VARIANCES, "torch.exp(log_ratio)"), (QUADRATIC, "distance * (mu_q - mu_p)"))),
    Mistake("missing_half_in_kl", "A factor 1/2 is missing.",
            "log sigma_p - log sigma_q + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2.",
            (HALF, "("), ((HALF, "("), (" - log_ratio", " - 2 * log_ratio"))),
    Mistake("constant_in_kl", "The constant -1/2 for each dimension is missing or wrong.",
            "The KL of a distribution with itself must be zero: try it.", (ONE, ")"), (ONE, " - 2)")),
    Mistake("monte_carlo_for_closed_form", "This is a Monte Carlo estimate; the closed form is asked for.",
            "Two calls with the same arguments must agree: no sample is needed.",
            body(SOLUTION, *NORMALS, "z = q.rsample((2_000,))", "return (q.log_prob(z) - p.log_prob(z)).mean(dim=0).sum(dim=-1)")),
    *general("without_gradient", "changes_its_inputs"),
)

VARIANTS = {
    "torch's kl_divergence": body(SOLUTION, *NORMALS, "return torch.distributions.kl_divergence(q, p).sum(-1)"),
    "cross-entropy minus entropy": body(
        SOLUTION, "constant = 0.5 * math.log(2 * math.pi)",
        "cross = 0.5 * (torch.exp(2 * log_sigma_q) + (mu_q - mu_p) ** 2) * torch.exp(-2 * log_sigma_p) + log_sigma_p + constant",
        "entropy = 0.5 + log_sigma_q + constant", "return torch.einsum('bm->b', cross - entropy)"),
}

EXERCISES = (
    Exercise(name="vae.gaussian_kl", target="gaussian_kl", title="The KL of two diagonal Gaussians in closed form",
        read_on="Lecture 01, what the KL term does", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(value(2, "usual", what="The KL", random="monte_carlo_for_closed_form"), gradient(1, "usual")),
        mistakes=MISTAKES, variants=VARIANTS, hints=(
            "Write E_q[log q(z) - log p(z)] for one dimension; you need E_q[(z - mu_q)^2] and E_q[(z - mu_p)^2].",
            "E_q[(z - mu_p)^2] = sigma_q^2 + (mu_q - mu_p)^2; the log(2 pi) terms cancel. Then sum over latents.",
            "(log_sigma_p - log_sigma_q + 0.5 * (exp(2 log_sigma_q) + (mu_q - mu_p)^2) * exp(-2 log_sigma_p) - 0.5).sum(-1)",
        )),
)
