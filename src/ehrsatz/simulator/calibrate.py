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
from ehrsatz.simulator.balance import Exposed, filled, from_curve, from_rate, running
from ehrsatz.simulator.baseline import AGES, smooth, steps
from ehrsatz.simulator.conditions import mean_mortality
from ehrsatz.simulator.death import excess, threats
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Lives, Singles
from ehrsatz.simulator.module import Condition, Episode, Table

BOUND = 4.0  # a figure is never aimed at further off than by this factor
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
    prior
        Cases that count as much as the figure itself when a band is corrected.
    """

    entities: Mapping[str, Condition | Episode]
    fixed: Mapping[str, Floats] = field(default_factory=dict)
    factor: dict[str, Floats] = field(default_factory=dict)  # (2, bands) on the figures of a module
    base: dict[str, Floats] = field(default_factory=dict)
    cure: dict[str, Floats] = field(default_factory=dict)  # (2, A), measured where other things than cure end it
    curve: dict[str, Floats] = field(default_factory=dict)  # (2, A) of what is aimed at
    before: dict[str, Floats] = field(default_factory=dict)  # `factor` as it was in the last pass
    prior: float = PRIOR
    age: Floats = field(default_factory=lambda: np.zeros(0))  # (N,) ages at the reference date
    sex: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def meet(self, age: Floats, sex: Ints) -> None:
        """Take note of whom the next pass draws: ages (N,) at the reference date, and sexes."""
        self.age, self.sex = age, sex

    def watch(
        self, name: str, base: Floats, rows: Ints, log: Singles, first: int, start: Floats, stop: Floats
    ) -> Floats:
        """Return the rates (2, A) that give the published figures over the risks of these people."""
        if name in self.fixed:
            return self.fixed[name]
        entity = self.entities[name]
        out = np.zeros((2, AGES))
        for s in (0, 1):
            mine = np.flatnonzero(self.sex[rows] == s)
            if not len(mine):
                continue
            people = Exposed(
                log[mine], first, start[mine], stop[mine], self.age[rows[mine]], self.age[self.sex == s]
            )  # fmt: skip
            out[s] = self._rates(entity, s, people)
        self.base[name] = out
        return out

    def _rates(self, entity: Condition | Episode, s: int, people: Exposed) -> Floats:
        if isinstance(entity, Condition) and entity.prevalence is not None:
            if entity.id not in self.curve:
                self.curve[entity.id] = smooth(
                    entity.prevalence, entity.ages, self.factor.get(entity.id), self._pyramid()
                )
            curve = np.minimum(self.curve[entity.id][s], 0.97)
            cure = self.cure[entity.id][s] if entity.id in self.cure else np.full(AGES, cured(entity))
            return from_curve(curve, cure, deaths(entity)[s], entity.delay_years / np.log(2), people)
        if isinstance(entity, Condition) and entity.birth is not None:
            mean = float(np.exp(people.log[:, 0]).mean(dtype=np.float64))
            return steps(entity.birth)[s] / mean
        table = entity.incidence
        assert table is not None
        once = isinstance(entity, Condition) or entity.once
        return from_rate(steps(table)[s], people, once=once)

    def _pyramid(self) -> Floats:
        """Return how many people (2, A) there are of each age."""
        whole = np.minimum(self.age.astype(np.int64), AGES - 1) + AGES * self.sex
        count = np.bincount(whole, minlength=2 * AGES).reshape(2, AGES).astype(np.float64)
        return np.array([running(one, 3) for one in count])

    def correct(self, lives: Lives, alive: np.ndarray, gain: float = 0.8) -> float:
        """Compare prevalences of the living with the figures, correct the aim, and return the worst relative miss.

        Parameters
        ----------
        lives, alive
            A pass over the reference population, and who lives at the reference date.
        gain
            How much of a miss is corrected, on the log scale.
        """
        worst = 0.0
        for name, entity in self.entities.items():
            if name in self.fixed or not isinstance(entity, Condition) or entity.prevalence is None:
                continue
            if name not in lives.spells:  # not drawn in this pass
                continue
            reached, cases, people = prevalence(lives, entity, alive)
            goal = np.array([entity.prevalence.of("female"), entity.prevalence.of("male")])
            if entity.sex is not None:
                goal[1 - ("female", "male").index(entity.sex)] = 0
            old = self.before[name] = self.factor.get(name, np.ones_like(goal))
            expected = goal * people
            ratio = np.where(expected > 0, (expected + self.prior) / (cases + self.prior), 1.0)
            first = False
            if entity.ends_with or entity.remission_until_stage is not None:
                first = name not in self.cure  # what ended it was not known: that alone corrects it this time
                found = exits(lives, entity)
                self.cure[name] = found if first else self.cure[name] + gain * (found - self.cure[name])
            self.factor[name] = old if first else np.clip(old * ratio**gain, 1 / BOUND, BOUND)
            self.curve.pop(name, None)
            large = expected > 100
            if large.any():
                worst = max(worst, float(np.abs(np.log(np.maximum(reached[large], 1e-9) / goal[large])).max()))
        return worst


def cured(condition: Condition) -> float:
    """Return the rate a year at which people leave a condition by cure, over the whole of its duration."""
    if not condition.remission_per_year:
        return 0.0
    return 1 / (condition.remission_after_years + 1 / condition.remission_per_year)


def deaths(condition: Condition) -> Floats:
    """Return the mean excess deaths a year by sex and age (2, A)."""
    later = mean_mortality(condition)[1]
    one = condition.mortality
    if one is None or one.per_year_by_age is None:
        return np.full((2, AGES), later)
    own = one.per_year_by_age.of("female")
    return steps(one.per_year_by_age) + max(later - own[len(own) // 2], 0.0)


def exits(lives: Lives, condition: Condition) -> Floats:
    """Return the rate a year (2, A) at which a condition was left in a pass, by cure or because another began."""
    spell = lives.spells[condition.id]
    prior = cured(condition)
    begin, end = spell.diagnosed, np.minimum(spell.stop, lives.span[spell.rows])
    out = np.zeros((2, AGES))
    year = np.arange(AGES, dtype=np.float64)
    for s in (0, 1):
        mine = np.flatnonzero((lives.sex[spell.rows] == s) & (end > begin))
        count = np.zeros(AGES + 1)
        np.add.at(count, np.minimum(np.ceil(begin[mine]).astype(np.int64), AGES), 1.0)
        np.add.at(count, np.minimum(np.ceil(end[mine]).astype(np.int64), AGES), -1.0)
        lived = running(np.cumsum(count)[:AGES], 4)
        left = mine[spell.stop[mine] < lives.span[spell.rows[mine]]]
        events = np.bincount(np.minimum(end[left].astype(np.int64), AGES - 1), minlength=AGES).astype(np.float64)
        out[s] = (running(events, 4) + 30 * prior) / (lived + 30)
    return np.where(year[None, :] >= condition.ages[0], out, prior)


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


def unexplained(added: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """Return the deaths a year (2, A) left to other causes, and the share (2, A) of the added deaths that takes place.

    Published deaths of conditions overlap (one death, several diseases), so that together they may be more than all;
    then each is lowered alike, and other causes keep the least that they always have.

    Parameters
    ----------
    added
        (2, A) deaths that conditions and episodes would add, see `explained`.
    rates
        (2, A) deaths a year of the life table.
    """
    share = np.minimum((1 - FLOOR) * rates / np.maximum(added, 1e-12), 1.0)
    return rates - share * added, share


def explained(lives: Lives, deadly: Floats | None = None) -> Floats:
    """Return the mean deaths a year (2, A) that conditions and episodes would add if all took place.

    Parameters
    ----------
    lives
        A pass over the reference population.
    deadly
        (2, A) share of them that takes place: who dies of them is no longer counted.
    """
    extra = excess(lives, threats(lives))
    year = np.arange(lives.years, dtype=np.float64)
    exposure = np.clip(np.minimum(year + 1, lives.span[:, None]) - np.maximum(year, lives.window[:, None]), 0, 1)
    threat = extra * exposure
    if deadly is not None:
        threat *= deadly[lives.sex, : lives.years]
    exposure *= np.exp(0.5 * threat - np.cumsum(threat, axis=1))  # those at high risk die and are no longer counted
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
        lived = running(exposure[mine].sum(axis=0), 3)
        mean = running((extra[mine] * exposure[mine]).sum(axis=0) + fatal[s, :width], 3)
        share = np.where(lived > 20, mean / np.maximum(lived, 1e-9), np.nan)
        share = np.r_[filled(share), np.full(AGES - width, filled(share)[-1])]
        out[s] = share
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
