"""Random mixed tables, small enough for plain loops over all pairs of rows."""

from __future__ import annotations

import numpy as np

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.tables import table

TABLES = range(20)


def mixed(n: int, seed: int, shape: int, shift: float = 0.0) -> Dataset:
    """Return n rows; `shape` decides the columns, `seed` the rows, `shift` moves the first number."""
    plan = stream(shape, "mixed", "plan")
    rng = stream(seed, "mixed", "rows", shape)
    n_numbers, n_categories = int(plan.integers(1, 5)), int(plan.integers(0, 4))
    base = rng.normal(size=n)
    columns = {}
    for i in range(n_numbers):
        values = (plan.normal() * base + rng.normal(size=n) + (shift if i == 0 else 0.0)).round(
            int(plan.integers(0, 4))
        )
        gone = rng.random(n) < (0.15 if i % 3 == 1 else 0.0)
        columns[f"n{i}"] = ("number", [None if g else float(v) for v, g in zip(values, gone)])
    for i in range(n_categories):
        levels = int(plan.integers(2, 5))
        code = np.clip((base * plan.normal() + rng.normal(size=n) + 2).astype(int), 0, levels - 1)
        columns[f"c{i}"] = ("category", [f"L{c}" for c in code])
    return table(columns)


def compared(shape: int, n: int = 40, shift: float = 0.0) -> Comparison:
    """Return three random samples of one shape in one coding."""
    return Comparison.of(mixed(n, 1, shape), mixed(n, 2, shape), mixed(n, 3, shape, shift))
