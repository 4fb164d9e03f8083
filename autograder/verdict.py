"""What the check of an exercise says: draw, probe and judge in one go, and the verdict."""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from autograder.exercises.exercise import Exercise, Finding, Mistake, failed
from autograder.exercises.naming import judge
from autograder.exercises.pictures import picture_of
from autograder.probing import Trouble, known_state, run_probe

__all__ = ["Verdict", "draw_inputs", "evaluate", "judge_outputs", "troubled"]


UNREACHED = "Not judged: what comes before it failed."
PRINTED = 2000  # characters of what the student's code printed


@dataclass(frozen=True)
class Verdict:
    """What a check says: points, one sentence, the evidence, the mistakes that have a name."""

    check: str
    points: float
    max_points: int
    message: str
    findings: tuple[Finding, ...] = field(default=())
    mistakes: tuple[Mistake, ...] = ()
    title: str = ""
    read_on: str = ""
    worth: tuple[int, ...] = ()  # the points of each finding's behavior
    picture: dict[str, Any] | None = None  # of an answer that failed: the "steps" that draw it, "alt" in words
    seed: int | None = None  # in a notebook: of the inputs
    printed: str = ""  # in a notebook: what the student's code printed, from its beginning

    @property
    def passed(self) -> bool:
        return bool(self.findings) and all(f.passed for f in self.findings)

    @property
    def misconception(self) -> Mistake | None:
        """The first of its mistakes."""
        return self.mistakes[0] if self.mistakes else None

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
            "more_mistakes": [{"name": m.name, "title": m.title, "advice": m.advice} for m in self.mistakes[1:]],
            "read_on": self.read_on,
            "message": self.message,
            "picture": self.picture,
            "findings": [
                {
                    "behavior": f.behavior, "passed": f.passed, "points": worth if f.passed else 0, "max_points": worth,
                    "message": f.message, "expected": f.expected, "got": f.got, "misconception": f.misconception,
                }
                for f, worth in zip(self.findings, self.worth)
            ],
        }


def conclude(check: Exercise, findings: Sequence[Finding]) -> Verdict:
    """Add up a judge's findings; a behavior that it says nothing of has failed."""
    said = {f.behavior: f for f in findings}
    complete = tuple(said.get(name, failed(name, UNREACHED)) for name in check.behaviors)
    wrong = [f for f in complete if not f.passed]
    names = dict.fromkeys(name for f in wrong or complete for name in f.mistakes)
    mistakes = tuple(filter(None, map(check.mistake, names)))
    if not wrong:
        message = "All of it holds." + (f" A remark: {mistakes[0].title}" if mistakes else "")
    else:
        message = " ".join(m.title for m in mistakes) or wrong[0].message
    points = sum(check.behaviors[f.behavior] for f in complete if f.passed)
    return verdict_of(check, points, message, complete, mistakes)


def verdict_of(check: Exercise, points: float, message: str, findings: tuple[Finding, ...], mistakes: tuple[Mistake, ...] = ()) -> Verdict:
    worth = tuple(check.behaviors[f.behavior] for f in findings)
    return Verdict(check.name, points, check.max_points, message, findings, mistakes, check.title, check.read_on, worth)


def troubled(check: Exercise, message: str) -> Verdict:
    """The verdict for code that could not be judged at all."""
    findings = tuple(failed(name, message if number == 0 else UNREACHED) for number, name in enumerate(check.behaviors))
    return verdict_of(check, 0, message, findings)


def draw_inputs(check: Exercise, seed: int) -> dict[str, Any]:
    """The random inputs that `seed` gives, the same on every machine."""
    with known_state(seed):  # inputs do not depend on the notebook's default dtype
        return check.draw(torch.Generator().manual_seed(seed % 2**63))


def judge_outputs(check: Exercise, inputs: dict[str, Any], outputs: dict[str, Any]) -> Verdict:
    """Judge what a probe brought back, malformed or not."""
    try:
        if "trouble" in outputs:
            return troubled(check, str(outputs["trouble"]))
        with torch.no_grad():
            verdict = conclude(check, judge(check, inputs, outputs))
            return verdict if verdict.passed else replace(verdict, picture=picture_of(check, inputs, outputs))
    except Trouble as trouble:
        return troubled(check, str(trouble))
    except Exception as error:  # outputs that no probe returns: forged, or of a kind that nobody foresaw
        return troubled(check, f"What your code returned cannot be judged ({type(error).__name__}).")


def evaluate(check: Exercise, student: Any, seed: int | None = None, seconds: float = 20.0) -> Verdict:
    """Draw, probe and judge in this process.

    Arguments:
        check: the check.
        student: the student's object.
        seed: seed of the inputs; drawn afresh when left out.
        seconds: time limit for the student's code.
    """
    seed = secrets.randbelow(10**6) if seed is None else seed  # short: people type it to see the same inputs again
    inputs, printed = draw_inputs(check, seed), io.StringIO()
    verdict = judge_outputs(check, inputs, run_probe(check.probe, student, inputs, seed, seconds, printed))
    return replace(verdict, seed=seed, printed=printed.getvalue()[:PRINTED])
