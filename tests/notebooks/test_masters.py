"""The masters of a small course become notebooks: always the same bytes, no secrets, nothing lost."""

import json
from types import SimpleNamespace

import nbformat
import pytest
import small_course
from small_course import SECRET, UNIT, cell_named, read

from autograder import catalogue, cli, masters
from autograder.masters import MasterError, build, check_built, leaks, lint, read_master
from autograder.probing import Trouble


@pytest.fixture
def course(tmp_path):
    return small_course.write_course(tmp_path)


@pytest.fixture
def checks(monkeypatch):
    """A catalogue that knows the small course's two checks; returned, so that a test can spoil one."""
    known = {
        "demo.double": SimpleNamespace(target="double", max_points=2, hints=("a", "b", "c")),
        "demo.square": SimpleNamespace(target="square", max_points=1, hints=("a", "b", "c")),
    }

    def find_check(name):
        if name not in known:
            raise Trouble(f'There is no check called "{name}".')
        return known[name]

    monkeypatch.setattr(catalogue, "find_check", find_check)
    return known


def edit(course, old, new, name="exercises"):
    """Changes a master as an author would."""
    path = course / "course" / UNIT / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def contents(course):
    return {str(p.relative_to(course)): p.read_bytes() for p in course.rglob("*") if p.is_file()}


def test_build_writes_lecture_solution_and_student_version(course):
    written = {str(path.relative_to(course)) for path in build(course)}
    assert written == {
        f"course/{UNIT}/lecture.ipynb",
        f"solutions/{UNIT}/exercises.ipynb",
        f"solutions/{UNIT}/figures/double.svg",
        f"assignments/{UNIT}/exercises.ipynb",
        f"assignments/{UNIT}/figures/double.svg",
    }
    for path in course.rglob("*.ipynb"):
        nbformat.validate(read(path))
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in read(path).cells)


def test_building_again_gives_the_same_bytes(course, tmp_path_factory):
    build(course)
    first = contents(course)
    assert build(course) == []
    assert contents(course) == first
    elsewhere = small_course.write_course(tmp_path_factory.mktemp("another_folder_with_a_longer_name"))
    build(elsewhere)
    assert contents(elsewhere) == first


def test_notebooks_carry_no_versions_and_no_times(course):
    build(course)
    for path in course.rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        notebook = json.loads(text)
        assert text.endswith("}\n") and "jupytext" not in text
        assert notebook["metadata"] == {"kernelspec": masters.KERNELSPEC}
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)


def test_cell_ids_are_grade_ids_or_stay_when_a_neighbour_changes(course):
    master = course / "course" / UNIT / "exercises.py"
    before = [cell.id for cell in read_master(master).cells]
    edit(course, "# ### Exercise 1a: double\n", "# ### Exercise 1a: doubling\n")
    after = [cell.id for cell in read_master(master).cells]
    assert len(set(before)) == len(before)
    assert {"double", "check_double", "question_why", "answer_why"} <= set(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_building_leaves_the_gradebook_alone(course):
    (course / "gradebook.db").write_bytes(b"the teacher's")
    build(course)
    assert (course / "gradebook.db").read_bytes() == b"the teacher's"


def test_the_release_shows_open_text_and_stubs_only(course):
    build(course)
    solved = read(course / "solutions" / UNIT / "exercises.ipynb")
    released = read(course / "assignments" / UNIT / "exercises.ipynb")
    text = json.dumps(released)
    for secret in (SECRET, "number * number", "MARK SCHEME", "Mark scheme", "Exemplar", "twice as large", "SOLUTION"):
        assert secret in json.dumps(solved)
        assert secret not in text
    assert leaks(solved, released) == []
    stub = '"""Twice the number."""\n    # YOUR CODE HERE\n    raise NotImplementedError'
    assert cell_named(released, "double").source.endswith(stub)
    assert cell_named(released, "answer_why").source == "*Your answer here.*"
    assert "Why would one double a number?" in cell_named(released, "question_why").source


@pytest.mark.parametrize("grade_id, source", [
    ("double", f"def double(number):\n    {SECRET}"),
    ("answer_why", "Because afterwards it is exactly twice as large as before."),
    ("question_why", "- 1 mark: says that it grows"),
])
def test_a_planted_leak_is_found(course, grade_id, source):
    build(course)
    released = read(course / "assignments" / UNIT / "exercises.ipynb")
    cell_named(released, grade_id).source = source
    solved = read_master(course / "course" / UNIT / "exercises.py")
    assert any(grade_id in sentence for sentence in leaks(solved, released))


@pytest.mark.parametrize("old, new, words", [
    ("    ### END SOLUTION\n", "", "no end solution statement"),
    ("# === END MARK SCHEME ===\n", "", "mark scheme"),
    ('"solution": true}\ndef', '"solution": false, "task": false}\ndef', "solution"),
])
def test_a_master_that_would_leak_is_refused_and_nothing_is_written(course, old, new, words):
    edit(course, old, new)
    with pytest.raises(MasterError, match="(?i)" + words):
        build(course)
    assert not list(course.rglob("*.ipynb"))


def test_check_built_names_what_is_missing_changed_or_left_over(course):
    assert len(check_built(course)) == 5
    build(course)
    assert check_built(course) == []
    (course / "assignments" / UNIT / "figures" / "old.svg").write_text("left over")
    edit(course, "Twice the number", "Two times the number")
    first, second, third = check_built(course)
    assert "assignments" in first and "master" in first
    assert "solutions" in second
    assert "old.svg" in third and "delete" in third


def test_a_student_version_that_was_worked_in_is_kept(course):
    build(course)
    path = course / "assignments" / UNIT / "exercises.ipynb"
    mine = small_course.submission(read(path), double="def double(number):\n    return 7")
    nbformat.write(mine, path)
    said = []
    build(course, say=said.append)
    assert "return 7" not in path.read_text(encoding="utf-8")
    assert "return 7" in (course / "kept" / UNIT / "exercises-1.ipynb").read_text(encoding="utf-8")
    assert len(said) == 1 and "kept/01_demo/exercises-1.ipynb" in said[0]


def test_unknown_units_and_a_wrong_folder_are_said_in_a_sentence(course, tmp_path):
    with pytest.raises(MasterError, match="No unit 09_nothing .* 01_demo"):
        build(course, units=["09_nothing"])
    (course / "nbgrader_config.py").unlink()
    with pytest.raises(MasterError, match="root of the course"):
        build(course)


def test_lint_is_content_with_a_complete_unit(course, checks):
    assert lint(course) == []


@pytest.mark.parametrize("old, new, words", [
    ("**Goals**", "Goals", "Goals"),
    ("**Prerequisites**: the lecture", "", "Prerequisites"),
    ("**Time**: 10 to 20 minutes", "", "Time"),
    ("**Time**: 10 to 20 minutes", "**Time**: 30 to 40 minutes", "15 minutes"),
    ("**Points**: 5", "**Points**: 6", "Points"),
    ("Difficulty: ●○○ · Time: 5 min · Points: 2", "Time: 5 min", "exercise 1a"),
    ("Time: 5 min · Points: 1", "Time: 5 min · Points: 3", "exercise 1b says 3 points, its cells give 1"),
    ("# ## Further reading", "# ## The end", "Further reading"),
    ('"grade_id": "square"', '"grade_id": "double"', "unique"),
    ('"locked": true, "points": 1', '"locked": false, "points": 1', "check_square"),
    ('"points": 2, "schema_version": 3, "solution": false', '"points": 3, "schema_version": 3, "solution": false',
     "check_double gives 3 points, its check demo.double gives 2"),
    ('check("demo.square", square)', 'check("demo.squares", square)', 'no check called "demo.squares"'),
    ('check("demo.square", square)', 'check("demo.square", double)', "hands double"),
    ('check("demo.square", square)', 'check("demo.double", double)', "a second time"),
    ('check("demo.square", square)', 'check("demo.square", square); print(1)', "nothing else"),
    ("    ### BEGIN SOLUTION\n    return 2 * number\n    ### END SOLUTION", "    return 2 * number", "BEGIN SOLUTION"),
    ("# - 1 mark: says by how much\n", "", "answer_why"),
    ('# **Exemplar, 1 of 2**: "It becomes larger." (not by how much)\n', "", "Exemplar"),
    ('"grade_id": "question_why"', '"grade_id": "question_other"', "question_why"),
    ("import os", "%matplotlib inline\nimport os", "magic"),
    ("# **Points**: 5", "# **Points**: 5\n#\n# Stuck? `hint(\"demo.double\")`.", "speaks of hint(...) and does not import it"),
])
def test_lint_names_what_is_missing(course, checks, old, new, words):
    edit(course, old, new)
    assert any(words in sentence for sentence in lint(course)), lint(course)


def test_lint_wants_hints_in_three_levels_and_both_masters(course, checks):
    checks["demo.double"].hints = ("only one",)
    (course / "course" / UNIT / "lecture.py").unlink()
    sentences = lint(course)
    assert any("three levels" in sentence for sentence in sentences)
    assert any("lecture.py is missing" in sentence for sentence in sentences)


def test_notebooks_are_written_and_compared_by_command(course, checks, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert cli.main(["notebooks", "--check"]) == 1
    assert cli.main(["notebooks"]) == 0
    assert cli.main(["notebooks", "--check"]) == 0
    assert "All notebooks are what their masters say" in capsys.readouterr().out


def test_a_master_that_is_none_is_a_sentence(course, checks, monkeypatch, capsys):
    monkeypatch.chdir(course)
    (course / "course" / UNIT / "exercises.py").write_text("# %% [markdown] nbgrader={broken\n# x\n")
    assert cli.main(["notebooks"]) == 1
    assert "Traceback" not in capsys.readouterr().out
