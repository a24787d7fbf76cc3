"""Any data seen as the clinical tables: columns as arrays, made when a rule asks, and only once.

Rules work on positions: a patient, an encounter or a code is the number of its row or of its level. Times are whole
seconds since 1690-01-01, so that patient and time together fit into one sortable whole number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from collections.abc import Mapping as Keyed
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import clinical
from ehrsatz.rules.mapping import Cell, Mapping, Part

T = TypeVar("T")
Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

SPAN = 1 << 34  # seconds of 544 years
ABSENT = -1  # a time that is missing
EVER = SPAN - 1  # after everything
DAY, HOUR, YEAR = 86_400, 3_600, 31_557_600
_START = datetime(1690, 1, 1)
_OFFSET = -int((_START - datetime(1970, 1, 1)).total_seconds())


def seconds(moment: datetime) -> int:
    """Return a moment as the whole number that the arrays hold."""
    return int((moment - _START).total_seconds())


@dataclass(frozen=True)
class Coded:
    """A text column as positions: `at` of shape (R,), -1 where missing, and the distinct texts."""

    at: NDArray[np.int32]
    levels: pl.Series

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The distinct texts."""
        return tuple(self.levels.to_list())

    def where(self, test: Callable[[str], bool]) -> Flags:
        """Return which rows hold a text that passes the test; missing ones do not."""
        table = np.zeros(len(self.names) + 1, dtype=bool)
        table[: len(self.names)] = [test(name) for name in self.names]
        return table[self.at]

    def one_of(self, names: Iterable[str]) -> Flags:
        """Return which rows hold one of these texts."""
        wanted = set(names)
        return self.where(lambda name: name in wanted)

    def look_up(self, values: Callable[[str], float], absent: float) -> Floats:
        """Return a number per row by its text."""
        table = np.empty(len(self.names) + 1)
        table[: len(self.names)] = [values(name) for name in self.names]
        table[-1] = absent
        return table[self.at]


class View:
    """The clinical tables of any data, through a mapping.

    Parameters
    ----------
    frames
        Foreign table name -> frame.
    mapping
        Which of them is what.
    reference
        Last moment that anything can bear, or None.
    """

    def __init__(self, frames: Keyed[str, pl.DataFrame], mapping: Mapping, reference: datetime | None = None) -> None:
        self.mapping, self.reference = mapping, reference
        self._frames = {name.casefold(): (name, frame) for name, frame in frames.items()}
        self._held: dict[Hashable, Any] = {}
        self._parts: dict[str, list[_Rows]] = {}
        for table, parts in mapping.tables.items():
            rows = [_Rows.of(part, self._frames) for part in parts if part.table.casefold() in self._frames]
            if rows:
                self._parts[table] = rows

    # ------------------------------------------------------------------ what there is
    def lacks(self, needs: str) -> str:
        """Return what is absent of a rule's needs, in words; empty where all is there."""
        return self.once(("lacks", needs), lambda: self._lacks(needs))

    def _lacks(self, needs: str) -> str:
        absent = []
        for one in needs.split():
            if one == "reference":
                if self.reference is None:
                    absent.append("reference date")
            elif not any(self.has(choice) for choice in one.split("|")):
                absent.append(one.replace("|", " or "))
        return f"no {', no '.join(absent)}" if absent else ""

    def has(self, name: str) -> bool:
        """Say whether the data give a clinical table ("condition") or column ("condition.onset")."""
        return self.once(("has", name), lambda: self._has(name))

    def _has(self, name: str) -> bool:
        table, _, column = name.partition(".")
        return table in self._parts and (not column or any(rows.has(column) for rows in self._parts[table]))

    @property
    def is_bare(self) -> bool:
        """Whether the data hold none of the foreign columns that the mapping names."""
        parts = [rows for found in self._parts.values() for rows in found]
        return not any(cell.column.casefold() in rows.lower for rows in parts for cell in rows.part.columns.values())

    def system(self, table: str, column: str) -> str:
        """Return the code system of a clinical column in these data; empty where it has none or parts differ."""
        found = {rows.part.systems.get(column) for rows in self._parts[table] if rows.has(column)}
        if found == {None}:
            return clinical.schema()[table][column].system or ""
        return (found.pop() or "") if len(found) == 1 else ""

    def height(self, table: str) -> int:
        """Return the number of rows of a clinical table, 0 where there is none."""
        return sum(rows.height for rows in self._parts.get(table, ()))

    def origin(self, table: str, rows: Whole) -> dict[str, Whole]:
        """Return rows of a clinical table as rows of the foreign tables they came from."""
        out: dict[str, list[Whole]] = {}
        first = 0
        if len(self._parts[table]) == 1 and self._parts[table][0].kept is None:
            return {self._parts[table][0].name: rows}
        for part in self._parts[table]:
            inside = rows[(rows >= first) & (rows < first + part.height)] - first
            if len(inside):
                out.setdefault(part.name, []).append(inside if part.kept is None else part.kept[inside])
            first += part.height
        return {name: found[0] if len(found) == 1 else np.sort(np.concatenate(found)) for name, found in out.items()}

    # ------------------------------------------------------------------ columns
    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made under this key, making it the first time."""
        if key not in self._held:
            self._held[key] = make()
        return self._held[key]

    def cells(self, table: str, column: str) -> pl.Series:
        """Return a clinical column as the data hold it; all missing where they do not."""
        return self.once(("cells", table, column), lambda: self._cells(table, column))

    def _cells(self, table: str, column: str) -> pl.Series:
        found = [rows.cells(column, self._frames) for rows in self._parts[table]]
        if len(found) == 1:
            return found[0]
        kinds = {cells.dtype for cells in found if cells.dtype != pl.Null}
        if len(kinds) > 1:
            found = [_text(cells) for cells in found]
        return pl.concat([cells.cast(kinds.pop()) if len(kinds) == 1 else cells for cells in found])

    def coded(self, table: str, column: str) -> Coded:
        """Return a column as positions among its distinct texts."""
        return self.once(("coded", table, column), lambda: _coded(_text(self.cells(table, column))))

    def numbers(self, table: str, column: str) -> Floats:
        """Return a column as numbers, NaN where missing or no number."""
        return self.once(("numbers", table, column), lambda: _numbers(self.cells(table, column)))

    def times(self, table: str, column: str) -> Whole:
        """Return a column as seconds, `ABSENT` where missing."""
        return self.once(("times", table, column), lambda: _times(self.cells(table, column)))

    def to_the_day(self, table: str, column: str) -> bool:
        """Say whether a time column holds dates alone: no cell has an hour."""
        times = self.times(table, column)
        return self.once(("days", table, column), lambda: bool((times[times >= 0] % DAY == 0).all()))

    def given(self, table: str, column: str) -> Flags:
        """Return which cells are not missing."""

        def make() -> Flags:
            cells = self.cells(table, column)
            n = cells.null_count()
            return cells.is_not_null().to_numpy() if 0 < n < len(cells) else np.full(len(cells), n == 0)

        return self.once(("given", table, column), make)

    # ------------------------------------------------------------------ keys
    def place(self, table: str, column: str, target: str, key: str) -> NDArray[np.int32]:
        """Return the row of `target` that each cell names, -1 where missing or dangling."""
        return self.once(("place", table, column, target), lambda: self._place(table, column, target, key))

    def _place(self, table: str, column: str, target: str, key: str) -> NDArray[np.int32]:
        cells = _text(self.cells(table, column))
        starts = _starts(cells)  # rows of one patient or encounter mostly stand together
        heads = cells if starts is None else cells.gather(starts)
        found = heads.to_frame("key").join(self._keys(target, key), on="key", how="left", maintain_order="left")["row"]
        rows = found.fill_null(-1).to_numpy().astype(np.int32)
        return rows if starts is None else np.repeat(rows, np.diff(np.append(starts, len(cells))))

    def _keys(self, target: str, key: str) -> pl.DataFrame:
        """Keys of a table with their rows, each once."""

        def make() -> pl.DataFrame:
            keys = (
                _text(self.cells(target, key))
                .to_frame("key")
                .with_row_index("row")
                .with_columns(pl.col("row").cast(pl.Int64))
            )
            return (
                keys if keys["key"].n_unique() == keys.height else keys.unique("key", keep="first", maintain_order=True)
            )

        return self.once(("keys", target, key), make)

    def patient(self, table: str) -> NDArray[np.int32]:
        """Return the patient's row for each row of a table, -1 where there is none."""
        if table == "patient":
            return self.once("patients", lambda: np.arange(self.height("patient"), dtype=np.int32))
        return self.place(table, "patient_id", "patient", "patient_id")

    def encounter(self, table: str) -> NDArray[np.int32]:
        """Return the encounter's row for each row of a table, -1 where there is none."""
        return self.place(table, "encounter_id", "encounter", "encounter_id")

    def births(self) -> Whole:
        """Return the birth of each patient in seconds, `ABSENT` where unknown."""
        return self.times("patient", "birth_date")

    def deaths(self) -> Whole:
        """Return the end of each patient's life: to the second, or to the end of the day; `ABSENT` where alive."""

        def make() -> Whole:
            times = self.times("patient", "death_time")
            return np.where((times >= 0) & (times % DAY == 0), times + DAY - 1, times)

        return self.once("deaths", make)

    def of_patient(self, table: str, values: NDArray[Any], absent: Any) -> NDArray[Any]:
        """Return a patient's value for each row of a table, `absent` where there is no patient."""
        return np.append(values, np.array([absent], dtype=values.dtype))[self.patient(table)]

    def ages(self, table: str, column: str) -> Floats:
        """Return the patient's age in years at a row's time, NaN where unknown."""

        def make() -> Floats:
            times, births = self.times(table, column), self.of_patient(table, self.births(), ABSENT)
            return np.where((times >= 0) & (births >= 0), (times - births) / YEAR, np.nan)

        return self.once(("ages", table, column), make)

    def sex(self, table: str) -> NDArray[np.int8]:
        """Return the patient's sex for each row: 1 female, 2 male, 0 unknown."""

        def make() -> NDArray[np.int8]:
            coded = self.coded("patient", "sex")
            sexes = coded.one_of(["female"]).astype(np.int8) + 2 * coded.one_of(["male"]).astype(np.int8)
            return self.of_patient(table, sexes, 0)

        return self.once(("sex", table), make)

    def keyed(self, table: str, times: Whole) -> Whole:
        """Return patient and time as one sortable number; -1 without patient or time."""
        patients = self.patient(table).astype(np.int64)
        return np.where((patients >= 0) & (times >= 0), (patients << 34) | times, -1)


@dataclass
class _Rows:
    """The rows that one part of a mapping takes from a foreign table; kept: their positions, None for all."""

    part: Part
    name: str
    frame: pl.DataFrame
    kept: Whole | None
    height: int
    lower: dict[str, str]

    @classmethod
    def of(cls, part: Part, frames: Keyed[str, tuple[str, pl.DataFrame]]) -> _Rows:
        name, frame = frames[part.table.casefold()]
        lower = {column.casefold(): column for column in frame.columns}
        kept: Whole | None = None
        for column, levels in part.where.items():
            if column.casefold() in lower:
                good = _text(frame[lower[column.casefold()]]).is_in(list(levels)).fill_null(False)
                rows = np.flatnonzero(good.to_numpy())
                kept = rows if kept is None else np.intersect1d(kept, rows, assume_unique=True)
        return cls(part, name, frame, kept, frame.height if kept is None else len(kept), lower)

    def has(self, column: str) -> bool:
        cell = self.part.columns.get(column)
        return cell is not None and (cell.constant is not None or cell.column.casefold() in self.lower)

    def cells(self, column: str, frames: Keyed[str, tuple[str, pl.DataFrame]]) -> pl.Series:
        if not self.has(column):
            return pl.Series(column, [None] * self.height, dtype=pl.Null)
        cell = self.part.columns[column]
        if cell.constant is not None:
            return pl.Series(column, [cell.constant], dtype=pl.String).new_from_index(0, self.height)
        found = self.frame[self.lower[cell.column.casefold()]]
        if self.kept is not None:
            found = found.gather(self.kept)
        return _changed(found, cell, frames).alias(column)


def _changed(found: pl.Series, cell: Cell, frames: Keyed[str, tuple[str, pl.DataFrame]]) -> pl.Series:
    """Look cells up in another table and put the clinical words for the foreign ones."""
    if cell.through is not None:
        table, key, value = cell.through
        keys: dict[str, str] = {}
        if table.casefold() in frames:
            frame = frames[table.casefold()][1]
            lower = {column.casefold(): column for column in frame.columns}
            if {key.casefold(), value.casefold()} <= set(lower):
                pair = frame.select(
                    _text(frame[lower[key.casefold()]]).alias("key"),
                    _text(frame[lower[value.casefold()]]).alias("value"),
                ).drop_nulls()
                keys = dict(pair.iter_rows())
        found = _replaced(found, keys, drop_others=True)
    return _replaced(found, cell.values, drop_others=cell.drop_others) if cell.values else found


def _replaced(cells: pl.Series, words: Keyed[str, str], *, drop_others: bool) -> pl.Series:
    coded = _coded(_text(cells))
    names = [words.get(name, None if drop_others else name) for name in coded.names]
    return pl.Series([*names, None], dtype=pl.String).gather(np.where(coded.at < 0, len(names), coded.at))


def _text(cells: pl.Series) -> pl.Series:
    """Cells as text; whole numbers that were read as floating ones without their ".0"."""
    if cells.dtype == pl.String:
        return cells
    if cells.dtype.is_float():
        whole = cells.drop_nulls()
        if bool((whole == whole.round()).all()):
            return cells.cast(pl.Int64, strict=False).cast(pl.String)
    return cells.cast(pl.String)


def _starts(cells: pl.Series) -> Whole | None:
    """Where runs of equal cells begin; None where they are too short to be worth it."""
    if len(cells) < 10_000:
        return None
    fresh = cells.ne_missing(cells.shift(1)).to_numpy()
    n = np.count_nonzero(fresh)
    if n > len(cells) // 2:
        return None
    fresh = fresh.copy()
    fresh[0] = True
    return np.flatnonzero(fresh)


def _coded(cells: pl.Series) -> Coded:
    if cells.dtype == pl.Null or cells.null_count() == len(cells):
        return Coded(np.full(len(cells), -1, dtype=np.int32), pl.Series(dtype=pl.String))
    starts = _starts(cells)
    heads = cells if starts is None else cells.gather(starts)
    coded = heads.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    at = coded.indices
    at = (at.fill_null(-1) if at.null_count else at).to_numpy(zero_copy_only=False).astype(np.int32)
    levels = pl.Series(coded.dictionary)
    return Coded(at if starts is None else np.repeat(at, np.diff(np.append(starts, len(cells)))), levels)


def _numbers(cells: pl.Series) -> Floats:
    return cells.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _times(cells: pl.Series) -> Whole:
    if cells.dtype == pl.Null:
        return np.full(len(cells), ABSENT, dtype=np.int64)
    if cells.dtype == pl.String:
        cells = _parsed(cells)
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None:
        cells = cells.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if cells.dtype != pl.Datetime("us"):
        cells = cells.cast(pl.Datetime("us"), strict=False)
    missing = cells.is_null().to_numpy() if cells.null_count() else None
    times = cells.to_physical().fill_null(0).to_numpy() // 1_000_000 + _OFFSET
    times = np.clip(times, 0, EVER - 1)
    return times if missing is None else np.where(missing, ABSENT, times)


def _parsed(cells: pl.Series) -> pl.Series:
    """Read ISO dates and times written as text."""
    head = cells.str.replace("T", " ", literal=True).str.slice(0, 19)
    frame = pl.DataFrame({"cell": head})
    cell = pl.col("cell")
    return frame.select(
        pl.coalesce(
            cell.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False),
            cell.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False),
            cell.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
        )
    ).to_series()
