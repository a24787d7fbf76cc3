"""Records with one planted error each, so that what experts find can be held against what is there to be found.

Kinds: an end before its beginning; a value that no living patient has; a value in another unit, or with the decimal
point moved; a finding of the other sex; half of the cells taken from other subjects. The last is the hardest to see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from ehrsatz.dataset import Dataset
from ehrsatz.review.records import Record, shown
from ehrsatz.schema import Column, Schema

KINDS = ("dates in the wrong order", "impossible value", "wrong unit", "contradiction of sex", "shuffled cells")

# Factors between units that are confused in records; NIST Special Publication 811, appendix B, for the physical ones;
# glucose 18.016 g/mol and haemoglobin in g/dL against g/L for the laboratory.
UNITS = {
    "kg": 2.2046,  # pounds
    "cm": 0.3937,  # inches
    "m": 100.0,  # centimetres
    "mm[Hg]": 0.13332,  # kPa
    "mmol/L": 18.016,  # glucose in mg/dL
    "mg/dL": 0.05551,  # glucose in mmol/L
    "g/dL": 10.0,  # g/L
    "g/L": 0.1,  # g/dL
    "a": 12.0,  # months
}
_FEMALE = frozenset({"f", "female", "woman", "w", "weiblich", "frau"})
_MALE = frozenset({"m", "male", "man", "männlich", "mann"})
# ICD-10 chapter XV (O00-O99) and C51-C58, N70-N98 are diagnoses of women, C60-C63 and N40-N51 of men: WHO, ICD-10
# volume 2, 3.1.5 and 4.4.2 (codes limited to one sex).
_OF_WOMEN = (("O",), ("C51", "C58"), ("N70", "N98"))
_OF_MEN = (("C60", "C63"), ("N40", "N51"))
_WORDS_OF_WOMEN = ("pregnan", "gravid", "menopaus", "ovar", "uter", "cervi", "birth_given", "parity", "lactat")
_WORDS_OF_MEN = ("prostat", "psa", "testi", "erectile")


@dataclass(frozen=True)
class Planted:
    """A record with an error, what kind it is, and where: "table.column"."""

    record: Record
    kind: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Ranges:
    """What numbers of a column usually are: (0.5 % quantile, 99.5 % quantile, smallest, largest)."""

    of: Mapping[tuple[str, str], tuple[float, float, float, float]]

    @classmethod
    def seen(cls, dataset: Dataset) -> Ranges:
        """Return the ranges of a dataset's numbers."""
        out = {}
        for table in dataset.schema.tables:
            for column in shown(table):
                cells = dataset.tables[table.name][column.name].drop_nulls()
                if column.kind in {"integer", "number"} and cells.len() >= 5:
                    values = cells.to_numpy().astype(np.float64)
                    low, high = np.quantile(values, [0.005, 0.995])
                    out[table.name, column.name] = (float(low), float(high), float(values.min()), float(values.max()))
        return cls(out)


Way = Callable[[Record, Schema, Ranges, Sequence[Record], np.random.Generator], "Planted | None"]


def plant(
    record: Record,
    schema: Schema,
    ranges: Ranges,
    others: Sequence[Record],
    rng: np.random.Generator,
    *,
    number: int = 0,
) -> Planted | None:
    """Plant one error into a record.

    Parameters
    ----------
    record
        A synthetic subject.
    schema
        What its tables hold.
    ranges
        What numbers usually are.
    others
        Records of other subjects, whose cells may be taken.
    rng
        Draws the place and the size.
    number
        Of the record; the kinds take turns. Where one does not apply, another takes its turn, and shuffled cells, the
        hardest to see, come last.

    Returns
    -------
    None where no kind applies.
    """
    turn, other = KINDS[number % len(KINDS)], number // len(KINDS)
    rest = [KINDS[(other + step) % (len(KINDS) - 1)] for step in range(len(KINDS) - 1)]
    for kind in dict.fromkeys((turn, *rest, KINDS[-1])):
        done = _WAYS[kind](record, schema, ranges, others, rng)
        if done is not None:
            return done
    return None


def _dates(
    record: Record, schema: Schema, ranges: Ranges, others: Sequence[Record], rng: np.random.Generator
) -> Planted | None:
    found = []
    for place, entry in enumerate(record.entries):
        table = schema[entry.table]
        pairs = [one.columns[:2] for one in table.constraints if one.kind == "order"]
        start, end = table.time, table.with_role("end")
        pairs += [(start, end)] if start and end else []
        for early, late in pairs:
            begun, ended = entry.cells.get(early), entry.cells.get(late)
            if isinstance(begun, date) and isinstance(ended, date) and ended >= begun:
                found.append((place, entry.table, early, late, begun))
    if not found:
        return None
    place, table_name, early, late, begun = found[int(rng.integers(len(found)))]
    wrong = begun - timedelta(days=int(rng.integers(20, 400)))
    return Planted(record.changed(place, {late: wrong}), KINDS[0], (f"{table_name}.{early}", f"{table_name}.{late}"))


def _impossible(
    record: Record, schema: Schema, ranges: Ranges, others: Sequence[Record], rng: np.random.Generator
) -> Planted | None:
    found = [one for one in _numbers(record, schema, ranges) if one[4][3] > one[4][2]]
    if not found:
        return None
    place, column, table, _, (_, _, least, most) = found[int(rng.integers(len(found)))]
    reach = most - least
    if least >= 0 and rng.random() < 0.4 and most > 0:
        value = -(least + rng.uniform(0.2, 0.8) * reach)
    else:
        value = most + rng.uniform(2.0, 4.0) * max(reach, abs(most))
    return _with_number(record, place, table, column, value, KINDS[1])


def _unit(
    record: Record, schema: Schema, ranges: Ranges, others: Sequence[Record], rng: np.random.Generator
) -> Planted | None:
    found = []
    for place, column, table, value, (low, high, _, _) in _numbers(record, schema, ranges):
        factors = [UNITS[column.unit]] if column.unit in UNITS else [10.0, 0.1]
        for factor in factors:
            if value != 0 and not low <= value * factor <= high:
                found.append((place, column, table, value * factor))
    if not found:
        return None
    place, column, table, value = found[int(rng.integers(len(found)))]
    return _with_number(record, place, table, column, value, KINDS[2])


def _sex(
    record: Record, schema: Schema, ranges: Ranges, others: Sequence[Record], rng: np.random.Generator
) -> Planted | None:
    where = next(
        (
            (place, entry.table, name, str(cell))
            for place, entry in enumerate(record.entries)
            for name, cell in entry.cells.items()
            if name.casefold() in {"sex", "gender", "geschlecht"} and str(cell).casefold() in _FEMALE | _MALE
        ),
        None,
    )
    if where is None:
        return None
    place, table, column, cell = where
    is_female = cell.casefold() in _FEMALE
    spellings = {
        str(e.cells[column]) for one in others for e in one.entries if e.table == table and e.cells.get(column)
    }
    other = sorted(word for word in spellings if word.casefold() in (_MALE if is_female else _FEMALE))
    if not other:
        return None
    findings = [
        f"{entry.table}.{name}"
        for entry in record.entries
        for name, value in entry.cells.items()
        if _is_of(name, value, schema[entry.table][name], is_female)
    ]
    if not findings:
        return None
    return Planted(record.changed(place, {column: other[0]}), KINDS[3], (f"{table}.{column}", *findings[:3]))


def _is_of(name: str, value: Any, column: Column, female: bool) -> bool:
    """Whether a cell holds a finding of women (of men, where not female)."""
    if value is None or value is False or value == 0:
        return False
    words = _WORDS_OF_WOMEN if female else _WORDS_OF_MEN
    if isinstance(value, (bool, int, float)):
        return any(word in name.casefold() for word in words)
    text = str(value)
    if column.kind == "code" and text[:1].isalpha() and text[1:3].isdigit():
        chapter = text[:3].upper()
        return any(
            chapter.startswith(one[0]) if len(one) == 1 else one[0] <= chapter <= one[1]
            for one in (_OF_WOMEN if female else _OF_MEN)
        )
    return any(word in text.casefold() for word in words)


def _shuffled(
    record: Record, schema: Schema, ranges: Ranges, others: Sequence[Record], rng: np.random.Generator
) -> Planted | None:
    """Take half of the cells of the longest row from other subjects, each from the one of ten that differs most."""
    places = [place for place, entry in enumerate(record.entries) if len(entry.cells) >= 4]
    if not places:
        return None
    place = max(places, key=lambda one: (not record.entries[one].timed, len(record.entries[one].cells), -one))
    entry = record.entries[place]
    rows = [e for one in others if one is not record for e in one.entries if e.table == entry.table]
    if len(rows) < 2:
        return None
    names = sorted(entry.cells)
    picked = [names[i] for i in sorted(rng.permutation(len(names))[: len(names) // 2].tolist())]
    new: dict[str, Any] = {}
    for name in picked:
        drawn = [rows[int(i)] for i in rng.integers(len(rows), size=10)]
        span = ranges.of.get((entry.table, name))
        far = max(drawn, key=lambda one: _far(entry.cells[name], one.cells[name], span))
        if _far(entry.cells[name], far.cells[name], span) > 0:
            new[name] = far.cells[name]
    if len(new) < 2:
        return None
    return Planted(record.changed(place, new), KINDS[4], tuple(f"{entry.table}.{name}" for name in new))


def _far(a: Any, b: Any, span: tuple[float, float, float, float] | None) -> float:
    if b is None or a is None:
        return 0.0 if a is b else 0.1  # a gap is no sign of another person
    if span is not None and isinstance(a, (int, float)) and isinstance(b, (int, float)) and span[1] > span[0]:
        return abs(float(a) - float(b)) / (span[1] - span[0])
    return 0.0 if a == b else 0.5


def _numbers(
    record: Record, schema: Schema, ranges: Ranges
) -> list[tuple[int, Column, str, float, tuple[float, float, float, float]]]:
    return [
        (place, schema[entry.table][name], entry.table, float(cell), ranges.of[entry.table, name])
        for place, entry in enumerate(record.entries)
        for name, cell in entry.cells.items()
        if (entry.table, name) in ranges.of and isinstance(cell, (int, float)) and not isinstance(cell, bool)
    ]


def _with_number(record: Record, place: int, table: str, column: Column, value: float, kind: str) -> Planted:
    """Write a number as the column's own cells look: whole, or with three digits."""
    cell = round(value) if column.kind == "integer" else float(f"{value:.3g}")
    return Planted(record.changed(place, {column.name: cell}), kind, (f"{table}.{column.name}",))


_WAYS: dict[str, Way] = dict(zip(KINDS, (_dates, _impossible, _unit, _sex, _shuffled)))
