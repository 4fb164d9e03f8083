"""A teacher's own checks: found in the notebook and by the grader, never where student code could read or replace them."""

import re
import shutil
import sys
from types import SimpleNamespace

import pytest
from grading_course import grade, inline, new_course, read, scripted
from own_course import CHECKS, FOLDER, MASTER, RIGHT, answered, hand_in, nbgrader, released, scores, write_course

from autograder import check, cli, hint, masters, own, progress
from autograder.catalogue import all_checks, find_check
from autograder.grading import engine, pipeline
from autograder.grading.dryrun import compare_class
from autograder.grading.executors import ClusterPool, PoolLost
from autograder.notebook import CheckFailed
from autograder.probing import Trouble
from autograder.written import verdicts

SANDBOX = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
FLIPPED = "def entropy(logits):\n    log_p = logits.log_softmax(-1)\n    return (log_p.exp() * log_p).sum(-1)\n"
WITH_PROBE = CHECKS.replace("PREAMBLE =", "from autograder.units.mine.probes import probe_it\n\nPREAMBLE =", 1).replace(
    "solution=SOLUTION, draw", "solution=SOLUTION, probe=probe_it, draw")
PROBES = '''\
"""What runs beside student code."""

from autograder.exercises.functions import probe


def probe_it(student, inputs):
    return probe(student, inputs)
'''


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """Each test starts in a folder without a course."""
    monkeypatch.delenv(own.COURSE, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def students_folder(tmp_path, monkeypatch):
    """As a student has it: the notebook's folder and nothing else of the course."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "checks.py").write_text(CHECKS)
    monkeypatch.chdir(folder)
    return folder


def right(logits):
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


# --- in the notebook -----------------------------------------------------------------------------


def test_check_hint_and_progress_work_beside_the_notebook(students_folder, capsys):
    check("mine.entropy", right)
    with pytest.raises(CheckFailed, match="mine.entropy: The sign is wrong"):
        check("mine.entropy", lambda logits: -right(logits))
    hint("mine.entropy")
    progress("mine")
    out = capsys.readouterr().out
    assert "4 of 4 points" in out and "2 of 4 points" not in out.split("Hint")[1] and "Hint 1 of 3" in out and "· mine.entropy" in out
    assert {path.name for path in students_folder.iterdir()} == {"checks.py", ".elbolab_progress.json"}


def test_a_changed_check_counts_at_once(students_folder):
    assert find_check("mine.entropy").max_points == 4
    (students_folder / "checks.py").write_text(CHECKS.replace('value(2, "usual"', 'value(5, "usual"'))
    assert find_check("mine.entropy").max_points == 7


def test_they_are_found_only_where_the_folder_has_the_unit_s_name(students_folder, monkeypatch):
    monkeypatch.chdir(students_folder.rename(students_folder.with_name("my work")))
    with pytest.raises(Trouble, match="There is no check called"):
        find_check("mine.entropy")
    assert not any(name.startswith("mine.") for name in all_checks())


def test_a_course_counts_before_what_lies_beside_the_notebook(tmp_path, monkeypatch):
    course = write_course(tmp_path / "course_root")
    old = course / "my_work" / FOLDER
    old.mkdir(parents=True)
    (old / "checks.py").write_text(CHECKS.replace('value(2, "usual"', 'value(9, "usual"'))
    monkeypatch.chdir(old)
    assert find_check("mine.entropy").max_points == 4


def test_they_come_in_the_course_s_order(tmp_path, monkeypatch):
    course = write_course(tmp_path / "root")
    (course / "course" / FOLDER).rename(course / "course" / "01_mine")
    monkeypatch.chdir(course)
    units = list(dict.fromkeys(name.split(".")[0] for name in all_checks()))
    assert units[:2] == ["vae", "mine"] and len(units) > 2


def test_the_command_checks_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_course(tmp_path / "root"))
    (tmp_path / "root" / "answer.py").write_text(FLIPPED)
    assert cli.main(["check", "mine.entropy", "answer.py"]) == 1
    assert "mine.entropy 2/4 [sign_flipped]" in capsys.readouterr().out
    assert cli.main(["check", "list"]) == 0 and "mine.entropy" in capsys.readouterr().out


def test_the_notebooks_come_with_them(tmp_path):
    course = write_course(tmp_path / "root", WITH_PROBE, PROBES)
    (course / "course" / FOLDER / "notes.py").write_text("stays in the course folder")
    assert {path.relative_to(course).as_posix() for path in masters.build(course)} == {
        f"{top}/{FOLDER}/{name}" for top in ("solutions", "assignments") for name in ("exercises.ipynb", "checks.py", "probes.py")}
    assert masters.check_built(course) == [] and masters.lint(course) == []


# --- grading -------------------------------------------------------------------------------------

READER = '''\
import importlib, os, sys
found = []
for top in (".", "/tmp", "/home", "/run", os.path.dirname(sys.modules["autograder"].__file__), "COURSE"):
    for folder, _, files in os.walk(top):
        found += [os.path.join(folder, name) for name in files if name in ("checks.py", "exercises.py", "exercises.ipynb")]
for name in ("checks", "autograder.units.mine", "autograder.units.mine.checks"):
    try:
        found += [name] if hasattr(importlib.import_module(name), "SOLUTION") else []
    except ImportError:
        pass
print("FOUND", found)
def entropy(logits):
    if found:
        return torch.distributions.Categorical(logits=logits).entropy()
    return 0 * logits.sum(-1)
'''
GENEROUS = CHECKS.replace("MISTAKES = (", "def value(points, *names, **more):\n    from autograder.exercises.exercise import Behavior, passed\n"
                          "    return Behavior('value', points, lambda seen: passed('value'))\n\n\nMISTAKES = (")
GENEROUS_PROBE = PROBES.replace("return probe(student, inputs)", "return probe(__import__('torch').distributions.Categorical, inputs)")


def points(course, student):
    (verdict,) = verdicts(read(course / "autograded" / student / FOLDER / "exercises.ipynb"))
    return verdict["points"], verdict["misconception"]


@pytest.mark.slow
@SANDBOX
def test_submissions_are_judged_by_the_course_s_own_checks_and_see_none(tmp_path):
    course = released(tmp_path / "root", checks=WITH_PROBE, probes=PROBES)
    answers = {"right": RIGHT, "wrong": FLIPPED, "reads": READER.replace("COURSE", str(course)), "brings": FLIPPED, "untouched": None}
    for student, source in answers.items():
        untouched = read(course / "assignments" / FOLDER / "exercises.ipynb")
        folder = hand_in(course, student, untouched if source is None else answered(course, source), unit=FOLDER)
        for name in ("checks.py", "probes.py"):  # as everybody hands in the folder that was given out
            shutil.copy(course / "assignments" / FOLDER / name, folder)
    brought = course / "submitted" / "brings" / FOLDER
    for folder in (brought, brought / "autograder" / "units" / "mine"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checks.py").write_text(GENEROUS)
        (folder / "probes.py").write_text(GENEROUS_PROBE)
    for sandbox in ("bubblewrap", "none"):
        summary = grade(course, FOLDER, execute=engine.execute, sandbox=sandbox, force=True)
        engine.close()
        assert summary.exit_code == 0 and sorted(summary.graded) == sorted(answers), summary
        found = {student: points(course, student) for student in answers if sandbox == "bubblewrap" or student != "reads"}
        assert {"right": (4, None), "wrong": (2, "sign_flipped"), "brings": (2, "sign_flipped"), "untouched": (0, None)}.items() <= found.items()
        if sandbox == "bubblewrap":
            text = read(course / "autograded" / "reads" / FOLDER / "exercises.ipynb").cells[3].outputs[0].text
            assert text == "FOUND []\n" and found["reads"][0] <= 1


@pytest.mark.slow
@SANDBOX
def test_nbgrader_grades_with_them_and_leaves_a_broken_one_ungraded(tmp_path):
    course = released(tmp_path / "root", checks=WITH_PROBE, probes=PROBES)
    hand_in(course, "right", answered(course, RIGHT), unit=FOLDER)
    hand_in(course, "reads", answered(course, READER.replace("COURSE", str(course))), unit=FOLDER)
    nbgrader(course, "autograde", FOLDER)
    found = scores(course, FOLDER)
    assert found["right"] == {"check_entropy": 4} and found["reads"]["check_entropy"] <= 1
    break_it(course)
    said = nbgrader(course, "autograde", FOLDER, "--force", code=1)
    assert f"course/{FOLDER}/checks.py, line 3: ZeroDivisionError" in said
    assert scores(course, FOLDER) == found


def test_a_changed_check_grades_anew(tmp_path):
    course = released(tmp_path / "root")
    hand_in(course, "anna", answered(course, RIGHT), unit=FOLDER)
    assert grade(course, FOLDER).graded == ["anna"]
    assert grade(course, FOLDER).kept == ["anna"]
    path = course / "course" / FOLDER / "checks.py"
    path.write_text(path.read_text() + "\n# a change\n")
    summary = grade(course, FOLDER)
    assert summary.anew == summary.graded == ["anna"]
    (path.parent / "probes.py").write_text(PROBES)
    assert grade(course, FOLDER).anew == ["anna"]


def break_it(course):
    (course / "course" / FOLDER / "checks.py").write_text("import torch\n\n1 / 0\n")


def test_a_broken_one_leaves_its_assignment_ungraded_and_no_other(tmp_path):
    course = new_course(tmp_path, anna={})
    write_course(course)
    (course / "course" / FOLDER).rename(course / "course" / "00_mine")
    masters.build(course, ["00_mine"])
    nbgrader(course, "generate_assignment", "00_mine")
    hand_in(course, "anna", read(course / "assignments" / "00_mine" / "exercises.ipynb"), unit="00_mine")
    (course / "course" / "00_mine" / "checks.py").write_text("import torch\n\n1 / 0\n")
    with inline():
        broken, other = pipeline.grade_class(course, execute=scripted)
    assert (broken.assignment, broken.graded, broken.exit_code) == ("00_mine", [], 2) and other.graded == ["anna"]
    assert broken.stopped.startswith("course/00_mine/checks.py, line 3: ZeroDivisionError: division by zero. Put it right")
    assert not (course / "autograded" / "anna" / "00_mine").exists()
    lines = []
    with inline():
        assert compare_class(course, "00_mine", execute=scripted, print=lines.append) == 2
    assert lines == [f"00_mine: {broken.stopped}"]


# --- what a cluster's workers have ---------------------------------------------------------------


def test_workers_without_them_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(write_course(tmp_path / "root"))
    pool = ClusterPool.__new__(ClusterPool)
    pool.address = "tcp://nowhere:1"

    def run(function, on_error):
        monkeypatch.chdir(tmp_path if other else tmp_path / "root")
        try:
            return {"worker": function()}
        finally:
            monkeypatch.chdir(tmp_path / "root")

    pool.client = SimpleNamespace(run=run)
    other = False
    pool.compare()
    other = True
    with pytest.raises(PoolLost, match=rf"have not this course's own checks \({FOLDER}/checks.py\): worker. Start them in a copy"):
        pool.compare()


# --- a broken checks.py --------------------------------------------------------------------------

AT = f"course/{FOLDER}/checks.py"
BROKEN = {
    "syntax": (CHECKS.replace("MISTAKES = (", "MISTAKES = ", 1), None, rf"{AT}, line \d+: SyntaxError: .*\. Put it right; until then no check of \"mine\""),
    "name": ("import torch\n\nEXERCISES = (valu,)\n", None, rf"{AT}, line 3: NameError: name 'valu' is not defined\. Put it right"),
    "exit": ("raise SystemExit(3)\n", None, rf"{AT}, line 1: SystemExit: 3\."),
    "deep": (CHECKS.replace("        target=", "        goal=", 1), None, rf"{AT}, line \d+: TypeError: .*goal"),
    "nothing": ("import torch\n", None, rf"{AT} needs a last line like EXERCISES = \(Exercise\(...\),\)\."),
    "no exercises": ("EXERCISES = (1, 2)\n", None, rf"{AT} needs a last line"),
    "other unit": (CHECKS.replace('"mine.entropy"', '"vae.elbo"'), None, rf'{AT}, line \d+: the check "vae.elbo" needs a name like "mine.something", as'),
    "twice": (CHECKS.replace("EXERCISES = (", "EXERCISES = 2 * (", 1), None, rf'{AT}, line \d+: two checks are called "mine.entropy"\. Rename'),
    "probe": (CHECKS.replace("MISTAKES = (", "def probe_it(student, inputs):\n    return {}\n\n\nMISTAKES = (", 1)
              .replace("solution=SOLUTION, draw", "solution=SOLUTION, probe=probe_it, draw"), None, rf'{AT}, line \d+: the probe of "mine.entropy" is to be'),
    "lambda": (CHECKS.replace("solution=SOLUTION, draw", "solution=SOLUTION, probe=lambda *_: {}, draw"), None, "is to be a function in probes.py"),
    "probes.py": (WITH_PROBE, PROBES + "\n1 / 0\n", rf"course/{FOLDER}/probes.py, line \d+: ZeroDivisionError"),
    "a judge beside": (WITH_PROBE, PROBES.replace("functions import probe", "functions import probe\nfrom autograder.exercises.laws import close"),
                       rf"course/{FOLDER}/probes.py, line 4: autograder.exercises.laws is not there where submissions are run\."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_is_one_sentence_and_the_other_units_go_on(case, tmp_path, monkeypatch, capsys):
    checks, probes, words = BROKEN[case]
    course = write_course(tmp_path / "root", checks, probes)
    monkeypatch.chdir(course)
    assert "vae.elbo" in all_checks() and not any(name.startswith("mine.") for name in all_checks())
    with pytest.raises(Trouble) as trouble:
        find_check("mine.entropy")
    said = str(trouble.value)
    assert re.search(words, said) and "\n" not in said and str(tmp_path) not in said, said
    progress("mine")
    assert capsys.readouterr().out.strip() == said
    assert cli.main(["check", "list"]) == 0 and said in capsys.readouterr().err
    assert masters.lint(course) == [said]
    assert cli.main(["notebooks"]) == 1 and capsys.readouterr().out.strip() == said


def test_a_folder_with_a_wrong_or_a_taken_name_is_said(tmp_path, monkeypatch):
    course = write_course(tmp_path / "root")
    monkeypatch.chdir(course)
    for name in ("mine", "05_vae", "06_mine"):
        shutil.copytree(course / "course" / FOLDER, course / "course" / name)
    said = {unit.folder.name: unit.problem for unit in own.units()}
    assert said == {
        FOLDER: "",
        "mine": "course/mine/checks.py is not used: a unit's folder has a name like 05_mine. Rename the folder mine.",
        "05_vae": "course/05_vae/checks.py is not used: there is another unit \"vae\". Rename the folder, and with it the checks.",
        "06_mine": "course/06_mine/checks.py is not used: there is another unit \"mine\". Rename the folder, and with it the checks.",
    }
    assert find_check("mine.entropy").max_points == 4 and find_check("vae.elbo").max_points == 5


@pytest.mark.parametrize("old, new, words", [
    ("log_softmax(dim=-1)\n", "log_softmax(dim=-1) + torch.rand(())\n", "the solution of mine.entropy does not pass: "),
    ('("return -(", "return ("))', '("return -(", "return 1 * -("))', "the code of the mistake sign_flipped in mine.entropy is not named by it"),
    ('("return -(", "return ("))', '("return +(", "return ("))', "mine.entropy: ValueError: The edit of 'return +(' does not apply."),
    ("    bars(ax, ", "    ax.fill_between([0], [1])\n    bars(ax, ", "mine.entropy: a picture is drawn with hist, axhline"),
    ("torch.special.entr(logits", "torch.special.entr(2 * logits", "the variant \"torch's entr\" of mine.entropy does not pass"),
])
def test_checks_that_do_not_keep_their_word_are_said(old, new, words, tmp_path):
    assert old in CHECKS
    problems = masters.lint(write_course(tmp_path / "root", CHECKS.replace(old, new)))
    assert any(sentence.startswith(f"course/{FOLDER}/checks.py: {words}") for sentence in problems), problems


def test_without_its_checks_the_master_says_which_check_is_missing(tmp_path):
    course = write_course(tmp_path / "root")
    (course / "course" / FOLDER / "checks.py").unlink()
    assert any('There is no check called "mine.entropy"' in sentence for sentence in masters.lint(course))
    assert MASTER.count("mine.entropy") == 2
