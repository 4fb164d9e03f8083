"""From executed notebooks on disk to points in the gradebook and notebooks in the autograded folder.

A submission goes through these steps. A grader that is killed between two of them leaves something that running it
again repairs, because every step can be taken twice:

    1. the executed notebooks, then its record with `executed`   (before that: it is executed again, with the same seed)
    2. the new autograded folder, under a hidden name            (left over: made anew)
    3. the gradebook, in one transaction                         (done already: the same numbers once more)
    4. the new folder takes the place of the old one             (in the middle: the old one is gone, the new one comes with the next run)
    5. its record with `recorded`
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbformat.v4 import reads
from nbgrader.utils import determine_grade, is_grade

from autograder.grading import records
from autograder.grading.gradebook import Book, Busy, Settings, judged
from autograder.grading.handed_in import files_below, open_file
from autograder.grading.records import Record
from autograder.written import verdicts

__all__ = ["DiskFull", "Recorder", "master_files", "points_of", "read_document", "summarize", "verdicts_in"]

PATIENCE = 60.0  # seconds that a locked gradebook is waited for
COPIED_BYTES = 100 << 20  # of the files beside the notebooks of one submission
FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(Exception):
    """The text says so, and what to do."""


def read_document(text: str | bytes) -> Any:
    """An executed notebook of ours, without nbformat's long validation."""
    return reads(text if isinstance(text, str) else text.decode())


def points_of(notebook: Any) -> dict[str, list[float | None]]:
    """{cell: [points, or None where a person grades; maximum]}, as they go into the gradebook."""
    found: dict[str, list[float | None]] = {}
    for cell in notebook.cells:
        if is_grade(cell):
            score, most = determine_grade(cell)
            found[cell.metadata.nbgrader.grade_id] = [None if score is None or not judged(cell) else float(score), most]
    return found


def verdicts_in(notebook: Any) -> dict[str, list[dict[str, Any]]]:
    """{cell: what its checks said}, from the outputs that the grader wrote into the test cells."""
    found: dict[str, list[dict[str, Any]]] = {}
    for verdict in verdicts(notebook):
        found.setdefault(verdict["grade_id"], []).append(verdict)
    return found


def summarize(record: Record, name: str, notebook: Any) -> None:
    """Put into the record what the tables need of one executed notebook."""
    record.points[name] = points_of(notebook)
    record.mistakes[name] = {}
    for cell, said in verdicts_in(notebook).items():
        wrong = [v for v in said if v.get("misconception") and not v.get("passed")]
        titles = [title for v in wrong for title in (v.get("misconception_title") or v["misconception"],
                                                     *(more["title"] for more in v.get("more_mistakes", [])))]
        if titles:
            record.mistakes[name][cell] = list(dict.fromkeys(titles))
    about = notebook.metadata.get("elbolab", {})
    record.sandbox = about.get("sandbox", "")
    record.seconds += about.get("seconds", 0.0)
    record.notes += [dict(note) for note in about.get("notes", []) if note not in record.notes]
    record.problems += [problem for problem in about.get("problems", []) if problem not in record.problems]


def master_files(settings: Settings, assignment: str) -> dict[str, bytes]:
    """The instructor's files beside the notebooks: as in nbgrader, they take the place of the students' files of that name."""
    folder = settings.folder("source", ".", assignment)
    kept = settings.option("exclude_overwriting", {}).get(assignment, [])
    paths = files_below(folder, [*settings.course.ignore, "*.ipynb"])[0] if folder.is_dir() else []
    return {path: (folder / path).read_bytes() for path in paths if path not in kept}


class Recorder:
    """Records executed submissions, one after another.

    Arguments:
        book: the gradebook, open.
        masters: what `master_files` says.
        say: takes lines for the teacher.
        stopping: whether the teacher wants to stop; then nothing is waited for.
    """

    def __init__(self, settings: Settings, assignment: str, book: Book, masters: dict[str, bytes], say: Callable[[str], None],
                 stopping: Callable[[], bool] = lambda: False):
        self.settings, self.assignment, self.book, self.masters = settings, assignment, book, masters
        self.say, self.stopping = say, stopping
        self.waiting: list[str] = []  # executed students whom the gradebook did not take
        self.patient = True

    def keep(self, student: str, record: Record, documents: dict[str, str]) -> dict[str, Any]:
        """Step 1: the executed notebooks are safe. Returns them, read. Raises DiskFull."""
        root = self.settings.root
        notebooks = {name: read_document(text) for name, text in documents.items()}
        with disk(root):
            for name, text in documents.items():
                summarize(record, name, notebooks[name])
                records.write_atomic(records.folder_of(root, self.assignment, student) / f"{name}.ipynb", text.encode())
            record.executed = True
            records.save(root, self.assignment, student, record)
        return notebooks

    def record(self, student: str, names: list[str], submitted: Path, timestamp: str, notebooks: dict[str, Any] | None = None) -> bool:
        """Steps 2 to 5 for a submission that `keep` has kept; False if the gradebook was locked all the time.

        Raises:
            GradebookError: the gradebook does not take it.
            DiskFull, OSError: a file could not be written.
        """
        root, folder = self.settings.root, records.folder_of(self.settings.root, self.assignment, student)
        place = self.settings.folder("autograded", student, self.assignment)
        with disk(root):
            texts = {name: (folder / f"{name}.ipynb").read_bytes() for name in names}
            notebooks = notebooks or {name: read_document(text) for name, text in texts.items()}
            fresh = self.prepare(place, submitted, texts)
            if not self.patiently(lambda: self.book.record(self.assignment, student, timestamp, notebooks)):
                shutil.rmtree(fresh, ignore_errors=True)
                self.waiting.append(student)
                return False
            replace(fresh, place)
            record = records.load(root, self.assignment, student)
            record.recorded = True
            records.save(root, self.assignment, student, record)
            records.drop_documents(root, self.assignment, student)
        return True

    def patiently(self, write: Callable[[], None]) -> bool:
        """Write to the gradebook; waits for a locked one, but only once for all of PATIENCE in a row."""
        end, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                write()
            except Busy as busy:
                if not self.patient or self.stopping() or time.monotonic() > end:
                    self.patient = False
                    return False
                if not told:
                    self.say(f"Waiting up to {PATIENCE:g} s: {busy}.")
                told = True
                time.sleep(0.2)
            else:
                self.patient = True
                return True

    def prepare(self, place: Path, submitted: Path, texts: dict[str, bytes]) -> Path:
        """Step 2: the new folder, complete, beside its place."""
        fresh = place.with_name(f".{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for path, data in {**self.masters, **{f"{name}.ipynb": text for name, text in texts.items()}}.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            with open(fresh / path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        left = COPIED_BYTES
        for path, size in files_below(submitted, self.settings.course.ignore)[0].items():
            # Of what lies there nbgrader would release every page as feedback.
            if not path.lower().endswith((".ipynb", ".html", ".htm")) and path not in self.masters and size <= left:
                left -= copy(submitted / path, fresh / path)
        self.permit(fresh, place)
        return fresh

    def permit(self, fresh: Path, place: Path) -> None:
        """Permissions as nbgrader sets them."""
        shared = self.settings.course.groupshared
        for folder, _, files in os.walk(fresh):
            for name in files:
                os.chmod(os.path.join(folder, name), self.settings.permissions)
            if shared:
                share(Path(folder))
        if shared:
            for folder in (place.parent, self.settings.folder("autograded", ".", ".")):
                share(folder)


def share(folder: Path) -> None:
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    if mode & 0o2770 != 0o2770:
        try:
            os.chmod(folder, mode | 0o2770)
        except PermissionError:  # somebody else's folder
            pass


def copy(source: Path, target: Path) -> int:
    """Copy a regular file, following no link; how many bytes. What cannot be read, or finds its place taken, is left out."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_file(source) as file, open(target, "xb") as new:
            shutil.copyfileobj(file, new)
            return new.tell()
    except (FileExistsError, NotADirectoryError):  # the instructor's file or a notebook is there
        return 0
    except OSError as error:
        if error.errno in FULL:
            raise
        target.unlink(missing_ok=True)
        return 0


def replace(fresh: Path, place: Path) -> None:
    """Step 4: put the folder `fresh` in the place of what is at `place`, if anything is."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        os.rename(place, old)
    os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)


class disk:
    """Turns "no space left" into DiskFull."""

    def __init__(self, root: Path):
        self.root = root

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            raise DiskFull(f"The disk of {self.root} is full. Make room, then run the same command again: it goes on from here.") from error
