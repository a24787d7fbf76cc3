"""The reader of Synthea's CSV files: the sample, other versions, known oddities, and half or damaged folders."""

from __future__ import annotations

import gzip
import shutil
import warnings
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataWarning, SourceError
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.synthea.reader import SyntheaSource

PATIENTS = """Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,FIRST,LAST,MAIDEN,MARITAL,RACE,ETHNICITY,GENDER,INCOME
p1,1980-02-29,2020-01-02T03:04:05Z,999-00-0000,S99,,Ana1,Bo2,Cy3,S,hawaiian,hispanic,F,1234.5
p2,2019-06-01,,999-00-0001,,,Dee4,Eh5,,,white,nonhispanic,M,
"""
PLACED = {  # columns with content that a clinical column holds; all others are counted
    "allergies": "START PATIENT ENCOUNTER CODE SYSTEM DESCRIPTION CATEGORY REACTION1 DESCRIPTION1 SEVERITY1",
    "careplans": "ID START STOP PATIENT ENCOUNTER CODE DESCRIPTION",
    "claims": "ID PATIENTID APPOINTMENTID SERVICEDATE",
    # method and number of the charge tell payer and order; the rest of the transfers is counted by rows
    "claims_transactions": "ID CLAIMID CHARGEID PATIENTID TYPE AMOUNT METHOD FROMDATE PROCEDURECODE TRANSFEROUTID"
    " PAYMENTS TRANSFERS APPOINTMENTID",
    "conditions": "START STOP PATIENT ENCOUNTER CODE DESCRIPTION",
    "devices": "START PATIENT ENCOUNTER CODE DESCRIPTION UDI",
    "encounters": "ID START STOP PATIENT ORGANIZATION PROVIDER ENCOUNTERCLASS CODE DESCRIPTION REASONDESCRIPTION",
    "immunizations": "DATE PATIENT ENCOUNTER CODE DESCRIPTION",
    "medications": "START STOP PATIENT ENCOUNTER CODE DESCRIPTION",
    "observations": "DATE PATIENT ENCOUNTER CATEGORY CODE DESCRIPTION VALUE UNITS TYPE",
    "organizations": "ID NAME ADDRESS CITY STATE ZIP PHONE",
    "patients": "ID BIRTHDATE DEATHDATE SSN FIRST LAST MAIDEN MARITAL RACE ETHNICITY GENDER ADDRESS CITY STATE ZIP",
    "payer_transitions": "PATIENT MEMBERID START_YEAR END_YEAR PAYER",
    "payers": "ID NAME",
    "procedures": "START STOP PATIENT ENCOUNTER CODE DESCRIPTION",
    "providers": "ID ORGANIZATION NAME SPECIALITY",
    "supplies": "DATE PATIENT ENCOUNTER CODE DESCRIPTION QUANTITY",  # counted as a file
}


def quietly(path: Path, **options: object) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return SyntheaSource().read(path, **options)


def unplaced(dataset: Dataset) -> dict[str, int]:
    return dataset.provenance.steps[-1].params.get("unplaced", {})


def small(folder: Path, **files: str) -> Path:
    (folder / "patients.csv").write_text(PATIENTS, encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


# ---------------------------------------------------------------------- the sample
def test_the_sample_is_placed_and_the_rest_counted(data_dir: Path) -> None:
    folder = data_dir / "synthea_csv"
    assert SyntheaSource.fits(folder)
    with pytest.warns(DataWarning, match="allergies"):
        found = SyntheaSource().read(folder)
    rows = {name: frame.height for name, frame in found.tables.items() if frame.height}
    assert rows == {
        "patient": 27,
        "organization": 63,
        "practitioner": 166,
        "payer": 10,
        "coverage": 1051,
        "encounter": 604,
        "condition": 438,
        "observation": 990,
        "medication": 663,
        "procedure": 249,
        "immunization": 29,
        "allergy": 40,
        "device": 3,
        "careplan": 49,
        "claim": 1267,
        "claim_line": 1545,
        "payment": 1843,
    }
    counted = unplaced(found)
    assert counted["file supplies"] == 72 and counted["medications.DISPENSES"] == 663
    assert (
        counted["claims_transactions of type TRANSFERIN"] == counted["claims_transactions of type TRANSFEROUT"] == 920
    )
    lost = [name for name in counted if "links to nothing" in name or "repeat a key" in name]
    assert lost == []


def test_every_column_of_the_sample_is_placed_or_counted(data_dir: Path) -> None:
    folder = data_dir / "synthea_csv"
    counted = unplaced(quietly(folder))
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        name = path.name.partition(".")[0]
        frame = pl.read_csv(path, infer_schema=False)
        held = {column.upper() for column in frame.columns if frame[column].count()}
        placed = {column for column in held if f"{name}.{column}" not in counted}
        assert placed == set(PLACED[name].split()), name


def test_codes_bear_the_systems_that_synthea_uses(data_dir: Path) -> None:
    tables = quietly(data_dir / "synthea_csv").tables
    assert set(tables["condition"]["system"]) == {"SNOMED-CT"} and tables["condition"]["snomed_code"].count() == 0
    assert set(tables["medication"]["system"]) == {"RxNorm"} and set(tables["immunization"]["system"]) == {"CVX"}
    assert set(tables["observation"]["system"]) == {"LOINC", "local"}
    years = tables["observation"].filter(pl.col("system") == "local")
    assert set(years["code"]) <= {"QALY", "DALY", "QOLS"} and years["encounter_id"].null_count() == years.height
    assert set(tables["claim_line"]["kind"]) == {"encounter", "medication", "procedure", "immunization"}


def test_lines_make_the_totals_and_payments_go_to_whom_paid(data_dir: Path) -> None:
    tables = quietly(data_dir / "synthea_csv").tables
    raw = pl.read_csv(data_dir / "synthea_csv" / "claims_transactions.csv.gz", infer_schema=False)
    charged = raw.filter(pl.col("TYPE") == "CHARGE")["AMOUNT"].cast(pl.Float64).sum()
    assert tables["claim"]["total"].sum() == pytest.approx(charged)
    paid = raw.filter(pl.col("TYPE") == "PAYMENT").with_columns(pl.col("PAYMENTS").cast(pl.Float64))
    insurer = paid.filter(pl.col("METHOD") == "ECHECK")["PAYMENTS"].sum()
    assert tables["payment"]["payer_part"].sum() == pytest.approx(insurer)
    assert tables["payment"]["patient_part"].sum() == pytest.approx(paid["PAYMENTS"].sum() - insurer)
    numbers = tables["claim_line"].group_by("claim_id").agg(pl.col("number").sort())
    assert all(row == list(range(1, len(row) + 1)) for row in numbers["number"].to_list())


def test_some_patients_alone_are_the_same_as_in_the_whole(data_dir: Path) -> None:
    whole = quietly(data_dir / "synthea_csv")
    keys = whole.tables["patient"]["patient_id"][3:8]
    part = quietly(data_dir / "synthea_csv", part=Part(None, keys, world=False))
    for name, frame in part.tables.items():
        if "patient_id" not in frame.columns:
            assert frame.height == 0
            continue
        same = whole.tables[name].filter(pl.col("patient_id").is_in(keys.implode()))
        assert frame.sort(frame.columns[0]).equals(same.sort(frame.columns[0])), name


# ---------------------------------------------------------------------- other versions and oddities
def test_small_letters_and_packed_files_are_read(data_dir: Path, tmp_path: Path) -> None:
    text = (data_dir / "synthea_csv" / "patients.csv").read_text(encoding="utf-8")
    head, _, rest = text.partition("\n")
    with gzip.open(tmp_path / "Patients.csv.gz", "wt", encoding="utf-8") as file:
        file.write(head.lower() + "\n" + rest)
    assert SyntheaSource.fits(tmp_path) and quietly(tmp_path).tables["patient"].height == 27


def test_facts_of_patients_are_in_the_words_of_the_schema(tmp_path: Path) -> None:
    first, second = quietly(small(tmp_path)).tables["patient"].iter_rows(named=True)
    assert first["birth_date"] == date(1980, 2, 29) and first["death_time"] == datetime(2020, 1, 2, 3, 4, 5)
    assert (first["sex"], first["race"], first["ethnicity"]) == ("female", "pacific", "hispanic")
    assert (first["marital_status"], first["income"], first["birth_family_name"]) == ("never married", 1234.5, "Cy3")
    assert (second["marital_status"], second["income"], second["death_time"]) == (None, None, None)


def test_older_columns_of_coverage_and_procedures_are_understood(tmp_path: Path) -> None:
    folder = small(
        tmp_path,
        payers="Id,NAME\nx,Medicaid\n",
        payer_transitions="PATIENT,START_YEAR,END_YEAR,PAYER\np1,2001,2004,x\n",
        procedures="DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2001-02-03,p1,,1,Done\n",
    )
    found = quietly(folder)
    (cover,) = found.tables["coverage"].iter_rows(named=True)
    assert (cover["start"], cover["stop"]) == (date(2001, 1, 1), date(2004, 1, 1))
    assert found.tables["payer"]["kind"].to_list() == ["medicaid"]
    (done,) = found.tables["procedure"].iter_rows(named=True)
    assert (done["start"], done["stop"], done["encounter_id"]) == (datetime(2001, 2, 3), None, None)


def test_repeated_keys_and_links_to_nothing_are_counted(tmp_path: Path) -> None:
    head = "Id,DATE,PATIENT,ENCOUNTER,SERIES_UID,BODYSITE_DESCRIPTION,MODALITY_CODE,MODALITY_DESCRIPTION"
    folder = small(
        tmp_path,
        imaging_studies=f"{head}\ns1,2010-01-01,p1,,1,Chest,DX,Digital Radiography\ns1,2010-01-01,p1,,2,Chest,DX,\n",
        conditions="START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2001-01-01,,p1,gone,1,A\n2001-01-01,,gone,,1,A\n",
        claims_transactions="ID,CLAIMID,PATIENTID,TYPE,AMOUNT,PAYMENTS\nt,c,p1,CHARGE,1.5,\nt,c,p1,CHARGE,1.5,\n",
    )
    found = quietly(folder)
    assert found.tables["report"].select("modality", "body_site").rows() == [("DX", "Chest")]
    counted = unplaced(found)
    assert counted["imaging_studies: further images of a study"] == 1
    assert counted["condition.encounter_id: links to nothing"] == 1
    assert counted["condition.patient_id: links to nothing"] == 1
    assert counted["claim_line: rows that repeat a key"] == 1


def test_cells_that_are_no_numbers_or_times_are_counted(tmp_path: Path) -> None:
    folder = small(
        tmp_path,
        observations="DATE,PATIENT,ENCOUNTER,CODE,VALUE,UNITS,TYPE\nsoon,p1,,8302-2,tall,cm,numeric\n",
    )
    found = quietly(folder)
    (seen,) = found.tables["observation"].iter_rows(named=True)
    assert (seen["time"], seen["value"], seen["text_value"]) == (None, None, "tall")
    assert unplaced(found)["observations.DATE: no times"] == 1


# ---------------------------------------------------------------------- bad input
def test_a_folder_without_patients_is_refused(data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / "synthea_csv" / "encounters.csv", tmp_path / "encounters.csv")
    assert not SyntheaSource.fits(tmp_path)
    with pytest.raises(SourceError, match=r"patients\.csv"):
        SyntheaSource().read(tmp_path)


def test_another_format_with_patients_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("patient_id,sex\n1,F\n", encoding="utf-8")
    assert not SyntheaSource.fits(tmp_path)
    with pytest.raises(SourceError, match="Not there: ID, BIRTHDATE, GENDER"):
        SyntheaSource().read(tmp_path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Not there: VALUE"):
        SyntheaSource().read(small(tmp_path, observations="DATE,PATIENT,CODE\n2001-01-01,p1,1\n"))


def test_a_damaged_file_is_refused_without_its_content(tmp_path: Path) -> None:
    folder = small(tmp_path)
    (folder / "encounters.csv").write_bytes(b'Id,START,PATIENT\n"secret,2001-01-01,p1\n\xff\xfe\x00')
    with pytest.raises(SourceError, match="damaged") as caught:
        SyntheaSource().read(folder)
    assert "secret" not in str(caught.value)
