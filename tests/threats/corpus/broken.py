"""Notebooks that are edited, by accident or on purpose: the answers in them count as if they were not."""

import copy
import json

import nbformat

from .attack import EARNS_ALL, NOTHING, RIGHT, Attack, Kit, cell_named, noted

__all__ = ["ATTACKS"]

FULL = {"check_gaussian_rsample": 4, "check_gaussian_log_prob": 4, "check_bernoulli": 3, "check_gaussian_kl": 3}
WRONG = "def gaussian_kl(*arguments):\n    return torch.zeros(len(arguments[0]))"


def without(*names):
    def change(notebook):
        notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in names]

    return change


def copied(name, source, before=True, new_id="pasted"):
    """The cell twice, as copy and paste leaves it; the copy has this text."""

    def change(notebook):
        place = notebook.cells.index(cell_named(notebook, name))
        twin = copy.deepcopy(notebook.cells[place])
        twin.source = source
        twin.id = new_id or twin.id
        notebook.cells.insert(place if before else place + 1, twin)

    return change


def retyped(kind, *names):
    def change(notebook):
        for name in names:
            cell = cell_named(notebook, name)
            cell.cell_type = kind
            if kind != "code":
                cell.pop("outputs", None)
                cell.pop("execution_count", None)
            else:
                cell.update(outputs=[], execution_count=None)

    return change


def reordered(key):
    def change(notebook):
        notebook.cells.sort(key=key)

    return change


def marked(name, **changes):
    """nbgrader's metadata of a cell, edited."""

    def change(notebook):
        cell_named(notebook, name).metadata.nbgrader.update(changes)

    return change


def all_marked(value):
    def change(notebook):
        for cell in notebook.cells:
            cell.metadata = copy.deepcopy(value)

    return change


def sources(**new):
    """Text of some cells replaced, locked ones too."""

    def change(notebook):
        for name, source in new.items():
            cell_named(notebook, name).source = source

    return change


def named(kernel):
    def change(notebook):
        notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "R"}}

    return change


def raw(edit):
    """The file's JSON, edited; returns bytes."""

    def change(notebook):
        document = json.loads(nbformat.writes(notebook))
        return json.dumps(edit(document) or document).encode()

    return change


def set_version(major, minor):
    return raw(lambda d: d.update(nbformat=major, nbformat_minor=minor))


def old_format(notebook):
    return nbformat.writes(nbformat.convert(notebook, 3), version=3).encode()


def swapped_ids(notebook):
    """Two answers under each other's name: what stands in a cell is what its name asks for, so none is right."""
    one, other = cell_named(notebook, "bernoulli"), cell_named(notebook, "gaussian_kl")
    one.source, other.source = "kl_here = 1", "likelihood_here = 1"


def odd_cells(document):
    document["cells"] += [None, 7, "text", [], {}, {"cell_type": "code"}, {"cell_type": "widget", "source": 3, "metadata": None},
                          {"cell_type": "code", "source": [1, None, {"a": 1}], "metadata": [], "outputs": "no", "id": 5}]
    document["metadata"] = "none"


def odd_outputs(document):
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "4.0"}, "execution_count": "x"}, None, 3,
                               {"output_type": "display_data", "data": {"application/vnd.elbolab.verdict+json": {"points": 4}}, "metadata": []}]
            cell["execution_count"] = [10**30]


def own_test(notebook):
    """Cells of the student's own that look like tests and claim points."""
    for points in (100, -3, float("nan")):
        cell = nbformat.v4.new_code_cell("100.0", metadata={"nbgrader": {
            "grade": True, "solution": False, "locked": True, "points": points, "grade_id": f"bonus{points}", "schema_version": 3, "task": False}})
        notebook.cells.append(cell)


def claims(notebook):
    """A notebook that says it was graded already."""
    notebook.metadata["elbolab"] = {"seed": 1, "problems": [], "notes": [], "points": 14, "sandbox": "none"}
    for name in FULL:
        cell = cell_named(notebook, name)
        cell.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "4.0"})]
        cell.source = "4.0"
        cell.metadata.nbgrader.update(locked=False, points=4, checksum="0" * 32)
    for name in ("bernoulli", "gaussian_kl", "gaussian"):
        cell_named(notebook, name).source = "pass"


def merged(notebook):
    """All answers in the first solution cell, the other solution cells deleted."""
    cell_named(notebook, "gaussian").source = "\n\n".join(RIGHT[n] for n in ("gaussian", "bernoulli", "gaussian_kl"))
    without("bernoulli", "gaussian_kl")(notebook)


def two_exercises(kit: Kit):
    """The answers of the second exercise as a copy of the first one's cell: the written one counts where it stands."""
    notebook = kit.solved()
    copied("bernoulli", cell_named(kit.released, "bernoulli").source, before=False)(notebook)
    return notebook


ATTACKS = (
    noted("test_deleted", "missing", r"`check_bernoulli`.*(missing|deleted|put back)", without("check_bernoulli")),
    noted("tests_deleted", "missing", r"(missing|deleted|put back)", without(*FULL)),
    noted("solution_deleted", "missing", r"`bernoulli`.*(missing|deleted)", without("bernoulli"), (4, 4, 0, 3)),
    noted("exercise_deleted", "missing", r"(missing|deleted)", without("gaussian_kl", "check_gaussian_kl", "question_why", "answer_why"),
          (4, 4, 3, 0)),
    noted("first_cell_deleted", "missing", r"All of it holds", lambda nb: nb.cells.pop(1) and None),
    noted("no_cells", "missing", r"(missing|deleted|no cells|unanswered)", lambda nb: nb.update(cells=[]), NOTHING),
    noted("answers_merged", "missing", r"(missing|deleted)", merged),
    noted("copied_stub_before", "copied", r"`gaussian_kl`.*is there 2 times", copied("gaussian_kl", "# YOUR CODE HERE\nraise NotImplementedError")),
    noted("copied_test", "copied", r"`check_bernoulli`.*is there 2 times", copied("check_bernoulli", "check()")),
    noted("copied_test_same_id", "copied", r"`check_bernoulli`.*is there 2 times", copied("check_bernoulli", "4.0", new_id="")),
    noted("copied_wrong_before", "copied", r"`gaussian_kl`.*is there 2 times", copied("gaussian_kl", WRONG)),
    noted("copied_wrong_after", "copied", r"`gaussian_kl`.*is there 2 times", copied("gaussian_kl", WRONG, before=False), (4, 4, 3, 0)),
    noted("copied_answer", "copied", r"`answer_why`.*is there 2 times", copied("answer_why", "*Your answer here.*")),
    Attack("copied_stub_after", "copied", two_exercises, EARNS_ALL, r"`bernoulli`.*is there 2 times"),
    noted("tests_first", "moved", r"(moved|order|place)", reordered(lambda c: not c.metadata.get("nbgrader", {}).get("grade_id", "").startswith("check_"))),
    noted("upside_down", "moved", r"(moved|order|place)", lambda nb: nb.cells.reverse()),
    noted("code_to_text", "moved", r"`gaussian_kl`.*(markdown|text|kind|turned)", retyped("markdown", "gaussian_kl")),
    noted("code_to_raw", "moved", r"`gaussian`.*(raw|kind|turned)", retyped("raw", "gaussian", "check_gaussian_kl")),
    noted("text_to_code", "moved", r"`answer_why`.*(code|kind|turned)", retyped("code", "answer_why")),
    noted("test_edited", "metadata", r"`check_bernoulli`.*(edited|changed|instructor)",
          sources(check_bernoulli="4.0", check_gaussian_kl="", bernoulli="pass"), (4, 4, 0, 3)),
    noted("test_made_a_solution", "metadata", r"\bmarks\b", marked("check_bernoulli", solution=True, locked=False, grade=False)),
    noted("points_raised", "metadata", r"worth 1000 points; it is worth 3", marked("check_bernoulli", points=1000)),
    noted("points_odd", "metadata", r"it is worth 3", marked("check_gaussian_kl", points="all", schema_version="x", locked=None, task=[])),
    noted("schema_old", "metadata", r"\bmarks\b", marked("gaussian", schema_version=1)),
    noted("schema_new", "metadata", r"\bmarks\b", marked("gaussian_kl", schema_version=99)),
    noted("solution_renamed", "metadata", r"`?gaussian_kl`?.*(renamed|metadata|id)", marked("gaussian_kl", grade_id="mine")),
    noted("test_renamed", "metadata", r"check_bernoulli", marked("check_bernoulli", grade_id="bernoulli")),
    noted("id_with_a_path", "metadata", r"gaussian_kl", marked("gaussian_kl", grade_id="../../gradebook.db")),
    noted("id_of_many_characters", "metadata", r"gaussian_kl", marked("gaussian_kl", grade_id="x" * 10**6)),
    noted("id_no_text", "metadata", r"gaussian_kl", marked("gaussian_kl", grade_id={"a": [1]})),
    noted("metadata_emptied", "metadata", r"\bmarks\b", all_marked({})),
    noted("metadata_odd", "metadata", r"\bmarks\b", all_marked({"nbgrader": [1, 2]})),
    noted("own_tests_added", "metadata", r"All of it holds", own_test),
    noted("claims_to_be_graded", "metadata", r"check_\w+`.*(edited|changed|instructor)", claims, NOTHING),
    noted("answers_swapped", "metadata", r"There is no `", swapped_ids, (4, 4, 0, 0)),
    noted("odd_cells", "metadata", r"All of it holds", raw(odd_cells)),
    noted("odd_outputs", "metadata", r"All of it holds", raw(odd_outputs)),
    noted("kernel_of_another_language", "kernel", r"All of it holds", named({"name": "ir", "display_name": "R", "language": "R"})),
    noted("kernel_with_a_path", "kernel", r"All of it holds", named({"name": "../../evil", "display_name": "<b>", "argv": ["touch", "x"]})),
    noted("kernel_no_text", "kernel", r"All of it holds", named([1, {"name": 3}])),
    noted("format_3", "newer format", r"All of it holds", old_format),
    noted("format_4_9", "newer format", r"All of it holds", set_version(4, 9)),
    noted("format_5", "newer format", r"version|format|newer|All of it holds", set_version(5, 0)),
    noted("format_odd", "newer format", r"version|format|All of it holds", set_version("four", None)),
    noted("format_huge", "newer format", r"version|format|newer|All of it holds", set_version(10**30, -1)),
)
