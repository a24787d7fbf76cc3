"""One subject as a person reads it: labelled fields with units, and rows over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.schema import Column, Schema, Table

MAX_ROWS = 40  # of a subject's timeline that a sheet shows
LONGEST_LABEL = 48
MISSING = "–"
_SUBJECT = "\x00subject"


@dataclass(frozen=True)
class Entry:
    """One row: its table, its cells by column, and whether it belongs to a timeline."""

    table: str
    cells: Mapping[str, Any]
    timed: bool

    def changed(self, cells: Mapping[str, Any]) -> Entry:
        """Return the row with some cells replaced."""
        return replace(self, cells={**self.cells, **cells})


@dataclass(frozen=True)
class Record:
    """One subject: the rows that are shown, in order, and how many are not."""

    entries: tuple[Entry, ...]
    left_out: int = 0

    def changed(self, place: int, cells: Mapping[str, Any]) -> Record:
        """Return the record with some cells of one row replaced."""
        entries = list(self.entries)
        entries[place] = entries[place].changed(cells)
        return replace(self, entries=tuple(entries))


def shown(table: Table) -> tuple[Column, ...]:
    """Return the columns of a table that a reviewer sees: no identifier, no key, no free text."""
    return tuple(
        column
        for column in table.columns
        if column.role not in {"subject", "key", "link"}
        and column.kind not in {"id", "text"}
        and column.disclosure != "direct"
    )


def records(dataset: Dataset, subjects: Sequence[int]) -> list[Record]:
    """Return these subjects as records.

    Parameters
    ----------
    dataset
        Rows of any origin.
    subjects
        Positions among the subjects of the parent table, in the order of their first row.
    """
    owners = {table.name: _owner(dataset.schema, dataset.tables, table) for table in dataset.schema.tables}
    order = owners[dataset.schema.parent.name].unique(maintain_order=True)
    wanted = order.gather(list(subjects))
    found: dict[Any, list[tuple[Entry, Any]]] = {one: [] for one in wanted.to_list()}
    for table in dataset.schema.tables:
        columns = [column.name for column in shown(table)]
        if not columns:
            continue
        frame = dataset.tables[table.name].select(columns).with_columns(owners[table.name].alias(_SUBJECT))
        frame = frame.filter(pl.col(_SUBJECT).is_in(wanted.implode()))
        several = frame[_SUBJECT].n_unique() < frame.height
        timed = table.time is not None or several or table.name != dataset.schema.parent.name
        for row in frame.iter_rows(named=True):
            owner = row.pop(_SUBJECT)
            found[owner].append((Entry(table.name, row, timed), row.get(table.time or "")))
    return [_capped(found[one]) for one in wanted.to_list()]


def _capped(rows: list[tuple[Entry, Any]]) -> Record:
    """Order a subject's rows: fields first, then the timeline by time; rows without a time come last."""
    fixed = [entry for entry, _ in rows if not entry.timed]
    timed = sorted(
        ((entry, when) for entry, when in rows if entry.timed), key=lambda one: (one[1] is None, _moment(one[1]))
    )
    kept = [entry for entry, _ in timed[:MAX_ROWS]]
    return Record((*fixed, *kept), len(timed) - len(kept))


def _moment(when: Any) -> tuple[int, Any]:
    """A key that sorts dates, datetimes and numbers of different tables without comparing one with the other."""
    if isinstance(when, datetime):
        return 0, when.isoformat()
    if isinstance(when, date):
        return 0, when.isoformat()
    return (1, float(when)) if isinstance(when, (int, float)) else (2, 0.0)


def _owner(schema: Schema, tables: Mapping[str, pl.DataFrame], table: Table, seen: tuple[str, ...] = ()) -> pl.Series:
    """Whose row each row is: key of the parent table, its position where that has none; followed through links."""
    frame = tables[table.name]
    key = subject_key(schema, table)
    if key is not None:
        return frame[key].rename(_SUBJECT)
    if table.name == schema.parent.name:
        return pl.Series(_SUBJECT, range(frame.height), dtype=pl.Int64)
    for link in table.links:
        if link.to_table in (*seen, table.name):
            continue
        target = tables[link.to_table]
        owner = _owner(schema, tables, schema[link.to_table], (*seen, table.name))
        pairs = target.select(pl.col(link.to_column).alias("key")).with_columns(owner.alias(_SUBJECT)).unique("key")
        return frame.select(pl.col(link.column).alias("key")).join(pairs, on="key", how="left", maintain_order="left")[
            _SUBJECT
        ]
    parent = subject_key(schema, schema.parent)
    kind = pl.Int64 if parent is None else tables[schema.parent.name].schema[parent]
    return pl.Series(_SUBJECT, [None] * frame.height, dtype=kind)


def told(value: Any) -> str:
    """Return a cell as a person writes it."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return value.isoformat() if isinstance(value, date) else str(value)


def label(column: Column) -> str:
    """Return what a column is called on the sheet: its description where it is short, else its name; with its unit."""
    told_as = column.description.strip().rstrip(".")
    name = told_as if 0 < len(told_as) <= LONGEST_LABEL else column.name.replace("_", " ").strip()
    return f"{name} ({column.unit})" if column.unit else name
