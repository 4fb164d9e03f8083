"""Building blocks, baselines, and costs of a shape that would train on a wrong gradient."""

from functools import partial

import pytest
import torch
from exact import smooth_cost
from torch.nn import functional as F

from elbolab.gradients import (
    LearnedBaseline,
    MovingAverage,
    all_codes,
    check_cost,
    disarm,
    enumeration,
    exponential_schedule,
    gumbel_softmax,
    kl_to_uniform,
    leave_one_out,
    linear_schedule,
    log_prob_one_hot,
    rebar,
    relaxed_one_hot,
    rloo,
    sample_one_hot,
    score_function,
    score_surrogate,
    straight_through,
    straight_through_gumbel,
    vimco,
)

# --- building blocks -------------------------------------------------------------------------------------------------


def test_log_probabilities_are_those_of_torch():
    logits = torch.randn(5, 2, 4)
    z = sample_one_hot(logits, 3)
    wanted = torch.distributions.OneHotCategorical(logits=logits).log_prob(z).sum(-1)
    torch.testing.assert_close(log_prob_one_hot(logits, z), wanted)
    codes = all_codes(2, 4).unsqueeze(1)
    torch.testing.assert_close(log_prob_one_hot(logits, codes), log_prob_one_hot(logits, codes.expand(-1, 5, -1, -1)))


def test_kl_is_the_sum_over_all_joint_states():
    logits = torch.randn(5, 2, 4)
    log_q = log_prob_one_hot(logits, all_codes(2, 4).unsqueeze(1))
    torch.testing.assert_close(kl_to_uniform(logits), (log_q.exp() * (log_q - torch.tensor(1 / 16).log())).sum(0))


def test_samples_have_the_probabilities_of_q():
    # 200,000 draws, 12 classes: false alarm 12 * P(|N| > 5.5) < 1e-6; a q off by 0.01 would lie 9 standard errors away.
    logits, draws = torch.randn(1, 3, 4), 200_000
    p = logits.softmax(-1)
    z = sample_one_hot(logits.expand(draws, -1, -1))
    assert z.requires_grad is False and set(z.unique().tolist()) == {0.0, 1.0} and (z.sum(-1) == 1).all()
    assert ((z.mean((0, 1)) - p[0]).abs() < 5.5 * (p * (1 - p) / draws).sqrt()[0]).all()


def test_relaxed_samples_sharpen_into_one_hot_ones_as_the_temperature_falls():
    logits = torch.randn(50, 2, 4)
    ends = []
    for temperature in (1e-3, 1e3):
        torch.manual_seed(0)
        ends.append(relaxed_one_hot(logits, temperature))
    torch.testing.assert_close(ends[1], torch.full_like(ends[1], 0.25), rtol=0, atol=0.01)
    torch.manual_seed(0)
    assert (ends[0] - sample_one_hot(logits)).abs().mean() < 0.01
    with pytest.raises(ValueError, match="temperature is 0"):
        relaxed_one_hot(logits, 0)


def test_straight_through_is_one_hot_forward_and_soft_backward():
    logits = torch.randn(4, 3, requires_grad=True)
    soft, weight = logits.softmax(-1), torch.randn(4, 3)
    hard = straight_through(soft)
    torch.testing.assert_close(hard, F.one_hot(soft.argmax(-1), 3).to(soft))
    found = torch.autograd.grad((hard * weight).sum(), logits, retain_graph=True)[0]
    torch.testing.assert_close(found, torch.autograd.grad((soft * weight).sum(), logits)[0])


def test_schedules_begin_and_end_where_they_say():
    temperature, beta = exponential_schedule(2.0, 0.5, 1e-3), linear_schedule(0.2, 1.0, 100)
    assert temperature(0) == 2.0 and temperature(10**6) == 0.5
    assert temperature(1000) == pytest.approx(2 / 2.718281828)
    assert beta(0) == pytest.approx(0.2) and beta(50) == pytest.approx(0.6) and beta(1000) == 1.0


# --- baselines -------------------------------------------------------------------------------------------------------


def test_baselines_look_first_and_learn_afterwards():
    cost = torch.full((1, 3), 8.0)
    average = MovingAverage(decay=0.9)
    assert [average(cost).item(), average(cost).item()] == pytest.approx([0.0, 8.0])
    learned = LearnedBaseline(4)
    x = torch.randn(3, 4)
    expected = learned.network(x).squeeze(-1).detach()
    torch.testing.assert_close(learned(cost, x), expected)
    assert not torch.allclose(learned.network(x).squeeze(-1), expected)


@pytest.mark.parametrize("make", [MovingAverage, partial(LearnedBaseline, 4)])
def test_a_frozen_baseline_learns_nothing(make):
    baseline = make().eval()
    before = {name: value.clone() for name, value in baseline.state_dict().items()}
    baseline(torch.full((2, 3), 8.0), torch.randn(3, 4))
    baseline.train()
    with torch.no_grad():
        baseline(torch.full((2, 3), 8.0), torch.randn(3, 4))
    for name, value in baseline.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_a_learned_baseline_learns_which_examples_are_expensive():
    baseline, x = LearnedBaseline(2, lr=0.01), torch.eye(2)
    cost = torch.tensor([[10.0, 30.0]])
    for _ in range(1500):
        baseline(cost, x)
    torch.testing.assert_close(baseline(cost, x), cost[0], rtol=0, atol=0.5)
    with pytest.raises(ValueError, match="attribute x"):
        baseline(cost, None)


# --- a cost that lost a dimension --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "words"), [
    ((), "without a dim"),
    ((64,), "samples' dimension is lost"),
    ((10,), "batch dimension is lost"),
    ((64, 10), "changed places"),
    ((10, 64, 1), "keepdim"),
    ((10, 64, 784), "sum over the pixels"),
    ((1, 64), "keepdim"),
    ((10, 1), "keepdim"),
    ((7, 7, 7), "for each sample of each example"),
])
def test_a_cost_of_another_shape_is_refused_with_its_likely_cause(shape, words):
    with pytest.raises(ValueError, match=words):
        check_cost(torch.zeros(shape), 10, 64)


@pytest.mark.parametrize("estimator", [enumeration, score_function, rloo, gumbel_softmax, straight_through_gumbel, rebar])
@pytest.mark.parametrize("reduction", [lambda cost: cost.mean(), lambda cost: cost.mean(0), lambda cost: cost.mean(1)])
def test_every_estimator_refuses_it(estimator, reduction):
    f = smooth_cost()
    with pytest.raises(ValueError, match="samples, batch"):
        estimator(lambda z: reduction(f(z)), torch.randn(5, 2, 3))


def test_disarm_refuses_it_and_vimco_and_a_baseline_of_another_shape():
    with pytest.raises(ValueError, match="samples' dimension"):
        disarm(lambda b: b.sum(-1).mean(0), torch.randn(5, 2))
    with pytest.raises(ValueError, match="log_w has shape"):
        vimco(torch.zeros(5), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="baseline's shape"):
        score_surrogate(torch.zeros(3, 5), torch.zeros(3, 5), torch.zeros(4, 3, 5))


def test_one_sample_has_no_other_sample():
    for call in (lambda: leave_one_out(torch.zeros(1, 5)), lambda: vimco(torch.zeros(1, 5), torch.zeros(1, 5))):
        with pytest.raises(ValueError, match="no other sample"):
            call()


def test_too_many_codes_are_refused():
    with pytest.raises(ValueError, match="1e\\+20 joint states"):
        all_codes(20, 10)
