"""A training step with each gradient estimator: this library against Storchastic; and enumeration once against naively.

    python benchmarks/gradients.py [--repeats 20] [--steps 3] [--storchastic FOLDER]

The same model (784-512-256-20 and its mirror, ReLU, two latents of ten classes), batch (64 grey images in memory),
objective (cross-entropy summed over the pixels, closed-form KL) and optimizer (Adam, 1e-3). Storchastic
(https://github.com/HEmile/storchastic) is imported if it is installed, or found in FOLDER:

    pip install --target FOLDER --no-deps storchastic pyro-ppl pyro-api opt_einsum entmax tqdm

One thread, and times are processor times: other work on the machine does not count. Short blocks of steps are
interleaved all the same, since it heats and fills the caches for all alike. A ratio is given between the fastest
blocks, and as the median over the repeats. Writes benchmarks/results/gradients.json.
"""

import argparse
import importlib.metadata
import itertools
import statistics
import sys
import time
from functools import partial

import torch
from common import describe_machine, write_result
from torch import nn
from torch.distributions import OneHotCategorical, kl_divergence

from elbolab.data import load_mnist
from elbolab.discrete import CategoricalVAE, DiscreteInference
from elbolab.gradients import (
    MovingAverage,
    all_codes,
    enumeration,
    expectation,
    gumbel_softmax,
    log_prob_one_hot,
    rebar,
    rloo,
    score_function,
    straight_through_gumbel,
)
from elbolab.training import make_optimizer, train_step

BATCH, LATENTS, CLASSES, TARGET = 64, 2, 10, 20.0

OURS = {
    "enumeration": enumeration,
    "score function": score_function,
    "moving average": partial(score_function, baseline=MovingAverage()),
    "RLOO, 10 samples": partial(rloo, num_samples=10),
    "Gumbel-softmax": partial(gumbel_softmax, temperature=1.0),
    "straight-through": partial(straight_through_gumbel, temperature=1.0),
    "REBAR": partial(rebar, temperature=1.0),
}


def storchastics_methods(storch) -> dict:
    method = storch.method
    return {
        "enumeration": lambda: method.Expect("z"),
        "score function": lambda: method.ScoreFunction("z"),
        "moving average": lambda: method.ScoreFunction("z", baseline_factory="moving_average"),
        "RLOO, 10 samples": lambda: method.ScoreFunction("z", n_samples=10, baseline_factory="batch_average"),
        "Gumbel-softmax": lambda: method.GumbelSoftmax("z"),
        "straight-through": lambda: method.GumbelSoftmax("z", straight_through=True),
        "REBAR": lambda: method.REBAR("z"),
    }


def naive_enumeration(f, logits):
    """Every code decoded again for every example."""
    codes = all_codes(*logits.shape[1:]).unsqueeze(1).expand(-1, len(logits), -1, -1)
    return expectation(f(codes), log_prob_one_hot(logits, codes))


def ours(estimator, x):
    """Yields after each training step, for ever."""
    torch.manual_seed(0)
    model, vi = CategoricalVAE(x.shape[1:], LATENTS, CLASSES), DiscreteInference(estimator)
    optimizer = make_optimizer(model)
    while True:
        train_step(model, vi, optimizer, x)
        yield


class StorchasticVAE(nn.Module):
    """The same model and objective, written as Storchastic's own example of a discrete VAE does."""

    def __init__(self, storch, make_method):
        super().__init__()
        torch.manual_seed(0)
        twin = CategoricalVAE((784,), LATENTS, CLASSES)
        self.encoder, self.decoder, self.storch, self.method = twin.encoder, twin.decoder, storch, make_method()
        self.encode = storch.deterministic(lambda x: self.encoder(x))
        self.decode = storch.deterministic(lambda z: self.decoder(z.reshape(*z.shape[:-2], LATENTS * CLASSES)).sigmoid())

    def cost(self, x):
        storch = self.storch
        data = storch.denote_independent(x, 0, "data")
        logits = self.encode(data)
        q = OneHotCategorical(probs=logits.reshape(logits.shape[:-1] + (LATENTS, CLASSES)).softmax(dim=-1))
        prior = OneHotCategorical(probs=torch.ones_like(q.probs) / CLASSES)
        storch.add_cost(kl_divergence(q, prior).sum(-1), "KL")
        pixels = self.decode(self.method(q))
        storch.add_cost(storch.nn.b_binary_cross_entropy(pixels, data, reduction="sum"), "reconstruction")
        return storch.backward()


def storchastics(storch, make_method, x):
    """Yields after each training step, for ever."""
    model, x = StorchasticVAE(storch, make_method), x.flatten(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        optimizer.zero_grad()
        storch.reset()
        model.cost(x)
        optimizer.step()
        yield


def import_storchastic(folder):
    """The package, or None with a line that says why."""
    if folder:
        sys.path.append(folder)
    try:
        import storch

        return storch
    except ImportError as error:
        print(f"Storchastic is not to be had here ({error}); only our own times follow.")
        return None


def milliseconds(steps, count: int) -> float:
    """Milliseconds of processor time a step, over `count` steps of a generator."""
    start = time.process_time()
    for _ in itertools.islice(steps, count):
        pass
    return 1e3 * (time.process_time() - start) / count


def interleaved(runs: dict, repeats: int, steps: int) -> dict:
    """Milliseconds a step of each run, by repeat; a run that raises is left out, with a line that says why."""
    times = {}
    for name in list(runs):
        try:
            milliseconds(runs[name], 2)
            times[name] = []
        except Exception as error:  # another library's errors are a result here, not ours to name
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
            runs.pop(name)
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(milliseconds(run, steps))
    return times


def ratio(slow: list, fast: list) -> dict:
    middle = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
    return {"fastest": round(min(slow) / min(fast), 2), "median": round(middle, 2)}


def compare_libraries(storch, x, options) -> dict:
    """Milliseconds a step of each estimator, ours and theirs, and the ratios."""
    results = {}
    theirs = storchastics_methods(storch) if storch else {}
    print(f"{'ms a step':18} {'ours':>8} {'theirs':>8}   theirs / ours (median)")
    for name, estimator in OURS.items():
        runs = {"ours": ours(estimator, x)}
        if name in theirs:
            runs["theirs"] = storchastics(storch, theirs[name], x)
        times = interleaved(runs, options.repeats, options.steps)
        row = {who: round(min(values), 2) for who, values in times.items()}
        if "theirs" in times:
            row["theirs / ours"] = ratio(times["theirs"], times["ours"])
        words = f"{row['theirs / ours']['fastest']:.1f} ({row['theirs / ours']['median']:.1f})" if "theirs" in times else "-"
        print(f"{name:18} {row['ours']:8.2f} {row.get('theirs', float('nan')):8.2f}   {words}", flush=True)
        results[name] = row
    return results


def compare_enumerations(x, options) -> dict:
    """The cost of all codes for all examples, forward and backward, decoded once and naively; the values must agree."""
    torch.manual_seed(0)
    model = CategoricalVAE(x.shape[1:], LATENTS, CLASSES)

    def steps(estimator):
        while True:
            model.zero_grad()
            estimator(model.cost(x), model.logits(x)).mean().backward()
            yield

    times = interleaved({"once": steps(enumeration), "naive": steps(naive_enumeration)}, max(5, options.repeats // 2), options.steps)
    once, naive = (estimator(model.cost(x), model.logits(x)).detach() for estimator in (enumeration, naive_enumeration))
    found = {
        "once, ms": round(min(times["once"]), 2), "naive, ms": round(min(times["naive"]), 2),
        "naive / once": ratio(times["naive"], times["once"]), "target": f"at least {TARGET:g}",
        "largest relative difference of the values (float32)": float(((once - naive) / naive).abs().max()),
    }
    print(f"enumeration, forward and backward: once {found['once, ms']} ms, naively {found['naive, ms']} ms, "
          f"ratio {found['naive / once']['fastest']} (target: at least {TARGET:g})")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3, help="steps in a block")
    parser.add_argument("--storchastic", default=None, help="folder that pip install --target filled")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_mnist(binarize="none")
    x = data.train.images[:BATCH]
    storch = import_storchastic(options.storchastic)
    result = {"enumeration": compare_enumerations(x, options), "a training step, ms": compare_libraries(storch, x, options)}
    setting = {"repeats": options.repeats, "steps": options.steps, "batch": BATCH, "latents": LATENTS, "classes": CLASSES,
               "storchastic": importlib.metadata.version("storchastic") if storch else None}
    write_result("gradients", {**result, "setting": setting, "machine": describe_machine()})


if __name__ == "__main__":
    main()
