"""Where MEDS keeps the clinical schema: an event per row, a second one where it ends, and named extra columns.

A code is "TABLE//system//code", the end of a stay or a course "TABLE_END//system//code"; both bear the row's key in
`event_id`. What is known of a row only when it ends (its status, how a stay ended) stands at its end alone, so that a
model that reads events in order is told nothing early.

References
----------
Medical Event Data Standard 0.4.1, `meds.schema`: DataSchema, CodeMetadataSchema, DatasetMetadataSchema,
SubjectSplitSchema. github.com/Medical-Event-Data-Standard/meds
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

MEDS_VERSION = "0.4.1"
BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
SUBJECT = "PATIENT_ID"  # static code whose text is the key that the subject has in the clinical tables
SEPARATOR = "//"
END = "_END"  # what the first part of a code ends with where the event is an end
CORE = {
    "subject_id": pl.Int64(),
    "time": pl.Datetime("us"),
    "code": pl.String(),
    "numeric_value": pl.Float32(),
    "text_value": pl.String(),
}
SOURCE_IDS = ("event_id", "encounter_id", "link_id", "practitioner_id")
SITES = ("organization_id", "location_id")
MODIFIERS = ("unit", "category", "interpretation", "route")
VALUES = ("value",)  # the number in full: 32 bits of `numeric_value` hold seven digits
OTHERS: dict[str, pl.DataType] = {
    "display": pl.String(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "status": pl.String(),
    "disposition": pl.String(),
    "reason_code": pl.String(),
    "reason_display": pl.String(),
    "snomed_code": pl.String(),
    "snomed_display": pl.String(),
    "stage": pl.String(),
    "recorded": pl.Datetime("us"),
    "modality": pl.String(),
    "body_site": pl.String(),
    "per_day": pl.Float64(),
    "refills": pl.Int64(),
    "quantity": pl.Float64(),
    "stop_reason": pl.String(),
    "number": pl.Int64(),
    "lot": pl.String(),
    "reaction_code": pl.String(),
    "reaction_display": pl.String(),
    "severity": pl.String(),
    "serial": pl.String(),
}
EXTRA: dict[str, pl.DataType] = {
    **{name: pl.String() for name in (*SOURCE_IDS, *SITES, *MODIFIERS)},
    "value": pl.Float64(),
    **OTHERS,
}
STATIC_WORDS = {  # clinical column of a patient -> first part of a static code whose second part is the word
    "sex": "GENDER",
    "race": "RACE",
    "ethnicity": "ETHNICITY",
    "marital_status": "MARITAL_STATUS",
    "education": "EDUCATION",
    "housing": "HOUSING",
    "insurance": "INSURANCE",
    "smoking": "SMOKING",
    "alcohol": "ALCOHOL",
    "activity": "ACTIVITY",
}
STATIC_TEXTS = {  # clinical column of a patient -> static code with the text
    name: name.upper()
    for name in (
        "given_name",
        "family_name",
        "birth_family_name",
        "address_line",
        "city",
        "region",
        "postal_code",
        "country",
        "phone",
        "email",
        "national_id",
        "record_number",
        "language",
        "blood_group",
    )
}
INCOME = "INCOME"
DEATH_CAUSE = "DEATH_CAUSE"  # static, only where a cause has no time of death beside it
GENDERS = {"female": "F", "male": "M", "other": "OTHER", "unknown": "UNKNOWN"}
SPLITS = (("train", 8), ("tuning", 1), ("held_out", 1))  # of ten subjects


@dataclass(frozen=True)
class Event:
    """How the rows of one clinical table become events.

    Parameters
    ----------
    table
        Name of the clinical table.
    time, end
        Its columns for the time of the event and of the second one; None where there is none.
    number, text
        Its columns for `value` (and `numeric_value`) and `text_value`.
    columns
        Clinical column -> extra column; columns of the same name need no entry.
    late
        Clinical columns that stand at the end where there is one.
    """

    table: str
    time: str | None
    end: str | None = None
    number: str | None = None
    text: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    late: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """First part of the codes."""
        return self.table.upper()


EVENTS = (
    Event("relation", None, columns={"relative_id": "link_id", "relation": "category"}),
    Event("coverage", "start", "stop", text="member_number", columns={"payer_id": "link_id"}),
    Event("encounter", "start", "stop", columns={"part_of_id": "link_id", "class": "category"}, late=("disposition",)),
    Event("condition", "onset", "abatement", late=("status",)),
    Event("observation", "time", number="value", text="text_value", columns={"order_id": "link_id"}),
    Event("order", "time", columns={"kind": "category"}),
    Event("report", "time", text="text", columns={"order_id": "link_id", "kind": "category"}),
    Event(
        "medication",
        "start",
        "stop",
        number="dose",
        columns={"dose_unit": "unit"},
        late=("stop_reason", "status"),
    ),
    Event("procedure", "start", "stop"),
    Event("immunization", "time", columns={"dose_number": "number", "site": "body_site"}),
    Event("allergy", "onset"),
    Event("device", "start", "stop"),
    Event("careplan", "start", "stop", late=("status",)),
    Event(
        "goal",
        "start",
        text="description",
        columns={"careplan_id": "link_id", "target_low": "low", "target_high": "high"},
    ),
    Event("claim", "time", number="total", columns={"coverage_id": "link_id"}),
    Event("claim_line", "time", number="amount", columns={"claim_id": "link_id", "kind": "category"}),
    Event("payment", "time", columns={"claim_id": "link_id"}),
)
PAYMENTS = {"payer_part": "PAYER", "patient_part": "PATIENT", "adjustment": "ADJUSTMENT"}  # an event each
