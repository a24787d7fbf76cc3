"""The exporter: all claims of a shard in one 837P file, all remittances in one 835 file, an interchange per payer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.x12.claims import claims, code_fits, sent, settled, system_fits
from ehrsatz.exporters.x12.remits import remits
from ehrsatz.exporters.x12.segments import fits, nothing
from ehrsatz.files import part_name
from ehrsatz.layouts.x12 import NO_CODE, NO_TIME
from ehrsatz.loose import SYSTEM

_NONE = "neither a claim nor a remittance has a place for it"
_SOME = "claims and remittances name only what they are about, and only in part"
_SELF = "what has no coverage goes to no payer; a key longer than its element, or with other characters, has no place"
_FILES = ("837P", "835")


def _of_claim() -> pl.Expr:
    """Say which rows of a claim's lines and payments belong to a claim that is sent."""
    link = pl.col("claim_id.encounter_id").is_null() | fits("claim_id.encounter_id", "encounter")
    return (
        fits("claim_id.coverage_id", "coverage")
        & fits("claim_id", "claim")
        & fits("claim_id.patient_id", "patient")
        & link.fill_null(False)
    )


def _minute(column: str) -> pl.Expr:
    known = pl.col(column).dt.truncate("1d")
    return known.fill_null(pl.lit(NO_TIME).str.to_datetime("%Y%m%d", time_unit="us"))


_RANK = pl.col("number").fill_null(2**62).rank("ordinal").over("claim_id").cast(pl.Int64)


class X12Exporter(Clinical):
    """Claims as X12 837P (005010X222A1), remittances as 835 (005010X221A1), all of them marked as tests."""

    name: ClassVar[str] = "x12"
    place: ClassVar[str] = "x12"
    suffix: ClassVar[str] = ".edi"
    reader: ClassVar[str] = "x12"
    bytes_per_row: ClassVar[float] = 90.0
    losses: ClassVar[tuple[Loss, ...]] = (
        *(
            Loss(table, None, _SOME)
            for table in (
                "patient",
                "organization",
                "location",
                "practitioner",
                "payer",
                "coverage",
                "encounter",
                "condition",
            )
        ),
        *(
            Loss(table, None, _NONE)
            for table in (
                "relation",
                "observation",
                "order",
                "report",
                "medication",
                "procedure",
                "immunization",
                "allergy",
                "device",
                "careplan",
                "goal",
            )
        ),
        Loss("claim", None, _SELF, rows=~sent()),
        Loss(
            "claim",
            "total",
            "a claim must name its amount: none is 0",
            rows=pl.col("total").is_null(),
            keeps=pl.lit(0.0),
        ),
        Loss("claim_line", None, _SELF, rows=~(_of_claim() & fits("claim_line_id", "claim_line"))),
        Loss(
            "claim_line",
            "number",
            "the lines of a claim are numbered from 1 on without gaps",
            rows=pl.col("number").ne_missing(_RANK),
            keeps=_RANK,
        ),
        Loss(
            "claim_line",
            "code",
            "a line must have a code of at most 48 letters and digits: another is UNSPECIFIED",
            rows=~code_fits(),
            keeps=pl.lit(NO_CODE),
        ),
        Loss("claim_line", SYSTEM, "the line note has 30 characters for a code system", rows=~system_fits()),
        Loss(
            "claim_line",
            "amount",
            "a line must name its amount: none is 0",
            rows=pl.col("amount").is_null(),
            keeps=pl.lit(0.0),
        ),
        Loss("payment", None, _SELF, rows=~(_of_claim() & fits("payment_id", "payment"))),
        Loss("payment", None, "what a patient pays alone is no remittance of a payer", rows=~settled()),
        *(
            Loss(
                table,
                "encounter_id",
                "lines and payments are of the visit that their claim names",
                rows=pl.col("encounter_id").ne_missing(pl.col("claim_id.encounter_id")),
                keeps=pl.col("claim_id.encounter_id"),
            )
            for table in ("claim_line", "payment")
        ),
        Loss("payment", "patient_part", "a remittance says what the patient owes, not what the patient has paid"),
        Loss("payment", "time", "a remittance has a date, not a time of day", keeps=_minute("time")),
        *(
            Loss(
                "payment",
                name,
                "a remittance must name what was paid: none is 0",
                rows=pl.col(name).is_null(),
                keeps=pl.lit(0.0),
            )
            for name in ("payer_part", "adjustment")
        ),
    )

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        if not patients:
            return {}
        first = (0 if part is None else part % 900_000) * 1000 + 1
        tables = dataset.tables

        def put(name: str) -> Put:
            made = claims if name == "837P" else remits
            return lambda path: _write(path, made(tables, first) or nothing(first))

        return {f"{part_name(name, part)}{self.suffix}": put(name) for name in _FILES}

    def _read_back(self, path: Path) -> str:
        return problem(path)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii", newline="")


def problem(path: Path) -> str:
    """Count the segments of a file's envelopes; return what is wrong with them, or an empty text."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return "cannot be read as text"
    rows = [one.strip().split("*") for one in text.split("~") if one.strip()]
    if not rows or rows[0][0] != "ISA":
        return "does not begin with ISA"
    begun, sets, groups, open_sets = 0, 0, 0, False
    for number, row in enumerate(rows, start=1):
        tag = row[0]
        if tag == "ISA":
            groups = 0
        elif tag == "GS":
            groups, sets = groups + 1, 0
        elif tag == "ST":
            begun, sets, open_sets = number, sets + 1, True
        elif tag == "SE":
            open_sets = False
            if row[1] != str(number - begun + 1):
                return f"SE in segment {number} counts other segments than there are"
        elif tag == "GE" and row[1] != str(sets):
            return f"GE in segment {number} counts other transactions than there are"
        elif tag == "IEA" and row[1] != str(groups):
            return f"IEA in segment {number} counts other groups than there are"
    return "is cut off before its end (IEA)" if rows[-1][0] != "IEA" or open_sets else ""
