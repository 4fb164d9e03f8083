"""From masters to notebooks: lectures, solved exercises, and the student version through nbgrader itself.

A master is a jupytext percent script, `course/NN_name/lecture.py` or `course/NN_name/exercises.py`. From it

    course/NN_name/lecture.ipynb         beside its master
    solutions/NN_name/exercises.ipynb    solved; nbgrader's source folder
    assignments/NN_name/exercises.ipynb  the student version; nbgrader's release folder

are built, all without outputs and byte for byte the same on every run; `lint` says what a master lacks. A teacher's own checks, which
stand beside the master, go with the notebooks: `check` finds them beside the student's notebook.
"""

import hashlib
import json
import logging
import re
import shutil
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import compute_checksum, is_solution
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder import own
from autograder.lint import lint_checks, lint_exercises, lint_frame

__all__ = ["MasterError", "build", "check_built", "leaks", "lint", "student_view", "units_of"]

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CARRIED = ("figures", "data")  # what a unit's notebooks load by relative path; nothing else leaves the course folder
KEPT = "kept"  # where work found in assignments/ goes before a new version is written over it


class MasterError(Exception):
    """A master that no notebook can be made from; the message names the file and says what to change."""


def units_of(root, units=None):
    """The unit folders (NN_name) of a course, sorted; those named in `units` if given."""
    root = Path(root)
    found = sorted(p.name for p in (root / "course").glob("[0-9][0-9]_*") if any(p.glob("*.py")))
    unknown = sorted(set(units or ()) - set(found))
    if unknown:
        raise MasterError(f"No unit {', '.join(unknown)} in {root}/course, which has {', '.join(found) or 'none'}.")
    return [name for name in found if units is None or name in units]


# -- one master, one notebook ------------------------------------------------------------------------------------------


def read_master(path):
    """The solved notebook of a master: no outputs, fixed cell ids, fixed kernel, only metadata that means something."""
    try:
        raw = jupytext.reads(Path(path).read_text(encoding="utf-8"), fmt="py:percent")
    except (ValueError, SyntaxError) as error:
        raise MasterError(f"{path} is no jupytext percent script: {error}") from error
    taken, cells = set(), []
    for cell in raw.cells:
        metadata = {key: cell.metadata[key] for key in ("nbgrader", "tags") if key in cell.metadata}
        new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}.get(cell.cell_type)
        if new is None:
            raise MasterError(f"{path} has a {cell.cell_type} cell; only code and markdown cells are used here.")
        cells.append(new(cell.source, metadata=metadata, id=_cell_id(cell, taken)))
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})
    notebook.nbformat_minor = 5
    return notebook


def _cell_id(cell, taken):
    """The grade_id, else a hash of kind and text: an edit elsewhere in the notebook leaves it as it is."""
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    if not name or name in taken:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        name = next(f"{digest}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000)))
                    if f"{digest}{suffix}" not in taken)
    taken.add(name)
    return name


def _to_text(notebook):
    """What nbformat writes, spelled out, so that its version does not show in the committed files."""
    document = json.loads(nbformat.writes(notebook))
    document["nbformat"], document["nbformat_minor"] = 4, 5
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_to_text(notebook), encoding="utf-8", newline="\n")


# -- the student version -----------------------------------------------------------------------------------------------


def _release(root, stage, unit):
    """Runs nbgrader's generate_assignment on `stage`, with the course's own settings but without its gradebook."""
    config = _nbgrader_settings(root)
    config.merge(Config({"GenerateAssignment": {"no_database": True, "force": True}, "SaveCells": {"enabled": False}}))
    log = logging.Logger("generate_assignment")
    log.addHandler(collected := _Collected())
    coursedir = CourseDirectory(config=config, log=log)
    # Set here and not in the settings: whatever folders the course's own config names, the stage has ours.
    coursedir.root, coursedir.db_url, coursedir.assignment_id = str(stage), "sqlite://", unit
    coursedir.source_directory, coursedir.release_directory = "solutions", "assignments"
    try:
        GenerateAssignment(coursedir=coursedir, config=config, log=log).start()
    except Exception as error:
        reason = next((line for line in reversed(collected.last_lines) if "Error:" in line), str(error))
        raise MasterError(f"nbgrader cannot make the student version of {unit}: {reason}") from error
    released = stage / "assignments" / unit / "exercises.ipynb"
    _write(released, nbformat.read(released, as_version=4))


class _Collected(logging.Handler):
    """Keeps nbgrader's error lines, which hold the reason that its own exception leaves out."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.last_lines = []

    def emit(self, record):
        self.last_lines += record.getMessage().strip().splitlines()


def _nbgrader_settings(root):
    path = Path(root) / "nbgrader_config.py"
    if not path.exists():
        raise MasterError(f"{path} is missing; run this in the root of the course.")
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


def student_view(notebook):
    """[(cell id, text that students may see)] of a solved notebook, by our own reading of the delimiters.

    Written apart from nbgrader's so that the two can be compared: a release shows this text, stubs, and nothing else.
    """
    seen = []
    for cell in notebook.cells:
        lines, hidden = [], False
        for line in cell.source.splitlines():
            if "BEGIN SOLUTION" in line or "BEGIN MARK SCHEME" in line:
                hidden = True
            elif "END SOLUTION" in line or "END MARK SCHEME" in line:
                hidden = False
            elif not hidden:
                lines.append(line)
        answer = cell.cell_type == "markdown" and is_solution(cell)
        seen.append((cell.id, "" if answer else "\n".join(lines)))
    return seen


def leaks(solved, released):
    """Sentences about everything in `released` that is neither open text of `solved` nor a stub. Empty when safe."""
    problems, stub = [], re.compile(r"\s*(# YOUR CODE HERE|raise NotImplementedError|\*Your answer here\.\*)?\s*")
    if [cell.id for cell in solved.cells] != [cell.id for cell in released.cells]:
        problems.append("the cells of the student version are not those of the solved one")
    views = dict(student_view(solved))
    for cell in released.cells:
        # Lines are compared as a sequence, not as a set: a solution line that also stands in open text is no excuse.
        remaining = iter(views.get(cell.id, "").splitlines())
        for line in cell.source.splitlines():
            if not stub.fullmatch(line) and not any(line == open_line for open_line in remaining):
                problems.append(f"cell {cell.id} of the student version shows what is not open text: {line.strip()!r}")
                break
        if cell.get("outputs") or cell.get("attachments"):
            problems.append(f"cell {cell.id} of the student version has outputs or attachments")
    whole = json.dumps(released)
    problems += [f"the student version contains the words {words!r}"
                 for words in ("BEGIN SOLUTION", "END SOLUTION", "MARK SCHEME", "Exemplar, ") if words in whole]
    return problems


# -- all of a course ---------------------------------------------------------------------------------------------------


def _render(root, stage, units):
    """Writes what `units` give into the folder `stage`; raises MasterError rather than release a solution."""
    for unit in units:
        folder = root / "course" / unit
        if (folder / "lecture.py").exists():
            _write(stage / "course" / unit / "lecture.ipynb", read_master(folder / "lecture.py"))
        if not (folder / "exercises.py").exists():
            continue
        solved = read_master(folder / "exercises.py")
        _write(stage / "solutions" / unit / "exercises.ipynb", solved)
        for name in own.FILES if (folder / own.FILES[0]).is_file() else ():
            if (folder / name).is_file():
                shutil.copy(folder / name, stage / "solutions" / unit / name)
        for name in CARRIED:
            if (folder / name).is_dir():
                shutil.copytree(folder / name, stage / "solutions" / unit / name,
                                ignore=shutil.ignore_patterns(".*", "__pycache__"))
        _release(root, stage, unit)
        released = nbformat.read(stage / "assignments" / unit / "exercises.ipynb", as_version=4)
        if found := leaks(solved, released):
            raise MasterError(f"course/{unit}/exercises.py is not released: {found[0]}.")


def _staged_files(stage):
    return sorted(p.relative_to(stage) for p in stage.rglob("*") if p.is_file())


def build(root, units=None, say=print):
    """Writes the notebooks of `units` (all when None) under `root`; returns the paths that changed.

    Nothing is written unless every unit can be. A student version that somebody has worked in is first copied to kept/.
    """
    root, changed = Path(root).resolve(), []
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary).resolve()
        _render(root, stage, units_of(root, units))
        for relative in _staged_files(stage):
            target, content = root / relative, (stage / relative).read_bytes()
            if target.exists() and target.read_bytes() == content:
                continue
            if relative.parts[0] == "assignments" and _worked_in(target):
                say(f"You have worked in {relative}; a copy of it is in {_keep(root, relative)}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            changed.append(target)
    return changed


def _worked_in(path):
    """Whether a released notebook holds more than a release: a run, a saved session, a solution cell that changed."""
    if path.suffix != ".ipynb" or not path.exists():
        return False
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception:  # unreadable is no reason to throw it away
        return True
    return "language_info" in notebook.metadata or any(
        cell.get("outputs") or cell.get("execution_count")
        or is_solution(cell) and cell.metadata.nbgrader.get("checksum") != compute_checksum(cell)
        for cell in notebook.cells)


def _keep(root, relative):
    folder = root / KEPT / relative.parent.relative_to("assignments")
    folder.mkdir(parents=True, exist_ok=True)
    number = next(n for n in range(1, 10_000) if not (folder / f"{relative.stem}-{n}.ipynb").exists())
    shutil.copy2(root / relative, folder / f"{relative.stem}-{number}.ipynb")
    return (folder / f"{relative.stem}-{number}.ipynb").relative_to(root)


def check_built(root, units=None):
    """One sentence for each notebook that is missing, left over, or not what its master gives. Writes nothing."""
    root, problems = Path(root).resolve(), []
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary).resolve()
        names = units_of(root, units)
        _render(root, stage, names)
        staged = _staged_files(stage)
        for relative in staged:
            if not (root / relative).exists():
                problems.append(f"{relative} is missing; run `make notebooks`.")
            elif (root / relative).read_bytes() != (stage / relative).read_bytes():
                problems.append(f"{relative} is not what its master gives; edit the master and run `make notebooks`.")
    for unit in names:
        left = [p.relative_to(root) for top in ("solutions", "assignments") for p in (root / top / unit).rglob("*")
                if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts)]
        problems += [f"{path} has no master; delete it." for path in sorted(left) if path not in staged]
    return problems


def lint(root, units=None):
    """One sentence for each thing that a unit's masters lack, with file and cell. Empty when all is well."""
    with own.course_at(root):
        return [sentence for unit in units_of(root, units) for sentence in _lint_unit(Path(root) / "course" / unit)]


def _lint_unit(folder):
    """As `lint`, of one unit. A teacher's own, with checks of its own, may do without a lecture."""
    has_checks = (folder / own.FILES[0]).is_file()
    problems = lint_checks(folder) if has_checks else []
    for name in ("exercises",) if has_checks and not (folder / "lecture.py").exists() else ("lecture", "exercises"):
        path, place = folder / f"{name}.py", f"course/{folder.name}/{name}.py"
        if not path.exists():
            problems.append(f"{place} is missing.")
            continue
        found = lint_frame(notebook := read_master(path))
        if name == "exercises":
            found += lint_exercises(notebook)
        # What is wrong with checks.py is said once, not for each check that is missing because of it.
        problems += [f"{place}: {sentence}" for sentence in found if not any(said in sentence for said in problems)]
    return problems
