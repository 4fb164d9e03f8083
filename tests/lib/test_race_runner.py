"""The race's short cuts change no number: codes that are looked up, layers by another matrix product."""

import copy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from elbolab.discrete import CategoricalVAE, DiscreteInference
from elbolab.gradients import enumeration, gradient_draws, gumbel_softmax, rebar, rloo, sample_one_hot


@pytest.fixture(scope="module")
def benchmarks():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    import fast_linear
    import race

    yield race, fast_linear
    sys.path.remove(folder)


def twins(race):
    plain = CategoricalVAE((6,), 2, 3, hidden=(8, 5))
    quick = race.RaceVAE((6,), 2, 3, hidden=(8, 5))
    quick.load_state_dict(plain.state_dict())
    return plain, quick


def test_looked_up_codes_have_the_value_and_gradient_of_decoded_ones(benchmarks):
    plain, quick = twins(benchmarks[0])
    x = torch.rand(5, 6).round()
    z = sample_one_hot(plain.logits(x), 7)
    results = [(model.log_px(x, z), torch.autograd.grad(model.log_px(x, z).sum(), list(model.decoder.parameters()))) for model in (plain, quick)]
    (value, gradients), (quick_value, quick_gradients) = results
    torch.testing.assert_close(quick_value, value, rtol=0, atol=1e-12)
    for found, wanted in zip(quick_gradients, gradients):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", [enumeration, partial(rloo, num_samples=4), gumbel_softmax, rebar])
def test_a_frozen_cost_gives_the_gradients_of_the_models_own(estimator, benchmarks):
    plain, quick = twins(benchmarks[0])
    x = torch.rand(5, 6).round()
    draws = []
    for f in (plain.cost(x), benchmarks[0].FrozenCost(quick, x)):
        torch.manual_seed(1)
        draws.append(gradient_draws(estimator, f, plain.logits(x).detach(), 3))
    torch.testing.assert_close(*draws, rtol=1e-10, atol=1e-12)


def test_onednns_layers_give_torchs_value_and_gradients(benchmarks):
    torch.set_default_dtype(torch.float32)
    plain = CategoricalVAE((1, 28, 28))
    quick = benchmarks[1].use_onednn(copy.deepcopy(plain))
    x, gradients = torch.rand(16, 1, 28, 28), []
    for model in (plain, quick):
        DiscreteInference(enumeration)(model, x)[0].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()
    torch.testing.assert_close(quick.exact_elbo(x), plain.exact_elbo(x), rtol=1e-5, atol=0)


def test_independent_pixels_are_the_level_without_latents(benchmarks):
    # One pixel, on in a quarter of the images: the entropy of a coin of one quarter.
    train = torch.tensor([1.0, 0, 0, 0]).view(4, 1, 1, 1)
    assert benchmarks[0].no_latent(train, train) == pytest.approx(0.562, abs=1e-3)
