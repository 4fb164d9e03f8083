"""The project as people install it: lock, wheel, make, the working copy, and the demo class."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from depth import some

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^[A-Za-z0-9._-]+==[^;\s]+(\s*;.*)?$")


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned():
    lines = [line.strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_lock_pins_every_line_and_every_direct_dependency():
    assert all(PIN.match(line) for line in pinned())
    names = {normalized(line.split("==")[0]) for line in pinned()}
    metadata = (ROOT / "pyproject.toml").read_text()
    wanted = re.findall(r'^    "([A-Za-z0-9._-]+)[<>=~]', metadata, flags=re.MULTILINE)
    assert len(wanted) > 10
    assert {normalized(n) for n in wanted} <= names
    assert {"torch==2.13.0", "torchvision==0.28.0"} <= set(pinned())


def test_lock_brings_no_gpu_packages():
    assert not [line for line in pinned() if line.startswith(("nvidia-", "cuda-", "triton"))]


def test_conda_installs_the_lock():
    text = (ROOT / "environment.yml").read_text()
    assert "name: elbolab" in text and "-r requirements.lock" in text and "-e ." in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, so that no build folder is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lib", "autograder"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("elbolab-*.whl"))


def test_wheel_misses_no_module(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = {p.relative_to(ROOT / "lib").as_posix() for p in (ROOT / "lib" / "elbolab").rglob("*.py")}
    here |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "autograder").rglob("*.py")}
    assert here <= inside
    assert not [name for name in inside if name.startswith(("tests", "course", "benchmarks"))]


def test_wheel_brings_the_trained_models_and_their_cards(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = {p.relative_to(ROOT / "lib").as_posix() for p in (ROOT / "lib" / "elbolab" / "checkpoints").iterdir()}
    assert here and here <= inside


def test_wheel_works_elsewhere(wheel, tmp_path):
    """Library, check and command out of the wheel alone, in a folder that knows nothing of the checkout."""
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (away / "answer.py").write_text(
        "import torch\nfrom torch.distributions import Normal\n"
        "class ReparameterizedDiagonalGaussian:\n"
        "    def __init__(self, mu, log_sigma):\n        self.mu, self.sigma = mu, log_sigma.exp()\n"
        "    def rsample(self):\n        return Normal(self.mu, self.sigma).rsample()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = "import autograder, elbolab; print(autograder.__file__, elbolab.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=away, env=environment, capture_output=True, text=True, check=True)
    assert all(str(site) in path for path in found.stdout.split())
    command = [sys.executable, str(site / "bin" / "elbolab"), "check", "vae.gaussian_rsample", "answer.py", "--json"]
    result = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["passed"] is True


def test_make_refuses_a_wrong_python_with_a_sentence(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python2.7"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "is no Python 3.10 to 3.13" in result.stdout
    assert not (tmp_path / ".venv").exists()


def test_make_says_so_when_there_is_no_network(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    away = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    away |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PYTHON": sys.executable}
    result = subprocess.run(["make", "run"], cwd=tmp_path, env=away, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "is there a network?" in result.stdout


def test_make_test_runs_side_by_side_and_says_how_deep(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "DEEP=$DEEP $*"\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "DEEP", "PYTEST"))}  # this may be a `make test`
    for given, wanted in (("DEEP=1", "DEEP=1 -m pytest -n logical "), ("WORKERS=0", "DEEP= -m pytest -n 0 ")):
        done = subprocess.run(["make", "test", given], cwd=tmp_path, env=outside, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(wanted)


def test_working_copy_never_overwrites_answers(tmp_path):
    from autograder.lab import working_copy

    (tmp_path / "assignments" / "01_vae").mkdir(parents=True)
    (tmp_path / "assignments" / "01_vae" / "exercises.ipynb").write_text("new version")
    assert len(working_copy(tmp_path)) == 1
    mine = tmp_path / "my_work" / "01_vae" / "exercises.ipynb"
    mine.write_text("my answers")
    assert working_copy(tmp_path) == []
    assert mine.read_text() == "my answers"


def test_command_outside_a_course_says_what_to_do(tmp_path):
    result = subprocess.run([sys.executable, "-m", "autograder.cli", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "Change into your copy" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_demo_class_is_graded_exactly(tmp_path):
    """Full points for the perfect one, zero for the untouched one, each mistake named and charged by itself; every third of them here."""
    from autograder import demo
    from autograder.catalogue import all_checks
    from autograder.written import verdicts

    for name in ("course", "solutions", "assignments"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    course = tmp_path / "demo"
    names = demo.make_class(tmp_path, course)
    assert len(names) >= 15
    for name in set(demo.MADE) - set(some(list(demo.MADE), 3)):
        shutil.rmtree(course / "submitted" / name)
        names.remove(name)
    assert demo.grade(course) == 0 and demo.elbolab(course, "report", demo.UNIT) == 0
    said = {name: verdicts(nbformat.read(course / "autograded" / name / demo.UNIT / "exercises.ipynb", as_version=4)) for name in names}
    total = {name: sum(verdict["points"] for verdict in said[name]) for name in names}
    everything = sum(check.max_points for name, check in all_checks().items() if name.startswith("vae."))
    assert total["perfect"] == everything and not any(verdict["misconception"] for verdict in said["perfect"])
    assert total["untouched"] == 0
    for name in set(demo.MADE) & set(names):
        assert {v["misconception"] for v in said[name] if v["misconception"] and not v["passed"]} == {name}
        assert {v["check"]: v["max_points"] - v["points"] for v in said[name] if v["points"] < v["max_points"]} == charged(name)
    for name in ("syntax_error", "cells_deleted", "training_diverges"):
        assert 0 < total[name] < everything
    assert len(list(course.glob("feedback/*/01_vae/exercises.html"))) == len(names)
    assert (course / "reports" / "01_vae.html").exists()


def charged(name):
    """The points that a mistake costs when its code is judged here, check by check."""
    from autograder.catalogue import all_checks
    from autograder.verdict import evaluate

    exercises = [e for n, e in all_checks().items() if n.startswith("vae.")]
    made = next(e for e in exercises if e.mistake(name))
    student = made.object(made.source(made.mistake(name).ways[0]))
    verdicts = [evaluate(e, student, seed=1) for e in exercises if e.target == made.target]
    return {v.check: v.max_points - v.points for v in verdicts if v.points < v.max_points}
