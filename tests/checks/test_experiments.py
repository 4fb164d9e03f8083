"""The checks of recorded tables: each mistake is named and costs exactly its points; honest tables of any form pass.

A mistake is one line that spoils a right table `t`.
"""

import pytest

from autograder.catalogue import find_check
from autograder.verdict import evaluate

HEAD = '''import pandas as pd
def row(log_px, kl, **setting):
    return {**setting, "loss": setting.get("beta", 1) * kl - log_px, "elbo": log_px - kl, "log_px": log_px, "kl": kl}
'''
SOLUTION = {
    "vae.depth": HEAD + 't = pd.DataFrame([row(-170.1, 4.0, hidden="128", activation="ReLU"), row(-168.3, 4.2, hidden="256-128", activation="ReLU"), row(-165.2, 5.1, hidden="256-128", activation="Tanh")])\n',
    "vae.classes": HEAD + "t = pd.DataFrame([row(-120.4, 5.2, classes=2), row(-130.9, 4.3, classes=4), row(-160.2, 4.1, classes=10)])\n",
    "vae.latents": HEAD + "t = pd.DataFrame([row(-180.2, 3.0, latents=1, active_units=1), row(-160.8, 5.1, latents=2, active_units=2), row(-110.3, 14.2, latents=10, active_units=10), row(-109.7, 15.3, latents=20, active_units=13)])\n",
    "vae.autoencoder": HEAD + "t = pd.DataFrame([row(-150.3, 30.1, beta=0), row(-160.4, 5.2, beta=1)])\n",
    "vae.beta_sweep": HEAD + "t = pd.DataFrame([row(-155.2, 9.3, beta=0.1), row(-160.4, 5.2, beta=1), row(-190.1, 1.1, beta=10), row(-206.3, 0.01, beta=50)])\n",
    "discrete.twenty": HEAD + 't = pd.DataFrame([row(-80.3, 40.2, estimator="leave-one-out"), row(-85.1, 38.4, estimator="straight-through"), row(-90.3, 30.2, estimator="Gumbel-softmax")])\n',
    "discrete.race": 'import pandas as pd\nt = pd.DataFrame({"estimator": ["enumeration", "score function", "leave-one-out", "Gumbel-softmax", "straight-through"], "squared_bias": [0.0, 0.4, -0.02, 5.1, 2.2], "variance": [0.0, 210.5, 12.3, 1.2, 3.4]})\n',
}
TARGET = {"vae.depth": "depth_results", "vae.classes": "class_results", "vae.latents": "latent_results", "vae.autoencoder": "autoencoder_results", "vae.beta_sweep": "beta_results", "discrete.twenty": "twenty_results", "discrete.race": "race_results"}
N = '["loss", "elbo", "log_px", "kl"]'
EVERY = {
    "diverged": f"t.loc[0, {N}] = float('nan')",
    "same_run_twice": f"t[{N}] = t.loc[0, {N}].to_numpy()",
    "mean_over_pixels": f"t[{N}] /= 784",
    "sum_over_batch": f"t[{N}] *= 500",
    "untrained": "t['log_px'] = -543.4; t['elbo'] = t.log_px - t.kl; t['loss'] = -t.elbo",
    "reconstruction_error_as_log_px": "t['log_px'] = -t.log_px",
    "kl_negated": "t['kl'] = -t.kl - 1",
    "loss_as_elbo": "t['elbo'] = -t.elbo",
    "log_px_as_elbo": "t['elbo'] = t.log_px",
    "kl_added": "t['elbo'] = t.log_px + t.kl",
}
BETA = {
    "beta_elbo_as_elbo": "t['elbo'] = t.log_px - t.beta * t.kl",
    "betas_swapped": "t['beta'] = t.beta.to_numpy()[::-1]",
    "beta_not_used": "t['kl'] = [5.0, 5.1, 4.8, 5.2][:len(t)]; t['log_px'] = -160.3; t['elbo'] = t.log_px - t.kl; t['loss'] = -t.elbo",
}
MISTAKES = {check: dict(EVERY) for check in SOLUTION}
MISTAKES["vae.autoencoder"] |= BETA | {"loss_not_negated": "t['loss'] = -t.loss", "loss_with_the_wrong_beta": "t['loss'] = -t.elbo"}
MISTAKES["vae.beta_sweep"] |= BETA
MISTAKES["discrete.twenty"] |= {"kl_above_its_largest_value": "t['kl'] = 60.0; t['elbo'] = t.log_px - t.kl"}
MISTAKES["discrete.race"] = {
    "not_finite": "t.loc[1, 'variance'] = float('nan')",
    "same_run_twice": "t.loc[4, ['squared_bias', 'variance']] = t.loc[3, ['squared_bias', 'variance']]",
    "negative_variance": "t.loc[4, 'variance'] = -2.0",
    "enumeration_varies": "t.loc[0, 'variance'] = 12.0",
    "bias_where_there_is_none": "t.loc[2, 'squared_bias'] = 6.0",
    "no_bias_where_there_is_one": "t.loc[3:, 'squared_bias'] = [-0.001, -0.002]",
}
MISTAKES["vae.latents"] |= {"variances_not_counted": "t['active_units'] = [0.5, 0.3, 0.2, 0.1]", "active_units_over_images": "t['active_units'] = 400"}
RIGHT = {check: {"rounded": "t = t.round(1)", "tensors": "import torch; t['elbo'] = [torch.tensor(v) for v in t.elbo]",
                 "extra_columns": "t['seconds'] = 3.2", "another_order": "t = t[::-1].reset_index(drop=True)"} for check in SOLUTION}
RIGHT["discrete.race"] = {"another_order": "t = t[::-1].reset_index(drop=True)", "index": "t = t.set_index('estimator')",
                          "more_rows": "t.loc[5] = ['REBAR', -0.001, 3.0]", "variance_of_rloo_is_larger": "t.loc[2, 'variance'] = 300.0"}
RIGHT["vae.beta_sweep"]["setting_as_index"] = "t = t.set_index('beta')"
RIGHT["vae.depth"]["tuples_and_classes"] = "from torch import nn; t['hidden'] = [(128,), (256, 128), (256, 128)]; t['activation'] = [nn.ReLU, nn.ReLU, nn.Tanh]"

BOUNDS = "iwae.bounds_table"
SOLUTION[BOUNDS] = HEAD + (
    "t = pd.DataFrame({'num_samples': [1, 5, 50, 500], 'bound': [-112.1, -109.4, -107.9, -107.2], 'ess': [1.0, 2.4, 9.3, 31.8]})\n"
)
MISTAKES[BOUNDS] = {
    "diverged": "t.loc[1, 'bound'] = float('nan')",
    "same_evaluation_twice": "t['bound'] = -112.1",
    "loss_recorded": "t['bound'] = -t.bound",
    "mean_over_pixels": "t['bound'] /= 784",
    "sum_over_batch": "t['bound'] *= 100",
    "untrained": "t['bound'] -= 430",
    "ess_is_a_fraction": "t['ess'] = 1 / t.ess",
    "ess_out_of_range": "t['ess'] *= 100",
    "mean_of_logs": "t['bound'] = [-112.1, -112.2, -112.0, -112.1001]",
    "log_k_missing": "import numpy; t['bound'] += numpy.log(t.num_samples)",
    "log_k_counted_twice": "import numpy; t['bound'] -= numpy.log(t.num_samples)",
    "bound_falls": "t['bound'] = t.bound.to_numpy()[::-1]",
}
RIGHT[BOUNDS] = {
    "rounded": "t = t.round(0)",
    "tensors": "import torch; t['ess'] = [torch.tensor(v) for v in t.ess]",
    "extra_columns": "t['seconds'] = 3.2",
    "another_order": "t = t[::-1].reset_index(drop=True)",
    "setting_as_index": "t = t.set_index('num_samples')",
    "a model after 100 steps": "t['bound'] = [-205.3, -204.6, -204.5, -204.4]",
    "a noisy step": "t['bound'] = [-112.1, -109.4, -107.2, -107.4]",
}


def table(check, line=""):
    scope = {}
    exec(SOLUTION[check] + line, scope)
    return scope["t"]


def cases(lines):
    return [pytest.param(check, name, line, id=f"{check}-{name}") for check, named in lines.items() for name, line in named.items()]


@pytest.mark.parametrize("check", SOLUTION)
def test_honest_table_passes(check):
    verdict = evaluate(find_check(check), table(check), seed=0)
    assert verdict.passed and verdict.points == verdict.max_points


@pytest.mark.parametrize("check, name, line", cases(MISTAKES))
def test_spoiled_table_is_named_and_costs_its_own_points(check, name, line):
    found = find_check(check)
    verdict = evaluate(found, table(check, line), seed=0)
    lost = {f"{check}:{f.behavior}" for f in verdict.findings if not f.passed}
    assert not verdict.passed
    assert verdict.misconception is not None and verdict.misconception.name == name
    assert lost == {place for place in found.misconception(name).loses if place.startswith(check)}


@pytest.mark.parametrize("check, name, line", cases(RIGHT))
def test_unusual_table_passes(check, name, line):
    assert evaluate(find_check(check), table(check, line), seed=0).passed


@pytest.mark.parametrize("check", SOLUTION)
@pytest.mark.parametrize("wrong", [None, 3, "table", [], {}, object()], ids=["None", "number", "text", "list", "dict", "object"])
def test_no_table_is_a_sentence(check, wrong):
    verdict = evaluate(find_check(check), wrong, seed=0)
    assert verdict.points == 0 and len(verdict.message) > 20
