"""The tables of the OMOP Common Data Model 5.4: columns, kinds, lengths, keys and links."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FACTS = Path(__file__).parent / "cdm.csv"
VERSION = "v5.4.0"
VOCABULARY = (
    "concept",
    "vocabulary",
    "domain",
    "concept_class",
    "relationship",
    "concept_relationship",
    "concept_ancestor",
    "concept_synonym",
    "drug_strength",
    "source_to_concept_map",
)  # tables that say what concepts are
WHOLE = (*VOCABULARY, "cdm_source", "metadata", "location", "care_site", "provider")  # belong to no person


@dataclass(frozen=True)
class Field:
    """A column of a table.

    Parameters
    ----------
    name
        As the CDM writes it.
    kind
        "integer", "number", "date", "datetime" or "text".
    length
        Most characters of a text; None: any number.
    required, key, indexed
        Whether it must be filled, is the primary key, has an index.
    links_to
        Table and column that it leads to, as ("concept", "concept_id").
    """

    name: str
    kind: str
    length: int | None
    required: bool
    key: bool
    indexed: bool
    links_to: tuple[str, str] | None


@cache
def tables() -> dict[str, tuple[Field, ...]]:
    """Return table -> columns, in the order of the specification."""
    out: dict[str, list[Field]] = {}
    with _FACTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            table, _, column = row["links_to"].partition(".")
            out.setdefault(row["table"], []).append(
                Field(
                    row["column"],
                    row["kind"],
                    int(row["length"]) if row["length"] else None,
                    bool(row["required"]),
                    bool(row["key"]),
                    bool(row["indexed"]),
                    (table, column) if table else None,
                )
            )
    return {name: tuple(fields) for name, fields in out.items()}


@cache
def names(table: str) -> tuple[str, ...]:
    """Return the names of a table's columns."""
    return tuple(field.name for field in tables()[table])


@cache
def key(table: str) -> str | None:
    """Return the primary key of a table, where it has one."""
    return next((field.name for field in tables()[table] if field.key), None)
