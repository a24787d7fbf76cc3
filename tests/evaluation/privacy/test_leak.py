"""The leak detector: planted leaks are found and named, honest tables pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from benchmarks.evidence.planted import KEPT, cases, dataset, patients

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.privacy.leak import Leak
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from evaluation.tables import population, shuffled, table

N = 1000
LEAKS = (
    "1 % copies",
    "5 % copies",
    "100 % copies",
    "5 % near copies (numbers + 0.05 sd)",
    "all near copies (numbers + 0.3 sd)",
    "copies of unusual patients (2 % of rows)",
    "one region copied, the others fresh",
    "copies of one region (2 % of rows)",
    "age, bmi, sbp kept, the rest redrawn",
    "age, bmi, sbp kept in 10 % of rows",
)


def measured(case: str, seed: int, n: int = N) -> Score:
    rng = stream(seed, "leak test", case)
    train, holdout = patients(n, rng), patients(n, rng)
    _, make = cases(train, n, rng)[case]
    return Leak().compute(dataset(train), dataset(holdout), dataset(make()), seed=seed)


@pytest.mark.parametrize("case", LEAKS)
def test_a_planted_leak_is_found(case: str) -> None:
    scores = [measured(case, seed) for seed in (1, 2)]
    assert all(score.value is not None and score.value <= 0.05 for score in scores), [s.value for s in scores]


def test_honest_tables_pass() -> None:
    values = [measured(case, seed, 300).value for case in ("further sample",) for seed in range(12)]
    assert (
        sum(value is not None and value <= 0.05 for value in values) <= 3
    )  # of 12 at 0.05: more has a chance of 0.2 %


@pytest.mark.slow
def test_power_and_level_over_many_populations(is_ci: bool) -> None:
    n_seeds = 6 if is_ci else 40
    for case in ("1 % copies", "5 % near copies (numbers + 0.05 sd)", "age, bmi, sbp kept in 10 % of rows"):
        assert np.mean([measured(case, seed).value <= 0.05 for seed in range(100, 100 + n_seeds)]) >= 0.9
    alarms = sum(measured("further sample", seed).value <= 0.05 for seed in range(100, 100 + n_seeds))
    assert alarms <= (2 if is_ci else 6)  # a chance of 1 % at most


def test_it_says_which_columns_are_kept() -> None:
    score = measured("age, bmi, sbp kept, the rest redrawn", 3)
    assert set(score.details["exposed"]["columns"]) == set(KEPT)
    low, high = score.details["affected"]["interval"]
    assert low > 0.9 and high <= 1
    assert "age, bmi, sbp" in score.meaning or "A leak" in score.meaning


def test_it_says_which_group_is_copied() -> None:
    score = measured("copies of one region (2 % of rows)", 4)
    assert score.details["exposed"]["group"] == "region = F"
    low, high = score.details["affected"]["interval"]
    assert low <= 0.02 <= high + 0.002


def test_it_says_that_unusual_patients_are_copied() -> None:
    assert measured("100 % copies", 5).details["exposed"]["outliers"]


def test_the_share_of_copies_is_estimated() -> None:
    score = measured("5 % copies", 6)
    low, high = score.details["affected"]["interval"]
    assert low - 0.003 <= 0.05 <= high + 0.003 and 0.03 < score.details["affected"]["share"] < 0.07


def test_the_order_of_rows_does_not_matter() -> None:
    a, b, c = population(120, 1), population(110, 2), population(90, 3)
    one = Leak().compute(a, b, c, seed=5).to_dict()
    assert Leak().compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=5).to_dict() == one


def test_exchanging_the_halves_of_an_honest_table_gives_no_alarm_in_both() -> None:
    a, b, c = population(300, 1), population(300, 2), population(300, 3)
    values = [Leak().compute(*pair, c, seed=1).value for pair in ((a, b), (b, a))]
    assert all(value is not None and value > 0.01 for value in values)


def visits(n: int, seed: int) -> Dataset:
    """Three near-equal rows of each of n subjects."""
    rng = stream(seed, "visits")
    who = np.repeat(np.arange(n), 3)
    base = rng.normal(size=(n, 4))[who] + 0.02 * rng.normal(size=(3 * n, 4))
    columns = {"id": [f"{seed}-{i}" for i in who], **{f"x{j}": base[:, j] for j in range(4)}}
    schema = Schema(
        "v", (Table("v", (Column("id", "id", role="subject"), *(Column(f"x{j}", "number") for j in range(4)))),)
    )
    return Dataset(schema, {"v": pl.DataFrame(columns)}, population(1, 1).provenance)


def test_subjects_with_several_rows_are_exchanged_as_a_whole() -> None:
    alarms = 0
    for seed in range(20):
        train, holdout, fresh = (visits(60, 10 * seed + i) for i in range(3))
        alarms += Leak().compute(train, holdout, fresh, seed=1).value <= 0.05
    assert alarms <= 4  # rows exchanged one by one would alarm in most
    train, holdout = visits(60, 1), visits(60, 2)
    made = Dataset(train.schema, train.tables, train.provenance)
    score = Leak().compute(train, holdout, made, seed=1)
    assert score.value is not None and score.value <= 0.01


def test_unequal_halves_are_no_leak() -> None:
    values = [
        Leak().compute(population(400, s), population(60, 50 + s), population(200, 99 + s), seed=1).value
        for s in range(6)
    ]
    assert sum(value <= 0.05 for value in values if value is not None) <= 2


def test_constant_and_empty_columns() -> None:
    one = table({"a": ("number", [None] * 12), "b": ("category", ["x"] * 12)})
    score = Leak().compute(one, one, one, seed=1)
    assert score.status == "not_applicable" and score.value is None
    few = table({"a": ("category", ["x", "y"] * 6)})
    assert Leak().compute(few, few, few, seed=1).value == 1 or Leak().compute(few, few, few, seed=1).value > 0.05


def test_named_columns_lead_the_triples() -> None:
    rng = stream(7, "named")
    n = 400
    columns = {f"z{i}": ("number", rng.normal(size=n).round(4).tolist()) for i in range(14)}
    columns |= {f"q{i}": ("integer", rng.integers(0, 60, n).tolist()) for i in range(3)}
    train = table(columns)
    other = {name: (kind, rng.permutation(cells).tolist()) for name, (kind, cells) in columns.items()}
    holdout = table(other)
    fresh = table({name: (kind, rng.permutation(cells).tolist()) for name, (kind, cells) in columns.items()})
    kept = replace(fresh, tables={"t": fresh.table.with_columns(train.table.select("q0", "q1", "q2").get_columns())})
    score = Leak(task=Task(quasi=("q0", "q1", "q2"))).compute(train, holdout, kept, seed=1)
    assert score.value is not None and score.value <= 0.05
    assert score.details["exposed"]["columns"] == ["q0", "q1", "q2"]


def test_a_kept_triple_is_found_in_a_wide_table() -> None:
    rng = stream(8, "wide")
    n = 600

    def draw() -> dict[str, np.ndarray]:
        base = rng.normal(size=(n, 4))
        return {f"x{i}": (base[:, i % 4] + rng.normal(size=n)).round(1) for i in range(45)}

    train, holdout, made = draw(), draw(), draw()
    order = rng.permutation(n)
    for name in ("x17", "x30", "x41"):
        made[name] = train[name][order]
    parts = [table({name: ("number", cells.tolist()) for name, cells in one.items()}) for one in (train, holdout, made)]
    score = Leak().compute(*parts, seed=1)
    assert score.value is not None and score.value <= 0.05
    assert score.details["exposed"]["columns"] == ["x17", "x30", "x41"]
