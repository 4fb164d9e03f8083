"""What the gradebook and the graded notebooks say, as plain data. Reads only.

Everything that stands in a graded notebook may come from a student: it is passed on as it is, and
made safe where it is shown (`safe`). Verdicts are taken from test cells only, whose outputs the
grader writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.written import VERDICT_MIME

__all__ = ["GatherError", "Mark", "Marks", "marks_in_cells", "number", "read_marks", "read_notebook", "records"]


class GatherError(Exception):
    """There is nothing to report on; the text says what to do."""


@dataclass(frozen=True)
class Mark:
    """What one cell earned.

    Arguments:
        points: None as long as nobody has marked it.
        max_points: what it can earn.
        by_hand: whether a person marks it.
        changed: whether a person has set the points in place of the check's.
    """

    points: float | None
    max_points: float
    by_hand: bool = False
    changed: bool = False


@dataclass(frozen=True)
class Marks:
    """What the gradebook holds on one student's notebook: marks and comments by cell."""

    student: str
    assignment: str
    notebook: str
    name: str = ""
    cells: Mapping[str, Mark] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    late_penalty: float = 0.0
    handed_in: datetime | None = None

    @property
    def called(self) -> str:
        return self.name or self.student

    def points(self, by_hand: bool) -> tuple[float, float]:
        """(earned, possible) of what a person marks, or of what the checks mark."""
        cells = [m for m in self.cells.values() if m.by_hand == by_hand]
        return sum(m.points or 0.0 for m in cells), sum(m.max_points for m in cells)

    @property
    def unmarked(self) -> tuple[int, float]:
        """How many cells wait for a person, and their points."""
        cells = [m for m in self.cells.values() if m.points is None]
        return len(cells), sum(m.max_points for m in cells)

    @property
    def total(self) -> float:
        return max(0.0, sum(m.points or 0.0 for m in self.cells.values()) - self.late_penalty)

    @property
    def max_points(self) -> float:
        return sum(m.max_points for m in self.cells.values())


# --- the gradebook -------------------------------------------------------------------------------


def read_marks(db_url: Any, assignment: str | None = None, student: str | None = None, notebook: str | None = None) -> list[Marks]:
    """The marks of every submitted notebook, or of those asked for; three queries, however large the class.

    `db_url` is the gradebook's address, as text or as sqlalchemy's URL.

    Raises:
        GatherError: there is no gradebook, or it cannot be read.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    url = make_url(db_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).is_file()):
        raise GatherError(f"There is no gradebook at {shown}. Grade first: `elbolab grade` or `nbgrader autograde`.")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            wanted = {"assignment": assignment, "student": student, "notebook": notebook}
            return list(marks_of(connection, {k: v for k, v in wanted.items() if v is not None}))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise GatherError(f"The gradebook at {shown} cannot be read: {reason}") from error
    finally:
        engine.dispose()


def marks_of(connection: Any, wanted: Mapping[str, str]) -> Iterator[Marks]:
    cells: dict[str, dict[str, Mark]] = {}
    for where, name, auto, manual, extra, most, answer, task in connection.execute(grades_query(wanted)):
        points = auto if manual is None else manual
        by_hand = bool(answer or task or points is None)
        total = None if points is None else points + (extra or 0.0)
        cells.setdefault(where, {})[name] = Mark(total, most, by_hand, changed=not by_hand and manual is not None)
    comments: dict[str, dict[str, str]] = {}
    for where, name, words in connection.execute(comments_query(wanted)):
        if words:
            comments.setdefault(where, {})[name] = words
    for where, student, assignment, notebook, first, last, late, when in connection.execute(papers_query(wanted)):
        name = " ".join(part for part in (first, last) if part)
        yield Marks(student, assignment, notebook, name, cells.get(where, {}), comments.get(where, {}), late or 0.0, when)


def papers_query(wanted: Mapping[str, str]) -> Any:
    """Each submitted notebook."""
    from nbgrader.api import Assignment, Notebook, Student, SubmittedAssignment, SubmittedNotebook
    from sqlalchemy import select

    columns = (
        SubmittedNotebook.id, Student.id, Assignment.name, Notebook.name, Student.first_name, Student.last_name,
        SubmittedNotebook.late_submission_penalty, SubmittedAssignment.timestamp,
    )  # fmt: skip
    return of_submissions(select(*columns).select_from(SubmittedNotebook), wanted)


def grades_query(wanted: Mapping[str, str]) -> Any:
    """Each grade, with the cell's points and whether the cell is an answer or a task, which people mark."""
    from nbgrader.api import BaseCell, Grade, GradeCell, SolutionCell, SubmittedNotebook, TaskCell
    from sqlalchemy import func, select

    cell, graded, task, solved = (c.__table__ for c in (BaseCell, GradeCell, TaskCell, SolutionCell))
    answers = select(cell.c.notebook_id, cell.c.name).join(solved, solved.c.id == cell.c.id).subquery()
    most = func.coalesce(graded.c.max_score, task.c.max_score, 0.0)
    columns = (Grade.notebook_id, cell.c.name, Grade.auto_score, Grade.manual_score, Grade.extra_credit, most, answers.c.name, task.c.id)
    query = select(*columns).select_from(Grade).join(cell, Grade.cell_id == cell.c.id)
    query = query.outerjoin(graded, graded.c.id == cell.c.id).outerjoin(task, task.c.id == cell.c.id)
    query = query.outerjoin(answers, (answers.c.notebook_id == cell.c.notebook_id) & (answers.c.name == cell.c.name))
    return of_submissions(query.join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id), wanted)


def comments_query(wanted: Mapping[str, str]) -> Any:
    """Each comment; a person's own goes before nbgrader's."""
    from nbgrader.api import BaseCell, Comment, SubmittedNotebook
    from sqlalchemy import func, select

    cell = BaseCell.__table__
    words = func.coalesce(Comment.manual_comment, Comment.auto_comment)
    query = select(Comment.notebook_id, cell.c.name, words).select_from(Comment).join(cell, Comment.cell_id == cell.c.id)
    return of_submissions(query.join(SubmittedNotebook, Comment.notebook_id == SubmittedNotebook.id), wanted)


def of_submissions(query: Any, wanted: Mapping[str, str]) -> Any:
    """`query` over submitted notebooks, limited to the assignment, the student and the notebook that are wanted."""
    from nbgrader.api import Assignment, Notebook, Student, SubmittedAssignment, SubmittedNotebook

    query = query.join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
    query = query.join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
    query = query.join(Student, SubmittedAssignment.student_id == Student.id)
    query = query.join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
    columns = {"assignment": Assignment.name, "student": Student.id, "notebook": Notebook.name}
    return query.where(*(columns[key] == value for key, value in wanted.items()))


def marks_in_cells(nb: Mapping[str, Any], student: str = "", assignment: str = "", notebook: str = "") -> Marks:
    """The marks that nbgrader's GetGrades has put into the cells of a notebook; for use without a gradebook."""
    cells, comments = {}, {}
    for cell in nb.get("cells", []):
        about = grading(cell)
        name = about.get("grade_id")
        if name and (about.get("grade") or about.get("task")):
            by_hand = bool(about.get("solution") or about.get("task"))
            cells[name] = Mark(number(about.get("score")), number(about.get("points")) or 0.0, by_hand)
        if name and about.get("comment"):
            comments[name] = str(about["comment"])
    return Marks(student, assignment, notebook, cells=cells, comments=comments)


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


# --- the graded notebook -------------------------------------------------------------------------


def read_notebook(path: Path) -> dict[str, Any] | None:
    """A graded notebook as plain values, or None if there is none that can be read."""
    try:
        nb = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(nb, dict) or not isinstance(nb.get("cells"), list):
        return None
    kinds = {"metadata": dict, "outputs": list}  # whatever else stands there, nobody relies on it
    cells = [{k: v for k, v in c.items() if isinstance(v, kinds.get(k, object))} for c in nb["cells"] if isinstance(c, dict)]
    return nb | {"cells": cells, "metadata": nb["metadata"] if isinstance(nb.get("metadata"), dict) else {}}


def grading(cell: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell, empty where there is none."""
    about = cell.get("metadata", {}).get("nbgrader") if isinstance(cell, dict) else None
    return about if isinstance(about, dict) else {}


def is_test(cell: Any) -> bool:
    about = grading(cell)
    return bool(about.get("grade")) and not about.get("solution") and not about.get("task") and cell.get("cell_type") == "code"


def records(cell: Any) -> list[dict[str, Any]]:
    """What the checks in a test cell said; nothing for any other cell, whatever its outputs hold."""
    outputs = cell.get("outputs", []) if is_test(cell) else []
    found = [o.get("data", {}).get(VERDICT_MIME) for o in outputs if isinstance(o, dict) and isinstance(o.get("data"), dict)]
    return [complete(r) for r in found if isinstance(r, dict) and r.get("check")]


def complete(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with every key and every value of its kind, so that a page can rely on it."""
    words = ("check", "title", "message", "misconception", "misconception_title", "advice", "read_on")
    told = record.get("findings")
    return {
        **{key: str(record.get(key) or "") for key in words},
        **{key: number(record.get(key)) or 0.0 for key in ("points", "max_points")},
        "passed": record.get("passed") is True,
        "more_mistakes": complete_mistakes(record.get("more_mistakes")),
        "picture": complete_picture(record.get("picture")),
        "findings": [complete_finding(f) for f in told if isinstance(f, dict)] if isinstance(told, list) else [],
    }


def complete_mistakes(told: Any) -> list[dict[str, str]]:
    """Mistakes besides the first one."""
    told = [m for m in told if isinstance(m, dict) and m.get("name")] if isinstance(told, list) else []
    return [{key: str(m.get(key) or "") for key in ("name", "title", "advice")} for m in told[:5]]


def complete_picture(told: Any) -> dict[str, Any] | None:
    """What a picture is drawn from; whether that is anything to be drawn shows in drawing."""
    return {"steps": told.get("steps"), "alt": str(told.get("alt") or "")[:1000]} if isinstance(told, dict) else None


def complete_finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    words = ("behavior", "message", "expected", "got", "misconception")
    return {
        **{key: str(finding.get(key) or "") for key in words},
        **{key: number(finding.get(key)) or 0.0 for key in ("points", "max_points")},
        "passed": finding.get("passed") is True,
    }
