"""The reader: files of claims and remittances, joined by the claim's number, as the clinical tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import loose
from ehrsatz.schema import dtype_of
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.x12.claims import Found, Person, Row, read_claims
from ehrsatz.sources.x12.parse import transactions
from ehrsatz.sources.x12.remits import read_remits

SUFFIXES = (".edi", ".x12", ".837", ".835", ".txt", ".dat")
_PART = re.compile(r".*-(\d{5,9})")


class X12Source(ClinicalSource):
    """X12 837 claims and 835 remittances."""

    name: ClassVar[str] = "x12"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        """Say by the first bytes whether a file, or a file of a folder, is an X12 interchange."""
        path = Path(what)
        files = _files(path)[:50] if path.is_dir() else [path] if path.is_file() else []
        return any(_begins(one) for one in files)

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the files lie, as 837P-00007.edi; 0 where they do not."""
        path = Path(what)
        found = [_PART.fullmatch(one.stem) for one in _files(path)] if path.is_dir() else []
        numbers = [int(match[1]) for match in found if match]
        return max(numbers) + 1 if numbers and len(numbers) == len(found) else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        path = Path(what)
        files = _files(path) if path.is_dir() else [path]
        if part is not None and part.number is not None:
            files = [one for one in files if one.stem.endswith(f"-{part.number:05d}")]
        found = Found(left)
        for file in files:
            if path.is_dir() and not _begins(file):
                left[f"file *{file.suffix}"] += 1
                continue
            for one in transactions(file):
                if one.kind == "837":
                    read_claims(one, found)
                elif one.kind == "835":
                    read_remits(one, found)
                else:
                    left[f"transaction {one.kind}"] += 1
        frames = _frames(found)
        if part is not None and part.number is None:
            wanted = part.patients.implode()
            frames = {
                name: frame.filter(pl.col("patient_id").is_in(wanted)) if "patient_id" in frame.columns else frame
                for name, frame in frames.items()
            }
        if part is not None and not part.world:
            frames = {name: frame for name, frame in frames.items() if name not in WORLD}
        return frames


WORLD = ("organization", "location", "practitioner", "payer")


def _files(folder: Path) -> list[Path]:
    return sorted(
        one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file() and one.name[0] != "."
    )


def _begins(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")[:3] == b"ISA"
    except OSError:
        return False


# ---------------------------------------------------------------------- rows
def _frames(found: Found) -> dict[str, pl.DataFrame]:
    """Return the tables: claims completed by remittances, and what both say of people."""
    for payment in list(found.tables.get("payment", {}).values()):
        _remitted(payment, found)
    for claim in list(found.tables.get("claim", {}).values()):
        _claimed(claim, found)
    for payment in found.tables.get("payment", {}).values():
        claim = found.tables["claim"][payment["claim_id"]]
        payment["patient_id"], payment["encounter_id"] = claim["patient_id"], claim.get("encounter_id")
    return {name: _frame(name, list(rows.values())) for name, rows in found.tables.items() if rows}


def _remitted(payment: Row, found: Found) -> None:
    claim = found.row("claim", payment["claim_id"])
    claim.setdefault("(parts)", [payment["(total)"]])
    if claim.get("status") in {None, "paid"} and not claim.get("(settled)"):
        claim["status"] = payment["(status)"]
    for name in ("(patient)", "(member)", "(coverage)", "(payer)"):
        if claim.get(name) is None:
            claim[name] = payment.get(name)
    if claim.get("(person)") is None:
        claim["(person)"] = Person(payment.get("(person)") or {}, payment.get("(member)"))
    if payment.get("(payer)"):
        found.row("payer", payment["(payer)"], name=payment.get("(payer name)"))


def _claimed(claim: Row, found: Found) -> None:
    """Complete a claim, and add its patient, coverage, visit, diagnoses and lines."""
    key = claim["claim_id"]
    person: Person = claim.get("(person)") or Person()
    member = claim.get("(member)") or person.member
    named = " ".join(str(person.cells[one]) for one in ("given_name", "family_name") if person.cells.get(one))
    patient = claim.get("(patient)") or person.member or member or named or f"patient of {key}"
    found.row("patient", patient, **person.cells)
    coverage = claim.get("(group)") or claim.get("(coverage)")
    coverage = (
        coverage
        if claim.get("(noted)") and coverage
        else "-".join(one for one in (claim.get("(payer)"), coverage, member) if one)
    )
    if coverage:
        found.row("coverage", coverage, patient_id=patient, payer_id=claim.get("(payer)"), member_number=member)
    amounts = [one for one in claim["(parts)"] if one is not None]
    visit: Row = claim.get("(encounter)") or {}
    diagnoses = claim.get("(diagnoses)") or []
    encounter = claim.get("(encounter_id)") if claim.get("(noted)") else f"visit of {key}"
    start, stop = visit.get("start") or visit.get("(first)"), visit.get("stop") or visit.get("(last)")
    claim.update(
        {
            "patient_id": patient,
            "coverage_id": coverage or None,
            "encounter_id": encounter,
            "total": (amounts[0] if len(amounts) == 1 else round(sum(amounts), 2)) if amounts else None,
        }
    )
    if not claim.get("(noted)"):
        claim["time"] = stop or start
    if encounter:
        found.row(
            "encounter",
            encounter,
            patient_id=patient,
            practitioner_id=visit.get("practitioner_id"),
            organization_id=claim.get("(house)"),
            location_id=visit.get("location_id"),
            reason_code=diagnoses[0][1] if diagnoses else None,
            start=start,
            stop=stop,
            **{"class": claim.get("(class)")},
        )
    _diagnoses(key, diagnoses, patient, encounter, found)
    _lines(claim, patient, encounter, found)


def _diagnoses(key: str, diagnoses: list[tuple[str, str]], patient: str, encounter: str | None, found: Found) -> None:
    for number, (system, code) in enumerate(dict.fromkeys(diagnoses), start=1):
        found.row(
            "condition", f"{key}-HI{number}", patient_id=patient, encounter_id=encounter, system=system, code=code
        )


def _lines(claim: Row, patient: str, encounter: str | None, found: Found) -> None:
    for position, line in enumerate(claim.get("(lines)") or [], start=1):
        if line.get("(none)"):
            continue
        key = line.get("(key)") or f"{claim['claim_id']}-{position}"
        noted = line.get("(noted)", False) or claim.get("(noted)", False)
        found.row(
            "claim_line",
            key,
            patient_id=patient,
            encounter_id=encounter,
            claim_id=claim["claim_id"],
            number=line.get("number"),
            kind=line.get("kind") if noted else line.get("(kind)"),
            system=line.get("system") if line.get("system") or noted else line.get("(system)"),
            code=line.get("code"),
            amount=line.get("amount"),
            time=line.get("time"),
        )


def _frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    table = loose.schema()[name]
    schema: dict[str, Any] = {column.name: dtype_of(column.kind) for column in table.columns}
    return pl.DataFrame({one: [row.get(one) for row in rows] for one in schema}, schema=schema)
