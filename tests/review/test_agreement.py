"""Kappa and equivalence against libraries that have them, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ehrsatz.review.agreement import clustered_equivalence, cohen_kappa, difference, equivalence, fleiss_kappa
from ehrsatz.seeds import stream


def test_kappa_by_hand() -> None:
    value, (low, high) = cohen_kappa([0, 0, 1, 1, 0], [0, 1, 1, 1, 0])  # agreed 0.8, by chance 0.4 * 0.6 + 0.6 * 0.4
    assert value == pytest.approx((0.8 - 0.48) / (1 - 0.48))
    assert low < value < high
    assert cohen_kappa([0, 1, 0, 1], [0, 1, 0, 1])[0] == pytest.approx(1.0)
    assert cohen_kappa([0, 1, 0, 1], [1, 0, 1, 0])[0] == pytest.approx(-1.0)
    assert cohen_kappa([1, 1, 1], [1, 1, 1]) is None  # one answer throughout: nothing to agree on
    assert cohen_kappa([], []) is None


@pytest.mark.parametrize("seed", range(20))
def test_cohen_agrees_with_scikit_learn_and_statsmodels(seed: int) -> None:
    from sklearn.metrics import cohen_kappa_score
    from statsmodels.stats.inter_rater import cohens_kappa

    rng = stream(seed, "cohen")
    n, k = int(rng.integers(10, 80)), int(rng.integers(2, 4))
    first = rng.integers(0, k, n)
    second = np.where(rng.random(n) < 0.6, first, rng.integers(0, k, n))
    value, (low, high) = cohen_kappa(first.tolist(), second.tolist())
    assert value == pytest.approx(cohen_kappa_score(first, second), abs=1e-6)
    oracle = cohens_kappa(np.histogram2d(first, second, bins=[np.arange(k + 1) - 0.5] * 2)[0])
    assert low == pytest.approx(max(-1, oracle.kappa_low), abs=1e-6)
    assert high == pytest.approx(min(1, oracle.kappa_upp), abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_fleiss_agrees_with_statsmodels(seed: int) -> None:
    from statsmodels.stats.inter_rater import fleiss_kappa as oracle

    rng = stream(seed, "fleiss")
    n, raters = int(rng.integers(10, 60)), int(rng.integers(3, 7))
    yes = rng.binomial(raters, rng.random(n))
    counts = np.column_stack([raters - yes, yes]).astype(np.int64)
    value, (low, high) = fleiss_kappa(counts)
    assert value == pytest.approx(oracle(counts), abs=1e-6)
    assert low <= value <= high


def test_fleiss_without_disagreement() -> None:
    assert fleiss_kappa(np.array([[3, 0], [3, 0], [3, 0]])) is None
    assert fleiss_kappa(np.array([[3, 0], [0, 3], [3, 0], [0, 3]]))[0] == pytest.approx(1.0)


def test_the_interval_of_fleiss_covers() -> None:
    inside, runs = 0, 200
    for seed in range(runs):
        rng = stream(seed, "covers")
        chance = rng.choice([0.2, 0.8], 60)  # true kappa: var of the chance over p (1 - p) = 0.09 / 0.25
        yes = rng.binomial(3, chance)
        _, (low, high) = fleiss_kappa(np.column_stack([3 - yes, yes]).astype(np.int64))
        inside += low <= 0.36 <= high
    assert 0.90 <= inside / runs <= 0.99


@pytest.mark.parametrize(("hits", "n", "margin"), [(50, 100, 0.1), (104, 200, 0.1), (90, 100, 0.1), (5, 10, 0.2)])
def test_equivalence_agrees_with_statsmodels(hits: int, n: int, margin: float) -> None:
    from statsmodels.stats.proportion import binom_tost

    oracle, _, _ = binom_tost(hits, n, 0.5 - margin, 0.5 + margin)
    assert equivalence(hits, n, margin) == pytest.approx(oracle, abs=1e-9)


def test_equivalence_needs_records() -> None:
    assert equivalence(10, 20, 0.1) > 0.05  # half right, but twenty records show nothing
    assert equivalence(200, 400, 0.1) < 0.001
    assert equivalence(20, 20, 0.1) > 0.99


def test_clustered_equivalence_is_wary_of_raters_who_agree() -> None:
    rng = stream(1, "cluster")
    alone = (rng.random(200) < 0.5).astype(float)
    alone[:100], alone[100:] = 1.0, 0.0
    record = np.arange(200)
    one = clustered_equivalence(alone, record, 0.1)
    twice = clustered_equivalence(np.r_[alone, alone], np.r_[record, record], 0.1)
    assert one == pytest.approx(twice)  # a second rater who says the same adds nothing
    assert one == pytest.approx(equivalence(100, 200, 0.1), abs=0.002)
    assert clustered_equivalence(np.ones(10), np.arange(10), 0.1) is None


def test_difference_by_hand() -> None:
    low, high = difference(0.6, (0.5, 0.7), 0.4, (0.3, 0.5))
    assert low == pytest.approx(0.2 - math.hypot(0.1, 0.1))
    assert high == pytest.approx(0.2 + math.hypot(0.1, 0.1))


@pytest.mark.parametrize(("a", "n", "b", "m"), [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 0, 29)])
def test_difference_agrees_with_statsmodels(a: int, n: int, b: int, m: int) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    from ehrsatz.evaluation.intervals import wilson

    oracle = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff")
    assert difference(a / n, wilson(a, n), b / m, wilson(b, m)) == pytest.approx(oracle, abs=1e-6)
