"""The reader of SDTM on other makers' datasets, split datasets, and files that are damaged or of another version."""

from __future__ import annotations

import json
import warnings
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, SourceError
from ehrsatz.layouts import datasetjson
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.sdtm.reader import SdtmSource

STUDY = {  # as a sponsor writes it: numbers with a point, dates of less than a day, no keys of ours
    "DM": """STUDYID,DOMAIN,USUBJID,SUBJID,RFSTDTC,DTHDTC,SITEID,BRTHDTC,AGE,AGEU,SEX,RACE,ETHNIC,ARMCD,COUNTRY
CD1,DM,01-701-1015,1015,2014-01-02,,701,1950-12-26,63,YEARS,F,WHITE,HISPANIC OR LATINO,Pbo,USA
CD1,DM,01-701-1023,1023,2012-08-05,2012-09-01T03:30,701,,64,YEARS,M,UNKNOWN,,Trt,FRA
""",
    "AE": """STUDYID,DOMAIN,USUBJID,AESEQ,AESPID,AETERM,AEDECOD,AEPTCD,AESEV,AEOUT,AESTDTC,AEENDTC
CD1,AE,01-701-1015,1.0,E07,ERYTHEMA,ERYTHEMA,10003041,MILD,NOT RECOVERED/NOT RESOLVED,2014-01-03,
CD1,AE,01-701-1023,1.0,E07,DIARRHOEA,DIARRHOEA,,MILD,RECOVERED/RESOLVED,2012-08,2012-08-30T10:15
""",
    "SUPPAE": """STUDYID,RDOMAIN,USUBJID,IDVAR,IDVARVAL,QNAM,QLABEL,QVAL,QORIG,QEVAL
CD1,AE,01-701-1015,AESEQ,1,AETRTEM,TREATMENT EMERGENT FLAG,Y,DERIVED,
CD1,AE,01-701-1015,AESEQ,1,SRCCODE,CODE,L53.9,CRF,
CD1,AE,01-701-1015,AESEQ,1,SRCSYS,SYSTEM,ICD-10-CM,CRF,
""",
    "LB": """\
STUDYID,DOMAIN,USUBJID,LBSEQ,LBTESTCD,LBTEST,LBORRES,LBORRESU,LBORNRLO,LBORNRHI,LBSTRESN,LBNRIND,LBLOINC,VISITNUM,LBDTC
CD1,LB,01-701-1015,1,ALB,Albumin,3.8,g/dL,3.3,4.9,38,NORMAL,,1,2013-12-26T14:45
CD1,LB,01-701-1015,2,GLUC,Glucose,<2,mmol/L,,,,LOW LOW,2345-7,1,2013-12-26T14:45
CD1,LB,99-999-9999,1,ALB,Albumin,4.0,g/dL,,,40,,,1,2013-12-26
""",
    "SV": """STUDYID,DOMAIN,USUBJID,VISITNUM,VISIT,SVSTDTC,SVENDTC
CD1,SV,01-701-1015,1.0,SCREENING 1,2013-12-26,2013-12-26
""",
    "EX": """STUDYID,DOMAIN,USUBJID,EXSEQ,EXTRT,EXDOSE,EXDOSU,EXDOSFRM,EXDOSFRQ,EXROUTE,EXSTDTC,EXENDTC
CD1,EX,01-701-1023,1,XANOMELINE,54,mg,PATCH,QD,TRANSDERMAL,2012-08-05,2012-08-27
""",
    "TS": """STUDYID,DOMAIN,TSSEQ,TSPARMCD,TSPARM,TSVAL
CD1,TS,1,ADDON,Added on to Existing Treatments,N
""",
    "DS": """STUDYID,DOMAIN,USUBJID,DSSEQ,DSTERM
CD1,DS,01-701-1015,1,COMPLETED
""",
}


def write(folder: Path, study: dict[str, str], form: str) -> Path:
    for name, text in study.items():
        if form == "csv":
            (folder / f"{name.lower()}.csv").write_text(text, encoding="utf-8")
            continue
        frame = pl.read_csv(text.encode(), infer_schema=False)
        columns = [{"itemOID": f"IT.{one}", "name": one, "label": one, "dataType": "string"} for one in frame.columns]
        head = {
            "datasetJSONCreationDateTime": "2024-01-01T00:00:00",
            "datasetJSONVersion": "1.1.0",
            "itemGroupOID": f"IG.{name}",
            "records": frame.height,
            "name": name,
            "label": name,
            "columns": columns,
        }
        rows = [list(row) for row in frame.iter_rows()]
        if form == "json":
            (folder / f"{name.lower()}.json").write_text(json.dumps({**head, "rows": rows}, indent=1), encoding="utf-8")
        else:
            lines = [json.dumps(head), *map(json.dumps, rows)]
            (folder / f"{name.lower()}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def quietly(path: Path, **options: object) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return SdtmSource().read(path, **options)


# ---------------------------------------------------------------------- other makers
@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_a_sponsors_study_is_placed_and_the_rest_counted(tmp_path: Path, form: str) -> None:
    folder = write(tmp_path, STUDY, form)
    assert SdtmSource.fits(folder) and SdtmSource().parts(folder) == 0
    found = quietly(folder)
    first, second = found.tables["patient"].iter_rows(named=True)
    assert first["patient_id"] == "01-701-1015" and first["birth_date"] == date(1950, 12, 26)
    assert (first["sex"], first["race"], first["ethnicity"], first["country"]) == ("female", "white", "hispanic", "US")
    assert (second["race"], second["death_time"]) == (None, datetime(2012, 9, 1, 3, 30))
    red, loose_stool = found.tables["condition"].iter_rows(named=True)
    assert (red["code"], red["system"], red["status"]) == ("L53.9", "ICD-10-CM", "active")
    assert red["condition_id"] == "01-701-1015-AE-1" and red["onset"] == datetime(2014, 1, 3)
    assert (loose_stool["onset"], loose_stool["abatement"]) == (None, datetime(2012, 8, 30, 10, 15))
    assert (loose_stool["code"], loose_stool["display"]) == (None, "DIARRHOEA")
    albumin, glucose = found.tables["observation"].iter_rows(named=True)
    assert (albumin["value"], albumin["unit"], albumin["low"], albumin["high"]) == (3.8, "g/dL", 3.3, 4.9)
    assert (albumin["code"], albumin["system"]) == ("ALB", "CDISC LBTESTCD")
    assert (glucose["code"], glucose["system"], glucose["text_value"]) == ("2345-7", "LOINC", "<2")
    assert glucose["interpretation"] == "critical low" and glucose["value"] is None
    (visit,) = found.tables["encounter"].iter_rows(named=True)
    assert visit["display"] == "SCREENING 1" and albumin["encounter_id"] == visit["encounter_id"]
    (patch,) = found.tables["medication"].iter_rows(named=True)
    assert (patch["display"], patch["dose"], patch["per_day"], patch["route"]) == (
        "XANOMELINE",
        54.0,
        1.0,
        "transdermal",
    )
    counted = found.provenance.steps[-1].params["unplaced"]
    assert counted["AE.AESTDTC: dates without a day"] == 1 and counted["dataset DS"] == 1
    assert counted["LB: records of no subject of DM"] == 1 and counted["SUPPAE.AETRTEM"] == 1
    assert {"AE.AESEV": 2, "AE.AESPID": 2, "EX.EXDOSFRM": 1, "DM.ARMCD": 2}.items() <= counted.items()
    assert not any(name.startswith("TS") for name in counted)


def test_a_code_of_meddra_is_one_where_nothing_else_is_given(tmp_path: Path) -> None:
    found = quietly(write(tmp_path, {name: STUDY[name] for name in ("DM", "AE")}, "csv"))
    assert found.tables["condition"].select("code", "system").rows() == [("10003041", "MedDRA"), (None, None)]


def test_split_datasets_of_a_domain_are_one(tmp_path: Path) -> None:
    split = {
        "DM": STUDY["DM"],
        "LBCH": STUDY["LB"],
        "LBHE": STUDY["LB"].replace(",1,ALB", ",7,ALB").replace(",2,GLUC", ",8,GLUC"),
    }
    assert quietly(write(tmp_path, split, "csv")).tables["observation"].height == 4


def test_numbered_shards_are_parts(tmp_path: Path) -> None:
    head, first, second = STUDY["DM"].splitlines()
    for number, line in enumerate((first, second)):
        (tmp_path / f"dm-{number:05d}.csv").write_text(f"{head}\n{line}\n", encoding="utf-8")
    assert SdtmSource().parts(tmp_path) == 2
    part = quietly(tmp_path, part=Part(1, pl.Series(["01-701-1023"])))
    assert part.tables["patient"]["patient_id"].to_list() == ["01-701-1023"]


def test_some_subjects_alone_can_be_read(tmp_path: Path) -> None:
    folder = write(tmp_path, STUDY, "json")
    found = quietly(folder, part=Part(None, pl.Series(["01-701-1023"])))
    rows = {name: frame.height for name, frame in found.tables.items() if frame.height}
    assert rows == {"patient": 1, "condition": 1, "medication": 1}


def test_names_in_small_letters_and_capitals_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "DM.CSV").write_text(STUDY["DM"].lower(), encoding="utf-8")
    assert SdtmSource.fits(tmp_path) and quietly(tmp_path).tables["patient"].height == 2


def test_a_large_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, STUDY, "json")
    whole = quietly(tmp_path)
    monkeypatch.setattr(datasetjson, "CHUNK", 7)
    pieces = quietly(tmp_path)
    assert all(frame.equals(pieces.tables[name]) for name, frame in whole.tables.items())


# ---------------------------------------------------------------------- bad input
def test_a_study_without_demographics_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"LB": STUDY["LB"]}, "csv")
    assert not SdtmSource.fits(tmp_path)
    with pytest.raises(SourceError, match="DM"):
        SdtmSource().read(tmp_path)


def test_demographics_without_subjects_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"DM": STUDY["DM"].replace("USUBJID", "SUBJECT")}, "csv")
    with pytest.raises(SourceError, match="USUBJID"):
        SdtmSource().read(tmp_path)


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_a_dataset_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, {"DM": STUDY["DM"]}, "json") / "dm.json"
    path.write_text(path.read_text(encoding="utf-8").rstrip()[:-cut], encoding="utf-8")
    with pytest.raises(SourceError, match="damaged or cut off"):
        SdtmSource().read(tmp_path)


def test_records_that_lack_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, {"DM": STUDY["DM"]}, "ndjson") / "dm.ndjson"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    with pytest.raises(SourceError, match="It holds 1"):
        SdtmSource().read(tmp_path)


def test_a_broken_line_is_named_by_its_number_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"DM": STUDY["DM"]}, "ndjson") / "dm.ndjson"
    path.write_text(path.read_text(encoding="utf-8").replace('"1023"', '"1023'), encoding="utf-8")
    with pytest.raises(SourceError, match="Line 3") as caught:
        SdtmSource().read(tmp_path)
    assert "1023" not in str(caught.value)


@pytest.mark.parametrize(
    "whole", [{"clinicalData": {"itemGroupData": {}}}, {"datasetJSONVersion": "1.0.0", "rows": []}]
)
def test_another_version_is_named(tmp_path: Path, whole: dict[str, object]) -> None:
    (tmp_path / "dm.json").write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(SourceError, match=r"1\.1"):
        SdtmSource().read(tmp_path)


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"DM": STUDY["DM"]}, "json") / "dm.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["rows"][1].append("more")
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(SourceError, match="cells in every record"):
        SdtmSource().read(tmp_path)


def test_cells_of_another_kind_are_refused_without_a_cell(tmp_path: Path) -> None:
    path = write(tmp_path, {"DM": STUDY["DM"]}, "json") / "dm.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["rows"][1][3] = {"secret": 1}
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        SdtmSource().read(tmp_path)
    assert "secret" not in str(caught.value)
