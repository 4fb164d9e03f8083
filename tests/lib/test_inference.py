"""Bounds against the truth: a model whose log p(x) and posterior are known in closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, kl_divergence

from elbolab.distributions import Bernoulli
from elbolab.distributions import ReparameterizedDiagonalGaussian as Gaussian
from elbolab.inference import (
    VariationalInference,
    active_units,
    effective_sample_size,
    importance_weighted_bound,
    log_likelihood,
    log_px_and_kl,
    log_weights,
    merge,
    reduce,
    unmerge,
)
from elbolab.models import LinearGaussianVAE, VariationalAutoencoder


def linear_model(features=5, latents=2, noise=0.7):
    model = LinearGaussianVAE(torch.randn(features, latents), torch.randn(features), noise)
    with torch.no_grad():
        model.encoder_log_sigma.copy_(0.3 * torch.randn(latents) - 0.5)
    return model


def covering_model():
    """A model whose q is around the posterior and wider, so that the weights have a small variance."""
    model = linear_model(noise=0.8)
    model.use_best_encoder()
    with torch.no_grad():
        model.encoder_log_sigma += 0.3
    return model


def small_vae(dtype=torch.float64):
    return VariationalAutoencoder((1, 28, 28), 3, hidden=(20,)).to(dtype)


def full_covariance(q):
    return MultivariateNormal(q.mu, torch.diag_embed(q.variance))


# --- the linear-Gaussian model is what it claims to be -------------------------------------------------------


def test_log_px_agrees_with_the_integral_over_z():
    # p(x) = integral p(x|z) p(z) dz; the trapezoid rule on a smooth integrand that decays on both sides.
    model, x = linear_model(latents=1), torch.randn(4, 5)
    z = torch.linspace(-12, 12, 4001).view(-1, 1, 1)
    log_joint = model.observation_model(z).log_prob(x).sum(-1) + model.prior(1).log_prob(z).sum(-1)
    integral = torch.trapezoid(log_joint.exp(), z.flatten(), dim=0).log()
    torch.testing.assert_close(model.log_px(x), integral, rtol=1e-10, atol=1e-10)


def test_bayes_rule_holds_at_every_z():
    # log p(x|z) + log p(z) = log p(x) + log p(z|x), whatever z is.
    model, x, z = linear_model(), torch.randn(6, 5), torch.randn(6, 2)
    left = model.observation_model(z).log_prob(x).sum(-1) + model.prior(6).log_prob(z).sum(-1)
    torch.testing.assert_close(left, model.log_px(x) + model.true_posterior(x).log_prob(z), rtol=1e-9, atol=1e-9)


def test_elbo_is_log_px_minus_kl_to_the_true_posterior():
    model, x = linear_model(), torch.randn(8, 5)
    gap = kl_divergence(full_covariance(model.posterior(x)), model.true_posterior(x))
    assert (gap > 0.01).all()
    torch.testing.assert_close(model.exact_elbo(x), model.log_px(x) - gap, rtol=0, atol=1e-6)


def test_sampled_log_weights_average_to_the_exact_elbo():
    # log w is a quadratic function of z here, and the mean of a quadratic under N(mu, diag(sigma^2)) is its mean over
    # the 2M points mu +- sqrt(M) sigma_m e_m: a cubature without any sampling, through the library's own path.
    model, x = linear_model(), torch.randn(8, 5)
    qz, root = model.posterior(x), math.sqrt(2)
    steps = torch.cat([torch.eye(2), -torch.eye(2)]) * root
    z = qz.mu + qz.sigma * steps.unsqueeze(1)
    outputs = {"px": model.observation_model(z), "pz": model.prior(8), "qz": qz, "z": z}
    log_px, kl = log_px_and_kl(outputs, x)
    torch.testing.assert_close((log_px - kl).mean(0), model.exact_elbo(x), rtol=0, atol=1e-6)


def test_elbo_equals_log_px_exactly_at_the_true_posterior():
    # Orthogonal columns make the posterior diagonal, so q can be it; then every log-weight is log p(x).
    weight = torch.linalg.qr(torch.randn(5, 2)).Q * torch.tensor([2.0, 0.5])
    model, x = LinearGaussianVAE(weight, torch.randn(5), 0.3), torch.randn(7, 5)
    assert (model.exact_elbo(x) < model.log_px(x) - 0.1).all()
    model.use_best_encoder()
    log_w = log_weights(model, x, 4)
    torch.testing.assert_close(log_w, model.log_px(x).expand(4, 7), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.exact_elbo(x), model.log_px(x), rtol=0, atol=1e-6)


def test_best_encoder_is_a_maximum_of_the_elbo():
    model, x = linear_model(), torch.randn(30, 5)
    model.use_best_encoder()
    gradients = torch.autograd.grad(model.exact_elbo(x).sum(), [*model.encoder.parameters(), model.encoder_log_sigma])
    assert all(gradient.abs().max() < 1e-8 for gradient in gradients)
    best = model.exact_elbo(x)
    with torch.no_grad():
        model.encoder_log_sigma += 0.1
    assert (model.exact_elbo(x) < best).all()


# --- the bounds ------------------------------------------------------------------------------------------------


def test_weights_are_unbiased_estimates_of_px():
    # E_q[w] = p(x). The standard error comes from the draws themselves; 6 of them are allowed.
    model, x = covering_model(), torch.randn(4, 5)
    ratio = (log_weights(model, x, 200_000) - model.log_px(x)).exp()
    error = ratio.std(0) / ratio.shape[0] ** 0.5
    assert (error < 0.05).all() and ((ratio.mean(0) - 1).abs() < 6 * error).all()


def test_bound_grows_with_k_and_stays_below_log_px():
    # 40,000 estimates of L_K for each K; their means differ by many standard errors.
    model, x = linear_model(noise=0.4), torch.randn(1, 5)
    means, errors = [], []
    for k in (1, 2, 5, 25):
        bounds = importance_weighted_bound(log_weights(model, x.expand(40_000, 5), k))
        means.append(bounds.mean().item())
        errors.append(bounds.std().item() / 200)
    gaps = [after - before for before, after in zip(means[:-1], means[1:], strict=True)]
    assert all(gap > 4 * max(errors) for gap in gaps), (means, errors)
    assert means[-1] < model.log_px(x).item() + 6 * errors[-1]
    assert means[0] == pytest.approx(model.exact_elbo(x).item(), abs=6 * errors[0])


def test_bound_of_one_sample_is_the_log_weight_itself():
    log_w = torch.randn(1, 6)
    torch.testing.assert_close(importance_weighted_bound(log_w), log_w[0], rtol=0, atol=0)


@given(st.integers(1, 6), st.floats(-1e4, 1e4))
def test_bound_shifts_with_its_weights_without_overflow(k, shift):
    log_w = torch.linspace(-2, 3, k * 2).view(k, 2)
    expected = log_w.exp().mean(0).log() + shift
    torch.testing.assert_close(importance_weighted_bound(log_w + shift), expected, rtol=1e-9, atol=1e-9)


def test_batched_k_equals_a_loop_over_k_on_the_same_epsilons():
    model, x, k = small_vae(), torch.bernoulli(torch.rand(5, 1, 28, 28)), 4
    torch.manual_seed(3)
    loss, diagnostics, outputs = VariationalInference(num_samples=k)(model, x)
    torch.manual_seed(3)
    epsilon = torch.randn(k, 5, 3)
    rows = []
    for step in range(k):  # by hand: one forward for each sample
        qz = model.posterior(x)
        z = qz.mu + qz.sigma * epsilon[step]
        log_px = Bernoulli(logits=model.decoder(z)).log_prob(x.flatten(1)).sum(1)
        rows.append(log_px + Gaussian(0 * z, 0 * z).log_prob(z).sum(1) - qz.log_prob(z).sum(1))
    log_w = torch.stack(rows)
    torch.testing.assert_close(outputs["log_w"], log_w, rtol=1e-12, atol=1e-9)
    bound = log_w.exp().mean(0).log() if log_w.min() > -700 else torch.logsumexp(log_w, 0) - math.log(k)
    assert loss.item() == pytest.approx(-bound.mean().item(), rel=1e-12)
    torch.testing.assert_close(diagnostics["elbo"], log_w.mean(0).detach(), rtol=1e-12, atol=1e-9)


def test_batched_k_has_the_gradient_of_the_loop():
    model, x, k = small_vae(), torch.bernoulli(torch.rand(3, 1, 28, 28)), 3
    torch.manual_seed(3)
    VariationalInference(num_samples=k)(model, x)[0].backward()
    batched = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(3)
    epsilon = torch.randn(k, 3, 3)
    qz = model.posterior(x)
    rows = []
    for step in range(k):
        z = qz.mu + qz.sigma * epsilon[step]
        px = model.observation_model(z)
        rows.append(reduce(px.log_prob(x)) + reduce(model.prior(3).log_prob(z) - qz.log_prob(z)))
    log_w = torch.stack(rows)
    # The gradient of L_K weighs each sample by its normalized weight (Burda et al., 2016, equation 14).
    (-(torch.softmax(log_w, 0).detach() * log_w).sum(0).mean()).backward()
    for one, other in zip(batched, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-9, atol=1e-10)


# --- VariationalInference --------------------------------------------------------------------------------------


@given(st.sampled_from([0.0, 0.1, 1.0, 10.0]), st.integers(1, 5))
def test_loss_is_minus_the_mean_beta_elbo_and_the_elbo_ignores_beta(beta, batch):
    model, x = small_vae(), torch.bernoulli(torch.rand(batch, 1, 28, 28))
    loss, d, outputs = VariationalInference(beta)(model, x)
    qz, z = outputs["qz"], outputs["z"]
    log_px = outputs["px"].log_prob(x).sum((1, 2, 3))
    kl = (qz.log_prob(z) - outputs["pz"].log_prob(z)).sum(1)
    torch.testing.assert_close(d["log_px"], log_px.detach())
    torch.testing.assert_close(d["kl"], kl.detach())
    torch.testing.assert_close(d["elbo"], (log_px - kl).detach())
    torch.testing.assert_close(loss, -(log_px - beta * kl).mean())


@pytest.mark.parametrize("num_samples", [1, 3])
def test_diagnostics_are_per_example_and_detached_and_the_loss_has_a_gradient(num_samples):
    model, x = small_vae(), torch.bernoulli(torch.rand(5, 1, 28, 28))
    loss, diagnostics, outputs = VariationalInference(num_samples=num_samples)(model, x)
    assert loss.shape == () and set(diagnostics) == {"elbo", "log_px", "kl"}
    assert all(value.shape == (5,) and not value.requires_grad for value in diagnostics.values())
    assert outputs["log_w"].shape == (num_samples, 5)
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_px_sees_each_example_next_to_its_own_reconstruction():
    # Swapping two examples must swap their diagnostics and leave the others: no broadcasting across the batch.
    model, x = small_vae(), torch.bernoulli(torch.rand(4, 1, 28, 28))
    with torch.no_grad():
        model.encoder[-1].bias[3:] = -30  # almost no noise, so that runs can be compared
        model.encoder[-1].weight[3:] = 0
    _, before, _ = VariationalInference()(model, x)
    _, after, _ = VariationalInference()(model, x[[1, 0, 2, 3]])
    torch.testing.assert_close(after["log_px"], before["log_px"][[1, 0, 2, 3]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_784_pixels_far_from_the_data_stay_finite(dtype):
    model, x = small_vae(dtype), torch.ones(2, 1, 28, 28, dtype=dtype)
    with torch.no_grad():
        model.decoder[-1].bias.fill_(-50)  # each pixel costs 50 nats, exp(-39200) is 0
    loss, diagnostics, _ = VariationalInference(num_samples=3)(model, x)
    assert loss.dtype == dtype and loss.isfinite()
    assert diagnostics["log_px"].tolist() == pytest.approx([-39_200] * 2, rel=0.01)


def test_empty_batch_gives_empty_diagnostics():
    model = small_vae()
    for num_samples in (1, 3):
        _, diagnostics, outputs = VariationalInference(num_samples=num_samples)(model, torch.zeros(0, 1, 28, 28))
        assert diagnostics["elbo"].shape == (0,) and outputs["log_w"].shape == (num_samples, 0)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="num_samples is 0"):
        VariationalInference(num_samples=0)
    with pytest.raises(ValueError, match="no KL term"):
        VariationalInference(beta=2.0, num_samples=5)


# --- log-likelihood ----------------------------------------------------------------------------------------------


def test_log_likelihood_finds_log_px():
    model, x = covering_model(), torch.randn(6, 5)
    assert (model.exact_elbo(x) < model.log_px(x) - 0.05).all()  # so that returning the ELBO would not pass
    estimate = log_likelihood(model, x, num_samples=50_000)
    torch.testing.assert_close(estimate, model.log_px(x).detach(), rtol=0, atol=0.03)


@given(st.integers(1, 30), st.integers(1, 25), st.integers(0, 5))
def test_log_likelihood_does_not_depend_on_the_chunks(samples, chunk, batch):
    # With q at the true posterior every weight is p(x), so any chunking must return log p(x) to rounding.
    model = LinearGaussianVAE(torch.diag(torch.tensor([1.0, 2.0])), None, 0.5)
    model.use_best_encoder()
    x = torch.linspace(-1, 1, 2 * batch).view(batch, 2)
    torch.testing.assert_close(log_likelihood(model, x, samples, chunk), model.log_px(x).detach(), rtol=0, atol=1e-9)


def test_log_likelihood_encodes_once_and_decodes_in_bounded_pieces():
    model, x, encoded, decoded = small_vae(), torch.bernoulli(torch.rand(7, 1, 28, 28)), [], []
    model.encoder.register_forward_hook(lambda m, inputs, out: encoded.append(len(inputs[0])))
    model.decoder.register_forward_hook(lambda m, inputs, out: decoded.append(inputs[0].shape[:-1].numel()))
    result = log_likelihood(model, x, num_samples=50, chunk=35)
    assert sum(encoded) == 7 and max(decoded) <= 35 and sum(decoded) == 350
    assert result.shape == (7,) and not result.requires_grad


def test_log_likelihood_refuses_no_samples():
    with pytest.raises(ValueError, match="must be 1 or more"):
        log_likelihood(linear_model(), torch.randn(2, 5), num_samples=0)


# --- small functions ---------------------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(0, 4), st.lists(st.integers(1, 3), max_size=2))
def test_unmerge_undoes_merge_and_reduce_sums_events(k, batch, event):
    x = torch.randn(k, batch, *event)
    assert merge(x).shape == (k * batch, *event)
    assert torch.equal(unmerge(merge(x), k), x)
    torch.testing.assert_close(reduce(x, keep=2), x.reshape(k, batch, max(1, math.prod(event))).sum(-1))


def test_effective_sample_size_counts_the_samples_that_matter():
    # Equal weights: all K. One weight that outweighs the rest: 1. Two equal ones: 2.
    assert effective_sample_size(torch.full((5, 1), -800.0)).item() == pytest.approx(5)
    assert effective_sample_size(torch.tensor([[0.0], [-800.0], [-800.0]])).item() == pytest.approx(1)
    assert effective_sample_size(torch.tensor([[7.0], [7.0], [-800.0]])).item() == pytest.approx(2)


def test_active_units_are_those_whose_mean_moves_with_x():
    model = small_vae()
    with torch.no_grad():
        model.encoder[-1].weight[1] = 0  # the second mean is constant, the others are made to move
        model.encoder[-1].weight[[0, 2]] *= 10
    count, variances = active_units(model, torch.bernoulli(torch.rand(300, 1, 28, 28)))
    assert variances.shape == (3,) and variances[1] < 1e-12 and count == 2
