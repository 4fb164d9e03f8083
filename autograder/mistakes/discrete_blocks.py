"""Mistakes in unit 04's first pieces: the KL, the likelihood under every code, enumeration."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTIONS"]

SOLUTIONS = {
    "categorical_kl": '''\
def categorical_kl(logits: Tensor) -> Tensor:
    """KL(q || uniform) of L categorical latents, logits (batch, L, C), in nats; shape (batch,)."""
    log_q = logits.log_softmax(dim=-1)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1))
''',
    "code_log_likelihood": '''\
def code_log_likelihood(pixel_logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of binary images x (batch, D) under each code's pixel logits (codes, D), in nats; shape (codes, batch)."""
    normalizer = nn.functional.softplus(pixel_logits).sum(dim=-1, keepdim=True)  # (codes, 1)
    return pixel_logits @ x.T - normalizer
''',
    "expected_cost": '''\
def expected_cost(f, logits: Tensor) -> Tensor:
    """E_q[f(z)] over all joint states of the latents, logits (batch, L, C); shape (batch,), exact."""
    latents, classes = logits.shape[-2:]
    states = torch.cartesian_prod(*[torch.arange(classes)] * latents).reshape(-1, latents)  # (C^L, L)
    codes = nn.functional.one_hot(states, classes).to(logits.dtype).unsqueeze(1)  # (C^L, 1, L, C)
    log_q = (codes * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))  # (C^L, batch)
    return (log_q.exp() * f(codes)).sum(dim=0)
''',
}

LOG_Q = "log_q = logits.log_softmax(dim=-1)"
DIVERGENCE = "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1))"
NORMALIZER = "normalizer = nn.functional.softplus(pixel_logits).sum(dim=-1, keepdim=True)  # (codes, 1)"
LIKELIHOOD = "return pixel_logits @ x.T - normalizer"
STATES = "states = torch.cartesian_prod(*[torch.arange(classes)] * latents).reshape(-1, latents)  # (C^L, L)"
JOINT = "log_q = (codes * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))  # (C^L, batch)"
EXPECTATION = "return (log_q.exp() * f(codes)).sum(dim=0)"
EACH = "pixels = x * pixel_logits.unsqueeze(1) - nn.functional.softplus(pixel_logits).unsqueeze(1)"
MARGINALS = """\
q = logits.softmax(dim=-1)
    total = 0
    for latent in range(latents):
        for state in range(classes):
            z = {rest}
            z[..., latent, :] = nn.functional.one_hot(torch.tensor(state), classes).to(logits.dtype)
            total = total + q[:, latent, state] * f(z.unsqueeze(0)).squeeze(0)
    return total"""


def kl(name: str, line: str | None, *edits: Edit) -> Mistake:
    """`line` in place of the last one; None keeps it."""
    return Mistake(name, "categorical_kl", (*edits, *([(DIVERGENCE, line)] if line else [])), ("discrete.kl",))


def likelihood(name: str, line: str | None, *edits: Edit) -> Mistake:
    return Mistake(name, "code_log_likelihood", (*edits, *([(LIKELIHOOD, line)] if line else [])), ("discrete.log_likelihood",))


def expectation(name: str, *edits: Edit) -> Mistake:
    return Mistake(name, "expected_cost", edits, ("discrete.enumeration",))


MISTAKES = (
    kl("kl_sign_flipped", "return -(log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1))"),
    kl("log_c_missing", "return (log_q.exp() * log_q).sum(dim=(-2, -1))"),
    kl("log_c_missing", "return torch.distributions.Categorical(logits=logits).entropy().sum(dim=-1)"),
    kl("entropy_sign_flipped", "return (log_q.exp() * (math.log(logits.shape[-1]) - log_q)).sum(dim=(-2, -1))"),
    kl("log_c_once", "return (log_q.exp() * log_q).sum(dim=(-2, -1)) + math.log(logits.shape[-1])"),
    kl("kl_reversed", "return -(log_q + math.log(logits.shape[-1])).mean(dim=-1).sum(dim=-1)"),
    kl("mean_over_latents", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=-1).mean(dim=-1)"),
    kl("mean_over_classes", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).mean(dim=-1).sum(dim=-1)"),
    kl("mean_over_classes", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).mean(dim=(-2, -1))"),
    kl("softmax_over_the_wrong_axis", None, (LOG_Q, "log_q = logits.log_softmax(dim=1)")),
    kl("softmax_over_the_wrong_axis", None, (LOG_Q, "log_q = logits.log_softmax(dim=0)")),
    kl(
        "softmax_over_the_wrong_axis",
        "return (log_q.exp() * (log_q + math.log(log_q.shape[-1]))).sum(dim=-1)",
        (LOG_Q, "log_q = logits.flatten(1).log_softmax(dim=-1)"),
    ),
    kl("wrong_number_of_classes", DIVERGENCE.replace("shape[-1]", "shape[1]")),
    kl("logits_not_normalized", "return (logits.softmax(dim=-1) * (logits + math.log(logits.shape[-1]))).sum(dim=(-2, -1))"),
    kl("bits_for_nats", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1)) / math.log(2)"),
    kl("not_summed", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=-1)"),
    kl("summed_over_the_batch", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum()"),
    kl("summed_over_the_batch", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1)).mean()"),
    kl(
        "monte_carlo_for_closed_form",
        "q = torch.distributions.OneHotCategorical(logits=logits)\n    z = q.sample((10_000,))\n"
        "    return (q.log_prob(z) + math.log(logits.shape[-1])).mean(dim=0).sum(dim=-1)",
    ),
    kl("zero_times_log_zero", "q = logits.softmax(dim=-1)\n    return (q * (q * logits.shape[-1]).log()).sum(dim=(-2, -1))"),
    kl(
        "changes_its_inputs",
        None,
        (LOG_Q, "logits.data.sub_(logits.data.logsumexp(dim=-1, keepdim=True))\n    log_q = logits.log_softmax(-1)"),
    ),
    kl("without_gradient", "return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1)).detach()"),
    likelihood("cross_entropy_not_negated", "return normalizer - pixel_logits @ x.T"),
    likelihood(
        "cross_entropy_not_negated",
        "return nn.functional.binary_cross_entropy_with_logits(pixel_logits.unsqueeze(1).expand(-1, len(x), -1), "
        "x.expand(len(pixel_logits), -1, -1), reduction='none').sum(dim=-1)",
    ),
    likelihood("mean_over_pixels", "return (pixel_logits @ x.T - normalizer) / x.shape[1]"),
    likelihood("mean_over_pixels", f"{EACH}\n    return pixels.mean(dim=-1)"),
    likelihood("codes_and_images_swapped", "return x @ pixel_logits.T - normalizer.T"),
    likelihood("not_summed", f"{EACH}\n    return pixels"),
    likelihood("normalizer_left_out", "return pixel_logits @ x.T"),
    likelihood("only_the_ones", "return nn.functional.logsigmoid(pixel_logits) @ x.T"),
    likelihood(
        "logits_for_probabilities",
        "return pixel_logits.sigmoid() @ x.T - normalizer",
        (NORMALIZER, "normalizer = nn.functional.softplus(pixel_logits.sigmoid()).sum(dim=-1, keepdim=True)"),
    ),
    likelihood("summed_over_the_batch", "return (pixel_logits @ x.T - normalizer).sum(dim=-1)"),
    likelihood("summed_over_the_batch", "return (pixel_logits @ x.T - normalizer).mean(dim=-1)"),
    likelihood("sigmoid_saturates", "p = pixel_logits.sigmoid()\n    return torch.log(p) @ x.T + torch.log(1 - p) @ (1 - x).T"),
    likelihood("sigmoid_saturates", None, (NORMALIZER, "normalizer = torch.log(1 + pixel_logits.exp()).sum(dim=-1, keepdim=True)")),
    likelihood("changes_its_inputs", "value = pixel_logits @ x.T - normalizer\n    x.data.zero_()\n    return value"),
    likelihood("without_gradient", "return (pixel_logits @ x.T - normalizer).detach()"),
    expectation("marginals_for_joint_states", (EXPECTATION, MARGINALS.format(rest="torch.zeros_like(logits)"))),
    expectation("marginals_for_joint_states", (EXPECTATION, MARGINALS.format(rest="q.clone()"))),
    expectation("marginals_for_joint_states", (EXPECTATION, MARGINALS.format(rest="q.clone()") + " / latents")),
    expectation("cost_of_the_mean_code", (EXPECTATION, "return f(logits.softmax(dim=-1).unsqueeze(0)).squeeze(0)")),
    expectation("probabilities_left_out", (EXPECTATION, "return (f(codes) + 0 * log_q).mean(dim=0)")),
    expectation("softmax_over_the_wrong_axis", (JOINT, "log_q = (codes * logits.log_softmax(dim=1)).sum(dim=(-2, -1))")),
    expectation("log_probabilities_as_weights", (EXPECTATION, "return (log_q * f(codes)).sum(dim=0)")),
    expectation("averaged_over_codes", (EXPECTATION, "return (log_q.exp() * f(codes)).mean(dim=0)")),
    expectation(
        "probabilities_added",
        (JOINT, "weight = (codes * logits.softmax(dim=-1)).sum(dim=(-2, -1))"),
        (EXPECTATION, "return (weight * f(codes)).sum(dim=0)"),
    ),
    expectation("codes_and_weights_out_of_order", (JOINT, JOINT.replace("codes *", "codes.flip(-2) *"))),
    expectation("first_example_for_all", (EXPECTATION, "return (log_q[:, :1].exp() * f(codes)).sum(dim=0)")),
    expectation(
        "sampled_not_enumerated",
        (STATES, "states = torch.distributions.Categorical(logits=logits).sample((1000,))"),
        ("unsqueeze(1)", "clone()"),
        (EXPECTATION, "return (f(codes) * (1 + log_q - log_q.detach())).mean(dim=0)"),
    ),
    expectation("two_latents_only", (STATES, "states = torch.cartesian_prod(torch.arange(classes), torch.arange(classes))")),
    expectation("not_summed", (EXPECTATION, "return log_q.exp() * f(codes)")),
    expectation("summed_over_the_batch", (EXPECTATION, "return (log_q.exp() * f(codes)).sum()")),
    expectation("summed_over_the_batch", (EXPECTATION, "return (log_q.exp() * f(codes)).sum(dim=0).mean()")),
    expectation("probabilities_detached", (EXPECTATION, "return (log_q.exp().detach() * f(codes)).sum(dim=0)")),
    expectation("cost_detached", (EXPECTATION, "return (log_q.exp() * f(codes).detach()).sum(dim=0)")),
)
