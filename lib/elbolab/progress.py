"""What `training.fit` shows while it works: a bar, and a figure that is redrawn in place.

In a notebook both are displays that are updated; in a terminal the bar is one line that is written
over; into a file or a pipe goes a line a minute, and the last one. Nothing is ever written to stderr.
"""

import math
import sys
import time

__all__ = ["LiveFigure", "ProgressBar"]

PAUSE = 0.2  # seconds between two looks at the bar
LINES = 60  # seconds between two lines in a file
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

    def __init__(self, last_step: int, steps_per_epoch: int, batch_size: int, enabled: bool = True):
        self.last_step, self.last_epoch = last_step, math.ceil(last_step / steps_per_epoch)
        self.batch_size, self.enabled = batch_size, enabled
        self.started = self.looked = self.printed = time.perf_counter()
        self.first_step, self.earlier = 0, 0.0  # of a training that goes on: where, and the seconds until then
        self.step, self.loss = 0, None
        self.text, self.handle = "", None

    def go_on(self, step: int, seconds: float) -> None:
        """So many steps were done before, in so many seconds. How long the rest will take, today's steps tell."""
        self.first_step, self.earlier = step, seconds

    def seconds(self) -> float:
        """What the training has taken, all in all."""
        return self.earlier + self._now()

    def due(self) -> bool:
        """Is it time to look at the loss again? True a few times a second."""
        return time.perf_counter() - self.looked > PAUSE

    def show(self, epoch: int, step: int, loss: float) -> None:
        self.looked = time.perf_counter()
        self.step, self.loss = step, loss
        left = self._now() / (step - self.first_step) * (self.last_step - step)
        filled = WIDTH * step // self.last_step
        bar = "#" * filled + "." * (WIDTH - filled)
        self._write(f"[{bar}] epoch {epoch:,} of {self.last_epoch:,}, {self._status()}, {_clock(left)} left")

    def say(self, sentence: str) -> None:
        """A sentence of its own line, above the bar's last words."""
        print("\n" + sentence if self.text and sys.stdout.isatty() else sentence)

    def close(self, epoch: int, step: int, rows: list) -> None:
        """The last words: what the last row of the history says, and the time it took."""
        self.step, self.loss = step, rows[-1]["loss"] if rows else None
        self._write(f"{epoch} epochs, {self._status()}, {_clock(self.seconds())}", last=True)

    def _now(self) -> float:
        return time.perf_counter() - self.started

    def _status(self) -> str:
        rate = (self.step - self.first_step) * self.batch_size / max(self._now(), 1e-9)
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
        elif last or time.perf_counter() - self.printed > LINES:
            print(text, flush=True)
            self.printed = time.perf_counter()
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
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
