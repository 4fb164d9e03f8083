"""Exercise 2a: an expectation under p from samples of q."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.laws import SIGMAS, Summary, close, shown
from autograder.exercises.pictures import RIGHT, YOURS, histogram
from autograder.units.iwae import PREAMBLE
from autograder.units.iwae.probes import probe_estimate

SOLUTION = '''\
def importance_estimate(f, p, q, num_samples: int) -> Tensor:
    """The mean of f(z) under p, estimated from num_samples draws of q; p and q are distributions of one number. Shape ()."""
    z = q.sample((num_samples,))
    w = (p.log_prob(z) - q.log_prob(z)).exp()
    return (w * f(z)).mean()
'''
SAMPLES = 4_000
RATIO, MEAN = "p.log_prob(z) - q.log_prob(z)", ".mean()"


def draw(rng: torch.Generator) -> dict[str, Any]:
    """f(z) = a z^2 + b sin(2 z) + c, and means and standard deviations of p and of a wider q."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    return {"f": [uniform(0.5, 1.5), uniform(0.5, 1.5), uniform(1.0, 2.0)], "p": [uniform(2.0, 3.0), uniform(1.1, 1.3)],
            "q": [uniform(0.5, 1.0), uniform(2.2, 2.8)], "num_samples": SAMPLES}


def terms(inputs: dict[str, Any], z: Tensor) -> tuple[Tensor, Tensor]:
    """w and f at z."""
    a, b, c = inputs["f"]
    return (Normal(*inputs["p"]).log_prob(z) - Normal(*inputs["q"]).log_prob(z)).exp(), a * z.square() + b * torch.sin(2 * z) + c


def used(inputs: dict[str, Any], call: dict[str, Any]) -> Tensor:
    """The samples that the value stands on: all that f was called with; the last or the first, if these are too many."""
    z, value = call["z"].double(), float(call["value"].double().mean())
    return min((z[-SAMPLES:], z[:SAMPLES]), key=lambda part: abs(float(math.prod(terms(inputs, part)).mean()) - value))


def replay(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """In the first call whatever is drawn from is given the student's samples; in the second one it draws."""
    call = outputs["calls"][0]
    z = used(inputs, call).to(call["z"].dtype)
    return inputs | {"normals": (type("Recorded", (Normal,), {"sample": lambda self, sample_shape=(): z}), Normal)}


def judge_value(seen: Seen) -> Finding:
    call, right = seen.outputs["calls"][0], seen.right["calls"][0]["value"]
    few = ("num_samples_ignored",) if len(call["z"]) < SAMPLES else ()
    good = close(call["value"], right, atol=1e-5)
    if not len(call["z"]):
        return failed("value", "Your code never calls f.", "f_not_used", "f at each sample", "no call of f")
    if good and not few:
        return passed("value", "The estimate is the mean of w f(z) over your samples.")
    message = f"The estimate has to be the mean of w f(z) over {SAMPLES} samples; f was called on {len(call['z'])}."
    return Finding("value", False, message, few if good else (), shown(right), shown(call["value"]), few)


def judge_samples(seen: Seen) -> Finding:
    """Mean and spread of z in the second call, and another z than in the first."""
    first, z = (used(seen.inputs, call) for call in seen.outputs["calls"])
    if not len(first) or not len(z):
        return failed("samples", "Your code never calls f.", "f_not_used")
    shown_by = {"num_samples_ignored": len(z) < SAMPLES, "same_samples_in_every_call": torch.equal(first, z)}
    signs = tuple(name for name, there in shown_by.items() if there)
    (mean, sigma), (at, width) = seen.inputs["q"], (float(z.mean()), float(z.std(correction=0)))
    error = SIGMAS * sigma / math.sqrt(len(z))
    drawn = abs(at - mean) <= error and abs(width - sigma) <= error / math.sqrt(2)  # NaN is neither
    if drawn and not signs:
        return passed("samples", "The samples are draws of q, fresh in every call.")
    got = f"{len(z)} with mean {at:.2f} and standard deviation {width:.2f}"
    return Finding("samples", False, "The samples are not draws of q, as many as asked for and fresh in every call.",
                   signs[:1] if drawn or len(z) <= 50 else (), f"{SAMPLES} draws of q in each call", got, signs)


def spread(outputs: dict[str, Any]) -> list[Any]:
    """How many samples, their mean and their standard deviation."""
    z = outputs["calls"][1]["z"].double()
    if len(z) < 2:
        return [float(len(z))]
    error = z.std() / math.sqrt(len(z))
    return [float(min(len(z), SAMPLES)), Summary(torch.stack([z.mean(), z.std()]), torch.stack([error, error / math.sqrt(2)]))]


MISTAKES = (
    Mistake("weights_left_out", "The samples of q are averaged without weights.", "Each sample has to count with w = p(z) / q(z).",
            (f"    w = ({RATIO}).exp()\n    return (w * f(z))", "    return f(z)")),
    Mistake("weights_inverted", "The weights are upside down: q over p.", "w = p(z) / q(z): where q draws too rarely a sample counts more.",
            (RATIO, "q.log_prob(z) - p.log_prob(z)")),
    Mistake("self_normalized", "The weights are divided by their sum.",
            "Both densities are normalized, so the plain mean of w f(z) is unbiased. The sum is for densities known up to a constant.",
            (MEAN, ".sum() / w.sum()"), (".exp()", ".softmax(dim=0)")),
    Mistake("log_weights_for_weights", "f is multiplied with log w; it has to be w.",
            "log_prob gives logarithms: exp(log p(z) - log q(z)).", (".exp()", "")),
    Mistake("sum_for_mean", "The terms are summed; the mean is asked for.", "Divide by num_samples.", (MEAN, ".sum()")),
    Mistake("q_left_out", "q is missing: f is weighted with p(z).", "w = p(z) / q(z). Samples come with the density q already.",
            (RATIO, "p.log_prob(z)")),
    Mistake("p_left_out", "p is missing: f is weighted with 1 / q(z).", "w = p(z) / q(z).", (RATIO, "-q.log_prob(z)")),
    Mistake("weights_multiplied", "The densities are multiplied.", "The weight is their ratio: subtract the logarithms.",
            (RATIO, "p.log_prob(z) + q.log_prob(z)")),
    Mistake("averages_multiplied", "The mean of w is multiplied with the mean of f.", "Multiply sample by sample, then take the mean.",
            ("w * f(z)", "w.mean() * f(z)")),
    Mistake("not_averaged", "The terms are not averaged.", "Return one number, the mean over the samples.", (MEAN, "")),
    Mistake("f_not_used", "f is never called.", "Evaluate f at your samples: f(z).", ("f(z)", "z")),
    Mistake("num_samples_ignored", "The number of samples is not the one asked for.", "Draw q.sample((num_samples,)).",
            ("(num_samples,)", "(100,)")),
    Mistake("samples_from_p", "The samples come from p.", "In real problems nobody can sample from p. Draw from q.", ("z = q.", "z = p.")),
    Mistake("not_from_q", "The samples are not draws of q.", "Draw q.sample((num_samples,)).",
            *(("z = q.", f"z = type(q)({other}).") for other in ("q.mean, q.stddev**2", "q.mean, 1.0", "0.0, 1.0"))),
    Mistake("same_samples_in_every_call", "Every call draws the same samples.", "Set no seed inside the function.",
            wrapped("value", "torch.manual_seed(1)")),
)

VARIANTS = {
    "rsample and numbers": body(SOLUTION, "z = q.rsample(torch.Size([num_samples]))",
                                "return torch.mean(torch.exp(p.log_prob(z)) / torch.exp(q.log_prob(z)) * f(z))"),
    "a loop": body(SOLUTION, "total = torch.zeros(())", "for z in q.sample((num_samples,)).split(500):",
                   "    total = total + (f(z) * torch.exp(p.log_prob(z) - q.log_prob(z))).sum()", "return total / num_samples"),
}

HINTS = (
    "You may sample from q only. Which factor turns an average under q into an average under p?",
    "w(z) = p(z) / q(z) = exp(log p(z) - log q(z)). Draw num_samples values of z from q, and average w(z) f(z).",
    "z = q.sample((num_samples,)); w = (p.log_prob(z) - q.log_prob(z)).exp(); return (w * f(z)).mean()",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """The samples beside q, if they are not those of q; else the estimate beside the running mean."""
    call, q = outputs["calls"][0], Normal(*inputs["q"])
    z = used(inputs, call)
    if abs(float(z.mean() - q.mean)) > 0.2 * q.stddev or not abs(float(z.std(correction=0) / q.stddev) - 1) < 0.2:
        return histogram(ax, z, q.icdf((torch.arange(SAMPLES) + 0.5) / SAMPLES), "z")
    got, number = float(call["value"]), torch.arange(1, len(z) + 1)
    running = math.prod(terms(inputs, z)).cumsum(0) / number
    if not abs(got) < 20 * float(running.abs().max()):  # NaN is not
        raise ValueError("nothing to draw")
    ax.axhline(got, color=YOURS, label="yours")
    ax.plot(number[::20], running[::20], color=RIGHT, label="right: mean of w f(z)")
    ax.set(xlabel="samples", ylabel="estimate")
    ax.legend()
    return f"Your estimate is {got:.4g}. The mean of w f(z) over your {len(z)} samples is {float(running[-1]):.4g}."


EXERCISES = (
    Exercise(name="iwae.importance_estimate", target="importance_estimate", title="An expectation under p from samples of q",
        read_on="Lecture 02, importance sampling", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_estimate, replay=replay,
        laws=(
            Behavior("value", 2, judge_value, lambda outputs: outputs["calls"][0]["value"], atol=1e-7),
            Behavior("samples", 1, judge_samples, spread, after="value", own=True),
        ), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture),
)
