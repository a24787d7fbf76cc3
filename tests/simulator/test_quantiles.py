"""Natural levels: monotone, within bounds, on the published quantiles, and readings of them are so too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from ehrsatz.simulator import growth
from ehrsatz.simulator.process import standard
from ehrsatz.simulator.quantiles import COLUMNS, Correction, Natural

ALL = standard().names
ROUGH = {"trig": 0.07, "hdl": 0.04}  # samples so small that steps are narrower than the variation within a person
SURVEYED = ("height", "bmi", "sbp", "dbp", "total_chol", "hdl", "trig", "hba1c", "glucose", "egfr", "hemoglobin")


@pytest.fixture(scope="module")
def natural() -> Natural:
    return Natural(standard())


@pytest.fixture(scope="module")
def published() -> Natural:
    return Natural(standard(), usual=False)


@pytest.mark.parametrize("name", ALL)
def test_levels_rise_with_z_within_bounds(natural: Natural, name: str) -> None:
    low, high = natural.bounds(name)
    for sex in (0, 1):
        for age in (0.0, 0.7, 1.9, 5.0, 12.5, 19.0, 20.0, 47.3, 88.0, 110.0, 130.0):
            level = natural.at(name, np.full(len(COLUMNS), sex), np.full(len(COLUMNS), age), COLUMNS)
            assert (np.diff(level) >= -1e-9).all(), (name, sex, age)
            assert level[0] >= low and level[-1] <= high


@pytest.mark.parametrize("name", ALL)
def test_published_quantiles_are_met(published: Natural, name: str) -> None:
    process = standard()[name]
    table = process.quantiles
    z = ndtri(np.array(table.probabilities))
    for sex, rows in enumerate((table.female, table.male)):
        for age, row in zip(table.ages, rows):
            if age < 20 and (process.chart is not None or age != int(age)):
                continue  # growth charts, and ages between the rows of the table
            level = published.at(name, np.full(len(z), sex), np.full(len(z), float(age)), z)
            inner = (z >= -1.6449) & (z <= 1.6449)
            off = np.abs(level - row) / np.maximum(np.abs(row), 0.5 * max(row[-1] - row[0], 1e-9))
            assert off[inner].max() < 0.015, (name, sex, age)
            assert off.max() < 0.04, (name, sex, age)


@pytest.mark.parametrize("name", SURVEYED)
def test_readings_of_levels_have_the_published_quantiles(natural: Natural, name: str) -> None:
    process = standard()[name]
    table, n = process.quantiles, 20_001
    rng = np.random.Generator(np.random.Philox(key=5))
    inner = [i for i, p in enumerate(table.probabilities) if 0.05 <= p <= 0.95]
    for sex, rows in enumerate((table.female, table.male)):
        for age, row in zip(table.ages, rows):
            if age < 20:
                continue
            z = ndtri((np.arange(n) + 0.5) / n)
            level = natural.at(name, np.full(n, sex), np.full(n, float(age)), z)
            noise = ndtri((rng.permutation(n) + 0.5) / n)
            within = process.within
            if within.cv is None:
                reading = level + (within.sd or 0) * noise
            elif process.scale == "log":
                reading = level * np.exp(np.sqrt(np.log1p(within.cv**2)) * noise)
            else:
                reading = level * (1 + within.cv * noise)
            got = np.quantile(reading, [table.probabilities[i] for i in inner])
            assert np.abs(got / np.array(row)[inner] - 1).max() < ROUGH.get(name, 0.03), (sex, age)


def test_grid_reads_the_middle_of_each_year(natural: Natural) -> None:
    sex, z = np.array([0, 1, 1]), np.linspace(-2, 2, 3 * 90).reshape(3, 90)
    grid = natural.grid("sbp", sex, z)
    at = natural.at("sbp", np.repeat(sex, 90), np.tile(np.arange(90) + 0.5, 3), z.ravel())
    assert np.allclose(grid.ravel(), at)


@pytest.mark.parametrize("name", ["sbp", "height", "trig", "egfr", "mcv"])
def test_rank_is_the_inverse(natural: Natural, name: str) -> None:
    rng = np.random.Generator(np.random.Philox(key=6))
    n = 2_000
    sex, age, z = rng.integers(0, 2, n), rng.uniform(1, 90, n), np.clip(rng.normal(size=n), -2.5, 2.5)
    level = natural.at(name, sex, age, z)
    back = natural.at(name, sex, age, natural.rank(name, sex, age, level))
    assert np.allclose(back, level, rtol=1e-6)
    assert np.median(np.abs(natural.rank(name, sex, age, level) - z)) < 1e-6


def test_children_are_on_the_charts_of_today(natural: Natural) -> None:
    """One in five of 2 to 19 years is above the 95th percentile of the chart (NHANES 2017-March 2020: 19.7 %)."""
    ages = np.repeat(np.arange(2, 18) + 0.5, 2)
    sex = np.tile([0, 1], 16)
    limit = growth.at("bmi", sex, ages, np.full(32, 1.6449))
    z = natural.rank("bmi", sex, ages, limit)
    share = (1 - ndtr(z)).mean()
    assert 0.16 < share < 0.24


def test_growing_up_makes_no_step(natural: Natural) -> None:
    for name in ("height", "bmi", "head"):
        for z in (-2.0, 0.0, 2.0):
            ages = np.linspace(17, 23, 601)
            level = natural.growth(name, np.ones(601, int), ages, np.full(601, z))
            assert np.abs(np.diff(level)).max() < 0.01 * level.mean()


def test_a_correction_moves_the_quantile_function() -> None:
    shift = np.zeros((2, 2, 3))
    shift[1] = [[1, 2, 3], [4, 5, 6]]
    fix = Correction(np.array([30.0, 60.0]), np.array([0.1, 0.5, 0.9]), shift)
    plain, moved = Natural(standard()), Natural(standard(), {"sbp": fix})
    sex, age, z = np.array([1, 1, 1, 0]), np.array([30.0, 45.0, 80.0, 45.0]), np.array([0.0, 0.0, ndtri(0.9), 0.0])
    difference = moved.at("sbp", sex, age, z) - plain.at("sbp", sex, age, z)
    assert np.allclose(difference, [2, 3.5, 6, 0], atol=0.05)  # columns of z are an eighth apart


def test_a_correction_of_adults_leaves_growth_charts_alone() -> None:
    fix = Correction(np.array([25.0]), np.array([0.1, 0.9]), np.full((2, 1, 2), 3.0))
    plain, moved = Natural(standard()), Natural(standard(), {"height": fix})
    sex, age, z = np.zeros(3, int), np.array([5.0, 17.0, 40.0]), np.zeros(3)
    assert np.allclose(moved.at("height", sex, age, z) - plain.at("height", sex, age, z), [0, 0, 3])
