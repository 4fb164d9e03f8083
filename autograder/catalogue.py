"""All checks by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from autograder.probing import Trouble
from autograder.verdict import Check

__all__ = ["all_checks", "find_check"]


@cache
def all_checks() -> dict[str, Check]:
    """Every check of every unit, by name, in the order of the exercises."""
    package = importlib.import_module("autograder.checks")
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for check in getattr(importlib.import_module(f"autograder.checks.{module.name}"), "CHECKS", ()):
            found[check.name] = check
    return {name: found[name] for name in sorted(found, key=lambda n: (package.ORDER.index(n) if n in package.ORDER else 99, n))}


def find_check(name: str) -> Check:
    """The check called `name`.

    Raises:
        Trouble: there is none; the message lists names that are close.
    """
    checks = all_checks()
    if name in checks:
        return checks[name]
    near = difflib.get_close_matches(str(name), checks, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(checks)}."
    raise Trouble(f'There is no check called "{name}". {hint}')
