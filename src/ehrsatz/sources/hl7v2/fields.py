"""Cells out of HL7 fields: components, times, numbers, words, and text without its escapes.

References
----------
HL7 Version 2.5.1, chapter 2, section 2.7 (escape sequences); chapter 2A (TS, CE, CX, XCN).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import polars as pl

from ehrsatz.terminology.hl7v2 import CONTROLS, DELIMITERS, OTHER_TAGS, SYSTEMS, turned

TAGS = {**OTHER_TAGS, **turned(SYSTEMS)}
DELETED = '""'
_SIGNS = {**{code: sign for sign, code in (*DELIMITERS.items(), *CONTROLS.items())}, "\\.br\\": "\n"}
_RARE = r"\\(?:X[0-9A-Fa-f]+|H|N|\.(?:sp|in|ti|fi|nf|ce|sk)[^\\]*|[CMZ][^\\\s]+)\\"


def field(number: int) -> pl.Expr:
    """Return a field of the row's segment; null where it is empty."""
    return known(pl.col("f").list.get(number, null_on_oob=True))


def known(cell: pl.Expr) -> pl.Expr:
    """Return null for an empty text."""
    return pl.when(cell != "").then(cell)


def part(cell: pl.Expr, number: int, sign: str = "^") -> pl.Expr:
    """Return the component (or with another sign subcomponent, repetition) of this number, from 1 on."""
    return known(cell.str.split(sign).list.get(number - 1, null_on_oob=True))


def first(cell: pl.Expr) -> pl.Expr:
    """Return what stands before the first separator of any kind."""
    return known(cell.str.extract(r"^([^~^&]*)"))


def coded(cell: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return code, display and code system of a CE or CWE in its first repetition."""
    once = part(cell, 1, "~")
    return part(once, 1), part(once, 2), system(part(once, 3))


def system(tag: pl.Expr) -> pl.Expr:
    """Return the name that the clinical schema has for a code system of table 0396; others as they are."""
    return tag.replace(TAGS)


def codes_of(cell: pl.Expr) -> list[pl.Expr]:
    """Return code, display and system of a coded field as columns; LOINC where it is the alternate."""
    code, display, tag = coded(cell)
    once = part(cell, 1, "~")
    other = (part(once, 6) == "LN").fill_null(False) & (tag != "LOINC").fill_null(True)
    return [
        pl.when(other).then(part(once, 4)).otherwise(code).alias("code"),
        pl.when(other).then(pl.coalesce(part(once, 5), display)).otherwise(display).alias("display"),
        pl.when(other).then(pl.lit("LOINC")).otherwise(tag).alias("system"),
    ]


def with_codes(frame: pl.DataFrame, cell: pl.Expr) -> pl.DataFrame:
    """Add code, display and system of a coded field, taking apart each distinct one once."""
    keyed = frame.with_columns(cell.alias("(coded)"))
    distinct = keyed.select("(coded)").drop_nulls().unique()
    parts = distinct.select("(coded)", *codes_of(pl.col("(coded)")))
    return keyed.join(parts, on="(coded)", how="left", maintain_order="left").drop("(coded)")


def number(cell: pl.Expr) -> pl.Expr:
    """Return type NM as a number; null where it is none."""
    return cell.cast(pl.Float64, strict=False)


def time(cell: pl.Expr) -> pl.Expr:
    """Return type TS or DTM, from the year alone to the fraction of a second; an offset is left out.

    Missing parts are the first of their kind: month and day 1, midnight.
    """
    digits = cell.str.extract(r"^(\d{4,14})")
    padded = pl.concat_str(digits, pl.lit("0101000000").str.slice((digits.str.len_chars() - 4).cast(pl.Int64)))
    whole = padded.str.strptime(pl.Datetime("us"), "%Y%m%d%H%M%S", strict=False)
    fraction = cell.str.extract(r"^\d{14}\.(\d{1,6})")
    micro = fraction.str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    return whole + pl.duration(microseconds=micro)


def date(cell: pl.Expr) -> pl.Expr:
    """Return the date of type DT or TS."""
    return time(cell).dt.date()


def word(cell: pl.Expr, words: Mapping[str, str]) -> pl.Expr:
    """Return the schema's word for a code of an HL7 table; a code that has none stays, to be counted."""
    return cell.replace(turned(dict(words)))


def finished(frame: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
    """Return a frame of cells without escapes; what was deleted ('""') is null."""
    columns = []
    for column in frame.iter_columns():
        if column.dtype != pl.String:
            continue
        cells = column
        if cells.eq(DELETED).any():
            cells = cells.replace({DELETED: None})
        if cells.str.contains("\\", literal=True).any():
            cells = _unescaped(cells, left)
        if cells is not column:
            columns.append(cells)
    return frame.with_columns(columns) if columns else frame


def _unescaped(cells: pl.Series, left: Counter[str]) -> pl.Series:
    """Take out escapes; rare ones one by one, as each has a meaning of its own."""
    plain = cells.str.replace_many(list(_SIGNS), list(_SIGNS.values()))
    slow = cells.filter(cells.str.contains(_RARE).fill_null(False)).unique()
    if not slow.len():
        return plain
    meant = {text: _decoded(text, left) for text in slow.to_list()}
    whole = pl.DataFrame({"cell": cells, "plain": plain})
    return (
        whole.select(pl.coalesce(pl.col("cell").replace_strict(meant, default=None), "plain"))
        .to_series()
        .alias(cells.name)
    )


def _decoded(text: str, left: Counter[str]) -> str:
    def meaning(found: re.Match[str]) -> str:
        token = found[1]
        whole = f"\\{token}\\"
        if whole in _SIGNS:
            return _SIGNS[whole]
        if token[0] == "X":
            return bytes.fromhex(token[1:] if len(token) % 2 else token[1:] + "0").decode("utf-8", "replace")
        if token in {"H", "N"}:
            return ""
        if token.startswith("."):
            return "\n" if token[1:3] in {"sp", "br", "ce"} else ""
        left["escape sequences of other kinds"] += 1
        return found[0]

    return re.sub(r"\\([^\\\s]{1,4000})\\", meaning, text)
