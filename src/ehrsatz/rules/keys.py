# ruff: noqa: E501 - tables of words
"""Keys: each names one row, each reference leads to a row, and to a row of the same patient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from ehrsatz import clinical
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import View

SQL = "Codd EF, A relational model of data for large shared data banks, Commun ACM 1970;13:377, doi:10.1145/362384.362685: entity and referential integrity"
TARGETS = {
    "patient": "patient_id",
    "encounter": "encounter_id",
    "practitioner": "practitioner_id",
    "organization": "organization_id",
    "location": "location_id",
    "payer": "payer_id",
    "order": "order_id",
    "coverage": "coverage_id",
    "claim": "claim_id",
    "careplan": "careplan_id",
}
OWN = (  # table, its reference, the table that it leads to: both are of one patient
    *((name, "encounter_id", "encounter") for name in ("condition", "observation", "order", "report", "medication", "procedure", "immunization", "allergy", "device", "careplan", "goal", "claim", "claim_line", "payment")),
    ("encounter", "part_of_id", "encounter"),
    ("observation", "order_id", "order"),
    ("report", "order_id", "order"),
    ("goal", "careplan_id", "careplan"),
    ("claim", "coverage_id", "coverage"),
    ("claim_line", "claim_id", "claim"),
    ("payment", "claim_id", "claim"),
)  # fmt: skip


def _twice(view: View) -> list[Found]:
    out: list[Found] = []
    for table in clinical.schema().tables:
        key = table.with_role("key")
        if key is not None and view.has(f"{table.name}.{key}"):
            cells = view.cells(table.name, key)
            again = np.zeros(len(cells), dtype=bool)
            if cells.hash().n_unique() < len(cells):
                again = (~cells.is_first_distinct() & cells.is_not_null()).to_numpy()
            out += told(table.name, view.given(table.name, key), again)
    return out


def _dangling(target: str) -> Body:
    def body(view: View) -> list[Found]:
        out: list[Found] = []
        for table in clinical.schema().tables:
            for link in table.links:
                if link.to_table == target and view.has(f"{table.name}.{link.column}") and table.name != "relation":
                    place = view.place(table.name, link.column, target, link.to_column)
                    given = view.given(table.name, link.column)
                    out += told(table.name, given, given & (place < 0))
        return out

    return body


def _missing_patient(view: View) -> list[Found]:
    out: list[Found] = []
    for table in clinical.schema().tables:
        if table.name != "patient" and table.subject and view.has(f"{table.name}.{table.subject}"):
            given = view.given(table.name, table.subject)
            out += told(table.name, np.ones(len(given), dtype=bool), ~given)
    return out


def _other_patient(table: str, column: str, target: str) -> Body:
    def body(view: View) -> list[Found]:
        place = view.place(table, column, target, TARGETS[target])
        mine, theirs = view.patient(table), np.append(view.patient(target), np.int32(-1))[place]
        both = (mine >= 0) & (theirs >= 0)
        return told(table, both, both & (mine != theirs))

    return body


def _unknown_relative(view: View) -> list[Found]:
    given = view.given("relation", "relative_id")
    place = view.place("relation", "relative_id", "patient", "patient_id")
    return told("relation", given, given & (place < 0))


def _one_sided(view: View) -> list[Found]:
    """Relations that the other person does not return: a mother's child, a spouse's spouse, a sibling's sibling."""
    back = {
        "mother": ("child",),
        "father": ("child",),
        "child": ("mother", "father"),
        "spouse": ("spouse",),
        "sibling": ("sibling",),
    }
    frame = pl.DataFrame(
        {
            "a": view.place("relation", "patient_id", "patient", "patient_id"),
            "b": view.place("relation", "relative_id", "patient", "patient_id"),
            "word": view.cells("relation", "relation").cast(pl.String),
        }
    )
    known = ((frame["a"] >= 0) & (frame["b"] >= 0) & frame["word"].is_in(list(back))).to_numpy()
    words = list(back)
    number = frame["word"].replace_strict(words, list(range(len(words))), default=-1, return_dtype=pl.Int64).to_numpy()
    a, b = frame["a"].to_numpy().astype(np.int64), frame["b"].to_numpy().astype(np.int64)
    n = view.height("patient") + 1
    have = np.unique(((a * n) + b) * 8 + number)
    returned = np.zeros(len(a), dtype=bool)
    for word, answers in back.items():
        rows = number == words.index(word)
        for answer in answers:
            returned |= rows & np.isin(((b * n) + a) * 8 + words.index(answer), have)
    return told("relation", known, known & ~returned)


def _rules() -> Iterator[Statement]:
    yield Statement(id="key.twice", title="Key that stands twice", severity=ERROR, needs="patient.patient_id", why="A key names one row of its table; with two, no reference to it can be followed. All tables are read.", source=SQL, body=_twice)  # fmt: skip
    yield Statement(id="key.patient.missing", title="Row without a patient", severity=ERROR, needs="patient.patient_id", why="What belongs to nobody is of no record. All tables are read.", source=SQL, body=_missing_patient)  # fmt: skip
    for target, column in TARGETS.items():
        yield Statement(
            id=f"key.dangling.{target}",
            title=f"Reference to {'an' if target[0] in 'aeiou' else 'a'} {target} that is not there",
            severity=ERROR,
            needs=f"{target}.{column}",
            why="A reference leads to a row; one that leads nowhere was cut off, or points into another table. All tables that refer to it are read.",
            source=SQL,
            body=_dangling(target),
        )
    for table, column, target in OWN:
        yield Statement(
            id=f"key.patient.{table}.{target}",
            title=f"{table.replace('_', ' ').title().capitalize()} of one patient that names {'an' if target[0] in 'aeiou' else 'a'} {target} of another",
            severity=ERROR,
            needs=f"{table}.patient_id {table}.{column} {target}.patient_id {target}.{TARGETS[target]}",
            why="Both rows are of one record; two patients in it are a mix-up.",
            source="Joint Commission, National Patient Safety Goal NPSG.01.01.01 (2024): patient identification",
            body=_other_patient(table, column, target),
        )
    relation = "relation.patient_id relation.relative_id"
    yield Statement(id="key.relative", title="Relative who is not there", severity=WARNING, needs=relation, why="A relative can be a patient elsewhere; in a whole population he is here.", source=SQL, body=_unknown_relative)  # fmt: skip
    yield Statement(id="key.relation.back", title="Relation that the other person does not return", severity=WARNING, needs=f"{relation} relation.relation", why="A mother's child has her as its mother. A table that keeps one direction alone is a false alarm.", source="By logic: kinship is symmetric.", body=_one_sided)  # fmt: skip


RULES = tuple(_rules())
