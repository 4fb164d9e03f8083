"""Exercise 1d: the diagnostics log p(x|z), KL and ELBO of each example; and the loss, minus the mean beta-ELBO, with its gradient."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, failed, passed
from autograder.exercises.laws import agree, shown
from autograder.units.vae import PREAMBLE
from autograder.units.vae.inference import ATOL, FORMS, RTOL, SOLUTION, TERMS, VARIANTS, among, brief, calls_of, draw, replay
from autograder.units.vae.probes import probe_inference


def part(behavior: str, points: int, what: str, name: str = "") -> Behavior:
    """A number of each call: a right one at the latents that were drawn, the same when it is called again."""
    name = name or behavior

    def judge(seen: Seen) -> Finding:
        calls = calls_of(seen)
        if name != "loss" and (trouble := calls[0].record.get("diagnostics_trouble")):
            return failed(behavior, trouble)
        for rounds in zip(seen.outputs["calls"], seen.outputs.get("again", ())):
            first, again = (record[name] for record in rounds)
            if not agree(first, again):
                return failed(behavior, "The same call gives something else the second time.", "state_drifts", shown(first), shown(again))
        for call in calls:
            got, right = call.record[name], getattr(call, name).detach()
            if got.shape != right.shape[1:]:
                message = f"{what} must have the shape {list(right.shape[1:])}; yours has {list(got.shape)}."
            elif among(got, right) or (agree(got, call.own.get(name), RTOL, ATOL) and (name == "elbo" or got.isfinite())):
                continue
            else:
                message = f"{what} is {'wrong' if got.isfinite().all() else 'not finite (NaN or infinity)'}."
            return failed(behavior, message, None, shown(right[0]), shown(got))
        if name == "log_px" and calls[0].changed_x:
            return failed(behavior, "Your code changes x in place.", "changes_its_inputs")
        return passed(behavior, f"{what} is right.")

    return Behavior(behavior, points, judge, values(name), rtol=RTOL, atol=ATOL)


def values(name: str) -> Callable[[dict[str, Any]], list[Any]]:
    """Of every call."""
    return lambda outputs: [record[name] for records in outputs.values() for record in records]


def silent(law: Behavior) -> Behavior:
    """What the other check of the class judges; here it tells a beta in the wrong place from two values that changed places."""
    return replace(law, points=0, judge=lambda seen: passed(law.name), after="", own=False)


PARTS = (part("log_px", 1, "log p(x|z) of each example"), part("kl", 1, "The KL of each example"))
ELBO = replace(part("elbo", 2, "elbo = log_px - kl of each example"), after="log_px kl", own=True)
LOSS = replace(part("objective", 3, "The loss, minus the batch mean of log_px - beta * kl,", "loss"), after="log_px kl", own=True)


def judge_detached(seen: Seen) -> Finding:
    first = seen.outputs["calls"][0]
    if not first["with_graph"]:
        return passed("detached", "The diagnostics carry no graph.")
    if first["no_grad_used"]:
        # Meant to be detached: said, and not charged.
        return passed("detached", "The diagnostics were meant to be detached, but still carry the graph.", "no_grad_does_not_detach")
    return failed("detached", f"{', '.join(first['with_graph'])} still carry the graph of the whole forward pass.",
                  "diagnostics_carry_the_graph", "detached tensors", "requires_grad=True")


def judge_gradient(seen: Seen) -> Finding:
    """The gradient with respect to the model is that of minus the mean beta-ELBO, at its true value."""
    expected = "the gradient of -mean(log_px - beta * kl) for encoder and decoder"

    def near(got: dict[str, Tensor], want: dict[str, Tensor]) -> bool:
        return all(float((got[name] - slope).norm()) <= 3e-3 * float(slope.norm()) for name, slope in want.items())

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


LOG_PX, KL, DIFFERENCE, OBJECTIVE = "reduce(px.log_prob(x))", "kl = reduce(", "elbo = log_px - kl", "beta_elbo = log_px - self.beta * kl"
MEAN, OF_LOG_PX, RECORDED = "loss = -beta_elbo.mean()", '"log_px": log_px.detach()', "diagnostics = {"

DIAGNOSED = (
    Mistake("mean_over_pixels", "log p(x|z) is averaged over pixels where it has to be summed.",
            "An average makes the KL 784 times too heavy: add up the pixels.", (LOG_PX, "px.log_prob(x).flatten(1).mean(dim=1)")),
    Mistake("mean_over_latents", "The KL is averaged over latents where it has to be summed.",
            "The latents of a diagonal Gaussian are independent: their KLs add up.", (KL, "kl = torch.mean(dim=-1, input=")),
    Mistake("log_px_negated", "log_px has the wrong sign.",
            "px.log_prob(x) is the log-probability already; binary cross-entropy is its negative.", (LOG_PX, "-reduce(px.log_prob(x))")),
    Mistake("batch_mean_of_log_px", "log_px is averaged over the batch before anything else.",
            "Keep one value for each example; only the loss takes the mean over the batch.", (LOG_PX, "reduce(px.log_prob(x)).mean()"),
            (LOG_PX, "reduce(px.log_prob(x)).mean().repeat(len(x))")),
    Mistake("batch_mean_of_kl", "The KL is averaged over the batch before anything else.",
            "Keep one value for each example; only the loss takes the mean.", (KL, "kl = (lambda terms: reduce(terms).mean())(")),
    Mistake("batch_sum", "A diagnostic is summed over the batch.", "Sum over pixels or latents and keep the batch dimension.",
            (LOG_PX, "px.log_prob(x).sum()")),
    Mistake("squared_error_for_log_px", "A squared error stands where log p(x|z) belongs.", "The pixels are Bernoulli: use px.log_prob(x).",
            (LOG_PX, "-reduce((x - px.mean) ** 2)")),
    Mistake("probability_for_log_px", "p(x|z) stands where its logarithm belongs.",
            "Stay with logarithms: the probability of 784 pixels is zero in floating point.", (LOG_PX, "reduce(px.log_prob(x)).exp()")),
    Mistake("density_underflows", "The product over 784 pixels underflows to zero before the logarithm is taken.",
            "Add up log-probabilities; multiply no probabilities.", (LOG_PX, "px.log_prob(x).exp().flatten(1).prod(dim=1).log()")),
    Mistake("decodes_the_mean", "log p(x|z) is taken at the mean of q(z|x), not at a sample.",
            "Use the px that the model made from the sample z ~ q(z|x).", (LOG_PX, "reduce(model.observation_model(qz.mu).log_prob(x))")),
    Mistake("bits_for_nats", "These are bits, and nats are asked for.", "Logarithms here are natural: do not divide by log 2.",
            ((LOG_PX, "reduce(px.log_prob(x)) / math.log(2)"), (KL, "kl = 1 / math.log(2) * reduce("))),
    Mistake("log_px_and_kl_swapped", "log_px and kl have changed places in the diagnostics.", "Each value belongs under its own name.",
            ((OF_LOG_PX, '"log_px": kl.detach()'), ('"kl": kl.detach()', '"kl": log_px.detach()'))),
    Mistake("beta_inside_kl", "The diagnostic kl contains beta.", "kl is the KL itself, whatever beta is; beta appears in the loss alone.",
            (KL, "kl = self.beta * reduce("), ((KL, "kl = self.beta * reduce("), (OBJECTIVE, "beta_elbo = log_px - kl"))),
    Mistake("beta_in_elbo", "elbo contains beta.", "elbo = log_px - kl for any beta; beta appears in the loss alone.",
            (DIFFERENCE, "elbo = log_px - self.beta * kl")),
    Mistake("elbo_and_beta_elbo_swapped", "elbo and beta_elbo are swapped.", "The loss takes beta_elbo; the diagnostic elbo has no beta.",
            ((DIFFERENCE, "elbo = log_px - self.beta * kl"), (OBJECTIVE, "beta_elbo = log_px - kl"))),
    Mistake("elbo_is_log_px", "elbo is log_px alone; the KL is missing.", "elbo = log_px - kl.", (DIFFERENCE, "elbo = log_px")),
    Mistake("elbo_is_kl", "elbo is the KL alone; log_px is missing.", "elbo = log_px - kl.", (DIFFERENCE, "elbo = -kl")),
    Mistake("elbo_negated", "elbo has the wrong sign.", "elbo = log_px - kl; the loss has the minus.", (DIFFERENCE, "elbo = kl - log_px")),
    Mistake("kl_added", "The KL is added where it has to be subtracted.", "ELBO = log_px - kl: the KL is a price that is paid.",
            ((DIFFERENCE, "elbo = log_px + kl"), (OBJECTIVE, "beta_elbo = log_px + self.beta * kl"))),
    Mistake("kl_sign_flipped", "The KL has the wrong sign.", "kl = log q(z|x) - log p(z): its mean is at least 0.", (KL, "kl = -reduce(")),
    Mistake("kl_reversed", "This is KL(p||q), and KL(q||p) is asked for.",
            "The expectation is over q: kl_divergence(qz, pz).", (TERMS, "qz.log_sigma + (1 + qz.mu**2) / (2 * qz.sigma**2) - 0.5")),
    Mistake("log_variance_for_log_sigma", "The closed-form KL reads log_sigma as a log-variance.",
            "With log_sigma given, sigma^2 = exp(2 log_sigma).", (TERMS, "-0.5 * (1 + qz.log_sigma - qz.mu**2 - qz.log_sigma.exp())")),
    Mistake("variance_for_standard_deviation", "The closed-form KL has sigma where it needs sigma squared.",
            "KL = sum of (sigma^2 + mu^2 - 1) / 2 - log sigma.", (TERMS, "0.5 * (qz.sigma + qz.mu**2 - 1) - qz.log_sigma")),
    Mistake("missing_half_in_kl", "The KL is twice what it should be: a factor 1/2 is missing.",
            "KL = sum of (sigma^2 + mu^2 - 1 - log sigma^2) / 2.",
            (TERMS, "qz.sigma**2 + qz.mu**2 - 1 - 2 * qz.log_sigma"), (KL, "kl = 2 * reduce(")),
    Mistake("kl_without_log_sigma", "The closed-form KL lacks its term -log sigma.", "KL = sum of (sigma^2 + mu^2 - 1) / 2 - log sigma.",
            (TERMS, "0.5 * (qz.sigma**2 + qz.mu**2 - 1)")),
    Mistake("prior_missing_in_kl", "The KL lacks the prior.", "kl = log q(z|x) - log p(z).", (TERMS, "qz.log_prob(z)")),
    Mistake("posterior_missing_in_kl", "The KL lacks the posterior q(z|x).", "kl = log q(z|x) - log p(z).", (TERMS, "-pz.log_prob(z)")),
    Mistake("kl_terms_added", "log q(z|x) and log p(z) are added where their difference is needed.", "kl = log q(z|x) - log p(z).",
            (TERMS, "qz.log_prob(z) + pz.log_prob(z)")),
    Mistake("kl_clamped", "The KL's estimate is cut off at zero.", "One sample of log q - log p may be negative; cut off, it is too large.",
            (KL, "kl = (lambda terms: reduce(terms).clamp(min=0))("), (KL, "kl = (lambda terms: reduce(terms).abs())(")),
    Mistake("constant_in_kl", "The KL is off by a constant.", "The -1/2 belongs to each latent, and log 2 pi cancels.",
            (TERMS, "0.5 * (qz.sigma**2 + qz.mu**2) - qz.log_sigma")),
    Mistake("sigma_for_log_sigma", "The closed-form KL takes sigma where log sigma belongs.",
            "The terms are sigma^2 and -log(sigma^2).", (TERMS, "0.5 * (qz.sigma.exp() + qz.mu**2 - 1 - qz.sigma)")),
    Mistake("prior_counted_twice", "log p(z) is counted twice.", "The KL contains log p(z) already: elbo = log_px - kl.",
            (DIFFERENCE, "elbo = log_px + reduce(pz.log_prob(z)) - kl")),
    Mistake("no_grad_does_not_detach", "`with torch.no_grad():` does not detach tensors that are finished already.",
            "Nothing is lost here. To drop the graph of a finished tensor call .detach() on it.",
            ((RECORDED, f"with torch.no_grad():\n            {RECORDED}"), (".detach()", ""))),
    Mistake("batch_mean_before_subtracting", "One of the two terms is averaged over the batch before the subtraction.",
            "Subtract example by example, log_px - kl, both of shape (batch,); the loss takes the mean afterwards.",
            (DIFFERENCE, "elbo = log_px.mean() - kl"), (DIFFERENCE, "elbo = log_px - kl.mean()")),
    Mistake("batch_mean_of_elbo", "elbo is averaged over the batch.",
            "The diagnostics keep one value for each example; the loss takes the mean.", (DIFFERENCE, "elbo = (log_px - kl).mean()")),
    Mistake("silent_broadcasting", "A (batch,) and a (batch, 1) tensor broadcast to (batch, batch).",
            "Both terms must have shape (batch,): each sums over all dimensions but the first, without keepdim.",
            (KL, "kl = torch.sum(dim=-1, keepdim=True, input="), (DIFFERENCE, "elbo = log_px.unsqueeze(1) - kl")),
    Mistake("scalar_diagnostics", "The diagnostics are single numbers.",
            "Return one value for each example, shape (batch,); averages are made from them later.", (".detach()", ".mean().detach()")),
    Mistake("not_summed", "Dimensions are left that have to be summed.", "Sum over all dimensions but the first: `reduce` does.",
            ((OF_LOG_PX, '"log_px": px.log_prob(x).detach()'), ('"kl": kl.detach()', f'"kl": ({TERMS}).detach()'))),
    Mistake("wrong_shape", "A diagnostic has the wrong shape.", "Each has the shape (batch,).", (OF_LOG_PX, f"{OF_LOG_PX}[None]")),
    Mistake("diagnostics_carry_the_graph", "The diagnostics still carry the graph.", "Append .detach(), or every batch's graph is held.",
            (".detach()", "")),
    Mistake("state_drifts", "The result changes from call to call.",
            "forward must not change the object: leave self.beta and other attributes alone.",
            (OBJECTIVE, f"{OBJECTIVE}\n        self.beta = self.beta + 0.1"),
            (DIFFERENCE, f"{DIFFERENCE} + getattr(self, 'calls', 0)\n        self.calls = 1")),
    Mistake("changes_its_inputs", "x is changed in place.", "Methods ending in an underscore, and +=, overwrite x: make a new tensor.",
            ("outputs = model(x)", "outputs = model(x.clamp_(0.01, 0.99))")),
    Mistake("flat_pixels_only", "This sums over one dimension only.",
            "Images have shape (batch, 1, 28, 28): sum over all dimensions but the first.", (LOG_PX, "px.log_prob(x).sum(dim=1)")),
)
OF_THE_LOSS = (
    Mistake("beta_on_reconstruction", "beta multiplies the reconstruction where it belongs to the KL.",
            "beta-ELBO = log_px - beta * kl (Higgins et al. 2017).", (OBJECTIVE, "beta_elbo = self.beta * log_px - kl")),
    Mistake("beta_on_everything", "beta multiplies both terms.", "beta-ELBO = log_px - beta * kl: only the KL is weighted.",
            (OBJECTIVE, "beta_elbo = self.beta * (log_px - kl)")),
    Mistake("loss_not_negated", "The loss is not negated: minimizing it makes the bound worse.",
            "Optimizers go downhill: loss = -beta_elbo.mean().", (MEAN, "loss = beta_elbo.mean()")),
    Mistake("loss_summed", "The loss is summed over the batch.", "Take the mean: then the step size does not depend on the batch size.",
            (MEAN, "loss = -beta_elbo.sum()")),
    Mistake("loss_not_reduced", "The loss has a value for each example.", "backward() needs a single number: loss = -beta_elbo.mean().",
            (MEAN, "loss = -beta_elbo")),
    Mistake("wrong_loss_shape", "The loss is not a single number.", "Reduce over pixels and latents by a sum, over the batch by a mean.",
            (MEAN, f"loss = -(log_px.mean() - self.beta * ({TERMS}).mean(dim=0))")),
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
    Mistake("beta_divides", "The KL is divided by beta.", "Weight the KL: beta * kl.", (OBJECTIVE, "beta_elbo = log_px - kl / self.beta")),
    Mistake("loss_without_graph", "The loss carries no gradient.",
            "Nothing on the way to the loss may be detached, under no_grad, or turned into a number by .item().",
            (MEAN, f"{MEAN}.item()"), (MEAN, "loss = torch.tensor(-beta_elbo.mean().item(), requires_grad=True)")),
    Mistake("kl_without_gradient", "The KL in the loss carries no gradient, or a wrong one.",
            "Detach nothing in the KL; a fresh sample needs rsample().", (OBJECTIVE, "beta_elbo = log_px - self.beta * kl.detach()")),
    Mistake("log_px_without_gradient", "log_px in the loss does not train both encoder and decoder.",
            "Do not detach log_px, nor the sample that is decoded.", (OBJECTIVE, "beta_elbo = log_px.detach() - self.beta * kl")),
)

DIAGNOSTICS = Exercise(
    name="vae.elbo", target="VariationalInference", title="The ELBO and its two parts, for each example",
    read_on="Lecture 01, the evidence lower bound", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probe_inference,
    replay=replay, brief=brief, forms=FORMS, kinds={"images": "", "flat": "flat_pixels_only"},
    laws=(*PARTS, ELBO, Behavior("detached", 1, judge_detached, after="log_px kl", own=True), silent(LOSS)),
    mistakes=DIAGNOSED, variants=VARIANTS,
    hints=(
        "The model's outputs hold everything: how well z explains x, and how far q(z|x) is from the prior.",
        "log_px = log p(x|z) and kl = log q(z|x) - log p(z), each summed over all dimensions but the first.",
        "log_px = reduce(px.log_prob(x)); kl = reduce(qz.log_prob(z) - pz.log_prob(z)); elbo = log_px - kl.",
    ))
OF_MODEL = Behavior("gradient", 2, judge_gradient, values("slopes"), "objective", rtol=2e-3, atol=2e-3,
                    sound=lambda view: bool(view[0]) and all(isinstance(s, Tensor) and s.isfinite().all() for s in view[0].values()))
EXERCISES = (
    DIAGNOSTICS,
    replace(DIAGNOSTICS, name="vae.beta_elbo", title="The loss: minus the mean beta-ELBO", read_on="Lecture 01, what the KL term does",
            laws=(*(replace(part, points=0) for part in PARTS), silent(ELBO), LOSS, OF_MODEL), mistakes=(*DIAGNOSED, *OF_THE_LOSS), hints=(
                "Which of the two terms does beta weight? And does an optimizer go up or down?",
                "beta_elbo = log_px - beta * kl for each example; the loss is one number that has to become small.",
                "loss = -(log_px - self.beta * kl).mean()",
            )),
)
