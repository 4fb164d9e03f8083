"""Submissions made of source text, and what the checks say of them.

`python tests/checks/checking.py [CHECK ...]` writes prices.json anew: what each mistake costs, as its code says when it is run.
"""

import json
import sys
from functools import lru_cache
from pathlib import Path

import pandas as pd

from autograder.catalogue import all_checks, find_check
from autograder.exercises.exercise import applied, make
from autograder.probing import run_probe
from autograder.verdict import draw_inputs, judge_outputs

PRICES = Path(__file__).with_name("prices.json")
UNUSUAL = Path(__file__).parents[1] / "honest" / "unusual"  # more right solutions: a file for each target, a heading for each of them
EXERCISES = tuple(all_checks().values())
SOLUTIONS = {e.target: e.solution for e in EXERCISES}
PREAMBLES = {e.target: e.preamble for e in EXERCISES}
UNIT_OF = {e.target: e.name.split(".")[0] for e in EXERCISES}
CODE_CHECKS = tuple(e for e in EXERCISES if not isinstance(e.object(e.solution), pd.DataFrame))  # the others read a table


def more_variants(target):
    """{label: source} of the unusual solutions in a file."""
    file = UNUSUAL / f"{target}.txt"
    return dict(part.split("\n", 1) for part in file.read_text(encoding="utf-8").split("# --- ")[1:]) if file.exists() else {}


VARIANTS = {e.target: {label: applied(e.solution, way, e.target) for label, way in e.variants.items()} | more_variants(e.target)
            for e in EXERCISES}


def made(target, source):
    """The object `target` that `source` defines."""
    return make(PREAMBLES[target] + source, target)


@lru_cache(maxsize=50)
def probed(name, source, seed):
    """Inputs and outputs of the exercise called `name`."""
    exercise = all_checks()[name]
    inputs = draw_inputs(exercise, seed)
    return inputs, run_probe(exercise.probe, made(exercise.target, source), inputs, seed, 60.0)


def first_of(exercise):
    """The first exercise with the same target, probe and draw: what it probes serves all of them."""
    return next(e for e in EXERCISES if (e.target, e.probe, e.draw) == (exercise.target, exercise.probe, exercise.draw))


def said(exercise, source, seed):
    """The verdict on `source`."""
    return judge_outputs(exercise, *probed(first_of(exercise).name, source, seed))


def verdicts(source, target, seed):
    """The verdict of every check of `target`, by name."""
    return {e.name: said(e, source, seed) for e in EXERCISES if e.target == target}


def lost(verdict):
    """The behaviors whose points a verdict withholds."""
    return [f.behavior for f in verdict.findings if not f.passed]


def named(verdict):
    return [m.name for m in verdict.mistakes]


def prices(checks, seed=11):
    """By check, mistake and way, the behaviors that are lost; None where the check does not mind."""
    found = {}
    for exercise in map(find_check, checks):
        if not (verdict := said(exercise, exercise.solution, seed)).passed:
            raise SystemExit(f"The solution of {exercise.name} does not pass: {verdict.message}")
        for mistake in exercise.mistakes:
            each = [said(exercise, exercise.source(way), seed) for way in mistake.ways]
            found.setdefault(exercise.name, {})[mistake.name] = [lost(v) if v.mistakes or not v.passed else None for v in each]
    return found


if __name__ == "__main__":
    known = json.loads(PRICES.read_text(encoding="utf-8")) if sys.argv[1:] else {}
    known |= prices(sys.argv[1:] or [e.name for e in EXERCISES])
    PRICES.write_text(json.dumps(known, indent=1).replace("\n   ", "").replace("\n  ]", "]") + "\n", encoding="utf-8")
