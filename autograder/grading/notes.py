"""What a teacher is told about a submission that is not built as it was given out: accidents, and what a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from autograder.grading.edits import edit_of
from autograder.grading.matching import Found, given, locked, role, unmoved

__all__ = ["Note", "notes_of"]

STRIPPED = "nbgrader's marks were missing from {}, as some editors leave them; the cells were recognized by their ids."
NAMELESS = "Name and id were missing from {}; the cells were recognized by their text and place."
WORDS = {"test": "test", "question": "question", "answer": "answer", "solution": "solution cell", "plain": "cell"}


@dataclass(frozen=True)
class Note:
    """Something that was found in a submission, for the teacher only.

    Arguments:
        kind: "copied", "deleted", "moved", "retyped", "edited", "metadata", "renamed", "format", "kernel", "extra",
            "unreadable".
        cell: the grade_id of the cell, if it is about one.
        honest: it is the kind of accident that happens to anyone; otherwise a person should look.
        sentence: what was found and what was done about it.
    """

    kind: str
    cell: str | None
    honest: bool
    sentence: str


def notes_of(cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]], found: Found, texts: dict[int, str]) -> list[Note]:
    """All notes on a submission's cells.

    Arguments:
        cells: of the submission.
        known: the instructor's.
        found: which is which.
        texts: {number: a known cell's text in the submission, as code where it is code}
    """
    if not any(known[number]["name"] for number in found.place):
        return [Note("deleted", None, True, "None of the assignment's exercises is in this notebook. Is it another one?")]
    stay = unmoved(sorted(found.place, key=found.place.__getitem__))
    notes = together(cells, known, found)
    for number, cell in enumerate(known):
        if number not in found.place:
            notes += missing(cell)
            continue
        handed_in = cells[found.place[number]]
        notes += about(cell, handed_in, found.how[number], found.copies.get(number, 1), number in stay)
        if edit := edit_of(cell, texts[number]):
            kept = " What was written there is kept beside it." if edit.work else ""
            sentence = f"The {title(cell)} was edited: {edit.how}. The instructor's text was used.{kept}"
            notes.append(Note("edited", cell["name"], edit.honest, sentence))
        notes += forged(cell, handed_in.metadata.get("nbgrader", {}))
    return notes + strangers(cells, known, found)


def title(cell: dict[str, Any]) -> str:
    if cell["name"] is None:
        first = next((line.strip() for line in cell["source"].split("\n") if line.strip()), "")[:50].replace("`", "'")
        return f"assignment's own cell `{first}`"
    return f"{WORDS[role(cell)]} `{cell['name']}`"


def missing(cell: dict[str, Any]) -> list[Note]:
    if cell["name"] is None and cell["cell_type"] != "code":
        return []
    done = "it counts as empty; what was written elsewhere was run there" if role(cell) == "solution" else "it was put back"
    return [Note("deleted", cell["name"], True, f"The {title(cell)} was missing; {done}.")]


def about(cell: dict[str, Any], handed_in: NotebookNode, how: str, copies: int, stays: bool) -> list[Note]:
    """Copies, other kinds, other places, other names."""
    notes, name, what = [], cell["name"], title(cell)
    if copies > 1:
        which = "the instructor's was used" if locked(cell) else "the last one that was written counts, others are kept"
        notes.append(Note("copied", name, True, f"The {what} is there {copies} times; {which}."))
    if handed_in.cell_type != cell["cell_type"] and (name or cell["cell_type"] == "code"):
        sentence = f"The {what} had been turned into a {handed_in.cell_type} cell; it was turned back."
        notes.append(Note("retyped", name, True, sentence))
    if not stays and name and copies == 1:
        notes.append(Note("moved", name, True, f"The {what} stood in another place; it was put back in its own."))
    if how == "unknown name" and name:
        notes.append(Note("renamed", name, True, f"The {what} bore another name; it was recognized by its id."))
    if how == "taken name":
        sentence = f"The name of the {what} stood on a cell with the id of another; marks and locked text are the instructor's."
        notes.append(Note("metadata", name, False, sentence))
    return notes


def together(cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]], found: Found) -> list[Note]:
    """What befalls many cells at once, in one note."""
    notes = []
    named = [number for number in sorted(found.place) if known[number]["name"]]
    for how, kind, sentence in (("id", "metadata", STRIPPED), ("text", "renamed", NAMELESS)):
        if names := [known[number]["name"] for number in named if found.how[number] == how]:
            notes.append(Note(kind, only(names), True, sentence.format(listed(names))))
    other = [n for n in named if checksum_differs(known[n], cells[found.place[n]].metadata.get("nbgrader", {}))]
    if names := [known[number]["name"] for number in other]:
        release = len(other) > 1 and 2 * len(other) >= len(named)
        why = "it seems to be another release of the assignment" if release else "another release of the assignment, or changed by hand"
        sentence = f"nbgrader's checksum of {listed(names)} is not the one that was given out: {why}. The instructor's marks were used."
        notes.append(Note("metadata", only(names), release, sentence))
    return notes


def only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more cells"


def checksum_differs(cell: dict[str, Any], mark: dict[str, Any]) -> bool:
    """Whether it is neither the student version's nor the gradebook's, which is of the text with its hidden parts."""
    if "marks" not in cell and given(cell) != cell["source"]:
        return False  # the student version's is not known
    known = [marks["checksum"] for marks in (cell.get("marks", {}), cell["nbgrader"]) if "checksum" in marks]
    return bool(known) and "checksum" in mark and mark["checksum"] not in known


def forged(cell: dict[str, Any], mark: dict[str, Any]) -> list[Note]:
    """Marks of nbgrader's that say something else than those that were given out, or stand in the gradebook."""
    if cell["name"] is None or mark.get("grade_id") != cell["name"]:
        return []
    expected, notes, what = (cell.get("marks", cell["nbgrader"]), cell["nbgrader"]), [], title(cell)
    flags = [key for key in ("grade", "solution", "locked", "task")
             if key in mark and all(bool(mark[key]) != bool(marks.get(key)) for marks in expected)]
    if "cell_type" in mark and mark["cell_type"] != cell["cell_type"]:
        flags.append("cell_type")
    if flags:
        sentence = f"The {what} had other marks ({', '.join(flags)}); the instructor's were used."
        notes.append(Note("metadata", cell["name"], False, sentence))
    points = cell["nbgrader"].get("points")
    if "points" in mark and points is not None and mark["points"] != points:
        said = f"{mark['points']:g}" if isinstance(mark["points"], (int, float)) else "other"
        sentence = f"The {what} said that it is worth {said} points; it is worth {points:g}."
        notes.append(Note("metadata", cell["name"], False, sentence))
    if "schema_version" in mark and all(mark["schema_version"] != marks.get("schema_version", 3) for marks in expected):
        sentence = f"The {what} bore marks in another format of nbgrader's; the instructor's were used."
        notes.append(Note("metadata", cell["name"], True, sentence))
    return notes


def strangers(cells: Sequence[NotebookNode], known: Sequence[dict[str, Any]], found: Found) -> list[Note]:
    """Cells of the student's own that claim to be worth points."""
    names = {cell["name"] for cell in known}
    marks = [cells[place].metadata.get("nbgrader", {}) for place in sorted(found.own)]
    claims = [mark for mark in marks if mark.get("grade_id") not in names and (mark.get("grade") or mark.get("points"))]
    sentence = "{} of the student's own cells bore marks of a graded cell that the assignment does not have; they count for nothing."
    return [Note("metadata", None, False, sentence.format(len(claims)))] if claims else []
