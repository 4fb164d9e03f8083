"""Whatever is handed in, there is a verdict with a message, never an exception."""

import math
import sys

import pytest
import torch
from checking import CODE_CHECKS, verdicts

from autograder.catalogue import all_checks, find_check
from autograder.verdict import evaluate

ALL = pytest.mark.parametrize("check", all_checks().values(), ids=lambda c: c.name)
CODE = pytest.mark.parametrize("check", CODE_CHECKS, ids=lambda c: c.name)
CLASSES = ("ReparameterizedDiagonalGaussian", "VariationalInference")


def a_student(target, act):
    """The object called `target` whose every answer is ``act()``."""
    if target not in CLASSES:
        return lambda *arguments, **more: act()

    class Student:
        def __init__(self, *arguments, **more):
            pass

        def rsample(self):
            return act()

        def log_prob(self, z):
            return act()

        def __call__(self, model, x):
            return act()

    return Student


def say(check, student, seconds=20.0):
    verdict = evaluate(check, student, seed=3, seconds=seconds)
    assert not verdict.passed and verdict.points < verdict.max_points
    assert 10 < len(verdict.message) < 700 and "Traceback" not in verdict.message and "\n" not in verdict.message
    assert verdict.record()["message"] == verdict.message
    return verdict


@ALL
@pytest.mark.parametrize("student", [None, 3, "text", math, object(), [], type("Bare", (), {}), lambda: None, print], ids=repr)
def test_wrong_kinds(check, student):
    assert say(check, student).points == 0


class NoArguments:
    def __init__(self):
        pass


@CODE
def test_no_arguments_are_taken(check):
    assert "argument" in say(check, NoArguments).message


VALUES = {
    "None": lambda: None,
    "an integer": lambda: 3,
    "a list": lambda: [1.0, 2.0],
    "integers": lambda: torch.arange(8),
    "nothing": lambda: torch.zeros(0),
    "a scalar": lambda: torch.tensor(1.0),
    "NaN": lambda: torch.full((8,), torch.nan),
    "infinity": lambda: torch.full((8, 24), torch.inf),
    "five dimensions": lambda: torch.zeros(2, 1, 3, 1, 2),
    "complex numbers": lambda: torch.zeros(8, dtype=torch.complex64),
    "float64": lambda: torch.zeros(8, dtype=torch.float64),
    "sparse": lambda: torch.zeros(8, 3).to_sparse(),
    "on the meta device": lambda: torch.zeros(8, 3, device="meta"),
    "a triple of None": lambda: (None, None, None),
    "a triple of strings": lambda: ("loss", {"elbo": "a", "log_px": "b", "kl": "c"}, "outputs"),
    "an empty dict": lambda: {},
    "a string": lambda: "right",
}


@CODE
@pytest.mark.parametrize("value", VALUES)
def test_wrong_values(check, value):
    say(check, a_student(check.target, VALUES[value]))


@pytest.mark.parametrize("name", ["vae.elbo", "vae.beta_elbo"])
@pytest.mark.parametrize("shape", [(), (1,), (8,), (8, 1), (1, 8), (8, 8), (256,), (0,), (8, 784), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("fill", [0.0, torch.nan, torch.inf])
def test_wrong_losses_and_diagnostics(name, shape, fill):
    def act():
        value = torch.full(shape, fill, requires_grad=True)
        return value.sum(), {"elbo": value, "log_px": value, "kl": value}, {}

    say(find_check(name), a_student("VariationalInference", act))


def test_messages_say_what_is_wrong():
    check = find_check("vae.gaussian_rsample")
    assert "NoneType" in say(check, None).message
    assert "returned None" in say(check, a_student(check.target, lambda: None)).message
    assert "no method `rsample`" in say(check, type("Bare", (), {"__init__": lambda self, mu, log_sigma: None})).message
    assert "Pass the class" in say(find_check("vae.bernoulli"), torch.zeros(3)).message
    assert "loss, diagnostics, outputs" in say(find_check("vae.elbo"), a_student("VariationalInference", lambda: torch.zeros(()))).message
    missing = a_student("VariationalInference", lambda: (torch.zeros((), requires_grad=True), {"ELBO": torch.zeros(8)}, {}))
    assert '"elbo"' in say(find_check("vae.elbo"), missing).message


def stop():
    raise ValueError("three\nlines\nof <b>text</b>")


def give_up():
    raise NotImplementedError


def recurse():
    return recurse()


def forever():
    while True:
        pass


def stubborn():
    while True:
        try:
            while True:
                pass
        except Exception:
            continue


ENDINGS = {
    "raises": (stop, "ValueError"),
    "is not done": (give_up, "still to be done"),
    "exits": (lambda: sys.exit(0), "SystemExit"),
    "recurses": (recurse, "calls itself without end"),
    "stops iterating": (lambda: next(iter(())), "StopIteration"),
}


@CODE
@pytest.mark.parametrize("ending", ENDINGS)
def test_endings(check, ending):
    act, words = ENDINGS[ending]
    verdict = say(check, a_student(check.target, act))
    assert words in verdict.message and verdict.points == 0


@pytest.mark.parametrize("act", [forever, stubborn])
@pytest.mark.parametrize("name", ["vae.gaussian_rsample", "vae.gaussian_log_prob", "vae.bernoulli", "vae.elbo"])
def test_endless_code_is_stopped(name, act):
    check = find_check(name)
    assert "still running" in say(check, a_student(check.target, act), seconds=0.4).message


def test_an_interrupt_gets_through():
    """Someone at the keyboard wants to stop: that is not the student's code's fault."""

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(find_check("vae.bernoulli"), a_student("bernoulli_log_likelihood", interrupt), seed=1)


NONSENSE = {
    "bernoulli_log_likelihood": "def bernoulli_log_likelihood(logits, x):\n    return logits.flatten(1).cos().sum(1)\n",
    "gaussian_kl": "def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):\n    return (mu_q * log_sigma_q - mu_p * log_sigma_p).cos().sum(-1)\n",
    "VariationalInference": (
        "class VariationalInference(nn.Module):\n    def __init__(self, beta):\n        super().__init__()\n"
        "    def forward(self, model, x):\n        out = model(x)\n        value = out['z'].cos().sum(-1)\n"
        "        return value.mean(), dict.fromkeys(('elbo', 'log_px', 'kl'), value.detach()), out\n"
    ),
}


@pytest.mark.parametrize("target", NONSENSE)
def test_a_smooth_function_of_no_meaning_earns_nothing(target):
    """Finite, of the right shape, and with gradients: no point is for that alone."""
    for name, verdict in verdicts(NONSENSE[target], target, 3).items():
        assert verdict.points == 0, (name, verdict)
