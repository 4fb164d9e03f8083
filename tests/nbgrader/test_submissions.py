"""One class with every kind of broken notebook in it, graded in one run: each gets what its code earns, no more."""

import copy

import nbformat
import pytest
from judged_course import KL, PIXELS, RIGHT, UNIT, write_course
from small_course import cell_named, hand_in, nbgrader, read, scores, submission

from autograder.masters import build
from autograder.written import verdicts

pytestmark = pytest.mark.slow

STUBBORN = PIXELS + """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
while True:
    try:
        time.sleep(0.1)
    except KeyboardInterrupt:
        pass"""

NOISE = """
import os, sys, warnings
assert os.environ["ELBOLAB_FAST"] == "1"
def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):
    warnings.warn("a library is worried")
    print("progress: 100 %", file=sys.stderr)
    return torch.distributions.kl_divergence(torch.distributions.Normal(mu_q, log_sigma_q.exp()),
                                             torch.distributions.Normal(mu_p, log_sigma_p.exp())).sum(-1)"""

FORGED = """
gaussian_kl = 0
def check(*args): return 3.0
class Three:
    def __repr__(self): return "3.0"
get_ipython().ast_transformers.append(None)"""


def written(released, **sources):
    return submission(released, **{**RIGHT, **sources})


def without(notebook, *names):
    notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return notebook


def copied(released, name, source):
    """The cell `name` twice, as copy and paste leaves it: one id, the first with other text."""
    notebook = written(released)
    place = notebook.cells.index(cell_named(notebook, name))
    notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))
    notebook.cells[place].update(source=source, id="pasted")
    return notebook


def retyped_and_moved(released):
    """The solution turned into text by a slip of the keyboard, its test dragged to the top."""
    notebook = written(released)
    cell, test = cell_named(notebook, "double"), cell_named(notebook, "check_double")
    cell.cell_type = "markdown"
    del cell["outputs"], cell["execution_count"]
    notebook.cells.remove(test)
    notebook.cells.insert(1, test)
    return notebook


def with_other_metadata(released):
    notebook = written(released, check_double="1")
    test = cell_named(notebook, "check_double")
    test.metadata.nbgrader.update(points=100, schema_version=1, solution=True, locked=False)
    cell_named(notebook, "double").metadata.nbgrader = {}
    return notebook


def stripped(released):
    """As some editors save it: ids stay, nbgrader's metadata and the kernel do not."""
    notebook = written(released)
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {"kernelspec": {"name": "julia", "display_name": "Julia"}}
    return notebook


FULL, NOTHING = (3, 3, None), (0, 0, 0)  # the KL, the pixels, the answer that a person marks
WRONG = KL.replace("distance**2 - 1", "distance**2")
CLASS = {  # student: (how the notebook is made from the student version, what it earns)
    "solved": (written, FULL),
    "untouched": (lambda nb: nb, NOTHING),
    "constant_forgotten": (lambda nb: written(nb, double=WRONG), (1, 3, None)),
    "syntax_error": (lambda nb: written(nb, double="def gaussian_kl(:"), (0, 3, None)),
    "deleted_test": (lambda nb: without(written(nb), "check_double"), FULL),
    "deleted_solution": (lambda nb: without(written(nb), "double"), (0, 3, None)),
    "deleted_run": (lambda nb: without(written(nb), "square", "check_square", "question_why", "answer_why"), (3, 0, 0)),
    "copied_solution": (lambda nb: copied(nb, "double", "def gaussian_kl(*a): return 0"), FULL),
    "copied_test": (lambda nb: copied(nb, "check_square", "check()"), FULL),
    "copied_answer": (lambda nb: copied(nb, "answer_why", "*Your answer here.*"), FULL),
    "retyped_and_moved": (retyped_and_moved, FULL),
    "other_metadata": (with_other_metadata, FULL),
    "stripped": (stripped, FULL),
    "not_json": (lambda nb: "this is no notebook", NOTHING),
    "empty": (lambda nb: "", NOTHING),
    "endless": (lambda nb: written(nb, double="while True: pass"), (0, 3, None)),
    "stubborn": (lambda nb: written(nb, square=STUBBORN), (3, 0, None)),
    "kills_kernel": (lambda nb: written(nb, square="import os; os._exit(3)"), (3, 0, None)),
    "test_kills_kernel": (lambda nb: written(nb, double="import os\ndef gaussian_kl(*a): os._exit(3)"), (0, 3, None)),
    "exits": (lambda nb: written(nb, square="exit()"), (3, 0, None)),
    "noise": (lambda nb: written(nb, double=NOISE), FULL),
    "forged": (lambda nb: written(nb, double=FORGED), (0, 3, None)),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(course folder, what nbgrader printed) after one `nbgrader autograde` of the whole class."""
    course = write_course(tmp_path_factory.mktemp("class"))
    with (course / "nbgrader_config.py").open("a") as settings:
        settings.write("c.ExecuteSubmission.timeout = 5\n")
    build(course)
    released = read(course / "assignments" / UNIT / "exercises.ipynb")
    for student, (make, _) in CLASS.items():
        hand_in(course, student, make(nbformat.from_dict(copy.deepcopy(released))))
    nbgrader(course, "generate_assignment", UNIT)
    return course, nbgrader(course, "autograde", UNIT)


def autograded(graded, student):
    return read(graded[0] / "autograded" / student / UNIT / "exercises.ipynb")


def errors(notebook, name):
    return " ".join(output.evalue for output in cell_named(notebook, name).outputs if output.output_type == "error")


@pytest.mark.parametrize("student", CLASS)
def test_each_earns_what_its_code_earns(graded, student):
    earned = scores(graded[0])[student]
    assert (earned["check_double"], earned["check_square"], earned["answer_why"]) == CLASS[student][1]


def test_a_file_that_is_no_notebook_is_reported_once_and_stays(graded):
    course, printed = graded
    assert printed.count("cannot be read as a notebook") == 2
    assert "not_json" in printed and "it is not JSON" in printed and "it is empty" in printed
    assert "Traceback" not in printed
    assert "it is empty" in str(autograded(graded, "empty").cells)
    assert (course / "submitted" / "not_json" / UNIT / "exercises.ipynb").read_text() == "this is no notebook"


@pytest.mark.parametrize("student, cell, words", [
    ("endless", "double", "ran too long"), ("stubborn", "square", "could not be stopped"),
    ("kills_kernel", "square", "ended the process"), ("not_json", "check_double", "cannot be read"),
])
def test_the_cell_that_failed_says_why(graded, student, cell, words):
    assert words in errors(autograded(graded, student), cell)


def test_the_teacher_is_told_what_was_put_back(graded):
    (note,) = autograded(graded, "deleted_test").metadata.elbolab["notes"]
    assert (note["kind"], note["cell"], note["honest"]) == ("deleted", "check_double", True)
    assert f"deleted_test: {note['sentence']}" in graded[1]


def test_the_teacher_reads_the_mark_scheme_above_the_answer(graded):
    notebook = autograded(graded, "solved")
    assert "Exemplar, 2 of 2" in cell_named(notebook, "question_why").source
    assert cell_named(notebook, "answer_why").source == RIGHT["answer_why"]


def test_verdicts_can_be_read_from_the_graded_notebook(graded):
    first, second = verdicts(autograded(graded, "constant_forgotten"))
    assert (first["grade_id"], first["points"], first["max_points"]) == ("check_double", 1, 3) and first["misconception"]
    assert second["passed"]
    (killed, _) = verdicts(autograded(graded, "test_kills_kernel"))
    assert "ended the process" in killed["message"]


def test_the_notebook_says_how_it_was_graded(graded):
    said = autograded(graded, "solved").metadata.elbolab
    assert said["sandbox"] == "bubblewrap" and said["seed"] > 2**32 and said["notes"] == said["problems"] == []


def test_grading_again_gives_the_same(graded):
    course, _ = graded
    before = autograded(graded, "constant_forgotten")
    nbgrader(course, "autograde", UNIT, "--student=constant_forgotten", "--force")
    after = autograded(graded, "constant_forgotten")
    for notebook in (before, after):
        notebook.metadata.elbolab.pop("seconds")
    assert before == after


def test_without_a_sandbox_nothing_is_graded_unless_the_teacher_says_so(graded):
    course, _ = graded
    printed = nbgrader(course, "autograde", UNIT, "--student=solved", "--force", code=1, PATH="/nowhere")
    assert "bubblewrap is not installed" in printed and "--no-sandbox" in printed
    nbgrader(course, "autograde", UNIT, "--student=solved", "--force", "--ExecuteSubmission.sandbox=none", PATH="/nowhere")
    assert autograded(graded, "solved").metadata.elbolab["sandbox"] == "none"
    assert scores(course)["solved"]["check_double"] == 3
