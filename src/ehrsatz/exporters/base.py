"""What every exporter shares: refuse real rows, check names, write aside and rename.

An exporter writes one file per table, or one part of each for a cohort that is made shard by shard. A file appears
whole or not at all: it is written under a hidden name beside its place, flushed to disk and renamed. The bytes depend
on the dataset and the options alone.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, UnsupportedError
from ehrsatz.files import aside, flush, output_error, part_name, tables_of, writing
from ehrsatz.schema import Table

__all__ = ["Exporter", "aside", "flush", "output_error", "writing"]

_SAFE_NAME = re.compile(r"[^\W.][\w .-]*")


class Exporter(ABC):
    """Write a dataset as files of one format.

    A subclass gives the class attributes below, `_write` for one table and `_read_back` for one file.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    needs: ClassVar[Literal["any", "clinical"]] = "any"

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
        target = Path(folder)
        wanted = [table for table in dataset.schema.tables if tables is None or table.name in tables]
        paths = [target / self.file_name(table.name, part) for table in wanted]
        taken = [path.name for path in paths if path.exists()]
        if taken:
            raise OutputError(
                "Expected a folder without these files.",
                f"Present already: {', '.join(taken)}.",
                "Name another folder.",
            )
        with writing("the folder"):
            target.mkdir(parents=True, exist_ok=True)
        for table, path in zip(wanted, paths, strict=True):
            with aside(path) as partial:
                self._write_table(dataset, table, partial)
        return tuple(paths)

    def check(self, folder: str | Path) -> list[str]:
        """Read every file of this format in a folder back and return the problems found, without any cell value."""
        target = Path(folder)
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

    def _write_table(self, dataset: Dataset, table: Table, path: Path) -> None:
        """Write one table; a format that can carry where rows came from overrides this."""
        self._write(dataset.tables[table.name], table, path)

    @abstractmethod
    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None: ...

    @abstractmethod
    def _read_back(self, path: Path) -> str: ...
