"""What every check owes its readers, whatever it checks."""

import re

import pytest
import torch
from checking import CODE_CHECKS

from autograder.catalogue import all_checks, find_check
from autograder.probing import Trouble
from autograder.verdict import draw_inputs, judge_outputs

CHECKS = list(all_checks().values())
BY_NAME = pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)


def same(a, b):
    """Equal, tensors and nested values alike."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@BY_NAME
def test_texts(check):
    assert len(check.hints) == 3 and len(set(check.hints)) == 3 and all(len(h) > 15 for h in check.hints)
    assert check.title and check.read_on.startswith("Lecture")
    assert check.max_points == sum(check.behaviors.values()) > 0
    names = [m.name for m in check.mistakes]
    assert len(names) == len(set(names)) > 0
    for mistake in check.mistakes:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", mistake.name)
        assert mistake.title.endswith("."), mistake
        assert mistake.advice.endswith((".", "?", ")")), mistake


@BY_NAME
def test_same_seed_same_inputs(check):
    first = draw_inputs(check, 7)
    torch.manual_seed(1)
    assert same(first, draw_inputs(check, 7))
    if first and any(isinstance(v, torch.Tensor) for v in first.values()):
        assert not same(first, draw_inputs(check, 8))


def test_points():
    points = {c.name: c.max_points for c in CODE_CHECKS if c.name.startswith("vae.")}
    assert points == {
        "vae.gaussian_rsample": 4, "vae.gaussian_log_prob": 4, "vae.bernoulli": 3, "vae.elbo": 5, "vae.beta_elbo": 5,
        "vae.gaussian_kl": 3, "vae.pathwise_gradient": 2, "vae.score_gradient": 2,
    }
    assert sum(c.max_points for c in CHECKS if c.name.startswith("vae.")) == 41
    points = {c.name: c.max_points for c in CHECKS if c.name.startswith("iwae.")}
    assert points == {
        "iwae.importance_estimate": 3, "iwae.normalized_weights": 2, "iwae.effective_sample_size": 2, "iwae.over_samples": 3,
        "iwae.log_weights": 4, "iwae.bound": 7, "iwae.bounds_table": 4, "iwae.log_likelihood": 5, "iwae.active_units": 3,
        "iwae.resample": 4, "iwae.dreg": 2,
    }


NEAR = [("vae.elb", "vae.elbo"), ("gaussian_kl", "vae.gaussian_kl"), ("vae.BERNOULLI", "vae."), ("?", "vae.elbo")]


@pytest.mark.parametrize(("name", "near"), NEAR)
def test_unknown_name_lists_close_ones(name, near):
    with pytest.raises(Trouble, match=re.escape(f'There is no check called "{name}"')) as error:
        find_check(name)
    assert near in str(error.value)


STRANGE = {"empty": {}, "trouble": {"trouble": "It did not run."}, "other": {"shape": None}, "no calls": {"calls": []}, "a number": 3}


@BY_NAME
@pytest.mark.parametrize("outputs", STRANGE.values(), ids=STRANGE)
def test_a_judge_survives_what_no_probe_returns(check, outputs):
    verdict = judge_outputs(check, draw_inputs(check, 1), outputs)
    assert not verdict.passed and verdict.points == 0 and verdict.message
