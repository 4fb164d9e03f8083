"""What the score function and its leave-one-out baseline share: the laws of an unbiased estimator, and the student's own codes replayed.

Error rates. The mean over n estimates (10,000 for each distinct example) is compared with the exact one at 6.5 standard errors; with 2
examples in 2 problems there are 24 + 12 + 4 such comparisons, so right code of any spread fails with probability below 4e-9 (estimates are
bounded; Berry-Esseen keeps the tail below 1e-6). A variance has heavier tails than a mean: eight standard errors keep it below 1e-6.
Exact is the solution's own mean and variance over every tuple of codes that it could draw.

The cost keeps the codes that it is asked for, so mistakes run with the student's codes and are compared exactly, in the first call.
"""

import itertools
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical
from torch.utils.weak import WeakTensorKeyDictionary

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, double, failed, make, passed
from autograder.exercises.laws import shown
from autograder.exercises.pictures import furthest
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.laws import Truth, draw_problem

SIGMAS, SPREAD_SIGMAS, TILE, CALLS = 6.5, 8.0, 200, 50


def draw(rng: torch.Generator, signature: str) -> dict[str, Any]:
    """Two problems, their examples tiled: every row of the batch is one estimate of its own."""
    problems = [rows(draw_problem(rng, *sizes), lambda x: x.repeat(TILE, *[1] * (x.dim() - 1))) for sizes in ((2, 3, 3), (3, 2, 4))]
    return {"signature": signature, "problems": problems, "calls": CALLS}


def rows(problem: dict[str, Any], chosen: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The problem with other rows."""
    return problem | {name: chosen(problem[name]) for name in ("logits", "bias", "theta")}


class Estimates:
    """What came for one problem, None where it cannot be told.

    `numbers`: by what was estimated, (n, distinct examples, ...). `codes`: of the first calls, (calls, at most num_samples, batch, L, C).
    """

    def __init__(self, problem: dict[str, Any], record: dict[str, Any]):
        self.rows, codes = len(problem["logits"]), record["codes"]
        self.numbers = {name: self.each(record[name]) for name in ("value", "logits", "theta")}
        self.codes = codes.double() if isinstance(codes, Tensor) and codes.dim() == 5 and codes.shape[2] == self.rows else None
        self.one_hot, self.same_in_each_call, self.same_for_all_rows = True, False, False
        if self.codes is not None:
            self.one_hot = bool((((codes == 0) | (codes == 1)).all(-1) & (codes.sum(-1) == 1)).all())
            self.same_in_each_call = len(codes) > 1 and torch.equal(codes[0], codes[1])
            self.same_for_all_rows = bool((codes[0] == codes[0][:, :1]).all())
            if (codes == codes[:, :1]).all():  # one code, however often f was asked for it
                self.codes = self.codes[:, :1]

    def each(self, found: Tensor | None) -> Tensor | None:
        if not isinstance(found, Tensor) or found.dim() < 2 or found.shape[1] != self.rows or not found.isfinite().all():
            return None
        return found.double().unflatten(1, (TILE, -1)).flatten(0, 1)

    def unbiased(self, name: str, exact: "Exact") -> bool:
        found = self.numbers[name]
        return found is not None and averages(found, exact.mean[name])

    def honest(self, exact: "Exact") -> bool:
        """Whether the codes are fresh samples for each row and call. Estimates that repeat each other would pass or fail by chance."""
        if self.same_in_each_call or self.same_for_all_rows:  # what does not depend on codes needs none
            return self.unbiased("logits", exact) and float(self.numbers["logits"].std(0).max()) < 1e-5
        return self.one_hot or (self.unbiased("logits", exact) and self.unbiased("value", exact))


def averages(found: Tensor, want: Tensor, sigmas: float = SIGMAS) -> bool:
    """Whether the mean of what was found, (n, ...), is what it should be, within Monte Carlo error."""
    return bool(((found.mean(0) - want).abs() <= sigmas * found.std(0) / len(found) ** 0.5 + 1e-5).all())


class Exact:
    """Mean and variance of what the solution estimates in one problem: it is run on every tuple of codes that it could draw."""

    def __init__(self, solution: str, target: str, problem: dict[str, Any]):
        problem = double(rows(problem, lambda x: x[: len(x) // TILE]))
        truth, examples = Truth(problem), len(problem["logits"])
        chosen = torch.tensor(list(itertools.product(range(len(truth.codes)), repeat=problem["num_samples"])))  # (tuples, S)
        z = truth.codes[chosen, 0].transpose(0, 1).repeat(1, examples, 1, 1)  # (S, examples * tuples, L, C)
        estimator = make(PREAMBLE + solution, target, standing_in(lambda shape, count, q: z))
        with torch.enable_grad():
            got = probes.one_estimate(estimator, rows(problem, lambda x: x.repeat_interleave(len(chosen), 0)), target)
        each = {name: got[name].unflatten(0, (examples, -1)) for name in ("value", "logits", "theta")}
        weights = truth.probabilities[chosen].prod(1)  # (tuples, examples)
        self.mean = {name: torch.einsum("te,et...->e...", weights, x) for name, x in each.items()}
        self.variance = {name: torch.einsum("te,et...->e...", weights, (x - self.mean[name][:, None]) ** 2) for name, x in each.items()}


def standing_in(codes: Callable[[torch.Size, int, OneHotCategorical | None], Tensor]) -> dict[str, Any]:
    """Names that stand in for those with which an estimator draws its codes: of shape (L, C), so many, from q or relaxed."""

    class Replayed(OneHotCategorical):
        def sample(self, sample_shape: Any = ()) -> Tensor:
            return codes(self.logits.shape[1:], sample_shape[0], self).to(self.logits.dtype)

    def gumbel_softmax(logits: Tensor, tau: float) -> Tensor:
        return codes(logits.shape[2:], len(logits), None).to(logits.dtype)

    functional = types.SimpleNamespace(one_hot=nn.functional.one_hot, gumbel_softmax=gumbel_softmax)
    return {"OneHotCategorical": Replayed, "nn": types.SimpleNamespace(functional=functional)}


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """One call, in which code that draws as the student's code does draws the student's codes. Other code draws nothing."""
    drawn = {p["logits"].shape[1:]: Estimates(p, record) for p, record in zip(inputs["problems"], outputs["problems"])}

    def codes(shape: torch.Size, count: int, q: OneHotCategorical | None) -> Tensor:
        e = drawn[shape]
        if e.codes is None or count > len(e.codes[0]) or not drawn_like(e, q):
            raise ValueError("These codes were drawn in another way.")
        return e.codes[0][:count, :1] if e.same_for_all_rows else e.codes[0][:count]

    return inputs | {"calls": 1, "names": standing_in(codes)}


def drawn_like(e: Estimates, q: OneHotCategorical | None) -> bool:
    """Whether the recorded codes may have come from q, in the way in which the running code draws from it."""
    if q is None or not e.one_hot:
        return q is None and not e.one_hot
    if e.same_in_each_call != (torch.initial_seed() != 0):  # `run` seeds with 0
        return False
    if e.same_for_all_rows or len(q.logits) != e.rows:
        return e.same_for_all_rows and len(q.logits) == 1
    z = (e.codes[:1] if e.same_in_each_call else e.codes).flatten(0, 1).unflatten(1, (TILE, -1)).flatten(0, 1)
    return averages(z, q.probs.detach().double()[: z.shape[1]])


def laws(solution: str, target: str, what: str) -> tuple[Behavior, ...]:
    """The value, both gradients, and the spread of the logits' gradient, in words that of `what`."""
    known = WeakTensorKeyDictionary()

    def law(name: str, key: str, words: str, spread: bool = False) -> Behavior:
        def decide(e: Estimates, exact: Exact) -> Finding:
            found, want = e.numbers[key], exact.mean[key]
            if not e.honest(exact):
                return failed(name, "The codes are no fresh samples for each row and call.")
            if e.numbers["value"] is None:
                return failed(name, "One number for each example is asked for, shape [batch].")
            if found is None:
                return failed(name, f"There is no {words}.", None, shown(want), "none")
            if not averages(found, want):
                return failed(name, f"The mean of the estimates is not the enumerated {words}.", None, shown(want), shown(found.mean(0)))
            if spread and not averages((found - found.mean(0)) ** 2, exact.variance[key], SPREAD_SIGMAS):
                variances = (f"variance {float(v.sum()):.3f}" for v in (exact.variance[key], found.var(0)))
                return failed(name, f"The spread of the estimates is not that of {what}.", None, *variances)
            return passed(name, f"The estimates have the {'spread' if spread else 'mean'} that they should have.")

        def judge(seen: Seen) -> Finding:
            """The first problem in which it fails."""
            findings = []
            for problem, record in zip(seen.inputs["problems"], seen.outputs["problems"], strict=True):
                if problem["logits"] not in known:
                    known[problem["logits"]] = Exact(solution, target, problem)
                findings.append(decide(Estimates(problem, record), known[problem["logits"]]))
            return next((finding for finding in findings if not finding.passed), findings[0])

        def view(outputs: dict[str, Any]) -> Any:
            """Of the first call how many codes were looked at, whether there is a number for each row, and what is judged."""
            return [(record["codes"] is None or record["codes"].shape[1], record["value"].dim(),
                     record[key] if record[key] is None else record[key][0]) for record in outputs["problems"]]

        return Behavior(name, 1, judge, view)

    return (law("value", "value", "expected cost"), law("encoder", "logits", "gradient of the logits"),
            law("decoder", "theta", "gradient of the cost's parameters"), law("estimator", "logits", "gradient of the logits", spread=True))


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], solution: str, target: str) -> str:
    """The mean of the estimates of one example's gradient; where all means are right, their variance."""
    found = Estimates(inputs["problems"][0], outputs["problems"][0]).numbers["logits"]
    exact = Exact(solution, target, inputs["problems"][0])
    got, right, what = found.mean(0), exact.mean["logits"], "mean of the estimated gradients"
    if averages(found, right):
        got, right, what = found.var(0), exact.variance["logits"], "variance of one estimate"
    return furthest(ax, got.flatten(1), right.flatten(1), "logit", what)


def exercise(solution: str, target: str, what: str, **more: Any) -> Exercise:
    """An exercise that asks for an estimator; `what` says in words which one."""
    return Exercise(solution=solution, target=target, preamble=PREAMBLE, draw=partial(draw, signature=f"{target}(f, logits, num_samples)"),
                    probe=probes.estimates, replay=replay, laws=laws(solution, target, what),
                    picture=partial(picture, solution=solution, target=target), **more)
