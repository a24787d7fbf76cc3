"""Acute episodes: a point process per person, seasons, where they are cared for, admission, intensive care, death."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import ndtri

from ehrsatz.simulator.hazards import ages_of, exponential, log_risk, mass_at, masses, most_risk, reachable
from ehrsatz.simulator.history import PLACES, YEAR, Floats, Ints, ordinals
from ehrsatz.simulator.lives import Attack, Lives, Pin, Singles
from ehrsatz.simulator.module import Care, Episode, Table
from ehrsatz.simulator.pregnancy import PREGNANCY, in_pregnancy, pregnancies
from ehrsatz.simulator.therapy import treat_attacks

MONTHS = np.array([0, 31, 59.25, 90.25, 120.25, 151.25, 181.25, 212.25, 243.25, 273.25, 304.25, 334.25, 365.25]) / YEAR
INPATIENT = PLACES.index("inpatient")
FIRST_DAY, LAST_DAY = 2.0, 28.0  # after a discharge, of those who are admitted again
RETURN = 100_000  # added to the ordinal of a stay to draw the course of its return
AGES = 200  # years; no table of rates is longer
MOST = 400  # episodes of one kind in a life
Watch = Callable[[str, Floats, Ints, Singles, int, Floats, Floats], Floats]


def strike(lives: Lives, episode: Episode, base: Floats, pin: Pin | None = None, watch: Watch | None = None) -> None:
    """Draw all episodes of one kind and how each runs.

    Parameters
    ----------
    lives
        What this episode hangs on is drawn already.
    base
        (2, A) rate per year by sex and age.
    pin
        What a quota fixes: at least one episode between two ages.
    watch
        The calibrator's look at the risks; returns the rates to use.
    """
    if episode.phase is not None:
        rows, onset = in_pregnancy(lives, episode, base, pin, watch)
    else:
        rows, onset = _times(lives, episode, base, pin, watch)
    ordinal = ordinals(rows)
    if episode.id == PREGNANCY:
        attack = pregnancies(lives, episode, rows, onset, pin)
        _note(lives, attack)
        return
    if episode.once:
        keep = ordinal == 0
    else:
        gap = np.r_[np.inf, np.diff(onset)]
        keep = (ordinal == 0) | (gap > episode.gap_days / YEAR)
        if pin is not None:  # one that a quota wants stays, however close another is
            inside = pin.holds(rows, onset)
            lead = inside & (ordinals(rows * 2 + inside) == 0)
            keep |= lead
    rows, onset = rows[keep], onset[keep]
    ordinal = ordinals(rows)
    attack = _course(lives, episode, rows, ordinal, onset, pin)
    _note(lives, _returned(lives, attack) if episode.returns else attack)


def _returned(lives: Lives, attack: Attack) -> Attack:
    """Let a share of those discharged be admitted with it again within 30 days, once after each stay."""
    episode = attack.episode
    assert episode.returns is not None
    u = lives.draw(episode.id, "return", attack.rows, attack.ordinal, width=2)
    after = attack.stop + (FIRST_DAY + u[:, 1] * (LAST_DAY - FIRST_DAY)) / YEAR
    follow = np.full(len(attack.rows), np.inf)  # the next episode that is drawn anyway
    same = attack.rows[1:] == attack.rows[:-1]
    follow[:-1] = np.where(same, attack.onset[1:], np.inf)
    limit = np.minimum(lives.span, episode.ages[1])[attack.rows]
    back = (attack.care == INPATIENT) & ~attack.fatal & (u[:, 0] < episode.returns.share)
    back &= (after < limit) & (after + LAST_DAY / YEAR < follow)
    if not back.any():
        return attack
    rows, onset = attack.rows[back], after[back]
    second = _course(lives, episode, rows, attack.ordinal[back] + RETURN, onset, admitted=True)
    order = np.lexsort((np.r_[attack.onset, onset], np.r_[attack.rows, rows]))
    joined = {
        name: np.r_[getattr(attack, name), getattr(second, name)][order]
        for name in ("rows", "onset", "stop", "care", "seen", "stay", "icu_from", "icu_days", "fatal")
    }
    return Attack(episode, ordinal=ordinals(joined["rows"]), **joined)


def _first_ones(episode: Episode) -> Floats:
    """Return the factor (A,) by age on the rate of first stays, so that they and the returns are the published rate."""
    assert episode.returns is not None
    inside = np.array(episode.care.shares["inpatient"])
    band = np.maximum(np.searchsorted(np.array(episode.care.ages), np.arange(AGES), side="right") - 1, 0)
    return 1 / (1 + episode.returns.share * inside[band])


def _note(lives: Lives, attack: Attack) -> None:
    name = attack.episode.id
    lives.attacks[name] = attack
    first = np.full(lives.n, np.inf)
    lead = attack.ordinal == 0
    first[attack.rows[lead]] = attack.onset[lead]
    lives.starts[name] = first
    treat_attacks(lives, attack)


def _times(lives: Lives, episode: Episode, base: Floats, pin: Pin | None, watch: Watch | None) -> tuple[Ints, Floats]:
    start = np.full(lives.n, float(episode.ages[0]))
    stop = np.minimum(lives.span, episode.ages[1])
    if episode.requires:
        start = np.maximum(start, np.minimum.reduce([lives.first(name) for name in episode.requires]))
        ends = [lives.stops[name] for name in episode.requires if name in lives.stops]
        if len(ends) == len(episode.requires):
            stop = np.minimum(
                stop,
                np.maximum.reduce(
                    [np.where(lives.first(n) < np.inf, e, -np.inf) for n, e in zip(episode.requires, ends, strict=True)]
                ),
            )
    for name in episode.excludes:
        stop = np.minimum(stop, lives.first(name))
    able = stop > start
    if episode.sex is not None:
        able &= lives.sex == ("female", "male").index(episode.sex)
    pinned = np.zeros(lives.n, bool)
    if pin is not None:
        able &= ~pin.never
        pinned = ~np.isnan(pin.before)
    threshold = exponential(lives.draw(episode.id, "first", np.arange(lives.n))[:, 0])
    first = max(0, int(episode.ages[0]))
    last = max(first + 1, min(lives.years, int(np.ceil(episode.ages[1]))))
    if watch is None:
        highest = max([1.0, *(episode.years or {}).values()])
        most = reachable(base, lives.sex, stop, first, most_risk(lives, episode.risk)) * highest
        able &= (threshold <= most) | pinned
    rows = np.flatnonzero(able)
    log = log_risk(lives, episode.risk, rows, first, last)
    if watch is not None:
        base = watch(episode.id, base, rows, log, first, start[rows], stop[rows])
    if episode.returns:
        base = base * _first_ones(episode)[: base.shape[1]]
    log += _calendar(lives, episode, rows, first, last)
    rate, cumulated, begin = masses(base, lives.sex[rows], log, start[rows], stop[rows], first)
    total = cumulated[:, -1]
    one = threshold[rows]
    hit = np.flatnonzero(one < total)
    width = int(min(MOST, np.ceil(total.max(initial=0) + 6 * np.sqrt(total.max(initial=0)) + 3)))
    gaps = exponential(lives.draw(episode.id, "gaps", rows[hit], width=width))
    reach = one[hit][:, None] + np.concatenate([np.zeros((len(hit), 1)), np.cumsum(gaps, axis=1)], axis=1)
    which, k = np.nonzero(reach < total[hit][:, None])
    mass, row = reach[which, k], hit[which]
    if pinned.any():
        row, mass = _pinned(lives, pin, episode, rows, rate, cumulated, begin, row, mass, first)
    onset = ages_of(mass, row, rate, cumulated, begin)
    person = rows[row]
    if episode.months is not None:
        low, high = np.maximum(start[person], np.floor(onset)), stop[person]
        if pin is not None:  # what a quota wants stays where it wants it
            inside = pin.holds(person, onset)
            low = np.where(inside, np.maximum(low, np.nan_to_num(pin.since[person])), low)
            high = np.where(inside, np.minimum(high, pin.before[person]), high)
        onset = _season(lives, episode, person, onset, low, high)
        order = np.lexsort((onset, person))
        person, onset = person[order], onset[order]
    inside = onset < stop[person]
    return person[inside], onset[inside]


def _pinned(
    lives: Lives,
    pin: Pin | None,
    episode: Episode,
    rows: Ints,
    rate: Floats,
    cumulated: Floats,
    begin: Floats,
    row: Ints,
    mass: Floats,
    first: int,
) -> tuple[Ints, Floats]:
    """Add one episode between the wanted ages to whoever must have one."""
    assert pin is not None
    held = np.flatnonzero(~np.isnan(pin.before[rows]))
    low = mass_at(rate[held], cumulated[held], begin[held], pin.since[rows[held]], first)
    high = mass_at(rate[held], cumulated[held], begin[held], pin.before[rows[held]], first)
    has = np.zeros(len(rows), bool)
    position = np.full(len(rows), -1)
    position[held] = np.arange(len(held))
    at = position[row]
    has[row[(at >= 0) & (mass >= low[at]) & (mass < high[at])]] = True
    need = held[~has[held]]
    u = lives.draw(episode.id, "pinned", rows[need])[:, 0]
    a, b = low[position[need]], high[position[need]]
    lives.weight[rows[held]] += np.log(np.maximum(-np.expm1(-(high - low)), 1e-300))
    row, mass = np.r_[row, need], np.r_[mass, a + u * (b - a)]
    order = np.lexsort((mass, row))
    return row[order], mass[order]


def _calendar(lives: Lives, episode: Episode, rows: Ints, first: int, last: int) -> Singles:
    """Return the log of the factors of calendar years (R, last - first)."""
    if episode.years is None and episode.first_year is None:
        return np.zeros((1, 1), np.float32)
    years = np.arange(1850, 2200)
    factor = np.ones(len(years))
    for year, value in (episode.years or {}).items():
        factor[year - 1850] = value
    if episode.first_year is not None:
        factor[: episode.first_year - 1850] = 0
    logs = np.log(np.maximum(factor, 1e-30)).astype(np.float32)
    born = 1970 + lives.birth[rows] / YEAR
    # a year of age covers two calendar years: weigh both
    when = born[:, None] + np.arange(first, last)[None, :] - 1850
    part = (when - np.floor(when)).astype(np.float32)
    at = np.clip(np.floor(when).astype(np.int64), 0, len(years) - 2)
    both = (1 - part) * np.exp(logs)[at] + part * np.exp(logs)[at + 1]
    return np.log(np.maximum(both, 1e-30)).astype(np.float32)


def _season(lives: Lives, episode: Episode, person: Ints, age: Floats, low: Floats, high: Floats) -> Floats:
    """Move episodes within their year of age so that months have the episode's weights.

    The position within the allowed part of the year is read as a share of the weight in it.
    """
    assert episode.months is not None
    weights = np.array(episode.months, dtype=np.float64)
    heights = np.r_[0, np.cumsum(weights / weights.sum())]

    def cumulated(moment: Floats) -> Floats:  # in years since 1970
        whole = np.floor(moment)
        return whole + np.interp(moment - whole, MONTHS, heights)

    def inverse(mass: Floats) -> Floats:
        whole = np.floor(mass)
        return whole + np.interp(mass - whole, heights, MONTHS)

    born = lives.birth[person] / YEAR
    a = np.maximum(low, np.floor(age))
    b = np.maximum(np.minimum(high, np.floor(age) + 1) - 1e-9, a)
    share = np.clip((age - a) / np.maximum(b - a, 1e-12), 0, 1)
    ga, gb = cumulated(born + a), cumulated(born + b)
    return np.where(gb > ga, np.clip(inverse(ga + share * (gb - ga)) - born, a, b), age)


def _course(
    lives: Lives,
    episode: Episode,
    rows: Ints,
    ordinal: Ints,
    onset: Floats,
    pin: Pin | None = None,
    *,
    admitted: bool = False,
) -> Attack:
    """Draw how long each lasts, where it is seen, and whether it is admitted, needs intensive care or kills."""
    u = lives.draw(episode.id, "course", rows, ordinal, width=8)
    days = episode.days * np.exp(episode.spread * _normal(u[:, 0]))
    place = np.full(len(rows), INPATIENT) if admitted else _place(episode.care, onset, u[:, 1])
    if pin is not None:  # what a quota wants is seen by somebody
        places = {name: sum(values) for name, values in episode.care.shares.items() if name != "none"}
        usual = PLACES.index(max(places, key=lambda name: places[name]))
        place = np.where((place == 0) & pin.holds(rows, onset), usual, place)
    seen_days = np.where(place == INPATIENT, 0.15, 0.35) * np.minimum(days, 10) * u[:, 2]
    seen = np.where(place == 0, np.inf, onset + np.maximum(seen_days, 0.02) / YEAR)
    stay = np.zeros(len(rows))
    inside = place == INPATIENT
    if episode.stay_days is not None:
        stay = np.where(inside, np.maximum(episode.stay_days * np.exp(episode.stay_spread * _normal(u[:, 3])), 0.5), 0)
    intensive = inside & (u[:, 4] < episode.icu_share)
    icu_days = np.where(intensive, np.maximum(episode.icu_days * np.exp(0.5 * _normal(u[:, 5])), 0.5), 0.0)
    stay = np.where(intensive, np.maximum(stay, icu_days * 1.25 + 1), stay)
    icu_from = np.where(intensive, seen + np.minimum(0.4, stay * 0.1) / YEAR, np.inf)
    stop = np.maximum(onset + days / YEAR, np.where(seen < np.inf, seen, onset) + stay / YEAR)
    fatal = np.zeros(len(rows), bool)
    if episode.fatality is not None:
        risk = by_age(episode.fatality, lives.sex[rows], onset)
        fatal = (u[:, 6] < risk) & (onset >= lives.window[rows]) & (onset > 0.01)
    return Attack(episode, rows, ordinal, onset, stop, place, seen, stay, icu_from, icu_days, fatal)


def _place(care: Care, age: Floats, u: Floats) -> Ints:
    """Choose where episodes are seen: positions in PLACES."""
    band = np.maximum(np.searchsorted(np.array(care.ages), age, side="right") - 1, 0)
    names = list(care.shares)
    bounds = np.cumsum(np.array([care.shares[name] for name in names]), axis=0)  # (C, bands)
    chosen = np.minimum((bounds[:, band] <= u[None, :]).sum(axis=0), len(names) - 1)
    return np.array([PLACES.index(name) for name in names])[chosen]


def by_age(table: Table, sex: Ints, age: Floats) -> Floats:
    """Read a table at sexes and ages (R,)."""
    band = np.searchsorted(np.array(table.ages), age, side="right") - 1
    values = _values(table)
    return np.where(band < 0, 0.0, values[sex, np.maximum(band, 0)])


@cache
def _values(table: Table) -> Floats:
    return np.array([table.of("female"), table.of("male")])


def _normal(u: Floats) -> Floats:
    return ndtri(np.clip(u, 1e-12, 1 - 1e-12))
