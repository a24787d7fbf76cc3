"""The code systems: addresses in FHIR, release of the displays, and what their owners ask to be said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One code system; `notice` must accompany its codes."""

    name: str
    uri: str
    version: str
    owner: str
    notice: str


SYSTEMS: dict[str, System] = {
    one.name: one
    for one in (
        System(
            "ICD-10-CM",
            "http://hl7.org/fhir/sid/icd-10-cm",
            "2026, April",
            "National Center for Health Statistics, USA",
            "ICD-10-CM is a work of the US government (NCHS and CMS) and in the public domain.",
        ),
        System(
            "SNOMED-CT",
            "http://snomed.info/sct",
            "codes that the Apache-2.0 modules of Synthea publish",
            "SNOMED International",
            "SNOMED CT is copyright of SNOMED International. Use in production needs an affiliate licence, which is "
            "free in member countries: https://www.snomed.org/get-snomed",
        ),
        System(
            "LOINC",
            "http://loinc.org",
            "codes that the Apache-2.0 modules of Synthea publish, and those of the MIMIC-III demo",
            "Regenstrief Institute, Inc.",
            "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, "
            "Inc. and the Logical Observation Identifiers Names and Codes (LOINC) Committee and is available at no "
            "cost under the license at http://loinc.org/license. LOINC is a registered United States trademark of "
            "Regenstrief Institute, Inc.",
        ),
        System(
            "RxNorm",
            "http://www.nlm.nih.gov/research/umls/rxnorm",
            "codes that the Apache-2.0 modules of Synthea publish",
            "National Library of Medicine, USA",
            "This product uses publicly available data from the U.S. National Library of Medicine (NLM), National "
            "Institutes of Health, Department of Health and Human Services; NLM is not responsible for the product and "
            "does not endorse or recommend this or any other product.",
        ),
        System(
            "CVX",
            "http://hl7.org/fhir/sid/cvx",
            "codes that the Apache-2.0 modules of Synthea publish",
            "Centers for Disease Control and Prevention, USA",
            "CVX is a work of the US government (CDC) and in the public domain.",
        ),
        System(
            "UCUM",
            "http://unitsofmeasure.org",
            "2.1",
            "Regenstrief Institute, Inc.",
            "UCUM is copyright Regenstrief Institute, Inc. and the UCUM Organization; it is used without change under "
            "https://ucum.org/license.",
        ),
    )
}


def notice() -> str:
    """Return what the owners of all systems ask to be said, one paragraph each."""
    return "\n\n".join(f"{one.name} ({one.owner}): {one.notice}" for one in SYSTEMS.values()) + "\n"
