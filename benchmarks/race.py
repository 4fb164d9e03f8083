"""The estimator race: one model, every gradient estimator, five seeds. Bias, variance, exact bound, KL, decoder calls.

    python benchmarks/race.py [--estimators a,b] [--pixels grey,binary] [--seeds 5] [--epochs 5] [--workers 2] [--fresh]

The model is `CategoricalVAE` with two latents of ten classes, so that its bound is a sum over 100 codes and needs no
estimate. Batch 64, Adam 1e-3, full MNIST, 58,000 images to train on. Grey pixels are the reference's (a Bernoulli's
log-probability of a grey value is no log-probability, and the bound is none of log p(x)); binary ones are drawn anew
for each batch.

Every 300 steps: the exact bound and the KL on the whole validation split, and for a fixed batch of 64 validation images
the bias and variance of the gradient with respect to the posterior's probabilities and logits, from 100 draws. The test split is
looked at once, at the end of a run.

Writes course/04_discrete/race.json after each run, and goes on from there when started again; then prints the table and
writes ledger entries. Estimators and what they are called: `elbolab.race.ESTIMATORS`.
"""

import argparse
import concurrent.futures
import datetime
import json
import math
import multiprocessing
import time
from functools import partial
from pathlib import Path

import torch
from common import describe_machine
from fast_linear import use_onednn
from race_ledger import write_entries
from torch import Tensor

from elbolab.data import batches, load_mnist
from elbolab.discrete import CategoricalVAE, DiscreteInference, VimcoInference
from elbolab.gradients import (
    LearnedBaseline,
    MovingAverage,
    draw_statistics,
    enumeration,
    exponential_schedule,
    gradient_draws,
    gradient_statistics,
    gumbel_softmax,
    kl_to_uniform,
    log_prob_one_hot,
    rebar,
    rloo,
    sample_one_hot,
    score_function,
    straight_through_gumbel,
    vimco,
)
from elbolab.race import race_table
from elbolab.training import make_optimizer, train_step

BATCH, LR, EVERY, DRAWS, LATENTS, CLASSES = 64, 1e-3, 300, 100, 2, 10
HELD_OUT = 1 / 30  # 2,000 images to watch; the reference trains on all 60,000, and 58,000 are near to that
ROOT = Path(__file__).parent.parent
STORED = ROOT / "course" / "04_discrete" / "race.json"
BINARIZE = {"grey": "none", "binary": "dynamic"}

OBJECTIVES = {
    "enumeration": lambda: DiscreteInference(enumeration),
    "enumeration (torch init)": lambda: DiscreteInference(enumeration),
    "gumbel-softmax 0.5": lambda: DiscreteInference(gumbel_softmax, temperature=0.5),
    "rloo-10": lambda: DiscreteInference(partial(rloo, num_samples=10)),
    "score function": lambda: DiscreteInference(score_function),
    "moving average": lambda: DiscreteInference(partial(score_function, baseline=MovingAverage())),
    "learned baseline": lambda: DiscreteInference(partial(score_function, baseline=LearnedBaseline(784))),
    "rloo-2": lambda: DiscreteInference(partial(rloo, num_samples=2)),
    "vimco-10": lambda: VimcoInference(10),
    "rebar": lambda: DiscreteInference(rebar, temperature=0.5),
    "gumbel-softmax 1.0": lambda: DiscreteInference(gumbel_softmax, temperature=1.0),
    "gumbel-softmax 1.0 (torch init)": lambda: DiscreteInference(gumbel_softmax, temperature=1.0),
    "gumbel-softmax annealed": lambda: DiscreteInference(gumbel_softmax, temperature=exponential_schedule(1.0, 0.3, 5e-4)),
    "straight-through": lambda: DiscreteInference(straight_through_gumbel, temperature=0.5),
}


class RaceVAE(CategoricalVAE):
    """The model, saving work that changes no number: where more samples than codes are asked for, each code is decoded once."""

    def log_px(self, x: Tensor, z: Tensor) -> Tensor:
        samples, batch = z.shape[:2]
        if z.requires_grad or batch == 1 or samples * batch <= self.classes**self.latents:
            return super().log_px(x, z)
        return look_up(super().log_px(x, self.codes().unsqueeze(1)), z)


class FrozenCost:
    """-log p(x|z) of a model that stands still: one-hot codes are looked up, relaxed ones are decoded."""

    def __init__(self, model: CategoricalVAE, x: Tensor):
        self.model, self.x = model, x
        with torch.no_grad():
            self.table = -model.log_px(x, model.codes().unsqueeze(1))

    def __call__(self, z: Tensor) -> Tensor:
        if z.requires_grad:
            return -self.model.log_px(self.x, z)
        return self.table if z.shape[1] == 1 else look_up(self.table, z)


def look_up(table: Tensor, z: Tensor) -> Tensor:
    """Entries of a table `(C**L, batch)` at one-hot codes z `(S, batch, L, C)`: `(S, batch)`."""
    latents, classes = z.shape[2:]
    places = classes ** torch.arange(latents - 1, -1, -1)
    return table.gather(0, (z.argmax(-1) * places).sum(-1))


def run(name: str, pixels: str, seed: int, epochs: int) -> dict:
    """Train once; returns what is stored of it."""
    torch.set_num_threads(1)
    data = load_mnist(binarize=BINARIZE[pixels], validation=HELD_OUT)
    torch.manual_seed(seed)
    model, vi = RaceVAE(data.train.images.shape[1:], LATENTS, CLASSES, pixel_means=data.train.images.mean(0)), OBJECTIVES[name]()
    if name.endswith("(torch init)"):
        model.decoder[0].reset_parameters()
        model.decoder[-1].reset_parameters()
    use_onednn(model)
    optimizer, probe = make_optimizer(model, LR), data.validation.images[:BATCH]
    log, seconds, step = [], 0.0, 0
    steps = epochs * math.ceil(len(data.train) / BATCH)
    while step < steps:
        for x in batches(data.train, BATCH):
            if step % EVERY == 0:
                log.append({"step": step, **measure(model, vi, data.validation.images, probe)})
            start = time.process_time()
            train_step(model, vi, optimizer, x)
            seconds, step = seconds + time.process_time() - start, step + 1
    log.append({"step": step, **measure(model, vi, data.validation.images, probe)})
    columns = {key: [rounded(row[key]) for row in log] for key in log[0] if key != "codes_a_step"}
    return {
        "estimator": name, "pixels": pixels, "seed": seed, "epochs": epochs, "codes_a_step": log[-1]["codes_a_step"], **columns,
        "test": {**exact(model, data.test.images), "no_latent": no_latent(data.train.images, data.test.images)},
        "no_latent": no_latent(data.train.images, data.validation.images), "ms_a_step": round(1e3 * seconds / steps, 2),
        "data": data.source.split(" in ")[0], "train_images": len(data.train), "date": datetime.date.today().isoformat(),
    }


def measure(model, vi, images: Tensor, probe: Tensor) -> dict:
    """The exact bound on images and the gradient's statistics on the probe batch; torch's generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        result = {**exact(model, images), **statistics(model, vi, probe)}
    return result


@torch.no_grad()
def exact(model, images: Tensor) -> dict:
    """Means over the images, all enumerated, in nats: the ELBO, log p(x), the KL; and the information I(x; z) in the codes."""
    sums = torch.zeros(3, dtype=torch.float64)
    for x in images.split(1000):
        logits = model.logits(x)
        kl = kl_to_uniform(logits)
        values = (-enumeration(model.cost(x), logits) - kl, model.exact_log_px(x), kl)
        sums += torch.stack([value.double().sum() for value in values])
    elbo, log_px, kl = (sums / len(images)).tolist()
    return {"elbo": round(elbo, 3), "log_px": round(log_px, 3), "kl": round(kl, 5), "information": round(model.information(images), 5)}


def no_latent(train: Tensor, images: Tensor) -> float:
    """-log p(x) of the best independent pixels, nats: what a model has whose codes say nothing."""
    mean = train.mean(0).flatten().clamp(1e-6, 1 - 1e-6)
    x = images.flatten(1)
    return round(-float((x @ mean.log() + (1 - x) @ (1 - mean).log()).double().mean()), 3)


def statistics(model, vi, probe: Tensor) -> dict:
    """Bias and variance of the objective's estimator as it is now, with respect to probabilities and to logits, and its decoder calls.

    VIMCO's gradient is that of another bound: no bias is given.
    """
    with torch.no_grad():
        logits = model.logits(probe)
    if isinstance(vi, VimcoInference):
        estimator = partial(multi_sample, samples=vi.num_samples)
    else:
        estimator = vi.estimator if vi.temperature is None else partial(vi.estimator, temperature=vi._now(vi.temperature))
    f, p = FrozenCost(model, probe), logits.softmax(-1).clamp_min(1e-30)
    draws, exact = gradient_draws(estimator, f, logits, DRAWS, "logits"), gradient_draws(enumeration, f, logits, 1, "logits")[0]
    result = {"codes_a_step": gradient_statistics(estimator, f, logits, 3)["decoder_calls"]}
    for wrt, scale in (("probabilities", p), ("logits", 1.0)):
        found = draw_statistics(draws / scale, exact / scale)
        if isinstance(vi, VimcoInference):
            found.update(bias_squared=None, bias_low=None, bias_high=None)
        names = ("bias_squared", "bias_low", "bias_high", "variance", "exact_squared")
        result.update({f"{name}, {wrt}": found[name] for name in names})
    return result


def multi_sample(f, logits: Tensor, samples: int) -> Tensor:
    """-L_S as an estimator, for its variance."""
    z = sample_one_hot(logits, samples)
    log_q = log_prob_one_hot(logits, z)
    return -vimco(-f(z) - LATENTS * math.log(CLASSES) - log_q, log_q)


def rounded(value):
    return value if value is None or isinstance(value, int) else float(f"{value:.5g}")


def store(path: Path, race: dict) -> None:
    """Write the race, a run a line, so that a difference between two versions can be read."""
    head = json.dumps({key: value for key, value in race.items() if key != "runs"}, indent=1)[:-2]
    runs = ",\n".join(json.dumps(r) for r in sorted(race["runs"], key=lambda r: (r["pixels"], r["estimator"], r["seed"])))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(f'{head},\n "runs": [\n{runs}\n]}}\n')
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimators", default=",".join(OBJECTIVES))
    parser.add_argument("--pixels", default="grey,binary")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("--out", type=Path, default=STORED)
    parser.add_argument("--fresh", action="store_true", help="forget the runs that are stored")
    options = parser.parse_args()
    race = json.loads(options.out.read_text()) if options.out.exists() and not options.fresh else {"runs": []}
    done = {(r["estimator"], r["pixels"], r["seed"], r["epochs"]) for r in race["runs"]}
    names, kinds = options.estimators.split(","), options.pixels.split(",")
    wanted = [(name, pixels, seed, options.epochs) for pixels in kinds for name in names for seed in range(options.seeds)]
    jobs = [job for job in wanted if job not in done]
    race["setting"] = {"command": "python benchmarks/race.py", "epochs": options.epochs, "batch": BATCH, "lr": LR, "draws": DRAWS,
                       "every": EVERY, "latents": LATENTS, "classes": CLASSES, "hidden": [512, 256]}
    race["machine"] = describe_machine()
    print(f"{len(wanted) - len(jobs)} runs are stored, {len(jobs)} to do", flush=True)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, *job) for job in jobs]):
            result = future.result()
            race["runs"].append(result)
            store(options.out, race)
            test = result["test"]
            print(f"{result['pixels']:7} {result['estimator']:24} seed {result['seed']}: test -ELBO {-test['elbo']:.2f}, "
                  f"KL {test['kl']:.2f}, {result['ms_a_step']} ms a step", flush=True)
    for pixels in kinds:
        table = race_table(race, pixels)
        if len(table):
            print(f"\n{pixels} pixels\n{table.to_string(float_format=lambda v: f'{v:.4g}')}")
    if options.out == STORED:
        write_entries(race)


if __name__ == "__main__":
    main()
