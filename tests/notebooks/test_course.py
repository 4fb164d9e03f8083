"""The course's own units: the committed notebooks are what their masters give, complete, and safe to hand out."""

import re
import shutil

import nbformat
import pytest
from small_course import REPOSITORY, hand_in, nbgrader, read, scores

from autograder.masters import check_built, leaks, lint, read_master, units_of

UNITS = units_of(REPOSITORY)
EXERCISES = [unit for unit in UNITS if (REPOSITORY / "course" / unit / "exercises.py").exists()]
LINK = re.compile(r"\]\((?!https?:|#|mailto:|attachment:)([^)\s]+)\)|<img[^>]+src=[\"'](?!https?:|data:)([^\"']+)")


def test_the_committed_notebooks_are_what_the_masters_give():
    assert check_built(REPOSITORY) == []


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_lacks_nothing(unit):
    assert lint(REPOSITORY, [unit]) == []


@pytest.mark.parametrize("unit", EXERCISES)
def test_a_release_holds_no_solution_no_mark_scheme_no_exemplar(unit):
    solved = read_master(REPOSITORY / "course" / unit / "exercises.py")
    assert leaks(solved, read(REPOSITORY / "assignments" / unit / "exercises.ipynb")) == []


@pytest.mark.parametrize("path", [f"course/{unit}/lecture.ipynb" for unit in UNITS]
                         + [f"{top}/{unit}/exercises.ipynb" for unit in EXERCISES for top in ("assignments", "solutions")])
def test_links_and_pictures_lead_somewhere(path):
    folder = (REPOSITORY / path).parent
    text = "\n".join(cell.source for cell in read(REPOSITORY / path).cells if cell.cell_type == "markdown")
    targets = [first or second for first, second in LINK.findall(text)]
    assert [target for target in targets if not (folder / target.split("#")[0]).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("unit", EXERCISES)
def test_the_solved_notebook_scores_all_and_the_untouched_one_nothing(unit, tmp_path):
    for name in ("solutions", "assignments"):
        shutil.copytree(REPOSITORY / name / unit, tmp_path / name / unit)
    shutil.copy(REPOSITORY / "nbgrader_config.py", tmp_path)
    solved, released = (read(tmp_path / name / unit / "exercises.ipynb") for name in ("solutions", "assignments"))
    nbgrader(tmp_path, "generate_assignment", unit)
    hand_in(tmp_path, "solved", nbformat.writes(solved), unit)
    hand_in(tmp_path, "untouched", nbformat.writes(released), unit)
    nbgrader(tmp_path, "autograde", unit)
    graded = [cell for cell in solved.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    points = {cell.id: cell.metadata.nbgrader.points if cell.cell_type == "code" else None for cell in graded}
    assert scores(tmp_path, unit) == {"solved": points, "untouched": dict.fromkeys(points, 0)}
