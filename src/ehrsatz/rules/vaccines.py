# ruff: noqa: E501 - tables of words
"""Immunisations: youngest and oldest age, distance and number of doses, live vaccines in pregnancy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ehrsatz.rules.concepts import condition
from ehrsatz.rules.statement import WARNING, Body, Found, Spans, Statement, told
from ehrsatz.rules.view import DAY, Flags, View

NEEDS = "immunization.code immunization.time immunization.patient_id patient.birth_date"
ACIP = "CDC, ACIP General Best Practice Guidelines for Immunization 2024, table 3-2: minimum ages and intervals, https://www.cdc.gov/vaccines/hcp/acip-recs/general-recs/timing.html"
DAYS = {"d": 1, "w": 7, "m": 30.4375, "y": 365.25}
# vaccine, CVX codes, youngest age, oldest age of any dose, days between doses, doses in a life (0: any number)
VACCINES = (
    ("hepatitis_b", "Hepatitis B", ("08", "43", "45", "44", "189"), "0d", None, 28, 8),
    ("rotavirus", "Rotavirus", ("119", "116", "122"), "6w", "8m", 28, 3),
    ("dtap", "DTaP", ("20", "106", "107", "110", "120", "130", "146"), "6w", "7y", 28, 6),
    ("tdap", "Tdap or Td", ("115", "113", "09", "139", "138", "196"), "7y", None, 28, 0),
    ("hib", "Hib", ("49", "48", "47", "17", "51"), "6w", None, 28, 5),
    ("pcv", "Pneumococcal conjugate", ("133", "152", "100", "215", "216"), "6w", None, 28, 7),
    ("ppsv", "Pneumococcal polysaccharide", ("33", "109"), "2y", None, 5 * 365, 3),
    ("polio", "Polio", ("10", "89", "02"), "6w", None, 28, 7),
    (
        "influenza",
        "Influenza",
        ("140", "141", "150", "158", "161", "88", "135", "185", "197", "205"),
        "6m",
        None,
        28,
        0,
    ),
    ("mmr", "MMR", ("03", "94"), "12m", None, 28, 4),
    ("varicella", "Varicella", ("21", "94"), "12m", None, 28, 4),
    ("hepatitis_a", "Hepatitis A", ("83", "52", "31", "85", "104"), "12m", None, 150, 4),
    ("hpv", "HPV", ("62", "165", "118", "137"), "9y", "46y", 28, 5),
    ("meningococcal", "Meningococcal ACWY", ("114", "136", "147", "203", "32"), "8w", None, 28, 0),
    ("zoster", "Zoster", ("187", "121"), "18y", None, 28, 4),
)
EARLY = {"mmr": "6m", "hepatitis_a": "6m"}  # ages at which travellers' children are given it: younger is beyond doubt
LIVE = ("03", "21", "94", "119", "116", "122", "121", "111", "149")


def _days(age: str) -> float:
    return float(age[:-1]) * DAYS[age[-1]]


def _given(view: View, codes: tuple[str, ...]) -> Flags:
    bare = {code.lstrip("0") for code in codes}
    return view.coded("immunization", "code").where(lambda text: text.strip().lstrip("0") in bare)


def _age(codes: tuple[str, ...], low: float, high: float) -> Body:
    """Broken where a dose is given more than four days before or after these days of life."""

    def body(view: View) -> list[Found]:
        ages = view.ages("immunization", "time") * 365.25
        here = _given(view, codes) & ~np.isnan(ages)
        return told("immunization", here, here & ((ages < low - 4) | (ages > high + 4)))

    return body


def _between(codes: tuple[str, ...], days: float) -> Body:
    """Broken where a dose follows the last of its kind by less than the least distance, four days of grace left."""

    def body(view: View) -> list[Found]:
        here = _given(view, codes)
        keys = view.keyed("immunization", view.times("immunization", "time"))
        rows = np.flatnonzero(here & (keys >= 0))
        order = rows[np.argsort(keys[rows], kind="stable")]
        gap = np.diff(keys[order])
        close = (keys[order][1:] >> 34 == keys[order][:-1] >> 34) & (gap < (days - 4) * DAY)
        failed = np.zeros(len(here), dtype=bool)
        failed[order[1:][close]] = True
        return told("immunization", here, failed)

    return body


def _number(codes: tuple[str, ...], most: int) -> Body:
    def body(view: View) -> list[Found]:
        here = _given(view, codes)
        keys = view.keyed("immunization", view.times("immunization", "time"))
        rows = np.flatnonzero(here & (keys >= 0))
        order = rows[np.argsort(keys[rows], kind="stable")]
        who = keys[order] >> 34
        rank = np.arange(len(order)) - np.searchsorted(who, who, "left")
        failed = np.zeros(len(here), dtype=bool)
        failed[order[rank >= most]] = True
        return told("immunization", here, failed)

    return body


def _live_in_pregnancy(view: View) -> list[Found]:
    here = _given(view, LIVE)
    who, onset = view.patient("condition").astype(np.int64), view.times("condition", "onset")
    end = view.times("condition", "abatement")
    rows = condition(view, "full_pregnancy") & (onset >= 0) & (end >= 0)
    spans = Spans(who[rows], onset[rows] + DAY, np.maximum(end - DAY, onset + DAY)[rows])
    times = view.times("immunization", "time")
    patients = view.patient("immunization").astype(np.int64)
    return told("immunization", here, here & (spans.meeting(patients, times, times) > 0))


def _dose_number(view: View) -> list[Found]:
    """A dose whose number is not above that of an earlier dose of the same code."""
    number = view.numbers("immunization", "dose_number")
    codes = view.coded("immunization", "code").at.astype(np.int64)
    who, times = view.patient("immunization").astype(np.int64), view.times("immunization", "time")
    here = ~np.isnan(number) & (codes >= 0) & (who >= 0) & (times >= 0)
    rows = np.flatnonzero(here)
    order = rows[np.lexsort((times[rows], codes[rows], who[rows]))]
    same = (who[order][1:] == who[order][:-1]) & (codes[order][1:] == codes[order][:-1])
    failed = np.zeros(len(here), dtype=bool)
    failed[order[1:][same & (number[order][1:] < number[order][:-1])]] = True
    return told("immunization", here, failed)


def _rules() -> Iterator[Statement]:
    for key, name, codes, low, high, days, most in VACCINES:
        if low != "0d":
            yield Statement(id=f"vaccine.early.{key}", title=f"{name} vaccine before {EARLY.get(key, low)} of age", severity=WARNING, needs=NEEDS, why="Given so early it does not protect, or is not licensed; four days of grace are left.", source=ACIP, body=_age(codes, _days(EARLY.get(key, low)), np.inf))  # fmt: skip
        if key in EARLY:
            yield Statement(id=f"vaccine.routine.{key}", title=f"{name} vaccine before its routine age of {low}", severity=WARNING, needs=NEEDS, why="Before 12 months it is given to travellers alone, and does not count.", source=ACIP, body=_age(codes, _days(low), np.inf))  # fmt: skip
        if high is not None:
            yield Statement(id=f"vaccine.late.{key}", title=f"{name} vaccine after {high} of age", severity=WARNING, needs=NEEDS, why="Not licensed beyond that age.", source=ACIP, body=_age(codes, -np.inf, _days(high)))  # fmt: skip
        yield Statement(id=f"vaccine.close.{key}", title=f"{name} vaccine within {days} days of the last dose", severity=WARNING, needs=NEEDS, why="A dose too soon does not count; four days of grace are left.", source=ACIP, body=_between(codes, days))  # fmt: skip
        if most:
            yield Statement(id=f"vaccine.many.{key}", title=f"{name} vaccine: more than {most} doses", severity=WARNING, needs=NEEDS, why="No schedule asks for so many; a lost record is the usual reason.", source=ACIP, body=_number(codes, most))  # fmt: skip
    yield Statement(id="vaccine.pregnancy", title="Live vaccine in pregnancy", severity=WARNING, needs=f"{NEEDS} condition.code|condition.snomed_code condition.onset condition.abatement condition.patient_id", why="Contraindicated for a risk to the child that is feared, not shown.", source="CDC, Guidelines for Vaccinating Pregnant Women 2024", body=_live_in_pregnancy)  # fmt: skip
    yield Statement(id="vaccine.number", title="Dose number that goes back", severity=WARNING, needs="immunization.code immunization.time immunization.patient_id immunization.dose_number patient.patient_id", why="Doses of a series are counted on.", source="HL7 FHIR R4 (2019), Immunization.protocolApplied.doseNumber", body=_dose_number)  # fmt: skip


RULES = tuple(_rules())
