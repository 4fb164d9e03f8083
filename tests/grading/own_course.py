"""A course with a teacher's own unit: the example of autograder/units/README.md, word for word."""

import re
import shutil
from pathlib import Path

from grading_course import REPOSITORY, hand_in, read
from small_course import nbgrader, scores, submission

from autograder import masters

__all__ = ["CHECKS", "FOLDER", "INIT", "MASTER", "PAGE", "RIGHT", "answered", "hand_in", "nbgrader", "released", "scores", "write_course"]

FOLDER = "05_mine"
PAGE = REPOSITORY / "autograder" / "units" / "README.md"
CHECKS, MASTER, INIT = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
RIGHT = "def entropy(logits):\n    return torch.distributions.Categorical(logits=logits).entropy()\n"


def write_course(root, checks=CHECKS, probes=None, master=MASTER):
    """The masters and the repository's own settings in `root`; returns it."""
    folder = Path(root) / "course" / FOLDER
    folder.mkdir(parents=True)
    (folder / "exercises.py").write_text(master, encoding="utf-8")
    (folder / "checks.py").write_text(checks, encoding="utf-8")
    if probes is not None:
        (folder / "probes.py").write_text(probes, encoding="utf-8")
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    return Path(root)


def released(root, **changes):
    """A course whose notebooks are written, and known to nbgrader."""
    course = write_course(root, **changes)
    masters.build(course)
    nbgrader(course, "generate_assignment", FOLDER)
    return course


def answered(course, source):
    """The student version with this answer."""
    return submission(read(course / "assignments" / FOLDER / "exercises.ipynb"), entropy=source)
