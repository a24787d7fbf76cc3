"""Quantiles: by hand, against NumPy, and what the points of the plot may not tell."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fidelity.distributions import quantile
from ehrsatz.evaluation.fidelity.quantiles import LEVELS, Quantiles
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.fidelity.randoms import SEEDS, columns, dataset, present
from evaluation.tables import population, shuffled, table


def numbers(cells: object, kind: str = "number") -> Dataset:
    return table({"x": (kind, list(cells))})


def test_by_hand() -> None:
    real, made = numbers([0.0, 1.0, 2.0, 3.0, 4.0]), numbers([1.0, 2.0, None, 3.0, 4.0, 5.0])
    score = Quantiles().compute(real, real, made, seed=1)
    assert score.value == pytest.approx(1 / 2)  # every quantile lies one higher; the middle half is 1 to 3
    assert score.reference == 0
    assert score.details["columns"][0]["points"] == []  # five subjects are too few to show any


def test_contract_identical_and_order() -> None:
    check_metric(Quantiles, population(240, 3))
    a, b = population(200, 1), population(150, 2)
    assert Quantiles().compute(a, a, a, seed=1).value == 0
    score = Quantiles().compute(a, b, a, seed=1)
    assert Quantiles().compute(shuffled(a, 1), shuffled(b, 2), shuffled(a, 3), seed=1).to_dict() == score.to_dict()


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_numpy(seed: int) -> None:
    real, made = columns(seed, "holdout"), columns(seed, "synthetic")
    score = Quantiles().compute(dataset(real), dataset(real), dataset(made), seed=1)
    for line in score.details["columns"]:
        x, y = present(real[line["column"]]), present(made[line["column"]])
        gap = np.abs(np.quantile(x, LEVELS) - np.quantile(y, LEVELS)).mean()
        low, high = np.quantile(x, [0.25, 0.75])
        assert line["value"] == pytest.approx(gap / (high - low), abs=1e-6)
        values, counts = np.unique(x, return_counts=True)
        assert quantile(values, counts.astype(float), LEVELS) == pytest.approx(np.quantile(x, LEVELS), abs=1e-9)


def test_points_are_rounded_and_stand_on_five_subjects() -> None:
    rng = stream(1, "points")
    real = rng.normal(120, 15, 800)
    score = Quantiles().compute(numbers(real), numbers(real), numbers(real + 10), seed=1)
    points = score.details["columns"][0]["points"]
    assert [one[0] for one in points] == [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
    assert not {one[1] for one in points} & set(real)
    for share, x, y in points:
        assert x == pytest.approx(np.quantile(real, share / 100), abs=5)
        assert y - x == pytest.approx(10, abs=5)
        nearest = np.sort(np.abs(real - x))[4]
        assert nearest <= 5


def test_a_quantile_that_stands_on_few_subjects_is_not_shown() -> None:
    rng = stream(2, "outlier")
    cells = [*rng.normal(0, 1, 60).tolist(), 7777.0, 7778.0, 8888.0, 9999.0]  # the 95 % quantile is one person's
    points = Quantiles().compute(numbers(cells), numbers(cells), numbers(cells), seed=1).details["columns"][0]["points"]
    assert all(abs(x) < 1000 for _, x, _ in points)


def test_one_subject_with_many_rows_is_one_subject() -> None:
    schema = Schema("s", (Table("t", (Column("x", "number"), Column("who", "integer", role="subject"))),))

    def people(first: int) -> Dataset:
        rng = stream(first, "rows")
        who = np.r_[np.repeat(first, 300), np.arange(first + 1, first + 41)]
        x = np.r_[rng.normal(500, 1, 300), rng.normal(0, 1, 40)].round(2)  # one person's values are most of the rows
        frame = table({"x": ("number", x.tolist()), "who": ("integer", who.tolist())}).table
        return Dataset(schema, {"t": frame}, Provenance("real"))

    score = Quantiles().compute(people(0), people(1000), people(2000), seed=1)
    points = {one["column"]: one for one in score.details["columns"]}["x"]["points"]
    assert all(x < 100 for _, x, _ in points)


def test_dates_are_days() -> None:
    from datetime import date, timedelta

    rng = stream(3, "days")
    days = [date(1960, 1, 1) + timedelta(days=int(i)) for i in rng.integers(0, 3000, 300)]
    later = [one + timedelta(days=150) for one in days]
    score = Quantiles().compute(numbers(days, "date"), numbers(days, "date"), numbers(later, "date"), seed=1)
    assert score.value == pytest.approx(150 / 1500, rel=0.2)
    assert all(x == round(x) for _, x, _ in score.details["columns"][0]["points"])
