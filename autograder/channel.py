"""Frames of bytes through a pair of pipes: how the grader and the process that runs student code talk."""

from __future__ import annotations

import json
import os
import select
import struct
import threading
import time
from typing import Any

__all__ = ["Channel", "Closed", "Late", "Malformed"]

MAX_BYTES = 64 << 20


class Malformed(Exception):
    """Bytes that are not of the form that was agreed on."""


class Closed(Exception):
    """The other side has hung up."""


class Late(Exception):
    """Nothing came in time."""


class Channel:
    """Frames over two file descriptors: eight bytes of length, then the content.

    Arguments:
        read, write: the descriptors.
        limit: the longest frame that is accepted, in bytes.
    """

    def __init__(self, read: int, write: int, limit: int = MAX_BYTES):
        self.read, self.write, self.limit = read, write, limit
        self.sending = threading.Lock()

    def send(self, content: bytes, deadline: float | None = None) -> None:
        """Raises Closed or Late (the other side does not read)."""
        data = memoryview(struct.pack("<Q", len(content)) + content)
        try:
            with self.sending:  # a frame at a time, whichever thread speaks
                while data:
                    if deadline is not None and not select.select([], [self.write], [], max(0, deadline - time.monotonic()))[1]:
                        raise Late
                    # A pipe that select calls writable takes this much without waiting.
                    data = data[os.write(self.write, data[: select.PIPE_BUF if deadline is not None else 1 << 20]) :]
        except OSError:
            raise Closed from None

    def receive(self, deadline: float | None = None) -> bytes:
        """One frame; raises Closed, Late (after `deadline`, monotonic seconds) or Malformed (too long)."""
        (size,) = struct.unpack("<Q", self._exactly(8, deadline))
        if size > self.limit:
            raise Malformed(f"{size:,} bytes are more than the {self.limit:,} that are read")
        return self._exactly(size, deadline)

    def send_json(self, content: Any, deadline: float | None = None) -> None:
        self.send(json.dumps(content).encode(), deadline)

    def receive_json(self, deadline: float | None = None) -> Any:
        data = self.receive(deadline)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise Malformed("it is not JSON") from None

    def close(self) -> None:
        for fd in (self.read, self.write):
            try:
                os.close(fd)
            except OSError:
                pass

    def _exactly(self, size: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < size:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.read], [], [], left)[0]:
                    raise Late
            try:
                chunk = os.read(self.read, min(size - len(data), 1 << 20))
            except OSError:
                raise Closed from None
            if not chunk:
                raise Closed
            data += chunk
        return bytes(data)
