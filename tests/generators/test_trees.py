"""What is special to trees: joint distributions, the floor of subjects, conditions, several rows per subject."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import InfeasibleError, UnsupportedError
from ehrsatz.generators.independent import Independent
from ehrsatz.generators.trees import Trees
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Link, Schema, Table

REAL = Provenance("real")


def one_table(n: int = 2_000, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    x = rng.normal(size=n) + 2 * group
    y = 0.8 * x + 0.3 * rng.normal(size=n)
    sick = rng.random(n) < 1 / (1 + np.exp(3 - x))
    frame = pl.DataFrame(
        {
            "group": [f"g{k}" for k in group],
            "x": np.round(x, 3),
            "y": pl.Series(np.round(y, 3)).set(pl.Series(group == 1) & pl.Series(rng.random(n) < 0.5), None),
            "count": rng.poisson(1 + group),
            "sick": sick,
        }
    )
    columns = (
        Column("group", "category"),
        Column("x", "number"),
        Column("y", "number"),
        Column("count", "integer", minimum=0),
        Column("sick", "boolean"),
    )
    return Dataset(Schema("s", (Table("t", columns),)), {"t": frame}, REAL)


def two_tables(n: int = 300, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    frail = rng.random(n) < 0.4
    patients = pl.DataFrame({"pid": np.arange(n) + 1000, "frail": frail})
    rows = []
    for i in range(n):
        day, level = date(2020, 1, 1) + timedelta(int(rng.integers(300))), rng.normal() + 3 * frail[i]
        for _ in range(rng.poisson(4 if frail[i] else 1)):
            rows.append((1000 + i, day, round(level, 2), "F" if i % 2 else "M"))
            day, level = day + timedelta(int(rng.integers(1, 60))), level + 0.2 * rng.normal()
    visits = pl.DataFrame(rows, schema=["pid", "day", "level", "sex"], orient="row")
    schema = Schema(
        "s",
        (
            Table("patients", (Column("pid", "integer", role="key"), Column("frail", "boolean"))),
            Table(
                "visits",
                (
                    Column("pid", "integer", role="link"),
                    Column("day", "date", role="time"),
                    Column("level", "number"),
                    Column("sex", "category"),
                ),
                (Link("pid", "patients", "pid"),),
            ),
        ),
    )
    return Dataset(schema, {"patients": patients, "visits": visits}, REAL)


def correlation(frame: pl.DataFrame) -> float:
    return float(np.corrcoef(*frame.drop_nulls().select("x", "y").to_numpy().T)[0, 1])


def test_a_known_joint_distribution_is_recovered_and_independent_columns_are_beaten() -> None:
    data = one_table()
    frame = Trees().fit(data, seed=1).sample(2_000, seed=2).table
    floor = Independent().fit(data, seed=1).sample(2_000, seed=2).table
    real = correlation(data.table)
    assert abs(correlation(frame) - real) < 0.03 < abs(correlation(floor) - real)
    for name in ("g0", "g1", "g2"):
        real_group, group = data.table.filter(group=name), frame.filter(group=name)
        assert abs(group.height - real_group.height) < 120
        assert abs(group["sick"].mean() - real_group["sick"].mean()) < 0.08  # type: ignore[operator]
        assert abs(group["y"].null_count() / group.height - real_group["y"].null_count() / real_group.height) < 0.08


def test_numbers_that_follow_others_are_new_and_on_the_grid_of_the_source() -> None:
    data = one_table()
    drawn = Trees().fit(data, seed=1).sample(2_000, seed=2).table
    pairs = set(data.table.select("x", "y").drop_nulls().rows())
    assert sum(pair in pairs for pair in drawn.select("x", "y").drop_nulls().rows()) <= 10
    assert (drawn["y"].drop_nulls() * 1000 - (drawn["y"].drop_nulls() * 1000).round()).abs().max() < 1e-6  # type: ignore[operator]


def test_every_leaf_counts_enough_subjects_even_where_subjects_have_many_rows() -> None:
    data = two_tables()
    fitted = Trees(leaf=8).fit(data, seed=1)
    sequence = fitted.rows_["visits"]
    for one in sequence.conditionals:
        for tree in one.trees:
            anchors = np.unique(tree.anchor)
            assert ((tree.end - tree.start)[anchors] >= 8).all()


def test_the_dial_trades_copies_against_likeness() -> None:
    data = one_table(600)
    rows = set(data.table.select("group", "count", "sick").rows())
    sizes = []
    for caution in (0.7, 10.0):
        fitted = Trees(caution=caution).fit(data, seed=1)
        sizes.append(sum(len(tree.feature) for one in fitted.subjects_.conditionals for tree in one.trees))
    assert rows and sizes[0] > 4 * sizes[1]


def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    data = one_table(500)
    for workers in (1, 2):
        Trees(workers=workers).fit(data, seed=1).save(tmp_path / str(workers))
    assert (tmp_path / "1" / "weights.npz").read_bytes() == (tmp_path / "2" / "weights.npz").read_bytes()


def test_conditions_hold_in_every_row_and_move_what_depends_on_them() -> None:
    data = one_table()
    fitted = Trees().fit(data, seed=1)
    high = fitted.sample(400, seed=3, given={"x": {"min": 4, "max": 6}}).table
    assert high["x"].is_between(4, 6).all()
    real = data.table.filter(pl.col("x").is_between(4, 6))
    assert abs(high["sick"].mean() - real["sick"].mean()) < 0.12  # type: ignore[operator]
    assert abs((high["group"] == "g2").mean() - (real["group"] == "g2").mean()) < 0.15  # type: ignore[operator]
    sick = fitted.sample(400, seed=3, given={"sick": True}).table
    assert sick["sick"].all()
    assert abs(sick["x"].mean() - data.table.filter("sick")["x"].mean()) < 0.3  # type: ignore[operator]
    both = fitted.sample(50, seed=3, given={"group": {"any": ["g0", "g2"]}, "count": 2}).table
    assert both["group"].is_in(["g0", "g2"]).all() and (both["count"] == 2).all()
    with pytest.raises(InfeasibleError):
        fitted.sample(10, seed=3, given={"group": "g9"})


def test_linked_rows_have_parents_order_in_time_and_depend_on_the_parent() -> None:
    data = two_tables()
    out = Trees().fit(data, seed=1).sample(300, seed=2)
    patients, visits = out.tables["patients"], out.tables["visits"]
    assert patients.height == 300 and visits["pid"].is_in(patients["pid"].implode()).all()
    assert visits.group_by("pid", maintain_order=True).agg(pl.col("day").is_sorted())["day"].all()
    counts = patients.join(visits.group_by("pid").len(), on="pid", how="left").with_columns(pl.col("len").fill_null(0))
    frail, fit = counts.filter("frail")["len"].mean(), counts.filter(~pl.col("frail"))["len"].mean()
    assert abs(frail - 4) < 1.2 and abs(fit - 1) < 0.5  # type: ignore[operator]
    joined = visits.join(patients, on="pid").group_by("frail").agg(pl.col("level").mean()).sort("frail")["level"]
    assert joined[1] - joined[0] > 1.5
    last = visits.with_columns(pl.col("level").shift(1).over("pid").alias("last")).drop_nulls("last")
    assert np.corrcoef(last["level"], last["last"])[0, 1] > 0.8  # each row follows the one before
    assert visits.group_by("pid").agg(pl.col("sex").n_unique())["sex"].max() == 1  # never changes in the source


def test_conditions_on_what_changes_from_visit_to_visit_are_refused_by_name() -> None:
    visits = two_tables().tables["visits"]
    columns = (Column("pid", "integer", role="subject"), Column("day", "date", role="time"), Column("level", "number"))
    data = Dataset(Schema("s", (Table("v", columns),)), {"v": visits.select("pid", "day", "level")}, REAL)
    with pytest.raises(UnsupportedError, match="level"):
        Trees().fit(data, seed=1).sample(10, seed=1, given={"level": 1.0})


def test_deeper_links_are_refused_by_name() -> None:
    data = two_tables()
    labs = pl.DataFrame({"vid": [1, 1, 2], "value": [1.0, 2.0, 3.0]})
    visits = data.tables["visits"].head(2).with_columns(pl.Series("vid", [1, 2])).select("vid", "pid", "day")
    schema = Schema(
        "s",
        (
            data.schema["patients"],
            Table(
                "visits",
                (Column("vid", "integer", role="key"), Column("pid", "integer", role="link"), Column("day", "date")),
                (Link("pid", "patients", "pid"),),
            ),
            Table(
                "labs",
                (Column("vid", "integer", role="link"), Column("value", "number")),
                (Link("vid", "visits", "vid"),),
            ),
        ),
    )
    tables = {"patients": data.tables["patients"], "visits": visits, "labs": labs}
    with pytest.raises(UnsupportedError, match="labs"):
        Trees().fit(Dataset(schema, tables, REAL), seed=1)


def test_identities_hold_and_weight_change_survives(data_dir: Path) -> None:
    import ehrsatz

    data = ehrsatz.read(data_dir / "nhefs" / "nhefs.csv")
    out = Trees().fit(data, seed=1).sample(1_000, seed=2).table
    change = (out["wt82"] - out["wt71"] - out["wt82_71"]).abs().max()
    assert change is not None and change < 1e-6
    assert (out["wt82"].is_null() == out["wt82_71"].is_null()).all()
    gap = out.group_by("qsmk").agg(pl.col("wt82_71").mean()).sort("qsmk")["wt82_71"].diff()[1]
    assert 1.0 < gap < 4.0  # 2.5 kg in the source
