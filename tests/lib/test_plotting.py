"""Panels draw what they say: true radii, labels with units, two splits told apart."""

import math

import matplotlib
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from elbolab import plotting
from elbolab.data import Dataset, Split
from elbolab.inference import VariationalInference
from elbolab.models import VariationalAutoencoder
from elbolab.training import fit


@pytest.fixture(autouse=True)
def single_precision(double_precision_and_seed):
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def ax():
    figure = Figure(figsize=(4, 4))
    FigureCanvasAgg(figure)  # a canvas that really draws
    return figure.subplots()


def make_split(name="validation", n=40):
    return Split(name, torch.bernoulli(torch.rand(n, 1, 8, 8)), torch.arange(n) % 3, "static")


def make_model(latents=2):
    model = VariationalAutoencoder((1, 8, 8), latents, hidden=(12,))
    with torch.no_grad():
        model.encoder[-1].weight[:latents] *= 10
    return model


def model_with_known_posteriors(mu, log_sigma):
    """An encoder that ignores x and says N(mu, exp(log_sigma)^2)."""
    model = make_model(len(mu))
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([*mu, *log_sigma]))
    return model


def ellipses(ax):
    (collection,) = [c for c in ax.collections if isinstance(c, EllipseCollection)]
    return collection


@pytest.mark.parametrize("radius", [1.0, 2.0])
def test_ellipses_and_prior_have_the_stated_radius_in_data_units(ax, radius):
    model, split = model_with_known_posteriors([0.5, -1.0], [math.log(0.3), math.log(0.1)]), make_split(n=5)
    plotting.plot_latent_space(ax, model, split.images, split.labels, radius=radius)
    (disk,) = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert disk.radius == radius and disk.center == (0, 0)
    # What is drawn, after matplotlib's own transforms: a curve of data coordinates around (0.5, -1).
    ax.figure.canvas.draw()
    collection = ellipses(ax)
    path = collection.get_paths()[0].interpolated(50).vertices
    for transform, offset in zip(collection.get_transforms(), collection.get_offsets(), strict=True):
        assert offset.tolist() == pytest.approx([0.5, -1.0])
        pixels = collection.get_transform().transform(matplotlib.transforms.Affine2D(transform).transform(path))
        size = (pixels.max(0) - pixels.min(0)) / 2
        unit = ax.transData.transform([[0, 0], [1, 1]])
        width, height = size / (unit[1] - unit[0])
        assert width == pytest.approx(radius * 0.3, rel=1e-2)
        assert height == pytest.approx(radius * 0.1, rel=1e-2)
    assert f"{radius:g}" in ax.get_title()


def test_projected_ellipse_is_that_of_the_projected_gaussian():
    # Along a unit vector u in the plane, the projected variance is sum over latents of sigma_m^2 (V u)_m^2.
    model, split = make_model(5), make_split()
    plane = plotting.latent_plane(model, split.images)
    torch.testing.assert_close(plane.directions.T @ plane.directions, torch.eye(2), rtol=0, atol=1e-5)
    means, major, minor, angles = plotting._ellipses(model, split.images, split.labels, plane)
    q = model.posterior(split.images)
    torch.testing.assert_close(means, (q.mu @ plane.directions).detach())
    for axis, shift in ((major, 0.0), (minor, math.pi / 2)):
        angle = angles * math.pi / 180 + shift
        direction = torch.stack([angle.cos(), angle.sin()], 1) @ plane.directions.T
        torch.testing.assert_close(axis.square(), (q.variance * direction.square()).sum(1).detach(), rtol=1e-3, atol=1e-5)
    assert (major >= minor).all()


def test_projection_is_named_on_the_axes_when_there_are_more_than_two_latents(ax):
    model, split = make_model(5), make_split()
    plotting.plot_latent_space(ax, model, split.images, split.labels)
    assert ax.get_xlabel() == "principal direction 1 of 5 latents"
    # The principal directions spread the means more than any single pair of latents does.
    means = model.posterior(split.images).mu.detach()
    plane = plotting.latent_plane(model, split.images)
    assert (means @ plane.directions).var(0).sum() >= means.var(0).sort().values[-2:].sum() - 1e-4


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_nine_panels_draw_for_any_number_of_latents_and_leave_the_generator(latents):
    from matplotlib import pyplot as plt

    data = Dataset(make_split("train"), make_split(), make_split("test"), "the test", "static")
    model = make_model(latents)
    history = fit(model, VariationalInference(), data, epochs=3, progress=False)
    state, style = torch.get_rng_state(), dict(matplotlib.rcParams)
    figure = plotting.nine_panels(model, data, history)
    figure.canvas.draw()
    assert torch.equal(state, torch.get_rng_state()) and dict(matplotlib.rcParams) == style
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 9 and all(titles) and len(set(titles)) == 9
    plt.close(figure)


@pytest.mark.parametrize("quantity", ["elbo", "kl", "log_px", "loss"])
def test_curves_tell_train_from_validation_and_have_units(ax, quantity):
    data = Dataset(make_split("train"), make_split(), make_split("test"), "the test", "static")
    history = fit(make_model(), VariationalInference(), data, epochs=3, progress=False)
    plotting.plot_curves(ax, history, quantity)
    for line, split in zip(ax.get_lines(), ("train", "validation"), strict=True):
        assert line.get_ydata().tolist() == history[history["split"] == split][quantity].tolist()
        assert line.get_label().startswith(split)
    one, two = ax.get_lines()
    assert one.get_color() != two.get_color() and one.get_linestyle() != two.get_linestyle()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "nats") and ax.get_legend() is not None
    with pytest.raises(ValueError, match="choose one of"):
        plotting.plot_curves(ax, history, "accuracy")


def test_data_mosaic_has_the_images_in_reading_order(ax):
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 4, 3) / 6
    mosaic = plotting.plot_data(ax, images, rows=2, columns=3).images[0].get_array()
    assert mosaic.shape == (8, 9)
    assert mosaic[::4, ::3].flatten().tolist() == pytest.approx([n / 6 for n in range(6)])
    plotting.plot_data(ax, images[:4], rows=2, columns=3)  # too few images leave blank places
    assert ax.images[1].get_array()[4:, 3:].max() == 0


def test_reconstructions_stand_below_their_images(ax):
    model, split = make_model(), make_split()
    mosaic = torch.as_tensor(plotting.plot_reconstructions(ax, model, split.images, rows=2, columns=3).images[0].get_array())
    tiles = mosaic.view(4, 8, 3, 8).transpose(1, 2)
    torch.testing.assert_close(tiles[0], split.images[:3, 0])
    torch.testing.assert_close(tiles[2], split.images[3:6, 0])
    means = model.observation_model(model.posterior(split.images[:6]).mu).mean.detach()
    torch.testing.assert_close(tiles[1], means[:3, 0])
    torch.testing.assert_close(tiles[3], means[3:, 0])


def test_interpolations_start_and_end_at_the_posterior_means(ax):
    model, split = make_model(), make_split()
    mosaic = torch.as_tensor(plotting.plot_interpolations(ax, model, split.images, rows=2, steps=5).images[0].get_array())
    tiles = mosaic.view(2, 8, 5, 8).transpose(1, 2)
    means = model.observation_model(model.posterior(split.images[:4]).mu).mean.detach()[:, 0]
    torch.testing.assert_close(tiles[:, 0], means[0::2])
    torch.testing.assert_close(tiles[:, -1], means[1::2])


def test_grid_places_each_image_at_its_latent(ax):
    model = make_model()
    plotting.plot_grid(ax, model, extent=3, size=3)
    image = ax.images[0]
    tiles = torch.as_tensor(image.get_array()).view(3, 8, 3, 8).transpose(1, 2)
    # Top left is z = (-3, 3), the middle (0, 0), bottom right (3, -3).
    for (row, column), z in {(0, 0): (-3.0, 3.0), (1, 1): (0.0, 0.0), (2, 2): (3.0, -3.0)}.items():
        torch.testing.assert_close(tiles[row, column], model.observation_model(torch.tensor([z])).mean.detach()[0, 0])
    left, right, bottom, top = image.get_extent()
    assert (left + right, bottom + top) == (0, 0) and (right - left) / 3 == 3  # three tiles, centers 3 apart


def test_prior_samples_decode_draws_from_the_prior(ax):
    model = make_model()
    mosaic = torch.as_tensor(plotting.plot_prior_samples(ax, model, rows=1, columns=4, seed=7).images[0].get_array())
    torch.manual_seed(7)
    torch.testing.assert_close(mosaic.view(8, 4, 8).transpose(0, 1), model.sample_from_prior(4)["px"].mean.detach()[:, 0])


def made_up_history(epochs=40):
    import pandas as pd

    rows = [{"epoch": epoch, "split": split, "kl": 5 - 5 / epoch, "log_px": -135 - 300 / epoch**2 - drop}
            for epoch in range(1, epochs + 1) for split, drop in (("train", 0.0), ("validation", 7.0))]
    return pd.DataFrame(rows).assign(elbo=lambda table: table.log_px - table.kl, step=0, loss=lambda table: -table.elbo)


def test_elbo_panel_has_a_scale_for_the_late_epochs_and_says_how_far_apart_they_end(ax):
    plotting.plot_elbo(ax, made_up_history())
    low, high = ax.get_ylim()
    assert 7 / (high - low) > 0.4 and "7.0 nats above validation" in ax.get_title() and "below" in ax.get_xlabel()


def test_trade_off_draws_lines_along_which_the_elbo_is_the_same(ax):
    history = made_up_history()
    plotting.plot_trade_off(ax, history)
    lines = [line.get_xydata() for line in ax.get_lines() if line.get_color() == "#bbbbbb"]
    assert lines and all((y1 - x1) == pytest.approx(y2 - x2) for (x1, y1), (x2, y2) in lines)
    train = ax.get_lines()[0].get_xydata()  # the path, without its first twentieth
    rows = history[(history["split"] == "train") & (history["epoch"] > 2)]
    assert train.tolist() == rows[["kl", "log_px"]].to_numpy().tolist()


def test_labels_that_would_collide_are_pushed_apart_and_others_stay():
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.05], [5.0, 5.0]])
    moved = plotting._apart(points, 1.0)
    assert torch.pdist(moved).min() > 0.95 and torch.equal(moved[3], points[3])
