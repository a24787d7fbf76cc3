"""Safe XML, and the data types of CDA: identifiers, codes, times, values.

A document with a document type declaration is refused, and with it every entity: no file is opened on its behalf, and
nothing in it can grow. Tags lose their namespace; those of the SDTC extension keep it as a prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from ehrsatz import loose
from ehrsatz.errors import SourceError
from ehrsatz.layouts.ccda import KEYS, SDTC, V3

MOST_BYTES = 256 * 2**20
MOST_DEPTH = 100
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
SYSTEMS = {oid: name for name, oid in loose.OIDS.items()}
TABLES = {root: table for table, root in KEYS.items()}
_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d+))?(?:[+-]\d{2,4})?")


class _Begun(Exception):
    """The root element was reached."""


def read(path: Path) -> Element:
    """Return the root element of a document.

    Raises
    ------
    SourceError
        When it is too large or too deep, no XML, no clinical document, or declares a document type.
    """
    try:
        size = path.stat().st_size
        held = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError:
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refused it.", "Check the file and its permissions."
        ) from None
    if size > MOST_BYTES:
        raise SourceError(
            f"Expected a document of at most {MOST_BYTES // 2**20} MiB.",
            f"'{path.name}' has {size // 2**20:,} MiB.",
            "Leave it out, or split the record.",
        )
    try:
        _refuse_types(held, path)
        root = ElementTree.fromstring(held)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        line = getattr(error, "lineno", None) or getattr(error, "position", (0, 0))[0]
        raise SourceError(
            f"Expected XML in '{path.name}'.", f"It is damaged in line {line}.", "Export the document again."
        ) from None
    except (LookupError, ValueError):
        raise SourceError(
            f"Expected XML in '{path.name}'.", "Its encoding is not known.", "Save the document as UTF-8."
        ) from None
    if root.tag != f"{{{V3}}}ClinicalDocument":
        raise SourceError(
            f"Expected a clinical document (CDA R2) in '{path.name}'.",
            "Its root element is another one.",
            "Name C-CDA files alone.",
        )
    _shorten(root, path)
    return root


def _refuse_types(held: bytes, path: Path) -> None:
    """Read up to the root element; a document type declaration can stand nowhere else."""

    def refuse(*_: object) -> None:
        raise SourceError(
            f"Expected '{path.name}' without a document type declaration.",
            "It has one, and so could name other files or entities.",
            "Remove the declaration: C-CDA documents need none.",
        )

    def begun(*_: object) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begun
    try:
        parser.Parse(held, True)
    except _Begun:
        return


def _shorten(root: Element, path: Path) -> None:
    """Take namespaces off the tags, level by level."""
    known: dict[str, str] = {}
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise SourceError(
                f"Expected at most {MOST_DEPTH} levels of elements in '{path.name}'.",
                "It has more.",
                "Leave the document out: no C-CDA is as deep.",
            )
        for element in level:
            short = known.get(element.tag)
            if short is None:
                space, _, name = element.tag.rpartition("}")
                short = known[element.tag] = f"sdtc:{name}" if space == f"{{{SDTC}" else name
            element.tag = short
        level = [child for element in level for child in element]


# ---------------------------------------------------------------------- identifiers
def key_of(element: Element | None, table: str, *, tag: str = "id") -> str | None:
    """Return the key that an element's identifiers give: ours as it was, of others root and extension."""
    if element is None:
        return None
    first = None
    for one in element.findall(tag):
        root, extension = one.get("root"), one.get("extension")
        if root == KEYS[table]:
            return extension or ""
        if first is None and root and one.get("nullFlavor") is None:
            first = f"{root}^{extension}" if extension else root
    return first


def under(element: Element | None, root: str, *, tag: str = "id") -> str | None:
    """Return the extension of the identifier under a root."""
    if element is None:
        return None
    return next((one.get("extension") for one in element.findall(tag) if one.get("root") == root), None)


def is_ours(element: Element, table: str) -> bool:
    """Say whether a key of ours is among an element's identifiers."""
    return under(element, KEYS[table]) is not None


def templates(element: Element) -> set[str]:
    """Return the roots of an element's templates."""
    return {one.get("root", "") for one in element.findall("templateId")}


# ---------------------------------------------------------------------- codes
@dataclass(frozen=True)
class Code:
    """A code, its system by our names (else as the document says it), and its display."""

    value: str | None
    system: str | None
    display: str | None


NOTHING = Code(None, None, None)


def code_of(element: Element | None) -> Code:
    """Return the code of a coded element; of one without a code, the words in it."""
    if element is None:
        return NOTHING
    value, said = element.get("code"), words(element.find("originalText"))
    if value is None:
        return Code(None, None, said if said is not None else element.get("displayName"))
    oid = element.get("codeSystem")
    system = SYSTEMS.get(oid or "", element.get("codeSystemName") or oid)
    display = element.get("displayName")
    return Code(value, system, said if display is None else display)


def words(element: Element | None) -> str | None:
    """Return the text of an element and all in it; missing where it has a nullFlavor or only a reference."""
    if element is None or element.get("nullFlavor") is not None:
        return None
    if not len(element):
        return element.text or ""
    if element.find("reference") is not None and not "".join(element.itertext()).strip():
        return None
    return "".join(element.itertext())


# ---------------------------------------------------------------------- times
def time_of(element: Element | None) -> datetime | None:
    """Return the clock time that an element says; its offset is left out, as times here have no zone."""
    return None if element is None else moment(element.get("value"))


def moment(text: str | None) -> datetime | None:
    """Return the time that a CDA timestamp says."""
    match = _TIME.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    year, month, day, hour, minute, second, part = match.groups()
    try:
        return datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((part or "0")[:6].ljust(6, "0")),
        )
    except ValueError:
        return None


def date_of(element: Element | None) -> date | None:
    """Return the date that an element says."""
    time = time_of(element)
    return None if time is None else time.date()


def span(element: Element | None) -> tuple[datetime | None, datetime | None]:
    """Return begin and end of an interval; of a single time, that time and no end."""
    if element is None:
        return None, None
    if element.get("value") is not None:
        return time_of(element), None
    low, high = element.find("low"), element.find("high")
    if low is None and high is None:
        return time_of(element.find("center")), None
    return time_of(low), time_of(high)


# ---------------------------------------------------------------------- values
@dataclass(frozen=True)
class Value:
    """A number with its unit, or text."""

    number: float | None = None
    unit: str | None = None
    text: str | None = None


def value_of(element: Element | None) -> Value:
    """Return the value that an element of any data type holds."""
    if element is None:
        return Value()
    kind = (element.get(TYPE) or "").rpartition(":")[2]
    if kind in {"CD", "CE", "CO", "CV", "CS"}:
        code = code_of(element)
        return Value(text=code.display if code.display is not None else code.value)
    if kind in {"IVL_PQ", "IVL_INT", "IVL_REAL", "RTO", "RTO_PQ_PQ"}:
        ends = [f"{one.get('value')} {one.get('unit') or ''}".strip() for one in element if one.get("value")]
        return Value(text=" - ".join(ends) or None)
    held = element.get("value")
    if held is None:
        return Value(unit=element.get("unit")) if kind == "PQ" else Value(text=words(element))
    if kind in {"BL", "TS"}:
        return Value(text=held)
    found = number_of(held)
    unit = element.get("unit") or element.get("currency")
    return Value(text=f"{held} {unit or ''}".strip()) if found is None else Value(found, unit)


def number_of(text: str | None) -> float | None:
    """Return the number that a text says."""
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and abs(found) != float("inf") and found == found else None
