"""Script that would run in the browser of whoever opens the result. The answers are right, and count."""

import struct
import zlib
from pathlib import Path

import nbformat

from .attack import EARNS_ALL, Kit, files, noted, solved
from .taking_down import in_cell, then_right

__all__ = ["ATTACKS"]

FINE = r"All of it holds"

TAGS = """\
from IPython.display import HTML, SVG, IFrame, Javascript, Latex, Markdown, Math, display
evil = "<script>alert(1)</script>"
display(HTML(evil), HTML("<img src=x onerror=alert(2)>"), HTML("<svg onload=alert(3)>"), HTML("<a href='javascript:alert(4)'>a</a>"))
display(HTML("<iframe srcdoc='<script>alert(5)</script>'></iframe><object data=x><embed src=y><base href=//evil><meta http-equiv=refresh>"))
display(HTML("<sc<script>ript>alert(6)</sc</script>ript>"), HTML("<math><mi//xlink:href='data:x,<script>alert(7)</script>'>"))
display(HTML("<table background='javascript:alert(8)'><td onmouseover=alert(9) style='x:expression(alert(1))'>a</table>"))
display(HTML("<noscript><p title='</noscript><img src=x onerror=alert(10)>'>"), HTML("<style>@import'//evil'</style><form action=//evil>"))
display(HTML("<!--><img src=x onerror=alert(11)>-->"), HTML("<![CDATA[<script>alert(12)</script>]]>"), HTML("<b\\x00 onclick=alert(13)>"))
display(Javascript("alert(14)"), IFrame("javascript:alert(15)", 9, 9), Markdown(evil), Latex(evil), Math("\\\\href{javascript:alert(16)}{x}"))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(17)</script></svg>"))
display({"application/javascript": "alert(18)", "text/html": [evil], "image/svg+xml": evil, "application/vnd.jupyter.widget-view+json":
         {"model_id": "x"}, "text/plain": evil, "image/png": evil, "image/jpeg": "x' onerror='alert(19)"}, raw=True)
class Shows:
    def _repr_html_(self): return evil
    def _repr_javascript_(self): return "alert(20)"
    def _repr_mimebundle_(self, **k): return {"text/html": evil, "application/javascript": "alert(21)"}
Shows()"""

STREAM = "import sys\nprint('<script>alert(1)</script>\\x1b]8;;javascript:alert(2)\\x07x\\x1b]8;;\\x07', '\\x1b[31m<img src=x onerror=alert(3)>')\n" \
         "print('<script>alert(4)</script>', file=sys.stderr)"

TRACEBACK = """\
class Evil(Exception):
    def _render_traceback_(self):
        return ["<script>alert(1)</script>", "\\x1b[31m<img src=x onerror=alert(2)>\\x1b[0m", "\\x1b]8;;javascript:alert(3)\\x07"]
    def __str__(self):
        return "<script>alert(4)</script>"
Evil.__name__ = Evil.__qualname__ = "<script>alert(5)</script>"
raise Evil"""

# Formatting elements that every later paragraph has to open again: the page is quadratic in what was sent.
FORMATTING = """\
from IPython.display import HTML, display
display(HTML("".join(f"<b a{n}>" for n in range(4000)) + "<p>" * 8000))
display(HTML("<table>" * 20_000), HTML("<b>" * 60_000), HTML("<!--" * 40_000), HTML("&" * 190_000), HTML("<a " * 60_000))"""
MUCH_HTML = "from IPython.display import HTML, display\nfor n in range(200):\n    display(HTML('<b>x</b>' * 23_000))"
DISPLAYS = """\
from IPython.display import display
handles = [display(n, display_id=f"d{n}") for n in range(4_900)]
for handle in handles:
    handle.update("again")"""
RETURNS = "import sys\nprint('y' * 150_000, end='')\nsys.stdout.flush()\nprint('\\rz' * 60_000)"


def png(width: int, height: int) -> bytes:
    """A white picture of so many pixels, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PIXELS = f"from IPython.display import Image, display\ndisplay(Image(data=bytes.fromhex('{png(40_000, 40_000).hex()}'), format='png'))"

MARKDOWN = """\
<script>alert(1)</script> <img src=x onerror=alert(2)> [a](javascript:alert(3)) <a href="javascript:alert(4)">b</a>
![c](x" onerror="alert(5)) [d](JaVaScRiPt&#58;alert(6)) [e]: javascript:alert(7) [e] <javascript:alert(8)> <svg/onload=alert(9)>
[f](data:text/html,<script>alert(10)</script>) [g](java&Tab;script:alert(11)) [h](vbscript:alert(12)) <details open ontoggle=alert(13)>
$\\href{javascript:alert(14)}{click}$ $$\\require{html}\\style{color:red}{x}\\href{javascript:alert(15)}{y}$$ `</code><script>alert(16)</script>`

    </pre><script>alert(17)</script>

```<script>alert(18)</script>
</code></pre><script>alert(19)</script>
```
<!-- --><script>alert(20)</script><iframe srcdoc="<script>alert(21)</script>"></iframe><style>*{display:none}</style>"""

NAME = "<img src=x onerror=alert(1)>"


def with_files(kit: Kit, folder: Path) -> None:
    nbformat.write(kit.solved(), folder / "exercises.ipynb")
    for name in (NAME, "<script>alert(1)<", '" onmouseover="alert(2)', "{{ 7 * 7 }}", "{% include x %}", "javascript:alert(3)", "=cmd|calc"):
        (folder / f"{name}.csv").write_text("1")


def named_so(kit: Kit, folder: Path) -> None:
    nbformat.write(kit.solved(), folder / f"{NAME}.ipynb")


def attached(notebook):
    """Attachments of the answer that are no pictures, and cells of the student's own."""
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "answer_why")
    cell.attachments = {"a.svg": {"image/svg+xml": "<svg onload=alert(1)>"}, 'b" onerror="alert(2)': {"text/html": "<script>alert(3)</script>"}}
    cell.source = "![a](attachment:a.svg) ![b](attachment:b)"
    notebook.cells += [nbformat.v4.new_markdown_cell(MARKDOWN), nbformat.v4.new_raw_cell("<script>alert(4)</script>", metadata={"format": "text/html"})]
    notebook.metadata["title"] = "</title><script>alert(5)</script>"
    notebook.metadata["authors"] = [{"name": "<script>alert(6)</script>"}]
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": "</script><script>alert(7)</script>"}}


ATTACKS = (
    then_right("script_displayed", "script in outputs", TAGS),
    then_right("script_printed", "script in outputs", STREAM),
    then_right("picture_of_many_pixels", "script in outputs", PIXELS),
    then_right("html_that_grows", "output", FORMATTING),
    then_right("much_html", "output", MUCH_HTML),
    then_right("displays_updated", "output", DISPLAYS),
    then_right("carriage_returns", "output", RETURNS),
    solved("script_in_an_answer", "script in Markdown", EARNS_ALL, FINE, answer_why=MARKDOWN),
    noted("script_in_attachments", "script in Markdown", FINE, attached),
    in_cell("script_raised", "script in tracebacks", TRACEBACK, r"There is no `"),
    solved("script_in_a_syntax_error", "script in tracebacks", (4, 4, 0, 3), r"There is no `", bernoulli="<script>alert(1)</script>(("),
    files("script_in_extra_names", "script in file names", EARNS_ALL, r"\w{4}", with_files),
    files("script_in_its_name", "script in file names", EARNS_ALL, r"onerror", named_so),
    files("script_in_the_students_name", "script in file names", EARNS_ALL, FINE, lambda kit, folder: nbformat.write(
        kit.solved(), folder / "exercises.ipynb"), student="<b onmouseover=alert(1)>{{7*7}}"),
)
