"""Delimited text as blocks of text cells: encoding, delimiter and header found, every line checked for its width.

The file is read in blocks, so that a sample of a file larger than memory needs little memory. Quoting follows RFC 4180
(a quote inside a quoted cell is doubled); blocks that do not fit it are read once more, slowly, by Python's csv module,
which takes a lone quote inside a cell as it stands.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.errors import SourceError
from ehrsatz.sources import encoding as encoding_of

DELIMITERS = ",;\t|"


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
    found, size = encoding_of.find(path, encoding)
    if size == 0:
        raise encoding_of.refuse(path, "It is empty.", "Give a file with a header line and rows.")
    head = b""
    for block in encoding_of.utf8_blocks(path, found):
        head += block
        if len(head) > 1 << 20:
            break
    head = head.lstrip(b"\n")
    if not head.strip():
        raise encoding_of.refuse(path, "It holds blank lines only.", "Give a file with a header line and rows.")
    mark = delimiter or _sniff(head, path)
    ends = _ends(head, np.flatnonzero(np.frombuffer(head, dtype=np.uint8) == 10))
    first = head[: ends[0]] if len(ends) else head
    cells = next(csv.reader(io.StringIO(first.decode("utf-8", "replace"), newline=""), delimiter=mark), [])
    header, renamed = _header(cells, path)
    rest = head[len(first) + 1 :]
    if not rest.strip():
        raise encoding_of.refuse(path, "It holds a header line and no row.", "Give a file with at least 2 rows.")
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
    for block, is_last in _with_last(encoding_of.utf8_blocks(path, layout.encoding)):
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
            raise encoding_of.refuse(
                path, "A quote that opens a cell is never closed.", "Close it, or double it."
            ) from None
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
        raise encoding_of.refuse(path, "Its first line holds numbers only, no column names.", "Add a header line.")
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


def _with_last(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous: bytes | None = None
    for item in items:
        if previous is not None:
            yield previous, False
        previous = item
    if previous is not None:
        yield previous, True
