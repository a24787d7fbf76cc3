"""Rows made flat and back: names that two tables share, and times that are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import ehrsatz
from ehrsatz.generators.visits import flatten
from ehrsatz.schema import Column, Link, Schema, Table


@pytest.mark.parametrize(("kind", "days"), [("integer", [0, 3, 10]), ("number", [0.5, 1.0, 4.5])])
def test_shared_names_and_numeric_times_come_back(kind: Any, days: list[float]) -> None:
    n = 25
    patients = Table("p", (Column("id", "integer", role="key"), Column("sex", "category"), Column("lab", "number")))
    visits = Table(
        "v",
        (
            Column("id", "integer", role="link"),
            Column("sex", "category"),
            Column("day", kind, role="time"),
            Column("lab", "number"),
            Column("seen", "date"),
        ),
        (Link("id", "p", "id"),),
    )
    sexes = ["F" if i % 2 else "M" for i in range(n)]
    tables = {
        "p": pl.DataFrame({"id": range(n), "sex": sexes, "lab": [float(i) for i in range(n)]}),
        "v": pl.DataFrame(
            {
                "id": [i for i in range(n) for _ in days],
                "sex": [sexes[i] for i in range(n) for _ in days],
                "day": days * n,
                "lab": [float(i) for i in range(3 * n)],
                "seen": pl.Series(["2020-01-01", "2019-05-05", "2021-01-01"] * n).str.to_date(),
            }
        ),
    }
    flat = flatten(Schema("s", (patients, visits)), tables)
    assert flat.static["v"] == ("sex",)
    subjects = flat.subjects(tables)
    rows, owners, _ = flat.rows(visits, tables["v"])
    assert tuple(subjects.columns) == flat.subject_table().names
    assert tuple(rows.columns) == flat.row_table(visits).names
    back = flat.restore(subjects, {"v": rows}, {"v": owners}, first=0)
    for name, frame in tables.items():
        assert back[name].equals(frame), name


def test_visits_end_with_follow_up_and_repeat_what_the_patient_has(data_dir: Path) -> None:
    data = ehrsatz.read(data_dir / "pbc")
    out = ehrsatz.generator("trees").fit(data, seed=1).sample(300, seed=2)
    visits, patients = out.tables["pbcseq"], out.tables["pbc"]
    for name in ("futime", "sex", "age", "trt"):
        assert visits.group_by("id").agg(pl.col(name).n_unique())[name].max() == 1, name
    assert (visits["day"] <= visits["futime"]).all()
    assert visits.group_by("id", maintain_order=True).agg(pl.col("day").is_sorted())["day"].all()
    joined = visits.join(patients, on="id", suffix="_patient")
    assert joined.height == visits.height
    assert (joined["sex"] == joined["sex_patient"]).all() and (joined["age"] == joined["age_patient"]).all()
