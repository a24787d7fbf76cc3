"""837 (professional, also institutional and dental): claims, their lines, and whom they name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ehrsatz import loose
from ehrsatz.clinical import ICD10CM
from ehrsatz.layouts.x12 import CLASSES, KINDS, MOST_LINES, NO_DIAGNOSIS, NO_NAME, NO_STATUS, SENDER, SEXES
from ehrsatz.sources.x12.parse import Segment, Transaction, date_of, number_of, span_of, time_of

Row = dict[str, Any]

_NOTE = re.compile(r"(ENC|TIME|STATUS|PART|KIND|SYSTEM)=([^;]*)")
_SEX = {value: name for name, value in SEXES.items()}
_SYSTEMS = {"ABK": ICD10CM, "ABF": ICD10CM, "BK": loose.ICD9CM, "BF": loose.ICD9CM, "ABJ": ICD10CM, "BJ": loose.ICD9CM}
_KEYS = {("PR", "G2"), ("82", "G2"), ("77", "LU")}
_HOSPITAL = {"1": "inpatient", "2": "inpatient", "3": "ambulatory", "4": "ambulatory"}


@dataclass
class Found:
    """Rows by table and key, of all files.

    Parameters
    ----------
    left
        Counts what has no place.
    """

    left: Counter[str]
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)

    def row(self, table: str, key: str, **cells: Any) -> Row:
        """Return the row of a key, completed by what is known now."""
        held = self.tables.setdefault(table, {}).setdefault(key, {f"{table}_id": key})
        held.update({name: cell for name, cell in cells.items() if cell is not None and held.get(name) is None})
        return held


@dataclass
class Person:
    """A subscriber or a patient, as far as the segments have told."""

    cells: Row = field(default_factory=dict)
    member: str | None = None


@dataclass
class _State:
    """Where the reading of a transaction is; in ours, secondary identifiers (G2, LU) are keys."""

    ours: bool
    house: str | None = None
    subscriber: Person = field(default_factory=Person)
    patient: Person | None = None
    group: str | None = None
    filing: str | None = None
    payer: str | None = None
    claim: Row | None = None
    line: Row | None = None
    name: str = ""  # code of the last NM1
    part: int = 1
    last: Row | None = None  # the organization or practitioner of the last NM1


def read_claims(transaction: Transaction, found: Found) -> None:
    """Add all that an 837 holds."""
    state = _State(ours=transaction.sender == SENDER)
    for one in transaction.segments:
        reader = _READERS.get(one.tag)
        if reader is None:
            found.left[f"837.{one.tag}"] += 1
        else:
            reader(one, state, found)
    _close(state)


# ---------------------------------------------------------------------- loops
def _level(one: Segment, state: _State, found: Found) -> None:
    _close(state)
    state.name = ""
    kind = one.get(3)
    if kind == "20":
        state.house = None
    elif kind == "22":
        state.subscriber, state.patient = Person(), None
        state.group = state.filing = state.payer = None
    elif kind == "23":
        state.patient = Person()


def _close(state: _State) -> None:
    """End the claim that is being read."""
    state.claim = state.line = None


def _insured(one: Segment, state: _State, found: Found) -> None:
    if state.claim is not None:
        found.left["837.other subscriber"] += 1
        return
    state.group, state.filing = one.get(3), one.get(9)


def _named(one: Segment, state: _State, found: Found) -> None:
    code = state.name = one.get(1) or ""
    state.last = None
    identifier = one.get(9)
    if code == "85" and state.claim is None:
        name = _name(one)
        state.house = identifier or name
        state.last = found.row("organization", state.house, name=name, identifier=identifier)
    elif code == "IL" and state.claim is None:
        state.subscriber.cells.update(_person(one))
        state.subscriber.member = identifier
    elif code == "QC" and state.patient is not None and state.claim is None:
        state.patient.cells.update(_person(one))
        state.patient.member = identifier or state.subscriber.member
    elif code == "PR" and state.claim is None:
        state.payer = identifier or _name(one)
        found.row("payer", state.payer, name=_name(one), kind=KINDS.get(state.filing or ""))
    elif code == "82" and state.claim is not None and state.line is None:
        key = identifier or _name(one)
        state.last = found.row("practitioner", key, identifier=identifier, **_names(one))
        _encounter(state)["practitioner_id"] = key
    elif code == "77" and state.claim is not None and state.line is None:
        key = identifier or _name(one)
        state.last = found.row("location", key, name=_name(one))
        _encounter(state)["location_id"] = key
    elif code not in {"41", "40", "87"}:
        found.left[f"837.NM1 {code}"] += 1


def _name(one: Segment) -> str:
    return " ".join(part for part in (one.get(4), one.get(3)) if part) or NO_NAME


def _names(one: Segment) -> Row:
    return {"family_name": one.get(3), "given_name": one.get(4)}


def _person(one: Segment) -> Row:
    return _names(one) if one.get(3) != NO_NAME else {}


def _line_one(one: Segment, state: _State, found: Found) -> None:
    _place(state, address_line=" ".join(part for part in (one.get(1), one.get(2)) if part) or None)


def _line_two(one: Segment, state: _State, found: Found) -> None:
    _place(state, city=one.get(1), region=one.get(2), postal_code=_postal(one.get(3)))
    person = _whom(state)
    if person is not None and one.get(4):
        person.cells.setdefault("country", one.get(4))


def _postal(text: str | None) -> str | None:
    return text[:5] if text and len(text) == 9 and text.endswith("9998") else text


def _whom(state: _State) -> Person | None:
    if state.claim is None and state.name == "IL":
        return state.subscriber
    return state.patient if state.claim is None and state.name == "QC" else None


def _place(state: _State, **cells: str | None) -> None:
    """Add an address to whom the last NM1 named: a person, or a billing provider."""
    target = state.last if state.name == "85" else None
    person = _whom(state)
    held = person.cells if person is not None else target
    if held is not None:
        held.update({name: cell for name, cell in cells.items() if cell is not None})


def _born(one: Segment, state: _State, found: Found) -> None:
    person = _whom(state)
    if person is not None:
        person.cells["birth_date"] = date_of(one.get(2))
        person.cells["sex"] = _SEX.get(one.get(3) or "", "unknown" if one.get(3) == "U" else None)


def _claim(one: Segment, state: _State, found: Found) -> None:
    _close(state)
    key = one.get(1) or f"claim {one.number}"
    place = one.part(5, 1)
    kind = CLASSES.get(place or "") if one.part(5, 2) != "A" else _HOSPITAL.get((place or "")[1:2])
    total = number_of(one.get(2))
    held = found.tables.setdefault("claim", {}).get(key)
    claim = found.row("claim", key)
    claim.setdefault("(parts)", [])
    if held is None or not claim["(parts)"]:
        claim["(parts)"] = [total]
    else:
        claim["(parts)"].append(total)
    claim["(class)"] = kind
    state.claim, state.line, state.name, state.part = claim, None, "", 1
    person = state.patient or state.subscriber
    claim["(person)"], claim["(member)"] = person, state.subscriber.member
    claim["(group)"], claim["(payer)"] = state.group, state.payer
    claim["(house)"] = state.house
    if state.ours:
        claim["(noted)"] = True


def _encounter(state: _State) -> Row:
    """Return the cells of the visit of the claim that is being read."""
    assert state.claim is not None
    held: Row = state.claim.setdefault("(encounter)", {})
    return held


def _dated(one: Segment, state: _State, found: Found) -> None:
    begin, end = span_of(one)
    what = one.get(1)
    if state.claim is None:
        found.left[f"837.DTP {what}"] += 1
    elif state.line is not None and what == "472":
        if not state.ours:  # there the note says the time, if there is one
            state.line.setdefault("time", begin)
        visit = _encounter(state)
        visit["(first)"] = min(filter(None, (visit.get("(first)"), begin)), default=None)
        visit["(last)"] = max(filter(None, (visit.get("(last)"), end)), default=None)
    elif state.line is None and what in {"435", "434"}:
        visit = _encounter(state)
        visit["start"] = begin
        if what == "434":
            visit["stop"] = end
    elif state.line is None and what == "096":
        _encounter(state)["stop"] = end
    else:
        found.left[f"837.DTP {what}"] += 1


def _referred(one: Segment, state: _State, found: Found) -> None:
    what, held = one.get(1), one.get(2)
    if state.line is not None and what == "6R":
        state.line["(key)"] = held
    elif state.claim is not None and state.line is None and state.name == "" and what == "EA":
        state.claim["(patient)"] = held
    elif state.ours and state.line is None and held and (state.name, what) in _KEYS:
        _rekey(state, held, found)
    elif state.name == "IL" and what == "SY" and state.claim is None:
        state.subscriber.cells["national_id"] = held
    elif what != "EI":
        found.left[f"837.REF {what}"] += 1


def _rekey(state: _State, key: str, found: Found) -> None:
    """Give what the last NM1 named its own key in place of its name or NPI."""
    if state.name == "PR":
        state.house = _renamed("organization", state.house, key, found)
        return
    table = "practitioner" if state.name == "82" else "location"
    visit = _encounter(state)
    visit[f"{table}_id"] = _renamed(table, visit.get(f"{table}_id"), key, found)


def _renamed(table: str, old: str | None, new: str, found: Found) -> str:
    row = found.tables.get(table, {}).pop(old or "", None)
    cells = {name: cell for name, cell in (row or {}).items() if name != f"{table}_id"}
    found.row(table, new, **cells)
    return new


def _noted(one: Segment, state: _State, found: Found) -> None:
    text = one.get(2) or ""
    said = dict(_NOTE.findall(text))
    if state.line is not None and text == "NO LINE":
        state.line["(none)"] = True
    elif state.line is not None and said:
        state.line.update(
            {"kind": said.get("KIND"), "system": said.get("SYSTEM"), "time": time_of(said.get("TIME")), "(noted)": True}
        )
    elif state.claim is not None and said:
        state.claim.update({"(encounter_id)": said.get("ENC"), "time": time_of(said.get("TIME")), "(noted)": True})
        if said.get("STATUS"):
            state.claim["status"] = None if said["STATUS"] == NO_STATUS else said["STATUS"]
            state.claim["(settled)"] = True
        state.part = int(said["PART"]) if said.get("PART", "").isdigit() else 1
    else:
        found.left["837.NTE"] += 1


def _diagnosed(one: Segment, state: _State, found: Found) -> None:
    if state.claim is None:
        return
    for position in range(1, len(one.elements)):
        system = _SYSTEMS.get(one.part(position, 1) or "")
        code = one.part(position, 2)
        if system is None:
            found.left[f"837.HI {one.part(position, 1)}"] += 1
        elif code and code != NO_DIAGNOSIS:
            state.claim.setdefault("(diagnoses)", []).append((system, _dotted(code, system)))


def _dotted(code: str, system: str) -> str:
    plain = code.replace(".", "")
    head = 4 if system == loose.ICD9CM and plain.startswith("E") else 3
    return plain if len(plain) <= head else f"{plain[:head]}.{plain[head:]}"


def _numbered(one: Segment, state: _State, found: Found) -> None:
    if state.claim is None:
        return
    number = one.get(1) or ""
    state.name = ""
    state.line = {"number": int(number) + MOST_LINES * (state.part - 1) if number.isdigit() else None}
    state.claim.setdefault("(lines)", []).append(state.line)


def _served(one: Segment, state: _State, found: Found) -> None:
    """SV1 and SV3 begin with the procedure, SV2 with the revenue code."""
    if state.line is None:
        return
    institutional = one.tag == "SV2"
    position, money = (2, 3) if institutional else (1, 2)
    qualifier, code = one.part(position, 1), one.part(position, 2)
    if code is None and institutional:
        qualifier, code = "revenue", one.get(1)
    state.line["code"], state.line["amount"] = code, number_of(one.get(money))
    systems = {"HC": "CPT" if (code or "").isdigit() else "HCPCS", "AD": "CDT", "revenue": "NUBC revenue"}
    state.line["(system)"] = systems.get(qualifier or "")
    state.line["(kind)"] = "procedure" if qualifier in {"HC", "AD"} else None


_READERS = {
    "HL": _level,
    "SBR": _insured,
    "NM1": _named,
    "N3": _line_one,
    "N4": _line_two,
    "DMG": _born,
    "CLM": _claim,
    "DTP": _dated,
    "REF": _referred,
    "NTE": _noted,
    "HI": _diagnosed,
    "LX": _numbered,
    "SV1": _served,
    "SV2": _served,
    "SV3": _served,
    **dict.fromkeys(("BHT", "PER", "PAT", "PRV"), lambda one, state, found: None),
}
