"""Make one database of the shards: codes become concepts, ids go on from shard to shard, eras are told.

Rows go by shard by shard, so that memory is that of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from ehrsatz import __version__
from ehrsatz.errors import OutputError
from ehrsatz.exporters.omop.athena import Athena
from ehrsatz.exporters.omop.concepts import Resolved, numbers, resolve
from ehrsatz.exporters.omop.costs import DOMAINS
from ehrsatz.exporters.omop.eras import condition_eras, dose_eras, drug_eras, exposures
from ehrsatz.exporters.omop.route import route
from ehrsatz.exporters.omop.vocabulary import TYPES, Vocabulary, frame, vocabulary
from ehrsatz.files import part_name, tables_of
from ehrsatz.terminology.omop import cdm, known

CODES, PAIRS, PAYERS = "codes", "pairs", "payers"
WORLD = "world"  # before the names of what belongs to no person
ABBREVIATION = "ehrsatz"  # names a database as one of ours
_BY_SOURCE = ("revenue_code_concept_id", "relationship_concept_id")
_OWN_KEYS = {"preceding_visit_occurrence_id": "visit_occurrence", "parent_visit_detail_id": "visit_detail"}
_LED = {
    "measurement_event_id": "meas_event_field_concept_id",
    "observation_event_id": "obs_event_field_concept_id",
    "note_event_id": "note_event_field_concept_id",
}  # id of an event -> what says of which table it is


def gathered(parts: Path, *, synthetic: bool, athena: Athena | None) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows of all tables, those that others link to first.

    Parameters
    ----------
    parts
        Folder of the shards' Parquet files.
    synthetic
        Whether the records are of no real person.
    athena
        A user's vocabularies.

    Raises
    ------
    OutputError
        When a shard lacks between others.
    """
    held, lacking = tables_of(path.stem for path in parts.glob("*.parquet"))
    if lacking or "person" not in held:
        raise OutputError(
            "Expected all parts of the tables.",
            f"Absent: {', '.join(lacking[:10]) or 'person'}.",
            "Export them again.",
        )
    world = {name.removeprefix(f"{WORLD}."): pl.read_parquet(parts / f"{name}.parquet") for name in held if "." in name}
    stems = [name.removeprefix("person") for name in held["person"]]
    codes = [pl.read_parquet(parts / f"{CODES}{stem}.parquet") for stem in stems]
    pairs = [pl.read_parquet(parts / f"{PAIRS}{stem}.parquet") for stem in stems]
    if CODES in world:
        codes.append(world[CODES])
        pairs.append(pairs[0].clear())
    resolved = resolve(codes, pairs, athena)
    payers = dict(world[PAYERS].select("payer_id", "kind").iter_rows()) if PAYERS in world else {}
    words = vocabulary(resolved, payers, athena)
    for name in ("domain", "vocabulary", "concept_class", "concept", "relationship"):
        yield name, words.tables[name]
    for name in cdm.VOCABULARY:
        if name not in {"domain", "vocabulary", "concept_class", "concept", "relationship"}:
            yield name, words.tables[name]
    offsets: dict[str, int] = {}
    if world:
        tables = {name: one for name, one in world.items() if name in cdm.tables()}
        yield from _placed(tables, resolved, world[CODES], offsets)
    days: list[date] = []
    for stem, part in zip(stems, codes):
        tables = {
            name: pl.read_parquet(parts / f"{name}{stem}.parquet")
            for name in cdm.tables()
            if (parts / f"{name}{stem}.parquet").is_file()
        }
        tables = _with_concepts(tables, numbers(resolved, part))
        tables = route(tables, {n: one.domain_id for n, one in resolved.concepts.items()}) if athena else tables
        tables |= _eras(tables, words)
        last = tables["observation_period"]["observation_period_end_date"].max()
        days += [last] if isinstance(last, date) else []
        yield from _shifted(tables, offsets)
    yield "cdm_source", frame("cdm_source", [_source(synthetic, athena, max(days, default=date(1970, 1, 1)))])
    yield "metadata", frame("metadata", _about(synthetic))


def _placed(
    tables: dict[str, pl.DataFrame], resolved: Resolved, codes: pl.DataFrame, offsets: dict[str, int]
) -> Iterator[tuple[str, pl.DataFrame]]:
    yield from _shifted(_with_concepts(tables, numbers(resolved, codes)), offsets)


def _with_concepts(tables: dict[str, pl.DataFrame], known_as: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Put concepts in the place of codes."""
    out = {}
    for table, rows in tables.items():
        changed = []
        for column in rows.columns:
            if "concept_id" not in column or rows.schema[column] != pl.Int64:
                continue
            cells = rows[column]
            least = cells.min()
            if not isinstance(least, int) or least >= 0:
                continue
            by_source = "source_concept_id" in column or column in _BY_SOURCE
            kind = "source" if by_source else "direct" if column == "condition_concept_id" else "standard"
            meant = known_as[kind].gather((-cells - 1).clip(lower_bound=0).fill_null(0))
            changed.append(pl.select(pl.when(cells < 0).then(meant).otherwise(cells).alias(column)).to_series())
        out[table] = rows.with_columns(changed) if changed else rows
    return out


def _eras(tables: dict[str, pl.DataFrame], words: Vocabulary) -> dict[str, pl.DataFrame]:
    taken = exposures(tables["drug_exposure"], words.ingredients)
    return {
        "condition_era": condition_eras(tables["condition_occurrence"]),
        "drug_era": drug_eras(taken),
        "dose_era": dose_eras(taken),
    }


def _shifted(tables: dict[str, pl.DataFrame], offsets: dict[str, int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows of one shard with ids that go on from those before, and count on."""
    before = dict(offsets)
    for table, rows in tables.items():
        offsets[table] = before.get(table, 0) + rows.height
    for table in (name for name in cdm.tables() if name in tables):
        rows = tables[table]
        shifts = [_shift(table, column, rows, before) for column in rows.columns]
        moved = rows.with_columns(one for one in shifts if one is not None)
        yield table, _whole(table, moved)


def _shift(table: str, column: str, rows: pl.DataFrame, before: dict[str, int]) -> pl.Expr | None:
    cell = pl.col(column)
    if column in _LED and _LED[column] in rows.columns:
        shift = {concept: before.get(led, 0) for concept, led in known.FIELDS.items()}
        return cell + pl.col(_LED[column]).replace_strict(shift, default=0, return_dtype=pl.Int64)
    if column == "cost_event_id":
        by_domain = {domain: before.get(led, 0) for domain, led in DOMAINS.items()}
        return cell + pl.col("cost_domain_id").replace_strict(by_domain, default=0, return_dtype=pl.Int64)
    if column in {"fact_id_1", "fact_id_2"}:
        domains = {known.PERSON: "person", known.VISIT: "visit_occurrence", known.DETAIL: "visit_detail"}
        shift = {domain: before.get(led, 0) for domain, led in domains.items()}
        return cell + pl.col(f"domain_concept_id_{column[-1]}").replace_strict(shift, default=0, return_dtype=pl.Int64)
    if column in {"provider_id", "care_site_id"} or (table == "care_site" and column == "location_id"):
        return None  # the same in every shard
    led = _OWN_KEYS.get(column) or (column.removesuffix("_id") if column.endswith("_id") else "")
    shift_by = before.get(led, 0) if led in cdm.tables() else 0
    return cell + shift_by if shift_by else None


def _whole(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """All columns of a table, in order and kind."""
    return rows.select(
        (pl.col(field.name) if field.name in rows.columns else pl.lit(None)).cast(TYPES[field.kind]).alias(field.name)
        for field in cdm.tables()[table]
    )


def _source(synthetic: bool, athena: Athena | None, last: date) -> tuple[object, ...]:
    """The row of cdm_source; its days are the last day of the records, since output holds no clock."""
    what = "Fabricated records: no real person." if synthetic else "Records of persons."
    version = f"ehrsatz {__version__}"[:20] if athena is None else "Athena"
    return (
        "ehrsatz: synthetic records" if synthetic else "ehrsatz: converted records",
        ABBREVIATION,
        "none: fabricated" if synthetic else "unknown",
        f"{what} Written by ehrsatz {__version__}.",
        None,
        f"ehrsatz {__version__}",
        last,
        last,
        cdm.VERSION,
        known.CDM_54,
        version,
    )


def _about(synthetic: bool) -> list[tuple[object, ...]]:
    words = [
        ("content", "synthetic: no real person" if synthetic else "real: records of persons"),
        ("ehrsatz", __version__),
    ]
    return [(n, known.NONE, known.EHR, name, value, None, None, None, None) for n, (name, value) in enumerate(words, 1)]


def part_file(name: str, part: int | None) -> str:
    """Return the name of a shard's Parquet file."""
    return f"{part_name(name, part)}.parquet"
