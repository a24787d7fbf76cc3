"""Tables as matrices of atoms, missingness patterns, groups, and conditions as windows."""

from __future__ import annotations

import json
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from ehrsatz.codecs.datetime import bound_number, decode_datetime, encode_datetime, learn_datetime
from ehrsatz.codecs.groups import count_groups, encode_groups, learn_groups
from ehrsatz.codecs.missing import MissingCode, decode_missing, describe_missing, encode_missing, learn_missing
from ehrsatz.codecs.table import (
    TableCode,
    complete_table,
    decode_table,
    describe_table,
    draw_atoms,
    encode_table,
    frequencies,
    learn_table,
    place_table,
)
from ehrsatz.codecs.window import FREE, decode_window, open_window, restrict
from ehrsatz.errors import InfeasibleError, UnsupportedError


def core(dataset):
    frame, table = dataset.table, dataset.schema.parent
    names = [column.name for column in table.columns if column.kind not in {"text", "id"}]
    return frame.select(names), table.replace_columns([table[name] for name in names])


@pytest.mark.parametrize("name", ["tidy", "nasty"])
def test_round_trip_keeps_kinds_and_missing(name, request):
    frame, table = core(request.getfixturevalue(name))
    code = learn_table(frame, table)
    atoms, where = place_table(code, frame)
    back = decode_table(code, atoms, where)
    assert back.schema == frame.schema
    for column in frame.columns:
        if code.codes[frame.columns.index(column)].n_atoms:
            assert (back[column].is_null() == frame[column].is_null()).all()
    assert (encode_table(code, back) == atoms).mean() > 0.97
    assert TableCode.from_dict(json.loads(json.dumps(code.to_dict(), ensure_ascii=False))) == code
    assert list(describe_table(code)) == frame.columns
    for share, size in zip(frequencies(code, atoms), code.sizes):
        assert share.shape == (size + 1,) and share.sum() == pytest.approx(1)


def test_empty_and_single_row_tables(tidy):
    frame, table = core(tidy)
    code = learn_table(frame, table)
    none = np.empty((0, len(code.names)), dtype=np.int32)
    assert decode_table(code, none, none.astype(float)).schema == frame.schema
    alone = learn_table(frame[:1], table)
    atoms = encode_table(alone, frame[:1])
    assert decode_table(alone, atoms, np.zeros(atoms.shape)).height == 1


def test_draws_and_structure():
    drawn = draw_atoms(np.array([0.5, 0.0, 0.3, 0.2]), np.array([0.1, 0.6, 0.9]))
    assert drawn.tolist() == [0, 2, -1]
    whole = complete_table(pl.DataFrame({"x": [1.0, 2.0]}), ("id", "x"), n=2, first=7)
    assert whole.rows() == [(7, 1.0), (8, 2.0)]


def test_dates():
    days = pl.Series([date(1960, 1, 1), None, date(2020, 2, 29)] * 6)
    code = learn_datetime(days, kind="date")
    assert decode_datetime(code, encode_datetime(code, days), np.zeros(18)).equals(days)
    times = pl.Series([datetime(1969, 12, 31, 23, 59, 58), datetime(2001, 5, 1)] * 6, dtype=pl.Datetime("us"))
    code = learn_datetime(times, kind="datetime")
    assert decode_datetime(code, encode_datetime(code, times), np.zeros(12)).equals(times)
    assert bound_number("1970-01-02", "date") == 1 and bound_number(date(1969, 12, 31), "datetime") == -86_400e6


def test_missing_together():
    gaps = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [1, 0, 1, 1]], dtype=bool)
    code = learn_missing(gaps)
    assert code.groups == (0, -1, 0, 1) and MissingCode.from_dict(code.to_dict()) == code
    assert (decode_missing(code, encode_missing(code, gaps)) == gaps).all()
    assert describe_missing(code) == {"columns": 3, "patterns": 2}


def test_groups():
    groups = learn_groups(np.array([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]), 3)
    assert (np.diff(groups) >= 0).all() and groups[0] != groups[1] and groups[-1] == count_groups(groups) - 1
    assert encode_groups(groups, np.array([0, -1], dtype=np.int32)).tolist() == [0, groups[-1]]
    assert learn_groups(np.array([0.0, 0.0, 1.0]), 3).tolist() == [0, 0, 1]


def test_windows(tidy):
    frame, table = core(tidy)
    code = learn_table(frame, table)
    window = open_window(
        code,
        exact={"sex": pl.Series(["M", None])},
        band={"age": (40, 50), "admitted": ("2021-03-01", None)},
        among={"diagnosis": ("I10",), "bmi": (25.0, 26.5)},
    )
    sex = code.names.index("sex")
    assert window.fixed[sex][1] == FREE and window.fixed[sex][0] >= 0 and len(window.columns) == 5
    atoms = np.zeros((2, len(code.names)), dtype=np.int32)
    for d, share in window.share.items():
        atoms[:, d] = int(np.flatnonzero(share > 0)[0])
    cells = decode_window(code, atoms, np.full(atoms.shape, 0.4), window)
    assert cells["sex"][0] == "M" and cells["age"].is_between(40, 50).all() and (cells["diagnosis"] == "I10").all()
    assert cells["bmi"].is_in([25.0, 26.5]).all() and (cells["admitted"] >= date(2021, 3, 1)).all()
    assert restrict(np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.0])).tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(UnsupportedError, match="holds levels"):
        open_window(code, exact={}, band={"sex": (1, 2)}, among={})
    with pytest.raises(UnsupportedError, match="numbers subjects"):
        open_window(code, exact={"patient": pl.Series([1])}, band={}, among={})
    with pytest.raises(InfeasibleError, match="some value"):
        open_window(code, exact={}, band={"age": (40.2, 40.8)}, among={})
