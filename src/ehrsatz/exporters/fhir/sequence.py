"""Which resources there are, in an order in which each refers to earlier ones alone, and what FHIR cannot carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ehrsatz.exporters.base import Loss
from ehrsatz.exporters.fhir import drugs, encounters, findings, money, people, places, plans, reports
from ehrsatz.exporters.fhir.records import Records, Resources

LOSSES = (
    Loss(
        "claim_line",
        None,
        "FHIR holds the lines of a claim within it, and has no place for lines without a claim.",
        rows=pl.col("claim_id").is_null(),
    ),
)


FEWER = ("ImagingStudy", "DocumentReference", "MedicationAdministration", "Provenance")  # not of every row


@dataclass(frozen=True)
class Kind:
    """A type of resource of a patient.

    Parameters
    ----------
    name
        Of the type, as in "Observation".
    table
        The table whose rows it comes from.
    make
        Makes the resources of some records.
    """

    name: str
    table: str
    make: Callable[[Records], Resources | list[Resources]]

    def is_there(self, records: Records) -> bool:
        """Say whether there is any such resource; cheap where a row of the table always makes one."""
        if self.name in FEWER:
            return bool(self.of(records))
        return records.tables[self.table].height > 0

    def of(self, records: Records) -> list[Resources]:
        """Return the resources of this type that there are; nothing where there are none."""
        if not records.tables[self.table].height:
            return []
        made = self.make(records)
        return [one for one in (made if isinstance(made, list) else [made]) if one.frame.height]


KINDS = (
    Kind("Patient", "patient", people.patients),
    Kind("RelatedPerson", "relation", people.relatives),
    Kind("Coverage", "coverage", money.coverages),
    Kind("Encounter", "encounter", encounters.encounters),
    Kind("Condition", "condition", findings.conditions),
    Kind("AllergyIntolerance", "allergy", findings.allergies),
    Kind("ServiceRequest", "order", reports.orders),
    Kind("Observation", "observation", findings.observations),
    Kind("ImagingStudy", "report", reports.studies),
    Kind("DiagnosticReport", "report", reports.reports),
    Kind("DocumentReference", "report", reports.documents),
    Kind("MedicationRequest", "medication", drugs.requests),
    Kind("MedicationAdministration", "medication", drugs.administrations),
    Kind("Procedure", "procedure", plans.procedures),
    Kind("Immunization", "immunization", drugs.immunizations),
    Kind("Device", "device", plans.devices),
    Kind("Goal", "goal", plans.goals),
    Kind("CarePlan", "careplan", plans.plans),
    Kind("Claim", "claim", money.claims),
    Kind("ExplanationOfBenefit", "payment", money.benefits),
    Kind("Provenance", "patient", encounters.provenance),
)


def of_world(records: Records) -> list[Resources]:
    """Return what belongs to no patient, dependencies first."""
    makers = (places.payers, places.organizations, places.locations, places.practitioners, places.roles)
    return [made for made in (make(records) for make in makers) if made.frame.height]
