"""The catalogue of observations as data: codes that exist, sources, panels, ranges; and the page of the physiology."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ehrsatz.clinical import CATEGORIES
from ehrsatz.simulator.process import FILE, standard
from ehrsatz.terminology.units import check as check_unit

ITEMS = FILE.parent / "items.json"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator" / "physiology.md"
PANELS = """
    vitals growth metabolic lipids hba1c cbc kidney liver thyroid inflammation iron urate cardiac troponin coagulation
    blood_gas sepsis spirometry bone mood cognition psa vitamin_d urinalysis glucose lvef tumor microbiology pain
"""


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    return json.loads(ITEMS.read_text(encoding="utf-8"))


def test_all_panels_are_there_and_hold_items(catalogue: dict[str, Any]) -> None:
    ids = {one["id"] for one in catalogue["items"]}
    assert set(PANELS.split()) <= set(catalogue["panels"])
    assert len(ids) == len(catalogue["items"]) >= 90
    for panel in catalogue["panels"].values():
        assert panel["items"] and set(panel["items"]) <= ids


def test_codes_are_in_the_lists(catalogue: dict[str, Any], data_dir: Path) -> None:
    folder, known = data_dir / "terminology", set()
    for name, column in (("loinc_subset.csv", "code"), ("mimic_labitems_loinc.csv", "loinc_code")):
        with (folder / name).open(encoding="utf-8") as file:
            known |= {row[column] for row in csv.DictReader(file)}
    used = [one["loinc"] for one in (*catalogue["items"], *catalogue["panels"].values()) if one["loinc"]]
    assert sorted(set(used) - known) == []


def test_units_categories_processes_and_sources_exist(catalogue: dict[str, Any]) -> None:
    named = set()
    for one in catalogue["items"]:
        assert one["unit"] is None or not check_unit(one["unit"]), one["id"]
        assert one["category"] in CATEGORIES
        assert one.get("process", "sbp") in standard().names
        assert {"process", "formula", "healthy", "words"} & set(one), one["id"]
        named.add(one["source"])
    assert named == set(catalogue["sources"])


def test_every_process_that_is_measured_has_its_item(catalogue: dict[str, Any]) -> None:
    read = {one.get("process") for one in catalogue["items"]}
    inside = {part.split(".")[0] for one in catalogue["items"] for part in one.get("of", ())}
    assert set(standard().names) <= read | inside


def test_ranges_are_ranges_inside_the_critical_limits(catalogue: dict[str, Any]) -> None:
    for one in catalogue["items"]:
        critical = one.get("critical", {})
        for row in one.get("reference", ()):
            low, high = row.get("low"), row.get("high")
            assert low is not None or high is not None, one["id"]
            assert low is None or high is None or low <= high, one["id"]
            if "ages" not in row or row["ages"][1] is None:  # critical limits are those of adults
                assert low is None or "low" not in critical or critical["low"] < low, one["id"]
                assert high is None or "high" not in critical or critical["high"] > high, one["id"]


def test_ranges_leave_no_age_out(catalogue: dict[str, Any]) -> None:
    for one in catalogue["items"]:
        for sex in ("female", "male"):
            spans = sorted(
                (row.get("ages") or [0, None])[0] for row in one.get("reference", ()) if row.get("sex", sex) == sex
            )
            ends = sorted(
                (row.get("ages") or [0, None])[1] or 200
                for row in one.get("reference", ())
                if row.get("sex", sex) == sex
            )
            assert spans[1:] == ends[:-1], (one["id"], sex)


def test_the_page_lists_every_process_and_source() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [one.id for one in standard().processes if f"| `{one.id}` | {one.title} | {one.unit} |" not in text] == []
    assert [key for key, source in standard().sources.items() if f"| {key} | {source} |" not in text] == []
