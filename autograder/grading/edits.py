"""What became of the text of a test or a question: an edit that explains itself, or one that a person should look at."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from typing import Any, NamedTuple

from autograder.grading.matching import given, locked, same_text

__all__ = ["Edit", "edit_of", "how_edited"]

MAX_COMPARED = 20_000  # characters of a test; longer ones are not taken apart
NOISE = {tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}
ENDS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
HARMLESS = ("print", "display", "check", "hint", "progress", "help")
MAGIC = re.compile(r"^\s*%{1,2}(?:time|timeit|prun)\b *|^\s*%(?:matplotlib|load_ext|autoreload|debug|pdb)\b.*$", re.M)


class Edit(NamedTuple):
    """Whether it explains itself, what it is, and whether there may be work of the student's in it."""

    honest: bool
    how: str
    work: bool = False


def edit_of(cell: dict[str, Any], text: str) -> Edit | None:
    """What became of a locked cell; None if nothing, or if it is not locked."""
    if not locked(cell) or same_text(cell["source"], text):
        return None
    return how_edited(given(cell), text, cell["cell_type"])


def how_edited(before: str, after: str, kind: str) -> Edit | None:
    """What was done to a text; None if nothing was."""
    if same_text(before, after):
        return None
    if "".join(before.split()) == "".join(after.split()) and kind != "code":
        return Edit(True, "only space or line ends differ")
    if not after.strip():
        return Edit(True, "it was emptied")
    if kind != "code":
        return Edit(True, "something was written into it", work=True)
    if lines_of(before) == lines_of(after) and not before.strip().startswith("#"):
        return Edit(True, "only space differs, or lines of it were commented out")
    ours, theirs = statements(before), statements(after)
    if ours is None or theirs is None:
        return Edit(False, "its text differs", work=True)
    if not theirs:
        return Edit(True, "it was commented out")
    if ours == theirs:
        return Edit(True, "only comments, magics or layout differ")
    if without_seeds(ours) == without_seeds(theirs):
        return Edit(True, "only a seed differs")
    added = beside(ours, theirs)
    if added is not None and all(harmless(statement) for statement in added):
        return Edit(True, "a line that shows or checks something was added")
    return Edit(False, "statements were added" if added is not None else "its statements differ", work=True)


def lines_of(text: str) -> list[str]:
    """The lines without space and without # at their begin."""
    lines = (re.sub(r"^[\s#]+", "", line) for line in text.split("\n"))
    return [re.sub(r"\s+", "", line) for line in lines if line.strip()]


def statements(text: str) -> list[tuple[str, ...]] | None:
    """The tokens of each line of Python, without comments and layout; None if it is none."""
    if len(text) > MAX_COMPARED:
        return None
    text = MAGIC.sub("", text)
    found: list[tuple[str, ...]] = []
    line: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in ENDS:
                found += [tuple(line)] if line else []
                line = []
            elif token.type not in NOISE:
                if token.string in ")]}" and line and line[-1] == ",":
                    line.pop()
                line.append(unquoted(token.string) if token.type == tokenize.STRING else token.string)
    except (tokenize.TokenError, SyntaxError):
        return None
    return found + ([tuple(line)] if line else [])


def unquoted(text: str) -> str:
    """A string in double quotes, where only the quotes may differ."""
    plain = re.fullmatch(r"""('{3}|"{3}|'|")([^\\'"]*)\1""", text)
    return f'"{plain.group(2)}"' if plain else text


def without_seeds(lines: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The same with one number in place of every seed."""
    found = []
    for line in lines:
        near = ["".join(line[max(0, at - 2) : at]).lower() for at in range(len(line))]
        found.append(tuple("0" if token.isdigit() and re.search(r"seed[(=]$", near[at]) else token for at, token in enumerate(line)))
    return found


def beside(ours: list[tuple[str, ...]], theirs: list[tuple[str, ...]]) -> list[tuple[str, ...]] | None:
    """What `theirs` has besides all of `ours` in order; None if it does not have all of it."""
    left, added = list(reversed(ours)), []
    for line in theirs:
        if left and line == left[-1]:
            left.pop()
        else:
            added.append(line)
    return None if left else added


def harmless(line: tuple[str, ...]) -> bool:
    """A call that shows or checks something, an import, or a name alone."""
    if line[0] in ("import", "from") or (line[0] in HARMLESS and line[1:2] == ("(",)):
        return True
    return len(line) == 1 and line[0].isidentifier() and not keyword.iskeyword(line[0])
