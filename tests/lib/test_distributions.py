"""The Gaussian against closed forms, over shapes, dtypes and extremes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from elbolab.distributions import Bernoulli
from elbolab.distributions import ReparameterizedDiagonalGaussian as Gaussian

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)
log_sigmas = st.floats(-30, 30)
dtypes = st.sampled_from([torch.float32, torch.float64])


def gaussian(shape=(3, 2), dtype=torch.float64):
    return Gaussian(torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype))


@given(shapes, shapes, dtypes)
def test_shapes_follow_the_contract_of_torch(shape, sample_shape, dtype):
    q = gaussian(shape, dtype)
    assert q.batch_shape == shape and q.event_shape == ()
    for draw in (q.sample, q.rsample, q.sample_epsilon):
        assert draw().shape == shape
        z = draw(sample_shape)
        assert z.shape == sample_shape + shape and z.dtype == dtype
    assert q.log_prob(z).shape == z.shape
    for quantity in (q.mean, q.mode, q.stddev, q.variance, q.sigma, q.entropy()):
        assert quantity.shape == shape and quantity.dtype == dtype


@given(shapes)
def test_log_prob_entropy_and_moments_match_torch(shape):
    q = gaussian(shape)
    reference = Normal(q.mu, q.log_sigma.exp())
    z = 3 * torch.randn((5, *shape))
    torch.testing.assert_close(q.log_prob(z), reference.log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.entropy(), reference.entropy(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.variance, reference.variance, rtol=1e-12, atol=1e-12)


@given(log_sigmas, st.floats(-5, 5), st.floats(-3, 3), dtypes)
def test_log_prob_is_exact_for_any_log_sigma_from_minus_30_to_30(log_sigma, mu, standardized, dtype):
    # Derivation: put z = mu + sigma t. Then log N(z) = -t^2/2 - log sigma - log(2 pi)/2. Where sigma is far
    # below the spacing of the floats at mu, z is rounded; so take mu = 0 there and t is exact to rounding.
    mu = 0.0 if log_sigma < -5 else mu
    q = Gaussian(torch.tensor(mu, dtype=dtype), torch.tensor(log_sigma, dtype=dtype))
    z = q.mu + q.sigma * standardized
    expected = -0.5 * standardized**2 - log_sigma - 0.5 * math.log(2 * math.pi)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    assert q.log_prob(z).item() == pytest.approx(expected, rel=tolerance / 10, abs=tolerance)
    assert q.entropy().item() == pytest.approx(0.5 + log_sigma + 0.5 * math.log(2 * math.pi), rel=1e-5, abs=1e-5)


@given(log_sigmas, dtypes)
def test_gradients_stay_finite_at_extreme_log_sigma(log_sigma, dtype):
    # d/d log_sigma log N(mu + sigma t) with z fixed is t^2 - 1; with z reparameterized it is -1.
    mu, parameter = torch.zeros(2, dtype=dtype, requires_grad=True), torch.full((2,), log_sigma, dtype=dtype)
    parameter.requires_grad_()
    q = Gaussian(mu, parameter)
    z = q.rsample()
    (moving,) = torch.autograd.grad(q.log_prob(z).sum(), parameter, retain_graph=True)
    torch.testing.assert_close(moving, torch.full_like(moving, -1), rtol=1e-3, atol=1e-3)
    t = (z.detach() * torch.exp(-parameter.detach()))
    (fixed,) = torch.autograd.grad(q.log_prob(z.detach()).sum(), parameter)
    torch.testing.assert_close(fixed, t**2 - 1, rtol=1e-3, atol=1e-3)


def test_log_prob_over_784_pixels_does_not_underflow():
    q = Gaussian(torch.zeros(2, 784, dtype=torch.float32), torch.full((2, 784), -20.0, dtype=torch.float32))
    total = q.log_prob(torch.full((2, 784), 1e-6, dtype=torch.float32)).sum(-1)
    # t = 1e-6 e^20 = 485.165..., each pixel -t^2/2 + 20 - 0.9189.
    t = 1e-6 * math.exp(20)
    assert total.tolist() == pytest.approx([784 * (-0.5 * t * t + 20 - 0.5 * math.log(2 * math.pi))] * 2, rel=1e-4)


def test_gradcheck_of_log_prob_entropy_rsample_and_kl():
    mu = torch.randn(3, 2, requires_grad=True)
    log_sigma = torch.randn(3, 2, requires_grad=True)
    z = torch.randn(3, 2, requires_grad=True)
    p = gaussian()

    def rsample(mu, log_sigma):
        torch.manual_seed(1)  # the same epsilon for every finite difference
        return Gaussian(mu, log_sigma).rsample((2,))

    check = torch.autograd.gradcheck
    assert check(lambda m, s, z: Gaussian(m, s).log_prob(z), (mu, log_sigma, z))
    assert check(lambda m, s: Gaussian(m, s).entropy() + 0 * m, (mu, log_sigma))
    assert check(rsample, (mu, log_sigma))
    assert check(lambda m, s: kl_divergence(Gaussian(m, s), p), (mu, log_sigma))
    assert check(lambda m, s: kl_divergence(p, Gaussian(m, s)), (mu, log_sigma))


def test_samples_have_the_mean_and_the_standard_deviation():
    # 200,000 draws: the mean is off by sigma / 447, the deviation by sigma / 632; 6 of those are allowed.
    q = Gaussian(torch.tensor([-2.0, 5.0]), torch.tensor([-1.0, 1.0]))
    z = q.sample((200_000,))
    assert ((z.mean(0) - q.mean).abs() < 6 * q.stddev / 447).all()
    assert ((z.std(0) - q.stddev).abs() < 6 * q.stddev / 632).all()


def test_every_number_gets_its_own_epsilon_and_calls_differ():
    q = Gaussian(torch.zeros(50, 3), torch.zeros(50, 3))
    z = torch.cat([q.rsample().flatten(), q.rsample().flatten()])
    assert len(z.unique()) == 300


def test_sample_carries_no_gradient_and_rsample_does():
    q = Gaussian(torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True))
    assert not q.sample().requires_grad and q.rsample().requires_grad and q.has_rsample


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-2, 2), st.floats(-2, 2))
def test_kl_matches_torch_for_every_pair_of_classes(mu_q, mu_p, log_q, log_p):
    q, p = (Gaussian(torch.tensor([m]), torch.tensor([s])) for m, s in ((mu_q, log_q), (mu_p, log_p)))
    normal_q, normal_p = Normal(q.mu, q.sigma), Normal(p.mu, p.sigma)
    expected = kl_divergence(normal_q, normal_p)
    for pair in ((q, p), (q, normal_p), (normal_q, p)):
        torch.testing.assert_close(kl_divergence(*pair), expected, rtol=1e-9, atol=1e-12)


def test_kl_keeps_its_digits_where_the_two_are_almost_equal():
    # KL(N(0, e^2d) || N(0, 1)) = (e^2d - 1 - 2d)/2 = d^2 + O(d^3).
    d = 1e-4
    q, p = Gaussian(torch.zeros(1), torch.tensor([d])), Gaussian(torch.zeros(1), torch.zeros(1))
    assert kl_divergence(q, p).item() == pytest.approx(d**2 + 2 / 3 * d**3, rel=1e-6)


def test_kl_equals_its_definition_by_quadrature():
    # KL = integral of q (log q - log p); the trapezoid rule on a smooth, decaying integrand is exact to rounding.
    q, p = Gaussian(torch.tensor(0.3), torch.tensor(-0.2)), Gaussian(torch.tensor(-0.5), torch.tensor(0.4))
    z = torch.linspace(-15, 15, 20_001)
    integral = torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)), z)
    assert kl_divergence(q, p).item() == pytest.approx(integral.item(), rel=1e-10)


def test_expand_and_independent_work_as_for_torch_distributions():
    q = Gaussian(torch.randn(2), torch.randn(2))
    wide = q.expand((4, 2))
    assert wide.batch_shape == (4, 2) and wide.rsample().shape == (4, 2)
    torch.testing.assert_close(wide.mean, q.mean.expand(4, 2))
    joint = Independent(wide, 1)
    assert joint.log_prob(torch.zeros(4, 2)).shape == (4,)
    torch.testing.assert_close(joint.log_prob(torch.zeros(4, 2))[0], q.log_prob(torch.zeros(2)).sum())


def test_empty_batch():
    q = Gaussian(torch.zeros(0, 2), torch.zeros(0, 2))
    assert q.rsample().shape == q.log_prob(q.sample()).shape == (0, 2)
    assert kl_divergence(q, q).shape == (0, 2)


@pytest.mark.parametrize(
    ("mu", "log_sigma", "error", "words"),
    [
        (torch.zeros(3), torch.zeros(3, 1), ValueError, r"\(3,\).*\(3, 1\).*expand_as"),
        (torch.zeros(3), torch.zeros(1), ValueError, "must be equal"),
        (torch.zeros(3, dtype=torch.long), torch.zeros(3), TypeError, "mu holds torch.int64"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int32), TypeError, "log_sigma holds torch.int32"),
        (torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float32), TypeError, "float64.*float32"),
        (0.0, torch.zeros(()), TypeError, "mu is a float"),
        (torch.tensor([0.0, math.nan]), torch.zeros(2), ValueError, r"mu holds 1 NaN.*index \(1,\)"),
        (torch.zeros(2), torch.tensor([math.nan, math.inf]), ValueError, "log_sigma holds 2 NaN"),
    ],
)
def test_errors_say_what_where_and_what_to_do(mu, log_sigma, error, words):
    with pytest.raises(error, match=words):
        Gaussian(mu, log_sigma)


def test_validation_can_be_switched_off_and_follows_torch_otherwise():
    nan = torch.full((2,), math.nan)
    assert Gaussian(nan, torch.zeros(2), validate_args=False).log_prob(nan).isnan().all()
    with pytest.raises(ValueError, match="value"):
        Gaussian(torch.zeros(2), torch.zeros(2)).log_prob(nan)
    with pytest.raises(ValueError, match="value"):
        Gaussian(torch.zeros(2), torch.zeros(2), validate_args=True).expand((3, 2)).log_prob(nan)


def test_bernoulli_is_that_of_torch():
    assert Bernoulli is torch.distributions.Bernoulli
