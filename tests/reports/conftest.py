"""Makes the helpers in this folder importable for its tests, whatever pytest's import mode is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
