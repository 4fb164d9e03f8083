# %% [markdown]
# # 1 · The variational autoencoder: exercises
#
# **Goals**
# - you can sample from a Gaussian so that gradients flow through the sample
# - you can write the ELBO and the β-ELBO from log-densities, and know the shape of everything in them
# - you can say what reparameterization buys, with a picture of two gradient estimators
# - you can train a VAE, record what you measure, and read reconstruction against KL
# - you can tell which numbers say something about $\log p(x)$ and which do not
#
# **Prerequisites**: the [lecture of this unit](../../course/01_vae/lecture.ipynb); PyTorch tensors, `nn.Module` and `autograd`; the Gaussian density.
#
# **Time**: 100 to 120 minutes
#
# **Points**: 59

# %% [markdown]
# **How this works.** You fill the cells that say `# YOUR CODE HERE`. Each is followed by a cell with `check(...)`: run it as
# often as you like. It draws fresh random inputs, calls your code, and shows ✓ with your points or says what it
# expected, what came, and which mistake that looks like. Stuck? `hint("vae.gaussian_rsample")` in any cell gives a nudge;
# call it again and it says more (three levels, no points lost). `progress()` shows where you stand.
# The questions in words are marked by a person.
#
# **Notation.** $x$ is an image, $z$ its latent code with $M$ dimensions, $p_\theta(x\mid z)$ the observation model (decoder),
# $q_\phi(z\mid x)$ the approximate posterior (encoder), $p(z)=\mathcal N(0, I)$ the prior. Logarithms are natural, so all
# values are in *nats*. Shapes are written like this: `(batch, M)`.
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

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import elbolab.inference
from autograder import check, hint, progress
from elbolab.data import load_mnist
from elbolab.distributions import Bernoulli
from elbolab.inference import reduce
from elbolab.models import VariationalAutoencoder
from elbolab.plotting import nine_panels, plot_prior_samples
from elbolab.training import evaluate, fit

BLUE, ORANGE = "#0072b2", "#d55e00"  # two colors that color-blind readers tell apart
digits = load_mnist(binarize="dynamic")  # training images are binarized anew for each batch, validation images once

# %% [markdown]
# ## 1 · Building blocks
#
# Four small pieces make a VAE: a Gaussian you can sample from *with gradients*, its log-density, the log-likelihood of
# binary pixels, and the ELBO that ties them together.
#
# The cell below shows the first idea before you build it. Left: noise $\epsilon\sim\mathcal N(0, I)$, always the same kind, with no
# parameters in it. Right: the same points after $z = \mu + \sigma\odot\epsilon$. Move $\mu$ and every point moves with
# it; stretch $\sigma$ and the cloud stretches. So each sample $z$ is a *differentiable function* of $\mu$ and $\sigma$.

# %%
noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
noise[:5] = torch.tensor([[-1.4, 1.1], [0.0, 0.2], [1.3, 1.3], [1.2, -1.2], [-1.1, -1.0]])  # five to follow with the eye
mu_2d, sigma_2d = torch.tensor([2.0, -1.0]), torch.tensor([0.4, 1.5])

figure, axes = plt.subplots(1, 2, figsize=(7, 4.6), sharex=True, sharey=True, layout="compressed")
for ax, points, title in [
    (axes[0], noise, r"noise: $\epsilon \sim \mathcal{N}(0, I)$"),
    (axes[1], mu_2d + sigma_2d * noise, r"sample: $z = \mu + \sigma \odot \epsilon$"),
]:
    ax.scatter(*points.T, s=8, color=BLUE, alpha=0.35, linewidths=0)
    ax.scatter(*points[:5].T, s=60, color=ORANGE, edgecolors="white", zorder=3)
    for number, point in enumerate(points[:5].tolist(), start=1):
        ax.annotate(str(number), point, xytext=(5, 5), textcoords="offset points", fontsize=11)
    ax.set(title=title, xlabel="dimension 1", ylabel="dimension 2", aspect="equal")
plt.show()

# %% [markdown]
# ### Exercise 1a: a sample that carries a gradient
# Difficulty: ●●○ · Time: 8 min · Points: 4
#
# $$ z = \mu + \sigma \odot \epsilon, \qquad \epsilon \sim \mathcal N(0, I), \qquad \sigma = \exp(\mathtt{log\_sigma}) $$
#
# The encoder gives $\log\sigma$, the logarithm of the *standard deviation* (not of the variance): any real number is
# allowed, and $\sigma$ comes out positive.
#
# **Write** `rsample` in the class below: one line, with `self.mu`, `self.sigma` and `self.sample_epsilon()`.
#
# | | shape | |
# |---|---|---|
# | `mu`, `log_sigma` | any, for example `(batch, M)` | from the encoder |
# | $\epsilon$ | the shape of `mu` | an own, independent draw for *every entry* |
# | `rsample()` | the shape of `mu` | |
#
# **What the check looks at.** The result has the shape and dtype of `mu`. Its entries are independent draws with mean `mu` and
# standard deviation `sigma`: across dimensions, across the batch, and from call to call (so: no fixed seed). Gradients
# reach both parameters: $\partial z/\partial\mu = 1$ and $\partial z/\partial\log\sigma = \sigma\epsilon$. `mu` and
# `log_sigma` are left as they were.
#
# (Leave `log_prob` for 1b.)
#
# Hints: `hint("vae.gaussian_rsample")`.

# %% nbgrader={"grade": false, "grade_id": "gaussian", "locked": false, "schema_version": 3, "solution": true, "task": false}
class ReparameterizedDiagonalGaussian(Distribution):
    """A Gaussian with independent dimensions, N(z | mu, diag(sigma^2)), that can be sampled with gradients."""

    def __init__(self, mu: Tensor, log_sigma: Tensor):
        assert mu.shape == log_sigma.shape, f"mu has shape {tuple(mu.shape)}, log_sigma {tuple(log_sigma.shape)}"
        super().__init__(batch_shape=mu.shape, validate_args=False)
        self.mu = mu
        self.log_sigma = log_sigma
        self.sigma = log_sigma.exp()

    def sample_epsilon(self) -> Tensor:
        """Noise from N(0, I), shape and dtype of mu."""
        return torch.empty_like(self.mu).normal_()

    def sample(self) -> Tensor:
        """A sample without gradients, shape of mu."""
        with torch.no_grad():
            return self.rsample()

    def rsample(self) -> Tensor:
        """Exercise 1a: a sample that carries gradients to mu and log_sigma, shape of mu."""
        ### BEGIN SOLUTION
        return self.mu + self.sigma * self.sample_epsilon()
        ### END SOLUTION

    def log_prob(self, z: Tensor) -> Tensor:
        """Exercise 1b: the log-density of each entry of z, shape of z."""
        ### BEGIN SOLUTION
        standardized = (z - self.mu) / self.sigma
        return -0.5 * math.log(2 * math.pi) - self.log_sigma - 0.5 * standardized**2
        ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_gaussian_rsample", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("vae.gaussian_rsample", ReparameterizedDiagonalGaussian)

# %% [markdown]
# ### Exercise 1b: the log-density
# Difficulty: ●○○ · Time: 6 min · Points: 4
#
# The dimensions are independent, so the density of the vector $z$ is a product of $M$ one-dimensional densities and its logarithm a
# sum. As in `torch.distributions.Normal`, we return the $M$ *terms* and sum later:
#
# $$ \log \mathcal N(z_i \mid \mu_i, \sigma_i^2) = -\tfrac12 \log(2\pi) - \log\sigma_i - \frac{(z_i-\mu_i)^2}{2\sigma_i^2} $$
#
# **Write** `log_prob` in the class above (go back up, fill it in, run that cell again). Start from the formula of the *logarithm*: a density computed first and
# logged afterwards becomes $\log 0=-\infty$ for a $z$ far from $\mu$.
#
# | | shape |
# |---|---|
# | `z` | the shape of `mu` |
# | `log_prob(z)` | the shape of `z`: one number for each entry, *not* summed |
#
# **What the check looks at.** The values, shape and dtype; 784 dimensions and a `z` fifty standard deviations away (still finite and right);
# the gradients with respect to `mu`, `log_sigma` and `z`; `z` itself unchanged. It does not use your `rsample`.
#
# Writing it with `torch.distributions.Normal` is allowed. Writing the formula once in your life is better.
#
# Hints: `hint("vae.gaussian_log_prob")`.

# %% nbgrader={"grade": true, "grade_id": "check_gaussian_log_prob", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("vae.gaussian_log_prob", ReparameterizedDiagonalGaussian)

# %% [markdown]
# ### Exercise 1c: binary pixels and cross-entropy
# Difficulty: ●○○ · Time: 6 min · Points: 3
#
# Our pixels are 0 or 1, and given $z$ they are *conditionally independent*: pixel $d$ has its own probability
# $\pi_d = \mathrm{sigmoid}(\ell_d)$, where the decoder gives the *logit* $\ell_d$. So
#
# $$ \log p(x\mid z) = \sum_d \big[ x_d\log\pi_d + (1-x_d)\log(1-\pi_d) \big] = -\sum_d \mathrm{BCE}(\pi_d, x_d): $$
#
# the log-likelihood of Bernoulli pixels is the *negative binary cross-entropy*, summed over the pixels. The next cell shows it for
# four pixels, and also why we stay in logarithms: the probability of a whole image is too small for a float.

# %%
four_logits, four_pixels = torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
print("Bernoulli log_prob  :", Bernoulli(logits=four_logits).log_prob(four_pixels))
print("minus cross-entropy :", -nn.functional.binary_cross_entropy_with_logits(four_logits, four_pixels, reduction="none"))
print("0.75 to the power 784, as a product:", torch.full((784,), 0.75).prod().item())
print("the same as a sum of logarithms    :", torch.full((784,), 0.75).log().sum().item(), "nats")

# %% [markdown]
# **Write** `bernoulli_log_likelihood(logits, x)`, with `Bernoulli(logits=...)` or with
# `nn.functional.binary_cross_entropy_with_logits`. `reduce(t)` from `elbolab` sums everything but the first dimension:
# `(batch, 1, 28, 28)` becomes `(batch,)`.
#
# | | shape |
# |---|---|
# | `logits`, `x` | `(batch, 784)`, `(batch, 1, 28, 28)`, ... : `batch` first, then any event shape |
# | result | `(batch,)`: one log-likelihood for each image |
#
# **What the check looks at.** Values (a *sum* over the pixels, not a mean; negative, since it is a log-probability), shape and dtype; 784 pixels and
# logits of several hundred (finite and right, so never `log(sigmoid(...))`); the gradient with respect to `logits`, which is $x-\pi$; both inputs unchanged.
#
# Hints: `hint("vae.bernoulli")`.

# %% nbgrader={"grade": false, "grade_id": "bernoulli", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of binary x, (batch, *event), under independent Bernoullis with these logits; shape (batch,)."""
    ### BEGIN SOLUTION
    return reduce(Bernoulli(logits=logits).log_prob(x))
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_bernoulli", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("vae.bernoulli", bernoulli_log_likelihood)

# %% [markdown]
# ### Exercise 1d: the ELBO and the β-ELBO
# Difficulty: ●●● · Time: 16 min · Points: 10
#
# With one sample $z\sim q_\phi(z\mid x)$ for each image, an unbiased estimate of the ELBO is
#
# $$ \underbrace{\log p_\theta(x\mid z)}_{\mathtt{log\_px}} \;-\; \underbrace{\big[\log q_\phi(z\mid x) - \log p(z)\big]}_{\mathtt{kl}}
# \;=\; \mathtt{elbo}, \qquad \mathtt{beta\_elbo} = \mathtt{log\_px} - \beta\,\mathtt{kl}. $$
#
# The β-ELBO is what we *train* on; the ELBO is what we *report*, whatever β is. Optimizers minimize, so the loss is the negative mean over the batch.
#
# `model(x)` runs encoder, sampling and decoder, and returns a dictionary:
#
# | key | what | `log_prob` of it has shape |
# |---|---|---|
# | `"px"` | $p_\theta(x\mid z)$, Bernoulli pixels | `(batch, *image)`: one term a pixel |
# | `"pz"` | the prior $p(z)$ | `(batch, M)`: one term a latent |
# | `"qz"` | $q_\phi(z\mid x)$ | `(batch, M)` |
# | `"z"` | the sample, drawn with `rsample` | (the tensor itself: `(batch, M)`) |
#
# **Write** the missing lines of `forward`:
#
# | name | what | shape |
# |---|---|---|
# | `log_px` | $\log p(x\mid z)$, *summed* over the pixels | `(batch,)` |
# | `kl` | $\log q(z\mid x)-\log p(z)$, *summed* over the latents (or the closed form of 1e) | `(batch,)` |
# | `elbo` | `log_px - kl`, without β | `(batch,)` |
# | `beta_elbo` | `log_px - beta * kl` | `(batch,)` |
# | `loss` | minus the mean of `beta_elbo` | `()`, a scalar that carries the graph |
# | `diagnostics` | dictionary with `"elbo"`, `"log_px"`, `"kl"`, each `.detach()`ed | `(batch,)` each |
#
# `reduce` does the sums: `(batch, ...)` to `(batch,)`. Check shapes as you go: a `(batch, 1)` minus a `(batch,)` is silently `(batch, batch)`.
#
# **What the checks look at.** First (5 points) the diagnostics: `log_px`, `kl` and `elbo` have the right values for every image, shape `(batch,)`, and carry
# no graph; `elbo` does not change with β. Then (5 points) the loss: scalar, the negative mean β-ELBO, for any β (0 and large ones too), with the right gradient to every parameter of the
# encoder and the decoder. Both use images of 784 pixels, several batch sizes, and call the same object repeatedly: an answer depends on `model` and `x` only. `x` is left unchanged.
#
# Hints: `hint("vae.elbo")` and `hint("vae.beta_elbo")`.

# %% nbgrader={"grade": false, "grade_id": "variational_inference", "locked": false, "schema_version": 3, "solution": true, "task": false}
class VariationalInference(nn.Module):
    """Turns a model and a batch into the loss to minimize and the numbers to look at."""

    def __init__(self, beta: float = 1.0):
        super().__init__()
        self.beta = beta

    def forward(self, model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor], dict]:
        """x: (batch, *image). Returns loss (), diagnostics with values (batch,), and the model's outputs."""
        outputs = model(x)
        px, pz, qz, z = outputs["px"], outputs["pz"], outputs["qz"], outputs["z"]
        ### BEGIN SOLUTION
        log_px = reduce(px.log_prob(x))  # (batch,)
        kl = reduce(qz.log_prob(z) - pz.log_prob(z))  # (batch,)
        elbo = log_px - kl
        beta_elbo = log_px - self.beta * kl
        loss = -beta_elbo.mean()
        diagnostics = {"elbo": elbo.detach(), "log_px": log_px.detach(), "kl": kl.detach()}
        ### END SOLUTION
        return loss, diagnostics, outputs

# %% nbgrader={"grade": true, "grade_id": "check_elbo", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check("vae.elbo", VariationalInference)

# %% nbgrader={"grade": true, "grade_id": "check_beta_elbo", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check("vae.beta_elbo", VariationalInference)

# %% [markdown]
# #### Now it learns
#
# Your Gaussian and your `VariationalInference` are all that was missing. The next cell puts your Gaussian into the library's VAE
# (two latents, encoder 784-256-128-4, decoder mirrored) and trains it on threes and sevens with *your* loss. Higher ELBO is better. A model without any
# latent, which only knows how often each pixel is on, gets about −206 nats on all ten digits.

# %%
class YourVAE(VariationalAutoencoder):
    """The library's VAE with the Gaussian that you wrote as approximate posterior."""

    def posterior(self, x: Tensor) -> Distribution:
        mu, log_sigma = self.encoder(x.flatten(1)).chunk(2, dim=-1)
        return ReparameterizedDiagonalGaussian(mu, log_sigma)


threes_and_sevens = load_mnist(binarize="dynamic", classes=[3, 7])
torch.manual_seed(11)
first_vae = YourVAE(input_shape=(1, 28, 28), latent_features=2)
before = evaluate(first_vae, VariationalInference(), threes_and_sevens.validation)
fit(first_vae, VariationalInference(), threes_and_sevens, epochs=20, max_steps=500)
after = evaluate(first_vae, VariationalInference(), threes_and_sevens.validation)
print(f"validation ELBO: {before['elbo']:.1f} nats before training, {after['elbo']:.1f} nats after")

# %% [markdown]
# Four classes now, and a look at everything at once. Before you run it, guess: where in the latent plane will zeros and ones lie, and which two of 0, 1, 4, 9 will overlap?
# (The lecture explains each of the nine panels.)

# %%
four_classes = load_mnist(binarize="dynamic", classes=[0, 1, 4, 9])
torch.manual_seed(12)
second_vae = YourVAE(input_shape=(1, 28, 28), latent_features=2)
history = fit(second_vae, VariationalInference(), four_classes, epochs=40, max_steps=2000)
nine_panels(second_vae, four_classes, history)
plt.show()

# %% [markdown]
# ### Exercise 1e: the KL in closed form
# Difficulty: ●●○ · Time: 6 min · Points: 3
#
# In 1d you estimated the KL from one sample, $\log q(z)-\log p(z)$. Its expectation is never negative; a single estimate can be.
# For two Gaussians with independent dimensions the expectation is known exactly:
#
# $$ \mathrm{KL}(q\,\|\,p) = \sum_{i=1}^{M}\left[ \log\frac{\sigma_{p,i}}{\sigma_{q,i}} + \frac{\sigma_{q,i}^2 + (\mu_{q,i}-\mu_{p,i})^2}{2\,\sigma_{p,i}^2} - \frac12 \right] $$
#
# **Write** `gaussian_kl`, from the formula. All four arguments have shape `(batch, M)`; the result has shape `(batch,)`, summed over the latents.
#
# **What the check looks at.** Values for general $q$ *and* $p$ (not just the standard prior), zero where they are equal, the direction KL(q‖p), shape and dtype, the gradient with respect to each of the four
# arguments; the arguments unchanged.
#
# Hints: `hint("vae.gaussian_kl")`.

# %% nbgrader={"grade": false, "grade_id": "gaussian_kl", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gaussian_kl(mu_q: Tensor, log_sigma_q: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL(q || p) of diagonal Gaussians, arguments (batch, M), in nats; shape (batch,)."""
    ### BEGIN SOLUTION
    log_ratio = log_sigma_q - log_sigma_p
    distance = (mu_q - mu_p) / log_sigma_p.exp()
    return (0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio).sum(dim=-1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_gaussian_kl", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("vae.gaussian_kl", gaussian_kl)

# %% [markdown]
# Do the two agree? The next cell averages more and more one-sample estimates for one posterior with two latents. The line is your
# closed form; the band is where 95 % of such averages lie.

# %%
mu_q, log_sigma_q = torch.tensor([[1.0, -0.5]]), torch.tensor([[-0.7, 0.2]])
exact = gaussian_kl(mu_q, log_sigma_q, torch.zeros(1, 2), torch.zeros(1, 2)).item()
q, p = torch.distributions.Normal(mu_q, log_sigma_q.exp()), torch.distributions.Normal(torch.zeros(1, 2), torch.ones(1, 2))
z = q.sample((10_000,))
one_sample = (q.log_prob(z) - p.log_prob(z)).sum(dim=-1).squeeze(-1)
count = torch.arange(1, len(one_sample) + 1)
band = 1.96 * one_sample.std() / count.sqrt()

figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
ax.fill_between(count, exact - band, exact + band, color=ORANGE, alpha=0.2, label="95 % of averages", linewidth=0)
ax.plot(count, one_sample.cumsum(0) / count, color=BLUE, label="average of the samples so far")
ax.axhline(exact, color=ORANGE, label=f"closed form, {exact:.3f} nats")
ax.set(xscale="log", xlim=(1, len(one_sample)), ylim=(exact - 2, exact + 2), xlabel="number of samples", ylabel="KL (nats)")
ax.legend(loc="upper right", frameon=False)
plt.show()
print(f"{(one_sample < 0).float().mean():.0%} of the one-sample estimates are negative; the KL is {exact:.3f} nats")

# %% [markdown]
# ### Exercise 1f: the gradient with and without the trick
# Difficulty: ●●● · Time: 12 min · Points: 4
#
# How does an expectation $\mathbb E_{z\sim\mathcal N(\mu,\sigma^2)}[f(z)]$ change with $\mu$? There are two unbiased estimates from samples:
#
# $$ \textbf{pathwise (the trick):}\quad \frac{\partial}{\partial\mu} f(\mu+\sigma\epsilon) = f'(z)
# \qquad\qquad
# \textbf{score function:}\quad f(z)\,\frac{\partial}{\partial\mu}\log q(z) = f(z)\,\frac{z-\mu}{\sigma^2} $$
#
# The first follows the sample as $\mu$ moves. The second holds the samples still and asks how much more probable each becomes; it needs no derivative of $f$.
#
# **Write** both. `f` acts on each entry of a tensor on its own, and is built from torch operations. `mu` and `log_sigma` are scalar tensors (shape `()`), which
# may or may not require gradients.
# `torch.autograd.grad(f(z).sum(), z)[0]` gives all $f'(z_n)$ at once: each term of the sum depends on its own $z_n$ only. (For that `z` must require gradients.)
#
# | | |
# |---|---|
# | `pathwise_gradient(f, mu, log_sigma, num_samples)` | shape `(num_samples,)`: one estimate of $\partial/\partial\mu$ from each sample |
# | `score_gradient(f, mu, log_sigma, num_samples)` | the same, without differentiating `f` |
#
# **What the checks look at.** `num_samples` separate estimates, each from an own fresh sample; for several `f`, `mu` and `log_sigma`, their mean is the true
# gradient and their spread is that of the estimator asked for. Whether the result carries a graph does not matter.
#
# Hints: `hint("vae.pathwise_gradient")` and `hint("vae.score_gradient")`.

# %% nbgrader={"grade": false, "grade_id": "gradient_estimators", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pathwise_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of d/dmu E[f(z)], z ~ N(mu, sigma^2), from each sample, by the trick; shape (num_samples,)."""
    ### BEGIN SOLUTION
    epsilon = torch.randn(num_samples, dtype=mu.dtype)
    z = (mu + log_sigma.exp() * epsilon).detach().requires_grad_()  # dz/dmu = 1, so df/dmu = df/dz
    return torch.autograd.grad(f(z).sum(), z)[0]
    ### END SOLUTION


def score_gradient(f, mu: Tensor, log_sigma: Tensor, num_samples: int) -> Tensor:
    """One estimate of the same gradient from each sample, by the score function; shape (num_samples,)."""
    ### BEGIN SOLUTION
    sigma = log_sigma.detach().exp()
    z = mu.detach() + sigma * torch.randn(num_samples, dtype=mu.dtype)
    return f(z) * (z - mu.detach()) / sigma**2
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "check_pathwise_gradient", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("vae.pathwise_gradient", pathwise_gradient)

# %% nbgrader={"grade": true, "grade_id": "check_score_gradient", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("vae.score_gradient", score_gradient)

# %% [markdown]
# Same expectation, very different spread. Left: 20,000 one-sample estimates of each kind for $f(z)=(z-3)^2$ at $\mu=1$, $\sigma=1$, where the true gradient
# is −4. Right: the same after adding a constant $c$ to $f$. The gradient is still −4 and the pathwise estimates do not even notice, but the score function multiplies the
# constant by noise. Think of $\log p(x\mid z)\approx-130$ nats: that is a large constant.

# %%
mu_1d, log_sigma_1d = torch.tensor(1.0), torch.tensor(0.0)
offsets = torch.linspace(-20, 20, 17)


def shifted(constant):
    """f(z) = (z - 3)^2 + constant; the gradient of its expectation with respect to mu is 2 (mu - 3)."""
    return lambda z: (z - 3) ** 2 + constant


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for estimator, color, label in [(score_gradient, ORANGE, "score function"), (pathwise_gradient, BLUE, "pathwise")]:
    draws = estimator(shifted(0.0), mu_1d, log_sigma_1d, 20_000)
    spread = [estimator(shifted(c), mu_1d, log_sigma_1d, 20_000).std() for c in offsets]
    left.hist(draws, bins=80, range=(-30, 10), density=True, color=color, alpha=0.6, label=f"{label}, std {draws.std():.1f}")
    right.plot(offsets, spread, marker="o", markersize=4, color=color, label=label)
left.axvline(-4, color="black", linewidth=1, label="true gradient, −4")
left.set(xlabel="one-sample estimate of the gradient", ylabel="density", title="spread of the estimates")
right.set(xlabel="constant $c$ added to $f$", ylabel="standard deviation", ylim=(0, None), title="what a constant does")
left.legend(loc="upper left", frameon=False, fontsize=8)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 2 · Thinking
#
# Answer in words: two to five sentences each. A person reads and marks these. Reasons count, formulas are welcome, length is not.

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_why_reparameterize", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 2a: why reparameterize?
# Difficulty: ●●○ · Time: 5 min · Points: 2
#
# Suppose 1d's model drew $z$ with `sample()` in place of `rsample()`: the same distribution, but no graph. (i) What would happen to the gradient of
# the encoder's parameters, and so to training? (ii) The score function of 1f gives an unbiased gradient without the trick. Why do VAEs still use the trick?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that without a graph through z the encoder learns nothing from the reconstruction: log p(x|z) (and log p(z)) no longer depend on its parameters. Full detail is not needed; a good answer may add that the term left over, log q(z|x) at a fixed z, has a gradient of mean zero, or that with a closed-form KL only the pull towards the prior remains.
# - 1 mark: says that the pathwise gradient has (usually much) lower variance than the score function, with some reason or evidence: it uses the derivative of the decoder, it ignores constants, 1f's figure.
#
# **Exemplar, 2 of 2**: "With sample() the z is a constant for autograd, so the reconstruction term gives the encoder no gradient at all and it never learns what a useful code is. The score function would be unbiased but multiplies log p(x|z), around -130, with noise, so its variance is huge, as in the right panel of 1f; the trick uses the decoder's slope and has a small variance."
#
# **Exemplar, 1 of 2**: "The score function has a higher variance, so training would be slower, while rsample lets the gradient follow the sample." (the second mark only: it does not say what goes wrong in the encoder when sample() is used)
#
# **Exemplar, 0 of 2**: "Because sampling is random you cannot train it, and reparameterization removes the randomness." (the randomness stays; neither the encoder's gradient nor the variance is mentioned)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_why_reparameterize", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# With `sample()`, $z$ is a constant for autograd. Then $\log p(x\mid z)$ and $\log p(z)$ do not depend on the encoder's parameters, and all that is left for them is
# $-\log q_\phi(z\mid x)$ at a fixed $z$, whose gradient is zero on average: the encoder gets noise and learns nothing about reconstructing, while the decoder goes on learning from random codes.
# The score function repairs this without bias, but it multiplies the *value* $\log p(x\mid z)$, some −130 nats, by a noisy factor. The pathwise gradient uses the *slope* of the decoder at $z$, does not notice
# constants, and has a far smaller variance, so one sample for each image is enough.

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_which_quantity", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 2b: which number estimates log p(x)?
# Difficulty: ●●○ · Time: 5 min · Points: 2
#
# Somebody reports these means over a test set, in nats, all from one trained VAE:
# $\log p(x\mid z)$ with $z\sim q(z\mid x)$: **−81.0** · KL: **25.5** · ELBO: **−106.5** · β-ELBO with β = 4: **−183.0** · importance-weighted bound with 5,000 samples: **−101.9**.
# (i) Which of them would you quote as an estimate of $\log p(x)$, on which side of the truth does it lie on average, and what is the gap between the ELBO and the truth? (ii) Why is −81.0 no estimate of $\log p(x)$, although it is the highest?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: picks the importance-weighted bound (or the ELBO, when said to be the looser of the two), says that it is a lower bound on average, and that the ELBO's gap is the KL from q(z|x) to the true posterior p(z|x).
# - 1 mark: says that log p(x|z) is the likelihood of x *given a code chosen with x in hand*, and leaves out what the code costs (the KL); an autoencoder makes it as high as it likes without a better p(x).
#
# **Exemplar, 2 of 2**: "I would quote -101.9. It and the ELBO are both below log p(x) on average; the ELBO is off by KL(q(z|x) || p(z|x)), the bound with 5,000 samples by less. -81.0 conditions on a z that the encoder picked after seeing x and does not pay the 25.5 nats for that z, so it says how well we reconstruct and not how probable x is."
#
# **Exemplar, 1 of 2**: "The -101.9, because it is the tightest lower bound; the ELBO's gap is the KL between q and the true posterior. log p(x|z) is just something else." (first mark only: no reason why log p(x|z) is not an estimate)
#
# **Exemplar, 0 of 2**: "log p(x|z) = -81.0 because it is the log-likelihood, the ELBO is only needed for training." (takes reconstruction for likelihood)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_which_quantity", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The importance-weighted bound, −101.9. It is below $\log p(x)$ on average, like the ELBO, but closer: the ELBO's gap is $\mathrm{KL}(q_\phi(z\mid x)\,\|\,p_\theta(z\mid x))$, so here that KL is at least about 4.6 nats.
# The −81.0 is the log-likelihood of $x$ given a $z$ that was chosen *after seeing* $x$. It does not pay for the code: the 25.5 nats of KL. With β = 0 one can push it up as far as one likes while the model of $x$ gets worse. The
# β-ELBO with β = 4 is a training objective; it pays four times and estimates nothing.

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_prior_or_posterior", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 2c: prior samples or posterior samples?
# Difficulty: ●●○ · Time: 5 min · Points: 2
#
# A friend shows you reconstructions from a VAE ($z\sim q(z\mid x)$, then $x'\sim p(x\mid z)$). They are crisp. "See how well my model generates digits!" (i) What do
# reconstructions show, what do samples with $z\sim p(z)$ show, and which of them would you ask for to judge the model? (ii) How can a model have good reconstructions and bad prior samples?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that the generative model is z ~ p(z), x ~ p(x|z), so prior samples show what the model generates, while reconstructions show only how well encoder and decoder work together on a given x.
# - 1 mark: gives a mechanism for the mismatch: the codes q(z|x), taken over all x, cover the prior badly (holes, or codes far outside it; as with a small β or an autoencoder), so prior samples fall where the decoder was never trained.
#
# **Exemplar, 2 of 2**: "Reconstructions start from a code that was made from the image, so they only tell whether information survives. Generating means z from the prior, so I would look at those. If the KL is weak the codes sit in small islands far from the prior, the decoder has learnt nothing about the places in between, and prior samples land there."
#
# **Exemplar, 1 of 2**: "You should look at prior samples because that is how the model generates; the reconstructions have seen the image." (first mark only: no mechanism)
#
# **Exemplar, 0 of 2**: "Posterior samples are better because they look sharper and are closer to the data." (judges the model by what has seen the data)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_prior_or_posterior", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# To generate is to draw $z\sim p(z)$ and then $x\sim p(x\mid z)$, so prior samples show the model of $x$, and they are what I would ask for. A reconstruction starts from a code that was made *from* the image; it shows that
# the code keeps the information and the decoder can use it. The two part ways when the codes of the data, $q(z)=\mathbb E_x\,q(z\mid x)$, do not fill the prior: with little or no KL penalty they sit on islands, some far outside the prior, and a draw
# from the prior falls between them, where the decoder has never been trained.

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_classify", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Exercise 2d: classifying with a VAE
# Difficulty: ●●○ · Time: 5 min · Points: 2
#
# A VAE is trained without labels. Now you want to *classify* digits with its help. Describe one way: (i) what is trained on which data, and how a new image gets its class; (ii) one weakness that this way has.
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: a way that works, with both training and prediction: a classifier (or nearest neighbours) on the encoder's means from labelled images; or one VAE for each class and the class with the highest log p(y) + ELBO (or a tighter bound); or a model with y as a second latent, or an input of encoder and decoder (the M2 model of unit 08).
# - 1 mark: a weakness that fits the way: the latents were learnt to reconstruct and need not separate classes (4 and 9 overlap with two latents); bounds differ in tightness from class to class, ten models, labels for all; more moving parts and so on.
#
# **Exemplar, 2 of 2**: "Train the VAE on all images, then logistic regression on the posterior means of the few labelled ones; a new image is encoded and the regression gives its class. Weakness: the latent space was not made for classes, so 4 and 9 may lie on top of each other."
#
# **Exemplar, 1 of 2**: "Train one VAE for each digit and choose the digit whose VAE gives the highest ELBO." (first mark only: no weakness)
#
# **Exemplar, 0 of 2**: "Look at the latent space, the colors are the classes, so it already classifies." (the colors are labels that the plot was given; nothing says how a new image gets a class)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_classify", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# Train the VAE on all images, labelled or not. Encode the labelled ones and fit a small classifier on the posterior means $\mu(x)$; a new image is encoded and classified there. Its weakness: the code was learnt to reconstruct, not to tell classes apart,
# and with two latents 4 and 9 lie on top of each other. (Another way: one VAE for each class, predict $\arg\max_y \log p(y)+\mathrm{ELBO}_y(x)$, which is Bayes' rule with a bound in place of $\log p(x\mid y)$. It needs labels for everything, and the
# bounds may be loose by different amounts.)

# %% [markdown]
# ## 3 · Experimenting
#
# Now you change one thing at a time and *write down what came out*: one row for each trained model in a table (a `DataFrame`). All numbers are means over the *validation* images, in nats an image.
#
# From here on the notebook uses the library's `VariationalInference`, which has the interface of yours. So whatever became of 1d, you can do the rest.
# This helper trains a model and measures it:

# %%
IMAGE = (1, 28, 28)


def train_and_measure(model: nn.Module, beta: float = 1.0, data=digits) -> dict[str, float]:
    """Train `model` on the β-ELBO of `data`; return means over the validation images: loss, elbo, log_px, kl (nats)."""
    inference = elbolab.inference.VariationalInference(beta=beta)
    fit(model, inference, data, epochs=100, max_steps=1200, lr=2e-3)
    return evaluate(model, inference, data.validation)

# %% [markdown]
# In the dictionary that it returns, `elbo` is always the plain ELBO, `log_px - kl`; `loss` is the negative β-ELBO. A row is then for example
#
# ```python
# rows.append({"hidden": "256-128", "activation": "ReLU", **train_and_measure(model)})
# ```
#
# Build a *new* model for each row: a model that was trained before goes on from where it was. The row has the columns asked for; more columns do no harm. The checks do not compare with our numbers
# (yours will differ, and with the seed); they look at what must be true of any honest table: enough different settings, each row from its own training, finite values in nats
# an image (not an average over pixels, not a sum over a batch), `elbo = log_px - kl` (rounding is fine), `log_px ≤ 0`, `kl ≥ 0` up to sampling noise. While grading, the notebook runs once more with
# much shorter trainings; what the checks look at holds there too, so leave the settings inside `train_and_measure` as they are.

# %% [markdown]
# ### Exercise 3a: depth and activations
# Difficulty: ●●○ · Time: 9 min · Points: 5
#
# `VariationalAutoencoder(IMAGE, latent_features=2, hidden=(256, 128), activation=nn.ReLU)` has an encoder with hidden layers of 256 and 128 units and a decoder with the same mirrored. Does a deeper network do better? Does the activation matter?
#
# **Write** the loop that trains at least three different networks and puts one row each into `depth_results`, with the columns
# `hidden` (text such as `"256-128"`), `activation` (text such as `"ReLU"`), `elbo`, `log_px`, `kl`.
#
# Hints: `hint("vae.depth")`.

# %% nbgrader={"grade": false, "grade_id": "depth", "locked": false, "schema_version": 3, "solution": true, "task": false}
depth_results = None
torch.manual_seed(31)
### BEGIN SOLUTION
rows = []
for hidden, activation in [((128,), nn.ReLU), ((256, 128), nn.ReLU), ((256, 128), nn.Tanh), ((256, 128, 64), nn.ReLU)]:
    model = VariationalAutoencoder(IMAGE, latent_features=2, hidden=hidden, activation=activation)
    setting = {"hidden": "-".join(str(width) for width in hidden), "activation": activation.__name__}
    rows.append({**setting, **train_and_measure(model)})
depth_results = pd.DataFrame(rows)
### END SOLUTION
depth_results

# %% nbgrader={"grade": true, "grade_id": "check_depth", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("vae.depth", depth_results)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_depth", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: which of your networks is best and by which number, and do the differences in your table convince you?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: names the best row of the student's own table by the ELBO (higher is better), not by log_px or by kl alone.
# - 1 mark: weighs the difference: compares its size with what another seed or a longer training may change, or says that one run each does not settle it, or finds it so large that it does.
#
# **Exemplar, 2 of 2**: "256-128 with tanh has the highest ELBO, -156.5 against -159.2 for ReLU, but with one run each a difference of 2.7 nats could be the seed, so I would repeat both before believing it."
#
# **Exemplar, 1 of 2**: "The network with tanh is best because its ELBO is the highest, -156.5." (first mark only: takes a single run as the truth)
#
# **Exemplar, 0 of 2**: "The one with the lowest KL is best, because KL is part of the loss." (a low KL alone says nothing about the model)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_depth", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The network with two hidden layers and tanh has the highest ELBO. It leads by two or three nats only, which one run each cannot settle (another seed moves a row by a nat or so): I would repeat it before believing it. The single hidden layer is ten nats behind, and that I believe.

# %% [markdown]
# ### Exercise 3b: more classes
# Difficulty: ●○○ · Time: 6 min · Points: 4
#
# Two digits, then four, then all ten, through the same two latents.
#
# **Write** a loop over `[3, 7]`, `[0, 1, 4, 9]` and all ten digits, with `load_mnist(binarize="dynamic", classes=...)` for the data and `train_and_measure(model, data=...)`. Put one row each into
# `class_results`: `classes` (how many: 2, 4, 10), `elbo`, `log_px`, `kl`.
#
# Hints: `hint("vae.classes")`.

# %% nbgrader={"grade": false, "grade_id": "classes", "locked": false, "schema_version": 3, "solution": true, "task": false}
class_results = None
torch.manual_seed(32)
### BEGIN SOLUTION
rows = []
for classes in ([3, 7], [0, 1, 4, 9], list(range(10))):
    data = load_mnist(binarize="dynamic", classes=classes)
    model = VariationalAutoencoder(IMAGE, latent_features=2)
    rows.append({"classes": len(classes), **train_and_measure(model, data=data)})
class_results = pd.DataFrame(rows)
### END SOLUTION
class_results

# %% nbgrader={"grade": true, "grade_id": "check_classes", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("vae.classes", class_results)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_classes", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: which of the two terms of the ELBO changes more between your rows, and why? (Is "more classes, lower ELBO" always true?)
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: reads the student's own table: it is log_px that changes (by tens of nats) while the KL stays within a nat or two.
# - 1 mark: gives a reason that fits the table: ten digits vary more and share one plane, so each code stands for more different images; and/or some digits are simply cheaper, as the ones in [0, 1, 4, 9], or have fewer images to learn from, so that four classes may come out above two.
#
# **Exemplar, 2 of 2**: "The KL is 5.5 nats in all rows, log_px moves: -118 for four classes, -155 for ten, because ten kinds of digits share the same plane and a code no longer says which one. Four classes even beat two (-133): ones have few black pixels and are cheap."
#
# **Exemplar, 1 of 2**: "log_px gets worse from 4 to 10 classes and the KL is about the same." (no reason)
#
# **Exemplar, 0 of 2**: "More classes are harder, so the accuracy falls." (there is no accuracy here, and neither term is looked at)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_classes", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# It is $\log p(x\mid z)$ that moves, by tens of nats; the KL stays at five or six. Ten kinds of digits share one plane of codes, so a code stands for more different images and says less about each pixel. It is not a law, though: the ones in [0, 1, 4, 9] have few black pixels and cost
# little, so four classes can come out above two.

# %% [markdown]
# ### Exercise 3c: wider latents
# Difficulty: ●●○ · Time: 9 min · Points: 5
#
# With more latents a code can say more. But the KL makes every nat cost something, and a latent that does not earn its price is switched off: its posterior becomes the prior for every image.
# A latent is called *active* when its posterior mean moves from image to image (Burda et al. 2016):
#
# $$ \text{active units} = \#\{\, i : \operatorname{Var}_x\big[\mathbb E_{q(z_i\mid x)}[z_i]\big] > 0.01 \,\} $$
#
# In code: `model.posterior(x).mean` has shape `(images, M)`; take its variance over the images (`dim=0`), compare with 0.01, and count. `x` is `digits.validation.images`.
#
# **Write** a loop over at least four numbers of latents, from 1 to 20 or more (for example 1, 2, 10, 20). Put one row each into `latent_results`: `latents`, `elbo`, `log_px`, `kl`, `active_units` (a whole number between 0 and `latents`).
#
# Hints: `hint("vae.latents")`.

# %% nbgrader={"grade": false, "grade_id": "latents", "locked": false, "schema_version": 3, "solution": true, "task": false}
latent_results = None
torch.manual_seed(33)
### BEGIN SOLUTION
rows = []
for latents in (1, 2, 10, 20):
    model = VariationalAutoencoder(IMAGE, latent_features=latents)
    measured = train_and_measure(model)
    with torch.no_grad():
        posterior_means = model.posterior(digits.validation.images).mean  # (images, latents)
    active_units = int((posterior_means.var(dim=0) > 0.01).sum())
    rows.append({"latents": latents, **measured, "active_units": active_units})
latent_results = pd.DataFrame(rows)
### END SOLUTION
latent_results

# %% nbgrader={"grade": true, "grade_id": "check_latents", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("vae.latents", latent_results)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_latents", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: does the ELBO go on rising with the number of latents, and what do the KL and the active units say about the latents that were added?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: reads from the student's own table where the ELBO rises and where it levels off (or that it does not, in this short training).
# - 1 mark: connects it with KL or active units: the added latents carry information (both grow), or are not used: their posterior equals the prior, they cost no KL and do no harm.
#
# **Exemplar, 2 of 2**: "From 2 to 10 latents the ELBO rises by 36 nats and the KL from 5 to 13, so the new latents carry information; from 10 to 20 the ELBO stays and only 15 of the 20 are active, the others stay at the prior and cost nothing."
#
# **Exemplar, 1 of 2**: "The ELBO rises strongly up to 10 latents and then hardly at all." (nothing about KL or active units)
#
# **Exemplar, 0 of 2**: "More latents are always better because the model has more parameters." (not what the table says, and no reason from it)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_latents", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The ELBO rises strongly up to about ten latents, together with the KL and the active units: these latents carry information that is worth its price. From 10 to 20 it hardly changes: latents that do not pay stay at the prior, with no KL and no movement, so they do no harm either.

# %% [markdown]
# ## 4 · What the KL does
#
# The β-ELBO, $\log p(x\mid z) - \beta\,\mathrm{KL}$, lets us turn the price of the code up and down.

# %% [markdown]
# ### Exercise 4a: without the KL
# Difficulty: ●●○ · Time: 8 min · Points: 4
#
# With β = 0 the code costs nothing. What is the loss then?
#
# **Write** a loop over β = 0 and β = 1 with `train_and_measure(model, beta=beta)` on all ten digits and two latents. Put one row each into `autoencoder_results`: `beta`, `loss`, `elbo`, `log_px`, `kl`. Keep each model in
# `autoencoder_models[beta]`, for the picture below.
#
# The check looks at the table as before, and at what β = 0 must do to `loss`, to `kl` and to `elbo`. (All numbers of a row come from the same evaluation, as `train_and_measure` gives them.)
#
# Hints: `hint("vae.autoencoder")`.

# %% nbgrader={"grade": false, "grade_id": "autoencoder", "locked": false, "schema_version": 3, "solution": true, "task": false}
autoencoder_results = None
autoencoder_models = {}
torch.manual_seed(41)
### BEGIN SOLUTION
rows = []
for beta in (0, 1):
    autoencoder_models[beta] = VariationalAutoencoder(IMAGE, latent_features=2)
    rows.append({"beta": beta, **train_and_measure(autoencoder_models[beta], beta=beta)})
autoencoder_results = pd.DataFrame(rows)
### END SOLUTION
autoencoder_results

# %% nbgrader={"grade": true, "grade_id": "check_autoencoder", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("vae.autoencoder", autoencoder_results)

# %%
if autoencoder_models:
    columns = len(autoencoder_models)
    figure, axes = plt.subplots(2, columns, figsize=(4.2 * columns, 8.2), layout="constrained", squeeze=False)
    for top, bottom, (beta, model) in zip(axes[0], axes[1], autoencoder_models.items()):
        with torch.no_grad():
            codes = model.posterior(digits.validation.images).mean
        for digit in range(10):  # each image is drawn as its label, at its code
            members = codes[digits.validation.labels == digit]
            top.scatter(*members.T, marker=f"${digit}$", s=28, color=plt.cm.viridis(digit / 11), linewidths=0.2)
        top.add_patch(plt.Circle((0, 0), 2, fill=False, linestyle="--"))
        top.set(title=f"codes at β = {beta} (dashed: prior, 2σ)", xlabel="$z_1$", ylabel="$z_2$")
        top.axis("equal")
        plot_prior_samples(bottom, model)
    plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_autoencoder", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: what kind of model does β = 0 train, and what happens to its codes (and so to its ELBO and to samples from its prior)?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that the loss is −log p(x|z) alone, the reconstruction error of an (auto)encoder–decoder: an autoencoder.
# - 1 mark: says what becomes of the codes: nothing holds them near the prior, they spread and their posteriors shrink, so the KL is large and the ELBO low; or prior samples fall where there are no codes.
#
# **Exemplar, 2 of 2**: "With beta 0 the loss is minus log p(x|z), so this is an autoencoder; the posteriors become small and lie far outside the prior disk, the KL is several times larger and the ELBO lower although the reconstruction is better."
#
# **Exemplar, 1 of 2**: "It is an ordinary autoencoder since only the reconstruction term is left." (nothing about the codes)
#
# **Exemplar, 0 of 2**: "The KL becomes 0 because beta is 0." (the KL is not trained on; it grows)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_autoencoder", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# The loss is $-\log p(x\mid z)$ alone, so β = 0 trains an autoencoder (with noise in its code that it learns to make small). Nothing holds the codes near the prior: they spread far beyond it with tiny posteriors, the KL is large, the ELBO is lower although the reconstruction is better, and most prior
# samples fall on a small part of the plane that says little about the data.

# %% [markdown]
# ### Exercise 4b: the price of a nat
# Difficulty: ●●○ · Time: 8 min · Points: 5
#
# Now turn β from cheap to expensive.
#
# **Write** a loop over β = 0.1, 1, 10, 50 as in 4a and put one row each into `beta_results`: `beta`, `elbo`, `log_px`, `kl`. Remember: `elbo` is `log_px - kl` for *every* β; the β-ELBO is not asked for.
#
# The check looks at the table as before, and at how `kl` and `log_px` must move with β. The cell after it draws your table as a curve: the KL (what the code costs) against the reconstruction error
# $-\log p(x\mid z)$ (what is left to say about the image once the code is known). Dotted lines join points of equal ELBO.
#
# Hints: `hint("vae.beta_sweep")`.

# %% nbgrader={"grade": false, "grade_id": "beta_sweep", "locked": false, "schema_version": 3, "solution": true, "task": false}
beta_results = None
torch.manual_seed(42)
### BEGIN SOLUTION
rows = []
for beta in (0.1, 1, 10, 50):
    model = VariationalAutoencoder(IMAGE, latent_features=2)
    rows.append({"beta": beta, **train_and_measure(model, beta=beta)})
beta_results = pd.DataFrame(rows)
### END SOLUTION
beta_results

# %% nbgrader={"grade": true, "grade_id": "check_beta_sweep", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("vae.beta_sweep", beta_results)

# %%
if beta_results is not None:
    kl, error = beta_results["kl"], -beta_results["log_px"]
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for level in range(100, 251, 10):
        ax.plot([0, level], [level, 0], color="0.8", linestyle=":", linewidth=1)
    ax.plot(kl, error, color="0.5", linewidth=1, zorder=1)
    for marker, (_, row) in zip("osD^v<>", beta_results.iterrows()):
        label = f"β = {row['beta']:g}: ELBO {row['elbo']:.1f}"
        ax.plot(row["kl"], -row["log_px"], marker, markersize=9, color=BLUE, markerfacecolor="white", markeredgewidth=2, label=label)
    ax.set(xlim=(-0.5, 1.1 * kl.max() + 1), ylim=(error.min() - 5, error.max() + 5))
    ax.set(xlabel="KL, the cost of the code (nats)", ylabel=r"$-\log p(x\mid z)$, what is left (nats)")
    ax.legend(loc="upper right", frameon=False)
    plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "question_beta_sweep", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **In one or two sentences**: what does β trade against what in your curve, and what has become of the model at the largest β?
#
# === BEGIN MARK SCHEME ===
# **Mark scheme**
# - 1 mark: says that a larger β lowers the KL and worsens the reconstruction (less information in the code), in the student's own numbers or words.
# - 1 mark: says that at β = 50 the code carries nothing: KL about 0, posterior = prior, one and the same blurred image for all, ELBO near the model without a latent (about −206); or says why β = 1 is the one that maximizes the ELBO.
#
# **Exemplar, 2 of 2**: "Larger beta buys a smaller KL with a worse reconstruction; at 50 the KL is 0, the decoder ignores z and the ELBO is -207, the same as without latents."
#
# **Exemplar, 1 of 2**: "The higher beta, the lower the KL and the worse log p(x|z)." (nothing about the largest beta)
#
# **Exemplar, 0 of 2**: "A high beta is better because the KL goes to zero and so q is the true posterior." (KL to the prior taken for KL to the true posterior)
# === END MARK SCHEME ===

# %% [markdown] nbgrader={"grade": true, "grade_id": "answer_beta_sweep", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# A larger β makes information in the code more expensive: the KL falls and the reconstruction gets worse. At β = 50 the code is empty: the KL is about 0, each posterior is the prior, the decoder answers every $z$ with the mean image, and the ELBO is that of a model without latents, about −206 nats.

# %% [markdown]
# ## 5 · Going on (no points)
#
# ### Optional exercise 5a: the trick in the paper
# Difficulty: ●●○ · Time: 20 min · Points: 0
#
# Read sections 2.3 and 2.4 of [Kingma and Welling (2014)](https://arxiv.org/abs/1312.6114). Their $g_\phi(\epsilon, x)$ is what you wrote in 1a. Section 2.4 names three kinds of distributions for which such a $g$ can be found: which of them does the Gaussian belong to? Find a distribution of each kind
# in `torch.distributions` with `has_rsample = True`, and one with `has_rsample = False`. Which of the two estimators of that paper (A and B) did you write in 1d, and which one do you get with 1e's KL?

# %% [markdown]
# ### Optional exercise 5b: a latent that is a category
# Difficulty: ●●● · Time: 40 min · Points: 0
#
# A digit's class is not a point on a line. Replace the Gaussian latent by one of ten categories. `rsample` then has nothing to differentiate: a category does not move a little. The Gumbel-softmax relaxation
# ([Jang et al. 2017](https://arxiv.org/abs/1611.01144)) puts a soft one-hot vector in its place, $y = \mathrm{softmax}\big((\text{logits}+g)/\tau\big)$ with Gumbel noise $g=-\log(-\log u)$, $u\sim\mathrm{Uniform}(0,1)$, and sharpens it by lowering $\tau$.
# `torch.distributions.RelaxedOneHotCategorical` and `torch.nn.functional.gumbel_softmax` do it for you. Use the KL between the categorical posterior and the uniform prior, $\log 10 - \text{entropy}$. At which $\tau$ does it train, and what does
# each category come to mean? Unit 04 builds this, and asks what the relaxation costs.

# %% [markdown]
# ### Optional exercise 5c: a few labels
# Difficulty: ●●● · Time: 40 min · Points: 0
#
# Take 100 labelled images, and the rest without labels. Try your recipe of 2d: how many of the validation digits does it get right? Then let the label into the model: a decoder $p(x\mid z, y)$ whose input is $z$ beside a one-hot $y$, so that $z$ need only hold the style. For an image without a label,
# $y$ is one more thing not observed, and with ten values the sum over it can be written out. That is the M2 model of [Kingma et al. (2014)](https://arxiv.org/abs/1406.5298), and unit 08.

# %%
progress()

# %% [markdown]
# ## Further reading
#
# - D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, 2014, [arXiv:1312.6114](https://arxiv.org/abs/1312.6114): the paper of this unit, ten pages.
# - D. J. Rezende, S. Mohamed and D. Wierstra, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*, 2014, [arXiv:1401.4082](https://arxiv.org/abs/1401.4082): the same idea, found at the same time.
# - C. Doersch, *Tutorial on Variational Autoencoders*, 2016, [arXiv:1606.05908](https://arxiv.org/abs/1606.05908): slow and friendly.
# - I. Higgins et al., *beta-VAE*, ICLR 2017, [openreview](https://openreview.net/forum?id=Sy2fzU9gl): what β is for.
# - M. D. Hoffman and M. J. Johnson, *ELBO surgery*, 2016, [paper](http://approximateinference.org/accepted/HoffmanJohnson2016.pdf): where the KL term goes, and why prior samples miss.
# - S. Mohamed et al., *Monte Carlo Gradient Estimation in Machine Learning*, 2020, [arXiv:1906.10652](https://arxiv.org/abs/1906.10652): everything about exercise 1f.
# - Y. Burda, R. Grosse and R. Salakhutdinov, *Importance Weighted Autoencoders*, 2016, [arXiv:1509.00519](https://arxiv.org/abs/1509.00519): tighter bounds and active units; unit 02.
