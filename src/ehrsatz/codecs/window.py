"""Conditions on a table's columns, in atoms: which atoms a row may take, and which cells they then must become.

A generator draws atoms within the window, decodes them with `decode_window`, and every row keeps every condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.number import NumberCode, share_number
from ehrsatz.codecs.table import Code, TableCode, decode_column, from_floats, place_column, to_bound
from ehrsatz.errors import InfeasibleError, UnsupportedError

Floats = NDArray[np.float64]
FREE = -2  # in `fixed`: this row may take any atom


@dataclass(frozen=True)
class Window:
    """Conditions by column number.

    fixed: atom of each row, FREE where the row is free, shape (n,); position: where within the atom; share: share of
    each atom's mass that the condition allows, shape (n_atoms,); the other fields are for `decode_window`.
    """

    fixed: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)
    position: Mapping[int, Floats] = field(default_factory=dict)
    share: Mapping[int, Floats] = field(default_factory=dict)
    exact: Mapping[int, pl.Series] = field(default_factory=dict)
    band: Mapping[int, tuple[float | None, float | None]] = field(default_factory=dict)
    among: Mapping[int, Floats] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[int, ...]:
        """Numbers of the conditioned columns."""
        return tuple(sorted({*self.fixed, *self.share}))


def open_window(
    code: TableCode,
    *,
    exact: Mapping[str, pl.Series],
    band: Mapping[str, tuple[Any, Any]],
    among: Mapping[str, tuple[Any, ...]],
) -> Window:
    """Turn conditions into atoms, and refuse before anything is drawn what no row can meet.

    Parameters
    ----------
    code : codes of the table's columns.
    exact : column -> n cells of the kind's type, null where the row is free.
    band : column -> closed bounds, None where open; numbers and dates only.
    among : column -> allowed values.

    Raises
    ------
    UnsupportedError
        For structural columns, and for a band on levels.
    InfeasibleError
        When no atom of a column is allowed.
    """
    window = Window({}, {}, {}, {}, {}, {})
    for name in (*exact, *band, *among):
        if name not in code.names:
            raise UnsupportedError(
                "Expected conditions on columns that the generator draws.",
                f"'{name}' numbers subjects or rows.",
                "Condition on other columns.",
            )
    for name, cells in exact.items():
        d = code.names.index(name)
        atoms, position = place_column(code.codes[d], cells)
        window.fixed[d] = np.where(cells.is_null().to_numpy(), FREE, atoms).astype(np.int32)  # type: ignore[index]
        window.position[d], window.exact[d] = position, cells  # type: ignore[index]
    for name, ends in band.items():
        d = code.names.index(name)
        one = code.codes[d]
        if not isinstance(one, NumberCode):
            raise UnsupportedError(
                "Expected min and max only for numbers and dates.",
                f"'{name}' holds levels.",
                "Name the levels with any: [...].",
            )
        low, high = to_bound(ends[0], one.kind), to_bound(ends[1], one.kind)
        window.band[d], window.share[d] = (low, high), share_number(one, low, high)  # type: ignore[index]
    for name, values in among.items():
        d = code.names.index(name)
        window.share[d], window.among[d] = _among(code.codes[d], values)  # type: ignore[index]
    for d, share in window.share.items():
        if not (share > 0).any():
            raise InfeasibleError(
                f"Expected a condition on '{code.names[d]}' that some value meets.",
                "No value that the generator can draw meets it.",
                "Widen the condition.",
            )
    return window


def restrict(share: Floats, allowed: Floats) -> Floats:
    """Return atom shares (last: missing) within allowed shares of atoms, summing to 1; missing is not allowed.

    Where the data hold none of what is allowed, the allowed atoms are taken as equally likely.
    """
    kept = np.append(share[:-1] * allowed, 0.0)
    if kept.sum() <= 0:
        kept = np.append(allowed, 0.0)
    return kept / kept.sum()


def decode_window(code: TableCode, atoms: NDArray[np.int32], u: Floats, window: Window | None = None) -> pl.DataFrame:
    """Return the frame of these atoms, every condition of the window kept; parameters as in `decode_table`."""
    window = window or Window()
    columns = []
    for d, one in enumerate(code.codes):
        low, high = window.band.get(d, (None, None))
        cells = decode_column(one, atoms[:, d], u[:, d], low=low, high=high)
        if d in window.among and isinstance(one, NumberCode):
            cells = _pick(one, atoms[:, d], u[:, d], window.among[d])
        if d in window.exact:
            cells = pl.select(pl.coalesce(window.exact[d], cells)).to_series()
        columns.append(cells.alias(code.names[d]))
    return pl.DataFrame(columns) if columns else pl.DataFrame()


def _among(one: Code, values: tuple[Any, ...]) -> tuple[Floats, Floats]:
    """Share of each atom that these values make up, and the values as floats (none for levels)."""
    share = np.zeros(one.n_atoms)
    if isinstance(one, NumberCode):
        wanted = np.unique(np.array([to_bound(value, one.kind) for value in values], dtype=np.float64))
        atoms, _ = place_column(one, from_floats(wanted, one.kind))
        for value, atom in zip(wanted, atoms):
            if atom >= 0:
                share[atom] += max(share_number(one, value, value)[atom], 1e-9)
        return np.minimum(share, 1.0), wanted
    if one.kind == "boolean":
        levels = {bool(value) for value in values}
        share[[int(level) for level in levels]] = 1.0
    else:
        names = {str(value) for value in values}
        share[[atom for atom, level in enumerate(one.levels) if level in names]] = 1.0
    return share, np.empty(0)


def _pick(one: NumberCode, atoms: NDArray[np.int32], u: Floats, wanted: Floats) -> pl.Series:
    """Return for each atom one of the wanted values that lie in it, missing for atom -1."""
    home, _ = place_column(one, from_floats(wanted, one.kind))
    out = np.full(len(atoms), np.nan)
    for atom in np.unique(home[home >= 0]):
        rows, inside = np.flatnonzero(atoms == atom), wanted[home == atom]
        out[rows] = inside[np.minimum((u[rows] * len(inside)).astype(np.int64), len(inside) - 1)]
    return from_floats(out, one.kind)
