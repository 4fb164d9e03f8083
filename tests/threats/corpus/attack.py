"""What an entry of the corpus is, and what it is made from."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.catalogue import exercise_of

__all__ = ["CELLS", "EARNS_ALL", "NOTHING", "RIGHT", "Attack", "Kit", "cell_named", "dummies", "entry", "files", "noted", "solved"]

# The cells that a person fills, with what a right answer looks like, and the cells that give points by machine.
RIGHT = {
    "gaussian": exercise_of("ReparameterizedDiagonalGaussian").solution,
    "bernoulli": exercise_of("bernoulli_log_likelihood").solution,
    "gaussian_kl": exercise_of("gaussian_kl").solution,
    "answer_why": "The samples follow the parameters, so gradients reach them.",
}
CELLS = ("check_gaussian_rsample", "check_gaussian_log_prob", "check_bernoulli", "check_gaussian_kl")
EARNS_ALL, NOTHING = (4, 4, 3, 3), (0, 0, 0, 0)


@dataclass(frozen=True)
class Kit:
    """What a submission is made of.

    Arguments:
        released: the student version, as nbgrader generated it.
        places: where things are on this machine that a submission must not reach. An adversary may know them all.
    """

    released: Any
    places: dict[str, Any]

    def filled(self, **sources: str) -> Any:
        """The student version with the text of some cells replaced. Code that says PLACES knows where things are."""
        notebook = copy.deepcopy(self.released)
        for name, source in sources.items():
            if "PLACES" in source:
                source = f"PLACES = {json.dumps(self.places)}\n{source}"
            cell_named(notebook, name).source = source
        return notebook

    def solved(self, **sources: str) -> Any:
        """The same, with a right answer in the cells that are not named."""
        return self.filled(**{**RIGHT, **sources})


Submission = Any  # a notebook, the bytes of its file, or a function that fills the folder where it is handed in


@dataclass(frozen=True)
class Attack:
    """One submission of the corpus.

    Arguments:
        name: identifier, and the student's name unless `student` says otherwise.
        clause: the clause of the list of threats that it belongs to, a key of `clauses.CLAUSES`.
        make: makes the submission.
        points: what each of `CELLS` has to earn, exactly.
        reason: a regular expression that something which the teacher or the student reads has to match.
        student: the student's name, where it matters.
        needs: "ordinary user" for what only a person without root's rights can be kept from.
    """

    name: str
    clause: str
    make: Callable[[Kit], Submission]
    points: tuple[float, float, float, float]
    reason: str
    student: str = ""
    needs: str = ""


def cell_named(notebook: Any, name: str) -> Any:
    """The cell with this grade_id."""
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def entry(name: str, clause: str, points: tuple[float, ...], reason: str, student: str = "", **sources: str) -> Attack:
    """The student version with this code in its cells, and nothing else done."""
    return Attack(name, clause, lambda kit: kit.filled(**sources), points, reason, student)


def solved(name: str, clause: str, points: tuple[float, ...], reason: str, student: str = "", **sources: str) -> Attack:
    """A right submission, but for these cells."""
    return Attack(name, clause, lambda kit: kit.solved(**sources), points, reason, student)


def noted(name: str, clause: str, reason: str, change: Callable[[Any], Any], points: tuple[float, ...] = EARNS_ALL) -> Attack:
    """A right submission whose notebook `change` has edited; it returns another notebook, or None for the same one."""

    def make(kit: Kit) -> Any:
        notebook = kit.solved()
        changed = change(notebook)
        return notebook if changed is None else changed

    return Attack(name, clause, make, points, reason)


def files(name: str, clause: str, points: tuple[float, ...], reason: str, fill: Callable[[Kit, Path], None], **more: str) -> Attack:
    """Whatever `fill(kit, folder)` puts into the folder where it is handed in."""
    return Attack(name, clause, lambda kit: lambda folder: fill(kit, folder), points, reason, **more)


def dummies(setup: str = "", call: str = "") -> dict[str, str]:
    """Code for the three cells that is right nowhere and earns nothing; `setup` runs first, `call` in each function."""
    body = call.strip().replace("\n", "\n    ") or "pass"
    deeper = call.strip().replace("\n", "\n        ") or "pass"
    return {
        "gaussian": f"""{setup}
class ReparameterizedDiagonalGaussian:
    def __init__(self, mu, log_sigma):
        self.mu = mu

    def rsample(self):
        {deeper}
        return torch.zeros(self.mu.shape)

    def log_prob(self, z):
        {deeper}
        return torch.full(z.shape, -math.inf)
""",
        "bernoulli": f"""def bernoulli_log_likelihood(logits, x):
    {body}
    return torch.full((len(x),), math.nan)
""",
        "gaussian_kl": f"""def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):
    {body}
    return torch.zeros(len(mu_q))
""",
    }
