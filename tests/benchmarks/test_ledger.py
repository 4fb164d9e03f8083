"""The ledger: entries that runs wrote, figures that are looked at again, and a table that says when one is off."""

import importlib
import itertools
import json
import sys
from pathlib import Path

import pytest
import torch

from elbolab import trained
from elbolab.data import Dataset, Split
from elbolab.models import VariationalAutoencoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    """A module of benchmarks/ by name; they import one another as scripts do."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def ledger(bench):
    return bench("ledger")


ENTRY = {
    "system": "a small model",
    "quantity": "test log-likelihood, nats",
    "reported": {"value": -85.02, "source": "someone, 2020", "where": "table 1", "setting": "K = 5"},
    "ours": {"value": -84.5, "spread": 0.002, "runs": [-84.5]},
    "better": "higher",
    "shortfall": None,
    "command": "python benchmarks/train_ledger.py small",
    "seed": 0,
    "data": "MNIST",
    "hardware": "a computer",
    "wall_seconds": 300,
    "date": "2026-01-01",
    "checkpoint": "small",
}


@pytest.fixture
def shipped(ledger, tmp_path, monkeypatch):
    """A small model that ships, with a card that fits ENTRY."""
    monkeypatch.setattr(trained, "FOLDER", tmp_path)
    torch.manual_seed(0)
    model = VariationalAutoencoder((1, 28, 28), 2, hidden=(8,))
    trained.save("small", model, {}, tmp_path)
    metrics = {"test log p(x), 5,000 samples": -84.5, "quick": ledger.quick_value(model)}
    trained.save("small", model, {"command": "x", "metrics": metrics}, tmp_path)
    return tmp_path, model, metrics


# --- checking ----------------------------------------------------------------------------------------------------


def test_a_figure_that_holds_says_so(ledger, shipped):
    assert ledger.check(ENTRY) == "holds"
    assert ledger.check({**ENTRY, "checkpoint": None}) == "no model ships"


def test_a_worse_model_is_shown_as_such(ledger, shipped):
    folder, model, metrics = shipped
    with torch.no_grad():
        model.decoder[-1].bias += 1.0  # the card still has the old figures
    trained.save("small", model, {"command": "x", "metrics": metrics}, folder)
    assert ledger.check(ENTRY).startswith("NO LONGER HOLDS: on 200 images -")


def test_an_entry_that_was_written_by_hand_is_shown_as_such(ledger, shipped):
    assert "DOES NOT HOLD: the model's card says -84.50" == ledger.check({**ENTRY, "ours": {**ENTRY["ours"], "value": -80.0}})


def test_a_missing_or_damaged_model_is_shown_as_such(ledger, shipped):
    folder, _, _ = shipped
    (folder / "small.safetensors").write_bytes(b"nothing")
    assert ledger.check(ENTRY).startswith("CANNOT BE CHECKED: pretrained:")
    assert ledger.check({**ENTRY, "checkpoint": "other"}).startswith("CANNOT BE CHECKED: pretrained: no model has the name")


def test_quick_value_is_always_the_same_and_leaves_the_generator(ledger, shipped):
    _, model, metrics = shipped
    before = torch.get_rng_state()
    assert ledger.quick_value(model)["log p(x)"] == pytest.approx(metrics["quick"]["log p(x)"], abs=1e-4)
    assert torch.equal(torch.get_rng_state(), before)


def test_quick_images_are_digits(ledger):
    images = ledger.quick_images()
    assert images.shape == (200, 1, 28, 28) and set(images.unique().tolist()) == {0.0, 1.0}
    assert 0.1 < images.mean() < 0.17 and images[:, :, 0].mean() < 0.001  # strokes in the middle, an empty border


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ours, better, words", [(-84.5, "higher", "+0.52, better"), (-86.0, "higher", "-0.98, short of it"), (-86.0, "lower", "-0.98, better")]
)
def test_difference_says_which_side_is_ahead(ledger, ours, better, words):
    entry = {**ENTRY, "ours": {"value": ours, "spread": None, "runs": [ours]}, "better": better}
    assert ledger.cells(entry, "holds")["difference"] == words


def test_entries_are_written_whole_and_read_in_the_order_of_their_numbers(ledger, tmp_path):
    for name in ("iwae-50", "iwae-5", "vae-1"):
        ledger.write_entry(name, ENTRY, tmp_path)
    assert list(ledger.read_entries(tmp_path)) == ["iwae-5", "iwae-50", "vae-1"]
    with pytest.raises(ValueError, match=r"lacks the fields \['seed'\] and has \['seeds'\]"):
        ledger.write_entry("x", {**{k: v for k, v in ENTRY.items() if k != "seed"}, "seeds": 1}, tmp_path)


def test_the_block_is_replaced_between_its_marks_and_nowhere_else(ledger):
    text = "before\n<!-- ledger -->\nold\n<!-- /ledger -->\nafter"
    assert ledger.put_into(text, "new") == "before\n<!-- ledger -->\nnew\n<!-- /ledger -->\nafter"
    assert ledger.put_into(ledger.put_into(text, "new"), "new") == ledger.put_into(text, "new")


def test_what_is_in_the_repository_is_what_the_entries_say(ledger):
    """The README's table and LEDGER.md come from the entries: every figure and every shortfall stands there."""
    readme, page = (ROOT / "README.md").read_text(), (ledger.LEDGER / "LEDGER.md").read_text()
    entries = ledger.read_entries()
    assert entries
    rows = [ledger.cells(entry, "holds" if entry["checkpoint"] else "no model ships") for entry in entries.values()]
    assert page == ledger.document(entries, rows)
    assert ledger.put_into(readme, ledger.markdown_table(rows)) == readme


def test_each_entry_and_its_models_card_tell_the_same(ledger):
    for name, entry in ledger.read_entries().items():
        assert set(entry) == set(ledger.FIELDS), name
        if entry["checkpoint"]:
            card = trained.card(entry["checkpoint"])
            assert all(card[key] == entry[key] for key in ("command", "seed", "data", "hardware", "date")), name


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "benchmarks" / "ledger").glob("*.json"))])
def test_the_figures_of_what_ships_still_hold(ledger, name):
    entry = json.loads((ledger.LEDGER / f"{name}.json").read_text())
    assert ledger.check(entry) in ("holds", "no model ships")


# --- the rows ----------------------------------------------------------------------------------------------------


def test_seed_systems_schedule_is_the_published_one(bench):
    # 1e-3, then at update 7000 * 2^i lowered to 1e-3 * 10^(-update / 896000).
    rate = bench("ledger_rows").seed_system_schedule(1_400_000)
    expected = {0: 0, 6_999: 0, 7_000: 7, 13_999: 7, 14_000: 14, 112_000: 112, 223_999: 112, 895_999: 448, 896_000: 896, 1_399_999: 896}
    for step, thousands in expected.items():
        assert rate(step) == pytest.approx(1e-3 * 10 ** (-thousands / 896)), step
    # A tenth of the steps: the same, ten times faster.
    short = bench("ledger_rows").seed_system_schedule(140_000)
    assert all(short(step) == rate(10 * step) for step in range(0, 140_000, 7))


def test_burdas_schedule_is_the_published_one(bench):
    rates = bench("ledger_rows")
    passes = [rates.burda_schedule(3280)(step) for step in range(3280)]
    for i in range(8):
        assert sum(abs(rate - 1e-3 * 10 ** (-i / 7)) < 1e-9 for rate in passes) == 3**i
    assert passes == sorted(passes, reverse=True)
    assert sorted({round(rates.burda_rates(800)(step), 9) for step in range(800)}) == sorted({round(rate, 9) for rate in passes})


def test_a_shorter_training_says_by_how_much(bench):
    from pandas import DataFrame

    run, rows = bench("train_ledger"), bench("ledger_rows").ROWS
    history = DataFrame({"epoch": [15, 30]})
    said = run.shortfall(rows["model01"], history, 30, 128, 55_000)
    assert said == "30 epochs (12,900 updates); the setting has 1.4 million updates, about 3,256 epochs."
    assert "(12,900 updates), stopped before the 40" in run.shortfall(rows["model01"], history, 40, 128, 55_000)
    assert run.shortfall(rows["model01"], DataFrame({"epoch": [3256]}), 3256, 128, 55_000) is None


def test_a_run_that_was_stopped_goes_on_and_leaves_nothing_behind(bench, tmp_path, monkeypatch, capsys):
    run, rows = bench("train_ledger"), bench("ledger_rows")
    grey = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    splits = [Split(name, grey if name == "train" else grey.round(), torch.arange(60), how)
              for name, how in (("train", "dynamic"), ("validation", "static"), ("test", "static"))]
    small = rows.Row("small", None, latents=2, samples=2, epochs=4, hidden=(8,), published_epochs=4)
    made, calls, whole = {}, itertools.count(), run.VariationalInference.forward

    def breaks_off(vi, model, x):
        if torch.is_grad_enabled() and next(calls) == 7:  # three steps an epoch: in the third epoch
            raise KeyboardInterrupt
        return whole(vi, model, x)

    monkeypatch.setattr(run, "ROWS", {"small": small})
    monkeypatch.setattr(run, "STATES", tmp_path)
    monkeypatch.setattr(run, "load_mnist", lambda binarize: Dataset(*splits, "random pixels", binarize))
    monkeypatch.setattr(run, "measure", lambda model, data, seed: {"test log p(x), 5,000 samples": 0.0, "its Monte Carlo standard error": 0.0})
    monkeypatch.setattr(run.trained, "save", lambda name, model, about: made.update(about, weights=model.state_dict()))
    monkeypatch.setattr(run, "write_entry", lambda name, entry: made.update(entry))
    monkeypatch.setattr(run.os, "nice", lambda more: None)
    monkeypatch.setattr("elbolab.resuming.PAUSE", 0)

    def go(*more):
        made.clear()
        monkeypatch.setattr(sys, "argv", ["train_ledger.py", "small", *more])
        run.main()
        return dict(made)

    expected = go()
    assert expected["shortfall"] is None and not [*tmp_path.iterdir()]
    with pytest.raises(SystemExit):
        go("--measure")
    with monkeypatch.context() as patch:
        patch.setattr(run.VariationalInference, "forward", breaks_off)
        assert go() == {} and "goes on from the end of epoch 2" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"another training, which differs in seed \(there 0, now 1\)"):
        go("--seed", "1")
    with pytest.raises(ValueError, match="another training, which differs in evaluate_every.*, learning rate"):
        go("--epochs", "400")
    assert go("--measure")["shortfall"].startswith("2 epochs (6 updates), stopped before the 4")
    after = go()
    assert after["validation"] == expected["validation"] and after["stopped"] is None and not [*tmp_path.iterdir()]
    assert all(torch.equal(after["weights"][key], value) for key, value in expected["weights"].items())


def test_a_run_from_other_weights_has_another_state(bench, monkeypatch):
    run, rows = bench("train_ledger"), bench("ledger_rows").ROWS
    before = run.state_file("best", rows["best"])
    monkeypatch.setattr(run.trained, "card", lambda name: {"sha256": "0123456789"})
    assert run.state_file("best", rows["best"]) != before and "model01" in before.name
    assert run.state_file("model01", rows["model01"]).name == "model01.pt"


def test_estimate_and_its_error_on_a_model_whose_truth_is_known(bench):
    """Linear-Gaussian images: the estimate is log p(x) within a few of the errors that it states."""
    from elbolab.models import LinearGaussianVAE

    torch.manual_seed(0)
    model = LinearGaussianVAE(torch.randn(6, 2), torch.randn(6), 0.7)
    model.use_best_encoder()
    with torch.no_grad():
        model.encoder_log_sigma += 0.3
        x = torch.randn(300, 6)
        value, monte_carlo, over_images = bench("common").estimate_log_likelihood(model, x, samples=2000)
        truth = model.log_px(x)
    assert 0 < monte_carlo < 0.01 < over_images
    assert abs(value - truth.mean().item()) < 6 * monte_carlo
    assert over_images == pytest.approx(truth.std().item() / 300**0.5, rel=0.01)
