"""Mixtures of leaves and kernels, and hashed Gibbs chains: known joints, exact conditions, what their parameters do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conftest import make_tidy
from ehrsatz.codecs.window import Window
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, ScenarioError
from ehrsatz.generators.base import Generator
from ehrsatz.generators.components import learn_normals
from ehrsatz.generators.forest import Forest, fall
from ehrsatz.generators.gibbs import Gibbs
from ehrsatz.generators.hashes import learn_hash
from ehrsatz.generators.independent import Independent
from ehrsatz.generators.kde import Kde, cut
from ehrsatz.generators.levels import learn_levels
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

ALL = (Forest, Kde, Gibbs)


def mixed(n: int = 1500) -> Dataset:
    rng = stream(3, "mixed")
    group = rng.choice(["a", "b", "c"], n)
    x = np.round(rng.normal(0, 1, n) + 2 * (group == "c"), 3)
    y = np.round(2 * x + rng.normal(0, 0.5, n), 3)
    flag = rng.random(n) < np.where(group == "a", 0.9, 0.1)
    frame = pl.DataFrame({"group": group, "x": x, "y": y, "flag": flag}).with_columns(
        z=pl.when(pl.col("flag")).then(None).otherwise(pl.col("y").round(1))
    )
    kinds = {"group": "category", "x": "number", "y": "number", "flag": "boolean", "z": "number"}
    table = Table("t", tuple(Column(name, kind) for name, kind in kinds.items()))  # type: ignore[arg-type]
    return Dataset(Schema("mixed", (table,)), {"t": frame}, Provenance("simulated"))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return mixed()


@pytest.fixture(scope="module", params=ALL, ids=lambda method: method.name)
def model(request: pytest.FixtureRequest, data: Dataset) -> Generator:
    return request.param().fit(data, seed=1)


def facts(frame: pl.DataFrame) -> np.ndarray:
    in_a, in_c = frame.filter(pl.col("group") == "a"), frame.filter(pl.col("group") == "c")
    gaps = (frame["z"].is_null() == frame["flag"]).mean()
    return np.array([np.corrcoef(frame["x"], frame["y"])[0, 1], in_a["flag"].mean(), in_c["x"].mean() / 2, gaps])


def test_a_known_joint_is_recovered(model: Generator, data: Dataset) -> None:
    drawn = model.sample(2000, seed=2).table
    free = Independent().fit(data, seed=1).sample(2000, seed=2).table
    assert np.abs(facts(drawn) - facts(data.table)).max() < 0.2
    assert np.abs(facts(free) - facts(data.table)).max() > 0.4
    for name in ("x", "y"):
        ends = data.table[name].quantile(0.1), data.table[name].quantile(0.9)
        inside = drawn[name].is_between(*ends).mean()
        assert inside == pytest.approx(0.8, abs=0.05)


def test_conditions_give_the_conditional_distribution(model: Generator, data: Dataset) -> None:
    real = data.table.filter((pl.col("y") >= 2) & ~pl.col("flag"))
    drawn = model.sample(1500, seed=2, given={"y": {"min": 2.0}, "flag": False}).table
    assert (drawn["y"] >= 2).all() and not drawn["flag"].any()
    assert drawn["x"].mean() == pytest.approx(real["x"].mean(), abs=0.25)
    assert (drawn["group"] == "c").mean() == pytest.approx((real["group"] == "c").mean(), abs=0.13)
    assert drawn["y"].mean() == pytest.approx(real["y"].mean(), abs=0.4)


def test_a_cell_moves_what_hangs_on_it(model: Generator) -> None:
    drawn = model.sample(400, seed=2, given={"x": 1.5}).table
    assert (drawn["x"] == 1.5).all()
    assert drawn["y"].mean() == pytest.approx(3.0, abs=0.5)
    assert 0.3 < drawn["y"].std() < 1.1


def test_rows_with_their_own_conditions_are_those_of_any_shard(model: Generator, data: Dataset) -> None:
    asked = pl.DataFrame({"x": [None, 0.5, None, -1.0], "group": ["a", None, None, "c"]})
    whole = model.sample(4, seed=3, given=asked).table
    parts = [model.sample(1, seed=3, given=asked[i : i + 1], first=i).table for i in range(4)]
    assert whole.equals(pl.concat(parts))
    assert whole["x"][1] == 0.5 and whole["group"][3] == "c"


@pytest.mark.parametrize("method", ALL)
def test_too_few_rows_and_wrong_parameters_are_refused(method: type[Generator]) -> None:
    few = make_tidy(method.least - 1)
    with pytest.raises(DataError, match=f"at least {method.least} subjects"):
        method().fit(few, seed=1)
    name = {"forest": "leaf", "kde": "group", "gibbs": "leaf"}[method.name]
    with pytest.raises(ScenarioError, match=name):
        method(**{name: 4}).fit(make_tidy(), seed=1)


# ---------------------------------------------------------------------- exactness
def test_components_are_weighed_by_their_chance_of_a_condition(data: Dataset) -> None:
    """Every condition against the same numbers worked out from a large free sample."""
    mixture = Kde(cuts=1, group=60).fit(data, seed=1).mixture_
    u = stream(5, "u").random((40_000, mixture.width))
    atoms, _ = mixture.sample(u, None)
    x, y = 1, 2
    allowed = (np.arange(len(mixture.latents.shares[y]) - 1) > len(mixture.latents.shares[y]) * 0.7) * 1.0
    kept = atoms[allowed[atoms[:, y]] > 0]
    held, _ = mixture.sample(u[:10_000], Window(share={y: allowed}))
    assert (allowed[held[:, y]] > 0).all()
    for d in (0, x, y, 3):
        assert held[:, d].mean() == pytest.approx(kept[:, d].mean(), abs=0.05 * max(1.0, kept[:, d].std()))
    both = {x: (np.arange(len(mixture.latents.shares[x]) - 1) < len(mixture.latents.shares[x]) * 0.6) * 1.0, y: allowed}
    kept = atoms[(both[x][atoms[:, x]] > 0) & (allowed[atoms[:, y]] > 0)]
    held, _ = mixture.sample(u[:3_000], Window(share=both))
    assert (both[x][held[:, x]] > 0).all() and (allowed[held[:, y]] > 0).all()
    for d in (x, y):
        assert held[:, d].mean() == pytest.approx(kept[:, d].mean(), abs=0.1 * kept[:, d].std())
        assert held[:, d].std() == pytest.approx(kept[:, d].std(), rel=0.2)


def test_margins_are_those_of_the_data(data: Dataset) -> None:
    mixture = Kde().fit(data, seed=1).mixture_
    atoms, within = mixture.sample(stream(6, "u").random((40_000, mixture.width)), None)
    for d in mixture.latents.smooth:
        share = mixture.latents.shares[d][:-1]
        drawn = np.bincount(atoms[atoms[:, d] >= 0, d], minlength=len(share)) / len(atoms)
        assert np.abs(np.cumsum(drawn) - np.cumsum(share)).max() < 0.015
        assert within[:, d].mean() == pytest.approx(0.5, abs=0.02)


# ---------------------------------------------------------------------- parts
def test_splits_that_leave_too_few_on_one_side_are_undone() -> None:
    from sklearn.tree import DecisionTreeClassifier

    x = np.arange(40, dtype=np.float32)[:, None]
    tree = DecisionTreeClassifier(min_samples_leaf=2).fit(x, np.arange(40) // 4 % 2).tree_
    leaf, low, _ = fall(tree, x, 5)
    assert np.bincount(leaf).min() >= 5
    assert all(low[k, 0] < x[leaf == k].min() or np.isneginf(low[k, 0]) for k in range(len(low)))
    step = DecisionTreeClassifier().fit(x, np.arange(40) // 20).tree_
    _, low, high = fall(step, x[:8], 5)
    assert np.isneginf(low).all() and high[0, 0] == 19.5  # a side without rows narrows the box


def test_cuts_keep_alike_rows_together() -> None:
    rng = stream(7, "cuts")
    axes = rng.normal(size=(300, 4)) * np.array([5.0, 1, 1, 1])
    group = cut(axes, 10)
    sizes = np.bincount(group)
    assert sizes.min() >= 10 and sizes.max() < 20
    inside = np.mean([axes[group == k, 0].std() for k in range(len(sizes))])
    assert inside < 2


def test_levels_are_counts_mixed_with_the_margin() -> None:
    codes, whose = np.array([1, 1, 1, 2, 2, 1]), np.array([0, 0, 0, 0, 1, 1])
    one = learn_levels(codes, whose, 3, np.array([0, 0.5, 0.3, 0.2]))
    chance = one.chance(np.arange(3), np.arange(4))
    assert np.allclose(chance.sum(axis=1), 1)
    assert chance[0, 1] == pytest.approx((3 + one.weight * 0.5) / (4 + one.weight))
    assert np.allclose(chance[2], [0, 0.5, 0.3, 0.2])  # a component without subjects has the margin
    drawn = one.draw(np.zeros(20_000, dtype=np.int64), stream(8, "u").random(20_000))
    assert np.allclose(np.bincount(drawn, minlength=4) / 20_000, chance[0], atol=0.015)


def test_groups_that_say_nothing_of_a_score_do_not_move_it() -> None:
    rng = stream(9, "normals")
    whose = np.repeat(np.arange(60), 8)
    apart = np.repeat(rng.normal(0, 2, 60), 8) + rng.normal(0, 0.5, 480)
    mean, spread = learn_normals(np.stack([apart, rng.normal(0, 1, 480)], axis=1), whose, 60)
    assert mean[:, 0].std() > 1.5 and spread[:, 0].mean() == pytest.approx(0.5, abs=0.15)
    assert mean[:, 1].std() < 0.25 and spread[:, 1].mean() == pytest.approx(1.0, abs=0.15)


def test_buckets_are_drawn_towards_the_bucket_around_them() -> None:
    state = np.repeat(np.arange(4, dtype=np.float32), 25)[:, None]
    codes = np.repeat([0, 0, 1, 1], 25)
    rows = np.arange(100)
    common = {"grown": rows, "counted": rows, "ordered": False, "leaf": 5, "seed": 0}
    sharp = learn_hash(state, np.array([0]), codes, 2, alpha=0.01, **common)
    blunt = learn_hash(state, np.array([0]), codes, 2, alpha=1000.0, **common)
    assert sharp.table[sharp.bucket(state)][0, 0] > 0.99
    assert blunt.table[blunt.bucket(state)][0, 0] == pytest.approx(0.5, abs=0.05)


def test_more_of_a_forest_is_correlated_when_asked(data: Dataset) -> None:
    plain = Forest(correlated=False, n_trees=10, rounds=1, leaf=40).fit(data, seed=1)
    tied = Forest(n_trees=10, rounds=1, leaf=40).fit(data, seed=1)
    size = [abs(np.corrcoef(*(one.sample(1500, seed=2).table[c] for c in "xy"))[0, 1]) for one in (plain, tied)]
    assert size[1] > size[0]
    assert np.array_equal(plain.mixture_.latents.root, np.eye(len(plain.mixture_.latents.smooth)))
    assert tied.accuracy_[0] > 0.6
