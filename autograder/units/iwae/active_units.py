"""Exercise 2g: how many latents say something about the image."""

from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, passed, wrapped
from autograder.exercises.laws import close, shown
from autograder.units.iwae import PREAMBLE
from autograder.units.iwae.probes import probe_active_units
from autograder.units.iwae.sampled import Truth

SOLUTION = '''\
@torch.no_grad()
def active_units(model: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """How many latents' posterior means have a variance over the images above 0.01; and these variances, (M,)."""
    variances = model.posterior(x).mean.var(dim=0)
    return int((variances > 0.01).sum()), variances
'''
UNITS, IMAGES = 8, 150


def draw(rng: torch.Generator) -> dict[str, Any]:
    """An encoder whose means move with variances from 0 to 1, none within a factor of two of 0.01; the means are far from 0."""
    x = (torch.rand(IMAGES, 784, generator=rng) < 0.4).float()
    levels = torch.tensor([0.0, 0.0004, 0.003, 0.03, 0.06, 0.08, 0.2, 0.9])[torch.randperm(UNITS, generator=rng)]
    direction = torch.randn(UNITS, 784, generator=rng)
    slope = direction * (levels / (x @ direction.T).var(0))[:, None].sqrt()
    bias = 0.5 + torch.rand(UNITS, generator=rng) - (x @ slope.T).mean(0)
    log_sigma = 0.02 * torch.randn(UNITS, 784, generator=rng)
    weights = {
        "encoder.weight": torch.cat([slope, log_sigma]), "encoder.bias": torch.cat([bias, -1.0 - 0.1 * torch.rand(UNITS, generator=rng)]),
        "decoder.weight": 0.1 * torch.randn(784, UNITS, generator=rng), "decoder.bias": torch.zeros(784),
    }
    return {"weights": weights, "x": x}


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """With the noise of what the student's code drew, if it drew for all images."""
    z = [part.double().reshape(-1, IMAGES, UNITS) for part in outputs["drawn"] if part.shape[-2:] == (IMAGES, UNITS)]
    return inputs | ({"noise": Truth(inputs["weights"], inputs["x"]).noise(torch.cat(z)).float()} if z else {})


def changed(seen: Seen) -> tuple[str, ...]:
    return () if torch.equal(seen.outputs["x"], seen.inputs["x"]) else ("changes_its_inputs",)


def judge_variances(seen: Seen) -> Finding:
    """The variances, divided by the number of images or by one less."""
    got, right = seen.outputs["variances"], seen.right["variances"]
    good = any(close(got, wanted, 1e-3, 1e-5) for wanted in (right, right * (IMAGES - 1) / IMAGES))
    if good and not changed(seen):
        return passed("variances", "The variances over images of the posterior means are right.")
    message = "Your code changes x in place." if good else "These are not the variances of the posterior means over images."
    return Finding("variances", False, message, (), shown(right), shown(got), changed(seen))


def judge_count(seen: Seen) -> Finding:
    """The count that the variances give, yours or the right ones."""
    count, got, right = seen.outputs["count"], seen.outputs["variances"], seen.right["variances"]
    counts = [int((v > 0.01).sum()) for v in (got, right) if v.shape == right.shape]
    if count in counts and not changed(seen):
        return passed("count", "The count is that of the variances above 0.01.")
    message = "Judged once x is left alone." if changed(seen) else "The count is not that of the variances above 0.01."
    return Finding("count", False, message, (), f"{counts[0]}", f"{count:g}", changed(seen))


VARIANCES, COUNT, COUNTED = "model.posterior(x).mean.var(dim=0)", "int((variances > 0.01).sum())", "variances > 0.01"

MISTAKES = (
    Mistake("samples_for_means", "The variance is that of samples.",
            "Pure noise would count as active. Take the variance of the means: model.posterior(x).mean.", (".mean.", ".sample().")),
    Mistake("variance_of_the_posterior", "This is the variance of q itself.", "Asked for is how far its mean moves from image to image.",
            (VARIANCES, "model.posterior(x).variance.mean(dim=0)"), (VARIANCES, "model.posterior(x).sigma.mean(dim=0)")),
    Mistake("variance_over_the_latents", "The variance is taken over the latents.", "One number for each latent: over the images, dim=0.",
            ("dim=0", "dim=1"), ("dim=0", "dim=1, unbiased=False")),
    Mistake("one_variance_for_all", "There is one variance for all latents.", "One number for each latent: over the images, dim=0.",
            ("dim=0", ""), (VARIANCES, VARIANCES + ".mean()")),
    Mistake("standard_deviation", "This is the standard deviation.", "The threshold 0.01 is one for variances.",
            (".var(", ".std("), (".var(dim=0)", ".std(dim=0, unbiased=False)")),
    Mistake("second_moment", "This is the mean square.", "Subtract the mean first: one that never moves tells nothing of x.",
            (".var(dim=0)", ".square().mean(dim=0)")),
    Mistake("mean_of_the_means", "This is the mean of the posterior means.", "Asked for is their variance over the images.",
            (".var(dim=0)", ".abs().mean(dim=0)"), (".var(dim=0)", ".mean(dim=0)")),
    Mistake("log_sigma_for_mean", "This is how log_sigma moves.", "Take model.posterior(x).mean.", (".mean.", ".log_sigma.")),
    Mistake("sigma_for_mean", "This is how sigma moves.", "Take model.posterior(x).mean.", (".mean.", ".sigma.")),
    Mistake("inactive_counted", "The inactive latents are counted.", "Count the variances above 0.01.", (COUNTED, "variances <= 0.01")),
    Mistake("another_threshold", "Another threshold than 0.01 is used.", "Count the variances above 0.01 (Burda et al. 2016).",
            (COUNTED, "variances > 0.1"), (COUNTED, "variances > 0.001")),
    Mistake("fraction_for_count", "This is a fraction; their number is asked for.", "Sum, and do not average.",
            (COUNT, "float((variances > 0.01).float().mean())")),
    Mistake("images_counted", "More units are counted than there are latents.", "Compare one variance for each latent with 0.01.",
            (COUNT, "int((model.posterior(x).mean > 0.01).sum())"), (COUNT, "int((model.posterior(x).mean.square() > 0.01).sum())")),
    Mistake("changes_its_inputs", "x is changed in place.", "Make a new tensor.", wrapped("value", "given[1].clamp_(0.1, 0.9)")),
)

VARIANTS = {
    "biased variance": body(SOLUTION, "means = model.posterior(x).mu", "v = ((means - means.mean(0)) ** 2).mean(0)",
                            "return (v > 0.01).sum().item(), v"),
    "in parts, with the covariance": body(SOLUTION, "means = torch.cat([model.posterior(part).mean for part in x.split(64)])",
                                          "v = torch.cov(means.T).diagonal()", "return [len(v[v > 0.01]), v]"),
}

HINTS = (
    "A latent is active if its posterior mean moves from image to image. Which object holds these means, and in which shape?",
    "model.posterior(x).mean has shape (images, M). The variance over images is one number for each latent.",
    "variances = model.posterior(x).mean.var(dim=0); return int((variances > 0.01).sum()), variances",
)

EXERCISES = (
    Exercise(name="iwae.active_units", target="active_units", title="How many latents say something", read_on="Lecture 02, active units",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_active_units, replay=replay,
        laws=(
            Behavior("variances", 2, judge_variances, lambda outputs: outputs["variances"], rtol=1e-3, atol=1e-5),
            Behavior("count", 1, judge_count, lambda outputs: outputs["count"], after="variances", own=True),
        ), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS),
)
