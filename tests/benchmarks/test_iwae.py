"""What the benchmark compares is the same thing, done in several ways."""

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

from elbolab import trained
from elbolab.models import LinearGaussianVAE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def iwae():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("iwae")
    sys.path.remove(str(ROOT / "benchmarks"))


def test_each_way_gives_the_weights_of_as_many_samples(iwae):
    # With q at the true posterior every weight is p(x), whatever the way to it.
    model = LinearGaussianVAE(torch.diag(torch.tensor([1.0, 2.0])).double(), None, 0.5)
    model.use_best_encoder()
    x = torch.randn(4, 2, dtype=torch.float64)
    for way in (iwae.loop_log_weights, iwae.forwards_log_weights):
        torch.testing.assert_close(way(model, x, 3), model.log_px(x).expand(3, 4))
        torch.testing.assert_close(iwae.looped_estimate(model, x, way), model.log_px(x).detach(), check_dtype=False)


def test_each_way_draws_fresh_samples(iwae):
    model, x = iwae.fresh_model(), iwae.quick_images()[:2]
    for way in (iwae.loop_log_weights, iwae.forwards_log_weights):
        log_w = way(model, x, 3)
        assert log_w.shape == (3, 2) and all(len(column.unique()) == 3 for column in log_w.T)


def test_summary_gives_ratios_to_ours(iwae, capsys):
    result = iwae.summarize({"ours": [2.0, 4.0], "loop": [6.0, 8.0]}, "ms a step")
    assert result["ratio to ours"]["loop"] == {"fastest": 3.0, "median": 2.5}
    assert "3.00 times ours, median 2.50" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_test_set_needs_at_most_two_gibibytes(iwae, monkeypatch):
    # Few samples: memory does not grow with their number, since at most 2,000 latents are decoded at a time.
    monkeypatch.setattr(iwae, "TRAINED", trained.available()[0])
    assert 0.1 < iwae.peak_memory(samples=64) < iwae.MEMORY_TARGET


def test_chunks_bound_what_is_decoded_at_a_time(iwae):
    from elbolab.inference import log_likelihood

    model, decoded = iwae.fresh_model(), []
    model.decoder.register_forward_hook(lambda module, inputs, output: decoded.append(len(output)))
    log_likelihood(model, iwae.quick_images(), 70)
    assert max(decoded) <= 2000 and sum(decoded) == 200 * 70 and len(decoded) >= math.ceil(200 * 70 / 2000)
