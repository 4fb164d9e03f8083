"""Right solutions that do not look like ours. Every one of them has to pass: a check judges what code does, not how it is written."""

from __future__ import annotations

from autograder.mistakes.vae_gaussian import SOLUTION as GAUSSIAN
from autograder.mistakes.vae_variants_inference import INFERENCE

__all__ = ["VARIANTS"]


def gaussian(rsample: str, log_prob: str, init: str = "", base: str = "") -> str:
    """A Gaussian class around two method bodies, one statement a line."""
    start = "self.mu, self.log_sigma = mu, log_sigma"

    def body(lines: str) -> str:
        return "".join(f"        {line}\n" for line in lines.splitlines())

    return (
        f"class ReparameterizedDiagonalGaussian{base}:\n    def __init__(self, mu, log_sigma):\n{body(init or start)}\n"
        f"    def rsample(self):\n{body(rsample)}\n    def log_prob(self, z):\n{body(log_prob)}"
    )


NORMAL = "torch.distributions.Normal(self.mu, self.log_sigma.exp())"
SAMPLE = "return self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)"
DENSITY = "return -0.5 * ((z - self.mu) / self.log_sigma.exp()) ** 2 - self.log_sigma - 0.5 * math.log(2 * math.pi)"

GAUSSIANS = {
    "torch's Normal": gaussian(f"return {NORMAL}.rsample()", f"return {NORMAL}.log_prob(z)"),
    "holds a Normal": gaussian(
        "return self.normal.rsample()", "return self.normal.log_prob(z)", "self.normal = torch.distributions.Normal(mu, log_sigma.exp())"
    ),
    "is a Normal": """\
class ReparameterizedDiagonalGaussian(torch.distributions.Normal):
    def __init__(self, mu, log_sigma):
        super().__init__(mu, torch.exp(log_sigma))
""",
    "torch.normal for the noise": gaussian(
        "noise = torch.normal(torch.zeros_like(self.mu), torch.ones_like(self.mu))\n"
        "return torch.addcmul(self.mu, self.log_sigma.exp(), noise)",
        DENSITY,
    ),
    "log-sigma clamped at 10": gaussian(SAMPLE, DENSITY, "self.mu = mu\nself.log_sigma = log_sigma.clamp(-10, 10)"),
    "minus epsilon": gaussian("return self.mu - self.log_sigma.exp() * torch.randn_like(self.mu)", DENSITY),
    "epsilon drawn without gradients": gaussian(
        "with torch.no_grad():\n    noise = torch.randn_like(self.mu)\nreturn self.mu + noise.detach() * self.log_sigma.exp()", DENSITY
    ),
    "Box and Muller": gaussian(
        "radius = torch.sqrt(-2 * torch.log(1 - torch.rand_like(self.mu)))\n"
        "noise = radius * torch.cos(2 * math.pi * torch.rand_like(self.mu))\nreturn self.mu + self.log_sigma.exp() * noise",
        DENSITY,
    ),
    "through gaussian_nll_loss": gaussian(
        SAMPLE,
        "variance = torch.exp(2 * self.log_sigma)\n"
        "return -nn.functional.gaussian_nll_loss(self.mu.expand_as(z), z, variance, full=True, reduction='none', eps=1e-12)",
    ),
    "constants as float32 tensors": gaussian(
        SAMPLE,
        "pi = torch.tensor(3.1415927)\n"
        "return -0.5 * torch.log(2 * pi) - torch.log(self.log_sigma.exp()) - (z - self.mu) ** 2 / (2 * self.log_sigma.exp() ** 2)",
    ),
    "float64 inside": gaussian(
        SAMPLE, "mu, s = self.mu.double(), self.log_sigma.double()\n"
        "return (-0.5 * (z.double() - mu) ** 2 * torch.exp(-2 * s) - s - 0.5 * math.log(2 * math.pi)).to(z.dtype)"
    ),
    "more arguments and a leftover comment": """\
class ReparameterizedDiagonalGaussian(Distribution):
    # YOUR CODE HERE (left over)
    arg_constraints = {}

    def __init__(self, mu, log_sigma, device=None, validate_args=False, **options):
        super().__init__(batch_shape=mu.shape, validate_args=validate_args)
        self.loc, self.rho = mu, log_sigma
        self.noise = None

    scale = property(lambda self: self.rho.exp())

    def rsample(self, sample_shape=torch.Size()):
        self.noise = torch.randn(torch.Size(sample_shape) + self.loc.shape, dtype=self.loc.dtype)
        return self.loc + self.scale * self.noise

    def log_prob(self, value):
        self.rsample()  # shifts the random stream, which is no crime
        return -0.5 * ((value - self.loc) / self.scale).square() - self.rho - 0.9189385332046727
""",
    "a transformed distribution": gaussian(
        "return self.transformed.rsample()", "return self.transformed.log_prob(z)",
        "noise = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))\n"
        "shift = torch.distributions.AffineTransform(mu, log_sigma.exp())\n"
        "self.transformed = torch.distributions.TransformedDistribution(noise, [shift])",
    ),
    "in lines with names": GAUSSIAN.replace(
        "return self.mu + self.sigma * self.sample_epsilon()",
        "epsilon = self.sample_epsilon()  # (batch, M)\n        z = torch.mul(self.sigma, epsilon)\n"
        "        z = z.add(self.mu)\n        return z",
    ),
}


def function(head: str, *lines: str) -> str:
    return f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)


BERNOULLIS = {
    "cross-entropy with logits": function(
        "bernoulli_log_likelihood(logits, x)",
        "return -reduce(nn.functional.binary_cross_entropy_with_logits(logits, x, reduction='none'))",
    ),
    "torch's Independent": function(
        "bernoulli_log_likelihood(logits, x)",
        "event = logits.dim() - 1",
        "return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), event).log_prob(x)",
    ),
    "softplus by hand": function(
        "bernoulli_log_likelihood(logits, x, eps=None)", "return (x * logits - nn.functional.softplus(logits)).flatten(start_dim=1).sum(-1)"
    ),
    "logsigmoid both ways": function(
        "bernoulli_log_likelihood(logits, x)",
        "on, off = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)",
        "return torch.where(x > 0.5, on, off).reshape(len(x), -1).sum(dim=1)",
    ),
    "a loop over the batch": function(
        "bernoulli_log_likelihood(logits, x)",
        "loss = nn.BCEWithLogitsLoss(reduction='sum')",
        "return torch.stack([-loss(l, t) for l, t in zip(logits, x)])",
    ),
}

KL_HEAD = "gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p)"
GAUSSIAN_KLS = {
    "torch's kl_divergence": function(
        KL_HEAD,
        "q = torch.distributions.Normal(mu_q, log_sigma_q.exp())",
        "p = torch.distributions.Normal(mu_p, log_sigma_p.exp())",
        "return torch.distributions.kl_divergence(q, p).sum(-1)",
    ),
    "with variances": function(
        KL_HEAD,
        "var_q, var_p = (2 * log_sigma_q).exp(), (2 * log_sigma_p).exp()",
        "return 0.5 * (torch.log(var_p / var_q) + (var_q + (mu_p - mu_q).pow(2)) / var_p - 1).sum(dim=1)",
    ),
    "cross-entropy minus entropy": function(
        KL_HEAD,
        "constant = 0.5 * math.log(2 * math.pi)",
        "cross = 0.5 * (torch.exp(2 * log_sigma_q) + (mu_q - mu_p) ** 2) * torch.exp(-2 * log_sigma_p) + log_sigma_p + constant",
        "entropy = 0.5 + log_sigma_q + constant",
        "return torch.einsum('bm->b', cross - entropy)",
    ),
    "the constant counted once": function(
        KL_HEAD,
        "trace = (torch.exp(log_sigma_q) / torch.exp(log_sigma_p)).square().sum(1)",
        "mahalanobis = ((mu_q - mu_p) / torch.exp(log_sigma_p)).square().sum(1)",
        "return 0.5 * (trace + mahalanobis - mu_q.shape[1]) + (log_sigma_p - log_sigma_q).sum(1)",
    ),
}

PATHWISE_HEAD = "pathwise_gradient(f, mu, log_sigma, num_samples)"
PATHWISES = {
    "expanded mu": function(
        PATHWISE_HEAD,
        "mus = mu.detach().expand(num_samples).clone().requires_grad_(True)",
        "z = mus + log_sigma.detach().exp() * torch.randn(num_samples)",
        "return torch.autograd.grad(f(z).sum(), mus)[0]",
    ),
    "torch's Normal": function(
        PATHWISE_HEAD,
        "mus = mu.detach().repeat(num_samples).requires_grad_()",
        "f(torch.distributions.Normal(mus, log_sigma.detach().exp()).rsample()).sum().backward()",
        "return mus.grad",
    ),
    "keeps the graph": function(
        PATHWISE_HEAD,
        "m = mu.expand(num_samples) + torch.zeros(num_samples, requires_grad=True)",
        "z = m + log_sigma.exp() * torch.randn_like(m)",
        "(gradient,) = torch.autograd.grad(f(z).sum(), m, create_graph=True)",
        "return gradient",
    ),
}

SCORE_HEAD = "score_gradient(f, mu, log_sigma, num_samples)"
SCORES = {
    "f times epsilon over sigma": function(
        SCORE_HEAD,
        "epsilon, sigma = torch.randn(num_samples), torch.exp(log_sigma)",
        "return f(mu + sigma * epsilon) * epsilon / sigma",
    ),
    "autograd of log q": function(
        SCORE_HEAD,
        "mus = mu.detach().repeat(num_samples).requires_grad_()",
        "q = torch.distributions.Normal(mus, log_sigma.detach().exp())",
        "z = q.sample()",
        "(score,) = torch.autograd.grad(q.log_prob(z).sum(), mus)",
        "return f(z) * score",
    ),
    "gradient of f times log q": function(
        SCORE_HEAD,
        "mus = mu.detach().repeat(num_samples).requires_grad_()",
        "z = (mus + log_sigma.exp() * torch.randn(num_samples)).detach()",
        "log_q = -0.5 * (z - mus) ** 2 * torch.exp(-2 * log_sigma.detach())",
        "return torch.autograd.grad((f(z).detach() * log_q).sum(), mus)[0]",
    ),
}

VARIANTS = {
    "ReparameterizedDiagonalGaussian": GAUSSIANS,
    "bernoulli_log_likelihood": BERNOULLIS,
    "VariationalInference": INFERENCE,
    "gaussian_kl": GAUSSIAN_KLS,
    "pathwise_gradient": PATHWISES,
    "score_gradient": SCORES,
}
