"""Exercise 2f: the importance-weighted bound."""

from functools import partial

from autograder.exercises.exercise import Edit, Exercise, Mistake, Way, applied, body, wrapped
from autograder.exercises.laws import general
from autograder.units.iwae import PREAMBLE, log_weights, probes
from autograder.units.iwae.laws import gradient, samples, value
from autograder.units.iwae.log_weights import CLOSED_KL, IN_WEIGHTS, RESULT
from autograder.units.iwae.sampled import brief, draw_sampled, log_mean_exp, picture, replay

SOLUTION = '''\
def importance_weighted_bound(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """L_K = log (1/K) sum_k w_k for each example, K = num_samples; shape (batch,), in nats."""
    log_w = log_weights(model, x, num_samples)  # (K, batch)
    return torch.logsumexp(log_w, dim=0) - math.log(num_samples)
'''
CALL, RETURN = "log_w = log_weights(model, x, num_samples)  # (K, batch)", "torch.logsumexp(log_w, dim=0) - math.log(num_samples)"
LOG_K, SUM = "math.log(num_samples)", "torch.logsumexp(log_w, dim=0)"
INLINE = log_weights.SOLUTION.split('"""\n', 1)[1].strip().replace("return", "log_w =")


def inlined(way: Way) -> Edit:
    """A mistake in the making of the log-weights, made in the bound."""
    return CALL, applied(INLINE, way, "")


def ended(*lines: str) -> Edit:
    """These lines in place of the last one."""
    return f"return {RETURN}", "\n    ".join((*lines[:-1], f"return {lines[-1]}"))


def parts(log_px: str, kl: str) -> tuple[Edit, Edit]:
    """Bounds of a part that has its pixels, and of one of the latents, each reduced by itself."""
    made = ("qz = model.posterior(x)\n    z = qz.rsample((num_samples,))\n    px, pz = model.observation_model(z), model.prior(len(x))\n"
            "    log_px = px.log_prob(x).flatten(2)\n    log_kl = qz.log_prob(z) - pz.log_prob(z)")
    return (CALL, made), ended("mean = lambda v: torch.logsumexp(v, dim=0) - math.log(num_samples)", f"{log_px} - ({kl})")


def surrogate(weighted: str) -> Edit:
    """The bound's value, with the gradient of something else."""
    return ended(f"value, other = {RETURN}, {weighted}", "value.detach() + other - other.detach()")


DREG = body(
    SOLUTION, "qz = model.posterior(x)", "z = qz.rsample((num_samples,))", "stopped = Normal(qz.mu.detach(), qz.sigma.detach())",
    "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
    "log_w = log_px + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)",
    "weights = torch.softmax(log_w, dim=0).detach()", "if z.requires_grad:",
    "    z.register_hook(lambda grad: weights.unsqueeze(-1) * grad)", "weighted = (weights * log_w).sum(dim=0)",
    "return (torch.logsumexp(log_w, dim=0) - math.log(num_samples)).detach() + weighted - weighted.detach()")

MISTAKES = (
    *(Mistake(m.name, m.title, m.advice, *map(inlined, m.ways)) for m in IN_WEIGHTS),
    *general("bits_for_nats"),
    Mistake("mean_of_logs", "This is the mean of the logarithms, which is the ELBO; the logarithm of the mean is asked for.",
            "L_K = log (1/K) sum_k w_k. The logarithm comes last: logsumexp(log_w, dim=0) - log K.", (RETURN, "log_w.mean(dim=0)"),
            parts("log_px.sum(-1).mean(0)", CLOSED_KL)),
    Mistake("sum_of_logs", "The log-weights are summed.", "Average the weights themselves: logsumexp(log_w, dim=0) - log K.",
            (RETURN, "log_w.sum(dim=0)")),
    Mistake("log_k_missing", "log K is not subtracted: the weights are summed and not averaged.",
            "log (1/K) sum_k w_k = logsumexp(log_w, dim=0) - log K. Without it the number bounds nothing.", (f" - {LOG_K}", "")),
    Mistake("log_k_added", "log K is added; it has to be subtracted.", "log (1/K) = - log K.", (f" - {LOG_K}", f" + {LOG_K}")),
    Mistake("log_k_twice", "log K is subtracted twice.", "Either average inside, or subtract log K outside.", (LOG_K, f"2 * {LOG_K}")),
    Mistake("k_for_log_k", "K is subtracted, and not its logarithm.", "log (1/K) = - log K.", (LOG_K, "num_samples")),
    Mistake("divided_by_k", "The logarithm is divided by K.", "The 1/K stands inside the logarithm, where it is - log K.",
            (f" - {LOG_K}", " / num_samples"), (RETURN, f"({RETURN}) / num_samples")),
    Mistake("log_k_in_another_base", "log K is taken to another base.", "logsumexp is in nats: use math.log, not log2 or log10.",
            (LOG_K, "math.log2(num_samples)"), (LOG_K, "math.log10(num_samples)")),
    Mistake("log_of_the_wrong_number", "The logarithm of another number than K is subtracted.", "K is the number of samples, num_samples.",
            *((LOG_K, f"math.log({number})") for number in ("len(x)", "log_w.numel()", "num_samples + 1", "max(1, num_samples - 1)"))),
    Mistake("samples_left_out", "Some of the samples are left out.", "All K weights go into the mean.",
            *((RETURN, f"log_w[{part}].logsumexp(0) - math.log(max(len(log_w[{part}]), 1))") for part in ("1:", ":1", "-1:", ":-1"))),
    Mistake("best_sample_only", "Only the largest weight counts.", "The other weights have to be added, too: logsumexp does it.",
            (SUM, "log_w.amax(dim=0)"), (RETURN, "log_w.amax(dim=0)")),
    Mistake("median_of_logs", "The median of the log-weights is taken.", "The bound is the logarithm of the mean weight.",
            (RETURN, "log_w.median(dim=0).values")),
    Mistake("weighted_mean_of_logs", "This is the mean of log w under the normalized weights.",
            "That sum has to do with the gradient; as a value it bounds nothing. The bound is logsumexp(log_w, dim=0) - log K.",
            *((RETURN, f"(torch.softmax(log_w, dim=0){stopped} * log_w).sum(dim=0)") for stopped in ("", ".detach()"))),
    Mistake("weights_over_the_batch", "The weights are normalized over the batch.",
            "Each example has weights of its own: sum over the samples, dim=0. And logsumexp(log_w, dim=0) needs no normalized weights.",
            (RETURN, "(torch.softmax(log_w, dim=1) * log_w).sum(dim=0)"), (SUM, "torch.logsumexp(torch.log_softmax(log_w, dim=1), dim=0)")),
    Mistake("chunks_averaged", "The bounds of chunks of samples are averaged.",
            "Keep the log-weights of all chunks, or their logsumexp, and join those: the one logarithm comes after the mean.",
            *(ended(f"chunks = [torch.logsumexp(part, dim=0) - math.log(len(part)) for part in log_w.split({size})]",
                    "torch.stack(chunks).mean(dim=0)") for size in (5, 2, 3, 4))),
    Mistake("weights_normalized", "The weights are normalized before their mean is taken.",
            "Normalized weights sum to one, always. The bound needs the weights as they are.",
            (SUM, "torch.logsumexp(torch.log_softmax(log_w, dim=0), dim=0)")),
    Mistake("factors_averaged_apart", "The log-mean-exp is taken of the factors of the weight, each by itself.",
            "The mean of a product is not the product of means. Put log w together for each sample first.",
            *(parts("mean(log_px.sum(-1))", kl) for kl in ("log_kl.sum(-1).mean(0)", "mean(log_kl.sum(-1))", "-mean(-log_kl.sum(-1))"))),
    Mistake("dimensions_averaged_apart", "The mean over samples is taken pixel by pixel.",
            "A weight belongs to a whole image: sum over pixels and latents first, average over samples then.",
            parts("mean(log_px).sum(-1)", "-mean(-log_kl).sum(-1)"), parts("mean(log_px).sum(-1)", "log_kl.sum(-1).mean(0)"),
            parts("Bernoulli(probs=px.probs.mean(dim=0)).log_prob(x).flatten(1).sum(-1)", "log_kl.sum(-1).mean(0)")),
    Mistake("maximum_not_added_back", "The maximum that was subtracted is not added back.",
            "log sum exp(a) = m + log sum exp(a - m). torch.logsumexp does all of it.", (SUM, "(log_w - log_w.amax(0)).logsumexp(0)")),
    Mistake("exp_underflows", "exp(log w) is 0 in floating point, and its logarithm is lost.",
            "784 pixels have log w of some -100 to -1500; even float64 ends at -745. torch.logsumexp(log_w, dim=0) takes out each "
            "example's own largest weight first. A small number inside the logarithm only hides it.", (SUM, "log_w.exp().sum(dim=0).log()"),
            (SUM, "log_w.double().exp().sum(dim=0).log().float()"), (SUM, "((log_w - log_w.max()).exp().sum(dim=0).log() + log_w.max())"),
            *((RETURN, f"torch.log(log_w.exp().mean(dim=0) + {tiny})") for tiny in (1e-8, 1e-6, 1e-10, 1e-12, 1e-20, 1e-30)),
            *((RETURN, f"log_w.exp().mean(dim=0){rest}") for rest in (".log().nan_to_num()", ".clamp(min=1e-30).log()"))),
    Mistake("bound_without_log", "The weights are averaged, and the logarithm is missing.",
            "The mean weight estimates p(x), which is 0 in floating point. Return its logarithm, by logsumexp.",
            (RETURN, "log_w.exp().mean(dim=0)")),
    Mistake("logsumexp_over_the_wrong_axis", "The logsumexp goes over another dimension than the samples.",
            "Each example has one value: reduce the dimension of size K, dim=0 of (K, batch).", (SUM, "torch.logsumexp(log_w, dim=1)"),
            (RETURN, "log_w.logsumexp(1) - math.log(len(x))"), parts("mean(torch.logsumexp(log_px, -1)", "log_kl.sum(-1))")),
    Mistake("not_reduced_over_samples", "The samples are still there: these are log-weights.",
            "Reduce them: logsumexp over the samples, minus log K.", (RETURN, "log_w"), (RETURN, f"{RETURN} + 0 * log_w")),
    Mistake("not_summed", "Pixels or latents are left that have to be summed.",
            "A weight belongs to a whole image and a whole z: sum each of the three log-densities to (K, batch) first.",
            parts("mean(log_px.sum(-1, keepdim=True)", "log_kl)"), parts("mean(log_px", "log_kl.sum(-1, keepdim=True))")),
    Mistake("averaged_over_the_batch", "The batch is averaged or summed, too.",
            "Return one bound for each example, shape (batch,).", wrapped("value.mean()"),
            wrapped("value.sum()"), wrapped("value.mean().expand(len(given[1]))")),
    Mistake("bound_negated", "The sign is turned: this is a loss.",
            "Return the bound itself; it is negative for binary images, and larger is better.", wrapped("-value")),
    Mistake("silent_broadcasting", "A (batch,) and a (batch, 1) have become a (batch, batch).", "Each log-density must be (K, batch).",
            parts("mean(log_px.sum(-1).unsqueeze(-1)", "log_kl.sum(-1).unsqueeze(1))")),
    Mistake("wrong_shape", "A dimension of size one is left.", "Return shape (batch,): no keepdim.",
            wrapped("value.unsqueeze(0)"), wrapped("value.unsqueeze(1)")),
    Mistake("bound_without_graph", "The bound carries no gradient.",
            "Take away no_grad, detach and item: the bound is what a model is trained on.", wrapped("value.detach()")),
    Mistake("encoder_without_gradient", "The encoder gets no gradient.", "model.posterior(x) must not stand under no_grad.",
            inlined(("qz = model.posterior(x)", "with torch.no_grad():\n        qz = model.posterior(x)"))),
    Mistake("sample_without_gradient", "The samples carry no gradient.",
            "Draw with rsample, not sample: the encoder learns through z.", inlined(("rsample", "sample"))),
    Mistake("gradient_through_the_weights", "The gradient also goes through the normalized weights.",
            "Stop them: softmax(log_w, 0).detach(). logsumexp does it by itself.", surrogate("(torch.softmax(log_w, 0) * log_w).sum(0)")),
    Mistake("posterior_without_gradient", "The parameters of q are stopped in log q(z|x).",
            "The bound's own gradient goes through them, too. (Stopped, and with squared weights: see the optional exercise, DReG.)",
            inlined(("qz.log_prob(z)", "Normal(qz.mu.detach(), qz.sigma.detach()).log_prob(z)"))),
    Mistake("gradient_of_the_mean_of_logs", "The gradient is that of the ELBO: every sample counts alike.",
            "In the gradient of L_K sample k counts with its normalized weight.", surrogate("log_w.mean(dim=0)")),
    Mistake("prior_and_posterior_without_gradient", "log p(z) - log q(z|x) carries no gradient.",
            "Detach nothing: all three parts of log w teach the encoder.", inlined((RESULT, "log_px + (log_pz - log_qz).detach()"))),
    Mistake("log_px_without_gradient", "log p(x|z) carries no gradient, so the decoder learns nothing.",
            "Detach nothing: all three parts of log w count.", inlined((RESULT, "log_px.detach() + log_pz - log_qz"))),
)

VARIANTS = {
    "the maximum by hand": ended("m = log_w.max(dim=0).values.detach()", "m + (log_w - m).exp().mean(dim=0).log()"),
    "the DReG gradient with the bound's value": DREG,
}

HINTS = (
    "The bound is the logarithm of a mean, and not the mean of logarithms. Which of the two is the ELBO?",
    "log (1/K) sum_k exp(log w_k) = logsumexp over the samples, minus log K. exp by itself is 0 for 784 pixels.",
    "return torch.logsumexp(log_weights(model, x, num_samples), dim=0) - math.log(num_samples)",
)

EXERCISES = (
    Exercise(name="iwae.bound", target="importance_weighted_bound", title="The importance-weighted bound",
        read_on="Lecture 02, a tighter bound", solution=SOLUTION, preamble=PREAMBLE + log_weights.SOLUTION + "\n\n",
        probe=probes.probe_sampled, replay=replay, brief=brief,
        draw=partial(draw_sampled, signature="importance_weighted_bound(model, x, num_samples)", sample_dimension=False,
                     slopes=("usual", "saturated")),
        laws=(value(3, "The bound", "one value for each example", log_mean_exp), samples(2), gradient(2, DREG)), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS, kinds={"images": "", "flat": "flat_pixels_only"},
        picture=partial(picture, right=log_mean_exp)),
)
