"""`check`, `hint` and `progress` while grading: they do nothing. The grader asks for what it judges by itself."""

from __future__ import annotations

from typing import Any

__all__ = ["check", "hint", "progress"]


def check(name: str, student: Any, seed: int | None = None) -> None:
    """Nothing; cells of the student's own may call it."""


def hint(name: str | None = None, solution: bool = False) -> None:
    """Nothing."""


def progress(unit: str = "vae") -> None:
    """Nothing."""
