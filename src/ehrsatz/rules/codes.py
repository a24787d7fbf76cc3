# ruff: noqa: E501 - tables of words
"""Codes as such: form and check digit of each system, units as UCUM writes them, one display per code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import polars as pl

from ehrsatz import clinical
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import View
from ehrsatz.terminology import units

FORMS = {
    "ICD-10-CM": re.compile(r"[A-Z][0-9][0-9AB](?:\.?[0-9A-Z]{1,4})?"),
    "ICD-9-CM": re.compile(r"(?:[0-9]{3}|V[0-9]{2}|E[0-9]{3})(?:\.?[0-9]{1,2})?"),
    "LOINC": re.compile(r"[0-9]{1,7}-[0-9]"),
    "SNOMED-CT": re.compile(r"[1-9][0-9]{5,17}"),
    "RxNorm": re.compile(r"[1-9][0-9]{0,7}"),
    "CVX": re.compile(r"[0-9]{1,3}"),
}
_ROUND = (  # Verhoeff: the dihedral group of order 10, its permutation of positions
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def verhoeff(digits: str) -> bool:
    """Say whether the last digit checks the others.

    References
    ----------
    Verhoeff J, Error Detecting Decimal Codes, Mathematical Centre Tract 29, Amsterdam 1969; SNOMED CT Technical
    Implementation Guide, section 6.3.

    Examples
    --------
    >>> verhoeff("44054006"), verhoeff("44054007")
    (True, False)
    """
    turns = [tuple(range(10))]
    for _ in range(7):
        turns.append(tuple(_TURN[one] for one in turns[-1]))
    state = 0
    for place, digit in enumerate(reversed(digits)):
        state = _ROUND[state][turns[place % 8][int(digit)]]
    return state == 0


def mod10(code: str) -> bool:
    """Say whether the digit after the hyphen checks those before it.

    References
    ----------
    Regenstrief Institute, LOINC Users' Guide 2.76 (2024), appendix on the mod 10 check digit.

    Examples
    --------
    >>> mod10("4548-4"), mod10("4548-5")
    (True, False)
    """
    body, _, check = code.partition("-")
    total = 0
    for place, digit in enumerate(reversed(body)):
        number = int(digit) * (2 if place % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return (10 - total % 10) % 10 == int(check)


@cache
def _formed(system: str, code: str) -> bool:
    return FORMS[system].fullmatch(code) is not None


@cache
def _checked(system: str, code: str) -> bool:
    if not _formed(system, code):
        return True  # another rule's affair
    return mod10(code) if system == "LOINC" else verhoeff(code)


@cache
def _partition(code: str) -> bool:
    """Whether the two digits before the last say that a SNOMED CT identifier is one of a concept."""
    return not _formed("SNOMED-CT", code) or code[-3:-1] in {"00", "10"}


@cache
def _unit(text: str) -> bool:
    return not units.check(text)


def _columns(view: View, system: str) -> Iterator[tuple[str, str]]:
    """Columns of a code system in these data."""
    for table in clinical.schema().tables:
        for column in table.columns:
            here = column.kind == "code" and view.has(f"{table.name}.{column.name}")
            if here and view.system(table.name, column.name) == system:
                yield table.name, column.name


def _every(system: str, test: Callable[[str], bool]) -> Body:
    def body(view: View) -> list[Found]:
        out: list[Found] = []
        for table, column in _columns(view, system):
            coded = view.coded(table, column)
            out += told(table, coded.at >= 0, coded.where(lambda text: not test(text)))
        for table in ("order", "allergy"):  # these name the system row by row
            if view.has(f"{table}.system") and view.has(f"{table}.code"):
                here = view.coded(table, "system").one_of([system])
                coded = view.coded(table, "code")
                out += told(table, here & (coded.at >= 0), coded.where(lambda text: not test(text)) & here)
        return out

    return body


def _undisplayed(view: View) -> list[Found]:
    out: list[Found] = []
    for table in clinical.schema().tables:
        if view.has(f"{table.name}.code") and view.has(f"{table.name}.display"):
            given = view.given(table.name, "code")
            out += told(table.name, given, given & ~view.given(table.name, "display"))
    return out


def _two_displays(table: str) -> Body:
    """Broken where a code has another display than in the first row that has it."""

    def body(view: View) -> list[Found]:
        codes = view.coded(table, "code")
        displays = view.cells(table, "display").cast(pl.String).hash().to_numpy()  # equal texts, equal numbers
        both = (codes.at >= 0) & view.given(table, "display")
        first = np.zeros(len(codes.names) + 1, dtype=np.uint64)
        rows = np.flatnonzero(both)[::-1]
        first[codes.at[rows]] = displays[rows]
        return told(table, both, both & (displays != first[codes.at]))

    return body


def _rules() -> Iterator[Statement]:
    for system, title, why, source in (
        ("ICD-10-CM", "Diagnosis code of no form of ICD-10-CM", "A letter, two characters, and up to four after the point.", "NCHS, ICD-10-CM Official Guidelines FY 2026, section I.A"),
        ("ICD-9-CM", "Diagnosis code of no form of ICD-9-CM", "Three digits, or V and two, or E and three, and up to two after the point.", "NCHS, ICD-9-CM 2014, conventions"),
        ("LOINC", "Observation code of no form of LOINC", "Digits, a hyphen, a check digit; local codes are none.", "Regenstrief Institute, LOINC Users' Guide 2.76 (2024)"),
        ("SNOMED-CT", "Code of no form of a SNOMED CT identifier", "6 to 18 digits that do not begin with 0.", "SNOMED International, Release File Specification 2024, section 3.1.4.2"),
        ("RxNorm", "Drug code of no form of RxNorm", "A whole number of up to eight digits.", "NLM, RxNorm Technical Documentation 2024"),
        ("CVX", "Vaccine code of no form of CVX", "Up to three digits.", "CDC, CVX code set 2024"),
    ):  # fmt: skip
        yield Statement(id=f"code.form.{system.lower().replace('-', '')}", title=title, severity=ERROR, needs="patient", why=why, source=source, body=_every(system, lambda text, system=system: _formed(system, text)))  # type: ignore[misc]  # fmt: skip
    yield Statement(id="code.check.loinc", title="LOINC with a wrong check digit", severity=ERROR, needs="observation.code", why="One digit was changed or two were swapped; deprecated local tables hold such codes.", source="Regenstrief Institute, LOINC Users' Guide 2.76 (2024), mod 10 check digit", body=_every("LOINC", lambda text: _checked("LOINC", text)))  # fmt: skip
    yield Statement(id="code.check.snomed", title="SNOMED CT identifier with a wrong check digit", severity=ERROR, needs="patient", why="One digit was changed or two were swapped; long identifiers that were read as numbers lose their end.", source="SNOMED International, Release File Specification 2024, section 6.3: Verhoeff", body=_every("SNOMED-CT", lambda text: _checked("SNOMED-CT", text)))  # fmt: skip
    yield Statement(id="code.partition.snomed", title="SNOMED CT identifier that is no concept's", severity=ERROR, needs="patient", why="The two digits before the last tell concepts (00, 10) from descriptions and relations.", source="SNOMED International, Release File Specification 2024, section 3.1.4.2: partition identifier", body=_every("SNOMED-CT", _partition))  # fmt: skip
    yield Statement(id="code.ucum", title="Unit that UCUM does not know", severity=WARNING, needs="observation.unit|medication.dose_unit", why="Units that no grammar reads cannot be converted; mmHg is mm[Hg], mEq is meq.", source="Schadow G, McDonald CJ, The Unified Code for Units of Measure 2.1, 2017, https://ucum.org/ucum", body=_every("UCUM", _unit))  # fmt: skip
    yield Statement(id="code.display", title="Code without a display", severity=WARNING, needs="patient", why="A person reads the display; a code alone hides slips.", source="HL7 FHIR R4 (2019), Coding.display", body=_undisplayed)  # fmt: skip
    for table in ("condition", "observation", "medication", "procedure", "immunization", "encounter"):
        yield Statement(id=f"code.displays.{table}", title=f"Code of {table} with two displays", severity=WARNING, needs=f"{table}.code {table}.display", why="One code means one thing; a second display is a slip, or an update of the code system.", source="HL7 FHIR R4 (2019), Coding.display", body=_two_displays(table))  # fmt: skip


RULES = tuple(_rules())
