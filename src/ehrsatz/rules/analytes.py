"""Observations as measured quantities: which analyte a LOINC code names, its value in one unit, and what was measured
together.

The analytes stand in data/limits.json: codes, units with their factors, limits and sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.rules.concepts import table
from ehrsatz.rules.view import Floats, View, Whole


@cache
def names() -> tuple[str, ...]:
    """Return the names of all analytes."""
    return tuple(table("limits")["analytes"])


def entry(name: str) -> dict[str, Any]:
    """Return what limits.json says of an analyte."""
    return table("limits")["analytes"][name]


@cache
def number_of(code: str) -> int:
    """Return the number of the analyte that a LOINC code names, -1 for none."""
    return _codes().get(code, -1)


@cache
def _codes() -> dict[str, int]:
    return {code: i for i, name in enumerate(names()) for code in entry(name)["loinc"]}


@cache
def ucum(unit: str) -> str:
    """Return a unit as UCUM writes it, where it is one of the usual spellings; else unchanged."""
    return str(table("limits")["aliases"].get(unit.casefold().replace(" ", ""), unit))


@cache
def factor_of(analyte: int, unit: str | None) -> tuple[float, float]:
    """Return factor and shift that turn a value into the analyte's own unit; NaN where the unit is none of its."""
    if analyte < 0:
        return np.nan, np.nan
    one = entry(names()[analyte])
    if unit is None:
        return (1.0, 0.0) if one.get("without_unit") else (np.nan, np.nan)
    word = ucum(unit)
    return one["units"].get(word, np.nan), one.get("shift", {}).get(word, 0.0)


@dataclass(frozen=True)
class Measured:
    """All observations of known analytes, by analyte.

    analytes: number per row of the table, -1 for none, int16 of shape (R,). rows, values: of those with a value in a
    known unit, sorted by analyte. first: where each analyte begins, shape (K + 1,).
    """

    analytes: NDArray[np.int16]
    rows: Whole
    values: Floats
    first: Whole

    def of(self, name: str) -> tuple[Whole, Floats]:
        """Return the rows of an analyte and their values in its own unit."""
        number = names().index(name)
        part = slice(int(self.first[number]), int(self.first[number + 1]))
        return self.rows[part], self.values[part]


def measured(view: View) -> Measured:
    """Return the observations of known analytes in their own units."""
    return view.once("measured", lambda: _measured(view))


def _measured(view: View) -> Measured:
    codes, units = view.coded("observation", "code"), view.coded("observation", "unit")
    per_code = np.array([*(number_of(code) for code in codes.names), -1], dtype=np.int16)
    analytes = per_code[codes.at]
    width = len(units.names) + 1
    factors = np.full((len(per_code), width, 2), np.nan)
    for i, analyte in enumerate(per_code):
        if analyte >= 0:
            for j, unit in enumerate((*units.names, None)):
                factors[i, j] = factor_of(int(analyte), unit)
    known = np.flatnonzero(analytes >= 0)
    cell = codes.at[known].astype(np.int64) * width + units.at[known] % width  # -1, missing, is the last one
    flat = factors.reshape(-1, 2)
    values = view.numbers("observation", "value")[known] * flat[cell, 0] + flat[cell, 1]
    good = np.isfinite(values)
    known, values = known[good], values[good]
    order = np.argsort(analytes[known], kind="stable")
    rows, values = known[order], values[order]
    first = np.searchsorted(analytes[rows], np.arange(len(names()) + 1))
    return Measured(analytes, rows, values, first)


@dataclass(frozen=True)
class Moments:
    """One analyte by patient and time: sorted keys, one row each; the first row where several stand at one time."""

    keys: Whole
    rows: Whole
    values: Floats


def moments(view: View, name: str) -> Moments:
    """Return an analyte's values by patient and second."""

    def make() -> Moments:
        rows, values = measured(view).of(name)
        keys = view.once("moments", lambda: view.keyed("observation", view.times("observation", "time")))[rows]
        if len(keys) and not bool((keys[1:] > keys[:-1]).all()):
            order = np.argsort(keys, kind="stable")
            keys, rows, values = keys[order], rows[order], values[order]
            fresh = np.append(True, keys[1:] != keys[:-1])
            keys, rows, values = keys[fresh], rows[fresh], values[fresh]
        if len(keys) and keys[0] < 0:
            keys, rows, values = keys[1:], rows[1:], values[1:]
        return Moments(keys, rows, values)

    return view.once(("moments", name), make)


def together(view: View, wanted: Sequence[str]) -> tuple[Whole, list[Floats]]:
    """Return where analytes were measured at one patient's one time: rows of the first, values of each.

    Parameters
    ----------
    wanted
        Names of analytes, two or more.
    """
    lead = moments(view, wanted[0])
    keep = np.ones(len(lead.keys), dtype=bool)
    places = []
    for name in wanted[1:]:
        other = moments(view, name)
        if not len(other.keys):
            return np.zeros(0, dtype=np.int64), [np.zeros(0) for _ in wanted]
        place = np.minimum(np.searchsorted(other.keys, lead.keys), len(other.keys) - 1)
        keep &= other.keys[place] == lead.keys
        places.append((other, place))
    return lead.rows[keep], [lead.values[keep], *(other.values[place[keep]] for other, place in places)]
