"""How the suite runs: one thread for each process, which tests stay together when several workers share it, and what comes first."""

import os
from pathlib import Path

import pytest

# Workers share the cores, and so do the processes that tests start. No test has imported torch by now.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

HERE = Path(__file__).resolve().parent
# What takes longest is begun first: whatever is begun last keeps one worker busy alone.
LONGEST = ("threats/test_threats.py", "threats/alone", "demo class", "grading/test_sandbox.py")


def file_of(item):
    return item.path.relative_to(HERE).as_posix()


def shares(item):
    """Whether it looks at something that is made once for several tests of its file."""
    return any(found[-1].scope in ("module", "class", "package") for found in item._fixtureinfo.name2fixturedefs.values())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A file's tests go to one worker, in their order; a slow test that shares nothing with them goes to whichever has time for it."""
    slow = {file_of(item) for item in items if item.get_closest_marker("slow")}
    for item in items:
        alone = item.get_closest_marker("slow") and not shares(item)
        if not alone and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(file_of(item)))

    def turn(item):
        group = item.get_closest_marker("xdist_group")
        name = group.args[0] if group else None
        return LONGEST.index(name) if name in LONGEST else len(LONGEST) + (file_of(item) not in slow)

    items.sort(key=turn)
