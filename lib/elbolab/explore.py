"""Two small explorers: walk through latent space, and slide beta.

Each is an object to be left as a cell's last expression (or given to `display`). What is displayed
is one bundle that holds the live widget and a static picture: a frontend that cannot run widgets
(GitHub, a printed page, a headless run) shows the picture. Everything slow is drawn beforehand, so
that a move of a slider costs a few milliseconds.
"""

import base64
import html
import io

import numpy as np
import torch

from . import plotting
from .data import Split
from .inference import VariationalInference
from .training import evaluate

__all__ = ["Explorer", "beta_explorer", "latent_explorer"]

DPI = 80


class Explorer:
    """A widget, the function that answers its sliders, and a static picture (PNG) that stands for them.

    widget: the ipywidgets box. update(*values) -> PNG bytes: the picture for these slider values.
    """

    def __init__(self, sliders: list, update, static: bytes, words: str):
        import ipywidgets

        self.sliders, self.update, self.static, self.words = sliders, update, static, words
        self.image = ipywidgets.Image(value=self._picture(), format="png", layout={"max_width": "100%"})
        for slider in sliders:
            slider.observe(self._on_move, names="value")
        in_words = ipywidgets.HTML(f"<details><summary>In words</summary>{html.escape(words)}</details>")  # the picture has no text
        self.widget = ipywidgets.VBox([*sliders, self.image, in_words])

    def _picture(self) -> bytes:
        return self.update(*(slider.value for slider in self.sliders))

    def _on_move(self, change) -> None:
        self.image.value = self._picture()

    def _repr_mimebundle_(self, **kwargs):
        bundle = dict(self.widget._repr_mimebundle_(**kwargs) or {})
        return {**bundle, "image/png": base64.b64encode(self.static).decode(), "text/plain": self.words}


def latent_explorer(model, split: Split, extent: float = 3.0) -> Explorer:
    """Move a point through latent space and see the digit that the model decodes there.

    With more than two latents the point moves in the plane of the first two principal directions
    of the posterior means (the axes say so); with one latent there is one slider.
    """
    import ipywidgets

    weight = next(model.parameters())
    shown = split.first(300)
    images, labels = shown.images.to(weight), shown.labels.cpu()
    plane = plotting.latent_plane(model, images)
    background, to_pixels = _draw_map(model, images, labels, plane, extent)
    count = min(model.latent_features, 2)

    def update(*position: float) -> bytes:
        point = torch.tensor(position).to(weight)
        z = point.view(1, 1) if count == 1 else (plane.directions.to(weight) @ point).view(1, -1)
        with torch.no_grad():
            pixels = model.observation_model(z).mean.float().cpu().numpy()
        # With one latent the marker runs along the bottom of the map.
        column, row = to_pixels(position if count == 2 else (position[0], None))
        return _png(np.concatenate([_cross(background, column, row), _ink(pixels, len(background))], axis=1))

    sliders = [
        ipywidgets.FloatSlider(
            value=0.0, min=-extent, max=extent, step=0.1, readout_format=".1f",
            description=f"z{n + 1}" if model.latent_features <= 2 else f"direction {n + 1}",
        )
        for n in range(count)
    ]
    figure = _figure(9, 4.4)
    left, right = figure.subplots(1, 2)
    plotting.plot_latent_space(left, model, images, labels, plane=plane)
    plotting.plot_grid(right, model, extent=extent, plane=plane)
    if count == 2:  # the two pictures have scales of their own: mark in one what the other shows
        left.plot(*zip(*[(-extent, -extent), (extent, -extent), (extent, extent), (-extent, extent), (-extent, -extent)],
                       strict=True), color="black", linestyle=":", linewidth=1)
        left.text(extent, extent, "shown right ", ha="right", va="bottom", fontsize=8)
    words = f"Latent explorer: {count} slider(s) from {-extent:g} to {extent:g} move through the latent space of the model."
    return Explorer(sliders, update, _save(figure), words)


def beta_explorer(models_by_beta: dict, split: Split) -> Explorer:
    """Slide beta over trained models `{beta: model}`: reconstructions, prior samples, and where the model lies
    between reconstruction and KL. All numbers are means over the whole split; the pictures show its first images.
    """
    import ipywidgets

    if not models_by_beta:
        raise ValueError("beta_explorer: models_by_beta is empty; give a dictionary like {1.0: model}.")
    models = dict(sorted(models_by_beta.items()))
    shown = split.first(500)
    numbers = {beta: evaluate(model, VariationalInference(), split) for beta, model in models.items()}
    pictures = {beta: _save(_draw_beta(beta, model, shown, numbers)) for beta, model in models.items()}
    slider = ipywidgets.SelectionSlider(options=list(models), value=next(iter(models)), description="beta")
    words = "Beta explorer: " + "; ".join(f"beta {beta:g}: {_in_words(n)}" for beta, n in numbers.items())
    return Explorer([slider], pictures.__getitem__, _save(_draw_all_betas(models, shown, numbers)), words)


def _draw_beta(beta, model, split, numbers):
    """One row for one beta: reconstructions, prior samples, the curve with this model's point filled."""
    figure = _figure(9, 3.4)
    left, middle, right = figure.subplots(1, 3)
    images = split.images.to(next(model.parameters()))
    plotting.plot_reconstructions(left, model, images)
    plotting.plot_prior_samples(middle, model)
    _plot_trade_off(right, numbers, beta)
    figure.suptitle(f"$\\beta$ = {beta:g}:  {_in_words(numbers[beta])}", fontsize=11)
    return figure


def _in_words(means: dict) -> str:
    names = {"log_px": "log p(x|z)", "kl": "KL", "elbo": "ELBO"}
    # Adding 0.0 turns the -0.0 of an estimated KL into 0.0.
    return ", ".join(f"{words} {round(means[name], 1) + 0.0:.1f}" for name, words in names.items()) + " nats"


def _draw_all_betas(models, split, numbers):
    """The static picture: a column for each beta; reconstructions above, samples from the prior below."""
    figure = _figure(2.6 * len(models) + 0.3, 5.1)
    axes = figure.subplots(2, len(models), squeeze=False)
    for (top, bottom), (beta, model) in zip(axes.T, models.items(), strict=True):
        images = split.images.to(next(model.parameters()))
        plotting.plot_reconstructions(top, model, images, rows=3, columns=6)
        plotting.plot_prior_samples(bottom, model, rows=6, columns=6)
        top.set_title(f"$\\beta$ = {beta:g}\nELBO ${numbers[beta]['elbo']:.1f}$ nats", fontsize=10)
        bottom.set_title("")
    axes[0, 0].set_ylabel("x, and its reconstruction below")
    axes[1, 0].set_ylabel("samples from the prior")
    return figure


def _plot_trade_off(ax, numbers, chosen):
    kl, log_px = ([n[name] for n in numbers.values()] for name in ("kl", "log_px"))
    ax.plot(kl, log_px, "o-", color=plotting.TRAIN, markerfacecolor="white", markersize=7)
    for beta, x, y in zip(numbers, kl, log_px, strict=True):
        ax.annotate(f"$\\beta$={beta:g}", (x, y), xytext=(0, -15), textcoords="offset points", ha="center", fontsize=9)
    if chosen is not None:
        ax.plot(numbers[chosen]["kl"], numbers[chosen]["log_px"], "o", color=plotting.VALIDATION, markersize=9)
    ax.set(xlabel="KL (nats)", ylabel=r"$\log p(x|z)$ (nats)")
    ax.margins(0.25)
    ax.grid(alpha=0.3)
    ax.set_title("reconstruction against KL", fontsize=10)


def _draw_map(model, images, labels, plane, extent):
    """The latent map as an array `(H, W, 3)`, and a function from latent coordinates to (column, row) on it."""
    figure = _figure(4.4, 4.4)
    ax = figure.subplots()
    plotting.plot_latent_space(ax, model, images, labels, plane=plane, extent=max(extent + 0.5, 3.5))
    figure.canvas.draw()
    background = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    transform, bottom = ax.transData, ax.get_ylim()[0]

    def to_pixels(position):
        x, y = transform.transform((position[0], bottom if position[1] is None else position[1]))
        return round(x), len(background) - 1 - round(y)

    return background, to_pixels


def _cross(background, column, row, arm=9, color=(213, 94, 0)):
    """A copy of the map with a cross on it."""
    picture = background.copy()
    height, width = picture.shape[:2]
    for thick, paint in ((3, (255, 255, 255)), (1, color)):
        rows = slice(max(row - thick, 0), min(row + thick + 1, height))
        columns = slice(max(column - thick, 0), min(column + thick + 1, width))
        picture[rows, max(column - arm, 0) : column + arm + 1] = paint
        picture[max(row - arm, 0) : row + arm + 1, columns] = paint
    return picture


def _ink(pixels, size):
    """An image `(1, 1, H, W)` in [0, 1] as black ink on white, `(size, size, 3)`."""
    gray = (255 * (1 - pixels[0, 0])).astype(np.uint8)
    rows, columns = (np.arange(size) * side // size for side in gray.shape)
    return np.repeat(gray[np.ix_(rows, columns)][..., None], 3, axis=-1)


def _figure(width, height):
    """A figure of its own, not one of pyplot's: nothing to close, and no notebook shows it by itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _png(array) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()
