"""Interchanges as segments: delimiters from ISA, envelopes counted, and what elements say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from ehrsatz.errors import SourceError

MOST_BYTES = 1024 * 2**20
ISA_LENGTH = 106
_DAY = re.compile(r"\d{8}")
_TIME = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)?(?:\.(\d{1,6}))?")


@dataclass(frozen=True)
class Segment:
    """A segment: its elements from 1 on, the delimiter of components, and its number in the file."""

    elements: tuple[str, ...]
    component: str
    number: int

    @property
    def tag(self) -> str:
        """Return the name of the segment."""
        return self.elements[0]

    def get(self, position: int) -> str | None:
        """Return an element; missing where it is empty or not there."""
        return (self.elements[position] or None) if position < len(self.elements) else None

    def part(self, position: int, component: int) -> str | None:
        """Return a component of an element, both counted from 1."""
        held = (self.get(position) or "").split(self.component)
        return (held[component - 1] or None) if component <= len(held) else None


@dataclass(frozen=True)
class Transaction:
    """What lies between ST and SE: its kind (837, 835), its guide, who sent its group, and its segments."""

    kind: str
    version: str
    sender: str
    segments: tuple[Segment, ...]


def transactions(path: Path) -> Iterator[Transaction]:
    """Give the transactions of a file, after checking the envelopes round them.

    Raises
    ------
    SourceError
        When it is no X12, is cut off, or its trailers count or name something else than there is.
    """
    text = _text(path)
    begun: Segment | None = None
    inside: list[Segment] = []
    group: Segment | None = None
    outer: Segment | None = None
    n_sets = n_groups = 0
    for one in _segments(text, path):
        tag = one.tag
        if tag == "ISA":
            _expect(outer is None, path, one, "IEA before the next ISA")
            outer, n_groups = one, 0
        elif tag == "GS":
            _expect(outer is not None and group is None, path, one, "GS within an interchange")
            group, n_sets = one, 0
            n_groups += 1
        elif tag == "ST":
            _expect(group is not None and begun is None, path, one, "ST within a group")
            begun, inside = one, []
            n_sets += 1
        elif tag == "SE":
            _expect(begun is not None, path, one, "ST before SE")
            assert begun is not None and group is not None
            _counted(one, len(inside) + 2, path, "segments")
            _expect(one.get(2) == begun.get(2), path, one, "the number of ST again in SE")
            yield Transaction(begun.get(1) or "", begun.get(3) or group.get(8) or "", group.get(2) or "", tuple(inside))
            begun = None
        elif tag == "GE":
            _expect(group is not None and begun is None, path, one, "SE and GS before GE")
            _counted(one, n_sets, path, "transactions")
            group = None
        elif tag == "IEA":
            _expect(outer is not None and group is None, path, one, "GE and ISA before IEA")
            _counted(one, n_groups, path, "groups")
            outer = None
        elif begun is not None:
            inside.append(one)
        elif tag != "TA1":
            _expect(False, path, one, "segments only within ST and SE")
    if outer is not None:
        raise SourceError(
            f"Expected the end of the interchange (IEA) in '{path.name}'.",
            "The file ends before it.",
            "Get the whole file again: it was cut off.",
        )


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        held = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError:
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refused it.", "Check the file and its permissions."
        ) from None
    if size > MOST_BYTES:
        raise SourceError(
            f"Expected a file of at most {MOST_BYTES // 2**20} MiB.",
            f"'{path.name}' has {size // 2**20:,} MiB.",
            "Split it between interchanges.",
        )
    try:
        return held.decode("utf-8-sig")
    except UnicodeDecodeError:
        return held.decode("latin-1")


def _segments(text: str, path: Path) -> Iterator[Segment]:
    """Give the segments of all interchanges; each ISA names the delimiters anew."""
    start, number = 0, 0
    while True:
        while start < len(text) and text[start].isspace():
            start += 1
        if start >= len(text):
            if number == 0:
                raise _no_isa(path)
            return
        if not text.startswith("ISA", start) or len(text) < start + ISA_LENGTH:
            raise _no_isa(path, number)
        element, component = text[start + 3], text[start + 104]
        terminator = text[start + 105]
        end = text.find(f"{terminator}", start + ISA_LENGTH)
        stop = _end(text, start, element, terminator)
        if element.isalnum() or end < 0:
            raise _no_isa(path, number)
        for held in text[start:stop].split(terminator):
            plain = held.strip("\r\n")
            if plain.strip():
                number += 1
                yield Segment(tuple(plain.lstrip().split(element)), component, number)
        start = stop


def _end(text: str, start: int, element: str, terminator: str) -> int:
    """Return where the interchange that begins at `start` ends: after its IEA, else at the end of the text."""
    match = re.compile(rf"{re.escape(terminator)}\s*IEA{re.escape(element)}[^{re.escape(terminator)}]*").search(
        text, start
    )
    return len(text) if match is None else min(match.end() + 1, len(text))


def _no_isa(path: Path, number: int = 0) -> SourceError:
    where = "It begins otherwise." if number == 0 else f"After segment {number:,} something else follows."
    return SourceError(
        f"Expected X12 interchanges in '{path.name}', each beginning with ISA.", where, "Name X12 files alone."
    )


def _expect(holds: bool, path: Path, one: Segment, what: str) -> None:
    if not holds:
        raise SourceError(
            f"Expected {what} in '{path.name}'.",
            f"Segment {one.number:,} ({one.tag}) stands elsewhere.",
            "Get the file again, or ask its sender.",
        )


def _counted(one: Segment, count: int, path: Path, what: str) -> None:
    if one.get(1) is None or not one.elements[1].isdigit() or int(one.elements[1]) != count:
        raise SourceError(
            f"Expected {one.tag} in '{path.name}' to count the {what} before it.",
            f"In segment {one.number:,} it counts others than the {count:,} that there are.",
            "Get the file again: something was lost or added.",
        )


# ---------------------------------------------------------------------- elements
def number_of(text: str | None) -> float | None:
    """Return the number that an element says."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def time_of(text: str | None) -> datetime | None:
    """Return the time that CCYYMMDD, or that with hours and minutes, says."""
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d")
        match = _TIME.fullmatch(text)
        if match is None:
            return None
        day, hour, minute, second, part = match.groups()
        begun = datetime.strptime(day, "%Y%m%d")
        micro = int((part or "0").ljust(6, "0"))
        return begun.replace(hour=int(hour), minute=int(minute), second=int(second or 0), microsecond=micro)
    except ValueError:
        return None


def date_of(text: str | None) -> date | None:
    """Return the date that an element says."""
    time = time_of(text)
    return None if time is None else time.date()


def span_of(segment: Segment) -> tuple[datetime | None, datetime | None]:
    """Return the begin and end that DTP says, in one date or a range."""
    begin, _, end = (segment.get(3) or "").partition("-")
    first = time_of(begin)
    return first, time_of(end) if end else first
