"""A user's own tables both ways: written by one section of a mapping file, read back by the other; learned cohorts."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose, registry
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, OutputError, SourceError, UnsupportedError
from ehrsatz.exporters.layout import LayoutExporter
from ehrsatz.exporters.parquet import mark_of
from ehrsatz.mapping.form import Mapping
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.rules.constraints import propose
from ehrsatz.sources.detect import clinical_source
from ehrsatz.sources.layout import LayoutSource
from ehrsatz.testing import check_exporter

BOTH = """
name: warehouse
export:
  delimiter: ";"
  missing: "NULL"
  tables:
    Patienten:
      from: patient
      columns:
        PatNr: patient_id
        Name: concat(family_name, ', ', given_name)
        Geschlecht: {value: sex, words: {female: W, male: M, other: D, unknown: U}}
        Geboren: text(birth_date, '%d.%m.%Y')
        Gestorben: text(death_time, '%d.%m.%Y %H:%M')
        Besuche: count(encounter)
    Fall:
      from: encounter
      columns:
        FallNr: encounter_id
        PatNr: patient_id
        Art: class
        Beginn: start
        Ende: stop
        Haus: organization_id
        Alter: age_years(patient.birth_date, start)
    Labor:
      from: observation
      where: category = 'laboratory'
      columns:
        Id: observation_id
        FallNr: encounter_id
        Zeit: time
        Loinc: code
        Wert: value
        Einheit: unit
    Haus:
      from: organization
      columns: {Id: organization_id, Name: name, Art: kind}
import:
  links:
    Labor.FallNr: Fall.FallNr
  tables:
    patient:
      from: Patienten
      columns:
        patient_id: PatNr
        family_name: split(Name, ', ', 1)
        given_name: split(Name, ', ', 2)
        sex: {value: Geschlecht, words: {W: female, M: male, D: other, U: unknown}}
        birth_date: date(Geboren, '%d.%m.%Y')
        death_time: if(Gestorben = 'NULL', null, datetime(Gestorben, '%d.%m.%Y %H:%M'))
    encounter:
      from: Fall
      columns:
        encounter_id: FallNr
        patient_id: PatNr
        class: Art
        start: datetime(Beginn)
        stop: datetime(Ende)
        organization_id: Haus
    observation:
      from: Labor
      columns:
        observation_id: Id
        patient_id: FallNr.PatNr
        encounter_id: FallNr
        time: datetime(Zeit)
        category: "'laboratory'"
        code: Loinc
        value: if(Wert = 'NULL', null, number(Wert))
        unit: if(Einheit = 'NULL', null, Einheit)
    organization:
      from: Haus
      columns: {organization_id: Id, name: Name, kind: Art}
"""
HERE = {
    "patient": ("patient_id", "family_name", "given_name", "sex", "birth_date", "death_time"),
    "encounter": ("encounter_id", "patient_id", "class", "start", "stop", "organization_id"),
    "observation": ("observation_id", "patient_id", "encounter_id", "time", "category", "code", "value", "unit"),
    "organization": ("organization_id", "name", "kind"),
}


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapping") / "warehouse.yaml"
    path.write_text(BOTH)
    return path


def only_here(dataset: Dataset) -> Dataset:
    """What the mapping carries of a cohort; all tables else are empty."""
    wide = loose.widen(dataset)
    tables = {name: wide.tables[name].select(columns) for name, columns in HERE.items()}
    tables["observation"] = tables["observation"].filter(pl.col("category") == "laboratory")
    minute = pl.col("death_time").dt.truncate("1m")
    return loose.complete({**tables, "patient": tables["patient"].with_columns(minute)}, dataset.provenance)


# ---------------------------------------------------------------------- both ways
@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_out_and_in_again_says_the_same(format_: str, mapping: Path, cohort: Dataset, tmp_path: Path) -> None:
    text = mapping.read_text()
    if format_ == "parquet":  # absent cells are absent there, and times are times
        text = text.replace('  delimiter: ";"\n  missing: "NULL"\n', "  format: parquet\n").replace(
            "number(Wert)", "Wert"
        )
        text = text.replace("Wert = 'NULL'", "Wert is null")
    layout = Mapping.from_yaml(text)
    exporter = LayoutExporter(layout)
    paths = exporter.write(cohort, tmp_path)
    assert [path.name for path in paths] == [f"{name}.{format_}" for name in ("Patienten", "Fall", "Labor", "Haus")]
    assert exporter.check(tmp_path) == [] and exporter.finish(tmp_path) == ()
    with pytest.warns(DataWarning, match="Patienten.Besuche: named by no expression"):
        back = LayoutSource(layout).read(tmp_path / "layout", origin="simulated")
    assert not [one for one in compare(only_here(cohort), back) if one.n_differ]
    if format_ == "parquet":
        assert all(mark_of(path) for path in paths)
    else:
        head = paths[0].read_text().splitlines()[0]
        assert head == "PatNr;Name;Geschlecht;Geboren;Gestorben;Besuche"


def test_parts_say_the_same_as_the_whole(mapping: Path, cohort: Dataset, tmp_path: Path) -> None:
    exporter = LayoutExporter(mapping)
    exporter.write(cohort, tmp_path / "whole")
    own = [table.name for table in cohort.schema.tables if table.name not in WORLD]
    for number, patients in enumerate((cohort.subjects[:80], cohort.subjects[80:])):
        among = pl.col("relative_id").is_in(patients.implode())
        tables = {**cohort.tables, "relation": cohort.tables["relation"].filter(among)}
        part = Dataset(cohort.schema, tables, cohort.provenance).take_subjects(patients)
        exporter.write(part, tmp_path / "parts", part=number, tables=own)
    exporter.write(cohort, tmp_path / "parts", tables=WORLD)
    whole, parts = tmp_path / "whole" / "layout", tmp_path / "parts" / "layout"
    assert (whole / "Haus.csv").read_bytes() == (parts / "Haus.csv").read_bytes()
    for name in ("Patienten", "Fall", "Labor"):
        lines = [(parts / f"{name}-0000{number}.csv").read_text().splitlines() for number in (0, 1)]
        assert (whole / f"{name}.csv").read_text().splitlines() == lines[0] + lines[1][1:]


def test_contract(mapping: Path, cohort: Dataset) -> None:
    patients = cohort.subjects[:12]
    among = pl.col("relative_id").is_in(patients.implode())
    tables = {**cohort.tables, "relation": cohort.tables["relation"].filter(among)}
    check_exporter(LayoutExporter(mapping), Dataset(cohort.schema, tables, cohort.provenance).take_subjects(patients))


# ---------------------------------------------------------------------- refused
def test_without_a_mapping(cohort: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="--mapping"):
        LayoutExporter().write(cohort, tmp_path)
    with pytest.raises(SourceError, match="--mapping"):
        LayoutSource().read(tmp_path)
    assert LayoutExporter.made({"mapping": "x.yaml", "athena": "y"}).mapping == "x.yaml"
    assert clinical_source(tmp_path) is None


def test_real_rows_and_names_that_lead_out_of_the_folder(mapping: Path, cohort: Dataset, tmp_path: Path) -> None:
    real = Dataset(cohort.schema, cohort.tables, Provenance("real"))
    with pytest.raises(UnsupportedError, match="fabricated"):
        LayoutExporter(mapping).write(real, tmp_path)
    for name in ("../out", ".hidden", "a/b"):
        text = f"export:\n  tables:\n    '{name}': {{from: patient, columns: {{id: patient_id}}}}"
        with pytest.raises(OutputError, match="to name files after"):
            LayoutExporter(Mapping.from_yaml(text)).write(cohort, tmp_path)
    assert not list(tmp_path.iterdir())


def test_words_that_lack_leave_no_file(cohort: Dataset, tmp_path: Path) -> None:
    text = "export:\n  tables:\n    t: {from: patient, columns: {s: {value: sex, words: {male: M}}}}"
    with pytest.raises(DataError, match=r"export.tables.t.columns.s \(\d+ cells\)"):
        LayoutExporter(Mapping.from_yaml(text)).write(cohort, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_seen(mapping: Path, cohort: Dataset, tmp_path: Path) -> None:
    exporter = LayoutExporter(mapping)
    assert exporter.check(tmp_path) == ["no *.csv or *.parquet file found"]
    exporter.write(cohort, tmp_path)
    (tmp_path / "layout" / "Fall.csv").write_bytes(b"")
    assert exporter.check(tmp_path) == ["Fall.csv: it is empty"]


# ---------------------------------------------------------------------- a learned cohort
HOSPITAL = """
import:
  links:
    DIAGNOSES_ICD.hadm_id: ADMISSIONS.hadm_id
    ADMISSIONS.subject_id: PATIENTS.subject_id
  tables:
    patient:
      from: PATIENTS
      columns:
        patient_id: subject_id
        birth_date: date(dob)
        death_time: datetime(dod)
        sex: {value: gender, words: {F: female, M: male}}
        insurance:
          value: first(ADMISSIONS.insurance)
          words: {Private: private, Medicare: medicare, Medicaid: medicaid, Government: national, Self Pay: none}
    encounter:
      from: ADMISSIONS
      columns:
        encounter_id: hadm_id
        patient_id: subject_id
        class: {value: admission_type, words: {EMERGENCY: emergency, URGENT: urgent, ELECTIVE: inpatient}}
        start: datetime(admittime)
        stop: datetime(dischtime)
        disposition: if(starts(discharge_location, 'DEAD'), 'died', null)
    condition:
      from: DIAGNOSES_ICD
      where: icd9_code is not null
      columns:
        condition_id: concat('C', row_id)
        patient_id: subject_id
        encounter_id: hadm_id
        code: if(length(icd9_code) > 3, concat(substring(icd9_code, 1, 3), '.', substring(icd9_code, 4)), icd9_code)
        system: "'ICD-9-CM'"
        onset: datetime(hadm_id.admittime)
"""


@pytest.fixture(scope="module")
def hospital(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three CSV tables of a hospital (MIMIC-III demo), read by a mapping."""
    folder = tmp_path_factory.mktemp("hospital")
    for name in ("PATIENTS", "ADMISSIONS", "DIAGNOSES_ICD"):
        shutil.copy(data_dir / "mimic3_demo" / f"{name}.csv", folder)
    with pytest.warns(DataWarning, match="named by no expression"):
        return LayoutSource(Mapping.from_yaml(HOSPITAL)).read(folder)


def test_a_hospitals_tables_become_clinical_ones(hospital: Dataset, data_dir: Path) -> None:
    heights = {name: frame.height for name, frame in hospital.tables.items() if frame.height}
    raw = {name: pl.read_csv(data_dir / "mimic3_demo" / f"{name}.csv") for name in ("PATIENTS", "ADMISSIONS")}
    assert heights["patient"] == raw["PATIENTS"].height and heights["encounter"] == raw["ADMISSIONS"].height
    assert hospital.provenance.origin == "real" and loose.is_clinical(hospital)
    condition = hospital.tables["condition"]
    starts = hospital.tables["encounter"].select("encounter_id", "start")
    assert condition.join(starts, on="encounter_id").select((pl.col("onset") == pl.col("start")).all()).item()
    assert condition["code"].str.contains(r"^[\dEV]\d{2,3}(\.\d+)?$").all()


def test_a_learned_cohort_leaves_as_clinical_tables(hospital: Dataset, tmp_path: Path) -> None:
    form = propose(loose.learnable(hospital))
    generator = registry.find("generators", "trees")(n_trees=1)
    drawn = generator.fit(form, seed=1).sample(40, seed=2)
    assert loose.is_clinical(drawn) and drawn.provenance.origin == "generated"
    assert set(drawn.tables["condition"]["system"].unique()) == {"ICD-9-CM"}
    registry.find("exporters", "parquet")().write(loose.widen(drawn), tmp_path)
    back = registry.find("sources", "clinical")().read(tmp_path, origin="generated")
    assert back.n_subjects == 40
    assert not [one for one in compare(drawn, back) if one.n_differ]
    for name in ("sqlite", "sql"):
        exporter = registry.find("exporters", name)()
        exporter.write(drawn, tmp_path)
        exporter.finish(tmp_path)
        found = registry.find("sources", exporter.reader)().read(tmp_path / exporter.place, origin="generated")
        assert not [one for one in compare(drawn, found, exporter.losses) if one.n_differ]


def test_one_patients_table_and_the_method_without_links(data_dir: Path, tmp_path: Path) -> None:
    raw = pl.read_csv(data_dir / "diabetes130" / "diabetic_data.csv.gz", n_rows=600, infer_schema=False)
    raw.select("patient_nbr", "gender", "race", "encounter_id", "age").write_csv(tmp_path / "visits.csv")
    text = """
import:
  tables:
    patient:
      from: visits
      one_per: patient_nbr
      columns:
        patient_id: patient_nbr
        sex: {value: gender, words: {Female: female, Male: male}, others: drop}
        race: {value: race, words: {Caucasian: white, AfricanAmerican: black, Asian: asian, Other: other}, others: drop}
"""
    with pytest.warns(DataWarning, match="encounter_id"):
        read = LayoutSource(Mapping.from_yaml(text)).read(tmp_path)
    drawn = registry.find("generators", "independent")().fit(loose.learnable(read), seed=1).sample(50, seed=1)
    assert loose.is_clinical(drawn) and drawn.n_subjects == 50
    registry.find("exporters", "parquet")().write(loose.widen(drawn), tmp_path / "out")
    back = registry.find("sources", "clinical")().read(tmp_path / "out", origin="generated")
    assert not [one for one in compare(drawn, back) if one.n_differ]
