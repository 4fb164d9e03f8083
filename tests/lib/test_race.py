"""The race's table and figure, from a made-up race whose numbers are known."""

import json
import math
from pathlib import Path

import pytest

from elbolab.race import ESTIMATORS, load_race, plot_race, race_table

KINDS = ("probabilities", "logits")


def a_run(name, seed, bound, kl=4.0, information=3.5, bias=0.5, codes=64):
    steps = [0, 300, 600]
    statistics = {}
    for kind in KINDS:
        statistics |= {f"bias_squared, {kind}": [bias] * 3, f"bias_low, {kind}": [None if bias is None else bias - 0.1] * 3,
                       f"bias_high, {kind}": [None if bias is None else bias + 0.1] * 3,
                       f"variance, {kind}": [8.0, 8.0, 16.0], f"exact_squared, {kind}": [2.0, 2.0, 4.0]}
    return {"estimator": name, "pixels": "grey", "seed": seed, "epochs": 5, "codes_a_step": codes, "step": steps,
            "elbo": [-205.0, -180.0, -bound], "log_px": [-204.0, -179.0, 1 - bound], "kl": [0.0, 2.0, kl],
            "information": [0.0, 1.5, information], **statistics, "no_latent": 205.5, "ms_a_step": 4.0 + seed,
            "test": {"elbo": -bound, "log_px": 1 - bound, "kl": kl, "information": information, "no_latent": 205.8}}


@pytest.fixture
def race():
    return {"runs": [a_run("enumeration", s, 145.0 + s, bias=0.0, codes=100) for s in range(3)]
            + [a_run("gumbel-softmax 1.0", s, 160.0, kl=4.6, information=0.0) for s in range(2)]
            + [a_run("vimco-10", 0, 150.0, bias=None, codes=640)]}


def test_the_table_has_means_and_spreads_over_the_seeds(race):
    table = race_table(race)
    assert list(table.index) == ["enumeration", "VIMCO, 10 samples", "Gumbel-softmax, τ = 1"]
    row = table.loc["enumeration"]
    assert row["seeds"] == 3 and row["-ELBO"] == pytest.approx(146.0) and row["spread"] == pytest.approx(1.0) and row["-log p(x)"] == pytest.approx(145.0)
    assert row["codes a step"] == 100 and row["ms a step"] == 5.0
    # Variance 8, 8, 16 at exact squared lengths 2, 2, 4: four times in each measurement.
    assert row["variance"] == pytest.approx(4.0)
    assert row["last variance"] == 16.0 and table["seeds"].dtype.kind == table["codes a step"].dtype.kind == "i"
    assert math.isnan(table.loc["VIMCO, 10 samples", "bias"]) and table.loc["VIMCO, 10 samples", "variance"] == pytest.approx(4.0)


def test_the_table_shows_a_collapse_that_the_kl_hides(race):
    row = race_table(race).loc["Gumbel-softmax, τ = 1"]
    assert row["KL"] == pytest.approx(4.6) and row["I(x; z)"] == 0.0 and row["collapsed"] == row["seeds"] == 2
    assert race_table(race).loc["enumeration", "collapsed"] == 0


def test_the_table_has_a_bias_where_most_intervals_show_one(race):
    # Squared bias 0.5, 0.5, 0.5 at exact squared lengths 2, 2, 4: a quarter in most measurements. That of 0.05 has intervals around 0.
    assert race_table(race).loc["Gumbel-softmax, τ = 1", "bias"] == pytest.approx(0.25)
    assert math.isnan(race_table({"runs": [a_run("rebar", seed, 150.0, bias=0.05) for seed in range(3)]}).loc["REBAR", "bias"])


def test_other_pixels_are_another_race(race):
    assert len(race_table(race, "binary")) == 0
    assert len(race_table({"runs": [{**race["runs"][0], "pixels": "binary"}]}, "binary")) == 1


def test_the_figure_has_a_line_and_a_band_for_each_estimator(race, tmp_path):
    (tmp_path / "race.json").write_text(json.dumps(race))
    figure = plot_race(load_race(tmp_path / "race.json"))
    bound, log_px, information, bias, variance = figure.axes
    assert bound.get_xscale() == variance.get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [ESTIMATORS[name][0] for name in ("enumeration", "vimco-10", "gumbel-softmax 1.0")]
    lines = {line.get_label(): line for line in bound.lines}
    # 300 and 600 steps of 100 codes; the mean over three seeds; the band from the lowest to the highest.
    assert list(lines["enumeration"].get_xdata()) == [30_000, 60_000]
    assert list(lines["enumeration"].get_ydata()) == pytest.approx([180.0, 146.0])
    # log p(x) is made up to be one nat better than the bound in every measurement.
    likelihoods = {line.get_label(): line for line in log_px.lines}
    assert list(likelihoods["enumeration"].get_ydata()) == pytest.approx([179.0, 145.0])
    heights = bound.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(145.0) and heights.max() == pytest.approx(180.0)
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in figure.axes)
    # Nobody's bias is drawn where its interval reaches 0, and the exact estimator's variance not at all.
    assert [line.get_label() for line in bias.lines] == [ESTIMATORS["gumbel-softmax 1.0"][0]]
    assert len(variance.lines) == 2 and len(information.lines) == 3


def test_a_bias_that_one_seed_sees_is_not_drawn(race):
    runs = [a_run("rloo-10", seed, 150.0, bias=0.5 if seed == 0 else 0.05) for seed in range(3)]
    assert runs[1]["bias_low, logits"][0] < 0 < runs[0]["bias_low, logits"][0]
    assert plot_race({"runs": runs}).axes[3].lines[:] == []


def test_the_figure_shows_those_who_were_asked_for(race):
    figure = plot_race(race, estimators=["vimco-10", "enumeration"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["enumeration", "VIMCO, 10 samples"]
    with pytest.raises(ValueError, match="no estimator is called 'rloo'"):
        plot_race(race, estimators=["rloo"])


def test_every_estimator_has_a_look_of_its_own():
    looks = [(color, style) for _, color, style in ESTIMATORS.values()]
    assert len(set(looks)) == len(looks)
    assert len({title for title, _, _ in ESTIMATORS.values()}) == len(ESTIMATORS)


def test_what_the_lecture_says_of_the_stored_race_is_so():
    """Section 10 of lecture 04 in words; its numbers it reads from the file itself."""
    race = load_race(Path(__file__).parents[2] / "course" / "04_discrete" / "race.json")
    table = race_table(race)
    sick, cured, exact = (ESTIMATORS[name][0].replace(r"$\tau$", "τ")
                          for name in ("gumbel-softmax 1.0 (torch init)", "gumbel-softmax 1.0", "enumeration (torch init)"))
    assert table.loc["enumeration", "-ELBO"] == table["-ELBO"].min() or table.loc["enumeration", "-ELBO"] < 146
    assert 0 < table.loc[sick, "collapsed"] < table.loc[sick, "seeds"]
    own_start = [run for run in race["runs"] if run["estimator"] == "gumbel-softmax 1.0 (torch init)" and run["pixels"] == "grey"]
    for run in own_start:
        test, variance = run["test"], run["variance, logits"][-1]
        if test["information"] < 0.1:
            assert test["kl"] > 4.5 and -test["elbo"] > 205 and variance < 1e-6
        else:
            assert -test["elbo"] < table.loc[cured, "-ELBO"] + 2 and variance > 1
    assert (table.drop(index=sick)["collapsed"] == 0).all()
    if "VIMCO, 10 samples" in table.index:
        assert table.loc["VIMCO, 10 samples", "-log p(x)"] == table["-log p(x)"].min()
    # Two samples are enough for leave-one-out: level with Gumbel-softmax, without its bias, at a five-hundredth of one sample's variance.
    pair, relaxed, alone = (table.loc[ESTIMATORS[name][0].replace(r"$\tau$", "τ")] for name in ("rloo-2", "gumbel-softmax 0.5", "score function"))
    assert abs(pair["-ELBO"] - relaxed["-ELBO"]) < 0.2 and 500 < alone["variance"] / pair["variance"] < 600
    assert (pair["codes a step"], relaxed["codes a step"]) == (128, 64) and table.loc["RLOO, 10 samples", "-ELBO"] < pair["-ELBO"] - 2
    assert table.loc[exact, "-ELBO"] > table.loc["enumeration", "-ELBO"]
    for name in table.index.intersection(["score function, 1 sample", "RLOO, 2 samples", "RLOO, 10 samples", "REBAR"]):
        assert math.isnan(table.loc[name, "bias"])
    for name in table.index[table.index.str.startswith(("Gumbel-softmax, τ = 0.5", "straight-through"))]:
        assert table.loc[name, "bias"] > 0
