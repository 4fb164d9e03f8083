"""Train a model, evaluate it on a whole split, and keep the history as a table.

Setting the environment variable ELBOLAB_FAST=1 shortens every training: `fit` then stops after
the few epochs or steps that `budgets` allows, whichever comes first.
"""

import contextlib
import math
import os
from collections.abc import Callable

import torch
from torch import Tensor

from .budgets import FAST_STEPS, budget, fast
from .data import Dataset, Split, batches
from .progress import LiveFigure, ProgressBar
from .resuming import Checkpoint, cuda_devices

__all__ = ["budget", "evaluate", "fast", "fit", "make_optimizer", "train_step"]

QUANTITIES = ("loss", "elbo", "log_px", "kl")


def make_optimizer(model, lr: float = 1e-3) -> torch.optim.Optimizer:
    """Adam; all parameters are updated by one fused kernel where torch has it for their device."""
    try:
        return torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    except RuntimeError:
        return torch.optim.Adam(model.parameters(), lr=lr)


def train_step(model, vi, optimizer, x: Tensor) -> tuple[Tensor, dict]:
    """One step down the gradient of the loss on a batch x; returns loss `()` and diagnostics `(batch,)`.

    Nothing is turned into a Python number here: `.item()` would make us wait for every step.
    """
    optimizer.zero_grad()  # first of all: the memory of the old gradients serves the forward pass
    loss, diagnostics, _ = vi(model, x)
    loss.backward()
    optimizer.step()
    return loss.detach(), {name: value.detach() for name, value in diagnostics.items()}


def evaluate(model, vi, split: Split | Tensor, batch_size: int = 1000, seed: int = 0) -> dict:
    """Means of loss, elbo, log_px and kl over a whole split, in nats.

    The noise is seeded, so that two epochs or two models differ by what they learned and not by
    luck; torch's own generator is as it was afterwards.
    """
    means = _Means()
    with _seeded(seed, model), _evaluating(model):
        for x in batches(split, batch_size, shuffle=False):
            loss, diagnostics, _ = vi(model, x)
            means.add(loss, diagnostics, len(x))
    return means.numbers()


def fit(
    model,
    vi,
    data: Dataset | Split | Tensor,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float | Callable[[int], float] = 1e-3,
    seed: int | None = 0,
    live=None,
    evaluate_every: int = 1,
    max_steps: int | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
):
    """Train the model in place with Adam and return its history.

    Arguments:
        model: what `vi` takes; its parameters are updated.
        vi: an objective, `vi(model, x) -> loss, diagnostics, outputs` like `VariationalInference`.
        data: a Dataset (trained on .train, watched on .validation), or a Split or Tensor alone.
        epochs: passes over the training images; `budget` may shorten them.
        lr: the learning rate, or a schedule: a function of the step, which counts from 0.
        seed: of order, pixels and noise. The same seed and the same initial weights give the same
            result, and torch's own generator is as it was afterwards. None: use torch's own.
        live: a figure that is redrawn in place in a notebook: True for the nine panels, or a
            function `(model, data, history) -> Figure`.
        evaluate_every: epochs between two rows of the history.
        max_steps: stop after so many steps.
        progress: show a bar (on stdout).
        checkpoint: a file, e.g. "run.pt", for a training that is to survive a stop. The whole state is
            saved there about once a minute, at the end of an epoch, and the same call goes on from it:
            the result is bit for bit that of a training without the stop. The file stays at the end, so
            that more epochs may follow. A file that other arguments have led to is refused.

    Returns:
        A DataFrame with the columns epoch, step, split ("train" or "validation"), loss, elbo,
        log_px, kl. A training row is the mean over the steps since the last one, while the model
        was changing; a validation row is the mean over the whole split. `history.attrs["stopped"]`
        is None, "interrupted" (the stop button; what was learned is kept) or "not finite" (the
        weights of the last row are put back).
    """
    train, validation = getattr(data, "train", data), getattr(data, "validation", None)
    if not len(train):
        raise ValueError("fit: the training split is empty; look at the classes and the limit it was loaded with.")
    epochs = budget(epochs)
    steps = [epochs * math.ceil(len(train) / batch_size), max_steps, FAST_STEPS if fast() else None]
    run = _Run(model, vi, train, validation, batch_size, last_step=min(s for s in steps if s is not None))
    run.lr = lr if callable(lr) else lambda step: lr
    run.optimizer = make_optimizer(model, run.lr(0))
    run.bar = ProgressBar(run.last_step, run.steps_per_epoch, batch_size, progress)
    figure, kept = LiveFigure(live), Checkpoint(checkpoint, run, seed, evaluate_every)
    with _seeded(seed, model):
        kept.restore()
        try:
            while run.step < run.last_step:
                run.train_epoch()
                if run.epoch % evaluate_every == 0:
                    run.record()
                    with _seeded(0, model):
                        figure.show(model, data, run.history())
                kept.save()
            if run.since.examples:  # epochs after the last row
                run.record()
        except KeyboardInterrupt:
            run.interrupt(kept.epoch)
        except (FloatingPointError, ValueError) as error:
            run.put_back(error)
        finally:
            run.bar.close(run.epoch, run.step, run.rows)
    with _seeded(0, model):
        figure.show(model, data, run.history(), last=True)
    history = run.history()
    history.attrs.update(stopped=run.stopped, seed=seed, seconds=round(run.bar.seconds(), 2))
    return history


class _Run:
    """The state of one training: where it stands, what it has recorded, how it ended."""

    def __init__(self, model, vi, train, validation, batch_size, last_step):
        self.model, self.vi, self.train, self.validation = model, vi, train, validation
        self.batch_size, self.last_step = batch_size, last_step
        self.steps_per_epoch = math.ceil(len(train) / batch_size)
        self.epoch = self.step = 0
        self.stopped = None
        self.since, self.rows = _Means(), []  # what was trained since the last row; rows of the history
        self.weights = self._copy_weights()

    def train_epoch(self):
        self.epoch += 1
        self.model.train()
        for x in batches(self.train, self.batch_size):
            self.optimizer.param_groups[0]["lr"] = self.lr(self.step)
            loss, diagnostics = train_step(self.model, self.vi, self.optimizer, x)
            self.since.add(loss, diagnostics, len(x))
            self.step += 1
            if self.bar.due():
                # The only place within an epoch where a loss becomes a number.
                self.bar.show(self.epoch, self.step, _finite(loss))
            if self.step >= self.last_step:
                break

    def record(self):
        """A row for what was trained since the last one, a row for the whole validation split."""
        means = {"train": self.since.numbers()}
        if self.validation is not None and len(self.validation):
            means["validation"] = evaluate(self.model, self.vi, self.validation)
        for split in means:
            self._add_row(split, means[split])
        self.since, self.weights = _Means(), self._copy_weights()

    def interrupt(self, epoch_saved):
        self.stopped = "interrupted"
        if self.since.examples:  # rows of both splits, as after every epoch: what reads the history need not know of the stop
            with contextlib.suppress(FloatingPointError):
                try:
                    self.record()
                except KeyboardInterrupt:  # stopped again: there is no time for the validation images
                    self._add_row("train", self.since.numbers())
        more = f" The same call goes on from the end of epoch {epoch_saved}." if epoch_saved else ""
        self.bar.say(f"Stopped by you in epoch {self.epoch}, step {self.step}; what was learned is kept.{more}")

    def put_back(self, error):
        """Go back to the weights of the last row if the error means that numbers went wrong; else raise it."""
        # Distributions that validate their arguments meet a NaN before the loss does.
        if isinstance(error, ValueError) and all(p.isfinite().all() for p in self.model.parameters()):
            raise error
        self.stopped = "not finite"
        self.model.load_state_dict(self.weights)
        self.bar.say(
            f"Stopped in epoch {self.epoch}, step {self.step}: the loss is not finite any more. The weights of the "
            f"last row of the history (or the first weights) are back in place; try a smaller learning rate."
        )

    def history(self):
        import pandas as pd

        return pd.DataFrame(self.rows, columns=["epoch", "step", "split", *QUANTITIES])

    def _add_row(self, split, means):
        self.rows.append({"epoch": self.epoch, "step": self.step, "split": split, **means})

    def _copy_weights(self):
        return {name: value.clone() for name, value in self.model.state_dict().items()}


class _Means:
    """Running means of loss, elbo, log_px and kl over examples.

    Sums only, and no list of what each step returned: many small tensors that stay, between large ones that
    go, cut the memory into pieces that no later step can use, and the process grows with each step.
    """

    def __init__(self):
        self.examples, self.sums, self.counts = 0, {}, {}

    def add(self, loss: Tensor, diagnostics: dict, examples: int) -> None:
        self.examples += examples
        self._add("loss", loss.detach() * examples, examples)
        for name in QUANTITIES[1:]:
            if name in diagnostics:
                self._add(name, diagnostics[name], diagnostics[name].numel())

    def _add(self, name: str, value: Tensor, count: int) -> None:
        total = value.detach().sum(dtype=torch.float64)
        self.sums[name] = self.sums[name].add_(total) if name in self.sums else total
        self.counts[name] = self.counts.get(name, 0) + count

    def numbers(self) -> dict:
        """The means as floats; a loss must be finite, a quantity that was not given is NaN."""
        means = {name: self.sums[name].item() / self.counts[name] if self.counts.get(name) else math.nan for name in QUANTITIES}
        _finite(means["loss"])
        return means


def _finite(loss: Tensor | float) -> float:
    number = float(loss)
    if not math.isfinite(number):
        raise FloatingPointError(f"the loss is {number}")
    return number


@contextlib.contextmanager
def _seeded(seed: int | None, model):
    """Run a block from this seed, with torch's own generators as before afterwards."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=cuda_devices(model)):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _evaluating(model):
    """Run a block without gradients and in evaluation mode, and put the mode back."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)
