"""Values known by hand on a few rows, and against libraries that measure the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ehrsatz.evaluation.distance import nearest
from ehrsatz.evaluation.fidelity.association import Association, Pairs
from ehrsatz.evaluation.fidelity.coverage import Coverage, Density
from ehrsatz.evaluation.fidelity.margins import Margins, WorstMargin
from ehrsatz.evaluation.fidelity.missingness import Missingness, MissingPairs
from ehrsatz.evaluation.intervals import Ranked, auc, deal, jackknife_interval, weights, wilson
from ehrsatz.evaluation.privacy.copies import DcrShare, ExactCopies
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.tables import population, table

FIVE = table(
    {
        "lab": ("number", [-3.0, -1.0, 0.0, 2.0, 4.0]),
        "sex": ("category", ["F", "F", "M", "M", None]),
        "day": ("date", [None, None, None, None, None]),
    }
)
OTHER = table(
    {
        "lab": ("number", [-3.0, 0.0, 0.0, 2.0, None]),
        "sex": ("category", ["F", "M", "M", "M", "M"]),
        "day": ("date", [None, None, None, None, None]),
    }
)


def test_margins_by_hand() -> None:
    score = Margins().compute(FIVE, FIVE, OTHER, seed=1)
    # lab: the distribution functions differ most at -1: 2/5 against 1/4; and at 2: 4/5 against 1. KS = 0.2
    # sex: F 1/2 against 1/5. TV = 0.3. day has no present cell anywhere and is left out
    assert score.value == pytest.approx((0.8 + 0.7) / 2)
    assert score.reference == pytest.approx(1.0)
    by_column = {one["column"]: one["similarity"] for one in score.details["columns"]}
    assert by_column == {"lab": pytest.approx(0.8), "sex": pytest.approx(0.7)}
    assert WorstMargin().compute(FIVE, FIVE, OTHER, seed=1).details["column"] == "sex"


def test_missingness_by_hand() -> None:
    score = Missingness().compute(FIVE, FIVE, OTHER, seed=1)
    assert score.value == pytest.approx((0.2 + 0.2 + 0.0) / 3)  # lab 0 against 1/5, sex 1/5 against 0, day 1 against 1
    pairs = MissingPairs().compute(FIVE, FIVE, OTHER, seed=1)
    assert pairs.value == pytest.approx((0.0 + 0.2 + 0.2) / 3)  # lab+sex none; lab+day 1/5; sex+day 1/5


def test_exact_copies_by_hand() -> None:
    train = table({"a": ("integer", [1, 2, 3, 4, 5]), "b": ("category", ["x", "x", None, "y", "y"])})
    holdout = table({"a": ("integer", [1, 7, 8, 9, 6]), "b": ("category", ["x", "x", "y", "y", None])})
    made = table({"a": ("integer", [1, 3, 3, 6, 5]), "b": ("category", ["x", None, "y", None, "x"])})
    score = ExactCopies().compute(train, holdout, made, seed=1)
    assert score.value == pytest.approx(2 / 5)  # (1, x) and (3, missing)
    assert score.reference == pytest.approx(2 / 5)  # (1, x) and (6, missing)
    assert score.details["excess"] == pytest.approx(0.0)


def test_nearest_rows_by_hand() -> None:
    real = table({"a": ("number", [0.0, 1.0, 2.0, 3.0, 4.0]), "b": ("category", ["x", "x", "y", "y", None])})
    made = table({"a": ("number", [1.0, None]), "b": ("category", ["x", None])})
    view = Comparison.of(real, table({"a": ("number", []), "b": ("category", [])}), made).views[0]
    d = nearest(view.samples["synthetic"], view.samples["train"], 5)
    # ranks 0.1, 0.3, 0.5, 0.7, 0.9; the missing number is at distance 1 from each
    expected = [
        sorted([0.0 + 0, 0.2 + 0, 0.2 + 1, 0.4 + 1, 0.6 + 1]),
        sorted([1 + 1, 1 + 1, 1 + 1, 1 + 1, 1 + 0]),
    ]
    assert d == pytest.approx(np.array(expected) / 2, abs=1e-6)


def test_association_agrees_with_scipy() -> None:
    a, b = population(400, 1, gaps=False), population(300, 2, gaps=False)
    score = Association().compute(a, a, b, seed=1)
    drawn = score.details["maps"][0]
    i, j = drawn["columns"].index("age"), drawn["columns"].index("pressure")
    for key, dataset in (("real", a), ("synthetic", b)):
        expected = stats.spearmanr(dataset.table["age"], dataset.table["pressure"]).statistic
        assert drawn[key][i][j] == pytest.approx(expected, abs=6e-4)
    k, m = drawn["columns"].index("sex"), drawn["columns"].index("event")
    assert drawn["real"][k][m] < 0.15
    assert Association().compute(a, a, a, seed=1).value == pytest.approx(0, abs=1e-12)


def test_cramer_of_a_perfect_pair_is_near_one() -> None:
    levels = ["u", "v", "w"] * 40
    twice = table({"a": ("category", levels), "b": ("category", levels)})
    broken = table({"a": ("category", levels), "b": ("category", levels[1:40] + levels[:1] + levels[40:])})
    score = Association().compute(twice, twice, broken, seed=1)
    assert score.details["maps"][0]["real"][0][1] == pytest.approx(1.0, abs=0.02)
    assert score.value is not None and score.value > 0.1


def test_pairs_by_hand() -> None:
    a = table({"a": ("category", ["x", "y"] * 10), "b": ("category", ["x", "y"] * 10)})
    b = table({"a": ("category", ["x", "y"] * 10), "b": ("category", ["y", "x"] * 10)})
    assert Pairs().compute(a, a, b, seed=1).value == 0  # the margins agree, no pair does
    assert Pairs().compute(a, a, a, seed=1).value == 1


def test_auc_agrees_with_scikit_learn() -> None:
    rng = stream(3, "auc")
    for _ in range(5):
        y = rng.random(200) < 0.3
        s = np.round(rng.normal(size=200) + y, 1)
        w = rng.integers(0, 4, 200).astype(float)
        assert auc(y, s) == pytest.approx(roc_auc_score(y, s))
        assert Ranked(y, s).auc(w) == pytest.approx(roc_auc_score(y, s, sample_weight=w))
    assert auc(np.array([True, True]), np.array([1.0, 2.0])) == 0.5


def test_wilson_agrees_with_scipy() -> None:
    for hits, n in ((0, 10), (3, 17), (50, 50)):
        interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((interval.low, interval.high))


def test_the_jackknife_of_a_mean_has_its_standard_error() -> None:
    rng = stream(5, "jackknife")
    x = rng.normal(10, 2, 2000)
    part = deal(np.arange(2000), rng)
    without = np.array([x[part != g].mean() for g in range(20)])
    interval = jackknife_interval(float(x.mean()), without, low=-math.inf, high=math.inf)
    assert interval is not None
    half = (interval[1] - interval[0]) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 19) * x.std() / math.sqrt(2000), rel=0.5)
    assert jackknife_interval(1.0, np.ones(1)) is None


def test_bootstrap_weights_keep_subjects_together() -> None:
    group = np.array([0, 0, 1, 2, 2, 2])
    for weight in weights(group, stream(1, "w"), n_boot=20):
        assert weight[0] == weight[1] and weight[3] == weight[4] == weight[5]


def test_coverage_of_the_same_rows_is_one_and_of_far_rows_zero() -> None:
    real = table({"a": ("number", [float(i) for i in range(40)])})
    far = table({"a": ("number", [1e9 + i for i in range(40)])})
    assert Coverage().compute(real, real, real, seed=1).value == 1
    assert Coverage().compute(real, real, far, seed=1).value == pytest.approx(5 / 40, abs=0.06)  # ranks stop at 1
    people, others = population(400, 1), population(400, 2)
    assert Density().compute(people, people, others, seed=1).value == pytest.approx(1.0, abs=0.15)
    assert Coverage().compute(people, people, others, seed=1).value == pytest.approx(1 - 0.5**5, abs=0.03)


def test_dcr_share_by_hand() -> None:
    train = table({"a": ("number", [float(i) for i in range(0, 20, 2)])})
    holdout = table({"a": ("number", [float(i) for i in range(1, 21, 2)])})
    made = table({"a": ("number", [0.0, 2.0, 4.0, 6.0, 8.0, 1.0, 3.0, 5.0, 10.0, 12.0])})
    assert DcrShare().compute(train, holdout, made, seed=1).value == pytest.approx(0.7)
