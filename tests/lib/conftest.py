"""Library tests run in float64 unless they say otherwise, from a fixed seed, and leave torch as it was."""

import os

import pytest
import torch
from hypothesis import settings

settings.register_profile("course", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("course")


@pytest.fixture(autouse=True)
def double_precision_and_seed():
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(dtype)


@pytest.fixture(scope="session")
def subset(tmp_path_factory):
    """The root of an empty data folder in a process that must not try to download."""
    from elbolab import sources

    root = tmp_path_factory.mktemp("data")
    sources._unreachable.add(str(root))
    return root


@pytest.fixture
def no_fast(monkeypatch):
    monkeypatch.delenv("ELBOLAB_FAST", raising=False)


os.environ.setdefault("MPLBACKEND", "Agg")
