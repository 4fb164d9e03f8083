"""The check of the loss that `VariationalInference` returns: minus the mean beta-ELBO, with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder.advice import HINTS, misconceptions
from autograder.checks.vae_calls import Call, Calls, close, judge_either, over_calls, shown
from autograder.checks.vae_elbo import find_kl, find_log_px
from autograder.checks.vae_truth import draw_inference
from autograder.probes.inference import probe_inference
from autograder.verdict import Check, Finding, failed, passed, unjudged

__all__ = ["CHECKS"]

BEHAVIORS = {"objective": 3, "gradient": 2}


def own_parts(call: Call) -> tuple[Tensor, Tensor]:
    """The student's log_px and kl averaged over the batch, so that a shape is not charged twice."""
    return call.log_px.mean(), call.kl.mean()


def right_losses(call: Call) -> list[Tensor]:
    log_px, kl = own_parts(call)
    pairs = [(log_px, kl)]
    return [-(lp - call.beta * k) for lp, k in pairs] + true_losses(call)


def true_losses(call: Call) -> list[Tensor]:
    return [-(lp - call.beta * k).mean() for lp in call.right_log_px() for k in call.right_kl()]


def loss_candidates(call: Call) -> dict[str, Tensor]:
    """Wrong losses by name, out of the student's own parts and out of the right ones."""
    beta, size = call.beta, len(call.truth.mu)
    table: dict[str, Tensor] = {}
    own_elbo = call.elbo.mean()
    right = (call.log_px_each[0].mean(), call.kl_each[0].mean())
    for suffix, (lp, kl) in (("", own_parts(call)), ("#right", right), ("#closed", (right[0], call.truth.kl().mean()))):
        objective = lp - beta * kl
        table |= {
            f"loss_not_negated{suffix}": objective,
            f"loss_summed{suffix}": -size * objective,
            f"loss_not_negated#summed{suffix}": size * objective,
            f"kl_left_out{suffix}": -lp,
            f"kl_added{suffix}": -(lp + beta * kl),
            f"log_px_left_out{suffix}": beta * kl,
            f"mean_over_pixels{suffix}": -(lp / call.truth.x.shape[1] - beta * kl),
            f"mean_over_pixels#all{suffix}": -objective / call.truth.x.shape[1],
        }
        if beta != 1.0:
            swapped = close(own_elbo, objective)
            table |= {
                f"{'elbo_and_beta_elbo_swapped' if swapped else 'beta_ignored'}{suffix}": -(lp - kl),
                f"beta_ignored#not_negated{suffix}": lp - kl,
                f"beta_on_reconstruction{suffix}": -(beta * lp - kl),
                f"beta_on_everything{suffix}": -beta * (lp - kl),
                f"kl_left_out#beta{suffix}": -beta * lp,
                f"beta_squared{suffix}": -(lp - beta**2 * kl),
                f"beta_twice{suffix}": -(lp - (1 + beta) * kl),
            }
        if beta not in (0.0, 1.0):
            table[f"beta_divides{suffix}"] = -(lp - kl / beta)
    return table


def find_objective(calls: Calls, call: Call) -> Finding:
    """The loss is one number, -mean(log_px - beta * kl)."""
    loss, right = call.loss, right_losses(call)
    expected, got = f"{float(right[0]):.3f}", shown(loss)
    per_example = -(call.log_px - call.beta * call.kl) if call.log_px.shape == call.kl.shape else loss * torch.nan
    if loss.numel() != 1:
        name = "loss_not_reduced" if loss.shape[:1] == call.truth.mu.shape[:1] else "wrong_loss_shape"
        name = "loss_not_reduced" if loss.shape == per_example.shape else name
        return failed("objective", f"The loss must be a single number; yours has shape {list(loss.shape)}.", name, expected, got)
    loss = loss.reshape(())
    if any(close(loss, want) for want in right):
        return passed("objective", "The loss is minus the batch mean of log_px - beta * kl.")
    if not loss.isfinite():
        name = "density_underflows" if bool(call.log_px.isinf().any()) or bool(loss.isinf()) else None
        return failed("objective", "The loss is not finite (NaN or infinity).", name, expected, got)
    for name, candidate in loss_candidates(call).items():
        if close(loss, candidate):
            return failed("objective", "The loss is not minus the mean beta-ELBO.", name.split("#")[0], expected, got)
    if loss_is_right_on_average(calls):
        return passed("objective", "The loss is right on average over its samples.")
    if beta_changes(calls):
        return failed("objective", "The weight of the KL changes from call to call.", "state_drifts", expected, got)
    return failed("objective", "The loss is not minus the batch mean of log_px - beta * kl.", None, expected, got)


def beta_changes(calls: Calls) -> bool:
    """Whether the weight of the KL, (loss + log_px) / kl, differs between calls of one object."""
    rows = [(c, *own_parts(c)) for c in (calls.calls[0], *calls.tiled, calls.calls[len(calls.calls) // 2])]
    weights = torch.stack([(c.loss.mean() + log_px) / kl for c, log_px, kl in rows])
    return bool(weights.isfinite().all()) and float(weights.max() - weights.min()) > 1e-3 * float(weights.abs().max())


def loss_is_right_on_average(calls: Calls) -> bool:
    """For losses that draw samples of their own: compare the mean over many, with beta as it is."""
    if "diagnostics_trouble" not in calls.calls[0].record or any(c.loss.numel() != 1 or not c.sampled for c in calls.tiled):
        return False  # with diagnostics the loss has to agree with them exactly
    if not calls.tiled:
        return False
    losses = torch.stack([c.loss.reshape(()) for c in calls.tiled])
    beta = calls.calls[0].beta
    # With z known log p(x|z) is exact; only the KL is left to chance, about as much as its one-sample estimate.
    want = torch.stack([-(c.log_px_each.mean() - beta * c.truth.kl().mean()) for c in calls.tiled])
    spread = torch.stack([c.kl_each[0] - c.truth.kl() for c in calls.tiled]).var() / calls.tiled[0].kl_each[0].numel()
    error = (beta**2 * spread / len(losses)).sqrt()
    return bool((losses - want).mean().abs() <= 6.5 * error + 1e-2)


# --- the gradient --------------------------------------------------------------------------------


def distance(got: dict[str, Tensor], want: dict[str, Tensor], part: str = "") -> float:
    """Relative distance of two gradients (Frobenius norm), over the parameters whose names start with `part`."""
    names = [n for n in want if n.startswith(part)]
    off = sum(float((got[n].double() - want[n]).square().sum()) for n in names)
    size = sum(float(want[n].square().sum()) for n in names)
    return (off / max(size, 1e-30)) ** 0.5


def mean_gradient(gradients: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {n: torch.stack([g[n].double() for g in gradients]).mean(0) for n in gradients[0]}


def gradient_matches(call: Call, **what) -> bool:
    """Exact agreement, with the latents that were decoded."""
    zs = call.z
    return any(
        distance(call.record["grads"], want) < 3e-3
        for kl in ("sample", "closed")
        for want in (
            call.truth.gradient(zs[0], kl, call.beta, **what),
            call.truth.gradient(zs[-1], kl, call.beta, **what),
            *(mean_gradient([call.truth.gradient(z, kl, call.beta, **what) for z in some]) for some in (zs, zs[1:]) if len(some) > 1),
        )
    )


def gradient_right_on_average(calls: Calls) -> bool:
    """The mean over many samples of their own: within 15 % of the KL's part.

    Single-sample noise is a few percent of it here; a KL without gradient is off by all of it.
    """
    if not calls.tiled or any("grads" not in c.record or not c.sampled for c in calls.tiled):
        return False
    got = mean_gradient([c.record["grads"] for c in calls.tiled])
    beta = calls.tiled[0].beta

    def want(kl: str | None) -> dict[str, Tensor]:
        return mean_gradient([
            mean_gradient([c.truth.gradient(z, kl, beta) for z in c.z]) for c in calls.tiled
        ])

    full, without = want("closed"), want(None)
    kl_part = {n: full[n] - without[n] for n in full}
    off = sum(float((got[n] - full[n]).square().sum()) for n in full if n.startswith("encoder"))
    size = sum(float(v.square().sum()) for n, v in kl_part.items() if n.startswith("encoder"))
    return off < 0.15**2 * size and distance(got, full, "decoder") < 0.25


def judge_gradient(calls: Calls, objective: Finding) -> Finding:
    """The gradient with respect to the model is that of minus the mean beta-ELBO, at its true value."""
    expected = "the gradient of -mean(log_px - beta * kl) for encoder and decoder"
    first = calls.calls[0]
    if any("grads" not in c.record and "gradient_trouble" not in c.record for c in calls.calls):
        return failed("gradient", "The loss carries no graph, so loss.backward() cannot train anything.", "loss_without_graph",
                      expected, "requires_grad=False")
    if "gradient_trouble" in first.record:
        return failed("gradient", first.record["gradient_trouble"], None, expected)
    grads = first.record["grads"]
    if not all(g.isfinite().all() for g in grads.values()):
        return failed("gradient", "The gradient of the loss is not finite.", None, expected, "NaN or infinity")
    if not objective.passed:
        return unjudged("gradient", objective) or passed("gradient", "The loss carries a graph; its value is judged above.")
    judged = [c for c in calls.every if "grads" in c.record]
    right = all(gradient_matches(c) for c in judged) or gradient_right_on_average(calls)
    true = all(any(close(c.loss.mean(), want) for want in true_losses(c)) for c in judged)
    causes = [over_calls(calls, lambda call, find=find: find(calls, call)) for find in (find_log_px, find_kl)]
    if right and (true or all(c.passed for c in causes) or loss_is_right_on_average(calls)):
        return passed("gradient", "The gradient is right for encoder and decoder.")
    if not (right and true) and calls.changed_x:
        return failed("gradient", "Your code changes x in place, and the loss is that of another x.", "changes_its_inputs", expected)
    for cause in causes:
        if not cause.passed and not (right and true):
            return failed("gradient", f"The loss is put together right, but {cause.behavior} in it is wrong: see vae.elbo first.",
                          cause.misconception, expected, "the gradient of something else")
    encoder = any(bool(grads[n].any()) for n in grads if n.startswith("encoder"))
    decoder = any(bool(grads[n].any()) for n in grads if n.startswith("decoder"))
    if not encoder and not decoder:
        name = "loss_without_graph"
    elif distance(grads, first.truth.gradient(first.z[0], None, 0.0)) < 0.02:
        name = "kl_without_gradient"
    elif not decoder:
        name = "log_px_without_gradient"
    else:
        name = "kl_without_gradient" if encoder and decoder and not gradient_right_on_average(calls) else "loss_without_graph"
    return failed("gradient", "The loss has the right value but the wrong gradient.", name, expected, "another gradient")


def judge_beta_elbo(calls: Calls) -> list[Finding]:
    objective = over_calls(calls, lambda call: find_objective(calls, call))
    return [objective, judge_gradient(calls, objective)]


CHECKS = (
    Check(
        name="vae.beta_elbo",
        target="VariationalInference",
        title="The loss: minus the mean beta-ELBO",
        behaviors=BEHAVIORS,
        draw=draw_inference,
        probe=probe_inference,
        judge=judge_either(judge_beta_elbo, tuple(BEHAVIORS)),
        hints=HINTS["vae.beta_elbo"],
        misconceptions=misconceptions("vae.beta_elbo"),
        read_on="Lecture 01, what the KL term does",
    ),
)
