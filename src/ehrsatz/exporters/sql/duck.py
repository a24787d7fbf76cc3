"""The bytes of a DuckDB file: equal rows are to give equal files.

DuckDB draws an identifier for each new file, which ties its log to it and is of no use once the log is written out.
Where it lies is found by comparing the heads of empty files, so that no version's layout is relied on.

References
----------
DuckDB, "Storage": https://duckdb.org/docs/internals/storage; the checksum as in its src/common/checksum.cpp.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ehrsatz import extras

HEAD = 4096  # bytes of the first header, its checksum in the first eight
_EMPTY = 4  # files that are compared: one byte of 16 is the same in all of them once in a million


def level(path: Path) -> None:
    """Set the identifier of a closed DuckDB file to zeros; a head that is not understood stays as it is."""
    with path.open("r+b") as stream:
        head = bytearray(stream.read(HEAD))
        if len(head) < HEAD or head[8:12] != b"DUCK" or _checksum(head) != head[:8]:
            return
        for position in _drawn():
            head[position] = 0
        head[:8] = _checksum(head)
        stream.seek(0)
        stream.write(head)


def _checksum(head: bytearray) -> bytes:
    words = np.frombuffer(bytes(head[8:]), dtype="<u8")
    mixed = words * np.uint64(0xBF58476D1CE4E5B9)  # wraps round
    return (np.bitwise_xor.reduce(mixed) ^ np.uint64(5381)).astype("<u8").tobytes()


@cache
def _drawn() -> tuple[int, ...]:
    """Positions in the head where empty files of this version differ, the checksum apart."""
    driver: Any = extras.require("duckdb", extra="sql", feature="Writing a DuckDB file")
    heads = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(_EMPTY):
            path = Path(folder) / f"{number}.duckdb"
            driver.connect(str(path)).close()
            heads.append(path.read_bytes()[8:HEAD])
    return tuple(i + 8 for i, cells in enumerate(zip(*heads)) if len(set(cells)) > 1)
