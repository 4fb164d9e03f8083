"""What the warm parent imports, and does once because it takes long the first time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["warm_up"]

HEAVY = ("numpy", "pandas", "torch", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "seaborn", "safetensors.torch", "elbolab",
         "elbolab.explore", "elbolab.plotting", "elbolab.training", "PIL.Image",
         "ipywidgets", "ipykernel.kernelapp", "zmq")


def warm_up(preload: bool, own: Mapping[str, str]) -> Any:
    """Import what notebooks import, and do once what takes long the first time; returns the shell.

    One thread throughout: a pool of threads would not survive the fork.

    Arguments:
        own: units whose probes lie in these folders.
    """
    import torch

    from autograder.inside.shell import make_shell

    torch.set_num_threads(1)
    shell = make_shell()
    for name, folder in own.items():
        unit = ModuleType(f"autograder.units.{name}")
        unit.__path__ = [folder]
        sys.modules[unit.__name__] = unit
    if not preload:
        return shell
    for name in HEAVY:
        try:
            importlib.import_module(name)
        except Exception:
            continue  # the cell that needs it will say so
    import autograder.units as units

    for name in [path.parent.name for path in Path(units.__path__[0]).glob("*/probes.py")] + list(own):
        try:
            importlib.import_module(f"autograder.units.{name}.probes")
        except Exception:
            continue  # the check that needs it will say so
    rehearse(shell)
    return shell


# What many notebooks do, in the shell that will do it for them. Every name stays inside the function.
REHEARSAL = """
def rehearsal():
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    import seaborn as sns
    import torch
    from IPython.display import display
    from torch import nn
    from torch.distributions import Bernoulli, Normal, kl_divergence

    x = Normal(torch.zeros(50), 2.0).sample().numpy()
    sns.histplot(x, bins=20, stat="density")
    plt.show()
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), constrained_layout=True)
    sns.lineplot(x=np.arange(50), y=x, ax=axes[0])
    sns.scatterplot(x=x, y=x, hue=(x > 0).astype(int), ax=axes[1])
    axes[2].imshow(np.zeros((4, 4)), cmap="gray")
    axes[0].set(xlabel="$\\\\mu^2$", ylabel="nats", title="title")
    axes[0].plot([1, 2], label="a")
    axes[0].legend()
    plt.show()
    plt.close("all")
    display(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}).round(2))
    layer = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.Adam(layer.parameters())
    loss = nn.functional.binary_cross_entropy_with_logits(layer(torch.randn(8, 4)), torch.ones(8, 1))
    loss.backward()
    optimizer.step()
    torch.logsumexp(torch.randn(3, 2), 0)
    kl_divergence(Normal(0.0, 1.0), Normal(1.0, 2.0)), Bernoulli(logits=torch.zeros(3)).log_prob(torch.ones(3)).sum()
    return layer

rehearsal()
"""


def rehearse(shell: Any) -> None:
    """Figures, a table and a training step, thrown away; the shell is as new afterwards."""
    from autograder import border
    from elbolab import sources

    try:
        sources._read_subset()
        shell.run(REHEARSAL, 60.0, lambda output: None)
        shell.run("1 / 0", 60.0, lambda output: None)
        border.decode(border.encode({"a": [1.0, "x"]}))
    except Exception:  # a part that is not installed: the cell that needs it will say so
        pass
    shell.reset(new_session=True)
    shell.emit = None
