"""A student's feedback page: points, what each check expected and got, the likely mistake, comments.

It shows the student's own work and what was said of it. It does not show the instructor's cells
(tests, questions with their mark schemes), the seed, or what the teacher is told about edited
cells.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup
from nbconvert.exporters import Exporter

from autograder.drawing import drawn
from autograder.reports.gather import GatherError, Mark, Marks, grading, is_test, marks_in_cells, read_marks, records
from autograder.reports.outputs import outputs_html
from autograder.reports.safe import clean, code_html, inline_code, markdown_html

__all__ = ["FeedbackExporter", "feedback_page", "render"]

HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


@dataclass
class Item:
    """One thing that earns points: a test cell with its checks, or an answer that a person marks."""

    name: str
    mark: Mark | None
    records: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""
    answer: Markup | None = None
    comment: Markup | None = None
    defined_in: tuple[str, str] | None = None

    @property
    def state(self) -> str:
        return state_of(self.mark)


@dataclass
class Section:
    """One exercise."""

    anchor: str
    level: int
    title: str
    part: str = ""
    items: list[Item] = field(default_factory=list)
    code: list[dict[str, Any]] = field(default_factory=list)
    shown: list[Markup] = field(default_factory=list)
    defines: set[str] = field(default_factory=set)
    unfolded: bool = False

    @property
    def marks(self) -> list[Mark]:
        return [item.mark for item in self.items if item.mark]

    @property
    def points(self) -> float:
        return sum(m.points or 0.0 for m in self.marks)

    @property
    def max_points(self) -> float:
        return sum(m.max_points for m in self.marks)

    @property
    def waiting(self) -> float:
        return sum(m.max_points for m in self.marks if m.points is None)

    @property
    def state(self) -> str:
        """As a mark's; "waiting" when nothing is lost so far and something is not marked yet; "ungraded" without points."""
        if not self.max_points:
            return "ungraded"
        lost = self.max_points - self.points - self.waiting
        return "waiting" if self.waiting and lost <= 0 else state_of(Mark(self.points, self.max_points))


def state_of(mark: Mark | None) -> str:
    """One of "right", "partly", "wrong" and "waiting"."""
    if mark is None or mark.points is None:
        return "waiting"
    return "right" if mark.points >= mark.max_points else "partly" if mark.points > 0 else "wrong"


# --- from a notebook to sections -----------------------------------------------------------------


def sections(nb: Mapping[str, Any], marks: Marks) -> list[Section]:
    """The exercises of a notebook that have something to show, in its order.

    An exercise goes from its heading to the next one of the same level or above.
    """
    found = [Section("e0", 9, "")]
    part = ""
    for cell in nb["cells"]:
        heading = last_heading(cell)
        if heading and (heading[0] <= found[-1].level or not found[-1].items and not found[-1].code):
            part = heading[1] if heading[0] <= 2 else part
            found.append(Section(f"e{len(found)}", heading[0], heading[1], "" if heading[0] <= 2 else part))
        add(found[-1], cell, marks)
    kept = [s for s in found if s.items or s.code]
    for section in kept:
        section.title = section.title or "Before the first exercise"
        for item in section.items:
            home = section if section.code else where_defined(item, kept, nb)
            if home and item.state in ("partly", "wrong"):
                home.unfolded = True  # here is what the student wants to look at
            if home and home is not section:
                item.defined_in = (home.anchor, home.title)
    return kept


def last_heading(cell: Mapping[str, Any]) -> tuple[int, str] | None:
    """(level, text) of the last heading in a Markdown cell that is not an answer."""
    if cell.get("cell_type") != "markdown" or grading(cell).get("solution"):
        return None
    found = HEADING.findall(FENCE.sub("", clean(cell.get("source"))))
    return (len(found[-1][0]), plain(found[-1][1])) if found else None


def plain(markdown: str) -> str:
    """A heading's text without emphasis and links."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"(\*\*|__|\*)(\S.*?)\1", r"\2", markdown))


def add(section: Section, cell: Mapping[str, Any], marks: Marks) -> None:
    """Put what a cell has to show into its exercise."""
    about, source = grading(cell), clean(cell.get("source"))
    name, is_code = str(about.get("grade_id") or ""), cell.get("cell_type") == "code"
    comment = marks.comments.get(name, "")
    said = markdown_html(comment) if comment.strip() else None
    if is_test(cell):
        section.items.append(Item(name, marks.cells.get(name), records(cell), trouble_in(cell), comment=said))
    elif about.get("grade") or about.get("task"):
        attachments = cell.get("attachments") if isinstance(cell.get("attachments"), dict) else {}
        answer = Markup("<pre class=source>{}</pre>").format(code_html(source)) if is_code else markdown_html(source, attachments)
        answer += Markup("").join(outputs_html(cell.get("outputs")))
        section.items.append(Item(name, marks.cells.get(name), answer=answer, comment=said))
    elif about.get("solution") and is_code:
        section.code.append({"source": code_html(source), "outputs": outputs_html(cell.get("outputs")), "comment": said})
        section.defines |= names_defined(source)
    elif is_code:
        section.shown += outputs_html(cell.get("outputs"))


def names_defined(source: str) -> set[str]:
    """The names that a cell gives at its left margin."""
    return {a or b for a, b in re.findall(r"^(?:class|def)\s+(\w+)|^(\w+)\s*=", source, re.MULTILINE)}


def trouble_in(cell: Mapping[str, Any]) -> str:
    """Why a test cell could not be judged, in the grader's words."""
    errors = [o for o in cell.get("outputs", []) if isinstance(o, dict) and o.get("output_type") == "error"]
    return clean(errors[0].get("evalue")) if errors else ""


def where_defined(item: Item, exercises: list[Section], nb: Mapping[str, Any]) -> Section | None:
    """The exercise whose code an item's test looks at."""
    if item.answer is not None:
        return None
    source = next((clean(c.get("source")) for c in nb["cells"] if grading(c).get("grade_id") == item.name), "")
    names = set(re.findall(r"\w+", source))
    return next((s for s in exercises if s.defines & names), None)


# --- the page ------------------------------------------------------------------------------------


def feedback_page(nb: Mapping[str, Any] | None, marks: Marks, written: datetime | None = None) -> str:
    """The whole page for one student's notebook.

    Arguments:
        nb: the graded notebook as plain values, or None if it cannot be read.
        marks: what the gradebook says about it.
        written: the moment that the page states.
    """
    parts = sections(nb, marks) if nb else []
    about = nb.get("metadata", {}).get("elbolab", {}) if nb else {}
    problems = about.get("problems") if isinstance(about, dict) else None
    first = next((h for h in map(last_heading, nb["cells"]) if h), None) if nb else None
    return render(
        "feedback.html", marks=marks, sections=parts, title=first[1] if first else marks.notebook,
        problems=[clean(p) for p in problems] if isinstance(problems, list) else [], unreadable=nb is None,
        automatic=marks.points(by_hand=False), by_hand=marks.points(by_hand=True), unmarked=marks.unmarked,
        written=written or datetime.now(timezone.utc),
    )  # fmt: skip


class FeedbackExporter(Exporter):
    """Writes the feedback page for `nbgrader generate_feedback`; name it as GenerateFeedback.exporter_class."""

    file_extension = ".html"
    output_mimetype = "text/html"
    export_from_notebook = None

    def from_notebook_node(self, nb: Any, resources: Any = None, **kwargs: Any) -> tuple[str, Any]:
        """(page, resources); marks come from the gradebook that nbgrader names, else from the cells' metadata."""
        nb, resources = super().from_notebook_node(nb, resources, **kwargs)
        about = resources.get("nbgrader", {})
        where = {key: about.get(key, "") for key in ("assignment", "student", "notebook")}
        try:
            (marks,) = read_marks(about["db_url"], **where)
        except (KeyError, ValueError, GatherError) as error:
            self.log.warning("Marks are taken from the notebook, not from the gradebook: %s", error)
            where["notebook"] = where["notebook"] or resources.get("metadata", {}).get("name", "notebook")
            marks = marks_in_cells(nb, **where)
        return feedback_page(nb, marks), resources


# --- templates -----------------------------------------------------------------------------------


@cache
def environment() -> Any:
    """Jinja with autoescape on: whatever is not marked as safe by `safe` is text."""
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    found = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    found.filters.update(ticks=inline_code, clean=clean, points=points, share=share, drawn=drawn)
    found.tests["number"] = lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
    return found


@cache
def style() -> tuple[Markup, str]:
    """(the pages' style sheet, its hash for the content policy)."""
    from pygments.formatters import HtmlFormatter

    rules = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    light, dark = (colors(HtmlFormatter(style=name)) for name in ("default", "github-dark"))
    rules = f"{rules}\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    digest = base64.b64encode(hashlib.sha256(rules.encode()).digest()).decode()
    return Markup(rules), f"sha256-{digest}"


def colors(formatter: Any) -> str:
    """The rules that color code, without the ones for lines and backgrounds."""
    return "\n".join(line for line in formatter.get_style_defs(".source").splitlines() if line.startswith(".source ."))


def render(template: str, **values: Any) -> str:
    """A page out of a template. What cannot be written as UTF-8 is replaced."""
    rules, digest = style()
    page = environment().get_template(template).render(style=rules, style_hash=digest, **values)
    return page.encode("utf-8", "replace").decode("utf-8")


def points(value: float | None) -> str:
    """2.0 as "2", 1.25 as "1.25"."""
    return "–" if value is None else f"{round(value, 2):g}"


def share(value: float | None, of: float) -> str:
    """A part of 100, for the width of a bar."""
    return f"{max(0.0, min(100.0, 100 * (value or 0) / of if of else 0)):.2f}"
