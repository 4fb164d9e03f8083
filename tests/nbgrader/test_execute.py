"""However a notebook misbehaves, running it comes to an end, and the grader's own process is as before."""

import os

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograder.nbgrader_ext import ExecuteSubmission

pytestmark = pytest.mark.slow


def run(*sources, **settings):
    """(outputs of each cell as text) after the cells ran in a kernel of their own."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    executed, _ = ExecuteSubmission(**settings).preprocess(notebook, {"metadata": {"path": os.getcwd()}})
    return [" ".join(map(as_text, cell.outputs)) for cell in executed.cells]


def as_text(output):
    return output.get("evalue", output.get("text", output.get("data", {}).get("text/plain")))


def test_the_kernel_has_an_environment_of_its_own(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    before = dict(os.environ)
    (seen,) = run("import os; [os.environ[k] for k in ('ELBOLAB_FAST', 'ELBOLAB_GRADING', 'OMP_NUM_THREADS', 'MPLBACKEND')]")
    assert seen == "['1', '1', '1', 'module://matplotlib_inline.backend_inline']"
    assert dict(os.environ) == before and "ELBOLAB_GRADING" not in before


def test_a_notebook_out_of_time_leaves_the_rest_unrun():
    first, slow, rest = run("print('first')", "import time; time.sleep(60)", "print('rest')", notebook_timeout=4)
    assert first == "first\n" and "ran too long" in slow and "not run" in rest


def test_a_notebook_that_loses_too_many_kernels_leaves_the_rest_unrun():
    exits = "import os; os._exit(1)"
    number, first, again, second, rest = run("a = 1", exits, "a", exits, "print('rest')", restarts=1)
    assert (number, again) == ("", "1")  # the second kernel has run the first cell again
    assert "ended the kernel" in first and "ended the kernel" in second and "not run" in rest


def test_a_cell_that_only_kills_on_the_second_run_is_found():
    once = "from pathlib import Path; p = Path({!r}); seen = p.exists(); p.touch(); __import__('os')._exit(1) if seen else None"
    marker = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"elbolab-second-run-{os.getpid()}")
    try:
        culprit, killer, rest = run(once.format(marker), "import os; os._exit(1)", "print('rest')")
    finally:
        os.path.exists(marker) and os.remove(marker)
    assert "once more" in culprit and "ended the kernel" in killer and rest == "rest\n"
