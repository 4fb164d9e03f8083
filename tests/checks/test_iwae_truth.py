"""The reference of unit 02's checks, itself checked: against torch's distributions, autograd and an integral."""

import math

import pytest
import torch
from autograder.checks.iwae_average import expectation
from autograder.checks.iwae_gradients import bound, dreg_gradient
from autograder.checks.iwae_layouts import layouts, nested
from autograder.checks.iwae_truth import Truth, draw_sampled, log_mean_exp
from torch.distributions import Bernoulli, Normal


def a_truth(seed=0):
    inputs = draw_sampled(torch.Generator().manual_seed(seed))
    return Truth(inputs["weights"], inputs["x"])


def test_pieces_are_the_densities():
    truth, rng = a_truth(), torch.Generator().manual_seed(1)
    z = truth.draw(3, rng)
    p = truth.pieces(z)
    logits = z @ truth.weights["decoder.weight"].T + truth.weights["decoder.bias"]
    assert torch.allclose(p.log_px, Bernoulli(logits=logits).log_prob(truth.x).sum(-1))
    assert torch.allclose(p.log_pz, Normal(0.0, 1.0).log_prob(z).sum(-1))
    assert torch.allclose(p.log_qz, Normal(truth.mu, truth.log_sigma.exp()).log_prob(z).sum(-1))
    assert torch.allclose(truth.draw(20_000, rng).mean(0), truth.mu, atol=0.05)


def test_examples_underflow_as_the_statements_say():
    for seed in range(20):
        log_w = (truth := a_truth(seed)).pieces(truth.draw(50, torch.Generator().manual_seed(seed))).log_w
        assert float(log_w.max()) < -104 and float(log_w[:, -1].max()) < -745  # exp is 0 in float32, and in float64 for the last
        assert float((log_mean_exp(log_w[:7]) - log_w[:7].mean(0)).mean()) > 1.0  # L_7 is well above the ELBO


def test_the_mean_weight_is_the_integral():
    """One latent of the model alone, and a q that is wider than the prior: E_q[w] = integral of p(x|z) p(z), by quadrature."""
    truth = a_truth(3)
    truth.weights["decoder.weight"] = truth.weights["decoder.weight"][:, :1]
    truth.mu, truth.log_sigma = 0.3 * truth.mu[:, :1], torch.full_like(truth.mu[:, :1], 0.5)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    p = truth.pieces(grid[:, None, None].expand(-1, len(truth.x), 1))
    exact = torch.logsumexp(p.log_px + p.log_pz, 0) + math.log(float(grid[1] - grid[0]))
    draws = truth.pieces(truth.draw(20_000, torch.Generator().manual_seed(2))).log_w
    error = (draws - exact).exp().std(0) / len(draws) ** 0.5
    assert bool(((draws - exact).exp().mean(0) - 1).abs().le(6 * error + 1e-9).all())


def test_gradient_is_that_of_finite_differences():
    truth, rng = a_truth(5), torch.Generator().manual_seed(4)
    noise = torch.randn(4, *truth.mu.shape, generator=rng, dtype=torch.float64)
    gradient = truth.gradient(noise, bound)

    def value(weights):
        mu, log_sigma = truth.encode(weights)
        return log_mean_exp(truth.pieces(mu + log_sigma.exp() * noise, weights, (mu, log_sigma)).log_w).sum()

    for name, place in (("encoder.bias", 1), ("encoder.bias", 6), ("decoder.bias", 17)):
        step = torch.zeros_like(truth.weights[name])
        step[place] = 1e-6
        up, down = ({**truth.weights, name: truth.weights[name] + sign * step} for sign in (1, -1))
        assert float(gradient[name][place]) == pytest.approx(float(value(up) - value(down)) / 2e-6, rel=1e-5, abs=1e-6)


def test_dreg_agrees_with_the_gradient_of_the_bound_on_average():
    """Tucker et al. 2019: another estimator of the same gradient (here for the encoder's bias, 6 standard errors)."""
    truth, rng = a_truth(6), torch.Generator().manual_seed(5)
    differences = []
    for _ in range(300):
        noise = torch.randn(5, *truth.mu.shape, generator=rng, dtype=torch.float64)
        differences.append(dreg_gradient(truth, noise)["encoder.bias"] - truth.gradient(noise, bound)["encoder.bias"])
    differences = torch.stack(differences)
    assert bool((differences.mean(0).abs() <= 6 * differences.std(0) / len(differences) ** 0.5).all())
    assert float(differences.abs().mean()) > 1e-3  # and not the same numbers


def test_expectation_grows_with_k_and_tells_different_samples():
    truth = a_truth(7)
    (one, error), (five, _), (apart, _) = expectation(truth, 1, "right"), expectation(truth, 5, "right"), expectation(truth, 5, "different")
    elbo = truth.pieces(truth.draw(4000, torch.Generator().manual_seed(1))).log_w.mean(0)
    assert bool(((one - elbo).abs() <= 7 * 2**0.5 * error).all()) and bool((five > one).all())
    assert float((five - apart).abs().max()) > 0.1


@pytest.mark.parametrize("order", ["sample", "example", "chunks of samples", "chunks of examples"])
def test_layouts_hold_the_order_in_which_rows_were_decoded(order):
    z = torch.randn(6, 4, 3)
    by_example = z.transpose(0, 1)
    rows, sizes = {
        "sample": (z.flatten(0, 1), [24]),
        "example": (by_example.flatten(0, 1), [24]),
        "chunks of samples": (torch.cat([z[:4].transpose(0, 1).flatten(0, 1), z[4:].transpose(0, 1).flatten(0, 1)]), [16, 8]),
        "chunks of examples": (torch.cat([z[:, :3].flatten(0, 1), z[:, 3:].flatten(0, 1)]), [18, 6]),
    }[order]
    assert any(torch.equal(found, z) for found in layouts(rows, sizes, 4).values())
    assert layouts(rows[:-1], sizes, 4) == {}


@pytest.mark.parametrize("outer", ["samples", "examples"])
@pytest.mark.parametrize("by_sample", [True, False])
def test_two_loops_are_read_in_their_order(outer, by_sample):
    """Chunks of 3, 3 and 1 samples, of 4 and 2 examples, whichever loop is the outer one."""
    z = torch.randn(7, 6, 3)
    samples, examples = [slice(0, 3), slice(3, 6), slice(6, 7)], [slice(0, 4), slice(4, 6)]
    chunks = [z[k, b] for k in samples for b in examples] if outer == "samples" else [z[k, b] for b in examples for k in samples]
    parts = [(chunk if by_sample else chunk.transpose(0, 1)).flatten(0, 1) for chunk in chunks]
    found = nested(torch.cat(parts), [len(part) for part in parts], 6)
    assert any(torch.equal(read, z) for read in found)
    assert nested(torch.cat(parts)[:-1], [len(part) for part in parts], 6) == []


def test_latents_are_kept_inside_vmap():
    from autograder.probes.iwae import SampledVAE

    inputs = draw_sampled(torch.Generator().manual_seed(1))
    model, z = SampledVAE(inputs["weights"], (784,)), torch.randn(5, 3, 4)
    torch.vmap(torch.vmap(model.decoder))(z)
    torch.vmap(model.decoder, in_dims=1)(z)
    assert torch.equal(model.decoded[0], z) and torch.equal(model.decoded[1], z.transpose(0, 1))
