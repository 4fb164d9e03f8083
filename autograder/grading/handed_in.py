"""What a student handed in, read so that nothing in the folder can lead out of it, block, or fill the memory."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["HandedIn", "Unsafe", "files_below", "open_file", "read_submission"]

NOTEBOOK_BYTES = 256 << 20
EXTRA_BYTES = 10 << 20  # of all other files together: they go with the notebook to whatever machine runs it
ENTRIES = 2000
DEPTH = 12
TIMESTAMP = "timestamp.txt"
AGAIN = "It is graded as unanswered and stays on disk as it was handed in; with a readable file in its place, run `elbolab grade` again."


class Unsafe(OSError):
    """Something that is not opened: a link, a pipe, a device, a file that is too large."""


@dataclass(frozen=True)
class HandedIn:
    """A submission as it lies on disk.

    Arguments:
        notebooks: {name without .ipynb: the file's bytes, or None where there is none to read}
        files: {path: bytes} of the other files, for the code to run beside.
        notes: {notebook: what the teacher should know}, as `intake.Note`.
        timestamp: the text of timestamp.txt, "" if there is none.
        digest: of all that.
    """

    notebooks: dict[str, bytes | None]
    files: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    timestamp: str = ""
    digest: str = ""


def read_submission(folder: Path, names: Sequence[str], ignore: Sequence[str] = ()) -> HandedIn:
    """The notebooks `names` and the other files in `folder`; raises OSError if the folder itself cannot be read."""
    found, odd = files_below(folder, ignore)
    notes = [note("extra", False, f"{path} {why}; it was left out.") for path, why in odd.items() if not path.endswith(".ipynb")]
    chosen = {name: choose(name, list(found), odd, alone=len(names) == 1) for name in names}
    notebooks, own = {}, {}
    for name, (path, remarks) in chosen.items():
        notebooks[name] = None
        if path is not None:
            try:
                notebooks[name] = read_file(folder / path, NOTEBOOK_BYTES)
            except OSError as error:
                remarks = [*remarks, note("unreadable", True, f"The file {path} cannot be read: {reason(error)}. {AGAIN}")]
        own[name] = remarks
    timestamp, remarks = read_timestamp(folder, TIMESTAMP in found, odd.get(TIMESTAMP))
    files, left_out = read_extras(folder, {p: s for p, s in found.items() if not p.endswith(".ipynb") and p != TIMESTAMP})
    shared = [*notes, *remarks, *left_out]
    digest = digest_of(notebooks, files, timestamp, {p: s for p, s in found.items() if p not in files}, odd)
    return HandedIn(notebooks, files, {name: (*own[name], *shared) for name in names}, timestamp, digest)


def note(kind: str, honest: bool, sentence: str) -> Any:
    from autograder.grading.intake import Note

    return Note(kind, None, honest, sentence)


# --- finding the files ---------------------------------------------------------------------------


def files_below(folder: Path, ignore: Sequence[str] = ()) -> tuple[dict[str, int], dict[str, str]]:
    """({path: size} of the regular files, {path: why} of what is none), by paths relative to `folder`; links are never followed."""
    if stat.S_ISLNK(os.lstat(folder).st_mode):
        raise Unsafe(errno.ELOOP, "it is a link to somewhere else")
    files: dict[str, int] = {}
    odd: dict[str, str] = {}
    for number, (path, entry) in enumerate(walk(str(folder), "", ignore)):
        if number >= ENTRIES:
            odd["..."] = f"stands for all beyond the first {ENTRIES} files"
            break
        if not printable(path):
            odd[path.encode(errors="replace").decode()] = "has a name that is no text"
        elif entry is None:
            odd[path] = "is a folder that cannot be opened or lies too deep"
        elif entry.is_symlink():
            odd[path] = "is a link"
        elif not entry.is_file(follow_symlinks=False):
            odd[path] = "is neither a file nor a folder"
        else:
            files[path] = entry.stat(follow_symlinks=False).st_size
    return files, odd


def walk(folder: str, inside: str, ignore: Sequence[str], depth: int = 0) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
    """(relative path, entry) of all below the folder but folders; None for a folder that is not entered."""
    try:
        with os.scandir(folder) as entries:
            sorted_entries = sorted(entries, key=lambda e: (not e.name.lower().endswith(".ipynb"), e.name))
    except OSError:
        if not inside:
            raise
        yield inside.rstrip("/"), None
        return
    for entry in sorted_entries:
        if any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignore):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield inside + entry.name, entry
        elif depth < DEPTH:
            yield from walk(entry.path, f"{inside}{entry.name}/", ignore, depth + 1)
        else:
            yield inside + entry.name, None


def printable(name: str) -> bool:
    """Whether the name is text: names on Linux are bytes, and Python shows those that are no UTF-8 as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def choose(name: str, paths: list[str], odd: dict[str, str], alone: bool) -> tuple[str | None, list[Any]]:
    """The path of the notebook `name`, or None, and notes: a wrong name is an honest slip if it is clear which file is meant."""
    wanted = f"{name}.ipynb"
    # Browsers name downloads so.
    endings = (".ipynb", ".ipynb.json", ".ipynb.txt")
    notebooks = [p for p in paths if p.lower().endswith(endings) and not p.rsplit("/", 1)[-1].startswith(".")]
    if wanted in notebooks:
        return wanted, []
    same_name = [p for p in notebooks if p.rsplit("/", 1)[-1] == wanted]
    alike = [p for p in notebooks if p.rsplit("/", 1)[-1].casefold().startswith(name.casefold())]
    choices = (same_name, alike, notebooks) if alone else (same_name,)
    found = next((c[0] for c in choices if len(c) == 1), None)
    if wanted in odd:
        return None, [note("unreadable", False, f"The file {wanted} cannot be read: it {odd[wanted]}. {AGAIN}")]
    if found is not None:
        return found, [note("renamed", True, f"The notebook was handed in as {found}; it was graded as {wanted}.")]
    what = f"what was handed in is {listed([*paths, *odd])}" if paths or odd else "the folder is empty"
    return None, [note("unreadable", True, f"There is no {wanted}: {what}. {AGAIN}")]


def listed(names: list[str], most: int = 5) -> str:
    return ", ".join(sorted(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# --- reading them --------------------------------------------------------------------------------


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path`, open for reading; raises OSError, and Unsafe for what is none."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unsafe(errno.EINVAL, "it is not a file")
        yield file


def read_file(path: Path, limit: int) -> bytes:
    """The file's bytes; raises OSError, and Unsafe if there are more than `limit`."""
    with open_file(path) as file:
        data = file.read(limit + 1)
        size = os.fstat(file.fileno()).st_size
    if len(data) > limit:
        raise Unsafe(errno.EFBIG, f"it has {size >> 20} MB, more than {limit >> 20}; are there large outputs to clear?")
    return data


def reason(error: OSError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, Unsafe) else f"it cannot be opened ({error.strerror})"


def read_timestamp(folder: Path, there: bool, odd: str | None) -> tuple[str, list[Any]]:
    """The text of timestamp.txt, "" if there is none that can be read as a time, and notes."""
    if not there and odd is None:
        return "", []
    try:
        text = "" if odd else read_file(folder / TIMESTAMP, 200).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if text and parse_time(text) is not None:
        return text, []
    said = "timestamp.txt holds no time that can be read, so the submission counts as handed in on time."
    return "", [note("timestamp", True, said)]


def parse_time(text: str) -> Any:
    """The time as nbgrader reads it (naive, UTC), or None."""
    from nbgrader.utils import parse_utc

    try:
        return parse_utc(text) if text and len(text) <= 100 else None
    except Exception:  # dateutil raises many kinds for what is no time
        return None


def read_extras(folder: Path, sizes: dict[str, int]) -> tuple[dict[str, bytes], list[Any]]:
    """({path: bytes} up to EXTRA_BYTES in all, notes on those that do not fit)."""
    files: dict[str, bytes] = {}
    notes, left = [], EXTRA_BYTES
    for path, size in sizes.items():
        try:
            if size > left:
                raise Unsafe(errno.EFBIG, f"the files beside the notebook have more than {EXTRA_BYTES >> 20} MB")
            files[path] = read_file(folder / path, left)
            left -= len(files[path])
        except OSError as error:
            notes.append(note("extra", True, f"{path} was not there when the notebook ran: {reason(error)}."))
    return files, notes


def digest_of(notebooks: dict[str, bytes | None], files: dict[str, bytes], timestamp: str, rest: dict[str, int],
              odd: dict[str, str]) -> str:
    """Changes whenever something that grading reads changes; of files that were not read, only the sizes count."""
    digest = hashlib.sha256(timestamp.encode())
    for kind, contents in (("notebook", notebooks), ("file", files)):
        for name, data in sorted(contents.items()):
            digest.update(f"\0{kind}\0{name}\0{-1 if data is None else len(data)}\0".encode() + (data or b""))
    digest.update(repr((sorted(rest.items()), sorted(odd.items()))).encode(errors="replace"))
    return digest.hexdigest()
