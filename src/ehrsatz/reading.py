"""Read data for a run: tables of any kind with a guessed schema, or records of a clinical format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ehrsatz import loose, registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import SourceError
from ehrsatz.privacy.identifiers import drop_proposed
from ehrsatz.provenance import Origin
from ehrsatz.rules.constraints import propose
from ehrsatz.scenario import BUNDLED, Scenario, read_text
from ehrsatz.schema import Schema
from ehrsatz.sources.archive import is_archive, opened
from ehrsatz.sources.clinical import ClinicalSource
from ehrsatz.sources.detect import clinical_of, clinical_source, inside, needed
from ehrsatz.sources.paths import choose, kind_of

SURE = ("fhir", "hl7v2", "ccda", "x12")  # formats that nobody would read as plain tables


def read(
    source: Any,
    *,
    name: str | None = None,
    subject: str | None = None,
    target: str | None = None,
    schema: Schema | str | Path | None = None,
    tables: Sequence[str] = (),
    sample_subjects: int | None = None,
    seed: int = 0,
    origin: Origin = "real",
    format: str | None = None,
    mapping: str | Path | None = None,
) -> Dataset:
    """Read real data: a file, a folder, a database or a frame; infer its schema and propose constraints.

    Records in a clinical format (FHIR, HL7 v2, ...) come in the clinical schema; of tables, which could be anything,
    the format must be named for that.

    Parameters
    ----------
    source
        Path of a CSV or Parquet file or of a folder of them, SQLAlchemy URL, or any frame (pandas, Arrow, Polars), or a
        mapping table name -> frame.
    name
        Name of the dataset; the file's name where None.
    subject
        Column that says whose row it is; without one each row is its own subject.
    target
        Column that a prediction model would learn; it must be there and vary.
    schema
        A schema, or the path of a schema.yaml; it wins over everything inferred. Constraints that were proposed (they
        have a `why`) on columns that are now identifiers or free text are left out, with a `DataWarning`.
    tables
        Tables of a database to read; all where none is named.
    sample_subjects
        Read that many subjects.
    seed
        Decides which subjects.
    origin
        Where the rows came from; exporters refuse "real" ones.
    format
        Name of a clinical format, as "omop"; tables of any kind where None.
    mapping
        Mapping file whose import section makes clinical tables of one's own.

    Raises
    ------
    SourceError, SchemaError, DataError
        When the source cannot be read, or disagrees with the schema.
    """
    known = Schema.from_yaml(read_text(schema, "a schema file")) if isinstance(schema, (str, Path)) else schema
    if isinstance(source, (str, Path)) and is_archive(source):
        told: dict[str, Any] = {"name": name, "subject": subject, "target": target, "schema": schema, "tables": tables}
        told |= {"sample_subjects": sample_subjects, "seed": seed, "origin": origin}
        with opened(source) as unpacked:
            return read(unpacked, format=format, mapping=mapping, **told)
    clinical = _clinical(source, format, mapping)
    if clinical is not None:
        return clinical.read(source if "://" in str(source) else inside(source), origin=origin)
    kind = kind_of(source)
    options: dict[str, Any] = {"tables": tuple(tables)} if tables and kind == "sql" else {}
    dataset: Dataset = registry.find("sources", kind)().read(
        choose(source, tables) if tables and kind != "sql" else source,
        name=name,
        subject=subject,
        target=target,
        schema=known,
        sample_subjects=sample_subjects,
        seed=seed,
        origin=origin,
        **options,
    )
    return drop_proposed(dataset) if known is not None else propose(dataset)


def _clinical(source: Any, format: str | None, mapping: str | Path | None) -> ClinicalSource | None:
    """Return the reader of the clinical format that was named, or that files are of which are no tables."""
    if format is not None or mapping is not None:
        return needed(source if "://" in str(source) else inside(source), format, mapping)
    if not isinstance(source, (str, Path)) or "://" in str(source):
        return None
    place = inside(source)
    if Path(source).exists() and (sure := next((name for name in SURE if clinical_of(name).fits(place)), None)):
        return clinical_of(sure)
    try:
        kind_of(source)
    except SourceError:
        found = clinical_source(place) if Path(source).exists() else None
        if found is None:
            raise
        return found
    return None


def read_scenario(scenario: Scenario) -> Dataset:
    """Read what a scenario names: its path, its URL, or the bundled public table."""
    part = scenario.source
    dataset = read(
        part.path or part.url or bundled(part.bundled or BUNDLED[0]),
        name=part.name,
        subject=part.subject,
        target=target_of(scenario),
        schema=part.schema_file,
        tables=part.tables,
        sample_subjects=part.sample_subjects,
        seed=scenario.seed,
        format=part.format,
        mapping=part.mapping,
    )
    return propose(loose.learnable(dataset)) if dataset.schema is loose.schema() else dataset


def target_of(scenario: Scenario) -> str | None:
    """Return the target that a scenario names; the bundled table brings its own."""
    part = scenario.source
    return part.target or (None if part.path or part.url else "num")


def bundled(name: str) -> Path:
    """Return the path of a table that ships with the package."""
    return Path(__file__).parent / "bundled" / f"{name}.csv"
