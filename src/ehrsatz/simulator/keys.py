"""Keys of rows: unique by construction, the same whatever the shard, and built without a Python string per row.

A patient's key is its number in the cohort, "P00000042"; everything that happens to it bears that key, a letter for the
table, and the ordinal within the patient: "P00000042-E00017". Numbers that need more digits get them, so that keys stay
unique without any limit on the cohort.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ehrsatz.simulator.history import Ints, ordinals

PATIENT, ORDINAL = 8, 5  # digits that are always there: with "P", "-" and a letter a key is 16 bytes, two machine words
LETTERS = {
    "encounter": "E",
    "condition": "C",
    "observation": "O",
    "order": "R",
    "report": "T",
    "medication": "M",
    "procedure": "X",
    "immunization": "I",
    "allergy": "A",
    "device": "D",
    "careplan": "L",
    "goal": "G",
    "coverage": "V",
    "claim": "B",
    "claim_line": "N",
    "payment": "Y",
    "relation": "F",
}

Words = NDArray[np.uint64]
_CHUNK = 1 << 27  # keys whose bytes one Arrow buffer can address


def _digits(width: int) -> Words:
    """Return the decimal digits of 0 .. 10^width - 1 as bytes packed into words, the first digit lowest."""
    numbers = np.arange(10**width, dtype=np.uint64)
    out = np.zeros(len(numbers), np.uint64)
    for place in range(width):
        digit = numbers // np.uint64(10 ** (width - 1 - place)) % np.uint64(10) + np.uint64(ord("0"))
        out |= digit << np.uint64(8 * place)
    return out


_FOUR, _FIVE = _digits(4), _digits(5)


def patients(number: Ints) -> pl.Series:
    """Return the keys of patients by their number in the cohort (N,)."""
    return _texts("P", number, PATIENT)


def numbered(letter: str, number: Ints, digits: int = 5) -> pl.Series:
    """Return keys of things that belong to no patient: a letter and a number, as in "H00012"."""
    return _texts(letter, number, digits)


def within(table: str, number: Ints, person: Ints) -> pl.Series:
    """Return the keys of a table's rows, which must be sorted by person.

    Parameters
    ----------
    table
        Name of the table, for its letter.
    number
        Shape (N,), numbers of the patients in the cohort.
    person
        Shape (R,), row of each row's patient.
    """
    ordinal = ordinals(person) + 1
    high = int(ordinal.max(initial=0))
    if int(number.max(initial=0)) < 10**PATIENT and high < 10**ORDINAL:
        return _short(LETTERS[table], number, person, ordinal)
    head = _texts("P", number, PATIENT).gather(person)
    return (head + "-" + _texts(LETTERS[table], ordinal, ORDINAL)).alias("")


def _short(letter: str, number: Ints, person: Ints, ordinal: Ints) -> pl.Series:
    """Build keys of 16 bytes from two words each."""
    low, high = np.divmod(number, 10**4)
    low, high = _FOUR[low], _FOUR[high]  # eight digits as two times four bytes
    begin = np.uint64(ord("P")) | low << np.uint64(8) | high << np.uint64(40)  # "P" and the first seven digits
    end = high >> np.uint64(24) | np.uint64(ord("-")) << np.uint64(8) | np.uint64(ord(letter)) << np.uint64(16)
    words = np.empty((len(person), 2), "<u8")
    words[:, 0] = begin[person]  # (N,) -> (R,)
    words[:, 1] = end[person]
    words[:, 1] |= _FIVE[ordinal] << np.uint64(24)
    return _series(words)


def _series(words: Words) -> pl.Series:
    """Return rows of 16 bytes (R, 2) as text, without a copy of the bytes."""
    if not len(words):
        return pl.Series([], dtype=pl.String)
    parts = []
    for start in range(0, len(words), _CHUNK):
        part = np.ascontiguousarray(words[start : start + _CHUNK])
        view = np.empty((len(part), 4), "<u4")  # length, first four bytes, buffer, place in the buffer
        view[:, 0] = 16
        view[:, 1] = part.view("<u4").reshape(len(part), 4)[:, 0]
        view[:, 2] = 0
        view[:, 3] = np.arange(0, 16 * len(part), 16, dtype=np.uint32)
        buffers = [None, pa.py_buffer(view), pa.py_buffer(part)]
        parts.append(pl.Series(pa.Array.from_buffers(pa.string_view(), len(part), buffers)))
    return pl.concat(parts) if len(parts) > 1 else parts[0]


def _texts(letter: str, number: Ints, digits: int) -> pl.Series:
    """Return a letter and a zero-padded number as text; for few rows."""
    return letter + pl.Series(number, dtype=pl.Int64).cast(pl.String).str.zfill(digits)
