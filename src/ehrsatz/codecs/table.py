"""A whole table <-> a matrix of atoms: one codec per column, chosen by its kind.

Columns of role subject, key and link are structure and have no code. The matrix is int32 of shape (R, D), -1 where
missing; a second matrix of uniforms says where within its atom each cell lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.category import (
    CategoryCode,
    decode_category,
    describe_category,
    encode_category,
    learn_category,
)
from ehrsatz.codecs.datetime import bound_number, to_moment, to_number
from ehrsatz.codecs.number import NumberCode, decode_number, describe_number, learn_number, place_number
from ehrsatz.schema import MIN_SUBJECTS, Column, Table

Code = NumberCode | CategoryCode
Floats = NDArray[np.float64]
STRUCTURE = frozenset({"subject", "key", "link"})


@dataclass(frozen=True)
class TableCode:
    """The codes of a table's columns, in the table's order without the structural ones."""

    names: tuple[str, ...]
    codes: tuple[Code, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of atoms of each column, missing not counted."""
        return tuple(code.n_atoms for code in self.codes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"codec": "table", "names": list(self.names), "codes": [code.to_dict() for code in self.codes]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableCode:
        """Read what `to_dict` writes."""
        return cls(tuple(data["names"]), tuple(code_from_dict(one) for one in data["codes"]))


def code_from_dict(data: dict[str, Any]) -> Code:
    """Read one column's code from what its `to_dict` wrote."""
    return NumberCode.from_dict(data) if data["codec"] == "number" else CategoryCode.from_dict(data)


def learn_column(
    column: Column,
    cells: pl.Series,
    *,
    subjects: NDArray[np.int64] | None = None,
    min_subjects: int = MIN_SUBJECTS,
    max_bins: int = 256,
) -> Code:
    """Learn the code of one column by its kind.

    Parameters
    ----------
    column : kind, bounds, levels and nullability of the schema.
    cells : R rows of the kind's Polars type.
    subjects : shape (R,), whose row it is; None means each row is its own subject.
    min_subjects : fewest subjects behind whatever the code names.
    max_bins : about the most atoms of a number.
    """
    if not column.is_numeric:
        return learn_category(
            cells,
            subjects=subjects,
            min_subjects=min_subjects,
            kind=column.kind,
            levels=column.values,
            nullable=column.nullable,
        )
    return learn_number(
        to_floats(cells),
        subjects=subjects,
        min_subjects=min_subjects,
        kind=column.kind,
        minimum=to_bound(column.minimum, column.kind),
        maximum=to_bound(column.maximum, column.kind),
        max_bins=max_bins,
        nullable=column.nullable,
    )


def place_column(code: Code, cells: pl.Series) -> tuple[NDArray[np.int32], Floats]:
    """Return the atom of each cell and its position in [0, 1) within the atom (0.5 for levels), both of shape (R,)."""
    if isinstance(code, NumberCode):
        return place_number(code, to_floats(cells))
    return encode_category(code, cells), np.full(len(cells), 0.5)


def decode_column(
    code: Code, atoms: NDArray[np.int32], u: Floats, *, low: float | None = None, high: float | None = None
) -> pl.Series:
    """Return the cells of these atoms in the kind's Polars type; u, low and high as in `decode_number`."""
    if isinstance(code, NumberCode):
        return from_floats(decode_number(code, atoms, u, low=low, high=high), code.kind)
    return decode_category(code, atoms, u)


def learn_table(
    frame: pl.DataFrame,
    table: Table,
    *,
    subjects: NDArray[np.int64] | None = None,
    min_subjects: int = MIN_SUBJECTS,
    max_bins: int = 256,
) -> TableCode:
    """Learn the codes of all columns that are no structure; parameters as in `learn_column`."""
    columns = [column for column in table.columns if column.role not in STRUCTURE]
    return TableCode(
        tuple(column.name for column in columns),
        tuple(
            learn_column(column, frame[column.name], subjects=subjects, min_subjects=min_subjects, max_bins=max_bins)
            for column in columns
        ),
    )


def encode_table(code: TableCode, frame: pl.DataFrame) -> NDArray[np.int32]:
    """Return the matrix of atoms, shape (R, D), -1 where missing."""
    return place_table(code, frame)[0]


def place_table(code: TableCode, frame: pl.DataFrame) -> tuple[NDArray[np.int32], Floats]:
    """Return the matrix of atoms and that of positions within them, both of shape (R, D), column-major."""
    atoms = np.empty((frame.height, len(code.names)), dtype=np.int32, order="F")
    position = np.empty((frame.height, len(code.names)), order="F")
    for d, (name, one) in enumerate(zip(code.names, code.codes)):
        atoms[:, d], position[:, d] = place_column(one, frame[name])
    return atoms, position


def decode_table(code: TableCode, atoms: NDArray[np.int32], u: Floats) -> pl.DataFrame:
    """Return the frame of these atoms, without structural columns.

    Parameters
    ----------
    atoms : shape (R, D), -1 where missing.
    u : shape (R, D), in [0, 1): where within an atom each cell lies.
    """
    columns = [decode_column(one, atoms[:, d], u[:, d]).alias(code.names[d]) for d, one in enumerate(code.codes)]
    return pl.DataFrame(columns) if columns else pl.DataFrame()


def describe_table(code: TableCode) -> dict[str, dict[str, Any]]:
    """Return what a person wants to know of each column's code."""
    return {
        name: describe_number(one) if isinstance(one, NumberCode) else describe_category(one)
        for name, one in zip(code.names, code.codes)
    }


def frequencies(code: TableCode, atoms: NDArray[np.int32]) -> tuple[Floats, ...]:
    """Return per column the share of each atom and, last, of missing: shapes (n_atoms + 1,), each summing to 1."""
    shares = []
    for d, size in enumerate(code.sizes):
        column = atoms[:, d]
        counts = np.bincount(np.where(column < 0, size, column), minlength=size + 1).astype(np.float64)
        shares.append(counts / max(counts.sum(), 1.0))
    return tuple(shares)


def draw_atoms(share: Floats, u: Floats) -> NDArray[np.int32]:
    """Return one atom per uniform, -1 for missing, from shares as in `frequencies`; shape (R,)."""
    bounds = np.cumsum(share)
    drawn = np.searchsorted(bounds, u * bounds[-1], side="right")
    last = int(np.flatnonzero(share > 0)[-1]) if (share > 0).any() else len(share) - 1
    drawn = np.minimum(drawn, last)
    return np.where(drawn == len(share) - 1, -1, drawn).astype(np.int32)


def complete_table(frame: pl.DataFrame, names: tuple[str, ...], *, n: int, first: int) -> pl.DataFrame:
    """Return the n rows with these columns in this order; those that the frame lacks are row numbers from `first`."""
    numbers = pl.int_range(first, first + n, eager=True, dtype=pl.Int64)
    columns = [frame[name] if name in frame.columns else numbers.alias(name) for name in names]
    return pl.DataFrame(columns)


def to_floats(cells: pl.Series) -> Floats:
    """Return numbers, days or microseconds as floats, NaN where missing, shape (R,)."""
    if cells.dtype in (pl.Date, pl.Datetime):
        return to_number(cells)
    return cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def from_floats(values: Floats, kind: str) -> pl.Series:
    """Undo `to_floats` for a kind."""
    if kind in {"date", "datetime"}:
        return to_moment(values, kind)
    if kind == "number":
        return pl.Series(values).fill_nan(None)
    whole = pl.Series(np.rint(np.where(np.isnan(values), 0, values)).astype(np.int64))
    return whole.set(pl.Series(np.isnan(values)), None)


def to_bound(limit: Any, kind: str) -> float | None:
    """Return a schema bound or the end of a band as a float of the column's scale, None for None."""
    if kind in {"date", "datetime"}:
        return bound_number(limit, kind)
    return None if limit is None else float(limit)
