"""Explorers: one bundle with the widget and a picture, answers that are right and quick."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from elbolab.data import Split
from elbolab.explore import beta_explorer, latent_explorer
from elbolab.inference import VariationalInference
from elbolab.models import VariationalAutoencoder
from elbolab.training import evaluate


@pytest.fixture(autouse=True)
def single_precision(double_precision_and_seed):
    torch.set_default_dtype(torch.float32)


def make(latents=2, seed=0):
    torch.manual_seed(seed)
    return VariationalAutoencoder((1, 28, 28), latents, hidden=(256, 128))


@pytest.fixture
def split():
    return Split("validation", torch.bernoulli(torch.rand(60, 1, 28, 28)), torch.arange(60) % 4, "static")


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_bundle_holds_the_widget_and_a_static_picture(split):
    for explorer in (latent_explorer(make(), split), beta_explorer({1.0: make(), 0.1: make(seed=1)}, split)):
        bundle = explorer._repr_mimebundle_(include=None, exclude=None)
        assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
        view = bundle["application/vnd.jupyter.widget-view+json"]
        assert view["model_id"] == explorer.widget.model_id
        static = picture(base64.b64decode(bundle["image/png"]))
        assert min(static.shape[:2]) > 150 and static.std() > 10
        assert "xplorer" in bundle["text/plain"]


@pytest.mark.parametrize(("latents", "sliders"), [(1, 1), (2, 2), (6, 2)])
def test_moving_a_slider_shows_the_digit_decoded_there(split, latents, sliders):
    model = make(latents)
    explorer = latent_explorer(model, split)
    assert len(explorer.sliders) == sliders
    before = picture(explorer.image.value)
    explorer.sliders[0].value = 2.5
    after = picture(explorer.image.value)
    half = after.shape[1] // 2
    assert (before[:, :half] != after[:, :half]).any()  # the cross on the map has moved
    z = torch.zeros(1, latents)
    if latents <= 2:
        z[0, 0] = 2.5
        expected = 255 * (1 - model.observation_model(z).mean.detach()[0, 0].numpy())
        size = after.shape[0]
        shown = after[:, -size:, 0][:: size // 27][:, :: size // 27]
        rows = np.arange(size)[:: size // 27] * 28 // size
        np.testing.assert_allclose(shown, expected[np.ix_(rows, rows)], atol=1.01)


def test_cross_marks_the_place_of_the_latent(split):
    explorer = latent_explorer(make(), split)
    positions = {}
    for value in (-2.0, 0.0, 2.0):
        explorer.sliders[0].value = explorer.sliders[1].value = value
        image = picture(explorer.image.value).astype(int)
        rows, columns = np.nonzero((image == (213, 94, 0)).all(-1))
        positions[value] = rows.mean(), columns.mean()
    assert positions[-2.0][0] > positions[0.0][0] > positions[2.0][0]  # up is a smaller row
    assert positions[-2.0][1] < positions[0.0][1] < positions[2.0][1]
    # The axes are linear: zero lies in the middle.
    for axis in (0, 1):
        assert positions[0.0][axis] == pytest.approx((positions[-2.0][axis] + positions[2.0][axis]) / 2, abs=1.5)


def test_beta_explorer_shows_the_model_of_the_chosen_beta(split):
    explorer = beta_explorer({10.0: make(seed=1), 0.1: make(seed=2), 1.0: make(seed=3)}, split)
    (slider,) = explorer.sliders
    assert list(slider.options) == [0.1, 1.0, 10.0]
    seen = []
    for beta in slider.options:
        slider.value = beta
        seen.append(explorer.image.value)
    assert len(set(seen)) == 3 and "beta 0.1" in explorer.words and "nats" in explorer.words
    with pytest.raises(ValueError, match="empty"):
        beta_explorer({}, split)


def test_beta_explorer_gives_the_numbers_of_the_whole_split():
    torch.manual_seed(0)
    many = Split("validation", torch.bernoulli(torch.rand(700, 1, 28, 28)), torch.arange(700) % 4, "static")
    model = make()
    elbo = evaluate(model, VariationalInference(), many)["elbo"]
    assert f"ELBO {elbo:.1f}" in beta_explorer({1.0: model}, many).words
