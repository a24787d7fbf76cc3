"""The exporter: sections of all patients are made column by column, joined per patient, and written as one file each.

References
----------
HL7 CDA R2 Implementation Guide: Consolidated CDA Templates for Clinical Notes, R2.1, section 1.1.3 (CCD) and 1.1.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar
from xml.parsers import expat

import polars as pl

from ehrsatz.clinical import LOINC
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.ccda import care, drugs, header, plan, problems, results
from ehrsatz.exporters.ccda.pieces import escaped, fixed, numbered, template, with_system
from ehrsatz.loose import SYSTEM

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NO_DOCUMENT = "a document is of one patient and names only who took part in the care: the whole directory has no place"
_NO_MONEY = "C-CDA has no claims and no payments"
PER_FOLDER = 20_000
PER_BATCH = 30_000  # rows whose documents are made at once: some 40 MB of text
CODED = (
    "encounter",
    "condition",
    "observation",
    "order",
    "medication",
    "procedure",
    "immunization",
    "allergy",
    "device",
    "careplan",
    "goal",
)

Build = Callable[[pl.DataFrame], tuple[pl.Expr, pl.Expr]]

HEADS = {  # section: template root, date, LOINC code, title, columns of the narrative, required by the CCD template
    "allergies": ("2.6.1", "2015-08-01", "48765-2", "Allergies", "Since|Substance|Kind|Reaction|Severity", True),
    "medications": ("2.1.1", "2014-06-09", "10160-0", "Medications", "From|To|Drug|Dose|Route|A day|Status", True),
    "problems": ("2.5.1", "2015-08-01", "11450-4", "Problems", "Onset|End|Problem|Code|Stage|Status", True),
    "procedures": ("2.7.1", "2014-06-09", "47519-4", "Procedures", "From|To|Procedure|Reason", False),
    "results": ("2.3.1", "2015-08-01", "30954-2", "Results", "Time|Test|Value|Range|Interpretation", True),
    "social": ("2.17", "2015-08-01", "29762-2", "Social History", "Time|Item|Value|Range|Interpretation", True),
    "vitals": ("2.4.1", "2015-08-01", "8716-3", "Vital Signs", "Time|Sign|Value|Range|Interpretation", True),
    "encounters": (
        "2.22.1",
        "2015-08-01",
        "46240-8",
        "Encounters",
        "From|To|Class|Encounter|Reason|Place",
        False,
    ),
    "immunizations": ("2.2.1", "2015-08-01", "11369-6", "Immunizations", "Time|Vaccine|Dose|Site|Lot", False),
    "equipment": ("2.23", "2014-06-09", "46264-8", "Medical Equipment", "From|To|Device|Serial", False),
    "payers": ("2.18", "2015-08-01", "48768-6", "Insurance Providers", "Payer|Member|From|To", False),
    "plan": ("2.10", "2014-06-09", "18776-5", "Plan of Treatment", "From|To|Plan|Reason|Status", False),
    "goals": ("2.60", "", "61146-7", "Goals", "Since|Goal|Status", False),
}


class CcdaExporter(Clinical):
    """One C-CDA R2.1 Continuity of Care Document per patient."""

    name: ClassVar[str] = "ccda"
    place: ClassVar[str] = "ccda"
    suffix: ClassVar[str] = ".xml"
    reader: ClassVar[str] = "ccda"
    bytes_per_row: ClassVar[float] = 1100.0
    losses: ClassVar[tuple[Loss, ...]] = (
        Loss("organization", None, _NO_DOCUMENT),
        Loss("location", None, _NO_DOCUMENT),
        Loss("practitioner", None, _NO_DOCUMENT),
        Loss("payer", None, _NO_DOCUMENT),
        Loss("claim", None, _NO_MONEY),
        Loss("claim_line", None, _NO_MONEY),
        Loss("payment", None, _NO_MONEY),
        *(
            Loss(table, SYSTEM, "a code system without a code says nothing", rows=pl.col("code").is_null())
            for table in CODED
        ),
    )

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        if not patients:
            return {}
        batches = Batches(dataset)

        def put(place: int) -> Put:
            return lambda path: _write(path, batches.document(place))

        names = _names(dataset.tables["patient"]["patient_id"], part)
        return {name: put(place) for place, name in enumerate(names)}

    def _read_back(self, path: Path) -> str:
        problem = ""

        def refuse(*_: object) -> None:
            nonlocal problem
            problem = "has a document type declaration"

        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = refuse
        first: list[str] = []
        parser.StartElementHandler = lambda name, _: first.append(name) if not first else None
        try:
            parser.Parse(path.read_bytes(), True)
        except (expat.ExpatError, OSError) as error:
            line = getattr(error, "lineno", None)
            return f"no XML, from line {line} on" if line else "cannot be read"
        return problem or ("" if first == ["ClinicalDocument"] else "is no clinical document")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _names(keys: pl.Series, part: int | None) -> list[str]:
    """File names after the patients' keys, in folders of at most `PER_FOLDER`; a key that is no name by its digest."""
    out = []
    for number, key in enumerate(keys):
        plain = key if _SAFE.fullmatch(key) else f"k-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
        folder = f"{0 if part is None else part:05d}-{number // PER_FOLDER:02d}/" if part is not None else ""
        if part is None and keys.len() > PER_FOLDER:
            folder = f"whole-{number // PER_FOLDER:02d}/"
        out.append(f"{folder}{plain}.xml")
    return out


class Batches:
    """The documents of a dataset, made for some patients at a time, so that a shard's never are in memory at once.

    Parameters
    ----------
    dataset
        In the loose form.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        keys = dataset.tables["patient"].select("patient_id")
        big = [dataset.tables[name].select("patient_id") for name in ("observation", "encounter", "procedure", "order")]
        rows = pl.concat(big).group_by("patient_id").len()
        held = keys.join(rows, on="patient_id", how="left", maintain_order="left")["len"].fill_null(0)
        self.batch = (held.cast(pl.Int64).cum_sum() // PER_BATCH).to_list()
        self.now = -1
        self.made: pl.Series = pl.Series(dtype=pl.String)

    def document(self, place: int) -> str:
        """Return the document of the patient at a place; in order, each batch is made once."""
        number = self.batch[place]
        first = self.batch.index(number)
        if number != self.now:
            n = self.batch.count(number)
            keys = self.dataset.tables["patient"]["patient_id"][first : first + n]
            here = pl.col("patient_id").is_in(keys.implode())
            tables = {
                name: frame.filter(here) if "patient_id" in frame.columns else frame
                for name, frame in self.dataset.tables.items()
            }
            names = _relatives_names(self.dataset, tables["relation"])
            self.made = documents(tables, names)["document"]
            self.now = number
        return str(self.made[place - first])


def _relatives_names(dataset: Dataset, relation: pl.DataFrame) -> pl.DataFrame:
    """Return key and names of the relatives of some patients."""
    near = pl.col("patient_id").is_in(relation["relative_id"].implode())
    return dataset.tables["patient"].filter(near).select("patient_id", "given_name", "family_name")


# ---------------------------------------------------------------------- documents
def documents(held: Mapping[str, pl.DataFrame], names: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id and document, one row per patient, in the order of the patients.

    Parameters
    ----------
    held
        Tables in the loose form, of some patients, with all of the world.
    names
        patient_id, given_name and family_name of their relatives.
    """
    tables = {name: escaped(frame) for name, frame in held.items()}
    patients = tables["patient"]
    made = patients.with_columns(pl.lit("<component><structuredBody>").alias("(body)"))
    for name, entries in _entries(tables).items():
        made = made.join(_section(name, entries), on="patient_id", how="left", maintain_order="left")
        empty = _empty(name)
        made = made.with_columns(pl.concat_str("(body)", pl.col(f"({name})").fill_null(empty)).alias("(body)"))
        made = made.drop(f"({name})")
    for extra in (_lasts(tables), header.performers(_team(tables)), header.relatives(_kin(tables, escaped(names)))):
        made = made.join(extra, on="patient_id", how="left", maintain_order="left")
    whole = pl.concat_str(
        header.headers(), pl.col("(body)"), pl.lit("</structuredBody></component></ClinicalDocument>\n")
    )
    return made.select(held["patient"]["patient_id"], whole.alias("document"))


def _entries(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Section -> patient_id, entry, told; in the order of the document."""
    coded = {
        name: with_system(frame) for name, frame in tables.items() if "system" in frame.columns and name != "claim_line"
    }
    seen = care_of(coded["encounter"], tables)
    vital, result, social = results.split(coded["observation"])
    since = seen.select("encounter_id", pl.col("practitioner_id").alias("@practitioner_id"))
    conditions = coded["condition"].join(since, on="encounter_id", how="left", maintain_order="left")
    dead = tables["patient"].filter(pl.col("death_cause").is_not_null())
    dead = with_system(dead.with_columns(pl.lit("ICD-10-CM").alias("system")))
    payers = tables["payer"].select("payer_id", pl.col("name").alias("@payer"), pl.col("kind").alias("@payer_kind"))
    covered = tables["coverage"].join(payers, on="payer_id", how="left", maintain_order="left")
    return {
        "allergies": _built(coded["allergy"], problems.allergies),
        "medications": _built(coded["medication"], drugs.medications),
        "problems": pl.concat([_built(conditions, problems.conditions), _built(dead, problems.deaths)]),
        "procedures": _built(coded["procedure"], care.procedures),
        "results": results.results(result, coded["order"], tables["report"]),
        "social": pl.concat([results.traits(tables["patient"]), results.social(social)]),
        "vitals": results.vitals(vital),
        "encounters": _built(seen, care.encounters),
        "immunizations": _built(coded["immunization"], drugs.immunizations),
        "equipment": _built(coded["device"], care.devices),
        "payers": _built(covered, plan.coverages),
        "plan": _built(coded["careplan"], plan.careplans),
        "goals": _built(coded["goal"], plan.goals),
    }


def care_of(encounters: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return encounters with the names of their place and house."""
    places = tables["location"].select(
        "location_id",
        pl.col("name").alias("@location"),
        pl.col("kind").alias("@place_kind"),
        pl.col("organization_id").alias("@place_owner"),
    )
    houses = tables["organization"].select("organization_id", pl.col("name").alias("@organization"))
    named = encounters.join(places, on="location_id", how="left", maintain_order="left")
    return named.join(houses, on="organization_id", how="left", maintain_order="left")


def _built(frame: pl.DataFrame, build: Build) -> pl.DataFrame:
    entry, told = build(frame)
    return numbered(frame).select("patient_id", entry.alias("entry"), told.alias("told"))


def _head(name: str, *, empty: bool = False) -> str:
    root, date, loinc, title, _, _ = HEADS[name]
    base = f"2.16.840.1.113883.10.20.22.{root}"
    ids = template(base, date)
    if root.endswith(".1") and root.count(".") == 2 and not empty:
        ids = template(base.removesuffix(".1"), date) + ids
    nothing = ' nullFlavor="NI"' if empty else ""
    return f"<component><section{nothing}>{ids}{fixed('code', loinc, LOINC, title)}<title>{title}</title>"


def _empty(name: str) -> str:
    """Return what stands for a section without entries: nothing, unless the CCD template demands the section."""
    if not HEADS[name][5]:
        return ""
    return f"{_head(name, empty=name != 'social')}<text>Nothing is recorded.</text></section></component>"


def _section(name: str, entries: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id and the section's text in a column named after it."""
    columns = "".join(f"<th>{one}</th>" for one in HEADS[name][4].split("|"))
    before = f"{_head(name)}<text><table><thead><tr>{columns}</tr></thead><tbody>"
    both = entries.group_by("patient_id", maintain_order=True).agg(
        pl.col("told").str.join(""), pl.col("entry").str.join("")
    )
    whole = pl.concat_str(
        pl.lit(before), "told", pl.lit("</tbody></table></text>"), "entry", pl.lit("</section></component>")
    )
    return both.select("patient_id", whole.alias(f"({name})"))


# ---------------------------------------------------------------------- for the header
def _lasts(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """When each record ends: the last time in it."""
    times = {"encounter": "stop", "observation": "time", "condition": "recorded", "medication": "start"}
    all_times = [tables[name].select("patient_id", pl.col(column).alias("(last)")) for name, column in times.items()]
    all_times.append(tables["patient"].select("patient_id", pl.col("death_time").alias("(last)")))
    return pl.concat(all_times).group_by("patient_id").agg(pl.col("(last)").max())


def _team(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per patient and practitioner who took part, with both's columns."""
    took = [tables[name].select("patient_id", "practitioner_id") for name in TEAM]
    pairs = pl.concat(took).drop_nulls().unique(maintain_order=True)
    houses = tables["organization"].rename(lambda name: name if name == "organization_id" else f"@{name}")
    people = tables["practitioner"].join(houses, on="organization_id", how="left", maintain_order="left")
    return pairs.join(people, on="practitioner_id", how="inner", maintain_order="left")


def _kin(tables: Mapping[str, pl.DataFrame], people: pl.DataFrame) -> pl.DataFrame:
    names = people.select(
        pl.col("patient_id").alias("relative_id"),
        pl.col("given_name").alias("@given"),
        pl.col("family_name").alias("@family"),
    )
    return tables["relation"].join(names, on="relative_id", how="left", maintain_order="left")


TEAM = ("encounter", "order", "medication", "procedure")
