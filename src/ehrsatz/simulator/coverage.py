"""Who pays when: the periods of insurance of a life, from what a person has at the end of the record backwards.

Childhood, working age and the years from 65 on are each covered in their own way; working people lose cover now and
then; what a person has at the end (the attribute `insurance`) is what the last period says. Where a country insures
everybody, one period lasts a life.

References
----------
Ages: US Affordable Care Act (2010), section 2714, children on their parents' plan until 26; Social Security Act, title
XVIII, Medicare from the first day of the month of the 65th birthday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ehrsatz.clinical import INSURANCE
from ehrsatz.simulator.history import YEAR, Floats, History, Ints

PRIVATE, MEDICARE, MEDICAID, DUAL, NATIONAL, NONE = range(len(INSURANCE))
ADULT, OLD = 26, 65
GAP_YEARS = 12.0  # of working age between two losses of cover; assumed: about one worker in ten is uninsured at a time
GAP_DAYS = 150.0  # mean length of a gap; assumed, as above
BARE_YEARS = 3.0  # mean time for which those without cover at the end have been so; assumed
DISABLED_YEARS = 12.0  # Medicare before 65 began at most so long before the end; assumed
CHILD_MEDICAID = (0.75, 0.55, 0.35, 0.2, 0.1)  # by income quintile; assumed, near the 38 % of all US children
# KFF, Health Insurance Coverage of Children 0-18, 2022: 38 % Medicaid or CHIP


@dataclass(frozen=True)
class Coverage:
    """Periods (K,), sorted by person and start; days are whole, the last day included."""

    person: Ints
    kind: Ints  # position in clinical.INSURANCE
    payer: Ints  # position in the payers of the locale
    ordinal: Ints  # 0, 1, ... of the payer within the person, for member numbers
    start: Floats
    stop: Floats  # NaN: still there at the end of the record

    def at(self, person: Ints, time: Floats) -> Ints:
        """Return the period (R,) that covers people at moments, -1 where none does."""
        if not len(self.person):
            return np.full(len(person), -1, np.int64)
        wide = 1 << 20  # days; far more than a life
        keys = self.person * wide + (self.start.astype(np.int64) + wide // 2)
        day = np.floor(time).astype(np.int64)
        found = np.searchsorted(keys, person * wide + (day + wide // 2), side="right") - 1
        row = np.maximum(found, 0)
        stop = np.where(np.isnan(self.stop[row]), np.inf, self.stop[row])
        return np.where((found >= 0) & (self.person[row] == person) & (day <= stop), row, -1)


def cover(history: History, payers: Sequence[tuple[str, float]], *, national: bool) -> Coverage:
    """Return the periods of cover of everybody, within the records.

    Parameters
    ----------
    history
        Lives.
    payers
        Kind of insurance and share among its kind, in the order of the locale.
    national
        Whether the country insures everybody.
    """
    people = history.people
    who = np.arange(people.n)
    attribute = people.attributes["insurance"]
    if national:
        kinds, edges = attribute[:, None], np.stack([people.birth, people.end + 1], axis=1)
    else:
        kinds, edges = _periods(history, attribute)
    start, stop = edges[:, :-1], edges[:, 1:]
    start = np.maximum(np.floor(start), np.floor(np.maximum(people.start, people.birth))[:, None])
    last = np.floor(people.end)[:, None]
    open_ = stop > last
    stop = np.minimum(np.floor(stop) - 1, last)  # the day before the next begins
    kept = (kinds != NONE) & (stop >= start)
    person, slot = np.nonzero(kept)  # (N, S) -> (K,), by person, then time
    kind = kinds[person, slot]
    died = ~np.isnan(people.death[person])
    ends = np.where(open_[person, slot] & ~died, np.nan, stop[person, slot])
    payer = _payers(history, person, slot, kind, payers)
    width = max(1, len(payers))
    ordinal = np.zeros(len(person), np.int64)
    order = np.argsort(who[person] * width + payer, kind="stable")
    same = np.r_[False, np.diff(person[order] * width + payer[order]) == 0]
    run = np.arange(len(order)) - np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    ordinal[order] = run
    return Coverage(person, kind, payer, ordinal, start[person, slot], ends)


def _periods(history: History, attribute: Ints) -> tuple[Ints, Floats]:
    """Return kinds (N, S) and edges (N, S + 1) of periods in a country with several ways of cover.

    Slots: childhood, then working age cut by up to three gaps, then the last period.
    """
    people = history.people
    who = np.arange(people.n)
    u = history.draw("coverage", who, width=14)
    end = np.floor(people.end) + 1
    turned = np.floor(people.birth + ADULT * YEAR)
    old = _month(people.birth + OLD * YEAR)
    age = (people.end - people.birth) / YEAR
    income = people.attributes["income"] if "income" in people.attributes else np.full(people.n, 2)
    poor = np.asarray(CHILD_MEDICAID)[np.clip(income, 0, 4)]
    young, adult, aged = age < ADULT, (age >= ADULT) & (end <= old), end > old
    early = ((attribute == MEDICARE) | (attribute == DUAL)) & ~aged  # for a disability
    bare = (attribute == NONE) & ~aged
    final = np.where(aged, old, end)  # where the last period begins
    final = np.where(early, end - u[:, 0] * np.minimum(DISABLED_YEARS, np.maximum(age - 20, 0.1)) * YEAR, final)
    final = np.where(bare, end + np.log1p(-u[:, 0]) * BARE_YEARS * YEAR, final)
    final = np.maximum(np.floor(final), np.floor(people.birth))
    child = np.where(young & ~early & ~bare, attribute, np.where(u[:, 1] < poor, MEDICAID, PRIVATE))
    working = np.where(adult & ~early & ~bare, attribute, np.where(u[:, 2] < 0.5 * poor, MEDICAID, PRIVATE))
    working = np.where((working == PRIVATE) | (working == MEDICAID), working, PRIVATE)
    latest = np.minimum(final, np.where(adult, end - 180, end))  # no gap reaches the end
    gaps = np.stack([-np.log1p(-u[:, 3 + i]) * GAP_YEARS * YEAR for i in range(3)], axis=1)
    lengths = np.stack([30 - np.log1p(-u[:, 6 + i]) * (GAP_DAYS - 30) for i in range(3)], axis=1)
    begins = turned[:, None] + np.cumsum(gaps, axis=1) + np.cumsum(lengths, axis=1) - lengths
    fits = begins + lengths < latest[:, None]
    begins = np.where(fits, begins, final[:, None])  # gaps that do not fit shrink to nothing at the end
    ends = np.where(fits, begins + lengths, final[:, None])
    first = np.minimum(turned, final)
    edges = np.stack(
        [people.birth, first, begins[:, 0], ends[:, 0], begins[:, 1], ends[:, 1], begins[:, 2], ends[:, 2], final, end],
        axis=1,
    )
    edges[:, 2:8] = np.clip(edges[:, 2:8], first[:, None], final[:, None])
    none = np.full(people.n, NONE)
    last = np.where(final >= end, none, attribute)
    kinds = np.stack([child, working, none, working, none, working, none, working, last], axis=1)
    return kinds, np.maximum.accumulate(np.floor(edges), axis=1)


def _payers(history: History, person: Ints, slot: Ints, kind: Ints, payers: Sequence[tuple[str, float]]) -> Ints:
    """Choose among the payers of a kind by their shares, anew for each period."""
    u = history.draw("payer", person, slot)[:, 0] if len(person) else np.zeros(0)
    out = np.zeros(len(person), np.int64)
    for k, name in enumerate(INSURANCE):
        mine = [i for i, (other, _) in enumerate(payers) if other == name]
        rows = np.flatnonzero(kind == k)
        if len(rows) and not mine:
            raise AssertionError(f"no payer of the locale insures: {name}")
        if len(rows):
            shares = np.cumsum([payers[i][1] for i in mine])
            chosen = np.searchsorted(shares / shares[-1], u[rows], side="right")
            out[rows] = np.asarray(mine)[np.minimum(chosen, len(mine) - 1)]
    return out


def _month(day: Floats) -> Floats:
    """Return the first day of the months of days."""
    return (
        np.floor(day)
        .astype(np.int64)
        .astype("datetime64[D]")
        .astype("datetime64[M]")
        .astype("datetime64[D]")
        .astype(np.int64)
        .astype(np.float64)
    )
