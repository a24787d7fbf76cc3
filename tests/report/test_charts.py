"""Charts: what is drawn where, and by more than colour."""

from __future__ import annotations

import re

import pytest

from ehrsatz.report.charts import draw, strip
from ehrsatz.report.charts.base import mark, ticks
from ehrsatz.report.charts.strip import span
from ehrsatz.report.format import clean, measure, number


def score(**more: object) -> dict:
    found = {"title": "A measure", "value": 0.6, "interval": [0.5, 0.7], "reference": 0.5, "baseline": 0.2}
    return found | {"ideal": 1.0, "low": 0.0, "high": 1.0, "thresholds": []} | more


def limit(at: float | None, side: str = "most") -> dict:
    return {"at": at, "side": side, "text": f"at {side} {at}"}


def test_the_strip_shows_value_interval_real_data_baseline_ideal_and_limit() -> None:
    drawn = str(strip(score(thresholds=[limit(0.8)])))
    for css in ("made", "reach-synthetic", "m-real", "m-baseline", "ideal", "limit", "beyond"):
        assert f'class="{css}"' in drawn, css
    words = re.search('aria-label="(.*?)"', drawn)
    assert words is not None
    for told in ("value 0.600", "0.500 to 0.700", "real data 0.500", "without skill 0.200", "at most 0.8"):
        assert told in words[1], told


def test_what_lies_beyond_a_limit_is_hatched_on_the_right_side() -> None:
    def boxes(side: str) -> tuple[float, float]:
        found = re.search(
            'class="beyond" x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)"', strip(score(thresholds=[limit(0.5, side)]))
        )
        assert found is not None
        return float(found[1]), float(found[2])

    assert boxes("most") == (150.0, 140.0) and boxes("least") == (10.0, 140.0)
    assert 'class="limit"' not in strip(score(thresholds=[limit(None)]))


@pytest.mark.parametrize(
    ("more", "low", "high"),
    [
        ({}, 0.0, 1.0),
        ({"value": 0.002, "interval": [0.0, 0.01], "reference": 0.0, "baseline": None, "ideal": 0.0}, 0.0, 0.012),
        ({"value": 3.0, "interval": None, "reference": 2.0, "baseline": None, "ideal": None, "high": None}, 1.8, 3.2),
        ({"value": 5.0, "interval": None, "reference": None, "baseline": None, "ideal": 5.0, "high": 100.0}, 4.5, 5.5),
    ],
)
def test_the_scale_holds_every_mark(more: dict, low: float, high: float) -> None:
    a, b = span(score(**more))
    assert a == pytest.approx(low, abs=0.31) and b == pytest.approx(high, abs=0.31)
    seen = [score(**more)[key] for key in ("value", "reference", "baseline", "ideal")]
    assert all(a <= one <= b for one in seen if one is not None)


def test_series_differ_in_shape() -> None:
    shapes = [mark(series, 10, 10) for series in ("synthetic", "real", "control", "baseline")]
    stripped = [re.sub('class="[^"]*"', "", one) for one in shapes]
    assert len(set(stripped)) == 4


def test_bars_of_real_and_synthetic_differ_in_width() -> None:
    data = {"labels": ["a", "b"], "real": [60.0, 40.0], "synthetic": [50.0, 50.0], "upright": True}
    drawn = draw({"kind": "bars", "data": data, "alt": "Shares"})
    wide = {css: float(w) for css, w in re.findall('class="(real|made)" x="[^"]*" y="[^"]*" width="([0-9.]+)"', drawn)}
    assert wide["real"] > 2 * wide["made"]


def test_weaker_pairs_are_striped() -> None:
    data = {"columns": ["a", "b", "c"], "rows": None, "scale": 0.5}
    data["real"] = [[None, 0.9, 0.1], [0.9, None, 0.5], [0.1, 0.5, None]]
    data["synthetic"] = [[None, 0.1, 0.9], [0.1, None, 0.5], [0.9, 0.5, None]]
    drawn = draw({"kind": "difference", "data": data, "alt": "Map"})
    assert drawn.count('class="hatch"') == 1 and drawn.count('class="more"') == 1 and drawn.count('class="less"') == 1


def test_many_rows_stand_in_two_halves_on_one_scale() -> None:
    rows = [
        {"label": f"r{i}", "marks": [{"series": "real", "name": "real", "value": float(i), "interval": None}]}
        for i in range(9)
    ]
    data = {"rows": rows, "low": 0.0, "high": 9.0, "lines": [], "unit": ""}
    drawn = draw({"kind": "dots", "data": data, "alt": "Rows"})
    assert drawn.count("<svg") == 2 and drawn.index("r4") < drawn.rindex("<svg") < drawn.index("r5")


def test_a_curve_of_stairs_goes_along_before_it_goes_down() -> None:
    series = [{"name": "s", "style": "synthetic", "shape": "step", "points": [[0, 1], [1, 0.5]]}]
    axis = {"label": "x", "low": 0.0, "high": 1.0}
    data = {"series": series, "x": axis, "y": axis, "diagonal": False, "square": False}
    drawn = draw({"kind": "lines", "data": data, "alt": "Survival"})
    assert re.search(r'class="line-synthetic" d="M[\d. ]+H[\d.]+V[\d.]+"', drawn)


def test_ticks_are_round_and_within() -> None:
    assert ticks(0, 1) == [0.0, 0.5, 1.0] and ticks(0.05, 0.31) == [0.1, 0.2, 0.3] and ticks(3, 3) == [3]
    assert all(-2 <= one <= 7 for one in ticks(-2, 7))


def test_numbers_in_words() -> None:
    cases = {0.93506: "0.935", 12345.6: "12,346", 0.00004: "4e-05", 5.0: "5", 0.0: "0", -0.25: "-0.250", 42.5: "42.50"}
    assert {one: number(one) for one in cases} == cases
    assert number(None) == "none" and measure(12.345, "%") == "12.3 %" and measure(0.5) == "0.500"


def test_unseen_signs_are_replaced() -> None:
    assert clean("a\u202eb\x00c") == "a�b�c" and clean("שלום 🫀 é") == "שלום 🫀 é"
