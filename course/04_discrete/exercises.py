# %% [markdown]
# # 4 · Discrete latents: exercises
#
# **Goals**
# - you can compute an expectation over discrete codes exactly, and know when that is possible
# - you can write the score-function estimator and its leave-one-out baseline, and say why both are unbiased
# - you can draw Gumbel-softmax samples, soft and hard, and say what their gradient is the gradient of
# - you can measure the bias and the variance of a gradient, without fooling yourself
# - you can train a VAE with $10^{20}$ codes, and notice when one has collapsed
#
# **Prerequisites**: the [lecture of this unit](../../course/04_discrete/lecture.ipynb); unit 01 (the ELBO, the score function in its exercise 1f); logsumexp. Unit 02's bound helps in exercise 6a.
#
# **Time**: 100 to 120 minutes
#
# **Points**: 50

# %% [markdown]
# **How this works.** You fill the cells that say `# YOUR CODE HERE`. Each is followed by a cell with `check(...)`: run it as
# often as you like. It draws fresh random problems, calls your code, and shows ✓ with your points or says what it
# expected, what came, and which mistake that looks like. Stuck? `hint("discrete.kl")` in any cell gives a nudge;
# call it again and it says more (three levels, no points lost). `progress("discrete")` shows where you stand.
# The questions in words are marked by a person.
#
# **Notation.** Each image $x$ has $L$ latents, each of them one of $C$ classes. A *code* $z$ says one class for each latent, written one-hot. The encoder gives
# *logits*, one for each latent and class; they need not be normalized. A *cost* is a function $f(z)$, here $-\log p_\theta(x\mid z)$, in nats.
# **One shape convention holds everywhere: (samples, batch, ...).**
#
# | | shape |
# |---|---|
# | `logits` | `(batch, L, C)` |
# | codes `z`, one-hot or relaxed | `(samples, batch, L, C)`; `(N, 1, L, C)` for the same $N$ codes for every image |
# | cost `f(z)`, and `log_q` | `(samples, batch)` |
# | estimates | `(batch,)` |
#
# Run the first cell now. It needs a few seconds.

# %%
from importlib.util import find_spec

missing = [name for name in ("autograder", "elbolab") if find_spec(name) is None]
if missing:
    raise ModuleNotFoundError(
        f"This notebook cannot find {' and '.join(missing)}: start it with `make lab` in the course's folder, "
        "or run `pip install .` there and restart this kernel."
    )

import math
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategorical

from autograder import check, hint, progress
from elbolab.data import load_mnist
from elbolab.discrete import CategoricalVAE
from elbolab.gradients import gradient_draws
from elbolab.training import evaluate, fit

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#777777"  # told apart by color-blind readers, too
IMAGE = (1, 28, 28)
digits = load_mnist(binarize="dynamic")  # training images are binarized anew for each batch, validation images once
pixel_means = digits.train.images.mean(0)  # the decoder's output starts here: a model without latents

# %% [markdown]
# ## 1 · When you can count, count
#
# Two latents of ten classes: an image is described by a pair such as (3, 7). There are only 100 pairs, so everything that unit 01 had to sample can be
# *added up*. We do that first. It gives us the truth against which every estimator is held later.

# %% [markdown]
# ### Exercise 1a: the price of a code
# Difficulty: ●○○ · Time: 6 min · Points: 4
#
# The prior is uniform: each latent's class has probability $1/C$. The latents are independent under $q$ and under $p$, so
#
# $$ \mathrm{KL}(q\,\|\,p) = \sum_{l=1}^{L}\sum_{c=1}^{C} q_{lc}\,\big(\log q_{lc} + \log C\big), \qquad 0 \le \mathrm{KL} \le L \log C. $$
#
# **Write** `categorical_kl(logits)`. The logits are not normalized: `log_softmax` over the classes makes log-probabilities of them.
#
# | | shape |
# |---|---|
# | `logits` | `(batch, L, C)` |
# | result | `(batch,)`, in nats |
#
# **What the check looks at.** Values for any $L$ and $C$; a class of probability zero ($0 \log 0$ is 0, not NaN); the gradient; `logits` unchanged.
#
# Hints: `hint("discrete.kl")`.

# %% nbgrader={"grade": false, "grade_id": "categorical_kl", "locked": false, "schema_version": 3, "solution": true, "task": false}
def categorical_kl(logits: Tensor) -> Tensor:
    """KL(q || uniform) of L categorical latents, logits (batch, L, C), in nats; shape (batch,)."""
    ### BEGIN SOLUTION
    log_q = logits.log_softmax(dim=-1)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(dim=(-2, -1))
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_kl", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.kl", categorical_kl)

# %% [markdown]
# ### Exercise 1b: every image under every code
# Difficulty: ●●○ · Time: 7 min · Points: 4
#
# The decoder turns a code into one logit $\ell_d$ for each pixel. It does *not* look at $x$. So decode the 100 codes once, and use them for the whole batch. For binary pixels
#
# $$ \log p(x\mid z) = \sum_d \big[ x_d\,\ell_d(z) - \log(1 + e^{\ell_d(z)}) \big], $$
#
# and the first term, for all codes and all images at once, is a product of two matrices.
#
# **Write** `code_log_likelihood(pixel_logits, x)`. `nn.functional.softplus(t)` is $\log(1+e^t)$ without overflow. Sum over pixels, do not average: a mean makes the KL 784 times too dear, and the model collapses.
#
# | | shape |
# |---|---|
# | `pixel_logits` | `(codes, D)` |
# | `x`, zeros and ones | `(batch, D)` |
# | result | `(codes, batch)`, in nats |
#
# **What the check looks at.** The values; logits of several hundred; the gradient with respect to `pixel_logits`; both arguments unchanged.
#
# Hints: `hint("discrete.log_likelihood")`.

# %% nbgrader={"grade": false, "grade_id": "code_log_likelihood", "locked": false, "schema_version": 3, "solution": true, "task": false}
def code_log_likelihood(pixel_logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of binary images x (batch, D) under each code's pixel logits (codes, D), in nats; shape (codes, batch)."""
    ### BEGIN SOLUTION
    normalizer = nn.functional.softplus(pixel_logits).sum(dim=-1, keepdim=True)  # (codes, 1)
    return pixel_logits @ x.T - normalizer
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_log_likelihood", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.log_likelihood", code_log_likelihood)

# %% [markdown]
# ### Exercise 1c: the expectation, exactly
# Difficulty: ●●○ · Time: 12 min · Points: 4
#
# $$ \mathbb E_{q}[f(z)] = \sum_{z} q(z)\,f(z), \qquad q(z) = \prod_{l} q_{l, z_l}, $$
#
# where the sum runs over all *joint* states. The cost looks at all latents at once, so two latents of ten classes have $10^2 = 100$ terms; going through the
# $2\cdot 10 = 20$ classes one latent at a time is another sum. The gradient needs no trick: $q(z)$ is a smooth function of the logits.
#
# **Write** `expected_cost(f, logits)`: list the $C^L$ states, make them one-hot codes of shape `(C**L, 1, L, C)`, ask `f` once about all of them, and weight what it says. `f` takes codes
# `(N, 1, L, C)` or `(N, batch, L, C)` and returns `(N, batch)`.
#
# `torch.cartesian_prod(*[torch.arange(C)] * L)` lists the joint states as `(C**L, L)` integers (for $L=1$ as a vector: `.reshape(-1, L)`), `nn.functional.one_hot` makes them one-hot.
#
# **What the check looks at.** For several problems, also with one and three latents: the value, the gradient with respect to the logits (through the probabilities) and with respect to
# the parameters inside `f` (through the costs). Nothing is random.
#
# Hints: `hint("discrete.enumeration")`.

# %% nbgrader={"grade": false, "grade_id": "expected_cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_cost(f, logits: Tensor) -> Tensor:
    """E_q[f(z)] over all joint states of the latents, logits (batch, L, C); shape (batch,), exact."""
    ### BEGIN SOLUTION
    latents, classes = logits.shape[-2:]
    states = torch.cartesian_prod(*[torch.arange(classes)] * latents).reshape(-1, latents)  # (C^L, L)
    codes = nn.functional.one_hot(states, classes).to(logits.dtype).unsqueeze(1)  # (C^L, 1, L, C)
    log_q = (codes * logits.log_softmax(dim=-1)).sum(dim=(-2, -1))  # (C^L, batch)
    return (log_q.exp() * f(codes)).sum(dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_enumeration", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.enumeration", expected_cost)

# %% [markdown]
# ### Exercise 1d: the negative ELBO, with any estimator in it
# Difficulty: ●○○ · Time: 7 min · Points: 3
#
# $$ -\mathrm{ELBO}(x) = \mathbb E_{q_\phi(z\mid x)}\big[-\log p_\theta(x\mid z)\big] + \mathrm{KL}\big(q_\phi(z\mid x)\,\|\,p(z)\big) $$
#
# The second term has a closed form. The first is an expectation of a cost, and this unit is about the many ways to estimate it. So the way is an argument: `estimator(f, logits)` takes a cost and logits and returns `(batch,)`.
# `expected_cost` is the first such estimator; more follow.
#
# **Write** the missing lines of `negative_elbo(model, x, estimator)`, with
#
# | | |
# |---|---|
# | `model.logits(x)` | the encoder's logits, `(batch, L, C)` |
# | `model.cost(x)` | the function $f(z) = -\log p(x\mid z)$ |
# | `loss` | `(batch,)`, with gradients to encoder and decoder |
# | `diagnostics` | dictionary with `"elbo"`, `"log_px"` ($\mathbb E_q[\log p(x\mid z)]$) and `"kl"`, each `(batch,)` and detached |
#
# Count the KL once: it is no part of the cost here.
#
# **What the check looks at.** It hands in a model and an estimator of its own: values, shapes and gradients of the loss; the diagnostics.
#
# Hints: `hint("discrete.negative_elbo")`.

# %% nbgrader={"grade": false, "grade_id": "negative_elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
def negative_elbo(model, x: Tensor, estimator) -> tuple[Tensor, dict[str, Tensor]]:
    """-ELBO of images x: loss (batch,) with gradients, and diagnostics elbo, log_px, kl, each (batch,), detached."""
    ### BEGIN SOLUTION
    logits = model.logits(x)  # (batch, L, C)
    cost = estimator(model.cost(x), logits)  # (batch,)
    kl = categorical_kl(logits)  # (batch,)
    loss = cost + kl
    diagnostics = {"elbo": -loss.detach(), "log_px": -cost.detach(), "kl": kl.detach()}
    ### END SOLUTION
    return loss, diagnostics

# %% nbgrader={"grade": true, "grade_id": "check_negative_elbo", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("discrete.negative_elbo", negative_elbo)

# %% [markdown]
# #### Now it learns
#
# The next cell trains the library's `CategoricalVAE` (784-512-256-20, two latents of ten classes, decoder mirrored) with *your* sum over the 100 codes. A model without latents gets about −206 nats.
# `Inference` is what `fit` wants. Without gradients, that is on validation images, it uses the exact expectation whatever the model is trained with, so all numbers can be compared.

# %%
class Inference:
    """Your negative ELBO as `fit` calls it: loss (), diagnostics, outputs."""

    def __init__(self, estimator):
        self.estimator = estimator

    def __call__(self, model, x: Tensor):
        estimator = self.estimator
        if not torch.is_grad_enabled():  # measuring, not training: exact where the codes can be counted, else with hard samples
            estimator = expected_cost if model.enumerable else partial(score_function, num_samples=10)
        loss, diagnostics = negative_elbo(model, x, estimator)
        return loss.mean(), diagnostics, {}


def train(estimator, latents: int = 2, epochs: int = 20, seed: int = 1):
    """A new CategoricalVAE, trained; returns it and its history."""
    torch.manual_seed(seed)
    model = CategoricalVAE(IMAGE, latents=latents, classes=10, pixel_means=pixel_means)
    return model, fit(model, Inference(estimator), digits, epochs=epochs, max_steps=1100, evaluate_every=4)


exact_model, exact_history = train(expected_cost)
print(f"validation ELBO, exact: {exact_history[exact_history.split == 'validation'].elbo.iloc[-1]:.1f} nats")

# %% [markdown]
# All 100 codes, decoded. The first latent chooses the row, the second the column; the frame is darker where more validation images have their code. On the right the posterior of the image that the encoder is least certain of, as a 10 × 10 table; $q$ is a product, so it is a column of probabilities times a row.

# %%
with torch.no_grad():
    codes = exact_model.codes()  # (100, 2, 10)
    pictures = exact_model.decode(codes).sigmoid().view(10, 10, 28, 28)
    posterior = exact_model.logits(digits.validation.images).softmax(-1)  # (images, 2, 10)
    usage = torch.einsum("ni,nj->ij", posterior[:, 0], posterior[:, 1]) / len(posterior)
    unsure = int((posterior * posterior.clamp_min(1e-9).log()).sum((1, 2)).argmin())  # the largest entropy
    one = torch.einsum("i,j->ij", posterior[unsure, 0], posterior[unsure, 1])

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 5.6), layout="constrained", width_ratios=(5, 3))
frame = 0.6 * (usage / usage.max()).sqrt()
tiles = frame[:, :, None, None].repeat(1, 1, 32, 32)
tiles[:, :, 2:30, 2:30] = pictures
left.imshow(tiles.permute(0, 2, 1, 3).reshape(320, 320), cmap="gray_r", vmin=0, vmax=1)
left.set(xticks=range(16, 320, 32), yticks=range(16, 320, 32), xticklabels=range(10), yticklabels=range(10))
left.set(xlabel="class of latent 2", ylabel="class of latent 1", title="100 codes, decoded")
image = right.imshow(one, cmap="Blues", vmin=0)
right.set(xticks=range(10), yticks=range(10), xlabel="class of latent 2", title=f"q(z|x) of a {int(digits.validation.labels[unsure])}")
figure.colorbar(image, ax=right, shrink=0.6, label="probability")
plt.show()

# %% [markdown]
# ## 2 · When you cannot count: the score function
#
# With 20 latents there are $10^{20}$ codes. We must sample. And a sample is a class: it does not move a little when a logit does, so there is nothing to differentiate. The way out is to let the *probability* of the sample carry the gradient,
#
# $$ \nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \sum_z f(z)\,\nabla_\phi\, q_\phi(z) = \mathbb E_{q_\phi}\big[f(z)\,\nabla_\phi \log q_\phi(z)\big], \qquad \nabla_\theta\, \mathbb E_{q_\phi}[f_\theta(z)] = \mathbb E_{q_\phi}\big[\nabla_\theta f_\theta(z)\big]. $$

# %% [markdown]
# ### Exercise 2a: the score function
# Difficulty: ●●● · Time: 14 min · Points: 4
#
# **Write** `score_function(f, logits, num_samples)`: draw `num_samples` codes for each example, and return `(batch,)` numbers
#
# - whose *value* is the mean cost of the samples, $\frac1S\sum_s f(z_s)$, so that it can be read and plotted;
# - whose *gradient with respect to the logits* is $\frac1S\sum_s f(z_s)\,\nabla\log q(z_s)$;
# - whose *gradient with respect to the parameters in `f`* is $\frac1S\sum_s \nabla f(z_s)$.
#
# One expression can have all three. You need two facts about `detach`: `cost.detach()` is a number without a gradient, and `log_q - log_q.detach()` is **zero as a number, and has the gradient of `log_q`**.
#
# `q = OneHotCategorical(logits=logits)` has `q.sample((num_samples,))`, one-hot codes of shape `(S, batch, L, C)`, and `q.log_prob(z)` of shape `(S, batch, L)`: one term a latent. Latents are independent.
#
# **What the check looks at.** It calls your function on small problems whose truth it knows by enumeration, 10,000 times for each example. The mean of the values, of the logits' gradients and of the parameters' gradients must be the exact ones, and the spread that of
# this estimator (1 point each). Right code fails by bad luck less than once in a million runs.
#
# Hints: `hint("discrete.score")`.

# %% nbgrader={"grade": false, "grade_id": "score_function", "locked": false, "schema_version": 3, "solution": true, "task": false}
def score_function(f, logits: Tensor, num_samples: int) -> Tensor:
    """E_q[f(z)] from samples, logits (batch, L, C): value the mean cost, gradient the score function; shape (batch,)."""
    ### BEGIN SOLUTION
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    surrogate = cost + cost.detach() * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_score", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.score", score_function)

# %% [markdown]
# ### Exercise 2b: buy samples, get a baseline for free
# Difficulty: ●●○ · Time: 10 min · Points: 6
#
# A cost of 150 nats says little; 150 where the other samples of the same image got 180 says that this code was good. Any number $b$ may be subtracted, because $\mathbb E_q[b\,\nabla\log q(z)] = b\,\nabla\sum_z q(z) = 0$,
# **as long as $b$ does not depend on that very sample**. With $S \ge 2$ samples, use the mean cost of the *others* (Kool et al. 2019, "RLOO"):
#
# $$ b_s = \frac{1}{S-1}\sum_{j\ne s} f(z_j), \qquad \text{gradient} = \frac1S\sum_s \big(f(z_s)-b_s\big)\,\nabla\log q(z_s). $$
#
# **Write** `leave_one_out(f, logits, num_samples)`: as before, with this baseline. Value and the gradient of the parameters in `f` stay what they were: the baseline belongs to the weight of `log_q`, and nowhere else.
#
# **What the check looks at.** The same four points. A baseline that contains its own sample is a little smaller in variance, and wrong: the check finds it.
#
# Hints: `hint("discrete.rloo")`.

# %% nbgrader={"grade": false, "grade_id": "leave_one_out", "locked": false, "schema_version": 3, "solution": true, "task": false}
def leave_one_out(f, logits: Tensor, num_samples: int) -> Tensor:
    """The same with the mean cost of the other samples as the baseline; num_samples at least 2; shape (batch,)."""
    ### BEGIN SOLUTION
    q = OneHotCategorical(logits=logits)
    z = q.sample((num_samples,))  # (S, batch, L, C)
    log_q = q.log_prob(z).sum(dim=-1)  # (S, batch)
    cost = f(z)  # (S, batch)
    baseline = (cost.sum(dim=0) - cost) / (num_samples - 1)
    signal = (cost - baseline).detach()
    surrogate = cost + signal * (log_q - log_q.detach())
    return surrogate.mean(dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_rloo", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.rloo", leave_one_out)

# %% [markdown]
# What the baseline does, on one latent with two classes: $f$ costs 1 for the first class and 0 for the second, plus a constant $c$. The exact gradient of the first logit at $q = (\tfrac12, \tfrac12)$ is ¼, whatever $c$ is.
# Left: 20,000 estimates from two samples each, at $c = 3$. Right: their standard deviation as $c$ moves. Mind the place where the plain score function is the *better* of the two: no estimator here is best for every problem.

# %%
def estimates(estimator, constant: float, count: int = 20_000) -> Tensor:
    """Gradients of the first logit of a fair two-class latent, from two samples each, (count,)."""
    logits = torch.zeros(count, 1, 2, requires_grad=True)  # each row of the batch is an estimate of its own
    value = estimator(lambda z: z[..., 0].sum(-1) + constant, logits, 2)
    return torch.autograd.grad(value.sum(), logits)[0][:, 0, 0]


constants = torch.linspace(-4, 3, 15)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.5), layout="constrained")
for estimator, color, marker, shift, label in [(score_function, ORANGE, "o", -0.03, "score function"), (leave_one_out, BLUE, "s", 0.03, "leave-one-out")]:
    values, counts = estimates(estimator, 3.0).round(decimals=4).unique(return_counts=True)
    left.bar(values + shift, counts / 20_000, width=0.06, color=color, label=label)
    right.plot(constants, [estimates(estimator, c.item()).std() for c in constants], marker=marker, markersize=4, color=color, label=label)
left.axvline(0.25, color="black", linewidth=1, linestyle="--", label="exact, ¼")
left.set(xlabel="estimate of the gradient", ylabel="how often", title="two samples, c = 3")
right.set(xlabel="constant $c$ added to the cost", ylabel="standard deviation", ylim=(0, None), title="what a constant does")
left.legend(frameon=False, fontsize=9)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# And in training: three models, the same but for the estimator. (Each line is the exact ELBO on validation images.)

# %%
histories = {"enumeration, 100 codes": exact_history}
for label, estimator in [("score function, 4 samples", partial(score_function, num_samples=4)), ("leave-one-out, 4 samples", partial(leave_one_out, num_samples=4))]:
    _, histories[label] = train(estimator)

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
for (label, history), color, marker in zip(histories.items(), ("black", ORANGE, BLUE), "^os"):
    rows = history[history.split == "validation"]
    ax.plot(rows.step, rows.elbo, color=color, marker=marker, markersize=5, label=label)
ax.axhline(-206, color=GREY, linewidth=1)
ax.text(rows.step.max(), -205.5, "no latents", ha="right", va="bottom", color=GREY)
ax.set(xlabel="training steps", ylabel="ELBO (nats an image)")
ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.08))
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_own_sample", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In two or three sentences**: somebody takes the mean over *all* $S$ costs, the own one included, as the baseline. Why is that estimate biased, and by which factor is its mean too small? (Write $\bar f$ in terms of the leave-one-out mean.) With $S = 100$, would you mind?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that this baseline depends on the sample that it multiplies, so that E[b grad log q] is not zero any more.
# - 1 mark: gives the factor (S − 1)/S, from f − mean = (S − 1)/S · (f − leave-one-out mean), and says something sensible on S = 100: one per cent, direction unchanged, the same as a slightly smaller learning rate (and removed by multiplying with S/(S − 1)).
#
# **Exemplar, 2 of 2**: "The mean contains f(z_s), so it is correlated with grad log q(z_s) and does not average out. f_s − mean = (1 − 1/S)(f_s − b_s), so the gradient is (S−1)/S of the right one: half of it with two samples, 1 % too small with 100, which I would not notice."
#
# **Exemplar, 1 of 2**: "It is biased since the baseline depends on its own sample, and then the expectation of baseline times score isn't zero." (no factor)
#
# **Exemplar, 0 of 2**: "It is biased because the mean is not the true expected cost." (no baseline has to be the true expected cost)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_own_sample", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# $\bar f$ contains $f(z_s)$, so it is correlated with $\nabla\log q(z_s)$, and the product no longer averages to zero. Since $\bar f = \frac1S f_s + \frac{S-1}{S} b_s$, we have $f_s-\bar f = \frac{S-1}{S}(f_s-b_s)$: the mean is $\frac{S-1}{S}$ of the true gradient.
# With $S=2$ that is half of it; with $S=100$ it is one per cent too short and points the right way, which a learning rate hides. Multiplying by $S/(S-1)$ repairs it.

# %% [markdown]
# ## 3 · When you pretend: relaxation
#
# The other way: replace the category by something that *does* move a little. Adding Gumbel noise to the logits and taking the largest entry is a sample of $q$, exactly. Replace the argmax by a softmax with a temperature $\tau$ and it is a smooth function of the logits.
# What we differentiate then is no longer our problem, but one nearby.

# %% [markdown]
# ### Exercise 3a: a Gumbel-softmax sample
# Difficulty: ●●○ · Time: 9 min · Points: 3
#
# $$ y = \mathrm{softmax}\!\left(\frac{\text{logits} + g}{\tau}\right), \qquad g = -\log(-\log u), \quad u \sim \mathrm{Uniform}(0, 1) \text{ for every entry.} $$
#
# **Write** `relaxed_sample(logits, temperature, num_samples)`.
#
# | | shape |
# |---|---|
# | `logits` | `(batch, L, C)` |
# | $u$, $g$ and the result | `(num_samples, batch, L, C)`; the result sums to one over the classes |
#
# **What the check looks at.** From a relaxed sample and its temperature one can compute the noise that made it. That noise must be Gumbel's, and independent for every sample, example, latent and class, in every call. The gradient with respect to the logits must be that of the formula.
# (A library's own Gumbel-softmax is a right answer, too. Writing two logarithms and two signs once in your life is better.)
#
# Hints: `hint("discrete.relaxed")`.

# %% nbgrader={"grade": false, "grade_id": "relaxed_sample", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relaxed_sample(logits: Tensor, temperature: float, num_samples: int) -> Tensor:
    """Gumbel-softmax samples of logits (batch, L, C); shape (num_samples, batch, L, C), with a gradient."""
    ### BEGIN SOLUTION
    u = torch.rand(num_samples, *logits.shape)
    gumbel = -torch.log(-torch.log(u))
    return torch.softmax((logits + gumbel) / temperature, dim=-1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_relaxed", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("discrete.relaxed", relaxed_sample)

# %% [markdown]
# ### Exercise 3b: straight through
# Difficulty: ●○○ · Time: 5 min · Points: 2
#
# A decoder that only ever saw mixtures of codes may be surprised by real ones. *Straight-through* feeds it the hard, one-hot code of the largest entry, and lets the gradient pass as if it had been the soft one.
#
# **Write** `straight_through(soft)`: the *value* is the one-hot code, the *gradient* with respect to `soft` is that of `soft` itself. (It is the `detach` trick of 2a once more.) Shape `(..., C)` in and out.
#
# Hints: `hint("discrete.straight_through")`.

# %% nbgrader={"grade": false, "grade_id": "straight_through", "locked": false, "schema_version": 3, "solution": true, "task": false}
def straight_through(soft: Tensor) -> Tensor:
    """One-hot codes at the largest entries of soft (..., C), with the gradient of soft; same shape."""
    ### BEGIN SOLUTION
    hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_straight_through", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("discrete.straight_through", straight_through)

# %% [markdown]
# Twelve relaxed samples (columns) of one latent with five classes (colors), with the *same* noise at four temperatures. Cold: nearly one-hot. Hot: nearly uniform, whatever the logits say. Below each: how far the largest entry is from one, on average.

# %%
logits_5 = torch.tensor([[[1.0, 0.3, 0.0, -0.5, -1.0]]])
shades = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"]
figure, axes = plt.subplots(1, 4, figsize=(10.5, 3), layout="constrained", sharey=True)
for ax, temperature in zip(axes, (0.1, 0.5, 1.0, 5.0)):
    torch.manual_seed(3)
    y = relaxed_sample(logits_5, temperature, 12)[:, 0, 0]  # (12, 5)
    bottom = torch.zeros(12)
    for shade, share in zip(shades, y.T):
        ax.bar(range(12), share, bottom=bottom, color=shade, width=0.9)
        bottom += share
    gap = 1 - relaxed_sample(logits_5, temperature, 5000).amax(-1).mean()
    ax.set(title=f"τ = {temperature:g}", xticks=[], xlabel=f"1 − largest: {gap:.2f}")
axes[0].set_ylabel("share of each class")
plt.show()

# %% [markdown]
# ## 4 · Measuring

# %% [markdown]
# ### Exercise 4a: bias and variance, without fooling yourself
# Difficulty: ●●○ · Time: 15 min · Points: 8
#
# We have the exact gradient $g$ (enumeration), and $N$ draws $\hat g_1, \dots, \hat g_N$ of an estimate. How wrong is the estimator on average, and how noisy?
#
# $$ \mathrm{variance} = \mathbb E\,\lVert \hat g - \mathbb E\hat g\rVert^2, \qquad \mathrm{bias}^2 = \lVert \mathbb E \hat g - g\rVert^2 . $$
#
# The mean $\bar g$ of $N$ draws is not $\mathbb E \hat g$: it still wobbles, with variance/$N$. So $\lVert\bar g - g\rVert^2$ is too large by just that, and even an unbiased estimator would *seem* biased. Subtract it:
#
# $$ \widehat{\mathrm{variance}} = \sum_i \frac{1}{N-1}\sum_n (\hat g_{n,i} - \bar g_i)^2, \qquad \widehat{\mathrm{bias}^2} = \lVert\bar g - g\rVert^2 - \frac{\widehat{\mathrm{variance}}}{N}. $$
#
# (It can come out negative: it is an unbiased estimate of a number that may be zero.)
#
# **Write** `bias_and_variance(draws, exact)`: `draws` has shape `(N, ...)`, `exact` the same without $N$. Return two numbers, `squared_bias, variance`, each summed over all entries.
#
# Hints: `hint("discrete.bias_variance")`.

# %% nbgrader={"grade": false, "grade_id": "bias_and_variance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bias_and_variance(draws: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Squared length of the bias (unbiased estimate) and total variance of gradient estimates, draws (N, ...), exact (...)."""
    ### BEGIN SOLUTION
    variance = draws.var(dim=0).sum()
    squared_bias = (draws.mean(dim=0) - exact).square().sum() - variance / len(draws)
    return squared_bias, variance
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_bias_variance", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("discrete.bias_variance", bias_and_variance)

# %% [markdown]
# **Now a race of your own.** The next cell takes a model in the middle of its training, 16 images, and your five estimators, each but the first with 4 samples an image.
# `gradient_draws(estimator, f, logits, draws=N, wrt="logits")` returns `(N, batch, L, C)`: `N` fresh gradients with respect to the logits.

# %%
def gumbel_estimator(f, logits: Tensor, num_samples: int = 4, temperature: float = 1.0) -> Tensor:
    """f at relaxed samples: the value and the gradient are those of another problem."""
    return f(relaxed_sample(logits, temperature, num_samples)).mean(dim=0)


def straight_through_estimator(f, logits: Tensor, num_samples: int = 4, temperature: float = 1.0) -> Tensor:
    """f at hard samples, and the gradient of the relaxed ones."""
    return f(straight_through(relaxed_sample(logits, temperature, num_samples))).mean(dim=0)


estimators = {
    "enumeration": expected_cost,
    "score function": partial(score_function, num_samples=4),
    "leave-one-out": partial(leave_one_out, num_samples=4),
    "Gumbel-softmax": gumbel_estimator,
    "straight-through": straight_through_estimator,
}
torch.manual_seed(40)
young_model = CategoricalVAE(IMAGE, latents=2, classes=10, pixel_means=pixel_means)
fit(young_model, Inference(expected_cost), digits, epochs=2, max_steps=100, progress=False)
some_images = digits.validation.images[:16]
f_16, logits_16 = young_model.cost(some_images), young_model.logits(some_images).detach()

# %% [markdown]
# **Write** the loop over `estimators.items()`. The exact gradient is one draw of the enumeration. Take at least 200 draws of each (400 take a few seconds), and put one row each into `race_results`: `estimator` (the name), `squared_bias`, `variance`.
#
# **What the check looks at.** All five rows, each from draws of its own; enumeration has neither bias nor variance; the unbiased ones have no bias beyond their noise; the relaxed ones have some. Nothing is demanded of the order of the variances.
#
# Hints: `hint("discrete.race")`.

# %% nbgrader={"grade": false, "grade_id": "race_results", "locked": false, "schema_version": 3, "solution": true, "task": false}
race_results = None
torch.manual_seed(41)
### BEGIN SOLUTION
exact = gradient_draws(expected_cost, f_16, logits_16, draws=1, wrt="logits")[0]
rows = []
for name, estimator in estimators.items():
    draws = gradient_draws(estimator, f_16, logits_16, draws=400, wrt="logits")
    squared_bias, variance = bias_and_variance(draws, exact)
    rows.append({"estimator": name, "squared_bias": float(squared_bias), "variance": float(variance)})
race_results = pd.DataFrame(rows)
### END SOLUTION
race_results

# %% nbgrader={"grade": true, "grade_id": "check_race", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("discrete.race", race_results)

# %%
if race_results is not None:
    sampled = race_results[race_results.estimator != "enumeration"]
    figure, ax = plt.subplots(figsize=(8.5, 3.2), layout="constrained")
    for offset, column, color in ((0.2, "squared_bias", ORANGE), (-0.2, "variance", BLUE)):
        values = sampled[column].clip(lower=1e-3)
        ax.barh([row + offset for row in range(len(sampled))], values, height=0.38, color=color, label=column.replace("_", " "))
        for row, value in enumerate(sampled[column]):
            noise = "  (within noise)" if column == "squared_bias" and abs(value) < 0.02 * sampled.variance.iloc[row] else ""
            ax.text(max(value, 1e-3) * 1.15, row + offset, f"{value:.3g}{noise}", va="center", fontsize=9)
    ax.set(yticks=range(len(sampled)), yticklabels=sampled.estimator, xscale="log", xlabel="nats², summed over 16 images (log scale)")
    ax.set_xlim(1e-3, 100 * sampled[["squared_bias", "variance"]].max().max())
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="lower right")
    plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_race", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In two or three sentences**: with 4 samples each, which estimator of yours has the smallest mean squared error (squared bias plus variance)? And which of its two parts goes away when you average over more samples or take more, smaller steps?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: adds the two columns and names the estimator with the smallest sum in the student's own table, with the numbers or the comparison (usually a relaxed one, or leave-one-out).
# - 1 mark: says that the variance falls as 1/S (and averages out over steps), while the bias stays whatever the number of samples; only a lower temperature reduces it, at the price of variance.
#
# **Exemplar, 2 of 2**: "In my table Gumbel-softmax has 2.6 + 5.3, leave-one-out 0 + 62, so Gumbel wins at 4 samples. More samples shrink the 62 and the 5.3, but never the 2.6, so with many samples leave-one-out wins; only a lower temperature makes the bias smaller."
#
# **Exemplar, 1 of 2**: "The Gumbel-softmax, 8 against 62 for leave-one-out." (nothing about which part goes away)
#
# **Exemplar, 0 of 2**: "Leave-one-out since it is unbiased, so its error is zero." (variance left out)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_race", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# Adding the two columns, the smallest sum at four samples is a relaxed estimator's here: it pays with a bias for a variance far below that of the score function and of leave-one-out. The variance falls as $1/S$ and averages out over many small steps; the bias does not.
# So with enough samples leave-one-out wins, and a relaxed gradient gets better only at a lower temperature, where its variance grows.

# %% [markdown]
# ## 5 · Twenty latents

# %% [markdown]
# ### Exercise 5a: a model that nobody can enumerate
# Difficulty: ●●○ · Time: 10 min · Points: 5
#
# Twenty latents of ten classes: $10^{20}$ codes, and room for $20 \log 10 \approx 46$ nats. From here on there is no exact gradient, and no exact ELBO either. What remains is what you built.
#
# **Write** a loop that trains a new model with each of at least two estimators (two of `estimators`, or your own choice of samples and temperature) through `train_and_measure(estimator)`, keeps the model in `twenty_models[name]`, and puts one row each into `twenty_results`:
# `estimator`, `elbo`, `log_px`, `kl`.
#
# `train_and_measure` measures with *hard* samples, whatever the model was trained with. The "ELBO" that Gumbel-softmax sees in training is the value of a relaxed problem, and no bound on anything.
#
# **What the check looks at.** Each row from a training of its own; nats an image; elbo = log_px − kl; a KL that is possible.
#
# Hints: `hint("discrete.twenty")`.

# %%
def train_and_measure(estimator) -> tuple[CategoricalVAE, dict]:
    """A new model with 20 latents of 10 classes, trained; and its means over the validation images, from 10 hard samples each, in nats."""
    model, _ = train(estimator, latents=20)
    measured = evaluate(model, Inference(None), digits.validation)
    return model, {name: measured[name] for name in ("elbo", "log_px", "kl")}


# %% nbgrader={"grade": false, "grade_id": "twenty_results", "locked": false, "schema_version": 3, "solution": true, "task": false}
twenty_results = None
twenty_models = {}
### BEGIN SOLUTION
rows = []
for name in ("leave-one-out", "Gumbel-softmax", "straight-through"):
    twenty_models[name], measured = train_and_measure(estimators[name])
    rows.append({"estimator": name, **measured})
twenty_results = pd.DataFrame(rows)
### END SOLUTION
twenty_results

# %% nbgrader={"grade": true, "grade_id": "check_twenty", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("discrete.twenty", twenty_results)

# %%
def reconstruct(model, images: Tensor) -> Tensor:
    """Pixel probabilities at one hard sample of the posterior."""
    with torch.no_grad():
        return model.observation_model(model.posterior(images).sample()).probs


torch.manual_seed(51)
shown = digits.validation.images[:12]
strips = {"image": shown, "2 latents": reconstruct(exact_model, shown)} | {f"20: {name}": reconstruct(model, shown) for name, model in twenty_models.items()}
figure, axes = plt.subplots(len(strips), 1, figsize=(9.5, 0.9 * len(strips)), layout="constrained")
for ax, (name, images) in zip(axes, strips.items()):
    ax.imshow(torch.cat(list(images[:, 0]), dim=1), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %% [markdown]
# And the noise? Here is your leave-one-out at 2 and at 20 latents, both models after 100 steps. There is no exact gradient to compare with at 20. But your `bias_and_variance` can be asked about zero in its place: what it then calls the squared bias is the squared length of the mean gradient, without the noise's share.

# %%
torch.manual_seed(50)
young_20 = CategoricalVAE(IMAGE, latents=20, classes=10, pixel_means=pixel_means)
fit(young_20, Inference(gumbel_estimator), digits, epochs=2, max_steps=100, progress=False)
for model in (young_model, young_20):
    logits = model.logits(some_images).detach()
    draws = gradient_draws(estimators["leave-one-out"], model.cost(some_images), logits, draws=400, wrt="logits")
    signal, noise = bias_and_variance(draws, torch.zeros_like(logits))
    print(f"{model.latents:2d} latents: ‖mean gradient‖² {signal:.1f}, variance {noise:.1f}: {noise / signal:.1f} times as much noise as signal")

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_twenty", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In two or three sentences**: read your table. Which estimator would you use for 20 latents, and how many nats of the 46 that there is room for does the code use? There is more noise for each unit of signal at 20 latents than at 2: why?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: chooses from the recorded ELBO (the higher, whatever it is called), and reads the KL as the nats used, compared with 46.
# - 1 mark: says why the noise grows with the number of latents: one cost multiplies the score of all latents, so each latent's gradient carries the noise of what the others did; (or: log q is a sum of 20 terms.)
#
# **Exemplar, 2 of 2**: "Gumbel-softmax: its ELBO is −144, leave-one-out has −156; it uses 12 of 46 nats. The one number f(z) depends on all 20 latents but multiplies each latent's score, so for each of them the other 19 are noise."
#
# **Exemplar, 1 of 2**: "I would take Gumbel-softmax because it has the best ELBO; its KL is 12 nats, a quarter of what is possible." (no reason for the variance)
#
# **Exemplar, 0 of 2**: "Gumbel-softmax because its training loss was the smallest." (that loss is of the relaxed problem; nothing on the variance)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_twenty", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The one with the highest ELBO, measured with hard samples: here a relaxed one after this short training, with about 12 of the possible 46 nats in use. The cost is one number that depends on all 20 latents, and it multiplies the score of each of them, so for any one latent what the other 19 did is noise;
# a gradient through relaxed samples tells each latent apart.

# %% [markdown]
# ## 6 · Several samples, one bound

# %% [markdown]
# ### Exercise 6a: VIMCO
# Difficulty: ●●● · Time: 12 min · Points: 4
#
# With $S$ samples there is a tighter bound (unit 02), $L_S = \log\frac1S\sum_s w_s$ with $w_s = p(x, z_s)/q(z_s\mid x)$. Its gradient has two parts,
#
# $$ \nabla L_S \;=\; \mathbb E\Big[\sum_s \underbrace{\big(L_S - L_S^{(-s)}\big)}_{\text{signal of sample } s}\nabla\log q(z_s\mid x) \;+\; \underbrace{\nabla \log\tfrac1S\textstyle\sum_s w_s}_{\text{through } \log w} \Big], $$
#
# where $L_S^{(-s)}$ is the baseline: the same bound, with $\log w_s$ replaced by the mean of the *other* $\log w_j$ (Mnih and Rezende 2016). So each sample is told what *it* added. It is a sum over samples and not a mean: all samples make one bound.
#
# **Write** `vimco(log_w, log_q)`, both `(S, batch)`: the *value* is $L_S$, the gradient with respect to `log_q` are the (detached) signals, and the gradient with respect to `log_w` is the one of $L_S$ itself, the normalized weights. Stay in logarithms: $w_s$ may be $e^{-2000}$.
#
# **What the check looks at.** The bound, also for tiny weights; both gradients. Averages of the other *weights* in place of their logarithms make a right baseline, too.
#
# Hints: `hint("discrete.vimco")`.

# %% nbgrader={"grade": false, "grade_id": "vimco", "locked": false, "schema_version": 3, "solution": true, "task": false}
def vimco(log_w: Tensor, log_q: Tensor) -> Tensor:
    """The bound log (1/S) sum_s w_s with VIMCO's gradient; log_w and log_q (S, batch); shape (batch,)."""
    ### BEGIN SOLUTION
    num_samples = len(log_w)
    bound = log_w.logsumexp(dim=0) - math.log(num_samples)  # (batch,)
    others = (log_w.sum(dim=0) - log_w) / (num_samples - 1)  # (S, batch): the mean of the other log-weights
    own = torch.eye(num_samples, dtype=torch.bool).unsqueeze(-1)  # (S, S, 1)
    without = torch.where(own, others, log_w).logsumexp(dim=1) - math.log(num_samples)  # (S, batch)
    signals = (bound - without).detach()
    return bound + (signals * (log_q - log_q.detach())).sum(dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_vimco", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("discrete.vimco", vimco)

# %% [markdown]
# With two latents we know $\log p(x)$, too: add up the 100 codes (your 1b). So the bound can be watched as it tightens. All numbers are means over the validation images, for the model of section 1. (It tightens slowly: this $q$ is nearly certain of one code, so that most of the samples are the same code again.)

# %%
with torch.no_grad():
    images = digits.validation.images
    log_px_z = code_log_likelihood(exact_model.decode(exact_model.codes()), images.flatten(1))  # (100, images)
    log_px = (log_px_z.logsumexp(0) - 2 * math.log(10)).mean()
    logits = exact_model.logits(images)
    elbo = -(expected_cost(exact_model.cost(images), logits) + categorical_kl(logits)).mean()
    q = OneHotCategorical(logits=logits)

    def bound(samples: int) -> Tensor:
        z = q.sample((samples,))
        log_q, number = q.log_prob(z).sum(-1), z.argmax(-1) @ torch.tensor([10, 1])  # which of the 100 codes, (S, images)
        return vimco(log_px_z.gather(0, number) - 2 * math.log(10) - log_q, log_q).mean()

    sizes = (2, 3, 5, 10, 20, 50, 100)
    bounds = [sum(bound(samples) for _ in range(20)) / 20 for samples in sizes]

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(sizes, bounds, "o-", color=BLUE, label="$L_S$, your bound")
ax.axhline(elbo, color=ORANGE, linestyle="--", label=f"ELBO, exact: {elbo:.2f}")
ax.axhline(log_px, color="black", linestyle=":", label=f"log p(x), exact: {log_px:.2f}")
ax.set(xscale="log", xlabel="samples S", ylabel="nats an image", xticks=sizes, xticklabels=sizes)
ax.minorticks_off()
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(0, 0.68))
plt.show()

# %% [markdown]
# ## 7 · Thinking

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_collapse", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 7a: too good a gradient
# Difficulty: ●●○ · Time: 8 min · Points: 3
#
# You train this very model with Gumbel-softmax. The log ends with a loss of 205 to 215 and a gradient variance of $10^{-14}$. The score function, in another run, has a variance that is many orders of magnitude larger and a loss of about 190.
# (i) What has happened to the model? Which number, had it been logged, would have said so, and what would it have been? (ii) Why is the variance so small? (iii) Name one cure, and say why it works.
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: collapse: q(z|x) is the same for every x, so z tells nothing of x and the decoder does as well as independent pixels (205.8, plus the KL). A number that would have said so: the information between x and z, or the number of codes in use (0; one); or the KL, if the answer says that 0 means collapse onto the prior, or that 4.6, its largest value, means one code for all. "The KL" with "about 0" is enough.
# - 1 mark: the variance is small because there is no signal left to be noisy about: f does not depend on z any more, or q is certain of one code and the slope of its softmax is zero. (A constant gradient of zero has no variance; that is no merit.)
# - 1 mark: one cure with its reason: start the output bias at the pixel means, so that no code gets ahead of the others by merely learning that most pixels are dark; a lower temperature, so that the decoder sees codes and not one grey mixture of all (accepted with this reason; in the lecture's own trials it helped some seeds and not others); a smaller learning rate or a price on certainty in the beginning, so that the softmax does not saturate before codes differ; KL warm-up against the collapse onto the prior, so that using z pays before it costs; an unbiased estimator or enumeration.
#
# **Exemplar, 3 of 3**: "It collapsed: 205.8 is what independent pixels give, so q(z|x) does not depend on x; the information between x and z would have been 0. Then the gradient is zero for every sample, the decoder ignores z, and zero has no variance. I would start the output bias at the pixel means: otherwise the first code that learns 'mostly dark' is so much cheaper that all images choose it, and the saturated softmax never lets them go."
#
# **Exemplar, 2 of 3**: "Posterior collapse, KL = 0, and the decoder doesn't use z, so no matter which z you draw the gradient is the same, zero." (no cure)
#
# **Exemplar, 1 of 3**: "The posterior has become the prior, the KL would have been 0. The variance is small because Gumbel-softmax is a low-variance estimator; use more samples." (the reason and the cure do not hold)
#
# **Exemplar, 0 of 3**: "Gumbel-softmax is biased, so it converges to a wrong optimum, but with very low variance, which is the bias-variance trade-off." (does not see the collapse)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_collapse", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (i) It has collapsed: $q(z\mid x)$ is the same for every image, and a loss of 205.8 nats plus the KL is what the best model *without* latents gets. The information between $x$ and $z$ would have been 0. (The KL would have been either 0, if all posteriors are the prior, or 4.6, its largest value, if all images use one and the same code.)
# (ii) Nothing depends on $z$ any more, or the softmax is saturated: the gradient is zero for every sample, and zero has no variance. A small variance is no praise by itself.
# (iii) For example starting the output bias at the pixel means. Otherwise the first thing to learn is that most pixels are dark; the code that learns it first becomes so much cheaper than the others that all images choose it, and a saturated softmax does not let them go.

# %% [markdown]
# ## 8 · Going on (no points)

# %% [markdown]
# ### Optional exercise 8a: REBAR, unbiased and relaxed
# Difficulty: ●●● · Time: 45 min · Points: 0
#
# Gumbel-softmax has a small variance and a bias; the score function the opposite. REBAR ([Tucker et al. 2017](https://arxiv.org/abs/1703.07370)) takes the relaxed cost as a *control variate*: subtract it from the score function's cost, and add its gradient back, which the reparameterization gives with little noise.
# What remains is unbiased for every temperature. You need a second relaxed sample $\tilde z$ that is *conditioned* on the hard code: write down the law of the Gumbel-perturbed logits given which of them is largest (the lecture has it).
#
# Write `rebar(f, logits, num_samples)`, and measure it: there is no `check`, but you know what unbiased means.
#
# ```python
# draws = gradient_draws(rebar_estimator, f_16, logits_16, draws=400, wrt="logits")
# bias_and_variance(draws, exact)
# ```
#
# `elbolab.gradients.rebar` is one way to write it. RELAX ([Grathwohl et al. 2018](https://arxiv.org/abs/1711.00123)) learns the control variate: which loss would you train it on?

# %% [markdown]
# ### Optional exercise 8b: cure a collapse
# Difficulty: ●●○ · Time: 30 min · Points: 0
#
# Make it happen: `CategoricalVAE(IMAGE)` without `pixel_means`, trained with `gumbel_estimator` for several seeds. Which of the two faces do you get, KL = 0 or KL = $2\log 10$? Count the codes in use: the exponential of the entropy of the average posterior. Then cure it in three ways, one at a time, and say which of them also help the score function.

# %%
progress("discrete")

# %% [markdown]
# ## Further reading
#
# - R. J. Williams, *Simple statistical gradient-following algorithms for connectionist reinforcement learning*, 1992, [Machine Learning 8](https://doi.org/10.1007/BF00992696): the score function, as REINFORCE.
# - W. Kool, H. van Hoof and M. Welling, *Buy 4 REINFORCE samples, get a baseline for free!*, 2019, [OpenReview](https://openreview.net/forum?id=r1lgTGL5DE): exercise 2b.
# - E. Jang, S. Gu and B. Poole, *Categorical reparameterization with Gumbel-softmax*, 2017, [arXiv:1611.01144](https://arxiv.org/abs/1611.01144), and C. J. Maddison, A. Mnih and Y. W. Teh, *The Concrete distribution*, 2017, [arXiv:1611.00712](https://arxiv.org/abs/1611.00712): found at the same time.
# - A. Mnih and D. J. Rezende, *Variational inference for Monte Carlo objectives*, 2016, [arXiv:1602.06725](https://arxiv.org/abs/1602.06725): VIMCO.
# - G. Tucker et al., *REBAR*, 2017, [arXiv:1703.07370](https://arxiv.org/abs/1703.07370), and W. Grathwohl et al., *Backpropagation through the void*, 2018, [arXiv:1711.00123](https://arxiv.org/abs/1711.00123): unbiased and relaxed.
# - E. van Krieken, J. M. Tomczak and A. ten Teije, *Storchastic*, 2021, [arXiv:2104.00428](https://arxiv.org/abs/2104.00428): one framework for all of these.
