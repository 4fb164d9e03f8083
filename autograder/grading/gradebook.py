"""nbgrader's gradebook, with one transaction for a submission."""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from nbgrader.api import BaseCell, Comment, Grade, Gradebook, MissingEntry, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades
from nbgrader.utils import is_grade, is_solution
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from autograder.grading.settings import GradebookError, Settings, course_settings

__all__ = ["Book", "Busy", "GradebookError", "Settings", "course_settings", "judged"]


class Busy(GradebookError):
    """The gradebook is locked by another program or cannot be reached just now; trying again may help."""


class _Held(Session):
    """A session whose commits wait: nbgrader commits after every grade. What was set is flushed before the next query."""

    def commit(self) -> None:
        """Nothing yet; `Book.transaction` commits."""


class Book(Gradebook):
    """nbgrader's gradebook; what `record` writes for one submission gets there in one transaction, or not at all.

    With `read_only` nothing is ever written, not even the course's name.
    """

    def __init__(self, settings: Settings, read_only: bool = False):
        self.settings, self.penalties, self.url = settings, None, settings.database
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite and not os.path.isfile(self.url.database or ""):
            raise GradebookError("There is no gradebook yet. Make it with: nbgrader generate_assignment ASSIGNMENT")
        with self.errors():
            super().__init__(self.url, "" if read_only else settings.course.course_id)
        self.db.remove()
        self.db = scoped_session(sessionmaker(class_=_Held, autoflush=True, bind=self.engine))
        self.grades: dict[str, Grade] = {}
        self.comments: dict[str, Comment] = {}
        self.saver = _Save(self)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns the database's errors into Busy, GradebookError, or OSError where its disk is full."""
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig).strip().split("\n")[0]
            if "disk is full" in said:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.url.database)) from error
            if isinstance(error, OperationalError) and (not self.sqlite or "locked" in said or "busy" in said):
                raise Busy(f"the gradebook is {'locked by another program' if self.sqlite else f'not to be had ({said})'}") from error
            raise GradebookError(f"the gradebook at {self.url.render_as_string()} refuses: {said}") from error
        except ImportError as error:  # the driver
            raise GradebookError(f"The gradebook at {self.url.render_as_string()} needs a driver ({error}). Install it with: "
                                 'pip install "elbolab[postgres]"') from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is there afterwards, or nothing of it."""
        with self.errors():
            try:
                if self.sqlite:  # take the lock now, so that no statement in the middle can find it taken
                    self.db.execute(text("BEGIN IMMEDIATE"))
                yield
                self.db.flush()
                Session.commit(self.db())
            except BaseException:
                self.db.rollback()
                raise
            finally:
                self.db.remove()

    def record(self, assignment: str, student: str, timestamp: str, notebooks: Mapping[str, Any]) -> None:
        """Writes what nbgrader's autograde writes for these executed notebooks.

        Raises:
            Busy, GradebookError, OSError: nothing was written.
        """
        with self.transaction(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader's own way of making submissions warns on every one
            submission = self._enter(assignment, student, timestamp)
            for name, notebook in notebooks.items():
                submitted = self._load(assignment, student, name)
                self.saver.write(notebook, assignment, student, name)
                self._penalty(submission, submitted, student)

    def _enter(self, assignment: str, student: str, timestamp: str) -> SubmittedAssignment:
        if self.settings.option("create_student", True):
            self.update_or_create_student(student)
        else:
            try:
                self.find_student(student)
            except MissingEntry:
                raise GradebookError(f"the gradebook has no student {student}. Add them with: nbgrader db student add {student}") from None
        return self.update_or_create_submission(assignment, student, **({"timestamp": timestamp} if timestamp else {}))

    def _load(self, assignment: str, student: str, notebook: str) -> SubmittedNotebook:
        """All grades and comments of a submitted notebook at once; nbgrader asks for them one by one."""
        submitted = self.find_submission_notebook(notebook, assignment, student)
        for kind, found in ((Grade, "grades"), (Comment, "comments")):
            rows = self.db.query(kind, BaseCell.name).join(BaseCell.__table__, BaseCell.__table__.c.id == kind.cell_id)
            setattr(self, found, {name: row for row, name in rows.filter(kind.notebook_id == submitted.id)})
        return submitted

    def find_grade(self, grade_cell: str, notebook: str, assignment: str, student: str) -> Grade:
        """As nbgrader's, for the submitted notebook that is being recorded."""
        return self.grades.get(grade_cell) or super().find_grade(grade_cell, notebook, assignment, student)

    def find_comment(self, solution_cell: str, notebook: str, assignment: str, student: str) -> Comment:
        """As nbgrader's, for the submitted notebook that is being recorded."""
        return self.comments.get(solution_cell) or super().find_comment(solution_cell, notebook, assignment, student)

    def _penalty(self, submission: SubmittedAssignment, notebook: SubmittedNotebook, student: str) -> None:
        """As nbgrader's AssignLatePenalties, with the plugin that the settings name."""
        notebook.late_submission_penalty = None
        if submission.total_seconds_late > 0:
            if self.penalties is None:
                self.penalties = AssignLatePenalties(parent=self.settings.app)
                self.penalties.init_plugin()
            self.db.flush()
            self.db.refresh(notebook, ["score"])
            penalty = self.penalties.plugin_inst.late_submission_penalty(student, notebook.score, submission.total_seconds_late)
            if penalty is not None:
                notebook.late_submission_penalty = self.penalties._check_late_penalty(notebook, penalty)

    def recorded_students(self, assignment: str) -> set[str]:
        """Students who have a submission of the assignment in the gradebook."""
        with self.errors():
            query = self.db.query(Student.id).join(SubmittedAssignment, SubmittedAssignment.student_id == Student.id)
            found = {student for student, in query.join(SubmittedAssignment.assignment).filter_by(name=assignment)}
            self.db.remove()
        return found

    def grades_of(self, assignment: str) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        """{student: {(notebook, cell): {"auto", "manual", "extra", "waits", "max"}}} of all submissions."""
        query = """
            SELECT sa.student_id, n.name AS notebook, c.name AS cell, g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade,
                   COALESCE(gc.max_score, tc.max_score) AS most
            FROM grade g JOIN submitted_notebook sn ON sn.id = g.notebook_id JOIN submitted_assignment sa ON sa.id = sn.assignment_id
                 JOIN assignment a ON a.id = sa.assignment_id JOIN notebook n ON n.id = sn.notebook_id JOIN base_cell c ON c.id = g.cell_id
                 LEFT JOIN grade_cells gc ON gc.id = g.cell_id LEFT JOIN task_cells tc ON tc.id = g.cell_id
            WHERE a.name = :assignment"""
        found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        with self.errors():
            for row in self.db.execute(text(query), {"assignment": assignment}):
                found.setdefault(row.student_id, {})[row.notebook, row.cell] = {
                    "auto": row.auto_score, "manual": row.manual_score, "extra": row.extra_credit,
                    "waits": bool(row.needs_manual_grade), "max": row.most}
            self.db.remove()
        return found


class _Save(SaveAutoGrades):
    """nbgrader's own, in the gradebook's transaction, and without full points for a test that nothing judged."""

    def __init__(self, book: Book):
        super().__init__(parent=book.settings.app)
        self.gradebook = book

    def write(self, notebook: Any, assignment: str, student: str, name: str) -> None:
        self.notebook_id, self.assignment_id, self.student_id = name, assignment, student
        for number, cell in enumerate(notebook.cells):
            self.preprocess_cell(cell, {}, number)

    def _add_score(self, cell: Any, resources: Any) -> None:
        super()._add_score(cell, resources)
        if not judged(cell):
            grade = self.gradebook.find_grade(cell.metadata.nbgrader.grade_id, self.notebook_id, self.assignment_id, self.student_id)
            grade.auto_score, grade.needs_manual_grade = None, True


def judged(cell: Any) -> bool:
    """False for a test cell that holds neither a result nor an error: nbgrader reads full points there, and a person has to look."""
    if not is_grade(cell) or is_solution(cell) or cell.cell_type != "code":
        return True
    return any(output.output_type in ("execute_result", "error") for output in cell.outputs)
