"""FHIR as other makers pack it: Bundles with their ways to refer, Bulk Data, MIMIC-IV; and ours, in parts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import loose, registry
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.fhir.source import FhirSource
from sources.resources import PATIENT, TO_PATIENT, VISIT, Resource, bundle, concept, lines, read, rows, unplaced

pytestmark = pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
NPI = "http://hl7.org/fhir/sid/us-npi"
LOINC = "http://loinc.org"


def entry(kind: str, uuid: str, **fields: Any) -> Resource:
    return {"fullUrl": f"urn:uuid:{uuid}", "resourceType": kind, "id": uuid, **fields}


# ---------------------------------------------------------------------- ways to refer
def test_bundles_as_synthea_writes_them(tmp_path: Path) -> None:
    house = "https://github.com/synthetichealth/synthea"
    bundle(
        tmp_path / "hospitalInformation1.json",
        entry("Organization", "o-1", name="Hospital", identifier=[{"system": house, "value": "o-1"}]),
        entry("Location", "l-1", name="Ward", identifier=[{"system": house, "value": "l-1"}]),
        kind="batch",
    )
    bundle(
        tmp_path / "practitionerInformation1.json",
        entry("Practitioner", "d-1", name=[{"family": "D"}], identifier=[{"system": NPI, "value": "9999"}]),
        entry(
            "PractitionerRole",
            "r-1",
            practitioner={"identifier": {"system": NPI, "value": "9999"}},
            organization={"reference": f"Organization?identifier={house}|o-1"},
            specialty=[{"text": "General practice"}],
        ),
        kind="batch",
    )
    patient = {"reference": "urn:uuid:p-1"}
    contained = {"resourceType": "Coverage", "id": "c", "payor": [{"display": "Medicaid"}]}
    bundle(
        tmp_path / "Somebody_p-1.json",
        entry("Patient", "p-1", gender="male", birthDate="1990-01-01", deceasedBoolean=False),
        entry(
            "Encounter",
            "v-1",
            status="finished",
            subject=patient,
            participant=[{"individual": {"reference": f"Practitioner?identifier={NPI}|9999", "display": "Dr. D"}}],
            location=[{"location": {"reference": f"Location?identifier={house}%7Cl-1"}}],
            serviceProvider={"reference": f"Organization?identifier={house}|o-1"},
            **{"class": {"code": "AMB"}},
        ),
        entry(
            "Observation",
            "o-1",
            status="final",
            subject=patient,
            encounter={"reference": "urn:uuid:v-1"},
            code=concept(LOINC, "8302-2"),
            valueQuantity={"value": 170, "unit": "cm"},
        ),
        entry("ExplanationOfBenefit", "e-1", patient=patient, contained=[contained]),
        kind="transaction",
    )
    found = read(tmp_path)
    links = ("patient_id", "practitioner_id", "location_id", "organization_id")
    assert rows(found, "encounter", *links) == [("p-1", "d-1", "l-1", "o-1")]
    assert rows(found, "observation", "encounter_id", "value") == [("v-1", 170.0)]
    assert rows(found, "practitioner", "organization_id", "specialty", "identifier") == [
        ("o-1", "General practice", "9999")
    ]
    assert unplaced(found) == {"ExplanationOfBenefit.contained.Coverage": 1, "Location.identifier": 1}


def test_a_bundle_of_new_resources_has_ids_in_its_addresses(tmp_path: Path) -> None:
    patient = {name: value for name, value in PATIENT.items() if name != "id"}
    visit = {**VISIT, "subject": {"reference": "urn:uuid:6a1b"}}
    del visit["id"]
    path = bundle(tmp_path / "b.json", {"fullUrl": "urn:uuid:6a1b", **patient}, {"fullUrl": "urn:uuid:9c", **visit})
    assert rows(read(path), "encounter", "encounter_id", "patient_id") == [("9c", "6a1b")]


def test_addresses_of_a_server(tmp_path: Path) -> None:
    base = "https://server.example/fhir"
    visit = {**VISIT, "subject": {"reference": f"{base}/Patient/p1/_history/3"}}
    urls = [{"fullUrl": f"{base}/Patient/p1", **PATIENT}, {"fullUrl": f"{base}/Encounter/v1", **visit}]
    path = bundle(tmp_path / "page.json", *urls, kind="searchset", link=[{"relation": "next", "url": f"{base}?page=2"}])
    found = read(path)
    assert rows(found, "encounter", "patient_id") == [("p1",)]
    assert unplaced(found) == {"Bundle.link: further pages": 1}


def test_contained_resources_and_names_alone(tmp_path: Path) -> None:
    visit = {
        **VISIT,
        "contained": [
            {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Within"}]},
            {"resourceType": "Condition", "id": "c"},
        ],
        "participant": [{"individual": {"reference": "#d"}}],
        "serviceProvider": {"display": "Some hospital"},
    }
    drug = {"resourceType": "MedicationRequest", "id": "m", "subject": TO_PATIENT}
    drug["contained"] = [{"resourceType": "Medication", "id": "x", "code": {"text": "Aspirin"}}]
    drug["medicationReference"] = {"reference": "#x"}
    drug["requester"] = {"reference": "Device/7"}
    found = read(lines(tmp_path / "a.ndjson", PATIENT, visit, drug))
    assert rows(found, "encounter", "practitioner_id") == [("v1#d",)]
    assert rows(found, "practitioner", "practitioner_id", "family_name") == [("v1#d", "Within")]
    assert rows(found, "medication", "display") == [("Aspirin",)]
    assert unplaced(found) == {
        "Encounter.contained.Condition": 1,
        "Encounter.serviceProvider: a name alone": 1,
        "MedicationRequest.requester: a Device": 1,
    }


def test_the_same_hospital_in_many_bundles_is_one(tmp_path: Path) -> None:
    hospital = {"resourceType": "Organization", "id": "o1", "name": "H", "type": [concept(None, "prov")]}
    for number in range(3):
        bundle(tmp_path / f"{number}.json", hospital, {**PATIENT, "id": f"p{number}"})
    found = read(tmp_path)
    assert (found.n_subjects, found.tables["organization"].height, unplaced(found)) == (3, 1, {})


# ---------------------------------------------------------------------- ways to pack
def test_every_way_to_pack_says_the_same(tmp_path: Path) -> None:
    made = {name: tmp_path / name for name in ("lines", "types", "packed", "bundle", "list", "nested", "one")}
    for folder in made.values():
        folder.mkdir()
    lines(made["lines"] / "export.ndjson", VISIT, PATIENT)  # whatever comes first
    lines(made["types"] / "1.Patient.ndjson", PATIENT)
    lines(made["types"] / "Encounter.000.jsonl", VISIT)
    plain = lines(tmp_path / "plain", PATIENT, VISIT).read_bytes()
    (made["packed"] / "all.ndjson.gz").write_bytes(gzip.compress(plain))
    bundle(made["bundle"] / "b.json", PATIENT, VISIT)
    (made["list"] / "list.json").write_text(json.dumps([PATIENT, VISIT], indent=1))
    (made["nested"] / "a" / "b").mkdir(parents=True)
    bundle(made["nested"] / "a" / "b" / "p.json", PATIENT)
    (made["nested"] / "a" / "v.json").write_text(json.dumps(VISIT, indent=2))
    inner = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": VISIT}]}
    (made["one"] / "x.json").write_text(
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": inner}]})
    )
    first = read(made["lines"])
    assert (first.n_subjects, first.tables["encounter"].height) == (1, 1)
    for folder in made.values():
        assert FhirSource.fits(folder) and FhirSource().parts(folder) == 0
        found = read(folder)
        assert not [one for one in compare(first, found) if one.n_differ]


def test_numbers_of_other_makers_are_no_parts(tmp_path: Path) -> None:
    for number in range(2):
        lines(tmp_path / f"Patient-{number:05d}.ndjson", {**PATIENT, "id": f"p{number}"})
    lines(tmp_path / "Encounter-00000.ndjson", {**VISIT, "subject": {"reference": "Patient/p1"}})
    assert FhirSource().parts(tmp_path) == 0
    assert read(tmp_path).n_subjects == 2


# ---------------------------------------------------------------------- MIMIC-IV
@pytest.fixture(scope="module")
def mimic(data_dir: Path) -> Dataset:
    with pytest.warns(UserWarning, match="no place in the clinical schema"):
        return FhirSource().read(data_dir / "mimic4_demo_fhir")


def test_mimic_is_read_whole(mimic: Dataset) -> None:
    assert {name: frame.height for name, frame in mimic.tables.items() if frame.height} == {
        "patient": 100,
        "organization": 1,
        "location": 31,
        "encounter": 275 + 140 + 222,
        "condition": 4_506 + 545,
        "observation": 2_742 + (6_300 - 1_260 + 2 * 1_260) + 1_893 + 338 + 1_036,  # blood pressure is two rows
        "medication": 17_552 + 2_411,
        "procedure": 722 + 1_468 + 1_260,
    }
    assert mimic.tables["patient"]["death_time"].count() == 31
    classes = dict(mimic.tables["encounter"]["class"].value_counts().rows())
    assert classes["icu"] == 138  # of 140: two stays begin in a unit that is not called an intensive one
    assert classes["emergency"] >= 222
    of_tests = mimic.tables["observation"].filter(pl.col("text_value").is_not_null() & pl.col("value").is_null())
    assert of_tests.height > 3_000
    drugs = mimic.tables["medication"]
    assert drugs["code"].count() + 4 == drugs.height  # four orders of a poe without a name
    assert unplaced(mimic)["Specimen"] == 1_336 and unplaced(mimic)["Encounter.priority"] == 275


@pytest.mark.parametrize("name", ["fhir", "fhir_bundle"])
def test_mimic_written_and_read_again_loses_nothing(name: str, mimic: Dataset, tmp_path: Path) -> None:
    exporter = registry.find("exporters", name)()
    exporter.write(mimic, tmp_path, allow_real=True)
    again = read(tmp_path / exporter.place)
    found = compare(mimic, again)  # without any declared loss
    assert sum(one.n_facts for one in found) > 350_000
    assert not [(one.table, one.column, one.n_differ) for one in found if one.n_differ]
    assert not unplaced(again)


# ---------------------------------------------------------------------- ours
def some(whole: Dataset, patients: pl.Series) -> Dataset:
    """Take some patients, without their relatives who are not among them."""
    among = whole.tables["relation"].filter(pl.col("relative_id").is_in(patients.implode()))
    cut = Dataset.trusted(whole.schema, {**whole.tables, "relation": among}, whole.provenance)
    return loose.widen(cut.take_subjects(patients))


def rekeyed(whole: Dataset, change: str) -> Dataset:
    """Give every key and every link another form."""
    tables = {}
    for table in loose.schema().tables:
        names = {table.columns[0].name, *(link.column for link in table.links)}
        cells = [pl.format(change, name).alias(name) for name in sorted(names)]
        tables[table.name] = whole.tables[table.name].with_columns(cells)
    return Dataset(loose.schema(), tables, Provenance("simulated"))


@pytest.mark.parametrize("change", ["{}", "key of {}|#?/é", "{}" + "x" * 70])
def test_ours_with_any_key_and_nothing_without_a_place(change: str, cohort: Dataset, tmp_path: Path) -> None:
    whole = rekeyed(some(cohort, cohort.subjects[:20]), change)
    exporter = registry.find("exporters", "fhir")()
    exporter.write(whole, tmp_path)
    found = read(tmp_path / "fhir")
    assert not [(one.table, one.column, one.n_differ) for one in compare(whole, found) if one.n_differ]
    assert not unplaced(found)


@pytest.mark.parametrize("name", ["fhir", "fhir_bundle"])
def test_ours_in_parts(name: str, cohort: Dataset, tmp_path: Path) -> None:
    exporter = registry.find("exporters", name)()
    own = [table.name for table in cohort.schema.tables if table.name not in WORLD]
    parts = [some(cohort, cohort.subjects[first : first + 5]) for first in (0, 5, 10)]
    for number, part in enumerate(parts):
        exporter.write(part, tmp_path, part=number, tables=own)
    exporter.write(cohort, tmp_path, tables=WORLD)
    place = tmp_path / exporter.place
    assert FhirSource().parts(place) == 3
    nobody = pl.Series("patient_id", [], dtype=pl.String)
    for number, part in enumerate(parts):
        found = read(place, part=Part(number, nobody))
        assert found.subjects.to_list() == part.subjects.to_list()
        assert found.tables["observation"].height == part.tables["observation"].height
        assert found.tables["organization"].height == cohort.tables["organization"].height
        alone = read(place, part=Part(number, nobody, world=False))
        assert not alone.tables["organization"].height and alone.tables["encounter"]["organization_id"].count()
    three = pl.concat([parts[0].subjects[:2], parts[2].subjects[-1:]])
    found = read(place, part=Part(None, three))
    assert sorted(found.subjects) == sorted(three)
    assert set(found.tables["encounter"]["patient_id"]) <= set(three)
