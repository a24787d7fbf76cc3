"""Compare two forms of the same records, cell by cell, outside what a format declared that it loses.

Rows are matched by their key where the format carries it, else as a multiset of all that it carries. Counted are facts:
cells that one of the two sides holds. A difference is a place where they disagree, a row that lacks, or one too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Loss
from ehrsatz.schema import Table

ROWS = "(rows)"  # stands for a column where whole rows differ


@dataclass(frozen=True)
class Agreement:
    """What was found of one column of one table.

    Parameters
    ----------
    table, column
        Names; the column is "(rows)" for rows that lack or are too many.
    n_facts
        Cells compared that hold something on either side; of rows: rows of the reference.
    n_differ
        Where the two sides disagree.
    places
        (n_differ,) rows of the reference where they do, as far as the side can be told; never cell values.
    """

    table: str
    column: str
    n_facts: int
    n_differ: int
    places: NDArray[np.int64]


def compare(reference: Dataset, found: Dataset, losses: Sequence[Loss] = ()) -> list[Agreement]:
    """Compare records with what a format gave back.

    Parameters
    ----------
    reference
        The records that were written; any clinical dataset.
    found
        What was read back, of the same patients.
    losses
        What the format declares not to carry.

    Returns
    -------
    One entry per table for rows, and one per column that the format carries; tables lost as a whole have none.
    """
    wide, back = loose.widen(reference), loose.widen(found)
    out: list[Agreement] = []
    for table in loose.schema().tables:
        of_table = [one for one in losses if one.table == table.name]
        if any(one.column is None and one.rows is None for one in of_table):
            continue
        reference_rows = _with_linked(table, wide, of_table)
        out += _of_table(table, reference_rows, back.tables[table.name], of_table)
    return out


def _with_linked(table: Table, wide: Dataset, losses: Sequence[Loss]) -> pl.DataFrame:
    """Attach the columns of linked rows that losses name, as "claim_id.status"."""
    frame = wide.tables[table.name]
    named = {name for one in losses if one.rows is not None for name in one.rows.meta.root_names() if "." in name}
    for link in table.links:
        of_link = sorted(name for name in named if name.startswith(f"{link.column}."))
        if of_link:
            held = wide.tables[link.to_table].select(
                pl.col(link.to_column).alias(link.column),
                *(pl.col(name.partition(".")[2]).alias(name) for name in of_link),
            )
            frame = frame.join(held, on=link.column, how="left", maintain_order="left")
    return frame


def carried(table: Table, losses: Sequence[Loss]) -> list[str]:
    """Return the columns of a table that a format carries at least in part."""
    gone = {
        one.column
        for one in losses
        if one.table == table.name and one.rows is None and one.keeps is None and one.column
    }
    return [name for name in table.names if name not in gone]


def _of_table(table: Table, reference: pl.DataFrame, found: pl.DataFrame, losses: Sequence[Loss]) -> list[Agreement]:
    names = carried(table, losses)
    ours = reference.with_row_index("(row)")
    for one in losses:
        if one.column is None and one.rows is not None:
            ours = ours.filter(~one.rows.fill_null(False))
    ours = ours.with_columns(_left(name, losses) for name in names).select("(row)", *names)
    both = [
        one.keeps.alias(one.column)
        for one in losses
        if one.column in names and one.rows is None and one.keeps is not None
    ]
    theirs = found.with_columns(both).select(names)
    key = table.columns[0].name
    return _by_key(table, ours, theirs, key) if key in names else _as_multiset(table, ours, theirs)


def _left(column: str, losses: Sequence[Loss]) -> pl.Expr:
    """What the reference still has of a column."""
    cell = pl.col(column)
    for one in losses:
        if one.column == column:
            kept = pl.lit(None) if one.keeps is None else one.keeps
            cell = kept if one.rows is None else pl.when(one.rows.fill_null(False)).then(kept).otherwise(cell)
    return cell.alias(column)


def _by_key(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame, key: str) -> list[Agreement]:
    once = theirs.unique(key, keep="first").with_columns(pl.lit(True).alias("(found)"))
    joined = ours.join(once, on=key, how="left", suffix=":", maintain_order="left")
    lacking = joined["(found)"].is_null()
    extra = theirs.height - (joined.height - int(lacking.sum()))
    places = joined["(row)"].filter(lacking).to_numpy().astype(np.int64)
    out = [Agreement(table.name, ROWS, ours.height, int(lacking.sum()) + extra, places)]
    both = joined.filter(~lacking)
    for name in ours.columns[1:]:
        if name == key:
            continue
        one, other = both[name], both[f"{name}:"]
        facts = int((one.is_not_null() | other.is_not_null()).sum())
        differ = one.ne_missing(other)
        out.append(
            Agreement(
                table.name, name, facts, int(differ.sum()), both["(row)"].filter(differ).to_numpy().astype(np.int64)
            )
        )
    return out


def _as_multiset(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame) -> list[Agreement]:
    """Match rows that are equal in all that is carried; the rest lack, or are too many."""
    names = ours.columns[1:]
    counted = pl.int_range(pl.len()).over(names).alias("(copy)")  # the first, second, ... of equal rows
    left = ours.with_columns(counted)
    right = theirs.with_columns(counted)
    on = [*names, "(copy)"]
    lacking = left.join(right, on=on, how="anti", nulls_equal=True)
    extra = right.join(left, on=on, how="anti", nulls_equal=True).height
    places = np.sort(lacking["(row)"].to_numpy().astype(np.int64))
    out = [Agreement(table.name, ROWS, ours.height, max(lacking.height, extra), places)]
    for name in names:
        out.append(Agreement(table.name, name, ours.height - ours[name].null_count(), 0, np.empty(0, np.int64)))
    return out
