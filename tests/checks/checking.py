"""Submissions made of source text, and what the checks say of them."""

import types

from autograder.catalogue import all_checks
from autograder.mistakes.vae import PREAMBLE, SOLUTIONS
from autograder.probing import run_probe
from autograder.verdict import draw_inputs, judge_outputs

CODE_CHECKS = tuple(c for c in all_checks().values() if c.target in SOLUTIONS)


def make(source, target):
    """The object `target` that `source` defines."""
    module = types.ModuleType("submission")
    exec(compile(PREAMBLE + source, "submission.py", "exec"), vars(module))
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
