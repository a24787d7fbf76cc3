"""Shapes of ids, and the permutation that numbers them."""

from __future__ import annotations

import uuid

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrsatz.privacy.base import permute
from ehrsatz.privacy.shapes import CLASSES, Shape, spell_unique


@given(size=st.integers(1, 5000), seed=st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_permute_is_one_to_one(size: int, seed: int) -> None:
    out = permute(np.arange(size, dtype=np.uint64), size, seed, "test")
    assert sorted(out.tolist()) == list(range(size))


@given(
    places=st.lists(st.sampled_from([*CLASSES, "'-", "'P"]), min_size=1, max_size=6),
    numbers=st.lists(st.integers(0, 10**7), unique=True, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_different_numbers_are_spelled_differently_in_any_shape(places: list[str], numbers: list[int]) -> None:
    texts = spell_unique(Shape(tuple(places)), np.array(numbers, dtype=np.int64), 4, "test")
    assert texts.n_unique() == len(numbers)
    assert texts.null_count() == 0


def test_uuids_keep_their_look() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    values = pl.Series([str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(300)])
    shape = Shape.learn(values)
    made = spell_unique(shape, np.arange(1000), 3, "x")
    assert made.str.contains("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$").all()
    assert made.n_unique() == 1000
    assert not set(made) & set(values)


def test_a_rare_sign_or_shape_is_not_learned() -> None:
    values = pl.Series([f"A{i:04d}" for i in range(50)] + ["QQ#77-x"] * 4)
    assert Shape.mixture(values) == [(Shape(("'A", "9", "9", "9", "9")), 0.93)] or all(
        "'#" not in shape.places for shape, _ in Shape.mixture(values)
    )
    assert "'#" not in Shape.learn(pl.Series(["x#1", "y#2"])).places


def test_letters_outside_ascii_are_replaced_not_kept() -> None:
    values = pl.Series([f"Ä{chr(228)}-{i}" for i in range(10, 60)])
    made = spell_unique(Shape.learn(values), np.arange(20), 3, "x")
    assert made.str.contains(r"^[\x20-\x7E]+$").all()
