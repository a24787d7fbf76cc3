"""The one interface of every source, and what all of them share: limits, sampling, inference, checks.

A source opens what it is given as `Raw` tables: names, an estimate of the size, and blocks of cells. The rest is the
same for all: refuse what does not fit, read it or a sample by subject, guess the schema or apply the one given, check
subject and target, and return a `Dataset`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl

from ehrsatz import __version__
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, SourceError, nearest
from ehrsatz.provenance import Origin, Provenance, Step
from ehrsatz.schema import Link, Schema
from ehrsatz.sources import limits
from ehrsatz.sources.apply import apply
from ehrsatz.sources.infer import infer
from ehrsatz.sources.paths import kind_of

__all__ = ["Raw", "Source", "check_target", "kind_of"]


@dataclass
class Raw(ABC):
    """A table before it is read: names and estimated size are known, cells come in blocks, as often as asked.

    `n_rows` is exact or an estimate, `row_bytes` the bytes of cells per row; `notes` go into the provenance.
    """

    name: str
    names: tuple[str, ...]
    n_rows: int
    row_bytes: float
    links: tuple[Link, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @abstractmethod
    def blocks(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, all columns, in their order; at least one frame, maybe without rows."""

    def whole(self) -> pl.DataFrame:
        """Return all rows as one frame."""
        parts = list(self.blocks())
        if not parts:
            return pl.DataFrame({name: [] for name in self.names}, schema=dict.fromkeys(self.names, pl.String))
        return pl.concat(parts, how="vertical_relaxed").rechunk()


class Source(ABC):
    """Read one format as a `Dataset`. A subclass gives `name` and `_open`."""

    name: ClassVar[str]

    def read(
        self,
        what: Any,
        *,
        subject: str | None = None,
        target: str | None = None,
        schema: Schema | None = None,
        name: str | None = None,
        max_memory_bytes: int | None = None,
        sample_subjects: int | None = None,
        seed: int = 0,
        origin: Origin = "real",
        **options: Any,
    ) -> Dataset:
        """Read tables with a guessed or a given schema.

        Parameters
        ----------
        what
            Path, folder, several paths, address of a database, or frames: what the source reads.
        subject
            Column that says whose row it is; None means guess by name.
        target
            Column that must be there and vary; nothing else is done with it.
        schema
            Wins over every guess; a disagreement with the data is an error.
        name
            Name of the schema, and of the table where there is one; None means the source's own.
        max_memory_bytes
            Data that need more are refused; None means a share of the memory that is free.
        sample_subjects
            Read only the rows of so many subjects (of rows, without a subject column), drawn by `seed`.
        seed
            Decides the sample.
        origin
            Where the rows came from.
        options
            What the source itself takes besides.

        Raises
        ------
        SourceError
            When nothing can be read as a table.
        SchemaError
            When the data disagree with the schema.
        DataError
            When the subject or target column does not serve, there are too few rows, or too many for the memory.
        """
        parts = self._open(what, **options)
        if name is not None and len(parts) == 1:
            parts[0].name = name
        if sample_subjects is None:
            limits.check_size(parts, max_memory_bytes)
            frames = {part.name: part.whole() for part in parts}
        else:
            limits.check_size([replace_rows(part) for part in parts], max_memory_bytes)
            frames = limits.sample(parts, int(sample_subjects), subject, int(seed))
        _check_rows(frames)
        title = name or (parts[0].name if len(parts) == 1 else "tables")
        if schema is None:
            declared = {part.name: part.links for part in parts if part.links}
            found, frames = infer(frames, name=title, subject=subject, links=declared)
            provenance = self._provenance(parts, frames, found, sample_subjects, seed, origin)
            dataset = Dataset(found, frames, provenance)
        else:
            wanted = _with_subject(schema, subject)
            provenance = self._provenance(parts, frames, wanted, sample_subjects, seed, origin)
            dataset = apply(frames, wanted, provenance)
        if target is not None:
            check_target(dataset, target)
        return dataset

    @abstractmethod
    def _open(self, what: Any, **options: Any) -> list[Raw]:
        """Return the tables of what was given, at least one."""

    def _provenance(
        self,
        parts: list[Raw],
        frames: Mapping[str, pl.DataFrame],
        schema: Schema,
        sampled: int | None,
        seed: int,
        origin: Origin,
    ) -> Provenance:
        params: dict[str, Any] = {"rows": limits.counts(frames)}
        notes = {part.name: part.notes for part in parts if part.notes}
        if notes:
            params["notes"] = notes
        if sampled is not None:
            params["sample_subjects"] = sampled
        step = Step("read", self.name, __version__, params, seed if sampled is not None else None, schema.fingerprint)
        return Provenance(origin, (step,))


def check_target(dataset: Dataset, target: str) -> None:
    """Check that a column of some table has this name and more than one value.

    Raises
    ------
    DataError
        When it is absent, all missing, or constant.
    """
    table_name_, _, column = target.rpartition(".")
    names = [name for table in dataset.schema.tables for name in table.names]
    holders = [t for t in dataset.schema.tables if target in t.names]
    if not holders and column:
        holders = [t for t in dataset.schema.tables if t.name == table_name_ and column in t.names]
        target = column if holders else target
    if not holders:
        raise DataError(
            f"Expected a target column named '{target}'.",
            f"None of the {len(names)} columns has that name.{nearest(target, names)}",
            "Name a column of the data with --target.",
        )
    table = dataset.schema.parent if dataset.schema.parent in holders else holders[0]
    n = dataset.tables[table.name][target].drop_nulls().n_unique()
    if n < 2:
        raise DataError(
            f"Expected the target '{table.name}.{target}' to have at least 2 values.",
            "It is empty." if n == 0 else "It is constant.",
            "Name another column with --target.",
        )


def replace_rows(part: Raw) -> Raw:
    """Return the table with no rows to hold, for limits that do not depend on the number of rows."""
    return _Sized(part.name, part.names, 0, part.row_bytes)


class _Sized(Raw):
    def blocks(self) -> Iterator[pl.DataFrame]:
        yield from ()


def _check_rows(frames: Mapping[str, pl.DataFrame]) -> None:
    empty = [name for name, frame in frames.items() if frame.height == 0]
    if empty:
        raise SourceError(
            "Expected tables with rows.", f"No row in: {', '.join(empty)}.", "Leave these tables out, or fill them."
        )
    bare = [name for name, frame in frames.items() if frame.width == 0]
    if bare:
        raise SourceError("Expected tables with columns.", f"No column in: {', '.join(bare)}.", "Leave them out.")
    if max(frame.height for frame in frames.values()) < 2:
        raise DataError(
            "Expected at least 2 rows to learn from.",
            "1 row found.",
            "Give more rows; one row cannot be split or hidden.",
        )


def _with_subject(schema: Schema, subject: str | None) -> Schema:
    """Give the named column the role of subject, where the schema does not already use it as one or as a key."""
    if subject is None:
        return schema
    holders = [table for table in schema.tables if subject in table.names]
    if not holders:
        names = [name for table in schema.tables for name in table.names]
        raise DataError(
            f"Expected a subject column named '{subject}'.",
            f"The schema has none.{nearest(subject, names)}",
            "Name a column of the schema with --subject.",
        )
    for table in holders:
        if table[subject].role in {"subject", "link"} or (table[subject].role == "key" and len(schema.tables) > 1):
            continue
        columns = [
            replace(column, role="subject")
            if column.name == subject
            else replace(column, role="attribute")
            if column.role == "subject"
            else column
            for column in table.columns
        ]
        schema = schema.replace_table(replace(table, columns=tuple(columns)))
    return schema
