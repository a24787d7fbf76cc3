"""Autoregressive network: any order, exact conditions, imputation, likelihood, linear start."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, NotFittedError
from ehrsatz.generators.autoregressive import Autoregressive
from ehrsatz.generators.independent import Independent
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")


def bent(n: int, *, gaps: bool = True) -> Dataset:
    """Return rows where y bends with x, a level says the sign of x, and the last whether sign and coin agree."""
    rng = stream(3, "bent")
    x = rng.normal(0, 1, n)
    y = x**2 + rng.normal(0, 0.3, n)
    sign = np.where(x > 0, "up", "down")
    coin = np.where(rng.random(n) < 0.5, "heads", "tails")
    crossed = np.where((sign == "up") == (coin == "heads"), "same", "other")
    lost = rng.random(n) < (0.2 if gaps else 0.0)
    frame = pl.DataFrame(
        {
            "x": x.round(3),
            "coin": coin,
            "sign": sign,
            "y": pl.Series(y.round(3)).set(pl.Series(lost), None),
            "crossed": crossed,
        }
    )
    columns = (
        Column("x", "number", nullable=False),
        Column("coin", "category", nullable=False),
        Column("sign", "category", nullable=False),
        Column("y", "number"),
        Column("crossed", "category", nullable=False),
    )
    return Dataset(Schema("bent", (Table("rows", columns),)), {"rows": frame}, Provenance("real"))


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    return Autoregressive(epochs=30, rate=8e-3).fit(bent(700), seed=1)


def keeps(frame: pl.DataFrame) -> tuple[float, float, float]:
    """Return how far y lies from x squared (median), and shares of rows where sign and crossed are right."""
    x, y = frame["x"].to_numpy(), frame["y"].fill_null(float("nan")).to_numpy()
    up, heads = (frame["sign"] == "up").to_numpy(), (frame["coin"] == "heads").to_numpy()
    away = float(np.nanmedian(np.abs(y - x**2)))
    return away, float((up == (x > 0)).mean()), float(((up == heads) == (frame["crossed"] == "same").to_numpy()).mean())


def test_recovers_a_known_joint(model: Autoregressive) -> None:
    away, sign, crossed = keeps(model.sample(1_000, seed=2).table)
    plain, half, chance = keeps(Independent().fit(bent(800), seed=1).sample(1_000, seed=2).table)
    assert away < 0.45 < 0.6 < plain
    assert sign > 0.93 > 0.6 > half
    assert crossed > 0.93 > 0.6 > chance


def test_conditions_on_later_columns_reach_the_first(model: Autoregressive) -> None:
    drawn = model.sample(600, seed=3, given={"sign": "down", "y": 4.0}).table
    assert (drawn["sign"] == "down").all()
    assert (drawn["y"] == 4.0).all()
    assert (drawn["x"] < 0).mean() > 0.85
    assert (drawn["x"] + 2).abs().median() < 0.6


def test_bands_on_several_columns_weigh_each_other(model: Autoregressive) -> None:
    drawn = model.sample(600, seed=4, given={"x": {"min": -3.0, "max": 3.0}, "y": {"min": 1.5}}).table
    assert drawn["y"].min() >= 1.5
    assert drawn["x"].abs().max() <= 3.0
    # cut one after the other without weights, x would keep its margin: a median distance from 0 of 0.67
    assert drawn["x"].abs().median() > 1.0


def test_rows_may_be_conditioned_on_different_columns(model: Autoregressive) -> None:
    wish = pl.DataFrame({"sign": ["down", None] * 150, "coin": ["heads", "tails"] * 150, "x": [None, 1.5] * 150})
    drawn = model.sample(300, seed=5, given=wish).table
    for name in wish.columns:
        asked = wish[name].is_not_null()
        assert (drawn[name].filter(asked) == wish[name].filter(asked)).all()
    assert (drawn["x"].gather_every(2) < 0).mean() > 0.8
    assert (drawn["crossed"].gather_every(2, 1) == "other").mean() > 0.8
    parts = [model.sample(100, seed=5, given=wish[:100]), model.sample(200, seed=5, given=wish[100:], first=100)]
    assert pl.concat([part.table for part in parts]).equals(drawn)


def test_impute_fills_from_what_the_row_knows(model: Autoregressive) -> None:
    data = bent(400)
    holes = np.arange(400) % 2 == 0
    truth = data.table["crossed"]
    frame = data.table.with_columns(pl.Series("crossed", truth).set(pl.Series(holes), None))
    schema = Schema("bent", (data.schema.parent.replace_columns(_nullable(data.schema.parent)),))
    holed = Dataset(schema, {"rows": frame}, Provenance("real"))
    full = model.impute(holed, seed=6)
    for name in frame.columns:
        assert full.table[name].null_count() == 0
        known = frame[name].is_not_null()
        assert full.table[name].filter(known).equals(frame[name].filter(known))
    assert (full.table["crossed"].filter(pl.Series(holes)) == truth.filter(pl.Series(holes))).mean() > 0.9
    filled = full.table.filter(data.table["y"].is_null())
    assert keeps(filled)[0] < 0.5
    assert model.impute(holed, seed=6).table.equals(full.table)
    assert not model.impute(holed, seed=7).table.equals(full.table)
    assert full.provenance.origin == "real"
    assert full.provenance.steps[-1].action == "impute"


def _nullable(table: Table) -> list[Column]:
    return [Column(one.name, one.kind) for one in table.columns]


def test_impute_and_likelihood_name_what_is_lacking(model: Autoregressive) -> None:
    with pytest.raises(NotFittedError):
        Autoregressive().log_likelihood(bent(50))
    table = Table("rows", bent(50).schema.parent.columns[:2])
    part = Dataset(Schema("bent", (table,)), {"rows": bent(50).table.select("x", "coin")}, Provenance("real"))
    with pytest.raises(DataError, match="3 of 5"):
        model.impute(part, seed=1)


def test_likelihoods_of_all_rows_sum_to_one() -> None:
    rng = stream(4, "cells")
    n = 300
    age = rng.integers(30, 42, n)
    group = np.where(rng.random(n) < age / 60, "a", "b")
    dose = np.where(rng.random(n) < 0.3, None, rng.integers(0, 3, n))
    columns = (Column("age", "integer", nullable=False), Column("group", "category"), Column("dose", "integer"))
    schema = Schema("cells", (Table("rows", columns),))

    def rows(cells: list[tuple[int, str, int | None]]) -> Dataset:
        kinds = {"age": pl.Int64, "group": pl.String, "dose": pl.Int64}
        return Dataset(schema, {"rows": pl.DataFrame(cells, schema=kinds, orient="row")}, Provenance("real"))

    model = Autoregressive(epochs=5).fit(rows(list(zip(age.tolist(), group.tolist(), dose.tolist()))), seed=1)
    every = rows(list(product(range(30, 42), ("a", "b"), (None, 0, 1, 2))))
    assert np.exp(model.log_likelihood(every)).sum() == pytest.approx(1.0, abs=2e-3)


def test_likelihood_tells_rows_from_shuffled_ones(model: Autoregressive) -> None:
    data = bent(300)
    mixed = data.table.with_columns(data.table["x"].shuffle(seed=1), data.table["crossed"].shuffle(seed=2))
    shuffled = Dataset(data.schema, {"rows": mixed}, Provenance("real"))
    assert model.log_likelihood(data).mean() > model.log_likelihood(shuffled).mean() + 1.0


def test_linear_start_is_ridge_regression_in_any_order(model: Autoregressive) -> None:
    moments, order = model.net_.moments, torch.tensor([3, 0, 4, 1, 2])
    found, _ = moments.coefficients(order)
    token, target = moments.layout.token, moments.layout.values[0]  # x, after y
    before = np.flatnonzero(token // 2 == 3)
    gram, penalty = moments.gram.numpy(), float(moments.facts[1])
    wanted = np.linalg.solve(gram[np.ix_(before, before)] + penalty * np.eye(len(before)), gram[before, target])
    assert found[target, before].numpy() == pytest.approx(wanted, abs=1e-5)
    assert float(found[target, np.setdiff1d(np.arange(len(token)), before)].abs().max()) == 0.0


def test_parameters_act() -> None:
    small = Autoregressive(width=4, depth=0, epochs=1).fit(bent(60), seed=1)
    deep = Autoregressive(width=8, depth=2, epochs=2).fit(bent(60), seed=1)
    assert small.net_.first.shape[1] == 5 * 4
    assert len(small.net_.layers) == 0
    assert deep.net_.first.shape[1] == 5 * 8
    assert len(deep.net_.layers) == 4
    assert (small.history_["epochs"], deep.history_["epochs"]) == (1, 2)
