"""Unit 01's numbers: a VAE with 20 latents on all of MNIST, measured on the test set.

    python benchmarks/unit01.py [--epochs 20] [--samples 5000] [--latents 20] [--seed 0] [--threads N]

The test set chooses nothing: it is looked at once, after the last epoch. Writes
benchmarks/results/unit01.json and prints a table.
"""

import argparse
import time

import torch
from common import describe_machine, measure_log_likelihood, write_result

from elbolab.data import Split, load_mnist
from elbolab.inference import VariationalInference, active_units
from elbolab.models import VariationalAutoencoder
from elbolab.training import evaluate, fit


def no_latent_baseline(train: Split, test: Split) -> float:
    """Mean log p(x), in nats, of test images under the best independent pixels: each pixel's mean on train.

    Half a count for either outcome keeps a pixel that is always black in train from being impossible.
    """
    ones = train.images.double().sum(0) + 0.5
    probability = ones / (len(train) + 1)
    x = test.images.double()
    return float((x * probability.log() + (1 - x) * torch.log1p(-probability)).flatten(1).sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--samples", type=int, default=5000, help="importance samples of the log-likelihood")
    parser.add_argument("--latents", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    start = time.perf_counter()
    data = load_mnist(binarize="dynamic", seed=options.seed)
    print(data)
    torch.manual_seed(options.seed)
    model = VariationalAutoencoder((1, 28, 28), options.latents)
    vi = VariationalInference()
    history = fit(model, vi, data, epochs=options.epochs, batch_size=64, lr=1e-3, seed=options.seed)
    trained = time.perf_counter()

    test = evaluate(model, vi, data.test, seed=options.seed)
    units, variances = active_units(model, data.test.images)
    torch.manual_seed(options.seed)
    log_px = measure_log_likelihood(model, data.test.images, options.samples).double()
    result = {
        "test elbo": test["elbo"],
        f"test log p(x), {options.samples} samples": float(log_px.mean()),
        "standard error over images": float(log_px.std() / len(log_px) ** 0.5),
        "test kl": test["kl"],
        "test log p(x|z)": test["log_px"],
        "active units": units,
        "no-latent baseline": no_latent_baseline(data.train, data.test),
    }
    print(f"\n{'quantity (nats, test set)':34} value")
    for name, value in result.items():
        print(f"{name:34} {value if isinstance(value, int) else format(value, '.2f')}")
    write_result(
        "unit01",
        {
            "result": result,
            "latent variances": [round(v, 4) for v in variances.tolist()],
            "validation": history[history["split"] == "validation"][["epoch", "elbo", "log_px", "kl"]].to_dict("list"),
            "setting": {**vars(options), "batch": 64, "lr": 1e-3, "binarization": data.binarize, "data": data.source.split(" in ")[0]},
            "sizes": {name: len(getattr(data, name)) for name in ("train", "validation", "test")},
            "seconds": {"training": round(trained - start, 1), "all": round(time.perf_counter() - start, 1)},
            "machine": describe_machine(),
        },
    )


if __name__ == "__main__":
    main()
