"""A folder of CSV files that holds a CDM: names in any case, comma or tab between the cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ehrsatz.sources.omop.store import Store, Where
from ehrsatz.terminology.omop import cdm

ROWS = 50_000  # a group of rows in a copy


class Folder(Store):
    """A folder of CSV files, comma or tab between the cells.

    Parameters
    ----------
    path
        The folder.
    copies
        A folder for copies of the tables that are asked for, as Parquet, in which the rows of some people are found
        without reading all; without it the CSV files are read each time.
    """

    def __init__(self, path: Path, copies: Path | None = None) -> None:
        self._copies = copies
        self._files: dict[str, tuple[Path, str]] = {}
        self.ragged: set[str] = set()
        self.held = {}
        for file in sorted(path.iterdir()):
            table = file.name.lower().removesuffix(".csv")
            if not file.is_file() or not file.name.lower().endswith(".csv") or table not in cdm.tables():
                continue
            with file.open(encoding="utf-8-sig") as opened:
                head = opened.readline().rstrip("\r\n")
            mark = "\t" if head.count("\t") > head.count(",") else ","
            names = [one.strip().strip('"') for one in head.split(mark)]
            self._files[table] = (file, mark)
            self.held[table] = {one.lower(): one for one in names if one}
        self.others = [
            file.name
            for file in sorted(path.iterdir())
            if file.name.lower().endswith(".csv") and file.name.lower().removesuffix(".csv") not in cdm.tables()
        ]

    def _csv(self, table: str) -> pl.LazyFrame:
        file, mark = self._files[table]
        whole = pl.scan_csv(
            file,
            truncate_ragged_lines=table in self.ragged,
            separator=mark,
            infer_schema=False,
            quote_char='"' if mark == "," else None,
            encoding="utf8-lossy",
        )
        names = whole.collect_schema().names()
        return whole.rename({one: one.strip().strip('"').strip("\ufeff") for one in names})

    def _scan(self, table: str) -> pl.LazyFrame:
        if self._copies is None:
            return self._csv(table)
        copy = self._copies / f"{table}.parquet"
        if not copy.is_file():
            here = self.held[table]
            numbers = [
                here[field.name] for field in cdm.tables()[table] if field.kind == "integer" and field.name in here
            ]
            rows = self._csv(table).with_columns(_number(one).alias(one) for one in numbers)
            rows.sink_parquet(copy, compression="zstd", compression_level=1, row_group_size=ROWS)
        return pl.scan_parquet(copy)

    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        try:
            rows = self._scan(table)
            if where is not None:
                rows = rows.filter(_among(self.held[table][where.column], where.values, cast=self._copies is None))
            return rows.select(columns).collect()
        except pl.exceptions.ComputeError as error:
            if table in self.ragged or "more fields" not in str(error):
                raise
            self.ragged.add(table)  # lines with more cells than columns: those of columns are read
            return self._rows(table, columns, where)

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        here = self.held[table]
        counts = [((pl.col(here[one]) != "0") & (pl.col(here[one]) != "")).sum().alias(one) for one in columns]
        return self._csv(table).select(counts).collect(engine="streaming").to_dicts()[0] if counts else {}


def _number(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    whole = text.cast(pl.Int64, strict=False)
    return pl.coalesce(whole, text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))


def _among(name: str, values: pl.Series, *, cast: bool) -> pl.Expr:
    """Say whether a cell is one of some values; their ends alone rule out most groups of rows of a copy."""
    if not values.dtype.is_integer():
        return pl.col(name).is_in(values.implode())
    one = _number(name) if cast else pl.col(name)
    return one.is_between(values.min(), values.max()) & one.is_in(values.implode())
