"""The estimator race: what `benchmarks/race.py` measured, as a table and as a figure.

The same model was trained with each gradient estimator from several seeds. Every 300 steps there stand the exact bound,
the KL, the information I(x; z), and the bias and variance of the gradient; at the end the exact bound on the whole test set.
"""

import json
import math
from pathlib import Path

__all__ = ["ESTIMATORS", "load_race", "plot_race", "race_table"]

# name: title, color, line style. Okabe and Ito's colors and black; the style tells apart what shares a color.
ESTIMATORS = {
    "enumeration": ("enumeration", "#000000", "-"),
    "enumeration (torch init)": ("enumeration, torch's initialization", "#000000", ":"),
    "score function": ("score function, 1 sample", "#d55e00", "-"),
    "moving average": ("+ moving average", "#d55e00", "--"),
    "learned baseline": ("+ learned baseline", "#d55e00", ":"),
    "rloo-2": ("RLOO, 2 samples", "#0072b2", "--"),
    "rloo-10": ("RLOO, 10 samples", "#0072b2", "-"),
    "vimco-10": ("VIMCO, 10 samples", "#56b4e9", "-"),
    "rebar": ("REBAR", "#cc79a7", "-"),
    "gumbel-softmax 0.5": (r"Gumbel-softmax, $\tau$ = 0.5", "#009e73", "-"),
    "gumbel-softmax annealed": (r"Gumbel-softmax, $\tau$ = 1 to 0.3", "#009e73", "-."),
    "gumbel-softmax 1.0": (r"Gumbel-softmax, $\tau$ = 1", "#009e73", "--"),
    "gumbel-softmax 1.0 (torch init)": (r"Gumbel-softmax, $\tau$ = 1, torch's initialization", "#009e73", ":"),
    "straight-through": (r"straight-through, $\tau$ = 0.5", "#e69f00", "-"),
}


COLLAPSED = 0.1  # nats of information between image and code, of 4.6: below it the code is the same for practically every image


def load_race(path) -> dict:
    """Read what the race stored: "setting", "machine", and "runs", one for each estimator, kind of pixels and seed."""
    return json.loads(Path(path).read_text())


def race_table(race: dict, pixels: str = "grey", wrt: str = "logits"):
    """A DataFrame with a row an estimator: the test set's exact bound over the seeds, and the gradient's statistics.

    Columns: "seeds", and "collapsed", those whose code carries less than 0.1 nats; "-ELBO" and "spread" (mean and
    standard deviation over the seeds, nats, whole test set, exact); "-log p(x)", "KL" and "I(x; z)" (nats); squared "bias" and
    "variance" of one gradient estimate with respect to the logits (or probabilities), as multiples of the squared length
    of the exact gradient (medians over measurements and seeds; no bias where most 95 % intervals reach 0, nor for VIMCO,
    which aims at another bound); "last variance", absolute, nats^2 (median over the seeds); "codes a step" (decoder
    calls); "ms a step" (processor time).
    """
    import pandas as pd

    rows = {}
    for name, runs in _by_estimator(race, pixels).items():
        bounds = pd.Series([-run["test"]["elbo"] for run in runs])
        rows[ESTIMATORS[name][0].replace(r"$\tau$", "τ")] = {
            "seeds": len(runs), "collapsed": sum(run["test"]["information"] < COLLAPSED for run in runs),
            "-ELBO": bounds.mean(), "spread": bounds.std(), "-log p(x)": _mean([-run["test"]["log_px"] for run in runs]),
            "KL": _mean([run["test"]["kl"] for run in runs]), "I(x; z)": _mean([run["test"]["information"] for run in runs]),
            "bias": _median(sum([_relative(run, "bias_squared", wrt) for run in runs], [])) if _biased(runs, wrt) else math.nan,
            "variance": _median(sum([_relative(run, "variance", wrt) for run in runs], [])),
            "last variance": _median([run[f"variance, {wrt}"][-1] for run in runs]),
            "codes a step": runs[0]["codes_a_step"], "ms a step": _median([run["ms_a_step"] for run in runs]),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def plot_race(race: dict, pixels: str = "grey", wrt: str = "logits", estimators=None):
    """One figure: exact ELBO and log p(x) against codes decoded; information, squared bias and variance against training steps.

    A line is the mean over the seeds (for bias and variance the median); its band reaches from the lowest to the highest.
    Bias is drawn where its 95 % interval lies above 0 for most seeds, so that gaps mean: none seen.

    Arguments:
        estimators: keys of `ESTIMATORS` to draw; None for all that the race has. More than six lines are hard to tell apart.
    """
    import matplotlib.pyplot as plt

    if unknown := set(estimators or ()) - set(ESTIMATORS):
        raise ValueError(f"plot_race: no estimator is called {sorted(unknown)[0]!r}; there are: {', '.join(ESTIMATORS)}.")
    runs = {name: found for name, found in _by_estimator(race, pixels).items() if estimators is None or name in estimators}
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
    _plot_bound(axes[0, 0], runs, "elbo", "$-$ELBO, exact, validation images")
    _plot_bound(axes[0, 1], runs, "log_px", "$-$log p(x), exact, validation images")
    _plot_information(axes[0, 2], runs)
    _plot_statistic(axes[1, 0], runs, "bias_squared", wrt, "squared bias of the gradient\n(a gap: none seen)")
    _plot_statistic(axes[1, 1], runs, "variance", wrt, "variance of the gradient\n")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[1, 2].remove()
    place = {"loc": "center", "bbox_to_anchor": (0.84, 0.25)}
    figure.legend(handles, labels, **place, frameon=False, fontsize=10, title="over the seeds: middle and range")
    return figure


def _plot_bound(ax, runs: dict, quantity: str, title: str):
    """-ELBO or -log p(x) on the validation images, exact, against the codes that the decoder was asked about."""
    for name, found in runs.items():
        codes = [step * found[0]["codes_a_step"] for step in found[0]["step"][1:]]
        _band(ax, name, codes, [[-value for value in run[quantity][1:]] for run in found])
    level = _mean([run["no_latent"] for found in runs.values() for run in found])
    ax.axhline(level, color="#777777", linewidth=1)
    ax.text(0.99, level + 0.8, "no latent at all", transform=ax.get_yaxis_transform(), ha="right", fontsize=9, color="#555555")
    ax.set(xscale="log", xlabel="codes decoded", ylabel="nats (lower is better)", ylim=(None, level + 12))
    return _finish(ax, title)


def _plot_information(ax, runs: dict):
    """What the code says about the image. The KL cannot show a collapse onto one code for every image; this can."""
    for name, found in runs.items():
        _band(ax, name, found[0]["step"], [run["information"] for run in found])
    ax.set(xlabel="training steps", ylabel="nats")
    return _finish(ax, "information I(x; z) in the code (0: collapse)")


def _plot_statistic(ax, runs: dict, quantity: str, wrt: str, title: str):
    for name, found in runs.items():
        if name.startswith("enumeration"):
            continue  # it has neither bias nor variance
        values = [_relative(run, quantity, wrt) for run in found]
        if quantity == "bias_squared":
            lows = [run[f"bias_low, {wrt}"] for run in found]
            values = _seen(values, lows) if values[0] else []
        if values and any(not math.isnan(v) for value in values for v in value):
            _band(ax, name, found[0]["step"], values, _median)
    ax.set(xlabel="training steps", ylabel="relative to ‖exact gradient‖²", yscale="log")
    return _finish(ax, title.replace("gradient", f"gradient w.r.t. the {wrt}"))


def _seen(values: list, lows: list) -> list:
    """Biases where most seeds see one (a lower end above 0), else NaN: one seed in forty sees one that is not there."""
    most = [2 * sum(low > 0 for low in column) > len(column) for column in zip(*lows, strict=True)]
    return [[v if seen else math.nan for v, seen in zip(value, most, strict=True)] for value in values]


def _biased(runs: list, wrt: str) -> bool:
    """Whether most of the measurements see a bias: their 95 % interval lies above 0."""
    lows = [low for run in runs for low in run[f"bias_low, {wrt}"]]
    return None not in lows and 2 * sum(low > 0 for low in lows) > len(lows)


def _band(ax, name, x, values, middle=None):
    """The middle over the seeds as a line, lowest to highest as a band; NaN where no seed has a number."""
    columns = [[v for v in column if not math.isnan(v)] for column in zip(*values, strict=True)]
    title, color, style = ESTIMATORS[name]
    ax.plot(x, [(middle or _mean)(column) for column in columns], style, color=color, linewidth=1.6, label=title)
    low, high = ([pick(column, default=math.nan) for column in columns] for pick in (min, max))
    ax.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0)


def _finish(ax, title):
    ax.grid(alpha=0.3)
    ax.set_title(title, fontsize=10)
    return ax


def _by_estimator(race: dict, pixels: str) -> dict:
    runs = {name: [run for run in race["runs"] if (run["estimator"], run["pixels"]) == (name, pixels)] for name in ESTIMATORS}
    return {name: found for name, found in runs.items() if found}


def _relative(run: dict, quantity: str, wrt: str) -> list:
    """A statistic in units of the exact gradient's squared length, a number for each measurement; empty if it was not measured."""
    pairs = zip(run[f"{quantity}, {wrt}"], run[f"exact_squared, {wrt}"], strict=True)
    return [value / (exact or math.nan) for value, exact in pairs if value is not None]


def _mean(values):
    return sum(values) / len(values) if values else math.nan


def _median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else math.nan
