# ruff: noqa: E501 - tables of words
"""Where a patient is: one place at a time, intensive care within a stay, discharge and death that agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import ABSENT, DAY, HOUR, SPAN, Flags, View, Whole

LOGIC = "By logic: a person is in one place at a time."
AHRQ = "AHRQ HCUP, State Inpatient Databases quality control edits (2021): overlapping stays and discharge status"
NEEDS = "encounter.class encounter.start encounter.stop encounter.patient_id"
VISITS = ("ambulatory", "wellness", "urgent", "emergency")


def _stay(view: View, classes: tuple[str, ...]) -> tuple[Flags, Whole, Whole, Whole]:
    """Rows of these classes with both ends in order, patients, starts and stops."""
    start, stop = view.times("encounter", "start"), view.times("encounter", "stop")
    who = view.patient("encounter").astype(np.int64)
    here = view.coded("encounter", "class").one_of(classes) & (start >= 0) & (stop >= start) & (who >= 0)
    return here, who, start, stop


def _overlap(classes: tuple[str, ...], least: int) -> Body:
    """Broken where a stay begins so many seconds or more before an earlier stay of the patient ends."""

    def body(view: View) -> list[Found]:
        here, who, start, stop = _stay(view, classes)
        rows = np.flatnonzero(here)
        order = rows[np.lexsort((stop[rows], start[rows], who[rows]))]
        key = who[order] * SPAN
        ends = np.maximum.accumulate(key + stop[order]) if len(order) else key
        late = np.append(np.iinfo(np.int64).min, ends[:-1]) if len(order) else ends  # the latest end so far
        overlap = np.minimum(late, key + stop[order]) - (key + start[order])
        failed = np.zeros(len(here), dtype=bool)
        failed[order[(late >= key) & (overlap > least)]] = True
        return told("encounter", here, failed)

    return body


def _part_of(view: View) -> bool:
    return view.has("encounter.part_of_id")


def _elsewhere(view: View) -> list[Found]:
    """Outpatient visits in the middle of a stay in hospital that they are no part of."""
    here, who, start, stop = _stay(view, ("ambulatory", "wellness", "home"))
    inside, _, begin, end = _stay(view, ("inpatient",))
    if _part_of(view):
        here &= ~view.given("encounter", "part_of_id")
    begun, ended = (
        np.sort((who * SPAN + begin + DAY)[inside]),
        np.sort((who * SPAN + np.maximum(end - DAY, begin + DAY))[inside]),
    )
    at = who * SPAN
    in_course = np.searchsorted(begun, at + start, "right") - np.searchsorted(ended, at + stop, "right")
    return told("encounter", here, here & (in_course > 0))


def _two_visits(view: View) -> list[Found]:
    here, who, start, stop = _stay(view, VISITS)
    if _part_of(view):
        here &= ~view.given("encounter", "part_of_id")
    place = view.coded("encounter", "organization_id").at.astype(np.int64)
    rows = np.flatnonzero(here)
    order = rows[np.lexsort((start[rows], who[rows]))]
    early, late = order[:-1], order[1:]
    clash = (who[early] == who[late]) & (start[late] < stop[early]) & (place[early] != place[late])
    failed = np.zeros(len(here), dtype=bool)
    failed[late[clash]] = True
    return told("encounter", here, failed)


def _icu_alone(view: View) -> list[Found]:
    here, who, start, stop = _stay(view, ("icu",))
    inside, _, begin, end = _stay(view, ("inpatient",))
    begun, ended = np.sort((who * SPAN + begin - DAY)[inside]), np.sort((who * SPAN + end + DAY)[inside])
    at = who * SPAN
    around = np.searchsorted(begun, at + start, "right") - np.searchsorted(ended, at + stop, "left")
    return told("encounter", here, here & (around <= 0))


def _beyond_whole(view: View) -> list[Found]:
    place = view.place("encounter", "part_of_id", "encounter", "encounter_id")
    start, stop = view.times("encounter", "start"), view.times("encounter", "stop")
    begin, end = (np.append(times, np.int64(ABSENT))[place] for times in (start, stop))
    here = (start >= 0) & (stop >= 0) & (begin >= 0) & (end >= 0)
    return told("encounter", here, here & ((start < begin - DAY) | (stop > end + DAY)))


def _own_part(view: View) -> list[Found]:
    place = view.place("encounter", "part_of_id", "encounter", "encounter_id")
    here = place >= 0
    return told("encounter", here, here & (place == np.arange(len(place))))


def _died_alive(view: View) -> list[Found]:
    here = view.coded("encounter", "disposition").one_of(["died"])
    deaths = view.of_patient("encounter", view.deaths(), ABSENT)
    return told("encounter", here, here & (deaths < 0))


def _died_when(view: View) -> list[Found]:
    here = view.coded("encounter", "disposition").one_of(["died"])
    deaths, stop = (
        view.of_patient("encounter", view.times("patient", "death_time"), ABSENT),
        view.times("encounter", "stop"),
    )
    here &= (deaths >= 0) & (stop >= 0)
    return told("encounter", here, here & (np.abs(stop - deaths) > 3 * DAY))


def _death_unsaid(view: View) -> list[Found]:
    """Death in the course of a stay whose discharge says otherwise."""
    here, _, start, stop = _stay(view, ("inpatient", "icu"))
    deaths = view.of_patient("encounter", view.times("patient", "death_time"), ABSENT)
    here &= (deaths >= 0) & view.given("encounter", "disposition")
    inside = (deaths > start + HOUR) & (deaths < stop - HOUR)
    if view.to_the_day("patient", "death_time"):
        inside = (deaths > start) & (deaths < stop - DAY)
    return told("encounter", here, here & inside & ~view.coded("encounter", "disposition").one_of(["died"]))


def _undisposed(view: View) -> list[Found]:
    here, _, _, _ = _stay(view, ("inpatient",))
    return told("encounter", here, here & ~view.given("encounter", "disposition"))


def _many_a_day(view: View) -> list[Found]:
    start, who = view.times("encounter", "start"), view.patient("encounter").astype(np.int64)
    here = (start >= 0) & (who >= 0)
    day = np.where(here, who * 300_000 + start // DAY, -1)
    order = np.sort(day)
    counts = np.searchsorted(order, day, "right") - np.searchsorted(order, day, "left")
    return told("encounter", here, here & (counts > 10))


def _readmitted_dead(view: View) -> list[Found]:
    """Stays that begin after a stay that ended in death."""
    who, start, stop = (
        view.patient("encounter").astype(np.int64),
        view.times("encounter", "start"),
        view.times("encounter", "stop"),
    )
    died = view.coded("encounter", "disposition").one_of(["died"]) & (who >= 0) & (stop >= 0)
    ended = np.full(view.height("patient") + 1, SPAN, dtype=np.int64)
    np.minimum.at(ended, who[died], stop[died])
    here = (who >= 0) & (start >= 0) & (ended[np.where(who >= 0, who, -1)] < SPAN)
    return told("encounter", here, here & (start > ended[np.where(who >= 0, who, -1)] + DAY))


def _wrong_location(view: View) -> list[Found]:
    place = view.place("encounter", "location_id", "location", "location_id")
    kinds = view.coded("location", "kind")
    wanted = {
        "icu": ("icu",),
        "inpatient": ("ward", "icu", "emergency"),
        "emergency": ("emergency",),
        "wellness": ("clinic",),
    }
    here, failed = np.zeros(len(place), dtype=bool), np.zeros(len(place), dtype=bool)
    for one, fitting in wanted.items():
        rows = view.coded("encounter", "class").one_of([one]) & (place >= 0)
        here |= rows
        failed |= rows & ~np.append(kinds.one_of(fitting), False)[place]
    return told("encounter", here, failed)


def _wrong_house(view: View) -> list[Found]:
    place = view.place("encounter", "practitioner_id", "practitioner", "practitioner_id")
    theirs = view.place("practitioner", "organization_id", "organization", "organization_id")
    mine = view.place("encounter", "organization_id", "organization", "organization_id")
    other = np.append(theirs, np.int32(-1))[place]
    here = (mine >= 0) & (other >= 0)
    return told("encounter", here, here & (mine != other))


def _rules() -> Iterator[Statement]:
    died = "encounter.disposition encounter.patient_id patient.death_time"
    parts = "encounter.part_of_id encounter.encounter_id"
    for key, title, severity, needs, why, source, body in (
        ("overlap.day", "Two stays in hospital that overlap by more than a day", ERROR, NEEDS, "A patient is admitted to one hospital at a time; a day is left for a transfer that both houses count.", AHRQ, _overlap(("inpatient",), DAY)),
        ("overlap", "Two stays in hospital that overlap", WARNING, NEEDS, "A readmission before the discharge: one of the times is wrong, or a transfer is counted twice.", AHRQ, _overlap(("inpatient",), 60)),
        ("overlap.icu", "Two stays in intensive care that overlap", ERROR, NEEDS, "A patient lies in one bed; an hour is left for a move between units.", LOGIC, _overlap(("icu",), HOUR)),
        ("overlap.visits", "Two outpatient visits in two houses at once", WARNING, f"{NEEDS} encounter.organization_id", "A patient is at one desk at a time. Visits whose length was filled in are a false alarm.", LOGIC, _two_visits),
        ("overlap.elsewhere", "Outpatient visit in the middle of a stay in hospital", WARNING, NEEDS, "An inpatient is seen on the ward; the first and the last day are left out.", AHRQ, _elsewhere),
        ("icu.alone", "Intensive care outside any stay in hospital", WARNING, NEEDS, "Intensive care is part of a stay; data of intensive care alone have no other.", LOGIC, _icu_alone),
        ("part.beyond", "Part of a stay more than a day outside it", ERROR, f"{parts} encounter.start encounter.stop", "A part lies in its whole; a day is left for dates without hours.", LOGIC, _beyond_whole),
        ("part.self", "Stay that is part of itself", ERROR, parts, "A whole has parts other than itself.", LOGIC, _own_part),
        ("died.alive", "Discharged dead, and no date of death", ERROR, died, "A death in hospital is the best known of deaths.", AHRQ, _died_alive),
        ("died.when", "Discharged dead more than three days from the date of death", ERROR, died, "The stay ends with death; three days are left for entries by date.", AHRQ, _died_when),
        ("died.unsaid", "Death in the course of a stay that says another discharge", WARNING, f"{NEEDS} encounter.disposition patient.death_time", "Who dies during a stay is not sent home.", AHRQ, _death_unsaid),
        ("died.again", "Encounter more than a day after a discharge by death", ERROR, "encounter.disposition encounter.start encounter.stop encounter.patient_id", "The dead do not come back; certifying a death is over within the day.", LOGIC, _readmitted_dead),
        ("undisposed", "Stay in hospital without a discharge disposition", WARNING, f"{NEEDS} encounter.disposition", "The uniform bill asks for it.", "NUBC, UB-04 Data Specifications 2024, form locator 17", _undisposed),
        ("many", "More than ten encounters on a day", WARNING, "encounter.start encounter.patient_id", "So many are a series that was split, or a default date.", "assumed: no survey counts encounters per patient and day", _many_a_day),
        ("location", "Encounter at a kind of place that its class does not use", WARNING, "encounter.class encounter.location_id location.location_id location.kind", "Intensive care is given in an intensive care unit, and a check-up in a clinic.", "HL7 v3 ActCode, EncounterCode and ServiceDeliveryLocationRoleType (2022)", _wrong_location),
        ("house", "Practitioner of another house than the encounter's", WARNING, "encounter.practitioner_id encounter.organization_id practitioner.practitioner_id practitioner.organization_id organization.organization_id", "Who works in several houses is a false alarm.", "assumed: one house per practitioner, as in the clinical schema", _wrong_house),
    ):  # fmt: skip
        yield Statement(
            id=f"stay.{key}", title=title, severity=severity, needs=needs, why=why, source=source, body=body
        )


RULES = tuple(_rules())
