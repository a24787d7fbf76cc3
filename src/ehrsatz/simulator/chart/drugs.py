"""Medication orders: who wrote which, when it was renewed, how much was given, and how it ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from ehrsatz.clinical import ICD10CM, RXNORM, UCUM
from ehrsatz.simulator.chart.asks import CLASS, MINUTES, Asks, Batch
from ehrsatz.simulator.chart.visits import BORN, Found, snomed
from ehrsatz.simulator.history import YEAR, Courses, Floats, History, Ints
from ehrsatz.simulator.records import Book, Encounters, Rows

ACTIVE, COMPLETED, STOPPED = 0, 1, 2
WRITE = ("wellness", "ambulatory", "urgent", "emergency", "inpatient", "virtual")  # where drugs are ordered
SAME = ("code", "dose", "unit", "route", "per_day", "refills", "quantity", "reason")  # for all orders of a course
SUPPLY = 90.0  # days of a chronic drug per fill; three refills make a year: CMS and commercial plans' usual
LONG = 120.0  # days from which a course of fixed length is renewed like a chronic drug
SCHEDULE_TWO = frozenset({1049221, 1049683, 1091392, 1728805, 1735006, 856987, 864706})  # RxNorm
# oxycodone, methylphenidate, morphine, fentanyl, hydrocodone, methadone: no refills, 21 CFR 1306.12 (2024)
NEAR = 60.0  # days within which the next visit is taken for the first order; else one is made


def ask(asks: Asks, history: History, book: Book) -> list[Batch | None]:
    """Ask for a visit where a chronic drug is begun and none is near; one batch per course, None where none is."""
    person, start = asks.times()
    key = person * 1e6 + start
    out: list[Batch | None] = []
    for course in history.courses:
        if not len(course.person) or course.attack.max(initial=-1) >= 0:
            out.append(None)
            continue
        at = np.searchsorted(key, course.person * 1e6 + course.start)
        safe = np.minimum(at, len(key) - 1)
        near = (at < len(key)) & (person[safe] == course.person) & (start[safe] < course.start + NEAR)
        index = history.people.start[course.person]  # of a quota: what is taken by then is ordered by then
        near &= ~((course.start < index) & (start[safe] >= index))
        far = np.flatnonzero(~near & history.people.written(course.person, course.start))
        batch = asks.ask(
            course.person[far],
            np.maximum(course.start[far], history.people.birth[course.person[far]] + BORN),
            np.full(len(far), 20 * MINUTES),
            CLASS["ambulatory"],
            snomed(book, "followup"),
            reason=book.place(ICD10CM, course.reason),
            specialty=book.text("family medicine"),
        )
        out.append(batch)
    return out


def rows_of(history: History, encounters: Encounters, asks: Asks, found: Found, book: Book) -> Rows:
    """Return the medication orders, in no order."""
    parts = []
    writes = np.flatnonzero(np.isin(encounters.kind, [CLASS[one] for one in WRITE]))
    key = encounters.person[writes] * 1e6 + encounters.start[writes]
    for course in history.courses:
        if not len(course.person):
            continue
        if course.source in found.attack:
            part = _short(history, encounters, asks, found, course, book)
        else:
            part = _long(history, encounters, writes, key, course, book)
        if len(part["encounter"]):
            parts.append(part)
    if not parts:
        return {}
    length = [len(part["encounter"]) for part in parts]
    same = {name: np.repeat(np.array([part[name] for part in parts]), length) for name in SAME}
    return {name: same[name] if name in SAME else np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _short(
    history: History, encounters: Encounters, asks: Asks, found: Found, course: Courses, book: Book
) -> dict[str, Any]:
    """Courses of an episode's drugs: one order at the visit."""
    seen = found.seen[course.source]
    place = np.full(len(history.attacks[course.source].person), -1, np.int64)
    place[seen] = asks.rows[found.attack[course.source]]
    row = np.where(course.attack >= 0, place[np.maximum(course.attack, 0)], -1)
    keep = np.flatnonzero(row >= 0)
    row = row[keep]
    days = course.treatment.days or 7.0
    end = history.people.end[encounters.person[row]]
    start = np.minimum(encounters.start[row] + 15 * MINUTES, encounters.stop[row] - MINUTES)
    taken = np.clip(course.stop[keep] - course.start[keep], 60 * MINUTES, days)  # of those who had to stop
    stop = start + np.where(course.stopped[keep] >= 0, taken, days)
    return _part(book, course, row, start, np.where(stop < end, stop, np.nan), days, 0, course.stopped[keep], end, True)


def _long(
    history: History, encounters: Encounters, writes: Ints, key: Floats, course: Courses, book: Book
) -> dict[str, Any]:
    """Chronic drugs: a first order at the next visit, renewed at the visits about a year apart."""
    people = history.people
    person = course.person
    end = people.end[person]
    stop = np.where(np.isnan(course.stop), end, course.stop)
    begin = course.start
    if people.record_from is not None:  # what was begun long before is renewed from the first year of the record on
        begin = np.maximum(begin, people.record_from[person])
    years = np.maximum(np.ceil((stop - begin) / YEAR), 1).astype(np.int64)
    days = course.treatment.days if course.treatment.days is not None and course.treatment.days < LONG else None
    if days is not None:
        years = np.ones_like(years)
    at = np.repeat(np.arange(len(person)), years)
    k = np.arange(len(at)) - np.repeat(np.cumsum(years) - years, years)
    wanted = begin[at] + k * YEAR * 0.97
    found = np.searchsorted(key, person[at] * 1e6 + wanted)
    safe = np.minimum(found, len(key) - 1)
    row = writes[safe]
    fine = (found < len(key)) & (encounters.person[row] == person[at]) & (encounters.start[row] < stop[at] - 1)
    new = np.r_[True, (at[1:] != at[:-1]) | (row[1:] != row[:-1])]
    keep = np.flatnonzero(fine & new)
    at, row = at[keep], row[keep]
    start = np.minimum(encounters.start[row] + 15 * MINUTES, encounters.stop[row] - MINUTES)
    last = np.r_[at[1:] != at[:-1], True] if len(at) else np.zeros(0, bool)
    following = np.r_[start[1:], np.inf] if len(at) else np.zeros(0)
    finish = np.where(last, np.where(np.isnan(course.stop[at]), np.nan, stop[at]), following)
    finish = np.where(np.isfinite(finish) & (finish <= start), start + 1, finish)
    finish = np.where(finish < end[at], finish, np.nan)
    refills = 0 if days is not None or int(course.treatment.rxnorm) in SCHEDULE_TWO else 3
    stopped = np.where(last, course.stopped[at], -1)
    return _part(book, course, row, start, finish, days or SUPPLY, refills, stopped, end[at], days is not None)


def _part(
    book: Book,
    course: Courses,
    row: Ints,
    start: Floats,
    stop: Floats,
    days: float,
    refills: int,
    stopped: Ints,
    end: Floats,
    short: bool,
) -> dict[str, Any]:
    """Return the columns of one course's orders; those of `SAME` as one value for all of them."""
    one = course.treatment
    reasons = np.array([*(book.text(reason) for reason in one.stop_reasons), -1], np.int64)
    given_up = (stopped >= 0) & ~np.isnan(stop)
    return {
        "encounter": row,
        "code": book.place(RXNORM, one.rxnorm),
        "start": start,
        "stop": stop,
        "dose": one.dose,
        "unit": book.place(UCUM, one.dose_unit),
        "route": book.text(one.route),
        "per_day": one.per_day,
        "refills": refills,
        "quantity": float(max(1.0, np.ceil(one.per_day * days))),
        "reason": book.place(ICD10CM, course.reason),
        "stop_reason": np.where(given_up, reasons[stopped], -1),
        "status": np.where(given_up, STOPPED, np.where(np.isnan(stop), ACTIVE, COMPLETED)),
    }
