"""Patterns of missing cells and what they hang on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from ehrsatz.evaluation.fidelity.missingness import MissingPairs
from ehrsatz.evaluation.fidelity.patterns import MissingDependence, MissingPatterns
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.fidelity.randoms import SEEDS
from evaluation.tables import population, shuffled, table


def gaps(patterns: list[str]) -> object:
    return table(
        {
            name: ("number", [None if row[i] == "." else float(j) for j, row in enumerate(patterns)])
            for i, name in enumerate("abc")
        }
    )


def test_patterns_by_hand() -> None:
    real, made = gaps(["...", "xx.", "xxx", "xxx", "x.x"]), gaps(["xx.", "xx.", "xxx", "xxx", "..x"])
    score = MissingPatterns().compute(real, real, made, seed=1)
    assert score.value == pytest.approx(1 / 5 + 2 / 5)  # xx. and xxx are common
    assert score.reference == pytest.approx(1.0)
    rate = {".": np.array([1, 2, 2]) / 5, "x": np.array([4, 3, 3]) / 5}
    share = {"...": 0.2, "xx.": 0.2, "xxx": 0.4, "x.x": 0.2}
    alone = {row: np.prod([rate[cell][i] for i, cell in enumerate(row)]) for row in share}
    assert score.baseline == pytest.approx(sum(min(share[row], alone[row]) for row in share))


def test_a_pattern_that_no_pair_shows() -> None:
    even, odd = gaps(["xxx", "x..", ".x.", "..x"] * 10), gaps(["...", ".xx", "x.x", "xx."] * 10)
    assert MissingPairs().compute(even, even, odd, seed=1).value == pytest.approx(0.0)
    assert MissingPatterns().compute(even, even, odd, seed=1).value == 0


def test_nothing_is_missing() -> None:
    whole = gaps(["xxx"] * 12)
    score = MissingPatterns().compute(whole, whole, whole, seed=1)
    assert score.value == 1 and "No cell" in score.meaning
    score = MissingDependence().compute(whole, whole, whole, seed=1)
    assert score.status == "not_applicable" and "missing" in score.meaning


def test_patterns_of_fewer_than_five_subjects_are_not_told() -> None:
    real = gaps(["xxx"] * 60 + ["x.x"] * 20 + ["xx."] * 3 + ["..."] * 4)
    score = MissingPatterns().compute(real, real, real, seed=1)
    told = score.details["patterns"]
    assert [one["missing"] for one in told] == [[], ["b"], None]
    assert told[2]["real"] == pytest.approx(7 / 87)
    few = gaps(["xxx"] * 60 + ["x.x"] * 20 + ["xx."] * 3)  # the three would be what is left to 100 %
    told = MissingPatterns().compute(few, few, few, seed=1).details["patterns"]
    assert [one["missing"] for one in told] == [[], None]


@pytest.mark.parametrize("seed", SEEDS)
def test_patterns_agree_with_counting_rows(seed: int) -> None:
    rng = stream(seed, "patterns")
    rows = [
        ["".join(rng.choice(["x", "."], 3, p=p)) for _ in range(n)] for n, p in ((150, [0.7, 0.3]), (90, [0.8, 0.2]))
    ]
    score = MissingPatterns().compute(gaps(rows[0]), gaps(rows[0]), gaps(rows[1]), seed=1)
    a, b = (Counter(one) for one in rows)
    assert score.value == pytest.approx(sum(min(a[row] / 150, b[row] / 90) for row in a), abs=1e-6)


def depending(n: int, seed: int, strength: float) -> object:
    rng = stream(seed, "depending")
    age = rng.normal(60, 10, n).round(1)
    sex = rng.choice(["F", "M"], n)
    gone = rng.random(n) < 1 / (1 + np.exp(-strength * ((age - 60) / 10 + 2 * (sex == "F") - 1)))
    lab = [None if g else float(x) for g, x in zip(gone, rng.normal(0, 1, n))]
    return table({"age": ("number", age.tolist()), "sex": ("category", sex.tolist()), "lab": ("number", lab)})


def test_gaps_that_hang_on_age_are_told_from_gaps_at_random() -> None:
    real, alike, random = depending(600, 1, 2.0), depending(600, 2, 2.0), depending(600, 3, 0.0)
    score, apart = (MissingDependence().compute(real, depending(600, 4, 2.0), one, seed=1) for one in (alike, random))
    assert score.value < 0.08 and score.interval[1] < apart.value
    assert apart.value == pytest.approx(apart.baseline, abs=0.08)
    assert {tuple(one["columns"]) for one in apart.details["worst"]} == {("lab", "age"), ("lab", "sex")}


def test_dependence_agrees_with_scipy() -> None:
    real = depending(400, 1, 2.0)
    score = MissingDependence().compute(real, real, depending(400, 2, 0.5), seed=1)
    found = {tuple(one["columns"]): one for one in score.details["worst"]}
    gone = real.table["lab"].is_null().to_numpy()
    expected = stats.spearmanr(gone, real.table["age"].to_numpy()).statistic
    assert found["lab", "age"]["real"] == pytest.approx(expected, abs=1e-6)
    count = stats.contingency.crosstab(gone, real.table["sex"].to_numpy()).count
    chi = stats.chi2_contingency(count, correction=False).statistic / 400
    assert found["lab", "sex"]["real"] == pytest.approx(np.sqrt((chi - 1 / 399) / (1 - 1 / 399)), abs=1e-6)


@pytest.mark.parametrize("metric", (MissingPatterns, MissingDependence), ids=lambda one: one.name)
def test_contract_and_order(metric: type) -> None:
    check_metric(metric, population(600, 3))
    a, b, c = population(200, 1), population(150, 2), population(150, 4)
    assert metric().compute(a, a, a, seed=1).value == pytest.approx(metric.ideal)
    score = metric().compute(a, b, c, seed=1)
    assert metric().compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=1).to_dict() == score.to_dict()
