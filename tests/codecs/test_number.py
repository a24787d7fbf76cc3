"""Numbers as atoms: digits, spikes, tails, bands, and nothing that few subjects share."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ehrsatz.codecs.grid import learn_grid
from ehrsatz.codecs.number import (
    NumberCode,
    decode_number,
    describe_number,
    encode_number,
    learn_number,
    place_number,
    share_number,
)
from ehrsatz.seeds import stream


def columns() -> dict[str, tuple[np.ndarray, dict]]:
    rng = stream(3, "codecs")
    rounded = rng.integers(500, 9000, 3000).astype(float)
    days = 18_000 + rng.integers(0, 3000, 5000)
    return {
        "normal": (rng.normal(size=2000), {}),
        "one_decimal": (np.round(rng.normal(50, 10, 500), 1), {}),
        "age": (np.clip(np.rint(rng.normal(60, 15, 800)), 18, 89), {"kind": "integer", "minimum": 18, "maximum": 89}),
        "digits": (np.array([float(f"{v:.4g}") for v in np.exp(rng.normal(5, 1.5, 400))]), {}),
        "zeros": (np.where(rng.random(1000) < 0.6, 0, np.round(rng.exponential(5, 1000), 2)), {}),
        "heaped": (np.where(rng.random(3000) < 0.5, np.rint(rounded / 50) * 50, rounded), {"kind": "integer"}),
        "weekdays": (days[(days % 7 != 2) & (days % 7 != 3)].astype(float), {"kind": "date"}),
        "minutes": (1.6e15 // 60e6 * 60e6 + rng.integers(0, 10**6, 900) * 60e6, {"kind": "datetime"}),
        "gaps": (np.where(rng.random(600) < 0.3, np.nan, rng.normal(0, 3, 600)), {}),
    }


def draw(code: NumberCode, values: np.ndarray, n: int = 20_000) -> np.ndarray:
    rng = stream(4, "draw")
    atoms = encode_number(code, values)
    share = np.bincount(atoms[atoms >= 0], minlength=code.n_atoms)
    return decode_number(code, rng.choice(code.n_atoms, n, p=share / share.sum()).astype(np.int32), rng.random(n))


def largest_gap(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    below = np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)
    return float(np.abs(below).max())


@pytest.mark.parametrize("name", columns())
def test_draws_have_the_margin(name):
    values, options = columns()[name]
    code = learn_number(values, **options)
    seen = values[~np.isnan(values)]
    assert largest_gap(seen, draw(code, values)) < 0.03
    atoms, where = place_number(code, values)
    assert (atoms[np.isnan(values)] == -1).all() and (np.bincount(atoms[atoms >= 0]) >= 5).all()
    assert ((where >= 0) & (where < 1)).all()
    again = NumberCode.from_dict(json.loads(json.dumps(code.to_dict())))
    assert again == code and describe_number(again) == describe_number(code)


@pytest.mark.parametrize("name", columns())
def test_state_holds_no_value_of_few_subjects(name):
    values, options = columns()[name]
    code = learn_number(values, **options)
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    rare = set(code.grid.locate(distinct[counts < 5]).tolist())
    assert not rare & set(code.spikes) and not rare & set(code.edges)


def test_subjects_count_not_rows():
    values = np.array([7.5] * 50 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    one_patient = np.array([0] * 50 + [1, 2, 3, 4, 5, 6])
    assert 7.5 in learn_number(values).grid.value(np.array(learn_number(values).spikes))
    assert learn_number(values, subjects=one_patient).spikes == ()


def test_grid():
    assert learn_grid(np.array([1.5, 2.25, 10.0]), "number").decimals == 2
    assert learn_grid(np.array([10.0, 250.0, 40.0, 70.0, 30.0]), "integer").factor == 10
    values, _ = columns()["digits"]
    drawn = draw(learn_number(values), values)
    assert all(float(f"{v:.4g}") == v for v in drawn) and (drawn > 0).all()
    values, options = columns()["minutes"]
    assert (draw(learn_number(values, **options), values) % 60e6 == 0).all()


def test_preferred_digits_and_weekdays():
    values, options = columns()["heaped"]
    drawn = draw(learn_number(values, **options), values)
    assert abs(np.mean(drawn % 50 == 0) - np.mean(values % 50 == 0)) < 0.1
    values, options = columns()["weekdays"]
    drawn = draw(learn_number(values, **options), values)
    assert np.mean((drawn % 7 == 2) | (drawn % 7 == 3)) < 0.05


def test_tails_stop_at_the_bounds_and_not_at_the_extremes():
    values = stream(5, "tail").exponential(10, 2000)
    code = learn_number(values, minimum=0)
    drawn = draw(code, values, 200_000)
    assert drawn.min() >= 0 and drawn.max() > values.max() * 0.8
    assert code.edges[-1] not in values
    capped = learn_number(values, minimum=0, maximum=float(values.max() + 0.01))
    assert draw(capped, values).max() <= values.max() + 0.01


def test_constant_column_and_discrete_column():
    assert learn_number(np.full(9, 3.0)).n_atoms == 1
    code = learn_number(np.repeat(np.arange(30.0), 6), kind="integer")
    assert code.spikes and not code.edges
    atoms = np.arange(30, dtype=np.int32)
    assert (decode_number(code, atoms, np.zeros(30)) == np.arange(30)).all()


def test_too_few_subjects_tell_nothing():
    few = np.array([3.25, 8.5, np.nan])
    assert learn_number(few).n_atoms == 0
    assert np.isnan(decode_number(learn_number(few), np.array([-1], dtype=np.int32), np.zeros(1))).all()
    within = decode_number(
        learn_number(few, minimum=2, maximum=6), np.zeros(50, dtype=np.int32), np.linspace(0, 0.99, 50)
    )
    assert within.min() >= 2 and within.max() <= 6
    assert learn_number(few, nullable=False, minimum=1.0).n_atoms == 1


def test_bands_hold():
    for name, (values, options) in columns().items():
        code = learn_number(values, **options)
        low, high = np.nanquantile(values, [0.3, 0.42])
        share = share_number(code, low, high)
        atoms = np.flatnonzero(share > 0).astype(np.int32)
        assert len(atoms) and (share <= 1).all(), name
        for u in (0.0, 0.5, 0.999):
            drawn = decode_number(code, atoms, np.full(len(atoms), u), low=low, high=high)
            assert ((drawn >= low) & (drawn <= high)).all(), name
    spiked = learn_number(np.repeat([1.0, 2.0, 3.0], 10), kind="integer")
    assert not share_number(spiked, 1.2, 1.8).any()
