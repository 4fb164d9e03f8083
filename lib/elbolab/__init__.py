"""The library of ELBO Lab: small modules that teach variational inference by being read.

A module is imported when it is first used, so `import elbolab` takes no time and changes nothing
in the process.

>>> import elbolab
>>> elbolab.inference.reduce.__name__
'reduce'
"""

import importlib

__version__ = "0.1.0"
__all__ = [
    "data", "discrete", "distributions", "explore", "gradients", "inference",
    "models", "plotting", "race", "surrogates", "trained", "training",
]


def __getattr__(name):
    if name == "pretrained":  # elbolab.pretrained("name"): the one function that is reached without its module
        return importlib.import_module(f"{__name__}.trained").pretrained
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"elbolab has no module '{name}'; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__, "pretrained"])
