"""Importing the library changes nothing in the process, and its examples are true."""

import doctest
import importlib
import json
import subprocess
import sys

import pytest
import torch

import elbolab

GRADIENTS = [f"gradients.{name}" for name in ("baselines", "bernoulli", "categorical", "relaxed", "score", "statistics")]
MODULES = [*elbolab.__all__, *GRADIENTS, "budgets", "progress", "resuming", "sources"]

PROBE = """
import json, sys, warnings, logging, signal, os, random
import numpy, torch, matplotlib
import torch.distributions

def state():
    return {
        "dtype": str(torch.get_default_dtype()), "threads": torch.get_num_threads(), "grad": torch.is_grad_enabled(),
        "device": str(torch.get_default_device()), "deterministic": torch.are_deterministic_algorithms_enabled(),
        "print": str(torch._tensor_str.PRINT_OPTS), "numpy print": str(numpy.get_printoptions()),
        "precision": torch.get_float32_matmul_precision(), "anomaly": torch.is_anomaly_enabled(),
        "torch rng": torch.get_rng_state().tolist(), "numpy rng": str(numpy.random.get_state()),
        "random": str(random.getstate()), "validate": torch.distributions.Distribution._validate_args,
        "normal": [str(sorted(vars(c))) for c in (torch.distributions.Normal, torch.distributions.Distribution)],
        "warnings": str(warnings.filters), "style": str(dict(matplotlib.rcParams)), "env": str(dict(os.environ)),
        "showwarning": str(warnings.showwarning), "log": [logging.root.level, str(logging.root.handlers)],
        "sigint": str(signal.getsignal(signal.SIGINT)), "hooks": str((sys.excepthook, sys.displayhook)),
        "path": sys.path[:],
    }

before = state()
import elbolab
for name in MODULES:
    __import__("elbolab." + name)
after = state()
print(json.dumps({
    "changed": [key for key in before if before[key] != after[key]],
    "loaded": [m for m in ("matplotlib.pyplot", "torchvision", "ipywidgets", "pandas", "seaborn", "mlxtend", "IPython")
               if m in sys.modules],
}))
"""


def run(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def test_importing_changes_nothing_and_loads_nothing_heavy():
    assert run(f"MODULES = {MODULES}\n" + PROBE) == {"changed": [], "loaded": []}


def test_importing_the_package_alone_does_not_even_load_torch():
    assert run("import json, sys, elbolab; print(json.dumps('torch' in sys.modules))") is False


def test_modules_are_reached_through_the_package():
    for name in elbolab.__all__:
        assert getattr(elbolab, name) is importlib.import_module(f"elbolab.{name}")
        assert name in dir(elbolab)
    with pytest.raises(AttributeError, match="no module 'flow'"):
        elbolab.flow  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    torch.set_default_dtype(torch.float32)
    module = importlib.import_module(f"elbolab.{name}")
    assert doctest.testmod(module).failed == 0
    assert module.__doc__ and all(hasattr(module, public) for public in module.__all__)
    assert sorted(module.__all__) == module.__all__
    with open(module.__file__) as file:
        assert sum(1 for _ in file) < 300
