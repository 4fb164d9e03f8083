"""Every mistake that a check can name is made, and has to be named, at its price; every right solution has to pass."""

import base64
import itertools
import json
import random
import re
from pathlib import Path

import pytest
from checking import EXERCISES, PRICES, SOLUTIONS, VARIANTS, first_of, lost, named, probed, said, verdicts
from depth import DEEP, repetitions, some

from autograder.drawing import drawn
from autograder.exercises.exercise import Seen, applied
from autograder.exercises.naming import alike, overlap
from autograder.exercises.pictures import picture_of

COURSE = Path(__file__).resolve().parents[2] / "course"
KNOWN = json.loads(PRICES.read_text(encoding="utf-8"))
MADE = [(e, m) for e in EXERCISES for m in e.mistakes]
BY_MISTAKE = pytest.mark.parametrize(("exercise", "mistake"), MADE, ids=[f"{e.name}-{m.name}" for e, m in MADE])
BY_EXERCISE = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
UNUSUAL = [(target, label) for target in VARIANTS for label in VARIANTS[target]]


@pytest.mark.parametrize("target", SOLUTIONS)
def test_solution_gets_every_point(target):
    for seed in range(repetitions(3, 8)):  # tests/honest tries more
        for verdict in verdicts(SOLUTIONS[target], target, seed).values():
            assert verdict.passed and verdict.points == verdict.max_points, (seed, verdict)
            assert verdict.mistakes == ()


@BY_MISTAKE
def test_mistake_is_named_and_costs_what_it_says(exercise, mistake):
    assert len(KNOWN[exercise.name][mistake.name]) == len(mistake.ways)
    for way, price in zip(mistake.ways, KNOWN[exercise.name][mistake.name]):
        for seed in (11, 12, 13) if DEEP else (12,):
            verdict = said(exercise, exercise.source(way), seed)
            assert named(verdict) == ([] if price is None else [mistake.name]), (seed, way, verdict)
            assert lost(verdict) == (price or []), (seed, way, verdict)


@pytest.mark.parametrize(("target", "label"), UNUSUAL, ids=[f"{t}-{n}" for t, n in UNUSUAL])
def test_unusual_but_right_passes(target, label):
    for seed in range(repetitions(1, 3)):
        for verdict in verdicts(VARIANTS[target][label], target, seed).values():
            assert verdict.passed and verdict.mistakes == (), (seed, verdict)


def test_prices_are_of_the_mistakes_that_there_are():
    assert {(e.name, m.name) for e, m in MADE} == {(check, name) for check, found in KNOWN.items() for name in found}
    assert len(MADE) == len({(e.name, m.name) for e, m in MADE}), "two mistakes of one check have one name"


@BY_MISTAKE
def test_every_mistake_costs_something_or_is_a_remark(exercise, mistake):
    """A way may concern one check of its target and leave another one alone; none may concern nobody."""
    for number in range(len(mistake.ways)):
        assert any(KNOWN[e.name][mistake.name][number] is not None for e in EXERCISES
                   if e.target == exercise.target and mistake in e.mistakes)


def test_there_are_enough_variants():
    counts = {target: len(found) for target, found in VARIANTS.items()}
    assert counts["ReparameterizedDiagonalGaussian"] >= 8 and counts["VariationalInference"] >= 12
    assert min(counts[e.target] for e in EXERCISES if e.target.islower() and callable(e.object(e.solution))) >= 3


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.picture], ids=lambda e: e.name)
def test_a_mistake_that_can_be_seen_is_drawn(exercise):
    """Or there is no picture, where nothing can be drawn; never an exception, and words for those who cannot see it."""
    found = [picture_of(exercise, *probed(exercise.name, exercise.source(m.ways[0]), 12)) for m in some(exercise.mistakes, 6)]
    seen = [picture for picture in found if picture]
    assert len(seen) >= len(found) / 3, "hardly any mistake has a picture: does it raise?"
    for picture in seen:
        assert base64.b64decode(drawn(picture)).startswith(b"\x89PNG") and len(picture["alt"]) > 20 and "nan" not in picture["alt"]


# --- two mistakes at once ------------------------------------------------------------------------


def pairs(exercise):
    """Two ways that do not overlap and that this check minds, as (first mistake, second mistake, source)."""
    ways = [(m, way) for m in exercise.mistakes for way, price in zip(m.ways, KNOWN[exercise.name][m.name]) if price]
    for (first, a), (second, b) in itertools.combinations(ways, 2):
        if first.name != second.name and not overlap(exercise.solution, a, b):
            try:
                yield first, second, exercise.source(a, b)
            except ValueError:  # one has left nothing of the other
                continue


def same_numbers(exercise, source, verdict, seed):
    """Whether the code of the mistakes that are named gives what `source` gives: then no name could be better."""
    first = probed(first_of(exercise).name, source, seed)[1]
    for ways in itertools.product(*(m.ways for m in verdict.mistakes)) if verdict.mistakes else ():
        try:
            other = probed(first_of(exercise).name, exercise.source(*ways), seed)[1]
        except ValueError:
            continue
        parts = [(first[kind], other[kind]) for kind in exercise.kinds if kind in first and kind in other] or [(first, other)]
        if any("trouble" not in a and "trouble" not in b and all(alike(law, a, b) for law in exercise.laws if law.view) for a, b in parts):
            return True
    return False


# Where one mistake hides another more often.
FLOORS = {"vae.beta_elbo": 0.75}


@BY_EXERCISE
def test_two_mistakes_at_once_are_named_both(exercise):
    """At least four of five pairs by exactly their two names, where no other mistakes give the same numbers; hardly one by another."""
    if not any(law.view for law in exercise.laws):
        pytest.skip("its laws name the mistakes themselves")
    every = list(pairs(exercise))
    sample = random.Random(exercise.name).sample(every, min(len(every), repetitions(6, 100)))
    both = wrong = 0
    others = []
    for first, second, source in sample:
        verdict = said(exercise, source, 21)
        if verdict.passed:
            continue
        both += set(named(verdict)) == {first.name, second.name}
        unique = set(named(verdict)) == {first.name, second.name} or not same_numbers(exercise, source, verdict, 21)
        wrong += unique
        if unique and not set(named(verdict)) <= {first.name, second.name}:
            others.append((first.name, second.name, named(verdict)))
    assert len(others) <= max(1, 0.03 * wrong), others
    if DEEP and wrong:
        assert both >= FLOORS.get(exercise.name, 0.8) * wrong, f"{both} of {wrong}"


# --- the masters ---------------------------------------------------------------------------------


def test_an_edit_that_does_not_apply_is_refused():
    with pytest.raises(ValueError, match="does not apply"):
        applied("a = 1\n", (("b = 1", "b = 2"),), "a")
    with pytest.raises(ValueError, match="does not apply"):
        applied("a = 1\n", ("a = 1", "a = 1"), "a")


def solved_cell(exercise):
    """The master's cell that defines the target, as a student would have written it."""
    unit = exercise.name.split(".")[0]
    (master,) = COURSE.glob(f"*_{unit}/exercises.py")
    cells = re.split(r"^# %%.*$", master.read_text(encoding="utf-8"), flags=re.MULTILINE)
    cell = next(c for c in cells if re.search(rf"^(class|def) {exercise.target}\b", c, flags=re.MULTILINE))
    return "".join(line for line in cell.splitlines(keepends=True) if "### " not in line).strip("\n") + "\n"


@pytest.mark.skipif(not COURSE.exists(), reason="the course is not installed here")
@pytest.mark.parametrize("exercise", [e for e in EXERCISES if re.search(rf"^(@.*\n)?(class|def) {e.target}\b", e.solution)], ids=lambda e: e.name)
def test_the_solution_is_the_masters(exercise):
    """Its text stands in the solved notebook, too; and the demo class makes mistakes there."""
    assert exercise.solution in solved_cell(exercise)


def test_laws_see_the_solution_in_float64():
    exercise = next(e for e in EXERCISES if e.name == "vae.gaussian_kl")
    from autograder.verdict import draw_inputs

    right = Seen(exercise, draw_inputs(exercise, 1), {}).right
    assert str(right["usual"]["value"].dtype) == "torch.float64"
