"""Grades one assignment: plans what is left to do, executes it in a pool, keeps and records what comes back."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import nbformat
from nbgrader.api import InvalidEntry
from sqlalchemy.exc import SQLAlchemyError

from autograder.grading import engine, intake, records
from autograder.grading.executors import PoolLost
from autograder.grading.gradebook import Book, GradebookError
from autograder.grading.recording import DiskFull, Recorder, disk
from autograder.grading.records import Record
from autograder.grading.running import Died, run_all
from autograder.grading.sandbox import SandboxError

__all__ = ["Grader", "Summary"]

AT_ONCE = 130  # exit code after Ctrl-C
REFUSED = (GradebookError, InvalidEntry, SQLAlchemyError)


@dataclass
class Summary:
    """What one run did with one assignment.

    Arguments:
        graded: students whose points were recorded in this run.
        kept: students who were graded before, with this submission and these tests.
        anew: students who had been graded with other tests.
        problems: {student: sentences}, for submissions that were recorded.
        failed: {student: why they have no points of this submission}
        unrecorded: students who were executed; the gradebook was locked.
        stopped: why the run ended early, "" if it did not.
        interrupted: whether that was Ctrl-C.
    """

    assignment: str
    graded: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unrecorded: list[str] = field(default_factory=list)
    stopped: str = ""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0: all are graded; 1: some are not; 2: none could be; 130: interrupted."""
        if self.interrupted:
            return AT_ONCE
        if self.stopped and not self.graded:
            return 2
        return 1 if self.stopped or self.failed or self.unrecorded else 0


@dataclass
class _Work:
    """A submission under way."""

    record: Record
    timestamp: str
    names: list[str]
    documents: dict[str, str] = field(default_factory=dict)


class Grader:
    """One run over one assignment."""

    def __init__(self, assignment: Any, pool: Any, execute: Callable | None, force: bool, progress: Any, stop: threading.Event):
        self.assignment, self.pool, self.force, self.stop = assignment, pool, force, stop
        self.execute = execute or engine.execute
        self.progress, self.root = progress, assignment.settings.root
        self.summary = Summary(assignment.name)
        self.work: dict[str, _Work] = {}
        self.book = Book(assignment.settings)
        self.known = self.book.recorded_students(assignment.name)
        self.recorder = Recorder(assignment.settings, assignment.name, self.book, assignment.masters, self.say, stop.is_set)

    def grade(self) -> Summary:
        """Everything; what was done is on disk and in the gradebook however it ends."""
        if self.progress:
            self.progress.begin(len(self.assignment.students), self.assignment.name)
        try:
            for task, result in run_all(self.pool, self.execute, self.tasks(), self.stop.is_set):
                self.receive(task, result)
            self.record_waiting()
        except (SandboxError, PoolLost, DiskFull) as error:
            self.summary.stopped = str(error)
            self.pool.stop()
        finally:
            self.book.close()
            if self.progress:
                self.progress.close()
        self.summary.unrecorded = list(self.recorder.waiting)
        if self.stop.is_set() and not self.summary.stopped:
            self.summary.stopped, self.summary.interrupted = "Interrupted.", True
        return self.summary

    def say(self, line: str) -> None:
        if self.progress:
            self.progress.say(line)

    def tasks(self) -> Iterator[Any]:
        """The tasks that are left to execute; submissions that only have to be recorded are, on the way."""
        for student in self.assignment.students:
            if self.stop.is_set():
                return
            try:
                yield from self.plan(student)
            except UnicodeEncodeError:
                self.fail(student, "the name of the folder is no text (not UTF-8). Rename it, then run the command again.")
            except OSError as error:
                self.fail(student, f"what was handed in cannot be read: {error.strerror or error}. Put it right, then run this again.")

    def plan(self, student: str) -> list[Any]:
        """The student's tasks, if anything has to be executed."""
        handed_in = self.assignment.read(student)
        record = records.load(self.root, self.assignment.name, student)
        same = record is not None and record.submission == handed_in.digest
        names = list(handed_in.notebooks)
        if same and record.executed and record.tests == self.assignment.tests and not self.force:
            if record.recorded and self.in_place(student, names):
                records.drop_documents(self.root, self.assignment.name, student)  # left over if a grader was killed at the very end
                self.summary.kept.append(student)
                self.advance()
                return []
            if not record.recorded and self.has_documents(student, names):
                self.store(student, names, handed_in.timestamp, record)
                return []
        if same and record.recorded and record.tests != self.assignment.tests:
            self.summary.anew.append(student)
        record = Record(handed_in.digest, record.seed if same else secrets.randbits(62), self.assignment.tests, started=now())
        with disk(self.root):
            records.save(self.root, self.assignment.name, student, record)
            records.drop_documents(self.root, self.assignment.name, student)
        self.work[student] = _Work(record, handed_in.timestamp, names)
        return self.assignment.tasks(student, handed_in, record.seed)

    def in_place(self, student: str, names: list[str]) -> bool:
        """Whether what the record calls recorded is still there: gradebooks and folders get deleted."""
        place = self.assignment.settings.folder("autograded", student, self.assignment.name)
        return student in self.known and all((place / f"{name}.ipynb").is_file() for name in names)

    def has_documents(self, student: str, names: list[str]) -> bool:
        folder = records.folder_of(self.root, self.assignment.name, student)
        return all((folder / f"{name}.ipynb").is_file() for name in names)

    def receive(self, task: Any, result: Any) -> None:
        """Keep what came back; when the submission is complete, record it."""
        work = self.work.get(task.student)
        if work is None:
            return  # another notebook of the submission has failed
        if isinstance(result, Died):
            work.documents[task.notebook] = stopped_notebook(task)
        elif isinstance(result, BaseException):
            del self.work[task.student]
            self.fail(task.student, f"not graded, the grader failed: {type(result).__name__}: {result}. Please report this.")
            return
        else:
            work.documents[task.notebook] = result.document
        if len(work.documents) == len(work.names):
            del self.work[task.student]
            work.record.finished = now()
            notebooks = self.recorder.keep(task.student, work.record, work.documents)
            self.store(task.student, work.names, work.timestamp, work.record, notebooks)

    def store(self, student: str, names: list[str], timestamp: str, record: Record, notebooks: dict[str, Any] | None = None) -> None:
        """Record an executed submission, and say what is odd about it."""
        try:
            recorded = self.recorder.record(student, names, self.assignment.students[student], timestamp, notebooks)
        except REFUSED as error:
            self.fail(student, f"executed, but not recorded: {error}")
            return
        except OSError as error:
            self.fail(student, f"executed, but not recorded: {error}. Put it right, then run the command again.")
            return
        if recorded:
            self.summary.graded.append(student)
            self.tell(student, record)
        self.advance()

    def tell(self, student: str, record: Record) -> None:
        sentences = record.problems + [n["sentence"] for n in record.notes if not n.get("honest", True)]
        if sentences:
            self.summary.problems[student] = sentences
        for sentence in sentences:
            self.say(f"{student}: {sentence}")

    def record_waiting(self) -> None:
        """Try once more what the gradebook did not take; patiently, for there is nothing else left to do."""
        waiting, self.recorder.waiting = self.recorder.waiting, []
        self.recorder.patient = True
        for student in waiting:
            record = records.load(self.root, self.assignment.name, student)
            self.store(student, list(self.assignment.templates), self.assignment.read(student).timestamp, record)

    def fail(self, student: str, sentence: str) -> None:
        self.summary.failed[student] = sentence
        self.say(f"{student}: {sentence}")
        self.advance()

    def advance(self) -> None:
        if self.progress:
            self.progress.advance()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def stopped_notebook(task: Any) -> str:
    """What stands for a submission that ends every process that grades it: unanswered, with the reason."""
    reason = "the process that graded it ended each time, also when nothing else ran"
    sentence = (f"The file {task.notebook}.ipynb cannot be graded: {reason}. "
                f"Look at it, then run `elbolab grade --force --students {task.student}`.")
    notebook, notes = intake.unreadable(task.template, f"{task.notebook}.ipynb", reason)
    for cell in engine.test_cells(notebook):
        engine.no_verdict(cell, sentence)
    engine.sign(notebook, task.seed, task.sandbox, 0.0, [*task.notes, *notes], [sentence])
    return nbformat.writes(notebook, version=4)
