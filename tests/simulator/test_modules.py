"""Every bundled disease module: form, names, codes, doses, ages, sources, and the deaths that its figures mean."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ehrsatz.simulator.facts import ATTRIBUTES, DATA, GIVEN
from ehrsatz.simulator.load import FOLDER, load_modules
from ehrsatz.simulator.module import Condition, Episode, Module, Mortality, Table, Treatment

FILES = sorted(path.stem for path in FOLDER.glob("*.json"))
# Residents of the United States in millions by age band, women and men, rounded; Census Bureau, Vintage 2022 estimates.
BANDS = (0, 5, 15, 25, 35, 45, 55, 65, 75, 85, 100)
WOMEN = (9.1, 20.2, 21.5, 22.4, 21.9, 20.4, 21.7, 17.7, 9.6, 4.1)
MEN = (9.5, 21.1, 22.6, 23.1, 22.1, 20.3, 20.8, 15.8, 7.8, 2.4)
# Deaths a year in thousands, 2022 unless said otherwise (NCHS Data Briefs 491, 492 and 521; National Vital Statistics
# Reports 68:2 for all dementia, 2017; CDC burden of influenza; MMWR 2023;72:938 and NHTSA for falls and traffic).
# "Accidents" without overdose are 120, of which the module of injuries holds crashes, burns and falls.
DEATHS = {
    "copd": (147, 0.6, 1.5),
    "dementia": (262, 0.6, 1.5),
    "opioid_use_disorder": (82, 0.6, 1.6),
    "depression": (49, 0.6, 2.5),  # suicide, and the excess of the depressed
    "pneumonia": (41, 0.5, 1.6),
    "influenza": (25, 0.4, 1.6),
    "covid19": (417, 0.6, 1.5),  # of 2021, the year whose factor is 1
    "injuries": (87, 0.5, 1.5),
    "sepsis": (150, 0.5, 1.6),
    "asthma": (3.5, 0.4, 3.0),
}
ALL = 3_280  # thousands, all causes, 2022
# Deaths per 100,000 residents and year by the age bands above but the first, 2022; NCHS Data Brief 492.
RATES = (15.3, 79.5, 163.4, 255.4, 453.3, 992.1, 1_978.7, 4_708.2, 14_389.6)


@lru_cache
def module(name: str) -> Module:
    """Read one bundled module."""
    return Module.model_validate_json((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def parts(name: str) -> list[Condition | Episode]:
    """Return the conditions and episodes of a module."""
    return [*module(name).conditions, *module(name).episodes]


def walk(data: Any, *keys: str) -> Iterator[Any]:
    """Yield the values of some keys anywhere in a module."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in keys and value is not None:
                yield value
            yield from walk(value, *keys)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from walk(value, *keys)


@pytest.fixture(scope="module")
def lists(data_dir: Path) -> dict[str, set[str]]:
    """Codes of each code list."""
    home = data_dir / "terminology"

    def subset(file: str) -> set[str]:
        with open(home / file, encoding="utf-8") as stream:
            return {row["code"] for row in csv.DictReader(stream)}

    with gzip.open(home / "icd10cm_2026_codes.txt.gz", "rt", encoding="utf-8") as stream:
        icd = {line.strip() for line in stream}
    with open(home / "mimic_labitems_loinc.csv", encoding="utf-8") as stream:
        labs = {row["loinc_code"] for row in csv.DictReader(stream)} - {""}
    return {
        "icd10": icd,
        "snomed": subset("snomed_subset.csv"),
        "rxnorm": subset("rxnorm_subset.csv"),
        "loinc": subset("loinc_subset.csv") | labs,
    }


@pytest.fixture(scope="module")
def drugs(data_dir: Path) -> dict[str, str]:
    """RxNorm code -> display."""
    with open(data_dir / "terminology" / "rxnorm_subset.csv", encoding="utf-8") as stream:
        return {row["code"]: row["display"] for row in csv.DictReader(stream)}


def named(file: str, part: str) -> set[str]:
    """Return the ids of one catalogue of the simulator."""
    rows = json.loads((DATA / file).read_text(encoding="utf-8"))[part]
    return set(rows) if isinstance(rows, dict) else {row["id"] for row in rows}


def test_modules_together() -> None:
    """All modules can be used together: every name is known, nothing hangs on itself."""
    found = load_modules()
    assert set(found.modules) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_form(name: str) -> None:
    """The file is a module of its own name and holds something."""
    assert module(name).module == name
    assert parts(name)


@pytest.mark.parametrize("name", FILES)
def test_names(name: str) -> None:
    """Processes, panels and items are those of the catalogues; factors too, or conditions, episodes and attributes."""
    data = module(name).model_dump()
    processes, panels, items = (
        named("processes.json", "processes"),
        named("items.json", "panels"),
        named("items.json", "items"),
    )
    assert set(walk(data, "process")) <= processes
    monitored = {panel for some in walk(data, "panels", "monitor") for panel in some}
    assert set(walk(data, "panel")) | monitored <= panels
    assert set(walk(data["conditions"], "item")) <= items
    ids = {one.id for other in FILES for one in parts(other)}
    for factor in walk(data, "factor"):
        head = factor.removesuffix(".treated")
        assert head in processes | ids | set(ATTRIBUTES) | set(GIVEN) | {"adherence"}, factor


@pytest.mark.parametrize("name", FILES)
def test_codes(name: str, lists: dict[str, set[str]]) -> None:
    """Every code stands in the code lists."""
    data = module(name).model_dump()
    assert {code.replace(".", "") for code in walk(data, "icd10", "cause")} <= lists["icd10"]
    assert set(walk(data, "snomed", "device")) <= lists["snomed"]
    assert set(walk(data, "rxnorm")) <= lists["rxnorm"]
    assert set(walk(data, "loinc")) <= lists["loinc"]


WEIGHTS = {"mg": ("MG", 1.0), "ug": ("MG", 1e-3), "g": ("MG", 1e3), "[IU]": ("UNT", 1.0), "[U]": ("UNT", 1.0)}


def doses(drug: Treatment, display: str) -> str | None:
    """Return what is wrong with a dose, None where nothing is.

    Tablets, capsules and puffs: a number of them, halves allowed, at most ten; by weight, that of one ingredient or
    of all. Powders for injection: a twentieth to ten vials. Liquids: a volume, or a weight that 0.05 to 250 mL hold.
    """
    display = re.sub(r"\d+ (ACTUAT|HR) ", "", display)
    liquid = re.findall(r"([\d.]+) (MG|UNT)/ML", display)
    solid = re.findall(r"([\d.]+) (MG|UNT)(?:/ACTUAT)?(?![\w/])", display)
    if drug.dose_unit not in WEIGHTS:
        counted = drug.dose_unit.startswith(("{", "[drp]")) or (drug.dose_unit == "mL" and liquid)
        return None if counted else f"unit {drug.dose_unit}"
    kind, factor = WEIGHTS[drug.dose_unit]
    weight = drug.dose * factor
    if "Topical" in display and drug.dose_unit == "g":
        return None
    strengths = [float(strength) for strength, unit in liquid or solid if unit == kind]
    if not strengths:
        return f"unit {drug.dose_unit}"
    if liquid:
        volume = weight / sum(strengths)
        return None if 0.05 <= volume <= 250 else f"{volume} mL"
    for strength in (*strengths, sum(strengths)):
        units = weight / strength
        if "Inject" in display and 0.05 <= units <= 10:
            return None
        if abs(units * 2 - round(units * 2)) < 1e-6 and 0.5 <= units <= 10:
            return None
    return f"{weight / strengths[0]:.3g} units"


@pytest.mark.parametrize("name", FILES)
def test_doses(name: str, drugs: dict[str, str]) -> None:
    """A dose can be given with what the code names, by the route that it is made for, as often as people take drugs."""
    forms = {
        "Oral": {"oral"},
        "Sublingual": {"sublingual"},
        "Topical": {"topical"},
        "Transdermal": {"transdermal"},
        "Ophthalmic": {"ophthalmic"},
        "Inhal": {"inhalation"},
        "Inject": {"intravenous", "intramuscular", "subcutaneous", "intravitreal"},
    }
    wrong = []
    for one in parts(name):
        for drug in one.treatments:
            display = drugs[drug.rxnorm]
            problem = doses(drug, display)
            fitting = [routes for word, routes in forms.items() if word in display]
            if fitting and not any(drug.route in routes for routes in fitting):
                problem = f"route {drug.route}"
            if not 0.002 <= drug.per_day <= 24:
                problem = f"{drug.per_day} a day"
            if drug.ages is not None and drug.ages[0] >= drug.ages[1]:
                problem = "ages"
            if problem:
                wrong.append(f"{drug.id}: {problem} ({display})")
    assert not wrong


@pytest.mark.parametrize(
    ("display", "dose", "unit", "fits"),
    [
        ("predniSONE 20 MG Oral Tablet", 40, "mg", True),
        ("predniSONE 20 MG Oral Tablet", 25, "mg", False),
        ("predniSONE 20 MG Oral Tablet", 40, "mL", False),
        ("200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", 0.18, "mg", True),
        ("200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", 2, "mg", False),
        ("1 ML denosumab 60 MG/ML Prefilled Syringe", 60, "mg", True),
        ("1 ML denosumab 60 MG/ML Prefilled Syringe", 60_000, "mg", False),
        ("buprenorphine 2 MG / naloxone 0.5 MG Sublingual Tablet", 8, "mg", True),
        ("buprenorphine 2 MG / naloxone 0.5 MG Sublingual Tablet", 7.3, "mg", False),
        ("alteplase 100 MG Injection", 63, "mg", True),
        ("alteplase 100 MG Injection", 63, "g", False),
        ("Hydrocortisone 10 MG/ML Topical Cream", 2, "g", True),
        ("insulin, regular, human 100 UNT/ML Injectable Solution", 10, "mg", False),
        ("buprenorphine 2 MG / naloxone 0.5 MG Sublingual Tablet", 4, "{tbl}", True),
    ],
)
def test_check_of_doses(display: str, dose: float, unit: str, fits: bool) -> None:
    """The check tells doses that can be given from those that cannot."""
    drug = Treatment(id="a", rxnorm="1", dose=dose, dose_unit=unit, route="oral", per_day=1, share=1, source="assumed")
    assert (doses(drug, display) is None) is fits


@pytest.mark.parametrize("name", FILES)
def test_sex_and_age(name: str) -> None:
    """Codes that belong to one sex are that sex's; old people's and children's diseases begin at their age."""
    women = re.compile(r"^(O|N8|N9[0-8]|C5[1-8]|Z3[349]|F53|Z32)")
    men = re.compile(r"^(N4[0-9]|N5[01]|C6[0-3])")
    old = {"dementia", "vascular_dementia", "parkinson", "cataract", "glaucoma", "osteoporosis"}
    for one in parts(name):
        if women.match(one.icd10):
            assert one.sex == "female", one.id
        if men.match(one.icd10):
            assert one.sex == "male", one.id
        if one.icd10.startswith("O"):
            assert one.ages[0] >= 8 and one.ages[1] <= 62, one.id
        if one.icd10.startswith("P"):
            assert one.ages[1] <= 2, one.id
        if one.id in old:
            assert one.ages[0] >= 30, one.id
        for table in walk_tables(one):
            if one.sex is not None:
                assert not any(table.of("male" if one.sex == "female" else "female")), one.id


def walk_tables(one: Condition | Episode) -> list[Table]:
    """Return the tables of a condition or an episode."""
    if isinstance(one, Episode):
        return [one.incidence] + ([one.fatality] if one.fatality else [])
    return [table for table in (one.prevalence, one.incidence, one.birth) if table is not None]


@pytest.mark.parametrize("name", FILES)
def test_figures(name: str) -> None:
    """Shares lie below 1, rates below what a life can hold, and what kills kills less than everybody."""
    for one in parts(name):
        if isinstance(one, Episode):
            assert max(one.incidence.of("female") + one.incidence.of("male")) < 40, one.id
            if one.fatality is not None:
                assert max(one.fatality.of("female") + one.fatality.of("male")) < 1, one.id
            continue
        for table in walk_tables(one):
            most = 40 if table is one.incidence else 0.95
            assert max(table.of("female") + table.of("male")) < most, one.id
        for death in walk_deaths(one):
            assert death.per_year < 2.5, one.id


def walk_deaths(one: Condition) -> list[Mortality]:
    """Return the excess deaths of a condition and its stages."""
    return [death for death in (one.mortality, *(stage.mortality for stage in one.stages)) if death is not None]


@pytest.mark.parametrize("name", FILES)
def test_sources(name: str) -> None:
    """At least one source is published, and each is told well enough to be found."""
    sources = module(name).sources
    assert any(not key.startswith("assumed") for key in sources)
    for key, text in sources.items():
        assert len(text) > (30 if key.startswith("assumed") else 40), key


def thousands(one: Condition | Episode) -> float:
    """Return the deaths a year in thousands that a condition or an episode means for the United States."""
    return 1e3 * sum(people * danger(one, sex, age) for sex, age, people in residents())


@lru_cache
def carriers() -> dict[str, Table]:
    """Return condition -> prevalence, over all modules."""
    every = [one for name in FILES for one in module(name).conditions]
    return {one.id: one.prevalence for one in every if one.prevalence is not None}


def danger(one: Condition | Episode, sex: str, age: float) -> float:
    """Return the deaths a year and person of a sex and age by one condition or episode.

    Of an episode that needs conditions without a prevalence nothing is known here: it counts as none.
    """
    if isinstance(one, Condition):
        return at(one.prevalence, sex, age) * rate(one, sex, age) if one.prevalence is not None else 0.0
    if one.fatality is None:
        return 0.0
    needed = [carriers()[need] for need in one.requires if need in carriers()]
    share = min(1.0, sum(at(table, sex, age) for table in needed)) if one.requires else 1.0
    return share * at(one.incidence, sex, age) * at(one.fatality, sex, age)


def residents() -> Iterator[tuple[str, float, float]]:
    """Yield sex, age and millions of people, one year of age at a time."""
    for sex, millions in (("female", WOMEN), ("male", MEN)):
        for low, high, people in zip(BANDS[:-1], BANDS[1:], millions, strict=True):
            for age in range(low, high):
                yield sex, age + 0.5, people / (high - low)


def at(table: Table, sex: str, age: float) -> float:
    """Read a table at an age."""
    band = int(np.searchsorted(np.array(table.ages), age, side="right")) - 1
    return table.of(sex)[band] if band >= 0 else 0.0  # type: ignore[arg-type]


def rate(one: Condition, sex: str, age: float) -> float:
    """Return the mean excess deaths a year of those of a sex and age who have a condition, over its stages.

    Shares of the stages are those of people whom other things end at 1/12 a year.
    """

    def yearly(death: Mortality | None) -> float:
        if death is None:
            return 0.0
        if death.per_year_by_age is not None:
            return at(death.per_year_by_age, sex, age)
        return death.per_year

    out = yearly(one.mortality)
    if one.stages:
        inflow = np.array([stage.at_onset for stage in one.stages])
        steps = np.array([*(stage.per_year for stage in one.stages[1:]), 0.0])
        leave = steps + np.array([yearly(stage.mortality) for stage in one.stages]) + 1 / 12
        weight = np.zeros(len(inflow))
        for s in range(len(inflow)):
            weight[s] = (inflow[s] + (weight[s - 1] * steps[s - 1] if s else 0.0)) / leave[s]
        weight /= weight.sum()
        out += float(sum(share * yearly(stage.mortality) for share, stage in zip(weight, one.stages, strict=True)))
    return out


@pytest.mark.parametrize("name", sorted(set(DEATHS) & set(FILES)))
def test_deaths(name: str) -> None:
    """The deaths that a module means for the country lie near the published count."""
    known, low, high = DEATHS[name]
    found = sum(thousands(one) for one in parts(name))
    assert low * known <= found <= high * known, f"{found:.0f} thousand, published {known}"


def test_all_deaths() -> None:
    """All modules together kill fewer people than die, COVID-19 taken at its count of 2023."""
    found = {name: sum(thousands(one) for one in parts(name)) for name in FILES}
    if "covid19" in found:
        found["covid19"] *= 0.2
    assert sum(found.values()) < ALL, found


@pytest.mark.parametrize("band", range(1, len(BANDS) - 1))
def test_deaths_of_an_age(band: int) -> None:
    """At no age do the modules kill more people than die, COVID-19 taken at its count of 2024."""
    low, high = BANDS[band], BANDS[band + 1]
    here = [(sex, age, people) for sex, age, people in residents() if low <= age < high]
    total = sum(people for _, _, people in here)
    found = {
        one.id: 1e5 * sum(people * danger(one, sex, age) for sex, age, people in here) / total
        for name in FILES
        for one in parts(name)
    }
    if "covid19_severe" in found:
        found["covid19_severe"] *= 0.1
    most = sorted(found.items(), key=lambda pair: -pair[1])[:6]
    assert sum(found.values()) < RATES[band - 1], most
