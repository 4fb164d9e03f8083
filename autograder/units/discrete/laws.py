"""What the exact exercises of unit 04 share: laws that hold in some right form of the solution, and a picture of what is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Exercise, Finding, Seen, double, passed, run
from autograder.exercises.laws import close
from autograder.exercises.pictures import furthest

__all__ = ["joined", "pictured"]


def joined(name: str, points: int, *laws: Behavior, inputs: dict[str, Any] | None = None, **settings: Any) -> Behavior:
    """A behavior that is right if all these laws hold, in the solution or in another form of it; else what is wrong in the first form.

    `inputs` differ from what was probed, such as fewer slopes, if the laws are to look at these only.
    """

    def judge(seen: Seen) -> Finding:
        faults = []
        for form in ((), *seen.exercise.forms):  # the solution itself, and others
            exercise = replace(seen.exercise, solution=seen.exercise.source(*form))
            here = Seen(exercise, seen.inputs | (inputs or {}), seen.outputs)
            faults.append(next((f for f in (law.judge(here) for law in laws) if not f.passed), None))
            if faults[-1] is None:
                return passed(name, "All of it is right.")
        return replace(faults[0], behavior=name)

    return Behavior(name, points, judge, **settings)


Part = tuple[Sequence[str], str, str]  # its path in the outputs, and words for what is across and what is up


def pictured(*parts: Part, **asked: Any) -> Exercise:
    """An exercise whose picture is the first of these parts that is wrong, beside what is right; no gradient is drawn as zeros."""

    def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        right = run(exercise, exercise.solution, double(inputs))
        for path, across, up in parts:
            got, want = (reduce(lambda found, key: found.get(key), path, found) for found in (outputs, right))
            got = torch.zeros_like(want) if got is None else got
            if not close(got, want, 1e-3):
                return furthest(ax, got, want, across, up)
        raise ValueError("nothing to draw")

    exercise = Exercise(**asked, picture=picture)
    return exercise
