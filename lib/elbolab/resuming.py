"""The whole state of a training in one file, so that a training that was stopped goes on as if it had not been.

What the next step depends on: the weights; the optimizer's memory (Adam's two moments of each weight);
the generators that draw order, pixels and noise; the number of steps, for the learning rate; and what the
objective remembers, if it does. Forget one of these, and the training goes on all the same, but it is another one.
"""

import os
import time
from pathlib import Path

import torch
from torch import nn

__all__ = ["Checkpoint", "cuda_devices"]

PAUSE = 60  # seconds between two times of saving
RATES = 1000  # learning rates that are compared, at most about twice as many


class Checkpoint:
    """The file in which `training.fit` keeps its state; with None for a path nothing is kept."""

    def __init__(self, path: str | os.PathLike | None, run, seed: int | None, evaluate_every: int):
        self.path, self.run = None if path is None else Path(path), run
        self.given = {"seed": seed, "evaluate_every": evaluate_every, "batch_size": run.batch_size}
        self.saved, self.epoch = time.perf_counter(), 0  # when, and at the end of which epoch

    def save(self) -> None:
        """At the end of an epoch: save if the last time is a while ago or the training is over."""
        run = self.run
        whole = run.step == run.epoch * run.steps_per_epoch  # the rest of an epoch that was cut short cannot be made up for
        due = run.step >= run.last_step or time.perf_counter() - self.saved >= PAUSE
        if self.path is not None and whole and due:
            write({"setting": self.setting(run.step), **state_of(run)}, self.path)
            self.saved, self.epoch = time.perf_counter(), run.epoch

    def restore(self) -> None:
        """Go on from the file if there is one.

        Raises:
            ValueError: these arguments would not have led to what is in the file.
        """
        if self.path is None or not self.path.exists():
            return
        state = torch.load(self.path, map_location=next(self.run.model.parameters()).device, weights_only=True)
        then, now = state["setting"], self.setting(state["step"])
        others = [name for name in now if then.get(name) != now[name]]
        if others:
            numbers = (int, float, type(None))
            words = [f"{name} (there {then.get(name)}, now {now[name]})" if isinstance(now[name], numbers) else name for name in others]
            raise ValueError(
                f"fit: {self.path} holds the state of another training, which differs in {', '.join(words)}. "
                f"Name another file, or delete this one to begin anew."
            )
        put_into(self.run, state)
        self.epoch = self.run.epoch

    def setting(self, step: int) -> dict:
        """What led to the state after so many steps. How many are still to come does not matter to it."""
        run = self.run
        images = getattr(run.train, "images", run.train)
        return {
            **self.given,
            "number of images": len(images),
            "mean of the images": round(images.mean(dtype=torch.float64).item(), 6),
            "binarization": getattr(run.train, "binarize", "none"),
            "model": str(run.model),
            "objective": str(run.vi) if isinstance(run.vi, nn.Module) else type(run.vi).__name__,
            "learning rate": [float(run.lr(s)) for s in range(0, step, max(1, step // RATES))],
        }


def state_of(run) -> dict:
    """All that the rest of a training depends on, and what it has recorded."""
    return {
        "weights": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "generators": [torch.get_rng_state(), *map(torch.cuda.get_rng_state, cuda_devices(run.model))],
        "objective": run.vi.state_dict() if isinstance(run.vi, nn.Module) else {},
        "epoch": run.epoch,
        "step": run.step,
        "seconds": run.bar.seconds(),
        "rows": run.rows,
        "since the last row": vars(run.since),
        "weights of the last row": run.weights,
    }


def put_into(run, state: dict) -> None:
    """The inverse of `state_of`."""
    run.model.load_state_dict(state["weights"])
    run.optimizer.load_state_dict(state["optimizer"])
    generator, *others = (one.cpu() for one in state["generators"])
    torch.set_rng_state(generator)
    for device, other in zip(cuda_devices(run.model), others, strict=True):
        torch.cuda.set_rng_state(other, device)
    if isinstance(run.vi, nn.Module):
        run.vi.load_state_dict(state["objective"])
    run.epoch, run.step, run.rows = state["epoch"], state["step"], state["rows"]
    vars(run.since).update(state["since the last row"])
    run.weights = state["weights of the last row"]
    run.bar.go_on(run.step, state["seconds"])


def cuda_devices(model) -> list[torch.device]:
    """The GPUs that a model's parameters are on, whose generators its training uses."""
    return sorted({p.device for p in model.parameters() if p.device.type == "cuda"}, key=str)


def write(state: dict, path: Path) -> None:
    """Write beside the file, then rename: whenever the process ends, there is one whole file under this name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    with open(unfinished, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())  # on the disk before it is renamed, also if the power fails
    unfinished.replace(path)
