"""Bounds for judging: outputs that student code made must not hold up or fill the grader itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from autograder.timing import OutOfTime, time_limit

try:
    import resource
except ImportError:  # Windows
    resource = None

__all__ = ["OutOfTime", "bounded"]

SECONDS = 30.0
MEMORY = 4 << 30


@contextlib.contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """At most so many seconds and new bytes in the body; raises OutOfTime, and what running out of memory raises."""
    statm = Path("/proc/self/statm")
    if resource is None or not statm.exists():
        with time_limit(seconds):
            yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(statm.read_text().split()[0]) * resource.getpagesize() + memory
    with time_limit(seconds):
        resource.setrlimit(resource.RLIMIT_AS, (now if soft == resource.RLIM_INFINITY else min(now, soft), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
