"""A course of one tiny unit, 01_demo, so that the tests of the notebook pipeline take seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = "01_demo"
SECRET = "return 2 * number"  # a line of the solution that no student version may show

LECTURE = '''\
# %% [markdown]
# # 1 · Doubling: lecture
#
# **Goals**
# - you can say what doubling is
# - you can see it in a figure
#
# **Prerequisites**: none
#
# **Time**: 5 minutes

# %%
print(2 * 21)

# %% [markdown]
# ## Further reading
# - [Doubling](https://example.org/doubling)
# - [Halving](https://example.org/halving)
'''

EXERCISES = '''\
# %% [markdown]
# # 1 · Doubling: exercises
#
# **Goals**
# - you can double
# - you can square
#
# **Prerequisites**: the lecture
#
# **Time**: 10 to 20 minutes
#
# **Points**: 5

# %%
import os

from IPython.display import display


def check(name, function):
    """Stands in for autograder.check: two points if the number is right, one if only the sign is wrong."""
    wanted = {"demo.double": 6, "demo.square": 9}[name]
    most = {"demo.double": 2, "demo.square": 1}[name]
    got = function(3)
    points = float(most if got == wanted else most - 1 if got == -wanted else 0)
    record = {"check": name, "passed": points == most, "points": points, "max_points": most,
              "misconception": "sign" if got == -wanted else None, "message": f"got {got}"}
    display({"application/vnd.elbolab.verdict+json": record, "text/plain": str(record)}, raw=True)
    if os.environ.get("ELBOLAB_GRADING") == "1":
        return points
    assert points == most, f"{name} wants {wanted} and got {got}"

# %% [markdown]
# ### Exercise 1a: double
# Difficulty: ●○○ · Time: 5 min · Points: 2

# %% nbgrader={"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true}
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    return 2 * number
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_double", "locked": true, "points": 2, "schema_version": 3, "solution": false}
check("demo.double", double)

# %% [markdown]
# ### Exercise 1b: square
# Difficulty: ●●○ · Time: 5 min · Points: 1

# %% nbgrader={"grade": false, "grade_id": "square", "locked": false, "schema_version": 3, "solution": true}
def square(number):
    """The number times itself."""
    ### BEGIN SOLUTION
    return number * number
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_square", "locked": true, "points": 1, "schema_version": 3, "solution": false}
check("demo.square", square)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_why", "locked": true, "schema_version": 3, "solution": false}
# ### Exercise 2: why double?
# Difficulty: ●●● · Time: 5 min · Points: 2
#
# Why would one double a number?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that it grows
# - 1 mark: says by how much
#
# **Exemplar, 2 of 2**: "It becomes twice as large."
#
# **Exemplar, 1 of 2**: "It becomes larger." (not by how much)
#
# **Exemplar, 0 of 2**: "It is fun." (no reason)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_why", "locked": false, "points": 2, "schema_version": 3, "solution": true}
# Because afterwards it is exactly twice as large as before.

# %% [markdown]
# ## Further reading
# - Somebody (1999), *Doubling*.
#   [Page](https://example.org/doubling)
# - [Halving](https://example.org/halving)
'''


def write_course(root):
    """Writes the masters, a figure and the repository's own nbgrader settings into `root`; returns it."""
    unit = Path(root) / "course" / UNIT
    (unit / "figures").mkdir(parents=True)
    (unit / "figures" / "double.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>\n")
    (unit / "notes_for_teachers.txt").write_text("stays in the course folder\n")
    (unit / "lecture.py").write_text(LECTURE, encoding="utf-8")
    (unit / "exercises.py").write_text(EXERCISES, encoding="utf-8")
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    return Path(root)


def read(path):
    return nbformat.read(path, as_version=4)


def cell_named(notebook, grade_id):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def submission(released, **sources):
    """The student version with the text of some nbgrader cells replaced: `submission(nb, double="...")`."""
    notebook = nbformat.from_dict(released)
    for grade_id, source in sources.items():
        cell_named(notebook, grade_id).source = source
    return notebook


RIGHT = {
    "double": "def double(number):\n    return number + number",
    "square": "def square(number):\n    return number ** 2",
    "answer_why": "It gets twice as large.",
}


def environment(**extra):
    """The environment for a command: the checkout importable, nothing that another test or a notebook server left."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "NBGRADER_", "ELBOLAB_GRADING"))}
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "lib"), kept.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**kept, "PYTHONPATH": path, **extra}


def nbgrader(folder, *arguments, code=0, **extra):
    """Runs `nbgrader ...` in `folder` as a person would; returns what it printed, and demands the exit code."""
    done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=folder, env=environment(**extra),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    assert done.returncode == code, done.stdout[-3000:]
    return done.stdout


def hand_in(course, student, notebook, unit=UNIT):
    """Puts a notebook, or any text, where nbgrader finds a student's submission."""
    folder = course / "submitted" / student / unit
    folder.mkdir(parents=True)
    text = notebook if isinstance(notebook, str) else nbformat.writes(notebook)
    (folder / "exercises.ipynb").write_text(text, encoding="utf-8")


def scores(course, unit=UNIT):
    """{student: {cell: auto score}} from the gradebook; None where a person has to mark."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {submission.student.id: {grade.name: grade.auto_score for grade in submission.notebooks[0].grades}
                for submission in gradebook.assignment_submissions(unit)}
