"""For each exercise a solution, the mistakes that its checks name as edits of that solution, and unusual solutions that are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Edit", "Mistake", "apply"]

Edit = tuple[str, str]


@dataclass(frozen=True)
class Mistake:
    """A mistake that can be made at will.

    Arguments:
        name: the misconception that the checks have to name.
        target: the object in which it is made.
        edits: (old, new) replacements of text in the solution of `target`.
        checks: the checks that it fails, or where it earns a remark.
    """

    name: str
    target: str
    edits: tuple[Edit, ...]
    checks: tuple[str, ...]


def apply(source: str, edits: Sequence[Edit]) -> str:
    """`source` with every edit made.

    Raises:
        ValueError: an edit's old text is not there, or makes no difference.
    """
    for old, new in edits:
        if old not in source or old == new:
            raise ValueError(f"The edit of {old!r} does not apply.")
        source = source.replace(old, new)
    return source
