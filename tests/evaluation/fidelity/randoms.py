"""Random tables with ties, gaps, negative numbers and rare levels, for comparison with libraries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset
from ehrsatz.seeds import stream
from evaluation.tables import table

SEEDS = range(20)


def columns(seed: int, which: str, *, gaps: bool = True) -> dict[str, list]:
    """Return cells of two numbers and two categories; the synthetic ones differ from the real ones."""
    rng = stream(seed, "randoms", which)
    n = int(rng.integers(60, 300))
    shift = 0.4 * (seed % 3) * (which == "synthetic")
    z = rng.normal(size=n)
    x = (z + rng.normal(size=n) + shift).round(seed % 4)
    y = np.where(rng.random(n) < 0.2, 0.0, (z - shift) * 10 - 3).round(1)
    c = np.array(["a", "b", "c", "d"])[np.clip((z + 2 + rng.normal(size=n) * (1 + shift)), 0, 3).astype(int)]
    d = np.where(rng.random(n) < 0.03, "rare", np.where(z + rng.normal(size=n) > shift, "yes", "no"))
    cells = {"x": x.tolist(), "y": y.tolist(), "c": c.tolist(), "d": d.tolist()}
    if gaps:
        for name, values in cells.items():
            gone = rng.random(n) < 0.1
            cells[name] = [None if g else value for g, value in zip(gone, values)]
    return cells


KINDS = {"x": "number", "y": "number", "c": "category", "d": "category"}


def dataset(cells: dict[str, list]) -> Dataset:
    """Return the cells as a dataset."""
    return table({name: (KINDS[name], values) for name, values in cells.items()})


def present(cells: list) -> NDArray:
    """Return the cells that are not missing."""
    return np.array([one for one in cells if one is not None])
