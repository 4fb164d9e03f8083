"""One thread, and the helpers in this folder importable for its tests, whatever pytest's import mode is."""

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)
