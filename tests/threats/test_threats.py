"""The whole corpus and the honest half, graded as one class: nothing forged, nothing leaked, nothing lost, nobody punished."""

import functools
import glob
import json
import os
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from all_attacks import PLAYED
from corpus.attack import CELLS, NOTHING
from honest_class import HONEST
from reading_back import printed_by, said_of
from threat_class import LIMITS, UNIT, Classroom, student_of

from autograder.written import verdicts

pytestmark = pytest.mark.slow

MOST_TEXT = 10 << 20  # of an executed notebook
MOST_GRADER_MEMORY = 2 << 30
MOST_PIXELS = 50_000_000


@pytest.fixture(scope="module")
def room():
    """A course that anybody may write to, so that only the sandbox keeps submissions away from it."""
    folder = Path(tempfile.mkdtemp(prefix="elbolab-threats-"))
    folder.chmod(0o755)
    classroom = Classroom(folder)
    classroom.hand_in([*PLAYED, *HONEST])
    classroom.unlock()
    yield classroom
    classroom.close()


@pytest.fixture(scope="module")
def graded(room):
    """The class after one run with two jobs: (run, what was on disk before, how everybody came out of it)."""
    before = room.snapshot()
    run = room.grade(jobs=2)
    assert run.code in (0, 1), run.said[-3000:]
    return run, before, functools.cache(lambda attack: room.graded(attack, CELLS))


def shown(notebook):
    """(cell, output) of everything that an executed notebook shows."""
    return [(cell, output) for cell in notebook.cells for output in cell.get("outputs", [])]


# --- each submission -----------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [*PLAYED, *HONEST], ids=lambda a: a.name)
def test_earns_what_its_code_earns_and_says_why(attack, graded):
    result = graded[2](attack)
    said = said_of(result.notebook)
    assert result.points == attack.points, said[:2000]
    assert re.search(attack.reason, said), said[:2000]


@pytest.mark.parametrize("attack", [*PLAYED, *HONEST], ids=lambda a: a.name)
def test_brings_nothing_out(attack, graded, room):
    result = graded[2](attack)
    outputs = json.dumps([output for _, output in shown(result.notebook)])
    assert "FOUND" not in printed_by(result.notebook), re.findall("FOUND.{0,200}", printed_by(result.notebook))[:5]
    # The question holds the mark scheme, for the teacher; one student's own text is the secret that others look for.
    own = {"submission"} if attack.name == "honest_solved" else set()
    assert room.leaks(outputs + result.record) <= own
    assert room.leaks(result.text) <= own | {"scheme"}
    seed = str(result.notebook.metadata["elbolab"]["seed"])
    assert seed not in outputs


@pytest.mark.parametrize("attack", [*PLAYED, *HONEST], ids=lambda a: a.name)
def test_leaves_a_notebook_that_is_safe_to_open(attack, graded):
    result = graded[2](attack)
    assert len(result.text) < MOST_TEXT
    for cell, output in shown(result.notebook):
        data = output.get("data", {})
        allowed = {"text/plain", "text/html", "image/png", "image/jpeg"} | ({"application/vnd.elbolab.verdict+json"} if is_test(cell) else set())
        assert set(data) <= allowed
        assert active(data.get("text/html", "")) == []
        assert pixels(data.get("image/png", "")) <= MOST_PIXELS
        assert not re.search(r"\x1b\]|\x00|[\ud800-\udfff]", json.dumps(output, ensure_ascii=False))
    texts = [json.dumps(cell) for cell in result.notebook.cells if cell.cell_type != "code"]
    assert active(rendered(*texts)) == []


@pytest.mark.parametrize("attack", [*PLAYED, *HONEST], ids=lambda a: a.name)
def test_verdicts_are_the_graders(attack, graded):
    """One record for each test that was judged, with the points that went into the gradebook."""
    result = graded[2](attack)
    said = verdicts(result.notebook)
    assert [v["grade_id"] for v in said] in (list(CELLS), [])
    if said:
        assert tuple(v["points"] for v in said) == result.points
    for cell, output in shown(result.notebook):
        assert is_test(cell) or "application/vnd.elbolab.verdict+json" not in output.get("data", {})


def is_test(cell):
    return cell.metadata.get("nbgrader", {}).get("grade", False) and cell.cell_type == "code"


# --- everything around them ----------------------------------------------------------------------


def test_nothing_outside_was_changed(graded, room):
    after = room.snapshot()
    assert {name: after.get(name) == digest for name, digest in graded[1].items()} == dict.fromkeys(graded[1], True)
    assert set(after) <= set(graded[1]) | {"feedback"}


def test_nobody_was_heard_of(graded, room):
    assert room.heard == []
    assert room.victim.poll() is None


def test_no_process_is_left(graded):
    assert graded[0].watch.left_over() == []


def test_no_file_is_left(graded):
    places = {"/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue", tempfile.gettempdir(), os.path.expanduser("~"), "."}
    assert [path for place in places for path in glob.glob(f"{place}/*elbothreat*")] == []
    segments = Path("/proc/sysvipc/shm")
    assert not segments.exists() or "57776" not in segments.read_text().split()  # 0xE1B0


def test_the_grader_took_little_memory(graded):
    assert graded[0].watch.grader_bytes < MOST_GRADER_MEMORY


def test_nobody_took_longer_than_allowed(graded):
    slow = {a.name: json.loads(graded[2](a).record)["seconds"] for a in [*PLAYED, *HONEST]}
    assert {name: s for name, s in slow.items() if s > LIMITS["notebook_seconds"] + 30} == {}


def test_the_terminal_is_safe_and_says_who_has_problems(graded, room):
    said = graded[0].said
    assert "\x1b" not in said and "\x07" not in said
    assert room.leaks(said) == set()
    assert "Traceback" not in said
    for attack in PLAYED:
        if "cannot be (read" in attack.reason and attack.points == NOTHING:
            assert f"{student_of(attack)}: " in said, attack.name


def test_what_was_handed_in_stays(graded, room):
    assert (room.root / "submitted" / student_of(next(a for a in PLAYED if a.name == "text")) / UNIT / "exercises.ipynb").read_bytes() \
        == b"Dear teacher, here is my homework."


def test_graded_again_nothing_happens(graded, room):
    """Everything is recorded: a second run executes nothing."""
    result = room.grade(jobs=2)
    assert result.code == graded[0].code
    assert result.watch.grader_bytes < MOST_GRADER_MEMORY


# --- helpers -------------------------------------------------------------------------------------


class Active(HTMLParser):
    """Notes what a browser would run, load or follow."""

    FORBIDDEN = {"script", "iframe", "object", "embed", "form", "base", "meta", "link", "svg", "math", "style", "noscript"}
    RUNS = re.compile(r"(?:java|vb)script:|data:text|expression\(", re.I)

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag in self.FORBIDDEN:
            self.found.append(tag)
        for name, value in attrs:
            plain = re.sub(r"[\s\x00-\x20]", "", value or "")
            if name.startswith("on") or name in ("srcdoc", "formaction", "background") or self.RUNS.search(plain):
                self.found.append(f"{tag} {name}={value}"[:100])


def active(html):
    parser = Active()
    parser.feed(html)
    parser.close()
    return parser.found


@functools.cache
def rendered(*cells):
    """Cells of text, as JSON, as nbgrader's formgrader shows them; TeX that makes links is shown as a script."""
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter(template_name="basic").from_notebook_node(nbformat.v4.new_notebook(cells=[nbformat.from_dict(json.loads(c)) for c in cells]))
    return html + "".join("<script>" for _ in re.findall(r"\\(?:href|require|class|cssId)\s*\{", re.sub("<code.*?</code>", "", html, flags=re.S)))


def pixels(png):
    """Width times height of a base64-encoded PNG."""
    import base64

    head = base64.b64decode(png[:64] + "=" * (-len(png[:64]) % 4)) if png else b""
    return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")
