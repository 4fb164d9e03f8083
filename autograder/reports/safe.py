"""Makes what others wrote safe to show: plain text, Markdown, HTML tables, formulas, pictures.

Pages made of it hold no script, no style, no form and nothing that a browser would fetch. Whatever
is not on a list of harmless things is left out or shown as text; a page's own content policy
(`templates/base.html`) is the second fence.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner
from markupsafe import Markup

__all__ = ["clean", "code_html", "cut", "inline_code", "markdown_html", "picture", "table_html"]

# Escape sequences of terminals: colors, cursor moves, window titles.
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?")
# Control characters, and marks that turn the direction of what follows (code that reads other than it runs).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ue000\ue001]")
RAW_TEXT = re.compile(r"<(script|style|template|title|textarea|noscript|iframe|xmp)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)

TABLE_TAGS = frozenset(
    "table thead tbody tfoot tr th td caption p br hr div span b strong i em u s sub sup small code pre kbd samp "
    "ul ol li dl dt dd blockquote h1 h2 h3 h4 h5 h6".split()
)
MARKDOWN_TAGS = TABLE_TAGS | {"a", "del"}
MATHML = {
    name: frozenset(attributes.split())
    for name, attributes in {
        "mrow": "", "mi": "mathvariant", "mn": "", "mo": "stretchy fence separator form movablelimits minsize maxsize",
        "mtext": "", "mspace": "width", "mfrac": "linethickness", "msqrt": "", "mroot": "", "msub": "", "msup": "",
        "msubsup": "", "munder": "accentunder", "mover": "accent", "munderover": "", "mtable": "columnalign rowspacing",
        "mtr": "", "mtd": "columnalign", "mstyle": "displaystyle scriptlevel", "mpadded": "width", "mphantom": "",
        "menclose": "notation",
    }.items()
}  # fmt: skip
LONGEST_FORMULA, LONGEST_ANSWER, LONGEST_CODE, LONGEST_HTML, LONGEST_PICTURE = 2000, 20_000, 60_000, 200_000, 4_000_000
MOST_TAGS = 8000  # the parser's time grows with the square of the depth


def clean(text: Any) -> str:
    """Text without terminal colors, control characters and halves of characters; a list is joined, as in notebooks."""
    text = "".join(map(str, text)) if isinstance(text, list) else "" if text is None else str(text)
    text = ANSI.sub("", text).replace("\r\n", "\n")
    if "\r" in text:  # a progress bar writes over itself
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return CONTROL.sub("\ufffd", text).encode("utf-8", "replace").decode("utf-8")


def cut(text: str, most: int) -> str:
    """The beginning and the end of a long text, and how much is left out between them."""
    if len(text) <= most:
        return text
    left_out = len(text) - most
    return f"{text[: most * 3 // 4]}\n[... {left_out:,} characters left out ...]\n{text[-(most // 4) :]}"


def inline_code(text: Any) -> Markup:
    """Escaped text with `backticks` as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(clean(text))))


@lru_cache(maxsize=2000)
def code_html(source: str) -> Markup:
    """Python with its syntax in color; the text is escaped."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    source = cut(clean(source).strip("\n"), LONGEST_CODE)
    return Markup(highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))


def table_html(source: Any) -> Markup:
    """The text and the tables of an output's HTML: no style, class, link, picture or script."""
    return harmless(clean(source), TABLE_TAGS, {})


def markdown_html(source: Any, attachments: Mapping[str, Any] | None = None) -> Markup:
    """An answer in Markdown. Formulas become MathML, pasted pictures are shown, links go to web pages only."""
    source, extras = cut(clean(source), LONGEST_ANSWER), {}

    def keep(element: Any, fallback: str) -> str:
        if element is None:
            return escape(fallback)
        extras[str(len(extras))] = element
        return f"\ue000{len(extras) - 1}\ue001"

    try:
        html = parser(keep, attachments or {})(source)
    except (Exception, RecursionError):  # nested beyond reason
        return preformatted(source)
    return harmless(str(html), MARKDOWN_TAGS, extras)


def parser(keep: Any, attachments: Mapping[str, Any]) -> Any:
    """mistune's Markdown, with formulas and pictures put aside by `keep`."""
    import mistune

    def image(text: str, url: str, title: str | None = None) -> str:
        text = CONTROL.sub("", unescape(text))
        kind, _, data = url.partition(";base64,") if url.startswith("data:image/") else ("", "", "")
        pasted = attachments.get(url.removeprefix("attachment:"), {}) if url.startswith("attachment:") else {kind[5:]: data}
        drawn = (picture(mime, data, text) for mime, data in pasted.items()) if isinstance(pasted, dict) else ()
        return keep(next((p for p in drawn if p is not None), None), f"[picture: {text or url[:80]}]")

    markdown = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "math"])
    render = markdown.renderer
    render.image = image
    render.register("inline_math", lambda _, text: keep(formula(text, "inline"), f"${text}$"))
    render.register("block_math", lambda _, text: f"<p>{keep(formula(text, 'block'), f'$${text}$$')}</p>\n")
    return markdown


class Mathematics(Exception):
    """A formula that is left as text."""


@lru_cache(maxsize=4000)
def formula(tex: str, display: str) -> ElementTree.Element | None:
    """MathML of a TeX formula, or None where it cannot be had: then the TeX is shown, which people can read, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from latex2mathml.converter import convert_to_element

        if len(tex) > LONGEST_FORMULA:
            return None
        known = re.sub(r"\\arg(?![A-Za-z])", r"\\operatorname{arg}", tex).replace(r"\operatorname*", r"\operatorname")
        math = rebuilt(convert_to_element(known, display=display), depth=0)
    except (Exception, RecursionError):  # its own errors, and whatever strange input leads to
        return None
    math.tag = "math"
    math.attrib.clear()
    math.set("display", display)
    return math


def rebuilt(element: ElementTree.Element, depth: int) -> ElementTree.Element:
    """A copy made of listed elements and attributes only: TeX has ways to write links, styles and scripts."""
    if depth > 60:
        raise Mathematics
    name = "mrow" if depth == 0 or element.tag not in MATHML else element.tag
    plain = {k: str(v) for k, v in element.attrib.items() if k in MATHML[name] and re.fullmatch(r"[\w .%+-]{1,30}", str(v))}
    copy = ElementTree.Element(name, plain)
    copy.text = unescape_symbols(element.text or "")
    if "\\" in copy.text:  # a command that it does not know
        raise Mathematics
    children = list(element)
    for child, following in zip(children, [*children[1:], None]):
        copy.append(rebuilt(child, depth + 1))
        if child.tag in ("mi", "mo") and re.fullmatch("[a-z]{2,}", child.text or "") and following is not None and following.tag != "mo":
            copy.append(ElementTree.Element("mspace", {"width": "0.17em"}))  # between "log" and "p"
    return copy


def unescape_symbols(text: str) -> str:
    return clean(re.sub(r"&#x([0-9A-Fa-f]{1,6});", lambda m: chr(int(m[1], 16)), text))


# --- HTML ----------------------------------------------------------------------------------------


def link(tag: str, name: str, value: str) -> bool:
    """Which attributes of links stay: an address on the web, or of a mailbox."""
    return name == "href" and re.match(r"(https?://|mailto:)", value, re.IGNORECASE) is not None


def span(tag: str, name: str, value: str) -> bool:
    return name in ("colspan", "rowspan") and value.isascii() and value.isdigit() and 0 < int(value[:4]) <= 100


def harmless(html: str, tags: frozenset[str], extras: Mapping[str, ElementTree.Element]) -> Markup:
    """HTML of listed elements; in its text, marks of private characters become the elements in `extras`."""
    html = RAW_TEXT.sub("", html)
    if len(html) > LONGEST_HTML or html.count("<") > MOST_TAGS:
        return preformatted(cut(html, LONGEST_CODE))
    cleaner = Cleaner(
        tags=tags, attributes={"a": link, "td": span, "th": span}, protocols=["http", "https", "mailto"],
        strip=True, strip_comments=True, filters=[lambda source: Extras(source, extras)],
    )  # fmt: skip
    try:
        return Markup(cleaner.clean(html))
    except (Exception, RecursionError):  # malformed beyond what the parser takes
        return preformatted(html)


def preformatted(text: str) -> Markup:
    """Text as it is, escaped."""
    return Markup("<pre>") + CONTROL.sub("", text) + Markup("</pre>")


class Extras(Filter):
    """Puts elements of ours where their marks stand, in text only (never in an attribute)."""

    def __init__(self, source: Any, extras: Mapping[str, ElementTree.Element]) -> None:
        super().__init__(source)
        self.extras = extras

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            if token["type"] == "StartTag" and token["name"] == "a":
                token["data"][(None, "rel")] = "noopener noreferrer nofollow"
            if token["type"] != "Characters" or "\ue000" not in token["data"]:
                yield token
                continue
            for number, part in enumerate(re.split("\ue000([0-9]+)\ue001", token["data"])):
                if number % 2 == 0:
                    yield {"type": "Characters", "data": part}
                elif part in self.extras:
                    yield from tokens(self.extras[part])


def tokens(element: ElementTree.Element) -> Iterator[dict[str, Any]]:
    """An element as the parser's tokens, so that it is written like any other."""
    head = {"name": element.tag, "namespace": None, "data": {(None, k): v for k, v in element.attrib.items()}}
    if element.tag == "img":
        yield {"type": "EmptyTag", **head}
        return
    yield {"type": "StartTag", **head}
    if element.text:
        yield {"type": "Characters", "data": element.text}
    for child in element:
        yield from tokens(child)
    yield {"type": "EndTag", "name": element.tag, "namespace": None, "data": {}}


# --- pictures ------------------------------------------------------------------------------------


def picture(mime: str, data: Any, alt: str = "") -> ElementTree.Element | None:
    """An <img> with the picture in it, or None if it is none, too large, or would blow up when it is drawn."""
    raw = clean(data).encode() if mime == "image/svg+xml" else decoded(data)
    sound = {"image/png": sound_png, "image/jpeg": lambda raw: raw[:3] == b"\xff\xd8\xff", "image/svg+xml": sound_svg}.get(mime)
    if sound is None or raw is None or len(raw) > LONGEST_PICTURE or not sound(raw):
        return None
    url = f"data:{mime};base64,{base64.b64encode(raw).decode()}"
    return ElementTree.Element("img", {"src": url, "alt": clean(alt)[:200]})


def decoded(data: Any) -> bytes | None:
    try:
        return base64.b64decode("".join(clean(data).split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def sound_png(raw: bytes) -> bool:
    """A PNG of a size that people look at."""
    width, height = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    return raw[:8] == b"\x89PNG\r\n\x1a\n" and raw[12:16] == b"IHDR" and 0 < width * height <= 40_000_000


def sound_svg(raw: bytes) -> bool:
    """An SVG whose parts do not repeat each other into millions. In an <img> it runs and fetches nothing."""
    if b"<!ENTITY" in raw:
        return False
    try:
        root = ElementTree.fromstring(raw)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return False
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        return False
    parts = {e.get("id"): e for e in root.iter() if e.get("id")}
    drawn = 0
    for use in (e for e in root.iter() if e.tag.endswith("}use")):
        part = parts.get((use.get("href") or use.get("{http://www.w3.org/1999/xlink}href") or "")[1:])
        inside = [] if part is None else list(part.iter())
        drawn += len(inside)
        if drawn > 200_000 or any(e.tag.endswith("}use") for e in inside):
            return False
    return True
