"""Keys: their form, unique, the same in any shard, and without a limit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.simulator import keys
from ehrsatz.simulator.history import ordinals


def plain(table: str, number: np.ndarray, person: np.ndarray) -> list[str]:
    """The same keys, one Python string at a time."""
    return [f"P{number[p]:08d}-{keys.LETTERS[table]}{k + 1:05d}" for p, k in zip(person, ordinals(person), strict=True)]


@pytest.mark.parametrize("first", [0, 42, 9_990, 99_999_990, 10**8 - 2, 10**9 + 5])
def test_keys_of_rows(first: int) -> None:
    number = np.arange(first, first + 6, dtype=np.int64)
    person = np.array([0, 0, 0, 2, 2, 5], np.int64)
    found = keys.within("encounter", number, person)
    assert found.dtype == pl.String and found.to_list() == plain("encounter", number, person)
    assert keys.patients(number).to_list() == [f"P{i:08d}" for i in number]


def test_more_rows_than_five_digits() -> None:
    person = np.repeat([0, 1], [100_002, 3])
    found = keys.within("observation", np.array([7, 8]), person)
    assert found.to_list() == plain("observation", np.array([7, 8]), person)
    assert found.n_unique() == len(person)


def test_every_digit() -> None:
    person = np.repeat(np.arange(50), 2_000)
    number = np.arange(50) * 1_999_993
    found = keys.within("claim_line", number, person)
    assert found.to_list() == plain("claim_line", number, person)


def test_no_rows_and_letters() -> None:
    none = np.zeros(0, np.int64)
    assert keys.within("goal", np.array([1]), none).to_list() == [] and keys.patients(none).to_list() == []
    assert len(set(keys.LETTERS.values())) == len(keys.LETTERS) and "P" not in keys.LETTERS.values()
    assert keys.numbered("H", np.array([3, 12])).to_list() == ["H00003", "H00012"]


def test_a_slice_of_keys_is_itself() -> None:
    found = keys.within("order", np.array([1]), np.zeros(10, np.int64))
    assert found[3:5].to_list() == ["P00000001-R00004", "P00000001-R00005"]
    assert found.gather([9, 0]).to_list() == ["P00000001-R00010", "P00000001-R00001"]
    assert (found.str.len_bytes() == 16).all()
