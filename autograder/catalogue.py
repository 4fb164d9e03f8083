"""All exercises by their checks' names, unit by unit in the course's order."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from autograder.exercises.exercise import Exercise
from autograder.probing import Trouble

__all__ = ["all_checks", "exercise_of", "find_check"]


@cache
def all_checks() -> dict[str, Exercise]:
    """Every exercise of every unit, by name, in the order that the units say."""
    package = importlib.import_module("autograder.units")
    units = [importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)]
    modules = [f"{unit.__name__}.{name}" for unit in sorted(units, key=lambda unit: unit.NUMBER) for name in unit.MODULES]
    return {exercise.name: exercise for name in modules for exercise in importlib.import_module(name).EXERCISES}


def exercise_of(target: str) -> Exercise:
    """The first exercise in which students write `target`."""
    return next(exercise for exercise in all_checks().values() if exercise.target == target)


def find_check(name: str) -> Exercise:
    """The exercise whose check is called `name`.

    Raises:
        Trouble: there is none; the message lists names that are close.
    """
    checks = all_checks()
    if name in checks:
        return checks[name]
    near = difflib.get_close_matches(str(name), checks, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(checks)}."
    raise Trouble(f'There is no check called "{name}". {hint}')
