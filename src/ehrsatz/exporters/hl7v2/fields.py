"""Cells as HL7 writes them: escaped text, numbers without exponents, times, and the composite types CE, CX, XCN, PL.

All of it are expressions over whole columns. `plain` turns the cells of a dataset into escaped text once, so that
nothing later needs to think of it; an absent cell stays null and is skipped where texts are joined.

References
----------
HL7 Version 2.5.1, chapter 2, section 2.7 (escape sequences), chapter 2A (data types).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import polars as pl

from ehrsatz import loose
from ehrsatz.terminology.hl7v2 import BREAK, CONTROLS, DELIMITERS, LOCAL, SENDER, SYSTEMS

SPECIAL = r"[\\|^&~\x00-\x1f\x7f]"
LINES = ("report", "text")  # the column that is sent as formatted text
NULL = '""'  # means in HL7: delete what you have


def plain(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return tables with every text escaped and every number as text; dates and times stay what they are."""
    return {name: _plain(name, frame) for name, frame in tables.items()}


def _plain(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    words = {column.name for column in loose.schema()[name].columns if column.values is not None}
    changed = []
    for column in frame.iter_columns():
        if column.dtype == pl.Float64:
            changed.append(_number(column))
        elif column.dtype == pl.Int64:
            changed.append(column.cast(pl.String))
        elif column.dtype == pl.String and column.name not in words:
            changed.append(_escaped(column, formatted=(name, column.name) == LINES))
    return frame.with_columns(changed) if changed else frame


def _escaped(column: pl.Series, *, formatted: bool) -> pl.Series:
    if column.str.contains(SPECIAL).any():
        signs = {**DELIMITERS, **CONTROLS, **({"\n": BREAK} if formatted else {})}
        column = column.str.replace_many(list(signs), list(signs.values()))
    return column.replace({NULL: "\\X2222\\"}) if column.eq(NULL).any() else column


def _number(column: pl.Series) -> pl.Series:
    """Numbers in the shortest text that gives the same number again, without exponents (the type NM has none)."""
    text = column.cast(pl.String).str.strip_suffix(".0")
    if not text.str.contains("e", literal=True).any():
        return text
    odd = column.filter(text.str.contains("e", literal=True)).unique()
    long = {value: np.format_float_positional(value, trim="-") for value in odd.to_list()}
    return pl.DataFrame({"text": text, "value": column}).select(
        pl.when(pl.col("text").str.contains("e", literal=True))
        .then(pl.col("value").replace_strict(long, default=None, return_dtype=pl.String))
        .otherwise("text")
        .alias(column.name)
    )[column.name]


def text(*parts: pl.Expr | str) -> pl.Expr:
    """Join expressions and signs; an absent cell is skipped."""
    return pl.concat_str([pl.lit(one) if isinstance(one, str) else one for one in parts], ignore_nulls=True)


def given(known: pl.Expr, *parts: pl.Expr | str) -> pl.Expr:
    """Join parts where something is known; else nothing."""
    return pl.when(known.is_not_null()).then(text(*parts))


def ended(expr: pl.Expr, sign: str = "|") -> pl.Expr:
    """Leave out empty fields (or components) at the end."""
    return expr.str.strip_chars_end(sign)


def segment(name: str, fields: Mapping[int, pl.Expr | str]) -> pl.Expr:
    """Return a segment from its fields by number, those in between empty."""
    parts: list[pl.Expr | str] = [name]
    at = 0
    for number in sorted(fields):
        parts += ["|" * (number - at), fields[number]]
        at = number
    return ended(text(*_merged(parts)))


def _merged(parts: list[pl.Expr | str]) -> list[pl.Expr | str]:
    """Put neighbouring signs together: every part costs."""

    def put(done: list[pl.Expr | str], one: pl.Expr | str) -> list[pl.Expr | str]:
        if done and isinstance(one, str) and isinstance(done[-1], str):
            return [*done[:-1], done[-1] + one]
        return [*done, one]

    return reduce(put, parts, [])


def ts(name: str) -> pl.Expr:
    """Type TS: date and time to the second, and its fraction (four digits) where it has one."""
    cell = pl.col(name)
    tenths = cell.dt.microsecond() // 100
    fraction = pl.when(tenths > 0).then(text(".", tenths.cast(pl.String).str.zfill(4)))
    return text(cell.dt.strftime("%Y%m%d%H%M%S"), fraction)


def stamp(name: str) -> pl.Expr:
    """Type TS; null where there is no time."""
    return pl.when(pl.col(name).is_not_null()).then(ts(name))


def dt(name: str) -> pl.Expr:
    """Type DT: a date."""
    return pl.col(name).dt.strftime("%Y%m%d")


def coded(words: Mapping[str, str], name: str) -> pl.Expr:
    """Word of the schema -> code of an HL7 table; null where it has none."""
    return pl.col(name).replace_strict(dict(words), default=None, return_dtype=pl.String)


def tag(name: str = "system") -> pl.Expr:
    """Name of a code system as table 0396 has it; others as they are."""
    return pl.col(name).replace(SYSTEMS)


def ce(code: pl.Expr | str, display: pl.Expr | str, system: pl.Expr | str) -> pl.Expr:
    """Type CE: code, text, code system."""
    return ended(text(code, "^", display, "^", system), "^")


def word(name: str) -> pl.Expr:
    """A word of the schema as CE of the local code system."""
    return given(pl.col(name), pl.col(name), f"^^{LOCAL}")


def key(expr: pl.Expr) -> pl.Expr:
    """Type CX or EI: a number and who gave it."""
    return given(expr, expr, f"^{SENDER}")


def practitioners(frame: pl.DataFrame) -> pl.DataFrame:
    """Return practitioner_id -> XCN, the person with number and name."""
    name = ended(text("^", pl.col("family_name"), "^", pl.col("given_name")), "^")
    return frame.select("practitioner_id", text(pl.col("practitioner_id"), name).alias("xcn"))


def named(frame: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Add the column `xcn` of the practitioner; a number without a name where he is unknown."""
    joined = frame.join(people, on="practitioner_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("xcn", "practitioner_id").alias("xcn"))


def gathered(frame: pl.DataFrame, by: list[str], column: str) -> pl.DataFrame:
    """Join the segments in `column` of the rows of one message, each after the sign that ends a segment."""
    return frame.group_by(by, maintain_order=True).agg(pl.col(column).str.join("\r"))
