"""The bytes of a text file: unpacked, decoded, and refused where they are no text."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ehrsatz.errors import SourceError

BLOCK = 1 << 24
_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"SQLite format 3": "a SQLite database",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"ARROW1": "an Arrow file",
}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def find(path: Path, wanted: str | None) -> tuple[str, int]:
    """Return the encoding and the size in bytes, decompressed."""
    size = 0
    high = np.zeros(256, dtype=np.int64)
    decoder_utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")("strict")
    pairs = lines = 0
    bad_line: int | None = None
    named = wanted
    for i, block in enumerate(raw_blocks(path)):
        if i == 0:
            kind = next((what for magic, what in _MAGIC.items() if block.startswith(magic)), None)
            if kind is not None:
                raise refuse(
                    path, f"It is {kind}, whatever its name says.", "Export it as CSV, or name its own format."
                )
            named = named or next((name for bom, name in _BOMS if block.startswith(bom)), None)
            if named in {None, "utf-8-sig"} and b"\0" in block[: 1 << 16]:
                raise refuse(
                    path, "It holds binary data.", "Give a text file; for UTF-16 without a mark name --encoding."
                )
        size += len(block)
        if named is not None:
            continue
        if decoder_utf8 is not None:
            try:
                decoder_utf8.decode(block)
            except UnicodeDecodeError as error:
                bad_line = lines + block.count(b"\n", 0, error.start) + 1
                decoder_utf8 = None
        lines += block.count(b"\n")
        high += np.bincount(np.frombuffer(block, dtype=np.uint8), minlength=256)
        pairs += len(re.findall(rb"[\xc3-\xdf][\x80-\xbf]", block))
    if named is not None:
        _check_decodes(path, named)
        return named, size
    if decoder_utf8 is not None:
        try:
            decoder_utf8.decode(b"", True)
        except UnicodeDecodeError:
            bad_line = lines + 1
        else:
            return "utf-8", size
    n_high, control = int(high[128:].sum()), int(high[:9].sum() + high[14:32].sum())
    undefined = int(high[[0x81, 0x8D, 0x8F, 0x90, 0x9D]].sum())
    if control or undefined or n_high > 0.2 * size or 4 * pairs > n_high:
        raise refuse(
            path,
            f"It is neither UTF-8 (line {bad_line:,} breaks it) nor Western European.",
            "Save it as UTF-8, or name its encoding.",
        )
    return "cp1252", size


def _check_decodes(path: Path, encoding: str) -> None:
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        for block in raw_blocks(path):
            decoder.decode(block)
        decoder.decode(b"", True)
    except LookupError:
        raise refuse(path, "The encoding asked for is not known.", "Use utf-8, utf-16, cp1252 or latin-1.") from None
    except UnicodeError:
        raise refuse(path, f"It cannot be read as {encoding}.", "Save it as UTF-8, or name its encoding.") from None


def raw_blocks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed where it is gzip, whatever its name."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with cast(BinaryIO, gzip.open(path, "rb") if packed else open(path, "rb")) as file:
            while block := file.read(BLOCK):
                yield block
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise refuse(path, "Its gzip stream is damaged or cut off.", "Fetch the file again.") from None
    except OSError as error:
        raise refuse(
            path, f"It cannot be read ({error.strerror or type(error).__name__}).", "Check the path."
        ) from None


def utf8_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    r"""Yield the file as UTF-8 with line ends \n, without a byte order mark."""
    plain = encoding in {"utf-8", "utf-8-sig"}
    decoder = None if plain else codecs.getincrementaldecoder(encoding)("strict")
    held, start = b"", True
    for raw in raw_blocks(path):
        block = held + (raw if decoder is None else decoder.decode(raw).encode("utf-8"))
        if start:
            block, start = block.removeprefix(codecs.BOM_UTF8), False
        held = b""
        if block.endswith(b"\r"):
            block, held = block[:-1], b"\r"
        yield block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    rest = held + (decoder.decode(b"", True).encode("utf-8") if decoder else b"")
    if rest:
        yield rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def refuse(path: Path, found: str, advice: str) -> SourceError:
    """Return the error for a file that is no delimited text."""
    return SourceError(f"Expected '{path.name}' to be a table in delimited text.", found, advice)
