"""Frames: every table of the schema, words and times in their place, the same rows in any shard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ehrsatz import clinical
from ehrsatz.dataset import Dataset
from ehrsatz.simulator import columns, frames
from ehrsatz.simulator.history import History
from ehrsatz.simulator.records import Records
from simulator import fake

WORLD = ("organization", "location", "practitioner", "payer")
SCENE = fake.scene()


def made(first: int, n: int, **options: Any) -> Dataset:
    lives = fake.history(first, n)
    return frames.dataset(fake.records(lives), lives, SCENE, fake.PROVENANCE, **options)


@pytest.fixture(scope="module")
def lives() -> History:
    return fake.history(1_000, 200)


@pytest.fixture(scope="module")
def records(lives: History) -> Records:
    return fake.records(lives)


@pytest.fixture(scope="module")
def tables(lives: History, records: Records) -> dict[str, pl.DataFrame]:
    return dict(frames.dataset(records, lives, SCENE, fake.PROVENANCE, check=True).tables)


def test_every_table_has_rows_and_stands_the_full_check(tables: dict[str, pl.DataFrame]) -> None:
    assert set(tables) == {table.name for table in clinical.schema().tables}
    assert not [name for name, frame in tables.items() if frame.height == 0]


def test_the_fast_way_gives_the_same(tables: dict[str, pl.DataFrame]) -> None:
    fast = made(1_000, 200)
    assert all(frame.equals(fast.tables[name]) for name, frame in tables.items())
    assert fast.n_subjects == 200 and fast.provenance.origin == "simulated"


def test_shards_add_up_to_the_whole(tables: dict[str, pl.DataFrame]) -> None:
    parts = [made(1_000, 65), made(1_065, 135)]
    for name, frame in tables.items():
        whole = parts[0].tables[name] if name in WORLD else pl.concat([part.tables[name] for part in parts])
        assert frame.equals(whole), name


def test_words_come_from_the_book(tables: dict[str, pl.DataFrame], records: Records) -> None:
    entries = fake.BOOK.entries
    rows: Any = records.rows["medication"]
    assert tables["medication"]["code"].to_list() == [entries[i][1] for i in rows["code"]]
    assert tables["medication"]["display"].to_list() == [fake.display(*entries[i]) for i in rows["code"]]
    assert tables["medication"]["reason_code"].to_list() == [None if i < 0 else entries[i][1] for i in rows["reason"]]
    assert set(tables["medication"]["route"]) == {"oral"} and set(tables["medication"]["dose_unit"]) == {"mg"}
    allergies: Any = records.rows["allergy"]
    assert tables["allergy"]["system"].to_list() == [entries[i][0] for i in allergies["code"]]
    met = records.encounters
    assert tables["encounter"]["class"].to_list() == [clinical.CLASSES[k] for k in met.kind]
    assert tables["encounter"]["disposition"].null_count() == (met.disposition < 0).sum() > 0


def test_links_and_keys_agree(tables: dict[str, pl.DataFrame], records: Records) -> None:
    for name in ("observation", "report"):
        rows: Any = records.rows[name]
        orders = [*tables["order"]["order_id"].to_list(), None]
        assert tables[name]["order_id"].to_list() == [orders[i] for i in rows["order"]]
    joined = tables["observation"].join(tables["encounter"], on="encounter_id", suffix="_met")
    assert joined.height == tables["observation"].height
    assert (joined["patient_id"] == joined["patient_id_met"]).all()
    assert tables["observation"]["encounter_id"].str.head(9).equals(tables["observation"]["patient_id"])
    seen = tables["encounter"].join(tables["practitioner"], on="practitioner_id", suffix="_theirs")
    assert seen.height == tables["encounter"].height
    assert (seen["organization_id"] == seen["organization_id_theirs"]).all()


def test_times_are_whole_minutes_and_in_order(tables: dict[str, pl.DataFrame]) -> None:
    for name, frame in tables.items():
        for column in frame.columns:
            if frame[column].dtype == pl.Datetime:
                assert (frame[column].drop_nulls().dt.truncate("1m") == frame[column].drop_nulls()).all(), name
        for begin, end in (("start", "stop"), ("onset", "abatement")):
            if {begin, end} <= set(frame.columns):
                later = frame[end] >= frame[begin] if name == "coverage" else frame[end] > frame[begin]  # days; minutes
                assert later.drop_nulls().all(), name
                assert name in {"encounter", "procedure", "coverage"} or frame[end].null_count() > 0
    died = tables["encounter"].join(tables["patient"], on="patient_id")
    assert (died["stop"] <= died["death_time"]).drop_nulls().all() and died["death_time"].null_count() < died.height


def test_minutes_round_down_but_never_miss_their_own_minute() -> None:
    minute = np.arange(29_000_000, 29_003_000, dtype=np.float64)
    assert (columns.minutes(minute / 1440) == minute).all()
    assert (columns.minutes((minute + 0.9) / 1440) == minute).all()
    begin, end = columns.span(np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0 + 0.5 / 1440, np.nan]))
    assert (end[:2] - begin[:2] == 1).all() and np.isnan(end[2])
    assert columns.moments(np.array([0.5, np.nan])).to_list()[1] is None
    assert str(columns.moments(np.array([0.5]))[0]) == "1970-01-01 12:00:00"


def test_observations_are_judged_by_their_range(tables: dict[str, pl.DataFrame]) -> None:
    frame = tables["observation"]
    text = frame.filter(pl.col("code") == "8302-2")
    assert text["value"].null_count() == text.height and set(text["text_value"]) == {"Walk."}
    assert text["interpretation"].null_count() == text.height and text["low"].null_count() == text.height
    some = frame.filter(pl.col("code") == "4548-4")
    told = {
        "critical low": some["value"] < 1.0,
        "low": (some["value"] < 4.0) & (some["value"] >= 1.0),
        "normal": some["value"].is_between(4.0, 5.6),
        "high": (some["value"] > 5.6) & (some["value"] <= 11.6),
        "critical high": some["value"] > 11.6,
    }
    for word, where in told.items():
        assert (some["interpretation"] == word).equals(where), word
    assert set(some["unit"]) == {"%"} and set(some["category"]) == {"laboratory"}


def test_what_the_range_holds_is_never_critical(lives: History, records: Records) -> None:
    class Strict(fake.FakeItems):
        def ranges(self, item: Any, sex: Any, age: Any) -> Any:
            low, high, _, _ = super().ranges(item, sex, age)
            return low, high, low + 1, high - 1

    frame = frames.dataset(records, lives, replace(SCENE, items=Strict()), fake.PROVENANCE).tables["observation"]
    inside = frame.filter((pl.col("value") >= pl.col("low")) & (pl.col("value") <= pl.col("high")))
    assert inside.height > 100 and set(inside["interpretation"]) == {"normal"}
    assert {"critical low", "critical high"} <= set(frame["interpretation"])


def test_reports_name_age_and_sex(tables: dict[str, pl.DataFrame], lives: History) -> None:
    frame = tables["report"].join(tables["patient"].select("patient_id", "sex", "birth_date"), on="patient_id")
    frame = frame.filter(pl.col("text").str.starts_with("A "))
    age = (
        ((frame["time"] - frame["birth_date"].cast(pl.Datetime("us"))).dt.total_days() / 365.25).floor().cast(pl.Int64)
    )
    wanted = "A " + frame["sex"] + " of " + age.cast(pl.String) + " years."
    assert frame.height > 50 and (frame["text"] == wanted).mean() > 0.99  # whole days against moments
    assert not tables["report"]["text"].str.contains("{", literal=True).any()


def test_patients(tables: dict[str, pl.DataFrame], lives: History) -> None:
    frame, people = tables["patient"], lives.people
    assert frame["birth_date"].to_physical().to_list() == people.birth.astype(int).tolist()
    assert frame["death_time"].null_count() == int(np.isnan(people.death).sum())
    assert (frame["death_time"].is_null() == frame["death_cause"].is_null()).all()
    assert set(frame["smoking"]) == {"never", "former", "current"} and set(frame["country"]) == {"US"}
    assert frame["given_name"][0] == "given_name 1000" and set(frame["region"]) <= {"CA", "WY", "NY"}


def test_families_stand_from_both_sides(tables: dict[str, pl.DataFrame]) -> None:
    pairs = {tuple(row) for row in tables["relation"].select("patient_id", "relative_id", "relation").rows()}
    back = {"mother": "child", "spouse": "spouse"}
    assert {one[2] for one in pairs} == {"mother", "child", "spouse"}
    assert all((whom, who, back[what]) in pairs for who, whom, what in pairs if what in back)
    sexes = dict(tables["patient"].select("patient_id", "sex").rows())
    assert all(sexes[whom] == "female" for _, whom, what in pairs if what == "mother")


def test_relatives_beyond_the_shard_are_left_out(lives: History) -> None:
    people = replace(lives.people, father=np.full(lives.people.n, 7), mother=np.full(lives.people.n, 5_000))
    shard = replace(lives, people=people)
    found = frames.dataset(fake.records(shard), shard, SCENE, fake.PROVENANCE, check=True)
    assert set(found.tables["relation"]["relation"]) == {"spouse"}


def test_no_rows_at_all() -> None:
    lives = fake.history(3, 1)
    found = fake.records(lives, visits=0.0)
    empty = frames.dataset(replace(found, rows={}), lives, SCENE, fake.PROVENANCE, check=True)
    assert empty.tables["patient"].height == 1 and empty.tables["claim_line"].height == 0
    assert [frame.schema for frame in empty.tables.values()] == [one.schema for one in made(0, 9).tables.values()]


@pytest.mark.parametrize(
    ("table", "column", "value", "told"),
    [
        ("observation", "order", 10**6, "order out of range"),
        ("observation", "encounter", 10**6, "encounter out of range"),
        ("observation", "encounter", -1, "encounter out of range"),
        ("goal", "careplan", 0, "somebody else"),
        ("procedure", "encounter", 0, "not sorted"),
    ],
)
def test_what_would_break_a_key_is_caught(
    table: str, column: str, value: int, told: str, lives: History, records: Records
) -> None:
    rows: Any = records.rows[table]
    wrong = {**rows, column: np.r_[rows[column][:-1], value]}
    with pytest.raises(AssertionError, match=told):
        frames.dataset(replace(records, rows={**records.rows, table: wrong}), lives, SCENE, fake.PROVENANCE)


def test_the_first_shard_is_checked(records: Records, lives: History, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    real = Dataset.__post_init__
    monkeypatch.setattr(Dataset, "__post_init__", lambda self: (checked.append(self.n_subjects), real(self)))
    made(0, 20)
    made(20, 20)
    assert checked == [20]


def test_a_book_that_grows_is_read_anew(lives: History, records: Records) -> None:
    scene = replace(SCENE, book=fake.book())
    frames.dataset(records, lives, scene, fake.PROVENANCE)
    late = scene.book.text("a late word")
    rows: Any = records.rows["condition"]
    changed = replace(records, rows={**records.rows, "condition": {**rows, "stage": np.full(len(rows["stage"]), late)}})
    found = frames.dataset(changed, lives, scene, fake.PROVENANCE).tables
    assert set(found["condition"]["stage"]) == {"a late word"}
