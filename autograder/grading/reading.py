"""From the bytes of a file that was handed in to a notebook that holds what can count: kinds, sources, ids, nbgrader's marks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from nbformat import NotebookNode

__all__ = ["MAX_BYTES", "MAX_CELLS", "Unreadable", "read", "tidy", "valid_id"]

MAX_BYTES = 256 << 20
MAX_BYTES_READ = 64 << 20  # what may be left without the outputs
DIRECT_BYTES = 1 << 20  # files up to this size are parsed as they are
MAX_LISTS = 1_000_000  # a list or a number takes many times the memory of its text
MAX_VALUES = 4_000_000
MAX_CELLS = 2_000  # of a notebook that is run
MAX_READ = 10 * MAX_CELLS
MAX_SOURCE = {"code": 1 << 20, "markdown": 8 << 20, "raw": 1 << 20}  # Markdown may hold pasted images
MAX_ATTACHED = 32 << 20  # characters, in the whole notebook
IMAGES = ("image/png", "image/jpeg")
READ = "elbolab_read"  # where `tidy` leaves what it noticed for `intake.assemble`

LEFT_OUT = re.compile(rb'"(?:outputs|widgets)"\s*:\s*(?=[\[{])')
STEP = np.zeros(256, np.int8)  # what a character does to the depth
STEP[list(b"[{")], STEP[list(b"]}")] = 1, -1
KINDS = {"code": "code", "markdown": "markdown", "raw": "raw", "heading": "markdown", "html": "markdown"}
OTHER_FILES = {b"PK\x03\x04": "a ZIP archive", b"%PDF": "a PDF", b"\x1f\x8b": "a compressed file", b"\x89PNG": "a picture"}
CUT_OFF = "it ends in the middle, as a file does whose upload or download broke off"


class Unreadable(Exception):
    """No notebook; the text goes on after "The file NAME cannot be read as a notebook: "."""


def read(data: bytes) -> NotebookNode:
    """The notebook in a file, without outputs.

    Time and memory are in proportion to the size, whatever the file holds.

    Raises:
        Unreadable: it is none.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it is larger than {MAX_BYTES >> 20} MB; clear its outputs, save it and hand it in again")
    if not data.rstrip(b"\0 \t\r\n"):
        raise Unreadable("it is empty")
    for start, what in OTHER_FILES.items():
        if data.startswith(start):
            raise Unreadable(f"it is {what}")
    return tidy(parse(data))


def parse(data: bytes) -> Any:
    """JSON of any encoding; values named outputs are left out where the file is large."""
    encoding = json.detect_encoding(data)
    if encoding.startswith(("utf-16", "utf-32")):
        data = data.decode(encoding, "replace").encode("utf-8", "replace")
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0 \t\r\n")
    whole = len(data) <= DIRECT_BYTES
    data = data if whole else without_outputs(data)
    if len(data) > MAX_BYTES_READ:
        raise Unreadable(f"it is larger than {MAX_BYTES_READ >> 20} MB even without its outputs")
    if data.count(b"[") + data.count(b"{") > MAX_LISTS or data.count(b",") > MAX_VALUES:
        raise Unreadable("it holds more values than a notebook does")
    text = decoded(data)
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else 0)
    except json.JSONDecodeError as error:
        raise Unreadable(not_json(text, error, whole)) from None
    except (RecursionError, MemoryError):
        raise Unreadable("it is nested too deeply") from None


def without_outputs(data: bytes) -> bytes:
    """The JSON text with [] for each list of outputs; those are most of a large file, and are made anew anyway."""
    masked = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")  # same length; now every quote begins or ends a string
    kept, start = [], 0
    while key := LEFT_OUT.search(masked, start):
        kept += [data[start : key.end()], b"[]"]
        start = end_of(masked, key.end())
    kept.append(data[start:])
    return b"".join(kept)


def end_of(masked: bytes, start: int) -> int:
    """The place behind the bracket that closes the one at `start`; the end of the text if none does."""
    depth, quoted, size = 0, False, 1 << 12
    while start < len(masked):
        chunk = np.frombuffer(masked, np.uint8, min(size, len(masked) - start), start)
        inside = np.logical_xor.accumulate(np.append(quoted, chunk == ord('"')))[1:]
        depths = depth + np.cumsum(np.where(inside, 0, STEP[chunk]), dtype=np.int32)
        closed = np.flatnonzero(depths == 0)
        if len(closed):
            return start + int(closed[0]) + 1
        depth, quoted, start, size = depths[-1], inside[-1], start + len(chunk), min(4 * size, 1 << 20)
    return len(masked)


def decoded(data: bytes) -> str:
    """UTF-8; Latin-1 where most letters beyond ASCII are none in UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        high = len(data) - len(data.decode("ascii", "ignore"))
        return data.decode("cp1252", "replace") if 2 * text.count("\ufffd") > high else text


def not_json(text: str, error: json.JSONDecodeError, whole: bool) -> str:
    """Why, as far as the text shows it."""
    if text.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        return "it is a web page; download the notebook itself"
    if conflict := re.search(r"^<{7} ", text, re.M):
        where = f" (line {text.count(chr(10), 0, conflict.start()) + 1})" if whole else ""
        return f"it holds the marks of a merge conflict of git{where}"
    if text.lstrip().startswith("{") and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")):
        return CUT_OFF
    return f"it is not JSON (line {error.lineno})" if whole else "it is not JSON"


# --- from any document to clean cells ------------------------------------------------------------


def tidy(document: Any) -> NotebookNode:
    """Cells with a known kind, a clean source, an id where there is a valid one, nbgrader's marks and images; nothing else.

    Raises:
        Unreadable: there is no list of cells in it.
    """
    if not isinstance(document, Mapping):
        raise Unreadable("it has no list of cells")
    version = document.get("nbformat")
    version = version if isinstance(version, int) else 4
    raw = document.get("cells")
    if not isinstance(raw, list) and isinstance(document.get("worksheets"), list):  # before format 4
        sheets = [sheet.get("cells") for sheet in document["worksheets"] if isinstance(sheet, Mapping)]
        raw = [cell for cells in sheets if isinstance(cells, list) for cell in cells]
        version = min(version, 3)
    if not isinstance(raw, list):
        raise Unreadable(f"it was written by a newer Jupyter (format {version})" if version > 4 else "it has no list of cells")
    noticed = format_noticed(version) + kernel_noticed(document.get("metadata"))
    raw = [cell for cell in raw if isinstance(cell, Mapping)]
    if len(raw) > MAX_READ:
        noticed.append(("extra", f"The notebook has {len(raw):,} cells; those beyond {MAX_READ:,} were not read."))
        raw = raw[:MAX_READ]
    room = [MAX_ATTACHED]
    cells = [tidy_cell(cell, version, room, noticed) for cell in raw]
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata=NotebookNode({READ: noticed}), cells=cells)


def format_noticed(version: int) -> list[tuple[str, str]]:
    if version == 4:
        return []
    age = "an older" if version < 4 else "a newer"
    return [("format", f"The file was written in {age} format of notebooks ({version}); its cells were read all the same.")]


def kernel_noticed(metadata: Any) -> list[tuple[str, str]]:
    """A kernel of another language; that somebody's Python has a name of its own is nothing to notice."""
    metadata = metadata if isinstance(metadata, Mapping) else {}
    spec, info = (metadata.get(key) if isinstance(metadata.get(key), Mapping) else {} for key in ("kernelspec", "language_info"))
    name, language = spec.get("name"), spec.get("language") or info.get("name")
    named = language if isinstance(language, str) else name if isinstance(name, str) else ""
    if not named or re.search(r"py|conda|sage", named, re.I):
        return []
    return [("kernel", f"The notebook names another kernel ({plain(named)}); it was run with the course's.")]


def plain(text: str) -> str:
    return re.sub(r"[^\w .+#-]", "?", text[:40])


def tidy_cell(cell: Mapping[str, Any], version: int, room: list[int], noticed: list[tuple[str, str]]) -> NotebookNode:
    kind = cell.get("cell_type")
    if not isinstance(kind, str) or kind not in KINDS:
        kind = "code" if "cell_type" not in cell and ("outputs" in cell or "input" in cell) else "raw"
    source = text_of(cell.get("source", cell.get("input")), version)
    if kind == "heading":
        level = cell.get("level")
        source = "#" * (level if isinstance(level, int) and 0 < level < 7 else 1) + " " + source
    kind = KINDS[kind]
    if len(source) > MAX_SOURCE[kind]:
        noticed.append(("extra", f"A cell of {len(source):,} characters is longer than what is read; it was left out."))
        source = f"{'# ' if kind == 'code' else ''}This cell was left out: it held {len(source):,} characters."
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), Mapping) else {}
    mark = mark_of(cell)
    new = NotebookNode(cell_type=kind, source=source, metadata=NotebookNode({"nbgrader": NotebookNode(mark)} if mark else {}))
    name = next((n for n in (cell.get("id"), metadata.get("id")) if valid_id(n)), None)  # Colab keeps ids in the metadata
    if name:
        new["id"] = name
    if images := images_of(cell.get("attachments"), room):
        new["attachments"] = NotebookNode(images)
    return new


def text_of(value: Any, version: int = 4) -> str:
    """A source as text that can be written and compiled: joined, line ends as here, no NUL, no half characters."""
    if isinstance(value, list):
        lines = [line for line in value if isinstance(line, str)]
        split = version < 4 and not any(line.endswith("\n") for line in lines)
        value = ("\n" if split else "").join(lines)
    if not isinstance(value, str):
        return ""
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return re.sub("[\ud800-\udfff]", "\ufffd", value)


def mark_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What nbgrader's metadata of the cell says, as far as it is plain values; {} if there is none."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    if not isinstance(mark, Mapping):
        return {}
    mark = {key: value for key, value in mark.items() if isinstance(key, str) and isinstance(value, (str, bool, int, float))}
    return {key: text_of(value)[:200] if isinstance(value, str) else value for key, value in mark.items()}


def images_of(attachments: Any, room: list[int]) -> dict[str, dict[str, str]]:
    """The attached images, while there is room for them."""
    kept: dict[str, dict[str, str]] = {}
    for name, bundle in attachments.items() if isinstance(attachments, Mapping) else ():
        for mime in IMAGES if isinstance(bundle, Mapping) else ():
            value = bundle.get(mime)
            value = "".join(v for v in value if isinstance(v, str)) if isinstance(value, list) else value
            if isinstance(name, str) and isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+/=\s]+", value) and len(value) <= room[0]:
                kept.setdefault(text_of(name)[:200], {})[mime] = value
                room[0] -= len(value)
    return kept


def valid_id(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is not None
