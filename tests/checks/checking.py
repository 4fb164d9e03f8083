"""Submissions made of source text, and what the checks say of them."""

import importlib
import pkgutil
import types

import autograder.mistakes
from autograder.catalogue import all_checks
from autograder.probing import run_probe
from autograder.verdict import draw_inputs, judge_outputs


def units():
    """The modules that gather a unit's solutions, mistakes and variants, by the unit's name."""
    for found in pkgutil.iter_modules(autograder.mistakes.__path__):
        module = importlib.import_module(f"autograder.mistakes.{found.name}")
        if hasattr(module, "PREAMBLE"):
            yield found.name, module


UNITS = dict(units())
UNIT_OF = {target: name for name, unit in UNITS.items() for target in unit.SOLUTIONS}
SOLUTIONS = {target: source for unit in UNITS.values() for target, source in unit.SOLUTIONS.items()}
VARIANTS = {target: found for unit in UNITS.values() for target, found in unit.VARIANTS.items()}
MISTAKES = tuple(mistake for unit in UNITS.values() for mistake in unit.MISTAKES)
CODE_CHECKS = tuple(c for c in all_checks().values() if c.target in SOLUTIONS)


def make(source, target):
    """The object `target` that `source` defines."""
    module = types.ModuleType("submission")
    exec(compile(UNITS[UNIT_OF[target]].PREAMBLE + source, "submission.py", "exec"), vars(module))
    return vars(module)[target]


def verdicts(source, target, seed):
    """The verdict of every check of `target`. Checks that share a probe share its outputs: they have the same inputs."""
    student, probed, said = make(source, target), {}, {}
    for check in CODE_CHECKS:
        if check.target != target:
            continue
        if check.probe not in probed:
            inputs = draw_inputs(check, seed)
            probed[check.probe] = inputs, run_probe(check.probe, student, inputs, seed, 60.0)
        said[check.name] = judge_outputs(check, *probed[check.probe])
    return said


def lost(verdict):
    """The points that a verdict withholds, as ``check:behavior``."""
    return {f"{verdict.check}:{f.behavior}" for f in verdict.findings if not f.passed}
