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
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical
from torch.utils.weak import WeakTensorKeyDictionary

from autograder.exercises.exercise import Behavior, Finding, Seen, double, failed, make, passed
from autograder.exercises.laws import close, shown
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.discrete import PREAMBLE
from autograder.units.discrete.probes import one_estimate
from autograder.units.discrete.truth import Truth, draw_problem

__all__ = ["CALLS", "SIGMAS", "TILE", "Estimates", "draw", "laws", "picture", "replay"]

SIGMAS, SPREAD_SIGMAS, TILE, CALLS = 6.5, 8.0, 200, 50
WORDS = {"logits": "logits", "theta": "cost's parameters"}
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

    @cached_property
    def few(self) -> bool:
        """Whether fewer codes were looked at than num_samples."""
        return bool(self.codes) and len(self.codes[0]) < self.num_samples

    @cached_property
    def same_in_each_call(self) -> bool:
        return len(self.codes) > 1 and torch.equal(self.codes[0], self.codes[1])

    @cached_property
    def same_for_all_rows(self) -> bool:
        return bool(self.codes) and bool((self.codes[0] == self.codes[0][:, :1]).all())

    @cached_property
    def one_hot(self) -> bool:
        return all(bool((((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)).all()) for z in self.codes)

    @cached_property
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

    def __init__(self, solution: str, target: str, problem: dict[str, Any]):
        truth, self.mean, self.variance = Truth(problem, slice(len(problem["logits"]) // TILE)), {}, {}
        chosen = torch.tensor(list(itertools.product(range(len(truth.codes)), repeat=problem["num_samples"])))  # (tuples, S)
        z = truth.codes[chosen, 0].transpose(0, 1)  # (S, tuples, L, C)
        estimator = make(PREAMBLE + solution, target, standing_in(lambda shape, count, q: z))
        moments: dict[str, list[tuple[Tensor, Tensor]]] = {"value": [], "logits": [], "theta": []}
        for row in range(len(truth.logits)):
            one = problem | {name: problem[name][row].expand(len(chosen), *problem[name].shape[1:]) for name in ("logits", "bias", "theta")}
            with torch.enable_grad():
                got = one_estimate(estimator, double(one), target, 0)
            weights = truth.probabilities[chosen, row].prod(1)
            for name, values in (got["slopes"] | {"value": got["value"]}).items():
                mean = torch.tensordot(weights, values, 1)
                moments[name].append((mean, torch.tensordot(weights, (values - mean) ** 2, 1)))
        for name, each in moments.items():
            self.mean[name], self.variance[name] = (torch.stack(parts) for parts in zip(*each))


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


def laws(solution: str, target: str, what: str) -> tuple[Behavior, ...]:
    """The value, both gradients, and the spread, in words that of `what`."""
    known = WeakTensorKeyDictionary()

    def judged(name: str, key: str, e: Estimates, seen: Seen, number: int) -> Finding:
        if e.problem["logits"] not in known:
            known[e.problem["logits"]] = Exact(solution, target, e.problem)
        exact = known[e.problem["logits"]]
        if not e.honest(exact):
            return failed(name, "The codes are no fresh samples for each row and call.")
        if name != "estimator":
            return mean(e, exact, name, key)
        right = seen.right.get("problems")
        return spread(e, exact, right and right[number][0]["slopes"]["logits"])

    def behavior(name: str, key: str) -> Behavior:
        def judge(seen: Seen) -> Finding:
            """The first problem in which it fails."""
            each = map(Estimates, seen.inputs["problems"], seen.outputs["problems"])
            findings = [judged(name, key, e, seen, number) for number, e in enumerate(each)]
            return next((f for f in findings if not f.passed), findings[0])

        def view(outputs: dict[str, Any]) -> Any:
            """Of the first call how many codes were looked at, whether there is a number for each row, and what is judged."""
            first = [calls[0] for calls in outputs["problems"]]
            count = [len(c["codes"]) if isinstance(c["codes"], Tensor) else None for c in first]
            return [(n, c["value"].dim(), c["value"] if key == "value" else c["slopes"].get(key)) for n, c in zip(count, first)]

        return Behavior(name, 1, judge, view)

    def mean(e: Estimates, exact: Exact, name: str, key: str) -> Finding:
        if e.numbers["value"] is None:
            return failed(name, "One number for each example is asked for, shape [batch].")
        if e.numbers[key] is None:
            return failed(name, f"No gradient reaches the {WORDS[key]}.", None, shown(exact.mean[key]), "none")
        what = "expected cost" if key == "value" else f"enumerated gradient of the {WORDS[key]}"
        if e.unbiased(key, exact):
            return passed(name, f"The mean of the estimates is the {what}.")
        return failed(name, f"The mean of the estimates is not the {what}.", None, shown(exact.mean[key]), shown(e.numbers[key].mean(0)))

    def spread(e: Estimates, exact: Exact, right: Tensor | None) -> Finding:
        """Exactly at the recorded codes; where those do not tell, by the variance of each entry."""
        if not mean(e, exact, "encoder", "logits").passed:
            return failed("estimator", "Judged once the mean of the estimates is right.")
        if e.constant:
            return failed("estimator", "All estimates are the same: nothing is sampled.")
        exactly = right is not None and not e.few and close(e.calls[0]["slopes"]["logits"], right, 1e-3, 1e-3)
        if exactly or e.spread(exact):
            return passed("estimator", f"The spread is that of {what}.")
        variances = (f"variance {float(v.sum()):.3f}" for v in (exact.variance["logits"], e.numbers["logits"].var(0)))
        return failed("estimator", f"The spread of the estimates is not that of {what}.", None, *variances)

    return behavior("value", "value"), behavior("encoder", "logits"), behavior("decoder", "theta"), behavior("estimator", "logits")


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], solution: str, target: str) -> str:
    """Mean and spread of the estimates of one example's gradient, beside the exact ones."""
    problem = inputs["problems"][0]
    found = Estimates(problem, outputs["problems"][0]).numbers["logits"]
    if found is None:
        raise ValueError("no gradient for each example")
    exact = Exact(solution, target, problem)
    sides = (("yours", YOURS, -0.12, found.mean(0)[0], found.std(0)[0]),
             ("right", RIGHT, 0.12, exact.mean["logits"][0], exact.variance["logits"][0].sqrt()))
    places = torch.arange(sides[0][3].numel())
    for label, color, shift, mean, spread in sides:
        ax.errorbar(places + shift, mean.flatten(), spread.flatten(), fmt="o", ms=4, color=color, capsize=2, label=label)
    ax.axhline(0, color="#888888", lw=0.6)
    ax.set_xticks(places, [f"z{latent + 1}={c + 1}" for latent in range(len(sides[0][3])) for c in range(sides[0][3].shape[1])])
    ax.set_xlabel("logit")
    ax.set_ylabel("gradient: mean and\nspread of one estimate")
    ax.legend()
    off, (mine, right) = float((sides[0][3] - sides[1][3]).abs().max()), (float((side[4] ** 2).sum()) for side in sides)
    return (f"The mean of your estimates is {off:.2g} from the exact gradient where it is furthest; the variance of one estimate is "
            f"{mine:.3g}, and {right:.3g} is right.")
