"""All exercises by their checks' names, unit by unit in the course's order.

They are read when they are asked for, as they bring torch: a second of start-up, and the grader's first process does without them.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from autograder import own

if TYPE_CHECKING:
    from autograder.exercises.exercise import Exercise

__all__ = ["all_checks", "exercise_of", "find_check", "refusal"]


def all_checks() -> dict[str, Exercise]:
    """Every exercise of every unit, the course's own ones too, by name, in the order that the units say."""
    return _all_checks(own.units())


@lru_cache(maxsize=1)
def _all_checks(others: tuple[own.Unit, ...]) -> dict[str, Exercise]:
    package = importlib.import_module("autograder.units")
    found = [importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)]
    units = [(unit.NUMBER, listed(unit)) for unit in found] + [(unit.number, unit.exercises) for unit in others]
    return {exercise.name: exercise for _, exercises in sorted(units, key=lambda unit: unit[0]) for exercise in exercises}


def listed(unit: ModuleType) -> list[Exercise]:
    """The exercises of a unit of the package."""
    return [exercise for name in unit.MODULES for exercise in importlib.import_module(f"{unit.__name__}.{name}").EXERCISES]


def exercise_of(target: str) -> Exercise:
    """The first exercise in which students write `target`."""
    return next(exercise for exercise in all_checks().values() if exercise.target == target)


def find_check(name: str) -> Exercise:
    """The exercise whose check is called `name`.

    Raises:
        Trouble: there is none, and the message lists names that are close; or its unit's own checks.py cannot be used.
    """
    from autograder.probing import Trouble

    checks = all_checks()
    if name in checks:
        return checks[name]
    if problem := own.problem_of(str(name)):
        raise Trouble(problem)
    near = difflib.get_close_matches(str(name), checks, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(checks)}."
    raise Trouble(f'There is no check called "{name}". {hint}')


def refusal(name: str) -> str:
    """Why nothing can be judged by this check: its unit's own checks.py cannot be used; "" where all is well."""
    problem = own.problem_of(name)
    return problem if problem and name not in all_checks() else ""
