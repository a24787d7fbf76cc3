"""The one canonical clinical schema: what a patient's whole record holds, in the terms of the field.

Every maker of patients fills these tables, every clinical exporter and rule reads them. Keys are text, times are
`Datetime("us")` without zone, dates are dates, units are UCUM, codes name their system in the column. A row of an event
table belongs to one patient; links resolve within the dataset.
"""

from __future__ import annotations

from functools import cache

from ehrsatz.schema import Column, Disclosure, Kind, Link, Role, Schema, Table

ICD10CM, SNOMED, LOINC, RXNORM, CVX, UCUM = "ICD-10-CM", "SNOMED-CT", "LOINC", "RxNorm", "CVX", "UCUM"
SYSTEMS = (ICD10CM, SNOMED, LOINC, RXNORM, CVX, UCUM)

SEXES = ("female", "male")
GENDERS = (
    *SEXES,
    "other",
    "unknown",
)  # as written down; the simulator's people are of the first two
RACES = ("white", "black", "asian", "native", "pacific", "other", "multiple")  # the locale maps its own groups to these
ETHNICITIES = ("hispanic", "not hispanic")
EDUCATION = ("below high school", "high school", "some college", "college")
SMOKING = ("never", "former", "current")
ALCOHOL = ("none", "moderate", "heavy")
ACTIVITY = ("inactive", "active")
HOUSING = ("owned", "rented", "unstable")
INSURANCE = ("private", "medicare", "medicaid", "dual", "national", "none")
MARITAL = ("never married", "married", "divorced", "widowed")
CLASSES = ("wellness", "ambulatory", "urgent", "emergency", "inpatient", "icu", "virtual", "home")
DISPOSITIONS = ("home", "home health", "skilled nursing", "hospice", "transferred", "died")
INTERPRETATIONS = ("normal", "low", "high", "critical low", "critical high", "abnormal")
CATEGORIES = ("vital-signs", "laboratory", "survey", "imaging", "social-history", "exam")
WORLD = ("organization", "location", "practitioner", "payer")  # tables that are the same in every part of a cohort
RELATIONS = ("mother", "father", "child", "spouse", "sibling")


@cache
def schema() -> Schema:
    """Return the clinical schema, version 1: 22 tables, `patient` the parent of all that happens to one."""
    return Schema("clinical", tuple(_tables()), version="1")


def _column(
    name: str,
    kind: Kind,
    role: Role = "attribute",
    disclosure: Disclosure = "none",
    *,
    unit: str | None = None,
    system: str | None = None,
    values: tuple[str, ...] | None = None,
    minimum: float | None = None,
    nullable: bool = True,
    description: str = "",
) -> Column:
    return Column(
        name,
        kind,
        role,
        disclosure,
        unit=unit,
        system=system,
        values=values,
        minimum=minimum,
        nullable=nullable,
        description=description,
    )


def _key(name: str) -> Column:
    return _column(name, "id", "key", "direct", nullable=False)


def _patient() -> Column:
    return _column("patient_id", "id", "subject", "direct", nullable=False)


def _reference(name: str, *, nullable: bool = True) -> Column:
    return _column(name, "id", "link", "direct", nullable=nullable)


def _time(name: str = "time", *, nullable: bool = False, role: Role = "time") -> Column:
    return _column(name, "datetime", role, "quasi", nullable=nullable)


def _money(name: str) -> Column:
    return _column(name, "number", unit="[USD]", minimum=0.0, nullable=False)


def _coded(system: str, *, nullable: bool = False) -> tuple[Column, Column]:
    return (
        _column("code", "code", "code", "sensitive", system=system, nullable=nullable),
        _column("display", "text", nullable=nullable),
    )


def _event(name: str, key: str, *columns: Column, extra: tuple[Link, ...] = (), encounter: bool = True) -> Table:
    links = [Link("patient_id", "patient", "patient_id")]
    head = [_key(key), _patient()]
    if encounter:
        head.append(_reference("encounter_id", nullable=False))
        links.append(Link("encounter_id", "encounter", "encounter_id"))
    return Table(name, (*head, *columns), (*links, *extra))


def _tables() -> list[Table]:
    text: Kind = "text"
    category: Kind = "category"
    number: Kind = "number"
    integer: Kind = "integer"
    return [
        Table(
            "patient",
            (
                _key("patient_id"),
                _column("birth_date", "date", disclosure="quasi", nullable=False),
                _time("death_time", nullable=True, role="attribute"),
                _column("death_cause", "code", disclosure="sensitive", system=ICD10CM),
                _column("sex", category, disclosure="quasi", values=GENDERS, nullable=False),
                _column("race", category, disclosure="quasi", values=RACES),
                _column("ethnicity", category, disclosure="quasi", values=ETHNICITIES),
                _column("given_name", text, disclosure="direct"),
                _column("family_name", text, disclosure="direct"),
                _column("birth_family_name", text, disclosure="direct"),
                _column("address_line", text, disclosure="direct"),
                _column("city", text, disclosure="quasi"),
                _column("region", text, disclosure="quasi", description="US state or UK nation, by its usual code."),
                _column("postal_code", text, disclosure="quasi"),
                _column("country", text),
                _column("phone", text, disclosure="direct"),
                _column("email", text, disclosure="direct"),
                _column("national_id", text, disclosure="direct", description="From a range that is given to nobody."),
                _column("record_number", text, disclosure="direct"),
                _column("language", text),
                _column("marital_status", category, disclosure="quasi", values=MARITAL),
                _column("education", category, disclosure="quasi", values=EDUCATION),
                _column("income", number, disclosure="quasi", unit="[USD]/a", minimum=0.0),
                _column("housing", category, disclosure="quasi", values=HOUSING),
                _column("insurance", category, disclosure="quasi", values=INSURANCE),
                _column("smoking", category, disclosure="sensitive", values=SMOKING),
                _column("alcohol", category, disclosure="sensitive", values=ALCOHOL),
                _column("activity", category, values=ACTIVITY),
                _column("blood_group", text, disclosure="sensitive"),
            ),
        ),
        Table(
            "organization",
            (
                _key("organization_id"),
                _column("name", text, nullable=False),
                _column("kind", category, values=("practice", "hospital", "laboratory", "pharmacy"), nullable=False),
                _column("identifier", text, nullable=False),
                _column("address_line", text),
                _column("city", text),
                _column("region", text),
                _column("postal_code", text),
                _column("phone", text),
            ),
        ),
        Table(
            "location",
            (
                _key("location_id"),
                _reference("organization_id", nullable=False),
                _column("name", text, nullable=False),
                _column("kind", category, values=("clinic", "emergency", "ward", "icu", "home"), nullable=False),
            ),
            (Link("organization_id", "organization", "organization_id"),),
        ),
        Table(
            "practitioner",
            (
                _key("practitioner_id"),
                _reference("organization_id", nullable=False),
                _column("given_name", text, nullable=False),
                _column("family_name", text, nullable=False),
                _column("specialty", text, nullable=False),
                _column("identifier", text, nullable=False),
            ),
            (Link("organization_id", "organization", "organization_id"),),
        ),
        Table(
            "payer",
            (
                _key("payer_id"),
                _column("name", text, nullable=False),
                _column("kind", category, values=INSURANCE, nullable=False),
            ),
        ),
        Table(
            "relation",
            (
                _key("relation_id"),
                _patient(),
                _reference("relative_id", nullable=False),
                _column("relation", category, values=RELATIONS, nullable=False, description="What the relative is."),
            ),
            (Link("patient_id", "patient", "patient_id"), Link("relative_id", "patient", "patient_id")),
        ),
        Table(
            "coverage",
            (
                _key("coverage_id"),
                _patient(),
                _reference("payer_id", nullable=False),
                _column("member_number", text, disclosure="direct", nullable=False),
                _column("start", "date", "time", "quasi", nullable=False),
                _column("stop", "date", "end", "quasi"),
            ),
            (Link("patient_id", "patient", "patient_id"), Link("payer_id", "payer", "payer_id")),
        ),
        _event(
            "encounter",
            "encounter_id",
            _reference("part_of_id"),
            _reference("practitioner_id", nullable=False),
            _reference("organization_id", nullable=False),
            _reference("location_id", nullable=False),
            _column("class", category, values=CLASSES, nullable=False),
            *_coded(SNOMED),
            _column("reason_code", "code", disclosure="sensitive", system=ICD10CM),
            _column("reason_display", text),
            _time("start"),
            _time("stop", role="end"),
            _column("disposition", category, values=DISPOSITIONS),
            extra=(
                Link("part_of_id", "encounter", "encounter_id"),
                Link("practitioner_id", "practitioner", "practitioner_id"),
                Link("organization_id", "organization", "organization_id"),
                Link("location_id", "location", "location_id"),
            ),
            encounter=False,
        ),
        _event(
            "condition",
            "condition_id",
            *_coded(ICD10CM),
            _column("snomed_code", "code", "attribute", "sensitive", system=SNOMED),
            _column("snomed_display", text),
            _column("stage", text),
            _time("onset"),
            _time("recorded", role="attribute"),
            _time("abatement", nullable=True, role="end"),
            _column("status", category, values=("active", "resolved"), nullable=False),
        ),
        _event(
            "observation",
            "observation_id",
            _reference("order_id"),
            _time(),
            _column("category", category, values=CATEGORIES, nullable=False),
            *_coded(LOINC),
            _column("value", number, "value", "sensitive"),
            _column("text_value", text, disclosure="sensitive"),
            _column("unit", "code", "unit", system=UCUM),
            _column("low", number, description="Lower end of the reference range."),
            _column("high", number, description="Upper end of the reference range."),
            _column("interpretation", category, values=INTERPRETATIONS),
            extra=(Link("order_id", "order", "order_id"),),
        ),
        _event(
            "order",
            "order_id",
            _reference("practitioner_id", nullable=False),
            _time(),
            _column("kind", category, values=("laboratory", "imaging", "procedure", "referral"), nullable=False),
            _column("system", category, values=(LOINC, SNOMED), nullable=False),
            _column("code", "code", "code", "sensitive", nullable=False),
            _column("display", text, nullable=False),
            _column("reason_code", "code", disclosure="sensitive", system=ICD10CM),
            _column("status", category, values=("completed", "cancelled"), nullable=False),
            extra=(Link("practitioner_id", "practitioner", "practitioner_id"),),
        ),
        _event(
            "report",
            "report_id",
            _reference("order_id", nullable=False),
            _time(),
            _column("kind", category, values=("laboratory", "imaging"), nullable=False),
            _column("modality", text, description="DICOM modality of an imaging study, as in CT."),
            _column("body_site", text),
            _column("display", text, nullable=False),
            _column("text", text, disclosure="sensitive", nullable=False),
            extra=(Link("order_id", "order", "order_id"),),
        ),
        _event(
            "medication",
            "medication_id",
            _reference("practitioner_id", nullable=False),
            *_coded(RXNORM),
            _time("start"),
            _time("stop", nullable=True, role="end"),
            _column("dose", number, minimum=0.0),
            _column("dose_unit", "code", "unit", system=UCUM),
            _column("route", text),
            _column("per_day", number, unit="/d", minimum=0.0, description="Doses a day; 0.14 is one a week."),
            _column("refills", integer, minimum=0),
            _column("quantity", number, minimum=0.0),
            _column("reason_code", "code", disclosure="sensitive", system=ICD10CM),
            _column("stop_reason", text),
            _column("status", category, values=("active", "completed", "stopped"), nullable=False),
            extra=(Link("practitioner_id", "practitioner", "practitioner_id"),),
        ),
        _event(
            "procedure",
            "procedure_id",
            _reference("practitioner_id", nullable=False),
            *_coded(SNOMED),
            _time("start"),
            _time("stop", role="end"),
            _column("reason_code", "code", disclosure="sensitive", system=ICD10CM),
            extra=(Link("practitioner_id", "practitioner", "practitioner_id"),),
        ),
        _event(
            "immunization",
            "immunization_id",
            *_coded(CVX),
            _time(),
            _column("dose_number", integer, minimum=1),
            _column("site", text),
            _column("lot", text, description="Begins with TEST: no maker's lot."),
        ),
        _event(
            "allergy",
            "allergy_id",
            _column("system", category, values=(SNOMED, RXNORM), nullable=False),
            _column("code", "code", "code", "sensitive", nullable=False),
            _column("display", text, nullable=False),
            _column("category", category, values=("medication", "food", "environment"), nullable=False),
            _column("reaction_code", "code", disclosure="sensitive", system=SNOMED),
            _column("reaction_display", text),
            _column("severity", category, values=("mild", "moderate", "severe")),
            _time("onset"),
        ),
        _event(
            "device",
            "device_id",
            *_coded(SNOMED),
            _time("start"),
            _time("stop", nullable=True, role="end"),
            _column("serial", text, disclosure="direct", description="Begins with TEST: no maker's serial."),
        ),
        _event(
            "careplan",
            "careplan_id",
            *_coded(SNOMED),
            _time("start"),
            _time("stop", nullable=True, role="end"),
            _column("reason_code", "code", disclosure="sensitive", system=ICD10CM),
            _column("status", category, values=("active", "completed"), nullable=False),
        ),
        _event(
            "goal",
            "goal_id",
            _reference("careplan_id", nullable=False),
            _column("description", text, nullable=False),
            _column("code", "code", "code", system=LOINC),
            _column("target_low", number),
            _column("target_high", number),
            _column("unit", "code", "unit", system=UCUM),
            _time("start"),
            _column("status", category, values=("achieved", "in progress", "not achieved"), nullable=False),
            extra=(Link("careplan_id", "careplan", "careplan_id"),),
        ),
        _event(
            "claim",
            "claim_id",
            _reference("coverage_id"),
            _time(),
            _money("total"),
            _column("status", category, values=("paid", "denied", "self-pay"), nullable=False),
            extra=(Link("coverage_id", "coverage", "coverage_id"),),
        ),
        _event(
            "claim_line",
            "claim_line_id",
            _reference("claim_id", nullable=False),
            _column("number", integer, minimum=1, nullable=False),
            _column(
                "kind",
                category,
                values=("encounter", "procedure", "medication", "laboratory", "imaging", "immunization", "device"),
                nullable=False,
            ),
            _column("code", "code", "code", nullable=False),
            _money("amount"),
            _time(),
            extra=(Link("claim_id", "claim", "claim_id"),),
        ),
        _event(
            "payment",
            "payment_id",
            _reference("claim_id", nullable=False),
            _time(),
            _column("payer_part", number, unit="[USD]", minimum=0.0, nullable=False),
            _column("patient_part", number, unit="[USD]", minimum=0.0, nullable=False),
            _column("adjustment", number, unit="[USD]", minimum=0.0, nullable=False),
            extra=(Link("claim_id", "claim", "claim_id"),),
        ),
    ]  # total = payer_part + patient_part + adjustment over the payments of a claim, and = sum of its lines
