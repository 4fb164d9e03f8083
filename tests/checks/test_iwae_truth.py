"""The reference of unit 02's checks, itself checked: against torch's distributions, an integral, and another estimator."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from autograder.catalogue import find_check
from autograder.exercises.recording import RecordingVAE
from autograder.units.iwae.sampled import Truth, draw_model, log_mean_exp


def a_truth(seed=0):
    return Truth(*draw_model(torch.Generator().manual_seed(seed)).values())


def drawn(truth, number, seed):
    noise = torch.randn(number, *truth.mu.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return truth.mu + truth.log_sigma.exp() * noise


def test_log_weights_are_made_of_the_densities():
    truth = a_truth()
    z = drawn(truth, 3, 1)
    logits = z @ truth.weights["decoder.weight"].T + truth.weights["decoder.bias"]
    log_px = Bernoulli(logits=logits).log_prob(truth.x).sum(-1)
    kl = (Normal(truth.mu, truth.log_sigma.exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
    assert torch.allclose(truth.log_w(z), log_px - kl) and torch.allclose(truth.kl(z), kl)
    assert torch.allclose(truth.noise(z), (z - truth.mu) / truth.log_sigma.exp())


def test_examples_underflow_as_the_statements_say():
    for seed in range(20):
        log_w = (truth := a_truth(seed)).log_w(drawn(truth, 50, seed))
        assert float(log_w.max()) < -104 and float(log_w[:, -1].max()) < -745  # exp is 0 in float32, and in float64 for the last


def test_the_mean_weight_is_the_integral():
    """One latent of the model alone, and a q that is wider than the prior: E_q[w] = integral of p(x|z) p(z), by quadrature."""
    truth = a_truth(3)
    truth.weights["decoder.weight"] = truth.weights["decoder.weight"][:, 2:3]
    truth.mu, truth.log_sigma = 0.3 * truth.mu[:, 2:3], torch.full_like(truth.mu[:, 2:3], 0.5)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    z = grid[:, None, None].expand(-1, len(truth.x), 1)
    log_joint = truth.log_w(z) + Normal(truth.mu, truth.log_sigma.exp()).log_prob(z).sum(-1)
    exact = torch.logsumexp(log_joint, 0) + math.log(float(grid[1] - grid[0]))
    log_w = truth.log_w(drawn(truth, 20_000, 2))
    error = (log_w - exact).exp().std(0) / len(log_w) ** 0.5
    assert bool(((log_w - exact).exp().mean(0) - 1).abs().le(6 * error + 1e-9).all())
    assert bool((log_mean_exp(log_w) - exact).abs().max() < 0.2)


@pytest.fixture
def gradients():
    """gradient(check, seed): of the solution's sum, for the encoder's bias, with the noise that the seed gives."""
    inputs = draw_model(torch.Generator().manual_seed(6))
    model, x = RecordingVAE(inputs["weights"], (784,)), inputs["x"]
    solutions = {name: find_check(name).object(find_check(name).solution) for name in ("iwae.bound", "iwae.dreg")}

    def gradient(name, seed):
        torch.manual_seed(seed)
        return torch.autograd.grad(solutions[name](model, x, 5).sum(), model.encoder.bias)[0].double()

    return gradient


def test_dreg_agrees_with_the_gradient_of_the_bound_on_average(gradients):
    """Tucker et al. 2019: another estimator of the same gradient (6 standard errors)."""
    differences = torch.stack([gradients("iwae.dreg", seed) - gradients("iwae.bound", seed) for seed in range(300)])
    assert bool((differences.mean(0).abs() <= 6 * differences.std(0) / len(differences) ** 0.5).all())
    assert float(differences.abs().mean()) > 1e-3  # and not the same numbers


def test_latents_are_kept_inside_vmap():
    model, z = RecordingVAE(draw_model(torch.Generator().manual_seed(1))["weights"], (784,)), torch.randn(5, 3, 4)
    torch.vmap(torch.vmap(model.decoder))(z)
    torch.vmap(model.decoder, in_dims=1)(z)
    assert torch.equal(model.decoded[0].reshape(z.shape), z) and torch.equal(model.decoded[1].reshape(3, 5, 4), z.transpose(0, 1))
