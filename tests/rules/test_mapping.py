# ruff: noqa: E501 - a mapping as it is written
"""Mappings: foreign names and words become clinical ones, rows stay where they were; wrong files are refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import ehrsatz
from ehrsatz.errors import SchemaError
from ehrsatz.rules.check import check
from ehrsatz.rules.mapping import SHIPPED, Mapping, fitting, shipped
from ehrsatz.sources.tables import tables

OURS = """
name: ours
title: A clinic's own tables
tables:
  patient:
    from: Pat
    columns: {patient_id: nr, birth_date: geb, sex: {column: g, values: {w: female, m: male}, others: drop}}
  encounter:
    - {from: ambulant, columns: {encounter_id: fall, patient_id: nr, class: {constant: ambulatory}, start: von, stop: bis}}
    - {from: stationaer, columns: {encounter_id: fall, patient_id: nr, class: {constant: inpatient}, start: von, stop: bis}}
  condition:
    from: diag
    where: {art: [D]}
    columns:
      patient_id: {column: fall, through: {table: stationaer, key: fall, value: nr}}
      encounter_id: fall
      code: icd9
      onset: wann
    systems: {code: ICD-9-CM}
"""


def clinic() -> dict[str, pl.DataFrame]:
    """Return the tables of a clinic: text dates, whole-number keys, a diagnosis by way of its stay."""
    return {
        "PAT": pl.DataFrame({"NR": [1, 2], "GEB": ["1950-02-03", "1980-01-01"], "G": ["w", "?"]}),
        "ambulant": pl.DataFrame(
            {"fall": [10], "nr": [1], "von": ["1949-01-01T10:00:00"], "bis": ["1949-01-01T10:30:00"]}
        ),
        "stationaer": pl.DataFrame(
            {
                "fall": [20, 21],
                "nr": [2.0, 1.0],
                "von": ["2010-01-01 10:00:00", "2010-05-05"],
                "bis": ["2010-01-02", "2010-05-04"],
            }
        ),
        "diag": pl.DataFrame(
            {"fall": [20, 21, 21], "icd9": ["185", "185", "1850x"], "wann": ["2010-01-01"] * 3, "art": ["D", "D", "V"]}
        ),
    }


def test_foreign_tables_are_read_through_a_mapping() -> None:
    found = {one.rule: one for one in check(clinic(), mapping=Mapping.from_yaml(OURS)).broken()}
    assert found["birth.before.encounter"].rows["ambulant"].tolist() == [0]
    assert found["order.encounter"].rows["stationaer"].tolist() == [1]
    assert found["sex.male_cancer"].rows["diag"].tolist() == [1]  # the first is of a patient of unknown sex
    assert found["sex.male_cancer"].n_checked == 1


def test_rows_that_a_part_leaves_out_are_not_checked() -> None:
    data = clinic()
    (form,) = check(data, mapping=Mapping.from_yaml(OURS), rules=["code.form.icd9cm"])
    assert (form.n_checked, form.n_failed) == (2, 0)
    data["diag"] = data["diag"].with_columns(art=pl.lit("D"))
    (form,) = check(data, mapping=Mapping.from_yaml(OURS), rules=["code.form.icd9cm"])
    assert form.rows["diag"].tolist() == [2]


def test_a_mapping_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(OURS, encoding="utf-8")
    assert check(clinic(), mapping=tmp_path / "ours.yaml").mapping == "ours"
    assert check(clinic(), mapping=str(tmp_path / "ours.yaml")).mapping == "ours"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("from: Pat", "form: Pat", "Did you mean 'from'"),
        ("birth_date:", "birthdate:", "Did you mean 'birth_date'"),
        ("  condition:", "  diagnosis:", "Unknown: diagnosis"),
        ("ICD-9-CM", "ICD9CM", "Did you mean 'ICD-9-CM'"),
        ("others: drop", "others: lose", "keep or drop"),
        ("{constant: inpatient}", "{constant: inpatient, column: x}", "a column or a constant"),
        ("value: nr}", "worth: nr}", "Unknown: worth"),
        ("name: ours", "name: ours\nname: mine", "stands twice"),
        ("tables:", "tables: [", "cannot be read"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(old: str, new: str, message: str) -> None:
    assert old in OURS
    with pytest.raises(SchemaError, match=message):
        Mapping.from_yaml(OURS.replace(old, new, 1))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_mappings_are_whole(name: str) -> None:
    one = shipped(name)
    assert one.name == name and one.title
    assert one.tables["patient"][0].columns["patient_id"].column


@pytest.mark.parametrize(("name", "folder"), [("synthea_csv", "synthea_csv"), ("mimic3", "mimic3_demo")])
def test_shipped_mappings_name_what_is_there(name: str, folder: str, data_dir: Path) -> None:
    data = tables(data_dir / folder)
    assert fitting({table: frame.columns for table, frame in data.items()}) is shipped(name)
    columns = {table.casefold(): {column.casefold() for column in frame.columns} for table, frame in data.items()}
    for parts in shipped(name).tables.values():
        for part in parts:
            wanted = {cell.column for cell in part.columns.values() if cell.constant is None} | set(part.where)
            assert {one.casefold() for one in wanted} <= columns[part.table.casefold()], part.table


def test_what_is_known_of_the_synthea_sample_is_found(data_dir: Path) -> None:
    found = {one.rule: one.n_failed for one in ehrsatz.check(data_dir / "synthea_csv").broken("error")}
    assert found["value.protein.impossible"] == 3  # g/L written as g/dL
    assert found["key.dangling.coverage"] == 1267  # claims name a payer where a membership is asked for
    assert found["death.after.encounter"] == 2  # the encounter that certifies the death
    assert not [rule for rule in found if rule.startswith(("birth.", "order.", "stay.", "sex.", "family."))]
