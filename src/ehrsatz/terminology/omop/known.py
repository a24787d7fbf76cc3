"""Concept ids that are known without a vocabulary at hand, and the words that they stand for."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LIST = Path(__file__).parent / "concepts.csv"

NONE = 0  # "No matching concept"
LOCAL = 2_000_000_000  # concepts of a site's own lie above: https://ohdsi.github.io/CommonDataModel/vocabulary.html
SYSTEMS = {  # code system -> vocabulary
    "ICD-10-CM": "ICD10CM",
    "ICD-9-CM": "ICD9CM",
    "ICD-9-PCS": "ICD9Proc",
    "ICD-10-PCS": "ICD10PCS",
    "SNOMED-CT": "SNOMED",
    "LOINC": "LOINC",
    "RxNorm": "RxNorm",
    "CVX": "CVX",
    "UCUM": "UCUM",
    "HCPCS": "HCPCS",
    "CPT": "CPT4",
    "NDC": "NDC",
}
VOCABULARIES = {vocabulary: system for system, vocabulary in SYSTEMS.items()}
STANDARD = frozenset({"SNOMED", "LOINC", "RxNorm", "CVX"})  # vocabularies whose codes OMOP takes as standard

GENDERS = {"female": 8532, "male": 8507}
RACES = {"white": 8527, "black": 8516, "asian": 8515, "native": 8657, "pacific": 8557}
ETHNICITIES = {"hispanic": 38003563, "not hispanic": 38003564}
VISITS = {
    "wellness": 9202,
    "ambulatory": 581477,
    "urgent": 8782,
    "emergency": 9203,
    "inpatient": 9201,
    "icu": 32037,
    "virtual": 5083,
    "home": 581476,
}
DISCHARGES = {"home health": 38004519, "skilled nursing": 8863, "hospice": 8546, "transferred": 8717}
INTERPRETATIONS = {"normal": 4069590, "abnormal": 4135493, "high": 4328749, "low": 4267416}
ROUTES = {
    "oral": 4132161,
    "intravenous": 4171047,
    "subcutaneous": 4142048,
    "intramuscular": 4302612,
    "topical": 4263689,
    "sublingual": 4292110,
}
SPECIALTIES = {
    "family medicine": 38004453,
    "internal medicine": 38004456,
    "general surgery": 38004447,
    "allergy and immunology": 38004448,
    "otolaryngology": 38004449,
    "cardiology": 38004451,
    "dermatology": 38004452,
    "gastroenterology": 38004455,
    "neurology": 38004458,
    "neurosurgery": 38004459,
    "obstetrics": 38004461,
    "gynecology": 38004461,
    "ophthalmology": 38004463,
    "orthopedic surgery": 38004465,
    "plastic surgery": 38004467,
    "psychiatry": 38004469,
    "pediatrics": 38004477,
    "emergency medicine": 38004510,
}
COUNTRIES = {"US": 4330442}
UNITS = {
    "h": 8505, "wk": 8511, "d": 8512, "{ratio}": 8523, "%": 8554, "mg": 8576, "mL": 8587, "g/L": 8636, "U/L": 8645,
    "g/dL": 8713, "ng/L": 8725, "umol/L": 8749, "mmol/L": 8753, "mL/min": 8795, "mg/dL": 8840, "ng/mL": 8842,
    "pg/mL": 8845, "mm[Hg]": 8876, "10*9/L": 9444, "a": 9448, "kg": 9529, "kg/m2": 9531, "mo": 9580,
    "mL/min/{1.73_m2}": 720870, "cm": 8582, "/min": 8541, "10*3/uL": 8848, "10*6/uL": 8815, "fL": 8583, "pg": 8564,
    "Cel": 586323, "ug/dL": 8837, "ng/dL": 8817, "mg/L": 8751, "mm/h": 8752, "mm": 8588, "s": 8555, "mg/g": 8723,
    "[IU]": 8718, "U/mL": 8763,
}  # fmt: skip

# Type concepts: where a row comes from. They also tell rows of one table apart that were of several.
EHR, ADMINISTERED, BILLED, COMPLAINT, ENCOUNTER, CAREPLAN = 32817, 32818, 32821, 32822, 32827, 32828
NURSING, ORDER, PATHOLOGY, EXAMINATION, PRESCRIPTION = 32832, 32833, 32835, 32836, 32838
PROBLEM, RADIOLOGY, LAB, SURVEY, SELF_REPORT = 32840, 32841, 32856, 32862, 32865
INPATIENT_LINE, INPATIENT_CLAIM, OUTPATIENT_LINE, OUTPATIENT_CLAIM, PAID = 32854, 32855, 32860, 32861, 32863
CATEGORIES = {
    "vital-signs": NURSING,
    "laboratory": LAB,
    "survey": SURVEY,
    "imaging": RADIOLOGY,
    "social-history": SELF_REPORT,
    "exam": EXAMINATION,
}  # of observations, by the record that they come from

# What an event id leads to: concepts of the CDM's own key columns
FIELDS = {
    1147127: "condition_occurrence",
    1147094: "drug_exposure",
    1147082: "procedure_occurrence",
    1147138: "measurement",
    1147165: "observation",
    1147070: "visit_occurrence",
}
FIELD_OF = {table: concept for concept, table in FIELDS.items()}
VISIT, PERSON, CARE_SITE = 8, 56, 57  # domains of facts
DETAIL = LOCAL  # the vocabularies have no domain of details of visits: the first concept of our own
PART_OF, CONTAINS = 46233688, 46233689
DOLLAR, ENGLISH, UTF8, CDM_54, DRUG_ALLERGY = 44818668, 4180186, 32678, 756265, 439224


@dataclass(frozen=True)
class Concept:
    """A row of the table `concept`."""

    concept_id: int
    concept_name: str
    domain_id: str
    vocabulary_id: str
    concept_class_id: str
    standard_concept: str | None
    concept_code: str


@cache
def concepts() -> dict[int, Concept]:
    """Return id -> concept."""
    with _LIST.open(encoding="utf-8", newline="") as file:
        rows = [
            Concept(int(number), name, domain, vocabulary, kind, standard or None, code)
            for number, name, domain, vocabulary, kind, standard, code in list(csv.reader(file))[1:]
        ]
    return {one.concept_id: one for one in rows}


@cache
def described(vocabulary: str) -> dict[str, Concept]:
    """Return what describes the vocabularies: of "Domain", "Vocabulary", "Concept Class" or "Relationship", by name."""
    return {one.concept_code: one for one in concepts().values() if one.vocabulary_id == vocabulary}
