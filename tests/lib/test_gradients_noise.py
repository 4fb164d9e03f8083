"""Estimators with continuous noise: REBAR and the relaxations by quadrature, DisARM by the cells on which it is constant."""

from functools import partial

import pytest
import torch
from exact import exact_gradient, mean_over_noise, smooth_cost
from torch.nn import functional as F

from elbolab.gradients import (
    disarm,
    gumbel_softmax,
    rebar,
    straight_through_gumbel,
)
from elbolab.gradients.categorical import zero_valued

EXACT = 1e-12


# --- continuous noise: quadrature ------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.3, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_rebar_is_unbiased_for_every_temperature_and_weight(temperature, eta, monkeypatch):
    logits, f = torch.tensor([[[0.4, -0.5]]]), smooth_cost(1, 2)
    estimator = partial(rebar, temperature=temperature, eta=eta)
    error = mean_over_noise(estimator, f, logits, monkeypatch) - exact_gradient(f, logits)
    assert error.abs().max() <= 1e-10


@pytest.mark.parametrize("estimator", [gumbel_softmax, straight_through_gumbel])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_relaxations_fail_the_same_test(estimator, temperature, monkeypatch):
    logits, f = torch.tensor([[[0.4, -0.5]]]), smooth_cost(1, 2)
    error = mean_over_noise(partial(estimator, temperature=temperature), f, logits, monkeypatch) - exact_gradient(f, logits)
    assert error.abs().max() > 0.01


def test_rebars_gradient_is_the_papers_on_the_same_noise(monkeypatch):
    # The derivation written out: z and z~ as functions of log p, their noise fixed, z~'s taken from z's.
    logits, f, temperature, eta = torch.randn(3, 2, 4), smooth_cost(2, 4), 0.6, 0.8
    gumbels = torch.randn(5, 3, 2, 4)
    monkeypatch.setattr("elbolab.gradients.relaxed.gumbel_noise", lambda *_, **__: gumbels)
    ours = torch.autograd.grad(rebar(f, (leaf := logits.clone().requires_grad_()), 5, temperature, eta).sum(), leaf)[0]

    leaf = logits.clone().requires_grad_()
    log_p = F.log_softmax(leaf, -1)
    times = (-gumbels).exp() / log_p.exp()  # a race of exponentials
    b = F.one_hot(times.argmin(-1), 4).to(log_p)
    first = (times * b).sum(-1, keepdim=True).detach()
    waits = ((times - first) * log_p.exp()).detach()  # after the first arrival the others start anew
    z = (-times.log() / temperature).softmax(-1)
    again = (-(first + waits / log_p.exp()).log() / temperature).softmax(-1)
    torch.testing.assert_close(again, z)
    log_q = (b * log_p).sum((-2, -1))
    estimate = (f(b) - eta * f(again)).detach() * log_q + eta * (f(z) - f(again))
    torch.testing.assert_close(ours, torch.autograd.grad(estimate.mean(0).sum(), leaf)[0])


def test_rebar_gives_the_costs_parameters_the_gradient_at_the_hard_sample(monkeypatch):
    logits, theta = torch.randn(3, 2, 4), torch.randn(8, requires_grad=True)
    gumbels = torch.randn(1, 3, 2, 4)
    monkeypatch.setattr("elbolab.gradients.relaxed.gumbel_noise", lambda *_, **__: gumbels)
    b = F.one_hot((logits + gumbels).argmax(-1), 4).to(logits)

    def f(z):
        return (z.flatten(-2) @ theta).sin()

    value = rebar(f, logits.clone().requires_grad_())
    torch.testing.assert_close(value, f(b).mean(0))
    torch.testing.assert_close(torch.autograd.grad(value.sum(), theta)[0], torch.autograd.grad(f(b).sum(), theta)[0])


# --- DisARM: constant on the cells that p and 1 - p cut, so that its mean is a finite sum ------------------------------


def bernoulli_cost(b):
    return (b @ torch.tensor([1.3, -0.7]) + 0.4).exp() + 2 * b.prod(-1)


def mean_over_cells(estimator, f, logits, monkeypatch):
    edges = [torch.tensor([0.0, *sorted([p, 1 - p]), 1.0]) for p in logits[0].sigmoid().tolist()]
    middles = torch.cartesian_prod(*[(e[1:] + e[:-1]) / 2 for e in edges])
    weights = torch.cartesian_prod(*[e.diff() for e in edges]).prod(-1)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: middles.unsqueeze(0))
    leaf = logits.expand(len(middles), -1).clone().requires_grad_()
    value = estimator(f, leaf)
    return (weights * value).sum().detach(), (weights.unsqueeze(-1) * torch.autograd.grad(value.sum(), leaf)[0]).sum(0)


def exact_bernoulli(f, logits):
    leaf = logits[0].clone().requires_grad_()
    b = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 2)
    q = torch.where(b == 1, leaf.sigmoid(), (-leaf).sigmoid()).prod(-1)
    value = (q * f(b)).sum()
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def test_disarm_is_unbiased(monkeypatch):
    logits = torch.tensor([[-0.4, 1.1]])
    for found, exact in zip(mean_over_cells(disarm, bernoulli_cost, logits, monkeypatch), exact_bernoulli(bernoulli_cost, logits)):
        assert (found - exact).abs().max() <= EXACT


def wrong_disarm(f, logits, factor):
    u, p = torch.rand(1), logits.detach().sigmoid()
    b, opposite = (u < p).to(p.dtype), (1 - u < p).to(p.dtype)
    cost = f(torch.cat([b, opposite]))
    slope = (0.5 * (cost[:1] - cost[1:])).detach().unsqueeze(-1) * factor(b, opposite, logits.detach())
    return cost.mean(0) + (slope * zero_valued(logits)).sum(-1).mean(0)


@pytest.mark.parametrize("factor", [
    lambda b, o, phi: b - o,                                    # without sigma(|phi|)
    lambda b, o, phi: (b - o) * phi.sigmoid(),                  # sigma(phi)
    lambda b, o, phi: (o - b) * phi.abs().sigmoid(),            # the sign
    lambda b, o, phi: 2 * (b - o) * phi.abs().sigmoid(),        # without the half
])
def test_wrong_disarms_fail_the_same_test(factor, monkeypatch):
    logits = torch.tensor([[-0.4, 1.1]])
    _, found = mean_over_cells(partial(wrong_disarm, factor=factor), bernoulli_cost, logits, monkeypatch)
    assert (found - exact_bernoulli(bernoulli_cost, logits)[1]).abs().max() > 0.05
