"""Immunisations by the country's schedule: children's series with catch-up, boosters, pregnancy, influenza each autumn.

Who takes which series hangs on one attitude per person, so that gaps cluster. A dose is given at the first visit at
which it is due; ages and intervals are kept by the moments of the visits as they were settled. In the years before
routine care is written down, children come for their vaccines alone; so do those who want a dose in autumn and have
no other visit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from ehrsatz.clinical import CVX, ICD10CM
from ehrsatz.simulator.chart.asks import CLASS, MINUTES
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.chart.visits import snomed
from ehrsatz.simulator.history import YEAR, Flags, Floats, History, Ints
from ehrsatz.simulator.schedule import UNITS, Schedule, Vaccine, Years, days, schedule

ATTITUDE = 0.7  # of the variance of whether somebody takes a vaccine lies between people; assumed: gaps cluster
SEASONS = 0.85  # likewise of influenza from year to year; assumed: most who were vaccinated come again
COMES = 0.95  # share of the children's visits for vaccines alone that are kept; assumed
EARLY = 0.05  # a dose may be given by so much of the age before it is due; ages at the least are kept
ROLLOUT = 4 * YEAR  # over which adults take up a new vaccine; assumed
SEASON = (244, 336, 396)  # days of the year: from September, own visits to early December, others to January
PLACES = ("wellness", "ambulatory", "home")


def day_of(year: float | None) -> float:
    """Return the first day of a calendar year, inf for None."""
    if year is None:
        return np.inf
    whole = int(year)
    return float(np.datetime64(f"{whole}-01-01").astype(np.int64)) + (year - whole) * YEAR


@dataclass
class _Given:
    """Doses so far: rows of encounters by series."""

    parts: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, encounter: Ints, time: Floats, code: int, number: int | Ints) -> None:
        n = len(encounter)
        self.parts.append(
            {
                "encounter": encounter,
                "time": time,
                "code": np.full(n, code),
                "dose_number": np.broadcast_to(np.asarray(number, np.int64), (n,)).copy(),
            }
        )


class Immunise(Part):
    """Write immunisations."""

    def ask(self, chart: Chart) -> None:
        """Ask for visits for vaccines alone."""
        plan = schedule(chart.country)
        people = chart.history.people
        self._attitude = _normal(chart.history.draw("attitude to vaccines", np.arange(people.n))[:, 0])
        self._takes = {one.id: _takes(chart.history, one, self._attitude) for one in plan.vaccines}
        _children(chart, plan, self._takes)
        for one in plan.vaccines:
            if one.adult and people.record_from is not None:
                wanted = _wanted(chart.history, one)
                alone = self._takes[one.id] & (wanted < people.record_from) & (wanted < people.end - 30)
                who = np.flatnonzero(alone & (wanted < day_of(one.years[1])))
                _alone(chart, who, wanted[who], one.id)
        self._season = _seasons(chart.history, plan, self._attitude)
        person, season = self._season
        alone = ~_seen(chart, person, season)
        person, first = person[alone], season[alone] + SEASON[0]
        u = chart.history.draw("influenza visit", person, np.maximum(first, 0).astype(np.int64))[:, 0]
        when = first + 10 + 80 * u**1.5  # half by the middle of October: FluVaxView 2022-23, monthly
        _alone(chart, person, when, "influenza")

    def write(self, chart: Chart) -> None:
        """Give each dose at the first visit at which it is due."""
        plan = schedule(chart.country)
        visits = _Visits(chart)
        given = _Given()
        last: dict[str, Floats] = {}
        counts: dict[str, Ints] = {}
        for one in (vaccine for vaccine in plan.vaccines if not vaccine.adult):
            counts[one.id] = _series(chart, one, self._takes[one.id], visits, given, last)
        pregnant = _pregnant(chart, plan, visits, given, last, counts)
        for one in (vaccine for vaccine in plan.vaccines if vaccine.adult):
            takes = self._takes[one.id].copy()
            if one.unless is not None:
                takes &= counts[one.unless] == 0
            if one.family is not None:
                takes &= ~pregnant
            counts[one.id] = _series(chart, one, takes, visits, given, last)
        _influenza(chart, plan, visits, given, *self._season)
        if given.parts:
            chart.add("immunization", {k: np.concatenate([part[k] for part in given.parts]) for k in given.parts[0]})


class _Visits:
    """Visits at which vaccines are given, sorted by person and time: children's, and any of adults."""

    def __init__(self, chart: Chart) -> None:
        met = chart.encounters
        assert met is not None
        self.met = met
        self.n = chart.history.people.n
        vaccine = chart.book.place(ICD10CM, "Z23")
        births = [chart.book.place(ICD10CM, code) for code in ("Z38.00", "Z38.01")]
        office = np.isin(met.kind, [CLASS[name] for name in PLACES])
        child = (met.kind == CLASS["wellness"]) | (office & (met.reason == vaccine))
        newborn = (met.kind == CLASS["inpatient"]) & np.isin(met.reason, births)
        self.of = {False: self._keyed(child | newborn), True: self._keyed(office)}

    def _keyed(self, chosen: Flags) -> tuple[Ints, Floats]:
        rows = np.flatnonzero(chosen)
        time = self.time(rows)
        return rows, self.met.person[rows] * 1e6 + time

    def time(self, rows: Ints) -> Floats:
        """Return the moment of the dose at encounters (R,): ten minutes in, or a third of what is shorter."""
        length = self.met.stop[rows] - self.met.start[rows]
        return self.met.start[rows] + np.floor(np.minimum(10.0, length * 1440 / 3)) * MINUTES

    def first(self, person: Ints, since: Floats, adult: bool) -> tuple[Ints, Floats]:
        """Return the first visit (R,) of people from moments on, -1: none, and its moment, inf: none."""
        rows, key = self.of[adult]
        if not len(rows):
            return np.full(len(person), -1), np.full(len(person), np.inf)
        at = np.searchsorted(key, person * 1e6 + np.minimum(since, 9e5))
        row = rows[np.minimum(at, len(rows) - 1)]
        found = (at < len(rows)) & (self.met.person[row] == person)
        return np.where(found, row, -1), np.where(found, self.time(row), np.inf)


def _normal(u: Floats) -> Floats:
    out: Floats = ndtri(np.clip(u, 1e-9, 1 - 1e-9))
    return out


def _takes(history: History, one: Vaccine, attitude: Floats) -> Flags:
    """Return whether people (N,) take a series: one attitude each, and chance."""
    people = history.people
    everyone = np.arange(people.n)
    own = _normal(history.draw(f"vaccine {one.id}", everyone)[:, 0])
    takes: Flags = np.sqrt(ATTITUDE) * attitude + np.sqrt(1 - ATTITUDE) * own < ndtri(min(one.share, 0.999999))
    return takes if one.sex is None else takes & (people.sex == ("female", "male").index(one.sex))


def _wanted(history: History, one: Vaccine) -> Floats:
    """Return the moment (N,) from which adults want the first dose of a series."""
    people = history.people
    u = history.draw(f"vaccine wanted {one.id}", np.arange(people.n), width=2)
    due = people.birth + days(one.doses[0].due) + 2 * YEAR * u[:, 0]
    if one.spread is not None:
        since = people.birth if people.record_from is None else people.record_from
        since = np.maximum(since, day_of(one.years[0]))
        return np.maximum(due, since + days(one.spread) * u[:, 1])
    return np.maximum(due, day_of(one.years[0]) + ROLLOUT * u[:, 1])


def _alone(chart: Chart, person: Ints, when: Floats, name: str) -> None:
    """Ask for short visits for a vaccine alone."""
    u = chart.history.draw(f"vaccine alone {name}", person, np.maximum(when, 0).astype(np.int64))[:, 0]
    chart.asks.ask(
        person,
        when,
        (15 + 6 * u) * MINUTES,
        CLASS["ambulatory"],
        snomed(chart.book, "ambulatory"),
        reason=chart.book.place(ICD10CM, "Z23"),
        specialty=chart.book.text("family medicine"),
        droppable=True,
    )


def _children(chart: Chart, plan: Schedule, takes: dict[str, Flags]) -> None:
    """Ask for children's visits for vaccines alone, in the years of which routine care is not written down."""
    history = chart.history
    people = history.people
    if people.record_from is None:
        return
    ages = np.array([days(age) for age in plan.visits])
    since = np.full(len(ages), np.inf)  # the first day on which anything is given at a visit
    for one in plan.vaccines:
        for dose in one.doses:
            at = int(np.argmin(np.abs(ages - days(dose.due))))
            since[at] = min(since[at], day_of((dose.years or one.years)[0]))
    u = history.draw("visits for vaccines", np.arange(people.n), width=2 * len(ages) + 1)
    jitter = u[:, : len(ages)] ** 2 * np.minimum(ages * 0.06, 90)
    when = people.birth[:, None] + ages * 1.002 + 1 + jitter
    keep = (u[:, len(ages) : -1] < COMES) & (when < people.record_from[:, None]) & (when < people.end[:, None] - 1)
    willing = np.zeros(people.n, bool)
    for one in plan.vaccines:
        if not one.adult:
            willing |= takes[one.id]
    keep &= (when >= since) & willing[:, None]
    person, k = np.nonzero(keep)
    _alone(chart, person, when[person, k], "child")


def _series(chart: Chart, one: Vaccine, takes: Flags, visits: _Visits, given: _Given, last: dict[str, Floats]) -> Ints:
    """Give the doses of one series; return how many each person (N,) had."""
    people = chart.history.people
    code = chart.book.place(CVX, one.cvx)
    before = last.setdefault(one.family or one.id, np.full(visits.n, -np.inf))
    first = np.full(visits.n, np.inf)
    count = np.zeros(visits.n, np.int64)
    for k, dose in enumerate(one.doses):
        who = np.flatnonzero(takes & (count == k) & (people.birth + days(dose.least) < people.end))
        if k and dose.goes_on < 1:
            u = chart.history.draw(f"dose {one.id} {k}", who)[:, 0]
            who = who[u < dose.goes_on]
        if not len(who):
            break
        born = people.birth[who]
        since = born + np.maximum(days(dose.due) * (1 - EARLY), days(dose.least) + 0.1)
        if one.adult and k == 0:
            since = np.maximum(since, _wanted(chart.history, one)[who])
        if dose.late:
            since += 25.0 * (chart.history.draw(f"late {one.id} {k}", who)[:, 0] < dose.late)
        since = np.maximum(since, before[who] + days(dose.after) + 0.1)
        if dose.since_first is not None:
            since = np.maximum(since, first[who] + days(dose.since_first))
        begin, end = _years(dose.years or one.years)
        row, time = visits.first(who, np.maximum(since, begin), one.adult)
        fine = (row >= 0) & (time <= born + days(dose.latest)) & (time < end)
        if one.adult and k == 0 and one.spread is None:  # who does not come within two years has it elsewhere
            fine &= time < since + 2 * YEAR
        who, row, time = who[fine], row[fine], time[fine]
        given.add(row, time, code, k + 1)
        before[who] = time
        first[who] = np.minimum(first[who], time)
        count[who] = k + 1
    return count


def _years(years: Years) -> tuple[float, float]:
    return day_of(years[0]), day_of(years[1])


def _pregnant(
    chart: Chart,
    plan: Schedule,
    visits: _Visits,
    given: _Given,
    last: dict[str, Floats],
    counts: dict[str, Ints],
) -> Flags:
    """Give the dose of pregnancy at a visit in its weeks; return who (N,) ever had one."""
    ever = np.zeros(visits.n, bool)
    attacks, one = chart.history.attacks.get("pregnancy"), plan.pregnancy
    if attacks is None or one is None or not len(attacks.person):
        return ever
    history = chart.history
    person = attacks.person
    takes = history.draw(f"vaccine {one.id}", person, attacks.ordinal)[:, 0] < one.share
    since = attacks.onset + one.weeks[0] * UNITS["w"]
    row, time = visits.first(person, np.maximum(since, day_of(one.since)), True)
    until = np.minimum(attacks.onset + one.weeks[1] * UNITS["w"] + 6.9, attacks.stop - 1)
    latest = last.setdefault("tetanus", np.full(visits.n, -np.inf))
    fine = takes & (row >= 0) & (time < until) & (time > latest[person] + 60)
    person, row, time = person[fine], row[fine], time[fine]
    number = np.arange(len(person)) - np.searchsorted(person, person) + 1
    before = counts.get("tdap", np.zeros(visits.n, np.int64))[person]
    given.add(row, time, chart.book.place(CVX, one.cvx), number + before)
    ever[person] = True
    np.maximum.at(latest, person, time)
    return ever


def _seasons(history: History, plan: Schedule, attitude: Floats) -> tuple[Ints, Floats]:
    """Return person and first day of the year (R,) of all seasons in which people want influenza vaccine."""
    people, one = history.people, plan.influenza
    start = people.birth if people.record_from is None else people.record_from
    low = max(one.since, int(np.floor(np.min(start) / YEAR + 1970)))
    high = int(np.floor(np.max(people.end) / YEAR + 1970))
    if high < low or not people.n:
        return np.zeros(0, np.int64), np.zeros(0)
    years = np.arange(low, high + 1)
    new_year = np.array([day_of(float(year)) for year in years])
    autumn = new_year[None, :] + SEASON[0]
    everyone = np.arange(people.n)
    person = np.repeat(everyone, len(years))
    u = history.draw("influenza season", person, np.tile(years, people.n))[:, 0].reshape(people.n, -1)
    z = np.sqrt(SEASONS) * attitude[:, None] + np.sqrt(1 - SEASONS) * _normal(u)
    age = (autumn - people.birth[:, None]) / YEAR
    band = np.searchsorted(one.ages, age, side="right") - 1
    share = np.r_[np.array(one.share), 0.0][band]  # band -1: too young
    takes = z < np.r_[ndtri(np.clip(one.share, 1e-12, 1 - 1e-12)), -np.inf][band]
    takes &= (share > 0) & (autumn >= start[:, None]) & (autumn < people.end[:, None])
    row, k = np.nonzero(takes)
    return row, new_year[k]


def _seen(chart: Chart, person: Ints, season: Floats) -> Flags:
    """Return whether people (R,) have asked for another visit in the autumn of a season, without sorting all asks."""
    if not len(season):
        return np.zeros(0, bool)
    new_year = np.unique(season)
    seen = np.zeros((chart.history.people.n, len(new_year) + 1), bool)
    office = np.isin(np.arange(len(CLASS)), [CLASS[name] for name in PLACES])
    for part in chart.asks.parts:
        k = np.searchsorted(new_year, part.start, side="right") - 1
        day = part.start - new_year[np.maximum(k, 0)]
        autumn = office[part.kind] & (k >= 0) & (day >= SEASON[0]) & (day < SEASON[1])
        seen[part.person[autumn], k[autumn]] = True
    return seen[person, np.searchsorted(new_year, season)]


def _influenza(chart: Chart, plan: Schedule, visits: _Visits, given: _Given, person: Ints, season: Floats) -> None:
    """Give one dose a season, at the first visit of autumn from a person's own day on."""
    u = chart.history.draw("influenza day", person, np.maximum(season, 0).astype(np.int64))[:, 0]
    row, time = visits.first(person, season + SEASON[0] + 5 * u, True)
    fine = (row >= 0) & (time < season + SEASON[2])
    person, row, time = person[fine], row[fine], time[fine]
    new = np.r_[True, row[1:] != row[:-1]] if len(row) else np.zeros(0, bool)
    given.add(row[new], time[new], chart.book.place(CVX, plan.influenza.cvx), 1)
