"""fit and evaluate: learning, repeatable, interruptible, quiet."""

import gc
import itertools
import math

import pytest
import torch
from torch import nn

from elbolab.budgets import FAST_EPOCHS, FAST_STEPS, budget
from elbolab.data import Dataset, Split
from elbolab.inference import VariationalInference
from elbolab.models import VariationalAutoencoder
from elbolab.training import evaluate, fit, make_optimizer, train_step

pytestmark = pytest.mark.usefixtures("no_fast")


def make_data(n=200):
    """Two kinds of 4 x 4 images, drawn anew for each batch."""
    labels = torch.arange(n) % 2
    grey = torch.full((n, 1, 4, 4), 0.1)
    grey[labels == 0, :, :2] = 0.9
    grey[labels == 1, :, 2:] = 0.9
    held_out = torch.bernoulli(grey[:50], generator=torch.Generator().manual_seed(1))
    return Dataset(
        Split("train", grey, labels, "dynamic"),
        Split("validation", held_out, labels[:50], "static"),
        Split("test", held_out, labels[:50], "static"),
        "the test", "dynamic",
    )


def make_model():
    torch.manual_seed(0)
    return VariationalAutoencoder((1, 4, 4), 2, hidden=(16,))


class After:
    """An objective that behaves until a given call, then does something else."""

    def __init__(self, calls, then):
        self.vi, self.calls, self.then = VariationalInference(), calls, then

    def __call__(self, model, x):
        if torch.is_grad_enabled():
            self.calls -= 1
        return self.then(model, x, self.vi) if self.calls < 0 and torch.is_grad_enabled() else self.vi(model, x)


def interrupt(model, x, vi):
    raise KeyboardInterrupt


def loss_is_nan(model, x, vi):
    loss, diagnostics, outputs = vi(model, x)
    return loss * math.nan, diagnostics, outputs


def test_fit_learns_and_records_both_splits():
    history = fit(make_model(), VariationalInference(), make_data(), epochs=25, lr=1e-2, batch_size=32)
    assert list(history.columns) == ["epoch", "step", "split", "loss", "elbo", "log_px", "kl"]
    assert list(history["split"]) == ["train", "validation"] * 25
    assert history["step"].tolist()[-2:] == [25 * 7, 25 * 7] and history["epoch"].tolist()[-1] == 25
    for _, rows in history.groupby("split"):
        # 16 fair coins cost 11.09 nats, independent pixels with the right means just as much (each is half
        # the time 0.9 and half 0.1); telling the two kinds apart saves up to 5.2 nats.
        assert rows["loss"].iloc[0] > 10.5 and rows["loss"].iloc[-1] < 9.0
        assert (rows["loss"] + rows["elbo"]).abs().max() < 1e-6
        assert (rows["log_px"] - rows["kl"] - rows["elbo"]).abs().max() < 1e-6
    assert history.attrs["stopped"] is None


def test_same_seed_gives_the_same_history_and_weights_and_another_does_not():
    runs = []
    for seed in (0, 0, 1):
        model = make_model()
        history = fit(model, VariationalInference(), make_data(), epochs=2, seed=seed, progress=False)
        runs.append((history.drop(columns=[]), torch.cat([p.detach().flatten() for p in model.parameters()])))
    assert runs[0][0].equals(runs[1][0]) and torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


@pytest.mark.parametrize("how", ["fit", "evaluate"])
def test_the_global_generator_is_left_as_it_was(how):
    model, data = make_model(), make_data()
    state = torch.get_rng_state()
    if how == "fit":
        fit(model, VariationalInference(), data, epochs=1, progress=False)
    else:
        evaluate(model, VariationalInference(), data.validation)
    assert torch.equal(state, torch.get_rng_state())


def test_seed_none_uses_the_global_generator():
    weights = []
    for seed in (1, 1, 2):
        model = make_model()
        torch.manual_seed(seed)
        fit(model, VariationalInference(), make_data(), epochs=1, seed=None, progress=False)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_evaluate_is_the_mean_over_the_whole_split_whatever_the_batches():
    # beta = 0 at z's mean would still be noisy, so compare with the same seed in one batch, by hand.
    model, data, vi = make_model(), make_data(), VariationalInference(beta=3.0)
    means = evaluate(model, vi, data.validation, batch_size=50, seed=5)
    torch.manual_seed(5)
    loss, d, _ = vi(model, data.validation.images)
    assert means == pytest.approx(
        {"loss": loss.item(), **{name: value.mean().item() for name, value in d.items()}}, rel=1e-12
    )
    with torch.no_grad():  # almost no noise: now the batches must not matter, and the last one is shorter
        model.encoder[-1].weight[2:], model.encoder[-1].bias[2:] = 0, -30
    whole = evaluate(model, vi, data.validation, batch_size=50)
    pieces = evaluate(model, vi, data.validation, batch_size=16)
    assert pieces["log_px"] == pytest.approx(whole["log_px"], rel=1e-9)
    assert not any(p.grad is not None for p in model.parameters()) and model.training


def test_interrupt_keeps_what_was_learned(capsys):
    model = make_model()
    before = [p.detach().clone() for p in model.parameters()]
    history = fit(model, After(10, interrupt), make_data(), epochs=5, batch_size=32)
    # 7 steps an epoch: one whole epoch and 3 steps of the second, each with a row of both splits.
    assert history.attrs["stopped"] == "interrupted" and history["step"].tolist() == [7, 7, 10, 10]
    assert history["split"].tolist() == ["train", "validation"] * 2
    assert not any(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
    out, err = capsys.readouterr()
    assert "what was learned is kept" in out and err == ""


def test_a_second_stop_costs_the_validation_row_only():
    objective = After(10, interrupt)

    def impatient(model, x):
        if objective.calls < 0:  # the validation images, after the first stop
            raise KeyboardInterrupt
        return objective(model, x)

    history = fit(make_model(), impatient, make_data(), epochs=5, batch_size=32, progress=False)
    assert history.attrs["stopped"] == "interrupted" and history["split"].tolist() == ["train", "validation", "train"]


@pytest.mark.parametrize("progress", [True, False])
def test_a_loss_that_is_not_finite_stops_with_a_sentence_and_good_weights(capsys, progress):
    model = make_model()
    history = fit(model, After(10, loss_is_nan), make_data(), epochs=5, batch_size=32, progress=progress)
    assert history.attrs["stopped"] == "not finite" and history["epoch"].tolist() == [1, 1]
    assert all(p.isfinite().all() for p in model.parameters())
    again = make_model()
    fit(again, VariationalInference(), make_data(), epochs=1, batch_size=32, progress=False)
    assert all(torch.equal(p, q) for p, q in zip(again.parameters(), model.parameters(), strict=True))
    out, err = capsys.readouterr()
    assert "not finite" in out and "smaller learning rate" in out and err == ""


def test_a_nan_met_by_a_validating_distribution_stops_in_the_same_way(capsys):
    def refuse(model, x, vi):
        with torch.no_grad():
            next(model.parameters()).fill_(math.nan)
        torch.distributions.Normal(torch.tensor(math.nan), 1.0, validate_args=True)

    history = fit(make_model(), After(10, refuse), make_data(), epochs=5, batch_size=32)
    assert history.attrs["stopped"] == "not finite" and len(history) == 2
    assert "not finite" in capsys.readouterr().out


def test_an_error_in_the_students_code_is_not_swallowed():
    def fail(model, x, vi):
        raise ValueError("a mistake of another kind")

    with pytest.raises(ValueError, match="another kind"):
        fit(make_model(), After(3, fail), make_data(), epochs=1)


def test_fast_shortens_every_training(monkeypatch):
    assert budget(30) == 30
    monkeypatch.setenv("ELBOLAB_FAST", "1")
    assert budget(30) == FAST_EPOCHS and budget(1) == 1
    history = fit(make_model(), VariationalInference(), make_data(), epochs=30, progress=False)
    assert history["epoch"].max() == FAST_EPOCHS
    history = fit(make_model(), VariationalInference(), make_data(), epochs=30, batch_size=1, progress=False)
    assert history["step"].max() == FAST_STEPS


def test_max_steps_and_evaluate_every_say_when_rows_are_written():
    history = fit(make_model(), VariationalInference(), make_data(), 5, batch_size=32, evaluate_every=2, progress=False)
    assert history[history["split"] == "train"]["epoch"].tolist() == [2, 4, 5]
    history = fit(make_model(), VariationalInference(), make_data(), 5, batch_size=32, max_steps=10, progress=False)
    assert history["step"].tolist() == [7, 7, 10, 10]


def test_a_tensor_or_a_split_alone_can_be_trained_on():
    data = make_data()
    for alone in (data.train, data.validation.images):
        history = fit(make_model(), VariationalInference(), alone, epochs=1, progress=False)
        assert history["split"].tolist() == ["train"]
    with pytest.raises(ValueError, match="empty"):
        fit(make_model(), VariationalInference(), data.train.first(0))


def test_train_step_is_one_step_of_adam():
    # Adam's first step moves each weight that has a gradient by the learning rate, whatever the gradient's size.
    model, x = make_model(), torch.bernoulli(torch.rand(8, 1, 4, 4))
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    loss, diagnostics = train_step(model, VariationalInference(), make_optimizer(model, lr=0.01), x)
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    clear = gradient.abs() > 1e-3
    torch.testing.assert_close(moved[clear], -0.01 * gradient[clear].sign(), rtol=1e-3, atol=0)
    assert not loss.requires_grad and not any(value.requires_grad for value in diagnostics.values())


def test_diagnostics_that_carry_the_graph_are_cut_loose():
    class Careless(nn.Module):
        def forward(self, model, x):
            loss, diagnostics, outputs = VariationalInference()(model, x)
            return loss, {name: value + loss for name, value in diagnostics.items()}, outputs

    model = make_model()
    _, diagnostics = train_step(model, Careless(), make_optimizer(model), torch.ones(3, 1, 4, 4))
    assert not any(value.requires_grad for value in diagnostics.values())


def test_progress_writes_to_stdout_only(capsys):
    fit(make_model(), VariationalInference(), make_data(), epochs=2)
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 1 and "nats" in out and "images/s" in out
    fit(make_model(), VariationalInference(), make_data(), epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_learning_rate_may_be_a_function_of_the_step():
    # A rate that falls to 0 after three steps trains exactly as three steps do.
    steps = []

    def rate(step):
        steps.append(step)
        return 1e-2 if step < 3 else 0.0

    scheduled, short = make_model(), make_model()
    fit(scheduled, VariationalInference(), make_data(), epochs=2, lr=rate, progress=False)
    fit(short, VariationalInference(), make_data(), lr=1e-2, max_steps=3, progress=False)
    assert sorted(set(steps)) == list(range(8))
    for one, other in zip(scheduled.parameters(), short.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(one, list(make_model().parameters())[-1])


def test_a_long_training_holds_no_more_tensors_than_a_short_one():
    alive, steps, vi = [], itertools.count(), VariationalInference(num_samples=3)

    def counting(model, x):
        if next(steps) % 10 == 0:  # beside other tests there are many objects to be looked at
            alive.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
        return vi(model, x)

    fit(make_model(), counting, make_data(), epochs=60, evaluate_every=100, progress=False)
    # A step's own tensors come and go; 200 steps that each left one behind would show.
    assert max(alive[15:]) < max(alive[1:5]) + 20


def test_means_weigh_examples_and_not_batches():
    # 200 images in batches of 64: the last batch has 8 of them and must not count as much as the others.
    sizes = []

    def numbered(model, x):
        loss, _, outputs = VariationalInference()(model, x)
        sizes.append(len(x))
        number = torch.full((len(x),), float(len(sizes)))
        return loss, {"elbo": number, "log_px": number.mean(), "kl": number}, outputs

    history = fit(make_model(), numbered, make_data().train, epochs=1, progress=False)
    assert sizes == [64, 64, 64, 8]
    assert history["elbo"].item() == pytest.approx((64 * (1 + 2 + 3) + 8 * 4) / 200)
    assert history["log_px"].item() == pytest.approx(2.5)  # a scalar for each batch is all that was given
