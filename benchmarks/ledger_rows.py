"""The rows of the ledger that `train_ledger.py` trains: architecture, objective, schedule, and what was reported."""

import math
from collections.abc import Callable
from dataclasses import dataclass

BURDA = "Burda et al. 2016, arXiv:1509.00519"


def constant(steps: int) -> Callable[[int], float]:
    """1e-3 throughout."""
    return lambda step: 1e-3


def seed_system_schedule(steps: int) -> Callable[[int], float]:
    """The published one: 1e-3, then at update s = 7000 * 2^i lowered to 1e-3 * 10^(-s / 896000); 1.4 million updates.

    With fewer steps the whole of it is compressed in time.
    """

    def rate(step: int) -> float:
        published = step * 1_400_000 / steps
        if published < 7000:
            return 1e-3
        last_change = 7000 * 2 ** int(math.log2(published / 7000))
        return 1e-3 * 10 ** (-last_change / 896_000)

    return rate


def burda_schedule(steps: int) -> Callable[[int], float]:
    """1e-3 * 10^(-i/7) for i = 0 ... 7, each for 3^i of the 3280 passes (Burda et al., 2016, section 5)."""
    ends = [(3 ** (i + 1) - 1) / 2 / 3280 for i in range(8)]  # after 1, 4, 13, ... 3280 passes
    return lambda step: 1e-3 * 10 ** (-next(i for i, end in enumerate(ends) if step < end * steps) / 7)


def burda_rates(steps: int) -> Callable[[int], float]:
    """The same eight rates, each for an eighth of the steps.

    For short runs: two thirds of the published schedule are at 1e-4, which only a long one can afford.
    """
    return lambda step: 1e-3 * 10 ** (-(8 * step // steps) / 7)


def falling_schedule(steps: int) -> Callable[[int], float]:
    """From 5e-4 to 1e-5 along half a cosine: for going on from trained weights."""
    return lambda step: 1e-5 + 0.5 * (5e-4 - 1e-5) * (1 + math.cos(math.pi * step / steps))


@dataclass(frozen=True)
class Row:
    """One system. `epochs` is what we train by default, `published_epochs` what its authors did."""

    system: str
    reported: dict | None
    latents: int
    samples: int
    epochs: int
    published_epochs: float = 0
    published: str = ""
    hidden: tuple = (200, 200)
    activation: str = "Tanh"
    importance_weighted: bool = True
    batch: int = 20
    schedule: Callable = burda_rates
    whole_schedule: Callable | None = None  # for as many epochs as were published, where it is not `schedule`
    binarize: str = "dynamic"
    pixel_means: bool = True
    start: str | None = None  # a trained model to go on from

    def schedule_for(self, epochs: int) -> Callable:
        """A function from the number of steps to the learning rate as a function of the step."""
        return self.whole_schedule if self.whole_schedule and epochs >= self.published_epochs else self.schedule

    def words(self, epochs: int) -> str:
        objective = "L_K" if self.importance_weighted else "ELBO"
        start = f", from {self.start}" if self.start else ""
        return (
            f"{objective} with K = {self.samples}, {epochs} epochs, batch {self.batch}, Adam, learning rate: "
            f"{self.schedule_for(epochs).__name__.replace('_', ' ')}{start}"
        )


def reported(value: float, source: str, where: str, setting: str) -> dict:
    return {"value": value, "source": source, "where": where, "setting": setting}


def burda(kind: str, samples: int, value: float, epochs: int) -> Row:
    setting = f"784-200-200-z50, tanh, {kind} with K = {samples}, pixels drawn anew, Adam, batch 20, 3280 passes over 60,000 images"
    kind_of_bound = "VAE = IWAE, K = 1" if samples == 1 else f"{kind}, K = {samples}"
    return Row(
        system=f"{kind_of_bound}, one stochastic layer",
        reported=reported(value, BURDA, "table 1, MNIST, one stochastic layer", setting),
        latents=50,
        samples=samples,
        importance_weighted=kind == "IWAE",
        epochs=epochs,
        whole_schedule=burda_schedule,
        published_epochs=3280,
        published="3,280 passes over 60,000 images, two thirds of them at the lowest of its eight learning rates",
    )


SEED_SYSTEM = dict(
    latents=100,
    samples=5,
    batch=128,
    schedule=seed_system_schedule,
    published_epochs=1_400_000 / 430,
    published="1.4 million updates, about 3,256 epochs",
)
SEED_REPORTED = reported(
    -85.02,
    "the system that this course's unit 02 grew from, model01",
    "its authors' own test log-likelihood with 5,000 importance samples",
    "784-200-200-z100-200-200-784, tanh, K = 5, Adam, batch 128, stepwise schedule, 1.4 million updates; "
    "whether its pixels are static or drawn anew is not clear from its source",
)

ROWS = {
    "unit01": Row(
        "unit 01's VAE: 784-256-128-z20, ReLU, ELBO",
        reported=None,
        latents=20,
        samples=1,
        epochs=20,
        hidden=(256, 128),
        activation="ReLU",
        importance_weighted=False,
        batch=64,
        schedule=constant,
        pixel_means=False,
    ),
    "model01": Row("model01, K = 5, pixels drawn anew", SEED_REPORTED, epochs=400, **SEED_SYSTEM),
    "model01-static": Row("model01, K = 5, pixels drawn once", SEED_REPORTED, epochs=60, binarize="static", **SEED_SYSTEM),
    "best": Row(
        "the best with one stochastic layer: model01, trained on with K = 50",
        reported=reported(-84.78, BURDA, "table 1, MNIST, one stochastic layer", "IWAE, K = 50, the paper's best with one layer"),
        latents=100,
        samples=50,
        epochs=20,
        batch=128,
        schedule=falling_schedule,
        start="model01",
        published_epochs=3280,
        published="3,280 passes over 60,000 images",
    ),
    "vae-1": burda("VAE", 1, -86.76, 200),
    "vae-5": burda("VAE", 5, -86.47, 150),
    "vae-50": burda("VAE", 50, -86.35, 40),
    "iwae-5": burda("IWAE", 5, -85.54, 150),
    "iwae-50": burda("IWAE", 50, -84.78, 60),
}
