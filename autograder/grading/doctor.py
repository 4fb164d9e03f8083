"""`elbolab doctor`: what this machine has for grading, what each missing part costs, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from autograder.grading.sandbox import Limits, Sandbox, SandboxError, find_mode

__all__ = ["run"]

GOOD, WEAK, BAD = "ok  ", "weak", "BAD "
Finding = tuple[str, str, str]  # how it is, what it is about, what it means


def run() -> int:
    """Print the findings; 0 if submissions can be graded in a sandbox here, else 1."""
    bad = False
    for state, subject, meaning in findings():
        bad |= state == BAD
        print(f"{state}  {subject:<22} {meaning}", flush=True)
    print("\nNot ready: see the lines marked BAD." if bad else "\nReady to grade: elbolab grade")
    return 1 if bad else 0


def findings() -> Iterator[Finding]:
    """All that matters for grading, the most important first."""
    who = "root" if hasattr(os, "getuid") and os.getuid() == 0 else "an ordinary user"
    yield GOOD, "system", f"{sys.platform}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, as {who}"
    yield from sandbox_findings()
    for package, what, how in (
        ("distributed", "grading on many machines (--cluster)", 'pip install "elbolab[cluster]"'),
        ("psycopg2", "a gradebook in PostgreSQL", 'pip install "elbolab[postgres]"'),
    ):
        found = importlib.util.find_spec(package) is not None
        yield GOOD if found else WEAK, package, f"installed: {what}" if found else f"not installed; only needed for {what}: {how}"


def sandbox_findings() -> Iterator[Finding]:
    """Is there bubblewrap, how does it work here, does the warm parent start in it?"""
    program = shutil.which("bwrap")
    if program:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        yield GOOD, "bubblewrap", version or program
    try:
        mode = find_mode()
    except SandboxError as error:
        yield BAD, "sandbox", str(error)
        return
    users = {"nobody": "started by root, goes on as nobody", "namespace": "in a user namespace of its own"}
    yield GOOD, "user", users[mode.user]
    if mode.proc == "own":
        yield GOOD, "/proc", "its own: it sees no process of this machine"
    else:
        yield WEAK, "/proc", (
            "none: this container refuses a new one. Code that reads /proc fails, and memory is limited for each process, "
            "not for all of a submission's together. Grade outside of the container to have both."
        )
    started = time.monotonic()
    try:
        sandbox = Sandbox("bubblewrap", Limits())
        facts = sandbox.facts
    except SandboxError as error:
        yield BAD, "warm start", str(error)
        return
    seconds = time.monotonic() - started
    sandbox.close()
    yield GOOD, "warm start", f"{seconds:.1f} s, once for each worker; {facts['threads']} thread in what is forked"
    if facts["isolated"]:
        yield GOOD, "forked children", "each in process, file-system and IPC namespaces of its own"
    else:
        yield WEAK, "forked children", (
            f"no namespaces of their own here, so each submission gets a new sandbox, which costs about {seconds:.0f} s. To avoid "
            "that, allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, or "
            "kernel.apparmor_restrict_unprivileged_userns=0)."
        )
