"""Unbiased or biased, decided without luck: every tuple of samples is visited."""

from functools import partial

import pytest
import torch
from exact import exact_gradient, gradients_of_each, mean_over_tuples, smooth_cost, tuples_of_samples
from torch.nn import functional as F

from elbolab.gradients import (
    LearnedBaseline,
    MovingAverage,
    enumeration,
    leave_one_out,
    log_prob_one_hot,
    rloo,
    score_function,
    score_surrogate,
    vimco,
)

EXACT = 1e-12


def logits_of_one_example(latents=2, classes=3):
    return torch.randn(1, latents, classes, generator=torch.Generator().manual_seed(3))


def experienced(baseline):
    """A baseline that has seen other costs before: not 0, and not the mean of these."""
    baseline(torch.tensor([[1.0], [7.0]]), torch.ones(1, 4))
    return baseline


class Constant(torch.nn.Module):
    """f with an attribute x, as models have."""

    def __init__(self, f, x):
        super().__init__()
        self.f, self.x = f, x

    def forward(self, z):
        return self.f(z)


# --- every tuple of samples ------------------------------------------------------------------------------------------

UNBIASED = {
    "score function, 1 sample": (score_function, None, 1),
    "score function, 3 samples": (score_function, None, 3),
    "moving average": (score_function, MovingAverage, 2),
    "learned": (score_function, partial(LearnedBaseline, 4), 2),
    "RLOO, 2 samples": (rloo, None, 2),
    "RLOO, 3 samples": (rloo, None, 3),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_expected_gradient_is_the_exact_gradient(name, monkeypatch):
    estimator, baseline, samples = UNBIASED[name]
    estimator = partial(estimator, num_samples=samples, **({"baseline": experienced(baseline())} if baseline else {}))
    logits = logits_of_one_example()
    f = Constant(smooth_cost(), torch.ones(9**samples, 4))
    error = mean_over_tuples(estimator, f, logits, samples, monkeypatch) - exact_gradient(f.f, logits)
    assert error.abs().max() <= EXACT


def own_sample(f, logits, num_samples):
    return score_function(f, logits, num_samples, baseline=lambda cost, x: cost.mean(0))


def log_prob_detached(f, logits, num_samples):
    z = sample(logits, num_samples)
    return score_surrogate(f(z), log_prob_one_hot(logits, z).detach()) + 0 * logits.sum((1, 2))


def mean_over_latents(f, logits, num_samples):
    z = sample(logits, num_samples)
    return score_surrogate(f(z), log_prob_one_hot(logits, z) / logits.shape[1], leave_one_out(f(z)))


def softmax_over_the_latents(f, logits, num_samples):
    z = sample(logits, num_samples)
    return score_surrogate(f(z), (z * F.log_softmax(logits, dim=1)).sum((-2, -1)))


def sample(logits, num_samples):
    from elbolab.gradients import score

    return score.sample_one_hot(logits, num_samples)


@pytest.mark.parametrize("wrong", [own_sample, log_prob_detached, mean_over_latents, softmax_over_the_latents])
def test_wrong_versions_fail_the_same_test(wrong, monkeypatch):
    logits, f = logits_of_one_example(), smooth_cost()
    error = mean_over_tuples(partial(wrong, num_samples=2), f, logits, 2, monkeypatch) - exact_gradient(f, logits)
    assert error.abs().max() > 0.05


def test_values_average_to_the_expected_cost(monkeypatch):
    # The value of an estimator is an estimate, too, and no number that only its gradient gives a meaning.
    logits, f = logits_of_one_example(), smooth_cost()
    z, probability = tuples_of_samples(logits, 2)
    monkeypatch.setattr("elbolab.gradients.score.sample_one_hot", lambda *_: z)
    copies = logits.expand(z.shape[1], -1, -1)
    exact = enumeration(f, logits).item()
    for estimator in (partial(score_function, num_samples=2), rloo):
        assert (probability * estimator(f, copies)).sum().item() == pytest.approx(exact, abs=EXACT)


def test_the_costs_own_parameters_get_their_exact_gradient_on_average(monkeypatch):
    # f's parameter must not meet the baseline: d E[f] / d theta = E[d f / d theta].
    logits = logits_of_one_example()
    z, probability = tuples_of_samples(logits, 2)
    monkeypatch.setattr("elbolab.gradients.score.sample_one_hot", lambda *_: z)
    theta = torch.randn(6, requires_grad=True)

    def f(z):
        return (z.flatten(-2) @ theta).exp()

    exact = torch.autograd.grad(enumeration(f, logits).sum(), theta)[0]
    average = torch.autograd.grad((probability * rloo(f, logits.expand(z.shape[1], -1, -1))).sum(), theta)[0]
    torch.testing.assert_close(average, exact, rtol=0, atol=EXACT)


def bound_of_tuples(logits, z, f):
    log_q = log_prob_one_hot(logits, z)
    return -f(z) - log_q, log_q


@pytest.mark.parametrize("samples", [2, 3])
def test_vimco_is_unbiased_for_the_multi_sample_bound(samples):
    logits, f = logits_of_one_example(), smooth_cost()
    z, probability = tuples_of_samples(logits, samples)
    leaf = logits.clone().requires_grad_()
    log_w, log_q = bound_of_tuples(leaf.expand(z.shape[1], -1, -1), z, f)
    tuple_bound = torch.logsumexp(log_w, 0) - torch.tensor(float(samples)).log()
    exact = torch.autograd.grad((log_q.sum(0).exp() * tuple_bound).sum(), leaf)[0]

    def gradient(bound):
        copies = logits.expand(z.shape[1], -1, -1).clone().requires_grad_()
        value = bound(*bound_of_tuples(copies, z, f))
        gradients = torch.autograd.grad(value.sum(), copies)[0]
        return value, (probability.view(-1, 1, 1) * gradients).sum(0, keepdim=True)

    value, average = gradient(vimco)
    torch.testing.assert_close(value, tuple_bound, rtol=0, atol=EXACT)
    assert (average - exact).abs().max() <= EXACT

    # The same test fails without the score term, and with a mean over the samples in place of the sum.
    _, pathwise = gradient(lambda log_w, log_q: vimco(log_w, log_q.detach()))
    _, mean = gradient(lambda log_w, log_q: vimco(log_w, log_q / samples))
    assert (pathwise - exact).abs().max() > 0.01 and (mean - exact).abs().max() > 0.01


def test_vimcos_baseline_is_the_bound_with_the_geometric_mean_of_the_other_weights():
    log_w, logits = torch.tensor([[0.0], [1.0], [3.0]]), torch.zeros(3, 1, requires_grad=True)
    vimco(log_w, logits).sum().backward()
    bound = log_w.exp().mean().log()
    others = torch.tensor([2.0, 1.5, 0.5])
    for s in range(3):
        weights = log_w.flatten().clone()
        weights[s] = others[s]
        assert logits.grad[s].item() == pytest.approx((bound - weights.exp().mean().log()).item(), abs=1e-12)


# --- invariances on fixed samples ------------------------------------------------------------------------------------


def test_rloo_does_not_change_with_a_constant_and_the_score_function_does():
    logits, f = torch.randn(4, 2, 3), smooth_cost()

    def gradient(estimator, f):
        torch.manual_seed(5)
        leaf = logits.clone().requires_grad_()
        return torch.autograd.grad(estimator(f, leaf).sum(), leaf)[0]

    shifted = lambda z: f(z) + 100.0  # noqa: E731
    torch.testing.assert_close(gradient(rloo, shifted), gradient(rloo, f), rtol=0, atol=1e-11)
    single = partial(score_function, num_samples=2)
    assert (gradient(single, shifted) - gradient(single, f)).abs().max() > 1


def test_rloo_can_be_worse_than_the_plain_score_function(monkeypatch):
    # No ordering of variances is a law. Costs of mean 0 need no baseline, and one other sample's cost only adds noise.
    logits = torch.zeros(1, 1, 2)

    def f(z):
        return 2 * z[..., 0, 0] - 1

    def variance(estimator):
        z, probability = tuples_of_samples(logits, 2)
        monkeypatch.setattr("elbolab.gradients.score.sample_one_hot", lambda *_: z)
        gradients = gradients_of_each(partial(estimator, num_samples=2), f, logits, 4)[:, 0, 0]
        return ((probability * gradients**2).sum() - (probability * gradients).sum() ** 2).item()

    # By hand: f = +-1 and d log q = +-1/2 with the same sign, so the score function gives 1/2 always; RLOO 1 or 0.
    assert variance(score_function) == pytest.approx(0.0, abs=1e-15)
    assert variance(rloo) == pytest.approx(0.25)
