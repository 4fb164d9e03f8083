# %% [markdown]
# # 4 · Discrete latents and gradient estimators
#
# **Goals**
# - you can say why a category cannot be reparameterized, and name the two ways around it
# - you can derive the score function, and say what may be subtracted from a cost without a bias, and what may not
# - you can test an estimator: exactly, by adding up all samples, or by measuring its bias and its variance
# - you can say what Gumbel-softmax differentiates, what the temperature does, and what straight-through pretends
# - you can read a race of estimators, and recognize a posterior collapse that looks like success
#
# **Prerequisites**: unit 01 (the ELBO, amortized inference, the trick); expectations and logarithms. Unit 02's bound for section 9.
#
# **Time**: 50 to 60 minutes
#
# Notation: $x$ an image, $z$ a code of $L$ latents with $C$ classes each, one-hot; $p_\theta(x|z)$ the observation model, $q_\phi(z|x)$ the approximate
# posterior, $f(z) = -\log p_\theta(x|z)$ the cost, $S$ samples, $B$ the batch. One shape convention: `(samples, batch, ...)`. Values are in nats.
# Boxes marked ⚠ describe mistakes that are easy to make: what you see, where it comes from, and a test that finds it.

# %%
import itertools
import math
import time
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from elbolab.data import load_mnist
from elbolab.discrete import CategoricalVAE, DiscreteInference
from elbolab.gradients import (
    all_codes,
    enumeration,
    gradient_draws,
    gradient_statistics,
    gumbel_noise,
    gumbel_softmax,
    kl_to_uniform,
    leave_one_out,
    linear_schedule,
    log_prob_one_hot,
    rebar,
    rloo,
    sample_one_hot,
    score_function,
    score_surrogate,
    straight_through_gumbel,
    vimco,
)
from elbolab.race import load_race, plot_race, race_table
from elbolab.training import fit

SEED = 1  # every random step below starts from this seed
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A8A8A"  # told apart by the colour-blind, too
data = load_mnist(binarize="dynamic")
pixel_means = data.train.images.mean(0)

# %% [markdown]
# ## 1 · A code is not a point
#
# Unit 01's latent was a point that could move. A digit's class cannot: there is nothing between a 3 and a 7. Here each image is described by a *code*:
# $L$ latents, each of which takes one of $C$ classes, with a uniform prior.
#
# $$z_l \sim \mathrm{Categorical}(1/C, \dots, 1/C), \quad l = 1, \dots, L; \qquad x_d \mid z \sim \mathrm{Bernoulli}\big(\pi_d(z)\big)$$
#
# $$q_\phi(z|x) = \prod_l \mathrm{Categorical}\big(z_l;\, \mathrm{softmax}(\text{logits}_l(x))\big), \qquad
#   \mathrm{KL}(q\,\|\,p) = \sum_l \big(\log C - \mathrm H(q_l)\big) \in [0,\, L \log C].$$
#
# With $L = 2$ and $C = 10$ there are 100 codes and room for 4.6 nats; with $L = 20$ there are $10^{20}$ codes and 46 nats. The loss is what it was,
# $-\mathrm{ELBO} = \mathbb E_{q_\phi}[f(z)] + \mathrm{KL}$. The KL has a closed form. All the trouble is in the first term's gradient with respect to $\phi$.
#
# ## 2 · Where you can count, count
#
# An expectation over 100 codes is a sum of 100 terms:
#
# $$\mathbb E_{q}[f(z)] = \sum_{z} q(z)\, f(z), \qquad q(z) = \prod_l q_l(z_l),$$
#
# and autograd differentiates it as it stands, with respect to everything. No sample, no noise, no bias.
#
# > ⚠ **You see** a loss whose value is off and that depends on how the other latents were filled in. **Cause**: the sum ran over the $L \cdot C$ classes, one latent at a time; but $f$ looks at all latents at once, so it must run over the $C^L$ **joint** states.
# > **Test**: with $f = 1$ the answer is 1.
#
# **Decode once.** The decoder does not know $x$. So the 100 codes are decoded once for the whole batch, not once for each image, and
# $\log p(x|z) = \sum_d x_d\, \ell_d(z) - \log(1 + e^{\ell_d(z)})$ is a matrix product of images and logits.

# %%
torch.manual_seed(SEED)
model = CategoricalVAE((1, 28, 28), latents=2, classes=10, pixel_means=pixel_means)
images = data.validation.images[:64]


def once(x):
    """log p(x|z) for all codes: 100 codes decoded, one matrix product. (100, B)."""
    return model.log_px(x, model.codes().unsqueeze(1))


def for_each_image(x):
    """The same number, decoding the 100 codes for every image again: B x 100 decoder calls. (100, B)."""
    return model.log_px(x, model.codes().unsqueeze(1).repeat(1, len(x), 1, 1))


def milliseconds(function, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(images)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


with torch.no_grad():
    difference = (once(images) - for_each_image(images)).abs().max()
    fast, slow = milliseconds(once, 10), milliseconds(for_each_image, 2)
print(f"decoded once (100 codes) {fast:.1f} ms, for each image (6,400 codes) {slow:.0f} ms: {slow / fast:.0f} times; "
      f"largest difference {difference:.1e} nats of several hundred")

# %% [markdown]
# Now train with enumeration. This model is our ground truth for the rest of the lecture: whatever an estimator says, we can check it.

# %%
history = fit(model, DiscreteInference(enumeration), data, epochs=20, seed=SEED, max_steps=1100, evaluate_every=20)
with torch.no_grad():
    x = data.validation.images
    elbo, log_px, kl = model.exact_elbo(x).mean(), model.exact_log_px(x).mean(), DiscreteInference(enumeration)(model, x)[1]["kl"].mean()
print(f"validation, exact: log p(x) {log_px:.2f}, ELBO {elbo:.2f}, gap {log_px - elbo:.2f}, KL {kl:.2f} of at most {2 * math.log(10):.2f} nats")

# %% [markdown]
# Even $\log p(x)$ is a sum of 100 terms here, so we know how far below it the bound lies.
#
# ## 3 · Why the trick fails
#
# Reparameterize a class: draw $u \sim \mathrm{Uniform}(0,1)$ and take class 1 if $u < \mathrm{sigmoid}(a)$, else class 0. That is a fine way to *sample*. But hold $u$ and
# move the logit $a$: nothing happens, and then the class jumps.

# %%
a = torch.linspace(-4, 4, 801)
u = torch.rand(2000, generator=torch.Generator().manual_seed(5))
cost_of = torch.tensor([1.0, 3.0])                                       # f(0) and f(1)
paths = cost_of[(u[:, None] < a.sigmoid()).long()]                       # (samples, logits): the cost along each frozen u

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained", sharey=True)
for shift, path, color in zip((-0.04, 0, 0.04), paths[:3], (BLUE, ORANGE, GREEN), strict=True):
    axes[0].plot(a, path + shift, color=color)
axes[0].set(title="f(z) for three frozen u: slope 0, or a jump", xlabel="logit a", ylabel="cost")
axes[1].plot(a, paths[:5].mean(0), color=GREY, lw=1, label="mean of 5")
axes[1].plot(a, paths[:50].mean(0), color=PINK, lw=1, label="mean of 50")
axes[1].plot(a, 1 + 2 * a.sigmoid(), color="black", label="expectation: smooth")
axes[1].set(title="the expectation is smooth, a mean of paths is not", xlabel="logit a")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# The expectation has a slope everywhere; each path has slope 0 almost everywhere. The *mean of the slopes* is not the *slope of the mean*: exchanging the two is what the trick rests on, and jumps forbid it.
#
# There are two ways forward:
#
# | | what carries the gradient | asks of $f$ | price |
# |---|---|---|---|
# | **score function** | the probability of the sample | its values only | variance |
# | **relaxation** | the sample, made soft | to make sense, with a slope, between the codes | bias |
#
# ## 4 · The score function
#
# Write the expectation as a sum, differentiate, and use $\nabla q = q\, \nabla \log q$:
#
# $$\nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \sum_z f(z)\, \nabla_\phi\, q_\phi(z) = \sum_z q_\phi(z)\, f(z)\, \nabla_\phi \log q_\phi(z)
#   = \mathbb E_{q_\phi}\big[f(z)\, \nabla_\phi \log q_\phi(z)\big].$$
#
# This estimator has several names. Williams (1992) called it **REINFORCE**, and that is the word in most papers: *REward Increment = Nonnegative Factor × Offset Reinforcement × Characteristic Eligibility*.
# The nonnegative factor is the learning rate, the eligibility is $\nabla \log q$, the reinforcement is a reward (here, minus the cost), and its offset is a baseline, which section 5 is about. In reinforcement learning it is the simplest *policy gradient*.
#
# In code it is one line, and its pitfalls are about `detach`. The estimate should be a number that means something, with the right gradient for the encoder (through $\log q$) *and* for the decoder (through $f$):
#
# ```python
# surrogate = cost + cost.detach() * (log_q - log_q.detach())      # (samples, batch); .mean(0) over the samples
# ```
#
# `log_q - log_q.detach()` is zero, so the value is the cost; its gradient is that of `log_q`. Where `cost` multiplies `log_q` it is a weight, a number. Leave the first `cost` out and the decoder learns nothing; leave the `detach` out, and write plain `log_q`, and the decoder learns something else.

# %%
logits = torch.tensor([[[0.4, -0.3, 0.1]]], requires_grad=True)           # one example, one latent, three classes
prices = torch.tensor([1.0, 2.0, 4.0])


def price(z):
    """A cost of codes, (S, B, 1, 3) -> (S, B)."""
    return (z * prices).sum((-2, -1))


(exact,) = torch.autograd.grad(enumeration(price, logits).sum(), logits)
torch.manual_seed(SEED)
draws = gradient_draws(score_function, price, logits.expand(100_000, 1, 3), draws=1, wrt="logits")[0]      # a batch of copies
print("exact gradient           ", exact.flatten().numpy().round(3))
print("mean of 100,000 estimates", draws.mean(0).flatten().numpy().round(3))
print("standard deviation of one", draws.std(0).flatten().numpy().round(3))

# %% [markdown]
# It is unbiased, and noisy: a single estimate is typically off by more than twice the length of the gradient.
#
# ## 5 · Where the variance comes from
#
# Two slot machines. Pulling the first costs 10, the second 11, and you pull each with probability ½. The exact gradient for the first machine's logit is $q_1 q_2 (f_1 - f_2) = -\tfrac14$: pull it a little more often, it is cheaper.
# What does one pull say? If it was the first, $f\, \nabla\log q = 10 \cdot \tfrac12 = +5$: *pull it less!* If it was the second, $11 \cdot (-\tfrac12) = -5.5$. Every pull says "that was expensive, do it less"; the truth is in the small difference.

# %%
def two_pulls(q1, b, costs=(10, 11)):
    """What the estimate says after either pull, its mean and its variance, for baselines b: sums over two outcomes."""
    first, second = (costs[0] - b) * (1 - q1), -(costs[1] - b) * q1
    mean = q1 * first + (1 - q1) * second
    return first, second, mean, q1 * (first - mean) ** 2 + (1 - q1) * (second - mean) ** 2


def best_baseline(q1, costs=(10, 11)):
    """E[f s^2] / E[s^2]: the coefficient of s = d log q / d logit_1 that leaves the least variance."""
    q, f, score = np.array([q1, 1 - q1]), np.array(costs), np.array([1 - q1, -q1])
    return (q * f * score**2).sum() / (q * score**2).sum()


b = np.linspace(0, 14, 141)
first, second, mean, _ = two_pulls(0.5, b)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].plot(b, first, color=BLUE, label="after pulling the first machine")
axes[0].plot(b, second, color=ORANGE, ls="-.", label="after pulling the second")
axes[0].plot(b, mean, color="black", lw=1, ls="--", label="mean: the exact gradient, −¼")
axes[0].set(title="one estimate, (f − b) ∇ log q, at q = (½, ½)", xlabel="baseline b", ylabel="estimate")
axes[0].annotate("both say −¼", (10.5, -0.25), (9.2, 2.6), ha="center", arrowprops={"arrowstyle": "-", "color": GREY})
axes[0].legend(frameon=False, loc="lower right", fontsize=9)
near = np.linspace(9.6, 11.4, 181)
for q1, color, style in ((0.5, GREEN, "-"), (0.8, PINK, "-.")):
    axes[1].plot(near, two_pulls(q1, near)[3], color=color, ls=style, label=f"q = ({q1}, {1 - q1:.1f})")
    expected = q1 * 10 + (1 - q1) * 11
    axes[1].plot(expected, two_pulls(q1, expected)[3], "o", ms=8, color=color, mfc="none")
    axes[1].plot(best_baseline(q1), 0, "*", ms=12, color=color, clip_on=False)
axes[1].set(title="its variance (○ expected cost as b, ★ best b)", xlabel="baseline b", ylabel="variance", ylim=(0, 0.25))
axes[1].legend(frameon=False, loc="upper center")
plt.show()
for q1 in (0.5, 0.8):
    expected = q1 * 10 + (1 - q1) * 11
    print(f"q = ({q1}, {1 - q1:.1f}): variance {two_pulls(q1, 0)[3]:.2f} at b = 0, {two_pulls(q1, expected)[3]:.4f} at the expected cost {expected:.1f}, "
          f"{two_pulls(q1, best_baseline(q1))[3]:.4f} at the best b {best_baseline(q1):.1f}; mean always {two_pulls(q1, 0)[2]:+.2f}")

# %% [markdown]
# **Subtract a number from the cost.** Any $b$ that does not depend on the sample leaves the mean alone, since
#
# $$\mathbb E_q\big[b\, \nabla \log q(z)\big] = b \sum_z \nabla q(z) = b\, \nabla 1 = 0 .$$
#
# In general a *control variate* is a random quantity whose mean is known and which goes up and down with the noise; subtract it, add its mean back, and some noise is gone. Here the control variate is $b\, \nabla \log q(z)$, with mean 0, and the baseline $b$ is its *coefficient*: it says how much of $\nabla \log q$ to subtract.
# Least squares gives the best coefficient,
#
# $$b^\ast = \frac{\mathrm{Cov}(f\, s,\, s)}{\mathrm{Var}(s)} = \frac{\mathbb E_q[f(z)\, s(z)^2]}{\mathbb E_q[s(z)^2]}, \qquad s(z) = \frac{\partial \log q(z)}{\partial\, \text{logit}_1}.$$
#
# For two machines this can be worked out, and so can the variance:
#
# $$\mathrm{Var} = q_1 q_2 \big[q_2 (f_1 - b) + q_1 (f_2 - b)\big]^2, \qquad b^\ast = q_2 f_1 + q_1 f_2 .$$
#
# At $b^\ast$ either pull says the same, and the variance is zero. The best baseline is *not* the expected cost $q_1 f_1 + q_2 f_2$ (the circles on the right), though it is often near it.
#
# **Where does a baseline come from?** From the past (a moving average), from a network that looks at $x$, or from *other samples of the same image*: with $S \ge 2$ samples use the mean of the others. This is **RLOO**, *REINFORCE leave-one-out* (Kool et al. 2019). It costs no extra network and needs no tuning.
#
# > ⚠ **You see** nothing: training works, only more slowly. **Cause**: the baseline is the mean of *all* samples, including the one that it corrects, so it depends on that sample, and the estimate's mean is $(S-1)/S$ of the gradient: half of it with two samples. **Test**: the next cell.
#
# **How would you know?** Not from training, which forgives a constant factor, but by *adding up*: with few classes and few samples one can visit every tuple of samples, weight its estimate by its probability, and get the estimator's mean with no noise at all.

# %%
def exact_mean(estimate, logits, samples):
    """The mean of a gradient estimator over all tuples of samples, in float64, and the exact gradient, each (L, C)."""
    codes = all_codes(*logits.shape, dtype=torch.float64)
    tuples = torch.tensor(list(itertools.product(range(len(codes)), repeat=samples)))       # (T, S)
    z = codes[tuples].transpose(0, 1)                                                       # (S, T, L, C): each tuple is a row of a batch
    rows = logits.expand(len(tuples), *logits.shape).clone().requires_grad_()
    log_q = log_prob_one_hot(rows, z)                                                       # (S, T)
    (gradients,) = torch.autograd.grad(estimate(wavy(z), log_q).sum(), rows)
    leaf = logits.clone().requires_grad_()
    (truth,) = torch.autograd.grad(enumeration(wavy, leaf[None]).sum(), leaf)
    return (log_q.detach().sum(0).exp()[:, None, None] * gradients).sum(0), truth


def wavy(z):
    """Some cost that no latent explains alone, (S, B, L, C) -> (S, B)."""
    return 2 + torch.sin(z.flatten(-2) @ torch.arange(1.0, 1 + z[0, 0].numel(), dtype=z.dtype))


small = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.6, -0.4]], dtype=torch.float64)             # two latents of three classes
rules = {
    "score function": lambda cost, log_q: score_surrogate(cost, log_q),
    "leave-one-out": lambda cost, log_q: score_surrogate(cost, log_q, leave_one_out(cost)),
    "mean of all, its own included": lambda cost, log_q: score_surrogate(cost, log_q, cost.mean(0)),
}
for name, rule in rules.items():
    mean, truth = exact_mean(rule, small, samples=3)
    print(f"{name:30s} largest error {float((mean - truth).abs().max()):.1e}, mean / truth {float((mean * truth).sum() / truth.square().sum()):.4f}")

# %% [markdown]
# All $9^3 = 729$ triples of codes: two estimators are right to the last digit, and one is two thirds of the truth. The test has no randomness in it.
#
# **Is leave-one-out always better?** It has one sure advantage: it ignores constants. With $f + c$ in place of $f$ its baseline moves along, and the estimate stays the same, sample by sample. But no law says that its variance is the smaller one. Here are both, with two samples, on two machines with costs $c + 1$ and $c$ at $q = (\tfrac12, \tfrac12)$; the lines are exact (four pairs of samples each).

# %%
def pair_variance(constant, baseline):
    """The variance of a two-sample estimate of the first logit's gradient for costs (c + 1, c) at q = (1/2, 1/2), exactly."""
    estimates = []
    for pair in itertools.product((0, 1), repeat=2):
        f = [constant + 1 - arm for arm in pair]
        weights = [f[0] - f[1], f[1] - f[0]] if baseline else f
        estimates.append(sum(w * (0.5 - arm) for w, arm in zip(weights, pair, strict=True)) / 2)
    return np.var(estimates)


shifts = np.linspace(-3, 2, 201)
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(shifts, [pair_variance(c, False) for c in shifts], color=ORANGE, label="score function, 2 samples")
ax.plot(shifts, [pair_variance(c, True) for c in shifts], color=BLUE, label="leave-one-out, 2 samples")
ax.axvspan(-0.5 - 0.5**0.5, -0.5 + 0.5**0.5, color=GREY, alpha=0.15)
ax.text(-0.5, 0.3, "no baseline\nis better", ha="center", color="#555555")
ax.set(xlabel="c", ylabel="variance", title="costs c + 1 and c: leave-one-out ignores c", ylim=(0, 0.9))
ax.legend(frameon=False, loc="upper center")
plt.show()

# %% [markdown]
# Where costs average about zero, the best baseline is about zero, too, and leave-one-out subtracts a noisy guess of it. A reconstruction cost of 150 nats is far outside the grey strip, and there the baseline wins by orders of magnitude.
#
# <details><summary><b>Check yourself</b>: with leave-one-out, log q may even be written without its normalizer: (z * logits).sum(). Why?</summary>
#
# The signals f − b sum to zero over the samples of an image. The normalizer's gradient is the same for all samples, so it cancels exactly. Without a baseline it does not.
# </details>
#
# ## 6 · Measuring an estimator
#
# In larger problems the tuples are too many to visit. There one draws $N$ estimates and compares with the enumerated gradient $g$. Careful: even an unbiased estimator's *mean of $N$ draws* is off, by its variance over $N$:
#
# $$\mathbb E\, \lVert \bar g - g \rVert^2 = \lVert \text{bias} \rVert^2 + \frac{\text{variance}}{N}
#   \qquad\Rightarrow\qquad \widehat{\text{bias}^2} = \lVert \bar g - g \rVert^2 - \frac{\widehat{\text{variance}}}{N}.$$
#
# `gradient_statistics` does this, with a confidence interval, for any estimator. Below, 5,000 people measure the score function's squared bias on the small problem of section 5 (nine codes), each with $N = 20$ draws, with and without the correction. The true answer is 0.

# %%
torch.manual_seed(SEED)
(small_exact,) = torch.autograd.grad(enumeration(wavy, (leaf := small.clone().requires_grad_())[None]).sum(), leaf)
repeats = gradient_draws(score_function, wavy, small.expand(100_000, 2, 3), draws=1, wrt="logits")[0].view(5000, 20, -1)
naive = (repeats.mean(1) - small_exact.flatten()).square().sum(1)
corrected = naive - repeats.var(1).sum(1) / 20
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
bins = np.linspace(-0.8, 1.2, 101)
for values, color, style, label in ((naive, ORANGE, "-", "‖mean − exact‖²"), (corrected, BLUE, "--", "the same − variance / N")):
    ax.hist(values.numpy(), bins, color=color, alpha=0.25)
    ax.hist(values.numpy(), bins, color=color, histtype="step", lw=1.6, label=label)
    ax.axvline(values.mean(), color=color, ls=style, lw=1.6, label=f"its average, {values.mean():+.3f}".replace("-", "−"))
ax.set(xlim=(bins[0], bins[-1]), xlabel="estimated squared bias of an estimator that has none", ylabel="repetitions")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The uncorrected measure finds a bias that does not exist. The corrected one is right on average; it may be negative, because it is an estimate of zero.
#
# ## 7 · Relaxation
#
# **Gumbel-max.** Add independent noise $g_c = -\log(-\log u_c)$ to the logits and take the largest entry: it is class $c$ with probability $\mathrm{softmax}(\text{logits})_c$, exactly. (With $E_c = e^{-g_c} = -\log u_c$, which is exponential, the largest $\text{logit}_c + g_c$ is the smallest $E_c\, e^{-\text{logit}_c}$:
# the first of $C$ alarm clocks with rates $e^{\text{logit}_c}$.) Now replace the argmax by a softmax:
#
# $$y = \mathrm{softmax}\Big(\frac{\text{logits} + g}{\tau}\Big), \qquad g = -\log(-\log u).$$
#
# The noise does not depend on the logits, so $y$ *is* reparameterized. The temperature $\tau$ sets how far $y$ is from a code.

# %%
corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
three = torch.tensor([[[0.8, 0.0, -0.6]]])
torch.manual_seed(SEED)
noise = gumbel_noise((1500, 1, 1, 3))
winner = (three + noise).argmax(-1).flatten()
fig, axes = plt.subplots(1, 4, figsize=(10.5, 3), layout="constrained")
for ax, temperature in zip(axes, (0.1, 0.5, 1.0, 4.0), strict=True):
    y = ((three + noise) / temperature).softmax(-1).view(-1, 3)
    for label, color in enumerate((BLUE, ORANGE, GREEN)):
        ax.scatter(*(y[winner == label] @ corners).T, s=5, alpha=0.35, color=color, linewidths=0)
    ax.fill(*corners.T, fill=False, color=GREY, lw=1)
    ax.set(title=f"τ = {temperature:g}", aspect="equal", xlim=(-0.08, 1.08), ylim=(-0.1, 0.95))
    ax.axis("off")
fig.suptitle("1,500 relaxed samples of three classes (corners), coloured by the class that wins", fontsize=11)
plt.show()
print("winners      ", np.round(np.bincount(winner, minlength=3) / 1500, 3), "\nsoftmax      ", three.softmax(-1).flatten().numpy().round(3))

# %% [markdown]
# > ⚠ **You see** samples that look right, but their frequencies are not softmax(logits). **Cause**: $-\log(-\log u)$ has two logarithms and two signs; without the outer sign the noise has its long tail on the wrong side. **Test**: count the winners, as the two lines under the figure do.
#
# **What is differentiated?** $\mathbb E[f(y)]$: the cost of *mixtures of codes*. The gradient is unbiased for that problem, and biased for ours. As $\tau \to 0$ the two problems become the same, and the variance grows without bound, because the slope of a nearly hard softmax is zero almost everywhere and enormous at the boundary.
#
# **Straight-through** feeds the decoder a real code and differentiates as if it had been the soft one: `hard + soft - soft.detach()`. The value now belongs to our problem. The gradient is the gradient of nothing in particular: it is still biased, and often useful.
#
# Let us measure, with a model after its first 100 training steps, on 16 images: squared bias and variance of the gradient with respect to the logits, in units of the exact gradient's squared length.

# %%
torch.manual_seed(SEED)
young = CategoricalVAE((1, 28, 28), latents=2, classes=10, pixel_means=pixel_means)
fit(young, DiscreteInference(enumeration), data, epochs=2, seed=SEED, max_steps=100, progress=False)
f, logits16 = young.cost(data.validation.images[:16]), young.logits(data.validation.images[:16]).detach()


def relative(estimator, draws=150):
    """Squared bias and variance of an estimator in units of the exact gradient's squared length, and its cost in codes."""
    found = gradient_statistics(estimator, f, logits16, draws=draws, wrt="logits")
    return [found[name] / found["exact_squared"] for name in ("bias_squared", "bias_low", "bias_high", "variance")] + [found["decoder_calls"] / 16]


temperatures = np.array([0.1, 0.2, 0.35, 0.6, 1.0, 2.0])
curves = {name: np.array([relative(partial(estimator, temperature=float(t))) for t in temperatures])
          for name, estimator in (("Gumbel-softmax", gumbel_softmax), ("straight-through", straight_through_gumbel))}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), layout="constrained", sharex=True)
for (name, values), color, marker in zip(curves.items(), (GREEN, PINK), "os", strict=True):
    axes[0].errorbar(temperatures, values[:, 0], (values[:, :3] @ [[1, -1], [-1, 0], [0, 1]]).clip(0).T, color=color, marker=marker, capsize=3, label=name)
    axes[1].plot(temperatures, values[:, 3], color=color, marker=marker, label=name)
axes[0].axhline(0, color="black", lw=0.8, ls=":")
axes[0].set(xlabel="temperature τ", ylabel="squared bias / ‖exact‖²", title="bias (with 95 % intervals) ...", xscale="log")
axes[1].set(xlabel="temperature τ", ylabel="variance / ‖exact‖²", title="... against variance", yscale="log")
axes[0].set_xticks(temperatures, [f"{t:g}" for t in temperatures])
axes[0].xaxis.set_minor_formatter("")
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## 8 · Both: REBAR
#
# Why not use the relaxed cost as a *control variate* for the score function? It goes up and down with the true cost. A control variate must have a known mean, and this is where the relaxation helps, for its gradient can be had with little noise. **REBAR** (Tucker et al. 2017) does this in four steps.
#
# Let $z$ be a relaxed sample (section 7's $y$), $b = \mathrm{onehot}(\arg\max z)$ its code, which has probability $q(b)$, and $\eta$ any number.
#
# **Step 1: subtract and add.** Nothing changes if we take something away and put its mean back:
#
# $$\mathbb E\big[f(b)\, \nabla \log q(b)\big] = \mathbb E\big[(f(b) - \eta f(z))\, \nabla \log q(b)\big] + \eta\, \mathbb E\big[f(z)\, \nabla \log q(b)\big].$$
#
# We need a better way to compute the last term: as it stands, it is as noisy as what we started with.
#
# **Step 2: write the mean of f(z) in two ways.** As a reparameterized expectation its gradient is $\nabla\, \mathbb E[f(z)] = \mathbb E[\nabla f(z)]$. But we can also draw the code first and then $z$ *given* the code. Call a sample drawn in this order $\tilde z$; it has the same law. Then $\mathbb E[f(z)] = \sum_b q(b)\, \mathbb E[f(\tilde z) \mid b]$, and the product rule gives
#
# $$\nabla\, \mathbb E[f(z)] = \sum_b \nabla q(b)\; \mathbb E[f(\tilde z) \mid b] + \sum_b q(b)\, \nabla\, \mathbb E[f(\tilde z) \mid b]
#   = \mathbb E\big[f(\tilde z)\, \nabla \log q(b)\big] + \mathbb E\big[\nabla f(\tilde z)\big],$$
#
# if $\tilde z$ given $b$ is reparameterized, too, so that the gradient may move inside. In $\nabla f(\tilde z)$ the code $b$ is held fixed.
#
# **Step 3: solve for the unknown term.** The two gradients are equal, so
#
# $$\mathbb E\big[f(\tilde z)\, \nabla \log q(b)\big] = \mathbb E\big[\nabla f(z)\big] - \mathbb E\big[\nabla f(\tilde z)\big],$$
#
# and the right side has no score function in it. Put it into step 1, with $\tilde z$ in place of $z$ (given $b$, their laws agree):
#
# $$\big[f(b) - \eta f(\tilde z)\big]\, \nabla \log q(b) \;+\; \eta\, \nabla f(z) \;-\; \eta\, \nabla f(\tilde z)$$
#
# is unbiased for every $\eta$ and every $\tau$.
#
# **Step 4: draw z̃ given b.** Think of section 7's alarm clocks, one latent at a time, with $p = \mathrm{softmax}(\text{logits})$: clock $c$ rings at $T_c = E_c / p_c$, where the $E_c$ are independent and exponential with mean 1, and $\log p_c + g_c = -\log T_c$. Given that clock $k$ rings first:
#
# - the time of the first ring is exponential with rate $\sum_c p_c = 1$, whichever clock it was: $\tilde T_k = E_k$;
# - the others have not rung yet, and an exponential clock has no memory: they start anew, $\tilde T_c = E_k + E_c / p_c$.
#
# Then $\tilde z = \mathrm{softmax}(-\log \tilde T / \tau)$, and with $k$ and the $E$s held fixed it is a smooth function of the logits.
#
# **Two ways to use it.** So far $\tilde z$ is a *second* sample, drawn afresh given $b$. The library's `rebar` draws none: $z$ itself is a sample of its law given $b$, so it takes $\tilde z = z$ (the two are *coupled*) and saves a decoder call. The values are then equal, and the gradients are not: along $z$, $\partial(-\log T_c) / \partial \log p_c = 1$ for every clock;
# along $\tilde z$ it is 0 for the winner and $1 - \tilde T_k / \tilde T_c$ for the others, because the wait for the first ring does not depend on the logits. All expectations above stay as they are. RELAX (Grathwohl et al. 2018) goes further and trains the control variate.
#
# Let us check with one latent of two classes, where no random number is needed. Here $z = \sigma\big((a + \log\tfrac{u}{1-u})/\tau\big)$ says how much of class 1 there is, $b = 1$ if $u > 1 - \sigma(a)$, and given $b$, $u$ is uniform over its part of the unit interval. (This draws from the same law as the clocks with another formula; the derivation allows any.) So each expectation is a sum over $b$ and an integral over that part.

# %%
def smooth_cost(z):
    return 3 + (z - 0.45) ** 2


def two_class_terms(a=0.7, temperature=0.5, points=2000):
    """For b = 0 and 1: q(b), d log q(b)/da, and on a grid of u given b: f(z), df(z)/da with u fixed, df(z)/da with b and u's place given b fixed."""
    a, place = torch.tensor(a, dtype=torch.float64), (torch.arange(points, dtype=torch.float64) + 0.5) / points
    for code, probability in ((0.0, (-a).sigmoid()), (1.0, a.sigmoid())):
        logit = a.expand(points).clone().requires_grad_()
        u = place * (-logit).sigmoid() if code == 0 else (-logit).sigmoid() + place * logit.sigmoid()
        slopes = [torch.autograd.grad(smooth_cost(((logit + torch.logit(noise)) / temperature).sigmoid()).sum(), logit, retain_graph=True)[0]
                  for noise in (u.detach(), u)]
        value = smooth_cost(((a + torch.logit(u.detach())) / temperature).sigmoid())
        yield probability, code - a.sigmoid(), smooth_cost(torch.tensor(code)), value, *slopes


terms = list(two_class_terms())
score_part = sum(q * (s * value).mean() for q, s, _, value, _, _ in terms)
path, path_given_b = (sum(q * term[i].mean() for q, *term in terms) for i in (3, 4))
print(f"step 3: E[f(z) d log q(b)] = {score_part:.6f}, E[df(z)] − E[df(z̃)] = {path:.6f} − {path_given_b:.6f} = {path - path_given_b:.6f}")

estimates = {                                                             # (z̃, z): rows are the places of z̃, columns those of z
    "score function": lambda s, hard, value, d, d_b: (hard * s).reshape(1, 1),
    "REBAR, z̃ drawn afresh": lambda s, hard, value, d, d_b: ((hard - value) * s - d_b)[:, None] + d[None, :],
    "REBAR, z̃ = z coupled": lambda s, hard, value, d, d_b: (hard - value) * s + d - d_b,
}
slope = terms[0][0] * terms[1][0] * (smooth_cost(1.0) - smooth_cost(0.0))
print(f"exact gradient {slope:.6f}")
for name, estimate in estimates.items():
    mean = sum(q * estimate(*term).mean() for q, *term in terms)
    spread = (sum(q * estimate(*term).square().mean() for q, *term in terms) - mean**2).sqrt()
    print(f"{name:24s} mean {mean:.6f}, standard deviation {spread:.4f}")

# %% [markdown]
# All three have the same mean. Both forms of REBAR lose most of the score function's noise, and here the coupled one is as good as the other, with one decoder call less.
#
# Now all estimators on the 16 images of section 7.

# %%
contestants = {
    "enumeration": enumeration,
    "score function, S = 1": score_function,
    "score function, S = 4": partial(score_function, num_samples=4),
    "leave-one-out, S = 4": partial(rloo, num_samples=4),
    "REBAR, S = 1": rebar,
    "Gumbel-softmax, S = 1": gumbel_softmax,
    "straight-through, S = 1": straight_through_gumbel,
}
torch.manual_seed(SEED)
table = pd.DataFrame([relative(estimator, draws=200) for estimator in contestants.values()], index=list(contestants),
                     columns=["bias²", "from", "to", "variance", "codes"])
table.round(3)

# %% [markdown]
# (Relative to the squared length of the exact gradient; "from" and "to" are the bias's 95 % interval; "codes" are decoded for each image, and enumeration decodes 100 for all 16 images together; τ = ½.) For the unbiased ones the interval should contain zero (95 % of such intervals do). Which is best depends on how many samples you can afford: a variance falls as you average, a bias stays.
#
# (For latents of two classes there is one more way: **DisARM** (Dong et al. 2020) makes two opposite samples, from $u$ and from $1 - u$, and learns only from the bits in which they differ. It is unbiased, and in `elbolab.gradients` as `disarm`. Our latents have ten classes, so it does not run in this race.)
#
# ## 9 · Several samples, one bound
#
# With $S$ samples and weights $w_s = p(x, z_s) / q(z_s|x)$ there is the tighter bound of unit 02, the mean of $L_S = \log \frac1S \sum_s w_s$. How do we differentiate it if $z$ is discrete? **VIMCO** (Mnih & Rezende 2016), in three steps.
#
# **Step 1: the product rule.** The samples have the joint probability $\prod_s q(z_s|x)$, whose logarithm is a sum. So
#
# $$\nabla\, \mathbb E[L_S] = \mathbb E\Big[L_S \sum_s \nabla \log q(z_s|x)\Big] + \mathbb E\big[\nabla L_S\big].$$
#
# The second term is harmless: it is a mean of $\nabla \log w_s$ with the normalized weights. The first is a score function in which *one* number, $L_S$, is the signal for all samples. A sample that found nothing is praised for what another one found.
#
# **Step 2: each sample may have a baseline of its own.** The samples are independent, so a number $b_s$ that depends on all samples *except* $z_s$ changes no mean: $\mathbb E[b_s \nabla \log q(z_s|x)] = \mathbb E[b_s]\, \mathbb E[\nabla \log q(z_s|x)] = 0$. This is RLOO's argument again. It gives
#
# $$\nabla\, \mathbb E[L_S] = \mathbb E\Big[\sum_s \big(L_S - b_s\big)\, \nabla \log q(z_s|x) + \nabla L_S\Big].$$
#
# **Step 3: which number?** One near $L_S$ that does not look at $z_s$. Ask what the bound would have been *without* what sample $s$ found: put a stand-in for $\log w_s$, the mean of the other $\log w_j$, and compute the bound again, $b_s = L_S^{(-s)}$. The signal $L_S - L_S^{(-s)}$ is then what sample $s$ has added, and may be negative.
#
# The result is unbiased for the gradient of $\mathbb E[L_S]$, and therefore, for $S \ge 2$, not for that of the ELBO. The next cell adds up all 729 triples of section 5's codes; the truth beside it is a difference quotient of $\mathbb E[L_3]$.

# %%
triples = torch.tensor(list(itertools.product(range(9), repeat=3)))
z = all_codes(2, 3, dtype=torch.float64)[triples].transpose(0, 1)                              # (3, 729, 2, 3)


def log_q_and_w(rows):
    """log q and log w of all triples, (3, 729) each, with log p(x|z) = -3 wavy(z) and a uniform prior."""
    log_q = log_prob_one_hot(rows, z)
    return log_q, -3 * wavy(z) - 2 * math.log(3) - log_q


def expected_bound(logits):
    log_q, log_w = log_q_and_w(logits.expand(729, 2, 3))
    return (log_q.sum(0).exp() * vimco(log_w, log_q)).sum()


nudges = 1e-5 * torch.eye(6, dtype=torch.float64).view(6, 2, 3)
quotient = torch.stack([(expected_bound(small + n) - expected_bound(small - n)) / 2e-5 for n in nudges]).view(2, 3)
for name in ("one signal for all (step 1)", "VIMCO (step 3)"):
    rows = small.expand(729, 2, 3).clone().requires_grad_()
    log_q, log_w = log_q_and_w(rows)
    value = vimco(log_w, log_q)
    if name.startswith("one"):
        through_w = vimco(log_w, log_q.detach())                                              # no score function: the gradient of L_S itself
        value = through_w + through_w.detach() * log_q.sum(0)
    (gradients,) = torch.autograd.grad(value.sum(), rows)
    chance = log_q.detach().sum(0).exp()[:, None, None]
    mean = (chance * gradients).sum(0)
    print(f"{name:28s} largest error of the mean {(mean - quotient).abs().max():.0e}, variance {(chance * (gradients - mean) ** 2).sum():.2f}")

# %% [markdown]
# Same mean, and a fraction of the variance. And here is the bound on the model of section 2:

# %%
with torch.no_grad():
    q_logits, log_prior = model.logits(x), -2 * math.log(10)
    bounds = {}
    for samples in (2, 5, 10, 50):
        z = sample_one_hot(q_logits, samples)
        log_q = log_prob_one_hot(q_logits, z)
        bounds[samples] = float(vimco(model.log_px(x, z) + log_prior - log_q, log_q).mean())
print(f"ELBO {elbo:.2f}; " + ", ".join(f"L_{s} {b:.2f}" for s, b in bounds.items()) + f"; log p(x) {log_px:.2f} nats")

# %% [markdown]
# ## 10 · The race
#
# Here is the same model on the full MNIST, for 5 epochs, with batches of 64, Adam at 1e-3, and several seeds. Only the estimator differs (and, where a row of the table says so, the initial weights: all others start the decoder's output at the pixel means).
# Every 300 steps the run records the exact ELBO and log p(x) on held-out images, the information that the code carries about the image, and bias and variance of the gradient from 100 draws; the table has the exact bound on the whole test set, mean and spread over the seeds.
# Pixels are grey, as in the example of van Krieken et al. (2021) that this race goes back to, so that its numbers can be compared; the second table is for binary ones, drawn anew for each batch, for which log p(x) really is one.
# (`python benchmarks/race.py` ran it and stored what it measured; nothing is trained here.) The figure shows five of the estimators, the table all of them.

# %%
stored = [path for path in (Path("race.json"), Path("course/04_discrete/race.json")) if path.exists()]
race = load_race(stored[0]) if stored else {"runs": []}
if race["runs"]:
    plot_race(race, estimators=["enumeration", "score function", "rloo-2", "vimco-10", "gumbel-softmax 0.5"])
    plt.show()
else:
    print("The stored race is not beside this notebook: `python benchmarks/race.py` makes it.")

# %%
FORMATS = {"last variance": "{:.1e}", "variance": "{:,.2f}"}
COLUMNS = ["seeds", "-ELBO", "spread", "-log p(x)", "KL", "I(x; z)", "bias", "variance", "last variance", "codes a step"]


def shown(frame):
    """A table with as many digits as each column deserves."""
    formats = {name: FORMATS.get(name, "{:.2f}") for name in frame.select_dtypes("floating")}
    return frame.style.format(formats, na_rep="–").set_table_styles([{"selector": "th.row_heading", "props": "white-space: nowrap"}])


table = race_table(race)
shown(table[COLUMNS]) if len(table) else None

# %%
binary = race_table(race, "binary")
shown(binary[COLUMNS]) if len(binary) else print("The race on binary pixels is not stored yet.")

# %%
if {"score function, 1 sample", "RLOO, 2 samples", "Gumbel-softmax, τ = 0.5"} <= set(table.index):
    alone, pair, relaxed = (table.loc[name] for name in ("score function, 1 sample", "RLOO, 2 samples", "Gumbel-softmax, τ = 0.5"))
    print(f"a second sample and leave-one-out: variance {alone['variance']:,.0f} → {pair['variance']:.1f}, {alone['variance'] / pair['variance']:.0f} times less, "
          f"for {pair['codes a step'] / alone['codes a step']:.0f} times the decoding; −ELBO {alone['-ELBO']:.2f} → {pair['-ELBO']:.2f} ± {pair['spread']:.2f}, "
          f"Gumbel-softmax {relaxed['-ELBO']:.2f} ± {relaxed['spread']:.2f}")

# %% [markdown]
# Lines in the figure are means over the seeds (medians for bias and variance), and bands reach from the lowest to the highest. In the tables, "seeds" says how many runs stand behind a row; a spread over only two of them is rough. "bias" (squared) and "variance" are relative to the exact gradient's squared length;
# a bias of "–" means that most of its 95 % intervals reach 0. (VIMCO aims at the gradient of another bound, so no bias is given for it.) "last variance" is absolute, in nats², at the end of training.
#
# How to read it.
#
# - **Two samples are enough.** Among the unbiased estimators that sample, the best bargain is RLOO with 2 samples. Against one sample without a baseline it decodes twice as many codes, and the variance falls from 1,737 to 3.1. It ends at 147.84 ± 0.82 nats, level with the 147.78 ± 0.63 of Gumbel-softmax, which has a bias but needs only half the codes. Ten samples gain another 2.7 nats, for five times the decoding of two.
# - **Count the decoder calls, not only the steps** (top left and middle). A step with one sample per image decodes 64 codes, one with ten samples 640. Enumeration, decoded once for the whole batch, needs 100 and is exact, but only few models can be enumerated.
# - **Bias or variance?** The score function alone has no bias and does not get far. Gumbel-softmax gets far with one relaxed sample; the price is the bias that the figure's lower left panel shows, and a falling temperature pays some of it back.
# - **Which number do you want?** VIMCO has one of the worse values of −ELBO, 156.08, and the best −log p(x) of all, 138.66 (enumeration: 144.76 and 142.57). It trains another bound, under which $q$ may be wide: its KL is only 3.45. Use VIMCO if you want a good model, and judge it by log p(x).
# - **A small variance is not a merit in itself.** A gradient that is always zero has none. The smallest variances of this race at the end of training, apart from enumeration's, belong to runs that failed: see below.
# - **Look at the code**, and not only at the loss: how much does $z$ say about $x$?
#
# ### Collapse has two faces
#
# A code that is the same for every image says nothing. The loss is then at best that of independent pixels, 205.8 nats on the grey test images, plus the KL. There are two ways to end up there:
#
# | | $q(z \vert x)$, for every $x$ | KL | information between $x$ and $z$ | loss |
# |---|---|---|---|---|
# | onto the prior | uniform | 0 | 0 | 205.8 |
# | onto one code | certain of the same code | $L \log C = 4.6$, the *largest* value | 0 | 210.4 |
#
# So a KL of zero is a bad sign, and a large KL is not a good one by itself. Unit 01's ELBO surgery tells them apart: mean KL = information + mismatch, where the information is $\mathrm H(q(z)) - \frac1N\sum_n \mathrm H(q(z|x_n))$ with $q(z)$ the average posterior. With 100 codes it is a sum.
#
# > ⚠ **You see** a loss that stays between 205 and 215, and a gradient whose variance is tiny, $10^{-9}$ or less. **Cause**: the code is the same for every image, so there is nothing left to be noisy about. **Test**: compare the loss with that of a model without latents, and compute the information.
#
# This happens with Gumbel-softmax at τ = 1 and torch's own initial weights. Here are the seeds of that run, one by one:

# %%
own_start = [run for run in race["runs"] if (run["estimator"], run["pixels"]) == ("gumbel-softmax 1.0 (torch init)", "grey")]
names = ["seed", "-ELBO", "KL", "I(x; z)", "last variance"]
found = [[run["seed"], -run["test"]["elbo"], run["test"]["kl"], run["test"]["information"], run["variance, logits"][-1]] for run in own_start]
shown(pd.DataFrame(found, columns=names).set_index("seed"))

# %% [markdown]
# Some show the *second* face: a KL of log 100, its largest value, no information, and practically no variance. The others escaped, and only their random numbers differ. So one run says little about an estimator, and the mean over such seeds describes none of them.
# The next table puts three related settings beside it ("collapsed" counts the seeds with less than 0.1 nats of information):

# %%
alike = ("Gumbel-softmax, τ = 1, torch's initialization", "Gumbel-softmax, τ = 1", "Gumbel-softmax, τ = 1 to 0.3", "enumeration, torch's initialization")
rows = [name for name in alike if name in table.index]
shown(table.loc[rows, ["seeds", "collapsed", "-ELBO", "KL", "I(x; z)", "last variance"]]) if rows else None

# %% [markdown]
# The second row starts the decoder's output at the pixel means, and nothing else is different. None of its seeds collapsed, nor did any other run of the race that starts there: it cures the collapse, but does not lead to a better end: the seeds that escaped by themselves end no worse.
# In the third the temperature falls as well, which reduces the bias. The fourth has the bad start and exact gradients. It loses time and then recovers, and ends about three nats behind: an exact gradient may be small, but it still points the right way.
#
# Let us make it happen on purpose: Gumbel-softmax at τ = 1 for 300 steps with torch's own initial weights, with the seed that was the worst of nine on the 5,000 embedded images; then one change at a time.

# %%
def health(candidate):
    """KL, information between image and code, and ELBO on the validation images, all exact, in nats."""
    with torch.no_grad():
        log_q = log_prob_one_hot(candidate.logits(x), candidate.codes().unsqueeze(1))                   # (100, N)
        average = log_q.logsumexp(1) - math.log(len(x))                                                # log q(z)
        information = (log_q.exp() * log_q).sum(0).mean() - (average.exp() * average).sum()
        return [float(v) for v in (kl_to_uniform(candidate.logits(x)).mean(), information, candidate.exact_elbo(x).mean())]


hot = partial(gumbel_softmax, temperature=1.0)


def attempt(estimator=hot, bias=False, warm_up=False, seed=6):
    """300 steps; `bias`: the output starts at the pixel means; `warm_up`: the KL's weight rises from 0 to 1."""
    torch.manual_seed(seed)
    candidate = CategoricalVAE((1, 28, 28), pixel_means=pixel_means if bias else None)
    objective = DiscreteInference(estimator, beta=linear_schedule(0.0, 1.0, 200) if warm_up else 1.0)
    fit(candidate, objective, data, epochs=6, seed=seed, max_steps=300, progress=False, evaluate_every=6)
    return health(candidate)


changes = {
    "Gumbel-softmax, τ = 1": {},
    "... with KL warm-up": {"warm_up": True},
    "... with τ = 0.3": {"estimator": partial(gumbel_softmax, temperature=0.3)},
    "straight-through, τ = 1": {"estimator": partial(straight_through_gumbel, temperature=1.0)},
    "enumeration: exact gradients": {"estimator": enumeration},
    "Gumbel-softmax, τ = 1, output bias at the pixel means": {"bias": True},
}
pd.DataFrame([attempt(**change) for change in changes.values()], index=list(changes), columns=["KL", "information", "ELBO"]).round(1)

# %% [markdown]
# Read the first two columns together: a KL near its maximum, and almost no information. This is the *second* face, and the usual cure of the first does not help: warm-up makes certainty cheaper, which is the wrong direction.
# With exact gradients the start is slow as well, so the relaxation is not the only cause.
#
# **The likely story.** At first every code decodes to grey, and there is one thing to learn: most pixels are dark. The code that happens to be drawn a little more often learns it a little sooner. Soon it is cheaper than the others by more than the KL can ever cost, 4.6 nats, and every image
# chooses it. Then the softmax is saturated, its slope $q(1-q)$ is gone, and the other codes are hardly ever drawn and learn nothing more. The winner takes all.
#
# **The cure** is to give every code this prize at the start: set the decoder's output bias to the logits of the pixel means. Then all codes know at step 0 that most pixels are dark, and what is left to learn is where they differ. We tried `seed=0` to `3` in place of 6 on the embedded images: it raised the information each time, from 1.4 to 2.6 nats to 3.0 to 3.1;
# warm-up and a lower temperature raised it for some seeds and lowered it for others, and straight-through lowered it. Warm-up (Bowman et al. 2016; Sønderby et al. 2016) is meant for the first face, where the prior wins because a code costs before it pays.
#
# (A table of one unlucky seed and 300 steps is a demonstration, and with the full MNIST another seed may be the unlucky one. `python benchmarks/race.py` trains the same on all of MNIST, with and without the bias.)
#
# <details><summary><b>Check yourself</b>: during training with Gumbel-softmax the loss reads 140. May you report an ELBO of −140?</summary>
#
# No. That is the cost of relaxed codes: the value of another problem, and not a bound on log p(x). Measure with hard samples, or by enumeration.
# </details>
#
# ## 11 · An alphabet to send to a friend
#
# The model of section 2 has invented 100 symbols, one for each code. Here they are, tinted by the digit that chooses them most often; dark ones are hardly ever chosen. The model has never seen a label, and its code has room for only 4.6 nats, yet it found most digits.

# %%
with torch.no_grad():
    symbols = model.decode(model.codes()).sigmoid().view(10, 10, 28, 28)
    grey = data.train.images.round()
    posterior = model.logits(grey).softmax(-1)
    weight = torch.einsum("ni,nj->nij", posterior[:, 0], posterior[:, 1])                  # (N, 10, 10)
    votes = torch.einsum("nij,nk->ijk", weight, F.one_hot(data.train.labels, 10).float())  # how often each digit chooses each code
hues = "#4cc9f0 #ff9f1c #80ed99 #ff5c7a #a394ff #ffd166 #ff99c8 #e8e8e8 #c6e03a #2ec4b6".split()
palette = torch.tensor([[int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hue in hues])
order_rows = votes.sum(1).argmax(-1).argsort()                                            # rows and columns by the digit they mostly hold
order_columns = votes.sum(0).argmax(-1).argsort()
used = (votes.sum(-1) / votes.sum() * 100).clamp(0, 1).sqrt()
tint = palette[votes.argmax(-1)] * (0.35 + 0.65 * used[..., None])
tiles = torch.zeros(10, 10, 32, 32, 3)
tiles[:, :, 2:30, 2:30] = symbols[..., None] * tint[:, :, None, None]
tiles = tiles[order_rows][:, order_columns]
picture = tiles.permute(0, 2, 1, 3, 4).reshape(320, 320, 3)

fig, ax = plt.subplots(figsize=(9, 9.5), layout="constrained", facecolor="black")
ax.imshow(picture, interpolation="bilinear")
ax.axis("off")
ax.set_title("an alphabet of 100 symbols that nobody taught", color="white", fontsize=14)
for digit in range(10):
    ax.text(0.275 + 0.05 * digit, -0.01, digit, color=hues[digit], fontsize=15, weight="bold", ha="center", va="top", transform=ax.transAxes)
plt.show()

# %% [markdown]
# ## Further reading
#
# - Williams (1992), *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, Machine Learning 8. [DOI](https://doi.org/10.1007/BF00992696). REINFORCE; section 4.
# - Schulman, Heess, Weber & Abbeel (2015), *Gradient Estimation Using Stochastic Computation Graphs*, NIPS. [arXiv:1506.05254](https://arxiv.org/abs/1506.05254). Surrogates, in general.
# - Foerster et al. (2018), *DiCE: The Infinitely Differentiable Monte-Carlo Estimator*, ICML. [arXiv:1802.05098](https://arxiv.org/abs/1802.05098). Terms of value zero.
# - Kool, van Hoof & Welling (2019), *Buy 4 REINFORCE Samples, Get a Baseline for Free!* [OpenReview](https://openreview.net/forum?id=r1lgTGL5DE). Section 5.
# - Jang, Gu & Poole (2017), *Categorical Reparameterization with Gumbel-Softmax*, ICLR. [arXiv:1611.01144](https://arxiv.org/abs/1611.01144); Maddison, Mnih & Teh (2017), *The Concrete Distribution*, ICLR. [arXiv:1611.00712](https://arxiv.org/abs/1611.00712). Section 7.
# - Bengio, Léonard & Courville (2013), *Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation*. [arXiv:1308.3432](https://arxiv.org/abs/1308.3432). Straight-through.
# - Tucker et al. (2017), *REBAR*, NIPS. [arXiv:1703.07370](https://arxiv.org/abs/1703.07370); Grathwohl et al. (2018), *Backpropagation through the Void*, ICLR. [arXiv:1711.00123](https://arxiv.org/abs/1711.00123). Section 8.
# - Mnih & Rezende (2016), *Variational Inference for Monte Carlo Objectives*, ICML. [arXiv:1602.06725](https://arxiv.org/abs/1602.06725). Section 9.
# - Bowman et al. (2016), *Generating Sentences from a Continuous Space*, CoNLL. [arXiv:1511.06349](https://arxiv.org/abs/1511.06349); Sønderby et al. (2016), *Ladder Variational Autoencoders*, NIPS. [arXiv:1602.02282](https://arxiv.org/abs/1602.02282). KL warm-up.
# - Dong, Mnih & Tucker (2020), *DisARM: An Antithetic Gradient Estimator for Binary Latent Variables*, NeurIPS. [arXiv:2006.10680](https://arxiv.org/abs/2006.10680). In `elbolab.gradients`, for latents of two classes.
# - van Krieken, Tomczak & ten Teije (2021), *Storchastic*, NeurIPS. [arXiv:2104.00428](https://arxiv.org/abs/2104.00428). One framework for all of these, with this unit's model as its example.
# - Mohamed, Rosca, Figurnov & Mnih (2020), *Monte Carlo Gradient Estimation in Machine Learning*, JMLR 21(132). [arXiv:1906.10652](https://arxiv.org/abs/1906.10652). The survey.
#
# **Next**: the exercises of this unit. You build the estimators yourself, and each is held against the truth by enumeration.
