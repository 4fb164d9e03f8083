"""From a submission and a seed to an executed notebook with verdicts: one pure function, `execute`."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import nbformat

from autograder.grading import intake
from autograder.grading.outputs import clean_markdown
from autograder.grading.run import derive, no_verdict, run_notebook, test_cells
from autograder.grading.sandbox import Limits, SandboxError
from autograder.grading.session import CellSession, close

__all__ = ["Limits", "Result", "SandboxError", "Task", "close", "execute", "read", "sign"]


@dataclass(frozen=True)
class Task:
    """One notebook of one submission, with all that grading it needs.

    Arguments:
        student, assignment, notebook: names.
        data: the file as it was handed in; None if there is none.
        template: the instructor's notebook.
        seed: where the inputs of its checks come from; nothing in the sandbox reveals it.
        files: other files handed in beside it, by relative name.
        limits: what it may use.
        sandbox: "bubblewrap", or "none" where the teacher accepts the risk.
        notes: what was found about it before it was read.
    """

    student: str
    assignment: str
    notebook: str
    data: bytes | None
    template: intake.Template
    seed: int
    files: dict[str, bytes] = field(default_factory=dict)
    limits: Limits = Limits()
    sandbox: str = "bubblewrap"
    notes: tuple[intake.Note, ...] = ()


@dataclass(frozen=True)
class Result:
    """The executed notebook of a task, as JSON, and the seconds that it took."""

    student: str
    assignment: str
    notebook: str
    document: str
    seconds: float


def execute(task: Task) -> Result:
    """Run and judge a submission.

    Raises nothing for what the submission is or does.

    Raises:
        SandboxError: this machine cannot run it.
    """
    started = time.monotonic()
    notebook, notes, problems = read(task)
    if not problems:
        start = derive(task.seed, "generators")
        problems = run_notebook(
            notebook, task.seed, task.limits, lambda: CellSession(start, task.limits, task.sandbox, task.files))
    seconds = time.monotonic() - started
    sign(notebook, task.seed, task.sandbox, seconds, [*task.notes, *notes], problems)
    return Result(task.student, task.assignment, task.notebook, nbformat.writes(notebook, version=4), seconds)


def read(task: Task) -> tuple[Any, list[intake.Note], list[str]]:
    """(notebook to run, notes, why there is nothing to run)."""
    name = f"{task.notebook}.ipynb"
    said = [note.sentence for note in task.notes if note.kind == "unreadable"]  # by whoever looked for the file
    try:
        if task.data is None:
            raise intake.Unreadable("it could not be opened" if said else "it was not handed in")
        return *intake.assemble(intake.read(task.data), task.template), []
    except intake.Unreadable as error:
        reason = str(error)
    except Exception as error:  # a file that nobody foresaw is its own submission's trouble
        reason = f"it is not built like one ({type(error).__name__})"
    notebook, notes = intake.unreadable(task.template, name, reason)
    for cell in test_cells(notebook):
        no_verdict(cell, "There is nothing to judge: the notebook cannot be read.")
    return notebook, [] if said else notes, said or [f"The file {name} cannot be graded: {reason}."]


def sign(notebook: Any, seed: int, sandbox: str, seconds: float, notes: list[intake.Note], problems: list[str]) -> None:
    """Write into the notebook what the report needs, and make its text safe to open."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.metadata.get("nbgrader", {}).get("locked"):
            cell.source = clean_markdown(cell.source)
            for picture in set(re.findall(r"attachment:([^)\s]*)", cell.source)) - set(cell.get("attachments", {})):
                cell.source = cell.source.replace(f"attachment:{picture}", f"lost:{picture}")
    notebook.metadata["elbolab"] = {
        "seed": seed, "sandbox": sandbox, "seconds": round(seconds, 3), "notes": [asdict(note) for note in notes], "problems": problems,
    }
