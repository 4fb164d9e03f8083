# %% [markdown]
# # 2 · Importance sampling: exercises
#
# **Goals**
# - you can estimate an expectation under one density with samples of another, and say how many samples the weights leave you
# - you can send K samples of a batch through a network in one call, and get every result back at its place
# - you can write the importance-weighted bound so that 784 pixels are no trouble, and know what each shape in it means
# - you can estimate $\log p(x)$ of test images with thousands of samples in little memory, and say on which side it errs
# - you can say what a tighter bound buys, and what it costs the encoder
#
# **Prerequisites**: the [lecture of this unit](../../course/02_iwae/lecture.ipynb) and the exercises of unit 01; `torch.distributions`; broadcasting.
#
# **Time**: 90 to 110 minutes
#
# **Points**: 45

# %% [markdown]
# **How this works.** As in unit 01: fill the cells that say `# YOUR CODE HERE`, and run the `check(...)` below each as often as you like. `hint("iwae.bound")` in any cell gives a nudge, three levels
# of it; `progress("iwae")` shows where you stand. Questions in words are marked by a person.
#
# **Notation.** $x$ an image, $z$ its latent with $M$ dimensions, $B$ the batch, $K$ the samples of each example. In this unit **samples come first**: a quantity of each sample of each example has shape
# `(K, batch)`, and sums or means over samples go over `dim=0`. All logarithms are natural, all values in nats.
#
# An exercise may use the functions of the ones before it. If one of them does not pass yet, take the library's in its place and go on: `elbolab.inference` has `log_weights(model, x, num_samples)`, `normalized_weights(log_w)`,
# `effective_sample_size(log_w)`, `merge`, `unmerge`, and the bound of given log-weights, `importance_weighted_bound(log_w)`.

# %%
from importlib.util import find_spec

missing = [name for name in ("autograder", "elbolab") if find_spec(name) is None]
if missing:
    raise ModuleNotFoundError(
        f"This notebook cannot find {' and '.join(missing)}: start it with `make lab` in the course's folder, "
        "or run `pip install .` there and restart this kernel."
    )

import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal

import elbolab.inference
from autograder import check, hint, progress
from elbolab.data import load_mnist
from elbolab.models import VariationalAutoencoder
from elbolab.training import evaluate, fast, fit

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"  # colors that color-blind readers tell apart
IMAGE = (1, 28, 28)
digits = load_mnist(binarize="dynamic")  # training images are binarized anew for each batch, validation and test images once

# %% [markdown]
# ## 1 · Importance sampling
#
# We want a mean under a density $p$ that we can evaluate but not sample from. So we draw from another density $q$, and give each sample a **weight** that says how much too rarely $q$ drew it:
#
# $$ \mathbb E_{p}[f(z)] = \int q(z)\,\frac{p(z)}{q(z)}\,f(z)\,dz = \mathbb E_{q}[w(z) f(z)], \qquad w(z) = \frac{p(z)}{q(z)} $$
#
# The example of this section: $p = \mathcal N(5, 1)$, $q = \mathcal N(1, 3^2)$ and $f(z) = z$, whose mean is 5. (Here we could sample from $p$; so we know what must come out.)

# %%
p, q = Normal(5.0, 1.0), Normal(1.0, 3.0)
z = torch.linspace(-8, 11, 400)
torch.manual_seed(0)
few = q.sample((40,))

figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.fill_between(z, p.log_prob(z).exp(), color=BLUE, alpha=0.15, linewidth=0)
ax.plot(z, p.log_prob(z).exp(), color=BLUE, label="p, which we ask about")
ax.plot(z, q.log_prob(z).exp(), color=ORANGE, label="q, which we can draw from")
few_w = (p.log_prob(few) - q.log_prob(few)).exp()
size = 8 + 40 * few_w
ax.scatter(few, torch.full_like(few, -0.02), s=size, color=ORANGE, alpha=0.6, linewidths=0, label="40 samples; large: heavy")
ax.set(xlabel="z", ylabel="density", ylim=(-0.06, 0.44))
ax.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ### Exercise 1a: an expectation under p from samples of q
# Difficulty: ●○○ · Time: 8 min · Points: 3
#
# **Write** `importance_estimate(f, p, q, num_samples)`: draw `num_samples` values from `q`, and return the mean of $w(z) f(z)$, a single number (shape `()`). `p` and `q` are distributions of one number with
# `.log_prob(z)` and `.sample(shape)`; `f` takes a tensor and acts on each entry.
#
# Both densities are normalized, so the plain mean is unbiased: do not divide by the sum of the weights.
#
# **What the check looks at.** Your samples (it sees which `z` you call `f` with): as many as asked, draws of `q`, fresh in every call. And whether the result is the right weighted mean of them, for several `f`, `p` and `q`.
#
# Hints: `hint("iwae.importance_estimate")`.

# %% nbgrader={"grade": false, "grade_id": "importance_estimate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def importance_estimate(f, p, q, num_samples: int) -> Tensor:
    """The mean of f(z) under p, estimated from num_samples draws of q; p and q are distributions of one number. Shape ()."""
    ### BEGIN SOLUTION
    z = q.sample((num_samples,))
    w = (p.log_prob(z) - q.log_prob(z)).exp()
    return (w * f(z)).mean()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_importance_estimate", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("iwae.importance_estimate", importance_estimate)

# %% [markdown]
# ### Exercise 1b: weights that sum to one
# Difficulty: ●○○ · Time: 5 min · Points: 2
#
# Often a density is known up to a constant only: $p(z\mid x) \propto p(x, z)$. Then the constant is estimated, too, and what counts are the **normalized weights**
#
# $$ \tilde w_k = \frac{w_k}{\sum_{j=1}^K w_j}, \qquad \mathbb E_p[f(z)] \approx \sum_k \tilde w_k\, f(z_k) . $$
#
# **Write** `normalized_weights(log_w)`. From here on weights come as logarithms, $K$ for each example of a batch: `log_w` has shape `(K, batch)`. The result has the same shape, and its sum over the samples is 1 for *each example*.
#
# **What the check looks at.** Values and shape; `log_w` unchanged; and log-weights of about −900, as 784 pixels give them: there `exp(log_w)` is 0, but the normalized weights are ordinary numbers.
#
# Hints: `hint("iwae.normalized_weights")`.

# %% nbgrader={"grade": false, "grade_id": "normalized_weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one over the samples: (K, batch) -> (K, batch)."""
    ### BEGIN SOLUTION
    return torch.softmax(log_w, dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_normalized_weights", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("iwae.normalized_weights", normalized_weights)

# %% [markdown]
# ### Exercise 1c: how many samples are left?
# Difficulty: ●○○ · Time: 6 min · Points: 2
#
# If one sample has nearly all the weight, a thousand samples are worth one. The **effective sample size** (Kong 1992) counts them:
#
# $$ \mathrm{ESS} = \frac{1}{\sum_k \tilde w_k^2}, \qquad 1 \le \mathrm{ESS} \le K . $$
#
# **Write** `effective_sample_size(log_w)`: shape `(K, batch)` to `(batch,)`, one number for each example. Equal weights give $K$, a single heavy one gives 1.
#
# **What the check looks at.** As in 1b.
#
# Hints: `hint("iwae.effective_sample_size")`.

# %% nbgrader={"grade": false, "grade_id": "effective_sample_size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def effective_sample_size(log_w: Tensor) -> Tensor:
    """1 / sum of the squared normalized weights: (K, batch) -> (batch,), between 1 and K."""
    ### BEGIN SOLUTION
    return 1 / normalized_weights(log_w).square().sum(dim=0)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_effective_sample_size", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("iwae.effective_sample_size", effective_sample_size)

# %% [markdown]
# Your three functions at work: 300 estimates of the mean of $p$, each from 10,000 samples. About 18 % of the samples are left, and the estimates have a standard deviation of about 0.115 (the lecture has both numbers exactly). With 10,000 draws of $p$ itself it would be 0.01.

# %%
torch.manual_seed(1)
estimates = torch.stack([importance_estimate(lambda z: z, p, q, 10_000) for _ in range(300)])
z = q.sample((10_000,))
log_w = (p.log_prob(z) - q.log_prob(z)).unsqueeze(1)  # (K, batch) with a batch of one
share = effective_sample_size(log_w).item() / 10_000

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.hist(estimates, bins=25, color=BLUE, alpha=0.7)
left.axvline(5, color="black", linewidth=1, label="truth")
left.set(xlabel="estimate of the mean", ylabel="how often", title=f"300 estimates, standard deviation {estimates.std():.2f}")
left.legend(frameon=False)
right.hist(log_w.exp().squeeze(1), bins=50, log=True, color=ORANGE, alpha=0.8)
right.set(xlabel="weight w = p / q", ylabel="samples (log scale)", title=f"weights of 10,000 samples: ESS {share:.0%}")
plt.show()

# %% [markdown]
# Now a case that goes wrong. The same function, the same $f(z)=z$, and a $p$ with *two* hills: $p = \tfrac12\mathcal N(0, 1) + \tfrac12 \mathcal N(8, 1)$, whose mean is 4. Our $q$ is a good fit to one of them.

# %%
torch.manual_seed(2)
two_hills = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor([0.0, 8.0]), torch.ones(2)))
one_hill = Normal(0.0, 1.2)
z = one_hill.sample((10_000,))
log_w = (two_hills.log_prob(z) - one_hill.log_prob(z)).unsqueeze(1)
estimates = torch.stack([importance_estimate(lambda z: z, two_hills, one_hill, 10_000) for _ in range(100)])
print(f"truth 4; 100 estimates: {estimates.mean():.2f}, standard deviation {estimates.std():.2f}")
print(f"effective sample size {effective_sample_size(log_w).item():,.0f} of 10,000; mean of the weights {log_w.exp().mean():.2f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_silent_failure", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 1d: a failure that is silent
# Difficulty: ●●○ · Time: 5 min · Points: 2
#
# The estimates agree with each other, the effective sample size is excellent, and the result is wrong. (i) Why does neither the spread nor the ESS give the failure away? (ii) Which of the printed numbers *does*, and what would you change about $q$?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that weights are only known where q puts samples: the second hill is never visited, and spread and ESS are computed from the samples that were drawn, among which the weights are even.
# - 1 mark: names a sign or a cure: the mean of the weights is 0.5 where it has to be 1 (both densities are normalized), so half of p's mass is missing; or: take a q that is wider than p / has heavier tails / covers both hills (a mixture).
#
# **Exemplar, 2 of 2**: "q never draws a z near 8, so the samples that would have huge weights do not exist, and ESS only compares the weights of samples that do. But the mean weight is 0.5 and should be 1. I would take a q broad enough to reach both hills."
#
# **Exemplar, 1 of 2**: "Because no sample falls on the second hill, the weights we see all look alike and the ESS is high." (nothing about a sign or a cure)
#
# **Exemplar, 0 of 2**: "10,000 samples are too few, with more samples the ESS would show it." (it would take some hundred million samples for a single one near the second hill, and the reason is not given)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_silent_failure", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The second hill lies more than six standard deviations of $q$ away, so none of the samples falls there. Spread and ESS are computed from the samples that exist, and among these the weights are nearly equal. The samples that should have had enormous weights are missing, and nothing that is
# computed from the others can know of them. One number can: the mean weight estimates $\int p = 1$ and comes out at 0.5, so half of the mass of $p$ is missing. (With an unnormalized $p$ even that sign is gone.) A $q$ that is at least as wide as $p$, or a mixture with a part on each hill, would cure it.

# %% [markdown]
# ## 2 · A tighter bound
#
# For a VAE the density that we ask about is the posterior, $p(z\mid x)\propto p(x, z)$, and the encoder's $q(z\mid x)$ is what we draw from. With $z_k\sim q(z\mid x)$,
#
# $$ w_k = \frac{p(x\mid z_k)\,p(z_k)}{q(z_k\mid x)}, \qquad \mathbb E_q[w_k] = p(x), \qquad \mathcal L_K = \mathbb E\Big[\log \frac1K\sum_{k=1}^K w_k\Big] . $$
#
# The mean weight is an unbiased estimate of $p(x)$. Its *logarithm* is too low on average, by Jensen's inequality, and the less so the more samples there are: $\mathrm{ELBO} = \mathcal L_1 \le \mathcal L_2 \le \dots \le \log p(x)$
# (Burda et al. 2016, theorem 1).

# %% [markdown]
# ### Exercise 2a: folding samples into the batch
# Difficulty: ●●○ · Time: 8 min · Points: 3
#
# A network knows one batch dimension. With $K$ samples for each example, $z$ has shape `(K, batch, M)`. A Python loop over $K$ would call the network $K$ times; folding the samples into the batch calls it once:
#
# ```
# (K, batch, M)  --merge-->  (K * batch, M)  --network-->  (K * batch, 784)  --unmerge-->  (K, batch, 784)
# ```
#
# The way back must undo the way there. If it does not, sample 2 of image 5 ends up beside image 3: every shape is right, nothing crashes, and everything is wrong.
#
# **Write** `merge` and `unmerge`. `over_samples` below them is finished; it is what the check calls.
#
# | | from | to |
# |---|---|---|
# | `merge(x)` | `(K, batch, ...)` | `(K * batch, ...)` |
# | `unmerge(x, num_samples)` | `(K * batch, ...)` | `(K, batch, ...)` |
#
# **What the check looks at.** That each result comes back at its own sample and example, whatever stands behind the batch: vectors, images, or nothing. That `f` is called once. That `z` is unchanged.
#
# Hints: `hint("iwae.over_samples")`.

# %% nbgrader={"grade": false, "grade_id": "over_samples", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge(x: Tensor) -> Tensor:
    """Fold the samples into the batch: (K, batch, ...) -> (K * batch, ...)."""
    ### BEGIN SOLUTION
    return x.flatten(0, 1)
    ### END SOLUTION


def unmerge(x: Tensor, num_samples: int) -> Tensor:
    """Undo merge: (K * batch, ...) -> (K, batch, ...)."""
    ### BEGIN SOLUTION
    return x.unflatten(0, (num_samples, x.shape[0] // num_samples))
    ### END SOLUTION


def over_samples(f, z: Tensor) -> Tensor:
    """f, which knows a batch only, on all samples at once: z (K, batch, ...) -> f's results (K, batch, ...)."""
    return unmerge(f(merge(z)), z.shape[0])

# %% nbgrader={"grade": true, "grade_id": "check_over_samples", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("iwae.over_samples", over_samples)

# %% [markdown]
# The library's models fold in the same way: `model.observation_model(z)` takes `z` of shape `(K, batch, M)`, and its `log_prob(x)` has shape `(K, batch, 1, 28, 28)`; `x`, of shape `(batch, 1, 28, 28)`, stands beside every sample by broadcasting.
#
# | call | what | shape |
# |---|---|---|
# | `qz = model.posterior(x)` | $q(z\mid x)$ | its `log_prob(z)`: `(K, batch, M)` |
# | `qz.rsample((K,))` | $K$ samples for each example, with gradients | `(K, batch, M)` |
# | `model.prior(len(x))` | $p(z)$ | its `log_prob(z)`: `(K, batch, M)` |
# | `model.observation_model(z)` | $p(x\mid z)$, Bernoulli pixels | its `log_prob(x)`: `(K, batch, 1, 28, 28)` |

# %% [markdown]
# ### Exercise 2b: the log-weights
# Difficulty: ●●○ · Time: 10 min · Points: 4
#
# $$ \log w_k = \log p(x\mid z_k) + \log p(z_k) - \log q(z_k\mid x), \qquad z_k \sim q(z\mid x) $$
#
# Everything in this unit follows from this one tensor. Its mean over $k$ is the ELBO; the log-mean-exp is $\mathcal L_K$; its softmax are the normalized weights.
#
# **Write** `log_weights(model, x, num_samples)`. Draw `num_samples` fresh latents for each example (with `rsample`, so that gradients flow), evaluate the three log-densities *at these samples*, and sum each over its pixels or latents. No closed-form KL here: that would be a mean over $z$, and a weight belongs to one sample.
#
# The result has shape `(num_samples, batch)`, for one sample and for a batch of one, too.
#
# **What the check looks at.** It hands you a small VAE that keeps the latents it is asked to decode, and redoes the arithmetic at *your* samples: so any way of drawing, folding or looping is fine. The latents must be independent draws of $q(z\mid x)$: for each sample, each example, each latent, each call. `x` is unchanged.
#
# Hints: `hint("iwae.log_weights")`.

# %% nbgrader={"grade": false, "grade_id": "log_weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_weights(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """log w = log p(x|z) + log p(z) - log q(z|x) at num_samples fresh z ~ q(z|x) for each example; shape (num_samples, batch)."""
    ### BEGIN SOLUTION
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))  # (K, batch, M)
    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)  # (K, batch)
    log_pz = model.prior(len(x)).log_prob(z).sum(-1)
    log_qz = qz.log_prob(z).sum(-1)
    return log_px + log_pz - log_qz
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_log_weights", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("iwae.log_weights", log_weights)

# %% [markdown]
# ### Exercise 2c: the importance-weighted bound
# Difficulty: ●●● · Time: 15 min · Points: 7
#
# $$ \log \frac1K \sum_{k=1}^K w_k \;=\; \log\sum_{k=1}^K e^{\log w_k} \;-\; \log K $$
#
# With 784 pixels $\log w_k$ is some −100 to −1500, and $e^{-104}$ is already 0 in float32. `torch.logsumexp` takes out the largest log-weight of each example before it exponentiates, and puts it back afterwards.
#
# **Write** `importance_weighted_bound(model, x, num_samples)`: one value for each example, shape `(batch,)`, in nats, with the gradient for training. It is the bound itself, not a loss (no minus, no mean over the batch).
#
# **What the check looks at.**
# The *value* (3 points), at the latents that your code decoded: several numbers of samples (1 as well), several batch sizes (1 as well), images that the model finds so improbable that `exp` gives 0 in float64.
# The *samples* (2 points): as many as asked for each example, independent across samples, examples and latents, fresh in each call.
# The *gradient* (2 points) with respect to every parameter of encoder and decoder: that of $\mathcal L_K$, in which sample $k$ counts with its normalized weight. (`logsumexp` does that by itself.)
#
# A loop over $K$, chunks, samples in front or behind, float64 inside, `torch.distributions`: all are fine.
#
# Hints: `hint("iwae.bound")`.

# %% nbgrader={"grade": false, "grade_id": "bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def importance_weighted_bound(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """L_K = log (1/K) sum_k w_k for each example, K = num_samples; shape (batch,), in nats."""
    ### BEGIN SOLUTION
    log_w = log_weights(model, x, num_samples)  # (K, batch)
    return torch.logsumexp(log_w, dim=0) - math.log(num_samples)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_bound", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
check("iwae.bound", importance_weighted_bound)

# %% [markdown]
# #### Now it learns
#
# `fit` wants an objective that returns a loss, diagnostics and outputs. This one is minus the mean of *your* bound, so it trains an **importance-weighted autoencoder** (IWAE).

# %%
class YourObjective(nn.Module):
    """Minus the batch mean of your bound with K samples."""

    def __init__(self, num_samples: int):
        super().__init__()
        self.num_samples = num_samples

    def forward(self, model: nn.Module, x: Tensor) -> tuple[Tensor, dict, dict]:
        return -importance_weighted_bound(model, x, self.num_samples).mean(), {}, {}


torch.manual_seed(21)
first_iwae = VariationalAutoencoder(IMAGE, latent_features=20)
before = evaluate(first_iwae, YourObjective(5), digits.validation)["loss"]
fit(first_iwae, YourObjective(5), digits, epochs=10, max_steps=500)
after = evaluate(first_iwae, YourObjective(5), digits.validation)["loss"]
often = digits.train.images.mean(dim=0).clamp(1e-3, 1 - 1e-3)  # the best model without latents: how often each pixel is on
baseline = Bernoulli(probs=often).log_prob(digits.validation.images).flatten(1).sum(dim=1).mean()
print(f"L_5 on the validation images: {-before:.1f} nats before training, {-after:.1f} after; without latents {baseline:.1f}")

# %% [markdown]
# The rest of this notebook looks at two models with 40 latents each. They have the same networks and the same start; one is trained on the ELBO (a VAE), the other on $\mathcal L_{10}$ (an IWAE). They are trained with the library's objective, which has the loss of yours,
# so whatever became of 2c you can do the rest. This takes most of a minute.

# %%
def train(num_samples: int, latents: int = 40, max_steps: int = 2000) -> VariationalAutoencoder:
    """A VAE (num_samples = 1) or an IWAE, trained on all ten digits."""
    torch.manual_seed(22)
    model = VariationalAutoencoder(IMAGE, latent_features=latents)
    objective = elbolab.inference.VariationalInference(num_samples=num_samples)
    fit(model, objective, digits, epochs=100, max_steps=max_steps, lr=2e-3, evaluate_every=100)
    return model.eval()


vae, iwae = train(num_samples=1), train(num_samples=10)

# %% [markdown]
# ### Exercise 2d: the bound and the number of samples
# Difficulty: ●●○ · Time: 10 min · Points: 6
#
# One trained model, one set of images, and nothing changes but $K$.
#
# **Write** a loop over at least four numbers of samples, from 1 to 500 or more (for example 1, 5, 50, 500), that evaluates `vae` on the images `watched` (a hundred validation images). Put one row each into `bound_results`:
#
# | column | what |
# |---|---|
# | `num_samples` | $K$ |
# | `bound` | the mean over the images of $\mathcal L_K$, in nats |
# | `ess` | the mean over the images of the effective sample size |
#
# Draw `log_w` once for each row and compute both from it. Use `torch.no_grad()`: nothing is trained here, and 500 samples of 100 images leave large graphs.
#
# **What the check looks at.** What must be true of any honest table, whatever your numbers are: nats an image, an ESS between 1 and $K$, a bound that grows with $K$ but not by $\log K$. (While grading, all trainings of this notebook are much shorter. Your table has other numbers there; what the check looks at holds all the same.)
#
# Hints: `hint("iwae.bounds_table")`.

# %% nbgrader={"grade": false, "grade_id": "bounds_table", "locked": false, "schema_version": 3, "solution": true, "task": false}
bound_results = None
watched = digits.validation.images[:100]
torch.manual_seed(23)
### BEGIN SOLUTION
rows = []
for num_samples in (1, 5, 50, 500):
    with torch.no_grad():
        log_w = log_weights(vae, watched, num_samples)
    bound = torch.logsumexp(log_w, dim=0) - math.log(num_samples)
    rows.append({"num_samples": num_samples, "bound": bound.mean().item(), "ess": effective_sample_size(log_w).mean().item()})
bound_results = pd.DataFrame(rows)
### END SOLUTION
bound_results

# %% nbgrader={"grade": true, "grade_id": "check_bounds_table", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("iwae.bounds_table", bound_results)

# %%
if bound_results is not None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(bound_results["num_samples"], bound_results["bound"], "o-", color=BLUE)
    left.set(xscale="log", xlabel="samples K", ylabel="$L_K$ (nats)", title="the bound climbs towards log p(x)")
    right.plot(bound_results["num_samples"], bound_results["ess"], "o-", color=ORANGE)
    most = bound_results["num_samples"].max()
    right.plot([1, most], [1, most], color=GREY, linestyle=":", label="all samples count")
    right.set(xscale="log", yscale="log", xlabel="samples K", ylabel="effective samples", title="few of the samples count")
    right.legend(frameon=False)
    plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_bounds", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: how far does your bound climb from $K=1$ to the largest $K$, what does that say about the gap between the ELBO and $\log p(x)$, and can the bound at the largest $K$ be above $\log p(x)$?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: reads the climb from the student's own table, and says that the ELBO's gap, the KL from q to the true posterior, is at least that large (the bound at the largest K is still below on average). Any climb of a few nats will do: the table above comes from the grading run, whose training is much shorter than the student's.
# - 1 mark: says that L_K is below log p(x) for every K *on average* (Jensen), while a single estimate may lie above it by chance; or that the last steps are small, so little more is to be expected.
#
# **Exemplar, 2 of 2**: "It climbs by 6.6 nats, so KL(q || p(z|x)) is at least 6.6 on average over these images. No: the expectation stays below log p(x) for any K; only a lucky draw for one image may lie above it."
#
# **Exemplar, 1 of 2**: "From -127.1 to -120.5, so the ELBO was about 6.6 nats too low." (nothing on whether it can be above)
#
# **Exemplar, 0 of 2**: "With more samples the model gets better by 6.6 nats." (the model is the same in every row; the estimate changes)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_bounds", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The bound climbs by six to seven nats, half of it in the first five samples. The model is the same in each row, so this is all gap: the KL from $q(z\mid x)$ to the true posterior is at least that large on average over the images. In expectation $\mathcal L_K$ stays below $\log p(x)$ for every $K$; a single estimate can be above
# by chance, as the mean weight is unbiased and so too large now and then.

# %% [markdown]
# ## 3 · What a trained model knows

# %% [markdown]
# ### Exercise 3a: log p(x) of test images
# Difficulty: ●●● · Time: 12 min · Points: 5
#
# The number that papers report is $\mathcal L_{5000}$ on the test images. All 5,000 samples of 100 images at once would be 500,000 images of logits, 1.6 GB, and several copies of it. But a sum can be taken in pieces, also when it is a sum of exponentials:
#
# $$ \log\sum_{k\in A\cup B} w_k \;=\; \log\Big( e^{\,\log\sum_{A} w_k} + e^{\,\log\sum_{B} w_k} \Big) \;=\; \mathtt{logaddexp}\Big(\log\sum_{A} w_k,\; \log\sum_{B} w_k\Big) $$
#
# **Write** `log_likelihood(model, x, num_samples, chunk)`: $\mathcal L_K$ with $K$ = `num_samples` for each example, shape `(batch,)`, decoding at most `chunk` samples of each example at a time.
#
# **What the check looks at.** The value (2 points): that of *all* samples together, with a last chunk that is shorter, with chunks larger than `num_samples`. Memory (1 point): never more than `chunk` samples of each example in one call of the decoder. The encoder (1 point): each image is encoded once, not once
# for each chunk. No graph (1 point): the result does not require gradients.
#
# Hints: `hint("iwae.log_likelihood")`.

# %% nbgrader={"grade": false, "grade_id": "log_likelihood", "locked": false, "schema_version": 3, "solution": true, "task": false}
@torch.no_grad()
def log_likelihood(model: nn.Module, x: Tensor, num_samples: int = 5000, chunk: int = 100) -> Tensor:
    """log p(x) of each example, L_K with K = num_samples, at most chunk samples of each decoded at a time; shape (batch,)."""
    ### BEGIN SOLUTION
    qz, pz = model.posterior(x), model.prior(len(x))
    total = torch.full((len(x),), -math.inf)  # log of the sum of the weights so far
    for start in range(0, num_samples, chunk):
        z = qz.sample((min(chunk, num_samples - start),))
        log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (pz.log_prob(z) - qz.log_prob(z)).sum(-1)
        total = torch.logaddexp(total, torch.logsumexp(log_w, dim=0))
    return total - math.log(num_samples)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_log_likelihood", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check("iwae.log_likelihood", log_likelihood)

# %% [markdown]
# Test images have chosen nothing so far; now they are looked at, for the last number. Each dot is a test image. Left: its ELBO against the estimate of its $\log p(x)$; the distance below the line is the gap. Right: how the mean estimate grows with the samples; a curve that still climbs at its right end has not arrived.

# %%
models = {"VAE": vae, "IWAE": iwae}
test_images = digits.test.images[:60]
largest = 200 if fast() else 5000
counts = [k for k in (1, 5, 20, 100, 1000) if k < largest]
torch.manual_seed(31)
with torch.no_grad():
    elbos = {name: log_weights(model, test_images, 100).mean(dim=0) for name, model in models.items()}
estimates = {name: log_likelihood(model, test_images, largest) for name, model in models.items()}

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for (name, model), color, marker in zip(models.items(), (ORANGE, BLUE), "so"):
    left.plot(estimates[name], elbos[name], marker, color=color, markersize=4, alpha=0.7, label=name)
    means = [log_likelihood(model, test_images, k).mean().item() for k in counts]
    right.plot([*counts, largest], [*means, estimates[name].mean().item()], f"{marker}-", color=color, label=name)
low, high = estimates["VAE"].min().item() - 5, estimates["VAE"].max().item() + 5
left.plot([low, high], [low, high], color=GREY, linewidth=1)
left.set(xlabel=f"log p(x), {largest:,} samples (nats)", ylabel="ELBO (nats)", title="60 test images")
right.set(xscale="log", xlabel="samples", ylabel="mean estimate of log p(x) (nats)", title="the same images, more samples")
left.legend(frameon=False)
right.legend(frameon=False)
plt.show()
for name, estimate in estimates.items():
    gap = (estimate - elbos[name]).mean()
    print(f"{name:4}: ELBO {elbos[name].mean():.1f}, log p(x) {estimate.mean():.1f}, gap {gap:.1f} nats")

# %% [markdown]
# ### Exercise 3b: which latents say something
# Difficulty: ●●○ · Time: 8 min · Points: 5
#
# A latent is *active* when its posterior mean moves from image to image (Burda et al. 2016, section 5.2):
#
# $$ A_m = \operatorname{Var}_x\!\big[\,\mathbb E_{q(z_m\mid x)}[z_m]\,\big] > 0.01 $$
#
# **Write** `active_units(model, x)`: return two things, the number of active latents and the variances $A$, shape `(M,)`, over the images of `x`. It is the variance of the posterior *means*: a latent that is pure noise has samples with variance 1, and means that never move.
#
# **What the check looks at.** The variances (dividing by $N$ or by $N-1$ is the same to it) and the count; `x` is unchanged.
#
# Hints: `hint("iwae.active_units")`.

# %% nbgrader={"grade": false, "grade_id": "active_units", "locked": false, "schema_version": 3, "solution": true, "task": false}
@torch.no_grad()
def active_units(model: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """How many latents' posterior means have a variance over the images above 0.01; and these variances, (M,)."""
    ### BEGIN SOLUTION
    variances = model.posterior(x).mean.var(dim=0)
    return int((variances > 0.01).sum()), variances
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_active_units", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("iwae.active_units", active_units)

# %% [markdown]
# The same networks, two objectives. Dots above the dashed line are active latents. Look for a cliff, too: after a training this short, latents between the cliff and the line are on their way out, and the count depends on where the line is.

# %%
rows, activity = [], {}
for name, model in models.items():
    count, activity[name] = active_units(model, digits.validation.images)
    elbo, log_px = elbos[name].mean().item(), estimates[name].mean().item()
    rows.append({"model": name, "active units": count, "test ELBO": elbo, "test log p(x)": log_px})

figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for (name, variances), color, marker in zip(activity.items(), (ORANGE, BLUE), "so"):
    heights = variances.sort(descending=True).values
    ax.plot(range(1, len(heights) + 1), heights, f"{marker}-", color=color, markersize=4, label=name)
ax.axhline(0.01, color="black", linestyle="--", linewidth=1, label="active above")
ax.set(yscale="log", xlabel="latents, most active first", ylabel="variance of the posterior mean")
ax.legend(frameon=False)
plt.show()
pd.DataFrame(rows).set_index("model").round(1)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_vae_or_iwae", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: the IWAE may have the *lower* ELBO of the two and still the higher $\log p(x)$. How can that be, and what does it say about the $q$ that each objective asks for?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that the ELBO is log p(x) minus the KL from q to the true posterior, so a better model with a q further from its posterior can have a lower ELBO.
# - 1 mark: says that the ELBO punishes every sample that is bad (q must be close to the posterior, which pulls the model towards simple posteriors), while for L_K it is enough that some of the K samples are good, so q may be wider and the posterior more complicated.
#
# **Exemplar, 2 of 2**: "ELBO = log p(x) - KL(q || posterior), so the IWAE's larger gap can outweigh its better log p(x). L_10 only needs a few good samples among 10, so q may be wide and the model is not forced to have a posterior that a Gaussian fits."
#
# **Exemplar, 1 of 2**: "Because the ELBO is only a bound and the IWAE's is looser." (no word on what q each objective asks for)
#
# **Exemplar, 0 of 2**: "The IWAE overfits." (both numbers are on images that it was not trained on)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_vae_or_iwae", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The ELBO is $\log p(x) - \mathrm{KL}(q\,\|\,p(z\mid x))$, so a model with the higher $\log p(x)$ has the lower ELBO if its $q$ is further from its posterior. The ELBO charges for *every* sample that explains $x$ badly, so $q$ has to stay inside the posterior, and the model is pulled towards posteriors that a diagonal Gaussian fits.
# For $\mathcal L_K$ a few good samples among $K$ are enough: $q$ may be wider, and the posterior less simple.

# %% [markdown]
# ### Exercise 3c: a posterior out of weights
# Difficulty: ●●○ · Time: 10 min · Points: 4
#
# The weights repair $q$: draw $K$ candidates from $q(z\mid x)$, then draw from the *candidates*, with the normalized weights as probabilities. For large $K$ the result is a sample of the true posterior $p(z\mid x)$, whatever shape that has (**sampling-importance-resampling**, SIR; Rubin 1988).
#
# **Write** `resample(z, log_w, num_draws)`.
#
# | | shape | |
# |---|---|---|
# | `z` | `(K, batch, M)` | the candidates |
# | `log_w` | `(K, batch)` | their log-weights |
# | result | `(num_draws, batch, M)` | each entry one of its *own example's* candidates, drawn with replacement |
#
# **What the check looks at.** That each draw is a candidate of its own example, whole (all $M$ latents of one $k$). That over 3,000 draws each candidate comes as often as its weight says, for each example on its own. That log-weights of −900 are no trouble. That both arguments are unchanged.
#
# Hints: `hint("iwae.resample")`.

# %% nbgrader={"grade": false, "grade_id": "resample", "locked": false, "schema_version": 3, "solution": true, "task": false}
def resample(z: Tensor, log_w: Tensor, num_draws: int) -> Tensor:
    """Draws from the candidates z (K, batch, M) of each example by their weights, log_w (K, batch); shape (num_draws, batch, M)."""
    ### BEGIN SOLUTION
    index = Categorical(logits=log_w.T).sample((num_draws,))  # (num_draws, batch)
    return z[index, torch.arange(z.shape[1])]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_resample", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("iwae.resample", resample)

# %% [markdown]
# Something to send to a friend. With two latents the true posterior can be drawn on a grid: for each $z$ the decoder says how probable the image is. In each panel: a validation image, its true posterior (shaded), the encoder's $q$ (ellipse at two standard deviations), and 200 draws of yours out of 5,000 candidates from $q$. The dots know the
# shape that the ellipse cannot have; but where $q$ hardly reaches, few candidates stand for many draws, and where it never reaches, the gap is larger than its estimate says.

# %%
plane = train(num_samples=1, latents=2, max_steps=1500)
torch.manual_seed(33)
images = digits.validation.images[:40]
with torch.no_grad():
    qz = plane.posterior(images)
    candidates = qz.sample((1000 if fast() else 5000,))
    log_w = torch.cat([plane.observation_model(part).log_prob(images).flatten(2).sum(-1) for part in candidates.split(250)])
    log_w = log_w + (plane.prior(len(images)).log_prob(candidates) - qz.log_prob(candidates)).sum(-1)
draws = resample(candidates, log_w, 200)
gap = torch.logsumexp(log_w, 0) - math.log(len(log_w)) - log_w.mean(0)
chosen = gap.argsort()[[10, 20, 30, 37]]  # from a small gap to a large one


def posterior_on(first: Tensor, second: Tensor, image: Tensor) -> Tensor:
    """p(z|x) on a grid of z, relative to its largest value there; shape (len(second), len(first))."""
    z = torch.cartesian_prod(second, first).flip(1)
    with torch.no_grad():
        log_px = torch.cat([plane.observation_model(part).log_prob(image).flatten(1).sum(1) for part in z.split(5000)])
    log_joint = log_px + plane.prior(1).log_prob(z).sum(-1)
    return (log_joint - log_joint.max()).exp().view(len(second), len(first))


wide = torch.linspace(-5, 5, 201)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.9), layout="constrained")
for ax, n in zip(axes, chosen.tolist()):
    mu, sigma = qz.mu[n], qz.sigma[n]
    rows, columns = torch.where(posterior_on(wide, wide, images[n]) > 0.01)
    seen = torch.stack([wide[columns], wide[rows]], dim=1)  # where the posterior is: perhaps not where q is
    seen = torch.cat([seen - 0.05, seen + 0.05, torch.stack([mu - 2.5 * sigma, mu + 2.5 * sigma])])
    (x0, y0), (x1, y1) = seen.amin(dim=0).tolist(), seen.amax(dim=0).tolist()
    first, second = torch.linspace(x0, x1, 90), torch.linspace(y0, y1, 90)
    shade = posterior_on(first, second, images[n])
    ax.pcolormesh(first, second, shade, cmap="Greys", shading="gouraud", rasterized=True, vmax=1.6)
    turn = torch.linspace(0, 2 * math.pi, 100)
    ax.plot(*(mu[:, None] + 2 * sigma[:, None] * torch.stack([turn.cos(), turn.sin()])), color=ORANGE, label="q of the encoder")
    ax.scatter(*draws[:, n].T, s=7, color=BLUE, alpha=0.5, linewidths=0, label="resampled")
    ax.set(xlabel="$z_1$", xlim=(x0, x1), ylim=(y0, y1))
    ax.text(1, 1.04, f"estimated gap\n{gap[n]:.1f} nats", transform=ax.transAxes, ha="right", va="bottom")
    inset = ax.inset_axes([0.0, 1.03, 0.24, 0.24])  # the image, above its panel
    inset.imshow(images[n, 0], cmap="gray_r")
    inset.set(xticks=[], yticks=[])
axes[0].set(ylabel="$z_2$")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_tighter", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 3d: is tighter always better?
# Difficulty: ●●● · Time: 5 min · Points: 2
#
# The lecture measures the encoder's gradient: as $K$ grows its mean shrinks like $1/K$ and its standard deviation like $1/\sqrt K$. (i) What happens to the signal-to-noise ratio of the encoder's gradient, and why is there less and less for the encoder to learn as $K\to\infty$? (ii) Is that an argument against $\mathcal L_{5000}$ for *reporting* a model's
# likelihood?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that the ratio falls like 1/sqrt(K), and that L_K approaches log p(x), which does not depend on q at all, so the gradient for q goes to zero (and the noise outlasts it).
# - 1 mark: says no: reporting takes no gradient; there the tighter bound is simply the better estimate (at fixed model and q).
#
# **Exemplar, 2 of 2**: "(1/K) / (1/sqrt K) = 1/sqrt K, so it gets worse. For K to infinity L_K is log p(x) whatever q is, so q has nothing to gain. For reporting nothing is trained, so more samples only help."
#
# **Exemplar, 1 of 2**: "The signal-to-noise ratio falls like 1/sqrt K because the bound becomes independent of q. So one should not use many samples." (second mark missing: training and reporting are mixed up)
#
# **Exemplar, 0 of 2**: "More samples average out the noise, so the gradient gets better." (overlooks that the mean shrinks faster)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_tighter", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The ratio falls like $(1/K)/(1/\sqrt K) = 1/\sqrt K$. As $K\to\infty$ the bound becomes $\log p(x)$, which does not contain $q$: any $q$ that covers the posterior is as good as any other, the gradient with respect to it vanishes, and the noise vanishes more slowly. (The decoder does not suffer from this, and the optional exercise below repairs it for the encoder.) For
# reporting nothing is differentiated: at a fixed model and a fixed $q$ more samples only bring the estimate closer to $\log p(x)$.

# %% [markdown]
# ## 4 · Going on (no points)

# %% [markdown]
# ### Optional exercise 4a: the doubly reparameterized gradient
# Difficulty: ●●● · Time: 25 min · Points: 0
#
# The gradient of $\mathcal L_K$ reaches the encoder on two ways: through the samples $z_k$, and through the parameters of $q$ in $\log q(z_k\mid x)$. The second is a score function in disguise, with its noise. Tucker et al. (2019) reparameterize it *again*, and what is left is (their equation 8)
#
# $$ \nabla_\phi \mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k^2 \,\frac{\partial \log w_k}{\partial z_k}\,\frac{\partial z_k}{\partial\phi}\Big], $$
#
# whose signal-to-noise ratio grows with $K$ where $K$ is large. Autograd finds it if you stop the right things: the parameters of $q$ inside $\log q(z\mid x)$, and the weights.
#
# **Write** `dreg_surrogate(model, x, num_samples)`, shape `(batch,)`, whose gradient with respect to the *encoder* is that. Its value means nothing: it is a surrogate, and no bound. Then run `check("iwae.dreg", dreg_surrogate)` in a cell of your own; `hint("iwae.dreg")` helps. (The library has it as
# `elbolab.surrogates.DoublyReparameterized`, which grafts this gradient onto the value of $\mathcal L_K$, so that the loss that you see stays a bound.)

# %% nbgrader={"grade": false, "grade_id": "dreg_surrogate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dreg_surrogate(model: nn.Module, x: Tensor, num_samples: int) -> Tensor:
    """Its gradient with respect to the encoder is the doubly reparameterized one of L_K; its value means nothing. Shape (batch,)."""
    ### BEGIN SOLUTION
    qz = model.posterior(x)
    z = qz.rsample((num_samples,))
    stopped = Normal(qz.mu.detach(), qz.sigma.detach())
    log_w = model.observation_model(z).log_prob(x).flatten(2).sum(-1) + (model.prior(len(x)).log_prob(z) - stopped.log_prob(z)).sum(-1)
    weights = torch.softmax(log_w, dim=0).detach()
    return (weights.square() * log_w).sum(dim=0)
    ### END SOLUTION

# %% [markdown]
# ### Optional exercise 4b: whose fault is the gap?
# Difficulty: ●●● · Time: 30 min · Points: 0
#
# Take the image with the largest gap of your test images, and improve its $q$ alone: start from `vae.posterior(x)`, and climb $\mathcal L_{10}$ with respect to `mu` and `log_sigma` for 200 steps. How much of the gap is the encoder's, and how much is left because $q$ is a diagonal Gaussian? (Cremer et al. 2018; lecture 01, section 10, does it for the ELBO.)

# %% [markdown]
# ### Optional exercise 4c: the prior as proposal
# Difficulty: ●●○ · Time: 15 min · Points: 0
#
# Estimate $\log p(x)$ of the same test images with 5,000 samples from the *prior* in place of $q(z\mid x)$; the weights are $p(x\mid z)$ then. How low does the estimate fall, what is the ESS, and for which images is it not so bad? Which of the two proposals would you trust for an image that looks like nothing in the training set?

# %%
progress("iwae")

# %% [markdown]
# ## Further reading
#
# - Y. Burda, R. Grosse and R. Salakhutdinov, *Importance Weighted Autoencoders*, 2016, [arXiv:1509.00519](https://arxiv.org/abs/1509.00519): the paper of this unit; table 1, and active units in section 5.2.
# - C. Cremer, Q. Morris and D. Duvenaud, *Reinterpreting Importance-Weighted Autoencoders*, 2017, [arXiv:1704.02916](https://arxiv.org/abs/1704.02916): $\mathcal L_K$ as an ELBO with a better $q$, the one that 3c draws from.
# - T. Rainforth et al., *Tighter Variational Bounds are Not Necessarily Better*, 2018, [arXiv:1802.04537](https://arxiv.org/abs/1802.04537): exercise 3d.
# - G. Tucker, D. Lawson, S. Gu and C. J. Maddison, *Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*, 2019, [arXiv:1810.04152](https://arxiv.org/abs/1810.04152): optional exercise 4a.
# - C. Cremer, X. Li and D. Duvenaud, *Inference Suboptimality in Variational Autoencoders*, 2018, [arXiv:1801.03558](https://arxiv.org/abs/1801.03558): optional exercise 4b.
# - A. B. Owen, *Monte Carlo theory, methods and examples*, 2013, chapter 9, [artowen.su.domains/mc](https://artowen.su.domains/mc/): importance sampling at length, and how it fails. The effective sample size is from A. Kong, *A Note on Importance Sampling using Standardized Weights*, University of Chicago, technical report 348, 1992; resampling from D. B. Rubin, *Using the SIR Algorithm to Simulate Posterior Distributions*, Bayesian Statistics 3, 1988.
