"""What unit 02's exercises with a model share: inputs, recorded calls beside the truth in float64, and their replay.

Nothing prescribes how samples are folded into a batch, in which order, in how many calls of the decoder. So each decoded row is
read beside the example whose q it was drawn from, which the first latents tell; the samples of an example come in their order.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercises.exercise import Seen
from autograder.exercises.laws import close
from autograder.exercises.pictures import furthest

__all__ = ["ATOL", "REPLAYED", "RTOL", "Right", "Sampled", "Truth", "brief", "calls_of", "draw_model", "draw_sampled", "is_constant",
           "liked", "log_mean_exp", "picture", "replay"]

PIXELS, LATENTS, EXAMPLES, AGAIN = 784, 4, 6, 20
RTOL, ATOL = 2e-5, 3e-3  # of sums over 784 pixels in float32
REPLAYED = ("usual", "one sample", "one example", "saturated", "many samples", "one chunk")
Right = Callable[[Tensor], Tensor]  # log-weights (K, batch) -> the value that is asked for


# --- inputs --------------------------------------------------------------------------------------


def draw_model(rng: torch.Generator) -> dict[str, Any]:
    """A linear VAE and six images that it likes to very different degrees: log p(x|z) from some -250 to below -900 nats.

    So exp(log w) is 0 for every image in float32 and for the last one in float64, too. The means of q lie 9 apart in the first
    two latents, six standard deviations and more from where two q meet: they tell of any z which example it was drawn for. For
    the first example q is near the prior, and log q(z|x) - log p(z) often below zero.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    bias = 2.2 * normal(PIXELS) - 0.8
    likes = torch.linspace(0.95, 0.2, EXAMPLES)[:, None]  # how often a pixel is what the decoder's bias says
    x = ((torch.rand(EXAMPLES, PIXELS, generator=rng) < likes) == (bias > 0)).float()
    means = 1.2 * normal(EXAMPLES, LATENTS)
    means[0] *= 0.1
    means[:, :2] = 9.0 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    log_sigma = -torch.tensor([0.3, 0.25, 0.05, 0.25]) + 0.05 * normal(EXAMPLES, LATENTS)
    log_sigma[1:, :2] -= 0.75
    weights = {
        "encoder.weight": (torch.linalg.pinv(x) @ torch.cat([means, log_sigma], 1)).T, "encoder.bias": torch.zeros(2 * LATENTS),
        "decoder.weight": 0.12 * normal(PIXELS, LATENTS) * torch.tensor([0.3, 0.3, 1.0, 1.0]), "decoder.bias": bias,
    }
    return {"weights": weights, "x": x}


def liked(x: Tensor) -> dict[str, Tensor]:
    """Weights by which an image x has log p(x|z) of about -2: there exp(log w) is a number, and not 0 like any constant."""
    return {"decoder.bias": 12 * x - 6}


def draw_sampled(rng: torch.Generator, signature: str, sample_dimension: bool, slopes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Few samples; one; those of one example; of a model whose logits saturate; many; and the first call again and again.

    The numbers of samples, examples and latents are all different, so that an axis taken for another shows in the shape.
    """
    inputs = draw_model(rng)
    bias = inputs["weights"]["decoder.bias"].clone()
    bias[::40] = 40.0 * bias[::40].sign()  # 20 pixels; some examples are right about one, and some are not
    everyone = torch.arange(EXAMPLES)

    def case(num_samples: int, rows: Tensor, **weights: Tensor) -> dict[str, Any]:
        shape = [num_samples, len(rows)] if sample_dimension else [len(rows)]
        return {"arguments": [num_samples], "rows": rows, "shape": shape, "weights": weights}

    cases = {
        "usual": case(7, everyone), "one sample": case(1, everyone), "one example": case(19, everyone[:1], **liked(inputs["x"][0])),
        "saturated": case(7, everyone, **{"decoder.bias": bias}), "many samples": case(260, everyone[:2]),
        **{f"again {n}": case(7, everyone) for n in range(1, AGAIN + 1)},
    }
    for name in slopes:
        cases[name]["slopes"] = True
    return inputs | {"signature": signature, "cases": cases}


# --- the truth -----------------------------------------------------------------------------------


def log_mean_exp(log_w: Tensor) -> Tensor:
    """L_K of log-weights (K, batch) (Burda et al. 2016, equation 8)."""
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


class Truth:
    """The probe's model in closed form and float64, for x of shape (batch, pixels); mu and log_sigma of q(z|x) are (batch, M)."""

    def __init__(self, weights: dict[str, Tensor], x: Tensor):
        self.weights, self.x = {name: w.double() for name, w in weights.items()}, x.double()
        encoded = F.linear(self.x, self.weights["encoder.weight"], self.weights["encoder.bias"])
        self.mu, self.log_sigma = encoded.chunk(2, dim=-1)

    def noise(self, z: Tensor) -> Tensor:
        """epsilon of z = mu + sigma epsilon, the shape of z, (..., batch, M)."""
        return (z - self.mu) * (-self.log_sigma).exp()

    def kl(self, z: Tensor) -> Tensor:
        """log q(z|x) - log p(z) at z of shape (K, batch, M); shape (K, batch). The log(2 pi) of p and q cancel."""
        return (0.5 * z.square() - 0.5 * self.noise(z).square() - self.log_sigma).sum(-1)

    def log_w(self, z: Tensor) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x), (K, batch)."""
        logits = F.linear(z, self.weights["decoder.weight"], self.weights["decoder.bias"])
        return (self.x * logits - F.softplus(logits)).sum(-1) - self.kl(z)


class Sampled(Truth):
    """One recorded call, and the truth of its examples.

    Attributes:
        num_samples: what was asked for. value: what came back, float64.
        rows: what was decoded. largest: how many of them at once.
        z: the same as (samples, batch, M); None where they are not as many for each example.
        unused: latents that were drawn and never decoded, each (samples, batch, M).
    """

    def __init__(self, inputs: dict[str, Any], case: dict[str, Any], record: dict[str, Any]):
        super().__init__(inputs["weights"] | case.get("weights", {}), inputs["x"][case["rows"]])
        self.num_samples, self.value = case["arguments"][0], record["value"].double()
        self.batch, latents = self.mu.shape
        decoded, drawn = ([part.double().reshape(-1, latents) for part in record[name]] for name in ("decoded", "drawn"))
        self.rows, self.largest = torch.cat([self.mu[:0], *decoded]), max(map(len, decoded), default=0)
        self.z = self.read(self.rows)
        unused = (self.read(part) for part in drawn if not (part[:1] == self.rows).all(-1).any())
        self.unused = [z for z in unused if z is not None]
        self.changed_x = not torch.equal(record["after"].double().flatten(1), self.x)

    def read(self, rows: Tensor) -> Tensor | None:
        """Rows (N, M) as (samples, batch, M), each beside the example that it was drawn for; sample by sample where that is not told."""
        if not len(rows) or len(rows) % self.batch or not rows.isfinite().all():
            return None
        example = self.noise(rows.unsqueeze(1)).square().sum(-1).argmin(1)
        if bool((torch.bincount(example, minlength=self.batch) == len(rows) // self.batch).all()):
            return rows[example.argsort(stable=True)].unflatten(0, (self.batch, -1)).transpose(0, 1)
        return rows.unflatten(0, (-1, self.batch))

    def candidates(self) -> list[Tensor]:
        """The decoded latents that the value may stand on: the last and the first K, each (K, batch, M)."""
        k = self.num_samples
        return [] if self.z is None or len(self.z) < k else [self.z[-k:], self.z[:k]]

    def agrees(self, z: Tensor, right: Right) -> bool:
        return close(self.value, right(self.log_w(z)), RTOL, ATOL)

    def stands_on(self, *rights: Right) -> Tensor | None:
        """The latents at which the value is one of these, if there are any."""
        return next((z for z in self.candidates() if any(self.agrees(z, right) for right in rights)), None)


def calls_of(seen: Seen) -> dict[str, Sampled]:
    """The calls that came back, by case; read once for all laws."""
    if not hasattr(seen, "calls"):
        came = {name: found for name, found in seen.outputs.items() if "trouble" not in found}
        seen.calls = {name: Sampled(seen.inputs, seen.inputs["cases"][name], found) for name, found in came.items()}
    return seen.calls


def is_constant(seen: Seen) -> bool:
    """Whether the value is one and the same number, whatever was asked for and drawn."""
    return len(torch.cat([call.value.flatten() for call in calls_of(seen).values()]).unique()) < 2


def replay(inputs: dict[str, Any], outputs: dict[str, Any], whole: bool = False) -> dict[str, Any]:
    """All cases but the repetitions, with the noise of the latents that the student's code decoded, and of those that it did not.

    Of those that it decoded only what the value stands on, or the `whole`.
    """

    def noise(call: Sampled) -> Tensor | None:
        found = [call.z if whole else call.stands_on(log_mean_exp, torch.clone), *call.candidates(), call.z, *call.unused]
        found = [z for z in found if z is not None]
        return call.noise(torch.cat(found[:1] + call.unused)).float() if found else None

    calls = calls_of(Seen(None, inputs, {name: found for name, found in outputs.items() if name in REPLAYED}))
    cases = {n: c | {"noise": noise(calls[n]) if n in calls else None} for n, c in inputs["cases"].items() if n in REPLAYED}
    return inputs | {"cases": cases}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The value of the first call that tells anything alone: where weights underflow it does not."""
    telling = [n for n in inputs["cases"] if (v := outputs[n].get("value")) is not None and v.isfinite().all() and v.any()]
    name = telling[0] if telling else "usual"
    case, record = ({k: part for k, part in found[name].items() if k != "slopes"} for found in (inputs["cases"], outputs))
    return inputs | {"cases": {"usual": case}}, {"usual": record}


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], right: Right) -> str:
    """What came for each example beside what is right at the same samples, in nats above the mean of the right log-weights."""
    call = Sampled(inputs, inputs["cases"]["usual"], outputs.get("images", outputs)["usual"])
    log_w = call.log_w(call.candidates()[0])
    return furthest(ax, call.value - log_w.mean(0), right(log_w) - log_w.mean(0), "example", "nats above the ELBO")
