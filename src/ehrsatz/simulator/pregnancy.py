"""Pregnancies: those that brought people of the cohort, others by rate, and what comes with a pregnancy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ehrsatz.simulator.families import PRETERM, PRETERM_SHARES
from ehrsatz.simulator.hazards import log_risk
from ehrsatz.simulator.history import PLACES, YEAR, Floats, Ints, ordinals
from ehrsatz.simulator.lives import Attack, Lives, Pin, Singles
from ehrsatz.simulator.module import Episode

PREGNANCY = "pregnancy"
APART = 450.0  # days between the beginnings of two pregnancies at the least
BOOKED = 60.0  # days from conception to the first visit; assumed: the eighth week, ACOG's advice
Watch = Callable[[str, Floats, Ints, Singles, int, Floats, Floats], Floats]


def pregnancies(lives: Lives, episode: Episode, rows: Ints, onset: Floats, pin: Pin | None = None) -> Attack:
    """Return all pregnancies: those of the linked children, and of the drawn ones (rows, onset) what fits between.

    An attack's `stop` is the delivery.
    """
    found = lives.deliveries
    if found is None:
        mother, begin, length = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    else:
        mother, length = found.person, found.gestation
        begin = (found.birth - lives.birth[mother] - length) / YEAR
    drawn = np.interp(
        lives.draw(PREGNANCY, "length", rows, ordinals(rows))[:, 0],
        np.r_[0, np.cumsum(PRETERM_SHARES) / PRETERM_SHARES.sum()],
        PRETERM * 7,
    )
    person = np.concatenate([mother, rows])
    start = np.concatenate([begin, onset])
    days = np.concatenate([length, np.floor(drawn)])
    fixed = np.arange(len(person)) < len(mother)
    if pin is not None and len(rows):  # the first one that a quota wants is as fixed as a linked one
        inside = pin.holds(rows, onset)
        fixed[len(mother) :] = inside & (ordinals(rows * 2 + inside) == 0)
    order = np.lexsort((start, person))
    person, start, days, fixed = person[order], start[order], days[order], fixed[order]
    keep = fixed | _clear(person, start, fixed)
    person, start, days, fixed = person[keep], start[keep], days[keep], fixed[keep]
    gap = np.r_[np.inf, np.diff(start)] * YEAR
    gap[np.r_[True, person[1:] != person[:-1]]] = np.inf
    keep = fixed | (gap > APART)
    person, start, days = person[keep], start[keep], days[keep]
    n = len(person)
    u = lives.draw(PREGNANCY, "stay", person, ordinals(person))[:, 0]
    return Attack(
        episode,
        person,
        ordinals(person),
        start,
        start + days / YEAR,
        np.full(n, PLACES.index("inpatient")),
        start + BOOKED / YEAR,
        (episode.stay_days or 2.0) * (0.7 + 0.8 * u),
        np.full(n, np.inf),
        np.zeros(n),
        np.zeros(n, bool),
    )


def in_pregnancy(
    lives: Lives, episode: Episode, base: Floats, pin: Pin | None, watch: Watch | None
) -> tuple[Ints, Floats]:
    """Return who has a complication and when: at most once a pregnancy, with the episode's share of pregnancies."""
    attack = lives.attacks.get(PREGNANCY)
    assert episode.phase is not None
    if attack is None or not len(attack.rows):
        return np.zeros(0, np.int64), np.zeros(0)
    years = max(1, lives.years)
    log = log_risk(lives, episode.risk, attack.rows, 0, years)
    if watch is not None:
        base = watch(episode.id, base, attack.rows, log, 0, attack.onset, attack.onset + 1)
    at = np.clip(attack.onset.astype(np.int64), 0, years - 1)
    share = base[lives.sex[attack.rows], at] * np.exp(log[np.arange(len(at)), at])
    u = lives.draw(episode.id, "in pregnancy", attack.rows, attack.ordinal, width=2)
    hit = u[:, 0] < share
    low, high = episode.phase
    onset = attack.onset + (low + (high - low) * u[:, 1]) * (attack.stop - attack.onset)
    if pin is not None:
        rows = attack.rows
        before = pin.before[rows]
        earliest = np.nan_to_num(pin.since[rows]) + 0.002
        moved = np.minimum(np.maximum(onset, earliest), before - 0.01)
        onset = np.where((moved > attack.onset) & (moved < attack.stop), moved, onset)
        inside = pin.holds(rows, onset) & (onset > attack.onset)
        hit = (hit | (inside & (ordinals(rows * 2 + inside) == 0))) & ~pin.never[rows]
    hit &= onset < lives.span[attack.rows]
    return attack.rows[hit], onset[hit]


def _clear(person: Ints, start: Floats, fixed: np.ndarray) -> np.ndarray:
    """Return which pregnancies (K,) begin far enough from every linked one of the same woman."""
    key = person * 256.0 + start
    linked = key[fixed]
    if not len(linked):
        return np.ones(len(person), bool)
    at = np.searchsorted(linked, key)
    before = np.abs(key - linked[np.maximum(at - 1, 0)])
    after = np.abs(linked[np.minimum(at, len(linked) - 1)] - key)
    return np.minimum(before, after) * YEAR > APART
