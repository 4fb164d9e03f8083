"""Judging an exercise: laws decide, and what they find wrong is explained by running the known mistakes.

A mistake's code runs on the inputs that the student's code got, with the student's own random draws where they can be replayed.
It explains a behavior if it gives every number that the behavior was judged by. One mistake that explains everything comes
first, then two whose edits do not overlap, then one for a part.
"""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, Way, edits_of, failed, run
from autograder.exercises.laws import Summary, agree

__all__ = ["candidates", "judge", "overlap"]

MOST_PAIRS = 300  # that are run for one answer
SECONDS = 10.0  # of this process, for naming; some tenths are usual, and without a name the points are the same or fewer


def judge(exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    """The findings on every behavior.

    Of an exercise with several kinds of outputs the first that is right counts; if none is, the first that ran.
    """
    if not exercise.kinds:
        return Judgement(exercise, inputs, outputs).findings()
    judged, stopped = [], []
    for kind, remark in exercise.kinds.items():
        part = outputs.get(kind)
        if part is None:
            continue
        if "trouble" in part:
            stopped.append([failed(next(iter(exercise.behaviors)), str(part["trouble"]))])
            continue
        judged.append(Judgement(exercise, inputs | {"kind": kind}, part))
        if all(finding.passed for finding in judged[-1].decided.values()):
            findings = judged[-1].findings()
            if remark:
                mark = next(i for i, law in enumerate(exercise.laws) if law.points)
                findings[mark] = replace(findings[mark], mistakes=(remark,), message=exercise.mistake(remark).title)
            return findings
    # An exception on the first kind tells less than values on another do.
    return judged[0].findings() if judged else stopped[0]


@dataclass
class Candidate:
    """Known code that an answer may be.

    Attributes:
        names: of its mistakes. ways: how it is made from the solution; a form that is right comes first.
    """

    exercise: Exercise
    names: tuple[str, ...]
    ways: tuple[Way, ...]
    inputs: dict[str, Any]
    brief_inputs: dict[str, Any]
    until: float

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return self.brief if self.brief_inputs is self.inputs else self.run(self.inputs)

    @cached_property
    def brief(self) -> dict[str, Any]:
        """What comes for the part of the inputs by which most candidates are ruled out."""
        return self.run(self.brief_inputs)

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if time.process_time() > self.until:
            return {"trouble": "no time is left"}
        try:
            return run(self.exercise, self.exercise.source(*self.ways), inputs)
        except ValueError:  # an edit that another one has left nothing of
            return {"trouble": "no such code"}

    @property
    def form(self) -> tuple[Way, ...]:
        return self.ways[: len(self.ways) - len(self.names)]

    @property
    def way(self) -> Way:
        return self.ways[-1]


def view(behavior: Behavior, outputs: dict[str, Any]) -> Any:
    """What the behavior is judged by; None where there is nothing of it."""
    try:
        return behavior.view(outputs) if "trouble" not in outputs else None
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return None


class Judgement:
    """One answer's way through the laws, the mistakes, and back to what stands on what."""

    def __init__(self, exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]):
        self.exercise, self.seen = exercise, Seen(exercise, inputs, outputs)
        self.laws, self.until = {b.name: b for b in exercise.laws}, time.process_time() + SECONDS
        self.views = {name: view(b, outputs) for name, b in self.laws.items() if b.view}

    @cached_property
    def decided(self) -> dict[str, Finding]:
        """What the laws say, without a look at any mistake."""
        return {name: law.judge(self.seen) for name, law in self.laws.items()}

    def findings(self) -> list[Finding]:
        decided = self.decided
        self.open = [b for b in self.laws.values() if b.view and (decided[b.name].passed or not decided[b.name].mistakes)]
        roots = [b for b in self.open if not decided[b.name].passed and self.stands(b)]
        try:
            causes = self.explain(roots) if roots else {}
        except Exception:  # outputs that nobody foresaw: the verdict stands, without a name
            causes = {}
        settled = [self.settled(law, causes) for law in self.laws.values()]
        return [replace(f, mistakes=tuple(dict.fromkeys(f.mistakes + f.also))) for f in settled]

    def stands(self, law: Behavior) -> bool:
        """Whether something that it is after is right, or wrong in a way that the law itself has named."""
        after = [self.decided[name] for name in law.after.split()]
        return not after or any(root.passed or root.mistakes for root in after)

    def settled(self, law: Behavior, causes: dict[str, Candidate]) -> Finding:
        """What is said of a behavior once the causes of what is wrong are known, or are not."""
        finding, after = self.decided[law.name], law.after.split()
        cause = causes.get(law.name) or next((causes[name] for name in after if set(after) <= causes.keys()), None)
        if self.stands(law) or (law.own and cause):
            own = causes.get(law.name)
            return named(finding, own) if own and not finding.passed and not finding.mistakes else finding
        if cause is None:
            return failed(law.name, f"Judged once the {' or the '.join(after)} is right.")
        if not self.same(law, cause):
            # What the cause's own code shows, too, is no further mistake.
            also = law.judge(Seen(self.exercise, self.seen.inputs, cause.outputs)).mistakes
            return failed(law.name, finding.message, *(() if finding.mistakes == also else finding.mistakes[:1]))
        if law.sound(self.views[law.name]):
            return Finding(law.name, True, f"Right for the {after[0]} that your code gives.")
        return named(replace(finding, passed=False), cause)

    def roughly(self, law: Behavior, candidate: Candidate) -> bool:
        """Whether the candidate gives the numbers of the brief part."""
        return alike(law, self.brief[1], candidate.brief)

    def same(self, law: Behavior, candidate: Candidate) -> bool:
        """Whether the candidate gives every number that this behavior is judged by."""
        return self.roughly(law, candidate) and alike(law, self.seen.outputs, candidate.outputs)

    @cached_property
    def brief(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.exercise.brief(self.seen.replayed, self.seen.outputs)

    def candidate(self, names: tuple[str, ...], ways: tuple[Way, ...]) -> Candidate:
        return Candidate(self.exercise, names, ways, self.seen.replayed, self.brief[0], self.until)

    def explain(self, roots: list[Behavior]) -> dict[str, Candidate]:
        """By root, the known code that gives what the student's code gave."""
        close = []
        for names, ways in candidates(self.exercise):
            single = self.candidate(names, ways)
            close.append((single, {law.name for law in self.open if self.roughly(law, single)}))
            if len(close[-1][1]) == len(self.open) and all(self.same(law, single) for law in self.open):  # none can be closer
                return {root.name: single for root in roots}
        close.sort(key=lambda pair: -len(pair[1]))
        # What stands on a root, is wrong by itself and has no sign of its own has to be explained as well.
        wanted = {root.name for root in roots} | {law.name for law in self.open if not self.decided[law.name].passed}
        whole = self.first(close, wanted) or next(self.pairs(close), None)
        if whole:
            return {root.name: whole for root in roots}
        found = {root.name: self.first(close, {root.name}) for root in roots}
        return {name: c for name, c in found.items() if c}

    def first(self, close: list[tuple[Candidate, set[str]]], wanted: set[str]) -> Candidate | None:
        """The closest candidate that explains all that is wanted."""
        return next((c for c, names in close if wanted <= names and all(self.same(self.laws[name], c) for name in wanted)), None)

    def pairs(self, close: list[tuple[Candidate, set[str]]]) -> Iterator[Candidate]:
        """Two mistakes that give every number together. Neither disturbs alone what is right."""
        sound = [law for law in self.open if self.decided[law.name].passed]
        fits = [(c, bool(names - {law.name for law in sound})) for c, names in close if all(self.undisturbed(law, c) for law in sound)]
        helped = any(helps for _, helps in fits)
        wrong = [law for law in self.open if law not in sound]
        likely, rests, runs = [self.likely(c, wrong) for c, _ in fits], self.rests([c for c, _ in fits], wrong[0]), 0
        shaped = [(i, j) for i, j in itertools.combinations(range(len(fits)), 2) if likely[i] or likely[j]]
        order = sorted(shaped, key=lambda two: (-sum(likely[i] for i in two), rests[two[0]][two[1]]))
        for (first, a), (second, b) in ((fits[i], fits[j]) for i, j in order):
            if first.names == second.names or first.form != second.form or (helped and not a and not b):
                continue
            if overlap(self.exercise.solution, first.way, second.way):
                continue
            pair = self.candidate(first.names + second.names, (*first.form, first.way, second.way))
            if all(self.same(law, pair) for law in self.open):
                yield pair
            runs += 1
            if runs == MOST_PAIRS:
                return

    def likely(self, candidate: Candidate, wrong: list[Behavior]) -> bool:
        """Whether a candidate has the shapes that came."""
        return all(form(view(law, self.brief[1])) == form(view(law, candidate.brief)) for law in wrong)

    def rests(self, fits: list[Candidate], law: Behavior) -> list[list[float]]:
        """What two candidates leave of the answer's difference to what is right, if theirs add up, as most do nearly."""
        found = [numbers(view(law, outputs)) for outputs in (self.brief[1], *(c.brief for c in (self.candidate((), ()), *fits)))]
        size = len(found[1])
        mine, right, *others = (v if len(v) == size else v.mean().expand(size) for v in found)
        if not others:
            return []
        off = torch.stack(others) - right
        return torch.cdist(mine - right - off, off).nan_to_num(math.inf).tolist()

    def undisturbed(self, law: Behavior, candidate: Candidate) -> bool:
        try:
            return law.judge(Seen(self.exercise, candidate.brief_inputs, candidate.brief)).passed
        except Exception:  # a mistake may leave nothing to judge
            return False


def alike(law: Behavior, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two outputs are the same for this behavior."""
    mine, other = view(law, a), view(law, b)
    return mine is not None and other is not None and agree(mine, other, law.rtol, law.atol)


def form(value: Any) -> Any:
    """The shapes in nested values."""
    if isinstance(value, dict):
        return {name: form(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [form(part) for part in value]
    return value.shape if isinstance(value, Tensor) else type(value)


def numbers(value: Any) -> Tensor:
    """All numbers in nested values, in one row."""
    if isinstance(value, Summary):
        value = value.values
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return torch.cat([torch.zeros(0).double(), *map(numbers, value)])
    return torch.as_tensor(value if isinstance(value, (Tensor, float)) else []).double().flatten()


def candidates(exercise: Exercise) -> Iterator[tuple[tuple[str, ...], tuple[Way, ...]]]:
    """Every mistake in every way, in every form of the solution that it applies to: names, and how it is made."""
    for form in ((), *exercise.forms):
        for mistake in exercise.mistakes:
            for way in mistake.ways:
                if not form or not overlap(exercise.solution, form, way):
                    yield (mistake.name,), ((form, way) if form else (way,))


def overlap(source: str, a: Way, b: Way) -> bool:
    """Whether two ways change the same text of `source`. What is put behind it overlaps with nothing."""
    if isinstance(a, str) or isinstance(b, str):
        return False
    return any(s < f and r < e for s, e in spans(source, a) for r, f in spans(source, b))


def spans(source: str, way: Way) -> list[tuple[int, int]]:
    """Where the texts of `source` stand that a way replaces."""
    found = []
    for old, _ in edits_of(way):
        start = source.find(old)
        while start >= 0:
            found.append((start, start + len(old)))
            start = source.find(old, start + 1)
    return found


def named(finding: Finding, cause: Candidate) -> Finding:
    return replace(finding, mistakes=tuple(dict.fromkeys(cause.names)))
