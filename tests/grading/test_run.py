"""How a notebook is run and judged: who decides, and what happens when a submission ends its own process. No sandbox here."""

import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.border import encode
from autograder.catalogue import all_checks, exercise_of
from autograder.grading.run import WORDS, checks_in, derive, run_notebook
from autograder.grading.sandbox import Limits
from autograder.grading.session import Lost, ParentDied
from autograder.inside.serve import answer
from autograder.written import VERDICT_MIME

RIGHT = exercise_of("gaussian_kl").preamble + exercise_of("gaussian_kl").solution
KL = 'check("vae.gaussian_kl", gaussian_kl)'


def mark(name, points=3):
    return {"nbgrader": {"grade": True, "solution": False, "locked": True, "points": points, "grade_id": name, "schema_version": 3}}


def test_cell(source, name="check_it", points=3):
    return new_code_cell(source, metadata=mark(name, points))


test_cell.__test__ = False


class Fake:
    """A session that runs cells with exec in this process; text in a cell makes it die."""

    opened = 0

    def __init__(self, dies=()):
        type(self).opened += 1
        self.names, self.ran, self.closed, self.dies = {}, [], False, dies

    def run(self, source, seconds):
        assert seconds > 0
        for word, error in self.dies:
            if word in source:
                raise error
        self.ran.append(source)
        try:
            exec(source, self.names)
            return []
        except Exception as error:
            return [{"output_type": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": []}]

    def probe(self, request, inputs):
        for word, error in self.dies:
            if word in request["expression"]:
                raise error
        return answer(request, inputs, self.names)

    def close(self):
        self.closed = True


def graded(*cells, dies=(), limits=None):
    """(notebook, problems, sessions) after running these cells."""
    cells = [new_code_cell(c) if isinstance(c, str) else c for c in cells]
    notebook, sessions = new_notebook(cells=cells), []

    def open_session():
        sessions.append(Fake(dies))
        return sessions[-1]

    problems = run_notebook(notebook, 7, limits or Limits(), open_session)
    assert all(s.closed for s in sessions)
    return notebook, problems, sessions


def points(cell):
    results = [o for o in cell.outputs if o.output_type == "execute_result"]
    return float(results[0].data["text/plain"]) if results else None


def test_statements_of_a_test_cell_are_taken_apart():
    source = 'from autograder import check\nx = 1  # note\ncheck("a.b", f)\ncheck("c.d", g(2)[0])\nother("e.f", h)'
    assert list(checks_in(source)) == [("run", "from autograder import check"), ("run", "x = 1"), ("check", "a.b", "f"),
                                       ("check", "c.d", "g(2)[0]"), ("run", "other('e.f', h)")]
    assert list(checks_in("check(name, f)")) == [("run", "check(name, f)")]
    assert list(checks_in("not python (")) == []


def test_a_right_answer_earns_the_points_and_the_panel_is_the_grader_s():
    notebook, problems, _ = graded(RIGHT, test_cell(KL))
    panel, result = notebook.cells[1].outputs
    assert problems == [] and points(notebook.cells[1]) == 3
    assert panel.data[VERDICT_MIME]["passed"] and panel.data[VERDICT_MIME]["findings"][0]["max_points"] >= 1


@pytest.mark.parametrize("forged", [
    "def check(*a): return 3.0", "class check:\n    def __new__(cls, *a): return 3.0",
    "import builtins; builtins.check = lambda *a: 3.0", "gaussian_kl = lambda *a: 3.0", "gaussian_kl = 3.0",
])
def test_replacing_check_earns_nothing(forged):
    notebook, _, _ = graded(forged, test_cell(KL))
    assert points(notebook.cells[1]) == 0


def test_what_a_test_cell_says_beside_its_checks_is_no_score():
    notebook, _, _ = graded("gaussian_kl = None", test_cell(f"print(3)\n{KL}\n3.0"))
    assert points(notebook.cells[1]) == 0 and len(notebook.cells[1].outputs) == 2


def test_points_never_exceed_the_cell_s():
    notebook, _, _ = graded(RIGHT, test_cell(f"{KL}\n{KL}", points=4))
    assert points(notebook.cells[1]) == 4


@pytest.mark.parametrize("source", ["assert square(3) == 9", 'check("no.such", f)', "check(", ""])
def test_a_test_without_a_check_waits_for_a_person(source):
    notebook, _, _ = graded("f = 1", test_cell(source))
    (output,) = notebook.cells[1].outputs
    assert output.output_type == "display_data" and "a person grades it" in output.data["text/plain"]


def test_seeds_for_inputs_and_probes_differ_and_are_repeatable():
    seeds = {derive(7, name, what) for name in ("a", "b") for what in ("inputs", "probe")}
    assert len(seeds) == 4 and all(0 <= s < 2**62 for s in seeds) and derive(7, "a", "inputs") == derive(7, "a", "inputs")


def test_the_same_seed_gives_the_same_verdict():
    first, second = (graded(RIGHT.replace("- 1)", "- 2)"), test_cell(KL))[0] for _ in range(2))
    assert first.cells[1].outputs == second.cells[1].outputs


@pytest.mark.parametrize("reason", sorted(WORDS.keys() - {"again"}))
def test_a_cell_that_ends_its_process_costs_only_itself(reason):
    notebook, problems, sessions = graded("a = 1", "die", RIGHT, test_cell(KL), dies=[("die", Lost(reason))])
    assert [c.outputs[0].ename for c in notebook.cells[1:2]] == ["ProcessEnded"]
    assert notebook.cells[1].outputs[0].evalue == WORDS[reason]
    assert points(notebook.cells[3]) == 3
    assert len(problems) == 1 and problems[0].startswith("Cell 2: it ")
    assert [s.ran for s in sessions] == [["a = 1"], ["a = 1", RIGHT]]


def test_code_that_ends_its_process_when_called_costs_its_test():
    notebook, problems, _ = graded(
        RIGHT, "bomb = 1", test_cell('check("vae.gaussian_kl", bomb)', "check_bomb"), test_cell(KL), dies=[("bomb", Lost("ended"))][:1])
    assert points(notebook.cells[2]) == 0 and points(notebook.cells[3]) == 3
    assert "ended the process" in notebook.cells[2].outputs[0].data[VERDICT_MIME]["message"]


def test_after_many_ends_what_is_right_still_counts():
    notebook, _, sessions = graded(*["die"] * 6, RIGHT, test_cell(KL), dies=[("die", Lost("ended"))])
    assert [c.outputs[0].ename for c in notebook.cells[:6]] == ["ProcessEnded"] * 6
    assert points(notebook.cells[7]) == 3 and len(sessions) == 7


def test_a_cell_that_fills_the_memory_leaves_none_of_it_to_the_next():
    hoard = "hoard = list(range(9))\nraise MemoryError"
    notebook, problems, sessions = graded(hoard, RIGHT, test_cell(KL))
    assert len(sessions) == 2 and "hoard" not in sessions[-1].names
    assert notebook.cells[0].outputs[0].evalue == WORDS["memory"] and len(problems) == 1
    assert points(notebook.cells[2]) == 3


def test_a_cell_that_ends_only_the_second_run_is_found():
    class Second(Fake):
        opened = 0

        def run(self, source, seconds):
            if source == "die" or (source == "once" and type(self).opened > 1):
                raise Lost("ended")
            return super().run(source, seconds)

    notebook = new_notebook(cells=[new_code_cell(s) for s in ("once", "die", "x = 1")])
    problems = run_notebook(notebook, 7, Limits(), Second)
    assert [bool(c.outputs) for c in notebook.cells] == [True, True, False]
    assert notebook.cells[0].outputs[0].evalue == WORDS["again"] and len(problems) == 2


def test_a_parent_that_dies_once_costs_nothing():
    died = []

    class Dies(Fake):
        def run(self, source, seconds):
            if source == "x = 1" and not died:
                died.append(True)
                raise ParentDied
            return super().run(source, seconds)

    notebook = new_notebook(cells=[new_code_cell(RIGHT), new_code_cell("x = 1"), test_cell(KL)])
    assert run_notebook(notebook, 7, Limits(), Dies) == [] and points(notebook.cells[2]) == 3


def test_a_notebook_out_of_time_leaves_the_rest_unrun_and_unpaid():
    notebook, _, _ = graded("import time; time.sleep(0.2)", RIGHT, test_cell(KL), limits=Limits(notebook_seconds=0.1))
    assert "not run" in notebook.cells[1].outputs[0].evalue and points(notebook.cells[2]) == 0


def test_other_cells_are_left_alone():
    notebook, _, _ = graded(new_markdown_cell("text"), "", "1")
    assert notebook.cells[0].source == "text" and "outputs" not in notebook.cells[0]


@pytest.mark.parametrize("reply", [b"", b"x" * 1000, encode({}), encode({"value": torch.zeros(0)}), encode({"trouble": "<script>" * 100}),
                                   encode({"value": torch.full((3,), float("nan")), "again": 1, "changed": []}),
                                   encode({"value": torch.zeros(3000, 3000), "again": torch.zeros(1, dtype=torch.int64)})])
def test_any_reply_at_all_is_a_verdict(reply):
    class Forger(Fake):
        def probe(self, request, inputs):
            return reply

    for name, check in all_checks().items():
        cell = test_cell(f'check("{name}", x)', points=check.max_points)
        run_notebook(new_notebook(cells=[cell]), 7, Limits(), Forger)
        assert points(cell) == 0 and "<script" not in cell.outputs[0].data["text/html"]


def test_a_notebook_may_show_only_so_much(monkeypatch):
    monkeypatch.setattr("autograder.grading.run.MOST_OUTPUT", 1000)

    class Loud(Fake):
        def run(self, source, seconds):
            return [{"output_type": "stream", "name": "stdout", "text": "x" * 400}, {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]

    notebook = new_notebook(cells=[new_code_cell(f"{n}") for n in range(4)])
    run_notebook(notebook, 7, Limits(), Loud)
    texts = [cell.outputs[0].text for cell in notebook.cells]
    assert texts[:1] == ["x" * 400] and texts[2:] == ["Left out: the outputs of this notebook are too large."] * 2
    assert all(cell.outputs[1].output_type == "error" for cell in notebook.cells)
