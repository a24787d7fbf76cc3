"""Parquet files: typed columns, missing as null, compressed with zstd, and fabricated rows marked as such."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import __version__
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Tables
from ehrsatz.schema import Table

ROW_GROUP = 131_072  # rows; fixed, so that equal tables give equal bytes on any machine
MARK, BY = "ehrsatz", "ehrsatz version"  # keys of the file's own metadata
SYNTHETIC = "synthetic"


class ParquetExporter(Tables):
    """One Parquet file per table; the metadata of a file of fabricated rows say that they are synthetic."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    bytes_per_row: ClassVar[float] = 16.0

    def _write_table(self, dataset: Dataset, table: Table, path: Path) -> None:
        made = dataset.provenance.origin in {"generated", "simulated"}
        _put(dataset.tables[table.name], path, {MARK: SYNTHETIC, BY: __version__} if made else None)

    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None:
        _put(frame, path, None)

    def _read_back(self, path: Path) -> str:
        try:
            pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError):
            return "it cannot be read as Parquet"
        return ""


def mark_of(path: str | Path) -> str | None:
    """Return the version of ehrsatz that marked a Parquet file as synthetic, or None where it bears no mark.

    Raises
    ------
    OSError, ValueError
        When it cannot be read as Parquet.
    """
    import pyarrow.parquet as pq

    told = pq.read_metadata(str(path)).metadata or {}
    if told.get(MARK.encode()) != SYNTHETIC.encode():
        return None
    return told.get(BY.encode(), b"unknown").decode("utf-8", "replace")


def _put(frame: pl.DataFrame, path: Path, metadata: dict[str, str] | None) -> None:
    frame.rechunk().write_parquet(
        path, compression="zstd", compression_level=3, row_group_size=ROW_GROUP, metadata=metadata
    )
