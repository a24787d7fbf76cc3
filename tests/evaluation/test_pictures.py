"""Bars of one column: nothing that fewer than five real subjects share."""

from __future__ import annotations

import re

import pytest

from ehrsatz.evaluation.pictures import picture
from ehrsatz.evaluation.space import Comparison
from evaluation.tables import population, table

TRAIN, FRESH = population(120, 1), population(120, 3)


@pytest.mark.parametrize("seed", range(4))
def test_every_bar_stands_for_five_real_subjects_or_none(seed: int) -> None:
    real = population(137, seed)
    view = Comparison.of(TRAIN, real, FRESH).views[0]
    for feature in view.features:
        drawn = picture(view, feature)
        assert drawn["labels"]
        for share in drawn["real"]:
            assert share == 0 or share * 1.37 > 4.9


def test_levels_of_few_are_pooled_with_the_next_smallest() -> None:
    real = table({"a": ("category", ["x"] * 20 + ["y"] * 6 + ["p", "q", "r"])})
    view = Comparison.of(real, real, real).views[0]
    drawn = picture(view, view.features[0])
    assert drawn["labels"] == ["x", "other"]
    assert drawn["real"] == [round(100 * 20 / 29, 2), round(100 * 9 / 29, 2)]


def test_a_column_of_few_values_has_no_picture() -> None:
    real = table({"a": ("number", [1.0, 2.0, 3.0] + [None] * 30), "b": ("category", ["x"] * 33)})
    view = Comparison.of(real, real, real).views[0]
    assert picture(view, view.features[0])["labels"] == []


def test_dates_have_round_edges() -> None:
    from datetime import date, timedelta

    days = [date(1961, 5, 17) + timedelta(days=37 * i) for i in range(300)]
    real = table({"d": ("date", days)})
    view = Comparison.of(real, real, real).views[0]
    labels = picture(view, view.features[0])["labels"]
    assert all(re.fullmatch(r"(< |≥ )?\d{4}-01-01( to \d{4}-01-01)?", one) for one in labels)
