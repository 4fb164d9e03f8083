"""The page on how to write an exercise: its example, word for word, as a teacher's own unit and as a unit of the package."""

import itertools
import re
import shutil
import sys

import pytest
from grading_course import grade, read
from own_course import CHECKS, FOLDER, INIT, PAGE, answered, hand_in, released, write_course

import autograder.units
from autograder import catalogue, cli, own
from autograder.catalogue import all_checks
from autograder.exercises.naming import overlap
from autograder.grading import engine
from autograder.masters import lint
from autograder.verdict import evaluate
from autograder.written import verdicts


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    monkeypatch.chdir(write_course(tmp_path))
    return all_checks()["mine.entropy"]


def said(exercise, *ways, seed=1):
    return evaluate(exercise, exercise.object(exercise.source(*ways)), seed=seed)


def test_the_example_is_small_and_whole(exercise):
    assert len(CHECKS.splitlines()) < 120
    assert len(exercise.mistakes) >= 8 and len(exercise.variants) >= 3 and len(set(exercise.hints)) == 3 and exercise.picture


def test_its_right_answers_pass(exercise):
    for seed in range(20):
        for ways in ((), *((way,) for way in exercise.variants.values())):
            assert said(exercise, *ways, seed=seed).passed, (ways, seed)


def test_its_mistakes_are_named_also_two_at_once(exercise):
    ways = [(m.name, way) for m in exercise.mistakes for way in m.ways]
    assert [[m.name for m in said(exercise, way).mistakes] for _, way in ways] == [[name] for name, _ in ways]
    both = wrong = 0
    for (first, a), (second, b) in list(itertools.combinations(ways, 2))[::3]:
        if first != second and not overlap(exercise.solution, a, b):
            verdict = said(exercise, a, b)
            wrong += not verdict.passed
            both += {m.name for m in verdict.mistakes} == {first, second}
    assert wrong > 5 and both >= 0.8 * wrong


def test_the_page_leads_somewhere_and_its_unit_lacks_nothing(exercise, tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    files = [link for link in links if not link.startswith("#")]
    assert len(files) > 10 and [link for link in files if not (PAGE.parent / link).exists()] == []
    headings = {re.sub(r"[^\w -]", "", line[3:]).strip().lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    assert {link[1:] for link in links if link.startswith("#")} <= headings
    assert lint(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_class_is_graded_with_it_down_to_the_feedback_page(exercise, tmp_path_factory, monkeypatch):
    course = released(tmp_path_factory.mktemp("class"))
    solved = read(course / "solutions" / FOLDER / "exercises.ipynb")
    hand_in(course, "right", solved, unit=FOLDER)
    hand_in(course, "untouched", read(course / "assignments" / FOLDER / "exercises.ipynb"), unit=FOLDER)
    for mistake in exercise.mistakes:
        hand_in(course, mistake.name, answered(course, exercise.source(mistake.ways[0])), unit=FOLDER)
    summary = grade(course, FOLDER, execute=engine.execute)
    engine.close()
    assert summary.exit_code == 0 and not summary.problems
    found = {name: verdicts(read(course / "autograded" / name / FOLDER / "exercises.ipynb"))[0] for name in summary.graded}
    assert found.pop("right")["points"] == 4 and found.pop("untouched")["points"] == 0
    assert {name: verdict["misconception"] for name, verdict in found.items()} == {m.name: m.name for m in exercise.mistakes}
    assert all(0 < verdict["points"] < 4 for verdict in found.values())
    monkeypatch.chdir(course)
    assert cli.main(["report", FOLDER]) == 0
    page = (course / "feedback" / "sign_flipped" / FOLDER / "exercises.html").read_text(encoding="utf-8")
    assert exercise.mistake("sign_flipped").advice.split(",")[0] in page and "data:image/png" in page


def forget():
    """The unit is read anew, from wherever it lies."""
    for name in [name for name in sys.modules if name.startswith("autograder.units.mine")]:
        del sys.modules[name]
    own._units.cache_clear()
    catalogue._all_checks.cache_clear()


def test_as_a_unit_of_the_package_nothing_else_is_touched(tmp_path, monkeypatch):
    unit = tmp_path / "units" / "mine"
    unit.mkdir(parents=True)
    (unit / "__init__.py").write_text(INIT)
    (unit / "entropy.py").write_text(CHECKS)
    monkeypatch.setattr(autograder.units, "__path__", [*autograder.units.__path__, str(unit.parent)])
    monkeypatch.chdir(tmp_path)
    forget()
    try:
        exercise = all_checks()["mine.entropy"]
        assert list(all_checks())[-1] == "mine.entropy" and said(exercise).passed
        course = write_course(tmp_path / "course_of_it")
        (course / "course" / FOLDER / "checks.py").unlink()
        assert lint(course) == [f"course/{FOLDER}/lecture.py is missing."]
        (course / "course" / FOLDER / "checks.py").write_text(CHECKS)
        (problem,) = [sentence for sentence in lint(course) if "checks.py" in sentence]
        assert problem == f'course/{FOLDER}/checks.py is not used: there is another unit "mine". Rename the folder, and with it the checks.'
    finally:
        forget()
