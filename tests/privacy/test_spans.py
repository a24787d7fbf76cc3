"""Whole-number ids keep about their range, stay unique in any shard, and name no real extreme."""

from __future__ import annotations

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.privacy.identifiers import IdentifierPlan
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table


def plan_of(ids: np.ndarray) -> IdentifierPlan:
    schema = Schema("s", (Table("t", (Column("id", "integer", role="key"), Column("x", "integer"))),))
    frame = pl.DataFrame({"id": ids, "x": np.zeros(len(ids), dtype=np.int64)})
    return IdentifierPlan.learn(Dataset(schema, {"t": frame}, Provenance("real")))


def test_fabricated_ids_span_about_the_range_of_the_source() -> None:
    plan = plan_of(np.random.default_rng(0).permutation(np.arange(1, 1630))[:814])
    core = {"t": pl.DataFrame({"x": np.zeros(814, dtype=np.int64)})}
    ids = plan.attach(core, seed=1, first=0)["t"]["id"]
    assert ids.n_unique() == 814
    assert 1 <= ids.min() < 20 and 1600 < ids.max() < 1660


def test_more_rows_than_the_range_holds_still_get_unique_ids_in_any_shard() -> None:
    plan = IdentifierPlan.from_dict(plan_of(np.arange(1, 101)).to_dict())
    whole = plan.attach({"t": pl.DataFrame({"x": np.zeros(500, dtype=np.int64)})}, seed=1, first=0)["t"]["id"]
    part = plan.attach({"t": pl.DataFrame({"x": np.zeros(50, dtype=np.int64)})}, seed=1, first=300)["t"]["id"]
    assert whole.n_unique() == 500
    assert whole[300:350].to_list() == part.to_list()


def test_the_extremes_of_the_source_are_not_stored() -> None:
    plan = plan_of(np.append(np.arange(1000, 2000), 987_654_321))
    assert "987654321" not in str(plan.to_dict())
