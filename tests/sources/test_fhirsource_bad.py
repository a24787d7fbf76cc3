"""FHIR that cannot be read: every refusal names file and line, never what stands there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ehrsatz.errors import SourceError
from ehrsatz.sources.fhir.source import FhirSource
from sources.resources import PATIENT, TO_PATIENT, VISIT, Resource, bundle, concept, lines, of, read, rows, unplaced

pytestmark = pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
SECRET = "Yosemite"  # stands in broken places: it may not stand in a message
CORE = "http://hl7.org/fhir"


def refused(path: Path, *words: str) -> str:
    with pytest.raises(SourceError) as told:
        read(path)
    message = str(told.value)
    assert SECRET not in message
    for word in words:
        assert word in message
    return message


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize(
    "broken",
    [
        b'{"resourceType":"Patient","id":"Yosemite"',
        b"Yosemite",
        b'{"resourceType":"Observation","valueQuantity":{"value":NaN},"id":"Yosemite"}',
        b"[" * 100_000,
    ],
)
def test_a_broken_line_has_a_number(broken: bytes, tmp_path: Path) -> None:
    path = lines(tmp_path / "Patient.ndjson", PATIENT, VISIT)
    path.write_bytes(path.read_bytes() + broken + b"\n" + path.read_bytes())
    refused(path, "'Patient.ndjson'", "Line 3")
    refused(tmp_path, "'Patient.ndjson'", "Line 3")


def test_the_first_line_too(tmp_path: Path) -> None:
    path = tmp_path / "Patient.ndjson"
    path.write_text('{"resourceType":"Patient",\n"id":"Yosemite"}\n', encoding="utf-8")
    refused(path, "'Patient.ndjson'", "Line 1")


def test_a_line_that_is_no_resource(tmp_path: Path) -> None:
    refused(lines(tmp_path / "a.ndjson", PATIENT, {"name": SECRET}), "Line 2 of 'a.ndjson'", "resourceType")
    refused(lines(tmp_path / "a.ndjson", PATIENT, [SECRET]), "Line 2 of 'a.ndjson'")
    refused(lines(tmp_path / "a.ndjson", PATIENT, {"resourceType": 7}), "Line 2 of 'a.ndjson'")


def test_a_bundle_that_is_cut_off(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b.json", PATIENT, VISIT)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index('"period"')], encoding="utf-8")
    refused(path, "'b.json'", f"Line {text[: text.index('period')].count(chr(10)) + 1}")


@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_file(packed: bool, tmp_path: Path) -> None:
    for name in ("a.ndjson", "a.json"):
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(b"") if packed else b"\n")
        refused(path, f"'{path.name}'", "empty")


def test_an_empty_file_among_others_is_counted(tmp_path: Path) -> None:
    lines(tmp_path / "Patient.ndjson", PATIENT)
    (tmp_path / "Device.ndjson").write_bytes(b"")  # servers of Bulk Data write such
    assert unplaced(read(tmp_path)) == {"files without a line": 1}


def test_wrong_utf8(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.ndjson", PATIENT)
    path.write_bytes(path.read_bytes() + '{"resourceType":"Patient","id":"Zoë Yosemite"}'.encode("latin-1"))
    refused(path, "'a.ndjson'", "UTF-8", "Line 2")
    (tmp_path / "b.json").write_bytes('{"resourceType":"Patient",\n\n"id":"Zoë Yosemite"}'.encode("latin-1"))
    refused(tmp_path / "b.json", "'b.json'", "UTF-8", "Line 3")
    path.write_bytes(json.dumps(PATIENT).encode("utf-16"))
    refused(path, "'a.ndjson'", "UTF-8")


def test_a_mark_of_byte_order_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PATIENT).encode() + b"\r\n\r\n" + json.dumps(VISIT).encode())
    assert read(path).tables["encounter"].height == 1


def test_torn_gzip(tmp_path: Path) -> None:
    path = tmp_path / "Patient.ndjson.gz"
    whole = gzip.compress(b"".join(json.dumps({**PATIENT, "id": f"p{n}"}).encode() + b"\n" for n in range(5000)))
    for content in (whole[:-20], whole[: len(whole) // 2], b"Yosemite", json.dumps(PATIENT).encode()):
        path.write_bytes(content)
        refused(path, "'Patient.ndjson.gz'", "gzip")


def test_json_that_is_no_fhir(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for value in ({"name": SECRET}, [1, 2], [], SECRET, 7, {"resourceType": None}):
        path.write_text(json.dumps(value), encoding="utf-8")
        refused(path)
    path.write_text(f"{SECRET}: no JSON", encoding="utf-8")
    refused(path, "'a.json'", "Line 1")


def test_a_folder_without_any(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    refused(tmp_path, "no resource")


def test_other_json_in_a_folder_of_fhir_is_counted(tmp_path: Path) -> None:
    lines(tmp_path / "Patient.ndjson", PATIENT)
    (tmp_path / "manifest.json").write_text('{"output": []}')
    assert unplaced(read(tmp_path)) == {"files of JSON that are no FHIR": 1}


# ---------------------------------------------------------------------- half of it
def test_no_patient_at_all(tmp_path: Path) -> None:
    refused(lines(tmp_path / "Encounter.ndjson", VISIT), "no Patient", "Encounter (1)")


def test_patients_that_are_not_there_are_counted(tmp_path: Path) -> None:
    stranger = {**VISIT, "id": "v2", "subject": {"reference": "Patient/p2"}}
    found = read(lines(tmp_path / "a.ndjson", PATIENT, VISIT, stranger))
    assert rows(found, "encounter", "encounter_id") == [("v1",)]
    assert unplaced(found) == {"encounter.patient_id: links to nothing": 1}


def test_ids_that_stand_twice_are_counted(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "a.ndjson", PATIENT, {**PATIENT, "gender": "male"}, VISIT, VISIT))
    assert rows(found, "patient", "patient_id", "sex") == [("p1", "female")]
    assert unplaced(found) == {"patient: rows that repeat a key": 1, "encounter: rows that repeat a key": 1}


def test_resources_without_an_id_are_counted(tmp_path: Path) -> None:
    nameless = {name: value for name, value in VISIT.items() if name != "id"}
    assert unplaced(of(tmp_path, nameless)) == {"encounter: rows without encounter_id or patient_id": 1}


# ---------------------------------------------------------------------- other versions
@pytest.mark.parametrize(
    "other",
    [
        {"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"},
        {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"},
        {"resourceType": "ImplementationGuide", "fhirVersion": ["5.0.0"]},
        {**PATIENT, "meta": {"profile": [f"{CORE}/5.0/StructureDefinition/Patient"]}},
        {**PATIENT, "animal": {"species": {}}},
        {**VISIT, "class": [concept(None, "IMP")]},
        {**VISIT, "actualPeriod": {"start": "2020"}},
        {**VISIT, "class": "inpatient"},
        {"resourceType": "MedicationRequest", "id": "m", "medication": {"concept": {"text": SECRET}}},
        {"resourceType": "MedicationStatement", "id": "m", "medication": {"concept": {"text": SECRET}}},
        {"resourceType": "ServiceRequest", "id": "s", "code": {"concept": {"text": SECRET}}},
        {"resourceType": "Procedure", "id": "s", "occurrenceDateTime": "2020"},
        {"resourceType": "Condition", "id": "c", "clinicalStatus": "active"},
        {"resourceType": "Condition", "id": "c", "assertedDate": "2020"},
        {"resourceType": "AllergyIntolerance", "id": "c", "type": concept(None, "allergy")},
        {"resourceType": "Observation", "id": "o", "context": {"reference": "Encounter/v1"}},
        {"resourceType": "MedicationOrder", "id": "m"},
        {"resourceType": "DeviceUsage", "id": "m"},
    ],
)
def test_resources_of_other_versions_are_refused(other: Resource, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.ndjson", PATIENT, other)
    refused(path, "R4 (4.0.1)", "Line 2 of 'a.ndjson'", other["resourceType"])
    refused(bundle(tmp_path / "b.json", PATIENT, other), "R4 (4.0.1)", "'b.json'")


@pytest.mark.parametrize("version", ["4.0.1", "4.3.0"])
def test_r4_and_r4b_are_not(version: str, tmp_path: Path) -> None:
    told = {"resourceType": "CapabilityStatement", "fhirVersion": version}
    patient = {**PATIENT, "meta": {"profile": [f"{CORE}/4.0/StructureDefinition/Patient", f"{CORE}/us/core/x"]}}
    found = read(lines(tmp_path / "a.ndjson", told, patient))
    assert unplaced(found) == {"CapabilityStatement": 1}


# ---------------------------------------------------------------------- elements of another kind
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": SECRET},
        {"name": [SECRET]},
        {"identifier": [{"value": [SECRET]}]},
        {"identifier": SECRET},
        {"birthDate": {"value": SECRET}},
        {"extension": [SECRET]},
        {"meta": SECRET},
        {"address": [{"line": [7]}]},
        {"communication": [{"language": SECRET}]},
        {"id": 7},
        {"gender": 1.5},
    ],
)
def test_elements_of_another_kind_are_refused_without_their_content(wrong: Resource, tmp_path: Path) -> None:
    refused(lines(tmp_path / "a.ndjson", {**PATIENT, **wrong}), "'a.ndjson'", "Patient")


def test_a_number_that_is_a_text(tmp_path: Path) -> None:
    seen = {"resourceType": "Observation", "id": "o", "subject": TO_PATIENT, "valueQuantity": {"value": SECRET}}
    refused(lines(tmp_path / "a.ndjson", PATIENT, seen), "Line 2 of 'a.ndjson'", "Observation")


def test_times_that_are_none_are_counted(tmp_path: Path) -> None:
    found = of(tmp_path, {**VISIT, "id": "v2", "period": {"start": "01.02.2020", "end": "2020-13-45T10:00:00Z"}})
    assert rows(found, "encounter", "start", "stop")[1] == (None, None)
    assert unplaced(found) == {"Encounter.start: no time of FHIR": 1, "Encounter.stop: no time of FHIR": 1}


# ---------------------------------------------------------------------- what is claimed
@pytest.mark.parametrize(
    "other",
    [
        {"datasetJSONCreationDateTime": "2020", "rows": [["Patient"]]},
        {"type": "FeatureCollection", "features": []},
        {"name": "app", "nested": {"resourceType": "Patient"}},
        {"resourceType": "Spaceship"},
        {"text": '"resourceType":"Patient"'},
        [1],
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_other_json_is_not_claimed(other: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(other) + "\n", encoding="utf-8")
    assert not FhirSource.fits(tmp_path / name)
    assert not FhirSource.fits(tmp_path)
    assert not FhirSource.fits(tmp_path / "no such folder")


def test_fhir_of_all_shapes_is_claimed(tmp_path: Path) -> None:
    made = [lines(tmp_path / "a.ndjson", {**PATIENT, "zz": 1}), bundle(tmp_path / "b.json", PATIENT)]
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps([PATIENT]).encode()))
    (tmp_path / "d.ndjson").write_text(json.dumps({"text": {"div": "x" * 1000}, **PATIENT}), encoding="utf-8")
    for path in [*made, tmp_path / "c.json.gz", tmp_path / "d.ndjson", tmp_path]:
        assert FhirSource.fits(path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    bundle(tmp_path / "deep" / "er" / "b.json", PATIENT)
    assert FhirSource.fits(tmp_path / "deep")
