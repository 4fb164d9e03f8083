"""Exercise 1d, the loss: minus the mean beta-ELBO, with its gradient."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.laws import shown
from autograder.units.vae import PREAMBLE, elbo
from autograder.units.vae.elbo import ATOL, OBJECTIVE, PARTS, RTOL, same
from autograder.units.vae.inference import FORMS, SOLUTION, Call, Calls, brief, draw, over_calls, replay
from autograder.units.vae.inference_variants import VARIANTS
from autograder.units.vae.probes import probe_inference


def judge_objective(seen: Seen) -> Finding:
    """The loss is one number, -mean(log_px - beta * kl), in terms of the student's own two or of the right two."""
    calls = Calls.of(seen)
    finding = over_calls(calls, in_call)
    if not finding.passed and right_on_average(calls):
        return passed("objective", "The loss is right on average over its samples.")
    return finding


def in_call(call: Call) -> Finding:
    loss, right = call.loss, [-(call.log_px.mean() - call.beta * call.kl.mean()), *call.right_losses()]
    if loss.numel() != 1:
        message = f"The loss must be a single number; yours has shape {list(loss.shape)}."
    elif not loss.isfinite():
        message = "The loss is not finite (NaN or infinity)."
    elif any(same(loss.reshape(()), want) for want in right):
        return passed("objective", "The loss is minus the batch mean of log_px - beta * kl.")
    else:
        message = "The loss is not minus the batch mean of log_px - beta * kl."
    return failed("objective", message, None, f"{float(right[0]):.3f}", shown(loss))


def right_on_average(calls: Calls) -> bool:
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
    return (off / max(sum(float(want[n].square().sum()) for n in names), 1e-30)) ** 0.5


def mean_gradient(gradients: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {n: torch.stack([g[n].double() for g in gradients]).mean(0) for n in gradients[0]}


def exact(call: Call) -> bool:
    """The gradient at the first, the last or all of the latents that were decoded, with either KL."""
    each = {kl: [call.truth.gradient(e, kl, call.beta) for e in call.noise] for kl in ("sample", "closed")}
    wanted = [w for g in each.values() for w in (g[0], g[-1], mean_gradient(g), mean_gradient(g[1:] or g))]
    return any(distance(call.record["grads"], want) < 3e-3 for want in wanted)


def exact_on_average(calls: Calls) -> bool:
    """The mean over many samples of their own: within 15 % of the KL's part.

    Single-sample noise is a few percent of it here; a KL without gradient is off by all of it.
    """
    if not calls.tiled or any("grads" not in c.record or not c.sampled for c in calls.tiled):
        return False
    got = mean_gradient([c.record["grads"] for c in calls.tiled])
    full, without = (mean_gradient([c.truth.gradient(e, "closed", beta) for c in calls.tiled for e in c.noise])
                     for beta in (calls.tiled[0].beta, 0.0))
    kl_part = {n: full[n] - without[n] for n in full}
    zero = {n: torch.zeros_like(v) for n, v in kl_part.items()}
    off = distance({n: got[n] - full[n] + kl_part[n] for n in full}, kl_part, "encoder") if distance(zero, kl_part, "encoder") else 1.0
    return off < 0.15 and distance(got, full, "decoder") < 0.25


def judge_gradient(seen: Seen) -> Finding:
    """The gradient with respect to the model is that of minus the mean beta-ELBO, at its true value."""
    calls = Calls.of(seen)
    expected = "the gradient of -mean(log_px - beta * kl) for encoder and decoder"
    first = calls.calls[0].record
    if any("grads" not in c.record and "gradient_trouble" not in c.record for c in calls.calls):
        return failed("gradient", "The loss carries no graph, so loss.backward() cannot train anything.", "loss_without_graph",
                      expected, "requires_grad=False")
    if "gradient_trouble" in first:
        return failed("gradient", first["gradient_trouble"], None, expected)
    if not all(g.isfinite().all() for g in first["grads"].values()):
        return failed("gradient", "The gradient of the loss is not finite.", None, expected, "NaN or infinity")
    if not any(bool(g.any()) for g in first["grads"].values()):
        return failed("gradient", "The gradient of the loss is zero.", "loss_without_graph", expected, "zero")
    if calls.changed_x:
        return failed("gradient", "Your code changes x in place, and the loss is that of another x.", "changes_its_inputs", expected)
    judged = [c for c in calls.every if "grads" in c.record]
    right = all(exact(c) for c in judged) or exact_on_average(calls)
    true = all(any(same(c.loss.mean(), want) for want in c.right_losses()) for c in judged)
    if right and (true or all(part.judge(seen).passed for part in PARTS) or right_on_average(calls)):
        return passed("gradient", "The gradient is right for encoder and decoder.")
    for part in PARTS:
        if not part.judge(seen).passed:
            message = f"The loss is put together right, but {part.name} in it is wrong: see vae.elbo first."
            return failed("gradient", message, None, expected, "the gradient of something else")
    return failed("gradient", "The loss has the right value but the wrong gradient.", None, expected, "another gradient")


def finite(grads: list[dict[str, Tensor]]) -> bool:
    return all(bool(g.isfinite().all()) for g in grads[0].values())


LOSS = "loss = -beta_elbo.mean()"

MISTAKES = (
    *elbo.MISTAKES,
    Mistake("beta_on_reconstruction", "beta multiplies the reconstruction where it belongs to the KL.",
            "beta-ELBO = log_px - beta * kl (Higgins et al. 2017).", (OBJECTIVE, "beta_elbo = self.beta * log_px - kl")),
    Mistake("beta_on_everything", "beta multiplies both terms.", "beta-ELBO = log_px - beta * kl: only the KL is weighted.",
            (OBJECTIVE, "beta_elbo = self.beta * (log_px - kl)")),
    Mistake("loss_not_negated", "The loss is not negated: minimizing it makes the bound worse.",
            "Optimizers go downhill: loss = -beta_elbo.mean().", (LOSS, "loss = beta_elbo.mean()")),
    Mistake("loss_summed", "The loss is summed over the batch.",
            "Take the mean over examples, so that the step size does not depend on the batch size.", (LOSS, "loss = -beta_elbo.sum()")),
    Mistake("loss_not_reduced", "The loss has a value for each example.", "backward() needs a single number: loss = -beta_elbo.mean().",
            (LOSS, "loss = -beta_elbo")),
    Mistake("wrong_loss_shape", "The loss is not a single number.", "Reduce over pixels and latents by a sum, over the batch by a mean.",
            (LOSS, "loss = -(log_px.mean() - self.beta * (qz.log_prob(z) - pz.log_prob(z)).mean(dim=0))")),
    Mistake("kl_left_out", "The KL is left out of the loss.", "loss = -(log_px - beta * kl).mean(). Without the KL this is an autoencoder.",
            (OBJECTIVE, "beta_elbo = log_px")),
    Mistake("log_px_left_out", "log_px is left out of the loss.", "loss = -(log_px - beta * kl).mean().",
            (OBJECTIVE, "beta_elbo = -self.beta * kl")),
    Mistake("beta_ignored", "beta is ignored in the loss.",
            "loss = -(log_px - beta * kl).mean(), with the beta that the object was made with.", (OBJECTIVE, "beta_elbo = log_px - kl")),
    Mistake("beta_squared", "beta enters the loss twice, as beta squared.", "Weight the KL with beta once.",
            (OBJECTIVE, "beta_elbo = log_px - self.beta**2 * kl")),
    Mistake("beta_twice", "The KL is subtracted twice, once with and once without beta.",
            "loss = -(log_px - beta * kl).mean(); do not start from elbo.", (OBJECTIVE, "beta_elbo = elbo - self.beta * kl")),
    Mistake("beta_divides", "The KL is divided by beta.", "beta-ELBO = log_px - beta * kl.",
            (OBJECTIVE, "beta_elbo = log_px - kl / self.beta")),
    Mistake("loss_without_graph", "The loss carries no gradient.",
            "Nothing on the way to the loss may be detached, under no_grad, or turned into a number by .item().",
            (LOSS, "loss = -beta_elbo.mean().item()"), (LOSS, "loss = torch.tensor(-beta_elbo.mean().item(), requires_grad=True)")),
    Mistake("kl_without_gradient", "The KL in the loss carries no gradient, or a wrong one.",
            "Nothing in the KL may be detached; a fresh sample for it needs rsample(), not sample().",
            (OBJECTIVE, "beta_elbo = log_px - self.beta * kl.detach()")),
    Mistake("log_px_without_gradient", "log_px in the loss does not train both encoder and decoder.",
            "Do not detach log_px, and decode the sample as the model returns it.",
            (OBJECTIVE, "beta_elbo = log_px.detach() - self.beta * kl")),
)

EXERCISES = (
    Exercise(name="vae.beta_elbo", target="VariationalInference", title="The loss: minus the mean beta-ELBO",
        read_on="Lecture 01, what the KL term does", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_inference, replay=replay,
        brief=brief, forms=FORMS, kinds={"images": "", "flat": "flat_pixels_only"},
        laws=(
            *(replace(part, points=0) for part in PARTS), elbo.silent("elbo"),
            Behavior("objective", 3, judge_objective, lambda outputs: elbo.diagnostics(outputs, "loss"), ("log_px", "kl"), own=True,
                     rtol=RTOL, atol=ATOL),
            Behavior("gradient", 2, judge_gradient, lambda outputs: elbo.diagnostics(outputs, "grads"), "objective", sound=finite,
                     rtol=2e-3, atol=2e-3),
        ), mistakes=MISTAKES, variants=VARIANTS,
        hints=(
            "Which of the two terms does beta weight? And does an optimizer go up or down?",
            "beta_elbo = log_px - beta * kl for each example; the loss is one number that has to become small.",
            "loss = -(log_px - self.beta * kl).mean()",
        )),
)
