"""Exercise 2e: the log-weights of K samples, in one batch."""

from functools import partial

import torch

from autograder.exercises.exercise import Edit, Exercise, Mistake, body, wrapped
from autograder.exercises.laws import general
from autograder.units.iwae import PREAMBLE, probes
from autograder.units.iwae.laws import samples, value
from autograder.units.iwae.sampled import brief, draw_sampled, picture, replay

SOLUTION = '''\
def log_weights(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """log w = log p(x|z) + log p(z) - log q(z|x) at num_samples fresh z ~ q(z|x) for each example; shape (num_samples, batch)."""
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))  # (K, batch, M)
    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)  # (K, batch)
    log_pz = model.prior(len(x)).log_prob(z).sum(-1)
    log_qz = qz.log_prob(z).sum(-1)
    return log_px + log_pz - log_qz
'''
ENCODE, SAMPLE = "qz = model.posterior(x)", "z = qz.rsample((num_samples,))  # (K, batch, M)"
LOG_PX, RIGHT_PX = "log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)  # (K, batch)", "model.observation_model(z)"
LOG_PZ, LOG_QZ = "log_pz = model.prior(len(x)).log_prob(z).sum(-1)", "log_qz = qz.log_prob(z).sum(-1)"
RESULT, TERMS = "log_px + log_pz - log_qz", "model.observation_model(z).log_prob(x)"
INTERLEAVED = "x.repeat_interleave(num_samples, dim=0)"


def drawn(*lines: str) -> Edit:
    return SAMPLE, "\n    ".join(lines)


def log_px(*lines: str) -> Edit:
    return LOG_PX, "\n    ".join((*lines[:-1], f"log_px = {lines[-1]}"))


def summed(text: str) -> Edit:
    return RESULT, text


# These can be made in the bound, too.
IN_WEIGHTS = (
    Mistake("closed_form_kl_in_the_weights", "The KL in closed form stands in the weights.",
            "A weight belongs to one sample: log p(z_k) - log q(z_k|x) at that sample.",
            summed("log_px - 0.5 * (qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma).sum(-1)")),
    Mistake("only_log_px", "The weights are p(x|z) alone.",
            "Samples come from q, so each weight is p(x|z) p(z) / q(z|x): add log p(z), subtract log q(z|x).", summed("log_px")),
    Mistake("prior_left_out", "log p(z) is missing in the weights.", "The joint density is p(x, z) = p(x|z) p(z).", (" + log_pz", "")),
    Mistake("posterior_left_out", "log q(z|x) is missing in the weights.",
            "Dividing by the density that the samples come from is what makes it importance sampling.", (" - log_qz", "")),
    Mistake("log_px_left_out", "log p(x|z) is missing in the weights.", "log w = log p(x|z) + log p(z) - log q(z|x).", ("log_px + ", "")),
    Mistake("term_with_the_wrong_sign", "A term of log w has the wrong sign.",
            "log w = log p(x|z) + log p(z) - log q(z|x): what generates stands above, what samples stands below.",
            summed("log_px - log_pz + log_qz"), (" + log_pz", " - log_pz"), (" - log_qz", " + log_qz"), ("log_px + ", "-log_px + ")),
    Mistake("kl_weighted", "log p(z) - log q(z|x) is multiplied with a number, a beta.",
            "A beta has no place in the weights: with it their mean is no estimate of p(x).",
            *(summed(f"log_px + {beta} * (log_pz - log_qz)") for beta in (0.5, 0.1, 2.0, 4.0))),
    Mistake("weights_inverted", "The weights are upside down: q over p.",
            "w = p(x, z) / q(z|x): a sample that q draws too rarely has to count more.", summed("log_qz - log_pz - log_px")),
    Mistake("prior_counted_twice", "log p(z) is counted twice.",
            "log p(x, z) = log p(x|z) + log p(z), and the KL term has a log p(z) of its own.", (" + log_pz", " + 2 * log_pz")),
    Mistake("kl_clamped", "log q(z|x) - log p(z) is cut off at zero.",
            "A KL is never negative, but that is its mean: at one sample the difference can be, and has to stay so.",
            summed("log_px - (log_qz - log_pz).clamp(min=0)"), summed("log_px - (log_qz - log_pz).abs()")),
    Mistake("squared_error_for_log_px", "A squared error stands where log p(x|z) belongs.",
            "The pixels are Bernoulli: use the log_prob of model.observation_model(z).",
            *(log_px(f"-{half}(x - {RIGHT_PX}.mean).square().flatten(2).sum(-1)") for half in ("", "0.5 * "))),
    Mistake("sigmoid_twice", "The decoder's output goes through the sigmoid twice.",
            "It gives logits: Bernoulli(logits=...) and cross-entropy with logits take them as they are.",
            log_px(f"Bernoulli(logits={RIGHT_PX}.probs).log_prob(x).flatten(2).sum(-1)")),
    Mistake("log_of_a_saturated_probability", "Where a logit is large its probability rounds to 0 or 1, and log p(x|z) is lost.",
            "In float32 the sigmoid of 17 is 1, and log(1 - 1) is infinite. Stay with the logits: model.observation_model(z).log_prob(x).",
            log_px(f"probs = {RIGHT_PX}.probs", "(x * probs.log() + (1 - x) * (1 - probs).log()).flatten(2).sum(-1)"),
            log_px(f"probs = {RIGHT_PX}.probs", "-nn.functional.binary_cross_entropy(probs, x.expand_as(probs), reduction='none')"
                   ".flatten(2).sum(-1)"), log_px(f"Bernoulli(probs={RIGHT_PX}.probs).log_prob(x).flatten(2).sum(-1)")),
    Mistake("log_px_of_the_whole_batch", "log p(x|z) is summed or averaged over the batch.",
            "Each sample of each example has one of its own, shape (K, batch). Mind `reduction`, whose default is a mean.",
            log_px(f"{TERMS}.flatten(1).sum(-1, keepdim=True)"), log_px(f"{TERMS}.mean()"), log_px(f"{TERMS}.sum()"),
            log_px(f"{TERMS}.flatten(1).sum(-1, keepdim=True) / len(x)")),
    Mistake("mean_over_pixels", "The pixels are averaged where they have to be summed.",
            "Independent pixels multiply, so their log-probabilities add up.", log_px(f"{TERMS}.flatten(2).mean(-1)")),
    Mistake("mean_over_latents", "The latents are averaged where they have to be summed.",
            "Independent latents multiply, so their log-densities add up.",
            tuple((line, line.replace("sum", "mean")) for line in (LOG_PZ, LOG_QZ))),
    Mistake("posterior_at_unit_variance", "log q(z|x) is taken with unit variance.",
            "q has its own sigma for each latent: use qz.log_prob(z), with all its terms.",
            (LOG_QZ, "log_qz = Normal(qz.mu, 1.0).log_prob(z).sum(-1)")),
    Mistake("part_of_the_density_left_out", "A part of a Gaussian's log-density is left out.",
            "log q(z|x) has - log sigma in it for each latent, and - log(2 pi) / 2, which cancels only where p and q both lack it. Use "
            "qz.log_prob(z).", (LOG_QZ, "log_qz = (qz.log_prob(z) + qz.log_sigma).sum(-1)"),
            (LOG_QZ, "log_qz = (-0.5 * ((z - qz.mu) / qz.sigma) ** 2 - qz.log_sigma).sum(-1)"),
            (LOG_QZ, "log_qz = (-0.5 * ((z - qz.mu) / qz.sigma) ** 2).sum(-1)"), (LOG_PZ, "log_pz = (-0.5 * z**2).sum(-1)")),
    Mistake("variance_for_standard_deviation", "log q(z|x) is taken with another scale than q has.",
            "torch's Normal wants the standard deviation, exp(log_sigma): neither the variance nor log_sigma itself. Use qz.log_prob(z).",
            *((LOG_QZ, f"log_qz = Normal(qz.mu, {scale}).log_prob(z).sum(-1)") for scale in ("qz.sigma**2", "qz.sigma.sqrt()"))),
    Mistake("different_samples_in_one_weight", "One weight holds several samples: log p(x|z) at one, log q(z|x) at another.",
            "Draw z once, and evaluate all three densities at that z.", (LOG_PX, f"{LOG_PX}\n    z = qz.rsample((num_samples,))"),
            (LOG_QZ, "log_qz = qz.log_prob(qz.rsample((num_samples,))).sum(-1)")),
    Mistake("merge_permutes_the_batch", "Samples and examples are folded in one order and taken apart in the other.",
            "A weight then mixes one example's z with another's x. flatten(0, 1) of (K, batch, ...) lies sample after sample: the way back "
            "is view(K, batch), and x has to be repeated in that order, too.",
            log_px("logits = model.decoder(z.flatten(0, 1)).view(len(x), num_samples, -1).transpose(0, 1)",
                   "Bernoulli(logits=logits).log_prob(x.flatten(1)).sum(-1)"),
            log_px(f"terms = model.observation_model(z.flatten(0, 1)).log_prob({INTERLEAVED})",
                   "terms.flatten(1).sum(-1).view(num_samples, len(x))"),
            *((LOG_PX, f"{LOG_PX}\n    log_px = log_px.{order}") for order in (
                "T.reshape(num_samples, len(x))", "reshape(len(x), num_samples).T")),
            (RESULT, f"({RESULT}).T.reshape(num_samples, len(x))")),
    Mistake("num_samples_ignored", "The number of samples is not the one that was asked for.",
            "Draw num_samples latents for each example: qz.rsample((num_samples,)).",
            (drawn("z = qz.rsample((1,))"), summed(f"({RESULT}).expand(num_samples, -1)"))),
    Mistake("decodes_the_mean", "The mean of q is decoded in place of samples.",
            "Importance sampling needs draws of the q whose density stands in the weights: qz.rsample((num_samples,)).",
            drawn("z = qz.mean.expand(num_samples, *qz.mean.shape)")),
    Mistake("samples_from_the_prior", "The samples come from the prior.",
            "Draw them from q(z|x), which knows where the x was made, and divide by its density.",
            drawn("z = torch.randn(num_samples, *qz.mu.shape)"),
            (drawn("z = model.prior(len(x)).rsample((num_samples,))"), summed("log_px"))),
    Mistake("averages_the_latents", "The samples are averaged before they are decoded.",
            "Decode each sample. The mean is taken at the very end, of the weights.",
            drawn("z = qz.rsample((num_samples, num_samples)).mean(dim=0)")),
    Mistake("wrong_spread", "The samples do not have the spread of q(z|x).",
            "Draw them with qz.rsample((num_samples,)): mean qz.mu, standard deviation exp(qz.log_sigma).",
            *(drawn(f"z = qz.mu + {scale}torch.randn(num_samples, *qz.mu.shape)") for scale in (
                "qz.sigma**2 * ", "(0.5 * qz.log_sigma).exp() * ", ""))),
    Mistake("one_sample_repeated", "One sample is used K times.",
            "The K samples of an example have to be independent; repeating one gives the ELBO again.",
            drawn("z = qz.rsample().expand(num_samples, *qz.mu.shape)")),
    Mistake("one_z_for_the_batch", "All examples of the batch get the same latents.",
            "Each x has a q(z|x) of its own: draw from it, shape (K, batch, M). qz.rsample((num_samples,)) does.",
            drawn("z = Normal(qz.mu[:1], qz.sigma[:1]).rsample((num_samples,)).expand(-1, len(x), -1)")),
    Mistake("samples_shared_across_the_batch", "All examples of the batch share the same noise.",
            "Draw noise of shape (K, batch, M): qz.rsample((num_samples,)) does.",
            drawn("z = qz.mu + qz.sigma * torch.randn(num_samples, 1, qz.mu.shape[1])")),
    Mistake("one_epsilon_for_all_latents", "All latents of a sample share the same noise.", "Draw noise of shape (K, batch, M).",
            drawn("z = qz.mu + qz.sigma * torch.randn(num_samples, len(x), 1)")),
    Mistake("antithetic_samples", "The samples of an example are not independent: they balance each other.",
            "Mirrored or stratified noise gives a bound, too, but another one than L_K: draw all num_samples with "
            "qz.rsample((num_samples,)).",
            drawn("half = torch.randn((num_samples + 1) // 2, *qz.mu.shape)",
                  "z = qz.mu + qz.sigma * torch.cat([half, -half])[:num_samples]"),
            drawn("u = torch.rand(2, num_samples, *qz.mu.shape)", "u = ((u[0].argsort(0) + u[1]) / num_samples).clamp(1e-6, 1 - 1e-6)",
                  "z = qz.mu + qz.sigma * Normal(0.0, 1.0).icdf(u)")),
    Mistake("same_samples_in_every_call", "Every call draws the same samples.",
            "Set no seed inside the function: each call has to draw afresh.",
            drawn("torch.manual_seed(0)", "z = qz.rsample((num_samples,))")),
    Mistake("changes_its_inputs", "x is changed in place.", "Methods ending in an underscore and += overwrite their tensor.",
            (ENCODE, f"x.data.clamp_(0.01, 0.99)\n    {ENCODE}")),
    Mistake("flat_pixels_only", "Right on flat pixels; images of shape (batch, 1, 28, 28) come out wrong.",
            "Sum over all dimensions but the first two: flatten(2).sum(-1).", log_px(f"{TERMS}.sum(-1)")),
    Mistake("one_sample_loses_its_dimension", "With num_samples = 1 a dimension gets lost.",
            "model(x, num_samples=1) returns z of shape (batch, M), without K. Draw qz.rsample((num_samples,)).",
            (drawn("z = model(x, num_samples=num_samples)['z']"), (".flatten(2)", ".flatten(z.dim() - 1)"))),
    Mistake("one_example_loses_its_dimension", "With a batch of one example a dimension gets lost.",
            "squeeze() takes away every dimension of size one, the batch, too.", summed(f"({RESULT}).squeeze(-1)")),
    Mistake("wrong_with_many_samples", "It is right for a few samples and wrong for hundreds.",
            "Are there chunks? Add up the weights of all of them before the one logarithm, and mind the last, shorter one.",
            drawn("z = qz.rsample((min(num_samples, 100),))")),
    Mistake("state_drifts", "It is right at first and wrong when it is called again.",
            "The result may depend on model, x and num_samples only: keep nothing from call to call.",
            ((ENCODE, f"calls = vars(model).setdefault('calls', [])\n    calls.append(1)\n    {ENCODE}"),
             summed(f"{RESULT} + 0.5 * (len(calls) > 5)"))),
)
MISTAKES = (
    *IN_WEIGHTS,
    *general("bits_for_nats"),
    Mistake("mean_kl_in_the_weights", "log p(z) - log q(z|x) is averaged over the samples before it goes into the weights.",
            "Keep it for each sample: averaging may come after the exponential only.", summed("log_px + (log_pz - log_qz).mean(dim=0)")),
    Mistake("samples_last", "The samples stand last: (batch, K).",
            "In this course samples come first, (K, batch): then sums and means over samples are always over dim=0.", wrapped("value.T")),
    Mistake("already_reduced", "The samples are already averaged.",
            "Return one log-weight for each sample and each example, shape (K, batch). The reduction is the next exercise.",
            wrapped("value.logsumexp(0) - math.log(len(value))"), wrapped("value.mean(0)"), wrapped("value.logsumexp(0)")),
    Mistake("weights_without_log", "These are the weights; their logarithms are asked for.",
            "exp(-500) is 0 in floating point. Stay in logarithms.", wrapped("value.exp()")),
    Mistake("weights_normalized", "The log-weights are normalized over the samples.",
            "Return log w as it is: its size is what bounds log p(x).", wrapped("torch.log_softmax(value, 0)")),
    Mistake("not_unmerged", "Samples and examples are still folded together.", "Take them apart again: (K * batch,) to (K, batch).",
            wrapped("value.flatten()")),
    Mistake("not_summed", "Pixels or latents are left that have to be summed.",
            "Sum over all dimensions but the first two: (K, batch, ...) to (K, batch).",
            ((LOG_PZ, LOG_PZ.replace(".sum(-1)", "")), (LOG_QZ, LOG_QZ.replace(".sum(-1)", "")),
             summed("log_px[..., None] + log_pz - log_qz"))),
)
# Lines that end with log_w, (K, batch); the bound has them, too.
LOG_W = {
    "a loop over K": (
        "parts = []", "for _ in range(num_samples):", "    out = model(x)",
        "    log_kl = out['qz'].log_prob(out['z']) - out['pz'].log_prob(out['z'])",
        "    parts.append(out['px'].log_prob(x).flatten(1).sum(1) - log_kl.sum(1))", "log_w = torch.stack(parts)"),
    "two loops, over chunks of samples and of examples": (
        "columns, whole = [], x", "for x in whole.split(4):", "    qz, parts = model.posterior(x), []",
        "    for done in range(0, num_samples, 3):", "        z = qz.rsample((min(3, num_samples - done),))",
        "        log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)",
        "        parts.append(log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1))",
        "    columns.append(torch.cat(parts))", "log_w = torch.cat(columns, dim=1)"),
}
VARIANTS = {name: body(SOLUTION, *lines, "return log_w") for name, lines in LOG_W.items()}

HINTS = (
    "Draw all K samples at once: q.rsample takes a sample shape. Then everything else works on (K, batch, ...).",
    "log w = log p(x|z) + log p(z) - log q(z|x). Sum each over all its dimensions but the first two: pixels, or latents.",
    "z = qz.rsample((num_samples,)); log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1); "
    "return log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)",
)

EXERCISES = (
    Exercise(name="iwae.log_weights", target="log_weights", title="The log-weights of K samples, in one batch",
        read_on="Lecture 02, the log-weights", solution=SOLUTION, preamble=PREAMBLE, probe=probes.probe_sampled, replay=replay, brief=brief,
        draw=partial(draw_sampled, signature="log_weights(model, x, num_samples)", sample_dimension=True),
        laws=(value(3, "log w", "one value for each sample of each example", torch.clone), samples(1)), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS, kinds={"images": "", "flat": "flat_pixels_only"},
        picture=partial(picture, right=torch.clone)),
)
