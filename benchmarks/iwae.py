"""Importance weighting: a training step with K = 5 and 50, and the 5,000-sample test estimate, ours against others.

    python benchmarks/iwae.py [--repeats 20] [--threads N] [--images 40]

The same network (784-200-200-z50 and its mirror, tanh), batch (64) and optimizer (Adam, 1e-3), four ways:

    ours      encode once, K samples folded into the batch, one forward: `inference.VariationalInference`
    loop      encode once, then a Python loop that decodes one sample for each image at a time
    forwards  a loop that calls the whole model K times, encoder and all, as many first versions do
    pythae    pythae's IWAE and its `get_nll`

The estimate of log p(x) is made on the first test images, with the weights of `pretrained("iwae-5")`
in all four, and must come out the same. Short blocks are interleaved, so that whatever else the machine
does hits all alike. Then the estimate for the whole test set in a process of its own, for its memory:
with few samples for each image, since memory does not grow with their number.

pythae is no dependency of the course. To have it in the table, run this with a Python that has both:

    python -m venv elsewhere && elsewhere/bin/pip install pythae && elsewhere/bin/pip install -e .

Writes benchmarks/results/iwae.json.
"""

import argparse
import statistics
import subprocess
import sys
import time

import torch
from common import SAMPLES, describe_machine, milliseconds, write_result
from ledger import quick_images
from torch import nn

import elbolab
from elbolab.inference import VariationalInference, importance_weighted_bound, log_likelihood, log_px_and_kl, log_weights
from elbolab.models import VariationalAutoencoder
from elbolab.training import make_optimizer, train_step

BATCH, LR, LATENTS, HIDDEN = 64, 1e-3, 50, (200, 200)
TRAINED = "iwae-5"  # whose weights the estimate is made with
MEMORY_TARGET = 2.0  # GiB


def fresh_model() -> VariationalAutoencoder:
    return VariationalAutoencoder((1, 28, 28), LATENTS, HIDDEN, nn.Tanh)


# --- log-weights three ways, (K, batch) --------------------------------------------------------------------------


def loop_log_weights(model, x, num_samples):
    qz, pz, rows = model.posterior(x), model.prior(len(x)), []
    for _ in range(num_samples):
        z = qz.rsample()
        log_px, kl = log_px_and_kl({"px": model.observation_model(z), "pz": pz, "qz": qz, "z": z}, x)
        rows.append(log_px - kl)
    return torch.cat(rows)


def forwards_log_weights(model, x, num_samples):
    return torch.cat([log_weights(model, x) for _ in range(num_samples)])


def objective(log_weights_of, num_samples):
    """A vi for `train_step` from a way to the log-weights."""

    def vi(model, x):
        return -importance_weighted_bound(log_weights_of(model, x, num_samples)).mean(), {}, {}

    return vi


# --- pythae at equal architecture --------------------------------------------------------------------------------


def pythae_model(model: VariationalAutoencoder, num_samples: int):
    """pythae's IWAE around this model's own layers, or None where pythae is not installed."""
    try:
        from pythae.models import IWAE, IWAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError:
        return None

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = model.encoder

        def forward(self, x):
            mu, log_sigma = self.layers(x.flatten(1)).chunk(2, dim=-1)
            return ModelOutput(embedding=mu, log_covariance=2 * log_sigma)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = model.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z).sigmoid().view(-1, 1, 28, 28))

    config = IWAEConfig(input_dim=(1, 28, 28), latent_dim=model.latent_features, reconstruction_loss="bce", number_samples=num_samples)
    return IWAE(config, encoder=Encoder(), decoder=Decoder())


def pythae_vi(model, x):
    return model({"data": x}).loss, {}, {}


# --- measuring ---------------------------------------------------------------------------------------------------


def training_steps(model, vi, x):
    """Yields after each step, for ever."""
    optimizer = make_optimizer(model, LR)
    while True:
        train_step(model, vi, optimizer, x)
        yield


def ways_to_train(num_samples: int) -> dict:
    x = quick_images()[:BATCH]
    ways = {
        "ours": (fresh_model(), VariationalInference(num_samples=num_samples)),
        "loop": (fresh_model(), objective(loop_log_weights, num_samples)),
        "forwards": (fresh_model(), objective(forwards_log_weights, num_samples)),
        "pythae": (pythae_model(fresh_model(), num_samples), pythae_vi),
    }
    return {name: training_steps(model, vi, x) for name, (model, vi) in ways.items() if model is not None}


@torch.no_grad()
def looped_estimate(model, x, log_weights_of, chunk: int = 50):
    """L_K with K = SAMPLES: log-weights from a loop, kept in lots of `chunk` samples."""
    lots = [torch.logsumexp(log_weights_of(model, x, chunk), 0) for _ in range(SAMPLES // chunk)]
    return torch.logsumexp(torch.stack(lots), 0) - torch.tensor(SAMPLES).log()


def ways_to_estimate(model) -> dict:
    """Functions from images to their mean log p(x)."""
    ways = {
        "ours": lambda x: log_likelihood(model, x, SAMPLES).mean(),
        "loop": lambda x: looped_estimate(model, x, loop_log_weights).mean(),
        "forwards": lambda x: looped_estimate(model, x, forwards_log_weights).mean(),
    }
    other = pythae_model(model, 1)
    if other is not None:
        other.eval()
        ways["pythae"] = torch.no_grad()(lambda x: other.get_nll(x, n_samples=SAMPLES, batch_size=100))
    return ways


def time_steps(num_samples: int, repeats: int) -> dict:
    """Milliseconds a step by repeat, for each way."""
    runs, steps = ways_to_train(num_samples), max(1, 20 // num_samples)
    for way in runs.values():
        milliseconds(way, 2)
    times = {name: [] for name in runs}
    for _ in range(repeats):
        for name, way in runs.items():
            times[name].append(milliseconds(way, steps))
    return times


def time_estimates(images: int, repeats: int) -> tuple[dict, dict]:
    """Milliseconds an image by repeat, and the estimates, for each way."""
    ways, x = ways_to_estimate(elbolab.pretrained("iwae-5")), quick_images()[:images]
    times, values = {name: [] for name in ways}, {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            values[name].append(float(way(x)))
            times[name].append(1e3 * (time.perf_counter() - start) / images)
    return times, {name: round(statistics.mean(found), 3) for name, found in values.items()}


def peak_memory(samples: int = 100) -> float:
    """GiB at the peak of a process that loads torch and 10,000 images and estimates their log p(x)."""
    code = (
        "import resource, torch, elbolab; from elbolab.inference import log_likelihood; "
        f"torch.set_num_threads({torch.get_num_threads()}); "
        "x = (torch.rand(10_000, 1, 28, 28) < 0.13).float(); "
        f"log_likelihood(elbolab.pretrained({TRAINED!r}), x, {samples}); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1024**3  # macOS counts in bytes, Linux in KiB


def summarize(times: dict, unit: str) -> dict:
    """Prints the least disturbed times and their ratios to ours, with the median ratio; returns them."""
    fastest = {name: min(values) for name, values in times.items()}
    ratios = {}
    for name, values in times.items():
        median = statistics.median(other / ours for other, ours in zip(values, times["ours"]))
        ratios[name] = {"fastest": round(fastest[name] / fastest["ours"], 2), "median": round(median, 2)}
        words = "" if name == "ours" else f"   {ratios[name]['fastest']:.2f} times ours, median {median:.2f}"
        print(f"  {name:9} {fastest[name]:9.2f} {unit}{words}")
    return {unit: {name: round(value, 3) for name, value in fastest.items()}, "ratio to ours": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, default=40, help="test images for the estimate, at most 200")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results = {}
    with_pythae = pythae_model(fresh_model(), 1) is not None
    if not with_pythae:
        print("pythae is not installed in this Python, so its rows are missing; the docstring says how to have them.")
    for num_samples in (5, 50):
        print(f"training step, batch {BATCH}, K = {num_samples}")
        results[f"training step, K = {num_samples}"] = summarize(time_steps(num_samples, options.repeats), "ms a step")
    print(f"log p(x) with {SAMPLES:,} samples, {options.images} images")
    times, values = time_estimates(options.images, max(1, options.repeats // 7))
    results["estimate"] = {**summarize(times, "ms an image"), "mean log p(x), nats": values}
    print("  they agree: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items()) + " nats")
    memory = peak_memory()
    print(f"whole test set, peak memory of the process: {memory:.2f} GiB (target: at most {MEMORY_TARGET:.0f})")
    results["whole test set, peak GiB"] = round(memory, 3)
    setting = {**vars(options), "batch": BATCH, "latents": LATENTS, "hidden": HIDDEN, "pythae": with_pythae}
    write_result("iwae", {**results, "setting": setting, "machine": describe_machine()})


if __name__ == "__main__":
    main()
