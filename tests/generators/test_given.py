"""Shares asked for: within one row at every prefix, addressed by row number, columns crossed."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from ehrsatz.errors import InfeasibleError
from ehrsatz.generators.given import apportion
from ehrsatz.seeds import stream


def levels(shares: dict[object, float], n: int, first: int = 0) -> list[object]:
    return apportion({"x": shares}, n, first)["x"].to_list()


def test_two_halves_of_200_are_100_and_100() -> None:
    assert levels({"F": 0.5, "M": 0.5}, 200).count("F") == 100


@pytest.mark.parametrize("k", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("denominator", [None, 10, 100, 997])
def test_every_prefix_is_within_one_row_of_every_quota(k: int, denominator: int | None) -> None:
    for trial in range(10):
        rng = stream(trial, "shares", k)
        shares = rng.dirichlet(np.full(k, 0.5)) if denominator is None else rng.multinomial(denominator, [1 / k] * k)
        shares = shares / shares.sum()
        drawn = np.array(levels({str(i): float(one) for i, one in enumerate(shares)}, 1500))
        counts = np.cumsum(drawn[:, None] == np.arange(k).astype(str), axis=0)  # (1500,) -> (1500, K)
        quota = np.arange(1, 1501)[:, None] * shares
        bound = 1 - 1 / (2 * (shares > 0).sum() - 2) if (shares > 0).sum() > 1 else 0
        assert np.abs(counts - quota).max() <= bound + 1e-5


@pytest.mark.parametrize("shares", [{"a": 0.3, "b": 0.7}, {"a": 0.123456789, "b": 0.4, "c": 0.476543211}])
def test_rows_are_addressed_by_number(shares: dict[object, float]) -> None:
    whole = levels(shares, 30_000)
    ends = [0, 1, 7, 5_000, 12_345, 30_000]
    assert [one for low, high in pairwise(ends) for one in levels(shares, high - low, low)] == whole
    assert levels(shares, 0, 10) == []


def test_columns_are_crossed() -> None:
    found = apportion({"sex": {"F": 0.5, "M": 0.5}, "arm": {1: 0.5, 2: 0.25, 3: 0.25}}, 80, 0)
    cells = list(zip(found["sex"].to_list(), found["arm"].to_list(), strict=True))
    assert {cell: cells.count(cell) for cell in set(cells)} == {
        **{(sex, 1): 20 for sex in "FM"},
        **{(sex, arm): 10 for sex in "FM" for arm in (2, 3)},
    }


def test_a_level_of_share_0_is_never_given() -> None:
    assert set(levels({"a": 0.0, "b": 1.0, "c": 0}, 50)) == {"b"}


@pytest.mark.parametrize(
    "wish",
    [{}, {"a": 0.4}, {"a": -0.5, "b": 1.5}, {"a": float("nan")}, {"a": "half", "b": 0.5}, {"a": True}, [1], None],
)
def test_what_are_no_shares_is_refused(wish: object) -> None:
    with pytest.raises(InfeasibleError, match="sum to 1"):
        apportion({"x": wish}, 5, 0)


def test_a_million_rows_take_seconds() -> None:
    start = time.process_time()
    levels({"a": 0.123456789, "b": 0.4, "c": 0.476543211}, 1_000_000)
    assert time.process_time() - start < 6  # about 1 s on one core of today
