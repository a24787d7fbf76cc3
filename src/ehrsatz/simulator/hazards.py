"""Rates, what multiplies them, and when things begin: piecewise hazards over years of age, solved for exact ages.

References
----------
Kalbfleisch, Prentice, The Statistical Analysis of Failure Time Data, 2nd ed., Wiley 2002, section 2.3 (inverse of the
cumulative hazard); Cox, Regression models and life-tables, J R Stat Soc B 1972;34:187 (rates as products of risks).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Lives, Singles, overlap
from ehrsatz.simulator.module import Risk

BOUND = 100.0  # the product of all risks of one person stays below it
LIMIT = float(np.log(BOUND))
QUINTILES = ("1", "2", "3", "4", "5")


def exponential(u: Floats) -> Floats:
    """Return unit-exponential numbers of uniform ones."""
    return -np.log1p(-u)


def log_risk(lives: Lives, risks: Iterable[Risk], rows: Ints, first: int, last: int) -> Singles:
    """Return the log of the product of risks (R, last - first) of people in years of age, bounded."""
    out = np.zeros((len(rows), last - first), np.float32)
    if not len(rows):  # nobody of that age is there
        return out
    for risk in risks:
        _add(out, lives, risk, rows, first, last)
    return np.clip(out, -LIMIT, LIMIT, out=out)


def _add(out: Singles, lives: Lives, risk: Risk, rows: Ints, first: int, last: int) -> None:
    name, _, kind = risk.factor.partition(".")
    if risk.levels is not None:
        if name == "smoking":
            _smoking(out, lives, risk.levels, rows, first, last)
            return
        words, position = lives.attributes[name]
        logs = np.log([risk.levels.get(word, 1.0) for word in words]).astype(np.float32)
        out += logs[position[rows]][:, None]
        return
    assert risk.ratio is not None
    weight = float(np.log(risk.ratio))
    if risk.per is not None and risk.start is not None:
        if name == "adherence":
            out += np.float32(weight / risk.per) * (lives.adherence[rows] - risk.start).astype(np.float32)[:, None]
            return
        grid = lives.treated(name) if kind == "treated" else lives.natural(name)
        part = grid[rows, first:last] - np.float32(risk.start)
        part *= np.float32(weight / risk.per)
        out += np.clip(part, -3.0, 3.0)
        return
    if risk.within_years is not None or (name in lives.attacks and not risk.ever):
        _recent(out, lives, name, risk.within_years, weight, rows, first, last)
        return
    start = lives.first(name)[rows]
    ends = None if risk.ever else lives.stops.get(name)
    stop = np.full(len(rows), np.inf) if ends is None else ends[rows]
    some = np.flatnonzero(start < last)
    if len(some):
        out[some] += weight * overlap(start[some], stop[some], first, last)


def most_risk(lives: Lives, risks: Iterable[Risk]) -> Floats:
    """Return what the log of the product of risks of each person (N,) never exceeds at any age.

    Who cannot reach his threshold even so need not be looked at year by year.
    """
    out = np.zeros(lives.n)
    for risk in risks:
        name, _, kind = risk.factor.partition(".")
        if risk.levels is not None:
            if name == "smoking":
                logs = {word: float(np.log(ratio)) for word, ratio in risk.levels.items()}
                never, current, former = (logs.get(word, 0.0) for word in ("never", "current", "former"))
                smoked = ~np.isnan(lives.smoked[0])
                out += np.where(smoked, max(never, current, former), never)
                continue
            words, position = lives.attributes[name]
            out += np.log([risk.levels.get(word, 1.0) for word in words])[position]
            continue
        assert risk.ratio is not None
        weight = float(np.log(risk.ratio))
        if risk.per is not None and risk.start is not None:
            if name == "adherence":
                out += weight / risk.per * (lives.adherence - risk.start)
                continue
            low, high = lives.extremes(name, treated=kind == "treated")
            part = weight / risk.per * ((high if weight > 0 else low) - risk.start)
            out += np.clip(part, -3.0, 3.0) + 1e-4  # levels are held in single precision
            continue
        if weight > 0:
            out += np.where(lives.first(name) < np.inf, weight, 0.0)
    return np.minimum(out, LIMIT) + 1e-6


def reachable(base: Floats, sex: Ints, stop: Floats, first: int, log: Floats) -> Floats:
    """Return what the cumulated hazard of each person (N,) never exceeds, given the most of his log risk."""
    cumulated = np.concatenate([np.zeros((2, 1)), np.cumsum(base, axis=1)], axis=1)
    last = np.clip(np.ceil(np.minimum(stop, base.shape[1])), first, base.shape[1]).astype(np.int64)
    return (cumulated[sex, last] - cumulated[sex, first]) * np.exp(log)


def _smoking(out: Singles, lives: Lives, levels: dict[str, float], rows: Ints, first: int, last: int) -> None:
    start = np.where(np.isnan(lives.smoked[0][rows]), np.inf, lives.smoked[0][rows])
    quit_ = np.where(np.isnan(lives.smoked[1][rows]), np.inf, lives.smoked[1][rows])
    some = np.flatnonzero(start < last)
    never = float(np.log(levels.get("never", 1.0)))
    if never:
        out += np.float32(never)
        out[some] -= never * overlap(start[some], np.full(len(some), np.inf), first, last)
    out[some] += np.log(levels.get("current", 1.0)) * overlap(start[some], quit_[some], first, last)
    some = np.flatnonzero(quit_ < last)
    out[some] += np.log(levels.get("former", 1.0)) * overlap(quit_[some], np.full(len(some), np.inf), first, last)


def _recent(
    out: Singles, lives: Lives, name: str, years: float | None, weight: float, rows: Ints, first: int, last: int
) -> None:
    """Risks during episodes, or so many years after each."""
    attack = lives.attacks.get(name)
    if attack is None or not len(attack.rows):
        return
    place = np.full(lives.n, -1, np.int64)
    place[rows] = np.arange(len(rows))
    part = np.zeros_like(out)
    for k in range(int(attack.ordinal.max()) + 1):  # one episode per person at a time
        some = np.flatnonzero((attack.ordinal == k) & (place[attack.rows] >= 0))
        stop = attack.onset[some] + years if years is not None else attack.stop[some]
        part[place[attack.rows[some]]] += overlap(attack.onset[some], stop, first, last).astype(np.float32)
    out += np.float32(weight) * np.minimum(part, 1)


def masses(
    base: Floats, sex: Ints, log: Singles, start: Floats, stop: Floats, first: int
) -> tuple[Floats, Floats, Floats]:
    """Return rates (R, T), cumulated hazards (R, T), and where exposure begins in each year (R, T).

    Parameters
    ----------
    base
        (2, A) rate per year by sex and whole age.
    sex
        (R,)
    log
        (R, T) log of the product of risks in the years first .. first + T - 1.
    start, stop
        (R,) ages between which it can happen.
    first
        Age of the first column.
    """
    width = log.shape[1]
    year = np.arange(first, first + width, dtype=np.float64)
    rate = np.exp(log.astype(np.float64))
    rate *= base[sex, first : first + width]
    begin = np.maximum(year, start[:, None])
    exposure = np.minimum(year + 1, stop[:, None])
    exposure -= begin
    np.maximum(exposure, 0, out=exposure)
    np.minimum(exposure, 1, out=exposure)
    exposure *= rate
    return rate, np.cumsum(exposure, axis=1, out=exposure), begin


def ages_of(mass: Floats, row: Ints, rate: Floats, cumulated: Floats, begin: Floats) -> Floats:
    """Return the ages (K,) at which cumulated hazards of rows (K,) reach given masses (K,); inf where they do not."""
    width = cumulated.shape[1]
    flat, begins = cumulated.ravel(), row * width
    column = np.zeros(len(row), np.int64)  # how many of the row's sums lie below the mass, by bisection
    step = 1 << max(width.bit_length() - 1, 0)
    while step:
        tried = column + step
        below = flat.take(begins + (np.minimum(tried, width) - 1)) < mass
        column = np.where(below & (tried <= width), tried, column)
        step >>= 1
    inside = column < width
    at = np.minimum(column, width - 1)
    before = np.where(at > 0, flat.take(begins + np.maximum(at - 1, 0)), 0.0)
    speed = np.maximum(rate[row, at], 1e-300)
    return np.where(inside, begin[row, at] + (mass - before) / speed, np.inf)


def mass_at(rate: Floats, cumulated: Floats, begin: Floats, age: Floats, first: int) -> Floats:
    """Return the cumulated hazard (K,) at ages (K,)."""
    width = cumulated.shape[1]
    column = np.clip(np.floor(np.nan_to_num(age, nan=0.0)).astype(np.int64) - first, -1, width - 1)
    k = np.arange(len(age))
    before = np.where(column > 0, cumulated[k, np.maximum(column - 1, 0)], 0.0)
    whole = np.where(column >= 0, cumulated[k, np.maximum(column, 0)], 0.0)
    at = np.maximum(column, 0)
    part = before + rate[k, at] * np.maximum(age - begin[k, at], 0)
    return np.where(np.isnan(age) | (column < 0), 0.0, np.minimum(part, whole))
