"""Probes of `ReparameterizedDiagonalGaussian` and of functions on tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder.probing import Trouble, describe

__all__ = ["as_tensor", "differentiate", "need_callable", "probe_log_prob", "probe_rsample"]

FLOATS = (torch.float32, torch.float64, torch.float16)


def need_callable(student: Any, call: str) -> None:
    """Refuse what cannot be called, with the call that the exercise asks for."""
    if not callable(student):
        raise Trouble(f"Expected something to call as `{call}`, got {type(student).__name__}. Pass the class or function itself.")


def as_tensor(value: Any, what: str) -> Tensor:
    """`value`, if it is a tensor of real numbers; else a sentence for its author."""
    if value is None:
        raise Trouble(f"`{what}` returned None. Is there a `return` at its end?")
    if not isinstance(value, Tensor):
        raise Trouble(f"`{what}` returned {type(value).__name__} where a torch.Tensor was expected.")
    if value.dtype not in FLOATS:
        raise Trouble(f"`{what}` returned a tensor of {value.dtype} where floating point was expected.")
    if value.layout != torch.strided or value.device.type == "meta":
        kind = "sparse tensor" if value.layout != torch.strided else "tensor without values"
        raise Trouble(f"`{what}` returned a {kind} where an ordinary torch.Tensor was expected.")
    return value


def differentiate(scalar: Tensor, leaves: dict[str, Tensor]) -> dict[str, Any]:
    """Gradients of `scalar`, with None for a leaf that it does not depend on; or the reason why there are none."""
    if not scalar.requires_grad:
        return {"unattached": True}
    try:
        grads = torch.autograd.grad(scalar, list(leaves.values()), allow_unused=True)
    except RuntimeError as error:
        return {"gradient_trouble": describe(error)}
    return {f"grad_{name}": None if g is None else g.detach() for name, g in zip(leaves, grads)}


def build(student: Any, mu: Tensor, log_sigma: Tensor) -> Any:
    return student(mu, log_sigma)


def of_size_one(student: Any, method: str) -> list[Tensor]:
    """Results for parameters of shape (1, 3) and (3, 1): what a stray squeeze would lose."""
    values = []
    for shape in ((1, 3), (3, 1)):
        dist = build(student, torch.zeros(shape), torch.full(shape, 0.5))
        value = dist.rsample() if method == "rsample" else dist.log_prob(torch.zeros(shape))
        values.append(as_tensor(value, f"{method}()").detach())
    return values


def probe_rsample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Draw from several instances, repeatedly, and differentiate one draw."""
    need_callable(student, "ReparameterizedDiagonalGaussian(mu, log_sigma)")
    mu, log_sigma = inputs["mu"].clone(), inputs["log_sigma"].clone()
    dist = build(student, mu, log_sigma)
    if not hasattr(dist, "rsample"):
        raise Trouble(f"The object {type(dist).__name__} has no method `rsample`.")
    draws = []
    for d in (dist, build(student, mu, log_sigma)):
        draws += [as_tensor(d.rsample(), "rsample()").detach().clone() for _ in range(inputs["calls"])]
    outputs: dict[str, Any] = {"draws": draws, "after": {"mu": mu, "log_sigma": log_sigma}, "of_size_one": of_size_one(student, "rsample")}

    leaves = {"mu": inputs["mu"].clone().requires_grad_(), "log_sigma": inputs["log_sigma"].clone().requires_grad_()}
    # `* 1` makes non-leaf tensors, as a network's outputs are.
    z = as_tensor(build(student, leaves["mu"] * 1, leaves["log_sigma"] * 1).rsample(), "rsample()")
    if z.numel() == mu.numel():
        z = z.reshape(mu.shape)
        outputs["z"] = z.detach().clone()
        outputs |= differentiate((z * inputs["weights"]).sum(), leaves)
    return outputs


def probe_log_prob(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the density near its mean, far from it, on 784 dimensions, and differentiate it."""
    need_callable(student, "ReparameterizedDiagonalGaussian(mu, log_sigma)")
    mu, log_sigma, z = (inputs[k].clone() for k in ("mu", "log_sigma", "z"))
    dist = build(student, mu, log_sigma)
    if not hasattr(dist, "log_prob"):
        raise Trouble(f"The object {type(dist).__name__} has no method `log_prob`.")
    try:
        outputs: dict[str, Any] = {"value": as_tensor(dist.log_prob(z), "log_prob(z)").detach()}
    except ValueError as error:
        positive = build(student, mu, log_sigma.abs()).log_prob(z)
        return {"value_trouble": describe(error), "positive": as_tensor(positive, "log_prob(z)").detach()}
    outputs["of_size_one"] = of_size_one(student, "log_prob")
    outputs["again"] = as_tensor(dist.log_prob(z), "log_prob(z)").detach()
    outputs["after"] = {"mu": mu, "log_sigma": log_sigma, "z": z}

    far = build(student, inputs["far_mu"].clone(), inputs["far_log_sigma"].clone())
    try:
        outputs["far"] = as_tensor(far.log_prob(inputs["far_z"].clone()), "log_prob(z)").detach()
    except Trouble:
        raise
    except Exception as error:
        outputs["far_trouble"] = describe(error)

    leaves = {k: inputs[k].clone().requires_grad_() for k in ("mu", "log_sigma", "z")}
    value = build(student, leaves["mu"] * 1, leaves["log_sigma"] * 1).log_prob(leaves["z"] * 1)
    if value.shape == inputs["weights"].shape:
        outputs |= differentiate((value * inputs["weights"]).sum(), leaves)
    else:
        outputs |= differentiate(value.sum(), leaves)
    return outputs
