"""Runs a notebook's cells in IPython, without Jupyter's sockets, and reports each output as it comes."""

from __future__ import annotations

import base64
import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Any as AnyTrait
from traitlets import Type
from traitlets.config import Config

from autograder.timing import OutOfTime, time_limit

__all__ = ["CellShell", "Stream", "make_shell"]

TOO_LONG = "This cell ran too long and was stopped. Is there a loop that never ends?"
BUFFER = 8192  # characters of printed text that are kept together
MOST_TEXT = 200_000  # characters of printed text a cell; more is dropped here, and again by the grader
MOST_DATA = 8 << 20  # bytes of one displayed thing

Emit = Callable[[dict[str, Any]], None]


class Stream(io.TextIOBase):
    """Stands for stdout or stderr: text becomes stream outputs, in order with what is displayed."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name: str, fd: int):
        super().__init__()
        self.name, self.fd, self.emit = name, fd, None
        self.parts: list[str] = []
        self.held, self.total, self.since = 0, 0, time.monotonic()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.fd

    @property
    def buffer(self) -> io.RawIOBase:
        return open(self.fd, "wb", buffering=0, closefd=False)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.total += len(text)
        if self.total <= MOST_TEXT:
            self.parts.append(text)
            self.held += len(text)
            if self.held > BUFFER or time.monotonic() - self.since > 0.5:
                self.flush()
        return len(text)

    def flush(self) -> None:
        text, self.parts, self.held, self.since = "".join(self.parts), [], 0, time.monotonic()
        if text and self.emit:
            self.emit({"output_type": "stream", "name": self.name, "text": text})


class Publisher(DisplayPublisher):
    """What `display` shows goes to the cell's outputs."""

    def publish(self, data, metadata=None, *, transient=None, update=False, **kwargs):
        """One displayed thing, or new content for one that was displayed before."""
        output = {"output_type": "update_display_data" if update else "display_data", "data": plain_data(data)}
        display_id = (transient or {}).get("display_id")
        if display_id is not None:
            output["display_id"] = str(display_id)
        self.shell.tell(output)

    def clear_output(self, wait=False):
        """Everything that the cell has shown so far goes, at once or with the next output."""
        self.shell.tell({"output_type": "clear_output", "wait": bool(wait)})


class Hook(DisplayHook):
    """A cell's last expression goes to its outputs."""

    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.tell({"output_type": "execute_result", "data": plain_data(format_dict)})


class CellShell(InteractiveShell):
    """IPython whose outputs go to `emit`, an output (like nbformat's) at a time."""

    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)
    emit = AnyTrait()

    def tell(self, output: dict[str, Any]) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Stream):
                stream.flush()
        if self.emit:
            self.emit(output)

    def _showtraceback(self, etype, evalue, stb):
        if issubclass(etype, OutOfTime):
            etype, evalue, stb = type("CellTimeoutError", (Exception,), {}), TOO_LONG, [TOO_LONG]
        lines = [str(line) for line in stb][:200]
        self.tell({"output_type": "error", "ename": etype.__name__, "evalue": str(evalue)[:2000], "traceback": lines})

    def ask_exit(self):
        """exit() and quit() end nothing: what follows is still graded."""
        print("exit() does nothing while grading.")

    exit_now = False

    def enable_gui(self, gui=None):
        """Nothing: figures are inline, whatever `%matplotlib` asks for."""

    def raw_input(self, prompt=""):
        raise EOFError("nobody answers input() while grading")

    def run(self, source: str, seconds: float, emit: Emit) -> bool:
        """Run one cell; False if it raised. Raises nothing for what the cell does."""
        streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, Stream)]
        for stream in streams:
            stream.emit, stream.total = emit, 0
        self.emit = emit
        try:
            with time_limit(seconds):
                good = self.run_cell(source, store_history=True).success
        except OutOfTime:
            self._showtraceback(OutOfTime, None, [])
            good = False
        except BaseException as error:  # a broken shell (patched by the cell) is the cell's own failure
            emit({"output_type": "error", "ename": type(error).__name__, "evalue": "", "traceback": [type(error).__name__]})
            good = False
        for stream in streams:
            stream.flush()
            stream.emit = None  # what threads or probed functions say between two cells belongs to none
        self.emit = None
        return good


def plain_data(data: Any) -> dict[str, str]:
    """A MIME bundle with text only: images as base64, the rest as str; what is too large is left out."""
    bundle = {}
    for mime, value in list(dict(data).items())[:20]:
        if isinstance(value, (bytes, bytearray)):
            value = base64.b64encode(value).decode()
        elif isinstance(value, (list, tuple)):
            value = "".join(map(str, value))
        if isinstance(value, str) and len(value) <= MOST_DATA:
            bundle[str(mime)[:100]] = value
    return bundle


def make_shell() -> CellShell:
    """The one shell of this process, as a notebook's: inline figures, no history, no colors."""
    config = Config()
    config.HistoryManager.enabled = False
    config.CellShell.colors = "nocolor"
    config.CellShell.banner1 = ""
    config.CellShell.autocall = 0
    config.CellShell.enable_tip = False
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    return CellShell.instance(config=config)
