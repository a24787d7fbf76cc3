"""Direct identifiers never reach a generator, and what replaces them has their shape."""

from __future__ import annotations

import json
import time

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, InfeasibleError, SchemaError
from ehrsatz.privacy.identifiers import IdentifierPlan, drop_proposed
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Constraint, Link, Schema, Table

REAL = Provenance("real")


def flat_dataset(n: int = 200) -> Dataset:
    rng = np.random.Generator(np.random.Philox(5))
    frame = pl.DataFrame(
        {
            "mrn": [f"MRN-{i:06d}" for i in rng.permutation(900_000)[:n]],
            "name": [f"Zzyx{chr(97 + i % 26)} Qworp{chr(97 + i % 7)}" for i in range(n)],
            "first_name": [f"Vlk{chr(97 + i % 26)}" for i in range(n)],
            "phone": [f"({200 + i % 700}) {300 + i % 600}-{i:04d}" for i in range(n)],
            "email": [f"u{i}@zzyx.invalid" for i in range(n)],
            "note": [None if i % 4 == 0 else "Wurble snarked gribbly frumious tove " * (1 + i % 5) for i in range(n)],
            "street": [None if i % 4 == 0 else f"{i} Xerxo Blvd" for i in range(n)],
            "born": pl.Series([-9000 + 37 * i for i in range(n)], dtype=pl.Int32).cast(pl.Date),
            "age": rng.integers(20, 90, n),
        }
    )
    columns = (
        Column("mrn", "id", role="key", disclosure="direct"),
        Column("name", "text", disclosure="direct"),
        Column("first_name", "category", disclosure="direct"),
        Column("phone", "text", disclosure="direct"),
        Column("email", "text", disclosure="direct"),
        Column("note", "text"),
        Column("street", "text", disclosure="direct"),
        Column("born", "date", disclosure="direct"),
        Column("age", "integer"),
    )
    return Dataset(Schema("s", (Table("patients", columns),)), {"patients": frame}, REAL)


def linked_dataset(n: int = 80) -> Dataset:
    patients = pl.DataFrame({"pid": [90_000 - 7 * i for i in range(n)], "sex": ["F", "M"] * (n // 2)})
    owner = [90_000 - 7 * (i // 3) for i in range(2 * n)]
    visits = pl.DataFrame(
        {
            "vid": [f"V{i:05d}" for i in range(2 * n)],
            "pid": owner,
            "ward": ["a", "b"] * n,
            "reason": ["xq zk wv"] * 2 * n,
        }
    )
    labs = pl.DataFrame(
        {"vid": [None if i % 10 == 0 else f"V{i % n:05d}" for i in range(4 * n)], "value": [1.5] * 4 * n}
    )
    schema = Schema(
        "s",
        (
            Table("patients", (Column("pid", "integer", role="key"), Column("sex", "category"))),
            Table(
                "visits",
                (
                    Column("vid", "id", role="key"),
                    Column("pid", "integer", role="link"),
                    Column("ward", "category"),
                    Column("reason", "text"),
                ),
                links=(Link("pid", "patients", "pid"),),
            ),
            Table(
                "labs",
                (Column("vid", "id", role="link"), Column("value", "number")),
                links=(Link("vid", "visits", "vid"),),
            ),
        ),
    )
    return Dataset(schema, {"patients": patients, "visits": visits, "labs": labs}, REAL)


def words(series: pl.Series) -> set[str]:
    return {word for text in series.drop_nulls().to_list() for word in str(text).replace(",", " ").split()}


def test_the_core_of_a_flat_table_holds_neither_identifiers_nor_row_numbers() -> None:
    data = flat_dataset()
    plan = IdentifierPlan.learn(data)
    core = plan.detach(data)
    assert core.table.columns == ["age"]
    assert core.table["age"].equals(data.table["age"])
    assert set(plan.columns("patients")) == set(data.table.columns) - {"age"}


def test_fabricated_columns_have_the_shape_and_no_cell_of_the_source() -> None:
    data = flat_dataset()
    plan = IdentifierPlan.learn(data)
    out = plan.attach(dict(plan.detach(data).tables), seed=3, first=0)["patients"]
    Dataset(data.schema, {"patients": out}, Provenance("generated"))
    assert out["mrn"].str.contains(r"^MRN-\d{6}$").all()
    assert out["mrn"].n_unique() == out.height
    assert out["phone"].str.contains(r"^\(\d{3}\) 555-01\d\d$").all()
    assert out["email"].str.ends_with("@example.org").all() and out["email"].n_unique() == out.height
    assert out["street"].drop_nulls().str.contains(r"^\d+ [A-Z][a-z]+ [A-Z][a-z]+$").all()
    assert out["name"].str.contains("^[A-Z][A-Za-z]+ [A-Z][A-Za-z]+$").all()
    for name in ("name", "first_name", "note", "email"):
        assert not words(out[name]) & words(data.table[name]), name
    assert 0.1 < out["note"].null_count() / out.height < 0.4
    assert (out["note"].is_null() == out["street"].is_null()).all()
    source, made = data.table["note"].str.len_chars().mean(), out["note"].str.len_chars().mean()
    assert made == pytest.approx(source, rel=0.25)


def test_the_plan_on_disk_holds_no_cell_of_the_source() -> None:
    data = flat_dataset()
    text = json.dumps(IdentifierPlan.learn(data).to_dict())
    for name in ("mrn", "name", "first_name", "phone", "email", "note", "street"):
        for cell in data.table[name].drop_nulls().to_list():
            assert cell not in text
    for word in words(data.table["note"]) | words(data.table["name"]):
        assert word not in text


def test_shards_agree_and_the_plan_survives_the_disk() -> None:
    data = flat_dataset()
    plan = IdentifierPlan.learn(data)
    again = IdentifierPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    core = plan.detach(data).table
    whole = plan.attach({"patients": core}, seed=3, first=0)["patients"]
    parts = [again.attach({"patients": core[i : i + 50]}, seed=3, first=i)["patients"] for i in range(0, 200, 50)]
    assert whole.equals(pl.concat(parts))
    assert not whole["mrn"].equals(plan.attach({"patients": core}, seed=4, first=0)["patients"]["mrn"])


def test_linked_tables_become_numbers_and_find_back() -> None:
    data = linked_dataset()
    plan = IdentifierPlan.learn(data)
    core = plan.detach(data)
    assert core.tables["patients"]["pid"].to_list() == list(range(80))
    assert core.tables["visits"]["pid"].to_list() == [i // 3 for i in range(160)]
    assert core.tables["labs"]["vid"].null_count() == 32
    assert "reason" not in core.tables["visits"].columns
    out = plan.attach(dict(core.tables), seed=9, first=0)
    made = Dataset(data.schema, out, Provenance("generated"))  # keys unique, orphans none
    joined = made.tables["visits"].join(made.tables["patients"], on="pid")
    assert joined.height == 160
    assert made.tables["labs"]["vid"].null_count() == 32
    assert made.tables["visits"]["vid"].str.contains(r"^V\d{5}$").all()
    assert made.tables["patients"]["pid"].is_between(10_000, 99_999).all()
    # A second shard, numbered from 80, shares no id with the first.
    later = {
        "patients": core.tables["patients"].with_columns(pl.col("pid") + 80),
        "visits": core.tables["visits"].with_columns(pl.col("pid") + 80),
        "labs": core.tables["labs"],
    }
    more = plan.attach(later, seed=9, first=80)
    assert not set(more["patients"]["pid"]) & set(out["patients"]["pid"])
    assert not set(more["visits"]["vid"]) & set(out["visits"]["vid"])


def test_repeated_subjects_stay_together_and_keep_one_name() -> None:
    n = 300
    frame = pl.DataFrame(
        {
            "encounter": list(range(5_000, 5_000 + n)),
            "patient": [str(700 + i // 3) for i in range(n)],
            "name": [f"Xx{chr(97 + (i // 3) % 26)} Yy{chr(97 + (i // 3) % 5)}" for i in range(n)],
            "los": [1] * n,
        }
    )
    columns = (
        Column("encounter", "integer", role="key"),
        Column("patient", "id", role="subject"),
        Column("name", "text", disclosure="direct"),
        Column("los", "integer"),
    )
    data = Dataset(Schema("s", (Table("stays", columns),)), {"stays": frame}, REAL)
    plan = IdentifierPlan.learn(data)
    core = plan.detach(data)
    assert core.table["patient"].to_list() == [i // 3 for i in range(n)]
    out = plan.attach(dict(core.tables), seed=1, first=0)["stays"]
    assert out.group_by("patient").agg(pl.col("name").n_unique(), pl.len()).select("name", "len").unique().rows() == [
        (1, 3)
    ]
    assert out["encounter"].n_unique() == n and out["encounter"].dtype == pl.Int64


def test_more_subjects_than_the_shape_holds_get_longer_ids() -> None:
    frame = pl.DataFrame({"id": [str(100 + i) for i in range(50)], "x": [1] * 50})
    data = Dataset(
        Schema("s", (Table("t", (Column("id", "id", role="key"), Column("x", "integer"))),)), {"t": frame}, REAL
    )
    plan = IdentifierPlan.learn(data)
    out = plan.attach({"t": pl.DataFrame({"x": [1] * 20_000})}, seed=1, first=0)["t"]
    assert out["id"].n_unique() == 20_000
    assert out["id"].str.contains(r"^\d+$").all()


def test_bounded_integer_keys_stay_in_bounds_or_say_why_not() -> None:
    frame = pl.DataFrame({"id": list(range(1, 41)), "x": [1] * 40})
    columns = (Column("id", "integer", role="key", minimum=1, maximum=100), Column("x", "integer"))
    data = Dataset(Schema("s", (Table("t", columns),)), {"t": frame}, REAL)
    plan = IdentifierPlan.learn(data)
    out = plan.attach({"t": pl.DataFrame({"x": [1] * 100})}, seed=1, first=0)["t"]
    assert sorted(out["id"].to_list()) == list(range(1, 101))
    with pytest.raises(InfeasibleError, match="bounds"):
        plan.attach({"t": pl.DataFrame({"x": [1] * 101})}, seed=1, first=0)


def test_a_child_of_no_subject_is_refused() -> None:
    schema = Schema(
        "s",
        (
            Table("patients", (Column("pid", "id", role="subject"),)),
            Table("visits", (Column("pid", "id", role="subject"), Column("x", "integer"))),
        ),
    )
    tables = {
        "patients": pl.DataFrame({"pid": ["a", "b"]}),
        "visits": pl.DataFrame({"pid": ["a", "c"], "x": [1, 2]}),
    }
    data = Dataset(schema, tables, REAL)
    with pytest.raises(DataError, match="parent table") as caught:
        IdentifierPlan.learn(data).detach(data)
    assert "1 rows" in str(caught.value) and "'c'" not in str(caught.value)


def test_no_rows_and_one_row_work() -> None:
    data = flat_dataset().take_subjects(pl.Series([1]))
    plan = IdentifierPlan.learn(data)
    assert plan.attach({"patients": pl.DataFrame({"age": [4]})}, seed=1, first=0)["patients"].height == 1
    none = plan.attach({"patients": pl.DataFrame({"age": []}, schema={"age": pl.Int64})}, seed=1, first=0)["patients"]
    assert none.height == 0 and none.columns == data.table.columns


def test_a_long_table_takes_less_than_a_second() -> None:
    data = flat_dataset(200)
    plan = IdentifierPlan.learn(data)
    core = {"patients": pl.DataFrame({"age": [1] * 100_000})}
    start = time.process_time()
    plan.attach(core, seed=1, first=0)
    assert time.process_time() - start < 6  # about 1 s for nine columns; wide, as the machine may be busy


def test_a_constraint_on_a_withheld_column_is_refused_by_name() -> None:
    data = flat_dataset()
    table = data.schema.parent

    def learn(one: Constraint) -> IdentifierPlan:
        schema = Schema("s", (Table("patients", table.columns, constraints=(one,)),))
        return IdentifierPlan.learn(Dataset(schema, data.tables, REAL))

    with pytest.raises(SchemaError, match="dependency \\(age, name\\) with name"):
        learn(Constraint("dependency", ("age", "name"), {"map": {"20": "x"}}))
    learn(Constraint("missing_together", ("note", "street")))
    learn(Constraint("unique", ("mrn",)))


def test_a_proposed_constraint_on_a_column_withheld_later_is_dropped_with_a_warning() -> None:
    data = flat_dataset()
    table = data.schema.parent
    proposed = Constraint("order", ("born", "age"), why="holds in all rows")
    together = Constraint("missing_together", ("note", "street"), why="holds in all rows")
    mine = Constraint("order", ("born", "age"))

    def read(*constraints: Constraint) -> Dataset:
        schema = Schema("s", (Table("patients", table.columns, constraints=constraints),))
        return drop_proposed(Dataset(schema, data.tables, REAL))

    with pytest.warns(DataWarning, match="patients: order \\(born, age\\)"):
        left = read(proposed, together)
    assert left.schema.parent.constraints == (together,)
    IdentifierPlan.learn(left)
    assert read(mine).schema.parent.constraints == (mine,)
    with pytest.raises(SchemaError, match="order"):
        IdentifierPlan.learn(read(mine))
