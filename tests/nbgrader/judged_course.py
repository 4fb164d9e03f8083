"""The small course with two real checks, so that its points are decided where a class's are: outside the submission's process."""

import small_course
from small_course import EXERCISES, UNIT

from autograder.catalogue import exercise_of

__all__ = ["KL", "PIXELS", "RIGHT", "UNIT", "write_course"]

KL, PIXELS = exercise_of("gaussian_kl").solution, exercise_of("bernoulli_log_likelihood").solution
RIGHT = {"double": KL, "square": PIXELS, "answer_why": "It gets twice as large."}
FIRST = """\
# %%
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli

from autograder import check
from elbolab.inference import reduce

"""


def solution(source):
    """As a master has it."""
    head, _, body = source.strip().partition("\n")
    return f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION\n"


def between(text, start, end, new):
    before, rest = text.split(start, 1)
    return before + new + end + rest.split(end, 1)[1]


def exercises():
    """The master: exercise 1a asks for the KL divergence, 1b for the Bernoulli log-likelihood, three points each."""
    text = between(EXERCISES, "# %%\nimport os", "# %% [markdown]\n# ### Exercise 1a", FIRST)
    text = between(text, "def double(number)", '\n# %% nbgrader={"grade": true, "grade_id": "check_double"', solution(KL))
    text = between(text, "def square(number)", '\n# %% nbgrader={"grade": true, "grade_id": "check_square"', solution(PIXELS))
    text = text.replace('check("demo.double", double)', 'check("vae.gaussian_kl", gaussian_kl)')
    text = text.replace('check("demo.square", square)', 'check("vae.bernoulli", bernoulli_log_likelihood)')
    for old, new in (("**Points**: 5", "**Points**: 8"), ("Points: 2\n\n# %% nb", "Points: 3\n\n# %% nb"), ("Points: 1", "Points: 3"),
                     ('"check_double", "locked": true, "points": 2', '"check_double", "locked": true, "points": 3'),
                     ('"check_square", "locked": true, "points": 1', '"check_square", "locked": true, "points": 3')):
        assert old in text, old
        text = text.replace(old, new)
    return text


def write_course(root):
    """As small_course's, with these exercises."""
    course = small_course.write_course(root)
    (course / "course" / UNIT / "exercises.py").write_text(exercises(), encoding="utf-8")
    return course
