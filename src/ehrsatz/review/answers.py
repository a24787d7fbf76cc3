"""Read back what experts answered: one CSV per rater, checked against the answer key.

Answers are told from one another by their position in the file, never by what was written: a remark may hold anything.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ehrsatz.errors import DataError, ScenarioError, nearest
from ehrsatz.review.sheet import FORMAT
from ehrsatz.scenario import read_text

MOST_LISTED = 8
NEEDED = ("record", "answer")


@dataclass(frozen=True)
class Answer:
    """What one rater says of one record: an answer of the sheet's two, 1 to 5 for how sure, a remark."""

    answer: str
    confidence: int | None = None
    remark: str = ""


@dataclass(frozen=True)
class Key:
    """The answer key of a sheet.

    Parameters
    ----------
    sheet
        Short hash of the sheet.
    mode
        "planted" or "real".
    answers
        What a rater may say: the word for a sound record first.
    records
        Record -> what it is ("synthetic", "real" or "planted"), and for planted errors which and where.
    """

    sheet: str
    mode: str
    answers: tuple[str, str]
    records: Mapping[str, Mapping[str, Any]]


def read_key(path: str | Path) -> Key:
    """Read the answer key that `draw` gave.

    Raises
    ------
    ScenarioError
        When the file cannot be read, or is no key.
    """
    try:
        data = json.loads(read_text(path, "an answer key"))
        told, records = data["answers"], data["records"]
        sound = (
            data["format"] == FORMAT
            and data["mode"] in {"planted", "real"}
            and len(told) == 2
            and isinstance(records, dict)
            and bool(records)
            and all(one["is"] in {"synthetic", "real", "planted"} for one in records.values())
        )
        if not sound:
            raise ValueError("no key")
        return Key(str(data["sheet"]), data["mode"], (str(told[0]), str(told[1])), records)
    except ScenarioError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ScenarioError(
            "Expected the answer key of a sheet, as `ehrsatz review draw` writes it.",
            "The file holds something else.",
            "Name key.json of the sheet that was read.",
        ) from None


def read_answers(path: str | Path, key: Key, *, partial: bool = False) -> dict[str, Answer]:
    """Read one rater's answers.

    Parameters
    ----------
    path
        CSV with the columns record and answer, and where there are any confidence, remark and sheet; separated by
        comma, semicolon or tab.
    key
        Of the sheet that was answered.
    partial
        Take a sheet on which some records were left unanswered.

    Returns
    -------
    Record -> answer, in the order of the key.

    Raises
    ------
    DataError
        With every problem by line: records that are missing, unknown or answered twice, answers that are neither of
        the two, confidence that is no number from 1 to 5, another sheet's rows.
    """
    rows, name = _rows(path), Path(path).name
    problems, found, lines = [], {}, {}
    words = {word.casefold(): word for word in key.answers} | {word[0].casefold(): word for word in key.answers}
    bad: dict[str, list[int]] = {}
    for line, row in rows:
        record = (row.get("record") or "").strip()
        if not any((cell or "").strip() for cell in row.values()):
            continue
        if (row.get("sheet") or key.sheet).strip() != key.sheet:
            bad.setdefault("of another sheet than the key", []).append(line)
        elif record not in key.records:
            bad.setdefault("about a record that is not on the sheet", []).append(line)
        elif record in lines:
            bad.setdefault("about a record that was answered before", []).append(line)
        else:
            lines[record] = line
            text, sure = (row.get("answer") or "").strip().casefold(), (row.get("confidence") or "").strip()
            if text and text not in words:
                bad.setdefault(f"with an answer other than {' or '.join(key.answers)}", []).append(line)
            elif sure and sure not in {"1", "2", "3", "4", "5"}:
                bad.setdefault("with a confidence other than 1 to 5", []).append(line)
            elif text:
                found[record] = Answer(words[text], int(sure) if sure else None, (row.get("remark") or "").strip())
            elif not partial:
                bad.setdefault("without an answer", []).append(line)
    problems += [f"{_listed(places, 'line', 'lines')} {what}" for what, places in bad.items()]
    absent = [record for record in key.records if record not in lines]
    if absent and not partial:
        problems.append(f"{_listed(absent, 'record', 'records')} on the sheet, but not in the file")
    if not found and not problems:
        problems.append("no record has an answer")
    if problems:
        raise DataError(
            f"Expected one answer to each of the {len(key.records)} records of sheet {key.sheet}.",
            f"'{name}' has {len(problems)} problem{'s' if len(problems) > 1 else ''}.",
            "Ask the rater to complete the file; --partial takes one with records left unanswered.",
            problems=problems,
        )
    return {record: found[record] for record in key.records if record in found}


def _listed(places: Sequence[Any], one: str, many: str) -> str:
    shown = ", ".join(str(place) for place in places[:MOST_LISTED])
    more = f" and {len(places) - MOST_LISTED} more" if len(places) > MOST_LISTED else ""
    return f"{one if len(places) == 1 else many} {shown}{more}"


def _rows(path: str | Path) -> list[tuple[int, dict[str, str]]]:
    """Read the lines of a CSV as mappings, each with the number of its line."""
    text = _text(path).removeprefix("\ufeff")
    head = text.partition("\n")[0]
    mark = max((",", ";", "\t"), key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    names: list[str] = []
    out = []
    try:
        for cells in reader:
            if not names:
                names = [cell.strip().casefold() for cell in cells]
                _check_head(names, path)
            else:
                out.append(
                    (reader.line_num, dict(reversed(list(zip(names, cells)))))
                )  # the first of two columns counts
    except csv.Error:
        raise DataError(
            "Expected answers as CSV.",
            f"'{Path(path).name}' cannot be read at line {reader.line_num}.",
            "Save it as CSV again.",
        ) from None
    if not names:
        _check_head(names, path)
    return out


def _check_head(names: Sequence[str], path: str | Path) -> None:
    lacking = [one for one in NEEDED if one not in names]
    if lacking:
        raise DataError(
            "Expected a first line with the columns record and answer.",
            f"'{Path(path).name}' lacks {' and '.join(lacking)}.{nearest(lacking[0], names)}",
            "Use the file that the sheet saves, or sheet.csv.",
        )


def _text(path: str | Path) -> str:
    """Read text as UTF-8, as UTF-16 where its mark says so, else as Windows writes it."""
    try:
        raw = Path(path).read_bytes()
    except OSError:
        raise DataError(
            f"Expected a file of answers at '{path}'.", "It is not there, or cannot be read.", "Check the path."
        ) from None
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    if "\0" in text:
        raise DataError(
            "Expected answers as CSV.", f"'{Path(path).name}' is no text.", "Save it as CSV in UTF-8 again."
        )
    return text
