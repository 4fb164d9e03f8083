"""Mistakes in `VariationalInference`."""

from __future__ import annotations

from autograder.mistakes import Edit, Mistake

__all__ = ["MISTAKES", "SOLUTION"]

TARGET = "VariationalInference"
ELBO, BETA = ("vae.elbo",), ("vae.beta_elbo",)
BOTH = ELBO + BETA

SOLUTION = '''\
class VariationalInference(nn.Module):
    """Turns a model and a batch into the loss to minimize and the numbers to look at."""

    def __init__(self, beta: float = 1.0):
        super().__init__()
        self.beta = beta

    def forward(self, model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor], dict]:
        """x: (batch, *image). Returns loss (), diagnostics with values (batch,), and the model's outputs."""
        outputs = model(x)
        px, pz, qz, z = outputs["px"], outputs["pz"], outputs["qz"], outputs["z"]
        log_px = reduce(px.log_prob(x))  # (batch,)
        kl = reduce(qz.log_prob(z) - pz.log_prob(z))  # (batch,)
        elbo = log_px - kl
        beta_elbo = log_px - self.beta * kl
        loss = -beta_elbo.mean()
        diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach(), "kl": kl.detach()}
        return loss, diagnostics, outputs
'''

LOG_PX = "log_px = reduce(px.log_prob(x))"
KL = "kl = reduce(qz.log_prob(z) - pz.log_prob(z))"
DIFFERENCE = "elbo = log_px - kl"
OBJECTIVE = "beta_elbo = log_px - self.beta * kl"
LOSS = "loss = -beta_elbo.mean()"
DIAGNOSTICS = 'diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach(), "kl": kl.detach()}'


def wrong(name: str, checks: tuple[str, ...], *edits: Edit) -> Mistake:
    return Mistake(name, TARGET, edits, checks)


def log_px(name: str, line: str, checks: tuple[str, ...] = BOTH) -> Mistake:
    return wrong(name, checks, (LOG_PX, f"log_px = {line}"))


def kl(name: str, line: str, checks: tuple[str, ...] = BOTH) -> Mistake:
    return wrong(name, checks, (KL, f"kl = {line}"))


def elbo(name: str, line: str) -> Mistake:
    return wrong(name, ELBO, (DIFFERENCE, f"elbo = {line}"))


def objective(name: str, line: str) -> Mistake:
    return wrong(name, BETA, (OBJECTIVE, f"beta_elbo = {line}"))


def loss(name: str, line: str) -> Mistake:
    return wrong(name, BETA, (LOSS, f"loss = {line}"))


def diagnostics(name: str, lines: str) -> Mistake:
    return wrong(name, ELBO, (DIAGNOSTICS, lines))


MISTAKES = (
    # log p(x|z)
    log_px("mean_over_pixels", "px.log_prob(x).flatten(1).mean(dim=1)"),
    log_px("log_px_negated", "-reduce(px.log_prob(x))"),
    log_px("batch_mean_of_log_px", "reduce(px.log_prob(x)).mean()", ELBO),
    log_px("batch_mean_of_log_px", "reduce(px.log_prob(x)).mean().repeat(len(x))", ELBO),
    log_px("batch_sum", "px.log_prob(x).sum()"),
    log_px("squared_error_for_log_px", "-reduce((x - px.mean) ** 2)"),
    log_px("probability_for_log_px", "reduce(px.log_prob(x)).exp()"),
    log_px("density_underflows", "px.log_prob(x).exp().flatten(1).prod(dim=1).log()"),
    log_px("decodes_the_mean", "reduce(model.observation_model(qz.mu).log_prob(x))"),
    wrong("bits_for_nats", BOTH, (LOG_PX, f"{LOG_PX} / math.log(2)"), (KL, f"{KL} / math.log(2)")),
    log_px("flat_pixels_only", "px.log_prob(x).sum(dim=1)"),
    # the KL
    kl("mean_over_latents", "(qz.log_prob(z) - pz.log_prob(z)).mean(dim=-1)"),
    kl("mean_over_latents", "0.5 * (qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma).mean(dim=-1)"),
    kl("batch_mean_of_kl", "reduce(qz.log_prob(z) - pz.log_prob(z)).mean()", ELBO),
    kl("beta_inside_kl", "self.beta * reduce(qz.log_prob(z) - pz.log_prob(z))"),
    wrong("beta_inside_kl", ELBO, (KL, "kl = self.beta * reduce(qz.log_prob(z) - pz.log_prob(z))"), (OBJECTIVE, "beta_elbo = log_px - kl")),
    kl("kl_sign_flipped", "reduce(pz.log_prob(z) - qz.log_prob(z))"),
    kl("kl_reversed", "reduce(qz.log_sigma + (1 + qz.mu**2) / (2 * qz.sigma**2) - 0.5)"),
    kl("log_variance_for_log_sigma", "-0.5 * reduce(1 + qz.log_sigma - qz.mu**2 - qz.log_sigma.exp())"),
    kl("variance_for_standard_deviation", "reduce(0.5 * (qz.sigma + qz.mu**2 - 1) - qz.log_sigma)"),
    kl("missing_half_in_kl", "reduce(qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma)"),
    kl("kl_without_log_sigma", "0.5 * reduce(qz.sigma**2 + qz.mu**2 - 1)"),
    kl("prior_missing_in_kl", "reduce(qz.log_prob(z))"),
    kl("posterior_missing_in_kl", "-reduce(pz.log_prob(z))"),
    kl("kl_terms_added", "reduce(qz.log_prob(z) + pz.log_prob(z))"),
    kl("kl_clamped", "reduce(qz.log_prob(z) - pz.log_prob(z)).clamp(min=0)"),
    kl("kl_clamped", "reduce(qz.log_prob(z) - pz.log_prob(z)).abs()"),
    kl("constant_in_kl", "0.5 * reduce(qz.sigma**2 + qz.mu**2 - 2 * qz.log_sigma)"),
    kl("sigma_for_log_sigma", "0.5 * reduce(qz.sigma.exp() + qz.mu**2 - 1 - qz.sigma)"),
    # the ELBO
    elbo("beta_in_elbo", "log_px - self.beta * kl"),
    elbo("elbo_is_log_px", "log_px"),
    elbo("elbo_is_kl", "-kl"),
    elbo("elbo_negated", "kl - log_px"),
    elbo("prior_counted_twice", "log_px + reduce(pz.log_prob(z)) - kl"),
    elbo("batch_mean_before_subtracting", "log_px.mean() - kl"),
    elbo("batch_mean_before_subtracting", "log_px - kl.mean()"),
    elbo("batch_mean_of_elbo", "(log_px - kl).mean()"),
    kl("silent_broadcasting", "(qz.log_prob(z) - pz.log_prob(z)).sum(dim=-1, keepdim=True)", ELBO),
    elbo("silent_broadcasting", "log_px.unsqueeze(1) - kl"),
    wrong("elbo_and_beta_elbo_swapped", BOTH, (f" {DIFFERENCE}\n", " elbo = log_px - self.beta * kl\n"),
          (OBJECTIVE, "beta_elbo = log_px - kl")),
    wrong("kl_added", BOTH, (DIFFERENCE, "elbo = log_px + kl"), (OBJECTIVE, "beta_elbo = log_px + self.beta * kl")),
    # the loss
    objective("beta_on_reconstruction", "self.beta * log_px - kl"),
    objective("beta_on_everything", "self.beta * (log_px - kl)"),
    objective("kl_left_out", "log_px"),
    objective("log_px_left_out", "-self.beta * kl"),
    objective("beta_ignored", "log_px - kl"),
    objective("beta_squared", "log_px - self.beta**2 * kl"),
    objective("beta_twice", "elbo - self.beta * kl"),
    objective("beta_divides", "log_px - kl / self.beta"),
    objective("kl_without_gradient", "log_px - self.beta * kl.detach()"),
    objective("log_px_without_gradient", "log_px.detach() - self.beta * kl"),
    loss("loss_not_negated", "beta_elbo.mean()"),
    loss("loss_summed", "-beta_elbo.sum()"),
    loss("loss_not_reduced", "-beta_elbo"),
    loss("wrong_loss_shape", "-(log_px.mean() - self.beta * (qz.log_prob(z) - pz.log_prob(z)).mean(dim=0))"),
    loss("loss_without_graph", "-beta_elbo.mean().item()"),
    loss("loss_without_graph", "torch.tensor(-beta_elbo.mean().item(), requires_grad=True)"),
    # the diagnostics
    diagnostics("scalar_diagnostics", DIAGNOSTICS.replace(".detach()", ".mean().detach()")),
    diagnostics("log_px_and_kl_swapped", 'diagnostics = {"elbo": elbo.detach(), "log_px": kl.detach(), "kl": log_px.detach()}'),
    diagnostics("not_summed", "terms = px.log_prob(x), qz.log_prob(z) - pz.log_prob(z)\n        "
                'diagnostics = {"elbo": elbo.detach(), "log_px": terms[0].detach(), "kl": terms[1].detach()}'),
    diagnostics("wrong_shape", 'diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach()[None], "kl": kl.detach()}'),
    diagnostics("diagnostics_carry_the_graph", 'diagnostics = {"elbo": elbo, "log_px": log_px, "kl": kl}'),
    diagnostics("no_grad_does_not_detach", 'with torch.no_grad():\n            diagnostics = {"elbo": elbo, "log_px": log_px, "kl": kl}'),
    # from call to call
    wrong("state_drifts", BETA, (OBJECTIVE, f"{OBJECTIVE}\n        self.beta = self.beta + 0.1")),
    wrong("state_drifts", ELBO, ("self.beta = beta", "self.beta = beta\n        self.running = None"),
          (DIFFERENCE, "self.running = log_px - kl if self.running is None else 0.9 * self.running.mean() + 0.1 * (log_px - kl)\n"
                       "        elbo = self.running.detach()"),),
    wrong("changes_its_inputs", BOTH, ("outputs = model(x)", "outputs = model(x.clamp_(0.01, 0.99))")),
)
