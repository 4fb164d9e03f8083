"""Which cell of a submission is which cell of the instructor's notebook, and which are the student's own.

By nbgrader's name; without one by the cell's id, which in our releases is the name; without either by text and place.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

__all__ = ["Found", "given", "locked", "match", "role", "same_text", "unmoved"]

MAX_GAP = 200  # cells that are looked at for a missing one


@dataclass
class Found:
    """The outcome.

    Arguments:
        place: {number in the instructor's notebook: place in the submission}
        own: places of cells that are the student's own, copies among them.
        copies: {number: how many cells of the submission bore that name}, where more than one did.
        how: {number: "name", "id", "unknown name" (found by id, under a name that is not ours), "taken name" (bears
            the name of one cell and the id of another) or "text"}
    """

    place: dict[int, int] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    copies: dict[int, int] = field(default_factory=dict)
    how: dict[int, str] = field(default_factory=dict)


def role(cell: dict[str, Any]) -> str:
    """What a cell of the instructor's is: "test", "question", "answer" (a person marks it), "solution" or "plain"."""
    mark = cell["nbgrader"]
    if not mark:
        return "plain"
    if mark.get("solution"):
        return "answer" if mark.get("grade") else "solution"
    return "test" if mark.get("grade") else "question"


def locked(cell: dict[str, Any]) -> bool:
    return role(cell) in ("test", "question")


def given(cell: dict[str, Any]) -> str:
    """The text that the student was given; the instructor's own may hold hidden tests or a mark scheme as well."""
    return cell.get("given", cell["source"])


def same_text(one: str, other: str) -> bool:
    """Whether they differ by no more than space at the ends of lines."""
    return one == other or [line.rstrip() for line in one.strip().split("\n")] == [line.rstrip() for line in other.strip().split("\n")]


def match(cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]]) -> Found:
    """Find the instructor's cells in a submission."""
    found = Found()
    bearers, how = by_name_or_id(cells, known)
    for number, places in bearers.items():
        keep(number, places, cells, known[number], found)
        found.how[number] = how[found.place[number]]
    taken = {place for places in bearers.values() for place in places}
    found.own |= set(range(len(cells))) - taken
    loose = found.own - taken
    by_text(loose, cells, known, found)
    by_place(loose, cells, known, found)
    return found


def by_name_or_id(cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]]) -> tuple[dict[int, list[int]], dict[int, str]]:
    """{number: the places of the cells that bear its name or id}, and {place: by what that was seen}."""
    names = {cell["name"]: number for number, cell in enumerate(known) if cell["name"] is not None}
    ids = {cell["id"]: number for number, cell in enumerate(known)}
    marks = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells]
    by_name = [names.get(mark) for mark in marks]
    by_id = [ids.get(cell.get("id")) for cell in cells]
    agreed = {a for a, b in zip(by_name, by_id) if a is not None and a == b}
    bearers: dict[int, list[int]] = {}
    how: dict[int, str] = {}
    for place, (mark, name, id_) in enumerate(zip(marks, by_name, by_id)):
        number = id_ if name is None else name
        how[place] = "name" if name is not None else "unknown name" if isinstance(mark, str) else "id"
        if name is not None and id_ is not None and name != id_:
            # A name that was put on another cell; where the cell of that name is there too, this one is what its id says.
            number, how[place] = (id_ if name in agreed and id_ not in agreed else name), "taken name"
        if number is not None:
            bearers.setdefault(number, []).append(place)
    return bearers, how


def keep(number: int, places: list[int], cells: Sequence[NotebookNode], known: dict[str, Any], found: Found) -> None:
    """Of copies the last keeps the name, but one that is as it was given out yields to one that was written.

    A copy as it was given out is left away: a test would run twice, and an unwritten function run after the written
    one would take its place. Other copies run where they stand.
    """
    as_given = [place for place in places if same_text(cells[place].source, given(known))]
    others = [place for place in places if place not in as_given]
    chosen = (as_given or others)[-1] if locked(known) else (others or as_given)[-1]
    found.place[number] = chosen
    if len(places) > 1:
        found.copies[number] = len(places)
        found.own |= {place for place in others if place != chosen}


def by_text(loose: set[int], cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]], found: Found) -> None:
    """Nameless cells that are word for word what was given out."""
    missing: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(known):
        if number not in found.place and given(cell).strip() and role(cell) != "answer":
            missing.setdefault((cell["cell_type"], given(cell).strip()), []).append(number)
    for place in sorted(loose):
        if numbers := missing.get((cells[place].cell_type, cells[place].source.strip())):
            claim(numbers.pop(0), place, loose, found)


def by_place(loose: set[int], cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]], found: Found) -> None:
    """Nameless cells that stand where a missing one should, and begin or read like it."""
    words = {place: signs(cells[place].source) for place in loose}
    for number, cell in enumerate(known):
        if number in found.place or role(cell) == "answer" or not loose:
            continue
        wanted = signs(given(cell))
        for place in gap(number, found, len(cells))[:MAX_GAP]:
            if place in loose and cells[place].cell_type == cell["cell_type"] and alike(words[place], wanted):
                claim(number, place, loose, found)
                break


def gap(number: int, found: Found, end: int) -> range:
    """Where a missing cell should stand in the submission: from the last known cell before it to the next known cell."""
    before = max((n for n in found.place if n < number), default=None)
    start = -1 if before is None else found.place[before]
    later = [place for place in found.place.values() if place > start]
    return range(start + 1, min(later, default=end))


def claim(number: int, place: int, loose: set[int], found: Found) -> None:
    found.place[number], found.how[number] = place, "text"
    found.own.discard(place)
    loose.discard(place)


def signs(text: str) -> tuple[str, frozenset[str]]:
    """(what the text defines or else how it begins, its words)."""
    text = text[:4000].strip()
    defined = re.search(r"^\s*(?:class|def)\s+(\w+)", text, re.M)
    return defined.group(1) if defined else text.split("\n")[0].rstrip(), frozenset(re.findall(r"\w+", text))


def alike(one: tuple[str, frozenset[str]], other: tuple[str, frozenset[str]]) -> bool:
    if one[0] and one[0] == other[0]:
        return True
    return 2 * len(one[1] & other[1]) >= len(one[1] | other[1]) > 0


def unmoved(numbers: Sequence[int]) -> set[int]:
    """The largest set of cells that stand in the instructor's order; of two that were swapped, the one that is earlier there."""
    ends: list[int] = []  # the smallest last number of an increasing run of each length
    before: dict[int, int | None] = {}
    for number in numbers:
        length = bisect.bisect_left(ends, number)
        before[number] = ends[length - 1] if length else None
        ends[length : length + 1] = [number]
    stay, number = set(), ends[-1] if ends else None
    while number is not None:
        stay.add(number)
        number = before[number]
    return stay
