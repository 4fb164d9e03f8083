"""What the warm parent imports, and does once because it takes long the first time."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

__all__ = ["warm_up"]

HEAVY = ("numpy", "pandas", "torch", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "seaborn", "safetensors.torch", "elbolab",
         "elbolab.explore", "elbolab.plotting", "elbolab.training", "PIL.Image",
         "ipywidgets", "ipykernel.kernelapp", "zmq")


def warm_up(preload: bool) -> Any:
    """Import what notebooks import, and do once what takes long the first time; returns the shell.

    One thread throughout: a pool of threads would not survive the fork.
    """
    import torch

    from autograder.inside.shell import make_shell

    torch.set_num_threads(1)
    shell = make_shell()
    if not preload:
        return shell
    for name in HEAVY:
        try:
            importlib.import_module(name)
        except Exception:
            continue  # the cell that needs it will say so
    import autograder.probes as probes

    for path in Path(probes.__path__[0]).glob("[a-z]*.py"):
        importlib.import_module(f"autograder.probes.{path.stem}")
    rehearse(torch)
    return shell


def rehearse(torch: Any) -> None:
    """One figure and one training step, thrown away."""
    import matplotlib.pyplot as plt
    import pandas

    from elbolab import sources

    figure, axes = plt.subplots(2, figsize=(3, 2))
    axes[0].plot([1, 2], label="$x^2$")
    axes[0].legend()
    axes[1].imshow([[0.0, 1.0]])
    figure.savefig(io.BytesIO(), format="png")
    plt.close("all")
    pandas.DataFrame({"a": [1.0]})._repr_html_()
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(2, 2)).sum().backward()
    optimizer.step()
    try:
        sources._read_subset()
    except Exception:
        pass
