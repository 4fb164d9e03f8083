"""gradient_statistics against estimators whose bias and variance are known."""

from functools import partial

import pytest
import torch
from exact import smooth_cost

from elbolab.gradients import (
    LearnedBaseline,
    MovingAverage,
    enumeration,
    gradient_draws,
    gradient_statistics,
    gumbel_softmax,
    rebar,
    rloo,
    score_function,
)
from elbolab.gradients.categorical import zero_valued


def noisy(shift, scale):
    """An estimator whose gradient is (the exact one, of a cost of 0) + shift + scale * noise: nothing else is unknown about it."""

    def estimator(f, logits):
        f(torch.zeros(1, *logits.shape))
        return (zero_valued(logits) * (shift + scale * torch.randn_like(logits))).sum((1, 2))

    return estimator


def zero_cost(z):
    return z.sum((-2, -1)) * 0


def test_numbers_of_an_estimator_that_is_known():
    # One example has 6 numbers, each with bias 0.3 and variance 4: bias squared 0.54, variance 24.
    logits, shift = torch.zeros(50, 2, 3), 0.3
    found = gradient_statistics(noisy(shift, 2.0), zero_cost, logits, draws=400, wrt="logits", exact=torch.zeros_like(logits))
    assert found["variance"] == pytest.approx(24, rel=0.02)
    assert found["bias_squared"] == pytest.approx(6 * shift**2, abs=0.05)
    assert found["bias_low"] < 6 * shift**2 < found["bias_high"]
    assert found["decoder_calls"] == 50 and found["exact_squared"] == 0 and found["draws"] == 400


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.93, 1.0), (0.5, 0.91, 0.985)])
def test_the_interval_holds_the_truth_as_often_as_it_says(shift, least, most):
    # 400 repetitions: the standard error of a coverage of 95 % is 1.1 %. Without bias the jackknife is wide.
    logits, held = torch.zeros(8, 2, 3), 0
    for _ in range(400):
        found = gradient_statistics(noisy(shift, 1.0), zero_cost, logits, draws=20, wrt="logits", exact=torch.zeros_like(logits))
        held += found["bias_low"] <= 6 * shift**2 <= found["bias_high"]
    assert least <= held / 400 <= most


def test_enumeration_has_neither_bias_nor_variance():
    logits = torch.randn(4, 2, 3)
    found = gradient_statistics(enumeration, smooth_cost(), logits, draws=5)
    assert abs(found["bias_squared"]) < 1e-20 and found["variance"] < 1e-20
    assert found["decoder_calls"] == 9  # all codes once, whatever the batch
    assert found["value"] == pytest.approx(enumeration(smooth_cost(), logits).mean().item())


@pytest.mark.parametrize(("estimator", "calls"), [
    (score_function, 4), (partial(rloo, num_samples=5), 20), (gumbel_softmax, 4), (partial(rebar, num_samples=3), 24),
])
def test_decoder_calls_are_codes_decoded(estimator, calls):
    assert gradient_statistics(estimator, smooth_cost(), torch.randn(4, 2, 3), draws=3)["decoder_calls"] == calls


def test_gradients_of_probabilities_are_those_of_q_renormalized():
    # q = p / sum p as a function of p, differentiated without logits.
    p = torch.rand(4, 2, 3).softmax(-1)
    leaf = p.clone().requires_grad_()
    wanted = torch.autograd.grad(enumeration(smooth_cost(), (leaf / leaf.sum(-1, keepdim=True)).log()).sum(), leaf)[0]
    found = gradient_draws(enumeration, smooth_cost(), p.log() + 3.0, draws=1)[0]
    torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match="choose 'logits'"):
        gradient_draws(enumeration, smooth_cost(), torch.zeros(4, 3))


@pytest.mark.parametrize("make", [MovingAverage, partial(LearnedBaseline, 4)])
def test_measuring_teaches_a_baseline_nothing(make):
    baseline, f = make(), smooth_cost()
    f.x = torch.randn(4, 4)
    estimator = partial(score_function, baseline=baseline)
    estimator(f, torch.randn(4, 2, 3))
    before = {name: value.clone() for name, value in baseline.state_dict().items()}
    gradient_statistics(estimator, f, torch.randn(4, 2, 3), draws=5)
    assert baseline.training
    for name, value in baseline.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_measuring_leaves_gradients_and_logits_alone():
    weight, logits = torch.randn(6, requires_grad=True), torch.randn(4, 2, 3, requires_grad=True)
    gradient_statistics(rloo, lambda z: z.flatten(-2) @ weight, logits, draws=3)
    assert weight.grad is None and logits.grad is None
    with pytest.raises(ValueError, match="3 or more"):
        gradient_statistics(rloo, smooth_cost(), logits, draws=2)
