"""Outputs of submissions: whatever was reported becomes few, short, valid and harmless."""

import base64

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook

from autograder.grading.outputs import MOST_IMAGES, MOST_OUTPUTS, MOST_TEXT, clean_markdown, clean_outputs

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)).decode()


def valid(outputs):
    nbformat.validate(new_notebook(cells=[new_code_cell("", outputs=outputs)]))
    return outputs


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    return {"output_type": "display_data", "data": {k.replace("_", "/", 1): v for k, v in data.items()}}


def test_text_is_joined_and_a_progress_bar_leaves_its_last_line():
    (output,) = valid(clean_outputs([stream("a\r"), stream("b\rc"), stream("\n10%\r20%\r30%\n")]))
    assert output.text == "c\n30%\n"


def test_stderr_stays_apart():
    assert [o.name for o in valid(clean_outputs([stream("a"), stream("b", "stderr"), stream("c")]))] == ["stdout", "stderr", "stdout"]


def test_long_text_loses_its_middle():
    (output,) = valid(clean_outputs([stream("x" * 200_000)]))
    assert len(output.text) < MOST_TEXT + 100 and "characters left out" in output.text


def test_clear_output_and_updates():
    first, again = shown(text_plain="1") | {"display_id": "a"}, {"output_type": "update_display_data", "data": {"text/plain": "2"}, "display_id": "a"}
    (output,) = valid(clean_outputs([stream("gone"), {"output_type": "clear_output", "wait": True}, first, again]))
    assert output.data == {"text/plain": "2"} and "display_id" not in output
    assert clean_outputs([stream("gone"), {"output_type": "clear_output"}]) == []


@pytest.mark.parametrize("html", [
    "<script>alert(1)</script>ok", "<img src=x onerror=alert(1)>ok", "<a href='javascript:alert(1)'>ok</a>", "<style>*{}</style>ok",
    "<iframe src='//x'></iframe>ok", "<svg onload=alert(1)>ok</svg>", "<b style='position:fixed'>ok</b>", "<script>alert(1)", "<form action=x>ok</form>",
    "<table onmouseover=alert(1)><tr><td>ok", "<scr<script>ipt>alert(1)</scr</script>ipt>ok", "<meta http-equiv=refresh content=0>ok",
])
def test_html_holds_nothing_that_runs_or_loads(html):
    (output,) = valid(clean_outputs([shown(text_html=html, text_plain="x")]))
    left = output.data["text/html"].lower()
    assert not any(bad in left for bad in ("<script", "onerror=", "href", "<style", "<iframe", "<svg", "style=", "<form", "onmouse", "<meta", "src="))


def test_a_table_stays_a_table():
    (output,) = valid(clean_outputs([shown(text_html='<table border="1" class="dataframe"><tbody><tr><th colspan="2">a</th></tr></tbody></table>')]))
    assert output.data["text/html"] == '<table><tbody><tr><th colspan="2">a</th></tr></tbody></table>'


@pytest.mark.parametrize("mime", ["application_javascript", "image_svg+xml", "text_markdown", "text_latex", "application_vnd.elbolab.verdict+json", "text_x"])
def test_other_types_are_dropped(mime):
    assert clean_outputs([shown(**{mime: "x"})]) == []


def test_images_must_be_images_and_not_too_many():
    assert clean_outputs([shown(image_png="PHNjcmlwdD4=")]) == []
    large = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(MOST_IMAGES // 2)).decode()
    outputs = valid(clean_outputs([shown(image_png=large)] * 3))
    assert ["image/png" in o.data for o in outputs] == [True, False, False] and "left out" in outputs[1].data["text/plain"]


def test_many_outputs_are_cut():
    assert len(valid(clean_outputs([shown(image_png=PNG)] * 1000))) == MOST_OUTPUTS


anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3), max_leaves=8)
reports = st.fixed_dictionaries({"output_type": st.sampled_from(["stream", "error", "display_data", "execute_result", "clear_output", "update_display_data"])},
                                optional={"name": anything, "text": anything, "data": anything, "ename": anything, "evalue": anything,
                                          "traceback": anything, "display_id": anything, "wait": anything})


@settings(max_examples=300, deadline=None)
@given(st.lists(reports | anything, max_size=6))
def test_any_report_gives_valid_outputs(reported):
    valid(clean_outputs(reported))


@pytest.mark.parametrize("source, kept", [
    ("a < b and $x<y$, `if a<b:`", "a < b and $x&lt;y$, `if a&lt;b:`"), ("**bold** <b>x</b><br/>", "**bold** <b>x</b><br/>"),
    ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"), ("<b onclick=x>", "&lt;b onclick=x>"), ("<javascript:alert(1)>", "&lt;javascript:alert(1)>"),
    ("[a](javascript:alert(1))", "[a](blocked:alert(1))"), ("[a]( JaVaScRiPt&#58;x)", "[a]( JaVaScRiPt& #58;x)"),
    (r"$\href{javascript:x}{y}$", "$href{blocked:x}{y}$"), ("[a]: data:text/html,x", "[a]: blocked:text/html,x"),
    ("<!-- x -->", "&lt;!-- x -->"), ("1 <2", "1 <2"),
])
def test_markdown_keeps_its_text_and_loses_its_tags(source, kept):
    assert clean_markdown(source) == kept


def test_of_what_is_updated_the_last_is_cleaned(monkeypatch):
    """A progress bar in HTML may be updated for long; and pages of it are not taken apart without end."""
    cleaned = []
    monkeypatch.setattr("autograder.grading.outputs.clean_html", lambda source: cleaned.append(source) or source)
    bar = [{**shown(text_html=f"{n}" + "x" * 50_000), "display_id": "bar", "output_type": kind}
           for n, kind in enumerate(["display_data"] + ["update_display_data"] * 40)]
    (output,) = valid(clean_outputs(bar))
    assert output.data["text/html"].startswith("40x") and len(cleaned) == 1
    valid(clean_outputs([shown(text_html="y" * 50_000, text_plain="p")] * 200))
    assert len(cleaned) == 5


def test_html_that_keeps_a_parser_busy_is_left_out(monkeypatch):
    monkeypatch.setattr("autograder.grading.outputs.HTML_SECONDS", 0.2)
    (output,) = valid(clean_outputs([shown(text_html="<b><p><i><table>" * 10_000, text_plain="x")]))
    assert output.data["text/plain"] == "x"
