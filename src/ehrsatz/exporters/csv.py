"""CSV files that spell cells as the source did: its date format, its Y/N or 0/1, its ".0", its token for missing.

UTF-8, comma, "\\n", one header line; a cell is quoted only where it must be. Dates without a known format are ISO 8601.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.exporters.base import Exporter
from ehrsatz.schema import UNREADABLE, Column, Table

_TRUE = frozenset({"1", "1.0", "t", "true", "y", "yes", "j", "ja", "o", "oui", "s", "si", "sí", "x", "positive", "pos"})
_NUMBER = re.compile(r"([$€£¥]?)(0\.000,0|0,0|,\.0|\.0|,|)(%?)")


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
    """Return the expression that writes a column's cells as text (or as numbers) in the source's spelling.

    Where a column was spelled in several ways, the commonest is written. A number's format is a currency sign, then
    "" (plain), ".0", "," (thousands), ",.0", "0,0" (decimal comma) or "0.000,0", then "%".
    """
    cell = pl.col(column.name)
    if column.kind in {"date", "datetime"}:
        cell = cell.dt.strftime(_date_format(column))
    elif column.kind == "boolean":
        yes, no = boolean_words(column.format)
        cell = pl.when(cell).then(pl.lit(yes)).when(~cell).then(pl.lit(no))
    elif column.kind in {"integer", "number"} and column.format:
        cell = _number(cell, column)
    token = next((one for one in column.missing if one != UNREADABLE), None)
    if token is not None:
        cell = cell.cast(pl.String).fill_null(token)
    return cell.alias(column.name)


def _date_format(column: Column) -> str:
    with_time = column.kind == "datetime"
    iso = "%Y-%m-%d %H:%M:%S%.f" if with_time else "%Y-%m-%d"
    known = (column.format or iso).split("|")
    chosen = next((one for one in known if ("%H" in one or "%I" in one) == with_time), iso)
    return chosen.replace("%#z", "+00:00")  # the cells are UTC


def _number(cell: pl.Expr, column: Column) -> pl.Expr:
    match = _NUMBER.fullmatch(column.format or "")
    if match is None:
        return cell
    sign, style, percent = match.groups()
    text = cell.abs().cast(pl.String)
    if style.endswith(".0") and column.kind == "integer":
        text = text + ".0"
    if style in {",", ",.0", "0.000,0"}:
        whole = text.str.replace(r"\..*$", "").str.reverse().str.replace_all(r"(\d{3})", "${1},").str.reverse()
        text = whole.str.strip_prefix(",") + text.str.extract(r"(\..*)$").fill_null("")
    if style in {"0,0", "0.000,0"}:
        text = text.str.replace_many([",", "."], [".", ","])
    return pl.when(cell < 0).then(pl.lit("-")).otherwise(pl.lit("")) + sign + text + percent


def boolean_words(spelling: str | None) -> tuple[str, str]:
    """Return how a boolean column's format ("Y/N", "0/1") spells true and false.

    The usual word for yes is true wherever it stands; of two unknown words the first is true.
    """
    first, _, second = (spelling or "true/false").partition("/")
    if second.strip().lower() in _TRUE and first.strip().lower() not in _TRUE:
        return second, first
    return first, second
