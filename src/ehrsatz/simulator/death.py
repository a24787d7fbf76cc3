"""Death: the life table's rate, less what the simulated conditions explain, plus what each person's conditions add.

Within the window everybody runs the risk of all causes at once (competing hazards); the first to strike is the cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.simulator.attacks import by_age
from ehrsatz.simulator.hazards import ages_of, exponential
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Lives, overlap
from ehrsatz.simulator.module import Mortality


@dataclass(frozen=True)
class Threat:
    """One condition's or stage's excess deaths: people, ages between which it acts, and the figures."""

    mortality: Mortality
    rows: Ints
    start: Floats
    stop: Floats

    def at(self, age: Floats, sex: Ints) -> Floats:
        """Return the rate (K,) a year at ages (K,), 0 where it does not act."""
        inside = (self.start <= age) & (age < self.stop)
        return np.where(inside, self._rate(age - self.start, age, sex), 0.0)

    def _rate(self, since: Floats, age: Floats, sex: Ints) -> Floats:
        one = self.mortality
        rate = np.full(len(age), one.per_year)
        if one.per_year_by_age is not None:
            rate = by_age(one.per_year_by_age, sex, age)
        return rate if one.first_year is None else np.where(since < 1, one.first_year, rate)

    def years(self, sex: Ints, first: int, last: int) -> Floats:
        """Return the mean rate (K, last - first) in whole years of age."""
        share = overlap(self.start, self.stop, first, last)
        year = np.arange(first, last) + 0.5
        one = self.mortality
        if one.per_year_by_age is None:
            rates = np.full(share.shape, one.per_year)
        else:
            grid = np.broadcast_to(year, share.shape)
            rates = by_age(one.per_year_by_age, np.broadcast_to(sex[:, None], share.shape).ravel(), grid.ravel())
            rates = rates.reshape(share.shape)
        if one.first_year is not None:
            new = overlap(self.start, np.minimum(self.start + 1, self.stop), first, last)
            return rates * (share - new) + one.first_year * new
        return rates * share


def threats(lives: Lives) -> list[Threat]:
    """Return everything that adds to the life table's deaths, in the order of the spells."""
    out = []
    for spell in lives.spells.values():
        condition = spell.condition
        if condition.mortality is not None and len(spell.rows):
            out.append(Threat(condition.mortality, spell.rows, spell.onset, spell.stop))
        for s, stage in enumerate(condition.stages):
            if stage.mortality is None:
                continue
            here = np.flatnonzero(spell.stage_from[:, s] < np.inf)
            if len(here):
                later = spell.stage_from[here, s + 1 :]
                stop = np.fmin.reduce(later, axis=1) if later.shape[1] else np.full(len(here), np.inf)
                stop = np.fmin(stop, spell.stop[here])
                out.append(Threat(stage.mortality, spell.rows[here], spell.stage_from[here, s], stop))
    return out


def excess(lives: Lives, found: list[Threat]) -> Floats:
    """Return the excess deaths a year (N, T) from conditions."""
    out = np.zeros((lives.n, lives.years))
    for one in found:
        first = int(np.clip(np.floor(one.start.min()), 0, lives.years))
        if first < lives.years:
            out[one.rows, first:] += one.years(lives.sex[one.rows], first, lives.years)
    return out


def die(
    lives: Lives,
    base: Floats,
    others: tuple[tuple[str, ...], Floats],
    *,
    deadly: Floats | None = None,
    immortal: bool = False,
) -> tuple[Floats, list[str]]:
    """Return the age at death (N,), inf for the living, and the ICD-10-CM code of its cause ("" for the living).

    Parameters
    ----------
    lives
        Everything else is drawn.
    base
        (2, A) deaths a year from all that no module explains.
    others
        Codes of such causes, and their shares (causes, 2, A).
    deadly
        (2, A) share of the deaths of conditions and episodes that takes place: where their published deaths, which
        overlap, are together more than the life table has; None: all.
    immortal
        Nobody dies: for what must be there at the reference date.
    """
    cause = [""] * lives.n
    if immortal:
        return np.full(lives.n, np.inf), cause
    found = threats(lives)
    added = excess(lives, found)
    if deadly is not None:
        added *= deadly[lives.sex, : lives.years]
    rate = added + base[lives.sex, : lives.years]
    year = np.arange(lives.years, dtype=np.float64)
    begin = np.maximum(year, lives.window[:, None])
    exposure = np.clip(np.minimum(year + 1, lives.span[:, None]) - begin, 0, 1)
    everyone = np.arange(lives.n)
    mass = exponential(lives.draw("death", "when", everyone)[:, 0])
    age = ages_of(mass, everyone, rate, np.cumsum(rate * exposure, axis=1), begin)
    for row in np.flatnonzero(age < np.inf):
        cause[row] = "?"
    for attack in lives.attacks.values():
        fatal = attack.fatal
        if deadly is not None and fatal.any():
            at = np.minimum(attack.onset.astype(np.int64), base.shape[1] - 1)
            u = lives.draw(attack.episode.id, "spared", attack.rows, attack.ordinal)[:, 0]
            fatal = fatal & (u < deadly[lives.sex[attack.rows], at])
        for victim, when in _fatal(attack.rows, fatal, attack.stop):
            if when < age[victim] and when < lives.span[victim]:
                age[victim], cause[victim] = when, attack.episode.icd10
    _name_causes(lives, found, base, others, age, cause, deadly)
    return age, cause


def _fatal(rows: Ints, fatal: np.ndarray, stop: Floats) -> list[tuple[int, float]]:
    some = np.flatnonzero(fatal)
    return list(zip(rows[some].tolist(), stop[some].tolist(), strict=True))


def _name_causes(
    lives: Lives,
    found: list[Threat],
    base: Floats,
    others: tuple[tuple[str, ...], Floats],
    age: Floats,
    cause: list[str],
    deadly: Floats | None,
) -> None:
    dead = np.array([i for i, one in enumerate(cause) if one == "?"], np.int64)
    if not len(dead):
        return
    codes, shares = others
    year = np.minimum(age[dead].astype(np.int64), base.shape[1] - 1)
    sex = lives.sex[dead]
    place = np.full(lives.n, -1)
    place[dead] = np.arange(len(dead))
    rates = [base[sex, year] * shares[k, sex, year] for k in range(len(codes))]
    names = list(codes)
    for one in found:
        rate = np.zeros(len(dead))
        some = np.flatnonzero(place[one.rows] >= 0)
        if not len(some):
            continue
        part = Threat(one.mortality, one.rows[some], one.start[some], one.stop[some])
        np.add.at(rate, place[part.rows], part.at(age[part.rows], lives.sex[part.rows]))
        if deadly is not None:
            rate *= deadly[sex, year]
        rates.append(rate)
        names.append(one.mortality.cause)
    bounds = np.cumsum(np.array(rates), axis=0)  # (causes, dead)
    u = lives.draw("death", "cause", dead)[:, 0] * bounds[-1]
    chosen: list[int] = np.sum(bounds <= u[None, :], axis=0).tolist()
    for row, place_of in zip(dead.tolist(), chosen, strict=True):
        cause[row] = names[min(place_of, len(names) - 1)]
