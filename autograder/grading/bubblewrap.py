"""bubblewrap: its command line, and which kind of sandbox works on this machine.

Source: bwrap(1).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from autograder import own
from autograder.inside.isolate import HOME, PRIVATE

__all__ = ["KERNELS", "Mode", "SandboxError", "bwrap_command", "environment", "find_mode"]

COVERED = ("/tmp", "/dev/shm", HOME)  # folders that each submission has for itself
KERNELS = "/run/kernels"  # in a sandbox: the folder of its Jupyter kernels' sockets


class SandboxError(Exception):
    """This machine's trouble, never a submission's. The text says what to do."""


@dataclass(frozen=True)
class Mode:
    """How bubblewrap works on this machine.

    Arguments:
        user: "namespace" (a user namespace of its own) or "nobody" (started by root, goes on as nobody).
        proc: "own" (a /proc of its own) or "none" (an empty one).
    """

    user: str
    proc: str


# --- what a sandbox sees -------------------------------------------------------------------------


@functools.cache
def visible_paths() -> tuple[tuple[str, str], ...]:
    """(option, path) of what is shown read-only, besides what `bwrap_command` writes out."""
    system = ["/usr", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/fonts", "/etc/localtime", "/etc/alternatives"]
    system += [p for p in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store") if os.path.isdir(p)]
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sysconfig.get_path("stdlib")}
    python |= {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    python |= {os.path.realpath(p) for p in list(python)}
    # An environment may be a link, or its interpreter one to somewhere else.
    python |= {str(Path(os.path.realpath(sys.executable)).parent.parent)}
    library = {str(Path(importlib.util.find_spec("elbolab").origin).parent)}
    paths = [p for p in [*system, *sorted(python | library)] if os.path.lexists(p)]
    return tuple(("--ro-bind", p) for p in paths if p not in ("/", os.path.expanduser("~")))


def own_files() -> list[str]:
    """The files of this package that student code runs beside: no judge, no solution, no mistake."""
    package = Path(__file__).parent.parent
    shared = [package / name for name in ("__init__.py", "border.py", "channel.py", "probing.py", "timing.py", "inside")]
    shared += [package / "exercises" / name for name in ("__init__.py", "functions.py", "recording.py", "tables.py")]
    return [str(path) for path in (*shared, package / "units" / "__init__.py", *probes())]


def probes() -> list[Path]:
    """What runs beside student code of each unit."""
    return sorted(path for name in ("__init__.py", "probes.py") for path in (Path(__file__).parents[1] / "units").glob(f"*/{name}"))


def kept_folders() -> list[str]:
    """What is to be seen below a folder that each submission has for itself."""
    paths = [Path(path) for path in [*(path for _, path in visible_paths()), *own_files()]]
    return sorted({str(Path(top, path.relative_to(top).parts[0])) for top in COVERED for path in paths if Path(top) in path.parents})


def parents_of(paths: list[str]) -> list[str]:
    """Every folder above these paths, outermost first."""
    above = {str(parent) for path in paths for parent in Path(path).parents if str(parent) != "/"}
    return sorted(above, key=lambda p: (p.count("/"), p))


def bwrap_command(mode: Mode, disk: int) -> list[str]:
    """bubblewrap's command line up to the program."""
    package = str(Path(__file__).parent.parent)
    files = {path: path for path in own_files()} | {f"{package}/units/{name}/probes.py": str(path) for name, path in own.probes().items()}
    command = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent",
               "--new-session", "--hostname", "elbolab", "--clearenv"]
    if mode.user == "namespace":
        command += ["--unshare-user"]
        if mode.proc == "none":  # to give each child its namespaces; it is dropped there
            command += ["--cap-add", "CAP_SYS_ADMIN"]
    else:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    command += ["--dev", "/dev"]
    for folder in COVERED:  # first, as the course may lie in one of them
        command += ["--size", str(disk), "--perms", "1777", "--tmpfs", folder]
    shown = [path for _, path in visible_paths()]
    # bwrap makes missing parents for their owner alone, which nobody could pass.
    for folder in parents_of([*shown, *files, HOME, PRIVATE, KERNELS, "/tmp/x", "/var/tmp/x"]):
        if not any(folder == p or folder.startswith(p + "/") for p in shown) and not os.path.islink(folder):
            command += ["--perms", "0755", "--dir", folder]
    for option, path in visible_paths():
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += [option, path, path]
    command += ["--perms", "0755", "--tmpfs", package]
    for folder in parents_of(list(files)):
        if folder.startswith(package + "/"):
            command += ["--perms", "0755", "--dir", folder]
    for place, path in files.items():
        command += ["--ro-bind", path, place]
    command += ["--remount-ro", package]
    command += ["--proc", "/proc"] if mode.proc == "own" else ["--perms", "0555", "--dir", "/proc"]
    command += ["--perms", "0755", "--dir", PRIVATE, "--size", str(1 << 20), "--perms", "1777", "--tmpfs", KERNELS]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    if mode.user == "nobody":
        command += ["--setenv", "ELBOLAB_BECOME_NOBODY", "1"]
    return [*command, "--chdir", HOME]


def environment() -> dict[str, str]:
    """All environment variables of student code."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")}
    return {
        **threads, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": HOME, "USER": "student", "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "/tmp/matplotlib", "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "IPYTHONDIR": "/tmp/ipython", "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",
        "ELBOLAB_FAST": "1", "ELBOLAB_GRADING": "sandbox",
    }


# --- which kind of sandbox works here ------------------------------------------------------------


@functools.cache
def find_mode() -> Mode:
    """The strictest mode that works on this machine.

    Raises:
        SandboxError: none does.
    """
    if sys.platform != "linux":
        raise SandboxError(f"There is no sandbox on {sys.platform}: it needs Linux and bubblewrap. {ACCEPT}")
    if shutil.which("bwrap") is None:
        raise SandboxError(f"There is no sandbox: bubblewrap is not installed. {INSTALL} {ACCEPT}")
    said = ""
    users = ("nobody", "namespace") if os.getuid() == 0 else ("namespace",)
    for proc in ("own", "none"):
        for user in users if proc == "own" else users[::-1]:
            said = try_mode(Mode(user, proc))
            if not said:
                return Mode(user, proc)
    raise SandboxError(f"There is no sandbox: bubblewrap does not start here ({said}). {WHY_NOT} {ACCEPT}")


INSTALL = "Debian, Ubuntu: apt install bubblewrap. Fedora: dnf install bubblewrap."
ACCEPT = "`elbolab doctor` says more. To run submissions with your own rights all the same: --no-sandbox."
WHY_NOT = "It needs unprivileged user namespaces: allow them (in Docker: --security-opt seccomp=unconfined), or grade outside it."


def try_mode(mode: Mode) -> str:
    """Start this Python in a sandbox of this mode; what went wrong, or ""."""
    code = "from autograder.inside import isolate; isolate.become_nobody(); open('/tmp/x', 'w').close()"
    try:
        command = [*bwrap_command(mode, 1 << 20), sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
