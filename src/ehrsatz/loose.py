"""The clinical schema as records that were read fill it: the same tables, nothing required, a code system in each row.

A hospital's records lack encounters, orders and stop times, and name codes of systems that the simulator never uses.
Readers return this form, exporters and the reconciliation work on it, and every clinical dataset can be widened to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import polars as pl

from ehrsatz import clinical
from ehrsatz.clinical import CVX, LOINC, RXNORM, SNOMED
from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table, dtype_of

SYSTEM = "system"  # column: the code system of the row's `code`, by the names below or as the source says it
ICD9CM, ICD9PCS, ICD10PCS, HCPCS, CPT, NDC, LOCAL = (
    "ICD-9-CM",
    "ICD-9-PCS",
    "ICD-10-PCS",
    "HCPCS",
    "CPT",
    "NDC",
    "local",
)
URIS = {  # the FHIR names of code systems: hl7.org/fhir/R4/terminologies-systems.html
    clinical.ICD10CM: "http://hl7.org/fhir/sid/icd-10-cm",
    SNOMED: "http://snomed.info/sct",
    LOINC: "http://loinc.org",
    RXNORM: "http://www.nlm.nih.gov/research/umls/rxnorm",
    CVX: "http://hl7.org/fhir/sid/cvx",
    clinical.UCUM: "http://unitsofmeasure.org",
    ICD9CM: "http://hl7.org/fhir/sid/icd-9-cm",
    ICD9PCS: "http://hl7.org/fhir/sid/icd-9-pcs",
    ICD10PCS: "http://www.cms.gov/Medicare/Coding/ICD10",
    HCPCS: "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    CPT: "http://www.ama-assn.org/go/cpt",
    NDC: "http://hl7.org/fhir/sid/ndc",
}
OIDS = {  # the same as HL7 object identifiers, for HL7 v2 and C-CDA
    clinical.ICD10CM: "2.16.840.1.113883.6.90",
    SNOMED: "2.16.840.1.113883.6.96",
    LOINC: "2.16.840.1.113883.6.1",
    RXNORM: "2.16.840.1.113883.6.88",
    CVX: "2.16.840.1.113883.12.292",
    clinical.UCUM: "2.16.840.1.113883.6.8",
    ICD9CM: "2.16.840.1.113883.6.103",
    ICD9PCS: "2.16.840.1.113883.6.104",
    ICD10PCS: "2.16.840.1.113883.6.4",
    HCPCS: "2.16.840.1.113883.6.285",
    CPT: "2.16.840.1.113883.6.12",
    NDC: "2.16.840.1.113883.6.69",
}
LINE_SYSTEMS = {  # of the lines of a claim, by kind
    "encounter": SNOMED,
    "procedure": SNOMED,
    "medication": RXNORM,
    "laboratory": LOINC,
    "imaging": SNOMED,
    "immunization": CVX,
    "device": SNOMED,
}


@cache
def schema() -> Schema:
    """Return the loose clinical schema: 22 tables; only keys, patients and relatives are required."""
    return Schema("clinical", tuple(_loose(table) for table in clinical.schema().tables), version="1-loose")


def is_clinical(dataset: Dataset) -> bool:
    """Say whether a dataset holds clinical tables and no others: patients, and columns of the loose schema alone."""
    known = {table.name: set(table.names) for table in schema().tables}
    tables = dataset.schema.tables
    return any(table.name == "patient" for table in tables) and all(
        set(table.names) <= known.get(table.name, set()) for table in tables
    )


def widen(dataset: Dataset) -> Dataset:
    """Return a clinical dataset in the loose form: absent tables empty, absent columns missing, systems filled in.

    Rows, their order and all cells that are there stay as they are; nothing is copied that need not be.

    Raises
    ------
    UnsupportedError
        When the dataset is no clinical one.
    """
    if dataset.schema is schema():
        return dataset
    if not is_clinical(dataset):
        raise UnsupportedError(
            "Expected records in the tables of the clinical schema.",
            f"The schema '{dataset.schema.name}' has tables or columns of its own.",
            "Say which column is which with a mapping file (docs/formats/mapping.md), and pass it with --mapping.",
        )
    tables = {table.name: fill(table, dataset.tables.get(table.name)) for table in schema().tables}
    return Dataset.trusted(schema(), tables, dataset.provenance)


def learnable(dataset: Dataset) -> Dataset:
    """Return clinical records in the form that generators learn from: patients, and tables of rows that are theirs.

    Left out are empty tables and columns, tables without patients, and links other than to the patient, which no
    generator keeps yet. Words such as displays and code systems become categories, lest they be made up as free text.

    Raises
    ------
    UnsupportedError
        When the dataset is no clinical one.
    """
    wide = widen(dataset)
    parent = clinical.schema().tables[0]
    tables = []
    for table in wide.schema.tables:
        frame = wide.tables[table.name]
        own = tuple(link for link in table.links if link.column == parent.columns[0].name)
        if not frame.height or (table.name != parent.name and not own):
            continue
        far = {link.column for link in table.links if link not in own}
        columns = [
            replace(column, kind="category")
            if column.kind == "text" and column.disclosure in {"none", "quasi"}
            else column
            for column in table.columns
            if column.name not in far and frame[column.name].null_count() < frame.height
        ]
        tables.append(replace(table, columns=tuple(columns), links=own))
    frames = {table.name: wide.tables[table.name].select(table.names) for table in tables}
    return Dataset(Schema("clinical", tuple(tables), version=schema().version), frames, dataset.provenance)


def complete(frames: Mapping[str, pl.DataFrame], provenance: Provenance) -> Dataset:
    """Return frames that hold some columns of some clinical tables as a dataset, checked.

    Raises
    ------
    DataError
        When keys repeat, links lead nowhere, or cells are of another kind.
    """
    return Dataset(schema(), {table.name: fill(table, frames.get(table.name)) for table in schema().tables}, provenance)


def _loose(table: Table) -> Table:
    columns: list[Column] = []
    for column in table.columns:
        required = column.role in {"key", "subject"} or column.name == "relative_id"
        columns.append(replace(column, nullable=not required, minimum=None, system=None))
        if column.name == "code" and SYSTEM not in table.names:
            columns.append(Column(SYSTEM, "text", description="Code system of `code`."))
    loosened = [
        replace(column, kind="text", values=None) if column.name == SYSTEM else column for column in columns
    ]  # an order or an allergy that was read may be of any system
    return replace(table, columns=tuple(loosened))


def default_system(table: str) -> pl.Expr:
    """Return the code system that the strict schema means, as an expression over a table's rows."""
    column = next((one for one in clinical.schema()[table].columns if one.name == "code"), None)
    if table == "claim_line":
        return pl.col("kind").replace_strict(LINE_SYSTEMS, default=None, return_dtype=pl.String)
    return pl.lit(None if column is None else column.system, pl.String)


def fill(table: Table, frame: pl.DataFrame | None) -> pl.DataFrame:
    """Return a frame with all columns of a loose table, in its order and kinds; an empty one where there is none."""
    types = {column.name: dtype_of(column.kind) for column in table.columns}
    if frame is None:
        return pl.DataFrame(schema=types)
    absent = [
        pl.lit(None, types[name]).alias(name) for name in table.names if name not in frame.columns and name != SYSTEM
    ]
    whole = frame.with_columns(absent) if absent else frame
    if SYSTEM in types and SYSTEM not in whole.columns:
        known = pl.when(pl.col("code").is_not_null()).then(default_system(table.name))
        whole = whole.with_columns(known.alias(SYSTEM))
    return whole.select(pl.col(name).cast(types[name]) for name in table.names)
