"""False alarms and power of the checks that judge random numbers.

Stated for each, for right code with any seed:

- vae.gaussian_rsample: 12 means and spreads and 11 values of the distribution function of the noise at 6.5 standard errors (below 3e-9
  together), and its independence (1e-7): below 1e-6.
- vae.elbo and vae.beta_elbo: compared exactly, at the latents that the code drew or decoded. That decoded ones are samples of q is read
  off the spread of 68 numbers or more (1e-6).
- vae.gaussian_kl: nothing is random.
- vae.pathwise_gradient and vae.score_gradient: 3 means and 3 variances, at 6.5 standard errors of their difference from those of the
  solution's 20,000 samples (5e-10; that of two variances has no skew).
- iwae.log_weights, iwae.bound: values and gradients are compared exactly at the latents that the code decoded. These are tested to be
  independent draws of q by six statistics of some 5,000 numbers, at 9.75 standard errors or more: below 1e-9.
- iwae.log_likelihood: the same, with 87 samples. iwae.importance_estimate: mean and spread of 4,000 draws at 6.5 standard errors.
- iwae.resample: Pearson's statistic with 35 degrees of freedom above 110, twice: below 1e-8.
- the other checks of unit 02: nothing is random.

Unit 04's figures stand in test_discrete_estimators.py. That right code passes with every seed is tested in tests/honest: every solution
with 200 seeds, every unusual one with as many or, where they are slow, with some tens. Here are those of the latter that are judged
by means, with more seeds; and the mistakes that only chance could hide. All others are found in every seed that test_mistakes.py tries.
"""

import json

import pytest
from checking import EXERCISES, PRICES, VARIANTS, named, said, verdicts
from depth import repetitions

KNOWN = json.loads(PRICES.read_text(encoding="utf-8"))
STATISTICAL = (
    "KL of noise of its own",
    "several samples for both terms",
    "several samples of an example side by side",
    "samples and decodes by itself",
)
SUBTLE = (
    "one_epsilon_for_the_batch", "sigma_plus_constant", "not_gaussian", "kl_clamped", "wrong_sigma", "score_for_pathwise",
    "samples_shared_across_the_batch", "one_epsilon_for_all_latents", "antithetic_samples", "different_samples_in_one_weight",
    "averages_the_latents", "weights_squared", "samples_for_means",
)


def assert_right(source, target, seeds):
    for seed in seeds:
        for verdict in verdicts(source, target, seed).values():
            assert verdict.passed, (seed, verdict)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATISTICAL)
def test_no_false_alarm_with_samples_of_its_own(name):
    assert_right(VARIANTS["VariationalInference"][name], "VariationalInference", range(2000, 2000 + repetitions(20, 100)))


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake"), [pytest.param(e, m, id=f"{e.name}-{m.name}") for e in EXERCISES for m in e.mistakes if m.name in SUBTLE])
def test_subtle_mistakes_are_found_every_time(exercise, mistake):
    """The first way that this check minds."""
    sources = [exercise.source(way) for way, price in zip(mistake.ways, KNOWN[exercise.name][mistake.name]) if price is not None]
    for seed in range(3000, 3000 + repetitions(6, 50)):
        for source in sources[:1]:
            assert named(said(exercise, source, seed)) == [mistake.name], seed
