"""nbgrader's settings of a course, read as nbgrader reads them."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.apps.baseapp import NbGrader
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.engine import make_url

from autograder.grading.sandbox import Limits

__all__ = ["GradebookError", "Settings", "course_settings"]


class GradebookError(Exception):
    """The gradebook cannot be used. The text says why and what to do."""


class _App(NbGrader):
    def fail(self, msg: str, *args: Any) -> None:
        raise GradebookError(msg % args if args else msg)


@dataclass(frozen=True)
class Settings:
    """What nbgrader_config.py (and what else nbgrader reads) says about the course in `root`."""

    root: Path
    course: CourseDirectory
    app: NbGrader

    @property
    def database(self) -> Any:
        """The gradebook's address, as sqlalchemy's URL; a relative SQLite file lies in the course folder, as for nbgrader."""
        url = make_url(self.course.db_url)
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            url = url.set(database=os.path.join(self.root, url.database)).update_query_dict({"timeout": "1"})
        return url

    def folder(self, step: str, student: str, assignment: str) -> Path:
        """For example folder("submitted", "anna", "01_vae"); `step` as nbgrader names its settings, without _directory."""
        return Path(self.course.format_path(getattr(self.course, f"{step}_directory"), student, assignment))

    def option(self, name: str, default: Any) -> Any:
        """A setting of nbgrader's autograde."""
        for section in ("Autograde", "BaseConverter"):
            if name in self.app.config[section]:
                return self.app.config[section][name]
        return default

    @property
    def limits(self) -> Limits:
        """What a submission may use, with the times that are set for nbgrader's autograde."""
        given = self.app.config["ExecuteSubmission"]
        names = {"timeout": "cell_seconds", "notebook_timeout": "notebook_seconds"}
        return Limits(**{ours: given[theirs] for theirs, ours in names.items() if theirs in given})

    @property
    def permissions(self) -> int:
        """Of the files in the autograded folder, as nbgrader sets them."""
        return int(str(self.option("permissions", 664 if self.course.groupshared else 444)), 8)

    def submissions(self, assignment: str | None = None) -> dict[str, dict[str, Path]]:
        """{assignment: {student: folder}} of all that lies in the submitted folder."""
        step, out = self.course.submitted_directory, self.course.student_id_exclude.split(",")
        pattern = self.course.format_path(step, "(?P<student>[^/]+)", "(?P<assignment>[^/]+)", escape=True)
        shape = self.course.directory_structure.format(
            nbgrader_step=step, student_id="*", assignment_id="*" if assignment is None else glob.escape(assignment))
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(glob.glob(os.path.join(glob.escape(str(self.root)), shape))):
            match = re.fullmatch(pattern, path)
            if match and os.path.isdir(path) and match["student"] not in out:
                found.setdefault(match["assignment"], {})[match["student"]] = Path(path)
        return found


def course_settings(root: Path) -> Settings:
    """The settings as `nbgrader` in the folder `root` would have them.

    Raises:
        GradebookError: nbgrader_config.py cannot be read.
    """
    root = Path(root).resolve()
    app = _App()
    app.log_level = logging.ERROR
    app.raise_config_file_errors = True
    if str(root) not in sys.path:
        sys.path.append(str(root))  # as nbgrader does: settings may name a plugin that lies in the course folder
    with _inside(root):
        try:
            app.load_config_file(suppress_errors=False)
        except GradebookError:
            raise
        except Exception as error:  # it is a program, so anything may come out of it
            raise GradebookError(f"nbgrader's settings cannot be read: {type(error).__name__} in nbgrader_config.py: {error}") from error
        course = CourseDirectory(parent=app)
        if "root" not in app.config.CourseDirectory:
            course.root = str(root)
        course.db_url, course.root  # noqa: B018  (their defaults depend on the working folder)
    app.coursedir = course
    return Settings(Path(course.root), course, app)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
