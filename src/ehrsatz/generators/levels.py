"""Levels of one column in each component of a mixture: counts, mixed with the column's margin.

Codes are whole numbers 0 .. K. A component's probability of a code is (count + weight * margin) / (held + weight): the
weight, in subjects, is the one under which each subject is most likely given the others of its component. With one
weight for all this is the kernel of Aitchison and Aitken with the margin in place of the uniform distribution.

References
----------
Aitchison and Aitken, Multivariate binary discrimination by the kernel method, Biometrika 63 (1976),
doi:10.1093/biomet/63.3.413.
Li and Racine, Nonparametric estimation of distributions with categorical and continuous data, Journal of Multivariate
Analysis 86 (2003), doi:10.1016/S0047-259X(02)00025-8 (bandwidths by leave-one-out likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # more would suit the likelihood of single columns, and blur the joint
_HEAVY = (*_WEIGHTS, 8.0, 16.0, 32.0, 64.0, 128.0)  # for columns of many codes, where few subjects share a cell
_MANY = 40  # codes from which on
_TRIAL_ROWS = 50_000  # entries on which the weight is chosen


@dataclass(frozen=True)
class Levels:
    """One column in C components.

    margin: share of each code, (K + 1,); low, high: the codes that the margin may lend to a component, closed, (C,);
    start: where a component's entries begin, (C + 1,); code, count: the entries, codes ascending, (E,).
    """

    margin: Floats
    low: Ints
    high: Ints
    start: Ints
    code: Ints
    count: Ints
    weight: float

    FIELDS: ClassVar = ("margin", "low", "high", "start", "code", "count")

    @cached_property
    def _total(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.count)])

    @cached_property
    def held(self) -> Floats:
        """Subjects of each component, (C,)."""
        return (self._total[self.start[1:]] - self._total[self.start[:-1]]).astype(np.float64)

    @cached_property
    def _below(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(self.margin)])

    @cached_property
    def _mass(self) -> Floats:
        return self._below[self.high + 1] - self._below[self.low]

    @cached_property
    def _key(self) -> Ints:
        return np.repeat(np.arange(len(self.low)), np.diff(self.start)) * len(self.margin) + self.code

    def draw(self, component: Ints, u: Floats) -> Ints:
        """Return one code per row from its component; u has shape (R,)."""
        held, mass = self.held[component], self._mass[component]
        part = self.weight / (held + self.weight)
        out = np.empty(len(component), dtype=np.int64)
        rows = np.flatnonzero(u < part)
        own = component[rows]
        spot = self._below[self.low[own]] + u[rows] / part[rows] * mass[rows]
        out[rows] = np.clip(np.searchsorted(self._below, spot, side="right") - 1, self.low[own], self.high[own])
        rows = np.flatnonzero(u >= part)
        fresh = np.floor((u[rows] - part[rows]) / (1 - part[rows]) * held[rows])
        first = self._total[self.start[component[rows]]]
        at = first + np.minimum(fresh, held[rows] - 1)
        out[rows] = self.code[np.searchsorted(self._total, at, side="right") - 1]
        return out

    def chance(self, component: Ints, codes: Ints) -> Floats:
        """Return the probability of each code in each component, shape (len(component), len(codes))."""
        wanted = component[:, None] * len(self.margin) + codes  # (R, C)
        entry = np.minimum(np.searchsorted(self._key, wanted), max(len(self._key) - 1, 0))
        found = np.where(self._key[entry] == wanted, self.count[entry], 0) if len(self._key) else 0
        inside = (codes >= self.low[component][:, None]) & (codes <= self.high[component][:, None])
        prior = np.where(inside, self.margin[codes], 0.0) / np.maximum(self._mass[component][:, None], 1e-300)
        return (found + self.weight * prior) / (self.held[component][:, None] + self.weight)

    def arrays(self, d: int) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads, for column d."""
        small = {
            name: getattr(self, name).astype(np.int32) if name != "margin" else self.margin for name in self.FIELDS
        }
        return {f"{name}_{d}": array for name, array in small.items()} | {f"weight_{d}": np.array([self.weight])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], d: int) -> Levels:
        """Read column d from what `arrays` gave."""
        low, high, start, code, count = (arrays[f"{name}_{d}"].astype(np.int64) for name in cls.FIELDS[1:])
        return cls(arrays[f"margin_{d}"], low, high, start, code, count, float(arrays[f"weight_{d}"][0]))


def learn_levels(
    codes: Ints, whose: Ints, n: int, margin: Floats, *, low: Ints | None = None, high: Ints | None = None
) -> Levels:
    """Count the codes of one column by component and choose the weight of the margin.

    Parameters
    ----------
    codes, whose : shape (R,), the code and the component of each row.
    n : number of components.
    margin : shape (K + 1,), share of each code.
    low, high : shape (n,), the codes that the margin may lend, closed; None means all.
    """
    size = len(margin)
    key, count = np.unique(whose * size + codes, return_counts=True)
    whole = Levels(
        margin,
        np.zeros(n, dtype=np.int64) if low is None else low,
        np.full(n, size - 1, dtype=np.int64) if high is None else high,
        np.searchsorted(key, np.arange(n + 1) * size).astype(np.int64),
        key % size,
        count.astype(np.int64),
        0.0,
    )
    # a box without mass lends all codes
    shut = whole._mass <= 0
    whole = replace(whole, low=np.where(shut, 0, whole.low), high=np.where(shut, size - 1, whole.high))
    some = slice(0, None, max(1, len(key) // _TRIAL_ROWS))
    owner = key[some] // size
    prior = margin[key[some] % size] / np.maximum(whole._mass[owner], 1e-300)
    own, held = count[some], whole.held[owner]
    weights = _WEIGHTS if size <= _MANY else _HEAVY
    fits = [float((own * np.log((own - 1 + weight * prior + 1e-9) / (held - 1 + weight))).sum()) for weight in weights]
    return replace(whole, weight=weights[int(np.argmax(np.round(fits, 6)))])
