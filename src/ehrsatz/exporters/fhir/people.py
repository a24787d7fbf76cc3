"""Patients and their relatives.

References
----------
HL7, US Core 5.0.1, profiles us-core-patient, us-core-race, us-core-ethnicity, us-core-birthsex, us-core-relatedperson.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.records import US_CORE, Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    BASE,
    TERMS,
    coding,
    concept,
    day,
    extension,
    field,
    glue,
    identifier,
    many,
    moment,
    money,
    reference,
    text,
    thing,
    word,
)

CDC = "urn:oid:2.16.840.1.113883.6.238"  # race and ethnicity, as US Core demands
OMB = {
    "white": coding(CDC, "2106-3", "White"),
    "black": coding(CDC, "2054-5", "Black or African American"),
    "asian": coding(CDC, "2028-9", "Asian"),
    "native": coding(CDC, "1002-5", "American Indian or Alaska Native"),
    "pacific": coding(CDC, "2076-8", "Native Hawaiian or Other Pacific Islander"),
    "hispanic": coding(CDC, "2135-2", "Hispanic or Latino"),
    "not hispanic": coding(CDC, "2186-5", "Not Hispanic or Latino"),
}
SEX_AT_BIRTH = {"female": "F", "male": "M", "unknown": "UNK"}
MARITAL = {
    "never married": coding(f"{TERMS}v3-MaritalStatus", "S", "Never Married"),
    "married": coding(f"{TERMS}v3-MaritalStatus", "M", "Married"),
    "divorced": coding(f"{TERMS}v3-MaritalStatus", "D", "Divorced"),
    "widowed": coding(f"{TERMS}v3-MaritalStatus", "W", "Widowed"),
}
RELATIVE = {
    "mother": coding(f"{TERMS}v3-RoleCode", "MTH", "mother"),
    "father": coding(f"{TERMS}v3-RoleCode", "FTH", "father"),
    "child": coding(f"{TERMS}v3-RoleCode", "CHILD", "child"),
    "spouse": coding(f"{TERMS}v3-RoleCode", "SPS", "spouse"),
    "sibling": coding(f"{TERMS}v3-RoleCode", "SIB", "sibling"),
}
WORDS = ("education", "housing", "insurance", "smoking", "alcohol", "activity", "blood_group")
LIKE_SSN = r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$"
LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"


def patients(records: Records) -> Resources:
    """Return the patients."""
    named = pl.col("given_name").is_not_null() | pl.col("family_name").is_not_null()
    return records.resource(
        "Patient",
        "patient",
        field("extension", many(*_group("race"), *_group("ethnicity"), *_sex(), *_own())),
        keyed("patient_id", _numbered("MR", "Medical record number", "record_number"), *_national()),
        field("name", many(_name(), _maiden())),
        field("telecom", many(*telecom("phone", "email"))),
        glue('"gender":', text("sex")),
        field("birthDate", day("birth_date")),
        field("deceasedDateTime", moment("death_time")),
        field("address", many(address("home"))),
        field("maritalStatus", concept(word("marital_status", MARITAL), shown=text("marital_status"))),
        field("communication", many(_language())),
        meta=records.claim(named & pl.col("sex").is_not_null(), "patient"),
    )


def relatives(records: Records) -> Resources:
    """Return the relatives as persons, named by the key of their own record; never by a reference to it."""
    shown = ("patient_id", "given_name", "family_name", "sex", "birth_date")
    known = records.kin.select(pl.col(shown[0]).alias("relative_id"), *shown[1:])
    frame = records["relation"].join(known, on="relative_id", how="left", maintain_order="left")
    return records.made(
        "RelatedPerson",
        frame,
        "relation_id",
        keyed("relation_id", identifier("patient", "relative_id")),
        '"active":true',
        field("patient", reference("Patient", "patient_id")),
        field("relationship", many(concept(word("relation", RELATIVE), shown=text("relation")))),
        field("name", many(_name())),
        glue('"gender":', text("sex")),
        field("birthDate", day("birth_date")),
        meta=records.meta("relatedperson"),
    )


# ---------------------------------------------------------------------- shared with organizations and practitioners
def telecom(phone: str | None, email: str | None = None) -> list[pl.Expr]:
    """Return ContactPoints of a phone's and an e-mail's column."""
    pairs = (("phone", phone), ("email", email))
    return [glue(f'{{"system":"{system}","value":', text(column), "}") for system, column in pairs if column]


def address(use: str | None = None, country: str | None = "country") -> pl.Expr:
    """Return an Address of the usual columns."""
    whole = thing(
        field("line", many(text("address_line"))),
        field("city", text("city")),
        field("state", text("region")),
        field("postalCode", text("postal_code")),
        field("country", text(country)) if country else None,
    )
    return whole if use is None else glue(f'{{"use":"{use}",', whole.str.slice(1))


def _name() -> pl.Expr:
    there = pl.col("family_name").is_not_null() | pl.col("given_name").is_not_null()
    whole = thing('"use":"official"', field("family", text("family_name")), field("given", many(text("given_name"))))
    return pl.when(there).then(whole)


def _maiden() -> pl.Expr:
    other = pl.col("birth_family_name").ne_missing(pl.col("family_name"))
    return pl.when(other).then(glue('{"use":"maiden","family":', text("birth_family_name"), "}"))


def _group(column: str) -> list[pl.Expr]:
    """The US Core extension for race or ethnicity."""
    parts = many(
        glue('{"url":"ombCategory","valueCoding":', word(column, OMB), "}"),
        glue('{"url":"text","valueString":', text(column), "}"),
    )
    return [glue(f'{{"url":"{US_CORE}{column}","extension":', parts, "}")]


def _sex() -> list[pl.Expr]:
    return [glue(f'{{"url":"{US_CORE}birthsex","valueCode":"', word("sex", SEX_AT_BIRTH), '"}')]


def _own() -> list[pl.Expr | str]:
    cause = concept(
        glue('{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":', text("death_cause"), "}")
    )  # of the schema's own system
    same = pl.col("birth_family_name").eq(pl.col("family_name"))
    return [
        extension("death-cause", "CodeableConcept", cause),
        pl.when(same).then(extension("birth-family-name", "String", text("birth_family_name"))),
        *(extension(name.replace("_", "-"), "String", text(name)) for name in WORDS),
        extension("income", "Money", money("income")),
    ]


def _numbered(kind: str, shown: str, column: str, system: str | None = None) -> pl.Expr:
    name = column.replace("_", "-")
    return glue(
        f'{{"type":{{"coding":[{coding(f"{TERMS}v2-0203", kind, shown)}]}},',
        f'"system":"{system or f"{BASE}identifier/{name}"}","value":',
        text(column),
        "}",
    )


def _national() -> list[pl.Expr]:
    usual = pl.col("national_id").str.contains(LIKE_SSN)
    social = _numbered("SS", "Social Security number", "national_id", "http://hl7.org/fhir/sid/us-ssn")
    other = _numbered("NI", "National unique individual identifier", "national_id")
    return [pl.when(usual).then(social).otherwise(other)]


def _language() -> pl.Expr:
    code = pl.when(pl.col("language").str.contains(LANGUAGE)).then(
        glue('{"system":"urn:ietf:bcp:47","code":', text("language"), "}")
    )
    return glue('{"language":', concept(code, shown=text("language")), "}")
