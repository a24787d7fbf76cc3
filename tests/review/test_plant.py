"""Planted errors: each kind where it applies, changed cells only where the key says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from conftest import make_tidy, make_visits
from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.review.plant import KINDS, Ranges, plant
from ehrsatz.review.records import records
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream


def patients() -> Dataset:
    """A table on which every kind of error can be planted."""
    n = 30
    table = Table(
        "p",
        (
            Column("sex", "category"),
            Column("diagnosis", "code", system="ICD-10"),
            Column("weight", "number", unit="kg"),
            Column("age", "integer", unit="a"),
            Column("start", "date", role="time"),
            Column("stop", "date", role="end"),
        ),
    )
    frame = pl.DataFrame(
        {
            "sex": ["F", "M"] * (n // 2),
            "diagnosis": ["O80", "N40"] * (n // 2),
            "weight": [60.0 + i for i in range(n)],
            "age": [20 + 2 * i for i in range(n)],
            "start": [date(2020, 1, 1)] * n,
            "stop": [date(2020, 1, 9)] * n,
        },
        schema_overrides={"age": pl.Int64},
    )
    return Dataset(Schema("s", (table,)), {"p": frame}, Provenance("generated"))


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_every_kind_takes_its_turn_and_changes_what_it_says(number: int) -> None:
    data = patients()
    people = records(data, range(30))
    done = plant(people[4], data.schema, Ranges.seen(data), people, stream(1, "plant", number), number=number)
    assert done is not None
    assert done.kind == KINDS[number]
    before, after = people[4].entries[0].cells, done.record.entries[0].cells
    changed = {f"p.{name}" for name in before if before[name] != after[name]}
    assert changed
    assert changed <= set(done.places)


def test_what_each_kind_does() -> None:
    data = patients()
    people = records(data, range(30))
    ranges = Ranges.seen(data)

    def cells(number: int, seed: int = 1) -> dict:
        done = plant(people[4], data.schema, ranges, people, stream(seed, "x"), number=number)
        assert done is not None
        return dict(done.record.entries[0].cells)

    assert cells(0)["stop"] < cells(0)["start"]
    for seed in range(20):  # beyond everything that the data hold
        told = cells(1, seed)
        assert not (60 <= told["weight"] <= 89 and 20 <= told["age"] <= 78)
        assert isinstance(told["age"], int)
    assert cells(2)["weight"] == pytest.approx(64 * 2.2046, rel=0.01) or cells(2)["age"] == 28 * 12
    assert (cells(3)["sex"], cells(3)["diagnosis"]) == ("M", "O80")


def test_a_kind_that_does_not_apply_gives_way() -> None:
    data = make_tidy()
    people = records(data, range(20))
    kinds = []
    for number in range(20):
        done = plant(people[number], data.schema, Ranges.seen(data), people, stream(2, "p", number), number=number)
        assert done is not None
        kinds.append(done.kind)
    assert set(kinds) == set(KINDS) - {"contradiction of sex"}  # nobody has a finding of one sex
    assert kinds.count("shuffled cells") == 4  # only in its own turn


def test_errors_in_a_timeline() -> None:
    data = make_visits()
    people = records(data, range(20))
    done = plant(people[0], data.schema, Ranges.seen(data), people, stream(3, "v"), number=1)
    assert done is None or done.record != people[0]


def test_nothing_to_plant_into() -> None:
    schema = Schema("s", (Table("t", (Column("a", "category"),)),))
    data = Dataset(schema, {"t": pl.DataFrame({"a": ["x", "y"] * 10})}, Provenance("generated"))
    people = records(data, range(20))
    assert plant(people[0], schema, Ranges.seen(data), people, stream(1, "n")) is None
    from ehrsatz.errors import DataError
    from ehrsatz.review.sheet import draw

    with pytest.raises(DataError, match="an error can be planted"):
        draw(replace(data), n=10, seed=1)
    assert draw(data, n=10, errors=0, seed=1).key["records"]
