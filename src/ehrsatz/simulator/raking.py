"""Tables pulled to figures of whole groups: bands are cut where a group begins or ends, and scaled within it.

Shares move by one odds ratio per group, so that none passes 1; rates by one ratio. Where groups overlap, they are
fitted in turn until all hold.

References
----------
Deming, Stephan, On a least squares adjustment of a sampled frequency table when the expected marginal totals are known,
Ann Math Stat 1940;11:427, doi:10.1214/aoms/1177731829 (fitting margins in turn).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ehrsatz.simulator.baseline import AGES, SEXES
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.module import Table

TURNS = 60
Cell = tuple[int, float, float]  # sex (-1: both), from and until below this age
SOURCE = "calibration"  # in a table that was pulled; the figure's own source stands in the file


def cut(table: Table, bounds: Iterable[float]) -> Table:
    """Return a table with more bands, beginning at `bounds` too, and shares or rates per year as unit."""
    ages = sorted({*table.ages, *(one for one in bounds if 0 <= one < AGES)})
    at = np.searchsorted(np.array(table.ages), np.array(ages), side="right") - 1
    figures = [np.where(at < 0, 0.0, np.array(table.of(sex))[np.maximum(at, 0)]) for sex in SEXES]
    return made(ages, np.array(figures))


def made(ages: Iterable[float], figures: Floats) -> Table:
    """Return a table of shares or rates (2, bands)."""
    return Table(
        ages=tuple(ages), female=tuple(figures[0].tolist()), male=tuple(figures[1].tolist()), source=SOURCE
    )  # fmt: skip


def of(table: Table) -> Floats:
    """Return the figures (2, bands) of a table as shares or rates."""
    return np.array([table.of(sex) for sex in SEXES])


def people_of(ages: Iterable[float], people: Floats) -> Floats:
    """Return the people (2, bands) in bands, of those of each year of age (2, A)."""
    lows = np.array(list(ages))
    highs = np.r_[lows[1:], AGES]
    year = np.arange(AGES, dtype=np.float64)
    share = np.clip(np.minimum(year + 1, highs[:, None]) - np.maximum(year, lows[:, None]), 0, 1)  # (bands, A)
    return people @ share.T


def rake(table: Table, people: Floats, wanted: Iterable[tuple[Cell, float]], *, rate: bool = False) -> Table:
    """Return a table whose means over groups are as wanted.

    Parameters
    ----------
    table
        Its shape within groups is kept; bands of zeros in it get a figure only where a whole group has none.
    people
        (2, A) people of each year of age.
    wanted
        Group (sex, -1: both; from and until below this age) and the mean over it.
    rate
        Figures have no upper bound.
    """
    wanted = list(wanted)
    table = cut(table, [edge for cell, _ in wanted for edge in cell[1:]])
    ages, figures = np.array(table.ages), of(table)
    weight = people_of(ages, people) + 1e-9
    groups = [(_inside(ages, cell), value) for cell, value in wanted]
    for group, value in groups:
        if value > 0 and not figures[group].any():
            figures[group] = value
    for _ in range(TURNS):
        worst = 0.0
        for group, value in groups:
            old = figures[group]
            figures[group] = _scaled(old, weight[group], value, rate=rate)
            worst = max(worst, float(np.abs(figures[group] - old).max(initial=0)))
        if worst < 1e-9:
            break
    return made(ages.tolist(), figures)


def _inside(ages: Floats, cell: Cell) -> np.ndarray:
    """Return which bands (2, bands) belong to a group."""
    out = np.zeros((2, len(ages)), bool)
    out[:] = (ages >= cell[1]) & (ages < cell[2])
    if cell[0] >= 0:
        out[1 - cell[0]] = False
    return out


def _scaled(figures: Floats, weight: Floats, value: float, *, rate: bool) -> Floats:
    """Return figures moved by one factor so that their mean is `value`."""
    mean = float(weight @ figures / weight.sum())
    if value <= 0 or mean <= 0:
        return np.full(len(figures), max(value, 0.0))
    if rate:
        return figures * (value / mean)
    low, high = -20.0, 20.0  # log of the odds ratio
    odds = figures / np.maximum(1 - figures, 1e-12)
    for _ in range(60):
        middle = (low + high) / 2
        moved = odds * np.exp(middle)
        if float(weight @ (moved / (1 + moved)) / weight.sum()) < value:
            low = middle
        else:
            high = middle
    moved = odds * np.exp((low + high) / 2)
    return moved / (1 + moved)
