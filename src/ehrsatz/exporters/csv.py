"""CSV files that spell cells as the source did: its date format, its Y/N or 0/1, its ".0", its token for missing.

UTF-8, comma, "\\n", one header line; a cell is quoted only where it must be. Dates without a known format are ISO 8601.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.exporters.base import Exporter
from ehrsatz.schema import Column, Table

_TRUE = frozenset({"1", "t", "true", "y", "yes", "j", "ja", "o", "oui", "s", "si", "sí", "x", "positive", "pos"})


class CsvExporter(Exporter):
    """One CSV file per table, in the source's own spelling."""

    name: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"

    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None:
        frame.select([spell(column) for column in table.columns]).write_csv(path, line_terminator="\n")

    def _read_back(self, path: Path) -> str:
        try:
            frame = pl.read_csv(path, infer_schema=False)
        except pl.exceptions.NoDataError:
            return "it is empty"
        except pl.exceptions.PolarsError:
            return "it cannot be read as CSV"
        return "" if frame.width else "it has no column"


def spell(column: Column) -> pl.Expr:
    """Return the expression that writes a column's cells as text (or as numbers) in the source's spelling."""
    cell = pl.col(column.name)
    if column.kind in {"date", "datetime"}:
        iso = "%Y-%m-%d" if column.kind == "date" else "%Y-%m-%d %H:%M:%S%.f"
        cell = cell.dt.strftime(column.format or iso)
    elif column.kind == "boolean":
        yes, no = boolean_words(column.format)
        cell = pl.when(cell).then(pl.lit(yes)).when(~cell).then(pl.lit(no))
    elif column.kind == "integer" and column.format == ".0":
        cell = cell.cast(pl.String) + ".0"
    if column.missing:
        cell = cell.cast(pl.String).fill_null(column.missing[0])
    return cell.alias(column.name)


def boolean_words(spelling: str | None) -> tuple[str, str]:
    """Return how a boolean column's format ("Y/N", "0/1") spells true and false.

    The usual word for yes is true wherever it stands; of two unknown words the first is true.
    """
    first, _, second = (spelling or "true/false").partition("/")
    if second.strip().lower() in _TRUE and first.strip().lower() not in _TRUE:
        return second, first
    return first, second
