"""How the suite runs: one thread for each process, which tests stay together when several workers share it, and what comes first."""

import os
from pathlib import Path

import pytest

# Workers share the cores, and so do the processes that tests start. No test has imported torch by now.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

HERE = Path(__file__).resolve().parent
# What takes longest is begun first: whatever is begun last keeps one worker busy alone.
LONGEST = ("threats/test_threats.py", "threats/test_alone.py", "test_project.py", "grading/test_sandbox.py", "nbgrader/test_submissions.py",
           "nbgrader/test_commands.py", "grading/test_grade_command.py", "notebooks/test_course.py", "e2e/test_jupyterlab.py", "grading/test_faults.py",
           "grading/test_gradebook.py", "grading/test_cluster.py", "grading/test_engine.py", "grading/test_postgres.py", "honest/test_seeds.py",
           "checks/test_power.py")
# A file's tests go to one worker, one after the other, as they may share what is made once for the file. Those of these files share
# nothing, or nothing that takes long, and many take seconds: each goes to the worker that has time for it.
APART = ("checks/test_discrete_power.py", "checks/test_power.py", "grading/test_cluster.py", "grading/test_faults.py", "grading/test_gradebook.py",
         "honest/test_seeds.py", "notebooks/test_course.py")


def place(file):
    return file.removeprefix(f"{HERE.name}/")


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(place(item.nodeid.split("::")[0]), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return nodeid if place(file) in APART else file

    config.option.loadscopereorder = False  # files are in the right order already
    return ByFile(config, log)
