"""How care asks for encounters, and how the asks of one person become visits that do not collide.

Every part of care asks for encounters at the moments it needs them. `settle` puts them together: stays that overlap
become one, visits during a stay happen in the stay, visits of one day become one, ambulatory visits fall on working
days and hours. Each ask gets the row of the encounter that it ended up in, -1 where the record ended before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ehrsatz.clinical import CLASSES, DISPOSITIONS
from ehrsatz.simulator.history import Floats, History, Ints
from ehrsatz.simulator.records import Encounters

CLASS = {name: k for k, name in enumerate(CLASSES)}
STAYS = (CLASS["inpatient"], CLASS["emergency"])
MINUTES = 1.0 / 1440
LEAST = 10 * MINUTES
OPENS, HOURS = 8.0, 9.0  # ambulatory care: from 8 to 17; assumed
Batch = int


@dataclass
class _Part:
    person: Ints
    start: Floats
    length: Floats  # days
    kind: Ints
    code: Ints
    reason: Ints
    specialty: Ints
    emergency: Floats  # days in the emergency department before an admission, NaN: admitted directly
    icu_from: Floats
    icu_days: Floats
    droppable: bool


@dataclass
class Asks:
    """Asks of all parts of care for one shard."""

    history: History
    parts: list[_Part] = field(default_factory=list)
    rows: list[Ints] = field(default_factory=list)  # after settle: encounter row of each ask, by batch

    def ask(
        self,
        person: Ints,
        start: Floats,
        length: Floats,
        kind: Ints | int,
        code: Ints | int,
        *,
        reason: Ints | int = -1,
        specialty: Ints | int = -1,
        emergency: Floats | None = None,
        icu_from: Floats | None = None,
        icu_days: Floats | None = None,
        droppable: bool = False,
    ) -> Batch:
        """Ask for encounters (R,) and return the number of the batch, whose rows are `rows[batch]` after `settle`.

        Parameters
        ----------
        person
            Whose.
        start
            Wanted moment; ambulatory visits are moved to working hours, never before it.
        length
            Days.
        kind
            Position in clinical.CLASSES.
        code, reason, specialty
            Positions in the book: SNOMED CT, ICD-10-CM, text.
        emergency
            Of admissions: days in the emergency department before, NaN: none.
        icu_from, icu_days
            Of admissions: intensive care, NaN: none.
        droppable
            A routine visit that falls away where the person is in hospital.
        """
        n = len(person)

        def whole(value: Ints | int) -> Ints:
            return np.full(n, value, np.int64)

        none = np.full(n, np.nan)
        self.parts.append(
            _Part(
                person.astype(np.int64),
                start.astype(np.float64),
                length.astype(np.float64),
                whole(kind),
                whole(code),
                whole(reason),
                whole(specialty),
                none if emergency is None else emergency,
                none if icu_from is None else icu_from,
                none if icu_days is None else icu_days,
                droppable,
            )
        )
        return len(self.parts) - 1

    def times(self) -> tuple[Ints, Floats]:
        """Return person and moment of all asks that are in person, sorted by person, then moment."""
        person = np.concatenate([part.person for part in self.parts])
        start = np.concatenate([part.start for part in self.parts])
        order = np.lexsort((start, person))
        return person[order], start[order]

    def settle(self) -> Encounters:
        """Make encounters of all asks and note the row of each."""
        everything = {
            name: np.concatenate([getattr(part, name) for part in self.parts])
            for name in ("person", "start", "length", "kind", "code", "reason", "specialty", "emergency", "icu_from",
                         "icu_days")
        }  # fmt: skip
        drop = np.concatenate([np.full(len(part.person), part.droppable) for part in self.parts])
        n = len(drop)
        people = self.history.people
        everything["start"], alive = _moments(everything, people.birth, people.end, self.history, n)
        stays = np.isin(everything["kind"], STAYS) & alive
        unit = np.full(n, -1, np.int64)  # ask -> unit that becomes an encounter
        lead, stop = _merge_stays(everything, np.flatnonzero(stays), unit)
        visits = np.flatnonzero(alive & ~stays)
        inside = _covering(everything, visits, lead, stop)
        covered = inside >= 0
        unit[visits[covered & ~drop[visits]]] = inside[covered & ~drop[visits]]
        visits = visits[~covered]
        first = _merge_days(everything, visits, unit, len(lead))
        encounters, row_of = _rows(everything, lead, stop, first, self.history)
        row = np.where(unit >= 0, row_of[np.maximum(unit, 0)], -1)
        edges = np.cumsum([len(part.person) for part in self.parts])[:-1]
        self.rows = np.split(row, edges)
        return encounters


def _moments(
    asks: dict[str, np.ndarray], birth: Floats, end: Floats, history: History, n: int
) -> tuple[Floats, np.ndarray]:
    """Return the moments (N,) at which asks can be met, and whether they can."""
    person, start, length = asks["person"], asks["start"].copy(), asks["length"]
    inside = (start >= birth[person]) & (start < end[person] - LEAST)
    office = np.isin(asks["kind"], [CLASS["wellness"], CLASS["ambulatory"], CLASS["virtual"]])
    # a quarter of an hour that belongs to person and day; long visits begin early enough to end by the close
    day = np.floor(start)
    u = history.draw("office hours", person, np.maximum(day, 0).astype(np.int64), width=2)
    day = _working(day, u[:, 1])
    latest = np.maximum(HOURS - 24 * length, 0.0)
    at = day + np.floor((OPENS + np.minimum(HOURS * u[:, 0], latest)) * 4) / 96
    at = np.where(at < start, _working(day + 1, 0.0) + (at - day), at)
    inside &= ~office | (
        at + np.minimum(length, LEAST) < end[person] - MINUTES
    )  # the record ends before the office opens
    start = np.where(
        office, at, _awake(start, asks["kind"], end[person], history.draw("arrival", person, _whole(start)))
    )
    start = np.floor(start * 1440 + 1e-6) / 1440
    early = office & (start < birth[person] + 1)  # moved to a working day before the birth: the day after it instead
    start = np.where(early, birth[person] + 1 + (start - np.floor(start)), start)
    start = np.maximum(start, birth[person])
    asks["length"] = np.maximum(np.minimum(length, end[person] - start), 0)
    return start, inside & (start < end[person] - LEAST / 2)


def _whole(start: Floats) -> Ints:
    return np.maximum(np.floor(start), 0).astype(np.int64)


def _awake(start: Floats, kind: Ints, end: Floats, u: Floats) -> Floats:
    """Return moments of arrival (N,): urgent care opens by day, and half of those ill at night wait for the morning.

    Half makes about a sixth of the arrivals in an emergency department fall between midnight and 7, as in NHAMCS;
    assumed.
    """
    hour = (start - np.floor(start)) * 24
    morning = np.where(hour < 8, 0, 1) + np.floor(start) + (8 + 4 * u[:, 0]) / 24
    closed = (kind == CLASS["urgent"]) & ((hour < 8) | (hour > 20))
    waits = (kind == CLASS["emergency"]) & (hour < 7) & (u[:, 0] < 0.5)
    late = np.where(waits, np.floor(start) + (7 + 8 * u[:, 0]) / 24, morning)
    return np.where((closed | waits) & (late < end - 0.5), late, start)


def _working(day: Floats, u: Floats | float) -> Floats:
    """Return days (N,), those of a weekend moved to a day of the week after, spread by u."""
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday: 0 is Monday
    return day + np.where(weekday >= 5, 7 - weekday + np.floor(5 * np.asarray(u)), 0)


def _merge_stays(asks: dict[str, np.ndarray], rows: Ints, unit: Ints) -> tuple[Ints, Floats]:
    """Make one unit of stays that overlap; return its leading ask (U,) and its end (U,)."""
    person, start = asks["person"][rows], asks["start"][rows]
    order = np.lexsort((start, person))
    rows, person, start = rows[order], person[order], start[order]
    stop = start + np.maximum(asks["length"][rows], LEAST)
    key = person * 1e6  # days stay far below a million
    reach = np.maximum.accumulate(key + stop) - key
    new = np.r_[True, (person[1:] != person[:-1]) | (start[1:] > reach[:-1] + 0.02)] if len(rows) else np.zeros(0, bool)
    group = np.cumsum(new) - 1
    unit[rows] = group
    lead = rows[new]
    end = np.full(len(lead), -np.inf)
    np.maximum.at(end, group, stop)
    # the leading ask of a merged unit takes over what is graver: an admission rather than a visit to the emergency
    graver = np.full(len(lead), -1, np.int64)
    admitted = asks["kind"][rows] == CLASS["inpatient"]
    np.maximum.at(graver, group[admitted], rows[admitted])
    change = (graver >= 0) & (asks["kind"][lead] != CLASS["inpatient"])
    for name in ("kind", "code", "reason", "specialty", "icu_from", "icu_days"):
        asks[name][lead[change]] = asks[name][graver[change]]
    asks["emergency"][lead[change]] = np.minimum(
        asks["length"][lead[change]], np.maximum((end - asks["start"][lead])[change] * 0.5, LEAST)
    )
    return lead, end


def _covering(asks: dict[str, np.ndarray], visits: Ints, lead: Ints, stop: Floats) -> Ints:
    """Return the unit whose stay covers a visit (V,), -1: none."""
    if not len(lead):
        return np.full(len(visits), -1, np.int64)
    key = asks["person"][lead] * 1e6 + asks["start"][lead]
    mine = asks["person"][visits] * 1e6 + asks["start"][visits]
    at = np.searchsorted(key, mine + asks["length"][visits], side="left") - 1
    safe = np.maximum(at, 0)
    same = (at >= 0) & (asks["person"][lead[safe]] == asks["person"][visits])
    return np.where(same & (asks["start"][visits] < stop[safe] + LEAST), safe, -1)


def _merge_days(asks: dict[str, np.ndarray], visits: Ints, unit: Ints, taken: int) -> Ints:
    """Make one unit of the visits of a day, the longest asked leads; return the leading asks."""
    person, start = asks["person"][visits], asks["start"][visits]
    order = np.lexsort((start, person))
    visits, person = visits[order], person[order]
    day = np.floor(asks["start"][visits])
    new = np.r_[True, (person[1:] != person[:-1]) | (day[1:] != day[:-1])] if len(visits) else np.zeros(0, bool)
    group = np.cumsum(new) - 1
    unit[visits] = group + taken
    lead = visits[new]
    longest = np.zeros(len(lead))
    np.maximum.at(longest, group, asks["length"][visits])
    asks["length"][lead] = longest
    # a visit with a reason leads over one without
    reasons = np.full(len(lead), -1, np.int64)
    known = asks["reason"][visits] >= 0
    np.maximum.at(reasons, group[known], visits[known])
    change = (asks["reason"][lead] < 0) & (reasons >= 0)
    asks["reason"][lead[change]] = asks["reason"][reasons[change]]
    return lead


def _rows(
    asks: dict[str, np.ndarray], lead: Ints, stop: Floats, first: Ints, history: History
) -> tuple[Encounters, Ints]:
    """Write the encounters of units: stays with their emergency visit and intensive care, then visits."""
    people = history.people
    end_of_life = people.death
    start = asks["start"][lead]
    admitted = asks["kind"][lead] == CLASS["inpatient"]
    waited = admitted & ~np.isnan(asks["emergency"][lead])
    inner = np.where(waited, np.minimum(asks["emergency"][lead], (stop - start) * 0.5), 0.0)
    inner = np.floor(inner * 1440) / 1440
    units, visits = len(lead), len(first)
    waiting = np.flatnonzero(waited & (inner >= LEAST / 2))
    begin = start.copy()
    begin[waiting] += inner[waiting]
    icu = np.flatnonzero(admitted & ~np.isnan(asks["icu_from"][lead]))
    icu_start = np.clip(asks["icu_from"][lead[icu]], begin[icu], stop[icu] - 2 * LEAST)
    icu_stop = np.minimum(icu_start + np.maximum(asks["icu_days"][lead[icu]], 0.1), stop[icu])
    fine = icu_stop > icu_start + LEAST / 2
    icu, icu_start, icu_stop = icu[fine], icu_start[fine], icu_stop[fine]
    who = np.concatenate([asks["person"][lead], asks["person"][first], asks["person"][lead[waiting]],
                          asks["person"][lead[icu]]])  # fmt: skip
    source = np.concatenate([lead, first, lead[waiting], lead[icu]])
    starts = np.concatenate([begin, asks["start"][first], start[waiting], icu_start])
    stops = np.concatenate([stop, asks["start"][first] + asks["length"][first], begin[waiting], icu_stop])
    kinds = np.concatenate([asks["kind"][lead], asks["kind"][first], np.full(len(waiting), CLASS["emergency"]),
                            np.full(len(icu), CLASS["icu"])])  # fmt: skip
    whole = np.concatenate([np.full(units + visits, -1), np.full(len(waiting), -1), icu])
    stops = np.minimum(np.ceil(stops * 1440 - 1e-6) / 1440, people.end[who])
    starts = np.floor(starts * 1440 + 1e-6) / 1440
    stops = np.maximum(stops, starts + MINUTES)
    part = np.where(kinds == CLASS["icu"], 1, 0)
    order = np.lexsort((part, starts, who))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    disposition = np.full(len(order), -1, np.int64)
    inpatient = kinds == CLASS["inpatient"]
    died = np.isfinite(end_of_life[who]) & (stops >= end_of_life[who] - 2 * MINUTES)
    disposition[inpatient] = _discharge(history, who[inpatient], starts[inpatient], stops[inpatient])
    disposition[kinds == CLASS["emergency"]] = DISPOSITIONS.index("home")
    into = np.arange(units + visits, units + visits + len(waiting))
    disposition[into] = DISPOSITIONS.index("transferred")
    disposition[died & np.isin(kinds, [*STAYS, CLASS["icu"]])] = DISPOSITIONS.index("died")
    encounters = Encounters(
        person=who[order],
        start=starts[order],
        stop=stops[order],
        kind=kinds[order],
        code=asks["code"][source][order],
        reason=asks["reason"][source][order],
        specialty=asks["specialty"][source][order],
        part_of=np.where(whole[order] >= 0, place[np.maximum(whole[order], 0)], -1),
        disposition=disposition[order],
    )
    return encounters, place[: units + visits]


def _discharge(history: History, person: Ints, start: Floats, stop: Floats) -> Ints:
    """Choose where the admitted go: the older and the longer in hospital, the less often home.

    Shares of HCUP Statistical Brief 205 (2016): 65 to 84 years, 60 % home, 16 % home health, 20 % skilled nursing.
    """
    age = (start - history.people.birth[person]) / 365.25
    u = history.draw("discharge", person, np.maximum(np.floor(start), 0).astype(np.int64))[:, 0]
    frail = np.clip((age - 45) / 50, 0, 1) * np.clip(0.5 + (stop - start) / 14, 0.5, 1.4)
    nursing, health, hospice = 0.32 * frail, 0.20 * frail + 0.03, 0.02 * frail
    out = np.full(len(person), DISPOSITIONS.index("home"), np.int64)
    out[u < nursing + health + hospice] = DISPOSITIONS.index("hospice")
    out[u < nursing + health] = DISPOSITIONS.index("home health")
    out[u < nursing] = DISPOSITIONS.index("skilled nursing")
    return out
