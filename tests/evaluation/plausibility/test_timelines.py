"""Example patients are chosen by what they have, and everything that is drawn of them is there."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ehrsatz.evaluation.plausibility.timelines import _year, timelines
from evaluation.plausibility.lifecourses import REFERENCE, condition, drug, moment, patient, tables, value, visit


def several(number: int) -> dict[str, list[dict[str, Any]]]:
    """Return a patient with four long conditions, one of them in two stages, and three drugs."""
    rows = [
        condition(number, 1, "I10", "2001-01-01"),
        condition(number, 2, "M10.9", "2002-01-01"),
        condition(number, 3, "N18.31", "2010-01-01", "2015-01-01", stage="Chronic kidney disease stage 3a"),
        condition(number, 4, "N18.32", "2015-01-01", stage="Chronic kidney disease stage 3b"),
        condition(number, 5, "E78.5", "2004-01-01"),
    ]
    taken = [drug(number, k, code, "2016-01-01") for k, code in enumerate(("860975", "308182", "197361"))]
    seen = [value(number, k, "4548-4", f"20{k + 10}-05-01", 6.0 + k, "%") for k in range(6)]
    stay = visit(number, 1, "2016-01-01T10:00", "2016-01-01T11:00", "icu")
    return {"condition": rows, "medication": taken, "observation": seen, "encounter": [stay]}


def people(*extra: dict[str, Any], **rows: Any) -> dict[str, Any]:
    told = several(1)
    return tables(
        patient=[patient(0, "1980-01-01"), patient(1, "1950-03-01"), *extra],
        **{name: [*told.get(name, []), *rows.get(name, [])] for name in {*told, *rows}},
    )


def test_each_is_chosen_for_what_he_has_and_only_once() -> None:
    dead = patient(2, "1940-01-01", "male", death_time=moment("2024-02-03T04:00"), death_cause="I21.9")
    dying = several(2)
    child = patient(3, "2016-02-01")
    shown = timelines(people(dead, child, **dying), REFERENCE)
    by = {one["why"]: one["id"] for one in shown}
    assert by["several conditions"] == "P00000001"
    assert by["a child"] == "P00000003"
    assert len({one["id"] for one in shown}) == len(shown) <= 6
    died = next(one for one in shown if one["id"] == "P00000002")
    assert died["death"] == died["end"] == pytest.approx(2024.09, abs=0.01) and died["cause"] == "I21.9"


def test_everything_of_a_patient_is_there_in_years() -> None:
    found = next(one for one in timelines(people(), REFERENCE, record_years=10.0) if one["id"] == "P00000001")
    ckd = [row for row in found["conditions"] if row[0] == "Chronic kidney disease"]
    assert [row[3] for row in ckd] == ["Chronic kidney disease stage 3a", "Chronic kidney disease stage 3b"]
    assert all(row[1] for row in ckd), "it lasts"
    assert ckd[0][4:] == [2010.0, 2015.0] and ckd[1][5] is None
    assert len(found["medications"]) == 3 and found["medications"][0][1:3] == [2016.0, None]
    assert found["visits"] == [[pytest.approx(2016.001, abs=0.001), pytest.approx(2016.001, abs=0.001), "icu", None]]
    assert len(found["labs"]["hba1c"]["points"]) == 6 and found["labs"]["hba1c"]["points"][-1][1] == 11.0
    assert found["routine"] == pytest.approx(2015.997, abs=0.001)


def test_an_empty_record_is_shown_rather_than_nothing() -> None:
    (only,) = timelines(tables(patient=[patient(0, "1910-01-01")]), REFERENCE)
    assert only["conditions"] == [] and only["labs"] == {}


def test_years_are_calendar_years() -> None:
    assert _year(datetime.date(2024, 1, 1)) == 2024.0
    assert _year(datetime.datetime(2024, 7, 2)) == pytest.approx(2024.5, abs=0.01)
    assert _year(datetime.date(2023, 12, 31)) < 2024.0
