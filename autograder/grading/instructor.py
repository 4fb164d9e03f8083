"""The instructor's notebook: nbgrader's cells as the gradebook has them, the other cells from the student version."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.grading.matching import same_text
from autograder.grading.reading import Unreadable, parse, text_of, tidy, valid_id

__all__ = ["Template", "free", "template"]

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
HIDDEN = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")  # nbgrader's BEGIN and END of what students do not get


@dataclass(frozen=True)
class Template:
    """The instructor's notebook, in plain values.

    Arguments:
        cells: in order, each with "id", "name" (grade_id or None), "cell_type", "source" and "nbgrader" (its metadata
            or None); where they are known also "given" (the text that the student got) and "marks" (the metadata that
            the student got).
        kernelspec: what runs it.
    """

    cells: tuple[dict[str, Any], ...]
    kernelspec: dict[str, str] = field(default_factory=lambda: dict(KERNELSPEC))


def template(gradebook_notebook: Any, released: Path | None) -> Template:
    """The instructor's notebook: nbgrader's cells from the gradebook, the others from the student version around them.

    Arguments:
        gradebook_notebook: nbgrader's `Notebook`.
        released: the student version; if it is missing, unreadable or has other cells than the gradebook, the
            gradebook's alone are used.
    """
    named = gradebook_cells(gradebook_notebook)
    woven = released_cells(released)
    if not in_step(woven, named):
        woven = [{"name": name, "id": name} for name in named]
    cells, taken = [], set(named)
    for cell in woven:
        cell |= named.get(cell["name"], {})
        cell["id"] = unique_id(cell, taken - {cell["name"]})
        taken.add(cell["id"])
        if cell["name"]:
            locked = not cell["nbgrader"]["solution"]
            cell["given"] = cell.get("given", cell["opened"]) if locked else cell["opened"]
            # Never the solved text, whatever the gradebook was made from.
            cell["source"] = cell["source"] if locked else cell["opened"]
        cell.pop("opened", None)
        cells.append(cell)
    return Template(tuple(cells), kernelspec_of(gradebook_notebook))


def in_step(cells: list[dict[str, Any]], named: dict[str, dict[str, Any]]) -> bool:
    """Whether the student version has the gradebook's cells, and nobody's work in it: that must never reach others."""
    found = {cell["name"]: cell for cell in cells if cell["name"]}
    if len(found) != len([cell for cell in cells if cell["name"]]) or set(found) != set(named):
        return False
    return all(same_text(cell["given"], named[name]["opened"]) for name, cell in found.items() if named[name]["nbgrader"]["solution"])


def gradebook_cells(notebook: Any) -> dict[str, dict[str, Any]]:
    """{grade_id: kind, source and metadata} of a notebook in the gradebook."""
    points = {cell.name: cell.max_score for cell in [*notebook.grade_cells, *notebook.task_cells]}
    graded = {cell.name for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name for cell in notebook.task_cells}
    known = {}
    for cell in notebook.source_cells:
        mark = {"cell_type": cell.cell_type, "grade": cell.name in graded, "grade_id": cell.name, "locked": bool(cell.locked),
                "schema_version": 3, "solution": cell.name in solutions, "task": cell.name in tasks}
        mark |= {"checksum": cell.checksum} if cell.checksum else {}
        mark |= {"points": points[cell.name]} if cell.name in points else {}
        source = text_of(cell.source)
        known[cell.name] = {"cell_type": cell.cell_type, "source": source, "opened": opened(source), "nbgrader": mark}
    return known


def released_cells(path: Path | None) -> list[dict[str, Any]]:
    """The cells of the student version; none if it cannot be read or was run."""
    try:
        document = parse(path.read_bytes()) if path else None
        cells = tidy(document).cells
    except (OSError, Unreadable):
        return []
    raw = [cell for cell in document.get("cells") or [] if isinstance(cell, dict)]
    if any(cell.get("outputs") or cell.get("execution_count") for cell in raw):
        return []
    found = []
    for cell in cells:
        marks = dict(cell.metadata.get("nbgrader", {}))
        name = marks.get("grade_id") if any(marks.get(key) for key in ("grade", "solution", "locked", "task")) else None
        seen = {"given": opened(cell.source), "marks": marks} if name else {}
        found.append({"id": cell.get("id"), "name": name, "cell_type": cell.cell_type, "source": cell.source, "nbgrader": None, **seen})
    return found


def opened(source: str) -> str:
    """The text without what stands between nbgrader's BEGIN and END marks."""
    lines, hidden = [], False
    for line in source.split("\n"):
        if any(f"BEGIN {what}" in line for what in HIDDEN):
            hidden = True
        elif any(f"END {what}" in line for what in HIDDEN):
            hidden = False
        elif not hidden:
            lines.append(line)
    return "\n".join(lines)


def kernelspec_of(notebook: Any) -> dict[str, str]:
    try:
        spec = json.loads(notebook.kernelspec)
        return {key: str(spec[key]) for key in ("display_name", "name", "language") if key != "language" or key in spec}
    except (AttributeError, KeyError, TypeError, ValueError):
        return dict(KERNELSPEC)


def unique_id(cell: dict[str, Any], taken: set[str]) -> str:
    digest = hashlib.sha256(f"{cell['cell_type']}\n{cell['name']}\n{cell['source']}".encode()).hexdigest()[:8]
    wanted = next((w for w in (cell["id"], cell["name"]) if valid_id(w)), digest)
    return free(wanted, taken)


def free(wanted: str, taken: set[str]) -> str:
    """`wanted`, with a number if that is taken."""
    number = 1
    name = wanted
    while name in taken:
        number += 1
        name = f"{wanted[:56]}-{number}"
    return name
