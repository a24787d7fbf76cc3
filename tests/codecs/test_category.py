"""Levels as atoms: kept, pooled, in order."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from ehrsatz.codecs.category import CategoryCode, decode_category, describe_category, encode_category, learn_category


def decode(code, atoms, u=0.0):
    return decode_category(code, np.array(atoms, dtype=np.int32), np.full(len(atoms), u)).to_list()


def test_levels_sort_naturally_and_missing_stays_missing():
    cells = pl.Series(["10", "2", None, "1"] * 6)
    code = learn_category(cells)
    assert code.levels == ("1", "2", "10") and code.pools == ()
    assert encode_category(code, cells)[:4].tolist() == [2, 1, -1, 0]
    assert decode(code, [2, 1, -1, 0]) == ["10", "2", None, "1"]
    assert learn_category(cells, levels=("2", "10", "1")).levels == ("2", "10", "1")
    assert CategoryCode.from_dict(json.loads(json.dumps(code.to_dict()))) == code


def test_rare_levels_are_named_nowhere():
    cells = pl.Series(["Łódź"] * 9 + ["Zürich"] * 6 + ["東京"] * 4)
    code = learn_category(cells)
    assert code.levels == ("Zürich", "Łódź") and "東京" not in json.dumps(code.to_dict(), ensure_ascii=False)
    pool = encode_category(code, pl.Series(["東京", "new"]))
    assert pool.tolist() == [2, 2] and set(decode(code, [2] * 3, 0.1) + decode(code, [2], 0.99)) == {"Zürich", "Łódź"}


def test_rare_codes_come_back_in_their_group():
    cells = pl.Series(["250.1"] * 20 + [f"250.{i}" for i in range(2, 8)] + ["410"] * 9 + ["780"])
    code = learn_category(cells, kind="code")
    assert [pool.prefix for pool in code.pools] == ["250.", ""]
    atom = encode_category(code, pl.Series(["250.5"]))
    assert decode(code, atom, 0.7) == ["250.1"]
    assert describe_category(code) == {"kind": "code", "levels": 2, "pools": 2}


def test_subjects_count_not_rows():
    cells = pl.Series(["a"] * 20 + ["b"] * 20)
    code = learn_category(cells, subjects=np.array([0] * 20 + list(range(20))))
    assert code.levels == ("b",)


def test_nothing_kept():
    few = pl.Series(["x", "y", None])
    assert decode(learn_category(few), [0, -1]) == [None, None]
    assert decode(learn_category(few, nullable=False), [0]) == ["other"]
    assert decode(learn_category(few, levels=("x", "y", "z")), [0], 0.9) == ["z"]
    empty = learn_category(pl.Series([None] * 4, dtype=pl.String))
    assert empty.n_atoms == 0 and encode_category(empty, pl.Series(["q"])).tolist() == [-1]


def test_booleans():
    code = learn_category(pl.Series([True, None, False]), kind="boolean")
    assert encode_category(code, pl.Series([True, None, False])).tolist() == [1, -1, 0]
    assert decode(code, [1, -1, 0]) == [True, None, False]
