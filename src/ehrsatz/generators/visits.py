"""Several rows per subject, made flat: what belongs to the subject, what each row adds, what it sees of the row before.

The subject's part holds the columns that never change within a subject, how many rows he has in each event table, and
when the first takes place. A row's part holds its other columns; times become gaps since the row before, other dates
days since the row's own time. So order in time holds by construction, and a row can be learned given its subject and
the row before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import subject_key
from ehrsatz.errors import UnsupportedError
from ehrsatz.schema import Column, Schema, Table

_STRUCTURE = frozenset({"subject", "key", "link"})
_DATES = frozenset({"date", "datetime"})
_ENOUGH = 20  # subjects of several rows that must be there before a column counts as one of the subject
_CONSTANT = 0.97  # share of them in whom it must not change


@dataclass(frozen=True)
class Flat:
    """How the tables of a schema are made flat.

    schema: of the core. static: table -> columns that belong to the subject though they stand in his rows.
    room: table -> most rows that a subject may get.
    shared: table -> static columns that repeat the column of the same name of the subjects' table.
    full: table -> static columns that are never missing where the subject has a row.
    """

    schema: Schema
    static: Mapping[str, tuple[str, ...]]
    room: Mapping[str, int]
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    full: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_repeated(self) -> bool:
        """Whether the only table holds several rows per subject, the subject himself having no table."""
        return len(self.schema.tables) == 1 and subject_key(self.schema, self.schema.parent) is not None

    @property
    def events(self) -> tuple[Table, ...]:
        """The tables with several rows per subject."""
        if self.is_repeated:
            return self.schema.tables
        return tuple(table for table in self.schema.tables if table.name != self.schema.parent.name)

    def flat(self, table: Table, name: str) -> str:
        """Return the name in the flat table of subjects of a column that never changes within a subject."""
        return name if self.is_repeated or name in self.shared.get(table.name, ()) else f"{table.name}#{name}"

    def own(self, table: Table) -> tuple[str, ...]:
        """Return the static columns of a table that its subjects' table does not have already."""
        return tuple(name for name in self.static[table.name] if name not in self.shared.get(table.name, ()))

    # ------------------------------------------------------------------ what the flat tables hold
    def subject_table(self) -> Table:
        """Return the flat table of subjects: attributes, then counts and first times."""
        columns: list[Column] = []
        if not self.is_repeated:
            columns += [column for column in self.schema.parent.columns if column.role not in _STRUCTURE]
        for table in self.events:
            columns.append(
                Column(f"{table.name}#rows", "integer", minimum=1 if self.is_repeated else 0, nullable=False)
            )
            if table.time is not None:
                columns.append(Column(f"{table.name}#start", table[table.time].kind))
            columns += [replace(table[name], name=self.flat(table, name), nullable=True) for name in self.own(table)]
        return Table(self.schema.parent.name, tuple(columns))

    def row_table(self, table: Table) -> Table:
        """Return the flat table of one event table's rows, without what the subject's part holds."""
        columns = []
        for column in table.columns:
            if column.role in _STRUCTURE or column.name in self.static[table.name]:
                continue
            if column.name == table.time:
                gap = f"{column.name}#gap"
                columns.append(Column(gap, "number" if column.kind == "number" else "integer", minimum=0))
            elif _is_dated(table) and column.kind in _DATES:
                columns.append(Column(f"{column.name}#after", "integer", nullable=column.nullable))
            else:
                columns.append(replace(column, role="attribute"))
        return Table(table.name, tuple(columns))

    # ------------------------------------------------------------------ there
    def subjects(self, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the flat table of subjects, row i being subject i."""
        parent = self.schema.parent
        key = subject_key(self.schema, parent)
        assert key is not None
        numbers = tables[parent.name][key].unique().sort()
        frame = pl.DataFrame({"#subject": numbers})
        if not self.is_repeated:
            names = [column.name for column in parent.columns if column.role not in _STRUCTURE]
            frame = frame.join(
                tables[parent.name].select(pl.col(key).alias("#subject"), *names), on="#subject", how="left"
            )
        for table in self.events:
            owner = _owner(self.schema, table)
            made = [pl.len().cast(pl.Int64).alias(f"{table.name}#rows")]
            made += [pl.col(name).drop_nulls().first().alias(self.flat(table, name)) for name in self.own(table)]
            if table.time is not None:
                made.append(pl.col(table.time).min().alias(f"{table.name}#start"))
            rows = tables[table.name].group_by(pl.col(owner).alias("#subject"), maintain_order=True).agg(made)
            frame = frame.join(rows, on="#subject", how="left", maintain_order="left")
            frame = frame.with_columns(pl.col(f"{table.name}#rows").fill_null(0))
        return frame.sort("#subject").select(self.subject_table().names)

    def rows(self, table: Table, frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
        """Return the flat rows by subject and time, whose each row is, and its place within the subject.

        Returns
        -------
        Frame of R rows; subject numbers (R,); positions from 0 (R,).
        """
        owner = _owner(self.schema, table)
        by = [owner, table.time] if table.time is not None else [owner]
        frame = frame.sort(by, maintain_order=True, nulls_last=True)
        made = []
        for column in table.columns:
            if column.role in _STRUCTURE or column.name in self.static[table.name]:
                continue
            cell = pl.col(column.name)
            if column.name == table.time:
                gap = _whole(cell.diff(), column.kind).over(owner)
                made.append(gap.alias(f"{column.name}#gap"))
            elif _is_dated(table) and column.kind in _DATES:
                finest = "datetime" if "datetime" in (column.kind, table[table.time or ""].kind) else "date"
                gap = _as(cell, finest) - _as(pl.col(table.time or ""), finest)
                made.append(_whole(gap, finest).alias(f"{column.name}#after"))
            else:
                made.append(cell)
        subjects = frame[owner].to_numpy().astype(np.int64)
        starts = (
            np.flatnonzero(np.concatenate([[True], subjects[1:] != subjects[:-1]]))
            if len(subjects)
            else np.zeros(0, int)
        )
        lengths = np.diff(np.append(starts, len(subjects)))
        positions = np.arange(len(subjects)) - np.repeat(starts, lengths)
        return frame.select(made), subjects, positions.astype(np.int64)

    # ------------------------------------------------------------------ and back
    def restore(
        self,
        subjects: pl.DataFrame,
        rows: Mapping[str, pl.DataFrame],
        owners: Mapping[str, NDArray[np.int64]],
        *,
        first: int,
    ) -> dict[str, pl.DataFrame]:
        """Return core tables from flat ones.

        Parameters
        ----------
        subjects : n flat subjects, numbered from `first`.
        rows : event table -> flat rows, by subject and position.
        owners : event table -> index into `subjects` of each row.
        first : number of the first subject.
        """
        out: dict[str, pl.DataFrame] = {}
        parent = self.schema.parent
        if not self.is_repeated:
            numbers = pl.int_range(first, first + subjects.height, eager=True, dtype=pl.Int64)
            out[parent.name] = pl.DataFrame(
                [numbers.alias(c.name) if c.role in _STRUCTURE else subjects[c.name] for c in parent.columns]
            )
        for table in self.events:
            owner = owners[table.name]
            numbers = pl.Series(owner + first, dtype=pl.Int64)
            of_subject = subjects[owner.tolist()] if len(owner) else subjects.head(0)
            frame = rows[table.name]
            time = None if table.time is None else _times(table, frame, numbers, of_subject)
            cells = []
            for column in table.columns:
                if column.name == _owner(self.schema, table):
                    cells.append(numbers.alias(column.name))
                elif column.role in _STRUCTURE:
                    cells.append(pl.int_range(0, len(owner), eager=True, dtype=pl.Int64).alias(column.name))
                elif column.name in self.static[table.name]:
                    cells.append(of_subject[self.flat(table, column.name)].alias(column.name))
                elif time is not None and column.name == table.time:
                    cells.append(time.alias(column.name))
                elif time is not None and _is_dated(table) and column.kind in _DATES:
                    kind = "datetime" if "datetime" in (column.kind, table[table.time or ""].kind) else "date"
                    base = pl.DataFrame({"t": time, "g": frame[f"{column.name}#after"]})
                    moved = base.select((_as(pl.col("t"), kind) + _span(pl.col("g"), kind)).alias("x"))["x"]
                    cells.append(moved.cast(pl.Date if column.kind == "date" else pl.Datetime("us")).alias(column.name))
                else:
                    cells.append(frame[column.name])
            out[table.name] = self._lawful(table, pl.DataFrame(cells))
        return out

    def _lawful(self, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
        """Leave out rows whose time breaks an order with a column of the subject, as visits after the end of follow-up.

        The first row of a subject stays where the subject has no table of his own.
        """
        ours = {*self.static[table.name], *((table.time,) if table.time else ())}
        for one in table.constraints:
            if one.kind == "order" and set(one.columns) <= ours:
                a, b = (pl.col(name) for name in one.columns)
                kept = ((a < b) if one.params.get("strict") else (a <= b)).fill_null(True)
                if self.is_repeated:
                    kept = kept | (pl.int_range(pl.len()).over(_owner(self.schema, table)) == 0)
                frame = frame.filter(kept)
        return frame


def flatten(schema: Schema, tables: Mapping[str, pl.DataFrame]) -> Flat:
    """Find how the tables of a core dataset are made flat.

    Raises
    ------
    UnsupportedError
        For a table that does not link to the subjects' table, or links to more than that.
    """
    probe = Flat(schema, {}, {})
    static: dict[str, tuple[str, ...]] = {}
    shared: dict[str, tuple[str, ...]] = {}
    full: dict[str, tuple[str, ...]] = {}
    room: dict[str, int] = {}
    for table in probe.events:
        owner = subject_key(schema, table)
        more = [link for link in table.links if link.column != owner]
        if owner is None or more:
            raise UnsupportedError(
                "Expected event tables that link to the table of subjects and to no other.",
                f"'{table.name}' does not, or links further.",
                "Leave the table out, or join it to the one it belongs to; deeper links are not yet supported.",
            )
        frame = tables[table.name]
        names = [c.name for c in table.columns if c.role not in _STRUCTURE and c.name != table.time]
        static[table.name] = _static(frame, owner, names)
        shared[table.name] = _shared(schema, tables, table, owner, static[table.name])
        full[table.name] = tuple(name for name in static[table.name] if not frame[name].null_count())
        most = int(frame.group_by(owner).len()["len"].max() or 1) if frame.height else 1  # type: ignore[arg-type]
        room[table.name] = (1 << max(3, (2 * most - 1).bit_length())) - 1
    return Flat(schema, static, room, shared, full)


def _static(frame: pl.DataFrame, owner: str, names: list[str]) -> tuple[str, ...]:
    """Columns that hold one value in the rows of nearly every subject, where enough subjects have several rows."""
    if not names or frame.height == 0:
        return ()
    counts = frame.group_by(owner).agg(
        pl.len().alias("#n"), *(pl.col(name).drop_nulls().n_unique().alias(name) for name in names)
    )
    several = counts.filter(pl.col("#n") > 1)
    if several.height < _ENOUGH:
        return ()
    varied = [name for name in names if frame[name].drop_nulls().n_unique() > 1]
    # a column of one value nearly everywhere is constant by chance: it must change less often than shuffled rows would
    return tuple(
        name
        for name in varied
        if (several[name] <= 1).mean() >= _CONSTANT  # type: ignore[operator]
        and (several[name] > 1).sum() * 4 <= _changes(frame[name], several["#n"])
    )


def _changes(cells: pl.Series, rows: pl.Series) -> float:
    """Expected number of subjects in whom the column would change if rows belonged to anybody."""
    share = cells.drop_nulls().value_counts()["count"].to_numpy() / max(1, cells.len() - cells.null_count())
    counts, many = np.unique(rows.to_numpy(), return_counts=True)
    return float(sum(n * (1 - (share**k).sum()) for k, n in zip(counts, many)))


def _shared(
    schema: Schema, tables: Mapping[str, pl.DataFrame], table: Table, owner: str, static: tuple[str, ...]
) -> tuple[str, ...]:
    """Static columns that equal the subjects' column of the same name in every row."""
    parent = schema.parent
    if table.name == parent.name:
        return ()
    key = subject_key(schema, parent)
    both = [name for name in static if name in parent.names and parent[name].kind == table[name].kind and name != key]
    if not both or key is None:
        return ()
    other = tables[parent.name].select(pl.col(key).alias(owner), *(pl.col(name).alias(f"#{name}") for name in both))
    joined = tables[table.name].join(other, on=owner, how="left")
    return tuple(name for name in both if joined[name].eq_missing(joined[f"#{name}"]).all())


def _owner(schema: Schema, table: Table) -> str:
    owner = subject_key(schema, table)
    assert owner is not None
    return owner


def _times(table: Table, frame: pl.DataFrame, numbers: pl.Series, of_subject: pl.DataFrame) -> pl.Series:
    """Start plus the sum of the gaps so far; a missing gap is none."""
    assert table.time is not None
    kind = table[table.time].kind
    base = pl.DataFrame(
        {"#s": numbers, "#g": frame[f"{table.time}#gap"].fill_null(0), "#t": of_subject[f"{table.name}#start"]}
    )
    is_first = pl.int_range(pl.len()).over("#s") == 0
    steps = pl.when(is_first).then(0).otherwise(pl.col("#g")).cum_sum().over("#s")
    return base.select((pl.col("#t") + _span(steps, kind)).alias("time"))["time"]


def _is_dated(table: Table) -> bool:
    """Whether the rows are dated; else their time, if they have one, is a number since some start."""
    return table.time is not None and table[table.time].kind in _DATES


def _whole(gap: pl.Expr, kind: str) -> pl.Expr:
    if kind not in _DATES:
        return gap
    return gap.dt.total_days() if kind == "date" else gap.dt.total_microseconds()


def _span(gap: pl.Expr, kind: str) -> pl.Expr:
    if kind not in _DATES:
        return gap
    return pl.duration(days=gap) if kind == "date" else pl.duration(microseconds=gap)


def _as(cell: pl.Expr, kind: str) -> pl.Expr:
    return cell.cast(pl.Date) if kind == "date" else cell.cast(pl.Datetime("us"))
