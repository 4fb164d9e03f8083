"""Every entry of the corpus."""

import os

from corpus import bombs, broken, broken_files, forging_channel, forging_judges, forging_shell, reading, taking_down, views, writing

__all__ = ["ATTACKS", "PLAYED"]

MODULES = (forging_judges, forging_shell, forging_channel, reading, writing, taking_down, bombs, broken, broken_files, views)
ATTACKS = tuple(attack for module in MODULES for attack in module.ATTACKS)
# Root reads every file: what only an ordinary user can be refused is left out for it.
PLAYED = tuple(a for a in ATTACKS if not (a.needs == "ordinary user" and hasattr(os, "getuid") and os.getuid() == 0))
