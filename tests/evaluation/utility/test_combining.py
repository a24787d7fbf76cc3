"""Combining rules: the formulas by hand, what is refused, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.evidence.coverage import CASES, Case, coverage
from scipy import stats

from ehrsatz.errors import DataError, UnknownNameError
from ehrsatz.evaluation.utility.combining import RULES, combine

Q, U = np.array([1.0, 2.0, 3.0]), np.array([0.3, 0.6, 0.3])  # q = 2, b = 1, u = 0.4, m = 3


@pytest.mark.parametrize(
    "rule, variance, freedom",
    [
        ("plug-in", 0.4 * (50 / 100 + 1 / 3), np.inf),
        ("proper", 0.4 * (50 / 100 + (1 + 50 / 100) / 3), np.inf),
        ("fully", (4 / 3) * 1 - 0.4, 2 * (1 - 0.4 / (4 / 3)) ** 2),
        ("partially", 0.4 + 1 / 3, 2 * (1 + 3 * 0.4 / 1) ** 2),
    ],
)
def test_the_formulas_by_hand(rule, variance: float, freedom: float) -> None:
    one = combine(Q, U, rule=rule, n_real=100, n_synthetic=50)
    assert (one.estimate[0], one.within[0], one.between[0]) == pytest.approx((2, 0.4, 1))
    assert one.variance[0] == pytest.approx(variance)
    assert one.freedom[0] == pytest.approx(freedom)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert one.interval()[0] == pytest.approx([2 - reach, 2 + reach])
    assert one.p_value()[0] == pytest.approx(2 * stats.t.sf(2 / np.sqrt(variance), freedom))


def test_a_negative_variance_becomes_reiter_s() -> None:
    one = combine([1.0, 1.01], [0.5, 0.5], rule="fully", n_real=200, n_synthetic=100)
    assert one.adjusted[0]
    assert one.variance[0] == pytest.approx(0.5 * 100 / 200)
    with pytest.raises(DataError, match=r"not positive for 1 of 1 estimates.*n_real"):
        combine([1.0, 1.01], [0.5, 0.5], rule="fully")


def test_several_quantities_at_once_are_each_by_itself() -> None:
    both = combine(np.column_stack([Q, Q * 10]), np.column_stack([U, U * 100]), rule="partially")
    assert both.interval()[1] == pytest.approx(10 * both.interval()[0])
    assert both.freedom[0] == pytest.approx(both.freedom[1])


def test_one_copy_works_with_the_rules_of_one_fit_and_is_explained_for_the_others() -> None:
    assert combine([1.0], [0.1], n_real=10, n_synthetic=10).variance[0] == pytest.approx(0.2)
    assert combine([1.0], [0.1], rule="proper", n_real=10, n_synthetic=10).variance[0] == pytest.approx(0.3)
    for rule in ("fully", "partially"):
        with pytest.raises(DataError, match=r"at least 2 copies.*plug-in"):
            combine([1.0], [0.1], rule=rule)


def test_equal_copies_have_no_between_variance() -> None:
    one = combine([1.0, 1.0], [0.1, 0.1], rule="partially")
    assert (one.variance[0], one.freedom[0]) == (0.1, np.inf)


@pytest.mark.parametrize(
    "q, u, options, error, words",
    [
        ([1, 2], [1], {}, DataError, r"\(2,\) and \(1,\)"),
        ([], [], {}, DataError, "as many variances"),
        ([1, np.nan], [1, 1], {}, DataError, "1 of 4 numbers"),
        ([1, 2], [1, -1], {}, DataError, "1 of 4 numbers"),
        ([1, 2], [1, 1], {}, DataError, "n_real is None"),
        ([1, 2], [1, 1], {"n_real": -5, "n_synthetic": 4}, DataError, "above 0"),
        ([1, 2], [1, 1], {"rule": "parially"}, UnknownNameError, "Did you mean 'partially'"),
    ],
)
def test_bad_input_is_refused(q, u, options, error, words) -> None:
    with pytest.raises(error, match=words):
        combine(q, u, **options)


def test_every_rule_has_its_line_in_the_module_and_a_case() -> None:
    from ehrsatz.evaluation.utility import combining

    for rule in RULES:
        assert f"\n    {rule} " in (combining.__doc__ or "")
        assert any(case.rule == rule and not case.wrong for case in CASES)


# ---------------------------------------------------------------------- coverage
FAST = (
    Case("plug-in", "plug-in", 1, 80, 80),
    Case("plug-in", "plug-in", 5, 80, 160),
    Case("proper", "posterior", 5, 80, 80),
    Case("partially", "partial", 5, 80, 80),
    Case("fully", "posterior", 10, 80, 800),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", FAST, ids=lambda case: f"{case.rule}-{case.synthesis}-{case.m}")
def test_intervals_cover_at_93_to_97_per_cent(case: Case) -> None:
    found = coverage(case, 2000, 11)
    assert found.holds, found


@pytest.mark.slow
def test_the_wrong_rule_is_seen_to_miss() -> None:
    assert coverage(Case("plug-in", "posterior", 1, 80, 80), 2000, 11).slope < 0.92
