"""`elbolab report [ASSIGNMENT]`: a feedback page for each student, and the page about the class."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autograder.reports.classpage import class_page
from autograder.reports.feedback import feedback_page
from autograder.reports.gather import GatherError, Marks, grading, number, read_marks, read_notebook, records
from autograder.reports.items import Work
from autograder.reports.safe import clean

__all__ = ["run", "write_reports"]

Works = dict[str, list[tuple[Marks, dict[str, Any] | None, str]]]  # by student: marks, what `slim` keeps, and the page of each notebook
# What nbgrader's release_feedback wants beside a page. Nothing else of a submission is copied.
BESIDE = ("timestamp.txt", "submission_secret.txt")


def run(args: Namespace, root: Path) -> int:
    """The command; `args` has assignment, students (comma-separated) and perhaps anonymous. Returns the exit code."""
    from autograder.grading.gradebook import GradebookError, course_settings

    students = [s.strip() for s in (args.students or "").split(",") if s.strip()]
    anonymous = getattr(args, "anonymous", False)
    try:
        settings = course_settings(root)
        marks = read_marks(settings.database)
        for assignment in assignments_of(marks, args.assignment, settings):
            print("\n".join(write_reports(settings, assignment, marks, students, anonymous, progress)))
    except (GatherError, GradebookError) as error:
        print(f"elbolab report: {error}", file=sys.stderr)
        return 2
    return 0


def progress(done: int, number: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {number} pages", end="\n" if done == number else "", file=sys.stderr, flush=True)


def assignments_of(marks: Sequence[Marks], wanted: str | None, settings: Any) -> list[str]:
    """The assignment that is wanted, or all that have graded work.

    Raises:
        GatherError: there is none.
    """
    graded = sorted({m.assignment for m in marks if notebook_path(settings, m).is_file()})
    if wanted and wanted not in graded:
        others = f" Graded work is there for: {', '.join(graded)}." if graded else ""
        raise GatherError(f"No submission of {wanted} is graded yet. Run `elbolab grade {wanted}` first.{others}")
    if not graded:
        raise GatherError("No submission is graded yet. Run `elbolab grade` first, then `elbolab report`.")
    return [wanted] if wanted else graded


def write_reports(
    settings: Any,
    assignment: str,
    marks: Sequence[Marks],
    students: Sequence[str] = (),
    anonymous: bool = False,
    progress: Callable[[int, int], None] = lambda done, number: None,
) -> list[str]:
    """Write the pages of one assignment; returns lines that say where they are.

    Raises:
        GatherError: a student of `students` has no graded work.
    """
    graded = [m for m in marks if m.assignment == assignment and notebook_path(settings, m).is_file()]
    unknown = sorted(set(students) - {m.student for m in graded})
    if unknown:
        raise GatherError(f"No graded work on {assignment} of {', '.join(unknown)}. Are the names as in submitted/?")
    reports = settings.root / "reports"
    works: Works = {}
    written = 0
    for place, mark in enumerate(sorted(graded, key=lambda m: (m.student, m.notebook)), start=1):
        nb, target = read_notebook(notebook_path(settings, mark)), feedback_path(settings, mark)
        if not students or mark.student in students:
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target, feedback_page(nb, mark), settings)
            copy_beside(notebook_path(settings, mark).parent, target.parent)
            written += 1
        works.setdefault(mark.student, []).append((mark, slim(nb), address(target, reports)))
        progress(place, len(graded))
    page = reports / f"{assignment}.html"
    reports.mkdir(exist_ok=True)
    waiting = set(settings.submissions(assignment).get(assignment, {})) - set(works)
    similar = None if anonymous else alike(settings, assignment, works)
    write(page, class_page(assignment, [work_of(parts) for parts in works.values()], waiting, similar, anonymous), settings)
    shown = settings.folder("feedback", "STUDENT", assignment)
    return [f"{written} feedback pages: {relative(shown, settings.root)}{os.sep}", f"Class page: {relative(page, settings.root)}"]


def slim(nb: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the class page wants of a notebook, without its pictures."""
    if nb is None:
        return None
    about = nb.get("metadata", {}).get("elbolab")
    found = [r for cell in nb["cells"] for r in records(cell)]
    return {"records": found, "about": about if isinstance(about, dict) else {}, "answers": answers_in(nb)}


def answers_in(nb: dict[str, Any] | None) -> dict[str, str]:
    """The code that a student writes, by cell."""
    cells = [c for c in nb["cells"] if c.get("cell_type") == "code"] if nb else []
    return {str(grading(c)["grade_id"]): clean(c.get("source")) for c in cells if grading(c).get("solution") and grading(c).get("grade_id")}


def alike(settings: Any, assignment: str, works: Works) -> list[dict[str, Any]] | str:
    """The pairs of submissions that are alike beyond chance, or a sentence that says why nothing can be said."""
    from autograder.reports.similarity import similar_pairs, too_few

    def keyed(answers: dict[str, str], notebook: str) -> dict[str, str]:
        return {f"{notebook}/{cell}" if several else cell: source for cell, source in answers.items()}

    notebooks = sorted({mark.notebook for parts in works.values() for mark, _, _ in parts})
    several = len(notebooks) > 1
    answers: dict[str, dict[str, str]] = {}
    for student, parts in works.items():
        for mark, nb, _ in parts:
            answers.setdefault(student, {}).update(keyed(nb["answers"] if nb else {}, mark.notebook))
    given: dict[str, dict[str, str]] = {"release": {}, "source": {}}
    for step, cells in given.items():
        for name in notebooks:
            cells.update(keyed(answers_in(read_notebook(settings.folder(step, ".", assignment) / f"{name}.ipynb")), name))
    if not given["release"]:
        return "Submissions were not compared: the release that they all started from is not there."
    return too_few(answers) or similar_pairs(answers, given["release"], given["source"])


def work_of(parts: Sequence[tuple[Marks, dict[str, Any] | None, str]]) -> Work:
    """A student's notebooks as one piece of work."""
    read = [nb for _, nb, _ in parts if nb]
    about = [nb["about"] for nb in read]
    seconds = [s for a in about if (s := number(a.get("seconds"))) is not None]
    return Work(
        student=parts[0][0].student, name=parts[0][0].called, marks=[m for m, _, _ in parts],
        records=[r for nb in read for r in nb["records"]], pages=[link for _, _, link in parts],
        seconds=sum(seconds) if seconds else None, sandboxes=[str(a["sandbox"]) for a in about if a.get("sandbox")],
        problems=[str(p) for a in about for p in listed(a.get("problems"))],
        notes=[n for a in about for n in listed(a.get("notes")) if isinstance(n, dict)],
    )  # fmt: skip


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- files ---------------------------------------------------------------------------------------


def notebook_path(settings: Any, mark: Marks) -> Path:
    return settings.folder("autograded", mark.student, mark.assignment) / f"{mark.notebook}.ipynb"


def feedback_path(settings: Any, mark: Marks) -> Path:
    return settings.folder("feedback", mark.student, mark.assignment) / f"{mark.notebook}.html"


def write(path: Path, text: str, settings: Any) -> None:
    """Writes a page whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o664 if settings.course.groupshared else 0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def copy_beside(source: Path, target: Path) -> None:
    for name in BESIDE:
        file = source / name
        if file.is_file() and not file.is_symlink():
            (target / name).unlink(missing_ok=True)
            shutil.copyfile(file, target / name)


def address(target: Path, folder: Path) -> str:
    """The way from a page in `folder` to `target`, for a link."""
    return "/".join(quote(part) for part in Path(os.path.relpath(target, folder)).parts)


def relative(path: Path, root: Path) -> str:
    """As a person in the course folder would write it."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
