"""An assignment as grading sees it: its tests, the instructor's files, and who handed something in."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry

from autograder import own
from autograder.grading import intake, records
from autograder.grading.gradebook import Book, Settings
from autograder.grading.handed_in import HandedIn, read_submission
from autograder.grading.recording import master_files
from autograder.grading.run import checks_in

__all__ = ["Assignment", "NothingToGrade", "find"]


class NothingToGrade(Exception):
    """What was asked for is not there. The text says so, and what to run."""


@dataclass(frozen=True)
class Assignment:
    """One assignment and the submissions to look at.

    Arguments:
        students: {student: the submitted folder}
        templates: {notebook: the instructor's notebook}
        masters: the instructor's other files.
        limits, sandbox: how a submission is run.
        tests: digest of all of these but the students.
    """

    settings: Settings
    name: str
    students: dict[str, Path]
    templates: dict[str, intake.Template]
    masters: dict[str, bytes]
    limits: Any
    sandbox: str
    tests: str

    @property
    def refusal(self) -> str:
        """Why nothing of it can be judged: a checks.py that is broken; "" if all is well."""
        from autograder.catalogue import refusal

        return next(filter(None, map(refusal, checks_of(self.templates))), "")

    def read(self, student: str) -> HandedIn:
        """What the student handed in; raises OSError if the folder cannot be read."""
        student.encode()  # a UnicodeEncodeError is a ValueError; `plan` says what it means
        return read_submission(self.students[student], list(self.templates), self.settings.course.ignore)

    def tasks(self, student: str, handed_in: HandedIn, seed: int) -> list[Any]:
        """One task for each notebook."""
        from autograder.grading.engine import Task

        hidden = own.hidden(self.name)
        files = {name: data for name, data in {**handed_in.files, **self.masters}.items() if name not in hidden}
        return [
            Task(student, self.name, name, data, self.templates[name], seed, files, self.limits, self.sandbox,
                 handed_in.notes.get(name, ()))
            for name, data in handed_in.notebooks.items()
        ]


def find(settings: Settings, name: str | None, students: Sequence[str] | None, limits: Any, sandbox: str) -> list[Assignment]:
    """The assignment `name`, or without a name all that have submissions.

    Raises:
        NothingToGrade, GradebookError.
    """
    submitted = settings.submissions(name)
    step = settings.course.submitted_directory
    if name is None and not submitted:
        raise NothingToGrade(f"There are no submissions in {settings.root / step}. Collect them with `nbgrader collect`, "
                             f"or put them there: {step}/STUDENT/ASSIGNMENT/NOTEBOOK.ipynb")
    found = []
    with Book(settings, read_only=True) as book:
        for each in [name] if name is not None else sorted(submitted):
            templates = find_templates(settings, book, each)
            masters = master_files(settings, each)
            chosen = choose_students(settings, each, submitted.get(each, {}), students)
            checks = own.files_of({check.split(".")[0] for check in checks_of(templates)})
            tests = records.tests_digest(templates, {n: d for n, d in masters.items() if n not in own.hidden(each)} | checks, limits)
            found.append(Assignment(settings, each, chosen, templates, masters, limits, sandbox, tests))
    return found


def checks_of(templates: Mapping[str, intake.Template]) -> list[str]:
    """The names of all checks in the tests."""
    sources = [cell["source"] for template in templates.values() for cell in template.cells if (cell["nbgrader"] or {}).get("grade")]
    return [part[1] for source in sources for part in checks_in(source) if part[0] == "check"]


def find_templates(settings: Settings, book: Book, name: str) -> dict[str, intake.Template]:
    """{notebook: its template}. Raises NothingToGrade if nbgrader does not know the assignment."""
    with book.errors():
        try:
            notebooks = book.find_assignment(name).notebooks
        except MissingEntry:
            notebooks = []
        if not notebooks:
            known = [a.name for a in book.assignments if a.notebooks]
            near = difflib.get_close_matches(name, known, n=1)
            also = f" Did you mean {near[0]}?" if near else f" It knows {', '.join(known)}." if known else ""
            raise NothingToGrade(f"The gradebook knows no assignment {name}.{also} Put it there with: nbgrader generate_assignment {name}")
        released = settings.folder("release", ".", name)
        paths = {n.name: released / f"{n.name}.ipynb" for n in notebooks}
        return {n.name: intake.template(n, paths[n.name] if paths[n.name].is_file() else None) for n in notebooks}


def choose_students(settings: Settings, name: str, submitted: dict[str, Path], students: Sequence[str] | None) -> dict[str, Path]:
    """The submissions of these students, or all."""
    place = f"{settings.course.submitted_directory}/STUDENT/{name}"
    if not submitted:
        raise NothingToGrade(f"There are no submissions of {name}. Collect them with: nbgrader collect {name}   (or put them in {place}/)")
    missing = [s for s in students or () if s not in submitted]
    if missing:
        near = difflib.get_close_matches(missing[0], submitted, n=1)
        also = f" Did you mean {near[0]}?" if near else f" To see who did: ls {settings.course.submitted_directory}"
        raise NothingToGrade(f"There is no submission of {name} from {', '.join(missing)}.{also}")
    return {s: submitted[s] for s in sorted(set(students) if students else submitted)}
