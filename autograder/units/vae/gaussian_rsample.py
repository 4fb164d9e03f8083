"""Exercise 1a: samples of a diagonal Gaussian that carry gradients."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.laws import close, untouched
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.vae import PREAMBLE
from autograder.units.vae.gaussian import SHARED, SOLUTION, VARIANTS, draw_parameters
from autograder.units.vae.noise import LEVELS, noise
from autograder.units.vae.probes import probe_rsample

CALLS, FEW = 48, 12  # of each of two instances; the fewer rule out most of the mistakes that it is not


def draw(rng: torch.Generator) -> dict[str, Any]:
    mu, log_sigma = draw_parameters(rng, LEVELS, rows=32, repeat=4)
    return {"mu": mu, "log_sigma": log_sigma, "weights": 1 + torch.rand(mu.shape, generator=rng), "calls": CALLS,
            "seed": int(torch.randint(2**31, (), generator=rng))}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first calls of both instances."""
    draws = torch.cat([outputs["draws"][:FEW], outputs["draws"][CALLS : CALLS + FEW]])
    return inputs | {"calls": FEW}, {name: value for name, value in outputs.items() if name != "noise"} | {"draws": draws}


# --- the laws ------------------------------------------------------------------------------------


def form(outputs: dict[str, Any]) -> list[Any]:
    return [list(outputs["draws"].shape[1:]), outputs["of_size_one"], str(outputs["draws"].dtype)]


def drawn(outputs: dict[str, Any]) -> list[Any]:
    """A view: the form and, where there is a number for each element, the noise."""
    whole = outputs["draws"][0].numel() == outputs["given"]["mu"].numel()
    return [form(outputs), noise(outputs).summary if whole else None]


def judge_distribution(seen: Seen) -> Finding:
    finding, changed = judge_samples(seen), not untouched(seen.inputs, seen.outputs["after"])
    if finding.passed and changed:
        return failed("distribution", "Your code changes mu or log_sigma in place.", "changes_its_inputs")
    return replace(finding, also=("changes_its_inputs",)) if changed else finding


def judge_samples(seen: Seen) -> Finding:
    shape, finite = list(seen.inputs["mu"].shape), bool(seen.outputs["draws"].isfinite().all())
    wanted, got = [shape, [[1, 3], [3, 1]], "torch.float32", "finite"], [*form(seen.outputs), "finite" if finite else "NaN or infinity"]
    messages = ("A sample must have the shape of mu.", "Dimensions of size one are lost.", "For float32 parameters a sample is float32.",
                "Some of your samples are not finite numbers (NaN or infinity).")
    for message, want, there in zip(messages, wanted, got):
        if there != want:
            return failed("distribution", f"{message} {want} is wanted; yours has {there}.", None, str(want), str(there))
    e = noise(seen.outputs)
    if not e.fault:
        return passed("distribution", "Your samples follow N(mu, sigma^2).")
    message = {"no spread": "Your samples have no spread.", "spread": "The spread of your samples is not sigma = exp(log_sigma).",
               "mean": "Your samples are not centered on mu.", "shape": "The noise has the right mean and spread but is not Gaussian."}
    return failed("distribution", message[e.fault], None, "mean of (z - mu)/sigma 0, standard deviation 1",
                  f"mean {float(e.values.mean()):+.2f}, standard deviation {float(e.values.std()):.2f}")


def judge_noise(seen: Seen) -> Finding:
    if seen.outputs["draws"][0].numel() != seen.inputs["mu"].numel():
        return failed("noise", "Judged once the samples have the shape of mu.")
    expected, sharing = "a new epsilon for each element, in each call", noise(seen.outputs).sharing
    if noise(seen.outputs).n == 1:
        return failed("noise", "Your samples have no noise in them.", None, expected, "the same value everywhere")
    for name, message in (("calls", "Another call, or another instance, gives samples that were drawn before."),
                          ("rows", "The rows of the batch share their noise; it must be independent."),
                          ("columns", "The latent dimensions of an example share their noise; it must be independent.")):
        if sharing[name]:
            return failed("noise", message, None, expected, f"the same noise in different {name}")
    return passed("noise", "Each element has noise of its own, new in each call.")


def slopes(outputs: dict[str, Any]) -> dict[str, str]:
    """Of each parameter whether no gradient reaches it, that of mu + sigma * epsilon, or another one."""
    got = outputs["gradient"]
    if "z" not in got:
        return dict.fromkeys(outputs["given"], "none")
    distance = got["z"] - outputs["given"]["mu"]

    def said(slope: Tensor | None, right: Tensor) -> str:
        return "none" if slope is None or not slope.any() else "right" if close(slope, right, 2e-3, 2e-5) else "another"

    return {"mu": said(got["mu"], torch.ones_like(distance)), "log_sigma": said(got["log_sigma"], distance)}


def judge_gradient(seen: Seen) -> Finding:
    expected = "dz/dmu = 1, dz/dlog_sigma = z - mu"
    if "trouble" in seen.outputs["gradient"]:
        return failed("gradient", seen.outputs["gradient"]["trouble"], None, expected)
    for name, found in slopes(seen.outputs).items():
        if found != "right":
            message = f"No gradient reaches {name}." if found == "none" else f"The gradient for {name} is not that of mu + sigma * epsilon."
            return failed("gradient", message, None, expected, found)
    return passed("gradient", "The gradient reaches mu and log_sigma.")


LAWS = (
    Behavior("distribution", 2, judge_distribution, drawn),
    Behavior("noise", 1, judge_noise, lambda outputs: [noise(outputs).fault, noise(outputs).sharing], after="distribution",
             sound=lambda view: not any(view[1].values())),
    Behavior("gradient", 1, judge_gradient, slopes, after="distribution", sound=lambda view: "none" not in view.values()),
)


# --- the mistakes --------------------------------------------------------------------------------

EPSILON, START = "torch.empty_like(self.mu).normal_()", "super().__init__(batch_shape=mu.shape, validate_args=False)\n"
BEGIN = 'to mu and log_sigma, shape of mu."""\n'

MISTAKES = (
    *SHARED,
    Mistake("constant_epsilon", "There is no random noise in the sample.",
            "epsilon is a fresh draw from N(0, 1) for each element; a constant makes the model an ordinary autoencoder.",
            (EPSILON, "torch.ones_like(self.mu)"), (EPSILON, "torch.zeros_like(self.mu)")),
    Mistake("seeded_epsilon", "The same noise comes again in every call.",
            "Draw epsilon inside rsample, and set no seed there: a seed belongs at the top of an experiment, once.",
            (BEGIN, f"{BEGIN}        torch.manual_seed(42)\n"), (START, f"{START}        torch.manual_seed(42)\n"),
            ((START, f"{START}        self.epsilon = torch.randn_like(mu)\n"), (EPSILON, "self.epsilon"))),
    Mistake("one_epsilon_for_the_batch", "One epsilon is shared by the whole batch.",
            "Draw epsilon with the full shape of mu (torch.randn_like(mu)): shared noise makes the examples' samples move together.",
            (EPSILON, "torch.randn(self.mu.shape[-1])")),
    Mistake("one_epsilon_for_all_dimensions", "One epsilon is shared by all latent dimensions of an example.",
            "Draw epsilon with the full shape of mu; shared noise makes the dimensions correlated, and q is no longer diagonal.",
            (EPSILON, "torch.randn(*self.mu.shape[:-1], 1)")),
    Mistake("uniform_epsilon", "epsilon is uniform where a Gaussian is needed.",
            "torch.rand is uniform on [0, 1]; torch.randn is the standard normal.", (EPSILON, "torch.rand_like(self.mu)"),
            (EPSILON, "math.sqrt(12) * (torch.rand_like(self.mu) - 0.5)"), (EPSILON, "2 * torch.rand_like(self.mu) - 1")),
    Mistake("not_gaussian", "epsilon is not Gaussian.", "Use torch.randn_like(mu), or the given sample_epsilon().",
            (EPSILON, "torch.distributions.Laplace(0.0, math.sqrt(0.5)).sample(self.mu.shape)"),
            (EPSILON, "torch.randn_like(self.mu).sign()")),
    Mistake("wrong_epsilon", "epsilon does not have mean 0 and standard deviation 1.",
            "Use torch.randn_like(mu), or the given sample_epsilon(), without scaling it.",
            (EPSILON, "0.1 * torch.randn_like(self.mu)"), (EPSILON, "0.5 * torch.randn_like(self.mu)"),
            (EPSILON, "2 * torch.randn_like(self.mu)"), (EPSILON, "torch.randn_like(self.mu).abs()")),
    Mistake("sample_without_gradient", "The sample is cut off from mu and log_sigma: rsample runs under no_grad or detaches.",
            "rsample must stay in the graph. Only `sample` may use torch.no_grad(); torch's Normal has rsample beside sample.",
            ("    def rsample", "    @torch.no_grad()\n    def rsample")),
    Mistake("gradient_cut_off", "Only one of mu and log_sigma receives a gradient.",
            "Neither may be detached or turned into a new tensor: z = mu + exp(log_sigma) * epsilon, and nothing else.",
            ("+ self.sigma *", "+ self.sigma.detach() *"), ("self.mu + self", "self.mu.detach() + self")),
)

HINTS = (
    "Write a sample of N(mu, sigma^2) as a function of mu, sigma and a random number that depends on neither.",
    "If epsilon ~ N(0, 1), then sigma * epsilon has standard deviation sigma, and adding mu moves its mean. "
    "`self.sample_epsilon()` draws epsilon with the shape of mu.",
    "return self.mu + self.sigma * self.sample_epsilon(), with self.sigma = log_sigma.exp().",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """Some standardized samples, level by level of sigma, beside the middle 95 % of N(0, 1)."""
    e = noise(outputs).levels
    if not noise(outputs).fault or not e.isfinite().all():
        raise ValueError("nothing is wrong that could be seen")
    sigmas, some = inputs["log_sigma"][0, : len(LEVELS)].exp().tolist(), e[:, :: e.shape[1] // 80]
    place = torch.arange(len(sigmas))[:, None] + torch.linspace(-0.3, 0.3, some.shape[1])
    ax.plot(place.flatten(), some.flatten(), ".", ms=3, color=YOURS, label="yours")
    ax.axhspan(-1.96, 1.96, color=RIGHT, alpha=0.2, label="right: 95 % of N(0, 1)")
    if float(e.abs().max()) > 12:
        ax.set_yscale("symlog", linthresh=3)
    ax.set_xticks(range(len(sigmas)), [f"{sigma:.2g}" for sigma in sigmas])
    ax.set(xlabel="sigma", ylabel="(z - mu) / sigma")
    ax.legend(fontsize=7, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    spreads = ", ".join(f"{float(values.std()):.3g} (sigma {sigma:.2g})" for values, sigma in zip(e, sigmas))
    return f"(z - mu) / sigma of your samples has the standard deviations {spreads}, where 1 is right, and the mean {float(e.mean()):.2f}."


EXERCISES = (
    Exercise(name="vae.gaussian_rsample", target="ReparameterizedDiagonalGaussian",
        title="Samples of a diagonal Gaussian that carry gradients", read_on="Lecture 01, the reparameterization trick", solution=SOLUTION,
        preamble=PREAMBLE, draw=draw, probe=probe_rsample, brief=brief, laws=LAWS, mistakes=MISTAKES, variants=VARIANTS, hints=HINTS,
        picture=picture),
)
