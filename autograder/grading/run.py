"""Runs a notebook in a session and judges its tests.

A test cell is the instructor's; each `check("name", EXPRESSION)` in it is taken apart here: the inputs are drawn here, the
session's process calls the student's code on them, and what comes back is judged here. `check` itself is never called, and
nothing that a cell prints, displays or returns is read as a score.
"""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from nbformat.v4 import new_output

from autograder.channel import Malformed
from autograder.grading.outputs import clean_outputs
from autograder.grading.sandbox import Limits
from autograder.grading.session import Lost, ParentDied, Session
from autograder.written import VERDICT_MIME

__all__ = ["Run", "checks_in", "derive", "is_test", "no_verdict", "run_notebook", "test_cells"]

MOST_OUTPUT = 32 << 20  # characters of outputs in a notebook
WORDS = {
    "ended": "This cell ended the process that ran it; nothing of it counts.",
    "late": "This cell could not be stopped when its time was over, so its process was ended; nothing of it counts.",
    "output": "This cell wrote more output than is read, so its process was ended; nothing of it counts.",
    "memory": "This cell took more memory than a submission may use, so its process was ended; nothing of it counts.",
    "again": "This cell ended its process when it was run once more after a later cell had; nothing of it counts.",
}


def run_notebook(notebook: Any, seed: int, limits: Limits, open_session: Callable[[], Session]) -> list[str]:
    """Run every cell in place and judge the tests; returns what went wrong, in sentences."""
    return Run(notebook, seed, limits, open_session).go()


class Run:
    """One notebook's way through one or, where its code ends the process, several sessions."""

    def __init__(self, notebook: Any, seed: int, limits: Limits, open_session: Callable[[], Session]):
        self.cells, self.seed, self.limits, self.open_session = notebook.cells, seed, limits, open_session
        self.deadline = time.monotonic() + limits.notebook_seconds
        self.session: Session | None = None
        self.lost: dict[int, str] = {}  # cells that ended their process
        self.sessions = 0
        self.excused = 1  # how often the warm parent may die before a cell is blamed
        self.problems: list[str] = []
        self.room = MOST_OUTPUT

    def go(self) -> list[str]:
        try:
            for index, cell in enumerate(self.cells):
                if cell.cell_type != "code":
                    continue
                cell.outputs, cell.execution_count = [], None
                if is_test(cell):
                    self.judge(index, cell)
                elif cell.source.strip():
                    self.run(index, cell)
        finally:
            if self.session:
                self.session.close()
        return self.problems

    def run(self, index: int, cell: Any) -> None:
        """Run one cell; if it ends its process, the next one starts as if the cell were not there."""
        if why := self.spent():
            cell.outputs = [error_output("NotRun", f"This cell was not run: {why}.")]
            return
        try:
            reported = self.excusing(index, lambda session: session.run(cell.source, self.seconds()))
            if any(isinstance(output, dict) and output.get("ename") == "MemoryError" for output in reported):
                raise Lost("memory")  # what fills it is still there, and the next exercise would pay for it
            cell.outputs = self.kept(reported)
            if any(output.get("ename") == "CellTimeoutError" for output in cell.outputs):
                self.problems.append(f"{self.place(index)} ran too long and was stopped.")
        except Lost as lost:
            self.lose(index, str(lost))
            cell.outputs = [error_output("ProcessEnded", WORDS[str(lost)])]

    def kept(self, reported: list[Any]) -> list[Any]:
        """The outputs that go into the notebook: clean, and within what a whole notebook may show."""
        outputs = clean_outputs(reported)
        self.room -= sum(len(json.dumps(output)) for output in outputs)
        if self.room >= 0:
            return outputs
        text = "Left out: the outputs of this notebook are too large."
        return [new_output("stream", text=text), *(output for output in outputs if output.output_type == "error")]

    def judge(self, index: int, cell: Any) -> None:
        """Judge the checks of a test cell, and leave its points as the only result."""
        from autograder.catalogue import all_checks

        parts = list(checks_in(cell.source))
        checks = [all_checks().get(part[1]) for part in parts if part[0] == "check"]
        if not checks or None in checks:
            sentence = "No check of the course decides this cell: a person grades it."
            cell.outputs = [new_output("display_data", data={"text/plain": sentence})]
            if None in checks:
                self.problems.append(f"The test {self.place(index)} names a check that there is not; a person has to grade it.")
            return
        points = 0.0
        for part in parts:
            if part[0] == "run":
                self.run_beside(index, part[1])
            else:
                verdict = self.verdict(index, all_checks()[part[1]], part[2])
                points += verdict.points
                cell.outputs.append(verdict_output(all_checks()[part[1]], verdict))
        points = min(max(points, 0.0), float(cell.metadata.nbgrader.points))
        cell.outputs.append(new_output("execute_result", data={"text/plain": repr(points)}, execution_count=None))

    def run_beside(self, index: int, source: str) -> None:
        """A statement of the test cell that is no check; what it shows is not kept."""
        try:
            if not self.spent():
                self.excusing(index, lambda session: session.run(source, self.seconds()))
        except Lost as lost:
            self.lose(index, str(lost))

    def verdict(self, index: int, check: Any, expression: str) -> Any:
        """Draw here, probe there, judge here."""
        from autograder.border import decode, encode
        from autograder.verdict import draw_inputs, troubled

        if why := self.spent():
            return troubled(check, f"Not judged: {why}.")
        inputs = draw_inputs(check, derive(self.seed, check.name, "inputs"))
        request = {
            "do": "probe", "probe": f"{check.probe.__module__}:{check.probe.__qualname__}", "expression": expression,
            "seed": derive(self.seed, check.name, "probe"), "seconds": min(self.limits.probe_seconds, self.seconds()),
        }
        try:
            outputs = decode(self.excusing(index, lambda session: session.probe(request, encode(inputs))))
        except Malformed as error:
            return troubled(check, f"What came back from your code cannot be read: {error}.")
        except Lost as lost:
            self.lose(index, str(lost))
            said = WORDS[str(lost)].replace("This cell", "Your code, when it was called,")
            return troubled(check, said.replace("; nothing of it counts", ""))
        return judged(check, inputs, outputs)

    def lose(self, index: int, reason: str) -> None:
        """Note that a cell ended its process. The next one is started when it is needed."""
        self.lost[index] = reason
        self.problems.append(f"{self.place(index)}: {WORDS[reason].replace('This cell', 'it')}")
        if self.session:
            self.session.close()
        self.session = None

    def ready(self, index: int) -> Session:
        """The session; a new one first runs what stands before cell `index`, without tests and without what ended one before."""
        while self.session is None:
            self.session = self.open_session()
            self.sessions += 1
            for earlier, cell in enumerate(self.cells[:index] if self.sessions > 1 else []):
                if cell.cell_type != "code" or not cell.source.strip() or is_test(cell) or earlier in self.lost or self.spent():
                    continue
                try:
                    self.session.run(cell.source, self.seconds())
                except (Lost, ParentDied):
                    self.lose(earlier, "again")
                    cell.outputs = [error_output("ProcessEnded", WORDS["again"])]
                    break
        return self.session

    def excusing(self, index: int, step: Callable[[Session], Any]) -> Any:
        """Take a step; once more, in a new process, if the warm parent died of it: that need not be the submission's fault."""
        while True:
            try:
                return step(self.ready(index))
            except ParentDied:
                if self.session:
                    self.session.close()
                self.session = None
                if not self.excused:
                    raise Lost("ended") from None
                self.excused -= 1

    def seconds(self) -> float:
        """Time for one step."""
        return max(1.0, min(self.limits.cell_seconds, self.deadline - time.monotonic()))

    def spent(self) -> str:
        """Why nothing more is run; "" while there is something left."""
        if time.monotonic() > self.deadline:
            return f"the notebook had used its {self.limits.notebook_seconds:g} seconds"
        return ""

    def place(self, index: int) -> str:
        name = self.cells[index].metadata.get("nbgrader", {}).get("grade_id")
        return f"Cell {index + 1} ({name})" if name else f"Cell {index + 1}"


def test_cells(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook.cells if is_test(cell))


test_cells.__test__ = False


def is_test(cell: Any) -> bool:
    mark = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(mark.get("grade")) and not mark.get("solution")


def checks_in(source: str) -> Iterator[tuple[str, ...]]:
    """A test cell's statements: ("check", name, expression) for each `check("name", EXPRESSION)`, else ("run", text)."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return
    for statement in body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check" and len(call.args) == 2
                and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
            yield "check", call.args[0].value, ast.unparse(call.args[1])
        else:
            yield "run", ast.unparse(statement)


def derive(seed: int, *words: str) -> int:
    """A seed for one purpose; from it the submission's seed cannot be told."""
    text = "/".join([str(seed), *words])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


# --- verdicts as outputs -------------------------------------------------------------------------


def judged(check: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """The verdict, whatever the outputs are; a judge that they keep busy or fill the memory of is stopped."""
    from autograder.grading.guard import bounded
    from autograder.timing import OutOfTime
    from autograder.verdict import judge_outputs, troubled

    try:
        with bounded():
            return judge_outputs(check, inputs, outputs)
    except (OutOfTime, MemoryError):
        return troubled(check, "What your code returned cannot be judged: it is too large.")


def verdict_output(check: Any, verdict: Any) -> Any:
    from autograder.notebook import plain
    from autograder.panels import verdict_panel

    shown = {"text/html": verdict_panel(check, verdict, draw=False), "text/plain": plain(verdict)}
    return new_output("display_data", data={**shown, VERDICT_MIME: verdict.record()})


def no_verdict(cell: Any, sentence: str) -> None:
    cell.outputs, cell.execution_count = [error_output("NoVerdict", sentence)], None


def error_output(name: str, sentence: str) -> Any:
    return new_output("error", ename=name, evalue=sentence, traceback=[sentence])
