"""The rate without any risk that keeps a condition as common as published, by a balance of the people who never had it.

Year of age by year of age: the published curve and the ways out (cure, excess deaths) say how many new cases the
population needs; each person's risks and what is left of his chance to have stayed free say how likely each of them is
to be one. People at high risk fall ill early, and whoever was cured does not fall ill again, so those who are left are
fewer and healthier than the mean; a mean of the risks over everybody would miss that.

References
----------
Vaupel, Manton, Stallard, The impact of heterogeneity in individual frailty on the dynamics of mortality, Demography
1979;16:439, doi:10.2307/2061224. Brinks, Landwehr, Math Med Biol 2015;32:425, doi:10.1093/imammb/dqu024 (prevalence,
incidence, cure and deaths of the ill).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.lives import Singles

ENOUGH = 80  # people of an age and sex; above the oldest age with as many, the ratio of rates is held
MOST = 0.9  # of those who can still get it, in a year
STEPS = 4  # towards the rate that gives the wanted cases


@dataclass(frozen=True)
class Exposed:
    """People of one sex who can get something, and when.

    Parameters
    ----------
    log
        (R, T) log of the product of risks in the years first .. first + T - 1.
    first
        Age of the first column.
    start, stop
        (R,) ages between which it can happen.
    span
        (R,) ages that they reach.
    everyone
        (N,) ages that all of this sex reach.
    """

    log: Singles
    first: int
    start: Floats
    stop: Floats
    span: Floats
    everyone: Floats

    def share(self, k: int, some: slice | np.ndarray) -> Singles:
        """Return the share (S,) of year k that people are exposed."""
        age = self.first + k
        return np.clip(
            np.minimum(age + 1, self.stop[some]) - np.maximum(age, self.start[some]), 0, 1
        ).astype(np.float32)  # fmt: skip


def from_curve(curve: Floats, cure: Floats, deadly: Floats, lag: float, people: Exposed) -> Floats:
    """Return rates (A,) a year without risk that give a curve of prevalence.

    Parameters
    ----------
    curve
        (A,) wanted share that has it, as diagnosed, in the middle of each year of age.
    cure
        (A,) rate of remission a year.
    deadly
        (A,) excess deaths a year.
    lag
        Mean years from the onset to the diagnosis.
    people
        Who can get it.
    """
    size = len(curve)
    years = np.arange(size + 1, dtype=np.float64)
    edge = np.interp(years + lag, np.arange(size) + 0.5, curve)  # the share at birthdays, as of the lag later
    edge[years < 1] = 0.0
    risk, base, wanted = np.exp(people.log.T), np.zeros(size), np.zeros(size)  # (R, T) -> (T, R)
    left = np.ones(risk.shape[1], np.float32)  # chance to have stayed free, per living person
    order = np.argsort(people.span, kind="stable")
    reached, oldest = people.span[order], np.sort(people.everyone)
    risk, left = risk[:, order], left[order]
    sorted_ = Exposed(people.log[:0], people.first, people.start[order], people.stop[order], reached, oldest)
    has: float = 0.0
    held: float = 1.0
    for age in range(size):
        k = age - people.first
        stay = float(np.exp(-cure[age] - deadly[age] * (1 - has)))
        half = float(np.exp(-0.5 * cure[age]))
        need = max(float(edge[age + 1]) - has * stay, 0.0) / half
        wanted[age] = need / max(1 - has, 0.02)
        number = len(oldest) - np.searchsorted(oldest, age + 1.0)
        if 0 <= k < len(risk) and number >= ENOUGH:
            some = slice(int(np.searchsorted(reached, age + 1.0)), len(reached))
            exposed = risk[k, some] * sorted_.share(k, some)
            rate, cases = _rate(left[some], exposed, need * number)
            base[age] = rate
            gone = np.exp(-rate * exposed)
            left[some] *= gone * np.exp(np.float32(deadly[age] * has))
            got = float(cases / number)
            if wanted[age] > 0 and rate > 0:
                ratio = float(rate) / float(wanted[age])
                held += 0.3 * (ratio - held) if age else ratio
        else:
            base[age] = float(wanted[age]) * held if k >= 0 else 0.0
            got = need if k >= 0 else 0.0
        has = min(has * stay + got * half, 0.999)
    return base


def from_rate(rates: Floats, people: Exposed, *, once: bool) -> Floats:
    """Return rates (A,) a year without risk whose mean over those who can get it are the published ones.

    Parameters
    ----------
    rates
        (A,) new cases per person-year of those exposed.
    people
        Who can get it.
    once
        Whether one who had it leaves those exposed.
    """
    base = rates.astype(np.float64).copy()
    order = np.argsort(people.span, kind="stable")
    reached = people.span[order]
    risk = np.exp(people.log.T)[:, order]  # (R, T) -> (T, R)
    left = np.ones(risk.shape[1], np.float32)
    sorted_ = Exposed(people.log[:0], people.first, people.start[order], people.stop[order], reached, reached)
    weights, sums = np.zeros(len(base)), np.zeros(len(base))
    for k in range(len(risk)):
        age = people.first + k
        if age >= len(base):
            break
        some = slice(int(np.searchsorted(reached, age + 1.0)), len(reached))
        share = sorted_.share(k, some)
        weight = left[some] * share
        weights[age] = weight.sum(dtype=np.float64)
        sums[age] = (weight * risk[k, some]).sum(dtype=np.float64)
        if once and sums[age] > 0:
            left[some] *= np.exp(np.float32(-rates[age] * weights[age] / sums[age]) * risk[k, some] * share)
    weights, sums = running(weights, 2), running(sums, 2)
    return base / filled(np.where(weights > ENOUGH, sums / np.maximum(weights, 1e-9), np.nan))


def _rate(left: Singles, exposed: Singles, wanted: float) -> tuple[float, float]:
    """Return the rate that gives so many cases among people, and the cases that it gives."""
    able = float(left[exposed > 0].sum(dtype=np.float64))
    goal = min(wanted, MOST * able)
    mass = float((left * exposed).sum(dtype=np.float64))
    if goal <= 0 or mass <= 0:
        return 0.0, 0.0
    rate = goal / mass
    cases = goal
    for _ in range(STEPS):
        gone = -np.expm1(np.float32(-rate) * exposed)
        cases = float((left * gone).sum(dtype=np.float64))
        if cases <= 0 or abs(cases - goal) < 0.002 * goal:
            break
        # towards the root of a concave function: Newton's step by its own slope
        slope = float((left * exposed * (1 - gone)).sum(dtype=np.float64))
        rate = max(rate + (goal - cases) / max(slope, 1e-9), 0.5 * rate)
    return rate, cases


def running(values: Floats, reach: int) -> Floats:
    """Return the running sum over 2 reach + 1 years, cut at the ends."""
    return np.convolve(np.pad(values, reach), np.ones(2 * reach + 1), mode="valid")


def filled(values: Floats) -> Floats:
    """Return values with gaps taken from their nearest neighbour; 1 where there is none."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.ones(len(values))
    nearest = known[np.argmin(np.abs(np.arange(len(values))[:, None] - known[None, :]), axis=1)]
    return values[nearest]
