"""From log-weights to bounds: the ELBO, the beta-ELBO, the importance-weighted bound, log p(x).

Everything here follows from one quantity, the log importance weight of a latent sample,

    log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x),    z_k ~ q(z|x),

kept as a tensor `(K, batch)` in nats. Its mean over k is the ELBO, the log of the mean of its
exponentials is the importance-weighted bound, and with many samples that bound is log p(x).
"""

import math

import torch
from torch import Tensor, nn

__all__ = [
    "VariationalInference",
    "active_units",
    "effective_sample_size",
    "importance_weighted_bound",
    "log_likelihood",
    "log_weights",
    "merge",
    "normalized_weights",
    "reduce",
    "unmerge",
]


def reduce(x: Tensor, keep: int = 1) -> Tensor:
    """Sum over all but the first `keep` dimensions: `(batch, *event)` -> `(batch,)`.

    >>> reduce(torch.ones(4, 1, 28, 28))
    tensor([784., 784., 784., 784.])
    """
    return x.flatten(keep).sum(-1) if x.dim() > keep else x


def merge(x: Tensor, leading: int = 1) -> Tensor:
    """Fold leading sample dimensions into the batch: `(K, batch, *event)` -> `(K * batch, *event)`.

    A network sees one long batch then, whatever the number of samples. `leading` is the number of
    sample dimensions before the batch: with 0 nothing happens, with 2 `(S, K, batch, *event)`
    becomes `(S * K * batch, *event)`.
    """
    return x.flatten(0, leading)


def unmerge(x: Tensor, *samples: int) -> Tensor:
    """Undo `merge`: `(K * batch, *event)` -> `(K, batch, *event)` with `samples` = K; several: S, K, ...

    >>> z = torch.arange(12.0).view(3, 2, 2)
    >>> bool((unmerge(merge(z), 3) == z).all())
    True
    """
    return x.unflatten(0, (*samples, x.shape[0] // max(math.prod(samples), 1)))


def log_px_and_kl(outputs: dict, x: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of the log-weights, each `(K, batch)`, in nats.

    `outputs` is what a model's forward returned for x: px, pz, qz and z, where z is `(batch, M)` or
    `(K, batch, M)`. The second half, log q(z|x) - log p(z), is a one-sample estimate of the KL.
    """
    px, pz, qz, z = (outputs[name] for name in ("px", "pz", "qz", "z"))
    keep = z.dim() - 1
    log_px = reduce(px.log_prob(x), keep)
    kl = reduce(qz.log_prob(z) - pz.log_prob(z), keep)
    return (log_px, kl) if keep == 2 else (log_px.unsqueeze(0), kl.unsqueeze(0))


def log_weights(model, x: Tensor, num_samples: int = 1) -> Tensor:
    """log w = log p(x|z) + log p(z) - log q(z|x) for K fresh samples, `(K, batch)`, in nats."""
    log_px, kl = log_px_and_kl(model(x, num_samples=num_samples), x)
    return log_px - kl


def importance_weighted_bound(log_w: Tensor) -> Tensor:
    r"""L_K = log (1/K) \sum_k w_k for each example: `(K, batch)` -> `(batch,)`, in nats.

    References:
        Importance Weighted Autoencoders (Burda, Grosse and Salakhutdinov, 2016), equation 8
        https://arxiv.org/abs/1509.00519

    >>> importance_weighted_bound(torch.tensor([[-1000.0], [-1000.0]]))
    tensor([-1000.])
    """
    # logsumexp takes the largest weight out first; exp(-1000) alone would be 0.
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


def normalized_weights(log_w: Tensor) -> Tensor:
    """w_k / sum of w over the samples, without gradient: `(K, batch)` -> `(K, batch)`; each column sums to 1.

    They weigh the samples in the gradient of L_K (Burda et al., 2016, equation 14).
    """
    return torch.softmax(log_w.detach(), dim=0)


def effective_sample_size(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights: `(K, batch)` -> `(batch,)`, between 1 and K.

    >>> effective_sample_size(torch.zeros(4, 1))
    tensor([4.])
    """
    return normalized_weights(log_w).square().sum(0).reciprocal()


class VariationalInference(nn.Module):
    r"""The objective: minus a lower bound of log p(x), averaged over the batch.

    With one sample the bound is the beta-ELBO, log p(x|z) - beta (log q(z|x) - log p(z)); at
    beta = 1 it is the ELBO. With K > 1 samples it is the importance-weighted bound L_K, or, with
    `importance_weighted=False`, the beta-ELBO again, averaged over K samples. A beta weighs the KL,
    and L_K has no KL of its own to weigh, so these two together are refused.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014) https://arxiv.org/abs/1312.6114
        beta-VAE (Higgins et al., 2017) https://openreview.net/forum?id=Sy2fzU9gl
        Importance Weighted Autoencoders (Burda et al., 2016) https://arxiv.org/abs/1509.00519
    """

    def __init__(self, beta: float = 1.0, num_samples: int = 1, importance_weighted: bool = True):
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"VariationalInference: num_samples is {num_samples}; it must be 1 or more.")
        self.importance_weighted = importance_weighted and num_samples > 1
        if self.importance_weighted and beta != 1:
            raise ValueError(
                f"VariationalInference: beta = {beta} with num_samples = {num_samples}. The importance-weighted "
                f"bound has no KL term that beta could weigh; use beta = 1, one sample, or importance_weighted=False."
            )
        self.beta, self.num_samples = beta, num_samples

    def extra_repr(self) -> str:
        return f"beta={self.beta}, num_samples={self.num_samples}, importance_weighted={self.importance_weighted}"

    def forward(self, model, x: Tensor) -> tuple[Tensor, dict, dict]:
        """Evaluate the bound on a batch x of shape `(batch, *event)`.

        Returns:
            loss: scalar, minus the batch mean of the bound, in nats; call `loss.backward()`.
            diagnostics: estimates for each example, in nats, without gradients:
                "elbo": `(batch,)`, log p(x|z) - KL, whatever beta is (mean over the K samples),
                "log_px": `(batch,)`, log p(x|z), the reconstruction term,
                "kl": `(batch,)`, log q(z|x) - log p(z).
            outputs: the model's px, pz, qz, z, and "log_w": `(K, batch)`.
        """
        outputs = model(x, num_samples=self.num_samples)
        log_px, kl = log_px_and_kl(outputs, x)
        log_w = log_px - kl
        if self.importance_weighted:
            bound = importance_weighted_bound(log_w)
        else:
            bound = _over_samples(log_w if self.beta == 1 else log_px - self.beta * kl)
        diagnostics = {"elbo": log_w, "log_px": log_px, "kl": kl}
        diagnostics = {name: _over_samples(value.detach()) for name, value in diagnostics.items()}
        return -bound.mean(), diagnostics, {**outputs, "log_w": log_w}


def _over_samples(values: Tensor) -> Tensor:
    """Mean over the samples, `(K, batch)` -> `(batch,)`; one sample is its own mean."""
    return values[0] if len(values) == 1 else values.mean(0)


@torch.no_grad()
def log_likelihood(model, x: Tensor, num_samples: int = 5000, chunk: int = 2000) -> Tensor:
    """Estimate log p(x) by importance sampling: L_K with many samples, `(batch,)`, in nats.

    On average the estimate lies below log p(x), the less the more samples. Each example is encoded
    once. At most `chunk` latents are decoded at a time, so memory does not grow with the number of
    samples or examples.
    """
    if num_samples < 1 or chunk < 1:
        raise ValueError(f"log_likelihood: num_samples = {num_samples}, chunk = {chunk}; both must be 1 or more.")
    examples = min(64, chunk)
    return torch.cat([_log_likelihood(model, part, num_samples, chunk) for part in x.split(examples)])


def _log_likelihood(model, x: Tensor, num_samples: int, chunk: int) -> Tensor:
    qz, pz = model.posterior(x), model.prior(len(x))
    step = max(1, chunk // max(1, len(x)))
    total = None
    for start in range(0, num_samples, step):
        z = qz.sample((min(step, num_samples - start),))
        outputs = {"px": model.observation_model(z), "pz": pz, "qz": qz, "z": z}
        log_px, kl = log_px_and_kl(outputs, x)
        partial = torch.logsumexp(log_px - kl, dim=0)
        total = partial if total is None else torch.logaddexp(total, partial)
    return total - math.log(num_samples)


@torch.no_grad()
def active_units(model, x: Tensor, threshold: float = 0.01) -> tuple[int, Tensor]:
    """How many latent coordinates say something about x: Cov_x(E_q[z]) > threshold (Burda et al., 2016, section 5.2).

    Returns the count and the variances `(M,)` of the posterior means over the examples.
    """
    variances = torch.cat([model.posterior(part).mean for part in x.split(1000)]).var(0)
    return int((variances > threshold).sum()), variances
