"""Judging an exercise: laws decide, and what they find wrong is explained by running the known mistakes.

A mistake's code runs on the inputs that the student's code got, with the student's own random draws where they can be replayed.
It explains a behavior if it gives every number that the behavior was judged by. One mistake that explains everything comes
first, then two whose edits do not overlap, then one for a part.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, Way, edits_of, failed, run
from autograder.exercises.laws import agree

__all__ = ["candidates", "judge", "overlap"]

MOST_PAIRS = 400  # that are run for one answer


def judge(exercise: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]) -> list[Finding]:
    """The findings on every behavior.

    Of an exercise with several kinds of outputs the first that is right counts; if none is, the first that ran.
    """
    if not exercise.kinds:
        return Judgement(exercise, inputs, outputs).findings()
    said: list[list[Finding]] = []
    for kind, remark in exercise.kinds.items():
        part = outputs.get(kind)
        if part is None:
            continue
        if "trouble" in part:
            said.append([failed(exercise.laws[0].name, str(part["trouble"]))])
            continue
        findings = Judgement(exercise, inputs | {"kind": kind}, part).findings()
        if all(f.passed for f in findings):
            if remark:
                findings[0] = replace(findings[0], mistakes=(remark,), message=exercise.mistake(remark).title)
            return findings
        said.append(findings)
    # An exception on the first kind tells less than values on another do.
    return next((findings for findings in said if len(findings) == len(exercise.laws)), said[0])


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

    @cached_property
    def outputs(self) -> dict[str, Any]:
        try:
            return run(self.exercise, self.exercise.source(*self.ways), self.inputs)
        except ValueError:  # an edit that another one has left nothing of
            return {"trouble": "no such code"}

    @property
    def form(self) -> tuple[Way, ...]:
        return self.ways[: len(self.ways) - len(self.names)]

    @property
    def way(self) -> Way:
        return self.ways[-1]

    def view(self, behavior: Behavior) -> Any:
        return view(behavior, self.outputs)


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
        self.laws = {b.name: b for b in exercise.laws}
        self.views = {name: view(b, outputs) for name, b in self.laws.items() if b.view}
        self.forms: dict[tuple[Way, ...], Candidate] = {}

    def findings(self) -> list[Finding]:
        decided = {name: law.judge(self.seen) for name, law in self.laws.items()}
        self.open = [b for b in self.laws.values() if b.view and (decided[b.name].passed or not decided[b.name].mistakes)]
        roots = [b for b in self.open if not decided[b.name].passed and self.stands(b, decided)]
        causes = self.explain(roots, decided) if roots else {}
        return [self.settled(law, decided, causes) for law in self.laws.values()]

    def stands(self, law: Behavior, decided: dict[str, Finding]) -> bool:
        """Whether what it is after is right, or wrong in a way that the law itself has named."""
        root = decided.get(law.after)
        return root is None or root.passed or bool(root.mistakes)

    def settled(self, law: Behavior, decided: dict[str, Finding], causes: dict[str, Candidate]) -> Finding:
        """What is said of a behavior once the causes of what is wrong are known, or are not."""
        finding, cause = decided[law.name], causes.get(law.name) or causes.get(law.after)
        if self.stands(law, decided):
            return named(finding, cause) if cause and not finding.passed and not finding.mistakes else finding
        if cause is None:
            return failed(law.name, f"Judged once the {law.after} is right.")
        if not self.same(law, cause):
            # What the cause's own code shows, too, is no further mistake.
            also = law.judge(Seen(self.exercise, self.seen.inputs, cause.outputs)).mistakes
            return failed(law.name, finding.message, *(() if finding.mistakes == also else finding.mistakes[:1]))
        if law.sound(self.views[law.name]):
            return Finding(law.name, True, f"Right for the {law.after} that your code gives.")
        return named(replace(finding, passed=False), cause)

    def same(self, law: Behavior, candidate: Candidate) -> bool:
        """Whether the candidate gives every number that this behavior is judged by."""
        mine, other = self.views.get(law.name), candidate.view(law)
        return mine is not None and other is not None and agree(mine, other, law.rtol, law.atol)

    def explain(self, roots: list[Behavior], decided: dict[str, Finding]) -> dict[str, Candidate]:
        """By root, the known code that gives what the student's code gave."""
        singles = list(candidates(self.exercise, self.seen.replayed))
        matched = [[law.name for law in self.open if self.same(law, c)] for c in singles]
        best = max(zip(singles, matched), key=lambda pair: len(pair[1]), default=(None, ()))
        wanted = {root.name for root in roots}
        # What stands on a root, is wrong by itself and has no sign of its own has to be explained as well.
        wanted |= {law.name for law in self.open if not decided[law.name].passed}
        if len(best[1]) == len(self.open):
            return {root.name: best[0] for root in roots}
        whole = next((c for c, names in zip(singles, matched) if wanted <= set(names)), None)
        whole = whole or next(self.pairs(singles, matched, decided), None)
        if whole:
            return {root.name: whole for root in roots}
        ranked = sorted(zip(singles, matched), key=lambda pair: -len(pair[1]))
        found = {root.name: next((c for c, names in ranked if root.name in names), None) for root in roots}
        return {name: c for name, c in found.items() if c}

    def pairs(self, singles: list[Candidate], matched: list[list[str]], decided: dict[str, Finding]) -> Iterator[Candidate]:
        """Two mistakes that give every number together. Neither disturbs alone what is right."""
        sound = [law for law in self.open if decided[law.name].passed]
        fits = [(c, names) for c, names in zip(singles, matched) if all(self.undisturbed(law, c) for law in sound)]
        helps = [bool(set(names) - {law.name for law in sound}) for _, names in fits]
        runs = 0
        for (i, (first, _)), (j, (second, _)) in itertools.combinations(enumerate(fits), 2):
            if first.names == second.names or first.form != second.form or (any(helps) and not helps[i] and not helps[j]):
                continue
            if overlap(self.exercise.solution, first.way, second.way):
                continue
            pair = Candidate(self.exercise, first.names + second.names, (*first.form, first.way, second.way), self.seen.replayed)
            if all(self.same(law, pair) for law in self.open):
                yield pair
            runs += 1
            if runs == MOST_PAIRS:
                return

    def undisturbed(self, law: Behavior, candidate: Candidate) -> bool:
        right = self.forms.setdefault(candidate.form, Candidate(self.exercise, (), candidate.form, self.seen.replayed))
        return agree(candidate.view(law), right.view(law), law.rtol, law.atol)


def candidates(exercise: Exercise, inputs: dict[str, Any]) -> Iterator[Candidate]:
    """Every mistake in every way and in every form of the solution that it applies to."""
    for form in ((), *exercise.forms):
        for mistake in exercise.mistakes:
            for way in mistake.ways:
                if not form or not overlap(exercise.solution, form, way):
                    yield Candidate(exercise, (mistake.name,), (form, way) if form else (way,), inputs)


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
