"""What belongs to no patient: organizations, payers, locations, practitioners and their roles.

References
----------
HL7, US Core 5.0.1, profiles us-core-organization, us-core-location, us-core-practitioner.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.people import address, telecom
from ehrsatz.exporters.fhir.records import Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    TERMS,
    coding,
    concept,
    field,
    identifier,
    many,
    reference,
    text,
    thing,
    word,
)

LOCATION = {
    "clinic": coding(f"{TERMS}v3-RoleCode", "OF", "Outpatient facility"),
    "emergency": coding(f"{TERMS}v3-RoleCode", "ER", "Emergency room"),
    "ward": coding(f"{TERMS}v3-RoleCode", "HU", "Hospital unit"),
    "icu": coding(f"{TERMS}v3-RoleCode", "ICU", "Intensive care unit"),
    "home": coding(f"{TERMS}v3-RoleCode", "PTRES", "Patient's Residence"),
}


def organizations(records: Records) -> Resources:
    """Return hospitals, practices, laboratories and pharmacies."""
    return records.resource(
        "Organization",
        "organization",
        keyed("organization_id", identifier("organization-number", "identifier")),
        '"active":true',
        field(
            "type",
            many(concept(coding(f"{TERMS}organization-type", "prov", "Healthcare Provider"), shown=text("kind"))),
        ),
        field("name", text("name")),
        field("telecom", many(*telecom("phone"))),
        field("address", many(address(country=None))),
        meta=records.meta("organization"),
    )


def payers(records: Records) -> Resources:
    """Return payers, which are organizations, too."""
    return records.resource(
        "Organization",
        "payer",
        keyed("payer_id"),
        '"active":true',
        field(
            "type", many(concept(coding(f"{TERMS}organization-type", "ins", "Insurance Company"), shown=text("kind")))
        ),
        field("name", text("name")),
        meta=records.meta("organization"),
    )


def locations(records: Records) -> Resources:
    """Return clinics, wards and the like."""
    return records.resource(
        "Location",
        "location",
        keyed("location_id"),
        '"status":"active"',
        field("name", text("name")),
        '"mode":"instance"',
        field("type", many(concept(word("kind", LOCATION), shown=text("kind")))),
        field("managingOrganization", reference("Organization", "organization_id")),
        meta=records.meta("location"),
    )


def practitioners(records: Records) -> Resources:
    """Return the practitioners."""
    there = pl.col("family_name").is_not_null() | pl.col("given_name").is_not_null()
    name = thing(field("family", text("family_name")), field("given", many(text("given_name"))))
    fits = pl.col("family_name").is_not_null() & pl.col("identifier").is_not_null()
    return records.resource(
        "Practitioner",
        "practitioner",
        keyed("practitioner_id", identifier("practitioner-number", "identifier")),
        '"active":true',
        field("name", many(pl.when(there).then(name))),
        meta=records.claim(fits, "practitioner"),
    )


def roles(records: Records) -> Resources:
    """Return where the practitioners work and on what."""
    return records.resource(
        "PractitionerRole",
        "practitioner",
        '"active":true',
        field("practitioner", reference("Practitioner", "practitioner_id")),
        field("organization", reference("Organization", "organization_id")),
        field("specialty", many(concept(shown=text("specialty")))),
        meta=records.meta(),
    )
