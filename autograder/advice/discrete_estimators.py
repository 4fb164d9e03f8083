"""Mistakes in unit 04's estimators and relaxed samples: name, (title, advice, the behaviors it costs)."""

__all__ = ["RELAXED", "RLOO", "SCORE", "STRAIGHT_THROUGH"]

ALL = ("value", "encoder", "decoder", "estimator")
ENCODER, SPREAD = ("encoder", "estimator"), ("estimator",)

SHARED = {
    "averaged_over_the_batch": (
        "The batch is averaged.",
        "Return one number for each example, shape (batch,); the training step takes the mean.",
        ALL,
    ),
    "samples_not_averaged": ("The samples are not averaged.", "Take the mean over the first axis: shape (batch,).", ALL),
    "value_is_a_surrogate": (
        "The gradient is right, but the value is that of a surrogate and means nothing.",
        "Write log_q - log_q.detach() where log_q stands: it is zero as a number and has log_q's gradient, so the value is the cost.",
        ("value",),
    ),
    "cost_not_detached": (
        "The cost is not detached where it multiplies log q: the decoder gets a wrong gradient.",
        "There the cost is a weight, a number: cost.detach(). The decoder learns through the other term.",
        ("value", "decoder"),
    ),
    "cost_term_missing": (
        "The decoder learns nothing: the cost stands in the surrogate only as a detached weight.",
        "The gradient has two terms: f(z) grad log q for the encoder, and grad f(z) itself for the decoder. Add the cost.",
        ("value", "decoder"),
    ),
    "log_prob_detached": (
        "The log-probability carries no gradient: the encoder learns nothing.",
        "The samples and the cost are numbers, log q(z) is not: its gradient is the estimator. Look for no_grad and detach.",
        ENCODER,
    ),
    "sign_flipped": (
        "The sign of the gradient is wrong.",
        "Increase log q where the cost is high, and descend: cost times log q, without a minus.",
        ENCODER,
    ),
    "summed_over_samples": ("The samples are summed where they have to be averaged.", "Take the mean over samples.", ENCODER),
    "mean_over_latents": (
        "log q is averaged over the latents where it has to be summed.",
        "Latents are independent: log q(z) is the sum over them.",
        ENCODER,
    ),
    "mean_over_classes": (
        "log q is averaged over the classes where one of them has to be picked.",
        "A one-hot z picks its class: (z * log_q).sum(-1), or OneHotCategorical.log_prob.",
        ENCODER,
    ),
    "softmax_over_the_wrong_axis": ("The softmax runs over the wrong axis.", "Classes are the last axis: log_softmax(dim=-1).", ALL),
    "probabilities_as_logits": (
        "Probabilities are handed over as logits.",
        "OneHotCategorical(logits=logits), or OneHotCategorical(probs=logits.softmax(-1)).",
        ALL,
    ),
    "relaxed_samples": (
        "f is asked for relaxed codes: these are no samples of q.",
        "Draw one-hot codes, for example with OneHotCategorical(logits=logits).sample.",
        ALL,
    ),
    "argmax_for_sample": (
        "The most probable code is taken in place of a sample.",
        "Draw from q: OneHotCategorical(logits=logits).sample((num_samples,)).",
        ALL,
    ),
    "fixed_seed": (
        "Every call draws the same codes.",
        "Do not set a seed inside: estimates must be fresh, or their errors never average out.",
        ALL,
    ),
    "one_sample_for_the_batch": (
        "All examples share one draw.",
        "Each example has its own q: draw a code for each, shape (num_samples, batch, L, C).",
        ALL,
    ),
    "num_samples_ignored": ("Not num_samples codes are drawn, but one.", "Draw with sample((num_samples,)), and average.", SPREAD),
    "enumerated_for_sampled": (
        "Nothing is sampled: this is the exact expectation.",
        "That is exercise 1c. With 20 latents it would need 10^20 codes: sample.",
        SPREAD,
    ),
}

SCORE = SHARED | {
    "logits_not_normalized": (
        "The logits are taken for log-probabilities.",
        "log q = logits.log_softmax(-1); the normalizer has a gradient, too.",
        ENCODER,
    ),
    "averaged_before_multiplying": (
        "Cost and log q are averaged over the samples before they are multiplied.",
        "Each sample's cost multiplies its own log q; average the products.",
        ENCODER,
    ),
    "cost_averaged_over_the_batch": (
        "The cost is averaged over the batch before it multiplies log q.",
        "Each example's cost says how good its own code was; the average says nothing about it.",
        ENCODER,
    ),
}

RLOO = SHARED | {
    "log_prob_detached": (
        "No learning signal reaches the logits: log q is detached, or the signals were averaged, to zero, before they multiplied it.",
        "Each sample's signal, detached, multiplies its own log q, which keeps its gradient; then average.",
        ENCODER,
    ),
    "baseline_contains_its_own_sample": (
        "The baseline contains the sample itself, and so the estimate is biased.",
        "A baseline must not depend on the sample that it corrects: use the mean of the *other* costs, (cost.sum(0) - cost) / (S - 1).",
        ENCODER,
    ),
    "no_baseline": ("There is no baseline: this is the plain score function.", "Subtract the mean of the other samples' costs.", SPREAD),
    "baseline_over_the_batch": (
        "The baseline is averaged over the batch, too.",
        "Examples differ more than samples do. For each example use the mean of its own other samples: the first axis only.",
        SPREAD,
    ),
    "baseline_added": (
        "The baseline is added where it has to be subtracted.",
        "The signal is how much worse than the others this sample was: cost - baseline.",
        SPREAD,
    ),
    "baseline_alone": (
        "The baseline stands in place of the cost.",
        "The signal is cost - baseline. The baseline alone has nothing to do with its sample.",
        ENCODER,
    ),
    "wrong_divisor": (
        "The sum of the others is divided by S; there are S - 1 of them.",
        "baseline = (cost.sum(0) - cost) / (num_samples - 1).",
        SPREAD,
    ),
    "baseline_in_the_cost": (
        "The baseline is subtracted in the cost's own gradient, too: the decoder's gradient cancels.",
        "The baseline belongs into the detached weight of log q only; the term for the decoder is the cost as it is.",
        ("value", "decoder"),
    ),
}

BOTH = ("distribution", "gradient")
SAMPLE = ("distribution",)

RELAXED = {
    "temperature_multiplied": (
        "The temperature multiplies where it has to divide.",
        "softmax((logits + g) / temperature): a low temperature sharpens.",
        SAMPLE,
    ),
    "temperature_ignored": ("The temperature is not used.", "softmax((logits + g) / temperature).", SAMPLE),
    "temperature_on_the_logits_only": (
        "Only the logits are divided by the temperature.",
        "Divide the sum: (logits + g) / temperature.",
        SAMPLE,
    ),
    "temperature_on_the_noise_only": (
        "Only the noise is divided by the temperature.",
        "Divide the sum: (logits + g) / temperature.",
        SAMPLE,
    ),
    "gumbel_sign_lost": (
        "A minus sign of the Gumbel noise is lost: g = -log(-log u).",
        "Both are needed. log u is negative, so the inner one makes it positive; the outer one turns the long tail to the right.",
        SAMPLE,
    ),
    "logarithm_of_a_negative_number": (
        "The inner minus sign is lost: log u is negative, and its logarithm is NaN.",
        "g = -log(-log u).",
        BOTH,
    ),
    "one_log_missing": (
        "A logarithm is missing: this is exponential noise, and not Gumbel noise.",
        "g = -log(-log u), with two logarithms.",
        SAMPLE,
    ),
    "gaussian_noise": (
        "The noise is Gaussian.",
        "Only Gumbel noise makes the largest entry a sample of softmax(logits): g = -log(-log u).",
        SAMPLE,
    ),
    "uniform_noise": ("The noise is uniform.", "Turn it into Gumbel noise: g = -log(-log u).", SAMPLE),
    "noise_missing": (
        "There is no noise, or the same for all classes, which the softmax cancels.",
        "Draw u with the shape of the result: every entry needs its own.",
        SAMPLE,
    ),
    "noise_shared": (
        "Samples, examples, latents or calls share their noise.",
        "Draw u with the shape (num_samples, batch, L, C), afresh in every call: torch.rand(num_samples, *logits.shape).",
        SAMPLE,
    ),
    "probabilities_for_logits": (
        "Noise is added to the probabilities.",
        "It belongs to logits, or to log-probabilities: the Gumbel trick works on the log scale.",
        SAMPLE,
    ),
    "logits_ignored": ("The logits are not used: this is pure noise.", "softmax((logits + g) / temperature).", BOTH),
    "softmax_over_the_wrong_axis": (
        "The softmax runs over the wrong axis.",
        "The classes of a latent compete: dim=-1. Print y.sum(-1).",
        BOTH,
    ),
    "hard_for_soft": (
        "The samples are one-hot; the relaxed ones are asked for.",
        "Return the softmax itself: its slope is the whole point. Hard codes come in 3b.",
        BOTH,
    ),
    "logarithm_of_the_sample": ("This is the logarithm of the sample.", "Use softmax, not log_softmax, in the last step.", SAMPLE),
    "samples_dimension_missing": (
        "The dimension of the samples is missing.",
        "The result has shape (num_samples, batch, L, C), with num_samples = 1, too.",
        BOTH,
    ),
    "without_gradient": (
        "The sample carries no gradient for the logits.",
        "Nothing may be detached or under no_grad: the relaxation exists for its gradient.",
        ("gradient",),
    ),
}

STRAIGHT_THROUGH = {
    "without_the_detach_trick": (
        "The code is hard, but no gradient passes: argmax has none.",
        "Add the soft sample and take its value away again: hard + soft - soft.detach().",
        ("gradient",),
    ),
    "soft_for_hard": (
        "The soft sample comes back; a one-hot code is asked for.",
        "hard + soft - soft.detach() has the value of hard. Are all three there?",
        ("value",),
    ),
    "index_for_one_hot": (
        "This is the index of the largest entry; its one-hot vector is asked for.",
        "nn.functional.one_hot(index, C), as floating point.",
        ("value", "gradient"),
    ),
    "hard_times_soft": (
        "The one-hot vector is multiplied with the soft sample: its entry is not one.",
        "Add and take away: hard + soft - soft.detach().",
        ("value",),
    ),
    "threshold_for_argmax": (
        "Entries above one half are taken, and with several classes there may be none.",
        "Take the largest entry: soft.argmax(-1).",
        ("value",),
    ),
    "argmax_over_the_wrong_axis": ("The argmax runs over the wrong axis.", "Classes are the last axis: soft.argmax(-1).", ("value",)),
    "gradient_negated": (
        "The gradient has the wrong sign.",
        "hard + soft - soft.detach(): the soft sample that keeps its gradient has the plus.",
        ("gradient",),
    ),
    "changes_its_inputs": ("The argument is changed in place.", "Make a new tensor.", ("value",)),
}
