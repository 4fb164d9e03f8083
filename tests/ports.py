"""Ports for the servers that tests start."""

import os
import random
import re
import socket

__all__ = ["free_port"]

FIRST, EACH = 20_000, 500  # below the ports that systems give out by themselves


def free_port() -> int:
    """A port of this machine that nobody listens on. Each worker of the suite has a range of its own, so that no two get the same."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % 20
    ports = range(FIRST + EACH * worker, FIRST + EACH * (worker + 1))
    for port in random.Random(os.urandom(8)).sample(ports, len(ports)):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")
