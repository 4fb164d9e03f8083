"""The gradebook in a real PostgreSQL server that the test starts in a folder of its own: the same as in SQLite."""

import glob
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from grading_course import UNIT, grade, hand_in, nbgrader, new_course, working
from nbgrader.api import Gradebook
from ports import free_port
from sqlalchemy import create_engine, text

from autograder.grading.gradebook import Book, Busy, course_settings
from autograder.grading.table import results

pytestmark = pytest.mark.slow
OLD, NEW = "psycopg2", "psycopg"
# `postgresql://` alone means psycopg2 before sqlalchemy 2.1, psycopg since.
DRIVER = next((name for name in (NEW, OLD) if importlib.util.find_spec(name)), None)


def program(name):
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    return found and os.path.realpath(found)


def unprivileged():
    """How to run the server: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


@pytest.fixture(scope="module")
def server():
    """(the server's address, the command that stops and starts it)."""
    if not (program("initdb") and program("pg_ctl")):
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    if DRIVER is None:
        pytest.skip("no driver is installed: pip install psycopg[binary]")
    who = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path may not be long
    folder.chmod(0o755)
    port = free_port()
    if who:
        os.chown(folder, who["user"], who["group"])

    def run(*arguments):
        subprocess.run(arguments, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, **who)

    def control(action):
        run(program("pg_ctl"), "-D", str(folder / "data"), "-w", "-m", "immediate", "-l", str(folder / "log"),
            "-o", f"-h 127.0.0.1 -p {port} -k {folder}", action)

    try:
        run(program("initdb"), "-D", str(folder / "data"), "-U", "teacher", "--auth=trust", "--encoding=UTF8", "--locale=C")
        control("start")
        yield f"postgresql+{DRIVER}://teacher@127.0.0.1:{port}", control
        control("stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(address, name, template="template1"):
    engine = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()


def use_database(course, address, name):
    (course / "gradebook.db").unlink()
    with (course / "nbgrader_config.py").open("a") as config:
        config.write(f"c.CourseDirectory.db_url = '{address}/{name}'\n")


@pytest.fixture(scope="module")
def generated(tmp_path_factory, server):
    """The name of a database in which `nbgrader generate_assignment` has made the gradebook; that takes seconds, so it is made once."""
    address, name = server[0], "generated"
    create_database(address, name)
    course = new_course(tmp_path_factory.mktemp("generated"))
    use_database(course, address, name)
    nbgrader(course, "generate_assignment", UNIT)
    return name


@pytest.fixture
def course(tmp_path, server, generated):
    """A course whose gradebook is a database of its own, a copy of the generated one."""
    name = f"course_{tmp_path.name}".lower()[:60]
    create_database(server[0], name, generated)
    course = new_course(tmp_path, anna={}, bert={"double": "def double(n): return -n"})
    use_database(course, server[0], name)
    return course


def rows(course):
    return {row.student: (row.total, dict(row.points)) for row in results(course, UNIT)}


def test_points_are_those_of_sqlite_and_nbgrader_goes_on_from_there(course, tmp_path):
    hand_in(course, "zoë", "no notebook", timestamp="2026-01-01 10:00:00 UTC")
    other = new_course(tmp_path / "sqlite", anna={}, bert={"double": "def double(n): return -n"})
    hand_in(other, "zoë", "no notebook", timestamp="2026-01-01 10:00:00 UTC")
    assert grade(course).exit_code == 0 and grade(other).exit_code == 0
    assert rows(course) == rows(other) and not (course / "gradebook.db").exists()
    assert grade(course).kept == ["anna", "bert", "zoë"]
    nbgrader(course, "generate_feedback", UNIT)
    assert (course / "feedback" / "anna" / UNIT / "exercises.html").exists()
    nbgrader(course, "export", f"--to={tmp_path / 'grades.csv'}")
    assert ",anna," in (tmp_path / "grades.csv").read_text()


def test_manual_grades_are_kept(course):
    grade(course)
    with Gradebook(str(course_settings(course).course.db_url)) as book:
        found = book.find_grade("answer_why", "exercises", UNIT, "anna")
        found.manual_score, found.needs_manual_grade = 1.5, False
        book.db.commit()
    hand_in(course, "anna", working(course, square="def square(n): return -n"))
    assert grade(course).graded == ["anna"] and rows(course)["anna"][0] == 2 + 0.5 + 1.5


def test_a_failure_in_the_middle_leaves_nothing(course, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(Book, "_penalty", fail)
        with pytest.raises(RuntimeError):
            grade(course)
    assert rows(course) == {} and grade(course).exit_code == 0 and len(rows(course)) == 2


def test_a_server_that_goes_away_is_waited_for(course, server, monkeypatch):
    _, control = server
    monkeypatch.setattr("autograder.grading.recording.PATIENCE", 0.0)

    class Breaking:
        done = 0

        def begin(self, *_):
            pass

        def advance(self):
            self.done += 1
            if self.done == 1:
                control("stop")

        say = close = lambda *_: None

    try:
        summary = grade(course, progress=Breaking())
        assert summary.graded == ["anna"] and summary.unrecorded == ["bert"] and summary.exit_code == 1
        with pytest.raises(Busy):
            Book(course_settings(course))
    finally:
        control("start")
    again = grade(course)
    assert (again.kept, again.graded) == (["anna"], ["bert"]) and len(rows(course)) == 2
