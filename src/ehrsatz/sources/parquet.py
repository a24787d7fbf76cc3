"""Parquet files: one file is one table, several files or a folder several tables; a folder may hold a table in parts.

The file's types are kept as far as they tell more than text would: whole numbers in a floating column, dates as
strings and 0/1 as integers are still recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ehrsatz.errors import SourceError
from ehrsatz.sources.base import Raw, Source
from ehrsatz.sources.paths import PARQUET_SUFFIXES, files_of


@dataclass
class _Parquet(Raw):
    paths: tuple[Path, ...] = ()

    def blocks(self) -> Iterator[pl.DataFrame]:
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for group in range(max(1, file.num_row_groups)):
                    arrow = file.read_row_group(group) if file.num_row_groups else file.read()
                    frame = pl.from_arrow(arrow)
                    assert isinstance(frame, pl.DataFrame)
                    yield frame


class ParquetSource(Source):
    """Read Parquet files."""

    name: ClassVar[str] = "parquet"

    def _open(self, what: Any) -> list[Raw]:  # type: ignore[override]
        parts: list[Raw] = []
        for table, paths in files_of(what, PARQUET_SUFFIXES).items():
            opened = [_opened(path) for path in paths]
            names, kinds = opened[0][1].names, opened[0][1].types
            if any(schema.names != names or schema.types != kinds for _, schema in opened):
                raise SourceError(
                    f"Expected all parts of the table '{table}' to have the same columns and types.",
                    f"{sum(schema.names != names or schema.types != kinds for _, schema in opened)} of {len(opened)} "
                    "have others.",
                    "Read them as tables of their own, or make them alike.",
                )
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise SourceError(
                    f"Expected every column of '{paths[0].name}' to have its own name.",
                    f"Named more than once: {', '.join(twice[:10])}.",
                    "Rename the columns.",
                )
            bytes_ = sum(meta.row_group(i).total_byte_size for meta, _ in opened for i in range(meta.num_row_groups))
            n_rows = sum(meta.num_rows for meta, _ in opened)
            per_row = max(bytes_ / max(1, n_rows), 8.0 * len(names))
            parts.append(_Parquet(table, tuple(names), n_rows, per_row, paths=paths))
        return parts


def _opened(path: Path) -> tuple[pq.FileMetaData, pa.Schema]:
    try:
        return pq.read_metadata(path), pq.read_schema(path)
    except (pa.ArrowException, OSError):
        raise SourceError(
            f"Expected '{path.name}' to be a Parquet file.",
            "It cannot be read as one.",
            "Export it again, or name its own format.",
        ) from None
