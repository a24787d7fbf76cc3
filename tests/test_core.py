"""The ground floors: errors, seeds, extras, provenance, registry, schema, dataset."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MAKERS
from ehrsatz import errors, extras, registry, seeds
from ehrsatz.dataset import Dataset, bound, subject_key
from ehrsatz.errors import DataError, MissingExtraError, SchemaError, UnknownNameError, UnsupportedError
from ehrsatz.provenance import Provenance, Step
from ehrsatz.schema import Column, Constraint, Link, Schema, Table, dtype_of

REAL = Provenance("real")


def one_table(columns: tuple[Column, ...], frame: pl.DataFrame, **more: object) -> Dataset:
    return Dataset(Schema("s", (Table("t", columns, **more),)), {"t": frame}, REAL)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- errors
def test_a_message_has_three_parts_and_lists_every_problem() -> None:
    error = DataError("Expected a.", "Found b.", "Do c.", problems=["t.x: 1 row", "t.y: 2 rows"])
    assert str(error) == "Expected a. Found b. Do c.\n  - t.x: 1 row\n  - t.y: 2 rows"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("name, close", [("copla", "copula"), ("zzz", "")])
def test_nearest(name: str, close: str) -> None:
    found = errors.nearest(name, ["copula", "trees"])
    assert found == (f" Did you mean '{close}'?" if close else "")


# ---------------------------------------------------------------------- seeds
def test_streams_are_repeatable_and_independent_by_name() -> None:
    draws = {names: seeds.stream(3, *names).random(4).tobytes() for names in [("a",), ("b",), ("a", "b"), ("a", 1)]}
    assert len(set(draws.values())) == len(draws)
    assert seeds.stream(3, "a").random(4).tobytes() == draws[("a",)]
    assert seeds.stream(4, "a").random(4).tobytes() != draws[("a",)]
    assert seeds.stream(3, 1).random() != seeds.stream(3, "1").random()


def test_stream_bytes_are_the_same_in_every_process() -> None:
    code = "from ehrsatz.seeds import stream; print(stream(-7, 'x', 2).integers(2**60))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == seeds.stream(-7, "x", 2).integers(2**60)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 60), st.integers())
def test_uniforms_are_addressed_by_row(n: int, width: int, first: int, seed: int) -> None:
    whole = seeds.uniforms(seed, "x", n=first + n, width=width)
    part = seeds.uniforms(seed, "x", n=n, width=width, first=first)
    assert part.shape == (n, width)
    assert (whole[first:] == part).all()
    assert ((part >= 0) & (part < 1)).all()


def test_uniforms_are_uniform() -> None:
    draws = seeds.uniforms(1, "flat", n=20_000, width=2)
    assert np.abs(np.histogram(draws[:, 0], 10, (0, 1))[0] / 2000 - 1).max() < 0.1
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03


# ---------------------------------------------------------------------- extras, registry, provenance
def test_a_missing_extra_names_its_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'ehrsatz\[torch\]'"):
        extras.require("no_such_module_xyz", extra="torch", feature="Drawing")
    assert extras.require("json", extra="x", feature="y").loads("1") == 1
    assert extras.is_available("json") and not extras.is_available("no_such_module_xyz")


@pytest.mark.parametrize("room", sorted(registry.BUILT_IN))
def test_every_registered_variant_exists_and_bears_its_name(room: str) -> None:
    for name in registry.names(room):
        cls = registry.find(room, name)
        assert getattr(cls, "name", name) == name


def test_an_unknown_variant_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'trees'"):
        registry.find("generators", "tree")


def test_plugins_register_under_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "outside"

        def load(self) -> type:
            return dict

    def points(*, group: str) -> list[Point]:
        return [Point()] if group == "ehrsatz.exporters" else []

    monkeypatch.setattr(registry, "entry_points", points)
    assert registry.names("exporters")[-1] == "outside"
    assert registry.find("exporters", "outside") is dict
    assert "outside" not in registry.names("sources")


def test_provenance_adds_steps_and_never_changes() -> None:
    start = Provenance("real")
    step = Step("fit", "trees", "1", {"leaf": 5}, 3, "abc")
    later = start.then(step, origin="generated")
    assert start.steps == () and later.origin == "generated"
    assert later.as_dict()["steps"][0] == {
        "action": "fit",
        "name": "trees",
        "version": "1",
        "params": {"leaf": 5},
        "seed": 3,
        "input_fingerprint": "abc",
    }


# ---------------------------------------------------------------------- schema
@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_schema_survives_yaml(name: str) -> None:
    schema = MAKERS[name]().schema
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert Schema.from_dict(schema.to_dict()).fingerprint == schema.fingerprint


def test_reasons_are_for_the_reader_alone() -> None:
    plain, told = Column("a", "integer"), Column("a", "integer", why="3 of 3 cells are whole")
    one, other = (Schema("s", (Table("t", (column,)),)) for column in (plain, told))
    assert one == other and one.fingerprint == other.fingerprint
    assert "3 of 3" in other.to_yaml()
    assert "why" not in str(other.to_dict(reasons=False))


def test_kinds_have_one_type_each() -> None:
    assert dtype_of("datetime") == pl.Datetime("us")
    assert dtype_of("id") == pl.String and dtype_of("integer") == pl.Int64 and dtype_of("boolean") == pl.Boolean


@pytest.mark.parametrize(
    "text, message",
    [
        ("tables: {t: {columns: {a: {kind: integer, rol: key}}}}", "Did you mean 'role'"),
        ("tables: {t: {columns: {a: {kind: integr}}}}", "Did you mean 'integer'"),
        ("tables: {t: {columns: {a: {role: key}}}}", "Absent: kind"),
        ("tables: {t: {column: {}}}", "Did you mean 'columns'"),
        ("tabels: {}", "Did you mean 'tables'"),
        ("tables: [1]", "to be a mapping"),
        ("a: [", "line"),
        ("tables: {t: {columns: {a: {kind: category, values: x}}}}", "to be a list"),
        ("tables: {t: {columns: {a: {kind: id}}, links: [{column: a, to_table: u, to_column: b}]}}", "does not exist"),
        ("tables: {t: {columns: {a: {kind: id}}, constraints: [{kind: unique, columns: [b]}]}}", "do not exist: b"),
        (
            "tables: {t: {columns: {a: {kind: id, role: key}, b: {kind: id, role: key}}}}",
            "more than one column of role",
        ),
        ("tables: {t: {columns: {a: {kind: number, minimum: 5, maximum: 3}}}}", "minimum is above the maximum"),
        ("name: x", "to be a mapping"),
    ],
)
def test_a_wrong_schema_file_is_told_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_yaml(text)


def test_all_problems_of_a_schema_come_at_once() -> None:
    table = Table("t", (Column("a", "id"), Column("a", "id")), links=(Link("b", "u", "c"),))
    with pytest.raises(SchemaError) as caught:
        Schema("s", (table, table))
    assert len(caught.value.problems) >= 4


def test_the_parent_numbers_the_subjects(tidy_linked: Dataset, visits: Dataset, nasty: Dataset) -> None:
    schema = tidy_linked.schema
    assert schema.parent.name == "patients"
    swapped = Schema("s", tuple(reversed(schema.tables)))
    assert swapped.parent.name == "patients"
    assert subject_key(schema, schema["visits"]) == "patient_id"
    assert subject_key(visits.schema, visits.schema.parent) == "patient_id"
    assert subject_key(nasty.schema, nasty.schema.parent) is None


def test_unknown_tables_and_columns_offer_the_nearest(tidy: Dataset) -> None:
    with pytest.raises(SchemaError, match="Did you mean 'patients'"):
        tidy.schema["patient"]
    with pytest.raises(SchemaError, match="Did you mean 'smoker'"):
        tidy.schema["patients"]["smokr"]


def test_replacing_columns_drops_what_leans_on_the_lost(tidy: Dataset) -> None:
    table = tidy.schema["patients"]
    left = table.replace_columns(column for column in table.columns if column.name != "discharged")
    assert left.constraints == () and "discharged" not in left.names
    assert table.replace_columns(table.columns) == table


# ---------------------------------------------------------------------- dataset
@pytest.mark.parametrize(
    "column, cells, message",
    [
        (Column("a", "integer"), pl.Series("a", [1.0]), "kind integer is held as Int64"),
        (Column("a", "number"), pl.Series("a", [1.0, float("nan")]), "1 of 2 rows are NaN"),
        (Column("a", "number", maximum=3), pl.Series("a", [1.0, 4.0]), "1 of 2 rows are beyond the maximum"),
        (Column("a", "integer", minimum=0), pl.Series("a", [-1, 4]), "1 of 2 rows are beyond the minimum"),
        (Column("a", "date", minimum="2000-01-01"), pl.Series("a", [date(1999, 12, 31)]), "beyond the minimum"),
        (Column("a", "category", nullable=False), pl.Series("a", ["x", None]), "1 of 2 rows are missing"),
        (Column("a", "category", values=("x",)), pl.Series("a", ["x", "secret"]), "a level that the schema does not"),
        (Column("a", "id", role="key"), pl.Series("a", ["x", "x"]), "1 rows repeat a key"),
        (Column("a", "id", role="subject"), pl.Series("a", ["x", None]), "have no subject"),
        (Column("b", "id"), pl.Series("a", ["x"]), "absent: b"),
    ],
)
def test_data_that_disagree_with_the_schema(column: Column, cells: pl.Series, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        one_table((column,), cells.to_frame())
    assert "secret" not in str(caught.value)


def test_all_problems_of_the_data_come_at_once() -> None:
    columns = (Column("a", "integer", minimum=0), Column("b", "number"), Column("c", "category", nullable=False))
    frame = pl.DataFrame({"a": [-1], "b": [float("inf")], "c": pl.Series([None], dtype=pl.String)})
    with pytest.raises(DataError) as caught:
        one_table(columns, frame)
    assert len(caught.value.problems) == 3


def test_orphans_and_absent_tables_are_counted(tidy_linked: Dataset) -> None:
    some = tidy_linked.tables["patients"].head(3)
    with pytest.raises(DataError, match=r"visits.patient_id: [\d,]+ rows link to no row of patients"):
        Dataset(tidy_linked.schema, {**tidy_linked.tables, "patients": some}, REAL)
    with pytest.raises(DataError, match="table 'visits' of the schema is absent"):
        Dataset(tidy_linked.schema, {"patients": tidy_linked.tables["patients"], "x": some}, REAL)


def test_order_of_columns_is_checked() -> None:
    columns = (Column("a", "integer"), Column("b", "integer"))
    with pytest.raises(DataError, match="order of the schema"):
        one_table(columns, pl.DataFrame({"b": [1], "a": [1]}))


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_split_is_by_subject_and_loses_nothing(name: str) -> None:
    whole = MAKERS[name]()
    first, second = whole.split(0.3, seed=4)
    assert first.n_subjects + second.n_subjects == whole.n_subjects
    assert first.n_rows + second.n_rows == whole.n_rows
    key = subject_key(whole.schema, whole.schema.parent)
    if key:
        assert not set(first.table[key]) & set(second.table[key])
    again, _ = whole.split(0.3, seed=4)
    assert again.table.equals(first.table)
    assert not whole.split(0.3, seed=5)[0].table.equals(first.table)


def test_split_keeps_both_parts_filled(tidy: Dataset) -> None:
    first, second = tidy.split(0.0001, seed=1)
    assert first.n_subjects == 1 and second.n_subjects == tidy.n_subjects - 1
    with pytest.raises(DataError, match="at least 2 subjects"):
        first.split(seed=1)


def test_events_are_one_long_frame(nasty_linked: Dataset, tidy: Dataset) -> None:
    events = nasty_linked.events()
    assert events.columns == ["subject_id", "time", "code", "numeric_value", "text_value"]
    visits = nasty_linked.tables["visits"]
    assert events.height == int(visits.select("type", "pressure").count().sum_horizontal()[0])
    assert events["subject_id"].is_sorted()
    assert tidy.events().is_empty() and tidy.events().columns == events.columns


def test_events_of_a_code_table() -> None:
    columns = (
        Column("pid", "id", role="subject"),
        Column("at", "datetime", role="time"),
        Column("what", "code", role="code"),
        Column("how_much", "number", role="value"),
    )
    frame = pl.DataFrame(
        {
            "pid": ["b", "a", "a"],
            "at": [datetime(2020, 1, 2), datetime(2020, 1, 3), datetime(1969, 1, 1)],
            "what": ["x", "y", "z"],
            "how_much": [1.5, None, -2.0],
        }
    )
    events = one_table(columns, frame).events()
    assert events["code"].to_list() == ["z", "y", "x"]
    assert events["numeric_value"].to_list() == [-2.0, None, 1.5]


@pytest.mark.parametrize(
    ("unit", "cell", "time"),
    [
        ("d", 400, datetime(1971, 2, 5)),
        ("d", -1, datetime(1969, 12, 31)),
        ("min", 90, datetime(1970, 1, 1, 1, 30)),
        ("h", 1.5, datetime(1970, 1, 1, 1, 30)),
        ("a", 4, datetime(1974, 1, 1)),
    ],
)
def test_events_at_numbers_count_from_1970_in_their_unit(unit: str, cell: float, time: datetime) -> None:
    kind: Any = "integer" if isinstance(cell, int) else "number"
    columns = (Column("pid", "id", role="subject"), Column("day", kind, role="time", unit=unit), Column("x", "number"))
    frame = pl.DataFrame({"pid": ["a"], "day": [cell], "x": [2.0]})
    assert one_table(columns, frame).events()["time"].to_list() == [time]


@pytest.mark.parametrize(("kind", "unit"), [("integer", None), ("integer", "mg/dL"), ("category", "d")])
def test_events_without_a_unit_of_time_are_refused(kind: Any, unit: str | None) -> None:
    columns = (Column("pid", "id", role="subject"), Column("day", kind, role="time", unit=unit), Column("x", "number"))
    frame = pl.DataFrame({"pid": ["a"], "day": ["7" if kind == "category" else 7], "x": [2.0]})
    with pytest.raises(UnsupportedError, match=r"'t\.day' as dates, or as numbers with a unit"):
        one_table(columns, frame).events()


def test_bounds_are_read_as_the_kind_says() -> None:
    assert bound(Column("a", "date", minimum="2020-01-01"), "minimum") == date(2020, 1, 1)
    assert bound(Column("a", "datetime", maximum="2020-01-01T10:00:00"), "maximum") == datetime(2020, 1, 1, 10)
    assert bound(Column("a", "number"), "minimum") is None
    with pytest.raises(DataError, match="as an ISO date"):
        bound(Column("a", "date", minimum="first of May"), "minimum")


def test_then_adds_a_step_alone(tidy: Dataset) -> None:
    later = tidy.then(Step("check", "rules"))
    assert later.tables is tidy.tables and len(later.provenance.steps) == 1


def test_frozen(tidy: Dataset) -> None:
    with pytest.raises(AttributeError):
        tidy.schema = replace(tidy.schema, name="other")  # type: ignore[misc]


def test_constraint_params_take_part_in_the_fingerprint() -> None:
    columns = (Column("a", "integer"), Column("b", "integer"))
    loose = Schema("s", (Table("t", columns, constraints=(Constraint("order", ("a", "b"), {"strict": False}),)),))
    strict = Schema("s", (Table("t", columns, constraints=(Constraint("order", ("a", "b"), {"strict": True}),)),))
    assert loose.fingerprint != strict.fingerprint


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("unit", 1, "'tables.t.columns.x.unit' to be a text"),
        ("format", ["%Y"], "to be a text"),
        ("why", date(2020, 1, 1), "to be a text"),
        ("nullable", "SECRET", "to be true or false"),
        ("values", {"SECRET": 1}, "to be a list"),
        ("missing", ["SECRET", None], "to be a list of texts"),
        ("values", [True, "no"], "to be a list of texts"),
        ("minimum", [1], "a number or an ISO date"),
        ("maximum", True, "a number or an ISO date"),
        ("minimum", "SECRET", "t.x: the minimum is not a finite number"),
        ("maximum", float("nan"), "t.x: the maximum is not a finite number"),
    ],
)
def test_a_schema_with_values_of_wrong_types_is_refused(key: str, value: Any, message: str) -> None:
    data = {"name": "s", "tables": {"t": {"columns": {"x": {"kind": "number", key: value}}}}}
    with pytest.raises(SchemaError, match=message) as caught:
        Schema.from_dict(data)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("value", [5, "SECRET", "2020-13-01", "2020-01-01T00:00:00+02:00"])
def test_bounds_of_dates_are_iso_dates(value: Any) -> None:
    with pytest.raises(SchemaError, match="not an ISO date") as caught:
        Schema("s", (Table("t", (Column("x", "date", minimum=value),)),))
    assert "SECRET" not in str(caught.value)
    assert Schema("s", (Table("t", (Column("x", "date", minimum="2020-01-01", maximum="2020-01-01T10:00:00"),)),))
    with pytest.raises(SchemaError, match="minimum is above the maximum"):
        Schema("s", (Table("t", (Column("x", "datetime", minimum="2020-01-02", maximum="2020-01-01T10:00"),)),))


@pytest.mark.parametrize("part", ["links", "constraints"])
def test_parts_of_a_schema_that_are_no_lists_are_refused(part: str) -> None:
    data = {"name": "s", "tables": {"t": {"columns": {"x": {"kind": "number", "unit": None}}, part: 5}}}
    with pytest.raises(SchemaError, match=f"'tables.t.{part}' to be a list"):
        Schema.from_dict(data)
