"""Independent columns: the contract, the margins, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.errors import InfeasibleError, UnsupportedError
from ehrsatz.generators.independent import Independent


def test_margins_hold_and_dependence_is_gone(tidy):
    drawn = Independent().fit(tidy, seed=1).sample(4000, seed=2).table
    real = tidy.table
    for level in ("home", "readmitted"):
        assert abs((drawn["outcome"] == level).mean() - (real["outcome"] == level).mean()) < 0.03
    assert abs(drawn["age"].mean() - real["age"].mean()) < 1
    assert abs(np.corrcoef(drawn["age"], drawn["smoker"].cast(int))[0, 1]) < 0.05


def test_impossible_conditions_are_refused(tidy):
    model = Independent().fit(tidy, seed=1)
    with pytest.raises(UnsupportedError):
        model.sample(3, seed=1, given={"sex": {"min": 1}})
    with pytest.raises(InfeasibleError):
        model.sample(3, seed=1, given={"age": {"min": 50.2, "max": 50.8}})
