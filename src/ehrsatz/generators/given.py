"""Conditions on rows: how they are held, and how asked-for shares become one level per row.

Shares are met as Tijdeman's chairmen are appointed: in every prefix of the rows each level is within one row of its
quota (closer still: 1 - 1/(2K - 2) rows for K levels), and row i depends on the shares and on i alone.

References
----------
Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980), doi:10.1016/0012-365X(80)90269-1.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import product
from math import prod
from numbers import Real
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.errors import InfeasibleError

_SMALL = 10_000  # shares with a common denominator up to here repeat after so many rows
_FINE = 10**9  # all others are rounded to this denominator


@dataclass(frozen=True)
class Given:
    """Conditions on the parent table, one entry per column.

    exact: one value per sampled row, null where the row is free; band: closed bounds; among: allowed values.
    """

    exact: Mapping[str, pl.Series] = field(default_factory=dict)
    band: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    among: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the conditioned columns."""
        return (*self.exact, *self.band, *self.among)


def is_cell(wish: Any) -> bool:
    """Whether a wish is a single value; None leaves the cell free."""
    return wish is None or isinstance(wish, (str, bool, Real, date))


def all_cells(wishes: Any, *, present: bool = False) -> bool:
    """Whether wishes are one value or more, none of them None where all must be present."""
    if isinstance(wishes, (str, Mapping)) or not isinstance(wishes, Iterable):
        return False
    listed = list(wishes)
    return bool(listed) and all(is_cell(one) and not (present and one is None) for one in listed)


def asks_shares(wish: Any) -> bool:
    """Whether a wish is {"share": ...}."""
    return isinstance(wish, Mapping) and set(wish) == {"share"}


def apportion(wishes: Mapping[str, Any], n: int, first: int) -> dict[str, pl.Series]:
    """Give rows `first` to `first` + n their levels, so that all prefixes from row 0 on have the asked-for shares.

    With one column every level is within one row of its quota. Several columns are crossed, each combination at the
    product of its shares and within one row of that quota, so that no column tells of another.

    Parameters
    ----------
    wishes
        Column name -> {level: share}; the shares of a column are 0 or more and sum to 1.
    n
        Number of rows.
    first
        Number of the first row; cost grows with `first` + n, unless the shares have a common denominator up to 10,000.

    Returns
    -------
    One series of shape (n,) per column.

    Raises
    ------
    InfeasibleError
        When shares are no numbers, negative, or do not sum to 1.
    """
    if not wishes:
        return {}
    shares = {name: _checked(name, wish) for name, wish in wishes.items()}
    crossed = np.array([prod(cell) for cell in product(*shares.values())])  # (K,) combinations of levels
    parts = _whole(crossed / crossed.sum())
    period = sum(parts)
    if period > _SMALL:
        period = min(period, 1 << max(first + n - 1, _SMALL).bit_length())
    cells = _sequence(parts, period)[np.arange(first, first + n) % period]  # (n,)
    places = np.unravel_index(cells, [len(one) for one in shares.values()])
    return {
        name: pl.Series(name, list(wishes[name]), strict=False).gather(place) for name, place in zip(shares, places)
    }


def _checked(name: str, wish: Any) -> NDArray[np.float64]:
    numbers = list(wish.values()) if isinstance(wish, Mapping) else []
    fit = all(isinstance(one, Real) and not isinstance(one, bool) for one in numbers)
    weights = np.array(numbers if fit else [], dtype=np.float64)
    if len(weights) == 0 or not (weights >= 0).all() or not abs(weights.sum() - 1) <= 1e-6:
        raise InfeasibleError(
            f"Expected shares for '{name}' that are 0 or more and sum to 1.", "They do not.", "Correct the shares."
        )
    return weights


def _whole(shares: NDArray[np.float64]) -> tuple[int, ...]:
    """Shares as whole parts of their smallest common denominator, or of 10**9 where that is large."""
    for start in range(1, _SMALL + 1, 500):
        parts = np.outer(np.arange(start, start + 500), shares)  # (500, K)
        exact = (np.abs(parts - np.round(parts)) < 1e-9).all(axis=1)
        if exact.any():
            return tuple(int(one) for one in np.round(parts[exact.argmax()]))
    fine = np.round(shares * _FINE).astype(np.int64)
    fine[fine.argmax()] += _FINE - fine.sum()
    return tuple(int(one) for one in fine)


@lru_cache(maxsize=8)  # shards ask for the same one
def _sequence(parts: Sequence[int], length: int) -> NDArray[np.int32]:
    """Appoint a level to each of the rows 1..length: of those whose turn may have come, the one most pressed.

    The j-th row of a level with share p may come from row (j - 1 + e)/p on and must have come by row
    floor((j - e)/p) + 1, with e = 1/(2K - 2); the earliest due goes first (Tijdeman, theorem 1).
    """
    used = [level for level, part in enumerate(parts) if part]
    if len(used) == 1:
        return np.full(length, used[0], dtype=np.int32)
    whole, inverse = sum(parts), 2 * len(used) - 2  # inverse of e
    opens, turns = [], []
    for level in used:
        part = parts[level] * inverse
        j = np.arange(length * parts[level] // whole + 2, dtype=np.int64)  # j - 1 of the text
        opens.append(-((-(j * inverse + 1) * whole) // part))
        due = ((j + 1) * inverse - 1) * whole // part + 1
        turns.append(due * len(parts) + level)  # among equals the first level
    order = np.argsort(np.concatenate(opens), kind="stable")
    open_by = np.searchsorted(np.concatenate(opens)[order], np.arange(1, length + 1), side="right").tolist()
    turn = np.concatenate(turns)[order].tolist()
    waiting: list[int] = []
    out, at = [0] * length, 0
    for row in range(length):
        while at < open_by[row]:
            heapq.heappush(waiting, turn[at])
            at += 1
        out[row] = heapq.heappop(waiting) % len(parts)
    return np.array(out, dtype=np.int32)
