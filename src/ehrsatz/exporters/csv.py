"""CSV files that spell cells as the source did: its date format, its Y/N or 0/1, its ".0", its token for missing.

UTF-8, comma, "\\n", one header line; a cell is quoted only where it must be. Dates without a known format are ISO 8601.
Reading a file back with its schema gives the same cells: a spelling that cannot hold a cell (a day alone for a time of
day, two digits for a year of another century) gives way to the next of the column, and in the end to ISO 8601.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from ehrsatz.exporters.base import Tables
from ehrsatz.schema import NUMBER_FORMAT, UNREADABLE, Column, Table, boolean_words

ISO_DAY, ISO_TIME = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f"
CENTURY = (1969, 2068)  # the years that two digits stand for, as strptime reads them


class CsvExporter(Tables):
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

    Where a column was spelled in several ways, the commonest that can hold a cell is written; a missing cell as the
    first entry of `Column.missing`, blank where that is "" or there is none.
    """
    cell = pl.col(column.name)
    if column.kind in {"date", "datetime"}:
        cell = _time(cell, column)
    elif column.kind == "boolean":
        yes, no = boolean_words(column.format)
        cell = pl.when(cell).then(pl.lit(yes)).when(~cell).then(pl.lit(no))
    elif column.kind in {"integer", "number"} and column.format:
        cell = _number(cell, column)
    token = next((one for one in column.missing if one != UNREADABLE), "")
    if token:
        cell = cell.cast(pl.String).fill_null(token)
    return cell.alias(column.name)


def _time(cell: pl.Expr, column: Column) -> pl.Expr:
    """Dates and times as text: per cell the first format that loses nothing of it."""
    cell = cell.cast(pl.Datetime("us"))
    ways = []
    plain = [ISO_DAY] if column.kind == "date" else []  # a time of day is never left out where nobody left it out
    for format_ in column.format.split("|") if column.format else plain:
        fits = cell.dt.truncate(_step(format_)) == cell
        if "%y" in format_:
            fits = fits & cell.dt.year().is_between(*CENTURY)
        ways.append(pl.when(fits).then(_strftime(cell, format_.replace("%#z", "+00:00"))))  # the cells are UTC
    return pl.coalesce(*ways, cell.dt.strftime(ISO_TIME))


def _step(format_: str) -> str:
    """The shortest time that a format tells apart, as Polars names it."""
    if "%H" not in format_ and "%I" not in format_:
        return "1d"
    return "1us" if "%.f" in format_ else "1s" if "%S" in format_ else "1m"


def _strftime(cell: pl.Expr, format_: str) -> pl.Expr:
    if "%.f" not in format_:
        return cell.dt.strftime(format_)
    thousandths = (cell.dt.microsecond() % 1000 == 0).all()  # one width for the whole column
    return (
        pl.when(thousandths)
        .then(cell.dt.strftime(format_.replace("%.f", "%.3f")))
        .otherwise(cell.dt.strftime(format_.replace("%.f", "%.6f")))
    )


def _number(cell: pl.Expr, column: Column) -> pl.Expr:
    match = NUMBER_FORMAT.fullmatch(column.format or "")
    if match is None:
        return cell
    sign, style, percent = match.group("sign", "style", "percent")
    text = cell.map_batches(_digits, return_dtype=pl.String)
    minus = pl.when(text.str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit(""))
    text = text.str.strip_prefix("-")
    if column.kind == "integer" and style in {".0", ",.0", "0,0", "0.000,0"}:  # 145.0, and 145,0
        text = text + ".0"
    if style in {",", ",.0", "0.000,0"}:
        whole = text.str.replace(r"\..*$", "").str.reverse().str.replace_all(r"(\d{3})", "${1},").str.reverse()
        text = whole.str.strip_prefix(",") + text.str.extract(r"(\..*)$").fill_null("")
    if style in {"0,0", "0.000,0"}:
        text = text.str.replace_many([",", "."], [".", ","])
    return minus + sign + text + percent


def _digits(cells: pl.Series) -> pl.Series:
    """Numbers as text without powers of ten, the shortest that reads back equal."""
    texts = cells.cast(pl.String)
    powers = texts.str.contains("e", literal=True).fill_null(False)
    if not powers.any():
        return texts
    spelled = [np.format_float_positional(number, trim="0") for number in cells.filter(powers)]
    return texts.scatter(powers.arg_true(), pl.Series(spelled, dtype=pl.String))
