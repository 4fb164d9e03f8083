"""What the students' own code takes: the code cells of a submission, in a fork of a process that has run them before.

No sandbox, no judge, no notebook format: nothing could grade these submissions faster without changing them. Called by
benchmarks/grading.py in a process of its own, because whoever forks must not have threads.

    python benchmarks/floor.py FOLDER UNIT LIMIT ANSWER.json        (FOLDER holds STUDENT/UNIT/exercises.ipynb)
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 3


def floor_of(submitted: Path, unit: str, limit: int) -> dict:
    """{"cells": s, "rest": s}: means over the first `limit` submissions of the medians of the repeats."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}  # as in the sandbox
    environment = {**os.environ, **one, "ELBOLAB_FAST": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "floor.json"  # not stdout, where students' code writes, too
        command = [sys.executable, __file__, str(submitted), unit, str(limit), str(answer)]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        if done.returncode or not answer.exists():
            raise SystemExit(f"The floor could not be measured:\n{done.stderr[-3000:]}")
        return json.loads(answer.read_text())


def run_cells(shell, notebook) -> tuple[float, int]:
    """Seconds for all code cells, output captured, and the number of pictures that came of it."""
    from IPython.utils.capture import capture_output

    begun, pictures = time.perf_counter(), 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            with capture_output() as captured:
                shell.run_cell(cell.source, store_history=True)
            pictures += sum("image/png" in output.data for output in captured.outputs)
    return time.perf_counter() - begun, pictures


def in_a_fork(shell, notebook) -> tuple[float, float]:
    """Seconds for the cells, and for everything from fork to end."""
    reading, writing = os.pipe()
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(run_cells(shell, notebook)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        seconds, pictures = json.loads(pipe.read())
    os.waitpid(child, 0)
    if not pictures:
        raise RuntimeError("no plot was drawn: this would not be the work that is graded")
    return seconds, time.perf_counter() - begun


def main(submitted: Path, unit: str, limit: int, answer: Path) -> None:
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib_inline.backend_inline import configure_inline_support

    from autograder import notebook

    notebook.check = lambda name, student: None  # a test cell costs what its argument costs
    notebook.progress = lambda unit="": None
    shell = InteractiveShell.instance()
    configure_inline_support(shell, os.environ["MPLBACKEND"])
    class_ = [nbformat.read(path, as_version=4) for path in sorted(submitted.glob(f"*/{unit}/*.ipynb"))[:limit]]
    run_cells(shell, class_[0])  # imports, fonts, data: all that only the first one pays for
    runs = [[in_a_fork(shell, submission) for _ in range(REPEATS)] for submission in class_]
    cells = statistics.mean(statistics.median(seconds for seconds, _ in repeats) for repeats in runs)
    whole = statistics.mean(statistics.median(seconds for _, seconds in repeats) for repeats in runs)
    answer.write_text(json.dumps({"cells": cells, "rest": whole - cells}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
