"""Measures of predictions: by hand on five rows, against scikit-learn and statsmodels on twenty random tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from ehrsatz.evaluation.utility.calibration import bins_of, expected_error, slope_of
from ehrsatz.evaluation.utility.measures import OF_CLASSES, OF_NUMBERS, POINTS, Answer, Ordered, call
from ehrsatz.seeds import stream

TABLES = range(20)


def five() -> Answer:
    y = np.array([0, 0, 1, 1, 1])
    p = np.array([0.1, 0.6, 0.4, 0.8, 0.9])
    return Answer(y, np.column_stack([1 - p, p]), np.array([0.4, 0.6]), [1])


def random_answer(seed: int, k: int) -> tuple[Answer, NDArray[np.float64]]:
    """Return probabilities of k classes that know something, some of them equal, and whole-number weights."""
    rng = stream(seed, "answer", k)
    n = int(rng.integers(40, 200))
    y = np.concatenate([np.repeat(np.arange(k), 5), rng.integers(0, k, n - 5 * k)])
    raw = rng.normal(size=(n, k)).round(1)
    raw[np.arange(n), y] += 1.0
    p = np.exp(raw)
    p /= p.sum(axis=1, keepdims=True)
    shares = rng.dirichlet(np.full(k, 5.0))
    return Answer(y, p, shares, [1] if k == 2 else list(range(k))), rng.integers(0, 4, n).astype(float)


# ---------------------------------------------------------------------- by hand
def test_classes_by_hand() -> None:
    one = five()
    assert one.called.tolist() == [0, 1, 0, 1, 1]  # three of five are called, as 60 % of the rows learned from
    expected = {
        "AUC": 5 / 6,  # of six pairs only 0.4 and 0.6 are the wrong way round
        "average precision": (1 + 1 + 3 / 4) / 3,
        "accuracy": 3 / 5,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "specificity": 1 / 2,
        "F1": 2 / 3,
        "Brier score": (0.01 + 0.36 + 0.36 + 0.04 + 0.01) / 5,
    }
    assert {name: one.value(name) for name in OF_CLASSES} == pytest.approx(expected)
    assert one.confusion().tolist() == [[1, 1], [1, 2]]


def test_numbers_by_hand() -> None:
    one = Answer(np.array([-1.0, 0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.0, 2.0, 2.0]), np.empty(0), [])
    assert one.value("MAE") == pytest.approx(3 / 5)
    assert one.value("RMSE") == pytest.approx(math.sqrt(3 / 5))
    assert one.value("R2") == pytest.approx(1 - 3 / 10)
    bad = Answer(one.y, -100 * one.y, np.empty(0), [])
    assert bad.value("R2") == -1.0  # no lower
    assert Answer(np.ones(5), np.zeros(5), np.empty(0), []).value("R2") == 0.0


def test_perfect_and_constant_predictions() -> None:
    y = np.array([0, 1] * 10)
    perfect = Answer(y, np.column_stack([1.0 - y, y]), np.array([0.5, 0.5]), [1])
    assert all(perfect.value(name) == (0 if name == "Brier score" else 1) for name in OF_CLASSES)
    flat = Answer(y, np.tile([0.7, 0.3], (20, 1)), np.array([0.7, 0.3]), [1])
    assert flat.value("AUC") == 0.5 and flat.value("average precision") == 0.5
    assert flat.value("accuracy") == 0.5 and flat.value("recall") == 0 and flat.value("specificity") == 1
    assert math.isnan(flat.value("precision"))  # nothing is called: no precision, and no 0 either


# ---------------------------------------------------------------------- calls
def test_ties_are_called_alike() -> None:
    p = np.array([0.2, 0.2, 0.2, 0.9])
    both = np.column_stack([1 - p, p])
    assert call(both, np.array([0.5, 0.5]), 1).tolist() == [0, 0, 0, 1]  # one of four is nearer to half than four
    assert call(both, np.array([0.1, 0.9]), 1).tolist() == [1, 1, 1, 1]
    assert call(both, np.array([1.0, 0.0]), 1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("seed", TABLES)
def test_classes_are_called_as_often_as_they_were_learned(seed: int) -> None:
    two, _ = random_answer(seed, 2)
    assert np.mean(two.called == 1) == pytest.approx(two.shares[1], abs=0.1)  # some rows tie
    four, _ = random_answer(seed, 4)
    found = np.bincount(four.called, minlength=4) / len(four.called)
    plain = np.bincount(four.guess.argmax(axis=1), minlength=4) / len(four.called)
    assert np.abs(found - four.shares).sum() < 0.12
    assert np.abs(found - four.shares).sum() <= np.abs(plain - four.shares).sum()


def test_a_rare_class_is_called_though_no_probability_reaches_a_half() -> None:
    rng = stream(1, "rare")
    y = (rng.random(2000) < 0.03).astype(int)
    p = np.clip(0.03 + 0.05 * y + rng.normal(0, 0.01, 2000), 0.001, 0.4)
    one = Answer(y, np.column_stack([1 - p, p]), np.array([0.97, 0.03]), [1])
    assert p.max() < 0.5 and one.value("recall") > 0.8


# ---------------------------------------------------------------------- against scikit-learn
@pytest.mark.parametrize("seed", TABLES)
def test_two_classes_agree_with_scikit_learn(seed: int) -> None:
    one, w = random_answer(seed, 2)
    y, p, called = one.y, one.guess[:, 1], one.called
    for weight in (None, w):
        told = {
            "AUC": sk.roc_auc_score(y, p, sample_weight=weight),
            "average precision": sk.average_precision_score(y, p, sample_weight=weight),
            "accuracy": sk.accuracy_score(y, called, sample_weight=weight),
            "precision": sk.precision_score(y, called, sample_weight=weight),
            "recall": sk.recall_score(y, called, sample_weight=weight),
            "specificity": sk.recall_score(y, called, pos_label=0, sample_weight=weight),
            "F1": sk.f1_score(y, called, sample_weight=weight),
            "Brier score": sk.brier_score_loss(y, p, sample_weight=weight),
        }
        assert {name: one.value(name, weight) for name in OF_CLASSES} == pytest.approx(told, abs=1e-6)
    assert one.confusion() == pytest.approx(sk.confusion_matrix(y, called))


@pytest.mark.parametrize("seed", TABLES)
def test_four_classes_agree_with_scikit_learn(seed: int) -> None:
    one, w = random_answer(seed, 4)
    y, p, called = one.y, one.guess, one.called
    hit = np.eye(4)[y]
    for weight in (None, w):
        options = {"average": "macro", "zero_division": 0, "sample_weight": weight}
        told = {
            "AUC": sk.roc_auc_score(y, p, multi_class="ovr", average="macro", sample_weight=weight),
            "average precision": sk.average_precision_score(hit, p, average="macro", sample_weight=weight),
            "accuracy": sk.accuracy_score(y, called, sample_weight=weight),
            "precision": sk.precision_score(y, called, **options),
            "recall": sk.recall_score(y, called, **options),
            "specificity": np.mean(
                [sk.recall_score(y == k, called == k, pos_label=False, sample_weight=weight) for k in range(4)]
            ),
            "F1": sk.f1_score(y, called, **options),
            "Brier score": np.average(((p - hit) ** 2).sum(axis=1), weights=weight) / 2,
        }
        assert {name: one.value(name, weight) for name in OF_CLASSES} == pytest.approx(told, abs=1e-6)


@pytest.mark.parametrize("seed", TABLES)
def test_numbers_agree_with_scikit_learn(seed: int) -> None:
    rng = stream(seed, "numbers")
    y = rng.normal(-3, 10, 150)
    guess = 0.7 * y + rng.normal(0, 5, 150)
    one, w = Answer(y, guess, np.empty(0), []), rng.integers(0, 4, 150).astype(float)
    for weight in (None, w):
        told = {
            "R2": sk.r2_score(y, guess, sample_weight=weight),
            "RMSE": sk.mean_squared_error(y, guess, sample_weight=weight) ** 0.5,
            "MAE": sk.mean_absolute_error(y, guess, sample_weight=weight),
        }
        assert {name: one.value(name, weight) for name in OF_NUMBERS} == pytest.approx(told, abs=1e-6)


@pytest.mark.parametrize("seed", TABLES)
def test_curves_agree_with_scikit_learn(seed: int) -> None:
    one, _ = random_answer(seed, 2)
    ordered = Ordered(one.y == 1, one.guess[:, 1])
    false, true, _ = sk.roc_curve(one.y, one.guess[:, 1], drop_intermediate=False)
    assert ordered.roc() == pytest.approx(np.interp(POINTS, false, true), abs=6e-5)
    precision, recall, _ = sk.precision_recall_curve(one.y, one.guess[:, 1])
    first = [precision[::-1][1:][np.flatnonzero(recall[::-1][1:] >= x - 1e-12)[0]] for x in POINTS]
    assert ordered.precision_recall() == pytest.approx(first, abs=6e-5)


# ---------------------------------------------------------------------- calibration
def test_calibration_by_hand() -> None:
    hit = np.array([True, False, False, False] * 10)
    assert expected_error(hit, np.full(40, 0.25)) == pytest.approx(0)
    assert expected_error(hit, np.full(40, 0.75)) == pytest.approx(0.5)
    p = np.repeat([0.1, 0.9], 20)
    assert len(np.unique(bins_of(p))) == 2  # equal probabilities stay together
    assert expected_error(np.repeat([False, True], 20), p) == pytest.approx(0.1)
    assert slope_of(hit, np.full(40, 0.25)) is None  # a constant has no slope
    assert slope_of(np.ones(40, bool), np.linspace(0.1, 0.9, 40)) is None
    assert slope_of(np.repeat([False, True], 20), np.linspace(0.1, 0.9, 40)) is None  # separated


@pytest.mark.parametrize("seed", TABLES)
def test_the_calibration_error_agrees_with_scikit_learn(seed: int) -> None:
    rng = stream(seed, "calibrated")
    p = rng.random(400)  # no ties: bins of forty rows
    hit = rng.random(400) < p**1.3
    observed, predicted = calibration_curve(hit, p, n_bins=10, strategy="quantile")
    assert expected_error(hit, p) == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-6)


@pytest.mark.parametrize("seed", TABLES)
def test_slope_and_intercept_agree_with_statsmodels(seed: int) -> None:
    import statsmodels.api as sm

    rng = stream(seed, "slope")
    x = rng.normal(0, 1.5, 300)
    hit = rng.random(300) < 1 / (1 + np.exp(-(0.6 * x - 0.4)))
    found = slope_of(hit, 1 / (1 + np.exp(-x)))
    assert found is not None
    both = sm.Logit(hit.astype(float), sm.add_constant(x)).fit(disp=0, tol=1e-12).params
    large = sm.GLM(hit.astype(float), np.ones(300), family=sm.families.Binomial(), offset=x).fit(tol=1e-12).params
    assert found == pytest.approx((both[1], both[0], large[0]), abs=1e-6)
