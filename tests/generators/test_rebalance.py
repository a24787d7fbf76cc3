"""Rebalanced classes and fair outcomes, from every generator that conditions; the others refuse and name those."""

from __future__ import annotations

import pytest

from conftest import make_tidy
from ehrsatz import registry
from ehrsatz.errors import InfeasibleError, UnsupportedError
from ehrsatz.extras import is_available
from ehrsatz.generators.able import able_to_condition
from ehrsatz.generators.base import KINDS
from ehrsatz.generators.build import generator

NETWORKS = {"vae", "vaegan", "gan", "medgan", "flow", "diffusion", "latentdiffusion", "autoregressive"}


@pytest.mark.parametrize("name", registry.names("generators"))
def test_classes_are_balanced_and_groups_fare_alike(name: str) -> None:
    if name in NETWORKS and not is_available("torch"):
        pytest.skip("torch is not installed")
    quick = {"epochs": 3} if name in NETWORKS else {"members": "copula,bayesnet"} if name == "ensemble" else {}
    data = make_tidy(80)
    rates = data.table.group_by("sex").agg((data.table["outcome"] == "home").mean())  # the data themselves are uneven
    assert rates.height == 2
    model = generator(name, **quick).fit(data, seed=1)
    wish = {"outcome": {"share": "equal"}, "sex": {"share": "equal"}}
    if not registry.find("generators", name).conditions:
        with pytest.raises(UnsupportedError, match=f"'{name}' does not honour conditions.*copula.*trees|trees.*copula"):
            model.sample(10, seed=1, given=wish)
        return
    drawn = model.sample(40, seed=1, given=wish).table
    counts = drawn.group_by("sex", "outcome").len()
    assert sorted(counts["len"].to_list()) == [10, 10, 10, 10]  # statistical parity, and both classes alike
    assert drawn["age"].n_unique() > 5  # the other columns are drawn, not copied
    skewed = model.sample(40, seed=1, given={"smoker": {"share": {True: 0.9, False: 0.1}}}).table
    assert skewed["smoker"].sum() == 36


def test_equal_shares_need_levels() -> None:
    model = generator("independent").fit(make_tidy(), seed=1)
    with pytest.raises(InfeasibleError, match="equal shares for a column of levels"):
        model.sample(4, seed=1, given={"age": {"share": "equal"}})
    balanced = model.sample(9, seed=1, given={"diagnosis": {"share": "equal"}}).table
    assert sorted(balanced["diagnosis"].value_counts()["count"].to_list()) == [3, 3, 3]


def test_some_generator_conditions_on_every_kind() -> None:
    for kind in KINDS:
        assert {"trees", "copula", "bayesnet"} <= set(able_to_condition(kind))
