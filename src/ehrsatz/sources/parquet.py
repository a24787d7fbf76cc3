"""Parquet files: one file is one table, several files or a folder several tables.

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
    path: Path = Path()

    def blocks(self) -> Iterator[pl.DataFrame]:
        with pq.ParquetFile(self.path) as file:
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
        for table, path in files_of(what, PARQUET_SUFFIXES).items():
            try:
                meta = pq.read_metadata(path)
                names = tuple(pq.read_schema(path).names)
            except (pa.ArrowException, OSError):
                raise SourceError(
                    f"Expected '{path.name}' to be a Parquet file.",
                    "It cannot be read as one.",
                    "Export it again, or name its own format.",
                ) from None
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise SourceError(
                    f"Expected every column of '{path.name}' to have its own name.",
                    f"Named more than once: {', '.join(twice[:10])}.",
                    "Rename the columns.",
                )
            bytes_ = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
            per_row = bytes_ / max(1, meta.num_rows)
            parts.append(_Parquet(table, names, meta.num_rows, max(per_row, 8.0 * len(names)), path=path))
        return parts
