"""Shared by all tests: where the data sets lie, and two tiny datasets, tidy and nasty, as one table and as two."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Constraint, Link, Schema, Table
from ehrsatz.seeds import stream

ROOT = Path(__file__).resolve().parent.parent
TABULAR = (  # the sets that tests of inference, generators and benchmarks read
    "breast_cancer_wdbc",
    "ckd",
    "diabetes130",
    "heart_disease_uci",
    "heart_failure",
    "maternal_health",
    "metabric",
    "nhefs",
    "pbc",
    "pima_diabetes",
    "support2",
    "whas500",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests, whole pages of examples, first: no process is left alone with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/test_docs.py::test_examples_run"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the shared data sets: EHRSATZ_DATA, else ../shared/data beside the repository.

    Skips only where the folder is absent altogether; under CI a folder that lacks a set is a failure.
    """
    folder = Path(os.environ.get("EHRSATZ_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the shared data sets are absent: set EHRSATZ_DATA to their folder")
    if os.environ.get("CI"):
        lacking = [name for name in TABULAR if not (folder / name).is_dir()]
        assert not lacking, f"the data folder lacks: {', '.join(lacking)}"
    return folder


@pytest.fixture(scope="session")
def is_ci() -> bool:
    """Whether slow tests use small cuts: the environment variable CI is set."""
    return bool(os.environ.get("CI"))


@pytest.fixture(scope="session")
def cohort() -> Dataset:
    """200 simulated patients with a year of routine care: what tests of the clinical formats write and read."""
    from ehrsatz.simulation import simulate

    return simulate("clinic", n=200, seed=5, record_years=1)


@pytest.fixture(scope="session")
def edgy() -> Dataset:
    """64 simulated patients of whom the first are the edge cases: what breaks software."""
    from ehrsatz.simulation import simulate

    return simulate("clinic", n=64, seed=5, record_years=1, edge_cases="all")


def make_tidy(n: int = 80) -> Dataset:
    """Return one table of n patients with dependent columns of every kind, few gaps, and one constraint."""
    rng = stream(11, "tidy")
    sex = rng.choice(["F", "M"], n)
    age = np.clip(rng.normal(58, 14, n).round(), 19, 93).astype(int)
    bmi = np.round(21 + 0.08 * age + rng.normal(0, 3, n), 1)
    smoker = rng.random(n) < np.where(sex == "M", 0.45, 0.2)
    outcome = np.where(age / 100 + 0.3 * smoker + rng.normal(0, 0.15, n) > 0.75, "readmitted", "home")
    admitted = [date(2021, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 700, n)]
    stay = rng.integers(0, 15, n)
    hours = rng.integers(0, 24, n)
    frame = pl.DataFrame(
        {
            "patient_id": [f"P{i:04d}" for i in rng.permutation(n) + 100],
            "sex": sex,
            "age": pl.Series(age, dtype=pl.Int64),
            "bmi": [None if rng.random() < 0.1 else float(x) for x in bmi],
            "smoker": smoker,
            "diagnosis": rng.choice(["I10", "E11.9", "J44.1"], n, p=[0.5, 0.3, 0.2]),
            "admitted": admitted,
            "discharged": [day + timedelta(days=int(d)) for day, d in zip(admitted, stay)],
            "first_seen": pl.Series(
                [datetime(d.year, d.month, d.day, int(h)) for d, h in zip(admitted, hours)], dtype=pl.Datetime("us")
            ),
            "outcome": outcome,
        }
    )
    table = Table(
        "patients",
        (
            Column("patient_id", "id", role="subject", disclosure="direct", nullable=False),
            Column("sex", "category", disclosure="quasi", nullable=False),
            Column("age", "integer", disclosure="quasi", unit="a", nullable=False),
            Column("bmi", "number", unit="kg/m2"),
            Column("smoker", "boolean", nullable=False),
            Column("diagnosis", "code", disclosure="sensitive", system="ICD-10", nullable=False),
            Column("admitted", "date", nullable=False),
            Column("discharged", "date", nullable=False),
            Column("first_seen", "datetime", nullable=False),
            Column("outcome", "category", disclosure="sensitive", nullable=False),
        ),
        constraints=(Constraint("order", ("admitted", "discharged"), {"strict": False}),),
    )
    return Dataset(Schema("tidy", (table,)), {"patients": frame}, Provenance("real"))


def make_nasty(n: int = 60) -> Dataset:
    """Return one table without a subject column that holds what breaks naive code.

    An empty column, a constant one, gaps (some always together), unicode in names and levels, names with commas and
    quotes, dates before 1970, negative numbers, many zeros, one far outlier, free text and a person's name.
    """
    rng = stream(12, "nasty")
    gap = rng.random(n) < 0.3
    lab = np.where(rng.random(n) < 0.5, 0.0, rng.normal(-3, 40, n).round(2))
    lab[0] = 1e6
    born = [date(1925, 3, 1) + timedelta(days=int(d)) for d in rng.integers(0, 18_000, n)]
    place = rng.choice(["Zürich", "Łódź", "東京", "a,b", 'say "no"'], n, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    frame = pl.DataFrame(
        {
            "Ort, größe": place,
            "nichts": pl.Series([None] * n, dtype=pl.Float64),
            "leer": pl.Series([None] * n, dtype=pl.String),
            "immer": ["ja"] * n,
            "null_zahl": pl.Series([0] * n, dtype=pl.Int64),
            "lab": pl.Series(lab, dtype=pl.Float64),
            "delta": pl.Series([None if g else int(x) for g, x in zip(gap, rng.integers(-9, 10, n))], dtype=pl.Int64),
            "delta_unit": pl.Series([None if g else "mmol/L" for g in gap], dtype=pl.String),
            "flag": pl.Series([None if g else bool(x) for g, x in zip(rng.random(n) < 0.2, rng.random(n) < 0.5)]),
            "geboren": pl.Series(
                [None if g else d for g, d in zip(rng.random(n) < 0.1, born)],
                dtype=pl.Date,
            ),
            "wann": pl.Series(
                [datetime(1969, 12, 31, 23, 59, 58) if i % 3 else datetime(2001, 5, 1 + i % 28) for i in range(n)],
                dtype=pl.Datetime("us"),
            ),
            "groß": pl.Series((10**12 + rng.integers(0, 5, n) * 10**9).tolist(), dtype=pl.Int64),
            "notiz": [f"Visit {i}, patient felt {word}" for i, word in enumerate(rng.choice(["well", "ill"], n))],
            "name": [f"Zoë Müller-{i}" for i in range(n)],
        }
    )
    table = Table(
        "büro",
        (
            Column("Ort, größe", "category"),
            Column("nichts", "number"),
            Column("leer", "category"),
            Column("immer", "category"),
            Column("null_zahl", "integer"),
            Column("lab", "number"),
            Column("delta", "integer"),
            Column("delta_unit", "category"),
            Column("flag", "boolean"),
            Column("geboren", "date", disclosure="quasi"),
            Column("wann", "datetime"),
            Column("groß", "integer"),
            Column("notiz", "text", disclosure="direct"),
            Column("name", "id", disclosure="direct"),
        ),
        constraints=(Constraint("missing_together", ("delta", "delta_unit")),),
    )
    return Dataset(Schema("nasty", (table,)), {"büro": frame}, Provenance("real"))


def make_tidy_linked(n: int = 50) -> Dataset:
    """Return patients and their visits: text keys, one to five visits each, values that depend on the patient."""
    rng = stream(13, "tidy-linked")
    ids = [f"P{i:03d}" for i in range(n)]
    sex = rng.choice(["F", "M"], n)
    age = np.clip(rng.normal(60, 12, n).round(), 20, 90).astype(int)
    rows = []
    for i, patient in enumerate(ids):
        day = date(2020, 1, 1) + timedelta(days=int(rng.integers(0, 300)))
        for _ in range(int(rng.integers(1, 6))):
            day += timedelta(days=int(rng.integers(1, 60)))
            urgent = rng.random() < 0.3
            pressure = round(float(100 + 0.5 * age[i] + 8 * urgent + rng.normal(0, 6)), 1)
            rows.append((f"V{len(rows):05d}", patient, day, "emergency" if urgent else "planned", pressure))
    visits = pl.DataFrame(rows, schema=["visit_id", "patient_id", "day", "type", "pressure"], orient="row")
    patients = pl.DataFrame({"patient_id": ids, "sex": sex, "age": pl.Series(age, dtype=pl.Int64)})
    return _linked("tidy-linked", patients, visits)


def make_nasty_linked(n: int = 40) -> Dataset:
    """Return patients and visits with whole-number keys, two patients without visits, equal times, gaps."""
    rng = stream(14, "nasty-linked")
    ids = rng.permutation(n) * 7 - 3  # negative and zero keys
    rows = []
    for i, patient in enumerate(ids):
        for j in range(0 if i in {0, 9} else int(rng.integers(1, 5)) if i % 2 else 1):
            day = date(1968, 6, 1) + timedelta(days=int(rng.integers(0, 900)) if j % 2 else 0)  # many equal times
            value = None if rng.random() < 0.3 else round(float(rng.normal(0, 5)), 1)
            rows.append((len(rows), int(patient), day, rng.choice(["Notfall", "Übung"]), value))
    visits = pl.DataFrame(rows, schema=["visit_id", "patient_id", "day", "type", "pressure"], orient="row")
    patients = pl.DataFrame(
        {
            "patient_id": pl.Series(ids, dtype=pl.Int64),
            "sex": pl.Series([None if rng.random() < 0.2 else "ž" for _ in ids], dtype=pl.String),
            "age": pl.Series([None] * n, dtype=pl.Int64),
        }
    )
    return _linked("nasty-linked", patients, visits)


def make_visits(n: int = 40) -> Dataset:
    """Return the visits of `make_tidy_linked` as one table, several rows per subject."""
    linked = make_tidy_linked(n)
    columns = tuple(
        replace(column, role="subject") if column.name == "patient_id" else column
        for column in linked.schema["visits"].columns
    )
    schema = Schema("visits", (Table("visits", columns),))
    return Dataset(schema, {"visits": linked.tables["visits"]}, Provenance("real"))


def _linked(name: str, patients: pl.DataFrame, visits: pl.DataFrame) -> Dataset:
    kind = "id" if patients["patient_id"].dtype == pl.String else "integer"
    schema = Schema(
        name,
        (
            Table(
                "patients",
                (
                    Column("patient_id", kind, role="key", disclosure="direct", nullable=False),
                    Column("sex", "category", disclosure="quasi"),
                    Column("age", "integer", disclosure="quasi", unit="a"),
                ),
            ),
            Table(
                "visits",
                (
                    Column("visit_id", kind, role="key", disclosure="direct", nullable=False),
                    Column("patient_id", kind, role="link", disclosure="direct", nullable=False),
                    Column("day", "date", role="time", nullable=False),
                    Column("type", "category"),
                    Column("pressure", "number"),
                ),
                links=(Link("patient_id", "patients", "patient_id"),),
            ),
        ),
    )
    return Dataset(schema, {"patients": patients, "visits": visits}, Provenance("real"))


MAKERS = {
    "tidy": make_tidy,
    "nasty": make_nasty,
    "tidy_linked": make_tidy_linked,
    "nasty_linked": make_nasty_linked,
    "visits": make_visits,
}


@pytest.fixture(scope="session")
def tidy() -> Dataset:
    """One tidy table of patients."""
    return make_tidy()


@pytest.fixture(scope="session")
def nasty() -> Dataset:
    """One table of everything that breaks naive code."""
    return make_nasty()


@pytest.fixture(scope="session")
def tidy_linked() -> Dataset:
    """Patients and their visits."""
    return make_tidy_linked()


@pytest.fixture(scope="session")
def nasty_linked() -> Dataset:
    """Patients and visits with gaps, equal times and a patient without visits."""
    return make_nasty_linked()


@pytest.fixture(scope="session")
def visits() -> Dataset:
    """One table with several rows per subject."""
    return make_visits()
