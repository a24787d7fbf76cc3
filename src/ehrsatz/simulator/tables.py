"""What is solved once per locale, so that drawing a person is a look-up: shares of places, intercepts, incomes.

The intercepts of an attribute are raked on a fixed lattice of people (`LATTICE` of them, spread evenly over all
draws): whatever the odds do, the share of each level by age band and sex is the published one.

References
----------
Roberts M. The unreasonable effectiveness of quasirandom sequences, 2018 (the additive lattice, from the generalised
golden ratio).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz import clinical
from ehrsatz.simulator.ages import age_at
from ehrsatz.simulator.country import LEVELS, ORDER, Attribute
from ehrsatz.simulator.locale import Locale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LATTICE = 1 << 15
ROUNDS = 25  # of raking
EMPTY = -40.0  # log odds of a level that nobody has


@dataclass
class Solved:
    """One attribute, ready to draw: intercepts by age band and sex, and log odds by factor."""

    ages: Floats
    intercept: Floats  # (bands, 2, K)
    effects: dict[str, Floats]  # factor -> (its levels, K)


@dataclass
class Tables:
    """Everything solved for one locale."""

    places: Floats  # (bands, regions * groups) cumulative shares
    place_ages: Floats
    n_groups: int
    ethnicity: Ints  # by group; -1: not recorded
    shares: dict[str, Floats]  # race, blood, language: (groups, K) cumulative
    attributes: dict[str, Solved] = field(default_factory=dict)
    income_effects: dict[str, Floats] = field(default_factory=dict)  # factor -> effect on log income by level
    income_ages: Floats = field(default_factory=lambda: np.zeros(0))
    income_spread: float = 0.0
    income_ranks: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))  # score -> standard normal rank
    income_curve: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))  # standard normal rank -> log income
    began: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))  # share of smokers -> age
    stopped: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))
    adherence: tuple[float, float] = (1.0, 1.0)
    care_effects: dict[str, Floats] = field(default_factory=dict)
    care_spread: float = 0.0
    care_scale: float = 1.0

    def pick(self, what: str, group: Ints, u: Floats) -> Ints:
        """Return positions (N,) drawn from the shares of each person's group."""
        return (self.shares[what][group] <= u[:, None]).sum(axis=1).astype(np.int64)

    def care(self, people: Mapping[str, Ints]) -> Floats:
        """Return the factor on voluntary visits (N,) of like people, mean 1 over the population."""
        out = np.full(len(people["sex"]), self.care_scale)
        for name, effect in self.care_effects.items():
            out = out * effect[people[name]]
        return out


@lru_cache(maxsize=8)
def tables(locale: Locale) -> Tables:
    """Return what is solved for a locale; about a second the first time."""
    people = locale.people
    bands = np.array(people.mix.ages)
    groups = people.groups
    ethnicities = [-1 if g.ethnicity is None else clinical.ETHNICITIES.index(g.ethnicity) for g in groups]
    blood = list(next(iter(people.blood.values())))
    known = Tables(
        places=_places(locale),
        place_ages=bands,
        n_groups=len(groups),
        ethnicity=np.array(ethnicities, np.int64),
        shares={
            "race": _cumulated([[g.races.get(race, 0.0) for race in clinical.RACES] for g in groups]),
            "blood": _cumulated([[people.blood[g.id].get(name, 0.0) for name in blood] for g in groups]),
            "language": _cumulated(
                [[people.languages[g.id].get(code, 0.0) for code in languages(locale)] for g in groups]
            ),
        },
        adherence=people.habit.adherence,
        began=_curve({k / 100: v for k, v in people.smoker.began.items()}),
        stopped=_curve({k / 100: v for k, v in people.smoker.stopped.items()}),
    )
    u = _lattice(len(LEVELS) + 5)
    density = age_at(locale, 0.0)
    total = density.total[:, -1]
    sex = (u[0] >= total[0] / total.sum()).astype(np.int64)
    within = np.where(sex == 0, u[0] * total.sum() / total[0], (u[0] * total.sum() - total[0]) / total[1])
    age = density.age(sex, within * total[sex])  # one draw for both, so that every age has its share exactly
    some: dict[str, Ints] = {"sex": sex}
    some["region"], some["group"] = groups_at(known, age, u[1])
    for place, name in enumerate((ORDER[0], "income", *ORDER[1:])):
        if name == "income":
            _solve_income(locale, known, some, age, u[2 + place])
            _, some["quintile"] = income_at(known, some, age, u[2 + place])
            continue
        known.attributes[name] = _solve(locale, people.attributes[name], name, some, age)
        some[name] = attribute(known, name, some, age, u[2 + place])
    _solve_care(locale, known, some, age)
    return known


def languages(locale: Locale) -> tuple[str, ...]:
    """Return the languages of care; `language` of a person is a position in it."""
    return tuple(dict.fromkeys(code for shares in locale.people.languages.values() for code in shares))


def bloods(locale: Locale) -> tuple[str, ...]:
    """Return the blood groups; `blood` of a person is a position in it."""
    return tuple(next(iter(locale.people.blood.values())))


def groups_at(known: Tables, age: Floats, u: Floats) -> tuple[Ints, Ints]:
    """Return region and group (N,), drawn together given the age."""
    band = _band(known.place_ages, age)
    cell = np.empty(len(age), np.int64)
    for one in range(len(known.place_ages)):
        who = np.flatnonzero(band == one)
        cell[who] = np.searchsorted(known.places[one], u[who], side="right")
    return cell // known.n_groups, cell % known.n_groups


def attribute(known: Tables, name: str, people: Mapping[str, Ints], age: Floats, u: Floats) -> Ints:
    """Return the level (N,) of an attribute, drawn given what else people are."""
    weights = np.exp(_logits(known.attributes[name], people, age))  # (N, K)
    weights = np.cumsum(weights, axis=1)
    below = weights <= u[:, None] * weights[:, -1:]
    return np.minimum(below.sum(axis=1), weights.shape[1] - 1).astype(np.int64)


def income_at(known: Tables, people: Mapping[str, Ints], age: Floats, u: Floats) -> tuple[Floats, Ints]:
    """Return household income a year (N,) and its fifth, 0 the poorest (N,)."""
    rank = np.interp(_score(known, people, age, u), *known.income_ranks)
    income: Floats = np.round(np.exp(np.interp(rank, *known.income_curve)), -2).astype(np.float64)
    limits = ndtri(np.array([0.2, 0.4, 0.6, 0.8]))
    return income, np.searchsorted(limits, rank, side="right").astype(np.int64)


def _places(locale: Locale) -> Floats:
    """Return cumulative shares of region and group together by age band: every region keeps its groups (raking)."""
    people = locale.people
    edges = np.append(np.array(people.mix.ages), np.inf)
    ages = age_at(locale, 0.0)
    by_age = np.diff(ages.mass(edges), axis=1).sum(axis=0)
    by_age = by_age / by_age.sum()  # (A,)
    shares = np.array([region.shares for region in people.regions], float)
    thousands = np.array([region.thousands for region in people.regions], float)
    target = shares / shares.sum(axis=1, keepdims=True) * (thousands / thousands.sum())[:, None]  # (R, G)
    mix = np.array(people.mix.shares, float)
    mix = mix / mix.sum(axis=1, keepdims=True)
    mean = by_age @ mix  # (G,)
    joint = target[None] * (mix / np.where(mean > 0, mean, 1.0))[:, None, :] * by_age[:, None, None]  # (A, R, G)
    for _ in range(ROUNDS):
        joint *= (by_age / joint.sum(axis=(1, 2)))[:, None, None]
        now = joint.sum(axis=0)
        joint *= np.where(now > 0, target / np.where(now > 0, now, 1.0), 0.0)[None]
    flat = joint.reshape(len(by_age), -1)
    return np.cumsum(flat / flat.sum(axis=1, keepdims=True), axis=1)


def _solve(locale: Locale, given: Attribute, name: str, some: Mapping[str, Ints], age: Floats) -> Solved:
    target = np.array([given.female, given.male], float).transpose(1, 0, 2)  # (bands, 2, K)
    target = target / target.sum(axis=2, keepdims=True)
    effects = _effects(locale, given, name)
    start = np.log(np.maximum(target, 1e-300))
    solved = Solved(np.array(given.ages), np.where(target > 0, start, EMPTY), effects)
    cell = _band(solved.ages, age) * 2 + some["sex"]
    size = np.maximum(np.bincount(cell, minlength=target.shape[0] * 2), 1)
    steady = [table[some[factor]] for factor, table in effects.items()]  # (N, K) each
    for _ in range(ROUNDS if effects else 0):
        weights = solved.intercept.reshape(len(size), -1)[cell]  # (N, K), as `_logits` adds them up
        for one in steady:
            weights += one
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=1, keepdims=True)
        now = np.stack([np.bincount(cell, column, len(size)) for column in weights.T], axis=1) / size[:, None]
        now = now.reshape(target.shape)
        step = np.log(np.maximum(target, 1e-12) / np.maximum(now, 1e-12))
        solved.intercept += np.where((target > 0) & (now > 0), np.clip(step, -3, 3), 0.0)
    return solved


def _effects(locale: Locale, given: Attribute, name: str) -> dict[str, Floats]:
    levels = LEVELS[name]
    out: dict[str, Floats] = {}
    for factor, odds in given.odds.items():
        names = locale.people.levels(factor)
        table = np.zeros((len(names), len(levels)))
        for level, ratios in odds.items():
            for outcome, ratio in ratios.items():
                table[names.index(level), levels.index(outcome)] = np.log(ratio)
        out[factor] = table
    if name == "insurance" and any(region.factors for region in locale.people.regions):
        table = np.zeros((len(locale.regions), len(levels)))
        for row, region in enumerate(locale.people.regions):
            for outcome, ratio in region.factors.items():
                table[row, levels.index(outcome)] = np.log(ratio)
        out["region"] = table
    return out


def _logits(solved: Solved, people: Mapping[str, Ints], age: Floats) -> Floats:
    out = solved.intercept[_band(solved.ages, age), people["sex"]]  # (N, K), a copy
    for factor, table in solved.effects.items():
        out += table[people[factor]]
    return out


def _solve_income(locale: Locale, known: Tables, some: Mapping[str, Ints], age: Floats, u: Floats) -> None:
    given = locale.people.income
    known.income_ages, known.income_spread = np.array(given.ages), given.spread
    band = _band(known.income_ages, age)
    wanted = {"age": np.log(np.array(given.by_age))}
    for factor, medians in given.medians.items():
        wanted[factor] = np.log(np.array([medians[name] for name in locale.people.levels(factor)]))
    known.income_effects = {factor: np.zeros(len(goal)) for factor, goal in wanted.items()}
    share = np.array([k / 100 for k in sorted(given.percentiles)])
    known.income_curve = (ndtri(share), np.log(np.array([given.percentiles[k] for k in sorted(given.percentiles)])))
    plotting = ndtri((np.arange(LATTICE) + 0.5) / LATTICE)
    members = {
        factor: [np.flatnonzero((band if factor == "age" else some[factor]) == i) for i in range(len(goal))]
        for factor, goal in wanted.items()
    }
    for _ in range(ROUNDS):  # levels move until the medians are those published, up to a common factor
        score = _score(known, some, age, u)
        order = np.sort(score)
        income = np.interp(np.interp(score, order, plotting), *known.income_curve)
        for factor, goal in wanted.items():
            here = members[factor]
            now = np.array([np.median(income[at]) if len(at) else goal[i] for i, at in enumerate(here)])
            size = np.array([len(at) for at in here]) / LATTICE
            step = goal - now
            known.income_effects[factor] += 0.5 * (step - (size * step).sum())
    order = np.sort(_score(known, some, age, u))
    known.income_ranks = (order[::8], plotting[::8])


def _score(known: Tables, people: Mapping[str, Ints], age: Floats, u: Floats) -> Floats:
    out = known.income_spread * ndtri(np.clip(u, 2.0**-40, 1 - 2.0**-40))
    for factor, effect in known.income_effects.items():
        out = out + effect[_band(known.income_ages, age) if factor == "age" else people[factor]]
    return out


def _solve_care(locale: Locale, known: Tables, some: Mapping[str, Ints], age: Floats) -> None:
    habit = locale.people.habit
    for factor, ratios in habit.care.items():
        known.care_effects[factor] = np.array([ratios.get(name, 1.0) for name in locale.people.levels(factor)])
    known.care_spread = habit.care_spread
    known.care_scale = 1.0 / (float(known.care(some).mean()) * float(np.exp(habit.care_spread**2 / 2)))


def _band(ages: Floats, age: Floats) -> Ints:
    return np.maximum(np.searchsorted(ages, age, side="right") - 1, 0).astype(np.int64)


def _cumulated(rows: list[list[float]]) -> Floats:
    """Return cumulative shares (groups, K), without the last, which is 1."""
    table = np.array(rows, float)
    return np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)[:, :-1]


def _curve(points: Mapping[float, float]) -> tuple[Floats, Floats]:
    keys = sorted(points)
    return np.array(keys), np.array([points[k] for k in keys])


def _lattice(width: int) -> Floats:
    """Return `LATTICE` points of the unit cube, evenly spread, shape (width, LATTICE)."""
    phi = 1.5
    for _ in range(60):
        phi = (1 + phi) ** (1 / (width + 1))
    steps = np.arange(LATTICE)
    rest = np.stack([np.mod(0.5 + steps * phi ** -(i + 1), 1.0) for i in range(width - 1)])
    return np.vstack([(steps + 0.5) / LATTICE, rest])
