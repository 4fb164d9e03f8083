"""What `training.fit` shows while it works: a bar, and a figure that is redrawn in place.

In a notebook both are displays that are updated; in a terminal the bar is one line that is written
over; into a file or a pipe goes only the last line. Nothing is ever written to stderr.
"""

import sys
import time

__all__ = ["LiveFigure", "ProgressBar"]

PAUSE = 0.2  # seconds between two looks at the bar
WIDTH = 30


def notebook_display():
    """IPython's `display` where a notebook is listening, else None. IPython is not imported for this."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display if hasattr(get_ipython(), "kernel") else None


class ProgressBar:
    """Epoch, share done, loss, images a second, time left."""

    def __init__(self, last_step: int, batch_size: int, enabled: bool = True):
        self.last_step, self.batch_size, self.enabled = last_step, batch_size, enabled
        self.started = self.looked = time.perf_counter()
        self.step, self.loss = 0, None
        self.text, self.handle = "", None

    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def due(self) -> bool:
        """Is it time to look at the loss again? True a few times a second."""
        return time.perf_counter() - self.looked > PAUSE

    def show(self, epoch: int, step: int, loss: float) -> None:
        self.looked = time.perf_counter()
        self.step, self.loss = step, loss
        left = self.seconds() / step * (self.last_step - step)
        filled = WIDTH * step // self.last_step
        bar = "#" * filled + "." * (WIDTH - filled)
        self._write(f"[{bar}] epoch {epoch}, {self._status()}, {_clock(left)} left")

    def say(self, sentence: str) -> None:
        """A sentence of its own line, above the bar's last words."""
        print("\n" + sentence if self.text and sys.stdout.isatty() else sentence)

    def close(self, epoch: int, step: int, rows: list) -> None:
        """The last words: what the last row of the history says, and the time it took."""
        self.step, self.loss = step, rows[-1]["loss"] if rows else None
        self._write(f"{epoch} epochs, {self._status()}, {_clock(self.seconds())}", last=True)

    def _status(self) -> str:
        rate = self.step * self.batch_size / max(self.seconds(), 1e-9)
        loss = "" if self.loss is None else f", loss {self.loss:.2f} nats"
        return f"step {self.step:,} of {self.last_step:,}{loss}, {rate:,.0f} images/s"

    def _write(self, text: str, last: bool = False) -> None:
        if not self.enabled:
            return
        display = notebook_display()
        if display is not None:
            if self.handle is None:
                self.handle = display({"text/plain": text}, raw=True, display_id=True)
            else:
                self.handle.update({"text/plain": text}, raw=True)
        elif sys.stdout.isatty():
            sys.stdout.write("\r" + text.ljust(len(self.text)) + ("\n" if last else ""))
            sys.stdout.flush()
        elif last:
            print(text)
        self.text = text


class LiveFigure:
    """One figure in a notebook, redrawn in place, but so seldom that drawing stays a small part of the time."""

    def __init__(self, live):
        self.draw, self.handle = live, None
        self.drawn, self.cost, self.rows = -float("inf"), 0.0, 0

    def show(self, model, data, history, last: bool = False) -> None:
        display = notebook_display()
        if not self.draw or display is None or len(history) == self.rows:
            return
        start = time.perf_counter()
        if not last and start - self.drawn < 4 * self.cost:
            return
        import matplotlib.pyplot as plt

        from .plotting import nine_panels

        draw = nine_panels if self.draw is True else self.draw
        figure = draw(model, data, history)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)
        plt.close(figure)  # or the notebook shows it a second time at the end of the cell
        self.drawn, self.rows = time.perf_counter(), len(history)
        self.cost = self.drawn - start


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
