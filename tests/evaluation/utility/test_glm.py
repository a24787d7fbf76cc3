"""Regressions: by hand, against statsmodels, and what has no estimate."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.evaluation.utility.glm import (
    NoEstimate,
    fit_linear,
    fit_logistic,
    fit_poisson,
    independent_columns,
)
from ehrsatz.seeds import stream

NAMES = ("Intercept", "a", "b", "c")


def drawn(seed: int, n: int = 200):
    rng = stream(seed, "glm")
    x = np.column_stack([np.ones(n), rng.normal(50, 10, n), rng.normal(size=n), rng.integers(0, 2, n)])
    eta = -1 + 0.02 * (x[:, 1] - 50) + 0.5 * x[:, 2] - 0.4 * x[:, 3]
    return rng, x, eta, rng.integers(0, n // 3, n)


# ---------------------------------------------------------------------- by hand
def test_a_line_through_four_points_by_hand() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    fit = fit_linear(np.column_stack([np.ones(4), x]), np.array([0.0, 1.0, 1.0, 2.0]), ("Intercept", "x"))
    assert fit.estimate == pytest.approx([0.1, 0.6])  # slope 3 / 5
    assert fit.error[1] == pytest.approx(np.sqrt(0.2 / 2 / 5))  # residuals -0.1, 0.3, -0.3, 0.1
    assert fit.interval()[1] == pytest.approx(0.6 + np.array([-1, 1]) * 4.302652729911275 * 0.1414213562373095)


def test_a_two_by_two_table_by_hand() -> None:
    x = np.array([0] * 10 + [1] * 10, np.float64)
    y = np.array([1] * 2 + [0] * 8 + [1] * 6 + [0] * 4, np.float64)
    fit = fit_logistic(np.column_stack([np.ones(20), x]), y, ("Intercept", "x"))
    assert fit.estimate[1] == pytest.approx(np.log((6 / 4) / (2 / 8)))  # odds ratio 6
    assert fit.error[1] == pytest.approx(np.sqrt(1 / 2 + 1 / 8 + 1 / 6 + 1 / 4))  # Woolf
    assert fit.events == 8


def test_a_rate_ratio_by_hand() -> None:
    x = np.array([0] * 4 + [1] * 4, np.float64)
    fit = fit_poisson(np.column_stack([np.ones(8), x]), np.array([1, 2, 3, 2, 4, 6, 2, 4.0]), ("Intercept", "x"))
    assert fit.estimate == pytest.approx([np.log(2), np.log(2)])
    assert fit.error[1] == pytest.approx(np.sqrt(1 / 8 + 1 / 16))


# ---------------------------------------------------------------------- statsmodels
@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_statsmodels(seed: int) -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng, x, eta, group = drawn(seed)
    cluster = {"cov_type": "cluster", "cov_kwds": {"groups": group}}
    close = {"rtol": 1e-6, "atol": 1e-9}

    y = eta + rng.normal(size=len(x))
    ours, oracle = fit_linear(x, y, NAMES), sm.OLS(y, x).fit()
    np.testing.assert_allclose(ours.estimate, oracle.params, **close)
    np.testing.assert_allclose(ours.error, oracle.bse, **close)
    np.testing.assert_allclose(ours.p_value(), oracle.pvalues, **close)
    np.testing.assert_allclose(ours.interval(), oracle.conf_int(), **close)
    assert ours.likelihood == pytest.approx(oracle.llf)
    np.testing.assert_allclose(
        fit_linear(x, y, NAMES, errors="HC3").error, sm.OLS(y, x).fit(cov_type="HC3").bse, **close
    )
    ours, oracle = fit_linear(x, y, NAMES, group=group), sm.OLS(y, x).fit(use_t=True, **cluster)
    np.testing.assert_allclose(ours.error, oracle.bse, **close)
    np.testing.assert_allclose(ours.interval(), oracle.conf_int(), **close)

    y = (rng.random(len(x)) < 1 / (1 + np.exp(-eta))).astype(np.float64)
    ours, oracle = fit_logistic(x, y, NAMES), sm.Logit(y, x).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(ours.estimate, oracle.params, **close)
    np.testing.assert_allclose(ours.error, oracle.bse, **close)
    np.testing.assert_allclose(ours.p_value(), oracle.pvalues, **close)
    assert ours.likelihood == pytest.approx(oracle.llf)
    oracle = sm.GLM(y, x, sm.families.Binomial()).fit(tol=1e-12, **cluster)
    np.testing.assert_allclose(fit_logistic(x, y, NAMES, group=group).error, oracle.bse, **close)

    y = rng.poisson(np.exp(eta)).astype(np.float64)
    ours, oracle = fit_poisson(x, y, NAMES), sm.GLM(y, x, sm.families.Poisson()).fit(tol=1e-12)
    np.testing.assert_allclose(ours.estimate, oracle.params, **close)
    np.testing.assert_allclose(ours.error, oracle.bse, **close)
    oracle = sm.GLM(y, x, sm.families.Poisson()).fit(tol=1e-12, **cluster)
    np.testing.assert_allclose(fit_poisson(x, y, NAMES, group=group).error, oracle.bse, **close)


# ---------------------------------------------------------------------- no estimate
def test_columns_that_follow_from_others_are_named() -> None:
    _, x, eta, _ = drawn(1)
    wide = np.column_stack([x, 2 * x[:, 1] - 3, np.zeros(len(x)), x[:, 2] + x[:, 3], np.full(len(x), 7.0)])
    names = (*NAMES, "double", "nobody", "sum", "seven")
    _, kept, dropped = independent_columns(wide, names)
    assert kept == NAMES
    assert dropped["double"] == dropped["sum"] == "follows from the columns before it"
    assert (dropped["nobody"], dropped["seven"]) == ("no row has it", "has one value only")
    fit = fit_linear(wide, eta + np.sin(np.arange(len(x))), names)
    assert fit.names == NAMES and set(fit.dropped) == {"double", "nobody", "sum", "seven"}


def test_a_column_far_from_zero_is_not_taken_for_a_constant() -> None:
    days = 18_000 + np.arange(30) % 3
    x = np.column_stack([np.ones(30), days])
    fit = fit_linear(x, 0.5 * days + np.sin(np.arange(30)), ("Intercept", "day"))
    assert fit.names == ("Intercept", "day")


def perfect(n: int = 40):
    x = np.arange(n, dtype=np.float64)
    return np.column_stack([np.ones(n), x]), (x > n / 2).astype(np.float64)


def test_perfect_separation_says_so_and_names_the_column() -> None:
    x, y = perfect()
    with pytest.raises(NoEstimate, match=r"certain in some rows by 'a' \(separation\)"):
        fit_logistic(x, y, ("Intercept", "a"))


def test_a_level_without_an_event_is_separation() -> None:
    rng = stream(3, "quasi")
    level = np.arange(60) % 4 == 0
    y = np.where(level, 1.0, rng.integers(0, 2, 60))
    x = np.column_stack([np.ones(60), rng.normal(size=60), level])
    with pytest.raises(NoEstimate, match="'level'"):
        fit_logistic(x, y, ("Intercept", "noise", "level"))
    counts = np.where(level, 0.0, rng.poisson(3, 60))
    with pytest.raises(NoEstimate, match="'level'"):
        fit_poisson(x, counts, ("Intercept", "noise", "level"))


def test_strong_effects_are_no_separation() -> None:
    """Large coefficients that exist are found, also where nearly all rows are told without error."""
    rng = stream(5, "strong")
    x = rng.normal(size=400)
    y = (x + rng.normal(0, 0.05, 400) > 0).astype(np.float64)
    fit = fit_logistic(np.column_stack([np.ones(400), x]), y, ("Intercept", "x"))
    assert 10 < fit.estimate[1] < 100


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda x, y: fit_linear(x[:2], y[:2], ("Intercept", "a")), "2 rows cannot estimate 2"),
        (lambda x, y: fit_linear(x, 3 * x[:, 1], ("Intercept", "a")), "follows exactly"),
        (lambda x, y: fit_linear(x, np.ones(40), ("Intercept", "a")), "constant"),
        (lambda x, y: fit_logistic(x, np.ones(40), ("Intercept", "a")), "one value"),
        (lambda x, y: fit_poisson(x, np.zeros(40), ("Intercept", "a")), "all counts are zero"),
        (lambda x, y: fit_linear(np.ones((40, 2)), y, ("Intercept", "a")), "no column has more than one value"),
        (
            lambda x, y: fit_linear(x, np.sin(x[:, 1]), ("Intercept", "a"), group=np.arange(40) // 20),
            "2 subjects cannot",
        ),
    ],
)
def test_what_cannot_be_estimated_says_why(act, words: str) -> None:
    with pytest.raises(NoEstimate, match=words):
        act(*perfect())


def test_scale_does_not_matter() -> None:
    _, x, eta, _ = drawn(2)
    y = (eta + np.sin(np.arange(len(x))) > -1).astype(np.float64)
    fit = fit_logistic(x, y, NAMES)
    factor = np.array([1, 1e6, 1e-6, 1])
    again = fit_logistic(x * factor, y, NAMES)
    np.testing.assert_allclose(again.estimate * factor, fit.estimate, rtol=1e-7)
    np.testing.assert_allclose(again.error * factor, fit.error, rtol=1e-7)
