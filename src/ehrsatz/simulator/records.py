"""Raw records of one shard: what care wrote down, as plain arrays, before keys and words are put in.

`Encounters` come first, sorted by person, then start. Every other kind is a `Rows`: arrays of one length under the
names below, sorted by encounter, then time. Codes are positions in the shard-independent `Book`, so that text is
looked up once per code and not once per row. Moments are days since 1970-01-01 (float64), NaN: none.

============  =====================================================================================================
observation   encounter, time, item (position in the catalogue), value (NaN: text), text (Book, -1), order (-1)
order         encounter, time, kind (0 laboratory, 1 imaging, 2 procedure, 3 referral), code, reason (-1), status
report        encounter, order, time, kind (0 laboratory, 1 imaging), modality (Book text, -1), site (-1), code, text
medication    encounter, code, start, stop, dose, unit (Book), route (Book), per_day, refills, quantity, reason,
              stop_reason (Book text, -1), status (0 active, 1 completed, 2 stopped)
procedure     encounter, code, start, stop, reason (-1)
immunization  encounter, code, time, dose_number
allergy       encounter, code, category, reaction, severity, onset
device        encounter, code, start, stop
careplan      encounter, code, start, stop, reason, status
goal          encounter, careplan (row), description, code (-1), low, high, unit (-1), start, status
condition     encounter, code (ICD-10-CM), snomed, stage (Book text, -1), onset, recorded, abatement, status
============  =====================================================================================================

`order`, `careplan` inside rows are positions in the `order` and `careplan` rows as sorted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ehrsatz.simulator.history import Floats, Ints

Rows = Mapping[str, NDArray[np.generic]]


class Book:
    """All texts and codes that rows point to: (system, code) -> position; plain texts have the system ''.

    A book is made from the knowledge alone, in a fixed order, before any shard is simulated.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self._places: dict[tuple[str, str], int] = {}

    def place(self, system: str, code: str) -> int:
        """Return the position of a code, adding it when it is new."""
        key = (system, code)
        if key not in self._places:
            self._places[key] = len(self.entries)
            self.entries.append(key)
        return self._places[key]

    def text(self, words: str) -> int:
        """Return the position of a plain text."""
        return self.place("", words)


@dataclass(frozen=True)
class Encounters:
    """The E encounters of a shard, sorted by person, start, and the whole before its parts."""

    person: Ints
    start: Floats
    stop: Floats
    kind: Ints  # position in clinical.CLASSES
    code: Ints  # Book, SNOMED CT
    reason: Ints  # Book, ICD-10-CM; -1: none
    specialty: Ints  # Book text
    part_of: Ints  # row of the encounter it is a part of; -1
    disposition: Ints  # position in clinical.DISPOSITIONS; -1


@dataclass(frozen=True)
class Records:
    """Everything care wrote about the people of one shard."""

    encounters: Encounters
    rows: Mapping[str, Rows] = field(default_factory=dict)  # by table of the clinical schema
