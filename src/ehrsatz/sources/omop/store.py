"""What holds a CDM: rows of a table by the names of the CDM, in its kinds.

Columns that are not there are missing cells; cells that are of another kind than the CDM's are counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ehrsatz.terminology.omop import cdm

KINDS: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "date": pl.Date,
    "datetime": pl.Datetime("us"),
    "text": pl.String,
}


@dataclass(frozen=True)
class Where:
    """Rows whose column holds one of some values.

    Parameters
    ----------
    column
        Its name in the CDM.
    values
        Numbers or texts.
    """

    column: str
    values: pl.Series


class Store(ABC):
    """A CDM that is open."""

    held: dict[str, dict[str, str]]  # table -> column of the CDM -> its name here
    others: list[str]  # tables that are none of the CDM
    ragged: Collection[str] = ()  # CSV files with lines that are longer than the first

    @abstractmethod
    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        """Return rows with columns by their names here."""

    @abstractmethod
    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        """Return how many cells of some columns are filled, other than with 0."""

    def close(self) -> None:
        """Let go of files and connections."""
        return

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        return table in self.held

    def frame(self, table: str, left: Counter[str], where: Where | None = None) -> pl.DataFrame:
        """Return rows of a table with all columns of the CDM, in its kinds.

        Parameters
        ----------
        table
            Name in the CDM; no rows where it is not there.
        left
            Counts cells of another kind.
        where
            Which rows; all where None.
        """
        fields = cdm.tables()[table]
        if table not in self.held:
            return pl.DataFrame(schema={field.name: KINDS[field.kind] for field in fields})
        here = self.held[table]
        if where is not None and where.column not in here:
            return pl.DataFrame(schema={field.name: KINDS[field.kind] for field in fields})
        present = [field for field in fields if field.name in here]
        rows = self._rows(table, [here[field.name] for field in present], where)
        rows.columns = [field.name for field in present]
        typed = rows.select(cell(field.name, rows.schema[field.name], field.kind) for field in present)
        for field in present:
            lost = rows[field.name].null_count() - typed[field.name].null_count()
            if lost and not _is_blank(rows[field.name], typed[field.name]):
                left[f"{table}.{field.name}: cells of another kind"] -= lost
        return typed.select(
            pl.col(field.name) if field.name in here else pl.lit(None, KINDS[field.kind]).alias(field.name)
            for field in fields
        )


def _is_blank(held: pl.Series, typed: pl.Series) -> bool:
    """Whether the cells that were lost hold nothing but blanks."""
    gone = held.filter(held.is_not_null() & typed.is_null())
    return gone.dtype == pl.String and bool((gone.str.strip_chars() == "").all())


def cell(name: str, held: pl.DataType, kind: str) -> pl.Expr:
    """Return a column in a kind of the CDM; what cannot be is missing."""
    one, wanted = pl.col(name), KINDS[kind]
    if isinstance(held, pl.Datetime) and held.time_zone is not None:
        one = one.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if held == pl.String and wanted != pl.String:
        text = one.str.strip_chars()
        if kind in {"integer", "number"}:
            number = text.cast(pl.Float64, strict=False)
            whole = text.cast(pl.Int64, strict=False)
            return (pl.coalesce(whole, number.cast(pl.Int64, strict=False)) if kind == "integer" else number).alias(
                name
            )
        day = text.str.slice(0, 10).str.strip_chars("T ")
        dates = pl.coalesce(day.str.to_date("%Y-%m-%d", strict=False), day.str.to_date("%Y%m%d", strict=False))
        if kind == "date":
            return dates.alias(name)
        plain = text.str.replace("T", " ", literal=True).str.replace(r"(Z|[+-]00(:?00)?)$", "")
        times = pl.coalesce(
            plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us"),
            plain.str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="us"),
            dates.cast(pl.Datetime("us")),
        )
        return times.alias(name)
    if held == wanted:
        return one
    if wanted == pl.String and held.is_float():
        return one.cast(pl.String).str.strip_suffix(".0")
    return one.cast(wanted, strict=False)
