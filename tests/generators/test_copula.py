"""Gaussian copula: the contract, known latent correlations, conditions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.generators.copula import Copula, gibbs, mix
from ehrsatz.generators.gaussian import latent_correlation, positive_definite
from ehrsatz.generators.independent import Independent
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream


def normal_pair(rho: float, n: int = 20_000) -> np.ndarray:
    z = stream(1, "pair").normal(size=(n, 2))
    z[:, 1] = rho * z[:, 0] + np.sqrt(1 - rho**2) * z[:, 1]
    return z


@pytest.mark.parametrize("rho", [-0.95, -0.4, 0.0, 0.3, 0.8])
@pytest.mark.parametrize("cuts", [(0.3,), (0.1, 0.6, 0.9)])
def test_latent_correlation_of_cut_normals_is_recovered(rho, cuts):
    z = normal_pair(rho)
    ranks = np.stack(
        [np.searchsorted(np.quantile(z[:, 0], cuts), z[:, 0]), np.argsort(np.argsort(z[:, 1])) // 200], axis=1
    ).astype(np.int32)
    both = np.stack([ranks[:, 0], np.searchsorted(np.quantile(z[:, 1], cuts), z[:, 1])], axis=1).astype(np.int32)
    for one in (ranks, both):
        shares = tuple(np.bincount(column) / len(column) for column in one.T)
        assert latent_correlation(one, shares)[0, 1] == pytest.approx(rho, abs=0.05)


def test_matrix_is_made_positive_definite_and_shrunk():
    bad = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    good = positive_definite(bad, 1000)
    assert np.linalg.eigvalsh(good).min() > 0 and np.allclose(np.diag(good), 1)
    assert abs(positive_definite(np.array([[1, 0.02], [0.02, 1]]), 30)[0, 1]) < 0.01


def test_rows_are_mixed_alike_in_any_shard():
    noise = stream(2, "noise").normal(size=(1300, 7))
    factor = np.linalg.cholesky(np.eye(7) * 0.5 + 0.5)
    whole = mix(noise, factor)
    assert np.array_equal(np.concatenate([mix(noise[:5], factor), mix(noise[5:], factor)]), whole)
    assert np.allclose(whole, noise @ factor.T)


def test_gibbs_draws_cut_normals():
    u = stream(3, "u").random((4000, 24))
    wide = np.full((1, 1), np.inf)
    drawn = gibbs(np.array([[1, 0.8], [0.8, 1]]), [(np.ones((1, 1)), wide), (-wide, wide)], u)
    assert drawn[:, 0].min() >= 1
    assert drawn[:, 0].mean() == pytest.approx(1.525, abs=0.03)  # density(1) / (1 - distribution(1))
    assert drawn[:, 1].mean() == pytest.approx(0.8 * 1.525, abs=0.04)
    far = gibbs(np.eye(1), [(np.full((1, 1), 9.0), np.full((1, 1), 9.5))], u)
    assert ((far >= 9) & (far <= 9.5)).all()


def dependent(n: int = 3000) -> Dataset:
    z = normal_pair(0.8, n)
    third = np.where(z[:, 0] > 0.5, "up", np.where(z[:, 0] < -0.5, "down", "b"))
    frame = pl.DataFrame(
        {"x": z[:, 0], "y": np.rint(np.exp(z[:, 1] + 3)).astype(int), "level": third, "lab": np.round(z[:, 1], 1)}
    ).with_columns(pl.when(pl.col("y") > 25).then(None).otherwise(pl.col("lab")).alias("lab"))
    kinds = {"x": "number", "y": "integer", "level": "category", "lab": "number"}
    table = Table("t", tuple(Column(name, kind) for name, kind in kinds.items()))  # type: ignore[arg-type]
    return Dataset(Schema("dependent", (table,)), {"t": frame}, Provenance("simulated"))


def test_dependence_is_recovered_and_beats_independent_columns():
    data = dependent()
    drawn = Copula().fit(data, seed=1).sample(3000, seed=2).table
    free = Independent().fit(data, seed=1).sample(3000, seed=2).table

    def rank_correlation(frame: pl.DataFrame) -> float:
        return float(frame.select(pl.corr("x", "y", method="spearman")).item())

    assert rank_correlation(drawn) == pytest.approx(rank_correlation(data.table), abs=0.04)
    assert abs(rank_correlation(free)) < 0.06
    means = dict(drawn.group_by("level").agg(pl.col("x").mean()).iter_rows())
    assert means["down"] < means["b"] < means["up"]  # levels are put in order by what they go with
    gone, real = (frame.group_by(pl.col("lab").is_null()).agg(pl.col("y").mean()) for frame in (drawn, data.table))
    assert dict(gone.iter_rows())[True] > 2 * dict(gone.iter_rows())[False] and real.height == 2


def test_conditions_shift_the_other_columns():
    data = dependent()
    model = Copula().fit(data, seed=1)
    high = model.sample(2000, seed=2, given={"x": {"min": 1.0}}).table
    real = data.table.filter(pl.col("x") >= 1.0)
    assert (high["x"] >= 1).all() and high["y"].median() == pytest.approx(real["y"].median(), rel=0.15)
    both = model.sample(500, seed=2, given={"level": "down", "lab": {"max": 0.0}}).table
    assert (both["level"] == "down").all() and (both["lab"] <= 0).all() and both["x"].mean() < -0.5
