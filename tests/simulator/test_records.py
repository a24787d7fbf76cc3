"""What care writes about lives of the engine: order in time, places, pointers, formulas, and no trace of the shard."""

from __future__ import annotations

import datetime
from functools import lru_cache

import numpy as np
import pytest

from ehrsatz.clinical import CLASSES, CVX, DISPOSITIONS, ICD10CM, LOINC, RXNORM, SNOMED, UCUM
from ehrsatz.simulator.catalogue import Catalogue, catalogue
from ehrsatz.simulator.chart import formulas
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.cohort import Cohort, day
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.history import YEAR, Floats, History, Ints
from ehrsatz.simulator.knowledge import Known, known
from ehrsatz.simulator.module import Screening
from ehrsatz.simulator.persons import people
from ehrsatz.simulator.records import Book, Encounters, Records, Rows

REFERENCE = day(datetime.date(2025, 12, 31))
SEED, N, HALF = 5, 160, 70
MINUTE, SLACK = 1 / 1440, 1e-7
OFFICE = tuple(CLASSES.index(name) for name in ("wellness", "ambulatory", "virtual"))
STAY = CLASSES.index("inpatient")
TIMES = {  # moments of rows that lie within their encounter
    "observation": ("time",),
    "order": ("time",),
    "medication": ("start",),
    "procedure": ("start", "stop"),
    "immunization": ("time",),
    "device": ("start",),
    "careplan": ("start",),
    "goal": ("start",),
    "condition": ("recorded",),
}
SYSTEMS = {  # columns that point into the book -> systems that they may name
    ("procedure", "code"): {SNOMED},
    ("device", "code"): {SNOMED},
    ("careplan", "code"): {SNOMED},
    ("order", "code"): {LOINC, SNOMED},
    ("condition", "code"): {ICD10CM},
    ("condition", "snomed"): {SNOMED},
    ("medication", "code"): {RXNORM},
    ("medication", "unit"): {UCUM},
    ("medication", "reason"): {ICD10CM},
    ("procedure", "reason"): {ICD10CM},
    ("order", "reason"): {ICD10CM},
    ("immunization", "code"): {CVX},
    ("allergy", "code"): {SNOMED, RXNORM},
    ("allergy", "reaction"): {SNOMED},
}


@lru_cache(maxsize=1)
def knowledge() -> Known:
    return known()


def offered() -> list[Screening]:
    return [one for module in knowledge().modules.modules.values() for one in module.screenings]


def lives(number: Ints) -> History:
    knows = knowledge()
    folk = people(knows, Cohort(10**6, (), (), REFERENCE, SEED, 10.0), number)
    grown = live(knows.engine, SEED, folk, REFERENCE, knows.words)
    return conclude(knows.engine, grown, folk, REFERENCE)


@pytest.fixture(scope="module")
def items() -> Catalogue:
    return catalogue()


@pytest.fixture(scope="module")
def history() -> History:
    return lives(np.arange(N))


@pytest.fixture(scope="module")
def book() -> Book:
    return Book()


@pytest.fixture(scope="module")
def written(history: History, items: Catalogue, book: Book) -> Records:
    return records(history, items, book, offered())


@pytest.fixture(scope="module")
def met(written: Records) -> Encounters:
    return written.encounters


def test_encounters_are_sorted_and_within_the_record(met: Encounters, history: History) -> None:
    folk = history.people
    assert len(met.person) > 10 * N
    order = np.lexsort((met.start, met.person))
    assert (np.diff(met.person) >= 0).all() and (met.start[order] == met.start).all()
    routine = (met.kind == CLASSES.index("wellness")) & (met.reason < 0)
    assert folk.record_from is not None
    assert (met.start >= folk.birth[met.person] - SLACK).all(), "before birth"
    assert (met.start >= folk.record_from[met.person] - SLACK)[routine].all(), "check-ups before the record begins"
    assert (met.stop <= folk.end[met.person] + SLACK).all(), "after the record ends"
    assert (met.stop - met.start > MINUTE - SLACK).all(), "of no length"


def test_nobody_is_in_two_places_at_once(met: Encounters) -> None:
    whole = np.flatnonzero(met.part_of < 0)
    person, start, stop = met.person[whole], met.start[whole], met.stop[whole]
    same = person[1:] == person[:-1]
    reach = np.maximum.accumulate(person * 1e6 + stop)
    assert not (same & (person[1:] * 1e6 + start[1:] < reach[:-1] - 1e-6)).any()
    part = np.flatnonzero(met.part_of >= 0)
    of = met.part_of[part]
    assert len(part) and (met.person[part] == met.person[of]).all() and (met.kind[of] == STAY).all()
    assert (met.start[part] >= met.start[of] - SLACK).all() and (met.stop[part] <= met.stop[of] + SLACK).all()


def test_offices_are_open_on_weekdays_and_by_day(met: Encounters, history: History) -> None:
    office = np.isin(met.kind, OFFICE)
    weekday = (np.floor(met.start[office]) + 3) % 7  # 1970-01-01 was a Thursday
    opened, closed = (met.start[office] % 1) * 24, ((met.stop[office] - SLACK) % 1) * 24
    fine = (weekday < 5) & (opened >= 7) & (opened <= 18) & (closed <= 20)
    assert fine.all()
    share = np.bincount(weekday.astype(int), minlength=5)[:5] / office.sum()
    assert (share > 0.1).all() and (share < 0.35).all()
    emergency = met.kind == CLASSES.index("emergency")
    hour = np.histogram((met.start[emergency] % 1) * 24, bins=(0, 8, 16, 24))[0] / emergency.sum()
    assert (hour > 0.05).all(), "the emergency department never closes"


@pytest.mark.parametrize(
    ("kind", "low", "middle", "high"),
    [("wellness", 8, (20, 60), 300), ("ambulatory", 5, (10, 60), 600), ("emergency", 20, (120, 480), 2880)],
)
def test_visits_last_as_visits_do(
    met: Encounters, kind: str, low: float, middle: tuple[float, float], high: float
) -> None:
    length = (met.stop - met.start)[met.kind == CLASSES.index(kind)] * 1440
    assert length.min() >= low - SLACK and length.max() <= high
    assert middle[0] <= np.median(length) <= middle[1]


def test_who_dies_in_care_dies_at_the_end(met: Encounters, history: History) -> None:
    death = history.people.death[met.person]
    died = met.disposition == DISPOSITIONS.index("died")
    at_end = np.abs(met.stop - death) < 3 * MINUTE
    assert died.any() and at_end[died].all()
    stays = np.isin(met.kind, [STAY, CLASSES.index("icu")])
    assert died[stays & at_end].all()


@pytest.mark.parametrize("table", sorted(TIMES))
def test_rows_lie_in_their_encounters_and_in_order(
    table: str, written: Records, met: Encounters, history: History
) -> None:
    rows = written.rows.get(table)
    assert rows is not None or table == "immunization"  # written by a part of its own
    if rows is None:
        return
    at = rows["encounter"]
    assert len(at)
    for name in TIMES[table]:
        assert (rows[name] >= met.start[at] - SLACK).all() and (rows[name] <= met.stop[at] + SLACK).all(), name
    when = rows[TIMES[table][0]]
    order = np.lexsort((when, at))
    assert (at[order] == at).all() and (np.abs(when[order] - when) < 1e-6).all()
    end = history.people.end[met.person[at]]
    for name in {"stop", "abatement"} & set(rows):
        late = rows[name]
        assert not (late > end + SLACK).any(), name
        assert not (late < when).any(), name


def test_reports_come_at_most_three_days_later_and_point_to_their_order(
    written: Records, met: Encounters, history: History
) -> None:
    report, order = written.rows["report"], written.rows["order"]
    assert (report["time"] >= order["time"][report["order"]]).all()
    assert (report["time"] <= met.stop[report["encounter"]] + 3).all()
    assert (report["time"] <= history.people.end[met.person[report["encounter"]]] + SLACK).all()
    imaged = report["kind"] == 1
    assert (report["code"][imaged] == order["code"][report["order"]][imaged]).all()
    assert (report["encounter"] == order["encounter"][report["order"]]).all()


def test_observations_point_to_orders_of_their_encounter(written: Records, items: Catalogue) -> None:
    seen, order = written.rows["observation"], written.rows["order"]
    some = seen["order"] >= 0
    assert 0.2 < some.mean() < 1
    assert (seen["encounter"][some] == order["encounter"][seen["order"][some]]).all()
    assert (seen["time"][some] >= order["time"][seen["order"][some]] - SLACK).all()
    assert (order["kind"][seen["order"][some]] == 0).all()
    laboratory = np.array([one.category == "laboratory" for one in items.items])
    assert (seen["order"][~laboratory[seen["item"]]] < 0).mean() > 0.9


def test_an_item_is_observed_once_at_a_moment(written: Records) -> None:
    seen = written.rows["observation"]
    key = np.stack([seen["encounter"].astype(float), seen["time"], seen["item"].astype(float)], axis=1)
    assert len(np.unique(key, axis=0)) == len(key)
    assert (np.isnan(seen["value"]) == (seen["text"] >= 0)).all(), "either a number or a text"


def test_conditions_begin_before_they_are_written_down(written: Records, met: Encounters, history: History) -> None:
    rows = written.rows["condition"]
    birth = history.people.birth[met.person[rows["encounter"]]]
    assert (rows["onset"] >= birth - SLACK).all() and (rows["onset"] <= rows["recorded"] + SLACK).all()
    assert ((rows["status"] == 0) == np.isnan(rows["abatement"])).all()


def test_drugs_are_renewed_without_overlap_and_end_as_their_status_says(written: Records, met: Encounters) -> None:
    rows = written.rows["medication"]
    assert ((rows["status"] == 0) == np.isnan(rows["stop"])).all()
    assert (rows["stop_reason"][rows["status"] != 2] == -1).all()
    assert (rows["quantity"] > 0).all() and (rows["refills"] >= 0).all()
    person = met.person[rows["encounter"]]
    chronic = rows["refills"] > 0
    order = np.lexsort((rows["start"], rows["reason"], rows["dose"], rows["code"], person))
    order = order[chronic[order]]
    same = np.ones(len(order) - 1, bool)
    for column in (person, rows["code"], rows["dose"], rows["reason"]):
        same &= column[order][1:] == column[order][:-1]
    stop = np.where(np.isnan(rows["stop"]), np.inf, rows["stop"])[order]
    assert same.any() and (rows["start"][order][1:][same] >= stop[:-1][same] - SLACK).all()


def test_goals_are_of_plans_of_their_encounter(written: Records) -> None:
    goal, plan = written.rows["goal"], written.rows["careplan"]
    assert (goal["encounter"] == plan["encounter"][goal["careplan"]]).all()


@pytest.mark.parametrize(("table", "column"), sorted(SYSTEMS))
def test_codes_are_of_their_systems(table: str, column: str, written: Records, book: Book) -> None:
    place = written.rows[table][column]
    found = {book.entries[k][0] for k in np.unique(place[place >= 0])}
    assert found and found <= SYSTEMS[table, column]
    assert len(place) == 0 or place.max() < len(book.entries)


# ---------------------------------------------------------------------- identities of values
def grid(written: Records, items: Catalogue, names: tuple[str, ...]) -> tuple[Floats, Ints, Floats]:
    """Return values (M, len(names)) where all of the items were observed at one moment, with encounter and time."""
    seen = written.rows["observation"]
    tables = []
    for name in names:
        here = np.flatnonzero((seen["item"] == items.place[name]) & ~np.isnan(seen["value"]))
        moments = zip(seen["encounter"][here].tolist(), seen["time"][here].tolist(), strict=True)
        tables.append(dict(zip(moments, seen["value"][here].tolist(), strict=True)))
    keys = sorted(set.intersection(*(set(table) for table in tables)))
    values = np.array([[table[key] for table in tables] for key in keys]).reshape(len(keys), len(names))
    return values, np.array([key[0] for key in keys], np.int64), np.array([key[1] for key in keys])


EXACT = {  # item -> what it is computed from, how, and its last digit
    "bmi": (("weight", "height"), lambda w, h: w / (h / 100) ** 2, 0.1),
    "mean_pressure": (("sbp", "dbp"), lambda s, d: d + (s - d) / 3, 1.0),
    "ldl": (("total_chol", "hdl", "trig"), lambda c, h, t: c - h - t / 5, 1.0),
    "chol_ratio": (("total_chol", "hdl"), lambda c, h: c / h, 0.1),
    "anion_gap": (("sodium", "chloride", "bicarbonate"), lambda n, c, b: n - c - b, 1.0),
    "globulin": (("protein", "albumin"), lambda p, a: p - a, 0.1),
    "mch": (("hemoglobin", "rbc"), lambda h, r: 10 * h / r, 0.1),
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_computed_values_follow_from_the_reported_ones(name: str, written: Records, items: Catalogue) -> None:
    of, how, digit = EXACT[name]
    values, _, _ = grid(written, items, (name, *of))
    assert len(values) > 20
    assert np.abs(values[:, 0] - how(*values[:, 1:].T)).max() <= digit / 2 + 1e-9


def test_filtration_is_ckd_epi_of_the_reported_creatinine(
    written: Records, items: Catalogue, history: History, met: Encounters
) -> None:
    values, encounter, time = grid(written, items, ("egfr", "creatinine"))
    person = met.person[encounter]
    age = (time - history.people.birth[person]) / YEAR
    adult = age >= 18
    sex = history.people.sex[person]
    want = formulas.egfr(values[:, 1], np.full(len(values), np.nan), sex, age)
    assert adult.sum() > 50 and np.abs(values[adult, 0] - want[adult]).max() <= 0.5 + 1e-9


def test_ldl_is_left_out_where_friedewald_does_not_hold(written: Records, items: Catalogue) -> None:
    values, _, _ = grid(written, items, ("ldl", "trig"))
    assert (values[:, 1] < 400).all()


def test_values_are_plausible_and_have_their_digits(written: Records, items: Catalogue) -> None:
    seen = written.rows["observation"]
    value, item = seen["value"], seen["item"].astype(np.int64)
    number = ~np.isnan(value)
    scaled = value[number] * 10.0 ** items.decimals[item[number]]
    assert np.abs(scaled - np.round(scaled)).max() < 1e-6
    for name, low, high in (
        ("sbp", 40, 270),
        ("dbp", 20, 160),
        ("temperature", 30, 43),
        ("spo2", 50, 100),
        ("hba1c", 3.5, 20),
        ("phq2", 0, 6),
    ):
        mine = value[item == items.place[name]]
        assert len(mine) and mine.min() >= low and mine.max() <= high, name
    pair, _, _ = grid(written, items, ("sbp", "dbp"))
    assert (pair[:, 0] > pair[:, 1]).all()


def test_screenings_are_done_and_reported(written: Records, met: Encounters, book: Book, history: History) -> None:
    mammogram = book.place(SNOMED, "24623002")
    order, report = written.rows["order"], written.rows["report"]
    person = met.person[order["encounter"][order["code"] == mammogram]]
    assert len(person) and (history.people.sex[person] == 0).all()
    assert (report["code"] == mammogram).sum() == (order["code"] == mammogram).sum()
    assert (written.rows["procedure"]["code"] == book.place(SNOMED, "73761001")).any()


# ---------------------------------------------------------------------- whoever else is in the shard
def whose(rows: Rows, met: Encounters, first: int) -> np.ndarray:
    return met.person[rows["encounter"]] >= first


def test_a_patient_is_the_same_in_another_shard(
    written: Records, met: Encounters, items: Catalogue, book: Book
) -> None:
    other_book = Book()
    other = records(lives(np.arange(HALF, N)), items, other_book, offered())

    def words(place: Ints, of: Book) -> list[tuple[str, str]]:
        return [of.entries[k] if k >= 0 else ("", "") for k in place]

    mine = met.person >= HALF
    assert len(other.encounters.person) == mine.sum() > 100
    for name in ("start", "stop", "kind", "disposition"):
        assert (getattr(met, name)[mine] == getattr(other.encounters, name)).all(), name
    for name in ("code", "reason", "specialty"):
        assert words(getattr(met, name)[mine], book) == words(getattr(other.encounters, name), other_book), name
    pointed = {
        "code",
        "snomed",
        "reaction",
        "text",
        "reason",
        "unit",
        "route",
        "stop_reason",
        "stage",
        "modality",
        "site",
    }
    for table, rows in written.rows.items():
        here = whose(rows, met, HALF)
        assert here.sum() == len(other.rows[table]["encounter"]), table
        for name, values in rows.items():
            theirs = other.rows[table][name]
            if name in pointed | {"description"} and not (table == "goal" and name == "status"):
                assert words(values[here], book) == words(theirs, other_book), (table, name)
            elif name not in ("encounter", "order", "careplan"):
                assert np.array_equal(values[here], theirs, equal_nan=values.dtype.kind == "f"), (table, name)
        for pointer, target in (("order", "order"), ("careplan", "careplan")):
            if pointer in rows:
                to, there = rows[pointer][here], other.rows[table][pointer]
                skip = np.flatnonzero(whose(written.rows[target], met, HALF))[0]
                assert (np.where(to >= 0, to - skip, -1) == there).all(), (table, pointer)


def test_the_same_lives_give_the_same_records(history: History, items: Catalogue, written: Records, book: Book) -> None:
    size = len(book.entries)
    again = records(history, items, book, offered())
    assert len(book.entries) == size, "nothing new on the second time"
    for table, rows in written.rows.items():
        for name, values in rows.items():
            assert np.array_equal(values, again.rows[table][name], equal_nan=values.dtype.kind == "f"), (table, name)
