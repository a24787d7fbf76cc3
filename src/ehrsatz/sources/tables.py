"""Tables as they stand, nothing guessed: what is checked is what was written, not what a schema made of it.

A folder may hold CSV and Parquet files together, and tables without rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.sources.csv import CsvSource
from ehrsatz.sources.frame import FrameSource
from ehrsatz.sources.parquet import ParquetSource
from ehrsatz.sources.paths import CSV_SUFFIXES, PARQUET_SUFFIXES, files_of, kind_of
from ehrsatz.sources.sql import SqlSource

SOURCES: dict[str, Any] = {"csv": CsvSource, "parquet": ParquetSource, "sql": SqlSource, "frame": FrameSource}


def tables(what: Any) -> dict[str, pl.DataFrame]:
    """Return table name -> cells of a file, a folder, a database or frames, whole, in memory.

    Parameters
    ----------
    what
        Path, folder, several paths, SQLAlchemy URL, frame, or a mapping of frames. CSV cells are text.

    Raises
    ------
    SourceError
        When nothing can be read as a table, or two files of a folder would give one table.
    """
    if isinstance(what, (str, Path)) and "://" not in str(what) and Path(what).is_dir():
        return _folder(Path(what))
    return _read(kind_of(what), what)


def _folder(path: Path) -> dict[str, pl.DataFrame]:
    out: dict[str, pl.DataFrame] = {}
    for kind, suffixes in (("csv", CSV_SUFFIXES), ("parquet", PARQUET_SUFFIXES)):
        if not any(one.name.lower().removesuffix(".gz").endswith(suffixes) for one in path.iterdir() if one.is_file()):
            continue
        for name, files in files_of(path, suffixes).items():
            if name in out:
                raise SourceError(
                    f"Expected one table '{name}' in the folder '{path.name}'.",
                    "A CSV and a Parquet file both give it.",
                    "Name the files to be read.",
                )
            bare = kind == "csv" and len(files) == 1 and _is_header_alone(files[0])
            out[name] = _header(files[0]) if bare else _read(kind, {name: files})[name]
    if not out:
        raise SourceError(
            f"Expected CSV or Parquet files in the folder '{path.name}'.", "It holds neither.", "Check the path."
        )
    return out


def _read(kind: str, what: Any) -> dict[str, pl.DataFrame]:
    named = what if isinstance(what, Mapping) or kind != "frame" else {"table": what}
    return {part.name: part.whole() for part in SOURCES[kind]()._open(named)}


def _is_header_alone(path: Path) -> bool:
    if path.suffix == ".gz":
        return False
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    return len(head) < 1 << 16 and bool(head.strip()) and not head.strip().partition(b"\n")[2]


def _header(path: Path) -> pl.DataFrame:
    """Read a table that has a header line and no row."""
    text = path.read_text(encoding="utf-8-sig").strip()
    mark = max((",", "\t", ";", "|"), key=text.count)
    names = next(csv.reader(io.StringIO(text), delimiter=mark))
    return pl.DataFrame(schema=dict.fromkeys(dict.fromkeys(names), pl.String))
