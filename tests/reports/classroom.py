"""A class that has been graded: notebooks of unit 01 with verdicts in them, and nbgrader's gradebook."""

import copy
import datetime
import json
import math
import os
import random
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from autograder.catalogue import all_checks
from autograder.demo import fill_in, grade_id, with_mistake
from autograder.verdict import evaluate
from autograder.written import VERDICT_MIME

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT, NAME = "01_vae", "exercises"
SEED = 918273645546372819  # stands in every notebook's metadata, and must stand in no student's page
SECRET = "The test `check_elbo` was edited; the instructor's text was run."
PRICES = json.loads((REPOSITORY / "tests" / "checks" / "prices.json").read_text(encoding="utf-8"))
CHECKS = {f"check_{name.split('.')[1]}": check for name, check in all_checks().items() if name.startswith("vae.")}
# A picture of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgKNoEAAGaASV50pT6AAAAAElFTkSuQmCC"


@cache
def solved():
    released = nbformat.read(REPOSITORY / "assignments" / UNIT / f"{NAME}.ipynb", as_version=4)
    teacher = nbformat.read(REPOSITORY / "solutions" / UNIT / f"{NAME}.ipynb", as_version=4)
    filled = fill_in(released, teacher)
    questions = {grade_id(c): c.source for c in teacher.cells if c.metadata.get("nbgrader", {}).get("locked")}
    for cell in filled.cells:  # nbgrader's gradebook keeps the mark schemes, so graded notebooks hold them
        cell.source = questions.get(grade_id(cell), cell.source)
    return filled


# --- verdicts ------------------------------------------------------------------------------------


def full_record(check, findings, mistake=None, message=""):
    """A record as the engine writes it."""
    findings = [{"points": check.behaviors[f["behavior"]] * f["passed"], "max_points": check.behaviors[f["behavior"]],
                 "message": "", "expected": "", "got": "", "misconception": None} | f for f in findings]
    return {
        "check": check.name, "title": check.title, "passed": all(f["passed"] for f in findings),
        "points": float(sum(f["points"] for f in findings)), "max_points": check.max_points, "message": message,
        "misconception": mistake and mistake.name, "misconception_title": mistake and mistake.title,
        "advice": mistake and mistake.advice, "read_on": check.read_on, "findings": findings,
    }


def invented(check, mistake=None, failing=()):
    """A record made without running anything: the behaviors that a mistake loses have failed."""
    lost = set(PRICES[check.name][mistake.name][0]) if mistake else set(failing)
    said = [{"behavior": b, "passed": True} if b not in lost else
            {"behavior": b, "passed": False, "message": "The value is not what it should be.", "expected": "-9.5938", "got": "-19.7043",
             "misconception": mistake and mistake.name} for b in check.behaviors]
    return full_record(check, said, mistake if lost else None, "")


def making(name):
    """The first exercise of unit 01 with a mistake of this name, and the way to make it."""
    exercise = next(c for c in CHECKS.values() if c.mistake(name))
    return exercise, exercise.mistake(name).ways[0]


def judged(name):
    """{check: record} of a real mistake of unit 01, for the checks that look at its code."""
    exercise, way = making(name)
    student, said = exercise.object(exercise.source(way)), {}
    for check in (c for c in CHECKS.values() if c.target == exercise.target):
        verdict = evaluate(check, student, seed=5, seconds=60.0)
        findings = [{"behavior": f.behavior, "passed": f.passed, "message": f.message, "expected": f.expected, "got": f.got,
                     "misconception": f.misconception} for f in verdict.findings]
        said[check.name] = full_record(check, findings, verdict.misconception, verdict.message)
    return said


# --- notebooks -----------------------------------------------------------------------------------


def executed(records=None, mistake=None, outputs=None, sources=None, **about):
    """The graded notebook: verdicts in the test cells, `outputs` and `sources` by cell id, `about` in its metadata."""
    records, outputs, sources = records or {}, outputs or {}, sources or {}
    nb = copy.deepcopy(solved())
    if mistake:
        exercise, way = making(mistake)
        nb = with_mistake(nb, exercise.target, way)
    for cell in nb.cells:
        name = grade_id(cell) or cell.id
        cell.source = sources.get(name, cell.source)
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(o) for o in outputs.get(name, [])]
        if name in CHECKS and cell.cell_type == "code":
            record = records.get(CHECKS[name].name) or invented(CHECKS[name])
            cell.outputs += [
                nbformat.v4.new_output("display_data", {VERDICT_MIME: record, "text/html": "<b>panel</b>", "text/plain": "panel"}),
                nbformat.v4.new_output("execute_result", {"text/plain": repr(record["points"])}, execution_count=1),
            ]
    said = {"seed": SEED, "sandbox": "bubblewrap", "seconds": 12.5, "notes": [note()], "problems": []}
    nb.metadata["elbolab"] = nbformat.from_dict(said | about)
    return nb


def note(kind="edited", honest=True, sentence=SECRET):
    return {"kind": kind, "cell": "check_elbo", "honest": honest, "sentence": sentence}


def plain(nb):
    return json.loads(nbformat.writes(nb))


# --- a course with a gradebook -------------------------------------------------------------------


@cache
def empty_gradebook():
    """The file of a gradebook that knows unit 01 and nobody yet; making one takes seconds."""
    programs = os.path.dirname(sys.executable)  # nbgrader calls `alembic` by its name
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([programs, *os.environ.get("PATH", "").split(os.pathsep)]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gradebook.db"
        with Gradebook(f"sqlite:///{file}", "elbolab") as gradebook:
            gradebook.add_assignment(UNIT)
            gradebook.add_notebook(NAME, UNIT)
            for cell in solved().cells:
                about = cell.metadata.get("nbgrader", {})
                if about.get("grade"):
                    gradebook.add_grade_cell(about["grade_id"], NAME, UNIT, max_score=about["points"], cell_type=cell.cell_type)
                if about.get("solution"):
                    gradebook.add_solution_cell(about["grade_id"], NAME, UNIT)
        return file.read_bytes()


class Course:
    """A course folder with a gradebook that knows unit 01; `hand_in` adds a graded submission."""

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "nbgrader_config.py", self.root)
        (self.root / "course").mkdir(exist_ok=True)
        (self.root / "gradebook.db").write_bytes(empty_gradebook())
        self.db_url = f"sqlite:///{self.root / 'gradebook.db'}"

    def hand_in(self, student, nb=None, marks=(), comments=(), late=None, graded=True, **names):
        """Writes submitted and autograded notebook and the points into the gradebook; `marks` are a person's, by cell."""
        marks, comments = dict(marks), dict(comments)
        submitted = self.root / "submitted" / student / UNIT
        submitted.mkdir(parents=True)
        (submitted / f"{NAME}.ipynb").write_text("{}")
        if not graded:
            return
        nb = nb if nb is not None else executed()
        folder = self.root / "autograded" / student / UNIT
        folder.mkdir(parents=True)
        nbformat.write(nb, folder / f"{NAME}.ipynb")
        with Gradebook(self.db_url, "elbolab") as gradebook:
            gradebook.add_student(student, **names)
            handed = gradebook.add_submission(UNIT, student, timestamp=datetime.datetime(2024, 5, 3, 12, 30))
            handed.notebooks[0].late_submission_penalty = late
            points = {grade_id(c): float(c.outputs[-1].data["text/plain"]) for c in nb.cells if grade_id(c) in CHECKS}
            for grade in handed.notebooks[0].grades:
                grade.auto_score = points.get(grade.name)
                grade.manual_score = marks.get(grade.name)
                grade.needs_manual_grade = grade.auto_score is None and grade.manual_score is None
            for comment in handed.notebooks[0].comments:
                comment.manual_comment = comments.get(comment.name)
            gradebook.db.commit()


ANSWERS = tuple(grade_id(c) for c in solved().cells if (grade_id(c) or "").startswith("answer_"))


def random_records(rng, skill, coin=()):
    """{check: record} of a made-up student: the more skill, the fewer mistakes. Checks in `coin` fail by chance alone."""
    said = {}
    for place, check in enumerate(CHECKS.values()):
        difficulty = -2.4 + 0.22 * place
        wrong = 0.4 if check.name in coin else 1 / (1 + math.exp(-(difficulty - 1.6 * skill)))
        if rng.random() >= wrong:
            continue
        named = [m for m in check.mistakes if PRICES[check.name][m.name][0]]
        weights = [1 / (1 + 2 * i) for i in range(len(named))]
        if named and rng.random() < 0.8:
            said[check.name] = invented(check, rng.choices(named, weights)[0])
        else:
            said[check.name] = invented(check, failing=list(check.behaviors)[rng.randrange(len(check.behaviors)):])
    return said


FIRST = "Ada Bjørn Chloé Dmitri Elif Farah Guillermo Hana Igor Jun Kwame Lucía Mehmet Ngozi Olga Priya Quentin Rosa Søren Tomás".split()
LAST = "Andersson Bakker Chen Díaz Eriksen Fischer Gupta Haddad Ito Jensen Kowalski Laurent Moreau Nguyen Okafor Petrov".split()


def crowd(course, number=36, seed=1, coin=("vae.score_gradient",), nb=None):
    """Fills a course with made-up students, some of them with problems and notes; returns their ids."""
    rng = random.Random(seed)
    names = []
    for place in range(number):
        records, seconds = random_records(rng, rng.gauss(0.4, 1), coin), max(4.0, rng.gauss(11, 2.5))
        about = {"seconds": seconds, "notes": [], "problems": []}
        if place % 9 == 3:
            about["notes"] = [note("copied", True, "The cell `gaussian` stood twice; the first with an answer was run.")]
        if place % 17 == 5:
            about["notes"] = [note("edited", False, SECRET)]
        if place % 12 == 7:
            about |= {"seconds": 131.0 + place, "problems": ["Cell 47 ran longer than 120 s and was stopped."]}
        first, last = FIRST[place % len(FIRST)], LAST[(place * 7) % len(LAST)]
        student = f"s{1000 + place}"
        marks = {a: rng.choice([0.0, 1.0, 2.0, 2.0]) for a in ANSWERS} if place % 5 else {}
        course.hand_in(student, executed(records, **about) if nb is None else nb, marks, first_name=first, last_name=last)
        names.append(student)
    return names
