"""What the score function and its leave-one-out baseline share: the laws of an unbiased estimator, and the student's own codes replayed.

Error rates. The mean over n estimates (10,000 for each distinct example) is compared with the exact one at 6.5 standard errors; with 2
examples in 2 problems there are 24 + 12 + 4 such comparisons, so right code of any spread fails with probability below 4e-9 (estimates are
bounded; Berry-Esseen keeps the tail below 1e-6). A variance has heavier tails than a mean: eight standard errors keep it below 1e-6.
Exact is the solution's own mean and variance over every tuple of codes that it could draw.

The cost keeps the codes that it is asked for, so mistakes run with the student's codes and are compared exactly, in the first call.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical
from torch.utils.weak import WeakTensorKeyDictionary

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, double, failed, passed, run
from autograder.exercises.laws import close, shown
from autograder.units.discrete.truth import Truth, draw_problem

__all__ = ["CALLS", "SIGMAS", "TILE", "Estimates", "draw", "laws", "picture", "replay"]

SIGMAS, SPREAD_SIGMAS, TILE, CALLS = 6.5, 8.0, 200, 50
TELLING = 0.25  # standard deviations, at least, by which log q stands out of cost times log q


def draw(rng: torch.Generator, signature: str) -> dict[str, Any]:
    """Two problems. In the first a surrogate of any kind differs from the cost in its mean, not only in its spread."""
    while True:
        first = draw_problem(rng, 2, 3, num_samples=3, tile=TILE)
        truth = Truth(first, slice(2))
        log_q, off = truth.probabilities.log(), truth.costs - truth.value
        mean = (truth.probabilities * off * log_q).sum(0)
        spread = (truth.probabilities * (off * log_q) ** 2).sum(0).sqrt()
        if (mean / spread).abs().max() > TELLING:
            break
    return {"signature": signature, "problems": [first, draw_problem(rng, 3, 2, num_samples=4, tile=TILE)], "calls": CALLS}


# --- what came, and what it should have been ------------------------------------------------------


class Estimates:
    """What came for one problem.

    Attributes:
        numbers: by what was estimated ("value", "logits", "theta"), n estimates for each distinct example, (n, examples, ...); None where
            not every call gave one for each row of the batch.
        codes: of the recorded calls, (at most num_samples, batch, L, C); None where they cannot be told.
    """

    def __init__(self, problem: dict[str, Any], calls: list[dict[str, Any]]):
        self.problem, self.calls, self.rows = problem, calls, len(problem["logits"])
        self.examples, self.num_samples = self.rows // TILE, problem["num_samples"]
        self.numbers = {name: self.stacked([c["slopes"].get(name) for c in calls]) for name in ("logits", "theta")}
        self.numbers["value"] = self.stacked([c["value"] for c in calls])
        recorded = [c["codes"] for c in calls if isinstance(c["codes"], Tensor)]
        self.codes = [z.double() for z in recorded if z.dim() == 4 and z.shape[1] == self.rows]

    def stacked(self, parts: list[Tensor | None]) -> Tensor | None:
        if not all(isinstance(p, Tensor) and p.dim() and p.shape == parts[0].shape and len(p) == self.rows for p in parts):
            return None
        together = torch.cat([p.double().unflatten(0, (TILE, self.examples)) for p in parts])
        return together if together.isfinite().all() else None

    @property
    def few(self) -> bool:
        """Whether fewer codes were looked at than num_samples."""
        return bool(self.codes) and len(self.codes[0]) < self.num_samples

    @property
    def same_in_each_call(self) -> bool:
        return len(self.codes) > 1 and torch.equal(self.codes[0], self.codes[1])

    @property
    def same_for_all_rows(self) -> bool:
        return bool(self.codes) and bool((self.codes[0] == self.codes[0][:, :1]).all())

    @property
    def one_hot(self) -> bool:
        return all(bool((((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)).all()) for z in self.codes)

    @property
    def constant(self) -> bool:
        return self.numbers["logits"] is not None and float(self.numbers["logits"].std(0).max()) < 1e-5

    def unbiased(self, name: str, exact: Exact) -> bool:
        """Whether the mean of the estimates is right, within Monte Carlo error."""
        found = self.numbers[name]
        error = found.std(0) / len(found) ** 0.5
        return bool(((found.mean(0) - exact.mean[name]).abs() <= SIGMAS * error + 1e-5).all())

    def spread(self, exact: Exact) -> bool:
        """Whether the variance of each entry of the logits' gradient is right, within Monte Carlo error."""
        found = self.numbers["logits"]
        variance, fourth = found.var(0), (found - found.mean(0)).pow(4).mean(0)
        error = ((fourth - variance**2).clamp_min(0) / len(found)).sqrt()
        return bool(((variance - exact.variance["logits"]).abs() <= SPREAD_SIGMAS * error + 1e-6).all())

    def honest(self, exact: Exact) -> bool:
        """Whether the codes are fresh samples for each row and call. Estimates that repeat each other would pass or fail by chance."""
        right = self.numbers["logits"] is not None and self.unbiased("logits", exact)
        if self.same_in_each_call or self.same_for_all_rows:
            return right and self.constant  # what does not depend on codes needs none
        return self.one_hot or (right and self.numbers["value"] is not None and self.unbiased("value", exact))


class Exact:
    """Mean and variance of what the solution estimates in one problem: it is run on every tuple of codes that it could draw."""

    def __init__(self, exercise: Exercise, inputs: dict[str, Any], problem: dict[str, Any]):
        truth, means, variances = Truth(problem, slice(len(problem["logits"]) // TILE)), [], []
        chosen = torch.tensor(list(itertools.product(range(len(truth.codes)), repeat=problem["num_samples"])))  # (tuples, S)
        z = truth.codes[chosen, 0].transpose(0, 1)  # (S, tuples, L, C)
        names = standing_in(lambda shape, count, q: z)
        for row in range(len(truth.logits)):
            one = problem | {name: problem[name][row].expand(len(chosen), *problem[name].shape[1:]) for name in ("logits", "bias", "theta")}
            got = run(exercise, exercise.solution, double(inputs | {"problems": [one], "calls": 1, "names": names}))["problems"][0][0]
            weights = truth.probabilities[chosen, row].prod(1)
            found = {name: v.flatten(1) if v.dim() > 1 else v[:, None] for name, v in (got["slopes"] | {"value": got["value"]}).items()}
            mean = {name: weights @ v for name, v in found.items()}
            means.append(mean)
            variances.append({name: weights @ (v - mean[name]) ** 2 for name, v in found.items()})
        shapes = {"value": (), "logits": problem["logits"].shape[1:], "theta": problem["theta"].shape[1:]}
        self.mean, self.variance = (
            {name: torch.stack([one[name].reshape(shape) for one in each]) for name, shape in shapes.items()} for each in (means, variances)
        )


# --- the student's own codes ----------------------------------------------------------------------

Drawing = Callable[[torch.Size, int, OneHotCategorical | None], Tensor]  # shape (L, C), how many, from q or relaxed


def standing_in(codes: Drawing) -> dict[str, Any]:
    """Names that stand in for those with which an estimator draws its codes."""

    class Replayed(OneHotCategorical):
        def sample(self, sample_shape: Any = ()) -> Tensor:
            return codes(self.logits.shape[1:], sample_shape[0], self).to(self.logits.dtype)

    def gumbel_softmax(logits: Tensor, tau: float) -> Tensor:
        return codes(logits.shape[2:], len(logits), None).to(logits.dtype)

    functional = types.SimpleNamespace(one_hot=nn.functional.one_hot, gumbel_softmax=gumbel_softmax)
    return {"OneHotCategorical": Replayed, "nn": types.SimpleNamespace(functional=functional)}


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """One call, in which code that draws as the student's code does draws the student's codes. Other code draws nothing."""
    drawn = {p["logits"].shape[1:]: Estimates(p, calls) for p, calls in zip(inputs["problems"], outputs["problems"])}

    def codes(shape: torch.Size, count: int, q: OneHotCategorical | None) -> Tensor:
        e = drawn[shape]
        if not e.codes or not drawn_like(e, q):
            raise ValueError("These codes were drawn in another way.")
        z = e.codes[0][:, :1] if e.same_for_all_rows else e.codes[0]
        return z[torch.arange(count) % len(z)]

    return inputs | {"calls": 1, "names": standing_in(codes)}


def drawn_like(e: Estimates, q: OneHotCategorical | None) -> bool:
    """Whether the recorded codes may have come from q, in the way in which the running code draws from it."""
    if q is None or not e.one_hot:
        return q is None and not e.one_hot
    if e.same_in_each_call != (torch.initial_seed() != 0):  # `run` seeds with 0
        return False
    if e.same_for_all_rows or len(q.logits) != e.rows:
        return e.same_for_all_rows and len(q.logits) == 1
    z = torch.cat(e.codes[:1] if e.same_in_each_call else e.codes).unflatten(1, (TILE, e.examples)).flatten(0, 1)
    p = q.probs.detach().double()[: e.examples]
    return bool(((z.mean(0) - p).abs() <= SIGMAS * (p * (1 - p) / len(z)).sqrt()).all())


# --- laws -----------------------------------------------------------------------------------------


def laws(what: str) -> tuple[Behavior, ...]:
    """Value, both gradients, and the spread of `what` is asked for."""
    known = WeakTensorKeyDictionary()

    def behavior(name: str, judge: Callable[[Estimates, Exact, Seen, int], Finding], key: str) -> Behavior:
        def whole(seen: Seen) -> Finding:
            """The first problem in which it fails."""
            findings = []
            for number, (problem, calls) in enumerate(zip(seen.inputs["problems"], seen.outputs["problems"], strict=True)):
                if problem["logits"] not in known:
                    known[problem["logits"]] = Exact(seen.exercise, seen.inputs, problem)
                e, exact = Estimates(problem, calls), known[problem["logits"]]
                honest = e.honest(exact)
                findings.append(judge(e, exact, seen, number) if honest else failed(name, "The codes are no fresh samples for each row and call."))
            return next((f for f in findings if not f.passed), findings[0])

        def view(outputs: dict[str, Any]) -> Any:
            first = [calls[0] for calls in outputs["problems"]]
            if name == "value":
                return [c["value"] for c in first]
            count = [len(c["codes"]) if name == "estimator" and isinstance(c["codes"], Tensor) else None for c in first]
            return [(n, c["value"].dim(), c["slopes"].get(key)) for n, c in zip(count, first)]

        return Behavior(name, 1, whole, view)

    def value(e: Estimates, exact: Exact, seen: Seen, number: int) -> Finding:
        return mean(e, exact, "value", "value", "the expected cost", "One number for each example is asked for, shape [batch].")

    def encoder(e: Estimates, exact: Exact, seen: Seen, number: int) -> Finding:
        return mean(e, exact, "encoder", "logits", "the enumerated gradient of the logits", "No gradient reaches the logits.")

    def decoder(e: Estimates, exact: Exact, seen: Seen, number: int) -> Finding:
        return mean(e, exact, "decoder", "theta", "the enumerated gradient of the cost's parameters", "No gradient reaches the cost's parameters.")

    def mean(e: Estimates, exact: Exact, name: str, key: str, want: str, missing: str) -> Finding:
        if e.numbers["value"] is None and name != "value":
            return failed(name, "Judged once there is one number for each example.")
        if e.numbers[key] is None:
            return failed(name, missing, None, shown(exact.mean[key]), "none")
        if e.unbiased(key, exact):
            return passed(name, f"The mean of the estimates is {want}.")
        return failed(name, f"The mean of the estimates is not {want}.", None, shown(exact.mean[key]), shown(e.numbers[key].mean(0)))

    def estimator(e: Estimates, exact: Exact, seen: Seen, number: int) -> Finding:
        """The spread: exactly at the recorded codes; where those do not tell, by the variance of each entry."""
        if not encoder(e, exact, seen, number).passed:
            return failed("estimator", "Judged once the mean of the estimates is right.")
        if e.constant:
            return failed("estimator", "All estimates are the same: nothing is sampled.")
        right = seen.right.get("problems")
        if (right and not e.few and close(e.calls[0]["slopes"]["logits"], right[number][0]["slopes"]["logits"], 1e-3, 1e-3)) or e.spread(exact):
            return passed("estimator", f"The spread is that of {what}.")
        variances = (f"variance {float(v.sum()):.3f}" for v in (exact.variance["logits"], e.numbers["logits"].var(0)))
        return failed("estimator", f"The spread of the estimates is not that of {what}.", None, *variances)

    return (behavior("value", value, "value"), behavior("encoder", encoder, "logits"), behavior("decoder", decoder, "theta"),
            behavior("estimator", estimator, "logits"))


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """Mean and spread of the estimates of one gradient, beside the exact ones."""
    raise ValueError
