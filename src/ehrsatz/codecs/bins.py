"""Bins of numbers: where they begin and end, and how values lie within one.

Bins lie on the grid without the spikes ("squeezed" coordinates), so that a draw from a bin never is a spike. Within a
bin values follow an exponential density, cut to the bin, whose mean is the bin's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.grid import Floats, Grid, roundest

_TAIL = 4.0  # a tail ends at so many mean excesses: 1.8 % of an exponential lies beyond


@dataclass(frozen=True)
class Line:
    """A grid with some of its points, the spikes, taken out; spikes are sorted grid coordinates of shape (S,)."""

    grid: Grid
    spikes: Floats

    @cached_property
    def _gaps(self) -> Floats:
        return self.spikes - np.arange(len(self.spikes))

    def squeeze(self, coordinates: Floats) -> Floats:
        """Return coordinates on the grid without the spikes."""
        if not self.grid.is_whole:
            return coordinates
        return coordinates - np.searchsorted(self.spikes, coordinates, side="left")

    def stretch(self, squeezed: Floats) -> Floats:
        """Undo `squeeze` for points that are no spikes."""
        if not self.grid.is_whole:
            return squeezed
        return squeezed + np.searchsorted(self._gaps, squeezed, side="right")


def count_subjects(who: NDArray[np.intp] | None, n: int) -> int:
    """Number of distinct subjects among n rows; None means each row is its own."""
    return n if who is None else len(np.unique(who))


def subjects_per_label(label: NDArray[np.intp], who: NDArray[np.intp] | None, n: int) -> NDArray[np.int64]:
    """Number of distinct subjects per label, shape (n,)."""
    if who is None:
        return np.bincount(label, minlength=n)
    wide = int(who.max(initial=0)) + 1
    return np.bincount(np.unique(label.astype(np.int64) * wide + who) // wide, minlength=n)


def learn_edges(
    located: Floats,
    who: NDArray[np.intp] | None,
    line: Line,
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
        return _single(points, rows, line, floor, roof)
    size = len(located) / n_bins
    gaps = np.diff(line.squeeze(points))
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
        filled = subjects_per_label(label, who, len(cuts) + 1)
        thin = np.flatnonzero(filled < min_subjects)
        if len(thin) == 0:
            break
        # every other thin bin goes, so that neighbours are counted anew before they are merged too
        gone = {min(int(one), len(cuts) - 1) for one in thin[::2]}
        cuts = [cut for place, cut in enumerate(cuts) if place not in gone]
    if not cuts:
        return _single(points, rows, line, floor, roof)
    at = np.array(cuts)
    inner = roundest(points[at], points[at + 1], line.grid.is_whole)
    first = _tail(points[: at[0] + 1], rows[: at[0] + 1], inner[0], -1.0, line, floor)
    last = _tail(points[at[-1] + 1 :], rows[at[-1] + 1 :], inner[-1], 1.0, line, roof)
    return np.concatenate([[first], inner, [last]])


def _tail(points: Floats, rows: NDArray[np.int64], edge: float, sign: float, line: Line, limit: float | None) -> float:
    """Outer end of a tail bin: four mean excesses out, cut at the schema's bound and before the next spike."""
    squeezed, start = line.squeeze(points), line.squeeze(np.array([edge]))[0]
    excess = float(np.average(np.abs(squeezed - start), weights=rows))
    reach = max(excess * _TAIL, 2.0 if line.grid.is_whole else 0.0)
    end = _two_digits(reach) * sign + start
    end = float(line.stretch(np.array([np.rint(end)]))[0] + 0.5 * sign) if line.grid.is_whole else end
    beyond = (
        line.spikes[(line.spikes - points.max()) > 0] if sign > 0 else line.spikes[(line.spikes - points.min()) < 0]
    )
    if len(beyond):  # the tail stays on its side of the next spike
        spike = float(beyond.min() if sign > 0 else beyond.max()) - 0.5 * sign * line.grid.is_whole
        end = min(end, spike) if sign > 0 else max(end, spike)
    if limit is not None:
        end = min(end, limit) if sign > 0 else max(end, limit)
    return end


def _single(points: Floats, rows: NDArray[np.int64], line: Line, floor: float | None, roof: float | None) -> Floats:
    """Edges of a lone bin: an even density of the same mean and spread, inside the schema's bounds."""
    mean = float(np.average(points, weights=rows))
    spread = float(np.sqrt(3 * np.average((points - mean) ** 2, weights=rows)))
    spread = _two_digits(max(spread, 1.0 if line.grid.is_whole else abs(mean) * 1e-6 + 1e-12))
    centre = _two_digits(abs(mean), 3) * (1.0 if mean >= 0 else -1.0)
    low, high = centre - spread, centre + spread
    if line.grid.is_whole:
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
    low = max(low, floor) if floor is not None else low
    high = min(high, roof) if roof is not None else high
    if high <= low:
        low, high = (low - 1, low) if roof is not None and high == roof else (high, high + 1)
    for _ in range(64):  # where nothing but spikes lies inside, look further out
        if np.diff(line.squeeze(np.array([low, high])))[0] > 0:
            break
        low, high = low - spread, high + spread
        spread *= 2
    return np.array([low, high])


def _two_digits(size: float, digits: int = 2) -> float:
    """Round up to so many significant digits, so that a stored width tells no value."""
    if size <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
    return float(np.ceil(size / unit) * unit)


# ---------------------------------------------------------------------- within a bin
def starts(grid: Grid, ends: Floats) -> Floats:
    """Return the first squeezed point of each bin, shape (n_bins,)."""
    return np.ceil(ends[:-1]) if grid.is_whole else ends[:-1]


def widths(grid: Grid, ends: Floats) -> Floats:
    """Return the number of points (or the length, without a grid) of each bin, shape (n_bins,)."""
    if grid.is_whole:
        return np.maximum(np.ceil(ends[1:]) - np.ceil(ends[:-1]), 1.0)
    return np.maximum(np.diff(ends), 1e-300)


def rate_of(means: Floats) -> Floats:
    """Rate r of the density proportional to exp(-r t) on [0, 1] that has these means, by bisection."""
    low, high = np.full(len(means), -60.0), np.full(len(means), 60.0)
    for _ in range(50):
        middle = (low + high) / 2
        safe = np.where(np.abs(middle) < 1e-6, 1e-6, middle)
        mean = 1 / safe - 1 / np.expm1(safe)
        low, high = np.where(mean > means, middle, low), np.where(mean > means, high, middle)
    return np.where(means == 0.5, 0.0, (low + high) / 2)


def mass_below(t: Floats, rate: Floats) -> Floats:
    """Return the mass below t in [0, 1] of the density proportional to exp(-rate t)."""
    safe = np.where(np.abs(rate) < 1e-9, 1.0, rate)
    return np.where(np.abs(rate) < 1e-9, t, np.expm1(-safe * t) / np.expm1(-safe))


def place_at(u: Floats, rate: Floats) -> Floats:
    """Undo `mass_below`."""
    safe = np.where(np.abs(rate) < 1e-9, 1.0, rate)
    t = np.where(np.abs(rate) < 1e-9, u, -np.log1p(u * np.expm1(-safe)) / safe)
    return np.clip(t, 0, 1)
