"""Pairs of submissions that are more alike than chance explains: a list for a person to look at, never a verdict.

What counts is what two students share and hardly anybody else wrote. Names, literals, comments, formatting and the order of
statements do not count (`autograder.reports.pieces`), nor does what the release gives or the solution says, and a piece
that is common in the class counts little: it weighs log(students / students who wrote it).

Chance is measured in the class itself. For each exercise, a pair's likeness is compared with that of all other pairs, which gives
the share of pairs that are as alike. The logarithms of these shares are added over the exercises, and compared with what
such sums are when the exercises are independent; that chance, times the number of pairs, is `expected`: how many pairs would
be as alike if nobody knew anybody.
So a solution that every third student writes is never evidence, and a small class shows less than a large one. In 590
simulated classes of 10 to 60 students who never met, 10 (1.7 %) had a pair with `expected` of 0.01 or less, the default limit.

What it cannot see: something that a large part of the class shares (it looks like common knowledge), one short exercise alone,
and a copy that was rewritten. What it cannot know: whether two people were allowed to work together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from autograder.reports.pieces import Pieces, pieces_of

__all__ = ["FEWEST", "answers_of", "similar_pairs", "too_few"]

FEWEST = 8  # submissions: with fewer there is nothing to compare a pair with
SHORTEST = 20  # tokens of an answer of its own: what is shorter everyone writes alike
LEAST = 0.4  # the part of two answers that has to be shared before it is evidence
STEP = 0.02  # nats, the grid on which surprises are added
BEYOND = 20.0  # how many times rarer than the class can show directly a pair may count, if it stands far out


def answers_of(notebook: Any) -> dict[str, str]:
    """{grade_id: source} of the code cells that a student writes, from a submitted or graded notebook."""
    answers = {}
    for cell in notebook.cells:
        info = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and info.get("solution") and info.get("grade_id"):
            answers[str(info["grade_id"])] = cell.source
    return answers


def too_few(answers: Mapping[str, Any]) -> str | None:
    """A sentence that says why nothing can be said about a class this small, else None."""
    if len(answers) >= FEWEST:
        return None
    return f"{len(answers)} submissions are too few to tell likeness from chance; it takes {FEWEST}."


def similar_pairs(
    answers: Mapping[str, Mapping[str, str]],
    released: Mapping[str, str],
    solved: Mapping[str, str] | None = None,
    at_most: float = 0.01,
) -> list[dict[str, Any]]:
    """The pairs that are alike beyond chance, strongest first.

    Arguments:
        answers: {student: {grade_id: source}}; a student may lack cells.
        released: {grade_id: source} that all of them started from.
        solved: the instructor's answers: writing those is what was asked for.
        at_most: the largest `expected` that is listed.

    Returns:
        [{"a", "b": students,
          "score": 0 to 1, how much of the rarer code of the two is shared, over the cells below,
          "expected": how many pairs at least as alike chance alone gives in a class like this one,
          "cells": [{"cell": grade_id,
                     "score": 0 to 1, the same for this cell,
                     "common": up to three lines of `a`'s that are shared and rare}, strongest first]}]
        Nothing where there are fewer than FEWEST submissions, see `too_few`.
    """
    students = sorted(answers)
    if too_few(answers):
        return []
    cells = {name: _Cell(own) for name, own in _own_pieces(students, answers, released, solved or {}).items()}
    if not cells:
        return []
    surprises = np.stack([cell.surprise for cell in cells.values()])  # (cells, pairs), in nats
    expected = len(surprises.T) * np.exp(-_combined(surprises))
    pairs = list(combinations(range(len(students)), 2))
    found = []
    for index in np.flatnonzero(expected <= at_most):
        a, b = pairs[index]
        evidence = {n: c for (n, c), nats in zip(cells.items(), surprises[:, index]) if nats > 1.0}
        found.append(_entry(students, a, b, float(expected[index]), evidence))
    return sorted(found, key=lambda pair: (pair["expected"], -pair["score"], pair["a"], pair["b"]))


def _entry(students: list[str], a: int, b: int, expected: float, evidence: dict[str, _Cell]) -> dict[str, Any]:
    cells = [{"cell": name, "score": round(cell.overlap(a, b), 3), "common": cell.common(a, b)} for name, cell in evidence.items()]
    shared = sum(cell.shared[a, b] for cell in evidence.values())
    weight = sum(math.sqrt(cell.weight[a] * cell.weight[b]) for cell in evidence.values())
    order = {name: cell.likeness[a, b] for name, cell in evidence.items()}
    cells.sort(key=lambda entry: -order[entry["cell"]])
    return {"a": students[a], "b": students[b], "score": round(min(1.0, float(shared / weight)), 3), "expected": expected, "cells": cells}


def _own_pieces(students: list[str], answers: Any, released: Any, solved: Any) -> dict[str, list[Pieces]]:
    """{grade_id: for each student the pieces of their own}, cells with nothing to compare left out.

    Pieces of the release and of the solution are nobody's own; an answer that is too short has none. A piece belongs
    to one exercise, the one where most students write it: else a habit would be counted wherever it shows.
    """
    cells: dict[str, list[Pieces]] = {}
    for cell in sorted({name for given in answers.values() for name in given}):
        given, right = pieces_of(released.get(cell, "")), pieces_of(solved.get(cell, ""))
        cells[cell] = []
        for student in students:
            pieces = pieces_of(answers[student].get(cell, ""))
            if pieces.tokens - given.tokens < SHORTEST:
                pieces = Pieces()
            own = {p: line for p, line in pieces.lines.items() if p not in given.lines and p not in right.lines}
            cells[cell].append(Pieces(own, pieces.tokens))
    written = {cell: Counter(piece for pieces in own for piece in pieces.lines) for cell, own in cells.items()}
    home: dict[tuple[str, ...], str] = {}
    for cell, counts in written.items():
        for piece, count in counts.items():
            if piece not in home or count > written[home[piece]][piece]:
                home[piece] = cell
    for cell, own in cells.items():
        for pieces in own:
            pieces.lines = {piece: line for piece, line in pieces.lines.items() if home[piece] == cell}
    return {cell: own for cell, own in cells.items() if sum(bool(pieces.lines) for pieces in own) >= 2}


class _Cell:
    """One exercise of the whole class.

    Arguments:
        own: the pieces of each student.

    `shared` and `likeness` are `(students, students)`, `weight` is `(students,)`, `surprise` is `(pairs,)`.
    """

    def __init__(self, own: list[Pieces]):
        self.own, number = own, len(own)
        writers = Counter(piece for pieces in own for piece in pieces.lines)
        self.rarity = {piece: math.log(number / count) for piece, count in writers.items()}
        self.weight = np.array([sum(self.rarity[piece] for piece in pieces.lines) for pieces in own])
        columns = {piece: index for index, piece in enumerate(piece for piece, count in writers.items() if 2 <= count < number)}
        table = np.zeros((number, len(columns)), np.float32)  # (students, pieces): the root of the rarity where it was written
        for row, pieces in enumerate(own):
            for piece in pieces.lines.keys() & columns.keys():
                table[row, columns[piece]] = math.sqrt(self.rarity[piece])
        self.shared = (table @ table.T).astype(float)
        overlap = (self.shared / np.sqrt(np.outer(self.weight, self.weight)).clip(1e-9)).clip(0, 1)
        # How much is shared, discounted by what is not: long answers share something with everybody's.
        self.likeness = np.where(overlap >= LEAST, self.shared * overlap, 0.0)
        self.surprise = _surprise(self.likeness[np.triu_indices(number, 1)], 2 * math.log(number))

    def overlap(self, a: int, b: int) -> float:
        """Of the weight of what the two wrote, the part that is shared; 0 to 1."""
        return min(1.0, float(self.shared[a, b] / max(1e-9, math.sqrt(self.weight[a] * self.weight[b]))))

    def common(self, a: int, b: int) -> str:
        """Up to three shared lines of `a`'s, the rarest first, each cut to a readable length."""
        weights: Counter[str] = Counter()
        for piece in self.own[a].lines.keys() & self.own[b].lines.keys():
            weights[self.own[a].lines[piece]] += self.rarity[piece]
        best = sorted(weights, key=lambda line: (-weights[line], line))[:3]
        return "\n".join(line if len(line) <= 100 else line[:97] + "..." for line in best if weights[line] > 0)


def _surprise(likeness: np.ndarray, unit: float) -> np.ndarray:
    """-log of the share of pairs that are at least as alike, `(pairs,)`.

    A pair that stands out far beyond how likeness falls off in the rest of the class counts as up to BEYOND times rarer
    than one in the number of pairs, which is all that counting can show. `unit`: the least scale of that falling off.
    """
    nats = _counted(likeness)
    near, far = np.quantile(likeness, [0.90, 0.98])
    scale = max((far - near) / math.log(0.10 / 0.02), unit)
    falling = (likeness - far) / scale - math.log(0.02)
    return np.where(nats > 0, np.clip(falling, nats, nats + math.log(BEYOND)), 0.0)


def _counted(values: np.ndarray) -> np.ndarray:
    """-log of the share of `values` that are at least as large; 0 for those that are 0."""
    share = 1 - np.searchsorted(np.sort(values), values, side="left") / len(values)
    return np.where(values > 1e-6, -np.log(share), 0.0)


def _combined(surprises: np.ndarray) -> np.ndarray:
    """-log of the chance that a pair's surprises `(cells, pairs)` add up to as much, `(pairs,)`.

    If what two students share in one exercise said nothing about the next, the sum would be distributed as the
    convolution of what the class shows in each. It says a little: where the sums of ordinary pairs are larger than that,
    everything is scaled down by as much.
    """
    chance = np.ones(1)
    for row in surprises:
        chance = np.convolve(chance, _distribution(row))
    at_least = np.cumsum(chance[::-1])[::-1]
    total = np.floor(surprises.sum(0) / STEP + 1e-9).astype(int)
    nats = -np.log(np.maximum(at_least[total.clip(max=len(chance) - 1)], 1e-300))
    return nats / max(1.0, float(np.quantile(nats, 0.95)) / -math.log(0.05))


def _distribution(surprise: np.ndarray) -> np.ndarray:
    """The chance of each multiple of STEP, rounded up: as counted, and exp(-x) beyond what counting shows."""
    number = len(surprise)
    counted = _counted(surprise)
    top = counted.max()
    grid = STEP * np.arange(math.ceil((math.log(number) + math.log(BEYOND)) / STEP) + 2)
    at_least = 1 - np.searchsorted(np.sort(counted), grid - STEP + 1e-9, side="left") / number
    at_least[0] = 1.0
    at_least = np.where(grid - STEP > top, np.exp(-(grid - STEP)), at_least)
    return at_least - np.append(at_least[1:], 0.0)
