# %% [markdown]
# # 1 · The variational autoencoder
#
# **Goals**
# - you can tell the generative story of a VAE, and say which of its densities are cheap and which are out of reach
# - you can derive the ELBO in two ways, and name the gap between it and log p(x)
# - you can say where the randomness sits after reparameterization, and what that does to the gradient
# - you can compute every term yourself, and test it against a model whose truth is known
# - you can read the training of a VAE panel by panel, and say what its numbers may be compared with
#
# **Prerequisites**: Gaussians, conditional probability, expectations; PyTorch tensors and autograd.
#
# **Time**: 50 to 60 minutes
#
# Notation: $x$ an observation, $z$ its latent with $M$ coordinates, $p_\theta(x|z)$ the observation model,
# $q_\phi(z|x)$ the approximate posterior, $B$ the batch size. Logarithms are natural, so information is in **nats**.
# A box marked ⚠ names a mistake that is easy to make: what you see (*symptom*), where it comes from (*cause*), and how
# to find out (*test*).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from elbolab.data import load_mnist
from elbolab.distributions import ReparameterizedDiagonalGaussian
from elbolab.explore import beta_explorer, latent_explorer
from elbolab.inference import VariationalInference, active_units, log_likelihood, reduce
from elbolab.models import LinearGaussianVAE, VariationalAutoencoder
from elbolab.plotting import nine_panels, plot_grid, plot_latent_space, plot_prior_samples
from elbolab.training import evaluate, fit

SEED = 1  # every random step below starts from this seed
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"  # color-blind readers can tell them apart

# %% [markdown]
# ## 1 · A story about where data come from
#
# A VAE is first of all a recipe that *makes* images. Draw a few numbers $z$. Let a network, the **decoder**, turn them
# into one probability for each pixel. Toss one coin for each pixel.
#
# $$z \sim \mathcal N(0, I_M), \qquad x_d \mid z \sim \mathrm{Bernoulli}\big(\pi_d(z)\big), \quad d = 1, \dots, 784$$
#
# so that
#
# $$p_\theta(x, z) = p(z)\, p_\theta(x|z), \qquad p_\theta(x|z) = \prod_{d} \pi_d^{x_d} (1 - \pi_d)^{1 - x_d}.$$
#
# The product says that the pixels are **conditionally independent given $z$**: whatever one pixel has to do with
# another goes through $z$.

# %% tags=["hide-input"]
def node(ax, x, y, text, random=True, color="black", fill="white"):
    """A circle is a random quantity, a square is computed from what points at it."""
    style = "circle,pad=0.35" if random else "square,pad=0.45"
    ax.text(x, y, text, ha="center", va="center", fontsize=13, color=color, zorder=3,
            bbox={"boxstyle": style, "facecolor": fill, "edgecolor": color, "linewidth": 1.6})


def arrow(ax, start, end, color="black", style="-|>", dashed=False, text=None, offset=(0.0, 0.0)):
    ax.annotate("", end, start, zorder=1, arrowprops={
        "arrowstyle": style, "color": color, "lw": 1.6, "linestyle": "--" if dashed else "-",
        "shrinkA": 20, "shrinkB": 20})
    if text:
        middle = [(a + b) / 2 + shift for a, b, shift in zip(start, end, offset, strict=True)]
        ax.text(*middle, text, color=color, ha="center", va="center", fontsize=10.5)


def blank(ax, width, height, title=None):
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    if title:
        ax.set_title(title, fontsize=12)
    return ax


fig, ax = plt.subplots(figsize=(9, 2), layout="constrained")
blank(ax, 9, 2)
node(ax, 0.8, 1.5, "$z$")
node(ax, 3.6, 1.5, r"$\pi(z)$", random=False)
node(ax, 6.6, 1.5, "$x$", fill="#DDDDDD")
arrow(ax, (0.8, 1.5), (3.6, 1.5), text="decoder", offset=(0, 0.2))
arrow(ax, (3.6, 1.5), (6.6, 1.5), text="784 coins", offset=(0, 0.2))
ax.annotate("", (1.0, 1.25), (6.4, 1.25), arrowprops={
    "arrowstyle": "-|>", "color": ORANGE, "lw": 1.6, "linestyle": "--", "connectionstyle": "arc3,rad=-0.2"})
ax.text(3.7, 0.2, "inference: which $z$ made this $x$?", color=ORANGE, ha="center", fontsize=11)
ax.text(7.3, 1.4, "circle: random\nsquare: computed\ngray: observed", fontsize=10, va="center")
plt.show()

# %% [markdown]
# > ⚠ *Symptom*: a derivation that calls the pixels *i.i.d.* *Cause*: they are neither. Each pixel has its own $\pi_d$,
# > so they are not identically distributed, and they are independent only once $z$ is given. *Test*: correlate one
# > pixel with the others, over images with many different $z$ and over images with the same $z$. Section 8 does so.
#
# **Pixels that are coins.** MNIST pixels are gray values in $[0, 1]$; a coin shows 0 or 1. We take the gray value as the
# probability of a 1, and toss the coins anew each time an image is visited: *dynamic* binarization. (*Static*
# binarization tosses once and keeps the result. *Thresholding* writes 1 where the gray value is above ½. The
# likelihoods differ by several nats, so a number means little unless one knows how the pixels were binarized.)
# Validation images are tossed only once, so that curves can be compared from epoch to epoch.

# %%
data_37 = load_mnist(classes=[3, 7], limit=700)
print(data_37)
grey, generator = data_37.train.images[:8], torch.Generator().manual_seed(SEED)

fig, axes = plt.subplots(3, 1, figsize=(9, 3.6), layout="constrained")
rows = {"gray value": grey, "one toss": torch.bernoulli(grey, generator=generator),
        "another toss": torch.bernoulli(grey, generator=generator)}
for ax, (name, images) in zip(axes, rows.items(), strict=True):
    ax.imshow(torch.cat(list(images[:, 0]), dim=1), cmap="gray_r")
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %% [markdown]
# **From pixels to one number for each image.** $\log p_\theta(x|z)$ is a *sum* over the pixels: the logarithm of the
# product above, which is minus the binary cross-entropy. Two habits will save you hours. Stay in logarithms, because a
# product of 784 probabilities is too small for a float. And sum over the pixels of each image, never average: only
# the sum is the log-probability of the image, in nats.
#
# The course has a function for this sum, `reduce(t)`. It keeps the first dimension, the batch, and sums over all the
# others: a tensor of shape `(batch, 1, 28, 28)` becomes one of shape `(batch,)`. (`reduce(t, 2)` keeps the first two.)

# %%
torch.manual_seed(SEED)
pi, coins = torch.rand(4, 1, 28, 28), torch.randint(2, (4, 1, 28, 28)).float()
terms = coins * pi.log() + (1 - coins) * (1 - pi).log()          # the definition, one term for each pixel
print("terms", tuple(terms.shape), "→ reduce(terms)", tuple(reduce(terms).shape))
print("log p(x|z) in nats, one number for each of 4 images:", [round(value, 1) for value in reduce(terms).tolist()])
print("the average over pixels is no log-probability of the image:", [round(v, 2) for v in terms.flatten(1).mean(1).tolist()])

fair = torch.full((784,), 0.5)
print(f"784 fair coins: product {fair.prod().item()}, sum of logs {fair.log().sum().item():.1f} nats")

# %% [markdown]
# **Gray values under a Bernoulli.** One can put $x = 0.3$ into the formula $\pi^x (1-\pi)^{1-x}$, and nothing crashes.
# But a density on $[0, 1]$ has to integrate to one, and
#
# $$\int_0^1 \pi^x (1 - \pi)^{1 - x}\, dx = \frac{2\pi - 1}{\log \pi - \log (1 - \pi)} \;\le\; \frac12 .$$
#
# The missing factor is the normalizing constant of the *continuous Bernoulli* (Loaiza-Ganem & Cunningham 2019).

# %%
pi = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)  # an even number of points, so pi = 1/2 is not among them
grey = torch.linspace(0, 1, 2001, dtype=torch.float64)
area = torch.trapezoid(pi[:, None] ** grey * (1 - pi[:, None]) ** (1 - grey), grey, dim=1)
closed_form = (2 * pi - 1) / (pi.log() - (-pi).log1p())
print(f"largest difference from the closed form: {(area - closed_form).abs().max():.1e}")
print(f"largest integral: {area.max():.4f}; so 784 pixels are off by at least 784 log 2 = {784 * math.log(2):.1f} nats")

fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for value, color in ((0.5, GREY), (0.8, BLUE), (0.98, ORANGE)):
    axes[0].plot(grey, value**grey * (1 - value) ** (1 - grey), color=color, label=rf"$\pi$ = {value}")
axes[0].axhline(1, color="black", lw=0.8, ls=":")
axes[0].set(xlabel="gray value x", ylabel="“density” of x", ylim=(0, 1.3), title="never above 1 on [0, 1] ...")
axes[0].legend(loc="upper center", ncols=3, fontsize=9, frameon=False)
axes[1].plot(pi, area, color=BLUE)
axes[1].axhline(1, color="black", lw=0.8, ls=":")
axes[1].set(xlabel=r"$\pi$", ylabel="area under it", ylim=(0, 1.3), title="... so its area is not 1")
plt.show()

# %% [markdown]
# *Think about it* (no answer here): somebody trains on gray values with this "likelihood" and reports an ELBO of
# −100 nats. You train on binarized pixels and report −110. Who has the better model, and of what? Unit 03 comes back
# to this.
#
# ## 2 · What is out of reach
#
# To fit $\theta$ we want $\log p_\theta(x)$ of the images we have, and to understand an image we want its posterior:
#
# $$p_\theta(x) = \int p_\theta(x|z)\, p(z)\, dz, \qquad
#   p_\theta(z|x) = \frac{p_\theta(x|z)\, p(z)}{p_\theta(x)} .$$
#
# The integral runs over all $z$, and the decoder inside it is a neural network, so there is no closed form. The
# posterior has the same integral in its denominator.
#
# | | what it costs |
# |---|---|
# | $p(z)$ | a formula |
# | $p_\theta(x \vert z)$ | **one pass through the decoder**: tractable |
# | $p_\theta(x)$ | an integral over $\mathbb R^M$: intractable |
# | $p_\theta(z \vert x)$ | known **up to its normalizer**, $p_\theta(x \vert z)\, p(z)$; the normalizer is the same integral: intractable |
#
# > ⚠ *Symptom*: you are about to write that $p(x|z)$ is intractable. *Cause*: $p(x|z)$ and the posterior $p(z|x)$ are easily
# > swapped. *Test*: ask what has to be summed over. For $p(x|z)$, nothing: the decoder gives it. For $p(z|x)$, all $z$.
#
# To see all of this we need a model in which every one of these is known: a decoder that is *linear*, with Gaussian
# noise. Then everything is Gaussian:
#
# $$x = Wz + b + \sigma_x \epsilon \;\Rightarrow\; p(x) = \mathcal N(b,\; WW^\top + \sigma_x^2 I), \qquad
#   p(z|x) = \mathcal N\big(\Sigma W^\top (x - b) / \sigma_x^2,\; \Sigma\big), \quad
#   \Sigma^{-1} = I + W^\top W / \sigma_x^2 .$$
#
# Start with one latent. The product $p(x|z)\,p(z)$ is easy to compute at any $z$, and it already has the *shape* of the
# posterior. All we lack is the area under it, and that area is $p(x)$. With one latent we can sum it up on a grid:

# %%
one_latent = LinearGaussianVAE(torch.tensor([[1.5], [-0.8], [0.5]], dtype=torch.float64), noise=0.8).requires_grad_(False)
x_one = torch.tensor([[0.9, -0.4, 0.6]], dtype=torch.float64)
z_axis = torch.linspace(-4, 4, 2001, dtype=torch.float64)
joint = (one_latent.observation_model(z_axis[:, None]).log_prob(x_one).sum(-1) + Normal(0.0, 1.0).log_prob(z_axis)).exp()
p_x = torch.trapezoid(joint, z_axis)
true_density = one_latent.true_posterior(x_one).log_prob(z_axis[:, None]).exp()
print(f"area under p(x|z) p(z): {p_x:.6f}; p(x) by the formula: {one_latent.log_px(x_one).exp().item():.6f}")
print(f"largest difference between p(x|z) p(z) / area and the posterior's formula: {(joint / p_x - true_density).abs().max():.0e}")

fig, axes = plt.subplots(1, 2, figsize=(9, 2.7), layout="constrained", sharex=True)
axes[0].fill_between(z_axis, joint, color=BLUE, alpha=0.2)
axes[0].plot(z_axis, joint, color=BLUE)
axes[0].set(xlabel="z", ylabel="p(x|z) p(z)", title=f"easy at every z; its area is p(x) = {p_x:.4f}", ylim=(0, None))
axes[1].plot(z_axis, true_density, color="black", lw=4, alpha=0.25, label="p(z|x) by the formula")
axes[1].plot(z_axis, joint / p_x, color=BLUE, ls="--", label="p(x|z) p(z) / area")
axes[1].plot(z_axis, Normal(0.0, 1.0).log_prob(z_axis).exp(), color=ORANGE, ls=":", label="p(z)")
axes[1].set(xlabel="z", ylabel="density", title="divided by its area: the posterior", ylim=(0, None))
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# The grid is out of the question with many latents: 50 points on each axis make $50^M$ decoder passes. Could we not
# average over draws from the prior, $p(x) \approx \frac1S \sum_s p(x|z_s)$? Here is what happens as $M$ grows:

# %%
torch.manual_seed(SEED)
samples, repeats, sizes = 1000, 30, (1, 2, 4, 8, 16, 32)
errors = []
for size in sizes:  # as many latents as observed coordinates, 2 * orthogonal W, so that sizes can be compared
    weight = 2 * torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    linear = LinearGaussianVAE(weight, noise=0.5)
    with torch.no_grad():
        x = linear.sample_from_prior(repeats)["px"].sample()                     # (repeats, size)
        z = torch.randn(samples, repeats, size, dtype=torch.float64)             # from the prior
        log_px_z = linear.observation_model(z).log_prob(x).sum(-1)               # (samples, repeats)
        errors.append(log_px_z.logsumexp(0) - math.log(samples) - linear.log_px(x))

fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
for position, error in enumerate(errors):
    jitter = np.linspace(-0.15, 0.15, repeats)
    ax.plot(position + jitter, error, "o", color=BLUE, ms=4, alpha=0.6)
ax.axhline(0, color="black", lw=1)
ax.text(5.25, 0.1, "truth", va="bottom", ha="right")
ax.set_yscale("symlog", linthresh=1)
ax.set(ylim=(-1000, 20), xticks=range(len(sizes)), xticklabels=sizes, xlabel="number of latents M",
       ylabel="estimate − log p(x)  (nats)", title=f"averaging p(x|z) over {samples} draws from the prior")
plt.show()

# %% [markdown]
# A few latents are fine. With many, almost every draw misses the small region that explains this $x$, and the estimate
# is far too low. The cure is to draw $z$ *where it matters for this $x$*. That is what $q$ is for.
#
# ## 3 · Amortized inference
#
# We choose a family of simple densities and look in it for the one closest to $p_\theta(z|x)$. Classical variational
# inference runs a new optimization for each $x$. A VAE trains a second network, the **encoder**, which looks at any
# $x$ and answers at once: the work goes into training it once and is shared by all $x$. This is called *amortization*
# (Gershman & Goodman 2014); the idea of training a recognition network along with the generative model is older
# (Dayan et al. 1995). Sharing has a price, too. Section 10 measures it.
#
# $$q_\phi(z|x) = \mathcal N\big(z;\; \mu_\phi(x),\; \mathrm{diag}\,\sigma_\phi^2(x)\big)$$

# %%
torch.manual_seed(SEED)
untrained = VariationalAutoencoder(input_shape=(1, 28, 28), latent_features=2)
print(untrained.encoder)
q = untrained.posterior(torch.rand(5, 1, 28, 28).round())
print("one pass, five posteriors: mu", tuple(q.mu.shape), "and sigma", tuple(q.sigma.shape))

# %% [markdown]
# This family is called **diagonal**: each latent has its own $\sigma$. It is not *isotropic*, which means one $\sigma$
# for all latents. The ellipses of neither can tilt. Section 5 shows what each restriction costs, in nats.
#
# **The model on one page.** Everything we have said fits into a *graphical model*. Circles are random variables, and a
# gray circle is observed. The box, called a *plate*, says that its content is repeated for each of the $N$ images. The
# parameters stand outside: $\theta$ and $\phi$ are shared by all images. That $\phi$ stands outside the plate *is*
# amortization; classical variational inference would have one $\phi_n$ inside it for each image.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
blank(ax, 9, 3.5)
ax.set_aspect("equal")
ax.add_patch(plt.Rectangle((2.55, 0.25), 2.3, 3.0, fill=False, lw=1.4, ec="#555555"))
ax.text(4.75, 0.35, "$n = 1, \\dots, N$", ha="right", va="bottom", fontsize=11, color="#555555")
node(ax, 3.5, 2.65, "$z_n$")
node(ax, 3.5, 1.15, "$x_n$", fill="#DDDDDD")
node(ax, 5.9, 1.15, r"$\theta$", random=False)
node(ax, 1.1, 2.65, r"$\phi$", random=False, color=ORANGE)
arrow(ax, (3.5, 2.65), (3.5, 1.15))
arrow(ax, (5.9, 1.15), (3.5, 1.15))
arrow(ax, (1.1, 2.65), (3.5, 2.65), color=ORANGE, dashed=True)
ax.annotate("", (3.22, 2.4), (3.22, 1.4), arrowprops={
    "arrowstyle": "-|>", "color": ORANGE, "lw": 1.6, "linestyle": "--", "connectionstyle": "arc3,rad=-0.35"})
ax.plot([6.6, 7.1], [2.75, 2.75], color="black", lw=1.6)
ax.text(7.2, 2.75, "generative model\n$p(z_n)\\, p_\\theta(x_n|z_n)$", va="center", fontsize=11)
ax.plot([6.6, 7.1], [1.95, 1.95], color=ORANGE, lw=1.6, ls="--")
ax.text(7.2, 1.95, "inference model\n$q_\\phi(z_n|x_n)$", va="center", fontsize=11, color=ORANGE)
ax.text(6.6, 0.55, "square: a parameter,\nshared by all images", va="center", fontsize=10)
plt.show()

# %% [markdown]
# ## 4 · The ELBO, twice
#
# **By Jensen's inequality.** Multiply and divide by $q$, which is positive everywhere; the logarithm is concave, so the
# log of a mean is at least the mean of the log.
#
# $$\begin{aligned}
# \log p_\theta(x) &= \log \int p_\theta(x, z)\, dz \\
#  &= \log \int q_\phi(z|x)\, \frac{p_\theta(x, z)}{q_\phi(z|x)}\, dz
#   = \log \mathbb E_{q_\phi(z|x)}\!\left[\frac{p_\theta(x, z)}{q_\phi(z|x)}\right] \\
#  &\ge \mathbb E_{q_\phi(z|x)}\!\left[\log \frac{p_\theta(x, z)}{q_\phi(z|x)}\right] \;=:\; \mathcal L(x)
#   && \text{(the only inequality)} \\
#  &= \mathbb E_{q_\phi(z|x)}\big[\log p_\theta(x|z)\big]
#   - \underbrace{\mathbb E_{q_\phi(z|x)}\!\left[\log \frac{q_\phi(z|x)}{p(z)}\right]}_{\mathrm{KL}(q_\phi(z|x)\,\|\,p(z))}
#   && \text{since } p_\theta(x, z) = p_\theta(x|z)\, p(z).
# \end{aligned}$$

# %%
values = torch.tensor([0.15, 2.4], dtype=torch.float64)          # two equally likely values of p(x,z) / q(z|x)
axis = torch.linspace(0.05, 3, 300, dtype=torch.float64)
log_of_mean, mean_of_log = values.mean().log(), values.log().mean()

fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.plot(axis, axis.log(), color="black")
ax.plot(values, values.log(), "o--", color=BLUE, mfc="white")
ax.plot(values.mean(), log_of_mean, "s", color=GREEN, label=f"log of the mean: {log_of_mean:.2f}")
ax.plot(values.mean(), mean_of_log, "o", color=ORANGE, label=f"mean of the log: {mean_of_log:.2f}")
ax.annotate("", (values.mean(), mean_of_log), (values.mean(), log_of_mean), arrowprops={"arrowstyle": "<->"})
ax.annotate("what the bound loses", (values.mean(), (log_of_mean + mean_of_log) / 2), (1.5, -1.5),
            arrowprops={"arrowstyle": "-", "color": GREY})
ax.set(xlabel="w = p(x, z) / q(z|x)", ylabel="log w  (nats)", title="Jensen: the chord lies below the curve")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# Nothing is lost when $w = p(x,z)/q(z|x)$ is the same for every $z$. That happens exactly when
# $q(z|x) \propto p(x, z)$, that is, at the true posterior.
#
# **By the KL to the true posterior.** Start from the KL that we would like to make small. Every step is an equality.
#
# $$\begin{aligned}
# \mathrm{KL}\big(q_\phi(z|x)\,\|\,p_\theta(z|x)\big)
#  &= \mathbb E_{q_\phi(z|x)}\!\left[\log \frac{q_\phi(z|x)}{p_\theta(z|x)}\right]
#   = \mathbb E_{q_\phi(z|x)}\!\left[\log \frac{q_\phi(z|x)\; p_\theta(x)}{p_\theta(x, z)}\right] \\
#  &= \log p_\theta(x) + \mathbb E_{q_\phi(z|x)}\!\left[\log \frac{q_\phi(z|x)}{p_\theta(x, z)}\right]
#   = \log p_\theta(x) - \mathcal L(x).
# \end{aligned}$$
#
# Hence
#
# $$\boxed{\;\log p_\theta(x) = \mathcal L(x) + \mathrm{KL}\big(q_\phi(z|x)\,\|\,p_\theta(z|x)\big)\;}$$
#
# and since a KL is never negative, $\mathcal L(x) \le \log p_\theta(x)$, with equality exactly at the true posterior.
# Maximizing $\mathcal L$ over $\phi$ narrows the gap; maximizing it over $\theta$ raises the bound on the likelihood.
#
# > ⚠ *Symptom*: an "ELBO" that comes out above $\log p(x)$, or a derivation in which the two KLs seem to be one.
# > *Cause*: there are two different KLs. The one *inside* $\mathcal L$ is to the prior; the one that *is the gap* is to the
# > true posterior. *Test*: in a model where all three are known, $\mathcal L$ plus the gap must give $\log p(x)$. The
# > next section runs this test.
#
# <details><summary><b>Check yourself</b>: a training run raises the mean ELBO by 3 nats. Did log p(x) rise?</summary>
#
# Not necessarily. The gap may have shrunk by 3 nats while log p(x) stood still, and log p(x) may even have fallen a
# little. The ELBO shows only the difference of the two.
# </details>
#
# ## 5 · Ground truth: see it, do not believe it
#
# Back to the linear-Gaussian model with one latent. We know $\log p(x)$ and the true posterior $\mathcal N(m, s^2)$. So
# we let $q$ slide away from it, first in its mean and then in its scale, and estimate $\mathcal L$ for each $q$ by
# sampling. The boxed equation predicts
#
# $$\log p(x) - \mathcal L = \mathrm{KL}(q \,\|\, p(z|x)) = \tfrac12 a^2 \;\text{ for } q = \mathcal N(m + a s,\, s^2),
#   \qquad \tfrac12 (c^2 - 1) - \log c \;\text{ for } q = \mathcal N(m,\, c^2 s^2).$$

# %%
torch.manual_seed(SEED)
truth = LinearGaussianVAE(torch.tensor([[1.5], [-0.8], [0.5]], dtype=torch.float64), noise=0.8).requires_grad_(False)
x_toy = truth.sample_from_prior(1)["px"].sample()                     # one observation, (1, 3)
posterior = truth.true_posterior(x_toy)
m, s, log_px_toy = posterior.mean.squeeze(), posterior.stddev.squeeze(), truth.log_px(x_toy).item()


def log_w(model, x, q, num_samples):
    """log p(x|z) + log p(z) - log q(z) for z ~ q; its mean is the ELBO. Shape (num_samples, batch)."""
    z = q.sample((num_samples,))
    return reduce(model.observation_model(z).log_prob(x), 2) + reduce(model.prior(len(x)).log_prob(z) - q.log_prob(z), 2)


def slide(shift, scale, num_samples=5_000):
    """ELBO estimate, its standard error, and KL(q || p(z|x)) for q = N(m + shift * s, (scale * s)^2)."""
    q = ReparameterizedDiagonalGaussian((m + shift * s).view(1, 1), (scale * s).log().view(1, 1))
    w = log_w(truth, x_toy, q, num_samples)
    kl = kl_divergence(Normal(q.mu, q.sigma), Normal(m, s)).item()
    return w.mean().item(), w.std().item() / math.sqrt(num_samples), kl


shifts, scales = np.linspace(-2.5, 2.5, 21), 2.0 ** np.linspace(-2, 1.5, 21)
slides = {"shift": np.array([slide(a, 1.0) for a in shifts]), "scale": np.array([slide(0.0, c) for c in scales])}

at_the_truth = log_w(truth, x_toy, ReparameterizedDiagonalGaussian(m.view(1, 1), s.log().view(1, 1)), 5_000)
print(f"log p(x) = {log_px_toy:.6f}. At the true posterior each of 5,000 samples gives log w between "
      f"{at_the_truth.min():.6f} and {at_the_truth.max():.6f}.")
everything = np.concatenate(list(slides.values()))
off = np.abs(everything[:, 0] + everything[:, 2] - log_px_toy) / np.maximum(everything[:, 1], 1e-12)
print(f"|ELBO + KL − log p(x)| over {len(off)} choices of q: at most {off[everything[:, 2] > 1e-9].max():.1f} standard errors")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, positions, (name, values) in zip(axes, (shifts, scales), slides.items(), strict=True):
    ax.axhline(log_px_toy, color="black", ls="--", label="log p(x), exact")
    ax.plot(positions, log_px_toy - values[:, 2], color=BLUE, label="log p(x) − KL(q ‖ p(z|x)), exact")
    ax.plot(positions, values[:, 0], "o", color=ORANGE, ms=4, label="ELBO, estimated from 5,000 samples")
    ax.fill_between(positions, log_px_toy - values[:, 2], log_px_toy, color=BLUE, alpha=0.12)
    ax.set(xlabel={"shift": "shift of q's mean  (posterior standard deviations)",
                   "scale": "standard deviation of q / that of the posterior"}[name])
axes[0].set(ylabel="nats", title="q slides away in its mean ...")
axes[1].set(title="... and in its scale")
axes[1].set_xscale("log", base=2)
axes[1].set_xticks([0.25, 0.5, 1, 2], ["¼", "½", "1", "2"])
axes[0].text(0, log_px_toy - 2.2, "the gap is the KL\nto the true posterior", ha="center", color=BLUE)
axes[1].legend(loc="lower center", fontsize=8.5)
plt.show()

# %% [markdown]
# The ELBO is never above the dashed line (beyond sampling noise), and touches it exactly at the true posterior. There
# *every single sample* gives $\log w = \log p(x)$, with no spread at all. So an implementation of the ELBO can be tested
# to the last digit. Here is the test for the course's own:

# %%
orthogonal = LinearGaussianVAE(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]], dtype=torch.float64), noise=0.5)
orthogonal.use_best_encoder()                   # orthogonal columns of W: the true posterior is diagonal, q can reach it
x_many = torch.randn(100, 3, dtype=torch.float64)
loss, diagnostics, outputs = VariationalInference()(orthogonal, x_many)
print({name: tuple(value.shape) for name, value in diagnostics.items()}, "and a scalar loss")
print(f"largest |ELBO − log p(x)| over 100 observations: {(diagnostics['elbo'] - orthogonal.log_px(x_many)).abs().max():.1e}")

# %% [markdown]
# > ⚠ *Symptom*: none. A wrong sign, a forgotten ½, an average over pixels: such a loss still trains, and the pictures are
# > still pretty. *Cause*: anything that rewards reconstruction gives pictures; only the bound needs every constant right.
# > *Test*: the cell above. Give $q$ the true posterior, and ask for $\log p(x)$ in float64.
#
# **When the family is too small.** The true posterior of two latents is tilted as soon as the columns of $W$ are not
# orthogonal. With precision matrix $\Lambda = \Sigma^{-1}$, the best diagonal $q$ has variances $1/\Lambda_{ii}$ and the
# best isotropic one has variance $M / \mathrm{tr}\,\Lambda$; both have the true mean. The gaps that remain are
#
# $$\mathrm{KL} = \tfrac12 \Big(\textstyle\sum_i \log \Lambda_{ii} - \log\det \Lambda\Big)
#   \quad\text{and}\quad \tfrac12 \Big(M \log \tfrac{\mathrm{tr}\,\Lambda}{M} - \log\det\Lambda\Big).$$

# %%
tilted = LinearGaussianVAE(torch.tensor([[0.5, 1.0], [0.1, 0.6], [0.3, 0.2]], dtype=torch.float64), noise=0.4)
x = torch.tensor([[0.6, 0.2, 0.5]], dtype=torch.float64)
with torch.no_grad():
    exact = MultivariateNormal(tilted.true_posterior(x).mean[0], tilted.true_posterior(x).covariance_matrix[0])
precision = exact.precision_matrix
families = {
    "isotropic: one σ": torch.eye(2).double() * 2 / precision.trace(),
    "diagonal: one σ a latent": torch.diag(1 / precision.diagonal()),
    "full covariance": exact.covariance_matrix,
}
fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharex=True, sharey=True)
angle = torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)
circle = torch.stack([angle.cos(), angle.sin()])
for ax, (name, covariance) in zip(axes, families.items(), strict=True):
    for matrix, style in ((exact.covariance_matrix, {"color": "black", "ls": "--", "label": "true posterior"}),
                          (covariance, {"color": BLUE, "label": "best q"})):
        ellipse = exact.mean[:, None] + 2 * torch.linalg.cholesky(matrix) @ circle
        ax.plot(*ellipse, **style)
    gap = kl_divergence(MultivariateNormal(exact.mean, covariance), exact)
    ax.set(title=f"{name}\ngap {abs(gap):.2f} nats", xlabel="$z_1$", aspect="equal")
axes[0].set(ylabel="$z_2$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False,
           title="contours at two standard deviations")
plt.show()

half_log_det = 0.5 * precision.logdet()
print("by the formulas:", f"{precision.trace().div(2).log() - half_log_det:.4f} and "
      f"{0.5 * precision.diagonal().log().sum() - half_log_det:.4f} nats")

# %% [markdown]
# Look at the middle panel: the best diagonal $q$ is *narrower* than the posterior's marginals,
# $1/\Lambda_{ii} \le \Sigma_{ii}$. The reason is that KL$(q\|p)$ punishes $q$ for putting mass where $p$ has little.
#
# **Can log p(x) be positive?** For binary pixels $p(x)$ is a probability, so $\log p(x) \le 0$. For continuous $x$ it is
# a density, and a density may exceed one:

# %%
sharp = LinearGaussianVAE(torch.tensor([[0.02], [0.01], [0.03]], dtype=torch.float64), noise=0.01)
print(f"log p(x) at x = 0 under a narrow Gaussian: {sharp.log_px(torch.zeros(1, 3).double()).item():+.2f} nats")

# %% [markdown]
# ## 6 · The reparameterization trick
#
# To climb the ELBO we need its gradient, and $\phi$ sits in the distribution we average over:
# $\nabla_\phi\, \mathbb E_{q_\phi}[f(z)]$. A sample is just a number; no gradient passes through the act of drawing it. So
# write the sample as fixed noise that is stretched and shifted:
#
# $$z = \mu + \sigma \odot \epsilon, \quad \epsilon \sim \mathcal N(0, I)
#   \qquad\Rightarrow\qquad
#   \nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \mathbb E_{\epsilon}\big[\nabla_\phi f(\mu_\phi + \sigma_\phi \odot \epsilon)\big].$$
#
# The distribution of $\epsilon$ does not depend on $\phi$, so the gradient may move inside the expectation (if $f$ is
# smooth enough). There is as much randomness as before; it has only moved from the path to a place beside it.

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
ax = blank(axes[0], 5, 3.4, "before: randomness on the path")
for place, text, is_random in (((2, 0.4), r"$\phi$", False), ((2, 1.6), "$z$", True), ((2, 2.8), "$f$", False)):
    node(ax, *place, text, random=is_random, color=ORANGE if is_random else "black")
arrow(ax, (2, 0.4), (2, 1.6))
arrow(ax, (2, 1.6), (2, 2.8))
arrow(ax, (2.75, 2.8), (2.75, 1.4), color=BLUE, dashed=True, text="gradient", offset=(0.75, 0.0))
ax.text(2.75, 1.55, "✗", color=ORANGE, fontsize=16, ha="center", va="center")
ax.text(3.0, 1.1, "stops at the draw", color=ORANGE, fontsize=10, ha="left")
ax = blank(axes[1], 5, 3.4, "after: randomness beside the path")
node(ax, 2, 0.4, r"$\phi$", random=False)
node(ax, 2, 1.6, r"$z = \mu + \sigma\,\epsilon$", random=False)
node(ax, 2, 2.8, "$f$", random=False)
node(ax, 0.35, 0.7, r"$\epsilon$", color=ORANGE)
arrow(ax, (2, 0.4), (2, 1.6))
arrow(ax, (2, 1.6), (2, 2.8))
arrow(ax, (0.35, 0.7), (1.75, 1.6), color=ORANGE)
arrow(ax, (3.4, 3.1), (3.4, 0.1), color=BLUE, dashed=True, text="gradient", offset=(0.65, 0.0))
plt.show()

# %%
q = ReparameterizedDiagonalGaussian(torch.zeros(3, 2, requires_grad=True), torch.zeros(3, 2, requires_grad=True))
print("rsample carries a gradient:", q.rsample().requires_grad, "· sample does:", q.sample().requires_grad)

# %% [markdown]
# > ⚠ *Symptom*: the ELBO gets about as far as that of a model without latents, and no further; later the KL may explode.
# > *Cause*: the sample was drawn without a gradient, so the encoder hears nothing but noise. *Test*: values alone cannot
# > tell, because they have the right mean and spread either way. Ask for the gradient, as the cell above does.
#
# **Is there another way?** The *score function* estimator, also known as **REINFORCE** (Williams 1992), needs no path.
# It uses $\nabla q = q\, \nabla \log q$:
#
# $$\nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \mathbb E_{q_\phi}\big[f(z)\, \nabla_\phi \log q_\phi(z)\big].$$
#
# It is unbiased too, and it also works for discrete $z$ (unit 04). But it sees only the *value* of $f$, not its slope.
# Let us compare one-sample estimates of $\partial / \partial \mu_1$. Left: $f(z) = (z - 2)^2 + 10$ with $\mu = \sigma = 1$.
# The constant does not change the gradient, which is $2(\mu - 2) = -2$; it stands for the fact that $\log p(x|z)$ is
# nowhere near zero. Middle: $f(z) = \lVert z \rVert^2$ with more and more latents. Right: $f(z) = \sin kz$.

# %%
def one_sample_estimates(f, slope, mu, num_samples, latents=1):
    """Pathwise and score-function estimates of d/dmu_1 E f(z), z ~ N(mu, I): each (num_samples,)."""
    epsilon = torch.randn(num_samples, latents, dtype=torch.float64)
    z = mu + epsilon
    return slope(z[:, 0]), f(z) * epsilon[:, 0]                   # with sigma = 1, d/dmu_1 log q(z) is epsilon_1


torch.manual_seed(SEED)
one = one_sample_estimates(lambda z: (z - 2).square().sum(1) + 10, lambda z1: 2 * (z1 - 2), 1.0, 50_000)
latent_counts = np.array([1, 2, 4, 8, 16, 32, 64])
spread_size = np.array([[g.std() for g in one_sample_estimates(
    lambda z: z.square().sum(1), lambda z1: 2 * z1, 1.0, 50_000, count)] for count in latent_counts])
waves = np.geomspace(0.25, 8, 13)
spread_wave = np.array([[g.std() for g in one_sample_estimates(
    lambda z, k=k: (k * z).sin().sum(1), lambda z1, k=k: k * (k * z1).cos(), 0.5, 50_000)] for k in waves])
for name, estimates in zip(("pathwise", "score function"), one, strict=True):
    print(f"f = (z − 2)² + 10, exact gradient −2; {name}: mean {estimates.mean():.2f} ± {estimates.std() / 50_000**0.5:.2f}, "
          f"standard deviation of one estimate {estimates.std():.1f}")

# %%
names, colors = ("pathwise (the trick)", "score function"), (BLUE, ORANGE)
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for values, name, color in zip(one, names, colors, strict=True):
    axes[0].hist(values.numpy(), bins=np.linspace(-45, 45, 91), density=True, color=color, alpha=0.55, label=name)
axes[0].axvline(-2, color="black", lw=1, ls="--", label="exact gradient (left panel)")
axes[0].set(xlabel="estimate from one sample", ylabel="density", title="$f = (z - 2)^2 + 10$: both have mean −2")
for column, color in enumerate(colors):
    axes[1].plot(latent_counts, spread_size[:, column], "o", color=color)
    axes[2].plot(waves, spread_wave[:, column], "o-", color=color)
others = latent_counts - 1
axes[1].plot(latent_counts, np.full(len(latent_counts), 2.0), color=BLUE, lw=1)
axes[1].plot(latent_counts, np.sqrt(30 + 22 * others + 4 * others**2), color=ORANGE, lw=1)
axes[1].set(xscale="log", yscale="log", xlabel="number of latents M", ylabel="standard deviation",
            title=r"$f = \Vert z \Vert^2$ (lines: exact)")
axes[2].set(xscale="log", yscale="log", xlabel="frequency k", ylabel="standard deviation", title=r"$f = \sin kz$")
axes[1].set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
axes[2].set_xticks([0.25, 1, 4], ["¼", "1", "4"])
for ax in axes[1:]:
    ax.xaxis.set_minor_formatter("")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# For a smooth $f$ of many latents, which is what a VAE has, the trick usually wins; here it does so by a factor that
# grows with $M$. But no law says that it must: where $f$ oscillates within one $\sigma$, its slope is a poorer guide than its value (right panel).
#
# <details><summary><b>Check yourself</b>: the decoder's parameters θ do not need the trick. Why?</summary>
#
# $q_\phi$ does not depend on $\theta$, so $\nabla_\theta \mathbb E_{q_\phi}[\log p_\theta(x|z)] =
# \mathbb E_{q_\phi}[\nabla_\theta \log p_\theta(x|z)]$ as it stands. Any sample will do.
# </details>
#
# ## 7 · What the KL term does
#
# For a diagonal $q$ and a standard normal prior the KL inside the ELBO has a closed form, a sum over latents:
#
# $$\mathrm{KL}\big(q_\phi(z|x)\,\|\,p(z)\big) = \tfrac12 \sum_{i=1}^{M} \big(\mu_i^2 + \sigma_i^2 - 1 - \log \sigma_i^2\big).$$
#
# It is the price, in nats, of saying more about $z$ than the prior already says. A latent with $\mu = 0$, $\sigma = 1$
# costs nothing and says nothing.

# %%
torch.manual_seed(SEED)
q = ReparameterizedDiagonalGaussian(torch.tensor([1.2, -0.3]), torch.tensor([0.2, 0.7]).log())
prior = ReparameterizedDiagonalGaussian(torch.zeros(2), torch.zeros(2))
z = q.sample((20_000,))
estimates = reduce(q.log_prob(z) - prior.log_prob(z))                          # one-sample estimates, (20000,)
closed = 0.5 * (q.mu**2 + q.sigma**2 - 1 - 2 * q.log_sigma).sum()
print(f"closed form {closed:.3f} nats; Monte Carlo {estimates.mean():.3f} ± {estimates.std() / 20_000**0.5:.3f} nats; "
      f"torch's kl_divergence {kl_divergence(q, prior).sum():.3f} nats")

mu_axis, sigma_axis = np.meshgrid(np.linspace(-3, 3, 201), np.geomspace(0.02, 3, 201))
price = 0.5 * (mu_axis**2 + sigma_axis**2 - 1 - 2 * np.log(sigma_axis))
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
lines = axes[0].contour(mu_axis, sigma_axis, price, levels=[0.1, 0.5, 1, 2, 3, 4, 5], cmap="viridis", vmax=7)
axes[0].clabel(lines, fmt="%g")
axes[0].plot(0, 1, "*", color=ORANGE, ms=12)
axes[0].set(yscale="log", xlabel=r"$\mu$", ylabel=r"$\sigma$", title="price of one latent (nats); ★ the prior, 0")
axes[0].set_yticks([0.02, 0.1, 0.3, 1, 3], ["0.02", "0.1", "0.3", "1", "3"])
count = torch.arange(1, len(estimates) + 1)
axes[1].semilogx(count, estimates.cumsum(0) / count, color=BLUE, label="Monte Carlo, running mean")
axes[1].axhline(closed, color="black", ls="--", label="closed form")
axes[1].set(xlabel="samples", ylabel="KL (nats)", title="two ways to the same number")
axes[1].legend()
plt.show()

# %% [markdown]
# The two terms of the ELBO pull in opposite directions: $\mathbb E_q[\log p_\theta(x|z)]$ wants each image to have a
# corner of latent space to itself, and the KL wants all of them to look like the prior. Without the KL nothing asks the
# corners to fill the prior, and samples from the prior decode to shapes that are no digits (section 12).
#
# ## 8 · A first look: threes and sevens
#
# Now everything is in place. The picture follows one batch from the images to the loss; the shape of every tensor is
# written at its arrow. Read it from left to right once, and then from right to left, as the gradient does.

# %% tags=["hide-input"]
def box(ax, x, y, width, height, text, color="black", fill="white", size=10.5):
    ax.add_patch(plt.Rectangle((x - width / 2, y - height / 2), width, height, fc=fill, ec=color, lw=1.6, zorder=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, color=color, zorder=3)


def wire(ax, *points, text=None, at=None, color="black", ha="center"):
    """A line through the points with an arrowhead at its end; `text` (a shape) stands at `at`."""
    ax.plot(*zip(*points[:-1], strict=True), color=color, lw=1.6, zorder=1, solid_joinstyle="miter")
    ax.annotate("", points[-1], points[-2], zorder=1, arrowprops={
        "arrowstyle": "-|>", "color": color, "lw": 1.6, "shrinkA": 0, "shrinkB": 0})
    if text:
        ax.text(*at, text, color="#444444", fontsize=8.5, ha=ha, va="center", family="monospace", zorder=4)


fig, ax = plt.subplots(figsize=(12.5, 4.6), layout="constrained")
blank(ax, 15.4, 5.6)
SOFT_BLUE, SOFT_ORANGE, SOFT_GREEN = "#E3EFF7", "#FBE9DD", "#E0F2EC"
box(ax, 0.5, 2.8, 0.8, 0.9, "$x$", fill="#DDDDDD", size=14)
box(ax, 3.2, 2.8, 1.7, 1.5, "encoder $\\phi$\n784–256–\n128–2M", fill=SOFT_ORANGE)
box(ax, 6.3, 2.8, 1.7, 1.5, "sample\n$z = \\mu + \\sigma\\odot\\epsilon$", fill="white")
box(ax, 9.3, 2.8, 1.7, 1.5, "decoder $\\theta$\nM–128–\n256–784", fill=SOFT_BLUE)
box(ax, 12.0, 2.8, 1.5, 1.3, "$\\log p_\\theta(x|z)$\nsum over\npixels", fill=SOFT_BLUE, size=10)
box(ax, 9.3, 4.9, 3.0, 0.85, "KL$(q_\\phi(z|x)\\,\\|\\,p(z))$, sum over latents", fill=SOFT_ORANGE, size=9.5)
box(ax, 14.3, 4.9, 1.8, 0.95, "ELBO $=$\n$\\log p_\\theta(x|z) - $ KL", fill=SOFT_GREEN, size=9.5)
box(ax, 14.3, 2.8, 1.6, 0.95, "loss $= -$ mean\nover the batch", fill=SOFT_GREEN, size=9.5)
node(ax, 6.3, 0.75, r"$\epsilon$", color=ORANGE)
wire(ax, (0.9, 2.8), (2.35, 2.8), text="(B, 1, 28, 28)", at=(1.62, 3.08))
wire(ax, (4.05, 2.8), (5.45, 2.8), text="μ  (B, M)\nlog σ  (B, M)", at=(4.75, 2.38))
wire(ax, (4.75, 2.8), (4.75, 4.9), (7.8, 4.9), text="q(z|x): μ and log σ", at=(6.3, 5.13))
wire(ax, (6.3, 1.15), (6.3, 2.05), text="(B, M) from N(0, I)", at=(6.5, 1.5), ha="left", color=ORANGE)
wire(ax, (7.15, 2.8), (8.45, 2.8), text="z (B, M)", at=(7.8, 3.05))
wire(ax, (10.15, 2.8), (11.25, 2.8), text="logits\n(B, 1, 28, 28)", at=(10.72, 3.75))
ax.plot([10.7, 10.7], [2.85, 3.45], color="#999999", lw=0.7)
wire(ax, (0.5, 2.35), (0.5, 0.15), (12.0, 0.15), (12.0, 2.15), text="x (B, 1, 28, 28), as target", at=(9.3, 0.4))
wire(ax, (10.8, 4.9), (13.4, 4.9), text="(B,)", at=(11.5, 5.13))
wire(ax, (12.75, 3.2), (13.05, 3.2), (13.05, 4.65), (13.4, 4.65), text="(B,)", at=(12.72, 4.2))
wire(ax, (14.3, 4.42), (14.3, 3.28), text="(B,)", at=(14.65, 3.85))
wire(ax, (14.3, 2.32), (14.3, 1.3), text="()", at=(14.55, 1.75))
ax.text(14.3, 1.05, "backward()", ha="center", va="center", fontsize=10, color=BLUE, family="monospace")
plt.show()

# %% [markdown]
# (The KL may be the closed form of section 7, from $\mu$ and $\log\sigma$ alone, or be estimated from the same sample as
# $\log q_\phi(z|x) - \log p(z)$. Both have shape `(B,)` and the same mean.)
#
# We train with $M = 2$, Adam at $10^{-3}$ and batches of $B = 64$, and use **one** sample $z$ for each image. `limit`,
# when the data were loaded, keeps this quick; without it, all of MNIST is used.

# %%
torch.manual_seed(SEED)
model_37 = VariationalAutoencoder(input_shape=(1, 28, 28), latent_features=2)
history_37 = fit(model_37, VariationalInference(), data_37, epochs=60, seed=SEED)

# %%
nine_panels(model_37, data_37, history_37)
plt.show()

# %% [markdown]
# **How to read it.**
# - *Latent space*: one ellipse for each image, $q_\phi(z|x)$ at two standard deviations; the disk is the prior at two
#   standard deviations. (In two dimensions that holds $1 - e^{-2} \approx 86\,\%$ of a Gaussian, not 95 %.)
# - *ELBO*: in nats for each image, train and validation. The scale leaves out the first epochs, so that the distance
#   between the two curves can be read. That distance is what was learned about the training images and is of no
#   use for new ones. (Section 10 shows how much of it is the encoder's fault.)
# - *KL*: after a first jolt it falls to almost nothing. The model has learned the mean image and ignores $z$. Then the
#   KL climbs, as the model finds out that it pays to say something about $z$.
# - *$\log p(x|z)$ against KL*: the same story in one picture, where ELBO = $\log p(x|z)$ − KL is constant along a gray
#   line. Each nat of KL that is spent here buys many nats of reconstruction. Late in training the path turns straight
#   up: better reconstructions at the same KL.
# - *Prior samples* show what the model believes; *reconstructions* show only what it can copy. Judge a generative model
#   by its prior samples.
#
# > ⚠ *Symptom*: the ellipses look too tight. *Cause*: they are drawn at $1\sigma$, or a width was taken for a radius.
# > *Test*: draw samples from $q$ and count. An ellipse at $2\sigma$ holds 86 % of them, one at $1\sigma$ only
# > $1 - e^{-1/2} \approx 39\,\%$.
# >
# > ⚠ *Symptom*: the validation curve jumps up and down by several nats. *Cause*: it was computed on one random batch.
# > *Test*: evaluate the same model twice; the number must be the same. Here all validation images are evaluated, with
# > the same noise each time. They are a part of train; the test images are kept for the last number of a study.
#
# **Conditionally independent is not independent.** Take one pixel and correlate it with all others: first over images
# from the model, each with its own $z$, and then over images that share one $z$. To have something to see, we look for a
# pixel with a strong partner at least six pixels away.

# %%
torch.manual_seed(SEED)
with torch.no_grad():
    varied = model_37.sample_from_prior(4000)["px"].sample().flatten(1)
    chances = model_37.sample_from_prior(400)["px"].probs.flatten(1)
    places = torch.cartesian_prod(torch.arange(28.0), torch.arange(28.0))
    far = torch.cdist(places, places, p=float("inf")) >= 6
    often = (varied.mean(0) - 0.5).abs() < 0.3                                # pixels that are on now and then
    strength = torch.corrcoef(varied.T).abs().nan_to_num() * far * often * often[:, None]
    pixel, partner = divmod(strength.argmax().item(), 784)
    which_z = (chances[:, [pixel, partner]] - 0.5).abs().sum(1).argmin()      # a z for which both are still coins
    shared = torch.bernoulli(chances[which_z].expand(4000, 784))

fig, axes = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")
for ax, images, title in ((axes[0], varied, "each image its own z"), (axes[1], shared, "all images share one z")):
    centred = images - images.mean(0)
    norm = centred.norm(dim=0)
    seen = norm > 0.05 * len(images) ** 0.5                                   # pixels that vary at all
    correlation = torch.where(seen, centred.T @ centred[:, pixel] / (norm * norm[pixel]), torch.nan)
    image = ax.imshow(correlation.view(28, 28), cmap="RdBu_r", vmin=-0.6, vmax=0.6)
    ax.plot(pixel % 28, pixel // 28, "s", mfc="none", mec="black", ms=9, mew=1.5)
    ax.plot(partner % 28, partner // 28, "o", mfc="none", mec="black", ms=10, mew=1.5)
    ax.set(xticks=[], yticks=[], facecolor="#CCCCCC", title=f"{title}\n□ with ○: {correlation[partner]:+.2f}")
fig.colorbar(image, ax=axes, label="correlation with the pixel □", shrink=0.85, extend="max")
fig.supxlabel("gray: the pixel (almost) never changes", fontsize=10)
plt.show()

# %% [markdown]
# <details><summary><b>Check yourself</b>: the model trained well, yet its reconstructions look softer than the data.
# Is that a bug?</summary>
#
# No. What is drawn is $\pi(z)$, the probability of each pixel, and two latents cannot say everything about a digit.
# Whatever stays uncertain shows as gray. A true sample tosses the coins and looks speckled.
# </details>
#
# ## 9 · All ten digits

# %%
torch.manual_seed(SEED)
data_ten = load_mnist(limit=3500)
model_ten = VariationalAutoencoder(input_shape=(1, 28, 28), latent_features=2)
history_ten = fit(model_ten, VariationalInference(), data_ten, epochs=75, seed=SEED, evaluate_every=3)

with torch.no_grad():
    pixel_means = data_ten.train.images.mean(0).clamp(1e-3, 1 - 1e-3)
    baseline = reduce(Bernoulli(probs=pixel_means).log_prob(data_ten.validation.images)).mean()
last = history_ten[history_ten.split == "validation"].iloc[-1]
print(f"validation: ELBO {last.elbo:.1f} = log p(x|z) {last.log_px:.1f} − KL {last.kl:.1f} nats an image")
print(f"no latents at all, the best independent coin for each pixel: {baseline:.1f} nats an image")

# %%
shown = data_ten.validation.first(300)
fig = plt.figure(figsize=(12, 8.2), layout="constrained")
panels = fig.subplot_mosaic([["plane", "grid"], ["samples", "samples"]], height_ratios=[5.6, 2.0])
plot_latent_space(panels["plane"], model_ten, shown.images, shown.labels)
edge = panels["plane"].get_xlim()[1]
plot_grid(panels["grid"], model_ten, extent=edge * 13 / 14, size=14)               # 14 tiles fill the same square
for name in ("plane", "grid"):
    panels[name].set(xticks=range(-4, 5, 2), yticks=range(-4, 5, 2), xlim=(-edge, edge), ylim=(-edge, edge))
panels["grid"].set_title("mean of p(x|z), at the same scale", fontsize=10)
plot_prior_samples(panels["samples"], model_ten, rows=4, columns=24)
plt.show()

# %% [markdown]
# Always quote the *no-latent baseline* beside an ELBO: a model that does not beat it has made no use of its latents.
# Now move through the map yourself:

# %%
latent_explorer(model_ten, data_ten.validation)

# %% [markdown]
# ## 10 · The gap, made visible
#
# With two latents we can afford the integral: lay a fine grid over latent space, decode every point once, and sum. So
# here, as an exception, we *have* $\log p(x)$ and the true posterior of a neural model, and can look at the gap of
# section 4. It has two parts (Cremer et al. 2018). The encoder's answer is not the best Gaussian for this image: that is
# the **amortization gap**, the price of one network for all images. And the best diagonal Gaussian is still not the
# posterior: that is the **approximation gap**.
#
# To split the two we need the best $q$ for each image. We look for it by gradient steps, for each image alone, and we
# start from the highest point of the true posterior on the grid. (One could start from the encoder's $q$. But where the
# posterior has several hills, that search may stop on the wrong one or run out of steps, and what it misses would be
# counted as approximation gap. We do both, and compare.) And we measure on images that the encoder was trained on as well as on
# images that it never saw.

# %%
def log_joint_on_grid(model, x, axis_1, axis_2):
    """log p(x, z) for z on a grid: (batch, len(axis_2), len(axis_1))."""
    z = torch.cartesian_prod(axis_2, axis_1).flip(1)
    parts = []
    for chunk in z.split(5000):
        logits = model.decoder(chunk)
        # log p(x|z) = x · logits − Σ softplus(logits): one matrix product for all images and all z
        log_px_z = x.flatten(1) @ logits.T - torch.nn.functional.softplus(logits).sum(1)
        parts.append(log_px_z + Normal(0.0, 1.0).log_prob(chunk).sum(1))
    return torch.cat(parts, dim=1).view(len(x), len(axis_2), len(axis_1))


def improve(model, x, mu, sigma, steps=150, samples=8):
    """The diagonal Gaussian for each image alone, found by gradient steps from N(mu, sigma^2)."""
    mu, log_sigma = mu.clone().requires_grad_(), sigma.log().requires_grad_()
    optimizer = torch.optim.Adam([mu, log_sigma], lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        elbo_of(model, x, ReparameterizedDiagonalGaussian(mu, log_sigma), samples).mean().neg().backward(inputs=[mu, log_sigma])
        optimizer.step()
    return ReparameterizedDiagonalGaussian(mu.detach(), log_sigma.detach())


def elbo_of(model, x, q, samples):
    """The ELBO of each image with this q: closed-form KL, sampled log p(x|z). Shape (batch,)."""
    log_px_z = reduce(model.observation_model(q.rsample((samples,))).log_prob(x), 2)
    return log_px_z.mean(0) - kl_divergence(q, model.prior(len(x))).sum(1)


torch.manual_seed(SEED)
axis = torch.arange(-5, 5, 0.05)
points = torch.cartesian_prod(axis, axis).flip(1)
few, found = {"train": data_ten.train.binarized()[:100], "validation": data_ten.validation.images[:100]}, {}
for split, x in few.items():
    with torch.no_grad():
        on_grid, q = log_joint_on_grid(model_ten, x, axis, axis).flatten(1), model_ten.posterior(x)
    better = improve(model_ten, x, points[on_grid.argmax(1)], q.sigma)
    from_encoder = improve(model_ten, x, q.mu, q.sigma)
    with torch.no_grad():
        found[split] = {"q": q, "better": better, "sampled": log_likelihood(model_ten, x, num_samples=1000),
                        "log p(x)": on_grid.logsumexp(1) + 2 * math.log(0.05),
                        **{name: elbo_of(model_ten, x, some_q, 300) for name, some_q in (
                            ("encoder", q), ("best", better), ("from the encoder", from_encoder))}}

table = pd.DataFrame({split: {
    "ELBO, q from the encoder": at["encoder"].mean().item(),
    "ELBO, best q for each image": at["best"].mean().item(),
    "log p(x), integral on the grid": at["log p(x)"].mean().item(),
    "amortization gap": (at["best"] - at["encoder"]).mean().item(),
    "amortization gap, median image": (at["best"] - at["encoder"]).median().item(),
    "approximation gap": (at["log p(x)"] - at["best"]).mean().item(),
    "log p(x), 1,000 importance samples (unit 02)": at["sampled"].mean().item(),
} for split, at in found.items()})
worse = found["validation"]["best"] - found["validation"]["from the encoder"]
print(f"validation: a search from the encoder's q ends more than a nat lower for {(worse > 1).sum()} of {len(worse)} images, "
      f"and {worse.mean():.1f} nats lower on average")
table.round(1)                                                                     # nats, means over 100 images each

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharex=True)
for (split, at), color, marker in zip(found.items(), (BLUE, ORANGE), ("o", "s"), strict=True):
    for ax, gap in zip(axes, (at["best"] - at["encoder"], at["log p(x)"] - at["best"]), strict=True):
        ax.plot(np.arange(1, len(gap) + 1), gap.sort().values, marker, color=color, ms=4, mfc="white", label=split)
for ax, title in zip(axes, ("amortization gap", "approximation gap"), strict=True):
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="images, from the smallest gap to the largest", title=title)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(-0.6, 200)
    ax.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
axes[0].set(ylabel="nats")
axes[0].legend()
plt.show()

# %% [markdown]
# Nearly all of the gap is the encoder's. The best Gaussian misses $\log p(x)$ by a fraction of a nat on both sets: for
# this model, its posteriors are almost Gaussian. The encoder loses far more on new images than on those it was
# trained on, and most of all on a few for which it points somewhere else entirely. So the encoder overfits, too: compare
# how far apart train and validation are in the ELBO, and how far in $\log p(x)$. Whatever the two distances differ by is
# not a poorer model of new images but poorer *inference*. (Points below zero are sampling noise.)
#
# Here are three validation images, one with a small gap, one with a typical gap and one with a large gap:

# %%
at = found["validation"]
gaps = at["log p(x)"] - at["encoder"]
chosen = gaps.argsort()[[10, 50, 90]]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, index in zip(axes, chosen.tolist(), strict=True):
    x = few["validation"][index : index + 1]
    with torch.no_grad():
        q, q_better = (ReparameterizedDiagonalGaussian(at[name].mu[[index]], at[name].log_sigma[[index]]) for name in ("q", "better"))
        centre = (q.mu + q_better.mu)[0] / 2
        reach = 0.15 + (q.mu - q_better.mu).abs().max() / 2 + 3 * torch.stack([q.sigma, q_better.sigma]).max()
        steps = torch.linspace(-1, 1, 120)
        axes_z = centre[0] + reach * steps, centre[1] + reach * steps
        density = (log_joint_on_grid(model_ten, x, *axes_z)[0] - at["log p(x)"][index]).exp()
    ax.pcolormesh(*axes_z, density, cmap="Greys", shading="gouraud", rasterized=True)
    for gaussian, color, label in ((q, BLUE, "q of the encoder"), (q_better, ORANGE, "best q for this image")):
        ellipse = gaussian.mu[0][:, None] + 2 * gaussian.sigma[0][:, None] * circle.float()
        ax.plot(*ellipse, color=color, label=label)
    inset = ax.inset_axes([0.02, 0.74, 0.24, 0.24])
    inset.imshow(x[0, 0], cmap="gray_r")
    inset.set(xticks=[], yticks=[])
    ax.set(xlabel="$z_1$", title=f"gap {gaps[index]:.1f} nats", aspect="equal")
axes[0].set(ylabel="$z_2$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
fig.suptitle("shaded: the true posterior p(z|x); ellipses: q at two standard deviations", fontsize=10)
plt.show()

# %% [markdown]
# Look at the last row of the table, too: where $q$ sits beside the posterior, even a thousand samples from it miss, and
# the estimate of $\log p(x)$ stays too low.
#
# <details><summary><b>Check yourself</b>: which of the numbers in the table would you report as “the log-likelihood of
# the model”?</summary>
#
# The integral, where one can have it. With more than a few latents: the importance-sampled estimate, which on average
# lies below log p(x) and comes closer with more samples. The ELBO is a valid lower bound, but it mixes the quality of
# the model with that of the encoder. $\log p(x|z)$ at the encoder's $z$ is no estimate of log p(x) at all: it leaves
# out the price of finding that $z$.
# </details>
#
# ## 11 · Outlook: ELBO surgery
#
# Average the KL term over the $N$ images, and write $q(z) = \frac1N \sum_n q_\phi(z|x_n)$ for the *aggregate
# posterior*: all the ellipses of the latent map taken together. Multiply and divide by $q(z)$ inside the logarithm
# (Hoffman & Johnson 2016), and this equality comes out:
#
# $$\frac1N \sum_n \mathrm{KL}\big(q_\phi(z|x_n)\,\|\,p(z)\big)
#  = \underbrace{\frac1N \sum_n \mathrm{KL}\big(q_\phi(z|x_n)\,\|\,q(z)\big)}_{\text{information between image and } z,\; \le\, \log N}
#  + \underbrace{\mathrm{KL}\big(q(z)\,\|\,p(z)\big)}_{\text{does } q(z) \text{ match the prior?}}$$
#
# The first term is what makes reconstructions possible. The second is what spoils samples from the prior. To see the
# second, we cut the plane into small squares and compare the share of $q(z)$ in each with the share of $p(z)$. (Both
# shares are exact, since the probability that a diagonal Gaussian lands in a square is a product of two differences of
# its distribution function.)

# %%
torch.manual_seed(SEED)
with torch.no_grad():
    crowd = model_ten.posterior(data_ten.train.binarized())                                # one component for each image
    z = crowd.sample()                                                             # (N, 2)
    log_q_each = torch.stack([reduce(crowd.log_prob(point)) for point in z])       # (N, N): log q(z_i | x_n)
    log_q = log_q_each.logsumexp(1) - math.log(len(z))                             # log q(z_i)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(1)
    information, mismatch = (log_q_each.diagonal() - log_q).mean(), (log_q - log_p).mean()
    rings = torch.bucketize(z.norm(dim=1), torch.tensor([1.0, 2.0, 3.0])).bincount(minlength=4) / len(z)
    average_kl = kl_divergence(crowd, model_ten.prior(len(z))).sum(1).mean()
    side = 0.25
    edges = torch.arange(-4, 4 + side / 2, side)
    share = [Normal(mu[..., None], sigma[..., None]).cdf(edges).diff(dim=-1)       # (N, 2, squares) and (1, 2, squares)
             for mu, sigma in ((crowd.mu, crowd.sigma), (torch.zeros(1, 2), torch.ones(1, 2)))]
    density_q, density_p = (part[:, 1].T @ part[:, 0] / len(part) / side**2 for part in share)
print(f"mean KL {average_kl:.2f} = information {information:.2f} + mismatch {mismatch:.2f} nats, up to sampling noise "
      f"(log N = {math.log(len(z)):.2f})")
below = 1 - np.exp(-np.array([0, 1, 2, 3]) ** 2 / 2)                               # the prior's share within 0, 1, 2, 3 sigma
print("share within 1σ, from 1σ to 2σ, from 2σ to 3σ, and beyond:  prior", np.diff([*below, 1]).round(2), " q(z)", rings.numpy().round(2))

fig, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained", sharey=True)
top = max(density_q.max(), density_p.max()).item()
for ax, density, title in ((axes[0], density_p, "prior p(z)"), (axes[1], density_q, "aggregate posterior q(z)")):
    image = ax.pcolormesh(edges, edges, density, cmap="Greys", vmin=0, vmax=top, rasterized=True)
    ax.set(title=title)
fig.colorbar(image, ax=axes[:2], label="density, the same scale for both", shrink=0.8)
middles = (edges[1:] + edges[:-1]) / 2
log_ratio = (density_q / density_p).log2().where(torch.hypot(middles[:, None], middles) < 3.1, torch.nan)
ratio = axes[2].pcolormesh(edges, edges, log_ratio, cmap="PuOr_r", vmin=-3, vmax=3, rasterized=True)
axes[2].set(title="q(z) / p(z), within three standard deviations", facecolor="#DDDDDD")
bar = fig.colorbar(ratio, ax=axes[2], shrink=0.8, extend="both", ticks=[-3, -2, -1, 0, 1, 2, 3])
bar.ax.set_yticklabels(["⅛", "¼", "½", "1", "2", "4", "8"])
for ax in axes:
    for radius in (1, 2, 3):
        ax.plot(*(radius * circle), color=GREEN, lw=1, label="prior at 1, 2, 3 standard deviations" if radius == 1 else None)
    ax.set(xlabel="$z_1$", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
axes[0].set(ylabel="$z_2$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", frameon=False)
plt.show()

# %% [markdown]
# The two agree in their broad shape, which is why most samples from this model look like digits. In detail they differ.
# Beyond two standard deviations lies more of $q(z)$ than of the prior (orange), so some real digits have codes that the
# prior hardly ever draws. And between the regions of the digits there are gaps (purple): the prior draws there, but
# hardly any image is encoded there, so the decoder has had little practice.
#
# ## 12 · A knob: beta
#
# Weigh the KL: $\mathcal L_\beta = \mathbb E_q[\log p_\theta(x|z)] - \beta\, \mathrm{KL}(q_\phi(z|x)\,\|\,p(z))$
# (Higgins et al. 2017). At $\beta = 1$ it is the ELBO. For $\beta > 1$ it is still a lower bound on $\log p(x)$, a looser
# one; for $\beta < 1$ it need not be a bound at all. So compare models by their **ELBO**, whatever they were trained on.
# We train one model with $M = 10$ for each $\beta$.
#
# The table also counts **active units**. A latent that the model uses moves with the image: its posterior mean
# $\mu_i(x)$ differs from image to image. A latent that is switched off has $q_\phi(z_i|x) = p(z_i)$ for every image, so
# its mean stays at 0. A latent counts as active if the variance of $\mu_i(x)$ over the images exceeds 0.01 (Burda et al.
# 2016).

# %%
betas = (0.1, 1.0, 10.0, 50.0)
models_by_beta, rows = {}, []
for beta in betas:
    torch.manual_seed(SEED)                                                        # the same initial weights for each beta
    models_by_beta[beta] = VariationalAutoencoder(input_shape=(1, 28, 28), latent_features=10)
    fit(models_by_beta[beta], VariationalInference(beta=beta), data_ten, epochs=25, seed=SEED, evaluate_every=25)
    means = evaluate(models_by_beta[beta], VariationalInference(), data_ten.validation)
    units, _ = active_units(models_by_beta[beta], data_ten.validation.images)
    rows.append({"beta": beta, **{name: means[name] for name in ("elbo", "log_px", "kl")}, "active units": units})
sweep = pd.DataFrame(rows).set_index("beta")
sweep.round(1)

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
kl_axis = np.array([-1.5, sweep.kl.max() * 1.15])
low, high = -sweep.log_px.max() - 20, -sweep.log_px.min() + 15
for elbo in range(-300, -60, 20):                                  # along a grey line the ELBO is the same
    ax.plot(kl_axis, -elbo - kl_axis, color=GREY, lw=0.7, zorder=0)
    middle = kl_axis[1] * 0.55
    if low + 5 < -elbo - middle < high - 5:
        ax.text(middle, -elbo - middle, f"ELBO −{-elbo}", color="#555555", fontsize=8, ha="center", va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
ax.plot(sweep.kl, -sweep.log_px, "o-", color=BLUE)
for beta, row in sweep.iterrows():
    ax.annotate(rf"$\beta$ = {beta:g}", (row.kl, -row.log_px), xytext=(7, 7), textcoords="offset points")
ax.set(xlabel="KL: what z tells  (nats an image)", ylabel="−log p(x|z): what is left to tell  (nats an image)",
       xlim=kl_axis, ylim=(low, high), title="the price list of beta")
plt.show()

# %%
beta_explorer(models_by_beta, data_ten.validation)

# %% [markdown]
# In the picture, the upper row shows images with their reconstructions, the lower row samples from the prior. With a
# small $\beta$ the reconstructions are sharp and the KL is large, and many of the prior samples are no digits. With a
# large $\beta$ the KL falls to zero, the latents switch off, and every image gets the same gray mean. The best ELBO
# belongs to the model that was trained for it.
#
# **A knob that moves: KL warm-up.** A latent that is switched off early in training may never come back. One remedy is
# to start with $\beta = 0$ and let it rise to 1 over the first epochs (Bowman et al. 2016, for sentences; Sønderby et al.
# 2016, for several layers of latents). What is trained at the end, and reported, is then the ELBO again. Our small model
# does not need it: in section 8 the KL came back by itself. Unit 07 will need it.
#
# <details><summary><b>Check yourself</b>: at β = 0, where does training drive σ?</summary>
#
# Towards 0. Precise codes cost nothing any more, and noise on z only hurts the reconstruction. What is left is an
# ordinary autoencoder.
# </details>
#
# ## 13 · A map to send to a friend
#
# Cut the prior into cells of equal probability, decode the middle of each, and tint it by the digits that the encoder
# sends nearby. So each tile stands for the same share of what this model believes in.

# %%
tiles = 30
u = (torch.arange(tiles) + 0.5) / tiles
place = Normal(0.0, 1.0).icdf(u)                                                   # quantiles: equal steps of probability
z = torch.cartesian_prod(place.flip(0), place).flip(1)                             # rows from top to bottom
hues = "#4cc9f0 #ff9f1c #80ed99 #ff5c7a #a394ff #ffd166 #ff99c8 #e8e8e8 #c6e03a #2ec4b6".split()
palette = torch.tensor([[int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hue in hues])
with torch.no_grad():
    ink = model_ten.observation_model(z).probs.view(tiles, tiles, 28, 28)
    homes = model_ten.posterior(data_ten.train.images.round()).mu
    near = torch.cdist(z, homes).topk(15, largest=False).indices                   # 15 nearest images of each tile
    votes = torch.nn.functional.one_hot(data_ten.train.labels[near], 10).sum(1).float().square()
    tint = (votes / votes.sum(1, keepdim=True) @ palette).view(tiles, tiles, 3)
picture = (ink[..., None] * tint[:, :, None, None]).permute(0, 2, 1, 3, 4).reshape(28 * tiles, 28 * tiles, 3)

fig, ax = plt.subplots(figsize=(10, 10.4), layout="constrained", facecolor="black")
ax.imshow(picture, interpolation="bilinear")
ax.axis("off")
ax.set_title(f"{tiles * tiles} digits that nobody wrote, one for each {1 / tiles**2:.2%} of the prior", color="white", fontsize=14)
for digit in range(10):
    ax.text(0.275 + 0.05 * digit, -0.01, digit, color=hues[digit], fontsize=15, weight="bold", ha="center", va="top",
            transform=ax.transAxes)
plt.show()

# %% [markdown]
# ## Further reading
#
# - Kingma & Welling (2014), *Auto-Encoding Variational Bayes*, ICLR. [arXiv:1312.6114](https://arxiv.org/abs/1312.6114)
# - Rezende, Mohamed & Wierstra (2014), *Stochastic Backpropagation and Approximate Inference in Deep Generative
#   Models*, ICML. [arXiv:1401.4082](https://arxiv.org/abs/1401.4082). The same idea, found at the same time.
# - Doersch (2016), *Tutorial on Variational Autoencoders*. [arXiv:1606.05908](https://arxiv.org/abs/1606.05908)
# - Dayan, Hinton, Neal & Zemel (1995), *The Helmholtz Machine*, Neural Computation 7(5).
#   [doi:10.1162/neco.1995.7.5.889](https://doi.org/10.1162/neco.1995.7.5.889). A recognition network beside a generative
#   one, long before the VAE. Section 3.
# - Gershman & Goodman (2014), *Amortized Inference in Probabilistic Reasoning*, Annual Meeting of the Cognitive Science
#   Society. [Paper](https://mindmodeling.org/cogsci2014/papers/098/). Section 3.
# - Cremer, Li & Duvenaud (2018), *Inference Suboptimality in Variational Autoencoders*, ICML.
#   [arXiv:1801.03558](https://arxiv.org/abs/1801.03558). Section 10.
# - Williams (1992), *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, Machine
#   Learning 8. [doi:10.1007/BF00992696](https://doi.org/10.1007/BF00992696). Section 6: REINFORCE.
# - Mohamed, Rosca, Figurnov & Mnih (2020), *Monte Carlo Gradient Estimation in Machine Learning*, JMLR 21(132).
#   [arXiv:1906.10652](https://arxiv.org/abs/1906.10652). Section 6, and when the trick does not win.
# - Hoffman & Johnson (2016), *ELBO surgery: yet another way to carve up the variational evidence lower bound*, NIPS
#   workshop Advances in Approximate Bayesian Inference.
#   [PDF](http://approximateinference.org/accepted/HoffmanJohnson2016.pdf). Section 11.
# - Higgins et al. (2017), *beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework*, ICLR.
#   [OpenReview](https://openreview.net/forum?id=Sy2fzU9gl). Section 12.
# - Burda, Grosse & Salakhutdinov (2016), *Importance Weighted Autoencoders*, ICLR.
#   [arXiv:1509.00519](https://arxiv.org/abs/1509.00519). Section 12: active units; and unit 02.
# - Bowman, Vilnis, Vinyals, Dai, Jozefowicz & Bengio (2016), *Generating Sentences from a Continuous Space*, CoNLL.
#   [arXiv:1511.06349](https://arxiv.org/abs/1511.06349). Section 12: warm-up.
# - Sønderby, Raiko, Maaløe, Sønderby & Winther (2016), *Ladder Variational Autoencoders*, NIPS.
#   [arXiv:1602.02282](https://arxiv.org/abs/1602.02282). Section 12: warm-up.
# - Loaiza-Ganem & Cunningham (2019), *The continuous Bernoulli: fixing a pervasive error in variational
#   autoencoders*, NeurIPS. [arXiv:1907.06845](https://arxiv.org/abs/1907.06845). Section 1.
#
# **Next**: the exercises of this unit. There you build the pieces of this lecture yourself, and each one is checked.
