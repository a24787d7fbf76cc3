"""SDTM by the rules of its guide: required variables, numbers, dates, terms, qualifiers, and both file formats."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.sdtm.domains import domains
from ehrsatz.exporters.sdtm.exporter import SdtmExporter
from ehrsatz.layouts import sdtm as layout
from ehrsatz.layouts.sdtm import DOMAINS, SUPP
from ehrsatz.layouts.testcodes import TESTS, short_name
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.sdtm.reader import SdtmSource

ISO = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$"
TERMS = {  # variable -> the terms of its code list that are not extensible
    "SEX": {"F", "M", "U", "INTERSEX", "UNDIFFERENTIATED"},
    "RACE": set(layout.RACE.values()) | {"NOT REPORTED", "UNKNOWN"},
    "ETHNIC": {"HISPANIC OR LATINO", "NOT HISPANIC OR LATINO", "NOT REPORTED", "UNKNOWN"},
    "AGEU": {"DAYS", "HOURS", "MONTHS", "WEEKS", "YEARS"},
    "AESER": {"Y", "N", "U", "NA"},
    "AESHOSP": {"Y", "N", "U", "NA"},
    "AEOUT": {
        "FATAL",
        "NOT RECOVERED/NOT RESOLVED",
        "RECOVERED/RESOLVED",
        "RECOVERED/RESOLVED WITH SEQUELAE",
        "RECOVERING/RESOLVING",
        "UNKNOWN",
    },
    "DTHFL": {"Y"},
    "LBNRIND": {"NORMAL", "ABNORMAL", "LOW", "HIGH", "LOW LOW", "HIGH HIGH"},
    "LBBLFL": {"Y"},
    "VSBLFL": {"Y"},
}


def of(**tables: pl.DataFrame) -> Dataset:
    return loose.complete(tables, Provenance("generated", ()))


@pytest.fixture(scope="module", params=[None, "oral tablet"])
def study(request: pytest.FixtureRequest, cohort: Dataset) -> dict[str, pl.DataFrame]:
    return domains(loose.widen(cohort), "TEST01", request.param)


# ---------------------------------------------------------------------- rules of the guide
def test_variables_stand_as_the_guide_has_them(study: dict[str, pl.DataFrame]) -> None:
    for name, frame in study.items():
        variables = SUPP if name.startswith("SUPP") else DOMAINS[name].variables
        assert frame.columns == [one.name for one in variables]
        assert all(len(one.name) <= 8 and len(one.label) <= 40 for one in variables)
        for one in variables:
            if one.core == "Req":
                assert frame[one.name].null_count() == 0, f"{name}.{one.name} is required"
                assert frame.schema[one.name] != pl.String or (frame[one.name] != "").all()


def test_subjects_are_in_dm_once_and_everywhere_else_known(study: dict[str, pl.DataFrame]) -> None:
    subjects = study["DM"]["USUBJID"]
    assert subjects.is_unique().all()
    for name, frame in study.items():
        assert frame["STUDYID"].unique().to_list() in ([], ["TEST01"])
        assert frame["USUBJID"].is_in(subjects.implode()).all()
        column = "RDOMAIN" if name.startswith("SUPP") else "DOMAIN"
        assert frame[column].unique().to_list() in ([], [name.removeprefix("SUPP")])


def test_numbers_of_records_are_unique_in_a_subject(study: dict[str, pl.DataFrame]) -> None:
    for name, frame in study.items():
        number = f"{name}SEQ" if f"{name}SEQ" in frame.columns else "VISITNUM"
        if number in frame.columns:
            assert frame.select("USUBJID", number).is_unique().all()
            assert frame.height == 0 or frame[number].min() == 1


def test_dates_are_iso_and_study_days_have_no_day_zero(study: dict[str, pl.DataFrame]) -> None:
    start = study["DM"].select("USUBJID", "RFSTDTC")
    checked = 0
    for frame in study.values():
        for column in (one for one in frame.columns if one.endswith("DTC")):
            assert frame[column].drop_nulls().str.contains(ISO).all()
            day = column.removesuffix("DTC") + "DY"
            if day not in frame.columns or day == "DTHDY":
                continue
            rows = frame.join(start, on="USUBJID", how="left").drop_nulls([column, "RFSTDTC"])
            assert rows[day].null_count() == 0 and not (rows[day] == 0).any()
            days = [
                (date.fromisoformat(one[:10]) - date.fromisoformat(other[:10])).days
                for one, other in rows.select(column, "RFSTDTC").iter_rows()
            ]
            assert rows[day].to_list() == [gap + (gap >= 0) for gap in days]
            checked += len(days)
    assert checked > 20


def test_terms_are_of_the_controlled_terminology(study: dict[str, pl.DataFrame]) -> None:
    for frame in study.values():
        for column in set(TERMS) & set(frame.columns):
            assert set(frame[column].drop_nulls()) <= TERMS[column], column
    assert study["DM"]["COUNTRY"].str.contains("^[A-Z]{3}$").all()


def test_short_names_of_tests_follow_the_rules_and_are_one_to_one(study: dict[str, pl.DataFrame]) -> None:
    for name in ("LB", "VS", "QS", "SC", "PE"):
        tests = study[name].select(f"{name}TESTCD", f"{name}TEST").unique()
        assert tests[f"{name}TESTCD"].str.contains("^[A-Z_][A-Z0-9_]{0,7}$").all()
        assert tests[f"{name}TEST"].str.len_chars().max() <= 40
        assert tests[f"{name}TESTCD"].is_unique().all() and tests[f"{name}TEST"].is_unique().all()


def test_known_codes_are_one_to_one_with_names_and_a_derived_one_stays() -> None:
    names = {(short, name) for short, name, _ in TESTS.values()}
    assert len({short for short, _ in names}) == len(names) == len({name for _, name in names})
    assert (
        short_name("LOINC", "44261-6", "PHQ-9") == ("TW3J2I42", "PHQ-9", None)
        or len(short_name("LOINC", "x", "y")[0]) == 8
    )
    assert short_name("local", "7", "Glucose")[1].startswith("Glucose T")


def test_results_ranges_and_units_go_together(study: dict[str, pl.DataFrame]) -> None:
    lab = study["LB"]
    numbers = lab.filter(pl.col("LBSTRESN").is_not_null())
    assert (numbers["LBORRES"].cast(pl.Float64) == numbers["LBSTRESN"]).all()
    assert (numbers["LBSTRESC"] == numbers["LBORRES"]).all()
    assert numbers["LBSTRESU"].null_count() == numbers["LBORRESU"].null_count()
    ranged = lab.drop_nulls(["LBSTNRLO", "LBSTNRHI"])
    assert ranged.height and (ranged["LBSTNRLO"] <= ranged["LBSTNRHI"]).all()
    assert (ranged["LBORNRLO"].cast(pl.Float64) == ranged["LBSTNRLO"]).all()


def test_baselines_are_the_last_results_until_the_reference_start(study: dict[str, pl.DataFrame]) -> None:
    exposed = study["EX"].height > 0
    for name in ("LB", "VS") if exposed else ("VS",):  # most are first seen as newborns, who have no laboratory results
        rows = study[name].join(study["DM"].select("USUBJID", "RFSTDTC"), on="USUBJID")
        group = ["USUBJID", f"{name}TESTCD", f"{name}SPEC"]
        flagged = rows.filter(pl.col(f"{name}BLFL") == "Y")
        assert flagged.height and flagged.select(group).is_unique().all()
        assert flagged[f"{name}LOBXFL"].null_count() == (0 if exposed else flagged.height)
        limit = pl.col("RFSTDTC") if exposed else pl.col("RFSTDTC").str.slice(0, 10) + "T99"
        before = rows.filter(pl.col(f"{name}ORRES").is_not_null() & (pl.col(f"{name}DTC") <= limit))
        last = before.group_by(group).agg(pl.col(f"{name}DTC").max().alias("last"))
        joined = flagged.join(last, on=group, nulls_equal=True)
        assert joined.height == flagged.height == last.height and (joined[f"{name}DTC"] == joined["last"]).all()


def test_qualifiers_belong_to_records(study: dict[str, pl.DataFrame]) -> None:
    for name, frame in study.items():
        if not name.startswith("SUPP"):
            continue
        assert frame["QNAM"].str.contains("^[A-Z][A-Z0-9]{0,7}$").all()
        assert frame["QLABEL"].str.len_chars().max() <= 40
        keys = ["USUBJID", "IDVAR", "IDVARVAL", "QNAM"]
        assert frame.select(keys).is_unique().all()
        parent = study[name.removeprefix("SUPP")]
        assert not set(frame["QNAM"]) & set(parent.columns)
        for (variable,), rows in frame.partition_by("IDVAR", as_dict=True).items():
            if variable is None:
                assert name == "SUPPDM"
                continue
            held = parent.select("USUBJID", IDVARVAL=pl.col(str(variable)).cast(pl.String)).unique()
            assert rows.join(held, on=["USUBJID", "IDVARVAL"], how="anti").height == 0


# ---------------------------------------------------------------------- the study
def test_without_a_drug_nothing_is_exposure_and_the_first_encounter_is_the_start(cohort: Dataset) -> None:
    made = domains(loose.widen(cohort), "S", None)
    assert made["EX"].height == 0 and made["DM"]["RFXSTDTC"].null_count() == 200
    first = cohort.tables["encounter"].group_by("patient_id").agg(pl.col("start").min())
    joined = made["DM"].join(first, left_on="SUBJID", right_on="patient_id")
    assert (joined["RFSTDTC"] == joined["start"].dt.strftime("%Y-%m-%dT%H:%M:%S")).all()


@pytest.mark.parametrize("drug", ["metformin", "860975"])
def test_courses_of_the_drug_are_exposure_and_what_follows_is_adverse(cohort: Dataset, drug: str) -> None:
    made = domains(loose.widen(cohort), "S", drug)
    course = cohort.tables["medication"]
    mine = (course["code"] == drug) | course["display"].str.to_lowercase().str.contains(drug)
    assert made["EX"].height == mine.sum() > 0
    assert made["EX"].height + made["CM"].filter(pl.col("CMCAT").is_null()).height == course.height
    treated = made["DM"].drop_nulls("RFSTDTC")
    assert set(treated["USUBJID"]) == set(made["EX"]["USUBJID"])
    assert (treated["RFSTDTC"] == treated["RFXSTDTC"]).all()
    assert made["AE"].height and (made["AE"]["AESTDY"] >= 1).all()
    assert made["MH"].filter(pl.col("MHCAT") == "CONDITION")["MHSTDY"].drop_nulls().le(1).all()
    conditions = made["AE"].height + made["MH"].filter(pl.col("MHCAT") == "CONDITION").height
    assert conditions == cohort.tables["condition"].height


def test_an_age_is_counted_to_the_birthday() -> None:
    patient = pl.DataFrame({"patient_id": ["a", "b"], "birth_date": [date(1980, 2, 29), date(2000, 6, 2)]})
    encounter = pl.DataFrame(
        {
            "encounter_id": ["1", "2"],
            "patient_id": ["a", "b"],
            "start": [datetime(2021, 2, 28, 9), datetime(2021, 6, 2, 9)],
        }
    )
    assert domains(of(patient=patient, encounter=encounter), "S", None)["DM"]["AGE"].to_list() == [40, 21]


# ---------------------------------------------------------------------- files
def test_dataset_json_has_what_version_1_1_asks_for_and_csv_says_the_same(cohort: Dataset, tmp_path: Path) -> None:
    SdtmExporter(study="TEST01").write(cohort, tmp_path)
    place = tmp_path / "sdtm"
    names = {path.stem for path in place.glob("*.json")}
    assert {"dm", "ae", "cm", "lb", "vs", "mh", "ex", "suppdm", "ts"} <= names
    for path in place.glob("*.json"):
        whole = json.loads(path.read_text(encoding="utf-8"))
        needed = {
            "datasetJSONCreationDateTime",
            "datasetJSONVersion",
            "itemGroupOID",
            "records",
            "name",
            "label",
            "columns",
        }
        assert needed <= set(whole) and re.fullmatch(r"1\.1(\.\d+)?", whole["datasetJSONVersion"])
        assert whole["name"] == path.stem.upper() and whole["records"] == len(whole["rows"])
        assert "fabricated" in whole["originator"]
        kinds = {"string": str, "date": str, "datetime": str, "integer": int, "float": float}
        for number, column in enumerate(whole["columns"]):
            assert set(column) <= {"itemOID", "name", "label", "dataType", "length", "keySequence"}
            cells = [row[number] for row in whole["rows"] if row[number] is not None]
            assert all(type(cell) is kinds[column["dataType"]] for cell in cells)
            if column["dataType"] == "string":
                assert max(map(len, cells), default=0) <= column["length"]
        sheet = pl.read_csv(path.with_suffix(".csv"), infer_schema=False)
        assert sheet.columns == [column["name"] for column in whole["columns"]]
        shown = [[None if cell is None else str(cell) for cell in row] for row in whole["rows"][:200]]
        texts = [kind["dataType"] not in {"float"} for kind in whole["columns"]]
        for row, other in zip(sheet.head(200).iter_rows(), shown):
            assert [a for a, text in zip(row, texts) if text] == [b for b, text in zip(other, texts) if text]


def test_real_subjects_are_not_called_fabricated(tmp_path: Path) -> None:
    real = loose.complete({"patient": pl.DataFrame({"patient_id": ["a"]})}, Provenance("real", ()))
    SdtmExporter().write(real, tmp_path, allow_real=True)
    for name in ("dm.json", "ts.json", "ts.csv"):
        assert "fabricated" not in (tmp_path / "sdtm" / name).read_text(encoding="utf-8")


def test_shards_are_split_datasets_of_four_letters(cohort: Dataset, tmp_path: Path) -> None:
    own = [table.name for table in cohort.schema.tables]
    SdtmExporter().write(cohort, tmp_path, part=37, tables=own)
    whole = json.loads((tmp_path / "sdtm" / "lb-00037.json").read_text(encoding="utf-8"))
    assert whole["name"] == "LB11" and whole["itemGroupOID"] == "IG.LB"


def test_a_dataset_cut_off_in_either_form_is_seen(cohort: Dataset, tmp_path: Path) -> None:
    exporter = SdtmExporter()
    exporter.write(cohort, tmp_path)
    assert exporter.check(tmp_path) == []
    for name in ("lb.json", "vs.csv"):
        path = tmp_path / "sdtm" / name
        path.write_bytes(path.read_bytes()[:-40])
    problems = exporter.check(tmp_path)
    assert any(one.startswith("lb.json") for one in problems) and any(one.startswith("vs.csv") for one in problems)


# ---------------------------------------------------------------------- odd records
@pytest.mark.parametrize("ending", [".json", ".csv"])
def test_odd_texts_and_gaps_come_back_from_both_forms(tmp_path: Path, ending: str) -> None:
    keys = ["😀 Zoë", "O'Neil", "عمر", "e\u0301", "N" * 200, 'a "quoted", b\nnext', "\\n|^~&\t"]
    n = len(keys)
    patient = pl.DataFrame(
        {
            "patient_id": keys,
            "sex": ["other", "unknown", "male", "female", None, None, None],
            "country": ["US", "UK", "GB", "Erewhon", None, "ZZZ", "us"],
            "region": keys,
            "income": [0.1 + 0.2, 1e300, None, None, 0.0, None, None],
        }
    )
    noon = datetime(2020, 2, 29, 12, 0, 0, 1)
    common = {"patient_id": keys, "encounter_id": ["e"] + [None] * (n - 1)}
    seen = pl.DataFrame(
        {
            **common,
            "observation_id": [f"o{i}" for i in range(n)],
            "category": ["laboratory", "imaging", None, "survey", "exam", "vital-signs", "laboratory"],
            "code": ["2345-7", None, "x", None, "é", "8480-6", "2345-7"],
            "system": ["LOINC", "LOINC", None, None, "s", "LOINC", "LOINC"],
            "display": ["one", None, keys[5], "no code", None, None, "other"],
            "time": [noon, None, noon, noon, noon, noon, noon],
            "value": [0.1 + 0.2, 1e-300, None, 5.0, 123456789.123456789, None, 7.0],
            "text_value": [None, None, keys[5], "beside", None, "12", None],
            "unit": ["mg/dL", None, None, "{x}", None, "mmHg", "mm[Hg]"],
            "low": [None, 1.5, None, None, None, None, -1.0],
        }
    )
    drug = pl.DataFrame(
        {
            **common,
            "medication_id": [f"m{i}" for i in range(n)],
            "code": ["1", None, None, "2", None, None, None],
            "display": [None, "x", None, "y", "z", None, None],
            "route": ["oral", "Oral", "PO", None, "im ", None, "ß"],
            "per_day": [1.0, 0.14, None, 4.0, 24.0, None, None],
            "start": [noon, None, noon, noon, noon, noon, noon],
            "status": ["active", None, "stopped", None, None, None, None],
            "stop_reason": [None, "why", None, None, None, None, None],
        }
    )
    vaccine = pl.DataFrame(
        {**common, "immunization_id": [f"i{i}" for i in range(n)], "site": ["left arm", "Left Arm", *[None] * 5]}
    )
    condition = pl.DataFrame(
        {
            **common,
            "condition_id": [f"c{i}" for i in range(n)],
            "code": ["I10", None, "J45", *[None] * 4],
            "display": [None, None, "Asthma", "NOT NAMED", *[None] * 3],
            "onset": [noon, None, datetime(2019, 1, 1), *[None] * 4],
        }
    )
    allergy = pl.DataFrame(
        {
            **common,
            "allergy_id": [f"a{i}" for i in range(n)],
            "category": ["food", *[None] * 6],
            "code": [None, "9", *[None] * 5],
            "system": [None, "SNOMED-CT", *[None] * 5],
        }
    )
    encounter = pl.DataFrame(
        {"encounter_id": ["e", "f"], "patient_id": keys[:2], "start": [noon, None], "class": ["icu", None]}
    )
    dataset = of(
        patient=patient,
        encounter=encounter,
        observation=seen,
        medication=drug,
        immunization=vaccine,
        condition=condition,
        allergy=allergy,
    )
    exporter = SdtmExporter()
    exporter.write(dataset, tmp_path)
    assert exporter.check(tmp_path) == []
    other = ".csv" if ending == ".json" else ".json"
    for path in (tmp_path / "sdtm").glob(f"*{other}"):
        path.unlink()
    found = SdtmSource().read(tmp_path / "sdtm", origin="generated")
    assert [(one.table, one.column) for one in compare(dataset, found, exporter.losses) if one.n_differ] == []
    assert "unplaced" not in found.provenance.steps[-1].params
