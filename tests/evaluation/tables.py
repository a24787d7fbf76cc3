"""Small tables for the tests of this room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Kind, Schema, Table, dtype_of
from ehrsatz.seeds import stream


def table(columns: dict[str, tuple[Kind, list]], name: str = "t") -> Dataset:
    """Return one table without a subject column."""
    frame = pl.DataFrame({key: pl.Series(cells, dtype=dtype_of(kind)) for key, (kind, cells) in columns.items()})
    schema = Schema(name, (Table(name, tuple(Column(key, kind) for key, (kind, _) in columns.items())),))
    return Dataset(schema, {name: frame}, Provenance("real"))


def population(n: int, seed: int, *, gaps: bool = True) -> Dataset:
    """Return n patients whose columns depend on each other."""
    rng = stream(seed, "population")
    age = np.clip(rng.normal(60, 12, n), 18, 95)
    pressure = 90 + 0.6 * age + rng.normal(0, 8, n)
    weight = rng.normal(75, 14, n)
    sugar = 4 + 0.03 * weight + rng.gamma(2, 0.5, n)
    risk = age / 100 + pressure / 200 + rng.normal(0, 0.12, n)
    return table(
        {
            "age": ("integer", age.round().astype(int).tolist()),
            "pressure": ("number", pressure.round(1).tolist()),
            "weight": ("number", weight.round(1).tolist()),
            "sugar": ("number", [None if gaps and w < 60 else round(float(s), 2) for s, w in zip(sugar, weight)]),
            "sex": ("category", rng.choice(["F", "M"], n).tolist()),
            "site": ("category", rng.choice(["A", "B", "C"], n, p=[0.5, 0.3, 0.2]).tolist()),
            "event": ("boolean", (risk > 1.25).tolist()),
        }
    )


def shuffled(dataset: Dataset, seed: int = 0) -> Dataset:
    """Return the same rows in another order."""
    rng = stream(seed, "shuffled")
    tables = {name: frame[rng.permutation(frame.height).tolist()] for name, frame in dataset.tables.items()}
    return Dataset(dataset.schema, tables, dataset.provenance)


def unrelated(dataset: Dataset, seed: int = 0) -> Dataset:
    """Return every column drawn on its own."""
    rng = stream(seed, "unrelated")
    name = dataset.schema.parent.name
    frame = dataset.table
    return Dataset(
        dataset.schema,
        {name: frame.select(frame[c].gather(rng.permutation(frame.height)) for c in frame.columns)},
        dataset.provenance,
    )


def with_rows(dataset: Dataset, *parts: pl.DataFrame) -> Dataset:
    """Return the dataset with other rows in its one table."""
    return replace(dataset, tables={dataset.schema.parent.name: pl.concat(parts)})
