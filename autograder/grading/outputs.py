"""From what a submission's process reported to outputs that are safe to keep and to show."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import bleach
from nbformat.v4 import new_output

from autograder.grading.guard import OutOfTime, bounded

__all__ = ["clean_markdown", "clean_outputs"]

MOST_OUTPUTS = 60  # a cell
MOST_TEXT = 50_000  # characters of one printed text
MOST_HTML = 200_000
HTML_SECONDS = 2.0
MOST_PIXELS = 50_000_000
MOST_IMAGES = 6 << 20  # characters of base64 a cell
MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
TAGS = frozenset("table thead tbody tfoot tr th td caption b i em strong code pre p div span br hr ul ol li sub sup h1 h2 h3 h4".split())
PLAIN_TAG = re.compile(r"<(?!/?(?:b|i|u|em|strong|sub|sup|br|code|kbd|p|ul|ol|li|table|thead|tbody|tr|th|td)\s*/?>)(?=[/!?a-zA-Z])")
LINK = re.compile(r"(\]\(\s*<?\s*|\]:\s*<?\s*|\\href\s*\{\s*)(?:java\s*script|vb\s*script|data)\s*:", re.I)
TEX_LINK = re.compile(r"\\(href|require|class|cssId|style)\s*\{")  # MathJax would act on these
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\ud800-\udfff]")  # all but tab, line ends, escape (colors)


def clean_outputs(reported: list[Any]) -> list[Any]:
    """nbformat outputs from reports of any kind at all: known types only, bounded, HTML without scripts."""
    outputs: list[Any] = []
    wait, html = False, 0  # HTML is cleaned up to a size, and of what was updated only what is left
    for report in reported:
        if not isinstance(report, dict):
            continue
        kind = report.get("output_type")
        if kind == "clear_output":
            wait = bool(report.get("wait"))
            if not wait:
                outputs.clear()
            continue
        if wait:
            outputs.clear()
            wait = False
        if kind == "update_display_data":
            replace_displayed(outputs, report)
        elif kind == "stream" and outputs and outputs[-1].output_type == "stream" and outputs[-1].name == report.get("name"):
            outputs[-1].text = (outputs[-1].text + text_of(report.get("text"), 4 * MOST_TEXT))[: 4 * MOST_TEXT]
        elif len(outputs) < MOST_OUTPUTS and (output := clean_output(report)) is not None:
            outputs.append(output)
    for output in outputs:
        output.pop("display_id", None)
        if "data" in output:
            html += len(output.data.get("text/html", ""))
            output.data = clean_bundle(output.data, html <= MOST_HTML)
        if output.output_type == "stream":
            output.text = shortened(overwritten(output.text), MOST_TEXT)
    return fewer_images(outputs)


def clean_output(report: dict[str, Any]) -> Any:
    kind = report.get("output_type")
    if kind == "stream":
        name = "stderr" if report.get("name") == "stderr" else "stdout"
        return new_output("stream", name=name, text=text_of(report.get("text"), 4 * MOST_TEXT))
    if kind == "error":
        lines = report.get("traceback") if isinstance(report.get("traceback"), list) else []
        return new_output("error", ename=text_of(report.get("ename"), 200), evalue=text_of(report.get("evalue"), 2000),
                          traceback=[text_of(line, 5000) for line in lines[:100]])
    if kind not in ("display_data", "execute_result"):
        return None
    output = new_output(kind, data=texts(report.get("data")), **({"execution_count": None} if kind == "execute_result" else {}))
    if kind == "display_data" and isinstance(report.get("display_id"), str):
        output["display_id"] = report["display_id"]
    return output


def replace_displayed(outputs: list[Any], report: dict[str, Any]) -> None:
    """New content for what was displayed under the same id in this cell."""
    for output in outputs:
        if output.get("display_id") is not None and output.get("display_id") == report.get("display_id"):
            output.data = texts(report.get("data"))


def texts(data: Any) -> dict[str, str]:
    return {mime: value for mime, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}


def clean_bundle(data: dict[str, str], with_html: bool) -> dict[str, str]:
    """Text, png, jpeg and harmless HTML of a MIME bundle; the rest is dropped."""
    bundle = {}
    for mime, value in data.items():
        if mime == "text/plain":
            bundle[mime] = shortened(text_of(value, 4 * MOST_TEXT), MOST_TEXT)
        elif mime == "text/html" and with_html:
            if (html := clean_html(value)) is not None:
                bundle[mime] = html
        elif mime in MAGIC and len(value) <= MOST_IMAGES and is_image(value, MAGIC[mime]):
            bundle[mime] = value
    return bundle


def clean_html(source: str) -> str | None:
    """The HTML without anything that runs, loads or covers the page; None where taking it apart takes too long."""
    # Scripts and styles go with what stands in them; bleach alone would leave their text.
    source = re.sub(r"<(script|style)\b.*?(</\1\s*>|$)", "", CONTROL.sub("", source), flags=re.S | re.I)
    try:
        with bounded(HTML_SECONDS):
            return bleach.clean(source, tags=TAGS, attributes={"*": ["colspan", "rowspan"]}, strip=True, strip_comments=True)
    except (Exception, OutOfTime):  # nesting that is made to keep a parser busy
        return None


def is_image(value: str, magic: bytes) -> bool:
    try:
        raw = base64.b64decode("".join(value.split()), validate=True)
        pixels = int.from_bytes(raw[16:20], "big") * int.from_bytes(raw[20:24], "big") if magic.startswith(b"\x89") else 0
        return raw.startswith(magic) and pixels <= MOST_PIXELS
    except (binascii.Error, ValueError):
        return False


def fewer_images(outputs: list[Any]) -> list[Any]:
    """The outputs without the images beyond what a cell may have."""
    left = MOST_IMAGES
    for output in outputs:
        for mime in MAGIC:
            left -= len(output.get("data", {}).get(mime, ""))
            if left < 0 and mime in output.get("data", {}):
                output.data.pop(mime)
                output.data.setdefault("text/plain", "(an image, left out: this cell shows too many)")
    return [output for output in outputs if output.get("data", True)]


def text_of(value: Any, most: int) -> str:
    return CONTROL.sub("", value[:most]) if isinstance(value, str) else ""


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it is too long."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n... {len(text) - most:,} characters left out ...\n{text[-most // 2:]}"


def overwritten(text: str) -> str:
    """What a terminal would show: a carriage return starts its line anew (progress bars)."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)


def clean_markdown(source: str) -> str:
    """Markdown in which tags with attributes, and all but the plainest tags, are text: whoever opens it runs nothing."""
    source = re.sub(r"&(?=#|colon;|tab;|newline;)", "& ", PLAIN_TAG.sub("&lt;", source), flags=re.I)
    return TEX_LINK.sub(r"\1{", LINK.sub(r"\1blocked:", source))
