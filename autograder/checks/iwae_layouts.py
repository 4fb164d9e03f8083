"""Which sample of which example each decoded row is: the orders in which people fold samples into a batch.

The right order is known by the noise: a row that is read beside the wrong example lies standard deviations away from its mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["layouts", "nested"]


def layouts(rows: Tensor, sizes: list[int], batch: int) -> dict[str, Tensor]:
    """Rows (N, M) as (samples, batch, M), in the orders that people use. `sizes`: how many came in each call of the network."""
    found: dict[str, Tensor] = {}
    if not len(rows) or len(rows) % batch:
        return found
    found["sample by sample"] = rows.reshape(-1, batch, rows.shape[-1])
    found["example by example"] = rows.reshape(batch, -1, rows.shape[-1]).transpose(0, 1)
    if len(sizes) > 1 and all(size % batch == 0 for size in sizes):
        parts = [part.reshape(batch, -1, rows.shape[-1]).transpose(0, 1) for part in rows.split(sizes)]
        found["example by example, in chunks"] = torch.cat(parts)
    per_example = len(rows) // batch
    if len(sizes) > 1 and all(size % per_example == 0 for size in sizes):
        parts = [part.reshape(per_example, -1, rows.shape[-1]) for part in rows.split(sizes)]
        found["sample by sample, in chunks of examples"] = torch.cat(parts, dim=1)
    return found


def nested(rows: Tensor, sizes: list[int], batch: int) -> list[Tensor]:
    """All ways to read rows as (samples, batch, M) where each call of the network, in two nested loops, held some samples of some examples.

    The inner loop makes as many calls in each of its rounds.
    """
    found: list[Tensor] = []
    if not len(rows) or len(rows) % batch:
        return found
    parts, per_example = rows.split(sizes), len(rows) // batch
    for calls in range(2, len(sizes)):
        if len(sizes) % calls == 0:
            rounds = [parts[start : start + calls] for start in range(0, len(sizes), calls)]
            for by_sample in (True, False):
                # The outer loop goes over examples, the inner one over samples; or the other way about.
                found += joined([examples_of(r, per_example, by_sample) for r in rounds], 1)
                found += joined([samples_of(r, batch, by_sample) for r in rounds], 0)
    return found


def joined(grids: list[Tensor | None], dim: int) -> list[Tensor]:
    """One tensor of all grids, if there is none that does not come out."""
    return [] if any(grid is None for grid in grids) else [torch.cat(grids, dim)]


def examples_of(calls: Sequence[Tensor], per_example: int, by_sample: bool) -> Tensor | None:
    """Calls that hold one chunk of examples and together all of its samples, (per_example, chunk, M)."""
    chunk, left = divmod(sum(map(len, calls)), per_example)
    if left or any(len(part) % chunk for part in calls):
        return None
    return torch.cat([part.unflatten(0, (-1, chunk)) if by_sample else part.unflatten(0, (chunk, -1)).transpose(0, 1) for part in calls])


def samples_of(calls: Sequence[Tensor], batch: int, by_sample: bool) -> Tensor | None:
    """Calls that hold one chunk of samples and together all of the batch, (chunk, batch, M)."""
    chunk, left = divmod(sum(map(len, calls)), batch)
    if left or any(len(part) % chunk for part in calls):
        return None
    return torch.cat([part.unflatten(0, (chunk, -1)) if by_sample else part.unflatten(0, (-1, chunk)).transpose(0, 1) for part in calls], 1)
