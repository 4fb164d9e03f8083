"""Exercise 2k, optional: a surrogate with the doubly reparameterized gradient."""

from autograder.exercises.exercise import Behavior, Exercise, Finding, Mistake, Seen, double, failed, passed, run, wrapped
from autograder.units.iwae import PREAMBLE, probes
from autograder.units.iwae.laws import directions, flat, near
from autograder.units.iwae.sampled import calls_of, draw_sampled, replay

SOLUTION = '''\
def dreg_surrogate(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """Its gradient with respect to the encoder is the doubly reparameterized one of L_K; its value means nothing. Shape (batch,)."""
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)
    weights = torch.softmax(log_w, dim=0).detach()
    return (weights.square() * log_w).sum(dim=0)
'''
RESULT, WEIGHTS = "(weights.square() * log_w).sum(dim=0)", "weights = torch.softmax(log_w, dim=0).detach()"
UNSTOPPED = "log_w + (stopped.log_prob(z) - qz.log_prob(z)).sum(-1)"
MEAN = ((f"return {RESULT}", f"return {RESULT}.mean()"),)


def judge(seen: Seen) -> Finding:
    """The gradient of the sum over examples, or of their mean, for the encoder; what the decoder gets is another matter."""
    call, got, expected = calls_of(seen)["usual"], encoder(seen.outputs), "squared normalized weights on the path through z"
    if call.value.shape not in ((call.batch,), ()):
        return failed("gradient", f"The surrogate must have shape [{call.batch}] or be a scalar.", None, f"[{call.batch}]")
    if "trouble" in got or not got:
        message, sign = (got["trouble"], None) if got else ("No gradient comes out of it.", "bound_without_graph")
        return failed("gradient", message, sign, expected, "none")
    mean = run(seen.exercise, seen.exercise.source(*MEAN), double(seen.replayed))
    if any(near(flat(got), flat(encoder(right))) for right in (seen.right, mean)):
        return passed("gradient", "The encoder gets the doubly reparameterized gradient.")
    return failed("gradient", "The encoder gets another gradient.", None, expected, "another gradient")


def encoder(outputs: dict) -> dict:
    slopes = outputs["usual"]["slopes"]
    return {name: slope for name, slope in slopes.items() if name.startswith(("encoder", "trouble"))}


MISTAKES = (
    Mistake("gradient_of_the_bound", "The encoder gets the gradient of L_K itself.", "Stop q's parameters in log q; square the weights.",
            (RESULT, f"(torch.logsumexp({UNSTOPPED}, dim=0) - math.log(num_samples))")),
    Mistake("weights_not_squared", "The weights are not squared.",
            "The encoder's gradient has the squared normalized weights (Tucker et al. 2019, equation 8).", (".square()", "")),
    Mistake("weights_carry_gradient", "The gradient also goes through the weights.", "Stop them: softmax(log_w, 0).detach().",
            (WEIGHTS, f"weights = torch.softmax({UNSTOPPED}, dim=0)"), (WEIGHTS, WEIGHTS.replace(".detach()", ""))),
    Mistake("posterior_not_stopped", "The parameters of q are not stopped in log q(z|x).",
            "Stop qz.mu and qz.sigma there by detach(); z keeps its gradient.", ("Normal(qz.mu.detach(), qz.sigma.detach())", "qz")),
    Mistake("sign_flipped", "The gradient points the wrong way.", "The surrogate has to become large: return it without a minus.",
            wrapped("-value")),
    Mistake("bound_without_graph", "The surrogate carries no gradient.",
            "Only the weights and q's parameters in log q are stopped; z keeps its gradient.", wrapped("value.detach()")),
)

VARIANTS = {
    "a hook on z": ("return (weights.square()", "z.register_hook(lambda grad: weights.unsqueeze(-1) * grad)\n    return (weights"),
    "the mean over the batch": MEAN,
}

HINTS = (
    "Two things are stopped: the parameters of q inside log q, and the weights. What is left is the path through z.",
    "Build q anew from qz.mu.detach() and qz.log_sigma.detach() for log q(z|x), but sample z from the q that has its gradient.",
    "weights = softmax(log_w, 0).detach() with log_w from the stopped q; return (weights.square() * log_w).sum(0)",
)


def draw(rng) -> dict:
    inputs = draw_sampled(rng, "dreg_surrogate(model, x, num_samples)", False, ("usual",))
    return inputs | {"cases": {"usual": inputs["cases"]["usual"]}, "kind": "images"}


EXERCISES = (
    Exercise(name="iwae.dreg", target="dreg_surrogate", title="A surrogate with the doubly reparameterized gradient",
        read_on="Lecture 02, the encoder's gradient", solution=SOLUTION, preamble=PREAMBLE, draw=draw, probe=probes.probe_sampled,
        replay=replay,
        laws=(Behavior("gradient", 2, judge, lambda outputs: directions(encoder(outputs)), rtol=1e-3, atol=3e-4),), mistakes=MISTAKES,
        variants=VARIANTS, hints=HINTS, forms=(MEAN,), kinds={"images": ""}, bonus=True),
)
