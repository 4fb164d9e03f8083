"""No import runs in a circle: what a part of the house needs stands below it."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = {"elbolab": ROOT / "lib", "autograder": ROOT}


def house():
    """{module: its source}; a package's own face is the module `package.__init__`."""
    files = [(path, base) for name, base in HOUSE.items() for path in (base / name).rglob("*.py")]
    return {".".join(path.relative_to(base).with_suffix("").parts): path.read_text() for path, base in files}


def nodes(tree):
    """Every node, also inside functions; what stands under `if TYPE_CHECKING` is never run."""
    yield tree
    skipped = tree.body if isinstance(tree, ast.If) and ast.unparse(tree.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else []
    for child in ast.iter_child_nodes(tree):
        if child not in skipped:
            yield from nodes(child)


def imported(module, sources):
    """The modules among `sources` that a module names in its imports."""
    names = []
    for node in nodes(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            names += [(alias.name,) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names += [(f"{origin}.{alias.name}", origin) for alias in node.names]  # a module, or something in one
    places = [[place for name in either for place in (name, f"{name}.__init__") if place in sources] for either in names]
    return {found[0] for found in places if found}


def circles(sources):
    """One circle for each package whose parts (modules, and packages with all that is in them) import each other in a circle."""
    arrows = [(module, needed) for module in sources for needed in imported(module, sources)]
    packages = sorted({""} | {".".join(module.split(".")[:depth]) for module in sources for depth in range(1, module.count(".") + 1)})
    found = []
    for prefix in (f"{package}." if package else "" for package in packages):
        parts, because = {}, {}
        for arrow in arrows:
            if all(module.startswith(prefix) for module in arrow):
                one, other = (module[len(prefix) :].split(".")[0] for module in arrow)
                if one != other:
                    parts.setdefault(one, set()).add(other)
                    because.setdefault((one, other), "{} imports {}".format(*arrow))
        try:
            TopologicalSorter(parts).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
            found.append([because[step] for step in zip(circle, circle[1:])])
    return found


def test_nothing_imports_in_a_circle():
    sources = house()
    assert len(sources) > 100 and {"autograder.__init__", "elbolab.gradients.score"} <= set(sources)
    assert "autograder.grading.dryrun" in imported("autograder.grading.command", sources)  # by a function
    assert "elbolab.budgets" in imported("elbolab.sources", sources)  # by `from .budgets import`
    assert circles(sources) == []


@pytest.mark.parametrize("sources, found", [
    ({"p.a": "import p.b", "p.b": "from p import a"}, 1),
    ({"p.a": "def f():\n    from .b import c", "p.b": "from .c import d", "p.c": "from . import a"}, 1),
    ({"p.__init__": "def f():\n    from p import a", "p.a": "from p import NAME"}, 1),
    ({"p.s.a": "from p import low", "p.low": "from p.s import b", "p.s.b": ""}, 1),  # no module's circle, but a package's
    ({"p.s.t.a": "from ... import low", "p.low": "import p.s.t.b", "p.s.t.b": ""}, 1),
    ({"p.a": "import q.b", "q.b": "", "q.c": "import p.a"}, 1),
    ({"p.a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p import b", "p.b": "from p import a"}, 0),
    ({"p.a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from p import b", "p.b": "from p import a"}, 1),
    ({"p.s.a": "from p.s import b", "p.s.b": "from p import low", "p.low": "import json", "p.s.__init__": "from .a import f"}, 0),
])
def test_circles_are_found(sources, found):
    assert len(circles(sources)) == found


def test_the_graders_first_process_does_without_torch():
    """It hands out work and keeps the gradebook; the exercises, which bring torch, are for those who judge."""
    source = """if True:
        import sys
        from autograder import cli
        from autograder.grading import assignment, dryrun, grader, pipeline, table
        from autograder.catalogue import refusal
        assert refusal("vae.elbo") == "" and "torch" not in sys.modules, "torch is there"
    """
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
