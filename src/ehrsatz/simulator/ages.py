"""How many people there are of each age: survival by the life table, and the ages of those in a record's window.

Who is a years old at the reference date was a - W years old at the beginning of a window of W years. Of those who
were alive then, pyramid(a) are alive now, and pyramid(a) S(a - W) / S(a) were alive then, with S(x) = 1 for x < 0,
since who is younger than W was born in the window. That product is the number of people with a record in the window,
by the age they have, or would have, at the reference date.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ehrsatz.simulator.country import OLDEST
from ehrsatz.simulator.locale import Locale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEP = 0.25  # years, of the grid on which ages are summed
INFANT = 0.1  # years lived on average by those who die in their first year; assumed, after NCHS life tables


@lru_cache(maxsize=16)
def survival(locale: Locale) -> Floats:
    """Return the share alive at each birthday 0 to 120, shape (2, 121), female and male."""
    table = locale.life.table
    rows = [np.concatenate([[1.0], np.cumprod(1 - np.array(q))]) for q in (table.female, table.male)]
    out = np.stack(rows)
    out.flags.writeable = False
    return out


def expectancy(locale: Locale, at: int = 0) -> Floats:
    """Return the mean remaining years of life at a birthday, shape (2,), female and male."""
    alive = survival(locale)[:, at:]
    lived = (alive[:, 1:] + alive[:, :-1]) / 2  # (2, ages)
    if at == 0:
        lived[:, 0] = alive[:, 1] + INFANT * (alive[:, 0] - alive[:, 1])
    return lived.sum(axis=1) / alive[:, 0]


@dataclass(frozen=True)
class Ages:
    """People by sex and age in a window: the sum up to each edge of a grid, linear between edges."""

    edges: Floats  # (E,) years
    total: Floats  # (2, E) people younger than the edge, thousands

    def mass(self, age: Floats) -> Floats:
        """Return how many people are younger than ages (N,), shape (2, N)."""
        return np.stack([np.interp(age, self.edges, row) for row in self.total])

    def age(self, sex: Ints, mass: Floats) -> Floats:
        """Return the ages (N,) below which lie these many people (N,) of a sex (N,)."""
        out = np.empty(len(mass))
        for one in (0, 1):
            who = sex == one
            out[who] = np.interp(mass[who], self.total[one], self.edges)
        return out


@lru_cache(maxsize=64)
def age_at(locale: Locale, window_years: float) -> Ages:
    """Return the ages of all who lived at some time in the window, at the reference date."""
    edges = np.arange(0, OLDEST + max(window_years, 0) + STEP / 2, STEP)
    middle = (edges[1:] + edges[:-1]) / 2
    log_alive = np.log(np.maximum(survival(locale), 1e-300))
    birthdays = np.arange(OLDEST + 1)
    rows = []
    for one, thousands in enumerate((locale.life.pyramid.female, locale.life.pyramid.male)):
        now = np.interp(middle, birthdays, log_alive[one])
        then = np.where(middle < window_years, 0.0, np.interp(middle - window_years, birthdays, log_alive[one]))
        living = _smooth(np.array(locale.life.pyramid.ages), np.array(thousands), middle, now)
        beyond = middle >= OLDEST - 1
        with np.errstate(over="ignore"):
            density = living * np.exp(then - now)
        density[beyond] = 0.0
        last = np.flatnonzero(~beyond)[-1]  # nobody is left of the oldest: as many as survived to the window's start
        density[beyond] = density[last] * np.exp(then[beyond] - then[last])
        rows.append(np.concatenate([[0.0], np.cumsum(density * STEP)]))
    return Ages(edges, np.stack(rows))


def _smooth(ages: Floats, thousands: Floats, middle: Floats, log_alive: Floats) -> Floats:
    """Return people per year of age (M,): even within a band, as the life table within the open band."""
    place = np.searchsorted(ages, middle, side="right") - 1
    width = np.diff(ages, append=np.inf)
    density = thousands[place] / np.where(np.isfinite(width[place]), width[place], 1.0)
    tail = place == len(ages) - 1
    shape = np.exp(log_alive[tail] - log_alive[tail][0])
    density[tail] = thousands[-1] * shape / (shape.sum() * STEP)
    return density


def age_density(locale: Locale, window_years: float) -> Floats:
    """Return people in the window by sex and year of age at the reference date, shape (2, years), thousands."""
    ages = age_at(locale, float(window_years))
    return np.diff(ages.mass(np.arange(0, np.ceil(ages.edges[-1]) + 1)), axis=1)
