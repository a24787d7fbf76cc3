"""Coverage, density, precision and recall against plain loops over the papers' definitions."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.evaluation.fidelity.coverage import NEIGHBOURS, Coverage, Density, Precision, Recall
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Sample
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, table, unrelated


def gower(a: Sample, i: int, b: Sample, j: int) -> float:
    total = 0.0
    for slot in range(a.rank.shape[1]):
        x, y = float(a.rank[i, slot]), float(b.rank[j, slot])
        total += (0.0 if x == y else 1.0) if MISSING_RANK in (x, y) else abs(x - y)
    for slot in range(a.codes.shape[1]):
        total += float(a.codes[i, slot] != b.codes[j, slot])
    return total / (a.rank.shape[1] + a.codes.shape[1])


def prdc(real: Sample, made: Sample, k: int) -> dict[str, float]:
    """Kynkäänniemi et al. 2019, equations 1 to 3; Naeem et al. 2020, equations 5 and 6."""

    def radii(one: Sample) -> list[float]:
        return [
            sorted(gower(one, i, one, j) for j in range(one.n) if j != i)[min(k, one.n - 1) - 1] for i in range(one.n)
        ]

    cross = [[gower(real, i, made, j) for j in range(made.n)] for i in range(real.n)]
    around_real, around_made, near = radii(real), radii(made), 1e-6
    hits = [[cross[i][j] <= around_real[i] + near for j in range(made.n)] for i in range(real.n)]
    return {
        "coverage": np.mean([any(row) for row in hits]),
        "density": np.sum(hits) / (min(k, real.n - 1) * made.n),
        "precision": np.mean([any(hits[i][j] for i in range(real.n)) for j in range(made.n)]),
        "recall": np.mean([any(cross[i][j] <= around_made[j] + near for j in range(made.n)) for i in range(real.n)]),
    }


@pytest.mark.parametrize("shape", TABLES)
def test_agrees_with_the_definitions(shape: int) -> None:
    comparison = compared(shape, 30, shift=shape % 3)
    samples = comparison.joint[0].samples
    expected = prdc(samples["holdout"], samples["synthetic"], NEIGHBOURS)
    ceiling = prdc(samples["holdout"], samples["train"], NEIGHBOURS)
    for metric in (Coverage(), Density(), Precision(), Recall()):
        score = metric.compute_on(comparison, seed=1)
        assert score.value == pytest.approx(expected[metric.name], abs=1e-6), metric.name
        assert score.reference == pytest.approx(ceiling[metric.name], abs=1e-6), metric.name


def test_by_hand() -> None:
    """Ten real rows in a line and the same rows: with five neighbours everything is covered."""
    line = table({"x": ("integer", list(range(10)))})
    train = table({"x": ("integer", list(range(100, 110)))})
    comparison = Comparison.of(train, line, line)
    assert Coverage().compute_on(comparison, seed=1).value == 1
    assert Precision().compute_on(comparison, seed=1).value == 1
    assert Recall().compute_on(comparison, seed=1).value == 1
    # reach: 5 at the ends, 4 beside them, 3 in the middle; a synthetic row lies in pairs / 10 neighbourhoods
    reach = [sorted(abs(i - j) for j in range(10) if j != i)[4] for i in range(10)]
    pairs = sum(abs(i - j) <= reach[i] for i in range(10) for j in range(10))
    assert Density().compute_on(comparison, seed=1).value == pytest.approx(pairs / 50)


def test_far_rows_and_one_repeated_row() -> None:
    a, b = population(200, 1), population(200, 2)
    once = table({c.name: (c.kind, [b.table[c.name][0]] * 200) for c in b.schema.tables[0].columns}, "t")
    comparison = Comparison.of(a, b, once)
    assert Coverage().compute_on(comparison, seed=1).value < 0.15
    assert Precision().compute_on(comparison, seed=1).value == 1
    assert Recall().compute_on(comparison, seed=1).value < 0.1


def test_order_baseline_and_scale() -> None:
    a, b, c = population(150, 1), population(150, 2), population(150, 3)
    for metric in (Coverage(), Density(), Precision(), Recall()):
        score = metric.compute(a, b, c, seed=1)
        again = metric.compute(shuffled(a), shuffled(b), shuffled(c), seed=1)
        assert again.to_dict() == score.to_dict()
        assert score.interval is not None and score.interval[0] <= score.value <= score.interval[1]
        apart = metric.compute(a, b, unrelated(c), seed=1)
        if metric.name != "recall":
            assert apart.value < score.value
            assert score.baseline < score.reference
            assert apart.value == pytest.approx(score.baseline, abs=0.12)
