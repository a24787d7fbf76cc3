"""Quotas are counted in the tables: one just inside, one just outside of everything that can be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ehrsatz.evaluation.plausibility.quotas import asked, quotas, shares
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.cohort import Cohort, Quota, day
from evaluation.plausibility.lifecourses import REFERENCE, condition, drug, patient, tables

METFORMIN = "860975"


def whole(group: dict[str, Any], people: list[Any], **rows: Any) -> int:
    """Return how many of the people fit a group that all of them belong to."""
    plan = SimulatorPart.model_validate({"groups": [{"n": len(people), **group}]})
    found = quotas(tables(patient=people, **rows), plan, 7, 0, len(people))
    assert found[0]["people"] == len(people)
    return found[0]["whole"]


def test_sex_and_age_are_those_at_the_index_date() -> None:
    people = [patient(0, "1965-12-31"), patient(1, "1950-06-01", "male"), patient(2, "1966-01-10")]
    assert whole({"sex": "female"}, people) == 2
    assert whole({"age": [60, 75]}, people) == 1, "60 on the day counts, 59 years and 355 days do not; 75.6 is too old"
    assert whole({"sex": "female", "age": [59, 61]}, people) == 2


@pytest.mark.parametrize(
    ("onset", "stop", "fits"),
    [
        ("2010-01-01", None, 1),
        ("2025-12-31T20:00", None, 1),
        ("2026-01-01T01:00", None, 0),
        ("2010-01-01", "2025-12-31T12:00", 1),
        ("2010-01-01", "2025-12-30T23:00", 0),
    ],
)
def test_a_condition_is_active_at_the_index_date(onset: str, stop: str | None, fits: int) -> None:
    rows = [condition(0, 1, "I10", onset, stop)]
    assert whole({"conditions": ["hypertension"]}, [patient(0, "1950-01-01")], condition=rows) == fits


def test_a_stage_is_the_one_at_the_index_date() -> None:
    first = condition(0, 1, "N18.31", "2015-01-01", "2020-01-01", stage="Chronic kidney disease stage 3a")
    then = condition(0, 2, "N18.32", "2020-01-01", None, stage="Chronic kidney disease stage 3b")
    people = [patient(0, "1950-01-01")]
    assert whole({"conditions": [{"id": "ckd", "stage": "3b"}]}, people, condition=[first, then]) == 1
    assert whole({"conditions": [{"id": "ckd", "stage": "3a"}]}, people, condition=[first, then]) == 0
    window = {"id": "ckd", "onset": ["2014-06-01", "2015-06-01"]}
    assert whole({"conditions": [window]}, people, condition=[first, then]) == 1
    later = {"id": "ckd", "onset": ["2019-06-01", "2021-01-01"]}
    assert whole({"conditions": [later]}, people, condition=[first, then]) == 0, "a later stage is no onset"


def test_one_of_several_episodes_lies_within_the_window() -> None:
    rows = [condition(0, k, "A41.9", onset, onset + "T23:00") for k, onset in enumerate(("2011-02-01", "2023-06-01"))]
    wanted = {"id": "sepsis", "onset": ["2023-01-01", "2023-12-31"]}
    assert whole({"conditions": [wanted]}, [patient(0, "1950-01-01")], condition=rows) == 1
    missed = {"id": "sepsis", "onset": ["2024-01-01", "2024-12-31"]}
    assert whole({"conditions": [missed]}, [patient(0, "1950-01-01")], condition=rows) == 0


def test_what_must_not_be_there_and_what_is_taken() -> None:
    people = [patient(0, "1950-01-01")]
    assert whole({"without": ["gout"]}, people) == 1
    assert whole({"without": ["hypertension"]}, people, condition=[condition(0, 1, "I10", "2001-01-01")]) == 0
    taken = [drug(0, 1, METFORMIN, "2020-01-01")]
    assert whole({"medications": ["metformin"]}, people, medication=taken) == 1
    ended = [drug(0, 1, METFORMIN, "2020-01-01", "2025-12-01")]
    assert whole({"medications": ["metformin"]}, people, medication=ended) == 0
    other = [drug(0, 1, "308182", "2020-01-01")]
    assert whole({"medications": ["metformin"]}, people, medication=other) == 0


def test_groups_are_those_that_the_cohort_gives_its_numbers() -> None:
    n = 20
    plan = SimulatorPart.model_validate(
        {"groups": [{"n": 6, "sex": "female", "index": ["2023-01-01", "2023-12-31"]}, {"n": 4, "sex": "male"}]}
    )
    spans = ((day(plan.groups[0].index[0]), day(plan.groups[0].index[1])), (day(REFERENCE), day(REFERENCE)))  # type: ignore[index]
    made = tuple(Quota(group.n, -1, None, span) for group, span in zip(plan.groups, spans, strict=True))
    group = Cohort(n, made, (), day(REFERENCE), 7).group(np.arange(n))
    people = [patient(k, "1970-01-01", "male" if group[k] == 1 else "female") for k in range(n)]
    parts = [quotas(tables(patient=people[a : a + 10]), plan, 7, a, n) for a in (0, 10)]
    for g, size in ((0, 6), (1, 4)):
        assert sum(part[g]["people"] for part in parts) == size == sum(part[g]["whole"] for part in parts)
    wrong = [patient(k, "1970-01-01", "female") for k in range(n)]
    assert quotas(tables(patient=wrong), plan, 7, 0, n)[1]["whole"] == 0
    assert [one["n"] for one in asked(plan)] == [6, 4]
    assert asked(plan)[0]["words"].startswith("women at a day from 2023-01-01")


def test_shares_of_adults_and_the_enriched() -> None:
    people = [patient(0, "1950-01-01"), patient(1, "1960-01-01"), patient(2, "2015-01-01")]
    plan = SimulatorPart(prevalence={"hypertension": 0.5}, enrich={"gout": 0.5})
    rows = [condition(0, 1, "I10", "2001-01-01"), condition(2, 1, "I10", "2024-01-01")]
    found = shares(tables(patient=people, condition=rows), plan, 7, 0, 3)
    assert found["prevalence"]["hypertension"] == [2, 1], "the child does not count"
    assert found["enrich"]["gout"] == [2, 0, 0], "half of three, rounded, is two: the first and the third"
    gout = [condition(1, 1, "M10.9", "2001-01-01"), condition(0, 1, "M10.9", "2001-01-01")]
    assert shares(tables(patient=people, condition=gout), plan, 7, 0, 3)["enrich"]["gout"] == [2, 1, 1]


def test_without_anything_asked_for_nothing_is_counted() -> None:
    people = tables(patient=[patient(0, "1950-01-01")])
    assert quotas(people, SimulatorPart(), 7, 0, 1) == []
    assert shares(people, SimulatorPart(), 7, 0, 1) == {"prevalence": {}, "enrich": {}}
