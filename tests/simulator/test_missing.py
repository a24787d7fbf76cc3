"""What is left out: shares as asked, mechanisms that a fit finds again, computed values and orders that follow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ehrsatz.clinical import LOINC
from ehrsatz.errors import InfeasibleError
from ehrsatz.parts import MissingPart
from ehrsatz.simulator import missing
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.history import History, ordinals
from ehrsatz.simulator.missing import Gap, learned, leave_out, rates, understand
from ehrsatz.simulator.records import Book, Records
from simulator import fake

CATALOGUE = catalogue()
LIPIDS = ("total_chol", "trig", "hdl", "ldl", "chol_ratio")
ITEMS = ("height", "weight", "bmi", "sbp", "dbp", "mean_pressure", "hba1c", *LIPIDS, "blood_culture")
ORDERED = {"hba1c": 0, **dict.fromkeys(LIPIDS, 1)}  # item -> which of the two orders of an encounter
WORDS = CATALOGUE.items[CATALOGUE.place["blood_culture"]].words


def world(first: int = 0, n: int = 1500) -> tuple[Records, History, Book]:
    """Return lives, and records in which every visit measures the same items and orders two panels."""
    lives, book = fake.history(first, n), Book()
    words = np.array([book.text(word) for word in WORDS])
    met = fake.records(lives, 5.0).encounters
    e = len(met.person)
    items = np.array([CATALOGUE.place[name] for name in ITEMS])
    order = np.argsort(items)
    names = [ITEMS[k] for k in order]
    u = lives.draw("value", met.person, ordinals(met.person), width=len(ITEMS))
    value = np.round(100 + 40 * u, 1)
    text = np.full((e, len(ITEMS)), -1)
    culture = names.index("blood_culture")
    value[:, culture] = np.nan
    text[:, culture] = words[(u[:, culture] * len(words)).astype(np.int64)]
    which = np.array([ORDERED.get(name, -1) for name in names])
    rows: dict[str, Any] = {
        "encounter": np.repeat(np.arange(e), len(ITEMS)),
        "time": np.repeat(met.start, len(ITEMS)),
        "item": np.tile(items[order], e).astype(np.int16),
        "value": value.ravel(),
        "text": text.ravel(),
        "order": np.where(which < 0, -1, np.arange(e)[:, None] * 2 + which).ravel(),
    }
    orders = {
        "encounter": np.repeat(np.arange(e), 2),
        "time": np.repeat(met.start, 2),
        "kind": np.zeros(2 * e, np.int64),
        "code": np.full(2 * e, book.place(LOINC, "4548-4")),
        "reason": np.full(2 * e, -1),
        "status": np.zeros(2 * e, np.int64),
    }
    return Records(met, {"observation": rows, "order": orders}), lives, book


WORLD = world()


def gap_of(share: float = 0.3, item: str = "hba1c", **more: Any) -> Gap:
    (gap,) = understand([MissingPart(item=item, share=share, **more)], CATALOGUE)
    return gap if gap.part.mechanism == "MCAR" else learned([gap], *WORLD[:2], CATALOGUE, WORLD[2])[0]


def after(*gaps: Gap, of: tuple[Records, History, Book] = WORLD) -> Records:
    return leave_out(gaps, *of[:2], CATALOGUE, of[2])


def absent(left: Records, item: str, of: Records = WORLD[0]) -> np.ndarray:
    """Return which visits (E,) have no value of an item any more."""
    rows, place = left.rows["observation"], CATALOGUE.place[item]
    gone = np.ones(len(of.encounters.person), bool)
    gone[rows["encounter"][rows["item"] == place]] = False
    return gone


def before(item: str) -> np.ndarray:
    rows = WORLD[0].rows["observation"]
    return rows["value"][rows["item"] == CATALOGUE.place[item]]


# ---------------------------------------------------------------------- rates
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("above", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("higher", [True, False])
def test_rates_have_the_mean_and_the_odds(share: float, above: float, higher: bool) -> None:
    low, high = rates(share, above, higher)
    assert above * high + (1 - above) * low == pytest.approx(share, abs=1e-9)
    ratio = (high / (1 - high)) / (low / (1 - low))
    assert ratio == pytest.approx(3 if higher else 1 / 3)


def test_all_may_be_absent() -> None:
    assert rates(1.0, 0.3) == (1.0, 1.0)
    left = after(gap_of(1.0))
    assert absent(left, "hba1c").all()
    assert not absent(left, "sbp").any()


# ---------------------------------------------------------------------- shares and mechanisms
MECHANISMS: dict[str, dict[str, Any]] = {
    "at random": {},
    "age": {"mechanism": "MAR", "by": "age"},
    "sex": {"mechanism": "MAR", "by": "sex"},
    "income": {"mechanism": "MAR", "by": "income"},
    "insurance": {"mechanism": "MAR", "by": "insurance"},
    "value": {"mechanism": "MNAR"},
    "the younger": {"mechanism": "MAR", "by": "age", "above": False},
}


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_share_is_as_asked(name: str, share: float) -> None:
    gone = absent(after(gap_of(share, **MECHANISMS[name])), "hba1c")
    assert gone.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(gone)))


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_fit_finds_the_mechanism_again(name: str) -> None:
    from sklearn.linear_model import LogisticRegression

    records, lives, _ = WORLD
    person, people = records.encounters.person, lives.people
    age = people.age(person, records.encounters.start)
    drivers = {
        "age": age > np.median(age),
        "sex": people.sex[person] == 1,
        "income": people.income[person] > np.median(people.income[person]),
        "insurance": np.isin(people.attributes["insurance"][person], missing.POORLY),
        "value": before("hba1c") > np.median(before("hba1c")),
    }
    gone = absent(after(gap_of(0.4, **MECHANISMS[name])), "hba1c")
    fit = LogisticRegression(C=np.inf).fit(np.column_stack(list(drivers.values())).astype(float), gone)
    found = dict(zip(drivers, fit.coef_[0], strict=True))
    wanted = dict.fromkeys(drivers, 0.0)
    if name == "the younger":
        wanted["age"] = -math.log(3)
    elif name in wanted:
        wanted[name] = math.log(3)
    for driver, value in wanted.items():  # the standard error is about 0.05
        assert found[driver] == pytest.approx(value, abs=0.25), driver


def test_words_have_a_middle_too() -> None:
    gap = gap_of(0.4, item="blood_culture", mechanism="MNAR")
    rows = WORLD[0].rows["observation"]
    text = rows["text"][rows["item"] == CATALOGUE.place["blood_culture"]]
    place = np.array([[WORLD[2].text(word) for word in WORDS].index(one) for one in text])
    middle, with_it = gap.cuts[CATALOGUE.place["blood_culture"]]
    above = place >= middle if with_it else place > middle
    gone = absent(after(gap), "blood_culture")
    low, high = gone[~above].mean(), gone[above].mean()
    assert (high / (1 - high)) / (low / (1 - low)) == pytest.approx(3, rel=0.25)


# ---------------------------------------------------------------------- what follows
def test_what_was_computed_goes_with_its_parts() -> None:
    left = after(gap_of(0.3, item="height"), gap_of(0.3, item="dbp"))
    height, pressure = absent(left, "height"), absent(left, "dbp")
    assert (absent(left, "bmi") == height).all()
    assert (absent(left, "mean_pressure") == pressure).all()
    for untouched in ("weight", "sbp", "hba1c"):
        assert not absent(left, untouched).any()
    assert abs(np.corrcoef(height, pressure)[0, 1]) < 0.05


def test_a_part_stays_when_what_is_computed_of_it_goes() -> None:
    left = after(gap_of(0.5, item="bmi"))
    assert absent(left, "bmi").any()
    assert not absent(left, "height").any()


def test_a_panel_goes_as_a_whole() -> None:
    left = after(gap_of(0.3, item="lipids"))
    first = absent(left, "total_chol")
    assert first.mean() == pytest.approx(0.3, abs=0.03)
    assert all((absent(left, name) == first).all() for name in LIPIDS)


def test_orders_without_any_result_are_cancelled() -> None:
    left = after(gap_of(0.3), gap_of(0.3, item="trig"))
    status = left.rows["order"]["status"].reshape(-1, 2)  # hba1c, lipids
    assert ((status[:, 0] == missing.CANCELLED) == absent(left, "hba1c")).all()
    assert (status[:, 1] == 0).all()  # cholesterol was reported
    assert (WORLD[0].rows["order"]["status"] == 0).all()  # the input stays as it was


def test_a_report_of_nothing_goes() -> None:
    records, lives, book = WORLD
    n = len(records.rows["order"]["status"])
    reports = {"encounter": records.rows["order"]["encounter"], "order": np.arange(n), "kind": np.zeros(n, np.int64)}
    left = after(gap_of(0.3), of=(replace(records, rows={**records.rows, "report": reports}), lives, book))
    cancelled = np.flatnonzero(left.rows["order"]["status"] == missing.CANCELLED)
    assert len(cancelled)
    assert not np.isin(left.rows["report"]["order"], cancelled).any()
    assert len(left.rows["report"]["order"]) == n - len(cancelled)


def test_nothing_left_is_no_table() -> None:
    gaps = [gap_of(1.0, item=name) for name in ITEMS]
    assert "observation" not in after(*gaps).rows


# ---------------------------------------------------------------------- who else is there changes nothing
@pytest.mark.parametrize("name", MECHANISMS)
def test_a_shard_of_its_own_loses_the_same_rows(name: str) -> None:
    gap = gap_of(0.3, **MECHANISMS[name])
    part = world(300, 200)
    whole = absent(after(gap), "hba1c")
    number = WORLD[1].people.number[WORLD[0].encounters.person]
    mine = whole[(number >= 300) & (number < 500)]
    assert (absent(after(gap, of=part), "hba1c", part[0]) == mine).all()


def test_two_wishes_for_one_item_are_two_draws() -> None:
    gone = absent(after(gap_of(0.3), gap_of(0.3)), "hba1c")
    assert gone.mean() == pytest.approx(1 - 0.7**2, abs=0.03)


# ---------------------------------------------------------------------- what cannot be
def test_unknown_names_are_refused_together() -> None:
    parts = [MissingPart(item="hba1", share=0.2), MissingPart(item="liipids", share=0.2)]
    with pytest.raises(InfeasibleError) as error:
        understand(parts, CATALOGUE)
    assert "Did you mean 'hba1c'?" in str(error.value)
    assert "Did you mean 'lipids'?" in str(error.value)
    assert "doctor --list panels" in str(error.value)


def test_a_driver_that_never_differs_is_refused() -> None:
    records, lives, book = WORLD
    women = replace(lives, people=replace(lives.people, sex=np.zeros(lives.people.n, np.int64)))
    gaps = understand([MissingPart(item="hba1c", share=0.2, mechanism="MAR", by="sex")], CATALOGUE)
    with pytest.raises(InfeasibleError, match="sex is the same in all rows"):
        learned(gaps, records, women, CATALOGUE, book)


def test_a_driver_of_what_nobody_measured_is_refused() -> None:
    gaps = understand([MissingPart(item="tsh", share=0.2, mechanism="MNAR")], CATALOGUE)
    with pytest.raises(InfeasibleError, match="tsh is too rare"):
        learned(gaps, *WORLD[:2], CATALOGUE, WORLD[2])
