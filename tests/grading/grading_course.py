"""A course whose submissions are executed by a stand-in for the engine: it takes no time, and does as their text says."""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import nbformat
from nbformat.v4 import new_output, writes

from autograder.grading import engine, pipeline
from autograder.written import VERDICT_MIME

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "nbgrader"))

from small_course import RIGHT, UNIT, nbgrader, read, submission, write_course  # noqa: E402

from autograder.masters import build  # noqa: E402

LOG = "ELBOLAB_TEST_LOG"  # environment variable: the file that gets a line for each execution


@functools.cache
def template_course():
    """A course folder in which `nbgrader generate_assignment` has run; that takes seconds, so it is made once."""
    folder = tempfile.mkdtemp(prefix="course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    course = write_course(folder)
    build(course)
    nbgrader(course, "generate_assignment", UNIT)
    return course


def new_course(folder, **students):
    """A course of its own in `folder`; `students` have handed in what `working` makes of their dict of sources."""
    course = Path(folder, "course")
    shutil.copytree(template_course(), course)
    for student, sources in students.items():
        hand_in(course, student, working(course, **sources))
    return course


class InlinePool:
    """Executes in this process, at once."""

    room = 1

    def submit(self, execute, task):
        future = Future()
        try:
            future.set_result(execute(task))
        except Exception as error:
            future.set_exception(error)
        return future

    def nothing(self):
        pass

    start = renew = check = stop = close = nothing


@contextlib.contextmanager
def inline():
    """Grading starts no processes meanwhile."""
    before, pipeline.open_pool = pipeline.open_pool, lambda *_: InlinePool()
    try:
        yield
    finally:
        pipeline.open_pool = before


def grade(course, *arguments, **options):
    """The one summary of grading in this process with the stand-in."""
    with inline():
        (summary,) = pipeline.grade_class(course, *arguments, **{"execute": scripted, **options})
    return summary


def working(course, **sources):
    """A submission in which both functions are right; `sources` replace cells."""
    return submission(read(course / "assignments" / UNIT / "exercises.ipynb"), **{**RIGHT, **sources})


def hand_in(course, student, notebook, name="exercises.ipynb", timestamp=None, unit=UNIT):
    """Puts a notebook, text or bytes, into the submitted folder."""
    folder = Path(course, "submitted", student, unit)
    folder.mkdir(parents=True, exist_ok=True)
    data = notebook if isinstance(notebook, (str, bytes)) else nbformat.writes(notebook)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    if timestamp is not None:
        (folder / "timestamp.txt").write_text(timestamp)
    return folder


def log_of(path):
    """The students in the order in which they were executed."""
    return Path(path).read_text().split() if Path(path).exists() else []


def tree_digest(folder):
    """Digest of every file below the folder, with its name and mode."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)} {path.lstat().st_mode}".encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def scripted(task):
    """Stands in for `engine.execute`: a test cell's function earns all points if its text has a return, half of them for `return -`.

    Words in the submission make it sleep ("SLEEP 0.2"), kill its worker ("KILL"), once ("KILL ONCE path"), or raise ("RAISE").
    """
    if os.environ.get(LOG):
        with open(os.environ[LOG], "a") as log:
            log.write(f"{task.student}\n")
    started = time.monotonic()
    notebook, notes, problems = engine.read(task)
    text = "\n".join(cell.source for cell in notebook.cells)
    misbehave(text)
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in notebook.cells if "nbgrader" in cell.metadata}
    for cell in [] if problems else engine.test_cells(notebook):
        if "UNSCORED" in text:
            continue
        most, name = cell.metadata.nbgrader.points, cell.metadata.nbgrader.grade_id.removeprefix("check_")
        points = judge(answers.get(name, ""), most)
        record = {"check": f"demo.{name}", "title": name, "passed": points == most, "points": points, "max_points": most, "findings": [],
                  "message": f"seed {task.seed}", "misconception": None if points == most else "sign", "misconception_title": "the sign is wrong"}
        cell.outputs = [new_output("display_data", data={"text/plain": name, VERDICT_MIME: record}),
                        new_output("execute_result", data={"text/plain": repr(points)}, execution_count=None)]
    if "TROUBLE" in text:
        problems = [*problems, "Cell 3 ran longer than 120 s and was stopped."]
    engine.sign(notebook, task.seed, task.sandbox, time.monotonic() - started, [*task.notes, *notes], problems)
    return engine.Result(task.student, task.assignment, task.notebook, writes(notebook), 0.0)


def generous(task):
    """Tests that were improved after the deadline: every function that was written earns all."""
    result = scripted(task)
    notebook = nbformat.reads(result.document, as_version=4)
    for cell in engine.test_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.data["text/plain"] = repr(float(cell.metadata.nbgrader.points))
    return engine.Result(task.student, task.assignment, task.notebook, writes(notebook), 0.0)


def no_sandbox_here(task):
    raise engine.SandboxError("There is no sandbox: bubblewrap is not installed. apt install bubblewrap")


def judge(source, most):
    if "NotImplementedError" in source or "return" not in source:
        return 0.0
    return float(most) / 2 if "return -" in source else float(most)


def misbehave(text):
    words = text.split()
    for word, following in zip(words, [*words[1:], ""]):
        if word == "SLEEP":
            time.sleep(float(following))
        if word == "RAISE":
            raise RuntimeError("a bug in the engine")
        if word == "KILLONCE" and not os.path.exists(following):
            Path(following).touch()
            os.kill(os.getpid(), 9)
        if word == "KILL":
            os.kill(os.getpid(), 9)
