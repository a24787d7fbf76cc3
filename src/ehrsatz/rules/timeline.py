# ruff: noqa: E501 - tables of words
"""Order in time: nothing before birth, nothing done after death, starts before stops, rows inside their encounters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import ABSENT, DAY, Flags, View, Whole, seconds

LOGIC = "By logic: what happens to a person happens in the person's life, and causes come before effects."
KAHN = "Kahn MG et al., A harmonized data quality assessment terminology and framework, eGEMs 2016;4:1244, doi:10.13063/2327-9214.1244: temporal plausibility"
MOMENTS = {  # clinical table -> its time, and what a row is
    "encounter": ("start", "an encounter"),
    "condition": ("onset", "a condition"),
    "observation": ("time", "an observation"),
    "order": ("time", "an order"),
    "report": ("time", "a report"),
    "medication": ("start", "a medication"),
    "procedure": ("start", "a procedure"),
    "immunization": ("time", "an immunisation"),
    "allergy": ("onset", "an allergy"),
    "device": ("start", "a device"),
    "careplan": ("start", "a care plan"),
    "goal": ("start", "a goal"),
    "claim": ("time", "a claim"),
}
DONE = (
    "encounter",
    "observation",
    "order",
    "medication",
    "procedure",
    "immunization",
    "device",
    "careplan",
    "condition",
)
ENDS = {  # table -> start, stop, what it is
    "encounter": ("start", "stop", "encounter"),
    "condition": ("onset", "abatement", "condition"),
    "medication": ("start", "stop", "medication"),
    "procedure": ("start", "stop", "procedure"),
    "device": ("start", "stop", "device"),
    "careplan": ("start", "stop", "care plan"),
    "coverage": ("start", "stop", "coverage"),
}
INSIDE = ("observation", "order", "medication", "procedure", "immunization", "device", "condition")
SLACK = {"condition": "recorded"}  # a condition begins before it is seen; what must be inside is its recording
SAME = {
    "condition": ("onset", "a diagnosis"),
    "observation": ("time", "a result"),
    "medication": ("start", "a prescription"),
    "procedure": ("start", "a procedure"),
    "immunization": ("time", "a dose"),
    "order": ("time", "an order"),
}


def order(table: str, first: str, second: str, *, slack: int = 0) -> Body:
    """Say that one time column of a table does not lie before another."""

    def body(view: View) -> list[Found]:
        a, b = view.times(table, first), view.times(table, second)
        if view.to_the_day(table, second) and not view.to_the_day(table, first):
            a = a - a % DAY  # the day is all that can be compared
        both = (a >= 0) & (b >= 0)
        return told(table, both, both & (b < a - slack))

    return body


def _before_birth(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        times, births = view.times(table, column), view.of_patient(table, view.births(), ABSENT)
        both = (times >= 0) & (births >= 0)
        return told(table, both, both & (times < births - births % DAY))

    return body


def _after_death(table: str, column: str, slack: int) -> Body:
    def body(view: View) -> list[Found]:
        times, deaths = view.times(table, column), view.of_patient(table, view.deaths(), ABSENT)
        if view.to_the_day(table, column):
            deaths = np.where(deaths >= 0, deaths - deaths % DAY + DAY - 1, deaths)
        both = (times >= 0) & (deaths >= 0)
        return told(table, both, both & (times > deaths + slack))

    return body


def _future(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        assert view.reference is not None
        times = view.times(table, column)
        return told(table, times >= 0, times > seconds(view.reference) + DAY)

    return body


def _inside(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        times, place = view.times(table, column), view.encounter(table)
        start = _at(view.times("encounter", "start"), place)
        stop = _at(view.times("encounter", "stop"), place)
        known = (times >= 0) & (start >= 0) & (stop >= 0)
        return told(table, known, known & ((times < start - DAY) | (times > stop + DAY)))

    return body


def _at(values: Whole, place: np.ndarray) -> Whole:
    return np.append(values, np.int64(ABSENT))[place]


def _twice(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        keys = view.keyed(table, view.times(table, column))
        name = "code" if view.has(f"{table}.code") else "snomed_code"
        codes = view.coded(table, name).at.astype(np.int64)
        known = (keys >= 0) & (codes >= 0)
        hashed = keys * np.int64(1_000_003) + codes * np.int64(7_919_999_983_391)  # wraps round: a hash
        failed = np.zeros(len(keys), dtype=bool)
        if pl.Series(hashed[known]).n_unique() == np.count_nonzero(known):
            return told(table, known, failed)
        order_ = np.argsort(hashed, kind="stable")
        sorted_ = hashed[order_]
        failed[order_[1:][sorted_[1:] == sorted_[:-1]]] = True
        return told(table, known, failed & known)

    return body


def _results(table: str) -> Body:
    def body(view: View) -> list[Found]:
        times = view.times(table, "time")
        ordered = _at(view.times("order", "time"), view.place(table, "order_id", "order", "order_id"))
        known = (times >= 0) & (ordered >= 0)
        return told(table, known, known & (times < ordered))

    return body


def _state(table: str, word: str, ended: bool, column: str) -> Body:
    def body(view: View) -> list[Found]:
        here = view.coded(table, "status").one_of([word])
        return told(table, here, here & (view.given(table, column) != ended))

    return body


def _death_before_birth(view: View) -> list[Found]:
    births, deaths = view.births(), view.deaths()
    both = (births >= 0) & (deaths >= 0)
    return told("patient", both, both & (deaths < births))


def _cause_of_the_living(view: View) -> list[Found]:
    cause = view.given("patient", "death_cause")
    return told("patient", cause, cause & (view.times("patient", "death_time") < 0))


def _ends_after_death(view: View) -> list[Found]:
    stops, deaths = view.times("encounter", "stop"), view.of_patient("encounter", view.deaths(), ABSENT)
    both = (stops >= 0) & (deaths >= 0)
    return told("encounter", both, both & (stops > deaths + 2 * DAY))


def _runs_after_death(table: str) -> Body:
    def body(view: View) -> list[Found]:
        stops, deaths = view.times(table, "stop"), view.of_patient(table, view.deaths(), ABSENT)
        both = (stops >= 0) & (deaths >= 0)
        return told(table, both, both & (stops > deaths + DAY))

    return body


def _length(wanted: tuple[str, ...], fits: tuple[float, float]) -> Body:
    low, high = fits

    def body(view: View) -> list[Found]:
        start, stop = view.times("encounter", "start"), view.times("encounter", "stop")
        here = view.coded("encounter", "class").one_of(wanted) & (start >= 0) & (stop >= start)
        days = (stop - start) / DAY
        wrong: Flags = (days < low) | (days > high)
        if low > 0 and view.to_the_day("encounter", "stop"):
            here = np.zeros_like(here)  # dates alone: a stay of hours has no length
        return told("encounter", here, here & wrong)

    return body


def _rules() -> Iterator[Statement]:
    for table, (column, what) in MOMENTS.items():
        yield Statement(
            id=f"birth.before.{table}",
            title=f"{what[0].upper()}{what[1:]} before the patient was born",
            severity=ERROR,
            needs=f"{table}.{column} {table}.patient_id patient.birth_date",
            why=f"{what[0].upper()}{what[1:]} belongs to a person who has been born; an earlier one is of the mother, or a slip of date.",
            source=LOGIC,
            body=_before_birth(table, column),
        )
    for table in DONE:
        column, what = MOMENTS[table]
        column = SLACK.get(table, column)
        yield Statement(
            id=f"death.after.{table}",
            title=f"{what[0].upper()}{what[1:]} after death",
            severity=ERROR,
            needs=f"{table}.{column} {table}.patient_id patient.death_time",
            why="Nothing is done to or measured on a living patient more than a day after death. An autopsy, or an encounter that exists to certify the death, is a false alarm.",
            source=KAHN,
            body=_after_death(table, column, DAY),
        )
    for table, (first, second, what) in ENDS.items():
        yield Statement(
            id=f"order.{table}",
            title=f"{what[0].upper()}{what[1:]} that ends before it begins",
            severity=ERROR,
            needs=f"{table}.{first} {table}.{second}",
            why="An end lies not before its beginning; where one of the two has no hour, days are compared.",
            source=LOGIC,
            body=order(table, first, second),
        )
    yield Statement(
        id="order.condition.recorded",
        title="Condition recorded before its onset",
        severity=ERROR,
        needs="condition.onset condition.recorded",
        why="What has not begun cannot be found. More than a day is asked for, since an onset is often known to the day.",
        source=LOGIC,
        body=order("condition", "onset", "recorded", slack=DAY),
    )
    yield Statement(
        id="order.condition.abatement",
        title="Condition that abated before it was recorded",
        severity=WARNING,
        needs="condition.recorded condition.abatement",
        why="A condition that is over when it is recorded belongs into the history.",
        source="assumed: a convention of problem lists (HL7 FHIR R4, Condition.recordedDate and Condition.abatement, 2019)",
        body=order("condition", "recorded", "abatement", slack=DAY),
    )
    for table in INSIDE:
        column, what = MOMENTS[table]
        column = SLACK.get(table, column)
        yield Statement(
            id=f"inside.{table}",
            title=f"{what[0].upper()}{what[1:]} more than a day outside its encounter",
            severity=WARNING,
            needs=f"{table}.{column} {table}.encounter_id encounter.encounter_id encounter.start encounter.stop",
            why="A row that names an encounter happened in it; a day is left for dates without hours and for late entries.",
            source=KAHN,
            body=_inside(table, column),
        )
    for table in ("observation", "report"):
        yield Statement(
            id=f"order.{table}",
            title=f"{'Result' if table == 'observation' else 'Report'} before its order",
            severity=WARNING,
            needs=f"{table}.time {table}.order_id order.order_id order.time",
            why="A result follows its order. An order added to a specimen that was there already is a false alarm.",
            source=LOGIC,
            body=_results(table),
        )
    for table, (column, what) in SAME.items():
        yield Statement(
            id=f"twice.{table}",
            title=f"The same {what.split(' ', 1)[1]} twice at one time",
            severity=WARNING,
            needs=f"{table}.{column} {table}.patient_id {table}.code{'|condition.snomed_code' if table == 'condition' else ''}",
            why=f"{what[0].upper()}{what[1:]} of one code at one time stands once; twice is a copy, or a second specimen whose time was lost.",
            source="Kahn MG et al. 2016, doi:10.13063/2327-9214.1244: uniqueness plausibility",
            body=_twice(table, column),
        )
    for table, (column, what) in MOMENTS.items():
        yield Statement(
            id=f"future.{table}",
            title=f"{what[0].upper()}{what[1:]} after the reference date",
            severity=ERROR,
            needs=f"reference {table}.{column}",
            why="Nothing has happened after the day on which the data were drawn. Without a reference date nothing is checked.",
            source=LOGIC,
            body=_future(table, column),
        )
    for table, word, ended, column, title in (
        ("condition", "resolved", True, "abatement", "Resolved condition without an end"),
        ("condition", "active", False, "abatement", "Active condition that has ended"),
        ("medication", "stopped", True, "stop", "Stopped medication without an end"),
        ("medication", "active", False, "stop", "Active medication that has ended"),
        ("careplan", "completed", True, "stop", "Completed care plan without an end"),
        ("careplan", "active", False, "stop", "Active care plan that has ended"),
    ):
        yield Statement(
            id=f"status.{table}.{word}",
            title=title,
            severity=ERROR if not ended else WARNING,
            needs=f"{table}.status {table}.{column}",
            why="Status and end say the same thing twice, and must agree.",
            source="HL7 FHIR R4 (2019), invariants con-4 and con-5 of Condition, and status of MedicationStatement and CarePlan",
            body=_state(table, word, ended, column),
        )
    yield Statement(
        id="death.before.birth",
        title="Death before birth",
        severity=ERROR,
        needs="patient.birth_date patient.death_time",
        why="A life has its end after its beginning; a stillbirth has no record of its own.",
        source=LOGIC,
        body=_death_before_birth,
    )
    yield Statement(
        id="death.cause",
        title="Cause of death of a patient who has not died",
        severity=ERROR,
        needs="patient.death_cause patient.death_time",
        why="A cause of death belongs to a death.",
        source=LOGIC,
        body=_cause_of_the_living,
    )
    yield Statement(
        id="death.encounter.stop",
        title="Encounter that ends more than two days after death",
        severity=WARNING,
        needs="encounter.stop encounter.patient_id patient.death_time",
        why="A stay ends with death; two days are left for the paper work.",
        source=KAHN,
        body=_ends_after_death,
    )
    for table, what in (("medication", "Medication"), ("procedure", "Procedure")):
        yield Statement(
            id=f"death.{table}.stop",
            title=f"{what} that runs on for more than a day after death",
            severity=WARNING,
            needs=f"{table}.stop {table}.patient_id patient.death_time",
            why="What is given or done ends with life. A planned end that was never corrected is the usual reason.",
            source=KAHN,
            body=_runs_after_death(table),
        )
    for name, classes, low, high, severity, why in (
        ("zero.stay", ("inpatient", "icu"), 1e-9, np.inf, ERROR, "A patient who was admitted was there for some time. Where times are dates alone, nothing is checked."),
        ("zero.visit", ("wellness", "ambulatory", "urgent", "emergency", "home"), 1e-9, np.inf, WARNING, "A visit takes minutes; one without length was given one time for both ends."),
        ("long.stay", ("inpatient",), 0.0, 365.0, WARNING, "Stays of more than a year are rare outside long-term care; most are a discharge that was never entered."),
        ("long.icu", ("icu",), 0.0, 180.0, WARNING, "Half a year in intensive care is very rare."),
        ("long.visit", ("ambulatory", "wellness", "urgent", "virtual", "home"), 0.0, 1.0, WARNING, "An outpatient visit ends on its day. A series of visits that is kept as one is a false alarm."),
        ("long.emergency", ("emergency",), 0.0, 5.0, WARNING, "Emergency departments admit or send home within days."),
        ("short.stay", ("inpatient",), 1 / 24, np.inf, WARNING, "An admission of less than an hour is a transfer or an entry by mistake."),
    ):  # fmt: skip
        words = {"zero": "of no length", "long": f"of more than {high:g} days", "short": "of less than an hour"}
        kind, _, what = name.partition(".")
        yield Statement(
            id=f"length.{name}",
            title=f"{ {'stay': 'Stay', 'icu': 'Intensive care stay', 'visit': 'Visit', 'emergency': 'Emergency visit'}[what] } {words[kind]}",
            severity=severity,
            needs="encounter.class encounter.start encounter.stop",
            why=why,
            source="assumed: limits set outside nearly all stays of AHRQ HCUP National Inpatient Sample 2021 (mean 4.8 days)"
            if kind == "long"
            else LOGIC,
            body=_length(classes, (low, high)),
        )


RULES = tuple(_rules())
