"""Makes this folder, and the corpus and the checks' helpers that it uses, importable whatever pytest's import mode is."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
for folder in ("honest", "threats", "checks"):
    if str(TESTS / folder) not in sys.path:
        sys.path.insert(0, str(TESTS / folder))


@pytest.fixture(scope="session")
def kit():
    """See `threat_class.kit_of_nowhere`."""
    from threat_class import kit_of_nowhere

    return kit_of_nowhere()
