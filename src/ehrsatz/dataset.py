"""The waist: tables that match a schema, with their provenance.

Every source and generator returns a `Dataset`; every generator, metric, rule and exporter takes one. Construction
checks names, kinds, nullability, keys, links and bounds, and reports all problems at once, by place and count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.errors import DataError, UnsupportedError
from ehrsatz.provenance import Provenance, Step
from ehrsatz.schema import Column, Schema, Table, dtype_of
from ehrsatz.seeds import stream

SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "wk": 604_800, "mo": 2_629_800, "a": 31_557_600}  # UCUM's units


@dataclass(frozen=True)
class Dataset:
    """Tables that match a schema.

    Parameters
    ----------
    schema
        What the tables hold.
    tables
        Table name -> Polars frame with exactly the schema's columns, in its order and types; missing is null.
    provenance
        Where the rows came from.

    Raises
    ------
    DataError
        With every problem found: names, types, nulls, duplicate keys, orphans, values out of bounds.
    """

    schema: Schema
    tables: Mapping[str, pl.DataFrame]
    provenance: Provenance

    def __post_init__(self) -> None:
        problems = _problems(self.schema, self.tables)
        if problems:
            raise DataError(
                f"Expected tables that match the schema '{self.schema.name}'.",
                f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
                "Correct the data, or edit the schema file and pass it with --schema.",
                problems=problems,
            )

    @classmethod
    def trusted(cls, schema: Schema, tables: Mapping[str, pl.DataFrame], provenance: Provenance) -> Dataset:
        """Return a dataset without checking it, for makers that keep the schema by construction.

        Hashing keys and links costs more than some makers' whole work. Who calls this proves elsewhere that keys are
        unique, links resolve and kinds are right, and checks a sample of the rows with `Dataset` itself; everybody
        else calls `Dataset`.
        """
        made = object.__new__(cls)
        for name, value in (("schema", schema), ("tables", tables), ("provenance", provenance)):
            object.__setattr__(made, name, value)
        return made

    @property
    def table(self) -> pl.DataFrame:
        """The rows of the parent table: the only one, in a dataset of one table."""
        return self.tables[self.schema.parent.name]

    @cached_property
    def n_subjects(self) -> int:
        """Number of distinct subjects: of rows, where the parent table names no subject."""
        key = subject_key(self.schema, self.schema.parent)
        return self.table.height if key is None else self.table[key].n_unique()

    @property
    def subjects(self) -> pl.Series:
        """Keys of the subjects, as `take_subjects` takes them, in order of first appearance."""
        key = subject_key(self.schema, self.schema.parent)
        if key is None:
            return pl.Series("subject", range(self.table.height), dtype=pl.Int64)
        return self.table[key].unique(maintain_order=True)

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(frame.height for frame in self.tables.values())

    def take_subjects(self, keep: pl.Series) -> Dataset:
        """Return the rows of these subjects in every table, in their order.

        Parameters
        ----------
        keep
            Subject keys; row positions where the parent table names no subject.
        """
        parent = self.schema.parent
        key = subject_key(self.schema, parent)
        if key is None:
            return Dataset(self.schema, {parent.name: self.table[keep.to_list()]}, self.provenance)
        tables = {}
        for table in self.schema.tables:
            column = subject_key(self.schema, table)
            frame = self.tables[table.name]
            tables[table.name] = frame if column is None else frame.filter(pl.col(column).is_in(keep.implode()))
        return Dataset(self.schema, tables, self.provenance)

    def split(self, fraction: float = 0.5, *, seed: int) -> tuple[Dataset, Dataset]:
        """Split by subject, never by row, into two datasets.

        Parameters
        ----------
        fraction
            Share of subjects in the first part, in (0, 1); each part gets at least one subject.
        seed
            Decides who goes where.

        Raises
        ------
        DataError
            With fewer than two subjects.
        """
        if self.n_subjects < 2:
            raise DataError(
                "Expected at least 2 subjects to split.",
                f"{self.n_subjects} found.",
                "Give more rows, or another subject column.",
            )
        subjects = self.subjects
        order = stream(seed, "split").permutation(len(subjects))
        cut = min(len(subjects) - 1, max(1, round(fraction * len(subjects))))
        first, second = sorted(order[:cut].tolist()), sorted(order[cut:].tolist())
        return self.take_subjects(subjects[first]), self.take_subjects(subjects[second])

    def events(self) -> pl.DataFrame:
        """Return all event tables as one long frame: subject_id, time, code, numeric_value, text_value (MEDS columns).

        A table with a code column gives one event per row; a table without gives one per present attribute, with code
        "table/column". Sorted by subject and time. A time column of numbers counts from 1970-01-01 on, in the column's
        unit (UCUM: s, min, h, d, wk, mo, a).

        Raises
        ------
        UnsupportedError
            When a time column is neither a date nor a number with a unit of time.
        """
        parts = []
        for table in self.schema.tables:
            if table.time is None:
                continue
            subject = subject_key(self.schema, table)
            frame = self.tables[table.name].with_row_index("row")
            head = [
                (pl.col(subject).cast(pl.String) if subject else pl.col("row").cast(pl.String)).alias("subject_id"),
                _moment(table, table[table.time]).alias("time"),
            ]
            code = table.with_role("code")
            if code is not None:
                value = table.with_role("value")
                numeric = value is not None and table[value].kind in {"integer", "number"}
                cell = pl.lit(None, pl.String) if value is None else pl.col(value)
                parts.append(
                    frame.select(
                        *head,
                        pl.col(code).cast(pl.String).alias("code"),
                        (cell.cast(pl.Float64) if numeric else pl.lit(None, pl.Float64)).alias("numeric_value"),
                        (pl.lit(None, pl.String) if numeric else cell.cast(pl.String)).alias("text_value"),
                    )
                )
                continue
            for column in table.columns:
                if column.role not in {"attribute", "value"}:
                    continue
                numeric = column.kind in {"integer", "number"}
                cell = pl.col(column.name)
                parts.append(
                    frame.filter(cell.is_not_null()).select(
                        *head,
                        pl.lit(f"{table.name}/{column.name}").alias("code"),
                        (cell.cast(pl.Float64) if numeric else pl.lit(None, pl.Float64)).alias("numeric_value"),
                        (pl.lit(None, pl.String) if numeric else cell.cast(pl.String)).alias("text_value"),
                    )
                )
        empty: dict[str, Any] = {
            "subject_id": pl.String,
            "time": pl.Datetime("us"),
            "code": pl.String,
            "numeric_value": pl.Float64,
            "text_value": pl.String,
        }
        whole = pl.concat(parts) if parts else pl.DataFrame(schema=empty)
        return whole.sort("subject_id", "time", "code", maintain_order=True)

    def then(self, step: Step) -> Dataset:
        """Return the same tables with one more step in their provenance."""
        return Dataset(self.schema, self.tables, self.provenance.then(step))


def _moment(table: Table, column: Column) -> pl.Expr:
    """A table's time column as Datetime("us")."""
    if column.kind in {"date", "datetime"}:
        return pl.col(column.name).cast(pl.Datetime("us"))
    seconds = SECONDS.get(column.unit or "")
    if column.kind not in {"integer", "number"} or seconds is None:
        raise UnsupportedError(
            f"Expected the time column '{table.name}.{column.name}' as dates, or as numbers with a unit of time.",
            f"It is of kind {column.kind}, {'without a unit' if column.unit is None else 'with another unit'}.",
            f"Give it one of the units {', '.join(SECONDS)} in the schema.",
        )
    return (pl.col(column.name).cast(pl.Float64) * (seconds * 1e6)).round().cast(pl.Int64).cast(pl.Datetime("us"))


def subject_key(schema: Schema, table: Table) -> str | None:
    """Return the column of a table that names its subject: by role, or by its link to the parent table."""
    if table.subject is not None:
        return table.subject
    parent = schema.parent
    if table.name == parent.name:
        return table.with_role("key") if len(schema.tables) > 1 else None
    return next((link.column for link in table.links if link.to_table == parent.name), None)


def addresses(
    schema: Schema, tables: Mapping[str, pl.DataFrame], *, first: int = 0
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return whose row each row of core tables is: subject number and position among the subject's rows.

    Links are followed up to the parent table. A table without structural columns has one row per subject, numbered
    from `first`; a table that does not lead to the parent is addressed by its own rows.

    Returns
    -------
    Table name -> two arrays of shape (R,); structural columns must be Int64 row numbers.
    """
    numbers: dict[str, pl.Series] = {}

    def resolve(table: Table, seen: tuple[str, ...]) -> pl.Series:
        if table.name in numbers:
            return numbers[table.name]
        frame = tables[table.name]
        key = subject_key(schema, table)
        found: pl.Series | None = frame[key] if key is not None else None
        if found is None and table.name == schema.parent.name:
            found = pl.Series(range(first, first + frame.height), dtype=pl.Int64)
        for link in table.links if found is None else ():
            if link.to_table in (*seen, table.name):
                continue
            owner = resolve(schema[link.to_table], (*seen, table.name))
            target = tables[link.to_table].select(pl.col(link.to_column).alias("key"), owner.alias("subject"))
            target = target.unique("key", keep="first", maintain_order=True)
            found = frame.select(pl.col(link.column).alias("key")).join(
                target, on="key", how="left", maintain_order="left"
            )["subject"]
            break
        if found is None:
            found = pl.Series(range(frame.height), dtype=pl.Int64)
        numbers[table.name] = found.fill_null(0)
        return numbers[table.name]

    out = {}
    for table in schema.tables:
        subjects = resolve(table, ()).rename("subject").to_frame()
        position = subjects.select(pl.int_range(pl.len()).over("subject").alias("position"))["position"]
        out[table.name] = (subjects["subject"].to_numpy().astype(np.int64), position.to_numpy().astype(np.int64))
    return out


def bound(column: Column, side: str) -> Any:
    """Return a column's minimum or maximum as the Python value its cells compare with, or None."""
    value = getattr(column, side)
    if value is None or not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value[:10]) if column.kind == "date" else datetime.fromisoformat(value)
    except ValueError:
        raise DataError(
            f"Expected the {side} of column '{column.name}' as an ISO date.",
            "It cannot be read as one.",
            "Write it as YYYY-MM-DD.",
        ) from None


def _problems(schema: Schema, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    problems = [
        f"table '{name}' is not in the schema" for name in tables if name not in {t.name for t in schema.tables}
    ]
    for table in schema.tables:
        if table.name not in tables:
            problems.append(f"table '{table.name}' of the schema is absent")
            continue
        frame = tables[table.name]
        absent = [name for name in table.names if name not in frame.columns]
        extra = [name for name in frame.columns if name not in table.names]
        if absent:
            problems.append(f"{table.name}: columns of the schema that are absent: {', '.join(absent)}")
        if extra:
            problems.append(f"{table.name}: columns that the schema does not name: {', '.join(extra)}")
        if not absent and not extra and tuple(frame.columns) != table.names:
            problems.append(f"{table.name}: the columns are not in the order of the schema")
        for column in table.columns:
            if column.name in frame.columns:
                problems += _column_problems(table, column, frame[column.name])
        if not absent:
            problems += _key_problems(table, tables)
    return problems


def _column_problems(table: Table, column: Column, cells: pl.Series) -> list[str]:
    place = f"{table.name}.{column.name}"
    wanted = dtype_of(column.kind)
    if cells.dtype != wanted:
        return [f"{place}: kind {column.kind} is held as {wanted}, found {cells.dtype}"]
    problems = []
    n = len(cells)
    n_null = cells.null_count()
    if n_null and not column.nullable:
        problems.append(f"{place}: {n_null:,} of {n:,} rows are missing, and the column is not nullable")
    if column.kind == "number" and (bad := int((~cells.is_finite()).sum() or 0)):
        problems.append(f"{place}: {bad:,} of {n:,} rows are NaN or infinite; missing must be null")
    for side, beyond in (("minimum", pl.Series.lt), ("maximum", pl.Series.gt)):
        limit = bound(column, side)
        if limit is not None and column.is_numeric and (bad := int(beyond(cells, limit).sum() or 0)):
            problems.append(f"{place}: {bad:,} of {n:,} rows are beyond the {side} of the schema")
    if column.values is not None and cells.dtype == pl.String:
        bad = int((~cells.is_in(list(column.values))).sum() or 0)
        if bad:
            problems.append(f"{place}: {bad:,} of {n:,} rows hold a level that the schema does not list")
    return problems


def _key_problems(table: Table, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    problems = []
    frame = tables[table.name]
    for column in table.columns:
        if column.role in {"subject", "key"} and frame[column.name].null_count():
            problems.append(
                f"{table.name}.{column.name}: {frame[column.name].null_count():,} rows have no {column.role}"
            )
        if column.role == "key" and frame[column.name].n_unique() < frame.height:
            problems.append(
                f"{table.name}.{column.name}: {frame.height - frame[column.name].n_unique():,} rows repeat a key"
            )
    for link in table.links:
        if link.to_table in tables and link.to_column in tables[link.to_table].columns:
            target = tables[link.to_table][link.to_column]
            cells = frame[link.column].drop_nulls()
            if cells.dtype != target.dtype:
                problems.append(f"{table.name}.{link.column}: held as {cells.dtype}, its target as {target.dtype}")
            elif orphans := int((~cells.is_in(target.implode())).sum()):
                problems.append(f"{table.name}.{link.column}: {orphans:,} rows link to no row of {link.to_table}")
    return problems
