"""Many samples: merge and unmerge by property, and the laws of L_K where log p(x) is known in closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from elbolab.inference import (
    VariationalInference,
    effective_sample_size,
    importance_weighted_bound,
    log_likelihood,
    log_weights,
    merge,
    normalized_weights,
    unmerge,
)
from elbolab.models import LinearGaussianVAE, VariationalAutoencoder

sizes = st.lists(st.integers(1, 4), min_size=0, max_size=3)

# --- merge and unmerge -------------------------------------------------------------------------------------------


@given(sizes, st.integers(0, 4), sizes)
def test_unmerge_undoes_merge(samples, batch, event):
    x = torch.randn(*samples, batch, *event)
    merged = merge(x, len(samples))
    assert merged.shape == (math.prod(samples) * batch, *event)
    assert torch.equal(unmerge(merged, *samples), x)


@given(st.integers(1, 5), st.integers(1, 5), sizes)
def test_merge_moves_no_example_to_another_place(k, batch, event):
    # Row k * B + b of the merged batch is sample k of example b, and nothing else.
    x = torch.randn(k, batch, *event)
    merged = merge(x)
    for sample in range(k):
        for example in range(batch):
            assert torch.equal(merged[sample * batch + example], x[sample, example])


@given(st.integers(1, 4), st.integers(1, 4))
def test_a_network_between_the_two_sees_each_sample_by_itself(k, batch):
    network, x = nn.Linear(3, 2), torch.randn(k, batch, 3)
    one_by_one = torch.stack([network(x[sample]) for sample in range(k)])
    torch.testing.assert_close(unmerge(network(merge(x)), k), one_by_one)


def test_merge_copies_nothing_where_the_memory_is_in_order():
    x = torch.randn(3, 4, 5)
    assert merge(x).data_ptr() == x.data_ptr() == unmerge(merge(x), 3).data_ptr()


@pytest.mark.parametrize("samples", [(), (3,), (2, 3)])
def test_the_decoder_takes_any_number_of_sample_dimensions(samples):
    model, z = VariationalAutoencoder((1, 4, 4), 2, hidden=(5,)), torch.randn(*samples, 7, 2)
    logits = model.observation_model(z).logits
    assert logits.shape == (*samples, 7, 1, 4, 4)
    torch.testing.assert_close(logits.flatten(-3), model.decoder(z))


# --- L_K ---------------------------------------------------------------------------------------------------------


def wide_model(factor=1.3, features=5, latents=2):
    """Orthogonal columns, so that p(z|x) is diagonal; q has its mean, and its deviation times `factor`."""
    weight = torch.linalg.qr(torch.randn(features, latents)).Q * torch.tensor([2.0, 0.7])
    model = LinearGaussianVAE(weight, torch.randn(features), 0.6)
    model.use_best_encoder()
    with torch.no_grad():
        model.encoder_log_sigma += math.log(factor)
    return model


def test_l_5000_is_log_px_within_its_monte_carlo_error():
    # E_q[(w / p(x))^2] = prod_m s^2 / sqrt(2 s^2 - 1) for N(mu, (s sigma)^2) against N(mu, sigma^2): a Gaussian integral.
    # The bound is then log p(x) give or take sqrt((that - 1) / K): 0.008 nats here. 64 examples, 5 deviations each
    # and for their mean: false alarm below 1e-4 on one fixed seed.
    factor, k = 1.3, 5000
    model, x = wide_model(factor), torch.randn(64, 5)
    deviation = math.sqrt(((factor**2 / math.sqrt(2 * factor**2 - 1)) ** 2 - 1) / k)
    error = importance_weighted_bound(log_weights(model, x, k)) - model.log_px(x)
    assert 0.001 < deviation < 0.01
    assert error.abs().max() < 5 * deviation and error.mean().abs() < 5 * deviation / 8
    assert 0.5 * deviation < error.std() < 2 * deviation  # so that returning log p(x) of a closed form is not it
    # The ELBO is off by 60 of these deviations.
    assert (model.log_px(x) - model.exact_elbo(x)).min() > 20 * deviation
    torch.testing.assert_close(log_likelihood(model, x, k), model.log_px(x).detach(), rtol=0, atol=5 * deviation)


@given(st.integers(1, 8), st.integers(0, 2**31), st.floats(0.1, 30))
def test_each_sample_more_raises_the_bound_on_average_over_which_is_left_out(k, seed, spread):
    # The step in the proof of L_K <= L_{K+1} (Burda et al., 2016, theorem 1), and it holds for any weights: the
    # mean over all of them is the mean of the leave-one-out means, and log is concave.
    log_w = spread * torch.randn(k + 1, 6, generator=torch.Generator().manual_seed(seed))
    without = [importance_weighted_bound(torch.cat([log_w[:j], log_w[j + 1 :]])) for j in range(k + 1)]
    assert (importance_weighted_bound(log_w) >= torch.stack(without).mean(0) - 1e-9).all()


def test_l_k_is_ordered_in_k_up_to_log_px():
    # 20,000 estimates of each, K = 1, 2, 5, 50: the gaps are tens of standard errors. L_1 is known exactly.
    model, x = wide_model(1.8), torch.randn(1, 5)
    exact, previous, error = model.log_px(x).item(), -math.inf, 0.0
    for k in (1, 2, 5, 50):
        bounds = importance_weighted_bound(log_weights(model, x.expand(20_000, 5), k))
        mean, error = bounds.mean().item(), bounds.std().item() / math.sqrt(20_000)
        assert previous + 6 * error < mean < exact + 6 * error, k
        if k == 1:
            assert mean == pytest.approx(model.exact_elbo(x).item(), abs=6 * error)
        previous = mean


@given(st.integers(1, 6), st.integers(1, 4), st.floats(-1e4, 1e4))
def test_normalized_weights_sum_to_one_for_each_example_and_ignore_a_shift(k, batch, shift):
    log_w = torch.randn(k, batch, requires_grad=True)
    weights = normalized_weights(log_w + shift)
    torch.testing.assert_close(weights.sum(0), torch.ones(batch))
    torch.testing.assert_close(weights, log_w.detach().exp() / log_w.detach().exp().sum(0), rtol=1e-7, atol=1e-9)
    assert not weights.requires_grad
    torch.testing.assert_close(effective_sample_size(log_w), 1 / weights.square().sum(0), rtol=1e-7, atol=1e-9)


def test_gradient_of_l_k_weighs_the_samples_by_their_normalized_weights():
    log_w = torch.randn(5, 3, requires_grad=True)
    importance_weighted_bound(log_w).sum().backward()
    torch.testing.assert_close(log_w.grad, normalized_weights(log_w))


# --- the objective -----------------------------------------------------------------------------------------------


def test_the_loss_is_the_bound_itself():
    model, x = wide_model(), torch.randn(6, 5)
    loss, _, outputs = VariationalInference(num_samples=7)(model, x)
    assert loss.item() == pytest.approx(-importance_weighted_bound(outputs["log_w"]).mean().item(), abs=1e-12)
    loss, _, outputs = VariationalInference(num_samples=7, importance_weighted=False)(model, x)
    assert loss.item() == pytest.approx(-outputs["log_w"].mean().item(), abs=1e-12)


def test_several_samples_without_weights_are_the_beta_elbo_averaged():
    model, x = wide_model(), torch.randn(6, 5)
    loss, diagnostics, _ = VariationalInference(beta=3.0, num_samples=4, importance_weighted=False)(model, x)
    expected = -(diagnostics["log_px"] - 3.0 * diagnostics["kl"]).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
