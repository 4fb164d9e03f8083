"""Every mistake that a check can name is made, and has to be named, at its price; every right solution has to pass."""

import re
from pathlib import Path

import pytest
from checking import CODE_CHECKS, MISTAKES, SOLUTIONS, UNIT_OF, UNITS, VARIANTS, lost, verdicts

from autograder.mistakes import apply

COURSE = Path(__file__).resolve().parents[2] / "course"
CANONICAL = {(m.target, m.name): m for m in reversed(MISTAKES)}  # the first of each name
RIGHT = [(target, "solution", source) for target, source in SOLUTIONS.items()]
RIGHT += [(target, label, source) for target in VARIANTS for label, source in VARIANTS[target].items()]


def mistakes(target):
    return [m for m in MISTAKES if m.target == target]


def label(mistake):
    number = mistakes(mistake.target).index(mistake)
    return f"{mistake.target}-{number}-{mistake.name}"


@pytest.mark.parametrize("target", SOLUTIONS)
def test_solution_gets_every_point(target):
    for seed in range(8):  # tests/honest tries 200
        for verdict in verdicts(SOLUTIONS[target], target, seed).values():
            assert verdict.passed and verdict.points == verdict.max_points, (seed, verdict)
            assert verdict.misconception is None


@pytest.mark.parametrize("mistake", MISTAKES, ids=label)
def test_mistake_is_named_and_costs_what_it_says(mistake):
    source = apply(SOLUTIONS[mistake.target], mistake.edits)
    for seed in (11, 12, 13):
        for name, verdict in verdicts(source, mistake.target, seed).items():
            if name not in mistake.checks:
                assert verdict.passed and verdict.misconception is None, (seed, verdict)
                continue
            assert verdict.misconception and verdict.misconception.name == mistake.name, (seed, verdict)
            price = {entry for entry in verdict.misconception.loses if entry.startswith(f"{name}:")}
            if mistake is CANONICAL[mistake.target, mistake.name]:
                assert lost(verdict) == price, (seed, verdict)
            else:  # another way to make the same mistake: it may cost less, and nothing else
                assert lost(verdict) and lost(verdict) <= price, (seed, verdict)
            assert verdict.passed == (not price)


@pytest.mark.parametrize(("target", "name", "source"), RIGHT[len(SOLUTIONS):], ids=[f"{t}-{n}" for t, n, _ in RIGHT[len(SOLUTIONS):]])
def test_unusual_but_right_passes(target, name, source):
    for seed in range(3):
        for verdict in verdicts(source, target, seed).values():
            assert verdict.passed and verdict.misconception is None, (seed, verdict)


def test_every_misconception_is_made():
    named = {(c.target, m.name) for c in CODE_CHECKS for m in c.misconceptions}
    assert named - set(CANONICAL) == set(), "named in the advice and made nowhere"
    assert set(CANONICAL) - named == set(), "made and never named"


def test_prices_are_in_the_checks_that_a_mistake_concerns():
    behaviors = {f"{c.name}:{b}" for c in CODE_CHECKS for b in c.behaviors}
    for check in CODE_CHECKS:
        for misconception in check.misconceptions:
            assert set(misconception.loses) <= behaviors, misconception
            made = [m for m in mistakes(check.target) if m.name == misconception.name]
            charged = {entry.split(":")[0] for entry in misconception.loses}
            assert charged <= {c for m in made for c in m.checks}, misconception


def test_there_are_enough_variants():
    counts = {target: len(found) for target, found in VARIANTS.items()}
    assert set(counts) == set(SOLUTIONS)
    assert counts["ReparameterizedDiagonalGaussian"] >= 8 and counts["VariationalInference"] >= 12
    assert min(counts.values()) >= 3


def test_an_edit_that_does_not_apply_is_refused():
    with pytest.raises(ValueError, match="does not apply"):
        apply("a = 1\n", (("b = 1", "b = 2"),))
    with pytest.raises(ValueError, match="does not apply"):
        apply("a = 1\n", (("a = 1", "a = 1"),))


def test_units_share_no_target():
    assert len(SOLUTIONS) == sum(len(unit.SOLUTIONS) for unit in UNITS.values())


@pytest.mark.skipif(not COURSE.exists(), reason="the course is not installed here")
@pytest.mark.parametrize("unit", UNITS)
def test_mistakes_apply_to_the_solved_exercises(unit):
    """The demo class is made of them: each edit has to apply to the cell that defines its target, and still be Python."""
    (master,) = COURSE.glob(f"*_{unit}/exercises.py")
    cells = re.split(r"^# %%.*$", master.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for mistake in [m for m in MISTAKES if UNIT_OF[m.target] == unit]:
        heads = (f"class {mistake.target}", f"def {mistake.target}")
        cell = next(c for c in cells if any(re.search(rf"^{h}\b", c, flags=re.MULTILINE) for h in heads))
        compile(apply(cell, mistake.edits), mistake.name, "exec")
