"""Cut the text of HL7 messages into segments and fields, with the separators of any maker.

What comes out has the standard's own separators (|^~\\&) whatever the message used, one row per segment, numbered by
message. Texts are still escaped. Errors name file, message and segment by number, never what stands in them.

References
----------
HL7 Version 2.5.1, chapter 2: 2.5 (messages), 2.7 (escape sequences), 2.15.9 (MSH).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.terminology.hl7v2 import SENDER

HEADERS = ("FHS", "BHS", "BTS", "FTS")
ANCHORS = ("MSH", "PID", "PV1", "ORC", "OBR", "RXA", "RXE", "PRB", "GOL", "PTH", "IAM", "TXA")
STANDARD = "|^~\\&"
MOST = 20  # problems told of one file


def segments(text: str, path: Path, before: int = 0) -> pl.DataFrame:
    """Cut a block of messages.

    Parameters
    ----------
    text
        Segments that end with carriage returns.
    path
        Of the file, for errors.
    before
        Messages of the file before this block.

    Returns
    -------
    One row per segment within a message: `p` (its number in the block), `name`, `text`, `f` (the fields; `f[0]` is the
    name), and for each of `ANCHORS` the `p` of the last such segment of the message up to here; of the message:
    `control`, `event` (as in "ADT^A01"), `ours`, `sent`.

    Raises
    ------
    SourceError
        When it holds a broken message, or one of another version.
    """
    rows = pl.DataFrame({"text": pl.Series([text]).str.split("\r").explode()}).filter(pl.col("text") != "")
    rows = rows.with_columns(pl.col("text").str.slice(0, 3).alias("name"))
    rows = rows.with_columns(((pl.col("name") == "MSH").cum_sum() + before).alias("m"))
    rows = rows.filter(~pl.col("name").is_in(HEADERS)).with_row_index("p")
    _whole(rows, path)
    rows = _standard(rows)
    marks = [pl.when(pl.col("name") == one).then(pl.col("p")).forward_fill().alias(one) for one in ANCHORS]
    rows = rows.with_columns(marks)
    rows = rows.with_columns(
        pl.when(pl.col(one) >= pl.col("MSH")).then(pl.col(one)).alias(one) for one in ANCHORS[1:]
    ).with_columns(pl.when(pl.col("PV1") > pl.col("PID")).then(pl.col("PV1")).alias("PV1"))
    return rows.join(_heads(rows, path), on="m", how="left", maintain_order="left").drop("m")


# ---------------------------------------------------------------------- checks
def _whole(rows: pl.DataFrame, path: Path) -> None:
    """Check that every line is a segment, and every message has what it takes to read it."""
    sign = pl.col("text").str.slice(3, 1)
    msh = pl.col("name") == "MSH"
    separator = pl.when(msh).then(sign).forward_fill()
    wrong = ~pl.col("text").str.contains(r"^[A-Z][A-Z0-9]{2}") | ((sign != separator) & (sign != ""))
    heads = msh & ((pl.col("text").str.len_chars() < 8) | sign.str.contains(r"[A-Za-z0-9\s]"))
    at = (pl.col("p") - pl.when(msh).then(pl.col("p")).forward_fill() + 1).alias("at")
    bad = rows.with_columns(at, (wrong | heads).alias("wrong"), heads.alias("head")).filter("wrong")
    if bad.height == 0:
        return
    problems = [
        f"message {row['m']}, segment {row['at']}: {'its header is incomplete' if row['head'] else 'no segment'}"
        for row in bad.head(MOST).iter_rows(named=True)
    ]
    raise SourceError(
        f"Expected segments of HL7 version 2 in '{path.name}'.",
        f"{bad.height:,} of {rows.height:,} lines are none.",
        "Correct these messages or take them out; an end of line within a value must be written as \\.br\\.",
        problems=problems,
    )


def _heads(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return one row per message: m, control, event, ours, sent."""
    parts = pl.col("f")
    evn = rows.filter(pl.col("name") == "EVN").select("m", parts.list.get(1, null_on_oob=True).alias("trigger"))
    heads = rows.filter(pl.col("name") == "MSH").select(
        "m",
        parts.list.get(2, null_on_oob=True).fill_null("").str.split("^").list.first().eq(SENDER).alias("ours"),
        parts.list.get(6, null_on_oob=True).alias("sent"),
        parts.list.get(8, null_on_oob=True).fill_null("").alias("kind"),
        parts.list.get(9, null_on_oob=True).alias("control"),
        parts.list.get(11, null_on_oob=True).fill_null("").alias("version"),
    )
    wrong = heads.filter((pl.col("kind") == "") | ~pl.col("version").str.contains(r"^(2|$)"))
    if wrong.height:
        problems = [
            f"message {row['m']}: {'no type in MSH-9' if not row['kind'] else 'MSH-12 names no version 2'}"
            for row in wrong.head(MOST).iter_rows(named=True)
        ]
        raise SourceError(
            f"Expected messages of HL7 version 2 in '{path.name}', with their type.",
            f"{wrong.height:,} of {heads.height:,} are none.",
            "Correct the headers.",
            problems=problems,
        )
    heads = heads.join(evn.unique("m", keep="first"), on="m", how="left", maintain_order="left")
    kind = pl.col("kind").str.split("^")
    trigger = pl.coalesce(kind.list.get(1, null_on_oob=True), "trigger", pl.lit(""))
    return heads.select(
        "m", "control", "ours", "sent", pl.concat_str(kind.list.first(), pl.lit("^"), trigger).alias("event")
    )


# ---------------------------------------------------------------------- separators
def _standard(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every segment the standard's separators, and its fields as the list `f`."""
    msh = rows.filter(pl.col("name") == "MSH")
    signs = msh.select("m", pl.col("text").str.slice(3, 5).alias("signs"))
    kinds = signs["signs"].unique(maintain_order=True).to_list()
    if kinds not in ([], [STANDARD]):
        rows = rows.join(signs, on="m", how="left", maintain_order="left")
        parts = [_translated(rows.filter(pl.col("signs") == one), one) for one in kinds]
        rows = pl.concat(parts).sort("p").drop("signs")
    return rows.with_columns(pl.col("text").str.split("|").alias("f"))


def _translated(rows: pl.DataFrame, signs: str) -> pl.DataFrame:
    field = signs[0]
    rest = signs[1:].split(field)[0]  # MSH-2 may be shorter: the standard's signs for those it leaves out
    own = field + rest + STANDARD[1 + len(rest) :]
    if own == STANDARD:
        return rows
    escaped = dict(zip(STANDARD, ("\\F\\", "\\S\\", "\\R\\", "\\E\\", "\\T\\"), strict=True))
    turned = {  # an escape of the message's own sign is that sign, which may be one of the standard's
        f"{own[3]}{letter}{own[3]}": escaped.get(sign, sign) for letter, sign in zip("FSRET", own, strict=True)
    }
    turned |= dict(zip(own, STANDARD, strict=True))
    turned |= {sign: escape for sign, escape in escaped.items() if sign not in turned}
    return rows.with_columns(pl.col("text").str.replace_many(list(turned), list(turned.values()), leftmost=True))
