"""Exercise 3a: Gumbel-softmax samples.

A relaxed sample y = softmax((logits + g) / temperature) tells its own noise: w = softmax(logits - temperature log y) is the vector
exp(-g) / sum exp(-g), which is uniform on the simplex, so each entry is Beta(1, C - 1). That is tested by Kolmogorov and Smirnov with
the bound of Dvoretzky, Kiefer, Wolfowitz and Massart (a false alarm below 1e-8 for each of 22 entries, and for each of 8 classes with all
examples and latents together), and independence by correlations at 6.5 standard errors. The gradient follows from y exactly:
dy/dlogits = (diag(y) - y y') / temperature.

Mistakes are compared exactly: a few samples are drawn from a known seed, from which known code draws the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed
from autograder.exercises.laws import close, general, shown
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.discrete import PREAMBLE, probes

SOLUTION = '''\
def relaxed_sample(logits: Tensor, temperature: float, num_samples: int) -> Tensor:
    """Gumbel-softmax samples of logits (batch, L, C); shape (num_samples, batch, L, C), with a gradient."""
    u = torch.rand(num_samples, *logits.shape)
    gumbel = -torch.log(-torch.log(u))
    return torch.softmax((logits + gumbel) / temperature, dim=-1)
'''
UNIFORM, GUMBEL = "u = torch.rand(num_samples, *logits.shape)", "gumbel = -torch.log(-torch.log(u))"
SUM, DIVIDED, SOFTMAX = "(logits + gumbel)", " / temperature", "dim=-1)"
RESULT = f"return torch.softmax({SUM}{DIVIDED}, {SOFTMAX}"
EXPONENTIAL = (UNIFORM, "u = torch.exp(-torch.empty(num_samples, *logits.shape).exponential_())")

TILE, SAMPLES, CALLS = 200, 3, 8
FALSE_ALARM, SIGMAS = 1e-8, 6.5


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Two examples with two latents of three classes, and one latent of five; a temperature below one and one above."""

    def problem(latents: int, classes: int, low: float) -> dict[str, Any]:
        logits = torch.randn(2, latents, classes, generator=rng) + torch.randn(2, latents, 1, generator=rng)
        temperature, weights = low + 0.2 * float(torch.rand((), generator=rng)), torch.randn(SAMPLES, 2, latents, classes, generator=rng)
        return {"logits": logits.repeat(TILE, 1, 1), "few": logits, "temperature": temperature, "num_samples": SAMPLES, "weights": weights}

    return {"signature": "relaxed_sample(logits, temperature, num_samples)", "problems": [problem(2, 3, 0.55), problem(1, 5, 1.6)],
            "calls": CALLS, "seed": int(torch.randint(2**31, (), generator=rng))}


def distance(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> float:
    """Kolmogorov's largest distance between the empirical and the given distribution function."""
    ordered = cdf(values.flatten().sort().values)
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
    return float(torch.maximum((steps[1:] - ordered).abs(), (ordered - steps[:-1]).abs()).max())


def looks_like(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> bool:
    """A test with a false alarm below FALSE_ALARM, whatever n is (Massart 1990)."""
    return distance(values, cdf) <= math.sqrt(math.log(2 / FALSE_ALARM) / (2 * values.numel()))


def noise(y: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """What is uniform on the simplex if y, (..., L, C), is a sample."""
    return (logits - temperature * y.clamp_min(1e-40).log()).softmax(-1)  # u = 0, one draw in 16 million, is an honest zero


def columns(w: Tensor) -> list[Tensor]:
    """The entries of w (n, ..., C), each by itself and, since one law holds for all, those of each class together."""
    return [*w.flatten(1).T, *w.flatten(0, -2).T]


def on_the_simplex(w: Tensor) -> bool:
    """Whether every entry of w (n, ..., C) has the marginal of a uniform point of the simplex."""
    return all(looks_like(column, lambda v: 1 - (1 - v) ** (w.shape[-1] - 1)) for column in columns(w))


def independent(w: Tensor) -> bool:
    """Whether entries in neighboring calls, samples, rows and latents are uncorrelated; w is (calls, S, rows, examples, L, C)."""
    first = w[..., 0] - w[..., 0].mean((0, 1, 2), keepdim=True)
    for dim, size in enumerate(first.shape):
        if size > 1:
            a, b = first.narrow(dim, 0, size - 1), first.narrow(dim, 1, size - 1)
            if abs(float((a * b).mean() / first.square().mean())) > SIGMAS / math.sqrt(a.numel()):
                return False
    return True


def soft(y: Tensor) -> bool:
    """Whether each y (..., C) is a vector of probabilities."""
    return bool(y.isfinite().all()) and bool(((y.sum(-1) - 1).abs() < 1e-3).all()) and bool((y > -1e-6).all())


def judge_distribution(seen: Seen) -> Finding:
    for problem, record in zip(seen.inputs["problems"], seen.outputs["problems"], strict=True):
        draws, shape = record["draws"], (SAMPLES, *problem["logits"].shape)
        message = "The result must have shape (num_samples, batch, L, C)."
        if all(d.shape == shape for d in draws):
            message = "The samples do not have the distribution of Gumbel-softmax at that temperature."
            y = torch.stack(draws).double().unflatten(2, (TILE, 2))
            w = noise(y, problem["few"].double(), problem["temperature"])
            if soft(y) and on_the_simplex(w.flatten(0, 2)) and independent(w):
                continue
        return failed("distribution", message, None, f"shape {list(shape)}, rows that sum to one", shown(draws[0]))
    return passed("distribution", "The samples have the distribution of Gumbel-softmax at that temperature.")


def judge_gradient(seen: Seen) -> Finding:
    for problem, record in zip(seen.inputs["problems"], seen.outputs["problems"], strict=True):
        y, weights, got = record["few"][0].double(), problem["weights"].double(), record["slopes"].get("logits")
        if y.shape != weights.shape:
            return failed("gradient", "Judged once the shape is right.")
        want = ((y * weights - y * (y * weights).sum(-1, keepdim=True)) / problem["temperature"]).sum(0)
        if got is None or not got.any():
            return failed("gradient", "No gradient reaches the logits.", None, shown(want), "none")
        if not close(got, want, 1e-3, 1e-3):
            return failed("gradient", "The gradient with respect to the logits is wrong.", None, shown(want), shown(got))
    return passed("gradient", "The gradient is right.")


def of_soft_samples(view: Any) -> bool:
    """Whether these are finite gradients of points within the simplex, or of their logarithms."""
    inside = [y.dim() == 4 and any(soft(p) and float(p.max()) < 1 - 1e-6 for p in (y, y.exp())) for y, _ in view]
    return all(inside) and all(slope is not None and bool(slope.isfinite().all()) and bool(slope.any()) for _, slope in view)


LAWS = (
    Behavior("distribution", 2, judge_distribution, lambda outputs: [record["few"] for record in outputs["problems"]]),
    Behavior("gradient", 1, judge_gradient, lambda outputs: [(r["few"][0], r["slopes"].get("logits")) for r in outputs["problems"]],
             "distribution", sound=of_soft_samples),
)

MISTAKES = (
    Mistake("temperature_multiplied", "The temperature multiplies where it has to divide.",
            "softmax((logits + g) / temperature): a low temperature sharpens.", (DIVIDED, " * temperature")),
    Mistake("temperature_ignored", "The temperature is not used.", "softmax((logits + g) / temperature).", (DIVIDED, "")),
    Mistake("temperature_on_the_logits_only", "Only the logits are divided by the temperature.",
            "Divide the sum: (logits + g) / temperature.", (SUM + DIVIDED, "(logits / temperature + gumbel)")),
    Mistake("temperature_on_the_noise_only", "Only the noise is divided by the temperature.",
            "Divide the sum: (logits + g) / temperature.", (SUM + DIVIDED, "(logits + gumbel / temperature)")),
    Mistake("gumbel_sign_lost", "A minus sign of the Gumbel noise is lost: g = -log(-log u).",
            "Both are needed. log u is negative, so the inner one makes it positive; the outer one turns the long tail to the right.",
            (GUMBEL, "gumbel = torch.log(-torch.log(u))"), (SUM, "(logits - gumbel)")),
    Mistake("logarithm_of_a_negative_number", "The inner minus sign is lost: log u is negative, and its logarithm is NaN.",
            "g = -log(-log u).", (GUMBEL, "gumbel = -torch.log(torch.log(u))")),
    Mistake("one_log_missing", "A logarithm is missing: this is exponential noise, and not Gumbel noise.",
            "g = -log(-log u), with two logarithms.", (GUMBEL, "gumbel = -torch.log(u)"), (GUMBEL, "gumbel = torch.log(u)")),
    Mistake("gaussian_noise", "The noise is Gaussian.",
            "Only Gumbel noise makes the largest entry a sample of softmax(logits): g = -log(-log u).",
            (GUMBEL, "gumbel = torch.randn_like(u)"), ((UNIFORM, "pass"), (GUMBEL, "gumbel = torch.randn(num_samples, *logits.shape)"))),
    Mistake("uniform_noise", "The noise is uniform.", "Turn it into Gumbel noise: g = -log(-log u).", (GUMBEL, "gumbel = u")),
    Mistake("noise_missing", "There is no noise, or the same for all classes, which the softmax cancels.",
            "Draw u with the shape of the result: every entry needs its own.",
            body(SOLUTION, "return torch.softmax(logits / temperature, dim=-1).expand(num_samples, *logits.shape)"),
            (UNIFORM, "u = torch.rand(num_samples, *logits.shape[:-1], 1)")),
    Mistake("noise_shared", "Samples, examples, latents or calls share their noise.",
            "Draw u with the shape (num_samples, batch, L, C), afresh in every call: torch.rand(num_samples, *logits.shape).",
            (UNIFORM, "u = torch.rand(num_samples, 1, *logits.shape[1:])"),
            (UNIFORM, "u = torch.rand(logits.shape).expand(num_samples, *logits.shape)"),
            (UNIFORM, "u = torch.rand(num_samples, len(logits), 1, logits.shape[-1])"),
            (UNIFORM, f"torch.manual_seed(0)\n    {UNIFORM}"), (UNIFORM, f"torch.manual_seed(42)\n    {UNIFORM}")),
    Mistake("probabilities_for_logits", "Noise is added to the probabilities.",
            "It belongs to logits, or to log-probabilities: the Gumbel trick works on the log scale.",
            (SUM, "(logits.softmax(dim=-1) + gumbel)")),
    Mistake("logits_ignored", "The logits are not used: this is pure noise.", "softmax((logits + g) / temperature).", (SUM, "gumbel")),
    Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.",
            "The classes of a latent compete: dim=-1. Print y.sum(-1).", (SOFTMAX, "dim=1)"), (SOFTMAX, "dim=-2)"), (SOFTMAX, "dim=0)")),
    Mistake("hard_for_soft", "The samples are one-hot; the relaxed ones are asked for.",
            "Return the softmax itself: its slope is the whole point. Hard codes come in 3b.",
            (RESULT, f"y = {RESULT[7:]}\n    return nn.functional.one_hot(y.argmax(dim=-1), y.shape[-1]).to(y.dtype)"),
            body(SOLUTION, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), temperature, hard=True)")),
    Mistake("logarithm_of_the_sample", "This is the logarithm of the sample.", "Use softmax, not log_softmax, in the last step.",
            ("torch.softmax(", "torch.log_softmax(")),
    Mistake("samples_dimension_missing", "The dimension of the samples is missing.",
            "The result has shape (num_samples, batch, L, C), with num_samples = 1, too.", (UNIFORM, "u = torch.rand_like(logits)")),
    Mistake("without_gradient", "The sample carries no gradient for the logits.",
            "Nothing may be detached or under no_grad: the relaxation exists for its gradient.", *general("without_gradient")[0].ways),
)

VARIANTS = {
    "torch's gumbel_softmax": body(
        SOLUTION, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=temperature, dim=-1)"),
    "RelaxedOneHotCategorical": body(
        SOLUTION, "q = torch.distributions.RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits)",
        "return q.rsample((num_samples,))"),
    "exponential noise": body(
        SOLUTION, "g = -torch.empty(num_samples, *logits.shape).exponential_().log()",
        "y = (g + logits.log_softmax(-1)) / temperature", "return (y - y.logsumexp(-1, keepdim=True)).exp()"),
    "torch's Gumbel": body(
        SOLUTION, "g = torch.distributions.Gumbel(torch.zeros_like(logits), torch.ones_like(logits)).sample((num_samples,))",
        "return nn.functional.softmax((logits + g).div(temperature), -1)"),
    "small numbers against the logarithm of zero": body(
        SOLUTION, "u = torch.rand(num_samples, *logits.shape)",
        "g = -torch.log(-torch.log(u + 1e-10) + 1e-10)", "return torch.softmax((logits + g) / temperature, -1)"),
    "a loop over samples": body(
        SOLUTION, "noise = [-torch.log(-torch.log(torch.rand_like(logits))) for _ in range(num_samples)]",
        "return torch.stack([torch.softmax((logits + g) / temperature, -1) for g in noise])"),
}

HINTS = (
    "First the noise: how does a uniform number become a Gumbel one? Then: where does the temperature stand?",
    "g = -log(-log u) with u uniform of shape (num_samples, batch, L, C). Add it to the logits, divide by the temperature, softmax over "
    "classes.",
    "u = torch.rand(num_samples, *logits.shape); return ((logits - (-u.log()).log()) / temperature).softmax(-1)",
)


def density(y: Tensor, logits: Tensor, t: float) -> Tensor:
    """Of the first of three entries at each y (n,): the Concrete density (Maddison et al. 2017), with the second integrated out."""
    v, rest = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000, 1 - y[:, None]
    parts = torch.stack((y[:, None].expand(-1, len(v)), rest * v, rest * (1 - v)), -1).log()
    log_p = math.log(2 * t**2) + (logits - (t + 1) * parts).sum(-1) - 3 * (logits - t * parts).logsumexp(-1)
    return (log_p.exp() * rest).mean(-1)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """Samples of the likeliest class's entry beside its density, in log-odds, where neither end is a spike."""
    problem, draws = inputs["problems"][0], torch.stack(outputs["problems"][0]["draws"]).double()
    if draws.shape[1:] != (SAMPLES, *problem["logits"].shape) or not bool(((draws >= 0) & (draws <= 1)).all()):
        raise ValueError("no samples of that shape")
    logits, order = problem["few"][0, 0].double().sort(descending=True)
    y = (x := torch.linspace(-15, 15, 301, dtype=torch.float64)).sigmoid()
    right = density(y, logits, problem["temperature"]) * y * (1 - y)
    odds = draws[:, :, ::2, 0, order[0]].flatten().logit().clamp(-15, 15)
    ax.hist(odds.numpy(), bins=60, range=(-15, 15), density=True, color=YOURS, alpha=0.6, label="yours")
    ax.plot(x, right, color=RIGHT, label="right")
    ax.set_xlabel(f"log-odds of the likeliest class in a sample, temperature {problem['temperature']:.2g}")
    ax.set_ylabel("density")
    ax.legend()
    mine, ours = float((odds > 0).double().mean()), float(right[x > 0].sum() / right.sum())
    return (f"The likeliest class has more than one half in {100 * mine:.0f} % of your samples, and in {100 * ours:.0f} % of right ones; "
            f"half of yours are above {float(odds.median().sigmoid()):.2g}.")


EXERCISES = (
    Exercise(name="discrete.relaxed", target="relaxed_sample", title="A Gumbel-softmax sample", read_on="Lecture 04, section 7, relaxation",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.relaxed_samples, laws=LAWS, mistakes=MISTAKES, variants=VARIANTS,
        forms=((EXPONENTIAL,),), hints=HINTS, picture=picture, replay=lambda inputs, outputs: inputs | {"calls": 0}),
)
