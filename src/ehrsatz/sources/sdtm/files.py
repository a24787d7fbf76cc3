"""Datasets of a study in a folder: Dataset-JSON v1.1, its line-by-line variant, and CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz.errors import DataError, SourceError
from ehrsatz.layouts.datasetjson import stream

SUFFIXES = (".json", ".ndjson", ".csv")  # the first that a dataset has is read: they say the same
_NAME = re.compile(r"(?P<stem>[a-z][a-z0-9]{1,7}?)(-(?P<part>\d{5,9}))?")
_KINDS: dict[str, Any] = {"integer": pl.Float64, "float": pl.Float64, "double": pl.Float64, "decimal": pl.Float64}
BATCH = 50_000  # rows turned into columns at a time
_AGAIN = "Make or copy it again."


def datasets(folder: Path) -> dict[str, dict[int | None, Path]]:
    """Return name of a dataset in lower case -> number of the split, or None -> its file."""
    found: dict[str, dict[int | None, Path]] = {}
    for suffix in SUFFIXES:
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.stem.lower())
            if path.suffix.lower() == suffix and match and path.is_file():
                number = None if match["part"] is None else int(match["part"])
                found.setdefault(match["stem"], {}).setdefault(number, path)
    return found


def names_of(path: Path) -> list[str]:
    """Return the variables of a dataset from the first bytes of its file; none where it is of another kind."""
    try:
        with path.open("rb") as file:
            start = file.read(65_536).decode("utf-8-sig", errors="replace")
    except OSError:
        return []
    if path.suffix.lower() == ".csv":
        return [name.strip().strip('"').upper() for name in start.partition("\n")[0].split(",")]
    return re.findall(r'"name"\s*:\s*"([A-Za-z0-9_]+)"', start)


def read(path: Path) -> pl.DataFrame:
    """Return a dataset with variables in capitals; numbers as floats, all else as text.

    Raises
    ------
    SourceError
        When the file is damaged, or of another version of the format.
    DataError
        When cells are of another kind than the file says.
    """
    frame = _from_csv(path) if path.suffix.lower() == ".csv" else _from_json(path)
    frame = frame.rename({name: name.strip().upper() for name in frame.columns})
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in texts)


def _from_csv(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError):
        raise SourceError(f"Expected to read '{path.name}' as CSV.", "It is damaged.", _AGAIN) from None


def _from_json(path: Path) -> pl.DataFrame:
    rows = _lines(path) if path.suffix.lower() == ".ndjson" else _values(path)
    head = next(rows, None)
    if not isinstance(head, dict):
        raise SourceError(f"Expected '{path.name}' to describe its dataset first.", "It does not.", _AGAIN)
    version = str(head.get("datasetJSONVersion", ""))
    if not version.startswith("1.1"):
        raise SourceError(
            f"Expected Dataset-JSON of version 1.1 in '{path.name}'.",
            "It is of another version."
            if version
            else "It names no version: it is of version 1.0, or no Dataset-JSON.",
            "Convert it to version 1.1, or to CSV.",
        )
    columns = head.get("columns")
    if not isinstance(columns, list) or not all(isinstance(one, dict) and "name" in one for one in columns):
        raise SourceError(
            f"Expected the columns of '{path.name}' to be described before its rows.", "They are not.", _AGAIN
        )
    frames = [_frame(path, columns, [])]
    while batch := list(islice(rows, BATCH)):
        frames.append(_frame(path, columns, batch))
    whole = pl.concat(frames)
    if isinstance(head.get("records"), int) and head["records"] != whole.height:
        raise SourceError(
            f"Expected {head['records']:,} records in '{path.name}'.",
            f"It holds {whole.height:,}: it is cut off.",
            _AGAIN,
        )
    return whole


def _frame(path: Path, columns: list[dict[str, Any]], rows: list[Any]) -> pl.DataFrame:
    if any(not isinstance(row, list) or len(row) != len(columns) for row in rows):
        raise SourceError(
            f"Expected {len(columns)} cells in every record of '{path.name}'.", "Some have another number.", _AGAIN
        )
    cells = list(zip(*rows)) if rows else [()] * len(columns)
    kinds = [_KINDS.get(str(one.get("dataType")), pl.String) for one in columns]
    try:
        return pl.DataFrame(
            [
                pl.Series(str(one["name"]), cell, dtype=kind, strict=kind == pl.String)
                for one, cell, kind in zip(columns, cells, kinds)
            ]
        )
    except (TypeError, pl.exceptions.PolarsError):
        raise DataError(
            f"Expected the cells of '{path.name}' in the kinds that its columns name.",
            "Some are of another kind.",
            "Correct the file, or its description.",
        ) from None


def _values(path: Path) -> Iterator[Any]:
    try:
        yield from stream(path)
    except (ValueError, OSError):
        raise SourceError(f"Expected to read '{path.name}' as JSON.", "It is damaged or cut off.", _AGAIN) from None


def _lines(path: Path) -> Iterator[Any]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                number += 1
                if line.strip():
                    yield json.loads(line)
    except (ValueError, OSError):
        raise SourceError(
            f"Expected a JSON value in every line of '{path.name}'.", f"Line {number} is none.", _AGAIN
        ) from None
