"""Log-cluster: the formula by hand, what it finds, and what it says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.evaluation.fidelity.clusters import FLOOR, LogCluster, centres, grouping, log_gap
from ehrsatz.seeds import stream
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, unrelated, with_rows


@pytest.mark.parametrize("shape", TABLES)
def test_agrees_with_the_formula(shape: int) -> None:
    """Woo et al. 2009: mean over groups of (n_synthetic / n - c)^2; the groups are those that were found."""
    comparison = compared(shape, 60, shift=shape % 3)
    view = comparison.joint[0]
    found = grouping(comparison, view, "synthetic", 1)
    gaps = []
    for g in range(found.k):
        real, made = int((found.real == g).sum()), int((found.other == g).sum())
        if real + made:
            gaps.append((made / (real + made) - 0.5) ** 2)
    assert found.value == pytest.approx(np.log(max(FLOOR, np.mean(gaps))), abs=1e-6)
    score = LogCluster().compute_on(comparison, seed=1)
    assert score.value == found.value and score.params["clusters"] == found.k


def test_by_hand() -> None:
    real, made = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 1])
    assert log_gap(real, made, 2) == pytest.approx(np.log(((1 / 3 - 0.5) ** 2 + (4 / 7 - 0.5) ** 2) / 2))
    assert log_gap(real, real, 2) == pytest.approx(np.log(FLOOR))
    assert log_gap(np.zeros(5, int), np.ones(5, int), 3) == pytest.approx(np.log(0.25))  # an empty group is left out


def test_groups_are_those_of_lloyd() -> None:
    rng = stream(1, "groups")
    x = np.concatenate([rng.normal(c, 0.1, (30, 2)) for c in (-5, 0, 5)]).astype(np.float32)
    label, middle = centres(x, 3, 1)
    assert [len(np.unique(label[i : i + 30])) for i in (0, 30, 60)] == [1, 1, 1] and len(np.unique(label)) == 3
    assert sorted(middle[:, 0]) == pytest.approx([-5, 0, 5], abs=0.1)
    assert len(centres(np.zeros((9, 2), np.float32), 4, 1)[1]) == 1


def test_same_unrelated_missing_group_and_order() -> None:
    a, b, c = population(600, 1), population(600, 2), population(600, 3)
    fresh = LogCluster().compute(a, b, c, seed=1)
    assert fresh.value < -4 and fresh.value == pytest.approx(fresh.reference, abs=1.5)
    assert LogCluster().compute(a, b, unrelated(c), seed=1).value > fresh.value
    assert LogCluster().compute(a, b, b, seed=1).value == pytest.approx(np.log(FLOOR))
    assert LogCluster().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == fresh.to_dict()
    a, b, c = (population(1500, seed) for seed in (4, 5, 6))
    few = c.table.filter((pl.col("site") != "A") | (pl.int_range(pl.len()) % 10 == 0))
    lopsided = LogCluster().compute(a, b, with_rows(c, few), seed=1)
    assert lopsided.value > fresh.value + 0.5
    assert "site = A" in lopsided.meaning and "too few" in lopsided.meaning
    assert "There are" not in fresh.meaning
    assert all(group["rows"] >= 5 for group in lopsided.details["groups"])
