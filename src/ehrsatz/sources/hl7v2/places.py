"""Which segments and fields the reader uses; all others are counted by name."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.hl7v2.file import Hl7File

ALL = "1-99"
USED = {  # segment -> its fields that have a place in the schema, or that say nothing of a patient
    "MSH": ALL,
    "SFT": ALL,
    "EVN": ALL,
    "PID": "1-8,10-11,13-16,18-19,22,29-30",
    "PV1": "1-4,6-10,14,17-20,36,39,41,44-45,47,50",
    "PV2": "3",
    "NK1": "1-3,33",
    "MRG": "1",
    "PDA": "1",
    "DG1": "1-6,15,19-21",
    "PRB": "1-4,7,9,13,16",
    "PR1": "1,3,5,7,11-12,15,19-20",
    "AL1": ALL,
    "IAM": "1-7,11-12",
    "ORC": "1-3,5,9,12,15-16",
    "OBR": "1-4,6-7,15-16,20,22,24-25,31",
    "OBX": "1-8,11,14",
    "NTE": ALL,
    "TXA": "1-4,6,12,14,17",
    "RXA": "1-6,9,15,20-21",
    "RXE": "1-3,5,10,12,27",
    "RXR": "1-2",
    "TQ1": "1,3,7-8",
    "PTH": ALL,
    "GOL": "1-4,7,18",
    "IN1": "1-4,12-13,17,36,49",
    "GT1": "1,3,11",
    "FT1": "1-2,4-7,10-13,22",
    "SCH": ALL,
    "RGS": ALL,
    "AIS": ALL,
    "AIL": ALL,
    "AIP": ALL,
    "MFI": ALL,
    "MFE": ALL,
    "LOC": "1-6",
    "LCH": "1,4-5",
    "LDP": "1-2",
    "STF": "1-3,7",
    "PRA": "1,5,9",
    "ZPV": ALL,
    "ZAL": ALL,
    "ZDV": ALL,
    "ZPY": ALL,
}
ENVELOPE = ("MSA", "ERR", "DSC", "QRD", "QRF", "QAK", "QPD")  # of acknowledgements and queries: no record of a patient


def count(file: Hl7File) -> None:
    """Count the segments and fields that hold something and have no place, as "PID-21" and "ZXY"."""
    for name in file.names:
        if name in ENVELOPE:
            continue
        frame = file.plain(name)
        if name not in USED:
            file.left[name] += frame.height
            continue
        if USED[name] == ALL:
            continue
        used = _numbers(USED[name])
        cells = frame.select(pl.col("f").list.tail(pl.col("f").list.len() - 1).alias("cell"))
        cells = cells.with_columns(pl.int_ranges(1, pl.col("cell").list.len() + 1).alias("number"))
        held = cells.explode("cell", "number").filter((pl.col("cell") != "") & ~pl.col("number").is_in(used))
        for number, many in held.group_by("number").len().sort("number").rows():
            file.left[f"{name}-{number}"] += many


def _numbers(text: str) -> list[int]:
    """Return the numbers of a list such as "1-3,7"."""
    out: list[int] = []
    for one in text.split(","):
        low, _, high = one.partition("-")
        out += range(int(low), int(high or low) + 1)
    return out
