"""A small discrete problem whose expectations are sums, and ways to take the mean of an estimator without luck."""

import itertools

import torch
from torch.nn import functional as F

from elbolab.gradients import all_codes, enumeration, log_prob_one_hot


def smooth_cost(latents=2, classes=3, seed=1):
    """f(z) for z (S, batch, L, C): not linear in any latent, and of both latents at once; also defined for relaxed z."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(latents * classes, 4, generator=generator)
    return lambda z: (z.flatten(-2) @ weight).sin().sum(-1) + (z.flatten(-2) @ weight[:, 0]).square() + 2.0


def exact_gradient(f, logits):
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(enumeration(f, leaf).sum(), leaf)[0]


def gradients_of_each(estimator, f, logits, count):
    """d estimator / d logits of `count` copies of one example, `(count, L, C)`: copy i is a draw of its own."""
    leaf = logits.expand(count, *logits.shape[1:]).clone().requires_grad_()
    return torch.autograd.grad(estimator(f, leaf).sum(), leaf)[0]


def tuples_of_samples(logits, num_samples):
    """All (C**L)**S tuples of samples, z `(S, tuples, L, C)`, and their probabilities `(tuples,)`."""
    codes = all_codes(*logits.shape[1:])
    numbers = torch.tensor(list(itertools.product(range(len(codes)), repeat=num_samples)))
    z = codes[numbers].transpose(0, 1)
    q = log_prob_one_hot(logits, codes.unsqueeze(1)).squeeze(1).exp()
    return z, q[numbers].prod(-1)


def mean_over_tuples(estimator, f, logits, num_samples, monkeypatch):
    """The estimator's expected gradient, exactly: sum over the tuples of q(tuple) times its gradient there."""
    z, probability = tuples_of_samples(logits, num_samples)
    monkeypatch.setattr("elbolab.gradients.score.sample_one_hot", lambda *_: z)
    gradients = gradients_of_each(estimator, f, logits, z.shape[1])
    return (probability.view(-1, 1, 1) * gradients).sum(0, keepdim=True)


def mean_over_noise(estimator, f, logits, monkeypatch, nodes=200):
    """The expected gradient of an estimator with Gumbel noise, for one latent of two classes, by quadrature.

    Only the difference of the two noises matters, a logistic variable, whose density in the uniform number behind it is 1. The
    estimator is smooth on either side of the point where the argmax changes, so Gauss and Legendre converge fast there.
    In t with u = u0 + (1 - u0) t^4 (and mirrored) the ends, where the noise is infinite, are tame too.
    """
    points, weights = gauss_legendre(nodes)
    log_odds = F.log_softmax(logits, -1)[0, 0, 0] - F.log_softmax(logits, -1)[0, 0, 1]
    edge = torch.sigmoid(-log_odds)  # below it class 1 wins
    low, high = edge * points**4, 1 - (1 - edge) * points**4
    noise = torch.cat([torch.logit(low), -torch.logit((1 - edge) * points**4)])
    assert (low < edge).all() and (high > edge).all()
    weight = torch.cat([edge * 4 * points**3 * weights, (1 - edge) * 4 * points**3 * weights])
    gumbels = torch.stack([noise, torch.zeros_like(noise)], -1).view(1, -1, 1, 2)
    monkeypatch.setattr("elbolab.gradients.relaxed.gumbel_noise", lambda *_, **__: gumbels)
    gradients = gradients_of_each(estimator, f, logits, gumbels.shape[1])
    return (weight.view(-1, 1, 1) * gradients).sum(0, keepdim=True)


def gauss_legendre(nodes):
    """Points and weights on (0, 1): eigenvalues of the Jacobi matrix (Golub and Welsch, 1969)."""
    k = torch.arange(1.0, nodes)
    off = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return (values + 1) / 2, vectors[0].square()
