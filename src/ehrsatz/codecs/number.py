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

from ehrsatz.codecs.grid import Floats, Grid, Lattice, learn_grid, learn_heaping, roundest

Atoms = NDArray[np.int32]

_TAIL = 4.0  # a tail ends at so many mean excesses: 1.8 % of an exponential lies beyond
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
    def _gaps(self) -> Floats:
        return self._spikes - np.arange(len(self.spikes))

    @cached_property
    def _edges(self) -> Floats:
        return np.array(self.edges, dtype=np.float64)

    @cached_property
    def _rates(self) -> Floats:
        return _rate(np.array(self.means, dtype=np.float64))

    @cached_property
    def _places(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Atom of each spike, atom of each bin, and for each atom: spike number, or -1 - bin number."""
        ends = self._squeeze(self._edges)
        centre = self._stretch(ends[:-1] + np.array(self.means) * np.diff(ends)) if self.means else np.empty(0)
        order = np.argsort(np.concatenate([self._spikes, centre]), kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order))
        n = len(self.spikes)
        return rank[:n], rank[n:], np.where(order < n, order, n - 1 - order)

    def _squeeze(self, coordinates: Floats) -> Floats:
        """Coordinates with the spikes taken out of the grid."""
        if not self.grid.is_whole:
            return coordinates
        return coordinates - np.searchsorted(self._spikes, coordinates, side="left")

    def _stretch(self, squeezed: Floats) -> Floats:
        """Undo `_squeeze`."""
        if not self.grid.is_whole:
            return squeezed
        return squeezed + np.searchsorted(self._gaps, squeezed, side="right")

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
    min_subjects: int = 5,
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
    if _distinct(who, len(values)) < min_subjects:
        return _unknown(kind, minimum, maximum, nullable)
    grid = learn_grid(values, kind)
    floor, roof = _bound(grid, minimum, np.ceil, -0.5), _bound(grid, maximum, np.floor, 0.5)
    if kind in {"integer", "number"}:  # a sign that every subject has is kept
        floor, roof = _signed(grid, values, floor, roof)
    points, inverse, rows = np.unique(grid.locate(values), return_inverse=True, return_counts=True)
    held = _held(inverse, who, len(points))
    enough = min_subjects if len(points) <= max_bins else max(min_subjects, len(values) / max_bins)
    is_spike = (held >= min_subjects) & (rows >= enough)
    rest = ~is_spike[inverse]
    spikes = points[is_spike]
    code = NumberCode(kind, grid, tuple(spikes.tolist()), minimum=minimum, maximum=maximum)
    kept = None if who is None else who[rest]
    if len(spikes) and _distinct(kept, int(rest.sum())) < min_subjects:
        return code  # the few others count as their nearest spike
    located = points[inverse[rest]]
    edges = _edges(located, kept, code, min_subjects, max(32, max_bins - len(spikes)), floor, roof)
    ends = code._squeeze(edges)
    middle = code._squeeze(located) + (0.5 if grid.is_whole else 0.0)
    bins = np.clip(np.searchsorted(edges, located, side="right") - 1, 0, len(edges) - 2)
    where = np.clip((middle - _start(grid, ends)[bins]) / _width(grid, ends)[bins], 0, 1)
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
        ends = code._squeeze(code._edges)
        middle = code._squeeze(located) + (0.5 if code.grid.is_whole else 0.0)
        where = np.clip((middle - _start(code.grid, ends)[bins]) / _width(code.grid, ends)[bins], 0, 1)
        atoms[loose] = of_bin[bins]
        position[loose] = np.minimum(_cdf(where, code._rates[bins]), np.nextafter(1, 0))
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
    below, above = _cdf(t_low[bins], rate), _cdf(t_high[bins], rate)
    t = _quantile(below + u * (above - below), rate)
    ends = code._squeeze(code._edges)
    inner = _start(code.grid, ends)[bins] + t * _width(code.grid, ends)[bins]
    if code.grid.is_whole:
        inner = np.clip(np.floor(inner), start[bins], stop[bins] - 1)
        point = code._stretch(inner)
        if code.heaping:
            heaped = np.rint((point - offset) / unit) * unit + offset
            squeezed = code._squeeze(heaped)
            fits = (squeezed >= start[bins]) & (squeezed < stop[bins]) & (code._stretch(squeezed) == heaped)
            point = np.where(fits, heaped, point)
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
        mass = _cdf(t_high, code._rates) - _cdf(t_low, code._rates)
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


def _distinct(who: NDArray[np.intp] | None, n: int) -> int:
    """Number of distinct subjects among n rows; None means each row is its own."""
    return n if who is None else len(np.unique(who))


def _held(label: NDArray[np.intp], who: NDArray[np.intp] | None, n: int) -> NDArray[np.int64]:
    """Number of distinct subjects per label, shape (n,)."""
    if who is None:
        return np.bincount(label, minlength=n)
    wide = int(who.max(initial=0)) + 1
    return np.bincount(np.unique(label.astype(np.int64) * wide + who) // wide, minlength=n)


def _edges(
    located: Floats,
    who: NDArray[np.intp] | None,
    code: NumberCode,
    min_subjects: int,
    most: int,
    floor: float | None,
    roof: float | None,
) -> Floats:
    """Edges of quantile bins over coordinates that are no spikes, shape (n_bins + 1,)."""
    points, inverse, rows = np.unique(located, return_inverse=True, return_counts=True)
    total = np.cumsum(rows)
    n_bins = int(min(most, len(located) // (2 * min_subjects), len(points)))
    if n_bins < 2:
        return _single(points, rows, code, floor, roof)
    size = len(located) / n_bins
    gaps = np.diff(code._squeeze(points))
    cuts: list[int] = []
    for target in np.arange(1, n_bins) * size:  # the widest gap near each quantile
        near = np.searchsorted(total[:-1], [target - size / 4, target + size / 4])
        low, high = int(near[0]), int(min(near[1] + 1, len(gaps)))
        if low < high:
            worth = gaps[low:high] - 1e-3 * np.abs(total[low:high] - target) / size * (gaps[low:high] + 1e-300)
            cuts.append(low + int(np.argmax(worth)))
    cuts = sorted(set(cuts))
    while cuts:  # merge what too few subjects fill
        label = np.searchsorted(np.array(cuts), np.arange(len(points)), side="left")[inverse]
        filled = _held(label, who, len(cuts) + 1)
        thin = np.flatnonzero(filled < min_subjects)
        if len(thin) == 0:
            break
        # every other thin bin goes, so that neighbours are counted anew before they are merged too
        gone = {min(int(one), len(cuts) - 1) for one in thin[::2]}
        cuts = [cut for place, cut in enumerate(cuts) if place not in gone]
    if not cuts:
        return _single(points, rows, code, floor, roof)
    at = np.array(cuts)
    inner = roundest(points[at], points[at + 1], code.grid.is_whole)
    first = _tail(points[: at[0] + 1], rows[: at[0] + 1], inner[0], -1.0, code, floor)
    last = _tail(points[at[-1] + 1 :], rows[at[-1] + 1 :], inner[-1], 1.0, code, roof)
    return np.concatenate([[first], inner, [last]])


def _tail(
    points: Floats, rows: NDArray[np.int64], edge: float, sign: float, code: NumberCode, limit: float | None
) -> float:
    """Outer end of a tail bin: four mean excesses out, cut at the schema's bound and before the next spike."""
    squeezed, start = code._squeeze(points), code._squeeze(np.array([edge]))[0]
    excess = float(np.average(np.abs(squeezed - start), weights=rows))
    reach = max(excess * _TAIL, 2.0 if code.grid.is_whole else 0.0)
    end = _two_digits(reach) * sign + start
    end = float(code._stretch(np.array([np.rint(end)]))[0] + 0.5 * sign) if code.grid.is_whole else end
    beyond = (
        code._spikes[(code._spikes - points.max()) > 0] if sign > 0 else code._spikes[(code._spikes - points.min()) < 0]
    )
    if len(beyond):  # the tail stays on its side of the next spike
        spike = float(beyond.min() if sign > 0 else beyond.max()) - 0.5 * sign * code.grid.is_whole
        end = min(end, spike) if sign > 0 else max(end, spike)
    if limit is not None:
        end = min(end, limit) if sign > 0 else max(end, limit)
    return end


def _single(
    points: Floats, rows: NDArray[np.int64], code: NumberCode, floor: float | None, roof: float | None
) -> Floats:
    """Edges of a lone bin: an even density of the same mean and spread, inside the schema's bounds."""
    mean = float(np.average(points, weights=rows))
    spread = float(np.sqrt(3 * np.average((points - mean) ** 2, weights=rows)))
    spread = _two_digits(max(spread, 1.0 if code.grid.is_whole else abs(mean) * 1e-6 + 1e-12))
    centre = _two_digits(abs(mean), 3) * (1.0 if mean >= 0 else -1.0)
    low, high = centre - spread, centre + spread
    if code.grid.is_whole:
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
    low = max(low, floor) if floor is not None else low
    high = min(high, roof) if roof is not None else high
    if high <= low:
        low, high = (low - 1, low) if roof is not None and high == roof else (high, high + 1)
    ends = np.array([low, high])
    if np.diff(code._squeeze(ends))[0] <= 0:  # nothing but spikes inside
        ends = np.array([float(points.min()) - 0.5, float(points.max()) + 0.5])
    return ends


def _two_digits(size: float, digits: int = 2) -> float:
    """Round up to so many significant digits, so that a stored width tells no value."""
    if size <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
    return float(np.ceil(size / unit) * unit)


# ---------------------------------------------------------------------- within a bin
def _start(grid: Grid, ends: Floats) -> Floats:
    return np.ceil(ends[:-1]) if grid.is_whole else ends[:-1]


def _width(grid: Grid, ends: Floats) -> Floats:
    if grid.is_whole:
        return np.maximum(np.ceil(ends[1:]) - np.ceil(ends[:-1]), 1.0)
    return np.maximum(np.diff(ends), 1e-300)


def _window(code: NumberCode, low: float | None, high: float | None) -> tuple[Floats, Floats, Floats, Floats]:
    """Squeezed start and stop of each bin within a band, and the same as positions in [0, 1]."""
    ends = code._squeeze(code._edges)
    start, width = _start(code.grid, ends), _width(code.grid, ends)
    begin, end = start.copy(), start + width
    if low is not None:
        at = code.grid.scale(np.array([low]))
        begin = np.maximum(begin, code._squeeze(np.ceil(np.round(at, 6)) if code.grid.is_whole else at))
    if high is not None:
        at = code.grid.scale(np.array([high]))
        # one past the last grid point inside the band
        end = np.minimum(end, code._squeeze(np.floor(np.round(at, 6)) + 1) if code.grid.is_whole else at)
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


def _rate(means: Floats) -> Floats:
    """Rate r of the density proportional to exp(-r t) on [0, 1] that has these means, by bisection."""
    low, high = np.full(len(means), -60.0), np.full(len(means), 60.0)
    for _ in range(50):
        middle = (low + high) / 2
        safe = np.where(np.abs(middle) < 1e-6, 1e-6, middle)
        mean = 1 / safe - 1 / np.expm1(safe)
        low, high = np.where(mean > means, middle, low), np.where(mean > means, high, middle)
    return np.where(means == 0.5, 0.0, (low + high) / 2)


def _cdf(t: Floats, rate: Floats) -> Floats:
    safe = np.where(np.abs(rate) < 1e-9, 1.0, rate)
    return np.where(np.abs(rate) < 1e-9, t, np.expm1(-safe * t) / np.expm1(-safe))


def _quantile(u: Floats, rate: Floats) -> Floats:
    safe = np.where(np.abs(rate) < 1e-9, 1.0, rate)
    t = np.where(np.abs(rate) < 1e-9, u, -np.log1p(u * np.expm1(-safe)) / safe)
    return np.clip(t, 0, 1)
