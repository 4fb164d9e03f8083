"""The categorical VAE against sums over its codes, and its objectives against the exact bound."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import OneHotCategorical, kl_divergence
from torch.nn import functional as F

from elbolab.data import Split
from elbolab.discrete import CategoricalVAE, DiscreteInference, VimcoInference
from elbolab.gradients import (
    enumeration,
    exponential_schedule,
    gumbel_softmax,
    kl_to_uniform,
    linear_schedule,
    log_prob_one_hot,
    rebar,
    rloo,
    sample_one_hot,
    score_function,
    straight_through_gumbel,
)
from elbolab.training import evaluate, fit


def small(latents=2, classes=3, pixels=6):
    return CategoricalVAE((pixels,), latents, classes, hidden=(8, 5))


def images(count=4, pixels=6):
    return torch.rand(count, pixels).round()


# --- enumeration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grey", [False, True])
def test_decoding_the_codes_once_gives_what_decoding_them_for_every_example_gives(grey):
    model, x = CategoricalVAE((28, 28), 2, 10), torch.rand(5, 28, 28)
    x = x if grey else x.round()
    codes = model.codes().unsqueeze(1)
    once = model.log_px(x, codes)
    naive = torch.stack([
        -F.binary_cross_entropy_with_logits(model.decode(code.expand(5, -1, -1)), x.flatten(1), reduction="none").sum(-1)
        for code in model.codes()
    ])
    assert once.shape == (100, 5)
    assert (once - naive).abs().max() <= 1e-10  # of about 540 nats: 15 digits
    torch.testing.assert_close(once, model.log_px(x, codes.expand(-1, 5, -1, -1)), rtol=1e-13, atol=0)


def test_both_forms_have_the_same_gradient():
    model, x = small(), images()

    def gradients(codes):
        logits = model.logits(x)
        expected = (log_prob_one_hot(logits, codes).exp() * model.log_px(x, codes)).sum()
        return torch.autograd.grad(expected, list(model.parameters()))

    codes = model.codes().unsqueeze(1)
    for once, naive in zip(gradients(codes), gradients(codes.expand(-1, 4, -1, -1))):
        torch.testing.assert_close(once, naive, rtol=0, atol=1e-12)


def test_codes_are_joint_states_and_no_marginals():
    codes = small().codes()
    assert codes.shape == (9, 2, 3) and (codes.sum(-1) == 1).all()
    assert len(codes.flatten(1).unique(dim=0)) == 9


def test_log_px_is_the_sum_over_the_codes_of_prior_times_likelihood():
    model, x = small(), images()
    total = torch.zeros(4)
    for code in model.codes():
        px = model.observation_model(code)
        total += model.prior().log_prob(code).sum(-1).exp() * px.log_prob(x).sum(-1).exp()
    torch.testing.assert_close(model.exact_log_px(x), total.log())


def test_probabilities_of_all_images_sum_to_one():
    model = small(pixels=5)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5)
    assert model.exact_log_px(every).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_the_bound_is_below_log_px_by_the_kl_to_the_true_posterior():
    model, x = small(), images()
    codes = model.codes().unsqueeze(1)
    log_posterior = model.log_px(x, codes).log_softmax(0)  # the prior is uniform
    log_q = log_prob_one_hot(model.logits(x), codes)
    gap = (log_q.exp() * (log_q - log_posterior)).sum(0)
    assert (gap > 1e-4).all()
    torch.testing.assert_close(model.exact_elbo(x), model.exact_log_px(x) - gap)


def test_bound_is_tight_at_the_true_posterior():
    # With one latent q can be any distribution over the codes, the true posterior too.
    model, x = small(latents=1), images()
    logits = model.log_px(x, model.codes().unsqueeze(1)).T.unsqueeze(1)
    bound = -enumeration(model.cost(x), logits) - kl_to_uniform(logits)
    torch.testing.assert_close(bound, model.exact_log_px(x))


def test_kl_agrees_with_torch():
    model, x = small(), images()
    wanted = kl_divergence(model.posterior(x), model.prior(4)).sum(-1)
    torch.testing.assert_close(kl_to_uniform(model.logits(x)), wanted)


def test_information_is_what_the_kl_is_without_the_waste():
    model, x = small(), images(40)
    log_q = log_prob_one_hot(model.logits(x), model.codes().unsqueeze(1))
    used = log_q.exp().mean(1)
    wasted = (used * (used * 9).log()).sum()
    assert model.information(x) == pytest.approx((kl_to_uniform(model.logits(x)).mean() - wasted).item(), abs=1e-12)
    # One code for every image: as much KL as there can be, and nothing said.
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([50.0, 0, 0, 0, 0, 50.0]))
    assert kl_to_uniform(model.logits(x)).mean().item() == pytest.approx(math.log(9))
    assert model.information(x) == pytest.approx(0.0, abs=1e-12)


def test_pixel_means_are_where_the_decoder_starts():
    x = images(50)
    model = CategoricalVAE((6,), 2, 3, hidden=(8, 5), pixel_means=x.mean(0))
    torch.testing.assert_close(model.decoder[-1].bias.sigmoid(), x.mean(0).clamp(1e-3, 1 - 1e-3))


# --- the model -------------------------------------------------------------------------------------------------------


def test_shapes_of_the_pieces():
    model, x = CategoricalVAE((1, 4, 4), 3, 5, hidden=(8, 6)), torch.rand(7, 1, 4, 4).round()
    outputs = model(x, num_samples=2)
    assert outputs["z"].shape == (2, 7, 3, 5) and outputs["px"].batch_shape == (2, 7, 1, 4, 4)
    assert outputs["qz"].batch_shape == outputs["pz"].batch_shape == (7, 3) and isinstance(outputs["qz"], OneHotCategorical)
    assert model.sample_from_prior(6)["px"].batch_shape == (6, 1, 4, 4)
    assert [m.out_features for m in model.encoder if hasattr(m, "out_features")] == [8, 6, 15]
    assert [m.out_features for m in model.decoder if hasattr(m, "out_features")] == [6, 8, 16]
    with pytest.raises(ValueError, match="batch, 1, 4, 4"):
        model.logits(torch.rand(7, 4, 4))


def test_log_px_is_the_observation_models():
    model, x = small(), images()
    z = sample_one_hot(model.logits(x), 3)
    torch.testing.assert_close(model.log_px(x, z), model.observation_model(z).log_prob(x).sum(-1))


def test_twenty_latents_are_sampled_and_refuse_enumeration():
    model, x = CategoricalVAE((6,), 20, 10, hidden=(8, 5)), images()
    assert not model.enumerable and small().enumerable
    loss, diagnostics, _ = DiscreteInference(partial(rloo, num_samples=3))(model, x)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters()) and diagnostics["elbo"].shape == (4,)
    with torch.no_grad():
        DiscreteInference(rloo)(model, x)
    with pytest.raises(ValueError, match="Sample instead"):
        model.exact_elbo(x)


# --- the objectives --------------------------------------------------------------------------------------------------


def test_enumerated_loss_is_minus_the_exact_bound():
    model, x = small(), images()
    loss, diagnostics, outputs = DiscreteInference(enumeration)(model, x)
    torch.testing.assert_close(loss, -model.exact_elbo(x).mean())
    torch.testing.assert_close(diagnostics["elbo"], diagnostics["log_px"] - diagnostics["kl"])
    assert not any(value.requires_grad for value in diagnostics.values())
    assert outputs["logits"].shape == (4, 2, 3)


def test_beta_weighs_the_kl_and_leaves_the_diagnostics():
    model, x = small(), images()
    once, twice = (DiscreteInference(enumeration, beta=beta)(model, x) for beta in (1.0, 3.0))
    torch.testing.assert_close(twice[0] - once[0], 2 * once[1]["kl"].mean())
    torch.testing.assert_close(twice[1]["elbo"], once[1]["elbo"])


@pytest.mark.parametrize("estimator", [score_function, rloo, gumbel_softmax, straight_through_gumbel, rebar])
def test_every_estimator_is_evaluated_exactly(estimator):
    model, x = small(), images()
    with torch.no_grad():
        loss, diagnostics, _ = DiscreteInference(estimator)(model, x)
    torch.testing.assert_close(diagnostics["elbo"], model.exact_elbo(x))
    torch.testing.assert_close(loss, -model.exact_elbo(x).mean())


def test_schedules_advance_with_training_steps_and_not_with_evaluation():
    seen = []

    def watching(f, logits, temperature):
        seen.append(temperature)
        return enumeration(f, logits)

    vi = DiscreteInference(watching, beta=linear_schedule(0, 1, 2), temperature=exponential_schedule(1.0, 0.1, rate=math.log(2)))
    model, x, losses = small(), images(), []
    for _ in range(3):
        losses.append(vi(model, x)[0].item())
        with torch.no_grad():
            vi(model, x)
    assert seen == pytest.approx([1.0, 0.5, 0.25])
    cost, kl = -vi(model, x)[1]["log_px"].mean().item(), kl_to_uniform(model.logits(x)).mean().item()
    assert losses == pytest.approx([cost, cost + 0.5 * kl, cost + kl])


def test_vimco_bound_lies_between_the_bound_and_log_px_on_average():
    model, x = small(), images()
    losses = torch.stack([VimcoInference(5)(model, x)[0].detach() for _ in range(2000)])
    error = losses.std() / 2000**0.5
    assert model.exact_elbo(x).mean() + 5 * error < -losses.mean() < model.exact_log_px(x).mean() + 5 * error
    with torch.no_grad():
        _, diagnostics, _ = VimcoInference(5)(model, x)
    torch.testing.assert_close(diagnostics["elbo"], model.exact_elbo(x))


@pytest.mark.parametrize("vi", [
    DiscreteInference(enumeration), DiscreteInference(partial(rloo, num_samples=4)), DiscreteInference(gumbel_softmax, temperature=0.5),
    VimcoInference(4),
])
def test_fit_raises_the_exact_bound_above_the_best_independent_pixels(vi, no_fast):
    # Four patterns of 12 pixels with a little noise: independent pixels cannot tell them apart, 9 codes can.
    patterns = torch.randint(0, 2, (4, 12)).double()
    x = patterns[torch.arange(512) % 4]
    x = torch.where(torch.rand_like(x) < 0.05, 1 - x, x)
    model = CategoricalVAE((12,), 2, 3, hidden=(32, 16))
    history = fit(model, vi, Split("train", x, torch.zeros(512, dtype=torch.long), "static"), epochs=40, batch_size=64, lr=3e-3,
                  progress=False)
    mean = x.mean(0).clamp(1e-6, 1 - 1e-6)
    independent = (x @ mean.log() + (1 - x) @ (1 - mean).log()).mean().item()
    found = evaluate(model, vi, x)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert found["elbo"] > independent + 1.0
    assert found["elbo"] == pytest.approx(model.exact_elbo(x).mean().item(), rel=1e-6)
