"""Ledger entries of the estimator race: our exact test bounds beside the reference's, one file an estimator."""

import json
import statistics
from pathlib import Path

LEDGER = Path(__file__).parent / "ledger"
SOURCE = "Storchastic's discrete VAE (van Krieken et al., 2021), trained anew; exact bound, one seed"
SETTING = "784-512-256-20 and its mirror, ReLU, two latents of ten classes, batch 64, Adam 1e-3, 5 epochs of MNIST, grey pixels"

# -ELBO of the reference's model trained anew, and the range of the last lines of its own log (a single batch each).
REPORTED = {
    "enumeration": (146.9, "141 to 156"),
    "gumbel-softmax 0.5": (147.9, "202 to 219"),
    "gumbel-softmax 1.0": (159.3, "202 to 219"),
    "rloo-10": (151.0, "151 to 164"),
    "straight-through": (156.3, None),
    "score function": (192.5, "190 to 209"),
}


def write_entries(race: dict) -> None:
    """Write discrete_NAME.json for each estimator that the reference has and of which at least two seeds are stored."""
    LEDGER.mkdir(exist_ok=True)
    for name, (reported, log) in REPORTED.items():
        runs = [run for run in race["runs"] if (run["estimator"], run["pixels"]) == (name, "grey")]
        if len(runs) < 2:
            continue
        binary = [run for run in race["runs"] if (run["estimator"], run["pixels"]) == (name, "binary")]
        path = LEDGER / f"discrete_{name.replace(' ', '_').replace('.', '')}.json"
        path.write_text(json.dumps(entry(race, name, reported, log, runs, binary), indent=2) + "\n")
        print(f"written: benchmarks/ledger/{path.name}")


def entry(race: dict, name: str, reported: float, log: str | None, runs: list, binary: list) -> dict:
    ours = summary(runs)
    shortfall = [f"{runs[0]['train_images']:,} of the 60,000 training images", "another start of the decoder's first and last layers"]
    if ours["value"] > reported:
        shortfall.insert(0, f"{ours['value'] - reported:.1f} nats above the reported value")
    if len(runs) < 5:
        shortfall.insert(0, f"{len(runs)} seeds of five")
    return {
        "system": f"discrete VAE, {name}",
        "quantity": "-ELBO, exact, whole test set, nats",
        "reported": {"value": reported, "source": SOURCE, "setting": SETTING,
                     "where": f"the last lines of its own log, a single batch each: {log}" if log else "not in its own log"},
        "ours": ours,
        "beside": {"binary pixels, drawn anew for each batch": summary(binary)} if binary else None,
        "better": "lower",
        "shortfall": "; ".join(shortfall),
        "command": f"python benchmarks/race.py --estimators '{name}'",
        "seed": [run["seed"] for run in runs],
        "data": runs[0]["data"],
        "hardware": f"{race['machine']['processor']}, one thread a run, torch {race['machine']['torch']}",
        # One thread a run: processor time, which is wall time on a machine that does nothing else.
        "wall_seconds": round(sum(run["ms_a_step"] * run["step"][-1] for run in runs) / 1e3),
        "date": max(run["date"] for run in runs),
        "checkpoint": None,
    }


def summary(runs: list) -> dict:
    """Mean, standard deviation and values of the test bounds, by seed."""
    bounds = [-run["test"]["elbo"] for run in sorted(runs, key=lambda run: run["seed"])]
    spread = round(statistics.stdev(bounds), 3) if len(bounds) > 1 else None
    return {"value": round(statistics.mean(bounds), 3), "spread": spread, "runs": bounds}
