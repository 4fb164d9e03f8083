"""`execute`, with a real sandbox: from a file and a seed to points, whatever becomes of the processes in between."""

import json
import os
import secrets
import shutil
import signal
import tempfile
import threading
from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.catalogue import exercise_of
from autograder.grading import session
from autograder.grading.engine import Task, close, execute
from autograder.grading.intake import Template
from autograder.grading.sandbox import Limits
from autograder.written import verdicts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")]
LIMITS = Limits(cell_seconds=30, notebook_seconds=120, probe_seconds=30, memory=1 << 30)  # patient: nothing here is endless
RIGHT = exercise_of("gaussian_kl").solution


@pytest.fixture(scope="module", autouse=True)
def warm():
    yield
    close()


def cell(name, source, kind="code", points=None):
    mark = {"grade": points is not None, "solution": points is None or kind == "markdown", "locked": points is not None and kind == "code",
            "grade_id": name, "schema_version": 3, "task": False, "cell_type": kind, **({} if points is None else {"points": points})}
    return {"id": name, "name": name, "cell_type": kind, "source": source, "nbgrader": mark}


TEMPLATE = Template((
    {"id": "setup", "name": None, "cell_type": "code", "source": exercise_of("gaussian_kl").preamble, "nbgrader": None},
    cell("kl", "raise NotImplementedError"),
    cell("check_kl", 'check("vae.gaussian_kl", gaussian_kl)', points=3),
    cell("answer", "*Your answer here.*", kind="markdown", points=2),
))


def handed_in(source, answer="Because."):
    make = {"code": new_code_cell, "markdown": new_markdown_cell}
    texts = {"kl": source, "answer": answer}
    return nbformat.writes(new_notebook(cells=[
        make[c["cell_type"]](texts.get(c["name"], c["source"]), id=c["id"], metadata={"nbgrader": c["nbgrader"]} if c["nbgrader"] else {})
        for c in TEMPLATE.cells])).encode()


def task(source=RIGHT, **changes):
    return replace(Task("anna", "01_demo", "exercises", handed_in(source), TEMPLATE, seed=4711, limits=LIMITS), **changes)


def graded(*arguments, **changes):
    """(points, executed notebook)."""
    notebook = nbformat.reads(execute(task(*arguments, **changes)).document, as_version=4)
    nbformat.validate(notebook)
    return sum(v["points"] for v in verdicts(notebook)), notebook


def test_right_wrong_and_untouched():
    assert graded(RIGHT)[0] == 3
    assert graded(RIGHT.replace("distance**2 - 1", "distance**2"))[0] == 1
    assert graded("raise NotImplementedError")[0] == 0


def test_a_regrade_is_the_same_notebook_and_another_seed_has_other_inputs():
    once, again, other = (graded(RIGHT.replace("- 1", "- 2"), seed=s)[1] for s in (1, 1, 2))
    for notebook in (once, again, other):
        notebook.metadata.elbolab.pop("seconds")
    assert once == again and once != other


def test_student_code_starts_from_the_seed_every_time():
    draw = RIGHT + "\nimport random, numpy\nprint(torch.rand(1).item(), numpy.random.rand(), random.random())"
    texts = [graded(draw, seed=s)[1].cells[1].outputs[0].text for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_an_unreadable_file_is_a_recorded_zero_with_a_reason():
    for data in (None, b"", b"no notebook", b"\xff\x00"):
        points, notebook = graded(data=data)
        assert points == 0 and notebook.metadata.elbolab["problems"][0].startswith("The file exercises.ipynb cannot be graded: ")
        assert [c.outputs[0].ename for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "check_kl"] == ["NoVerdict"]


def test_a_parent_that_dies_between_submissions_costs_nothing():
    assert graded()[0] == 3
    for sandbox in session._warm.values():
        os.killpg(sandbox.process.pid, signal.SIGKILL)
    assert graded()[0] == 3


def test_a_parent_that_dies_under_a_submission_costs_nothing():
    graded()  # it is warm now
    slow = RIGHT + "\nimport time; time.sleep(1.5)"
    parents = [s.process.pid for s in session._warm.values()]
    threading.Timer(0.7, lambda: [os.killpg(p, signal.SIGKILL) for p in parents]).start()
    points, notebook = graded(slow)
    assert points == 3 and notebook.metadata.elbolab["problems"] == []
    assert [s.process.pid for s in session._warm.values()] != parents


def test_changed_defaults_do_not_reach_the_verdict():
    changed = RIGHT + """
import sys, threading, time, warnings, random, numpy
torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64); torch.manual_seed(0); torch.set_num_threads(2)
warnings.simplefilter("error"); sys.setrecursionlimit(500)
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
print("noise", file=sys.stderr)"""
    assert graded(changed)[0] == 3


def test_what_a_student_shows_is_safe_and_the_verdict_is_the_grader_s():
    shows = RIGHT + """
from IPython.display import HTML, display
display(HTML("<script>alert(1)</script><b>bold</b>"))
display({"application/vnd.elbolab.verdict+json": {"points": 99}, "text/plain": "99"}, raw=True)"""
    _, notebook = graded(shows, data=handed_in(shows, "<img src=x onerror=alert(1)> because"))
    text = json.dumps([c.get("outputs", c.source) for c in notebook.cells])
    assert "<script" not in text and "<img" not in text and '"points": 99' not in text
    assert "because" in text and "<b>bold</b>" in text


def test_without_a_sandbox_it_says_so():
    points, notebook = graded(sandbox="none")
    assert points == 3 and notebook.metadata.elbolab["sandbox"] == "none"
    close()


def test_grading_leaves_nothing_behind(tmp_path, monkeypatch):
    """What the grader makes lies in its temporary folder, here one of its own; what the submission makes is known by its name."""
    close()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mark = f"left-{secrets.token_hex(8)}"
    points, notebook = graded(RIGHT + f"\nimport tempfile, os\nopen(tempfile.mkstemp(prefix='{mark}')[1], 'w').write('x')\n"
                                      f"os.close(os.open('/dev/shm/{mark}', os.O_CREAT)); print(*os.listdir('/tmp'), *os.listdir('/dev/shm'))")
    assert points == 3 and notebook.cells[1].outputs[0].text.count(mark) == 2
    close()
    assert os.listdir(tmp_path) == []
    assert not [name for folder in ("/tmp", "/var/tmp", "/dev/shm") for name in os.listdir(folder) if mark in name]
