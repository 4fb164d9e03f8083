"""The general probe, of a function of tensors: its value in several cases, its arguments afterwards, its gradients.

It runs beside the student's code, and only calls it. What it is to do comes with the inputs: see `cases`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autograder.probing import Trouble, describe

__all__ = ["as_tensor", "attempt", "cases", "differentiate", "need_callable", "probe"]


def cases(signature: str, slopes: Sequence[str] = (), **arguments: dict[str, Any]) -> dict[str, Any]:
    """Inputs of `probe`.

    Arguments:
        signature: the call as the exercise asks for it, for messages.
        slopes: arguments with respect to which the first case is differentiated.
        arguments: by the name of a case, what the function is called with, in order. The first one is called twice.
    """
    return {"signature": signature, "slopes": list(slopes), "cases": arguments}


def probe(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """By case ``{"value", "after"}`` or ``{"trouble"}``; the first has also ``"again"`` and, by argument, ``"slopes"``."""
    signature = inputs["signature"]
    need_callable(student, signature)
    outputs: dict[str, Any] = {}
    for number, (name, given) in enumerate(inputs["cases"].items()):
        outputs[name] = attempt(lambda given=given: call(student, given, signature))
        if number == 0:
            if "trouble" in outputs[name]:
                raise Trouble(outputs[name]["trouble"])
            outputs[name]["again"] = call(student, given, signature)["value"]
            if inputs["slopes"]:
                outputs[name]["slopes"] = attempt(lambda given=given: slopes(student, given, inputs["slopes"], signature))
    return outputs


def attempt(step: Any) -> dict[str, Any]:
    """What the step returns, or the sentence that says why it failed."""
    try:
        return step()
    except Trouble as trouble:
        return {"trouble": str(trouble)}
    except Exception as error:
        return {"trouble": describe(error)}


def copied(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in given.items()}


def call(student: Any, given: dict[str, Any], signature: str) -> dict[str, Any]:
    given = copied(given)
    value = as_tensor(student(*given.values()), signature).detach().clone()
    return {"value": value, "after": {name: v for name, v in given.items() if isinstance(v, Tensor)}}


def slopes(student: Any, given: dict[str, Any], names: Sequence[str], signature: str) -> dict[str, Any]:
    """Gradients of a weighted sum of the result, so that errors of one sign cannot cancel."""
    given = copied(given)
    leaves = {name: given[name].requires_grad_() for name in names}
    # `* 1` makes non-leaf tensors, as a network's outputs are.
    value = as_tensor(student(*(value * 1 if name in leaves else value for name, value in given.items())), signature)
    weights = 1 + 0.5 * torch.cos(torch.arange(value.numel(), dtype=value.dtype)).reshape(value.shape)
    return differentiate((weights * value).sum(), leaves)


def differentiate(scalar: Tensor, leaves: dict[str, Tensor]) -> dict[str, Any]:
    """Gradients of `scalar` by the leaf's name, None where it does not depend on it; nothing where it carries no graph."""
    if not scalar.requires_grad:
        return {}
    grads = torch.autograd.grad(scalar, list(leaves.values()), allow_unused=True)
    return {name: None if g is None else g.detach() for name, g in zip(leaves, grads)}


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
    if value.dtype not in (torch.float32, torch.float64, torch.float16):
        raise Trouble(f"`{what}` returned a tensor of {value.dtype} where floating point was expected.")
    if value.layout != torch.strided or value.device.type == "meta":
        kind = "sparse tensor" if value.layout != torch.strided else "tensor without values"
        raise Trouble(f"`{what}` returned a {kind} where an ordinary torch.Tensor was expected.")
    return value
