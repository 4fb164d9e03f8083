"""Trained models: saved and loaded as they were, refused when damaged, and what ships is whole and small."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import elbolab
from elbolab import trained
from elbolab.models import VariationalAutoencoder

ABOUT = {"command": "python benchmarks/train_ledger.py small"}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty folder in the place of the one that ships, with one small model in it."""
    monkeypatch.setattr(trained, "FOLDER", tmp_path)
    model = VariationalAutoencoder((1, 4, 4), 3, hidden=(7, 5), activation=nn.Tanh).float()
    trained.save("small-one", model, ABOUT, tmp_path)
    return tmp_path, model


def test_a_model_comes_back_as_it_was_saved(shelf):
    _, model = shelf
    loaded = elbolab.pretrained("small-one")
    assert not loaded.training and all(p.dtype == torch.float32 and p.requires_grad for p in loaded.parameters())
    assert isinstance(loaded.encoder[1], nn.Tanh)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    x = torch.rand(6, 1, 4, 4, dtype=torch.float32)
    torch.testing.assert_close(loaded.posterior(x).mean, model.posterior(x).mean)
    assert loaded.sample_from_prior(2)["px"].batch_shape == (2, 1, 4, 4)


def test_saving_rounds_the_model_to_what_ships(shelf):
    _, model = shelf
    assert all(torch.equal(value, value.half().float()) for value in model.state_dict().values())


def test_loading_takes_no_random_numbers_and_leaves_the_default_dtype(shelf):
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    elbolab.pretrained("small-one")
    assert torch.equal(torch.get_rng_state(), before) and torch.get_default_dtype() == dtype


def test_a_loaded_model_can_be_trained_on(shelf):
    model = elbolab.pretrained("small-one")
    loss, _, _ = elbolab.inference.VariationalInference()(model, torch.ones(2, 1, 4, 4, dtype=torch.float32))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_unknown_name_says_what_comes_close(shelf):
    with pytest.raises(ValueError, match="no model has the name 'smal-one'. Did you mean 'small-one'?"):
        elbolab.pretrained("smal-one")
    with pytest.raises(ValueError, match="There are: small-one"):
        elbolab.pretrained("quite different")


def test_missing_weights_say_what_to_do(shelf):
    folder, _ = shelf
    (folder / "small-one.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="missing.*git checkout.*train_ledger.py small"):
        elbolab.pretrained("small-one")


@pytest.mark.parametrize("damage", ["cut", "changed", "pointer"])
def test_damaged_weights_are_refused_before_they_are_read(shelf, damage):
    path = shelf[0] / "small-one.safetensors"
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])  # one bit
    path.write_bytes({"cut": content[:100], "changed": changed, "pointer": b"version https://git-lfs"}[damage])
    with pytest.raises(ValueError, match="damaged or another file.*git checkout"):
        elbolab.pretrained("small-one")


# --- what ships --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", trained.available())
def test_each_shipped_model_has_a_whole_card_and_loads(name):
    card = trained.card(name)
    assert {"command", "seed", "data", "hardware", "date", "metrics", "sha256", "architecture"} <= set(card)
    model = elbolab.pretrained(name)
    with torch.no_grad():
        images = model.sample_from_prior(3)["px"].mean
    assert images.shape == (3, 1, 28, 28) and images.dtype == torch.float32
    assert 0.02 < images.mean() < 0.4  # digits are mostly background


def test_what_ships_is_small_and_every_weight_has_a_card():
    files = list(trained.FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) < 9e6
    assert {f.stem for f in files if f.suffix == ".safetensors"} == {f.stem for f in files if f.suffix == ".json"}
    assert "unit01" in trained.available()


def test_a_model_loads_in_a_moment_and_needs_only_torch_and_safetensors():
    code = (
        "import sys, json, time, torch, elbolab; start = time.process_time(); elbolab.pretrained('unit01'); "
        "heavy = [m for m in ('pandas', 'matplotlib', 'torchvision') if m in sys.modules]; "
        "print(json.dumps([time.process_time() - start, heavy]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = json.loads(done.stdout)
    assert seconds < 5 and heavy == []


def test_what_lecture_02_says_of_best():
    """From model01 to best log p(x) rises and the ELBO falls by more than two nats."""
    before, after = (trained.card(name)["metrics"] for name in ("model01", "best"))
    assert after["test log p(x), 5,000 samples"] > before["test log p(x), 5,000 samples"]
    assert after["test elbo"] < before["test elbo"] - 2


@pytest.mark.parametrize("iwae, vae", [("iwae-5", "vae-1"), ("iwae-5", "vae-5"), ("iwae-50", "vae-50")])
def test_what_lecture_02_says_of_rows_with_as_many_epochs(iwae, vae):
    """The IWAE's log p(x) is ahead by 0.9 nats or more."""
    theirs, ours = (trained.card(name)["metrics"]["test log p(x), 5,000 samples"] for name in (vae, iwae))
    assert ours > theirs + 0.9


def test_what_lecture_02_says_of_active_units_and_gaps():
    """15, 20 and 22 active units; the gap between log p(x) and the ELBO grows from the VAE to the IWAEs, from 4 to 13 nats."""
    metrics = [trained.card(name)["metrics"] for name in ("vae-1", "iwae-5", "iwae-50")]
    assert [m["active units"] for m in metrics] == [15, 20, 22]
    assert [round(m["test log p(x), 5,000 samples"] - m["test elbo"]) for m in metrics] == [4, 7, 13]
    assert metrics[2]["test elbo"] == min(m["test elbo"] for m in metrics)
    assert metrics[2]["test log p(x), 5,000 samples"] > metrics[0]["test log p(x), 5,000 samples"]
