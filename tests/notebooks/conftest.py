"""Makes the helpers in tests/nbgrader importable for the tests in this folder, whatever pytest's import mode is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nbgrader"))
