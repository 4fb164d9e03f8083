"""Panels that show what a variational autoencoder has learned, and the figure of nine of them.

Each panel is a function `(ax, ...) -> ax` that draws on matplotlib axes; a figure composes panels.
Colors stay apart for color-blind readers (Paul Tol's muted scheme, https://sros.nl/~tol), and no
color carries a meaning alone. Drawing leaves torch's generator as it was.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "latent_plane",
    "nine_panels",
    "plot_curves",
    "plot_data",
    "plot_elbo",
    "plot_grid",
    "plot_interpolations",
    "plot_latent_space",
    "plot_prior_samples",
    "plot_reconstructions",
    "plot_trade_off",
]

COLORS = ("#332288", "#e08b00", "#117733", "#cc6677", "#44aa99", "#882255", "#999933", "#0077bb", "#aa4499", "#555555")
TRAIN, VALIDATION = "#0072b2", "#d55e00"  # Okabe and Ito's blue and vermilion
NAMES = {"elbo": "ELBO", "kl": r"KL$(q(z|x)\,||\,p(z))$", "log_px": r"$\log p(x|z)$", "loss": "loss"}


def plot_data(ax, images: Tensor, rows: int = 8, columns: int = 8):
    """The first rows * columns of `images`, `(N, 1, H, W)`."""
    return _title(_show(ax, images, rows, columns), "data x")


def plot_latent_space(ax, model, images: Tensor, labels: Tensor, radius: float = 2.0, plane=None, extent=None):
    """q(z|x) of each image as an ellipse at `radius` standard deviations, over the prior's disk at the same.

    An ellipse holds 1 - exp(-radius^2 / 2) of a two-dimensional Gaussian: 86 % at 2 sigma. With one
    latent the second axis tells the digits apart; with more than two, what is drawn is the
    projection named on the axes.
    """
    from matplotlib.collections import EllipseCollection
    from matplotlib.patches import Circle

    plane = latent_plane(model, images) if plane is None else plane
    means, widths, heights, angles = _ellipses(model, images, labels, plane)
    if extent is None:
        drawn = min(model.latent_features, 2)  # with one latent, the second coordinate is not one
        extent = max(3.2, 1.03 * float((means[:, :drawn].abs().amax(1) + radius * widths).max()))
    if model.latent_features == 1:
        ax.axvspan(-radius, radius, color="#eeeeee", zorder=0)
        heights = torch.full_like(heights, 0.1)
        ax.set_ylim(int(labels.min()) - 1, int(labels.max()) + 1)
        ax.set_yticks(labels.unique().tolist())
    else:
        ax.add_patch(Circle((0, 0), radius, facecolor="#eeeeee", edgecolor="#777777", linestyle="--", zorder=0))
        ax.set_aspect("equal")
        ax.set_ylim(-extent, extent)
    ax.set_xlim(-extent, extent)
    colors = [COLORS[int(label) % len(COLORS)] for label in labels]
    ellipses = EllipseCollection(
        (2 * radius * widths).numpy(), (2 * radius * heights).numpy(), angles.numpy(), units="xy",
        offsets=means.numpy(), transOffset=ax.transData, facecolors=colors, edgecolors=colors, alpha=0.35, linewidth=0.6,
    )
    ax.add_collection(ellipses)
    present = labels.unique().tolist()
    middles = torch.stack([means[labels == label].median(dim=0).values for label in present])
    for label, (x, y) in zip(present, _apart(middles, 0.16 * extent).tolist(), strict=True):
        ax.text(x, y, str(label), color=COLORS[label % len(COLORS)], ha="center", va="center", fontsize=11,
                fontweight="bold", bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "alpha": 0.8, "linewidth": 0})
    ax.set(xlabel=plane.names[0], ylabel=plane.names[1])
    return _title(ax, f"q(z|x) in latent space and p(z) in gray, both at {radius:g}$\\sigma$")


def plot_reconstructions(ax, model, images: Tensor, rows: int = 4, columns: int = 8):
    """Pairs of rows: images x, and below them the mean of p(x|z) at z = the mean of q(z|x)."""
    images = images[: rows * columns]
    with torch.no_grad():
        means = _pixels(model, _gaussian(model.posterior(images))[0])
    pairs = torch.stack([_pad(images, rows * columns), _pad(means, rows * columns)])
    pairs = pairs.unflatten(1, (rows, columns)).transpose(0, 1).flatten(0, 2)
    _show(ax, pairs, 2 * rows, columns)
    for row in range(1, rows):
        ax.axhline(2 * row * images.shape[-2] - 0.5, color="#777777", linewidth=1)
    return _title(ax, "x, and below it the mean of p(x|z)")


def plot_curves(ax, history, quantity: str = "elbo"):
    """One column of a history over epochs: train as a line with dots, validation dashed with squares."""
    if quantity not in NAMES:
        raise ValueError(f"plot_curves: quantity is {quantity!r}; choose one of {', '.join(NAMES)}.")
    looks = {"train": (TRAIN, "o-", "train (mean over the epoch)"), "validation": (VALIDATION, "s--", "validation")}
    for split, (color, style, label) in looks.items():
        rows = history[history["split"] == split]
        if len(rows):
            ax.plot(rows["epoch"], rows[quantity], style, color=color, markersize=3.5, label=label)
    ax.set(xlabel="epoch", ylabel="nats")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    if len(history):
        ax.legend(frameon=False)
    return _title(ax, NAMES[quantity])


def plot_elbo(ax, history):
    """The ELBO's curves at a scale that tells train from validation, and in the title how far apart they end.

    The first fifth of the epochs may rise by hundreds of nats; it then starts below the panel.
    """
    plot_curves(ax, history, "elbo")
    late = history[history["epoch"] > history["epoch"].max() / 5]["elbo"]
    room = late.max() - late.min()
    if room > 0:
        low = late.min() - 0.3 * room  # a place for the legend
        ax.set_ylim(low, late.max() + 0.08 * room)
        if history["elbo"].min() < low:
            ax.set_xlabel("epoch (the first lie below the panel)")
        ax.legend(frameon=False, loc="lower right")
    ends = history.groupby("split")["elbo"].last()
    if {"train", "validation"} <= set(ends.index):
        gap = ends["train"] - ends["validation"]
        _title(ax, f"ELBO: train ends {abs(gap):.1f} nats {'above' if gap >= 0 else 'below'} validation")
    return ax


def plot_trade_off(ax, history):
    """The way of a training through the plane of KL and log p(x|z); along a gray line the ELBO is the same."""
    late = history[history["epoch"] > history["epoch"].max() / 20]  # the first jolt would hide the rest
    for split, color, style in (("train", TRAIN, "o-"), ("validation", VALIDATION, "s--")):
        rows = late[late["split"] == split]
        if len(rows):
            ax.plot(rows["kl"], rows["log_px"], style, color=color, markersize=3, linewidth=1, label=split)
            ax.plot(rows["kl"].iloc[-1], rows["log_px"].iloc[-1], style[0], color=color, markersize=9, mec="black")
    ax.margins(0.08)
    if len(late):
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        for elbo in ax.yaxis.get_major_locator().tick_values(low - right, high - left):  # log p(x|z) = ELBO + KL
            ax.plot((left, right), (elbo + left, elbo + right), color="#bbbbbb", linewidth=0.8, zorder=0)
            if low < elbo + left < high:
                ax.annotate(f"ELBO {elbo:g}".replace("-", "\u2212"), (left, elbo + left), xytext=(3, 1), textcoords="offset points",
                            color="#666666", fontsize=7.5, va="bottom")
        ax.set(xlim=(left, right), ylim=(low, high))
        ax.legend(frameon=False, loc="lower right", title="large: the last epoch", title_fontsize=9)
    ax.set(xlabel="KL (nats)", ylabel=r"$\log p(x|z)$ (nats)")
    return _title(ax, r"$\log p(x|z)$ against KL, epoch by epoch")


def plot_prior_samples(ax, model, rows: int = 8, columns: int = 8, seed: int = 0):
    """The means of p(x|z) for z drawn from the prior."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images = model.sample_from_prior(rows * columns)["px"].mean
    return _title(_show(ax, images, rows, columns), "mean of p(x|z), z from the prior")


def plot_interpolations(ax, model, images: Tensor, rows: int = 8, steps: int = 8):
    """Each row walks in a straight line between the posterior means of two of the images."""
    rows = min(rows, len(images) // 2)
    with torch.no_grad():
        means = _gaussian(model.posterior(images[: 2 * rows]))[0]
        start, end = means[0::2].unsqueeze(1), means[1::2].unsqueeze(1)
        weight = torch.linspace(0, 1, steps, dtype=means.dtype, device=means.device).view(1, -1, 1)
        decoded = _pixels(model, torch.lerp(start, end, weight).flatten(0, 1))
    return _title(_show(ax, decoded, rows, steps), "mean of p(x|z) between two posterior means")


def plot_grid(ax, model, extent: float = 3.0, size: int = 12, plane=None):
    """The means of p(x|z) for z on a grid over [-extent, extent]^2.

    With more than two latents the grid lies in `plane` (see `latent_plane`; without it, in z1 and
    z2), and the other directions are zero. With one latent it is a row that is read line by line.
    """
    plane = latent_plane(model) if plane is None else plane
    axis = torch.linspace(-extent, extent, size)
    if model.latent_features == 1:
        z = torch.linspace(-extent, extent, size * size).view(-1, 1)
    else:
        # Rows from top to bottom, so the second coordinate falls.
        z = torch.cartesian_prod(axis.flip(0), axis).flip(-1) @ plane.directions.T
    weight = next(model.parameters())
    with torch.no_grad():
        decoded = _pixels(model, z.to(weight))
    _show(ax, decoded, size, size)
    half = extent * size / (size - 1)  # the outermost images are centered on +-extent
    ax.images[0].set_extent((-half, half, -half, half))
    if model.latent_features == 1:
        return _title(ax, f"mean of p(x|z), $z_1$ from $-${extent:g} to {extent:g}, line by line")
    ticks = [-extent, 0, extent]
    ax.set(xticks=ticks, yticks=ticks, xlabel=plane.names[0], ylabel=plane.names[1])
    return _title(ax, f"mean of p(x|z) over [$-${extent:g}, {extent:g}]$^2$")


def nine_panels(model, data, history):
    """Data, latent space, reconstructions; ELBO, KL, one against the other; prior samples, interpolations, grid."""
    from matplotlib import pyplot as plt

    weight = next(model.parameters())
    shown = data.validation.first(400)
    images, labels = shown.images.to(weight), shown.labels.cpu()
    train = data.train.first(64).binarized(torch.Generator().manual_seed(0))
    plane = latent_plane(model, images)
    figure, axes = plt.subplots(3, 3, figsize=(12, 11.4), layout="constrained")
    plot_data(axes[0, 0], train)
    plot_latent_space(axes[0, 1], model, images, labels, plane=plane)
    plot_reconstructions(axes[0, 2], model, images)
    plot_elbo(axes[1, 0], history)
    plot_curves(axes[1, 1], history, "kl")
    plot_trade_off(axes[1, 2], history)
    plot_prior_samples(axes[2, 0], model)
    plot_interpolations(axes[2, 1], model, images)
    plot_grid(axes[2, 2], model, plane=plane)
    return figure


class Plane:
    """Two directions of latent space, `(M, 2)`, orthonormal, and their names for the axes."""

    def __init__(self, directions: Tensor, names: tuple[str, str]):
        self.directions, self.names = directions, names


def latent_plane(model, images: Tensor | None = None) -> Plane:
    """The plane in which latent space is drawn.

    One or two latents: themselves. More: the first two principal directions of the posterior means
    of `images` (through the origin, so that the prior stays a disk around it); without images, z1
    and z2.
    """
    latents = model.latent_features
    if latents == 1:
        return Plane(torch.tensor([[1.0, 0.0]]), ("$z_1$", "digit"))
    if latents == 2 or images is None:
        return Plane(torch.eye(latents)[:, :2], ("$z_1$", "$z_2$"))
    with torch.no_grad():
        means = _gaussian(model.posterior(images))[0].float().cpu()
    directions = torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[:2].T
    # An SVD leaves the signs open; fix them so that a figure redrawn looks the same.
    directions = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    return Plane(directions, tuple(f"principal direction {n} of {latents} latents" for n in (1, 2)))


def _ellipses(model, images, labels, plane):
    """Means `(N, 2)`, semi-axes at one sigma `(N,)` twice, and angles in degrees `(N,)` in the plane."""
    with torch.no_grad():
        mu, sigma = (value.float().cpu() for value in _gaussian(model.posterior(images)))
    means = mu @ plane.directions
    if model.latent_features == 1:
        means[:, 1] = labels + torch.linspace(-0.35, 0.35, len(labels))
        return means, sigma[:, 0], torch.zeros(len(mu)), torch.zeros(len(mu))
    # The projection of N(mu, diag(sigma^2)) has covariance V' diag(sigma^2) V, and its ellipse that matrix's axes.
    covariance = plane.directions.T @ (sigma.square().unsqueeze(-1) * plane.directions)
    variances, axes = torch.linalg.eigh(covariance)
    angles = torch.atan2(axes[:, 1, 1], axes[:, 0, 1]) * 180 / math.pi
    deviations = variances.clamp(min=0).sqrt()
    return means, deviations[:, 1], deviations[:, 0], angles


def _gaussian(q) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a posterior, ours or a student's."""
    return (q.mu, q.sigma) if hasattr(q, "mu") else (q.mean, q.stddev)


def _pixels(model, z: Tensor) -> Tensor:
    return model.observation_model(z).mean


def _pad(images: Tensor, n: int) -> Tensor:
    return torch.cat([images, images.new_zeros(n - len(images), *images.shape[1:])]) if len(images) < n else images[:n]


def _show(ax, images: Tensor, rows: int, columns: int):
    """A mosaic of images `(N, 1, H, W)`, black ink on white paper, no ticks."""
    height, width = images.shape[-2:]
    tiles = _pad(images.detach().float().cpu(), rows * columns).view(rows, columns, height, width)
    mosaic = tiles.transpose(1, 2).reshape(rows * height, columns * width)
    ax.imshow(mosaic.numpy(), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    return ax


def _apart(points: Tensor, distance: float) -> Tensor:
    """Points `(N, 2)` pushed aside until no two are closer than `distance`, so that their labels can be read."""
    points = points.clone()
    for _ in range(100):
        difference = points[:, None] - points[None]
        length = difference.norm(dim=-1).clamp(min=1e-6)
        close = (distance - length).clamp(min=0).fill_diagonal_(0)
        if close.max() < 1e-3:
            break
        points += 0.3 * (close / length).unsqueeze(-1).mul(difference).sum(1)
    return points


def _title(ax, text: str):
    ax.set_title(text, fontsize=10)
    return ax
