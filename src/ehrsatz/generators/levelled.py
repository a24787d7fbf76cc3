"""The levels of a table that enough subjects share: the ones that a condition may name."""

from __future__ import annotations

import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.schema import MIN_SUBJECTS


def public_levels(core: Dataset) -> dict[str, list[str]]:
    """Levels of the parent table's categories that at least MIN_SUBJECTS subjects hold."""
    table = core.schema.parent
    key = subject_key(core.schema, table)
    levels: dict[str, list[str]] = {}
    for column in table.columns:
        if column.kind not in {"category", "code"}:
            continue
        cells = core.table.select(column.name, key or pl.int_range(pl.len()).alias("_row")).drop_nulls(column.name)
        held = cells.group_by(column.name).agg(pl.col(key or "_row").n_unique().alias("n"))
        floor = min(MIN_SUBJECTS, core.n_subjects)
        levels[column.name] = sorted(held.filter(pl.col("n") >= floor)[column.name].to_list())
    return levels
