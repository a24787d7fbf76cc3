"""Solve the rates that published figures leave open, on a reference population drawn by the engine itself.

A module says how many people have a condition and what multiplies the risk; the rate of somebody without any risk is
neither published nor free: it must give, over everybody's risks, drugs and deaths, the published prevalence. Passes
over the reference population find it: in each, the mean of the risks divides the incidence that the prevalence implies,
and what misses its band corrects the figure that the next pass aims at. The same passes take from the life table's
deaths what conditions explain, and move the quantile functions of processes until the treated population has the
published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ehrsatz.simulator.attacks import by_age
from ehrsatz.simulator.baseline import AGES, wanted
from ehrsatz.simulator.conditions import mean_mortality
from ehrsatz.simulator.death import excess, threats
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Lives, Singles
from ehrsatz.simulator.module import Condition, Episode, Table

DAMPING = 0.8  # of the correction of a figure, on the log scale
PRIOR = 15.0  # cases that count as much as the figure itself: small bands are corrected less
FLOOR = 0.1  # at least this share of the life table's deaths stays unexplained


@dataclass
class Solver:
    """What passes over the reference population have found so far; `watch` is what the engine calls.

    Parameters
    ----------
    entities
        Conditions and episodes.
    fixed
        Rates that are kept as they are.
    """

    entities: Mapping[str, Condition | Episode]
    fixed: Mapping[str, Floats] = field(default_factory=dict)
    factor: dict[str, Floats] = field(default_factory=dict)  # (2, bands) on the figures of a module
    base: dict[str, Floats] = field(default_factory=dict)
    age: Floats = field(default_factory=lambda: np.zeros(0))  # (N,) ages at the reference date
    sex: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def watch(self, name: str, base: Floats, rows: Ints, log: Singles, first: int) -> Floats:
        """Return the rates (2, A) that give the wanted mean rate over the risks of these people."""
        if name in self.fixed:
            return self.fixed[name]
        entity = self.entities[name]
        deadly = mean_mortality(entity)[1] if isinstance(entity, Condition) else 0.0
        mean = wanted(entity, deadly, self.factor.get(name))
        risk = np.exp(log.astype(np.float64))
        out = np.zeros_like(mean)
        for s in (0, 1):
            mine = self.sex[rows] == s
            if not mine.any():
                continue
            here = self.age[rows[mine]][:, None] > np.arange(first, first + log.shape[1])[None, :]
            total = _smooth((risk[mine] * here).sum(axis=0), 2)
            count = _smooth(here.sum(axis=0).astype(np.float64), 2)
            average = np.where(count > 30, total / np.maximum(count, 1e-9), np.nan)
            average = _filled(average)
            out[s, first : first + log.shape[1]] = mean[s, first : first + log.shape[1]] / average
            if log.shape[1] and first + log.shape[1] < AGES:
                out[s, first + log.shape[1] :] = mean[s, first + log.shape[1] :] / average[-1]
        self.base[name] = out
        return out

    def correct(self, lives: Lives, alive: np.ndarray) -> float:
        """Compare prevalences of the living with the figures, correct the aim, and return the worst relative miss."""
        worst = 0.0
        for name, entity in self.entities.items():
            if name in self.fixed or not isinstance(entity, Condition) or entity.prevalence is None:
                continue
            reached, cases, people = prevalence(lives, entity, alive)
            goal = np.array([entity.prevalence.of("female"), entity.prevalence.of("male")])
            if entity.sex is not None:
                goal[1 - ("female", "male").index(entity.sex)] = 0
            old = self.factor.get(name, np.ones_like(goal))
            expected = goal * people
            ratio = np.where(expected > 0, (expected + PRIOR) / (cases + PRIOR), 1.0)
            self.factor[name] = np.clip(old * ratio**DAMPING, 0.05, 20.0)
            large = expected > 100
            if large.any():
                worst = max(worst, float(np.abs(np.log(np.maximum(reached[large], 1e-9) / goal[large])).max()))
        return worst


def prevalence(lives: Lives, condition: Condition, alive: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Return the share with a condition at the reference date, cases and people, each (2, bands)."""
    table = condition.prevalence
    assert table is not None
    spell = lives.spells[condition.id]
    has = np.zeros(lives.n, bool)
    now = (spell.diagnosed <= lives.span[spell.rows]) & (spell.stop > lives.span[spell.rows])
    has[spell.rows[now]] = True
    band = np.searchsorted(np.array(table.ages), lives.span, side="right") - 1
    inside = alive & (band >= 0)
    at = lives.sex * len(table.ages) + band
    size = 2 * len(table.ages)
    people = np.bincount(at[inside], minlength=size).reshape(2, -1).astype(np.float64)
    cases = np.bincount(at[inside & has], minlength=size).reshape(2, -1).astype(np.float64)
    return cases / np.maximum(people, 1), cases, people


def unexplained(lives: Lives, rates: Floats) -> Floats:
    """Return the deaths a year by sex and age (2, A) that conditions and episodes leave to other causes.

    Parameters
    ----------
    lives
        A pass over the reference population.
    rates
        (2, A) deaths a year of the life table.
    """
    extra = excess(lives, threats(lives))
    year = np.arange(lives.years, dtype=np.float64)
    exposure = np.clip(np.minimum(year + 1, lives.span[:, None]) - np.maximum(year, lives.window[:, None]), 0, 1)
    out = np.zeros((2, AGES))
    fatal = np.zeros((2, AGES))
    for attack in lives.attacks.values():
        table: Table | None = attack.episode.fatality
        if table is None or not len(attack.rows):
            continue
        sex = lives.sex[attack.rows]
        risk = by_age(table, sex, attack.onset)
        seen = (attack.onset >= lives.window[attack.rows]) & (attack.onset < lives.span[attack.rows])
        at = np.minimum(attack.onset.astype(np.int64), AGES - 1)
        np.add.at(fatal, (sex[seen], at[seen]), risk[seen])
    for s in (0, 1):
        mine = lives.sex == s
        width = lives.years
        lived = _smooth(exposure[mine].sum(axis=0), 3)
        mean = _smooth((extra[mine] * exposure[mine]).sum(axis=0) + fatal[s, :width], 3)
        share = np.where(lived > 20, mean / np.maximum(lived, 1e-9), np.nan)
        share = np.r_[_filled(share), np.full(AGES - width, _filled(share)[-1])]
        out[s] = np.maximum(rates[s] - share, FLOOR * rates[s])
    return out


def shifts(
    rank: Callable[[Ints, Floats, Floats], Floats],
    quantile: Callable[[Ints, Floats, Floats], Floats],
    values: Floats,
    sex: Ints,
    age: Floats,
    knots: Floats,
    probabilities: Floats,
) -> Floats:
    """Return how far the quantiles of readings lie below the published ones (2, K, P).

    Parameters
    ----------
    rank
        (sex, age, value) -> z under the published distribution.
    quantile
        (sex, age, z) -> published value.
    values, sex, age
        (N,) one reading per person.
    knots
        (K,) ages of the table.
    probabilities
        (P,)
    """
    from scipy.special import ndtri

    z = rank(sex, age, values)
    goal = ndtri(probabilities)
    out = np.zeros((2, len(knots), len(probabilities)))
    bounds = np.r_[-np.inf, (knots[1:] + knots[:-1]) / 2, np.inf]
    for s in (0, 1):
        for k, knot in enumerate(knots):
            near = (sex == s) & (age >= bounds[k]) & (age < bounds[k + 1])
            if near.sum() < 150:
                continue
            reached = np.quantile(z[near], probabilities)
            at_sex, at_age = np.full(len(goal), s), np.full(len(goal), knot)
            out[s, k] = quantile(at_sex, at_age, goal) - quantile(at_sex, at_age, reached)
    return out


def _smooth(values: Floats, reach: int) -> Floats:
    """Return the running sum over 2 reach + 1 years, cut at the ends."""
    padded = np.pad(values, reach)
    return np.convolve(padded, np.ones(2 * reach + 1), mode="valid")


def _filled(values: Floats) -> Floats:
    """Return values with gaps taken from their nearest neighbour; 1 where there is none."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.ones(len(values))
    nearest = known[np.argmin(np.abs(np.arange(len(values))[:, None] - known[None, :]), axis=1)]
    return values[nearest]
