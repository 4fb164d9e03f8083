"""A training that was stopped goes on as if it had not been: weights, optimizer, history, bit for bit."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from elbolab import resuming
from elbolab.data import Dataset, Split
from elbolab.discrete import CategoricalVAE, DiscreteInference
from elbolab.inference import VariationalInference
from elbolab.models import VariationalAutoencoder
from elbolab.training import fit

pytestmark = pytest.mark.usefixtures("no_fast")

# Two rows of the history in 5 epochs of 4 steps, and one for the epoch after them. The rate changes with each step.
CALL = dict(epochs=5, batch_size=16, lr=lambda step: 1e-2 / (1 + step), evaluate_every=2, progress=False)


def make_data():
    grey = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    splits = Split("train", grey, torch.arange(60), "dynamic"), Split("validation", grey.round(), torch.arange(60), "static")
    return Dataset(*splits, splits[1], "random pixels", "dynamic")


def make_model(seed=0, hidden=8):
    torch.manual_seed(seed)
    return VariationalAutoencoder((1, 4, 4), 2, hidden=(hidden,))


class Failure(Exception):
    pass


class Stops(VariationalInference):
    """K = 1 until a given training step, and then an exception."""

    def __init__(self, step, stop=Failure):
        super().__init__()
        self.left, self.stop = step, stop

    def __repr__(self):
        return repr(VariationalInference())

    def forward(self, model, x):
        self.left -= torch.is_grad_enabled()
        if self.left < 0:
            raise self.stop()
        return super().forward(model, x)


@pytest.fixture(autouse=True)
def saved_each_epoch(monkeypatch):
    monkeypatch.setattr(resuming, "PAUSE", 0)


def assert_same(one, other, where="state"):
    """Equal to the last bit, whatever it is made of."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            if key != "seconds":
                assert_same(one[key], other[key], f"{where}, {key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}, {number}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other), where
    else:
        assert one == other, where


def uninterrupted(path, **call):
    model = make_model()
    history = fit(model, VariationalInference(), make_data(), checkpoint=path, **{**CALL, **call})
    return model.state_dict(), history


def all_of(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("step", [4, 6, 9, 15, 18])
def test_a_training_that_went_on_is_the_one_that_was_not_stopped(tmp_path, step):
    weights, history = uninterrupted(tmp_path / "whole.pt")
    path = tmp_path / "deeper" / "stopped.pt"
    with pytest.raises(Failure):
        fit(make_model(), Stops(step), make_data(), checkpoint=path, **CALL)
    assert all_of(path)["epoch"] == step // 4
    model = make_model(seed=7)  # other weights than the training began with: those of the file count
    again = fit(model, VariationalInference(), make_data(), checkpoint=path, **CALL)
    assert_same(model.state_dict(), weights)
    assert again.equals(history) and again["epoch"].tolist() == [2, 2, 4, 4, 5, 5]
    assert_same(all_of(path), all_of(tmp_path / "whole.pt"))  # the optimizer's moments, the generators, the sums since the last row


def test_keeping_the_state_changes_nothing_in_the_training(tmp_path):
    weights, history = uninterrupted(tmp_path / "run.pt")
    plain, plain_history = uninterrupted(None)
    assert_same(plain, weights)
    assert plain_history.equals(history)


def test_torchs_own_generator_goes_on_too_when_there_is_no_seed(tmp_path):
    weights, _ = uninterrupted(tmp_path / "whole.pt", seed=None)
    with pytest.raises(Failure):
        fit(make_model(), Stops(9), make_data(), checkpoint=tmp_path / "stopped.pt", **CALL, seed=None)
    model = make_model(seed=7)
    fit(model, VariationalInference(), make_data(), checkpoint=tmp_path / "stopped.pt", **CALL, seed=None)
    assert_same(model.state_dict(), weights)


def test_after_the_stop_button_the_same_call_goes_on(tmp_path, capsys):
    weights, _ = uninterrupted(None)
    model, path = make_model(), tmp_path / "run.pt"
    assert fit(model, Stops(9, KeyboardInterrupt), make_data(), checkpoint=path, **CALL).attrs["stopped"] == "interrupted"
    assert "The same call goes on from the end of epoch 2." in capsys.readouterr().out
    assert fit(model, VariationalInference(), make_data(), checkpoint=path, **CALL).attrs["stopped"] is None
    assert_same(model.state_dict(), weights)


def test_more_epochs_may_follow_and_a_finished_training_is_there_at_once(tmp_path):
    weights, history = uninterrupted(None)
    path = tmp_path / "run.pt"
    for epochs in (1, 3, 5):
        uninterrupted(path, epochs=epochs)
    model = make_model(seed=7)
    again = fit(model, Stops(0), make_data(), checkpoint=path, **CALL)  # no step more, or it would fail
    assert_same(model.state_dict(), weights)
    assert again.equals(history)


def test_a_loss_that_is_not_finite_puts_back_the_weights_of_the_last_row_before_the_stop(tmp_path):
    path, model = tmp_path / "run.pt", make_model()
    uninterrupted(path, epochs=3)

    class Broken(Stops):
        def forward(self, model, x):
            loss, *others = VariationalInference.forward(self, model, x)
            return loss * torch.nan, *others

    history = fit(model, Broken(0), make_data(), checkpoint=path, **CALL)
    assert history.attrs["stopped"] == "not finite" and history["epoch"].tolist() == [2, 2]
    assert_same(model.state_dict(), uninterrupted(None, epochs=2)[0])


def test_an_objective_that_counts_its_steps_goes_on_counting(tmp_path):
    data, weights = make_data(), []
    for stops in ((5,), (2, 5)):
        torch.manual_seed(0)
        model = CategoricalVAE((1, 4, 4), classes=3, hidden=(8,))
        for epochs in stops:
            objective = DiscreteInference(beta=lambda step: step / 20)
            fit(model, objective, data, checkpoint=tmp_path / f"{len(stops)}.pt", **{**CALL, "epochs": epochs})
        assert objective.step == 20
        weights.append(model.state_dict())
    assert_same(*weights)


@pytest.mark.parametrize(
    "words, call",
    [
        (r"seed \(there 0, now 1\)", dict(seed=1)),
        (r"batch_size \(there 16, now 8\)", dict(batch_size=8)),
        (r"evaluate_every \(there 2, now 1\)", dict(evaluate_every=1)),
        ("learning rate", dict(lr=lambda step: 1e-2 / (1 + step) if step < 7 else 1e-3)),
        (r"number of images \(there 60, now 59\)", dict(data=make_data().train.first(59))),
        ("mean of the images", dict(data=Split("train", make_data().train.images * 0.9, torch.arange(60), "dynamic"))),
        ("binarization", dict(data=Split("train", make_data().train.images, torch.arange(60), "none"))),
        ("model", dict(model=VariationalAutoencoder((1, 4, 4), 2, hidden=(8,), activation=nn.Tanh))),
        ("objective", dict(vi=VariationalInference(num_samples=2))),
    ],
)
def test_the_state_of_another_training_is_refused_and_kept(tmp_path, words, call):
    path = tmp_path / "run.pt"
    uninterrupted(path, epochs=2)
    before = path.read_bytes()
    arguments = {"model": make_model(), "vi": VariationalInference(), "data": make_data(), "checkpoint": path, **CALL, **call}
    weights = {name: value.clone() for name, value in arguments["model"].state_dict().items()}
    with pytest.raises(ValueError, match=f"another training, which differs in .*{words}"):
        fit(**arguments)
    assert path.read_bytes() == before
    assert_same(dict(arguments["model"].state_dict()), weights)


def test_an_epoch_that_was_cut_short_is_not_kept(tmp_path):
    path = tmp_path / "run.pt"
    uninterrupted(path, max_steps=10)
    assert all_of(path)["step"] == 8
    weights, _ = uninterrupted(path)
    assert_same(weights, uninterrupted(None)[0])


def test_saving_that_fails_half_way_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    uninterrupted(path, epochs=2)

    def fails(state, file):
        file.write(b"half of it")
        raise OSError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(torch, "save", fails)
        uninterrupted(path)
    assert_same(uninterrupted(path)[0], uninterrupted(None)[0])


def test_it_is_saved_once_in_a_while_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "PAUSE", 1e9)
    with pytest.raises(Failure):
        fit(make_model(), Stops(18), make_data(), checkpoint=tmp_path / "run.pt", **CALL)
    assert not [*tmp_path.iterdir()]
    uninterrupted(tmp_path / "run.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"] and all_of(tmp_path / "run.pt")["epoch"] == 5


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, sys.argv[1])
import test_resuming as here
torch.set_default_dtype(torch.float64)
here.resuming.PAUSE = 0

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

here.fit(here.make_model(), here.Stops(14, kill), here.make_data(), checkpoint=sys.argv[2], **here.CALL)
"""


def test_a_process_that_was_killed_is_gone_on_with_in_another(tmp_path):
    path = tmp_path / "run.pt"
    killed = subprocess.run([sys.executable, "-c", KILLED, os.path.dirname(__file__), path], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert all_of(path)["epoch"] == 3
    weights, history = uninterrupted(tmp_path / "whole.pt")
    model = make_model(seed=7)
    assert fit(model, VariationalInference(), make_data(), checkpoint=path, **CALL).equals(history)
    assert_same(model.state_dict(), weights)
