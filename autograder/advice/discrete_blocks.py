"""Mistakes in unit 04's first pieces: name, (title, advice, the behaviors it costs)."""

__all__ = ["ENUMERATION", "KL", "LOG_LIKELIHOOD"]

VALUE, BOTH, ALL = ("value",), ("value", "gradient"), ("value", "extremes", "gradient")
NOT_IN_PLACE = ("An argument is changed in place.", "Methods ending in an underscore and += overwrite their tensor; make a new one.", VALUE)

KL = {
    "kl_sign_flipped": (
        "The sign is wrong: a KL is never negative.",
        "KL(q || uniform) = sum over latents of log C minus the entropy.",
        VALUE,
    ),
    "log_c_missing": (
        "The prior is left out: this is the entropy, or its negative.",
        "The uniform prior gives each class 1/C, so each latent adds log C.",
        VALUE,
    ),
    "entropy_sign_flipped": (
        "The entropy has the wrong sign.",
        "KL = log C - H(q) for each latent: the more certain q is, the more it costs. Try a uniform q, whose KL is zero.",
        VALUE,
    ),
    "log_c_once": (
        "log C is counted once, whatever the number of latents.",
        "Each latent has its own prior: L latents add L log C.",
        VALUE,
    ),
    "kl_reversed": (
        "This is KL(uniform || q), and KL(q || uniform) is asked for.",
        "The expectation is over q: weight each class by q.",
        VALUE,
    ),
    "mean_over_latents": ("The latents are averaged where they have to be summed.", "The KL of independent latents adds up.", VALUE),
    "mean_over_classes": (
        "The classes are averaged where they have to be summed.",
        "An expectation over classes is a sum weighted by q; q holds the weights already.",
        VALUE,
    ),
    "softmax_over_the_wrong_axis": (
        "The softmax runs over the wrong axis.",
        "Classes are the last axis: log_softmax(dim=-1). Print q.sum(-1): every entry must be one.",
        VALUE,
    ),
    "wrong_number_of_classes": (
        "log of the wrong number: C is the size of the last axis.",
        "logits has shape (batch, L, C), so C is logits.shape[-1].",
        VALUE,
    ),
    "logits_not_normalized": (
        "The logits are used as log-probabilities without being normalized.",
        "log q = logits.log_softmax(-1): an encoder's logits may have any sum.",
        VALUE,
    ),
    "bits_for_nats": ("This is in bits; nats are asked for.", "Use the natural logarithm.", VALUE),
    "not_summed": (
        "Dimensions are left that have to be summed.",
        "Sum over classes and over latents: one number for each example, shape (batch,).",
        VALUE,
    ),
    "summed_over_the_batch": ("The batch is summed or averaged, too.", "Return one value for each example, shape (batch,).", VALUE),
    "monte_carlo_for_closed_form": (
        "This is a Monte Carlo estimate; the closed form is asked for.",
        "Two calls with the same logits must agree: no sample is needed.",
        VALUE,
    ),
    "zero_times_log_zero": (
        "A class of probability zero makes the result NaN: 0 times log 0.",
        "Take log_softmax of the logits, and the probabilities as its exp: 0 times a large number is 0.",
        ("extremes",),
    ),
    "changes_its_inputs": NOT_IN_PLACE,
    "without_gradient": ("The result carries no gradient for the logits.", "Nothing may be detached or under no_grad.", ("gradient",)),
}

LOG_LIKELIHOOD = {
    "cross_entropy_not_negated": (
        "The sign is wrong: this is the cross-entropy, and its negative is asked for.",
        "log p(x|z) is minus the binary cross-entropy.",
        VALUE,
    ),
    "mean_over_pixels": (
        "The pixels are averaged where they have to be summed.",
        "Pixels are independent given z, so their log-probabilities add up. A mean makes the KL 784 times too important, and "
        "training collapses.",
        VALUE,
    ),
    "codes_and_images_swapped": (
        "Codes and images are swapped.",
        "The first axis is the code, the second the image: shape (codes, batch).",
        VALUE,
    ),
    "not_summed": ("The pixels are not summed.", "One number for each pair of code and image: shape (codes, batch).", VALUE),
    "normalizer_left_out": (
        "Only x . logits is there; the normalizer is missing.",
        "log p = x logit - log(1 + exp(logit)) for each pixel. The second term does not depend on x, but it does on the code.",
        VALUE,
    ),
    "only_the_ones": (
        "Only the pixels that are one are counted.",
        "log p(x) = sum of x log p + (1 - x) log(1 - p): the dark pixels carry information, too.",
        VALUE,
    ),
    "logits_for_probabilities": (
        "The logits are passed through the sigmoid before they are used as logits.",
        "Bernoulli(logits=...) and binary_cross_entropy_with_logits take the decoder's output as it is.",
        VALUE,
    ),
    "summed_over_the_batch": ("Images or codes are summed or averaged.", "Every code with every image: shape (codes, batch).", VALUE),
    "sigmoid_saturates": (
        "With large logits the sigmoid is exactly 0 or 1, and its logarithm is lost.",
        "Stay with logits: softplus(logit) is log(1 + exp(logit)) without overflow.",
        ("extremes",),
    ),
    "changes_its_inputs": NOT_IN_PLACE,
    "without_gradient": (
        "The result carries no gradient for the decoder's logits.",
        "Nothing may be detached or under no_grad.",
        ("gradient",),
    ),
}

ENUMERATION = {
    "marginals_for_joint_states": (
        "The classes of each latent are enumerated by themselves: L x C marginal states, where there are C^L joint ones.",
        "f looks at all latents at once. With two latents of ten classes sum over 100 pairs (i, j), each with weight q(i) q(j).",
        VALUE,
    ),
    "cost_of_the_mean_code": (
        "This is the cost of the mean code, f(E[z]), and E[f(z)] is asked for.",
        "f is not linear. Look at f on one-hot codes only, and average the costs.",
        VALUE,
    ),
    "probabilities_left_out": (
        "All codes count the same.",
        "Weight the cost of a code by its probability, the product over the latents.",
        BOTH,
    ),
    "softmax_over_the_wrong_axis": (
        "The softmax runs over the wrong axis.",
        "Classes are the last axis. The weights of the codes must sum to one for each example.",
        VALUE,
    ),
    "log_probabilities_as_weights": ("Log-probabilities serve as weights.", "Take exp of log q before you weight with it.", VALUE),
    "averaged_over_codes": (
        "The weighted costs are averaged over the codes where they have to be summed.",
        "The weights sum to one already: sum.",
        VALUE,
    ),
    "probabilities_added": (
        "The probabilities of the latents are added where they have to be multiplied.",
        "Latents are independent: q(code) is the product, log q(code) the sum of log-probabilities.",
        VALUE,
    ),
    "codes_and_weights_out_of_order": (
        "Codes and weights are in different orders.",
        "In the code list the last latent runs fastest, in your weights the first. Compute the weights from the codes: (codes * "
        "q).sum(-1).prod(-1).",
        VALUE,
    ),
    "first_example_for_all": (
        "The first example's probabilities are used for all.",
        "Each example has its own weights: shape (codes, batch).",
        VALUE,
    ),
    "sampled_not_enumerated": (
        "This samples; enumeration looks at every code once.",
        "Two calls with the same arguments must agree.",
        VALUE,
    ),
    "two_latents_only": (
        "Right with two latents, wrong with three.",
        "itertools.product(range(C), repeat=L) or torch.cartesian_prod list the joint states of any number of latents.",
        VALUE,
    ),
    "not_summed": ("The codes are not summed.", "Sum over the codes: one number for each example, shape (batch,).", BOTH),
    "summed_over_the_batch": ("The batch is summed or averaged, too.", "Return one value for each example, shape (batch,).", BOTH),
    "probabilities_detached": (
        "No gradient reaches the logits.",
        "Here the gradient flows through the probabilities of the codes: do not detach them.",
        ("gradient",),
    ),
    "cost_detached": ("No gradient reaches the parameters of f.", "The decoder learns through f(z): do not detach it.", ("gradient",)),
}
