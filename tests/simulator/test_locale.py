"""Locales: both bundled ones are complete, and what is wrong in a folder is refused by name."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from ehrsatz import clinical
from ehrsatz.errors import ScenarioError, SourceError, UnknownNameError
from ehrsatz.simulator.ages import expectancy
from ehrsatz.simulator.locale import FOLDER, LISTS, PARTS, bundled, locale_of
from ehrsatz.simulator.tables import languages

LOCALES = ("uk", "us")


def copy(tmp_path: Path, name: str = "us") -> Path:
    """Return a folder of one's own, to be spoiled."""
    return Path(shutil.copytree(FOLDER / name, tmp_path / "mine"))


def edit(path: Path, change: object) -> None:
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))


def test_two_bundled() -> None:
    assert bundled() == LOCALES


@pytest.mark.parametrize("name", LOCALES)
def test_life_expectancy_is_the_published(name: str) -> None:
    table = locale_of(name).life.table
    female, male = expectancy(locale_of(name), table.at)
    assert female == pytest.approx(table.expectancy["female"], abs=0.05)
    assert male == pytest.approx(table.expectancy["male"], abs=0.05)
    assert table.female[-1] == table.male[-1] == 1.0


@pytest.mark.parametrize("name", LOCALES)
def test_every_locale_has_the_same_parts(name: str) -> None:
    assert {path.name for path in (FOLDER / name).iterdir()} == {
        "locale.json",
        *(f"{part}.json" for part in PARTS),
        *(f"{part}.csv" for part in LISTS),
    }
    locale = locale_of(name)
    assert len(languages(locale)) > 1
    assert set(locale.people.attributes) >= {"education", "smoking", "insurance", "marital"}


def test_uk_is_si_and_national() -> None:
    uk, us = locale_of("uk"), locale_of("us")
    assert (uk.units.system, us.units.system) == ("SI", "conventional")
    assert (uk.insurance_model, uk.currency, uk.country) == ("national", "GBP", "GB")
    assert uk.people.prevalence.keys() >= {"type2_diabetes", "hypertension", "asthma", "copd"}
    a1c = uk.units.items["hba1c"]
    assert round(6.5 * a1c.factor + a1c.offset, a1c.decimals) == 48  # WHO 2011: 6.5 % is 48 mmol/mol
    glucose = uk.units.items["glucose"]
    assert round(126 * glucose.factor, 1) == 7.0
    assert round(uk.units.items["creatinine"].factor * 1.0) == 88


def test_items_and_prevalences_are_known() -> None:
    room = FOLDER.parent
    items = {item["id"] for item in json.loads((room / "data" / "items.json").read_text())["items"]}
    conditions = {
        condition["id"]
        for path in (room / "modules").glob("*.json")
        for condition in json.loads(path.read_text()).get("conditions", [])
    }
    uk = locale_of("uk")
    assert set(uk.units.items) <= items
    assert set(uk.people.prevalence) <= conditions


def test_births_give_the_published_fertility() -> None:
    births = locale_of("us").life.births
    years = [b - a for a, b in zip(births.ages, births.ages[1:], strict=False)]
    total = sum(rate * width for rate, width in zip(births.per_1000, years, strict=True))
    assert total == pytest.approx(1656.5, abs=0.6)  # NVSR 73(2), 2024


def test_unknown_locale_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'us'"):
        locale_of("usa")
    with pytest.raises(UnknownNameError, match="uk, us"):
        locale_of("atlantis")


def test_own_folder_is_read(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    edit(folder / "locale.json", lambda data: data.update(title="Elsewhere"))
    assert locale_of(folder).title == "Elsewhere"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("locale.json", lambda d: d.update(colour="blue"), "locale.json: colour"),
        ("people.json", lambda d: d["income"].update(median=1), "people.json: people.income.median"),
        ("people.json", lambda d: d["attributes"].pop("smoking"), "smoking"),
        ("people.json", lambda d: d["attributes"]["housing"]["male"][0].__setitem__(0, 5), "sum to 100"),
        ("people.json", lambda d: d["attributes"]["housing"]["odds"].update(shoes={}), "shoes"),
        ("people.json", lambda d: d["income"]["medians"]["education"].pop("college"), "education"),
        ("people.json", lambda d: d["sources"].pop("garratty"), "garratty"),
        ("people.json", lambda d: d["sources"].update(garratty="a paper"), "year"),
        ("life.json", lambda d: d["table"]["male"].pop(), "life.table.male"),
        ("life.json", lambda d: d["births"]["per_1000"].pop(), "one more age"),
        ("locale.json", lambda d: d["payers"].pop(), "dual"),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, file: str, change: object, words: str) -> None:
    folder = copy(tmp_path)
    edit(folder / file, change)
    with pytest.raises(ScenarioError, match="mine differs") as caught:
        locale_of(folder)
    assert words in str(caught.value)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "places.csv").unlink()
    with pytest.raises(SourceError, match=r"places\.csv"):
        locale_of(folder)
    (folder / "life.json").write_text("{")
    with pytest.raises(SourceError, match=r"life\.json"):
        locale_of(folder)


def test_region_without_places_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    rows = [row for row in csv.reader((folder / "places.csv").open()) if row[0] != "VT"]
    with (folder / "places.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(ScenarioError, match="places in every region"):
        locale_of(folder)


def test_groups_map_to_the_clinical_schema() -> None:
    for name in LOCALES:
        for group in locale_of(name).people.groups:
            assert set(group.races) <= set(clinical.RACES)
