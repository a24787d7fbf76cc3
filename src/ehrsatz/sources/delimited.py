"""Delimited text as blocks of text cells: encoding, delimiter and header found, every line checked for its width.

The file is read in blocks, so that a sample of a file larger than memory needs little memory. Quoting follows RFC 4180
(a quote inside a quoted cell is doubled); blocks that do not fit it are read once more, slowly, by Python's csv module,
which takes a lone quote inside a cell as it stands.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.errors import SourceError

BLOCK = 1 << 24
DELIMITERS = ",;\t|"
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


@dataclass(frozen=True)
class Layout:
    """How a delimited file is written: encoding, delimiter, column names, and an estimate of its rows.

    `renamed` names columns whose header cell was empty.
    """

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    n_rows: int
    bytes_per_row: float
    renamed: tuple[str, ...] = ()


def inspect(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Layout:
    """Find out how a file is written, reading it once for its encoding.

    Raises
    ------
    SourceError
        When the file is empty, binary, in no known encoding, has no header or no row, or names a column twice.
    """
    found, size = _encoding(path, encoding)
    if size == 0:
        raise _refuse(path, "It is empty.", "Give a file with a header line and rows.")
    head = b""
    for block in _utf8(path, found):
        head += block
        if len(head) > 1 << 20:
            break
    head = head.lstrip(b"\n")
    if not head.strip():
        raise _refuse(path, "It holds blank lines only.", "Give a file with a header line and rows.")
    mark = delimiter or _sniff(head, path)
    ends = _ends(head, np.flatnonzero(np.frombuffer(head, dtype=np.uint8) == 10))
    first = head[: ends[0]] if len(ends) else head
    cells = next(csv.reader(io.StringIO(first.decode("utf-8", "replace"), newline=""), delimiter=mark), [])
    header, renamed = _header(cells, path)
    rest = head[len(first) + 1 :]
    if not rest.strip():
        raise _refuse(path, "It holds a header line and no row.", "Give a file with at least 2 rows.")
    lines = max(1, rest.count(b"\n") + (not rest.endswith(b"\n")))
    per_row = len(rest) / lines
    whole = len(head) <= 1 << 20
    return Layout(found, mark, header, lines if whole else round(size / per_row), per_row, renamed)


def blocks(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file as frames of text, all columns, blank cells null.

    Raises
    ------
    SourceError
        When lines have more or fewer cells than the header; all of them are counted before it is raised.
    """
    width = len(layout.header)
    left, line, is_first = b"", 1, True
    ragged: list[int] = []
    n_ragged = n_rows = 0
    for block, is_last in _with_last(_utf8(path, layout.encoding)):
        data = left + block
        if is_first:
            stripped = data.lstrip(b"\n")
            line += len(data) - len(stripped)
            data = stripped
        newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
        ends = _ends(data, newlines)
        if is_last and (not len(ends) or ends[-1] != len(data) - 1):
            data += b"\n"
            ends = np.append(ends, len(data) - 1)
        elif not len(ends):
            left = data
            continue
        cut = int(ends[-1]) + 1
        left, part = data[cut:], data[:cut]
        start = int(ends[0]) + 1 if is_first else 0
        lines_in_header = part[:start].count(b"\n")
        is_first = False
        body, starts = _drop_blank(part[start:], ends[ends >= start] - start, keep=width == 1)
        if not body:
            line += part.count(b"\n")
            continue
        frame, bad = _frame(body, layout, starts, path)
        if len(bad):
            n_ragged += len(bad)
            for at in bad[: 5 - len(ragged)] if len(ragged) < 5 else ():
                ragged.append(line + lines_in_header + part[start:].count(b"\n", 0, int(at)))
        n_rows += len(starts)
        line += part.count(b"\n")
        if frame is not None and not n_ragged:
            yield frame
    if n_ragged:
        places = ", ".join(f"{number:,}" for number in ragged)
        raise SourceError(
            f"Expected {width} cells in every line of '{path.name}', as in its header.",
            f"{n_ragged:,} of {n_rows:,} lines have more or fewer; the first at line {places}.",
            "Correct or quote these lines, or name another delimiter.",
        )


def _frame(
    body: bytes, layout: Layout, starts: NDArray[np.int64], path: Path
) -> tuple[pl.DataFrame | None, NDArray[np.int64]]:
    """Read whole lines as a frame; where their widths differ, return the starts of the lines that do."""
    width = len(layout.header)
    counts = _widths(body, starts, layout.delimiter)
    if width > 1 and (counts == width).all():
        try:
            read = pl.read_csv(
                body,
                has_header=False,
                new_columns=list(layout.header),
                infer_schema=False,
                separator=layout.delimiter,
                encoding="utf8",
            )
        except pl.exceptions.PolarsError:
            read = None
        if read is not None and read.height == len(starts) and read.width == width:
            return read, starts[:0]
    rows = _slowly(body, layout.delimiter, path)
    rows = [row or [""] for row in rows] if width == 1 else [row for row in rows if row]
    wrong = [i for i, row in enumerate(rows) if len(row) != width]
    if not wrong:
        columns = {name: [row[i] or None for row in rows] for i, name in enumerate(layout.header)}
        return pl.DataFrame(columns, schema=dict.fromkeys(layout.header, pl.String)), starts[:0]
    if (counts != width).any():
        return None, starts[counts != width]
    return None, starts[: len(wrong)]


def _slowly(body: bytes, delimiter: str, path: Path) -> list[list[str]]:
    text = body.decode("utf-8")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error) or "field larger" in str(error):
            raise _refuse(path, "A quote that opens a cell is never closed.", "Close it, or double it.") from None
    return rows


def _widths(body: bytes, starts: NDArray[np.int64], delimiter: str) -> NDArray[np.int64]:
    data = np.frombuffer(body, dtype=np.uint8)
    marks = np.flatnonzero(data == ord(delimiter))
    quotes = np.flatnonzero(data == 34)
    if len(quotes):
        marks = marks[np.searchsorted(quotes, marks) % 2 == 0]
    return np.diff(np.searchsorted(marks, np.append(starts, len(body)))) + 1


def _ends(data: bytes, newlines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the line ends that are outside quotes."""
    quotes = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 34)
    return newlines[np.searchsorted(quotes, newlines) % 2 == 0] if len(quotes) else newlines


def _drop_blank(body: bytes, ends: NDArray[np.int64], *, keep: bool) -> tuple[bytes, NDArray[np.int64]]:
    """Return the lines without blank ones, and where each begins."""
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if len(ends) else ends
    blank = starts == ends
    if keep or not blank.any():
        return body, starts
    data = np.delete(np.frombuffer(body, dtype=np.uint8), ends[blank])
    removed = np.cumsum(blank)
    return data.tobytes(), (starts - removed)[~blank]


def _header(cells: list[str], path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = [cell.strip().lstrip("\ufeff") for cell in cells]
    renamed = tuple(f"column_{i + 1}" for i, name in enumerate(names) if not name)
    names = [name or f"column_{i + 1}" for i, name in enumerate(names)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise SourceError(
            f"Expected every column of '{path.name}' to have its own name.",
            f"{len(twice)} names stand more than once: {', '.join(twice[:10])}.",
            "Rename the columns in the header line.",
        )
    if names and all(re.fullmatch(r"[+-]?\d+([.,]\d+)?", name) for name in names):
        raise _refuse(path, "Its first line holds numbers only, no column names.", "Add a header line.")
    return tuple(names), renamed


def _sniff(head: bytes, path: Path) -> str:
    """Choose the delimiter that cuts the first lines into most alike widths."""
    ends = _ends(head, np.flatnonzero(np.frombuffer(head, dtype=np.uint8) == 10))[:200]
    part = head[: int(ends[-1]) + 1] if len(ends) else head
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if len(ends) else np.zeros(1, dtype=np.int64)
    best: tuple[float, int, bool] = (0.0, 0, False)
    chosen = ","
    for mark in DELIMITERS:
        widths = _widths(part, starts, mark)
        if widths[0] < 2:
            continue
        rank = (round(float((widths == widths[0]).mean()), 1), int(widths[0]), mark == "\t" and ".tsv" in path.name)
        if rank > best:
            best, chosen = rank, mark
    return chosen


def _encoding(path: Path, wanted: str | None) -> tuple[str, int]:
    """Return the encoding and the size in bytes, decompressed."""
    size = 0
    high = np.zeros(256, dtype=np.int64)
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")("strict")
    pairs = lines = 0
    bad_line: int | None = None
    named = wanted
    for i, block in enumerate(_raw(path)):
        if i == 0:
            kind = next((what for magic, what in _MAGIC.items() if block.startswith(magic)), None)
            if kind is not None:
                raise _refuse(
                    path, f"It is {kind}, whatever its name says.", "Export it as CSV, or name its own format."
                )
            named = named or next((name for bom, name in _BOMS if block.startswith(bom)), None)
            if named in {None, "utf-8-sig"} and b"\0" in block[: 1 << 16]:
                raise _refuse(
                    path, "It holds binary data.", "Give a text file; for UTF-16 without a mark name --encoding."
                )
        size += len(block)
        if named is not None:
            continue
        if utf8 is not None:
            try:
                utf8.decode(block)
            except UnicodeDecodeError as error:
                bad_line = lines + block.count(b"\n", 0, error.start) + 1
                utf8 = None
        lines += block.count(b"\n")
        high += np.bincount(np.frombuffer(block, dtype=np.uint8), minlength=256)
        pairs += len(re.findall(rb"[\xc3-\xdf][\x80-\xbf]", block))
    if named is not None:
        _check_decodes(path, named)
        return named, size
    if utf8 is not None:
        try:
            utf8.decode(b"", True)
        except UnicodeDecodeError:
            bad_line = lines + 1
        else:
            return "utf-8", size
    n_high, control = int(high[128:].sum()), int(high[:9].sum() + high[14:32].sum())
    undefined = int(high[[0x81, 0x8D, 0x8F, 0x90, 0x9D]].sum())
    if control or undefined or n_high > 0.2 * size or 4 * pairs > n_high:
        raise _refuse(
            path,
            f"It is neither UTF-8 (line {bad_line:,} breaks it) nor Western European.",
            "Save it as UTF-8, or name its encoding.",
        )
    return "cp1252", size


def _check_decodes(path: Path, encoding: str) -> None:
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        for block in _raw(path):
            decoder.decode(block)
        decoder.decode(b"", True)
    except LookupError:
        raise _refuse(path, "The encoding asked for is not known.", "Use utf-8, utf-16, cp1252 or latin-1.") from None
    except UnicodeError:
        raise _refuse(path, f"It cannot be read as {encoding}.", "Save it as UTF-8, or name its encoding.") from None


def _raw(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed where it is gzip, whatever its name."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with cast(BinaryIO, gzip.open(path, "rb") if packed else open(path, "rb")) as file:
            while block := file.read(BLOCK):
                yield block
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _refuse(path, "Its gzip stream is damaged or cut off.", "Fetch the file again.") from None
    except OSError as error:
        raise _refuse(
            path, f"It cannot be read ({error.strerror or type(error).__name__}).", "Check the path."
        ) from None


def _utf8(path: Path, encoding: str) -> Iterator[bytes]:
    r"""Yield the file as UTF-8 with line ends \n, without a byte order mark."""
    plain = encoding in {"utf-8", "utf-8-sig"}
    decoder = None if plain else codecs.getincrementaldecoder(encoding)("strict")
    held, start = b"", True
    for raw in _raw(path):
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


def _with_last(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous: bytes | None = None
    for item in items:
        if previous is not None:
            yield previous, False
        previous = item
    if previous is not None:
        yield previous, True


def _refuse(path: Path, found: str, advice: str) -> SourceError:
    return SourceError(f"Expected '{path.name}' to be a table in delimited text.", found, advice)
