"""What a test cell earns is what its check returned, whatever else is in its outputs. No kernel is started here."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.utils import determine_grade

from autograder.nbgrader_ext import VERDICT_MIME, ScoreOutputs, SubmissionExporter, verdicts
from autograder.restore import clean_notebook


def test_cell(*outputs):
    mark = {"grade": True, "solution": False, "locked": True, "points": 3, "grade_id": "check_it", "schema_version": 3}
    return new_code_cell('check("demo.it", it)', outputs=list(outputs), metadata={"nbgrader": mark})


test_cell.__test__ = False


def result(text):
    return new_output("execute_result", data={"text/plain": text}, execution_count=1)


def scored(*outputs):
    cell, _ = ScoreOutputs().preprocess_cell(test_cell(*outputs), {}, 0)
    nbformat.validate(new_notebook(cells=[cell]))
    return determine_grade(cell)[0], cell


STDERR = new_output("stream", name="stderr", text="UserWarning: a library is worried")
ERROR = new_output("error", ename="NameError", evalue="x", traceback=["NameError"])
PANEL = new_output("display_data", data={"text/html": "<b>panel</b>"})


@pytest.mark.parametrize("outputs, points", [
    ([result("3.0")], 3), ([result("1.5")], 1.5), ([result("0")], 0), ([result("0.0")], 0),
    ([STDERR, PANEL, result("2.0")], 2), ([PANEL, result("3.0"), STDERR], 3),
])
def test_the_check_s_number_counts_whatever_is_printed(outputs, points):
    assert scored(*outputs)[0] == points


@pytest.mark.parametrize("outputs", [
    [], [PANEL], [STDERR], [ERROR], [result("3.0"), ERROR], [result("3.0"), result("3.0")], [result("None")],
    [result("'full marks'")], [result("nan")], [result("inf")], [result("-1")], [result("3.5")], [result("1e99")],
    [result("[3.0]")], [new_output("execute_result", data={"text/html": "3"})], [new_output("display_data", {})],
])
def test_anything_but_one_number_in_range_earns_nothing_and_says_why(outputs):
    points, cell = scored(*outputs)
    assert points == 0
    errors = [output for output in cell.outputs if output.output_type == "error"]
    assert len(errors) == 1 and (errors[0].ename == "NameError" or "earns no points" in errors[0].evalue)


def test_other_cells_keep_their_outputs():
    cell = new_code_cell("1", outputs=[STDERR, result("1")])
    assert ScoreOutputs().preprocess_cell(cell, {}, 0)[0].outputs == [STDERR, result("1")]


def test_verdicts_are_read_from_test_cells_only():
    record = {"check": "demo.it", "passed": False, "points": 1, "max_points": 3, "misconception": "sign", "message": ""}
    shown = new_output("display_data", data={VERDICT_MIME: record})
    forged = new_code_cell("display(...)", outputs=[shown])
    broken = test_cell(new_output("display_data", data={VERDICT_MIME: "no dictionary"}))
    found = verdicts(new_notebook(cells=[forged, test_cell(PANEL, shown, result("1.0")), broken]))
    assert found == [{"grade_id": "check_it", **record}]


@pytest.mark.parametrize("text, words", [
    ("", "it is empty"), ("this is no notebook", "not JSON"), ('{"cells": [', "not JSON"),
    ("[1, 2]", "not built like one"), ("null", "not built like one"),
    ('{"nbformat": 5, "nbformat_minor": 0, "cells": []}', "not built like one"),
    ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {}}', "not built like one"),
    ("[" * 100_000, "not"), (b"\xff\xfe\x00", "not JSON"),
])
def test_a_file_that_is_no_notebook_becomes_one_that_says_so(tmp_path, text, words):
    path = tmp_path / "exercises.ipynb"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    output, _ = SubmissionExporter().from_filename(str(path))
    (cell,) = json.loads(output)["cells"]
    assert words in "".join(cell["source"]) and "exercises.ipynb" in "".join(cell["source"])


def test_a_file_that_cannot_be_opened_is_said_to_be_so(tmp_path):
    (tmp_path / "exercises.ipynb").mkdir()
    output, _ = SubmissionExporter().from_filename(str(tmp_path / "exercises.ipynb"))
    assert "cannot be opened" in output


@pytest.mark.filterwarnings("ignore:Non-unique cell id")
def test_odd_cells_are_read_as_far_as_they_go():
    document = {"nbformat": 4, "nbformat_minor": 9, "metadata": {"kernelspec": {"name": "other"}}, "cells": [
        {"cell_type": "code", "source": ["a = 1\n", "a"], "metadata": {"nbgrader": {"grade_id": "a"}, "other": 1},
         "outputs": [], "execution_count": 1, "id": "a"},
        {"cell_type": "strange", "source": "text", "metadata": {}, "id": "a"},
        {"cell_type": "markdown", "source": "# no id", "metadata": {}},
    ]}
    notebook = clean_notebook(json.dumps(document))
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["code", "raw", "markdown"]
    assert notebook.cells[0].source == "a = 1\na"
    assert notebook.cells[0].metadata == {"nbgrader": {"grade_id": "a"}}
    assert notebook.metadata == {} and len({cell.id for cell in notebook.cells}) == 3
