"""Allergies: how many have them, what they stop, and that nothing they rule out is given after."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from ehrsatz.clinical import RXNORM, SNOMED
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.allergies import CLASSES, FOODS, INSTEAD, STOPPED, spared
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.cohort import Cohort, day
from ehrsatz.simulator.history import YEAR, History
from ehrsatz.simulator.knowledge import known
from ehrsatz.simulator.lots import history as lives
from ehrsatz.simulator.records import Book, Records

N = 1024
REFERENCE = day(datetime.date(2025, 12, 31))


@pytest.fixture(scope="module")
def history() -> History:
    return lives(known(), Cohort(N, (), (), REFERENCE, 4, 10.0, 10.0), np.arange(N, dtype=np.int64))


@pytest.fixture(scope="module")
def book() -> Book:
    return Book()


@pytest.fixture(scope="module")
def written(history: History, book: Book) -> Records:
    return records(history, catalogue(), book)


def test_what_rules_a_drug_out_comes_before_no_course_of_it(written: Records, book: Book) -> None:
    met, rows, orders = written.encounters, written.rows["allergy"], written.rows["medication"]
    entries = np.array([code for _, code in book.entries])
    systems = np.array([system for system, _ in book.entries])
    assert set(systems[rows["code"]]) == {SNOMED, RXNORM}
    reacted = 0
    for one in CLASSES:
        mine = (entries[rows["code"]] == one.code[1]) & (systems[rows["code"]] == RXNORM)
        onset = np.full(N, np.inf)
        onset[met.person[rows["encounter"][mine]]] = rows["onset"][mine]
        given = np.isin(entries[orders["code"]], list(one.members))
        who = met.person[orders["encounter"][given]]
        assert (orders["start"][given] <= onset[who]).all(), one.name
        allergic = np.isfinite(onset[who])
        reasons = orders["stop_reason"][given][allergic]
        assert (reasons == book.text(STOPPED)).all(), one.name
        stop = orders["stop"][given][allergic]
        assert (stop <= onset[who][allergic] + 1.01 / 1440).all()  # onset is a whole minute
        reacted += int(allergic.sum())
    assert reacted >= 5


def test_the_engine_lives_are_left_as_they_are(history: History) -> None:
    before = [(course.treatment.id, len(course.person)) for course in history.courses]
    changed = spared(history)
    assert [(course.treatment.id, len(course.person)) for course in history.courses] == before
    assert changed.people is history.people and changed.spells is history.spells
    penicillin = next(one for one in CLASSES if one.name == "penicillin")

    def many(lives_: History, codes: frozenset[str]) -> int:
        return sum(len(course.person) for course in lives_.courses if course.treatment.rxnorm in codes)

    assert 0.8 < many(changed, penicillin.members) / many(history, penicillin.members) < 1
    assert any(course.treatment is INSTEAD for course in changed.courses)


def test_shares_are_between_the_published_ones(written: Records, history: History, book: Book) -> None:
    met, rows = written.encounters, written.rows["allergy"]
    code = np.array([book.entries[k][1] for k in rows["code"]])
    person = met.person[rows["encounter"]]
    age = (history.people.end - history.people.birth) / YEAR
    adults = age > 20

    def share(*codes: str) -> float:
        has = np.zeros(N, bool)
        has[person[np.isin(code, codes)]] = True
        return float(has[adults].mean())

    assert 0.055 < share("7984") < 0.128  # West 2019 and Zhou 2016
    assert 0.02 < share("10831") < 0.074
    foods = [one.code[1] for one in FOODS if one.category == 1]
    assert share(*foods) == pytest.approx(0.085, abs=0.04)  # Gupta 2018, 2019: 7.6 % of children, 10.8 % of adults


def test_allergies_lie_within_life_and_are_noted_after_they_begin(written: Records, history: History) -> None:
    met, rows = written.encounters, written.rows["allergy"]
    person = met.person[rows["encounter"]]
    assert (rows["onset"] >= history.people.birth[person]).all()
    assert (rows["onset"] <= met.start[rows["encounter"]] + 21 / 1440).all()
    assert set(np.unique(rows["category"])) == {0, 1, 2} and set(np.unique(rows["severity"])) == {0, 1, 2}
    pairs = person * 100_000 + rows["code"]
    assert len(np.unique(pairs)) == len(pairs), "each once"
