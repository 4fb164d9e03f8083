"""Exercise 1d, the loss: minus the mean beta-ELBO, with its gradient."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.laws import agree, shown
from autograder.units.vae import PREAMBLE, elbo
from autograder.units.vae.elbo import OBJECTIVE, PARTS, drifts, values
from autograder.units.vae.inference import ATOL, FORMS, RTOL, SOLUTION, VARIANTS, Call, among, brief, calls_of, draw, replay
from autograder.units.vae.probes import probe_inference


def judge_objective(seen: Seen) -> Finding:
    """The loss is one number, -mean(log_px - beta * kl), in terms of the student's own two or of the right two."""
    if fault := drifts(seen, "loss", "objective"):
        return fault
    return next((fault for fault in map(wrong_loss, calls_of(seen)) if fault),
                passed("objective", "The loss is minus the batch mean of log_px - beta * kl."))


def wrong_loss(call: Call) -> Finding | None:
    loss, own = call.record["loss"], -(call.record["log_px"].double().mean() - call.beta * call.record["kl"].double().mean())
    if loss.numel() != 1:
        message = f"The loss must be a single number; yours has shape {list(loss.shape)}."
    elif not loss.isfinite():
        message = "The loss is not finite (NaN or infinity)."
    elif agree(loss.reshape(()), own, RTOL, ATOL) or among(loss.reshape(()), call.losses):
        return None
    else:
        message = "The loss is not minus the batch mean of log_px - beta * kl."
    return failed("objective", message, None, f"-mean(log_px - {call.beta:.3g} kl) = {float(own):.3f}", shown(loss))


def judge_gradient(seen: Seen) -> Finding:
    """The gradient with respect to the model is that of minus the mean beta-ELBO, at its true value."""
    expected = "the gradient of -mean(log_px - beta * kl) for encoder and decoder"
    for call in calls_of(seen)[: len(seen.inputs["calls"])]:
        slopes = call.record["slopes"]
        if "trouble" in slopes:
            return failed("gradient", slopes["trouble"], None, expected)
        if not any(bool(slope.any()) for slope in slopes.values()):
            return failed("gradient", "The loss carries no gradient, so loss.backward() cannot train anything.", "loss_without_graph",
                          expected, "none, or zero")
        if not all(slope.isfinite().all() for slope in slopes.values()):
            return failed("gradient", "The gradient of the loss is not finite.", None, expected, "NaN or infinity")
        if call.changed_x:
            return failed("gradient", "Your code changes x in place, and the loss is that of another x.", "changes_its_inputs", expected)
        if not any(near(slopes, want) for want in call.gradients()):
            wrong = next((f"{part.name} in it is wrong: see vae.elbo first" for part in PARTS if not part.judge(seen).passed), "")
            return failed("gradient", f"The loss is put together right, but {wrong or 'its gradient is not'}.", None, expected, "another")
    return passed("gradient", "The gradient is right for encoder and decoder.")


def near(got: dict[str, Tensor], want: dict[str, Tensor]) -> bool:
    """Whether the gradient for every parameter is right but for rounding."""
    return all(float((got[name] - slope).norm()) <= 3e-3 * float(slope.norm()) for name, slope in want.items())


def finite(view: list[dict[str, Any]]) -> bool:
    return bool(view[0]) and all(isinstance(slope, Tensor) and bool(slope.isfinite().all()) for slope in view[0].values())


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
            Behavior("objective", 3, judge_objective, values("loss"), "log_px kl", own=True, rtol=RTOL, atol=ATOL),
            Behavior("gradient", 2, judge_gradient, values("slopes"), "objective", sound=finite, rtol=2e-3, atol=2e-3),
        ), mistakes=MISTAKES, variants=VARIANTS,
        hints=(
            "Which of the two terms does beta weight? And does an optimizer go up or down?",
            "beta_elbo = log_px - beta * kl for each example; the loss is one number that has to become small.",
            "loss = -(log_px - self.beta * kl).mean()",
        )),
)
