"""Train one row of the ledger, measure it, and write its checkpoint, its card and its entry.

    python benchmarks/train_ledger.py NAME [--epochs N] [--seed 0] [--threads 1] [--measure]

NAME is one of the ROWS in `ledger_rows.py`. Training is the library's own `fit`, on all of MNIST (55,000
images to train on, 5,000 to choose by, 10,000 that are looked at once, at the end). With fewer epochs than
the published setting has, the published schedule of the learning rate keeps its shape over the updates
that there are, and the entry says so.

A run takes hours, in the background of everything else: one thread, the lowest priority, and a line a minute
that says what is left. Stop it whenever you like, with Ctrl-C or worse. Its state is in .elbolab/training/,
a minute or an epoch old, and the same command goes on from there; the result is bit for bit the same, on the
same machine with as many threads. Where there is no time to go on, --measure measures what was learned so far.
A state that another setting has led to is refused. It is removed once the row is written.

A matter of hardware: on some AMD processors MKL, which multiplies torch's matrices on the CPU, leaves up to
half of the speed unused unless it is told that it may use AVX-512. The shipped models were trained with a
preloaded library (LD_PRELOAD) whose one function `int mkl_serv_intel_cpu_true(void) { return 1; }` does that;
the arithmetic is float32 either way, rounded otherwise: go on with a run as it was begun, with or without.

References:
    Importance Weighted Autoencoders (Burda et al., 2016), table 1, section 5, appendix D
    https://arxiv.org/abs/1509.00519
"""

import argparse
import contextlib
import datetime
import math
import os
import time
from pathlib import Path

import torch
from common import SAMPLES, describe_machine, estimate_log_likelihood
from ledger import quick_value, write_entry
from ledger_rows import ROWS
from torch import nn

from elbolab import trained
from elbolab.data import load_mnist
from elbolab.inference import VariationalInference, active_units
from elbolab.models import VariationalAutoencoder
from elbolab.training import evaluate, fit

STATES = Path(__file__).resolve().parents[1] / ".elbolab" / "training"


def give_way() -> None:
    """The lowest priority. Linux weighs sessions before it looks at the processes in them (sched(7), autogroup): theirs, too."""
    if hasattr(os, "nice"):
        os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


def build(row, data) -> VariationalAutoencoder:
    """The row's model with fresh weights, or with those of the trained model that it starts from."""
    if row.start:
        return trained.pretrained(row.start)
    model = VariationalAutoencoder((1, 28, 28), row.latents, row.hidden, getattr(nn, row.activation))
    if row.pixel_means:
        model.start_at_pixel_means(data.train.images)
    return model


def state_file(name: str, row) -> Path:
    """Where the state of a training is kept; one that started from other trained weights is another training."""
    start = f"-from-{row.start}-{trained.card(row.start)['sha256'][:8]}" if row.start else ""
    return STATES / f"{name}{start}.pt"


def train(row, model, data, epochs: int, seed: int, state: Path, further: bool = True):
    """Train in place, from the state on if there is one; returns the history. If not further, only the state is read."""
    vi = VariationalInference(num_samples=row.samples, importance_weighted=row.importance_weighted)
    lr = row.schedule_for(epochs)(epochs * math.ceil(len(data.train) / row.batch))
    every = max(1, epochs // 20)
    limit = None if further else 0
    return fit(model, vi, data, epochs, row.batch, lr, seed, evaluate_every=every, max_steps=limit, progress=further, checkpoint=state)


def measure(model, data, seed: int) -> dict:
    """What goes into the card: the test split is used here and nowhere else."""
    vi = VariationalInference()
    validation = evaluate(model, vi, data.validation, seed=seed)
    test = evaluate(model, vi, data.test, seed=seed)
    units, _ = active_units(model, data.test.images)
    torch.manual_seed(seed)
    value, monte_carlo, over_images = estimate_log_likelihood(model, data.test.images)
    return {
        "validation elbo": validation["elbo"],
        "test elbo": test["elbo"],
        "test kl": test["kl"],
        "active units": units,
        f"test log p(x), {SAMPLES:,} samples": value,
        "its Monte Carlo standard error": monte_carlo,
        "its standard error over images": over_images,
        "quick": quick_value(model),
    }


def shortfall(row, history, epochs: int, batch: int, images: int) -> str | None:
    """One honest sentence where the training was shorter than the setting's."""
    done = int(history["epoch"].max())
    if done == epochs >= row.published_epochs:
        return None
    stopped = "" if done == epochs else f", stopped before the {epochs} that its schedule was made for"
    return f"{done} epochs ({done * math.ceil(images / batch):,} updates){stopped}; the setting has {row.published}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=ROWS)
    parser.add_argument("--epochs", type=int, default=None, help="default: the row's own")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the noise")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="train no further, measure what a stopped run has learned")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    give_way()
    row, name = ROWS[options.name], options.name
    epochs, state = options.epochs or row.epochs, state_file(name, row)
    if options.measure and not state.exists():
        parser.error(f"nothing to measure: no run of {name} has left its state in {state}")
    data = load_mnist(binarize=row.binarize)
    print(data, flush=True)
    torch.manual_seed(options.seed)
    model = build(row, data)
    history = train(row, model, data, epochs, options.seed, state, further=not options.measure)
    if history.attrs["stopped"] == "interrupted":
        print("Give the same command to go on, or add --measure to measure what was saved.")
        return
    done, start = int(history["epoch"].max()), time.perf_counter()

    machine = describe_machine()
    about = {
        "command": f"python benchmarks/train_ledger.py {name} --epochs {epochs} --seed {options.seed}",
        "seed": options.seed,
        "data": f"{data.source.split(' in ')[0]}, {len(data.train):,} images to train on, binarization {row.binarize}; "
        f"{len(data.test):,} test images binarized once, seed 0",
        "hardware": f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, torch {machine['torch']}, "
        f"load {machine['load at the end']} at the end",
        "date": datetime.date.today().isoformat(),
        "training": row.words(epochs),
        "training seconds": round(history.attrs["seconds"]),
        "stopped": history.attrs["stopped"] or (None if done == epochs else f"after {done} of {epochs} epochs"),
        "validation": history[history["split"] == "validation"][["epoch", "loss"]].round(3).to_dict("list"),
    }
    model.half().float()  # half precision is what ships, so it is what is measured
    metrics = measure(model, data, options.seed)
    trained.save(name, model, {**about, "metrics": metrics})
    value = metrics[f"test log p(x), {SAMPLES:,} samples"]
    print(f"{name}: {value:.2f} nats (reported: {row.reported['value'] if row.reported else 'nothing'})")
    entry = {
        "system": row.system,
        "quantity": f"test log-likelihood, nats, {SAMPLES:,} importance samples",
        "reported": row.reported,
        "ours": {"value": value, "spread": metrics["its Monte Carlo standard error"], "runs": [value]},
        "better": "higher",
        "shortfall": shortfall(row, history, epochs, row.batch, len(data.train)),
        **{key: about[key] for key in ("command", "seed", "data", "hardware")},
        "wall_seconds": round(history.attrs["seconds"] + time.perf_counter() - start),
        "date": about["date"],
        "checkpoint": name,
    }
    write_entry(name, entry)
    if done == epochs or history.attrs["stopped"]:
        state.unlink(missing_ok=True)  # else there is a rest that may still be trained


if __name__ == "__main__":
    main()
