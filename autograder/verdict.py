"""What a check is (draw, probe, judge) and what it says (findings, verdict)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from autograder.probing import Trouble, known_state, run_probe

__all__ = ["Check", "Finding", "Misconception", "Verdict", "evaluate", "failed", "passed", "troubled", "unjudged", "untouched"]


UNREACHED = "Not judged: what comes before it failed."


@dataclass(frozen=True)
class Misconception:
    """A mistake with a name.

    Arguments:
        name: identifier, the same in every report (``snake_case``).
        title: one sentence that names the mistake to the person who made it.
        advice: one or two sentences: why it is wrong and what to do next.
        loses: the behaviors whose points this mistake costs, as ``check:behavior``.
    """

    name: str
    title: str
    advice: str
    loses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a judge says of one behavior: did it hold, and what was seen.

    Arguments:
        behavior: one of the check's behaviors.
        passed: whether it holds.
        message: one sentence for the student.
        misconception: the name of the mistake when the numbers betray one.
        expected, got: short evidence, as text.
    """

    behavior: str
    passed: bool
    message: str = ""
    misconception: str | None = None
    expected: str = ""
    got: str = ""


def passed(behavior: str, message: str = "", misconception: str | None = None) -> Finding:
    """A behavior that holds. A `misconception` here is a remark that costs nothing."""
    return Finding(behavior, True, message, misconception)


def failed(behavior: str, message: str, misconception: str | None = None, expected: str = "", got: str = "") -> Finding:
    """A behavior that does not hold."""
    return Finding(behavior, False, message, misconception, expected, got)


@dataclass(frozen=True)
class Check:
    """One exercise's check, in three pure steps.

    Arguments:
        name: ``unit.exercise``, for example ``vae.gaussian_rsample``.
        target: the name that the student's object has in the notebook.
        title: what the exercise asks for, in a few words.
        behaviors: what is judged, each with its points and in the order of dependence.
        draw: ``draw(rng) -> inputs``: fresh random inputs from a `torch.Generator`.
        probe: ``probe(student, inputs) -> outputs``: only calls the student's object;
            returns plain tensors, numbers and short strings.
        judge: ``judge(inputs, outputs) -> findings``: compares with the reference.
        hints: three levels, from a nudge to nearly the answer.
        misconceptions: the mistakes that `judge` can name.
        read_on: where the lecture explains it.
        bonus: an optional exercise's: its points are no part of the notebook's sum.
    """

    name: str
    target: str
    title: str
    behaviors: Mapping[str, int]
    draw: Callable[[torch.Generator], dict[str, Any]]
    probe: Callable[[Any, dict[str, Any]], dict[str, Any]]
    judge: Callable[[dict[str, Any], dict[str, Any]], Sequence[Finding]]
    hints: tuple[str, str, str]
    misconceptions: tuple[Misconception, ...] = ()
    read_on: str = ""
    bonus: bool = False

    @property
    def max_points(self) -> int:
        return sum(self.behaviors.values())

    def misconception(self, name: str | None) -> Misconception | None:
        return next((m for m in self.misconceptions if m.name == name), None)


@dataclass(frozen=True)
class Verdict:
    """What a check says: points, one sentence, the evidence, the mistake if it has a name."""

    check: str
    points: float
    max_points: int
    message: str
    findings: tuple[Finding, ...] = field(default=())
    misconception: Misconception | None = None
    title: str = ""
    read_on: str = ""
    worth: tuple[int, ...] = ()  # the points of each finding's behavior

    @property
    def passed(self) -> bool:
        return bool(self.findings) and all(f.passed for f in self.findings)

    def record(self) -> dict[str, Any]:
        """The verdict as plain values, for JSON: all that a report shows."""
        mistake = self.misconception
        return {
            "check": self.check,
            "title": self.title,
            "passed": self.passed,
            "points": self.points,
            "max_points": self.max_points,
            "misconception": mistake.name if mistake else None,
            "misconception_title": mistake.title if mistake else None,
            "advice": mistake.advice if mistake else None,
            "read_on": self.read_on,
            "message": self.message,
            "findings": [
                {
                    "behavior": f.behavior, "passed": f.passed, "points": worth if f.passed else 0, "max_points": worth,
                    "message": f.message, "expected": f.expected, "got": f.got, "misconception": f.misconception,
                }
                for f, worth in zip(self.findings, self.worth)
            ],
        }


def untouched(inputs: dict[str, Any], after: dict[str, torch.Tensor]) -> bool:
    """Whether the arguments are after the call what they were before."""
    return all(torch.equal(inputs[name], value) for name, value in after.items())


def unjudged(behavior: str, cause: Finding) -> Finding | None:
    """A failed finding where what `behavior` stands on is wrong in a way that has no name: then nothing can be said of it."""
    known = cause.passed or cause.misconception
    return None if known else failed(behavior, f"Judged once the {cause.behavior} is right.")


def conclude(check: Check, findings: Sequence[Finding]) -> Verdict:
    """Add up a judge's findings; a behavior that it says nothing of has failed."""
    said = {f.behavior: f for f in findings}
    complete = tuple(said.get(name, failed(name, UNREACHED)) for name in check.behaviors)
    wrong = [f for f in complete if not f.passed]
    named = [f for f in wrong if f.misconception] or [f for f in complete if f.misconception]
    mistake = check.misconception(named[0].misconception) if named else None
    first = next((f for f in wrong if f.misconception), wrong[0] if wrong else None)
    if first is None:
        message = "All of it holds." + (f" A remark: {mistake.title}" if mistake else "")
    else:
        message = mistake.title if mistake and first.misconception else first.message
    points = sum(check.behaviors[f.behavior] for f in complete if f.passed)
    return verdict_of(check, points, message, complete, mistake)


def verdict_of(check: Check, points: float, message: str, findings: tuple[Finding, ...], mistake: Misconception | None = None) -> Verdict:
    worth = tuple(check.behaviors[f.behavior] for f in findings)
    return Verdict(check.name, points, check.max_points, message, findings, mistake, check.title, check.read_on, worth)


def troubled(check: Check, message: str) -> Verdict:
    """The verdict for code that could not be judged at all."""
    findings = tuple(failed(name, message if number == 0 else UNREACHED) for number, name in enumerate(check.behaviors))
    return verdict_of(check, 0, message, findings)


def draw_inputs(check: Check, seed: int) -> dict[str, Any]:
    """The random inputs that `seed` gives, the same on every machine."""
    with known_state(seed):  # inputs do not depend on the notebook's default dtype
        return check.draw(torch.Generator().manual_seed(seed % 2**63))


def judge_outputs(check: Check, inputs: dict[str, Any], outputs: dict[str, Any]) -> Verdict:
    """Judge what a probe brought back, malformed or not."""
    try:
        if "trouble" in outputs:
            return troubled(check, str(outputs["trouble"]))
        with torch.no_grad():
            return conclude(check, check.judge(inputs, outputs))
    except Trouble as trouble:
        return troubled(check, str(trouble))
    except Exception as error:  # outputs that no probe returns: forged, or of a kind that nobody foresaw
        return troubled(check, f"What your code returned cannot be judged ({type(error).__name__}).")


def evaluate(check: Check, student: Any, seed: int | None = None, seconds: float = 20.0) -> Verdict:
    """Draw, probe and judge in this process.

    Arguments:
        check: the check.
        student: the student's object.
        seed: seed of the inputs; drawn afresh when left out.
        seconds: time limit for the student's code.
    """
    seed = secrets.randbits(62) if seed is None else seed
    inputs = draw_inputs(check, seed)
    return judge_outputs(check, inputs, run_probe(check.probe, student, inputs, seed, seconds))
