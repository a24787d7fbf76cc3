"""The grid that the values of a column lie on: decimals, significant digits, common factor, preferred digits.

Number and datetime codecs work in grid coordinates: a value is a whole number of grid steps. So integers stay
integers, 386.1 stays at one decimal, a column of four significant digits keeps four, and timestamps to the minute
stay whole minutes. Digit preference (heaping) is learned as a mixture of lattices, the share of values that were
rounded to 100, 50, 10, 5 or 2 steps (a weekday, for dates).

References
----------
Heitjan and Rubin, Inference from coarse data via multiple imputation with application to age heaping, JASA 85 (1990),
doi:10.1080/01621459.1990.10476202 (heaping as a mixture of coarsenings; here by non-negative least squares).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Lattice = tuple[int, int, float]  # unit, offset, weight

_MAX_DECIMALS = 9
_MAX_DIGITS = 9
_FIT_SHARE = 0.99  # share of values that must lie on a grid for the column to have it
_MICRO = 1_000_000
_TIME_UNITS = (86_400 * _MICRO, 3_600 * _MICRO, 60 * _MICRO, _MICRO, 1_000, 1)
_MIN_MULTIPLES = 5  # the common factor of fewer values may be one of them
_MIN_HEAPED = 50  # fewer values say nothing about digits


@dataclass(frozen=True)
class Grid:
    """Where values may lie.

    decimals: places after the point, None for values without a grid; digits: significant digits, None where the
    decimals say all; factor: every value is a multiple of factor steps.
    """

    decimals: int | None
    digits: int | None = None
    factor: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether grid coordinates are whole numbers."""
        return self.decimals is not None

    def locate(self, values: Floats) -> Floats:
        """Return the grid coordinates of values."""
        if self.decimals is None:
            return np.asarray(values, dtype=np.float64)
        return np.rint(values * 10.0**self.decimals / self.factor)

    def scale(self, values: Floats) -> Floats:
        """Return coordinates without rounding to the grid, for bounds that may lie between grid points."""
        return np.asarray(values, dtype=np.float64) * (10.0 ** (self.decimals or 0) / self.factor)

    def value(self, coordinates: Floats) -> Floats:
        """Return the values at grid coordinates, as the source would write them."""
        if self.decimals is None:
            return _significant(coordinates, self.digits) if self.digits else coordinates
        values = coordinates * self.factor / 10.0**self.decimals
        return _significant(values, self.digits, self.decimals) if self.digits else values

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"decimals": self.decimals, "digits": self.digits, "factor": self.factor}


def learn_grid(values: Floats, kind: str) -> Grid:
    """Find the coarsest grid that at least 99 % of the values lie on.

    Parameters
    ----------
    values : shape (R,), finite; days for dates, microseconds for datetimes.
    kind : integer, number, date or datetime.
    """
    if len(values) == 0:
        return Grid(None if kind == "number" else 0)
    if kind == "datetime":
        return Grid(0, None, next(unit for unit in _TIME_UNITS if np.mean(values % unit == 0) >= _FIT_SHARE))
    decimals = 0 if kind in {"integer", "date"} else _decimals(values)
    digits = None if kind in {"integer", "date"} else _digits(values, decimals)
    if decimals is None or digits is not None:
        return Grid(decimals, digits)
    steps = np.unique(np.abs(np.rint(values * 10.0**decimals)))
    too_few = np.count_nonzero(values) < _MIN_MULTIPLES
    if steps[-1] >= 2.0**53 or kind == "date" or too_few:
        return Grid(decimals, None)
    factor = int(np.gcd.reduce(steps.astype(np.int64)))
    return Grid(decimals, None, max(1, factor))


def _decimals(values: Floats) -> int | None:
    slack = 2 * np.spacing(np.abs(values))
    for places in range(_MAX_DECIMALS + 1):
        if np.mean(np.abs(np.round(values, places) - values) <= slack) >= _FIT_SHARE:
            return places
    return None


def _digits(values: Floats, decimals: int | None) -> int | None:
    """Significant digits, where they say more than the decimals: at least ten values drop a decimal for it."""
    size = np.abs(values[values != 0])
    if decimals == 0 or len(size) == 0:
        return None
    slack = 4 * np.spacing(size)
    for digits in range(2, _MAX_DIGITS + 1):
        if np.mean(np.abs(_significant(size, digits, decimals) - size) <= slack) < _FIT_SHARE:
            continue
        if decimals is None:
            return digits
        n_shorter = int(np.sum(digits - 1 - np.floor(np.log10(size)) < decimals))
        return digits if n_shorter >= 10 else None
    return None


def _significant(values: Floats, digits: int | None, decimals: int | None = None) -> Floats:
    """Round to significant digits, with at most `decimals` places."""
    assert digits is not None
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        places = digits - 1 - np.floor(np.log10(np.where(size > 0, size, 1.0)))
    places = np.clip(places, -300, 300 if decimals is None else decimals)
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    return np.rint(values * up / down) * down / up


def heaping_units(kind: str, grid: Grid) -> tuple[int, ...]:
    """Return the coarser units, in grid steps, that people round to in a column of this kind."""
    if kind == "datetime":
        whole = (86_400, 43_200, 3_600, 1_800, 900, 600, 300, 60, 30, 10)
        return tuple(
            seconds * _MICRO // grid.factor
            for seconds in whole
            if seconds * _MICRO % grid.factor == 0 and seconds * _MICRO > grid.factor
        )
    return () if kind == "date" or grid.digits else (1000, 500, 100, 50, 10, 5, 2)


def learn_heaping(coordinates: Floats, kind: str, grid: Grid) -> tuple[Lattice, ...]:
    """Learn which lattices the values prefer; the weights sum to at most 1, the rest is the grid itself.

    Parameters
    ----------
    coordinates : shape (R,), grid coordinates of the rows that are no spikes.
    """
    if len(coordinates) < _MIN_HEAPED or not grid.is_whole:
        return ()
    if kind == "date":
        share = np.bincount((coordinates % 7).astype(np.int64), minlength=7) / len(coordinates)
        spare = share - share.min()
        noise = 3 / np.sqrt(7 * len(coordinates))
        if spare.max() < noise:
            return ()
        return tuple((7, day, round(float(spare[day]), 3)) for day in range(7) if spare[day] > 0.005)
    span = coordinates.max() - coordinates.min()
    units = [unit for unit in heaping_units(kind, grid) if unit <= max(2.0, span / 2)]
    if not units:
        return ()
    from scipy.optimize import nnls

    ladder = [*units, 1]
    observed = np.array([np.mean(coordinates % unit == 0) for unit in ladder])
    # share of the multiples of `b` that are multiples of `a` too
    design = np.array([[1 / (a // gcd(a, b)) for b in ladder] for a in ladder])
    weights = nnls(design, observed)[0]
    weights = weights / max(weights.sum(), 1e-12)
    # three standard errors of a lattice's share in values without preference
    floor = [3 / np.sqrt((unit - 1) * len(coordinates)) for unit in units]
    return tuple((u, 0, round(float(w), 3)) for u, w, least in zip(units, weights, floor) if w > max(least, 0.02))


def roundest(low: Floats, high: Floats, whole: bool) -> Floats:
    """Return the roundest coordinate r with low < r <= high, so that a bin edge tells no cell value.

    On a whole grid the edge is r - 1/2, which no value can take; without one r lies strictly between.
    """
    middle = (low + high) / 2
    found = np.full(len(low), np.nan)
    reach = float(np.max(np.maximum(np.abs(low), np.abs(high)), initial=1.0))
    top = ceil(log10(max(reach, 1e-300))) + 1
    bottom = 0 if whole else top - 17
    for power in range(top, bottom - 1, -1):
        for lead in (1.0, 0.5, 0.2):
            unit = lead * 10.0**power
            if whole and unit < 1:
                continue
            for candidate in (np.rint(middle / unit) * unit, (np.floor(low / unit) + 1) * unit):
                inside = (low < candidate) & ((candidate <= high) if whole else (candidate < high))
                found = np.where(np.isnan(found) & inside, candidate, found)
    found = np.where(np.isnan(found), high if whole else middle, found)
    return found - 0.5 if whole else found
