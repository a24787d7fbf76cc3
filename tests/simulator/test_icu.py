"""Intensive care: readings by the hour that are alike from hour to hour, within the stay; ventilation in it alone."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from ehrsatz.clinical import CLASSES
from ehrsatz.simulator.catalogue import Catalogue, catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.chart.icu import DEVIATION, HOURLY
from ehrsatz.simulator.cohort import Cohort, day
from ehrsatz.simulator.history import YEAR, History
from ehrsatz.simulator.knowledge import known
from ehrsatz.simulator.lots import history as lives
from ehrsatz.simulator.records import Book, Records

N = 1536
REFERENCE = day(datetime.date(2025, 12, 31))
ICU = CLASSES.index("icu")


@pytest.fixture(scope="module")
def history() -> History:
    return lives(known(), Cohort(N, (), (), REFERENCE, 6, 10.0, 10.0), np.arange(N, dtype=np.int64))


@pytest.fixture(scope="module")
def items() -> Catalogue:
    return catalogue()


@pytest.fixture(scope="module")
def book() -> Book:
    return Book()


@pytest.fixture(scope="module")
def written(history: History, items: Catalogue, book: Book) -> Records:
    return records(history, items, book)


def readings(written: Records, items: Catalogue, history: History, item: str) -> tuple[np.ndarray, ...]:
    """Return stay, hours since its begin, and value of the readings of grown people."""
    met, rows = written.encounters, written.rows["observation"]
    age = (rows["time"] - history.people.birth[met.person[rows["encounter"]]]) / YEAR
    here = (met.kind[rows["encounter"]] == ICU) & (rows["item"] == items.place[item]) & (age > 15)
    at = rows["encounter"][here]
    return at, (rows["time"][here] - met.start[at]) * 24, rows["value"][here]


def test_vital_signs_are_read_by_the_hour(written: Records, items: Catalogue, history: History) -> None:
    met = written.encounters
    at, hours, _ = readings(written, items, history, "heart_rate")
    assert len(np.unique(at)) > 20
    length = (met.stop - met.start)[at] * 24
    assert (hours >= 0).all() and (hours <= length).all()
    first = hours < np.minimum(HOURLY * 24, length - 0.2)
    expected = np.floor(np.minimum(HOURLY * 24, (met.stop - met.start)[np.unique(at)] * 24 - 0.2)) + 1
    assert np.abs(np.bincount(at[first])[np.unique(at)] - expected).max() <= 1
    later = np.sort(hours[hours > HOURLY * 24 + 0.1])
    assert not len(later) or (np.abs(later / 4 - np.round(later / 4)) < 0.01).all()


@pytest.mark.parametrize(
    ("item", "after_one", "after_eight", "within"),
    [
        ("heart_rate", 0.70, 0.27, 8.3),
        ("sbp", 0.56, 0.20, 13.9),
        ("dbp", 0.42, 0.15, 9.8),
        ("resp_rate", 0.52, 0.28, 3.7),
        ("temperature", 0.82, 0.28, 0.47),
    ],
)  # MIMIC-III demo by the hour: 115 stays, Johnson 2016
def test_readings_are_alike_from_hour_to_hour_as_in_real_stays(
    written: Records, items: Catalogue, history: History, item: str, after_one: float, after_eight: float, within: float
) -> None:
    at, hours, value = readings(written, items, history, item)
    long = np.bincount(at)[at] >= 24
    at, hours, value = at[long], np.round(hours[long]).astype(int), value[long]
    mean = np.bincount(at, value) / np.maximum(np.bincount(at), 1)
    off = value - mean[at]
    place = {(a, b): k for k, (a, b) in enumerate(zip(at.tolist(), hours.tolist(), strict=True))}

    def alike(lag: int) -> float:
        pairs = [(k, place[a, b + lag]) for (a, b), k in place.items() if (a, b + lag) in place]
        one, two = np.array(pairs).T
        return float(np.corrcoef(off[one], off[two])[0, 1])

    assert alike(1) == pytest.approx(after_one, abs=0.12)
    assert alike(8) == pytest.approx(after_eight, abs=0.27)
    spread = np.median([value[at == stay].std() for stay in np.unique(at)])
    assert spread == pytest.approx(within, rel=0.25)


def test_pressures_fit_each_other(written: Records, items: Catalogue, history: History) -> None:
    _, _, high = readings(written, items, history, "sbp")
    _, _, low = readings(written, items, history, "dbp")
    _, _, mean = readings(written, items, history, "mean_pressure")
    assert (high > low).all() and (np.abs(mean - (high + 2 * low) / 3) <= 1).all()
    assert set(DEVIATION) <= set(items.place)


def test_ventilation_is_in_intensive_care_with_tube_and_ventilator(written: Records, book: Book) -> None:
    met, rows, devices = written.encounters, written.rows["procedure"], written.rows["device"]
    code = np.array([book.entries[k][1] for k in rows["code"]])
    wind = np.isin(code, ["40617009", "243150007"])
    at = rows["encounter"][wind]
    assert wind.sum() >= 3 and (met.kind[at] == ICU).all()
    assert (rows["start"][wind] >= met.start[at]).all() and (rows["stop"][wind] <= met.stop[at] + 1e-9).all()
    machine = np.array([book.entries[k][1] for k in devices["code"]]) == "449071006"
    assert sorted(devices["encounter"][machine]) == sorted(at)
    assert np.allclose(np.sort(devices["stop"][machine]), np.sort(rows["stop"][wind]))
    weaned = code == "243174005"
    assert (met.disposition[rows["encounter"][weaned]] != 5).all()
