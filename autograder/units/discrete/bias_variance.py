"""Exercise 4a: squared bias and variance of an estimator, from its draws."""

from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, double, failed, passed, run
from autograder.exercises.laws import close, shown, untouched
from autograder.exercises.pictures import furthest
from autograder.units.discrete import PREAMBLE, probes

SOLUTION = '''\
def bias_and_variance(draws: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Squared length of the bias (unbiased estimate) and total variance of gradient estimates, draws (N, ...), exact (...)."""
    variance = draws.var(dim=0).sum()
    squared_bias = (draws.mean(dim=0) - exact).square().sum() - variance / len(draws)
    return squared_bias, variance
'''
VARIANCE, NAIVE, NOISE = "draws.var(dim=0).sum()", "(draws.mean(dim=0) - exact).square().sum()", " - variance / len(draws)"
SPREAD = "variance = draws.var(dim=0).sum()"


def draw(rng: torch.Generator) -> dict[str, Any]:
    exact = torch.randn(3, 4, generator=rng)
    draws = exact + 0.3 * torch.randn(3, 4, generator=rng) + 0.8 * torch.randn(6, 3, 4, generator=rng)
    return {"signature": "bias_and_variance(draws, exact)", "draws": draws, "exact": exact}


def law(name: str, points: int, words: str) -> Behavior:
    """One of the numbers. A squared bias is right for the student's own variance, too."""

    def judge(seen: Seen) -> Finding:
        got, right = seen.outputs, seen.right
        wanted = [right[name]]
        if name == "bias":
            wanted.append(right["bias"] + (right["variance"] - got["variance"].double().mean()) / len(seen.inputs["draws"]))
        if not untouched(seen.inputs, got["after"]):
            return failed(name, "Your code changes its arguments in place.", "changes_its_inputs")
        if any(close(got[name], want, atol=1e-4) for want in wanted):
            return passed(name, f"The {words} is right.")
        return failed(name, f"The {words} is wrong.", None, shown(right[name]), shown(got[name]))

    return Behavior(name, points, judge, lambda outputs: outputs[name])


def with_right_noise(variance: str) -> tuple[tuple[str, str], ...]:
    """The edits that make another variance of it, and leave the squared bias as it is."""
    return (SPREAD, f"variance = {variance}"), (NOISE, f" - {VARIANCE} / len(draws)")


MISTAKES = (
    Mistake("noise_not_subtracted", "The squared bias contains sampling noise: even an unbiased estimator would get a positive one.",
            "The mean of N draws still wobbles; its square is variance / N too large on average. Subtract that.", (NOISE, "")),
    Mistake("noise_subtracted_n_times", "The whole variance is subtracted.", "The mean of N draws has variance / N.",
            (NOISE, " - variance")),
    Mistake("noise_added", "The noise is added where it has to be subtracted.",
            "The naive square is too large by variance / N: subtract it.", (NOISE, " + variance / len(draws)")),
    Mistake("bias_not_squared", "This is the bias, or its length; the squared length is asked for.",
            "Sum the squares of mean - exact, and take no root.",
            ((NAIVE, "(draws.mean(dim=0) - exact).norm()"), (NOISE, "")), ((NAIVE, "(draws.mean(dim=0) - exact).abs().sum()"), (NOISE, "")),
            ((NAIVE, "(draws.mean(dim=0) - exact).sum()"), (NOISE, "")), (NAIVE, "(draws.mean(dim=0) - exact).norm()")),
    Mistake("error_for_bias", "This is the mean squared error: bias squared plus variance.",
            "Average the draws first, then compare with the exact gradient, then square.",
            ((NAIVE, "(draws - exact).square().flatten(1).sum(dim=1).mean()"), (NOISE, ""))),
    Mistake("error_for_variance", "The spread is taken around the exact gradient.",
            "The variance is the spread around the draws' own mean; around the truth it contains the bias.",
            with_right_noise("(draws - exact).square().sum() / len(draws)"),
            (VARIANCE, "(draws - exact).square().sum() / len(draws)"), (VARIANCE, "(draws - exact).square().sum() / (len(draws) - 1)")),
    Mistake("divided_by_n", "The variance is divided by N.",
            "Divide by N - 1: draws.var(dim=0) does. Otherwise it is too small on average.",
            (VARIANCE, "draws.var(dim=0, unbiased=False).sum()")),
    Mistake("variance_of_the_mean", "This is the variance of the mean; that of a single draw is asked for.", "Do not divide by N.",
            with_right_noise(f"{VARIANCE} / len(draws)")),
    Mistake("variance_over_the_entries", "The variance runs over the entries of the gradient.",
            "Draws are the first axis: var(dim=0), then sum over entries.",
            (VARIANCE, "draws.var()"), (VARIANCE, "draws.flatten(1).var(dim=1).mean()")),
    Mistake("standard_deviation_for_variance", "This is a standard deviation.", "Do not take the root.",
            with_right_noise(f"{VARIANCE}.sqrt()"), with_right_noise("draws.std(dim=0).sum()"), (VARIANCE, "draws.std(dim=0).sum()")),
    Mistake("entries_averaged", "The entries are averaged where they have to be summed.",
            "Both numbers are for the whole vector: sum over its entries.",
            ((VARIANCE, "draws.var(dim=0).mean()"), (NAIVE, NAIVE.replace(".sum()", ".mean()"))),
            (VARIANCE, "draws.var(dim=0).mean()"), (NAIVE, NAIVE.replace(".sum()", ".mean()"))),
    Mistake("entries_not_summed", "The entries are not summed.", "Both numbers are for the whole vector: sum over its entries.",
            ((VARIANCE, "draws.var(dim=0)"), (NAIVE, NAIVE.replace(".sum()", "")))),
    Mistake("changes_its_inputs", "An argument is changed in place.", "Make a new tensor.",
            ((SPREAD, f"draws -= exact\n    {SPREAD}"), (NAIVE, NAIVE.replace(" - exact", "")))),
)

VARIANTS = {
    "by hand": body(
        SOLUTION, "n, mean = draws.shape[0], draws.mean(0)", "variance = ((draws - mean) ** 2).sum() / (n - 1)",
        "return ((mean - exact) ** 2).sum() - variance / n, variance"),
    "plain numbers": body(
        SOLUTION, "d, e = draws.double().flatten(1), exact.double().flatten()", "variance = d.var(0).sum().item()",
        "return (d.mean(0) - e).pow(2).sum().item() - variance / len(d), variance"),
    "from pairs of draws": body(
        SOLUTION, "d = (draws - exact).flatten(1)", "products, n = d @ d.T, len(d)",
        "squared_bias = (products.sum() - products.trace()) / (n * (n - 1))", "return [squared_bias, draws.var(0).sum()]"),
}

HINTS = (
    "The variance is a sum over entries of the variance over draws. For the bias: is the mean of N draws exact?",
    "|mean - exact|^2 is on average the squared bias plus the variance of the mean, which is variance / N.",
    "variance = draws.var(0).sum(); squared_bias = (draws.mean(0) - exact).square().sum() - variance / len(draws)",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    both = [torch.stack((found["bias"], found["variance"])) for found in (outputs, run(EXERCISES[0], SOLUTION, double(inputs)))]
    return furthest(ax, *both, "squared bias, variance", "nats squared")


EXERCISES = (
    Exercise(name="discrete.bias_variance", target="bias_and_variance", title="Squared bias and variance of an estimator",
        read_on="Lecture 04, section 6, measuring an estimator", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        probe=probes.bias_and_variance, laws=(law("variance", 1, "variance"), law("bias", 2, "squared bias")),
        mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture),
)
