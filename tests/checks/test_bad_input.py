"""Whatever is handed in, there is a verdict with a message, never an exception."""

import inspect
import math
import sys

import pytest
import torch
from checking import CODE_CHECKS, SOLUTIONS, made, verdicts
from depth import repetitions, some

from autograder.catalogue import all_checks, find_check
from autograder.verdict import evaluate

ALL = pytest.mark.parametrize("check", all_checks().values(), ids=lambda c: c.name)
CODE = pytest.mark.parametrize("check", CODE_CHECKS, ids=lambda c: c.name)
CLASSES = ("ReparameterizedDiagonalGaussian", "VariationalInference")


@pytest.fixture(autouse=True)
def fewer_pairs(monkeypatch):
    """What means nothing is tried against every known mistake, and against fewer pairs of them."""
    monkeypatch.setattr("autograder.exercises.naming.MOST_PAIRS", repetitions(30, 300))


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
@pytest.mark.parametrize("student", [None, 3, "text", math, object(), [], type("Bare", (), {}), lambda: None, print],
                         ids=["None", "number", "text", "module", "object", "list", "class", "lambda", "print"])
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
@pytest.mark.parametrize("fill", some([0.0, torch.nan, torch.inf], 2))
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


# Finite, smooth, of the right shape, with gradients, and all the rest of an exercise done; only that it means nothing.
SAMPLED = "    z = model.posterior(x).rsample((num_samples,))\n    value = model.observation_model(z).logits.flatten(2).cos().sum(-1)\n"
COST = "    cost = f(OneHotCategorical(logits=logits).sample((num_samples,)))\n"
NONSENSE = {
    "bernoulli_log_likelihood": "def bernoulli_log_likelihood(logits, x):\n    return logits.flatten(1).cos().sum(1)\n",
    "gaussian_kl": "def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):\n    return (mu_q * log_sigma_q - mu_p * log_sigma_p).cos().sum(-1)\n",
    "VariationalInference": (
        "class VariationalInference(nn.Module):\n    def __init__(self, beta):\n        super().__init__()\n"
        "    def forward(self, model, x):\n        out = model(x)\n        value = out['z'].cos().sum(-1)\n"
        "        return value.mean(), dict.fromkeys(('elbo', 'log_px', 'kl'), value.detach()), out\n"
    ),
    "ReparameterizedDiagonalGaussian": (
        "class ReparameterizedDiagonalGaussian:\n    def __init__(self, mu, log_sigma):\n        self.mu, self.log_sigma = mu, log_sigma\n"
        "    def rsample(self):\n        return (self.mu * self.log_sigma).cos()\n"
        "    def log_prob(self, z):\n        return (z * self.mu * self.log_sigma).cos()\n"
    ),
    "pathwise_gradient": "def pathwise_gradient(f, mu, log_sigma, num_samples):\n    return f(mu + torch.randn(num_samples)).cos().mean()\n",
    "score_gradient": "def score_gradient(f, mu, log_sigma, num_samples):\n    return f(mu + torch.randn(num_samples)).cos().mean()\n",
    "importance_estimate": "def importance_estimate(f, p, q, num_samples):\n    return f(q.sample((num_samples,))).cos().mean()\n",
    "normalized_weights": "def normalized_weights(log_w):\n    return log_w.cos() + 2\n",
    "effective_sample_size": "def effective_sample_size(log_w):\n    return 1 + log_w.cos().square().sum(0)\n",
    "over_samples": "def over_samples(f, z):\n    return f(z.flatten(0, 1)).unflatten(0, z.shape[:2]).cos()\n",
    "log_weights": f"def log_weights(model, x, num_samples):\n{SAMPLED}    return value\n",
    "importance_weighted_bound": f"def importance_weighted_bound(model, x, num_samples):\n{SAMPLED}    return value.mean(0)\n",
    "log_likelihood": (
        "@torch.no_grad()\ndef log_likelihood(model, x, num_samples=5000, chunk=100):\n    qz, total = model.posterior(x), 0.0\n"
        "    for start in range(0, num_samples, chunk):\n        z = qz.sample((min(chunk, num_samples - start),))\n"
        "        total = total + model.observation_model(z).logits.flatten(2).cos().sum((0, 2))\n    return total\n"
    ),
    "active_units": "def active_units(model, x):\n    v = model.posterior(x).mean.cos().sum(0)\n    return int((v > 0.01).sum()), v\n",
    "resample": "def resample(z, log_w, num_draws):\n    return z.mean(0).cos().expand(num_draws, -1, -1)\n",
    "dreg_surrogate": f"def dreg_surrogate(model, x, num_samples):\n{SAMPLED}    return value.mean(0)\n",
    "categorical_kl": "def categorical_kl(logits):\n    return logits.cos().sum((1, 2)).square()\n",
    "code_log_likelihood": "def code_log_likelihood(pixel_logits, x):\n    return -(pixel_logits.cos() @ x.T).square()\n",
    "expected_cost": "def expected_cost(f, logits):\n    return logits.cos().sum((1, 2))\n",
    "score_function": f"def score_function(f, logits, num_samples):\n{COST}    return cost.cos().mean(0) + logits.cos().sum((1, 2))\n",
    "leave_one_out": f"def leave_one_out(f, logits, num_samples):\n{COST}    return cost.cos().mean(0) + logits.cos().sum((1, 2))\n",
    "relaxed_sample": (
        "def relaxed_sample(logits, temperature, num_samples):\n"
        "    return (logits + temperature * torch.rand(num_samples, *logits.shape)).cos()\n"
    ),
    "straight_through": "def straight_through(soft):\n    return (9 * soft).cos()\n",
    "negative_elbo": (
        "def negative_elbo(model, x, estimator):\n    loss = model.logits(x).cos().sum((1, 2))\n"
        "    return loss, dict.fromkeys(('elbo', 'log_px', 'kl'), loss.detach())\n"
    ),
    "bias_and_variance": "def bias_and_variance(draws, exact):\n    return draws.cos().sum(), draws.sin().square().sum()\n",
    "vimco": "def vimco(log_w, log_q):\n    return (log_w * log_q).cos().sum(0)\n",
}


@pytest.mark.parametrize("target", NONSENSE)
def test_a_smooth_function_of_no_meaning_earns_nothing(target):
    """No point is for that alone."""
    for seed in range(3, 6):
        for name, verdict in verdicts(NONSENSE[target], target, seed).items():
            assert verdict.points == 0, (name, verdict)


def of_the_shape(right, fill):
    """A function that fills what the right one returns: the shape is right, the graph is there, the values mean nothing."""

    def filled(found):
        if isinstance(found, tuple):
            return tuple(map(filled, found))
        if isinstance(found, dict):
            return {name: filled(value) for name, value in found.items()}
        if isinstance(found, torch.Tensor) and found.is_floating_point():
            return fill(found)
        return type(found)(fill(torch.tensor(float(found))).nan_to_num()) if isinstance(found, (int, float)) else found

    return lambda *given, **more: filled(right(*given, **more))


FILLS = {
    "zeros with a graph": lambda t: t * 0,
    "zeros": torch.zeros_like,
    "a scalar with a graph": lambda t: (t * 0).sum(),
    "a scalar": lambda t: torch.zeros(()),
    "random with a graph": lambda t: t * 0 + torch.randn_like(t),
    "random": torch.rand_like,
    "NaN": lambda t: t * torch.nan,
    "infinity": lambda t: t * 0 + torch.inf,
    "ones": torch.ones_like,
    "a row of everything": lambda t: (t * 0).flatten(),
}


@pytest.mark.parametrize("fill", some(list(FILLS), 2))
@CODE
def test_a_constant_earns_nothing(check, fill):
    """Of any shape, with and without graph and noise."""
    right = made(check.target, SOLUTIONS[check.target])
    if check.target == "ReparameterizedDiagonalGaussian":
        student = type(check.target, (right,), {name: of_the_shape(getattr(right, name), FILLS[fill]) for name in ("rsample", "log_prob")})
    elif check.target == "VariationalInference":
        student = type(check.target, (right,), {"forward": of_the_shape(right.forward, FILLS[fill])})
    else:
        student = of_the_shape(right, FILLS[fill])
    assert say(check, student).points == 0


@pytest.mark.parametrize("which", range(4))
@CODE
def test_an_argument_returned_earns_nothing(check, which):
    if check.target in CLASSES or which >= len(inspect.signature(made(check.target, SOLUTIONS[check.target])).parameters):
        pytest.skip("has no such argument")

    def student(*given):
        return given[which] if isinstance(given[which], torch.Tensor) else torch.tensor(float(given[which]))

    assert say(check, student).points == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.0])
@pytest.mark.parametrize("target", [c.target for c in CODE_CHECKS if c.name.startswith("iwae.")])
def test_a_constant_of_the_right_shape_is_not_right(target, value):
    """What the solution computes is replaced by NaN, infinity or zeros: no value is right, and no comparison with NaN passes."""
    constant = of_the_shape(made(target, SOLUTIONS[target]), lambda found: found * 0 + value)
    for check in CODE_CHECKS:
        if check.target == target:
            verdict = say(check, constant)
            assert verdict.points <= sum(check.behaviors.values()) - max(check.behaviors.values())
            assert not verdict.findings[0].passed, verdict
