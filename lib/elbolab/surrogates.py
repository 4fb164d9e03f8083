"""Gradient surrogates: another gradient for the same bound.

A surrogate is a number that is there to be differentiated; its own value means nothing and may rise
while the bound falls. So no loss of this library is one: the objective here returns minus the bound,
with the surrogate's gradient grafted onto it.

References:
    Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
    https://arxiv.org/abs/1802.04537
    Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019)
    https://arxiv.org/abs/1810.04152
"""

from torch import Tensor, nn

from .inference import importance_weighted_bound, log_px_and_kl, normalized_weights, reduce

__all__ = ["DoublyReparameterized", "dreg_surrogate"]


def dreg_surrogate(model, x: Tensor, num_samples: int) -> tuple[Tensor, dict]:
    r"""Scalar whose gradient is that of E[L_K], doubly reparameterized; its value is no bound.

    The gradient of L_K reaches the encoder on two ways: through z_k, and through the parameters of
    the density q(z_k|x), and with growing K the second way drowns it in noise. Reparameterized once
    more (Tucker et al., 2019, equation 8) the second way turns into the first, and what is left is

    .. math:: \sum_k \tilde w_k^2 \, \frac{\partial \log w_k}{\partial z_k}
              \frac{\partial z_k}{\partial \phi}

    The decoder's gradient is the usual one, weighted by w~_k.

    Returns the surrogate `()` and a dict:
        "px": p(x|z), batch shape `(K, batch, *event)`,
        "pz", "qz": p(z) and q(z|x), batch shape `(batch, M)`,
        "z": the samples, `(K, batch, M)`,
        "log_w": `(K, batch)`, in nats.
    """
    qz, pz = model.posterior(x), model.prior(len(x))
    z = qz.rsample((num_samples,))
    stopped = type(qz)(qz.mu.detach(), qz.log_sigma.detach(), validate_args=False)  # no way through the density
    outputs = {"px": model.observation_model(z), "pz": pz, "qz": stopped, "z": z}
    log_px, kl = log_px_and_kl(outputs, x)
    log_w = log_px - kl
    weights = normalized_weights(log_w)
    if z.requires_grad:
        z.register_hook(lambda gradient: weights.unsqueeze(-1) * gradient)  # w~ on its way back to the encoder becomes w~^2
    return -(weights * log_w).sum(0).mean(), {**outputs, "qz": qz, "log_w": log_w}


class DoublyReparameterized(nn.Module):
    """The objective of `VariationalInference(num_samples=K)` with the encoder's gradient of DReG.

    The loss is minus the mean of L_K, as there; only its gradient is the surrogate's.
    """

    def __init__(self, num_samples: int):
        super().__init__()
        self.num_samples = num_samples

    def forward(self, model, x: Tensor) -> tuple[Tensor, dict, dict]:
        """As `VariationalInference.forward`: loss `()`, diagnostics `(batch,)` each, outputs."""
        surrogate, outputs = dreg_surrogate(model, x, self.num_samples)
        log_w = outputs["log_w"].detach()
        log_px = reduce(outputs["px"].log_prob(x).detach(), 2)
        loss = -importance_weighted_bound(log_w).mean()
        diagnostics = {"elbo": log_w.mean(0), "log_px": log_px.mean(0), "kl": (log_px - log_w).mean(0)}
        return loss + (surrogate - surrogate.detach()), diagnostics, outputs
