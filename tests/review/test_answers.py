"""Answers read back: spellings and separators that people use, and every fault by its line, never by its text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ehrsatz.errors import DataError, ScenarioError
from ehrsatz.review.answers import Answer, Key, read_answers, read_key

RECORDS = {f"R{i:03d}": {"is": "synthetic" if i % 2 else "planted"} for i in range(1, 7)}
KEY = Key("abc123", "planted", ("plausible", "erroneous"), RECORDS)
GOOD = [("R001", "plausible", "5", "fine"), ("R002", "erroneous", "", "")] + [
    (f"R00{i}", "plausible", "3", "") for i in range(3, 7)
]
SECRET = "SECRET123"


def write(path: Path, rows: list[tuple[str, ...]], *, mark: str = ",", head: str = "record,answer,confidence,remark"):
    lines = [head.replace(",", mark), *(mark.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_answers_come_back(tmp_path: Path) -> None:
    found = read_answers(write(tmp_path / "a.csv", list(reversed(GOOD))), KEY)
    assert list(found) == list(RECORDS)  # in the order of the key, whatever that of the file
    assert found["R001"] == Answer("plausible", 5, "fine")
    assert found["R002"] == Answer("erroneous")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_separators_and_marks_of_spreadsheets(mark: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD, mark=mark)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_answers(path, KEY)) == 6


def test_windows_spelling(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", GOOD, mark=";")
    path.write_bytes(path.read_bytes().replace(b"fine", "müde".encode("cp1252")))
    assert read_answers(path, KEY)["R001"].remark == "müde"


def test_short_and_capital_answers(tmp_path: Path) -> None:
    rows = [(name, "P" if i % 2 else "Erroneous", "", "") for i, name in enumerate(RECORDS)]
    assert {one.answer for one in read_answers(write(tmp_path / "a.csv", rows), KEY).values()} == set(KEY.answers)


def test_the_sheet_s_own_columns_do_not_mislead(tmp_path: Path) -> None:
    """A data column may be called "answer" too: the first of the two counts."""
    rows = [(*row, "other") for row in GOOD]
    path = write(tmp_path / "a.csv", rows, head="record,answer,confidence,remark,answer")
    assert read_answers(path, KEY)["R001"].answer == "plausible"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (GOOD[:4], "records R005, R006 on the sheet, but not in the file"),
        ([*GOOD, ("R999", "plausible", "", "")], "line 8 about a record that is not on the sheet"),
        ([*GOOD, GOOD[0], GOOD[1]], "lines 8, 9 about a record that was answered before"),
        ([*GOOD[:5], ("R006", SECRET, "", "")], "line 7 with an answer other than plausible or erroneous"),
        ([*GOOD[:5], ("R006", "", "", "")], "line 7 without an answer"),
        ([*GOOD[:5], ("R006", "plausible", "9", "")], "line 7 with a confidence other than 1 to 5"),
        ([], "records R001, R002, R003, R004, R005, R006"),
    ],
)
def test_faults_are_told_by_position(rows: list[tuple[str, ...]], told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_answers(write(tmp_path / "a.csv", rows), KEY)
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    rows = [("R001", SECRET, "", ""), ("R777", "plausible", "", ""), ("R002", "plausible", "0", "")]
    with pytest.raises(DataError) as caught:
        read_answers(write(tmp_path / "a.csv", rows), KEY)
    assert len(caught.value.problems) == 4


def test_partial_sheets_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [*GOOD[:2], ("R003", "", "", "")])
    with pytest.raises(DataError):
        read_answers(path, KEY)
    assert list(read_answers(path, KEY, partial=True)) == ["R001", "R002"]
    with pytest.raises(DataError, match="not on the sheet"):
        read_answers(write(tmp_path / "b.csv", [("R777", "plausible", "", "")]), KEY, partial=True)
    with pytest.raises(DataError, match="no record has an answer"):
        read_answers(write(tmp_path / "c.csv", []), KEY, partial=True)


def test_another_sheet_s_answers_are_refused(tmp_path: Path) -> None:
    rows = [("other", *row) for row in GOOD]
    with pytest.raises(DataError, match="another sheet"):
        read_answers(write(tmp_path / "a.csv", rows, head="sheet,record,answer,confidence,remark"), KEY)


def test_files_that_are_no_answers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("recrod,answer\nR001,plausible\n")
    with pytest.raises(DataError, match="lacks record"):
        read_answers(tmp_path / "a.csv", KEY)
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(DataError, match="lacks record and answer"):
        read_answers(tmp_path / "b.csv", KEY)
    with pytest.raises(DataError, match="not there"):
        read_answers(tmp_path / "c.csv", KEY)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"format": 1, "mode": "planted", "answers": ["a", "b"], "sheet": "x", "records": {}}']
)
def test_files_that_are_no_key(text: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(ScenarioError, match="answer key"):
        read_key(tmp_path / "key.json")


def test_the_key_that_draw_wrote(tmp_path: Path) -> None:
    from conftest import make_tidy
    from ehrsatz.review.sheet import draw

    sheet = draw(make_tidy(), n=20, seed=1)
    (tmp_path / "key.json").write_text(json.dumps(sheet.key))
    key = read_key(tmp_path / "key.json")
    assert key.answers == ("plausible", "erroneous")
    assert len(key.records) == 20
