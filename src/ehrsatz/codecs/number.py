"""Numbers <-> atoms: spikes that enough subjects share, and bins between them.

A column of numbers becomes an ordered list of atoms. A value held by at least `min_subjects` subjects (and by enough
rows to fill a bin) is a spike and decodes to itself; the other values fall in quantile bins of at least
`min_subjects` subjects, whose edges are round numbers off the data. Within a bin a draw follows an exponential
density cut to the bin whose mean is the bin's own, on the column's grid, with the column's preferred digits. The
outermost bins are tails: they end at the schema's bound or at four mean excesses, never at the extreme value itself.
The state holds no value that fewer than `min_subjects` subjects share.

References
----------
Pickands, Statistical inference using extreme order statistics, Annals of Statistics 3 (1975),
doi:10.1214/aos/1176343003 (exponential excess over a high threshold as the middle case of the tail).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.bins import (
    Line,
    count_subjects,
    learn_edges,
    mass_below,
    place_at,
    rate_of,
    starts,
    subjects_per_label,
    widths,
)
from ehrsatz.codecs.grid import Floats, Grid, Lattice, learn_grid, learn_heaping
from ehrsatz.schema import MIN_SUBJECTS

Atoms = NDArray[np.int32]

_STEP = 0.02  # resolution of the stored mean position within a bin


@dataclass(frozen=True)
class NumberCode:
    """What `learn_number` found.

    Spikes and edges are grid coordinates; means are positions in (0, 1) within a bin.
    """

    kind: str
    grid: Grid
    spikes: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    heaping: tuple[Lattice, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def n_atoms(self) -> int:
        """Number of atoms; missing is atom -1 and not counted."""
        return len(self.spikes) + len(self.means)

    @cached_property
    def _spikes(self) -> Floats:
        return np.array(self.spikes, dtype=np.float64)

    @cached_property
    def line(self) -> Line:
        """The grid without the spikes, on which bins lie."""
        return Line(self.grid, self._spikes)

    @cached_property
    def _edges(self) -> Floats:
        return np.array(self.edges, dtype=np.float64)

    @cached_property
    def _rates(self) -> Floats:
        return rate_of(np.array(self.means, dtype=np.float64))

    @cached_property
    def _places(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Atom of each spike, atom of each bin, and for each atom: spike number, or -1 - bin number."""
        ends = self.line.squeeze(self._edges)
        centre = self.line.stretch(ends[:-1] + np.array(self.means) * np.diff(ends)) if self.means else np.empty(0)
        order = np.argsort(np.concatenate([self._spikes, centre]), kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order))
        n = len(self.spikes)
        return rank[:n], rank[n:], np.where(order < n, order, n - 1 - order)

    def is_spike(self, atoms: Atoms) -> NDArray[np.bool_]:
        """Say of each atom whether it is a single value, or missing; shape (R,)."""
        if self.n_atoms == 0:
            return np.ones(len(atoms), dtype=bool)
        return (atoms < 0) | (self._places[2][np.maximum(atoms, 0)] >= 0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "codec": "number",
            "kind": self.kind,
            "grid": self.grid.to_dict(),
            "spikes": list(self.spikes),
            "edges": list(self.edges),
            "means": list(self.means),
            "heaping": [list(one) for one in self.heaping],
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NumberCode:
        """Read what `to_dict` writes."""
        return cls(
            data["kind"],
            Grid(**data["grid"]),
            tuple(data["spikes"]),
            tuple(data["edges"]),
            tuple(data["means"]),
            tuple((int(unit), int(offset), float(weight)) for unit, offset, weight in data["heaping"]),
            data["minimum"],
            data["maximum"],
        )


def learn_number(
    values: Floats,
    *,
    subjects: NDArray[np.int64] | None = None,
    min_subjects: int = MIN_SUBJECTS,
    kind: str = "number",
    minimum: float | None = None,
    maximum: float | None = None,
    max_bins: int = 256,
    nullable: bool = True,
) -> NumberCode:
    """Learn the atoms of a column of numbers.

    A column that fewer than `min_subjects` subjects fill has nothing that may be kept: it becomes one even bin
    between the schema's bounds, or always missing where there are none (0 where it must not be missing).

    Parameters
    ----------
    values : shape (R,), NaN where missing; days for dates, microseconds for datetimes.
    subjects : shape (R,), whose row it is; None means each row is its own subject.
    min_subjects : fewest subjects behind a spike or bin.
    kind : integer, number, date or datetime.
    minimum, maximum : closed bounds of the schema, which no draw leaves.
    max_bins : about the most atoms; a column of at most this many distinct values keeps each as a spike where it may.
    nullable : whether a draw may be missing where nothing else is known.
    """
    present = ~np.isnan(values)
    values = values[present]
    who = None if subjects is None else np.unique(subjects[present], return_inverse=True)[1]
    if count_subjects(who, len(values)) < min_subjects:
        return _unknown(kind, minimum, maximum, nullable)
    grid = learn_grid(values, kind)
    floor, roof = _bound(grid, minimum, np.ceil, -0.5), _bound(grid, maximum, np.floor, 0.5)
    if kind in {"integer", "number"}:  # a sign that every subject has is kept
        floor, roof = _signed(grid, values, floor, roof)
    points, inverse, rows = np.unique(grid.locate(values), return_inverse=True, return_counts=True)
    held = subjects_per_label(inverse, who, len(points))
    enough = min_subjects if len(points) <= max_bins else max(min_subjects, len(values) / max_bins)
    is_spike = (held >= min_subjects) & (rows >= enough)
    rest = ~is_spike[inverse]
    spikes = points[is_spike]
    code = NumberCode(kind, grid, tuple(spikes.tolist()), minimum=minimum, maximum=maximum)
    kept = None if who is None else who[rest]
    if len(spikes) and count_subjects(kept, int(rest.sum())) < min_subjects:
        return code  # the few others count as their nearest spike
    located = points[inverse[rest]]
    edges = learn_edges(located, kept, code.line, min_subjects, max(32, max_bins - len(spikes)), floor, roof)
    ends = code.line.squeeze(edges)
    middle = code.line.squeeze(located) + (0.5 if grid.is_whole else 0.0)
    bins = np.clip(np.searchsorted(edges, located, side="right") - 1, 0, len(edges) - 2)
    where = np.clip((middle - starts(grid, ends)[bins]) / widths(grid, ends)[bins], 0, 1)
    means = np.bincount(bins, where, len(edges) - 1) / np.maximum(np.bincount(bins, minlength=len(edges) - 1), 1)
    means = np.clip(np.round(means / _STEP) * _STEP, _STEP, 1 - _STEP)
    return replace(
        code,
        edges=tuple(edges.tolist()),
        means=tuple(np.round(means, 2).tolist()),
        heaping=learn_heaping(located, kind, grid),
    )


def encode_number(code: NumberCode, values: Floats) -> Atoms:
    """Return the atom of each value, shape (R,); -1 where missing. Values never seen go to the nearest atom."""
    return place_number(code, values)[0]


def place_number(code: NumberCode, values: Floats) -> tuple[Atoms, Floats]:
    """Return the atom of each value and its position in [0, 1) within the atom, both of shape (R,).

    `decode_number` at that position gives the value back up to the preferred digits; 0.5 for spikes and missing.
    """
    atoms = np.full(len(values), -1, dtype=np.int32)
    position = np.full(len(values), 0.5)
    rows = np.flatnonzero(~np.isnan(values))
    if len(rows) == 0 or code.n_atoms == 0:
        return atoms, position
    located = code.grid.locate(values[rows])
    of_spike, of_bin, _ = code._places
    if code.spikes:
        right = np.clip(np.searchsorted(code._spikes, located), 0, len(code.spikes) - 1)
        left = np.maximum(right - 1, 0)
        nearest = np.where(np.abs(located - code._spikes[left]) < np.abs(located - code._spikes[right]), left, right)
        exact = code._spikes[nearest] == located
        atoms[rows] = of_spike[nearest]
    else:
        exact = np.zeros(len(rows), dtype=bool)
    if code.means:
        loose, located = rows[~exact], located[~exact]
        bins = np.clip(np.searchsorted(code._edges, located, side="right") - 1, 0, len(code.means) - 1)
        ends = code.line.squeeze(code._edges)
        middle = code.line.squeeze(located) + (0.5 if code.grid.is_whole else 0.0)
        where = np.clip((middle - starts(code.grid, ends)[bins]) / widths(code.grid, ends)[bins], 0, 1)
        atoms[loose] = of_bin[bins]
        position[loose] = np.minimum(mass_below(where, code._rates[bins]), np.nextafter(1, 0))
    return atoms, position


def decode_number(
    code: NumberCode, atoms: Atoms, u: Floats, *, low: float | None = None, high: float | None = None
) -> Floats:
    """Return one value per atom, NaN for atom -1.

    Parameters
    ----------
    atoms : shape (R,), atoms -1 .. n_atoms - 1.
    u : shape (R,), in [0, 1): where within a bin; the same u gives the same value. Spikes do not use it.
    low, high : closed band that the values must lie in; only atoms that `share_number` gives a share may be asked for.
    """
    out = np.full(len(atoms), np.nan)
    if code.n_atoms == 0:
        return out
    which = code._places[2][np.maximum(atoms, 0)]
    spiked = (atoms >= 0) & (which >= 0)
    out[spiked] = code.grid.value(code._spikes[which[spiked]])
    rows = np.flatnonzero((atoms >= 0) & (which < 0))
    if len(rows) == 0:
        return out
    bins = -1 - which[rows]
    start, stop, t_low, t_high = _window(code, low, high)
    rate, u = code._rates[bins], u[rows]
    unit, offset, u = _lattice(code.heaping, u)
    below, above = mass_below(t_low[bins], rate), mass_below(t_high[bins], rate)
    t = place_at(below + u * (above - below), rate)
    ends = code.line.squeeze(code._edges)
    inner = starts(code.grid, ends)[bins] + t * widths(code.grid, ends)[bins]
    if code.grid.is_whole:
        inner = np.clip(np.floor(inner), start[bins], stop[bins] - 1)
        point = code.line.stretch(inner)
        if code.heaping:
            plain, done = point, np.zeros(len(point), dtype=bool)
            for shift in (0.0, 1.0, -1.0):  # the nearest multiple inside the bin that is no spike, if there is one
                heaped = (np.rint((plain - offset) / unit) + shift) * unit + offset
                squeezed = code.line.squeeze(heaped)
                fits = (squeezed >= start[bins]) & (squeezed < stop[bins]) & (code.line.stretch(squeezed) == heaped)
                point = np.where(fits & ~done, heaped, point)
                done |= fits
    else:
        point = np.clip(inner, start[bins], stop[bins])
    tops = [bound for bound in (code.maximum, high) if bound is not None]
    bottoms = [bound for bound in (code.minimum, low) if bound is not None]
    out[rows] = np.clip(code.grid.value(point), max(bottoms, default=None), min(tops, default=None))
    return out


def share_number(code: NumberCode, low: float | None, high: float | None) -> Floats:
    """Return the share of each atom's mass that lies in a closed band, shape (n_atoms,), each in [0, 1]."""
    of_spike, of_bin, _ = code._places
    share = np.zeros(code.n_atoms)
    value = code.grid.value(code._spikes)
    share[of_spike] = (value >= (-np.inf if low is None else low)) & (value <= (np.inf if high is None else high))
    if code.means:
        start, stop, t_low, t_high = _window(code, low, high)
        mass = mass_below(t_high, code._rates) - mass_below(t_low, code._rates)
        share[of_bin] = np.where(stop > start, np.clip(mass, 1e-9, 1), 0.0)
    return share


def describe_number(code: NumberCode) -> dict[str, Any]:
    """Return what a person wants to know of the code: numbers of atoms, grid, preferred digits."""
    return {
        "kind": code.kind,
        "spikes": len(code.spikes),
        "bins": len(code.means),
        "grid": code.grid.to_dict(),
        "preferred": {unit: weight for unit, _, weight in code.heaping},
    }


# ---------------------------------------------------------------------- learning
def _bound(grid: Grid, limit: float | None, snap: Any, half: float) -> float | None:
    """Bound of the schema in grid coordinates: the edge just beyond the last grid point inside."""
    if limit is None:
        return None
    scaled = grid.scale(np.array(float(limit)))
    return float(snap(np.round(scaled, 6)) + half) if grid.is_whole else float(scaled)


def _signed(grid: Grid, values: Floats, floor: float | None, roof: float | None) -> tuple[float | None, float | None]:
    half = 0.5 if grid.is_whole else 0.0
    if values.min() >= 0:
        zero = half if values.min() > 0 else -half
        floor = zero if floor is None else max(floor, zero)
    elif values.max() <= 0:
        zero = -half if values.max() < 0 else half
        roof = zero if roof is None else min(roof, zero)
    return floor, roof


def _unknown(kind: str, minimum: float | None, maximum: float | None, nullable: bool) -> NumberCode:
    grid = Grid(None if kind == "number" else 0)
    if minimum is not None and maximum is not None:
        if minimum == maximum:
            return NumberCode(kind, grid, (float(minimum),))
        half = 0.5 if grid.is_whole else 0.0
        edges = (float(np.ceil(minimum)) - half, float(np.floor(maximum)) + half) if half else (minimum, maximum)
        return NumberCode(kind, grid, (), edges, (0.5,), (), minimum, maximum)
    if nullable:
        return NumberCode(kind, grid)
    return NumberCode(kind, grid, (max(0.0, minimum or 0.0) if maximum is None else min(0.0, maximum),))


# ---------------------------------------------------------------------- within a bin
def _window(code: NumberCode, low: float | None, high: float | None) -> tuple[Floats, Floats, Floats, Floats]:
    """Squeezed start and stop of each bin within a band, and the same as positions in [0, 1]."""
    ends = code.line.squeeze(code._edges)
    start, width = starts(code.grid, ends), widths(code.grid, ends)
    begin, end = start.copy(), start + width
    if low is not None:
        at = code.grid.scale(np.array([low]))
        begin = np.maximum(begin, code.line.squeeze(np.ceil(np.round(at, 6)) if code.grid.is_whole else at))
    if high is not None:
        at = code.grid.scale(np.array([high]))
        # one past the last grid point inside the band
        end = np.minimum(end, code.line.squeeze(np.floor(np.round(at, 6)) + 1) if code.grid.is_whole else at)
    if not code.grid.is_whole:
        end = np.where((end == begin) & (low is not None), end + 1e-300, end)
    return begin, end, np.clip((begin - start) / width, 0, 1), np.clip((end - start) / width, 0, 1)


def _lattice(heaping: tuple[Lattice, ...], u: Floats) -> tuple[Floats, Floats, Floats]:
    """Split u into the choice of a lattice and a fresh uniform: unit, offset and u, each of shape (R,)."""
    if not heaping:
        return np.ones(1), np.zeros(1), u
    weights = np.array([weight for _, _, weight in heaping])
    weights = np.append(weights, max(0.0, 1 - weights.sum()))
    bounds = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
    choice = np.clip(np.searchsorted(bounds, u, side="right") - 1, 0, len(weights) - 1)
    unit = np.array([*(unit for unit, _, _ in heaping), 1], dtype=np.float64)[choice]
    offset = np.array([*(offset for _, offset, _ in heaping), 0], dtype=np.float64)[choice]
    fresh = (u - bounds[choice]) / np.maximum(bounds[choice + 1] - bounds[choice], 1e-300)
    return unit, offset, np.clip(fresh, 0, np.nextafter(1, 0))
