"""The ensemble: weights by held-out rows, each row from one member, refusals by name."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import make_tidy
from ehrsatz.errors import DataError, ScenarioError, UnsupportedError
from ehrsatz.generators.build import generator
from ehrsatz.generators.ensemble import Ensemble, adversary, stack
from ehrsatz.seeds import stream


def test_weights_of_a_known_mixture_are_found() -> None:
    rng = stream(1, "mixture")
    x = np.where(rng.random(6_000) < 0.7, rng.normal(0, 1, 6_000), rng.normal(3, 1, 6_000))
    density = np.stack([-((x - mean) ** 2) / 2 for mean in (0.0, 3.0, 30.0)], axis=1)
    weight = stack(density)
    assert weight == pytest.approx([0.7, 0.3, 0.0], abs=0.03)


def test_the_adversary_stands_in_for_densities() -> None:
    rng = stream(2, "atoms")
    near, far = rng.integers(0, 10, (900, 3)), rng.integers(5, 15, (900, 3))
    real = np.concatenate([rng.integers(0, 10, (300, 3)), rng.integers(5, 15, (100, 3))])
    weight = stack(adversary([near.astype(np.int32), far.astype(np.int32)], real.astype(np.int32), 1))
    assert weight == pytest.approx([0.75, 0.25], abs=0.08)


def test_the_better_member_weighs_more_and_a_useless_one_is_dropped() -> None:
    model = Ensemble(members="copula,independent").fit(make_tidy(400), seed=1)
    assert model.tried_["copula"] > 0.6
    assert sum(model.shares_.values()) == pytest.approx(1)


def test_each_row_comes_from_one_member() -> None:
    data = make_tidy(120)
    model = Ensemble(members="copula,bayesnet").fit(data, seed=1)
    assert set(model.shares_) == {"copula", "bayesnet"}
    drawn = model.sample(300, seed=2).table
    singles = [
        generator(name).fit(data, seed=1).sample(300, seed=2).table.drop("patient_id").rows()
        for name in ("copula", "bayesnet")
    ]
    rows = drawn.drop("patient_id").rows()
    from_first = np.array([row == one for row, one in zip(rows, singles[0])])
    from_second = np.array([row == one for row, one in zip(rows, singles[1])])
    assert (from_first | from_second).all()
    assert abs(from_first.mean() - model.shares_["copula"]) < 0.12


def test_names_are_checked_before_learning() -> None:
    with pytest.raises(ScenarioError, match="Did you mean 'copula'"):
        Ensemble(members="trees,copla").fit(make_tidy(), seed=1)
    with pytest.raises(ScenarioError, match="each once"):
        Ensemble(members="trees,trees").fit(make_tidy(), seed=1)
    with pytest.raises(ScenarioError, match="adversary or likelihood"):
        Ensemble(weights="best").fit(make_tidy(), seed=1)
    with pytest.raises(UnsupportedError, match="'copula' cannot"):
        Ensemble(members="copula", weights="likelihood").fit(make_tidy(), seed=1)


def test_members_that_need_more_rows_are_left_out_or_said() -> None:
    pytest.importorskip("torch")
    model = Ensemble(members="trees,vae").fit(make_tidy(45), seed=1)
    assert set(model.tried_) == {"trees"} or "vae" in model.tried_
    with pytest.raises(DataError, match="for one member at least"):
        Ensemble(members="vae").fit(make_tidy(30), seed=1)


def test_a_member_that_does_not_condition_is_named() -> None:
    pytest.importorskip("torch")
    model = Ensemble(members="vae").fit(make_tidy(80), seed=1)
    with pytest.raises(UnsupportedError, match="'vae' does not"):
        model.sample(3, seed=1, given={"sex": "F"})
