"""The ledger: what others reported, what this course gets, how, and whether it still holds.

    python benchmarks/ledger.py            # make ledger: seconds
    FULL=1 python benchmarks/ledger.py     # make ledger FULL=1: 5,000 samples on all test images, minutes a row

Reads benchmarks/ledger/*.json, which the runs themselves write with `write_entry`, and evaluates each
trained model that ships again. Prints a table and writes benchmarks/ledger/LEDGER.md and the README's
block. The quick way looks at the first 200 test images, which lie beside the entries, with 500
samples; the full way needs the full MNIST.
"""

import json
import math
import os
import re
import sys
from pathlib import Path

import torch
from common import SAMPLES, estimate_log_likelihood
from safetensors.torch import load_file, save_file

from elbolab import trained
from elbolab.data import load_mnist
from elbolab.inference import log_likelihood

ROOT = Path(__file__).resolve().parents[1]
LEDGER = ROOT / "benchmarks" / "ledger"
FIELDS = (
    "system", "quantity", "reported", "ours", "better", "shortfall", "command", "seed", "data", "hardware", "wall_seconds",
    "date", "checkpoint",
)  # fmt: skip
QUICK_IMAGES, QUICK_SAMPLES = 200, 500
# In nats. Another machine rounds otherwise, another version of torch may draw otherwise: about 0.02 quick, 0.005 in full.
QUICK_TOLERANCE, FULL_TOLERANCE = 0.15, 0.05
MARKS = "<!-- ledger -->", "<!-- /ledger -->"


# --- writing: what a run calls ---------------------------------------------------------------------------------


def write_entry(name: str, entry: dict, folder: Path = LEDGER) -> None:
    """Write one row as folder/NAME.json and say so.

    Arguments:
        entry: "system" (what is reproduced), "quantity" (with its unit), "reported" {"value", "source", "where",
            "setting"} or None, "ours" {"value", "spread" (standard error or deviation, or None), "runs" (list)},
            "better" ("lower" or "higher"), "shortfall" (a sentence or None), "command", "seed", "data", "hardware",
            "wall_seconds", "date", "checkpoint" (a name that `elbolab.pretrained` knows, or None).
    """
    if set(entry) != set(FIELDS):
        lacks, beside = sorted(set(FIELDS) - set(entry)), sorted(set(entry) - set(FIELDS))
        raise ValueError(f"write_entry: {name} lacks the fields {lacks} and has {beside}, which the ledger does not know.")
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(entry, indent=2, ensure_ascii=False) + "\n")
    print(f"written: benchmarks/ledger/{name}.json")


def quick_value(model) -> dict:
    """What is measured in seconds: mean log p(x) of the first test images, in nats, always from the same noise.

    Returns {"images": how many, "samples": for each, "log p(x)": the mean}.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = log_likelihood(model, quick_images(), QUICK_SAMPLES).double().mean()
    return {"images": QUICK_IMAGES, "samples": QUICK_SAMPLES, "log p(x)": float(value)}


def quick_images() -> torch.Tensor:
    """The first test images, binarized once with seed 0, `(N, 1, 28, 28)`: kept with the ledger, eight pixels a byte."""
    path, bits = LEDGER / "first_test_images.safetensors", 1 << torch.arange(8, dtype=torch.uint8)
    if not path.exists():
        images = load_mnist().test.images[:QUICK_IMAGES].flatten(1).unflatten(1, (98, 8))
        LEDGER.mkdir(exist_ok=True)
        save_file({"images": (images.to(torch.uint8) * bits).sum(-1, dtype=torch.uint8)}, path)
    packed = load_file(path)["images"]
    return (packed.unsqueeze(-1) & bits).ne(0).float().view(-1, 1, 28, 28)


# --- checking: does the figure still hold? -----------------------------------------------------------------------


def check(entry: dict, full: bool = False) -> str:
    """Words for the last column: "holds", "no model ships", or what is wrong."""
    name = entry["checkpoint"]
    if name is None:
        return "no model ships"
    try:
        metrics, model = trained.card(name)["metrics"], trained.pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        return f"CANNOT BE CHECKED: {str(error).split('. ')[0]}"
    on_card = metrics[f"test log p(x), {SAMPLES:,} samples"]
    if not math.isclose(on_card, entry["ours"]["value"], abs_tol=1e-9):
        return f"DOES NOT HOLD: the model's card says {on_card:.2f}"
    if not full:
        now, then = quick_value(model)["log p(x)"], metrics["quick"]["log p(x)"]
        return verdict(now, then, QUICK_TOLERANCE, f"on {QUICK_IMAGES} images")
    data = load_mnist()
    if len(data.test) != 10_000:
        return "CANNOT BE CHECKED in full: the full MNIST is not here"
    torch.manual_seed(1)  # other noise than the run's own
    now, _, _ = estimate_log_likelihood(model, data.test.images)
    return verdict(now, entry["ours"]["value"], FULL_TOLERANCE, "on all images")


def verdict(now: float, then: float, tolerance: float, where: str) -> str:
    return "holds" if abs(now - then) <= tolerance else f"NO LONGER HOLDS: {where} {now:.2f} now, {then:.2f} then"


# --- the table ---------------------------------------------------------------------------------------------------


def read_entries(folder: Path = LEDGER) -> dict[str, dict]:
    """Entries by name: log-likelihoods first, those that reproduce the same source together, in the order of their numbers."""
    entries = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}

    def place(name):
        higher, reported = entries[name]["better"] == "higher", entries[name]["reported"]
        source = reported["source"] if higher and reported else ""
        return not higher, source, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

    return {name: entries[name] for name in sorted(entries, key=place)}


def cells(entry: dict, status: str) -> dict:
    """What the table says of an entry, column by column, in words."""
    ours, reported = entry["ours"], entry["reported"]
    value, spread = f"{ours['value']:.2f}", ours["spread"]
    if spread:
        value += f" ± {spread:.2g}" if len(ours["runs"]) == 1 else f" ± {spread:.2f} ({len(ours['runs'])} seeds)"
    difference = "" if reported is None else f"{ours['value'] - reported['value']:+.2f}"
    if reported is not None:
        ahead = (ours["value"] >= reported["value"]) == (entry["better"] == "higher")
        difference += ", better" if ahead else ", short of it"
    return {
        "system": entry["system"],
        "reported": "" if reported is None else f"{reported['value']:.2f}",
        "ours": value,
        "difference": difference,
        "shortfall": entry["shortfall"] or "",
        "checked": status,
    }


def text_table(rows: list[dict]) -> str:
    columns = ("system", "reported", "ours", "difference", "checked")
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown_table(rows: list[dict]) -> str:
    lines = ["| system | reported | ours | difference | where ours falls short of the setting | checked |", "|---|---|---|---|---|---|"]
    for row in rows:
        words = (row[column] for column in ("system", "reported", "ours", "difference", "shortfall", "checked"))
        lines.append("| " + " | ".join(word.replace("-", "−", 1) if re.match(r"-\d", word) else word for word in words) + " |")
    return "\n".join(lines)


def details(name: str, entry: dict) -> str:
    """A paragraph for LEDGER.md: where the reported number stands, and how ours was made."""
    lines = [f"**{entry['system']}**: {entry['quantity']}, {entry['better']} is better."]
    if entry["reported"]:
        lines.append("- Reported: {value} ({source}, {where}). Setting: {setting}.".format(**entry["reported"]))
    minutes = f"{entry['wall_seconds'] / 60:.0f} minutes" if entry["wall_seconds"] >= 120 else f"{entry['wall_seconds']} seconds"
    lines.append(f"- Ours: `{entry['command']}`, seed {entry['seed']}, {entry['date']}, {minutes} on {entry['hardware']}.")
    lines.append(f"- Data: {entry['data']}.")
    if entry["shortfall"]:
        lines.append(f"- Shortfall: {entry['shortfall']}")
    if entry["checkpoint"]:
        lines.append(f'- The model ships: `elbolab.pretrained("{entry["checkpoint"]}")`.')
    return "\n".join(lines)


def document(entries: dict[str, dict], rows: list[dict]) -> str:
    intro = (
        "# The ledger\n\nWritten by `make ledger`; the numbers come from `benchmarks/ledger/*.json`, which the runs wrote themselves.\n"
        "A single run's ± is the Monte Carlo standard error of its estimate; several seeds' is their standard deviation.\n"
    )
    return "\n".join([intro, markdown_table(rows), "", "\n\n".join(details(name, entry) for name, entry in entries.items()), ""])


def put_into(text: str, block: str) -> str:
    """The text with what stands between the two marks replaced."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n{block}\n{MARKS[1]}{after}"


def main() -> int:
    full = os.environ.get("FULL", "0") not in ("", "0")
    entries, rows = read_entries(), []
    for name, entry in entries.items():
        print(f"checking {name} ...", file=sys.stderr, flush=True)
        rows.append(cells(entry, check(entry, full)))
    print(text_table(rows))
    (LEDGER / "LEDGER.md").write_text(document(entries, rows))
    readme = ROOT / "README.md"
    readme.write_text(put_into(readme.read_text(), markdown_table(rows)))
    print("written: benchmarks/ledger/LEDGER.md and the README's table")
    return int(any("HOLD" in row["checked"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
