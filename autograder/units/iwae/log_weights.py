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
CLOSED_KL = "0.5 * (qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma).sum(-1)"


def made(line: str, *lines: str) -> Edit:
    """These lines in place of one of the solution's; the last of them is what its name stands for."""
    return line, "\n    ".join((*lines[:-1], f"{line.split(' = ')[0]} = {lines[-1]}"))


# These can be made in the bound, too.
IN_WEIGHTS = (
    Mistake("closed_form_kl_in_the_weights", "The KL in closed form stands in the weights.",
            "A weight belongs to one sample: log p(z_k) - log q(z_k|x) at that sample.", (RESULT, f"log_px - {CLOSED_KL}")),
    Mistake("only_log_px", "The weights are p(x|z) alone.",
            "Samples come from q, so each weight is p(x|z) p(z) / q(z|x): add log p(z), subtract log q(z|x).", (RESULT, "log_px")),
    Mistake("prior_left_out", "log p(z) is missing in the weights.", "The joint density is p(x, z) = p(x|z) p(z).", (" + log_pz", "")),
    Mistake("posterior_left_out", "log q(z|x) is missing in the weights.",
            "Dividing by the density that the samples come from is what makes it importance sampling.", (" - log_qz", "")),
    Mistake("log_px_left_out", "log p(x|z) is missing in the weights.", "log w = log p(x|z) + log p(z) - log q(z|x).", ("log_px + ", "")),
    Mistake("term_with_the_wrong_sign", "A term of log w has the wrong sign.", "log w = log p(x|z) + log p(z) - log q(z|x).",
            (RESULT, "log_px - log_pz + log_qz"), (" + log_pz", " - log_pz"), (" - log_qz", " + log_qz"), ("log_px + ", "-log_px + ")),
    Mistake("kl_weighted", "log p(z) - log q(z|x) has a factor, a beta.", "With a beta the mean weight is no estimate of p(x).",
            *((RESULT, f"log_px + {beta} * (log_pz - log_qz)") for beta in (0.5, 0.1, 2.0, 4.0))),
    Mistake("weights_inverted", "The weights are upside down: q over p.",
            "w = p(x, z) / q(z|x): a sample that q draws too rarely has to count more.", (RESULT, "log_qz - log_pz - log_px")),
    Mistake("prior_counted_twice", "log p(z) is counted twice.",
            "log p(x, z) = log p(x|z) + log p(z), and the KL term has a log p(z) of its own.", (" + log_pz", " + 2 * log_pz")),
    Mistake("kl_clamped", "log q(z|x) - log p(z) is cut off at zero.", "Only its mean, the KL, is never negative; at one sample it can be.",
            (RESULT, "log_px - (log_qz - log_pz).clamp(min=0)"), (RESULT, "log_px - (log_qz - log_pz).abs()")),
    Mistake("squared_error_for_log_px", "A squared error stands for log p(x|z).", "The pixels are Bernoulli: take their log_prob.",
            *(made(LOG_PX, f"-{half}(x - {RIGHT_PX}.mean).square().flatten(2).sum(-1)") for half in ("", "0.5 * "))),
    Mistake("sigmoid_twice", "The decoder's logits go through the sigmoid twice.", "Bernoulli(logits=...) takes them as they are.",
            made(LOG_PX, f"Bernoulli(logits={RIGHT_PX}.probs).log_prob(x).flatten(2).sum(-1)")),
    Mistake("log_of_a_saturated_probability", "Where a logit is large its probability rounds to 0 or 1, and log p(x|z) is lost.",
            "In float32 the sigmoid of 17 is 1, and log(1 - 1) is infinite. Stay with the logits: model.observation_model(z).log_prob(x).",
            *(made(LOG_PX, f"p = {RIGHT_PX}.probs", f"{terms}.flatten(2).sum(-1)") for terms in (
                "(x * p.log() + (1 - x) * (1 - p).log())", "-nn.functional.binary_cross_entropy(p, x.expand_as(p), reduction='none')",
                "Bernoulli(probs=p).log_prob(x)"))),
    Mistake("log_px_of_the_whole_batch", "log p(x|z) is summed or averaged over the batch.",
            "Each sample of each example has one of its own, shape (K, batch). Mind `reduction`, whose default is a mean.",
            *(made(LOG_PX, f"{TERMS}.{rest}") for rest in (
                "flatten(1).sum(-1, keepdim=True)", "mean()", "sum()", "flatten(1).sum(-1, keepdim=True) / len(x)"))),
    Mistake("mean_over_pixels", "The pixels are averaged where they have to be summed.",
            "Independent pixels multiply, so their log-probabilities add up.", made(LOG_PX, f"{TERMS}.flatten(2).mean(-1)")),
    Mistake("mean_over_latents", "The latents are averaged where they have to be summed.", "Their densities multiply: logarithms add up.",
            tuple((line, line.replace("sum", "mean")) for line in (LOG_PZ, LOG_QZ))),
    Mistake("posterior_at_unit_variance", "log q(z|x) is taken with unit variance.", "q has sigmas of its own: use qz.log_prob(z).",
            made(LOG_QZ, "Normal(qz.mu, 1.0).log_prob(z).sum(-1)")),
    Mistake("part_of_the_density_left_out", "A part of a Gaussian's log-density is left out.",
            "log q(z|x) has - log sigma for each latent, and - log(2 pi) / 2, which cancels if log p(z) lacks it, too: use log_prob.",
            *(made(LOG_QZ, f"({density}).sum(-1)") for density in ("qz.log_prob(z) + qz.log_sigma",
                "-0.5 * ((z - qz.mu) / qz.sigma) ** 2 - qz.log_sigma", "-0.5 * ((z - qz.mu) / qz.sigma) ** 2")),
            made(LOG_PZ, "(-0.5 * z**2).sum(-1)")),
    Mistake("variance_for_standard_deviation", "log q(z|x) is taken with another scale than q has.",
            "torch's Normal wants the standard deviation, exp(log_sigma): neither the variance nor log_sigma itself. Use qz.log_prob(z).",
            *(made(LOG_QZ, f"Normal(qz.mu, {scale}).log_prob(z).sum(-1)") for scale in ("qz.sigma**2", "qz.sigma.sqrt()"))),
    Mistake("different_samples_in_one_weight", "One weight holds several samples: log p(x|z) at one, log q(z|x) at another.",
            "Draw one z, and take all three densities at it.", (LOG_PX, f"{LOG_PX}\n    z = qz.rsample(z.shape[:1])"),
            made(LOG_QZ, "qz.log_prob(qz.rsample((num_samples,))).sum(-1)")),
    Mistake("merge_permutes_the_batch", "Samples and examples are folded in one order and taken apart in the other.",
            "flatten(0, 1) of (K, batch, ...) lies sample after sample: the way back is view(K, batch), with x repeated in that order.",
            made(LOG_PX, "logits = model.decoder(z.flatten(0, 1)).view(len(x), num_samples, -1).transpose(0, 1)",
                 "Bernoulli(logits=logits).log_prob(x.flatten(1)).sum(-1)"),
            made(LOG_PX, "terms = model.observation_model(z.flatten(0, 1)).log_prob(x.repeat_interleave(num_samples, dim=0))",
                 "terms.flatten(1).sum(-1).view(num_samples, len(x))"),
            ("log_px + ", "log_px.T.reshape(log_pz.shape) + "), ("log_px + ", "log_px.reshape(len(x), -1).T + "),
            (RESULT, f"({RESULT}).T.reshape(num_samples, len(x))")),
    Mistake("num_samples_ignored", "The number of samples is not the one that was asked for.", "Draw qz.rsample((num_samples,)).",
            (made(SAMPLE, "qz.rsample((1,))"), (RESULT, f"({RESULT}).expand(num_samples, -1)"))),
    Mistake("decodes_the_mean", "The mean of q is decoded in place of samples.", "Draw from the q that stands in the weights: rsample.",
            made(SAMPLE, "qz.mean.expand(num_samples, *qz.mean.shape)")),
    Mistake("samples_from_the_prior", "The samples come from the prior.", "Draw them from q(z|x), and divide by its density.",
            made(SAMPLE, "torch.randn(num_samples, *qz.mu.shape)"),
            (made(SAMPLE, "model.prior(len(x)).rsample((num_samples,))"), (RESULT, "log_px"))),
    Mistake("averages_the_latents", "The samples are averaged before they are decoded.", "Decode each, and average the weights.",
            made(SAMPLE, "qz.rsample((num_samples, num_samples)).mean(dim=0)")),
    Mistake("wrong_spread", "The samples do not have the spread of q(z|x).",
            "Draw them with qz.rsample((num_samples,)): mean qz.mu, standard deviation exp(qz.log_sigma).",
            *(made(SAMPLE, f"qz.mu + {sd} * torch.randn(num_samples, *qz.mu.shape)") for sd in ("qz.sigma**2", "qz.sigma.sqrt()", 1))),
    Mistake("one_sample_repeated", "One sample is used K times.", "Repeating one gives the ELBO again: draw K independent ones.",
            made(SAMPLE, "qz.rsample().expand(num_samples, *qz.mu.shape)")),
    Mistake("one_z_for_the_batch", "All examples of the batch get the same latents.", "Each x has a q(z|x) of its own: draw from it.",
            made(SAMPLE, "Normal(qz.mu[:1], qz.sigma[:1]).rsample((num_samples,)).expand(-1, len(x), -1)")),
    Mistake("samples_shared_across_the_batch", "All examples of the batch share the same noise.", "Draw noise of shape (K, batch, M).",
            made(SAMPLE, "qz.mu + qz.sigma * torch.randn(num_samples, 1, qz.mu.shape[1])")),
    Mistake("one_epsilon_for_all_latents", "All latents of a sample share the same noise.", "Draw noise of shape (K, batch, M).",
            made(SAMPLE, "qz.mu + qz.sigma * torch.randn(num_samples, len(x), 1)")),
    Mistake("antithetic_samples", "The samples of an example are not independent: they balance each other.",
            "Mirrored or stratified noise gives another bound than L_K: draw all of them with qz.rsample((num_samples,)).",
            made(SAMPLE, "half = torch.randn((num_samples + 1) // 2, *qz.mu.shape)",
                 "qz.mu + qz.sigma * torch.cat([half, -half])[:num_samples]"),
            made(SAMPLE, "u, v = torch.rand(2, num_samples, *qz.mu.shape)", "u = ((u.argsort(0) + v) / num_samples).clamp(1e-6, 1 - 1e-6)",
                 "qz.mu + qz.sigma * Normal(0.0, 1.0).icdf(u)")),
    Mistake("same_samples_in_every_call", "Every call draws the same samples.", "Set no seed inside the function.",
            made(SAMPLE, "torch.manual_seed(0)", "qz.rsample((num_samples,))")),
    Mistake("changes_its_inputs", "x is changed in place.", "Methods ending in an underscore and += overwrite their tensor.",
            (ENCODE, f"x.data.clamp_(0.01, 0.99)\n    {ENCODE}")),
    Mistake("flat_pixels_only", "Right on flat pixels; images of shape (batch, 1, 28, 28) come out wrong.",
            "Sum over all dimensions but the first two: flatten(2).sum(-1).", made(LOG_PX, f"{TERMS}.sum(-1)")),
    Mistake("one_sample_loses_its_dimension", "With num_samples = 1 a dimension gets lost.",
            "model(x, num_samples=1) returns z of shape (batch, M), without K. Draw qz.rsample((num_samples,)).",
            (made(SAMPLE, "model(x, num_samples=num_samples)['z']"), (".flatten(2)", ".flatten(z.dim() - 1)"))),
    Mistake("one_example_loses_its_dimension", "With a batch of one example a dimension gets lost.",
            "squeeze() takes away every dimension of size one, the batch, too.", (RESULT, f"({RESULT}).squeeze(-1)")),
    Mistake("wrong_with_many_samples", "It is right for a few samples and wrong for hundreds.",
            "Are there chunks? Add up the weights of all, and mind the last one.", made(SAMPLE, "qz.rsample((min(num_samples, 100),))")),
    Mistake("state_drifts", "It is right at first and wrong when it is called again.", "Keep nothing from call to call.",
            ((ENCODE, f"{ENCODE}\n    vars(model).setdefault('past', []).append(1)"), (RESULT, f"{RESULT} + 0.5 * (len(model.past) > 5)"))),
)
MISTAKES = (
    *IN_WEIGHTS,
    *general("bits_for_nats"),
    Mistake("mean_kl_in_the_weights", "log p(z) - log q(z|x) is averaged over the samples before it goes into the weights.",
            "Keep it for each sample: averaging may come after the exponential only.", (RESULT, "log_px + (log_pz - log_qz).mean(dim=0)")),
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
    Mistake("not_summed", "Pixels or latents are left that have to be summed.", "Sum over all dimensions but the first two.",
            (RESULT, "log_px[..., None] + model.prior(len(x)).log_prob(z) - qz.log_prob(z)")),
)

VARIANTS = {
    "a loop over K": body(
        SOLUTION, "parts = []", "for _ in range(num_samples):", "    out = model(x)",
        "    log_kl = out['qz'].log_prob(out['z']) - out['pz'].log_prob(out['z'])",
        "    parts.append(out['px'].log_prob(x).flatten(1).sum(1) - log_kl.sum(1))", "return torch.stack(parts)"),
    "the library's": body(SOLUTION, "return elbolab.inference.log_weights(model, x, num_samples).reshape(num_samples, len(x))"),
}

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
