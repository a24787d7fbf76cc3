"""FHIR R4 of any maker, resource by resource: what goes where, and what is counted because it goes nowhere."""

from __future__ import annotations

import base64
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from sources.resources import PATIENT, TO_PATIENT, TO_VISIT, VISIT, Resource, concept, lines, of, read, rows, unplaced

pytestmark = pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
ICD10, ICD9 = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"
RXNORM, NDC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/ndc"
HL7 = "http://terminology.hl7.org/CodeSystem/"


def resource(kind: str, key: str, **fields: Any) -> Resource:
    who = "patient" if kind in {"AllergyIntolerance", "Immunization", "Device", "Claim"} else "subject"
    return {"resourceType": kind, "id": key, who: TO_PATIENT, **fields}


# ---------------------------------------------------------------------- patients
def test_a_patient_of_us_core(tmp_path: Path) -> None:
    core = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
    cdc = "urn:oid:2.16.840.1.113883.6.238"
    patient = {
        **PATIENT,
        "gender": "male",
        "deceasedDateTime": "2020-05-06T07:08:09.125Z",
        "identifier": [
            {"system": "urn:house", "value": "house"},
            {"type": {"coding": [{"code": "MR"}]}, "value": "number 7"},
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-00-0000"},
        ],
        "name": [
            {"use": "nickname", "given": ["Al"]},
            {"use": "official", "given": ["Ada", "Mae"], "family": "O'Neil", "prefix": ["Dr."]},
            {"use": "maiden", "family": "Śmith"},
        ],
        "telecom": [{"system": "phone", "value": "1"}, {"system": "phone", "value": "2"}],
        "address": [{"line": ["1 Way", "Flat 2"], "city": "C", "state": "MA", "postalCode": "01", "country": "US"}],
        "maritalStatus": concept(f"{HL7}v3-MaritalStatus", "W"),
        "communication": [{"language": concept("urn:ietf:bcp:47", "en-US", "English"), "preferred": True}],
        "extension": [
            {
                "url": f"{core}race",
                "extension": [
                    {"url": "ombCategory", "valueCoding": {"system": cdc, "code": "2054-5"}},
                    {"url": "ombCategory", "valueCoding": {"system": cdc, "code": "2028-9"}},
                    {"url": "text", "valueString": "Black and Asian"},
                ],
            },
            {
                "url": f"{core}ethnicity",
                "extension": [{"url": "ombCategory", "valueCoding": {"system": cdc, "code": "2135-2"}}],
            },
            {"url": f"{core}birthsex", "valueCode": "F"},
        ],
        "photo": [{"url": "x"}],
    }
    found = read(lines(tmp_path / "p.ndjson", patient))
    (row,) = found.tables["patient"].to_dicts()
    held = {name: value for name, value in row.items() if value is not None}
    assert held == {
        "patient_id": "p1",
        "birth_date": date(1970, 2, 3),
        "death_time": datetime(2020, 5, 6, 7, 8, 9, 125_000),
        "sex": "male",
        "race": "multiple",
        "ethnicity": "hispanic",
        "given_name": "Ada Mae",
        "family_name": "O'Neil",
        "birth_family_name": "Śmith",
        "address_line": "1 Way, Flat 2",
        "city": "C",
        "region": "MA",
        "postal_code": "01",
        "country": "US",
        "phone": "1",
        "national_id": "999-00-0000",
        "record_number": "number 7",
        "language": "en-US",
        "marital_status": "widowed",
    }
    assert unplaced(found) == {
        "Patient.communication.preferred": 1,
        "Patient.extension us-core-birthsex": 1,  # another than the gender
        "Patient.identifier": 1,
        "Patient.name.prefix": 1,
        "Patient.name: further ones": 1,
        "Patient.photo": 1,
        "Patient.telecom: further ones": 1,
    }


@pytest.mark.parametrize(
    ("name", "given", "family"),
    [
        ([{"family": "Only"}], None, "Only"),
        ([{"given": ["Only"]}], "Only", None),
        ([{"text": "As it is"}], None, "As it is"),
        ([], None, None),
    ],
)
def test_names_as_far_as_they_go(name: list[Resource], given: str | None, family: str | None, tmp_path: Path) -> None:
    found = read(lines(tmp_path / "p.ndjson", {**PATIENT, "name": name}))
    assert rows(found, "patient", "given_name", "family_name") == [(given, family)]
    assert not unplaced(found)


def test_dates_that_are_less_than_a_day(tmp_path: Path) -> None:
    other = {**PATIENT, "id": "p2", "birthDate": "1970-05"}
    found = read(lines(tmp_path / "p.ndjson", {**PATIENT, "birthDate": "1970"}, other))
    assert rows(found, "patient", "birth_date") == [(date(1970, 1, 1),), (date(1970, 5, 1),)]
    assert unplaced(found) == {"Patient.birth_date: a month alone": 1, "Patient.birth_date: a year alone": 1}


# ---------------------------------------------------------------------- encounters
def test_an_emergency_that_became_a_stay(tmp_path: Path) -> None:
    place = {"resourceType": "Location", "id": "l1", "name": "Medical Intensive Care Unit (MICU)"}
    place["physicalType"] = concept(f"{HL7}location-physical-type", "wa", "Ward")
    stay: Resource = {
        **VISIT,
        "id": "v2",
        "class": {"code": "IMP"},
        "type": [concept(SNOMED, "32485007", "Hospital admission"), concept(None, "x")],
        "participant": [
            {"individual": {"reference": "Practitioner/d2"}},
            {"type": [concept(None, "ATND")], "individual": {"reference": "PractitionerRole/r1"}},
        ],
        "priority": concept(None, "UR"),
        "hospitalization": {
            "admitSource": concept(None, "emd"),
            "dischargeDisposition": concept(f"{HL7}discharge-disposition", "snf"),
        },
        "reasonReference": [{"reference": "Condition/c1"}],
    }
    unit = {**VISIT, "id": "v3", "class": {"code": "ACUTE"}, "partOf": {"reference": "Encounter/v2"}}
    unit["location"] = [{"location": {"reference": "Location/l1"}, "period": {"start": "2020"}}]
    emergency = {**VISIT, "class": {"code": "EMER"}, "partOf": {"reference": "Encounter/v2"}}
    planned = {**VISIT, "id": "v4", "status": "planned"}
    role = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d1"}}
    role["specialty"] = [{"text": "Surgery"}]
    doctors = [{"resourceType": "Practitioner", "id": key, "name": [{"family": key}]} for key in ("d1", "d2")]
    condition = resource("Condition", "c1", code=concept(ICD10, "I21.9", "Infarction"))
    path = lines(tmp_path / "a.ndjson", PATIENT, emergency, stay, unit, planned, place, role, *doctors, condition)
    found = read(path)
    assert rows(found, "encounter", "encounter_id", "class", "part_of_id") == [
        ("v1", "emergency", "v2"),
        ("v2", "inpatient", None),
        ("v3", "icu", "v2"),
    ]
    assert rows(found, "location", "kind") == [("icu",)]
    told = rows(found, "encounter", "practitioner_id", "code", "reason_code", "reason_display", "disposition")[1]
    assert told == ("d1", "32485007", "I21.9", "Infarction", "skilled nursing")
    assert rows(found, "practitioner", "practitioner_id", "specialty") == [("d1", "Surgery"), ("d2", None)]
    assert unplaced(found) == {
        "Encounter.hospitalization.admitSource": 1,
        "Encounter.location.period": 1,
        "Encounter.participant: further ones": 1,
        "Encounter.priority": 1,
        "Encounter.type: further ones": 1,
        "Encounter: planned": 1,
    }


def test_times_are_those_on_the_wall(tmp_path: Path) -> None:
    found = of(tmp_path)
    start, stop = datetime(2020, 3, 1, 10, 0), datetime(2020, 3, 1, 10, 30)
    assert rows(found, "encounter", "start", "stop") == [(start, stop)]


# ---------------------------------------------------------------------- codes
def test_systems_have_names_and_unknown_ones_stay_addresses(tmp_path: Path) -> None:
    told = [
        concept(ICD10, "I10"),
        concept(ICD9, "401.9"),
        concept("urn:oid:2.16.840.1.113883.6.96", "38341003"),
        concept("http://a.house/list", "7"),
        concept("https://ehrsatz.org/fhir/CodeSystem/house%20list", "8"),
        {"text": "high pressure"},
    ]
    found = of(tmp_path, *(resource("Condition", f"c{n}", code=one) for n, one in enumerate(told)))
    assert rows(found, "condition", "system", "code", "display") == [
        ("ICD-10-CM", "I10", None),
        ("ICD-9-CM", "401.9", None),
        ("SNOMED-CT", "38341003", None),
        ("http://a.house/list", "7", None),
        ("house list", "8", None),
        (None, None, "high pressure"),
    ]
    assert not unplaced(found)


def test_two_codes_of_one_condition(tmp_path: Path) -> None:
    both = [*concept(SNOMED, "38341003", "Hypertension")["coding"], *concept(ICD10, "I10", "Essential")["coding"]]
    third = [*both, *concept("http://a.house/list", "7")["coding"]]
    one = resource("Condition", "c1", code={"coding": both, "text": "pressure"})
    found = of(tmp_path, one, resource("Condition", "c2", code={"coding": third}))
    said = ("ICD-10-CM", "I10", "Essential", "38341003", "Hypertension")
    assert rows(found, "condition", "system", "code", "display", "snomed_code", "snomed_display") == [said, said]
    assert unplaced(found) == {"Condition.code.text": 1, "Condition.code: further codings": 1}


def test_what_is_not_so_is_left_out(tmp_path: Path) -> None:
    untrue = concept(f"{HL7}condition-ver-status", "refuted")
    found = of(
        tmp_path,
        resource("Condition", "c1", code=concept(ICD10, "I10"), verificationStatus=untrue),
        resource("AllergyIntolerance", "a1", code=concept(SNOMED, "1"), verificationStatus=untrue),
        resource("Observation", "o1", status="entered-in-error", code=concept(LOINC, "1")),
        resource("Procedure", "q1", status="not-done", code=concept(SNOMED, "1")),
        resource("Immunization", "i1", status="not-done", vaccineCode=concept(None, "1")),
        resource("MedicationRequest", "m1", status="draft"),
    )
    names = ("condition", "allergy", "observation", "procedure", "immunization", "medication")
    assert not any(found.tables[name].height for name in names)
    assert unplaced(found) == {
        "AllergyIntolerance: refuted": 1,
        "Condition: refuted": 1,
        "Immunization: not-done": 1,
        "MedicationRequest: draft": 1,
        "Observation: entered-in-error": 1,
        "Procedure: not-done": 1,
    }


def test_reasons_are_of_the_one_system_that_the_column_means(tmp_path: Path) -> None:
    conditions = [resource("Condition", "c1", code=concept(ICD10, "I10")), resource("Condition", "c2")]
    conditions[1]["code"] = concept(SNOMED, "38341003", "Hypertension")
    told: list[Resource] = [
        {"reasonCode": [concept(ICD10, "E11.9")]},
        {"reasonCode": [concept(None, "X9")]},
        {"reasonCode": [concept(SNOMED, "44054006")]},
        {"reasonReference": [{"reference": "Condition/c1"}]},
        {"reasonReference": [{"reference": "Condition/c2"}]},
        {"reasonReference": [{"reference": "Condition/c3"}]},
    ]
    procedures = [resource("Procedure", f"q{number}", **one) for number, one in enumerate(told)]
    found = of(tmp_path, *conditions, *procedures)
    assert rows(found, "procedure", "reason_code") == [("E11.9",), ("X9",), (None,), ("I10",), (None,), (None,)]
    assert unplaced(found) == {
        "Procedure.reasonCode: of another system": 1,
        "procedure.reason_code: of another system": 1,
        "procedure.reason_code: of conditions that are not there": 1,
    }


# ---------------------------------------------------------------------- observations
@pytest.mark.parametrize(
    ("value", "cells", "lost"),
    [
        ({"valueQuantity": {"value": 7, "unit": "beats", "system": UCUM, "code": "/min"}}, (7.0, None, "/min"), {}),
        ({"valueQuantity": {"value": 7.25, "unit": "gm", "system": "http://x", "code": "g"}}, (7.25, None, "gm"), {}),
        ({"valueQuantity": {"value": 5, "unit": "mg", "comparator": "<"}}, (None, "<5", "mg"), {}),
        ({"valueQuantity": {"value": 0.123456789, "comparator": ">="}}, (None, ">=0.123456789", None), {}),
        ({"valueString": "POSITIVE"}, (None, "POSITIVE", None), {}),
        ({"valueBoolean": False}, (None, "false", None), {}),
        ({"valueInteger": 3}, (3.0, None, None), {}),
        ({"valueDateTime": "2020-01-01"}, (None, "2020-01-01", None), {}),
        ({"valueCodeableConcept": {"text": "red"}}, (None, "red", None), {}),
        (
            {"valueCodeableConcept": concept(SNOMED, "371240000", "Red")},
            (None, "Red", None),
            {"Observation.valueCodeableConcept.coding.code": 1},
        ),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, (None, "1:128", None), {}),
        (
            {"valueRange": {"low": {"value": 1.5, "unit": "mg"}, "high": {"value": 2, "unit": "mg"}}},
            (None, "1.5-2", "mg"),
            {},
        ),
        ({"valueSampledData": {"period": 1}}, (None, None, None), {"Observation.valueSampledData": 1}),
        ({"dataAbsentReason": concept(f"{HL7}data-absent-reason", "unknown")}, (None, None, None), {}),
        (
            {"dataAbsentReason": concept(f"{HL7}data-absent-reason", "masked")},
            (None, None, None),
            {"Observation.dataAbsentReason": 1},
        ),
    ],
)
def test_values_of_every_type(value: Resource, cells: tuple[Any, ...], lost: dict[str, int], tmp_path: Path) -> None:
    found = of(tmp_path, resource("Observation", "o1", status="final", code=concept(LOINC, "1"), **value))
    assert rows(found, "observation", "value", "text_value", "unit") == [cells]
    assert unplaced(found) == lost


def test_an_observation_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    seen = resource(
        "Observation",
        "o1",
        status="final",
        category=[concept(f"{HL7}observation-category", "laboratory")],
        code={"coding": [*concept("http://house", "K")["coding"], *concept(LOINC, "2823-3", "Potassium")["coding"]]},
        encounter=TO_VISIT,
        basedOn=[{"reference": "ServiceRequest/s1"}],
        effectivePeriod={"start": "2020-03-01T10:05:00-05:00", "end": "2020-03-01T10:06:00-05:00"},
        valueQuantity={"value": 6.1, "unit": "mmol/L", "system": UCUM, "code": "mmol/L"},
        interpretation=[concept(f"{HL7}v3-ObservationInterpretation", "HH")],
        referenceRange=[{"low": {"value": 3.5}, "high": {"value": 5}, "text": "usual"}, {"text": "other"}],
        specimen={"reference": "Specimen/x"},
    )
    order = resource("ServiceRequest", "s1", status="completed", code=concept(LOINC, "2823-3"))
    found = of(tmp_path, seen, order, {"resourceType": "Specimen", "id": "x"})
    (row,) = found.tables["observation"].to_dicts()
    assert row == {
        "observation_id": "o1",
        "patient_id": "p1",
        "encounter_id": "v1",
        "order_id": "s1",
        "time": datetime(2020, 3, 1, 10, 5),
        "category": "laboratory",
        "system": "LOINC",
        "code": "2823-3",
        "display": "Potassium",
        "value": 6.1,
        "text_value": None,
        "unit": "mmol/L",
        "low": 3.5,
        "high": 5.0,
        "interpretation": "critical high",
    }
    assert unplaced(found) == {
        "Observation.code: further codings": 1,
        "Observation.effectivePeriod.end": 1,
        "Observation.referenceRange.text": 1,
        "Observation.referenceRange: further ones": 1,
        "Observation.specimen": 1,
        "Specimen": 1,
    }


def test_components_are_rows(tmp_path: Path) -> None:
    parts = [
        {"code": concept(LOINC, "8480-6"), "valueQuantity": {"value": 120, "unit": "mm[Hg]"}},
        {"code": concept(LOINC, "8462-4"), "dataAbsentReason": concept(None, "unknown")},
    ]
    panel = resource("Observation", "o1", code=concept(LOINC, "85354-9"), component=parts)
    both = resource("Observation", "o2", code=concept(LOINC, "9269-2"), valueInteger=15, component=parts[:1])
    other = resource("Observation", "o3", code=concept(LOINC, "93025-5"), component=parts[:1])
    found = of(tmp_path, panel, both, other)
    assert rows(found, "observation", "observation_id", "code", "value") == [
        ("o1#1", "8480-6", 120.0),
        ("o1#2", "8462-4", None),
        ("o2", "9269-2", 15.0),
        ("o2#1", "8480-6", 120.0),
        ("o3#1", "8480-6", 120.0),
    ]
    assert unplaced(found) == {"Observation.code of a panel": 1}


# ---------------------------------------------------------------------- drugs
def test_drugs_of_three_kinds(tmp_path: Path) -> None:
    medicine = {"resourceType": "Medication", "id": "x1", "code": concept(NDC, "0001", "Aspirin 81 mg")}
    ordered = resource(
        "MedicationRequest",
        "m1",
        status="stopped",
        intent="order",
        medicationReference={"reference": "Medication/x1"},
        encounter=TO_VISIT,
        authoredOn="2020-03-01T10:10:00-05:00",
        dosageInstruction=[
            {
                "text": "as told",
                "timing": {
                    "repeat": {"frequency": 1, "period": 8, "periodUnit": "h", "boundsPeriod": {"end": "2020-03-05"}}
                },
                "route": concept(SNOMED, "26643006", "Oral"),
                "doseAndRate": [{"doseQuantity": {"value": 81, "unit": "mg"}}],
            }
        ],
        dispenseRequest={"numberOfRepeatsAllowed": 2, "quantity": {"value": 30}},
        statusReason={"text": "bleeding"},
    )
    taken = resource(
        "MedicationStatement",
        "m1",  # of another type: the key of the request is taken
        status="active",
        medicationCodeableConcept={
            "text": "aspirin",
            "coding": [*concept("http://house", "9")["coding"], *concept(RXNORM, "1191")["coding"]],
        },
        context=TO_VISIT,
        dateAsserted="2020-03-01",
        dosage=[{"timing": {"code": concept(None, "BID")}}],
    )
    given = resource(
        "MedicationAdministration",
        "m3",
        status="completed",
        medicationCodeableConcept=concept(RXNORM, "1191"),
        context=TO_VISIT,
        effectiveDateTime="2020-03-01T11:00:00Z",
        dosage={"dose": {"value": 1, "unit": "g"}, "route": {"text": "IV"}},
    )
    lost = resource("MedicationRequest", "m4", medicationReference={"reference": "Medication/gone"})
    found = of(tmp_path, taken, given, ordered, medicine, lost)
    shown = rows(found, "medication", "medication_id", "system", "code", "display", "start", "stop", "status")
    assert sorted(shown) == [
        ("MedicationStatement/m1", "RxNorm", "1191", "aspirin", datetime(2020, 3, 1), None, "active"),
        ("m1", "NDC", "0001", "Aspirin 81 mg", datetime(2020, 3, 1, 10, 10), datetime(2020, 3, 5), "stopped"),
        ("m3", "RxNorm", "1191", None, datetime(2020, 3, 1, 11), None, "completed"),
        ("m4", None, None, None, None, None, None),
    ]
    amounts = rows(found, "medication", "medication_id", "dose", "dose_unit", "route", "per_day", "refills", "quantity")
    assert sorted(amounts)[:3] == [
        ("MedicationStatement/m1", None, None, None, 2.0, None, None),
        ("m1", 81.0, "mg", "Oral", 3.0, 2, 30.0),
        ("m3", 1.0, "g", "IV", None, None, None),
    ]
    assert "bleeding" in found.tables["medication"]["stop_reason"].to_list()
    assert unplaced(found) == {
        "MedicationRequest.dosageInstruction.text": 1,
        "MedicationRequest.medicationReference: to nothing": 1,
        "MedicationStatement.medicationCodeableConcept: further codings": 1,
    }


# ---------------------------------------------------------------------- reports
def test_a_document_that_repeats_a_report_is_not_a_second_one(tmp_path: Path) -> None:
    data = base64.b64encode("Lungs cleär.".encode()).decode()
    attachment = {"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}
    report = resource(
        "DiagnosticReport",
        "r1",
        status="final",
        encounter=TO_VISIT,
        category=[concept(f"{HL7}v2-0074", "RAD")],
        code=concept(LOINC, "36643-5", "Chest X-ray"),
        effectiveDateTime="2020-03-01T10:20:00Z",
        presentedForm=[attachment["attachment"]],
        imagingStudy=[{"reference": "ImagingStudy/i1"}],
    )
    study = resource("ImagingStudy", "i1", status="available", modality=[{"code": "DX"}])
    study["series"] = [{"uid": "1.2.3", "modality": {"code": "DX"}, "bodySite": {"display": "Chest"}}]
    lone = resource("ImagingStudy", "i2", modality=[{"code": "CT"}], started="2020-03-02", description="Head")
    same = resource("DocumentReference", "d1", context={"encounter": [TO_VISIT]}, content=[attachment])
    other = resource("DocumentReference", "d2", type={"text": "Letter"}, content=[{"attachment": {"url": "http://x"}}])
    found = of(tmp_path, report, study, lone, same, other)
    assert rows(found, "report", "report_id", "kind", "modality", "body_site", "display", "text") == [
        ("r1", "imaging", "DX", "Chest", "Chest X-ray", "Lungs cleär."),
        ("d2", None, None, None, "Letter", None),
        ("i2", "imaging", "CT", None, "Head", None),
    ]
    assert unplaced(found) == {
        "DiagnosticReport.code.coding.code": 1,
        "DocumentReference.content.attachment: no plain text": 1,
        "DocumentReference: repeats a report": 1,
        "ImagingStudy.series.uid": 1,
    }


# ---------------------------------------------------------------------- plans, devices, money
def test_plans_goals_and_devices(tmp_path: Path) -> None:
    condition = resource("Condition", "c1", code=concept(ICD10, "E11.9"))
    plan = resource(
        "CarePlan",
        "k1",
        status="active",
        intent="plan",
        category=[
            concept("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan"),
            concept(SNOMED, "698360004", "Diabetes self management plan"),
        ],
        period={"start": "2020-03-01"},
        addresses=[{"reference": "Condition/c1"}],
        goal=[{"reference": "Goal/g1"}],
        activity=[{"detail": {"code": concept(SNOMED, "160670007", "Diabetic diet")}}],
    )
    goal = resource(
        "Goal",
        "g1",
        lifecycleStatus="active",
        achievementStatus=concept(f"{HL7}goal-achievement", "improving"),
        description={"text": "HbA1c under 7"},
        startDate="2020-03-01",
        target=[
            {
                "measure": concept(LOINC, "4548-4"),
                "detailQuantity": {"value": 7, "unit": "%", "comparator": "<"},
                "dueDate": "2021",
            }
        ],
    )
    device = resource("Device", "x1", status="active", deviceName=[{"name": "Pump"}], serialNumber="s", lotNumber="l")
    free = {"resourceType": "Device", "id": "x2"}
    found = of(tmp_path, condition, goal, plan, device, free)
    assert rows(found, "careplan", "careplan_id", "code", "reason_code", "status") == [
        ("k1", "698360004", "E11.9", "active")
    ]
    columns = ("goal_id", "careplan_id", "description", "code", "target_low", "target_high", "unit", "status")
    assert rows(found, "goal", *columns) == [("g1", "k1", "HbA1c under 7", "4548-4", None, 7.0, "%", "in progress")]
    assert rows(found, "device", "device_id", "display", "serial") == [("x1", "Pump", "s")]
    assert unplaced(found) == {
        "CarePlan.activity": 1,
        "Device.lotNumber": 1,
        "Device: of no patient": 1,
        "Goal.target.dueDate": 1,
    }


def test_claims_and_who_pays(tmp_path: Path) -> None:
    insurer = {"resourceType": "Organization", "id": "o1", "type": [concept(f"{HL7}organization-type", "ins")]}
    other = {"resourceType": "Organization", "id": "o2", "name": "Not said to pay"}
    covers = [
        {"resourceType": "Coverage", "id": f"c{n}", "beneficiary": TO_PATIENT, "payor": [payor], "subscriberId": "7"}
        for n, payor in enumerate(
            ({"reference": "Organization/o1"}, {"reference": "Organization/o2"}, {"display": "A"})
        )
    ]
    claim = resource(
        "Claim",
        "k1",
        status="active",
        created="2020-03-02",
        total={"value": 10.25, "currency": "USD"},
        insurance=[{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/c0"}}],
        item=[
            {"sequence": 1, "productOrService": concept(SNOMED, "1"), "encounter": [TO_VISIT], "net": {"value": 10.25}},
            {"sequence": 2, "productOrService": concept(SNOMED, "2")},
        ],
    )
    paid = {"resourceType": "ExplanationOfBenefit", "id": "e1", "patient": TO_PATIENT, "created": "2020-04-01"}
    paid |= {"claim": {"reference": "Claim/k1"}, "payment": {"amount": {"value": 8.2}}}
    paid["total"] = [{"category": concept(f"{HL7}adjudication", "submitted"), "amount": {"value": 10.25}}]
    found = of(tmp_path, insurer, other, *covers, claim, paid)
    assert rows(found, "coverage", "coverage_id", "payer_id", "member_number") == [
        ("c0", "o1", "7"),
        ("c1", "o2", "7"),
        ("c2", "(named) A", "7"),
    ]
    assert sorted(rows(found, "payer", "payer_id", "name")) == [
        ("(named) A", "A"),
        ("o1", None),
        ("o2", "Not said to pay"),
    ]
    assert rows(found, "claim", "claim_id", "encounter_id", "coverage_id", "total") == [("k1", "v1", "c0", 10.25)]
    assert rows(found, "claim_line", "claim_line_id", "number", "code", "amount") == [
        ("k1#1", 1, "1", 10.25),
        ("k1#2", 2, "2", None),
    ]
    assert rows(found, "payment", "payment_id", "claim_id", "payer_part") == [("e1", "k1", 8.2)]
    assert unplaced(found) == {"ExplanationOfBenefit.total: other categories": 1}


def test_relatives_without_a_record_are_counted(tmp_path: Path) -> None:
    mother = {"resourceType": "RelatedPerson", "id": "r1", "patient": TO_PATIENT, "name": [{"family": "M"}]}
    found = of(tmp_path, mother)
    assert not found.tables["relation"].height
    assert unplaced(found) == {"RelatedPerson: relatives without a record": 1}
