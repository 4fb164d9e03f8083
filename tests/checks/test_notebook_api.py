"""`check`, `hint` and `progress` as a student meets them."""

import json
import re
import sys
import types

import pytest
from checking import CODE_CHECKS, SOLUTIONS, made

import autograder
from autograder import check, hint, progress
from autograder.catalogue import all_checks, exercise_of, find_check
from autograder.notebook import PROGRESS_FILE, CheckFailed
from autograder.panels import hint_panel, progress_panel, verdict_panel
from autograder.verdict import evaluate
from autograder.written import VERDICT_MIME

NAME, TARGET = "vae.bernoulli", "bernoulli_log_likelihood"
SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELBOLAB_GRADING", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would show."""
    from IPython import display

    bundles = []
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(display, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


@pytest.fixture
def right():
    return made(TARGET, SOLUTIONS[TARGET])


def mistaken(name="bernoulli_negated"):
    exercise = exercise_of(TARGET)
    return exercise.object(exercise.source(exercise.mistake(name).ways[0]))


def raises(*arguments):
    raise ValueError(SCRIPT)


def test_exports():
    assert autograder.check is check and autograder.hint is hint and autograder.progress is progress


def test_right_code_passes_quietly(right, capsys):
    assert check(NAME, right) is None
    assert capsys.readouterr().out == "✓ vae.bernoulli: 3 of 3 points. All of it holds.\n"


def test_wrong_code_raises_an_assertion(capsys):
    with pytest.raises(AssertionError, match="vae.bernoulli: The sign is wrong") as error:
        check(NAME, mistaken())
    assert error.value._render_traceback_() == [f"AssertionError: {error.value}"]
    out = capsys.readouterr().out
    assert out.startswith("✗ vae.bernoulli: 2 of 3 points.") and "expected" in out and "log p(x) = -BCE" in out


def test_grading_gives_points(right, monkeypatch):
    monkeypatch.setenv("ELBOLAB_GRADING", "1")
    assert check(NAME, right) == 3.0
    assert check(NAME, mistaken()) == 2.0
    assert check(NAME, None) == check(NAME, raises) == 0.0
    assert check("vae.no_such_check", right) == 0.0
    assert not list(__import__("pathlib").Path().iterdir()), "grading keeps no progress"


def test_unknown_check(right):
    with pytest.raises(CheckFailed, match=r'There is no check called "vae.bernouli". Did you mean vae.bernoulli'):
        check("vae.bernouli", right)
    with pytest.raises(CheckFailed, match="There are: vae.gaussian_rsample"):
        check("%%%", right)


def test_the_bundle_of_a_notebook(displayed):
    with pytest.raises(AssertionError):
        check(NAME, mistaken())
    (bundle,) = displayed
    assert set(bundle) == {"text/html", "text/plain", VERDICT_MIME}
    record = bundle[VERDICT_MIME]
    assert record["misconception"] == "bernoulli_negated" and record["points"] == 2 and not record["passed"]
    assert json.loads(json.dumps(record)) == record
    html = bundle["text/html"]
    assert "The likely mistake" in html and "<details" in html and "2 of 3 points" in html and "Read on" in html


@pytest.mark.parametrize("name", all_checks())
def test_panels_escape_what_students_write(name):
    """An exception's text, whatever is in it, stays text."""
    target = find_check(name).target
    student = type(target, (), {"__init__": lambda self, *a, **k: raises()}) if target[0].isupper() else raises
    html = verdict_panel(find_check(name), evaluate(find_check(name), student, seed=1))
    assert "<script" not in html and "<img" not in html
    if find_check(name) in CODE_CHECKS:
        assert "&lt;script&gt;" in html


def test_panels_escape_names_and_evidence():
    class Odd:
        pass

    Odd.__name__ = Odd.__qualname__ = SCRIPT
    assert "<script" not in verdict_panel(find_check(NAME), evaluate(find_check(NAME), Odd(), seed=1))
    assert "<script" not in verdict_panel(find_check(NAME), evaluate(find_check(NAME), lambda logits, x: Odd(), seed=1))


@pytest.mark.parametrize("name", all_checks())
def test_panels_are_well_formed(name):
    from html.parser import HTMLParser

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.wrong = [], []

        def handle_starttag(self, tag, attrs):
            if tag not in ("br", "img", "hr"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            if not self.open or self.open.pop() != tag:
                self.wrong.append(tag)

    found = find_check(name)
    panels = [verdict_panel(found, evaluate(found, s, seed=1)) for s in (None, raises)]
    panels += [hint_panel(found, level) for level in (1, 2, 3)] + [progress_panel([found], {})]
    for html in panels:
        parser = Balance()
        parser.feed(html)
        assert parser.open == parser.wrong == [], html


def test_hints_open_one_by_one(capsys):
    hints = find_check(NAME).hints
    for level in (1, 2, 3, 3):
        hint(NAME)
        out = capsys.readouterr().out
        assert [h for h in hints if h in out] == list(hints[:level])
        assert f"Hint {level} of 3" in out
    hint("vae.bernouli")
    assert "Did you mean vae.bernoulli" in capsys.readouterr().out


def test_progress(right, capsys):
    progress()
    assert capsys.readouterr().out.count("·") == len([n for n in all_checks() if n.startswith("vae.")])
    check(NAME, right)
    with pytest.raises(AssertionError):
        check("vae.gaussian_kl", None)
    capsys.readouterr()
    progress()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("✓")] == [f"✓ {NAME}: {find_check(NAME).title}"]
    progress("no_unit")
    assert 'There is no unit "no_unit"' in capsys.readouterr().out


def test_progress_panel(right, displayed):
    check(NAME, right)
    progress()
    html = displayed[-1]["text/html"]
    assert re.search(r"3 of \d+ points", html) and NAME in html


DAMAGED = {
    "nothing": b"",
    "half of it": b'{"vae.bernoulli": {"poi',
    "no text": b"\xff\xfe\x00garbage\x80",
    "a list": b"[1, 2]",
    "a number": b"3",
    "entries that are no dicts": b'{"vae.bernoulli": 3, "vae.elbo": null}',
    "values of the wrong kind": b'{"vae.bernoulli": {"tries": "two", "hints": "x", "points": "many", "passed": "yes"}}',
    "numbers out of range": b'{"vae.bernoulli": {"tries": -1, "hints": 99, "points": NaN}}',
    "null values": b'{"vae.bernoulli": {"tries": null, "hints": null, "points": null}}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_progress_file_costs_nothing_but_progress(damage, right, tmp_path, capsys):
    path = tmp_path / PROGRESS_FILE
    path.write_bytes(DAMAGED[damage])
    progress()
    hint(NAME)
    assert "Hint 1 of 3" in capsys.readouterr().out
    path.write_bytes(DAMAGED[damage])
    check(NAME, right)
    assert json.loads(path.read_text())[NAME]["passed"] is True
    progress()
    assert f"✓ {NAME}" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_to(right, tmp_path, capsys):
    (tmp_path / PROGRESS_FILE).mkdir()  # writing fails, for root as well
    check(NAME, right)
    hint(NAME)
    progress()
    assert "Hint 1 of 3" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == [PROGRESS_FILE], "no temporary file is left"


def test_a_bonus_is_listed_and_not_counted():
    counted, bonus = find_check("iwae.resample"), find_check("iwae.dreg")
    assert bonus.bonus and not counted.bonus
    html = progress_panel([counted, bonus], {bonus.name: {"points": bonus.max_points, "passed": True}})
    assert f"0 of {counted.max_points} points" in html and f"{bonus.max_points} of {bonus.max_points} (bonus)" in html


def test_what_the_code_prints_and_the_seed_stand_in_a_failing_panel(right, displayed):
    def wrong(logits, x):
        print("logits", tuple(logits.shape), SCRIPT)
        return right(logits, x) * 0

    with pytest.raises(CheckFailed):
        check(NAME, wrong)
    html, text = displayed[-1]["text/html"], displayed[-1]["text/plain"]
    assert "logits (" in html and "<script" not in html and "logits (" in text
    seed = int(re.search(r"seed=(\d+)", html)[1])
    with pytest.raises(CheckFailed):
        check(NAME, wrong, seed=seed)
    assert displayed[-1]["text/html"] == html  # the very same draw
    check(NAME, right)
    assert "seed=" not in displayed[-1]["text/html"]


def test_much_that_is_printed_is_cut(displayed):
    with pytest.raises(CheckFailed):
        check(NAME, lambda logits, x: print("x" * 10**6))
    assert len(displayed[-1]["text/html"]) < 20_000


def test_older_code_than_the_cell_shows_is_said():
    """After a syntax error the class of before is still there; a cell that defines and checks is never called old."""
    from IPython.core.interactiveshell import InteractiveShell

    from autograder import notebook

    shell = InteractiveShell()
    notebook.Watch(shell)
    shell.run_cell("class Answer:\n    one = 1")
    first = shell.user_ns["Answer"]
    assert notebook.stale("Answer", first) == ""
    for broken in ("class Answer:\n    one = = 2", "1 / 0\nclass Answer:\n    one = 2", "%matplotlib nothing\nclass Answer: pass"):
        shell.run_cell(broken)
        assert "earlier run" in notebook.stale("Answer", first)
        shell.run_cell("1 + 1")
        assert "earlier run" in notebook.stale("Answer", first)
    shell.user_ns["stale"] = notebook.stale
    shell.run_cell("class Answer:\n    one = 3\nsaid = stale('Answer', Answer)\n1 / 0")
    assert shell.user_ns["said"] == "" and notebook.stale("Answer", shell.user_ns["Answer"]) == ""


def test_the_solution_can_be_had_after_an_attempt_and_is_remembered(right, displayed, capsys):
    hint(NAME, solution=True)
    assert "Try it yourself first" in capsys.readouterr().out and not displayed
    with pytest.raises(CheckFailed):
        check(NAME, None)
    hint(solution=True)  # of the check that was run last
    assert SOLUTIONS[TARGET].strip() in displayed[-1]["text/plain"]
    progress()
    assert displayed[-1]["text/html"].count("solution seen") == 1
    hint(NAME)
    assert SOLUTIONS[TARGET].strip() not in displayed[-1]["text/plain"]
