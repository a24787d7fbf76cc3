"""Write records as an HL7 v2.5.1 feed: one file of messages in the order of events, and one of master files.

Segments end with a carriage return, messages begin with MSH. Each file is a batch (FHS, BHS, messages, BTS, FTS), so
that a file that was cut off can be told; MSH-11 is "T" (training), MSH-18 "UNICODE UTF-8". Control numbers (MSH-10)
count the messages of a part. The time of a message is that of its event: nothing looks at the clock.

References
----------
HL7 Version 2.5.1, chapter 2, sections 2.10.3 (batch protocol), 2.15.9 (MSH).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.hl7v2 import chart, master, money, orders, people, treatment, visits
from ehrsatz.exporters.hl7v2.fields import ended, plain, practitioners, text, ts
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
        text_ = path.read_bytes()
        first, last = text_[:4], text_.rstrip(b"\r")[-5:]
        if first != b"FHS|" or not last.startswith(b"FTS|"):
            return "it is cut off: its first or last segment lacks"
        said = int(text_.rsplit(b"\rBTS|", 1)[1].split(b"\r", 1)[0].split(b"|")[0])
        found = text_.count(b"\rMSH|")
        return "" if said == found else f"it holds {found:,} messages where its last segment says {said:,}"


def feed(tables: Mapping[str, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the messages of all patients in order, as `message.COLUMNS` says, and the patients' parts of PID."""
    clean = plain(tables)
    xcn = practitioners(clean["practitioner"])
    who = people.identities(clean)
    seen = visits.visits(clean, who, xcn)
    charts = chart.charted(clean, xcn, seen)
    known = orders.ordered(clean, xcn)
    covered = money.insured(clean)
    merged = people.merges(seen, who)
    kinds = [
        people.persons(clean),
        people.deaths(clean),
        merged,
        visits.openings(seen),
        visits.endings(seen, charts),
        visits.appointments(seen),
        chart.loose_charts(charts, seen),
        chart.problems(clean, seen),
        chart.allergies(clean, seen),
        chart.devices(clean, seen),
        orders.orders(clean, known, seen),
        orders.results(clean, known, seen),
        orders.reports(clean, known, seen),
        treatment.medications(clean, xcn, seen),
        treatment.immunizations(clean, seen),
        treatment.careplans(clean, seen),
        treatment.goals(clean, seen),
        money.coverages(covered),
        money.claims(clean, covered, seen),
        money.payments(clean, seen),
    ]
    whole = pl.concat(kinds)
    first = whole.group_by("patient_id").agg(pl.col("time").min().alias("first"))
    who = who.join(first, on="patient_id", how="left", maintain_order="left")
    who = who.join(merged.select("patient_id", pl.col("time").alias("until")), on="patient_id", how="left")
    times = who.select("patient_id", pl.coalesce("first", "born", pl.datetime(1900, 1, 1)).alias("first"))
    whole = whole.join(times, on="patient_id", how="left", maintain_order="left")
    whole = whole.with_columns(pl.coalesce("time", "first").alias("time")).drop("first")
    return whole.sort("time", "rank", "patient_id", "key"), who


def _put_feed(tables: Mapping[str, pl.DataFrame], part: int | None, path: Path) -> None:
    whole, who = feed(tables)
    name = part_name("feed", part)
    with path.open("wb") as file:
        file.write(_header(f"{name}.hl7"))
        for start in range(0, whole.height, BLOCK):
            block = _texts(whole.slice(start, BLOCK), who, start, part)
            file.write("".join(block.to_list()).encode())
        file.write(f"BTS|{whole.height}\rFTS|1\r".encode())


def _texts(block: pl.DataFrame, who: pl.DataFrame, start: int, part: int | None) -> pl.Series:
    """Return whole messages, each segment with its carriage return."""
    parts = who.drop("born", "first")
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
