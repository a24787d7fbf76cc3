"""The reader `omop`: CDM 5.3 and 5.4, of any maker, in CSV files, DuckDB, SQLite or PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import polars as pl

from ehrsatz.errors import EhrsatzError, SourceError
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.drivers import dialect_of
from ehrsatz.sources.omop import events, people, results
from ehrsatz.sources.omop.concepts import Concepts
from ehrsatz.sources.omop.costs import DETAIL, VISIT, costs
from ehrsatz.sources.omop.opening import DUCKDB, SQLITE, is_folder, opened
from ehrsatz.sources.omop.people import OWN, Read
from ehrsatz.sources.omop.store import Store, Where
from ehrsatz.terminology.omop import cdm, known

_UNREAD = ("specimen", "note_nlp", "episode", "episode_event")
_SKIPPED = {  # columns of other makers' tables that have no place in the clinical schema; filled cells are counted
    "person": ("provider_id", "care_site_id"),
    "visit_occurrence": ("admitted_from_concept_id",),
    "visit_detail": ("admitted_from_concept_id",),
    "condition_occurrence": ("condition_status_concept_id", "stop_reason", "provider_id"),
    "drug_exposure": ("days_supply", "sig"),
    "procedure_occurrence": ("modifier_concept_id", "quantity"),
    "device_exposure": ("quantity", "provider_id"),
    "measurement": ("operator_concept_id", "provider_id"),
    "observation": ("provider_id", "qualifier_concept_id"),
    "note": ("note_class_concept_id", "provider_id"),
}


class OmopSource(ClinicalSource):
    """A CDM, with its vocabulary or without."""

    name: ClassVar[str] = "omop"

    def __init__(self) -> None:
        self._copies: dict[str, TemporaryDirectory[str]] = {}  # of folders of which parts are read, until they are done

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        text = str(what)
        path = Path(text)
        if dialect_of(text) is None:
            if path.is_dir() and is_folder(path):
                return True
            inside = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
            if sum(one.suffix.lower() in (*SQLITE, *DUCKDB) for one in inside) != 1:
                return False
        try:
            with opened(what) as store:
                return store.has("person") and "person_id" in store.held["person"]
        except EhrsatzError:
            if dialect_of(text) == "postgresql":
                raise  # to say that it cannot be reached is of more help
            return False

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        with opened(what, None if part is None else self._place(what)) as store:
            _check(store)
            own = _is_own(store, left)
            if not store.has("concept") and part is None:
                left[
                    "concept: the database has no vocabulary, so that codes are source values or numbers of concepts"
                ] += 1
            wanted = people.keys(store, left, own=own, only=None if part is None else part.patients)
            where = None if part is None else Where("person_id", wanted["person_id"])
            read = Read(store, Concepts(store, own=own, left=left), left, own, wanted, where)
            frames = _frames(read, world=part is None or part.world)
            if part is None:
                _count(store, left, own=own)
            return frames

    def _place(self, what: str | Path) -> Path:
        """Return a folder for copies of a folder's tables; it is gone with this reader."""
        held = self._copies.setdefault(str(what), TemporaryDirectory(prefix="ehrsatz-omop-"))
        return Path(held.name)


def _check(store: Store) -> None:
    if not store.has("person"):
        raise SourceError(
            "Expected the table 'person' of the OMOP CDM.",
            f"The database holds {len(store.held)} tables of the CDM, and no person.",
            "Check the address; name the schema with ?options=-csearch_path%3DSCHEMA where PostgreSQL holds several.",
        )
    held = store.held["person"]
    lacking = [name for name in ("person_id", "gender_concept_id", "year_of_birth") if name not in held]
    if lacking:
        raise SourceError(
            "Expected the table 'person' with the columns of the CDM 5.3 or 5.4.",
            f"It lacks {', '.join(lacking)}.",
            "Check the version of the CDM; versions before 5 cannot be read.",
        )


def _is_own(store: Store, left: Counter[str]) -> bool:
    source = store.frame("cdm_source", left)
    return bool((source["cdm_source_abbreviation"] == OWN).any())


def _frames(read: Read, *, world: bool) -> dict[str, pl.DataFrame]:
    organizations, locations, where = people.sites(read)
    practitioners, providers = people.providers(read, where)
    encounters, visits = events.encounters(read, providers, where)
    conditions = _event(read, "condition_occurrence", "condition", visits)
    drugs = _event(read, "drug_exposure", "drug", visits, providers)
    procedures = _event(read, "procedure_occurrence", "procedure", visits, providers)
    devices = _event(read, "device_exposure", "device", visits)
    measured = _event(read, "measurement", "measurement", visits, providers)
    observed = _event(read, "observation", "observation", visits, providers)
    reports, texts = results.reports(events.visited(read.rows("note"), visits, read, "note"), read)
    measured, stages = results.stages(measured, read)
    plain, spoken = measured, observed
    if read.own:
        plain, spoken = measured.filter(~_strayed("measurement")), observed.filter(~_strayed("observation"))
        conditions, drugs, procedures = _returned(conditions, drugs, procedures, measured, observed)
    vaccine = (pl.col("drug_type_concept_id") == known.ADMINISTERED) if read.own else (pl.col("system") == "CVX")
    vaccine = vaccine.fill_null(False)
    said = results.said(spoken, read, texts["observation"])
    plans = people.coverages(read)
    led = {  # of every row, where it lies
        VISIT: _led(
            visits.filter(pl.col("visit_detail_id").is_null()).drop("visit_detail_id"),
            "visit_occurrence_id",
            encounters,
        ),
        DETAIL: _led(visits.drop_nulls("visit_detail_id").drop("visit_occurrence_id"), "visit_detail_id", encounters),
        "Drug": drugs.select(pl.col("drug_exposure_id").alias("(id)"), "patient_id", "encounter_id"),
        "Procedure": procedures.select(pl.col("procedure_occurrence_id").alias("(id)"), "patient_id", "encounter_id"),
        "Device": devices.select(pl.col("device_exposure_id").alias("(id)"), "patient_id", "encounter_id"),
        "Measurement": measured.select(pl.col("measurement_id").alias("(id)"), "patient_id", "encounter_id"),
        "Condition": conditions.select(pl.col("condition_occurrence_id").alias("(id)"), "patient_id", "encounter_id"),
        "Observation": observed.select(pl.col("observation_id").alias("(id)"), "patient_id", "encounter_id"),
    }
    patients = people.patients(read).drop("person_id")
    told = said["(attributes)"]
    frames = {
        "patient": patients.join(told, on="patient_id", how="left", maintain_order="left"),
        "relation": people.relations(read),
        "coverage": plans.drop("payer_plan_period_id"),
        "encounter": encounters.join(said["(reasons)"], on="encounter_id", how="left", maintain_order="left"),
        "condition": events.conditions(conditions, read, stages),
        "observation": pl.concat(
            [results.measurements(plain, read, texts["measurement"]), said["observation"]], how="diagonal_relaxed"
        ),
        "report": reports,
        "medication": events.medications(drugs.filter(~vaccine), read),
        "immunization": events.immunizations(drugs.filter(vaccine), read),
        **events.procedures(procedures, read),
        "allergy": said["allergy"],
        "device": events.devices(devices, read),
        **costs(read, led, plans.select("payer_plan_period_id", "coverage_id")),
    }
    if world:
        frames |= {
            "organization": organizations,
            "location": locations,
            "practitioner": practitioners,
            "payer": people.payers(read, plans),
        }
    return frames


def _event(
    read: Read, table: str, prefix: str, visits: pl.DataFrame, providers: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return rows of an event table with patient, encounter and code."""
    rows = events.visited(read.rows(table), visits, read, table)
    if providers is not None:
        rows = rows.join(providers, on="provider_id", how="left", maintain_order="left")
    return read.concepts.coded(rows, table, prefix)


def _led(visits: pl.DataFrame, key: str, encounters: pl.DataFrame) -> pl.DataFrame:
    named = visits.join(
        encounters.select("encounter_id", "patient_id"), on="encounter_id", how="left", maintain_order="left"
    )
    return named.select(pl.col(key).alias("(id)"), "patient_id", "encounter_id")


# ---------------------------------------------------------------------- rows that Athena's domains moved
_HOMES = {
    known.PROBLEM: ("condition_occurrence", "condition"),
    known.BILLED: ("condition_occurrence", "condition"),
    known.PRESCRIPTION: ("drug_exposure", "drug"),
    known.ADMINISTERED: ("drug_exposure", "drug"),
    known.ENCOUNTER: ("procedure_occurrence", "procedure"),
}  # type concept of our rows -> the table that they were of


def _strayed(table: str) -> pl.Expr:
    """Whether a row of ours is here only because its concept is of this table's domain."""
    prefix = {"condition_occurrence": "condition", "drug_exposure": "drug", "procedure_occurrence": "procedure"}.get(
        table, table
    )
    kinds = [kind for kind, (home, _) in _HOMES.items() if home != table]
    away = pl.col(f"{prefix}_type_concept_id").is_in(kinds)
    if table == "observation":  # allergies and reactions bear the type of a problem, too
        allergy = (pl.col("observation_concept_id") == known.DRUG_ALLERGY) | (
            pl.col("(standard vocabulary)") == results.ALLERGY
        )
        reaction = pl.col("obs_event_field_concept_id") == known.FIELD_OF["observation"]
        away = away & ~allergy.fill_null(False) & ~reaction.fill_null(False)
    return away.fill_null(False)


def _returned(
    conditions: pl.DataFrame,
    drugs: pl.DataFrame,
    procedures: pl.DataFrame,
    measured: pl.DataFrame,
    observed: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Bring rows back to the tables that they were of; the ids of those that were moved lie below zero."""
    held = {
        "condition_occurrence": conditions,
        "drug_exposure": drugs,
        "procedure_occurrence": procedures,
        "measurement": measured,
        "observation": observed,
    }
    moved = {name: rows.filter(_strayed(name)) for name, rows in held.items()}
    if not any(rows.height for rows in moved.values()):
        return conditions, drugs, procedures
    out = {}
    for home in ("condition_occurrence", "drug_exposure", "procedure_occurrence"):
        coming = []
        for name, rows in moved.items():
            one = name.removesuffix("_occurrence").removesuffix("_exposure")
            kinds = [kind for kind, (table, _) in _HOMES.items() if table == home]
            here = rows.filter(pl.col(f"{one}_type_concept_id").is_in(kinds))
            if here.height:
                coming.append(_turned(here, name, home))
        out[home] = pl.concat([held[home].filter(~_strayed(home)), *coming], how="diagonal_relaxed")
    return out["condition_occurrence"], out["drug_exposure"], out["procedure_occurrence"]


_SPANS = {  # table -> prefix, of its first and of its last time
    "condition_occurrence": ("condition", "condition_start", "condition_end"),
    "drug_exposure": ("drug", "drug_exposure_start", "drug_exposure_end"),
    "procedure_occurrence": ("procedure", "procedure", "procedure_end"),
    "measurement": ("measurement", "measurement", None),
    "observation": ("observation", "observation", None),
}


def _turned(rows: pl.DataFrame, source: str, target: str) -> pl.DataFrame:
    one, first, last = _SPANS[source]
    other, begins, ends = _SPANS[target]
    shared = ["patient_id", "encounter_id", "code", "system", "display", "practitioner_id"]
    shared += [name for name in rows.columns if name.startswith("(standard")]
    columns = [
        events.moved_key(pl.lit(source), target, pl.col(f"{source}_id")).alias(f"{target}_id"),
        *(name for name in shared if name in rows.columns),
        pl.col(f"{one}_concept_id").alias(f"{other}_concept_id"),
        pl.col(f"{one}_source_concept_id").alias(f"{other}_source_concept_id"),
        pl.col(f"{one}_type_concept_id").alias(f"{other}_type_concept_id"),
        *(pl.col(f"{first}_{kind}").alias(f"{begins}_{kind}") for kind in ("date", "datetime")),
    ]
    if last and ends:
        columns += [pl.col(f"{last}_{kind}").alias(f"{ends}_{kind}") for kind in ("date", "datetime")]
    elif ends:
        said = pl.col("value_source_value" if source == "measurement" else "value_as_string")
        until = said.str.extract(r"until (\S+ \S+)$").str.to_datetime(
            "%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us"
        )
        columns += [until.alias(f"{ends}_datetime"), until.dt.date().alias(f"{ends}_date")]
        if target == "condition_occurrence":
            columns.append(said.str.extract(r"^(active|resolved)").alias("condition_status_source_value"))
    return rows.select(columns)


# ---------------------------------------------------------------------- what has no place
def _count(store: Store, left: Counter[str], *, own: bool) -> None:
    for name in store.others:
        left[f"table {name}"] += 1
    for name in sorted(store.ragged):
        left[f"{name}: lines with more cells than columns"] += 1
    for table in _UNREAD:
        if store.has(table):
            left[f"table {table}: rows"] += store.frame(table, Counter()).height
    if own:
        return
    for table, columns in _SKIPPED.items():
        if store.has(table):
            others = [name for name in store.held[table] if name not in cdm.names(table)]  # of another version
            present = [name for name in columns if name in store.held[table]]
            for name, n in store.filled(table, [*present, *others]).items():
                left[f"{table}.{name}"] += int(n or 0)
