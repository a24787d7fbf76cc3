"""Which columns of a wide table are read: those that go with the target, on either side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.evaluate import evaluate
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.question import MAX_INPUTS, question_of
from ehrsatz.evaluation.utility.screening import excess
from ehrsatz.seeds import stream
from evaluation.tables import table

NOISE = MAX_INPUTS + 60


def wide(seed: int, helpful: int) -> Dataset:
    """Return many columns of noise, and one among the last that tells the target."""
    rng = stream(seed, "wide")
    x = rng.normal(size=(200, NOISE))
    y = np.where(x[:, helpful] + 0.3 * rng.normal(size=200) > 0, "ill", "well")
    columns = {f"x{j}": ("number", x[:, j].tolist()) for j in range(NOISE)}
    return table({**columns, "y": ("category", y.tolist())})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_the_score_agrees_with_scipy(seed: int) -> None:
    rng = stream(seed, "chi")
    a, b = rng.integers(0, 5, 300), rng.integers(0, 3, 300)
    found = chi2_contingency(np.histogram2d(a, b, bins=(np.arange(6), np.arange(4)))[0], correction=False)
    assert excess(a, b) == pytest.approx((found.statistic - found.dof) / 300, abs=1e-6)


def test_the_best_columns_of_both_sides_are_read() -> None:
    comparison = Comparison.of(wide(1, NOISE - 1), wide(2, NOISE - 1), wide(3, NOISE - 2))
    asked = question_of(comparison, "y", 1)
    assert len(asked.inputs) == MAX_INPUTS and asked.params()["columns_screened_out"] == NOISE - MAX_INPUTS
    assert {f"x{NOISE - 1}", f"x{NOISE - 2}"} <= {one.name for one in asked.inputs}


def test_a_wide_table_is_measured() -> None:
    parts = (wide(seed, NOISE - 1) for seed in (1, 2, 3))
    score = evaluate(*parts, target="y", seed=1, metrics=["importance_agreement"])["importance_agreement"]
    assert score.details["columns"][0]["column"] == f"x{NOISE - 1}"
    assert score.params["columns"] == 100
