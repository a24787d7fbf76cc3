"""What every exporter shares: refuse real rows, check names, write aside and rename.

An exporter writes one file per table. A file appears whole or not at all: it is written under a hidden name beside
its place, flushed to disk and renamed. The bytes depend on the dataset and the options alone.
"""

from __future__ import annotations

import errno
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import EhrsatzError, OutputError, UnsupportedError
from ehrsatz.schema import Table

_SAFE_NAME = re.compile(r"[^\W.][\w .-]*")


class Exporter(ABC):
    """Write a dataset as files of one format.

    A subclass gives the class attributes below, `_write` for one table and `_read_back` for one file.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    needs: ClassVar[Literal["any", "clinical"]] = "any"

    def write(self, dataset: Dataset, folder: str | Path, *, allow_real: bool = False) -> tuple[Path, ...]:
        """Write one file per table into a folder and return their paths, in the order of the schema.

        Parameters
        ----------
        dataset
            What to write.
        folder
            Created when absent; a file of the same name in it is refused, never replaced.
        allow_real
            Also write data whose origin is "real" or "mixed".

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
        paths = [target / self.file_name(table.name) for table in dataset.schema.tables]
        taken = [path.name for path in paths if path.exists()]
        if taken:
            raise OutputError(
                "Expected a folder without these files.",
                f"Present already: {', '.join(taken)}.",
                "Name another folder.",
            )
        with writing("the folder"):
            target.mkdir(parents=True, exist_ok=True)
        for table, path in zip(dataset.schema.tables, paths, strict=True):
            with aside(path) as partial:
                self._write_table(dataset, table, partial)
        return tuple(paths)

    def check(self, folder: str | Path) -> list[str]:
        """Read every file of this format in a folder back and return the problems found, without any cell value."""
        target = Path(folder)
        paths = sorted(target.glob(f"*{self.suffix}"))
        if not paths:
            return [f"no *{self.suffix} file found"]
        problems = []
        for path in paths:
            found = self._read_back(path)
            if found:
                problems.append(f"{path.name}: {found}")
        return problems

    def file_name(self, table: str) -> str:
        """Return the file name of a table, after checking that it is one.

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
        return f"{table}{self.suffix}"

    def _write_table(self, dataset: Dataset, table: Table, path: Path) -> None:
        """Write one table; a format that can carry where rows came from overrides this."""
        self._write(dataset.tables[table.name], table, path)

    @abstractmethod
    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None: ...

    @abstractmethod
    def _read_back(self, path: Path) -> str: ...


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the operating system's refusal to write into an `OutputError` that names no path.

    Parameters
    ----------
    what
        What was to be written, as in "data/patients.csv".
    """
    try:
        yield
    except EhrsatzError:
        raise
    except OSError as error:
        raise output_error(what, error) from None
    except pl.exceptions.PolarsError as error:
        if "os error" not in str(error):
            raise
        raise output_error(what, OSError(str(error))) from None


_ADVICE: dict[int | None, str] = {
    errno.ENOSPC: "Free some space, or name a folder on another disk; nothing half written was left.",
    errno.EDQUOT: "Free some space, or name a folder on another disk; nothing half written was left.",
    errno.EACCES: "Name a folder that you may write to.",
    errno.EPERM: "Name a folder that you may write to.",
    errno.EROFS: "Name a folder that you may write to.",
    None: "Check the folder and its disk, or name another one.",
}
_REASON = {
    errno.ENOSPC: "The disk is full.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EACCES: "Writing there is not permitted.",
    errno.EPERM: "Writing there is not permitted.",
    errno.EROFS: "The disk is read-only.",
    errno.ENOTDIR: "A part of the path is a file, no folder.",
    errno.EEXIST: "Something of that name is there already.",
}


def output_error(what: str, error: OSError) -> OutputError:
    """Return the `OutputError` for an operating-system error."""
    named = re.search(r"os error (\d+)", str(error))  # Polars says it in words
    number = error.errno if error.errno is not None or named is None else int(named[1])
    reason = _REASON.get(number or 0, f"The system refused it ({errno.errorcode.get(number or 0, 'unknown reason')}).")
    return OutputError(f"Expected to write {what}.", reason, _ADVICE.get(number, _ADVICE[None]))


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a hidden path to write to; on success flush it and rename it to `path`, on failure remove it."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with writing(path.name):
            yield partial
            flush(partial)
            partial.rename(path)
    except BaseException:  # also an interrupt: nothing half written stays
        partial.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Make the system write a file (or a folder's entries) to disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
