"""A submission is read strictly and kindly: every broken notebook becomes the instructor's with what the student wrote."""

import copy
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearSolutions, ComputeChecksums, LockCells, SaveCells
from nbgrader.utils import compute_checksum, determine_grade

from autograder.demo import fill_in
from autograder.grading import intake, reading
from autograder.grading.edits import how_edited

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = '"""Doc."""\n# YOUR CODE HERE\nraise NotImplementedError'
BLANK = "*Your answer here.*"
IMAGE = {"a.png": {"image/png": "iVBORw0KGgo="}}
WRITTEN = {
    "double": "def double(n):\n    return 2 * n",
    "square": "def square(n):\n    return n * n",
    "answer_why": "Because.",
}


# --- a small assignment --------------------------------------------------------------------------


def mark(name, kind="code", **values):
    base = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3, "cell_type": kind, "grade_id": name}
    return base | {"checksum": f"sum of {name}"} | values


def known(name, source, kind="code", given=None, **values):
    marks = mark(name, kind, **values)
    return {"id": name, "name": name, "cell_type": kind, "source": source, "nbgrader": marks, "given": given or source, "marks": marks}


def plain(name, source, kind="code"):
    return {"id": name, "name": None, "cell_type": kind, "source": source, "nbgrader": None}


TEMPLATE = intake.Template((
    plain("intro", "# Doubling and squaring", "markdown"),
    plain("imports", "import math\nimport os"),
    known("double", f"def double(n):\n    {STUB}", solution=True),
    known("check_double", 'check("demo.double", double)', grade=True, locked=True, points=2),
    plain("prose", "Now the *square* of a number", "markdown"),
    known("square", f"def square(n):\n    {STUB}", solution=True),
    plain("train", "for epoch in range(10):\n    square(epoch)"),
    known("check_square", 'check("demo.square", square)\ncheck("demo.square_again", square)', grade=True, locked=True, points=1),
    known("question_why", "Why?\n### BEGIN MARK SCHEME\nExemplar\n### END MARK SCHEME", "markdown", given="Why?", locked=True),
    known("answer_why", BLANK, "markdown", grade=True, solution=True, points=2),
))
KNOWN = {cell["id"]: cell for cell in TEMPLATE.cells}
NAMED = [cell["name"] for cell in TEMPLATE.cells if cell["name"]]
LOCKED = [cell["name"] for cell in TEMPLATE.cells if cell["name"] and cell["nbgrader"]["locked"]]
MAKE = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


def released():
    cells = [MAKE[cell["cell_type"]](cell.get("given", cell["source"]), id=cell["id"],
                                     metadata={"nbgrader": copy.deepcopy(cell["nbgrader"])} if cell["name"] else {})
             for cell in TEMPLATE.cells]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def solved(**sources):
    notebook = released()
    for cell in notebook.cells:
        cell.source = {**WRITTEN, **sources}.get(cell.id, cell.source)
    return notebook


def at(notebook, name):
    return next(number for number, cell in enumerate(notebook.cells) if cell.id == name)


def cell(notebook, name):
    return notebook.cells[at(notebook, name)]


def ids(notebook):
    return [each.id for each in notebook.cells]


def take_in(submission, template=TEMPLATE):
    """Reads what is written to disk, assembles it, and holds it to what every assembled notebook is."""
    data = submission if isinstance(submission, bytes) else json.dumps(submission).encode()
    notebook, notes = intake.assemble(intake.read(data), template)
    nbformat.validate(notebook, relax_add_props=False)
    assert len(set(ids(notebook))) == len(notebook.cells)
    order = [each["id"] for each in template.cells]
    assert [name for name in ids(notebook) if name in set(order)] == order
    for each, want in zip([c for c in notebook.cells if c.id in set(order)], template.cells):
        assert each.cell_type == want["cell_type"]
        assert each.metadata == ({"nbgrader": want["nbgrader"]} if want["name"] else {})
        if want["name"] and not want["nbgrader"]["solution"]:
            assert each.source == want["source"]
    assert all(not each.metadata for each in notebook.cells if each.id not in set(order))
    assert notebook.metadata == {"kernelspec": template.kernelspec}
    assert not any(each.get("outputs") for each in notebook.cells)
    again, no_notes = intake.assemble(intake.read(nbformat.writes(notebook).encode()), template)
    assert nbformat.writes(again) == nbformat.writes(notebook) and no_notes == []
    return notebook, notes


def kinds(notes):
    return sorted({(note.kind, note.cell, note.honest) for note in notes}, key=str)


def test_a_solved_notebook_comes_back_as_it_is():
    notebook, notes = take_in(solved())
    assert notes == [] and ids(notebook) == [each["id"] for each in TEMPLATE.cells]
    assert {name: cell(notebook, name).source for name in WRITTEN} == WRITTEN
    assert "Exemplar" in cell(notebook, "question_why").source


def test_template_and_notes_can_be_sent_to_another_process():
    note = intake.Note("edited", "check_double", False, "...")
    assert pickle.loads(pickle.dumps((TEMPLATE, note))) == (TEMPLATE, note)


# --- missing, copied, moved, retyped -------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_a_missing_cell_is_there_again(name):
    submission = solved()
    submission.cells.pop(at(submission, name))
    notebook, notes = take_in(submission)
    assert kinds(notes) == [("deleted", name, True)]
    source = cell(notebook, name).source
    if name in ("double", "square"):
        assert source.startswith("# ") and "\n" not in source and "raise" not in source
    else:
        assert source == KNOWN[name]["source"]


def test_a_run_of_cells_may_be_missing():
    submission = solved()
    submission.cells = [each for each in submission.cells if each.id in ("double", "answer_why")]
    notebook, notes = take_in(submission)
    assert cell(notebook, "double").source == WRITTEN["double"] and cell(notebook, "imports").source == KNOWN["imports"]["source"]
    assert all(note.honest for note in notes)


def test_work_moved_to_another_cell_runs_before_the_test():
    submission = solved()
    cell(submission, "double").metadata = {}
    cell(submission, "double").id = "mine"
    cell(submission, "mine").source = "two = 2\n\ndouble = lambda n: two * n"
    notebook, notes = take_in(submission)
    assert ids(notebook)[1:5] == ["imports", "mine", "double", "check_double"]
    assert "raise" not in cell(notebook, "double").source and kinds(notes) == [("deleted", "double", True)]


def test_another_notebook_is_one_note():
    notebook, notes = take_in(new_notebook(cells=[new_markdown_cell("# Lecture"), new_code_cell("1 + 1")]))
    assert kinds(notes) == [("deleted", None, True)]


@pytest.mark.parametrize("first, second, runs", [
    ("def double(n): return 0", WRITTEN["double"], ["pasted", "double"]),
    (KNOWN["double"]["source"], WRITTEN["double"], ["double"]),
    (WRITTEN["double"], KNOWN["double"]["source"], ["double"]),  # the leftover stub stands after the work
    (KNOWN["double"]["source"] + "  \n", WRITTEN["double"], ["double"]),
])
def test_a_copied_solution_cell(first, second, runs):
    submission = solved(double=second)
    pasted = copy.deepcopy(cell(submission, "double"))
    pasted.update(id="pasted", source=first)
    submission.cells.insert(at(submission, "double"), pasted)
    notebook, notes = take_in(submission)
    assert [name for name in ids(notebook) if name in ("pasted", "double")] == runs
    assert cell(notebook, "double").source == WRITTEN["double"] and kinds(notes) == [("copied", "double", True)]


def test_a_split_solution_cell_runs_as_a_whole():
    submission = solved(double="    return 2 * n")
    first = copy.deepcopy(cell(submission, "double"))
    first.update(id="half", source="def double(n):")
    submission.cells.insert(at(submission, "double"), first)
    notebook, _ = take_in(submission)
    assert ids(notebook)[2:4] == ["half", "double"]


def test_a_copied_test_runs_once():
    submission = solved()
    copied = copy.deepcopy(cell(submission, "check_double"))
    copied.id = "pasted"
    submission.cells += [copied]
    notebook, notes = take_in(submission)
    assert "pasted" not in ids(notebook) and kinds(notes) == [("copied", "check_double", True)]


def test_a_copied_test_with_another_call_is_the_student_s_own():
    submission = solved()
    copied = copy.deepcopy(cell(submission, "check_double"))
    copied.update(id="pasted", source="double(21)")
    submission.cells.insert(at(submission, "check_double") + 1, copied)
    notebook, notes = take_in(submission)
    assert cell(notebook, "pasted").source == "double(21)" and all(note.honest for note in notes)


def test_a_copied_answer():
    submission = solved()
    blank = copy.deepcopy(cell(submission, "answer_why"))
    blank.update(id="blank", source=BLANK)
    submission.cells.append(blank)
    notebook, _ = take_in(submission)
    assert cell(notebook, "answer_why").source == "Because." and "blank" not in ids(notebook)


def test_two_cells_with_one_id_and_no_marks():
    submission = solved()
    for each in submission.cells:
        each.metadata = {}
    submission.cells.insert(3, copy.deepcopy(cell(submission, "double")))
    submission.cells[3].source = KNOWN["double"]["source"]
    notebook, notes = take_in(submission)
    assert cell(notebook, "double").source == WRITTEN["double"]
    assert kinds(notes) == [("copied", "double", True), ("metadata", None, True)]


def test_a_solution_below_its_test_runs_before_it():
    submission = solved()
    submission.cells.insert(at(submission, "check_double"), submission.cells.pop(at(submission, "square")))
    submission.cells.insert(0, submission.cells.pop(at(submission, "check_double")))
    notebook, notes = take_in(submission)
    assert ids(notebook).index("double") < ids(notebook).index("check_double")
    assert all(note.honest and note.kind == "moved" for note in notes)


def test_work_that_was_moved_up_runs_there_too():
    """An earlier exercise may use a later one's function."""
    submission = solved(double="def double(n):\n    return square(n) * 2 / n")
    submission.cells.insert(at(submission, "double"), submission.cells.pop(at(submission, "square")))
    notebook, notes = take_in(submission)
    names = ids(notebook)
    assert names.index("early-square") < names.index("double") < names.index("check_double") < names.index("square")
    assert kinds(notes) == [("moved", "square", True)]


def test_own_cells_follow_what_they_followed():
    submission = solved()
    for name, place in (("end", 10), ("after_test", 4), ("helper", 2), ("top", 0)):
        submission.cells.insert(place, new_code_cell(f"{name} = 1", id=name))
    notebook, notes = take_in(submission)
    assert ids(notebook) == ids(submission) and notes == []


def test_own_cells_stay_where_they_are_when_their_neighbor_was_moved_away():
    submission = solved()
    submission.cells.append(submission.cells.pop(at(submission, "imports")))
    submission.cells.append(new_code_cell("square(double(1))", id="last"))
    notebook, _ = take_in(submission)
    assert ids(notebook)[1] == "imports" and ids(notebook)[-1] == "last"


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_retyped_cells_are_turned_back(kind):
    submission = solved()
    for name in ("double", "check_double"):
        submission.cells[at(submission, name)] = MAKE[kind](cell(submission, name).source, id=name, metadata=cell(submission, name).metadata)
    notebook, notes = take_in(submission)
    assert cell(notebook, "double").source == WRITTEN["double"]
    assert kinds(notes) == [("retyped", "check_double", True), ("retyped", "double", True)]


def test_a_heading_made_by_a_slip_is_code_again():
    submission = solved()
    place = at(submission, "double")
    submission.cells[place] = new_markdown_cell("## " + WRITTEN["double"], id="double", metadata=submission.cells[place].metadata)
    assert cell(take_in(submission)[0], "double").source == WRITTEN["double"]


def test_an_answer_in_a_cell_beside_it():
    submission = solved(answer_why=BLANK)
    submission.cells += [new_markdown_cell("I think", id="one", attachments=IMAGE), new_markdown_cell("because.", id="two")]
    notebook, notes = take_in(submission)
    answer = cell(notebook, "answer_why")
    assert answer.source == "I think\n\nbecause." and answer.attachments == IMAGE and "one" not in ids(notebook)
    assert kinds(notes) == [("moved", "answer_why", True)]


def test_an_answer_in_place_of_its_cell():
    submission = solved()
    submission.cells[at(submission, "answer_why")] = new_markdown_cell("Because so.", id="new")
    assert cell(take_in(submission)[0], "answer_why").source == "Because so."


def test_an_answer_written_into_the_question_reaches_the_answer():
    notebook, notes = take_in(solved(question_why="Why?\n\nBecause.", answer_why=BLANK))
    assert cell(notebook, "answer_why").source == "Because." and len(notebook.cells) == len(TEMPLATE.cells)
    assert kinds(notes) == [("edited", "question_why", True), ("moved", "answer_why", True)]


def test_what_was_written_into_a_question_is_kept_beside_it():
    notebook, notes = take_in(solved(question_why="Why?\n\nI wonder."))
    assert ids(notebook)[-3:] == ["question_why", "edited-question_why", "answer_why"]
    assert cell(notebook, "edited-question_why").source == "Why?\n\nI wonder." and kinds(notes) == [("edited", "question_why", True)]


def test_images_in_an_answer_are_kept_and_nothing_else():
    submission = solved()
    answer = cell(submission, "answer_why")
    answer["attachments"] = {**IMAGE, "b.svg": {"image/svg+xml": "<svg onload='x()'/>"}, "c.png": {"image/png": "<script>"}, "d.png": "x"}
    assert cell(take_in(submission)[0], "answer_why").attachments == IMAGE


# --- edited tests and metadata -------------------------------------------------------------------

TEST = 'check("demo.it", it)\nassert it(torch.manual_seed(3)) == {\n    "a": 1,\n}'


@pytest.mark.parametrize("text", [
    "", "\n\n", TEST + "\n", TEST.replace("\n", "  \n"), TEST.replace(", ", ","), f"# mine\n{TEST}  # passes", f"#{TEST.replace(chr(10), chr(10) + '# ')}",
    TEST.replace("assert", "# assert").replace('    "a"', '#     "a"').replace("\n}", "\n# }"), TEST.replace('"', "'"), TEST.replace("seed(3)", "seed(42)"),
    "%%time\n" + TEST, "%time " + TEST, "%matplotlib inline\n" + TEST, TEST + "\nprint(it)", "import torch\n" + TEST, TEST + '\ncheck("demo.it", other)', TEST + "\nit", TEST.replace("1,\n", "1\n"),
])
def test_edits_that_explain_themselves(text):
    edit = how_edited(TEST, text, "code")
    assert edit is None or edit.honest


@pytest.mark.parametrize("text", [
    'check("demo.it", other)', TEST.replace("1", "2"), "1.0", "check = print\n" + TEST, TEST.replace("it(", "other("), 'check("demo.it", it)',
    "%magic\n" + TEST, "(" * 5000, "x" * 100_000,
])
def test_edits_that_a_person_should_look_at(text):
    assert not how_edited(TEST, text, "code").honest


def test_an_edited_test_is_the_instructor_s_and_work_in_it_still_runs():
    notebook, notes = take_in(solved(check_double="def double(n): return n + n\n" + KNOWN["check_double"]["source"]))
    assert ids(notebook)[3:5] == ["edited-check_double", "check_double"]
    assert kinds(notes) == [("edited", "check_double", False)]


def test_a_commented_out_test_is_an_accident():
    notebook, notes = take_in(solved(check_double="# " + KNOWN["check_double"]["source"]))
    assert kinds(notes) == [("edited", "check_double", True)] and len(notebook.cells) == len(TEMPLATE.cells)


@pytest.mark.parametrize("change", [
    {"points": 100}, {"points": float("nan")}, {"points": "<b>\n"}, {"grade": False}, {"solution": True}, {"locked": False}, {"checksum": "mine"}, {"cell_type": "markdown"},
])
def test_edited_marks_are_the_instructor_s_and_for_a_person_to_look_at(change):
    submission = solved()
    cell(submission, "check_double").metadata.nbgrader.update(change)
    assert kinds(take_in(submission)[1]) == [("metadata", "check_double", False)]


def test_another_schema_version_is_an_accident():
    submission = solved()
    cell(submission, "double").metadata.nbgrader.schema_version = 1
    assert kinds(take_in(submission)[1]) == [("metadata", "double", True)]


def test_another_release_is_an_accident():
    submission = solved()
    for each in submission.cells:
        if each.metadata:
            each.metadata.nbgrader.checksum = "older"
    assert kinds(take_in(submission)[1]) == [("metadata", None, True)]


def test_the_name_of_a_test_on_another_cell():
    submission = solved()
    names = ("double", "check_double")
    first, second = (cell(submission, name).metadata.nbgrader for name in names)
    first.grade_id, second.grade_id = second.grade_id, first.grade_id
    notebook, notes = take_in(submission)
    assert ("metadata", "check_double", False) in kinds(notes)
    assert any(each.source == WRITTEN["double"] for each in notebook.cells)


def test_a_graded_cell_of_the_student_s_own_counts_for_nothing():
    submission = solved()
    submission.cells.append(new_code_cell("100.0", id="bonus", metadata={"nbgrader": mark("bonus", grade=True, points=100)}))
    assert kinds(take_in(submission)[1]) == [("metadata", None, False)]


def test_marks_that_an_editor_dropped():
    submission = solved()
    for each in submission.cells:
        each.metadata = {}
    notebook, notes = take_in(submission)
    assert kinds(notes) == [("metadata", None, True)] and cell(notebook, "double").source == WRITTEN["double"]


def test_marks_and_ids_that_an_editor_dropped():
    submission = solved(imports="import math\nimport os\nimport torch")
    cells = json.loads(nbformat.writes(submission))["cells"]
    for each in cells:
        each["metadata"] = {}
        del each["id"]
    notebook, notes = take_in({"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": cells})
    assert len(notebook.cells) == len(TEMPLATE.cells) and "torch" in cell(notebook, "imports").source
    assert {name: cell(notebook, name).source for name in WRITTEN} == WRITTEN
    assert all(note.honest for note in notes)


def test_a_renamed_cell():
    submission = solved()
    cell(submission, "double").metadata.nbgrader.grade_id = "doubled"
    notebook, notes = take_in(submission)
    assert kinds(notes) == [("renamed", "double", True)] and cell(notebook, "double").source == WRITTEN["double"]


def test_intake_brings_neither_torch_nor_nbgrader():
    code = "import sys, autograder.grading.intake; print({'torch', 'nbgrader'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY).stdout.strip() == "set()"


# --- files ---------------------------------------------------------------------------------------


def written(**changes):
    return json.dumps({**json.loads(nbformat.writes(solved())), **changes}).encode()


@pytest.mark.parametrize("data, words", [
    (b"", "empty"), (b" \n\t", "empty"), (b"\0" * 9999, "empty"), (b"this is no notebook", "not JSON (line 1)"), (b'{\n"a": 1,\n}', "not JSON (line"),
    (written()[:-200], "ends in the middle"), (b"[1, 2]", "no list of cells"), (b"null", "no list of cells"), (b"7", "no list of cells"),
    (written(cells=None), "no list of cells"), (written(cells={}), "no list of cells"), (b'{"nbformat": 4}', "no list of cells"),
    (b'{"nbformat": 5, "content": []}', "a newer Jupyter (format 5)"), (b"[" * 100_000, "nested too deeply"), (b'{"a":' * 100_000, "nested too deeply"),
    (b"<!DOCTYPE html><html>", "web page"), (b"PK\x03\x04...", "ZIP"), (b"\x89PNG\r\n", "picture"), (b"\xff\xfe\x00", "not JSON"),
    (b'{\n<<<<<<< HEAD\n"cells": []', "merge conflict of git (line 2)"), (b"\x80\x81" * 100, "not JSON"),
])
def test_a_file_that_is_no_notebook_says_why(data, words):
    with pytest.raises(intake.Unreadable, match="^it ") as error:
        intake.read(data)
    assert words in str(error.value) and not str(error.value).endswith(".")


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    assert intake.MAX_BYTES == 256 << 20
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(intake.Unreadable, match="clear its outputs, save it and hand it in again"):
        intake.read(b" " * 1001)


@pytest.mark.parametrize("data", [
    written(), b"\xef\xbb\xbf" + written(), written().decode().encode("utf-16"), written().decode().encode("utf-16-le"), written().decode().encode("utf-32"),
    written(metadata=None), written(metadata={"kernelspec": 3}), written().replace(b"\\n", b"\\r\\n"), written().replace(b'"metadata"', b'"x": NaN, "metadata"'),
    written(nbformat_minor=0), written(nbformat_minor=9), written(nbformat_minor="x"), written(nbformat=None), written() + b"\n\0\0",
    written(huge=0).replace(b'"huge": 0', b'"huge": ' + b"9" * 100_000), written(deep=0).replace(b'"deep": 0', b'"deep": ' + b"[" * 50 + b"]" * 50),
])
def test_a_notebook_in_any_spelling_is_the_same(data):
    notebook, notes = take_in(data)
    assert notes == [] and {name: cell(notebook, name).source for name in WRITTEN} == WRITTEN


def test_letters_beyond_ascii_survive_another_encoding():
    text = json.dumps(solved(answer_why="Weil es größer ist."), ensure_ascii=False)
    for encoding in ("utf-8", "latin-1", "utf-16"):
        assert cell(take_in(text.encode(encoding))[0], "answer_why").source == "Weil es größer ist."


@pytest.mark.parametrize("version, split", [(5, False), (4, True)])
def test_another_format_is_read_all_the_same(version, split):
    document = json.loads(nbformat.writes(solved())) | {"nbformat": version}
    assert isinstance(document["cells"][2]["source"], list)
    _, notes = take_in(json.dumps(document).encode())
    assert kinds(notes) == ([("format", None, True)] if version == 5 else [])


def test_format_3_is_read():
    cells = [{"cell_type": "heading", "level": 2, "source": ["Mine"], "metadata": {}}]
    for each in solved().cells:
        text = {"input": each.source.split("\n"), "language": "python", "outputs": [], "collapsed": False}
        cells.append({"cell_type": each.cell_type, "metadata": each.metadata, **(text if each.cell_type == "code" else {"source": each.source})})
    notebook, notes = take_in({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]})
    assert notebook.cells[0].source == "## Mine" and cell(notebook, "double").source == WRITTEN["double"]
    assert kinds(notes) == [("format", None, True)]


@pytest.mark.parametrize("spec, noted", [
    ({"name": "julia", "display_name": "Julia"}, True), ({"name": "ir", "language": "R"}, True),
    ({"name": "my-env", "language": "python"}, False), ({"name": "python3"}, False), ({"name": 3}, False),
])
def test_another_kernel_is_an_accident(spec, noted):
    _, notes = take_in(written(metadata={"kernelspec": spec}))
    assert kinds(notes) == ([("kernel", None, True)] if noted else [])


def test_odd_cells_are_read_as_far_as_they_go():
    odd = [3, None, "x", [], {}, {"cell_type": "strange", "source": "text"}, {"cell_type": [], "source": {"a": 1}, "id": 7},
           {"cell_type": "code", "source": ["a = 1\n", 3, "a"], "metadata": [], "id": "bad id"}, {"cell_type": "code", "id": "x" * 99},
           {"cell_type": "markdown", "source": "a\ud800\0b", "id": "ü", "metadata": {"nbgrader": 3}},
           {"cell_type": "code", "source": "1", "metadata": {"nbgrader": {"grade_id": ["double"], "grade": {}}}},
           {"cell_type": "code", "source": "2", "metadata": {"nbgrader": {"grade_id": "", "points": -1}}}]
    document = json.loads(nbformat.writes(solved()))
    notebook, notes = take_in(json.dumps({**document, "cells": odd + document["cells"]}).encode())
    assert [each.source for each in notebook.cells[:8]] == ["", "text", "", "a = 1\na", "", "a\ufffdb", "1", "2"]
    assert kinds(notes) == [("metadata", None, False)]


def test_too_many_cells_and_too_long_ones():
    submission = solved()
    submission.cells[2:2] = [new_code_cell(f"x = {n}", id=f"x{n}") for n in range(3000)]
    submission.cells.append(new_code_cell("#" * (2 << 20), id="long", metadata={"nbgrader": mark("x")}))
    start = time.process_time()
    notebook, notes = intake.assemble(intake.read(json.dumps(submission).encode()), TEMPLATE)
    assert time.process_time() - start < 5
    assert len(notebook.cells) <= reading.MAX_CELLS and cell(notebook, "double").source == WRITTEN["double"]
    assert {note.kind for note in notes} == {"extra"} and all(note.honest for note in notes)
    nbformat.validate(notebook)


def large(outputs):
    document = json.loads(nbformat.writes(solved()))
    document["cells"][1]["outputs"] = "OUTPUTS"
    return json.dumps(document).encode().replace(b'"OUTPUTS"', outputs)


@pytest.mark.parametrize("outputs", [
    b'[{"data": {"image/png": "' + b"A" * (8 << 20) + b'"}}]',
    b'[{"text": [' + b'"a \\"line\\" of [text] {\\\\\\n", ' * 100_000 + b'""]}]',
    b"[" + b"[1.5, 2, {}]," * 200_000 + b"0]", b'[{"outputs": [[]], "text": "\\\\"}' + b" " * (2 << 20) + b"]",
])
def test_large_outputs_are_left_out_before_they_are_parsed(outputs):
    assert len(data := large(outputs)) > reading.DIRECT_BYTES
    notebook, notes = take_in(data)
    assert notes == [] and {name: cell(notebook, name).source for name in WRITTEN} == WRITTEN
    assert len(reading.without_outputs(data)) < 20_000


def test_bombs_are_refused_at_once():
    start = time.process_time()
    for bomb in (b"[" * (8 << 20), b'{"cells": [' + b"{}," * (2 << 20) + b"{}]}", b'{"a":' * (2 << 20), b"[" + b"0," * (5 << 20), large(b"[" * (4 << 20))):
        with pytest.raises(intake.Unreadable):
            intake.read(bomb)
    assert time.process_time() - start < 5


def test_an_unreadable_notebook_is_the_instructor_s_unanswered():
    notebook, notes = intake.unreadable(TEMPLATE, "<script>.ipynb", "it is empty")
    nbformat.validate(notebook)
    assert "cannot be read as a notebook: it is empty. " in notebook.cells[0].source and "<" not in notebook.cells[0].source
    assert ids(notebook)[1:] == [each["id"] for each in TEMPLATE.cells] and kinds(notes) == [("unreadable", None, True)]
    assert determine_grade(with_checksums(notebook, "answer_why")) == (0, 2)
    assert not any("NotImplemented" in each.source for each in notebook.cells)


def with_checksums(notebook, name):
    """The cell, its checksum that of the blank answer: nbgrader gives it zero then."""
    blank = new_markdown_cell(BLANK, metadata=copy.deepcopy(cell(notebook, name).metadata))
    ComputeChecksums().preprocess_cell(blank, {}, 0)
    cell(notebook, name).metadata.nbgrader.checksum = blank.metadata.nbgrader.checksum
    return cell(notebook, name)


# --- anything at all -----------------------------------------------------------------------------

PLACES = st.integers(0, 30)
CHANGES = st.lists(st.one_of(
    st.tuples(st.just("delete"), PLACES), st.tuples(st.just("copy"), PLACES, PLACES), st.tuples(st.just("move"), PLACES, PLACES),
    st.tuples(st.just("retype"), PLACES, st.sampled_from(["code", "markdown", "raw", "strange"])), st.tuples(st.just("strip"), PLACES),
    st.tuples(st.just("id"), PLACES, st.sampled_from(["double", "check_square", "intro", "no good", ""])),
    st.tuples(st.just("mark"), PLACES, st.sampled_from([{"points": 9}, {"grade_id": "check_double"}, {"grade_id": "square"}, {"grade_id": "?"},
                                                         {"locked": True, "solution": True}, {"schema_version": 1}])),
    st.tuples(st.just("text"), PLACES, st.sampled_from(["", "1", "raise NotImplementedError", "check(1, 2)", BLANK])),
    st.tuples(st.just("add"), PLACES, st.sampled_from(["code", "markdown", "raw"])),
), max_size=8)


def changed(document, changes):
    cells = document["cells"]
    for number, (what, place, *rest) in enumerate(changes):
        place %= max(1, len(cells))
        if what == "add":
            cells.insert(place, {"cell_type": rest[0], "source": f"own = {number}", "metadata": {}, "id": f"new{number}"})
        elif not cells:
            continue
        elif what == "delete":
            cells.pop(place)
        elif what in ("copy", "move"):
            taken = copy.deepcopy(cells[place]) if what == "copy" else cells.pop(place)
            cells.insert(rest[0] % (len(cells) + 1), taken)
        elif what == "strip":
            cells[place]["metadata"] = {}
        elif what == "mark":
            cells[place]["metadata"].setdefault("nbgrader", {}).update(rest[0])
        else:
            cells[place][{"retype": "cell_type", "id": "id", "text": "source"}[what]] = rest[0]
    return document


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES)
def test_whatever_was_done_to_it(changes):
    document = changed(json.loads(json.dumps(solved())), changes)
    notebook, notes = take_in(document)
    assert take_in(document)[0] == notebook
    text = "\n".join(each.source for each in notebook.cells)
    for each in document["cells"]:
        if each["source"] in WRITTEN.values() or each["source"].startswith("own ="):
            assert each["source"] in text
    assert all(note.sentence.endswith((".", "?")) and "\n" not in note.sentence for note in notes)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
                        ["id", "source", "cell_type", "metadata", "nbgrader", "grade_id", "attachments", "points", "image/png"]) | st.text(max_size=3), inner, max_size=4),
                    max_leaves=12)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(JSON, max_size=4), JSON)
def test_cells_of_any_shape(cells, metadata):
    take_in({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells + released().cells})


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.integers(0, len(written())).map(lambda n: written()[:n] + written()[n + 3:]))
def test_bytes_of_any_kind(data):
    try:
        intake.assemble(intake.read(data), TEMPLATE)
    except intake.Unreadable as error:
        assert str(error).startswith("it ")


# --- the instructor's notebook, out of the gradebook ---------------------------------------------

SOURCE = [
    new_markdown_cell("# Unit", id="head"), new_code_cell("import math", id="first"),
    new_code_cell("def double(n):\n    ### BEGIN SOLUTION\n    return n + n\n    ### END SOLUTION", id="double", metadata={"nbgrader": mark("double", solution=True)}),
    new_code_cell('check("demo.double", double)\n### BEGIN HIDDEN TESTS\nassert double(7) == 14\n### END HIDDEN TESTS', id="check_double",
                  metadata={"nbgrader": mark("check_double", grade=True, locked=True, points=2)}),
    new_markdown_cell("Why?\n### BEGIN MARK SCHEME\nExemplar\n### END MARK SCHEME", id="question", metadata={"nbgrader": mark("question", "markdown", locked=True)}),
    new_markdown_cell("The secret exemplar", id="answer", metadata={"nbgrader": mark("answer", "markdown", grade=True, solution=True, points=1)}),
]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """(gradebook's address, path of the student version), made by nbgrader's own steps."""
    folder = tmp_path_factory.mktemp("gradebook")
    address, path = f"sqlite:///{folder / 'gradebook.db'}", folder / "nb.ipynb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbgrader.api.get_alembic_version", lambda: "none")  # which takes a program and seconds
        with Gradebook(address) as gradebook:
            gradebook.add_assignment("unit")
    notebook = new_notebook(cells=copy.deepcopy(SOURCE), metadata={"kernelspec": {"name": "python3", "display_name": "Mine", "language": "python"}})
    resources = {"nbgrader": {"notebook": "nb", "assignment": "unit", "db_url": address}}
    for step in (LockCells, ClearSolutions, ComputeChecksums, SaveCells, ClearHiddenTests):
        notebook, resources = step().preprocess(notebook, resources)
    notebook, resources = ClearMarkScheme(enforce_metadata=False).preprocess(notebook, resources)
    notebook, _ = ComputeChecksums().preprocess(notebook, resources)
    nbformat.write(notebook, path)
    return address, path


def template_of(course, path):
    with Gradebook(course[0]) as gradebook:
        return intake.template(gradebook.find_notebook("nb", "unit"), path)


def test_nbgrader_saves_cells_after_the_solutions_are_cleared():
    steps = [step.__name__ for step in GenerateAssignment.preprocessors.default()]
    assert steps.index("ClearSolutions") < steps.index("SaveCells") < steps.index("ClearHiddenTests") < steps.index("ClearMarkScheme")


def test_the_template_is_woven_from_gradebook_and_release(course):
    template = template_of(course, course[1])
    assert [each["id"] for each in template.cells] == ["head", "first", "double", "check_double", "question", "answer"]
    by_id = {each["id"]: each for each in template.cells}
    assert "hidden" not in by_id["check_double"]["given"].lower() and "double(7)" in by_id["check_double"]["source"]
    assert "Exemplar" in by_id["question"]["source"] and by_id["double"]["nbgrader"]["solution"]
    assert by_id["check_double"]["nbgrader"]["points"] == 2 and template.kernelspec["display_name"] == "Mine"
    assert pickle.loads(pickle.dumps(template)) == template
    assert take_in(course[1].read_bytes(), template)[1] == []  # what was handed out is no edit, hidden tests or not


def test_without_a_release_in_step_the_gradebook_s_cells_are_used_alone(course, tmp_path):
    def edit(name, change):
        notebook = nbformat.read(course[1], as_version=4)
        change(notebook)
        nbformat.write(notebook, tmp_path / name)
        return tmp_path / name

    bad = tmp_path / "bad.ipynb"
    bad.write_text("no notebook")
    paths = [None, tmp_path / "missing.ipynb", bad, tmp_path, edit("less.ipynb", lambda nb: nb.cells.pop(3)),
             edit("run.ipynb", lambda nb: nb.cells[1].update(execution_count=1)),
             edit("worked_in.ipynb", lambda nb: nb.cells[2].update(source="def double(n):\n    return n + n"))]
    for path in paths:
        template = template_of(course, path)
        assert [each["id"] for each in template.cells] == ["double", "check_double", "question", "answer"]
        assert take_in(course[1].read_bytes(), template)[1] == []


def test_no_solution_reaches_a_notebook_that_runs(course):
    for path in (None, course[1], course[1].with_name("worked.ipynb")):
        if path and not path.exists():
            worked = nbformat.read(course[1], as_version=4)
            worked.cells[2].source = SOURCE[2].source
            worked.cells.insert(3, new_code_cell("def double(n): return n + n"))
            nbformat.write(worked, path)
        notebook, _ = intake.assemble(new_notebook(), template_of(course, path))
        MetadataValidator().validate_nb(notebook)
        marked = {c.metadata.nbgrader.grade_id: c for c in notebook.cells if c.metadata}
        assert determine_grade(marked["answer"]) == (0, 1)
        assert all(compute_checksum(marked[name]) == marked[name].metadata.nbgrader.checksum for name in ("check_double", "question", "answer"))
        assert "n + n" not in str(notebook) and "secret" not in str(notebook)


def test_no_solution_is_taken_from_a_gradebook_that_holds_one():
    """As from a course whose own settings save cells before the solutions are cleared."""
    cells = [SimpleNamespace(name="double", cell_type="code", source=SOURCE[2].source, locked=False, checksum=None)]
    book = SimpleNamespace(source_cells=cells, grade_cells=[], solution_cells=cells, task_cells=[], kernelspec=None)
    template = intake.template(book, None)
    assert "n + n" not in str(template) and "SOLUTION" not in str(template)
    assert "n + n" not in str(intake.assemble(new_notebook(), template)[0])


# --- the first unit ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unit():
    """(template, solved notebook) of unit 01; what the gradebook has is what the release has but for mark schemes."""
    given = nbformat.read(REPOSITORY / "assignments" / "01_vae" / "exercises.ipynb", as_version=4)
    answers = nbformat.read(REPOSITORY / "solutions" / "01_vae" / "exercises.ipynb", as_version=4)
    cells = [{"id": c.id, "name": c.metadata.get("nbgrader", {}).get("grade_id"), "cell_type": c.cell_type, "source": c.source,
              "nbgrader": dict(c.metadata.nbgrader) if c.metadata.get("nbgrader") else None} for c in given.cells]
    return intake.Template(tuple(cells)), fill_in(given, answers)


def test_unit_01_solved_comes_back_as_it_is(unit):
    template, perfect = unit
    notebook, notes = take_in(perfect, template)
    assert notes == [] and [c.source for c in notebook.cells] == [c.source for c in perfect.cells]


def test_unit_01_through_an_editor_that_drops_marks_and_ids(unit):
    template, perfect = unit
    document = json.loads(nbformat.writes(perfect))
    for number, each in enumerate(document["cells"]):
        each.update(metadata={}, id=f"new-{number}")
    notebook, notes = take_in(document, template)
    solutions = {c["id"] for c in template.cells if c["nbgrader"] and c["nbgrader"]["solution"] and not c["nbgrader"]["grade"]}
    assert [cell(notebook, name).source for name in ids(perfect)] == [c.source for c in perfect.cells]
    assert solutions and len(notebook.cells) == len(perfect.cells) and all(note.honest for note in notes)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_unit_01_shuffled_and_thinned(unit, data):
    template, perfect = unit
    document = json.loads(json.dumps(perfect))
    document["cells"] = data.draw(st.permutations(document["cells"]))[: data.draw(st.integers(20, 80))]
    notebook, notes = take_in(document, template)
    sources = {c.source for c in notebook.cells}
    solutions = {c["name"] for c in template.cells if c["nbgrader"] and c["nbgrader"]["solution"]}
    assert all(c["source"] in sources for c in document["cells"] if c["id"] in solutions)
    assert all(note.honest for note in notes)
