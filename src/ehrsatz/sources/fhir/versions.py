"""How resources of other versions of FHIR give themselves away: types and elements that R4 does not have.

References
----------
HL7, FHIR R4 (4.0.1), http://hl7.org/fhir/R4/diff.html and FHIR R5 (5.0.0), http://hl7.org/fhir/R5/diff.html
"""

from __future__ import annotations

import re
from typing import Any

STU3, R5 = "STU3 or older", "R5 or newer"

TYPES = {  # types of resources that R4 does not have
    **dict.fromkeys(
        (
            "BodySite",
            "Conformance",
            "DataElement",
            "DeviceComponent",
            "DeviceUseRequest",
            "DiagnosticOrder",
            "EligibilityRequest",
            "EligibilityResponse",
            "ExpansionProfile",
            "ImagingManifest",
            "ImagingObjectSelection",
            "MedicationOrder",
            "Order",
            "OrderResponse",
            "ProcedureRequest",
            "ProcessRequest",
            "ProcessResponse",
            "ReferralRequest",
            "Sequence",
            "ServiceDefinition",
        ),
        STU3,
    ),
    **dict.fromkeys(
        (
            "ActorDefinition",
            "ArtifactAssessment",
            "BiologicallyDerivedProductDispense",
            "DeviceAssociation",
            "DeviceDispense",
            "DeviceUsage",
            "EncounterHistory",
            "FormularyItem",
            "GenomicStudy",
            "ImagingSelection",
            "InventoryItem",
            "InventoryReport",
            "Permission",
            "Requirements",
            "TestPlan",
            "Transport",
        ),
        R5,
    ),
}
MARKS = {  # elements that R4 does not have
    "Patient": {"animal": STU3, "careProvider": STU3},
    "Encounter": {
        "actualPeriod": R5,
        "plannedStartDate": R5,
        "plannedEndDate": R5,
        "subjectStatus": R5,
        "admission": R5,
        "virtualService": R5,
        "reason": "another version",  # STU3: CodeableConcept, R5: a structure
    },
    "Condition": {"context": STU3, "assertedDate": STU3, "dateRecorded": STU3, "participant": R5},
    "AllergyIntolerance": {"assertedDate": STU3, "substance": STU3, "participant": R5},
    "Observation": {"context": STU3, "comment": STU3, "related": STU3, "triggeredBy": R5, "bodyStructure": R5},
    "MedicationRequest": {"context": STU3, "medication": R5, "reason": R5, "renderedDosageInstruction": R5},
    "MedicationStatement": {"taken": STU3, "wasNotTaken": STU3, "medication": R5, "adherence": R5},
    "MedicationAdministration": {
        "notGiven": STU3,
        "prescription": STU3,
        "medication": R5,
        "occurenceDateTime": R5,
        "occurencePeriod": R5,
    },
    "Procedure": {
        "context": STU3,
        "notDone": STU3,
        "notPerformed": STU3,
        "definition": STU3,
        "occurrenceDateTime": R5,
        "occurrencePeriod": R5,
        "reason": R5,
    },
    "Immunization": {
        "notGiven": STU3,
        "wasNotGiven": STU3,
        "date": STU3,
        "vaccinationProtocol": STU3,
        "informationSource": R5,
    },
    "DiagnosticReport": {"context": STU3, "image": STU3, "codedDiagnosis": STU3, "study": R5},
    "DocumentReference": {"class": STU3, "indexed": STU3, "created": STU3, "basedOn": R5, "attester": R5},
    "ServiceRequest": {"context": STU3, "reason": R5},
    "CarePlan": {"context": STU3, "definition": STU3},
    "Goal": {"status": STU3},
    "Device": {"udi": STU3, "name": R5, "association": R5},
    "Coverage": {"grouping": STU3, "sequence": STU3, "kind": R5, "insurer": R5, "paymentBy": R5},
    "Claim": {"organization": STU3, "employmentImpacted": STU3},
    "ExplanationOfBenefit": {"claimTotal": STU3, "unallocDeductable": STU3},
}
_CORE = re.compile(r"//hl7\.org/fhir/(\d+)\.(\d+)(?:\.\d+)?/")  # a profile of the standard itself, with its version


def of_profile(profile: Any) -> str | None:
    """Return the version that the address of a profile names, where it is not R4 or R4B.

    Examples
    --------
    >>> of_profile("http://hl7.org/fhir/5.0/StructureDefinition/Patient"), of_profile("http://hl7.org/fhir/4.0/x")
    ('5.0', None)
    """
    found = _CORE.search(profile) if isinstance(profile, str) else None
    return None if found is None or found[1] == "4" else f"{found[1]}.{found[2]}"


def of_statement(resource: dict[str, Any]) -> str | None:
    """Return the version that a CapabilityStatement or the like names, where it is not R4 or R4B."""
    told = resource.get("fhirVersion")
    told = told[0] if isinstance(told, list) and told else told
    return told if isinstance(told, str) and not told.startswith("4.") else None
