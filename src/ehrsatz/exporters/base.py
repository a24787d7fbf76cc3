"""What every exporter shares: refuse real rows, check names, write aside and rename, declare what is lost.

An exporter of tables writes one file per table, one of a clinical format what the format asks for; of a cohort that is
made shard by shard each writes parts. A file appears whole or not at all: it is written under a hidden name beside its
place, flushed to disk and renamed. The bytes depend on the dataset and the options alone.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, UnsupportedError
from ehrsatz.extras import require
from ehrsatz.files import aside, flush, output_error, part_name, tables_of, writing
from ehrsatz.schema import Table

__all__ = ["Clinical", "Exporter", "Loss", "aside", "flush", "output_error", "writing"]

Put = Callable[[Path], None]

_SAFE_NAME = re.compile(r"[^\W.][\w .-]*")


@dataclass(frozen=True)
class Loss:
    """Something that a format cannot carry, declared beforehand: the reconciliation looks for nothing else.

    Parameters
    ----------
    table
        A table of the clinical schema.
    column
        Its column; None: whole rows.
    reason
        Why, in one sentence.
    rows
        The rows concerned, as an expression over the table's own columns, and over those of the rows that its links
        lead to, named "claim_id.status"; all where None.
    keeps
        What is left of the column, as an expression over the table's own columns, as a time without its seconds;
        nothing where None. It is applied to both sides, with `rows` to the reference alone.
    """

    table: str
    column: str | None
    reason: str
    rows: pl.Expr | None = None
    keeps: pl.Expr | None = None


class Exporter(ABC):
    """Write a dataset as files of one format: a subclass of `Tables` where they are tables, else of `Clinical`."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    needs: ClassVar[Literal["any", "clinical"]] = "any"
    place: ClassVar[str] = ""  # folder within the output that the files lie in
    gathers: ClassVar[bool] = False  # whether `finish` makes one thing of the parts
    losses: ClassVar[tuple[Loss, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()  # parameters of the constructor that a user may give: mapping, athena
    package: ClassVar[str | None] = None  # that it needs besides, of the extra `sql`
    bytes_per_row: ClassVar[float] = 135.0  # of clinical rows, to tell before a run whether the disk is large enough

    @classmethod
    def made(cls, settings: Mapping[str, str]) -> Self:
        """Return an exporter with those of a run's settings that concern it.

        Raises
        ------
        MissingExtraError
            When it needs a package that is not installed: told before any work.
        """
        if cls.package is not None:
            require(cls.package, extra="sql", feature=f"The format {cls.name}")
        return cls(**{name: settings[name] for name in cls.settings if name in settings})

    def ready(self) -> None:
        """Check that the settings can be used, before any work is done; most formats have none.

        Raises
        ------
        EhrsatzError
            When something is absent or wrong.
        """
        return

    def write(
        self,
        dataset: Dataset,
        folder: str | Path,
        *,
        allow_real: bool = False,
        part: int | None = None,
        tables: Collection[str] | None = None,
    ) -> tuple[Path, ...]:
        """Write one file per table into a folder and return their paths, in the order of the schema.

        Parameters
        ----------
        dataset
            What to write.
        folder
            Created when absent; a file of the same name in it is refused, never replaced.
        allow_real
            Also write data whose origin is "real" or "mixed".
        part
            Number of the shard that the dataset is, which then stands in the names; None: it is the whole.
        tables
            Names of the tables to write; all where None.

        Raises
        ------
        UnsupportedError
            When the data are real and `allow_real` is False.
        OutputError
            When the folder cannot be written, or holds such a file already.
        """
        if dataset.provenance.origin in {"real", "mixed"} and not allow_real:
            raise UnsupportedError(
                "Expected fabricated data to export.",
                f"The origin of these rows is '{dataset.provenance.origin}'.",
                "Export a generator's sample, or pass allow_real=True where real rows may leave.",
            )
        schema = loose.schema() if isinstance(self, Clinical) else dataset.schema  # learned records lack whole tables
        wanted = [table for table in schema.tables if tables is None or table.name in tables]
        target = Path(folder) / self.place
        puts = {target / name: put for name, put in self._files(dataset, wanted, part).items()}
        taken = [path.name for path in puts if path.exists()]
        if taken:
            raise OutputError(
                "Expected a folder without these files.",
                f"Present already: {', '.join(taken)}.",
                "Name another folder.",
            )
        for path, put in puts.items():
            with writing("the folder"):
                path.parent.mkdir(parents=True, exist_ok=True)
            with aside(path) as partial:
                put(partial)
        return tuple(puts)

    def finish(self, folder: str | Path) -> tuple[Path, ...]:
        """Make of the parts what a format needs as one thing, a database for example; return the files it made.

        Called once, after the last part and also after a single whole `write`. Files that are no longer needed are
        removed. Most formats have nothing to do.
        """
        return ()

    @abstractmethod
    def check(self, folder: str | Path) -> list[str]:
        """Read every file of this format in a folder back and return the problems found, without any cell value."""

    @abstractmethod
    def _files(self, dataset: Dataset, tables: Collection[Table], part: int | None) -> Mapping[str, Put]:
        """Return file name (relative to `place`) -> what writes it to a path."""


def broken_parts(folder: Path) -> list[str]:
    """Return what is wrong with the Parquet files of parts that wait to be gathered, or absent between them."""
    paths = sorted(folder.glob("*.parquet"))
    problems = [f"{folder.name}/{name}: absent between the other parts" for name in tables_of(p.stem for p in paths)[1]]
    for path in paths:
        try:
            pl.read_parquet_schema(path)
        except (pl.exceptions.PolarsError, OSError):
            problems.append(f"{folder.name}/{path.name}: it cannot be read as Parquet")
    return problems


class Tables(Exporter):
    """Write one file per table, by `_write`; `_read_back` reads a file again and says what is wrong with it."""

    def check(self, folder: str | Path) -> list[str]:
        """Read every file of this format in a folder back and return the problems found, without any cell value."""
        target = Path(folder) / self.place
        paths = sorted(target.glob(f"*{self.suffix}"))
        if not paths:
            return [f"no *{self.suffix} file found"]
        _, lacking = tables_of(path.name.removesuffix(self.suffix) for path in paths)
        problems = [f"{name}{self.suffix}: absent between the other parts" for name in lacking]
        for path in paths:
            found = self._read_back(path)
            if found:
                problems.append(f"{path.name}: {found}")
        return problems

    def file_name(self, table: str, part: int | None = None) -> str:
        """Return the file name of a table, or of a part of it, after checking that it is one.

        Raises
        ------
        OutputError
            When the table's name is no plain file name.
        """
        if not _SAFE_NAME.fullmatch(table) or len(table) > 120:
            raise OutputError(
                "Expected table names of letters, digits, spaces, '.', '_' and '-' only, to name files after.",
                "A table of the schema has another name.",
                "Rename the table in the schema file.",
            )
        return f"{part_name(table, part)}{self.suffix}"

    def _files(self, dataset: Dataset, tables: Collection[Table], part: int | None) -> Mapping[str, Put]:
        def put(table: Table) -> Put:
            return lambda path: self._write_table(dataset, table, path)

        return {self.file_name(table.name, part): put(table) for table in tables}

    def _write_table(self, dataset: Dataset, table: Table, path: Path) -> None:
        """Write one table; a format that can carry where rows came from overrides this."""
        self._write(dataset.tables[table.name], table, path)

    @abstractmethod
    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None: ...

    @abstractmethod
    def _read_back(self, path: Path) -> str: ...


class Clinical(Exporter):
    """Write the records of patients in a format that is no table: a subclass gives `_records` and `_problem`.

    The files of part 7 bear its number, as in "Patient-00007.ndjson"; a whole has none. What belongs to no patient
    (`WORLD`) is written once.
    """

    needs: ClassVar[Literal["any", "clinical"]] = "clinical"
    reader: ClassVar[str]  # registry name of the source that reads it back

    def _files(self, dataset: Dataset, tables: Collection[Table], part: int | None) -> Mapping[str, Put]:
        names = {table.name for table in tables}
        wide = loose.widen(dataset)
        return self._records(wide, part, patients="patient" in names, world=bool(names & set(WORLD)))

    @abstractmethod
    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        """Return file name (relative to `place`) -> what writes it.

        Parameters
        ----------
        dataset
            In the loose form, all tables.
        part
            Number of the shard; None: it is the whole.
        patients
            Whether to write the patients and all that is theirs.
        world
            Whether to write what belongs to no patient.
        """

    def check(self, folder: str | Path) -> list[str]:
        """Read every file of this format in a folder back and return the problems found, without any cell value."""
        target = Path(folder) / self.place
        paths = sorted(target.rglob(f"*{self.suffix}"))
        if not paths:
            return [f"no *{self.suffix} file found"]
        found = ((path, self._read_back(path)) for path in paths)
        return [f"{path.relative_to(target).as_posix()}: {problem}" for path, problem in found if problem]

    @abstractmethod
    def _read_back(self, path: Path) -> str:
        """Read a file and return what is wrong with it, or an empty text."""
