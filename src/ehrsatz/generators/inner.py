"""A generator within another: made by name, given what the outer one's base learned, split and numbered anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator
from ehrsatz.provenance import Provenance


def inner(name: str, owner: Generator, settings: Mapping[str, Any] | None = None) -> Generator:
    """Return a new generator that knows what its owner's base learned, so that `_fit` and `_sample` may be called.

    Parameters
    ----------
    name
        Registered name.
    owner
        A generator within its own `_fit` or `_restore`.
    settings
        Parameters of the inner one.
    """
    model: Generator = registry.find("generators", name)(**(settings or {}))
    model.schema_, model.seed_, model.n_subjects_ = owner.schema_, owner.seed_, owner.n_subjects_
    model.identifiers_, model.constraints_, model.levels_ = owner.identifiers_, owner.constraints_, owner.levels_
    return model


def take_rows(core: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Return these rows of a core of one table with one row per subject, numbered from 0."""
    table = core.schema.parent
    frame = core.table[rows.tolist()]
    numbers = pl.int_range(frame.height, eager=True, dtype=pl.Int64)
    structure = [column.name for column in table.columns if column.role in {"subject", "key", "link"}]
    frame = frame.with_columns([numbers.alias(name) for name in structure])
    return Dataset(core.schema, {table.name: frame}, Provenance(core.provenance.origin))
