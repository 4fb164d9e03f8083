"""Probes of the functions on tensors: the Bernoulli log-likelihood, the Gaussian KL and two gradient estimators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder.probes.gaussian import as_tensor, differentiate, need_callable
from autograder.probing import Trouble, describe

__all__ = ["probe_bernoulli", "probe_estimator", "probe_gaussian_kl"]


def probe_bernoulli(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Images, flat pixels, logits far from zero, and the gradient."""
    call = "bernoulli_log_likelihood(logits, x)"
    need_callable(student, call)
    outputs: dict[str, Any] = {"after": {}}
    for kind in ("images", "flat", "far"):
        logits, x = inputs[f"{kind}_logits"].clone(), inputs[f"{kind}_x"].clone()
        try:
            outputs[kind] = as_tensor(student(logits, x), call).detach()
            outputs["after"] |= {f"{kind}_logits": logits, f"{kind}_x": x}
        except Trouble:
            raise
        except Exception as error:
            outputs[f"{kind}_trouble"] = describe(error)
    outputs |= gradients(student, {"logits": inputs["flat_logits"]}, (inputs["flat_x"],))
    return outputs


def probe_gaussian_kl(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The value, once more, and its gradients."""
    call = "gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p)"
    need_callable(student, call)
    names = ("mu_q", "log_sigma_q", "mu_p", "log_sigma_p")
    after = {n: inputs[n].clone() for n in names}
    value = as_tensor(student(*after.values()), call).detach().clone()
    again = as_tensor(student(*[inputs[n].clone() for n in names]), call).detach()
    return {"value": value, "again": again, "after": after} | gradients(student, {n: inputs[n] for n in names})


def gradients(student: Any, parameters: dict[str, Tensor], rest: tuple[Tensor, ...] = ()) -> dict[str, Any]:
    """Gradients of the sum of the result with respect to the first arguments."""
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    try:
        value = student(*[leaf * 1 for leaf in leaves.values()], *[r.clone() for r in rest])
    except Exception as error:
        return {"gradient_trouble": describe(error)}
    return differentiate(value.sum(), leaves) if isinstance(value, Tensor) else {"unattached": True}


def probe_estimator(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Estimates for each setting of f(z) = a z^2 + b sin(2 z) + c, mu and log_sigma."""
    call = "the function(f, mu, log_sigma, num_samples)"
    need_callable(student, call)
    estimates = []
    for a, b, c, mu, log_sigma in inputs["settings"]:

        def f(z: Tensor, a: float = a, b: float = b, c: float = c) -> Tensor:
            return a * z.square() + b * torch.sin(2 * z) + c

        estimates.append(estimate(student, f, mu, log_sigma, inputs["num_samples"], call))
    return {"estimates": estimates}


def estimate(student: Any, f: Any, mu: float, log_sigma: float, num_samples: int, call: str) -> Tensor:
    """One call; a student may want parameters that carry gradients, or plain ones."""
    try:
        value = student(f, torch.tensor(mu), torch.tensor(log_sigma), num_samples)
    except RuntimeError:
        value = student(f, torch.tensor(mu, requires_grad=True), torch.tensor(log_sigma, requires_grad=True), num_samples)
    return as_tensor(value, call).detach()
