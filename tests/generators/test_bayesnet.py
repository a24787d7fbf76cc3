"""Bayesian network: the contract, known structures, back-off, conditions, no copies of rare combinations."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.generators.bayesnet import BayesNet, learn_backoff
from ehrsatz.generators.independent import Independent
from ehrsatz.generators.structure import Families, candidates, forest, search, sort_columns, table_gain
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream


def chain(n: int = 4000) -> np.ndarray:
    """Four levels, a -> b -> c, and d apart."""
    rng = stream(1, "chain")
    a = rng.integers(0, 3, n)
    b = np.where(rng.random(n) < 0.8, a, rng.integers(0, 3, n))
    c = np.where(rng.random(n) < 0.8, (b + 1) % 3, rng.integers(0, 3, n))
    return np.stack([a, b, c, rng.integers(0, 3, n)], axis=1).astype(np.int32)


def families(groups: np.ndarray) -> Families:
    none = np.zeros(groups.shape)
    return Families(groups, (3,) * groups.shape[1], none, (False,) * groups.shape[1], none.astype(bool))


def test_search_finds_the_chain():
    known = families(chain())
    partners = candidates(known, 3)
    parents = search(known, partners, 3, lambda what, done, total: None)
    edges = {frozenset((child, parent)) for child, own in enumerate(parents) for parent in own}
    assert edges == {frozenset((0, 1)), frozenset((1, 2))}
    assert sum(map(len, forest(known, partners))) == 2
    order = sort_columns(parents)
    assert all(order.index(parent) < order.index(child) for child, own in enumerate(parents) for parent in own)


def test_a_common_child_gets_both_parents():
    rng = stream(2, "collider")
    a, b = rng.integers(0, 3, 4000), rng.integers(0, 3, 4000)
    c = np.where(rng.random(4000) < 0.9, (a + b) % 3, rng.integers(0, 3, 4000))
    known = families(np.stack([a, b, c], axis=1).astype(np.int32))
    known_gain = known.gain(2, [0, 1])[0]
    assert known_gain > 1000 and known.gain(2, [0])[0] < 0
    assert table_gain(known.groups[:, 0], 3, known.config((1,))) < 0


def test_tables_back_off_from_what_few_subjects_show():
    child = np.array([0] * 50 + [1] * 50 + [0] * 3 + [1] * 1 + [2] * 1, dtype=np.int32)
    parent = np.array([0] * 50 + [1] * 50 + [2] * 4 + [1], dtype=np.int32)[:, None]
    table = learn_backoff(child, 3, parent, (3,), 0.0, 5)
    assert table.keys[0].tolist() == [0, 1]  # the third level of the parent has four subjects
    rows = table.rows(np.array([[0], [1], [2]], dtype=np.int32), (3,))
    assert rows[2] == 0
    share = table.probabilities[rows]
    assert np.allclose(share.sum(axis=1), 1) and share[0, 0] == 1
    assert share[1, 2] < 1 / 51  # one subject's combination lends its mass to the margin


def mixed(n: int = 3000) -> Dataset:
    rng = stream(3, "mixed")
    group = rng.choice(["a", "b", "c"], n)
    x = np.round(rng.normal(0, 1, n) + 2 * (group == "c"), 2)
    y = np.round(2 * x + rng.normal(0, 0.5, n), 2)
    flag = rng.random(n) < np.where(group == "a", 0.9, 0.1)
    frame = pl.DataFrame({"group": group, "x": x, "y": y, "flag": flag}).with_columns(
        pl.when(pl.col("flag")).then(None).otherwise(pl.col("y")).alias("y")
    )
    kinds = {"group": "category", "x": "number", "y": "number", "flag": "boolean"}
    table = Table("t", tuple(Column(name, kind) for name, kind in kinds.items()))  # type: ignore[arg-type]
    return Dataset(Schema("mixed", (table,)), {"t": frame}, Provenance("simulated"))


def test_joint_distribution_is_recovered():
    data = mixed()
    model = BayesNet().fit(data, seed=1)
    drawn = model.sample(3000, seed=2).table
    free = Independent().fit(data, seed=1).sample(3000, seed=2).table

    def facts(frame: pl.DataFrame) -> np.ndarray:
        both = frame.drop_nulls()
        in_a = frame.filter(pl.col("group") == "a")
        in_c = frame.filter(pl.col("group") == "c")
        missing = (frame["y"].is_null() == frame["flag"]).mean()
        return np.array([np.corrcoef(both["x"], both["y"])[0, 1], in_a["flag"].mean(), in_c["x"].mean(), missing])

    assert np.abs(facts(drawn) - facts(data.table)).max() < 0.35
    assert np.abs(facts(free) - facts(data.table)).max() > 0.5


def test_conditions_shift_the_other_columns():
    data = mixed()
    model = BayesNet().fit(data, seed=1)
    drawn = model.sample(1500, seed=2, given={"y": {"min": 2.0}, "flag": False}).table
    real = data.table.filter((pl.col("y") >= 2) & ~pl.col("flag"))
    assert (drawn["y"] >= 2).all() and not drawn["flag"].any()
    assert drawn["x"].mean() == pytest.approx(real["x"].mean(), abs=0.2)
    assert (drawn["group"] == "c").mean() == pytest.approx((real["group"] == "c").mean(), abs=0.1)


def test_wide_tables_of_noise_have_few_edges():
    rng = stream(4, "noise")
    frame = pl.DataFrame({f"c{i}": rng.choice(["x", "y"], 120) for i in range(260)})
    table = Table("wide", tuple(Column(name, "category") for name in frame.columns))
    data = Dataset(Schema("wide", (table,)), {"wide": frame}, Provenance("simulated"))
    model = BayesNet().fit(data, seed=1)
    assert sum(len(node.parents) for node in model.nodes_) < 100  # of 33,670 pairs
    assert model.sample(5, seed=1).table.height == 5
