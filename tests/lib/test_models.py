"""Shapes, structure and errors of the models."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from elbolab.models import LinearGaussianVAE, VariationalAutoencoder, mlp

MODELS = [
    lambda: VariationalAutoencoder((1, 4, 5), 3, hidden=(7,)),
    lambda: LinearGaussianVAE(torch.randn(6, 3)),
]


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("batch", [0, 1, 4])
def test_forward_has_the_documented_shapes(build, batch):
    model = build()
    x = torch.rand(batch, *model.input_shape).round()
    for k, lead in ((1, ()), (5, (5,))):
        out = model(x, num_samples=k)
        assert set(out) == {"px", "pz", "qz", "z"}
        assert out["px"].batch_shape == (*lead, batch, *model.input_shape) and out["px"].event_shape == ()
        assert out["pz"].batch_shape == out["qz"].batch_shape == (batch, 3)
        assert out["z"].shape == (*lead, batch, 3)
    out = model.sample_from_prior(6)
    assert out["px"].batch_shape == (6, *model.input_shape) and out["z"].shape == (6, 3)


@pytest.mark.parametrize("build", MODELS)
def test_prior_is_a_standard_normal_without_parameters(build):
    model = build()
    prior = model.prior(2)
    assert torch.equal(prior.mean, torch.zeros(2, 3)) and torch.equal(prior.stddev, torch.ones(2, 3))
    assert not prior.mean.requires_grad


def test_observation_model_decodes_each_sample_for_itself():
    model, z = MODELS[0](), torch.randn(5, 4, 3)
    together = model.observation_model(z).logits
    for k in range(5):
        for b in range(4):
            alone = model.observation_model(z[k, b].view(1, 3)).logits[0]
            torch.testing.assert_close(together[k, b], alone)


def test_hidden_layers_and_activation_are_as_asked_and_mirrored():
    model = VariationalAutoencoder((1, 28, 28), 2, hidden=(256, 128), activation=nn.Tanh)
    sizes = [[layer.out_features for layer in part if isinstance(layer, nn.Linear)] for part in (model.encoder, model.decoder)]
    assert sizes == [[256, 128, 4], [128, 256, 784]]
    assert sum(isinstance(layer, nn.Tanh) for layer in model.encoder) == 2


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_mlp_maps_the_first_size_to_the_last(sizes):
    assert mlp(*sizes)(torch.zeros(3, sizes[0])).shape == (3, sizes[-1])


def test_model_moves_to_another_dtype_with_its_prior():
    model = MODELS[0]().to(torch.float32)
    assert model.prior(2).mean.dtype == model(torch.ones(2, 1, 4, 5, dtype=torch.float32))["z"].dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 20), (2, 1, 5, 4)])
def test_an_input_of_the_wrong_shape_is_refused_with_a_sentence(shape):
    with pytest.raises(ValueError, match=r"takes batches of shape \(batch, 1, 4, 5\)"):
        MODELS[0]()(torch.zeros(shape))


def test_encoder_noise_differs_between_calls():
    model, x = MODELS[0](), torch.ones(4, 1, 4, 5)
    assert not torch.equal(model(x)["z"], model(x)["z"])


def test_output_bias_starts_at_the_logits_of_the_pixel_means():
    # Without anything from z, the decoder then gives each pixel its mean: the best independent Bernoulli pixels.
    model, images = VariationalAutoencoder((1, 4, 5), 3, hidden=(7,)), torch.bernoulli(torch.rand(1, 4, 5).expand(500, 1, 4, 5))
    images[:, 0, 0, 0] = 0  # a pixel that is never 1: a finite bias all the same
    model.start_at_pixel_means(images)
    bias = model.decoder[-1].bias.detach().view(1, 4, 5)
    torch.testing.assert_close(bias.sigmoid(), images.mean(0), rtol=0, atol=0.002)
    assert bias.isfinite().all() and bias[0, 0, 0] < -6
    assert model.decoder[-1].bias.requires_grad
