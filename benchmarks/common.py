"""What the benchmarks share: words about the machine, and where results are written."""

import itertools
import json
import math
import os
import platform
import time
from pathlib import Path

import torch

from elbolab.inference import log_likelihood

RESULTS = Path(__file__).parent / "results"
SAMPLES = 5000  # importance samples of a test log-likelihood, as in Burda et al. (2016)


def describe_machine() -> dict:
    """Processor, cores, threads and versions, in words that can be printed."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        # Above the number of cores, other work was running at the same time and timings mean little.
        "load at the end": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def measure_log_likelihood(model, images: torch.Tensor, samples: int, label: str = "") -> torch.Tensor:
    """log p(x) of each image `(N, 1, 28, 28)`, `(N,)`, with a line of progress now and then."""
    parts, start, done = [], time.perf_counter(), 0
    for number, x in enumerate(images.split(500), 1):
        parts.append(log_likelihood(model, x, num_samples=samples))
        done += len(x)
        if number % 4 == 0 or done == len(images):
            seconds = time.perf_counter() - start
            print(f"log-likelihood{label}: {done:,} of {len(images):,} images, {samples:,} samples, {seconds:.0f} s", flush=True)
    return torch.cat(parts)


def estimate_log_likelihood(model, images: torch.Tensor, samples: int = SAMPLES, lots: int = 5) -> tuple[float, float, float]:
    """Mean log p(x) in nats over the images, its Monte Carlo standard error, its standard error over images.

    The samples are drawn in lots. By the delta method the variance of log(mean of the lots) is that of the lots'
    ratios to their mean, divided by their number.
    """
    each = [measure_log_likelihood(model, images, samples // lots, f", lot {lot + 1} of {lots}").double() for lot in range(lots)]
    log_px = torch.logsumexp(torch.stack(each), 0) - math.log(lots)
    variance = (torch.stack(each) - log_px).exp().var(0) / lots
    return float(log_px.mean()), float(variance.sum().sqrt() / len(images)), float(log_px.std() / len(images) ** 0.5)


def milliseconds(steps, count: int) -> float:
    """Milliseconds a step, over `count` steps of a generator."""
    start = time.perf_counter()
    for _ in itertools.islice(steps, count):
        pass
    return 1e3 * (time.perf_counter() - start) / count


def write_result(name: str, content: dict) -> None:
    """Write benchmarks/results/NAME.json and say so."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: benchmarks/results/{path.name}")
