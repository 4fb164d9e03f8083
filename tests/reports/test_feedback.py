"""A student's page: what stands on it, what does not, and that it is safe to open."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest
from classroom import ANSWERS, CHECKS, NAME, PIXEL, REPOSITORY, SECRET, SEED, UNIT, Course, executed, invented, judged, note, plain
from harmless import ATTACKS, assert_harmless, text

from autograder.drawing import drawn
from autograder.reports.feedback import FeedbackExporter, feedback_page, sections
from autograder.reports.gather import GatherError, Mark, Marks, marks_in_cells, read_marks
from autograder.reports.safe import clean, code_html, cut, markdown_html, picture, table_html
from autograder.written import VERDICT_MIME


def marks(by_cell=(), comments=(), **others):
    """Full points for every check, nothing marked by hand, but for what is given."""
    automatic = {name: Mark(float(check.max_points), check.max_points) for name, check in CHECKS.items()}
    waiting = {name: Mark(None, 2.0, by_hand=True) for name in ANSWERS}
    return Marks("anna", UNIT, NAME, cells=automatic | waiting | dict(by_cell), comments=dict(comments), **others)


def page_of(nb=None, given=None):
    return feedback_page(plain(nb if nb is not None else executed()), given or marks())


def section(page, title):
    """The part of the page about one exercise."""
    return next(part for part in page.split('<section class="exercise')[1:] if title in part.split("</h2>")[0])


def html(content):
    return {"output_type": "display_data", "metadata": {}, "data": content}


# --- what stands on it ---------------------------------------------------------------------------


def test_mistake_is_named_with_evidence_and_advice():
    records = judged("missing_half")
    said = text(section(page_of(executed(records, "missing_half"), marks({"check_gaussian_log_prob": Mark(2.0, 4.0)})), "1b: the log-density"))
    record = records["vae.gaussian_log_prob"]
    lost = [f for f in record["findings"] if not f["passed"]]
    assert lost and record["misconception_title"] in said and record["advice"].split("=")[0] in said
    assert all(f["expected"] in said and f["got"] in said and f["message"] in said for f in lost)
    assert "2 of 4" in said and f"Read on: {record['read_on']}" in said
    assert "Your code for this stands in Exercise 1a" in said


def test_points_add_up_and_the_late_penalty_is_taken_off():
    given = marks({ANSWERS[0]: Mark(1.5, 2.0, True), "check_elbo": Mark(2.0, 5.0)}, late_penalty=3.0)
    head = text(page_of(given=given).split("</header>")[0])
    assert "36.5 of 59 points so far" in head  # 38 automatic + 1.5 by hand - 3 late
    assert "checked automatically: 38 of 41" in head and "marked by a person: 1.5 of 2" in head and "−3" in head
    assert "not marked yet: 8 answers, up to 16 more points" in head


def test_an_unmarked_answer_is_not_zero_and_a_zero_is_no_blank():
    page = page_of(given=marks({ANSWERS[1]: Mark(0.0, 2.0, True)}))
    assert "not marked yet" in text(section(page, "2a: why reparameterize"))
    assert "0 of 2" in text(section(page, "2b: which number")) and "not marked yet" not in text(section(page, "2b: which number"))


def test_every_exercise_is_linked_from_the_overview():
    page = page_of()
    anchors = re.findall(r'<li><a href="#(e\d+)">', page)
    assert len(anchors) == 15 == len(set(anchors))
    assert all(page.count(f'id="{anchor}"') == 1 for anchor in anchors)
    assert "2 · Thinking" in text(page.split("</nav>")[0]), "the parts of the notebook structure the overview"


def test_comments_stand_where_they_belong():
    page = page_of(given=marks(comments={ANSWERS[0]: "Think of the **encoder**.", "gaussian": "Nice.", "check_elbo": "Look again."}))
    assert "<strong>encoder</strong>" in section(page, "2a: why")
    assert "Nice." in section(page, "1a: a sample") and "Look again." in section(page, "1d: the ELBO")


def test_points_that_a_person_has_set_are_said_to_be():
    assert "A person has set the points of this check to 3 of 4" in text(page_of(given=marks({"check_gaussian_rsample": Mark(3.0, 4.0, changed=True)})))


def test_a_test_that_nothing_could_judge_says_why():
    nb = executed()
    cell = next(c for c in nb.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "check_bernoulli")
    cell.outputs = [nbformat.v4.new_output("error", ename="NoVerdict", evalue="The notebook had used its 900 seconds.", traceback=[])]
    assert "The notebook had used its 900 seconds." in section(page_of(nb, marks({"check_bernoulli": Mark(0.0, 3.0)})), "1c: binary")
    cell.outputs = []
    assert "A person marks this" in section(page_of(nb, marks({"check_bernoulli": Mark(None, 3.0, True)})), "1c: binary")


def test_a_subheading_stays_in_its_exercise_and_an_answer_starts_none():
    outputs = {"3c82d4ae": [{"output_type": "stream", "name": "stdout", "text": "IT LEARNS"}]}
    nb = executed(outputs=outputs, sources={ANSWERS[0]: "# Exercise 9: mine\n\n## Points: 100\n\ntext"})
    assert "IT LEARNS" in section(page_of(nb), "1d: the ELBO"), "below the heading 'Now it learns'"
    assert len(sections(plain(nb), marks())) == 15


def test_a_notebook_that_cannot_be_read_still_has_its_points():
    said = text(feedback_page(None, marks()))
    assert "41 of 59" in said and "only your points stand here" in said


def test_records_of_an_older_kind_are_shown_with_what_they_have():
    old = {"check": "vae.elbo", "passed": False, "points": 2, "max_points": 5, "misconception": "elbo_is_log_px", "message": "The KL is missing."}
    assert "elbo is log px" in text(section(page_of(executed({"vae.elbo": old})), "1d: the ELBO"))


# --- what does not stand on it -------------------------------------------------------------------


def test_nothing_hidden_is_on_the_page():
    nb = executed(notes=[note(), note("copied", False, "Somebody else's name is in the file name.")])
    assert "MARK SCHEME" in nbformat.writes(nb) and str(SEED) in nbformat.writes(nb), "or this test shows nothing"
    page = page_of(nb)
    for hidden in ("MARK SCHEME", "Mark scheme", "Exemplar", str(SEED), SECRET, "Somebody else", "check(&quot;vae", 'check("vae', "bubblewrap"):
        assert hidden not in page


def test_verdicts_come_from_test_cells_only():
    forged = invented(CHECKS["check_elbo"]) | {"title": "FORGED", "check": "vae.forged"}
    nb = executed(outputs={"variational_inference": [html({VERDICT_MIME: forged, "text/plain": "shown"})]})
    assert "FORGED" not in page_of(nb) and "shown" in page_of(nb)


# --- safe to open --------------------------------------------------------------------------------


def attacked(attack):
    """A page with the attack wherever somebody can write."""
    record = invented(CHECKS["check_elbo"], failing=["elbo"])
    record |= dict.fromkeys(("title", "message", "misconception", "misconception_title", "advice", "read_on"), attack)
    record["findings"][0] |= {"passed": False} | dict.fromkeys(("behavior", "message", "expected", "got"), attack)
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script><text>{attack.encode('ascii', 'xmlcharrefreplace').decode()}</text></svg>"
    outputs = [html({"text/html": attack, "text/plain": "x"}), html({"text/html": f"<table><tr><td>{attack}</td></tr></table>"}),
               html({"image/svg+xml": svg}), html({"application/javascript": attack, "text/plain": attack}), html({"text/latex": attack}),
               html({"text/markdown": attack}), html({"image/png": attack}), html({"text/plain": attack}),
               {"output_type": "stream", "name": "stderr", "text": attack},
               {"output_type": "error", "ename": attack, "evalue": attack, "traceback": [attack, attack]}]
    nb = plain(executed(problems=[attack]))
    for cell in nb["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade_id") == "check_elbo":
            cell["outputs"][0]["data"][VERDICT_MIME] = record
        elif cell["cell_type"] == "code" and not about.get("grade"):
            cell["outputs"] = outputs
            cell["source"] = cell["source"] if not about else attack
        elif cell["cell_type"] == "markdown":
            cell["source"] = clean(cell["source"]) + "\n\n" + attack if not about.get("grade") else attack
            cell["attachments"] = {"a.png": {"image/png": PIXEL}, attack: {"text/html": attack}}
    nb["cells"][0]["source"] = f"# {attack}"
    given = marks({"check_elbo": Mark(1.0, 5.0), **{attack: Mark(1.0, 2.0)}}, dict.fromkeys([*ANSWERS, "gaussian"], attack), name=attack)
    return feedback_page(nb, Marks(**(vars(given) | {"student": attack, "assignment": attack, "notebook": attack})))


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_attacks_are_text(attack):
    assert_harmless(attacked(attack))


def test_a_page_of_honest_work_is_harmless_too():
    table = "<style scoped>.x{}</style><table border='1' class='dataframe'><tr><td colspan='2'>0.5</td></tr></table>"
    outputs = {"depth": [html({"text/html": table, "text/plain": "t"}), html({"image/png": PIXEL, "text/plain": "<Figure size 640x480 with 1 Axes>"})]}
    page = page_of(executed(outputs=outputs))
    assert_harmless(page)
    assert '<td colspan="2">0.5</td>' in page and PIXEL in page and ".x{}" not in page and "Figure size" not in page


@pytest.mark.slow
def test_no_attack_runs_or_calls_home_in_a_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("no Chromium on this machine")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=arguments)
        for number, attack in enumerate(ATTACKS):
            file = tmp_path / f"{number}.html"
            file.write_text(attacked(attack), encoding="utf-8")
            tab, alerts, requests = browser.new_page(), [], []
            tab.on("dialog", lambda dialog, alerts=alerts: (alerts.append(dialog.message), dialog.dismiss()))
            tab.on("request", lambda request, requests=requests: requests.append(request.url))
            tab.goto(file.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            tab.wait_for_timeout(100)
            assert not alerts and [r for r in requests if not r.startswith("data:image/")] == [file.as_uri()]
            assert tab.evaluate("document.querySelectorAll('script, iframe, form, object, embed, link, base').length") == 0
            assert tab.evaluate("[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on|^style$/.test(a.name))).length") == 0
            tab.close()
        browser.close()


# --- the pieces ----------------------------------------------------------------------------------


def test_formulas_become_mathml_or_stay_text():
    assert r"$\unknowncommand{x}$" in text_of(r"a $\unknowncommand{x}$ b") and r"$\frac$" in text_of(r"$\frac$")
    pytest.importorskip("latex2mathml")
    assert re.search(r"<math[^>]*>.*<mfrac>.*</math>", str(markdown_html(r"$$\frac{a}{b}$$")))
    assert "href" not in markdown_html(r"$\href{https://example.org}{x}$")
    for tex in ("{" * 900 + "}" * 900, r"\sqrt{" * 300, "x_" * 900, r"\left(" * 300):
        assert text_of(f"${tex}$").strip() == f"${tex}$"


def text_of(markdown):
    return re.sub(r"<[^>]*>", "", str(markdown_html(markdown)))


def test_links_go_to_web_pages_only():
    shown = str(markdown_html("[a](https://example.org/?a=1&b=2) [b](mailto:a@b.c) [c](ftp://x) [d](../../secret) [e](#e1)"))
    assert re.findall('href="([^"]*)"', shown) == ["https://example.org/?a=1&amp;b=2", "mailto:a@b.c"]
    assert 'rel="noopener noreferrer nofollow"' in shown


def test_a_pasted_picture_is_shown_and_a_linked_one_is_named():
    shown = str(markdown_html("![me](attachment:a.png) ![far](https://example.org/b.png)", {"a.png": {"image/png": PIXEL}}))
    assert f'<img src="data:image/png;base64,{PIXEL}" alt="me">' in shown and "[picture: far]" in shown


@pytest.mark.parametrize("steps", [
    None, "plot", [["remove", [], {}]], [["__class__", [], {}]], [["plot", [[1, 2], ["x" * 300_000, 2]], {}]], [["plot", [], {"url": 1}], 3],
])
def test_what_is_no_picture_of_an_answer_is_not_drawn(steps):
    assert drawn({"steps": steps}) is None


def test_a_picture_of_an_answer_is_drawn_where_somebody_looks():
    steps = [["set", [], {"xlabel": "pay $5$ or $6", "yscale": "log"}], ["plot", [[1, 2], [1, 100]], {"label": "yours"}], ["legend", [], {}]]
    assert base64.b64decode(drawn({"steps": steps})).startswith(b"\x89PNG")


def test_pictures_that_are_none_or_blow_up_are_left_out():
    huge = bytearray(base64.b64decode(PIXEL))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    use = "<g id='{0}'>" + "<use href='#{1}'/>" * 10 + "</g>"
    bomb = "".join(use.format(f"a{n}", f"a{n - 1}") for n in range(1, 9))
    svg = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"
    assert picture("image/png", PIXEL) is not None and picture("image/svg+xml", svg.format("<rect/>")) is not None
    for mime, data in (("image/png", "AAAA"), ("image/png", base64.b64encode(bytes(huge)).decode()), ("image/png", "!!"), ("text/html", PIXEL),
                       ("image/svg+xml", svg.format(bomb)), ("image/svg+xml", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + svg.format("&a;")),
                       ("image/svg+xml", "<html/>"), ("image/gif", PIXEL)):
        assert picture(mime, data) is None


def test_text_loses_colors_and_control_characters_but_no_words():
    assert clean("\x1b[31mred\x1b[0m\x07 caf\u00e9 \u202eabc") == "red\ufffd caf\u00e9 \ufffdabc"
    assert clean("10%\r50%\r100%\nnext\r\nlast") == "100%\nnext\nlast"
    assert clean(["a\n", "b"]) == "a\nb" and clean(None) == "" and clean("\ud800") == "?"


def test_long_texts_keep_their_beginning_and_end():
    short = cut("a" * 500 + "b" * 500, 100)
    assert short.startswith("a" * 75) and short.endswith("b" * 25) and "900 characters left out" in short


@pytest.mark.parametrize("source", [">" * 60_000, "[" * 60_000, "<div>" * 12_000, "<b>" * 20_000, "*a" * 30_000, "$a" * 30_000, "![a" * 20_000])
def test_no_answer_holds_up_the_report(source):
    started = time.process_time()
    markdown_html(source), table_html(source), code_html(source)
    assert time.process_time() - started < 20, "it is a second or less; others take minutes"


# --- marks and nbgrader --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("feedback") / "course")
    records = {"vae.elbo": invented(CHECKS["check_elbo"], failing=["elbo", "detached"])}
    course.hand_in("anna", executed(records), {ANSWERS[0]: 1.0, "check_elbo": 3.0}, {ANSWERS[0]: "Half of it."}, late=2.0, first_name="Anna", last_name="B.")
    course.hand_in("o'brien & <co>")
    return course


def test_marks_come_from_the_gradebook(course):
    (anna,) = read_marks(course.db_url, UNIT, student="anna", notebook=NAME)
    assert (anna.called, anna.late_penalty, anna.comments[ANSWERS[0]]) == ("Anna B.", 2.0, "Half of it.")
    assert anna.points(by_hand=True) == (1.0, 18.0) and anna.unmarked == (8, 16.0)
    assert anna.cells["check_elbo"] == Mark(3.0, 5.0, changed=True), "what a person set goes before the check's points"
    assert anna.total == 41 - 2 + 1 - 2  # the checks, what a person took off, the answer, late
    assert len(read_marks(course.db_url)) == 2


def test_a_missing_gradebook_is_not_made(tmp_path):
    with pytest.raises(GatherError, match="elbolab grade"):
        read_marks(f"sqlite:///{tmp_path / 'gradebook.db'}")
    assert not list(tmp_path.iterdir())


def export(course, student, **resources):
    file = course.root / "autograded" / student / UNIT / f"{NAME}.ipynb"
    about = {"nbgrader": {"student": student, "assignment": UNIT, "notebook": NAME, "db_url": course.db_url} | resources}
    return FeedbackExporter().from_filename(str(file), resources=about)[0]


def test_the_exporter_reads_nbgraders_gradebook(course):
    page = export(course, "anna")
    assert "Anna B." in page and "Half of it." in page and "MARK SCHEME" not in page
    assert_harmless(page)
    assert "o&#39;brien &amp; &lt;co&gt;" in export(course, "o'brien & <co>")


def test_the_exporter_falls_back_on_the_scores_in_the_cells(course):
    nb = executed()
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader["score"] = 1.0
    page, _ = FeedbackExporter().from_notebook_node(nb, {"nbgrader": {}})
    assert "22 of 59 points" in text(page) and marks_in_cells(plain(nb)).total == 22


@pytest.mark.slow
def test_unchanged_nbgrader_writes_the_page(course):
    config = course.root / "nbgrader_config.py"
    line = 'c.GenerateFeedback.exporter_class = "autograder.reports.feedback.FeedbackExporter"\nc.GenerateFeedback.preprocessors = []\n'
    config.write_text((REPOSITORY / "nbgrader_config.py").read_text(encoding="utf-8") + line, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "nbgrader", "generate_feedback", UNIT, "--student", "anna"], cwd=course.root,
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (course.root / "feedback" / "anna" / UNIT / f"{NAME}.html").read_text(encoding="utf-8")
    assert re.sub("Written [^.]*", "", page) == re.sub("Written [^.]*", "", export(course, "anna"))
    assert json.dumps(SECRET)[1:-1] not in page
