"""What grading remembers of each submission: which file it was, with which seed it was graded, and how far it came.

    <course>/.elbolab/grading/ASSIGNMENT/STUDENT/record.json      see `Record`
    <course>/.elbolab/grading/ASSIGNMENT/STUDENT/NOTEBOOK.ipynb   the executed notebook until it is recorded

Every file is written beside its place and renamed into it, so a grader that is killed leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = ["Locked", "Record", "drop_documents", "folder_of", "load", "lock", "save", "seed_for", "source_digest", "tests_digest",
           "write_atomic"]

PACKAGE = Path(__file__).parents[1]
# What a verdict depends on. Changing anything else of ours grades nobody anew.
DECIDES = ("border.py", "channel.py", "exercises", "grading/edits.py", "grading/engine.py", "grading/guard.py", "grading/instructor.py",
           "grading/intake.py", "grading/matching.py", "grading/reading.py", "grading/run.py", "grading/session.py", "inside",
           "own.py", "probing.py", "timing.py", "units", "verdict.py")


class Locked(Exception):
    """Another `elbolab grade` is at work on the assignment. The text says so."""


@dataclass
class Record:
    """How far one submission has come.

    Arguments:
        submission: digest of what was handed in.
        seed: of the random inputs; kept as long as the submission stays the same.
        tests: digest of the tests that it was executed with; "" before that.
        sandbox: "bubblewrap", "none", or "" before.
        started, finished: when it was executed, ISO 8601 in UTC. For people; nothing depends on them.
        seconds: how long that took.
        executed: its executed notebooks lie beside the record, or have been recorded.
        recorded: its points stand in the gradebook and its notebooks in the autograded folder.
        points: {notebook: {cell: [points or None where a person grades, maximum]}}
        mistakes: {notebook: {cell: [titles of the misconceptions found]}}
        notes, problems: as in the notebooks' metadata.
    """

    submission: str
    seed: int
    tests: str = ""
    sandbox: str = ""
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    executed: bool = False
    recorded: bool = False
    points: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    mistakes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def folder_of(root: Path, assignment: str, student: str | None = None) -> Path:
    """The folder of one submission's record, or of all records of the assignment."""
    return Path(root, ".elbolab", "grading", assignment, *([student] if student is not None else []))


def load(root: Path, assignment: str, student: str) -> Record | None:
    """The record, or None if there is none that can be read."""
    try:
        data = json.loads((folder_of(root, assignment, student) / "record.json").read_bytes())
        return Record(**{f.name: data[f.name] for f in fields(Record) if f.name in data})
    except (OSError, ValueError, TypeError):
        return None


def save(root: Path, assignment: str, student: str, record: Record) -> None:
    """Write the record in one step; raises OSError."""
    text = json.dumps(asdict(record), indent=1)
    write_atomic(folder_of(root, assignment, student) / "record.json", text.encode())


def drop_documents(root: Path, assignment: str, student: str) -> None:
    """Remove the executed notebooks: they have been recorded, or are to be made anew."""
    for path in folder_of(root, assignment, student).glob("*.ipynb"):
        path.unlink()


def seed_for(root: Path, assignment: str, student: str, digest: str) -> int:
    """The seed of the submission with this digest: the recorded one, or a new one, which is recorded at once."""
    record = load(root, assignment, student)
    if record is None or record.submission != digest:
        record = Record(digest, secrets.randbits(62))
        save(root, assignment, student, record)
    return record.seed


def write_atomic(path: Path, data: bytes) -> None:
    """Write `path` so that it has its old content or all of the new, whatever happens meanwhile; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock(root: Path, assignment: str) -> Iterator[None]:
    """Holds the assignment's lock; the system lets it go when this process ends, however it ends.

    Raises:
        Locked: somebody else holds it.
    """
    folder = folder_of(root, assignment)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+", encoding="utf-8") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on this system
            pass
        except OSError:
            raise Locked(f"Another `elbolab grade` is at work on {assignment}. Wait for it to end, or stop it first.") from None
        for stale in folder.glob("*/.*.new"):  # what a killed grader was writing
            stale.unlink()
        yield


@functools.cache
def source_digest() -> str:
    """Digest of the code that decides verdicts: equal on two machines that grade alike."""
    digest = hashlib.sha256()
    for name in DECIDES:
        place = PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if path.is_file():
                digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def tests_digest(templates: Mapping[str, Any], files: Mapping[str, bytes], limits: Any) -> str:
    """Digest of all besides the submission that its points depend on: the tests, the files given with them, the limits."""
    digest = hashlib.sha256(source_digest().encode())
    for name, template in sorted(templates.items()):
        digest.update(json.dumps([name, list(template.cells)], sort_keys=True, default=str).encode())
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    digest.update(json.dumps(asdict(limits), sort_keys=True).encode())
    return digest.hexdigest()
