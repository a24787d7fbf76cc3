"""The exact test against all assignments, and its false alarms."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ehrsatz.evaluation.privacy.permutation import permute
from ehrsatz.seeds import stream


def test_p_values_agree_with_all_assignments() -> None:
    rng = stream(1, "exact")
    weights = np.round(rng.random((3, 8)), 2).astype(np.float32)
    is_train = np.array([True, True, False, True, False, True, False, False])
    test = permute(weights, np.array([0, 0, 1]), is_train, (4, 4), rng, n=20_000)
    every = np.array([[i in chosen for i in range(8)] for chosen in combinations(range(8), 4)])  # (70, 8)
    sums = every @ weights.T.astype(np.float64)  # (70, 3)
    truth = weights.astype(np.float64) @ is_train
    alone = (sums >= truth - 1e-9).mean(axis=0)
    assert test.p == pytest.approx(alone, abs=0.015)
    z = (sums - sums.mean(axis=0)) / sums.std(axis=0)
    z0 = (truth - sums.mean(axis=0)) / sums.std(axis=0)
    assert test.z == pytest.approx(z0, abs=2e-4)  # the moments of the exchange are exact
    first = (z[:, :2].max(axis=1)[:, None] <= z[:, :2].max(axis=1)[None, :] + 1e-9).mean(axis=1)
    second = (z[:, 2][:, None] <= z[:, 2][None, :] + 1e-9).mean(axis=1)
    least = np.minimum(first, second)
    mine = min((z[:, :2].max(axis=1) >= z0[:2].max() - 1e-9).mean(), alone[2])
    assert test.value == pytest.approx((least <= mine + 1e-9).mean(), abs=0.015)
    assert test.interval[0] <= test.value <= test.interval[1]


def test_a_chosen_part_of_the_subjects_may_hold_any_number_of_trained_on() -> None:
    rng = stream(2, "part")
    weights = np.ones((1, 10), np.float32)  # the sum is the number of trained-on among the ten
    test = permute(weights, np.zeros(1, np.int64), np.ones(10, bool), (50, 50), rng, n=4000)
    assert test.expected[0] == pytest.approx(5.0)
    assert test.p[0] < 0.005  # hypergeometric: all ten of 100, half of them trained-on


def test_a_constant_statistic_says_nothing() -> None:
    rng = stream(3, "constant")
    test = permute(np.ones((1, 6), np.float32), np.zeros(1, np.int64), np.arange(6) < 3, (3, 3), rng, n=99)
    assert test.value == 1 and test.z[0] == 0


def test_false_alarms_keep_their_level_with_many_dependent_statistics() -> None:
    alarms = 0
    for seed in range(300):
        rng = stream(seed, "level")
        weights = (rng.random((40, 60)) < 0.1).astype(np.float32)
        weights[10:20] = weights[:10] + weights[20:30]
        is_train = rng.permutation(60) < 30
        alarms += permute(weights, np.repeat([0, 1, 2, 3], 10), is_train, (30, 30), rng, n=99).value <= 0.05
    assert alarms <= 26  # binomial(300, 0.05): 26 or more has a chance below 0.005


def test_an_effect_is_found_and_corrected_p_values_are_in_order() -> None:
    rng = stream(4, "effect")
    is_train = np.arange(200) < 100
    weights = (rng.random((30, 200)) < 0.2).astype(np.float32)
    weights[7] = (is_train & (rng.random(200) < 0.3)).astype(np.float32)
    test = permute(weights, np.repeat([0, 1, 2], 10), is_train, (100, 100), rng)
    assert test.value <= 0.01 and test.adjusted.argmin() == 7
    assert (test.p <= test.within + 1e-12).all() and (test.within <= test.adjusted + 1e-12).all()
