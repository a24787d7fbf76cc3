"""Keep direct identifiers away from generators, and fabricate others in their place.

`IdentifierPlan.learn` finds the columns to withhold and learns their look, `detach` takes them out and turns subjects,
keys and links into row numbers, `attach` puts fabricated ones on generated rows. Fabricated ids are numbers of
synthetic rows spelled in the shape of the source's ids under a keyed permutation: unique by construction in any shard,
and made without the source's ids. That one equals a real id can happen by chance, as in any numbering of the same
shape; it then says nothing about the person of that id.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset, addresses, bound, subject_key
from ehrsatz.errors import DataError, DataWarning, InfeasibleError, SchemaError
from ehrsatz.privacy.base import permute
from ehrsatz.privacy.fabricate import WIDTH, Look
from ehrsatz.privacy.shapes import Shape, spell_unique
from ehrsatz.schema import MIN_SUBJECTS, Column, Constraint, Schema, Table, dtype_of
from ehrsatz.seeds import addressed

Place = tuple[str, str]  # table and column


@dataclass(frozen=True)
class IdentifierPlan:
    """Which columns are withheld from generators, and how others are fabricated for them.

    schema: of the full dataset. withheld: look of each column that is neither subject, key nor link. shapes: of each
    set of ids, by the table and column that owns it. most: how many rows of a table a subject may have, 1 where a row
    is a subject, else a power of two of at least twice what was seen. flat: whether the core has no structural column,
    because each row of the only table is its own subject. spans: about the lowest and highest of whole-number ids.
    """

    schema: Schema
    withheld: Mapping[str, Mapping[str, Look]] = field(default_factory=dict)
    shapes: Mapping[Place, Shape] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    flat: bool = False
    spans: Mapping[Place, tuple[int, int]] = field(default_factory=dict)

    # ------------------------------------------------------------------ learn
    @classmethod
    def learn(cls, dataset: Dataset) -> IdentifierPlan:
        """Learn shapes of ids and looks of withheld columns: no cell value, nothing that fewer than 5 subjects share.

        Withheld are the columns of disclosure "direct", of kind text and id, and all of role subject, key and link.

        Raises
        ------
        SchemaError
            When a constraint ties a withheld column, which is fabricated on its own and cannot keep it.
        """
        schema = dataset.schema
        _refuse_unkept(schema)
        flat = _is_flat(dataset)
        core, _ = _numbered(dataset, flat)
        owners = addresses(_core_schema(schema, flat, ()), core)
        withheld: dict[str, dict[str, Look]] = {}
        for table in schema.tables:
            frame = dataset.tables[table.name]
            subjects = pl.Series("subject", owners[table.name][0])
            gaps: dict[bytes, int] = {}
            looks = {}
            for column in table.columns:
                if column.name in _structural(schema, table) or not _is_withheld(column):
                    continue
                cells = frame[column.name]
                gap = gaps.setdefault(np.packbits(cells.is_null().to_numpy()).tobytes(), len(gaps))
                looks[column.name] = Look.learn(column, cells, subjects, gap=gap)
            withheld[table.name] = looks
        shapes: dict[Place, Shape] = {}
        spans: dict[Place, tuple[int, int]] = {}
        for table_name, name in _places(schema):
            if schema[table_name][name].kind == "integer":
                span = _span(dataset.tables[table_name][name].drop_nulls().unique())
                spans |= {} if span is None else {(table_name, name): span}
            values = dataset.tables[table_name][name].drop_nulls().unique(maintain_order=True).cast(pl.String)
            shapes[table_name, name] = Shape.learn(values, digits=schema[table_name][name].kind == "integer")
        rows = {name: int(positions.max(initial=0)) + 1 for name, (_, positions) in owners.items()}
        return cls(schema, withheld, shapes, {name: _room(most) for name, most in rows.items()}, flat, spans)

    # ------------------------------------------------------------------ out
    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's withheld columns: identifiers, free text, subject, key and link columns."""
        structural = _structural(self.schema, self.schema[table])
        return tuple(name for name in self.schema[table].names if name in structural or name in self.withheld[table])

    def detach(self, dataset: Dataset) -> Dataset:
        """Return the core: withheld columns gone, subject, key and link columns as Int64 row numbers.

        Subjects are numbered 0 .. N-1 in order of first appearance in the parent table. The core of a single table
        with one row per subject has no structural column.

        Raises
        ------
        DataError
            When rows name a subject that the parent table does not have.
        """
        tables, lost = _numbered(dataset, self.flat)
        if lost:
            raise DataError(
                "Expected every row to name a subject of the parent table.",
                f"{len(lost)} column{'s' if len(lost) > 1 else ''} do not.",
                "Remove these rows, or add the subjects to the parent table.",
                problems=lost,
            )
        schema = _core_schema(self.schema, self.flat, self._gone())
        return Dataset(
            schema, {table.name: tables[table.name].select(table.names) for table in schema.tables}, dataset.provenance
        )

    def _gone(self) -> tuple[Place, ...]:
        return tuple((table, name) for table, looks in self.withheld.items() for name in looks)

    # ------------------------------------------------------------------ back
    def attach(self, tables: Mapping[str, pl.DataFrame], *, seed: int, first: int) -> dict[str, pl.DataFrame]:
        """Put fabricated ids and withheld columns on generated core tables.

        Parameters
        ----------
        tables
            Core tables of one shard: structural columns hold row numbers, subjects are numbered from `first`.
        seed
            Key of the ids and of all draws; with it and its subject's number a row is the same in any shard.
        first
            Number of the first subject.

        Returns
        -------
        Table name -> frame with all columns of the schema, in its order.

        Raises
        ------
        InfeasibleError
            When a key column's bounds in the schema leave fewer ids than rows asked for.
        """
        owners = addresses(_core_schema(self.schema, self.flat, self._gone()), tables, first=first)
        ids = {place: self._ids(place, tables, owners, seed) for place in self.shapes}
        out = {}
        for table in self.schema.tables:
            frame, (subjects, positions) = tables[table.name], owners[table.name]
            made = {name: frame[name] for name in frame.columns if name in table.names}
            for column in table.columns:
                if column.name in _structural(self.schema, table):
                    place = _owner(self.schema, table, column.name)
                    if place == (table.name, column.name):
                        made[column.name] = ids[place]["id"]
                    else:
                        keys = frame.select(pl.col(column.name).alias("number"))
                        held = ids[place].unique("number", keep="first", maintain_order=True)
                        made[column.name] = keys.join(held, on="number", how="left", maintain_order="left")["id"]
                elif column.name in self.withheld[table.name]:
                    made[column.name] = self._cells(table, column, subjects, positions, seed)
            out[table.name] = pl.DataFrame({name: made[name] for name in table.names})
        return out

    def _ids(
        self,
        place: Place,
        tables: Mapping[str, pl.DataFrame],
        owners: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
        seed: int,
    ) -> pl.DataFrame:
        """Return core number and fabricated id of each row of the owning table."""
        table, name = place
        frame = tables[table]
        subjects, positions = owners[table]
        numbers = subjects if place == _subject_place(self.schema) else self._rows(table, subjects, positions)
        column = self.schema[table][name]
        low, high = bound(column, "minimum"), bound(column, "maximum")
        if column.kind == "integer" and low is not None and high is not None:
            ids = _between(int(low), int(high), numbers, seed, place)
        elif place in self.spans:
            ids = _spread(*self.spans[place], numbers, seed, place)
        else:
            texts = spell_unique(self.shapes[place], numbers, seed, "identifiers", *place)
            ids = texts.cast(dtype_of(column.kind))
        core = frame[name] if name in frame.columns else pl.Series(numbers)
        return pl.DataFrame({"number": core, "id": ids})

    def _cells(
        self, table: Table, column: Column, subjects: NDArray[np.int64], positions: NDArray[np.int64], seed: int
    ) -> pl.Series:
        look = self.withheld[table.name][column.name]
        where = None if look.per_subject else positions
        names = ("identifiers", table.name, column.name)
        draws = addressed(seed, *names, subjects=subjects, positions=where, width=WIDTH)
        numbers = subjects if look.per_subject else self._rows(table.name, subjects, positions)
        made = look.make(column, numbers, draws, seed=seed, names=names).cast(dtype_of(column.kind))
        if look.missing:
            where = None if look.gap_per_subject else positions
            gap = addressed(seed, "identifiers", table.name, "gap", look.gap, subjects=subjects, positions=where)
            made = made.set(pl.Series(gap[:, 0] < look.missing), None)
        return made.rename(column.name)

    def _rows(self, table: str, subjects: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the rows of a table: each differently, and in any shard alike."""
        most = self.most[table]
        if int(positions.max(initial=0)) >= most:
            raise DataError(
                f"Expected at most {most:,} rows per subject in table '{table}'.",
                "The generator made more for one subject.",
                "Fit again, on data with as many rows per subject.",
            )
        return subjects * most + positions

    # ------------------------------------------------------------------ on disk
    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "schema": self.schema.to_dict(reasons=False),
            "withheld": {
                table: {name: look.to_dict() for name, look in looks.items()} for table, looks in self.withheld.items()
            },
            "shapes": [[*place, list(shape.places)] for place, shape in self.shapes.items()],
            "most": dict(self.most),
            "flat": self.flat,
            "spans": [[*place, *span] for place, span in self.spans.items()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> IdentifierPlan:
        """Read what `to_dict` writes."""
        return cls(
            Schema.from_dict(data["schema"]),
            {
                table: {name: Look.from_dict(look) for name, look in looks.items()}
                for table, looks in data["withheld"].items()
            },
            {(table, name): Shape(tuple(places)) for table, name, places in data["shapes"]},
            {table: int(most) for table, most in data["most"].items()},
            bool(data["flat"]),
            {(table, name): (low, high) for table, name, low, high in data["spans"]},
        )


def _is_withheld(column: Column) -> bool:
    return column.disclosure == "direct" or column.kind in {"text", "id"}


def drop_proposed(dataset: Dataset) -> Dataset:
    """Leave out the proposed constraints on columns that a person has since marked as withheld, with a warning.

    Proposed are those with a `why`; `IdentifierPlan.learn` refuses the others, which somebody wrote by hand.
    """
    schema, dropped = dataset.schema, []
    for table in dataset.schema.tables:
        gone = [one for one in table.constraints if one.why and _tied(dataset.schema, table, one)]
        dropped += [f"{table.name}: {one.kind} ({', '.join(one.columns)})" for one in gone]
        kept = tuple(one for one in table.constraints if not any(one is other for other in gone))
        schema = schema.replace_table(replace(table, constraints=kept))
    if not dropped:
        return dataset
    warnings.warn(
        "Expected constraints on columns that a generator draws. Proposed ones on identifiers, keys or free text are "
        f"left out: {'; '.join(dropped)}. Remove them from the schema file to be told no more.",
        DataWarning,
        stacklevel=3,
    )
    return replace(dataset, schema=schema)


def _tied(schema: Schema, table: Table, one: Constraint) -> list[str]:
    """Columns by which a constraint names what is fabricated apart, so that it would not be kept."""
    apart = {column.name for column in table.columns if _is_withheld(column)} | set(_structural(schema, table))
    kept = one.kind == "unique" or (one.kind == "missing_together" and set(one.columns) <= apart)
    return [] if kept else sorted(apart & set(one.columns))


def _refuse_unkept(schema: Schema) -> None:
    problems = [
        f"{table.name}: {one.kind} ({', '.join(one.columns)}) with {', '.join(tied)}"
        for table in schema.tables
        for one in table.constraints
        if (tied := _tied(schema, table, one))
    ]
    if problems:
        raise SchemaError(
            "Expected constraints on columns that a generator draws.",
            "Some name identifiers, keys or free text, which are fabricated apart from the rest.",
            "Remove these constraints, or change the kind and disclosure of the columns if they identify nobody.",
            problems=problems,
        )


def _structural(schema: Schema, table: Table) -> tuple[str, ...]:
    """Columns that number rows: of role subject, key and link, link columns, and the columns that links point to."""
    names = {column.name for column in table.columns if column.role in {"subject", "key", "link"}}
    names |= {link.column for link in table.links}
    names |= {link.to_column for other in schema.tables for link in other.links if link.to_table == table.name}
    return tuple(name for name in table.names if name in names)


def _owner(schema: Schema, table: Table, name: str) -> Place:
    """Follow links to the table and column whose numbers a structural column holds."""
    seen = {(table.name, name)}
    while True:
        link = next((link for link in table.links if link.column == name), None)
        if link is not None and (link.to_table, link.to_column) not in seen:
            table, name = schema[link.to_table], link.to_column
            seen.add((table.name, name))
            continue
        home = _subject_place(schema)
        if link is None and table[name].role == "subject" and home is not None and table.name != home[0]:
            return home
        return table.name, name


def _subject_place(schema: Schema) -> Place | None:
    """The column of the parent table that names subjects."""
    key = subject_key(schema, schema.parent) or schema.parent.with_role("key")
    return None if key is None else (schema.parent.name, key)


def _places(schema: Schema) -> list[Place]:
    return list(
        dict.fromkeys(_owner(schema, table, name) for table in schema.tables for name in _structural(schema, table))
    )


def _is_flat(dataset: Dataset) -> bool:
    schema = dataset.schema
    if len(schema.tables) > 1:
        return False
    key = subject_key(schema, schema.parent)
    return key is None or dataset.n_subjects == dataset.table.height


def _core_schema(schema: Schema, flat: bool, gone: tuple[Place, ...]) -> Schema:
    tables = []
    for table in schema.tables:
        structural = _structural(schema, table)
        columns = [
            Column(column.name, "integer", role=column.role, nullable=column.nullable)
            if column.name in structural
            else column
            for column in table.columns
            if not (flat and column.name in structural) and (table.name, column.name) not in gone
        ]
        tables.append(table.replace_columns(columns))
    return replace(schema, tables=tuple(tables))


def _numbered(dataset: Dataset, flat: bool) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """Return all tables with structural columns as numbers, and where numbers are lacking."""
    schema = dataset.schema
    lost: list[str] = []
    numbers: dict[Place, pl.DataFrame] = {}
    for place in _places(schema):
        values = dataset.tables[place[0]][place[1]].drop_nulls().unique(maintain_order=True)
        numbers[place] = pl.DataFrame({"cell": values, "number": np.arange(len(values), dtype=np.int64)})
    tables = {}
    for table in schema.tables:
        frame = dataset.tables[table.name]
        if flat:
            tables[table.name] = frame.drop(_structural(schema, table))
            continue
        for name in _structural(schema, table):
            known = numbers[_owner(schema, table, name)]
            cells = frame.select(pl.col(name).alias("cell"))
            if cells["cell"].dtype != known["cell"].dtype:
                known = known.with_columns(pl.col("cell").cast(cells["cell"].dtype, strict=False))
            found = cells.join(known, on="cell", how="left", maintain_order="left")["number"]
            if more := found.null_count() - frame[name].null_count():
                lost.append(f"{table.name}.{name}: {more:,} rows")
            frame = frame.with_columns(found.alias(name))
        tables[table.name] = frame
    return tables, lost


def _room(most: int) -> int:
    return 1 if most <= 1 else 1 << max(3, (2 * most - 1).bit_length())


def _span(ids: pl.Series) -> tuple[int, int] | None:
    """Return about the lowest and highest id: the fifth from either end, moved out by the mean gap, no id itself."""
    k = MIN_SUBJECTS
    if len(ids) < 4 * k:
        return None
    ordered = ids.sort().to_numpy()
    low, high = float(ordered[k - 1]), float(ordered[-k])
    gap = (high - low) / (len(ordered) - 2 * k + 1)
    reach = gap * (k - 0.5)
    floor = round(low - reach)
    return (max(floor, 1) if ordered[0] > 0 else floor), round(high + reach)


def _spread(low: int, high: int, numbers: NDArray[np.int64], seed: int, place: Place) -> pl.Series:
    """Number rows within a span of whole numbers; when it is full, within the next of the same width, and so on."""
    size = high - low + 1
    block = numbers // size
    out = np.empty(len(numbers), dtype=np.int64)
    for b in np.unique(block):
        rows = np.flatnonzero(block == b)
        inner = permute((numbers[rows] % size).astype(np.uint64), size, seed, "identifiers", *place, int(b))
        out[rows] = inner.astype(np.int64) + low + b * size
    return pl.Series("id", out)


def _between(low: int, high: int, numbers: NDArray[np.int64], seed: int, place: Place) -> pl.Series:
    size = high - low + 1
    if int(numbers.max(initial=0)) >= size:
        raise InfeasibleError(
            f"Expected at most {size:,} ids in {place[0]}.{place[1]}, as its bounds in the schema allow.",
            "More are needed.",
            "Remove the bounds of this column from the schema.",
        )
    inner = permute(numbers.astype(np.uint64), size, seed, "identifiers", *place)
    return pl.Series("id", inner.astype(np.int64) + low)
