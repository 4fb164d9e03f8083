"""The engine at nbgrader's own extension points, so that `nbgrader autograde` and the formgrader's button grade with it.

nbgrader_config.py names these classes; nbgrader itself is as it comes.

    SubmissionExporter  opens a submission however broken its file is
    TakeIn              puts what was handed in into the instructor's notebook      (autograder.grading.intake)
    ExecuteSubmission   runs it in a kernel in the sandbox and judges it outside    (autograder.grading.engine)
    SaveGrades          nbgrader's own, without points for a test that nothing judged
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat.v4 import new_notebook
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Enum, Float

from autograder import own

__all__ = ["ExecuteSubmission", "SaveGrades", "SubmissionExporter", "TakeIn"]

PAGES = (".html", ".htm")


class SubmissionExporter(NotebookExporter):
    """Opens any file at all; what is no notebook becomes an empty one, and TakeIn says why."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """As nbconvert's."""
        try:
            notebook = nbformat.read(filename, as_version=4)
        except Exception:  # whatever is wrong with the file, it is this submission's trouble only
            notebook = new_notebook()
        resources = self._init_resources(resources)
        resources["metadata"].update(name=Path(filename).stem, path=str(Path(filename).parent))
        return self.from_notebook_node(notebook, resources=resources, **kw)


class TakeIn(NbGraderPreprocessor):
    """Makes the notebook to run: the instructor's, with this submission's answers in it."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Ignores `nb`: reads the file itself, strictly."""
        from autograder.grading import engine, intake, records
        from autograder.grading.handed_in import read_submission

        keys, course = resources["nbgrader"], CourseDirectory(parent=self)
        name, student, assignment = keys["notebook"], keys["student"], keys["assignment"]
        folder = Path(resources["metadata"]["path"])
        handed_in = read_submission(folder, [name], course.ignore)
        released = Path(course.format_path(course.release_directory, ".", assignment), f"{name}.ipynb")
        with Gradebook(keys["db_url"]) as gradebook:
            template = intake.template(gradebook.find_notebook(name, assignment), released)
        seed = records.seed_for(Path(course.root), assignment, student, handed_in.digest)
        task = engine.Task(student, assignment, name, handed_in.notebooks[name], template, seed, notes=handed_in.notes[name])
        notebook, notes, problems = engine.read(task)
        notes = [*handed_in.notes[name], *notes]
        for problem in dict.fromkeys([*problems, *(note.sentence for note in notes)]):
            self.log.warning("%s: %s", student, problem)
        engine.sign(notebook, seed, "", 0.0, notes, problems)
        drop_copies(folder, Path(course.format_path(course.autograded_directory, student, assignment)))
        return notebook, resources


def drop_copies(source: Path, target: Path) -> None:
    """Take away copies that nbgrader made: of what symbolic links point to, and of pages that it would release as feedback."""
    for folder, folders, files in os.walk(source):
        for name in [*folders, *files]:
            link = Path(folder, name)
            copied = target / link.relative_to(source)
            if (link.is_symlink() or link.suffix.lower() in PAGES) and copied.is_file():
                copied.unlink()


class ExecuteSubmission(NbGraderPreprocessor):
    """Runs the notebook in a sandboxed kernel, and judges its tests in this process."""

    sandbox = Enum(["bubblewrap", "none"], "bubblewrap", help="What student code runs in; none: with your own rights.").tag(config=True)
    timeout = Float(120, help="Seconds for one cell.").tag(config=True)
    notebook_timeout = Float(900, help="Seconds for a whole notebook.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Runs and judges `nb` in place.

        Raises:
            SandboxError: there is no sandbox on this machine, and none was not asked for.
            Broken: the course's own checks of this notebook cannot be used.
        """
        from autograder.grading.provisioner import KernelSession
        from autograder.grading.run import derive, run_notebook
        from autograder.grading.sandbox import Limits

        said = dict(nb.metadata.get("elbolab", {}))
        started, seed, problems = time.monotonic(), said.get("seed", 0), said.get("problems", [])
        if not problems:
            limits = Limits(cell_seconds=self.timeout, notebook_seconds=self.notebook_timeout)
            start = derive(seed, "generators")
            with own.course_at(CourseDirectory(parent=self).root):
                refuse(nb)
                files = files_in(resources["metadata"].get("path"), own.hidden(resources.get("nbgrader", {}).get("assignment", "")))
                problems = run_notebook(nb, seed, limits, lambda: KernelSession(start, limits, self.sandbox, files))
        for problem in problems:
            self.log.warning("%s", problem)
        nb.metadata["elbolab"] = {"notes": [], "seed": seed, **said, "sandbox": self.sandbox, "problems": problems,
                                  "seconds": round(time.monotonic() - started, 3)}
        return nb, resources


def refuse(notebook: Any) -> None:
    """Raises Broken if one of its checks cannot be used."""
    from autograder.catalogue import refusal
    from autograder.grading.run import checks_in, test_cells

    for cell in test_cells(notebook):
        for part in checks_in(cell.source):
            if part[0] == "check" and (problem := refusal(part[1])):
                raise own.Broken(problem)


def files_in(folder: str | None, hidden: Sequence[str] = ()) -> dict[str, bytes]:
    """The files beside an autograded notebook, handed in or the instructor's, but those that are `hidden` from student code."""
    from autograder.grading.handed_in import read_submission

    files = read_submission(Path(folder), []).files if folder and os.path.isdir(folder) else {}
    return {name: data for name, data in files.items() if name not in hidden}


class SaveGrades(SaveAutoGrades):
    """nbgrader's own; where no check decided, a person does."""

    def _add_score(self, cell: Any, resources: Any) -> None:
        from autograder.grading.gradebook import judged

        super()._add_score(cell, resources)
        if not judged(cell):
            name = cell.metadata.nbgrader.grade_id
            grade = self.gradebook.find_grade(name, self.notebook_id, self.assignment_id, self.student_id)
            grade.auto_score, grade.needs_manual_grade = None, True
            self.gradebook.db.commit()
