"""How long the two explorers of unit 01 take to answer a slider: at most 200 ms each.

    python benchmarks/explorers.py

Times the whole answer in this process, from the slider's new value to the new picture; what the browser
adds is not in it. The models are untrained: the work is the same. Writes benchmarks/results/explorers.json.
"""

import time

import numpy as np
import torch
from common import describe_machine, write_result

from elbolab.data import load_mnist
from elbolab.explore import beta_explorer, latent_explorer
from elbolab.models import VariationalAutoencoder

LIMIT = 200.0  # milliseconds


def answers(slider, values) -> list[float]:
    """Milliseconds for each of the values."""
    times = []
    for value in values:
        start = time.perf_counter()
        slider.value = value
        times.append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    torch.manual_seed(0)
    data = load_mnist(binarize="dynamic")
    models = {beta: VariationalAutoencoder((1, 28, 28), 2) for beta in (0.1, 1, 10, 50)}
    latent, beta = latent_explorer(models[1], data.validation), beta_explorer(models, data.validation)
    values = [float(v) for v in np.linspace(-2.9, 2.9, 30)]
    times = {
        "latent": answers(latent.sliders[0], values),
        "beta": answers(beta.sliders[0], [*beta.sliders[0].options[1:], *beta.sliders[0].options] * 3),
    }
    result = {name: {"median": round(float(np.median(t)), 2), "slowest": round(max(t), 2)} for name, t in times.items()}
    for name, row in result.items():
        print(f"{name:7} median {row['median']:7.2f} ms, slowest {row['slowest']:7.2f} ms (at most {LIMIT:g})")
    write_result("explorers", {"ms an answer": result, "limit": LIMIT, "machine": describe_machine()})


if __name__ == "__main__":
    main()
