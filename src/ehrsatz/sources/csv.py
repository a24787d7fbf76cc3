"""CSV, TSV and other delimited text, plain or gzip: one file is one table, several files or a folder several tables.

A folder may hold a table in parts, each with the header line; a part may be without rows.
All cells are read as text first, so that ZIP codes and ICD codes keep their zeros; kinds are decided afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.sources import delimited
from ehrsatz.sources.base import Raw, Source
from ehrsatz.sources.paths import CSV_SUFFIXES, files_of


@dataclass
class _Delimited(Raw):
    files: tuple[tuple[Path, delimited.Layout], ...] = ()

    def blocks(self) -> Iterator[pl.DataFrame]:
        for path, layout in self.files:
            yield from delimited.blocks(path, layout)


class CsvSource(Source):
    """Read delimited text; options `encoding` and `delimiter` name what is otherwise found out."""

    name: ClassVar[str] = "csv"

    def _open(self, what: Any, *, encoding: str | None = None, delimiter: str | None = None) -> list[Raw]:  # type: ignore[override]
        parts: list[Raw] = []
        for table, paths in files_of(what, CSV_SUFFIXES).items():
            filled = [path for path in paths if len(paths) == 1 or _has_rows(path)] or [paths[0]]
            layouts = [delimited.inspect(path, encoding=encoding, delimiter=delimiter) for path in filled]
            layout = layouts[0]
            if any(one.header != layout.header for one in layouts):
                raise SourceError(
                    f"Expected all parts of the table '{table}' to have the same columns.",
                    f"{sum(one.header != layout.header for one in layouts)} of {len(layouts)} have others.",
                    "Read them as tables of their own, or make them alike.",
                )
            notes: dict[str, Any] = {}
            if layout.encoding != "utf-8":
                notes["encoding"] = layout.encoding
            if layout.delimiter != ",":
                notes["delimiter"] = layout.delimiter
            if layout.renamed:
                notes["columns without a name in the header"] = list(layout.renamed)
            n_rows = sum(one.n_rows for one in layouts)
            per_row = sum(one.bytes_per_row * one.n_rows for one in layouts) / max(1, n_rows)
            files = tuple(zip(filled, layouts, strict=True))
            parts.append(_Delimited(table, layout.header, n_rows, per_row, notes=notes, files=files))
        return parts


def _has_rows(path: Path) -> bool:
    """Whether more than the header line stands in a part; what cannot be told here is left to the reader."""
    if path.suffix == ".gz":
        return True
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    return len(head) == 1 << 16 or bool(head.strip().partition(b"\n")[2])
