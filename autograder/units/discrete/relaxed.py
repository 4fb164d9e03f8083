"""Exercises 3a and 3b: Gumbel-softmax samples; codes that are hard forward, soft backward.

A relaxed sample y = softmax((logits + g) / temperature) tells its own noise: w = softmax(logits - temperature log y) is the vector
exp(-g) / sum exp(-g), which is uniform on the simplex, so each entry is Beta(1, C - 1), and uniform once its distribution function is
applied. Of uniform numbers the cosines cos(pi k u) have mean 0, for every k = 1, 2, ...; that is tested for four of them in each of 22
entries, and so is that neighbors are uncorrelated: 97 means of bounded numbers, each at 6.5 standard errors, a false alarm below 1e-8.
The gradient follows from y exactly: dy/dlogits = (diag(y) - y y') / temperature.

Mistakes are compared exactly: a few samples are drawn from a known seed, from which known code draws the same noise.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, run
from autograder.exercises.functions import cases
from autograder.exercises.laws import close, general, gradient, shown, value
from autograder.exercises.pictures import histogram
from autograder.units.discrete import PREAMBLE, probes
from autograder.units.discrete.estimates import TILE, averages
from autograder.units.discrete.laws import pictured

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

SAMPLES, CALLS, WAVES = 3, 32, 4


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Two examples with two latents of three classes, and one latent of five; a temperature below one and one above."""

    def problem(latents: int, classes: int, low: float) -> dict[str, Any]:
        logits = torch.randn(2, latents, classes, generator=rng) + torch.randn(2, latents, 1, generator=rng)
        temperature, weights = low + 0.2 * float(torch.rand((), generator=rng)), torch.randn(SAMPLES, 2, latents, classes, generator=rng)
        return {"logits": logits.repeat(TILE, 1, 1), "few": logits, "temperature": temperature, "num_samples": SAMPLES, "weights": weights}

    return {"signature": "relaxed_sample(logits, temperature, num_samples)", "problems": [problem(2, 3, 0.55), problem(1, 5, 1.6)],
            "calls": CALLS, "seed": int(torch.randint(2**31, (), generator=rng))}


def noise(y: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """What is uniform between 0 and 1 in each entry if y, (..., L, C), is a sample: Beta(1, C - 1) through its distribution function."""
    w = (logits - temperature * y.clamp_min(1e-40).log()).softmax(-1)  # u = 0, one draw in 16 million, is an honest zero
    return 1 - (1 - w) ** (y.shape[-1] - 1)


def waves(u: Tensor) -> Tensor:
    """What has mean 0 in each entry of uniform u, (..., L, C); shape (..., L, C, WAVES)."""
    return (math.pi * u.unsqueeze(-1) * torch.arange(1, WAVES + 1)).cos()


def independent(u: Tensor) -> bool:
    """Whether entries in neighboring calls, samples, rows and latents are uncorrelated; u is (calls, S, rows, examples, L, C)."""
    c = u[..., 0] - 0.5
    neighbors = [c.narrow(dim, 0, size - 1) * c.narrow(dim, 1, size - 1) for dim, size in enumerate(c.shape) if size > 1]
    return all(averages(products.flatten(), torch.zeros(())) for products in neighbors)


def soft(y: Tensor) -> bool:
    """Whether each y (..., C) is a vector of probabilities."""
    return bool(y.isfinite().all()) and bool(((y.sum(-1) - 1).abs() < 1e-3).all()) and bool((y > -1e-6).all())


def judge_distribution(seen: Seen) -> Finding:
    for problem, record in zip(seen.inputs["problems"], seen.outputs["problems"], strict=True):
        draws, shape = record["draws"], (SAMPLES, *problem["logits"].shape)
        message = "The result must have shape (num_samples, batch, L, C)."
        if isinstance(draws, Tensor) and draws.shape[1:] == shape:
            message = "The samples do not have the distribution of Gumbel-softmax at that temperature."
            y = draws.double().unflatten(2, (TILE, 2))
            u = noise(y, problem["few"].double(), problem["temperature"])
            if soft(y) and averages(waves(u).flatten(0, 2), torch.zeros(())) and independent(u):
                continue
        return failed("distribution", message, None, f"shape {list(shape)}, rows that sum to one", shown(record["few"][0]))
    return passed("distribution", "The samples have the distribution of Gumbel-softmax at that temperature.")


def judge_gradient(seen: Seen) -> Finding:
    for problem, record in zip(seen.inputs["problems"], seen.outputs["problems"], strict=True):
        y, weights, got = record["few"][0].double(), problem["weights"].double(), record["slopes"].get("logits")
        if y.shape != weights.shape:
            return failed("gradient", "Judged once the shape is right.")
        want = ((y * weights - y * (y * weights).sum(-1, keepdim=True)) / problem["temperature"]).sum(0)
        if got is None or not close(got, want, 1e-3, 1e-3):
            return failed("gradient", "The gradient with respect to the logits is not that of the sample.", None, shown(want),
                          "none" if got is None else shown(got))
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
    Mistake("temperature_on_the_logits_only", "Only the logits are divided by the temperature.", "Divide the sum: logits + g.",
            (SUM + DIVIDED, "(logits / temperature + gumbel)")),
    Mistake("temperature_on_the_noise_only", "Only the noise is divided by the temperature.", "Divide the sum: logits + g.",
            (SUM + DIVIDED, "(logits + gumbel / temperature)")),
    Mistake("gumbel_sign_lost", "A minus sign of the Gumbel noise is lost.", "g = -log(-log u): as log u is negative, it takes both.",
            (GUMBEL, "gumbel = torch.log(-torch.log(u))"), (SUM, "(logits - gumbel)")),
    Mistake("logarithm_of_a_negative_number", "The inner minus sign is lost: log u is negative, and its logarithm is NaN.",
            "g = -log(-log u).", (GUMBEL, "gumbel = -torch.log(torch.log(u))")),
    Mistake("one_log_missing", "A logarithm is missing: this is exponential noise, and not Gumbel noise.",
            "g = -log(-log u), with two logarithms.", (GUMBEL, "gumbel = -torch.log(u)"), (GUMBEL, "gumbel = torch.log(u)")),
    Mistake("gaussian_noise", "The noise is Gaussian.", "Only with g = -log(-log u) is the largest entry a sample of softmax(logits).",
            (GUMBEL, "gumbel = torch.randn_like(u)"), ((UNIFORM, "pass"), (GUMBEL, "gumbel = torch.randn(num_samples, *logits.shape)"))),
    Mistake("uniform_noise", "The noise is uniform.", "Turn it into Gumbel noise: g = -log(-log u).", (GUMBEL, "gumbel = u")),
    Mistake("noise_missing", "There is no noise, or the same for all classes, which the softmax cancels.",
            "Draw u with the shape of the result: every entry needs its own.", (GUMBEL, "gumbel = torch.zeros_like(u)"),
            (UNIFORM, "u = torch.rand(num_samples, *logits.shape[:-1], 1)")),
    Mistake("noise_shared", "Samples, examples, latents or calls share their noise.",
            "Draw u with the shape (num_samples, batch, L, C), afresh in every call: torch.rand(num_samples, *logits.shape).",
            (UNIFORM, "u = torch.rand(num_samples, 1, *logits.shape[1:])"),
            (UNIFORM, "u = torch.rand(logits.shape).expand(num_samples, *logits.shape)"),
            (UNIFORM, "u = torch.rand(num_samples, len(logits), 1, logits.shape[-1])"), (UNIFORM, f"torch.manual_seed(42)\n    {UNIFORM}")),
    Mistake("probabilities_for_logits", "Noise is added to the probabilities.",
            "It belongs to logits, or log-probabilities: the trick works on the log scale.", (SUM, "(logits.softmax(dim=-1) + gumbel)")),
    Mistake("logits_ignored", "The logits are not used: this is pure noise.", "softmax((logits + g) / temperature).", (SUM, "gumbel")),
    Mistake("softmax_over_the_wrong_axis", "The softmax runs over the wrong axis.", "Classes are the last axis. Print y.sum(-1).",
            (SOFTMAX, "dim=1)"), (SOFTMAX, "dim=0)")),
    Mistake("hard_for_soft", "The samples are one-hot; relaxed ones are asked for.", "Return the softmax itself; hard codes come in 3b.",
            (RESULT, f"y = {RESULT[7:]}\n    return nn.functional.one_hot(y.argmax(dim=-1), y.shape[-1]).to(y.dtype)"),
            body(SOLUTION, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), temperature, hard=True)")),
    Mistake("logarithm_of_the_sample", "This is the logarithm of the sample.", "Use softmax, not log_softmax.",
            ("torch.softmax(", "torch.log_softmax(")),
    Mistake("samples_dimension_missing", "The dimension of the samples is missing.",
            "The result has shape (num_samples, batch, L, C), with num_samples = 1, too.", (UNIFORM, "u = torch.rand_like(logits)")),
    *general("without_gradient"),
)

VARIANTS = {
    "torch's gumbel_softmax": body(
        SOLUTION, "return nn.functional.gumbel_softmax(logits.expand(num_samples, *logits.shape), tau=temperature, dim=-1)"),
    "exponential noise": body(
        SOLUTION, "g = -torch.empty(num_samples, *logits.shape).exponential_().log()",
        "y = (g + logits.log_softmax(-1)) / temperature", "return (y - y.logsumexp(-1, keepdim=True)).exp()"),
}

HINTS = (
    "First the noise: how does a uniform number become a Gumbel one? Then: where does the temperature stand?",
    "g = -log(-log u), u uniform of shape (num_samples, batch, L, C). Then divide logits + g by the temperature; softmax over classes.",
    "u = torch.rand(num_samples, *logits.shape); return ((logits - (-u.log()).log()) / temperature).softmax(-1)",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The likeliest class's entry of samples, yours and right ones, in log-odds, where neither end is a spike."""
    problem, both = inputs["problems"][0], (outputs, run(EXERCISES[0], SOLUTION, inputs))
    likeliest = problem["few"][0, 0].argmax()
    odds = [found["problems"][0]["draws"][:, :, ::2, 0, likeliest].clamp(0, 1).logit().clamp(-15, 15) for found in both]
    return histogram(ax, *odds, f"log-odds of the likeliest class in a sample, temperature {problem['temperature']:.2g}")


HARD_SOLUTION = '''\
def straight_through(soft: Tensor) -> Tensor:
    """One-hot codes at the largest entries of soft (..., C), with the gradient of soft; same shape."""
    hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()
'''
ARGMAX, TRICK = "nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)", "return hard + soft - soft.detach()"


def draw_soft(rng: torch.Generator) -> dict[str, Any]:
    soft = (1.2 * torch.randn(2, 5, 3, 4, generator=rng)).softmax(-1)
    return cases("straight_through(soft)", ("soft",), usual={"soft": soft})


def sound(view: Any) -> bool:
    """A gradient comes through, and not because soft itself, which has its own, is returned."""
    values, slopes = view
    returned = close(values.sum(-1), torch.ones(values.shape[:-1])) and float(values.max()) < 1
    return slopes.get("soft") is not None and not returned


GRADIENT = replace(gradient(1, "usual", sign=""), view=lambda outputs: (outputs["usual"]["value"], outputs["usual"]["slopes"]), sound=sound)

HARD_MISTAKES = (
    Mistake("without_the_detach_trick", "The code is hard, but no gradient passes: argmax has none.",
            "Add zero with soft's gradient, soft - soft.detach().", (TRICK, "return hard"), (TRICK, "return hard + soft - soft")),
    Mistake("soft_for_hard", "The soft sample comes back; a one-hot code is asked for.",
            "hard + soft - soft.detach() has the value of hard. Are all three there?", (TRICK, "return hard - hard.detach() + soft")),
    Mistake("index_for_one_hot", "This is the index of the largest entry; its one-hot vector is asked for.",
            "nn.functional.one_hot(index, C), as floating point.", body(HARD_SOLUTION, "return soft.argmax(dim=-1)")),
    Mistake("hard_times_soft", "The one-hot vector is multiplied with the soft sample: its entry is not one.",
            "Add and take away: hard + soft - soft.detach().", (TRICK, "return hard * soft")),
    Mistake("threshold_for_argmax", "Entries above one half are taken, and with several classes there may be none.",
            "Take the largest entry: soft.argmax(-1).", (ARGMAX, "(soft > 0.5).to(soft.dtype)")),
    Mistake("argmax_over_the_wrong_axis", "The argmax runs over the wrong axis.", "Classes are the last axis: soft.argmax(-1).",
            *((ARGMAX, f"nn.functional.one_hot(soft.argmax(dim={d}), soft.shape[{d}]).to(soft.dtype).movedim(-1, {d})") for d in (1, 0))),
    Mistake("gradient_negated", "The gradient has the wrong sign.", "hard + soft - soft.detach(): what keeps its gradient has the plus.",
            (TRICK, "return hard - soft + soft.detach()")),
    *general("changes_its_inputs"),
)

HARD_VARIANTS = {
    "scatter": body(
        HARD_SOLUTION, "hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)",
        "return hard.detach() - soft.detach() + soft"),
    "a function of its own": body(
        HARD_SOLUTION, "class Hard(torch.autograd.Function):", "    @staticmethod", "    def forward(ctx, given):",
        "        return nn.functional.one_hot(given.argmax(-1), given.shape[-1]).to(given)", "    @staticmethod",
        "    def backward(ctx, slope):", "        return slope", "return Hard.apply(soft)"),
}

HARD_HINTS = (
    "You want the value of one tensor and the gradient of another. What is soft - soft.detach() as a number, and what is its gradient?",
    "hard = nn.functional.one_hot(soft.argmax(-1), soft.shape[-1]) has no gradient. Add something that is zero and has soft's gradient.",
    "return hard + soft - soft.detach()",
)

EXERCISES = (
    Exercise(name="discrete.relaxed", target="relaxed_sample", title="A Gumbel-softmax sample", read_on="Lecture 04, section 7, relaxation",
        solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.relaxed_samples, laws=LAWS, mistakes=MISTAKES, variants=VARIANTS,
        forms=((EXPONENTIAL,),), hints=HINTS, picture=picture, replay=lambda inputs, outputs: inputs | {"calls": 0}),
    pictured(
        (("usual", "value"), "class", "code"), (("usual", "slopes", "soft"), "class", "gradient"),
        name="discrete.straight_through", target="straight_through", title="Hard forward, soft backward",
        read_on="Lecture 04, section 7, straight-through", solution=HARD_SOLUTION, preamble=PREAMBLE, draw=draw_soft,
        probe=probes.straight_through, laws=(value(1, "usual", what="The code", shape="the shape of soft", random=""), GRADIENT),
        mistakes=HARD_MISTAKES, variants=HARD_VARIANTS, hints=HARD_HINTS),
)
