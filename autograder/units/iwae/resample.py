"""Exercise 2h: a posterior sample by resampling."""

from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, body, failed, passed, wrapped
from autograder.exercises.functions import cases
from autograder.exercises.laws import Summary, shown, untouched
from autograder.exercises.pictures import furthest
from autograder.units.iwae import PREAMBLE

SOLUTION = '''\
def resample(z: Tensor, log_w: Tensor, num_draws: int) -> Tensor:
    """Draws from the candidates z (K, batch, M) of each example by their weights, log_w (K, batch); shape (num_draws, batch, M)."""
    index = Categorical(logits=log_w.T).sample((num_draws,))  # (num_draws, batch)
    return z[index, torch.arange(z.shape[1])]
'''
DRAWS = 3_000
FAR_OFF = 110  # of Pearson's statistic with 35 degrees of freedom: above that with probability 1e-9


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Candidates (K, batch, M), and log-weights none of which is hopeless: each is drawn some five times or more; and far lower ones."""
    z, log_w = torch.randn(8, 5, 3, generator=rng), -1.0 - 4.8 * torch.rand(8, 5, generator=rng)
    given = {name: {"z": z, "log_w": log_w - low, "num_draws": DRAWS} for name, low in (("usual", 0.0), ("far", 900.0))}
    return cases("resample(z, log_w, num_draws)", **given)


def counts(outputs: dict[str, Any], case: str = "usual") -> Tensor | None:
    """How often each candidate was drawn, (K, batch); None where a draw is none of its own example's candidates."""
    z, got = outputs["usual"]["after"]["z"].double(), outputs[case].get("value", torch.zeros(0)).double()
    if got.shape != (DRAWS, *z.shape[1:]) or not got.isfinite().all():
        return None
    which = torch.cdist(got.transpose(0, 1), z.transpose(0, 1)).argmin(-1)  # (batch, draws)
    if float((z[which.T, torch.arange(z.shape[1])] - got).abs().max()) > 1e-5:
        return None
    return torch.stack([torch.bincount(k, minlength=len(z)) for k in which], dim=1).double()


def follow(seen: Seen, case: str) -> bool:
    """Whether the candidates were drawn in proportion to their weights; those that were given."""
    given, drawn = seen.inputs["cases"]["usual"], counts(seen.outputs, case)
    want = DRAWS * torch.softmax(given["log_w"].double(), 0)
    near = drawn is not None and float(((drawn - want).square() / want).sum()) < FAR_OFF
    return near and untouched(given, seen.outputs["usual"]["after"])


def signs(seen: Seen) -> tuple[str, ...]:
    """Of arguments that are changed; of draws that vary, but not from call to call."""
    first, again, after = (seen.outputs["usual"][name] for name in ("value", "again", "after"))
    if not untouched(seen.inputs["cases"]["usual"], after):
        return ("changes_its_inputs",)
    same = DRAWS in first.shape and torch.equal(first, again) and first.std(first.shape.index(DRAWS)).nan_to_num().any()
    return ("same_samples_in_every_call",) if same else ()


def judge_picks(seen: Seen) -> Finding:
    if "changes_its_inputs" in signs(seen):
        return failed("picks", "Your code changes z or log_w in place.", "changes_its_inputs", "arguments as they were", "others")
    if counts(seen.outputs) is not None:
        return passed("picks", "Each draw is one of its own example's candidates.")
    expected = f"shape {[DRAWS, *seen.inputs['cases']['usual']['z'].shape[1:]]}, each entry a candidate of its example"
    got = shown(seen.outputs["usual"]["value"])
    return Finding("picks", False, "A draw is none of its example's candidates.", (), expected, got, signs(seen))


def judge_weights(seen: Seen) -> Finding:
    good, named = follow(seen, "usual"), signs(seen)
    if good and not named:
        return passed("weights", "Each candidate is drawn as often as its weight says.")
    message = "Two calls drew exactly the same." if good else "The draws do not follow the normalized weights."
    return Finding("weights", False, message, named if good or "changes_its_inputs" in named else (), also=named)


def judge_far(seen: Seen) -> Finding:
    """The same with log-weights whose exponentials are 0."""
    if follow(seen, "far"):
        return passed("extremes", "Log-weights of 784 pixels are no trouble.")
    message = f"With log-weights near -900: {seen.outputs['far'].get('trouble', 'the draws do not follow the weights.')}"
    return failed("extremes", message, "exp_underflows" if follow(seen, "usual") else None)


def moments(outputs: dict[str, Any], case: str = "usual") -> Any:
    """A view: the shape, and for each example the means of the latents and of their products."""
    if "trouble" in outputs[case]:
        return "stops"
    draws, shape = outputs[case]["value"].double(), outputs["usual"]["after"]["z"].shape[1:]
    draws = draws if draws.shape[1:] == shape else draws.flatten(0, -2)
    terms = torch.cat([draws, torch.einsum("n...i,n...j->n...ij", draws, draws).flatten(-2)], dim=-1)
    return list(outputs[case]["value"].shape), Summary(terms.mean(0), terms.std(0) / len(terms) ** 0.5)


PICK, LOGITS = "Categorical(logits=log_w.T).sample((num_draws,))", "logits=log_w.T"
TAKE = "z[index, torch.arange(z.shape[1])]"

MISTAKES = (
    Mistake("picks_of_another_example", "A draw is another example's candidate.",
            "Index samples and batch together: z[index, torch.arange(batch)].", (TAKE, "z.flatten(0, 1)[index]")),
    Mistake("latents_apart", "Each latent is drawn by itself.", "A draw is a whole candidate: the same index k for all its M latents.",
            ((".sample((num_draws,))", ".sample((num_draws, z.shape[2])).transpose(1, 2)"),
             (TAKE, "torch.stack([z[index[..., m], torch.arange(z.shape[1]), m] for m in range(z.shape[2])], dim=-1)"))),
    Mistake("averaged_over_the_samples", "The candidates are averaged.",
            "A sample of the posterior is one of the candidates; their mean need not be a probable z.",
            *(body(SOLUTION, f"return {mean}.expand(num_draws, -1, -1)") for mean in (
                "(torch.softmax(log_w, dim=0).unsqueeze(-1) * z).sum(dim=0)", "z.mean(dim=0)"))),
    Mistake("samples_not_weighted", "All candidates are drawn alike.", "Draw candidate k with its normalized weight as the probability.",
            (LOGITS, "logits=0 * log_w.T")),
    Mistake("weights_inverted", "The least probable candidates are drawn most.",
            "The probabilities are softmax(log_w, 0), without a minus.", (LOGITS, "logits=-log_w.T")),
    Mistake("weights_over_the_batch", "The weights are normalized over the batch.",
            "The K candidates of one example share the probability 1: Categorical(logits=log_w.T).", (LOGITS, "probs=log_w.softmax(1).T")),
    Mistake("best_sample_only", "The largest weight is taken every time.", "That is no sample of the posterior. Draw with the weights.",
            (PICK, "log_w.argmax(dim=0).expand(num_draws, -1)")),
    Mistake("log_weights_for_weights", "Log-weights are used as if they were weights.",
            "Categorical(logits=log_w.T), or probs=softmax(log_w, 0).T.", (LOGITS, "probs=-log_w.T")),
    Mistake("weights_squared", "The weights are squared.", "The probabilities are the normalized weights themselves.",
            (LOGITS, "logits=2 * log_w.T")),
    Mistake("one_pick_for_all_examples", "All examples draw the same index.", "Each example has weights of its own, and draws for itself.",
            *((PICK, f"Categorical(logits=log_w{one}).sample((num_draws, 1)).expand(-1, z.shape[1])") for one in ("[:, 0]", ".mean(1)"))),
    Mistake("exp_underflows", "With log-weights of 784 pixels exp(log_w) is 0.", "Hand over logarithms: Categorical(logits=...).",
            (PICK, "torch.multinomial(log_w.exp().T, num_draws, replacement=True).T"),
            (LOGITS, "probs=(log_w.exp() if log_w.exp().sum() > 0 else torch.ones_like(log_w)).T")),
    Mistake("samples_and_batch_swapped", "The batch stands first.", "The result has shape (num_draws, batch, M).",
            wrapped("value.transpose(0, 1)")),
    Mistake("same_samples_in_every_call", "Every call draws the same.", "Set no seed inside the function.",
            wrapped("value", "torch.manual_seed(0)")),
    Mistake("changes_its_inputs", "An argument is changed in place.", "Make a new tensor.", wrapped("value", "given[0][:1] = 0")),
)

VARIANTS = {
    "multinomial": body(SOLUTION, "index = torch.multinomial(log_w.softmax(0).T, num_draws, replacement=True)",
                        "return torch.stack([z[index[b], b] for b in range(z.shape[1])], dim=1)"),
    "Gumbel's maximum": body(SOLUTION, "noise = -torch.log(-torch.log(torch.rand(num_draws, *log_w.shape)))",
                             "index = (log_w + noise).argmax(1)",
                             "return torch.gather(z, 0, index.unsqueeze(-1).expand(-1, -1, z.shape[2]))"),
}

HINTS = (
    "Each example has K candidates with normalized weights. Draw an index for it with these probabilities, as often as asked.",
    "torch.distributions.Categorical(logits=...) takes log-weights as they are, with the K candidates in the last dimension: log_w.T.",
    "index = Categorical(logits=log_w.T).sample((num_draws,)); return z[index, torch.arange(z.shape[1])]",
)


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """How often each candidate of the example that is furthest off was drawn, beside its weight."""
    right = torch.softmax(inputs["cases"]["usual"]["log_w"].double(), 0)
    case = "far" if follow(Seen(None, inputs, outputs), "usual") else "usual"
    return furthest(ax, counts(outputs, case).T / DRAWS, right.T, "candidate", "share of the draws")


EXERCISES = (
    Exercise(name="iwae.resample", target="resample", title="A posterior sample by resampling",
        read_on="Lecture 02, the posterior that the weights know", solution=SOLUTION, preamble=PREAMBLE, draw=draw,
        laws=(
            Behavior("picks", 1, judge_picks, moments, sound=lambda view: False),
            Behavior("weights", 2, judge_weights, moments, after="picks", sound=lambda view: False),
            Behavior("extremes", 1, judge_far, lambda outputs: (moments(outputs, "far"), counts(outputs, "far") is not None),
                     after="weights", sound=lambda view: view[1]),
        ), mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, picture=picture),
)
