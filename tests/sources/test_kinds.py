"""Kinds, roles, marks for missing and bounds, column by column."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from ehrsatz.errors import SourceError
from ehrsatz.schema import Column
from ehrsatz.sources import codes, dates, spelling, words
from ehrsatz.sources.frame import FrameSource
from ehrsatz.sources.infer import infer


def guess(name: str, cells: list[Any], **others: list[Any]) -> tuple[Column, pl.Series]:
    """Infer one column, beside others of the same table."""
    schema, frames = infer({"t": pl.DataFrame({name: cells, **others}, strict=False)}, name="t")
    return schema.tables[0][name], frames["t"][name]


def cycle(*cells: Any, n: int = 120) -> list[Any]:
    return [cells[i % len(cells)] for i in range(n)]


KINDS = {
    "yes and no": ("htn", cycle("yes", "no", " yes", None), "boolean"),
    "Y and N": ("flag", cycle("Y", "N"), "boolean"),
    "t and f": ("dead", cycle("t", "f", "f"), "boolean"),
    "0 and 1": ("death", cycle("0", "1", "0"), "boolean"),
    "1.0 and 0.0": ("death", cycle("0.0", "1.0", ""), "boolean"),
    "f and m": ("sex", cycle("f", "m"), "category"),
    "1 and 2": ("trt", cycle("1", "2", "2"), "category"),
    "ZIP": ("zip", cycle("02139", "10001", "94110"), "code"),
    "leading zeros": ("ward", cycle("007", "012", "100"), "code"),
    "ICD-9": ("diag_1", cycle("250.83", "428", "V58", "E812", "401"), "code"),
    "ICD-10": ("dx", cycle("E11.9", "I10", "J44.1", "S72.001A"), "code"),
    "three digits without a name": ("weight_lb", cycle("250", "428", "180", "199"), "integer"),
    "numbered categories": ("admission_type_id", cycle(*"11111333226658"), "category"),
    "small unordered codes": ("marital", cycle(*"222345268"), "category"),
    "a count": ("num_visits", cycle(*"0000001112345"), "integer"),
    "falling counts without a name": ("prior", cycle(*"000000001111223"), "integer"),
    "whole floats": ("sbp", cycle("145.0", "120.0", "133.0", ""), "integer"),
    "fractions": ("bmi", cycle("20.5", "31.0", "27.25"), "number"),
    "thousands": ("platelets", cycle("263,358", "162,000", "98,500"), "integer"),
    "decimal commas": ("bmi", cycle("20,5", "31,0", "27,25"), "number"),
    "tabs inside numbers": ("pcv", cycle("\t43", "39", " 41", "52\t"), "integer"),
    "iso dates": ("d", [f"2020-01-{1 + i % 28:02d}" for i in range(120)], "date"),
    "german dates": ("d", [f"{1 + i % 28:02d}.03.2020" for i in range(120)], "date"),
    "date and time": ("d", [f"2020-01-{1 + i % 28:02d} 1{i % 10}:30" for i in range(120)], "datetime"),
    "always midnight": ("d", [f"2020-01-{1 + i % 28:02d} 00:00:00" for i in range(120)], "date"),
    "constant word": ("drug", ["No"] * 120, "category"),
    "constant number": ("x", ["5"] * 120, "integer"),
    "empty": ("x", [None] * 120, "category"),
    "many levels": ("specialty", [f"level {chr(65 + i % 26)}{chr(65 + i % 3)}" for i in range(300)], "category"),
    "notes": ("note", [f"Patient {i} felt well after the visit and left" for i in range(120)], "text"),
    "uuid": ("Id", [f"3edac2e3-d223-6fae-d515-{i:012x}" for i in range(120)], "id"),
    "mail": ("contact", [f"a{i}@example.org" for i in range(120)], "id"),
    "levels with a plus": ("children", cycle("0", "1", "2", "3+", n=200), "category"),
    "big whole numbers": ("serial", [f"123456789012345678{i:04d}" for i in range(120)], "id"),
    "percent": ("sat", cycle("97%", "98.5%", "92%"), "number"),
    "money": ("charges", cycle("$1,200.50", "$300.00", "$12.25"), "number"),
}


@pytest.mark.parametrize("case", list(KINDS))
def test_kind(case: str) -> None:
    name, cells, kind = KINDS[case]
    column, typed = guess(name, cells)
    assert column.kind == kind, column.why
    if case != "empty":
        assert typed.null_count() == sum(cell in {None, ""} for cell in cells)
    assert column.why


@pytest.mark.parametrize(
    ("cells", "n_missing"),
    [
        (cycle("?", "3", "4", "5", "17"), 24),
        (cycle("-9", "3", "4", "5", "17"), 24),
        (cycle("-99", "3.5", "4", "5", "17"), 24),
        (cycle("999", "30", "41", "55", "87"), 24),
        (cycle("N/A", "None", ".", "", "17", "12"), 80),
        (cycle("-9", "0", "1", "1", "1"), 24),
        (cycle("99", "95", "90", "85", "80", "72"), 0),
        (cycle("-1", "0", "1"), 0),
        (cycle("-9", "-8", "-3", "2", "4", "5"), 0),
        (cycle("0", "110", "120", "135"), 0),
    ],
)
def test_marks_for_missing(cells: list[str], n_missing: int) -> None:
    _, typed = guess("x", cells)
    assert typed.null_count() == n_missing


def test_none_is_a_level_where_missing_is_written_otherwise() -> None:
    column, typed = guess("result", cycle("None", "Norm", ">7"), race=cycle("?", "white", "black"))
    assert typed.null_count() == 0 and "kept as a level" in column.why
    _, typed = guess("result", cycle("None", "Norm", ">7"), race=cycle("asian", "white", "black"))
    assert typed.null_count() == 40


def test_ambiguous_dates_follow_the_other_columns() -> None:
    ambiguous = [f"{1 + i % 12:02d}/{1 + i % 11:02d}/2020" for i in range(120)]
    column, _ = guess("seen", ambiguous)
    assert column.format == "%m/%d/%Y" and "could be either way" in column.why
    clear = [f"{13 + i % 15:02d}/{1 + i % 11:02d}/2020" for i in range(120)]
    column, typed = guess("seen", ambiguous, left=clear)
    assert column.format == "%d/%m/%Y" and typed[1] == date(2020, 2, 2) and typed[2] == date(2020, 3, 3)


def test_dates_in_several_ways_and_offsets() -> None:
    mixed = cycle("2020-01-31", "03/13/2021", "14-Feb-2019")
    _, typed = guess("d", mixed)
    assert typed.to_list()[:3] == [date(2020, 1, 31), date(2021, 3, 13), date(2019, 2, 14)]
    column, typed = guess("d", cycle("2020-01-31T10:00:00+02:00", "2020-01-31T10:00:00Z"))
    assert typed.to_list()[:2] == [datetime(2020, 1, 31, 8), datetime(2020, 1, 31, 10)]
    assert "UTC" in column.why


def test_bounds_hide_the_extremes_and_keep_zero() -> None:
    for cells in ([1, 14, 7] * 40, [0.5, 99.25, 3.25] * 40, [-37, 12, 8] * 40, [100, 200, 150] * 40, [5] * 120):
        column, _ = guess("dose", [str(cell) for cell in cells])
        assert column.minimum < min(cells) and column.maximum > max(cells)  # type: ignore[operator]
    column, _ = guess("x", [str(i % 60) for i in range(120)])
    assert column.minimum == 0
    column, _ = guess("p", [str(i / 120) for i in range(121)])
    assert (column.minimum, column.maximum) == (0.0, 1.0)
    column, _ = guess("d", [f"2020-01-{1 + i % 28:02d}" for i in range(120)])
    assert (column.minimum, column.maximum) == ("2019-01-01", "2020-12-31")
    column, _ = guess("d", [f"{1912 + i % 100}-02-{1 + i % 28:02d}" for i in range(300)])
    assert (column.minimum, column.maximum) == ("1910-01-01", "2019-12-31")
    column, _ = guess("d", [f"{1990 + i % 31}-01-01" for i in range(300)])
    assert (column.minimum, column.maximum) == ("1985-01-01", "2024-12-31")


def test_levels_are_listed_only_where_five_subjects_hold_each() -> None:
    column, _ = guess("g", cycle("a", "b"))
    assert column.values == ("a", "b")
    column, _ = guess("g", [*cycle("a", "b", n=96), *["rare"] * 4])
    assert column.values is None and "rare" not in column.why and "fewer than 5" in column.why
    column, _ = guess("g", cycle("a", "b", n=96), patient_id=[str(i // 24) for i in range(96)])
    assert column.values is None  # four patients, many rows


ROLES = {
    "unique id": ({"id": [str(i) for i in range(60)]}, {"id": "key"}),
    "unique patient": ({"patient_id": [f"P{i:03d}" for i in range(60)]}, {"patient_id": "subject"}),
    "repeating id": ({"id": [str(i // 3) for i in range(60)], "x": cycle("1", "7", n=60)}, {"id": "subject"}),
    "encounters": (
        {"encounter_id": [str(7 * i) for i in range(60)], "patient_nbr": [str(i // 2) for i in range(60)]},
        {"encounter_id": "key", "patient_nbr": "subject"},
    ),
    "stay with one row per patient": (
        {
            "patient_id": [str(i) for i in range(60)],
            "admitted": [f"2020-01-{1 + i % 28:02d}" for i in range(60)],
            "discharged": [f"2020-02-{1 + i % 28:02d}" for i in range(60)],
        },
        {"patient_id": "subject", "admitted": "attribute", "discharged": "attribute"},
    ),
    "stays": (
        {
            "patient_id": [str(i // 2) for i in range(60)],
            "birth_date": [f"19{50 + i // 2}-01-01" for i in range(60)],
            "discharge_date": [f"2020-02-{1 + i % 28:02d}" for i in range(60)],
            "admit_date": [f"2020-01-{1 + i % 28:02d}" for i in range(60)],
        },
        {"admit_date": "time", "discharge_date": "end", "birth_date": "attribute"},
    ),
    "visit days": (
        {"id": [str(i // 4) for i in range(80)], "day": [str(30 * (i % 4) + i % 3) for i in range(80)]},
        {"id": "subject", "day": "time"},
    ),
    "measurements": ({"radius": [f"{i}.5" for i in range(60)]}, {"radius": "attribute"}),
}


@pytest.mark.parametrize("case", list(ROLES))
def test_role(case: str) -> None:
    columns, wanted = ROLES[case]
    schema, _ = infer({"t": pl.DataFrame(columns)}, name="t")
    assert {name: schema.tables[0][name].role for name in wanted} == wanted


def test_disclosure() -> None:
    n = 60
    table = pl.DataFrame(
        {
            "patient_id": [str(i) for i in range(n)],
            "first_name": cycle("Ann", "Bob", "Eva", n=n),
            "doctor": [f"Dr {chr(65 + i % 26)}na {chr(65 + i // 3)}mith" for i in range(n)],
            "phone": [f"555-{100 + i}-{2000 + i}" for i in range(n)],
            "age": [str(20 + i % 50) for i in range(n)],
            "sex": cycle("F", "M", n=n),
            "zip": cycle("02139", "10001", n=n),
            "diag": cycle("E11.9", "I10", n=n),
            "hiv": cycle("0", "1", n=n),
            "sodium": [str(130 + i % 15) for i in range(n)],
            "admitted": [f"2020-01-{1 + i % 28:02d}" for i in range(n)],
            "stay_id": [str(100_000 + 37 * i) for i in range(n)],
            "body_mass_index": [str(150 + 3 * i) for i in range(n)],
        }
    )
    schema, _ = infer({"t": table}, name="t")
    assert {column.name: column.disclosure for column in schema.tables[0].columns} == {
        "patient_id": "direct",
        "first_name": "direct",
        "doctor": "direct",
        "phone": "direct",
        "age": "quasi",
        "sex": "quasi",
        "zip": "quasi",
        "diag": "sensitive",
        "hiv": "sensitive",
        "sodium": "none",
        "admitted": "quasi",
        "stay_id": "direct",  # a second record number beside the key
        "body_mass_index": "none",
    }


def test_reasons_hold_no_rare_cell() -> None:
    cells = [*cycle("12", "15", "19", n=99), "secretword"]
    column, typed = guess("dose", cells)
    assert column.kind == "integer" and typed.null_count() == 1
    assert "secretword" not in column.why and column.missing == ("", "<unreadable>")


def test_frames_of_other_libraries() -> None:
    pandas = pytest.importorskip("pandas")
    import pyarrow as pa

    native = pandas.DataFrame(
        {"sex": ["F", "M"] * 30, "n": [1.0, None] * 30, "mixed": [1, "a"] * 30, "when": pandas.Timestamp("2020-01-02")},
        index=pandas.Index(range(60), name="patient_id"),
    )
    data = FrameSource().read(native)
    assert data.schema.tables[0].subject == "patient_id"
    assert {c.name: c.kind for c in data.schema.tables[0].columns} == {
        "patient_id": "integer",
        "sex": "category",
        "n": "integer",
        "mixed": "category",
        "when": "date",
    }
    arrow = FrameSource().read({"t": pa.table({"a": [1.5, 2.5, None], "b": [True, False, True]})})
    assert arrow.table["a"].to_list() == [1.5, 2.5, None] and arrow.schema.tables[0]["b"].kind == "boolean"


def test_arrow_columns_with_equal_cells_are_not_taken_for_equal_names() -> None:
    import pyarrow as pa

    frame = pa.table({"a": ["x", "secretword"] * 30, "b": ["x", "secretword"] * 30})
    assert FrameSource().read(frame).table.columns == ["a", "b"]
    twice = pa.Table.from_arrays([frame["a"], frame["b"]], names=["a", "a"])
    with pytest.raises(SourceError, match="Named more than once: a") as caught:
        FrameSource().read(twice)
    assert "secretword" not in str(caught.value)


def test_pandas_columns_of_every_make() -> None:
    pandas = pytest.importorskip("pandas")
    n = 30
    native = pandas.DataFrame(
        {
            "nullable": pandas.array([1, None, 3] * n, dtype="Int64"),
            "grouped": pandas.Categorical(["u", "v", None] * n),
            "flag": pandas.array([True, None, False] * n, dtype="boolean"),
            "object_flag": pandas.Series([True, None, False] * n, dtype="object"),
            "days": pandas.Series([date(2020, 1, 1), None, date(2021, 3, 4)] * n, dtype="object"),
            "zoned": pandas.to_datetime(["2020-01-01 10:00+02:00", None, "2020-01-03 11:30+02:00"] * n),
            "mixed": [1, "x", 2.5] * n,
            "huge": [2**70, 1, 2] * n,
            7: ["a", "b", "c"] * n,
        }
    )
    data = FrameSource().read(native)
    assert {c.name: c.kind for c in data.schema.tables[0].columns} == {
        "nullable": "category",
        "grouped": "category",
        "flag": "boolean",
        "object_flag": "boolean",
        "days": "date",
        "zoned": "datetime",
        "mixed": "category",
        "huge": data.schema.tables[0]["huge"].kind,
        "7": "category",
    }
    assert data.table["nullable"].to_list()[:3] == ["1", None, "3"]
    assert data.table["zoned"].to_list()[:2] == [datetime(2020, 1, 1, 8), None]
    with pytest.raises(SourceError, match="of type list"):
        FrameSource().read({"t": [1, 2]})


def test_check_digits() -> None:
    counts = pl.Series([1] * 5)
    loinc = pl.Series(["8302-2", "29463-7", "39156-5", "72514-3", "2160-0"])
    assert codes.find("x", loinc, counts).system == "LOINC"  # type: ignore[union-attr]
    assert codes.find("x", pl.Series(["8302-3", "29463-8", "39156-6", "72514-4", "2160-1"]), counts) is None
    snomed = pl.Series(["185345009", "410620009", "185347001", "162673000", "195662009"])
    assert codes.find("code", snomed, counts).system == "SNOMED CT"  # type: ignore[union-attr]


def test_words_and_spellings() -> None:
    assert words.tokens("patientunitstayid") == ("patient", "unit", "stay", "id")
    assert words.tokens("thyroid") == ("thyroid",)
    assert words.is_person_key(words.tokens("SUBJECT_ID")) and not words.is_person_key(
        words.tokens("patientunitstayid")
    )
    for style, texts, numbers in (
        ("$,", ["$1,200.50", "$3"], [1200.5, 3.0]),
        ("0.000,0", ["1.200,5", "3,5"], [1200.5, 3.5]),
        (None, ["1e3", "-.5", "0x1", "1_0", "nan", "inf"], [1000.0, -0.5, None, None, None, None]),
    ):
        assert spelling.numbers(pl.Series(texts), style).to_list() == numbers
    assert dates.parse(pl.Series(["2020-02-30", "2020-02-29"]), None).to_list() == [None, datetime(2020, 2, 29)]
