"""Write records as an HL7 v2.5.1 feed: one file of messages in the order of events, and one of master files.

Segments end with a carriage return, messages begin with MSH. Each file is a batch (FHS, BHS, messages, BTS, FTS), so
that a file that was cut off can be told; MSH-11 is "T" (training), MSH-18 "UNICODE UTF-8". Control numbers (MSH-10)
count the messages of a part. The time of a message is that of its event: nothing looks at the clock.

References
----------
HL7 Version 2.5.1, chapter 2, sections 2.10.3 (batch protocol), 2.15.9 (MSH).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.hl7v2 import master
from ehrsatz.exporters.hl7v2.fields import ended, plain, text, ts
from ehrsatz.exporters.hl7v2.stream import pieces
from ehrsatz.files import part_name
from ehrsatz.terminology.hl7v2 import FACILITY, SENDER, VERSION

FRACTIONS = tuple(
    Loss(
        table.name,
        column.name,
        "times (type TS) have four digits of a second",
        rows=pl.col(column.name).dt.microsecond() % 100 > 0,
        keeps=pl.col(column.name).dt.truncate("100us"),
    )
    for table in loose.schema().tables
    for column in table.columns
    if column.kind == "datetime" and (table.name, column.name) != ("procedure", "stop")
)
CHUNK = 1 << 24  # bytes that are read back at once
BLOCK = 50_000  # messages whose text is made at once
NOTE = "SYNTHETIC TEST DATA, NOT FOR CARE"


class Hl7v2Exporter(Clinical):
    """HL7 v2.5.1 messages: ADT, ORM, OML, ORU, MDM, SIU, DFT, VXU, RDE, PPR, PPP, PGL; master files as MFN."""

    name: ClassVar[str] = "hl7v2"
    place: ClassVar[str] = "hl7v2"
    suffix: ClassVar[str] = ".hl7"
    reader: ClassVar[str] = "hl7v2"
    bytes_per_row: ClassVar[float] = 260.0
    losses: ClassVar[tuple[Loss, ...]] = (
        Loss(
            "procedure",
            "stop",
            "PR1 holds the start of a procedure and its minutes: without a start it has no end",
            rows=pl.col("start").is_null() & pl.col("stop").is_not_null(),
        ),
        *FRACTIONS,
    )

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        out: dict[str, Put] = {}
        if patients:
            out[f"{part_name('feed', part)}{self.suffix}"] = partial(_put_feed, dataset.tables, part)
        if world:
            out[f"master{self.suffix}"] = partial(_put_master, dataset.tables)
        return out

    def _read_back(self, path: Path) -> str:
        found, held = 0, b""
        with path.open("rb") as file:
            begins = file.read(4) == b"FHS|"
            while more := file.read(CHUNK):
                held = held[-64:] + more
                found += held.count(b"\rMSH|", max(0, len(held) - len(more) - 4))
        end = re.search(rb"\rBTS\|(\d+)\rFTS\|1\r$", held)
        if not begins or end is None:
            return "it is cut off: its first or last segments lack"
        said = int(end[1])
        return "" if said == found else f"it holds {found:,} messages where its end says {said:,}"


def _put_feed(tables: Mapping[str, pl.DataFrame], part: int | None, path: Path) -> None:
    name, number = part_name("feed", part), 0
    with path.open("wb") as file:
        file.write(_header(f"{name}.hl7"))
        for piece, who in pieces(tables):
            for start in range(0, piece.height, BLOCK):
                block = _texts(piece.slice(start, BLOCK), who, number + start, part)
                file.write("".join(block.to_list()).encode())
            number += piece.height
        file.write(f"BTS|{number}\rFTS|1\r".encode())


def _texts(block: pl.DataFrame, who: pl.DataFrame, start: int, part: int | None) -> pl.Series:
    """Return whole messages, each segment with its carriage return."""
    parts = who.drop("born")
    block = block.join(parts, on="patient_id", how="left", maintain_order="left")
    number = (pl.int_range(pl.len()) + start + 1).cast(pl.String).str.zfill(9)
    time = ts("time")
    msh = text(
        f"MSH|^~\\&|{SENDER}|{FACILITY}|||",
        pl.col("stamp"),
        "||",
        pl.col("type"),
        "|" if part is None else f"|{part:05d}",
        number,
        f"|T|{VERSION}||||||UNICODE UTF-8",
    )
    evn = pl.when("event").then(ended(text("\rEVN||", pl.col("stamp"), "||||", pl.col("occurred"))))
    new = pl.col("temporary").is_not_null() & (pl.col("time") <= pl.col("until")).fill_null(False)
    new = new & (pl.col("type") != "ADT^A40^ADT_A39")
    number_ = pl.when(new).then("temporary").otherwise("pid3")
    died = (pl.col("time") >= pl.col("death_time")).fill_null(False)
    rest = (
        pl.when(pl.col("full") & died)
        .then(text(pl.col("demographics"), pl.col("dead")))
        .when("full")
        .then(pl.col("demographics"))
        .otherwise(pl.col("short"))
    )
    account = text("|" * 10, pl.col("account"))
    pid = text("\rPID|1||", number_, rest, pl.when(pl.col("account").is_not_null()).then(account))
    return block.with_columns(time.alias("stamp")).select(
        text(msh, evn, pl.col("head"), ended(pid), pl.col("tail"), "\r").alias("message")
    )["message"]


def _put_master(tables: Mapping[str, pl.DataFrame], path: Path) -> None:
    found = master.masters(plain(tables))
    body = "".join(f"{one}\r" for one in found)
    path.write_bytes(_header("master.hl7") + f"{body}BTS|{len(found)}\rFTS|1\r".encode())


def _header(name: str) -> bytes:
    return f"FHS|^~\\&|{SENDER}|{FACILITY}||||||{NOTE}|{name}\rBHS|^~\\&|{SENDER}|{FACILITY}||||||{NOTE}\r".encode()
