"""HL7 files as text in the right character set, whole, with carriage returns alone, and cut into blocks of messages.

Errors name the file and the message by number, never what stands in it.

References
----------
HL7 Version 2.5.1, chapter 2: 2.10.3 (batches), 2.15.9.18 (MSH-18); table 0211. MLLP, release 1.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ehrsatz.errors import SourceError

STARTS = ("MSH", "FHS", "BHS")
BLOCK = 24_000_000  # characters that are cut into segments at once
CHARSETS = {"": "utf-8", "ASCII": "utf-8", "UNICODE": "utf-8", "GB 18030-2000": "gb18030", "BIG-5": "big5"}


def looks_like_it(path: Path) -> bool:
    """Say by its first bytes whether a file is HL7 version 2."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        return False
    return start.lstrip(b"\xef\xbb\xbf\x0b\r\n\t ").startswith(tuple(f"{one}".encode() for one in STARTS))


def blocks(path: Path, left: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield the text of a file in blocks of whole messages, each with the number of messages before it.

    Segments end with carriage returns; bytes of MLLP are left out, batch headers are not.

    Raises
    ------
    SourceError
        When it cannot be read, is no HL7 version 2, is cut off, or is of an unknown character set.
    """
    text = _lines(_text(path, left), path)
    _complete(text, path)
    start = number = 0
    while start < len(text):
        end = text.find("\rMSH", start + BLOCK) + 1 or len(text)
        block = text[start:end]
        yield block, number
        number += block.count("\rMSH") + block.startswith("MSH")
        start = end


def _text(path: Path, left: Counter[str]) -> str:
    try:
        raw = path.read_bytes()
    except OSError:
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refuses it.", "Check the path and its permissions."
        ) from None
    if not looks_like_it(path):
        raise SourceError(
            f"Expected '{path.name}' to begin with an MSH, FHS or BHS segment.",
            "It begins with something else.",
            "Check whether it is HL7 version 2.",
        )
    raw = raw.removeprefix(codecs.BOM_UTF8)
    told = _charset(raw)
    codec = CHARSETS.get(told, "") or _codec(told)
    if not codec:
        raise SourceError(
            f"Expected a character set in MSH-18 of '{path.name}' that is known.",
            "Its first message names another one.",
            "Convert the file to UTF-8 and write UNICODE UTF-8 into MSH-18.",
        )
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        if told:
            number = len(re.findall(rb"(?:^|[\r\n\x0b])MSH", raw[: error.start]))
            raise SourceError(
                f"Expected '{path.name}' in the character set that MSH-18 names.",
                f"Message {number} holds bytes that are not of it.",
                "Correct MSH-18, or convert the file.",
            ) from None
    left["MSH-18: none, read as ISO 8859-1"] += 1
    return raw.decode("latin-1")


def _charset(raw: bytes) -> str:
    """Return MSH-18 of the first message, its first repetition, or an empty text."""
    at = re.search(rb"(?:^|[\r\n\x0b])MSH(.)([^\r\n]*)", raw)
    if at is None:
        return ""
    fields = at[2].split(at[1])
    return re.split(rb"[~^]", fields[16])[0].decode("ascii", "replace").strip() if len(fields) > 16 else ""


def _codec(told: str) -> str:
    name = told.upper().removeprefix("UNICODE ").replace("8859/", "ISO-8859-")
    try:
        return codecs.lookup(name.replace("ISO-ISO", "ISO")).name
    except LookupError:
        return ""


def _lines(text: str, path: Path) -> str:
    """Return the text with carriage returns alone between segments, without what MLLP puts round messages."""
    if text.count("\x0b") > text.count("\x1c"):
        raise _cut_off(path, "The last message has a start byte of MLLP and no end byte.")
    for sign, instead in (("\r\n", "\r"), ("\n", "\r"), ("\x1c", "\r"), ("\x0b", "\r")):
        if sign in text:
            text = text.replace(sign, instead)
    return text


def _cut_off(path: Path, found: str) -> SourceError:
    return SourceError(f"Expected '{path.name}' whole.", found, "Fetch the file again: it is cut off.")


def _complete(text: str, path: Path) -> None:
    """Check that a batch has its end, and as many messages as it says."""

    def many(name: str, start: int = 0, end: int | None = None) -> int:
        return text.count(f"\r{name}", start, end) + (start == 0 and text.startswith(name))

    start = batch = 0
    while (end := text.find("\rBTS", start)) >= 0:
        batch += 1
        said = re.match(r"\rBTS.(\d+)", text[end : end + 20])
        held = many("MSH", start, end)
        if said and int(said[1]) != held:
            raise SourceError(
                f"Expected as many messages in '{path.name}' as its batches say.",
                f"Batch {batch} says {int(said[1]):,} and holds {held:,}.",
                "Fetch the file again.",
            )
        start = end + 1
    for first, last in (("FHS", "FTS"), ("BHS", "BTS")):
        if many(first) > many(last):
            raise _cut_off(path, f"It has the header {first} and lacks the trailer {last}.")
