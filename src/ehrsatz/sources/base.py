"""The one interface of every source, and what all of them share: limits, sampling, inference, checks.

A source opens what it is given as `Raw` tables: names, an estimate of the size, and blocks of cells. The rest is the
same for all: refuse what does not fit, read it or a sample by subject, guess the schema or apply the one given, check
subject and target, and return a `Dataset`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
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

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".psv")
PARQUET_SUFFIXES = (".parquet", ".pq")
DATABASE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".duckdb")


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


def kind_of(what: Any) -> str:
    """Return the registry name of the source that reads this: csv, parquet, sql or frame.

    Parameters
    ----------
    what
        A path, a folder, several paths as list or mapping, a database address such as "sqlite:///clinic.db", a frame of
        any library, or a mapping of frames.

    Raises
    ------
    SourceError
        When the path does not exist, or its ending names no format that is read here.

    Examples
    --------
    >>> kind_of("postgresql://user@host/clinic")
    'sql'
    """
    if isinstance(what, Mapping):
        if not what:
            raise SourceError("Expected at least one table.", "The mapping is empty.", "Give a mapping name -> table.")
        return _one_kind([kind_of(item) for item in what.values()])
    if isinstance(what, (list, tuple)):
        if not what:
            raise SourceError("Expected at least one path.", "The list is empty.", "Give the files to read.")
        return _one_kind([kind_of(item) for item in what])
    if not isinstance(what, (str, Path)):
        return "frame"
    text = str(what)
    if "://" in text:
        return "sql"
    path = Path(text)
    if not path.exists():
        raise SourceError(f"Expected '{path.name}' to exist.", "There is no such file or folder.", "Check the path.")
    if path.is_dir():
        endings = {_ending(item) for item in path.iterdir() if item.is_file()}
        kinds = [kind for kind in ("csv", "parquet") if kind in {_BY_SUFFIX.get(ending) for ending in endings}]
        if len(kinds) == 1:
            return kinds[0]
        found = "both" if kinds else "neither"
        raise SourceError(
            f"Expected CSV or Parquet files in the folder '{path.name}'.",
            f"It holds {found}.",
            "Name the files instead.",
        )
    kind = _BY_SUFFIX.get(_ending(path))
    if kind is None:
        raise SourceError(
            f"Expected '{path.name}' to end in one of: {', '.join(sorted(_BY_SUFFIX))}.",
            "Its ending names no format that is read here.",
            "Rename the file, or export it as CSV.",
        )
    return kind


def files_of(what: Any, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return table name -> file of a path, a folder, several paths or a mapping of paths, sorted within a folder.

    Raises
    ------
    SourceError
        When a file is absent, a folder holds none, or two files would give one table name.
    """
    if isinstance(what, Mapping):
        named = [(str(name), Path(path)) for name, path in what.items()]
    else:
        paths: list[Path] = []
        for item in what if isinstance(what, (list, tuple)) else [what]:
            path = Path(item)
            if path.is_dir():
                inside = sorted(one for one in path.iterdir() if one.is_file() and _ending(one) in suffixes)
                if not inside:
                    raise SourceError(
                        f"Expected files ending in {', '.join(suffixes)} in the folder '{path.name}'.",
                        "It holds none.",
                        "Check the path.",
                    )
                paths += inside
            else:
                paths.append(path)
        named = [(table_name(path), path) for path in paths]
    for _, path in named:
        if not path.is_file():
            raise SourceError(f"Expected '{path.name}' to be a file.", "There is no such file.", "Check the path.")
    names = [table for table, _ in named]
    twice = sorted({table for table in names if names.count(table) > 1})
    if twice or not named:
        raise SourceError(
            "Expected files whose names differ, to name tables after.",
            f"More than one file gives the table: {', '.join(twice)}.",
            "Give a mapping name -> path.",
        )
    return dict(named)


def table_name(path: Path) -> str:
    """Return a file's name without its endings.

    Examples
    --------
    >>> table_name(Path("data/visits.csv.gz"))
    'visits'
    """
    name = path.name.removesuffix(".gz")
    return Path(name).stem or name


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


def _one_kind(kinds: list[str]) -> str:
    if len(set(kinds)) == 1:
        return kinds[0]
    raise SourceError(
        "Expected tables of one format.",
        f"Found {', '.join(sorted(set(kinds)))} together.",
        "Read them apart, or export them in one format.",
    )


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


_BY_SUFFIX = {
    **dict.fromkeys(CSV_SUFFIXES, "csv"),
    **dict.fromkeys(PARQUET_SUFFIXES, "parquet"),
    **dict.fromkeys(DATABASE_SUFFIXES, "sql"),
}
