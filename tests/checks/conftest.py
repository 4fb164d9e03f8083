"""One thread, and the helpers in this folder importable for its tests, whatever pytest's import mode is."""

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """A picture takes longer than all the rest of a verdict; test_mistakes.py draws some of each."""
    monkeypatch.setattr("autograder.verdict.picture_of", lambda *given: None)
