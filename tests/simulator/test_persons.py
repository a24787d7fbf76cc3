"""People under a quota whose index date lies in the past: what they must take by then is in the record."""

from __future__ import annotations

import pytest

from ehrsatz.cli import simulated
from ehrsatz.evaluation.plausibility.quotas import quotas
from ehrsatz.scenario import Scenario
from ehrsatz.simulation import maker

N = 240


@pytest.mark.parametrize("index", ["2023", "2015..2022"])
@pytest.mark.parametrize("seed", [0, 1])
def test_drugs_by_the_index_date_are_in_a_short_record(index: str, seed: int) -> None:
    words = f"n={N} sex=female age=60..75 conditions=ckd:3b medications=metformin index={index}"
    plan = Scenario.cohort().changed(
        {"simulator.groups": [simulated.group(words)], "simulator.record_years": 1, "n": N, "seed": seed}
    )
    assert plan.simulator is not None
    made = maker(plan.simulator, N, seed).dataset(0, N)
    (found,) = quotas(made.tables, plan.simulator, seed, 0, N)
    assert found["whole"] == N, found
    start = made.tables["encounter"].get_column("start").dt.year()
    assert (start >= 2025).any()  # and the record goes on to its end
