"""How often a test repeats what it does: as often as its statement needs, and with `make test DEEP=1` as often as there is patience for."""

import os
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["DEEP", "repetitions", "some"]

Item = TypeVar("Item")
DEEP = os.environ.get("DEEP", "") not in ("", "0")


def repetitions(usual: int, deep: int) -> int:
    """The number of repetitions: `usual`, with DEEP=1 `deep`."""
    return deep if DEEP else usual


def some(items: Sequence[Item], every: int) -> Sequence[Item]:
    """Each `every`-th of `items`, with DEEP=1 all of them. For samples of many like cases, as all pairs of mistakes."""
    return items if DEEP else items[::every]
