"""What runs beside the student's code in unit 04, where the general probe of a function does not serve."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exercises import functions
from autograder.exercises.functions import as_tensor, attempt, differentiate, need_callable
from autograder.probing import OutOfTime, Trouble, time_limit

SECONDS = 8.0  # for repeated calls; slow is not wrong, fewer calls are judged then
RECORDED = 3  # calls whose codes are brought back


class Cost:
    """f(z) = offset + theta_b . tanh(W z + bias_b), z (samples, batch or 1, L, C) -> (samples, batch). It keeps the codes asked for."""

    def __init__(self, problem: dict[str, Any], theta: Tensor):
        self.problem, self.theta = problem, theta
        self.codes: list[Tensor] = []
        self.x = problem["bias"]

    def __call__(self, z: Tensor) -> Tensor:
        (latents, classes), examples = self.problem["logits"].shape[-2:], len(self.theta)
        if not isinstance(z, Tensor) or z.dim() < 3 or z.shape[-2:] != (latents, classes) or z.shape[-3] not in (1, examples):
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"f takes one-hot codes of shape (samples, batch, {latents}, {classes}); it was given {shape}")
        self.codes.append(z.detach().clone())
        hidden = torch.tanh(z.to(self.theta.dtype).flatten(-2) @ self.problem["hidden"] + self.problem["bias"])
        return self.problem["offset"] + (hidden * self.theta).sum(-1)


class CostModel:
    """A model with the course's interface: logits(x), cost(x) and log_px(x, z). Both of its layers are linear."""

    def __init__(self, encoder: Tensor, decoder: Tensor):
        self.encoder, self.decoder = encoder, decoder  # (D, L, C) and (L * C, D)
        self.latents, self.classes = encoder.shape[1:]

    def logits(self, x: Tensor) -> Tensor:
        return torch.einsum("bd,dlc->blc", x, self.encoder)

    def log_px(self, x: Tensor, z: Tensor) -> Tensor:
        pixels = z.to(x.dtype).flatten(-2) @ self.decoder
        return (x * pixels - torch.nn.functional.softplus(pixels)).sum(-1)

    def cost(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda z: -self.log_px(x, z)


def expected_cost(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The general probe of the expectation as a function of the logits and of the cost's own parameters."""
    need_callable(student, inputs["signature"])
    return functions.probe(lambda logits, theta, problem: student(Cost(problem, theta), logits), inputs)


def straight_through(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The general probe, where whole numbers are numbers, too."""
    need_callable(student, inputs["signature"])
    return functions.probe(lambda soft: as_number(student(soft)), inputs)


def bias_and_variance(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Both numbers, of any kind and shape, and the arguments after the call."""
    need_callable(student, inputs["signature"])
    given = {name: inputs[name].clone() for name in ("draws", "exact")}
    result = two(student(*given.values()), inputs["signature"], "two numbers, `squared_bias, variance`")
    bias, variance = (as_tensor(as_number(value), inputs["signature"]).detach().clone() for value in result)
    return {"bias": bias, "variance": variance, "after": given}


def as_number(value: Any) -> Any:
    """Floating point where Python's numbers or whole numbers came, and no dimensions where there is a single number."""
    if isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.dtype in (torch.int64, torch.int32, torch.bool)):
        value = torch.as_tensor(value).float()
    return value.reshape(()) if isinstance(value, Tensor) and value.numel() == 1 else value


def two(result: Any, signature: str, what: str) -> Any:
    """The result, if it is of two things."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result
    got = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
    raise Trouble(f"`{signature}` must return {what}; yours returned {got}.")


def negative_elbo(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The general probe of the loss as a function of both layers; what is ``"told"``, each with whether it carries the graph."""
    need_callable(student, inputs["signature"])

    def called(encoder: Tensor, decoder: Tensor, x: Tensor, codes: Tensor, shares: Tensor) -> Any:
        def estimator(f: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
            """Any function of f and logits will do to see how the parts are put together: costs of a few codes, in given shares."""
            return (shares * f(codes)).sum(0) + 0.1 * logits.square().flatten(1).sum(1)

        return two(student(CostModel(encoder, decoder), x, estimator), inputs["signature"], "two things, `loss, diagnostics`")

    def told() -> dict[str, Any]:
        given = {name: value.clone().requires_grad_(name in inputs["slopes"]) for name, value in inputs["cases"]["usual"].items()}
        diagnostics = called(**given)[1]
        if not isinstance(diagnostics, dict) or not {"elbo", "log_px", "kl"} <= diagnostics.keys():
            raise Trouble('The diagnostics must be a dictionary with entries "elbo", "log_px" and "kl".')
        found = {name: as_tensor(diagnostics[name], f'diagnostics["{name}"]') for name in ("elbo", "log_px", "kl")}
        return {name: {"value": value.detach().clone(), "attached": value.requires_grad} for name, value in found.items()}

    return functions.probe(lambda *given: called(*given)[0], inputs) | {"told": attempt(told)}


def repeated(call: Callable[[], Any], times: int) -> list[Any]:
    """What the calls gave until they were enough, or time was up."""
    found: list[Any] = []
    try:
        with time_limit(SECONDS):
            while len(found) < times:
                found.append(call())
    except OutOfTime:
        if not found:
            raise
    return found


def estimates(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """By problem ``{"value", "logits", "theta", "codes"}`` of repeated calls, one behind the other."""
    need_callable(student, inputs["signature"])
    problems = []
    for problem in inputs["problems"]:
        calls = repeated(lambda p=problem: one_estimate(student, p, inputs["signature"]), inputs["calls"])
        problems.append({name: stacked([call[name] for call in calls]) for name in ("value", "logits", "theta")}
                        | {"codes": stacked([call["codes"] for call in calls[:RECORDED]])})
    return {"problems": problems}


def stacked(parts: list[Tensor | None]) -> Tensor | None:
    """One behind the other; None where one is missing or of another shape."""
    alike = parts and all(part is not None and part.shape == parts[0].shape for part in parts)
    return torch.stack(parts) if alike else None


def one_estimate(student: Any, problem: dict[str, Any], signature: str) -> dict[str, Tensor | None]:
    """The value (batch,), the gradients of its sum by logits and theta, and the codes (num_samples, batch, L, C)."""
    leaves = {name: problem[name].clone().requires_grad_() for name in ("logits", "theta")}
    cost = Cost(problem, leaves["theta"] * 1)
    value = as_tensor(student(cost, leaves["logits"] * 1, problem["num_samples"]), signature)
    codes = [z if z.dim() == 4 else z[None] for z in cost.codes]
    alike = len({z.shape[1:] for z in codes}) == 1
    return {"value": value.detach().clone(), "logits": None, "theta": None, **differentiate(value.sum(), leaves),
            "codes": torch.cat(codes)[: problem["num_samples"]] if alike else None}


def relaxed_samples(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """By problem many ``"draws"`` of tiled logits; two of ``"few"`` rows, from a known seed, and the first one's ``"slopes"``."""
    signature = inputs["signature"]
    need_callable(student, signature)

    def sample(problem: dict[str, Any], logits: Tensor) -> Tensor:
        return as_tensor(student(logits, problem["temperature"], problem["num_samples"]), signature)

    records = []
    for problem in inputs["problems"]:
        draws = repeated(lambda p=problem: sample(p, p["logits"].clone()).detach().clone(), inputs["calls"])
        torch.default_generator.manual_seed(inputs["seed"])
        logits = problem["few"].clone().requires_grad_()
        y, again = sample(problem, logits * 1), sample(problem, problem["few"].clone())
        weighted = y * problem["weights"] if y.shape == problem["weights"].shape else y
        records.append({"draws": stacked(draws), "few": [y.detach().clone(), again.detach().clone()],
                        "slopes": differentiate(weighted.sum(), {"logits": logits})})
    return {"problems": records}
