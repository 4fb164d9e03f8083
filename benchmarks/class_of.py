"""Made-up classes for benchmarks/grading.py: a light notebook, its students, and course folders that nbgrader can grade.

A class is a function of its seed: the names, who is right in which unusual way, and who makes which named mistake.
"""

import copy
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from autograder.catalogue import all_checks, exercise_of
from autograder.demo import fill_in, grade_id

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "exercises"
CELLS = {
    "gaussian": "ReparameterizedDiagonalGaussian",
    "bernoulli": "bernoulli_log_likelihood",
    "gaussian_kl": "gaussian_kl",
    "variational_inference": "VariationalInference",
}
SETUP = """\
import math

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from autograder import check
from elbolab.distributions import Bernoulli
from elbolab.inference import reduce
"""
PLOT = """\
torch.manual_seed(1)
samples = torch.distributions.Normal(torch.zeros(400), 2.0).sample()
ax = sns.histplot(samples.numpy(), bins=30, stat="density")
ax.set(xlabel="z", ylabel="density")
plt.show()
"""
GIVEN = "Ada Blaise Carl Daniel Emmy Florence Grace Henri Ida Joseph Kathleen Leonhard Mary Niels Olga Rosalind Sofia Ulla".split()
FAMILY = "Abel Bayes Cauchy Dirac Euler Fisher Gauss Hopper Ito Jensen Kullback Lovelace Markov Noether Pascal Renyi Tukey Weil".split()
# What the configuration of a plain nbgrader course says; the folders are named as in ours, so that both can be made alike.
PLAIN_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "benchmark"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
c.GenerateAssignment.force = True
c.ClearMarkScheme.enforce_metadata = False
c.Execute.timeout = 120
"""


@dataclass(frozen=True)
class Student:
    """One submission: `answers` replace the source of cells by grade_id; `honest` is right in every exercise."""

    name: str
    honest: bool
    answers: dict


def light(solved):
    """The light notebook, solved: three checks of unit 01 and one plot. `solved` is unit 01's solved notebook."""
    cells = {grade_id(cell): cell for cell in copy.deepcopy(solved).cells if grade_id(cell)}
    order = ["gaussian", "check_gaussian_log_prob", "bernoulli", "check_bernoulli", "gaussian_kl", "check_gaussian_kl"]
    notebook = nbformat.v4.new_notebook(metadata=solved.metadata)
    notebook.cells = [new_code_cell(SETUP, id="setup"), *(cells[name] for name in order), new_code_cell(PLOT, id="plot")]
    return notebook


def unit01():
    """Unit 01's exercises, solved."""
    return nbformat.read(ROOT / "solutions" / "01_vae" / f"{NOTEBOOK}.ipynb", as_version=4)


def students(number, seed, cells=("gaussian", "bernoulli", "gaussian_kl"), wrong=0.4):
    """`number` students: most are right, each exercise in one of its right forms; the others make a named mistake or leave it out.

    The same seed gives the same students whatever the number: a small class is the beginning of a larger one.
    """
    rng, made = random.Random(seed), []
    for index in range(number):
        name = f"{rng.choice(GIVEN)}_{rng.choice(FAMILY)}_{index + 1:04d}".lower()
        answers = {cell: rng.choice(_right(cell)) for cell in cells}
        honest = index == 0 or rng.random() >= wrong
        if not honest:
            cell = rng.choice(cells)
            answers[cell] = rng.choice([*_mistakes(cell), *_broken(cell)])
        made.append(Student(name, honest, answers))
    return made


def _right(cell):
    exercise = exercise_of(CELLS[cell])
    return [exercise.solution, *map(exercise.source, exercise.variants.values())]


def _mistakes(cell):
    exercises = [exercise for exercise in all_checks().values() if exercise.target == CELLS[cell]]
    return [exercise.source(way) for exercise in exercises for mistake in exercise.mistakes for way in mistake.ways]


def _broken(cell):
    """Not answered, a syntax error, a name that is not there."""
    solution = exercise_of(CELLS[cell]).solution
    return ["raise NotImplementedError", solution.replace("return", "return (", 1), solution.replace("torch.", "tensorflow.", 1)]


def course_of(folder, unit, solved, class_, config):
    """A course in `folder`: the solved notebook, the released one, a gradebook, and the class's submissions.

    Arguments:
        config: the text of nbgrader_config.py.

    Raises:
        SystemExit: nbgrader could not make the student version; with its own words.
    """
    for part in (folder / "solutions" / unit, folder / "course"):
        part.mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbformat.write(solved, folder / "solutions" / unit / f"{NOTEBOOK}.ipynb")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", unit]
    made = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"nbgrader could not make the student version of {unit}:\n{made.stderr[-3000:]}")
    released = nbformat.read(folder / "assignments" / unit / f"{NOTEBOOK}.ipynb", as_version=4)
    perfect = fill_in(released, solved)
    for student in class_:
        notebook = copy.deepcopy(perfect)
        for cell in notebook.cells:
            cell.source = student.answers.get(grade_id(cell), cell.source)
        target = folder / "submitted" / student.name / unit
        target.mkdir(parents=True)
        nbformat.write(notebook, target / f"{NOTEBOOK}.ipynb")
    shutil.copy(folder / "gradebook.db", folder / "gradebook.fresh")
    return folder


def environment():
    """For every command: what `check` needs to know in a stock kernel (give points back, train briefly), and nbgrader's alembic.

    Our kernels set the first two themselves, and compute with one thread; stock nbgrader gets that, too.
    """
    one = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **one, "ELBOLAB_GRADING": "1", "ELBOLAB_FAST": "1", "PATH": path}


def reset(folder):
    """The course as before grading."""
    for made in ("autograded", "feedback", ".elbolab"):
        shutil.rmtree(folder / made, ignore_errors=True)
    shutil.copy(folder / "gradebook.fresh", folder / "gradebook.db")


def scores(folder, unit):
    """{student: {test cell: points}} of the automatic scores in the gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {g.name: g.auto_score for n in submission.notebooks for g in n.grades if g.name.startswith("check_")}
            for submission in gradebook.assignment_submissions(unit)
        }
