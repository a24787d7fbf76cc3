"""Units of a country: values, ranges and codes turn together, and what is not named stays."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.country import Conversion
from ehrsatz.simulator.reported import Reported

GLUCOSE = Conversion(unit="mmol/L", factor=0.0555, decimals=1, loinc="15074-8", source="x")
HBA1C = Conversion(unit="mmol/mol", factor=10.929, offset=-23.5, decimals=0, source="x")


def test_values_and_ranges_turn_together() -> None:
    plain = catalogue()
    ours = Reported(plain, {"glucose": GLUCOSE, "hba1c": HBA1C})
    glucose, hba1c, sodium = (plain.place[name] for name in ("glucose", "hba1c", "sodium"))
    item = np.array([glucose, hba1c, sodium, glucose])
    found = ours.convert(item, np.array([90.0, 6.5, 140.123, np.nan]))
    assert found[:3].tolist() == [5.0, 48.0, 140.123] and np.isnan(found[3])
    assert ours.units[glucose] == "mmol/L" and ours.units[sodium] == plain.units[sodium]
    assert ours.codes[glucose] == "15074-8" and ours.codes[hba1c] == plain.codes[hba1c]
    sex, age = np.zeros(4, np.int64), np.full(4, 50.0)
    for mine, theirs in zip(ours.ranges(item, sex, age), plain.ranges(item, sex, age), strict=True):
        assert mine[2] == theirs[2] or (np.isnan(mine[2]) and np.isnan(theirs[2]))
        if not np.isnan(theirs[0]):
            assert mine[0] == pytest.approx(theirs[0] * 0.0555, abs=0.051)
    low, high, _, _ = ours.ranges(item, sex, age)
    assert low[0] < 5.0 < high[0]


def test_items_are_found_by_their_code() -> None:
    plain = catalogue()
    ours = Reported(plain, {})
    code = plain.codes[plain.place["hba1c"]]
    assert ours.of_code([("LOINC", code), ("LOINC", "no"), ("SNOMED-CT", code)]).tolist() == [
        plain.place["hba1c"],
        -1,
        -1,
    ]
    value = np.array([1.23456])
    assert ours.convert(np.array([0]), value) is value


def test_a_unit_for_no_item_is_refused() -> None:
    with pytest.raises(ScenarioError, match="glucos"):
        Reported(catalogue(), {"glucos": GLUCOSE})
