"""Constraints of every kind: checked, derived, repaired; whatever a generator draws, nothing is broken afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrsatz.dataset import Dataset
from ehrsatz.errors import InfeasibleError, SchemaError
from ehrsatz.provenance import Provenance
from ehrsatz.rules.constraints import ConstraintPlan, check
from ehrsatz.schema import Column, Constraint, Link, Schema, Table

LEVELS = [f"g{i}" for i in range(6)]
COLUMNS = (
    Column("low", "number", minimum=10, maximum=90),
    Column("high", "number", minimum=10, maximum=190),
    Column("change", "number"),
    Column("sex", "category", nullable=False, values=("F", "M")),
    Column("group", "category"),
    Column("family", "category"),
    Column("dead", "integer"),
    Column("pregnant", "category"),
    Column("year", "integer"),
    Column("month", "integer", minimum=1, maximum=12),
    Column("admitted", "date"),
    Column("left", "date"),
    Column("days", "integer"),
)
CONSTRAINTS = (
    Constraint("sum", ("change", "high", "low"), {"weights": [1, -1], "decimals": 1}),
    Constraint("order", ("low", "high")),
    Constraint("dependency", ("group", "family"), {"map": {level: f"f{i // 2}" for i, level in enumerate(LEVELS)}}),
    Constraint("implication", ("sex", "pregnant"), {"when": ["M"], "then": ["no"]}),
    Constraint("implication", ("dead", "year"), {"when": [0], "then": "missing"}),
    Constraint("implication", ("dead", "year"), {"when": [1], "then": "present"}),
    Constraint("missing_together", ("year", "month")),
    Constraint(
        "combination",
        ("sex", "group"),
        {"allowed": [[sex, level] for sex in "FM" for level in LEVELS if (sex, level) != ("M", "g0")]},
    ),
    Constraint("sum", ("left", "admitted", "days"), {"weights": [1, 1]}),
    Constraint("order", ("admitted", "left"), {"strict": True}),
)


def dataset(n: int = 600) -> Dataset:
    rng = np.random.Generator(np.random.Philox(1))
    low = np.clip(rng.normal(50, 10, n), 10, 90).round(1)
    change = rng.gamma(2, 5, n).round(1)
    group = rng.integers(0, 6, n)
    dead = rng.integers(0, 2, n)
    sex = np.where(group == 0, "F", rng.choice(["F", "M"], n))
    days = rng.integers(1, 30, n)
    admitted = pl.Series(rng.integers(15_000, 18_000, n).astype(np.int32)).cast(pl.Date)
    frame = pl.DataFrame(
        {
            "low": low,
            "high": (low + change).round(1),
            "change": change,
            "sex": sex,
            "group": [LEVELS[i] for i in group],
            "family": [f"f{i // 2}" for i in group],
            "dead": dead,
            "pregnant": np.where(sex == "M", "no", rng.choice(["no", "yes"], n)),
            "year": [int(y) if d else None for y, d in zip(rng.integers(80, 93, n), dead)],
            "month": [int(m) if d else None for m, d in zip(rng.integers(1, 13, n), dead)],
            "admitted": admitted,
            "left": admitted + pl.Series(days * 86_400_000_000).cast(pl.Duration("us")),
            "days": days,
        }
    )
    return Dataset(Schema("s", (Table("t", COLUMNS, constraints=CONSTRAINTS),)), {"t": frame}, Provenance("real"))


def shuffled(core: Dataset) -> dict[str, pl.DataFrame]:
    """Draw every column on its own: as broken as generated rows can be."""
    return {
        name: frame.select(pl.col(c).sample(fraction=1, shuffle=True, seed=i) for i, c in enumerate(frame.columns))
        for name, frame in core.tables.items()
    }


def failures(schema: Schema, tables: dict[str, pl.DataFrame]) -> int:
    return sum(finding.n_failed for finding in check(Dataset(schema, tables, Provenance("generated"))))


def test_check_counts_and_places_rows_just_inside_and_just_outside() -> None:
    columns = (Column("a", "integer"), Column("b", "integer"), Column("c", "category"))
    frame = pl.DataFrame({"a": [1, 2, 3, None], "b": [1, 1, 4, 2], "c": ["x", None, "y", "x"]})

    def found(one: Constraint) -> tuple[int, list[int]]:
        schema = Schema("s", (Table("t", columns, constraints=(one,)),))
        (finding,) = check(Dataset(schema, {"t": frame}, Provenance("real")))
        assert finding.n_failed == len(finding.rows["t"])
        return finding.n_checked, finding.rows["t"].tolist()

    assert found(Constraint("order", ("a", "b"))) == (3, [1])
    assert found(Constraint("order", ("a", "b"), {"strict": True})) == (3, [0, 1])
    assert found(Constraint("implication", ("c", "a"), {"when": ["x"], "then": [1]})) == (2, [])
    assert found(Constraint("implication", ("c", "a"), {"when": ["x"], "then": "present"})) == (2, [3])
    assert found(Constraint("implication", ("c", "a"), {"when": "missing", "then": [3]})) == (1, [1])
    assert found(Constraint("implication", ("a", "c"), {"when": "present", "then": "present"})) == (3, [1])
    assert found(Constraint("implication", ("a", "b"), {"when": "missing", "then": "missing"})) == (1, [3])
    assert found(Constraint("combination", ("a", "c"), {"allowed": [[1, "x"], [2, None], [None, "x"]]})) == (4, [2])
    assert found(Constraint("dependency", ("c", "b"), {"map": {"x": 1}})) == (2, [3])
    assert found(Constraint("sum", ("b", "a"), {"weights": [1], "constant": 1})) == (4, [0, 1, 3])
    assert found(Constraint("sum", ("b", "a", "c"), {"when": ["x"]})) == (2, [3])
    assert found(Constraint("sum", ("b", "a", "c"), {"when": "missing", "constant": -1})) == (1, [])
    assert found(Constraint("sum", ("b", "a", "c"), {"when": "present", "weights": [2]})) == (3, [0, 2, 3])
    assert found(Constraint("unique", ("b",))) == (4, [1])
    assert found(Constraint("missing_together", ("a", "c"))) == (4, [1, 3])


def test_what_others_determine_is_taken_out_and_comes_back_the_same() -> None:
    data = dataset()
    assert failures(data.schema, dict(data.tables)) == 0
    plan = ConstraintPlan.learn(data)
    assert set(plan.derived("t")) == {"change", "family", "left"}
    core = plan.reduce(data)
    assert not set(plan.derived("t")) & set(core.schema.parent.names)
    back = plan.restore(dict(core.tables), seed=1, first=0)["t"]
    assert back.drop("change").equals(data.table.drop("change"))
    assert np.allclose(back["change"], data.table["change"], atol=1e-9)


def test_repair_leaves_nothing_broken_and_shards_agree() -> None:
    data = dataset()
    plan = ConstraintPlan.learn(data)
    again = ConstraintPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    drawn = shuffled(plan.reduce(data))
    whole = plan.restore(drawn, seed=4, first=0)
    assert failures(data.schema, whole) == 0
    parts = [again.restore({"t": drawn["t"][i : i + 100]}, seed=4, first=i)["t"] for i in range(0, 600, 100)]
    assert whole["t"].equals(pl.concat(parts))
    # Few cells change: a column that no constraint breaks stays as it was drawn.
    assert whole["t"]["days"].equals(drawn["t"]["days"])
    assert (whole["t"]["group"] != drawn["t"]["group"]).mean() < 0.15


@pytest.mark.parametrize("fixed", [("sex",), ("pregnant", "group"), ("dead", "low"), ("year",), ("high", "month")])
def test_fixed_columns_never_change(fixed: tuple[str, ...]) -> None:
    data = dataset()
    plan = ConstraintPlan.learn(data)
    drawn = shuffled(plan.reduce(data))
    out = plan.restore(drawn, seed=4, first=0, fixed=fixed)
    assert failures(data.schema, out) == 0
    for name in fixed:
        assert out["t"][name].equals(drawn["t"][name])


def test_conditions_that_no_row_can_meet_are_refused_by_name() -> None:
    data = dataset()
    plan = ConstraintPlan.learn(data)
    drawn = shuffled(plan.reduce(data))
    with pytest.raises(InfeasibleError, match="conditions") as caught:
        plan.restore(drawn, seed=4, first=0, fixed=("sex", "pregnant"))
    assert "implication (sex, pregnant)" in str(caught.value)


def test_conditions_are_checked_before_anything_is_drawn() -> None:
    plan = ConstraintPlan.learn(dataset())
    plan.require(pl.DataFrame({"sex": ["M", "F"], "pregnant": ["no", "yes"], "dead": [0, 1]}))
    plan.require(pl.DataFrame({"sex": ["M"], "pregnant": [None]}, schema={"sex": pl.String, "pregnant": pl.String}))
    with pytest.raises(InfeasibleError, match=r"implication \(sex, pregnant\): 1 rows"):
        plan.require(pl.DataFrame({"sex": ["M", "F"], "pregnant": ["yes", "yes"]}))
    with pytest.raises(InfeasibleError, match="order"):
        plan.require(pl.DataFrame({"low": [60.0], "high": [50.0]}))


def test_constraints_that_contradict_each_other_are_refused_before_drawing() -> None:
    data = dataset()
    table = data.schema.parent
    wrong = replace(
        table,
        constraints=(
            Constraint("order", ("low", "high"), {"strict": True}),
            Constraint("order", ("high", "low"), {"strict": True}),
            Constraint("implication", ("sex", "low"), {"when": ["F", "M"], "then": "present"}),
            Constraint("implication", ("sex", "high"), {"when": ["F", "M"], "then": "present"}),
        ),
    )
    with pytest.raises(SchemaError, match="keep together"):
        ConstraintPlan.learn(replace(data, schema=data.schema.replace_table(wrong)))


@pytest.mark.parametrize(
    "one",
    [
        Constraint("order", ("low", "sex")),
        Constraint("order", ("low", "high", "change")),
        Constraint("order", ("low", "low")),
        Constraint("order", ("low", "high"), {"strickt": True}),
        Constraint("implication", ("sex", "pregnant"), {"when": ["M"]}),
        Constraint("implication", ("dead", "pregnant"), {"when": ["soon"], "then": ["no"]}),
        Constraint("combination", ("sex", "group"), {"allowed": [["F"]]}),
        Constraint("dependency", ("group", "family"), {}),
        Constraint("sum", ("change", "high", "low"), {"weights": [1]}),
        Constraint("sum", ("change", "sex")),
        Constraint("sum", ("change", "sex"), {"when": ["F"]}),
        Constraint("sum", ("low", "high", "sex")),
        Constraint("sum", ("low", "sex", "high"), {"when": [1]}),
        Constraint("sum", ("low", "high", "sex"), {"when": []}),
        Constraint("sum", ("low", "high", "sex"), {"when": None}),
        Constraint("sum", ("low", "high", "sex"), {"when": ["F"], "weights": [1, 1]}),
    ],
)
def test_a_constraint_written_wrongly_is_a_schema_error(one: Constraint) -> None:
    data = dataset()
    wrong = data.schema.replace_table(replace(data.schema.parent, constraints=(one,)))
    with pytest.raises(SchemaError, match=r"tables\.t\.constraints\[0\]"):
        check(replace(data, schema=wrong))


def test_hand_written_constraints_survive_the_schema_file() -> None:
    data = dataset()
    schema = Schema.from_yaml(data.schema.to_yaml())
    assert failures(schema, dict(data.tables)) == 0
    assert ConstraintPlan.learn(replace(data, schema=schema)).derived("t") == ConstraintPlan.learn(data).derived("t")


def test_a_wrong_order_of_often_equal_columns_becomes_a_tie() -> None:
    low = [i % 10 for i in range(100)]
    columns = (Column("low", "integer"), Column("high", "integer"))
    for gap in (0, 3):
        frame = pl.DataFrame({"low": low, "high": [x + gap for x in low]})
        table = Table("t", columns, constraints=(Constraint("order", ("low", "high")),))
        plan = ConstraintPlan.learn(Dataset(Schema("s", (table,)), {"t": frame}, Provenance("real")))
        out = plan.restore({"t": pl.DataFrame({"low": [7], "high": [4]})}, seed=1, first=0)["t"]
        assert out.rows() == ([(7, 7)] if gap == 0 else [(4, 7)])


def conditional(n: int = 300) -> Dataset:
    """Return stay <= days, equal for the dead; ordered <= stay, equal where nothing was ordered, with joint gaps."""
    rng = np.random.Generator(np.random.Philox(7))
    dead = rng.random(n) < 0.3
    order = rng.choice(["none", "early"], n)
    stay = np.where(order == "none", rng.integers(3, 51, n), rng.integers(3, 60, n))
    gap = rng.random(n) < 0.1
    ordered = np.where(order == "none", stay, rng.integers(0, 3, n))
    frame = pl.DataFrame(
        {
            "stay": stay,
            "days": np.where(dead, stay, stay + rng.integers(0, 300, n)),
            "ordered": [None if g else int(x) for g, x in zip(gap, ordered)],
            "order": [None if g else str(x) for g, x in zip(gap, order)],
            "dead": dead,
        }
    )
    columns = (
        Column("stay", "integer", minimum=0, maximum=100, nullable=False),
        Column("days", "integer", minimum=0, maximum=400, nullable=False),
        Column("ordered", "integer", minimum=-10, maximum=50),
        Column("order", "category", values=("none", "early")),
        Column("dead", "boolean", nullable=False),
    )
    constraints = (
        Constraint("order", ("stay", "days")),
        Constraint("order", ("ordered", "stay")),
        Constraint("missing_together", ("order", "ordered")),
        Constraint("sum", ("days", "stay", "dead"), {"when": [True]}),
        Constraint("sum", ("ordered", "stay", "order"), {"when": ["none"]}),
    )
    return Dataset(Schema("s", (Table("t", columns, constraints=constraints),)), {"t": frame}, Provenance("real"))


FREE_PAIRS = [(), ("days",), ("stay",), ("dead",), ("dead", "days"), ("stay", "days"), ("order",), ("dead", "order")]


@pytest.mark.parametrize("fixed", FREE_PAIRS)
def test_sums_under_a_condition_are_kept_by_repair(fixed: tuple[str, ...]) -> None:
    data = conditional()
    plan = ConstraintPlan.learn(data)
    assert plan.derived("t") == () and plan.reduce(data).table.equals(data.table)
    again = ConstraintPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    drawn = shuffled(data)
    if {"stay", "days"} <= set(fixed):  # as somebody may ask for: in the right order
        drawn = {"t": drawn["t"].with_columns(days=pl.max_horizontal("stay", "days"))}
    if {"dead", "days"} <= set(fixed):  # within the bounds of a stay
        days = pl.when("dead").then(pl.min_horizontal("days", pl.lit(90))).otherwise("days")
        drawn = {"t": drawn["t"].with_columns(days=days.cast(pl.Int64))}
    out = plan.restore(drawn, seed=3, first=0, fixed=fixed)
    assert failures(data.schema, out) == 0
    assert out["t"].equals(again.restore(drawn, seed=3, first=0, fixed=fixed)["t"])
    parts = [plan.restore({"t": drawn["t"][i : i + 60]}, seed=3, first=i, fixed=fixed)["t"] for i in range(0, 300, 60)]
    assert out["t"].equals(pl.concat(parts))
    for name in fixed:
        assert out["t"][name].equals(drawn["t"][name])
    if not fixed:  # the total follows; condition and part stay, where bounds allow
        assert out["t"]["dead"].equals(drawn["t"]["dead"])


def test_conditions_against_a_sum_under_a_condition_are_refused() -> None:
    data = conditional()
    plan = ConstraintPlan.learn(data)
    plan.require(pl.DataFrame({"stay": [5, 5], "days": [5, 9], "dead": [True, False]}))
    with pytest.raises(InfeasibleError, match=r"sum \(days, stay, dead\): 1 rows"):
        plan.require(pl.DataFrame({"stay": [5], "days": [9], "dead": [True]}))
    table = data.schema.parent
    both = [Constraint("sum", ("days", "stay", "dead"), {"when": [True, False], "constant": c}) for c in (1, 2)]
    wrong = data.schema.replace_table(replace(table, constraints=tuple(both)))
    with pytest.raises(SchemaError, match="keep together"):
        ConstraintPlan.learn(replace(data, schema=wrong))
    written = Schema.from_yaml(data.schema.to_yaml())
    assert written == data.schema
    kept = table.replace_columns(column for column in table.columns if column.name != "dead")
    assert [one.kind for one in kept.constraints].count("sum") == 1


def test_chains_of_sums_are_computed_in_order() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    frame = pl.DataFrame({name: rng.integers(0, 9, 100) for name in "abc"})
    frame = frame.with_columns(ab=pl.col("a") + pl.col("b")).with_columns(abc=pl.col("ab") + pl.col("c"))
    table = Table(
        "t",
        tuple(Column(name, "integer") for name in frame.columns),
        constraints=(Constraint("sum", ("abc", "ab", "c")), Constraint("sum", ("ab", "a", "b"))),
    )
    data = Dataset(Schema("s", (table,)), {"t": frame}, Provenance("real"))
    plan = ConstraintPlan.learn(data)
    assert plan.derived("t") == ("ab", "abc")
    assert plan.restore(dict(plan.reduce(data).tables), seed=1, first=0)["t"].equals(frame)


def test_a_total_beyond_its_bounds_is_given_back_by_its_parts() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    frame = pl.DataFrame({"a": rng.integers(0, 6, 200), "b": rng.integers(0, 5, 200)})
    frame = frame.with_columns(t=pl.col("a") + pl.col("b"))
    columns = tuple(Column(name, "integer", minimum=0, maximum=9) for name in frame.columns)
    table = Table("t", columns, constraints=(Constraint("sum", ("t", "a", "b")),))
    data = Dataset(Schema("s", (table,)), {"t": frame}, Provenance("real"))
    plan = ConstraintPlan.learn(data)
    out = plan.restore({"t": pl.DataFrame({"a": [9] * 20, "b": [7] * 20})}, seed=1, first=0)
    assert failures(data.schema, out) == 0


def test_unique_columns_and_unique_within_a_subject() -> None:
    columns = (
        Column("subject", "integer", role="subject"),
        Column("visit", "integer", minimum=1, maximum=50),
        Column("ward", "category"),
    )
    frame = pl.DataFrame({"subject": [i // 4 for i in range(80)], "visit": [i % 4 + 1 for i in range(80)]})
    frame = frame.with_columns(ward=pl.Series(["a", "b"] * 40))
    table = Table("t", columns, constraints=(Constraint("unique", ("subject", "visit")),))
    data = Dataset(Schema("s", (table,)), {"t": frame}, Provenance("real"))
    plan = ConstraintPlan.learn(data)
    out = plan.restore({"t": frame.with_columns(visit=pl.lit(50, pl.Int64))}, seed=1, first=0)
    assert failures(data.schema, out) == 0
    narrow = replace(table, columns=(columns[0], replace(columns[1], maximum=4), columns[2]))
    data = Dataset(Schema("s", (narrow,)), {"t": frame}, Provenance("real"))
    five = pl.DataFrame({"subject": [0] * 5, "visit": [1] * 5, "ward": ["a"] * 5})
    with pytest.raises(InfeasibleError, match="unique"):
        ConstraintPlan.learn(data).restore({"t": five}, seed=1, first=0)


def test_child_tables_are_repaired_alike_in_any_shard() -> None:
    n = 200
    rng = np.random.Generator(np.random.Philox(3))
    start = rng.integers(0, 50, 2 * n)
    schema = Schema(
        "s",
        (
            Table("p", (Column("id", "integer", role="key"), Column("sex", "category"))),
            Table(
                "v",
                (Column("id", "integer", role="link"), Column("start", "integer"), Column("end", "integer")),
                links=(Link("id", "p", "id"),),
                constraints=(Constraint("order", ("start", "end"), {"strict": True}),),
            ),
        ),
    )
    tables = {
        "p": pl.DataFrame({"id": list(range(n)), "sex": ["F", "M"] * (n // 2)}),
        "v": pl.DataFrame({"id": [i // 2 for i in range(2 * n)], "start": start, "end": start + 5}),
    }
    plan = ConstraintPlan.learn(Dataset(schema, tables, Provenance("real")))
    drawn = {**tables, "v": tables["v"].with_columns(pl.col("end").shuffle(seed=1))}
    whole = plan.restore(drawn, seed=2, first=0)
    assert failures(schema, whole) == 0
    half = n // 2
    later = {"p": drawn["p"][half:], "v": drawn["v"].filter(pl.col("id") >= half)}
    assert plan.restore(later, seed=2, first=half)["v"].equals(whole["v"].filter(pl.col("id") >= half))


def test_no_rows_and_one_subject_work() -> None:
    data = dataset()
    plan = ConstraintPlan.learn(data)
    none = plan.restore({"t": plan.reduce(data).table.clear()}, seed=1, first=0)["t"]
    assert none.height == 0 and tuple(none.columns) == data.schema.parent.names
    one = ConstraintPlan.learn(data.take_subjects(pl.Series([3])))
    assert failures(data.schema, one.restore({"t": one.reduce(data).table}, seed=1, first=0)) == 0


def test_the_plan_on_disk_names_no_level_of_few_subjects() -> None:
    data = dataset()
    rare = data.table.with_columns(
        pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("unicorn")).otherwise("group").alias("group")
    )
    plain = data.schema.replace_table(replace(data.schema.parent, constraints=CONSTRAINTS[2:4]))
    plan = ConstraintPlan.learn(Dataset(plain, {"t": rare}, Provenance("real")))
    assert "unicorn" not in json.dumps(plan.to_dict())


# ---------------------------------------------------------------------- anything at all
NUMBERS, CLASSES = ("x", "y", "z"), ("c", "d")


@st.composite
def constraint(draw: Any) -> Constraint:
    kind = draw(
        st.sampled_from(["order", "implication", "combination", "dependency", "sum", "missing_together", "gap", "when"])
    )
    pair = tuple(draw(st.permutations(NUMBERS))[:2])
    classes = tuple(draw(st.permutations(CLASSES)))
    some = st.lists(st.sampled_from(["k", "l", "m"]), min_size=1, max_size=2, unique=True)
    if kind == "order":
        return Constraint("order", pair, {"strict": draw(st.booleans())})
    if kind == "implication":
        return Constraint("implication", classes, {"when": draw(some), "then": draw(some)})
    if kind == "gap":
        params = {"when": draw(some), "then": draw(st.sampled_from(["missing", "present"]))}
        return Constraint("implication", (classes[0], pair[0]), params)
    if kind == "combination":
        rows = st.lists(st.sampled_from([(a, b) for a in "klm" for b in "klm"]), min_size=2, max_size=5, unique=True)
        return Constraint("combination", classes, {"allowed": [list(row) for row in draw(rows)]})
    if kind == "dependency":
        return Constraint("dependency", classes, {"map": {level: draw(st.sampled_from("klm")) for level in draw(some)}})
    if kind == "sum":
        total, *parts = draw(st.permutations(NUMBERS))
        return Constraint("sum", (total, *parts), {"weights": draw(st.sampled_from([[1, 1], [1, -1]]))})
    if kind == "when":
        params = {"when": draw(some), "constant": draw(st.integers(0, 2))}
        return Constraint("sum", (*pair, classes[0]), params)
    return Constraint("missing_together", pair)


@given(constraints=st.lists(constraint(), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_whatever_the_constraints_rows_keep_them_or_the_schema_is_refused(
    constraints: list[Constraint], seed: int
) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    frame = pl.DataFrame(
        {
            **{name: [None if u < 0.2 else int(u * 10) for u in rng.random(120)] for name in NUMBERS},
            **{name: rng.choice(["k", "l", "m"], 120) for name in CLASSES},
        }
    )
    columns = (
        Column("x", "integer", minimum=0, maximum=10),
        Column("y", "integer", minimum=0),
        Column("z", "integer"),
        Column("c", "category", nullable=False),
        Column("d", "category", values=("k", "l", "m")),
    )
    schema = Schema("s", (Table("t", columns, constraints=tuple(constraints)),))
    data = Dataset(schema, {"t": frame}, Provenance("real"))
    try:
        plan = ConstraintPlan.learn(data)
    except SchemaError:
        return
    out = plan.restore(dict(plan.reduce(data).tables), seed=seed, first=0)
    assert failures(schema, out) == 0
