"""Reading a submission: any file becomes a notebook whose nbgrader cells are what the gradebook says they are.

    SubmissionExporter  reads a submission however broken its file is
    RestoreCells        gives every cell its own metadata back, puts missing cells back, drops copies
"""

import re
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat.reader import NotJSONError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

__all__ = ["RestoreCells", "SubmissionExporter", "clean_notebook"]

UNREADABLE = "unreadable"  # the id of the one cell that stands for a file that is no notebook
MAKE_CELL = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


class SubmissionExporter(NotebookExporter):
    """Reads a submission into a clean notebook; a file that is none becomes a notebook that says so, and is graded."""

    def from_filename(self, filename, resources=None, **kw):
        """As nbconvert's, for any file at all."""
        try:
            text = Path(filename).read_text(encoding="utf-8")
            notebook = clean_notebook(text)
        except Exception as error:  # whatever is wrong with the file, it is this submission's trouble only
            notebook = self._unreadable(Path(filename), error)
        resources = self._init_resources(resources)
        resources["metadata"].update(name=Path(filename).stem, path=str(Path(filename).parent))
        return self.from_notebook_node(notebook, resources=resources, **kw)

    def _unreadable(self, path, error):
        detail = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        reason = ("it is empty" if not isinstance(error, OSError) and not path.stat().st_size else
                  "it is not JSON" if isinstance(error, (NotJSONError, UnicodeError)) else
                  f"it cannot be opened, {detail}" if isinstance(error, OSError) else
                  f"it is not built like one, {detail}")
        sentence = (f"The file {path.name} cannot be read as a notebook: {reason}. It is graded as unanswered and "
                    "stays on disk as it was handed in. Ask for it again, then run autograde with --force.")
        self.log.error("%s: %s", path, sentence)
        return new_notebook(cells=[new_markdown_cell(f"**{sentence}**", id=UNREADABLE)])


def clean_notebook(text):
    """A notebook that holds what counts of `text`: cells with kind, id, source, outputs and nbgrader's metadata.

    Raises whatever nbformat raises, and ValueError for JSON that has no cells.
    """
    raw = nbformat.reads(text, as_version=4)
    if not isinstance(raw.get("cells"), list):
        raise ValueError("it has no list of cells")
    cells = [cell for cell in raw.cells if isinstance(cell, dict)]
    taken = set()
    for number, cell in enumerate(cells):
        name = cell.get("id")
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,64}", name) or name in taken:
            cell["id"] = f"unnamed-{number}"
        taken.add(cell["id"])
    return new_notebook(cells=[_clean_cell(cell) for cell in cells])


def _clean_cell(cell):
    kind = cell.get("cell_type") if cell.get("cell_type") in MAKE_CELL else "raw"
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    new = MAKE_CELL[kind](source, id=cell["id"], metadata={k: metadata[k] for k in ("nbgrader",) if k in metadata})
    if kind == "code" and isinstance(cell.get("outputs"), list):
        new.outputs = [output for output in cell.outputs if isinstance(output, dict) and "output_type" in output]
    if kind == "markdown" and isinstance(cell.get("attachments"), dict):
        new.attachments = cell.attachments
    return new


class RestoreCells(NbGraderPreprocessor):
    """Makes a submission's nbgrader cells what the gradebook says they are: each there once, with its own metadata.

    nbgrader's own steps refuse the whole class when a cell was copied (its emptied metadata looks like an old format),
    and one student when a test and the cell before it were both deleted.
    """

    def preprocess(self, nb, resources):
        """Restores the cells in place."""
        keys = resources["nbgrader"]
        self.student, self.quiet = keys["student"], any(cell.id == UNREADABLE for cell in nb.cells)
        with Gradebook(keys["db_url"]) as gradebook:
            self.known = _known_cells(gradebook.find_notebook(keys["notebook"], keys["assignment"]))
        self._keep_one_of_each(nb.cells)
        nb.cells = [self._as_known(cell) for cell in nb.cells]
        self._take_out_misplaced(nb.cells)
        self._put_back_missing(nb.cells)
        return nb, resources

    def _warn(self, sentence, name):
        if not self.quiet:
            self.log.warning("%s: cell %s %s", self.student, name, sentence)

    def _name(self, cell):
        # Some editors drop nbgrader's metadata but keep the cell's id, which in our releases is the grade_id.
        mark = cell.metadata.get("nbgrader", {"grade_id": cell.id})
        name = mark.get("grade_id") if isinstance(mark, dict) else None
        return name if isinstance(name, str) and name in self.known else None

    def _keep_one_of_each(self, cells):
        """Of copies the last keeps the name, but an answer that was left as it came yields to one that was written."""
        for name, known in self.known.items():
            copies = [cell for cell in cells if self._name(cell) == name]
            written = [cell for cell in copies if cell.source.strip() != known["source"].strip()]
            keeper = (written if written and not known["locked"] else copies)[-1:]
            for cell in copies:
                if cell is not keeper[0]:
                    self._warn("is there more than once; one of them is graded.", name)
                    cell.metadata["nbgrader"] = {}

    def _as_known(self, cell):
        """The cell with the kind, metadata and locked text of its name in the gradebook, or a plain cell."""
        name = self._name(cell)
        if name is None:
            cell.metadata.pop("nbgrader", None)
            cell.id = f"copy-{cell.id}"[:64] if cell.id in self.known else cell.id
            return cell
        known = self.known[name]
        if cell.cell_type != known["cell_type"]:
            self._warn(f"was turned into a {cell.cell_type} cell; it is turned back.", name)
            cell = MAKE_CELL[known["cell_type"]](cell.source, id=cell.id)
        if known["locked"]:
            if known["metadata"]["grade"] and cell.source != known["source"]:
                self._warn("is locked and was changed; its text is put back.", name)
            cell.source = known["source"]  # in a question this also brings the mark scheme back, for the grader
        cell.metadata = nbformat.from_dict({"nbgrader": known["metadata"]})
        return cell

    def _take_out_misplaced(self, cells):
        """A test that was moved above the work it tests is taken out here and put back where it belongs."""
        position = {self._name(cell): number for number, cell in enumerate(cells)}
        work, misplaced = -1, []
        for name, known in self.known.items():
            if known["metadata"]["solution"]:
                work = position.get(name, work)
            elif known["metadata"]["grade"] and position.get(name, work) < work:
                misplaced.append(name)
        for cell in [cell for cell in cells if self._name(cell) in misplaced]:
            cells.remove(cell)

    def _put_back_missing(self, cells):
        """Missing tests, questions and answers go right before the next known cell: after whatever was written there.

        A missing solution cell stays away: its stub would run over work that was moved into a cell of its own.
        """
        names = list(self.known)
        for name, known in self.known.items():
            if any(self._name(cell) == name for cell in cells) or (
                    known["metadata"]["solution"] and not known["metadata"]["grade"]):
                continue
            later = set(names[names.index(name) + 1:])
            place = next((i for i, cell in enumerate(cells) if self._name(cell) in later), len(cells))
            self._warn("was missing or out of place; it is put back.", name)
            restored = MAKE_CELL[known["cell_type"]](known["source"], id=f"restored-{name}"[:64])
            restored.metadata = nbformat.from_dict({"nbgrader": known["metadata"]})
            note = f"*The cell `{name}` was missing from this submission, or stood above its work. It was put back.*"
            cells[place:place] = [new_markdown_cell(note, id=f"note-{name}"[:64]), restored]


def _known_cells(notebook):
    """{grade_id: {cell_type, source, locked, metadata}} of a notebook in the gradebook, in its order."""
    points = {cell.name: cell.max_score for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name: cell.max_score for cell in notebook.task_cells}
    known = {}
    for cell in notebook.source_cells:
        metadata = {"grade": cell.name in points, "grade_id": cell.name, "locked": cell.locked, "schema_version": 3,
                    "solution": cell.name in solutions, "task": cell.name in tasks, "cell_type": cell.cell_type}
        if cell.checksum:
            metadata["checksum"] = cell.checksum
        if cell.name in points or cell.name in tasks:
            metadata["points"] = points.get(cell.name, tasks.get(cell.name))
        known[cell.name] = {"cell_type": cell.cell_type, "source": cell.source, "locked": cell.locked,
                            "metadata": metadata}
    return known
