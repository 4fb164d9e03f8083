"""What nbgrader needs so that one broken submission costs nobody else anything and noise costs nobody points.

nbgrader_config.py names these classes at nbgrader's own extension points; nbgrader itself is as it comes.

    SubmissionExporter  reads a submission however broken its file is           (from autograder.restore)
    RestoreCells        gives every cell its own metadata back                  (from autograder.restore)
    ExecuteSubmission   runs it: a cell that never ends, or kills the kernel, is that cell's failure
    ScoreOutputs        a test cell earns exactly the points that its check returned
"""

import copy
import math
import os
from time import monotonic

import nbformat
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution
from traitlets import Bool, Dict, Integer, Unicode

from autograder import VERDICT_MIME
from autograder.restore import RestoreCells, SubmissionExporter

__all__ = ["VERDICT_MIME", "ExecuteSubmission", "RestoreCells", "ScoreOutputs", "SubmissionExporter", "verdicts"]


def verdicts(notebook):
    """What the checks said in an executed notebook: [{grade_id, check, points, ..., misconception, message}].

    For reports only. The score is the value of the test cell; this record stands in outputs that code can write to.
    """
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if is_grade(cell) else []:
            record = output.get("data", {}).get(VERDICT_MIME)
            if isinstance(record, dict):
                found.append({"grade_id": cell.metadata.nbgrader.grade_id, **record})
    return found


def grading_environment():
    """The kernel's environment: short budgets, checks that return points, inline figures, one thread. Not our own."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    return {**threads, **os.environ, **inline, "ELBOLAB_FAST": "1", "ELBOLAB_GRADING": "1"}


class ExecuteSubmission(Execute):
    """nbgrader's Execute that always comes to the end of the notebook.

    A cell that never ends is interrupted. One that cannot be interrupted, or that kills the kernel, is marked as
    failed; then a fresh kernel runs what came before it, that cell left out, and the rest goes on.
    """

    notebook_timeout = Integer(900, help="Seconds for a whole notebook.").tag(config=True)
    restarts = Integer(3, help="How many kernels a submission may lose before the rest is left unrun.").tag(config=True)
    iopub_timeout = Integer(10).tag(config=True)
    shutdown_kernel = Unicode("immediate")
    store_widget_state = Bool(False).tag(config=True)
    error_on_timeout = Dict({
        "ename": "CellTimeoutError",
        "evalue": "this cell ran too long and was stopped",
        "traceback": ["This cell ran too long and was stopped. Is there a loop that never ends?"],
    }).tag(config=True)

    def preprocess(self, nb, resources, km=None):
        """Runs the notebook in place; raises only if no kernel can be started at all."""
        self.deadline, self.lost, self.asked_exit = monotonic() + self.notebook_timeout, set(), False
        return super().preprocess(nb, resources, km)

    def setup_kernel(self, **kwargs):
        """As nbclient's, with the kernel's environment its own."""
        return super().setup_kernel(env=grading_environment(), **kwargs)

    def _get_timeout(self, cell):
        limit = super()._get_timeout(cell) or self.notebook_timeout
        return max(1, min(limit, math.ceil(self.deadline - monotonic())))

    def on_cell_executed(self, **kwargs):
        """Notes that a cell called exit(), which ends the kernel a moment after its reply."""
        super().on_cell_executed(**kwargs)
        payload = kwargs["execute_reply"]["content"].get("payload") or []
        self.asked_exit = any(isinstance(part, dict) and part.get("source") == "ask_exit" for part in payload)

    def preprocess_cell(self, cell, resources, index):
        """Runs one cell; never raises for what the cell does."""
        if cell.cell_type != "code" or not cell.source.strip():
            return cell, self.resources
        if len(self.lost) > self.restarts:
            _fail(cell, "NotRun", f"This cell was not run: {len(self.lost)} cells before it ended the kernel.")
        elif monotonic() > self.deadline:
            _fail(cell, "NotRun", f"This cell was not run: the notebook had used its {self.notebook_timeout} seconds.")
        elif reason := self._run(cell, index):
            self._lose(cell, index, reason)
        return cell, self.resources

    def _run(self, cell, index):
        """Runs the cell; a sentence if the kernel is no longer to be had after it, else None."""
        self.asked_exit = False
        try:
            self.execute_cell(cell, index, store_history=True)
        except Exception as error:  # a dead kernel, one that ignores interrupts, messages out of order
            self.log.warning("Cell %d of the submission ended its kernel: %s", index, error)
            return "This cell ended the kernel or could not be stopped; nothing of it counts."
        return "This cell called exit() or quit(), which ends the kernel." if self.asked_exit else None

    def _lose(self, cell, index, reason):
        """Marks the cell and gives the rest of the notebook a kernel in the state that it would have without it."""
        self.lost.add(index)
        _fail(cell, "KernelLost", reason)
        while len(self.lost) <= self.restarts and (culprit := self._replay(index)) is not None:
            self.lost.add(culprit)
            _fail(self.nb.cells[culprit], "KernelLost", "This cell ended the kernel when it was run once more.")

    def _replay(self, end):
        """Runs the cells before `end` that are no tests in a new kernel; the index of one that kills it, else None."""
        self._cleanup_kernel()
        self.km = self.create_kernel_manager()
        self.start_new_kernel(env=grading_environment())
        self.start_new_kernel_client()
        for index, cell in enumerate(self.nb.cells[:end]):
            if cell.cell_type != "code" or is_grade(cell) or index in self.lost or monotonic() > self.deadline:
                continue
            again, kept = copy.deepcopy(cell), cell
            reason = self._run(again, index)
            self.nb.cells[index] = kept  # nbclient puts the cell that it ran into the notebook
            if reason:
                return index
        return None


def _fail(cell, name, sentence):
    cell.outputs = [*cell.get("outputs", []), new_output("error", ename=name, evalue=sentence, traceback=[sentence])]


class ScoreOutputs(NbGraderPreprocessor):
    """Leaves in each test cell one result that nbgrader reads as the points earned, or an error that it reads as zero.

    nbgrader by itself gives full points to a test cell without a result, with one that is no number, with NaN or with a
    negative one, stops at one above the maximum, and gives zero for a library's warning on stderr.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Rewrites the outputs of a test cell; other cells stay as they are."""
        if not is_grade(cell) or is_solution(cell) or cell.cell_type != "code":
            return cell, resources
        results = [output for output in cell.outputs if output.output_type == "execute_result"]
        failed = any(output.output_type == "error" for output in cell.outputs)
        points, maximum = _number(results), float(cell.metadata.nbgrader.points)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.name = "stdout"  # whoever wrote to stderr, the points are what the check returned
        if failed or points is None or not 0 <= points <= maximum:
            cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]
            if not failed:
                _fail(cell, "NoVerdict", _why(results, points, maximum))
        else:
            results[0].data = nbformat.from_dict({"text/plain": repr(points)})
        return cell, resources


def _number(results):
    """The value of the only result as a finite float, else None."""
    try:
        (result,) = results
        value = float(result.data["text/plain"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _why(results, points, maximum):
    if not results:
        return "This test gave no result, so it earns no points. Was `check` replaced, or did the cell not run?"
    if points is None:
        return "This test's result is not one number, so it earns no points. Was `check` replaced?"
    return f"This test's result, {points:g}, is not between 0 and {maximum:g}, so it earns no points."
