"""The outputs of a cell as safe HTML: text, pictures, tables, tracebacks. Everything else by its plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from autograder.reports.safe import clean, cut, markdown_html, picture, table_html

__all__ = ["outputs_html"]

LONGEST_TEXT = 8000
MOST_OUTPUTS = 40
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
# What a notebook prints in place of something that only its own browser could show.
STAND_IN = re.compile(r"^<(IPython\.core\.display\.\w+ object|Figure size [\d.x ]+ with \d+ Axes)>$")


def outputs_html(outputs: Any) -> list[Markup]:
    """Each output that has something to show, as HTML."""
    outputs = [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []
    shown = [html for output in joined(outputs[:MOST_OUTPUTS]) for html in one_output(output)]
    if len(outputs) > MOST_OUTPUTS:
        shown.append(Markup('<p class="aside">{} more outputs are left out here.</p>').format(len(outputs) - MOST_OUTPUTS))
    return shown


def joined(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The outputs, with lines of text that follow each other put together."""
    lines = ""
    for output in outputs:
        data = output.get("data")
        is_line = output.get("output_type") in ("display_data", "execute_result") and isinstance(data, dict) and set(data) == {"text/plain"}
        if is_line or output.get("output_type") == "stream":
            line = clean(data["text/plain"] if is_line else output.get("text"))
            lines += "" if STAND_IN.match(line.strip()) else line + "\n" * is_line
            continue
        if lines:
            yield {"output_type": "stream", "text": lines}
        lines = ""
        yield output
    if lines:
        yield {"output_type": "stream", "text": lines}


def one_output(output: Mapping[str, Any]) -> Iterator[Markup]:
    kind = output.get("output_type")
    if kind == "stream":
        yield from text(output.get("text"))
    elif kind == "error":
        yield failure(output)
    elif kind in ("display_data", "execute_result") and isinstance(output.get("data"), dict):
        yield from display(output["data"])


def display(data: Mapping[str, Any]) -> Iterator[Markup]:
    """The first form of a result that can be shown."""
    for mime in PICTURES:
        drawn = picture(mime, data[mime], "A picture that this cell drew") if mime in data else None
        if drawn is not None:
            yield Markup("<figure>{}</figure>").format(Markup(ElementTree.tostring(drawn, encoding="unicode", method="html")))
            return
    for mime, render in (("text/html", cached_table), ("text/markdown", markdown_html)):
        html = render(clean(data[mime])) if mime in data else ""
        if re.sub(r"<[^>]*>|\s", "", html):  # not empty once scripts and styles are gone
            yield Markup('<div class="rich">{}</div>').format(html)
            return
    yield from text(data.get("text/plain"))


cached_table = lru_cache(maxsize=500)(table_html)


def text(value: Any) -> Iterator[Markup]:
    value = clean(value).rstrip()
    if value.strip() and not STAND_IN.match(value):
        yield Markup("<pre>{}</pre>").format(cut(value, LONGEST_TEXT))


def failure(output: Mapping[str, Any]) -> Markup:
    """The error's name and message; its traceback on request."""
    name, message = clean(output.get("ename")), cut(clean(output.get("evalue")), 1000)
    lines = output.get("traceback")
    trace = clean([f"{clean(line)}\n" for line in lines] if isinstance(lines, list) else lines).strip()
    head = Markup('<p><b>{}</b>{}</p>').format(name or "Error", f": {message}" if message else "")
    if trace in ("", message):
        return Markup('<div class="error">{}</div>').format(head)
    return Markup('<div class="error">{}<details><summary>Traceback</summary><pre>{}</pre></details></div>').format(
        head, cut(trace, LONGEST_TEXT)
    )
