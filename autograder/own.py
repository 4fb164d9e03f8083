"""A teacher's own checks: `course/NN_name/checks.py`, beside the master that uses them. How to write them: units/README.md.

They are the unit `autograder.units.NAME` wherever they lie: in the course for the grader and for `elbolab`, beside the notebook in a
student's folder. A course counts before what lies beside a notebook, so that no submission brings checks of its own. Student code
runs beside `probes.py` only.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

__all__ = ["FILES", "Broken", "Unit", "course_at", "digest", "files_of", "folders", "hidden", "probes", "problem_of", "units"]

FILES = ("checks.py", "probes.py")
COURSE = "ELBOLAB_COURSE"  # environment variable: the course that counts, wherever the process works
FOLDER = re.compile(r"(\d\d)_([a-z][a-z0-9_]*)")
BESIDE = tuple(f"autograder.{name}" for name in ("exercises.functions", "exercises.recording", "exercises.tables", "probing"))  # for probes
PROBES = re.compile(r"autograder\.units\.\w+\.probes")
PAGE = "autograder/units/README.md says how."


class Broken(Exception):
    """A checks.py that cannot be used. The text says the file, the line where there is one, and what to do."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A folder with checks of its own; with a `problem` instead of exercises where its files cannot be used."""

    number: int
    name: str
    folder: Path
    exercises: tuple[Any, ...] = ()
    problem: str = ""


# --- where they are ------------------------------------------------------------------------------


def course() -> Path | None:
    """The course that is named, or the first one at or above the working folder."""
    here = Path(os.environ.get(COURSE) or working_folder()).resolve()
    return next((f for f in (here, *here.parents) if os.path.isfile(f / "nbgrader_config.py") and os.path.isdir(f / "course")), None)


def working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path("/")


@contextlib.contextmanager
def course_at(root: Path) -> Iterator[None]:
    """Meanwhile the checks of the course in `root`, or above it, are the ones that count; for processes started here, too."""
    before = os.environ.get(COURSE)
    os.environ[COURSE] = str(Path(root).resolve())
    try:
        yield
    finally:
        os.environ.pop(COURSE, None)
        os.environ.update({COURSE: before} if before is not None else {})


def folders() -> tuple[Path, ...]:
    """The folders with a checks.py: those of the course, or without a course the notebook's own."""
    root = course()
    if root is not None:
        return tuple(sorted(path.parent for path in (root / "course").glob("*/checks.py")))
    here = working_folder()
    return (here,) if COURSE not in os.environ and FOLDER.fullmatch(here.name) and os.path.isfile(here / "checks.py") else ()


def named(folder: Path) -> str:
    """The unit's name."""
    match = FOLDER.fullmatch(folder.name)
    return match[2] if match else folder.name


def shown(path: Path) -> str:
    """A path for people: from the course on."""
    root = course()
    return path.relative_to(root).as_posix() if root in path.parents else path.name


def hidden(assignment: str) -> tuple[str, ...]:
    """Files of this assignment that no submission is run beside, whoever brings them: the solutions stand in checks.py."""
    return FILES if any(folder.name == assignment for folder in folders()) else ()


def probes() -> dict[str, Path]:
    """By unit, what is run beside student code."""
    return {named(folder): folder / "probes.py" for folder in folders() if os.path.isfile(folder / "probes.py")}


def files_of(names: Iterable[str] | None = None) -> dict[str, bytes]:
    """The files of these units, or of all, by path: what their verdicts depend on."""
    found = [folder / file for folder in folders() if names is None or named(folder) in names for file in FILES]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found if path.is_file()}


def digest() -> str:
    """Digest of all own checks."""
    every = hashlib.sha256()
    for path, data in files_of().items():
        every.update(f"{path}\0{len(data)}\0".encode() + data)
    return every.hexdigest()


# --- what is in them -----------------------------------------------------------------------------


def units() -> tuple[Unit, ...]:
    """All own units, read anew whenever a file has changed."""
    files = tuple((folder, *(stamp(folder / name) for name in FILES)) for folder in folders())
    return _units(files)


def stamp(path: Path) -> tuple[int, int]:
    return (path.stat().st_mtime_ns, path.stat().st_size) if os.path.isfile(path) else (0, 0)


@lru_cache(maxsize=1)
def _units(files: tuple[tuple[Any, ...], ...]) -> tuple[Unit, ...]:
    import autograder.units

    taken = {found.name for found in pkgutil.iter_modules(autograder.units.__path__)}
    for name in [name for name in sys.modules if name.split(".")[:2] == ["autograder", "units"]]:
        if len(parts := name.split(".")) > 2 and parts[2] not in taken:
            del sys.modules[name]  # of an earlier reading
    found = []
    for folder, *_ in files:
        found.append(unit(folder, taken))
        taken.add(named(folder))
    return tuple(found)


def unit(folder: Path, taken: set[str]) -> Unit:
    """The unit in this folder; `taken` are names that others have."""
    place, name, match = shown(folder / FILES[0]), named(folder), FOLDER.fullmatch(folder.name)
    try:
        if not match:
            raise Broken(f"{place} is not used: a unit's folder has a name like 05_mine. Rename the folder {folder.name}.")
        if name in taken:
            raise Broken(f'{place} is not used: there is another unit "{name}". Rename the folder, and with it the checks.')
        exercises = load(name, folder)
        sound(name, folder, exercises)
        return Unit(int(match[1]), name, folder, exercises)
    except Broken as broken:
        return Unit(int(match[1]) if match else 100, name, folder, problem=str(broken))


class Fresh(SourceFileLoader):
    """Reads the source each time, and leaves no __pycache__ in anybody's folder."""

    def path_stats(self, path: str) -> Any:
        raise OSError


def load(name: str, folder: Path) -> tuple[Any, ...]:
    """What checks.py lists; raises Broken."""
    full = f"autograder.units.{name}"
    package = module(full, folder / "checks.py", [str(folder)])
    try:
        for part in [module(f"{full}.probes", folder / "probes.py")] if (folder / "probes.py").is_file() else []:
            part.__loader__.exec_module(part)
            package.probes = part
        package.__loader__.exec_module(package)
    except (Exception, SystemExit) as error:
        raise Broken(f"{where(error, folder)}: {type(error).__name__}: {text(error)}. "
                     f'Put it right; until then no check of "{name}" can be run.') from error
    return getattr(package, "EXERCISES", None)


def module(full: str, path: Path, inside: list[str] | None = None) -> Any:
    spec = importlib.util.spec_from_file_location(full, path, loader=Fresh(full, str(path)), submodule_search_locations=inside)
    sys.modules[full] = made = importlib.util.module_from_spec(spec)
    return made


def text(error: BaseException) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(said.split())[:300].rstrip(".") or "no message"


def where(error: BaseException, folder: Path) -> str:
    """The file and line of ours that an error came from."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).parent == folder:
        return f"{shown(Path(error.filename))}, line {error.lineno}"
    lines = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == folder]
    return f"{shown(Path(lines[-1].filename))}, line {lines[-1].lineno}" if lines else shown(folder / "checks.py")


def sound(name: str, folder: Path, exercises: Any) -> None:
    """Whether these are exercises of this unit that a submission can be judged by; raises Broken."""
    from autograder.exercises.exercise import Exercise

    path = folder / "checks.py"
    if not isinstance(exercises, (tuple, list)) or not exercises or not all(isinstance(e, Exercise) for e in exercises):
        raise Broken(f"{shown(path)} needs a last line like EXERCISES = (Exercise(...),). {PAGE}")
    names = [e.name for e in exercises]
    for exercise in exercises:
        probe, line = exercise.probe, line_of(path, f'"{exercise.name}"')
        if not re.fullmatch(rf"{name}\.[a-z][a-z0-9_]*", exercise.name):
            raise Broken(f'{line}: the check "{exercise.name}" needs a name like "{name}.something", as the folder is {folder.name}.')
        if names.count(exercise.name) > 1:
            raise Broken(f'{line}: two checks are called "{exercise.name}". Rename one of them.')
        home = getattr(probe, "__module__", "")
        found = getattr(sys.modules.get(home), getattr(probe, "__qualname__", ""), None)
        if found is not probe or not (home in BESIDE or PROBES.fullmatch(home)):
            raise Broken(f'{line}: the probe of "{exercise.name}" is to be a function in probes.py, beside checks.py: '
                         f"no submission is run beside checks.py. {PAGE}")
    if (folder / "probes.py").is_file():
        beside(folder / "probes.py")


def beside(path: Path) -> None:
    """Whether probes.py imports only what is there where submissions run; raises Broken."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            full = "." * node.level + (node.module or "")
            names = [f"{full}.{alias.name}" for alias in node.names] if full in ("autograder", "autograder.exercises") else [full]
        for name in names:
            ours = name.startswith(".") or name.split(".")[0] == "autograder"
            if ours and not PROBES.match(name) and not any(name == there or name.startswith(f"{there}.") for there in BESIDE):
                raise Broken(f"{shown(path)}, line {node.lineno}: {name} is not there where submissions are run. "
                             f"Of the autograder, import only {', '.join(BESIDE)}.")


def line_of(path: Path, words: str) -> str:
    """The file, and the line that has these words."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = next((number for number, line in enumerate(lines, 1) if words in line), None)
    return shown(path) + (f", line {found}" if found else "")


def problem_of(name: str) -> str:
    """Why a unit, or a check of it, cannot be used; "" if nothing is known against it."""
    wanted = name.split(".")[0]
    if all(named(folder) != wanted for folder in folders()):
        return ""
    return next((unit.problem for unit in units() if unit.name == wanted and unit.problem), "")
