"""The doubly reparameterized gradient: same expectation, less noise, and a loss that still is the bound."""

import math

import pytest
import torch

from elbolab.inference import VariationalInference, importance_weighted_bound
from elbolab.models import LinearGaussianVAE, VariationalAutoencoder
from elbolab.surrogates import DoublyReparameterized, dreg_surrogate
from elbolab.training import fit


def model_beside_the_posterior(shift=0.2, factor=1.2):
    """Diagonal posterior; q is a little off in mean and wider."""
    weight = torch.linalg.qr(torch.randn(4, 2)).Q * torch.tensor([1.5, 0.7])
    model = LinearGaussianVAE(weight, torch.randn(4), 0.8)
    model.use_best_encoder()
    with torch.no_grad():
        model.encoder.bias += shift
        model.encoder_log_sigma += math.log(factor)
    return model


def encoder_gradients(vi, model, x, repeats):
    """Gradients of the loss with respect to the encoder's bias and log-sigma, `(repeats, 2 M)`."""
    rows = []
    for _ in range(repeats):
        model.zero_grad()
        vi(model, x)[0].backward()
        rows.append(torch.cat([model.encoder.bias.grad, model.encoder_log_sigma.grad]))
    return torch.stack(rows)


def same_noise(vi, model, x):
    torch.manual_seed(5)
    model.zero_grad()
    loss, diagnostics, outputs = vi(model, x)
    loss.backward()
    return loss.detach(), diagnostics, outputs


def test_loss_and_diagnostics_are_those_of_the_bound():
    model, x = VariationalAutoencoder((1, 5, 5), 3, hidden=(8,)), torch.bernoulli(torch.rand(4, 1, 5, 5))
    ours = same_noise(DoublyReparameterized(6), model, x)
    plain = same_noise(VariationalInference(num_samples=6), model, x)
    torch.testing.assert_close(ours[0], plain[0])
    for name in ("elbo", "log_px", "kl"):
        torch.testing.assert_close(ours[1][name], plain[1][name])
    torch.testing.assert_close(-importance_weighted_bound(ours[2]["log_w"]).mean(), ours[0])


def test_the_surrogate_itself_is_no_bound():
    model, x = model_beside_the_posterior(), torch.randn(5, 4)
    surrogate, outputs = dreg_surrogate(model, x, 10)
    assert (surrogate + importance_weighted_bound(outputs["log_w"]).mean()).abs() > 1e-3


def test_the_decoders_gradient_is_the_usual_one():
    model, x = VariationalAutoencoder((1, 5, 5), 3, hidden=(8,)), torch.bernoulli(torch.rand(4, 1, 5, 5))
    same_noise(DoublyReparameterized(6), model, x)
    ours = [p.grad.clone() for p in model.decoder.parameters()]
    same_noise(VariationalInference(num_samples=6), model, x)
    for one, other in zip(ours, model.decoder.parameters()):
        torch.testing.assert_close(one, other.grad)


def test_the_encoders_gradient_has_the_same_expectation():
    # 200 gradients of either kind at K = 3, each the mean over 400 draws: 6 standard errors of the difference, false
    # alarm 1e-8 for each of the four. The gradient itself is 20 and more of these standard errors; without the square
    # (weights instead of squared weights) it would be much longer.
    model, x = model_beside_the_posterior(shift=0.5, factor=1.5), torch.randn(1, 4).expand(400, 4)
    plain = encoder_gradients(VariationalInference(num_samples=3), model, x, 200)
    ours = encoder_gradients(DoublyReparameterized(3), model, x, 200)
    error = ((plain.var(0) + ours.var(0)) / 200).sqrt()
    assert ((plain.mean(0) - ours.mean(0)).abs() < 6 * error).all()
    assert (ours.mean(0).abs().max() / error.max()) > 20


def test_no_noise_at_all_where_q_is_the_posterior():
    # Every log w_k is log p(x) then, whatever z_k is: its slope in z is 0, and so is each single gradient.
    model, x = model_beside_the_posterior(shift=0.0, factor=1.0), torch.randn(5, 4)
    assert encoder_gradients(DoublyReparameterized(4), model, x, 3).abs().max() < 1e-9
    assert encoder_gradients(VariationalInference(num_samples=4), model, x, 3).abs().max() > 1e-3


def test_signal_to_noise_of_the_encoder_falls_with_k_and_dreg_cures_it():
    # |mean| / std of the encoder's gradient: about 1 / sqrt(K) for L_K, sqrt(K) for DReG (Rainforth et al., 2018;
    # Tucker et al., 2019). 64 times the samples: factors of 1/8 and 8, of which the test asks for 1/3 and 3.
    # The mean of both is taken from DReG, which has the same mean and knows it far better.
    model, x = model_beside_the_posterior(), torch.randn(1, 4).expand(50, 4)
    plain, ours = [], []
    for k in (2, 128):
        less_noisy = encoder_gradients(DoublyReparameterized(k), model, x, 100)
        noisy = encoder_gradients(VariationalInference(num_samples=k), model, x, 100)
        signal = less_noisy.mean(0).abs()
        plain.append((signal / noisy.std(0)).max().item())
        ours.append((signal / less_noisy.std(0)).max().item())
    assert plain[1] < plain[0] / 3, plain
    assert ours[1] > 3 * ours[0], ours


def test_fit_trains_with_it(no_fast):
    images = (torch.rand(64, 1, 4, 4) < 0.2).to(torch.get_default_dtype())
    model = VariationalAutoencoder((1, 4, 4), 2, hidden=(8,))
    history = fit(model, DoublyReparameterized(4), images, epochs=30, batch_size=32, lr=1e-2, progress=False)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 1
    assert pytest.approx(history["elbo"].iloc[-1], abs=5) == -history["loss"].iloc[-1]
