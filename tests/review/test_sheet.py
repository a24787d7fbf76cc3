"""The sheet: blinded, seeded, readable, and no more on it than may be shown."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from conftest import make_nasty, make_tidy, make_tidy_linked
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, UnsupportedError
from ehrsatz.gate import Policy
from ehrsatz.provenance import Provenance
from ehrsatz.review.records import MAX_ROWS, label, records, shown, told
from ehrsatz.review.sheet import COLUMNS, draw
from ehrsatz.schema import Column


def as_generated(dataset: Dataset) -> Dataset:
    return replace(dataset, provenance=Provenance("generated"))


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_sheet_of_synthetic_records_with_planted_errors() -> None:
    sheet = draw(as_generated(make_tidy()), n=20, seed=3)
    kinds = Counter(one["is"] for one in sheet.key["records"].values())
    assert kinds == {"synthetic": 10, "planted": 10}
    assert sheet.key["mode"] == "planted"
    rows = lines(sheet.table)
    assert [row["record"] for row in rows] == list(sheet.key["records"])
    assert {row["sheet"] for row in rows} == {sheet.key["sheet"]}
    assert all(row["answer"] == "" for row in rows)
    assert sheet.html.count("data-record=") == 20


def test_same_seed_same_sheet_other_seed_other_sheet() -> None:
    data = as_generated(make_tidy())
    assert draw(data, n=20, seed=3) == draw(data, n=20, seed=3)
    assert draw(data, n=20, seed=3).table != draw(data, n=20, seed=4).table


def test_nothing_on_the_sheet_says_which_is_which() -> None:
    sheet = draw(as_generated(make_tidy()), make_tidy(60), n=20, seed=1)
    for text in (sheet.html, sheet.table):
        assert not re.search(r"planted|P0\d\d\d|patient_id", text)
    key = json.dumps(dict(sheet.key))
    assert "P0" not in key  # no identifier in the key either
    order = [one["is"] for one in sheet.key["records"].values()]
    assert order != sorted(order)


def test_no_identifier_key_or_free_text_is_shown() -> None:
    for data in (make_tidy(), make_nasty(), make_tidy_linked()):
        for table in data.schema.tables:
            for column in shown(table):
                assert column.disclosure != "direct"
                assert column.kind not in {"id", "text"}
                assert column.role not in {"subject", "key", "link"}


def test_real_records_need_a_policy_for_the_house() -> None:
    made, real = as_generated(make_tidy()), make_tidy(60)
    for audience in ("contracted", "public"):
        rules = Policy.from_dict(
            {"name": "out", "audience": audience, "thresholds": [{"metric": "margins", "at_least": 0.9}]}
        )
        with pytest.raises(UnsupportedError, match="inside the house"):
            draw(made, real, n=20, policy=rules, seed=1)
    sheet = draw(made, real, n=20, seed=1)
    assert Counter(one["is"] for one in sheet.key["records"].values()) == {"synthetic": 8, "real": 8, "planted": 4}
    assert "must not leave the house" in sheet.html
    assert "must not leave the house" not in draw(made, n=20, seed=1).html


def test_a_subject_of_two_tables_is_whole_and_in_time() -> None:
    data = make_tidy_linked()
    sheet = draw(as_generated(data), n=10, errors=0, seed=2)
    assert "Over time" in sheet.html
    first = records(data, [0])[0]
    times = [
        entry.cells[data.schema[entry.table].time]
        for entry in first.entries
        if entry.timed and data.schema[entry.table].time
    ]
    known = [one for one in times if one is not None]
    assert known == sorted(known)
    assert len([entry for entry in first.entries if entry.timed]) <= MAX_ROWS


def test_long_timelines_are_cut_and_say_so() -> None:
    import polars as pl

    from ehrsatz.schema import Link, Schema, Table

    schema = Schema(
        "s",
        (
            Table("p", (Column("pid", "id", role="key", disclosure="direct"), Column("age", "integer"))),
            Table(
                "v",
                (Column("pid", "id", role="link"), Column("day", "integer", role="time"), Column("x", "number")),
                links=(Link("pid", "p", "pid"),),
            ),
        ),
    )
    n = 12
    frames = {
        "p": pl.DataFrame({"pid": [f"a{i}" for i in range(n)], "age": list(range(30, 30 + n))}),
        "v": pl.DataFrame(
            {
                "pid": [f"a{i}" for i in range(n) for _ in range(100)],
                "day": [100 - j for _ in range(n) for j in range(100)],
                "x": [float(j) for _ in range(n) for j in range(100)],
            }
        ),
    }
    data = Dataset(schema, frames, Provenance("generated"))
    (one,) = records(data, [3])
    assert one.left_out == 100 - MAX_ROWS
    assert [entry.cells["day"] for entry in one.entries if entry.timed] == list(range(1, MAX_ROWS + 1))
    assert f"and {100 - MAX_ROWS} more rows" in draw(data, n=10, seed=0).html


def test_the_page_is_self_contained_and_escapes_what_it_shows() -> None:
    data = make_nasty()
    sheet = draw(as_generated(data), n=10, errors=0, title="<script>alert(1)</script>", seed=1)
    assert "<script>alert" not in sheet.html
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", sheet.html)

    class Balanced(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.depth += tag not in {"meta", "br", "input"}

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    parser = Balanced()
    parser.feed(sheet.html)
    assert parser.depth == 0


def test_too_few_subjects_or_records_are_refused() -> None:
    data = as_generated(make_tidy(20))
    with pytest.raises(DataError, match="at least 40 synthetic subjects"):
        draw(data, n=40, seed=1)
    with pytest.raises(DataError, match="at least 10 records"):
        draw(data, n=5, seed=1)
    with pytest.raises(DataError, match="at least 3 of each kind"):
        draw(data, n=12, errors=11, seed=1)
    with pytest.raises(DataError, match="same tables and columns"):
        draw(as_generated(make_tidy()), make_nasty(), n=20, seed=1)


def test_labels_and_cells_read_well() -> None:
    from datetime import date, datetime

    assert label(Column("heart_rate", "number", unit="/min")) == "heart rate (/min)"
    assert label(Column("trestbps", "number", unit="mm[Hg]", description="Resting blood pressure.")) == (
        "Resting blood pressure (mm[Hg])"
    )
    cells = [None, True, False, 145.0, 0.1 + 0.2, 7, date(2020, 1, 2), datetime(2020, 1, 2, 3, 4)]
    assert [told(one) for one in cells] == ["–", "yes", "no", "145", "0.3", "7", "2020-01-02", "2020-01-02 03:04"]
    assert COLUMNS[2:4] == ("record", "answer")
