"""What the honest half of the class should earn is what the checks give its code when nothing else goes on."""

import contextlib
import io
import re
import types
import warnings

import pytest
from corpus.attack import CELLS, NOTHING, RIGHT
from honest_class import HONEST
from IPython.core.inputtransformer2 import TransformerManager
from threat_class import released_cells

from autograder.catalogue import find_check
from autograder.verdict import evaluate

CODE = ("gaussian", "bernoulli", "gaussian_kl")
CALL = re.compile(r'check\("(?P<check>[\w.]+)", (?P<name>\w+)\)')
TESTS = {c.metadata["nbgrader"]["grade_id"]: CALL.search(c.source) for c in released_cells() if CALL.search(c.source)}
# Cells that need a shell, an event loop or processes; and what changes this process' own settings.
NEEDS_A_NOTEBOOK = {
    "honest_magics", "honest_timed_cell", "honest_awaits", "honest_installs", "honest_loader_workers", "honest_worker_processes",
    "honest_progress_bars", "honest_shows_things", "honest_own_tests", "honest_grad_mode_off", "honest_other_defaults", "honest_inference_mode_on",
    "honest_signals_and_limits", "honest_threads_go_on", "honest_writes_files", "honest_warnings_are_errors", "honest_writes_to_stderr",
    "honest_figures_open", "honest_shows_in_the_function", "honest_witness_first", "honest_witness_second", "honest_witness_third",
}


def names_after(attack, kit):
    """What the cells define, each cell as far as it comes."""
    module = types.ModuleType("submission")
    for cell in attack.make(kit).cells:
        if cell.cell_type != "code" or cell.source.startswith("check("):
            continue
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(TransformerManager().transform_cell(cell.source), "submission", "exec", dont_inherit=True), vars(module))
    return vars(module)


def test_the_tests_are_those_of_the_class():
    assert tuple(TESTS) == CELLS


@pytest.mark.parametrize("attack", [a for a in HONEST if a.name not in NEEDS_A_NOTEBOOK], ids=lambda a: a.name)
def test_code_earns_what_is_expected_of_it(attack, kit):
    import matplotlib

    matplotlib.use("Agg")
    names = names_after(attack, kit)
    earned = []
    for cell in CELLS:
        check = find_check(TESTS[cell]["check"])
        earned.append(evaluate(check, names[TESTS[cell]["name"]], seed=7).points if TESTS[cell]["name"] in names else 0)
    assert tuple(earned) == attack.points


def test_the_class_is_mixed():
    assert sum(a.points == NOTHING for a in HONEST) >= 1
    assert sum(0 < sum(a.points) < 14 for a in HONEST) >= 8
    assert len({a.clause for a in HONEST}) >= 9
    assert set(RIGHT) == {*CODE, "answer_why"}
