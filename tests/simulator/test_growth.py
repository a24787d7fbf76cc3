"""Growth charts: published percentiles of WHO and CDC, no step at two years, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ehrsatz.errors import ScenarioError, UnknownNameError
from ehrsatz.simulator import growth

# kind, sex (0 female, 1 male), months, z, published value
WHO = [  # WHO Child Growth Standards 2006, percentile and z-score tables
    ("length", 1, 0, 0.0, 49.9),
    ("length", 0, 12, 0.0, 74.0),
    ("length", 1, 24, -2.0, 81.7),
    ("weight", 1, 12, 0.0, 9.6),
    ("weight", 0, 6, 2.0, 9.3),
    ("weight", 0, 0, -2.0, 2.4),
    ("head", 1, 12, 0.0, 46.1),
    ("head", 0, 24, 2.0, 50.0),
    ("bmi", 1, 6, 0.0, 17.3),
]
CDC = [  # CDC 2000 growth charts, percentile data files; rows at the half month
    ("height", 1, 60.5, 0.0, 109.2),
    ("height", 0, 120.5, 0.0, 138.2),
    ("height", 1, 204.5, 1.6449, 187.4),
    ("weight", 0, 144.5, 0.0, 41.8),
    ("weight", 1, 120.5, -1.6449, 24.9),
    ("bmi", 1, 120.5, 1.6449, 22.1),
    ("bmi", 0, 180.5, 0.0, 19.9),
    ("bmi", 0, 180.5, 1.6449, 28.1),
]


@pytest.mark.parametrize(("kind", "sex", "months", "z", "value"), WHO + CDC)
def test_published_percentiles(kind: str, sex: int, months: float, z: float, value: float) -> None:
    got = growth.at(kind, np.array([sex]), np.array([months / 12]), np.array([z]))[0]
    assert abs(got / value - 1) < 0.006


def test_nobody_shrinks_at_two() -> None:
    ages = np.linspace(0, 18, 1_801)
    for sex in (0, 1):
        for z in (-3.0, -1.0, 0.0, 1.0, 3.0):
            height = growth.at("height", np.full(len(ages), sex), ages, np.full(len(ages), z))
            assert np.diff(height).min() > -0.02
            head = growth.at("head", np.full(len(ages), sex), ages, np.full(len(ages), z))
            assert np.abs(np.diff(head)).max() < 0.45


@pytest.mark.parametrize("kind", ["length", "weight", "bmi", "head"])
def test_values_rise_with_z_without_a_step(kind: str) -> None:
    z = np.linspace(-5, 5, 501)
    for sex in (0, 1):
        for age in (0.0, 0.5, 2.0, 3.0, 8.0, 14.0, 19.9):
            value = growth.at(kind, np.full(501, sex), np.full(501, age), z)
            assert (np.diff(value) > 0).all()
            assert (np.diff(value) < 0.05 * value[1:]).all()
            assert value[0] > 0


def test_after_twenty_charts_stay() -> None:
    a, b = growth.at("weight", np.array([1, 1]), np.array([20.0, 45.0]), np.array([1.0, 1.0]))
    assert a == b


def test_an_unknown_chart_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="'waist'"):
        growth.at("waist", np.array([1]), np.array([5.0]), np.array([0.0]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["charts"][0].update(colour=1), "colour"),
        (lambda data: data["charts"][0].update(source="hearsay"), "absent: hearsay"),
        (lambda data: data["charts"].pop(0), "from birth to 240 months"),
        (lambda data: data["charts"][0]["L"].pop(), "one figure per month"),
    ],
)
def test_wrong_charts_are_refused(tmp_path: Path, change: object, words: str) -> None:
    data = json.loads(growth.FILE.read_text(encoding="utf-8"))
    change(data)  # type: ignore[operator]
    path = tmp_path / "growth.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        growth.read(path)
    assert words in str(caught.value)
