"""The catalogue of observations: read, refused where it is wrong, and its ranges by sex and age."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ehrsatz.errors import EhrsatzError
from ehrsatz.simulator.catalogue import FILE, Catalogue, catalogue


@pytest.fixture(scope="module")
def items() -> Catalogue:
    return catalogue()


def _no_source(data: dict[str, Any]) -> None:
    data["items"][0]["source"] = "nobody"


def _unknown_key(data: dict[str, Any]) -> None:
    data["items"][0]["colour"] = "red"


def _two_noises(data: dict[str, Any]) -> None:
    data["items"][0]["noise"] = {"cv": 0.1, "sd": 1.0}


def _unknown_formula(data: dict[str, Any]) -> None:
    data["items"][0].update(process=None, formula="magic", of=["weight"])


def _both(data: dict[str, Any]) -> None:
    data["items"][0].update(process="height", formula="ratio", of=["weight"])


def _twice(data: dict[str, Any]) -> None:
    data["items"].append(data["items"][0])


def _panel(data: dict[str, Any]) -> None:
    data["panels"]["vitals"]["items"].append("aura")


def _category(data: dict[str, Any]) -> None:
    data["items"][0]["category"] = "divination"


def _shares(data: dict[str, Any]) -> None:
    one = next(item for item in data["items"] if item.get("healthy", {}).get("shares"))
    one["healthy"]["shares"] = [0.5, 0.2]


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_no_source, "nobody"),
        (_unknown_key, "colour"),
        (_two_noises, "either cv or sd"),
        (_unknown_formula, "formula"),
        (_both, "not both"),
        (_twice, "once"),
        (_panel, "aura"),
        (_category, "category"),
        (_shares, "sum to 1"),
    ],
    ids=lambda one: getattr(one, "__name__", "").strip("_"),
)
def test_a_wrong_catalogue_is_refused_with_the_place(
    spoil: Callable[[dict[str, Any]], None], word: str, tmp_path: Path
) -> None:
    data = json.loads(FILE.read_text(encoding="utf-8"))
    spoil(data)
    path = tmp_path / "items.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(EhrsatzError) as error:
        catalogue(path)
    assert word in str(error.value)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(EhrsatzError, match="JSON"):
        catalogue(path)


def test_ranges_hang_on_sex_and_age(items: Catalogue) -> None:
    place = items.place["hemoglobin"]
    item, sex, age = np.full(4, place), np.array([0, 1, 0, 1]), np.array([40.0, 40.0, 3.0, 3.0])
    low, high, least, most = items.ranges(item, sex, age)
    assert low.tolist() == [12.0, 13.5, 10.5, 10.5] and high.tolist() == [16.0, 17.5, 13.5, 13.5]
    assert (least == 7.0).all() and (most == 20.0).all()
    none = items.ranges(np.array([items.place["weight"]]), np.array([0]), np.array([40.0]))
    assert all(np.isnan(part).all() for part in none)


def test_an_item_on_the_birthday_has_the_next_range(items: Catalogue) -> None:
    place = np.full(2, items.place["creatinine"])
    low, _, _, _ = items.ranges(place, np.array([1, 1]), np.array([17.99, 18.0]))
    assert low.tolist() == [0.4, 0.7]


def test_everything_that_is_written_has_a_code_and_a_way_to_get_its_value(items: Catalogue) -> None:
    for one in items.items:
        ways = [one.process is not None, one.formula is not None, one.healthy is not None]
        assert any(ways) or one.id in {"tumor_stage", "nyha"}, one.id  # of findings
    assert all(items.codes[items.place[name]] for name in ("sbp", "hba1c", "creatinine", "phq9"))
