"""Unbiased or biased, by many draws: where no enumeration reaches, and for the listed wrong versions, with power stated.

The mean of n independent draws of each of 10 numbers (6 of the gradient of the logits, 4 of the cost's own parameters; 7 for DisARM) is
compared with the enumerated one. Each is bounded, so that the mean of this many is normal with standard error s / sqrt(n).

False alarm: "biased" is said where a number is more than ALLOWED = 5.5 standard errors off: 10 P(|N| > 5.5) = 4e-7.
Power: a version whose true bias is 5.5 + 2.33 standard errors is missed with probability P(N < -2.33) = 1 %. A version that is
*seen* 4.75 further off than that has a true bias as large, but for P(N > 4.75) = 1e-6. So each wrong version is asked to be seen SURE =
12.6 off. The least of the versions below, REBAR with one of its two gradients left out, has a bias of 0.14 standard deviations of
one draw, for which n = 8,100 would do. n is five times as large.
"""

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from elbolab.gradients import (
    all_codes,
    disarm,
    gumbel_noise,
    gumbel_softmax,
    leave_one_out,
    log_prob_one_hot,
    rebar,
    rloo,
    sample_one_hot,
    score_function,
    straight_through_gumbel,
)
from elbolab.gradients.categorical import one_hot, zero_valued

DRAWS, ALLOWED = 40_000, 5.5
MISSED, UNLUCKY = 2.33, 4.75  # one per cent, and one in a million, of a normal variable
SURE = ALLOWED + MISSED + UNLUCKY
LOGITS = torch.tensor([[0.4, -0.5, 0.1], [-0.2, 0.3, 0.7]], dtype=torch.float64)
PHI = torch.tensor([-0.4, 1.1, 0.3], dtype=torch.float64)


def costs(theta):
    """f of codes (S, n, ...), relaxed ones too, with parameters theta (n, 4) of each draw's own; not linear in any latent."""

    def f(z):
        flat = z.flatten(2) if z.dim() == 4 else z
        weight = torch.randn(flat.shape[-1], 4, generator=torch.Generator().manual_seed(1))
        return 2 + ((flat @ weight).sin() * theta).sum(-1)

    return f


def gradients(estimator, logits, count):
    """`count` draws of the gradients with respect to the logits and to theta, side by side: `(count, 10)` or `(count, 7)`."""
    rows = logits.expand(count, *logits.shape).clone().requires_grad_()
    theta = torch.tensor([1.0, -0.7, 0.5, 1.2]).expand(count, -1).clone().requires_grad_()
    found = torch.autograd.grad(estimator(costs(theta), rows).sum(), (rows, theta), allow_unused=True)
    return torch.cat([torch.zeros_like(leaf).flatten(1) if g is None else g.flatten(1) for g, leaf in zip(found, (rows, theta))], 1)


def exactly(f, logits):
    """E[f(z)] by enumeration, in the plainest way: of one-hot codes, or of bits for logits (batch, M)."""
    if logits.dim() == 3:
        codes = all_codes(*logits.shape[1:]).unsqueeze(1)
        q = (codes * logits.softmax(-1)).sum(-1).prod(-1)
    else:
        codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * logits.shape[1]).unsqueeze(1)
        q = torch.where(codes == 1, logits.sigmoid(), (-logits).sigmoid()).prod(-1)
    return (q * f(codes)).sum(0)


def standard_errors_off(estimator, logits, count=DRAWS):
    """How far the most telling number is off, in standard errors of its mean."""
    draws, exact = gradients(estimator, logits, count), gradients(exactly, logits, 1)[0]
    error = draws.std(0) / count**0.5
    return float(((draws.mean(0) - exact).abs() / error.clamp_min(1e-12)).max())


# --- wrong versions ----------------------------------------------------------------------------------------------------


def scored(f, logits, surrogate, log_prob=log_prob_one_hot, samples=2):
    z = sample_one_hot(logits, samples)
    cost = f(z)
    return surrogate(cost, log_prob(logits, z)).mean(0)


def plain(cost, log_q):
    return cost + cost.detach() * zero_valued(log_q)


def written_out_rebar(f, logits, forward=1.0, back=1.0, temperature=0.5):
    """REBAR from its definition, with z and z~ functions of log p: `forward` and `back` weigh the two gradients that put back."""
    log_p = F.log_softmax(logits, -1)
    fixed = log_p.detach().exp()
    times = (-gumbel_noise((1, *logits.shape))).exp() / fixed  # a race of exponentials, at rates p
    b = one_hot(times.argmin(-1), logits.shape[-1], logits.dtype)
    first = (times * b).sum(-1, keepdim=True)
    waits = (times - first) * fixed  # after the first arrival the others start anew
    z = ((zero_valued(log_p) - times.log()) / temperature).softmax(-1)
    again = (-(first + waits / log_p.exp()).log() / temperature).softmax(-1)
    z, again = (y.detach() + share * zero_valued(y) for y, share in ((z, forward), (again, back)))
    signal = (f(b) - f(again)).detach()
    return (f(b) + signal * zero_valued((b * log_p).sum((-2, -1))) + f(z) - f(again)).mean(0)


def wrong_disarm(f, logits, factor, independent=False):
    u, p = torch.rand(1, *logits.shape), logits.detach().sigmoid()
    v = torch.rand_like(u) if independent else 1 - u
    b, opposite = (u < p).to(p.dtype), (v < p).to(p.dtype)
    cost = f(torch.cat([b, opposite]))
    slope = (0.5 * (cost[:1] - cost[1:])).detach().unsqueeze(-1) * factor(b, opposite, logits.detach())
    return cost.mean(0) + (slope * zero_valued(logits)).sum(-1).mean(0)


SIGMA = lambda b, o, phi: (b - o) * phi.abs().sigmoid()  # noqa: E731

UNBIASED = {
    "score function": (score_function, LOGITS),
    "RLOO, 2": (rloo, LOGITS),
    "RLOO, 4": (partial(rloo, num_samples=4), LOGITS),
    "RLOO, written out": (
        partial(scored, surrogate=lambda cost, log_q: cost + (cost - leave_one_out(cost)).detach() * zero_valued(log_q)), LOGITS),
    "REBAR, cold": (partial(rebar, temperature=0.3), LOGITS),
    "REBAR, eta = 0.5": (partial(rebar, eta=0.5, num_samples=2), LOGITS),
    "REBAR, written out": (written_out_rebar, LOGITS),
    "DisARM": (disarm, PHI),
    "DisARM, 2 pairs": (partial(disarm, num_samples=2), PHI),
}
WRONG = {
    "Gumbel-softmax": (gumbel_softmax, LOGITS),
    "straight-through": (straight_through_gumbel, LOGITS),
    "cost not detached": (partial(scored, surrogate=lambda cost, log_q: cost + cost * log_q), LOGITS),
    "cost not detached, alone": (partial(scored, surrogate=lambda cost, log_q: cost * log_q), LOGITS),
    "log-prob detached": (partial(scored, surrogate=lambda cost, log_q: cost + cost.detach() * log_q.detach()), LOGITS),
    "sign": (partial(scored, surrogate=lambda cost, log_q: cost - cost.detach() * zero_valued(log_q)), LOGITS),
    "own sample in the baseline": (partial(score_function, num_samples=4, baseline=lambda cost, x: cost.mean(0)), LOGITS),
    "baseline in the cost's gradient": (
        partial(scored, surrogate=lambda cost, log_q: plain(cost - (cost.sum(0) - cost) / (len(cost) - 1), log_q)), LOGITS),
    "mean over latents": (partial(scored, surrogate=plain, log_prob=lambda g, z: log_prob_one_hot(g, z) / g.shape[1]), LOGITS),
    "mean over classes": (partial(scored, surrogate=plain, log_prob=lambda g, z: log_prob_one_hot(g, z) / g.shape[2]), LOGITS),
    "softmax over the latents": (
        partial(scored, surrogate=plain, log_prob=lambda g, z: (z * F.log_softmax(g, dim=1)).sum((-2, -1))), LOGITS),
    "not normalized": (partial(scored, surrogate=plain, log_prob=lambda g, z: (z * g).sum((-2, -1))), LOGITS),
    "REBAR, nothing put back": (partial(written_out_rebar, forward=0.0, back=0.0), LOGITS),
    "REBAR, sign of what is put back": (partial(written_out_rebar, forward=-1.0, back=-1.0), LOGITS),
    "REBAR, half put back": (partial(written_out_rebar, forward=0.5, back=0.5), LOGITS),
    "REBAR, z~ detached": (partial(written_out_rebar, back=0.0), LOGITS),
    "REBAR, z detached": (partial(written_out_rebar, forward=0.0), LOGITS),
    "DisARM without sigma": (partial(wrong_disarm, factor=lambda b, o, phi: b - o), PHI),
    "DisARM with sigma(phi)": (partial(wrong_disarm, factor=lambda b, o, phi: (b - o) * phi.sigmoid()), PHI),
    "DisARM, sign": (partial(wrong_disarm, factor=lambda b, o, phi: (o - b) * phi.abs().sigmoid()), PHI),
    "DisARM without the half": (partial(wrong_disarm, factor=lambda b, o, phi: 2 * (b - o) * phi.abs().sigmoid()), PHI),
    "DisARM, pairs not opposite": (partial(wrong_disarm, factor=SIGMA, independent=True), PHI),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_estimators_are_near_the_exact_gradient(name):
    assert standard_errors_off(*UNBIASED[name]) < ALLOWED


@pytest.mark.parametrize("name", WRONG)
def test_wrong_and_biased_versions_are_found_with_power_above_99_per_cent(name):
    assert standard_errors_off(*WRONG[name]) > SURE


def test_the_power_is_what_the_normal_distribution_says():
    # The baseline with its own sample, with so few draws that it should be missed once in four times or so: 400 repetitions.
    estimator, logits = WRONG["own sample in the baseline"]
    draws, exact = gradients(estimator, logits, DRAWS), gradients(exactly, logits, 1)[0]
    effect = float(((draws.mean(0) - exact).abs() / draws.std(0).clamp_min(1e-12)).max())
    count, repeats = round(((ALLOWED + 0.67) / effect) ** 2), 400
    found = gradients(estimator, logits, count * repeats).view(repeats, count, -1)
    off = (found.mean(1) - exact).abs() / (found.std(1) / count**0.5).clamp_min(1e-12)
    least = 0.5 * math.erfc(-0.67 / math.sqrt(2))  # of the most telling number alone; the others can only add to it
    assert (off.amax(1) > ALLOWED).double().mean() > least - 4 * (least * (1 - least) / repeats) ** 0.5
