"""Rates of onset from published figures: incidence as it is, prevalence turned into the incidence that sustains it."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.module import Condition, Episode, Sex, Table

AGES = 120
SEXES: tuple[Sex, Sex] = ("female", "male")


def steps(table: Table) -> Floats:
    """Return a table as one figure per whole age (2, AGES), constant within each band."""
    out = np.zeros((2, AGES))
    band = np.searchsorted(np.array(table.ages), np.arange(AGES) + 0.5, side="right") - 1
    for s, sex in enumerate(SEXES):
        values = np.array(table.of(sex))
        out[s] = np.where(band < 0, 0.0, values[np.maximum(band, 0)])
    return out


def smooth(
    table: Table,
    ages: tuple[float, float] = (0.0, 120.0),
    factor: Floats | None = None,
    people: Floats | None = None,
) -> Floats:
    """Return a table as a smooth curve over whole ages (2, AGES) that keeps each band's mean closely.

    Parameters
    ----------
    table
        Figures per band.
    ages
        The curve is 0 below the lowest.
    factor
        (2, bands) multiplied to the figures, the calibrator's.
    people
        (2, AGES) people of each age: a band's figure is their mean, and stands at their mean age. None: as many at
        each age, up to 95 or 15 years into the last band.
    """
    lows = np.array(table.ages)
    highs = np.r_[lows[1:], max(95.0, lows[-1] + 15)]
    years = np.arange(AGES) + 0.5
    inside = (years >= np.maximum(lows, ages[0])[:, None]) & (years < highs[:, None])  # (bands, A)
    out = np.zeros((2, AGES))
    for s, sex in enumerate(SEXES):
        values = np.array(table.of(sex)) * (1.0 if factor is None else factor[s])
        weight = inside * (1.0 if people is None else people[s] + 1e-6)
        total = weight.sum(axis=1)
        used = total > 0
        weight = weight[used] / total[used][:, None]
        middles, goal = weight @ years, values[used]
        wanted_ = goal.copy()
        curve = np.zeros(AGES)
        for _ in range(12):  # move the knots until the means of the bands are met
            x, y = middles, goal
            if ages[0] > 0 and len(x) and ages[0] < x[0]:
                x, y = np.r_[ages[0], x], np.r_[0.0, y]
            if len(x) < 2:
                curve = np.full(AGES, float(y[0]) if len(y) else 0.0)
            else:
                curve = np.asarray(PchipInterpolator(x, y, extrapolate=False)(np.clip(years, x[0], x[-1])))
            curve = np.where(years < ages[0], 0.0, np.maximum(curve, 0))
            mean = weight @ curve
            fit = (mean > 0) & (wanted_ > 0)
            goal = np.where(fit, goal * np.clip(wanted_ / np.where(fit, mean, 1.0), 0.7, 1.4), goal)
        out[s] = curve
    return out


def sustaining(prevalence: Floats, deadly: float, remission: float) -> Floats:
    """Return the rate of onset per person without it and year (2, AGES) that yields a curve of prevalence.

    Of dP/da = i (1 - P) - (r + m (1 - P)) P, with m the excess deaths a year and r the rate of remission.

    References
    ----------
    Brinks, Landwehr, A new relation between prevalence and incidence of a chronic disease, Math Med Biol 2015;32:425,
    doi:10.1093/imammb/dqu024.
    """
    slope = np.diff(prevalence, axis=1, append=prevalence[:, -1:])
    gain = slope + remission * prevalence + deadly * prevalence * (1 - prevalence)
    return np.maximum(gain, 0) / np.maximum(1 - prevalence, 0.02)


def wanted(entity: Condition | Episode, deadly: float = 0.0, factor: Floats | None = None) -> Floats:
    """Return the mean rate of onset in the population (2, AGES), before risks: what the module's figures imply.

    Parameters
    ----------
    entity
        A condition or an episode.
    deadly
        Mean excess deaths a year.
    factor
        (2, bands) multiplied to the figures.
    """
    if isinstance(entity, Episode):
        out = steps(entity.incidence)
    elif entity.prevalence is not None:
        curve = smooth(entity.prevalence, entity.ages, factor)
        out = sustaining(np.minimum(curve, 0.97), deadly, entity.remission_per_year)
    elif entity.incidence is not None:
        out = steps(entity.incidence)
    else:
        assert entity.birth is not None
        out = steps(entity.birth)
    if factor is not None and not (isinstance(entity, Condition) and entity.prevalence is not None):
        out = out * factor.mean(axis=1, keepdims=True)
    if entity.sex is not None:
        out[1 - SEXES.index(entity.sex)] = 0
    return out
