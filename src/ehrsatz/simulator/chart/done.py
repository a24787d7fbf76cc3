"""Procedures with their devices, and imaging with its reports: once at the diagnosis, or again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ehrsatz.clinical import ICD10CM, LOINC, SNOMED
from ehrsatz.simulator.chart.asks import CLASS, MINUTES, Asks, Batch
from ehrsatz.simulator.chart.visits import CODES, Found, snomed
from ehrsatz.simulator.hazards import exponential
from ehrsatz.simulator.history import YEAR, Floats, History, Ints
from ehrsatz.simulator.module import Imaging, Procedure
from ehrsatz.simulator.records import Book, Encounters, Rows

MOST = 6_000  # repetitions of one procedure in one person
SIDES = ("left", "right")


@dataclass
class Deed:
    """One procedure or imaging study of people (R,): what, at which ask, and for which reason."""

    what: Procedure | Imaging
    batch: Batch
    rows: Ints | None  # of the batch; None: all
    reason: str
    seed: str


@dataclass
class Deeds:
    """What is to be done at visits that were asked for."""

    list: list[Deed] = field(default_factory=list)


def ask(asks: Asks, history: History, found: Found, book: Book) -> Deeds:
    """Ask for the visits of procedures and imaging."""
    deeds = Deeds()
    for name, spells in history.spells.items():
        condition = spells.condition
        ended = np.where(np.isnan(spells.stop), history.people.end[spells.person], spells.stop)
        deeds_of: tuple[Procedure | Imaging, ...] = (*condition.procedures, *condition.imaging)
        for k, what in enumerate(deeds_of):
            begin, stop = spells.diagnosed, ended
            if what.stage is not None:
                at = [stage.id for stage in condition.stages].index(what.stage)
                reached = np.fmin.reduce(spells.stage_from[:, at:], axis=1)
                begin = np.maximum(begin, np.where(np.isnan(reached), np.inf, reached))
            if what.until_stage is not None:
                at = [stage.id for stage in condition.stages].index(what.until_stage)
                gone = np.fmin.reduce(spells.stage_from[:, at:], axis=1)
                stop = np.fmin(stop, gone)
            u = history.draw(f"deed {name} {k}", spells.person, width=2)
            share = what.share
            chosen = np.flatnonzero((u[:, 0] < share) & (begin < stop))
            if not len(chosen):
                continue
            person, since, until = spells.person[chosen], begin[chosen], stop[chosen]
            if what.per_year is None:
                wait = getattr(what, "delay_years", 0.0) / np.log(2) * exponential(u[chosen, 1])
                _one(asks, history, deeds, book, what, name, k, condition, person, since + wait * YEAR, until)
            else:
                _again(asks, history, deeds, book, what, name, k, condition, person, since, until)
    for name, batch in found.attack.items():
        episode = history.attacks[name].episode
        seen = found.seen[name]
        attacks = history.attacks[name]
        deeds_of = (*episode.procedures, *episode.imaging)
        for k, what in enumerate(deeds_of):
            u = history.draw(f"deed {name} {k}", attacks.person[seen], attacks.ordinal[seen])[:, 0]
            rows = np.flatnonzero(u < what.share)
            if isinstance(what, Procedure) and what.visit == "inpatient":
                rows = rows[attacks.stay[seen][rows] > 0]
            if len(rows):
                deeds.list.append(Deed(what, batch, rows, episode.icd10, f"{name} {k}"))
    return deeds


def _one(
    asks: Asks,
    history: History,
    deeds: Deeds,
    book: Book,
    what: Procedure | Imaging,
    name: str,
    k: int,
    condition: object,
    person: Ints,
    when: Floats,
    until: Floats,
) -> None:
    fine = when < until
    _visit(asks, history, deeds, book, what, name, k, condition, person[fine], when[fine])


def _again(
    asks: Asks,
    history: History,
    deeds: Deeds,
    book: Book,
    what: Procedure | Imaging,
    name: str,
    k: int,
    condition: object,
    person: Ints,
    since: Floats,
    until: Floats,
) -> None:
    assert what.per_year is not None
    people = history.people
    skip = np.zeros(len(person), np.int64)  # those before the record begins
    if people.record_from is not None:
        before = np.maximum(people.record_from[person] - since, 0) / YEAR * what.per_year
        skip = np.maximum(np.floor(before).astype(np.int64) - 1, 0)
    last = np.floor((until - since) / YEAR * what.per_year).astype(np.int64)
    times = np.clip(last - skip, 0, MOST)
    at = np.repeat(np.arange(len(person)), times)
    number = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times) + skip[at]
    u = history.draw(f"again {name} {k}", person[at], number)[:, 0]
    when = since[at] + (number + 0.3 + 0.4 * u) / what.per_year * YEAR
    fine = (when < until[at]) & history.people.written(person[at], when)
    _visit(asks, history, deeds, book, what, name, k, condition, person[at][fine], when[fine])


def _visit(
    asks: Asks,
    history: History,
    deeds: Deeds,
    book: Book,
    what: Procedure | Imaging,
    name: str,
    k: int,
    condition: object,
    person: Ints,
    when: Floats,
) -> None:
    if not len(person):
        return
    kind = what.visit if isinstance(what, Procedure) else "ambulatory"
    minutes = what.minutes if isinstance(what, Procedure) else 30.0
    day = np.maximum(np.floor(when), 0).astype(np.int64)
    u = history.draw(f"deed time {name} {k}", person, day)[:, 0]
    length = (minutes + 15) * (0.8 + 0.5 * u) * MINUTES
    if kind == "inpatient":
        days = getattr(what, "stay_days", None) or 2.0
        length = np.maximum(days * np.exp(0.8 * (u - 0.5)), 0.4)
    code = "elective" if kind == "inpatient" else kind if kind in CODES else "followup"
    batch = asks.ask(
        person,
        when,
        length,
        CLASS[kind],
        snomed(book, "followup" if code == "ambulatory" else code),
        reason=book.place(ICD10CM, condition.icd10),  # type: ignore[attr-defined]
        specialty=book.text(condition.specialty),  # type: ignore[attr-defined]
    )
    deeds.list.append(Deed(what, batch, None, condition.icd10, f"{name} {k}"))  # type: ignore[attr-defined]


def rows_of(
    history: History, encounters: Encounters, asks: Asks, deeds: Deeds, book: Book
) -> tuple[Rows, Rows, Rows, Rows]:
    """Return procedures, devices, imaging orders and their reports, in no order; reports point into the orders."""
    procedures, devices, orders, reports = [], [], [], []
    placed = 0
    for deed in deeds.list:
        row = asks.rows[deed.batch] if deed.rows is None else asks.rows[deed.batch][deed.rows]
        row = row[row >= 0]
        if not len(row):
            continue
        begin, stop = encounters.start[row], encounters.stop[row]
        reason = np.full(len(row), book.place(ICD10CM, deed.reason))
        if isinstance(deed.what, Procedure):
            start = begin + np.minimum(10 * MINUTES, (stop - begin) * 0.2)
            end = np.maximum(np.minimum(start + deed.what.minutes * MINUTES, stop), start + MINUTES)
            code = np.full(len(row), book.place(SNOMED, deed.what.snomed))
            procedures.append({"encounter": row, "code": code, "start": start, "stop": end, "reason": reason})
            if deed.what.device is not None:
                devices.append(
                    {
                        "encounter": row,
                        "code": np.full(len(row), book.place(SNOMED, deed.what.device)),
                        "start": start,
                        "stop": np.full(len(row), np.nan),
                    }
                )
            continue
        time = begin + np.minimum(12 * MINUTES, (stop - begin) * 0.3)
        system, name = (LOINC, deed.what.loinc) if deed.what.loinc is not None else (SNOMED, deed.what.snomed)
        code = np.full(len(row), book.place(system, str(name)))
        orders.append(
            {
                "encounter": row,
                "time": time,
                "kind": np.ones(len(row), np.int64),
                "code": code,
                "reason": reason,
                "status": np.zeros(len(row), np.int64),
            }
        )
        person = encounters.person[row]
        u = history.draw(f"report {deed.seed}", person, np.maximum(np.floor(time), 0).astype(np.int64), width=2)
        texts = np.array(
            [[book.text(text.replace("{side}", side)) for side in SIDES] for text in deed.what.report], np.int64
        )
        chosen = texts[np.minimum((u[:, 0] * len(texts)).astype(np.int64), len(texts) - 1), (u[:, 1] < 0.5).astype(int)]
        reports.append(
            {
                "encounter": row,
                "order": placed + np.arange(len(row)),
                "time": np.minimum(time + 10 * MINUTES, stop),
                "kind": np.ones(len(row), np.int64),
                "modality": np.full(len(row), book.text(deed.what.modality)),
                "site": np.full(len(row), book.text(deed.what.body_site)),
                "code": code,
                "text": chosen,
            }
        )
        placed += len(row)

    def joined(parts: list[dict[str, np.ndarray]]) -> Rows:
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}

    return _once(joined(procedures)), joined(devices), joined(orders), joined(reports)


def _once(rows: Rows) -> Rows:
    """Leave out a procedure that a visit has already: two of one day that were made one visit."""
    if not rows:
        return rows
    encounter, code = rows["encounter"].astype(np.int64), rows["code"].astype(np.int64)
    _, first = np.unique(encounter * 1_000_000 + code, return_index=True)
    first = np.sort(first)
    return {name: values[first] for name, values in rows.items()}
