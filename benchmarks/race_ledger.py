"""Ledger entries of the estimator race: our exact test bounds beside the reference's, one file an estimator and kind of pixels."""

import statistics

from ledger import write_entry

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
    """Write a row for each estimator that the reference has, and kind of pixels, of which at least two seeds are stored."""
    for name in REPORTED:
        for pixels in ("grey", "binary"):
            runs = [run for run in race["runs"] if (run["estimator"], run["pixels"]) == (name, pixels)]
            if len(runs) > 1:
                write_entry(f"discrete_{name.replace(' ', '_').replace('.', '')}_{pixels}", entry(race, name, pixels, runs))


def entry(race: dict, name: str, pixels: str, runs: list) -> dict:
    """The row; the reference has grey pixels only."""
    ours, (value, log) = summary(runs), REPORTED[name]
    where = f"the last lines of its own log, a single batch each: {log}" if log else "not in its own log"
    reported = {"value": value, "source": SOURCE, "setting": SETTING, "where": where} if pixels == "grey" else None
    shortfall = [f"{runs[0]['train_images']:,} of the 60,000 training images", "another start of the decoder's first and last layers"]
    if len(runs) < 5:
        shortfall.insert(0, f"{len(runs)} seeds of five")
    return {
        "system": f"discrete VAE, {name}, {pixels} pixels",
        "quantity": "-ELBO, exact, whole test set, nats",
        "reported": reported,
        "ours": ours,
        "better": "lower",
        "shortfall": "; ".join(shortfall),
        "command": f"python benchmarks/race.py --pixels {pixels} --estimators '{name}'",
        "seed": sorted(run["seed"] for run in runs),
        "data": f"{runs[0]['data']}, {'grey pixels' if pixels == 'grey' else 'pixels drawn anew for each batch'}",
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
