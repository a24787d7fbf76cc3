"""Formulas of reported values: by hand, and as inverses of each other."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.simulator.chart.formulas import SIMPLE, creatinine, egfr, grade, ldl, percentile, saturation

NONE = np.array([np.nan])


@pytest.mark.parametrize(
    ("sex", "value", "age", "want"),
    [  # reckoned by hand from Inker 2021
        (0, 1.0, 50.0, 69),
        (1, 1.0, 50.0, 92),
        (0, 0.6, 30.0, 124),
        (1, 2.5, 70.0, 27),
    ],
)
def test_filtration_of_adults_is_that_of_the_published_equation(sex: int, value: float, age: float, want: int) -> None:
    assert round(float(egfr(np.array([value]), NONE, np.array([sex]), np.array([age]))[0])) == want


def test_filtration_of_children_is_bedside_schwartz() -> None:
    got = egfr(np.array([0.5]), np.array([120.0]), np.array([0]), np.array([8.0]))
    assert got[0] == pytest.approx(0.413 * 120 / 0.5)


def test_creatinine_is_the_inverse_of_filtration() -> None:
    rng = np.random.default_rng(3)
    age, sex, height = rng.uniform(1, 95, 500), rng.integers(0, 2, 500), rng.uniform(70, 190, 500)
    rate = rng.uniform(4, 140, 500)
    back = egfr(creatinine(rate, height, sex, age), height, sex, age)
    assert back == pytest.approx(rate)


def test_friedewald_holds_below_400_only() -> None:
    got = ldl(np.array([200.0, 200.0, 200.0, 60.0]), np.array([50.0] * 4), np.array([150.0, 399.0, 400.0, 150.0]))
    assert got[:2] == pytest.approx([120.0, 70.2]) and np.isnan(got[2:]).all()


@pytest.mark.parametrize(
    ("name", "values", "want"),
    [
        ("body_mass_index", (80.0, 180.0), 24.691358),
        ("mean_arterial_pressure", (120.0, 75.0), 90.0),
        ("anion_gap", (140.0, 104.0, 24.0), 12.0),
        ("osmolality", (140.0, 90.0, 14.0), 290.0),
        ("ratio", (200.0, 50.0), 4.0),
        ("hematocrit", (15.0, 33.0), 45.454545),
        ("mch", (15.0, 5.0), 30.0),
        ("red_cells", (45.0, 90.0), 5.0),
        ("henderson_hasselbalch", (7.4, 40.0), 24.501),
    ],
)
def test_simple_formulas_by_hand(name: str, values: tuple[float, ...], want: float) -> None:
    assert float(SIMPLE[name](*(np.array([value]) for value in values))[0]) == pytest.approx(want, rel=1e-4)


def test_saturation_follows_the_dissociation_curve() -> None:
    got = saturation(np.array([27.0, 60.0, 100.0]), np.full(3, 7.4))
    assert got == pytest.approx([50.0, 90.5, 97.5], abs=1.0)  # Severinghaus 1979, table 1
    assert saturation(np.array([60.0]), np.array([7.2]))[0] < got[1]


def test_percentiles_and_grades_stay_in_their_scales() -> None:
    assert percentile(np.array([0.0, 9.0, -9.0])).tolist() == [50.0, 99.0, 1.0]
    assert grade(np.array([29.0, 30.0, 5000.0]), (30, 100, 300, 1000)).tolist() == [0, 1, 4]
