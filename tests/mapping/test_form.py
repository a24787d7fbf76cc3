"""Mapping files: what is refused before any row is read, and what of rows is told by count and place alone."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.errors import DataError, SchemaError, UnsupportedError
from ehrsatz.mapping.apply import check_export, exported, imported
from ehrsatz.mapping.form import Mapping

OUT = "export:\n  tables:\n    people:\n      from: patient\n      columns:\n        id: patient_id\n"
IN = "import:\n  tables:\n    patient:\n      from: people\n      columns:\n        patient_id: id\n"
TWO = "export:\n  tables:\n    t:\n    - {}\n    - {}\n"
EMPTY = {table.name: loose.fill(table, None) for table in loose.schema().tables}
PEOPLE = pl.DataFrame(
    {"id": [7, 8, 8], "sex": ["F", "M", "?"], "born": ["1.2.1970", "soon", None], "ward": ["a", "b", "b"]}
)


def brought(text: str, **tables: pl.DataFrame) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    left: Counter[str] = Counter()
    found = imported(Mapping.from_yaml(text), {"people": PEOPLE, **tables}, left)
    return found, {name: n for name, n in left.items() if n}


@pytest.mark.parametrize(
    "text, message",
    [
        ("export: [", "The text cannot be read at line 1"),
        ("export:\n  tables: {}\nexport: 1", "stands twice in one mapping, the second time at line 3"),
        ("- a", "Expected 'the mapping file' to be a mapping of names"),
        ("name: x", "Expected a section 'export' or 'import'"),
        (OUT.replace("export:", "exprot:"), "'exprot' is none of them. Did you mean 'export'?"),
        ("export:", "Expected 'export' to be a mapping of names. It is missing"),
        ("export:\n  tables: {}", "Expected tables in 'export.tables'"),
        (OUT.replace("tables:", "format: xls\n  tables:"), "Expected 'export.format' to be one of: csv, parquet"),
        (OUT.replace("tables:", "delimiter: '||'\n  tables:"), "Expected 'export.delimiter' to be one character"),
        (OUT.replace("from: patient", "from: patients"), "'patients' is none of them. Did you mean 'patient'?"),
        (OUT.replace("from: patient", "form: patient"), "'form' is none of them. Did you mean 'from'?"),
        (OUT.replace("      from: patient\n", ""), "Expected 'export.tables.people.from' to name the table"),
        (OUT.replace("id: patient_id", "id: patient_id +"), "as 'export.tables.people.columns.id'. At character 13"),
        (OUT.replace("id: patient_id", "id: [1]"), "Expected an expression as 'export.tables.people.columns.id'"),
        (OUT.replace("id: patient_id", "id: {words: {a: b}}"), "as 'export.tables.people.columns.id.value'"),
        (OUT.replace("id: patient_id", "id: {value: sex, wrods: {a: b}}"), "Did you mean 'words'?"),
        (OUT.replace("id: patient_id", "id: {value: sex, words: {no: b}}"), "Put it between quotes"),
        (
            OUT.replace("id: patient_id", "id: {value: sex, others: drop}"),
            "Expected 'export.tables.people.columns.id.words'",
        ),
        (OUT.replace("id: patient_id", "id: {value: sex, words: {a: b}, others: dorp}"), "Did you mean 'drop'?"),
        (OUT.replace("id: patient_id", "no: patient_id"), "Put it between quotes"),
        (IN.replace("patient:", "patients:"), "'patients' is none of them. Did you mean 'patient'?"),
        (IN.replace("patient_id: id", "patientid: id"), "'patientid' is none of them. Did you mean 'patient_id'?"),
        (IN.replace("tables:", "links: {people: ward}\n  tables:"), "Expected 'import.links.people' as TABLE.COLUMN"),
        (
            IN.replace("patient:\n      from: people\n      columns:\n        patient_id: id", "patient: []"),
            "The list is empty",
        ),
        (
            TWO.format("{from: patient, columns: {a: sex}}", "{from: patient, columns: {b: sex}}"),
            "Expected the same columns in every entry of 'export.tables.t'",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Mapping.from_yaml(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "cell, message",
    [
        ("birth", "'patient' has no column 'birth'"),
        ("famly_name", "Did you mean 'family_name'?"),
        ("lower(birth_date)", "as 'export.tables.people.columns.id'. At character 7 of it: it is a day"),
        ("encounter.start", "'patient' has no link 'encounter'"),
        ("min(encounter.strat)", "'encounter' has no column 'strat'. Did you mean 'start'?"),
        ("{value: birth_date, words: {a: b}}", "it is a day, and words are texts"),
    ],
)
def test_an_export_is_checked_against_the_clinical_tables_before_any_row(cell: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_export(Mapping.from_yaml(OUT.replace("id: patient_id", f"id: {cell}")))
    assert message in str(caught.value)


def test_tables_of_patients_and_others_do_not_mix() -> None:
    text = TWO.format("{from: patient, columns: {a: city}}", "{from: organization, columns: {a: city}}")
    with pytest.raises(SchemaError, match="all of patients, or all of none"):
        check_export(Mapping.from_yaml(text))


def test_entries_of_other_kinds_do_not_mix() -> None:
    text = TWO.format("{from: patient, columns: {a: city}}", "{from: patient, columns: {a: income}}")
    with pytest.raises(SchemaError, match=r"cells of one kind in 'export.tables.t.columns.a'"):
        check_export(Mapping.from_yaml(text))


@pytest.mark.parametrize("text, section", [(OUT, "import"), (IN, "export")])
def test_the_other_direction_is_refused(text: str, section: str) -> None:
    mapping = Mapping.from_yaml(text)
    with pytest.raises(UnsupportedError, match=f"Expected a section '{section}'"):
        if section == "import":
            imported(mapping, {"people": PEOPLE}, Counter())
        else:
            exported(mapping, EMPTY, patients=True, world=True)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"'no.yaml' cannot be read"):
        Mapping.from_file(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: M\xfcller")
    with pytest.raises(SchemaError, match="in UTF-8"):
        Mapping.from_file(tmp_path / "latin.yaml")


# ---------------------------------------------------------------------- rows
def test_what_is_taken_and_what_is_counted() -> None:
    text = IN + (
        "        birth_date: date(born, '%d.%m.%Y')\n"
        "        sex: {value: sex, words: {F: female, M: male}, others: drop}\n"
        "        city: \"'Ulm'\"\n      where: id < 9\n      one_per: id\n"
    )
    found, left = brought(text, notes=pl.DataFrame({"t": ["a", "b"]}))
    assert found["patient"].to_dict(as_series=False) == {
        "patient_id": ["7", "8"],
        "birth_date": [date(1970, 2, 1), None],
        "sex": ["female", "male"],
        "city": ["Ulm", "Ulm"],
    }
    assert left == {
        "import.tables.patient.columns.birth_date: cells of another kind": 1,
        "people.ward: named by no expression": 3,
        "table notes: named by no expression": 2,
    }


def test_words_that_are_not_listed_are_refused_or_kept_as_the_file_says() -> None:
    cell = "        sex: {value: sex, words: {F: female, M: male}}\n"
    with pytest.raises(DataError) as caught:
        brought(IN + cell)
    assert "import.tables.patient.columns.sex (1 cells)" in str(caught.value) and "?" not in str(caught.value)
    found, _ = brought(IN + cell.replace("}}", "}, others: keep}"))
    assert found["patient"]["sex"].to_list() == ["female", "male", "?"]


@pytest.mark.parametrize(
    "cell, message",
    [
        ("birth_date: born", "it is a text, and patient.birth_date holds a day. Convert it, as date(x, '%d.%m.%Y')"),
        ("income: sex", "it is a text, and patient.income holds a number. Convert it, as number(x)"),
        ("sex: number(id)", "it is a number, and patient.sex holds a text. Convert it, as text(x)"),
        ("city: wards.name", "'people' has no link 'wards'"),
        ("city: wrad", "'people' has no column 'wrad'. Did you mean 'ward'?"),
    ],
)
def test_an_import_says_which_column_and_how_to_convert(cell: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        brought(f"{IN}        {cell}\n")
    assert message in str(caught.value)


def test_a_table_that_is_not_there_and_one_in_other_letters() -> None:
    with pytest.raises(SchemaError, match=r"'import.tables.patient.from' to name a table .* Did you mean 'people'"):
        brought(IN.replace("from: people", "from: poeple"))
    found, _ = brought(IN.replace("from: people", "from: PEOPLE").replace("patient_id: id", "patient_id: ID"))
    assert found["patient"]["patient_id"].to_list() == ["7", "8", "8"]


def test_links_are_stated_in_the_file_and_may_not_multiply_rows() -> None:
    text = IN.replace("tables:", "links: {people.ward: wards.key}\n  tables:", 1) + "        city: ward.name\n"
    wards = pl.DataFrame({"key": ["a", "b"], "name": ["north", "south"]})
    found, _ = brought(text, wards=wards)
    assert found["patient"]["city"].to_list() == ["north", "south", "south"]
    with pytest.raises(SchemaError, match="it would multiply rows: 2 rows of 'wards' repeat a cell of 'key'"):
        brought(text, wards=pl.concat([wards, wards]))
    with pytest.raises(SchemaError, match="'wards' has no column 'key'"):
        brought(text, wards=wards.rename({"key": "number"}))
    with pytest.raises(SchemaError, match="There is no table 'wards'"):
        brought(text)


def test_a_ring_of_links_ends_where_the_path_ends() -> None:
    text = IN.replace("tables:", "links: {people.ward: wards.key, wards.key: people.ward}\n  tables:", 1)
    wards = pl.DataFrame({"key": ["a", "b"], "name": ["north", "south"]})
    people = PEOPLE[:2]
    found, _ = brought(text + "        city: ward.key.ward.name\n", wards=wards, people=people)
    assert found["patient"]["city"].to_list() == ["north", "south"]


def test_several_tables_make_one() -> None:
    text = (
        "import:\n  tables:\n    condition:\n"
        "    - {from: people, columns: {condition_id: \"concat('a', row())\", code: ward}}\n"
        "    - {from: more, columns: {condition_id: \"concat('b', row())\", display: text}}\n"
    )
    found, _ = brought(text, more=pl.DataFrame({"text": ["x"]}))
    assert found["condition"]["condition_id"].to_list() == ["a1", "a2", "a3", "b1"]
    assert found["condition"]["display"].to_list() == [None, None, None, "x"]
