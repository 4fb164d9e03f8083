"""What unit 02's exercises with a model share: recorded calls beside the truth, and their replay.

Nothing prescribes how samples are folded into a batch, in which order, in how many calls of the decoder. So each decoded row is
read beside the example whose q it was drawn from, which the first latent tells; the samples of an example come in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exercises.exercise import Seen
from autograder.exercises.laws import close
from autograder.exercises.pictures import RIGHT, YOURS
from autograder.units.iwae.truth import Truth, log_mean_exp

__all__ = ["ATOL", "REPLAYED", "RTOL", "Right", "Sampled", "brief", "calls_of", "picture", "replay"]

RTOL, ATOL = 2e-5, 3e-3  # of sums over 784 pixels in float32
REPLAYED = ("usual", "one sample", "one example", "saturated")
Right = Callable[[Tensor], Tensor]  # log-weights (K, batch) -> the value that is asked for


# --- a recorded call -----------------------------------------------------------------------------


class Sampled:
    """One call's record, read.

    Attributes:
        truth: of its examples. num_samples: what was asked for. value: what came back, float64.
        sizes: how many rows were decoded in each call of the network.
        z: (samples, batch, M), the decoded latents; None where they are not as many for each example.
        unused: latents that were drawn and never decoded, each (samples, batch, M).
    """

    def __init__(self, inputs: dict[str, Any], case: dict[str, Any], record: dict[str, Any]):
        self.truth = Truth(inputs["weights"] | case.get("weights", {}), inputs["x"][case["rows"]])
        self.num_samples, self.record, self.value = case["arguments"][0], record, record["value"].double()
        self.batch, latents = self.truth.mu.shape
        decoded, drawn = ([part.double().reshape(-1, latents) for part in record[name]] for name in ("decoded", "drawn"))
        self.rows, self.sizes = torch.cat([self.truth.mu[:0], *decoded]), [len(part) for part in decoded]
        self.z = self.read(self.rows)
        unused = (self.read(part) for part in drawn if not (part[:1] == self.rows).all(-1).any())
        self.unused = [z for z in unused if z is not None]
        self.changed_x = not torch.equal(record["after"].double().flatten(1), self.truth.x)

    def read(self, rows: Tensor) -> Tensor | None:
        """Rows (N, M) as (samples, batch, M), each beside the example that it was drawn for; sample by sample where that is not told."""
        if not len(rows) or len(rows) % self.batch or not rows.isfinite().all():
            return None
        example = self.truth.noise(rows.unsqueeze(1)).square().sum(-1).argmin(1)
        if bool((torch.bincount(example, minlength=self.batch) == len(rows) // self.batch).all()):
            return rows[example.argsort(stable=True)].unflatten(0, (self.batch, -1)).transpose(0, 1)
        return rows.unflatten(0, (-1, self.batch))

    def candidates(self) -> list[Tensor]:
        """The decoded latents that the value may stand on: all, the last and the first K, each (K, batch, M)."""
        k = self.num_samples
        if self.z is None or len(self.z) < k:
            return []
        return [self.z] if len(self.z) == k else [self.z[-k:], self.z[:k]]

    def agrees(self, z: Tensor, right: Right) -> bool:
        return close(self.value, right(self.truth.log_w(z)), RTOL, ATOL)

    def stands_on(self, *rights: Right) -> Tensor | None:
        """The latents at which the value is one of these, if there are any."""
        return next((z for z in self.candidates() if any(self.agrees(z, right) for right in rights)), None)

    def noise(self, whole: bool) -> Tensor | None:
        """epsilon of what was drawn, (samples, batch, M): of all that was decoded, or what the value stands on; then of the unused."""
        first = self.stands_on(log_mean_exp, torch.clone)
        latents = [z for z in (self.z if whole else first, *self.candidates(), self.z, *self.unused) if z is not None]
        return self.truth.noise(torch.cat(latents[:1] + self.unused)).float() if latents else None


def read_calls(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Sampled]:
    return {name: Sampled(inputs, inputs["cases"][name], found) for name, found in outputs.items() if "trouble" not in found}


def calls_of(seen: Seen) -> dict[str, Sampled]:
    """The calls that came back, by case; read once for all laws."""
    if not hasattr(seen, "calls"):
        seen.calls = read_calls(seen.inputs, seen.outputs)
    return seen.calls


def replay(inputs: dict[str, Any], outputs: dict[str, Any], names: tuple[str, ...] = REPLAYED, whole: bool = False) -> dict[str, Any]:
    """The small cases, with the noise of the latents that the student's code decoded."""
    calls = read_calls(inputs, {name: found for name, found in outputs.items() if name in names})
    cases = {n: c | {"noise": calls[n].noise(whole) if n in calls else None} for n, c in inputs["cases"].items() if n in names}
    return inputs | {"cases": cases}


def brief(inputs: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first call alone."""
    return inputs | {"cases": {"usual": inputs["cases"]["usual"]}}, {"usual": outputs["usual"]}


# --- a picture ---------------------------------------------------------------------------------


def picture(ax: Any, inputs: dict[str, Any], outputs: dict[str, Any], right: Right, what: str) -> str:
    """What came for each example beside what is right, in nats above the mean of the right log-weights."""
    found = outputs.get("images", outputs)["usual"]
    call = Sampled(inputs, inputs["cases"]["usual"], found)
    if not call.candidates():
        raise ValueError("The samples cannot be told.")
    log_w = call.truth.log_w(call.candidates()[0])
    yours, truth = (values - log_w.mean(0) for values in (call.value, right(log_w)))
    if yours.shape != truth.shape or not yours.isfinite().all():
        raise ValueError("Values of another shape, or not finite.")
    place = torch.arange(1, call.batch + 1).expand_as(truth)
    ax.axhline(0, color="gray", linewidth=0.8, label="ELBO: mean of log w")
    ax.plot((place - 0.1).flatten(), truth.flatten(), "o", color=RIGHT, markersize=4, label="right")
    ax.plot((place + 0.1).flatten(), yours.flatten(), "o", color=YOURS, markersize=4, label="yours")
    ax.set_xlabel("example")
    ax.set_ylabel("nats above the ELBO")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    gap = (yours - truth).flatten()
    return (f"{what} of {call.batch} examples, yours beside the right one at your samples: yours lies {float(gap.min()):.3g} to "
            f"{float(gap.max()):.3g} nats above it.")
