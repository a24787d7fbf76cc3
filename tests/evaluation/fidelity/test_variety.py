"""Diversity, collapsed modes and novelty: by hand, against plain definitions, and on planted collapse."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fidelity.collapse import Kinds, ModeCollapse, kinds
from ehrsatz.evaluation.fidelity.embedding import points
from ehrsatz.evaluation.fidelity.variety import (
    Diversity,
    Novelty,
    effective,
    kernel,
    numbered,
    vendi,
)
from ehrsatz.evaluation.space import Comparison
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, table, unrelated, with_rows

METRICS = (Diversity, ModeCollapse, Novelty)


def repeated(dataset: Dataset, n_kinds: int) -> Dataset:
    """Return as many rows, of few kinds."""
    frame = dataset.table
    return with_rows(dataset, frame[(np.arange(frame.height) % n_kinds).tolist()])


# ---------------------------------------------------------------------- diversity
@pytest.mark.parametrize("shape", TABLES)
def test_diversity_agrees_with_the_definition(shape: int) -> None:
    """Friedman & Dieng 2023, definition 3.1: the exponential of the entropy of the eigenvalues of K / n."""
    comparison = compared(shape, 30, shift=shape % 3)
    view = comparison.joint[0]
    x = {key: points(comparison, view, key, 1).x.astype(float) for key in ("holdout", "synthetic")}
    apart = [np.linalg.norm(p - q) for i, p in enumerate(x["holdout"]) for q in x["holdout"][i + 1 :]]
    width = np.median(apart)
    score = Diversity().compute_on(comparison, seed=1)
    if width == 0:
        assert score.status == "not_applicable"
        return
    worth = {}
    for key, rows in x.items():
        k = np.array([[np.exp(-((p - q) ** 2).sum() / (2 * width**2)) for q in rows] for p in rows]) / len(rows)
        share = np.linalg.eig(k)[0].real
        share = share[share > 1e-15]
        worth[key] = np.exp(-sum(s * np.log(s) for s in share))
    assert score.value == pytest.approx(worth["synthetic"] / worth["holdout"], rel=1e-6)
    assert score.details["effective_rows"]["real"] == pytest.approx(worth["holdout"], rel=1e-6)


def test_vendi_by_hand() -> None:
    assert vendi(np.eye(3)) == pytest.approx(3)
    assert vendi(np.ones((3, 3))) == pytest.approx(1)
    two = np.kron(np.eye(2), np.ones((2, 2)))  # two pairs of equal rows
    assert vendi(two) == pytest.approx(2)
    assert kernel(np.array([[0.0], [1.0]]), 1.0)[0, 1] == pytest.approx(np.exp(-0.5))
    assert effective(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


def test_diversity_of_same_few_and_unrelated() -> None:
    a, b, c = population(500, 1), population(500, 2), population(500, 3)
    fresh = Diversity().compute(a, b, c, seed=1)
    assert fresh.value == pytest.approx(1, abs=0.1)
    assert Diversity().compute(a, b, b, seed=1).value == pytest.approx(1)
    assert Diversity().compute(a, b, repeated(c, 1), seed=1).value < 0.2
    assert Diversity().compute(a, b, repeated(c, 3), seed=1).value < 0.5
    mixed = Diversity().compute(a, b, unrelated(c), seed=1)
    assert mixed.value > fresh.value and mixed.value == pytest.approx(mixed.baseline, abs=0.06)


# ---------------------------------------------------------------------- modes
def test_lost_modes_by_hand() -> None:
    real = np.repeat([0, 1, 2, 3], [50, 30, 19, 1])
    found = Kinds(real, np.repeat([0, 1], [70, 30]), 4)
    assert found.lost.tolist() == [False, False, True, False]  # one row of a hundred may be missed by chance
    assert found.lost_share == pytest.approx(0.19)
    assert Kinds(real, real, 4).lost.sum() == 0


def test_a_mode_that_is_not_visited_is_found_and_named() -> None:
    a, b, c = population(1500, 1), population(1500, 2), population(1500, 3)
    fresh = ModeCollapse().compute(a, b, c, seed=1)
    assert fresh.value == fresh.reference == 0
    without = with_rows(c, c.table.filter(pl.col("site") != "A"))
    lost = ModeCollapse().compute(a, b, without, seed=1)
    assert lost.value == pytest.approx((b.table["site"] == "A").mean())
    assert lost.details["collapsed"][0] == {"marks": ["site = A"], "real": round(lost.value, 3), "synthetic": 0}
    assert "site = A" in lost.meaning
    assert lost.details["effective_modes"]["synthetic"] < lost.details["effective_modes"]["real"]
    assert lost.interval[0] <= lost.value <= lost.interval[1]
    young = with_rows(c, c.table.filter(pl.col("age") < 60))
    assert "age: highest fourth" in ModeCollapse().compute(a, b, young, seed=1).meaning


def test_a_lost_group_that_no_single_column_shows() -> None:
    """Four corners of two columns, two of which stay empty: each column alone keeps its low and its high half."""
    rng = stream(8, "groups")

    def rows(n: int, corners: list[tuple[int, int]]) -> Dataset:
        at = np.array(corners)[rng.integers(len(corners), size=n)] + rng.normal(0, 0.1, (n, 2))
        return table({"x": ("number", at[:, 0].tolist()), "y": ("number", at[:, 1].tolist())})

    four = [(0, 0), (0, 5), (5, 0), (5, 5)]
    train, holdout, made = rows(400, four), rows(400, four), rows(400, [(0, 5), (5, 0)])
    comparison = Comparison.of(train, holdout, made)
    score = ModeCollapse().compute_on(comparison, seed=1)
    assert score.value > 0.15
    ways = kinds(comparison, comparison.joint[0], "synthetic", 1)
    assert [way.lost_share > 0 for way in ways] == [True, False, False]


def test_repetition_is_found() -> None:
    a, b, c = population(300, 1), population(300, 2), population(300, 3)
    score = ModeCollapse().compute(a, b, repeated(c, 150), seed=1)
    assert score.value == pytest.approx(0.5, abs=0.02) and "repeat" in score.meaning
    assert ModeCollapse().compute(a, b, repeated(c, 1), seed=1).value > 0.9
    few = table({"x": ("category", ["a", "b", "c"] * 40)})  # where real rows repeat, so may synthetic ones
    assert ModeCollapse().compute(few, few, few, seed=1).value == 0


def test_false_alarms_of_mode_collapse() -> None:
    values = [
        ModeCollapse().compute(*(population(200, 7 * seed + i) for i in range(3)), seed=seed).value
        for seed in range(30)
    ]
    assert sum(v > 0.01 for v in values) <= 1


# ---------------------------------------------------------------------- novelty
def test_novelty_by_hand() -> None:
    def rows(*cells: tuple[float | None, str | None]) -> Dataset:
        numbers, levels = zip(*cells)
        return table({"x": ("number", list(numbers)), "y": ("category", list(levels))})

    real = [(float(i), "a") for i in range(10)]
    train = rows(*real[:-3], (-0.5, None), (None, "b"), (0.0, "b"))
    holdout = rows(*[(float(i) + 0.5, "a") for i in range(10)])
    made = rows(
        (0.0, "a"), (None, "b"), (-0.5, None),  # copies
        (0.0, None), (0.0, None), (0.0, None),  # new, and twice repeated
        (None, None), (-1.0, "b"), (-0.0, "b"), (7.0, "b"),  # new, new, a copy (0 and -0 are equal), new
    )  # fmt: skip
    score = Novelty().compute(train, holdout, made, seed=1)
    assert score.value == pytest.approx(0.4)
    assert score.reference == 1
    assert score.details["copies_of_training_rows"] == pytest.approx(0.4)
    assert score.details["repeated"] == pytest.approx(0.2)


@pytest.mark.parametrize("shape", TABLES)
def test_rows_are_numbered_as_they_are_equal(shape: int) -> None:
    comparison = compared(shape, 40)
    samples = list(comparison.joint[0].samples.values())
    numbers = np.concatenate(numbered(*samples))
    rows = [
        (tuple(None if np.isnan(v) else v for v in s.raw[i]), tuple(s.codes[i])) for s in samples for i in range(s.n)
    ]
    for i, row in enumerate(rows):
        assert [numbers[i] == other for other in numbers] == [row == other for other in rows]


def test_novelty_of_copies_and_repetition() -> None:
    a, b, c = population(200, 1), population(200, 2), population(200, 3)
    assert Novelty().compute(a, b, c, seed=1).value == 1
    assert Novelty().compute(a, b, a, seed=1).value == 0
    half = with_rows(c, c.table.head(100), a.table.head(100))
    assert Novelty().compute(a, b, half, seed=1).value == pytest.approx(0.5)
    assert Novelty().compute(a, b, repeated(c, 10), seed=1).value == pytest.approx(0.05)


# ---------------------------------------------------------------------- all three
def test_order_of_rows() -> None:
    a, b, c = population(150, 1), population(150, 2), population(150, 3)
    for metric in METRICS:
        one = metric().compute(a, b, c, seed=1)
        assert metric().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == one.to_dict()


def test_rare_levels_are_not_named() -> None:
    """A level of four people marks a lost mode, and is not shown."""
    rare = ["rare"] * (MIN_SUBJECTS - 1)
    real = table(
        {"y": ("category", ["a"] * 60 + ["b"] * 40 + rare), "x": ("integer", [*range(100), 900, 901, 902, 903])}
    )
    made = table({"y": ("category", ["a"] * 104), "x": ("integer", [*range(60), *range(44)])})
    for metric in METRICS:
        assert "rare" not in str(metric().compute_on(Comparison.of(real, real, made), seed=1).to_dict())
