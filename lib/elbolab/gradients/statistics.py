"""Bias, variance and cost of a gradient estimator, measured against the exact gradient."""

import contextlib
import functools

import torch
from torch import Tensor, nn

from .score import enumeration

__all__ = ["draw_statistics", "gradient_draws", "gradient_statistics"]


def gradient_draws(estimator, f, logits: Tensor, draws: int = 100, wrt: str = "probabilities") -> Tensor:
    """Independent draws of d estimator / d logits or d probabilities: `(draws, *logits.shape)`.

    A gradient with respect to probabilities needs a rule for what happens to their sum. Here q is p / sum(p), so that
    it is the gradient with respect to the logits divided by p, for every estimator alike. Baselines that are the
    estimator's keyword arguments (as in `partial(score_function, baseline=...)`) learn nothing from this.
    """
    if wrt not in ("probabilities", "logits") or (wrt == "probabilities" and logits.dim() != 3):
        raise ValueError(f"gradient_draws: wrt is {wrt!r} for logits of shape {tuple(logits.shape)}; choose 'logits', "
                         f"or 'probabilities' for categorical logits (batch, L, C).")
    with _frozen(estimator), torch.enable_grad():
        gradients = torch.stack([_gradient(estimator, f, logits) for _ in range(draws)])
    if wrt == "probabilities":
        gradients = gradients / logits.detach().softmax(-1).clamp_min(torch.finfo(logits.dtype).tiny)
    return gradients


def gradient_statistics(
    estimator, f, logits: Tensor, draws: int = 100, wrt: str = "probabilities", exact: Tensor | None = None
) -> dict:
    """Measure an estimator at fixed logits; the exact gradient is enumerated unless it is given, `logits.shape`.

    With respect to probabilities a score function's variance is about f^2 / p: where a posterior is sure of itself some p
    are tiny, and 100 draws do not see the events that matter. The logits are the better question there.

    Returns the dict of `draw_statistics`, and
        "decoder_calls": codes that f was asked about, for one estimate of the whole batch,
        "value": mean of the estimator's values over the draws and the batch, in nats.
    """
    if exact is None and logits.dim() != 3:
        raise ValueError("gradient_statistics: categorical logits (batch, L, C) can be enumerated; for others give `exact`.")
    counted, values = _Counted(f), []

    def watched(f, logits):
        value = estimator(f, logits)
        values.append(value.detach().double().mean())
        return value

    with _frozen(estimator):
        gradients = gradient_draws(watched, counted, logits, draws, wrt)
    if exact is None:
        exact = gradient_draws(enumeration, f, logits, 1, wrt)[0]
    calls = {"decoder_calls": counted.calls // draws, "value": float(torch.stack(values).mean())}
    return {**draw_statistics(gradients, exact), **calls}


def draw_statistics(gradients: Tensor, exact: Tensor) -> dict:
    """Bias and variance of draws of a gradient, `(draws, batch, *event)`, against the exact one, `(batch, *event)`.

    The squared length of the mean of n draws is too long by variance / n even for an unbiased estimator. What is
    returned as "bias_squared" is the mean of (g_i - g) . (g_j - g) over the pairs i != j of draws: right on average, and
    negative about half of the time where there is no bias. Its 95 % interval is the jackknife's, which is wide rather
    than narrow where there is no bias.

    Returns a dict; lengths are over the event of one example, then averaged over the batch:
        "bias_squared": squared length of the bias, "bias_low", "bias_high": its 95 % interval,
        "variance": trace of the covariance of one estimate,
        "exact_squared": squared length of the exact gradient, to compare with,
        "draws": n.
    """
    if len(gradients) < 3:
        raise ValueError(f"gradient_statistics: draws = {len(gradients)}; the interval needs 3 or more.")
    bias, error = _squared_bias((gradients - exact).flatten(2))
    return {
        "bias_squared": bias,
        "bias_low": bias - 1.96 * error,
        "bias_high": bias + 1.96 * error,
        "variance": float(gradients.double().flatten(2).var(0).sum(-1).mean()),
        "exact_squared": float(exact.double().flatten(1).square().sum(-1).mean()),
        "draws": len(gradients),
    }


def _squared_bias(deviations: Tensor) -> tuple[float, float]:
    """From `(n, batch, D)`: the mean over pairs of draws of their product, and its jackknife standard error."""
    n, batch = deviations.shape[:2]
    flat = deviations.double().flatten(1)
    total, squares = flat.sum(0), flat.square().sum(1)
    bias = (total.square().sum() - squares.sum()) / (n * (n - 1) * batch)
    left = total.square().sum() - 2 * flat @ total + squares  # squared length of the total without draw i
    without = (left - (squares.sum() - squares)) / ((n - 1) * (n - 2) * batch)
    error = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt()
    return float(bias), float(error)


def _gradient(estimator, f, logits: Tensor) -> Tensor:
    leaf = logits.detach().clone().requires_grad_()
    return torch.autograd.grad(estimator(f, leaf).sum(), leaf)[0]


class _Counted:
    """A cost that counts the codes it is asked about."""

    def __init__(self, f):
        self.f, self.calls, self.x = f, 0, getattr(f, "x", None)

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += z.shape[0] * z.shape[1]
        return self.f(z)


@contextlib.contextmanager
def _frozen(estimator):
    """The baselines among an estimator's keyword arguments in evaluation mode, and back as they were afterwards."""
    keywords = estimator.keywords.values() if isinstance(estimator, functools.partial) else ()
    modules = [(m, m.training) for m in (estimator, *keywords) if isinstance(m, nn.Module)]
    try:
        for module, _ in modules:
            module.eval()
        yield
    finally:
        for module, mode in modules:
            module.train(mode)
