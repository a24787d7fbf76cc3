"""Cut HL7 files into segments: ends of lines, MLLP bytes, batch headers, encodings, separators of any maker.

What comes out has the standard's own separators (|^~\\&) whatever the message used, one row per segment, numbered by
message. Texts are still escaped. Errors name file, message and segment by number, never what stands in them.

References
----------
HL7 Version 2.5.1, chapter 2: 2.5 (messages), 2.7 (escape sequences), 2.10.3 (batches), 2.15.9 (MSH); table 0211.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from pathlib import Path

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.terminology.hl7v2 import SENDER

STARTS = ("MSH", "FHS", "BHS")
HEADERS = ("FHS", "BHS", "BTS", "FTS")
ANCHORS = ("MSH", "PID", "PV1", "ORC", "OBR", "RXA", "RXE", "PRB", "GOL", "PTH", "IAM", "TXA")
STANDARD = "|^~\\&"
MOST = 20  # problems told of one file
CHARSETS = {"": "utf-8", "ASCII": "utf-8", "UNICODE": "utf-8", "GB 18030-2000": "gb18030", "BIG-5": "big5"}


def segments(path: Path, left: Counter[str]) -> pl.DataFrame:
    """Read one file.

    Returns
    -------
    One row per segment within a message: `p` (its number in the file), `m` (its message's number), `name`, `text`,
    `f` (the fields; `f[0]` is the name), and for each of `ANCHORS` the `p` of the last such segment of the message up
    to here; of the message: `control`, `event` (as in "ADT^A01"), `ours`, `sent`.

    Raises
    ------
    SourceError
        When it cannot be read, is no HL7 version 2, is cut off, or holds a broken message.
    """
    text = _lines(_text(path, left), path)
    rows = pl.DataFrame({"text": pl.Series([text]).str.split("\r").explode()}).filter(pl.col("text") != "")
    rows = rows.with_columns(pl.col("text").str.slice(0, 3).alias("name"))
    rows = rows.with_columns((pl.col("name") == "MSH").cum_sum().alias("m"))
    _complete(rows, path)
    rows = rows.filter(~pl.col("name").is_in(HEADERS)).with_row_index("p")
    _whole(rows, path)
    rows = _standard(rows)
    marks = [pl.when(pl.col("name") == one).then(pl.col("p")).forward_fill().alias(one) for one in ANCHORS]
    rows = rows.with_columns(marks)
    rows = rows.with_columns(
        pl.when(pl.col(one) >= pl.col("MSH")).then(pl.col(one)).alias(one) for one in ANCHORS[1:]
    ).with_columns(pl.when(pl.col("PV1") > pl.col("PID")).then(pl.col("PV1")).alias("PV1"))
    return rows.join(_heads(rows, path), on="m", how="left", maintain_order="left").drop("m")


def looks_like_it(path: Path) -> bool:
    """Say by its first bytes whether a file is HL7 version 2."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        return False
    return start.lstrip(b"\xef\xbb\xbf\x0b\r\n\t ").startswith(tuple(f"{one}".encode() for one in STARTS))


# ---------------------------------------------------------------------- text
def _text(path: Path, left: Counter[str]) -> str:
    try:
        raw = path.read_bytes()
    except OSError:
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refuses it.", "Check the path and its permissions."
        ) from None
    if not looks_like_it(path):
        raise SourceError(
            f"Expected '{path.name}' to begin with an MSH, FHS or BHS segment.",
            "It begins with something else.",
            "Check whether it is HL7 version 2.",
        )
    raw = raw.removeprefix(codecs.BOM_UTF8)
    told = _charset(raw)
    codec = CHARSETS.get(told, "") or _codec(told)
    if not codec:
        raise SourceError(
            f"Expected a character set in MSH-18 of '{path.name}' that is known.",
            "Its first message names another one.",
            "Convert the file to UTF-8 and write UNICODE UTF-8 into MSH-18.",
        )
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        if told:
            number = len(re.findall(rb"(?:^|[\r\n\x0b])MSH", raw[: error.start]))
            raise SourceError(
                f"Expected '{path.name}' in the character set that MSH-18 names.",
                f"Message {number} holds bytes that are not of it.",
                "Correct MSH-18, or convert the file.",
            ) from None
    left["MSH-18: none, read as ISO 8859-1"] += 1
    return raw.decode("latin-1")


def _charset(raw: bytes) -> str:
    """Return MSH-18 of the first message, its first repetition, or an empty text."""
    at = re.search(rb"(?:^|[\r\n\x0b])MSH(.)([^\r\n]*)", raw)
    if at is None:
        return ""
    fields = at[2].split(at[1])
    return re.split(rb"[~^]", fields[16])[0].decode("ascii", "replace").strip() if len(fields) > 16 else ""


def _codec(told: str) -> str:
    name = told.upper().removeprefix("UNICODE ").replace("8859/", "ISO-8859-")
    try:
        return codecs.lookup(name.replace("ISO-ISO", "ISO")).name
    except LookupError:
        return ""


def _lines(text: str, path: Path) -> str:
    """Return the text with carriage returns alone between segments, without what MLLP puts round messages."""
    if text.count("\x0b") > text.count("\x1c"):
        raise _cut_off(path, "The last message has a start byte of MLLP and no end byte.")
    for sign, instead in (("\r\n", "\r"), ("\n", "\r"), ("\x1c", "\r"), ("\x0b", "\r")):
        if sign in text:
            text = text.replace(sign, instead)
    return text


# ---------------------------------------------------------------------- checks
def _cut_off(path: Path, found: str) -> SourceError:
    return SourceError(f"Expected '{path.name}' whole.", found, "Fetch the file again: it is cut off.")


def _complete(rows: pl.DataFrame, path: Path) -> None:
    """Check that a batch has its end, and as many messages as it says."""
    names = rows["name"]
    for first, last in (("FHS", "FTS"), ("BHS", "BTS")):
        if (names == first).any() and int((names == first).sum()) > int((names == last).sum()):
            raise _cut_off(path, f"It has the header {first} and lacks the trailer {last}.")
    trailers = rows.filter(pl.col("name") == "BTS")
    said = trailers["text"].str.extract(r"^BTS.(\d+)").cast(pl.Int64)
    found = trailers["m"].cast(pl.Int64) - trailers["m"].cast(pl.Int64).shift(1, fill_value=0)
    for number, (told, held) in enumerate(zip(said.to_list(), found.to_list(), strict=True), 1):
        if told is not None and told != held:
            raise SourceError(
                f"Expected as many messages in '{path.name}' as its batches say.",
                f"Batch {number} says {told:,} and holds {held:,}.",
                "Fetch the file again.",
            )


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
    if kinds != [STANDARD]:
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
    names = {"|": "F", "^": "S", "~": "R", "\\": "E", "&": "T"}
    turned = dict(zip(own, STANDARD, strict=True))
    turned |= {sign: f"\\{name}\\" for sign, name in names.items() if sign not in turned}
    return rows.with_columns(pl.col("text").str.replace_many(list(turned), list(turned.values())))
