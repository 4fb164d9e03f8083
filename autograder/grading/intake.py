"""A submission, read strictly and kindly: the student's answers in the instructor's own notebook.

The instructor's order and the instructor's tests and questions count; so does all that the student wrote, whatever
became of the cell it stood in.
"""

from __future__ import annotations

import re
from typing import Any

from nbformat import NotebookNode

from autograder.grading.edits import edit_of
from autograder.grading.instructor import Template, free, template
from autograder.grading.matching import Found, given, locked, match, role, same_text, unmoved
from autograder.grading.notes import Note, notes_of
from autograder.grading.reading import MAX_BYTES, MAX_CELLS, READ, Unreadable, read, tidy

__all__ = ["MAX_BYTES", "Note", "Template", "Unreadable", "assemble", "read", "template", "unreadable"]

MADE = ("early-", "edited-")  # ids of cells that are made here


def assemble(submission: NotebookNode, template: Template) -> tuple[NotebookNode, list[Note]]:
    """The instructor's notebook with the student's answers and cells in it, and what was found on the way.

    Locked cells have the instructor's text, all known cells the instructor's kind, marks and order. A cell of the
    student's own stays behind the known cell that it followed. A missing solution cell is there, but empty: its
    function with nothing in it would take the place of one that was written elsewhere.
    """
    submission = submission if READ in submission.get("metadata", {}) else tidy(submission)
    found = match(submission.cells, template.cells)
    texts = {number: text_as(template.cells[number], submission.cells[place]) for number, place in found.place.items()}
    notes = [Note(kind, None, True, sentence) for kind, sentence in submission.metadata[READ]]
    notes += notes_of(submission.cells, template.cells, found, texts)
    return Assembly(submission.cells, template, found, texts, notes).notebook(), notes


def text_as(known: dict[str, Any], cell: NotebookNode) -> str:
    """A known cell's text; code without the # that Jupyter writes before it when a slip of the keyboard makes it a heading."""
    first, slip = given(known).strip().split("\n")[0], re.match(r"#{1,6} ", cell.source)
    if cell.cell_type != known["cell_type"] == "code" and first and slip and cell.source[slip.end() :].split("\n")[0] == first:
        return cell.source[slip.end() :]
    return cell.source


class Assembly:
    """The way from matched cells to a notebook; says in `notes` what it does with text that stood beside its place."""

    def __init__(self, cells: list[NotebookNode], template: Template, found: Found, texts: dict[int, str], notes: list[Note]):
        self.cells, self.template, self.found, self.texts, self.notes = cells, template, found, texts, notes
        self.taken = {cell["id"] for cell in template.cells}
        self.images: dict[int, Any] = {n: dict(cells[p].get("attachments", {})) for n, p in found.place.items()}

    def notebook(self) -> NotebookNode:
        own = self.own_cells()
        self.answers_beside(own)
        cells = own.get(-1, [])
        for number, known in enumerate(self.template.cells):
            aside = self.written_into(number, known)
            before, after = ([], aside) if known["cell_type"] == "markdown" else (aside, [])
            cells += [*before, self.known_cell(number, known), *after, *own.get(number, [])]
        metadata = NotebookNode(kernelspec=NotebookNode(self.template.kernelspec))
        return NotebookNode(nbformat=4, nbformat_minor=5, metadata=metadata, cells=cells)

    def answers_beside(self, own: dict[int, list[NotebookNode]]) -> None:
        """Text right beside an answer that was left empty is the answer: in cells of the student's own, or in its question."""
        for number, known in enumerate(self.template.cells):
            if role(known) != "answer" or self.written(number) or not self.found.place:
                continue
            before = number - 1
            while before >= 0 and before not in self.found.place:
                before -= 1
            beside = [cell for n in (before, number) for cell in own.get(n, []) if cell.cell_type == known["cell_type"]]
            beside = [cell for cell in beside if cell.source.strip() and not cell.id.startswith(MADE)]
            if beside:
                self.texts[number] = "\n\n".join(cell.source.strip("\n") for cell in beside)
                self.images[number] = {name: image for cell in beside for name, image in cell.get("attachments", {}).items()}
                for n in (before, number):
                    own[n] = [cell for cell in own.get(n, []) if not any(cell is taken for taken in beside)]
            elif not self.take_from_question(number, before):
                continue
            sentence = f"The answer `{known['name']}` was left empty; what stood right beside it was put into it."
            self.notes.append(Note("moved", known["name"], True, sentence))

    def take_from_question(self, number: int, before: int) -> bool:
        """Whether the answer was written into the question above, and is now where it belongs."""
        question = self.template.cells[before]
        edit = edit_of(question, self.texts[before]) if before == number - 1 and role(question) == "question" else None
        if not edit or not edit.work or question["cell_type"] != self.template.cells[number]["cell_type"]:
            return False
        text, asked = self.texts[before], given(question).strip()
        self.texts[number] = text.strip().removeprefix(asked).strip("\n")
        self.images[number] = self.images.pop(before, {})
        self.texts[before] = question["source"]
        return True

    def written(self, number: int) -> bool:
        """Whether a known cell is there with something in it that was not given out."""
        text = self.texts.get(number, "")
        return bool(text.strip()) and not same_text(text, given(self.template.cells[number]))

    def own_cells(self) -> dict[int, list[NotebookNode]]:
        """{number: the student's own cells that go behind that known cell}; -1: before all.

        They go behind the last known cell before them that was not moved. Code that was moved up runs where it was put,
        too: what stands between may need it.
        """
        numbers = {place: number for number, place in self.found.place.items()}
        stay = unmoved([numbers[place] for place in sorted(numbers)])
        room = MAX_CELLS - len(self.template.cells)
        last, behind = -1, {}
        for place, cell in enumerate(self.cells):
            number = numbers.get(place)
            if number in stay:
                last = number
                continue
            new = None
            if number is not None and self.moved_up(number, place, stay):
                new = self.cell("code", self.texts[number], f"early-{self.template.cells[number]['id']}")
            elif place in self.found.own and room > 0:
                new = self.cell(cell.cell_type, cell.source, cell.get("id"), cell.get("attachments"))
            room -= place in self.found.own
            behind.setdefault(last, []).extend([new] if new else [])
        if room < 0:
            self.notes.append(Note("extra", None, True, f"{-room:,} of the student's own cells were left out: there are too many."))
        return behind

    def moved_up(self, number: int, place: int, stay: set[int]) -> bool:
        """Whether this is written code, found before code that it follows in the instructor's order."""
        known = self.template.cells
        if known[number]["cell_type"] != "code" or locked(known[number]) or not self.written(number):
            return False
        return any(n < number and self.found.place[n] > place and known[n]["cell_type"] == "code" for n in stay)

    def written_into(self, number: int, known: dict[str, Any]) -> list[NotebookNode]:
        """What was written into a locked cell, as a cell of its own: it may be the student's work."""
        edit = edit_of(known, self.texts[number]) if number in self.texts and number in self.found.place else None
        return [self.cell(known["cell_type"], self.texts[number], f"edited-{known['id']}")] if edit and edit.work else []

    def known_cell(self, number: int, known: dict[str, Any]) -> NotebookNode:
        present = number in self.texts
        source = self.texts[number] if present and not locked(known) else known["source"]
        if not present and role(known) == "solution":
            source = f"# The cell {known['name']} is not in this submission."
        mark = {"nbgrader": NotebookNode(known["nbgrader"])} if known["nbgrader"] else {}
        return build(known["cell_type"], source, known["id"], mark, self.images.get(number))

    def cell(self, kind: str, source: str, wanted: str | None, attachments: Any = None) -> NotebookNode:
        name = free((wanted or f"own-{len(self.taken)}")[:64], self.taken)
        self.taken.add(name)
        return build(kind, source, name, {}, attachments)


def build(kind: str, source: str, name: str, metadata: dict[str, Any], attachments: Any = None) -> NotebookNode:
    cell = NotebookNode(cell_type=kind, id=name, metadata=NotebookNode(metadata), source=source)
    if kind == "code":
        cell.update(outputs=[], execution_count=None)
    elif attachments:
        cell["attachments"] = attachments
    return cell


def unreadable(template: Template, file_name: str, reason: str) -> tuple[NotebookNode, list[Note]]:
    """The instructor's notebook unanswered, below a cell that says why and what to do.

    Arguments:
        template: the instructor's notebook.
        file_name: as it was handed in.
        reason: goes on after "The file NAME cannot be ...: ", without a full stop.
    """
    empty = NotebookNode(metadata=NotebookNode({READ: []}), cells=[])
    notebook, _ = assemble(empty, template)
    what = "read as a notebook" if reason.startswith("it ") and reason != "it was not handed in" else "graded"
    shown = re.sub(r"[^\w .,()+-]", "?", file_name)[:120]
    sentence = (f"The file {shown} cannot be {what}: {reason}. It is graded as unanswered and what was handed in stays as it is. "
                "Ask for it again, then grade it again.")
    name = free("unreadable", {cell.id for cell in notebook.cells})
    notebook.cells.insert(0, build("markdown", f"**{sentence}**", name, {}))
    return notebook, [Note("unreadable", None, True, sentence)]
