"""Namespaces and limits for the process that runs one submission, straight from the C library.

The process is alone in its process, file-system and IPC namespaces, holds no capability in them, and every limit is hard.
Source: the manual pages namespaces(7), user_namespaces(7), pid_namespaces(7), mount_namespaces(7), capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["HOME", "become_nobody", "drop_capabilities", "enter_namespaces", "fork_leader", "lead_namespaces", "private_folders",
           "set_limits", "tie_to_parent"]

HOME = "/home/student"
NOBODY = 65534
PRIVATE = "/run/private"  # where the submission's own memory-backed file system is put together

NEWNS, NEWIPC, NEWUSER, NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
READ_ONLY, REMOUNT = 1, 32
NOSUID, NODEV, BIND, RECURSIVE, PRIVATE_MOUNT = 2, 4, 4096, 16384, 1 << 18
SET_PDEATHSIG, SET_DUMPABLE, CAPBSET_DROP, SET_NO_NEW_PRIVS, CAP_AMBIENT, CAP_AMBIENT_CLEAR_ALL = 1, 4, 24, 38, 47, 4
JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219}
CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def become_nobody() -> None:
    """Go on as the user and group that own nothing, where a process started by root is told to."""
    if os.getuid() == 0 and os.environ.pop("ELBOLAB_BECOME_NOBODY", None):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _call("prctl", SET_DUMPABLE, 1, 0, 0, 0)  # else /proc/self belongs to root, and no namespace can be set up


def lead_namespaces() -> None:
    """Move this process into a user namespace in which it may make others; its next child leads a process namespace there.

    Raises:
        OSError: the kernel refuses, or there is no /proc.
    """
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", NEWUSER | NEWPID)
    _map_user(uid, gid)


def fork_leader() -> int:
    """Fork a child that is the first process of a process namespace of its own; as os.fork. The caller must be privileged.

    Raises:
        OSError: the kernel refuses.
    """
    own = os.pidfd_open(os.getpid())
    try:
        _call("unshare", NEWPID)
        pid = os.fork()
        if pid:
            _call("setns", own, NEWPID)  # else the next child could not have a namespace of its own
    finally:
        os.close(own)
    return pid


def enter_namespaces(user: bool) -> None:
    """Move this process into a mount and IPC namespace of its own.

    Arguments:
        user: a user namespace, too. It needs /proc; to do without, the process must be privileged.

    Raises:
        OSError: the kernel refuses.
    """
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", NEWNS | NEWIPC | (NEWUSER if user else 0))
    if user:
        _map_user(uid, gid)
    _call("mount", b"none", b"/", None, RECURSIVE | PRIVATE_MOUNT, None)
    if platform.machine() in KEYCTL:  # else the kernel's key store would be shared with the next submission
        _libc.syscall(KEYCTL[platform.machine()], JOIN_SESSION_KEYRING, None)


def _map_user(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def private_folders(size: int, shared: str | None = None, kept: Sequence[str] = ()) -> None:
    """Empty folders, together at most `size` bytes, in place of /tmp, /dev/shm and the home folder.

    Arguments:
        size: in bytes; what is written there is memory.
        shared: a folder of the sandbox that this submission keeps, at the same path, when others are hidden.
        kept: folders below these that stay to be seen, read-only: the course may lie in /tmp or in a home folder of that name.
    """
    _call("mount", b"tmpfs", PRIVATE.encode(), b"tmpfs", NOSUID | NODEV, f"size={size},nr_inodes=20000,mode=755".encode())
    for number, path in enumerate(kept):
        os.mkdir(f"{PRIVATE}/kept{number}")
        _call("mount", path.encode(), f"{PRIVATE}/kept{number}".encode(), None, BIND | RECURSIVE, None)
    for name, target in (("tmp", "/tmp"), ("shm", "/dev/shm"), ("home", HOME)):
        part = f"{PRIVATE}/{name}"
        os.mkdir(part, 0o700)
        _call("mount", part.encode(), target.encode(), None, BIND, None)
    for number, path in enumerate(kept):
        os.mkdir(path)
        _call("mount", f"{PRIVATE}/kept{number}".encode(), path.encode(), None, BIND | RECURSIVE, None)
        for place in (path, f"{PRIVATE}/kept{number}"):
            _call("mount", None, place.encode(), None, BIND | REMOUNT | READ_ONLY | NOSUID | NODEV, None)
    if shared is not None:
        kept = f"{PRIVATE}/shared"
        os.mkdir(kept)
        _call("mount", shared.encode(), kept.encode(), None, BIND, None)
        _call("mount", b"tmpfs", os.path.dirname(shared).encode(), b"tmpfs", NOSUID | NODEV, b"size=64k")
        os.mkdir(shared)
        _call("mount", kept.encode(), shared.encode(), None, BIND, None)


def drop_capabilities() -> None:
    """Give up every capability, for this process and all that it starts."""
    _call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for number in range(LAST_CAPABILITY + 1):
        _libc.prctl(CAPBSET_DROP, number, 0, 0, 0)  # those that this kernel does not know are refused
    _libc.prctl(CAP_AMBIENT, CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def tie_to_parent() -> None:
    """This process ends when its parent does."""
    _call("prctl", SET_PDEATHSIG, 9, 0, 0, 0)


def set_limits(limits: dict[str, Any], processes: bool) -> None:
    """Hard limits for this process and what it starts.

    Arguments:
        limits: `memory` and `disk` in bytes, `processes`, `cpu_seconds`; see `autograder.grading.sandbox.Limits`.
        processes: whether processes are counted for this submission alone (in a namespace of its own).
    """
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if os.path.exists("/proc/self/statm") else 6 << 30
    wanted = {
        "RLIMIT_AS": own + limits["memory"],  # torch alone maps some gigabytes that it never touches
        "RLIMIT_FSIZE": limits["disk"],
        "RLIMIT_CPU": limits["cpu_seconds"],
        "RLIMIT_NOFILE": 1024,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if processes:
        wanted["RLIMIT_NPROC"] = limits["processes"]
    for name, value in wanted.items():
        if (number := getattr(resource, name, None)) is not None:
            hard = resource.getrlimit(number)[1]
            value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
            resource.setrlimit(number, (value, value))
