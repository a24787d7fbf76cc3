"""Which panels are measured at which encounters, and when within them: specimens.

A specimen is one moment of one encounter at which something is measured. Check-ups bring panels by age, conditions and
drugs bring theirs at their intervals, episodes theirs at the visit and daily in hospital.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.simulator.catalogue import Catalogue
from ehrsatz.simulator.chart.asks import CLASS, MINUTES, Asks
from ehrsatz.simulator.chart.visits import Found
from ehrsatz.simulator.history import YEAR, Flags, Floats, History, Ints, ordinals
from ehrsatz.simulator.records import Encounters

MONTH = YEAR / 12
SCREENED = (  # panel, from age, to age, every how many years, share: routine at check-ups
    ("lipids", 20, 110, 5.0, 0.75),  # ACC/AHA cholesterol guideline 2018: every 4 to 6 years
    ("lipids", 40, 110, 2.0, 0.6),
    ("hba1c", 18, 110, 2.0, 0.8),  # USPSTF 2021: 35 to 70 years; more widely assumed, lest only the ill are measured
    ("metabolic", 18, 110, 1.5, 0.8),  # assumed: NAMCS 2018, ordered at about 15 % of visits
    ("cbc", 18, 110, 2.0, 0.55),  # assumed, likewise
    ("thyroid", 35, 110, 5.0, 0.3),  # assumed
    ("screening", 18, 110, 1.0, 0.7),  # USPSTF 2023, 2018: depression, alcohol; tobacco at every check-up
    ("falls", 65, 110, 1.0, 0.6),  # CDC STEADI 2017: yearly from 65 on
    ("vitamin_d", 40, 110, 6.0, 0.15),  # assumed
    ("urinalysis", 30, 110, 4.0, 0.3),  # assumed
)
STAY_PANELS = ("basic", "cbc")  # daily in hospital


@dataclass(frozen=True)
class Specimens:
    """Moments of measuring (S,), sorted by encounter, then time, and what is measured at each."""

    encounter: Ints
    time: Floats
    person: Ints
    ordinal: Ints  # within the person
    wants: dict[str, Ints]  # panel -> rows of specimens
    reason: dict[str, str]


class Wishes:
    """Panels wanted at encounters at moments; equal moments of an encounter become one specimen."""

    def __init__(self, encounters: Encounters) -> None:
        self.encounters = encounters
        self._parts: list[tuple[str, Ints, Floats]] = []
        length = encounters.stop - encounters.start
        self._latest = np.maximum(length * 0.9, length - 5 * MINUTES)  # (E,) after the beginning

    def want(self, panel: str, encounter: Ints, offset: Floats | float = 6 * MINUTES) -> None:
        """Want a panel at encounters (R,), `offset` days after each begins; -1 is left out."""
        keep = encounter >= 0
        if not keep.all():
            encounter = encounter[keep]
            offset = offset[keep] if isinstance(offset, np.ndarray) else offset
        after = np.minimum(offset, self._latest[encounter])
        minute = np.floor(after * 1440 + 1e-6)
        self._parts.append((panel, encounter, minute))

    def specimens(self) -> Specimens:
        """Return the specimens of all wishes."""
        encounter = np.concatenate([one[1] for one in self._parts])
        minute = np.concatenate([one[2] for one in self._parts])
        key = encounter * 2_000_000 + minute.astype(np.int64)  # a stay has fewer minutes than that
        unique, inverse = np.unique(key, return_inverse=True)
        at = unique // 2_000_000
        time = self.encounters.start[at] + (unique % 2_000_000) / 1440
        person = self.encounters.person[at]
        wants: dict[str, list[Ints]] = {}
        edges = np.cumsum([len(one[1]) for one in self._parts])[:-1]
        for (panel, _, _), rows in zip(self._parts, np.split(inverse, edges), strict=True):
            wants.setdefault(panel, []).append(rows)
        found = {panel: np.unique(np.concatenate(rows)) for panel, rows in wants.items()}
        return Specimens(at, time, person, ordinals(person), found, {})


def wishes(
    history: History,
    encounters: Encounters,
    asks: Asks,
    found: Found,
    catalogue: Catalogue,
    brief: Flags | None = None,
) -> Wishes:
    """Return everything that ordinary care measures; nothing at encounters that are `brief` (E,), as for a vaccine."""
    out = Wishes(encounters)
    people = history.people
    age = (encounters.start - people.birth[encounters.person]) / YEAR
    kind = encounters.kind if brief is None else np.where(brief, CLASS["virtual"], encounters.kind)
    present = np.isin(kind, [CLASS[name] for name in ("wellness", "ambulatory", "urgent", "emergency", "home")])
    rows = np.arange(len(kind))
    routine = np.isin(kind, [CLASS["ambulatory"], CLASS["home"]])
    acute = np.isin(kind, [CLASS["urgent"], CLASS["emergency"]])
    adult = age >= 18
    out.want("checkup", rows[adult & (kind == CLASS["wellness"])])
    out.want("visit", rows[adult & routine])
    out.want("acute", rows[adult & acute])
    out.want("baby", rows[(age < 2) & (kind == CLASS["wellness"])])
    out.want("child", rows[(age >= 2) & ~adult & (kind == CLASS["wellness"])])
    out.want("small", rows[~adult & (routine | acute)])
    u = history.draw("child pressure", encounters.person, ordinals(encounters.person))[:, 0]
    pressure = present & (age < 18) & ((age >= 3) & (kind == CLASS["wellness"]) | np.isin(kind, [CLASS["emergency"]]))
    out.want("pressure", rows[pressure])
    fever = present & (age < 18) & np.isin(kind, [CLASS["ambulatory"], CLASS["urgent"], CLASS["emergency"]]) & (u < 0.8)
    out.want("fever", rows[fever])
    _screen(out, history, encounters, age)
    visits = Visits(encounters, np.flatnonzero((kind == CLASS["wellness"]) | (kind == CLASS["ambulatory"])), people.n)
    for name, spells in history.spells.items():
        stop = np.where(np.isnan(spells.stop), np.inf, spells.stop)
        for k, one in enumerate(spells.condition.monitoring):
            start = spells.diagnosed
            if one.stage is not None:
                at = [stage.id for stage in spells.condition.stages].index(one.stage)
                reached = np.fmin.reduce(spells.stage_from[:, at:], axis=1)
                start = np.maximum(start, np.where(np.isnan(reached), np.inf, reached))
            _repeated(out, visits, one.panel, spells.person, start, stop, one.months)
            if k == 0 and name in found.diagnosis:
                out.want(one.panel, asks.rows[found.diagnosis[name]])
    for course in history.courses:
        if course.treatment.monitor and course.attack.max(initial=-1) < 0:
            stop = np.where(np.isnan(course.stop), np.inf, course.stop)
            for panel in course.treatment.monitor:
                _repeated(out, visits, panel, course.person, course.start, stop, 12.0)
    for name, batch in found.attack.items():
        episode = history.attacks[name].episode
        rows_of = asks.rows[batch]
        remote = (rows_of >= 0) & (kind[np.maximum(rows_of, 0)] != CLASS["virtual"])
        for panel in episode.panels:
            admitted = (
                kind[np.maximum(rows_of, 0)] == CLASS["inpatient"]
            )  # with the first round; else with the vital signs
            out.want(panel, np.where(remote, rows_of, -1), np.where(admitted, 20 * MINUTES, 6 * MINUTES))
    _rounds(out, history, encounters, age)
    return out


def _screen(out: Wishes, history: History, encounters: Encounters, age: Floats) -> None:
    checks = np.flatnonzero(encounters.kind == CLASS["wellness"])
    person = encounters.person[checks]
    number = ordinals(person)
    for panel, low, high, years, share in SCREENED:
        here = (age[checks] >= low) & (age[checks] < high)
        rows, who = checks[here], person[here]
        bucket = np.floor(age[rows] / years).astype(np.int64)
        new = _first_of(who, bucket)
        u = history.draw(f"screen {panel} {low}", who[new], number[here][new])[:, 0]
        out.want(panel, rows[new][u < share])


class Visits:
    """The routine visits of a shard by person: encounter rows, whose, when, and where each person's begin."""

    def __init__(self, encounters: Encounters, rows: Ints, n: int) -> None:
        self.rows, self.person, self.time = rows, encounters.person[rows], encounters.start[rows]
        self._edges = np.searchsorted(self.person, np.arange(n + 1))
        self._n = n

    def of(self, person: Ints, start: Floats, stop: Floats) -> tuple[Ints, Ints, Floats]:
        """Return row, person and time since the start of visits (R,) while something lasts, sorted by person, time.

        Of several spans of a person the last counts.
        """
        place = np.full(self._n, -1, np.int64)
        place[person] = np.arange(len(person))
        some = np.flatnonzero(place >= 0)
        first, count = self._edges[some], np.diff(self._edges)[some]
        total = int(count.sum())
        at = np.arange(total) + np.repeat(first - (np.cumsum(count) - count), count)
        span = np.repeat(place[some], count)
        time, begin = self.time[at], start[span]
        here = np.flatnonzero((time >= begin) & (time < stop[span]))
        at = at[here]
        return self.rows[at], self.person[at], time[here] - begin[here]


def _repeated(
    out: Wishes, visits: Visits, panel: str, person: Ints, start: Floats, stop: Floats, months: float
) -> None:
    """Want a panel at the first visit of each interval while something lasts."""
    if not len(person):
        return
    rows, who, since = visits.of(person, start, stop)
    bucket = np.floor(since / (months * MONTH)).astype(np.int64)
    out.want(panel, rows[_first_of(who, bucket)])


def _first_of(person: Ints, bucket: Ints) -> Ints:
    """Return the positions of the first row of each person and bucket; rows are sorted by person, then time."""
    if not len(person):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.r_[True, (person[1:] != person[:-1]) | (bucket[1:] != bucket[:-1])])


def _rounds(out: Wishes, history: History, encounters: Encounters, age: Floats) -> None:
    """Measure vital signs and blood daily in hospital, first on arrival."""
    written = history.people.written(encounters.person, encounters.start)
    stays = np.flatnonzero((encounters.kind == CLASS["inpatient"]) & written)
    days = np.minimum(np.floor(encounters.stop[stays] - encounters.start[stays]).astype(np.int64) + 1, 60)
    row = np.repeat(stays, days)
    day = np.arange(len(row)) - np.repeat(np.cumsum(days) - days, days)
    morning = np.floor(encounters.start[row]) + day + 6.25 / 24  # rounds at a quarter past six
    offset = np.where(day == 0, 20 * MINUTES, np.maximum(morning - encounters.start[row], 30 * MINUTES))
    inside = encounters.start[row] + offset < encounters.stop[row]
    newborn = age[row] < 0.1
    out.want("stay_vitals", row[inside & ~newborn], offset[inside & ~newborn])
    out.want("fever", row[inside & newborn], offset[inside & newborn])  # no cuff
    for panel in STAY_PANELS:
        out.want(panel, row[inside & ~newborn], offset[inside & ~newborn])
