"""Exercise 1d, the loss: minus the mean beta-ELBO, with its gradient."""

from dataclasses import replace

from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.units.vae import PREAMBLE, elbo
from autograder.units.vae.elbo import OBJECTIVE, PARTS, values
from autograder.units.vae.inference import FORMS, SOLUTION, VARIANTS, brief, calls_of, draw, replay
from autograder.units.vae.probes import probe_inference


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
        if call.changed_x:
            return failed("gradient", "Your code changes x in place, and the loss is that of another x.", "changes_its_inputs", expected)
        if not any(near(slopes, want) for want in call.gradients()):
            wrong = next((f"{part.name} in it is wrong: see vae.elbo first" for part in PARTS if not part.judge(seen).passed),
                         "its gradient is not")
            return failed("gradient", f"The loss is put together right, but {wrong}.", None, expected, "another")
    return passed("gradient", "The gradient is right for encoder and decoder.")


def near(got: dict[str, Tensor], want: dict[str, Tensor]) -> bool:
    """Whether the gradient for every parameter is right but for rounding."""
    return all(float((got[name] - slope).norm()) <= 3e-3 * float(slope.norm()) for name, slope in want.items())


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
            "Detach nothing in the KL; a fresh sample needs rsample().", (OBJECTIVE, "beta_elbo = log_px - self.beta * kl.detach()")),
    Mistake("log_px_without_gradient", "log_px in the loss does not train both encoder and decoder.",
            "Do not detach log_px, nor the sample that is decoded.", (OBJECTIVE, "beta_elbo = log_px.detach() - self.beta * kl")),
)

EXERCISES = (
    Exercise(name="vae.beta_elbo", target="VariationalInference", title="The loss: minus the mean beta-ELBO",
        read_on="Lecture 01, what the KL term does", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_inference, replay=replay,
        brief=brief, forms=FORMS, kinds={"images": "", "flat": "flat_pixels_only"},
        laws=(
            *(replace(part, points=0) for part in PARTS), elbo.silent(elbo.ELBO), elbo.LOSS,
            Behavior("gradient", 2, judge_gradient, values("slopes"), "objective", rtol=2e-3, atol=2e-3,
                     sound=lambda view: bool(view[0]) and all(isinstance(s, Tensor) and s.isfinite().all() for s in view[0].values())),
        ), mistakes=MISTAKES, variants=VARIANTS,
        hints=(
            "Which of the two terms does beta weight? And does an optimizer go up or down?",
            "beta_elbo = log_px - beta * kl for each example; the loss is one number that has to become small.",
            "loss = -(log_px - self.beta * kl).mean()",
        )),
)
