"""Proportional hazards and concordance: by hand, against lifelines, by brute force, and what has no estimate."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ehrsatz.evaluation.utility.cox import concordance, fit_hazards
from ehrsatz.evaluation.utility.glm import NoEstimate
from ehrsatz.seeds import stream

NAMES = ("a", "b", "c")


def drawn(seed: int, n: int = 200, *, ties: bool = True):
    rng = stream(seed, "cox")
    x = np.column_stack([rng.normal(50, 10, n), rng.normal(size=n), rng.integers(0, 2, n)]).astype(np.float64)
    rate = np.exp(0.02 * (x[:, 0] - 50) + 0.5 * x[:, 1] - 0.4 * x[:, 2])
    event_time, censor_time = rng.exponential(6 / rate), rng.exponential(9, n)
    if ties:
        event_time, censor_time = np.ceil(event_time), np.ceil(censor_time)
    return x, np.minimum(event_time, censor_time), event_time <= censor_time, rng


def frame(x, duration, event):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(x, columns=list(NAMES)).assign(d=duration, e=event)


# ---------------------------------------------------------------------- hazards
def test_two_deaths_by_hand() -> None:
    """x = 1, 0, 1, 0 die in this order: the score is 1 - p4 - p3 + 1 - p2 - 0 with p the weight of x = 1 at risk."""
    x = np.array([[1.0], [0.0], [1.0], [0.0]])
    fit = fit_hazards(x, np.array([1.0, 2, 3, 4]), np.ones(4, bool), ("x",))
    h = np.exp(fit.estimate[0])
    assert (1 - 2 * h / (2 * h + 2)) - h / (h + 2) + (1 - h / (h + 1)) == pytest.approx(0, abs=1e-9)


def test_efron_s_ties_by_hand() -> None:
    """Of x = 1, 0, 1 the first two die at one time: the likelihood is h / ((2 h + 1) (2 h + 1 - (h + 1) / 2))."""
    x = np.array([[1.0], [0.0], [1.0]])
    fit = fit_hazards(x, np.array([1.0, 1, 2]), np.array([True, True, False]), ("x",))
    grid = np.linspace(-3, 3, 60001)
    h = np.exp(grid)
    likelihood = np.log(h) - np.log(2 * h + 1) - np.log((2 * h + 1) - (h + 1) / 2)
    assert fit.estimate[0] == pytest.approx(grid[likelihood.argmax()], abs=1e-4)
    assert fit.likelihood == pytest.approx(likelihood.max(), abs=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_lifelines(seed: int) -> None:
    lifelines = pytest.importorskip("lifelines")
    x, duration, event, _ = drawn(seed)
    fit = fit_hazards(x, duration, event, NAMES)
    oracle = lifelines.CoxPHFitter().fit(frame(x, duration, event), "d", "e", fit_options={"precision": 1e-12})
    np.testing.assert_allclose(fit.estimate, oracle.params_, atol=1e-6)
    np.testing.assert_allclose(fit.error, oracle.standard_errors_, atol=1e-6)
    assert fit.likelihood == pytest.approx(oracle.log_likelihood_, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_errors_by_subject_agree_with_lifelines_without_ties(seed: int) -> None:
    lifelines = pytest.importorskip("lifelines")
    x, duration, event, rng = drawn(seed, ties=False)
    group = rng.integers(0, 60, len(x))
    fit = fit_hazards(x, duration, event, NAMES, group=group)
    table = frame(x, duration, event).assign(g=group)
    oracle = lifelines.CoxPHFitter().fit(table, "d", "e", cluster_col="g", fit_options={"precision": 1e-12})
    assert fit.errors == "by subject" and fit.subjects == len(np.unique(group))
    np.testing.assert_allclose(fit.error, oracle.standard_errors_, atol=1e-6)


def test_score_residuals_with_ties_add_up_to_nothing_and_match_a_jackknife() -> None:
    """At the estimate the parts of the score cancel, and deleting a subject moves the estimate as they say."""
    from ehrsatz.evaluation.utility.cox import _score_residuals, _Times

    x, duration, event, _ = drawn(3, 150)
    fit = fit_hazards(x, duration, event, NAMES)
    times = _Times.of(duration, event)
    z = (x - x.mean(axis=0))[times.order]
    parts = _score_residuals(z, fit.estimate, times)
    assert np.abs(parts.sum(axis=0)).max() < 1e-6
    told = parts @ fit.covariance
    rows = np.arange(len(x))
    found = np.array(
        [fit.estimate - fit_hazards(*(v[rows != i] for v in (x, duration, event)), NAMES).estimate for i in times.order]
    )
    assert (
        np.corrcoef(told.ravel() / np.tile(fit.error, len(x)), found.ravel() / np.tile(fit.error, len(x)))[0, 1] > 0.99
    )


def test_constant_and_repeated_columns_are_named() -> None:
    x, duration, event, _ = drawn(1)
    fit = fit_hazards(np.column_stack([x, 2 * x[:, 0] + 1, np.ones(len(x))]), duration, event, (*NAMES, "twice", "one"))
    assert fit.names == NAMES
    assert fit.dropped == {"twice": "follows from the columns before it", "one": "has one value only"}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x, d, e: (x, d, np.zeros(len(d), bool)), "there is no event"),
        (lambda x, d, e: (x, d, np.arange(len(d)) < 3), "3 events cannot estimate 3"),
        (lambda x, d, e: (np.ones_like(x), d, e), "no column has more than one value"),
        (
            lambda x, d, e: (np.column_stack([x[:, :2], d > np.median(d)]), d, np.ones(len(d), bool)),
            "certain in some rows by 'c'",
        ),
    ],
)
def test_what_cannot_be_estimated_says_why(change, words: str) -> None:
    x, duration, event, _ = drawn(2)
    with pytest.raises(NoEstimate, match=words):
        fit_hazards(*change(x, duration, event), NAMES)


def test_all_events_and_zero_times_are_fine() -> None:
    x, duration, _, _ = drawn(4)
    fit = fit_hazards(x, duration - 1, np.ones(len(x), bool), NAMES)
    assert np.isfinite(fit.estimate).all()


@pytest.mark.slow
def test_20_000_rows_and_15_columns_in_under_two_seconds() -> None:
    rng = stream(7, "large")
    x = rng.normal(size=(20_000, 15))
    duration = np.ceil(rng.exponential(np.exp(-0.5 * x[:, 0])) * 1000)
    event = rng.random(20_000) < 0.5
    start = time.perf_counter()
    fit_hazards(x, duration, event, tuple(f"x{i}" for i in range(15)))
    assert time.perf_counter() - start < 2


# ---------------------------------------------------------------------- concordance
def test_concordance_by_hand() -> None:
    duration, event = np.array([1.0, 2, 3, 4]), np.array([True, False, True, True])
    out = concordance(duration, event, np.array([4.0, 1, 2, 3]))
    assert out.index == 3 / 4  # pairs: 1-2, 1-3, 1-4 in order, 3-4 not
    assert out.pairs.tolist() == [3, 1, 2, 2]


def test_concordance_of_perfect_reversed_and_equal_scores() -> None:
    duration, event = np.arange(1.0, 9), np.ones(8, bool)
    assert concordance(duration, event, -duration).index == 1
    assert concordance(duration, event, duration).index == 0
    assert concordance(duration, event, np.zeros(8)).index == 0.5
    assert concordance(duration, ~event, duration).index is None
    assert concordance(np.ones(8), event, duration).index is None  # deaths of one time are not compared


@pytest.mark.parametrize("seed", range(20))
def test_concordance_agrees_with_lifelines(seed: int) -> None:
    utils = pytest.importorskip("lifelines.utils")
    x, duration, event, rng = drawn(seed, 120)
    score = np.round(rng.normal(size=len(x)), 1)  # many equal scores
    out = concordance(duration, event, score)
    assert out.index == pytest.approx(utils.concordance_index(duration, -score, event), abs=1e-12)
    without = out.without(np.arange(len(x)))
    rest = np.arange(len(x)) != 5
    assert without[5] == pytest.approx(utils.concordance_index(duration[rest], -score[rest], event[rest]), abs=1e-12)


def test_concordance_does_not_depend_on_the_order_of_rows() -> None:
    x, duration, event, rng = drawn(9, 90)
    order = rng.permutation(len(x))
    first = concordance(duration, event, x[:, 1])
    again = concordance(duration[order], event[order], x[order, 1])
    np.testing.assert_array_equal(first.right[order], again.right)
    np.testing.assert_array_equal(first.pairs[order], again.pairs)
