"""Exercise 2h: log p(x) from many samples, in bounded memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from autograder.exercises.exercise import Behavior, Edit, Exercise, Finding, Mistake, Seen, failed, passed, wrapped
from autograder.units.iwae import PREAMBLE, probes
from autograder.units.iwae.laws import samples_fault, value
from autograder.units.iwae.sampled import Sampled, brief, calls_of, draw_model, is_constant, liked, log_mean_exp, replay

SOLUTION = '''\
@torch.no_grad()
def log_likelihood(model: nn.Module, x: Tensor, num_samples: int = 5000, chunk: int = 100) -> Tensor:
    """log p(x) of each example, L_K with K = num_samples, at most chunk samples of each decoded at a time; shape (batch,)."""
    qz, pz = model.posterior(x), model.prior(len(x))
    total = torch.full((len(x),), -math.inf)  # log of the sum of the weights so far
    for start in range(0, num_samples, chunk):
        z = qz.sample((min(chunk, num_samples - start),))
        log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (pz.log_prob(z) - qz.log_prob(z)).sum(-1)
        total = torch.logaddexp(total, torch.logsumexp(log_w, dim=0))
    return total - math.log(num_samples)
'''
START = "total = torch.full((len(x),), -math.inf)  # log of the sum of the weights so far"
FROM_ZERO = START, "total = torch.zeros(len(x))"
DRAW, SIZE = "z = qz.sample((min(chunk, num_samples - start),))", "min(chunk, num_samples - start)"
ADD, LOG_K = "total = torch.logaddexp(total, torch.logsumexp(log_w, dim=0))", " - math.log(num_samples)"
SUM, BOUND = "torch.logsumexp(log_w, dim=0)", "torch.logsumexp(log_w, dim=0) - math.log(len(log_w))"
NO_DRAWS = ("decodes_the_mean", "samples_from_the_prior", "one_z_for_the_batch", "samples_shared_across_the_batch")


def draw(rng: torch.Generator) -> dict[str, Any]:
    """87 samples in chunks of 32 (the last one is short); 61 samples of the first image, by a model that likes it, in one chunk."""
    inputs = draw_model(rng)
    rows, weights = torch.arange(len(inputs["x"])), liked(inputs["x"][0])
    cases = {"usual": {"arguments": [87, 32], "rows": rows, "shape": [len(rows)]},
             "one chunk": {"arguments": [61, 200], "rows": rows[:1], "shape": [1], "weights": weights}}
    return inputs | {"signature": "log_likelihood(model, x, num_samples, chunk)", "cases": cases, "kind": "images"}


def drawn_badly(seen: Seen) -> str | None:
    """The mistake by which the samples of all chunks together are not K independent draws of q for each example."""
    call = calls_of(seen)["usual"]
    if call.z is None:
        return None
    noise = call.noise(call.z)[:, 0]
    if len(torch.unique(noise.mul(1e4).round(), dim=0)) < 0.9 * len(noise) and float(noise.square().mean()) > 1e-4:
        return "same_samples_in_every_chunk"
    fault = samples_fault(call.z[None], call)
    return fault if fault in NO_DRAWS else None


def law(name: str, sign: str, fault: Callable[[Sampled, dict[str, Any]], bool], wrong: str, fine: str) -> Behavior:
    """A law of how it is computed: whether there is a fault in the first call's record."""

    def judge(seen: Seen) -> Finding:
        call, record = calls_of(seen)["usual"], seen.outputs["usual"]
        if not call.largest or not record["encoded"] or is_constant(seen):
            return failed(name, "Judged once the estimate stands on samples.")
        return failed(name, wrong, sign) if fault(call, record) else passed(name, fine)

    return Behavior(name, 1, judge, after="value", own=True)


LAWS = (
    value(2, "The estimate", "one value for each example", log_mean_exp, drawn_badly),
    law("memory", "chunk_ignored", lambda call, record: call.largest > record["arguments"][1] * call.batch,
        "More samples are decoded at once than chunk allows.", "No more samples are decoded at once than chunk allows."),
    law("encoder", "encodes_for_each_chunk", lambda call, record: sum(part.numel() for part in record["encoded"]) != call.batch,
        "Each example has to be encoded once, and not for each chunk.", "Each example is encoded once."),  # one pixel of each row is kept
    law("graph", "keeps_the_graph", lambda call, record: record["graph"],
        "The result carries a graph, so every chunk's activations stay in memory.", "No graph is kept."),
)


def listed(part: str, end: str) -> tuple[Edit, ...]:
    """A list of what each chunk gives, and what is made of it."""
    return (START, "parts = []"), (ADD, f"parts.append({part})"), (f"total{LOG_K}", end)


MISTAKES = (
    Mistake("chunks_averaged", "The bounds of the chunks are averaged.",
            "The mean of logarithms is too low: L_chunk, not L_K. Add up the weights of all chunks (logaddexp); take one logarithm.",
            *(listed(part, f"torch.stack(parts).mean(dim=0){rest}") for part, rest in (
                (BOUND, ""), (SUM, " - math.log(chunk)"), (SUM, LOG_K), (SUM, "")))),
    Mistake("chunks_equally_weighted", "A short last chunk counts as much as a full one.", "Add up sums of weights, not means.",
            listed(BOUND, "torch.logsumexp(torch.stack(parts), dim=0) - math.log(len(parts))")),
    Mistake("mean_of_logs", "This is the mean of the log-weights, the ELBO.", "logsumexp over all K samples, minus log K.",
            listed("log_w", "torch.cat(parts).mean(dim=0)")),
    Mistake("log_k_missing", "log K is not subtracted.", "Subtract log(num_samples) at the end.", (LOG_K, "")),
    Mistake("log_of_the_chunk", "The logarithm of the chunk is subtracted, not that of all samples.", "Subtract log(num_samples) once.",
            *((LOG_K, f" - math.log({number})") for number in (
                "chunk", "len(log_w)", "-(-num_samples // chunk)", "-(-num_samples // chunk) * chunk"))),
    Mistake("last_chunk_only", "Only the last chunk counts.", "Keep the logsumexp so far and add the next one: torch.logaddexp.",
            (ADD, f"total = {SUM}"), ((ADD, f"total = {SUM}"), (LOG_K, " - math.log(len(log_w))"))),
    Mistake("last_chunk_left_out", "The last, smaller chunk is left out.", "Its size is min(chunk, num_samples - done).",
            (("range(0, num_samples, chunk)", "range(max(1, num_samples // chunk))"), (SIZE, "min(chunk, num_samples)"))),
    Mistake("fewer_samples_than_a_chunk", "It stops where all samples fit into one chunk.",
            "chunk may be the larger one: take min(chunk, num_samples - done).", ("qz, pz", "assert num_samples > chunk\n    qz, pz")),
    Mistake("more_samples_than_asked", "More samples were drawn than asked for.",
            "The last chunk's size is min(chunk, num_samples - done).", (SIZE, "chunk")),
    Mistake("starts_from_zero", "The running sum of logarithms starts at 0, which is log 1.",
            "A sum of weights starts at 0, so its logarithm starts at -infinity: use float('-inf').", FROM_ZERO),
    Mistake("sum_of_chunks", "The logarithms of the chunks are added up.", "Add the sums themselves: torch.logaddexp.",
            (FROM_ZERO, (ADD, f"total = total + {SUM}")), (FROM_ZERO, (ADD, f"total = total + {BOUND}"), (LOG_K, ""))),
    Mistake("best_sample_only", "Only the largest weight counts.", "logsumexp adds up all weights.",
            ((ADD, "total = total.maximum(log_w.amax(0))"), (LOG_K, "")), (ADD, "total = total.maximum(log_w.amax(0))")),
    Mistake("bound_negated", "The sign is turned.", "Return log p(x), which is negative for binary images.", wrapped("-value")),
    Mistake("exp_underflows", "exp(log w) is 0 in floating point.", "Add up weights in logarithms: logsumexp and logaddexp.",
            *((FROM_ZERO, (ADD, "total = total + log_w.exp().sum(dim=0)"), (f"total{LOG_K}", f"torch.log(total / num_samples + {tiny})"))
              for tiny in (0, 1e-8, 1e-6, 1e-10, 1e-12, 1e-30))),
    Mistake("averaged_over_the_batch", "The batch is averaged or summed, too.", "Return one estimate for each example, shape (batch,).",
            wrapped("value.mean()"), wrapped("value.sum()")),
    Mistake("num_samples_ignored", "Fewer samples were drawn than asked for.", "All chunks together hold num_samples samples.",
            ("qz, pz", "num_samples = min(num_samples, 50)\n    qz, pz")),
    Mistake("decodes_the_mean", "The mean of q is decoded in place of samples.", "Draw from q: qz.sample((size,)).",
            (DRAW, f"z = qz.mean.expand({SIZE}, -1, -1)")),
    Mistake("samples_from_the_prior", "The samples come from the prior.", "Draw from q(z|x) and divide by its density.",
            (DRAW, DRAW.replace("qz", "pz"))),
    Mistake("same_samples_in_every_chunk", "Every chunk holds the same samples.",
            "Draw anew in each pass of the loop, and set no seed in it.", (DRAW, f"torch.manual_seed(0)\n        {DRAW}")),
    Mistake("one_z_for_the_batch", "All examples of the batch get the same latents.",
            "Each x has a q(z|x) of its own: draw from it, shape (size, batch, M).", (DRAW, f"{DRAW}[:, :1].expand(-1, len(x), -1)")),
    Mistake("samples_shared_across_the_batch", "All examples share the same noise.", "Draw noise of shape (size, batch, M).",
            (DRAW, f"z = qz.mean + qz.stddev * torch.randn({SIZE}, 1, qz.mean.shape[1])")),
    Mistake("changes_its_inputs", "x is changed in place.", "Make a new tensor.", (START, f"x.clamp_(0.01, 0.99)\n    {START}")),
    Mistake("chunk_ignored", "All samples are decoded at once.",
            "Decode at most chunk samples of each example at a time: 5,000 samples of 100 images are 1.6 GB of logits.",
            ("for start", "chunk = num_samples\n    for start")),
    Mistake("encodes_for_each_chunk", "The images are encoded anew for every chunk.",
            "q(z|x) does not change: ask model.posterior(x) once, before the loop.", (DRAW, f"qz = model.posterior(x)\n        {DRAW}")),
    Mistake("keeps_the_graph", "The result carries a graph.",
            "Nothing is trained here. Without torch.no_grad() every chunk's activations stay in memory.", ("@torch.no_grad()\n", "")),
)

VARIANTS = {
    "a list of logarithms": listed(SUM, "torch.logsumexp(torch.stack(parts), 0) - math.log(num_samples)"),
    "detached at the end of each chunk, the result in float64": (
        ("@torch.no_grad()\n", ""), (f"torch.logaddexp(total, {SUM})", f"torch.logaddexp(total, {SUM}.detach())"),
        (f"total{LOG_K}", f"(total{LOG_K}).double()")),
}

HINTS = (
    "The sum over 5,000 weights can be taken in pieces. What do you have to remember from one piece to the next?",
    "One number for each example: the logsumexp of all weights so far. torch.logaddexp adds the next piece. Subtract log K at the end.",
    "Encode once. For each piece: z = qz.sample((size,)), log_w (size, batch), piece = logsumexp(log_w, 0); "
    "total = piece, then logaddexp(total, piece). The last piece may be smaller. All under torch.no_grad().",
)

EXERCISES = (
    Exercise(name="iwae.log_likelihood", target="log_likelihood", title="log p(x) from many samples, in bounded memory",
        read_on="Lecture 02, the test log-likelihood", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.probe_sampled,
        replay=partial(replay, whole=True), brief=brief,
        laws=LAWS, mistakes=MISTAKES, variants=VARIANTS, hints=HINTS, kinds={"images": ""}),
)
