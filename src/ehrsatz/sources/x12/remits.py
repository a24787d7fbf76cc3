"""835: what a payer settled, claim by claim."""

from __future__ import annotations

from datetime import datetime

from ehrsatz.layouts.x12 import NO_NAME
from ehrsatz.sources.x12.claims import Found, Row
from ehrsatz.sources.x12.parse import Segment, Transaction, number_of, time_of

DENIED = "4"
CUTS = {"CO", "PI"}
PRIOR = "23"  # what another payer settled: no cut


def read_remits(transaction: Transaction, found: Found) -> None:
    """Add all claims and payments of an 835."""
    paid: datetime | None = None
    trace = payer = payer_key = ""
    row: Row | None = None
    for one in transaction.segments:
        tag = one.tag
        if tag == "BPR":
            paid = time_of(one.get(16))
        elif tag == "TRN":
            trace = one.get(2) or ""
        elif tag == "N1" and one.get(1) == "PR":
            payer, payer_key = one.get(2) or NO_NAME, one.get(4) or ""
        elif tag == "REF" and row is None and one.get(1) == "2U":
            payer_key = one.get(2) or payer_key
        elif tag == "CLP":
            row = _payment(one, found, trace)
            row.update({"time": paid, "(payer)": payer_key or payer, "(payer name)": payer})
        elif row is not None and tag == "CAS":
            _cut(one, row)
        elif row is not None and tag == "NM1":
            if one.get(1) == "QC":
                row["(person)"] = {"family_name": one.get(3), "given_name": one.get(4)}
                row["(member)"] = one.get(9)
            else:
                found.left[f"835.NM1 {one.get(1)}"] += 1
        elif row is not None and tag == "REF":
            if one.get(1) in {"EA", "1L"}:
                row["(patient)" if one.get(1) == "EA" else "(coverage)"] = one.get(2)
            else:
                found.left[f"835.REF {one.get(1)}"] += 1
        elif tag in {"SVC", "PLB", "MIA", "MOA", "AMT", "QTY", "LQ"} or (row is not None and tag == "DTM"):
            found.left[f"835.{tag}"] += 1


def _payment(one: Segment, found: Found, trace: str) -> Row:
    claim = one.get(1) or f"claim {one.number}"
    key = one.get(7) or f"{trace}-{claim}"
    if key in found.tables.get("payment", {}):
        key = f"{key} {trace}"
    row = found.row("payment", key)
    row.update(
        {
            "claim_id": claim,
            "payer_part": number_of(one.get(4)),
            "patient_part": number_of(one.get(5)) or 0.0,
            "adjustment": 0.0,
            "(total)": number_of(one.get(3)),
            "(status)": "denied" if one.get(2) == DENIED else "paid",
        }
    )
    return row


def _cut(one: Segment, row: Row) -> None:
    """Add the adjustments of a claim or line that neither the patient nor another payer bears."""
    group = one.get(1)
    for position in range(2, len(one.elements), 3):
        amount = number_of(one.get(position + 1))
        if group in CUTS or (group == "OA" and one.get(position) != PRIOR):
            row["adjustment"] = round(row["adjustment"] + (amount or 0.0), 2)
