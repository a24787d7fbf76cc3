"""Natural levels: the published quantile functions of all processes, read at a person's z by age and sex.

Each process becomes one table per sex: rows are ages (months as long as children grow fast, then years), columns are z
in steps of an eighth; a level is read by linear interpolation in both. Between published quantiles the function is
monotone (PCHIP over normal scores, on the scale of the process); beyond them it goes on straight, with the mean slope
from the median to the outermost one, until the bounds.

Published quantiles are those of single readings. A level is what a person's readings vary about, so the variation
within a person is taken out (`usual`): readings of levels have the published quantiles again.

References
----------
Fritsch FN, Carlson RE, Monotone piecewise cubic interpolation, SIAM J Numer Anal 1980;17:238, doi:10.1137/0717021.
Nusser SM et al., A semiparametric transformation approach to estimating usual daily intake distributions, J Am Stat
Assoc 1996;91:1440, doi:10.1080/01621459.1996.10476712 (taking the variation within people out; ours is numerical).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri

from ehrsatz.simulator import growth
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.process import OLDEST, Process, Processes

REACH, STEP = 5.0, 0.125  # columns: z from -REACH to REACH
COLUMNS = np.arange(-REACH, REACH + STEP / 2, STEP)
COARSE = np.arange(-4.5, 4.51, 0.25)  # where the variation within people is taken out
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
ROUNDS = 8
JOIN = 18.0  # years; from here to 20 charts go over to the adult tables


@dataclass(frozen=True)
class Correction:
    """What is added to the quantile function of a process, as the calibrator found.

    Parameters
    ----------
    ages
        (K,) years, rising.
    probabilities
        (P,) rising.
    shift
        (2, K, P) for female and male, in the unit of the process; linear between, held outside.
    """

    ages: Floats
    probabilities: Floats
    shift: Floats


class Natural:
    """Levels without disease or drug, by process, sex, age and z.

    Parameters
    ----------
    processes
        Their tables.
    corrections
        By process, what to add; none where absent.
    usual
        Take the variation within people out. Without, levels have the published quantiles themselves.
    """

    def __init__(
        self, processes: Processes, corrections: Mapping[str, Correction] | None = None, *, usual: bool = True
    ) -> None:
        self.processes = processes
        self._corrections = dict(corrections or {})
        self._usual = usual
        self._tables: dict[str, NDArray[np.float64]] = {}
        self._years: dict[tuple[str, float], NDArray[np.float64]] = {}

    def bounds(self, process: str) -> tuple[float, float]:
        """Return the lowest and the highest level that a process can have."""
        one = self.processes[process]
        return one.low, one.high

    def grid(
        self, process: str, sex: Ints, z: NDArray[np.floating], middle: float = 0.5, year: Ints | None = None
    ) -> Floats:
        """Return levels over years of age, or in single years.

        Parameters
        ----------
        process
            Its id.
        sex
            Shape (N,), 0 female, 1 male.
        z
            Shape (N, T); column t belongs to the year of age from t to t + 1.
        middle
            Column t is read at age t + `middle`.
        year
            Shape (R,) with `sex` and `z`: the column that each of them would stand in. None: all columns.

        Returns
        -------
        Shape (N, T), or (R,).
        """
        table = self._by_year(process, middle)  # (2, OLDEST + 1, C)
        n_years, columns = table.shape[1], table.shape[2]
        if year is not None:
            return _read(table.reshape(-1), (sex * n_years + np.minimum(year, n_years - 1)) * columns, z)
        year = np.minimum(np.arange(z.shape[1]), n_years - 1)
        row = (sex[:, None] * n_years + year[None, :]) * columns  # (N, T)
        return _read(table.reshape(-1), row, z)

    def at(self, process: str, sex: Ints, age: Floats, z: NDArray[np.floating]) -> Floats:
        """Return levels (R,) at exact ages (R,) in years."""
        table, knee = self._table(process), self._knee(process)
        low, part, columns = *_rows(age, knee, table.shape[1]), table.shape[2]
        row = (sex * table.shape[1] + low) * columns
        flat = table.reshape(-1)
        below = _read(flat, row, z)
        return below + part * (_read(flat, row + columns, z) - below)

    def rank(self, process: str, sex: Ints, age: Floats, value: Floats) -> Floats:
        """Return the z (R,) at which people of a sex and age have a level (R,), between -5 and 5; the inverse of `at`.

        Where the function is flat, the lowest z of the flat part that the search meets.
        """
        table, knee = self._table(process), self._knee(process)
        low, part, columns = *_rows(age, knee, table.shape[1]), table.shape[2]
        row = (sex * table.shape[1] + low) * columns
        flat = table.reshape(-1)

        def read(column: Ints) -> Floats:
            below = flat[row + column]
            return below + part * (flat[row + columns + column] - below)

        left, right = np.zeros(len(value), np.int64), np.full(len(value), columns - 1)
        while (right - left).max(initial=0) > 1:
            middle = (left + right) // 2
            above = read(middle) >= value
            right, left = np.where(above, middle, right), np.where(above, left, middle)
        first, last = read(left), read(right)
        share = np.clip((value - first) / np.where(last > first, last - first, 1.0), 0, 1)
        return COLUMNS[left] + share * STEP

    def growth(self, kind: str, sex: Ints, age: Floats, z: NDArray[np.floating]) -> Floats:
        """Return what growing children measure: height, bmi and head as `at`, weight by its chart.

        Today's children stand to the charts as `chart` of the process says; from 18 to 20 they go over to the adult
        tables without a step.
        """
        if kind == "weight":
            return growth.at(kind, sex, age, np.asarray(z, np.float64))
        return self.at(kind, sex, age, z)

    # ------------------------------------------------------------------ tables
    def _knee(self, process: str) -> int:
        return 20 if self.processes[process].chart is not None else 2

    def _by_year(self, process: str, middle: float) -> NDArray[np.float64]:
        key = (process, middle)
        if key not in self._years:
            table = self._table(process)
            low, part = _rows(np.arange(OLDEST + 1.0) + middle, self._knee(process), table.shape[1])
            self._years[key] = table[:, low] + part[None, :, None] * (table[:, low + 1] - table[:, low])
        return self._years[key]

    def _table(self, process: str) -> NDArray[np.float64]:
        """Return the table (2, A, C) of a process."""
        if process not in self._tables:
            self._tables[process] = self._make(self.processes[process])
        return self._tables[process]

    def _make(self, one: Process) -> NDArray[np.float64]:
        quantiles, knee = one.quantiles, self._knee(one.id)
        age = np.r_[np.arange(12 * knee) / 12, np.arange(knee, OLDEST + 1.0)]  # (A,)
        knots = np.array([_curves(one, quantiles.female), _curves(one, quantiles.male)])  # (2, K, C), on the scale
        if self._usual and _spreads(one):
            knots = np.array([[_usual(one, row) for row in rows] for rows in knots])
        table = _over_age(knots, np.array(quantiles.ages), age)
        if one.chart is not None:
            table = _charted(one, table, age)
        if one.scale == "log":
            table = np.exp(table)
        fix = self._corrections.get(one.id)
        if fix is not None:
            goal = ndtri(fix.probabilities)
            shift = np.array([[np.interp(COLUMNS, goal, row) for row in rows] for rows in fix.shift])  # (2, K, C)
            grown = np.clip((age - JOIN) / (growth.GROWN - JOIN), 0, 1) if one.chart is not None else np.ones(len(age))
            table = table + _over_age(shift, fix.ages, age) * grown[None, :, None]  # charts are left as they are
        return np.clip(_rising(table), one.low, one.high)


def _rising(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels (..., C) that do not fall with z, from the median outwards: a tail never moves the middle."""
    middle = len(COLUMNS) // 2
    upper = np.maximum.accumulate(table[..., middle:], axis=-1)
    lower = np.minimum.accumulate(table[..., : middle + 1][..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([lower[..., :-1], upper], axis=-1)


def _curves(one: Process, rows: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    """Return quantile functions (K, C) on the scale of the process."""
    z = ndtri(np.array(one.quantiles.probabilities))
    values = np.array(rows)
    if one.scale == "log":
        values = np.log(values)
    inner = np.clip(COLUMNS, z[0], z[-1])
    curves = PchipInterpolator(z, values, axis=1)(inner)
    middle = PchipInterpolator(z, values, axis=1)(np.clip(0.0, z[0], z[-1]))
    low = (middle - values[:, 0]) / max(-z[0], 0.5)  # (K,) mean slopes
    high = (values[:, -1] - middle) / max(z[-1], 0.5)
    below, above = np.minimum(COLUMNS - z[0], 0), np.maximum(COLUMNS - z[-1], 0)
    return curves + low[:, None] * below + high[:, None] * above


def _over_age(rows: NDArray[np.float64], knots: Floats, age: Floats) -> NDArray[np.float64]:
    """Return rows (2, K, C) at knots of age, linear in age in between: (2, A, C)."""
    if len(knots) == 1:
        return np.repeat(rows, len(age), axis=1)
    high = np.clip(np.searchsorted(knots, age, side="right"), 1, len(knots) - 1)
    part = np.clip((age - knots[high - 1]) / (knots[high] - knots[high - 1]), 0, 1)[None, :, None]
    return rows[:, high - 1] * (1 - part) + rows[:, high] * part


def _charted(one: Process, table: NDArray[np.float64], age: Floats) -> NDArray[np.float64]:
    """Return the table with growth charts below 20 years, going over to what stands there from 18 on."""
    assert one.chart is not None
    young = np.flatnonzero(age < growth.GROWN)
    mean = np.interp(age[young], one.chart.ages, one.chart.mean)[:, None]
    spread = np.interp(age[young], one.chart.ages, one.chart.sd)[:, None]
    score = (mean + spread * COLUMNS[None, :]).ravel()  # (Y * C,)
    years = np.repeat(age[young], len(COLUMNS))
    share = np.clip((age[young] - JOIN) / (growth.GROWN - JOIN), 0, 1)[:, None]
    out = table.copy()
    for s in (0, 1):
        chart = growth.at(one.chart.kind, np.full(len(score), s), years, score).reshape(len(young), -1)
        chart = np.clip(chart, one.low, one.high)
        if one.scale == "log":
            chart = np.log(chart)
        grown = table[s, np.searchsorted(age, growth.GROWN)][None, :]
        out[s, young] = chart * (1 - share) + grown * share
    return out


def _spreads(one: Process) -> bool:
    """Whether readings vary about the level, on a scale that has room for it."""
    return one.unit != "{score}" and (one.within.cv or one.within.sd or 0) > 0


def _usual(one: Process, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quantile function (C,) of levels whose readings have the quantile function `row`, on the scale.

    A fixed-point search: the readings' function is computed by quadrature, and what it lacks is added to the levels'.
    """
    wanted = np.interp(COARSE, COLUMNS, row)
    level = wanted.copy()
    noise = _noise(one, wanted)[:, None] * NODES[None, :]  # (Z, 9), at every level
    for _ in range(ROUNDS):
        rising = np.maximum.accumulate(level) + np.arange(len(level)) * 1e-9
        from_level = np.interp((wanted[:, None] - noise).ravel(), rising, COARSE).reshape(noise.shape)
        reached = (ndtr(from_level) * WEIGHTS).sum(axis=1) / WEIGHTS.sum()
        z = ndtri(np.clip(reached, 1e-9, 1 - 1e-9))  # readings have `wanted` at these z
        got = np.interp(COARSE, np.maximum.accumulate(z), wanted)
        level = level + 0.8 * (wanted - got)
    level = np.maximum.accumulate(level)
    return row + np.interp(COLUMNS, COARSE, level - wanted)


def _noise(one: Process, level: Floats) -> Floats:
    """Return the standard deviation (Z,) of readings about levels (Z,), both on the scale of the process."""
    if one.scale == "log":
        if one.within.cv is not None:
            return np.full(len(level), np.sqrt(np.log1p(one.within.cv**2)))
        assert one.within.sd is not None
        return one.within.sd / np.exp(level)
    if one.within.cv is not None:
        return one.within.cv * np.abs(level)
    assert one.within.sd is not None
    return np.full(len(level), one.within.sd)


def _rows(age: Floats, knee: int, n_rows: int) -> tuple[Ints, Floats]:
    """Return the row (R,) below an age and how far it lies towards the next one."""
    place = np.where(age < knee, age * 12, age + 11 * knee)
    place = np.clip(place, 0, n_rows - 1)
    low = np.minimum(place.astype(np.int64), n_rows - 2)
    return low, place - low


def _read(flat: Floats, row: Ints, z: NDArray[np.floating]) -> Floats:
    """Return a table's values at the starts of rows and z of the same shape, linear in z."""
    place = (np.clip(z, -REACH, REACH - 1e-6) + REACH) * (1 / STEP)
    column = place.astype(np.int64)
    index = row + column
    below = flat.take(index)
    index += 1
    return below + (place - column) * (flat.take(index) - below)
