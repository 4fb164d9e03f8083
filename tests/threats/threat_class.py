"""A small course with secrets in and around it, a class that hands in the corpus, and what a grading run did to all of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from corpus.attack import Attack, Kit

from autograder import masters

__all__ = ["LIMITS", "UNIT", "Classroom", "Watch", "digest_of", "kit_of_nowhere", "released_cells", "student_of"]

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = "01_small"
# Short, as some of the class never end; long enough for the others where tests of another worker share the processors.
LIMITS = {"cell_seconds": 6.0, "probe_seconds": 6.0, "grace": 4.0, "notebook_seconds": 180.0, "memory": 1 << 30, "disk": 64 << 20}
MASTER = (Path(__file__).parent / "small_unit.txt").read_text(encoding="utf-8")

# The grader, as `elbolab grade` runs it, with shorter limits.
GRADER = """\
import json, sys
from pathlib import Path

from autograder.grading.pipeline import grade_class
from autograder.grading.sandbox import Limits
from autograder.grading.table import Progress, print_summary

if __name__ == "__main__":
    root, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    limits = Limits(**options.pop("limits"))
    summaries = grade_class(root, "01_small", limits=limits, progress=Progress(sys.stdout), **options)
    for summary in summaries:
        print_summary(root, summary)
    sys.exit(max(summary.exit_code for summary in summaries))
"""


def student_of(attack: Attack) -> str:
    """The student's name. It begins with two digits that mix the class: classes are graded in the order of names."""
    return attack.student or f"{zlib.crc32(attack.name.encode()) % 100:02d}_{attack.name}"


@dataclass
class Run:
    """What one run of the grader said, and how it went."""

    code: int
    said: str
    watch: Watch


@dataclass
class Graded:
    """One submission after grading."""

    notebook: Any
    points: tuple[float | None, ...]
    text: str  # the executed notebook as it stands on disk
    record: str


@dataclass
class Watch:
    """Every process that the grader starts, and the most memory that one outside the sandbox takes."""

    seen: dict[int, psutil.Process] = field(default_factory=dict)
    grader_bytes: int = 0

    def follow(self, pid: int, done: threading.Event) -> None:
        while not done.wait(0.2):
            try:
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.Error:
                return
            for process in family:
                self.seen.setdefault(process.pid, process)
                try:
                    if "autograder.inside" not in " ".join(process.cmdline()):
                        self.grader_bytes = max(self.grader_bytes, process.memory_info().rss)
                except psutil.Error:
                    continue

    def left_over(self) -> list[str]:
        """Processes of the run that are still alive a moment later: the seen ones, and those that carry the corpus' marks."""
        marked = [p for p in psutil.process_iter(["name", "cmdline"]) if p.info["name"] == "elbothreat" or "98765" in (p.info["cmdline"] or [])]
        _, alive = psutil.wait_procs([*self.seen.values(), *marked], timeout=5)
        return [str(process) for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


class Classroom:
    """The course, in `folder`.

    Arguments:
        folder: an empty one.
        token: what all secrets of this run hold; a new one when left out.
    """

    def __init__(self, folder: Path, token: str | None = None):
        self.folder, self.token = folder, token or secrets.token_hex(8)
        self.root, self.home, self.outside = folder / "course", folder / "home", folder / "outside"
        for place in (self.root, self.home, self.outside):
            place.mkdir(parents=True)
        self.build()
        self.hide_secrets()
        self.places = self.all_places()
        self.released = nbformat.read(self.root / "assignments" / UNIT / "exercises.ipynb", as_version=4)

    def canary(self, kind: str) -> str:
        return f"canary-{kind}-{self.token}"

    def build(self) -> None:
        """Masters, solved and student notebooks, and the assignment in the gradebook."""
        unit = self.root / "course" / UNIT
        unit.mkdir(parents=True)
        text = MASTER.replace("CANARY_SOLUTION", self.canary("solutions")).replace("CANARY_SCHEME", self.canary("scheme"))
        (unit / "exercises.py").write_text(text, encoding="utf-8")
        (unit / "lecture.py").write_text("# %% [markdown]\n# # 1 · Small: lecture\n", encoding="utf-8")
        (unit / "notes_for_teachers.txt").write_text(self.canary("masters"))
        shutil.copy(REPOSITORY / "nbgrader_config.py", self.root)
        masters.build(self.root, say=lambda line: None)
        subprocess.run([sys.executable, "-m", "nbgrader", "generate_assignment", UNIT], cwd=self.root, check=True, capture_output=True,
                       env=environment(), timeout=300)
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}") as gradebook:
            gradebook.add_student("nobody", last_name=self.canary("gradebook"))

    def hide_secrets(self) -> None:
        """What lies around on a teacher's machine."""
        for name in (".secret", ".ssh/id_rsa", ".netrc", ".ipython/profile_default/startup/00.py", ".bash_history", "notes.txt"):
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {self.canary('home')}\n")
        (self.outside / "secret.txt").write_text(self.canary("outside"))
        self.kept = Path(tempfile.mkdtemp(prefix="elbolab-kept-")) / "kept.txt"
        self.kept.write_text(self.canary("tmp"))
        # Another process, with a secret in its environment and one in its command line; it hears what is sent to it.
        self.heard: list[str] = []
        self.victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", self.canary("cmdline")],
                                       env={"SECRET": self.canary("environment")}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.listeners = [self.listen(socket.AF_INET, ("127.0.0.1", 0)), self.listen(socket.AF_UNIX, f"\0elbolab-{self.token}"),
                          self.listen(socket.AF_UNIX, str(self.kept.parent / "socket"))]

    def listen(self, family: int, address: Any) -> socket.socket:
        """A socket that notes whoever connects."""
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen(16)

        def hear() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                self.heard.append(str(address))
                connection.close()

        threading.Thread(target=hear, daemon=True).start()
        return listener

    def all_places(self) -> dict[str, Any]:
        """Where all of this is. The corpus knows it; the secrets themselves it does not know."""
        root = self.root
        places = {
            "course": root, "home": self.home, "outside": self.outside, "gradebook": root / "gradebook.db", "submitted": root / "submitted",
            "graded": root / "autograded", "records": root / ".elbolab" / "grading", "solutions": root / "solutions" / UNIT / "exercises.ipynb",
            "solutions_folder": root / "solutions", "masters": root / "course" / UNIT / "exercises.py", "masters_folder": root / "course",
            "other": root / "submitted" / student_of(Attack("honest_solved", "", None, (), "")) / UNIT / "exercises.ipynb",
            "repository": REPOSITORY, "secret": self.home / ".secret", "tmp": self.kept, "tmp_folder": Path(tempfile.gettempdir()),
            "socket": self.kept.parent / "socket", "abstract": f"elbolab-{self.token}",
        }
        return {k: str(v) for k, v in places.items()} | {"pid": self.victim.pid, "port": self.listeners[0].getsockname()[1]}

    def hand_in(self, attacks: Iterable[Attack]) -> None:
        """Put every submission where nbgrader finds it."""
        kit = Kit(self.released, self.places)
        for attack in attacks:
            folder = self.root / "submitted" / student_of(attack) / UNIT
            folder.mkdir(parents=True)
            made = attack.make(kit)
            if callable(made):
                made(folder)
            elif isinstance(made, bytes):
                (folder / "exercises.ipynb").write_bytes(made)
            else:
                (folder / "exercises.ipynb").write_text(nbformat.writes(made).replace("CANARY", self.canary("submission")), encoding="utf-8")

    def unlock(self) -> None:
        """Let everybody read and write everything: no permission does the sandbox's work."""
        for path in [self.folder, *self.folder.rglob("*"), self.kept.parent, self.kept]:
            if not path.is_symlink() and path.stat().st_mode & 0o777:
                path.chmod(0o777 if path.is_dir() else 0o666)

    def grade(self, **options: Any) -> Run:
        """One run of the grader over the class."""
        options = {"jobs": 2, "limits": LIMITS, **options}
        script = self.folder / "grader.py"
        script.write_text(GRADER)
        # Matplotlib, which draws for the feedback, would make folders in the home.
        extra = {"HOME": str(self.home), "MPLCONFIGDIR": str(self.folder / "matplotlib"),
                 "ELBOLAB_CANARY": self.canary("grader"), "PGPASSWORD": self.canary("password")}
        watch, done = Watch(), threading.Event()
        with open(self.folder / "said.txt", "w+b") as said:
            grader = subprocess.Popen([sys.executable, str(script), str(self.root), json.dumps(options), self.canary("arguments")],
                                      env=environment(**extra), cwd=self.root, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            follower = threading.Thread(target=watch.follow, args=(grader.pid, done))
            follower.start()
            try:
                code = grader.wait(3600)
            finally:
                grader.kill()
                done.set()
                follower.join()
            said.seek(0)
            return Run(code, said.read().decode(errors="replace"), watch)

    def graded(self, attack: Attack, cells: tuple[str, ...]) -> Graded:
        """What came of one submission: its executed notebook and its points in the gradebook."""
        from nbgrader.api import Gradebook

        student = student_of(attack)
        text = (self.root / "autograded" / student / UNIT / "exercises.ipynb").read_text(encoding="utf-8")
        record = (self.root / ".elbolab" / "grading" / UNIT / student / "record.json").read_text(encoding="utf-8")
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}") as gradebook:
            grades = {g.name: g.auto_score for g in gradebook.find_submission_notebook("exercises", UNIT, student).grades}
        return Graded(nbformat.reads(text, as_version=4), tuple(grades.get(c) for c in cells), text, record)

    def snapshot(self) -> dict[str, str]:
        """Digests of all that no submission may change."""
        own = ("gradebook.db", "gradebook.db-journal", "autograded", ".elbolab")
        course = {p.name: digest_of(p) for p in self.root.iterdir() if p.name not in own and not p.name.endswith(".log")}
        others = {"home": self.home, "outside": self.outside, "kept": self.kept.parent, "autograder": REPOSITORY / "autograder",
                  "library": REPOSITORY / "lib", "packages": Path(sysconfig.get_path("purelib"))}
        return {**course, **{name: digest_of(path, by_time=name == "packages") for name, path in others.items()}}

    def leaks(self, text: str) -> set[str]:
        """The kinds of secrets that stand in a text."""
        return set(re.findall(rf"canary-(\w+)-{self.token}", text))

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for listener in self.listeners:
            listener.close()
        for folder in (self.kept.parent, self.folder):
            shutil.rmtree(folder, ignore_errors=True)


def released_cells() -> list[Any]:
    """The cells of the unit with stubs for solutions; what nbgrader generates differs in nothing that the corpus changes."""
    import jupytext

    cells = jupytext.reads(MASTER, fmt="py:percent").cells
    for cell in cells:
        cell.source = re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "raise NotImplementedError", cell.source, flags=re.S)
    return cells


def kit_of_nowhere() -> Kit:
    """A kit whose student version was made here, and whose places are nowhere."""
    keys = ("course", "home", "outside", "gradebook", "submitted", "graded", "records", "solutions", "solutions_folder", "masters",
            "masters_folder", "other", "repository", "secret", "tmp", "tmp_folder", "socket", "abstract")
    places = {key: f"/nowhere/{key}" for key in keys} | {"pid": 1, "port": 1}
    return Kit(nbformat.v4.new_notebook(cells=released_cells()), places)


def environment(**extra: str) -> dict[str, str]:
    """This process' environment, the checkout importable, nothing of a notebook server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "NBGRADER_", "ELBOLAB_"))}
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "lib"), kept.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**kept, "PYTHONPATH": path, **extra}


def digest_of(path: Path, by_time: bool = False) -> str:
    """A digest of a file, or of all below a folder: names, kinds, and contents (or, of many, sizes and times)."""
    digest = hashlib.sha256()
    for item in sorted([path, *path.rglob("*")]):
        if "__pycache__" in item.parts or not item.is_symlink() and not item.exists():
            continue
        status = item.lstat()
        digest.update(f"{os.fsencode(item.relative_to(path))!r} {status.st_mode} ".encode())
        if by_time:
            digest.update(f"{status.st_size if item.is_file() else 0}".encode())
        elif item.is_symlink():
            digest.update(os.fsencode(os.readlink(item)))
        elif item.is_file():
            digest.update(item.read_bytes() if os.access(item, os.R_OK) else b"?")
    return digest.hexdigest()
