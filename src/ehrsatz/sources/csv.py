"""CSV, TSV and other delimited text, plain or gzip: one file is one table, several files or a folder several tables.

All cells are read as text first, so that ZIP codes and ICD codes keep their zeros; kinds are decided afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz.sources import delimited
from ehrsatz.sources.base import Raw, Source
from ehrsatz.sources.paths import CSV_SUFFIXES, files_of


@dataclass
class _Delimited(Raw):
    path: Path = Path()
    layout: delimited.Layout | None = None

    def blocks(self) -> Iterator[pl.DataFrame]:
        assert self.layout is not None
        return delimited.blocks(self.path, self.layout)


class CsvSource(Source):
    """Read delimited text; options `encoding` and `delimiter` name what is otherwise found out."""

    name: ClassVar[str] = "csv"

    def _open(self, what: Any, *, encoding: str | None = None, delimiter: str | None = None) -> list[Raw]:  # type: ignore[override]
        parts: list[Raw] = []
        for table, path in files_of(what, CSV_SUFFIXES).items():
            layout = delimited.inspect(path, encoding=encoding, delimiter=delimiter)
            notes: dict[str, Any] = {}
            if layout.encoding != "utf-8":
                notes["encoding"] = layout.encoding
            if layout.delimiter != ",":
                notes["delimiter"] = layout.delimiter
            if layout.renamed:
                notes["columns without a name in the header"] = list(layout.renamed)
            parts.append(
                _Delimited(
                    table, layout.header, layout.n_rows, layout.bytes_per_row, notes=notes, path=path, layout=layout
                )
            )
        return parts
