"""`elbolab lab`: JupyterLab at the course, on a working copy of the student notebooks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["open_lab", "working_copy"]


def working_copy(root: Path) -> list[Path]:
    """Copy to `my_work/` what is not there yet. Nothing that exists is touched: it may be somebody's answer."""
    made = []
    for source in sorted((root / "assignments").glob("*/*")):
        target = root / "my_work" / source.parent.name / source.name
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            made.append(target)
    return made


def open_lab(root: Path, arguments: Sequence[str] = ()) -> int:
    """Start JupyterLab in `root`; returns its exit code."""
    for path in working_copy(root):
        print(f"Yours to edit: {path.relative_to(root)}")
    first = next(iter(sorted((root / "my_work").glob("*/exercises.ipynb"))), None)
    url = f"/lab/tree/{first.relative_to(root).as_posix()}" if first else "/lab"
    command = [sys.executable, "-m", "jupyter", "lab", f"--LabApp.default_url={url}", f"--ServerApp.root_dir={root}"]
    command += ["--LabApp.news_url=None", *arguments]  # no pop-up over the first cell
    return subprocess.run(command, cwd=root, check=False).returncode
