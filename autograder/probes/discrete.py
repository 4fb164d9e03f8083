"""Probes of unit 04's functions on tensors. They call, and bring back what came as it came; nothing is judged here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder.probes.discrete_costs import Cost, CostModel, combine
from autograder.probes.gaussian import differentiate, need_callable
from autograder.probing import OutOfTime, Trouble, describe, time_limit

__all__ = [
    "probe_bias_and_variance",
    "probe_estimates",
    "probe_expected_cost",
    "probe_kl",
    "probe_log_likelihood",
    "probe_negative_elbo",
    "probe_relaxed_sample",
    "probe_straight_through",
    "probe_vimco",
]

SECONDS = 8.0  # for repeated calls; slow is not wrong, fewer calls are judged then
RECORDED = 3  # calls whose codes are brought back


def as_numbers(value: Any, what: str) -> Tensor:
    """`value`, if it is a tensor of real numbers, whole ones included; else a sentence for its author."""
    if value is None:
        raise Trouble(f"`{what}` returned None. Is there a `return` at its end?")
    if not isinstance(value, Tensor):
        raise Trouble(f"`{what}` returned {type(value).__name__} where a torch.Tensor was expected.")
    if value.is_complex() or value.layout != torch.strided or value.device.type == "meta":
        raise Trouble(f"`{what}` returned a tensor of a kind that cannot be judged; an ordinary tensor of numbers was expected.")
    return value


def plain(value: Any, what: str) -> Tensor:
    return as_numbers(value, what).detach().clone()


def gradients(value: Tensor, weights: Tensor | None, leaves: dict[str, Tensor]) -> dict[str, Any]:
    """Gradients of the weighted sum of `value`, of the plain sum where the shapes do not agree."""
    weighted = value * weights if weights is not None and value.shape == weights.shape else value
    return differentiate(weighted.sum(), leaves)


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


def probe_kl(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The value, once more, at far logits, its gradient, and the argument after the call."""
    call = "categorical_kl(logits)"
    need_callable(student, call)
    logits = inputs["logits"].clone()
    outputs: dict[str, Any] = {"value": plain(student(logits), call), "after": [logits]}
    outputs["again"] = plain(student(inputs["logits"].clone()), call)
    try:
        outputs["far"] = plain(student(inputs["far_logits"].clone()), call)
    except Exception as error:
        outputs["far_trouble"] = describe(error)
    logits = leaf(inputs["logits"])
    return outputs | gradients(as_numbers(student(logits * 1), call), inputs["weights"], {"logits": logits})


def probe_log_likelihood(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """A few pixels, 784 of them with far logits, the gradient, and the arguments after the call."""
    call = "code_log_likelihood(pixel_logits, x)"
    need_callable(student, call)
    given = [inputs["logits"].clone(), inputs["x"].clone()]
    outputs: dict[str, Any] = {"value": plain(student(*given), call), "after": given}
    try:
        outputs["far"] = plain(student(inputs["far_logits"].clone(), inputs["far_x"].clone()), call)
    except Exception as error:
        outputs["far_trouble"] = describe(error)
    logits = leaf(inputs["logits"])
    return outputs | gradients(as_numbers(student(logits * 1, inputs["x"].clone()), call), inputs["weights"], {"logits": logits})


def probe_expected_cost(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """For each problem the value, once more, and the gradients with respect to logits and the cost's own parameters."""
    call = "expected_cost(f, logits)"
    need_callable(student, call)
    records = []
    for problem in inputs["problems"]:
        logits, theta = leaf(problem["logits"]), leaf(problem["theta"])
        try:
            value = as_numbers(student(Cost(problem, theta * 1), logits * 1), call)
            again = plain(student(Cost(problem, problem["theta"]), problem["logits"].clone()), call)
        except Trouble:
            raise
        except Exception as error:
            if not records:
                raise
            records.append({"trouble": describe(error)})
            continue
        record = {"value": value.detach().clone(), "again": again}
        records.append(record | gradients(value, problem["weights"], {"logits": logits, "theta": theta}))
    return {"records": records}


def probe_estimates(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Repeated calls on each problem, its examples tiled: every row of the batch is one estimate of its own."""
    call = "the function(f, logits, num_samples)"
    need_callable(student, call)
    outputs: dict[str, Any] = {"problems": []}
    for problem in inputs["problems"]:
        calls: list[dict[str, Any]] = []
        outputs["problems"].append(calls)
        try:
            with time_limit(SECONDS):
                for number in range(inputs["calls"]):
                    calls.append(one_estimate(student, problem, call, recorded=number < RECORDED))
                    if calls[-1]["value"].shape != problem["logits"].shape[:1]:
                        break  # no number for each row of the batch: one call says it
        except OutOfTime:
            if not calls:
                raise
    return outputs


def one_estimate(student: Any, problem: dict[str, Any], call: str, recorded: bool) -> dict[str, Any]:
    """One call's values and gradients, and for the first calls the codes that it looked at."""
    logits, theta = leaf(problem["logits"]), leaf(problem["theta"])
    cost = Cost(problem, theta * 1)
    value = as_numbers(student(cost, logits * 1, problem["num_samples"]), call)
    record: dict[str, Any] = {"value": value.detach().clone(), "codes": cost.codes if recorded else []}
    return record | differentiate(value.sum(), {"logits": logits, "theta": theta})


def probe_negative_elbo(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The loss, the diagnostics and the gradients, for a model and an estimator that only the grader knows."""
    call = "negative_elbo(model, x, estimator)"
    need_callable(student, call)
    leaves = {name: leaf(inputs[name]) for name in ("encoder", "decoder")}
    model = CostModel(leaves["encoder"] * 1, leaves["decoder"] * 1)
    result = student(model, inputs["x"].clone(), lambda f, logits: combine(f, logits, inputs["codes"], inputs["shares"]))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise Trouble(f"`{call}` must return two things, `loss, diagnostics`; yours returned {what}.")
    loss, diagnostics = as_numbers(result[0], f"{call}[0]"), result[1]
    outputs: dict[str, Any] = {"loss": loss.detach().clone()}
    for name in ("elbo", "log_px", "kl"):
        try:
            value = as_numbers(diagnostics[name], f'diagnostics["{name}"]')
        except Trouble as trouble:
            outputs["diagnostics_trouble"] = str(trouble)
        except Exception:
            outputs["diagnostics_trouble"] = f'The diagnostics have no entry "{name}". They need "elbo", "log_px" and "kl".'
        else:
            outputs[name], outputs[f"{name}_attached"] = value.detach().clone(), value.requires_grad
    return outputs | gradients(loss, inputs["weights"], leaves)


def probe_relaxed_sample(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Repeated draws on tiled logits for each temperature, and the gradient of one more draw."""
    call = "relaxed_sample(logits, temperature, num_samples)"
    need_callable(student, call)
    outputs: dict[str, Any] = {"problems": []}
    for problem in inputs["problems"]:
        draws: list[Tensor] = []
        try:
            with time_limit(SECONDS):
                for _ in range(inputs["calls"]):
                    draws.append(plain(student(problem["logits"].clone(), problem["temperature"], problem["num_samples"]), call))
        except OutOfTime:
            if not draws:
                raise
        few = leaf(problem["logits"][:2])
        y = as_numbers(student(few * 1, problem["temperature"], problem["num_samples"]), call)
        record = {"draws": draws, "y": y.detach().clone()}
        outputs["problems"].append(record | gradients(y, problem["weights"], {"logits": few}))
    return outputs


def probe_straight_through(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The value, the gradient, and the argument after the call."""
    call = "straight_through(soft)"
    need_callable(student, call)
    soft = inputs["soft"].clone()
    outputs: dict[str, Any] = {"value": plain(student(soft), call), "after": [soft]}
    soft = leaf(inputs["soft"])
    return outputs | gradients(as_numbers(student(soft * 1), call), inputs["weights"], {"soft": soft})


def probe_bias_and_variance(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The two numbers, as they come, and the arguments after the call."""
    call = "bias_and_variance(draws, exact)"
    need_callable(student, call)
    given = [inputs["draws"].clone(), inputs["exact"].clone()]
    result = student(*given)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise Trouble(f"`{call}` must return two numbers, `squared_bias, variance`; yours returned {what}.")
    values = [torch.tensor(float(v)) if isinstance(v, (int, float)) else plain(v, call) for v in result]
    return {"squared_bias": values[0], "variance": values[1], "after": given}


def probe_vimco(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The bound, far below zero, too, its gradients, and the arguments after the call."""
    call = "vimco(log_w, log_q)"
    need_callable(student, call)
    given = [inputs["log_w"].clone(), inputs["log_q"].clone()]
    outputs: dict[str, Any] = {"value": plain(student(*given), call), "after": given}
    try:
        outputs["far"] = plain(student(inputs["log_w"] - 2000, inputs["log_q"].clone()), call)
    except Exception as error:
        outputs["far_trouble"] = describe(error)
    log_w, log_q = leaf(inputs["log_w"]), leaf(inputs["log_q"])
    value = as_numbers(student(log_w * 1, log_q * 1), call)
    return outputs | gradients(value, inputs["weights"], {"log_w": log_w, "log_q": log_q})
